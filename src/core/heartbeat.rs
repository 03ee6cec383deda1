//! The heartbeat as the core sees it, and the proof that somebody checked its signature.

use serde::{Deserialize, Serialize};

use super::files::VipSet;
use super::id::{Attempt, Epoch, Incarnation, Name, NodeId};
use super::meaning;
use super::pause::PauseBeat;
use super::ready::Unfit;
use super::time::Span;
use crate::prelude::*;

/// The version of this format. A heartbeat of another version still proves that its sender lives (SAFETY R11).
pub const VERSION: u16 = 2;

/// The longest age that a heartbeat tells, of whatever: what is older is told and taken as this old. Far above anything that a
/// decision looks at, and far below what a span can hold.
pub const MOST_AGE: Span = Span::secs(3600);

/// What one node says to the other: signed once, sent over every link.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The format's version.
    #[serde(rename = "v")]
    pub version: u16,
    /// Who says it.
    pub from: NodeId,
    /// Which life of its daemon.
    #[serde(rename = "inc")]
    pub incarnation: Incarnation,
    /// Grows with each heartbeat of this incarnation.
    #[serde(rename = "n", serialize_with = "meaning::beat")]
    pub number: u64,
    /// Digest of the sender's configuration, as far as both nodes must agree on it.
    #[serde(rename = "cfg")]
    pub digest: u64,
    /// The longest lease that any gate of the sender may still run on (SAFETY R11).
    pub lease: Span,
    /// Digest of the sender's witnesses and of how each is asked.
    #[serde(rename = "w", default)]
    pub witnesses: u32,
    /// The receiver's incarnation and lease as the sender knows them; none before it heard anything.
    #[serde(rename = "of", skip_serializing_if = "Option::is_none", default)]
    pub echo_of: Option<EchoOf>,
    /// For each link the newest number that arrived over it.
    #[serde(rename = "echo", skip_serializing_if = "Vec::is_empty", default)]
    pub echoes: Vec<LinkEcho>,
    /// Please answer at once.
    #[serde(rename = "ask", skip_serializing_if = "core::ops::Not::not", default)]
    pub answer: bool,
    /// The sender reaches a majority of the witnesses over its public side.
    #[serde(rename = "reach")]
    pub reachable: bool,
    /// How long before this heartbeat the sender sent the newest echo that a majority of the witnesses answered; at most
    /// [`MOST_AGE`].
    #[serde(rename = "ans", skip_serializing_if = "Option::is_none", default)]
    pub answered: Option<Span>,
    /// The sender's public carrier is up.
    #[serde(rename = "car")]
    pub carrier: bool,
    /// The sender's device turns the receiver off, or is about to (SAFETY R4b).
    #[serde(rename = "off", skip_serializing_if = "core::ops::Not::not", default)]
    pub fencing: bool,
    /// Which part of what is said under this number.
    #[serde(skip_serializing_if = "Part::is_whole", default)]
    pub part: Part,
    /// Each group, or those of this part.
    #[serde(rename = "g")]
    pub groups: Vec<GroupBeat>,
}

/// What is said of many groups does not fit into one frame: it is said in parts, all with one number, each with groups of its own. All else
/// stands in each of them (SAFETY R1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Part {
    /// Which one, from 0.
    pub index: u8,
    /// Of how many, at least 1.
    pub of: u8,
}

impl Part {
    /// The only one.
    pub const WHOLE: Part = Part { index: 0, of: 1 };

    /// Nothing else belongs to it.
    pub fn is_whole(&self) -> bool {
        self.of <= 1
    }

    /// In which part a group stands when so many go into one; the group by its place in the sender's file.
    pub fn of_group(place: usize, in_beat: usize) -> u8 {
        u8::try_from(place.checked_div(in_beat).unwrap_or_default()).unwrap_or(u8::MAX)
    }
}

impl Default for Part {
    fn default() -> Part {
        Part::WHOLE
    }
}

/// Which life of the receiver the echoes belong to, and the lease that it announced there.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct EchoOf {
    /// The receiver's incarnation.
    #[serde(rename = "inc")]
    pub incarnation: Incarnation,
    /// The lease that the receiver announced last.
    pub lease: Span,
    /// The receiver's witnesses, as the sender has them on disk; zero when it has none.
    #[serde(rename = "w", default)]
    pub witnesses: u32,
}

/// The newest number received over one link.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LinkEcho {
    /// The link's name.
    #[serde(rename = "l")]
    pub link: Name,
    /// The newest number received over it.
    #[serde(rename = "n", serialize_with = "meaning::peer_beat")]
    pub number: u64,
    /// How long ago it was received when this heartbeat was made, so that the round trip can be computed.
    #[serde(rename = "h", serialize_with = "meaning::nothing")]
    pub held: Span,
}

/// A group as its sender sees it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct GroupBeat {
    /// The group's name.
    pub name: Name,
    /// The sender's VIPs in it.
    #[serde(default)]
    pub vips: VipSet,
    /// What the sender is in it.
    pub role: BeatRole,
    /// Owner: the epoch owned. Otherwise: the highest epoch for which the sender stands by.
    #[serde(rename = "e")]
    pub epoch: Epoch,
    /// The sender's gate is open.
    #[serde(rename = "gate", skip_serializing_if = "core::ops::Not::not", default)]
    pub gate_open: bool,
    /// The sender could own: nothing still stopping, no failed service, state can be written.
    #[serde(rename = "ok")]
    pub eligible: bool,
    /// The sender could claim from a dead peer, even where it takes nothing from a living one (a service that failed some time ago).
    #[serde(rename = "claims", skip_serializing_if = "core::ops::Not::not", default)]
    pub claims: bool,
    /// Why the sender is not fit, or may not be: for people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unfit: Option<Unfit>,
    /// The sender owns, and its return path, which would show, has not come yet: a move to it is not done (SAFETY R6).
    #[serde(skip_serializing_if = "core::ops::Not::not", default)]
    pub unproven: bool,
    /// An administrator put the sender in standby: a preference (SAFETY R14).
    #[serde(rename = "hold", skip_serializing_if = "core::ops::Not::not", default)]
    pub standby_held: bool,
    /// The highest number of a standby by command that the sender knows of; with `standby_held` its own one's (SAFETY R14).
    #[serde(rename = "told", skip_serializing_if = "is_zero", default)]
    pub told: u64,
    /// The newest word about a pause that the sender knows of; none where there never was one (SAFETY R15).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pause: Option<PauseBeat>,
    /// The owner asks the receiver to take over, and why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub offer: Option<Offer>,
    /// The sender is ready to own with this epoch as soon as the receiver releases.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub intent: Option<Intent>,
    /// The sender agreed and is on its way out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub granted: Option<Grant>,
    /// Gate and address are gone by the kernel's own word: the named epoch may be used.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub released: Option<Grant>,
    /// With `released`: how long ago the gate was ordered to close, so that the new owner can tell the clients' gap; at most [`MOST_AGE`].
    #[serde(rename = "shut", skip_serializing_if = "Option::is_none", serialize_with = "meaning::nothing", default)]
    pub closed_for: Option<Span>,
    /// An intent that the sender will not grant, and why not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub refused: Option<Refused>,
    /// How often the sender challenged the receiver's ownership, or left its own without handing over; the owner acknowledges by announcing.
    #[serde(rename = "ch", skip_serializing_if = "is_zero", default)]
    pub challenged: u64,
    /// The newest `challenged` of the receiver that the sender announced for.
    #[serde(rename = "chk", skip_serializing_if = "is_zero", default)]
    pub challenge_ack: u64,
}

impl GroupBeat {
    /// Its sender could serve where nobody else does.
    pub(super) fn could_serve(&self) -> bool {
        self.eligible || self.claims
    }

    /// Its sender does not serve, and could not.
    pub(super) fn cannot_serve(&self) -> bool {
        self.role == BeatRole::Standby && !self.eligible
    }
}

pub(super) fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// What the sender of a heartbeat is in a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum BeatRole {
    /// Stands by.
    #[serde(rename = "s")]
    Standby,
    /// Owns, or is opening its gate.
    #[serde(rename = "o")]
    Owner,
    /// On its way out: gate and address are not yet known to be gone.
    #[serde(rename = "l")]
    Leaving,
}

/// Why an owner asks its peer to take over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Offer {
    /// An administrator's command.
    #[serde(rename = "command")]
    Standby,
    /// The daemon is being stopped.
    #[serde(rename = "shutdown")]
    Shutdown,
    /// No carrier, or no witness, on the public side.
    #[serde(rename = "public")]
    PublicLost,
    /// A service does not run and does not start, or the kernel does not make the gate.
    #[serde(rename = "service")]
    ServiceFailed,
    /// An interface of one of the addresses is missing.
    #[serde(rename = "interface")]
    InterfaceMissing,
    /// The answer of the witness to the address never came since the sender took it.
    #[serde(rename = "path")]
    NoReturnPath,
}

/// "I am ready to own with this epoch." The claimer's incarnation is the heartbeat's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Intent {
    /// The epoch to be used.
    #[serde(rename = "e")]
    pub epoch: Epoch,
    /// Which try of the claimer.
    #[serde(rename = "a")]
    pub attempt: Attempt,
    /// A person asked for it: takeover by command.
    #[serde(rename = "cmd", skip_serializing_if = "core::ops::Not::not", default)]
    pub commanded: bool,
}

/// Names one intent of one incarnation, so that nothing old can be mistaken for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Grant {
    /// The intent's epoch.
    #[serde(rename = "e")]
    pub epoch: Epoch,
    /// The intent's attempt.
    #[serde(rename = "a")]
    pub attempt: Attempt,
    /// The claimer's incarnation.
    #[serde(rename = "inc")]
    pub incarnation: Incarnation,
}

/// A refusal of an intent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refused {
    /// The intent refused.
    pub grant: Grant,
    /// Why.
    pub why: WhyRefused,
}

/// Why an intent is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum WhyRefused {
    /// The claimer says that it cannot serve.
    NotFit,
    /// The epoch is not above all that I have seen.
    StaleEpoch,
    /// My own intent goes first.
    OtherIntent,
    /// One that this version does not know; this version never gives it.
    #[serde(alias = "Busy")]
    Other,
    /// I hold another group, and the files differ in the VIPs of both.
    FilesDiffer,
    /// The group is paused, and no person asked for the move.
    Paused,
    /// The sender is turning the receiver off: that cannot be called back.
    Fencing,
}

impl WhyRefused {
    /// A few words for a log line, as the one who is refused reads them.
    pub fn words(self) -> &'static str {
        match self {
            WhyRefused::NotFit => "this node is not fit to serve (no own reachability, or a service that does not run)",
            WhyRefused::StaleEpoch => "it knows of a higher epoch",
            WhyRefused::OtherIntent => "its own intent goes first",
            WhyRefused::Other => "for a reason that this version does not know",
            WhyRefused::Fencing => "it is just turning this node off",
            WhyRefused::Paused => "the group is paused there",
            WhyRefused::FilesDiffer => "it holds another group whose VIPs differ in the two files",
        }
    }
}

/// A value whose signature was checked, or modelled, by the one who vouches for it.
///
/// Only `wire::open`, the simulator and the journal's replay may vouch; a test reads the sources and enforces it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// Says that `value` comes from the peer.
    #[cfg(any(test, feature = "vouch"))]
    pub fn vouch(value: T) -> Self {
        Verified(value)
    }

    /// What was verified.
    pub fn get(&self) -> &T {
        &self.0
    }
}
