//! What a person should be able to read later: each with its evidence, each one line.

use core::fmt;

use serde::{Deserialize, Serialize};

use super::id::{Epoch, GroupId, LinkId, Name};
use crate::prelude::*;

/// How much it matters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Level {
    /// For those who look closely.
    Debug,
    /// A change that was meant to happen.
    Info,
    /// Something is not as it should be; the service goes on.
    Warn,
    /// The service is not where it should be, or nowhere.
    Error,
}

/// Something that happened, for the log, the journal and the trace.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Event {
    /// How much it matters.
    pub level: Level,
    /// The group that it is about.
    pub group: Option<Name>,
    /// What happened.
    pub kind: Kind,
    /// One line for a person, with the evidence.
    pub text: String,
}

/// What kind of thing happened: for programs (metrics, traces, hooks); the text is for people.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Kind {
    /// This node is the owner now.
    Owner(GroupId, Epoch),
    /// The owner affirms its ownership after another epoch or a contest: hooks are run again.
    Reaffirmed(GroupId, Epoch),
    /// This node no longer owns.
    Left(GroupId, Epoch),
    /// A decision not to act, with its reason.
    Refused(GroupId),
    /// A link changed its state.
    Link(LinkId),
    /// Own reachability or a witness changed.
    Witness,
    /// The peer: suspected, silent, heard again, restarted.
    Peer,
    /// A challenge or a defence.
    Challenge(GroupId),
    /// The peer is turned off, or could not be.
    Fence,
    /// A service or its state.
    Service(GroupId),
    /// A step of a planned move.
    Move(GroupId),
    /// The two configurations or versions do not agree.
    Mismatch,
    /// The decision loop did not run for too long.
    Stall,
    /// The gate, the addresses or the state directory did not do what was ordered.
    Host,
}

impl Kind {
    /// In one word, for programs.
    pub fn word(&self) -> &'static str {
        match self {
            Kind::Owner(..) => "owner",
            Kind::Reaffirmed(..) => "reaffirmed",
            Kind::Left(..) => "left",
            Kind::Refused(_) => "refused",
            Kind::Link(_) => "link",
            Kind::Witness => "witness",
            Kind::Peer => "peer",
            Kind::Challenge(_) => "challenge",
            Kind::Fence => "fence",
            Kind::Service(_) => "service",
            Kind::Move(_) => "move",
            Kind::Mismatch => "mismatch",
            Kind::Stall => "stall",
            Kind::Host => "host",
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.group {
            Some(group) => write!(f, "{group}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}
