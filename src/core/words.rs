//! The words of the status snapshot, each set of them a type: what programs compare is a variant, what stands in `status --json` and in other
//! texts is its word. The words are documented and stable (docs/OPERATIONS.md); a word that is none of a set is refused when it is read.

use core::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::io::InterfaceState;
use super::link::LinkState;
use crate::prelude::*;

/// An enum whose variants are words: printed, written and read as these, and as nothing else.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$meaning:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum $name {
            $($(#[$meaning])* $variant,)+
        }

        impl $name {
            /// Each of them, in the order of the documentation.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The word.
            pub const fn word(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.word())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
                out.serialize_str(self.word())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
                let text = String::deserialize(input)?;
                let found = $name::ALL.iter().find(|one| one.word() == text).copied();
                found.ok_or_else(|| de::Error::unknown_variant(&text, &[$($word),+]))
            }
        }
    };
}

words! {
    /// What this node knows of the peer.
    PeerState {
        /// Within `warn`.
        Heard = "heard",
        /// Not for longer than `warn`.
        Suspected = "suspected",
        /// Not for longer than `dead`.
        Silent = "silent",
        /// Not since this daemon's start.
        NeverHeard = "never heard",
    }
}

words! {
    /// This node's part in a group.
    GroupRole {
        /// It serves, as long as it has a ground.
        Owner = "owner",
        /// It does not serve.
        Standby = "standby",
        /// It may own; gate and address are being made.
        Claiming = "claiming",
        /// It gives the group up; gate, address and services go.
        Leaving = "leaving",
    }
}

words! {
    /// What guards the VIPs in the kernel.
    Guard {
        /// nftables hooks of the families arp and inet.
        Inet = "inet",
        /// Address lifetimes alone (SAFETY, limits e and f).
        Weak = "weak",
    }
}

words! {
    /// A reason to go on owning (SAFETY R2).
    Ground {
        /// The peer stands by for this epoch.
        Peer = "peer",
        /// A majority of the witnesses answered echoes from the VIP.
        ReturnPath = "return path",
        /// `island = "hold"`.
        Island = "island",
    }
}

words! {
    /// How a link is, as the node hears it that shows it.
    LinkCondition {
        /// Heartbeats arrive, and this node's arrive there.
        Ok = "ok",
        /// None for `warn`.
        Late = "late",
        /// None for `dead`.
        Lost = "lost",
        /// Heartbeats arrive, this node's do not arrive there.
        OneWay = "one-way",
        /// The interface has no carrier.
        NoCarrier = "no carrier",
        /// The interface lacks its address.
        NoAddress = "no address",
        /// The interface is not there.
        Missing = "missing",
        /// Nothing was heard over it yet.
        Unheard = "unheard",
        /// The relay alone: both nodes reach the witness and hear each other, and nothing comes through it.
        Blocked = "blocked",
    }
}

words! {
    /// How a witness is asked.
    AskedBy {
        /// By echoes.
        Echo = "echo",
        /// By ARP or neighbour solicitations: it counts for reachability alone.
        Arp = "arp",
    }
}

words! {
    /// What a sentence among the problems, or among the reasons against a takeover, is about.
    About {
        /// Two nodes own a group.
        TwoOwners = "two owners",
        /// Nobody serves a group.
        NobodyServes = "nobody serves",
        /// A service does not run, does not stop, or could not start.
        Service = "service",
        /// One runs that this daemon has not started and that must not.
        OtherHand = "other hand",
        /// A takeover would not work.
        Takeover = "takeover",
        /// The peer is not heard, or lacks the group.
        Peer = "peer",
        /// A node has no carrier on its public side.
        Carrier = "carrier",
        /// The witness does not answer a node.
        Witness = "witness",
        /// One of the witness's addresses.
        Target = "target",
        /// No witness can be used as a register.
        Register = "register",
        /// The peer could not be turned off.
        Fence = "fence",
        /// A node is not fit for a group.
        Fitness = "fitness",
        /// A link.
        Link = "link",
        /// The bond below a link.
        Bond = "bond",
        /// The interface of an address, or IPv6 on it.
        Interface = "interface",
        /// The kernel does not answer about interfaces.
        Kernel = "kernel",
        /// The own address is another machine's, or this machine the other node.
        Identity = "identity",
        /// A third machine has the address.
        Stranger = "stranger",
        /// Echoes from the address stay away.
        ReturnPath = "return path",
        /// The files of the two nodes differ, or their versions.
        Files = "files",
        /// The state directory cannot be written.
        State = "state",
        /// The flight recorder cannot be written.
        Recorder = "recorder",
        /// The kernel makes no gate.
        Gate = "gate",
        /// Heartbeats that are too long for an echo.
        Size = "size",
        /// A restart that waits.
        Restart = "restart",
        /// Nobody can ask over HTTP.
        Metrics = "metrics",
        /// Something else.
        Other = "other",
    }
}

impl From<LinkState> for LinkCondition {
    fn from(state: LinkState) -> LinkCondition {
        match state {
            LinkState::Unheard => LinkCondition::Unheard,
            LinkState::Healthy => LinkCondition::Ok,
            LinkState::Late => LinkCondition::Late,
            LinkState::Lost => LinkCondition::Lost,
            LinkState::OneWay => LinkCondition::OneWay,
            LinkState::Down(InterfaceState::NoCarrier) => LinkCondition::NoCarrier,
            LinkState::Down(InterfaceState::NoAddress) => LinkCondition::NoAddress,
            LinkState::Down(_) => LinkCondition::Missing,
        }
    }
}

/// A group's services on this node, all of them together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ServiceState {
    /// The group has none.
    None,
    /// None runs.
    Stopped,
    /// They run on a standby, as they may.
    Warm,
    /// They are being started.
    Starting,
    /// They run.
    Running,
    /// They are being stopped.
    Stopping,
    /// One failed: which, and why.
    Failed(String),
    /// One does not stop: which, and why.
    DoesNotStop(String),
    /// On a standby these run, which must not, and this daemon has not started them.
    ByAnotherHand(String),
}

/// One service, as it was found when it was asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FoundState {
    /// It runs.
    Running,
    /// It does not.
    Stopped,
    /// It cannot be told, and why.
    Unknown(String),
}

impl ServiceState {
    /// One failed, or does not stop.
    pub fn is_bad(&self) -> bool {
        matches!(self, ServiceState::Failed(_) | ServiceState::DoesNotStop(_))
    }

    /// The word or words, and what is said behind them.
    pub fn parts(&self) -> (&'static str, Option<&str>) {
        match self {
            ServiceState::None => ("none", None),
            ServiceState::Stopped => ("stopped", None),
            ServiceState::Warm => ("warm", None),
            ServiceState::Starting => ("starting", None),
            ServiceState::Running => ("running", None),
            ServiceState::Stopping => ("stopping", None),
            ServiceState::Failed(why) => ("failed", Some(why)),
            ServiceState::DoesNotStop(why) => ("does not stop", Some(why)),
            ServiceState::ByAnotherHand(names) => ("running by another hand", Some(names)),
        }
    }

    fn read(text: &str) -> Option<ServiceState> {
        Some(match split(text) {
            ("none", None) => ServiceState::None,
            ("stopped", None) => ServiceState::Stopped,
            ("warm", None) => ServiceState::Warm,
            ("starting", None) => ServiceState::Starting,
            ("running", None) => ServiceState::Running,
            ("stopping", None) => ServiceState::Stopping,
            ("failed", Some(why)) => ServiceState::Failed(why.into()),
            ("does not stop", Some(why)) => ServiceState::DoesNotStop(why.into()),
            ("running by another hand", Some(names)) => ServiceState::ByAnotherHand(names.into()),
            _ => return None,
        })
    }
}

impl FoundState {
    fn parts(&self) -> (&'static str, Option<&str>) {
        match self {
            FoundState::Running => ("running", None),
            FoundState::Stopped => ("stopped", None),
            FoundState::Unknown(why) => ("unknown", Some(why)),
        }
    }

    fn read(text: &str) -> Option<FoundState> {
        Some(match split(text) {
            ("running", None) => FoundState::Running,
            ("stopped", None) => FoundState::Stopped,
            ("unknown", Some(why)) => FoundState::Unknown(why.into()),
            _ => return None,
        })
    }
}

/// `word`, or `word: more`: here both are written and read.
fn written(f: &mut fmt::Formatter<'_>, parts: (&str, Option<&str>)) -> fmt::Result {
    match parts {
        (word, None) => f.pad(word),
        (word, Some(more)) => write!(f, "{word}: {more}"),
    }
}

fn split(text: &str) -> (&str, Option<&str>) {
    text.split_once(": ").map_or((text, None), |(word, more)| (word, Some(more)))
}

impl fmt::Display for ServiceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        written(f, self.parts())
    }
}

impl fmt::Display for FoundState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        written(f, self.parts())
    }
}

impl Serialize for ServiceState {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl Serialize for FoundState {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ServiceState {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        ServiceState::read(&text).ok_or_else(|| de::Error::custom(format!("{text:?} is no state of services")))
    }
}

impl<'de> Deserialize<'de> for FoundState {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = String::deserialize(input)?;
        FoundState::read(&text).ok_or_else(|| de::Error::custom(format!("{text:?} is no state of a service")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader of serde's that has one text and nothing else.
    fn read<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, de::value::Error> {
        T::deserialize(de::value::StrDeserializer::new(text))
    }

    #[test]
    fn each_word_is_read_as_the_variant_that_wrote_it_and_no_other_word_is() {
        macro_rules! both_ways {
            ($($name:ident: $count:literal),+) => {$(
                assert_eq!($name::ALL.len(), $count);
                for one in $name::ALL {
                    assert_eq!(read::<$name>(one.word()), Ok(*one));
                    assert_eq!(one.to_string(), one.word());
                }
                assert!(read::<$name>("").is_err() && read::<$name>("Owner").is_err());
            )+};
        }
        both_ways!(PeerState: 4, GroupRole: 4, Guard: 2, Ground: 3, LinkCondition: 9, AskedBy: 2);
    }

    #[test]
    fn what_services_are_is_read_as_it_was_written() {
        let why = || String::from("nginx: exit 1: see its log");
        for (state, text) in [
            (ServiceState::None, "none"),
            (ServiceState::Stopped, "stopped"),
            (ServiceState::Warm, "warm"),
            (ServiceState::Starting, "starting"),
            (ServiceState::Running, "running"),
            (ServiceState::Stopping, "stopping"),
            (ServiceState::Failed(why()), "failed: nginx: exit 1: see its log"),
            (ServiceState::DoesNotStop(why()), "does not stop: nginx: exit 1: see its log"),
            (ServiceState::ByAnotherHand("a, b".into()), "running by another hand: a, b"),
        ] {
            assert_eq!(state.to_string(), text);
            assert_eq!(read::<ServiceState>(text), Ok(state));
        }
        for text in ["", "failed", "running: yes", "up", "failed:no space"] {
            assert!(read::<ServiceState>(text).is_err(), "{text}");
        }
        for (state, text) in [
            (FoundState::Running, "running"),
            (FoundState::Stopped, "stopped"),
            (FoundState::Unknown("no answer: timeout".into()), "unknown: no answer: timeout"),
        ] {
            assert_eq!(state.to_string(), text);
            assert_eq!(read::<FoundState>(text), Ok(state));
        }
        assert!(read::<FoundState>("unknown").is_err());
    }
}
