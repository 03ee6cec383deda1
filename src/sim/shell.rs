//! The daemon's shell as the simulator has it: it feeds the decision, drains it, and carries out what comes of it, each with its latency.

use std::sync::Arc;

use super::act::Act;
use super::cue::Does;
use super::event::{Beat, Event, Frame, Order, STRANGER, mac};
use super::gateway::FOREIGN;
use super::machine::{Power, Process};
use super::network::station;
use super::record::Lane;
use super::world::World;
use twinbeat_core::bite::{self, Clause};
use twinbeat_core::event::Event as Noted;
use twinbeat_core::heartbeat::{BeatRole, Heartbeat, Verified};
use twinbeat_core::id::{Attempt, Epoch, GroupId, LinkId, Mac, WitnessId};
use twinbeat_core::io::{
    AddressOrder, AddressReport, Answer, EchoKind, GateOrder, GateReport, Input, Output, Record, ServiceOrder,
};
use twinbeat_core::settings::GRANT_WAITS;
use twinbeat_core::time::Span;
use twinbeat_effect::{Handler, completion};
use twinbeat_wire::{MOST_IN_ECHO, MTU, OVERHEAD, frame_len};

/// As `host::gate` has them.
const TICKET_LIFE: Span = Span::millis(12);
const EARLY: Span = Span::millis(8);
/// A file that could not be written anew is tried again after this (src/daemon/state.rs).
const LOOKS_AGAIN: Span = Span::secs(1);

impl World {
    pub(super) fn tick(&mut self, node: usize) {
        let machine = &mut self.machines[node];
        if machine.tick_at != self.now {
            return; // an older wish
        }
        machine.tick_at = super::clock::Moment::NEVER;
        if !machine.runs() {
            return;
        }
        let due = machine.brain.as_ref().and_then(|brain| brain.deadline());
        if due.is_some_and(|due| due <= machine.clock.read(self.now)) {
            self.tell(node, Input::Tick);
        } else {
            self.wish(node);
        }
    }

    /// Hands an input to the decision and carries out what it wants.
    pub fn tell(&mut self, node: usize, input: Input) {
        let mono = self.machines[node].clock.read(self.now);
        let Some(brain) = self.machines[node].brain.as_mut() else { return };
        brain.handle(mono, input);
        while let Some(output) = self.machines[node].brain.as_mut().and_then(|brain| brain.poll()) {
            self.perform(node, output);
        }
        self.wish(node);
    }

    /// What `status` would show on a node; none while no daemon runs there.
    pub fn view(&self, node: usize) -> Option<twinbeat_core::view::View> {
        let machine = &self.machines[node];
        machine.brain.as_ref().filter(|_| machine.runs())?.view(machine.clock.read(self.now))
    }

    /// Asks to be woken at the decision's next deadline.
    pub(super) fn wish(&mut self, node: usize) {
        let machine = &mut self.machines[node];
        let Some(due) = machine.brain.as_ref().and_then(|brain| brain.deadline()) else { return };
        // A timer is never exact: what is due already is looked at a moment later.
        let at = machine.clock.when(due).max(self.now + Span::micros(20));
        if at < machine.tick_at {
            machine.tick_at = at;
            self.queue.push(at, Event::Tick(node));
        }
    }

    fn perform(&mut self, node: usize, output: Output) {
        self.did_order(node, &output);
        if bite::off(Clause::MarkedFramesHeld)
            && let Output::Write { group, .. } | Output::Echo { kind: EchoKind::Challenge(group) | EchoKind::Control(group), .. } =
                &output
            && !self.machines[node].answers(self.now, usize::from(group.0))
        {
            return;
        }
        Handler::carry_out(self, node, output);
    }

    /// An order to the kernel: one after the other.
    fn order(&mut self, node: usize, order: Order) {
        let latency = Span::micros(self.kernel_rng.between(20, 90));
        let machine = &mut self.machines[node];
        machine.busy_until = machine.busy_until.max(self.now) + latency;
        let renewal = matches!(order, Order::Gate(_, _, GateOrder::Renew(_)));
        let at = if renewal && bite::off(Clause::RenewalOvertakesClose) { self.now + latency * 100 } else { machine.busy_until };
        self.queue.push(at, Event::Execute(node, machine.life, order));
    }

    pub(super) fn execute(&mut self, node: usize, life: u32, order: Order) {
        let now = self.now;
        let machine = &self.machines[node];
        let lives = machine.life == life || (machine.left == Some(life) && matches!(order, Order::Gate(..)));
        if !lives || machine.power == Power::Off {
            return;
        }
        if let Order::Gate(group, generation, GateOrder::Renew(until)) = order
            && std::mem::take(&mut self.machines[node].stalls)
        {
            let machine = &mut self.machines[node];
            let order = Order::Stalled(group, generation, until, machine.clock.read(now));
            machine.process = Process::Hung;
            machine.keep(Event::Execute(node, life, order));
            self.show_states();
            self.review_need();
            return;
        }
        let hung = self.machines[node].process == Process::Hung;
        // An order that a hang finds under way is in the kernel already, or it is not.
        if self.machines[node].power == Power::Paused || (hung && self.kernel_rng.chance(500_000)) {
            let reckoned = self.machines[node].clock.read(now);
            let order = match order {
                Order::Gate(group, generation, GateOrder::Renew(until)) if hung && self.kernel_rng.chance(500_000) => {
                    Order::Stalled(group, generation, until, reckoned)
                }
                order => order,
            };
            self.machines[node].keep(Event::Execute(node, life, order));
            return;
        }
        let machine = &mut self.machines[node];
        let mono = machine.clock.read(now);
        let input = match order {
            Order::Gate(group, generation, order) => {
                let lag = Span::micros(self.kernel_rng.between(5, 40));
                let report = machine.kernel.gate(mono, lag, usize::from(group.0), order);
                self.gate_done(node, group, generation, report)
            }
            Order::Stalled(group, generation, until, reckoned) => {
                // Where its ticket has expired the kernel refuses it, and it is reckoned anew (SAFETY R1).
                let late = mono.since(reckoned);
                let in_time = late <= TICKET_LIFE || bite::off(Clause::TicketIgnored);
                let renewal = GateOrder::Renew(if in_time { until + late.less(EARLY) } else { until });
                let report = machine.kernel.gate(mono, Span::ZERO, usize::from(group.0), renewal);
                self.gate_done(node, group, generation, report)
            }
            Order::Address(group, attempt, order) => {
                let report = if machine.missing[self.pair.public()] && order != AddressOrder::Remove {
                    AddressReport::Failed("no such device".into())
                } else {
                    let late = Span::millis(self.kernel_rng.between(0, 450));
                    machine.kernel.address(mono, late, usize::from(group.0), order)
                };
                self.look_at(node, group);
                Some(Input::Address { group, attempt, report })
            }
            Order::Persist(ticket, record) => {
                let input = machine.disk.write(ticket, record);
                // The next one takes as long; and who waited for a slow one knows nothing of a disk that is quick again.
                let slow = std::mem::take(&mut machine.slow_write) || machine.disk_latency * 2 > GRANT_WAITS;
                machine.disk_ill = !matches!(input, Input::Persisted { .. }) || slow;
                if matches!(input, Input::Persisted { .. }) {
                    machine.nameless = None;
                    self.did(node, None, Does::Records, String::new);
                }
                Some(input)
            }
            Order::PersistAnew => {
                if machine.disk.fails.is_some() {
                    self.queue.push(now + LOOKS_AGAIN, Event::Execute(node, life, Order::PersistAnew));
                } else if let Some(record) = machine.nameless.take() {
                    machine.disk.record = record;
                }
                None
            }
        };
        let at = now + Span::micros(self.kernel_rng.between(5, 30));
        if let Some(input) = input {
            self.queue.push(at, Event::Report(node, life, input));
        }
    }

    /// The kernel has carried out a gate order, or not; what the decision hears of it.
    fn gate_done(&mut self, node: usize, group: GroupId, generation: u64, report: GateReport) -> Option<Input> {
        self.look_at(node, group);
        if report == GateReport::Renewed {
            self.did(node, Some(usize::from(group.0)), Does::Renews, String::new);
        }
        completion::of_gate(group, generation, report)
    }

    /// A node's kernel is another one than before.
    fn look_at(&mut self, node: usize, group: GroupId) {
        let group = usize::from(group.0);
        self.refresh(group);
        self.watch(node, group);
    }

    fn send_beat(&mut self, node: usize, beat: &Arc<Heartbeat>, links: &[LinkId]) {
        let vouched: Beat = Arc::new(Verified::vouch(Heartbeat::clone(beat)));
        self.observe(node, beat);
        self.sign(node, beat);
        let (part, len) = (beat.part.index, length(beat));
        self.machines[node].sends(Arc::clone(&vouched), len);
        for link in links {
            let place = usize::from(link.0);
            if self.pair.settings[node].links[place].relay {
                if self.fits(node, part)
                    && let Some(beat) = self.over_link(node, place, &vouched)
                {
                    self.toward_witness(node, 0, Frame::Relay(*link, beat));
                }
                continue;
            }
            if !self.machines[node].carrier[place] || self.network.path(place, node, 1 - node).no_heartbeats {
                continue;
            }
            for at in self.network.send(self.now, place, node, 1 - node).into_iter().flatten() {
                let peer = &self.machines[1 - node];
                if peer.power == Power::On && peer.process == Process::Dead {
                    // Nobody listens there: its kernel says so, which is no evidence.
                    if peer.carrier[place] {
                        self.network.send(at, place, 1 - node, node);
                    }
                    continue;
                }
                if let Some(beat) = self.over_link(node, place, &vouched) {
                    self.queue.push(at, Event::Deliver(1 - node, Some(place), Input::Heard { link: *link, beat }));
                }
            }
        }
    }

    /// What a heartbeat shows of its sender, for the record and the checks.
    fn observe(&mut self, node: usize, beat: &Heartbeat) {
        self.did_say(node, beat);
        let (machine, now) = (&self.machines[node], self.now);
        let durable = |group| machine.granted_on_disk(group);
        let first = machine.first_group(beat.part);
        self.check.sent(now, node, (beat, first), |group| machine.answers(now, group), machine.disk_works().then_some(&durable));
        self.record.set(self.now, Lane::Witness(node), (!beat.reachable).then_some("unreachable"));
        for (group, said) in (first..).zip(&beat.groups) {
            let role = match said.role {
                BeatRole::Owner => Some("owner"),
                BeatRole::Leaving => Some("leaving"),
                BeatRole::Standby if said.intent.is_some() => Some("ready"),
                BeatRole::Standby => None,
            };
            self.record.set(self.now, Lane::Role(group, node), role);
        }
    }

    /// Whether this part of a node's newest heartbeat goes into an echo on the public link.
    fn fits(&self, node: usize, part: u8) -> bool {
        let most = if bite::off(Clause::LongEchoUnsent) {
            JSON_IN_ECHO
        } else {
            self.network.mtu.saturating_sub(BESIDE).min(MOST_IN_ECHO)
        };
        self.machines[node].newest.get(usize::from(part)).is_none_or(|(_, len)| *len <= most)
    }

    /// A frame of a node to a witness.
    pub(super) fn toward_witness(&mut self, node: usize, witness: usize, frame: Frame) {
        let public = self.pair.public();
        if !self.machines[node].carrier[public] || witness >= self.witnesses.len() {
            return;
        }
        let own = matches!(
            frame,
            Frame::Relay(..) | Frame::Passed(..) | Frame::Lie(_) | Frame::Echo(EchoKind::Own | EchoKind::Inquiry, ..)
        );
        if self.network.guarded[node] && !own {
            return;
        }
        let [first, second] = match frame {
            Frame::Echo(EchoKind::Inquiry, ..) => self.network.send_aside(self.now, public, node, station(witness)),
            _ => self.network.send(self.now, public, node, station(witness)),
        };
        if let Some(at) = second {
            self.queue.push(at, Event::AtWitness(witness, node, frame.clone()));
        }
        if let Some(at) = first {
            self.queue.push(at, Event::AtWitness(witness, node, frame));
        }
    }
}

/// How long a reboot takes.
const BOOT: Span = Span::secs(20);

impl Handler for World {
    fn send(&mut self, node: usize, beat: Arc<Heartbeat>, links: Vec<LinkId>) {
        self.send_beat(node, &beat, &links);
    }

    fn echo(&mut self, node: usize, witness: WitnessId, kind: EchoKind, number: u64) {
        let beat = match kind {
            EchoKind::Own | EchoKind::Inquiry | EchoKind::Control(_) => None,
            _ if bite::off(Clause::EchoWithoutHeartbeat) => None,
            EchoKind::Vip(g) | EchoKind::Challenge(g) if !self.fits(node, self.machines[node].part_of(usize::from(g.0))) => {
                if bite::off(Clause::LongEchoUnsent) {
                    return;
                }
                None
            }
            EchoKind::Vip(group) | EchoKind::Challenge(group) => self.over_table(node, group),
        };
        self.toward_witness(node, usize::from(witness.0), Frame::Echo(kind, number, beat));
    }

    fn probe(&mut self, node: usize, group: GroupId) {
        let public = self.pair.public();
        for at in self.network.send(self.now, public, node, 1 - node).into_iter().flatten() {
            self.queue.push(at, Event::ProbeAt(node, 1 - node, usize::from(group.0)));
        }
        if self.stranger[usize::from(group.0)] {
            let input = Input::Answered { group, by: STRANGER };
            self.queue.push(self.now + Span::micros(150), Event::Deliver(node, Some(public), input));
        }
    }

    fn write(&mut self, node: usize, group: GroupId, witness: WitnessId) {
        self.toward_witness(node, usize::from(witness.0), Frame::Write(group));
    }

    fn give_back(&mut self, node: usize, group: GroupId, witness: WitnessId, to: Mac) {
        let named = (0..2).find(|node| mac(*node) == to).unwrap_or(FOREIGN);
        self.toward_witness(node, usize::from(witness.0), Frame::GiveBack(group, named));
    }

    fn answer_unicast(&mut self, node: usize, group: GroupId, on: bool) {
        self.machines[node].answers_unicast[usize::from(group.0)] = on;
    }

    fn announce(&mut self, node: usize, group: GroupId) {
        let public = self.pair.public();
        for witness in 0..self.witnesses.len() {
            self.toward_witness(node, witness, Frame::Write(group));
        }
        if self.machines[node].carrier[public] && !self.network.guarded[node] {
            for at in self.network.send(self.now, public, node, 1 - node).into_iter().flatten() {
                let input = Input::Announced { group, by: mac(node) };
                self.queue.push(at, Event::Deliver(1 - node, Some(public), input));
            }
        }
    }

    fn gate(&mut self, node: usize, group: GroupId, generation: u64, order: GateOrder) {
        self.order(node, Order::Gate(group, generation, order));
    }

    fn address(&mut self, node: usize, group: GroupId, attempt: Attempt, order: AddressOrder) {
        self.order(node, Order::Address(group, attempt, order));
    }

    fn services(&mut self, node: usize, group: GroupId, attempt: Attempt, order: ServiceOrder) {
        if let ServiceOrder::Start(epoch) = order {
            self.record.note(self.now, node, "world", || format!("service of {group} ordered for epoch {epoch}"));
        }
        let machine = &mut self.machines[node];
        let service = &mut machine.services[usize::from(group.0)];
        let (time, token) = service.take(attempt, order, &mut self.kernel_rng);
        self.queue.push(self.now + time, Event::ServiceDone(node, machine.boot, usize::from(group.0), token));
    }

    fn hands_off(&mut self, node: usize, group: GroupId, on: bool) {
        let service = &mut self.machines[node].services[usize::from(group.0)];
        if let Some(report) = service.hands_off(on) {
            service.failed = Some(self.now);
            let input = Input::Services { group, attempt: service.attempt, report };
            self.queue.push(self.now + Span::millis(3), Event::Deliver(node, None, input));
        }
    }

    fn fence(&mut self, node: usize, attempt: Attempt) {
        self.order_fence(node, attempt);
    }

    fn reboot(&mut self, node: usize) {
        self.record.note(self.now, node, "world", || "reboots itself".into());
        self.apply(&Act::PowerOff(node));
        self.queue.push(self.now + BOOT, Event::Boot(node));
    }

    fn persist(&mut self, node: usize, ticket: u64, record: Record) {
        let latency = self.machines[node].disk_latency.0;
        let time = Span(self.kernel_rng.between(latency / 4, latency));
        self.machines[node].writes_for(time);
        let at = self.now + time;
        let life = self.machines[node].life;
        self.queue.push(at, Event::Execute(node, life, Order::Persist(ticket, record)));
    }

    fn reply(&mut self, node: usize, id: u64, answer: Answer) {
        self.record.answer(self.now, node, id, &answer);
    }

    fn exit(&mut self, node: usize, _: bool) {
        self.record.note(self.now, node, "world", || "the daemon exits".into());
        // Behind it the gate's queue is carried out to its end.
        let life = self.machines[node].life;
        self.machines[node].kill();
        self.machines[node].left = Some(life);
        if let Some(after) = self.machines[node].comes_back.take() {
            self.queue.push(self.now + after, Event::Start(node));
        }
    }

    fn note(&mut self, node: usize, event: Noted) {
        let machine = &self.machines[node];
        // What is on its way back to the disk counts: nobody could know of its absence sooner.
        let disk = &machine.nameless.as_ref().unwrap_or(&machine.disk.record).groups;
        let durable = |group: usize| disk.get(group).map_or(Epoch(0), |group| group.epoch);
        self.check.noted(self.now, node, &event, durable);
        self.record.event(self.now, node, &event);
    }
}

/// How long a heartbeat's frames are, in bytes.
fn length(beat: &Heartbeat) -> usize {
    if bite::off(Clause::LongEchoUnsent) {
        return OVERHEAD + serde_json::to_vec(beat).map_or(0, |body| body.len());
    }
    frame_len(beat)
}

/// What of an echo's packet is not the heartbeat.
const BESIDE: usize = MTU - MOST_IN_ECHO;
/// What went into an echo when heartbeats were JSON.
const JSON_IN_ECHO: usize = 1400;
