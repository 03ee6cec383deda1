//! The standby's part: evidence against a silent peer, and the claim (SAFETY R4).

use super::bite::{self, Clause};
use super::claim::{Challenge, Open, Register, Verdict, stand_down};
use super::event::{Kind, Level};
use super::grounds::Grounds;
use super::group::{Group, Next};
use super::io::{EchoKind, Output};
use super::proof::Proven;
use super::role::{Claim, Role, Standby, Why};
use super::settings::{PROBE_GAP, PROBES};
use super::shared::Shared;
use super::time::{Mono, Span};
use crate::prelude::*;

/// While a challenge runs, one echo in the peer's name goes with so many of its own.
const INQUIRE_EACH: u64 = 4;

impl Group {
    pub(super) fn step_standby(&mut self, mut s: Standby, cx: &mut Shared, now: Mono) -> Next {
        if bite::off(Clause::ReleasedComesBack)
            && let Some((_, _, at)) = self.released
        {
            cx.wake(at + cx.settings.timing.dead);
            if now >= at + cx.settings.timing.dead {
                let grounds = Grounds { peer: Some(now), ..Grounds::default() };
                return self.open(cx.next_epoch(self.seen), Why::First, grounds, None, String::new(), cx, now);
            }
        }
        let (since, warn, dead) = self.silence(cx);
        cx.wake(since + warn);
        if now < since + warn {
            if !bite::off(Clause::HeartbeatEndsNothing) {
                self.end_claim(&mut s, cx);
            }
            return self.step_agreement(s, cx, now);
        }
        if let Some(w) = s.wish.take() {
            // A withdrawn epoch is never used again.
            self.never_again(w.epoch);
            cx.dirty = true;
        }
        self.ownerless = None;
        self.gather(&mut s, (since, warn, dead), cx, now);
        let open = self.open_points(&s, cx, now);
        if !open.is_empty() {
            return Next::Stay(Role::Standby(s));
        }
        self.claim(s, since, cx, now)
    }

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

    /// A heartbeat arrived: the evidence is void, and the challenge, if any, is owned up to.
    fn end_claim(&mut self, s: &mut Standby, cx: &mut Shared) {
        if let Some(c) = s.claim.take().and_then(|claim| claim.challenge) {
            self.end_challenge(&c, cx);
        }
    }

    /// A challenge that ends without a verdict: if it wrote, the owner is told, and announces again.
    fn end_challenge(&mut self, c: &Challenge, cx: &mut Shared) {
        cx.out.push_back(Output::AnswerUnicast { group: self.id, on: false });
        if c.written() {
            self.challenged = self.challenged.saturating_add(1);
            cx.urgent = true;
        }
    }

    fn gather(&mut self, s: &mut Standby, (since, warn, dead): (Mono, Span, Span), cx: &mut Shared, now: Mono) {
        let t = cx.settings.timing;
        let age = now.since(since);
        let claim = s.claim.get_or_insert_with(Claim::default);
        // A peer that does not hear me may serve for hours before it says that it does not: its gate is then just closing.
        let lately = age.min(now.since(*claim.begun.get_or_insert(now)) + warn);
        cx.fast |= lately < dead * 4 || claim.challenge.is_some();
        if let Some(until) = self.stand_down {
            if now < until && !bite::off(Clause::NoStandDown) {
                cx.wake(until);
                return;
            }
            self.stand_down = None;
            claim.probes = Default::default();
        }
        cx.wake(since + dead);
        cx.wake((since + dead).back(PROBES + PROBE_GAP));

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
                cx.out.push_back(Output::Probe { group: self.id });
            }
            cx.wake(claim.probes.next(gap));
        }
        if claim.probes.unanswered(now) {
            cx.wake(now + PROBE_GAP);
        }

        // A challenge proves nothing while the witness does not answer this node: it ends, and is owned up to.
        let dark = !cx.witness.reachable && !bite::off(Clause::ChallengeOutlivesWitness);
        if dark && let Some(c) = claim.challenge.take() {
            claim.probes = Default::default();
            claim.proof = Default::default();
            self.end_challenge(&c, cx);
        }

        // R4.4, only after R4.3 has gone unanswered and while this node is reachable itself.
        let reach = cx.witness.reachable && cx.witness.own_time(&cx.settings.witness).is_some_and(|at| at > since)
            || bite::off(Clause::ClaimWithoutReach);
        let quiet = claim.probes.unanswered(now) || bite::off(Clause::ClaimUnprobed);
        let stopping = self.cold_stopping(cx);
        // † Where no majority of the witnesses is a register there is nothing to ask: said once, not at each question of a gateway.
        let pointless = !cx.registers() && !bite::off(Clause::ControlIgnored);
        if let Some(why) = cx.claim_forbidden(&self.name) {
            if !core::mem::replace(&mut claim.never_took, true) {
                let text = format!("no claim: {why}");
                self.last_refusal = Some(text.clone());
                cx.note(Level::Warn, Some(&self.name), Kind::Challenge(self.id), text);
            }
            return;
        }
        // † Before the first write it is shown that the table is a register.
        if claim.challenge.is_none() && cx.witness.carrier {
            let seldom = lately >= dead * 4 && (!quiet || pointless);
            claim.proof.step(self.id, self.owner_mac, seldom, cx, now);
        }
        if claim.challenge.is_none() && quiet && reach && pointless {
            if !core::mem::replace(&mut claim.never_took, true) {
                let text = "no claim: no witness's table can be used as a register (each answers to the sender): fencing would be needed";
                self.last_refusal = Some(text.into());
                cx.note(Level::Warn, Some(&self.name), Kind::Challenge(self.id), text);
            }
        } else if claim.challenge.is_none() && quiet && reach && !stopping {
            match claim.proof.proven(cx, now) {
                Proven::NotYet => {}
                Proven::Registers(good) => {
                    claim.proof.end();
                    claim.challenge = Some(Challenge::new(now, &good, cx.challenge_time()));
                    claim.never_took = false;
                    cx.out.push_back(Output::AnswerUnicast { group: self.id, on: !bite::off(Clause::ChallengerSilent) });
                }
                Proven::Never => {
                    let text = "the witness answers to the sender, or its table goes on naming this node: it shows nothing";
                    self.stood_down(s, text.into(), cx, now);
                    return;
                }
            }
        }
        let Some(c) = claim.challenge.as_mut() else {
            cx.wake(now + t.echo_period());
            return;
        };
        for (r, w) in c.registers.iter_mut().zip(&cx.witness.targets) {
            r.review(now, &w.own, w.inquiries.newest(), &t);
            // † A witness whose table is no register lets every challenge stand.
            r.never_took |= !w.register && !bite::off(Clause::ControlIgnored);
        }
        match c.verdict(cx.settings.witness.register_majority()) {
            Verdict::Broken => {
                s.claim.as_mut().map(|c| c.challenge.take());
                self.stood_down(s, "its entry in the witness's table was taken back: the owner lives".into(), cx, now);
                return;
            }
            Verdict::NeverTook => {
                if let Some(c) = s.claim.as_mut() {
                    c.never_took = true;
                }
                let text = "the witness's table does not take this node's entry (pinned, or the write is filtered): no claim without fencing";
                self.stood_down(s, text.into(), cx, now);
                return;
            }
            Verdict::Running
                if now >= c.since + c.limit(cx.settings.witness.interval) && !bite::off(Clause::ChallengeOutlivesWitness) =>
            {
                self.stood_down(s, "the challenge came to no end".into(), cx, now);
                return;
            }
            Verdict::Running | Verdict::Stood(_) => {}
        }
        // † To the end: the last one that counts is sent after the challenge has stood.
        let each = if c.registers.iter().any(|r| r.stood.is_some() && !r.shown) { 1 } else { INQUIRE_EACH };
        cx.inquire_every(t.echo_period() * each);
        if now >= c.next {
            c.next = now + cx.dithered(EchoKind::Challenge(self.id), now, t.echo_period());
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
                    cx.out.push_back(Output::Write { group: self.id, witness });
                }
                r.echoes.send(now, number);
                cx.out.push_back(Output::Echo { witness, kind: EchoKind::Challenge(self.id), number });
            }
        }
        cx.wake(c.next);
    }

    /// The challenge met an owner.
    pub(super) fn challenge_broken(&mut self, why: String, cx: &mut Shared, now: Mono) {
        let mut role = core::mem::replace(&mut self.role, Role::Standby(Standby::default()));
        if let Role::Standby(s) = &mut role {
            self.stood_down(s, why, cx, now);
        }
        self.role = role;
    }

    /// The peer was heard: what it objected to is over, and would be news again.
    pub(super) fn forget_stand_down(&mut self) {
        self.stand_down = None;
        self.broken = 0;
        self.refusal_told = None;
    }

    fn stood_down(&mut self, s: &mut Standby, why: String, cx: &mut Shared, now: Mono) {
        if let Some(c) = &mut s.claim {
            c.challenge = None;
            c.probes = Default::default();
            c.proof = Default::default();
        }
        cx.out.push_back(Output::AnswerUnicast { group: self.id, on: false });
        self.challenged = self.challenged.saturating_add(1);
        let wait = stand_down(cx.challenge_time(), self.broken, cx.settings.me.0, self.seen.0, cx.preferred(self.id));
        self.broken = self.broken.saturating_add(1);
        self.stand_down = Some(now + wait);
        cx.wake(now + wait);
        let text = format!("no claim: {why}; asks again in {wait}");
        self.last_refusal = Some(text.clone());
        // A gateway's question ends a stand-down early (R5): what was said with a wait is not said again before that wait is over.
        if self.refusal_told.as_ref().is_none_or(|(before, until)| *before != why || now >= *until) {
            self.refusal_told = Some((why, now + wait));
            cx.note(Level::Warn, Some(&self.name), Kind::Challenge(self.id), text);
        }
    }

    /// The checklist: what is still open, each with its reason. Empty means: claim.
    pub fn open_points(&self, s: &Standby, cx: &Shared, now: Mono) -> Vec<Open> {
        let (since, warn, dead) = self.silence(cx);
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
        if self.cold_stopping(cx) {
            open.push(Open::StillStopping);
        } else if !self.eligible(cx, now) || (self.hold.is_some() && bite::off(Clause::HoldForbidsClaim)) {
            open.push(Open::NotEligible);
        }
        if self.durable < cx.next_epoch(self.seen) && !bite::off(Clause::EpochNotDurable) {
            open.push(Open::EpochNotDurable);
        }
        if let Some(why) = cx.claim_forbidden(&self.name) {
            open.push(Open::FilesDiffer(why));
            return open;
        }
        let claim = s.claim.as_ref();
        if let Some(until) = self.stand_down.filter(|at| now < *at && !bite::off(Clause::NoStandDown)) {
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
    fn claim(&mut self, s: Standby, since: Mono, cx: &mut Shared, now: Mono) -> Next {
        let stood = s.claim.and_then(|c| c.challenge).map(|c| c.verdict(cx.settings.witness.register_majority()));
        let Some(Verdict::Stood(ground)) = stood else { return Next::Stay(Role::Standby(Standby::default())) };
        cx.out.push_back(Output::AnswerUnicast { group: self.id, on: false });
        let epoch = cx.next_epoch(self.seen);
        let evidence = format!(
            ": {} silent for {} on all links; the witness answers this node; nobody answers for the address; the challenge stood",
            cx.peer_name(),
            now.since(since)
        );
        self.broken = 0;
        let grounds = Grounds { path: Some(ground), ..Grounds::default() };
        self.open(epoch, Why::Claimed, grounds, None, evidence, cx, now)
    }
}
