//! `twinbeat run`: the daemon, in the foreground.

use std::path::PathBuf;

use twinbeat_config::DEFAULT_FILE;
use twinbeat_daemon::{self as daemon, Options};

/// The daemon (foreground; systemd Type=notify)
#[derive(clap::Args, Clone, Debug)]
pub struct RunArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
    pub config: PathBuf,
    /// Which node this machine is; else the host name
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// Control socket and lock
    #[arg(long, value_name = "DIR", default_value = "/run/twinbeat")]
    pub run_dir: PathBuf,
    /// Epochs and services' pids
    #[arg(long, value_name = "DIR", default_value = "/var/lib/twinbeat")]
    pub state_dir: PathBuf,
    /// Only whether it could begin: the file, the key, the state directory
    #[arg(long = "try", hide = true)]
    pub only_try: bool,
    /// What the life before this one, which read the file anew, has asked for
    #[arg(long, hide = true, value_name = "ADDRESS@NANOSECONDS", value_parser = daemon::asked)]
    pub asked: Vec<daemon::Free>,
}

/// Runs it until it is told to stop.
///
/// # Errors
/// What keeps it from starting or from going on; a [`daemon::Fault`] has an exit code of its own.
pub fn run(args: RunArgs) -> anyhow::Result<()> {
    let RunArgs { config, node, run_dir, state_dir, only_try, asked } = args;
    let options = Options { config, node, run_dir, state_dir, asked };
    if only_try { daemon::try_start(&options) } else { daemon::run(options) }
}
