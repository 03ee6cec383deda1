//! The commands' end of the control socket.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::protocol::{PATIENCE, RESPONSE, Request, Response, read_line, write_line};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unreachable {
    /// Nobody listens.
    #[error("no daemon answers at {path}: {error}{}", hint(.error))]
    NoDaemon {
        /// The socket.
        path: String,
        /// What the kernel said.
        error: io::Error,
    },
    /// It listens, and did not answer in time.
    #[error("the daemon did not answer within {0:?}; the command may still be carried out, see `twinbeat status`")]
    TimedOut(Duration),
    /// It answered with something else, or went away.
    #[error("the daemon went away: {0}")]
    Lost(#[from] io::Error),
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            "\n  start it: `systemctl start twinbeat`; does it end at once: `journalctl -u twinbeat -n 20`; another directory: --run-dir"
        }
        io::ErrorKind::PermissionDenied => " (root, the daemon's own user, and for `status` members of the group twinbeat may)",
        _ => "",
    }
}

/// Asks the daemon that runs on `run_dir`, and waits at most `patience` for its answer.
pub async fn ask(run_dir: &Path, request: &Request, patience: Duration) -> Result<Response, Unreachable> {
    let path = run_dir.join("control.sock");
    let connected = timeout(PATIENCE, UnixStream::connect(&path)).await;
    let stream = connected
        .map_err(|_| Unreachable::TimedOut(PATIENCE))?
        .map_err(|error| Unreachable::NoDaemon { path: path.display().to_string(), error })?;
    let (from, mut to) = stream.into_split();
    let exchange = async {
        write_line(&mut to, request).await?;
        let line = read_line(&mut BufReader::new(from), RESPONSE).await?;
        serde_json::from_slice(&line).map_err(io::Error::from)
    };
    Ok(timeout(patience, exchange).await.map_err(|_| Unreachable::TimedOut(patience))??)
}

/// [`ask`] from a program without a runtime.
pub fn ask_blocking(run_dir: &Path, request: &Request, patience: Duration) -> Result<Response, Unreachable> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(ask(run_dir, request, patience))
}
