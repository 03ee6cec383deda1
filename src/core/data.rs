//! What a node knows of a group whatever its role in it, by what it is about.

use alloc::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::bite::{self, Clause};
use super::fitness::Failure;
use super::heartbeat::{Grant, Refused};
use super::hold::Hold;
use super::id::{Attempt, Epoch, GroupId, Mac, Name};
use super::io::GroupRecord;
use super::pause::Pause;
use super::role::Running;
use super::shared::Shared;
use super::time::{Mono, Span};
use crate::prelude::*;

/// All of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Data {
    /// The group's place in the settings.
    pub id: GroupId,
    /// Its name.
    pub name: Name,
    /// The numbers of ownerships.
    pub epochs: Epochs,
    /// What people ordered.
    pub commanded: Commanded,
    /// Moves between living nodes.
    pub agreement: Agreement,
    /// The wait before the next challenge.
    pub stand_down: StandDown,
    /// What may be in the witnesses' tables.
    pub table: Table,
    /// The services.
    pub service: Service,
    /// How this node fares with the group.
    pub fitness: Fitness,
    /// What people are shown.
    pub people: ForPeople,
}

/// The numbers of ownerships (SAFETY R13).
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Epochs {
    /// The highest epoch seen, used or withdrawn: a standby stands by for it.
    pub seen: Epoch,
    /// Up to here epochs are reserved on disk for this node.
    pub durable: Epoch,
    /// The grant that waits for the disk, and since when.
    #[serde(default)]
    pub grant_waits: Option<(Epoch, Mono)>,
}

impl Epochs {
    /// What a new life takes for seen, where its record says so much: with what is reserved for this node goes the peer's next number, which
    /// may have been granted just before the end (SAFETY R13).
    pub(super) fn taken_for_seen(recorded: Epoch, cx: &Shared) -> Epoch {
        let nothing = recorded == Epoch(0) || bite::off(Clause::GrantNotDurable);
        if nothing { recorded } else { recorded.next_for(cx.settings.me.other()) }
    }

    /// A released or withdrawn epoch is never used again (SAFETY R6).
    pub(super) fn never_again(&mut self, epoch: Epoch) {
        if !bite::off(Clause::WithdrawnEpochReused) {
            self.seen = self.seen.max(epoch);
        }
    }
}

/// What people ordered (SAFETY R14, R15).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Commanded {
    /// Standby by command.
    pub hold: Option<Hold>,
    /// The highest number of a standby by command that either node has said.
    pub told: u64,
    /// The newest word about a pause.
    #[serde(default)]
    pub pause: Pause,
    /// The standby by command came with a takeover on the peer.
    pub by_move: bool,
    /// A person asked for a takeover here.
    pub takeover: bool,
}

/// Moves between living nodes (SAFETY R6).
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Agreement {
    /// What was released to the peer, until it owns; since when the gate is closed, none when this node had not served; and when it was released.
    pub released: Option<(Grant, Option<Mono>, Mono)>,
    /// The peer's intent that this node will not grant.
    pub refused: Option<Refused>,
    /// No wish before this: one was refused, or the address is somebody's.
    pub wish_after: Option<Mono>,
    /// When the peer gave back what it had taken and could not serve.
    pub given_back: Option<Mono>,
    /// Since when nobody has owned although both nodes are in touch.
    pub ownerless: Option<Mono>,
}

/// The wait before the next challenge, or the next claim of one who was driven out (SAFETY R5).
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct StandDown {
    /// When it ends.
    pub until: Option<Mono>,
    /// Broken challenges in a row.
    pub broken: u32,
    /// When the last one met an owner, or its heartbeats.
    #[serde(default)]
    pub met: Option<Mono>,
}

/// What may be in the witnesses' tables (SAFETY R2, R5).
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Table {
    /// How often this node challenged the peer, or left without handing over: what it wrote may be in the witness's table.
    pub challenged: u64,
    /// The peer's count that was answered by an announcement.
    pub challenge_ack: u64,
    /// The MAC that spoke for the address while the peer served: where the witness's entry belongs.
    pub owner_mac: Option<Mac>,
}

impl Table {
    /// This node may have written: a later owner says when that is overwritten.
    pub(super) fn wrote(&mut self) {
        self.challenged = self.challenged.saturating_add(1);
    }
}

/// The group's services here.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Service {
    /// What runs.
    pub running: Running,
    /// The attempt of the newest order.
    pub attempt: Attempt,
    /// One that does not stop is told again at this instant.
    pub stop_again: Option<Mono>,
    /// The newest failure of one, while it counts.
    pub failure: Option<Failure>,
    /// Since when clients were not served, in a move whose services are still being started here.
    pub away: Option<Mono>,
    /// Why they could not start here, where that is known without a try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub obstacle: Option<String>,
}

impl Default for Service {
    fn default() -> Service {
        Service { running: Running::Stopped, attempt: Attempt(0), stop_again: None, failure: None, away: None, obstacle: None }
    }
}

impl Service {
    /// A service failed on this node.
    pub(super) fn failed(&mut self, now: Mono) {
        self.failure = Some(Failure::following(self.failure, now));
    }
}

/// How this node fares with the group (SAFETY R6, R9).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Fitness {
    /// Since when this node has been fit to serve.
    pub since: Option<Mono>,
    /// Not eligible before this: opening failed.
    pub unfit_until: Option<Mono>,
    /// The newest move to this node whose return path never came, until one does.
    pub no_return: Option<Failure>,
    /// When this node last lost an ownership against its will, the newest last: each lengthens the wait before a failback.
    pub driven_out: VecDeque<Mono>,
}

/// So many losses are remembered.
const LOSSES_KEPT: usize = 8;

impl Fitness {
    /// An ownership was lost against this node's will.
    pub(super) fn lost(&mut self, now: Mono) {
        self.driven_out.push_back(now);
        if self.driven_out.len() > LOSSES_KEPT {
            self.driven_out.pop_front();
        }
    }
}

/// The newest change of owner.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LastChange {
    /// When.
    pub at: Mono,
    /// One line.
    pub text: String,
    /// What clients saw, in a planned move.
    pub gap: Option<Span>,
    /// The line says so already.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub told: bool,
}

/// What people are shown, and nothing is decided by.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ForPeople {
    /// The newest change of owner.
    pub last_change: Option<LastChange>,
    /// The newest refusal.
    pub last_refusal: Option<String>,
    /// The newest refused claim that was logged, and until when it is not logged again.
    pub refusal_told: Option<(String, Mono)>,
    /// The send time of the newest VIP-sourced echo that a majority of witnesses sent back here.
    pub table_proved: Option<Mono>,
    /// A third machine that was heard to have the address, and when last.
    pub stranger: Option<(Mac, Mono)>,
    /// The epoch that the peer was heard to serve with, and since when.
    pub peer_serves: Option<(Epoch, Mono)>,
}

impl ForPeople {
    /// What the record on disk has of it.
    pub(super) fn of(record: Option<&GroupRecord>, now: Mono) -> ForPeople {
        ForPeople {
            last_change: record.and_then(|r| r.last.clone()).filter(|c| c.at <= now),
            peer_serves: record.and_then(|r| r.peer_serves).filter(|(_, at)| *at <= now),
            ..ForPeople::default()
        }
    }
}
