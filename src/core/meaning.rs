//! What the bare numbers of a state mean, said where each stands: for those who ask whether two states have the same future.
//!
//! A field with `#[serde(serialize_with = "meaning::own")]` is written as it would be without, in a newtype whose name a serializer may
//! ask [`Meaning::of`]; every other one sees through it. A number without a mark is compared as it is, which never takes two futures for one.

use serde::{Serialize, Serializer};

macro_rules! meanings {
    ($($(#[$about:meta])* $name:ident = $mark:ident,)+) => {
        /// How a marked field is meant.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Meaning {
            $($(#[$about])* $name,)+
        }

        impl Meaning {
            /// Of a newtype's name; none of a newtype that is no mark.
            pub fn of(name: &str) -> Option<Meaning> {
                match name {
                    $(concat!("meaning::", stringify!($mark)) => Some(Meaning::$name),)+
                    _ => None,
                }
            }
        }

        $($(#[$about])*
        pub(super) fn $mark<T: Serialize, S: Serializer>(value: &T, out: S) -> Result<S::Ok, S::Error> {
            out.serialize_newtype_struct(concat!("meaning::", stringify!($mark)), value)
        })+
    };
}

meanings! {
    /// An attempt, generation, ticket or echo of this node's: only compared with others of its own.
    Own = own,
    /// The number of a heartbeat of this node's.
    Beat = beat,
    /// The same with its send time: nothing any more once no echo can name it.
    Sent = sent,
    /// The number of a heartbeat of the other node's.
    PeerBeat = peer_beat,
    /// Counts what comes in a row; more than [`IN_A_ROW`] are no more than that.
    Row = row,
    /// Decides nothing: a measurement, words for people, the counter that numbers are drawn from.
    Nothing = nothing,
}

/// No rule asks for more in a row.
pub const IN_A_ROW: u64 = 8;
