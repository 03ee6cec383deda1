//! What if: the recorded world, once more, for a node with other settings. Would it have failed over, when, with which evidence?
//!
//! The recorded node is replayed first, byte for byte. Then a node with the changed settings starts from the same state: what
//! was heard, what links and people did is given to it as recorded; its echoes fare as the nearest recorded ones of their
//! kind did; kernel, disk and services are the simulator's. What this cannot know is said with each answer.

#![forbid(unsafe_code)]

mod facts;
mod settings;
pub mod tape;
mod world;

use std::fmt::Write as _;
use std::path::PathBuf;

use self::facts::{Decision, Facts, Stretch};
pub use self::settings::{Change, KEYS};
use self::world::{Assumed, CloseCall, Outcome, World};
use twinbeat_core::event::Kind;
use twinbeat_core::time::{Mono, Span};
use twinbeat_journal::replay::{Trouble, play};

/// Two decisions this near each other are the same.
const SAME: Span = Span::millis(250);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum WhatIfError {
    /// A wrong `--set`.
    #[error("{0}")]
    Setting(String),
    /// The journal cannot be played.
    #[error("{0}")]
    Trouble(Trouble),
}

/// Plays the files with these `KEY=VALUE` changed, and tells what would have been otherwise.
///
/// # Errors
/// A wrong change; a journal that cannot be read or does not replay.
pub fn what_if(paths: &[PathBuf], set: &[String]) -> Result<String, WhatIfError> {
    let mut facts = Facts::default();
    let played = play(paths, &mut facts).map_err(WhatIfError::Trouble)?;
    let mut text = String::new();
    let mut told = Vec::new();
    for stretch in &facts.stretches {
        let mut settings = stretch.head.settings.clone();
        let changes = set
            .iter()
            .map(|s| settings::set(&mut settings, s))
            .collect::<Result<Vec<Change>, _>>()
            .map_err(WhatIfError::Setting)?;
        if told != changes {
            let words: Vec<String> = changes.iter().map(|c| format!("{} = {} (recorded: {})", c.key, c.is, c.was)).collect();
            let _ = writeln!(text, "what if {}?", words.join(", "));
            if let Some(relation) = settings::refusal(&settings) {
                let _ = writeln!(text, "      a daemon refuses this timing; broken: {relation}");
            }
            told = changes;
        }
        let outcome = World::new(stretch, &settings).map_err(WhatIfError::Setting)?.run();
        compare(&mut text, stretch, &outcome, set);
    }
    played.remarks.iter().for_each(|remark| {
        let _ = writeln!(text, "note: {remark}");
    });
    Ok(text)
}

/// A decision and what became of it.
struct Pairing<'a> {
    recorded: Option<&'a Decision>,
    what_if: Option<&'a Decision>,
}

impl Pairing<'_> {
    fn at(&self) -> Mono {
        [self.recorded, self.what_if].into_iter().flatten().map(|d| d.at).min().unwrap_or_default()
    }

    fn same(&self) -> bool {
        matches!((self.recorded, self.what_if), (Some(r), Some(w)) if apart(r.at, w.at) <= SAME)
    }
}

fn apart(one: Mono, other: Mono) -> Span {
    Span(one.0.abs_diff(other.0))
}

/// Pairs the decisions of each group, kind by kind, in their order.
fn pairings<'a>(recorded: &'a [Decision], what_if: &'a [Decision]) -> Vec<Pairing<'a>> {
    let mut all: Vec<Pairing<'a>> = Vec::new();
    let mut left: Vec<&Decision> = what_if.iter().collect();
    for r in recorded {
        // The next of its kind, unless a later recorded one is nearer to it.
        let place = left.iter().position(|w| w.like(r)).filter(|place| {
            left.get(*place).is_some_and(|w| {
                !recorded.iter().any(|other| other.at != r.at && other.like(w) && apart(other.at, w.at) < apart(r.at, w.at))
            })
        });
        all.push(Pairing { recorded: Some(r), what_if: place.map(|place| left.remove(place)) });
    }
    all.extend(left.into_iter().map(|w| Pairing { recorded: None, what_if: Some(w) }));
    all.sort_by_key(Pairing::at);
    all
}

fn compare(text: &mut String, stretch: &Stretch, outcome: &Outcome, set: &[String]) {
    let clock = |at: Mono| stretch.head.wall(at).to_string();
    let end = stretch.inputs.last().map_or(stretch.head.at, |(at, _)| *at);
    let _ = writeln!(text, "\n{} of {} to {}", stretch.head.node, clock(stretch.head.at), clock(end));
    let all = pairings(&stretch.decisions, &outcome.decisions);
    if all.is_empty() {
        let _ = writeln!(text, "  nothing was decided, and nothing would have been");
    }
    let mut first = None;
    for pairing in &all {
        if pairing.same() {
            if let Some(r) = pairing.recorded {
                let _ = writeln!(text, "  the same    {}  {}", clock(r.at), r.event);
            }
            continue;
        }
        first.get_or_insert(pairing.at());
        if let Some(r) = pairing.recorded {
            let _ = writeln!(text, "  recorded    {}  {}", clock(r.at), r.event);
        }
        match (pairing.recorded, pairing.what_if) {
            (Some(r), Some(w)) => {
                let way = if w.at > r.at { "later" } else { "earlier" };
                let _ = writeln!(text, "  what if     {}  {}\n              {} {way}", clock(w.at), w.event, apart(r.at, w.at));
            }
            (None, Some(w)) => {
                let _ = writeln!(text, "  only then   {}  {}", clock(w.at), w.event);
            }
            (Some(r), None) => not_at_all(text, r, &outcome.close_calls, &clock),
            (None, None) => {}
        }
    }
    answer(text, stretch, &all, &outcome.close_calls, &clock);
    limits(text, outcome.assumed, first.map(clock), set);
}

fn not_at_all(text: &mut String, r: &Decision, calls: &[CloseCall], clock: &dyn Fn(Mono) -> String) {
    let _ = writeln!(text, "  what if     not at all");
    if let (Kind::Owner(..), Some(call)) = (&r.event.kind, calls.iter().find(|c| c.at >= r.at.back(SAME))) {
        let _ = writeln!(
            text,
            "              the peer was heard again at {}, after {} of silence; until then was missing:",
            clock(call.at),
            call.silence
        );
        call.missing.iter().for_each(|point| {
            let _ = writeln!(text, "              - {point}");
        });
    }
}

/// The answer in one line.
fn answer(text: &mut String, stretch: &Stretch, all: &[Pairing<'_>], calls: &[CloseCall], clock: &dyn Fn(Mono) -> String) {
    let moves: Vec<&Pairing<'_>> =
        all.iter().filter(|p| [p.recorded, p.what_if].into_iter().flatten().any(Decision::is_move)).collect();
    let count = |f: &dyn Fn(&Pairing<'_>) -> bool| moves.iter().filter(|p| f(p)).count();
    let (same, gone, new) = (
        count(&|p: &Pairing<'_>| p.same()),
        count(&|p: &Pairing<'_>| p.what_if.is_none()),
        count(&|p: &Pairing<'_>| p.recorded.is_none()),
    );
    let shifted = moves.len().saturating_sub(same.saturating_add(gone).saturating_add(new));
    let _ = writeln!(
        text,
        "  answer      of {} changes of owner on {}: {same} the same, {shifted} at another time, {gone} not at all; {new} more",
        moves.len().saturating_sub(new),
        stretch.head.node
    );
    if let Some(longest) = calls.iter().max_by_key(|c| c.silence) {
        let _ = writeln!(
            text,
            "              the longest silence that ended without a claim: {}, until {}",
            longest.silence,
            clock(longest.at)
        );
    }
}

/// What this cannot know.
fn limits(text: &mut String, assumed: Assumed, first: Option<String>, set: &[String]) {
    let mut row = |what: String| {
        let _ = writeln!(text, "  not known   {what}");
    };
    if let Some(first) = first {
        row(format!(
            "what the peer would have said after {first}: its words are the recorded ones, and answer what this node really did"
        ));
    }
    let keys = || set.iter().filter_map(|change| change.split_once('=')).map(|(key, _)| key.trim());
    if keys().any(|key| matches!(key, "timing.heartbeat" | "timing.lease")) {
        row("how the peer would have fared with this timing: its heartbeats come as often as they were recorded".into());
    }
    let Assumed { table, reach, probes } = assumed;
    if table > 0 {
        row(format!(
            "whether the witness's table named this node {table} times, when the recorded one did not ask: the last known writer is assumed"
        ));
    }
    if reach > 0 {
        row(format!("whether the witness answered {reach} times, when the recorded node did not ask: taken as no"));
    }
    if probes > 0 {
        row(format!("whether somebody would have answered {probes} probes, when the recorded node did not probe: taken as no"));
    }
    row("how long kernel, disk and services would have taken: as recorded where they were asked at about that time, else as in the simulator".into());
}
