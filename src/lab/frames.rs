//! The observer's frames: a neighbour question (ARP, or a solicitation) and a UDP datagram for the VIP, each addressed to one node's MAC, and
//! what an answer says.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result, bail};
use pnet::packet::arp::{ArpHardwareTypes, ArpOperations, ArpPacket, MutableArpPacket};
use pnet::packet::ethernet::{EtherTypes, EthernetPacket, MutableEthernetPacket};
use pnet::packet::icmpv6::{Icmpv6Packet, Icmpv6Types, MutableIcmpv6Packet, checksum};
use pnet::packet::ip::{IpNextHeaderProtocol, IpNextHeaderProtocols};
use pnet::packet::ipv4::{self, Ipv4Packet, MutableIpv4Packet};
use pnet::packet::ipv6::{Ipv6Packet, MutableIpv6Packet};
use pnet::packet::udp::{self, MutableUdpPacket, UdpPacket};
use pnet::packet::{MutablePacket, Packet};
use pnet::util::MacAddr;

use super::responder::PORT;
use twinbeat_core::id::Mac;

/// What a frame that came back says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// "The VIP is at my MAC", by ARP or neighbour advertisement.
    Neighbour(Mac),
    /// The datagram with this number came back from the VIP, in a frame from this MAC.
    Udp(Mac, u64),
}

/// Asks one MAC alone: who has `vip`? By unicast, so that the other node never hears it.
pub fn neighbour_question(from: (Mac, IpAddr), to: Mac, vip: IpAddr) -> Result<Vec<u8>> {
    match (from.1, vip) {
        (IpAddr::V4(own), IpAddr::V4(vip)) => arp_question((from.0, own), to, vip),
        (IpAddr::V6(own), IpAddr::V6(vip)) => solicitation((from.0, own), to, vip),
        _ => bail!("the observer has no address of the VIP's family"),
    }
}

/// A datagram to `vip` with a number in it, handed to one MAC.
pub fn udp_question(from: (Mac, IpAddr), to: Mac, vip: IpAddr, number: u64) -> Result<Vec<u8>> {
    let mut datagram = [0u8; UDP + 8];
    let mut packet = MutableUdpPacket::new(&mut datagram).context("udp")?;
    packet.set_source(PORT);
    packet.set_destination(PORT);
    packet.set_length((UDP + 8) as u16);
    packet.set_payload(&number.to_be_bytes());
    let sum = match (from.1, vip) {
        (IpAddr::V4(own), IpAddr::V4(vip)) => udp::ipv4_checksum(&packet.to_immutable(), &own, &vip),
        (IpAddr::V6(own), IpAddr::V6(vip)) => udp::ipv6_checksum(&packet.to_immutable(), &own, &vip),
        _ => bail!("the observer has no address of the VIP's family"),
    };
    packet.set_checksum(sum);
    ip_frame(from, to, vip, IpNextHeaderProtocols::Udp, &datagram)
}

/// A datagram from and to the same port on both sides, as heartbeats are.
pub fn datagram(from: (Mac, IpAddr), to: (Mac, IpAddr), port: u16, payload: &[u8]) -> Result<Vec<u8>> {
    let mut datagram = vec![0u8; UDP + payload.len()];
    let mut packet = MutableUdpPacket::new(&mut datagram).context("udp")?;
    packet.set_source(port);
    packet.set_destination(port);
    packet.set_length((UDP + payload.len()) as u16);
    packet.set_payload(payload);
    let sum = match (from.1, to.1) {
        (IpAddr::V4(own), IpAddr::V4(dest)) => udp::ipv4_checksum(&packet.to_immutable(), &own, &dest),
        (IpAddr::V6(own), IpAddr::V6(dest)) => udp::ipv6_checksum(&packet.to_immutable(), &own, &dest),
        _ => bail!("two families in one packet"),
    };
    packet.set_checksum(sum);
    ip_frame(from, to.0, to.1, IpNextHeaderProtocols::Udp, &datagram)
}

/// The destination port of a UDP datagram in a frame.
pub fn udp_port(frame: &[u8]) -> Option<u16> {
    let eth = EthernetPacket::new(frame)?;
    let port = |body: &[u8]| UdpPacket::new(body).map(|datagram| datagram.get_destination());
    match eth.get_ethertype() {
        EtherTypes::Ipv4 => {
            let ip = Ipv4Packet::new(eth.payload())?;
            (ip.get_next_level_protocol() == IpNextHeaderProtocols::Udp).then(|| port(ip.payload())).flatten()
        }
        EtherTypes::Ipv6 => {
            let ip = Ipv6Packet::new(eth.payload())?;
            (ip.get_next_header() == IpNextHeaderProtocols::Udp).then(|| port(ip.payload())).flatten()
        }
        _ => None,
    }
}

/// RFC 826.
fn arp_question(from: (Mac, Ipv4Addr), to: Mac, vip: Ipv4Addr) -> Result<Vec<u8>> {
    let mut frame = ethernet(from.0, to, EtherTypes::Arp, ARP)?;
    let mut eth = MutableEthernetPacket::new(&mut frame).context("frame")?;
    let mut arp = MutableArpPacket::new(eth.payload_mut()).context("arp")?;
    arp.set_hardware_type(ArpHardwareTypes::Ethernet);
    arp.set_protocol_type(EtherTypes::Ipv4);
    arp.set_hw_addr_len(6);
    arp.set_proto_addr_len(4);
    arp.set_operation(ArpOperations::Request);
    arp.set_sender_hw_addr(pnet(from.0));
    arp.set_sender_proto_addr(from.1);
    arp.set_target_proto_addr(vip);
    Ok(frame)
}

/// RFC 4861 4.3, with the sender's MAC as its option.
fn solicitation(from: (Mac, Ipv6Addr), to: Mac, vip: Ipv6Addr) -> Result<Vec<u8>> {
    let mut message = vec![0u8; 8];
    message.extend(vip.octets());
    message.extend([1, 1]);
    message.extend(from.0.0);
    let mut icmp = MutableIcmpv6Packet::new(&mut message).context("icmpv6")?;
    icmp.set_icmpv6_type(Icmpv6Types::NeighborSolicit);
    let sum = checksum(&icmp.to_immutable(), &from.1, &vip);
    icmp.set_checksum(sum);
    ip_frame((from.0, from.1.into()), to, vip.into(), IpNextHeaderProtocols::Icmpv6, &message)
}

/// What a received frame says about `vip`; anything else is `None`.
pub fn read(frame: &[u8], vip: IpAddr) -> Option<Answer> {
    let eth = EthernetPacket::new(frame)?;
    let mac = core_mac(eth.get_source());
    match (eth.get_ethertype(), vip) {
        (EtherTypes::Arp, IpAddr::V4(vip)) => {
            let arp = ArpPacket::new(eth.payload())?;
            let says = arp.get_operation() == ArpOperations::Reply && arp.get_sender_proto_addr() == vip;
            says.then(|| Answer::Neighbour(core_mac(arp.get_sender_hw_addr())))
        }
        (EtherTypes::Ipv4, IpAddr::V4(vip)) => {
            let ip = Ipv4Packet::new(eth.payload())?;
            let ours = ip.get_source() == vip && ip.get_next_level_protocol() == IpNextHeaderProtocols::Udp;
            ours.then(|| numbered(ip.payload())).flatten().map(|number| Answer::Udp(mac, number))
        }
        (EtherTypes::Ipv6, IpAddr::V6(vip)) => {
            let ip = Ipv6Packet::new(eth.payload())?;
            match ip.get_next_header() {
                IpNextHeaderProtocols::Udp if ip.get_source() == vip => {
                    numbered(ip.payload()).map(|number| Answer::Udp(mac, number))
                }
                IpNextHeaderProtocols::Icmpv6 => {
                    let icmp = Icmpv6Packet::new(ip.payload())?;
                    let target: [u8; 16] = icmp.payload().get(4..20)?.try_into().ok()?;
                    let says = icmp.get_icmpv6_type() == Icmpv6Types::NeighborAdvert && Ipv6Addr::from(target) == vip;
                    says.then_some(Answer::Neighbour(mac))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// The number in a datagram of the probe.
fn numbered(datagram: &[u8]) -> Option<u64> {
    let datagram = UdpPacket::new(datagram)?;
    let number = datagram.payload().first_chunk::<8>()?;
    (datagram.get_source() == PORT).then(|| u64::from_be_bytes(*number))
}

/// An IP packet in a frame; the hop limit is what neighbour discovery demands.
fn ip_frame(from: (Mac, IpAddr), to: Mac, dest: IpAddr, protocol: IpNextHeaderProtocol, payload: &[u8]) -> Result<Vec<u8>> {
    match (from.1, dest) {
        (IpAddr::V4(own), IpAddr::V4(dest)) => {
            let mut frame = ethernet(from.0, to, EtherTypes::Ipv4, IPV4 + payload.len())?;
            let mut eth = MutableEthernetPacket::new(&mut frame).context("frame")?;
            let mut ip = MutableIpv4Packet::new(eth.payload_mut()).context("ip")?;
            ip.set_version(4);
            ip.set_header_length(5);
            ip.set_total_length((IPV4 + payload.len()) as u16);
            ip.set_ttl(255);
            ip.set_next_level_protocol(protocol);
            ip.set_source(own);
            ip.set_destination(dest);
            ip.set_payload(payload);
            let sum = ipv4::checksum(&ip.to_immutable());
            ip.set_checksum(sum);
            Ok(frame)
        }
        (IpAddr::V6(own), IpAddr::V6(dest)) => {
            let mut frame = ethernet(from.0, to, EtherTypes::Ipv6, IPV6 + payload.len())?;
            let mut eth = MutableEthernetPacket::new(&mut frame).context("frame")?;
            let mut ip = MutableIpv6Packet::new(eth.payload_mut()).context("ip")?;
            ip.set_version(6);
            ip.set_payload_length(payload.len() as u16);
            ip.set_next_header(protocol);
            ip.set_hop_limit(255);
            ip.set_source(own);
            ip.set_destination(dest);
            ip.set_payload(payload);
            Ok(frame)
        }
        _ => bail!("two families in one packet"),
    }
}

fn ethernet(from: Mac, to: Mac, kind: pnet::packet::ethernet::EtherType, payload: usize) -> Result<Vec<u8>> {
    let mut frame = vec![0u8; ETHERNET + payload];
    let mut eth = MutableEthernetPacket::new(&mut frame).context("frame")?;
    eth.set_source(pnet(from));
    eth.set_destination(pnet(to));
    eth.set_ethertype(kind);
    Ok(frame)
}

fn pnet(mac: Mac) -> MacAddr {
    MacAddr::from(mac.0)
}

fn core_mac(mac: MacAddr) -> Mac {
    Mac(mac.octets())
}

const ETHERNET: usize = 14;
const ARP: usize = 28;
const IPV4: usize = 20;
const IPV6: usize = 40;
const UDP: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    const MINE: Mac = Mac([2, 0, 0, 0, 0, 9]);
    const NODE: Mac = Mac([2, 0, 0, 0, 0, 1]);

    /// Own address and VIP, of either family.
    fn pairs() -> [(IpAddr, IpAddr); 2] {
        [("10.0.0.9", "10.0.0.14"), ("fd00::9", "fd00::14")].map(|(own, vip)| (own.parse().unwrap(), vip.parse().unwrap()))
    }

    #[test]
    fn a_question_goes_to_one_mac_and_is_no_answer() {
        for (own, vip) in pairs() {
            for frame in [neighbour_question((MINE, own), NODE, vip).unwrap(), udp_question((MINE, own), NODE, vip, 7).unwrap()] {
                assert_eq!(frame[..6], NODE.0);
                assert_eq!(read(&frame, vip), None);
            }
        }
    }

    #[test]
    fn an_answer_names_the_node_that_gave_it() {
        for (own, vip) in pairs() {
            // As the node would frame it: its MAC, the VIP as the source, the same number.
            let frame = udp_question((NODE, vip), MINE, own, 77).unwrap();
            assert_eq!(read(&frame, vip), Some(Answer::Udp(NODE, 77)));
            assert_eq!(read(&frame, own), None, "an answer for another address");
        }
        let [(own4, vip4), (own6, vip6)] = pairs();
        let mut frame = neighbour_question((NODE, vip4), MINE, own4).unwrap();
        frame[21] = 2; // operation: reply
        assert_eq!(read(&frame, vip4), Some(Answer::Neighbour(NODE)));
        assert_eq!(read(&frame, own4), None, "an answer for another address");
        let mut frame = neighbour_question((NODE, own6), MINE, vip6).unwrap();
        frame[54] = 136; // an advertisement, for its target
        assert_eq!(read(&frame, vip6), Some(Answer::Neighbour(NODE)));
    }

    #[test]
    fn short_frames_are_refused_quietly() {
        for (own, vip) in pairs() {
            let frame = udp_question((NODE, vip), MINE, own, 77).unwrap();
            for length in 0..frame.len() {
                assert_eq!(read(&frame[..length], vip), None, "{length} bytes");
            }
        }
    }
}
