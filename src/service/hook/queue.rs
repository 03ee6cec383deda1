//! What one hook is still to be told of one group, in order; bounded.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::change::Change;

/// A change that waits, or runs.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Job {
    /// The change.
    pub change: Change,
    /// How often the hook was run for it, in all lives of the daemon.
    pub attempts: u32,
    /// How many changes of its kind before it nobody will be told of.
    pub skipped: u64,
}

/// The queue. The first one may be running: it keeps its place until its hook has ended well.
#[derive(Clone, PartialEq, Default, Debug)]
pub(super) struct Queue {
    jobs: VecDeque<Job>,
    /// The first one was given out.
    busy: bool,
}

impl Queue {
    /// A change, behind all others. Where there is no room the oldest that waits and has a later one of its kind goes, so that the newest
    /// of each kind is always told.
    pub fn push(&mut self, change: Change) {
        self.put(Job { change, attempts: 0, skipped: 0 });
    }

    /// The same with one of an earlier life.
    pub fn put(&mut self, job: Job) {
        self.jobs.push_back(job);
        while self.jobs.len() > MOST && self.drop_one() {}
    }

    fn drop_one(&mut self) -> bool {
        let waiting = usize::from(self.busy);
        let later = |place: usize| {
            let kind = self.jobs.get(place)?.change.kind();
            let next = self.jobs.iter().enumerate().skip(place.saturating_add(1));
            next.into_iter().find(|(_, job)| job.change.kind() == kind).map(|(at, _)| at)
        };
        let Some((place, heir)) = (waiting..self.jobs.len()).find_map(|place| Some((place, later(place)?))) else { return false };
        let (Some(gone), Some(heir)) = (self.jobs.remove(place), self.jobs.get_mut(heir.saturating_sub(1))) else { return false };
        heir.change.instead_of(&gone.change);
        heir.skipped = heir.skipped.saturating_add(gone.skipped).saturating_add(1);
        true
    }

    /// Gives out the first one, as one more attempt; none when there is none.
    pub fn begin(&mut self) -> Option<Job> {
        let job = self.jobs.front_mut()?;
        self.busy = true;
        job.attempts = job.attempts.saturating_add(1);
        Some(job.clone())
    }

    /// The one that was given out is done with.
    pub fn done(&mut self) {
        if std::mem::take(&mut self.busy) {
            self.jobs.pop_front();
        }
    }

    /// What waits or runs, in order.
    pub fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.jobs.iter()
    }

    /// Nothing waits and nothing runs.
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }
}

/// The most changes that wait for one hook and one group, the running one included.
pub(super) const MOST: usize = 16;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::super::change::{Health, What};
    use super::*;
    use twinbeat_core::words::GroupRole;

    fn of(what: What) -> Change {
        Change { what, group: Some("web".into()), at: String::new(), reason: String::new() }
    }

    fn role(role: GroupRole, was: GroupRole, epoch: u64) -> Change {
        of(What::Role { role, was: Some(was), epoch })
    }

    #[test]
    fn where_there_is_no_room_the_middle_goes_and_the_newest_of_each_kind_stays() {
        let mut queue = Queue::default();
        queue.push(of(What::Reaffirmed { role: GroupRole::Owner, epoch: 7 }));
        queue.push(role(GroupRole::Leaving, GroupRole::Owner, 0));
        assert_eq!(queue.begin().unwrap().change.words(), "reaffirmed, epoch 7");
        queue.push(of(What::Health { health: Health::Problems, was: Some(Health::Ok), problems: Vec::new() }));
        for epoch in 1..=100 {
            queue.push(role(GroupRole::Standby, GroupRole::Claiming, epoch));
        }
        let words: Vec<_> = queue.jobs().map(|job| job.change.words()).collect();
        assert_eq!(words.len(), MOST);
        assert_eq!(words[0], "reaffirmed, epoch 7", "what runs is not dropped");
        assert_eq!(words[1], "health: 0 problems");
        assert_eq!(words[MOST - 1], "role standby, epoch 100");
        let skipped: Vec<u64> = queue.jobs().map(|job| job.skipped).filter(|skipped| *skipped > 0).collect();
        assert_eq!(skipped, [87], "101 changes of role, 14 of them left");
        let heir = queue.jobs().nth(2).unwrap();
        assert_eq!(
            heir.change.what,
            What::Role { role: GroupRole::Standby, was: Some(GroupRole::Owner), epoch: 87 },
            "the chain holds"
        );
    }

    #[test]
    fn the_first_one_keeps_its_place_until_it_is_done() {
        let mut queue = Queue::default();
        queue.push(role(GroupRole::Owner, GroupRole::Claiming, 1));
        queue.push(role(GroupRole::Leaving, GroupRole::Owner, 1));
        assert_eq!(queue.begin().unwrap().attempts, 1);
        assert_eq!(queue.begin().unwrap().attempts, 2);
        assert_eq!(queue.jobs().count(), 2);
        queue.done();
        queue.done();
        assert_eq!(queue.jobs().count(), 1, "only what was given out can be done");
        assert_eq!(queue.begin().unwrap().change.words(), "role leaving, epoch 1");
    }
}
