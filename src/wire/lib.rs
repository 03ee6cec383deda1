//! The heartbeat's bytes: a keyed tag that binds the path, a signature, a body. docs/PROTOCOL.md has the format to the byte.
//!
//! A heartbeat is signed once ([`Signer::sign`]) and sealed for each path with a cheap tag ([`Signer::seal`]). [`Opener::open`]
//! goes from cheap to dear: length, magic, tag, equality with what was verified before, signature, and only then the body. The
//! tag keeps a flood of bogus frames away from the signature; it proves nothing beyond that. What proves is the signature.
//!
//! What this module refuses to do: it has no clock, no socket and no replay guard. Whether a verified heartbeat is *new* is
//! the core's question (SAFETY R12), since only the core knows what it heard and sent.

#![forbid(unsafe_code)]
// Bytes, journals and states from outside: nothing indexes or overflows unchecked.
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod body;
mod budget;
mod encode;
mod keys;
mod names;
mod open;
mod reject;
mod sign;

#[cfg(fuzzing)]
pub use body::fuzzed as fuzzed_body;
pub use budget::{BYTES_PER_WAKE, Budget, FRAMES_PER_WAKE, VAIN_BURST, VAIN_EVERY, Vain};
pub use encode::{MOST_IN_ECHO, MTU, Room, frame_len, longest_frame};
pub use keys::{KeyError, Pair};
pub use names::{Names, short};
pub use open::{Opener, Tally};
pub use reject::{LOG_EVERY, Reject, RejectLine, RejectLog, Rejects};
pub use sign::{SignError, SignedBody, Signer};

use twinbeat_core::id::Name;

/// The first three bytes of every frame.
pub const MAGIC: [u8; 3] = *b"2bt";
/// The fourth byte: how tag, signature and body are made. What the body says is the body's own version. Version 1 had JSON.
pub const FRAME_VERSION: u8 = 2;
/// Magic and version.
pub const HEADER: usize = 4;
/// The keyed tag.
pub const TAG: usize = 16;
/// The Ed25519 signature.
pub const SIGNATURE: usize = 64;
/// All that comes before the body.
pub const OVERHEAD: usize = HEADER + TAG + SIGNATURE;
/// The longest frame that is looked at. A receive buffer of one byte more shows whether a datagram was longer.
pub const MAX_FRAME: usize = 8192;

/// The way that a frame takes. It is part of the tag, so a frame cannot be moved to another path.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Path {
    /// Over the link of this name (the relay is one).
    Link(Name),
    /// Inside an echo from the guard VIP of the group of this name (SAFETY R2).
    Vip(Name),
}

impl Path {
    /// Kind and name: as hashed, one never begins like the other.
    const fn parts(&self) -> (&'static str, &Name) {
        match self {
            Path::Link(name) => ("link:", name),
            Path::Vip(name) => ("vip:", name),
        }
    }
}

impl std::fmt::Display for Path {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kind, name) = self.parts();
        write!(f, "{kind}{name}")
    }
}

#[cfg(test)]
mod attack_tests;
#[cfg(test)]
mod tests;
