//! Routes and rules of a group: plain data.

use std::fmt;
use std::net::IpAddr;

use serde::Serialize;

use twinbeat_core::id::{LinkId, Name};

/// A network: an address without bits beyond its prefix. `0.0.0.0/0` and `::/0` are everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Network {
    /// Its first address.
    pub address: IpAddr,
    /// The bits that count.
    pub prefix: u8,
}

/// What a route goes out on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub enum RouteDevice {
    /// The interface of a link.
    Link(LinkId),
    /// An interface, under this name on both nodes.
    Interface(Name),
}

/// One route.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RouteConfig {
    /// Where it leads.
    pub to: Network,
    /// The gateway; none: the network is on the interface itself.
    pub via: Option<IpAddr>,
    /// What it goes out on.
    pub device: RouteDevice,
    /// A VIP of the group that this node's own packets get as their source.
    pub source: Option<IpAddr>,
    /// The routing table; 254 is `main`.
    pub table: u32,
    /// As the kernel has it where the file does not say: 0 in IPv4, 1024 in IPv6.
    pub metric: u32,
    /// The gateway is on the interface, whatever the networks there are.
    pub onlink: bool,
}

/// One rule.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RuleConfig {
    /// Whether it is about IPv4.
    pub v4: bool,
    /// Packets from this network; none: from all.
    pub from: Option<Network>,
    /// Packets to this network; none: to all.
    pub to: Option<Network>,
    /// The mark, and the bits of it that count.
    pub fwmark: Option<(u32, u32)>,
    /// The table that they go by.
    pub table: u32,
    /// Rules are asked in this order.
    pub priority: u32,
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// What a route is to the kernel's table: nothing else may be the same twice.
pub(super) type Place = (Network, u32, u32);

impl RouteConfig {
    /// What it is to the kernel's table.
    pub(super) fn place(&self) -> Place {
        (self.to, self.table, self.metric)
    }
}
