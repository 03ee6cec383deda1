//! What is new between two looks, as lines for a person. What a flight recorder tells is more exact; this is for who may not read it, and for
//! what no decision knows of.

use twinbeat_core::view::{GroupView, View};
use twinbeat_core::words::About;
use twinbeat_journal::lanes::Tone;
use twinbeat_journal::past::Happened;

/// A line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct News {
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// How much it matters.
    pub tone: Tone,
    /// The words.
    pub text: String,
    /// It is a decision about who serves, and has a mark above the lanes.
    pub marked: bool,
}

impl News {
    /// One that has no mark.
    pub fn new(at: u64, tone: Tone, text: impl Into<String>) -> News {
        News { at, tone, text: text.into(), marked: false }
    }

    /// As the flight recorder has it.
    pub fn recorded(event: &Happened) -> News {
        let tone = match event.level {
            "error" => Tone::Bad,
            "warn" => Tone::Odd,
            _ => Tone::Good,
        };
        let marked = matches!(event.kind, "owner" | "reaffirmed" | "left" | "move" | "stall" | "decision");
        News { at: event.at, tone, text: event.said(), marked }
    }
}

/// Each group's newest change, as the first look finds it.
pub fn first(at: u64, view: &View) -> Vec<News> {
    let mut all: Vec<News> = view.groups.iter().filter_map(|group| changed(at, view, group)).collect();
    all.sort_by_key(|news| news.at);
    all
}

/// What is different at the look at `at`.
pub fn between(at: u64, was: &View, is: &View) -> Vec<News> {
    let mut all = Vec::new();
    if was.incarnation != is.incarnation || is.up_ms < was.up_ms {
        all.push(News::new(at.saturating_sub(is.up_ms), Tone::Odd, format!("the daemon's life {} begins", is.incarnation)));
    }
    for group in &is.groups {
        let before = was.groups.iter().find(|other| other.name == group.name);
        group_news(at, was, before, is, group, &mut all);
    }
    for link in &is.links {
        match was.links.iter().find(|other| other.name == link.name).map(|other| other.state) {
            Some(before) if before != link.state => {
                let tone = if link.state.word() == "ok" { Tone::Good } else { Tone::Odd };
                all.push(News::new(at, tone, format!("link {}: {} (was {before})", link.name, link.state)));
            }
            _ => {}
        }
    }
    if was.peer_state != is.peer_state {
        let tone = if is.peer_state.word() == "heard" { Tone::Good } else { Tone::Odd };
        all.push(News::new(at, tone, format!("{} is {} (was {})", is.peer, is.peer_state, was.peer_state)));
    }
    match (was.witness.reachable, is.witness.reachable) {
        (true, false) => all.push(News::new(at, Tone::Odd, "the witness does not answer this node")),
        (false, true) => all.push(News::new(at, Tone::Good, "the witness answers this node")),
        _ => {}
    }
    let told =
        |about: About| matches!(about, About::Link | About::Witness | About::NobodyServes | About::TwoOwners | About::Service);
    for problem in is.problems.iter().filter(|problem| !told(problem.matter.about)) {
        if !was.problems.iter().any(|other| other.same(problem)) {
            all.push(News::new(at, Tone::Odd, format!("problem: {}", problem.text)));
        }
    }
    for problem in was.problems.iter().filter(|problem| !told(problem.matter.about)) {
        if !is.problems.iter().any(|other| other.same(problem)) {
            all.push(News::new(at, Tone::Good, format!("no longer: {}", problem.which())));
        }
    }
    all
}

fn group_news(at: u64, was: &View, before: Option<&GroupView>, is: &View, group: &GroupView, all: &mut Vec<News>) {
    let Some(before) = before else {
        all.push(News::new(at, Tone::Good, format!("{}: a new group", group.name)));
        return;
    };
    if let Some(change) = changed(at, is, group)
        && changed(at, was, before).is_none_or(|old| old.text != change.text)
    {
        all.push(change);
    } else if before.owner != group.owner || before.two_owners != group.two_owners {
        let (text, tone) = match &group.owner {
            _ if group.two_owners => ("TWO OWNERS".to_owned(), Tone::Bad),
            Some(owner) => (format!("{owner} serves"), Tone::Good),
            None => ("nobody serves".to_owned(), Tone::Bad),
        };
        all.push(News { marked: true, ..News::new(at, tone, format!("{}: {text}", group.name)) });
    }
    if before.service != group.service {
        let tone = if group.service.is_bad() { Tone::Bad } else { Tone::Good };
        all.push(News::new(at, tone, format!("{}: services here: {} (were {})", group.name, group.service, before.service)));
    }
    match (&before.paused, &group.paused) {
        (None, Some(why)) => all.push(News::new(at, Tone::Odd, format!("{}: paused: {why}", group.name))),
        (Some(_), None) => all.push(News::new(at, Tone::Good, format!("{}: the pause is over", group.name))),
        _ => {}
    }
    match (&before.standby_held, &group.standby_held) {
        (None, Some(why)) => {
            all.push(News::new(at, Tone::Odd, format!("{}: {} is in standby by command: {why}", group.name, is.node)))
        }
        (Some(_), None) => all.push(News::new(at, Tone::Good, format!("{}: the standby by command is over", group.name))),
        _ => {}
    }
}

fn changed(at: u64, view: &View, group: &GroupView) -> Option<News> {
    let change = group.last_change.as_ref()?;
    let name = if view.groups.len() > 1 { format!("{}: ", group.name) } else { String::new() };
    let tone = if group.owner.is_some() { Tone::Good } else { Tone::Bad };
    let news = News::new(at.saturating_sub(change.ago_ms), tone, format!("{name}{}", change.text));
    Some(News { marked: true, ..news })
}
