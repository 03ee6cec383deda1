//! The time of day, as logs and journals tell it.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::time::TimeSpec;

/// A wall-clock time, UTC. For people only: nothing is decided by it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp(TimeSpec);

impl Stamp {
    /// Now.
    pub fn now() -> Stamp {
        Stamp(TimeSpec::from_duration(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()))
    }

    /// So many milliseconds earlier.
    pub fn ago(self, ms: u64) -> Stamp {
        Stamp(TimeSpec::from_duration(Duration::from(self.0).saturating_sub(Duration::from_millis(ms))))
    }

    /// Nanoseconds since 1970.
    pub fn nanos(self) -> u64 {
        u64::try_from(Duration::from(self.0).as_nanos()).unwrap_or(u64::MAX)
    }

    /// The instant so many nanoseconds after the beginning of 1970.
    pub fn of_nanos(nanos: u64) -> Stamp {
        Stamp(TimeSpec::from_duration(Duration::from_nanos(nanos)))
    }

    /// `HH:MM:SS`, UTC.
    pub fn time_of_day(self) -> String {
        let seconds = self.0.tv_sec().rem_euclid(86_400);
        format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }
}

impl fmt::Display for Stamp {
    /// RFC 3339, UTC, milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.0.tv_sec().div_euclid(86_400);
        // civil from days: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms"
        let z = days + 719_468;
        let era = z.div_euclid(146_097);
        let doe = z.rem_euclid(146_097);
        let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
        let year = yoe + era * 400 + i64::from(month <= 2);
        let ms = self.0.tv_nsec() / 1_000_000;
        write!(f, "{year:04}-{month:02}-{day:02}T{}.{ms:03}Z", self.time_of_day())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_rfc_3339() {
        let stamp = |seconds| Stamp(TimeSpec::new(seconds, 7_000_000)).to_string();
        assert_eq!(stamp(0), "1970-01-01T00:00:00.007Z");
        assert_eq!(stamp(951_782_400), "2000-02-29T00:00:00.007Z");
        assert_eq!(stamp(1_798_761_599), "2026-12-31T23:59:59.007Z");
        assert_eq!(Stamp(TimeSpec::new(3_661, 0)).ago(1_000).time_of_day(), "01:01:00");
    }
}
