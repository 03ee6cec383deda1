//! What every kind of service is started with, and how a start can end.

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
}

/// Why a start did not come to its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Failure {
    /// A newer order broke it off.
    Cancelled,
    /// It failed, and why.
    Failed(String),
}
