//! The kernel's own neighbour table (ip-neighbour(8)): all of it, and the entries that somebody made permanent.

use std::io;
use std::net::IpAddr;

use netlink_packet_core::NetlinkMessage;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState};

use super::netlink::Channel;
use twinbeat_core::id::Mac;

/// The permanent entries of an interface.
///
/// # Errors
/// No such interface, or a kernel that does not answer.
pub fn permanent(interface: &str) -> io::Result<Vec<(IpAddr, Mac)>> {
    entries(interface, |state| state == NeighbourState::Permanent)
}

/// Every entry of an interface that has a hardware address.
///
/// # Errors
/// As [`permanent`].
pub fn known(interface: &str) -> io::Result<Vec<(IpAddr, Mac)>> {
    entries(interface, |state| !matches!(state, NeighbourState::Failed | NeighbourState::Incomplete | NeighbourState::Noarp))
}

fn entries(interface: &str, wanted: impl Fn(NeighbourState) -> bool) -> io::Result<Vec<(IpAddr, Mac)>> {
    let index = nix::net::if_::if_nametoindex(interface)?;
    let mut ask = Channel::open(netlink_sys::protocols::NETLINK_ROUTE)?;
    let all = ask.dump(NetlinkMessage::from(RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default())))?;
    let entry = |message: RouteNetlinkMessage| {
        let RouteNetlinkMessage::NewNeighbour(entry) = message else { return None };
        if entry.header.ifindex != index || !wanted(entry.header.state) {
            return None;
        }
        let address = entry.attributes.iter().find_map(|a| match a {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => Some(IpAddr::V4(*ip)),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip)) => Some(IpAddr::V6(*ip)),
            _ => None,
        })?;
        let mac = entry.attributes.iter().find_map(|a| match a {
            NeighbourAttribute::LinkLayerAddress(bytes) => bytes.as_slice().try_into().ok().map(Mac),
            _ => None,
        })?;
        Some((address, mac))
    };
    Ok(all.into_iter().filter_map(entry).collect())
}
