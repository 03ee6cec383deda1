//! Two nodes, two links, a gateway with one neighbour-table entry, in virtual time. What counts is whose kernel answers.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;

use crate::heartbeat::{Heartbeat, Verified};
use crate::id::{GroupId, Incarnation, LinkId, Mac, NodeId};
use crate::io::{
    AddressOrder, AddressReport, Answer, Command, EchoKind, GateOrder, GateReport, Input, InterfaceState, Output, Record,
    ServiceOrder, ServiceReport, Start,
};
use crate::node::Node;
use crate::prelude::*;
use crate::settings::{Failback, GroupSettings, LinkSettings, Services, Settings, Timing, WitnessSettings};
use crate::time::{Mono, Span};

/// The dedicated cable.
pub const CABLE: usize = 0;
/// The public side.
pub const LAN: usize = 1;
/// The preferred node, and the other one.
pub const A: usize = 0;
/// The other one.
pub const B: usize = 1;
const GROUP: GroupId = GroupId(0);
/// One way, on every path.
const LATENCY: Span = Span::micros(200);
/// A kernel, a disk and a service take this long to answer.
const LOCAL: Span = Span::micros(100);
/// What a socket holds for a daemon that does not read.
const INBOX: usize = 200;

/// The profile "fast".
pub fn fast() -> Timing {
    Timing {
        heartbeat: Span::millis(50),
        warn: Span::millis(150),
        lease: Span::millis(155),
        dead: Span::millis(500),
        init_dead: Span::secs(5),
        delivery: Span::millis(25),
        rate: 1200,
        weak_gate: false,
    }
}

/// The settings of one of them.
pub fn settings(me: usize, failback: Failback) -> Settings {
    Settings {
        cluster: "pair".into(),
        me: NodeId(me as u8),
        nodes: ["a".into(), "b".into()],
        digest: 7,
        links: vec![LinkSettings { name: "cable".into(), relay: false }, LinkSettings { name: "lan".into(), relay: false }],
        witness: WitnessSettings {
            link: LinkId(LAN as u8),
            targets: 1,
            arp_only: 0,
            names: 0,
            interval: Span::millis(100),
            fall: 3,
            rise: 3,
            island_hold: false,
        },
        timing: fast(),
        groups: vec![GroupSettings {
            name: "web".into(),
            preferred: Some(NodeId(A as u8)),
            failback,
            vips: vec!["192.0.2.10".into(), "198.51.100.10".into()],
            vip_links: vec![LinkId(LAN as u8), LinkId(CABLE as u8)],
            services: Services::Warm,
        }],
    }
}

/// The daemon of a machine.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Daemon {
    /// Runs.
    Runs,
    /// Is stopped: what arrives waits in its sockets.
    Hangs,
    /// Was killed, or left.
    Gone,
}

/// One machine: what its kernel holds, and its daemon. Its clock is its own.
pub struct Machine {
    /// The daemon's state.
    pub daemon: Daemon,
    /// Power.
    pub power: bool,
    /// The public interface has carrier.
    pub carrier: bool,
    /// The cable's interface does not exist.
    pub missing: bool,
    /// Its file names another guard VIP; in force from the next start on.
    pub edited: bool,
    /// Open until.
    pub gate: Option<Mono>,
    table: bool,
    address: Option<Mono>,
    /// How often its addresses were ordered to be added.
    pub adds: usize,
    /// The next refresh of its addresses finds them expired, and takes them away.
    pub late: bool,
    running: bool,
    record: Record,
    life: u64,
    offset: u64,
    node: Node,
    inbox: VecDeque<Input>,
    newest: Option<Arc<Heartbeat>>,
    ticked: Mono,
    /// Answers to commands.
    pub replies: Vec<(u64, Answer)>,
}

enum What {
    /// An input on its way to a life of a node.
    Input(usize, u64, Input),
    /// The same, but whoever lives there then.
    Frame(usize, Input),
    /// A frame of a node is at the gateway.
    Gateway(usize, AtGateway),
    /// A probe from the other node is at this one.
    Probe(usize),
}

enum AtGateway {
    Echo(EchoKind, u64, Option<Arc<Heartbeat>>),
    Write(Option<usize>),
}

/// The whole world.
pub struct World {
    /// Time that has passed.
    pub now: Mono,
    /// The machines.
    pub m: [Machine; 2],
    /// The gateway answers.
    pub gateway: bool,
    /// Frames from this node over this link to the other are lost.
    pub cut: [[bool; 2]; 2],
    /// The path between this node and the gateway is cut, silently.
    pub gateway_cut: [bool; 2],
    /// Frames in the address's name from this node are dropped by the switch (port security).
    pub guarded: [bool; 2],
    /// The gateway answers whoever asks, whatever its table says: it is no register.
    pub answers_sender: bool,
    /// Of the guard VIP, and of the one that edited files name.
    entry: [Option<usize>; 2],
    failback: Failback,
    seq: u64,
    queue: BTreeMap<(Mono, u64), What>,
    /// When both kernels answered, if they ever did.
    pub both: Option<Mono>,
    owners: Vec<(Mono, Option<usize>)>,
    log: String,
}

impl World {
    /// Two machines without power.
    pub fn dark(failback: Failback) -> World {
        let machine = |me: usize| Machine {
            daemon: Daemon::Gone,
            power: false,
            carrier: true,
            missing: false,
            edited: false,
            gate: None,
            table: true,
            address: None,
            adds: 0,
            late: false,
            running: false,
            record: Record::default(),
            life: 0,
            offset: me as u64 * 1_000_000_000_000 + 1_000_000_000,
            node: Node::new(settings(me, failback), Mono::ZERO),
            inbox: VecDeque::new(),
            newest: None,
            ticked: Mono::ZERO,
            replies: Vec::new(),
        };
        World {
            now: Mono::ZERO,
            m: [machine(A), machine(B)],
            gateway: true,
            cut: [[false; 2]; 2],
            gateway_cut: [false; 2],
            guarded: [false; 2],
            answers_sender: false,
            entry: [None; 2],
            failback,
            seq: 0,
            queue: BTreeMap::new(),
            both: None,
            owners: vec![(Mono::ZERO, None)],
            log: String::new(),
        }
    }

    /// Both started and settled: A serves.
    pub fn settled() -> World {
        World::settled_with(Failback::Auto)
    }

    /// The same with another failback.
    pub fn settled_with(failback: Failback) -> World {
        let mut w = World::dark(failback);
        w.start(A);
        w.start(B);
        w.run(Span::secs(12));
        w.only(A);
        w
    }

    fn local(&self, i: usize) -> Mono {
        Mono(self.now.0 + self.m[i].offset)
    }

    /// Whether this machine's kernel answers for the VIP.
    pub fn answers(&self, i: usize) -> bool {
        let m = &self.m[i];
        let now = self.local(i);
        let gate = !m.table || m.gate.is_some_and(|until| until > now);
        m.power && gate && m.address.is_some_and(|until| until > now)
    }

    /// Whose kernel answers.
    pub fn owner(&self) -> Option<usize> {
        (0..2).find(|i| self.answers(*i))
    }

    /// Starts a machine's power and daemon.
    pub fn start(&mut self, i: usize) {
        self.m[i].power = true;
        let now = self.local(i);
        let failback = self.failback;
        let open = self.m[i].gate.filter(|g| *g > now);
        let m = &mut self.m[i];
        m.life += 1;
        m.daemon = Daemon::Runs;
        m.inbox.clear();
        let mut settings = settings(i, failback);
        if m.edited {
            settings.groups[0].vips[0] = "192.0.2.11".into();
        }
        m.node = Node::new(settings, now);
        m.ticked = Mono::ZERO;
        let start = Start {
            incarnation: Incarnation(m.life),
            record: m.record.clone(),
            gates: vec![open],
            addresses: vec![m.address.is_some_and(|a| a > now)],
            running: vec![m.running],
        };
        self.give(i, Input::Start(start));
        self.cable(i);
        let state = if self.m[i].carrier { InterfaceState::Up } else { InterfaceState::NoCarrier };
        self.give(i, Input::Link { link: LinkId(LAN as u8), state });
    }

    /// SIGKILL: the kernel lives on.
    pub fn kill(&mut self, i: usize) {
        self.note(i, "killed");
        self.m[i].daemon = Daemon::Gone;
        self.m[i].inbox.clear();
    }

    /// Pulls the plug.
    pub fn power_off(&mut self, i: usize) {
        self.kill(i);
        let m = &mut self.m[i];
        m.power = false;
        (m.gate, m.address, m.running, m.table) = (None, None, false, true);
        self.look();
    }

    /// SIGSTOP.
    pub fn hang(&mut self, i: usize) {
        if self.m[i].daemon == Daemon::Runs {
            self.note(i, "hangs");
            self.m[i].daemon = Daemon::Hangs;
        }
    }

    /// SIGCONT: what waited is read.
    pub fn wake(&mut self, i: usize) {
        if self.m[i].daemon != Daemon::Hangs {
            return;
        }
        self.note(i, "wakes");
        self.m[i].daemon = Daemon::Runs;
        while let Some(input) = self.m[i].inbox.pop_front() {
            self.give(i, input);
        }
    }

    /// The public carrier of a node goes or comes.
    pub fn set_carrier(&mut self, i: usize, up: bool) {
        self.m[i].carrier = up;
        let state = if up { InterfaceState::Up } else { InterfaceState::NoCarrier };
        self.give(i, Input::Link { link: LinkId(LAN as u8), state });
    }

    /// The interface of a node's cable goes or comes.
    pub fn set_missing(&mut self, i: usize, missing: bool) {
        self.m[i].missing = missing;
        self.cable(i);
    }

    /// A third machine answers a probe for the address.
    pub fn stranger_answers(&mut self, i: usize) {
        self.give(i, Input::Answered { group: GroupId(0), by: mac(7) });
    }

    fn cable(&mut self, i: usize) {
        let state = if self.m[i].missing { InterfaceState::Missing } else { InterfaceState::Up };
        self.give(i, Input::Link { link: LinkId(CABLE as u8), state });
    }

    /// How often the owner changed, the first one included.
    pub fn moves(&self) -> usize {
        let owners: Vec<usize> = self.owners.iter().filter_map(|(_, owner)| *owner).collect();
        (0..owners.len()).filter(|i| *i == 0 || owners[*i] != owners[*i - 1]).count()
    }

    /// When this node began to answer, each time since an instant.
    pub fn began(&self, i: usize, since: Mono) -> Vec<Mono> {
        self.owners.iter().filter(|(at, owner)| *at >= since && *owner == Some(i)).map(|(at, _)| *at).collect()
    }

    /// What `status` would show.
    pub fn view(&self, i: usize) -> crate::view::View {
        self.m[i].node.view(self.local(i))
    }

    /// Cuts every path of this node, or mends it.
    pub fn isolate(&mut self, i: usize, on: bool) {
        self.cut = [[on; 2]; 2];
        self.gateway_cut[i] = on;
    }

    /// A person's command.
    pub fn command(&mut self, i: usize, id: u64, command: Command) {
        self.give(i, Input::Command { id, command });
    }

    /// A foreign hand deletes the address.
    pub fn delete_address(&mut self, i: usize) {
        self.m[i].address = None;
        self.look();
        self.give(i, Input::AddressGone { group: GROUP });
    }

    /// A foreign hand flushes the ruleset; the daemon hears of it a moment later.
    pub fn flush(&mut self, i: usize) {
        self.m[i].table = false;
        self.m[i].gate = None;
        self.later(LOCAL, What::Input(i, self.m[i].life, Input::GateTableGone));
    }

    /// The gate is closed in the kernel behind the daemon's back, as by a lapse.
    pub fn lapse(&mut self, i: usize) {
        self.m[i].gate = None;
        self.look();
    }

    /// Everything works again: links, gateway, power, daemons.
    pub fn heal(&mut self) {
        self.cut = [[false; 2]; 2];
        self.gateway_cut = [false; 2];
        self.gateway = true;
        for i in 0..2 {
            self.set_carrier(i, true);
            self.wake(i);
            if self.m[i].daemon == Daemon::Gone {
                self.start(i);
            }
        }
    }

    /// Lets time pass.
    pub fn run(&mut self, span: Span) {
        let end = self.now + span;
        while let Some(at) = self.next().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.one();
        }
        self.now = end;
        self.look();
    }

    /// Lets time pass until this node's kernel answers; how long that took.
    pub fn until_serves(&mut self, i: usize, limit: Span) -> Span {
        let began = self.now;
        while !self.answers(i) {
            assert!(self.now.since(began) < limit, "{i} does not serve within {limit}\n{}", self.log);
            match self.next() {
                Some(at) => self.now = self.now.max(at),
                None => panic!("nothing happens any more\n{}", self.log),
            }
            self.one();
        }
        self.now.since(began)
    }

    /// Asserts that exactly this node's kernel answers, and that there were never two.
    pub fn only(&self, i: usize) {
        self.never_two();
        assert!(self.answers(i) && !self.answers(i ^ 1), "owner is {:?}, not {i}\n{}", self.owner(), self.log);
    }

    /// Asserts that nobody answers, and that there were never two.
    pub fn nobody(&self) {
        self.never_two();
        assert_eq!(self.owner(), None, "{}", self.log);
    }

    /// Asserts that two kernels never answered at once.
    pub fn never_two(&self) {
        assert_eq!(self.both, None, "two kernels answered\n{}", self.log);
    }

    /// Asserts that since this instant only this node answered, without a gap.
    pub fn steady_since(&self, since: Mono, i: usize) {
        self.only(i);
        let last = self.owners.last().map_or(Mono::ZERO, |(at, _)| *at);
        assert!(last <= since, "the owner changed at {last}, after {since}\n{}", self.log);
    }

    /// The trace, for failures.
    pub fn log(&self) -> &str {
        &self.log
    }

    /// Gives one tick out of turn; what came out.
    pub fn early_tick(&mut self, i: usize, at: Mono) -> Vec<Output> {
        let m = &mut self.m[i];
        m.node.handle(at, Input::Tick);
        std::iter::from_fn(|| m.node.poll()).collect()
    }

    /// A copy of a daemon that runs, to be given ticks of its own.
    pub fn copy(&self, i: usize) -> Option<Node> {
        (self.m[i].daemon == Daemon::Runs).then(|| self.m[i].node.clone())
    }

    /// The node's own clock, and when it wants its next tick.
    pub fn clock(&self, i: usize) -> (Mono, Option<Mono>) {
        (self.local(i), self.m[i].node.deadline())
    }

    /// When something happens next.
    pub fn next(&self) -> Option<Mono> {
        let event = self.queue.keys().next().map(|(at, _)| *at);
        let ticks = (0..2).filter_map(|i| self.tick_at(i));
        ticks.chain(event).min()
    }

    fn tick_at(&self, i: usize) -> Option<Mono> {
        let m = &self.m[i];
        if m.daemon != Daemon::Runs {
            return None;
        }
        let due = Mono(m.node.deadline()?.0.saturating_sub(m.offset));
        // The loop's own granularity.
        Some(due.max(m.ticked + Span::micros(50)).max(self.now))
    }

    fn one(&mut self) {
        for i in 0..2 {
            if self.tick_at(i).is_some_and(|at| at <= self.now) {
                self.m[i].ticked = self.now;
                self.give(i, Input::Tick);
                return;
            }
        }
        let Some(entry) = self.queue.first_entry().filter(|e| e.key().0 <= self.now) else { return };
        match entry.remove() {
            What::Input(i, life, input) if self.m[i].life == life => self.give(i, input),
            What::Input(..) => {}
            What::Frame(i, input) => self.give(i, input),
            What::Gateway(i, frame) => self.at_gateway(i, frame),
            What::Probe(i) => {
                if self.answers(i) && self.passes(LAN, i) {
                    let by = mac(i);
                    self.later(LATENCY, What::Frame(i ^ 1, Input::Answered { group: GROUP, by }));
                }
            }
        }
        self.look();
    }

    fn look(&mut self) {
        if self.both.is_none() && self.answers(A) && self.answers(B) {
            self.both = Some(self.now);
            self.note(A, "TWO OWNERS");
        }
        let owner = self.owner();
        if self.owners.last().is_none_or(|(_, o)| *o != owner) {
            self.owners.push((self.now, owner));
        }
    }

    fn note(&mut self, i: usize, text: &str) {
        let _ = writeln!(self.log, "{} {} {text}", self.now, ["a", "b"][i]);
    }

    fn later(&mut self, after: Span, what: What) {
        self.seq += 1;
        self.queue.insert((self.now + after, self.seq), what);
    }

    fn local_report(&mut self, i: usize, input: Input) {
        let life = self.m[i].life;
        self.later(LOCAL, What::Input(i, life, input));
    }

    /// Frames from node `i` over a link reach the other node.
    fn passes(&self, link: usize, i: usize) -> bool {
        let carrier = link != LAN || (self.m[A].carrier && self.m[B].carrier);
        carrier && !self.cut[link][i] && self.m[A].power && self.m[B].power
    }

    fn reaches_gateway(&self, i: usize) -> bool {
        self.gateway && self.m[i].power && self.m[i].carrier && !self.gateway_cut[i]
    }

    fn at_gateway(&mut self, i: usize, frame: AtGateway) {
        let vip = usize::from(self.m[i].edited);
        let (kind, number, beat) = match frame {
            AtGateway::Write(owner) => {
                self.entry[vip] = owner;
                return;
            }
            AtGateway::Echo(kind, number, beat) => (kind, number, beat),
        };
        let reply = What::Frame(i, Input::EchoReply { witness: Default::default(), kind, number });
        // From a register the answer to the peer's own address goes to the peer, which takes no notice.
        if kind == EchoKind::Inquiry {
            return;
        }
        if kind == EchoKind::Own {
            if self.reaches_gateway(i) {
                self.later(LATENCY, reply);
            }
            return;
        }
        if self.answers_sender {
            if self.reaches_gateway(i) {
                self.later(LATENCY, reply);
            }
            return;
        }
        if self.entry[vip].is_none() {
            // It asks everybody, and whose kernel answers is written down.
            for n in 0..2 {
                if self.reaches_gateway(n) {
                    self.later(LATENCY, What::Frame(n, Input::WitnessAsks { group: GROUP }));
                }
            }
            let has = |n: &usize| self.m[*n].edited == self.m[i].edited;
            self.entry[vip] = (0..2).find(|n| has(n) && self.reaches_gateway(*n) && self.answers(*n));
        }
        match self.entry[vip] {
            Some(n) if self.reaches_gateway(n) && n == i => self.later(LATENCY, reply),
            Some(n) if self.reaches_gateway(n) => {
                if let Some(beat) = beat {
                    let beat = Arc::new(Verified::vouch(Heartbeat::clone(&beat)));
                    self.later(LATENCY, What::Frame(n, Input::HeardByTable { group: GROUP, beat }));
                }
            }
            _ => {}
        }
    }

    fn give(&mut self, i: usize, input: Input) {
        match self.m[i].daemon {
            Daemon::Gone => return,
            Daemon::Hangs => {
                if self.m[i].inbox.len() < INBOX {
                    self.m[i].inbox.push_back(input);
                }
                return;
            }
            Daemon::Runs => {}
        }
        let now = self.local(i);
        // VIP-sourced answers do not get in through a closed gate.
        if matches!(input, Input::EchoReply { kind: EchoKind::Vip(_), .. }) && !self.answers(i) {
            return;
        }
        self.m[i].node.handle(now, input);
        while let Some(output) = self.m[i].node.poll() {
            self.order(i, output, now);
        }
        self.look();
    }

    fn order(&mut self, i: usize, output: Output, now: Mono) {
        match output {
            Output::Send { beat, links } => {
                self.m[i].newest = Some(beat.clone());
                for link in links {
                    if self.passes(usize::from(link.0), i) {
                        let beat = Arc::new(Verified::vouch(Heartbeat::clone(&beat)));
                        self.later(LATENCY, What::Frame(i ^ 1, Input::Heard { link, beat }));
                    }
                }
            }
            Output::Echo { kind, number, .. } => {
                let gated = matches!(kind, EchoKind::Vip(_)) && !self.answers(i);
                let dropped = self.guarded[i] && matches!(kind, EchoKind::Vip(_) | EchoKind::Challenge(_));
                if self.reaches_gateway(i) && !gated && !dropped {
                    let beat = self.m[i].newest.clone().filter(|_| !matches!(kind, EchoKind::Control(_)));
                    self.later(LATENCY, What::Gateway(i, AtGateway::Echo(kind, number, beat)));
                }
            }
            Output::Probe { .. } => {
                if self.passes(LAN, i) {
                    self.later(LATENCY, What::Probe(i ^ 1));
                }
            }
            Output::Write { .. } => {
                if self.reaches_gateway(i) && !self.guarded[i] {
                    self.later(LATENCY, What::Gateway(i, AtGateway::Write(Some(i))));
                }
            }
            Output::GiveBack { to, .. } => {
                if self.reaches_gateway(i) {
                    let owner = (0..2).find(|n| mac(*n) == to);
                    self.later(LATENCY, What::Gateway(i, AtGateway::Write(owner)));
                }
            }
            Output::Announce { group } => {
                if !self.answers(i) || self.guarded[i] {
                    return;
                }
                if self.reaches_gateway(i) {
                    self.later(LATENCY, What::Gateway(i, AtGateway::Write(Some(i))));
                }
                if self.passes(LAN, i) {
                    self.later(LATENCY, What::Frame(i ^ 1, Input::Announced { group, by: mac(i) }));
                }
            }
            Output::Gate { group, generation, order } => {
                let report = self.gate(i, order, now);
                self.local_report(i, Input::Gate { group, generation, report });
            }
            Output::Address { group, attempt, order } => {
                let m = &mut self.m[i];
                let whole = |s: Span| Span::secs(s.0.div_ceil(1_000_000_000));
                let report = match order {
                    AddressOrder::Add(life) => {
                        m.address = Some(now + whole(life));
                        m.adds += 1;
                        AddressReport::Added
                    }
                    AddressOrder::Refresh(_) if std::mem::take(&mut m.late) => {
                        m.address = None;
                        AddressReport::Failed("the refresh came too late: the addresses are removed".into())
                    }
                    AddressOrder::Refresh(life) => {
                        m.address = m.address.filter(|until| *until > now).map(|_| now + whole(life));
                        AddressReport::Added
                    }
                    AddressOrder::Remove => {
                        m.address = None;
                        AddressReport::Removed
                    }
                };
                self.local_report(i, Input::Address { group, attempt, report });
            }
            Output::Services { group, attempt, order } => {
                let m = &mut self.m[i];
                m.running = matches!(order, ServiceOrder::Warm | ServiceOrder::Start(_));
                let report = match order {
                    ServiceOrder::Warm => ServiceReport::Warmed,
                    ServiceOrder::Start(_) => ServiceReport::Started,
                    ServiceOrder::Stop | ServiceOrder::StopCold => ServiceReport::Stopped,
                };
                self.local_report(i, Input::Services { group, attempt, report });
            }
            Output::Persist { ticket, record } => {
                self.m[i].record = record;
                self.local_report(i, Input::Persisted { ticket });
            }
            Output::Reply { id, answer } => {
                self.note(i, &format!("answers {id}: {answer:?}"));
                self.m[i].replies.push((id, answer));
            }
            Output::Exit { .. } => {
                self.note(i, "exits");
                self.m[i].daemon = Daemon::Gone;
            }
            Output::Note(event) => self.note(i, &event.text),
            Output::AnswerUnicast { .. } => {}
        }
    }

    fn gate(&mut self, i: usize, order: GateOrder, now: Mono) -> GateReport {
        let m = &mut self.m[i];
        match order {
            GateOrder::Open(until) => {
                (m.table, m.gate) = (true, Some(until));
                GateReport::Opened
            }
            GateOrder::Renew(until) => {
                if m.gate.is_none_or(|g| g <= now) {
                    m.gate = None;
                    return GateReport::Lapsed;
                }
                m.gate = Some(until);
                GateReport::Renewed
            }
            GateOrder::Close => {
                (m.table, m.gate) = (true, None);
                GateReport::Closed
            }
            GateOrder::Rebuild(until) => {
                (m.table, m.gate) = (true, Some(until).filter(|u| *u > now));
                if m.gate.is_some() { GateReport::Renewed } else { GateReport::Lapsed }
            }
        }
    }
}

fn mac(i: usize) -> Mac {
    Mac([2, 0, 0, 0, 0, i as u8 + 1])
}
