//! `twinbeat status`: who serves, would a takeover work now, what changed last, what to do next.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::Daemon;
use super::render::{Paint, render};
use twinbeat_control::client::ask_blocking;
use twinbeat_control::protocol::{PATIENCE, Request, Response};
use twinbeat_core::view::{Change, View};

/// Who serves, would a takeover work now, what changed last, what to do next.
///
/// Exit codes: 0 healthy, 10 degraded, 11 nobody serves, 12 two owners, 1 the daemon cannot be reached
#[derive(Args, Clone, Debug)]
pub struct StatusArgs {
    /// As one JSON object, for programs
    #[arg(long, conflicts_with = "watch")]
    pub json: bool,
    /// Again every second, until interrupted
    #[arg(long)]
    pub watch: bool,
    /// Where the daemon is
    #[command(flatten)]
    pub daemon: Daemon,
}

/// `status --json`: the whole view, and at the top what scripts ask first.
#[derive(Serialize)]
struct Json<'a> {
    #[serde(flatten)]
    view: &'a View,
    health: &'static str,
    lease_ms_left: Option<u64>,
    last_change: Option<Last<'a>>,
}

/// The newest change of all groups.
#[derive(Serialize)]
struct Last<'a> {
    /// RFC 3339, UTC.
    time: String,
    /// The same as `text`.
    reason: &'a str,
    #[serde(flatten)]
    change: &'a Change,
}

/// What the exit code says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Health {
    /// All is well.
    Healthy,
    /// Served, and something is wrong.
    Degraded,
    /// A group that nobody serves.
    NobodyServes,
    /// A group that two nodes own.
    TwoOwners,
}

impl Health {
    /// The worst that the view shows.
    pub fn of(view: &View) -> Health {
        if view.groups.iter().any(|group| group.two_owners) {
            Health::TwoOwners
        } else if view.groups.iter().any(|group| group.owner.is_none()) {
            Health::NobodyServes
        } else if !view.problems.is_empty()
            || view.mismatch.is_some()
            || view.groups.iter().any(|group| !group.takeover_ready.ready || group.failing().is_some())
        {
            Health::Degraded
        } else {
            Health::Healthy
        }
    }

    /// The exit code of `status`.
    pub fn code(self) -> u8 {
        match self {
            Health::Healthy => 0,
            Health::Degraded => 10,
            Health::NobodyServes => 11,
            Health::TwoOwners => 12,
        }
    }

    /// In one word, for programs.
    pub fn word(self) -> &'static str {
        match self {
            Health::Healthy => "healthy",
            Health::Degraded => "degraded",
            Health::NobodyServes => "nobody_serves",
            Health::TwoOwners => "two_owners",
        }
    }
}

/// Runs it; the exit code.
pub fn run(args: &StatusArgs) -> u8 {
    let terminal = std::io::stdout().is_terminal();
    let paint = if terminal && std::env::var_os("NO_COLOR").is_none() { Paint::Colors } else { Paint::Plain };
    loop {
        let (text, code) = match ask_blocking(&args.daemon.run_dir, &Request::Status {}, PATIENCE) {
            Ok(Response::View(view)) => {
                let text = if args.json { json(&view) } else { render(&view, wall_clock(), paint) };
                (text, Health::of(&view).code())
            }
            Ok(Response::Journal(_)) => {
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

/// The stable object of docs/OPERATIONS.md.
pub fn json(view: &View) -> String {
    let now = twinbeat_say::Stamp::now();
    let newest = view.groups.iter().filter_map(|group| group.last_change.as_ref()).min_by_key(|change| change.ago_ms);
    let object = Json {
        view,
        health: Health::of(view).word(),
        lease_ms_left: view.groups.iter().filter_map(|group| group.lease_ms_left).min(),
        last_change: newest.map(|change| Last { time: now.ago(change.ago_ms).to_string(), reason: &change.text, change }),
    };
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
