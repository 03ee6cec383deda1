//! What survives a restart: the record on disk.

use serde::{Deserialize, Serialize};

use super::data::LastChange;
use super::files::PeerFile;
use super::id::{Epoch, Name};
use super::meaning;
use super::time::{Mono, Span};
use crate::prelude::*;

/// What survives a restart. Written whole, in place. A record of another version is read as far as it is understood:
/// unknown fields are passed over, and all that a group must have is its name and its epoch.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Record {
    /// Each group by name.
    #[serde(default)]
    pub groups: Vec<GroupRecord>,
    /// The witnesses that failed the negative control: they prove nothing in the next life either, until they pass it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub no_register: Vec<u8>,
    /// What the peer said last of its file: where it differs it forbids in the next life too (SAFETY R11).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_file: Option<PeerFile>,
    /// When the peer was turned off, while it has not been heard since; of this boot.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "meaning::nothing")]
    pub fenced: Option<Mono>,
    /// Until when an order to turn it off may still be carried out; of this boot.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "meaning::nothing")]
    pub fencing: Option<Mono>,
}

/// What survives of one group.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct GroupRecord {
    /// Its name.
    pub name: Name,
    /// The highest epoch seen, used or reserved; nothing up to it is used again.
    pub epoch: Epoch,
    /// The epoch of the last ownership of this node, for a hot restart.
    #[serde(default)]
    pub owned: Option<Epoch>,
    /// The longest lease that the peer announced and may still run on.
    #[serde(default)]
    pub peer_lease: Span,
    /// The longest own lease that the peer has echoed; zero when it never did (SAFETY R11).
    #[serde(default)]
    pub acked_lease: Span,
    /// Standby by command.
    #[serde(default)]
    pub standby: Option<StandbyHold>,
    /// The newest word about a pause; none where there never was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<PauseRecord>,
    /// The newest change of owner, for people; of this boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<LastChange>,
    /// The epoch that the peer was heard to serve with, and since when; of this boot.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "meaning::nothing")]
    pub peer_serves: Option<(Epoch, Mono)>,
}

/// An administrator's standby.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct StandbyHold {
    /// How much of it is left; none means until `resume`.
    pub left: Option<Span>,
    /// The administrator's words.
    pub reason: Option<String>,
    /// Its number: of two nodes in standby the one with the higher number was told last.
    #[serde(default, skip_serializing_if = "super::heartbeat::is_zero")]
    pub told: u64,
}

/// An administrator's pause, or its end.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PauseRecord {
    /// Its number.
    pub told: u64,
    /// It is in force.
    pub on: bool,
    /// How much of it is left; none means until `resume`.
    #[serde(default)]
    pub left: Option<Span>,
    /// The administrator's words, or whose it is.
    #[serde(default)]
    pub reason: Option<String>,
}
