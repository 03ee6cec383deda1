//! What can happen in the world, and what is on its way in it: plain data.

use std::sync::Arc;

use twinbeat_core::heartbeat::{Heartbeat, Verified};
use twinbeat_core::id::{Attempt, GroupId, LinkId, Mac};
use twinbeat_core::io::{AddressOrder, EchoKind, GateOrder, Input, Record};
use twinbeat_core::time::Mono;

/// The MAC of a third machine that has the address.
pub const STRANGER: Mac = Mac([2, 0, 0, 0, 0, 0x99]);

/// A node's MAC.
pub fn mac(node: usize) -> Mac {
    Mac([2, 0, 0, 0, 0, 1 + node as u8])
}

/// A heartbeat on its way.
pub type Beat = Arc<Verified<Heartbeat>>;

/// An order of the daemon to something slower than itself.
#[derive(Clone, Debug)]
pub enum Order {
    /// To the gate.
    Gate(GroupId, u64, GateOrder),
    /// A renewal whose timeout the actuator had reckoned by this instant when it was stopped: timeouts are relative (R1).
    Stalled(GroupId, u64, Mono, Mono),
    /// To the addresses.
    Address(GroupId, Attempt, AddressOrder),
    /// To the disk.
    Persist(u64, Record),
    /// The record's file lost its name: it is written anew.
    PersistAnew,
}

/// A frame to a witness.
#[derive(Clone, Debug)]
pub enum Frame {
    /// VIP -> sender's MAC.
    Write(GroupId),
    /// VIP -> this node's MAC, in its name.
    GiveBack(GroupId, usize),
    /// An echo request; from the VIP it carries a heartbeat.
    Echo(EchoKind, u64, Option<Beat>),
    /// A heartbeat to be passed on over this link.
    Relay(LinkId, Beat),
    /// The same on its way on, where the relay itself loses or delays frames.
    Passed(LinkId, Beat),
    /// The answer to a probe of the witness.
    Answer(GroupId),
    /// VIP -> a foreign MAC, announced to everybody.
    Lie(GroupId),
}

/// What can happen.
#[derive(Clone, Debug)]
pub enum Event {
    /// A deadline of the decision may have come.
    Tick(usize),
    /// Something reaches a daemon from outside; the link that carries it, if it may be lost with it.
    Deliver(usize, Option<usize>, Input),
    /// Something reaches this life of the daemon from its own machine.
    Report(usize, u32, Input),
    /// An order is carried out, for this life of the daemon.
    Execute(usize, u32, Order),
    /// Something in the kernel ends by itself.
    Expire(usize, usize),
    /// A service order is finished: node, boot, group, token.
    ServiceDone(usize, u32, usize, u32),
    /// A node's device has turned its peer off, or tried to; and when it was told to.
    Fenced(usize, Attempt),
    /// A frame reaches a witness: which, from whom.
    AtWitness(usize, usize, Frame),
    /// An ARP probe reaches a node: asker, node, group.
    ProbeAt(usize, usize, usize),
    /// The witness asks this node: witness, node, group, by broadcast.
    AskedBy(usize, usize, usize, bool),
    /// A timer of a witness's table: witness, group, number.
    TableTimer(usize, usize, u32),
    /// A machine that rebooted is up again.
    Boot(usize),
    /// A supervisor starts the daemon.
    Start(usize),
    /// The checks look.
    Audit,
}

impl Event {
    /// Whether it ends with the daemon's process.
    pub fn is_of_the_process(&self) -> bool {
        matches!(self, Event::Report(..) | Event::Execute(..) | Event::Deliver(..))
    }

    /// Whether it is a frame, which a full buffer drops.
    pub fn may_be_lost(&self) -> bool {
        matches!(self, Event::Deliver(_, Some(_), _) | Event::ProbeAt(..) | Event::AskedBy(..))
    }
}
