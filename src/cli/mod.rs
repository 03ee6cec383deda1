//! The command line: one file a verb.

pub mod check;
#[cfg(feature = "lab")]
pub mod compare;
#[cfg(feature = "lab")]
pub mod drill;
pub mod explore;
pub mod import;
pub mod keygen;
pub mod recorded;
pub mod render;
pub mod replay;
pub mod resume;
pub mod run;
pub mod standby;
pub mod status;
pub mod takeover;
pub mod why;
#[cfg(not(feature = "lab"))]
pub mod without_lab;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use twinbeat_config::any_duration;
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
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = parse_span)]
    pub timeout: Span,
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
        Ok(Response::View(_) | Response::Journal(_)) => {
            eprintln!("the daemon answered something else than was asked");
            1
        }
        Err(error) => {
            eprintln!("{error}");
            1
        }
    }
}

/// A duration with its unit: `90s`, `30m`, `1.5h`, `200ms`, `2d`.
pub fn parse_span(text: &str) -> Result<Span, String> {
    let wrong = || format!("`{text}` is not a duration: a number with a unit, one of us, ms, s, m, h, d (30m, 2s, 1.5h)");
    any_duration(text).ok_or_else(wrong)
}

/// As the standard library has it.
fn duration(span: Span) -> Duration {
    Duration::from_nanos(span.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn durations_carry_units() {
        for (text, span) in [
            ("30m", Span::secs(1800)),
            ("2s", Span::secs(2)),
            ("1.5h", Span::secs(5400)),
            ("200ms", Span::millis(200)),
            ("0.25s", Span::millis(250)),
            ("1d", Span::secs(86_400)),
            ("1 s", Span::secs(1)),
        ] {
            assert_eq!(parse_span(text).unwrap(), span, "{text}");
        }
        for text in ["", "30", "m", "1.s", ".5s", "-1s", "1  s", "1.2.3s", "99999999999999999999d", "3w", "1.0000000001s"] {
            assert!(parse_span(text).is_err(), "{text}");
        }
    }
}
