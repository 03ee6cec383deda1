//! Configurations of heartbeat and keepalived, as twinbeat's own file; and a first file of what two machines say of themselves ([`first`]).
//!
//! Texts in, a text and findings out: nothing here opens a file, asks the machine or guesses in silence. [`heartbeat`] and [`keepalived`] read what
//! is there into a `draft`; `write` makes twinbeat.toml of it, in which every setting says where it came from; `verify` has it judged by
//! `twinbeat-config`, as any other file. What the old files do not say is a placeholder that no daemon accepts; what has no counterpart is listed.

#![forbid(unsafe_code)]
// Every byte here is from outside.
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod draft;
mod finding;
pub mod first;
pub mod heartbeat;
pub mod keepalived;
mod network;
mod text;
mod timing;
mod verify;
mod write;

#[cfg(test)]
mod tests;

pub use finding::{Finding, Kind};
pub use text::{Place, Source, Wrong};
pub use write::{MARK, placeholders};

/// The most bytes that one file may have; a configuration is never that long.
pub const MOST_BYTES: usize = 1024 * 1024;

/// What cannot stand in the files, or what the caller knows better.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The cluster's name.
    pub cluster: Option<String>,
    /// The names of the nodes whose files these are, in the order of the files.
    pub nodes: Vec<String>,
    /// This machine's name, in case that the files are its own.
    pub host: Option<String>,
    /// Scripts become systemd units of the same name.
    pub systemd: bool,
}

/// What comes of it.
#[derive(Clone, Debug)]
pub struct Import {
    /// twinbeat.toml, with the findings as comments at its end.
    pub text: String,
    /// What a person must know or do.
    pub findings: Vec<Finding>,
    /// The same with its gaps filled.
    #[cfg(test)]
    pub(crate) filled: String,
}
