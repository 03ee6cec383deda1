//! The life of one service that is an agent: started, promoted, watched, demoted, stopped. Nothing counts because an action said so: the agent's
//! `monitor` has the last word, and what it cannot say counts as not stopped.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::codes::{COOKIE, Health, told};
use super::record::Record;
use super::run::{LEAST, act, monitor};
use super::spec::OcfSpec;
use super::watching::{Watched, Watching};
use crate::State;
use crate::attempt::{Env, Failure};
use crate::output::Writer;
use crate::runner::{Cancel, Ended, Speech};

/// A service behind an OCF agent.
#[derive(Debug)]
pub(crate) struct Ocf {
    spec: OcfSpec,
    /// Its name in the log.
    name: String,
    instance: String,
    record: PathBuf,
    output: Writer,
    watching: Watching,
    /// What was found out last, and when.
    last: Option<(Instant, State)>,
}

impl Ocf {
    /// Knows nothing yet. `instance` is unique on the machine, `record` where it is written down what it was started with.
    pub fn new(spec: OcfSpec, name: String, instance: String, record: PathBuf, output: Writer) -> Ocf {
        Ocf { spec, name, instance, record, output, watching: Watching::default(), last: None }
    }

    /// Asks the agent.
    pub async fn state(&mut self, env: &Env) -> State {
        let current = self.current();
        let health = self.look(&current, QUESTION_LIMIT, env).await;
        self.noted(health)
    }

    /// What was found out within the last interval; else asks: an agent costs too much to be run for everybody who looks.
    pub async fn glance(&mut self, env: &Env) -> State {
        match &self.last {
            Some((at, state)) if at.elapsed() < self.spec.monitor_interval => state.clone(),
            _ => self.state(env).await,
        }
    }

    /// Starts it unless it runs as configured, and waits until its monitor says so. What was started with other parameters, or has failed, is
    /// stopped first.
    pub async fn start(&mut self, env: &Env, limit: Duration, stop_limit: Duration, cancel: &mut Cancel) -> Result<(), Failure> {
        self.watching.rest();
        let wanted = Record { instance: self.instance.clone(), agent: self.spec.agent.clone() };
        if Record::read(&self.record).is_some_and(|record| record != wanted) {
            if self.state(env).await != State::Stopped {
                tracing::warn!(target: "service", "{}/{} runs with other parameters; started anew", env.group, self.name);
            }
            self.stop(env, stop_limit).await.map_err(Failure::Failed)?;
        }
        let promoted = self.spec.agent.promoted;
        let mut health = self.look(&wanted, limit, env).await;
        if matches!(health, Health::Failed(_) | Health::Unclear(_)) {
            self.stop(env, stop_limit).await.map_err(Failure::Failed)?;
            health = Health::Stopped;
        }
        let begun = Instant::now();
        if health == Health::Stopped {
            self.remember(&wanted);
            self.well(&wanted, "start", limit, env, cancel).await?;
            self.becomes(&wanted, "start", begun, limit, env, cancel, |health| matches!(health, Health::Running { .. })).await?;
        } else if !self.record.exists() {
            // Found running, by whomever: taken for what is configured.
            self.remember(&wanted);
        }
        if promoted && !is_promoted(&health) {
            self.well(&wanted, "promote", limit.saturating_sub(begun.elapsed()).max(LEAST), env, cancel).await?;
            self.becomes(&wanted, "promote", begun, limit, env, cancel, is_promoted).await?;
        }
        self.last = Some((Instant::now(), State::Running));
        Ok(())
    }

    /// Demotes it where it is promoted, for half of `limit` at the most, stops it, and waits until its monitor says so. A demote that fails
    /// is followed by the stop all the same.
    pub async fn stop(&mut self, env: &Env, limit: Duration) -> Result<(), String> {
        self.watching.rest();
        let current = self.current();
        let begun = Instant::now();
        let health = self.look(&current, limit, env).await;
        if self.noted(health.clone()) == State::Stopped {
            self.forget();
            return Ok(());
        }
        let name = current.agent.to_string();
        let mut never = Cancel::never();
        let running = matches!(health, Health::Running { promoted: false, .. });
        if current.agent.promoted && !running {
            let half = limit / 2;
            let ended = self.run(&current, "demote", half, env, &mut never).await;
            if !matches!(ended, Ended::Exit(0, _)) {
                tracing::warn!(target: "service", "{}/{}: {}; it is stopped all the same", env.group, self.name, told(&name, "demote", &ended));
            }
        }
        let mark = self.output.mark();
        let ended = self.run(&current, "stop", limit.saturating_sub(begun.elapsed()).max(limit / 2), env, &mut never).await;
        let ended = self.with_reason(ended, mark);
        loop {
            let health = self.look(&current, limit, env).await;
            match self.noted(health) {
                State::Stopped => {
                    self.forget();
                    return Ok(());
                }
                // The agent gave up: waiting does not help.
                state if !matches!(ended, Ended::Exit(0, _)) || begun.elapsed() >= limit => {
                    return Err(match state {
                        State::Unknown(why) => format!("{}; {why}", told(&name, "stop", &ended)),
                        _ => format!("{}; it still runs", told(&name, "stop", &ended)),
                    });
                }
                _ => sleep(POLL).await,
            }
        }
    }

    /// Waits until it runs no longer, or is not well. A monitor that fails is asked once more: that a machine has much to do is no failure.
    /// Dropping the future gives nothing up: the next call goes on.
    pub async fn watch(&mut self, env: &Env) -> Watched {
        let current = self.current();
        loop {
            let health = self.watching.next(&current, self.spec.monitor_interval, env).await;
            self.noted(health.clone());
            if let Some(end) = self.watching.judge(health, current.agent.promoted, &format!("{}/{}", env.group, self.name)) {
                return end;
            }
        }
    }

    /// What runs here was started with this; where nothing is written down, with what is configured.
    fn current(&self) -> Record {
        Record::read(&self.record).unwrap_or_else(|| Record { instance: self.instance.clone(), agent: self.spec.agent.clone() })
    }

    fn remember(&self, started: &Record) {
        if let Err(error) = started.write(&self.record) {
            let name = self.record.display();
            tracing::warn!(target: "service", "{name}: {error}; with changed parameters it will be stopped by the new ones");
        }
    }

    fn forget(&self) {
        match std::fs::remove_file(&self.record) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(target: "service", "{}: {error}", self.record.display());
            }
            _ => {}
        }
    }

    /// A state, and kept for those who look.
    fn noted(&mut self, health: Health) -> State {
        let state = match health {
            Health::Running { .. } => State::Running,
            Health::Stopped => State::Stopped,
            Health::Failed(why) | Health::Unclear(why) => State::Unknown(why),
        };
        self.last = Some((Instant::now(), state.clone()));
        state
    }

    /// A question out of turn.
    async fn look(&self, current: &Record, limit: Duration, env: &Env) -> Health {
        monitor(current, self.watching.limit().min(limit), Duration::ZERO, env).await
    }

    /// Its output is the service's.
    async fn run(&self, current: &Record, name: &'static str, limit: Duration, env: &Env, cancel: &mut Cancel) -> Ended {
        act(current, name, limit, Speech::Log(&self.output), env, cancel).await
    }

    /// The same of a start, which has to be well.
    async fn well(
        &self,
        current: &Record,
        name: &'static str,
        limit: Duration,
        env: &Env,
        cancel: &mut Cancel,
    ) -> Result<(), Failure> {
        let mark = self.output.mark();
        match self.run(current, name, limit, env, cancel).await {
            Ended::Exit(0, _) => Ok(()),
            Ended::Cancelled => Err(Failure::Cancelled),
            ended => Err(Failure::Failed(told(&current.agent.to_string(), name, &self.with_reason(ended, mark)))),
        }
    }

    /// Waits until the monitor says what is wanted.
    #[expect(clippy::too_many_arguments, reason = "one wait in two places")]
    async fn becomes(
        &self,
        current: &Record,
        name: &str,
        begun: Instant,
        limit: Duration,
        env: &Env,
        cancel: &Cancel,
        wanted: impl Fn(&Health) -> bool,
    ) -> Result<(), Failure> {
        loop {
            let health = self.look(current, limit, env).await;
            if wanted(&health) {
                return Ok(());
            }
            if cancel.is_set() {
                return Err(Failure::Cancelled);
            }
            if begun.elapsed() >= limit {
                let says = match health {
                    Health::Running { promoted: false, .. } => "that it is not promoted".to_owned(),
                    Health::Running { .. } => "that it runs".to_owned(),
                    Health::Stopped => "that it does not run".to_owned(),
                    Health::Failed(why) | Health::Unclear(why) => why,
                };
                return Err(Failure::Failed(format!(
                    "{} {name} said done, and its monitor says {says} after {limit:?}",
                    current.agent
                )));
            }
            sleep(POLL).await;
        }
    }

    /// An end with what the agent wrote about it since `mark`.
    fn with_reason(&self, ended: Ended, mark: u64) -> Ended {
        match ended {
            Ended::Exit(code, said) if said.is_empty() => Ended::Exit(code, self.output.since(mark, COOKIE).unwrap_or_default()),
            ended => ended,
        }
    }
}

fn is_promoted(health: &Health) -> bool {
    matches!(health, Health::Running { promoted: true, .. })
}

/// A question of somebody who waits for the answer (`status`, the daemon's start) may take so long.
const QUESTION_LIMIT: Duration = Duration::from_secs(5);
/// Between two looks while a service comes or goes: a look costs tens of milliseconds of a CPU.
const POLL: Duration = Duration::from_millis(300);
