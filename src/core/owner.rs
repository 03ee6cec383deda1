//! The owner's part: grounds, renewals, the return path, announcements, offers (SAFETY R1, R2, R3, R8).

use super::bite::{self, Clause};
use super::data::Data;
use super::event::{Kind, Level};
use super::fitness::UNFIT;
use super::grounds::{Defence, Grounds};
use super::heartbeat::Offer;
use super::id::Epoch;
use super::io::{AddressOrder, EchoKind, GateOrder, Output, ServiceOrder};
use super::leaving::Left;
use super::role::{Owner, Running};
use super::shared::Shared;
use super::time::{Mono, Span};
use super::turn::{Next, Turn};
use super::witness::{Series, majority_time};
use crate::prelude::*;

/// Announcements after taking over: the first at once, the others after these waits; then a refresh now and then.
const BURST: [Span; 5] = [Span::millis(10), Span::millis(50), Span::millis(200), Span::millis(1000), Span::secs(3)];
/// A service that failed is started again after this, where the peer cannot take over.
const SERVICE_AGAIN: Span = Span::secs(5);
/// Between two announcements while all is well.
const REFRESH: Span = Span::secs(60);

/// How fast an owner gathers evidence.
pub(super) struct Gathering {
    /// The newest ground is old.
    pub stale: bool,
    /// When the peer was heard last, and when it heard this node, as far as that may be counted.
    pub heard: [Option<Mono>; 2],
    /// When all cables lost their carrier, while that says something.
    pub cut: Option<Mono>,
    /// Fast.
    pub fast: bool,
    /// Between two echoes from the address.
    pub period: Span,
}

/// The address lifetime that goes with a lease: the second line, in whole seconds.
pub fn lifetime(lease: Span) -> Span {
    (lease * 2).max(Span::secs(2))
}

impl Owner {
    /// A new ownership on these grounds; the gate was ordered to be open until `armed`.
    pub(super) fn new(epoch: Epoch, grounds: Grounds, armed: Mono, cx: &Shared, now: Mono) -> Box<Owner> {
        Box::new(Owner {
            epoch,
            since: now,
            grounds,
            armed,
            paths: vec![Series::default(); usize::from(cx.settings.witness.targets)],
            echoed: None,
            asked: None,
            defence: Defence::new(now),
            burst: 0,
            announce: now,
            refresh: now + lifetime(cx.lease()) / 2,
            missing: false,
            failed: None,
            lacking: None,
            absent: 0,
            offer: None,
            raising: None,
            rival: None,
            hot: false,
            proven: false,
            awaited: false,
            former: None,
        })
    }

    /// R10, hot restart: the gate that is open until `armed` is the proof; it is renewed by new grounds only.
    pub(super) fn found(epoch: Epoch, on_disk: Epoch, armed: Mono, address: bool, turn: &mut Turn) -> Box<Owner> {
        let Turn { cx, data, now } = turn;
        let mut owner = Owner::new(epoch, Grounds::default(), armed, cx, *now);
        (owner.hot, owner.proven) = (true, true);
        if cx.next_epoch(epoch) == on_disk {
            // What is on disk above it was reserved and not used: the next one is still that one. Were it taken for seen, the
            // peer's next intent would be refused for an epoch that nobody ever said.
            data.epochs.seen = epoch;
        } else if on_disk.is_of(cx.settings.me) || bite::off(Clause::PeersNumberKept) {
            // Something higher was seen or used: this node says so at once, by owning with what is reserved above it (R7).
            owner.raising = Some(on_disk);
        } else {
            // † New names have exchanged the nodes' numbers: what is reserved is one of the peer's now, and it may come to the same.
            owner.raising = Some(cx.next_epoch(data.epochs.seen));
        }
        // What is left of the addresses' lifetime is not known; one that a foreign hand took meanwhile is put back.
        let (attempt, order) = (cx.attempt(), AddressOrder::Add(lifetime(cx.lease())));
        cx.out.push_back(Output::Address { group: data.id, attempt, order });
        if !address {
            cx.note(Level::Warn, Some(&data.name), Kind::Host, "its address was gone: put back");
        }
        let text = format!("found its gate open for {} more: goes on as the owner of epoch {epoch}", armed.since(*now));
        cx.note(Level::Info, Some(&data.name), Kind::Reaffirmed(data.id, epoch), text);
        let order = if data.paused() { ServiceOrder::Adopt(epoch) } else { ServiceOrder::Start(epoch) };
        data.services(order, Running::Starting, cx);
        cx.urgent = true;
        cx.ask = true;
        owner
    }

    /// One look at everything that an owner must do now.
    pub(super) fn step(&mut self, turn: &mut Turn) -> Next {
        let now = turn.now;
        let lease = turn.cx.lease();
        if now >= self.armed && !bite::off(Clause::StaysWithoutGround) {
            let text = format!("no ground for {lease}: {}", self.without_ground(turn.cx, now));
            return turn.leave(self.epoch, Left::Driven(text));
        }
        self.island(turn);
        if bite::off(Clause::OwnTimer) {
            self.grounds.path = Some(now);
        }
        self.renew(lease, turn);
        let ground = self.grounds.newest();
        self.gather_evidence(turn);
        if let Some(next) = self.defend_entry(ground, turn) {
            return next;
        }
        if let Some(epoch) = self.raising
            && turn.data.epochs.durable >= epoch
        {
            self.raise(epoch, turn);
        }
        self.announce(ground, turn);
        self.keep_addresses(ground, lease, turn);
        self.arrival(turn);
        self.offer(turn);
        self.start_again(turn);
        Next::Stay
    }

    /// Whether a ground is worth an order to the kernel: it lengthens the gate's time by a sixteenth of the lease.
    pub fn renewable(&self, ground: Mono, lease: Span) -> bool {
        ground + lease >= self.armed + lease / 16
    }

    /// Until when a small gain waits: while most of the lease is left two kinds of ground must not cost two renewals each heartbeat. None
    /// where the newest ground is worth an order at once, or there is none.
    pub(super) fn unhurried(&self, cx: &Shared, now: Mono) -> Option<Mono> {
        let (ground, lease) = (self.grounds.newest()?, cx.lease());
        let ground = if bite::off(Clause::RenewFromNow) && ground + lease > now { now } else { ground };
        let small = ground + lease < self.armed + lease / 4 && !self.hot && !cx.come_back;
        small.then(|| self.armed.back(lease / 2))
    }

    fn renew(&mut self, lease: Span, turn: &mut Turn) {
        let Turn { cx, data, now } = turn;
        let Some(ground) = self.grounds.newest() else { return };
        if self.unhurried(cx, *now).is_some_and(|at| *now < at) {
            return;
        }
        let ground = if bite::off(Clause::RenewFromNow) && ground + lease > *now { *now } else { ground };
        if self.renewable(ground, lease) {
            let until = ground + lease;
            self.armed = until;
            if core::mem::take(&mut self.hot) {
                let text = format!("the gate found open rests on new grounds, {} after the start", now.since(cx.born));
                cx.note(Level::Info, Some(&data.name), Kind::Host, text);
            }
            let generation = cx.number();
            cx.out.push_back(Output::Gate { group: data.id, generation, order: GateOrder::Renew(until) });
        }
    }

    /// `island = "hold"`: no peer, no witness, carrier up, and the administrator said to go on (SAFETY R8).
    fn island(&mut self, turn: &mut Turn) {
        let Turn { cx, data, now } = turn;
        if !cx.settings.witness.island_hold && !bite::off(Clause::IslandAlways) {
            return;
        }
        let t = &cx.settings.timing;
        let alone = cx.witness.carrier
            && !cx.peer.fresh(*now, t.warn)
            && cx.witness.targets.iter().all(|w| w.own.missed > 1 || w.own.answered.is_none());
        if alone {
            if self.grounds.island.is_none() {
                let text = "no peer and no witness: goes on serving, as island = \"hold\" says; the peer may serve as well";
                cx.note(Level::Error, Some(&data.name), Kind::Refused(data.id), text);
            }
            // Its own word is good for as long as another ground is, and given again when it gets old.
            if self.grounds.island.is_none_or(|at| *now >= at + cx.lease() / 3) {
                self.grounds.island = Some(*now);
            }
        } else {
            self.grounds.island = None;
        }
    }

    /// How fast evidence is wanted.
    pub(super) fn gathering(&self, data: &Data, cx: &Shared, now: Mono) -> Gathering {
        let (t, lease) = (&cx.settings.timing, cx.lease());
        let stale = self.grounds.newest().is_none_or(|g| now.since(g) * 3 > lease);
        // While another owner is there, the echoes tell it so: one of them is sent while the table names it (R2 †, R7). While one node
        // suspects the other, a challenge is seen as soon as may be.
        let rival = self.rival.is_some_and(|at| now.since(at) < lease);
        let heard = [cx.peer.heard.map(|_| cx.peer.silent_since()), cx.peer.hears_me];
        // The peer may have seen the cables go as well, and ask for the address before it has been silent for long.
        let cut = cx.peer.heard.and_then(|_| cx.cut_off(cx.peer.silent_since()));
        let suspected = heard.iter().flatten().any(|last| now.since(*last) > t.warn && now.since(*last) < t.dead * 4)
            || cut.is_some_and(|cut| now.since(cut) < t.dead * 4);
        let fast = (stale || self.path_missing() || rival || suspected) && !bite::off(Clause::NoFastEvidence);
        let period = match fast {
            true => cx.dithered(EchoKind::Vip(data.id), self.echoed.unwrap_or(now), t.echo_period()),
            false => cx.settings.witness.interval,
        };
        Gathering { stale, heard, cut, fast, period }
    }

    /// Whether echoes at the fast rate are wanted.
    pub(super) fn hurries(&self, data: &Data, cx: &Shared, now: Mono) -> bool {
        self.gathering(data, cx, now).fast || self.defence.deadline(now, &cx.settings.timing).is_some()
    }

    /// Evidence: slowly while all is well, fast when it gets old.
    fn gather_evidence(&mut self, turn: &mut Turn) {
        let Turn { cx, data, now } = turn;
        let (t, now) = (cx.settings.timing, *now);
        for path in &mut self.paths {
            path.expire(now, t.delivery);
        }
        let Gathering { stale, heard: _, cut: _, fast, period } = self.gathering(data, cx, now);
        cx.pressed |= self.paths.iter().any(|p| p.before(now, t.echo_period()).overdue);
        let due = |at: Mono| now >= at + period || (!fast && cx.goes_along(at + period, now));
        if cx.witness.carrier && self.echoed.is_none_or(due) {
            cx.together = true;
            cx.echoed = true;
            self.echo(turn);
            self.echoed = Some(now);
        }
        let again = self.asked.is_none_or(|at| now >= at + t.echo_period());
        if stale && again && !bite::off(Clause::NoFastEvidence) {
            self.asked = Some(now);
            turn.cx.urgent = true;
            turn.cx.ask = true;
        }
    }

    /// Echoes from the address stay away.
    pub(super) fn path_missing(&self) -> bool {
        self.paths.iter().any(|p| p.missed > 0)
    }

    /// An echo from the address to each witness that bears one; its number, unless it went to none.
    pub(super) fn echo(&mut self, turn: &mut Turn) -> Option<u64> {
        let (now, period) = (turn.now, turn.cx.settings.timing.echo_period());
        let before = |target: usize| self.paths.get(target).map(|p| p.before(now, period)).unwrap_or_default();
        let (number, asked) = turn.cx.echo_all(EchoKind::Vip(turn.data.id), before, now);
        for (_, path) in self.paths.iter_mut().enumerate().filter(|(target, _)| asked.contains(target)) {
            path.send(now, number);
        }
        (!asked.is_empty()).then_some(number)
    }

    /// Begins a burst of announcements.
    pub fn announce_now(&mut self, now: Mono) {
        self.burst = 0;
        self.announce = now;
    }

    /// Void grounds are never a reason to announce (R10).
    fn announce(&mut self, ground: Option<Mono>, turn: &mut Turn) {
        if turn.now >= self.announce && (ground.is_some() || bite::off(Clause::DefenceWithoutGate)) {
            turn.cx.out.push_back(Output::Announce { group: turn.data.id });
            let wait = BURST.get(self.burst as usize).copied().unwrap_or(REFRESH);
            self.burst = self.burst.saturating_add(1);
            self.announce = turn.now + wait;
        }
    }

    /// Addresses are put back only on a ground (R10); a lifetime is lengthened on none, the gate guards.
    fn keep_addresses(&mut self, ground: Option<Mono>, lease: Span, turn: &mut Turn) {
        let Turn { cx, data, now } = turn;
        let asked_for = data.asked_for(self, cx, *now);
        if *now >= self.refresh && (!self.missing || ground.is_some_and(|g| g + lease > *now)) {
            let attempt = cx.attempt();
            let lifetime = lifetime(lease);
            let order = if self.missing && asked_for { AddressOrder::Add(lifetime) } else { AddressOrder::Refresh(lifetime) };
            cx.out.push_back(Output::Address { group: data.id, attempt, order });
            self.refresh = *now + lifetime / 2;
        }
    }

    /// Takes in that a majority answered VIP-sourced echoes.
    pub(super) fn path_answered(&mut self, cx: &Shared) {
        let time = |p: &Series| if bite::off(Clause::PathGroundFromReceipt) { p.answered_at } else { p.answered };
        let fenced = cx.fence.done.is_some();
        let registers = self
            .paths
            .iter()
            .zip(&cx.witness.targets)
            // Where the peer is off its answers prove the way alone, and nobody else can be the owner (R4b).
            .map(|(p, w)| if w.register || fenced || bite::off(Clause::ControlIgnored) { time(p) } else { None });
        let majority = if bite::off(Clause::PathWithoutMajority) { 1 } else { cx.settings.witness.register_majority() };
        let at = majority_time(registers, majority).filter(|_| cx.path_counts());
        self.grounds.path = self.grounds.path.max(at);
        if at.is_some() {
            self.grounds.island = None;
        }
    }

    /// Ownership is affirmed again: announced, told, and hooks are run again.
    pub(super) fn reaffirm(&mut self, turn: &mut Turn) {
        let Turn { cx, data, now } = turn;
        self.announce_now(*now);
        cx.urgent = true;
        cx.dirty = true;
        let text = format!("{} stays the owner, epoch {}: announced again", cx.me(), self.epoch);
        cx.note(Level::Info, Some(&data.name), Kind::Reaffirmed(data.id, self.epoch), text);
    }

    /// A service that failed is started again here while the peer cannot take over, and when nobody has taken it up.
    fn start_again(&mut self, turn: &mut Turn) {
        let Some([at, in_vain]) = self.starts_again(turn.data, turn.cx) else { return };
        if (turn.now >= at && self.offer.is_none()) || turn.now >= in_vain {
            turn.data.services(ServiceOrder::Start(self.epoch), Running::Starting, turn.cx);
        }
    }

    /// When that is: where the group is not offered, and in any case.
    pub(super) fn starts_again(&self, data: &Data, cx: &Shared) -> Option<[Mono; 2]> {
        let Running::Failed(_, until) = data.service.running else { return None };
        if data.paused() {
            return None;
        }
        let at = until.back(UNFIT) + SERVICE_AGAIN;
        // What nobody has taken up by then nobody will.
        Some([at, at + cx.settings.timing.dead * 4])
    }

    /// Whether the peer is asked to take over, and why.
    fn offer(&mut self, turn: &mut Turn) {
        let Turn { cx, data, now } = turn;
        let now = *now;
        let Some(g) = cx.peer.group(&data.name).filter(|_| cx.in_touch(now)) else {
            self.offer = None;
            return;
        };
        let peer_reach = cx.peer.said().is_some_and(|b| b.reachable);
        let may = (peer_reach || !cx.witness.reachable) && cx.files_hold(&data.name).is_none();
        // A VIP whose echoes come back is reachable, whatever became of the own address's entry in the witness's table (loss
        // makes neighbour resolution fail for seconds).
        let path_holds = cx.witness.carrier && self.grounds.path.is_some_and(|at| now < at + cx.lease());
        // One that is made anew is back in a moment.
        let lacking = data.missing_since(cx).is_some_and(|since| now >= since + cx.settings.timing.dead)
            || data.cut_since(cx).is_some_and(|(.., since)| now >= since + cx.settings.timing.warn);
        // Where nobody is served here a peer that would claim alone is better than nobody, whatever else is known against it.
        let lost = may && g.could_serve() && peer_reach && !path_holds && cx.lost_alone(now);
        let want = if !g.eligible || !may {
            lost.then_some(Offer::PublicLost)
        } else if cx.shutdown {
            Some(Offer::Shutdown)
        } else if self.gives_back(data, cx) {
            Some(Offer::NoReturnPath)
        } else if data.commanded.hold.is_some() && !data.paused() {
            Some(Offer::Standby)
        } else if lost {
            Some(Offer::PublicLost)
        } else if (matches!(data.service.running, Running::Failed(..)) && !data.paused()) || cx.is_unguarded() {
            Some(Offer::ServiceFailed)
        } else if lacking {
            Some(Offer::InterfaceMissing)
        } else {
            None
        };
        if want != self.offer {
            self.offer = want;
            cx.urgent = true;
        }
    }

    fn without_ground(&self, cx: &Shared, now: Mono) -> String {
        let since = |at: Option<Mono>| at.map_or("never".to_string(), |at| format!("{} ago", now.since(at)));
        let carrier = if cx.witness.carrier { "" } else { ", no carrier on the public side" };
        format!("peer ground {}, return path {}{carrier}", since(self.grounds.peer), since(self.grounds.path))
    }
}
