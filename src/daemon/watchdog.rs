//! systemd's watchdog (`WatchdogSec=`, sd_watchdog_enabled(3)): fed by the decision loop and by nothing else, so that one that hangs is
//! killed and started again.
//!
//! It guards no address: that is the gate's, which closes by itself when the loop renews it no more. It brings back the other half of the pair.

use twinbeat_core::time::{Mono, Span};

/// Fed so often in its time.
const FEEDINGS: u64 = 4;

/// What keeps it quiet; nothing where the unit sets none.
pub struct Watchdog {
    every: Option<Span>,
    next: Mono,
    feed: fn(),
}

impl Watchdog {
    /// As the unit of this process says.
    pub fn of_the_unit() -> Watchdog {
        let feed = || {
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        };
        // Zero and the greatest number mean that it is off (systemd.service(5), `WatchdogSec=`).
        let within = sd_notify::watchdog_enabled().and_then(|within| u64::try_from(within.as_micros()).ok());
        Watchdog::new(within.filter(|micros| !matches!(*micros, 0 | u64::MAX)).map(Span::micros), feed)
    }

    fn new(within: Option<Span>, feed: fn()) -> Watchdog {
        Watchdog { every: within.map(|within| within / FEEDINGS), next: Mono::ZERO, feed }
    }

    /// The loop turned.
    pub fn turned(&mut self, now: Mono) {
        let Some(every) = self.every.filter(|_| now >= self.next) else { return };
        self.next = now + every;
        (self.feed)();
    }

    /// When the loop is to turn, which has to at `due`.
    pub fn before(&self, due: Option<Mono>) -> Option<Mono> {
        let own = self.every.map(|_| self.next);
        due.into_iter().chain(own).min()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn at(ms: u64) -> Mono {
        Mono::ZERO + Span::millis(ms)
    }

    #[test]
    fn it_is_fed_four_times_in_its_time_however_often_or_seldom_the_loop_would_turn() {
        static FED: AtomicU32 = AtomicU32::new(0);
        let mut dog = Watchdog::new(Some(Span::secs(2)), || {
            FED.fetch_add(1, Ordering::Relaxed);
        });
        for ms in 0..=2_000 {
            dog.turned(at(ms));
        }
        assert_eq!(FED.swap(0, Ordering::Relaxed), 5);
        // A decision that waits long is woken in between.
        assert_eq!((dog.before(Some(at(9_000))), dog.before(None)), (Some(at(2_500)), Some(at(2_500))));
        assert_eq!(dog.before(Some(at(2_001))), Some(at(2_001)));
    }

    #[test]
    fn a_unit_without_one_is_told_nothing_and_wakes_nobody() {
        let mut none = Watchdog::new(None, || panic!("fed"));
        none.turned(at(0));
        assert_eq!((none.before(None), none.before(Some(at(1)))), (None, Some(at(1))));
    }
}
