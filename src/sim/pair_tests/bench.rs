//! A pair with a cable, a LAN and a gateway in the simulator's world, in the words of the tests: what is done to it, and whose kernel answers.

use crate::act::{Act, Quality};
use crate::clock::Moment;
use crate::event::{Event, Order};
use crate::expect::Said;
use crate::gateway::Entry;
use crate::machine::{Power, Process, real};
use crate::network::station;
use crate::pair::{Added, Builder, profile};
use crate::world::World;
use twinbeat_core::id::{GroupId, Mac};
use twinbeat_core::io::{AddressOrder, Command, Input, Output};
use twinbeat_core::node::Node;
use twinbeat_core::settings::{Failback, Timing};
use twinbeat_core::time::{Mono, Span};
use twinbeat_core::view::View;

/// The dedicated cable; the group's second address is on it.
pub const CABLE: usize = 0;
/// The public side.
pub const LAN: usize = 1;
/// The preferred node.
pub const A: usize = 0;
/// The other one.
pub const B: usize = 1;
/// The group's place.
const WEB: usize = 0;

/// The profile "fast".
pub fn fast() -> Timing {
    profile("fast").unwrap()
}

/// The world, and who answered in it.
pub struct Bench {
    world: World,
    /// Whose kernel answered from when on.
    owners: Vec<(Moment, Option<usize>)>,
    /// When both kernels answered, if they ever did.
    both: Option<Moment>,
    /// How often addresses were added on each node.
    adds: [usize; 2],
    /// The next refresh of this node's addresses finds them expired.
    late: Option<usize>,
    /// The gateway's entry for the guard VIP that an edited file names.
    edited: Option<Entry>,
}

impl Bench {
    /// Two machines without power.
    pub fn dark(failback: Failback) -> Bench {
        let builder = Builder { links: vec!["cable"], relay: false, timing: fast(), failback, ..Builder::default() };
        let pair = Builder { added: Some(Added::First), second: true, ..builder }.build();
        let mut world = World::new(pair, 1, real);
        (world.record.lines, world.record.said) = (Some(Vec::new()), Some(Vec::new()));
        for node in [A, B] {
            world.apply(&Act::PowerOff(node));
            world.apply(&Act::DiskTime(node, Span::micros(400)));
            world.apply(&Act::ServiceTime(node, Span::micros(300)));
        }
        Bench { world, owners: vec![(Moment::ZERO, None)], both: None, adds: [0; 2], late: None, edited: None }
    }

    /// Both started and settled: A serves.
    pub fn settled() -> Bench {
        Bench::settled_with(Failback::Auto)
    }

    /// The same with another failback.
    pub fn settled_with(failback: Failback) -> Bench {
        let mut w = Bench::dark(failback);
        w.start(A);
        w.start(B);
        w.run(Span::secs(12));
        w.only(A);
        w
    }

    /// The world's time.
    pub fn now(&self) -> Moment {
        self.world.now()
    }

    /// Whether this machine's kernel answers for the VIP.
    pub fn answers(&self, i: usize) -> bool {
        self.world.machines[i].answers(self.now(), WEB)
    }

    /// Whose kernel answers.
    fn owner(&self) -> Option<usize> {
        (0..2).find(|i| self.answers(*i))
    }

    /// Starts a machine's daemon, and its power where it has none.
    pub fn start(&mut self, i: usize) {
        let off = self.world.machines[i].power == Power::Off;
        self.act(if off { Act::PowerOn(i) } else { Act::Start(i) });
    }

    /// SIGKILL: the kernel lives on.
    pub fn kill(&mut self, i: usize) {
        self.act(Act::Kill(i));
    }

    /// Its daemon runs and does not hang.
    pub fn tends(&self, i: usize) -> bool {
        let machine = &self.world.machines[i];
        machine.runs() && !self.world.waits(i, true)
    }

    /// No daemon runs there.
    pub fn is_gone(&self, i: usize) -> bool {
        self.world.machines[i].process == Process::Dead
    }

    /// Pulls the plug.
    pub fn power_off(&mut self, i: usize) {
        self.act(Act::PowerOff(i));
    }

    /// SIGSTOP.
    pub fn hang(&mut self, i: usize) {
        self.act(Act::Hang(i));
    }

    /// SIGCONT: what waited is read.
    pub fn wake(&mut self, i: usize) {
        self.act(Act::Wake(i));
    }

    /// The public carrier of a node goes or comes.
    pub fn set_carrier(&mut self, i: usize, up: bool) {
        self.act(Act::Carrier(i, LAN, up));
    }

    /// The interface of a node's cable goes or comes.
    pub fn set_missing(&mut self, i: usize, missing: bool) {
        self.act(Act::Interface(i, CABLE, !missing));
    }

    /// A third machine answers a probe for the address.
    pub fn stranger_answers(&mut self, i: usize) {
        self.world.tell(i, Input::Answered { group: GroupId(0), by: Mac([2, 0, 0, 0, 0, 8]) });
    }

    /// Frames from a node over a link to the other are lost, silently, or are not.
    pub fn cut(&mut self, link: usize, from: usize, on: bool) {
        self.act(Act::Ways(vec![(link, from, 1 - from)], Quality::Cut(on)));
    }

    /// The same for both links and both nodes.
    pub fn cut_all(&mut self, on: bool) {
        let ways = [CABLE, LAN].iter().flat_map(|link| [(*link, A, B), (*link, B, A)]);
        self.act(Act::Ways(ways.collect(), Quality::Cut(on)));
    }

    /// The ways between a node and the gateway are cut, silently, or are not.
    pub fn cut_gateway(&mut self, i: usize, on: bool) {
        self.act(Act::Ways(vec![(LAN, i, station(0)), (LAN, station(0), i)], Quality::Cut(on)));
    }

    /// Cuts every way of this node, or mends them.
    pub fn isolate(&mut self, i: usize, on: bool) {
        self.cut_all(on);
        self.cut_gateway(i, on);
    }

    /// The gateway runs, or does not.
    pub fn gateway(&mut self, up: bool) {
        self.act(Act::WitnessUp(0, up));
    }

    /// The gateway answers whoever asks, whatever its table says: it is no register.
    pub fn answers_sender(&mut self, on: bool) {
        self.act(Act::LastHop(0, on));
    }

    /// Frames in the address's name from these nodes are dropped by the switch (port security).
    pub fn guard(&mut self, nodes: [bool; 2]) {
        (0..2).for_each(|i| self.act(Act::PortSecurity(i, nodes[i])));
    }

    /// A node's file names another guard VIP, from its next start on.
    pub fn edit(&mut self, i: usize) {
        let mut settings = self.world.pair().files[i].clone();
        settings.groups[WEB].vips[0] = "192.168.42.15/25".into();
        self.act(Act::Configure(i, Box::new(settings)));
    }

    /// A person's command.
    pub fn command(&mut self, i: usize, command: Command) {
        self.act(Act::Command(i, command));
    }

    /// The answers to the commands on a node, oldest first: done or refused, and the words.
    pub fn replies(&self, i: usize) -> Vec<(Said, String)> {
        let said = self.world.record.said.iter().flatten().filter(|(_, node, kind, _)| *node == i && *kind != Said::Log);
        said.map(|(.., kind, text)| (*kind, text.clone())).collect()
    }

    /// A foreign hand deletes the address.
    pub fn delete_address(&mut self, i: usize) {
        self.act(Act::DeleteVip(i, WEB));
    }

    /// The next refresh of a node's addresses comes too late: they are gone.
    pub fn refresh_late(&mut self, i: usize) {
        self.late = Some(i);
    }

    /// How often a node's addresses were added.
    pub fn adds(&self, i: usize) -> usize {
        self.adds[i]
    }

    /// A foreign hand flushes the ruleset; the daemon hears of it a moment later.
    pub fn flush(&mut self, i: usize) {
        self.act(Act::FlushRuleset(i));
    }

    /// The gate is closed in the kernel behind the daemon's back, as by a lapse.
    pub fn lapse(&mut self, i: usize) {
        self.world.machines[i].kernel.groups[WEB].gate = None;
        self.world.refresh_all();
        self.look();
    }

    /// How much longer the gate of a node is open; none when it is closed.
    pub fn gate_left(&self, i: usize) -> Option<Span> {
        let machine = &self.world.machines[i];
        let now = machine.clock.read(self.now());
        machine.kernel.groups[WEB].gate.filter(|until| *until > now).map(|until| until.since(now))
    }

    /// Everything works again: links, gateway, power, daemons.
    pub fn heal(&mut self) {
        self.act(Act::Heal);
    }

    fn act(&mut self, act: Act) {
        self.world.apply(&act);
        self.look();
    }

    /// Lets time pass.
    pub fn run(&mut self, span: Span) {
        let end = self.now() + span;
        while self.one(end) {}
        self.world.run_until(end);
        self.look();
    }

    /// Lets time pass until this node's kernel answers; how long that took.
    pub fn until_serves(&mut self, i: usize, limit: Span) -> Span {
        let began = self.now();
        while !self.answers(i) {
            assert!(self.one(began + limit), "{i} does not serve within {limit}\n{}", self.log());
        }
        self.now().since(began)
    }

    /// Lets time pass until this node's kernel no longer answers.
    pub fn until_silent(&mut self, i: usize, limit: Span) {
        let end = self.now() + limit;
        while self.answers(i) {
            assert!(self.one(end), "{i} still serves after {limit}\n{}", self.log());
        }
    }

    /// Lets the next thing happen, if one is due by `until`.
    fn one(&mut self, until: Moment) -> bool {
        let Some((at, event)) = self.world.queue.pop_by(until) else { return false };
        match event {
            Event::Execute(i, _, Order::Address(_, _, AddressOrder::Add(_))) => self.adds[i] += 1,
            Event::Execute(i, _, Order::Address(_, _, AddressOrder::Refresh(_))) if self.late == Some(i) => {
                self.late = None;
                self.world.machines[i].kernel.groups[WEB].address = None;
            }
            _ => {}
        }
        // The gateway has an entry for each address, and the world one for each group.
        let other = matches!(event, Event::AtWitness(_, from, _) if from < 2 && self.has_other_guard(from));
        if other {
            self.change_entries();
        }
        self.world.one(at, event);
        if other {
            self.change_entries();
        }
        self.look();
        true
    }

    fn has_other_guard(&self, i: usize) -> bool {
        self.world.machines[i].in_force.groups[WEB].vips[0] != self.world.pair().files[i].groups[WEB].vips[0]
    }

    fn change_entries(&mut self) {
        std::mem::swap(&mut self.world.witnesses[0].table[WEB], &mut self.edited);
    }

    fn look(&mut self) {
        if self.both.is_none() && self.answers(A) && self.answers(B) {
            self.both = Some(self.now());
        }
        let owner = self.owner();
        if self.owners.last().is_none_or(|(_, last)| *last != owner) {
            self.owners.push((self.now(), owner));
        }
    }

    /// How often the owner changed, the first one included.
    pub fn moves(&self) -> usize {
        self.world.record.moves[WEB].len()
    }

    /// When this node began to answer, each time since a moment.
    pub fn began(&self, i: usize, since: Moment) -> Vec<Moment> {
        self.owners.iter().filter(|(at, owner)| *at >= since && *owner == Some(i)).map(|(at, _)| *at).collect()
    }

    /// Asserts that exactly this node's kernel answers, and that there were never two.
    pub fn only(&self, i: usize) {
        self.never_two();
        assert!(self.answers(i) && !self.answers(1 - i), "owner is {:?}, not {i}\n{}", self.owner(), self.log());
    }

    /// Asserts that nobody answers, and that there were never two.
    pub fn nobody(&self) {
        self.never_two();
        assert_eq!(self.owner(), None, "{}", self.log());
    }

    /// Asserts that two kernels never answered at once.
    pub fn never_two(&self) {
        assert_eq!((self.both, self.world.check.longest), (None, Span::ZERO), "two kernels answered\n{}", self.log());
    }

    /// Asserts that since this moment only this node answered, without a gap.
    pub fn steady_since(&self, since: Moment, i: usize) {
        self.only(i);
        let last = self.owners.last().map_or(Moment::ZERO, |(at, _)| *at);
        assert!(last <= since, "the owner changed at {last}, after {since}\n{}", self.log());
    }

    /// The trace.
    pub fn log(&self) -> String {
        self.world.record.lines.iter().flatten().fold(String::new(), |all, line| all + line + "\n")
    }

    /// What `status` would show.
    pub fn view(&self, i: usize) -> View {
        self.world.view(i).unwrap()
    }

    /// Gives one tick out of turn; what came out.
    pub fn early_tick(&mut self, i: usize, at: Mono) -> Vec<Output> {
        let brain = self.world.machines[i].brain.as_mut().unwrap();
        brain.handle(at, Input::Tick);
        std::iter::from_fn(|| brain.poll()).collect()
    }

    /// A copy of a decision that runs, to be given ticks of its own.
    pub fn copy(&self, i: usize) -> Option<Node> {
        self.world.machines[i].brain.as_ref().filter(|_| self.world.machines[i].runs())?.copy()
    }

    /// The node's own clock, and when it wants its next tick.
    pub fn clock(&self, i: usize) -> (Mono, Option<Mono>) {
        let machine = &self.world.machines[i];
        (machine.clock.read(self.now()), machine.brain.as_ref().and_then(|brain| brain.deadline()))
    }
}
