//! `twinbeat standby`: hand everything, or one group, to the peer, and stay standby.

use clap::Args;

use super::Lasting;
use twinbeat_control::protocol::Request;

/// Hand everything (or GROUP) to the peer; holds until `resume`, the end of --for, or `takeover` here
#[derive(Args, Clone, Debug)]
pub struct StandbyArgs {
    /// Which group, for how long, and why
    #[command(flatten)]
    pub word: Lasting,
}

/// Runs it; the exit code.
pub fn run(args: StandbyArgs) -> u8 {
    args.word.say(|group, lasting, reason| Request::Standby { group, lasting, reason })
}
