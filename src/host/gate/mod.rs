//! The kernel gate: while a VIP is an unexpired element of an nftables set, packets for it come in and packets from it
//! go out; when the element expires, which needs nobody, nothing does (SAFETY R1).
//!
//! Life: [`probe()`] says what this machine can do; a [`Gate`] (or a [`WeakGate`]) is installed closed, or as a life
//! before left it; a [`GateThread`] carries out orders one after the other; [`watch()`] tells when a foreign hand changed or
//! removed anything of it. It refuses to open for less than [`SHORTEST`]: so short a timeout is none at all in a coarse kernel clock.

#[cfg(test)]
mod carriers_tests;
mod family;
mod foreign;
mod kernel;
#[cfg(test)]
mod paths_tests;
mod probe;
mod rules;
mod ruleset;
#[cfg(test)]
mod tests;
mod thread;
mod watch;
mod weak;

pub use foreign::{Foreign, foreign, remove};
pub use kernel::{Gate, Renewal, table_name};
pub use probe::{GateSupport, probe};
pub use thread::{AnyGate, GateEvent, GateThread, Orders};
pub use watch::{Damage, Watch, watch};
pub use weak::WeakGate;

use crate::clock::now;
use twinbeat_core::time::Span;

/// How much later than ordered a gate may close (SAFETY: kernel slack).
pub const KERNEL_SLACK: Span = Span::millis(5);

/// The shortest time that a gate is opened for. A timeout under one tick of the kernel's clock (10 ms at HZ=100) would
/// be rounded down to zero, and zero means "for ever" (net/netfilter/nf_tables_api.c).
pub const SHORTEST: Span = Span::millis(12);

/// So much earlier than ordered a gate closes, since an order may be under way for as long as its ticket lives.
const EARLY: Span = Span::millis(8);

/// By so much a ticket lives longer than that: so late an order that is just in time may close.
const MARGIN: Span = Span::millis(4);

const _: () = assert!(MARGIN.0 < KERNEL_SLACK.0, "an order that is just in time must not close late");
const _: () = assert!(EARLY.0 + MARGIN.0 >= SHORTEST.0, "a ticket is an element with a timeout, too");
