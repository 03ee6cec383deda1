//! Turning the other node off, and what must never come of it.

use super::act::Act;
use super::device::TAKES;
use super::event::Event;
use super::machine::{Power, Process};
use super::promise::Promise;
use super::world::World;
use twinbeat_core::id::Attempt;
use twinbeat_core::io::Input;
use twinbeat_core::time::Span;

/// A gateway that pinned its entries, or answered the sender, so long ago may be why no challenge could be asked.
const TURNED: Span = Span::secs(40);
/// A machine that stood still cannot have spoken for itself a moment after it goes on.
const AWAKE: Span = Span::secs(1);

impl World {
    /// A node's daemon orders it.
    pub(super) fn order_fence(&mut self, node: usize, attempt: Attempt) {
        let drawn = Span::millis(self.kernel_rng.between(TAKES.0, TAKES.1));
        // What takes longer than the file allows is ended by the daemon, and has failed.
        let limit = self.machines[node].in_force.fencing.map_or(drawn, |fencing| fencing.takes);
        let wanted = self.fences[node].takes.unwrap_or(drawn);
        let takes = wanted.min(limit);
        if let Some(since) = self.fences[1 - node].ordered.filter(|since| *since > self.disturbed)
            && self.groups().any(|group| self.sound_pair(group))
            && since < self.now
        {
            let text = "both nodes turn each other off, though each could have told the other".to_string();
            self.check.report(self.now, Promise::NoNeedlessMove, text);
        }
        if let Some(name) = self.healthy_owner(1 - node) {
            let text =
                format!("{} is turned off though it serves {name} and is healthy and reachable", self.pair.node_name(1 - node));
            self.check.report(self.now, Promise::NoNeedlessMove, text);
        }
        (self.fences[node].ordered, self.fences[node].late) = (Some(self.now), wanted > limit);
        self.queue.push(self.now + takes, Event::Fenced(node, attempt));
    }

    /// The device does its work whatever became of the daemon that ran it; a life that did not order it is told nothing.
    pub(super) fn fenced(&mut self, node: usize, attempt: Attempt) {
        let why = match &self.fences[node] {
            device if device.fails => Some("fence_sim: exit code 1: no answer from the device"),
            device if device.late => Some("fence_sim: not done in time"),
            _ => None,
        };
        let failed = why.map(str::to_string);
        let ordered = self.fences[node].ordered.take();
        if failed.is_none() {
            self.record.note(self.now, 1 - node, "world", || "is turned off by its peer's device".into());
            // Where something happened meanwhile the node that gave the order may not have told the other one.
            if let Some(name) = self.healthy_owner(1 - node).filter(|_| ordered.is_some_and(|at| at > self.disturbed)) {
                let text = format!("{} took {name} while it was being turned off, and was told", self.pair.node_name(1 - node));
                self.check.report(self.now, Promise::NoNeedlessMove, text);
            }
            self.apply(&Act::PowerOff(1 - node));
        }
        self.queue.push(self.now + Span::millis(1), Event::Deliver(node, None, Input::Fenced { attempt, failed }));
    }

    fn groups(&self) -> std::ops::Range<usize> {
        0..self.stranger.len()
    }

    /// Whether it is a group that both nodes could serve, and whose witnesses can be asked.
    fn sound_pair(&self, group: usize) -> bool {
        let asked = !self.witnesses.iter().any(|witness| witness.turned_within(TURNED, self.now));
        let awake = |node: usize| {
            let machine = &self.machines[node];
            let up = machine.power == Power::On && machine.process == Process::Running;
            up && machine.unpaused.is_none_or(|at| self.now.since(at) > AWAKE)
        };
        let could = |node: usize| awake(node) && self.could_serve(node, group);
        let told = self.machines[0].knows(&self.machines[1]) && self.machines[1].knows(&self.machines[0]);
        asked && told && could(0) && could(1)
    }

    /// The name of a group that a healthy node serves.
    fn healthy_owner(&self, node: usize) -> Option<String> {
        let serves = |group: &usize| {
            self.machines[node].answers(self.now, *group) && self.served(*group).is_some() && self.sound_pair(*group)
        };
        let group = self.groups().find(serves)?;
        Some(self.pair.settings[0].groups[group].name.to_string())
    }
}
