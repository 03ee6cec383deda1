//! One machine: power, clock, kernel, services, disk, and the daemon's process with the decision inside it.

use std::sync::Arc;

use super::called::Called;
use super::clock::{Clock, Moment};
use super::event::Event;
use super::pair::Pair;
use super::services::ServiceModel;
use twinbeat_core::heartbeat::{Heartbeat, Part, Verified};
use twinbeat_core::id::{Epoch, GroupId, Incarnation, Name};
use twinbeat_core::io::{GroupRecord, Input, InterfaceState, Output, Record, Start};
use twinbeat_core::node::Node;
use twinbeat_core::settings::{GRANT_WAITS, Settings};
use twinbeat_core::time::{Mono, Span};
use twinbeat_core::view::View;
use twinbeat_effect::{Disk, Kernel};

/// What decides on a machine: the real [`Node`], or a fake in a test of the world itself.
pub trait Brain {
    /// Takes one fact.
    fn handle(&mut self, now: Mono, input: Input);
    /// The next thing that the world is to do.
    fn poll(&mut self) -> Option<Output>;
    /// When a tick is wanted.
    fn deadline(&self) -> Option<Mono>;
    /// What `status` would show, if it can tell.
    fn view(&self, _: Mono) -> Option<View> {
        None
    }
    /// A copy of it, where it is the real one.
    fn copy(&self) -> Option<Node> {
        None
    }
    /// Whether standby by command is in force for a group, as `status` would say.
    fn held(&self, _group: usize) -> bool {
        false
    }
    /// Whether a witness's table counts as a register, as `status` would say.
    fn counts(&self, _witness: usize) -> bool {
        true
    }
    /// Whether what the peer said of its file forbids a group to this node, as `status` would say.
    fn file_forbids(&self, _group: usize) -> bool {
        false
    }
}

impl Brain for Node {
    fn handle(&mut self, now: Mono, input: Input) {
        Node::handle(self, now, input);
    }
    fn poll(&mut self) -> Option<Output> {
        Node::poll(self)
    }
    fn deadline(&self) -> Option<Mono> {
        Node::deadline(self)
    }
    fn view(&self, now: Mono) -> Option<View> {
        Some(Node::view(self, now))
    }
    fn copy(&self) -> Option<Node> {
        Some(self.clone())
    }
    fn held(&self, group: usize) -> bool {
        Node::held(self, group)
    }
    fn counts(&self, witness: usize) -> bool {
        Node::counts(self, witness)
    }
    fn file_forbids(&self, group: usize) -> bool {
        Node::file_forbids(self, group)
    }
}

/// Makes the decision of a daemon that starts.
pub type Maker = fn(Settings, Mono) -> Box<dyn Brain>;

/// The real one.
pub fn real(settings: Settings, now: Mono) -> Box<dyn Brain> {
    Box::new(Node::new(settings, now))
}

/// The machine as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Power {
    /// It runs.
    On,
    /// Nothing of it runs, and nothing in its memory survives.
    Off,
    /// Guest clock included.
    Paused,
}

/// The daemon's process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Process {
    /// None.
    Dead,
    /// As it should.
    Running,
    /// Stopped (SIGSTOP), or stuck.
    Hung,
}

/// How long a write to disk takes at the most, where nothing is said.
pub const DISK_LATENCY: Span = Span::millis(4);
/// What waits for a daemon that hangs or a machine that is paused, at the most; the rest is lost.
const BACKLOG: usize = 256;

/// One machine.
pub struct Machine {
    /// The machine as a whole.
    pub power: Power,
    /// The daemon's process.
    pub process: Process,
    /// What the machine takes for time.
    pub clock: Clock,
    /// What lives on without the daemon.
    pub kernel: Kernel,
    /// For each group its services.
    pub services: Vec<ServiceModel>,
    /// The state directory.
    pub disk: Disk,
    /// How long a write to it takes at the most; a quarter of it at the least.
    pub disk_latency: Span,
    /// The last write failed or is slow, or the state directory was lost: until one is whole again.
    pub disk_ill: bool,
    /// The write that is under way takes too long, whatever the next one does.
    pub slow_write: bool,
    /// What the daemon last wrote into a file that has lost its name, until it is written anew.
    pub nameless: Option<Record>,
    /// For each link whether its cable is plugged in here; the relay has the public link's.
    pub plugged: Vec<bool>,
    /// For each link whether its interface is missing.
    pub missing: Vec<bool>,
    /// For each link what was last told of its interface.
    pub told: Vec<InterfaceState>,
    /// For each link whether its own interface has carrier.
    pub carrier: Vec<bool>,
    /// The decision, while there is a process.
    pub brain: Option<Box<dyn Brain>>,
    /// Counts the lives of the daemon, so that nothing reaches the wrong one.
    pub life: u32,
    /// The life whose daemon left by itself last: its orders to the gate are carried out nevertheless.
    pub left: Option<u32>,
    /// Counts the boots of the machine.
    pub boot: u32,
    /// A graceful stop is under way.
    pub stopping: bool,
    /// The newest heartbeat sent, each part in its place, and how long its frames are, in bytes.
    pub newest: Vec<(Arc<Verified<Heartbeat>>, usize)>,
    /// The VIPs of each group in the file of this life: its gates are about these.
    opened: Vec<Vec<Name>>,
    /// For each group whether the daemon answers unicast questions as a challenger.
    pub answers_unicast: Vec<bool>,
    /// When the queue will wake the daemon.
    pub tick_at: Moment,
    /// When the last order to the kernel will have been carried out: they go one after the other.
    pub busy_until: Moment,
    /// The next renewal is stopped between its reckoning and its sending.
    pub stalls: bool,
    /// When a renewal was sent that had been reckoned before a stop.
    pub stalled: Option<Moment>,
    /// When its daemon was started last.
    pub started: Moment,
    /// When it was last paused and went on.
    pub unpaused: Option<Moment>,
    /// Since when it has been paused.
    pub paused: Option<Moment>,
    /// When its ruleset was last flushed.
    pub flushed: Option<Moment>,
    /// A restart is under way: the supervisor starts the daemon so long after its exit.
    pub comes_back: Option<Span>,
    /// What the configuration file says; it counts from the daemon's next start.
    pub settings: Settings,
    /// What it said when the daemon started last.
    pub in_force: Settings,
    /// The names of each life of the daemon, oldest first.
    called: Vec<Called>,
    backlog: Vec<Event>,
    incarnation: u64,
}

impl Machine {
    /// A machine that is on, without a daemon.
    pub fn new(pair: &Pair, node: usize, clock: Clock) -> Machine {
        let (settings, all) = (pair.files[node].clone(), &pair.settings[node].groups);
        let groups = all.len();
        Machine {
            power: Power::On,
            process: Process::Dead,
            clock,
            kernel: Kernel::new(groups),
            services: all.iter().map(|group| ServiceModel::new(group.services)).collect(),
            disk: Disk::default(),
            disk_latency: DISK_LATENCY,
            disk_ill: false,
            slow_write: false,
            nameless: None,
            plugged: vec![true; settings.links.len()],
            carrier: vec![true; settings.links.len()],
            brain: None,
            life: 0,
            left: None,
            boot: 0,
            stopping: false,
            newest: Vec::new(),
            opened: Vec::new(),
            answers_unicast: vec![false; groups],
            tick_at: Moment::NEVER,
            busy_until: Moment::ZERO,
            stalls: false,
            stalled: None,
            started: Moment::ZERO,
            unpaused: None,
            paused: None,
            flushed: None,
            comes_back: None,
            missing: vec![false; settings.links.len()],
            told: vec![InterfaceState::Up; settings.links.len()],
            in_force: settings.clone(),
            settings,
            called: Vec::new(),
            backlog: Vec::new(),
            incarnation: 0,
        }
    }

    /// The state directory knows of these epochs, group by group.
    pub fn has_seen(&mut self, epochs: &[Epoch]) {
        let groups = self.settings.groups.iter().zip(epochs).map(|(group, epoch)| GroupRecord {
            last: None,
            peer_serves: None,
            name: group.name.clone(),
            epoch: *epoch,
            owned: None,
            peer_lease: Span::ZERO,
            acked_lease: Span::ZERO,
            standby: None,
            pause: None,
        });
        self.disk.record.groups = groups.collect();
    }

    /// What is asked of the disk is there in time, and so was what was asked last.
    pub fn disk_works(&self) -> bool {
        self.disk.fails.is_none() && !self.disk_ill
    }

    /// A write takes so long.
    pub fn writes_for(&mut self, time: Span) {
        self.slow_write = time * 2 > GRANT_WAITS;
        self.disk_ill |= self.slow_write;
    }

    /// Up to which epoch a new life on this machine's record would know what was granted: with what is reserved there for this node goes
    /// the peer's number after it.
    pub fn granted_on_disk(&self, group: usize) -> Epoch {
        let reserved = self.disk.record.groups.get(group).map(|group| group.epoch).filter(|epoch| *epoch > Epoch(0));
        reserved.map_or(Epoch(0), |epoch| epoch.next_for(self.in_force.me.other()))
    }

    /// Whether this machine's daemon takes a heartbeat that the other one's said in that life: a name is other, or both are as they know
    /// each other. One of a life that never was is an attacker's, of whom the shell knows nothing.
    pub fn takes(&self, other: &Machine, life: Incarnation) -> bool {
        let sender = life.0.checked_sub(1).and_then(|life| other.called.get(life as usize));
        sender.zip(self.called.last()).is_none_or(|(sender, receiver)| receiver.takes(sender))
    }

    /// Whether both machines' files, as their daemons read them last, let them take each other's heartbeats.
    pub fn knows(&self, other: &Machine) -> bool {
        Called::by(&self.in_force).takes(&Called::by(&other.in_force))
    }

    /// The names under which the daemon runs, when they are others than those of its last life.
    pub fn renamed(&self) -> Option<&Called> {
        match self.called.as_slice() {
            [.., before, now] if before != now => Some(now),
            _ => None,
        }
    }

    /// The kernel answers for the group's VIPs.
    pub fn answers(&self, now: Moment, group: usize) -> bool {
        self.power == Power::On && self.kernel.answers(self.clock.read(now), group)
    }

    /// The daemon's decision can be asked now.
    pub fn runs(&self) -> bool {
        self.power == Power::On && self.process == Process::Running
    }

    /// Starts the daemon, if the machine is on and none runs; says what to tell it.
    pub fn start(&mut self, now: Moment, maker: Maker) -> Option<Vec<Input>> {
        if self.power != Power::On || self.process != Process::Dead {
            return None;
        }
        let mono = self.clock.read(now);
        self.process = Process::Running;
        self.stopping = false;
        self.started = now;
        self.life += 1;
        self.incarnation += 1;
        self.in_force.clone_from(&self.settings);
        for (service, group) in self.services.iter_mut().zip(&self.in_force.groups) {
            service.becomes(group.services);
            service.new_daemon();
        }
        let called = Called::by(&self.in_force);
        if self.called.last().is_some_and(|before| !before.same_table(&called)) {
            self.kernel.table_of_another_name();
            self.left = None;
        }
        self.called.push(called);
        let mut gates = self.kernel.adopt(mono);
        // As the host does it: what the file has got since was not open, and a group is found open as a whole or not at all.
        let open: Vec<Name> =
            gates.iter().zip(&self.opened).filter(|(gate, _)| gate.is_some()).flat_map(|(_, vips)| vips.clone()).collect();
        for (gate, group) in gates.iter_mut().zip(&self.settings.groups) {
            *gate = gate.filter(|_| group.vips.iter().all(|vip| open.contains(vip)));
        }
        self.opened = self.settings.groups.iter().map(|group| group.vips.clone()).collect();
        let known = self.in_force.groups.len();
        gates.truncate(known);
        // A group that the file no longer names is swept.
        for group in known..self.services.len() {
            self.kernel.groups[group] = Default::default();
            self.services[group].die();
        }
        let start = Start {
            incarnation: Incarnation(self.incarnation),
            record: self.disk.record.clone(),
            gates,
            addresses: (0..known).map(|group| self.kernel.has_address(mono, group)).collect(),
            running: self.services.iter().take(known).map(|service| service.running).collect(),
        };
        self.brain = Some(maker(self.settings.clone(), mono));
        let links = (0..self.carrier.len()).map(|link| self.link_input(link));
        let services = (0u8..).zip(&self.services).take(known).filter(|(_, service)| service.obstacle);
        let startable = services.map(|(group, service)| service.startable(GroupId(group)));
        Some(std::iter::once(Input::Start(start)).chain(links).chain(startable).collect())
    }

    /// What the daemon is told of a link's interface.
    pub fn link_input(&self, link: usize) -> Input {
        Input::Link { link: twinbeat_core::id::LinkId(link as u8), state: self.state_of(link) }
    }

    /// How a link's interface is.
    pub fn state_of(&self, link: usize) -> InterfaceState {
        match (self.missing[link], self.carrier[link]) {
            (true, _) => InterfaceState::Missing,
            (false, true) => InterfaceState::Up,
            (false, false) => InterfaceState::NoCarrier,
        }
    }

    /// A heartbeat, or a part of one, goes out.
    pub fn sends(&mut self, beat: Arc<Verified<Heartbeat>>, len: usize) {
        let place = usize::from(beat.get().part.index);
        self.newest.truncate(usize::from(beat.get().part.of));
        match self.newest.get_mut(place) {
            Some(part) => *part = (beat, len),
            None => self.newest.push((beat, len)),
        }
    }

    /// In which part of its heartbeats a group stands.
    pub fn part_of(&self, group: usize) -> u8 {
        Part::of_group(group, self.in_force.groups_in_beat)
    }

    /// The place of the first group of this part.
    pub fn first_group(&self, part: Part) -> usize {
        if part.is_whole() { 0 } else { usize::from(part.index).saturating_mul(self.in_force.groups_in_beat) }
    }

    /// The number of the daemon's life that began last.
    pub fn life_number(&self) -> Incarnation {
        Incarnation(self.incarnation)
    }

    /// The process is gone; the kernel lives on.
    pub fn kill(&mut self) {
        self.process = Process::Dead;
        self.stalls = false;
        self.brain = None;
        self.newest.clear();
        self.nameless = None;
        self.life += 1;
        self.tick_at = Moment::NEVER;
        self.backlog.retain(|event| !event.is_of_the_process());
        self.answers_unicast.iter_mut().for_each(|on| *on = false);
    }

    /// The machine loses power.
    pub fn power_off(&mut self) {
        self.kill();
        self.comes_back = None;
        self.backlog.clear();
        self.power = Power::Off;
        self.boot += 1;
        self.kernel = Kernel::new(self.services.len());
        self.services.iter_mut().for_each(|service| {
            service.die();
        });
    }

    /// The machine boots; its clock begins anew.
    pub fn power_on(&mut self, now: Moment) {
        if self.power == Power::Off {
            self.power = Power::On;
            self.boot += 1;
            // Instants of another boot say nothing (src/daemon/state.rs).
            (self.disk.record.fenced, self.disk.record.fencing) = (None, None);
            self.clock = Clock::new(now, Mono(Span::secs(20).0), self.clock.ppm());
            self.busy_until = now;
        }
    }

    /// Keeps what cannot be taken in now.
    pub fn keep(&mut self, event: Event) {
        if self.backlog.len() < BACKLOG || !event.may_be_lost() {
            self.backlog.push(event);
        }
    }

    /// What waited.
    pub fn waited(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.backlog)
    }
}
