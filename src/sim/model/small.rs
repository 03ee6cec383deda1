//! The small world of the model check: two sides with the real core, a cable, a LAN with one gateway, and what is on its way.
//!
//! Everything on its way is an item that the search may hand over, lose, double, hold back or put behind the next ones. Time
//! passes only when nothing is on its way, from deadline to deadline, in steps of at least [`QUANTUM`].

use std::sync::Arc;

use super::super::event::mac;
use twinbeat_core::event::{Event, Kind};
use twinbeat_core::heartbeat::{BeatRole, Heartbeat, Verified};
use twinbeat_core::id::{Attempt, Epoch, GroupId, Incarnation, LinkId, Mac, NodeId, WitnessId};
use twinbeat_core::io::{
    AddressOrder, AddressReport, Answer, EchoKind, GateOrder, GateReport, Input, InterfaceState, Record, ServiceOrder, Start,
};
use twinbeat_core::node::Node;
use twinbeat_core::settings::Settings;
use twinbeat_core::time::{Mono, Span};
use twinbeat_effect::{Disk, Handler, Kernel, completion};

/// Time passes by at least this much: timers are late by up to so much, less than the gap that the core takes for a stall.
pub const QUANTUM: Span = Span::millis(25);
/// The cable's and the LAN's place among the links.
pub const LINKS: [usize; 2] = [0, 1];
const GROUP: GroupId = GroupId(0);
/// Its place in the kernel.
pub(super) const WEB: usize = 0;
/// Longer than any run.
const FOREVER: Span = Span::secs(1_000_000_000);
pub(super) type Beat = Arc<Verified<Heartbeat>>;

/// Something on its way.
#[derive(Clone, Debug)]
pub enum Item {
    /// To a side's daemon, from outside.
    Frame(usize, Input),
    /// From a side to the gateway.
    Gateway(usize, Ask),
    /// A probe of this side, to the other's kernel.
    Probe(usize),
    /// An order of this life of a side's daemon to its own machine.
    Order(usize, u64, Do),
    /// The machine's word on one.
    Report(usize, u64, Input),
}

/// What a frame asks of the gateway.
#[derive(Clone, Debug)]
pub enum Ask {
    /// The VIP is the sender's.
    Write,
    /// The VIP is the other's.
    GiveBack,
    /// An echo.
    Echo(EchoKind, u64, Option<Beat>),
}

/// An order to the machine.
#[derive(Clone, Debug)]
pub enum Do {
    /// To the gate.
    Gate(u64, GateOrder),
    /// To the address.
    Address(Attempt, AddressOrder),
    /// To the disk.
    Persist(u64, Record),
}

/// A side's daemon.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Daemon {
    /// Runs.
    Runs,
    /// Stopped in its tracks.
    Hangs,
    /// Killed.
    Gone,
}

/// One node and its machine.
#[derive(Clone, Debug)]
pub struct Side {
    /// The daemon.
    pub daemon: Daemon,
    /// The decision, while there is a daemon.
    pub node: Option<Node>,
    /// On its own clock. An address that is there stays, for no run is as long as a lifetime counts for.
    pub(super) kernel: Kernel,
    pub(super) disk: Disk,
    pub(super) life: u64,
    pub(super) newest: Option<Beat>,
    /// What waits while it hangs.
    pub(super) held: Vec<Item>,
    /// The newest number that came over each link, of this life of the peer.
    pub(super) heard: [u64; 2],
    pub(super) heard_life: u64,
    /// The newest number of a heartbeat, and of anything else, that it gave.
    pub(super) given: [u64; 2],
    pub(super) owned: Epoch,
    pub(super) seen: Epoch,
}

/// The state.
#[derive(Clone, Debug)]
pub struct Small {
    /// The world's time.
    pub now: Mono,
    /// Both sides.
    pub sides: [Arc<Side>; 2],
    pub(super) ready: Vec<Item>,
    pub(super) late: Vec<Item>,
    /// Whom the gateway's table names.
    pub(super) entry: Option<usize>,
    /// For each side which of its ways are cut: to the peer by cable, by LAN, and the way to the gateway and back.
    pub(super) cut: [[bool; 3]; 2],
    /// Deviations that may still happen.
    pub left: u8,
    /// Clock rates in millionths.
    pub(super) rates: [u64; 2],
    /// The kernel says that gate and address are gone before they are: the world is broken on purpose.
    pub acknowledges_early: bool,
    /// What must never be, if it was.
    pub wrong: Option<String>,
}

impl Small {
    /// Both daemons start at the same time; clocks run at these rates, in millionths.
    pub fn new(settings: &[Settings; 2], rates: [u64; 2]) -> Small {
        let side = || {
            Arc::new(Side {
                daemon: Daemon::Gone,
                node: None,
                kernel: Kernel::new(1),
                disk: Disk::default(),
                life: 0,
                newest: None,
                held: Vec::new(),
                heard: [0; 2],
                heard_life: 0,
                given: [0; 2],
                owned: Epoch(0),
                seen: Epoch(0),
            })
        };
        let mut small = Small {
            now: Mono(1_000_000_000_000),
            sides: [side(), side()],
            ready: Vec::new(),
            late: Vec::new(),
            entry: None,
            cut: [[false; 3]; 2],
            left: 0,
            rates,
            acknowledges_early: false,
            wrong: None,
        };
        for at in 0..2 {
            small.start(at, settings[at].clone());
        }
        small
    }

    /// A side's clock.
    pub fn clock(&self, at: usize) -> Mono {
        Mono((u128::from(self.now.0) * u128::from(self.rates[at]) / 1_000_000) as u64)
    }

    /// A side's kernel answers for the VIP.
    pub fn answers(&self, at: usize) -> bool {
        self.sides[at].kernel.answers(self.clock(at), WEB)
    }

    /// Nothing is on its way.
    pub fn quiet(&self) -> bool {
        self.ready.is_empty()
    }

    pub(super) fn start(&mut self, at: usize, settings: Settings) {
        let mono = self.clock(at);
        let side = Arc::make_mut(&mut self.sides[at]);
        side.life += 1;
        side.daemon = Daemon::Runs;
        let start = Start {
            incarnation: Incarnation(side.life),
            record: side.disk.record.clone(),
            gates: side.kernel.adopt(mono),
            addresses: vec![side.kernel.has_address(mono, WEB)],
            running: vec![false],
        };
        side.given = [0; 2];
        side.node = Some(Node::new(settings, mono));
        self.tell(at, Input::Start(start));
        for link in LINKS {
            self.tell(at, Input::Link { link: LinkId(link as u8), state: InterfaceState::Up });
        }
    }

    pub(super) fn order(&mut self, at: usize, order: Do) {
        let life = self.sides[at].life;
        if self.acknowledges_early {
            let input = match order {
                Do::Gate(generation, GateOrder::Close) => {
                    Some(Input::Gate { group: GROUP, generation, report: GateReport::Closed })
                }
                Do::Address(attempt, AddressOrder::Remove) => {
                    Some(Input::Address { group: GROUP, attempt, report: AddressReport::Removed })
                }
                _ => None,
            };
            self.ready.extend(input.map(|input| Item::Report(at, life, input)));
        }
        let behind = self.late.iter().any(|item| matches!(item, Item::Order(late, ..) if *late == at));
        let list = if behind { &mut self.late } else { &mut self.ready };
        list.push(Item::Order(at, life, order));
    }

    /// Time passes: to the next deadline, and by a quantum at the least.
    pub(super) fn pass(&mut self) {
        let due = |at: usize| {
            let side = &self.sides[at];
            let due = side.node.as_ref().filter(|_| side.daemon == Daemon::Runs)?.deadline()?;
            Some(Mono((u128::from(due.0) * 1_000_000).div_ceil(u128::from(self.rates[at])) as u64))
        };
        let next = (0..2).filter_map(due).min().unwrap_or(self.now);
        let least = self.now + QUANTUM;
        // Held back is held back by one quantum, not until the next deadline.
        self.now = if self.late.is_empty() { next.max(least) } else { least };
        self.ready.append(&mut self.late);
        for at in 0..2 {
            let due = self.sides[at].node.as_ref().filter(|_| self.sides[at].daemon == Daemon::Runs).and_then(Node::deadline);
            if due.is_some_and(|due| due <= self.clock(at)) {
                self.tell(at, Input::Tick);
            }
        }
    }

    pub(super) fn arrive(&mut self, item: Item) {
        match item {
            Item::Frame(at, ref input) => match self.sides[at].daemon {
                Daemon::Gone => {}
                Daemon::Hangs => Arc::make_mut(&mut self.sides[at]).held.push(item),
                Daemon::Runs => {
                    let input = input.clone();
                    self.heard(at, &input);
                    self.tell(at, input);
                }
            },
            Item::Report(at, life, ref input) => match self.sides[at].daemon {
                _ if self.sides[at].life != life => {}
                Daemon::Gone => {}
                Daemon::Hangs => Arc::make_mut(&mut self.sides[at]).held.push(item),
                Daemon::Runs => {
                    let input = input.clone();
                    self.tell(at, input);
                }
            },
            Item::Order(at, life, ref order) => match self.sides[at].daemon {
                _ if self.sides[at].life != life => {}
                Daemon::Gone => {}
                Daemon::Hangs => Arc::make_mut(&mut self.sides[at]).held.push(item),
                Daemon::Runs => {
                    let order = order.clone();
                    self.execute(at, life, order);
                }
            },
            Item::Probe(asker) => {
                if self.answers(1 - asker) && !self.cut[1 - asker][1] {
                    self.arrive(Item::Frame(asker, Input::Answered { group: GROUP, by: mac(1 - asker) }));
                }
            }
            Item::Gateway(from, ask) => self.at_gateway(from, ask),
        }
    }

    fn heard(&mut self, at: usize, input: &Input) {
        let (Input::Heard { beat, .. } | Input::HeardByTable { beat, .. }) = input else { return };
        let said = beat.get();
        let side = Arc::make_mut(&mut self.sides[at]);
        for group in said.groups.iter().filter(|group| group.role == BeatRole::Owner) {
            side.seen = side.seen.max(group.epoch);
        }
        if said.incarnation.0 != side.heard_life {
            (side.heard_life, side.heard) = (said.incarnation.0, [0; 2]);
        }
        if let Input::Heard { link, .. } = input {
            let heard = &mut side.heard[usize::from(link.0)];
            *heard = (*heard).max(said.number);
        }
    }

    fn at_gateway(&mut self, from: usize, ask: Ask) {
        match ask {
            Ask::Write => self.entry = Some(from),
            Ask::GiveBack => self.entry = Some(1 - from),
            Ask::Echo(kind, number, beat) => {
                let reply = Input::EchoReply { witness: WitnessId(0), kind, number };
                let to = if kind == EchoKind::Own { Some(from) } else { self.entry };
                match (to, beat) {
                    (Some(to), _) if to == from => self.arrive(Item::Frame(from, reply)),
                    (Some(to), Some(beat)) if !self.cut[to][2] => {
                        self.arrive(Item::Frame(to, Input::HeardByTable { group: GROUP, beat }));
                    }
                    (Some(_), _) => {}
                    (None, _) => {
                        for at in (0..2).filter(|at| !self.cut[*at][2]) {
                            if self.answers(at) {
                                self.entry = Some(at);
                            }
                            self.ready.push(Item::Frame(at, Input::WitnessAsks { group: GROUP }));
                        }
                    }
                }
            }
        }
    }

    fn execute(&mut self, at: usize, life: u64, order: Do) {
        let now = self.clock(at);
        let Side { kernel, disk, .. } = Arc::make_mut(&mut self.sides[at]);
        let input = match order {
            Do::Gate(generation, order) => {
                let report = kernel.gate(now, Span::ZERO, WEB, order);
                completion::of_gate(GROUP, generation, report)
            }
            Do::Address(attempt, order) => {
                let order = match order {
                    AddressOrder::Add(_) => AddressOrder::Add(FOREVER),
                    AddressOrder::Refresh(_) => AddressOrder::Refresh(FOREVER),
                    AddressOrder::Remove => AddressOrder::Remove,
                };
                let report = kernel.address(now, Span::ZERO, WEB, order);
                Some(Input::Address { group: GROUP, attempt, report })
            }
            Do::Persist(ticket, record) => Some(disk.write(ticket, record)),
        };
        self.ready.extend(input.map(|input| Item::Report(at, life, input)));
    }

    /// Hands an input to the core and carries out what it wants.
    pub(super) fn tell(&mut self, at: usize, input: Input) {
        let now = self.clock(at);
        let side = Arc::make_mut(&mut self.sides[at]);
        let Some(node) = side.node.as_mut() else { return };
        node.handle(now, input);
        let mut outputs = Vec::new();
        while let Some(output) = node.poll() {
            outputs.push(output);
        }
        for output in outputs {
            self.carry_out(at, output);
        }
    }

    fn give(&mut self, at: usize, number: u64) {
        let given = &mut Arc::make_mut(&mut self.sides[at]).given[1];
        *given = (*given).max(number);
    }

    fn owns(&mut self, at: usize, epoch: Epoch) {
        let side = Arc::make_mut(&mut self.sides[at]);
        let (owned, seen) = (side.owned, side.seen);
        side.owned = owned.max(epoch);
        if epoch != epoch.next_for(NodeId(at as u8)) && epoch.0 % 2 != at as u64 || epoch <= owned || epoch <= seen {
            let text = format!("node {at} owns with epoch {epoch} after it had owned with {owned} and heard of {seen}");
            self.wrong.get_or_insert(text);
        }
    }

    fn to_gateway(&mut self, at: usize, ask: Ask) {
        if !self.cut[at][2] {
            self.ready.push(Item::Gateway(at, ask));
        }
    }

    pub(super) fn look(&mut self) {
        if self.answers(0) && self.answers(1) {
            self.wrong.get_or_insert_with(|| "both kernels answer for the VIP".into());
        }
    }
}

/// Entries do not age here, and nobody waits for a reply or an exit.
impl Handler for Small {
    fn send(&mut self, at: usize, beat: Arc<Heartbeat>, links: Vec<LinkId>) {
        let released = beat.groups.iter().any(|group| group.released.is_some());
        if released && self.answers(at) {
            self.wrong.get_or_insert_with(|| format!("node {at} says that it has released, and its kernel answers"));
        }
        let number = beat.number;
        let beat: Beat = Arc::new(Verified::vouch(Heartbeat::clone(&beat)));
        for link in links.iter().filter(|link| !self.cut[at][usize::from(link.0)]) {
            self.ready.push(Item::Frame(1 - at, Input::Heard { link: *link, beat: Arc::clone(&beat) }));
        }
        let side = Arc::make_mut(&mut self.sides[at]);
        side.given[0] = number;
        side.newest = Some(beat);
    }

    fn echo(&mut self, at: usize, _: WitnessId, kind: EchoKind, number: u64) {
        self.give(at, number);
        let beat = match kind {
            // The gateway is a register, and the other side takes no notice.
            EchoKind::Inquiry => return,
            EchoKind::Own | EchoKind::Control(_) => None,
            EchoKind::Vip(_) | EchoKind::Challenge(_) => self.sides[at].newest.clone(),
        };
        self.to_gateway(at, Ask::Echo(kind, number, beat));
    }

    fn probe(&mut self, at: usize, _: GroupId) {
        if !self.cut[at][1] {
            self.ready.push(Item::Probe(at));
        }
    }

    fn write(&mut self, at: usize, _: GroupId, _: WitnessId) {
        self.to_gateway(at, Ask::Write);
    }

    fn give_back(&mut self, at: usize, _: GroupId, _: WitnessId, _: Mac) {
        self.to_gateway(at, Ask::GiveBack);
    }

    fn answer_unicast(&mut self, _: usize, _: GroupId, _: bool) {}

    fn announce(&mut self, at: usize, _: GroupId) {
        self.to_gateway(at, Ask::Write);
        if !self.cut[at][1] {
            let input = Input::Announced { group: GROUP, by: mac(at) };
            self.ready.push(Item::Frame(1 - at, input));
        }
    }

    fn gate(&mut self, at: usize, _: GroupId, generation: u64, order: GateOrder) {
        self.give(at, generation);
        self.order(at, Do::Gate(generation, order));
    }

    fn address(&mut self, at: usize, _: GroupId, attempt: Attempt, order: AddressOrder) {
        self.give(at, attempt.0);
        self.order(at, Do::Address(attempt, order));
    }

    fn services(&mut self, at: usize, _: GroupId, attempt: Attempt, order: ServiceOrder) {
        self.give(at, attempt.0);
        let (life, report) = (self.sides[at].life, completion::of_services(order));
        self.ready.push(Item::Report(at, life, Input::Services { group: GROUP, attempt, report }));
    }

    fn hands_off(&mut self, _: usize, _: GroupId, _: bool) {}

    fn fence(&mut self, _: usize, _: Attempt) {}

    fn reboot(&mut self, _: usize) {}

    fn persist(&mut self, at: usize, ticket: u64, record: Record) {
        self.give(at, ticket);
        self.order(at, Do::Persist(ticket, record));
    }

    fn reply(&mut self, _: usize, _: u64, _: Answer) {}

    fn exit(&mut self, _: usize, _: bool) {}

    fn note(&mut self, at: usize, event: Event) {
        if let Kind::Owner(_, epoch) = event.kind {
            self.owns(at, epoch);
        }
    }
}
