//! The lab itself, without a daemon: everything reaches everything, faults do what they say, and nothing is left behind.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use twinbeat::config::Config;
use twinbeat::core::id::NodeId;
use twinbeat::lab::damage::Condition;
use twinbeat::lab::lab::{BOTH, CLIENT, Cable, GATEWAY, GATEWAY6, LANCLIENT, Lab, VIP};
use twinbeat::lab::ns::{self, Namespace, Prefix};
use twinbeat::lab::plan::{Plan, Select};
use twinbeat::lab::probe::Probe;
use twinbeat::lab::responder::{PORT, Responder};
use twinbeat::lab::{netlink, process};

const A: NodeId = NodeId(0);
const B: NodeId = NodeId(1);

/// Asks the responder at `to` from inside `from`; `true` when it answers within 300 ms.
fn asks(from: &Namespace, to: IpAddr) -> bool {
    from.run(|| {
        let any: SocketAddr = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse()?;
        let socket = UdpSocket::bind(any)?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let once = |_| socket.send_to(&[0; 8], (to, PORT)).is_ok() && socket.recv(&mut [0; 64]).is_ok();
        Ok((0..3).any(once))
    })
    .unwrap()
}

/// Sends the gateway an echo request (RFC 792); `true` when it answers within 300 ms.
fn pings(from: &Namespace, to: Ipv4Addr) -> bool {
    use socket2::{Domain, Protocol, Socket, Type};
    // Type 8, code 0, checksum, identifier 0, number 0: the checksum of an all-zero rest is the complement of the first word.
    let request = [8u8, 0, 0xf7, 0xff, 0, 0, 0, 0];
    from.run(|| {
        let mut socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4))?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let until = Instant::now() + Duration::from_millis(300);
        while Instant::now() < until {
            let _ = socket.send_to(&request, &SocketAddr::from((to, 0)).into());
            let mut frame = [0; 128];
            // Type 0 after the 20 bytes of the IP header: an echo reply.
            if socket.read(&mut frame).is_ok_and(|length| length >= 28) && frame[20] == 0 {
                return Ok(true);
            }
        }
        Ok(false)
    })
    .unwrap()
}

/// A neighbour entry that failed during a cut takes up to a second to be asked for again.
fn soon(check: impl Fn() -> bool) -> bool {
    let until = Instant::now() + Duration::from_secs(4);
    while Instant::now() < until {
        if check() {
            return true;
        }
    }
    false
}

/// A node serves by hand: the VIP on `eth0`, announced as the kernel does by itself: not at all. So the gateway is told to forget.
fn serve(lab: &Lab, node: NodeId) {
    netlink::add_addresses(lab.node(node), "eth0", &[(VIP.into(), 32)]).unwrap();
    lab.gateway_unpins().unwrap();
}

#[test]
fn every_machine_reaches_every_other_by_both_protocols() {
    if !common::ready() {
        return;
    }
    let lab = Lab::build().unwrap();
    let _answers = BOTH.map(|n| Responder::start(lab.node(n), "node").unwrap());
    let _more = [&lab.gw, &lab.lanclient, &lab.client].map(|ns| Responder::start(ns, "other").unwrap());
    for node in BOTH {
        for cable in Cable::ALL {
            assert!(asks(lab.node(node), cable.address(node.other()).into()), "{node} {cable:?}");
            assert!(asks(lab.node(node), cable.address6(node.other()).into()), "{node} {cable:?} IPv6");
            assert_eq!(netlink::mac(lab.node(node), cable.interface()).unwrap(), cable.mac(node));
        }
        for to in [GATEWAY.into(), GATEWAY6.into(), IpAddr::from(LANCLIENT), CLIENT.into()] {
            assert!(asks(lab.node(node), to), "{node} -> {to}");
        }
        assert!(asks(lab.node(node), Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, 0, 2).into()), "{node} -> client IPv6");
        for from in [&lab.client, &lab.lanclient] {
            assert!(asks(from, Cable::Lan.address(node).into()) && asks(from, Cable::Lan.address6(node).into()));
        }
    }
}

#[test]
fn unplugging_takes_the_carrier_and_plugging_gives_it_back() {
    if !common::ready() {
        return;
    }
    let lab = Lab::build().unwrap();
    let carrier = |n: NodeId, c: Cable| netlink::carrier(lab.node(n), c.interface()).unwrap();
    let reaches = |wanted: [bool; 2], cable: Cable| {
        let until = Instant::now() + Duration::from_secs(2);
        while BOTH.map(|n| carrier(n, cable)) != wanted {
            assert!(Instant::now() < until, "{cable:?} should be {wanted:?}");
            thread::sleep(Duration::from_millis(10));
        }
    };
    lab.unplug(A, Cable::Heartbeat).unwrap();
    reaches([false, false], Cable::Heartbeat);
    lab.unplug(A, Cable::Lan).unwrap();
    reaches([false, true], Cable::Lan);
    reaches([true, true], Cable::Bond);
    lab.plug(A, Cable::Heartbeat).unwrap();
    lab.plug(A, Cable::Lan).unwrap();
    reaches([true, true], Cable::Heartbeat);
    reaches([true, true], Cable::Lan);
}

#[test]
fn silent_cuts_drop_what_they_name_and_nothing_else() {
    if !common::ready() {
        return;
    }
    let lab = Lab::build().unwrap();
    let _answers = BOTH.map(|n| Responder::start(lab.node(n), "node").unwrap());
    let hears = |from: NodeId, cable: Cable| asks(lab.node(from), cable.address(from.other()).into());
    let gateway = |from: NodeId| pings(lab.node(from), GATEWAY);

    lab.cut(Cable::Heartbeat).unwrap();
    assert!(!hears(A, Cable::Heartbeat) && hears(A, Cable::Bond) && hears(B, Cable::Lan));
    assert!(netlink::carrier(lab.node(A), "eth1").unwrap(), "silent: the carrier stays");
    lab.mend(Cable::Heartbeat).unwrap();
    assert!(soon(|| hears(A, Cable::Heartbeat)));

    lab.separate().unwrap();
    assert!(Cable::ALL.into_iter().all(|c| !hears(A, c)), "no frame between the nodes");
    assert!(soon(|| gateway(A) && gateway(B)), "both reach the gateway");
    lab.unite().unwrap();

    lab.isolate(A).unwrap();
    assert!(!gateway(A) && soon(|| gateway(B)) && Cable::ALL.into_iter().all(|c| !hears(B, c)));
    assert!(soon(|| asks(&lab.lanclient, Cable::Lan.address(A).into())), "the observer still asks the isolated node");
    lab.rejoin(A).unwrap();
    assert!(soon(|| gateway(A) && hears(B, Cable::Lan)));

    lab.gateway_down().unwrap();
    assert!(!gateway(A) && !gateway(B));
    assert!(soon(|| asks(&lab.client, Cable::Lan.address(A).into())), "a deaf gateway still forwards");
    lab.gateway_up().unwrap();
    assert!(soon(|| gateway(A)));
    assert!(lab.broken().is_empty(), "{:?}", lab.broken());
}

#[test]
fn a_cut_in_one_direction_lets_the_other_pass() {
    if !common::ready() {
        return;
    }
    let lab = Lab::build().unwrap();
    let address = Cable::Heartbeat.address(B);
    // Known neighbours: else the missing ARP answer would stop the other direction too.
    for node in BOTH {
        let (peer, mac) = (Cable::Heartbeat.address(node.other()), Cable::Heartbeat.mac(node.other()));
        netlink::pin_neighbours(lab.node(node), "eth1", &[(peer.into(), mac)]).unwrap();
    }
    let heard = |from: NodeId| {
        let target = Cable::Heartbeat.address(from.other());
        let receiver = lab.node(from.other()).run(|| Ok(UdpSocket::bind((target, 6000))?)).unwrap();
        receiver.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        lab.node(from).run(|| Ok(UdpSocket::bind("0.0.0.0:0")?.send_to(b"x", (target, 6000))?)).unwrap();
        receiver.recv(&mut [0; 8]).is_ok()
    };
    lab.cut_one_way(A, Cable::Heartbeat).unwrap();
    assert!(!heard(A) && heard(B), "{address}");
    lab.mend_one_way(A, Cable::Heartbeat).unwrap();
    assert!(heard(A) && heard(B));
}

#[test]
fn loss_in_percent_loses_about_that_much() {
    if !common::ready() {
        return;
    }
    let lab = Lab::build().unwrap();
    netlink::pin_neighbours(lab.node(A), "eth1", &[(Cable::Heartbeat.address(B).into(), Cable::Heartbeat.mac(B))]).unwrap();
    lab.loss(A, 30).unwrap();
    let receiver = lab.node(B).run(|| Ok(UdpSocket::bind((Cable::Heartbeat.address(B), 6000))?)).unwrap();
    receiver.set_nonblocking(true).unwrap();
    let sender = lab.node(A).run(|| Ok(UdpSocket::bind("0.0.0.0:0")?)).unwrap();
    let mut arrived = 0;
    for _ in 0..2000 {
        sender.send_to(b"x", (Cable::Heartbeat.address(B), 6000)).unwrap();
        thread::sleep(Duration::from_micros(50));
        while receiver.recv(&mut [0; 8]).is_ok() {
            arrived += 1;
        }
    }
    // A frame from A to B matches one rule at the least and is dropped by 30 %.
    assert!((1250..1550).contains(&arrived), "{arrived} of 2000 arrived under 30 % loss");
    lab.loss(A, 0).unwrap();
    assert!(lab.broken().is_empty());
}

#[test]
fn the_probe_sees_who_serves_the_gap_and_two_owners() {
    if !common::ready() {
        return;
    }
    let lab = Lab::build().unwrap();
    let probe = Probe::start(&lab, VIP).unwrap();
    let never = AtomicBool::new(false);
    assert!(probe.serving().is_empty());
    serve(&lab, A);
    assert!(probe.wait_for_owner(A, Duration::from_secs(5), &never), "A serves by hand; heard {:?}", probe.serving());

    let calm = probe.now();
    thread::sleep(Duration::from_millis(500));
    let outcome = probe.outcome(calm, probe.now());
    assert_eq!((outcome.gap, outcome.two_owners, outcome.moves()), (Duration::ZERO, Duration::ZERO, 0), "{outcome:?}");

    let from = probe.now();
    assert_eq!(lab.foreign_delete_vip(A).unwrap(), 1);
    thread::sleep(Duration::from_millis(300));
    serve(&lab, B);
    assert!(probe.wait_for_owner(B, Duration::from_secs(5), &never));
    let outcome = probe.outcome(from, probe.now());
    assert!(outcome.gap >= Duration::from_millis(280) && outcome.gap < Duration::from_secs(3), "{outcome:?}");
    assert_eq!((outcome.moves(), outcome.two_owners), (1, Duration::ZERO), "{outcome:?}");

    let from = probe.now();
    netlink::add_addresses(lab.node(A), "eth0", &[(VIP.into(), 32)]).unwrap();
    thread::sleep(Duration::from_millis(400));
    assert_eq!(probe.serving(), [A, B]);
    lab.foreign_delete_vip(A).unwrap();
    let outcome = probe.outcome(from, probe.now());
    assert!(outcome.two_owners >= Duration::from_millis(300), "{outcome:?}");
    assert!(outcome.two_owners <= Duration::from_millis(600), "{outcome:?}");
}

#[test]
fn a_configuration_with_three_witnesses_gives_three_machines_that_fail_one_by_one() {
    if !common::ready() {
        return;
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/pairs/recipe-three.toml");
    let plan = Plan::of(&Config::read(&file).unwrap()).unwrap();
    let targets: Vec<Ipv4Addr> = plan.witnesses.iter().map(|all| all[0].0.to_string().parse().unwrap()).collect();
    assert_eq!(targets.len(), 3);
    let lab = Lab::build_for(plan).unwrap();
    let answering = |from: NodeId| -> Vec<bool> { targets.iter().map(|to| pings(lab.node(from), *to)).collect() };
    assert!(soon(|| answering(A) == [true; 3] && answering(B) == [true; 3]));
    lab.witness_off(1, true).unwrap();
    assert_eq!(answering(A), [true, false, true]);
    assert_eq!(lab.broken(), ["witness 2 is off"]);
    lab.witness_off(1, false).unwrap();
    assert!(soon(|| answering(B) == [true; 3]));
}

#[test]
fn heartbeats_are_damaged_or_filtered_and_other_frames_pass() {
    if !common::ready() {
        return;
    }
    let lab = Lab::build().unwrap();
    let (cable, port) = (Cable::Heartbeat.select(&lab.plan)[0], lab.plan.port);
    let target = Cable::Heartbeat.address(B);
    netlink::pin_neighbours(lab.node(A), "eth1", &[(target.into(), Cable::Heartbeat.mac(B))]).unwrap();
    let heard = |port: u16| -> Option<Vec<u8>> {
        let receiver = lab.node(B).run(|| Ok(UdpSocket::bind((target, port))?)).unwrap();
        receiver.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        lab.node(A).run(|| Ok(UdpSocket::bind("0.0.0.0:0")?.send_to(&[7; 64], (target, port))?)).unwrap();
        let mut buffer = [0; 128];
        receiver.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec())
    };
    assert_eq!(heard(port), Some(vec![7; 64]));
    lab.change_ways(&[(cable, 0, 1)], |way| way.corrupt = 1_000_000).unwrap();
    // Damaged; where the checksum was computed before the damage, the kernel drops it.
    assert_ne!(heard(port), Some(vec![7; 64]));
    assert_eq!(heard(port + 1), Some(vec![7; 64]), "only heartbeats");
    lab.change_ways(&[(cable, 0, 1)], |way| *way = Condition { no_heartbeats: true, ..Condition::default() }).unwrap();
    assert_eq!(heard(port), None);
    assert_eq!(heard(port + 1), Some(vec![7; 64]));
    lab.change_ways(&[(cable, 0, 1)], |way| *way = Condition::default()).unwrap();
    assert_eq!(heard(port), Some(vec![7; 64]));
    assert!(lab.broken().is_empty());
}

#[test]
fn power_off_kills_silences_and_forgets() {
    if !common::ready() {
        return;
    }
    let lab = Lab::build().unwrap();
    let mut child = lab.node(A).run(|| Ok(Command::new("sleep").arg("1000").spawn()?)).unwrap();
    assert_eq!(lab.node(A).pids(), [child.id()]);
    netlink::add_addresses(lab.node(A), "eth0", &[(VIP.into(), 32)]).unwrap();
    lab.power_off(A).unwrap();
    assert!(!child.wait().unwrap().success());
    assert!(!netlink::carrier(lab.node(A), "eth0").unwrap());
    assert_eq!(lab.foreign_delete_vip(A).unwrap(), 0, "the VIP is forgotten");
    lab.power_on(A).unwrap();
    assert!(lab.broken().is_empty());
    let until = Instant::now() + Duration::from_secs(3);
    while !pings(lab.node(A), GATEWAY) {
        assert!(Instant::now() < until, "the node's own addresses live on");
    }
}

#[test]
fn a_lab_leaves_nothing_behind_not_even_after_a_panic() {
    if !common::ready() {
        return;
    }
    let lab = Lab::build().unwrap();
    let paths = [lab.switch.path(), lab.gw.path(), lab.node(A).path()];
    let mut child = lab.node(A).run(|| Ok(Command::new("sleep").arg("1000").spawn()?)).unwrap();
    let prefix = lab.prefix().to_owned();
    assert!(paths.iter().all(|p| p.exists()));
    let panicked = thread::spawn(move || {
        let _lab = lab;
        panic!("on purpose");
    });
    assert!(panicked.join().is_err());
    assert!(paths.iter().all(|p| !p.exists()));
    assert!(!process::alive(child.id()), "what ran inside is gone");
    child.wait().unwrap();
    let left = std::fs::read_dir(ns::DIR).unwrap().filter_map(|e| e.ok()?.file_name().into_string().ok());
    assert_eq!(left.filter(|n| n.starts_with(&prefix)).count(), 0);
}

#[test]
fn the_sweep_takes_dead_runs_and_leaves_living_and_foreign_ones() {
    if !common::ready() {
        return;
    }
    let lab = Lab::build().unwrap();
    let living = lab.gw.path();
    // A dead run: the right form, a pid that exists (ours) with a start time that is not ours.
    let dead = format!("tbd{}-1-0-master1", std::process::id());
    let foreign = "tbdish-of-somebody-else";
    let path = |name: &str| Path::new(ns::DIR).join(name);
    for name in [dead.as_str(), foreign] {
        std::fs::File::create(path(name)).unwrap();
    }
    assert!(Prefix::maker(&dead).is_some());
    ns::sweep();
    assert!(!path(&dead).exists() && path(foreign).exists() && living.exists());
    std::fs::remove_file(path(foreign)).unwrap();
}
