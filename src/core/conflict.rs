//! Two owners that meet: the higher epoch stays (SAFETY R7).

use super::bite::{self, Clause};
use super::heartbeat::{BeatRole, GroupBeat};
use super::id::Epoch;
use super::leaving::Left;
use super::role::Owner;
use super::turn::{Next, Turn};
use crate::prelude::*;

impl Owner {
    /// What the peer's role and epoch mean to an owner. Says what comes next when it leaves for it.
    pub(super) fn meet(&mut self, said: &GroupBeat, turn: &mut Turn) -> Option<Next> {
        if said.role != BeatRole::Owner && self.rival.take().is_some() && !bite::off(Clause::HigherSilent) {
            // The other owner has left. It may have announced last.
            self.announce_now(turn.now);
        }
        match said.role {
            BeatRole::Owner if said.epoch > self.epoch && bite::off(Clause::LowerStays) => {}
            BeatRole::Owner if said.epoch > self.epoch => {
                turn.data.epochs.seen = turn.data.epochs.seen.max(said.epoch);
                let text = format!("{} owns as well, with the higher epoch {}", turn.cx.peer_name(), said.epoch);
                return Some(turn.leave(self.epoch, Left::Driven(text)));
            }
            BeatRole::Owner if bite::off(Clause::HigherSilent) => {}
            BeatRole::Owner => {
                self.rival = Some(turn.now);
                self.reaffirm(turn);
            }
            BeatRole::Standby if said.epoch <= self.epoch => {}
            BeatRole::Standby | BeatRole::Leaving => self.outdo(said, turn),
        }
        None
    }

    /// The peer has seen a higher epoch than this ownership's: a still higher one is to be on disk, and then used.
    fn outdo(&mut self, said: &GroupBeat, turn: &mut Turn) {
        let higher = said.epoch > self.epoch;
        if bite::off(Clause::EpochNotRaised) || !(said.role == BeatRole::Standby || higher) {
            return;
        }
        turn.data.epochs.seen = turn.data.epochs.seen.max(said.epoch);
        let above = turn.cx.next_epoch(turn.data.epochs.seen);
        if higher && self.raising.is_none_or(|r| r < above) {
            self.raising = Some(above);
            turn.cx.dirty = true;
        }
    }

    /// The higher epoch is on disk.
    pub(super) fn raise(&mut self, epoch: Epoch, turn: &mut Turn) {
        self.raising = None;
        self.epoch = epoch;
        turn.data.epochs.seen = turn.data.epochs.seen.max(epoch);
        self.reaffirm(turn);
    }
}
