//! Raw echoes: ICMP (RFC 792) and ICMPv6 (RFC 4443 4) echo requests as whole frames, with a source of our choice.
//!
//! An ordinary socket can send neither from an address that this node does not have nor without asking for the witness by ARP,
//! which would be a write. So the frame is made here, to the witness's known MAC, and the reply goes wherever the witness's
//! neighbour table says: that is the point. The payload names the node and the life that sent it, which tells one's own
//! echoes that came back from those that another node sent and the table delivered here.
//!
//! A reply counts only when its Ethernet destination is this interface: a switch that floods an unknown unicast frame shows
//! us replies that are not for us. Nor does one count that another machine forwarded ([`Reply::is_first_hand`]).

use std::net::{IpAddr, Ipv4Addr};

use pnet::packet::ethernet::{EtherTypes, EthernetPacket};
use pnet::packet::ip::IpNextHeaderProtocols;
use pnet::packet::ipv4::{self, Ipv4Flags, Ipv4Packet, MutableIpv4Packet};
use pnet::util::checksum;

use super::neighbour::{Icmpv6, ethernet, icmpv6, mac, parse_icmpv6};
use super::packet::ECHO_MAGIC;
use twinbeat_core::id::{GroupId, Mac, NodeId};
use twinbeat_core::io::EchoKind;

/// The longest heartbeat frame that goes into an echo: with IPv6 it fits into the smallest MTU.
pub const FRAME_MAX: usize = twinbeat_wire::MOST_IN_ECHO;

/// What an echo's payload says about itself, before the heartbeat frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tag {
    /// Why it was sent.
    pub purpose: Purpose,
    /// Who sent it.
    pub sender: NodeId,
    /// A random number of the sender's life: a reply to an earlier life, or an invented one, does not have it.
    pub life: u64,
    /// The number that the sender gave it.
    pub number: u64,
}

/// Why a raw echo was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// As the owner, from the guard VIP (SAFETY R2).
    Vip(GroupId),
    /// As a challenger, from the guard VIP (SAFETY R4.4).
    Challenge(GroupId),
    /// The negative control, from the guard VIP (SAFETY R2).
    Control(GroupId),
    /// From the peer's own address: the witness carries a heartbeat (SAFETY R4a).
    Relay,
    /// From the peer's own address, by `check`: does the reply follow the sender instead of the witness's table? It must not
    /// come back; the peer takes no notice of it.
    Inquiry,
    /// From the own address to a MAC that is said to be the witness's: is it?
    Verify,
}

/// An echo request's way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    /// My MAC.
    pub from: Mac,
    /// The witness's MAC.
    pub to: Mac,
    /// Whose reply it is to be: the VIP, or the peer.
    pub source: IpAddr,
    /// The witness.
    pub witness: IpAddr,
}

/// A well-formed echo reply with the daemon's magic in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply<'a> {
    /// The Ethernet header's source.
    pub from: Mac,
    /// The Ethernet header's destination; nothing is proved by a reply to somebody else's.
    pub to: Mac,
    /// The witness that answered.
    pub source: IpAddr,
    /// To whom: the VIP, or this node's own address.
    pub destination: IpAddr,
    /// The hops that the packet has left (TTL, hop limit).
    pub hops: u8,
    /// What the request said about itself.
    pub tag: Tag,
    /// The heartbeat frame that it carried.
    pub frame: &'a [u8],
}

impl Purpose {
    /// The purpose of an echo of the core's; None for those from the own address, which are no raw echoes.
    pub fn of(kind: EchoKind) -> Option<Purpose> {
        match kind {
            EchoKind::Own | EchoKind::Inquiry => None,
            EchoKind::Vip(group) => Some(Purpose::Vip(group)),
            EchoKind::Challenge(group) => Some(Purpose::Challenge(group)),
            EchoKind::Control(group) => Some(Purpose::Control(group)),
        }
    }

    /// The core's name for it; None for the relay, for inquiries and for those that ask a MAC.
    pub fn kind(self) -> Option<EchoKind> {
        match self {
            Purpose::Vip(group) => Some(EchoKind::Vip(group)),
            Purpose::Challenge(group) => Some(EchoKind::Challenge(group)),
            Purpose::Control(group) => Some(EchoKind::Control(group)),
            Purpose::Relay | Purpose::Inquiry | Purpose::Verify => None,
        }
    }

    fn bytes(self) -> [u8; 2] {
        match self {
            Purpose::Vip(group) => [1, group.0],
            Purpose::Challenge(group) => [2, group.0],
            Purpose::Control(group) => [3, group.0],
            Purpose::Relay => [4, 0],
            Purpose::Inquiry => [5, 0],
            Purpose::Verify => [6, 0],
        }
    }

    fn read(bytes: [u8; 2]) -> Option<Purpose> {
        match bytes {
            [1, group] => Some(Purpose::Vip(GroupId(group))),
            [2, group] => Some(Purpose::Challenge(GroupId(group))),
            [3, group] => Some(Purpose::Control(GroupId(group))),
            [4, 0] => Some(Purpose::Relay),
            [5, 0] => Some(Purpose::Inquiry),
            [6, 0] => Some(Purpose::Verify),
            _ => None,
        }
    }
}

impl Reply<'_> {
    /// Whether the witness itself put it on the wire: from its known MAC, or with the hops that a sender starts with.
    ///
    /// The other node, if it forwards packets and its gate does not drop this one, sends the owner's own echo on to it,
    /// although the table no longer names the owner. That costs a hop and shows its MAC. The MAC alone would refuse the
    /// gateways that answer from another one than ARP tells (virtual router addresses).
    pub fn is_first_hand(&self, witness: Option<Mac>) -> bool {
        witness == Some(self.from) || matches!(self.hops, 32 | 64 | 128 | 255)
    }
}

/// So much of an echo's payload is not the heartbeat: what an own echo must add to be as long.
pub const PAYLOAD_BESIDE: usize = TAG_LENGTH;

/// The frame of an echo request. None when the route's addresses are of different families or the frame is longer than
/// [`FRAME_MAX`].
pub fn request(route: &Route, tag: &Tag, frame: &[u8]) -> Option<Vec<u8>> {
    if frame.len() > FRAME_MAX {
        return None;
    }
    match (route.source, route.witness) {
        (IpAddr::V4(source), IpAddr::V4(witness)) => {
            let mut message = message(ECHO_REQUEST_V4, tag, frame);
            let sum = checksum(&message, 1);
            message.splice(2..4, sum.to_be_bytes());
            Some(ethernet(route.from, route.to, EtherTypes::Ipv4, &ipv4(source, witness, &message)))
        }
        (IpAddr::V6(source), IpAddr::V6(witness)) => {
            let mut message = message(ECHO_REQUEST_V6, tag, frame);
            Some(ethernet(route.from, route.to, EtherTypes::Ipv6, &icmpv6(source, witness, HOPS, &mut message)))
        }
        _ => None,
    }
}

/// Reads an echo reply; None when the frame is anything else, is damaged, or does not have the magic.
pub fn parse_reply(frame: &[u8]) -> Option<Reply<'_>> {
    let ethernet = EthernetPacket::new(frame)?;
    let (from, to) = (mac(ethernet.get_source()), mac(ethernet.get_destination()));
    let packet = frame.get(EthernetPacket::minimum_packet_size()..)?;
    let (source, destination, hops, wanted, message) = match ethernet.get_ethertype() {
        EtherTypes::Ipv4 => {
            let (source, destination, hops, message) = parse_ipv4(packet)?;
            (IpAddr::V4(source), IpAddr::V4(destination), hops, ECHO_REPLY_V4, message)
        }
        EtherTypes::Ipv6 => {
            let Icmpv6 { source, destination, hop_limit, message } = parse_icmpv6(packet)?;
            (IpAddr::V6(source), IpAddr::V6(destination), hop_limit, ECHO_REPLY_V6, message)
        }
        _ => return None,
    };
    let (header, payload) = message.split_first_chunk::<ICMP_HEADER>()?;
    if header[..2] != [wanted, 0] {
        return None;
    }
    let (tag, frame) = read_tag(payload)?;
    Some(Reply { from, to, source, destination, hops, tag, frame })
}

/// An ICMP echo message; both families lay it out alike (RFC 792, RFC 4443 4.1). The checksum is left zero.
fn message(kind: u8, tag: &Tag, frame: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(frame.len().saturating_add(ICMP_HEADER + TAG_LENGTH));
    message.extend([kind, 0, 0, 0]);
    message.extend(IDENTIFIER.to_be_bytes());
    message.extend((tag.number as u16).to_be_bytes());
    message.extend(ECHO_MAGIC);
    message.extend(tag.purpose.bytes());
    message.push(tag.sender.0);
    message.push(0);
    message.extend(tag.life.to_be_bytes());
    message.extend(tag.number.to_be_bytes());
    message.extend(frame);
    message
}

fn read_tag(payload: &[u8]) -> Option<(Tag, &[u8])> {
    let (magic, rest) = payload.split_first_chunk::<4>()?;
    let ([kind, group, sender, 0], rest) = rest.split_first_chunk::<4>()? else { return None };
    let (life, rest) = rest.split_first_chunk::<8>()?;
    let (number, frame) = rest.split_first_chunk::<8>()?;
    if *magic != ECHO_MAGIC || frame.len() > FRAME_MAX {
        return None;
    }
    let purpose = Purpose::read([*kind, *group])?;
    let (life, number) = (u64::from_be_bytes(*life), u64::from_be_bytes(*number));
    Some((Tag { purpose, sender: NodeId(*sender), life, number }, frame))
}

/// An IPv4 packet around a message, not to be fragmented (RFC 791).
fn ipv4(source: Ipv4Addr, destination: Ipv4Addr, message: &[u8]) -> Vec<u8> {
    let mut body = vec![0; message.len().saturating_add(IPV4_HEADER)];
    let length = body.len() as u16;
    if let Some(mut ip) = MutableIpv4Packet::new(&mut body) {
        ip.set_version(4);
        ip.set_header_length((IPV4_HEADER / 4) as u8);
        ip.set_total_length(length);
        ip.set_flags(Ipv4Flags::DontFragment);
        ip.set_ttl(HOPS);
        ip.set_next_level_protocol(IpNextHeaderProtocols::Icmp);
        ip.set_source(source);
        ip.set_destination(destination);
        ip.set_payload(message);
        let sum = ipv4::checksum(&ip.to_immutable());
        ip.set_checksum(sum);
    }
    body
}

/// The addresses, the hops left and the message of a whole, correct ICMP packet.
fn parse_ipv4(packet: &[u8]) -> Option<(Ipv4Addr, Ipv4Addr, u8, &[u8])> {
    let ip = Ipv4Packet::new(packet)?;
    let header = usize::from(ip.get_header_length()) * 4;
    let fragment = ip.get_fragment_offset() != 0 || ip.get_flags() & Ipv4Flags::MoreFragments != 0;
    if ip.get_version() != 4 || header < IPV4_HEADER || fragment || ip.get_next_level_protocol() != IpNextHeaderProtocols::Icmp {
        return None;
    }
    // Short frames are padded: the header says where the message ends.
    let message = packet.get(header..usize::from(ip.get_total_length()))?;
    let told = u16::from_be_bytes(*message.get(2..)?.first_chunk()?);
    let right = checksum(packet.get(..header)?, 5) == ip.get_checksum() && checksum(message, 1) == told;
    right.then(|| (ip.get_source(), ip.get_destination(), ip.get_ttl(), message))
}

/// Whether both are of one family.
pub(super) fn same_family(one: &IpAddr, other: &IpAddr) -> bool {
    one.is_ipv4() == other.is_ipv4()
}

const IDENTIFIER: u16 = 0x7462;
const HOPS: u8 = 64;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const ICMP_HEADER: usize = 8;
const TAG_LENGTH: usize = 24;
const _: () = assert!(IPV6_HEADER + ICMP_HEADER + TAG_LENGTH + FRAME_MAX == twinbeat_wire::MTU);
const ECHO_REPLY_V4: u8 = 0;
const ECHO_REQUEST_V4: u8 = 8;
const ECHO_REQUEST_V6: u8 = 128;
const ECHO_REPLY_V6: u8 = 129;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says so by dying")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn routes() -> [Route; 2] {
        let (from, to) = (Mac([2, 0, 0, 0, 0, 0x0a]), Mac([2, 0, 0, 0, 0, 1]));
        [("192.0.2.10", "192.0.2.1"), ("2001:db8::10", "2001:db8::1")].map(|(source, witness)| Route {
            from,
            to,
            source: source.parse().unwrap(),
            witness: witness.parse().unwrap(),
        })
    }

    /// What a witness makes of a request: the addresses swapped, the type changed, the checksum put right (RFC 1624).
    fn echoed(mut frame: Vec<u8>) -> Vec<u8> {
        let v4 = frame[12..14] == [8, 0];
        let (mac, ip, length, icmp) = if v4 { (6, 26, 4, 34) } else { (6, 22, 16, 54) };
        for i in 0..mac {
            frame.swap(i, mac + i);
        }
        for i in 0..length {
            frame.swap(ip + i, ip + length + i);
        }
        let (old, new) = if v4 { (8_u16, 0_u16) } else { (128, 129) };
        frame[icmp] = new as u8;
        let sum = u16::from_be_bytes([frame[icmp + 2], frame[icmp + 3]]);
        let mut wide = u32::from(!sum) + u32::from(!(old << 8)) + u32::from(new << 8);
        wide = (wide & 0xffff) + (wide >> 16);
        wide = (wide & 0xffff) + (wide >> 16);
        frame[icmp + 2..icmp + 4].copy_from_slice(&(!(wide as u16)).to_be_bytes());
        frame
    }

    proptest! {
        #[test]
        fn what_goes_out_comes_back(
            which in 0..2_usize, purpose in 1..6_u8, group in any::<u8>(), sender in 0..2_u8, life in any::<u64>(),
            number in any::<u64>(), frame in prop::collection::vec(any::<u8>(), 0..FRAME_MAX + 1), padding in 0..30_usize,
        ) {
            let route = routes()[which];
            let purpose = Purpose::read([purpose, if purpose >= 4 { 0 } else { group }]).unwrap();
            let tag = Tag { purpose, sender: NodeId(sender), life, number };
            let sent = request(&route, &tag, &frame).unwrap();
            prop_assert!(sent.len() <= 14 + twinbeat_wire::MTU, "fits the smallest MTU");
            prop_assert_eq!(parse_reply(&sent), None, "a request is no reply");
            let mut back = echoed(sent);
            back.resize(back.len() + padding, 0);
            let reply = parse_reply(&back).unwrap();
            prop_assert_eq!((reply.to, reply.source, reply.destination), (route.from, route.witness, route.source));
            prop_assert_eq!((reply.tag, reply.frame), (tag, &frame[..]));
        }

        #[test]
        fn garbage_is_read_without_a_panic(mut frame in prop::collection::vec(any::<u8>(), 0..200), which in 0..2_usize) {
            if let Some(ethertype) = frame.get_mut(12..14) {
                ethertype.copy_from_slice(&[[8, 0], [0x86, 0xdd]][which]);
            }
            let _ = parse_reply(&frame);
        }

        #[test]
        fn a_damaged_reply_is_refused(which in 0..2_usize, at in 14..200_usize, bit in 0..8, cut in 0..200_usize) {
            let tag = Tag { purpose: Purpose::Relay, sender: NodeId(1), life: 7, number: 9 };
            let whole = echoed(request(&routes()[which], &tag, &[0x5a; 80]).unwrap());
            let mut damaged = whole.clone();
            if let Some(byte) = damaged.get_mut(at) {
                *byte ^= 1_u8 << bit;
                let read = parse_reply(&damaged).map(|reply| (reply.tag, reply.source, reply.destination, reply.frame.to_vec()));
                // The IPv6 header's first bytes and hop limit are under no checksum, and say nothing.
                let truth = parse_reply(&whole).map(|reply| (reply.tag, reply.source, reply.destination, reply.frame.to_vec()));
                prop_assert!(read.is_none() || (which == 1 && at < 22 && read == truth));
            }
            if cut < whole.len() {
                prop_assert_eq!(parse_reply(&whole[..cut]), None);
            }
        }
    }

    #[test]
    fn too_long_a_frame_is_refused_rather_than_fragmented() {
        let tag = Tag { purpose: Purpose::Relay, sender: NodeId(0), life: 0, number: 0 };
        assert!(request(&routes()[0], &tag, &[0; FRAME_MAX + 1]).is_none());
    }
}
