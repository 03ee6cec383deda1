//! A witness: one machine with one neighbour table. The last writer wins; entries age and are probed by unicast, as Linux does it.

use super::clock::Moment;
use twinbeat_core::time::Span;

/// From the first use of a stale entry to its first unicast probe (measured: 5.1 s).
pub const DELAY: Span = Span::millis(5_100);
/// Between two probes, and between two broadcasts while there is no entry.
pub const RETRY: Span = Span::secs(1);
/// Unicast probes without an answer before the entry is dropped (measured: at 8.2 s).
pub const PROBES: u8 = 3;
/// How long a confirmed entry is believed, at the least; twice this at the most.
pub const REACHABLE: Span = Span::secs(15);

/// In an entry's place for the node: a MAC that is neither node's.
pub const FOREIGN: usize = 2;

/// How far an entry is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Confirmed a moment ago.
    Reachable,
    /// Written by somebody, or no longer fresh: used, and probed before long.
    Delay,
    /// So many unicast probes are out.
    Probing(u8),
}

/// What the table says of one group's guard VIP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The node that it names, or [`FOREIGN`].
    pub node: usize,
    /// How far it is.
    pub phase: Phase,
}

/// What to do when a timer of the table fires.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Due {
    /// Nothing; the timer is an old one.
    Nothing,
    /// Nothing yet: the entry is in use and no longer fresh; look again after [`DELAY`].
    Wait,
    /// Ask this node by unicast, and look again after [`RETRY`].
    Unicast(usize),
    /// There is no entry: ask everybody, and look again after [`RETRY`] if clients go on asking.
    Broadcast,
}

/// Echoes that a witness with a limit answers at once.
const BURST: u64 = 5;

/// One witness.
#[derive(Clone, Debug)]
pub struct Witness {
    /// It runs.
    pub up: bool,
    /// It ignores announcements and writes: the entry is pinned.
    pub pins: bool,
    /// It answers to the sender's MAC instead of its table.
    pub last_hop: bool,
    /// When it last began or ended one of these.
    pub turned: Option<Moment>,
    /// Echoes that it answers each second, evenly spread; 0: all.
    pub limit: u32,
    /// From when on it answers again.
    free: Moment,
    /// Clients behind it ask for the VIP all the time: an entry is always in use.
    pub clients: bool,
    /// For each group its entry.
    pub table: Vec<Option<Entry>>,
    /// For each group the number of the timer that counts.
    timers: Vec<u32>,
    /// For each group when it last asked everybody.
    pub asked: Vec<Moment>,
}

impl Witness {
    /// Its entries begin, or no longer go on, to be what no challenge could be read from.
    pub fn turns(&mut self, on: bool, now: Moment) {
        if on || self.turned.is_some() {
            self.turned = Some(now);
        }
    }

    /// It did so within this time.
    pub fn turned_within(&self, time: Span, now: Moment) -> bool {
        self.pins || self.last_hop || self.turned.is_some_and(|at| now.since(at) <= time)
    }

    /// A witness that has heard nothing yet.
    pub fn new(groups: usize, clients: bool) -> Witness {
        Witness {
            up: true,
            pins: false,
            last_hop: false,
            turned: None,
            limit: 0,
            free: Moment::ZERO,
            clients,
            table: vec![None; groups],
            timers: vec![0; groups],
            asked: vec![Moment::ZERO; groups],
        }
    }

    /// Whether it answers an echo that comes now: a limit leaves a few at once, and then one in each share of a second.
    pub fn may_answer(&mut self, now: Moment) -> bool {
        if self.limit == 0 {
            return true;
        }
        let share = Span(1_000_000_000 / u64::from(self.limit));
        if now + share * BURST < self.free {
            return false;
        }
        self.free = self.free.max(now) + share;
        true
    }

    /// Whom the table names.
    pub fn names(&self, group: usize) -> Option<usize> {
        self.table[group].map(|entry| entry.node)
    }

    /// A node writes itself into the table. Says the number of a new timer of [`DELAY`], if one is to be started.
    pub fn written(&mut self, group: usize, node: usize) -> Option<u32> {
        let entry = &mut self.table[group];
        let unchanged = entry.is_some_and(|e| e.node == node && e.phase == Phase::Reachable);
        if unchanged || (self.pins && entry.is_some_and(|e| e.node != node)) {
            return None;
        }
        *entry = Some(Entry { node, phase: Phase::Delay });
        Some(self.timer(group))
    }

    /// Somebody announces a foreign MAC: that flips an entry and makes none (LAB 2). Says the number of a new timer, as [`Witness::written`].
    pub fn lied_to(&mut self, group: usize) -> Option<u32> {
        self.table[group].and_then(|_| self.written(group, FOREIGN))
    }

    /// A node answered a probe. Says the number of a new timer of [`REACHABLE`] or more.
    pub fn confirmed(&mut self, group: usize, node: usize) -> Option<u32> {
        let entry = &mut self.table[group];
        if entry.is_some_and(|e| e.node != node) {
            return None;
        }
        *entry = Some(Entry { node, phase: Phase::Reachable });
        Some(self.timer(group))
    }

    /// The entry is lost: the gateway restarted, or somebody cleared it.
    pub fn forget(&mut self, group: usize) -> u32 {
        self.table[group] = None;
        self.timer(group)
    }

    /// A timer fired.
    pub fn due(&mut self, group: usize, timer: u32) -> Due {
        if timer != self.timers[group] || !self.up {
            return Due::Nothing;
        }
        let Some(entry) = &mut self.table[group] else { return Due::Broadcast };
        let asked = match entry.phase {
            Phase::Reachable | Phase::Delay => 0,
            Phase::Probing(n) => n,
        };
        // A pinned entry is a static one: never probed, never dropped.
        if self.pins {
            return Due::Nothing;
        }
        if asked == PROBES {
            self.table[group] = None;
            return Due::Broadcast;
        }
        let node = entry.node;
        entry.phase = match (entry.phase, self.clients) {
            (Phase::Reachable, true) => Phase::Delay,
            _ => Phase::Probing(asked + 1),
        };
        if entry.phase == Phase::Delay { Due::Wait } else { Due::Unicast(node) }
    }

    /// The number of a new timer, which replaces the one that runs.
    pub fn restart(&mut self, group: usize) -> u32 {
        self.timer(group)
    }

    fn timer(&mut self, group: usize) -> u32 {
        self.timers[group] += 1;
        self.timers[group]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_writer_wins_unless_the_entry_is_pinned() {
        let mut gateway = Witness::new(1, true);
        gateway.written(0, 0);
        gateway.written(0, 1);
        assert_eq!(gateway.names(0), Some(1));
        gateway.pins = true;
        assert_eq!(gateway.written(0, 0), None);
        assert_eq!(gateway.names(0), Some(1));
    }

    #[test]
    fn a_lie_flips_an_entry_and_makes_none() {
        let mut gateway = Witness::new(1, true);
        assert_eq!(gateway.lied_to(0), None);
        assert_eq!(gateway.names(0), None);
        gateway.written(0, 1);
        assert!(gateway.lied_to(0).is_some());
        assert_eq!(gateway.names(0), Some(FOREIGN));
        gateway.written(0, 1);
        assert_eq!(gateway.names(0), Some(1));
    }

    #[test]
    fn an_entry_that_nobody_confirms_is_probed_three_times_and_dropped() {
        let mut gateway = Witness::new(1, true);
        let timer = gateway.written(0, 1).unwrap();
        for _ in 0..3 {
            assert_eq!(gateway.due(0, timer), Due::Unicast(1));
        }
        assert_eq!(gateway.due(0, timer), Due::Broadcast);
        assert_eq!(gateway.names(0), None);
    }
}
