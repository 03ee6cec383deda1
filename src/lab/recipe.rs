//! The recipe's pair: names, addresses, cables, timing.

use std::net::{Ipv4Addr, Ipv6Addr};

use twinbeat_core::id::{Mac, NodeId};
use twinbeat_core::settings::Timing;

/// The timing of a drill: detection in about a second, as the baseline's daemons were set.
pub const TIMING: Timing = Timing::SECOND;
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

/// One of the recipe's three network paths; in another plan the part that it plays there (`plan::Select`).
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

/// The switch's port to a witness.
pub(super) fn witness_port(witness: usize) -> String {
    if witness == 0 { "eth0-gw".to_owned() } else { format!("eth0-witness{}", witness + 1) }
}

/// The switch's port to the observer.
pub(super) const OBSERVER_PORT: &str = "eth0-lanclient";
