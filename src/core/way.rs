//! By which way a claim goes: a challenge that stood, or, where none can, the peer turned off (SAFETY R4.4, R4b).

use super::bite::{self, Clause};
use super::claim::{Open, Verdict};
use super::data::{Data, StandDown};
use super::group::Group;
use super::id::Mac;
use super::role::{Claim, Role};
use super::shared::Shared;
use super::time::{Mono, Span};
use crate::prelude::*;

/// Long enough for the order to be told and given, where nothing else is waited for.
const TRIAL_LASTS: Span = Span::secs(2);

/// Twice the longest stand-down.
const MET_LASTS: Span = Span::secs(120);

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

impl Group {
    /// † Its challenge met the peer lately, or may yet, or its probes are answered by the owner: it lives and serves, and is not turned off for another group's sake.
    pub(super) fn meets(&self, cx: &Shared, now: Mono) -> bool {
        let Role::Standby(standby) = &self.role else { return false };
        let asks = standby.claim.as_ref().and_then(|claim| claim.challenge.as_ref());
        let open = asks.is_some_and(|c| c.verdict(cx.settings.witness.register_majority()) == Verdict::Running);
        let answered = standby.claim.as_ref().is_some_and(|claim| claim.is_answered(&self.data, now));
        open || answered || self.data.stand_down.met_until().is_some_and(|until| now < until)
    }
}

impl StandDown {
    /// Until when that counts: longer than the longest wait and the challenge after it.
    pub(super) fn met_until(&self) -> Option<Mono> {
        self.met.map(|at| at + MET_LASTS)
    }
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

    /// The owner answers for the address at this moment, as far as its MAC is known. A hung one does so for a lease at the most.
    fn is_answered(&self, data: &Data, now: Mono) -> bool {
        let owners = |by: Mac| data.table.owner_mac.is_none_or(|known| known == by);
        !self.probes.unanswered(now) && self.probes.answered.is_some_and(|(by, _)| owners(by))
    }

    /// No witness's table can carry a challenge.
    pub(super) fn unchallengeable(&self, cx: &Shared) -> bool {
        (!cx.registers() && !bite::off(Clause::ControlIgnored)) || (self.never_took_at.is_some() && cx.fences())
    }

    /// Until when it counts that no table took a write: a gateway may have pinned its entries, or a switch held back this node's frames,
    /// for a moment alone, and the order may be seconds or minutes away.
    pub(super) fn never_took_until(&self, since: Mono, cx: &Shared) -> Option<Mono> {
        let counts = cx.settings.fencing.is_some() && cx.fence.running.is_none() && !cx.fenced_since(since);
        self.never_took_at.filter(|_| counts && !bite::off(Clause::NeverTookForEver)).map(|at| at + TRIAL_LASTS)
    }

    pub(super) fn trial_is_old(&self, since: Mono, cx: &Shared, now: Mono) -> bool {
        self.never_took_until(since, cx).is_some_and(|until| now >= until)
    }

    /// Turns the peer off where everything else holds that a claim needs.
    pub(super) fn fence(&self, since: Mono, data: &Data, cx: &mut Shared, now: Mono) {
        let why = match self.way(cx, now) {
            _ if cx.settings.fencing.is_none() || cx.fence.met => return,
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
            cx.tell_and_turn_peer_off(&data.name, since, &text, now);
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
                _ if cx.fence.met => Open::PeerServes,
                Some(at) if cx.peer.heard.is_some() => Open::FenceWaits(at.since(now)),
                _ if way == Way::Fenced && cx.peer.heard.is_none() && cx.fence.running.is_none() => Open::FenceUnmet,
                _ => Open::NotFenced(cx.fence_words(now).unwrap_or_default()),
            });
        }
        Some(open)
    }
}

#[cfg(test)]
mod tests {
    use super::super::id::{LinkId, NodeId};
    use super::super::settings::{FencingSettings, LinkSettings, Settings, Timing, WitnessSettings};
    use super::*;

    #[test]
    fn what_the_files_forbid_is_no_reason_to_turn_the_peer_off() {
        let interval = Span::millis(200);
        let witness = WitnessSettings {
            link: LinkId(0),
            targets: 1,
            arp_only: 0,
            names: 0,
            interval,
            fall: 3,
            rise: 5,
            island_hold: false,
        };
        let settings = Settings {
            cluster: "web".into(),
            me: NodeId(0),
            nodes: ["a".into(), "b".into()],
            digest: 1,
            links: vec![LinkSettings { name: "lan".into(), relay: false, silent: false }],
            witness,
            timing: Timing::SECOND,
            groups: Vec::new(),
            groups_in_beat: usize::MAX,
            fencing: Some(FencingSettings { delay: Span::secs(5), takes: Span::secs(5) }),
        };
        let mut cx = Shared::new(settings, Mono::ZERO);
        let told = Claim { never_took: true, ..Claim::default() };
        assert!(!told.unchallengeable(&cx), "no challenge was asked: that the claim is forbidden was merely told");
        let tried = Claim { never_took_at: Some(Mono::ZERO), ..told };
        assert!(tried.unchallengeable(&cx));
        let until = tried.never_took_until(Mono::ZERO, &cx).unwrap();
        assert!(!tried.trial_is_old(Mono::ZERO, &cx, until.back(Span(1))) && tried.trial_is_old(Mono::ZERO, &cx, until));
        cx.settings.fencing = None;
        assert!(!tried.unchallengeable(&cx), "nothing would come in the challenge's place");
    }
}
