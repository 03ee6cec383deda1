//! How the world notices what a step waits for.

use super::clock::Moment;
use super::cue::{Awaited, Does, Told};
use super::world::World;
use twinbeat_core::event::Kind;
use twinbeat_core::heartbeat::Heartbeat;
use twinbeat_core::io::Output;

impl World {
    /// Runs until this happens, with `run` to pass the time; whether it did by `until`.
    pub fn run_until_it(&mut self, awaited: &Awaited, until: Moment, run: &mut dyn FnMut(&mut World, Moment)) -> bool {
        self.awaited = Some(awaited.clone());
        self.came = false;
        run(self, until);
        self.run_until(until);
        self.awaited = None;
        std::mem::take(&mut self.came)
    }

    /// A node did something; `text` where it said something.
    pub(super) fn did(&mut self, node: usize, group: Option<usize>, does: Does, text: impl FnOnce() -> String) {
        let Some(awaited) = &self.awaited else { return };
        if awaited.node != node || awaited.does != does || awaited.group.is_some_and(|of| group.is_some_and(|g| g != of)) {
            return;
        }
        let fits = awaited.text.as_ref().is_none_or(|part| text().contains(part.as_str()));
        self.came |= fits;
    }

    /// What a node wants of the world.
    pub(super) fn did_order(&mut self, node: usize, output: &Output) {
        if self.awaited.is_none() {
            return;
        }
        match output {
            Output::AnswerUnicast { group, on: true } => {
                self.did(node, Some(usize::from(group.0)), Does::Challenges, String::new);
            }
            Output::Write { group, .. } => self.did(node, Some(usize::from(group.0)), Does::Writes, String::new),
            Output::Announce { group } => self.did(node, Some(usize::from(group.0)), Does::Announces, String::new),
            Output::Note(event) => {
                let group = event.group.as_ref().and_then(|name| self.pair.group(name));
                match event.kind {
                    Kind::Owner(..) => self.did(node, group, Does::Serves, String::new),
                    Kind::Left(..) => self.did(node, group, Does::Leaves, String::new),
                    _ => {}
                }
                self.did(node, group, Does::Says, || event.to_string());
            }
            _ => {}
        }
    }

    /// What a heartbeat says that the one before it did not.
    pub(super) fn did_say(&mut self, node: usize, beat: &Heartbeat) {
        let first = self.machines[node].first_group(beat.part);
        for (group, said) in (first..self.stranger.len()).zip(&beat.groups) {
            let now = Told {
                asked: said.intent.map(|intent| intent.attempt),
                granted: said.granted.map(|grant| grant.attempt),
                released: said.released.map(|grant| grant.attempt),
            };
            let before = std::mem::replace(&mut self.told[node][group], now);
            for (is, was, does) in [
                (now.asked, before.asked, Does::Asks),
                (now.granted, before.granted, Does::Grants),
                (now.released, before.released, Does::Releases),
            ] {
                if is.is_some() && is != was {
                    self.did(node, Some(group), does, String::new);
                }
            }
        }
    }

    /// Whether each kernel answers for a group now.
    pub(super) fn did_answer(&mut self, group: usize, answers: [bool; 2]) {
        for (node, answers) in answers.into_iter().enumerate() {
            if std::mem::replace(&mut self.answered[node][group], answers) != answers {
                let does = if answers { Does::Answers } else { Does::GateClosed };
                self.did(node, Some(group), does, String::new);
            }
        }
    }
}
