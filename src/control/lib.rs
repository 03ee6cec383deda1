//! The control socket: how the commands talk to a running daemon.
//!
//! `RUN_DIR/control.sock`, mode 0600, root's and the daemon's own user's. One request a connection, one JSON line each way,
//! bounded in size, time and number ([`protocol`]). `RUN_DIR/lock` keeps a second daemon out, and so do
//! a lock in the state directory and a name in the network namespace ([`only`]).

#![forbid(unsafe_code)]
// Bytes, journals and states from outside: nothing indexes or overflows unchecked.
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

pub mod client;
pub mod only;
pub mod protocol;
pub mod schema;
pub mod server;
pub mod shown;

#[cfg(test)]
mod tests;
