//! The one clock: CLOCK_BOOTTIME.
//!
//! It goes on while the machine is suspended (time(7)), so a gap shows. tokio's timers have a grain of a millisecond and stop
//! during a suspend; an [`Alarm`] is a timerfd on this very clock and has neither fault.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId as TimerClock, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::time::{ClockId, clock_gettime};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use twinbeat_core::time::Mono;

const NANOS: u64 = 1_000_000_000;

/// The time since this machine's boot.
pub fn now() -> Mono {
    match clock_gettime(ClockId::CLOCK_BOOTTIME) {
        Ok(time) => {
            let part = |n: i64| u64::try_from(n).unwrap_or_default();
            Mono(part(time.tv_sec()).saturating_mul(NANOS).saturating_add(part(time.tv_nsec())))
        }
        Err(error) => {
            // Every Linux since 2.6.39 has it. Without a clock nothing may be decided, and an open gate closes by itself.
            eprintln!("twinbeat: CLOCK_BOOTTIME cannot be read: {error}");
            std::process::abort();
        }
    }
}

/// Waits until `at`. Needs tokio with IO enabled.
pub async fn sleep_until(at: Mono) -> io::Result<()> {
    let mut alarm = Alarm::new()?;
    alarm.set(Some(at))?;
    alarm.wait().await
}

/// An alarm clock that can be set again and again.
#[derive(Debug)]
pub struct Alarm {
    timer: AsyncFd<Timer>,
    set: Option<Mono>,
}

/// nix gives a timer only the newer of the two traits for descriptors; tokio wants the older one.
#[derive(Debug)]
struct Timer(TimerFd);

impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Alarm {
    /// A new one, not set. Needs a running tokio with IO enabled.
    pub fn new() -> io::Result<Alarm> {
        let timer = TimerFd::new(TimerClock::CLOCK_BOOTTIME, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        #[expect(unsafe_code, reason = "tokio asks that the descriptor stays open and the same: the timer owns it")]
        // SAFETY: `Timer` owns its descriptor, nothing changes it, and it is closed after the AsyncFd has let go of it.
        let timer = unsafe { AsyncFd::register_with_interest(Timer(timer), Interest::READABLE) }?;
        Ok(Alarm { timer, set: None })
    }

    /// Rings at this instant (at once when it has passed), or never. Whatever was set before is forgotten, and so is a ring
    /// that nobody waited for.
    pub fn set(&mut self, at: Option<Mono>) -> io::Result<()> {
        if self.set == at {
            return Ok(()); // also after a ring that was waited for: see `wait`
        }
        let Timer(timer) = self.timer.get_ref();
        match at {
            None => timer.unset()?,
            Some(Mono(nanos)) => {
                let nanos = nanos.max(1); // zero would turn it off
                let part = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
                let time = TimeSpec::new(part(nanos / NANOS), part(nanos % NANOS));
                timer.set(Expiration::OneShot(time), TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
            }
        }
        self.set = at;
        Ok(())
    }

    /// Waits until it rings; for ever when it is not set. After a ring it is not set. Nothing is lost when the wait is dropped.
    pub async fn wait(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.timer.readable().await?;
            match ready.get_inner().0.wait() {
                Ok(()) => {
                    ready.clear_ready();
                    self.set = None;
                    return Ok(());
                }
                Err(Errno::EAGAIN) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;
    use twinbeat_core::time::Span;

    #[tokio::test(flavor = "current_thread")]
    async fn an_alarm_rings_at_its_instant_and_not_before() {
        let mut alarm = Alarm::new().unwrap();
        let mut late = Vec::new();
        for _ in 0..50 {
            let at = now() + Span::micros(2_300);
            alarm.set(Some(at)).unwrap();
            alarm.wait().await.unwrap();
            let rang = now();
            assert!(rang >= at, "early by {}", at - rang);
            late.push(rang - at);
        }
        late.sort();
        println!("alarm late by: median {}, max {}", late[25], late[49]);
        assert!(late[25] < Span::millis(20), "median {}", late[25]);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn an_instant_in_the_past_rings_at_once_and_an_unset_alarm_never() {
        let mut alarm = Alarm::new().unwrap();
        for past in [Mono::ZERO, now()] {
            alarm.set(Some(past)).unwrap();
            timeout(Duration::from_secs(1), alarm.wait()).await.unwrap().unwrap();
        }
        assert!(timeout(Duration::from_millis(30), alarm.wait()).await.is_err(), "it rang twice");
        alarm.set(Some(now() + Span::secs(3600))).unwrap();
        alarm.set(Some(Mono(u64::MAX))).unwrap();
        assert!(timeout(Duration::from_millis(30), alarm.wait()).await.is_err());
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_ring_that_was_set_anew_or_unset_is_forgotten() {
        let mut alarm = Alarm::new().unwrap();
        for next in [None, Some(now() + Span::secs(3600))] {
            alarm.set(Some(now())).unwrap();
            std::thread::sleep(Duration::from_millis(2));
            alarm.set(next).unwrap();
            assert!(timeout(Duration::from_millis(30), alarm.wait()).await.is_err());
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_dropped_wait_loses_no_ring() {
        let mut alarm = Alarm::new().unwrap();
        alarm.set(Some(now() + Span::millis(20))).unwrap();
        assert!(timeout(Duration::from_millis(1), alarm.wait()).await.is_err());
        timeout(Duration::from_secs(1), alarm.wait()).await.unwrap().unwrap();
        sleep_until(now() + Span::millis(1)).await.unwrap();
    }
}
