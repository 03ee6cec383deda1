//! Runs a hook once: the document on its standard input and in its environment, its output into the log, its time limited.

use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::super::process::send;
use super::super::record::Record;
use super::super::runner::{Ended, break_off, outcome};
use super::change::Document;
use twinbeat_host::session::own_session;

/// Runs it to its end, at most for `limit`; then its process group is killed. `began` is told of the process. `name` stands before each line of
/// output in the log.
pub(super) async fn run(
    argv: &[String],
    document: &Document<'_>,
    limit: Duration,
    name: &str,
    began: impl FnOnce(Option<Record>),
) -> Ended {
    let (text, variables) = match (document.text(), document.variables()) {
        (Ok(text), Ok(variables)) => (text, variables),
        (Err(error), _) | (_, Err(error)) => return Ended::NotRun(format!("its document cannot be made: {error}")),
    };
    let Some((program, arguments)) = argv.split_first() else { return Ended::NotRun("no program is configured".into()) };
    let mut command = Command::new(program);
    command.args(arguments).envs(variables);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    own_session(&mut command);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Ended::NotRun(format!("{program} cannot be run: {error}")),
    };
    let group = child.id().and_then(|id| i32::try_from(id).ok());
    // Not reaped yet, so it is there, though perhaps as a zombie.
    let record = group.and_then(|pid| Record::of(pid, argv));
    began(record.clone());
    let ended = within(&mut child, &text, limit, name).await;
    if let Ended::TimedOut(_) = ended {
        break_off(&mut child, group).await;
        if let Some(record) = record {
            // Who of them did not go with the first signal.
            send(&record, Signal::SIGKILL);
        }
    }
    ended
}

/// From its input to its end.
async fn within(child: &mut Child, text: &str, limit: Duration, name: &str) -> Ended {
    let (input, out, err) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let room = Room::default();
    let feed = async {
        if let Some(mut input) = input {
            // It need not read it.
            let _ = input.write_all(text.as_bytes()).await;
        }
    };
    let words = async {
        tokio::join!(follow(out, name, &room), follow(err, name, &room));
    };
    let end = async {
        let (status, ()) = tokio::join!(child.wait(), feed);
        outcome(status, String::new())
    };
    tokio::pin!(words, end);
    let all = async {
        tokio::select! {
            // What it left running in the background may hold its output open for ever: the rest of its own words comes at once.
            ended = &mut end => {
                let _ = timeout(LAST_WORDS, &mut words).await;
                ended
            }
            () = &mut words => (&mut end).await,
        }
    };
    let ended = tokio::select! {
        ended = all => ended,
        () = sleep(limit) => Ended::TimedOut(limit),
    };
    if let left_out @ 1.. = room.left_out.load(Ordering::Relaxed) {
        tracing::warn!(target: "hook", "{name}: {left_out} bytes of output left out: the log takes {MOST_SAID} of a run");
    }
    ended
}

/// How much of a run's output is in the log, and how much is not.
#[derive(Default)]
struct Room {
    taken: AtomicUsize,
    left_out: AtomicUsize,
}

impl Room {
    fn log(&self, name: &str, line: &[u8]) {
        if self.taken.fetch_add(line.len().saturating_add(1), Ordering::Relaxed) > MOST_SAID {
            self.left_out.fetch_add(line.len().saturating_add(1), Ordering::Relaxed);
            return;
        }
        let line: String = String::from_utf8_lossy(line).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        if !line.trim().is_empty() {
            tracing::info!(target: "hook", "{name}: {}", line.trim_end());
        }
    }
}

/// Each line into the log; one that is too long is broken.
async fn follow(from: Option<impl AsyncRead + Unpin>, name: &str, room: &Room) {
    let Some(mut from) = from else { return };
    let (mut line, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        for byte in buffer.iter().take(count) {
            if *byte == b'\n' || line.len() >= LINE {
                room.log(name, &line);
                line.clear();
            }
            if *byte != b'\n' {
                line.push(*byte);
            }
        }
    }
    if !line.is_empty() {
        room.log(name, &line);
    }
}

/// How much of a run's output the log takes, in bytes.
const MOST_SAID: usize = 16 * 1024;
/// The longest line; longer ones are broken.
const LINE: usize = 1024;
/// How long the output is followed behind the end of the program itself.
const LAST_WORDS: Duration = Duration::from_millis(200);
