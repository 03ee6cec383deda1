//! Why: each decision with the evidence that it rested on, as it was known at that instant.
//!
//! A journal's notes say what was decided; the replayed node says what it knew just before: its links, its peer, its
//! witness, its grounds, and which points of the checklist were open. The path of those points up to the decision is told too.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::mem::discriminant;
use std::path::PathBuf;

use super::file::{File, Head};
use super::glance::Glance;
use super::orders::Orders;
use super::replay::{Player, Trouble, Watch};
use twinbeat_core::claim::Open;
use twinbeat_core::event::{Event, Kind, Level};
use twinbeat_core::id::{GroupId, Name};
use twinbeat_core::io::{Answer, Command, Input, Output};
use twinbeat_core::link::{LinkState, link_words};
use twinbeat_core::node::Node;
use twinbeat_core::time::{Mono, Span};
use twinbeat_core::timer::Timer;
use twinbeat_core::view::{GroupView, LinkView, View};
use twinbeat_core::words::GroupRole;
use twinbeat_say::Stamp;

/// What happened this long before a decision belongs to it.
const BEFORE: Span = Span::secs(30);
/// The most steps of a way that are told.
const STEPS: usize = 12;

/// What was found.
#[derive(Debug, Default)]
pub struct Story {
    /// The decisions, oldest first, each a paragraph.
    pub decisions: Vec<String>,
    /// How things are at the journal's end.
    pub now: String,
    /// What is to be said of the journal itself.
    pub remarks: Vec<String>,
}

/// Explains the last decisions of these files, given oldest first.
///
/// # Errors
/// A file that cannot be read, or that does not replay.
pub fn explain(paths: &[PathBuf], last: usize) -> Result<Story, Trouble> {
    let mut story = Story::default();
    let mut found: VecDeque<String> = VecDeque::new();
    for (place, path) in paths.iter().enumerate().rev() {
        let newest = story.now.is_empty();
        if found.len() >= last && !newest {
            break;
        }
        let Some(file) = File::read(path).map_err(Trouble::Fault)? else {
            story.remarks.push(format!("{}: not even its head is whole (power loss?): left out", path.display()));
            continue;
        };
        let times = decisive(&file);
        if times.is_empty() && !newest {
            continue;
        }
        let mut explainer = Explainer::new(&file.head, times);
        let mut player = Player::default();
        player.file(&file, &mut explainer)?;
        if newest {
            story.now = player.node().map(|node| ending(&file.head, node, explainer.last)).unwrap_or_default();
        }
        if place.saturating_add(1) == paths.len() || !player.played.remarks.is_empty() {
            story.remarks.extend(player.played.remarks);
        }
        for told in explainer.told.into_iter().rev() {
            if found.len() < last {
                found.push_front(told.text);
            }
        }
    }
    story.decisions = found.into();
    Ok(story)
}

/// When a file's decisions were made, found by a quick look.
pub(super) fn decisive(file: &File) -> Vec<Mono> {
    let (mut found, mut last) = (Vec::new(), Mono::ZERO);
    for (_, line) in file.lines() {
        match Glance::of(line) {
            Some(Glance::Input(at)) => last = at,
            Some(Glance::Outputs(outputs)) if outputs.iter().any(is_decisive) => found.push(last),
            Some(Glance::Outputs(_) | Glance::Gap) | None => {}
        }
    }
    found
}

/// What is told, or belongs to what is told before it.
fn is_decisive(output: &Output) -> bool {
    match output {
        Output::Note(event) => is_decision(event) || matches!(event.kind, Kind::Challenge(_) | Kind::Move(_)),
        Output::Reply { answer, .. } => matches!(answer, Answer::Refused(_)),
        _ => false,
    }
}

/// What is told in a paragraph of its own.
fn is_decision(event: &Event) -> bool {
    match event.kind {
        Kind::Owner(..) | Kind::Reaffirmed(..) | Kind::Left(..) | Kind::Refused(_) | Kind::Stall | Kind::Fence => true,
        Kind::Challenge(_) => event.level >= Level::Warn,
        Kind::Link(_) | Kind::Witness | Kind::Peer | Kind::Service(_) | Kind::Move(_) | Kind::Mismatch | Kind::Host => false,
    }
}

/// What happened on the way to a decision.
#[derive(Clone)]
enum Step {
    /// A link became what it is from what it was.
    Link { name: Name, is: LinkState, was: LinkState },
    /// Anything else.
    Words(String),
}

/// A group's open points, and how they came and went.
#[derive(Default)]
struct Path {
    open: Vec<Open>,
    steps: VecDeque<(Mono, Step)>,
}

/// A decision with its evidence.
pub(super) struct Told {
    /// When.
    pub at: Mono,
    /// The log's line, or the command that was refused.
    pub headline: String,
    /// The paragraph.
    pub text: String,
}

/// Explains decisions while their file is played.
pub(super) struct Explainer<'a> {
    pub head: &'a Head,
    times: VecDeque<Mono>,
    /// What the node knew just before the present input.
    seen: Option<View>,
    /// What was due, when the present input is a tick.
    woken: Option<Timer>,
    paths: BTreeMap<String, Path>,
    /// How the links were before the present input.
    links: Vec<LinkState>,
    notes: VecDeque<(Mono, Step)>,
    commands: BTreeMap<u64, String>,
    orders: Orders,
    pub told: Vec<Told>,
    last: Mono,
}

impl<'a> Explainer<'a> {
    /// Of a file with this head, and decisions at these times.
    pub fn new(head: &'a Head, times: Vec<Mono>) -> Explainer<'a> {
        Explainer {
            head,
            times: times.into(),
            seen: None,
            woken: None,
            paths: BTreeMap::new(),
            links: Vec::new(),
            notes: VecDeque::new(),
            commands: BTreeMap::new(),
            orders: Orders::default(),
            told: Vec::new(),
            last: head.at,
        }
    }

    fn follow(&mut self, node: &Node, at: Mono, view: &View) {
        for (id, group) in (0u8..).map(GroupId).zip(&view.groups) {
            let open = node.claim_open(id, at);
            let path = self.paths.entry(group.name.clone()).or_default();
            let closed: Vec<&Open> = path.open.iter().filter(|was| !open.iter().any(|is| same(was, is))).collect();
            let opened: Vec<&Open> = open.iter().filter(|is| !path.open.iter().any(|was| same(was, is))).collect();
            // That the peer lives comes and goes with each start of silence: the notes tell it better.
            let told = |point: &&&Open| !matches!(point, Open::PeerAlive(_));
            let mut text = String::new();
            if group.role == GroupRole::Standby {
                for point in closed.iter().filter(told) {
                    let _ = write!(text, "{}closed: {}", if text.is_empty() { "" } else { "; " }, bare(point));
                }
                for point in opened.iter().filter(told) {
                    let _ = write!(text, "{}open: {}", if text.is_empty() { "" } else { "; " }, bare(point));
                }
            }
            if !text.is_empty() {
                path.steps.push_back((at, Step::Words(text)));
            }
            path.open = open;
        }
    }

    fn clock(&self, at: Mono) -> String {
        time_of_day(self.head.wall(at))
    }

    /// An event as a step.
    fn step(&self, node: &Node, event: &Event) -> Step {
        let link = match event.kind {
            Kind::Link(id) => {
                let place = usize::from(id.0);
                let name = node.settings().links.get(place).map(|link| link.name.clone());
                name.zip(node.links().nth(place)).zip(self.links.get(place))
            }
            _ => None,
        };
        match link {
            Some(((name, is), was)) => Step::Link { name, is, was: *was },
            None => Step::Words(event.to_string()),
        }
    }

    /// The old owner's word that a move is finished belongs to its paragraph.
    fn finish(&mut self, at: Mono, headline: &str) {
        let clock = self.clock(at);
        match self.told.last_mut() {
            Some(told) => row(&mut told.text, "then", &format!("{clock}  {headline}")),
            None => self.tell(at, None, headline),
        }
    }

    fn tell(&mut self, at: Mono, group: Option<&str>, headline: &str) {
        let Some(view) = &self.seen else {
            let text = format!("{}  {headline}\n    (the node had just begun)\n", self.head.wall(at));
            self.told.push(Told { at, headline: headline.to_owned(), text });
            return;
        };
        let mut text = format!("{}  {headline}\n", self.head.wall(at));
        let since = at.back(BEFORE);
        let mut way: Vec<(Mono, Step)> = self.notes.iter().filter(|(when, _)| *when >= since).cloned().collect();
        if let Some(path) = group.and_then(|name| self.paths.get(name)) {
            way.extend(path.steps.iter().filter(|(when, _)| *when >= since).cloned());
        }
        way.sort_by_key(|(when, _)| *when);
        let way = gathered(way);
        let left_out = way.len().saturating_sub(STEPS);
        let mut label = "before";
        if left_out > 0 {
            row(&mut text, label, &format!("… {left_out} earlier steps left out"));
            label = "";
        }
        for (when, what) in way.iter().skip(left_out) {
            row(&mut text, label, &format!("{}  {what}", self.clock(*when)));
            label = "";
        }
        if let Some(timer) = self.woken {
            row(&mut text, "woken", &format!("by time: {timer}"));
        }
        let place = group.and_then(|name| view.groups.iter().position(|g| g.name == name));
        known(&mut text, view, place.and_then(|place| view.groups.get(place)));
        let held_up = place.and_then(|place| self.orders.words(GroupId(u8::try_from(place).ok()?), at));
        if let Some(words) = held_up {
            row(&mut text, "gate", &words);
        }
        self.told.push(Told { at, headline: headline.to_owned(), text });
    }
}

impl Watch for Explainer<'_> {
    fn before(&mut self, node: &Node, at: Mono, input: &Input) {
        self.last = at;
        while self.times.front().is_some_and(|time| *time < at) {
            self.times.pop_front();
        }
        self.links = node.links().collect();
        self.orders.reported(at, input);
        if let Input::Command { id, command } = input {
            self.commands.insert(*id, said(command).into());
        }
        let soon = self.times.front().is_some_and(|time| time.back(BEFORE) <= at);
        self.seen = (soon && node.deadline().is_some()).then(|| node.view(at));
        self.woken = node.next_timer().filter(|(due, _)| *input == Input::Tick && *due <= at).map(|(_, timer)| timer);
        if let Some(view) = self.seen.take() {
            self.follow(node, at, &view);
            self.seen = Some(view);
        }
    }

    fn after(&mut self, node: &Node, at: Mono, _input: &Input, outputs: &[Output]) {
        for output in outputs {
            self.orders.ordered(at, output);
            match output {
                Output::Note(event) => {
                    if let Kind::Move(..) = event.kind {
                        self.finish(at, &event.to_string());
                    } else if is_decision(event) {
                        let group = event.group.as_deref().map(str::to_string);
                        self.tell(at, group.as_deref(), &event.to_string());
                        if let Some(path) = group.and_then(|name| self.paths.get_mut(&name)) {
                            path.steps.clear();
                        }
                    }
                    if event.level > Level::Debug {
                        self.notes.push_back((at, self.step(node, event)));
                        if self.notes.len() > STEPS * 2 {
                            self.notes.pop_front();
                        }
                    }
                }
                Output::Reply { id, answer: Answer::Refused(why) } => {
                    let command = self.commands.get(id).cloned().unwrap_or_else(|| "a command".into());
                    self.tell(at, None, &format!("{command} REFUSED: {why}"));
                }
                _ => {}
            }
        }
    }
}

/// What became of several links within a moment is one step.
fn gathered(way: Vec<(Mono, Step)>) -> Vec<(Mono, String)> {
    let mut all: Vec<(Mono, Step, Vec<Name>)> = Vec::new();
    for (when, step) in way {
        let Step::Link { name, is, was } = &step else {
            all.push((when, step, Vec::new()));
            continue;
        };
        let same = |other: &Step| matches!(other, Step::Link { is: i, was: w, .. } if (i, w) == (is, was));
        match all.iter_mut().find(|(at, other, _)| when.since(*at) <= Span::millis(5) && same(other)) {
            Some((_, _, names)) => names.push(name.clone()),
            None => all.push((when, step.clone(), vec![name.clone()])),
        }
    }
    let told = |(when, step, names): (Mono, Step, Vec<Name>)| match step {
        Step::Link { is, was, .. } => (when, link_words(&names, is, was)),
        Step::Words(text) => (when, text),
    };
    all.into_iter().map(told).collect()
}

/// What the node knew, row by row.
fn known(text: &mut String, view: &View, group: Option<&GroupView>) {
    let ago = |ms: Option<u64>| ms.map_or("never".to_string(), |ms| format!("{} ago", Span::millis(ms)));
    let newest = view.links.iter().filter_map(|l| l.heard_ms).min();
    row(text, "known", &format!("peer       {} {}, heard {}", view.peer, view.peer_state, ago(newest)));
    let link = |l: &LinkView| format!("{} {} ({})", l.name, l.state, ago(l.heard_ms));
    row(text, "", &format!("links      {}", view.links.iter().map(link).collect::<Vec<_>>().join(", ")));
    let answered = view.witness.targets.iter().filter_map(|t| t.answered_ms).min();
    let word = if view.witness.reachable { "answers this node" } else { "does NOT answer this node" };
    let peers = match view.witness.peer_reachable {
        Some(true) => format!("; {} says that it answers there", view.peer),
        Some(false) => format!("; {} says that it does not answer there", view.peer),
        None => String::new(),
    };
    row(text, "", &format!("witness    {word}, last {}{peers}", ago(answered)));
    if let Some(mismatch) = &view.mismatch {
        row(text, "", &format!("mismatch   {mismatch}"));
    }
    let one = group.map(std::slice::from_ref);
    for group in one.unwrap_or(&view.groups) {
        let owner = group.owner.as_deref().unwrap_or("nobody");
        let mut own = format!("{:<10} {} was {}, epoch {}; {owner} served", group.name, view.node, group.role, group.epoch);
        if let Some(left) = group.lease_ms_left {
            let grounds: Vec<&str> = group.grounds.iter().map(|ground| ground.word()).collect();
            let grounds = if grounds.is_empty() { "no ground".into() } else { grounds.join(" and ") };
            let _ = write!(own, "; {} of lease left, by {grounds}", Span::millis(left));
        }
        let _ = write!(own, "; service {}", group.service);
        if let Some(held) = &group.standby_held {
            let _ = write!(own, "; standby by command: {held}");
        }
        if let Some(paused) = &group.paused {
            let _ = write!(own, "; paused: {paused}");
        }
        row(text, "", &own);
        if group.role == GroupRole::Claiming {
            row(text, "missing", "nothing: it may own; gate and address were being made");
        } else if group.role == GroupRole::Standby {
            match group.claim_open.as_slice() {
                [] => row(text, "missing", "nothing: every point of the checklist held"),
                open => open.iter().enumerate().for_each(|(n, point)| row(text, if n == 0 { "missing" } else { "" }, point)),
            }
        }
    }
}

/// How things are at the journal's end.
fn ending(head: &Head, node: &Node, at: Mono) -> String {
    let mut text = format!("{}  the journal's newest line\n", head.wall(at));
    known(&mut text, &node.view(at), None);
    if let Some((due, what)) = node.next_timer() {
        row(&mut text, "next", &format!("in {}: {what}", due.since(at)));
    }
    text
}

fn row(text: &mut String, label: &str, what: &str) {
    let _ = writeln!(text, "    {label:<8} {what}");
}

fn time_of_day(stamp: Stamp) -> String {
    let text = stamp.to_string();
    text.get(11..).unwrap_or(&text).to_string()
}

/// Two points are the same but for their figures.
fn same(one: &Open, other: &Open) -> bool {
    match (one, other) {
        (Open::FilesDiffer(one), Open::FilesDiffer(other)) => one == other,
        _ => discriminant(one) == discriminant(other),
    }
}

/// A point without the figure that changes from moment to moment.
fn bare(point: &Open) -> String {
    match point {
        Open::NotSilentLongEnough(_) => "the peer is silent, but not yet long enough".into(),
        _ => point.to_string(),
    }
}

fn said(command: &Command) -> &'static str {
    match command {
        Command::Standby { .. } => "`standby`",
        Command::Takeover { .. } => "`takeover`",
        Command::Pause { .. } => "`pause`",
        Command::Fenced => "`fenced`",
        Command::Resume | Command::ResumeGroup { .. } => "`resume`",
        Command::Shutdown => "the stop",
        Command::HandOver => "the restart with a file that cannot be used",
        Command::ComeBack => "the restart (SIGUSR2)",
    }
}
