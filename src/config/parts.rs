//! The parts of a checked configuration: plain data.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ed25519_dalek::VerifyingKey;
use serde::Serialize;

use super::network::same_network;
use super::route::{RouteConfig, RuleConfig};
use twinbeat_core::id::{LinkId, Name, NodeId};
use twinbeat_core::settings::{Failback, FencingSettings, GroupSettings, Services, StopFailure};
use twinbeat_core::time::Span;

/// Where agents are, by the OCF Resource Agent API and as distributions have them: OCF_ROOT.
pub const OCF_ROOT: &str = "/usr/lib/ocf";

/// The name of the link that the witness carries; reserved.
pub const RELAY: &str = "relay";

/// One of the two machines.
#[derive(Clone, PartialEq, Debug)]
pub struct NodeConfig {
    /// Its name; as a rule its host name.
    pub name: Name,
    /// What its heartbeats are verified with.
    pub public_key: VerifyingKey,
    /// What they are verified with as well, while the node's key is changed.
    pub next_public_key: Option<VerifyingKey>,
    /// How the other node turns it off.
    pub fence: Option<FenceConfig>,
    /// Its end of each link, by sorted name, the same names on both nodes; the place is the [`LinkId`]. The relay is not among them.
    pub links: Vec<LinkConfig>,
}

impl NodeConfig {
    /// The keys that may be this node's: one, and the next one while it is changed.
    pub fn public_keys(&self) -> impl Iterator<Item = VerifyingKey> {
        [self.public_key].into_iter().chain(self.next_public_key)
    }
}

/// How a node is turned off.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FenceConfig {
    /// By what.
    pub by: FenceBy,
    /// How long one try may take: 1 s to 5 min.
    pub timeout: Span,
    /// So often it is tried again at once, 0 to 10; later again every 30 s.
    pub retries: u32,
    /// How much longer the second node waits where no challenge is possible: up to 5 min.
    pub delay: Span,
}

/// By what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FenceBy {
    /// A program with its arguments; exit code 0: the node is off.
    Command(Vec<String>),
    /// An agent of the fence-agents package, which reads its parameters from standard input, a line each.
    Agent {
        /// Its name, looked for in `PATH`, or an absolute path.
        agent: String,
        /// Name and value; `action` is `off` where the file does not say.
        parameters: BTreeMap<String, String>,
    },
}

impl FenceConfig {
    /// What the decision knows of it.
    pub fn settings(&self) -> FencingSettings {
        let tries = u64::from(self.retries.saturating_add(1));
        // With what lies between two tries, and what ends one that hangs.
        FencingSettings { delay: self.delay, takes: (self.timeout + Span::secs(4)) * tries }
    }
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
    /// The routes that come and go with them, in the order in which they come.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RouteConfig>,
    /// The rules that do, behind the routes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleConfig>,
    /// Its services, in the order in which they start; they stop in the opposite one.
    pub services: Vec<ServiceConfig>,
    /// What becomes of a node on which one does not stop that must not run twice.
    #[serde(skip_serializing_if = "StopFailure::is_block")]
    pub stop_failure: StopFailure,
    /// Interfaces whose carrier makes a node less fit for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub track: Vec<LinkId>,
}

/// One virtual address.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct VipConfig {
    /// The address.
    pub address: IpAddr,
    /// Its network's prefix.
    pub prefix: u8,
    /// The link, or the interface without heartbeats ([`Config::interface`](super::Config::interface)), on which it is.
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
    /// How its clients see it, in the file's order.
    pub checks: Vec<CheckConfig>,
    /// A program with its arguments that says by exit code 0 that the service could start.
    pub validate: Option<Vec<String>>,
    /// So often it is started again on the spot within `restart_window`.
    pub restarts: u32,
    /// After so long a restart is forgotten.
    pub restart_window: Span,
}

/// `check` of a service.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct CheckConfig {
    /// What is asked.
    pub kind: CheckKind,
    /// Between two questions.
    pub interval: Span,
    /// What takes longer has failed.
    pub timeout: Span,
    /// So many failures in a row are one of the service.
    pub fall: u32,
    /// So many good answers in a row end it.
    pub rise: u32,
    /// It asks one of the file's VIPs.
    pub of_the_owner: bool,
}

/// What a check asks.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub enum CheckKind {
    /// A GET.
    Http(HttpCheck),
    /// A connection.
    Tcp(SocketAddr),
    /// A program with its arguments; never empty.
    Command(Vec<String>),
}

/// A GET, and what its answer has to be.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct HttpCheck {
    /// Where.
    pub address: SocketAddr,
    /// By TLS.
    pub tls: bool,
    /// The Host field, and the name in the TLS handshake.
    pub name: String,
    /// The path with the query; begins with a slash.
    pub path: String,
    /// The least and the greatest status that are well.
    pub status: (u16, u16),
    /// What the body has to contain.
    pub contains: Option<String>,
}

/// What a service is.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub enum ServiceKind {
    /// A systemd unit, with its suffix: `nginx.service`.
    Systemd(Name),
    /// A program and its arguments, a child of the daemon; never empty.
    Process(Vec<String>),
    /// An init script.
    Lsb(LsbConfig),
    /// An OCF resource agent.
    Ocf(OcfConfig),
}

/// An init script, and what stands before its action.
#[derive(Clone, PartialEq, Debug)]
pub struct LsbConfig {
    /// An absolute path.
    pub script: PathBuf,
    /// Before `start`, `stop` and `status`; mostly empty.
    pub arguments: Vec<String>,
}

impl Serialize for LsbConfig {
    /// Without arguments as before there were any, so that the digest of such a file stays what it was.
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if self.arguments.is_empty() { self.script.serialize(to) } else { (&self.script, &self.arguments).serialize(to) }
    }
}

/// An OCF resource agent, with what it is given.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct OcfConfig {
    /// As it stands in the file: `ocf:heartbeat:nginx`, or an absolute path.
    pub name: String,
    /// OCF_ROOT: [`OCF_ROOT`], or for an absolute path what stands before `resource.d/PROVIDER/TYPE` in it.
    pub root: PathBuf,
    /// The agent's program.
    pub program: PathBuf,
    /// Whose it is: `heartbeat`.
    pub provider: String,
    /// What it is: `nginx`.
    pub agent: String,
    /// OCF_RESKEY_*, without the prefix.
    pub parameters: BTreeMap<String, String>,
    /// It is promoted behind its start, and demoted before its stop.
    pub promoted: bool,
    /// Between two monitors of one that runs here.
    pub monitor_interval: Span,
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

impl GroupConfig {
    /// As the core has them.
    pub fn settings(&self) -> GroupSettings {
        GroupSettings {
            name: self.name.clone(),
            preferred: self.preferred,
            failback: self.failback,
            vips: self.vips.iter().map(|vip| vip.to_string().into()).collect(),
            vip_links: self.vips.iter().map(|vip| vip.link).collect(),
            track: self.track.clone(),
            services: match self.services.as_slice() {
                [] => Services::None,
                all if all.iter().all(|service| service.warm) => Services::Warm,
                _ => Services::Cold,
            },
            stop_failure: self.stop_failure,
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
        same_network(self.address, address, self.prefix)
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
            ServiceKind::Lsb(lsb) => {
                write!(f, "lsb {}", lsb.script.display())?;
                lsb.arguments.iter().try_for_each(|argument| write!(f, " {argument}"))
            }
            ServiceKind::Ocf(ocf) => write!(f, "{ocf}"),
        }
    }
}

impl std::fmt::Display for OcfConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.name.starts_with('/') { write!(f, "ocf {}", self.name) } else { f.write_str(&self.name) }
    }
}
