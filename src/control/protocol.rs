//! What is said over the control socket: one JSON line each way, with its bounds.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use twinbeat_core::time::Span;
use twinbeat_core::view::View;

/// What a command asks of the daemon.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// How are things?
    Status {},
    /// Hand a group (all, if none) to the peer.
    Standby {
        /// Which group, by name.
        group: Option<String>,
        /// For how long; none means until `resume`.
        lasting: Option<Span>,
        /// The administrator's words.
        reason: Option<String>,
    },
    /// Take a group (all, if none) from the peer.
    Takeover {
        /// Which group, by name.
        group: Option<String>,
    },
    /// Leave services and addresses of a group (of all, if none) as they are, on both nodes.
    Pause {
        /// Which group, by name.
        group: Option<String>,
        /// For how long; none means until `resume`.
        lasting: Option<Span>,
        /// The administrator's words.
        reason: Option<String>,
    },
    /// A person has made sure that the peer is off.
    Fenced {
        /// The peer, by name.
        node: String,
    },
    /// End a standby and a pause, of one group or of all.
    Resume {
        /// Which group, by name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<String>,
    },
    /// Take up the changed file without a move and without a gap.
    Reload {
        /// Only say what would come of it.
        plan: bool,
    },
    /// The last decisions with their evidence.
    Why {
        /// How many.
        last: u32,
    },
}

/// What the daemon answers.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// To `Status`.
    View(Box<View>),
    /// To `Why`: where the journal is, by now written up to the present.
    Journal(PathBuf),
    /// To `Reload`.
    Reload(Reload),
    /// Done, and what was done.
    Done(String),
    /// Not done, and why not.
    Refused(String),
}

/// What comes of a changed file.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Reload {
    /// The keys that differ, with their values; empty when the file says the same.
    pub differences: Vec<String>,
    /// What follows from them, where it is not plain.
    pub notes: Vec<String>,
    /// What cannot be taken up in place, each with the way that can. While there are any nothing is.
    pub hindrances: Vec<String>,
    /// It is being taken up: this daemon's next life begins now, in the same process.
    pub begun: bool,
    /// The number of the life that answers; the next one's is higher.
    pub incarnation: u64,
    /// The groups that this node serves at this moment, and goes on to serve.
    pub held: Vec<String>,
}

/// Reads one line of at most [`LINE`] bytes.
pub(super) async fn read_line(from: &mut (impl AsyncBufRead + Unpin), most: u64) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    from.take(most.saturating_add(1)).read_until(b'\n', &mut line).await?;
    match line.pop() {
        Some(b'\n') => Ok(line),
        _ if line.len() as u64 >= most => Err(io::Error::new(io::ErrorKind::InvalidData, format!("longer than {most} bytes"))),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Writes one value as a line.
pub(super) async fn write_line(to: &mut (impl AsyncWrite + Unpin), value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    to.write_all(&line).await
}

/// The longest request.
pub const LINE: u64 = 64 * 1024;
/// The longest response.
pub const RESPONSE: u64 = 1024 * 1024;
/// A request must have arrived within this time; a response must be taken within it.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// How many clients may be connected.
pub const CLIENTS: usize = 16;
/// How long the daemon keeps a client's connection while the decision has not answered.
pub const ANSWER: Duration = Duration::from_secs(600);
