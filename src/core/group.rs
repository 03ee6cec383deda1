//! A group on this node: its role, and what it knows whatever the role.

use serde::{Deserialize, Serialize};

use super::bite::{self, Clause};
use super::data::{Agreement, Commanded, Data, Epochs, Fitness, ForPeople, Service, StandDown, Table};
use super::event::{Kind, Level};
use super::hold::Hold;
use super::id::{Epoch, GroupId};
use super::io::{GateOrder, GroupRecord, Output, ServiceOrder, StandbyHold};
use super::node::Node;
use super::pause::Pause;
use super::role::{Leaving, Owner, Role, Running, Standby};
use super::settings::Services;
use super::shared::Shared;
use super::time::{Mono, Span};
use super::turn::{Next, Turn};

/// One group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Group {
    /// What this node is in it.
    pub role: Role,
    /// What it knows of it whatever the role.
    pub data: Data,
}

impl Node {
    /// Each group, one after the other.
    pub(super) fn step_groups(&mut self, now: Mono) {
        self.step_each(now);
        let met = self.groups.iter().any(|group| group.meets(&self.cx, now)) && !bite::off(Clause::FencesForAnother);
        if met != self.cx.fence.met {
            self.cx.fence.met = met;
            self.step_each(now);
        }
    }

    fn step_each(&mut self, now: Mono) {
        self.each_group(|group, cx| group.step(cx, now));
    }

    /// Each group in its turn; what one of them holds is known to the next.
    pub(super) fn each_group(&mut self, mut turn: impl FnMut(&mut Group, &mut Shared)) {
        self.cx.note_holding(&self.groups);
        for place in 0..self.groups.len() {
            let Some(group) = self.groups.get_mut(place) else { continue };
            let before = (group.holds(), group.owns());
            turn(group, &mut self.cx);
            if before != (group.holds(), group.owns()) {
                self.cx.note_holding(&self.groups);
            }
        }
    }
}

impl Group {
    /// This node holds it, or is about to.
    pub(super) fn holds(&self) -> bool {
        !matches!(&self.role, Role::Standby(Standby { wish: None, .. }))
    }

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
        let epoch = record.map_or(Epoch(0), |r| r.epoch);
        let standby = record.and_then(|r| r.standby.as_ref());
        let mut data = Data {
            id,
            name: cx.group_name(id),
            epochs: Epochs {
                seen: record.map_or(epoch, |r| Epochs::taken_for_seen(r.epoch, cx)),
                durable: epoch,
                grant_waits: None,
            },
            commanded: Commanded {
                hold: standby.map(|h| Hold { until: h.left.map(|l| now + l), reason: h.reason.clone(), told: h.told }),
                told: standby.map_or(0, |h| h.told),
                pause: Pause::of(record.and_then(|r| r.pause.as_ref()), now),
                ..Commanded::default()
            },
            agreement: Agreement::default(),
            stand_down: StandDown::default(),
            table: Table::default(),
            service: Service::default(),
            fitness: Fitness::default(),
            people: ForPeople::of(record, now),
        };
        if data.paused() {
            data.tell_pause(cx);
        }
        let gate = match gate.filter(|until| *until > now) {
            Some(_) if bite::off(Clause::HotRestartSweeps) => None,
            None if bite::off(Clause::RecordBelieved) => {
                let (generation, until) = (cx.number(), now + cx.lease());
                cx.out.push_back(Output::Gate { group: id, generation, order: GateOrder::Open(until) });
                Some(until)
            }
            gate => gate,
        };
        let turn = &mut Turn { cx, data: &mut data, now };
        let role = match (gate, record.and_then(|r| r.owned)) {
            (Some(until), Some(owned)) => Role::Owner(Owner::found(owned, epoch, until, address, turn)),
            _ => {
                if address {
                    let text = "an address of an earlier life was still there: removed";
                    turn.cx.note(Level::Warn, Some(&turn.data.name), Kind::Host, text);
                }
                let leaving = Leaving::new(epoch, None, false, turn);
                if running && turn.cx.services(id) != Services::None {
                    turn.data.services(ServiceOrder::StopCold, Running::Stopping, turn.cx);
                }
                Role::Leaving(leaving)
            }
        };
        Group { role, data }
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
        let reserve = cx.next_epoch(self.data.epochs.seen.max(used));
        GroupRecord {
            name: self.data.name.clone(),
            epoch: reserve,
            owned: owned.or(Some(reserve)),
            peer_lease: if bite::off(Clause::PeerLeaseForgotten) { Span::ZERO } else { cx.peer.lease },
            acked_lease: cx.acked_lease,
            last: self.data.people.last_change.clone(),
            peer_serves: self.data.people.peer_serves,
            standby: self.data.commanded.hold.as_ref().filter(|_| !bite::off(Clause::HoldNotKept)).map(|h| StandbyHold {
                left: h.until.map(|u| u.since(now)),
                reason: h.reason.clone(),
                told: h.told,
            }),
            pause: self.data.commanded.pause.record(now),
        }
    }

    /// Steps until nothing changes any more.
    pub fn step(&mut self, cx: &mut Shared, now: Mono) {
        self.data.before_step(cx, now);
        loop {
            let turn = &mut Turn { cx: &mut *cx, data: &mut self.data, now };
            let next = match &mut self.role {
                Role::Standby(standby) => standby.step(turn),
                Role::Opening(opening) => opening.step(turn),
                Role::Owner(owner) => owner.step(turn),
                Role::Leaving(leaving) => leaving.step(turn),
            };
            if matches!(next, Next::Stay) {
                return;
            }
            self.follow(next, cx);
        }
    }

    /// The next role takes the place of this one, and the peer is told.
    fn follow(&mut self, next: Next, cx: &mut Shared) {
        if let Next::Change(role) = next {
            cx.urgent = true;
            self.role = role;
        }
    }

    /// Whether echoes at the fast rate are wanted: by an owner whose evidence gets old, or a claim that has not gone on for long.
    pub(super) fn hurries(&self, cx: &Shared, now: Mono) -> bool {
        match &self.role {
            Role::Owner(o) => o.hurries(&self.data, cx, now),
            Role::Standby(Standby { claim: Some(claim), .. }) => claim.hurries(&self.data, cx, now),
            Role::Standby(_) | Role::Opening(_) | Role::Leaving(_) => false,
        }
    }

    /// How often echoes in the peer's name are wanted; none while they are not.
    pub(super) fn inquires(&self, cx: &Shared, now: Mono) -> Option<Span> {
        match &self.role {
            Role::Standby(Standby { claim: Some(claim), .. }) => claim.inquires(&self.data, cx, now),
            _ => None,
        }
    }

    /// Takes in a fact: what it means to this role, and what comes next.
    pub(super) fn take(&mut self, cx: &mut Shared, now: Mono, fact: impl FnOnce(&mut Role, &mut Turn) -> Next) {
        let next = fact(&mut self.role, &mut Turn { cx: &mut *cx, data: &mut self.data, now });
        self.follow(next, cx);
    }
}

impl Data {
    /// What is due whatever the role.
    fn before_step(&mut self, cx: &mut Shared, now: Mono) {
        if self.commanded.hold.as_ref().and_then(|h| h.until).is_some_and(|at| now >= at) {
            self.commanded.hold = None;
            cx.dirty = true;
        }
        self.pause_over(cx, now);
        if let (Running::Stuck(_), Some(at)) = (&self.service.running, self.service.stop_again)
            && now >= at
        {
            self.services(ServiceOrder::Stop, Running::Stopping, cx);
        }
        let fit = cx.witness.reachable && self.accepts(cx, now);
        self.fitness.since = if fit { self.fitness.since.or(Some(now)) } else { None };
    }

    /// Orders the services, unless there are none.
    pub(super) fn services(&mut self, order: ServiceOrder, next: Running, cx: &mut Shared) {
        if cx.services(self.id) == Services::None {
            self.service.running = match next {
                Running::Starting => Running::Running,
                Running::Stopping => Running::Stopped,
                other => other,
            };
            return;
        }
        self.service.attempt = cx.attempt();
        self.service.running = next;
        cx.out.push_back(Output::Services { group: self.id, attempt: self.service.attempt, order });
    }
}
