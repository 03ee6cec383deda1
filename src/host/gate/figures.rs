//! How exactly a gate closes.

use twinbeat_core::time::Span;

/// How much later than ordered a gate may close (SAFETY: kernel slack).
pub const KERNEL_SLACK: Span = Span::millis(5);

/// The shortest time that a gate is opened for. A timeout under one tick of the kernel's clock (10 ms at HZ=100) would
/// be rounded down to zero, and zero means "for ever" (net/netfilter/nf_tables_api.c).
pub const SHORTEST: Span = Span::millis(12);

/// So much earlier than ordered a gate closes, since an order may be under way for as long as its ticket lives.
pub(super) const EARLY: Span = Span::millis(8);

/// By so much a ticket lives longer than that: so late an order that is just in time may close.
pub(super) const MARGIN: Span = Span::millis(4);

const _: () = assert!(MARGIN.0 < KERNEL_SLACK.0, "an order that is just in time must not close late");
const _: () = assert!(EARLY.0 + MARGIN.0 >= SHORTEST.0, "a ticket is an element with a timeout, too");
