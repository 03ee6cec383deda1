//! For the fuzz targets alone: the way that a datagram of netlink takes here.

use netlink_packet_core::NetlinkPayload;
use netlink_packet_netfilter::NetfilterMessage;
use netlink_packet_route::RouteNetlinkMessage;

use crate::bond::read;
use crate::interfaces::{addresses, card};
use crate::netlink::split;

/// Reads a datagram as rtnetlink's and as nftables', and what it says of interfaces.
pub fn netlink(datagram: &[u8]) -> usize {
    let routes = split::<RouteNetlinkMessage>(datagram);
    let mut links = Vec::new();
    for message in &routes {
        match &message.payload {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => links.push(link.clone()),
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(address)) => {
                let _ = addresses(address).count();
            }
            _ => {}
        }
    }
    let names: Vec<String> = links.iter().filter_map(|link| Some(card(link)?.0)).collect();
    let bonds = read(&links, &names);
    let rules = split::<NetfilterMessage>(datagram);
    routes.len().saturating_add(bonds.len()).saturating_add(rules.len())
}
