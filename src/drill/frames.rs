//! The observer's frames: an ARP question and a UDP datagram for the VIP, each addressed to one node's MAC, and what an answer says.

use std::net::Ipv4Addr;

use anyhow::{Context, Result};
use pnet::packet::arp::{ArpHardwareTypes, ArpOperations, ArpPacket, MutableArpPacket};
use pnet::packet::ethernet::{EtherTypes, EthernetPacket, MutableEthernetPacket};
use pnet::packet::ip::IpNextHeaderProtocols;
use pnet::packet::ipv4::{self, Ipv4Packet, MutableIpv4Packet};
use pnet::packet::udp::{self, MutableUdpPacket, UdpPacket};
use pnet::packet::{MutablePacket, Packet};
use pnet::util::MacAddr;

use super::responder::PORT;
use crate::core::id::Mac;

/// What a frame that came back says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// "The VIP is at my MAC", by ARP.
    Arp(Mac),
    /// The datagram with this number came back from the VIP, in a frame from this MAC.
    Udp(Mac, u64),
}

/// Asks one MAC alone: who has `vip`? (RFC 826; unicast, so that the other node never hears it.)
pub fn arp_question(from: (Mac, Ipv4Addr), to: Mac, vip: Ipv4Addr) -> Result<Vec<u8>> {
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

/// A datagram to `vip` with a number in it, handed to one MAC.
pub fn udp_question(from: (Mac, Ipv4Addr), to: Mac, vip: Ipv4Addr, number: u64) -> Result<Vec<u8>> {
    let mut frame = ethernet(from.0, to, EtherTypes::Ipv4, IPV4 + UDP + 8)?;
    let mut eth = MutableEthernetPacket::new(&mut frame).context("frame")?;
    let mut ip = MutableIpv4Packet::new(eth.payload_mut()).context("ip")?;
    ip.set_version(4);
    ip.set_header_length(5);
    ip.set_total_length((IPV4 + UDP + 8) as u16);
    ip.set_ttl(64);
    ip.set_next_level_protocol(IpNextHeaderProtocols::Udp);
    ip.set_source(from.1);
    ip.set_destination(vip);
    let mut datagram = MutableUdpPacket::new(ip.payload_mut()).context("udp")?;
    datagram.set_source(PORT);
    datagram.set_destination(PORT);
    datagram.set_length((UDP + 8) as u16);
    datagram.set_payload(&number.to_be_bytes());
    let sum = udp::ipv4_checksum(&datagram.to_immutable(), &from.1, &vip);
    datagram.set_checksum(sum);
    let sum = ipv4::checksum(&ip.to_immutable());
    ip.set_checksum(sum);
    Ok(frame)
}

/// What a received frame says about `vip`; anything else is `None`.
pub fn read(frame: &[u8], vip: Ipv4Addr) -> Option<Answer> {
    let eth = EthernetPacket::new(frame)?;
    let mac = core_mac(eth.get_source());
    match eth.get_ethertype() {
        EtherTypes::Arp => {
            let arp = ArpPacket::new(eth.payload())?;
            let says = arp.get_operation() == ArpOperations::Reply && arp.get_sender_proto_addr() == vip;
            says.then(|| Answer::Arp(core_mac(arp.get_sender_hw_addr())))
        }
        EtherTypes::Ipv4 => {
            let ip = Ipv4Packet::new(eth.payload())?;
            if ip.get_source() != vip || ip.get_next_level_protocol() != IpNextHeaderProtocols::Udp {
                return None;
            }
            let datagram = UdpPacket::new(ip.payload())?;
            let number = datagram.payload().first_chunk::<8>()?;
            (datagram.get_source() == PORT).then(|| Answer::Udp(mac, u64::from_be_bytes(*number)))
        }
        _ => None,
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
const UDP: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    const ME: (Mac, Ipv4Addr) = (Mac([2, 0, 0, 0, 0, 9]), Ipv4Addr::new(10, 0, 0, 9));
    const NODE: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 14);

    #[test]
    fn a_question_goes_to_one_mac_and_is_no_answer() {
        let frame = arp_question(ME, NODE, VIP).unwrap();
        assert_eq!(frame[..6], NODE.0);
        assert_eq!(read(&frame, VIP), None);
        let frame = udp_question(ME, NODE, VIP, 7).unwrap();
        assert_eq!(frame[..6], NODE.0);
        assert_eq!(read(&frame, VIP), None);
    }

    #[test]
    fn an_answer_names_the_node_that_gave_it() {
        // As the node would frame it: its MAC, the VIP as the source, the same number.
        let frame = udp_question((NODE, VIP), ME.0, ME.1, 77).unwrap();
        assert_eq!(read(&frame, VIP), Some(Answer::Udp(NODE, 77)));
        let mut frame = arp_question((NODE, VIP), ME.0, ME.1).unwrap();
        frame[21] = 2; // operation: reply
        assert_eq!(read(&frame, VIP), Some(Answer::Arp(NODE)));
        assert_eq!(read(&frame, ME.1), None, "an answer for another address");
    }

    #[test]
    fn short_frames_are_refused_quietly() {
        let frame = udp_question((NODE, VIP), ME.0, ME.1, 77).unwrap();
        for length in 0..frame.len() {
            assert_eq!(read(&frame[..length], VIP), None, "{length} bytes");
        }
    }
}
