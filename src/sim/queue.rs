//! The queue of what will happen: by time, then by the order in which it was asked for, so that a run is the same every time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::clock::Moment;

/// What will happen, soonest first. The heap sorts small keys; what happens lies still in a slot, for it is large.
#[derive(Debug)]
pub struct Queue<E> {
    heap: BinaryHeap<Key>,
    slots: Vec<Option<E>>,
    free: Vec<u32>,
    asked: u64,
}

/// When, how many were asked for before, and the slot.
type Key = Reverse<(Moment, u64, u32)>;

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Queue { heap: BinaryHeap::with_capacity(256), slots: Vec::with_capacity(256), free: Vec::new(), asked: 0 }
    }
}

impl<E> Queue<E> {
    /// Asks for `event` at `at`.
    pub fn push(&mut self, at: Moment, event: E) {
        self.asked += 1;
        let slot = self.free.pop().unwrap_or(self.slots.len() as u32);
        match self.slots.get_mut(slot as usize) {
            Some(place) => *place = Some(event),
            None => self.slots.push(Some(event)),
        }
        self.heap.push(Reverse((at, self.asked, slot)));
    }

    /// When the next one is due.
    pub fn next_at(&self) -> Option<Moment> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    /// The next one, if it is due by `until`.
    pub fn pop_by(&mut self, until: Moment) -> Option<(Moment, E)> {
        if self.next_at()? > until {
            return None;
        }
        let Reverse((at, _, slot)) = self.heap.pop()?;
        self.free.push(slot);
        self.slots.get_mut(slot as usize)?.take().map(|event| (at, event))
    }

    /// Nothing is to come any more.
    pub fn clear(&mut self) {
        self.heap.clear();
        self.slots.clear();
        self.free.clear();
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
