//! Swim lanes as one node saw things: who served each group, how it heard each link, whether the witness answered, what was wrong. A lane is a
//! list of stretches of time with one word each; where there is none, nobody looked.
//!
//! The same lanes are made of a view a second (`status --watch`) and of a played journal ([`past`](super::past)). Bounded: a lane has at most
//! [`MOST`] stretches, the oldest go.

use serde::Serialize;

use twinbeat_core::view::{GroupView, View};
use twinbeat_core::words::LinkCondition;

/// The most stretches of one lane.
pub const MOST: usize = 500;

/// All lanes, from top to bottom.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Lanes(pub Vec<Lane>);

/// One lane.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Lane {
    /// What it is about.
    pub of: Of,
    /// Which of them: a group's or a link's name.
    pub name: String,
    /// In order of time; they do not overlap.
    pub spans: Vec<Span>,
}

/// What a lane is about, in the order in which lanes stand.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Of {
    /// Who served a group.
    Group,
    /// How this node heard a link.
    Link,
    /// Whether a majority of the witnesses answered this node.
    Witness,
    /// What was wrong, most important first.
    Problems,
}

/// A stretch of time in which a lane's word was the same.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Span {
    /// From when, in milliseconds since 1970.
    pub from: u64,
    /// Until when; the last one of a lane that goes on ends where somebody looked last.
    pub to: u64,
    /// In a few words.
    pub is: String,
    /// Its colour.
    pub tone: Tone,
}

/// A colour by its meaning; the later ones are worse.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    /// As it should be.
    Good,
    /// The first node by name serves.
    First,
    /// The second one does.
    Second,
    /// Not as it should be; the service goes on.
    Odd,
    /// Nobody serves, two do, nothing is heard.
    Bad,
}

impl Lanes {
    /// A look at `at` (milliseconds since 1970): what was the same at the last look, at most `hole` milliseconds ago, has lasted. A look that lies
    /// before the last one (the clock was set) begins a new stretch there, and what it overlaps goes.
    pub fn look(&mut self, at: u64, hole: u64, view: &View) {
        for (of, name, is, tone) in words(view) {
            self.lane(of, name, |lane| lane.look(at, hole, is, tone));
        }
    }

    /// What an earlier reader saw, before what is here: of both, this one's stretches stand where they overlap. Between the two at most `bridge`
    /// milliseconds are no hole: what was the last word then has lasted.
    pub fn follow(&mut self, earlier: Lanes, bridge: u64) {
        for Lane { of, name, spans } in earlier.0 {
            self.lane(of, &name, |lane| lane.follow(spans, bridge));
        }
    }

    /// Leaves out what ended before `since`; what began before it begins there.
    pub fn cut(&mut self, since: u64) {
        for lane in &mut self.0 {
            lane.spans.retain(|span| span.to >= since);
            lane.spans.iter_mut().for_each(|span| span.from = span.from.max(since));
        }
        self.0.retain(|lane| !lane.spans.is_empty());
    }

    /// The first and the last instant that is known of; none when nothing is.
    pub fn extent(&self) -> Option<(u64, u64)> {
        let spans = || self.0.iter().flat_map(|lane| &lane.spans);
        Some((spans().map(|span| span.from).min()?, spans().map(|span| span.to).max()?))
    }

    /// Does this to a lane, which is made where there is none of that name.
    fn lane(&mut self, of: Of, name: &str, act: impl FnOnce(&mut Lane)) {
        let is = |lane: &Lane| lane.of == of && lane.name == name;
        if !self.0.iter().any(is) {
            let place = self.0.iter().position(|lane| lane.of > of).unwrap_or(self.0.len());
            self.0.insert(place, Lane { of, name: name.to_owned(), spans: Vec::new() });
        }
        if let Some(lane) = self.0.iter_mut().find(|lane| is(lane)) {
            act(lane);
            lane.bound();
        }
    }
}

impl Lane {
    fn look(&mut self, at: u64, hole: u64, is: String, tone: Tone) {
        self.spans.retain(|span| span.from <= at);
        if let Some(last) = self.spans.last_mut() {
            if at > last.to && at.saturating_sub(last.to) <= hole {
                // What was seen at the last look held until this one.
                last.to = at;
            }
            last.to = last.to.min(at);
            if last.to == at && last.is == is && last.tone == tone {
                return;
            }
        }
        self.spans.push(Span { from: at, to: at, is, tone });
    }

    fn follow(&mut self, earlier: Vec<Span>, bridge: u64) {
        let begin = self.spans.first().map_or(u64::MAX, |span| span.from);
        let before = earlier.into_iter().filter(|span| span.from < begin);
        let mut all: Vec<Span> = before.map(|span| Span { to: span.to.min(begin), ..span }).collect();
        if let Some(last) = all.last_mut().filter(|last| begin != u64::MAX && begin.saturating_sub(last.to) <= bridge) {
            last.to = begin;
        }
        all.append(&mut self.spans);
        self.spans = joined(all);
    }

    fn bound(&mut self) {
        let more = self.spans.len().saturating_sub(MOST);
        self.spans.drain(..more);
    }
}

/// Stretches of the same word that touch each other are one.
fn joined(spans: Vec<Span>) -> Vec<Span> {
    let mut all: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match all.last_mut() {
            Some(last) if last.is == span.is && last.tone == span.tone && last.to >= span.from => last.to = last.to.max(span.to),
            _ => all.push(span),
        }
    }
    all
}

/// What a view says to each lane.
fn words(view: &View) -> Vec<(Of, &str, String, Tone)> {
    let mut all = Vec::new();
    for group in &view.groups {
        let (is, tone) = served(view, group);
        all.push((Of::Group, group.name.as_str(), is, tone));
    }
    for link in &view.links {
        let tone = match link.state {
            LinkCondition::Ok => Tone::Good,
            LinkCondition::Late | LinkCondition::Unheard | LinkCondition::Blocked => Tone::Odd,
            _ => Tone::Bad,
        };
        all.push((Of::Link, link.name.as_str(), link.state.word().to_owned(), tone));
    }
    let (is, tone) = if view.witness.reachable { ("answers", Tone::Good) } else { ("unreachable", Tone::Bad) };
    all.push((Of::Witness, "witness", is.to_owned(), tone));
    let (is, tone) = match view.problems.as_slice() {
        [] => ("none".to_owned(), Tone::Good),
        [one] => (one.which().to_owned(), Tone::Odd),
        [one, more @ ..] => (format!("{}; and {} more", one.which(), more.len()), Tone::Odd),
    };
    all.push((Of::Problems, "problems", is, tone));
    all
}

fn served(view: &View, group: &GroupView) -> (String, Tone) {
    match &group.owner {
        _ if group.two_owners => ("TWO OWNERS".to_owned(), Tone::Bad),
        Some(owner) => {
            let other = if *owner == view.node { &view.peer } else { &view.node };
            (owner.clone(), if owner < other { Tone::First } else { Tone::Second })
        }
        None => ("nobody".to_owned(), Tone::Bad),
    }
}

#[cfg(test)]
#[path = "lanes_tests.rs"]
mod tests;
