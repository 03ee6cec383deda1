//! What happened, as the world saw it: lanes of states over time, owners, clients, and the lines of the trace.

use super::clock::Moment;
use super::pair::Pair;
use twinbeat_core::event::{Event, Kind, Level};
use twinbeat_core::io::Answer;
use twinbeat_core::time::Span;

/// What kind of words a node gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Said {
    /// A line of its log.
    Log,
    /// A command was done.
    Done,
    /// A command was refused.
    Refused,
}

/// One line of states over time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lane {
    /// A kernel answers for a group: group, node.
    Answers(usize, usize),
    /// A node's role in a group, as its heartbeats say: group, node.
    Role(usize, usize),
    /// A node does not reach the witness, as its heartbeats say.
    Witness(usize),
    /// A node hears nothing over a link: link, node.
    Link(usize, usize),
    /// The machine or its daemon is not as it should be.
    Machine(usize),
}

/// A state for a while.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stretch {
    /// From when.
    pub from: Moment,
    /// Until when.
    pub to: Moment,
    /// What.
    pub what: &'static str,
}

#[derive(Clone, Debug, Default)]
struct Track {
    now: Option<(&'static str, Moment)>,
    past: Vec<Stretch>,
}

/// All that happened.
#[derive(Clone, Debug)]
pub struct Recorder {
    groups: usize,
    links: usize,
    names: [String; 2],
    group_names: Vec<String>,
    quiet: Span,
    tracks: Vec<Track>,
    heard: Vec<Moment>,
    /// For each group who was the owner from when on, without the times between.
    pub moves: Vec<Vec<(Moment, usize)>>,
    /// For each group who served the clients from when on.
    pub clients: Vec<Vec<(Moment, Option<usize>)>>,
    /// The same as a client on the LAN saw it, where there is one.
    pub lan: Vec<Vec<(Moment, Option<usize>)>>,
    /// What nodes decided not to do, and why, where the trace is kept.
    pub refusals: Vec<(usize, String)>,
    /// When each life of a daemon began, in their order.
    pub began: Vec<Moment>,
    /// The steps and when they were.
    pub marks: Vec<(Moment, String)>,
    /// The trace's lines, while they are kept.
    pub lines: Option<Vec<String>>,
    /// What the nodes said, for expectations, while it is kept.
    pub said: Option<Vec<(Moment, usize, Said, String)>>,
    ended: Moment,
}

impl Recorder {
    /// Nothing yet; the trace is not kept.
    pub fn new(pair: &Pair) -> Recorder {
        let settings = &pair.settings[0];
        let (groups, links) = (settings.groups.len(), settings.links.len());
        let mut recorder = Recorder {
            groups,
            links,
            names: [pair.node_name(0).to_string(), pair.node_name(1).to_string()],
            group_names: settings.groups.iter().map(|group| group.name.to_string()).collect(),
            quiet: settings.timing.warn,
            tracks: vec![Track::default(); groups * 4 + 2 + links * 2 + 2],
            heard: vec![Moment::ZERO; links * 2],
            moves: vec![Vec::new(); groups],
            clients: vec![vec![(Moment::ZERO, None)]; groups],
            lan: vec![vec![(Moment::ZERO, None)]; groups],
            refusals: Vec::new(),
            began: Vec::new(),
            marks: Vec::new(),
            lines: None,
            said: None,
            ended: Moment::ZERO,
        };
        (0..2).for_each(|node| recorder.set(Moment::ZERO, Lane::Machine(node), Some("no daemon")));
        recorder
    }

    fn place(&self, lane: Lane) -> usize {
        let groups = self.groups * 4;
        match lane {
            Lane::Answers(group, node) => group * 4 + node,
            Lane::Role(group, node) => group * 4 + 2 + node,
            Lane::Witness(node) => groups + node,
            Lane::Link(link, node) => groups + 2 + link * 2 + node,
            Lane::Machine(node) => groups + 2 + self.links * 2 + node,
        }
    }

    /// From now on a lane is in this state.
    pub fn set(&mut self, now: Moment, lane: Lane, what: Option<&'static str>) {
        let place = self.place(lane);
        let track = &mut self.tracks[place];
        if track.now.map(|(what, _)| what) == what {
            return;
        }
        if let Some((what, from)) = track.now.take()
            && from < now
        {
            track.past.push(Stretch { from, to: now, what });
        }
        track.now = what.map(|what| (what, now));
        if let Lane::Answers(group, node) = lane {
            let verb = if what.is_some() { "answers" } else { "no longer answers" };
            self.line(now, node, "kernel", |r| format!("{verb} for {}", r.group_names[group]));
        }
    }

    /// A heartbeat reached a node over a link.
    pub fn heard(&mut self, now: Moment, node: usize, link: usize) {
        let last = std::mem::replace(&mut self.heard[link * 2 + node], now);
        self.silence(now, last, node, link);
    }

    fn silence(&mut self, now: Moment, last: Moment, node: usize, link: usize) {
        if now.since(last) > self.quiet {
            let place = self.place(Lane::Link(link, node));
            self.tracks[place].past.push(Stretch { from: last + self.quiet, to: now, what: "silent" });
        }
    }

    /// Who answers now; counts a move when it is another node than the last time, and says from whom to whom it went.
    pub fn owners(&mut self, now: Moment, group: usize, answers: [bool; 2]) -> Option<(usize, usize)> {
        let last = self.moves[group].last().map(|(_, node)| *node);
        let node = (0..2).find(|node| answers[*node] && !answers[1 - *node] && last != Some(*node))?;
        self.moves[group].push((now, node));
        self.line(now, node, "world", |r| format!("is the owner of {}", r.group_names[group]));
        last.map(|from| (from, node))
    }

    /// Who serves the clients now.
    pub fn served(&mut self, now: Moment, group: usize, node: Option<usize>) {
        if self.clients[group].last().is_some_and(|(_, last)| *last == node) {
            return;
        }
        self.clients[group].push((now, node));
        if self.lines.is_some() {
            let who = node.map_or("nobody".to_string(), |node| self.names[node].clone());
            let line = format!("{now}  clients  {} is served by {who}", self.group_names[group]);
            self.push(line);
        }
    }

    /// Who serves the client on the LAN now.
    pub fn served_on_the_lan(&mut self, now: Moment, group: usize, node: Option<usize>) {
        if self.lan[group].last().is_some_and(|(_, last)| *last == node) {
            return;
        }
        self.lan[group].push((now, node));
        if self.lines.is_some() {
            let who = node.map_or("nobody".to_string(), |node| self.names[node].clone());
            let line = format!("{now}  on LAN   {} is served by {who}", self.group_names[group]);
            self.push(line);
        }
    }

    /// A step was made.
    pub fn step(&mut self, now: Moment, text: &str) {
        self.marks.push((now, text.to_string()));
        if self.lines.is_some() {
            self.push(format!("{now}  step     {text}"));
        }
    }

    /// Something that a node wanted a person to know.
    pub fn event(&mut self, now: Moment, node: usize, event: &Event) {
        if event.level == Level::Debug {
            return;
        }
        if let Some(said) = &mut self.said {
            said.push((now, node, Said::Log, event.to_string()));
        }
        if self.lines.is_none() {
            return;
        }
        if let Kind::Refused(_) = event.kind {
            self.refusals.push((node, event.text.clone()));
        }
        let kind = match &event.kind {
            Kind::Owner(..) => "owner",
            Kind::Reaffirmed(..) => "reaffirm",
            Kind::Left(..) => "left",
            Kind::Refused(..) => "refused",
            Kind::Link(..) => "link",
            Kind::Witness => "witness",
            Kind::Peer => "peer",
            Kind::Challenge(..) => "challenge",
            Kind::Fence => "fence",
            Kind::Service(..) => "service",
            Kind::Move(..) => "move",
            Kind::Mismatch => "mismatch",
            Kind::Stall => "stall",
            Kind::Host => "host",
        };
        self.line(now, node, kind, |_| event.to_string());
    }

    /// An answer to a command.
    pub fn answer(&mut self, now: Moment, node: usize, id: u64, answer: &Answer) {
        if let Some(said) = &mut self.said {
            let (kind, text) = match answer {
                Answer::Done(text) => (Said::Done, text),
                Answer::Refused(text) => (Said::Refused, text),
            };
            said.push((now, node, kind, text.clone()));
        }
        self.line(now, node, "reply", |_| format!("to command {id}: {answer:?}"));
    }

    /// A line of the trace, if it is kept.
    pub fn note(&mut self, now: Moment, node: usize, kind: &str, text: impl FnOnce() -> String) {
        self.line(now, node, kind, |_| text());
    }

    fn line(&mut self, now: Moment, node: usize, kind: &str, text: impl FnOnce(&Recorder) -> String) {
        if self.lines.is_some() {
            let line = format!("{now}  {:<8} {kind:<9} {}", self.names[node], text(self));
            self.push(line);
        }
    }

    fn push(&mut self, line: String) {
        if let Some(lines) = &mut self.lines {
            lines.push(line);
        }
    }

    /// The run is over: what still lasts ends here.
    pub fn end(&mut self, now: Moment) {
        self.ended = now;
        for track in &mut self.tracks {
            if let Some((what, from)) = track.now.take() {
                track.past.push(Stretch { from, to: now, what });
            }
        }
        for link in 0..self.links {
            for node in 0..2 {
                self.silence(now, self.heard[link * 2 + node], node, link);
            }
        }
    }

    /// The stretches of a lane, after the end.
    pub fn lane(&self, lane: Lane) -> &[Stretch] {
        &self.tracks[self.place(lane)].past
    }

    /// When the run ended.
    pub fn ended(&self) -> Moment {
        self.ended
    }

    /// How long clients (those behind the gateway, or the one on the LAN) were not served between two moments, all in all.
    pub fn unserved(&self, group: usize, lan: bool, from: Moment, to: Moment) -> Span {
        let changes = if lan { &self.lan[group] } else { &self.clients[group] };
        let ends = changes.iter().skip(1).map(|(at, _)| *at).chain([Moment::NEVER]);
        let silent = changes.iter().zip(ends).filter(|((_, who), _)| who.is_none());
        silent.map(|((at, _), end)| end.min(to).since((*at).max(from))).fold(Span::ZERO, |sum, one| sum + one)
    }

    /// The longest time that clients were not served between two moments, and when it began.
    pub fn longest_gap(&self, group: usize, lan: bool, from: Moment, to: Moment) -> (Span, Moment) {
        let changes = if lan { &self.lan[group] } else { &self.clients[group] };
        let ends = changes.iter().skip(1).map(|(at, _)| *at).chain([Moment::NEVER]);
        changes
            .iter()
            .zip(ends)
            .filter(|((_, who), _)| who.is_none())
            .map(|((at, _), end)| (end.min(to).since((*at).max(from)), (*at).max(from)))
            .max_by_key(|(span, _)| *span)
            .unwrap_or((Span::ZERO, from))
    }

    /// How long after `from` clients are served (by that node, if one is named).
    pub fn served_after(&self, group: usize, from: Moment, node: Option<usize>) -> Option<Span> {
        let changes = &self.clients[group];
        let good = |who: Option<usize>| who.is_some() && (node.is_none() || who == node);
        let before = changes.iter().rev().find(|(at, _)| *at <= from);
        if before.is_some_and(|(_, who)| good(*who)) {
            return Some(Span::ZERO);
        }
        changes.iter().find(|(at, who)| *at > from && good(*who)).map(|(at, _)| at.since(from))
    }
}
