//! Names as heartbeats carry them: four bytes for each, whatever its length.

use std::collections::BTreeMap;

use twinbeat_core::id::Name;

/// What stands for a name in a heartbeat: the first four bytes of its BLAKE3 hash, the high one first.
///
/// The loader refuses a file in which two names of links or groups share one.
pub fn short(name: &str) -> u32 {
    let hash = blake3::hash(name.as_bytes());
    hash.as_bytes().iter().take(4).fold(0, |short, byte| short << 8 | u32::from(*byte))
}

/// The names that this node's file knows, to read the peer's by.
#[derive(Clone, Default, Debug)]
pub struct Names(BTreeMap<u32, Name>);

impl Names {
    /// Of links and groups alike.
    pub fn new(names: impl IntoIterator<Item = Name>) -> Names {
        Names(names.into_iter().map(|name| (short(&name), name)).collect())
    }

    /// The name that one of `of`'s stand-ins stands for, when it is known by now; any other as it is.
    pub fn known(&self, name: &Name) -> Name {
        let short = name.strip_prefix('?').and_then(|short| u32::from_str_radix(short, 16).ok());
        short.map_or_else(|| name.clone(), |short| self.of(short))
    }

    /// The name, or for one that is not in this node's file a word that no configured name can be.
    pub(super) fn of(&self, short: u32) -> Name {
        self.0.get(&short).cloned().unwrap_or_else(|| format!("?{short:08x}").into())
    }
}
