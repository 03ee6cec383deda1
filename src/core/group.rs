//! A group on this node: its role, and what every role has in common.

use alloc::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::bite::{self, Clause};
use super::event::{Kind, Level};
use super::fitness::{Failure, UNFIT};
use super::grounds::{Defence, Grounds};
use super::heartbeat::{Grant, Offer, Refused};
use super::hold::Hold;
use super::id::{Attempt, Epoch, GroupId, Mac, Name};
use super::io::{AddressOrder, GateOrder, GroupRecord, Output, ServiceOrder, StandbyHold};
use super::owner::lifetime;
use super::role::{Leaving, Opening, Owner, Role, Running, Standby, Why};
use super::settings::Services;
use super::shared::Shared;
use super::time::{Mono, Span};
use super::witness::Series;
use crate::prelude::*;

/// An unconfirmed kernel order is given again after this.
const AGAIN: Span = Span::millis(500);

/// What a step leads to.
pub(super) enum Next {
    /// The role stays, perhaps with other data.
    Stay(Role),
    /// Another role: to be stepped at once.
    Change(Role),
}

/// The newest change of owner, for people.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LastChange {
    /// When.
    pub at: Mono,
    /// One line.
    pub text: String,
    /// What clients saw, in a planned move.
    pub gap: Option<Span>,
}

/// One group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Group {
    /// Its place in the settings.
    pub id: GroupId,
    /// Its name.
    pub name: Name,
    /// What this node is in it.
    pub role: Role,
    /// The highest epoch seen, used or withdrawn: a standby stands by for it.
    pub seen: Epoch,
    /// Up to here epochs are reserved on disk for this node.
    pub durable: Epoch,
    /// Standby by command.
    pub hold: Option<Hold>,
    /// The highest number of a standby by command that either node has said.
    #[serde(default)]
    pub told: u64,
    /// The services.
    pub running: Running,
    /// A service that does not stop is told again at this instant.
    pub stop_again: Option<Mono>,
    /// The attempt of the newest service order.
    pub service_attempt: Attempt,
    /// What was released to the peer, until it owns; since when the gate is closed, none when this node had not served; and when it was released.
    pub released: Option<(Grant, Option<Mono>, Mono)>,
    /// Since when clients were not served, in a move whose services are still being started here.
    #[serde(default)]
    pub away: Option<Mono>,
    /// The peer's intent that this node will not grant.
    pub refused: Option<Refused>,
    /// How often this node challenged the peer, or left without handing over: what it wrote may be in the witness's table. And what of
    /// the peer's it announced for.
    pub challenged: u64,
    /// The peer's count that was answered by an announcement.
    pub challenge_ack: u64,
    /// The stand-down after a broken challenge.
    pub stand_down: Option<Mono>,
    /// Broken challenges in a row.
    pub broken: u32,
    /// Since when this node has been fit to serve.
    pub fit_since: Option<Mono>,
    /// Not eligible before this: opening failed.
    pub unfit_until: Option<Mono>,
    /// The newest failure of a service here, while it counts.
    pub failure: Option<Failure>,
    /// No wish before this: one was refused, or the address is somebody's.
    pub wish_after: Option<Mono>,
    /// The newest move to this node whose return path never came, until one does (SAFETY R6).
    #[serde(default)]
    pub no_return: Option<Failure>,
    /// When the peer gave back what it had taken and could not serve.
    #[serde(default)]
    pub given_back: Option<Mono>,
    /// The standby by command came with a takeover on the peer.
    #[serde(default)]
    pub held_by_move: bool,
    /// A person asked for a takeover here.
    pub takeover: bool,
    /// Since when nobody has owned although both nodes are in touch.
    pub ownerless: Option<Mono>,
    /// When this node last lost an ownership against its will, the newest last: each lengthens the wait before a failback (R9).
    pub driven_out: VecDeque<Mono>,
    /// For people.
    pub last_change: Option<LastChange>,
    /// The newest refusal, for people.
    pub last_refusal: Option<String>,
    /// The newest refused claim that was logged, and until when it is not logged again.
    #[serde(default)]
    pub refusal_told: Option<(String, Mono)>,
    /// The send time of the newest VIP-sourced echo that a majority of witnesses sent back here, for people.
    pub table_proved: Option<Mono>,
    /// A third machine that was heard to have the address, and when last, for people.
    #[serde(default)]
    pub stranger: Option<(Mac, Mono)>,
    /// The MAC that spoke for the address while the peer served: where the witness's entry belongs.
    pub owner_mac: Option<Mac>,
    /// The epoch that the peer was heard to serve with, and since when, for people.
    pub peer_serves: Option<(Epoch, Mono)>,
}

impl Group {
    /// A group as the record and the kernel have it. Returns the group; orders that sweep go to `cx`.
    pub fn start(
        id: GroupId,
        record: Option<&GroupRecord>,
        gate: Option<Mono>,
        address: bool,
        running: bool,
        cx: &mut Shared,
        now: Mono,
    ) -> Group {
        let name = cx.group_name(id);
        let epoch = record.map_or(Epoch(0), |r| r.epoch);
        let mut group = Group {
            id,
            name,
            role: Role::Standby(Standby::default()),
            seen: epoch,
            durable: epoch,
            hold: record.and_then(|r| r.standby.as_ref()).map(|h| Hold {
                until: h.left.map(|l| now + l),
                reason: h.reason.clone(),
                told: h.told,
            }),
            told: record.and_then(|r| r.standby.as_ref()).map_or(0, |h| h.told),
            running: Running::Stopped,
            stop_again: None,
            service_attempt: Attempt(0),
            released: None,
            away: None,
            refused: None,
            challenged: 0,
            challenge_ack: 0,
            stand_down: None,
            broken: 0,
            fit_since: None,
            unfit_until: None,
            failure: None,
            no_return: None,
            given_back: None,
            held_by_move: false,
            wish_after: None,
            takeover: false,
            ownerless: None,
            driven_out: VecDeque::new(),
            last_change: record.and_then(|r| r.last.clone()).filter(|c| c.at <= now),
            last_refusal: None,
            refusal_told: None,
            table_proved: None,
            stranger: None,
            owner_mac: None,
            peer_serves: record.and_then(|r| r.peer_serves).filter(|(_, at)| *at <= now),
        };
        let gate = match gate.filter(|until| *until > now) {
            Some(_) if bite::off(Clause::HotRestartSweeps) => None,
            None if bite::off(Clause::RecordBelieved) => {
                let (generation, until) = (cx.number(), now + cx.lease());
                cx.out.push_back(Output::Gate { group: id, generation, order: GateOrder::Open(until) });
                Some(until)
            }
            gate => gate,
        };
        match (gate, record.and_then(|r| r.owned)) {
            (Some(until), Some(owned)) => {
                // R10, hot restart: the open gate is the proof; it is renewed by new grounds only.
                let mut o = group.owner(owned, Grounds::default(), until, cx, now);
                (o.hot, o.proven) = (true, true);
                if cx.next_epoch(owned) == epoch {
                    // What is on disk above it was reserved and not used: the next one is still that one. Were it taken for seen, the
                    // peer's next intent would be refused for an epoch that nobody ever said.
                    group.seen = owned;
                } else {
                    // Something higher was seen or used: this node says so at once, by owning with what is reserved above it (R7).
                    o.raising = Some(epoch);
                }
                group.role = Role::Owner(o);
                // What is left of the addresses' lifetime is not known; one that a foreign hand took meanwhile is put back.
                let (attempt, order) = (cx.attempt(), AddressOrder::Add(lifetime(cx.lease())));
                cx.out.push_back(Output::Address { group: id, attempt, order });
                if !address {
                    cx.note(Level::Warn, Some(&group.name), Kind::Host, "its address was gone: put back");
                }
                let text = format!("found its gate open for {} more: goes on as the owner of epoch {owned}", until.since(now));
                cx.note(Level::Info, Some(&group.name), Kind::Reaffirmed(id, owned), text);
                group.services(ServiceOrder::Start(owned), Running::Starting, cx);
                cx.urgent = true;
                cx.ask = true;
            }
            _ => {
                if address {
                    cx.note(Level::Warn, Some(&group.name), Kind::Host, "an address of an earlier life was still there: removed");
                }
                let role = group.closing(epoch, None, false, cx, now);
                group.role = Role::Leaving(role);
                if running && cx.services(id) != Services::None {
                    group.services(ServiceOrder::StopCold, Running::Stopping, cx);
                }
            }
        }
        group
    }

    /// What is to be on disk.
    pub fn record(&self, cx: &Shared, now: Mono) -> GroupRecord {
        let (owned, used) = match &self.role {
            Role::Owner(o) => (Some(o.epoch), o.raising.unwrap_or(o.epoch)),
            Role::Opening(o) => (Some(o.epoch), o.epoch),
            Role::Standby(Standby { wish: Some(w), .. }) => (Some(w.epoch), w.epoch),
            Role::Standby(_) | Role::Leaving(_) => (None, Epoch(0)),
        };
        // The next one is reserved beforehand, so that the disk is not in the way of a claim (R13).
        let reserve = cx.next_epoch(self.seen.max(used));
        GroupRecord {
            name: self.name.clone(),
            epoch: reserve,
            owned: owned.or(Some(reserve)),
            peer_lease: if bite::off(Clause::PeerLeaseForgotten) { Span::ZERO } else { cx.peer.lease },
            acked_lease: cx.acked_lease,
            last: self.last_change.clone(),
            peer_serves: self.peer_serves,
            standby: self.hold.as_ref().filter(|_| !bite::off(Clause::HoldNotKept)).map(|h| StandbyHold {
                left: h.until.map(|u| u.since(now)),
                reason: h.reason.clone(),
                told: h.told,
            }),
        }
    }

    /// A released or withdrawn epoch is never used again (SAFETY R6).
    pub(super) fn never_again(&mut self, epoch: Epoch) {
        if !bite::off(Clause::WithdrawnEpochReused) {
            self.seen = self.seen.max(epoch);
        }
    }

    /// Steps until nothing changes any more.
    pub fn step(&mut self, cx: &mut Shared, now: Mono) {
        if self.hold.as_ref().and_then(|h| h.until).is_some_and(|at| now >= at) {
            self.hold = None;
            cx.dirty = true;
        }
        if let Some(at) = self.hold.as_ref().and_then(|h| h.until) {
            cx.wake(at);
        }
        cx.dirty |= self.durable < cx.next_epoch(self.seen);
        if let (Running::Stuck(_), Some(at)) = (&self.running, self.stop_again) {
            if now >= at {
                self.services(ServiceOrder::Stop, Running::Stopping, cx);
            }
            cx.wake(at);
        }
        for at in self.failure.iter().filter(|f| !f.runs_again).flat_map(|f| [f.at + UNFIT, f.at + f.patience()]) {
            if now < at {
                cx.wake(at);
            }
        }
        let fit = cx.witness.reachable && self.accepts(cx, now);
        self.fit_since = if fit { self.fit_since.or(Some(now)) } else { None };
        loop {
            let next = match core::mem::replace(&mut self.role, Role::Standby(Standby::default())) {
                Role::Standby(s) => self.step_standby(s, cx, now),
                Role::Opening(o) => self.step_opening(o, cx, now),
                Role::Owner(o) => self.step_owner(o, cx, now),
                Role::Leaving(l) => self.step_leaving(l, cx, now),
            };
            match next {
                Next::Stay(role) => {
                    self.role = role;
                    return;
                }
                Next::Change(role) => {
                    cx.urgent = true;
                    self.role = role;
                }
            }
        }
    }

    /// Orders the services, unless there are none.
    pub(super) fn services(&mut self, order: ServiceOrder, next: Running, cx: &mut Shared) {
        if cx.services(self.id) == Services::None {
            self.running = match next {
                Running::Starting => Running::Running,
                Running::Stopping => Running::Stopped,
                other => other,
            };
            return;
        }
        self.service_attempt = cx.attempt();
        self.running = next;
        cx.out.push_back(Output::Services { group: self.id, attempt: self.service_attempt, order });
    }

    /// The data of a new ownership.
    pub(super) fn owner(&self, epoch: Epoch, grounds: Grounds, armed: Mono, cx: &Shared, now: Mono) -> Box<Owner> {
        Box::new(Owner {
            epoch,
            since: now,
            grounds,
            armed,
            paths: vec![Series::default(); usize::from(cx.settings.witness.targets)],
            echoed: None,
            asked: None,
            defence: Defence::new(now),
            burst: 0,
            announce: now,
            refresh: now + lifetime(cx.lease()) / 2,
            missing: false,
            failed: None,
            lacking: None,
            offer: None,
            raising: None,
            rival: None,
            hot: false,
            proven: false,
            awaited: false,
            former: None,
        })
    }

    #[expect(clippy::too_many_arguments, reason = "each is a different fact of the claim")]
    /// Makes gate and address for an epoch that is on disk, on these grounds.
    pub(super) fn open(
        &mut self,
        epoch: Epoch,
        why: Why,
        grounds: Grounds,
        closed_for: Option<Span>,
        evidence: String,
        cx: &mut Shared,
        now: Mono,
    ) -> Next {
        let lease = cx.lease();
        let armed = grounds.newest().map_or(now, |g| g + lease);
        let (generation, attempt) = (cx.number(), cx.attempt());
        self.seen = self.seen.max(epoch);
        self.released = None;
        self.refused = None;
        cx.out.push_back(Output::Address { group: self.id, attempt, order: AddressOrder::Add(lifetime(lease)) });
        cx.out.push_back(Output::Gate { group: self.id, generation, order: GateOrder::Open(armed) });
        let opening = Opening {
            epoch,
            attempt,
            generation,
            why,
            grounds,
            armed,
            gate: false,
            address: false,
            since: now,
            closed_for,
            evidence,
        };
        Next::Change(Role::Opening(opening))
    }

    fn step_opening(&mut self, mut o: Opening, cx: &mut Shared, now: Mono) -> Next {
        if now >= o.armed {
            self.unfit_until = Some(now + cx.settings.timing.dead);
            return self.leave(o.epoch, None, Level::Error, "gate and address did not come up in time".into(), cx, now);
        }
        cx.wake(o.armed);
        if !(o.gate && o.address) {
            return Next::Stay(Role::Opening(o));
        }
        let gap = self.back_after(o.why, now).or(o.closed_for.map(|c| c + now.since(o.since)));
        // What does not run yet refuses clients: for them it is over with the services' start.
        let runs = cx.services(self.id) == Services::None || matches!(self.running, Running::Warm | Running::Running);
        self.away = gap.filter(|_| !runs).map(|gap| now.back(gap));
        let seen = gap.map(|gap| match runs {
            true => format!("; clients saw {gap}"),
            false => format!("; the address was away for {gap}, the services start now"),
        });
        let (gap, seen) = (gap.filter(|_| runs), seen.unwrap_or_default());
        let text = format!("{} SERVES, epoch {}: {}{}{seen}", cx.me(), o.epoch, o.why.words(), core::mem::take(&mut o.evidence));
        cx.note(Level::Info, Some(&self.name), Kind::Owner(self.id, o.epoch), text.clone());
        self.last_change = Some(LastChange { at: now, text, gap });
        self.takeover = false;
        self.services(ServiceOrder::Start(o.epoch), Running::Starting, cx);
        cx.dirty = true;
        let mut owner = self.owner(o.epoch, o.grounds, o.armed, cx, now);
        // A challenge that stood is a return path.
        owner.proven = o.why == Why::Claimed;
        owner.awaited = o.why == Why::Offered(Offer::Standby);
        match o.why {
            Why::Takeover => owner.former = self.hold.take(),
            Why::Offered(Offer::NoReturnPath) => self.taken_back(cx, now),
            _ => {}
        }
        Next::Change(Role::Owner(owner))
    }

    /// Ends an ownership: gate, address, service, in this order (SAFETY R3).
    pub(super) fn leave(
        &mut self,
        epoch: Epoch,
        to: Option<Grant>,
        level: Level,
        why: String,
        cx: &mut Shared,
        now: Mono,
    ) -> Next {
        let text = format!("{} LEAVES, epoch {epoch}: {why}", cx.me());
        cx.note(level, Some(&self.name), Kind::Left(self.id, epoch), text.clone());
        self.last_change = Some(LastChange { at: now, text, gap: None });
        self.away = None;
        if level == Level::Error {
            self.driven_out.push_back(now);
            if self.driven_out.len() > 8 {
                self.driven_out.pop_front();
            }
        }
        if to.is_none() {
            // What this node announced or its kernel answered may still be in the witness's table: a later owner says when it is not.
            self.challenged = self.challenged.saturating_add(1);
        }
        let cold = cx.services(self.id) == Services::Cold;
        let leaving = self.closing(epoch, to, to.is_some() && cold, cx, now);
        if to.is_none() || cold {
            self.services(ServiceOrder::Stop, Running::Stopping, cx);
        }
        cx.dirty = true;
        Next::Change(Role::Leaving(leaving))
    }

    fn closing(&mut self, epoch: Epoch, to: Option<Grant>, cold: bool, cx: &mut Shared, now: Mono) -> Leaving {
        let (generation, attempt) = (cx.number(), cx.attempt());
        cx.out.push_back(Output::Gate { group: self.id, generation, order: GateOrder::Close });
        cx.out.push_back(Output::Address { group: self.id, attempt, order: AddressOrder::Remove });
        Leaving { epoch, generation, attempt, to, gate_closed: false, address_gone: false, cold, since: now, ordered: now }
    }

    fn step_leaving(&mut self, mut l: Leaving, cx: &mut Shared, now: Mono) -> Next {
        let stopped = !l.cold || self.running == Running::Stopped || bite::off(Clause::ColdNotAwaited);
        if ((l.gate_closed && l.address_gone) || bite::off(Clause::ReleasedEarly)) && stopped {
            if let Some(grant) = l.to {
                // R6 †: only after the kernel's own word.
                self.seen = self.seen.max(grant.epoch);
                self.released = Some((grant, Some(l.since), now));
            }
            return Next::Change(Role::Standby(Standby::default()));
        }
        if now >= l.ordered + AGAIN && !(l.gate_closed && l.address_gone) {
            let again = self.closing(l.epoch, l.to, l.cold, cx, now);
            l = Leaving { since: l.since, ..again };
        }
        cx.wake(l.ordered + AGAIN);
        Next::Stay(Role::Leaving(l))
    }
}
