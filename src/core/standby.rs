//! The standby's part: evidence against a silent peer, and the claim (SAFETY R4).

use super::bite::{self, Clause};
use super::claim::{Challenge, Open, Register, Verdict, Waiter, stand_down};
use super::data::{Data, StandDown};
use super::event::{Kind, Level};
use super::grounds::Grounds;
use super::heartbeat::BeatRole;
use super::io::{EchoKind, Output};
use super::opening::Evidence;
use super::proof::Proven;
use super::role::{Claim, Opening, Standby, Why};
use super::settings::{PROBE_GAP, PROBES};
use super::shared::Shared;
use super::time::{Mono, Span};
use super::turn::{Next, Turn};
use super::way::Way;
use crate::prelude::*;

/// While a challenge runs, one echo in the peer's name goes with so many of its own.
const INQUIRE_EACH: u64 = 4;

impl Standby {
    /// In touch: agreement. Not heard for a while: evidence, and the claim when nothing is open any more.
    pub(super) fn step(&mut self, turn: &mut Turn) -> Next {
        let now = turn.now;
        if bite::off(Clause::ReleasedComesBack) && turn.data.released_turn(turn.cx).is_some_and(|at| now >= at) {
            let grounds = Grounds { peer: Some(now), ..Grounds::default() };
            let epoch = turn.cx.next_epoch(turn.data.epochs.seen);
            return Opening::begin(epoch, Evidence { why: Why::First, grounds, closed_for: None, words: String::new() }, turn);
        }
        let (since, warn, _) = turn.data.silence(turn.cx);
        if now < since + warn {
            if turn.cx.fence.tells(now) && self.challenges() {
                // The peer is told that it is being turned off, where it hears nothing else.
                self.gather(since, turn);
            } else if !bite::off(Clause::HeartbeatEndsNothing) {
                self.end_claim(turn);
            }
            let next = self.agree(turn);
            if !matches!(next, Next::Stay) {
                self.end_claim(turn);
            }
            return next;
        }
        if let Some(w) = self.wish.take() {
            // A withdrawn epoch is never used again.
            turn.data.epochs.never_again(w.epoch);
            turn.cx.dirty = true;
        }
        turn.data.agreement.ownerless = None;
        self.gather(since, turn);
        if let Some(claim) = &self.claim {
            claim.fence(since, turn.data, turn.cx, now);
        }
        if !self.open_points(turn.data, turn.cx, now).is_empty() {
            return Next::Stay;
        }
        self.own(since, turn)
    }

    fn challenges(&self) -> bool {
        self.claim.as_ref().is_some_and(|claim| claim.challenge.is_some())
    }

    /// A heartbeat arrived: the evidence is void, and the challenge, if any, is owned up to.
    fn end_claim(&mut self, turn: &mut Turn) {
        if let Some(c) = self.claim.take().and_then(|claim| claim.challenge) {
            turn.data.end_challenge(&c, turn.cx);
        }
    }

    fn gather(&mut self, since: Mono, turn: &mut Turn) {
        let Turn { cx, data, now } = turn;
        let now = *now;
        let t = cx.settings.timing;
        let claim = self.claim.get_or_insert_with(Claim::default);
        claim.begun.get_or_insert(now);
        if claim.trial_is_old(since, cx, now) {
            // Asked anew before the next order.
            (claim.never_took, claim.never_took_at, claim.proof) = Default::default();
        }
        if let Some(until) = data.stand_down.until {
            if now < until && !bite::off(Clause::NoStandDown) {
                return;
            }
            data.stand_down.until = None;
            claim.probes = Default::default();
        }

        // A challenge proves nothing while the witness does not answer this node: it ends, and is owned up to.
        let dark = !cx.witness.reachable && !bite::off(Clause::ChallengeOutlivesWitness);
        if dark && let Some(c) = claim.challenge.take() {
            claim.probes = Default::default();
            claim.proof = Default::default();
            data.end_challenge(&c, cx);
        }

        if let Some(gap) = claim.probe_gap(data, cx, now).filter(|_| cx.witness.carrier)
            && now >= claim.probes.next(gap)
        {
            claim.probes.send(now);
            cx.out.push_back(Output::Probe { group: data.id });
        }

        // R4.4, only after R4.3 has gone unanswered and while this node is reachable itdata.
        let reach = cx.witness.reachable && cx.witness.own_time(&cx.settings.witness).is_some_and(|at| at > since)
            || bite::off(Clause::ClaimWithoutReach);
        let quiet = claim.probes.unanswered(now) || bite::off(Clause::ClaimUnprobed);
        let stopping = data.cold_stopping(cx);
        // Nothing is written on carriers alone: the next heartbeat may be on its way.
        let early = cx.cut_off(since).is_some() && now < since + data.silence(cx).2 && !bite::off(Clause::CutOffWrites);
        // † Where no majority of the witnesses is a register there is nothing to ask: said once, not at each question of a gateway.
        let pointless = claim.unchallengeable(cx);
        if let Some(why) = cx.claim_forbidden(&data.name) {
            if !core::mem::replace(&mut claim.never_took, true) {
                let text = format!("no claim: {why}");
                data.people.last_refusal = Some(text.clone());
                cx.note(Level::Warn, Some(&data.name), Kind::Challenge(data.id), text);
            }
            return;
        }
        // † Before the first write it is shown that the table is a register.
        if claim.challenge.is_none() && cx.witness.carrier {
            let seldom = claim.seldom(data, cx, now);
            claim.proof.step(data.id, data.table.owner_mac, seldom, cx, now);
        }
        if claim.challenge.is_none() && pointless && cx.fences() {
            // Nothing is written: the peer has to be off.
        } else if claim.challenge.is_none() && quiet && reach && pointless {
            if !core::mem::replace(&mut claim.never_took, true) {
                let text = "no claim: no witness's table can be used as a register (each answers to the sender): fencing would be needed";
                data.people.last_refusal = Some(text.into());
                cx.note(Level::Warn, Some(&data.name), Kind::Challenge(data.id), text);
            }
        } else if claim.challenge.is_none() && quiet && reach && !stopping && !early {
            match claim.proof.proven(cx, now) {
                Proven::NotYet => {}
                Proven::Registers(good) => {
                    claim.proof.end();
                    claim.challenge = Some(Challenge::new(now, &good, cx.challenge_time()));
                    claim.never_took = false;
                    cx.out.push_back(Output::AnswerUnicast { group: data.id, on: !bite::off(Clause::ChallengerSilent) });
                }
                Proven::Never if cx.fences() => {
                    claim.proof.end();
                    (claim.never_took, claim.never_took_at) = (true, Some(now));
                    // What the other way needs is due in this instant.
                    return self.gather(since, turn);
                }
                Proven::Never => {
                    let text = "the witness answers to the sender, or its table goes on naming this node: it shows nothing";
                    self.stood_down(text.into(), turn);
                    return;
                }
            }
        }
        let fencing = cx.fence.tells(now);
        let Some(c) = claim.challenge.as_mut() else { return };
        for (r, w) in c.registers.iter_mut().zip(&cx.witness.targets) {
            r.review(now, &w.own, w.inquiries.newest(), &t);
            // † A witness whose table is no register lets every challenge stand.
            r.never_took |= !w.register && !bite::off(Clause::ControlIgnored);
        }
        match c.verdict(cx.settings.witness.register_majority()) {
            // While the peer is being turned off the echoes tell it so, whoever the table names.
            Verdict::Broken if fencing => {}
            // By that same peer, which is off.
            Verdict::Broken if cx.fences() && cx.fenced_since(since) => {
                (claim.challenge, claim.proof, claim.probes) = Default::default();
                return self.gather(since, turn);
            }
            Verdict::Broken => {
                data.stand_down.met = Some(now);
                self.claim.as_mut().map(|c| c.challenge.take());
                self.stood_down("its entry in the witness's table was taken back: the owner lives".into(), turn);
                return;
            }
            Verdict::NeverTook if cx.fences() => {
                (claim.never_took, claim.never_took_at) = (true, Some(now));
                if let Some(c) = claim.challenge.take() {
                    data.end_challenge(&c, cx);
                }
                return self.gather(since, turn);
            }
            Verdict::NeverTook => {
                if let Some(c) = self.claim.as_mut() {
                    c.never_took = true;
                }
                let text = "the witness's table does not take this node's entry (pinned, or the write is filtered): no claim without fencing";
                self.stood_down(text.into(), turn);
                return;
            }
            Verdict::Running
                if now >= c.since + c.limit(cx.settings.witness.interval) && !bite::off(Clause::ChallengeOutlivesWitness) =>
            {
                self.stood_down("the challenge came to no end".into(), turn);
                return;
            }
            Verdict::Running => {}
            Verdict::Stood(_) => data.stand_down.met = None,
        }
        if now >= c.next {
            c.next = now + cx.dithered(EchoKind::Challenge(data.id), now, t.echo_period());
            cx.echoed = true;
            let number = cx.number();
            let settings = &cx.settings.witness;
            let targets = &cx.witness.targets;
            let t0 = t.echo_period();
            let asked = |target: u8, r: &Register| {
                let bears =
                    targets.get(usize::from(target)).is_some_and(|t| t.pace.bears(r.echoes.before(now, t0), now, t0, settings));
                settings.is_register(usize::from(target)) && (!r.broken || fencing) && bears
            };
            for (target, r) in (0u8..).zip(c.registers.iter_mut()).filter(|(target, r)| asked(*target, r)) {
                let witness = super::id::WitnessId(target);
                // A node that hears no answer itself must not go on taking the entry from an owner whose defence it cannot see.
                if (r.start.is_none() && cx.witness.reachable) || bite::off(Clause::ChallengeWritesOn) {
                    // † After the first echo came back never write again.
                    r.written = Some(now);
                    cx.out.push_back(Output::Write { group: data.id, witness });
                }
                r.echoes.send(now, number);
                cx.out.push_back(Output::Echo { witness, kind: EchoKind::Challenge(data.id), number });
            }
        }
    }

    /// The challenge, or what was to come before it, met an owner or proved nothing.
    pub(super) fn stood_down(&mut self, why: String, turn: &mut Turn) {
        if let Some(c) = &mut self.claim {
            c.challenge = None;
            c.probes = Default::default();
            c.proof = Default::default();
        }
        let Turn { cx, data, now } = turn;
        cx.out.push_back(Output::AnswerUnicast { group: data.id, on: false });
        data.table.wrote();
        let tries = data.stand_down.broken;
        let wait = stand_down(cx.challenge_time(), tries, data.waiter(cx), *now) + data.head_start(cx);
        data.stand_down.broken = tries.saturating_add(1);
        data.stand_down.until = Some(*now + wait);
        let text = format!("no claim: {why}; asks again in {wait}");
        data.people.last_refusal = Some(text.clone());
        // A gateway's question ends a stand-down early (R5): what was said with a wait is not said again before that wait is over.
        if data.people.refusal_told.as_ref().is_none_or(|(before, until)| *before != why || *now >= *until) {
            data.people.refusal_told = Some((why, *now + wait));
            cx.note(Level::Warn, Some(&data.name), Kind::Challenge(data.id), text);
        }
    }

    /// The checklist: what is still open, each with its reason. Empty means: claim.
    pub fn open_points(&self, data: &Data, cx: &Shared, now: Mono) -> Vec<Open> {
        let (since, warn, dead) = data.silence(cx);
        let age = now.since(since);
        if age < warn && cx.peer.heard.is_some() {
            return vec![Open::PeerAlive(age)];
        }
        let mut open = Vec::new();
        if age < dead {
            open.push(Open::NotSilentLongEnough((since + dead).since(now)));
        }
        if !cx.witness.carrier {
            open.push(Open::NoCarrier);
        } else if bite::off(Clause::ClaimWithoutReach) {
        } else if !cx.witness.reachable || cx.witness.own_time(&cx.settings.witness).is_none_or(|at| at <= since) {
            open.push(Open::WitnessDark);
        }
        if data.cold_stopping(cx) {
            open.push(Open::StillStopping);
        } else if !data.may_claim(cx, now) || (data.commanded.hold.is_some() && bite::off(Clause::HoldForbidsClaim)) {
            open.push(Open::NotEligible);
        }
        if data.epochs.durable < cx.next_epoch(data.epochs.seen) && !bite::off(Clause::EpochNotDurable) {
            open.push(Open::EpochNotDurable);
        }
        if let Some(why) = cx.claim_forbidden(&data.name) {
            open.push(Open::FilesDiffer(why));
            return open;
        }
        let claim = self.claim.as_ref();
        if let Some(until) = data.stand_down.until.filter(|at| now < *at && !bite::off(Clause::NoStandDown)) {
            open.push(if claim.is_some_and(|c| c.never_took) { Open::NeverTook } else { Open::StandingDown(until.since(now)) });
            return open;
        }
        let Some(claim) = claim else {
            open.push(Open::Probing);
            return open;
        };
        if let Some(more) = claim.open_on_the_way(since, data, cx, now) {
            open.extend(more);
            return open;
        }
        match &claim.challenge {
            None => {
                if claim.never_took {
                    open.push(Open::NeverTook);
                    return open;
                }
                open.push(
                    claim
                        .probes
                        .answered
                        .filter(|_| !claim.probes.unanswered(now))
                        .map_or(Open::Probing, |(by, _)| Open::AddressAnswered(by)),
                );
                open.push(Open::NotChallenged);
            }
            Some(_) => open.push(Open::ChallengeRunning),
        }
        open
    }

    /// All points hold: the address is ours.
    fn own(&mut self, since: Mono, turn: &mut Turn) -> Next {
        let Turn { cx, data, now } = turn;
        let Some(claim) = core::mem::take(self).claim else { return Next::Stay };
        let (ground, shown) = match claim.way(cx, *now) {
            Way::Stood(ground) if cx.fences() => (ground, "the challenge stood, and the peer is off"),
            Way::Stood(ground) => (ground, "the challenge stood"),
            Way::Fenced => (*now, "the peer is off"),
            Way::Open => return Next::Stay,
        };
        cx.out.push_back(Output::AnswerUnicast { group: data.id, on: false });
        let epoch = cx.next_epoch(data.epochs.seen);
        let cables = if cx.cut_off(since).is_some() { ", whose cables lost their carrier" } else { "" };
        let words = format!(
            ": {} silent for {} on all links{cables}; the witness answers this node; nobody answers for the address; {shown}",
            cx.peer_name(),
            now.since(since)
        );
        (data.stand_down.broken, data.stand_down.met) = (0, None);
        let grounds = Grounds { path: Some(ground), ..Grounds::default() };
        Opening::begin(epoch, Evidence { why: Why::Claimed, grounds, closed_for: None, words }, turn)
    }
}

impl Claim {
    /// For how long the peer has been suspected: a peer that does not hear me may serve for hours before it says that it does not, and its
    /// gate is then just closing.
    fn lately(&self, (since, warn): (Mono, Span), now: Mono) -> Span {
        now.since(since).min(now.since(self.begun.unwrap_or(now)) + warn)
    }

    /// Until when a claim hurries: after that somebody keeps answering.
    pub(super) fn hurried_until(&self, data: &Data, cx: &Shared) -> Option<Mono> {
        let (since, warn, dead) = data.silence(cx);
        let long = dead.max(cx.settings.timing.dead) * 4;
        Some((since + long).max(self.begun? + long.less(warn)))
    }

    /// Whether echoes at the fast rate are wanted.
    pub(super) fn hurries(&self, data: &Data, cx: &Shared, now: Mono) -> bool {
        self.challenge.is_some() || self.hurried_until(data, cx).is_some_and(|until| now < until)
    }

    /// Controls are seldom once nothing is to be expected of them for long: somebody keeps answering, or no table can be used.
    fn seldom(&self, data: &Data, cx: &Shared, now: Mono) -> bool {
        let quiet = self.probes.unanswered(now) || bite::off(Clause::ClaimUnprobed);
        let pointless = self.unchallengeable(cx);
        self.hurried_until(data, cx).is_some_and(|until| now >= until) && (!quiet || pointless)
    }

    /// How often echoes in the peer's name are wanted; none while they are not.
    pub(super) fn inquires(&self, data: &Data, cx: &Shared, now: Mono) -> Option<Span> {
        let stands_down = data.stand_down.until.is_some_and(|until| now < until) && !bite::off(Clause::NoStandDown);
        if stands_down || cx.claim_forbidden(&data.name).is_some() {
            return None;
        }
        match &self.challenge {
            Some(c) => {
                // † To the end: the last one that counts is sent after the challenge has stood.
                let each = if c.registers.iter().any(|r| r.stood.is_some() && !r.shown) { 1 } else { INQUIRE_EACH };
                Some(cx.settings.timing.echo_period() * each)
            }
            None if cx.witness.carrier && cx.witness.reachable => Some(self.proof.period(self.seldom(data, cx, now), cx)),
            None => None,
        }
    }

    /// R4.3: how far apart probes are, while they are wanted. Quickly while the owner's gate may just be closing; slowly when somebody
    /// keeps answering.
    pub(super) fn probe_gap(&self, data: &Data, cx: &Shared, now: Mono) -> Option<Span> {
        let (since, warn, dead) = data.silence(cx);
        let majority = cx.settings.witness.register_majority();
        let early = !bite::off(Clause::ProbesOfAnyAge);
        let stands = |c: &Challenge| (early && c.stands(majority)) || matches!(c.verdict(majority), Verdict::Stood(_));
        match self.challenge.as_ref().map(stands) {
            None if self.way(cx, now) == Way::Fenced => {
                // Until it is off somebody may come to answer; then the last ones have to be new.
                Some(if cx.fenced_since(since) { PROBE_GAP } else { Span::millis(500) })
            }
            None if self.probes.unanswered(now) => None,
            None if self.lately((since, warn), now) <= dead.max(cx.settings.timing.dead) * 2 + cx.peer_lease() => Some(PROBE_GAP),
            None => Some(Span::millis(500)),
            Some(stands) => (stands && now.since(since) + PROBES + PROBE_GAP >= dead).then_some(PROBE_GAP),
        }
    }
}

impl Data {
    /// A challenge that ends without a verdict: if it wrote, the owner is told, and announces again.
    fn end_challenge(&mut self, c: &Challenge, cx: &mut Shared) {
        cx.out.push_back(Output::AnswerUnicast { group: self.id, on: false });
        if c.written() {
            self.table.wrote();
            cx.urgent = true;
        }
    }

    /// This node as one that waits for its turn.
    pub(super) fn waiter(&self, cx: &Shared) -> Waiter {
        Waiter { node: cx.settings.me.0, epoch: self.epochs.seen.0, first: cx.first(self.id) }
    }

    /// What the second node adds to a wait that both nodes have at the same time, since neither was the owner when it was last heard: the
    /// time of two challenges, so that the first one's attempt is over (SAFETY R5).
    pub(super) fn head_start(&self, cx: &Shared) -> Span {
        let rival = cx.peer.group(&self.name).is_some_and(|said| said.role != BeatRole::Owner);
        if rival && !cx.first(self.id) { cx.challenge_time() * 2 } else { Span::ZERO }
    }

    /// The peer was heard: what it objected to is over, and would be news again.
    pub(super) fn forget_stand_down(&mut self) {
        self.stand_down = StandDown::default();
        self.people.refusal_told = None;
    }
}
