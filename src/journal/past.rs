//! The last hour of a journal, for a page or a screen: [`Lanes`], what was said, and beside each decision what `why` says of it.
//!
//! Files are played one by one, newest first. Bounded in bytes ([`BYTES`]) and in time; what was left out is said. A daemon does not do this itself:
//! it asks another process (`twinbeat why --json`), which may be as slow, as large or as unlucky as it likes.

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::DIR;
use super::file::{Begins, File, Head, list};
use super::lanes::Lanes;
use super::replay::{Player, Trouble, Watch};
use super::why::{Explainer, decisive};
use twinbeat_core::event::{Event, Level};
use twinbeat_core::io::{Input, Output};
use twinbeat_core::node::Node;
use twinbeat_core::time::{Mono, Span};

/// The most of a journal's bytes, newest first, that are read.
pub const BYTES: u64 = 32 * 1024 * 1024;
/// The most events that are told; the oldest go.
pub const EVENTS: usize = 400;

/// What is told.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Past {
    /// The beginning of the window, in milliseconds since 1970.
    pub since: u64,
    /// The journal tells of the time from here on; none when it tells of nothing in the window.
    pub known: Option<u64>,
    /// The lanes.
    pub lanes: Lanes,
    /// What was said, oldest first.
    pub events: Vec<Happened>,
    /// What is to be said of the journal itself.
    pub remarks: Vec<String>,
}

/// One line of the log, or a refused command.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Happened {
    /// When, in milliseconds since 1970.
    pub at: u64,
    /// How much it matters: `info`, `warn`, `error`.
    pub level: &'static str,
    /// Its kind in one word: `owner`, `left`, `link`, …; `decision` where only `why` tells of it.
    pub kind: &'static str,
    /// The group that it is about.
    pub group: Option<String>,
    /// The line.
    pub text: String,
    /// Of a decision: what `why` says of it.
    pub why: Option<String>,
}

/// What one file tells.
#[derive(Debug, Default)]
struct Chapter {
    /// None: not even its head could be read.
    begins: Option<u64>,
    /// The file before it was full, and it goes on where that one ends.
    goes_on: bool,
    lanes: Lanes,
    events: Vec<Happened>,
    remarks: Vec<String>,
}

impl Past {
    /// For programs, and for the page.
    pub fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The `window` before `now` (milliseconds since 1970) of the journal in a directory, or in the `journal` of a state directory. After `patience` no
/// further file is begun.
pub fn look(dir: &Path, now: u64, window: Duration, patience: Duration) -> Past {
    let begun = Instant::now();
    let since = now.saturating_sub(u64::try_from(window.as_millis()).unwrap_or(u64::MAX));
    let mut past = Past { since, ..Past::default() };
    let below = dir.join(DIR);
    let files = match list(if below.is_dir() { &below } else { dir }) {
        Ok(files) => files,
        Err(error) => {
            past.remarks.push(format!("the flight recorder's files cannot be read: {error}"));
            return past;
        }
    };
    let (mut bytes, mut goes_on) = (0_u64, false);
    for (place, (_, path, size)) in files.iter().rev().enumerate() {
        bytes = bytes.saturating_add(*size);
        if place > 0 && (bytes > BYTES || begun.elapsed() > patience) {
            past.remarks.push(
                "older files of the flight recorder are not read: there are too many bytes, or it took too long".to_owned(),
            );
            break;
        }
        let chapter = Chapter::read(path);
        let room = EVENTS.saturating_sub(past.events.len());
        past.events.extend(chapter.events.into_iter().rev().filter(|event| event.at >= since).take(room));
        past.lanes.follow(chapter.lanes, if goes_on { HOLE.as_millis() } else { 0 });
        goes_on = chapter.goes_on;
        past.remarks.extend(chapter.remarks);
        if chapter.begins.is_some_and(|begins| begins <= since) {
            break;
        }
    }
    past.events.reverse();
    past.lanes.cut(since);
    past.known = past.lanes.extent().map(|(from, _)| from);
    past
}

impl Chapter {
    /// Of a file. One that cannot be read or does not replay tells what it told until then, and why not more.
    fn read(path: &Path) -> Chapter {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let file = match File::read(path) {
            Ok(Some(file)) => file,
            Ok(None) => {
                return Chapter { remarks: vec![format!("{name}: not even its head is whole: left out")], ..Chapter::default() };
            }
            Err(fault) => return Chapter { remarks: vec![format!("{name}: {}", fault.what)], ..Chapter::default() },
        };
        let mut teller = Teller::new(&file.head, decisive(&file));
        let mut player = Player::default();
        let played = player.file(&file, &mut teller);
        let mut chapter = teller.end(&file.head, player.node());
        if let Err(trouble) = played {
            chapter.remarks.push(match trouble {
                Trouble::Fault(fault) => format!("{name}:{}: {}", fault.line, fault.what),
                Trouble::Difference(other) => {
                    format!(
                        "{name}: does not replay from {} on (another version wrote it?): `twinbeat replay` says more",
                        other.wall
                    )
                }
            });
        }
        chapter
    }
}

/// Looks on while a file is played.
struct Teller<'a> {
    explainer: Explainer<'a>,
    lanes: Lanes,
    events: VecDeque<(Mono, Happened)>,
    looked: Mono,
    last: Mono,
}

impl<'a> Teller<'a> {
    fn new(head: &'a Head, times: Vec<Mono>) -> Teller<'a> {
        let explainer = Explainer::new(head, times);
        Teller { explainer, lanes: Lanes::default(), events: VecDeque::new(), looked: head.at, last: head.at }
    }

    fn wall(&self, at: Mono) -> u64 {
        self.explainer.head.wall(at).nanos() / 1_000_000
    }

    fn look(&mut self, node: &Node, at: Mono) {
        // Before the first input a node knows nothing.
        if node.deadline().is_some() {
            let wall = self.wall(at);
            self.lanes.look(wall, HOLE.as_millis(), &node.view(at));
            self.looked = at;
        }
    }

    fn end(mut self, head: &Head, node: Option<&Node>) -> Chapter {
        if let Some(node) = node {
            let last = self.last;
            self.look(node, last);
        }
        let begins = Some(head.wall(head.at).nanos() / 1_000_000);
        for told in std::mem::take(&mut self.explainer.told) {
            let of =
                self.events.iter_mut().find(|(at, event)| *at == told.at && event.why.is_none() && event.said() == told.headline);
            match of {
                Some((_, event)) => event.why = Some(told.text),
                None => {
                    let (at, place) = (told.at, self.events.iter().take_while(|(at, _)| *at <= told.at).count());
                    let happened = Happened {
                        at: head.wall(at).nanos() / 1_000_000,
                        level: "warn",
                        kind: "decision",
                        group: None,
                        text: told.headline,
                        why: Some(told.text),
                    };
                    self.events.insert(place, (at, happened));
                }
            }
        }
        Chapter {
            begins,
            goes_on: head.begins == Begins::Rotation,
            lanes: self.lanes,
            events: self.events.into_iter().map(|(_, event)| event).collect(),
            remarks: Vec::new(),
        }
    }
}

impl Happened {
    fn of(at: u64, event: &Event) -> Happened {
        let level = match event.level {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        };
        let group = event.group.as_deref().map(str::to_owned);
        Happened { at, level, kind: event.kind.word(), group, text: event.text.clone(), why: None }
    }

    /// As the log says it, with its group.
    pub fn said(&self) -> String {
        match &self.group {
            Some(group) => format!("{group}: {}", self.text),
            None => self.text.clone(),
        }
    }
}

impl Watch for Teller<'_> {
    fn before(&mut self, node: &Node, at: Mono, input: &Input) {
        self.explainer.before(node, at, input);
        if at.since(self.last) > HOLE {
            // The machine or its daemon stood still: nobody looked.
            let last = self.last;
            self.look(node, last);
        }
        self.last = at;
    }

    fn after(&mut self, node: &Node, at: Mono, input: &Input, outputs: &[Output]) {
        self.explainer.after(node, at, input, outputs);
        let mut noted = false;
        for output in outputs {
            if let Output::Note(event) = output {
                noted = true;
                if event.level > Level::Debug {
                    if self.events.len() >= EVENTS {
                        self.events.pop_front();
                    }
                    self.events.push_back((at, Happened::of(self.wall(at), event)));
                }
            }
        }
        if noted || at.since(self.looked) >= OFTEN {
            self.look(node, at);
        }
    }
}

/// What comes about without a note is seen within this time.
const OFTEN: Span = Span::secs(1);
/// A daemon that took no input for this long saw nothing: `classic` timing beats every 2 s.
const HOLE: Span = Span::secs(10);

#[cfg(test)]
#[path = "past_tests.rs"]
mod tests;
