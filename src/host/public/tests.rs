//! The public side on the real kernel: what LAB.md claims of a Linux gateway, and what the rules stand on.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says so by dying")]

use std::time::{Duration, Instant};

use super::*;
use crate::public::lab::{Family, G, Lan, Node, V4, V6, W, config, lan, nodad};

const A: Mac = Mac([2, 0, 0, 0, 0, 0x0a]);
const B: Mac = Mac([2, 0, 0, 0, 0, 0x0b]);

fn echo(node: &Node, kind: EchoKind, number: u64) {
    let beat = format!("beat {number}").into_bytes();
    node.call(move |side| side.vip_echo(G, W, kind, number, &beat)).unwrap();
}

fn comes_back(node: &Node, kind: EchoKind, number: u64) -> bool {
    echo(node, kind, number);
    let wanted = PublicEvent::EchoReply { witness: W, kind, number };
    node.expect(150, |event| *event == wanted).is_some()
}

fn write(lan: &Lan, node: &Node, family: Family, mac: Mac) {
    node.call(|side| side.write(G, W)).unwrap();
    let end = Instant::now() + Duration::from_secs(1);
    while lan.entry(family.vip) != Some(mac) {
        assert!(Instant::now() < end, "{}: the write did not take: {:?}", family.name, lan.entry(family.vip));
    }
}

#[test]
fn the_last_writer_owns_the_gateways_entry() {
    let Some(lan) = lan() else { return };
    for family in [V4, V6] {
        let (a, b) = (lan.node(0, family), lan.node(1, family));
        assert_eq!(lan.entry(family.vip), None);
        write(&lan, &a, family, A);
        for _ in 0..4 {
            write(&lan, &b, family, B);
            write(&lan, &a, family, A);
        }
    }
}

#[test]
fn probes_and_controls_write_nothing() {
    let Some(lan) = lan() else { return };
    for family in [V4, V6] {
        let (a, b) = (lan.node(0, family), lan.node(1, family));
        b.call(|side| side.probe(G)).unwrap();
        assert!(!comes_back(&b, EchoKind::Control(G), 1), "{}: nobody wrote", family.name);
        assert!(!matches!(lan.entry(family.vip), Some(mac) if mac == B), "{}: a probe does not write", family.name);
        write(&lan, &a, family, A);
        b.call(|side| side.probe(G)).unwrap();
        assert!(!comes_back(&b, EchoKind::Control(G), 2), "{}: the table names the other", family.name);
        assert_eq!(lan.entry(family.vip), Some(A));
    }
}

#[test]
fn an_announcement_takes_an_existing_entry_over_and_makes_one_that_is_missing() {
    let Some(lan) = lan() else { return };
    for family in [V4, V6] {
        let (a, b) = (lan.node(0, family), lan.node(1, family));
        write(&lan, &a, family, A);
        // The gratuitous frame alone.
        let vip: IpAddr = family.vip.parse().unwrap();
        b.call(move |side| send_on(&side.links, 0, |mine| Some(neighbour::gratuitous(mine, vip)))).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        let flipped = lan.entry(family.vip) == Some(B);
        println!("{}: a gratuitous frame alone, right after a write: entry flipped: {flipped}", family.name);
        std::thread::sleep(Duration::from_millis(1100)); // past the locktime
        b.call(move |side| send_on(&side.links, 0, |mine| Some(neighbour::gratuitous(mine, vip)))).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(lan.entry(family.vip), Some(B), "{}", family.name);
        lan.forget(family.vip);
        a.call(move |side| send_on(&side.links, 0, |mine| Some(neighbour::gratuitous(mine, vip)))).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        assert_ne!(lan.entry(family.vip), Some(A), "{}: it makes no entry", family.name);
        a.call(|side| side.announce(G)).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(lan.entry(family.vip), Some(A), "{}", family.name);
        let announced = PublicEvent::Announced { group: G, by: A };
        assert!(b.expect(500, |event| *event == announced).is_some(), "{}: the other node sees it", family.name);
    }
}

#[test]
fn echoes_come_back_to_the_writer_alone_and_bring_the_others_heartbeat() {
    let Some(lan) = lan() else { return };
    for family in [V4, V6] {
        let (a, b) = (lan.node(0, family), lan.node(1, family));
        lan.part_the_nodes();
        write(&lan, &a, family, A);
        for number in 0..50 {
            assert!(comes_back(&a, EchoKind::Vip(G), number), "{} {number}", family.name);
        }
        write(&lan, &b, family, B);
        assert!(!comes_back(&a, EchoKind::Vip(G), 100), "{}: the table names the other", family.name);
        let delivered = PublicEvent::TableDelivered { group: G, frame: b"beat 100".to_vec() };
        assert!(b.expect(100, |event| *event == delivered).is_some(), "{}", family.name);
        assert!(comes_back(&b, EchoKind::Challenge(G), 101), "{}", family.name);
        // The defence.
        write(&lan, &a, family, A);
        assert!(comes_back(&a, EchoKind::Vip(G), 102), "{}", family.name);
        assert!(!comes_back(&b, EchoKind::Challenge(G), 103), "{}", family.name);
        assert!(a.expect(100, |event| matches!(event, PublicEvent::TableDelivered { .. })).is_some());
        lan.sh("sw", "nft flush ruleset");
    }
}

/// Without the gate in the way, a forwarding node sends the owner's echo on to the owner.
#[test]
fn an_echo_that_the_other_node_forwarded_is_no_return_path() {
    let Some(lan) = lan() else { return };
    lan.sh("b", "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
    for family in [V4, V6] {
        let length = if family.length == 24 { 32 } else { 128 };
        lan.ip("a", &format!("addr add {}/{length} dev eth0{}", family.vip, nodad(family)));
        let (a, b) = (lan.node(0, family), lan.node(1, family));
        write(&lan, &a, family, A);
        assert!(comes_back(&a, EchoKind::Vip(G), 1), "{}", family.name);
        write(&lan, &b, family, B);
        assert!(!comes_back(&a, EchoKind::Vip(G), 2), "{}", family.name);
        let delivered = PublicEvent::TableDelivered { group: G, frame: b"beat 2".to_vec() };
        assert!(b.expect(100, |event| *event == delivered).is_some(), "{}", family.name);
    }
}

#[test]
fn the_gateway_relays_between_nodes_that_cannot_hear_each_other() {
    let Some(lan) = lan() else { return };
    lan.part_the_nodes();
    for family in [V4, V6] {
        let (a, b) = (lan.node(0, family), lan.node(1, family));
        a.drain(0);
        b.call(|side| side.announce(G)).unwrap();
        assert_eq!(a.drain(50), vec![], "the nodes are parted");
        let mut times = Vec::new();
        for number in 0..50_u8 {
            let (from, to) = if number % 2 == 0 { (&a, &b) } else { (&b, &a) };
            let frame = vec![number; crate::raw_echo::FRAME_MAX];
            let wanted = PublicEvent::Relayed { frame: frame.clone() };
            let start = Instant::now();
            assert_eq!(from.call(move |side| side.relay(&frame)).unwrap(), W);
            assert!(to.expect(500, |event| *event == wanted).is_some(), "{} {number}", family.name);
            times.push(start.elapsed());
        }
        times.sort();
        println!("{}: relay 50 of 50, with both threads: median {:?}, max {:?}", family.name, times[25], times[49]);
    }
}

#[test]
fn an_owners_kernel_answers_a_probe() {
    let Some(lan) = lan() else { return };
    for family in [V4, V6] {
        let b = lan.node(1, family);
        b.call(|side| side.probe(G)).unwrap();
        assert_eq!(b.drain(100), vec![], "{}: nobody has it", family.name);
        lan.ip("a", &format!("addr add {}/{} dev eth0{}", family.vip, if family.length == 24 { 32 } else { 128 }, nodad(family)));
        // An IPv6 address is found as soon as the kernel has joined the group in which neighbours ask for it, on a queue of its own.
        let joined = || family.length == 24 || lan.sh("a", "cat /proc/net/igmp6").contains("ff0200000000000000000001ff000100");
        let until = Instant::now() + Duration::from_secs(10);
        while !joined() {
            assert!(Instant::now() < until, "{}: never joined", family.name);
        }
        b.call(|side| side.probe(G)).unwrap();
        let answered = PublicEvent::Answered { group: G, by: A };
        assert!(b.expect(500, |event| *event == answered).is_some(), "{}", family.name);
    }
}

#[test]
fn a_witness_that_asks_everybody_is_heard() {
    let Some(lan) = lan() else { return };
    for family in [V4, V6] {
        let b = lan.node(1, family);
        lan.knock("gw", family.vip);
        let asks = PublicEvent::WitnessAsks { group: G };
        assert!(b.expect(1000, |event| *event == asks).is_some(), "{}", family.name);
    }
}

/// Slow: the kernel probes an unused entry only after five seconds.
#[test]
fn unicast_answers_keep_a_challengers_entry_alive() {
    let Some(lan) = lan() else { return };
    let families = [V4, V6].map(|family| (family, lan.node(1, family)));
    // An entry is reachable for 0.5 to 1.5 times this: with the usual 30 s one may outlive the test (net/core/neighbour.c).
    lan.sh("gw", "for file in /proc/sys/net/ipv[46]/neigh/*/base_reachable_time_ms; do echo 4000 > $file; done");
    for (family, b) in &families {
        b.call(|side| side.answer_unicast(G, true));
        write(&lan, b, *family, B);
    }
    let (mut came, mut number) = ([0; 2], 0);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(14) {
        number += 1;
        for (at, (_, b)) in families.iter().enumerate() {
            came[at] += u64::from(comes_back(b, EchoKind::Challenge(G), number));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("unicast answers on: {came:?} of {number} echoes over 14 s");
    assert_eq!(came, [number; 2]);
    // Without them the entry goes.
    for (_, b) in &families {
        b.call(|side| side.answer_unicast(G, false));
    }
    let start = Instant::now();
    let mut gone = [None; 2];
    while gone.iter().any(Option::is_none) && start.elapsed() < Duration::from_secs(45) {
        number += 1;
        for (at, (_, b)) in families.iter().enumerate() {
            if gone[at].is_none() && !comes_back(b, EchoKind::Challenge(G), number) {
                gone[at] = Some(start.elapsed());
            }
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("unicast answers off: the first echo lost after {gone:?}");
    assert!(gone.iter().all(Option::is_some), "{gone:?}");
}

#[test]
fn own_frames_go_round_a_closed_gate_and_the_socket_sees_what_it_drops() {
    let Some(lan) = lan() else { return };
    let (a, b) = (lan.node(0, V4), lan.node(1, V4));
    let ns = std::fs::File::open(format!("/run/netns/{}", lan.ns("b"))).unwrap();
    let mut gate = std::thread::spawn(move || {
        nix::sched::setns(ns, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        crate::gate::Gate::new("twinbeat_t_b", vec![vec![V4.vip.parse().unwrap()]]).unwrap()
    })
    .join()
    .unwrap();
    gate.install().unwrap();
    write(&lan, &b, V4, B);
    assert!(comes_back(&b, EchoKind::Challenge(G), 1));
    a.call(|side| side.announce(G)).unwrap();
    let announced = PublicEvent::Announced { group: G, by: A };
    assert!(b.expect(500, |event| *event == announced).is_some());
    // What the kernel itself would say for the VIP does not leave.
    lan.ip("b", &format!("addr add {}/32 dev eth0", V4.vip));
    lan.forget(V4.vip);
    lan.knock("gw", V4.vip);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(lan.entry(V4.vip), None, "the kernel answers through a closed gate");
}

#[test]
fn an_interface_that_comes_later_or_changes_its_mac_is_found() {
    let Some(lan) = lan() else { return };
    lan.ip("sw", "link del pb");
    let b = Node::start(&lan.ns("b"), config(1, V4));
    assert!(!b.call(|side| side.is_open()));
    assert!(matches!(b.call(|side| side.write(G, W)), Err(SendError::NotMine(_))));
    assert!(matches!(b.call(|side| side.probe(G)), Err(SendError::NoSocket(_))));
    let come = |mac: &str| {
        lan.plug("b", mac);
        lan.ip("b", &format!("addr add {}/24 dev eth0", V4.own[1]));
        // The socket may be open, and the witness known from before, while this thread has not yet seen the own address come.
        let may_speak = |side: &mut PublicSide| !matches!(side.write(G, W), Err(SendError::NotMine(_)));
        b.until(move |side| side.is_open() && side.witness_mac(W).is_some() && may_speak(side));
    };
    come("02:00:00:00:00:0b");
    write(&lan, &b, V4, B);
    // Another MAC.
    lan.ip("b", "link set eth0 address 02:00:00:00:00:0c");
    b.call(|side| side.rebuild().is_ok());
    write(&lan, &b, V4, Mac([2, 0, 0, 0, 0, 0x0c]));
    // Down and up: the same socket works on.
    lan.ip("b", "link set eth0 down");
    lan.ip("b", "link set eth0 up");
    lan.forget(V4.vip);
    write(&lan, &b, V4, Mac([2, 0, 0, 0, 0, 0x0c]));
    // Deleted and made again under the same name.
    lan.ip("sw", "link del pb");
    b.until(|side| !side.is_open());
    come("02:00:00:00:00:0b");
    lan.forget(V4.vip);
    write(&lan, &b, V4, B);
    assert!(comes_back(&b, EchoKind::Challenge(G), 1));
}

#[test]
fn a_gateway_with_a_new_mac_is_found() {
    let Some(lan) = lan() else { return };
    let b = lan.node(1, V4);
    lan.ip("gw", "link set eth0 address 02:00:00:00:00:02");
    lan.ip("gw", "neigh flush dev eth0");
    lan.knock("gw", "10.9.0.77");
    b.until(|side| side.witness_mac(W) == Some(Mac([2, 0, 0, 0, 0, 2])));
    write(&lan, &b, V4, B);
}

/// Figures rather than a judgement: what a node's public side costs.
#[test]
fn the_public_side_is_cheap_when_idle() {
    let Some(lan) = lan() else { return };
    let b = lan.node(1, V4);
    write(&lan, &b, V4, B);
    let idle = spent(&b, || std::thread::sleep(Duration::from_secs(2)));
    let busy = spent(&b, || {
        for number in 0..400 {
            echo(&b, EchoKind::Vip(G), number);
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    // What other machines say to each other does not wake the daemon: 2,000 datagrams to this very interface.
    let received = || lan.sh("b", "cat /sys/class/net/eth0/statistics/rx_packets").trim().parse::<u64>().unwrap();
    let before = received();
    let flooded = spent(&b, || {
        lan.ip("gw", &format!("neigh replace {} lladdr {B} nud permanent dev eth0", V4.own[1]));
        lan.sh(
            "gw",
            &format!("bash -c 'exec 3>/dev/udp/{}/9; for i in $(seq 2000); do echo >&3; done' 2>/dev/null || true", V4.own[1]),
        );
    });
    println!("public side: under {} foreign datagrams {flooded:?} in all", received() - before);
    let came = b.drain(50).iter().filter(|event| matches!(event, PublicEvent::EchoReply { .. })).count();
    println!("public side: idle {:?} a second; with 400 echoes ({came} came back) {busy:?} in all", idle / 2);
    assert_eq!(came, 400);
    assert!(idle / 2 < Duration::from_millis(5), "{idle:?}");
}

/// The node thread's CPU time meanwhile.
fn spent(node: &Node, what: impl FnOnce()) -> Duration {
    let clock = |_: &mut PublicSide| -> Duration { nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID.now().unwrap().into() };
    let before = node.call(clock);
    what();
    node.call(clock).saturating_sub(before)
}
