//! The monitors of one service that runs here, one after the other. Each is a task of its own: whoever waits for it is called away by each letter
//! to the manager, and neither a monitor nor the time until the next one may begin anew then.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::ask::meta_data;
use super::codes::Health;
use super::record::Record;
use super::run::{LEAST, monitor};
use super::spec::AgentSpec;
use crate::attempt::Env;

/// What a watch saw in the end.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Watched {
    /// It runs no longer.
    Gone(String),
    /// It may run, and is not well.
    Ill(String),
}

/// Where the watch is.
#[derive(Debug, Default)]
pub(super) struct Watching {
    /// How long a monitor may take, once the agent has been asked.
    limit: Option<Duration>,
    due: Option<Instant>,
    asked: Option<JoinHandle<(Duration, Health)>>,
    failed: u32,
    unclear: u32,
    degraded: bool,
}

impl Watching {
    /// The watch ends; the next one begins anew.
    pub fn rest(&mut self) {
        if let Some(task) = self.asked.take() {
            task.abort();
        }
        (self.due, self.failed, self.unclear, self.degraded) = (None, 0, 0, false);
    }

    /// How long a monitor may take, as far as is known.
    pub fn limit(&self) -> Duration {
        self.limit.unwrap_or(MONITOR_LIMIT)
    }

    /// The next monitor's word. What a dropped future had begun the next call waits for.
    pub async fn next(&mut self, current: &Record, interval: Duration, env: &Env) -> Health {
        if self.asked.is_none() {
            let pause = if self.failed > 0 { AGAIN.min(interval) } else { interval };
            sleep_until(*self.due.get_or_insert_with(|| Instant::now() + pause)).await;
        }
        let known = self.limit;
        let begin = || {
            let (current, env) = (current.clone(), env.clone());
            tokio::spawn(async move {
                let limit = match known {
                    Some(limit) => limit,
                    None => advised(&current.agent).await,
                };
                (limit, monitor(&current, limit, interval, &env).await)
            })
        };
        let done = self.asked.get_or_insert_with(begin).await;
        (self.asked, self.due) = (None, None);
        match done {
            Ok((limit, health)) => {
                self.limit = Some(limit);
                health
            }
            Err(error) => Health::Unclear(error.to_string()),
        }
    }

    /// Whether the watch is over with this. `name` is for the log.
    pub fn judge(&mut self, health: Health, promoted: bool, name: &str) -> Option<Watched> {
        match health {
            Health::Stopped => return Some(Watched::Gone("its monitor says that it no longer runs".into())),
            Health::Running { promoted: false, .. } if promoted => {
                return Some(Watched::Ill("its monitor says that it is not promoted any more".into()));
            }
            Health::Running { degraded, .. } => {
                if degraded != self.degraded {
                    tracing::warn!(target: "service", "{name}: {}", if degraded { "degraded, says its monitor" } else { "no longer degraded" });
                }
                (self.failed, self.unclear, self.degraded) = (0, 0, degraded);
            }
            Health::Failed(why) if self.failed > 0 => {
                self.failed = 0;
                return Some(Watched::Ill(format!("{why}; twice in a row")));
            }
            Health::Failed(why) => {
                tracing::info!(target: "service", "{name}: {why}; asked once more");
                self.failed = self.failed.saturating_add(1);
            }
            // An agent that cannot be run is no proof that the service failed.
            Health::Unclear(why) => {
                if self.unclear % 30 == 1 {
                    tracing::warn!(target: "service", "{name}: state unknown: {why}");
                }
                self.unclear = self.unclear.saturating_add(1);
            }
        }
        None
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        if let Some(task) = self.asked.take() {
            task.abort();
        }
    }
}

/// What an agent advises for its monitor; where it says nothing the usual limit.
async fn advised(agent: &AgentSpec) -> Duration {
    let advised = match meta_data(agent, META_DATA_LIMIT).await {
        Ok(meta) => meta.action("monitor", agent.promoted).and_then(|action| action.timeout),
        Err(why) => {
            tracing::debug!(target: "service", "{agent}: {why}");
            None
        }
    };
    advised.unwrap_or(MONITOR_LIMIT).clamp(LEAST, LONGEST_MONITOR)
}

/// A monitor may take so long where the agent does not say.
const MONITOR_LIMIT: Duration = Duration::from_secs(20);
/// And so long whatever it says.
const LONGEST_MONITOR: Duration = Duration::from_secs(300);
/// An agent may take so long to say what it is.
const META_DATA_LIMIT: Duration = Duration::from_secs(5);
/// Before a monitor that failed is asked once more.
const AGAIN: Duration = Duration::from_secs(1);
