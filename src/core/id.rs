//! Names for things: small, copyable, and impossible to mix up.

use alloc::sync::Arc;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::prelude::*;

/// A name from the configuration: of a link, a group. Cheap to clone.
pub type Name = Arc<str>;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

/// One of the two nodes: 0 or 1, by sorted name, the same number on both. Another number does not deserialize.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize)]
#[serde(try_from = "u8")]
pub struct NodeId(pub u8);

impl TryFrom<u8> for NodeId {
    type Error = String;

    fn try_from(number: u8) -> Result<NodeId, String> {
        (number < 2).then_some(NodeId(number)).ok_or_else(|| format!("node {number}; a pair has the nodes 0 and 1"))
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

number!(/// A link: its place in [`Settings::links`](super::settings::Settings::links).
    LinkId(u8));
number!(/// A group: its place in [`Settings::groups`](super::settings::Settings::groups).
    GroupId(u8));
number!(/// A witness: its place among the configured targets.
    WitnessId(u8));
number!(/// A number that grows with each ownership of a group; its parity is the node's index (SAFETY R13).
    Epoch(u64));
number!(/// One try at something, so that a late completion of an earlier try is told apart.
    Attempt(u64));
number!(/// One life of a node's daemon; each start has a higher one.
    Incarnation(u64));

impl NodeId {
    /// The other one.
    pub const fn other(self) -> NodeId {
        NodeId(self.0 ^ 1)
    }

    /// As an index into an array of two.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl Epoch {
    /// Whether it is one of `node`'s numbers.
    pub fn is_of(self, node: NodeId) -> bool {
        self.0 % 2 == u64::from(node.0) || super::bite::off(super::bite::Clause::NoParity)
    }

    /// The least epoch above this one that belongs to `node`: its parity is the node's index.
    pub fn next_for(self, node: NodeId) -> Epoch {
        let next = self.0.saturating_add(1);
        if super::bite::off(super::bite::Clause::NoParity) {
            return Epoch(next);
        }
        if next % 2 == u64::from(node.0) { Epoch(next) } else { Epoch(next.saturating_add(1)) }
    }
}

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_nodes_never_come_to_use_the_same_epoch() {
        for seen in 0..20 {
            let (a, b) = (Epoch(seen).next_for(NodeId(0)), Epoch(seen).next_for(NodeId(1)));
            assert!(a > Epoch(seen) && b > Epoch(seen));
            assert_eq!((a.0 % 2, b.0 % 2), (0, 1));
            assert!(a.0 <= seen + 2 && b.0 <= seen + 2, "the least above all seen");
        }
    }
}
