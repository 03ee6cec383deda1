//! The device of a node that turns the other one off.

use super::clock::Moment;
use twinbeat_core::time::Span;

/// How long one takes, in milliseconds, where nothing is said.
pub(super) const TAKES: (u64, u64) = (300, 2_000);

/// One of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Device {
    /// It does not work.
    pub(super) fails: bool,
    /// How long it takes; none: 0.3 to 2 s.
    pub(super) takes: Option<Span>,
    /// The order that it is at is not done within the limit.
    pub(super) late: bool,
    /// When the order was given that it is at.
    pub(super) ordered: Option<Moment>,
}

impl Device {
    /// How long it takes at the most.
    pub(super) fn most(&self) -> Span {
        self.takes.unwrap_or(Span::millis(TAKES.1))
    }

    pub(super) fn mended(&mut self) {
        (self.fails, self.takes) = (false, None);
    }
}
