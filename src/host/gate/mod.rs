//! The kernel gate: while a VIP is an unexpired element of an nftables set, packets for it come in and packets from it
//! go out; when the element expires, which needs nobody, nothing does (SAFETY R1).
//!
//! Life: [`probe`] says what this machine can do; a [`Gate`] (or a [`WeakGate`]) is installed closed, or as a life
//! before left it; a [`GateThread`] carries out orders one after the other; [`watch`] tells when a foreign hand removed
//! the table. It refuses to open for less than [`SHORTEST`]: so short a timeout is none at all in a coarse kernel clock.

mod foreign;
mod kernel;
mod ruleset;
#[cfg(test)]
mod tests;
mod thread;
mod watch;
mod weak;

pub use foreign::{Foreign, foreign, remove};
pub use kernel::{Gate, GateSupport, Renewal, probe, table_name};
pub use thread::{AnyGate, GateEvent, GateThread, Orders};
pub use watch::{Damage, Watch, watch};
pub use weak::WeakGate;

use crate::core::time::Span;
use crate::host::clock::now;

/// Frames with this SO_MARK (socket(7)) leave through a closed gate: challenge, negative control, probes.
pub const MARK: u32 = 0x7462;

/// How much later than ordered a gate may close (SAFETY: kernel slack).
pub const KERNEL_SLACK: Span = Span::millis(5);

/// The shortest time that a gate is opened for. A timeout under one tick of the kernel's clock (10 ms at HZ=100) would
/// be rounded down to zero, and zero means "for ever" (net/netfilter/nf_tables_api.c).
pub const SHORTEST: Span = Span::millis(12);
