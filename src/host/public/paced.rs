//! Announcements of many addresses, a few at a time: as many in a millisecond as a socket's buffer and a card's queue take without loss. What is
//! lost is lost each time: the last of a thousand frames never leave.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

/// So many addresses at once.
const AT_ONCE: usize = 64;
/// Then a pause.
const PAUSE: Duration = Duration::from_millis(1);
/// What could not be said by then is left to the next announcement: a word so old may be no longer true.
const STALE: Duration = Duration::from_millis(150);

/// The addresses whose announcement is still to be sent, by their places.
#[derive(Default)]
pub(super) struct Paced {
    waiting: VecDeque<(usize, Instant)>,
    next: Option<Instant>,
}

impl Paced {
    /// These are to be sent soon; what waits of them already keeps its place in the row: a repeat is no reason to let others wait.
    pub fn soon(&mut self, places: &[usize], now: Instant) {
        let wanted: BTreeSet<usize> = places.iter().copied().collect();
        let mut waits = BTreeSet::new();
        for (place, since) in self.waiting.iter_mut().filter(|(place, _)| wanted.contains(place)) {
            *since = now;
            waits.insert(*place);
        }
        self.waiting.extend(wanted.difference(&waits).map(|place| (*place, now)));
        self.next.get_or_insert(now);
    }

    /// When the next of them are to be sent; none when there are none.
    pub fn due(&self) -> Option<Instant> {
        self.next.filter(|_| !self.waiting.is_empty())
    }

    /// None is to be sent any more for which that holds.
    pub fn forget(&mut self, gone: impl Fn(usize) -> bool) {
        self.waiting.retain(|(place, _)| !gone(*place));
    }

    /// The next of them; those that were not `sent`, which says whether there was room, wait on.
    pub fn send(&mut self, now: Instant, mut sent: impl FnMut(usize) -> bool) {
        for _ in 0..AT_ONCE {
            let Some((place, since)) = self.waiting.pop_front() else { break };
            if now.saturating_duration_since(since) <= STALE && !sent(place) {
                self.waiting.push_front((place, since));
                break;
            }
        }
        self.next = (!self.waiting.is_empty()).then(|| now.checked_add(PAUSE).unwrap_or(now));
    }
}

#[cfg(test)]
#[path = "paced_tests.rs"]
mod tests;
