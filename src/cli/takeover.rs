//! `twinbeat takeover`: take everything, or one group, from the peer.

use clap::Args;

use super::{Daemon, Patience, command, std_time};
use twinbeat_control::protocol::Request;

/// Take everything (or GROUP) from the peer
#[derive(Args, Clone, Debug)]
pub struct TakeoverArgs {
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
pub fn run(args: TakeoverArgs) -> u8 {
    command(&args.daemon.run_dir, &Request::Takeover { group: args.group }, std_time(args.patience.timeout))
}
