//! `twinbeat resume`: end a standby and a pause, of one group or of all.

use clap::Args;

use super::{Daemon, Patience, command, std_time};
use twinbeat_control::protocol::Request;

/// End a standby, and a pause on both nodes
#[derive(Args, Clone, Debug)]
pub struct ResumeArgs {
    /// The group; all, if none is named
    pub group: Option<String>,
    /// Where the daemon is
    #[command(flatten)]
    pub daemon: Daemon,
    /// How long to wait
    #[command(flatten)]
    pub patience: Patience,
}

/// Runs it; the exit code.
pub fn run(args: ResumeArgs) -> u8 {
    command(&args.daemon.run_dir, &Request::Resume { group: args.group }, std_time(args.patience.timeout))
}
