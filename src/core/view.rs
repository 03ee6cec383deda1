//! The status snapshot: what a person at 3 a.m. asks, as data. The field names are documented and stable (docs/OPERATIONS.md).

use serde::{Deserialize, Serialize};

/// Everything that `status` shows.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct View {
    /// This node's name.
    pub node: String,
    /// The peer's name.
    pub peer: String,
    /// The cluster's name.
    pub cluster: String,
    /// Milliseconds since this daemon's start.
    pub up_ms: u64,
    /// Each group.
    pub groups: Vec<GroupView>,
    /// Each link.
    pub links: Vec<LinkView>,
    /// The third party.
    pub witness: WitnessView,
    /// `heard`, `suspected`, `silent`, or `never heard`.
    pub peer_state: String,
    /// The peer's configuration or version differs.
    pub mismatch: Option<String>,
    /// What is wrong, most important first; empty when all is well.
    pub problems: Vec<String>,
}

/// One group.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct GroupView {
    /// Its name.
    pub name: String,
    /// The owning node as far as this node knows; none when nobody serves.
    pub owner: Option<String>,
    /// This node's role: `owner`, `standby`, `claiming`, `leaving`.
    pub role: String,
    /// The epoch owned, or stood by for.
    pub epoch: u64,
    /// The VIPs as configured.
    pub vips: Vec<String>,
    /// Could the other node take over right now?
    pub takeover_ready: Ready,
    /// Owner: how long the newest ground still lasts.
    pub lease_ms_left: Option<u64>,
    /// Owner: which grounds there are: `peer`, `return path`.
    pub grounds: Vec<String>,
    /// The last round trip of the return path, in microseconds.
    pub return_path_us: Option<u64>,
    /// `running`, `stopped`, `starting`, `stopping`, `failed: …`, `none`.
    pub service: String,
    /// Standby by command, with its reason.
    pub standby_held: Option<String>,
    /// The newest change of owner.
    pub last_change: Option<Change>,
    /// While this node is standby: each point of the claim's checklist that is open, with its reason.
    pub claim_open: Vec<String>,
}

/// Could the standby take over?
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Ready {
    /// Yes or no.
    pub ready: bool,
    /// What stands in the way.
    pub reasons: Vec<String>,
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
}

/// One link.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LinkView {
    /// Its name; `relay` is the witness's own.
    pub name: String,
    /// `ok`, `late`, `lost`, `one-way`, `no carrier`, `no address`, `missing`, `unheard`.
    pub state: String,
    /// The last round trip in microseconds.
    pub rtt_us: Option<u64>,
    /// The part of the peer's last heartbeats that did not arrive over this link, 0 to 1.
    pub loss: f64,
    /// Whether its interface has carrier.
    pub carrier: bool,
    /// Milliseconds since the last heartbeat over it.
    pub heard_ms: Option<u64>,
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
    /// It answers.
    pub reachable: bool,
    /// Milliseconds since its last answer.
    pub answered_ms: Option<u64>,
    /// The last round trip in microseconds.
    pub rtt_us: Option<u64>,
    /// Its table can be trusted as a register (negative control).
    pub register: bool,
}
