//! A supervised process: a program in the foreground, in its own session, that outlives the daemon and is found again.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, pidfd_open};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::process::Command;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::State;
use super::attempt::{Env, Failure, Start};
use super::output::Writer;
use super::record::Record;
use super::runner::Cancel;
use super::transient::Transient;
use twinbeat_host::session::own_session;

/// A program that is started, watched and stopped here.
#[derive(Debug)]
pub(super) struct Process {
    argv: Vec<String>,
    record: PathBuf,
    output: Writer,
    known: Option<Known>,
    /// Its unit, where systemd runs it, or an earlier life of the daemon had it do so.
    unit: Option<Transient>,
}

/// The process as it is known: who it is, and how it ended, once it has.
#[derive(Clone, Debug)]
struct Known {
    record: Record,
    end: watch::Receiver<Option<String>>,
}

impl Known {
    /// Its leader, or anything that it left behind, lives.
    fn lives(&self) -> bool {
        self.end.borrow().is_none() && self.record.alive() || !self.record.family().is_empty()
    }
}

impl Process {
    /// Knows nothing yet; the record is read when it is first asked.
    pub fn new(argv: Vec<String>, record: PathBuf, output: Writer, unit: Option<Transient>) -> Process {
        Process { argv, record, output, known: None, unit }
    }

    /// From the record and /proc; of a unit from systemd.
    pub async fn state(&mut self) -> State {
        self.adopt();
        match &self.unit {
            _ if self.known.as_ref().is_some_and(Known::lives) => State::Running,
            Some(unit) => unit.state().await,
            None => State::Stopped,
        }
    }

    /// The same by what signals have said.
    pub async fn glance(&mut self) -> State {
        self.adopt();
        match &self.unit {
            Some(unit) if !self.known.as_ref().is_some_and(Known::lives) && unit.started().is_some() => {
                unit.systemd.glance().await
            }
            _ => self.state().await,
        }
    }

    /// Starts it unless it runs as configured; what runs with other arguments, or is left of an earlier one, is stopped first.
    pub async fn start(
        &mut self,
        env: &Env,
        [start_limit, stop_limit]: [Duration; 2],
        cancel: &mut Cancel,
    ) -> Result<(), Failure> {
        self.adopt();
        if let Some(known) = &self.known {
            if known.record.argv == self.argv && known.end.borrow().is_none() && known.record.alive() {
                return Ok(());
            }
            if known.record.argv != self.argv && known.record.alive() {
                tracing::warn!(target: "service", "{}: process {} runs with other arguments; started anew", env.group, known.record.pid);
            }
            self.stop(stop_limit, env.ending).await.map_err(Failure::Failed)?;
        }
        if let Some(unit) = &mut self.unit {
            let runs = unit.state().await != State::Stopped;
            if runs && unit.started().as_ref() == Some(&self.argv) {
                return Ok(());
            }
            if runs {
                tracing::warn!(target: "service", "{}: {} runs with other arguments; started anew", env.group, unit.systemd.unit);
                unit.stop(stop_limit, env.ending).await.map_err(Failure::Failed)?;
            }
            if unit.wanted {
                let what = Start {
                    title: format!(
                        "{} of twinbeat's group {}",
                        self.argv.first().map(String::as_str).unwrap_or_default(),
                        env.group
                    ),
                    argv: self.argv.clone(),
                    env,
                    ends: false,
                    last: false,
                    start_limit,
                    stop_limit,
                };
                unit.start(what, cancel).await?;
                return match unit.ends_within(SETTLE).await {
                    Some(how) => Err(Failure::Failed(format!("{how} at once; see its output in the log"))),
                    None => Ok(()),
                };
            }
        }
        let known = self.spawn(env).map_err(Failure::Failed)?;
        let mut end = known.end.clone();
        self.known = Some(known);
        tokio::select! {
            () = sleep(SETTLE) => Ok(()),
            () = cancel.wait() => Err(Failure::Cancelled),
            how = ended(&mut end) => Err(Failure::Failed(format!("{how} at once; see its output in the log"))),
        }
    }

    /// SIGTERM to all of it, SIGKILL when the limit is over; an error when something still lives.
    pub async fn stop(&mut self, limit: Duration, ending: bool) -> Result<(), String> {
        self.adopt();
        if let Some(unit) = &self.unit
            && unit.started().is_some()
        {
            unit.stop(limit, ending).await?;
        }
        let Some(known) = self.known.clone() else { return Ok(()) };
        for (signal, patience) in [(Signal::SIGTERM, limit), (Signal::SIGKILL, KILL_LIMIT)] {
            if !known.lives() {
                break;
            }
            if signal == Signal::SIGKILL {
                tracing::warn!(target: "service", "process {} did not stop within {limit:?}; sending SIGKILL", known.record.pid);
            }
            send(&known.record, signal);
            // One that stands still (SIGSTOP) takes the other signal only when it goes on.
            send(&known.record, Signal::SIGCONT);
            gone(&known, patience).await;
        }
        if known.lives() {
            return Err(format!("process {} still lives after SIGKILL: {:?}", known.record.pid, known.record.family()));
        }
        self.known = None;
        match std::fs::remove_file(&self.record) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(target: "service", "{}: {error}", self.record.display());
            }
            _ => {}
        }
        Ok(())
    }

    /// Waits for its end.
    pub async fn died(&mut self) -> String {
        match (&mut self.known, &mut self.unit) {
            (Some(known), _) => ended(&mut known.end).await,
            (None, Some(unit)) if unit.started().is_some() => unit.died().await,
            (None, _) => "it is not there".into(),
        }
    }

    /// Takes up the process of the record, when it (or something of it) still lives.
    fn adopt(&mut self) {
        if self.known.is_some() {
            return;
        }
        let Some(record) = Record::read(&self.record) else { return };
        if record.alive() {
            tracing::info!(target: "service", "{} (process {}) runs since an earlier life of the daemon; adopted", record.argv.join(" "), record.pid);
            self.known = Some(Known { end: watch_adopted(record.clone()), record });
        } else if !record.family().is_empty() {
            self.known = Some(Known { end: watch::channel(Some("it ended while no daemon ran".into())).1, record });
        }
    }

    fn spawn(&self, env: &Env) -> Result<Known, String> {
        let (program, arguments) = self.argv.split_first().ok_or("no program is configured")?;
        let mut command = Command::new(program);
        command.args(arguments).envs(env.pairs()).stdin(Stdio::null());
        command.stdout(self.output.stdio()).stderr(self.output.stdio());
        own_session(&mut command);
        let mut child = command.spawn().map_err(|error| format!("{program} cannot be run: {error}"))?;
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).ok_or("it ended at once")?;
        // not reaped yet, so it is there, though perhaps as a zombie
        let record = Record::of(pid, &self.argv).ok_or("/proc does not show it")?;
        remember(&record, &self.record);
        let (tell, end) = watch::channel(None);
        tokio::spawn(async move {
            let how = child.wait().await.map_or_else(|error| format!("lost: {error}"), |status| format!("ended with {status}"));
            let _ = tell.send(Some(how));
        });
        Ok(Known { record, end })
    }
}

/// A process that cannot be written down runs all the same; only the next daemon would not find it.
fn remember(record: &Record, path: &Path) {
    if let Err(error) = record.write(path) {
        tracing::warn!(target: "service", "{}: {error}; a restarted daemon will not find process {}", path.display(), record.pid);
    }
}

/// The group in one call, and those of the session that made groups of their own one by one.
pub(super) fn send(record: &Record, signal: Signal) {
    let family = record.family();
    if !family.is_empty() {
        let _ = killpg(Pid::from_raw(record.pid), signal);
    }
    if signal == Signal::SIGKILL {
        for pid in family {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
}

/// Waits until nothing of it lives, at most for `limit`.
async fn gone(known: &Known, limit: Duration) {
    let begun = Instant::now();
    let mut end = known.end.clone();
    let _ = timeout(limit, ended(&mut end)).await;
    while known.lives() && begun.elapsed() < limit {
        sleep(POLL).await;
    }
}

/// Waits until the end is known.
async fn ended(end: &mut watch::Receiver<Option<String>>) -> String {
    let how = match end.wait_for(Option::is_some).await {
        Ok(how) => how.clone(),
        Err(_) => None,
    };
    how.unwrap_or_else(|| "lost from sight".into())
}

/// The end of a process that is not our child: by pidfd (pidfd_open(2)), else by looking.
fn watch_adopted(record: Record) -> watch::Receiver<Option<String>> {
    let (tell, end) = watch::channel(None);
    tokio::spawn(async move {
        let pidfd = pidfd(record.pid);
        // opened first and compared then: the number was not used again in between
        while record.alive() {
            match &pidfd {
                Some(pidfd) => drop(pidfd.readable().await),
                None => sleep(LOOK).await,
            }
        }
        let _ = tell.send(Some("ended (an adopted process does not say how)".into()));
    });
    end
}

pub(super) fn pidfd(pid: i32) -> Option<AsyncFd<OwnedFd>> {
    let fd = pidfd_open(rustix::process::Pid::from_raw(pid)?, PidfdFlags::NONBLOCK).ok()?;
    #[expect(deprecated, reason = "an OwnedFd stays the same open descriptor; the replacement is unsafe to call")]
    AsyncFd::with_interest(fd, Interest::READABLE).ok()
}

/// A program that is wrong from the start ends within this time.
const SETTLE: Duration = Duration::from_millis(100);
/// How long a killed process may take to be gone.
const KILL_LIMIT: Duration = Duration::from_secs(2);
/// Between two looks while a process goes.
const POLL: Duration = Duration::from_millis(20);
/// Between two looks at an adopted process where the kernel has no pidfd.
const LOOK: Duration = Duration::from_millis(250);
