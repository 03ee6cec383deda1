//! The flight recorder: every input of the decision with its time, written down before it is acted on; and what can be done with it.
//!
//! Life cycle: [`Recorded`] wraps the daemon's `Node`. Each input becomes a line in a bounded queue in memory, the outputs
//! one more; a thread of its own ([`writer`]) takes the queue about once a second, at once when a person will want to read
//! it, into files that are dropped when they are old. Each file begins with a [`Head`](file::Head): version, node, settings
//! and the node's whole state, so that it can be replayed by itself. What does not fit into the queue, or onto the disk, is
//! counted and never waited for; recording goes on with a new file, so that no replay runs across the hole.
//!
//! From the files: [`replay`] gives the same outputs byte for byte or names the first that differ, [`why`] tells what each
//! decision rested on, [`past`] draws the last hour as [`lanes`]; the room `whatif` gives the same world to a node with other settings.
//!
//! Refused here: keys, services' environments, anything that the core does not see. A journal holds what [`Settings`], the
//! inputs and the outputs hold, and nothing else; its files are readable by their owner alone.
//!
//! [`Settings`]: twinbeat_core::settings::Settings

#![forbid(unsafe_code)]
// Bytes, journals and states from outside: nothing indexes or overflows unchecked.
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

pub mod file;
mod glance;
pub mod lanes;
pub mod line;
mod orders;
pub mod past;
pub mod queue;
pub mod recorded;
pub mod replay;
pub mod why;
pub mod writer;

#[cfg(test)]
mod crafted_tests;
#[cfg(test)]
mod tests;

pub use recorded::Recorded;

/// Where the files are, below the state directory.
pub const DIR: &str = "journal";
/// The version of the format: of the lines, and of the state that a file begins with. Another one is refused.
pub const FORMAT: u32 = 2;
