//! The machine: everything that touches the kernel, one file a subject.

pub mod bond;
pub mod clock;
pub mod echo;
pub mod gate;
pub mod interfaces;
pub mod neighbour;
mod netlink;
pub mod packet;
pub mod public;
pub mod raw_echo;
pub mod realtime;
pub mod session;
pub mod sockets;
pub mod vip;

#[cfg(test)]
mod test_net;
