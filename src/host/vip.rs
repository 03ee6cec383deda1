//! The virtual addresses: added with a kernel lifetime, refreshed, removed, and watched (rtnetlink(7)).
//!
//! A VIP is always /32 or /128, whatever prefix the file names, so that its end never takes another address with it
//! (`promote_secondaries`); the prefix only makes a route where the node has no address of its own in that network.
//! The kernel creates what a renewal does not find, IPv4 and IPv6 alike: so a refresh asks before and looks after.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, PipeReader};
use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE, NetlinkMessage};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, AddressScope, CacheInfo};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::netlink::{Channel, Heard};
use crate::clock::now;
use twinbeat_core::io::{AddressOrder, AddressReport};
use twinbeat_core::time::Span;

/// One virtual address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Vip {
    /// The address.
    pub address: IpAddr,
    /// The network that it belongs to, as the file says; only for the route.
    pub prefix: u8,
    /// The interface that carries it.
    pub interface: String,
    /// IPv4: the label (IFA_LABEL), such as `eth0:0`; at most 15 bytes.
    pub label: Option<String>,
}

/// The addresses of all groups of one daemon.
pub struct Vips {
    channel: Channel,
    groups: Vec<Vec<Vip>>,
}

/// An address as the kernel has it.
struct Present {
    address: IpAddr,
    prefix: u8,
    index: u32,
    /// Seconds; `u32::MAX` is for ever.
    valid: u32,
    ours: bool,
}

impl Vips {
    /// Opens the socket; changes nothing.
    pub fn new(groups: Vec<Vec<Vip>>) -> io::Result<Vips> {
        Ok(Vips { channel: Channel::open(netlink_sys::protocols::NETLINK_ROUTE)?, groups })
    }

    /// The netlink port of the socket: what it does itself is told apart from a foreign hand by it.
    pub fn port(&self) -> u32 {
        self.channel.port()
    }

    /// Carries out an order; all of the group's addresses in one burst.
    pub fn carry_out(&mut self, group: usize, order: AddressOrder) -> AddressReport {
        let done = match order {
            AddressOrder::Add(lifetime) => self.add(group, lifetime),
            AddressOrder::Refresh(lifetime) => self.refresh(group, lifetime),
            AddressOrder::Remove => self.remove(group).map(|()| AddressReport::Removed),
        };
        done.unwrap_or_else(|error| AddressReport::Failed(error.to_string()))
    }

    /// Which of a group's addresses are configured, on whatever interface and with whatever prefix length.
    pub fn present(&mut self, group: usize) -> io::Result<Vec<IpAddr>> {
        let addresses = self.addresses()?;
        let vips = self.group(group)?.iter().map(|vip| vip.address);
        Ok(vips.filter(|vip| addresses.iter().any(|there| there.address == *vip)).collect())
    }

    /// Removes addresses that an earlier life left and that no group of this one names (IFA_PROTO; Linux 5.18). Those
    /// of a group are the decision's to keep or to remove.
    pub fn sweep(&mut self) -> io::Result<Vec<IpAddr>> {
        let known: Vec<IpAddr> = self.groups.iter().flatten().map(|vip| vip.address).collect();
        let stale: Vec<Present> = self.addresses()?.into_iter().filter(|a| a.ours && !known.contains(&a.address)).collect();
        self.send(stale.iter().map(|there| RouteNetlinkMessage::DelAddress(naming(there))).collect(), 0, &[libc::EADDRNOTAVAIL])?;
        Ok(stale.iter().map(|there| there.address).collect())
    }

    /// All that have an interface; the guard VIP must.
    fn add(&mut self, group: usize, lifetime: Span) -> io::Result<AddressReport> {
        let vips = self.group(group)?.to_vec();
        let addresses = self.addresses()?;
        // Of thousands of addresses on an interface, the few that are the node's own.
        let mine: BTreeSet<IpAddr> = vips.iter().map(|vip| vip.address).collect();
        let own: Vec<&Present> = addresses.iter().filter(|a| !a.ours && !mine.contains(&a.address)).collect();
        let mut orders = Vec::new();
        let mut routes = Vec::new();
        let (mut missing, mut without) = (Vec::new(), Vec::new());
        for (place, vip) in vips.iter().enumerate() {
            let index = match index(&vip.interface) {
                Ok(_) if vip.address.is_ipv6() && ipv6_off(&vip.interface) => {
                    if place == 0 {
                        return Err(io::Error::other(format!("IPv6 is switched off on {}", vip.interface)));
                    }
                    without.push(vip.address.to_string());
                    continue;
                }
                Ok(index) => index,
                Err(error) if place == 0 => return Err(error),
                Err(_) => {
                    missing.push(vip.address.to_string());
                    continue;
                }
            };
            let homed = own.iter().any(|a| a.index == index && same_network(a.address, vip.address, a.prefix));
            orders.push(RouteNetlinkMessage::NewAddress(wanted(vip, index, lifetime)));
            if !homed && vip.prefix < bits(vip.address) {
                routes.push(RouteNetlinkMessage::NewRoute(route(vip, index)));
            }
        }
        self.send(orders, NLM_F_CREATE | NLM_F_REPLACE, &[])?;
        self.send(routes, NLM_F_CREATE, &[libc::EEXIST])?;
        let why = [("its interface is missing", missing), ("IPv6 is switched off on its interface", without)];
        let why = why.iter().filter(|(_, all)| !all.is_empty()).map(|(why, all)| format!("{why}: {}", all.join(", ")));
        let why = why.collect::<Vec<_>>().join("; ");
        Ok(if why.is_empty() { AddressReport::Added } else { AddressReport::Partly(why) })
    }

    fn refresh(&mut self, group: usize, lifetime: Span) -> io::Result<AddressReport> {
        let vips = self.group(group)?.to_vec();
        let asked = now();
        let addresses = self.addresses()?;
        let mut orders = Vec::new();
        let mut shortest = u32::MAX;
        let mut missing = Vec::new();
        let known: BTreeMap<(IpAddr, u32), &Present> =
            addresses.iter().filter(|a| a.prefix == bits(a.address)).map(|a| ((a.address, a.index), a)).collect();
        for vip in &vips {
            let index = index(&vip.interface).unwrap_or_default();
            match known.get(&(vip.address, index)) {
                Some(there) => {
                    shortest = shortest.min(there.valid);
                    orders.push(RouteNetlinkMessage::NewAddress(wanted(vip, index, lifetime)));
                }
                None => missing.push(vip.address.to_string()),
            }
        }
        if orders.is_empty() {
            return Ok(AddressReport::Removed);
        }
        self.send(orders, NLM_F_REPLACE, &[])?;
        if shortest != u32::MAX && now().since(asked) + REFRESH_MARGIN >= Span::secs(u64::from(shortest)) {
            self.remove(group)?; // one may have expired in between, and then the order brought it back
            return Ok(AddressReport::Failed("the refresh came too late: the addresses are removed".to_owned()));
        }
        Ok(if missing.is_empty() { AddressReport::Added } else { AddressReport::Failed(format!("gone: {}", missing.join(", "))) })
    }

    fn remove(&mut self, group: usize) -> io::Result<()> {
        let vips = self.group(group)?.to_vec();
        let addresses = self.addresses()?;
        let mine: BTreeSet<IpAddr> = vips.iter().map(|vip| vip.address).collect();
        let there = addresses.iter().filter(|a| mine.contains(&a.address));
        let orders = there.map(|there| RouteNetlinkMessage::DelAddress(naming(there))).collect();
        self.send(orders, 0, &[libc::EADDRNOTAVAIL])?;
        let there: BTreeSet<IpAddr> = addresses.iter().map(|a| a.address).collect();
        let others = self.groups.iter().enumerate().filter(|(other, _)| *other != group).flat_map(|(_, vips)| vips);
        let others: Vec<&Vip> = others.filter(|other| there.contains(&other.address)).collect();
        let still = |vip: &&Vip| {
            let near = |other: &&Vip| other.interface == vip.interface && same_network(other.address, vip.address, vip.prefix);
            others.iter().any(near)
        };
        let routes = vips.iter().filter(|vip| vip.prefix < bits(vip.address) && !still(vip));
        let routes = routes.filter_map(|vip| Some(RouteNetlinkMessage::DelRoute(route(vip, index(&vip.interface).ok()?))));
        let routes = routes.collect();
        self.send(routes, 0, &[libc::ESRCH])
    }

    fn group(&self, group: usize) -> io::Result<&[Vip]> {
        self.groups.get(group).map(Vec::as_slice).ok_or_else(|| io::Error::other(format!("there is no group {group}")))
    }

    fn addresses(&mut self) -> io::Result<Vec<Present>> {
        let ask = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let answers = self.channel.dump(NetlinkMessage::from(ask))?;
        Ok(answers.into_iter().filter_map(|answer| present(&answer)).collect())
    }

    /// In parts, so that the answers fit the socket; an error that is the wanted state is none.
    fn send(&mut self, orders: Vec<RouteNetlinkMessage>, flags: u16, accepted: &[i32]) -> io::Result<()> {
        for part in orders.chunks(PER_DATAGRAM) {
            let replies = self.channel.order(part, flags)?;
            if let Some((_, errno)) = replies.errors.iter().find(|(_, errno)| !accepted.contains(errno)) {
                return Err(io::Error::from_raw_os_error(*errno));
            }
        }
        Ok(())
    }
}

/// Hears when a VIP is deleted, by anybody but this daemon's own [`Vips`] (`own` is its port): by a foreign hand, by the
/// kernel when its lifetime or its interface ended.
pub struct VipWatch {
    channel: Channel,
    vips: Vec<Vec<IpAddr>>,
}

impl VipWatch {
    /// Listens from now on.
    pub fn new(groups: &[Vec<Vip>], own: u32) -> io::Result<VipWatch> {
        let channel = Channel::listen(netlink_sys::protocols::NETLINK_ROUTE, &[RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR])?;
        channel.deaf_to(own)?;
        let vips = groups.iter().map(|vips| vips.iter().map(|vip| vip.address).collect()).collect();
        Ok(VipWatch { channel, vips })
    }

    /// Waits for events; the groups that lost an address by them. When events were lost: all groups, to be looked at. None
    /// when there were none and the other end of this pipe is closed.
    pub fn wait(&mut self, end: &PipeReader) -> io::Result<Option<Vec<usize>>> {
        let messages = match self.channel.hear::<RouteNetlinkMessage>(end)? {
            Heard::Ended => return Ok(None),
            Heard::Nothing => return Ok(Some(Vec::new())),
            Heard::Lost => return Ok(Some((0..self.vips.len()).collect())),
            Heard::Messages(messages) => messages,
        };
        let mut groups: Vec<usize> = Vec::new();
        for (_, message) in messages {
            let RouteNetlinkMessage::DelAddress(deleted) = message else { continue };
            let address = address_of(&deleted);
            groups.extend(
                self.vips.iter().enumerate().filter(|(_, vips)| vips.iter().any(|v| Some(*v) == address)).map(|(g, _)| g),
            );
        }
        groups.dedup();
        Ok(Some(groups))
    }
}

fn wanted(vip: &Vip, index: u32, lifetime: Span) -> AddressMessage {
    let seconds = u32::try_from(lifetime.0.div_ceil(1_000_000_000)).unwrap_or(u32::MAX - 1).max(2);
    let mut cache = CacheInfo::default();
    // Deprecated from the start (RFC 4862): in IPv6 an address that is preferred becomes the source of this node's own connections
    // into its network, and they end when it moves.
    cache.ifa_preferred = if vip.address.is_ipv4() { seconds } else { 0 };
    cache.ifa_valid = seconds;
    let mut message = AddressMessage::default();
    message.header.family = family(vip.address);
    message.header.prefix_len = bits(vip.address);
    message.header.scope = AddressScope::Universe;
    message.header.index = index;
    message.attributes = vec![
        AddressAttribute::Local(vip.address),
        AddressAttribute::Address(vip.address),
        AddressAttribute::Flags(AddressFlags::Nodad | AddressFlags::Noprefixroute),
        AddressAttribute::CacheInfo(cache),
        AddressAttribute::Protocol(AddressProtocol::Other(PROTOCOL)),
    ];
    if let (true, Some(label)) = (vip.address.is_ipv4(), &vip.label) {
        message.attributes.push(AddressAttribute::Label(label.chars().take(15).collect()));
    }
    message
}

fn naming(there: &Present) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(there.address);
    message.header.prefix_len = there.prefix;
    message.header.index = there.index;
    message.attributes = vec![AddressAttribute::Local(there.address)];
    message
}

fn route(vip: &Vip, index: u32) -> RouteMessage {
    let network = network(vip.address, vip.prefix);
    let mut message = RouteMessage::default();
    message.header.address_family = family(vip.address);
    message.header.destination_prefix_length = vip.prefix;
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Other(PROTOCOL);
    message.header.scope = if vip.address.is_ipv4() { RouteScope::Link } else { RouteScope::Universe };
    message.header.kind = RouteType::Unicast;
    let destination = match network {
        IpAddr::V4(network) => RouteAddress::Inet(network),
        IpAddr::V6(network) => RouteAddress::Inet6(network),
    };
    message.attributes = vec![RouteAttribute::Destination(destination), RouteAttribute::Oif(index)];
    message
}

fn present(answer: &RouteNetlinkMessage) -> Option<Present> {
    let RouteNetlinkMessage::NewAddress(message) = answer else { return None };
    let mut there = Present {
        address: address_of(message)?,
        prefix: message.header.prefix_len,
        index: message.header.index,
        valid: u32::MAX,
        ours: false,
    };
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::CacheInfo(cache) => there.valid = cache.ifa_valid,
            AddressAttribute::Protocol(AddressProtocol::Other(PROTOCOL)) => there.ours = true,
            _ => {}
        }
    }
    Some(there)
}

/// IFA_LOCAL where there is one, else IFA_ADDRESS: on a point-to-point interface the latter is the other end's.
fn address_of(message: &AddressMessage) -> Option<IpAddr> {
    let local = message.attributes.iter().find_map(|a| if let AddressAttribute::Local(ip) = a { Some(*ip) } else { None });
    local.or_else(|| message.attributes.iter().find_map(|a| if let AddressAttribute::Address(ip) = a { Some(*ip) } else { None }))
}

fn index(interface: &str) -> io::Result<u32> {
    nix::net::if_::if_nametoindex(interface).map_err(|_| io::Error::other(format!("there is no interface {interface}")))
}

/// Whether the interface can have no IPv6 address.
fn ipv6_off(interface: &str) -> bool {
    std::fs::read_to_string(format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6")).map_or(true, |text| text.trim() != "0")
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn network(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(a) => {
            IpAddr::V4((a.to_bits() & u32::MAX.checked_shl(32_u32.saturating_sub(u32::from(prefix))).unwrap_or(0)).into())
        }
        IpAddr::V6(a) => {
            IpAddr::V6((a.to_bits() & u128::MAX.checked_shl(128_u32.saturating_sub(u32::from(prefix))).unwrap_or(0)).into())
        }
    }
}

fn same_network(one: IpAddr, other: IpAddr, prefix: u8) -> bool {
    one.is_ipv4() == other.is_ipv4() && network(one, prefix) == network(other, prefix)
}

/// Marks our addresses (IFA_PROTO) and routes (RTM protocol): `t` of twinbeat.
const PROTOCOL: u8 = 0x74;
/// Lifetimes are told in whole seconds, rounded down.
const REFRESH_MARGIN: Span = Span::millis(10);
const PER_DATAGRAM: usize = 200;
const RTNLGRP_IPV4_IFADDR: u32 = 5;
const RTNLGRP_IPV6_IFADDR: u32 = 9;

#[cfg(test)]
#[path = "vip_tests.rs"]
mod tests;
