//! What can be wrong with a configuration. Each error names the file, the line, the key, the value and what is allowed.

use std::fmt;
use std::path::PathBuf;

use twinbeat_core::time::Span;

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1; 0 when the file could not be read at all.
    pub line: usize,
    /// The key with its path, as in `groups[0].vips[0].address`; empty when the error concerns the whole file.
    pub key: String,
    /// The value as written, shortened; empty when there is none.
    pub value: String,
    /// What is wrong with it.
    pub problem: Box<Problem>,
    /// What else is wrong in the file, in the order of its lines.
    pub others: Vec<ConfigError>,
}

impl ConfigError {
    /// Each thing that is wrong by itself, in the order of the lines.
    pub fn split(mut self) -> Vec<ConfigError> {
        let others = std::mem::take(&mut self.others);
        std::iter::once(self).chain(others).collect()
    }
}

/// What is wrong so far. The file is read on to its end, so that a person mends it once.
#[derive(Default)]
pub(super) struct Found(Vec<ConfigError>);

impl Found {
    /// The value, or nothing and one more mistake.
    pub fn keep<T>(&mut self, result: Result<T, ConfigError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.add(error);
                None
            }
        }
    }

    /// One more, with all that it carries.
    pub fn add(&mut self, error: ConfigError) {
        self.0.extend(error.split().into_iter().filter(|error| *error.problem != Problem::Follows));
    }

    /// All of another reading.
    pub fn append(&mut self, other: Found) {
        self.0.extend(other.0);
    }

    /// Forgets what follows from something else.
    pub fn only(&mut self, wanted: impl Fn(&ConfigError) -> bool) {
        self.0.retain(wanted);
    }

    /// The value, if nothing is wrong.
    pub fn done<T>(self, value: Option<T>) -> Result<T, ConfigError> {
        let mut all = self.0;
        all.sort_by_key(|error| error.line);
        all.dedup();
        all.truncate(MOST_SHOWN);
        let mut all = all.into_iter();
        match (all.next(), value) {
            (Some(first), _) => Err(ConfigError { others: all.collect(), ..first }),
            (None, Some(value)) => Ok(value),
            // It could not be made of what was refused elsewhere.
            (None, None) => Err(ConfigError {
                file: PathBuf::new(),
                line: 0,
                key: String::new(),
                value: String::new(),
                problem: Box::new(Problem::Follows),
                others: Vec::new(),
            }),
        }
    }
}

/// The most mistakes that are told at once.
const MOST_SHOWN: usize = 50;

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        match (self.key.is_empty(), self.value.is_empty()) {
            (false, false) => write!(f, ": {} = {}", self.key, self.value)?,
            (false, true) => write!(f, ": {}", self.key)?,
            (true, false) => write!(f, ": {}", self.value)?,
            (true, true) => {}
        }
        write!(f, ": {}", self.problem)?;
        self.others.iter().try_for_each(|other| write!(f, "\n{other}"))
    }
}

impl std::error::Error for ConfigError {}

/// What is wrong with a key or its value. The text says what is allowed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Problem {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// Nothing of its own: what it depends on is wrong.
    #[error("what it depends on is wrong")]
    Follows,
    /// Not TOML.
    #[error("not valid TOML: {0}")]
    Syntax(String),
    /// A key that does not exist.
    #[error("unknown key `{key}`{}; allowed here: {allowed}", meant.as_ref().map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default())]
    UnknownKey {
        /// The key.
        key: String,
        /// The keys that exist there.
        allowed: String,
        /// The one of them that may have been meant.
        meant: Option<String>,
    },
    /// A key that must be there.
    #[error("`{0}` is missing here and has no default")]
    Missing(String),
    /// A value of the wrong type.
    #[error("wrong type: {what}")]
    Type {
        /// What was found, and what is allowed.
        what: String,
        /// A text is.
        text: bool,
    },
    /// A value outside what is allowed.
    #[error("allowed: {0}")]
    Allowed(String),
    /// A name that cannot be one.
    #[error("not a name for a {what}; allowed: 1 to 32 letters, digits, `-`, `_` and `.`, the first a letter or digit")]
    BadName {
        /// What it would name.
        what: &'static str,
    },
    /// Not a public key.
    #[error("not a public key: {0}; allowed: `ed25519:` and 32 bytes in base64, as `twinbeat keygen` prints it")]
    BadPublicKey(&'static str),
    /// Both nodes have one key.
    #[error("{0} has the same public key; each node has a key pair of its own (`twinbeat keygen`)")]
    SameKey(String),
    /// Not two nodes.
    #[error("{found} node(s) ({names}); allowed: exactly two")]
    NotTwoNodes {
        /// How many there are.
        found: usize,
        /// Their names.
        names: String,
    },
    /// Too few paths.
    #[error(
        "{found} link(s); at least two are needed, on different interfaces: with one link its loss cannot be told from the peer's"
    )]
    TooFewLinks {
        /// How many there are.
        found: usize,
    },
    /// Two names look alike in a heartbeat.
    #[error("`{one}` and `{other}` are the same to a heartbeat, which carries names shortened; change one of them")]
    NamesAlike {
        /// One.
        one: String,
        /// The other.
        other: String,
    },
    /// Too many of something.
    #[error("{found} {what}; at most {most}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        most: usize,
    },
    /// The reserved link name.
    #[error(
        "the link name `relay` is reserved for heartbeats through the witness; choose another (`witness.relay` turns that link on and off)"
    )]
    ReservedLink,
    /// Link names that differ between the nodes.
    #[error("{node} has no link `{link}`; both nodes have the same links under the same names ({node} has: {has})")]
    LinksDiffer {
        /// The node without the link.
        node: String,
        /// The link.
        link: String,
        /// The links that it has.
        has: String,
    },
    /// Two links on one interface.
    #[error(
        "link `{other}` of this node is on the same interface; each link needs an interface of its own, or they fail together"
    )]
    SharedInterface {
        /// The other link.
        other: String,
    },
    /// Not an interface name.
    #[error("not an interface name; allowed: 1 to 15 bytes without space, `/` and `:`")]
    BadInterface,
    /// Not an address.
    #[error("not a usable address ({0}); allowed: one unicast IPv4 or IPv6 address without prefix")]
    BadAddress(&'static str),
    /// An address that is written twice.
    #[error("the same address is {other}; each link of each node has an address of its own")]
    DuplicateAddress {
        /// Where it is as well.
        other: String,
    },
    /// A link with IPv4 on one node and IPv6 on the other.
    #[error("link `{link}` has {other} on {node}; a link has one address family on both nodes")]
    MixedFamily {
        /// The link.
        link: String,
        /// The other node.
        node: String,
        /// Its address.
        other: String,
    },
    /// A link that does not exist.
    #[error("no such link; allowed: {0}")]
    UnknownLink(String),
    /// A node that does not exist.
    #[error("no such node; allowed: {0}")]
    UnknownNode(String),
    /// No witness.
    #[error("no target; at least one host on the public network must be named, as a rule the gateway; three are better than one")]
    NoTargets,
    /// Only targets that prove nothing.
    #[error(
        "every target is asked by ARP alone, and an ARP answer proves no ownership: no claim could ever rest on these, and an owner \
         whose peer dies would stop; allowed: at least one target that answers echoes"
    )]
    NoRegister,
    /// A target that is not of the link's family.
    #[error("the witness link `{link}` has {family} addresses; allowed: {family} targets")]
    TargetFamily {
        /// The witness link.
        link: String,
        /// Its family.
        family: &'static str,
    },
    /// A target that is one of the pair's own addresses.
    #[error("this is {0}; a witness is a third machine")]
    TargetIsOurs(String),
    /// A target that is not in the VIP's network.
    #[error("not in the network of {vip}; a witness keeps a neighbour entry for the VIP, so it is in the VIP's own network")]
    TargetOffLink {
        /// The group's first VIP.
        vip: String,
    },
    /// Not a VIP.
    #[error("not a VIP ({0}); allowed: a unicast address with its prefix, as in \"192.168.42.14/25\"")]
    BadVip(&'static str),
    /// Not a route or a rule of a group.
    #[error("not a route or rule that can be set ({0})")]
    BadRoute(String),
    /// A VIP whose network holds the address of one node and not that of the other.
    #[error(
        "the network {network} does not hold {address}, the address of {node} on link `{link}`, and that of the other node; \
         allowed: a network of both, or of none of them"
    )]
    VipOutside {
        /// The VIP's network as written.
        network: String,
        /// The node's own address.
        address: String,
        /// The node.
        node: String,
        /// The link.
        link: String,
    },
    /// The first VIP of a group cannot be proven by the witness.
    #[error(
        "the first VIP of a group is its guard: the witness must be able to answer it; allowed: a VIP on link `{link}` with \
         {family}, as the witness targets"
    )]
    BadGuard {
        /// The witness link.
        link: String,
        /// The targets' family.
        family: &'static str,
    },
    /// Not a label.
    #[error("not a label: {0}; allowed: letters, digits, `-`, `_` and `.`, at most 15 bytes together with interface and colon")]
    BadLabel(String),
    /// Something that stands in the file twice.
    #[error("{what} is at {other} already")]
    Duplicate {
        /// What it is.
        what: String,
        /// Where the first one is.
        other: String,
    },
    /// A group without a VIP.
    #[error("no VIP; a group has at least one")]
    NoVips,
    /// No group.
    #[error("no [[groups]]; at least one is needed: it names what moves between the nodes")]
    NoGroups,
    /// Not a service.
    #[error(
        "{0}; allowed: one of {{ systemd = \"UNIT\" }}, {{ process = [\"PROGRAM\", …] }}, {{ lsb = \"NAME or /PATH\" }}, \
         {{ ocf = \"ocf:PROVIDER:TYPE\" }}"
    )]
    BadService(String),
    /// Not a duration.
    #[error("not a duration; allowed: {}; at most 1440m", super::duration::ALLOWED)]
    BadDuration,
    /// A duration outside its range.
    #[error("out of range; allowed: {least} to {most}")]
    OutOfRange {
        /// The least.
        least: Span,
        /// The most.
        most: Span,
    },
    /// A relation between two timings that does not hold.
    #[error("broken relation {relation}: {left} against {right}; {hint}")]
    Relation {
        /// The relation.
        relation: &'static str,
        /// The left side's figure.
        left: Span,
        /// The right side's figure.
        right: Span,
        /// What to do.
        hint: String,
    },
    /// `dead` is too short for the lease to end and a challenge to stand.
    #[error(
        "broken relation dead >= max(warn, lease x r) + probes + lease x r + 2 x delivery + echo period + kernel slack: {dead} against \
         {sum}; least allowed `dead`: {least} (or a shorter lease)"
    )]
    DeadTooShort {
        /// As configured.
        dead: Span,
        /// The least allowed.
        least: Span,
        /// How the least comes about.
        sum: String,
    },
    /// This machine has no nftables gate, and the lease is too short for address lifetimes.
    #[error("this machine's only gate is the address lifetime (whole seconds): lease is {lease}; least allowed: {least}")]
    WeakGateLease {
        /// As configured.
        lease: Span,
        /// The least allowed.
        least: Span,
    },
}

impl Problem {
    /// Whether it holds whatever else the file says: with a part of the file unread, the others may only follow from that.
    pub(super) fn stands_alone(&self) -> bool {
        match self {
            Self::Unreadable(_) | Self::Syntax(_) | Self::UnknownKey { .. } | Self::Type { .. } | Self::Allowed(_) => true,
            Self::BadName { .. } | Self::BadPublicKey(_) | Self::ReservedLink | Self::BadInterface | Self::BadAddress(_) => true,
            Self::BadVip(_) | Self::BadRoute(_) | Self::BadLabel(_) | Self::BadDuration | Self::OutOfRange { .. } => true,
            // Two that are both there.
            Self::SameKey(_) | Self::NamesAlike { .. } | Self::SharedInterface { .. } | Self::DuplicateAddress { .. } => true,
            Self::Duplicate { .. } | Self::TargetIsOurs(_) | Self::TooMany { .. } => true,
            Self::Follows | Self::Missing(_) | Self::NotTwoNodes { .. } | Self::TooFewLinks { .. } | Self::LinksDiffer { .. } => {
                false
            }
            Self::MixedFamily { .. } | Self::UnknownLink(_) | Self::UnknownNode(_) => false,
            Self::NoTargets | Self::NoRegister | Self::TargetFamily { .. } | Self::TargetOffLink { .. } => false,
            Self::VipOutside { .. } | Self::BadGuard { .. } | Self::NoVips | Self::NoGroups | Self::BadService(_) => false,
            Self::Relation { .. } | Self::DeadTooShort { .. } | Self::WeakGateLease { .. } => false,
        }
    }
}
