//! One node and its machine: the node does as it is told, and so does the machine, by the model that every world has.

use std::collections::VecDeque;
use std::sync::Arc;

use super::settings::{CABLE, LAN, fast, settings};
use twinbeat_core::event::Event;
use twinbeat_core::files::VipSet;
use twinbeat_core::heartbeat::{BeatRole, EchoOf, Grant, GroupBeat, Heartbeat, Intent, LinkEcho, Part, VERSION, Verified};
use twinbeat_core::id::{Attempt, Epoch, GroupId, Incarnation, LinkId, Mac, NodeId, WitnessId};
use twinbeat_core::io::{AddressOrder, Answer, EchoKind, GateOrder, Input, InterfaceState, Output, Record, ServiceOrder, Start};
use twinbeat_core::node::Node;
use twinbeat_core::report::Doing;
use twinbeat_core::settings::Failback;
use twinbeat_core::time::{Mono, Span};
use twinbeat_effect::{Disk, Handler, Kernel, completion};

/// The one group, and its place in the kernel.
pub(super) const GROUP: GroupId = GroupId(0);
const WEB: usize = 0;
/// The node's number.
const NODE: usize = 0;
const ME: Incarnation = Incarnation(7);
const PEER: Incarnation = Incarnation(9);

/// A node, its time and its machine, and the peer's next number.
#[derive(Clone)]
pub(super) struct Bench {
    node: Node,
    pub(super) now: Mono,
    kernel: Kernel,
    disk: Disk,
    /// What the decision hears at once.
    told: VecDeque<Input>,
    /// What it hears when the story says so: that a gate is open and that addresses are there.
    kept: VecDeque<Input>,
    number: u64,
    pub(super) newest: Newest,
}

/// The newest numbers of my heartbeats and of each kind of echo, the newest orders, and what was last asked of the peer.
#[derive(Clone, Default)]
pub(super) struct Newest {
    beat: u64,
    pub(super) vip_echo: u64,
    pub(super) challenge: u64,
    pub(super) gate: u64,
    pub(super) address: Attempt,
    pub(super) services: Attempt,
    pub(super) ticket: u64,
    intent: Option<Intent>,
}

impl Bench {
    pub(super) fn new() -> Bench {
        let now = Mono::ZERO + Span::secs(100);
        let mut kernel = Kernel::new(1);
        let start = Start {
            incarnation: ME,
            record: Record::default(),
            gates: kernel.adopt(now),
            addresses: vec![false],
            running: vec![false],
        };
        let mut bench = Bench {
            node: Node::new(settings(NODE, Failback::Manual), now),
            now,
            kernel,
            disk: Disk::default(),
            told: VecDeque::new(),
            kept: VecDeque::new(),
            number: 0,
            newest: Newest::default(),
        };
        bench.give(Input::Start(start));
        for link in [CABLE, LAN] {
            bench.give(Input::Link { link: LinkId(link as u8), state: InterfaceState::Up });
        }
        bench
    }

    /// Gives an input, and carries out what comes of it.
    pub(super) fn give(&mut self, input: Input) {
        self.told.push_back(input);
        while let Some(input) = self.told.pop_front() {
            for output in self.raw(input) {
                self.carry_out(NODE, output);
            }
        }
    }

    /// Tells what was kept back.
    pub(super) fn catch_up(&mut self) {
        while let Some(input) = self.kept.pop_front() {
            self.give(input);
        }
    }

    /// Gives an input and nothing else.
    pub(super) fn raw(&mut self, input: Input) -> Vec<Output> {
        self.node.handle(self.now, input);
        let all: Vec<Output> = std::iter::from_fn(|| self.node.poll()).collect();
        let newest = &mut self.newest;
        for output in &all {
            match output {
                Output::Send { beat, .. } => {
                    newest.beat = beat.number;
                    newest.intent = beat.groups[0].intent;
                }
                Output::Echo { kind: EchoKind::Vip(_), number, .. } => newest.vip_echo = *number,
                Output::Echo { kind: EchoKind::Challenge(_), number, .. } => newest.challenge = *number,
                Output::Gate { generation, .. } => newest.gate = *generation,
                Output::Address { attempt, .. } => newest.address = *attempt,
                Output::Services { attempt, .. } => newest.services = *attempt,
                Output::Persist { ticket, .. } => newest.ticket = *ticket,
                _ => {}
            }
        }
        all
    }

    /// Lets time pass, tick by tick.
    pub(super) fn run(&mut self, span: Span) {
        let end = self.now + span;
        while let Some(due) = self.node.deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.give(Input::Tick);
        }
        self.now = end;
    }

    /// The peer's next heartbeat.
    pub(super) fn said(&mut self, role: BeatRole, epoch: u64, change: impl FnOnce(&mut GroupBeat)) -> Input {
        self.number += 1;
        let mut group = GroupBeat {
            claims: true,
            unfit: None,
            name: "web".into(),
            vips: VipSet::of(&settings(0, Failback::Auto).groups[0]),
            role,
            epoch: Epoch(epoch),
            gate_open: role == BeatRole::Owner,
            eligible: true,
            unproven: false,
            standby_held: false,
            told: 0,
            pause: None,
            offer: None,
            intent: None,
            granted: None,
            released: None,
            closed_for: None,
            refused: None,
            challenged: 0,
            challenge_ack: 0,
        };
        change(&mut group);
        let echo = |link: &str| LinkEcho { link: link.into(), number: self.newest.beat, held: Span::ZERO };
        let beat = Heartbeat {
            version: VERSION,
            from: NodeId(1),
            incarnation: PEER,
            number: self.number,
            digest: 7,
            lease: fast().lease,
            witnesses: 0,
            echo_of: Some(EchoOf { incarnation: ME, lease: fast().lease, witnesses: 0 }),
            echoes: vec![echo("cable"), echo("lan")],
            answer: false,
            reachable: true,
            answered: Some(Span::ZERO),
            carrier: true,
            fencing: false,
            part: Part::WHOLE,
            groups: vec![group],
        };
        Input::Heard { link: LinkId(CABLE as u8), beat: Arc::new(Verified::vouch(beat)) }
    }

    pub(super) fn hear(&mut self, role: BeatRole, epoch: u64, change: impl FnOnce(&mut GroupBeat)) {
        let beat = self.said(role, epoch, change);
        self.give(beat);
    }

    pub(super) fn mine(&self) -> Grant {
        let intent = self.newest.intent.expect("an intent");
        Grant { epoch: intent.epoch, attempt: intent.attempt, incarnation: ME }
    }

    /// What the node is doing, in the words of the table.
    pub(super) fn state(&self) -> &'static str {
        match self.node.doing(GROUP).expect("the group") {
            Doing::StandsBy => "standby",
            Doing::Probes => "standby, probing",
            Doing::Challenges => "standby, challenging",
            Doing::Wishes => "standby, wish",
            Doing::Asks => "standby, intent told",
            Doing::Opens => "opening",
            Doing::Owns => "owner",
            Doing::Offers => "owner, offering",
            Doing::Leaves => "leaving",
            Doing::Grants => "leaving, granted",
        }
    }

    /// A service failed, or does not stop.
    pub(super) fn service_is_bad(&self) -> bool {
        self.node.view(self.now).groups[WEB].service.is_bad()
    }
}

/// Frames reach nobody but the witness's own echo; the peer speaks when the story says so.
impl Handler for Bench {
    fn send(&mut self, _: usize, _: Arc<Heartbeat>, _: Vec<LinkId>) {}

    fn echo(&mut self, _: usize, witness: WitnessId, kind: EchoKind, number: u64) {
        if kind == EchoKind::Own {
            self.told.push_back(Input::EchoReply { witness, kind, number });
        }
    }

    fn probe(&mut self, _: usize, _: GroupId) {}

    fn write(&mut self, _: usize, _: GroupId, _: WitnessId) {}

    fn give_back(&mut self, _: usize, _: GroupId, _: WitnessId, _: Mac) {}

    fn answer_unicast(&mut self, _: usize, _: GroupId, _: bool) {}

    fn announce(&mut self, _: usize, _: GroupId) {}

    fn gate(&mut self, _: usize, group: GroupId, generation: u64, order: GateOrder) {
        let report = self.kernel.gate(self.now, Span::ZERO, WEB, order);
        let list = if order == GateOrder::Close { &mut self.told } else { &mut self.kept };
        list.extend(completion::of_gate(group, generation, report));
    }

    fn address(&mut self, _: usize, group: GroupId, attempt: Attempt, order: AddressOrder) {
        let report = self.kernel.address(self.now, Span::ZERO, WEB, order);
        let list = if order == AddressOrder::Remove { &mut self.told } else { &mut self.kept };
        list.push_back(Input::Address { group, attempt, report });
    }

    fn services(&mut self, _: usize, group: GroupId, attempt: Attempt, order: ServiceOrder) {
        self.told.push_back(Input::Services { group, attempt, report: completion::of_services(order) });
    }

    fn hands_off(&mut self, _: usize, _: GroupId, _: bool) {}

    fn fence(&mut self, _: usize, _: Attempt) {}

    fn reboot(&mut self, _: usize) {}

    fn persist(&mut self, _: usize, ticket: u64, record: Record) {
        let written = self.disk.write(ticket, record);
        self.told.push_back(written);
    }

    fn reply(&mut self, _: usize, _: u64, _: Answer) {}

    fn exit(&mut self, _: usize, _: bool) {}

    fn note(&mut self, _: usize, _: Event) {}
}
