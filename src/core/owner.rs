//! The owner's part: grounds, renewals, the return path, defence, announcements, offers (SAFETY R1, R2, R3, R5, R8).

use super::bite::{self, Clause};
use super::claim::stand_down;
use super::event::{Kind, Level};
use super::fitness::UNFIT;
use super::grounds::Defend;
use super::group::{Group, Next};
use super::heartbeat::Offer;
use super::id::Mac;
use super::io::{AddressOrder, EchoKind, GateOrder, Output, ServiceOrder};
use super::role::{Owner, Role, Running};
use super::shared::Shared;
use super::time::{Mono, Span};
use super::witness::{Series, majority_time};
use crate::prelude::*;

/// Announcements after taking over: the first at once, the others after these waits; then a refresh now and then.
const BURST: [Span; 5] = [Span::millis(10), Span::millis(50), Span::millis(200), Span::millis(1000), Span::secs(3)];
/// A service that failed is started again after this, where the peer cannot take over.
const SERVICE_AGAIN: Span = Span::secs(5);
/// An ownership that was lost to another machine counts for this long against the next claim.
const DRIVEN_OUT_MEMORY: Span = Span::secs(600);
/// Between two announcements while all is well.
const REFRESH: Span = Span::secs(60);

impl Owner {
    /// Begins a burst of announcements.
    pub fn announce_now(&mut self, now: Mono) {
        self.burst = 0;
        self.announce = now;
    }

    /// Whether a ground is worth an order to the kernel: it lengthens the gate's time by a sixteenth of the lease.
    pub fn renewable(&self, ground: Mono, lease: Span) -> bool {
        ground + lease >= self.armed + lease / 16
    }
}

/// The address lifetime that goes with a lease: the second line, in whole seconds.
pub fn lifetime(lease: Span) -> Span {
    (lease * 2).max(Span::secs(2))
}

impl Group {
    /// One look at everything that an owner must do now.
    pub(super) fn step_owner(&mut self, mut o: Box<Owner>, cx: &mut Shared, now: Mono) -> Next {
        let t = cx.settings.timing;
        let lease = cx.lease();
        if now >= o.armed && !bite::off(Clause::StaysWithoutGround) {
            let text = format!("no ground for {lease}: {}", self.without_ground(&o, cx, now));
            return self.leave(o.epoch, None, Level::Error, text, cx, now);
        }
        self.island(&mut o, cx, now);
        if bite::off(Clause::OwnTimer) {
            o.grounds.path = Some(now);
            cx.wake(now + lease / 3);
        }
        self.renew(&mut o, cx, lease, now);
        cx.wake(o.armed);

        // Evidence: slowly while all is well, fast when it gets old.
        let ground = o.grounds.newest();
        let stale = ground.is_none_or(|g| now.since(g) * 3 > lease);
        if let Some(g) = ground {
            cx.wake(g + lease / 3 + Span(1));
        }
        for path in &mut o.paths {
            path.expire(now, t.delivery);
            if let Some(at) = path.deadline(t.delivery) {
                cx.wake(at);
            }
        }
        let missing = o.paths.iter().any(|p| p.missed > 0);
        // While another owner is there, the echoes tell it so: one of them is sent while the table names it (R2 †, R7). While one node
        // suspects the other, a challenge is seen as soon as may be.
        let rival = o.rival.is_some_and(|at| now.since(at) < lease);
        let mut suspected = false;
        for last in [cx.peer.heard.map(|_| cx.peer.silent_since()), cx.peer.hears_me].into_iter().flatten() {
            suspected |= now.since(last) > t.warn && now.since(last) < t.dead * 4;
            cx.wake(last + t.warn + Span(1));
        }
        let fast = (stale || missing || rival || suspected) && !bite::off(Clause::NoFastEvidence);
        cx.fast |= fast;
        cx.pressed |= o.paths.iter().any(|p| p.before(now, t.echo_period()).overdue);
        let period = if fast {
            cx.dithered(EchoKind::Vip(self.id), o.echoed.unwrap_or(now), t.echo_period())
        } else {
            cx.settings.witness.interval
        };
        if cx.witness.carrier {
            if o.echoed.is_none_or(|at| now >= at + period || (!fast && cx.goes_along(at + period, now))) {
                o.echoed = Some(now);
                cx.together = true;
                let (number, asked) = cx.echo_all(
                    EchoKind::Vip(self.id),
                    |target| o.paths.get(target).map(|p| p.before(now, t.echo_period())).unwrap_or_default(),
                    now,
                );
                cx.echoed = true;
                for (_, path) in o.paths.iter_mut().enumerate().filter(|(target, _)| asked.contains(target)) {
                    path.send(now, number);
                }
            }
            if let Some(at) = o.echoed {
                cx.wake(at + period);
            }
        }
        if stale && !bite::off(Clause::NoFastEvidence) {
            if o.asked.is_none_or(|at| now >= at + t.echo_period()) {
                o.asked = Some(now);
                cx.urgent = true;
                cx.ask = true;
            }
            cx.wake(now + t.echo_period());
        }

        let passed = cx.witness.targets.iter().filter_map(|w| w.own.answered).max();
        let spoken = o.defence.review(now, passed, &t);
        if let Some(next) = self.defend(spoken, &mut o, cx, now) {
            return next;
        }
        if let Some(at) = o.defence.deadline(now, &t) {
            cx.fast = true;
            cx.wake(at);
        }

        // Defence: only with a ground, only with an open gate.
        if (ground.is_some() || bite::off(Clause::DefenceWithoutGate)) && !bite::off(Clause::NoDefence) {
            let taken = o.paths.iter().zip(&cx.witness.targets).filter_map(|(p, w)| {
                let proven = p.missed_against(&w.own);
                (proven > 0).then_some((proven, p.missed))
            });
            match taken.max() {
                Some((proven, missed)) => {
                    let defend = o.defence.missing(now, missed, proven, &t);
                    if let Some(next) = self.defend(defend, &mut o, cx, now) {
                        return next;
                    }
                }
                None if !missing => o.defence.whole(),
                None => {}
            }
        }

        // Void grounds are never a reason to announce (R10).
        if now >= o.announce && (ground.is_some() || bite::off(Clause::DefenceWithoutGate)) {
            cx.out.push_back(Output::Announce { group: self.id });
            let wait = BURST.get(o.burst as usize).copied().unwrap_or(REFRESH);
            o.burst = o.burst.saturating_add(1);
            o.announce = now + wait;
        }
        cx.wake(o.announce);
        let asked_for = self.asked_for(&mut o, cx, now);
        // Put back only on a ground (R10); a lifetime is lengthened on none, the gate guards.
        if now >= o.refresh && (!o.missing || ground.is_some_and(|g| g + lease > now)) {
            let attempt = cx.attempt();
            let lifetime = lifetime(lease);
            let order = if o.missing && asked_for { AddressOrder::Add(lifetime) } else { AddressOrder::Refresh(lifetime) };
            cx.out.push_back(Output::Address { group: self.id, attempt, order });
            o.refresh = now + lifetime / 2;
        }
        cx.wake(o.refresh);

        if let Some(epoch) = o.raising
            && self.durable >= epoch
        {
            o.raising = None;
            o.epoch = epoch;
            self.seen = self.seen.max(epoch);
            self.reaffirm(&mut o, cx, now);
        }
        self.arrival(&mut o, cx, now);
        self.offer(&mut o, cx, now);
        self.start_again(&o, cx, now);
        Next::Stay(Role::Owner(o))
    }

    fn renew(&mut self, o: &mut Owner, cx: &mut Shared, lease: Span, now: Mono) {
        let Some(ground) = o.grounds.newest() else { return };
        let ground = if bite::off(Clause::RenewFromNow) && ground + lease > now { now } else { ground };
        let until = ground + lease;
        // While most of the lease is left a small gain waits for the next ground: two kinds of ground must not cost two
        // renewals each heartbeat.
        let unhurried = o.armed.back(lease / 2);
        if now < unhurried && until < o.armed + lease / 4 && !o.hot && !cx.come_back {
            cx.wake(unhurried);
            return;
        }
        if o.renewable(ground, lease) {
            o.armed = until;
            if core::mem::take(&mut o.hot) {
                let text = format!("the gate found open rests on new grounds, {} after the start", now.since(cx.born));
                cx.note(Level::Info, Some(&self.name), Kind::Host, text);
            }
            let generation = cx.number();
            cx.out.push_back(Output::Gate { group: self.id, generation, order: GateOrder::Renew(until) });
        }
    }

    /// `island = "hold"`: no peer, no witness, carrier up, and the administrator said to go on (SAFETY R8).
    fn island(&mut self, o: &mut Owner, cx: &mut Shared, now: Mono) {
        if !cx.settings.witness.island_hold && !bite::off(Clause::IslandAlways) {
            return;
        }
        let t = &cx.settings.timing;
        let alone = cx.witness.carrier
            && !cx.peer.fresh(now, t.warn)
            && cx.witness.targets.iter().all(|w| w.own.missed > 1 || w.own.answered.is_none());
        if alone {
            if o.grounds.island.is_none() {
                let text = "no peer and no witness: goes on serving, as island = \"hold\" says; the peer may serve as well";
                cx.note(Level::Error, Some(&self.name), Kind::Refused(self.id), text);
            }
            o.grounds.island = Some(now);
            cx.wake(now + cx.lease() / 3);
        } else {
            o.grounds.island = None;
        }
    }

    /// An owner's echoes go out at once, whatever their turn.
    pub(super) fn ask_anew(&mut self) {
        if let Role::Owner(o) = &mut self.role {
            o.echoed = None;
        }
    }

    /// Another machine speaks for the address of an owner. What the witness's table says counts for more than what somebody says on
    /// the wire (SAFETY R5): the table is asked before the answer goes out, since afterwards it names this node whatever was in it.
    pub(super) fn spoken_for(&mut self, by: Mac, o: &mut Owner, cx: &mut Shared, now: Mono) -> Defend {
        let t = cx.settings.timing;
        let stood_by = self.stood_by(o, cx, now);
        if stood_by {
            self.stranger = Some((by, now));
        }
        if o.defence.is_news(by, now) {
            let rest = if stood_by { "the peer stands by: this node stays" } else { "the witness's table decides" };
            let text = format!("{by} says that it has the address: announced again; {rest}");
            cx.note(Level::Warn, Some(&self.name), Kind::Challenge(self.id), text);
        }
        if bite::off(Clause::WireBelieved) {
            return o.defence.announced(now, &t);
        }
        if stood_by || o.defence.is_asking() {
            return o.defence.answer(now);
        }
        let (number, asked) = cx.echo_all(
            EchoKind::Vip(self.id),
            |target| o.paths.get(target).map(|p| p.before(now, t.echo_period())).unwrap_or_default(),
            now,
        );
        if asked.is_empty() {
            return o.defence.announced(now, &t);
        }
        for (_, path) in o.paths.iter_mut().enumerate().filter(|(target, _)| asked.contains(target)) {
            path.send(now, number);
        }
        o.echoed = Some(now);
        o.defence.asked(now, number)
    }

    /// The peer is heard and has lately said that it stands by for this ownership: nobody else can be the owner.
    fn stood_by(&self, o: &Owner, cx: &Shared, now: Mono) -> bool {
        cx.peer.fresh(now, cx.settings.timing.warn) && o.grounds.peer.is_some_and(|at| at + cx.lease() > now)
    }

    pub(super) fn defend(&mut self, defend: Defend, o: &mut Owner, cx: &mut Shared, now: Mono) -> Option<Next> {
        match defend {
            Defend::Rest => None,
            Defend::Announce => {
                cx.out.push_back(Output::Announce { group: self.id });
                o.announce = o.announce.max(now + cx.settings.timing.echo_period());
                cx.note(
                    Level::Debug,
                    Some(&self.name),
                    Kind::Challenge(self.id),
                    "another node wrote the witness's entry: announced again",
                );
                None
            }
            // Nobody but the peer could be another owner.
            Defend::Leave if self.stood_by(o, cx, now) && !bite::off(Clause::WireBelieved) => None,
            Defend::Leave => {
                let text = "the witness's entry was overwritten three times within one lease: somebody else serves".to_string();
                let next = self.leave(o.epoch, None, Level::Error, text, cx, now);
                // Who drove this node out may do so again: the next claim waits, ever longer.
                let before = self.driven_out.iter().filter(|at| now.since(**at) < DRIVEN_OUT_MEMORY).count();
                let tries = u32::try_from(before).unwrap_or(u32::MAX);
                let wait = stand_down(cx.challenge_time(), tries, cx.settings.me.0, self.seen.0, cx.preferred(self.id));
                self.stand_down = Some(now + wait);
                Some(next)
            }
        }
    }

    /// Takes in that a majority answered VIP-sourced echoes.
    pub(super) fn path_answered(&self, o: &mut Owner, cx: &Shared) {
        let time = |p: &Series| if bite::off(Clause::PathGroundFromReceipt) { p.answered_at } else { p.answered };
        let registers = o
            .paths
            .iter()
            .zip(&cx.witness.targets)
            .map(|(p, w)| if w.register || bite::off(Clause::ControlIgnored) { time(p) } else { None });
        let majority = if bite::off(Clause::PathWithoutMajority) { 1 } else { cx.settings.witness.register_majority() };
        let at = majority_time(registers, majority).filter(|_| cx.path_counts());
        o.grounds.path = o.grounds.path.max(at);
        if at.is_some() {
            o.grounds.island = None;
        }
    }

    /// Ownership is affirmed again: announced, told, and hooks are run again.
    pub(super) fn reaffirm(&mut self, o: &mut Owner, cx: &mut Shared, now: Mono) {
        o.announce_now(now);
        cx.urgent = true;
        cx.dirty = true;
        let text = format!("{} stays the owner, epoch {}: announced again", cx.me(), o.epoch);
        cx.note(Level::Info, Some(&self.name), Kind::Reaffirmed(self.id, o.epoch), text);
    }

    /// A service that failed is started again here while the peer cannot take over.
    fn start_again(&mut self, o: &Owner, cx: &mut Shared, now: Mono) {
        let Running::Failed(_, until) = self.running else { return };
        let at = until.back(UNFIT) + SERVICE_AGAIN;
        // What nobody has taken up by then nobody will.
        let in_vain = at + cx.settings.timing.dead * 4;
        if (now >= at && o.offer.is_none()) || now >= in_vain {
            self.services(ServiceOrder::Start(o.epoch), Running::Starting, cx);
        }
        cx.wake(at);
        cx.wake(in_vain);
    }

    /// Whether the peer is asked to take over, and why.
    fn offer(&mut self, o: &mut Owner, cx: &mut Shared, now: Mono) {
        let Some(g) = cx.peer.group(&self.name).filter(|_| cx.in_touch(now)) else {
            o.offer = None;
            return;
        };
        let peer_reach = cx.peer.said().is_some_and(|b| b.reachable);
        let fit = g.eligible && (peer_reach || !cx.witness.reachable) && cx.files_hold(&self.name).is_none();
        // A VIP whose echoes come back is reachable, whatever became of the own address's entry in the witness's table (loss
        // makes neighbour resolution fail for seconds).
        let path_holds = cx.witness.carrier && o.grounds.path.is_some_and(|at| now < at + cx.lease());
        // One that is made anew is back in a moment.
        let lacking = self.missing(cx).is_some_and(|(_, since)| {
            let patience = since + cx.settings.timing.dead;
            cx.wake(patience);
            now >= patience
        });
        let want = if !fit {
            None
        } else if cx.shutdown {
            Some(Offer::Shutdown)
        } else if self.gives_back(o, cx) {
            Some(Offer::NoReturnPath)
        } else if self.hold.is_some() {
            Some(Offer::Standby)
        } else if peer_reach && !path_holds && cx.lost_alone(now) {
            Some(Offer::PublicLost)
        } else if matches!(self.running, Running::Failed(..)) || cx.is_unguarded() {
            Some(Offer::ServiceFailed)
        } else if lacking {
            Some(Offer::InterfaceMissing)
        } else {
            None
        };
        if want != o.offer {
            o.offer = want;
            cx.urgent = true;
        }
    }

    fn without_ground(&self, o: &Owner, cx: &Shared, now: Mono) -> String {
        let since = |at: Option<Mono>| at.map_or("never".to_string(), |at| format!("{} ago", now.since(at)));
        let carrier = if cx.witness.carrier { "" } else { ", no carrier on the public side" };
        format!("peer ground {}, return path {}{carrier}", since(o.grounds.peer), since(o.grounds.path))
    }
}
