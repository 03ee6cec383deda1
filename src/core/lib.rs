//! The decision: who owns, on what grounds, and what must hold before that changes.
//!
//! Pure: inputs and time go in, outputs come out. Nothing here does IO, reads a clock, draws a random number or knows tokio;
//! the daemon and the simulator drive the very same [`Node`](node::Node). The rules are SAFETY.md's, by number.

// Bytes, journals and states from outside: nothing indexes or overflows unchecked.
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::arithmetic_side_effects))]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
// For tests, and for the switch of a test build (broken.rs), which is one a thread.
#[cfg(any(test, feature = "bite"))]
extern crate std;

mod alone;
mod arrival;
pub mod broken;
pub mod claim;
pub mod command;
mod echoes;
pub mod event;
mod facts;
pub mod files;
pub mod fitness;
pub mod grounds;
pub mod group;
mod handover;
pub mod heartbeat;
pub mod hold;
pub mod id;
pub mod io;
pub mod link;
pub mod node;
mod owner;
pub mod pace;
pub mod peer;
mod prelude;
pub mod proof;
pub mod ready;
pub mod report;
pub mod role;
mod said;
pub mod settings;
pub mod shared;
mod sound;
mod standby;
pub mod time;
pub mod view;
pub mod witness;

#[cfg(test)]
mod tests;
