//! What the public side is told, what it tells, and why it could not do something.

use std::io;
use std::net::IpAddr;

use thiserror::Error;

use twinbeat_core::id::{GroupId, Mac, NodeId, WitnessId};
use twinbeat_core::io::EchoKind;

/// What the public side must know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublicConfig {
    /// This node.
    pub node: NodeId,
    /// The interface on which the witnesses are.
    pub interface: String,
    /// This node's own addresses on it; the first of a family is used.
    pub own: Vec<IpAddr>,
    /// The peer's own addresses on it: the relay's sources (SAFETY R4a).
    pub peer: Vec<IpAddr>,
    /// The witnesses, by [`WitnessId`].
    pub witnesses: Vec<IpAddr>,
    /// The VIPs of each group, by [`GroupId`], each with its interface.
    pub groups: Vec<Vec<(IpAddr, String)>>,
}

/// Something seen on the wire.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PublicEvent {
    /// One of our own raw echoes came back to us.
    EchoReply {
        /// Who answered.
        witness: WitnessId,
        /// Which kind of echo.
        kind: EchoKind,
        /// Its number.
        number: u64,
    },
    /// Another node's VIP-sourced echo was answered to us: the witness's table names us. The frame is not verified.
    TableDelivered {
        /// Whose VIP.
        group: GroupId,
        /// The heartbeat frame in it.
        frame: Vec<u8>,
    },
    /// A witness relayed the peer's heartbeat. The frame is not verified.
    Relayed {
        /// The heartbeat frame in it.
        frame: Vec<u8>,
    },
    /// An [`inquire`](super::PublicSide::inquire) came back: the witness answers to the sender, not to whom its table names.
    FollowsSender {
        /// Which witness.
        witness: WitnessId,
    },
    /// Somebody answered for a VIP.
    Answered {
        /// The group.
        group: GroupId,
        /// The answering machine.
        by: Mac,
    },
    /// Somebody announced itself as a VIP's.
    Announced {
        /// The group.
        group: GroupId,
        /// The announcing machine.
        by: Mac,
    },
    /// Somebody spoke in the name of this node's own address.
    OwnAddress {
        /// The speaking machine.
        by: Mac,
    },
    /// A witness asks everybody for a VIP.
    WitnessAsks {
        /// The group.
        group: GroupId,
    },
    /// An interface was deleted, or its MAC changed; its socket is being opened anew.
    SocketLost {
        /// Its name.
        interface: String,
    },
    /// The socket on an interface is open (again).
    SocketOpened {
        /// Its name.
        interface: String,
    },
}

/// Why a frame could not be sent.
#[derive(Debug, Error)]
pub enum SendError {
    /// The interface is missing.
    #[error("no packet socket is open on {0}")]
    NoSocket(String),
    /// The public interface does not have this node's own address now: nothing is said in its name, nor for an address that only this
    /// node might take.
    #[error("{0} does not have this node's own address now")]
    NotMine(String),
    /// There is no such witness, or none can carry this.
    #[error("there is no such witness")]
    NoWitness,
    /// The witness's MAC is not known yet: it has not answered our own ARP.
    #[error("the MAC of witness {0} is not known yet")]
    Unresolved(WitnessId),
    /// The group has no VIP on the public interface of the witness's family.
    #[error("group {0} has no VIP that witness {1} could know")]
    NoGuard(GroupId, WitnessId),
    /// An echo from the own address is no raw echo.
    #[error("this echo cannot be made")]
    Impossible,
    /// A heartbeat to be relayed is longer than [`FRAME_MAX`](crate::raw_echo::FRAME_MAX), or than the interface takes.
    #[error("the heartbeat is too long for an echo")]
    TooLong,
    /// The kernel refused it.
    #[error("the frame was not sent: {0}")]
    Io(#[from] io::Error),
}
