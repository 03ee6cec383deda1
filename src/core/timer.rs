//! Why a node is to be woken.

use core::fmt;

use serde::{Deserialize, Serialize};

/// What is due at a deadline. Of what is due at one instant the heartbeat is named, else what comes first in `deadlines.rs`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Timer {
    /// The next heartbeat.
    Heartbeat,
    /// The peer asked for an answer out of turn.
    Answer,
    /// A link may be late or lost.
    Link,
    /// The peer is suspected from then on.
    PeerSuspected,
    /// The peer counts as dead from then on, as far as its silence goes.
    PeerDead,
    /// No agreement is possible from then on: the peer has not said for so long that it hears this node.
    OutOfTouch,
    /// An echo from the own address.
    OwnEcho,
    /// A witness may have become unreachable.
    Witness,
    /// A witness is tried at the fast rate.
    Trial,
    /// A negative control.
    Control,
    /// An echo in the peer's name.
    Inquiry,
    /// The gate closes, or would not be opened in time.
    LeaseEnds,
    /// A ground that is known lengthens the gate's time by enough to be worth an order.
    Renewal,
    /// The newest ground is old: evidence is gathered fast from then on.
    GroundOld,
    /// An echo from the VIP, or it counts as missed.
    PathEcho,
    /// The peer is asked again to answer at once.
    Ask,
    /// The witness's table was asked who has the address.
    Defence,
    /// An announcement.
    Announcement,
    /// The addresses' lifetime is lengthened.
    AddressLifetime,
    /// The return path of a move should have come.
    Arrival,
    /// The public side may be lost here and not there.
    PublicLost,
    /// An interface that came back has settled, or one stays away.
    Interface,
    /// An order that the kernel did not confirm.
    OrderAgain,
    /// The address is probed.
    Probe,
    /// A challenge's next echo.
    Challenge,
    /// The peer is fenced, or tried to be again.
    Fence,
    /// A stand-down ends.
    StandDown,
    /// Nobody owns: a first claim.
    FirstClaim,
    /// A failback.
    Failback,
    /// The intent is told again, or withdrawn.
    Intent,
    /// A new wish may be had.
    Wish,
    /// Warm services have had their time.
    WarmServices,
    /// What the peer was granted and has not taken.
    Released,
    /// A service is started or stopped again.
    ServiceAgain,
    /// A failure no longer counts.
    FitAgain,
    /// A standby by command ends.
    StandbyEnds,
    /// A pause by command ends.
    PauseEnds,
    /// A command is answered with what is missing.
    Command,
    /// The daemon is being stopped.
    Shutdown,
    /// The disk is tried again.
    Disk,
}

impl fmt::Display for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Timer::Heartbeat => "the next heartbeat",
            Timer::Answer => "an answer to the peer",
            Timer::Link => "a link may be late or lost",
            Timer::PeerSuspected => "the peer is silent for warn",
            Timer::PeerDead => "the peer is silent for dead",
            Timer::OutOfTouch => "the peer does not hear this node for dead",
            Timer::OwnEcho => "an echo from the own address",
            Timer::Witness => "a witness may be unreachable",
            Timer::Trial => "a trial of the fast echo rate",
            Timer::Control => "a negative control",
            Timer::Inquiry => "an echo in the peer's name",
            Timer::LeaseEnds => "the lease ends",
            Timer::Renewal => "a renewal of the gate",
            Timer::GroundOld => "the newest ground gets old",
            Timer::PathEcho => "an echo from the VIP",
            Timer::Ask => "the peer is asked again",
            Timer::Defence => "the witness's table was asked",
            Timer::Announcement => "an announcement",
            Timer::AddressLifetime => "the addresses' lifetime",
            Timer::Arrival => "the return path of a move",
            Timer::PublicLost => "the public side may be lost here alone",
            Timer::Interface => "an interface",
            Timer::OrderAgain => "an order that the kernel did not confirm",
            Timer::Probe => "a probe for the address",
            Timer::Challenge => "the challenge",
            Timer::StandDown => "the end of a stand-down",
            Timer::FirstClaim => "nobody owns the group",
            Timer::Failback => "a failback",
            Timer::Intent => "the intent",
            Timer::Wish => "a new wish may be had",
            Timer::WarmServices => "warm services have had their time",
            Timer::Released => "what was released and not taken",
            Timer::ServiceAgain => "a service is tried again",
            Timer::FitAgain => "a failure no longer counts",
            Timer::StandbyEnds => "the end of a standby by command",
            Timer::Fence => "fencing",
            Timer::PauseEnds => "a pause ends",
            Timer::Command => "a command is under way",
            Timer::Shutdown => "the daemon is being stopped",
            Timer::Disk => "the disk is tried again",
        })
    }
}
