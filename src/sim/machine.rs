//! One machine: power, clock, kernel, services, disk, and the daemon's process with the decision inside it.

use std::sync::Arc;

use super::clock::{Clock, Moment};
use super::kernel::Kernel;
use super::pair::Pair;
use super::services::ServiceModel;
use super::world::Event;
use crate::core::heartbeat::{Heartbeat, Verified};
use crate::core::id::{Epoch, Incarnation};
use crate::core::io::{GroupRecord, Input, InterfaceState, Output, Record, Start};
use crate::core::node::Node;
use crate::core::settings::Settings;
use crate::core::time::{Mono, Span};
use crate::core::view::View;

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
    /// Whether standby by command is in force for a group, as `status` would say.
    fn held(&self, _group: usize) -> bool {
        false
    }
    /// Whether a witness's table counts as a register, as `status` would say.
    fn counts(&self, _witness: usize) -> bool {
        true
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
    fn held(&self, group: usize) -> bool {
        Node::held(self, group)
    }
    fn counts(&self, witness: usize) -> bool {
        Node::counts(self, witness)
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

/// What waits for a daemon that hangs or a machine that is paused, at the most; the rest is lost.
const BACKLOG: usize = 256;

/// The state directory.
#[derive(Clone, Debug)]
pub struct Disk {
    /// What was written last.
    pub record: Record,
    /// How long a write takes at the most; a quarter of it at the least.
    pub latency: Span,
    /// Writes fail.
    pub fails: bool,
}

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
    /// For each link whether its cable is plugged in here; the relay has the public link's.
    pub plugged: Vec<bool>,
    /// For each link whether its own interface has carrier ([`World::carriers`](super::world::World)).
    pub carrier: Vec<bool>,
    /// The decision, while there is a process.
    pub brain: Option<Box<dyn Brain>>,
    /// Counts the lives of the daemon, so that nothing reaches the wrong one.
    pub life: u32,
    /// Counts the boots of the machine.
    pub boot: u32,
    /// A graceful stop is under way.
    pub stopping: bool,
    /// The newest heartbeat sent.
    pub newest: Option<Arc<Verified<Heartbeat>>>,
    /// For each group whether the daemon answers unicast questions as a challenger.
    pub answers_unicast: Vec<bool>,
    /// When the queue will wake the daemon.
    pub tick_at: Moment,
    /// When the last order to the kernel will have been carried out: they go one after the other.
    pub busy_until: Moment,
    /// The next renewal is stopped between its reckoning and its sending.
    pub stalls: bool,
    /// When it was last paused and went on.
    pub unpaused: Option<Moment>,
    /// When its ruleset was last flushed.
    pub flushed: Option<Moment>,
    /// A restart is under way: the supervisor starts the daemon so long after its exit.
    pub comes_back: Option<Span>,
    /// What the configuration file says; it counts from the daemon's next start.
    pub settings: Settings,
    backlog: Vec<Event>,
    incarnation: u64,
}

impl Machine {
    /// A machine that is on, without a daemon.
    pub fn new(pair: &Pair, node: usize, clock: Clock) -> Machine {
        let settings = pair.settings[node].clone();
        let groups = settings.groups.len();
        Machine {
            power: Power::On,
            process: Process::Dead,
            clock,
            kernel: Kernel::new(groups),
            services: settings.groups.iter().map(|group| ServiceModel::new(group.services)).collect(),
            disk: Disk { record: Record::default(), latency: Span::millis(4), fails: false },
            plugged: vec![true; settings.links.len()],
            carrier: vec![true; settings.links.len()],
            brain: None,
            life: 0,
            boot: 0,
            stopping: false,
            newest: None,
            answers_unicast: vec![false; groups],
            tick_at: Moment::NEVER,
            busy_until: Moment::ZERO,
            stalls: false,
            unpaused: None,
            flushed: None,
            comes_back: None,
            settings,
            backlog: Vec::new(),
            incarnation: 0,
        }
    }

    /// The state directory knows of these epochs, group by group.
    pub fn has_seen(&mut self, epochs: &[Epoch]) {
        let groups = self.settings.groups.iter().zip(epochs).map(|(group, epoch)| GroupRecord {
            name: group.name.clone(),
            epoch: *epoch,
            owned: None,
            peer_lease: Span::ZERO,
            acked_lease: Span::ZERO,
            standby: None,
        });
        self.disk.record.groups = groups.collect();
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
        self.life += 1;
        self.incarnation += 1;
        let gates = self.kernel.adopt(mono);
        let start = Start {
            incarnation: Incarnation(self.incarnation),
            record: self.disk.record.clone(),
            gates,
            addresses: (0..self.services.len()).map(|group| self.kernel.has_address(mono, group)).collect(),
            running: self.services.iter().map(|service| service.running).collect(),
        };
        self.brain = Some(maker(self.settings.clone(), mono));
        let links = (0..self.carrier.len()).map(|link| self.link_input(link));
        Some(std::iter::once(Input::Start(start)).chain(links).collect())
    }

    /// What the daemon is told of a link's interface.
    pub fn link_input(&self, link: usize) -> Input {
        let state = if self.carrier[link] { InterfaceState::Up } else { InterfaceState::NoCarrier };
        Input::Link { link: crate::core::id::LinkId(link as u8), state }
    }

    /// The process is gone; the kernel lives on.
    pub fn kill(&mut self) {
        self.process = Process::Dead;
        self.stalls = false;
        self.brain = None;
        self.newest = None;
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
