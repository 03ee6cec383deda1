//! The steps of a reload, as events of the loop.

use tokio::sync::oneshot;

use super::asking::Free;
use twinbeat_config::Config;
use twinbeat_control::protocol::Response;

/// Who is told what comes of it; none where a signal asked.
pub type Asker = Option<oneshot::Sender<Response>>;

/// A step of a reload.
pub enum Step {
    /// Somebody asks: for all of it, or for the plan alone.
    Ask { plan: bool, asker: Asker },
    /// The file was read, and the next life tried.
    Read { plan: bool, asker: Asker, read: Box<Result<Read, String>> },
    /// The new addresses were asked for.
    Asked { asker: Asker, read: Box<Read>, free: Result<Vec<Free>, String> },
    /// Whoever asked has had the time to be told.
    Go,
    /// The core does not come back: it is being stopped.
    Refused(String),
}

/// What the disk says.
pub struct Read {
    /// The file.
    pub config: Config,
    /// What this node's private key belongs to.
    pub key: [u8; 32],
}
