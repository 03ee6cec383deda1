//! A standby's wish to own by agreement (SAFETY R6): whether it has one, and how far it has come.
//!
//! intent with the next epoch -> grant -> gate closed and VIP gone -> `released` -> gate opened on the new owner. The other node's answers:
//! `handover.rs`.

use super::bite::{self, Clause};
use super::data::Data;
use super::deadlines::Due;
use super::event::{Kind, Level};
use super::files::Added;
use super::fitness::LOSS_MEMORY;
use super::grounds::Grounds;
use super::heartbeat::{BeatRole, Grant, GroupBeat, MOST_AGE, Offer};
use super::id::NodeId;
use super::io::{Output, ServiceOrder};
use super::opening::Evidence;
use super::role::{Opening, Running, Stage, Standby, Why, Wish};
use super::settings::{PROBE_GAP, Services};
use super::shared::Shared;
use super::time::{Mono, Span};
use super::timer::Timer;
use super::turn::{Next, Turn};
use crate::prelude::*;

/// Warm services have this long before the move goes on without them.
pub(super) const WARM_LIMIT: Span = Span::secs(20);
/// An intent that nobody grants is withdrawn after this, or three heartbeats, whichever is longer.
const ASK_LIMIT: Span = Span::millis(500);
/// A granted one, whose old owner is still stopping a cold service, after this.
const GRANTED_LIMIT: Span = Span::secs(60);

/// Of two standbys the one whose rank is higher owns: able, reaching the witness, not held, preferred, the first by name.
type Rank = (bool, bool, bool, bool, core::cmp::Reverse<NodeId>);

impl Standby {
    /// A standby in touch with its peer.
    pub(super) fn agree(&mut self, turn: &mut Turn) -> Next {
        let Some(g) = turn.cx.peer.group(&turn.data.name).cloned() else {
            return self.step_alone(turn);
        };
        let now = turn.now;
        let outdated = self.wish.as_ref().and_then(|w| w.outdated(&g, turn.cx, now));
        if let Some(why) = outdated {
            let pause = turn.cx.settings.timing.heartbeat * 10;
            return self.withdraw(why, pause, turn);
        }
        // What nobody was told of yet is not begun in a pause.
        if turn.data.paused() && self.wish.as_ref().is_some_and(|w| w.why == Why::Failback && w.stage != Stage::Ask) {
            let text = format!("no failback: {}", turn.data.pause_words().unwrap_or_default());
            return self.withdraw(text, turn.cx.settings.timing.heartbeat * 10, turn);
        }
        turn.cx.turn_off_stuck(turn.data, &g, now);
        if !turn.cx.in_touch(now) {
            return Next::Stay;
        }
        if let Some(intent) = g.intent {
            self.answer(intent, &g, turn);
        } else {
            turn.data.agreement.refused = None;
        }
        turn.data.release_done(&g, self.wish.is_none(), turn.cx, now);
        if self.wish.is_none()
            && let Some(why) = turn.data.wants(&g, turn.cx, now)
        {
            let (epoch, attempt) = (turn.cx.next_epoch(turn.data.epochs.seen), turn.cx.attempt());
            turn.cx.dirty = true;
            self.wish =
                Some(Wish { epoch, attempt, why, stage: Stage::Reserve, probes: Default::default(), since: now, told: now });
        }
        self.step_wish(&g, turn)
    }

    /// The wish's next stage, up to the kernel's orders.
    fn step_wish(&mut self, g: &GroupBeat, turn: &mut Turn) -> Next {
        let Turn { cx, data, now } = turn;
        let now = *now;
        if cx.shutdown
            && let Some(w) = self.wish.take_if(|w| w.stage != Stage::Ask)
        {
            // Nobody was told of it yet.
            data.epochs.never_again(w.epoch);
        }
        let Some(w) = &mut self.wish else { return Next::Stay };
        let services = cx.services(data.id);
        let hurry = matches!(w.why, Why::Offered(Offer::PublicLost | Offer::ServiceFailed | Offer::NoReturnPath));
        loop {
            match w.stage {
                Stage::Reserve => {
                    if !w.is_durable(data) {
                        return Next::Stay;
                    }
                    w.since = now;
                    if services == Services::Warm && !hurry && data.service.running != Running::Warm && w.why != Why::First {
                        data.service.attempt = cx.attempt();
                        data.service.running = Running::Starting;
                        cx.out.push_back(Output::Services {
                            group: data.id,
                            attempt: data.service.attempt,
                            order: ServiceOrder::Warm,
                        });
                        w.stage = Stage::Warm(data.service.attempt);
                    } else {
                        w.stage =
                            if w.why == Why::First && !bite::off(Clause::FirstClaimUnprobed) { Stage::Probe } else { Stage::Ask };
                        w.told = Mono::ZERO;
                    }
                }
                Stage::Warm(_) => {
                    if data.service.running != Running::Warm && now < w.since + WARM_LIMIT {
                        return Next::Stay;
                    }
                    w.stage = Stage::Ask;
                    w.since = now;
                    w.told = Mono::ZERO;
                }
                Stage::Probe => {
                    if let Some((by, _)) = w.probes.answered {
                        let text = format!("no first claim: {by} answers for the address");
                        return self.withdraw(text, Span::secs(5), turn);
                    }
                    if w.probes.unanswered(now) {
                        w.stage = Stage::Ask;
                        w.since = now;
                        w.told = Mono::ZERO;
                        continue;
                    }
                    if now >= w.probes.next(PROBE_GAP) {
                        w.probes.send(now);
                        cx.out.push_back(Output::Probe { group: data.id });
                    }
                    return Next::Stay;
                }
                Stage::Ask => break,
            }
        }
        if w.is_released(g, cx) {
            let Some(ground) = cx.peer_ground(now) else {
                w.tell(cx, now);
                return Next::Stay;
            };
            match cx.ask_for_added(&data.name, data.id, &mut w.probes, now) {
                Added::Free => {}
                Added::Asking => return Next::Stay,
                Added::Taken(by) => {
                    // Not again at once: each try leaves the group unserved for a moment.
                    data.service.failed(now);
                    data.service.failure.iter_mut().for_each(|f| f.elsewhere = true);
                    let text = format!("not taken: {by} answers for an address that the other node's file does not have");
                    return self.withdraw(text, Span::secs(5), turn);
                }
            }
            let (epoch, why) = (w.epoch, w.why);
            let rtt = cx.links.iter().filter_map(|l| l.rtt).min().unwrap_or_default();
            let gap = (g.closed_for.filter(|_| why != Why::First)).map(|c| c.min(MOST_AGE) + rtt / 2);
            let words = format!("; {} released it", cx.peer_name());
            let grounds = Grounds { peer: Some(ground), ..Grounds::default() };
            return Opening::begin(epoch, Evidence { why, grounds, closed_for: gap, words }, turn);
        }
        if let Some(r) = g.refused.filter(|r| r.grant == w.grant(cx)) {
            let text = format!("{} refuses: {}", cx.peer_name(), r.why.words());
            let pause = cx.settings.timing.heartbeat * 10;
            return self.withdraw(text, pause, turn);
        }
        w.tell(cx, now);
        Next::Stay
    }

    /// Gives the wish up, in words; no new one before `pause` is over.
    pub(super) fn withdraw(&mut self, why: String, pause: Span, turn: &mut Turn) -> Next {
        let Turn { cx, data, now } = turn;
        let now = *now;
        if let Some(w) = self.wish.take() {
            data.epochs.never_again(w.epoch);
        }
        if data.service.running == Running::Warm {
            data.services(ServiceOrder::Stop, Running::Stopping, cx);
        }
        data.commanded.takeover = false;
        data.agreement.wish_after = Some(now + pause);
        cx.dirty = true;
        cx.urgent = true;
        cx.note(Level::Warn, Some(&data.name), Kind::Refused(data.id), why.clone());
        data.people.last_refusal = Some(why);
        Next::Stay
    }
}

impl Wish {
    /// Tells the peer of it, once an echo period, and asks for an answer at once.
    pub(super) fn tell(&mut self, cx: &mut Shared, now: Mono) {
        if now >= self.told + cx.settings.timing.echo_period() {
            self.told = now;
            cx.urgent = true;
            cx.ask = true;
        }
    }

    /// What the peer grants when it grants this wish.
    fn grant(&self, cx: &Shared) -> Grant {
        Grant { epoch: self.epoch, attempt: self.attempt, incarnation: cx.incarnation }
    }

    /// The peer has released what is wished for.
    pub(super) fn is_released(&self, g: &GroupBeat, cx: &Shared) -> bool {
        g.released == Some(self.grant(cx)) || (bite::off(Clause::ReleasedUnnamed) && g.released.is_some())
    }

    /// The epoch is on disk.
    pub(super) fn is_durable(&self, data: &Data) -> bool {
        data.epochs.durable >= self.epoch || bite::off(Clause::EpochNotDurable)
    }

    /// Why an intent that was told is to be withdrawn, whether the peer can be talked to or not.
    fn outdated(&self, g: &GroupBeat, cx: &mut Shared, now: Mono) -> Option<String> {
        if self.stage == Stage::Ask && self.why == Why::First && g.role == BeatRole::Owner {
            return Some(format!("{} owns it by now", cx.peer_name()));
        }
        let (at, limit) = self.outdated_at(g, cx)?;
        (now >= at).then(|| format!("{} did not answer the intent in {limit}", cx.peer_name()))
    }

    /// When an intent that was told has not been answered in time, and how long that is.
    pub(super) fn outdated_at(&self, g: &GroupBeat, cx: &Shared) -> Option<(Mono, Span)> {
        let mine = self.grant(cx);
        if self.stage != Stage::Ask || g.released == Some(mine) {
            return None;
        }
        let limit = if g.granted == Some(mine) { GRANTED_LIMIT } else { ASK_LIMIT.max(cx.settings.timing.heartbeat * 3) };
        Some((self.since + limit, limit))
    }
}

impl Data {
    /// Whether it may own by agreement at this moment, as far as that is its own affair.
    fn fit(&self, g: &GroupBeat, cx: &Shared, now: Mono) -> bool {
        // A person who asks for it here has a reason to try.
        // Where the peer could not serve either, or nobody reaches it from outside, what can be served is served.
        let alone = (g.cannot_serve() && self.lacks(cx)) || (g.role == BeatRole::Owner && g.offer == Some(Offer::PublicLost));
        match self.commanded.takeover {
            _ if alone => self.eligible(cx, now),
            true => self.eligible(cx, now) && self.service.obstacle.is_none(),
            false => self.accepts(cx, now),
        }
    }

    /// What a standby without a wish waits for: when it may have one.
    pub(super) fn wish_deadlines(&self, g: &GroupBeat, cx: &Shared, due: &mut Due) {
        let now = due.last;
        due.at(self.agreement.wish_after, Timer::Wish);
        if !self.fit(g, cx, now)
            || self.agreement.wish_after.is_some_and(|at| now < at)
            || cx.move_forbidden(&self.name).is_some()
        {
            return;
        }
        match g.role {
            BeatRole::Leaving => {}
            BeatRole::Owner => {
                let wanted = g.offer.is_none() && !self.commanded.takeover && cx.preferred(self.id) && !self.paused();
                if wanted && self.commanded.hold.is_none() && g.gate_open {
                    let due_at = |stable| self.fitness.since.map(|fit| self.failback_due(fit, stable));
                    due.at(self.stable(cx, now).and_then(due_at), Timer::Failback);
                    // With a loss forgotten it comes sooner.
                    self.losses(cx).for_each(|at| due.at(at + LOSS_MEMORY, Timer::Failback));
                }
            }
            BeatRole::Standby if self.commanded.takeover => {}
            BeatRole::Standby => {
                if let Some(turn) = self.released_turn(cx) {
                    due.at(turn, Timer::Released);
                    if now < turn {
                        return;
                    }
                }
                due.at(self.agreement.ownerless.map(|since| since + cx.settings.timing.dead * 2), Timer::FirstClaim);
                for end in self.unsettled(g, cx, now).into_iter().flatten() {
                    due.at(end, Timer::FirstClaim);
                }
            }
        }
    }

    /// Until when what was granted to the peer is the peer's to take.
    pub(super) fn released_turn(&self, cx: &Shared) -> Option<Mono> {
        self.agreement.released.map(|(.., at)| at + cx.settings.timing.dead)
    }

    /// Why this node should own, if it should.
    fn wants(&mut self, g: &GroupBeat, cx: &mut Shared, now: Mono) -> Option<Why> {
        let fit = self.fit(g, cx, now);
        if !fit || self.agreement.wish_after.is_some_and(|at| now < at) {
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
                self.agreement.ownerless = None;
                if let Some(offer) = g.offer {
                    // Who reaches no witness either is no better off: what both have lost is no reason to move (R8).
                    let better = reach || (!peer_reach && offer != Offer::PublicLost);
                    return better.then_some(Why::Offered(offer));
                }
                if self.commanded.takeover {
                    return Some(Why::Takeover);
                }
                let stable = self.stable(cx, now)?;
                if !cx.preferred(self.id) || self.commanded.hold.is_some() || self.paused() || !g.gate_open {
                    return None;
                }
                let due = self.failback_due(self.fitness.since?, stable);
                (now >= due).then_some(Why::Failback)
            }
            BeatRole::Standby => {
                if self.commanded.takeover {
                    return Some(Why::Takeover);
                }
                // What was granted to the peer is the peer's to take, for a while.
                if self.released_turn(cx).is_some_and(|turn| now < turn) {
                    return None;
                }
                let since = *self.agreement.ownerless.get_or_insert(now);
                let patience = since + cx.settings.timing.dead * 2;
                let first = self.rank(cx) > self.peers_rank(g, cx, peer_reach);
                let unsettled = self.unsettled(g, cx, now);
                let settled = unsettled.iter().all(Option::is_none);
                ((first && settled) || now >= patience).then_some(Why::First)
            }
        }
    }

    /// Of two standbys that are fit, which one owns.
    fn rank(&self, cx: &Shared) -> Rank {
        let me = cx.settings.me;
        let preferred = cx.preferred_node(self.id) == Some(me);
        let (able, held) = (self.service.obstacle.is_none(), self.commanded.hold.is_some());
        (able, cx.witness.reachable, !held, preferred, core::cmp::Reverse(me))
    }

    /// The same of the peer.
    fn peers_rank(&self, g: &GroupBeat, cx: &Shared, reach: bool) -> Rank {
        let peer = cx.settings.me.other();
        let preferred = cx.preferred_node(self.id) == Some(peer);
        (g.eligible, reach, !g.standby_held, preferred, core::cmp::Reverse(peer))
    }

    /// A node that has just started gives its witness a moment to answer, and a peer that has just started gets it too: of two that
    /// boot together the preferred one owns, not the one whose first echo came back sooner. Until when, for each.
    fn unsettled(&self, g: &GroupBeat, cx: &Shared, now: Mono) -> [Option<Mono>; 2] {
        let peer_reach = cx.peer.said().is_some_and(|b| b.reachable);
        let outranked = self.peers_rank(g, cx, true) > self.rank(cx);
        let until = |waits: bool, since: Mono| Some(since + cx.settings.timing.dead).filter(|end| waits && now < *end);
        [until(!cx.witness.reachable, cx.born), until(!peer_reach && outranked, cx.peer.met)]
    }
}
