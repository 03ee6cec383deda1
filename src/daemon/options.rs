//! What a daemon is started with.

use std::path::PathBuf;

use super::asking::Free;

/// What the command line says of a daemon.
#[derive(Clone, Debug)]
pub struct Options {
    /// The configuration file.
    pub config: PathBuf,
    /// This node's name; else the host's.
    pub node: Option<String>,
    /// Control socket and lock.
    pub run_dir: PathBuf,
    /// Record, services' pids.
    pub state_dir: PathBuf,
    /// Addresses that the life before this one has asked for, for a reload.
    pub asked: Vec<Free>,
}
