//! A checked configuration, and what it says to each who asks.

use std::path::Path;
use std::sync::Arc;

use super::error::{ConfigError, Problem};
use super::hooks::HookConfig;
use super::metrics::MetricsConfig;
use super::parts::{FenceConfig, GroupConfig, Island, JournalConfig, LinkConfig, LogConfig, NodeConfig, RELAY, WitnessConfig};
use super::realtime::RealtimeConfig;
use super::source::Source;
use super::{keys, timing};
use twinbeat_core::id::{LinkId, Name, NodeId};
use twinbeat_core::settings::{LinkSettings, Settings, Timing, WitnessSettings};
use twinbeat_wire::{MOST_IN_ECHO, Names, Room};

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
    /// Interfaces without heartbeats, by their names on both nodes: of addresses, and those that groups track.
    pub interfaces: Vec<[Name; 2]>,
    /// Where messages go; each node's own affair, not part of [`Config::digest`].
    pub log: LogConfig,
    /// How much the flight recorder keeps; each node's own affair too.
    pub journal: JournalConfig,
    /// How the daemon's threads are scheduled; each node's own as well.
    pub realtime: RealtimeConfig,
    /// Where metrics and health are asked for; each node's own.
    pub metrics: MetricsConfig,
    /// The programs that are told of changes, in the file's order; each node's own.
    pub hooks: Vec<HookConfig>,
    /// A hash over everything that both nodes must agree on: all but `[nodes.NAME.fence]`, `[log]`, `[journal]`, `[realtime]`, `[metrics]`
    /// and `[[hooks]]`.
    pub digest: u64,
    pub(super) source: Arc<Source>,
}

impl Config {
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
        let mut links: Vec<LinkSettings> = self.nodes[0]
            .links
            .iter()
            .map(|link| LinkSettings { name: link.name.clone(), relay: false, silent: false })
            .collect();
        if self.witness.relay {
            links.push(LinkSettings { name: RELAY.into(), relay: true, silent: false });
        }
        let here = self.interfaces.iter().filter_map(|names| names.get(me.index()));
        links.extend(here.map(|name| LinkSettings { name: name.clone(), relay: false, silent: true }));
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
            groups_in_beat: self.groups_in_beat(),
            fencing: self.nodes.get(me.other().index()).and_then(|peer| peer.fence.as_ref()).map(FenceConfig::settings),
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

    /// So many groups go into one heartbeat; of more than that there are several, with one number.
    pub fn groups_in_beat(&self) -> usize {
        self.room().groups
    }

    /// The longest frame of a heartbeat of this configuration, in bytes.
    pub fn longest_frame(&self) -> usize {
        self.room().bytes
    }

    fn room(&self) -> Room {
        let links = self.first_interface();
        // None was refused when the file was read.
        Room::of(links, self.groups.len()).unwrap_or(Room { groups: 1, bytes: MOST_IN_ECHO })
    }

    /// The number of the first of the interfaces without heartbeats.
    pub fn first_interface(&self) -> usize {
        self.nodes[0].links.len().saturating_add(usize::from(self.witness.relay))
    }

    /// The interface of a link, or one without heartbeats, on `node`; none for the relay.
    pub fn interface(&self, node: NodeId, link: LinkId) -> Option<&Name> {
        match self.link(node, link) {
            Some(link) => Some(&link.interface),
            None => self.interfaces.get(usize::from(link.0).checked_sub(self.first_interface())?)?.get(node.index()),
        }
    }

    /// The end of `link` on `node`; none for the relay, and for an interface without heartbeats.
    pub fn link(&self, node: NodeId, link: LinkId) -> Option<&LinkConfig> {
        self.nodes.get(node.index())?.links.get(usize::from(link.0))
    }

    /// The timing with `weak_gate` set, for a machine whose only gate is the address lifetime; refused when the lease is below 2 s or
    /// `dead` too short for a kernel slack of 500 ms (SAFETY, limit f).
    pub fn require_weak_gate_timing(&self) -> Result<Timing, ConfigError> {
        timing::weak(&self.source, &self.timing)
    }

    /// The private key of `node`, from the file beside the configuration; refused when it belongs to none of the node's public keys.
    pub fn private_key(&self, node: NodeId) -> Result<ed25519_dalek::SigningKey, keys::KeyError> {
        let [first, second] = &self.nodes;
        let node = if node == NodeId(0) { first } else { second };
        keys::load(&keys::key_path(self.file(), &node.name), &node.name, node.public_keys())
    }

    fn unknown_node(&self, me: &str) -> ConfigError {
        let names = format!("{}, {} (this machine is \"{me}\"; --node names it)", self.nodes[0].name, self.nodes[1].name);
        self.source.missing("nodes", Problem::UnknownNode(names))
    }
}
