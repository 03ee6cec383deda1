//! What a view says to programs: one word of health, and the object of `status --json` (docs/OPERATIONS.md), which the page of `[metrics]` reads too.

use serde::Serialize;

use twinbeat_core::view::{Change, View};

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

    /// Each of them, best first.
    pub const ALL: [Health; 4] = [Health::Healthy, Health::Degraded, Health::NobodyServes, Health::TwoOwners];

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
