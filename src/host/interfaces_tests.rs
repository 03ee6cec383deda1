#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use super::*;
use crate::test_net::{Netns, pair};

fn watch(netns: &Netns) -> (Watcher, Receiver<Told>, Arc<Seen>) {
    let (report, told) = channel();
    let (watcher, seen) = netns.inside(move || Watcher::start("eth0", move |what| drop(report.send(what))).unwrap());
    (watcher, told, seen)
}

/// The first thing told that is wanted.
fn until(told: &Receiver<Told>, wanted: impl Fn(&Seen) -> bool) -> Arc<Seen> {
    let end = Instant::now() + Duration::from_secs(3);
    while let Ok(what) = told.recv_timeout(end.saturating_duration_since(Instant::now())) {
        match what {
            Told::Seen(seen) if wanted(&seen) => return seen,
            _ => {}
        }
    }
    panic!("it was not told");
}

#[test]
fn an_interface_that_leaves_loses_carrier_or_its_address_is_told() {
    let Some((netns, peer)) = pair(1) else { return };
    let (_watcher, told, seen) = watch(&netns);
    let (own, late): (IpAddr, IpAddr) = ("10.9.0.1".parse().unwrap(), "10.9.7.1".parse().unwrap());
    assert_eq!(seen.state("eth0", own), InterfaceState::Up);
    assert_eq!(seen.state("late0", late), InterfaceState::Missing);
    let steps: [(&Netns, &str, &str, InterfaceState); 6] = [
        (&peer, "ip link set eth0 down", "eth0", InterfaceState::NoCarrier),
        (&peer, "ip link set eth0 up", "eth0", InterfaceState::Up),
        (&netns, "ip addr del 10.9.0.1/24 dev eth0", "eth0", InterfaceState::NoAddress),
        (&netns, "ip addr add 10.9.0.1/24 dev eth0", "eth0", InterfaceState::Up),
        (&netns, "ip link add late0 type veth peer name late1", "late0", InterfaceState::NoCarrier),
        (&netns, "ip link del late0", "late0", InterfaceState::Missing),
    ];
    for (place, command, name, state) in steps {
        place.run(command);
        until(&told, |seen| seen.state(name, if name == "eth0" { own } else { late }) == state);
    }
}

#[test]
fn an_interface_made_anew_between_two_looks_is_told_by_its_index() {
    let Some((netns, peer)) = pair(1) else { return };
    let (_watcher, told, before) = watch(&netns);
    let again = format!(
        "link del eth0\nlink add eth0 type veth peer name eth0 netns {}\naddr add 10.9.0.1/24 dev eth0\nlink set eth0 up\n",
        peer.name
    );
    let file = std::env::temp_dir().join(&netns.name);
    std::fs::write(&file, again).unwrap();
    netns.run(&format!("ip -batch {}", file.display()));
    std::fs::remove_file(file).unwrap();
    let old = before.card("eth0").unwrap().index;
    let now = until(&told, |seen| seen.card("eth0").is_some_and(|card| card.index != old));
    assert_eq!(netns.inside(|| index_of("eth0").unwrap()), now.card("eth0").unwrap().index);
    assert!(netns.inside(|| index_of("none0").is_err()));
}

#[test]
fn what_changes_nothing_is_not_told_and_a_question_is_answered() {
    let Some((netns, _peer)) = pair(1) else { return };
    let (watcher, told, _) = watch(&netns);
    // The kernel itself adds the link-local address, and tells of carrier, up to a second behind a link that comes up (net/core/link_watch.c).
    while told.recv_timeout(Duration::from_millis(1500)).is_ok() {}
    for _ in 0..20 {
        // A refreshed lifetime.
        netns.run("ip addr change 10.9.0.1/24 dev eth0 valid_lft 100 preferred_lft 100");
        watcher.look();
    }
    assert!(told.recv_timeout(Duration::from_millis(300)).is_err());
    assert_eq!(watcher.waits(clock::now()), Span::ZERO);
    drop(watcher);
    assert!(matches!(told.recv_timeout(Duration::from_secs(3)), Err(std::sync::mpsc::RecvTimeoutError::Disconnected)));
}

#[test]
fn carrier_is_read_in_the_namespace_of_the_socket() {
    let Some((netns, peer)) = pair(1) else { return };
    let carrier: Carrier = netns.inside(|| Carrier::new().unwrap());
    assert_eq!(carrier.read("eth0"), Some(true));
    peer.run("ip link set eth0 down");
    assert_eq!(carrier.read("eth0"), Some(false));
    assert_eq!(carrier.read("none0"), None);
    assert_eq!(carrier.read("a-name-that-is-too-long"), None);
}

/// What 500 addresses make of events is more than a socket holds by default; nothing of it is lost without a look.
#[test]
fn no_event_of_many_addresses_is_lost() {
    let Some((netns, _peer)) = pair(1) else { return };
    let (_watcher, told, _) = watch(&netns);
    let file = std::env::temp_dir().join(&netns.name);
    let many: String = (0..512).map(|n| format!("addr add 10.77.{}.{}/32 dev eth0\n", n / 250, n % 250 + 1)).collect();
    std::fs::write(&file, many).unwrap();
    netns.run(&format!("ip -batch {}", file.display()));
    std::fs::remove_file(file).unwrap();
    until(&told, |seen| seen.addresses.iter().filter(|(_, a)| a.to_string().starts_with("10.77.")).count() == 512);
}

#[test]
#[ignore = "a measurement: run it alone, in release"]
fn measure_carrier() {
    let Some((netns, _peer)) = pair(1) else { return };
    let carrier = netns.inside(|| Carrier::new().unwrap());
    let start = Instant::now();
    for _ in 0..100_000 {
        assert_eq!(carrier.read("eth0"), Some(true));
    }
    println!("carrier: {} ns a call", start.elapsed().as_nanos() / 100_000);
    let mut ask = netns.inside(|| Channel::open(netlink_sys::protocols::NETLINK_ROUTE).unwrap());
    let start = Instant::now();
    for _ in 0..1000 {
        look(&mut ask).unwrap();
    }
    println!("look at everything: {} us a call", start.elapsed().as_micros() / 1000);
}
