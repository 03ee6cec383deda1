//! The peer's intent is answered (SAFETY R6): by an owner, by a standby, and what is released is followed until the peer owns it.

use super::bite::{self, Clause};
use super::data::{Data, Epochs, LastChange};
use super::event::{Kind, Level};
use super::heartbeat::{BeatRole, Grant, GroupBeat, Heartbeat, Intent, Offer, Refused, WhyRefused};
use super::id::{Epoch, NodeId};
use super::io::ServiceOrder;
use super::leaving::Left;
use super::role::{Owner, Running, Stage, Standby, Why};
use super::settings::{GRANT_WAITS, Services};
use super::shared::Shared;
use super::time::Mono;
use super::turn::{Next, Turn};
use crate::prelude::*;

impl Standby {
    /// A standby answers the peer's intent: of two intents the higher epoch wins, then preferred, then name.
    pub(super) fn answer(&mut self, intent: Intent, g: &GroupBeat, turn: &mut Turn) {
        let Turn { cx, data, now } = turn;
        let now = *now;
        let Some(incarnation) = cx.peer.incarnation else { return };
        let grant = Grant { epoch: intent.epoch, attempt: intent.attempt, incarnation };
        if data.agreement.released.is_some_and(|(r, ..)| r == grant) {
            return;
        }
        let me = cx.settings.me;
        let preferred = cx.preferred_node(data.id);
        let rank = |epoch, node: NodeId| (epoch, preferred == Some(node), core::cmp::Reverse(node));
        let goes_first =
            self.wish.as_ref().is_some_and(|w| w.stage == Stage::Ask && rank(w.epoch, me) > rank(intent.epoch, me.other()));
        let both = bite::off(Clause::BothIntentsGranted);
        // Who could not serve either refuses nobody who would claim alone: what can be served is served.
        let why = if !g.eligible && (!g.claims || data.accepts(cx, now)) {
            Some(WhyRefused::NotFit)
        } else if cx.fence.is_under_way(now) && !bite::off(Clause::FencesAnOwner) {
            // What serves would be turned off.
            Some(WhyRefused::Fencing)
        } else if cx.grant_forbidden(&data.name) {
            Some(WhyRefused::FilesDiffer)
        } else if goes_first && !both {
            Some(WhyRefused::OtherIntent)
        } else if intent.epoch <= data.epochs.seen && !bite::off(Clause::StaleEpochGranted) {
            Some(WhyRefused::StaleEpoch)
        } else {
            None
        };
        if let Some(why) = why {
            data.refuse(Refused { grant, why }, cx);
            return;
        }
        if data.cold_stopping(cx) && !bite::off(Clause::ColdNotAwaited) {
            return;
        }
        if !data.grantable(intent.epoch, cx, now) {
            return;
        }
        if !bite::off(Clause::GrantKeepsIntent)
            && !both
            && let Some(w) = self.wish.take()
        {
            // † To grant is to withdraw one's own intent for good.
            data.epochs.never_again(w.epoch);
            if data.service.running == Running::Warm {
                data.services(ServiceOrder::Stop, Running::Stopping, cx);
            }
        }
        data.epochs.seen = data.epochs.seen.max(intent.epoch);
        data.agreement.released = Some((grant, None, now));
        data.agreement.refused = None;
        data.take_hold(intent, cx, now);
        cx.urgent = true;
        cx.dirty = true;
    }
}

impl Owner {
    /// An owner answers the peer's intent.
    pub(super) fn answer(&mut self, intent: Intent, g: &GroupBeat, beat: &Heartbeat, turn: &mut Turn) -> Next {
        let Turn { cx, data, now } = turn;
        let now = *now;
        let grant = Grant { epoch: intent.epoch, attempt: intent.attempt, incarnation: beat.incarnation };
        if self.offer.is_none() && cx.peer.hears_me.is_none_or(|at| now.since(at) > cx.settings.timing.dead) {
            return Next::Stay;
        }
        let fit = g.eligible || (g.could_serve() && self.offer == Some(Offer::PublicLost));
        let why = if !fit || (!beat.reachable && cx.witness.reachable) {
            Some(WhyRefused::NotFit)
        } else if cx.fence.is_under_way(now) && !bite::off(Clause::FencesAnOwner) {
            Some(WhyRefused::Fencing)
        } else if cx.grant_forbidden(&data.name) {
            Some(WhyRefused::FilesDiffer)
        } else if data.paused() && self.offer.is_none() && !intent.commanded {
            Some(WhyRefused::Paused)
        } else if intent.epoch <= self.epoch.max(data.epochs.seen) && !bite::off(Clause::StaleEpochGranted) {
            Some(WhyRefused::StaleEpoch)
        } else {
            None
        };
        if let Some(why) = why {
            data.refuse(Refused { grant, why }, cx);
            return Next::Stay;
        }
        if !data.grantable(intent.epoch, cx, now) {
            return Next::Stay;
        }
        data.held_as_before(self);
        data.take_hold(intent, cx, now);
        let text = match self.offer {
            Some(offer) => Why::Offered(offer).words().replace("the peer", "this node"),
            None if intent.commanded => format!("takeover by command on {}", cx.peer_name()),
            None if cx.preferred_node(data.id) == Some(cx.settings.me.other()) => {
                format!("{} is preferred and fit", cx.peer_name())
            }
            None => "it was offered a moment ago".to_string(),
        };
        let text = format!("handed to {}: {text}", cx.peer_name());
        turn.leave(self.epoch, Left::Granted(grant, text))
    }
}

impl Data {
    /// † What is granted is on disk before it is said (SAFETY R13): it mostly was reserved beforehand; else the peer's next heartbeat asks again.
    /// A disk that fails or hangs keeps no peer from serving.
    fn grantable(&mut self, epoch: Epoch, cx: &mut Shared, now: Mono) -> bool {
        let since = self.epochs.grant_waits.filter(|(of, _)| *of == epoch).map_or(now, |(_, since)| since);
        let known = epoch <= Epochs::taken_for_seen(self.epochs.durable, cx);
        let late = cx.disk_failed.is_some() || now.since(since) >= GRANT_WAITS;
        if known || late || bite::off(Clause::GrantNotDurable) {
            self.epochs.grant_waits = None;
            return true;
        }
        // Once: what is on its way to the disk then need not go there again.
        cx.dirty |= self.epochs.grant_waits.replace((epoch, since)).is_none_or(|(of, _)| of != epoch);
        // The least number from which the next one of the peer is this one.
        self.epochs.seen = self.epochs.seen.max(Epoch(epoch.0.saturating_sub(1)));
        false
    }

    fn refuse(&mut self, refused: Refused, cx: &mut Shared) {
        if self.agreement.refused != Some(refused) {
            self.agreement.refused = Some(refused);
            cx.urgent = true;
        }
    }

    /// What was released is owned by the peer now: the move is finished.
    pub(super) fn release_done(&mut self, g: &GroupBeat, idle: bool, cx: &mut Shared, now: Mono) {
        if g.role != BeatRole::Owner {
            return;
        }
        if !bite::off(Clause::EpochHeardIgnored) {
            self.epochs.seen = self.epochs.seen.max(g.epoch);
        }
        let Some((grant, closed, _)) = self.agreement.released else {
            if idle && matches!(self.service.running, Running::Warm | Running::Running) && g.gate_open {
                self.services(ServiceOrder::Stop, Running::Stopping, cx);
            }
            return;
        };
        if g.epoch < grant.epoch || !g.gate_open {
            return;
        }
        self.agreement.released = None;
        let text = match closed.map(|closed| now.since(closed)) {
            None => format!("{} took it, epoch {}: nobody had served", cx.peer_name(), g.epoch),
            Some(gap) => {
                let text = format!("{} -> {}, epoch {}: handed over", cx.me(), cx.peer_name(), g.epoch);
                let cold = cx.services(self.id) == Services::Cold;
                self.people.last_change =
                    Some(LastChange { at: now, text: text.clone(), gap: Some(gap).filter(|_| !cold), told: false });
                let saw = if cold { "the address was away for" } else { "clients saw" };
                format!("{text}; {saw} {gap} at the most")
            }
        };
        cx.note(Level::Info, Some(&self.name), Kind::Move(self.id), text);
        if self.service.running != Running::Stopped {
            self.services(ServiceOrder::Stop, Running::Stopping, cx);
        }
    }
}
