//! What waits to be announced.
#![allow(clippy::unwrap_used, clippy::panic, clippy::arithmetic_side_effects)]

use super::*;

#[test]
fn a_few_at_a_time_each_once_and_nothing_that_is_old_or_given_up() {
    let now = Instant::now();
    let mut paced = Paced::default();
    let all: Vec<usize> = (0..200).collect();
    paced.soon(&all, now);
    paced.soon(&all[..10], now);
    let mut sent = Vec::new();
    paced.send(now, |place| {
        sent.push(place);
        true
    });
    assert_eq!(sent, (0..64).collect::<Vec<_>>(), "each keeps its place");
    assert_eq!(paced.due(), Some(now + PAUSE));
    // No room: the same one comes first the next time.
    paced.send(now, |_| false);
    paced.forget(|place| place > 80);
    let mut rest = Vec::new();
    paced.send(now + PAUSE, |place| {
        rest.push(place);
        true
    });
    assert_eq!(rest, (64..=80).collect::<Vec<_>>());
    assert_eq!(paced.due(), None);
    paced.soon(&all, now);
    paced.send(now + STALE * 2, |place| panic!("{place} is old"));
}
