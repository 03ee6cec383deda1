//! The machine: everything that touches the kernel, one file a subject.

// Bytes, journals and states from outside: nothing indexes or overflows unchecked.
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod addresses;
pub mod bond;
pub mod clock;
pub mod dirs;
pub mod echo;
#[cfg(fuzzing)]
pub mod fuzzed;
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "what it reads, `netlink` has cut and parsed")]
pub mod gate;
pub mod interfaces;
pub mod name_watch;
pub mod neighbour;
pub mod neighbour_table;
mod netlink;
pub mod packet;
pub mod public;
pub mod raw_echo;
pub mod realtime;
pub mod reboot;
pub mod routes;
pub mod session;
pub mod sockets;
pub mod vip;

#[cfg(test)]
mod test_net;
