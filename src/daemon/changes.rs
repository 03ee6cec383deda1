//! What hooks are told: changes found in what the core says, and by looking at the view; in words that hold for a while.
//!
//! Nothing of this reaches the core, and nothing here waits: a change is handed to the hooks' own thread.

use twinbeat_core::event::{Event, Kind};
use twinbeat_core::io::{GateOrder, Output};
use twinbeat_core::sentence::{self, Sentence};
use twinbeat_core::time::{Mono, Span};
use twinbeat_core::view::{TakeoverReady, View};
use twinbeat_core::words::GroupRole;
use twinbeat_say::Stamp;
use twinbeat_service::hook::{Change, Health, Hooks, What};

/// What was last told.
pub struct Changes<T> {
    tell: T,
    groups: Vec<Group>,
    health: Settled<Vec<Sentence>>,
    /// Something was said behind which a role may be another one.
    hint: bool,
    looked: Option<Mono>,
}

/// One group.
#[derive(Default)]
struct Group {
    name: String,
    role: Option<GroupRole>,
    epoch: u64,
    ready: Settled<TakeoverReady>,
}

/// Who takes a change.
pub trait Tell {
    /// Takes it, without waiting.
    fn tell(&self, change: Change);
}

impl Tell for Hooks {
    fn tell(&self, change: Change) {
        Hooks::tell(self, change);
    }
}

impl<T: Tell> Changes<T> {
    /// Nothing is told yet, of these groups in the order of the file.
    pub fn new(tell: T, groups: impl Iterator<Item = String>) -> Changes<T> {
        let groups = groups.map(|name| Group { name, ..Group::default() }).collect();
        Changes { tell, groups, health: Settled::default(), hint: false, looked: None }
    }

    /// Who is told.
    pub fn told(&self) -> &T {
        &self.tell
    }

    /// What the core wants or says, in the order in which it does.
    pub fn output(&mut self, output: &Output) {
        match output {
            Output::Gate { order: GateOrder::Open(_) | GateOrder::Close, .. } => self.hint = true,
            Output::Note(event) => self.note(event),
            _ => {}
        }
    }

    fn note(&mut self, event: &Event) {
        let place = |group: twinbeat_core::id::GroupId| usize::from(group.0);
        match event.kind {
            Kind::Owner(group, epoch) => self.role(place(group), GroupRole::Owner, epoch.0, &event.text),
            Kind::Left(group, epoch) => self.role(place(group), GroupRole::Leaving, epoch.0, &event.text),
            Kind::Reaffirmed(group, epoch) => {
                // Found open at the start: it owns, which nobody has said yet.
                self.role(place(group), GroupRole::Owner, epoch.0, START);
                let Some(name) = self.groups.get(place(group)).map(|group| group.name.clone()) else { return };
                self.send(What::Reaffirmed { role: GroupRole::Owner, epoch: epoch.0 }, Some(name), &event.text);
            }
            _ => return,
        }
        self.hint = true;
    }

    fn role(&mut self, place: usize, role: GroupRole, epoch: u64, reason: &str) {
        let Some(group) = self.groups.get_mut(place) else { return };
        group.epoch = epoch;
        if group.role == Some(role) {
            return;
        }
        let (was, name) = (group.role.replace(role), group.name.clone());
        let reason = if was.is_none() { START } else { reason };
        self.send(What::Role { role, was, epoch }, Some(name), reason);
    }

    /// Whether it is time to look: a role may have changed, is about to, or the last look was long ago.
    pub fn due(&self, now: Mono) -> bool {
        let passing = |group: &Group| matches!(group.role, None | Some(GroupRole::Claiming | GroupRole::Leaving));
        self.hint || self.looked.is_none_or(|at| now.since(at) >= EVERY) || self.groups.iter().any(passing)
    }

    /// Looks. A role is told at once; health and readiness when they have settled.
    pub fn look(&mut self, now: Mono, view: &View) {
        self.hint = false;
        self.looked = Some(now);
        for (place, seen) in view.groups.iter().enumerate() {
            let changed = seen.last_change.as_ref().map(|change| change.text.as_str());
            let reason = match seen.role {
                GroupRole::Owner => changed.unwrap_or("gate and address are up"),
                GroupRole::Claiming => "gate and address are being made",
                GroupRole::Leaving => changed.unwrap_or("gate and address go"),
                GroupRole::Standby => "gate and address are gone",
            };
            // A start first takes away what an earlier life may have left: that is no role that anybody had.
            let sweeps = seen.role == GroupRole::Leaving && self.groups.get(place).is_some_and(|group| group.role.is_none());
            if !sweeps {
                self.role(place, seen.role, seen.epoch, reason);
            }
            let Some(group) = self.groups.get_mut(place) else { continue };
            let Some(was) = group.ready.look(now, &seen.takeover_ready, same_readiness) else { continue };
            let (name, epoch, ready) = (group.name.clone(), group.epoch, &seen.takeover_ready);
            let reason = match &was {
                None => START.to_owned(),
                Some(_) if ready.ready => "a takeover would work".into(),
                Some(_) => format!("a takeover would not work: {}", sentence::joined(&ready.reasons)),
            };
            let what = What::Readiness {
                ready: ready.ready,
                was: was.map(|was| was.ready),
                crash_ready: ready.crash.ready,
                crash_reasons: bounded(&ready.crash.reasons),
                planned_ready: ready.planned.ready,
                planned_reasons: bounded(&ready.planned.reasons),
                epoch,
            };
            self.send(what, Some(name), &reason);
        }
        if let Some(was) = self.health.look(now, &view.problems, |one, other| same_sentences(one, other)) {
            let health = |problems: &[Sentence]| if problems.is_empty() { Health::Ok } else { Health::Problems };
            let reason = match (&was, view.problems.first()) {
                (None, _) => START,
                (Some(_), Some(first)) => first.text.as_str(),
                (Some(_), None) => "all is well",
            };
            let what = What::Health {
                health: health(&view.problems),
                was: was.map(|was| health(&was)),
                problems: bounded(&view.problems),
            };
            self.send(what, None, reason);
        }
    }

    fn send(&self, what: What, group: Option<String>, reason: &str) {
        self.tell.tell(Change { what, group, at: Stamp::now().to_string(), reason: shortened(reason) });
    }
}

/// Something that may flicker: it is another one only when it has been that for a while.
struct Settled<V> {
    told: Option<V>,
    /// What is seen instead, since when; and since when it has not been what was told.
    differs: Option<(V, Mono, Mono)>,
}

impl<V> Default for Settled<V> {
    fn default() -> Settled<V> {
        Settled { told: None, differs: None }
    }
}

impl<V: Clone> Settled<V> {
    /// What is seen at `now`. Where that is to be told, what was told before, if anything was.
    fn look(&mut self, now: Mono, value: &V, same: fn(&V, &V) -> bool) -> Option<Option<V>> {
        if self.told.as_ref().is_some_and(|told| same(told, value)) {
            self.differs = None;
            return None;
        }
        let (since, first) = match &self.differs {
            Some((seen, since, first)) if same(seen, value) => (*since, *first),
            Some((_, _, first)) => (now, *first),
            None => (now, now),
        };
        if now.since(since) < SETTLES && now.since(first) < AT_LAST {
            self.differs = Some((value.clone(), since, first));
            return None;
        }
        self.differs = None;
        Some(self.told.replace(value.clone()))
    }
}

/// Whether both lists say the same, whatever the figures that passed between them.
fn same_sentences(one: &[Sentence], other: &[Sentence]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.same(other))
}

/// Either kind of takeover works when nothing stands against it.
fn same_readiness(one: &TakeoverReady, other: &TakeoverReady) -> bool {
    same_sentences(&one.crash.reasons, &other.crash.reasons) && same_sentences(&one.planned.reasons, &other.planned.reasons)
}

/// The first texts, each not too long: a document has a bound.
fn bounded(sentences: &[Sentence]) -> Vec<String> {
    sentences.iter().take(MOST_LINES).map(|sentence| shortened(&sentence.text)).collect()
}

fn shortened(line: &str) -> String {
    match line.char_indices().nth(MOST_CHARACTERS) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line.to_owned(),
    }
}

/// The reason of what is told first.
const START: &str = "start";
/// Between two looks while nothing is said; the daemon is not woken for it.
const EVERY: Span = Span::secs(1);
/// For so long health and readiness must be the same before they are told.
const SETTLES: Span = Span::secs(2);
/// What never settles is told after so long.
const AT_LAST: Span = Span::secs(10);
/// The most problems or reasons in a document.
const MOST_LINES: usize = 50;
/// The most characters of one.
const MOST_CHARACTERS: usize = 500;

#[cfg(test)]
#[path = "changes_tests.rs"]
mod tests;
