//! The last hour by the flight recorder, for the page. Another process reads it (`twinbeat why --json`), when somebody asks: it may take its time, it
//! may even crash over a file that a disk has spoilt, and the daemon does not notice. What it said is given to all for a while.

use std::ffi::OsString;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use twinbeat_host::session::own_session;

/// What is read, or why not.
type Told = Result<Bytes, String>;

/// Has the journal read.
pub(super) struct History {
    /// The program and its arguments.
    command: Vec<OsString>,
    /// The newest answer and its end.
    kept: Arc<Mutex<Option<(Instant, Told)>>>,
}

impl History {
    /// By this command. Nothing is run yet.
    pub fn new(command: Vec<OsString>) -> History {
        History { command, kept: Arc::default() }
    }

    /// The last hour as JSON. Who comes while it is read waits for the same answer; where the client has gone meanwhile it is read to its end all
    /// the same and kept. So however many ask, there is one reader, and it rests for [`REST`] times as long as it took.
    pub async fn told(&self) -> Told {
        let mut kept = Arc::clone(&self.kept).lock_owned().await;
        if let Some((ends, told)) = &*kept
            && Instant::now() < *ends
        {
            return told.clone();
        }
        let command = self.command.clone();
        let reading = tokio::spawn(async move {
            let begun = Instant::now();
            let told = timeout(LONGEST, read(&command)).await;
            let told = told.unwrap_or_else(|_| Err(format!("it took longer than {LONGEST:?}")));
            let took = begun.elapsed();
            let rest = LEAST.max(took.saturating_mul(REST));
            *kept = Instant::now().checked_add(rest).map(|ends| (ends, told.clone()));
            told
        });
        reading.await.unwrap_or_else(|_| Err("nobody reads it".to_owned()))
    }
}

async fn read(command: &[OsString]) -> Told {
    let [program, arguments @ ..] = command else { return Err("there is no program for it".to_owned()) };
    let mut child = Command::new(program);
    child.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    // Not spared where memory is short, as the daemon is.
    own_session(&mut child);
    let mut child = child.spawn().map_err(|error| format!("no process for it: {error}"))?;
    let mut text = Vec::new();
    if let Some(out) = child.stdout.take() {
        out.take(MOST.saturating_add(1)).read_to_end(&mut text).await.map_err(|error| error.to_string())?;
    }
    if text.len() as u64 > MOST {
        return Err(format!("it is longer than {MOST} bytes"));
    }
    let ended = child.wait().await.map_err(|error| error.to_string())?;
    if ended.success() { Ok(text.into()) } else { Err(format!("its reader ended with {ended}")) }
}

/// A reader that takes longer is killed; a client has 10 s.
const LONGEST: Duration = Duration::from_secs(8);
/// The longest answer; one with everything that there can be has 2 MB.
const MOST: u64 = 8 * 1024 * 1024;
/// For how long an answer is given to others as well, at the least.
const LEAST: Duration = Duration::from_secs(5);
/// And at the least so many times as long as it took: reading takes a part in twenty of one processor at the most.
const REST: u32 = 20;

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
