//! The command line: one file a verb.

pub mod check;
#[cfg(feature = "lab")]
pub mod compare;
#[cfg(feature = "lab")]
pub mod drill;
pub mod explore;
pub mod fenced;
pub mod import;
pub mod init;
pub mod keygen;
pub mod line;
pub mod pause;
pub mod recorded;
pub mod reload;
pub mod render;
pub mod replay;
pub mod resume;
pub mod run;
pub mod standby;
pub mod status;
pub mod takeover;
mod watch;
pub mod why;
#[cfg(not(feature = "lab"))]
pub mod without_lab;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use twinbeat_config::duration;
use twinbeat_control::client::ask_blocking;
use twinbeat_control::protocol::{Request, Response};
use twinbeat_core::time::Span;
use twinbeat_say::say;

/// Where the daemon is, and how long to wait for it.
#[derive(Args, Clone, Debug)]
pub struct Daemon {
    /// The daemon's run directory
    #[arg(long, value_name = "DIR", default_value = "/run/twinbeat")]
    pub run_dir: PathBuf,
}

/// How long a move may take before the command gives up waiting (the daemon goes on).
#[derive(Args, Clone, Debug)]
pub struct Patience {
    /// How long to wait for the move to finish
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = duration::parse)]
    pub timeout: Span,
}

/// A word about a group that holds for a while.
#[derive(Args, Clone, Debug)]
pub struct Lasting {
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

impl Lasting {
    /// Says it; the exit code.
    fn say(self, request: impl FnOnce(Option<String>, Option<Span>, Option<String>) -> Request) -> u8 {
        command(&self.daemon.run_dir, &request(self.group, self.lasting, self.reason), std_time(self.patience.timeout))
    }
}

/// Sends a command, prints its answer, returns the exit code: 0 done, 1 refused or failed.
fn command(run_dir: &Path, request: &Request, patience: Duration) -> u8 {
    match ask_blocking(run_dir, request, patience) {
        Ok(Response::Done(text)) => {
            say!("{text}");
            0
        }
        Ok(Response::Refused(reason)) => {
            eprintln!("refused: {reason}");
            1
        }
        Ok(Response::View(_) | Response::Journal(_) | Response::Reload(_)) => {
            eprintln!("the daemon answered something else than was asked");
            1
        }
        Err(error) => {
            eprintln!("{error}");
            1
        }
    }
}

/// As the standard library has it.
fn std_time(span: Span) -> Duration {
    Duration::from_nanos(span.0)
}
