#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::IpAddr;

use super::*;
use crate::routes::entry::{Network, Rule};
use crate::test_net::Netns;

fn world() -> Option<Netns> {
    let netns = Netns::new()?;
    netns.run("ip link add eth0 type veth peer name peer0");
    netns.run("ip link set eth0 up");
    netns.run("ip link set peer0 up");
    netns.run("ip addr add 10.9.0.1/24 dev eth0");
    netns.run("ip addr add 10.9.0.100/32 dev eth0");
    netns.run("ip addr add fd09::1/64 dev eth0 nodad");
    netns.run("ip addr add fd09::100/128 dev eth0 nodad");
    Some(netns)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn net(text: &str) -> Network {
    let (address, prefix) = text.split_once('/').unwrap();
    (ip(address), prefix.parse().unwrap())
}

fn route(to: &str, via: Option<&str>, source: Option<&str>, table: u32) -> Route {
    let metric = if to.contains(':') { 1024 } else { 0 };
    let (via, source) = (via.map(ip), source.map(ip));
    Route { to: net(to), via, interface: "eth0".to_owned(), source, table, metric, onlink: false }
}

fn rule(from: &str, table: u32, priority: u32) -> Rule {
    Rule { v4: !from.contains(':'), from: Some(net(from)), to: None, fwmark: None, table, priority }
}

/// One of each kind.
fn all() -> Vec<Entry> {
    let routes = [
        route("10.20.0.0/16", Some("10.9.0.2"), None, 254),
        route("0.0.0.0/0", Some("10.9.0.2"), Some("10.9.0.100"), 100),
        Route { metric: 77, ..route("10.30.0.0/16", None, None, 100_000) },
        Route { onlink: true, ..route("10.40.0.0/16", Some("172.30.0.1"), None, 100) },
        route("fd20::/32", Some("fd09::2"), None, 254),
        route("::/0", Some("fe80::9"), Some("fd09::100"), 100),
        route("fd30::/32", None, None, 100),
    ];
    let rules = [
        rule("10.9.0.100/32", 100, 1000),
        Rule { from: None, to: Some(net("10.50.0.0/16")), fwmark: Some((0x10, 0xff)), ..rule("10.9.0.100/32", 100_000, 1001) },
        Rule { from: None, fwmark: Some((7, u32::MAX)), ..rule("10.9.0.100/32", 100, 1002) },
        Rule { from: None, fwmark: Some((0, 1)), ..rule("10.9.0.100/32", 100, 1003) },
        rule("fd09::100/128", 100, 1000),
    ];
    routes.into_iter().map(Entry::Route).chain(rules.into_iter().map(Entry::Rule)).collect()
}

fn names(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(ToString::to_string).collect()
}

/// What is there of ours, as ip(8) sees it.
fn ours(netns: &Netns) -> String {
    ["ip -4 route show table all proto 117", "ip -6 route show table all proto 117", "ip -4 rule show", "ip -6 rule show"]
        .map(|command| {
            netns
                .run(command)
                .lines()
                .filter(|line| {
                    !line.contains("lookup local") && !line.contains("lookup main") && !line.contains("lookup default")
                })
                .map(|line| format!("{}\n", line.trim()))
                .collect::<String>()
        })
        .concat()
}

#[test]
fn each_kind_is_set_in_order_known_again_and_taken_away_in_reverse() {
    let Some(netns) = world() else { return };
    let foreign = ["ip route add 10.60.0.0/16 via 10.9.0.2 proto static", "ip rule add from 10.9.0.1 lookup 7 priority 500"];
    foreign.iter().for_each(|command| drop(netns.run(command)));
    let before = ours(&netns);
    let all = all();
    netns.inside(|| {
        let done = Routing::new().unwrap().make(&all, &all).unwrap();
        assert_eq!((done.set, done.gone, done.troubles), (names(&all), vec![], vec![]));
        // Another life knows them again, and does nothing.
        assert_eq!(Routing::new().unwrap().make(&all, &all).unwrap(), Done::default());
    });
    let seen = ours(&netns);
    for line in [
        "default via 10.9.0.2 dev eth0 table 100 src 10.9.0.100",
        "10.30.0.0/16 dev eth0 table 100000 scope link metric 77",
        "10.40.0.0/16 via 172.30.0.1 dev eth0 table 100 onlink",
        "default via fe80::9 dev eth0 table 100 src fd09::100 metric 1024",
        "1000:\tfrom 10.9.0.100 lookup 100 proto 117",
        "1001:\tfrom all to 10.50.0.0/16 fwmark 0x10/0xff lookup 100000 proto 117",
        "1000:\tfrom fd09::100 lookup 100 proto 117",
    ] {
        assert!(seen.contains(line), "{line:?} is not in\n{seen}");
    }
    netns.inside(|| {
        // As a kernel before 4.20, which answers with everybody's.
        let mut unfiltered = Routing { channel: Channel::open(netlink_sys::protocols::NETLINK_ROUTE).unwrap() };
        let done = unfiltered.make(&[], &all).unwrap();
        assert_eq!((done.gone, done.set, done.troubles), (names(&all).into_iter().rev().collect(), vec![], vec![]));
    });
    assert_eq!(ours(&netns), before, "another hand's are left alone");
    assert!(netns.run("ip route show").contains("10.60.0.0/16"));
}

#[test]
fn what_another_life_set_and_nobody_wants_goes_and_what_was_changed_is_changed() {
    let Some(netns) = world() else { return };
    let old = [Entry::Route(route("0.0.0.0/0", Some("10.9.0.2"), None, 100)), Entry::Rule(rule("10.9.0.100/32", 100, 1000))];
    let new = [Entry::Route(route("0.0.0.0/0", Some("10.9.0.3"), None, 100)), Entry::Rule(rule("10.9.0.100/32", 100, 999))];
    netns.inside(|| {
        Routing::new().unwrap().make(&old, &old).unwrap();
        let done = Routing::new().unwrap().make(&new, &new).unwrap();
        assert_eq!((done.gone.len(), done.set, done.troubles), (2, names(&new), vec![]));
    });
    let seen = ours(&netns);
    assert!(
        seen.contains("10.9.0.3") && seen.contains("999:") && !seen.contains("10.9.0.2") && !seen.contains("1000:"),
        "{seen}"
    );
}

#[test]
fn what_cannot_be_set_is_told_and_the_rest_is_set() {
    let Some(netns) = world() else { return };
    netns.run("ip route add 10.60.0.0/16 via 10.9.0.2 proto static");
    netns.run("ip rule add from 10.9.0.100 lookup 100 priority 1000 proto static");
    let good = Entry::Route(route("10.20.0.0/16", Some("10.9.0.2"), None, 254));
    let wanted = [
        Entry::Route(Route { interface: "eth9".to_owned(), ..route("10.21.0.0/16", None, None, 254) }),
        Entry::Route(route("10.22.0.0/16", Some("172.30.0.1"), None, 254)),
        Entry::Route(route("10.23.0.0/16", Some("10.9.0.2"), Some("10.9.0.101"), 254)),
        Entry::Route(route("10.60.0.0/16", Some("10.9.0.3"), None, 254)),
        Entry::Rule(rule("10.9.0.100/32", 100, 1000)),
        good.clone(),
    ];
    // A rule beside another hand's is another one to the kernel; a route is not.
    let set = names(&wanted[4..]);
    netns.inside(|| {
        let mut routing = Routing::new().unwrap();
        let taken: Vec<String> = routing.taken(wanted.iter()).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(taken, ["10.60.0.0/16 via 10.9.0.3 dev eth0 table 254"], "known beforehand");
        let done = routing.make(&wanted, &wanted).unwrap();
        assert_eq!(done.set, set);
        assert_eq!(routing.taken(wanted.iter()).unwrap().len(), 1, "our own are nobody's");
        let told: Vec<String> = done.troubles.iter().map(|trouble| format!("{}: {}", trouble.what, trouble.why)).collect();
        for (part, of) in [
            ("10.21.0.0/16", "no interface eth9"),
            ("10.22.0.0/16", "`onlink`"),
            ("10.23.0.0/16", "its source"),
            ("10.60.0.0/16", "has not set"),
        ] {
            assert!(told.iter().any(|line| line.contains(part) && line.contains(of)), "{part}: {of}: {told:#?}");
        }
        let gone = Routing::new().unwrap().make(&[], &wanted).unwrap();
        assert_eq!(gone.gone.len(), set.len());
    });
    assert!(netns.run("ip route show").contains("10.60.0.0/16 via 10.9.0.2 dev eth0 proto static"), "not replaced");
    assert!(netns.run("ip rule show").contains("from 10.9.0.100 lookup 100 proto static"));
}

#[test]
fn an_interface_that_was_down_gets_its_routes_back() {
    let Some(netns) = world() else { return };
    let wanted = [Entry::Route(route("10.20.0.0/16", Some("10.9.0.2"), None, 254))];
    let mut routing = netns.inside(|| Routing::new().unwrap());
    netns.inside(|| routing.make(&wanted, &wanted).unwrap());
    netns.run("ip link set eth0 down");
    let done = netns.inside(|| routing.make(&wanted, &wanted).unwrap());
    assert!(done.set.is_empty() && done.troubles.len() == 1, "{done:?}");
    netns.run("ip link set eth0 up");
    assert_eq!(netns.inside(|| routing.make(&wanted, &wanted).unwrap()).set, names(&wanted));
}
