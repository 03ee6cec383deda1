//! What a world has to keep, and that it was not kept.

use super::clock::Moment;

/// What kind of promise was broken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Promise {
    /// Two kernels answered for one VIP.
    OneOwner,
    /// An epoch was used or asked for twice, was not above all that the node had seen, or was not on disk before it was used.
    Epochs,
    /// An epoch was granted twice, or was not above all that the granter had seen, or was released while the kernel still answered.
    Grants,
    /// Nobody served although a healthy node could.
    SomebodyServes,
    /// After everything healed, not exactly one served.
    Heals,
    /// The service moved without need.
    NoNeedlessMove,
    /// A forged or damaged frame was accepted, or a right one refused.
    Signatures,
    /// More happened within a second than two nodes have to say: they answer each other without end, or nothing but one instant comes.
    GetsOn,
    /// A drawn story does not fit its pair: a defect of `explore` itself.
    Playable,
}

/// A broken promise.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// When it was seen.
    pub at: Moment,
    /// Which.
    pub promise: Promise,
    /// One line for a person.
    pub text: String,
}
