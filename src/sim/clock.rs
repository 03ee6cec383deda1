//! Two kinds of time: the world's, which nobody in it can read, and each machine's clock, which runs at its own rate and stops while the machine is paused.

use std::fmt;
use std::ops::{Add, Sub};

use twinbeat_core::time::{Mono, Span};

/// An instant of the world: nanoseconds since the scenario's start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Moment(pub u64);

impl Moment {
    /// The scenario's start.
    pub const ZERO: Moment = Moment(0);
    /// Never reached.
    pub const NEVER: Moment = Moment(u64::MAX);

    /// How long ago `earlier` was; zero when it lies ahead.
    pub fn since(self, earlier: Moment) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Span> for Moment {
    type Output = Moment;
    fn add(self, span: Span) -> Moment {
        Moment(self.0.saturating_add(span.0))
    }
}

impl Sub<Span> for Moment {
    type Output = Moment;
    fn sub(self, span: Span) -> Moment {
        Moment(self.0.saturating_sub(span.0))
    }
}

impl fmt::Display for Moment {
    /// Seconds with microseconds: `12.345678`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>4}.{:06}", self.0 / 1_000_000_000, self.0 / 1_000 % 1_000_000)
    }
}

const MILLION: u128 = 1_000_000;
/// The right rate.
const RIGHT: u64 = 1_000_000;

/// A machine's clock.
#[derive(Clone, Debug)]
pub struct Clock {
    /// Where world time and this clock were last known to meet.
    base: (Moment, Mono),
    /// How fast it runs: 1,000,000 is right.
    ppm: u64,
    /// Stopped: the machine is paused.
    stopped: bool,
}

impl Clock {
    /// A clock that reads `start` at `now` and runs at `ppm` millionths of the right rate.
    pub fn new(now: Moment, start: Mono, ppm: u64) -> Clock {
        Clock { base: (now, start), ppm: ppm.clamp(500_000, 2_000_000), stopped: false }
    }

    /// What it reads.
    pub fn read(&self, now: Moment) -> Mono {
        let (world, mono) = self.base;
        if self.stopped {
            return mono;
        }
        let world = now.0.saturating_sub(world.0);
        if self.ppm == RIGHT {
            return Mono(mono.0.saturating_add(world)); // nearly always, and a division of 128 bits is dear
        }
        let passed = u128::from(world) * u128::from(self.ppm) / MILLION;
        Mono(mono.0.saturating_add(passed as u64))
    }

    /// The first moment at which it reads `mono` or more; never while it is stopped short of it.
    pub fn when(&self, mono: Mono) -> Moment {
        let (world, base) = self.base;
        if mono <= base {
            return world;
        }
        if self.stopped {
            return Moment::NEVER;
        }
        if self.ppm == RIGHT {
            return Moment(world.0.saturating_add(mono.0 - base.0));
        }
        let ahead = (u128::from(mono.0 - base.0) * MILLION).div_ceil(u128::from(self.ppm));
        Moment(u64::try_from(u128::from(world.0) + ahead).unwrap_or(u64::MAX))
    }

    /// Another rate from now on.
    pub fn set_rate(&mut self, now: Moment, ppm: u64) {
        self.base = (now, self.read(now));
        self.ppm = ppm.clamp(500_000, 2_000_000);
    }

    /// Stops (the guest is paused) or goes on.
    pub fn set_stopped(&mut self, now: Moment, stopped: bool) {
        self.base = (now, self.read(now));
        self.stopped = stopped;
    }

    /// The rate, 1,000,000 being right.
    pub fn ppm(&self) -> u64 {
        self.ppm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_clock_reaches_its_deadlines_early_and_never_a_nanosecond_before() {
        let clock = Clock::new(Moment(1000), Mono(5_000), 1_083_000);
        for ahead in [0, 1, 7, 999, 123_456_789] {
            let at = clock.when(Mono(5_000 + ahead));
            assert!(clock.read(at) >= Mono(5_000 + ahead));
            assert!(at.0 == 1000 || clock.read(Moment(at.0 - 1)) < Mono(5_000 + ahead));
        }
    }

    #[test]
    fn a_paused_machine_does_not_notice_that_time_passed() {
        let mut clock = Clock::new(Moment(0), Mono(0), 1_000_000);
        clock.set_stopped(Moment(10), true);
        assert_eq!(clock.read(Moment(1_000_000)), Mono(10));
        assert_eq!(clock.when(Mono(11)), Moment::NEVER);
        clock.set_stopped(Moment(1_000_000), false);
        assert_eq!(clock.when(Mono(11)), Moment(1_000_001));
    }
}
