//! Which telling of a story in virtual time a run on the real kernel is judged by: the one that it is like.
//!
//! Virtual time is exact: two daemons start at one instant, a cable is plugged in at the very moment when a gateway comes back. Here one thing is done a few
//! milliseconds after the other, and who is first where both nodes may be is open. So a story is told several times in virtual time, with other latencies
//! and with small pauses between what is done ([`Told`]), and the real run has to be like one of them: the same owners, to within the tolerance.

use super::judge::{differences, first_disturbance, history, tolerance};
use super::stage::Played;
use super::timeline::At;
use super::watch::Sayings;
use twinbeat_core::id::Epoch;
use twinbeat_core::words::GroupRole;
use twinbeat_sim::machine::real;
use twinbeat_sim::script::{Outcome, Story, Told};

/// How often a story is told at the most, the telling of its own file included.
pub const TELLINGS: u64 = 24;

/// The telling that the real run is like, the file's own before any other, and how many of the others had to be tried; the file's own if it is like none.
pub fn closest(story: &Story, played: &Played) -> (Outcome, u64) {
    let (pair, seen) = (&played.pair, seen(story, played));
    let tolerance = tolerance(pair);
    let real_ones: Vec<_> = (0..pair.lab.plan.groups.len())
        .map(|group| pair.probes.guard(group).map(|_| history(pair, group, played.from, played.to)))
        .collect();
    let alike = |told: &Outcome| {
        let groups = pair.lab.plan.groups.iter().enumerate().zip(&real_ones);
        groups.filter_map(|(group, real)| Some((group, real.as_ref()?))).all(|((place, group), real)| {
            differences(story, told, (place, &group.name), &pair.lab.plan.nodes, real, tolerance).is_empty()
        })
    };
    // What the file expects is judged as it is told: more moves at the beginning than it counts are the race's.
    let failures = story.run(real, false).failures;
    let tell =
        |number: u64| Outcome { failures: failures.clone(), ..story.tell(&Told { number, seen: seen.clone() }, real, true) };
    let own = tell(0);
    if alike(&own) {
        return (own, 0);
    }
    let other = (1..TELLINGS).map(|number| (tell(number), number)).find(|(told, _)| alike(told));
    other.unwrap_or((own, 0))
}

/// The epochs that the pair had used when the first owner of the story settled, group by group. A race of boots uses up some that virtual time does not,
/// and a stand-down's length is drawn from the epoch (SAFETY R5); none where there was no race.
fn seen(story: &Story, played: &Played) -> Vec<Epoch> {
    let (pair, settled) = (&played.pair, played.from + first_disturbance(story));
    let said = pair.said();
    // Above these the owner's next number is the one that it had, and the other's is lower: of two intents the higher goes first.
    let before = |group| newest_owned(&said, group, settled).map_or(Epoch(0), |epoch| Epoch(epoch.0.saturating_sub(2)));
    let seen: Vec<Epoch> = (0..pair.lab.plan.groups.len()).map(before).collect();
    if seen.iter().any(|epoch| epoch.0 > 0) { seen } else { Vec::new() }
}

/// The epoch of the daemon that last said, before `until`, that it owns the group.
fn newest_owned(said: &[Sayings; 2], group: usize, until: At) -> Option<Epoch> {
    let owned = said.iter().flatten().filter(|(at, _)| *at < until).filter_map(|(at, said)| {
        let said = said.as_ref().filter(|said| said.roles.get(group) == Some(&GroupRole::Owner))?;
        Some((*at, *said.epochs.get(group)?))
    });
    owned.max().map(|(_, epoch)| epoch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::Said;
    use std::time::Duration;

    #[test]
    fn the_newest_epoch_is_that_of_whoever_owned_last_before_the_story_went_on() {
        let said = |role, epoch| {
            let (roles, epochs) = (vec![role], vec![Epoch(epoch)]);
            let empty = (vec![], vec![], vec![], vec![]);
            let (lease, services, not_ready, links) = empty;
            Some(Said { roles, epochs, lease, witness: true, services, not_ready, links })
        };
        let at = Duration::from_secs;
        let one = vec![(at(1), said(GroupRole::Owner, 3)), (at(2), said(GroupRole::Standby, 4)), (at(3), None)];
        let two =
            vec![(at(1), said(GroupRole::Standby, 3)), (at(2), said(GroupRole::Owner, 4)), (at(9), said(GroupRole::Owner, 7))];
        let newest = |until| newest_owned(&[one.clone(), two.clone()], 0, until);
        assert_eq!(newest(at(9)), Some(Epoch(4)));
        assert_eq!(newest(at(2)), Some(Epoch(3)));
        assert_eq!((newest(at(1)), newest_owned(&[one.clone(), two.clone()], 1, at(9))), (None, None));
    }
}
