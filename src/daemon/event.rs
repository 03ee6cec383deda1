//! What the loop waits for.

use std::path::PathBuf;

use tokio::sync::oneshot;

use super::step::Step;
use twinbeat_control::protocol::Response;
use twinbeat_core::io::{Answer, Command, Input};
use twinbeat_core::view::View;
use twinbeat_host::interfaces::Told;
use twinbeat_web::Question;

/// Something that happened.
pub enum Event {
    /// A fact for the core.
    Input(Input),
    /// Interfaces or addresses are different.
    Interfaces(Told),
    /// A person's command, to be answered.
    Command(Command, oneshot::Sender<Answer>),
    /// A person looks.
    View(oneshot::Sender<View>),
    /// A person asks why: where the journal is, and who is to be told.
    Recorded(PathBuf, oneshot::Sender<Response>),
    /// Somebody asks over HTTP.
    Look(Question),
    /// What keeps everybody from asking there; none when it is over.
    Listens(Option<String>),
    /// SIGUSR1, and SIGHUP: the log files.
    Reopen,
    /// A step of a reload.
    Reload(Step),
    /// SIGUSR2: "I come back". Gate, VIP and services stay as they are, the gate on fresh grounds.
    ComeBack,
    /// Whether the next life could begin, else why not.
    Successor(Result<(), String>),
    /// It could not, and the peer does not take over: why.
    Stays(String),
}
