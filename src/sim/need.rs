//! Whether a move was needed: the owner was healthy and reachable from outside, nobody asked for the move, and no rule did.

use super::act::Act;
use super::clock::Moment;
use super::pair::Pair;
use super::promise::Promise;
use super::world::World;
use twinbeat_core::id::NodeId;
use twinbeat_core::io::Command;
use twinbeat_core::settings::Failback;
use twinbeat_core::time::Span;

/// What can make a move necessary, as the world knows it.
#[derive(Clone, Debug)]
pub struct Need {
    /// For each node and group since when it could have served without a break.
    good: [Vec<Option<Moment>>; 2],
    /// For each node and group when it was last there, with carrier, to go back to.
    was_fit: [Vec<Option<Moment>>; 2],
    /// For each node and group whether its kernel answers, and when that ended last.
    answers: [Vec<bool>; 2],
    left: [Vec<Moment>; 2],
    /// For each group when a command about it was given last.
    commanded: Vec<Option<Moment>>,
    /// When something happened that SAFETY.md names as a limit: a machine woke with its lease, a ruleset was flushed.
    shaken: Option<Moment>,
    /// The newest lying announcements: three within a lease look like another owner (SAFETY R5).
    lies: Vec<Moment>,
    /// Nothing but starts and commands has happened since the beginning, or since everything healed.
    calm: bool,
    /// For each group how often it has moved since something happened last.
    moved: Vec<u32>,
}

/// In a calm world nothing moves more often than this after the last thing that happened: to the other node and back, twice.
const MOST_MOVES: u32 = 4;

/// A command may take this long to be carried out.
const COMMAND: Span = Span::secs(60);
/// After a service failed, a node is not eligible for half a minute of its own clock.
const UNFIT: Span = Span::secs(35);

impl Need {
    /// Nothing known yet.
    pub fn new(pair: &Pair) -> Need {
        let groups = pair.settings[0].groups.len();
        let none = || vec![None; groups];
        Need {
            good: [none(), none()],
            was_fit: [none(), none()],
            answers: [vec![false; groups], vec![false; groups]],
            left: [vec![Moment::ZERO; groups], vec![Moment::ZERO; groups]],
            commanded: none(),
            shaken: None,
            lies: Vec::new(),
            calm: true,
            moved: vec![0; groups],
        }
    }

    /// Who answers now.
    pub fn answering(&mut self, now: Moment, group: usize, answers: [bool; 2]) {
        for node in 0..2 {
            let before = std::mem::replace(&mut self.answers[node][group], answers[node]);
            if before && !answers[node] {
                self.left[node][group] = now;
            }
        }
    }

    /// Something is done to the world.
    pub fn act(&mut self, now: Moment, act: &Act) {
        self.calm = match act {
            Act::Start(_) | Act::Command(..) => self.calm,
            other => *other == Act::Heal,
        };
        self.moved.iter_mut().for_each(|moved| *moved = 0);
        match act {
            Act::Unpause(_)
            | Act::FlushRuleset(_)
            | Act::GateRefused(..)
            | Act::LoseState(_)
            | Act::Configure(..)
            | Act::Restart(..) => {
                self.shaken = Some(now);
            }
            Act::FalseAnnouncement(_) => {
                self.lies.push(now);
                if self.lies.len() > 3 {
                    self.lies.remove(0);
                }
            }
            Act::Command(_, command) => self.command(now, command),
            _ => {}
        }
    }

    fn command(&mut self, now: Moment, command: &Command) {
        let about = |group: &Option<twinbeat_core::id::GroupId>, place: usize| group.is_none_or(|g| usize::from(g.0) == place);
        for place in 0..self.commanded.len() {
            let moves = match command {
                Command::Standby { group, .. } | Command::Takeover { group } => about(group, place),
                Command::Resume => self.commanded[place].is_some(),
                _ => false,
            };
            if moves {
                self.commanded[place] = Some(now);
            }
        }
    }
}

impl World {
    /// Looks again at which nodes could serve.
    pub(super) fn review_need(&mut self) {
        for group in 0..self.stranger.len() {
            for node in 0..2 {
                let service = &self.machines[node].services[group];
                let sound = service.failed.is_none_or(|at| self.now.since(at) > UNFIT);
                let good = sound && self.could_serve(node, group);
                // To whom it goes back: what nobody can know beforehand (a service that will not start) does not count.
                let fit = self.machines[node].runs() && self.machines[node].carrier[self.pair.public()];
                let need = &mut self.check.need;
                let since = &mut need.good[node][group];
                if since.is_some() || fit {
                    need.was_fit[node][group] = Some(self.now);
                }
                *since = if good { since.or(Some(self.now)) } else { None };
            }
        }
    }

    /// A group went from one node to another: was there need?
    pub(super) fn judge_move(&mut self, group: usize, from: usize, to: usize) {
        self.review_need();
        let need = &mut self.check.need;
        need.moved[group] += 1;
        if need.calm && need.moved[group] > MOST_MOVES {
            let (times, name) = (need.moved[group], &self.pair.settings[0].groups[group].name);
            let text = format!("{name} has moved {times} times since anything happened");
            self.check.report(self.now, Promise::NoNeedlessMove, text);
        }
        // What either was told: the files may differ.
        let preferred = self
            .machines
            .iter()
            .filter_map(|machine| machine.in_force.groups.get(group))
            .any(|of| of.preferred == Some(NodeId(to as u8)) && of.failback != Failback::Manual);
        let timing = self.pair.timing();
        // What came before has had its consequences by then.
        let window = self.settle(from);
        let need = &self.check.need;
        let left = need.left[from][group];
        let lately = |at: Option<Moment>, window: Span| at.is_some_and(|at| left.since(at) <= window);
        let healthy = need.good[from][group].is_some_and(|since| left.since(since) > window);
        let lease = timing.outrun(timing.lease) + timing.slack();
        let lied_to = need.lies.len() == 3 && need.lies.iter().all(|at| left.since(*at) <= lease);
        // Standby by command, where somebody ever gave such a command.
        let held = |node: usize| {
            let brain = self.machines[node].brain.as_ref();
            need.commanded[group].is_some() && brain.is_some_and(|brain| brain.held(group))
        };
        let asked = held(from) || lately(need.commanded[group], COMMAND + window);
        let wanted = preferred && !held(to) && lately(need.was_fit[to][group], window);
        if healthy && !asked && !wanted && !lied_to && !lately(need.shaken, window) {
            let (a, b) = (self.pair.node_name(from), self.pair.node_name(to));
            let name = &self.pair.settings[0].groups[group].name;
            let since = left.since(need.good[from][group].unwrap_or_default());
            let text = format!(
                "{name} went from {a} to {b}, though {a} had been healthy and reachable for {since} and nobody had asked for it"
            );
            self.check.report(self.now, Promise::NoNeedlessMove, text);
        }
    }
}
