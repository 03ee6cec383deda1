//! systemd units through `systemctl`, where the bus cannot be asked: as root it reaches systemd without one.

use std::path::PathBuf;
use std::time::Duration;

use tokio::process::Command;

use super::State;
use super::attempt::Failure;
use super::runner::{Cancel, Ended, Speech, run};

/// A unit, asked about by running a program.
#[derive(Debug)]
pub(super) struct Systemctl {
    pub program: PathBuf,
    pub unit: String,
}

impl Systemctl {
    /// Asks systemd.
    pub async fn state(&self, limit: Duration) -> State {
        let ended = self.call(&["is-active", &self.unit], limit, &mut Cancel::never()).await;
        let state = match &ended {
            Ended::Exit(_, said) => state_of(said),
            _ => None,
        };
        state.unwrap_or_else(|| State::Unknown(format!("systemctl is-active {}: {ended}", self.unit)))
    }

    /// Starts the unit and waits for the job.
    pub async fn start(&self, limit: Duration, cancel: &mut Cancel) -> Result<(), Failure> {
        match self.call(&["start", &self.unit], limit, cancel).await {
            Ended::Exit(0, _) => Ok(()),
            Ended::Cancelled => Err(Failure::Cancelled),
            ended => Err(Failure::Failed(format!("systemctl start {}: {ended}", self.unit))),
        }
    }

    /// A stop, to the end of its job; what became of it, for people.
    pub async fn stop(&self, limit: Duration, unordered: bool) -> String {
        let mode = unordered.then_some("--job-mode=ignore-dependencies");
        let arguments: Vec<&str> = ["stop"].into_iter().chain(mode).chain([self.unit.as_str()]).collect();
        self.call(&arguments, limit, &mut Cancel::never()).await.to_string()
    }

    /// SIGKILL to all of the unit; what became of that, for people.
    pub async fn kill(&self, limit: Duration) -> String {
        self.call(&["kill", "-s", "SIGKILL", &self.unit], limit, &mut Cancel::never()).await.to_string()
    }

    async fn call(&self, arguments: &[&str], limit: Duration, cancel: &mut Cancel) -> Ended {
        let mut command = Command::new(&self.program);
        command.args(arguments).env("LC_ALL", "C").env("SYSTEMD_COLORS", "0").env("SYSTEMD_PAGER", "");
        run(command, Speech::Keep, limit, cancel).await
    }
}

/// A unit's ActiveState. What is on its way in or out still runs.
pub(super) fn state_of(active: &str) -> Option<State> {
    match active {
        "active" | "activating" | "deactivating" | "reloading" | "refreshing" | "maintenance" => Some(State::Running),
        "inactive" | "failed" => Some(State::Stopped),
        _ => None,
    }
}
