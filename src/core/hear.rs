//! A new heartbeat of the peer, over a link or by the witness's table: what it means whatever the role, then to each role.

use alloc::sync::Arc;

use super::bite::{self, Clause};
use super::data::Data;
use super::group::Group;
use super::heartbeat::{BeatRole, GroupBeat, Heartbeat, Verified};
use super::role::{Owner, Role, Standby};
use super::shared::Shared;
use super::time::Mono;
use super::turn::{Next, Turn};
use crate::prelude::*;

impl Group {
    /// Takes one in.
    pub fn heard(&mut self, beat: &Arc<Verified<Heartbeat>>, by_table: bool, cx: &mut Shared, now: Mono) {
        let beat = beat.get();
        let said = beat.groups.iter().find(|g| g.name == self.data.name);
        // Another part speaks of it, or may.
        if said.is_none() && !beat.part.is_whole() && !cx.peer.lacks(&self.data.name) {
            return;
        }
        self.data.note_serving(said, now);
        let (since, warn, _) = self.data.silence(cx);
        let counts = now < since + warn;
        if (!by_table || bite::off(Clause::TableBeatEndsStandDown)) && counts {
            self.data.forget_stand_down();
        }
        self.take(cx, now, |role, turn| {
            if let (true, Role::Standby(standby)) = (by_table, &mut *role) {
                standby.heard_by_table(said, counts, beat, turn);
            }
            let Some(said) = said else {
                // R11: an unknown group still proves that the peer lives, and does not own it.
                if let Role::Owner(owner) = role {
                    owner.grounds.hear_peer(None, owner.epoch, turn.cx.peer.hears_me, now);
                }
                return Next::Stay;
            };
            turn.data.yield_hold(said, turn.cx);
            turn.data.hear_pause(said, turn.cx, turn.now);
            match role {
                Role::Standby(standby) => standby.hear(said, turn),
                Role::Opening(opening) => opening.hear(said, turn),
                Role::Owner(owner) => owner.hear(said, beat, turn),
                Role::Leaving(leaving) => leaving.hear(said, turn),
            }
        });
    }
}

impl Data {
    /// Since when the peer serves, and with which epoch, for people.
    fn note_serving(&mut self, said: Option<&GroupBeat>, now: Mono) {
        let serves = said.filter(|g| g.role == BeatRole::Owner && g.gate_open);
        if let Some(g) = serves
            && self.people.peer_serves.is_none_or(|(epoch, _)| epoch != g.epoch)
        {
            self.people.peer_serves = Some((g.epoch, now));
        }
    }
}

impl Standby {
    /// A standby takes note of the highest epoch.
    fn hear(&mut self, said: &GroupBeat, turn: &mut Turn) -> Next {
        // Whatever the peer's role: what it has seen may have died here with an earlier life (R13).
        if !bite::off(Clause::EpochHeardIgnored) {
            turn.data.epochs.seen = turn.data.epochs.seen.max(said.epoch);
        }
        Next::Stay
    }

    /// Heard through the table that this node wrote: the challenge met somebody, and is as broken as by a defence.
    fn heard_by_table(&mut self, said: Option<&GroupBeat>, counts: bool, beat: &Heartbeat, turn: &mut Turn) {
        // An order cannot be called back: the echoes go on, so that the peer is told in its turn.
        if turn.cx.fence.tells(turn.now) {
            return;
        }
        let written = self.claim.as_ref().and_then(|c| c.challenge.as_ref()).is_some_and(|c| c.written());
        // Not by the echoes of a deaf standby that has begun a challenge of its own: it objects to nothing.
        let objects =
            said.is_none_or(|g| g.role != BeatRole::Standby || g.gate_open) || counts || bite::off(Clause::DeafStandbyObjects);
        if written && turn.cx.lets_itself_be_fenced(beat, turn.now) {
            let why = format!("{} says through the witness's table that it turns this node off", turn.cx.peer_name());
            self.stood_down(why, turn);
        } else if written && objects {
            turn.data.stand_down.met = Some(turn.now);
            let why = format!("{} was heard through the witness's table: it lives", turn.cx.peer_name());
            self.stood_down(why, turn);
        }
    }
}

impl Owner {
    /// An owner: a ground, another owner, a challenge that was owned up to, an intent.
    fn hear(&mut self, said: &GroupBeat, beat: &Heartbeat, turn: &mut Turn) -> Next {
        self.grounds.hear_peer(Some(said), self.epoch, turn.cx.peer.hears_me, turn.now);
        if let Some(next) = self.meet(said, turn) {
            return next;
        }
        if said.challenged > turn.data.table.challenge_ack && self.armed > turn.now {
            turn.data.table.challenge_ack = said.challenged;
            self.reaffirm(turn);
        }
        match said.intent {
            Some(intent) => self.answer(intent, said, beat, turn),
            None => {
                turn.data.agreement.refused = None;
                Next::Stay
            }
        }
    }
}
