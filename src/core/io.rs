//! What goes into the decision and what comes out of it: the whole contract between the core and any world.
//!
//! Every completion carries the attempt or generation of the order that it completes, so that a late one changes nothing.

use alloc::sync::Arc;

use serde::{Deserialize, Serialize};

use super::event::Event;
use super::heartbeat::{Heartbeat, Verified};
use super::id::{Attempt, Epoch, GroupId, LinkId, Mac, WitnessId};
use super::meaning;
pub use super::record::{GroupRecord, PauseRecord, Record, StandbyHold};
use super::time::{Mono, Span};
use crate::prelude::*;

/// One fact.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Input {
    /// The first input of a life: what the disk and the kernel say.
    Start(Start),
    /// Time has passed. Early ticks do nothing.
    Tick,
    /// A verified heartbeat arrived over a link (the relay included).
    Heard {
        /// Over which link.
        link: LinkId,
        /// What it says.
        beat: Arc<Verified<Heartbeat>>,
    },
    /// A verified heartbeat arrived inside a VIP-sourced echo that the witness delivered here (SAFETY R2).
    HeardByTable {
        /// Whose VIP carried it.
        group: GroupId,
        /// What it says.
        beat: Arc<Verified<Heartbeat>>,
    },
    /// A link's own interface: usable means that it exists, has its address and carrier.
    Link {
        /// Which link.
        link: LinkId,
        /// Its interface's state.
        state: InterfaceState,
    },
    /// Whether IPv6 is switched off on a link's own interface: an IPv6 address can then not be had there.
    Ipv6Off {
        /// Which link.
        link: LinkId,
        /// It is.
        off: bool,
    },
    /// A witness answered an echo.
    EchoReply {
        /// Which witness.
        witness: WitnessId,
        /// Which kind of echo was answered.
        kind: EchoKind,
        /// The number that the echo went out with.
        #[serde(serialize_with = "meaning::own")]
        number: u64,
    },
    /// Somebody answered an ARP probe or neighbour solicitation for one of the group's VIPs.
    Answered {
        /// The group.
        group: GroupId,
        /// The answering machine.
        by: Mac,
    },
    /// A frame in which another machine announces itself as the VIP's was seen.
    Announced {
        /// The group.
        group: GroupId,
        /// The announcing machine.
        by: Mac,
    },
    /// Whether the group's services could start here, asked without starting them, and whether the warm ones that run here are well.
    Startable {
        /// The group.
        group: GroupId,
        /// What stands in the way, in words; none when nothing does.
        obstacle: Option<String>,
    },
    /// The witness asks everybody for the VIP: it has no entry.
    WitnessAsks {
        /// The group.
        group: GroupId,
    },
    /// A gate order was carried out, or not.
    Gate {
        /// The group.
        group: GroupId,
        /// The order's generation.
        #[serde(serialize_with = "meaning::own")]
        generation: u64,
        /// What the kernel said.
        report: GateReport,
    },
    /// The gate's table is gone: a foreign hand flushed the ruleset (SAFETY R1).
    GateTableGone,
    /// An address order was carried out, or not.
    Address {
        /// The group.
        group: GroupId,
        /// The order's attempt.
        attempt: Attempt,
        /// What the kernel said.
        report: AddressReport,
    },
    /// A VIP that should be there was deleted by a foreign hand.
    AddressGone {
        /// The group.
        group: GroupId,
    },
    /// A service order was carried out, or not, or a service died.
    Services {
        /// The group.
        group: GroupId,
        /// The order's attempt.
        attempt: Attempt,
        /// What happened.
        report: ServiceReport,
    },
    /// The peer was turned off, or not.
    Fenced {
        /// The order's attempt.
        attempt: Attempt,
        /// Why not; none: it is off.
        failed: Option<String>,
    },
    /// A record was written durably.
    Persisted {
        /// The ticket of the order.
        #[serde(serialize_with = "meaning::own")]
        ticket: u64,
    },
    /// A record could not be written.
    PersistFailed {
        /// The ticket of the order.
        #[serde(serialize_with = "meaning::own")]
        ticket: u64,
        /// Why not.
        reason: String,
    },
    /// A person's command.
    Command {
        /// To be named in the reply.
        id: u64,
        /// What is wanted.
        command: Command,
    },
}

/// What the machine looked like when the daemon started.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Start {
    /// This life's number; higher than any earlier one's.
    pub incarnation: super::id::Incarnation,
    /// What the state directory says; default on the first start.
    pub record: Record,
    /// The gate of each group as the kernel has it: open until when.
    pub gates: Vec<Option<Mono>>,
    /// For each group, whether any of its addresses is configured.
    pub addresses: Vec<bool>,
    /// For each group, whether a service of it runs.
    pub running: Vec<bool>,
}

/// A link's own interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum InterfaceState {
    /// Exists, has the configured address, has carrier.
    Up,
    /// Exists and has no carrier (or is administratively down).
    NoCarrier,
    /// Exists without the configured address.
    NoAddress,
    /// Does not exist (yet).
    Missing,
}

impl InterfaceState {
    /// What goes on behind the interface's name.
    pub fn words(self) -> &'static str {
        match self {
            InterfaceState::Up => "is up",
            InterfaceState::NoCarrier => "has no carrier",
            InterfaceState::NoAddress => "does not have its address",
            InterfaceState::Missing => "does not exist",
        }
    }
}

/// Which question an echo asks of the witness.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum EchoKind {
    /// From the node's own address: am I reachable?
    Own,
    /// From the guard VIP, as its owner: does the witness's table still name me? Carries the newest heartbeat.
    Vip(GroupId),
    /// From the guard VIP, as a challenger. Carries the newest heartbeat.
    Challenge(GroupId),
    /// From the guard VIP without having written: it must not come back. It carries no heartbeat: it is to change nothing, and an
    /// owner that hears its peer suspects it no more, just before a challenge.
    Control(GroupId),
    /// From the peer's own address: from a register the answer goes to the peer, which takes no notice of it.
    Inquiry,
}

/// What happened to a gate order.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum GateReport {
    /// It is open until the instant that the order named.
    Opened,
    /// It was still open and is now so until the instant that the order named.
    Renewed,
    /// It is closed: nothing gets in or out.
    Closed,
    /// It had closed by itself before the renewal: ownership is over.
    Lapsed,
    /// The order could not be carried out.
    Failed(String),
    /// The kernel does not make or keep the gate: the address's lifetime guards alone, until another report says otherwise.
    Unguarded(String),
}

/// What happened to an address order.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum AddressReport {
    /// All of the group's addresses are there.
    Added,
    /// The first is there; others are not: why, and which.
    Partly(String),
    /// None of them is there.
    Removed,
    /// The order could not be carried out.
    Failed(String),
}

/// What happened to a group's services.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum ServiceReport {
    /// All that may be warm run.
    Warmed,
    /// All run.
    Started,
    /// None runs (of those that the order meant).
    Stopped,
    /// One could not be started.
    StartFailed {
        /// Its name.
        service: String,
        /// Why not.
        reason: String,
    },
    /// One could not be stopped.
    StopFailed {
        /// Its name.
        service: String,
        /// Why not.
        reason: String,
    },
    /// One that ran has died.
    Died {
        /// Its name.
        service: String,
        /// How.
        reason: String,
    },
    /// One that ran has died, or is not well, and is left as it is in a pause.
    LeftAlone {
        /// Its name.
        service: String,
        /// How.
        reason: String,
    },
}

/// What a person may ask for.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Hand a group (all, if none) to the peer and stay standby.
    Standby {
        /// Which group.
        group: Option<GroupId>,
        /// For how long.
        lasting: Option<Span>,
        /// Why, in the administrator's words.
        reason: Option<String>,
    },
    /// Take a group (all, if none) from the peer.
    Takeover {
        /// Which group.
        group: Option<GroupId>,
    },
    /// Leave the services of a group (of all, if none) and its addresses as they are, on both nodes.
    Pause {
        /// Which group.
        group: Option<GroupId>,
        /// For how long.
        lasting: Option<Span>,
        /// Why, in the administrator's words.
        reason: Option<String>,
    },
    /// A person has made sure that the peer is off.
    Fenced,
    /// End a standby, and a pause.
    Resume,
    /// End the standby, and the pause, of one group.
    ResumeGroup {
        /// Which.
        group: GroupId,
    },
    /// SIGTERM: hand everything over, then leave.
    Shutdown,
    /// SIGUSR2, and the next life could not begin: hand everything over, then leave; where that cannot be, stay.
    HandOver,
    /// SIGUSR2: leave with fresh grounds in the kernel's gate, and leave gate, addresses and services to the next life.
    ComeBack,
}

/// The answer to a command; given when the move is finished, or refused.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// Done, and what was done.
    Done(String),
    /// Not done, and why not.
    Refused(String),
}

/// What the world is to do.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Output {
    /// Sign and send on each of these links.
    Send {
        /// The heartbeat.
        beat: Arc<Heartbeat>,
        /// The links.
        links: Vec<LinkId>,
    },
    /// Send an echo request to a witness; an answer comes back with the number.
    Echo {
        /// To whom.
        witness: WitnessId,
        /// Which question.
        kind: EchoKind,
        /// To be named in the reply; grows with each echo.
        number: u64,
    },
    /// Ask the LAN once who has each of the group's VIPs (ARP probe, RFC 5227; IPv6: neighbour solicitation from `::`).
    Probe {
        /// The group.
        group: GroupId,
    },
    /// Write "guard VIP -> my MAC" into a witness's neighbour table, by unicast (SAFETY R4.4).
    Write {
        /// The group.
        group: GroupId,
        /// Whose table.
        witness: WitnessId,
    },
    /// Write "guard VIP -> the owner's MAC" into a witness's neighbour table, by unicast (SAFETY R4.4 †).
    GiveBack {
        /// The group.
        group: GroupId,
        /// Whose table.
        witness: WitnessId,
        /// The owner's MAC.
        to: Mac,
    },
    /// Answer (or no longer answer) unicast ARP/NS for the guard VIP that is addressed to my own MAC, as a challenger.
    AnswerUnicast {
        /// The group.
        group: GroupId,
        /// Whether to.
        on: bool,
    },
    /// Open, renew or close a gate. Orders of one group are carried out in order; a renewal behind a close is dropped.
    Gate {
        /// The group.
        group: GroupId,
        /// Grows with each order.
        generation: u64,
        /// The order.
        order: GateOrder,
    },
    /// Add, refresh or remove the group's addresses.
    Address {
        /// The group.
        group: GroupId,
        /// To be named in the report.
        attempt: Attempt,
        /// The order.
        order: AddressOrder,
    },
    /// Tell the LAN and the witnesses that the VIPs are mine: once, by the frames that write (LAB 2).
    Announce {
        /// The group.
        group: GroupId,
    },
    /// Start or stop the group's services, off the decision thread.
    Services {
        /// The group.
        group: GroupId,
        /// To be named in the report; replaces any earlier order.
        attempt: Attempt,
        /// The order.
        order: ServiceOrder,
    },
    /// Do nothing to the group's services without an order, or do as the file says again (SAFETY R15).
    HandsOff {
        /// The group.
        group: GroupId,
        /// A pause is in force.
        on: bool,
    },
    /// Turn the peer off, off the decision thread (SAFETY R4b).
    Fence {
        /// To be named in the report.
        attempt: Attempt,
    },
    /// Reboot this machine at once: a service that must not run twice does not stop here (SAFETY R4b).
    Reboot,
    /// Write a record durably, off the decision thread.
    Persist {
        /// To be named in the report.
        ticket: u64,
        /// What to write.
        record: Record,
    },
    /// Answer a command.
    Reply {
        /// The command's.
        id: u64,
        /// The answer.
        answer: Answer,
    },
    /// The daemon may exit.
    Exit {
        /// Gate, addresses and services stay for the next life; else everything is handed over or given up.
        stays: bool,
    },
    /// Something that a person should be able to read later.
    Note(Event),
}

/// What to do with a gate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum GateOrder {
    /// Open it, whatever it was, until this instant.
    Open(Mono),
    /// Keep it open until this instant; fails when it has closed by itself.
    Renew(Mono),
    /// Close it.
    Close,
    /// The table was flushed: make it again with this gate open until this instant.
    Rebuild(Mono),
}

/// What to do with a group's addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum AddressOrder {
    /// Have them, with this kernel lifetime (rounded up to whole seconds by the actuator).
    Add(Span),
    /// Renew the lifetime of those that are still there; never bring one back.
    Refresh(Span),
    /// Have none.
    Remove,
}

/// What to do with a group's services.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ServiceOrder {
    /// Start those that may run on both nodes; the VIP is not here yet.
    Warm,
    /// Start all, in order; then watch them.
    Start(Epoch),
    /// Watch what runs, and start nothing: what an earlier life started goes on in a pause.
    Adopt(Epoch),
    /// Stop all, in reverse order.
    Stop,
    /// Stop all that may not run on a standby.
    StopCold,
}
