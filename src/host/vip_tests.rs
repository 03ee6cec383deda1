#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::test_net::Netns;

fn world() -> Option<(Netns, Vips, Vec<Vec<Vip>>)> {
    let netns = Netns::new()?;
    netns.run("ip link add eth0 type veth peer name peer0");
    netns.run("ip link set eth0 up");
    netns.run("ip addr add 10.9.0.1/24 dev eth0");
    let vip = |address: &str, prefix, label: Option<&str>| Vip {
        address: address.parse().unwrap(),
        prefix,
        interface: "eth0".to_owned(),
        label: label.map(str::to_owned),
    };
    let groups = vec![
        vec![vip("10.9.0.100", 24, Some("eth0:0")), vip("fd09::100", 64, None)],
        vec![vip("172.30.5.7", 24, None), vip("172.30.5.8", 24, None)],
    ];
    let vips = netns.inside(|| Vips::new(groups.clone()).unwrap());
    Some((netns, vips, groups))
}

#[test]
fn vips_come_with_a_lifetime_and_go_without_a_trace() {
    let Some((netns, mut vips, _)) = world() else { return };
    assert_eq!(netns.inside(|| vips.carry_out(0, AddressOrder::Add(Span::millis(700)))), AddressReport::Added);
    let shown = netns.run("ip addr show dev eth0");
    assert!(shown.contains("10.9.0.100/32") && shown.contains("eth0:0") && shown.contains("fd09::100/128"), "{shown}");
    assert!(shown.contains("valid_lft 2sec") || shown.contains("valid_lft 1sec"), "{shown}");
    assert!(!shown.contains("fd09::100/128 scope global tentative"), "{shown}");
    let routes = netns.run("ip -6 route show");
    assert!(routes.contains("fd09::/64 dev eth0 proto 116"), "no own IPv6 address: a route is needed; {routes}");
    assert!(!netns.run("ip route show").contains("proto 116"), "an own IPv4 address is there: no route");
    assert_eq!(vips.present(0).unwrap().len(), 2);
    netns.run("ip addr add 10.9.0.100/24 dev lo");
    for _ in 0..2 {
        assert_eq!(netns.inside(|| vips.carry_out(0, AddressOrder::Remove)), AddressReport::Removed);
    }
    assert!(vips.present(0).unwrap().is_empty());
    let shown = netns.run("ip addr show");
    assert!(shown.contains("10.9.0.1/24") && !shown.contains("10.9.0.100"), "{shown}");
    assert!(!netns.run("ip -6 route show").contains("proto 116"));
}

#[test]
fn a_route_stays_while_another_address_of_its_network_does_and_the_lifetime_ends_it_all() {
    let Some((netns, mut vips, _)) = world() else { return };
    assert_eq!(netns.inside(|| vips.carry_out(1, AddressOrder::Add(Span::secs(1)))), AddressReport::Added);
    assert!(netns.run("ip route show").contains("172.30.5.0/24 dev eth0 proto 116 scope link"));
    std::thread::sleep(std::time::Duration::from_millis(1000));
    assert_eq!(netns.inside(|| vips.carry_out(1, AddressOrder::Refresh(Span::secs(2)))), AddressReport::Added);
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert_eq!(vips.present(1).unwrap().len(), 2, "refreshed");
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert!(vips.present(1).unwrap().is_empty(), "expired");
    assert_eq!(netns.inside(|| vips.carry_out(1, AddressOrder::Refresh(Span::secs(2)))), AddressReport::Removed);
    assert!(vips.present(1).unwrap().is_empty(), "a refresh brings nothing back");
}

#[test]
fn a_foreign_deletion_is_heard_and_an_own_one_is_not() {
    let Some((netns, mut vips, groups)) = world() else { return };
    let mut watch = netns.inside(|| VipWatch::new(&groups, vips.port()).unwrap());
    for group in [0, 1] {
        assert_eq!(netns.inside(|| vips.carry_out(group, AddressOrder::Add(Span::secs(30)))), AddressReport::Added);
    }
    assert_eq!(netns.inside(|| vips.carry_out(1, AddressOrder::Remove)), AddressReport::Removed);
    netns.run("ip addr del 10.9.0.100/32 dev eth0");
    let (end, daemon) = std::io::pipe().unwrap();
    drop(daemon);
    let mut heard = Vec::new();
    for _ in 0..20 {
        heard.extend(watch.wait(&end).unwrap().into_iter().flatten());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(heard, vec![0]);
    let AddressReport::Failed(reason) = netns.inside(|| vips.carry_out(0, AddressOrder::Refresh(Span::secs(30)))) else {
        panic!()
    };
    assert_eq!(reason, "gone: 10.9.0.100");
    assert_eq!(vips.present(0).unwrap(), vec!["fd09::100".parse::<IpAddr>().unwrap()]);
}

#[test]
fn a_sweep_removes_what_an_earlier_life_left_and_nothing_else() {
    let Some((netns, mut vips, groups)) = world() else { return };
    for group in [0, 1] {
        assert_eq!(netns.inside(|| vips.carry_out(group, AddressOrder::Add(Span::secs(30)))), AddressReport::Added);
    }
    let mut next = netns.inside(|| Vips::new(groups[..1].to_vec()).unwrap());
    assert_eq!(next.sweep().unwrap().len(), 2);
    assert_eq!((vips.present(0).unwrap().len(), vips.present(1).unwrap().len()), (2, 0));
}

#[test]
fn many_addresses_come_in_one_burst() {
    let Some((netns, _, _)) = world() else { return };
    let vip = |n: u32| Vip {
        address: IpAddr::V4((0x0a09_0000 + 200 + n).into()),
        prefix: 16,
        interface: "eth0".to_owned(),
        label: None,
    };
    let mut vips = netns.inside(|| Vips::new(vec![(0..1000).map(vip).collect()]).unwrap());
    let start = now();
    assert_eq!(netns.inside(|| vips.carry_out(0, AddressOrder::Add(Span::secs(30)))), AddressReport::Added);
    println!("1000 added in {}", now().since(start));
    assert_eq!(vips.present(0).unwrap().len(), 1000);
    assert_eq!(netns.inside(|| vips.carry_out(0, AddressOrder::Refresh(Span::secs(30)))), AddressReport::Added);
    assert_eq!(netns.inside(|| vips.carry_out(0, AddressOrder::Remove)), AddressReport::Removed);
}
