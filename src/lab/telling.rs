//! Which telling of a story in virtual time a run on the real kernel is judged by: the one that it is like.
//!
//! Virtual time is exact: two daemons start at one instant, a cable is plugged in at the very moment when a gateway comes back. Here one thing is done a few
//! milliseconds after the other, and who is first where both nodes may be is open. So a story is told several times in virtual time, with other latencies
//! and with small pauses between what is done ([`Told`]), and the real run has to be like one of them: the same owners, to within the tolerance.

use super::judge::{differences, first_disturbance, history, tolerance};
use super::lab::BOTH;
use super::stage::Played;
use twinbeat_core::id::Epoch;
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
    let settled = first_disturbance(story);
    let logs = BOTH.map(|node| played.log(node));
    let newest = |group: &str| {
        let lines = logs.iter().flatten().filter(|(at, _)| *at < settled);
        let owned = lines.filter_map(|(at, line)| Some((*at, epoch_of(line.strip_prefix(group)?.strip_prefix(": ")?)?)));
        // Above these the owner's next number is the one that it had, and the other's is lower: of two intents the higher goes first.
        owned.max().map_or(Epoch(0), |(_, epoch)| Epoch(epoch.0.saturating_sub(2)))
    };
    let seen: Vec<Epoch> = played.pair.lab.plan.groups.iter().map(|group| newest(&group.name)).collect();
    if seen.iter().any(|epoch| epoch.0 > 0) { seen } else { Vec::new() }
}

/// The epoch with which a line of the log says that its node owns a group.
fn epoch_of(line: &str) -> Option<Epoch> {
    let (_, rest) = line.split_once(" SERVES, epoch ").or_else(|| line.split_once(" stays the owner, epoch "))?;
    rest.split_once(':')?.0.parse().ok().map(Epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_read_from_what_the_owner_says() {
        assert_eq!(epoch_of("master1 SERVES, epoch 4: nobody owned it; master2 released it"), Some(Epoch(4)));
        assert_eq!(epoch_of("master2 stays the owner, epoch 3: announced again"), Some(Epoch(3)));
        assert_eq!(epoch_of("master1 LEAVES, epoch 4: handed to master2: master2 is preferred and fit"), None);
    }
}
