//! What a daemon is started with.

use std::path::PathBuf;

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
}
