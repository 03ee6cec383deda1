//! systemd units through `systemctl`, where the bus cannot be asked: as root it reaches systemd without one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use super::State;
use super::attempt::{Failure, Start};
use super::bus::DAEMON;
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

    /// Starts the unit as one that is made of a program (systemd-run(1)), and waits for the job.
    pub async fn run(
        &self,
        what: &Start<'_>,
        program: &Path,
        output: &Path,
        limit: Duration,
        cancel: &mut Cancel,
    ) -> Result<(), Failure> {
        // One that failed before stays loaded until it is told that this was seen; where there is none that is refused.
        let _ = self.call(&["reset-failed", &self.unit], limit, &mut Cancel::never()).await;
        let micros = |limit: Duration| format!("{}us", limit.as_micros());
        let mut arguments = vec![
            "--quiet".to_owned(),
            "--no-ask-password".to_owned(),
            format!("--unit={}", self.unit),
            format!("--description={}", what.title),
            format!("--service-type={}", if what.ends { "oneshot" } else { "exec" }),
            format!("--property=TimeoutStartSec={}", micros(what.start_limit)),
            format!("--property=TimeoutStopSec={}", micros(what.stop_limit)),
            if what.last { "--property=DefaultDependencies=no".into() } else { format!("--property=Before={DAEMON}") },
            format!("--property=StandardOutput=append:{}", output.display()),
            format!("--property=StandardError=append:{}", output.display()),
        ];
        arguments.extend(what.ends.then(|| "--remain-after-exit".to_owned()));
        arguments.extend(what.env.variables().into_iter().map(|pair| format!("--setenv={pair}")));
        arguments.extend(["--".to_owned(), program.to_string_lossy().into_owned()]);
        arguments.extend(what.argv.iter().skip(1).map(|word| word.replace('$', "$$")));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        match self.call_of(&self.program.with_file_name("systemd-run"), &arguments, limit, cancel).await {
            Ended::Exit(0, _) => Ok(()),
            Ended::Cancelled => Err(Failure::Cancelled),
            ended => Err(Failure::Failed(format!("systemd-run of {}: {ended}", self.unit))),
        }
    }

    async fn call(&self, arguments: &[&str], limit: Duration, cancel: &mut Cancel) -> Ended {
        self.call_of(&self.program, arguments, limit, cancel).await
    }

    async fn call_of(&self, program: &Path, arguments: &[&str], limit: Duration, cancel: &mut Cancel) -> Ended {
        let mut command = Command::new(program);
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
