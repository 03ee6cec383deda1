//! The gate's tables.

use std::net::IpAddr;

use netlink_packet_netfilter::NetfilterProtoFamily;

/// One of the gate's tables; both have the daemon's name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Family {
    /// What is resolved by ARP.
    Arp,
    /// Packets of both families, and neighbour discovery.
    Inet,
    /// The one table of an earlier version, with hooks on every interface: read and removed, never made.
    Netdev,
}

impl Family {
    /// The two that the gate consists of.
    pub const BOTH: [Family; 2] = [Family::Arp, Family::Inet];

    /// nftables' own number for it.
    pub fn proto(self) -> NetfilterProtoFamily {
        match self {
            Family::Arp => NetfilterProtoFamily::ARP,
            Family::Inet => NetfilterProtoFamily::Inet,
            Family::Netdev => NetfilterProtoFamily::NetDev,
        }
    }

    /// Whether addresses of this kind are elements in this table.
    pub fn holds(self, vip: IpAddr) -> bool {
        vip.is_ipv4() || self != Family::Arp
    }
}
