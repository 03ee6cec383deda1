//! The standby's part: evidence against a silent peer, and the claim (SAFETY R4).

use super::bite::{self, Clause};
use super::claim::{Challenge, Open, Register, Verdict, stand_down};
use super::data::Data;
use super::event::{Kind, Level};
use super::grounds::Grounds;
use super::io::{EchoKind, Output};
use super::opening::Evidence;
use super::proof::Proven;
use super::role::{Claim, Opening, Standby, Why};
use super::settings::{PROBE_GAP, PROBES};
use super::shared::Shared;
use super::time::{Mono, Span};
use super::timer::Timer;
use super::turn::{Next, Turn};
use crate::prelude::*;

/// While a challenge runs, one echo in the peer's name goes with so many of its own.
const INQUIRE_EACH: u64 = 4;

impl Standby {
    /// In touch: agreement. Not heard for a while: evidence, and the claim when nothing is open any more.
    pub(super) fn step(&mut self, turn: &mut Turn) -> Next {
        let now = turn.now;
        if bite::off(Clause::ReleasedComesBack)
            && let Some((_, _, at)) = turn.data.agreement.released
        {
            turn.cx.wake(at + turn.cx.settings.timing.dead, Timer::Released);
            if now >= at + turn.cx.settings.timing.dead {
                let grounds = Grounds { peer: Some(now), ..Grounds::default() };
                let epoch = turn.cx.next_epoch(turn.data.epochs.seen);
                return Opening::begin(
                    epoch,
                    Evidence { why: Why::First, grounds, closed_for: None, words: String::new() },
                    turn,
                );
            }
        }
        let (since, warn, dead) = turn.data.silence(turn.cx);
        if now < since + warn {
            if !bite::off(Clause::HeartbeatEndsNothing) {
                self.end_claim(turn);
            }
            return self.agree(turn);
        }
        if let Some(w) = self.wish.take() {
            // A withdrawn epoch is never used again.
            turn.data.epochs.never_again(w.epoch);
            turn.cx.dirty = true;
        }
        turn.data.agreement.ownerless = None;
        self.gather((since, warn, dead), turn);
        if !self.open_points(turn.data, turn.cx, now).is_empty() {
            return Next::Stay;
        }
        self.own(since, turn)
    }

    /// A heartbeat arrived: the evidence is void, and the challenge, if any, is owned up to.
    fn end_claim(&mut self, turn: &mut Turn) {
        if let Some(c) = self.claim.take().and_then(|claim| claim.challenge) {
            turn.data.end_challenge(&c, turn.cx);
        }
    }

    fn gather(&mut self, (since, warn, dead): (Mono, Span, Span), turn: &mut Turn) {
        let Turn { cx, data, now } = turn;
        let now = *now;
        let t = cx.settings.timing;
        let age = now.since(since);
        let claim = self.claim.get_or_insert_with(Claim::default);
        // A peer that does not hear me may serve for hours before it says that it does not: its gate is then just closing.
        let lately = age.min(now.since(*claim.begun.get_or_insert(now)) + warn);
        cx.fast |= lately < dead * 4 || claim.challenge.is_some();
        if let Some(until) = data.stand_down.until {
            if now < until && !bite::off(Clause::NoStandDown) {
                return;
            }
            data.stand_down.until = None;
            claim.probes = Default::default();
        }

        // R4.3. Quickly while the owner's gate may just be closing; slowly when somebody keeps answering.
        let gap = if lately <= dead * 2 + cx.peer_lease() { PROBE_GAP } else { Span::millis(500) };
        let majority = cx.settings.witness.register_majority();
        let early = !bite::off(Clause::ProbesOfAnyAge);
        let stood =
            claim.challenge.as_ref().map(|c| (early && c.stands(majority)) || matches!(c.verdict(majority), Verdict::Stood(_)));
        let wanted = match stood {
            None => !claim.probes.unanswered(now),
            Some(true) => age + PROBES + PROBE_GAP >= dead,
            Some(false) => false,
        };
        if wanted && cx.witness.carrier {
            let gap = if stood.is_some() { PROBE_GAP } else { gap };
            if now >= claim.probes.next(gap) {
                claim.probes.send(now);
                cx.out.push_back(Output::Probe { group: data.id });
            }
            cx.wake(claim.probes.next(gap), Timer::Probe);
        }
        if claim.probes.unanswered(now) {
            cx.wake(now + PROBE_GAP, Timer::Probe);
        }

        // A challenge proves nothing while the witness does not answer this node: it ends, and is owned up to.
        let dark = !cx.witness.reachable && !bite::off(Clause::ChallengeOutlivesWitness);
        if dark && let Some(c) = claim.challenge.take() {
            claim.probes = Default::default();
            claim.proof = Default::default();
            data.end_challenge(&c, cx);
        }

        // R4.4, only after R4.3 has gone unanswered and while this node is reachable itdata.
        let reach = cx.witness.reachable && cx.witness.own_time(&cx.settings.witness).is_some_and(|at| at > since)
            || bite::off(Clause::ClaimWithoutReach);
        let quiet = claim.probes.unanswered(now) || bite::off(Clause::ClaimUnprobed);
        let stopping = data.cold_stopping(cx);
        // † Where no majority of the witnesses is a register there is nothing to ask: said once, not at each question of a gateway.
        let pointless = !cx.registers() && !bite::off(Clause::ControlIgnored);
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
            let seldom = lately >= dead * 4 && (!quiet || pointless);
            claim.proof.step(data.id, data.table.owner_mac, seldom, cx, now);
        }
        if claim.challenge.is_none() && quiet && reach && pointless {
            if !core::mem::replace(&mut claim.never_took, true) {
                let text = "no claim: no witness's table can be used as a register (each answers to the sender): fencing would be needed";
                data.people.last_refusal = Some(text.into());
                cx.note(Level::Warn, Some(&data.name), Kind::Challenge(data.id), text);
            }
        } else if claim.challenge.is_none() && quiet && reach && !stopping {
            match claim.proof.proven(cx, now) {
                Proven::NotYet => {}
                Proven::Registers(good) => {
                    claim.proof.end();
                    claim.challenge = Some(Challenge::new(now, &good, cx.challenge_time()));
                    claim.never_took = false;
                    cx.out.push_back(Output::AnswerUnicast { group: data.id, on: !bite::off(Clause::ChallengerSilent) });
                }
                Proven::Never => {
                    let text = "the witness answers to the sender, or its table goes on naming this node: it shows nothing";
                    self.stood_down(text.into(), turn);
                    return;
                }
            }
        }
        let Some(c) = claim.challenge.as_mut() else {
            cx.wake(now + t.echo_period(), Timer::Challenge);
            return;
        };
        for (r, w) in c.registers.iter_mut().zip(&cx.witness.targets) {
            r.review(now, &w.own, w.inquiries.newest(), &t);
            // † A witness whose table is no register lets every challenge stand.
            r.never_took |= !w.register && !bite::off(Clause::ControlIgnored);
        }
        match c.verdict(cx.settings.witness.register_majority()) {
            Verdict::Broken => {
                self.claim.as_mut().map(|c| c.challenge.take());
                self.stood_down("its entry in the witness's table was taken back: the owner lives".into(), turn);
                return;
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
            Verdict::Running | Verdict::Stood(_) => {}
        }
        // † To the end: the last one that counts is sent after the challenge has stood.
        let each = if c.registers.iter().any(|r| r.stood.is_some() && !r.shown) { 1 } else { INQUIRE_EACH };
        cx.inquire_every(t.echo_period() * each);
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
                settings.is_register(usize::from(target)) && !r.broken && bears
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
        let (tries, me, first) = (data.stand_down.broken, cx.settings.me.0, cx.first(data.id));
        let wait = stand_down(cx.challenge_time(), tries, me, data.epochs.seen.0, first);
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
        } else if !data.eligible(cx, now) || (data.commanded.hold.is_some() && bite::off(Clause::HoldForbidsClaim)) {
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
            Some(c) => match c.verdict(cx.settings.witness.register_majority()) {
                Verdict::Stood(at) if at + cx.lease() > now => {
                    let quiet = claim.probes.unanswered_lately(now)
                        || bite::off(Clause::ClaimUnprobed)
                        || (bite::off(Clause::ProbesOfAnyAge) && claim.probes.unanswered(now));
                    if !quiet {
                        open.push(Open::Probing);
                    }
                }
                _ => open.push(Open::ChallengeRunning),
            },
        }
        open
    }

    /// All points hold: the address is ours.
    fn own(&mut self, since: Mono, turn: &mut Turn) -> Next {
        let Turn { cx, data, now } = turn;
        let challenge = core::mem::take(self).claim.and_then(|c| c.challenge);
        let stood = challenge.map(|c| c.verdict(cx.settings.witness.register_majority()));
        let Some(Verdict::Stood(ground)) = stood else { return Next::Stay };
        cx.out.push_back(Output::AnswerUnicast { group: data.id, on: false });
        let epoch = cx.next_epoch(data.epochs.seen);
        let words = format!(
            ": {} silent for {} on all links; the witness answers this node; nobody answers for the address; the challenge stood",
            cx.peer_name(),
            now.since(since)
        );
        data.stand_down.broken = 0;
        let grounds = Grounds { path: Some(ground), ..Grounds::default() };
        Opening::begin(epoch, Evidence { why: Why::Claimed, grounds, closed_for: None, words }, turn)
    }
}

impl Data {
    /// Since when the peer has been silent, and after how long it is suspected and lost.
    pub(super) fn silence(&self, cx: &Shared) -> (Mono, Span, Span) {
        let t = &cx.settings.timing;
        // After a start evidence is gathered as long before the end as at other times.
        let suspected = t.init_dead.less(t.dead.less(t.warn));
        if cx.peer.heard.is_none() && !bite::off(Clause::NoInitDead) {
            let floor = cx.peer.floor.max(cx.born);
            return (floor, suspected, t.init_dead);
        }
        let since = cx.peer.silent_since();
        if let Some(deaf) = cx.peer.deaf_and_unable_since(&self.name) {
            return (deaf.min(since), t.warn, t.dead);
        }
        if let Some(met) = cx.peer.unproven_since() {
            return (met.min(since), suspected, t.init_dead);
        }
        (since, t.warn, if bite::off(Clause::ClaimAtWarn) { t.warn } else { t.dead })
    }

    /// A challenge that ends without a verdict: if it wrote, the owner is told, and announces again.
    fn end_challenge(&mut self, c: &Challenge, cx: &mut Shared) {
        cx.out.push_back(Output::AnswerUnicast { group: self.id, on: false });
        if c.written() {
            self.table.wrote();
            cx.urgent = true;
        }
    }

    /// The peer was heard: what it objected to is over, and would be news again.
    pub(super) fn forget_stand_down(&mut self) {
        self.stand_down.until = None;
        self.stand_down.broken = 0;
        self.people.refusal_told = None;
    }
}
