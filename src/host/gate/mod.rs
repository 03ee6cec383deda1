//! The kernel gate: while a VIP is an unexpired element of an nftables set, packets for it come in and packets from it
//! go out; when the element expires, which needs nobody, nothing does (SAFETY R1).
//!
//! Life: [`probe()`] says what this machine can do; a [`Gate`] (or a [`WeakGate`]) is installed closed, or as a life
//! before left it; a [`GateThread`] carries out orders one after the other; [`watch()`] tells when a foreign hand changed or
//! removed anything of it. It refuses to open for less than [`SHORTEST`]: so short a timeout is none at all in a coarse kernel clock.

#[cfg(test)]
mod carriers_tests;
mod family;
mod figures;
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

pub use figures::{KERNEL_SLACK, SHORTEST};
pub use foreign::{Foreign, foreign, remove};
pub use kernel::{Gate, Renewal, table_name};
pub use probe::{GateSupport, probe};
pub use thread::{AnyGate, GateEvent, GateThread, Orders};
pub use watch::{Damage, Watch, watch};
pub use weak::WeakGate;
