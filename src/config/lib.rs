//! The configuration file: one text, the same on both nodes, checked once.
//!
//! The file becomes a `RawConfig` (its shape, [`raw`]) and that becomes a [`Config`] by one conversion ([`convert`]), each of whose errors
//! names file, line, key, value and what is allowed. Nothing else in the program validates configuration: what a [`Config`]
//! holds is in range, its relations hold, and its names exist.

#![forbid(unsafe_code)]
// Bytes, journals and states from outside: nothing indexes or overflows unchecked.
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod convert;
mod duration;
mod error;
mod groups;
pub mod keys;
mod mend;
mod raw;
mod realtime;
mod scheduling;
mod size;
mod source;
mod syntax;
mod timing;

#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ed25519_dalek::VerifyingKey;
use serde::Serialize;

pub use duration::{any as any_duration, parse as parse_duration};
pub use error::{ConfigError, Problem};
pub use realtime::RealtimeConfig;
pub use scheduling::{MOST_CPU, Policy, Scheduling};
pub use timing::margin as timing_margin;

use self::error::Found;
use twinbeat_core::id::{LinkId, Name, NodeId};
use twinbeat_core::settings::{self, Failback, GroupSettings, LinkSettings, Settings, Timing, WitnessSettings};
use twinbeat_core::time::Span;
use twinbeat_wire::{Names, longest_frame};

/// The name of the link that the witness carries; reserved.
pub const RELAY: &str = "relay";
/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "/etc/twinbeat/twinbeat.toml";
/// The most bytes that a configuration file may have.
pub const MOST_BYTES: u64 = 1024 * 1024;

/// A checked configuration: everything that a daemon of either node needs.
#[derive(Clone, Debug)]
pub struct Config {
    /// The cluster's name; bound into each heartbeat.
    pub cluster: Name,
    /// UDP port of the heartbeats, on every link.
    pub port: u16,
    /// The nodes by sorted name; the place is the [`NodeId`].
    pub nodes: [NodeConfig; 2],
    /// The third party.
    pub witness: WitnessConfig,
    /// The timing, with `weak_gate` false: that depends on the machine, see [`Config::require_weak_gate_timing`].
    pub timing: Timing,
    /// What moves between the nodes, in the file's order.
    pub groups: Vec<GroupConfig>,
    /// Where messages go; each node's own affair, not part of [`Config::digest`].
    pub log: LogConfig,
    /// How much the flight recorder keeps; each node's own affair too.
    pub journal: JournalConfig,
    /// How the daemon's threads are scheduled; each node's own as well.
    pub realtime: RealtimeConfig,
    /// A hash over everything that both nodes must agree on: all but `[log]`, `[journal]` and `[realtime]`.
    pub digest: u64,
    source: Arc<source::Source>,
}

/// One of the two machines.
#[derive(Clone, PartialEq, Debug)]
pub struct NodeConfig {
    /// Its name; as a rule its host name.
    pub name: Name,
    /// What its heartbeats are verified with.
    pub public_key: VerifyingKey,
    /// Its end of each link, by sorted name, the same names on both nodes; the place is the [`LinkId`]. The relay is not among them.
    pub links: Vec<LinkConfig>,
}

/// One node's end of a link.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct LinkConfig {
    /// The link's name.
    pub name: Name,
    /// The interface.
    pub interface: Name,
    /// The node's own address there.
    pub address: IpAddr,
}

/// `[witness]`.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct WitnessConfig {
    /// The link that is the public side of each node.
    pub link: LinkId,
    /// The third machines, in the file's order; a majority counts.
    pub targets: Vec<IpAddr>,
    /// One bit for each target with `by = "arp"`: it answers no echoes, and counts for reachability alone.
    #[serde(skip_serializing_if = "is_zero")]
    pub arp_only: u16,
    /// Whether heartbeats go through the witness too.
    pub relay: bool,
    /// Between two echoes while all is well.
    pub interval: Span,
    /// Echoes missing in a row before unreachable.
    pub fall: u32,
    /// Answers in a row before reachable.
    pub rise: u32,
    /// What an owner does with no peer and no witness.
    pub island: Island,
}

fn is_zero(bits: &u16) -> bool {
    *bits == 0
}

impl WitnessConfig {
    /// Whether a target is asked by ARP or neighbour discovery alone.
    pub fn arp_only(&self, target: usize) -> bool {
        target < 16 && self.arp_only & 1 << target != 0
    }
}

/// `witness.island`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub enum Island {
    /// It stops serving.
    Release,
    /// It serves on, and the peer may too: the administrator's own word (SAFETY R8).
    Hold,
}

/// `[[groups]]`.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct GroupConfig {
    /// Its name.
    pub name: Name,
    /// Where it should be while both nodes can serve.
    pub preferred: Option<NodeId>,
    /// Whether and when it goes back there.
    pub failback: Failback,
    /// Its addresses, the guard VIP first; never empty.
    pub vips: Vec<VipConfig>,
    /// Its services, in the order in which they start; they stop in the opposite one.
    pub services: Vec<ServiceConfig>,
}

/// One virtual address.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct VipConfig {
    /// The address.
    pub address: IpAddr,
    /// Its network's prefix.
    pub prefix: u8,
    /// The link on whose interface it is.
    pub link: LinkId,
    /// The part of the label behind the colon.
    pub label: Option<Name>,
}

/// One service.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ServiceConfig {
    /// What it is.
    pub kind: ServiceKind,
    /// Whether it may run on both nodes during a move.
    pub warm: bool,
    /// How long its start may take.
    pub start_timeout: Span,
    /// How long its stop may take.
    pub stop_timeout: Span,
}

/// What a service is.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub enum ServiceKind {
    /// A systemd unit, with its suffix: `nginx.service`.
    Systemd(Name),
    /// A program and its arguments, a child of the daemon; never empty.
    Process(Vec<String>),
    /// An init script, as an absolute path.
    Lsb(PathBuf),
}

/// `[log]`.
#[derive(Clone, PartialEq, Debug)]
pub struct LogConfig {
    /// The least that is logged: `error`, `warn`, `info`, `debug` or `trace`.
    pub level: tracing::Level,
    /// A log file.
    pub file: Option<PathBuf>,
    /// A second one, with everything from `debug` on.
    pub debug_file: Option<PathBuf>,
    /// The syslog facility: `daemon`, `local0`, …
    pub syslog: Option<&'static str>,
    /// To the systemd journal instead of stderr; not said: when stderr is the journal's anyway.
    pub journald: Option<bool>,
}

/// `[journal]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JournalConfig {
    /// The most bytes that all of its files together have.
    pub keep: u64,
}

impl Config {
    /// Makes a configuration of a file's text; `path` is for messages only. The error has all that is wrong, as far as it can be told.
    pub fn load(path: &Path, text: &str) -> Result<Config, ConfigError> {
        let mut found = Found::default();
        let Some(read) = mend::read(path, text, &mut found) else { return found.done(None) };
        let mut meaning = Found::default();
        let config = meaning.keep(convert::convert(read.source.clone(), &read.raw));
        meaning.only(|error| !read.follows(error));
        found.append(meaning);
        found.done(config)
    }

    /// Reads and loads a file.
    pub fn read(path: &Path) -> Result<Config, ConfigError> {
        use std::io::Read;
        use std::os::unix::fs::OpenOptionsExt;
        let unreadable = |why: String| ConfigError {
            file: path.to_owned(),
            line: 0,
            key: String::new(),
            value: String::new(),
            problem: Box::new(Problem::Unreadable(why)),
            others: Vec::new(),
        };
        // Not blocking, so that a fifo in the place of the file does not hang the start.
        let mut options = std::fs::OpenOptions::new();
        let file = options.read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(|e| unreadable(e.to_string()))?;
        if !file.metadata().map_err(|e| unreadable(e.to_string()))?.is_file() {
            return Err(unreadable("not a regular file; allowed: one TOML file".to_owned()));
        }
        let mut text = Vec::new();
        file.take(MOST_BYTES + 1).read_to_end(&mut text).map_err(|e| unreadable(e.to_string()))?;
        if text.len() as u64 > MOST_BYTES {
            return Err(unreadable(format!("more than {MOST_BYTES} bytes; no configuration is that long")));
        }
        let text = String::from_utf8(text).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            unreadable(format!("byte {} is not UTF-8; allowed: one TOML file, which is UTF-8 text", at.saturating_add(1)))
        })?;
        Config::load(path, &text)
    }

    /// A hash of the file's text as it was read, other bytes and comments included.
    pub fn text_hash(&self) -> [u8; 32] {
        *blake3::hash(self.source.text().as_bytes()).as_bytes()
    }

    /// The file that this came from.
    pub fn file(&self) -> &Path {
        self.source.file()
    }

    /// The node of that name. The file's names are the only ones allowed; a host name is taken as it is, then without its domain.
    pub fn node(&self, me: &str) -> Result<NodeId, ConfigError> {
        let short = me.split('.').next().unwrap_or(me);
        [me, short]
            .into_iter()
            .find_map(|name| (0u8..).zip(&self.nodes).find(|(_, node)| &*node.name == name))
            .map(|(id, _)| NodeId(id))
            .ok_or_else(|| self.unknown_node(me))
    }

    /// The core's settings as seen from node `me`.
    pub fn settings(&self, me: &str) -> Result<Settings, ConfigError> {
        let me = self.node(me)?;
        let mut links: Vec<LinkSettings> =
            self.nodes[0].links.iter().map(|link| LinkSettings { name: link.name.clone(), relay: false }).collect();
        if self.witness.relay {
            links.push(LinkSettings { name: RELAY.into(), relay: true });
        }
        let witness = &self.witness;
        Ok(Settings {
            cluster: self.cluster.clone(),
            me,
            nodes: [self.nodes[0].name.clone(), self.nodes[1].name.clone()],
            digest: self.digest,
            links,
            witness: WitnessSettings {
                link: witness.link,
                targets: witness.targets.len() as u8,
                arp_only: witness.arp_only,
                names: WitnessSettings::names_of(
                    witness.targets.iter().enumerate().map(|(i, target)| (target.to_string(), witness.arp_only(i))),
                ),
                interval: witness.interval,
                fall: witness.fall,
                rise: witness.rise,
                island_hold: witness.island == Island::Hold,
            },
            timing: self.timing,
            groups: self.groups.iter().map(GroupConfig::settings).collect(),
        })
    }

    /// The link that the witness carries, when it is configured: the last one.
    pub fn relay_link(&self) -> Option<LinkId> {
        self.witness.relay.then_some(LinkId(self.nodes[0].links.len() as u8))
    }

    /// The names of links and groups, to read the peer's heartbeats by.
    pub fn names(&self) -> Names {
        let links = self.nodes[0].links.iter().map(|link| link.name.clone()).chain([RELAY.into()]);
        Names::new(links.chain(self.groups.iter().map(|group| group.name.clone())))
    }

    /// The longest frame that a heartbeat of this configuration makes, in bytes.
    pub fn longest_frame(&self) -> usize {
        longest_frame(self.nodes[0].links.len().saturating_add(usize::from(self.witness.relay)), self.groups.len())
    }

    /// The end of `link` on `node`; none for the relay.
    pub fn link(&self, node: NodeId, link: LinkId) -> Option<&LinkConfig> {
        self.nodes.get(node.index())?.links.get(usize::from(link.0))
    }

    /// The timing with `weak_gate` set, for a machine whose only gate is the address lifetime; refused when the lease is below 2 s or
    /// `dead` too short for a kernel slack of 500 ms (SAFETY, limit f).
    pub fn require_weak_gate_timing(&self) -> Result<Timing, ConfigError> {
        timing::weak(&self.source, &self.timing)
    }

    /// The private key of `node`, from the file beside the configuration; refused when it does not belong to the node's public key.
    pub fn private_key(&self, node: NodeId) -> Result<ed25519_dalek::SigningKey, keys::KeyError> {
        let [first, second] = &self.nodes;
        let node = if node == NodeId(0) { first } else { second };
        keys::load(&keys::key_path(self.file(), &node.name), &node.name, &node.public_key)
    }

    fn unknown_node(&self, me: &str) -> ConfigError {
        let names = format!("{}, {} (this machine is \"{me}\"; --node names it)", self.nodes[0].name, self.nodes[1].name);
        self.source.missing("nodes", Problem::UnknownNode(names))
    }
}

impl GroupConfig {
    fn settings(&self) -> GroupSettings {
        GroupSettings {
            name: self.name.clone(),
            preferred: self.preferred,
            failback: self.failback,
            vips: self.vips.iter().map(|vip| vip.to_string().into()).collect(),
            vip_links: self.vips.iter().map(|vip| vip.link).collect(),
            services: match self.services.as_slice() {
                [] => settings::Services::None,
                all if all.iter().all(|service| service.warm) => settings::Services::Warm,
                _ => settings::Services::Cold,
            },
        }
    }
}

impl VipConfig {
    /// The address label on `interface`, as in `eth0:0`.
    pub fn label_on(&self, interface: &str) -> Option<String> {
        self.label.as_ref().map(|label| format!("{interface}:{label}"))
    }

    /// Whether `address` lies in this VIP's network.
    pub fn network_holds(&self, address: IpAddr) -> bool {
        groups::same_network(self.address, address, self.prefix)
    }
}

impl std::fmt::Display for VipConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl std::fmt::Display for ServiceKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ServiceKind::Systemd(unit) => write!(f, "systemd {unit}"),
            ServiceKind::Process(argv) => write!(f, "process {}", argv.join(" ")),
            ServiceKind::Lsb(script) => write!(f, "lsb {}", script.display()),
        }
    }
}
