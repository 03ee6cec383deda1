//! Between living nodes ownership moves only by agreement (SAFETY R6); two owners that meet (R7).
//!
//! intent with the next epoch -> grant -> gate closed and VIP gone -> `released` -> gate opened on the new owner.

use super::bite::{self, Clause};
use super::event::{Kind, Level};
use super::files::Added;
use super::grounds::Grounds;
use super::group::{Group, LastChange, Next};
use super::heartbeat::{BeatRole, Grant, GroupBeat, Heartbeat, Intent, MOST_AGE, Offer, Refused, WhyRefused};
use super::id::NodeId;
use super::io::{Output, ServiceOrder};
use super::role::{Role, Running, Stage, Standby, Why, Wish};
use super::settings::{PROBE_GAP, Services};
use super::shared::Shared;
use super::time::{Mono, Span};
use crate::prelude::*;

/// Warm services have this long before the move goes on without them.
const WARM_LIMIT: Span = Span::secs(20);
/// An intent that nobody grants is withdrawn after this, or three heartbeats, whichever is longer.
const ASK_LIMIT: Span = Span::millis(500);
/// A granted one, whose old owner is still stopping a cold service, after this.
const GRANTED_LIMIT: Span = Span::secs(60);

impl Group {
    /// A standby in touch with its peer.
    pub(super) fn step_agreement(&mut self, mut s: Standby, cx: &mut Shared, now: Mono) -> Next {
        let Some(g) = cx.peer.group(&self.name).cloned() else {
            return self.step_alone(s, cx, now);
        };
        let outdated = s.wish.as_ref().and_then(|w| self.outdated(w, &g, cx, now));
        if let Some(why) = outdated {
            return self.withdraw(s, why, cx.settings.timing.heartbeat * 10, cx, now);
        }
        if !cx.in_touch(now) {
            return Next::Stay(Role::Standby(s));
        }
        if let Some(intent) = g.intent {
            self.answer_standby(&mut s, intent, &g, cx, now);
        } else {
            self.refused = None;
        }
        self.release_done(&g, s.wish.is_none(), cx, now);
        if s.wish.is_none()
            && let Some(why) = self.wants(&g, cx, now)
        {
            let epoch = cx.next_epoch(self.seen);
            let attempt = cx.attempt();
            cx.dirty = true;
            s.wish = Some(Wish { epoch, attempt, why, stage: Stage::Reserve, probes: Default::default(), since: now, told: now });
        }
        self.step_wish(s, &g, cx, now)
    }

    /// Why this node should own, if it should.
    fn wants(&mut self, g: &GroupBeat, cx: &mut Shared, now: Mono) -> Option<Why> {
        // A person who asks for it here has a reason to try.
        // Where the peer could not serve either, what can be served is served.
        let alone = g.role == BeatRole::Standby && !g.eligible && self.missing(cx).is_some();
        let fit = if self.takeover || alone { self.eligible(cx, now) } else { self.accepts(cx, now) };
        if !fit || self.wish_after.is_some_and(|at| now < at) {
            if let Some(at) = self.wish_after {
                cx.wake(at);
            }
            return None;
        }
        if cx.move_forbidden(&self.name).is_some() {
            return None;
        }
        let reach = cx.witness.reachable;
        let peer_reach = cx.peer.said().is_some_and(|b| b.reachable);
        match g.role {
            BeatRole::Leaving => None,
            BeatRole::Owner => {
                self.ownerless = None;
                if let Some(offer) = g.offer {
                    // Who reaches no witness either is no better off: what both have lost is no reason to move (R8).
                    let better = reach || (!peer_reach && offer != Offer::PublicLost);
                    return better.then_some(Why::Offered(offer));
                }
                if self.takeover {
                    return Some(Why::Takeover);
                }
                let stable = self.stable(cx, now)?;
                if !cx.preferred(self.id) || self.hold.is_some() || !g.gate_open {
                    return None;
                }
                let due = self.failback_due(self.fit_since?, stable);
                cx.wake(due);
                (now >= due).then_some(Why::Failback)
            }
            BeatRole::Standby => {
                if self.takeover {
                    return Some(Why::Takeover);
                }
                // What was granted to the peer is the peer's to take, for a while.
                if let Some((_, _, at)) = self.released {
                    let turn = at + cx.settings.timing.dead;
                    cx.wake(turn);
                    if now < turn {
                        return None;
                    }
                }
                let since = *self.ownerless.get_or_insert(now);
                let patience = since + cx.settings.timing.dead * 2;
                cx.wake(patience);
                let rank = |eligible: bool, held: bool, reach: bool, node: NodeId| {
                    let preferred = cx.preferred_node(self.id) == Some(node);
                    (eligible, reach, !held, preferred, core::cmp::Reverse(node))
                };
                let me = cx.settings.me;
                let mine = rank(true, self.hold.is_some(), reach, me);
                let theirs = rank(g.eligible, g.standby_held, peer_reach, me.other());
                // A node that has just started gives its witness a moment to answer, and a peer that has just started gets it too:
                // of two that boot together the preferred one owns, not the one whose first echo came back sooner.
                let mut settled = true;
                let outranked = rank(g.eligible, g.standby_held, true, me.other()) > mine;
                for (waits, since) in [(!reach, cx.born), (!peer_reach && outranked, cx.peer.met)] {
                    let end = since + cx.settings.timing.dead;
                    if waits && now < end {
                        settled = false;
                        cx.wake(end);
                    }
                }
                ((mine > theirs && settled) || now >= patience).then_some(Why::First)
            }
        }
    }

    fn step_wish(&mut self, mut s: Standby, g: &GroupBeat, cx: &mut Shared, now: Mono) -> Next {
        if cx.shutdown
            && let Some(w) = s.wish.take_if(|w| w.stage != Stage::Ask)
        {
            // Nobody was told of it yet.
            self.never_again(w.epoch);
        }
        let Some(w) = &mut s.wish else { return Next::Stay(Role::Standby(s)) };
        let services = cx.services(self.id);
        let hurry = matches!(w.why, Why::Offered(Offer::PublicLost | Offer::ServiceFailed | Offer::NoReturnPath));
        loop {
            match w.stage {
                Stage::Reserve => {
                    if self.durable < w.epoch && !bite::off(Clause::EpochNotDurable) {
                        return Next::Stay(Role::Standby(s));
                    }
                    w.since = now;
                    if services == Services::Warm && !hurry && self.running != Running::Warm && w.why != Why::First {
                        self.service_attempt = cx.attempt();
                        self.running = Running::Starting;
                        cx.out.push_back(Output::Services {
                            group: self.id,
                            attempt: self.service_attempt,
                            order: ServiceOrder::Warm,
                        });
                        w.stage = Stage::Warm(self.service_attempt);
                    } else {
                        w.stage =
                            if w.why == Why::First && !bite::off(Clause::FirstClaimUnprobed) { Stage::Probe } else { Stage::Ask };
                        w.told = Mono::ZERO;
                    }
                }
                Stage::Warm(_) => {
                    if self.running != Running::Warm && now < w.since + WARM_LIMIT {
                        cx.wake(w.since + WARM_LIMIT);
                        return Next::Stay(Role::Standby(s));
                    }
                    w.stage = Stage::Ask;
                    w.since = now;
                    w.told = Mono::ZERO;
                }
                Stage::Probe => {
                    if let Some((by, _)) = w.probes.answered {
                        let text = format!("no first claim: {by} answers for the address");
                        return self.withdraw(s, text, Span::secs(5), cx, now);
                    }
                    if w.probes.unanswered(now) {
                        w.stage = Stage::Ask;
                        w.since = now;
                        w.told = Mono::ZERO;
                        continue;
                    }
                    if now >= w.probes.next(PROBE_GAP) {
                        w.probes.send(now);
                        cx.out.push_back(Output::Probe { group: self.id });
                    }
                    cx.wake(w.probes.next(PROBE_GAP));
                    return Next::Stay(Role::Standby(s));
                }
                Stage::Ask => break,
            }
        }
        let mine = Grant { epoch: w.epoch, attempt: w.attempt, incarnation: cx.incarnation };
        if g.released == Some(mine) || (bite::off(Clause::ReleasedUnnamed) && g.released.is_some()) {
            let Some(ground) = cx.peer.hears_me.filter(|at| *at + cx.lease() > now) else {
                cx.ask = true;
                cx.urgent = true;
                cx.wake(now + cx.settings.timing.echo_period());
                return Next::Stay(Role::Standby(s));
            };
            match cx.ask_for_added(&self.name, self.id, &mut w.probes, now) {
                Added::Free => {}
                Added::Asking => return Next::Stay(Role::Standby(s)),
                Added::Taken(by) => {
                    // Not again at once: each try leaves the group unserved for a moment.
                    self.service_failed(now);
                    let text = format!("not taken: {by} answers for an address that the other node's file does not have");
                    return self.withdraw(s, text, Span::secs(5), cx, now);
                }
            }
            let (epoch, why) = (w.epoch, w.why);
            let rtt = cx.links.iter().filter_map(|l| l.rtt).min().unwrap_or_default();
            let gap = (g.closed_for.filter(|_| why != Why::First)).map(|c| c.min(MOST_AGE) + rtt / 2);
            let evidence = format!("; {} released it", cx.peer_name());
            let grounds = Grounds { peer: Some(ground), ..Grounds::default() };
            return self.open(epoch, why, grounds, gap, evidence, cx, now);
        }
        if let Some(r) = g.refused.filter(|r| r.grant == mine) {
            let text = format!("{} refuses: {}", cx.peer_name(), r.why.words());
            return self.withdraw(s, text, cx.settings.timing.heartbeat * 10, cx, now);
        }
        let again = cx.settings.timing.echo_period();
        if now >= w.told + again {
            w.told = now;
            cx.urgent = true;
            cx.ask = true;
        }
        cx.wake(w.told + again);
        Next::Stay(Role::Standby(s))
    }

    /// Why an intent that was told is to be withdrawn, whether the peer can be talked to or not.
    fn outdated(&self, w: &Wish, g: &GroupBeat, cx: &mut Shared, now: Mono) -> Option<String> {
        if w.stage != Stage::Ask {
            return None;
        }
        if w.why == Why::First && g.role == BeatRole::Owner {
            return Some(format!("{} owns it by now", cx.peer_name()));
        }
        let mine = Grant { epoch: w.epoch, attempt: w.attempt, incarnation: cx.incarnation };
        if g.released == Some(mine) {
            return None;
        }
        let limit = if g.granted == Some(mine) { GRANTED_LIMIT } else { ASK_LIMIT.max(cx.settings.timing.heartbeat * 3) };
        cx.wake(w.since + limit);
        (now >= w.since + limit).then(|| format!("{} did not answer the intent in {limit}", cx.peer_name()))
    }

    pub(super) fn withdraw(&mut self, mut s: Standby, why: String, pause: Span, cx: &mut Shared, now: Mono) -> Next {
        if let Some(w) = s.wish.take() {
            self.never_again(w.epoch);
        }
        if self.running == Running::Warm {
            self.services(ServiceOrder::Stop, Running::Stopping, cx);
        }
        self.takeover = false;
        self.wish_after = Some(now + pause);
        cx.wake(now + pause);
        cx.dirty = true;
        cx.urgent = true;
        cx.note(Level::Warn, Some(&self.name), Kind::Refused(self.id), why.clone());
        self.last_refusal = Some(why);
        Next::Stay(Role::Standby(s))
    }

    /// A standby answers the peer's intent: of two intents the higher epoch wins, then preferred, then name.
    fn answer_standby(&mut self, s: &mut Standby, intent: Intent, g: &GroupBeat, cx: &mut Shared, now: Mono) {
        let Some(incarnation) = cx.peer.incarnation else { return };
        let grant = Grant { epoch: intent.epoch, attempt: intent.attempt, incarnation };
        if self.released.is_some_and(|(r, ..)| r == grant) {
            return;
        }
        let me = cx.settings.me;
        let preferred = cx.preferred_node(self.id);
        let rank = |epoch, node: NodeId| (epoch, preferred == Some(node), core::cmp::Reverse(node));
        let goes_first =
            s.wish.as_ref().is_some_and(|w| w.stage == Stage::Ask && rank(w.epoch, me) > rank(intent.epoch, me.other()));
        let both = bite::off(Clause::BothIntentsGranted);
        let why = if !g.eligible && (self.missing(cx).is_none() || self.accepts(cx, now)) {
            Some(WhyRefused::NotFit)
        } else if cx.grant_forbidden(&self.name) {
            Some(WhyRefused::FilesDiffer)
        } else if goes_first && !both {
            Some(WhyRefused::OtherIntent)
        } else if intent.epoch <= self.seen && !bite::off(Clause::StaleEpochGranted) {
            Some(WhyRefused::StaleEpoch)
        } else {
            None
        };
        if let Some(why) = why {
            self.refuse(Refused { grant, why }, cx);
            return;
        }
        if self.cold_stopping(cx) && !bite::off(Clause::ColdNotAwaited) {
            return;
        }
        if !bite::off(Clause::GrantKeepsIntent)
            && !both
            && let Some(w) = s.wish.take()
        {
            // † To grant is to withdraw one's own intent for good.
            self.never_again(w.epoch);
            if self.running == Running::Warm {
                self.services(ServiceOrder::Stop, Running::Stopping, cx);
            }
        }
        self.seen = self.seen.max(intent.epoch);
        self.released = Some((grant, None, now));
        self.refused = None;
        self.take_hold(intent, cx, now);
        cx.urgent = true;
        cx.dirty = true;
    }

    fn refuse(&mut self, refused: Refused, cx: &mut Shared) {
        if self.refused != Some(refused) {
            self.refused = Some(refused);
            cx.urgent = true;
        }
    }

    /// What was released is owned by the peer now: the move is finished.
    fn release_done(&mut self, g: &GroupBeat, idle: bool, cx: &mut Shared, now: Mono) {
        if g.role != BeatRole::Owner {
            return;
        }
        if !bite::off(Clause::EpochHeardIgnored) {
            self.seen = self.seen.max(g.epoch);
        }
        let Some((grant, closed, _)) = self.released else {
            if idle && matches!(self.running, Running::Warm | Running::Running) && g.gate_open {
                self.services(ServiceOrder::Stop, Running::Stopping, cx);
            }
            return;
        };
        if g.epoch < grant.epoch || !g.gate_open {
            return;
        }
        self.released = None;
        let text = match closed.map(|closed| now.since(closed)) {
            None => format!("{} took it, epoch {}: nobody had served", cx.peer_name(), g.epoch),
            Some(gap) => {
                let text = format!("{} -> {}, epoch {}: handed over", cx.me(), cx.peer_name(), g.epoch);
                let cold = cx.services(self.id) == Services::Cold;
                self.last_change = Some(LastChange { at: now, text: text.clone(), gap: Some(gap).filter(|_| !cold) });
                let saw = if cold { "the address was away for" } else { "clients saw" };
                format!("{text}; {saw} {gap} at the most")
            }
        };
        cx.note(Level::Info, Some(&self.name), Kind::Move(self.id), text);
        if self.running != Running::Stopped {
            self.services(ServiceOrder::Stop, Running::Stopping, cx);
        }
    }

    /// What a new heartbeat says of this group, whatever the role.
    pub(super) fn hear(&mut self, beat: &Heartbeat, by_table: bool, cx: &mut Shared, now: Mono) {
        let (since, warn, _) = self.silence(cx);
        let counts = now < since + warn;
        if (!by_table || bite::off(Clause::TableBeatEndsStandDown)) && counts {
            self.forget_stand_down();
        }
        // Heard through the table that this node wrote: the challenge met somebody, and is as broken as by a defence.
        let challenging = matches!(&self.role, Role::Standby(s) if s.claim.as_ref().and_then(|c| c.challenge.as_ref()).is_some_and(|c| c.written()));
        // Not by the echoes of a deaf standby that has begun a challenge of its own: it objects to nothing.
        let said = beat.groups.iter().find(|g| g.name == self.name);
        let objects =
            said.is_none_or(|g| g.role != BeatRole::Standby || g.gate_open) || counts || bite::off(Clause::DeafStandbyObjects);
        if by_table && challenging && objects {
            let why = format!("{} was heard through the witness's table: it lives", cx.peer_name());
            self.challenge_broken(why, cx, now);
        }
        let Some(g) = beat.groups.iter().find(|g| g.name == self.name) else {
            // R11: an unknown group still proves that the peer lives, and does not own it.
            if let Role::Owner(o) = &mut self.role {
                o.grounds.peer = o.grounds.peer.max(cx.peer.hears_me);
            }
            return;
        };
        self.yield_hold(g, cx);
        let heard = if bite::off(Clause::PeerGroundFromHearing) { Some(now) } else { cx.peer.hears_me };
        let ignored = bite::off(Clause::EpochHeardIgnored);
        match core::mem::replace(&mut self.role, Role::Standby(Standby::default())) {
            Role::Owner(mut o) => {
                o.grounds.island = None;
                if g.role != BeatRole::Owner && o.rival.take().is_some() && !bite::off(Clause::HigherSilent) {
                    // The other owner has left. It may have announced last.
                    o.announce_now(now);
                }
                if bite::off(Clause::PeerGroundWithoutStandby) {
                    o.grounds.peer = o.grounds.peer.max(heard);
                }
                match g.role {
                    BeatRole::Owner if g.epoch > o.epoch && bite::off(Clause::LowerStays) => {}
                    BeatRole::Owner if g.epoch > o.epoch => {
                        self.seen = self.seen.max(g.epoch);
                        let text = format!("{} owns as well, with the higher epoch {}", cx.peer_name(), g.epoch);
                        self.leave_now(o.epoch, &text, cx, now);
                        return;
                    }
                    BeatRole::Owner if bite::off(Clause::HigherSilent) => {}
                    BeatRole::Owner => {
                        o.rival = Some(now);
                        self.reaffirm(&mut o, cx, now);
                    }
                    BeatRole::Standby if g.epoch <= o.epoch => {
                        o.grounds.peer = o.grounds.peer.max(heard);
                    }
                    BeatRole::Standby | BeatRole::Leaving if bite::off(Clause::EpochNotRaised) => {}
                    BeatRole::Standby | BeatRole::Leaving => {
                        if g.role == BeatRole::Standby || g.epoch > o.epoch {
                            self.seen = self.seen.max(g.epoch);
                            let above = cx.next_epoch(self.seen);
                            if o.raising.is_none_or(|r| r < above) && g.epoch > o.epoch {
                                o.raising = Some(above);
                                cx.dirty = true;
                            }
                        }
                    }
                }
                if g.challenged > self.challenge_ack && o.armed > now {
                    self.challenge_ack = g.challenged;
                    self.reaffirm(&mut o, cx, now);
                }
                if let Some(intent) = g.intent {
                    if let Some(next) = self.answer_owner(&o, intent, g, beat, cx, now) {
                        let (Next::Change(role) | Next::Stay(role)) = next;
                        self.role = role;
                        cx.urgent = true;
                        return;
                    }
                } else {
                    self.refused = None;
                }
                self.role = Role::Owner(o);
            }
            Role::Opening(o) => {
                let epoch = o.epoch;
                self.role = Role::Opening(o);
                if g.role == BeatRole::Owner && (g.gate_open || g.epoch > epoch) {
                    self.seen = self.seen.max(g.epoch);
                    self.leave_now(epoch, "the peer owns", cx, now);
                }
            }
            Role::Standby(s) => {
                // Whatever its role: what it has seen may have died here with an earlier life (R13).
                if !ignored {
                    self.seen = self.seen.max(g.epoch);
                }
                self.role = Role::Standby(s);
            }
            Role::Leaving(l) => {
                self.seen = self.seen.max(if g.role == BeatRole::Owner { g.epoch } else { self.seen });
                self.role = Role::Leaving(l);
            }
        }
    }

    /// An owner answers the peer's intent.
    fn answer_owner(
        &mut self,
        o: &super::role::Owner,
        intent: Intent,
        g: &GroupBeat,
        beat: &Heartbeat,
        cx: &mut Shared,
        now: Mono,
    ) -> Option<Next> {
        let grant = Grant { epoch: intent.epoch, attempt: intent.attempt, incarnation: beat.incarnation };
        if o.offer.is_none() && cx.peer.hears_me.is_none_or(|at| now.since(at) > cx.settings.timing.dead) {
            return None;
        }
        let why = if !g.eligible || (!beat.reachable && cx.witness.reachable) {
            Some(WhyRefused::NotFit)
        } else if cx.grant_forbidden(&self.name) {
            Some(WhyRefused::FilesDiffer)
        } else if intent.epoch <= o.epoch.max(self.seen) && !bite::off(Clause::StaleEpochGranted) {
            Some(WhyRefused::StaleEpoch)
        } else {
            None
        };
        if let Some(why) = why {
            self.refuse(Refused { grant, why }, cx);
            return None;
        }
        self.held_as_before(o);
        self.take_hold(intent, cx, now);
        let text = match o.offer {
            Some(offer) => Why::Offered(offer).words().replace("the peer", "this node"),
            None if intent.commanded => format!("takeover by command on {}", cx.peer_name()),
            None if cx.preferred_node(self.id) == Some(cx.settings.me.other()) => {
                format!("{} is preferred and fit", cx.peer_name())
            }
            None => "it was offered a moment ago".to_string(),
        };
        let text = format!("handed to {}: {text}", cx.peer_name());
        Some(self.leave(o.epoch, Some(grant), Level::Info, text, cx, now))
    }
}
