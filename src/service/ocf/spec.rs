//! An agent as configured: plain data.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Which agent, and what it is given: what one running instance is started with and has to be stopped with.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AgentSpec {
    /// OCF_ROOT: `/usr/lib/ocf`.
    pub root: PathBuf,
    /// The program, as a rule `OCF_ROOT/resource.d/PROVIDER/TYPE`.
    pub program: PathBuf,
    /// OCF_RESOURCE_PROVIDER: `heartbeat`.
    pub provider: String,
    /// OCF_RESOURCE_TYPE: `nginx`.
    pub agent: String,
    /// OCF_RESKEY_*, without the prefix.
    pub parameters: BTreeMap<String, String>,
    /// It is promoted behind its start, and demoted before its stop.
    pub promoted: bool,
}

/// A service that is an agent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OcfSpec {
    /// The agent.
    pub agent: AgentSpec,
    /// Between two monitors of one that runs here.
    pub monitor_interval: Duration,
}

impl fmt::Display for AgentSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ocf:{}:{}", self.provider, self.agent)
    }
}
