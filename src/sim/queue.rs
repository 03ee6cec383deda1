//! The queue of what will happen: by time, then by the order in which it was asked for, so that a run is the same every time.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::clock::Moment;

/// What will happen, soonest first.
#[derive(Debug)]
pub struct Queue<E> {
    heap: BinaryHeap<Entry<E>>,
    asked: u64,
}

#[derive(Debug)]
struct Entry<E> {
    at: Moment,
    number: u64,
    event: E,
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    /// Reversed: the heap gives its greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Queue { heap: BinaryHeap::with_capacity(256), asked: 0 }
    }
}

impl<E> Queue<E> {
    /// Asks for `event` at `at`.
    pub fn push(&mut self, at: Moment, event: E) {
        self.asked += 1;
        self.heap.push(Entry { at, number: self.asked, event });
    }

    /// When the next one is due.
    pub fn next_at(&self) -> Option<Moment> {
        self.heap.peek().map(|entry| entry.at)
    }

    /// The next one, if it is due by `until`.
    pub fn pop_by(&mut self, until: Moment) -> Option<(Moment, E)> {
        if self.next_at()? > until {
            return None;
        }
        self.heap.pop().map(|entry| (entry.at, entry.event))
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_at_the_same_time_happens_in_the_order_asked() {
        let mut queue = Queue::default();
        for (at, name) in [(5, "c"), (1, "a"), (5, "d"), (1, "b")] {
            queue.push(Moment(at), name);
        }
        let order: String = std::iter::from_fn(|| queue.pop_by(Moment(9))).map(|(_, name)| name).collect();
        assert_eq!(order, "abcd");
    }
}
