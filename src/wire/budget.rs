//! How much one socket may take of one wake-up, so that a flood cannot starve the decision loop (SAFETY R12).

use twinbeat_core::time::{Mono, Span};

/// At most this many frames of one socket, then everybody else has a turn.
///
/// The dearest frame costs one verification, about 50 µs: 1.6 ms for the whole budget.
pub const FRAMES_PER_WAKE: u32 = 32;
/// At most this many bytes of one socket, the last frame included as far as it goes beyond.
pub const BYTES_PER_WAKE: usize = 64 * 1024;

/// Verifications in vain that a path may cost at once.
pub const VAIN_BURST: u32 = 64;
/// One more in this time: 500 a second, a fortieth of a core at 50 µs each.
pub const VAIN_EVERY: Span = Span::millis(2);

/// How many verifications a path may still cost that bring nothing new: a signature that does not hold, an old heartbeat played
/// back. What is new costs nothing here, so that a peer may say as much as it likes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vain {
    left: u32,
    refilled: Mono,
}

impl Vain {
    /// All of it, at `now`.
    pub const fn new(now: Mono) -> Vain {
        Vain { left: VAIN_BURST, refilled: now }
    }

    /// Whether another may be risked.
    pub fn is_left(&mut self, now: Mono) -> bool {
        let more = now.since(self.refilled).0 / VAIN_EVERY.0;
        if more > 0 {
            self.left = self.left.saturating_add(u32::try_from(more).unwrap_or(u32::MAX)).min(VAIN_BURST);
            self.refilled = now;
        }
        self.left > 0
    }

    /// One was in vain.
    pub fn spend(&mut self) {
        self.left = self.left.saturating_sub(1);
    }
}

/// What is left of one wake-up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    frames: u32,
    bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Budget { frames: FRAMES_PER_WAKE, bytes: BYTES_PER_WAKE }
    }
}

impl Budget {
    /// Pays for one event of `bytes` bytes (errors and empty datagrams cost a frame too).
    pub fn spend(&mut self, bytes: usize) {
        self.frames = self.frames.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Whether it is somebody else's turn.
    pub const fn is_spent(&self) -> bool {
        self.frames == 0 || self.bytes == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verifications_in_vain_are_bounded_and_come_back() {
        let mut vain = Vain::new(Mono::ZERO);
        let mut spent = |from: u64, to: u64| {
            let mut count = 0_u32;
            for micros in from..to {
                if vain.is_left(Mono::ZERO + Span::micros(micros)) {
                    vain.spend();
                    count += 1;
                }
            }
            count
        };
        assert_eq!(spent(0, 1000), VAIN_BURST);
        let second = spent(1000, 1_001_000);
        assert!((499..=501).contains(&second), "{second}");
        assert_eq!(spent(60_000_000, 60_000_100), VAIN_BURST, "an hour of peace saves up no more than a burst");
    }
}
