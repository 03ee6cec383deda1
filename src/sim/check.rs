//! What must never happen, looked for in the world and not in what the nodes believe.

use super::clock::Moment;
use super::machine::{Power, Process};
use super::pair::Pair;
use super::world::World;
use crate::core::event::{Event, Kind};
use crate::core::heartbeat::{BeatRole, Heartbeat};
use crate::core::id::{Epoch, Incarnation};
use crate::core::settings::Timing;
use crate::core::time::Span;

/// What kind of promise was broken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Promise {
    /// Two kernels answered for one VIP.
    OneOwner,
    /// An epoch was used twice, or was not above all that the node had seen.
    Epochs,
    /// Nobody served although a healthy node could.
    SomebodyServes,
    /// After everything healed, not exactly one served.
    Heals,
    /// The service moved without need.
    NoNeedlessMove,
}

/// A broken promise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// When it was seen.
    pub at: Moment,
    /// Which.
    pub promise: Promise,
    /// One line for a person.
    pub text: String,
}

/// Watches the promises.
#[derive(Clone, Debug)]
pub struct Checker {
    /// What was broken.
    pub violations: Vec<Violation>,
    /// Two kernels may answer for so long (a scenario about a limit of SAFETY.md).
    pub allowed: Span,
    /// What SAFETY.md names as limits (a) and (e) is allowed as long as it lasts.
    pub limits: bool,
    /// The longest time that two kernels answered.
    pub longest: Span,
    names: [String; 2],
    group_names: Vec<String>,
    timing: Timing,
    both: Vec<Option<(Moment, bool)>>,
    owned: [Vec<Epoch>; 2],
    seen: [Vec<Epoch>; 2],
    lives: [Incarnation; 2],
    idle: Vec<Option<Moment>>,
}

impl Checker {
    /// Nothing seen yet.
    pub fn new(pair: &Pair) -> Checker {
        let groups = pair.settings[0].groups.len();
        let none = || vec![Epoch(0); groups];
        Checker {
            violations: Vec::new(),
            allowed: Span::ZERO,
            limits: false,
            longest: Span::ZERO,
            names: [pair.node_name(0).to_string(), pair.node_name(1).to_string()],
            group_names: pair.settings[0].groups.iter().map(|group| group.name.to_string()).collect(),
            timing: pair.timing(),
            both: vec![None; groups],
            owned: [none(), none()],
            seen: [none(), none()],
            lives: [Incarnation(0); 2],
            idle: vec![None; groups],
        }
    }

    fn broken(&mut self, at: Moment, promise: Promise, text: String) {
        // One of a kind is enough: the first is the one to look at.
        if self.violations.iter().filter(|v| v.promise == promise).count() < 4 {
            self.violations.push(Violation { at, promise, text });
        }
    }

    /// A node lost its state directory: its epochs may repeat (SAFETY R13).
    pub fn lost_state(&mut self, node: usize) {
        self.owned[node].iter_mut().for_each(|epoch| *epoch = Epoch(0));
    }

    /// A node may come to run on this lease: limits last as long.
    pub fn reckon_with(&mut self, lease: Span) {
        self.timing.lease = self.timing.lease.max(lease);
    }

    /// Who answers for a group now; `excuse`: a limit of SAFETY.md covers it.
    pub fn answering(&mut self, now: Moment, group: usize, answers: [bool; 2], excuse: bool) {
        match (answers == [true, true], self.both[group]) {
            (true, None) => self.both[group] = Some((now, excuse)),
            (true, Some((since, excused))) => self.both[group] = Some((since, excused || excuse)),
            (false, Some((since, excused))) => {
                self.both[group] = None;
                self.two(now, group, since, excused);
            }
            (false, None) => {}
        }
    }

    fn two(&mut self, now: Moment, group: usize, since: Moment, excused: bool) {
        let lasted = now.since(since);
        self.longest = self.longest.max(lasted);
        // A limit lasts until the gate closes by itself: a lease, and what clocks and the network add.
        let limit = self.timing.outrun(self.timing.lease) * 2 + Span::secs(1);
        let covered = self.limits && excused && lasted <= limit;
        if lasted > self.allowed && !covered {
            let text = format!(
                "both {} and {} answered for {} for {lasted}, from {}",
                self.names[0], self.names[1], self.group_names[group], since
            );
            self.broken(since, Promise::OneOwner, text);
        }
    }

    /// A heartbeat reached a node.
    pub fn heard(&mut self, node: usize, beat: &Heartbeat) {
        if usize::from(beat.from.0) == node {
            return;
        }
        for (group, said) in beat.groups.iter().enumerate() {
            if said.role == BeatRole::Owner && group < self.seen[node].len() {
                let seen = &mut self.seen[node][group];
                *seen = (*seen).max(said.epoch);
            }
        }
    }

    /// A node sent a heartbeat.
    pub fn sent(&mut self, _now: Moment, node: usize, beat: &Heartbeat) {
        self.lives[node] = beat.incarnation;
    }

    /// A node noted something.
    pub fn noted(&mut self, now: Moment, node: usize, event: &Event) {
        let Kind::Owner(group, epoch) = event.kind else { return };
        let group = usize::from(group.0);
        let (owned, seen) = (self.owned[node][group], self.seen[node][group]);
        let name = (&self.names[node], &self.group_names[group]);
        let wrong = if epoch.0 % 2 != node as u64 {
            Some(format!("{} owns {} with epoch {epoch}, which is not one of its numbers", name.0, name.1))
        } else if epoch == owned {
            Some(format!("{} owns {} with epoch {epoch} a second time", name.0, name.1))
        } else if epoch < owned {
            Some(format!("{} owns {} with epoch {epoch} after it had owned with {owned}", name.0, name.1))
        } else if epoch <= seen {
            Some(format!("{} owns {} with epoch {epoch} though it had heard of {seen}", name.0, name.1))
        } else {
            None
        };
        self.owned[node][group] = epoch.max(owned);
        if let Some(text) = wrong {
            self.broken(now, Promise::Epochs, text);
        }
    }

    /// Nobody answers for a group although somebody could, or not.
    pub fn idle(&mut self, now: Moment, group: usize, could: Option<usize>) {
        let Some(node) = could else {
            self.idle[group] = None;
            return;
        };
        let since = *self.idle[group].get_or_insert(now);
        if now.since(since) > idle_bound(&self.timing) {
            self.idle[group] = None;
            let text = format!(
                "nobody answered for {} for {} though {} could",
                self.group_names[group],
                now.since(since),
                self.names[node]
            );
            self.broken(now, Promise::SomebodyServes, text);
        }
    }

    /// A fault came or went: patience begins anew.
    pub fn disturbed(&mut self) {
        self.idle.iter_mut().for_each(|since| *since = None);
    }

    /// The run is over.
    pub fn end(&mut self, now: Moment) {
        for group in 0..self.both.len() {
            if let Some((since, excused)) = self.both[group].take() {
                self.two(now, group, since, excused);
            }
        }
    }

    /// Something else that must not be.
    pub fn report(&mut self, at: Moment, promise: Promise, text: String) {
        self.broken(at, promise, text);
    }
}

/// How long nobody may serve while a node could and nothing changes.
pub fn idle_bound(timing: &Timing) -> Span {
    timing.init_dead + timing.dead * 2 + Span::secs(15)
}

impl World {
    /// Whether a limit of SAFETY.md covers that both answer: (0) a renewal was stopped on its way, (a) a machine was paused, (e) a ruleset was flushed.
    pub(super) fn excuse(&self, group: usize) -> bool {
        let timing = self.pair.timing();
        let recent = timing.outrun(timing.lease) + timing.slack();
        self.machines.iter().any(|machine| {
            let late = machine.unpaused.max(machine.stalled);
            let unpaused = late.is_some_and(|at| self.now.since(at) <= recent);
            let mono = machine.clock.read(self.now);
            unpaused || (!machine.kernel.table && machine.kernel.has_address(mono, group))
        })
    }

    /// A node that could serve a group, as far as anybody can see from outside.
    pub fn could_serve(&self, node: usize, group: usize) -> bool {
        let machine = &self.machines[node];
        let majority = self.pair.settings[node].witness.majority();
        let patience = self.pair.timing().delivery / 4;
        let public = self.pair.public();
        let good = |witness: usize| {
            let station = super::network::station(witness);
            let ways = [self.network.path(public, node, station), self.network.path(public, station, node)];
            let gateway = &self.witnesses[witness];
            gateway.up
                && !gateway.pins
                && !gateway.last_hop
                && self.reaches(node, witness)
                && ways.iter().all(|way| way.loss <= 50_000 && way.corrupt <= 50_000 && way.delay + way.jitter < patience)
        };
        machine.power == Power::On
            && machine.process == Process::Running
            && !machine.stopping
            && !machine.disk.fails
            && machine.disk.latency <= Span::millis(500)
            && !machine.services[group].start_fails
            && !self.machines.iter().any(|machine| machine.services[group].stop_fails)
            && !self.stranger[group]
            && (0..self.witnesses.len()).filter(|witness| good(*witness)).count() >= majority
    }

    pub(super) fn audit(&mut self) {
        for group in 0..self.stranger.len() {
            let answered = self.machines.iter().any(|machine| machine.answers(self.now, group));
            let could = (0..2).find(|node| self.could_serve(*node, group));
            self.check.idle(self.now, group, could.filter(|_| !answered));
        }
    }

    /// After everything healed: exactly one kernel answers for each group, and its clients are served.
    pub fn demand_health(&mut self) {
        for group in 0..self.stranger.len() {
            let answering = (0..2).filter(|node| self.machines[*node].answers(self.now, group)).count();
            let name = self.pair.settings[0].groups[group].name.clone();
            let text = match (answering, self.served(group)) {
                (1, Some(_)) => continue,
                (1, None) => format!("everything healed, one node answers for {name}, yet its clients are not served"),
                (n, _) => format!("everything healed, yet {n} nodes answer for {name}"),
            };
            self.check.report(self.now, Promise::Heals, text);
        }
    }
}
