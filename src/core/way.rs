//! By which way a claim goes: a challenge that stood, or, where none can, the peer turned off (SAFETY R4.4, R4b).

use super::bite::{self, Clause};
use super::claim::{Open, Verdict};
use super::data::Data;
use super::role::Claim;
use super::shared::Shared;
use super::time::Mono;
use crate::prelude::*;

/// The way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Way {
    /// The challenge stands; the value is the time of the ground that it gives.
    Stood(Mono),
    /// No challenge is possible here: the peer has to be off.
    Fenced,
    /// Not known yet.
    Open,
}

impl Claim {
    /// Which one it is at this moment.
    pub(super) fn way(&self, cx: &Shared, now: Mono) -> Way {
        match &self.challenge {
            Some(c) => match c.verdict(cx.settings.witness.register_majority()) {
                Verdict::Stood(at) if at + cx.lease() > now => Way::Stood(at),
                _ => Way::Open,
            },
            None if cx.fences() && self.unchallengeable(cx) => Way::Fenced,
            None => Way::Open,
        }
    }

    /// No witness's table can carry a challenge.
    pub(super) fn unchallengeable(&self, cx: &Shared) -> bool {
        (!cx.registers() && !bite::off(Clause::ControlIgnored)) || (self.never_took && cx.fences())
    }

    /// Turns the peer off where everything else holds that a claim needs.
    pub(super) fn fence(&self, since: Mono, data: &Data, cx: &mut Shared, now: Mono) {
        let why = match self.way(cx, now) {
            _ if cx.settings.fencing.is_none() => return,
            Way::Stood(_) => "the challenge stood",
            // † Who has never heard its peer is as likely the one that is cut off: two that boot apart would turn each other off in turn.
            Way::Fenced if cx.peer.heard.is_none() && !bite::off(Clause::FencesUnmet) => return,
            Way::Fenced if self.fence_at(since, data, cx).is_none_or(|at| now < at) => return,
            Way::Fenced => "nobody answers for the address, and no witness's table can be challenged",
            Way::Open => return,
        };
        let reach = cx.witness.reachable && cx.witness.own_time(&cx.settings.witness).is_some_and(|at| at > since);
        let (_, _, dead) = data.silence(cx);
        let quiet = self.probes.unanswered(now);
        let fit = data.eligible(cx, now) && !data.cold_stopping(cx) && cx.claim_forbidden(&data.name).is_none();
        if now >= since + dead && reach && quiet && fit {
            let text = format!("silent for {}; the witness answers this node; {why}", now.since(since));
            cx.turn_peer_off(&data.name, &text, now);
        }
    }

    /// From when on it may be turned off where no challenge is possible.
    pub(super) fn fence_at(&self, since: Mono, data: &Data, cx: &Shared) -> Option<Mono> {
        let settings = cx.settings.fencing?;
        let (_, _, dead) = data.silence(cx);
        Some(if cx.first(data.id) { since + dead } else { since + dead + settings.delay })
    }

    /// What is open on this way; none where it is not known yet.
    pub(super) fn open_on_the_way(&self, since: Mono, data: &Data, cx: &Shared, now: Mono) -> Option<Vec<Open>> {
        let way = self.way(cx, now);
        if way == Way::Open {
            return None;
        }
        let quiet = self.probes.unanswered_lately(now)
            || bite::off(Clause::ClaimUnprobed)
            || (bite::off(Clause::ProbesOfAnyAge) && self.probes.unanswered(now));
        let mut open = Vec::new();
        if !quiet {
            let answered = self.probes.answered.filter(|_| way == Way::Fenced && !self.probes.unanswered(now));
            open.push(answered.map_or(Open::Probing, |(by, _)| Open::AddressAnswered(by)));
        }
        if cx.fences() && !cx.fenced_since(since) {
            let waits = self.fence_at(since, data, cx).filter(|at| way == Way::Fenced && now < *at);
            open.push(match waits {
                Some(at) if cx.peer.heard.is_some() => Open::FenceWaits(at.since(now)),
                _ if way == Way::Fenced && cx.peer.heard.is_none() && cx.fence.running.is_none() => Open::FenceUnmet,
                _ => Open::NotFenced(cx.fence_words(now).unwrap_or_default()),
            });
        }
        Some(open)
    }
}
