//! What a stretch of a journal says of the world: gathered while the recorded node is replayed, byte for byte.

use std::collections::BTreeMap;

use twinbeat_core::event::{Event, Kind, Level};
use twinbeat_core::io::{EchoKind, Input, Output, ServiceReport};
use twinbeat_core::node::Node;
use twinbeat_core::time::{Mono, Span};
use twinbeat_journal::file::Head;
use twinbeat_journal::replay::Watch;

/// A decision that somebody would want to compare.
#[derive(Clone, PartialEq, Debug)]
pub struct Decision {
    /// When.
    pub at: Mono,
    /// What.
    pub event: Event,
}

impl Decision {
    /// The decision in a note, if it is one.
    pub fn of(at: Mono, event: &Event) -> Option<Decision> {
        let counts = match event.kind {
            Kind::Owner(..) | Kind::Left(..) | Kind::Refused(..) => true,
            Kind::Challenge(..) => event.level >= Level::Warn,
            _ => false,
        };
        counts.then(|| Decision { at, event: event.clone() })
    }

    /// Whether it is of the other's kind, in the same group.
    pub fn like(&self, other: &Decision) -> bool {
        self.event.group == other.event.group
            && std::mem::discriminant(&self.event.kind) == std::mem::discriminant(&other.event.kind)
    }

    /// A change of owner.
    pub fn is_move(&self) -> bool {
        matches!(self.event.kind, Kind::Owner(..) | Kind::Left(..))
    }
}

/// Which register an echo asks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Asks {
    /// Whether the witness answers this node at all.
    Reach,
    /// Whether its table names this node for the group.
    Table(u8),
}

impl Asks {
    /// Of an echo; none of a negative control.
    pub fn of(kind: EchoKind) -> Option<Asks> {
        match kind {
            EchoKind::Own => Some(Asks::Reach),
            EchoKind::Vip(g) | EchoKind::Challenge(g) => Some(Asks::Table(g.0)),
            EchoKind::Control(_) | EchoKind::Inquiry => None,
        }
    }
}

/// An echo that was sent, and how long its answer took, if one came.
pub type Sounding = (Mono, Option<Span>);

/// One stretch: from a head to the next one that does not go on.
#[derive(Debug)]
pub struct Stretch {
    /// Its beginning.
    pub head: Head,
    /// The inputs.
    pub inputs: Vec<(Mono, Input)>,
    /// The numbers and times of this node's heartbeats.
    pub sent: Vec<(u64, Mono)>,
    /// For each witness and question, each echo in the order of time.
    pub soundings: BTreeMap<(u8, Asks), Vec<Sounding>>,
    /// When the address was asked for, and when somebody answered.
    pub probes: Vec<Mono>,
    /// The answers, with the group.
    pub answers: Vec<(Mono, Input)>,
    /// What services said, with the group.
    pub services: Vec<(Mono, u8, ServiceReport)>,
    /// For each group each order to its services, and how long it took.
    pub orders: BTreeMap<u8, Vec<Sounding>>,
    /// Each write of the record, and how long it took.
    pub writes: Vec<Sounding>,
    /// When the loop did not run: from, to.
    pub stalls: Vec<(Mono, Mono)>,
    /// What was decided.
    pub decisions: Vec<Decision>,
    under_way: BTreeMap<(u8, Asks, u64), usize>,
}

/// Gathers stretches.
#[derive(Default)]
pub struct Facts {
    /// In the order of the files.
    pub stretches: Vec<Stretch>,
}

impl Watch for Facts {
    fn begin(&mut self, head: &Head, goes_on: bool) {
        if !goes_on {
            self.stretches.push(Stretch {
                head: head.clone(),
                inputs: Vec::new(),
                sent: Vec::new(),
                soundings: BTreeMap::new(),
                probes: Vec::new(),
                answers: Vec::new(),
                services: Vec::new(),
                orders: BTreeMap::new(),
                writes: Vec::new(),
                stalls: Vec::new(),
                decisions: Vec::new(),
                under_way: BTreeMap::new(),
            });
        }
    }

    fn before(&mut self, node: &Node, at: Mono, input: &Input) {
        let Some(s) = self.stretches.last_mut() else { return };
        if let Some(due) = node.deadline()
            && at.since(due) > node.settings().timing.heartbeat
        {
            s.stalls.push((due, at));
        }
        s.inputs.push((at, input.clone()));
        match input {
            Input::EchoReply { witness, kind, number } => {
                let Some(asks) = Asks::of(*kind) else { return };
                if let Some(place) = s.under_way.remove(&(witness.0, asks, *number))
                    && let Some((sent, answer)) = s.soundings.get_mut(&(witness.0, asks)).and_then(|all| all.get_mut(place))
                {
                    *answer = Some(at.since(*sent));
                }
            }
            Input::Answered { .. } => s.answers.push((at, input.clone())),
            Input::Services { group, report, .. } => {
                s.services.push((at, group.0, report.clone()));
                finish(s.orders.get_mut(&group.0), at);
            }
            Input::Persisted { .. } | Input::PersistFailed { .. } => finish(Some(&mut s.writes), at),
            _ => {}
        }
    }

    fn after(&mut self, _node: &Node, at: Mono, _input: &Input, outputs: &[Output]) {
        let Some(s) = self.stretches.last_mut() else { return };
        for output in outputs {
            match output {
                Output::Send { beat, .. } => s.sent.push((beat.number, at)),
                Output::Echo { witness, kind, number } => {
                    let Some(asks) = Asks::of(*kind) else { continue };
                    let all = s.soundings.entry((witness.0, asks)).or_default();
                    s.under_way.insert((witness.0, asks, *number), all.len());
                    all.push((at, None));
                }
                Output::Services { group, .. } => s.orders.entry(group.0).or_default().push((at, None)),
                Output::Persist { .. } => s.writes.push((at, None)),
                Output::Probe { .. } => s.probes.push(at),
                Output::Note(event) => s.decisions.extend(Decision::of(at, event)),
                _ => {}
            }
        }
    }
}

/// The newest order of a queue was carried out.
fn finish(orders: Option<&mut Vec<Sounding>>, at: Mono) {
    if let Some((ordered, took @ None)) = orders.and_then(|all| all.last_mut()) {
        *took = Some(at.since(*ordered));
    }
}

/// How long the order took that was given nearest to an instant, if one was given about then.
pub fn took(orders: &[Sounding], at: Mono) -> Option<Span> {
    nearest(orders, at, |(ordered, _)| *ordered, Span::secs(1)).and_then(|(_, took)| *took)
}

/// The nearest to an instant, if it is within `reach`.
pub fn nearest<T>(all: &[T], at: Mono, time: impl Fn(&T) -> Mono, reach: Span) -> Option<&T> {
    let place = all.partition_point(|one| time(one) < at);
    let away = |one: &T| time(one).since(at).0.max(at.since(time(one)).0);
    let near = [place.checked_sub(1), Some(place)].into_iter().flatten().filter_map(|n| all.get(n));
    near.min_by_key(|one| away(one)).filter(|one| away(one) <= reach.0)
}
