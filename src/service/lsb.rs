//! Init scripts: `start`, `stop`, `status`, with the exit codes of the LSB (Core 5.0, 22.2 "Init Script Actions").

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::process::Command;
use tokio::time::sleep;

use super::State;
use super::attempt::{Env, Failure, Start};
use super::output::Writer;
use super::runner::{Cancel, Ended, Speech, run};
use super::transient::Transient;

/// A service behind an init script.
#[derive(Debug)]
pub(super) struct Lsb {
    pub script: PathBuf,
    /// Before the action, as heartbeat 1 gave them.
    pub arguments: Vec<String>,
    pub output: Writer,
    /// The unit in which what it starts lives, and the one in which it stops it, where systemd runs it.
    pub units: Option<[Transient; 2]>,
}

impl Lsb {
    /// Asks the script.
    pub async fn state(&self, env: &Env) -> State {
        let limit = STATUS_LIMIT;
        match run(self.action("status", env), Speech::Mute, limit, &mut Cancel::never()).await {
            Ended::Exit(0, _) => State::Running,
            Ended::Exit(1..=3, _) => State::Stopped,
            Ended::Exit(code, _) => State::Unknown(format!("{} status: exit code {code}", self.script.display())),
            other => State::Unknown(format!("{} status: {other}", self.script.display())),
        }
    }

    /// Starts it, and waits until its status says that it runs.
    pub async fn start(&self, env: &Env, [limit, stop_limit]: [Duration; 2], cancel: &mut Cancel) -> Result<(), Failure> {
        let begun = Instant::now();
        match &self.units {
            Some([home, _]) if home.wanted => {
                // What an earlier start left behind there does not run, says its status.
                home.stop(stop_limit, env.ending).await.map_err(Failure::Failed)?;
                home.start(self.in_unit("start", env, limit, stop_limit), cancel).await?;
            }
            _ => match run(self.action("start", env), Speech::Log(&self.output), limit, cancel).await {
                Ended::Exit(0, _) => {}
                Ended::Cancelled => return Err(Failure::Cancelled),
                ended => return Err(Failure::Failed(format!("{} start: {}", self.script.display(), meaning(&ended)))),
            },
        }
        loop {
            let state = self.state(env).await;
            if state == State::Running {
                return Ok(());
            }
            if cancel.is_set() {
                return Err(Failure::Cancelled);
            }
            if begun.elapsed() >= limit {
                let script = self.script.display();
                return Err(Failure::Failed(format!("{script} start said done, and its status says {state:?} after {limit:?}")));
            }
            sleep(POLL).await;
        }
    }

    /// Stops it, and waits until its status says so.
    pub async fn stop(&self, env: &Env, limit: Duration) -> Result<(), String> {
        let begun = Instant::now();
        let (gave_up, how) = match &self.units {
            Some([_, last]) if last.wanted => {
                // One that hangs is ended before another is asked.
                let _ = last.stop(STATUS_LIMIT, env.ending).await;
                match last.start(self.in_unit("stop", env, limit, STATUS_LIMIT), &mut Cancel::never()).await {
                    Ok(()) => (false, "exit code 0".to_string()),
                    Err(Failure::Failed(why)) => (true, why),
                    Err(Failure::Cancelled) => (true, Ended::Cancelled.to_string()),
                }
            }
            _ => {
                let ended = run(self.action("stop", env), Speech::Log(&self.output), limit, &mut Cancel::never()).await;
                (ended != Ended::Exit(0, String::new()), meaning(&ended))
            }
        };
        loop {
            match self.state(env).await {
                State::Stopped => break,
                // the script gave up: waiting does not help
                state if gave_up || begun.elapsed() >= limit => {
                    let script = self.script.display();
                    return Err(match state {
                        State::Unknown(why) => format!("{script} stop: {how}; {why}"),
                        _ => format!("{script} stop: {how}; it still runs"),
                    });
                }
                _ => sleep(POLL).await,
            }
        }
        // What is left in the units goes as well; the service itself has stopped.
        for unit in self.units.iter().flatten().filter(|unit| unit.started().is_some()) {
            if let Err(why) = unit.stop(STATUS_LIMIT, env.ending).await {
                tracing::warn!(target: "service", "{}: {why}", unit.systemd.unit);
            }
        }
        Ok(())
    }

    fn in_unit<'a>(&self, action: &str, env: &'a Env, start_limit: Duration, stop_limit: Duration) -> Start<'a> {
        let script = self.script.to_string_lossy().into_owned();
        let title = format!("{script} {action} of twinbeat's group {}", env.group);
        let argv = std::iter::once(script).chain(self.arguments.iter().cloned()).chain([action.to_string()]).collect();
        Start { title, argv, env, ends: true, last: action == "stop", start_limit, stop_limit }
    }

    fn action(&self, action: &str, env: &Env) -> Command {
        let mut command = Command::new(&self.script);
        command.args(&self.arguments).arg(action).envs(env.pairs());
        command
    }
}

/// The LSB's words for an exit code of `start` and `stop`.
fn meaning(ended: &Ended) -> String {
    let words = match ended {
        Ended::Exit(1, _) => "generic error",
        Ended::Exit(2, _) => "invalid argument",
        Ended::Exit(3, _) => "not implemented",
        Ended::Exit(4, _) => "insufficient privilege",
        Ended::Exit(5, _) => "program not installed",
        Ended::Exit(6, _) => "not configured",
        Ended::Exit(7, _) => "not running",
        _ => return ended.to_string(),
    };
    format!("{ended} ({words})")
}

/// How long a `status` may take.
const STATUS_LIMIT: Duration = Duration::from_secs(5);
/// Between two looks while a service comes or goes.
const POLL: Duration = Duration::from_millis(100);
