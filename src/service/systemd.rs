//! systemd units, through `systemctl`: it waits for the job, queues a stop behind a start and says why something failed.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::process::Command;
use tokio::time::sleep;

use super::State;
use super::attempt::Failure;
use super::runner::{Cancel, Ended, Speech, run};

/// A service that systemd runs.
#[derive(Debug)]
pub(super) struct Systemd {
    pub systemctl: PathBuf,
    pub unit: String,
}

impl Systemd {
    /// Asks systemd. What is on its way in or out still runs.
    pub async fn state(&self) -> State {
        let ended = self.call(&["is-active", &self.unit], STATUS_LIMIT, &mut Cancel::never()).await;
        match &ended {
            Ended::Exit(_, said) => match said.as_str() {
                "active" | "activating" | "deactivating" | "reloading" | "refreshing" | "maintenance" => State::Running,
                "inactive" | "failed" => State::Stopped,
                _ => State::Unknown(format!("systemctl is-active {}: {ended}", self.unit)),
            },
            _ => State::Unknown(format!("systemctl is-active {}: {ended}", self.unit)),
        }
    }

    /// Starts the unit and waits for the job.
    pub async fn start(&self, limit: Duration, cancel: &mut Cancel) -> Result<(), Failure> {
        match self.call(&["start", &self.unit], limit, cancel).await {
            Ended::Exit(0, _) => Ok(()),
            Ended::Cancelled => Err(Failure::Cancelled),
            ended => Err(Failure::Failed(format!("systemctl start {}: {ended}", self.unit))),
        }
    }

    /// Stops the unit (systemd drops a start job of it that still runs), and kills it when it does not stop in time.
    ///
    /// While the daemon itself is being stopped (`ending`) the job does not wait for that: the daemon's unit is ordered after those that it
    /// starts, so that a reboot stops it first, and each would wait for the other.
    pub async fn stop(&self, limit: Duration, ending: bool) -> Result<(), String> {
        let unordered = ending.then_some("--job-mode=ignore-dependencies");
        let arguments: Vec<&str> = ["stop"].into_iter().chain(unordered).chain([self.unit.as_str()]).collect();
        let stopped = self.call(&arguments, limit, &mut Cancel::never()).await;
        if self.state().await == State::Stopped {
            return Ok(());
        }
        tracing::warn!(target: "service", "{}: systemctl stop: {stopped}; sending SIGKILL", self.unit);
        let killed = self.call(&["kill", "-s", "SIGKILL", &self.unit], STATUS_LIMIT, &mut Cancel::never()).await;
        let begun = Instant::now();
        loop {
            match self.state().await {
                State::Stopped => return Ok(()),
                state if begun.elapsed() >= KILL_LIMIT => {
                    return Err(match state {
                        State::Unknown(why) => format!("systemctl stop {}: {stopped}; {why}", self.unit),
                        _ => format!("systemctl stop {}: {stopped}; kill: {killed}; it still runs", self.unit),
                    });
                }
                _ => sleep(POLL).await,
            }
        }
    }

    async fn call(&self, arguments: &[&str], limit: Duration, cancel: &mut Cancel) -> Ended {
        let mut command = Command::new(&self.systemctl);
        command.args(arguments).env("LC_ALL", "C").env("SYSTEMD_COLORS", "0").env("SYSTEMD_PAGER", "");
        run(command, Speech::Keep, limit, cancel).await
    }
}

/// How long a question may take.
const STATUS_LIMIT: Duration = Duration::from_secs(5);
/// How long a killed unit may take to be gone.
const KILL_LIMIT: Duration = Duration::from_secs(3);
/// Between two looks while a unit goes.
const POLL: Duration = Duration::from_millis(100);
