//! Runs one command of a service (an init script, `systemctl`) within a time limit, and breaks it off on demand.
//!
//! The command is the leader of its own session; when it is broken off, its whole process group is: SIGTERM, then SIGKILL.

use std::fmt;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::timeout;

use super::output::Writer;
use twinbeat_host::session::own_session;

/// How a command ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Ended {
    /// It exited with this code; what it said, where that was asked for.
    Exit(i32, String),
    /// It was killed by this signal.
    Signal(i32),
    /// It did not end within this time, and was killed.
    TimedOut(Duration),
    /// It was broken off.
    Cancelled,
    /// It could not be run.
    NotRun(String),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ended::Exit(code, said) if said.is_empty() => write!(f, "exit code {code}"),
            Ended::Exit(code, said) => write!(f, "exit code {code}: {said}"),
            Ended::Signal(number) => write!(f, "killed by signal {number}"),
            Ended::TimedOut(limit) => write!(f, "not done after {limit:?}, killed"),
            Ended::Cancelled => f.write_str("broken off by a newer order"),
            Ended::NotRun(reason) => f.write_str(reason),
        }
    }
}

/// Where a command's output goes.
pub(super) enum Speech<'a> {
    /// Into the service's output file: for commands that may leave a daemon behind which inherits it.
    Log(&'a Writer),
    /// Kept (the first 4 KiB) and given back: for commands that leave nobody behind.
    Keep,
    /// Nowhere.
    Mute,
}

/// Says when the running start is no longer wanted.
#[derive(Clone)]
pub(super) struct Cancel(watch::Receiver<bool>);

impl Cancel {
    /// A switch and what listens to it.
    pub fn pair() -> (watch::Sender<bool>, Cancel) {
        let (switch, cancel) = watch::channel(false);
        (switch, Cancel(cancel))
    }

    /// Never.
    pub fn never() -> Cancel {
        Cancel::pair().1
    }

    /// Whether it was said.
    pub fn is_set(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is said; for ever, when nobody can say it any more.
    pub async fn wait(&mut self) {
        if self.0.wait_for(|said| *said).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Runs a command to its end, at most for `limit`.
pub(super) async fn run(mut command: Command, speech: Speech<'_>, limit: Duration, cancel: &mut Cancel) -> Ended {
    command.stdin(Stdio::null()).kill_on_drop(true);
    own_session(&mut command);
    let keep = matches!(speech, Speech::Keep);
    let (out, err) = match speech {
        Speech::Log(writer) => (writer.stdio(), writer.stdio()),
        Speech::Keep => (Stdio::piped(), Stdio::piped()),
        Speech::Mute => (Stdio::null(), Stdio::null()),
    };
    let mut child = match command.stdout(out).stderr(err).spawn() {
        Ok(child) => child,
        Err(error) => {
            return Ended::NotRun(format!("{} cannot be run: {error}", command.as_std().get_program().display()));
        }
    };
    let (out, err) = (child.stdout.take().filter(|_| keep), child.stderr.take().filter(|_| keep));
    let group = child.id().and_then(|id| i32::try_from(id).ok());
    let ended = {
        let whole = async {
            let (mut out_words, mut err_words) = (Vec::new(), Vec::new());
            let status = {
                let words = async { tokio::join!(first_words(out, &mut out_words), first_words(err, &mut err_words)) };
                let mut words = std::pin::pin!(words);
                let mut whole = false;
                let status = loop {
                    tokio::select! {
                        status = child.wait() => break status,
                        _ = &mut words, if !whole => whole = true,
                    }
                };
                // Somebody whom it left behind may hold its output open for ever.
                if !whole {
                    let _ = timeout(LAST_WORDS, words).await;
                }
                status
            };
            let said = [err_words, out_words].iter().map(|words| on_one_line(words)).find(|text| !text.is_empty());
            outcome(status, said.unwrap_or_default())
        };
        tokio::select! {
            ended = whole => return ended,
            () = tokio::time::sleep(limit) => Ended::TimedOut(limit),
            () = cancel.wait() => Ended::Cancelled,
        }
    };
    break_off(&mut child, group).await;
    ended
}

/// SIGTERM to the group, a moment, SIGKILL.
pub(super) async fn break_off(child: &mut Child, group: Option<i32>) {
    for (signal, patience) in [(Signal::SIGTERM, Duration::from_millis(500)), (Signal::SIGKILL, Duration::from_secs(2))] {
        // while the child is not reaped, its number cannot belong to anybody else
        if let Some(group) = group {
            let _ = killpg(Pid::from_raw(group), signal);
        }
        if timeout(patience, child.wait()).await.is_ok() {
            break;
        }
    }
}

/// A command's end by its status, with what it said.
pub(super) fn outcome(status: io::Result<ExitStatus>, said: String) -> Ended {
    use std::os::unix::process::ExitStatusExt;
    match status {
        Ok(status) => match status.code() {
            Some(code) => Ended::Exit(code, said),
            None => Ended::Signal(status.signal().unwrap_or_default()),
        },
        Err(error) => Ended::NotRun(format!("its end cannot be waited for: {error}")),
    }
}

/// The first 4 KiB of what a command says; the rest is read and thrown away.
async fn first_words(from: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut from) = from else { return };
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let room = KEPT.saturating_sub(kept.len());
        kept.extend(buffer.iter().take(count.min(room)));
    }
}

fn on_one_line(words: &[u8]) -> String {
    let text = String::from_utf8_lossy(words);
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" / ")
}

/// How long what a command said is waited for when it has ended.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How much of a command's words is kept.
const KEPT: usize = 4096;
