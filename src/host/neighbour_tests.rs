//! What a frame says when it is read back, and that nothing outside can break the reading.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says so by dying")]

use proptest::prelude::*;

use super::*;

const MINE: Mac = Mac([2, 0, 0, 0, 0, 0x0a]);
const GATEWAY: Mac = Mac([2, 0, 0, 0, 0, 1]);

fn addresses() -> [(IpAddr, IpAddr); 2] {
    [
        ("192.0.2.10".parse().unwrap(), "192.0.2.1".parse().unwrap()),
        ("2001:db8::10".parse().unwrap(), "2001:db8::1".parse().unwrap()),
    ]
}

#[test]
fn a_probe_names_no_sender() {
    for (vip, _) in addresses() {
        match Neighbour::parse(&probe(MINE, vip)).unwrap() {
            Neighbour::Arp(arp) => {
                assert!(arp.request && arp.sender.1.is_unspecified() && arp.target.1 == vip && arp.to == BROADCAST)
            }
            Neighbour::Solicitation(ns) => {
                assert!(ns.source.is_unspecified() && ns.link.is_none() && ns.target == vip);
                assert_eq!(ns.to, Mac([0x33, 0x33, 0xff, 0, 0, 0x10]));
            }
            Neighbour::Advertisement(_) => unreachable!(),
        }
    }
}

#[test]
fn a_write_goes_to_the_witness_alone_when_its_mac_is_known() {
    for (vip, witness) in addresses() {
        match Neighbour::parse(&write(MINE, vip, witness, Some(GATEWAY)).unwrap()).unwrap() {
            Neighbour::Arp(arp) => {
                assert_eq!((arp.to, arp.request), (GATEWAY, true));
                assert!(arp.sender.1 == vip && arp.sender.0 == MINE && arp.target.1 == witness);
            }
            Neighbour::Solicitation(ns) => {
                assert_eq!((ns.to, ns.link), (GATEWAY, Some(MINE)));
                assert!(ns.source == vip && ns.destination == witness && ns.target == witness);
            }
            Neighbour::Advertisement(_) => unreachable!(),
        }
    }
    let [(v4, _), (v6, _)] = addresses();
    assert!(write(MINE, v4, v6, None).is_none(), "an address cannot be written into the other family's table");
}

#[test]
fn a_padded_frame_reads_like_the_frame() {
    for (vip, _) in addresses() {
        let frame = gratuitous(MINE, vip);
        let mut padded = frame.clone();
        padded.resize(frame.len().max(60) + 6, 0);
        assert_eq!(Neighbour::parse(&padded), Neighbour::parse(&frame));
        assert!(Neighbour::parse(&frame).is_some());
    }
}

#[test]
fn discovery_that_crossed_a_router_is_refused() {
    let [_, (vip, _)] = addresses();
    let mut frame = gratuitous(MINE, vip);
    frame[21] = 254; // the hop limit is not part of the checksum
    assert_eq!(Neighbour::parse(&frame), None);
}

#[test]
fn any_flipped_bit_of_a_discovery_message_is_noticed() {
    let [_, (vip, _)] = addresses();
    let frame = gratuitous(MINE, vip);
    for bit in 54 * 8..frame.len() * 8 {
        let mut flipped = frame.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Neighbour::parse(&flipped), None, "bit {bit}");
    }
}

proptest! {
    #[test]
    fn garbage_is_read_without_a_panic(mut frame in prop::collection::vec(any::<u8>(), 0..200), kind in 0..3_usize) {
        if let Some(ethertype) = frame.get_mut(12..14) {
            ethertype.copy_from_slice(&[[8, 6], [0x86, 0xdd], [8, 0]][kind]);
        }
        let _ = Neighbour::parse(&frame);
    }

    /// Options are read only behind a right checksum, so garbage must be given one.
    #[test]
    fn garbage_options_are_read_without_a_panic(kind in 135..137_u8, options in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut message = vec![kind, 0, 0, 0, 0, 0, 0, 0];
        message.extend([0x20; 16]);
        message.extend(&options);
        let body = icmpv6(Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST, 255, &mut message);
        let read = Neighbour::parse(&ethernet(MINE, GATEWAY, EtherTypes::Ipv6, &body));
        prop_assert!(read.is_some() || !options.is_empty());
    }

    #[test]
    fn a_truncated_frame_is_never_read(cut in 0..70_usize) {
        for (vip, witness) in addresses() {
            let frame = write(MINE, vip, witness, None).unwrap();
            if cut < frame.len() {
                prop_assert_eq!(Neighbour::parse(&frame[..cut]), None);
            }
        }
    }
}
