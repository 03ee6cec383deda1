//! systemd's units over D-Bus: their states kept by signals, starts and stops as jobs, with no process run for either.
//!
//! One task of a group's runtime (`link.rs`) holds a connection to the system bus, and connects again when it is lost. What it knows is on a board
//! that [`Units`] looks at; what it is asked it asks systemd, each question with a limit. Nothing is remembered over a lost connection.
//!
//! What it refuses: a signal of anybody but the systemd that owns the name on the bus, whatever its path says; any user of the machine may send one.

mod ask;
mod link;
mod message;
mod session;
mod units;
mod words;

#[cfg(test)]
pub(super) mod fake;
#[cfg(test)]
mod tests;

pub(super) use ask::{JobEnd, Program, Trouble, Verb};
pub use link::answers;
pub(super) use message::DAEMON;
pub(super) use units::Units;
pub(super) use words::of_job;
