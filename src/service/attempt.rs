//! What every kind of service is started with, and how a start can end.

use std::time::Duration;

/// What a service's children find in their environment.
#[derive(Clone, Debug)]
pub(super) struct Env {
    /// The group's name.
    pub group: String,
    /// This node's name.
    pub node: String,
    /// The epoch that the service is started for; none while it is only kept warm.
    pub epoch: Option<u64>,
    /// The daemon is being stopped, perhaps by the systemd that it asks to stop something.
    pub ending: bool,
}

impl Env {
    /// As variables.
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = vec![("TWINBEAT_GROUP", self.group.clone()), ("TWINBEAT_NODE", self.node.clone())];
        pairs.extend(self.epoch.map(|epoch| ("TWINBEAT_EPOCH", epoch.to_string())));
        pairs
    }

    /// As `KEY=value`.
    pub fn variables(&self) -> Vec<String> {
        self.pairs().into_iter().map(|(key, value)| format!("{key}={value}")).collect()
    }
}

/// Why a start did not come to its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Failure {
    /// A newer order broke it off.
    Cancelled,
    /// It failed, and why.
    Failed(String),
}

/// What a unit of the daemon's making is made of.
pub(super) struct Start<'a> {
    /// For people.
    pub title: String,
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Its environment.
    pub env: &'a Env,
    /// It is done when it ends; what it leaves behind stays in the unit. Else it stays in the foreground.
    pub ends: bool,
    /// It may have to run while the daemon is being stopped.
    pub last: bool,
    /// How long it may take to start, or to be done.
    pub start_limit: Duration,
    /// How long it may take to stop before systemd kills it.
    pub stop_limit: Duration,
}
