//! ARP (RFC 826, RFC 5227) and neighbour discovery (RFC 4861): the frames of probes, announcements, challenges and answers.
//!
//! Each kind of message is one struct that turns into a frame and is read back from one. Reading refuses whatever is not
//! exactly such a message: wrong lengths, a hop limit other than 255, a wrong checksum. Nothing here sends or decides.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pnet::packet::Packet;
use pnet::packet::arp::{ArpHardwareTypes, ArpOperations, ArpPacket, MutableArpPacket};
use pnet::packet::ethernet::{EtherType, EtherTypes, EthernetPacket, MutableEthernetPacket};
use pnet::packet::icmpv6::{Icmpv6Packet, MutableIcmpv6Packet, checksum};
use pnet::packet::ip::IpNextHeaderProtocols;
use pnet::packet::ipv6::{Ipv6Packet, MutableIpv6Packet};
use pnet::util::MacAddr;

use twinbeat_core::id::Mac;

/// Everybody on the link.
pub const BROADCAST: Mac = Mac([0xff; 6]);

/// All nodes of the link (RFC 4291 2.7.1).
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// A message about who has an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Neighbour {
    /// IPv4.
    Arp(Arp),
    /// IPv6, question.
    Solicitation(Solicitation),
    /// IPv6, answer or announcement.
    Advertisement(Advertisement),
}

/// An ARP message (RFC 826).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arp {
    /// The Ethernet header's source.
    pub from: Mac,
    /// The Ethernet header's destination.
    pub to: Mac,
    /// A request, else a reply.
    pub request: bool,
    /// Who says it.
    pub sender: (Mac, Ipv4Addr),
    /// To whom, or about whom it asks.
    pub target: (Mac, Ipv4Addr),
}

/// A neighbour solicitation (RFC 4861 4.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Solicitation {
    /// The Ethernet header's source.
    pub from: Mac,
    /// The Ethernet header's destination.
    pub to: Mac,
    /// The IP header's source; `::` in a probe.
    pub source: Ipv6Addr,
    /// The IP header's destination.
    pub destination: Ipv6Addr,
    /// Who is asked for.
    pub target: Ipv6Addr,
    /// The source link-layer address option: this is what writes.
    pub link: Option<Mac>,
}

/// A neighbour advertisement (RFC 4861 4.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Advertisement {
    /// The Ethernet header's source.
    pub from: Mac,
    /// The Ethernet header's destination.
    pub to: Mac,
    /// The IP header's source.
    pub source: Ipv6Addr,
    /// The IP header's destination.
    pub destination: Ipv6Addr,
    /// Whose address is told.
    pub target: Ipv6Addr,
    /// The target link-layer address option.
    pub link: Option<Mac>,
    /// It answers a solicitation that had a source.
    pub solicited: bool,
    /// It replaces what the reader knew.
    pub overriding: bool,
}

/// Asks the link who has `address`, without writing anything anywhere (RFC 5227 2.1.1; RFC 4862 5.4.2).
pub fn probe(mine: Mac, address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => {
            let unspecified = (mine, Ipv4Addr::UNSPECIFIED);
            Arp { from: mine, to: BROADCAST, request: true, sender: unspecified, target: (NOBODY, address) }.frame()
        }
        IpAddr::V6(target) => {
            let destination = solicited_node(target);
            let (source, to) = (Ipv6Addr::UNSPECIFIED, multicast_mac(destination));
            Solicitation { from: mine, to, source, destination, target, link: None }.frame()
        }
    }
}

/// Tells the link that `address` is mine: a gratuitous ARP request (RFC 5227 3), an unsolicited advertisement (RFC 4861 7.2.6).
///
/// This changes entries that exist; [`write()`] also makes one.
pub fn gratuitous(mine: Mac, address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => {
            Arp { from: mine, to: BROADCAST, request: true, sender: (mine, address), target: (NOBODY, address) }.frame()
        }
        IpAddr::V6(target) => Advertisement {
            from: mine,
            to: multicast_mac(ALL_NODES),
            source: target,
            destination: ALL_NODES,
            target,
            link: Some(mine),
            solicited: false,
            overriding: true,
        }
        .frame(),
    }
}

/// Asks for `target` as `sender`, which writes "sender -> my MAC" into the target's neighbour table (RFC 826; RFC 4861 7.2.3).
///
/// With `sender` a VIP it is the effective write of LAB 2, with the node's own address the way to learn the target's MAC.
/// `to` is the target's MAC; without it the whole link (or the target's solicited-node group) hears it. None when the two
/// addresses are of different families.
pub fn write(mine: Mac, sender: IpAddr, target: IpAddr, to: Option<Mac>) -> Option<Vec<u8>> {
    write_for(mine, mine, sender, target, to)
}

/// As [`write()`], from this interface and for another MAC: `sender` is at `owner`.
pub fn write_for(mine: Mac, owner: Mac, sender: IpAddr, target: IpAddr, to: Option<Mac>) -> Option<Vec<u8>> {
    match (sender, target) {
        (IpAddr::V4(sender), IpAddr::V4(target)) => {
            let to = to.unwrap_or(BROADCAST);
            Some(Arp { from: mine, to, request: true, sender: (owner, sender), target: (NOBODY, target) }.frame())
        }
        (IpAddr::V6(source), IpAddr::V6(target)) => {
            let group = solicited_node(target);
            let (to, destination) = to.map_or((multicast_mac(group), group), |to| (to, target));
            Some(Solicitation { from: mine, to, source, destination, target, link: Some(owner) }.frame())
        }
        _ => None,
    }
}

impl Neighbour {
    /// Reads a frame; None when it is anything but a well-formed message of these kinds.
    pub fn parse(frame: &[u8]) -> Option<Neighbour> {
        let ethernet = EthernetPacket::new(frame)?;
        let (from, to) = (mac(ethernet.get_source()), mac(ethernet.get_destination()));
        match ethernet.get_ethertype() {
            EtherTypes::Arp => parse_arp(from, to, ethernet.payload()).map(Neighbour::Arp),
            EtherTypes::Ipv6 => parse_discovery(from, to, ethernet.payload()),
            _ => None,
        }
    }
}

impl Arp {
    /// The reply to this request that says that its target is at `mine` (RFC 826).
    pub fn answer(&self, mine: Mac) -> Arp {
        Arp { from: mine, to: self.sender.0, request: false, sender: (mine, self.target.1), target: self.sender }
    }

    /// As an Ethernet frame.
    pub fn frame(&self) -> Vec<u8> {
        let mut body = vec![0; ARP_LENGTH];
        if let Some(mut arp) = MutableArpPacket::new(&mut body) {
            arp.set_hardware_type(ArpHardwareTypes::Ethernet);
            arp.set_protocol_type(EtherTypes::Ipv4);
            arp.set_hw_addr_len(6);
            arp.set_proto_addr_len(4);
            arp.set_operation(if self.request { ArpOperations::Request } else { ArpOperations::Reply });
            arp.set_sender_hw_addr(pnet_mac(self.sender.0));
            arp.set_sender_proto_addr(self.sender.1);
            arp.set_target_hw_addr(pnet_mac(self.target.0));
            arp.set_target_proto_addr(self.target.1);
        }
        ethernet(self.from, self.to, EtherTypes::Arp, &body)
    }
}

impl Solicitation {
    /// The advertisement that answers this solicitation by unicast and says that its target is at `mine` (RFC 4861 7.2.4).
    pub fn answer(&self, mine: Mac) -> Advertisement {
        Advertisement {
            from: mine,
            to: self.link.unwrap_or(self.from),
            source: self.target,
            destination: self.source,
            target: self.target,
            link: Some(mine),
            solicited: true,
            overriding: true,
        }
    }

    /// As an Ethernet frame.
    pub fn frame(&self) -> Vec<u8> {
        let body = discovery(self.source, self.destination, (SOLICITATION, 0), self.target, self.link.map(|mac| (1, mac)));
        ethernet(self.from, self.to, EtherTypes::Ipv6, &body)
    }
}

impl Advertisement {
    /// As an Ethernet frame.
    pub fn frame(&self) -> Vec<u8> {
        let flags = if self.solicited { FLAG_SOLICITED } else { 0 } | if self.overriding { FLAG_OVERRIDE } else { 0 };
        let body = discovery(self.source, self.destination, (ADVERTISEMENT, flags), self.target, self.link.map(|mac| (2, mac)));
        ethernet(self.from, self.to, EtherTypes::Ipv6, &body)
    }
}

/// The group that hears questions for an address (RFC 4291 2.7.1).
pub fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    const PREFIX: u128 = 0xff02_0000_0000_0000_0000_0001_ff00_0000;
    Ipv6Addr::from(PREFIX | (u128::from(address) & 0x00ff_ffff))
}

/// The Ethernet address of an IPv6 multicast group (RFC 2464 7).
pub fn multicast_mac(group: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = group.octets();
    Mac([0x33, 0x33, a, b, c, d])
}

/// Puts an Ethernet header before a payload.
pub(super) fn ethernet(from: Mac, to: Mac, ethertype: EtherType, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; payload.len().saturating_add(ETHERNET_LENGTH)];
    if let Some(mut packet) = MutableEthernetPacket::new(&mut frame) {
        packet.set_source(pnet_mac(from));
        packet.set_destination(pnet_mac(to));
        packet.set_ethertype(ethertype);
        packet.set_payload(payload);
    }
    frame
}

/// Puts an IPv6 header before an ICMPv6 message and fills in the message's checksum (RFC 4443 2.3).
pub(super) fn icmpv6(source: Ipv6Addr, destination: Ipv6Addr, hop_limit: u8, message: &mut [u8]) -> Vec<u8> {
    if let Some(mut icmp) = MutableIcmpv6Packet::new(message) {
        icmp.set_checksum(0);
        let sum = checksum(&icmp.to_immutable(), &source, &destination);
        icmp.set_checksum(sum);
    }
    let mut body = vec![0; message.len().saturating_add(IPV6_LENGTH)];
    if let Some(mut ip) = MutableIpv6Packet::new(&mut body) {
        ip.set_version(6);
        ip.set_payload_length(message.len() as u16);
        ip.set_next_header(IpNextHeaderProtocols::Icmpv6);
        ip.set_hop_limit(hop_limit);
        ip.set_source(source);
        ip.set_destination(destination);
        ip.set_payload(message);
    }
    body
}

/// What an IPv6 packet with a plain, whole, correct ICMPv6 message in it says.
pub(super) struct Icmpv6<'a> {
    pub(super) source: Ipv6Addr,
    pub(super) destination: Ipv6Addr,
    pub(super) hop_limit: u8,
    pub(super) message: &'a [u8],
}

/// Reads such a packet; extension headers are refused (RFC 6980 forbids fragments here, nothing else needs any).
pub(super) fn parse_icmpv6(packet: &[u8]) -> Option<Icmpv6<'_>> {
    let ip = Ipv6Packet::new(packet)?;
    if ip.get_version() != 6 || ip.get_next_header() != IpNextHeaderProtocols::Icmpv6 {
        return None;
    }
    // Short frames are padded: the header says where the message ends.
    let message = packet.get(IPV6_LENGTH..IPV6_LENGTH + usize::from(ip.get_payload_length()))?;
    let icmp = Icmpv6Packet::new(message)?;
    let (source, destination) = (ip.get_source(), ip.get_destination());
    if icmp.get_checksum() != checksum(&icmp, &source, &destination) {
        return None;
    }
    Some(Icmpv6 { source, destination, hop_limit: ip.get_hop_limit(), message })
}

/// As the daemon writes it.
pub(super) fn mac(address: MacAddr) -> Mac {
    Mac([address.0, address.1, address.2, address.3, address.4, address.5])
}

fn pnet_mac(Mac([a, b, c, d, e, f]): Mac) -> MacAddr {
    MacAddr::new(a, b, c, d, e, f)
}

fn parse_arp(from: Mac, to: Mac, body: &[u8]) -> Option<Arp> {
    let arp = ArpPacket::new(body)?;
    let sound = arp.get_hardware_type() == ArpHardwareTypes::Ethernet
        && arp.get_protocol_type() == EtherTypes::Ipv4
        && arp.get_hw_addr_len() == 6
        && arp.get_proto_addr_len() == 4;
    let request = match arp.get_operation() {
        ArpOperations::Request => true,
        ArpOperations::Reply => false,
        _ => return None,
    };
    sound.then(|| Arp {
        from,
        to,
        request,
        sender: (mac(arp.get_sender_hw_addr()), arp.get_sender_proto_addr()),
        target: (mac(arp.get_target_hw_addr()), arp.get_target_proto_addr()),
    })
}

/// The checks of RFC 4861 7.1.1 and 7.1.2.
fn parse_discovery(from: Mac, to: Mac, body: &[u8]) -> Option<Neighbour> {
    let Icmpv6 { source, destination, hop_limit: 255, message } = parse_icmpv6(body)? else { return None };
    let [kind, 0, _, _, flags, _, _, _, rest @ ..] = message else { return None };
    let (target, options) = rest.split_first_chunk::<16>()?;
    let target = Ipv6Addr::from(*target);
    if target.is_multicast() {
        return None;
    }
    match *kind {
        SOLICITATION => {
            let link = link_option(options, 1)?;
            // A probe has no source, goes to a group, and carries no address.
            let sound = !source.is_unspecified() || (destination.is_multicast() && link.is_none());
            sound.then_some(Neighbour::Solicitation(Solicitation { from, to, source, destination, target, link }))
        }
        ADVERTISEMENT => {
            let link = link_option(options, 2)?;
            let (solicited, overriding) = (flags & FLAG_SOLICITED != 0, flags & FLAG_OVERRIDE != 0);
            let sound = !(solicited && destination.is_multicast());
            sound.then_some(Neighbour::Advertisement(Advertisement {
                from,
                to,
                source,
                destination,
                target,
                link,
                solicited,
                overriding,
            }))
        }
        _ => None,
    }
}

/// The Ethernet address in the first option of a kind (RFC 4861 4.6.1); the outer None means that the options are no options.
fn link_option(mut options: &[u8], wanted: u8) -> Option<Option<Mac>> {
    let mut found = None;
    while let [kind, units, ..] = options {
        let (option, rest) = options.split_at_checked(usize::from(*units) * 8).filter(|(option, _)| !option.is_empty())?;
        if let ([_, 1, a, b, c, d, e, f], None, true) = (option, found, *kind == wanted) {
            found = Some(Mac([*a, *b, *c, *d, *e, *f]));
        }
        options = rest;
    }
    options.is_empty().then_some(found)
}

/// An IPv6 packet with a solicitation or advertisement in it.
fn discovery(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    (kind, flags): (u8, u8),
    target: Ipv6Addr,
    option: Option<(u8, Mac)>,
) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, flags, 0, 0, 0];
    message.extend(target.octets());
    if let Some((kind, mac)) = option {
        message.extend([kind, 1]);
        message.extend(mac.0);
    }
    icmpv6(source, destination, 255, &mut message)
}

const NOBODY: Mac = Mac([0; 6]);
const ETHERNET_LENGTH: usize = 14;
const ARP_LENGTH: usize = 28;
pub(super) const IPV6_LENGTH: usize = 40;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const FLAG_SOLICITED: u8 = 0x40;
const FLAG_OVERRIDE: u8 = 0x20;

#[cfg(test)]
#[path = "neighbour_tests.rs"]
mod tests;
