//! Gate and address are being made for an epoch that is on disk (SAFETY R1, R4, R6).

use super::data::{Data, LastChange};
use super::event::{Kind, Level};
use super::fitness::UNFIT;
use super::grounds::Grounds;
use super::heartbeat::{BeatRole, GroupBeat, Offer};
use super::id::{Attempt, Epoch};
use super::io::{AddressOrder, AddressReport, GateOrder, GateReport, Output, ServiceOrder};
use super::leaving::Left;
use super::owner::lifetime;
use super::role::{Opening, Owner, Role, Running, Why};
use super::settings::Services;
use super::shared::Shared;
use super::time::Span;
use super::turn::{Next, Turn};
use crate::prelude::*;

/// What a claim or an agreement has shown.
pub(super) struct Evidence {
    /// Why this node is to own.
    pub why: Why,
    /// The grounds to begin with.
    pub grounds: Grounds,
    /// What the peer's gate was closed for when it said `released`, and half a round trip.
    pub closed_for: Option<Span>,
    /// In words, behind the reason.
    pub words: String,
}

impl Opening {
    /// Orders gate and address for an epoch that is on disk.
    pub(super) fn begin(epoch: Epoch, evidence: Evidence, turn: &mut Turn) -> Next {
        let Turn { cx, data, now } = turn;
        let Evidence { why, grounds, closed_for, words } = evidence;
        let lease = cx.lease();
        let armed = grounds.newest().map_or(*now, |g| g + lease);
        let (generation, attempt) = (cx.number(), cx.attempt());
        data.epochs.seen = data.epochs.seen.max(epoch);
        data.agreement.released = None;
        data.agreement.refused = None;
        cx.out.push_back(Output::Address { group: data.id, attempt, order: AddressOrder::Add(lifetime(lease)) });
        cx.out.push_back(Output::Gate { group: data.id, generation, order: GateOrder::Open(armed) });
        Next::Change(Role::Opening(Opening {
            epoch,
            attempt,
            generation,
            why,
            grounds,
            armed,
            gate: false,
            address: false,
            since: *now,
            closed_for,
            evidence: words,
        }))
    }

    /// Waits for the kernel's word on both.
    pub(super) fn step(&mut self, turn: &mut Turn) -> Next {
        let now = turn.now;
        if now >= self.armed {
            turn.data.fitness.unfit_until = Some(now + turn.cx.settings.timing.dead);
            return turn.leave(self.epoch, Left::Driven("gate and address did not come up in time".into()));
        }
        if !(self.gate && self.address) {
            return Next::Stay;
        }
        let Turn { cx, data, .. } = turn;
        let gap = data.back_after(self.why, now).or(self.closed_for.map(|c| c + now.since(self.since)));
        // What does not run yet refuses clients: for them it is over with the services' start.
        let runs = cx.services(data.id) == Services::None || matches!(data.service.running, Running::Warm | Running::Running);
        data.service.away = gap.filter(|_| !runs).map(|gap| now.back(gap));
        let seen = gap.map(|gap| match runs {
            true => format!("; clients saw {gap}"),
            false => format!("; the address was away for {gap}, the services start now"),
        });
        let (gap, seen) = (gap.filter(|_| runs), seen.unwrap_or_default());
        let evidence = core::mem::take(&mut self.evidence);
        let text = format!("{} SERVES, epoch {}: {}{evidence}{seen}", cx.me(), self.epoch, self.why.words());
        cx.note(Level::Info, Some(&data.name), Kind::Owner(data.id, self.epoch), text.clone());
        data.people.last_change = Some(LastChange { at: now, text, gap, told: gap.is_some() });
        data.commanded.takeover = false;
        data.services(ServiceOrder::Start(self.epoch), Running::Starting, cx);
        cx.dirty = true;
        let mut owner = Owner::new(self.epoch, self.grounds, self.armed, cx, now);
        // A challenge that stood is a return path.
        owner.proven = self.why == Why::Claimed;
        owner.awaited = self.why == Why::Offered(Offer::Standby);
        match self.why {
            Why::Takeover => owner.former = data.commanded.hold.take(),
            Why::Offered(Offer::NoReturnPath) => data.taken_back(cx, now),
            _ => {}
        }
        Next::Change(Role::Owner(owner))
    }

    /// A new heartbeat: who owns already, or with a higher epoch, goes first (SAFETY R7).
    pub(super) fn hear(&mut self, said: &GroupBeat, turn: &mut Turn) -> Next {
        if said.role == BeatRole::Owner && (said.gate_open || said.epoch > self.epoch) {
            turn.data.epochs.seen = turn.data.epochs.seen.max(said.epoch);
            return turn.leave(self.epoch, Left::Driven("the peer owns".into()));
        }
        Next::Stay
    }

    /// The kernel's word on a gate order.
    pub(super) fn gate(&mut self, generation: u64, report: &GateReport, turn: &mut Turn) -> Next {
        match report {
            _ if self.generation != generation => {}
            GateReport::Opened | GateReport::Renewed => self.gate = true,
            other => {
                // As soon as the kernel makes gates again this node is as fit as before.
                let ends = matches!(other, GateReport::Unguarded(_)).then_some(turn.data.fitness.unfit_until);
                let next = self.failed(format!("the gate does not open: {other:?}"), turn);
                turn.data.fitness.unfit_until = ends.unwrap_or(turn.data.fitness.unfit_until);
                return next;
            }
        }
        Next::Stay
    }

    /// The kernel's word on an address order.
    pub(super) fn address(&mut self, attempt: Attempt, report: &AddressReport, turn: &mut Turn) -> Next {
        match report {
            _ if self.attempt != attempt => turn.data.address_failed(report, turn.cx),
            AddressReport::Added => self.address = true,
            AddressReport::Partly(gone) => {
                self.address = true;
                turn.cx.note(Level::Warn, Some(&turn.data.name), Kind::Host, format!("not served, {gone}"));
            }
            other => return self.failed(format!("the address cannot be added: {other:?}"), turn),
        }
        Next::Stay
    }

    /// Gate and address did not come up.
    pub(super) fn failed(&self, why: String, turn: &mut Turn) -> Next {
        turn.data.fitness.unfit_until = Some(turn.now + UNFIT);
        turn.leave(self.epoch, Left::Driven(why))
    }
}

impl Data {
    /// An order that nobody waits for failed: a line for people.
    pub(super) fn address_failed(&self, report: &AddressReport, cx: &mut Shared) {
        if let AddressReport::Failed(reason) = report {
            cx.note(Level::Warn, Some(&self.name), Kind::Host, format!("address: {reason}"));
        }
    }
}
