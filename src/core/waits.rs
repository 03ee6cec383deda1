//! What each role waits for, field by field.

use super::bite::{self, Clause};
use super::claim::{Challenge, Register};
use super::data::Data;
use super::deadlines::Due;
use super::heartbeat::GroupBeat;
use super::leaving::AGAIN;
use super::role::{Claim, Leaving, Opening, Owner, Stage, Standby, Wish};
use super::settings::{PROBE_GAP, PROBES};
use super::shared::Shared;
use super::time::Span;
use super::timer::Timer;

impl Standby {
    pub(super) fn deadlines(&self, data: &Data, cx: &Shared, due: &mut Due) {
        let Standby { claim, wish } = self;
        if bite::off(Clause::ReleasedComesBack) {
            due.at(data.released_turn(cx), Timer::Released);
        }
        let (since, warn, _) = data.silence(cx);
        due.at(since + warn, Timer::PeerSuspected);
        if due.last < since + warn {
            match cx.peer.group(&data.name) {
                Some(g) => agreeing(wish.as_ref(), g, data, cx, due),
                None => alone(wish.as_ref(), data, cx, due),
            }
        }
        if let Some(claim) = claim {
            claim.deadlines(data, cx, due);
        }
    }
}

/// In touch with a peer that knows the group.
fn agreeing(wish: Option<&Wish>, g: &GroupBeat, data: &Data, cx: &Shared, due: &mut Due) {
    due.at(wish.and_then(|w| w.outdated_at(g, cx)).map(|(at, _)| at), Timer::Intent);
    match wish {
        _ if !cx.in_touch(due.last) => {}
        Some(wish) => wish.deadlines(g, cx, due),
        None => data.wish_deadlines(g, cx, due),
    }
}

/// In touch with a peer that does not know the group.
fn alone(wish: Option<&Wish>, data: &Data, cx: &Shared, due: &mut Due) {
    if !data.may_serve_alone(cx, due.last) {
        return;
    }
    if let Some((at, why)) = data.waits_alone(cx, due.last) {
        due.at(at, why);
        return;
    }
    let Some(wish) = wish.filter(|w| w.is_durable(data)) else { return };
    if wish.probes.unanswered(due.last) || bite::off(Clause::FirstClaimUnprobed) {
        due.at(wish.told + cx.settings.timing.echo_period(), Timer::Ask);
    } else {
        due.at(wish.probes.next(PROBE_GAP), Timer::Probe);
    }
}

impl Wish {
    fn deadlines(&self, g: &GroupBeat, cx: &Shared, due: &mut Due) {
        let Wish { stage, probes, since, told, epoch: _, attempt: _, why: _ } = self;
        let again = cx.settings.timing.echo_period();
        match stage {
            // The disk's word is waited for, and that is an input.
            Stage::Reserve => {}
            Stage::Warm(_) => due.at(*since + super::wish::WARM_LIMIT, Timer::WarmServices),
            Stage::Probe => due.at(probes.next(PROBE_GAP), Timer::Probe),
            Stage::Ask if !self.is_released(g, cx) => due.at(*told + again, Timer::Intent),
            Stage::Ask if cx.peer_ground(due.last).is_none() => due.at(*told + again, Timer::Ask),
            Stage::Ask => {
                due.at(probes.next(PROBE_GAP), Timer::Probe);
                due.at(cx.peer.hears_me.map(|at| at + cx.lease()), Timer::Ask);
            }
        }
    }
}

impl Claim {
    fn deadlines(&self, data: &Data, cx: &Shared, due: &mut Due) {
        let Claim { probes, proof, challenge, begun: _, never_took: _, never_took_at: _ } = self;
        let (since, _, dead) = data.silence(cx);
        due.at(self.hurried_until(data, cx), Timer::PeerSuspected);
        due.at(self.never_took_until(since, cx), Timer::Fence);
        due.at(data.stand_down.met_until(), Timer::Fence);
        if let Some(until) = data.stand_down.until.filter(|until| due.last < *until && !bite::off(Clause::NoStandDown)) {
            due.at(until, Timer::StandDown);
            return;
        }
        due.at(since + dead, Timer::PeerDead);
        due.at(self.fence_at(since, data, cx), Timer::Fence);
        due.at((since + dead).back(PROBES + PROBE_GAP), Timer::Probe);
        if cx.witness.carrier {
            due.at(self.probe_gap(data, cx, due.last).map(|gap| probes.next(gap)), Timer::Probe);
        }
        // Then the newest one has gone unanswered.
        due.at(probes.next(PROBE_GAP), Timer::Probe);
        if cx.claim_forbidden(&data.name).is_some() {
            return;
        }
        match challenge {
            Some(challenge) => challenge.deadlines(cx, due),
            None if cx.witness.carrier => proof.deadlines(cx, due),
            None => {}
        }
    }
}

impl Challenge {
    fn deadlines(&self, cx: &Shared, due: &mut Due) {
        let Challenge { registers, next, since, needed: _ } = self;
        due.at(*next, Timer::Challenge);
        due.at(*since + self.limit(cx.settings.witness.interval), Timer::Challenge);
        for Register { echoes, written: _, start: _, stood: _, stood_first: _, shown: _, broken: _, never_took: _ } in registers {
            due.at(echoes.deadline(cx.settings.timing.delivery), Timer::Challenge);
        }
    }
}

impl Opening {
    pub(super) fn deadlines(&self, due: &mut Due) {
        let Opening {
            armed,
            // What the kernel says is waited for, and that is an input.
            gate: _,
            address: _,
            attempt: _,
            generation: _,
            epoch: _,
            why: _,
            grounds: _,
            since: _,
            closed_for: _,
            evidence: _,
        } = self;
        due.at(*armed, Timer::LeaseEnds);
    }
}

impl Owner {
    pub(super) fn deadlines(&self, data: &Data, cx: &Shared, due: &mut Due) {
        let Owner {
            armed,
            grounds,
            paths,
            echoed,
            defence,
            announce,
            refresh,
            lacking,
            absent,
            rival,
            asked,
            // Asked by `unhurried`, `arrives_by` and `gathering`.
            hot: _,
            since: _,
            proven: _,
            // Wait for nothing but an input.
            epoch: _,
            burst: _,
            missing: _,
            failed: _,
            offer: _,
            raising: _,
            awaited: _,
            former: _,
        } = self;
        let (lease, timing, now) = (cx.lease(), &cx.settings.timing, due.last);
        if bite::off(Clause::OwnTimer) {
            due.at(now + lease / 3, Timer::Renewal);
        }
        for path in paths {
            due.at(path.deadline(timing.delivery), Timer::PathEcho);
        }
        let gathering = self.gathering(data, cx, now);
        for last in gathering.heard.into_iter().flatten() {
            due.at(last + timing.warn + Span(1), Timer::PeerSuspected);
            due.at(last + timing.dead * 4, Timer::PeerSuspected);
        }
        due.at(gathering.cut.map(|at| at + timing.dead * 4), Timer::PeerSuspected);
        due.at(rival.map(|at| at + lease), Timer::PeerSuspected);
        if cx.witness.carrier {
            due.at(echoed.map(|at| at + gathering.period), Timer::PathEcho);
        }
        if gathering.stale && !bite::off(Clause::NoFastEvidence) {
            due.at(asked.map(|at| at + timing.echo_period()), Timer::Ask);
        }
        if !cx.witness.reachable {
            due.at(grounds.path.map(|at| at + lease), Timer::PublicLost);
            cx.lost_alone_from().into_iter().flatten().for_each(|at| due.at(at, Timer::PublicLost));
        }
        if let Some(probes) = lacking {
            data.asks_again(probes, *absent, cx, due);
        }
        if cx.in_touch(now) && cx.peer.group(&data.name).is_some() {
            due.at(data.missing_since(cx).map(|since| since + timing.dead), Timer::Interface);
            due.at(data.cut_since(cx).map(|(.., since)| since + timing.warn), Timer::Interface);
        }
        due.at(*armed, Timer::LeaseEnds);
        due.at(self.unhurried(cx, now), Timer::Renewal);
        due.at(grounds.island.map(|at| at + lease / 3), Timer::Renewal);
        due.at(grounds.newest().map(|at| at + lease / 3 + Span(1)), Timer::GroundOld);
        due.at(defence.deadline(now, timing), Timer::Defence);
        if self.path_missing() {
            due.at(defence.again(timing), Timer::Defence);
        }
        due.at(*announce, Timer::Announcement);
        due.at(*refresh, Timer::AddressLifetime);
        due.at(self.arrives_by(cx), Timer::Arrival);
        for at in self.starts_again(data, cx).into_iter().flatten() {
            due.at(at, Timer::ServiceAgain);
        }
    }
}

impl Leaving {
    pub(super) fn deadlines(&self, due: &mut Due) {
        let Leaving {
            ordered,
            // What the kernel and the services say is waited for, and that is an input.
            gate_closed: _,
            address_gone: _,
            cold: _,
            attempt: _,
            generation: _,
            epoch: _,
            to: _,
            since: _,
        } = self;
        due.at(*ordered + AGAIN, Timer::OrderAgain);
    }
}
