//! `twinbeat status`: who serves, would a takeover work now, what changed last, what to do next.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use clap::Args;

use super::Daemon;
use super::render::{Paint, render};
use twinbeat_control::client::ask_blocking;
use twinbeat_control::protocol::{PATIENCE, Request, Response};
use twinbeat_control::schema;
pub use twinbeat_control::shown::{Health, json};
use twinbeat_say::say_on;

/// Who serves, would a takeover work now, what changed last, what to do next.
///
/// Exit codes: 0 healthy, 10 degraded, 11 nobody serves, 12 two owners, 1 the daemon cannot be reached
#[derive(Args, Clone, Debug)]
pub struct StatusArgs {
    /// As one JSON object, for programs
    #[arg(long, conflicts_with = "watch")]
    pub json: bool,
    /// Again every second, until interrupted; on a terminal a screen with the lanes of the last minutes
    #[arg(long)]
    pub watch: bool,
    /// Print the JSON schema of what `--json` prints, and do nothing else
    #[arg(long, conflicts_with_all = ["json", "watch"])]
    pub schema: bool,
    /// Where the daemon is
    #[command(flatten)]
    pub daemon: Daemon,
}

/// Runs it; the exit code.
pub fn run(args: &StatusArgs) -> u8 {
    if args.schema {
        say_on!("{}", schema::text());
        return 0;
    }
    let terminal = std::io::stdout().is_terminal();
    if args.watch
        && terminal
        && let Some(code) = super::watch::run(&args.daemon.run_dir)
    {
        return code;
    }
    let paint = if terminal && std::env::var_os("NO_COLOR").is_none() { Paint::Colors } else { Paint::Plain };
    loop {
        let (text, code) = match ask_blocking(&args.daemon.run_dir, &Request::Status {}, PATIENCE) {
            Ok(Response::View(view)) => {
                let text = if args.json { json(&view) } else { render(&view, wall_clock(), paint) };
                (text, Health::of(&view).code())
            }
            Ok(Response::Journal(_) | Response::Reload(_)) => {
                eprintln!("the daemon answered something else than was asked");
                (String::new(), 1)
            }
            Ok(Response::Done(text) | Response::Refused(text)) => {
                eprintln!("{text}");
                (String::new(), 1)
            }
            Err(error) => {
                eprintln!("{error}");
                (if args.json { unreachable(&error.to_string()) } else { String::new() }, 1)
            }
        };
        let clear = if args.watch && terminal { "\x1b[H\x1b[2J" } else { "" };
        // whoever reads may have gone: that ends a watch, and is no panic
        if write!(std::io::stdout(), "{clear}{text}").and_then(|()| std::io::stdout().flush()).is_err() || !args.watch {
            return code;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// What programs get when nobody answers.
fn unreachable(error: &str) -> String {
    let object = serde_json::json!({ "health": "unreachable", "error": error });
    serde_json::to_string_pretty(&object).map(|text| text + "\n").unwrap_or_default()
}

/// Turns "so many milliseconds ago" into a time: of day, or with the date when it is longer ago than half a day. UTC, and says so.
fn wall_clock() -> impl Fn(u64) -> String {
    let now = twinbeat_say::Stamp::now();
    move |ago_ms| match now.ago(ago_ms) {
        then if ago_ms < 43_200_000 => format!("{}Z", then.time_of_day()),
        then => then.to_string(),
    }
}
