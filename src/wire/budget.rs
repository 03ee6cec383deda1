//! How much one socket may take of one wake-up, so that a flood cannot starve the decision loop (SAFETY R12).

/// At most this many frames of one socket, then everybody else has a turn.
///
/// The dearest frame costs one verification, about 50 µs: 1.6 ms for the whole budget.
pub const FRAMES_PER_WAKE: u32 = 32;
/// At most this many bytes of one socket, the last frame included as far as it goes beyond.
pub const BYTES_PER_WAKE: usize = 64 * 1024;

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
