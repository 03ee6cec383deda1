//! `twinbeat standby`: hand everything, or one group, to the peer, and stay standby.

use clap::Args;

use super::{Daemon, Patience, command, std_time};
use twinbeat_config::duration;
use twinbeat_control::protocol::Request;
use twinbeat_core::time::Span;

/// Hand everything (or GROUP) to the peer; holds until `resume`, the end of --for, or `takeover` here
#[derive(Args, Clone, Debug)]
pub struct StandbyArgs {
    /// The group; all, if none is named
    pub group: Option<String>,
    /// For how long (30m, 2h)
    #[arg(long = "for", value_name = "TIME", value_parser = duration::parse)]
    pub lasting: Option<Span>,
    /// Why, for those who look at `status` later
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Where the daemon is
    #[command(flatten)]
    pub daemon: Daemon,
    /// How long to wait
    #[command(flatten)]
    pub patience: Patience,
}

/// Runs it; the exit code.
pub fn run(args: StandbyArgs) -> u8 {
    let request = Request::Standby { group: args.group, lasting: args.lasting, reason: args.reason };
    command(&args.daemon.run_dir, &request, std_time(args.patience.timeout))
}
