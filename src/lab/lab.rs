//! The lab: a pair with everything around it, each machine a named network namespace; the recipe's pair, or any [`Plan`].
//!
//! All cables run through bridges in the namespace `switch`, so that carrier and frames are cut there, outside the nodes: what a node does
//! to its own interfaces and rules, and what a daemon does to its gate, never mixes with the drill's faults. All bridges but the public one
//! have two ports only and stand for direct cables: where one end loses carrier, the other does too.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard};

use anyhow::{Context, Result, bail};

use super::damage::Damage;
use super::netlink;
use super::ns::{self, Namespace, Prefix};
use super::plan::Plan;
use twinbeat_core::id::{Mac, NodeId};

/// The nodes' names; a node's place here is its [`NodeId`].
pub const NODES: [&str; 2] = ["master1", "master2"];
/// The address that the pair serves.
pub const VIP: Ipv4Addr = Ipv4Addr::new(192, 168, 42, 14);
/// Its prefix.
pub const VIP_PREFIX: u8 = 25;
/// The IPv6 address that the pair may serve (/64).
pub const VIP6: Ipv6Addr = Ipv6Addr::new(0xfd42, 0, 0, 0, 0, 0, 0, 0x14);
/// The gateway on the LAN: the witness.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 42, 1);
/// The gateway on the LAN, IPv6.
pub const GATEWAY6: Ipv6Addr = Ipv6Addr::new(0xfd42, 0, 0, 0, 0, 0, 0, 1);
/// The observer on the LAN.
pub const LANCLIENT: Ipv4Addr = Ipv4Addr::new(192, 168, 42, 50);
/// The observer's MAC.
pub const LANCLIENT_MAC: Mac = Mac([2, 0, 0, 0, 0, 0x50]);
/// The client behind the gateway.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 9, 9, 2);

/// One of the recipe's three network paths; in another plan the part that it plays there ([`Select`](super::plan::Select)).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Cable {
    /// The dedicated heartbeat cable, link `heartbeat`, on `eth1`.
    Heartbeat,
    /// The second one, link `bond`, on `eth2`.
    Bond,
    /// The public network, link `lan`, on `eth0`.
    Lan,
}

impl Cable {
    /// All three.
    pub const ALL: [Cable; 3] = [Cable::Heartbeat, Cable::Bond, Cable::Lan];
    /// The two direct ones.
    pub const DIRECT: [Cable; 2] = [Cable::Heartbeat, Cable::Bond];

    /// The interface in each node.
    pub const fn interface(self) -> &'static str {
        match self {
            Cable::Heartbeat => "eth1",
            Cable::Bond => "eth2",
            Cable::Lan => "eth0",
        }
    }

    /// The link's name in the configuration.
    pub const fn link(self) -> &'static str {
        match self {
            Cable::Heartbeat => "heartbeat",
            Cable::Bond => "bond",
            Cable::Lan => "lan",
        }
    }

    /// By the link's name in the configuration.
    pub fn of_link(link: &str) -> Option<Cable> {
        Cable::ALL.into_iter().find(|c| c.link() == link)
    }

    /// A node's own address on it.
    pub const fn address(self, node: NodeId) -> Ipv4Addr {
        match self {
            Cable::Heartbeat => Ipv4Addr::new(10, 1, 1, 1 + node.0),
            Cable::Bond => Ipv4Addr::new(10, 1, 2, 1 + node.0),
            Cable::Lan => Ipv4Addr::new(192, 168, 42, 12 + node.0),
        }
    }

    /// A node's own IPv6 address on it (/64).
    pub const fn address6(self, node: NodeId) -> Ipv6Addr {
        match self {
            Cable::Heartbeat => Ipv6Addr::new(0xfd11, 0, 0, 0, 0, 0, 0, 1 + node.0 as u16),
            Cable::Bond => Ipv6Addr::new(0xfd12, 0, 0, 0, 0, 0, 0, 1 + node.0 as u16),
            Cable::Lan => Ipv6Addr::new(0xfd42, 0, 0, 0, 0, 0, 0, 0x12 + node.0 as u16),
        }
    }

    /// A node's MAC on it.
    pub const fn mac(self, node: NodeId) -> Mac {
        let which = match self {
            Cable::Heartbeat => 1,
            Cable::Bond => 2,
            Cable::Lan => 0,
        };
        Mac([2, 0, 0, 0, which, 0x12 + node.0])
    }

    /// The length of its network's prefix (IPv4).
    pub const fn prefix(self) -> u8 {
        if matches!(self, Cable::Lan) { VIP_PREFIX } else { 24 }
    }
}

/// A node's name in the recipe.
pub fn node_name(node: NodeId) -> &'static str {
    NODES[node.index() % 2]
}

/// A node of the recipe by its name.
pub fn node_id(name: &str) -> Option<NodeId> {
    NODES.iter().position(|n| *n == name).map(|i| NodeId(i as u8))
}

/// Both nodes.
pub const BOTH: [NodeId; 2] = [NodeId(0), NodeId(1)];

/// The namespaces, wired. Dropping it kills what runs inside and removes them all.
#[derive(Debug)]
pub struct Lab {
    /// All bridges; every cable ends here.
    pub switch: Namespace,
    /// The gateway: forwards between the LAN and the client, and is the (first) witness.
    pub gw: Namespace,
    /// Further witnesses.
    pub witnesses: Vec<Namespace>,
    /// An observer on the LAN; no silent cut ever touches its frames.
    pub lanclient: Namespace,
    /// A client behind the gateway.
    pub client: Namespace,
    /// What it was built from.
    pub plan: Plan,
    nodes: [Namespace; 2],
    damage: Mutex<Damage>,
    prefix: Prefix,
}

impl Lab {
    /// The recipe's lab, see [`Lab::build_for`].
    pub fn build() -> Result<Lab> {
        Lab::build_for(Plan::recipe())
    }

    /// Sweeps what dead runs left, then builds a lab of its own. Needs [`ns::privileged`].
    pub fn build_for(plan: Plan) -> Result<Lab> {
        if !ns::privileged() {
            bail!("a lab needs root, or a user namespace (ns::enter_user_namespace)");
        }
        ns::sweep();
        let prefix = Prefix::new()?;
        let make = |what: &str| Namespace::create(&prefix, what);
        let lab = Lab {
            switch: make("switch")?,
            gw: make("gw")?,
            witnesses: (1..plan.witnesses.len()).map(|n| make(&format!("witness{}", n + 1))).collect::<Result<_>>()?,
            lanclient: make("lanclient")?,
            client: make("client")?,
            nodes: [make(&node_file(plan.name(NodeId(0))))?, make(&node_file(plan.name(NodeId(1))))?],
            damage: Mutex::new(Damage::default()),
            plan,
            prefix,
        };
        lab.wire().context("wire the lab")?;
        Ok(lab)
    }

    /// A node's namespace.
    pub fn node(&self, node: NodeId) -> &Namespace {
        &self.nodes[node.index() % 2]
    }

    /// A node's name.
    pub fn name(&self, node: NodeId) -> &str {
        self.plan.name(node)
    }

    /// The namespace of a witness; the first is the gateway.
    pub fn witness(&self, witness: usize) -> &Namespace {
        witness.checked_sub(1).and_then(|n| self.witnesses.get(n)).unwrap_or(&self.gw)
    }

    /// The prefix of all its namespaces' names.
    pub fn prefix(&self) -> &str {
        self.prefix.as_str()
    }

    /// What is broken now.
    pub(super) fn damage(&self) -> MutexGuard<'_, Damage> {
        self.damage.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// One more machine on the LAN, for as long as the namespace lives: `name`, with this MAC on its `eth0`, and without an address.
    pub(super) fn one_more(&self, name: &str, mac: Mac) -> Result<Namespace> {
        let ns = Namespace::create(&self.prefix, name)?;
        netlink::settings(&ns, &HOST_SETTINGS)?;
        netlink::cable(&self.switch, &format!("lan-{name}"), Some(&self.plan.bridge(self.plan.public)), &ns, "eth0", mac)?;
        Ok(ns)
    }

    fn wire(&self) -> Result<()> {
        let plan = &self.plan;
        netlink::settings(&self.switch, &[("ipv6/conf/all/disable_ipv6", "1"), ("ipv6/conf/default/disable_ipv6", "1")])?;
        let hosts: Vec<&Namespace> =
            [&self.gw, &self.lanclient, &self.client].into_iter().chain(&self.nodes).chain(&self.witnesses).collect();
        for ns in &hosts {
            netlink::settings(ns, &HOST_SETTINGS)?;
        }
        netlink::settings(&self.gw, &[("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")])?;
        let bridges: Vec<String> = plan.all().into_iter().map(|id| plan.bridge(id)).collect();
        netlink::bridges(&self.switch, &bridges)?;
        for node in BOTH {
            for id in plan.all() {
                let end = plan.end(id, node);
                let (port, bridge) = (plan.port(id, node), plan.bridge(id));
                netlink::cable(&self.switch, &port, Some(&bridge), self.node(node), &end.interface, end.mac)?;
                netlink::add_addresses(self.node(node), &end.interface, &end.addresses)?;
            }
        }
        let lan = plan.bridge(plan.public);
        for (number, addresses) in plan.witnesses.iter().enumerate() {
            let (ns, mac) = (self.witness(number), Mac([2, 0, 0, 0, 8, 1 + number as u8]));
            netlink::cable(&self.switch, &witness_port(number), Some(&lan), ns, "eth0", mac)?;
            netlink::add_addresses(ns, "eth0", addresses)?;
        }
        netlink::cable(&self.switch, OBSERVER_PORT, Some(&lan), &self.lanclient, "eth0", LANCLIENT_MAC)?;
        netlink::add_addresses(&self.lanclient, "eth0", &plan.observer)?;
        netlink::cable(&self.gw, "eth1", None, &self.client, "eth0", Mac([2, 0, 0, 0, 9, 2]))?;
        for (gateway, client) in &plan.outside {
            netlink::add_addresses(&self.gw, "eth1", &[*gateway])?;
            netlink::add_addresses(&self.client, "eth0", &[*client])?;
        }
        for ns in hosts {
            netlink::link_up(ns, "lo", true)?;
        }
        let gateways: Vec<_> = plan.witnesses.first().into_iter().flatten().map(|(ip, _)| *ip).collect();
        for ns in [&self.lanclient, &self.nodes[0], &self.nodes[1]].into_iter().chain(&self.witnesses) {
            netlink::default_routes(ns, &gateways)?;
        }
        netlink::default_routes(&self.client, &plan.outside.iter().map(|((ip, _), _)| *ip).collect::<Vec<_>>())?;
        for node in BOTH {
            self.know_observer(node)?;
        }
        Ok(())
    }

    /// Pins the observer's own addresses on a node: else its frames would make the node ask for them, with the VIP as the sender of
    /// the question, and that would be an announcement.
    pub(super) fn know_observer(&self, node: NodeId) -> Result<()> {
        let entries: Vec<_> = self.plan.observer.iter().map(|(ip, _)| (*ip, LANCLIENT_MAC)).collect();
        netlink::pin_neighbours(self.node(node), &self.plan.end(self.plan.public, node).interface, &entries)
    }
}

/// The part of a namespace's name that is the node's own; one that another machine of the lab has gets an addition.
fn node_file(name: &str) -> String {
    let taken = ["switch", "gw", "lanclient", "client", "attacker", "stranger"].contains(&name) || name.starts_with("witness");
    if taken { format!("node-{name}") } else { name.to_owned() }
}

/// The switch's port to a witness.
pub(super) fn witness_port(witness: usize) -> String {
    if witness == 0 { "eth0-gw".to_owned() } else { format!("eth0-witness{}", witness + 1) }
}

/// The switch's port to the observer.
pub(super) const OBSERVER_PORT: &str = "eth0-lanclient";

/// No duplicate address detection (a lab address must work at once), no router advertisements, no reverse path filter.
const HOST_SETTINGS: [(&str, &str); 8] = [
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/all/accept_ra", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    ("ipv4/ping_group_range", "0 0"),
    ("ipv4/ip_unprivileged_port_start", "0"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_nodes_are_found_by_name() {
        assert_eq!(Cable::of_link("bond"), Some(Cable::Bond));
        assert_eq!(Cable::of_link("eth7"), None);
        assert_eq!(node_id("master2"), Some(NodeId(1)));
        assert_eq!(node_id("master3"), None);
    }
}
