//! What all groups of a node share: links, peer, witness, numbers, and the queue of outputs.

use alloc::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::bite::{self, Clause};
use super::event::{Event, Kind, Level};
use super::fence::Fence;
use super::files::VipSet;
use super::heartbeat::MOST_AGE;
use super::id::{Attempt, Epoch, GroupId, Incarnation, LinkId, Name, NodeId};
use super::io::{EchoKind, Output};
use super::link::Link;
use super::meaning;
use super::pace::Before;
use super::peer::{Peer, Sent};
use super::settings::{Failback, Services, Settings};
use super::time::{Mono, Span};
use super::witness::{AWAY_AGAIN, Witness};
use crate::prelude::*;

/// What all groups share.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Shared {
    /// The configuration.
    pub settings: Settings,
    /// This life's number.
    pub incarnation: Incarnation,
    /// When it began.
    pub born: Mono,
    /// Each link.
    pub links: Vec<Link>,
    /// The other node.
    pub peer: Peer,
    /// The third party.
    pub witness: Witness,
    /// My own heartbeats.
    pub sent: Sent,
    /// The outputs.
    pub out: VecDeque<Output>,
    /// A heartbeat is to be sent at the end of this step.
    pub urgent: bool,
    /// It is to ask for an answer.
    pub ask: bool,
    /// Echoes at the fast rate are wanted, as of the last step.
    pub fast: bool,
    /// Where it is asked slowly, an answer to a VIP is overdue: the next own echo goes out at once, to be held against it.
    pub pressed: bool,
    /// The peer was not heard for `warn`, and since then by the witness's table alone.
    #[serde(default)]
    pub apart: bool,
    /// An echo from a VIP went out in this step.
    pub echoed: bool,
    /// Something goes out in this step: what is due within half a heartbeat goes along, so that the machine wakes once.
    pub together: bool,
    /// The daemon is being stopped.
    pub shutdown: bool,
    /// The daemon is about to leave its gates to its next life: each gain counts.
    pub come_back: bool,
    /// The record on disk is behind.
    pub dirty: bool,
    /// The state directory cannot be written: since when.
    pub disk_failed: Option<String>,
    /// The kernel does not make the gate: why, and when that was last said.
    #[serde(default)]
    pub unguarded: Option<(String, Mono)>,
    /// Whether the peer was turned off.
    #[serde(default)]
    pub fence: Fence,
    /// The longest own lease that the peer has ever echoed; zero when it never did.
    pub acked_lease: Span,
    /// Each group's VIPs in this node's file.
    pub vips: Vec<(Name, VipSet)>,
    /// The peer's file is known to have the same.
    #[serde(default)]
    pub vips_agree: bool,
    /// The groups that this node holds, or is about to, at this moment.
    pub holding: Vec<Name>,
    /// Those of them that it owns.
    #[serde(default)]
    pub owning: Vec<Name>,
    /// How often echoes in the peer's name are wanted, as of the last step, by who wants them most often.
    #[serde(default)]
    pub inquire: Option<Span>,
    #[serde(serialize_with = "meaning::nothing")]
    numbers: u64,
}

impl Shared {
    /// At the beginning.
    pub fn new(settings: Settings, now: Mono) -> Shared {
        Shared {
            incarnation: Incarnation(0),
            born: now,
            links: settings.links.iter().map(|l| Link::new(l, now)).collect(),
            peer: Peer { floor: now, ..Peer::default() },
            witness: Witness::new(&settings.witness, now),
            sent: Sent::default(),
            out: VecDeque::new(),
            urgent: false,
            ask: false,
            fast: false,
            pressed: false,
            apart: false,
            echoed: false,
            together: false,
            shutdown: false,
            come_back: false,
            dirty: false,
            disk_failed: None,
            unguarded: None,
            fence: Fence::default(),
            acked_lease: Span::ZERO,
            vips_agree: false,
            vips: settings.groups.iter().map(|g| (g.name.clone(), VipSet::of(g))).collect(),
            holding: Vec::new(),
            owning: Vec::new(),
            inquire: None,
            numbers: 0,
            settings,
        }
    }

    /// A number that was never given before: for attempts, generations, tickets, echoes.
    pub fn number(&mut self) -> u64 {
        self.numbers = self.numbers.saturating_add(1);
        self.numbers
    }

    /// The highest number that was given.
    pub fn given(&self) -> u64 {
        self.numbers
    }

    /// A new attempt.
    pub fn attempt(&mut self) -> Attempt {
        Attempt(self.number())
    }

    /// Before a step: what it finds out is found out anew.
    pub fn begin_step(&mut self) {
        self.pressed = false;
        self.echoed = false;
    }

    /// Whether the tables of a majority can be used for a claim.
    pub fn registers(&self) -> bool {
        let settings = &self.settings.witness;
        let count = (0..).zip(&self.witness.targets).filter(|(i, w)| w.register && settings.is_register(*i)).count();
        count >= settings.register_majority()
    }

    /// The witnesses that do not count as registers although they would by the file, for the record.
    pub(super) fn struck_off(&self) -> Vec<u8> {
        let all = (0u8..).zip(&self.witness.targets);
        all.filter(|(i, w)| !w.register && self.settings.witness.is_register(usize::from(*i))).map(|(i, _)| i).collect()
    }

    /// A witness was found to answer to the sender: it proves nothing.
    pub fn answers_to_the_sender(&mut self, witness: usize) {
        let which = witness.saturating_add(1);
        let text = format!("witness {which} answers to the sender, not to its table: it proves nothing, and is not counted");
        self.note(Level::Warn, None, Kind::Witness, text);
        self.dirty = true;
    }

    /// So many negative controls stayed away that it counts again.
    pub fn counts_again(&mut self, witness: usize) {
        let which = witness.saturating_add(1);
        let text = format!(
            "witness {which} answers to its table: {AWAY_AGAIN} negative controls in a row stayed away, and it counts again"
        );
        self.note(Level::Info, None, Kind::Witness, text);
        self.dirty = true;
    }

    /// Whether the witnesses may be tried at the fast rate; where the slow one is no slower there is nothing to find out.
    pub(super) fn is_calm(&self) -> bool {
        self.witness.carrier && !self.fast && !self.apart && self.settings.timing.echo_period() < self.settings.witness.interval
    }

    /// Whether something that is due at `at` goes along with what is sent in this step. Not for the fast rate, whose answers
    /// are counted against time.
    pub fn goes_along(&self, at: Mono, now: Mono) -> bool {
        self.together && now + self.settings.timing.heartbeat / 2 >= at
    }

    /// Says something to a person.
    pub fn note(&mut self, level: Level, group: Option<&Name>, kind: Kind, text: impl Into<String>) {
        self.out.push_back(Output::Note(Event { level, group: group.cloned(), kind, text: text.into() }));
    }

    /// The period of one kind of echo, shortened by up to a quarter after the one at `at`: at one and the same distance a witness with a limit answers always the same
    /// one of two kinds, or of two nodes, and the other never.
    pub fn dithered(&self, kind: EchoKind, at: Mono, period: Span) -> Span {
        let kind = match kind {
            EchoKind::Vip(group) => 256_u64.saturating_add(u64::from(group.0)),
            EchoKind::Challenge(group) => 512_u64.saturating_add(u64::from(group.0)),
            EchoKind::Control(group) => 768_u64.saturating_add(u64::from(group.0)),
            EchoKind::Inquiry => 1,
            EchoKind::Own => 0,
        };
        // The finalizer of splitmix64, over the time, the node and the kind.
        let seed = at.0.wrapping_mul(2).wrapping_add(u64::from(self.settings.me.0));
        let mut x = seed.wrapping_add(kind.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 31;
        let most = period.0 / 4;
        Span(period.0.saturating_sub(x.checked_rem(most).unwrap_or(0)))
    }

    /// Sends an echo to every witness (from a VIP: to every register) that bears one now, `before` being each one's last; returns its number, and whom it went to.
    pub fn echo_all(&mut self, kind: EchoKind, before: impl Fn(usize) -> Before, now: Mono) -> (u64, Vec<usize>) {
        let number = self.number();
        let all = kind == EchoKind::Own;
        let (settings, period) = (&self.settings.witness, self.settings.timing.echo_period());
        let targets: Vec<usize> = (0..usize::from(settings.targets))
            .filter(|target| all || settings.is_register(*target))
            .filter(|target| {
                self.witness.targets.get(*target).is_some_and(|t| t.pace.bears(before(*target), now, period, settings))
            })
            .collect();
        for target in &targets {
            self.out.push_back(Output::Echo { witness: super::id::WitnessId(*target as u8), kind, number });
        }
        (number, targets)
    }

    /// The links that can carry a frame now.
    pub fn usable_links(&self) -> Vec<LinkId> {
        (0u8..)
            .zip(&self.links)
            .filter(|(_, l)| l.usable() && !(l.relay && bite::off(Clause::NoRelay)))
            .map(|(i, _)| LinkId(i))
            .collect()
    }

    /// The lease that this node may count on: never longer than the peer knows (SAFETY R11).
    pub fn lease(&self) -> Span {
        let own = self.settings.timing.lease;
        if bite::off(Clause::LengthensAtOnce) || bite::off(Clause::LeaseUnderstated) {
            return own;
        }
        if self.acked_lease == Span::ZERO { own } else { own.min(self.acked_lease) }
    }

    /// The longest lease on which the peer may still run.
    pub fn peer_lease(&self) -> Span {
        if bite::off(Clause::ChallengeByOwnLease) {
            return self.settings.timing.lease;
        }
        self.peer.lease.max(self.settings.timing.lease)
    }

    /// How long a challenge must stand (SAFETY R4.4).
    pub fn challenge_time(&self) -> Span {
        let t = &self.settings.timing;
        if bite::off(Clause::ChallengeStandsAtOnce) {
            return Span::ZERO;
        }
        let lease = self.peer_lease();
        if bite::off(Clause::RateBoundIgnored) { lease + t.slack() } else { t.outrun(lease) + t.slack() }
    }

    /// The peer was heard within `warn`, and it has heard this life of mine lately: agreements are possible.
    pub fn in_touch(&self, now: Mono) -> bool {
        let t = &self.settings.timing;
        self.peer.fresh(now, t.warn) && self.peer.hears_me.is_some_and(|at| now.since(at) <= t.dead)
    }

    /// The send time of my newest heartbeat that the peer heard, while an ownership can begin on it.
    pub(super) fn peer_ground(&self, now: Mono) -> Option<Mono> {
        self.peer.hears_me.filter(|at| *at + self.lease() > now)
    }

    /// The least epoch above `seen` that is mine.
    pub fn next_epoch(&self, seen: Epoch) -> Epoch {
        seen.next_for(self.settings.me)
    }

    /// This node lost its public side and the peer did not. Lost carrier is mine alone, and counts at once. A witness that
    /// answers neither node is lost to both (SAFETY R8): so the peer must have had an answer to an echo that it sent when
    /// mine went unanswered already, by more than the two nodes' echoes can lie apart.
    pub fn lost_alone(&self, now: Mono) -> bool {
        if self.witness.reachable {
            return false;
        }
        if !self.witness.carrier || bite::off(Clause::SharedLossMoves) {
            return true;
        }
        let t = &self.settings.timing;
        if self.witness.lost_at.is_none() && now.since(self.born) <= t.dead {
            return false;
        }
        let mine = self.witness.own_time(&self.settings.witness).unwrap_or(self.born);
        let said = self.peer.said().and_then(|b| b.answered).zip(self.peer.heard);
        let margin = self.settings.witness.interval + t.delivery / 2;
        // A witness that comes back answers one of the two first: the other one's answer is given time.
        let settled =
            self.peer.reaches_since.is_some_and(|at| now.since(at) > self.settings.witness.interval + t.delivery + t.heartbeat);
        settled && said.is_some_and(|(ago, heard)| heard.back(ago.min(MOST_AGE)) > mine + margin)
    }

    /// When that may come to be so by itself.
    pub(super) fn lost_alone_from(&self) -> [Option<Mono>; 2] {
        let t = &self.settings.timing;
        let settled = self.settings.witness.interval + t.delivery + t.heartbeat + Span(1);
        [Some(self.born + t.dead + Span(1)), self.peer.reaches_since.map(|at| at + settled)]
    }

    /// This node's name.
    pub fn me(&self) -> Name {
        self.settings.name_of(self.settings.me).clone()
    }

    /// The peer's name.
    pub fn peer_name(&self) -> Name {
        self.settings.name_of(self.settings.me.other()).clone()
    }

    /// Whether this node is the group's preferred one.
    pub fn preferred(&self, group: GroupId) -> bool {
        self.preferred_node(group) == Some(self.settings.me)
    }

    /// Whether this node goes first where both would do the same: the preferred one, and where none is, the one named first.
    pub fn first(&self, group: GroupId) -> bool {
        self.preferred_node(group).unwrap_or(NodeId(0)) == self.settings.me
    }

    /// The group's preferred node, if it has one.
    pub fn preferred_node(&self, group: GroupId) -> Option<NodeId> {
        self.settings.group(group).and_then(|g| g.preferred)
    }

    /// What the group has of services.
    pub fn services(&self, group: GroupId) -> Services {
        self.settings.group(group).map_or(Services::None, |g| g.services)
    }

    /// Whether the group goes back to its preferred node by itself.
    pub fn failback(&self, group: GroupId) -> Failback {
        self.settings.group(group).map_or(Failback::Manual, |g| g.failback)
    }

    /// The group's name.
    pub fn group_name(&self, group: GroupId) -> Name {
        self.settings.group(group).map_or_else(|| "?".into(), |g| g.name.clone())
    }
}
