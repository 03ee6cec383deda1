//! The status snapshot: what a person at 3 a.m. asks, as data. The field names are documented and stable (docs/OPERATIONS.md).

use serde::{Deserialize, Serialize};

use super::sentence::{self, Sentence};
use super::words::{About, AskedBy, FoundState, Ground, GroupRole, Guard, LinkCondition, PeerState, ServiceState};
use crate::prelude::*;

/// Everything that `status` shows.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct View {
    /// This node's name.
    pub node: String,
    /// The peer's name.
    pub peer: String,
    /// The cluster's name.
    pub cluster: String,
    /// Digest of the configuration that this daemon has read, as far as both nodes must agree on it.
    pub digest: String,
    /// Milliseconds since this daemon's start.
    pub up_ms: u64,
    /// The number of this daemon's life; grows with each start and reload.
    #[serde(default)]
    pub incarnation: u64,
    /// Each group.
    pub groups: Vec<GroupView>,
    /// Each link.
    pub links: Vec<LinkView>,
    /// The third party.
    pub witness: WitnessView,
    /// What this node knows of the peer.
    pub peer_state: PeerState,
    /// The peer's configuration or version differs.
    pub mismatch: Option<String>,
    /// What guards the VIPs in the kernel.
    pub gate: Guard,
    /// How it stands with turning the peer off, in words; none where that is not configured and no person has said anything.
    #[serde(default)]
    pub fencing: Option<String>,
    /// What is wrong, most important first; empty when all is well.
    #[serde(flatten, with = "sentence::problems")]
    pub problems: Vec<Sentence>,
    /// The problem's words where the state directory cannot be written.
    #[serde(default)]
    pub state_trouble: Option<String>,
    /// The problem's words where the flight recorder cannot be written; filled in by the daemon.
    #[serde(default)]
    pub recorder_trouble: Option<String>,
    /// What the configuration or the machine makes weaker than it could be, although all works as it was set up.
    pub notices: Vec<String>,
}

/// One group.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct GroupView {
    /// Its name.
    pub name: String,
    /// The owning node as far as this node knows; none when nobody serves.
    pub owner: Option<String>,
    /// This node's role.
    pub role: GroupRole,
    /// The epoch owned, or stood by for.
    pub epoch: u64,
    /// The VIPs as configured.
    pub vips: Vec<String>,
    /// Would a takeover work right now? The same on both nodes.
    pub takeover_ready: TakeoverReady,
    /// Owner: how long the newest ground still lasts.
    pub lease_ms_left: Option<u64>,
    /// Owner: which grounds there are.
    pub grounds: Vec<Ground>,
    /// The last round trip of the return path, in microseconds.
    pub return_path_us: Option<u64>,
    /// The peer says that it owns as well, with its gate open.
    pub two_owners: bool,
    /// Milliseconds since a majority of the witnesses last sent an echo from the VIP back to this node: their tables take its
    /// entry. None when it has not owned since its daemon started.
    pub table_proved_ms: Option<u64>,
    /// What its services do on this node.
    pub service: ServiceState,
    /// Each service by its name, in the order in which they start; filled in by the daemon.
    pub services: Vec<String>,
    /// Each service as it was found when it was asked just now; filled in by the daemon, empty while an order to them is being carried out.
    #[serde(default)]
    pub services_here: Vec<ServiceView>,
    /// Standby by command, with its reason.
    pub standby_held: Option<String>,
    /// Milliseconds until it ends by itself; none when it does not, or none is in force.
    pub standby_left_ms: Option<u64>,
    /// A pause by command, with its reason: nothing is done for a service's sake on either node.
    #[serde(default)]
    pub paused: Option<String>,
    /// Milliseconds until it ends by itself; none when it does not, or none is in force.
    #[serde(default)]
    pub pause_left_ms: Option<u64>,
    /// The service that fell here in the pause, and how; it is left as it is.
    #[serde(default)]
    pub left_alone: Option<String>,
    /// On the preferred node while the other one owns: when a failback comes, and what it waits for.
    pub failback: Option<String>,
    /// The newest change of owner.
    pub last_change: Option<Change>,
    /// While this node is standby: each point of the claim's checklist that is open, with its reason.
    pub claim_open: Vec<String>,
    /// The problem's words where a third machine says that it has the address.
    #[serde(default)]
    pub stranger: Option<String>,
}

/// One service on this node.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ServiceView {
    /// Its name.
    pub name: String,
    /// It may run on a standby.
    pub warm: bool,
    /// What it does.
    pub state: FoundState,
    /// The newest word of its checks; none while none is asked.
    #[serde(default)]
    pub check: Option<CheckView>,
}

/// What the checks of a service said last.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CheckView {
    /// All were well.
    pub well: bool,
    /// What they said, in the order of the file.
    pub text: String,
}

impl GroupView {
    /// The problem of two owners; none when there are not.
    pub fn contested(&self) -> Option<Sentence> {
        self.two_owners.then(|| Sentence::lasting(About::TwoOwners, format!("{}: two owners", self.name)))
    }

    /// The problem of a takeover that would not work; none when it would.
    pub fn not_ready(&self) -> Option<Sentence> {
        let ready = &self.takeover_ready;
        let what = match (ready.crash.ready, ready.planned.ready) {
            (true, true) => return None,
            (false, false) => "a takeover would not work",
            (false, true) => "nobody would take over after a crash of the owner (a planned move would work)",
            (true, false) => "a planned move would not work (a takeover after a crash would)",
        };
        let which = ready.reasons.iter().map(Sentence::which).collect::<Vec<_>>().join("; ");
        let text = format!("{}: {what}: {}", self.name, sentence::joined(&ready.reasons));
        Some(Sentence::passing(About::Takeover, format!("{}: {what}: {which}", self.name), text))
    }

    /// The problem of services that do not run, or do not stop.
    pub fn failing(&self) -> Option<Sentence> {
        self.service.is_bad().then(|| Sentence::lasting(About::Service, format!("{}: service {}", self.name, self.service)))
    }

    /// The problem of a service that fell in a pause.
    pub fn left_as_it_is(&self) -> Option<Sentence> {
        let what = self.left_alone.as_ref()?;
        let text = format!("{}: {what}; left alone in the pause, until `twinbeat resume`", self.name);
        Some(Sentence::lasting(About::Service, text))
    }

    /// The problem of a group without an owner.
    pub fn unserved(&self) -> Option<Sentence> {
        self.owner.is_none().then(|| Sentence::lasting(About::NobodyServes, format!("{}: nobody serves", self.name)))
    }
}

impl LinkView {
    /// The problem of a link that is not as it should be.
    pub fn trouble(&self) -> Option<Sentence> {
        let text = match self.state {
            LinkCondition::Ok => return None,
            LinkCondition::Blocked => {
                "the network blocks the relay: both nodes reach the witness, and heartbeats through it do not arrive".into()
            }
            state => format!("link {}: {state}", self.name),
        };
        Some(Sentence::lasting(About::Link, text))
    }
}

impl TargetView {
    /// The problem of a witness about which there is something to say.
    pub fn problem(&self) -> Option<Sentence> {
        let text = format!("witness {} {}", self.index.saturating_add(1), self.trouble()?);
        Some(Sentence::lasting(About::Target, text))
    }

    /// What the person in front of it is to know, in words; none when there is nothing to say.
    pub fn trouble(&self) -> Option<String> {
        if self.by == AskedBy::Echo && !self.register {
            Some("answers to the sender, not by its table: it proves no ownership and is not counted".into())
        } else if self.slow_only {
            Some(
                "answers the slow echo rate and not the fast one: it is asked slowly, a claim takes up to two intervals longer"
                    .into(),
            )
        } else {
            None
        }
    }
}

/// Would a takeover work: by a claim when the owner crashes, and as a planned move?
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TakeoverReady {
    /// Both would.
    pub ready: bool,
    /// What stands in the way of either.
    #[serde(flatten, with = "sentence::reasons")]
    pub reasons: Vec<Sentence>,
    /// When the owner crashes or loses power.
    pub crash: Ready,
    /// `standby`, `takeover`, a failback, a stop in order.
    pub planned: Ready,
}

/// Could the standby take over?
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Ready {
    /// Yes or no.
    pub ready: bool,
    /// What stands in the way.
    #[serde(flatten, with = "sentence::reasons")]
    pub reasons: Vec<Sentence>,
}

/// A change of owner.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Change {
    /// Milliseconds ago.
    pub ago_ms: u64,
    /// One line with the evidence.
    pub text: String,
    /// The gap that clients saw in a planned move, in microseconds, as far as this node measured it.
    pub gap_us: Option<u64>,
    /// The text says so already.
    #[serde(default)]
    pub gap_told: bool,
}

/// One link.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LinkView {
    /// Its name; `relay` is the witness's own.
    pub name: String,
    /// How this node hears it.
    pub state: LinkCondition,
    /// The last round trip in microseconds.
    pub rtt_us: Option<u64>,
    /// The part of the peer's last heartbeats that did not arrive over this link, 0 to 1.
    pub loss: f64,
    /// Whether its interface has carrier.
    pub carrier: bool,
    /// Milliseconds since the last heartbeat over it.
    pub heard_ms: Option<u64>,
    /// The same link as the peer hears it, by the echoes in its heartbeats: `Ok`, `Late`, `Lost` or `NoCarrier`; none when
    /// the peer is not heard, or has not said anything of this link yet.
    pub peer_state: Option<LinkCondition>,
    /// The bond that its interface is, or is a VLAN of, on this node. The daemon adds it: no decision knows of it.
    #[serde(default)]
    pub bond: Option<BondView>,
}

/// A bond below a link.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct BondView {
    /// Its interface.
    pub name: String,
    /// `active-backup`, `802.3ad`, … (the kernel's names).
    pub mode: String,
    /// In active-backup the slave in use; none when there is none.
    pub active: Option<String>,
    /// How many slaves are up.
    pub slaves_up: usize,
    /// Each slave.
    pub slaves: Vec<SlaveView>,
}

/// One interface of a bond.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SlaveView {
    /// Its name.
    pub name: String,
    /// The bond holds its link for up.
    pub up: bool,
    /// `up`, `going_down`, `down`, `going_back` (the kernel's names).
    pub mii: String,
    /// The bond sends over it.
    pub active: bool,
    /// How often its link failed since it joined the bond.
    pub failures: u32,
}

/// The witness.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct WitnessView {
    /// This node reaches a majority.
    pub reachable: bool,
    /// The peer says that it does.
    pub peer_reachable: Option<bool>,
    /// Each target.
    pub targets: Vec<TargetView>,
}

/// One witness.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct TargetView {
    /// Its place among the configured targets.
    pub index: u8,
    /// Its address; filled in by the daemon.
    pub address: String,
    /// How it is asked.
    pub by: AskedBy,
    /// It answers.
    pub reachable: bool,
    /// Milliseconds since its last answer.
    pub answered_ms: Option<u64>,
    /// The last round trip in microseconds.
    pub rtt_us: Option<u64>,
    /// Its table can be trusted as a register (negative control).
    pub register: bool,
    /// It answers the slow echo rate and not the fast one.
    pub slow_only: bool,
}
