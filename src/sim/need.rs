//! Whether a move was needed: the owner was healthy and reachable from outside, nobody asked for the move, and no rule did.

use super::act::Act;
use super::clock::Moment;
use super::pair::Pair;
use twinbeat_core::io::Command;

/// What can make a move necessary, as the world knows it.
#[derive(Clone, Debug)]
pub struct Need {
    /// For each node and group since when it could have served without a break.
    pub(super) good: [Vec<Option<Moment>>; 2],
    /// For each node and group when it was last there, with carrier, to go back to.
    pub(super) was_fit: [Vec<Option<Moment>>; 2],
    /// For each node and group whether its kernel answers, and when that ended last.
    answers: [Vec<bool>; 2],
    pub(super) left: [Vec<Moment>; 2],
    /// For each group when a command about it was given last.
    pub(super) commanded: Vec<Option<Moment>>,
    /// When something happened that SAFETY.md names as a limit: a machine woke with its lease, a ruleset was flushed.
    pub(super) shaken: Option<Moment>,
    /// The newest lying announcements: three within a lease look like another owner (SAFETY R5).
    pub(super) lies: Vec<Moment>,
    /// Nothing but starts and commands has happened since the beginning, or since everything healed.
    pub(super) calm: bool,
    /// For each group how often it has moved since something happened last.
    pub(super) moved: Vec<u32>,
}

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
                Command::ResumeGroup { group } => usize::from(group.0) == place && self.commanded[place].is_some(),
                _ => false,
            };
            if moves {
                self.commanded[place] = Some(now);
            }
        }
    }
}
