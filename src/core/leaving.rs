//! An ownership ends: gate, address, service, in this order (SAFETY R3, R6).

use super::bite::{self, Clause};
use super::data::LastChange;
use super::event::{Kind, Level};
use super::heartbeat::{BeatRole, Grant, GroupBeat};
use super::id::{Attempt, Epoch};
use super::io::{AddressOrder, AddressReport, GateOrder, GateReport, Output, ServiceOrder};
use super::role::{Leaving, Role, Running, Standby};
use super::settings::Services;
use super::time::{Mono, Span};
use super::turn::{Next, Turn};
use crate::prelude::*;

/// An unconfirmed kernel order is given again after this.
pub(super) const AGAIN: Span = Span::millis(500);

/// Why an ownership ends.
pub(super) enum Left {
    /// It was granted to the peer.
    Granted(Grant, String),
    /// Against this node's will.
    Driven(String),
}

impl Turn<'_> {
    /// Ends an ownership.
    pub(super) fn leave(&mut self, epoch: Epoch, left: Left) -> Next {
        let Turn { cx, data, now } = self;
        let (to, driven, why) = match left {
            Left::Granted(grant, why) => (Some(grant), false, why),
            Left::Driven(why) => (None, true, why),
        };
        let level = if driven { Level::Error } else { Level::Info };
        let text = format!("{} LEAVES, epoch {epoch}: {why}", cx.me());
        cx.note(level, Some(&data.name), Kind::Left(data.id, epoch), text.clone());
        data.people.last_change = Some(LastChange { at: *now, text, gap: None, told: false });
        data.service.away = None;
        if driven {
            data.fitness.lost(*now);
        }
        if to.is_none() {
            // What this node announced or its kernel answered may still be in the witness's table: a later owner says when it is not.
            data.table.wrote();
        }
        let cold = cx.services(data.id) == Services::Cold;
        let leaving = Leaving::new(epoch, to, to.is_some() && cold, self);
        if to.is_none() || cold {
            self.data.services(ServiceOrder::Stop, Running::Stopping, self.cx);
        }
        self.cx.dirty = true;
        Next::Change(Role::Leaving(leaving))
    }
}

impl Leaving {
    /// Orders gate and address away. `cold`: a service must have stopped before `released`.
    pub(super) fn new(epoch: Epoch, to: Option<Grant>, cold: bool, turn: &mut Turn) -> Leaving {
        let Turn { cx, data, now } = turn;
        let (generation, attempt) = (cx.number(), cx.attempt());
        cx.out.push_back(Output::Gate { group: data.id, generation, order: GateOrder::Close });
        cx.out.push_back(Output::Address { group: data.id, attempt, order: AddressOrder::Remove });
        Leaving { epoch, generation, attempt, to, gate_closed: false, address_gone: false, cold, since: *now, ordered: *now }
    }

    /// Waits for the kernel's word, and for a cold service.
    pub(super) fn step(&mut self, turn: &mut Turn) -> Next {
        let now = turn.now;
        let gone = self.gate_closed && self.address_gone;
        let stopped = !self.cold || turn.data.service.running == Running::Stopped || bite::off(Clause::ColdNotAwaited);
        if (gone || bite::off(Clause::ReleasedEarly)) && stopped {
            if let Some(grant) = self.to {
                // R6 †: only after the kernel's own word.
                turn.data.epochs.seen = turn.data.epochs.seen.max(grant.epoch);
                turn.data.agreement.released = Some((grant, Some(self.since), now));
            }
            return Next::Change(Role::Standby(Standby::default()));
        }
        if now >= self.ordered + AGAIN && !gone {
            let again = Leaving::new(self.epoch, self.to, self.cold, turn);
            *self = Leaving { since: self.since, ..again };
        }
        Next::Stay
    }

    /// A new heartbeat.
    pub(super) fn hear(&mut self, said: &GroupBeat, turn: &mut Turn) -> Next {
        if said.role == BeatRole::Owner {
            turn.data.epochs.seen = turn.data.epochs.seen.max(said.epoch);
        }
        Next::Stay
    }

    /// The kernel's word on a gate order.
    pub(super) fn gate(&mut self, generation: u64, report: &GateReport, turn: &mut Turn) -> Next {
        match report {
            _ if self.generation != generation => {}
            GateReport::Failed(reason) => {
                let text = format!("the gate does not close: {reason}; it closes by itself");
                turn.cx.note(Level::Error, Some(&turn.data.name), Kind::Host, text);
            }
            // Where the kernel makes no gate there is none to close: that the address goes is what counts.
            _ => self.gate_closed = true,
        }
        Next::Stay
    }

    /// The kernel's word on an address order.
    pub(super) fn address(&mut self, attempt: Attempt, report: &AddressReport, turn: &mut Turn) -> Next {
        match report {
            _ if self.attempt != attempt => turn.data.address_failed(report, turn.cx),
            AddressReport::Removed => self.address_gone = true,
            other => {
                let text = format!("the address cannot be removed: {other:?}; the gate is closed");
                turn.cx.note(Level::Error, Some(&turn.data.name), Kind::Host, text);
            }
        }
        Next::Stay
    }

    /// A foreign hand took the gate's table: the orders are given again at once.
    pub(super) fn table_gone(&mut self) -> Next {
        self.ordered = Mono::ZERO;
        self.gate_closed = false;
        Next::Stay
    }
}
