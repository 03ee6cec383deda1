//! Our own monotonic time: it counts from the machine's boot, prints, serialises, and cannot be taken from a wall clock.
//!
//! The shell feeds it from `CLOCK_BOOTTIME` (time(7)), so that a machine that was suspended notices.

use core::fmt;
use core::ops::{Add, Div, Mul, Sub};

use serde::{Deserialize, Serialize};

use crate::prelude::*;

/// An instant: nanoseconds since this machine's boot. Instants of two machines do not compare.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Mono(pub u64);

/// A length of time in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Span(pub u64);

impl Mono {
    /// The boot itself.
    pub const ZERO: Mono = Mono(0);

    /// How long ago `earlier` was; zero when it lies ahead.
    pub fn since(self, earlier: Mono) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }

    /// This instant moved back; stops at boot.
    pub fn back(self, span: Span) -> Mono {
        Mono(self.0.saturating_sub(span.0))
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(0);

    /// `n` seconds.
    pub const fn secs(n: u64) -> Span {
        Span(n.saturating_mul(1_000_000_000))
    }

    /// `n` milliseconds.
    pub const fn millis(n: u64) -> Span {
        Span(n.saturating_mul(1_000_000))
    }

    /// `n` microseconds.
    pub const fn micros(n: u64) -> Span {
        Span(n.saturating_mul(1_000))
    }

    /// Whole milliseconds, rounded down.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Whole microseconds, rounded down.
    pub const fn as_micros(self) -> u64 {
        self.0 / 1_000
    }

    /// This span times a factor of `thousandths` / 1000, rounded up: longer is safer wherever it is used.
    pub const fn scaled(self, thousandths: u64) -> Span {
        Span(self.0.saturating_mul(thousandths).div_ceil(1000))
    }

    /// The difference, or zero.
    pub const fn less(self, other: Span) -> Span {
        Span(self.0.saturating_sub(other.0))
    }
}

impl Add<Span> for Mono {
    type Output = Mono;
    fn add(self, span: Span) -> Mono {
        Mono(self.0.saturating_add(span.0))
    }
}

impl Add for Span {
    type Output = Span;
    fn add(self, other: Span) -> Span {
        Span(self.0.saturating_add(other.0))
    }
}

impl Sub for Mono {
    type Output = Span;
    fn sub(self, earlier: Mono) -> Span {
        self.since(earlier)
    }
}

impl Mul<u64> for Span {
    type Output = Span;
    fn mul(self, n: u64) -> Span {
        Span(self.0.saturating_mul(n))
    }
}

impl Div<u64> for Span {
    type Output = Span;
    fn div(self, n: u64) -> Span {
        // By nothing: as long as it gets. No caller does.
        Span(self.0.checked_div(n).unwrap_or(u64::MAX))
    }
}

impl fmt::Debug for Mono {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.0 / 1_000_000_000, self.0 / 1_000 % 1_000_000)
    }
}

impl fmt::Display for Mono {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}s", self.0 / 1_000_000_000, self.0 / 1_000_000 % 1000)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Span {
    /// As a person would write it: `150ms`, `2s`, `11.5s`, `90us`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0;
        if ns >= 1_000_000_000 {
            let whole = ns / 1_000_000_000;
            let frac = format!("{:03}", ns / 1_000_000 % 1000);
            let frac = frac.trim_end_matches('0');
            if frac.is_empty() { write!(f, "{whole}s") } else { write!(f, "{whole}.{frac}s") }
        } else if ns >= 1_000_000 && ns.is_multiple_of(1_000_000) {
            write!(f, "{}ms", ns / 1_000_000)
        } else if ns >= 1_000_000 {
            let tenths = ns / 100_000;
            write!(f, "{}.{}ms", tenths / 10, tenths % 10)
        } else {
            write!(f, "{}us", ns / 1_000)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_print_as_a_person_would_write_them() {
        for (span, text) in [
            (Span::millis(150), "150ms"),
            (Span::secs(2), "2s"),
            (Span::millis(11_500), "11.5s"),
            (Span::micros(90), "90us"),
            (Span::micros(1_250), "1.2ms"),
            (Span::ZERO, "0us"),
        ] {
            assert_eq!(span.to_string(), text);
        }
    }

    #[test]
    fn scaling_never_rounds_a_wait_down() {
        assert_eq!(Span(1001).scaled(1200), Span(1202));
        assert_eq!(Span(1).scaled(1200), Span(2));
    }
}
