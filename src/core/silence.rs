//! Since when the peer has been silent, and how much silence is worth (SAFETY R4.1).

use super::bite::{self, Clause};
use super::data::Data;
use super::id::LinkId;
use super::io::InterfaceState;
use super::shared::Shared;
use super::time::{Mono, Span};

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
        // A machine is turned off for all of its groups: not sooner for one that its file does not have.
        let unproven = cx.peer.unproven_since().map(|met| (met.min(since), suspected, t.init_dead));
        if let Some(late) = unproven.filter(|_| cx.settings.fencing.is_some()) {
            return late;
        }
        if let Some(deaf) = cx.peer.deaf_and_unable_since(&self.name) {
            return (deaf.min(since), t.warn, t.dead);
        }
        if let Some(late) = unproven {
            return late;
        }
        if let Some(cut) = cx.cut_off(since) {
            // Evidence at once; what follows is for it to decide, once the next heartbeat has stayed away too.
            let warn = cut.since(since).min(t.warn);
            return (since, warn, (t.heartbeat + t.delivery + t.echo_period()).max(warn).min(t.dead));
        }
        (since, t.warn, if bite::off(Clause::ClaimAtWarn) { t.warn } else { t.dead })
    }
}

impl Shared {
    /// More than silence: every link beside the public one has lost its carrier, nothing was heard since the last of them did, and the
    /// witness answers this node. That is a machine that lost its power, or all of its cables. Says when that was.
    pub(super) fn cut_off(&self, since: Mono) -> Option<Mono> {
        // Who turns a peer off takes its time.
        if !self.settings.timing.early_claim || self.settings.fencing.is_some() || !self.witness.reachable {
            return None;
        }
        let public = self.settings.witness.link;
        let cables = (0u8..)
            .zip(&self.links)
            .filter(|(id, link)| !link.relay && !link.silent && LinkId(*id) != public)
            .map(|(_, link)| link);
        let mut last = None;
        for link in cables {
            if link.interface != InterfaceState::NoCarrier {
                return None;
            }
            // One that never carried anything says nothing when it goes.
            last = last.max(link.heard.map(|_| link.interface_since));
        }
        last.filter(|cut| *cut >= since || bite::off(Clause::CutOffOutlived))
    }
}
