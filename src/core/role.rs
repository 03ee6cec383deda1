//! What a node is in a group. Data lives in the variant; a transition consumes the old one.

use serde::{Deserialize, Serialize};

use super::claim::{Challenge, Probes};
use super::grounds::{Defence, Grounds};
use super::heartbeat::{Grant, Offer};
use super::hold::Hold;
use super::id::{Attempt, Epoch};
use super::meaning;
use super::proof::Proof;
use super::time::{Mono, Span};
use super::witness::Series;
use crate::prelude::*;

/// A group's role on this node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Role {
    /// Gate and address are gone.
    Standby(Standby),
    /// The right to own is there, gate and address are being made.
    Opening(Opening),
    /// This node's kernel answers for the VIP.
    Owner(Box<Owner>),
    /// Gate, address and services are going, in this order.
    Leaving(Leaving),
}

/// Stands by.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Standby {
    /// Evidence, while the peer is suspected (R4).
    pub claim: Option<Claim>,
    /// The wish to own by agreement (R6).
    pub wish: Option<Wish>,
}

/// Evidence against a silent peer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Claim {
    /// Since when it is gathered.
    #[serde(default)]
    pub begun: Option<Mono>,
    /// R4.3.
    pub probes: Probes,
    /// R4.4 †, before the challenge.
    #[serde(default)]
    pub proof: Proof,
    /// R4.4.
    pub challenge: Option<Challenge>,
    /// It was told that no challenge is to be had: no witness took the last one's write, none is a register, or the files forbid it.
    pub never_took: bool,
    /// When a trial found that no table takes a write, where fencing comes in its place.
    #[serde(default)]
    pub never_took_at: Option<Mono>,
}

/// Why a node wants to own by agreement.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Why {
    /// Nobody owns.
    First,
    /// This node is preferred and fit.
    Failback,
    /// A person typed `takeover` here.
    Takeover,
    /// The owner asked for it.
    Offered(Offer),
    /// The peer was lost (R4): not by agreement.
    Claimed,
}

impl Why {
    /// A few words for a log line.
    pub fn words(self) -> &'static str {
        match self {
            Why::First => "nobody owned it",
            Why::Failback => "failback to the preferred node",
            Why::Takeover => "takeover by command",
            Why::Offered(Offer::Standby) => "the peer was put in standby by command",
            Why::Offered(Offer::Shutdown) => "the peer's daemon is being stopped",
            Why::Offered(Offer::PublicLost) => "the peer lost its public side",
            Why::Offered(Offer::ServiceFailed) => "a service failed on the peer, or its kernel makes no gate",
            Why::Offered(Offer::InterfaceMissing) => "an interface is missing on the peer, or has no carrier",
            Why::Offered(Offer::NoReturnPath) => "the answer of the witness to the address never reached the peer",
            Why::Claimed => "the peer is lost",
        }
    }
}

/// How far a wish has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Stage {
    /// The epoch is being written to disk.
    Reserve,
    /// Warm services are being started.
    Warm(Attempt),
    /// A first claim probes the address.
    Probe,
    /// The intent is being told to the peer.
    Ask,
}

/// The wish to own by agreement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Wish {
    /// The epoch to be used.
    pub epoch: Epoch,
    /// This try.
    pub attempt: Attempt,
    /// Why.
    pub why: Why,
    /// How far.
    pub stage: Stage,
    /// R4.3 for a first claim.
    pub probes: Probes,
    /// When this stage began.
    pub since: Mono,
    /// When the intent was told last.
    pub told: Mono,
}

/// Gate and address are being made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Opening {
    /// The epoch.
    pub epoch: Epoch,
    /// The address order's attempt.
    pub attempt: Attempt,
    /// The gate order's generation.
    #[serde(serialize_with = "meaning::own")]
    pub generation: u64,
    /// Why.
    pub why: Why,
    /// The grounds to begin with.
    pub grounds: Grounds,
    /// Until when the gate was ordered.
    pub armed: Mono,
    /// The kernel said that the gate is open.
    pub gate: bool,
    /// The kernel said that the addresses are there.
    pub address: bool,
    /// When it began.
    pub since: Mono,
    /// What the peer's gate was closed for when it said `released`, and half a round trip.
    #[serde(serialize_with = "meaning::nothing")]
    pub closed_for: Option<Span>,
    /// The evidence in words.
    #[serde(serialize_with = "meaning::nothing")]
    pub evidence: String,
}

/// Owns.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Owner {
    /// The epoch.
    pub epoch: Epoch,
    /// Since when.
    pub since: Mono,
    /// The reasons to go on.
    pub grounds: Grounds,
    /// Until when the gate was ordered to be open.
    pub armed: Mono,
    /// VIP-sourced echoes to each witness.
    pub paths: Vec<Series>,
    /// When the last of them went out.
    pub echoed: Option<Mono>,
    /// When the peer was last asked to answer at once, out of turn.
    pub asked: Option<Mono>,
    /// The defence of the entry.
    pub defence: Defence,
    /// Announcements still to come in the present burst.
    #[serde(serialize_with = "meaning::row")]
    pub burst: u32,
    /// When the next announcement is due.
    pub announce: Mono,
    /// When the address lifetime is renewed next.
    pub refresh: Mono,
    /// The address is known to be gone: the next refresh puts it back.
    pub missing: bool,
    /// When it was last said that an address cannot be put or kept there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Mono>,
    /// While an interface of one of the addresses is missing, and until what came back with it was asked for.
    #[serde(default)]
    pub lacking: Option<Probes>,
    /// Which of the addresses those are, one bit each; none where that is not known.
    #[serde(default)]
    pub absent: u64,
    /// The peer is asked to take over.
    pub offer: Option<Offer>,
    /// A higher epoch, to be used as soon as it is on disk (R7).
    pub raising: Option<Epoch>,
    /// When another owner was heard last (R7).
    pub rival: Option<Mono>,
    /// Found open at a start (R10), not yet renewed.
    pub hot: bool,
    /// Its return path came since it took the address, or was there (R6).
    #[serde(default = "came")]
    pub proven: bool,
    /// A person on the other node waits for that.
    #[serde(default)]
    pub awaited: bool,
    /// The standby by command that a takeover ended: in force again when the address goes back.
    #[serde(default)]
    pub former: Option<Hold>,
}

/// What a journal of an earlier version does not say.
fn came() -> bool {
    true
}

/// On its way out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Leaving {
    /// The epoch that ends.
    pub epoch: Epoch,
    /// The close order's generation.
    #[serde(serialize_with = "meaning::own")]
    pub generation: u64,
    /// The removal's attempt.
    pub attempt: Attempt,
    /// Whom it is granted to.
    pub to: Option<Grant>,
    /// The kernel said that the gate is closed.
    pub gate_closed: bool,
    /// The kernel said that the addresses are gone.
    pub address_gone: bool,
    /// A cold service must have stopped before `released`.
    pub cold: bool,
    /// When it began.
    pub since: Mono,
    /// When the orders were given last; they are given again while the kernel does not confirm.
    pub ordered: Mono,
}

/// The group's services, as far as the core follows them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Running {
    /// None run.
    Stopped,
    /// The warm ones run.
    Warm,
    /// Being started.
    Starting,
    /// All run.
    Running,
    /// Being stopped.
    Stopping,
    /// One does not start, or died; none before this instant.
    Failed(String, Mono),
    /// One does not stop.
    Stuck(String),
}
