//! What a node says of a group in its heartbeats.

use super::group::Group;
use super::heartbeat::{BeatRole, GroupBeat, Intent, MOST_AGE};
use super::ready::Unfit;
use super::role::{Role, Stage, Why};
use super::shared::Shared;
use super::time::{Mono, Span};

impl Group {
    /// What this node says of the group.
    pub fn beat(&self, cx: &Shared, now: Mono) -> GroupBeat {
        let mut beat = GroupBeat {
            name: self.data.name.clone(),
            vips: cx.vips.get(usize::from(self.data.id.0)).map(|(_, vips)| *vips).unwrap_or_default(),
            role: BeatRole::Standby,
            epoch: self.data.epochs.seen,
            gate_open: false,
            eligible: self.data.accepts(cx, now) || (self.data.commanded.takeover && self.data.tries(cx, now)),
            claims: self.data.eligible(cx, now),
            unfit: self.data.unfit(cx, now).map(|u| Unfit { left: Span::secs(u.left.as_millis().div_ceil(1000)), ..u }),
            unproven: self.unproven(cx),
            standby_held: self.data.commanded.hold.is_some(),
            told: self.data.commanded.hold.as_ref().map_or(self.data.commanded.told, |h| h.told),
            pause: self.data.commanded.pause.beat(now),
            offer: None,
            intent: None,
            granted: None,
            released: self.data.agreement.released.map(|(g, ..)| g),
            closed_for: self
                .data
                .agreement
                .released
                .and_then(|(_, closed, _)| closed)
                .map(|closed| now.since(closed).min(MOST_AGE)),
            refused: self.data.agreement.refused,
            challenged: self.data.table.challenged,
            challenge_ack: self.data.table.challenge_ack,
        };
        match &self.role {
            Role::Standby(s) => {
                beat.intent = s.wish.as_ref().filter(|w| w.stage == Stage::Ask).map(|w| Intent {
                    epoch: w.epoch,
                    attempt: w.attempt,
                    commanded: w.why == Why::Takeover,
                });
            }
            Role::Opening(o) => (beat.role, beat.epoch) = (BeatRole::Owner, o.epoch),
            Role::Owner(o) => {
                (beat.role, beat.epoch, beat.offer) = (BeatRole::Owner, o.epoch, o.offer);
                beat.gate_open = o.armed > now;
            }
            Role::Leaving(l) => (beat.role, beat.epoch, beat.granted) = (BeatRole::Leaving, l.epoch, l.to),
        }
        beat
    }
}
