//! The status screen, for a person at 3 a.m.: who serves? would a takeover work right now? what changed? what do I type?

use super::status::Health;
use crate::core::view::{BondView, GroupView, LinkView, View};

/// Whether to use colors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Paint {
    /// For files and pipes.
    Plain,
    /// For a terminal.
    Colors,
}

impl Paint {
    fn with(self, color: &str, text: &str) -> String {
        match self {
            Paint::Plain => text.to_owned(),
            Paint::Colors => format!("\x1b[{color}m{text}\x1b[0m"),
        }
    }

    fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    fn odd(self, text: &str) -> String {
        self.with("33", text)
    }

    fn bad(self, text: &str) -> String {
        self.with("1;31", text)
    }
}

/// The whole screen. `clock` turns milliseconds ago into a time of day.
pub fn render(view: &View, clock: impl Fn(u64) -> String, paint: Paint) -> String {
    let mut lines = Vec::new();
    let width = label_width(view);
    for group in &view.groups {
        lines.push(headline(view, group, &clock, paint));
        lines.push(row(width, &group.name, &details(group)));
        for reason in group.takeover_ready.reasons.iter().skip(1) {
            lines.push(row(width, "", &paint.odd(&format!("also {reason}"))));
        }
        if let Some(held) = &group.standby_held {
            lines.push(row(width, "standby", &paint.odd(held)));
        }
        if group.owner.is_none() && !group.claim_open.is_empty() {
            lines.push(row(width, "waits for", &group.claim_open.join("; ")));
        }
    }
    for link in &view.links {
        lines.push(row(width, &link.name, &link_line(link, paint)));
    }
    lines.push(row(width, "witness", &witness_line(view, paint)));
    lines.push(row(width, "peer", &peer_line(view, paint)));
    // what stands in the headline is not said twice
    let told = |problem: &&String| !view.groups.iter().any(|group| group.takeover_ready.reasons.contains(*problem));
    for problem in view.mismatch.iter().chain(&view.problems).filter(told) {
        lines.push(row(width, "problem", &paint.bad(problem)));
    }
    for group in &view.groups {
        if let Some(change) = &group.last_change {
            let gap = change.gap_us.map(|us| format!("; clients saw {}", micros(us))).unwrap_or_default();
            lines.push(row(width, "last", &format!("{} {}: {}{gap}", clock(change.ago_ms), group.name, change.text)));
        }
    }
    lines.push(row(width, "next", &next(view)));
    lines.push(String::new());
    lines.join("\n")
}

fn label_width(view: &View) -> usize {
    let names = view.groups.iter().map(|group| &group.name).chain(view.links.iter().map(|link| &link.name));
    names.map(|name| name.chars().count()).chain([LABEL]).max().unwrap_or(LABEL)
}

fn row(width: usize, label: &str, text: &str) -> String {
    format!("{label:<width$}  {text}").trim_end().to_owned()
}

/// Who serves, and would a takeover work right now?
fn headline(view: &View, group: &GroupView, clock: &impl Fn(u64) -> String, paint: Paint) -> String {
    let since = group.last_change.as_ref().map(|change| format!(" since {}", clock(change.ago_ms))).unwrap_or_default();
    let serves = match &group.owner {
        Some(owner) => paint.good(&format!("{owner} SERVES{since}")),
        None => paint.bad(&format!("NOBODY SERVES{since}")),
    };
    let ready = match group.takeover_ready.reasons.first() {
        _ if group.takeover_ready.ready => paint.good("takeover ready: yes"),
        Some(reason) => paint.bad(&format!("takeover ready: NO, {reason}")),
        None => paint.bad("takeover ready: NO"),
    };
    format!("cluster {}   {serves}     {ready}", view.cluster)
}

fn details(group: &GroupView) -> String {
    let mut parts = vec![group.vips.join(" "), format!("service {}", group.service), format!("epoch {}", group.epoch)];
    if let Some(ms) = group.lease_ms_left {
        parts.push(format!("lease {}.{} s left", ms / 1000, ms % 1000 / 100));
    }
    if group.grounds.iter().any(|ground| ground == "return path") {
        parts.push(format!("return path ok{}", rtt(group.return_path_us)));
    }
    if !matches!(group.role.as_str(), "owner" | "standby") {
        parts.push(format!("({} here)", group.role));
    }
    parts.join("   ")
}

fn link_line(link: &LinkView, paint: Paint) -> String {
    let state = format!("{:<10}", if link.state == "ok" { link.state.clone() } else { link.state.to_uppercase() });
    let state = match link.state.as_str() {
        "ok" => paint.good(&state),
        "late" | "unheard" => paint.odd(&state),
        _ => paint.bad(&state),
    };
    let trip = format!("{:>9}", link.rtt_us.map(micros).unwrap_or_default());
    let loss = if link.loss > 0.0 { format!("   loss {:.0} %", link.loss * 100.0) } else { String::new() };
    let heard = match link.heard_ms {
        Some(ms) if link.state != "ok" => format!("   last heard {} ago", ago(ms)),
        _ => String::new(),
    };
    let bond = link.bond.as_ref().map(|bond| format!("   {}", bond_words(bond, paint))).unwrap_or_default();
    format!("{state}{trip}{bond}{loss}{heard}").trim_end().to_owned()
}

/// `(2/2 slaves)`, `DEGRADED 1/2 slaves`: this node's end only. What is down stands among the problems.
fn bond_words(bond: &BondView, paint: Paint) -> String {
    let (up, all) = (bond.slaves_up, bond.slaves.len());
    match (up == all && all > 1, up) {
        (true, _) => paint.good(&format!("({up}/{all} slaves)")),
        (false, 0) => paint.bad(&format!("DOWN {up}/{all} slaves")),
        (false, _) => paint.odd(&format!("DEGRADED {up}/{all} slaves")),
    }
}

fn witness_line(view: &View, paint: Paint) -> String {
    let targets = &view.witness.targets;
    let answering = targets.iter().filter(|target| target.reachable).count();
    let trip = rtt(targets.iter().filter(|target| target.reachable).filter_map(|target| target.rtt_us).min());
    let count = if targets.len() > 1 { format!("{answering} of {} answer", targets.len()) } else { String::new() };
    let here = if view.witness.reachable { paint.good(&format!("ok{trip}")) } else { paint.bad("UNREACHABLE") };
    let there = match view.witness.peer_reachable {
        Some(true) => paint.good("ok"),
        Some(false) => paint.bad("UNREACHABLE"),
        None => paint.odd("unknown"),
    };
    let blind: Vec<_> = targets.iter().filter(|target| !target.register).map(|target| (target.index + 1).to_string()).collect();
    let blind = match blind.as_slice() {
        [] => String::new(),
        which => paint.odd(&format!("   no proof of ownership from target {}", which.join(", "))),
    };
    let count = if count.is_empty() { count } else { format!(" ({count})") };
    format!("{} {here}{count}   {} {there}{blind}", view.node, view.peer)
}

fn peer_line(view: &View, paint: Paint) -> String {
    let state = match view.peer_state.as_str() {
        "heard" => paint.good("heard"),
        other => paint.bad(&other.to_uppercase()),
    };
    format!("{} {state}", view.peer)
}

/// What to do, in one sentence.
fn next(view: &View) -> String {
    let block = view.groups.iter().find(|group| !group.takeover_ready.ready);
    match (Health::of(view), block) {
        (Health::Healthy, _) => "nothing to do".into(),
        (Health::TwoOwners, _) => "stop the service on one node by hand, then read `twinbeat why` on both".into(),
        (Health::NobodyServes, _) => match view.problems.first() {
            Some(problem) => format!("mend: {problem}; a node claims by itself when it can"),
            None => "wait: a node claims by itself when its checklist holds".into(),
        },
        (Health::Degraded, Some(GroupView { standby_held: Some(_), .. })) => "`twinbeat resume` ends the standby".into(),
        (Health::Degraded, Some(group)) => match group.takeover_ready.reasons.first() {
            Some(reason) => format!("mend: {reason}; nothing will move then"),
            None => "see `twinbeat why`".into(),
        },
        (Health::Degraded, None) => match view.problems.first().or(view.mismatch.as_ref()) {
            Some(problem) => format!("mend: {problem}; a takeover would work meanwhile"),
            None => "see `twinbeat why`".into(),
        },
    }
}

fn rtt(us: Option<u64>) -> String {
    us.map(|us| format!(" {}", micros(us))).unwrap_or_default()
}

/// `0.4 ms`, `12 ms`, `2.5 s`.
fn micros(us: u64) -> String {
    match us {
        0..10_000 => format!("{}.{} ms", (us + 50) / 1000, (us + 50) % 1000 / 100),
        10_000..10_000_000 => format!("{} ms", us / 1000),
        _ => format!("{} s", us / 1_000_000),
    }
}

/// `300 ms`, `12 s`, `5 min`, `3 h`, `2 d`.
fn ago(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..120_000 => format!("{} s", ms / 1000),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        7_200_000..172_800_000 => format!("{} h", ms / 3_600_000),
        _ => format!("{} d", ms / 86_400_000),
    }
}

/// The least width of the first column.
const LABEL: usize = 12;

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
