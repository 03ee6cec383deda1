//! What `[metrics]` tells beside the view: counted and timed by the way, on the thread that decides, in fixed room. Nothing decides by it.

use std::collections::VecDeque;

use twinbeat_config::{Config, RELAY};
use twinbeat_core::event::{Event, Kind};
use twinbeat_core::heartbeat::Heartbeat;
use twinbeat_core::id::{Incarnation, WitnessId};
use twinbeat_core::io::{EchoKind, GateOrder, Input, Output};
use twinbeat_core::time::{Mono, Span};
use twinbeat_core::view::View;
use twinbeat_web::{GroupMeasured, Histogram, LinkMeasured, Measured};
use twinbeat_wire::{Reject, Rejects, Tally};

/// The counters, and what is needed to count.
pub struct Meters {
    measured: Measured,
    /// What is between two heartbeats.
    heartbeat: Span,
    /// When each link was last heard.
    heard: Vec<Option<Mono>>,
    /// This node's heartbeats of late, oldest first, and whose life's they are.
    sent: VecDeque<(u64, Mono)>,
    life: Incarnation,
    /// Of each link the newest of them that the peer has echoed.
    echoed: Vec<u64>,
    /// Until when each group's gate was last ordered to be open.
    open: Vec<Option<Mono>>,
    /// Echoes on their way, oldest first.
    echoes: VecDeque<(WitnessId, EchoKind, u64, Mono)>,
    /// When something happened that may be a move: the view is looked at a little later.
    moved: Option<Mono>,
    /// Each group's gap in microseconds that was counted last.
    counted: Vec<Option<u64>>,
}

impl Meters {
    /// Of a daemon with this configuration.
    pub fn new(config: &Config) -> Meters {
        let names = config.nodes[0].links.iter().map(|link| link.name.to_string());
        let names = names.chain(config.relay_link().map(|_| RELAY.to_owned()));
        let links: Vec<_> =
            names.map(|name| LinkMeasured { name, lateness: Histogram::new(&LONG), round_trips: Histogram::new(&LAN) }).collect();
        let group = |name: String| GroupMeasured { name, renewals: Histogram::new(&LONG), gaps: Histogram::new(&LONG) };
        let groups: Vec<_> = config.groups.iter().map(|g| group(g.name.to_string())).collect();
        let (sent, life, echoed) = (VecDeque::with_capacity(MOST_SENT), Incarnation::default(), vec![0; links.len()]);
        let (heard, open, counted) = (vec![None; links.len()], vec![None; groups.len()], vec![None; groups.len()]);
        let measured = Measured {
            beats_sent: 0,
            frames_accepted: 0,
            frames_copied: 0,
            verifications: 0,
            refused: Vec::new(),
            events: EVENTS.iter().map(|word| (*word, 0)).collect(),
            links,
            groups,
            echoes_own: Histogram::new(&SHORT),
            echoes_vip: Histogram::new(&SHORT),
            loop_lateness: Histogram::new(&SHORT),
            loop_turns: Histogram::new(&SHORT),
        };
        let echoes = VecDeque::with_capacity(MOST_ECHOES);
        Meters { measured, heartbeat: config.timing.heartbeat, heard, sent, life, echoed, open, echoes, moved: None, counted }
    }

    /// A fact, on its way to the decision.
    pub fn came(&mut self, now: Mono, input: &Input) {
        match input {
            Input::Heard { link, beat } => {
                self.echoed(now, beat.get());
                let place = usize::from(link.0);
                if let (Some(last), Some(measured)) = (self.heard.get_mut(place), self.measured.links.get_mut(place))
                    && let Some(before) = last.replace(now)
                {
                    // Between the regular ones there are others, which are not late.
                    measured.lateness.observe(now.since(before).less(self.heartbeat).0);
                }
            }
            Input::EchoReply { witness, kind, number } => {
                let asked = self.echoes.iter().rposition(|(w, k, n, _)| (w, k, n) == (witness, kind, number));
                let Some((_, _, _, at)) = asked.and_then(|place| self.echoes.remove(place)) else { return };
                match kind {
                    EchoKind::Own => self.measured.echoes_own.observe(now.since(at).0),
                    _ => self.measured.echoes_vip.observe(now.since(at).0),
                }
            }
            _ => {}
        }
    }

    /// The round trip of each link over which something new of this node's came to the peer. A copy of a heartbeat, or one that was played back,
    /// echoes nothing new.
    fn echoed(&mut self, now: Mono, beat: &Heartbeat) {
        if beat.echo_of.is_none_or(|of| of.incarnation != self.life) {
            return;
        }
        for echo in &beat.echoes {
            let mut links = self.measured.links.iter_mut().zip(&mut self.echoed);
            let Some((link, newest)) = links.find(|(link, _)| link.name == *echo.link) else { continue };
            if echo.number > *newest
                && let Some((_, at)) = self.sent.iter().rev().find(|(number, _)| *number == echo.number)
            {
                *newest = echo.number;
                link.round_trips.observe(now.since(*at).less(echo.held).0);
            }
        }
    }

    /// What the decision wants, on its way out.
    pub fn goes(&mut self, now: Mono, output: &Output) {
        match output {
            Output::Send { beat, .. } => {
                self.measured.beats_sent = self.measured.beats_sent.saturating_add(1);
                if self.sent.len() == MOST_SENT {
                    self.sent.pop_front();
                }
                self.sent.push_back((beat.number, now));
                self.life = beat.incarnation;
            }
            Output::Echo { witness, kind: kind @ (EchoKind::Own | EchoKind::Vip(_) | EchoKind::Challenge(_)), number } => {
                if self.echoes.len() == MOST_ECHOES {
                    self.echoes.pop_front();
                }
                self.echoes.push_back((*witness, *kind, *number, now));
            }
            Output::Gate { group, order, .. } => {
                let place = usize::from(group.0);
                let (Some(open), Some(group)) = (self.open.get_mut(place), self.measured.groups.get_mut(place)) else { return };
                if let (GateOrder::Renew(_), Some(until)) = (order, *open) {
                    group.renewals.observe(until.since(now).0);
                }
                *open = match order {
                    GateOrder::Open(until) | GateOrder::Renew(until) | GateOrder::Rebuild(until) => Some(*until),
                    GateOrder::Close => None,
                };
            }
            Output::Note(event) => self.noted(now, event),
            _ => {}
        }
    }

    fn noted(&mut self, now: Mono, event: &Event) {
        let word = event.kind.word();
        match self.measured.events.iter_mut().find(|(known, _)| *known == word) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => self.measured.events.push((word, 1)),
        }
        if matches!(event.kind, Kind::Owner(..) | Kind::Move(_) | Kind::Service(_)) {
            self.moved = Some(now);
        }
    }

    /// Whether the view is to be looked at for gaps: not in the middle of a move.
    pub fn look_due(&mut self, now: Mono) -> bool {
        self.moved.take_if(|at| now.since(*at) >= LATER).is_some()
    }

    /// Counts the gaps of moves that are new in a view.
    pub fn look(&mut self, view: &View) {
        for ((group, counted), measured) in view.groups.iter().zip(&mut self.counted).zip(&mut self.measured.groups) {
            // What an earlier life saw is remembered there too.
            let change = group.last_change.as_ref().filter(|change| change.ago_ms <= view.up_ms);
            let gap = change.and_then(|change| change.gap_us);
            // The peer's next change is told together with the gap of the one before.
            if let Some(us) = gap.filter(|gap| *counted != Some(*gap)) {
                measured.gaps.observe(Span::micros(us).0);
            }
            *counted = gap;
        }
    }

    /// The deciding thread came so late to what was due.
    pub fn late(&mut self, by: Span) {
        self.measured.loop_lateness.observe(by.0);
    }

    /// It took so long for one event.
    pub fn turned(&mut self, took: Span) {
        self.measured.loop_turns.observe(took.0);
    }

    /// All, with what was counted of frames.
    pub fn measured(&self, tally: &Tally, refused: Rejects) -> Measured {
        Measured {
            frames_accepted: tally.accepted,
            frames_copied: tally.copies,
            verifications: tally.verifications,
            refused: Reject::ALL.iter().map(|reject| (reject.key(), refused.of(*reject))).collect(),
            ..self.measured.clone()
        }
    }
}

/// The kinds of events: those that have not happened are told as 0.
const EVENTS: [&str; 13] = [
    "owner",
    "reaffirmed",
    "left",
    "refused",
    "link",
    "witness",
    "peer",
    "challenge",
    "service",
    "move",
    "mismatch",
    "stall",
    "host",
];
/// The most echoes that are waited for; a second of them at the fastest rate that a witness is asked at.
const MOST_ECHOES: usize = 512;
/// The most heartbeats of this node whose echo is waited for; a second of them where each is asked to be answered at once.
const MOST_SENT: usize = 256;
/// So long after a move its gap is known, but where services take longer, which is told by another event.
const LATER: Span = Span::secs(1);
/// Of what takes microseconds to milliseconds, in seconds.
const SHORT: [f64; 12] = [0.000_01, 0.000_03, 0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0];
/// Of round trips in a network of one site, in seconds.
const LAN: [f64; 14] = [0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0];
/// Of what is beside heartbeats and leases, in seconds.
const LONG: [f64; 12] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.2, 0.4, 0.7, 1.0, 3.0, 10.0, 30.0];

#[cfg(test)]
#[path = "meters_tests.rs"]
mod tests;
