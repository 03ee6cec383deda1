//! Hooks: programs that are told of changes. Never on the decision thread, and nothing waits for them.
//!
//! Life of a change: [`Hooks::tell`] gives it to a thread that puts it into the queue of each hook and group; the queues are written down
//! (`STATE_DIR/hooks.json`). Each hook has a thread of its own, on which its groups are served beside each other, and each group's changes one
//! at a time and in order. A change leaves its queue when the hook has ended with exit code 0, or has failed [`ATTEMPTS`] times; so one that
//! was not finished when the daemon ended is told again by the next one.

mod board;
mod change;
mod queue;
mod run;
mod spec;
mod store;

#[cfg(test)]
mod samples_tests;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::task::LocalSet;

use self::board::{Board, Lane};
pub use self::change::{Change, Health, Kind, Sender, What};
use self::change::{Document, VERSION};
pub use self::spec::HookSpec;
use self::store::Store;
use super::process::send;
use super::runner::Ended;

enum Letter {
    Tell(Box<Change>),
    /// The daemon ends; nothing more is told.
    End(Duration, mpsc::SyncSender<()>),
    /// The daemon is gone, without a word.
    #[cfg(test)]
    Gone,
}

/// The handle to all hooks. Dropping it ends nothing.
#[derive(Debug)]
pub struct Hooks(mpsc::Sender<Letter>);

impl Hooks {
    /// Starts the thread that starts all others, and that reads what the last life left in `state_dir`: nobody waits for the disk.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn start(hooks: Vec<HookSpec>, from: Sender, state_dir: &Path) -> io::Result<Hooks> {
        Hooks::with(hooks, from, state_dir, &PAUSES)
    }

    /// The same with other pauses between attempts.
    fn with(hooks: Vec<HookSpec>, from: Sender, state_dir: &Path, pauses: &'static [Duration]) -> io::Result<Hooks> {
        let (letters, inbox) = mpsc::channel();
        let store = Store::new(state_dir);
        std::thread::Builder::new().name("hooks".into()).spawn(move || {
            if let Err(error) = serve(hooks, &from, store, pauses, &inbox) {
                tracing::error!(target: "hook", "no hook can be run: {error}");
            }
        })?;
        Ok(Hooks(letters))
    }

    /// A change. Does not wait.
    pub fn tell(&self, change: Change) {
        let _ = self.0.send(Letter::Tell(Box::new(change)));
    }

    /// The end of the daemon: waits at most for `patience`, and half a second for the disk, until the hooks are told of everything. Those that
    /// still run are killed; the next daemon runs them again.
    pub fn end(&self, patience: Duration) {
        let (done, ended) = mpsc::sync_channel(1);
        let _ = self.0.send(Letter::End(patience, done));
        let _ = ended.recv_timeout(patience.saturating_add(WRITTEN));
    }
}

/// Starts the hooks' threads and puts what is told into their queues, for ever.
fn serve(
    hooks: Vec<HookSpec>,
    from: &Sender,
    store: Store,
    pauses: &'static [Duration],
    inbox: &mpsc::Receiver<Letter>,
) -> io::Result<()> {
    let (mut lanes, mut places) = (Vec::new(), Vec::new());
    for hook in hooks {
        let first = lanes.len();
        let groups = hook.groups.iter().filter(|_| hook.on.iter().any(|kind| *kind != Kind::Health));
        lanes.extend(groups.map(|group| Lane::new(hook.clone(), Some(group.clone()))));
        lanes.extend(hook.on.contains(&Kind::Health).then(|| Lane::new(hook.clone(), None)));
        places.push((hook.name(), first..lanes.len()));
    }
    let board = Board::start(lanes, store)?;
    for (name, places) in places {
        let (board, from) = (board.clone(), from.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        // A thread each: even fork and exec wait for a slow disk, and one hook's disk is not another's.
        std::thread::Builder::new().name(format!("hook-{name}")).spawn(move || {
            let local = LocalSet::new();
            for place in places {
                local.spawn_local(live(board.clone(), place, from.clone(), pauses));
            }
            runtime.block_on(local);
        })?;
    }
    for letter in inbox {
        match letter {
            Letter::Tell(change) => board.push(&change),
            Letter::End(patience, done) => {
                board.calm(patience);
                for running in board.end() {
                    tracing::warn!(target: "hook", "{}: killed, since the daemon ends; the next one runs it again", running.argv.join(" "));
                    send(&running, Signal::SIGKILL);
                }
                board.written(WRITTEN);
                let _ = done.send(());
            }
            #[cfg(test)]
            Letter::Gone => drop(board.end()),
        }
    }
    Ok(())
}

/// One hook and one group, for ever.
async fn live(board: Board, place: usize, from: Sender, pauses: &'static [Duration]) {
    let Some((hook, group, wake)) = board.lane(place) else { return };
    let name = format!("{group}/{}", hook.name());
    if let Some(left) = board.left_running(place) {
        if !left.family().is_empty() {
            tracing::warn!(target: "hook", "{name}: process {} of an earlier life of the daemon still runs: killed, and run again", left.pid);
            send(&left, Signal::SIGKILL);
        }
        board.runs(place, None);
    }
    let mut failed = 0;
    loop {
        let Some(job) = board.begin(place) else {
            wake.notified().await;
            continue;
        };
        let document =
            Document { version: VERSION, change: &job.change, from: &from, attempt: job.attempts, skipped: job.skipped };
        let ended = run::run(&hook.run, &document, hook.timeout, &name, |record| board.runs(place, record)).await;
        if board.ended() {
            return;
        }
        if let Ended::Exit(0, _) = ended {
            tracing::debug!(target: "hook", "{name}: told of {}", job.change.words());
            failed = 0;
            board.over(place, true);
            continue;
        }
        let words = job.change.words();
        match pauses.get(failed) {
            Some(pause) => {
                tracing::warn!(target: "hook", "{name}: {ended} ({words}); tried again in {pause:?}");
                failed = failed.saturating_add(1);
                board.over(place, false);
                tokio::time::sleep(*pause).await;
            }
            None => {
                tracing::error!(target: "hook", "{name}: {ended} ({words}); given up after {} attempts", pauses.len().saturating_add(1));
                failed = 0;
                board.over(place, true);
            }
        }
    }
}

/// Between the attempts that fail.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(25)];
/// How often a hook that fails is run for one change in one life of the daemon.
pub const ATTEMPTS: usize = PAUSES.len() + 1;
/// How long the end waits for the disk.
const WRITTEN: Duration = Duration::from_millis(500);
