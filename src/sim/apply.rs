//! Does to the world what a scenario says.

use std::sync::Arc;

use super::act::Act;
use super::clock::Moment;
use super::device::Device;
use super::event::{Event, Frame, Order};
use super::gateway::FOREIGN;
use super::machine::{DISK_LATENCY, Power, Process};
use super::quality::change;
use super::record::Lane;
use super::world::World;
use twinbeat_core::bite::{self, Clause};
use twinbeat_core::heartbeat::{BeatRole, Heartbeat, Verified};
use twinbeat_core::id::{Epoch, Mac};
use twinbeat_core::io::{Command, GateReport, Input};
use twinbeat_core::settings::Settings;
use twinbeat_core::time::Span;

/// Why the disk takes nothing.
const FULL: &str = "no space left on device";

impl World {
    /// Does one thing.
    pub fn apply(&mut self, act: &Act) {
        self.check.disturbed();
        // A node that boots keeps nobody from hearing what it is told.
        if !matches!(act, Act::Start(_) | Act::PowerOn(_)) {
            self.disturbed = self.now;
        }
        let now = self.now;
        self.check.need.act(now, act);
        match act {
            Act::Start(node) => self.start(*node),
            Act::Stop(node) => {
                self.machines[*node].stopping = true;
                self.command(*node, Command::Shutdown);
            }
            Act::Kill(node) => {
                self.machines[*node].comes_back = None;
                self.machines[*node].kill();
            }
            Act::Hang(node) => {
                let machine = &mut self.machines[*node];
                if machine.process == Process::Running {
                    machine.process = Process::Hung;
                }
            }
            Act::Stall(node) => self.machines[*node].stalls = self.machines[*node].process == Process::Running,
            Act::Wake(node) => {
                self.machines[*node].stalls = false;
                if self.machines[*node].process == Process::Hung {
                    self.machines[*node].process = Process::Running;
                    self.go_on(*node);
                }
            }
            Act::PowerOff(node) => {
                self.machines[*node].power_off();
                self.carriers();
            }
            Act::PowerOn(node) => {
                self.power_on(*node);
                self.start(*node);
            }
            Act::Pause(node) => {
                let machine = &mut self.machines[*node];
                if machine.power == Power::On {
                    machine.power = Power::Paused;
                    machine.paused = Some(now);
                    machine.clock.set_stopped(now, true);
                }
            }
            Act::Unpause(node) => {
                let machine = &mut self.machines[*node];
                if machine.power == Power::Paused {
                    machine.power = Power::On;
                    machine.clock.set_stopped(now, false);
                    machine.unpaused = Some(now);
                    // By its own clock what failed before is as recent as it was.
                    let pause = machine.paused.take().map_or(Span::ZERO, |at| now.since(at));
                    let failed = machine.services.iter_mut().filter_map(|service| service.failed.as_mut());
                    failed.for_each(|at| *at = *at + pause);
                    self.go_on(*node);
                }
            }
            Act::Carrier(node, link, up) => self.carrier(*node, *link, *up),
            Act::Interface(node, link, there) => self.interface(*node, *link, *there),
            Act::Ways(ways, quality) => {
                for (link, from, to) in ways {
                    change(self.network.path_mut(*link, *from, *to), *quality);
                }
            }
            Act::PortSecurity(node, on) => self.network.guarded[*node] = *on,
            Act::RelayBlocked(blocked) => self.network.relay_blocked = *blocked,
            Act::WitnessUp(witness, up) => self.witness_up(*witness, *up),
            Act::Pins(witness, on) => {
                self.witnesses[*witness].pins = *on;
                self.witnesses[*witness].turns(*on, self.now);
                self.wake_table(*witness);
            }
            Act::LastHop(witness, on) => {
                self.witnesses[*witness].last_hop = *on;
                self.witnesses[*witness].turns(*on, self.now);
                if *on && self.network.relay_blocked {
                    self.network.turned_unseen = Some(self.now);
                }
            }
            Act::Limits(witness, rate) => self.witnesses[*witness].limit = *rate,
            Act::Forgets(witness) => self.forget(*witness),
            Act::Stranger(group, on) => {
                self.stranger[*group] = *on;
                // Between two audits too.
                self.estranged[*group] = Some(self.now);
            }
            // In a machine that stands still nothing ends.
            Act::ServiceDies(node, group) if self.machines[*node].power != Power::Paused => self.service_dies(*node, *group),
            Act::ServiceDies(..) => {}
            Act::StartFails(node, group, on) => self.machines[*node].services[*group].start_fails = *on,
            Act::Obstacle(node, group, on) => {
                self.machines[*node].services[*group].obstacle = *on;
                let input = self.machines[*node].services[*group].startable(super::pair::group_id(*group));
                self.queue.push(self.now + Span::millis(1), Event::Deliver(*node, None, input));
            }
            Act::FenceFails(node, on) => self.fences[*node].fails = *on,
            Act::FenceTime(node, time) => self.fences[*node].takes = Some(*time),
            Act::StopFails(node, group, on) => self.machines[*node].services[*group].stop_fails = *on,
            Act::ServiceTime(node, time) => {
                self.machines[*node].services.iter_mut().for_each(|service| service.latency = *time);
            }
            Act::DiskTime(node, time) => self.machines[*node].disk_latency = *time,
            Act::DiskFails(node, on) => self.machines[*node].disk.fails = on.then_some(FULL),
            Act::ClockRate(node, ppm) => {
                self.machines[*node].clock.set_rate(now, *ppm);
                self.rewatch(*node);
            }
            Act::Command(node, command) => self.command(*node, command.clone()),
            Act::DeleteVip(node, group) => {
                let machine = &mut self.machines[*node];
                let mono = machine.clock.read(now);
                if machine.power == Power::On && machine.kernel.delete_address(mono, *group) {
                    let input = Input::AddressGone { group: super::pair::group_id(*group) };
                    self.queue.push(now + Span::micros(40), Event::Deliver(*node, None, input));
                }
            }
            Act::FlushRuleset(node) => {
                let machine = &mut self.machines[*node];
                if machine.power == Power::On {
                    machine.kernel.flush();
                    machine.flushed = Some(now);
                    self.queue.push(now + Span::micros(60), Event::Deliver(*node, None, Input::GateTableGone));
                }
            }
            Act::GateRefused(node, on) => self.refuse_gate(*node, *on),
            Act::Forge(node) => {
                self.forge_frames(*node);
                self.forge(*node);
            }
            Act::PlayBack(node, count) => self.play_back(*node, *count),
            Act::FalseAnnouncement(group) => {
                let (at, group) = (now + Span::micros(100), super::pair::group_id(*group));
                // Witnesses first: the owner's answer must not be older than the lie.
                for witness in 0..self.witnesses.len() {
                    self.queue.push(at, Event::AtWitness(witness, FOREIGN, Frame::Lie(group)));
                }
                for node in 0..2 {
                    let input = Input::Announced { group, by: Mac([2, 0, 0, 0, 0, 0x66]) };
                    self.queue.push(at, Event::Deliver(node, Some(self.pair.public()), input));
                }
            }
            Act::Restart(node, after) => {
                if self.machines[*node].runs() {
                    self.machines[*node].comes_back = Some(*after);
                    self.command(*node, Command::ComeBack);
                }
            }
            Act::Configure(node, settings) => {
                self.check.reckon_with(settings.timing.lease);
                self.machines[*node].settings = Settings::clone(settings);
            }
            Act::LoseState(node) => {
                self.check.forgot(*node);
                let machine = &mut self.machines[*node];
                let lost = std::mem::take(&mut machine.disk.record);
                machine.disk_ill = true;
                if machine.process != Process::Dead && machine.power != Power::Off {
                    // A daemon that runs is told by the kernel, and writes it anew (src/daemon/state_watch.rs).
                    machine.nameless.get_or_insert(lost);
                    let (at, life) = (self.now + machine.disk_latency, machine.life);
                    self.queue.push(at, Event::Execute(*node, life, Order::PersistAnew));
                }
            }
            Act::Heal => self.heal(),
        }
        self.show_states();
        self.review_need();
        self.refresh_all();
    }

    /// The kernel makes no gate from now on, or does again; the gate thread then tries once a second.
    fn refuse_gate(&mut self, node: usize, on: bool) {
        let (now, machine) = (self.now, &mut self.machines[node]);
        if machine.power == Power::Off || machine.kernel.refuses == on {
            return;
        }
        machine.kernel.refuse(machine.clock.read(now), on);
        if on {
            machine.flushed = Some(now);
            self.queue.push(now + Span::micros(60), Event::Deliver(node, None, Input::GateTableGone));
        } else {
            for group in 0..self.stranger.len() {
                let input = Input::Gate { group: super::pair::group_id(group), generation: 0, report: GateReport::Closed };
                self.queue.push(now + Span::secs(1), Event::Deliver(node, None, input));
            }
        }
    }

    /// Whether machines and daemons run, for the record.
    pub(super) fn show_states(&mut self) {
        for node in 0..2 {
            let machine = &self.machines[node];
            let state = match (machine.power, machine.process) {
                (Power::Off, _) => Some("off"),
                (Power::Paused, _) => Some("paused"),
                (Power::On, Process::Dead) => Some("no daemon"),
                (Power::On, Process::Hung) => Some("hung"),
                (Power::On, Process::Running) => None,
            };
            self.record.set(self.now, Lane::Machine(node), state);
        }
    }

    /// A machine boots; its daemon does not start by that.
    pub fn power_on(&mut self, node: usize) {
        self.machines[node].power_on(self.now);
        self.carriers();
    }

    /// The daemon is started so long from now.
    pub fn start_after(&mut self, node: usize, after: Span) {
        self.queue.push(self.now + after, Event::Start(node));
    }

    fn start(&mut self, node: usize) {
        let now = self.now;
        let Some(inputs) = self.machines[node].start(now, self.maker) else { return };
        self.record.began.push(now);
        let known = self.machines[node].in_force.groups.len();
        self.check.forgot_groups(node, known);
        let (life, machine) = (self.machines[node].life_number(), &self.machines[node]);
        self.check.began(node, life, machine.in_force.me, |group| machine.granted_on_disk(group));
        if let Some(called) = machine.renamed() {
            self.record.note(now, node, "world", || format!("begins as {}", called.words()));
        }
        if let Some(seals) = &mut self.seals {
            seals.begins(node, &self.machines[node].in_force);
        }
        inputs.into_iter().for_each(|input| self.tell(node, input));
        self.rewatch(node);
    }

    fn command(&mut self, node: usize, command: Command) {
        self.commands += 1;
        if let Command::Standby { group: Some(group), .. } | Command::Takeover { group: Some(group) } = &command
            && usize::from(group.0) >= self.machines[node].in_force.groups.len()
        {
            // As the daemon answers before its decision hears of it.
            let answer = twinbeat_core::io::Answer::Refused("no such group".into());
            return self.record.answer(self.now, node, self.commands, &answer);
        }
        let input = Input::Command { id: self.commands, command };
        self.queue.push(self.now + Span::micros(30), Event::Deliver(node, None, input));
    }

    /// A process or machine goes on: what waited happens now, in its order.
    fn go_on(&mut self, node: usize) {
        if self.machines[node].power != Power::On {
            return;
        }
        for (place, event) in self.machines[node].waited().into_iter().enumerate() {
            self.queue.push(self.now + Span::micros(2 * place as u64), event);
        }
        self.machines[node].tick_at = Moment::NEVER;
        if self.machines[node].runs() {
            self.wish(node);
        }
        self.rewatch(node);
    }

    fn rewatch(&mut self, node: usize) {
        for group in 0..self.stranger.len() {
            self.expiries[node][group] = Moment::NEVER;
            self.watch(node, group);
        }
        if self.machines[node].runs() {
            self.machines[node].tick_at = Moment::NEVER;
            self.wish(node);
        }
    }

    fn carrier(&mut self, node: usize, link: usize, up: bool) {
        for place in 0..self.network.links() {
            if place == link || (link == self.pair.public() && self.pair.settings[node].links[place].relay) {
                self.machines[node].plugged[place] = up;
            }
        }
        self.carriers();
    }

    /// With the interface go its addresses, the VIPs too where it is the public one.
    fn interface(&mut self, node: usize, link: usize, there: bool) {
        let public = self.pair.public();
        for place in 0..self.network.links() {
            if place == link || (link == public && self.pair.settings[node].links[place].relay) {
                self.machines[node].missing[place] = !there;
            }
        }
        if link == public && !there {
            for group in 0..self.stranger.len() {
                self.apply(&Act::DeleteVip(node, group));
            }
        }
        self.carriers();
    }

    /// A direct cable has carrier at both ends or at neither, and none beside a machine without power; the public link ends at a switch.
    fn carriers(&mut self) {
        for node in 0..2 {
            for link in 0..self.network.links() {
                let ready = |node: usize| self.machines[node].plugged[link] && !self.machines[node].missing[link];
                let there = |node: usize| ready(node) && self.machines[node].power != Power::Off;
                let of = &self.pair.settings[node].links[link];
                let switched = link == self.pair.public() || of.relay || of.silent;
                let up = ready(node) && (switched || there(1 - node));
                self.machines[node].carrier[link] = up;
                let state = self.machines[node].state_of(link);
                if std::mem::replace(&mut self.machines[node].told[link], state) == state {
                    continue;
                }
                let input = self.machines[node].link_input(link);
                // Polled each 10 ms, or an event: a few milliseconds.
                self.queue.push(self.now + Span::millis(5), Event::Deliver(node, None, input));
            }
        }
    }

    fn witness_up(&mut self, witness: usize, up: bool) {
        let was = std::mem::replace(&mut self.witnesses[witness].up, up);
        if up && !was {
            self.forget(witness); // it booted
        }
    }

    fn forget(&mut self, witness: usize) {
        for group in 0..self.stranger.len() {
            self.witnesses[witness].forget(group);
        }
        if self.witnesses[witness].clients {
            self.wake_table(witness);
        }
    }

    fn service_dies(&mut self, node: usize, group: usize) {
        let service = &mut self.machines[node].services[group];
        if service.die() {
            service.failed = Some(self.now);
            let report = service.falls("killed by signal 11");
            let input = Input::Services { group: super::pair::group_id(group), attempt: service.attempt, report };
            self.queue.push(self.now + Span::millis(3), Event::Deliver(node, None, input));
        }
    }

    /// A heartbeat that the peer never signed: of a new life, as the owner with an epoch above all.
    fn forge(&mut self, node: usize) {
        let Some((link, beat)) = self.overheard[node].last().cloned().filter(|_| bite::off(Clause::UnsignedBelieved)) else {
            return;
        };
        let mut forged = Heartbeat::clone(beat.get());
        forged.incarnation.0 += 1000;
        for group in &mut forged.groups {
            (group.role, group.gate_open, group.epoch) = (BeatRole::Owner, true, Epoch(group.epoch.0 + 1000));
        }
        let input = Input::Heard { link, beat: Arc::new(Verified::vouch(forged)) };
        self.queue.push(self.now + Span::micros(200), Event::Deliver(node, Some(usize::from(link.0)), input));
    }

    fn play_back(&mut self, node: usize, count: u32) {
        for place in 0..u64::from(count) {
            if let Some((link, beat)) = self.other_rng.pick(&self.overheard[node]).cloned() {
                let at = self.now + Span::micros(200 * (place + 1));
                let carrier = Some(usize::from(link.0));
                self.queue.push(at, Event::Deliver(node, carrier, Input::Heard { link, beat }));
            }
        }
    }

    fn heal(&mut self) {
        self.network.heal();
        for node in 0..2 {
            for link in 0..self.network.links() {
                self.machines[node].missing[link] = false;
                self.carrier(node, link, true);
            }
            for group in 0..self.machines[node].services.len() {
                if self.machines[node].services[group].obstacle {
                    self.apply(&Act::Obstacle(node, group, false));
                }
            }
            for service in &mut self.machines[node].services {
                (service.start_fails, service.stop_fails, service.latency) = (false, false, Span::millis(30));
            }
            self.machines[node].disk.fails = None;
            self.machines[node].disk_latency = DISK_LATENCY;
            self.apply(&Act::GateRefused(node, false));
            self.apply(&Act::ClockRate(node, 1_000_000));
            self.apply(&Act::Unpause(node));
            self.apply(&Act::Wake(node));
            self.apply(&Act::PowerOn(node));
            self.apply(&Act::Command(node, Command::Resume));
        }
        for witness in 0..self.witnesses.len() {
            self.apply(&Act::WitnessUp(witness, true));
            let table = &mut self.witnesses[witness];
            if table.pins || table.last_hop {
                table.turns(false, self.now);
            }
            (table.pins, table.last_hop, table.limit) = (false, false, 0);
            self.wake_table(witness);
        }
        self.fences.iter_mut().for_each(Device::mended);
        self.stranger.iter_mut().for_each(|there| *there = false);
    }
}
