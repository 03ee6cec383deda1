//! The public side: every raw frame about the VIPs, in and out, in one place.
//!
//! Life cycle: [`PublicSide::new`] knows the addresses and opens what it can; [`PublicSide::next`] yields what is seen and, on
//! the way, keeps the witnesses' MACs known and has sockets opened of interfaces that come later, are made anew or changed their MAC
//! (twice a second; [`PublicSide::renew`] does it at once). The orders send a frame or two each. Nothing waits after the start.
//!
//! Nothing is said in the name of an address that the public interface does not have now (SAFETY R12): not in that of the own one, and a
//! challenge, a control and a relayed heartbeat only where that is there. A daemon under its peer's name says nothing here.
//!
//! The guard VIP of a group is its first one on the public interface; for a witness of the other family it is the first one
//! of that family. It refuses to decide: what a frame means for ownership is the core's to say.

mod announcing;
mod keeper;
#[cfg(test)]
pub(crate) mod lab;
mod paced;
mod rebuild;
mod side;
mod types;
mod watch;
mod witness;

pub use self::side::PublicSide;
pub use self::types::{PublicConfig, PublicEvent, SendError};
