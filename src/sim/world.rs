//! The world: two machines, their links, the witnesses; one queue of what will happen, one thread, no clock but its own.

use std::sync::Arc;

use super::act::Act;
use super::check::Checker;
use super::clock::{Clock, Moment};
use super::cue::{Awaited, Told};
use super::device::Device;
use super::event::{Beat, Event};
use super::gateway::{DELAY, Due, FOREIGN, REACHABLE, RETRY, Witness};
use super::machine::{Machine, Maker, Power, Process};
use super::network::Network;
use super::pair::{Pair, group_id};
use super::promise::Promise;
use super::queue::Queue;
use super::record::{Lane, Recorder};
use super::rng::Rng;
use twinbeat_core::id::{LinkId, WitnessId};
use twinbeat_core::io::{Input, ServiceReport};
use twinbeat_core::time::{Mono, Span};

/// How often the checks look for a service that nobody gives.
pub(super) const AUDIT: Span = Span::millis(500);
/// What is counted for [`Promise::GetsOn`] is counted in a second.
const SECOND: Span = Span::secs(1);
/// Two nodes with eight groups and eight links, everything asked fast, a flood beside it: some thousand.
const MOST_A_SECOND: u64 = 200_000;
/// All of it.
pub struct World {
    pub(super) now: Moment,
    pub(super) pair: Pair,
    pub(super) maker: Maker,
    pub(super) queue: Queue<Event>,
    /// Both machines.
    pub machines: [Machine; 2],
    /// All ways.
    pub network: Network,
    /// The witnesses; the first is the gateway.
    pub witnesses: Vec<Witness>,
    /// A third machine answers for the group's VIP.
    pub stranger: Vec<bool>,
    /// Each node's device that turns the other one off.
    pub(super) fences: [Device; 2],
    /// When something last happened that no node did.
    pub(super) disturbed: Moment,
    /// For each group when a third machine was seen to have the address last.
    pub(super) estranged: Vec<Option<Moment>>,
    /// What happened.
    pub record: Recorder,
    /// What must never happen.
    pub check: Checker,
    pub(super) kernel_rng: Rng,
    pub(super) other_rng: Rng,
    /// The newest heartbeats to each node over each link, for an attacker to play back.
    pub(super) overheard: [Vec<(LinkId, Beat)>; 2],
    /// Real signatures, where they are wanted.
    pub(super) seals: Option<Box<super::seals::Seals>>,
    /// How many events there were.
    pub events: u64,
    /// Since when they are counted for [`Promise::GetsOn`], and how many there were by then.
    pub(super) second: (Moment, u64),
    pub(super) commands: u64,
    /// For each node and group when the queue will look for something that ended by itself.
    pub(super) expiries: [Vec<Moment>; 2],
    /// What a step waits for.
    pub(super) awaited: Option<Awaited>,
    /// It came.
    pub(super) came: bool,
    /// For each node and group what its newest heartbeat said.
    pub(super) told: [Vec<Told>; 2],
    /// For each node and group whether its kernel answered when it was last looked at.
    pub(super) answered: [Vec<bool>; 2],
    /// Which of the witnesses is none, but a client on the LAN with a table of its own.
    pub(super) client: Option<usize>,
}

/// What an attacker keeps.
pub(super) const OVERHEARD: usize = 64;

impl World {
    /// A world in which both machines are on and no daemon runs.
    pub fn new(pair: Pair, seed: u64, maker: Maker) -> World {
        let mut rng = Rng::stream(seed, 0);
        let mut machine = |node: usize| {
            let boot = Mono(rng.between(1_000_000_000_000, 9_000_000_000_000));
            Machine::new(&pair, node, Clock::new(Moment::ZERO, boot, 1_000_000))
        };
        let machines = [machine(0), machine(1)];
        let groups = pair.settings[0].groups.len();
        let targets = usize::from(pair.settings[0].witness.targets);
        let links = pair.settings[0].links.len();
        let mut queue = Queue::default();
        queue.push(Moment::ZERO + AUDIT, Event::Audit);
        World {
            now: Moment::ZERO,
            machines,
            network: Network::new(links, targets, seed),
            witnesses: (0..targets).map(|n| Witness::new(groups, n == 0)).collect(),
            stranger: vec![false; groups],
            fences: Default::default(),
            disturbed: Moment::ZERO,
            estranged: vec![None; groups],
            record: Recorder::new(&pair),
            check: Checker::new(&pair),
            kernel_rng: Rng::stream(seed, 2),
            other_rng: Rng::stream(seed, 3),
            overheard: [Vec::new(), Vec::new()],
            seals: None,
            events: 0,
            second: (Moment::ZERO, 0),
            commands: 0,
            expiries: [vec![Moment::NEVER; groups], vec![Moment::NEVER; groups]],
            awaited: None,
            came: false,
            told: [vec![Told::default(); groups], vec![Told::default(); groups]],
            answered: [vec![false; groups], vec![false; groups]],
            client: None,
            queue,
            pair,
            maker,
        }
    }

    /// The time.
    pub fn now(&self) -> Moment {
        self.now
    }

    /// The pair that it is about.
    pub fn pair(&self) -> &Pair {
        &self.pair
    }

    /// Lets everything happen that is due by `until`; then it is `until`, or the moment at which what is awaited came.
    pub fn run_until(&mut self, until: Moment) {
        while !self.came
            && let Some((at, event)) = self.queue.pop_by(until)
        {
            self.one(at, event);
        }
        if !self.came {
            self.now = until;
        }
    }

    /// One thing happens.
    pub(super) fn one(&mut self, at: Moment, event: Event) {
        self.now = at;
        self.events += 1;
        if at.since(self.second.0) >= SECOND {
            self.second = (at, self.events);
        }
        if self.events - self.second.1 > MOST_A_SECOND {
            let text = format!("more than {MOST_A_SECOND} events within a second: the story ends here");
            self.check.report(at, Promise::GetsOn, text);
            self.queue.clear();
            return;
        }
        self.happen(event);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Tick(node) => self.tick(node),
            Event::Deliver(node, link, input) => self.deliver(node, link, input),
            Event::Report(node, life, input) => {
                if self.waits(node, true) {
                    self.machines[node].keep(Event::Report(node, life, input));
                } else if self.machines[node].life == life && self.machines[node].runs() {
                    self.tell(node, input);
                }
            }
            Event::Execute(node, life, order) => self.execute(node, life, order),
            Event::Expire(node, group) => self.expire(node, group),
            Event::ServiceDone(node, boot, group, token) => self.service_done(node, boot, group, token),
            Event::Fenced(node, attempt) => self.fenced(node, attempt),
            Event::AtWitness(witness, from, frame) => self.at_witness(witness, from, frame),
            Event::ProbeAt(asker, node, group) => self.probed(asker, node, group),
            Event::AskedBy(witness, node, group, broadcast) => self.asked_by(witness, node, group, broadcast),
            Event::TableTimer(witness, group, timer) => self.table_timer(witness, group, timer),
            Event::Boot(node) => self.apply(&Act::PowerOn(node)),
            Event::Start(node) => self.apply(&Act::Start(node)),
            Event::Audit => {
                self.audit();
                self.queue.push(self.now + AUDIT, Event::Audit);
            }
        }
    }

    /// Whether an event of this node has to wait: the machine is paused, or (for the process) the daemon hangs.
    pub(super) fn waits(&self, node: usize, process: bool) -> bool {
        let machine = &self.machines[node];
        machine.power == Power::Paused || (process && machine.power == Power::On && machine.process == Process::Hung)
    }

    fn deliver(&mut self, node: usize, link: Option<usize>, input: Input) {
        if self.waits(node, true) {
            self.machines[node].keep(Event::Deliver(node, link, input));
            return;
        }
        let machine = &self.machines[node];
        // The gate thread tried in vain.
        let vain = machine.kernel.refuses && matches!(input, Input::Gate { .. });
        if !machine.runs() || vain || link.is_some_and(|link| !machine.carrier[link]) {
            return;
        }
        if let Input::Heard { link, beat } = &input {
            let heard = &mut self.overheard[node];
            if heard.len() < OVERHEARD {
                heard.push((*link, Arc::clone(beat)));
            } else {
                heard[(self.events as usize) % OVERHEARD] = (*link, Arc::clone(beat));
            }
        }
        if let Input::Heard { beat, .. } | Input::HeardByTable { beat, .. } = &input {
            // The shell opens no frame of other names (src/wire), and tells the decision nothing of it.
            if !self.machines[node].takes(&self.machines[1 - node], beat.get().incarnation) {
                return;
            }
            let first = self.machines[1 - node].first_group(beat.get().part);
            self.check.heard(node, (beat.get(), first), matches!(input, Input::HeardByTable { .. }));
        }
        if let Input::Heard { link, .. } = &input {
            self.record.heard(self.now, node, usize::from(link.0));
        }
        self.tell(node, input);
    }

    fn expire(&mut self, node: usize, group: usize) {
        if self.expiries[node][group] != self.now {
            return; // an older wish
        }
        self.expiries[node][group] = Moment::NEVER;
        if self.waits(node, false) {
            return; // asked for again when it goes on
        }
        let machine = &mut self.machines[node];
        let mono = machine.clock.read(self.now);
        let address = &mut machine.kernel.groups[group].address;
        if address.is_some_and(|until| until <= mono) {
            *address = None;
            self.deliver(node, None, Input::AddressGone { group: group_id(group) });
        }
        self.refresh(group);
        self.watch(node, group);
    }

    /// Asks to be woken when something in the kernel ends by itself.
    pub(super) fn watch(&mut self, node: usize, group: usize) {
        let machine = &self.machines[node];
        if machine.power != Power::On {
            return;
        }
        let mono = machine.clock.read(self.now);
        if let Some(until) = machine.kernel.next_expiry(mono, group) {
            let at = machine.clock.when(until);
            let asked = &mut self.expiries[node][group];
            if at < *asked {
                *asked = at;
                self.queue.push(at, Event::Expire(node, group));
            }
        }
    }

    fn service_done(&mut self, node: usize, boot: u32, group: usize, token: u32) {
        if self.machines[node].boot != boot {
            return;
        }
        if self.waits(node, false) {
            self.machines[node].keep(Event::ServiceDone(node, boot, group, token));
            return;
        }
        if let Some((attempt, report)) = self.machines[node].services[group].finish(token) {
            if matches!(report, ServiceReport::StartFailed { .. } | ServiceReport::StopFailed { .. }) {
                self.machines[node].services[group].failed = Some(self.now);
            }
            self.refresh(group);
            self.review_need();
            let input = Input::Services { group: group_id(group), attempt, report };
            self.deliver(node, None, input);
        }
    }

    fn table_timer(&mut self, witness: usize, group: usize, timer: u32) {
        match self.witnesses[witness].due(group, timer) {
            Due::Nothing => {}
            Due::Wait => self.queue.push(self.now + DELAY, Event::TableTimer(witness, group, timer)),
            Due::Unicast(node) => {
                // A foreign machine that only lied answers no probe.
                if node != FOREIGN {
                    self.ask(witness, node, group, false);
                }
                self.queue.push(self.now + RETRY, Event::TableTimer(witness, group, timer));
            }
            Due::Broadcast => {
                self.refresh(group);
                self.ask_all(witness, group);
                if self.witnesses[witness].clients {
                    self.queue.push(self.now + RETRY, Event::TableTimer(witness, group, timer));
                }
            }
        }
    }

    /// The table of a witness now names `node` (or [`FOREIGN`]), or names it afresh.
    pub(super) fn named(&mut self, witness: usize, group: usize, node: usize, confirmed: bool) {
        let table = &mut self.witnesses[witness];
        let before = table.names(group);
        let timer = match (node, confirmed) {
            (FOREIGN, _) => table.lied_to(group),
            (_, true) => table.confirmed(group, node),
            (_, false) => table.written(group, node),
        };
        if let Some(timer) = timer {
            let after = if confirmed { Span(self.other_rng.between(REACHABLE.0, REACHABLE.0 * 2)) } else { DELAY };
            self.queue.push(self.now + after, Event::TableTimer(witness, group, timer));
        }
        if before != self.witnesses[witness].names(group) {
            self.refresh(group);
        }
    }

    /// Starts the timers of a table whose clients ask though it has no entry.
    pub(super) fn wake_table(&mut self, witness: usize) {
        for group in 0..self.stranger.len() {
            let timer = self.witnesses[witness].restart(group);
            self.queue.push(self.now + RETRY, Event::TableTimer(witness, group, timer));
        }
    }

    /// Looks again at who answers and who is served, and hands changes to the record and the checks.
    pub fn refresh(&mut self, group: usize) {
        let answers = [self.machines[0].answers(self.now, group), self.machines[1].answers(self.now, group)];
        let served = self.served(group);
        for (node, answers) in answers.iter().enumerate() {
            self.record.set(self.now, Lane::Answers(group, node), answers.then_some("answers"));
        }
        self.did_answer(group, answers);
        let excuse = self.excuse(group);
        self.check.answering(self.now, group, answers, excuse);
        if let Some((from, to)) = self.record.owners(self.now, group, answers) {
            self.judge_move(group, from, to);
        }
        self.record.served(self.now, group, served);
        if let Some(client) = self.client {
            let served = self.served_at(client, group);
            self.record.served_on_the_lan(self.now, group, served);
        }
    }

    /// Looks again at every group.
    pub fn refresh_all(&mut self) {
        for group in 0..self.stranger.len() {
            self.refresh(group);
        }
    }

    /// Who serves the clients behind the gateway.
    pub fn served(&self, group: usize) -> Option<usize> {
        self.served_at(0, group)
    }

    /// Who serves those whose table this is.
    pub(super) fn served_at(&self, table: usize, group: usize) -> Option<usize> {
        let gateway = self.witnesses.get(table).filter(|gateway| gateway.up)?;
        let node = gateway.names(group).filter(|node| *node != FOREIGN)?;
        let machine = &self.machines[node];
        let service = &machine.services[group];
        let ready = machine.answers(self.now, group) && (service.running || !service.exists());
        (ready && self.reaches(node, table)).then_some(node)
    }

    /// Frames pass between a node and a witness, both ways.
    pub fn reaches(&self, node: usize, witness: usize) -> bool {
        let public = self.pair.public();
        let there = super::network::station(witness);
        let both = [self.network.path(public, node, there), self.network.path(public, there, node)];
        self.machines[node].carrier[public] && both.iter().all(|path| !path.cut)
    }

    /// A witness's own name, in inputs.
    pub(super) fn witness_id(witness: usize) -> WitnessId {
        WitnessId(witness as u8)
    }
}
