//! `twinbeat pause`: services and addresses stay as they are, on both nodes, while people work on them.

use clap::Args;

use super::Lasting;
use twinbeat_control::protocol::Request;

/// Restart and move nothing for a service's sake, on both nodes; holds until `resume` or the end of --for
#[derive(Args, Clone, Debug)]
pub struct PauseArgs {
    /// Which group, for how long, and why
    #[command(flatten)]
    pub word: Lasting,
}

/// Runs it; the exit code.
pub fn run(args: PauseArgs) -> u8 {
    args.word.say(|group, lasting, reason| Request::Pause { group, lasting, reason })
}
