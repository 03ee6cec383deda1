//! The lab: the recipe's pair with everything around it, each machine a named network namespace.
//!
//! All cables run through bridges in the namespace `switch`, so that carrier and frames are cut there, outside the nodes: what a node does
//! to its own interfaces and rules, and what a daemon does to its gate, never mixes with the drill's faults. Two of the bridges have two ports
//! only and stand for direct cables: where one end loses carrier, the other does too.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard};

use anyhow::{Context, Result, bail};

use super::fault::Faults;
use super::netlink::{self, Address};
use super::ns::{self, Namespace, Prefix};
use crate::core::id::{Mac, NodeId};

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

/// One of a node's three network paths.
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

    /// The name of the switch's port to a node.
    pub fn port(self, node: NodeId) -> String {
        format!("{}-{}", self.interface(), node_name(node))
    }

    const fn prefix(self) -> u8 {
        if matches!(self, Cable::Lan) { VIP_PREFIX } else { 24 }
    }

    const fn bridge(self) -> &'static str {
        match self {
            Cable::Heartbeat => "br-eth1",
            Cable::Bond => "br-eth2",
            Cable::Lan => "br-eth0",
        }
    }
}

/// A node's name.
pub fn node_name(node: NodeId) -> &'static str {
    NODES[node.index() % 2]
}

/// A node by its name.
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
    /// The gateway: forwards between the LAN and the client, and is the witness.
    pub gw: Namespace,
    /// An observer on the LAN; no silent cut ever touches its frames.
    pub lanclient: Namespace,
    /// A client behind the gateway.
    pub client: Namespace,
    nodes: [Namespace; 2],
    faults: Mutex<Faults>,
    prefix: Prefix,
}

impl Lab {
    /// Sweeps what dead runs left, then builds a lab of its own. Needs [`ns::privileged`].
    pub fn build() -> Result<Lab> {
        if !ns::privileged() {
            bail!("a lab needs root, or a user namespace (ns::enter_user_namespace)");
        }
        ns::sweep();
        let prefix = Prefix::new()?;
        let make = |what: &str| Namespace::create(&prefix, what);
        let lab = Lab {
            switch: make("switch")?,
            gw: make("gw")?,
            lanclient: make("lanclient")?,
            client: make("client")?,
            nodes: [make(NODES[0])?, make(NODES[1])?],
            faults: Mutex::new(Faults::default()),
            prefix,
        };
        lab.wire().context("wire the lab")?;
        Ok(lab)
    }

    /// A node's namespace.
    pub fn node(&self, node: NodeId) -> &Namespace {
        &self.nodes[node.index() % 2]
    }

    /// The prefix of all its namespaces' names.
    pub fn prefix(&self) -> &str {
        self.prefix.as_str()
    }

    /// What is broken now.
    pub(super) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn wire(&self) -> Result<()> {
        netlink::settings(&self.switch, &[("ipv6/conf/all/disable_ipv6", "1"), ("ipv6/conf/default/disable_ipv6", "1")])?;
        for ns in [&self.gw, &self.lanclient, &self.client, &self.nodes[0], &self.nodes[1]] {
            netlink::settings(ns, &HOST_SETTINGS)?;
        }
        netlink::settings(&self.gw, &[("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")])?;
        netlink::bridges(&self.switch, &Cable::ALL.map(Cable::bridge))?;
        for node in BOTH {
            for cable in Cable::ALL {
                let (port, bridge, end) = (cable.port(node), Some(cable.bridge()), cable.interface());
                netlink::cable(&self.switch, &port, bridge, self.node(node), end, cable.mac(node))?;
                let addresses = [(cable.address(node).into(), cable.prefix()), (cable.address6(node).into(), 64)];
                netlink::add_addresses(self.node(node), cable.interface(), &addresses)?;
            }
            // The observer's own address is pinned: else its frames would make a node ask for it, with the VIP as the sender of the question.
            netlink::pin_neighbours(self.node(node), "eth0", &[(LANCLIENT.into(), LANCLIENT_MAC)])?;
        }
        let lan = Some(Cable::Lan.bridge());
        netlink::cable(&self.switch, "eth0-gw", lan, &self.gw, "eth0", Mac([2, 0, 0, 0, 0, 1]))?;
        netlink::cable(&self.switch, OBSERVER_PORT, lan, &self.lanclient, "eth0", LANCLIENT_MAC)?;
        netlink::cable(&self.gw, "eth1", None, &self.client, "eth0", Mac([2, 0, 0, 0, 9, 2]))?;
        let v6 = |text: u128| IpAddr::V6(Ipv6Addr::from_bits(text));
        let (outside6, client6, lanclient6) = (v6((0xfd99 << 112) + 1), v6((0xfd99 << 112) + 2), v6((0xfd42 << 112) + 0x50));
        let outside = IpAddr::V4(Ipv4Addr::new(10, 9, 9, 1));
        let sides: [(&Namespace, &str, [Address; 2]); 4] = [
            (&self.gw, "eth0", [(GATEWAY.into(), VIP_PREFIX), (GATEWAY6.into(), 64)]),
            (&self.gw, "eth1", [(outside, 24), (outside6, 64)]),
            (&self.lanclient, "eth0", [(LANCLIENT.into(), VIP_PREFIX), (lanclient6, 64)]),
            (&self.client, "eth0", [(CLIENT.into(), 24), (client6, 64)]),
        ];
        for (ns, interface, addresses) in sides {
            netlink::add_addresses(ns, interface, &addresses)?;
        }
        for ns in [&self.gw, &self.lanclient, &self.client, &self.nodes[0], &self.nodes[1]] {
            netlink::link_up(ns, "lo", true)?;
        }
        for ns in [&self.lanclient, &self.nodes[0], &self.nodes[1]] {
            netlink::default_routes(ns, &[GATEWAY.into(), GATEWAY6.into()])?;
        }
        netlink::default_routes(&self.client, &[outside, outside6])
    }
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
    fn port_names_fit_the_kernels_fifteen_letters() {
        for cable in Cable::ALL {
            for node in BOTH {
                assert!(cable.port(node).len() <= 15, "{}", cable.port(node));
            }
        }
    }

    #[test]
    fn links_and_nodes_are_found_by_name() {
        assert_eq!(Cable::of_link("bond"), Some(Cable::Bond));
        assert_eq!(Cable::of_link("eth7"), None);
        assert_eq!(node_id("master2"), Some(NodeId(1)));
        assert_eq!(node_id("master3"), None);
    }
}
