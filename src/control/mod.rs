//! The control socket: how the commands talk to a running daemon.
//!
//! `RUN_DIR/control.sock`, mode 0600, root's and the daemon's own user's. One request a connection, one JSON line each way,
//! bounded in size, time and number ([`protocol`]). `RUN_DIR/lock` keeps a second daemon out.

// Bytes, journals and states from outside: nothing indexes or overflows unchecked.
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

pub mod client;
pub mod protocol;
pub mod server;

#[cfg(test)]
mod tests;
