//! How a thread is to be scheduled, as data; what the kernel is asked for is `host::realtime`.

use std::fmt;

/// A policy of sched(7), with what it is graded by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    /// SCHED_OTHER with a nice value, -20 to 0.
    Other {
        /// -20 is served best.
        nice: i8,
    },
    /// SCHED_RR with a priority, 1 to 99.
    RoundRobin {
        /// 1 is above everything ordinary and below the kernel's own threads.
        priority: u8,
    },
    /// SCHED_FIFO with a priority, 1 to 99.
    Fifo {
        /// As above.
        priority: u8,
    },
}

/// How the threads that decide and that carry decisions out are scheduled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scheduling {
    /// Before whom.
    pub policy: Policy,
    /// On which CPUs, by their numbers; none: on all that the daemon was started with.
    pub cpus: Option<Vec<u16>>,
}

/// The most that a CPU's number can be (CPU_SETSIZE).
pub const MOST_CPU: u16 = 1023;

impl Default for Scheduling {
    /// Why not realtime: docs/PERFORMANCE.md, "A busy machine".
    fn default() -> Scheduling {
        Scheduling { policy: Policy::Other { nice: -20 }, cpus: None }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Policy::Other { nice } => write!(f, "nice {nice}"),
            Policy::RoundRobin { priority } => write!(f, "realtime priority {priority} (SCHED_RR)"),
            Policy::Fifo { priority } => write!(f, "realtime priority {priority} (SCHED_FIFO)"),
        }
    }
}
