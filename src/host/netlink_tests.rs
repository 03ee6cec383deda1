use super::*;
use netlink_packet_netfilter::NetfilterMessage;
use netlink_packet_route::RouteNetlinkMessage;

/// Found by fuzzing: a set's expression too short to be an attribute.
const CRAFTED: &[u8] = include_bytes!("../../netns-tests/inputs/netlink/attributes.bin");

fn framed(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    message.extend((body.len() as u32 + 16).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend([0; 10]);
    message.extend(body);
    message
}

fn read(kind: u16, body: &[u8]) -> usize {
    let message = framed(kind, body);
    split::<RouteNetlinkMessage>(&message).len() + split::<NetfilterMessage>(&message).len()
}

#[test]
fn crafted_attributes_are_left_out_and_end_nothing() {
    let kinds = [16, 17, 20, 21, 24, 25, 28].into_iter().chain(0x0a00..0x0a1a);
    for kind in kinds {
        read(kind, CRAFTED);
        read(kind, &CRAFTED[16..]);
    }
}

/// Attributes one behind the other, each within the other: the deepest value cut at each length.
#[test]
fn no_value_that_is_cut_short_at_any_depth_ends_anything() {
    let attribute = |kind: u16, value: &[u8]| {
        let mut all = Vec::new();
        all.extend((value.len() as u16 + 4).to_ne_bytes());
        all.extend(kind.to_ne_bytes());
        all.extend(value);
        all.resize(all.len().next_multiple_of(4), 0);
        all
    };
    let names: [&[u8]; 5] = [b"cmp\0", b"bitwise\0", b"immediate\0", b"payload\0", b"lookup"];
    for length in 0..9 {
        let value = vec![4; length];
        for inner in 0..12 {
            let data = attribute(inner, &value);
            for name in names {
                let expression = [attribute(1, name), attribute(2, &data)].concat();
                let element = attribute(1, &expression);
                let bodies = [
                    attribute(17, &expression),
                    attribute(18, &element),
                    attribute(4, &element),
                    attribute(3, &attribute(1, &attribute(7, &expression))),
                    attribute(3, &attribute(1, &attribute(11, &element))),
                    attribute(3, &attribute(1, &data)),
                    attribute(inner, &data),
                ];
                for body in bodies {
                    let body = [&[5, 0, 0, 0], body.as_slice()].concat();
                    for kind in 0x0a00..0x0a1a {
                        read(kind, &body);
                    }
                }
            }
        }
    }
}

#[test]
fn what_the_kernel_says_of_rules_and_elements_is_still_read() {
    let value = [8_u8, 0, 1, 0, b't', b'b', 0, 0];
    let body = [&[5, 0, 0, 0], value.as_slice()].concat();
    for kind in [0x0a00, 0x0a02, 0x0a05, 0x0a08, 0x0a0b, 0x0a0c] {
        assert_eq!(split::<NetfilterMessage>(&framed(kind, &body)).len(), 1, "{kind:x}");
    }
}

/// A real kernel's dump of many addresses, one of which is taken away between two of its datagrams.
#[test]
fn a_dump_that_something_was_changed_under_is_known_and_asked_for_again() {
    use netlink_packet_route::address::AddressMessage;
    let Some(netns) = crate::test_net::Netns::new() else { return };
    let file = std::env::temp_dir().join(&netns.name);
    let many: String = (0..1200).map(|n| format!("addr add 10.78.{}.{}/32 dev lo\n", n / 200, n % 200 + 1)).collect();
    std::fs::write(&file, many).unwrap();
    netns.run(&format!("ip -batch {}", file.display()));
    std::fs::remove_file(file).unwrap();
    netns.inside(|| {
        let mut channel = Channel::open(netlink_sys::protocols::NETLINK_ROUTE).unwrap();
        let question = || NetlinkMessage::from(RouteNetlinkMessage::GetAddress(AddressMessage::default()));
        let ours = |all: &[RouteNetlinkMessage]| all.len() >= 1200;
        let (mut data, mut torn, mut parts) = (Vec::new(), false, 1);
        channel.begin_dump(&mut question()).unwrap();
        assert!(
            !channel.dumped::<RouteNetlinkMessage>(&mut data, &mut torn).unwrap(),
            "one datagram holds all: nothing is shown"
        );
        netns.run("ip addr add 10.78.100.1/32 dev lo");
        while !channel.dumped(&mut data, &mut torn).unwrap() {
            parts += 1;
        }
        assert!(torn, "{parts} datagrams, {} addresses, and not a word of the change between them", data.len());
        // A whole one is not torn, and all is in it.
        let all = channel.dump(question()).unwrap();
        assert!(ours(&all), "{}", all.len());
        // While an address comes and goes all the time, none of the others is missing.
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    netns.run("ip addr add 10.78.101.1/32 dev lo");
                    netns.run("ip addr del 10.78.101.1/32 dev lo");
                }
            });
            let short = (0..100).filter(|_| !ours(&channel.dump(question()).unwrap())).count();
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            assert_eq!(short, 0);
        });
    });
}
