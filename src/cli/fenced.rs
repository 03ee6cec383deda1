//! `twinbeat fenced`: a person says that the peer is off.

use clap::Args;

use super::{Daemon, Patience, command, std_time};
use twinbeat_control::protocol::Request;

/// Say that the peer is off, and will not come back by itself: where no challenge is possible, or the peer could not be fenced, this node may
/// then take over. Two owners come of it where it is not true
#[derive(Args, Clone, Debug)]
pub struct FencedArgs {
    /// The peer's name
    pub node: String,
    /// Where the daemon is
    #[command(flatten)]
    pub daemon: Daemon,
    /// How long to wait
    #[command(flatten)]
    pub patience: Patience,
}

/// Runs it; the exit code.
pub fn run(args: FencedArgs) -> u8 {
    command(&args.daemon.run_dir, &Request::Fenced { node: args.node }, std_time(args.patience.timeout))
}
