//! The status screen, for a person at 3 a.m.: who serves? would a takeover work right now? what changed? what do I type?

use twinbeat_config::RELAY;
use twinbeat_core::sentence::Sentence;
use twinbeat_core::view::{BondView, GroupView, LinkView, TargetView, View};
use twinbeat_core::words::{About, AskedBy, Ground, GroupRole, LinkCondition, PeerState, ServiceState};

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

    pub(super) fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    pub(super) fn odd(self, text: &str) -> String {
        self.with("33", text)
    }

    pub(super) fn bad(self, text: &str) -> String {
        self.with("1;31", text)
    }
}

/// A word and what it means, for one node's column.
pub(super) struct Cell {
    pub text: String,
    pub good: Good,
}

/// Whether something is as it should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Good {
    /// It is.
    Yes,
    /// Not quite.
    Odd,
    /// It is not.
    No,
    /// Nobody said.
    Unknown,
}

impl Cell {
    fn new(text: impl Into<String>, good: Good) -> Cell {
        Cell { text: text.into(), good }
    }

    /// Padded first: colors have no width.
    fn painted(&self, width: usize, paint: Paint) -> String {
        let padded = format!("{:<width$}", self.text);
        match self.good {
            Good::Yes => paint.good(&padded),
            Good::Odd => paint.odd(&padded),
            Good::No => paint.bad(&padded),
            Good::Unknown => padded,
        }
    }
}

/// One row of the table: this node's column, the peer's, and what is said beside them.
pub(super) struct Row {
    pub label: String,
    pub here: Cell,
    pub there: Cell,
    pub beside: String,
}

/// The whole screen. `clock` turns milliseconds ago into a time of day.
pub fn render(view: &View, clock: impl Fn(u64) -> String, paint: Paint) -> String {
    let rows: Vec<Row> = view.links.iter().map(|link| link_row(view, link)).chain(witness_rows(view)).collect();
    let width = label_width(view, &rows);
    let mut lines = Vec::new();
    if view.groups.len() > 1 {
        lines.push(format!("cluster {}   {} groups", view.cluster, view.groups.len()));
    }
    for group in &view.groups {
        lines.push(headline(view, group, &clock, paint));
        lines.push(row(width, if view.groups.len() > 1 { "" } else { &group.name }, &details(group, paint)));
        for reason in group.takeover_ready.reasons.iter().skip(1) {
            lines.push(row(width, "", &paint.odd(&format!("also {}", reason.text))));
        }
        for (label, text, good) in words_of(view, group) {
            lines.push(row(width, label, Cell::new(text, good).painted(0, paint).as_str()));
        }
    }
    lines.extend(table(view, &rows, width, paint));
    if view.peer_state != PeerState::Heard {
        let heard = view.links.iter().filter_map(|link| link.heard_ms).min().map(|ms| format!(", last heard {} ago", ago(ms)));
        let text = format!("{} is {}{}", view.peer, view.peer_state.word().to_uppercase(), heard.unwrap_or_default());
        lines.push(row(width, "peer", &paint.bad(&text)));
    }
    if let Some(fencing) = &view.fencing {
        lines.push(row(width, "fencing", fencing));
    }
    for problem in untold(view) {
        lines.push(row(width, "problem", &paint.bad(&problem.text)));
    }
    for notice in &view.notices {
        lines.push(row(width, "notice", &paint.odd(notice)));
    }
    for group in &view.groups {
        if let Some(change) = &group.last_change {
            let gap = change.gap_us.filter(|_| !change.gap_told);
            let gap = gap.map(|us| format!("; clients saw {}", micros(us))).unwrap_or_default();
            let name = if view.groups.len() > 1 { format!("{}: ", group.name) } else { String::new() };
            lines.push(row(width, "last", &format!("{} {name}{}{gap}", clock(change.ago_ms), change.text)));
        }
    }
    lines.push(row(width, "next", &next(view)));
    lines.push(String::new());
    lines.join("\n")
}

/// What holds a group back, or is going to move it.
pub(super) fn words_of(view: &View, group: &GroupView) -> Vec<(&'static str, String, Good)> {
    let ends = |left: Option<u64>| left.map(|ms| format!("; ends by itself in {}", ago(ms))).unwrap_or_default();
    let mut all = Vec::new();
    if let Some(held) = &group.standby_held {
        let text = format!("{} is in standby by command: {held}{}", view.node, ends(group.standby_left_ms));
        all.push(("standby", text, Good::Odd));
    }
    if let Some(paused) = &group.paused {
        let text = format!("{paused}{}; nothing is restarted or moved for a service's sake", ends(group.pause_left_ms));
        all.push(("paused", text, Good::Odd));
    }
    if let Some(fell) = &group.left_alone {
        all.push(("", format!("{fell}; left alone in the pause, until `twinbeat resume`"), Good::No));
    }
    if let Some(failback) = &group.failback {
        all.push(("failback", failback.clone(), Good::Unknown));
    }
    if group.owner.is_none() && !group.claim_open.is_empty() {
        all.push(("waits for", group.claim_open.join("; "), Good::Unknown));
    }
    all
}

fn label_width(view: &View, rows: &[Row]) -> usize {
    let names = view.groups.iter().map(|group| &group.name).chain(rows.iter().map(|row| &row.label));
    names.map(|name| name.chars().count()).chain([LABEL]).max().unwrap_or(LABEL)
}

fn row(width: usize, label: &str, text: &str) -> String {
    format!("{label:<width$}  {text}").trim_end().to_owned()
}

/// The nodes' columns, in the order of their names, so that both nodes' screens look alike.
fn table(view: &View, rows: &[Row], width: usize, paint: Paint) -> Vec<String> {
    let first = view.node <= view.peer;
    let cells = rows.iter().map(|row| if first { (&row.here, &row.there) } else { (&row.there, &row.here) });
    let cells: Vec<(&Cell, &Cell)> = cells.collect();
    let (one, two) = if first { (&view.node, &view.peer) } else { (&view.peer, &view.node) };
    let widest = |cells: &mut dyn Iterator<Item = &String>| cells.map(|text| text.chars().count()).max().unwrap_or(0);
    let left = widest(&mut cells.iter().map(|(cell, _)| &cell.text).chain([one])) + 3;
    let right = widest(&mut cells.iter().map(|(_, cell)| &cell.text).chain([two])) + 3;
    let mut lines = vec![self::row(width, "", &format!("{one:<left$}{two}"))];
    for (Row { label, beside, .. }, (one, two)) in rows.iter().zip(cells) {
        let text = format!("{}{}{beside}", one.painted(left, paint), two.painted(right, paint));
        lines.push(self::row(width, label, &text));
    }
    lines
}

/// Who serves, and would a takeover work right now?
fn headline(view: &View, group: &GroupView, clock: &impl Fn(u64) -> String, paint: Paint) -> String {
    let (serves, ready) = (serving(group, clock).painted(0, paint), readiness(group).painted(0, paint));
    let whose = if view.groups.len() > 1 { format!("group {}", group.name) } else { format!("cluster {}", view.cluster) };
    format!("{whose}   {serves}     {ready}")
}

/// Who serves, and since when.
pub(super) fn serving(group: &GroupView, clock: &impl Fn(u64) -> String) -> Cell {
    let since = group.last_change.as_ref().map(|change| format!(" since {}", clock(change.ago_ms))).unwrap_or_default();
    match &group.owner {
        _ if group.two_owners => Cell::new("TWO OWNERS", Good::No),
        Some(owner) => Cell::new(format!("{owner} SERVES{since}"), Good::Yes),
        None => Cell::new(format!("NOBODY SERVES{since}"), Good::No),
    }
}

/// Would a takeover work right now, and if not, why not?
pub(super) fn readiness(group: &GroupView) -> Cell {
    let takeover = &group.takeover_ready;
    let reason = takeover.reasons.first().map(|reason| format!(", {}", reason.text)).unwrap_or_default();
    match (takeover.crash.ready, takeover.planned.ready) {
        (true, true) => Cell::new("takeover ready: yes", Good::Yes),
        (false, false) => Cell::new(format!("takeover ready: NO{reason}"), Good::No),
        (false, true) => {
            Cell::new(format!("takeover ready: NO after a crash of the owner{reason}; a planned move: yes"), Good::No)
        }
        (true, false) => {
            Cell::new(format!("takeover ready: NO for a planned move{reason}; after a crash of the owner: yes"), Good::No)
        }
    }
}

/// Its addresses, services, epoch and lease.
pub(super) fn details(group: &GroupView, paint: Paint) -> String {
    let (word, more) = group.service.parts();
    let state = match group.service {
        ServiceState::Running | ServiceState::Warm => paint.good(word),
        ServiceState::None | ServiceState::Stopped => word.to_owned(),
        ServiceState::Starting | ServiceState::Stopping => paint.odd(word),
        ServiceState::Failed(_) | ServiceState::DoesNotStop(_) | ServiceState::ByAnotherHand(_) => {
            paint.bad(&format!("{}: {}", word.to_uppercase(), more.unwrap_or_default()))
        }
    };
    let service = match group.services.as_slice() {
        [] if group.service == ServiceState::None => "no service".to_owned(),
        [] => format!("service {state}"),
        names => format!("{} {state}", names.join(" + ")),
    };
    let checks = group.services_here.iter().filter_map(|service| Some((service, service.check.as_ref()?)));
    let checks = checks.map(|(service, check)| match check.well {
        true => format!("check {}", paint.good("ok")),
        false => paint.odd(&format!("check of {}: {}", service.name, check.text)),
    });
    let mut checks: Vec<String> = checks.collect();
    checks.dedup();
    let service = std::iter::once(service).chain(checks).collect::<Vec<_>>().join(", ");
    let mut parts = vec![group.vips.join(" "), service, format!("epoch {}", group.epoch)];
    if let Some(ms) = group.lease_ms_left {
        parts.push(format!("lease {}.{} s left", ms / 1000, ms % 1000 / 100));
    }
    if group.role == GroupRole::Owner {
        parts.push(if group.grounds.contains(&Ground::ReturnPath) {
            format!("return path ok{}", rtt(group.return_path_us))
        } else {
            paint.bad("NO return path")
        });
        if !group.grounds.contains(&Ground::Peer) {
            parts.push(paint.odd("no peer ground"));
        }
        if group.grounds.contains(&Ground::Island) {
            parts.push(paint.bad("ISLAND: the peer may serve as well"));
        }
    } else if group.role != GroupRole::Standby {
        parts.push(format!("({} here)", group.role));
    }
    parts.join("   ")
}

/// A link as each node hears it.
pub(super) fn link_row(view: &View, link: &LinkView) -> Row {
    let word = |state: LinkCondition| match state {
        LinkCondition::Ok => (state.word().to_owned(), Good::Yes),
        LinkCondition::Late | LinkCondition::Unheard => (state.word().to_uppercase(), Good::Odd),
        _ => (state.word().to_uppercase(), Good::No),
    };
    let (mut text, mut good) = word(link.state);
    if link.state == LinkCondition::Ok {
        text += &rtt(link.rtt_us).replacen(' ', "   ", 1);
    }
    if let Some(bond) = &link.bond {
        let (words, sound) = bond_words(bond);
        text = format!("{text}   {words}");
        if good == Good::Yes {
            good = sound;
        }
    }
    let there = match link.peer_state {
        Some(state) => {
            let (text, good) = word(state);
            Cell::new(text, good)
        }
        None => Cell::new("?", Good::Unknown),
    };
    let mut beside = Vec::new();
    let peer_dark = link.peer_state == Some(LinkCondition::NoCarrier);
    let waits = |group: &GroupView| !group.takeover_ready.ready && group.owner.is_some();
    if link.name != RELAY && view.groups.iter().any(waits) && (peer_dark || link.state == LinkCondition::NoCarrier) {
        beside.push("<- blocks takeover".to_owned());
    }
    let untried = matches!(link.state, LinkCondition::Unheard | LinkCondition::Blocked);
    if link.loss > 0.0 && !untried && link.heard_ms.is_some() {
        beside.push(format!("loss {:.0} %", link.loss * 100.0));
    }
    match (link.state, link.heard_ms) {
        (LinkCondition::Ok, _) => {}
        (LinkCondition::Blocked, _) => beside.push("both reach the witness, nothing comes through it".to_owned()),
        (_, Some(ms)) => beside.push(format!("last heard {} ago", ago(ms))),
        (_, None) => beside.push("never heard".to_owned()),
    }
    Row { label: link.name.clone(), here: Cell::new(text, good), there, beside: beside.join("   ") }
}

/// `(2/2 slaves)`, `DEGRADED 1/2 slaves`: this node's end only. What is down stands among the problems.
fn bond_words(bond: &BondView) -> (String, Good) {
    let (up, all) = (bond.slaves_up, bond.slaves.len());
    match (up == all && all > 1, up) {
        (true, _) => (format!("({up}/{all} slaves)"), Good::Yes),
        (false, 0) => (format!("DOWN {up}/{all} slaves"), Good::No),
        (false, _) => (format!("DEGRADED {up}/{all} slaves"), Good::Odd),
    }
}

/// The witnesses together, and each of several.
pub(super) fn witness_rows(view: &View) -> Vec<Row> {
    let targets = &view.witness.targets;
    let several = targets.len() > 1;
    let answering = targets.iter().filter(|target| target.reachable).count();
    let trip =
        rtt(targets.iter().filter(|target| target.reachable).filter_map(|target| target.rtt_us).min()).replacen(' ', "   ", 1);
    let here = match (view.witness.reachable, several) {
        (true, false) => Cell::new(format!("ok{trip}"), Good::Yes),
        (true, true) => Cell::new(format!("ok   {answering} of {}", targets.len()), Good::Yes),
        (false, false) => Cell::new("UNREACHABLE", Good::No),
        (false, true) => Cell::new(format!("UNREACHABLE   {answering} of {}", targets.len()), Good::No),
    };
    let there = match view.witness.peer_reachable {
        Some(true) => Cell::new("ok", Good::Yes),
        Some(false) => Cell::new("UNREACHABLE", Good::No),
        None => Cell::new("?", Good::Unknown),
    };
    let trouble = |target: &TargetView| target.trouble().unwrap_or_default();
    let only = targets.first().filter(|_| !several);
    let mut rows = vec![Row {
        label: "witness".to_owned(),
        here,
        there,
        beside: only.map(|target| [target.address.as_str(), &trouble(target)].join("   ").trim().to_owned()).unwrap_or_default(),
    }];
    for target in targets.iter().filter(|_| several) {
        let by = if target.by == AskedBy::Arp { "   by ARP" } else { "" };
        let here = if target.reachable {
            Cell::new(format!("ok{}{by}", rtt(target.rtt_us).replacen(' ', "   ", 1)), Good::Yes)
        } else {
            Cell::new(format!("UNREACHABLE{by}"), Good::No)
        };
        let label =
            if target.address.is_empty() { format!("  target {}", target.index + 1) } else { format!("  {}", target.address) };
        rows.push(Row { label, here, there: Cell::new("", Good::Unknown), beside: trouble(target) });
    }
    rows
}

/// The problems that the screen has not shown in some other place: the first lines, and the rows of links and witnesses.
pub(super) fn untold(view: &View) -> impl Iterator<Item = &Sentence> {
    let shown = |problem: &Sentence| match problem.matter.about {
        About::TwoOwners | About::NobodyServes | About::Service | About::Takeover => true,
        About::Witness | About::Target | About::Link => true,
        _ => view.groups.iter().any(|group| group.takeover_ready.reasons.iter().any(|reason| reason.same(problem))),
    };
    view.problems.iter().filter(move |problem| !shown(problem))
}

/// What to type, or what to mend, in one sentence.
pub(super) fn next(view: &View) -> String {
    let group = |wanted: fn(&GroupView) -> bool| view.groups.iter().find(|group| wanted(group));
    if group(|g| g.two_owners).is_some() {
        return "the lower epoch leaves by itself; if this lasts: `systemctl stop twinbeat` on one node, then `twinbeat why` on both".into();
    }
    if let Some(dead) = group(|g| g.owner.is_none()) {
        if view.problems.iter().any(|problem| problem.matter.about == About::Fence) {
            let peer = &view.peer;
            return format!(
                "look whether {peer} is off; where it is, and stays so: `twinbeat fenced {peer}`; or mend its fencing device"
            );
        }
        let held = dead.standby_held.is_some().then_some("`twinbeat takeover` on this node ends its standby; or ");
        let wait = "wait: a node takes it by itself when nothing above is open";
        let mend = match (view.witness.reachable, view.peer_state) {
            (false, _) => "mend the way to the witness; a node takes it by itself then",
            (true, PeerState::Heard) => wait,
            (true, _) => "wait for the claim, or start the daemon on the other node (`systemctl start twinbeat`)",
        };
        return format!("{}{mend}", held.unwrap_or_default());
    }
    if let Some(bad) = group(|g| g.failing().is_some()) {
        return format!(
            "mend {} on {} (its output is in the log); then `twinbeat status` again",
            bad.services.join(", "),
            view.node
        );
    }
    if view.mismatch.is_some() {
        return "copy one twinbeat.toml to both nodes, `twinbeat check` there, restart the standby's daemon, then the owner's"
            .into();
    }
    if view.peer_state != PeerState::Heard {
        return format!(
            "look at {}: does it run, and its daemon (`systemctl status twinbeat`)? Then at the links above",
            view.peer
        );
    }
    if group(|g| g.left_alone.is_some()).is_some() {
        return "`twinbeat resume`, here or there, when the work is done: what still does not run is started again then".into();
    }
    if group(|g| g.standby_held.is_some()).is_some() {
        let ends = group(|g| g.standby_left_ms.is_some()).map_or("", |_| " now");
        return format!("`twinbeat resume` on {} ends the standby{ends}", view.node);
    }
    if let Some(reason) = group(|g| !g.takeover_ready.ready).and_then(|g| g.takeover_ready.reasons.first()) {
        return format!("mend: {}; nothing will move then", reason.text);
    }
    if let Some(problem) = view.problems.first() {
        let links: Vec<&str> =
            view.links.iter().filter(|link| link.state != LinkCondition::Ok).map(|link| link.name.as_str()).collect();
        return match links.as_slice() {
            [RELAY] if view.links.iter().any(|link| link.state == LinkCondition::Blocked) => {
                "let the network pass it, or set `relay = false` under [witness] on both nodes; a takeover would work meanwhile"
                    .into()
            }
            [] => format!("mend: {}; a takeover would work meanwhile", problem.text),
            links => format!("mend {}; a takeover would work meanwhile", links.join(", ")),
        };
    }
    "nothing to do".into()
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
pub(super) fn ago(ms: u64) -> String {
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
pub(super) mod tests;
