//! The gate on every way that a packet can take through the real kernel, under foreign hands, and on large hosts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use super::tests::*;
use super::*;
use crate::clock::now;
use crate::test_net::{Netns, pair};
use twinbeat_core::id::GroupId;
use twinbeat_core::io::{GateOrder, GateReport};
use twinbeat_core::time::Span;

pub(super) const LONG: Span = Span::secs(20);

pub(super) fn nft(netns: &Netns, text: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text.replace("} }", "}\n}").replace("} }", "}\n}")).unwrap();
    netns.run(&format!("nft -f {}", file.path().display()));
}

/// Whether that is so within three seconds: addresses and links of a new interface take their time.
pub(super) fn soon(is: impl Fn() -> bool) -> bool {
    (0..10).any(|_| {
        is() || {
            std::thread::sleep(Duration::from_millis(100));
            false
        }
    })
}

/// A third namespace behind a node: 172.30.0.2 and fd30::2 on its eth0, the node's end is `guest`, unless that is a bridge's port.
pub(super) fn guest(node: &Netns, bridge: Option<&str>) -> Netns {
    let guest = Netns::new().unwrap();
    node.run(&format!("ip link add guest type veth peer name eth0 netns {}", guest.name));
    node.run("ip link set guest up");
    guest.run("ip link set eth0 up");
    if let Some(bridge) = bridge {
        node.run(&format!("ip link set guest master {bridge}"));
        guest.run("ip addr add 10.9.0.77/24 dev eth0");
        guest.run("ip addr add fd09:0::77/64 dev eth0 nodad");
        return guest;
    }
    for (end, host) in [(node, 1), (&guest, 2)] {
        let name = if host == 1 { "guest" } else { "eth0" };
        end.run(&format!("ip addr add 172.30.0.{host}/24 dev {name}"));
        end.run(&format!("ip addr add fd30::{host}/64 dev {name} nodad"));
    }
    guest.run("ip route add default via 172.30.0.1");
    guest.run("ip route add default via fd30::1");
    for key in ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"] {
        node.run(&format!("sysctl -qw {key}=1"));
    }
    guest
}

pub(super) fn serve(netns: &Netns, addresses: &[&str]) {
    netns.inside(|| {
        for address in addresses {
            let socket = UdpSocket::bind(SocketAddr::new(address.parse().unwrap(), 7)).unwrap();
            std::thread::spawn(move || echo(&socket));
        }
    });
}

/// Whether a socket that is connected already gets an answer.
pub(super) fn still_answers(socket: &UdpSocket) -> bool {
    while socket.recv(&mut [0; 8]).is_ok() {}
    socket.send(b"?").is_ok() && socket.recv(&mut [0; 8]).is_ok()
}

pub(super) fn connect(netns: &Netns, to: &str) -> UdpSocket {
    netns.inside(|| {
        let to = SocketAddr::new(to.parse().unwrap(), 7);
        let socket = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).unwrap();
        socket.connect(to).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(150))).unwrap();
        socket
    })
}

fn mac(netns: &Netns, interface: &str) -> String {
    std::str::from_utf8(netns.run(&format!("cat /sys/class/net/{interface}/address")).as_bytes()).unwrap().trim().to_owned()
}

/// The other node, with an installed, closed gate and without the VIPs, which are on the far side of eth0.
fn standby() -> Option<(Netns, Netns, Gate)> {
    let (standby, owner) = pair(1)?;
    owner.run(&format!("ip addr add {VIP4}/32 dev eth0"));
    owner.run("ip addr add fd09:0::100/128 dev eth0 nodad");
    let gate = standby.inside(|| {
        let mut gate = Gate::new("twinbeat_t_a", vec![vips()]).unwrap();
        gate.install().unwrap();
        gate
    });
    serve(&owner, &[VIP4, "fd09:0::100"]);
    Some((standby, owner, gate))
}

#[test]
fn a_container_published_on_the_vip_and_its_connections_are_silent_while_the_gate_is_closed() {
    let Some((owner, client, mut gate)) = world(1) else { return };
    let inside = guest(&owner, None);
    serve(&inside, &["172.30.0.2", "fd30::2"]);
    nft(&owner, "table inet n { chain p { type nat hook prerouting priority -100; ip daddr 10.9.0.100 udp dport 7 dnat ip to 172.30.0.2; ip6 daddr fd09:0::100 udp dport 7 dnat ip6 to fd30::2; }
        chain s { type nat hook postrouting priority 100; ip saddr 172.30.0.2 udp dport 9 snat ip to 10.9.0.100; ip6 saddr fd30::2 udp dport 9 snat ip6 to fd09:0::100; } }");
    let hears = client.inside(|| ["10.9.0.2:9", "[fd09:0::2]:9"].map(|any| UdpSocket::bind(any).unwrap()));
    for (heard, vip, far, own) in
        [(&hears[0], VIP4, "10.9.0.2:9", "10.9.0.1"), (&hears[1], "fd09:0::100", "[fd09:0::2]:9", "fd09:0::1")]
    {
        heard.set_read_timeout(Some(Duration::from_millis(150))).unwrap();
        let far: SocketAddr = far.parse().unwrap();
        let speaks = inside.inside(|| UdpSocket::bind(if far.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).unwrap());
        let masked = || {
            speaks.send_to(b"!", far).unwrap();
            heard.recv_from(&mut [0; 8]).map(|(_, from)| from.ip().to_string()).ok()
        };
        gate.open(0, now() + LONG).unwrap();
        assert!(answers(&client, own, 500), "neighbours are known");
        let kept = connect(&client, vip);
        assert!(soon(|| still_answers(&kept)), "{vip}: the container does not answer through an open gate");
        assert!(soon(|| masked() == Some(vip.replace("fd09:0:", "fd09:"))), "masquerade through an open gate");
        gate.close(0).unwrap();
        assert!(!still_answers(&kept), "{vip}: an established connection goes on");
        assert_eq!(masked(), None, "{vip}: masquerade through a closed gate");
        assert!(!answers(&client, vip, 150));
        // The address is gone, the translation is not, and the client's table still names this node.
        let whole = if vip == VIP4 { "10.9.0.100/32" } else { "fd09:0::100/128" };
        let at = mac(&owner, "eth0");
        owner.run(&format!("ip addr del {whole} dev eth0"));
        client.run(&format!("ip neigh replace {vip} lladdr {at} dev eth0 nud permanent"));
        assert!(!still_answers(&kept) && !still_answers(&connect(&client, vip)), "{vip}: answered without the address");
        assert_eq!(masked(), None, "{vip}: masquerade without the address");
        gate.open(0, now() + LONG).unwrap();
        assert!(soon(|| still_answers(&connect(&client, vip))), "what kept the container silent is the gate");
    }
}

#[test]
fn guests_behind_a_standby_reach_the_vip_that_the_other_node_serves() {
    let Some((standby, _owner, _gate)) = standby() else { return };
    let inside = guest(&standby, None);
    _owner.run("ip route add 172.30.0.0/24 via 10.9.0.1");
    _owner.run("ip route add fd30::/64 via fd09:0::1");
    for vip in [VIP4, "fd09:0::100"] {
        assert!(soon(|| answers(&inside, vip, 200)), "{vip}: routed");
    }
    nft(&standby, "table inet n { chain s { type nat hook postrouting priority 100; oifname \"eth0\" masquerade; } }");
    for vip in [VIP4, "fd09:0::100"] {
        assert!(soon(|| answers(&inside, vip, 200)), "{vip}: masqueraded as the standby's own address");
        assert!(answers(&standby, vip, 500), "{vip}: the standby itself");
    }
    // A mark of somebody else's is not taken away; such packets do not pass.
    nft(&standby, "table inet m { chain f { type filter hook prerouting priority -300; iifname \"eth0\" meta mark set 0x1; } }");
    assert!(!answers(&inside, VIP4, 150));
}

#[test]
fn what_is_diverted_to_a_standby_that_routes_is_dropped_before_connections_are_tracked() {
    let Some((standby, owner, _gate)) = standby() else { return };
    let _inside = guest(&standby, None);
    let third = Netns::new().unwrap();
    // Three machines in one segment: a bridge in the owner's namespace.
    owner.run("ip link add sw type bridge");
    owner.run(&format!("ip link add p3 type veth peer name eth0 netns {}", third.name));
    for line in [
        "ip link set p3 master sw up",
        "ip link set sw up",
        "ip addr flush dev eth0",
        "ip link set eth0 master sw",
        "ip addr add 10.9.0.2/24 dev sw",
        "ip addr add 10.9.0.100/32 dev sw",
        "ip addr add fd09:0::2/64 dev sw nodad",
        "ip addr add fd09:0::100/128 dev sw nodad",
    ] {
        owner.run(line);
    }
    third.run("ip link set eth0 up");
    third.run("ip addr add 10.9.0.3/24 dev eth0");
    third.run("ip addr add fd09:0::3/64 dev eth0 nodad");
    let at = mac(&standby, "eth0");
    nft(
        &standby,
        "table inet c { chain p { type filter hook prerouting priority -150; ct state new ip daddr 10.9.0.100 counter; ct state new ip6 daddr fd09:0::100 counter; } }",
    );
    for (vip, own) in [(VIP4, "10.9.0.1"), ("fd09:0::100", "fd09:0::1")] {
        let _ = answers(&third, own, 300);
        third.run(&format!("ip neigh replace {vip} lladdr {at} dev eth0 nud permanent"));
        assert!(!still_answers(&connect(&third, vip)), "{vip}: went through the standby");
    }
    let counted = standby.run("nft list table inet c");
    assert_eq!(counted.matches("counter packets 0 ").count(), 2, "{counted}");
}

#[test]
fn bridged_guests_pass_and_a_bridge_or_macvlan_with_the_vip_is_guarded() {
    for filtered in [0, 1] {
        let Some((standby, _owner, mut gate)) = standby() else { return };
        for line in [
            "ip link add br0 type bridge",
            "ip link set br0 up",
            "ip addr flush dev eth0",
            "ip link set eth0 master br0",
            "ip addr add 10.9.0.1/24 dev br0",
            "ip addr add fd09:0::1/64 dev br0 nodad",
        ] {
            standby.run(line);
        }
        for table in ["ip", "ip6", "arp"] {
            let key = format!("net.bridge.bridge-nf-call-{table}tables");
            if std::path::Path::new(&format!("/proc/sys/{}", key.replace('.', "/"))).exists() {
                standby.run(&format!("sysctl -qw {key}={filtered}"));
            } else {
                eprintln!("not tried: br_netfilter ({key}) is not there");
            }
        }
        let inside = guest(&standby, Some("br0"));
        for vip in [VIP4, "fd09:0::100"] {
            assert!(soon(|| answers(&inside, vip, 200)), "{vip}: bridged, br_netfilter {filtered}");
        }
        // And now this node has it as well: closed on the bridge, to a guest and to the segment.
        standby.run(&format!("ip addr add {VIP4}/32 dev br0"));
        standby.run("ip addr add fd09:0::100/128 dev br0 nodad");
        serve(&standby, &[VIP4, "fd09:0::100"]);
        let at = mac(&standby, "br0");
        for (from, vip) in [(&inside, VIP4), (&inside, "fd09:0::100")] {
            let ask = || {
                from.run(&format!("ip neigh replace {vip} lladdr {at} dev eth0 nud permanent"));
                let answered = still_answers(&connect(from, vip));
                from.run(&format!("ip neigh del {vip} dev eth0"));
                answered
            };
            gate.open(0, now() + LONG).unwrap();
            assert!(soon(ask), "{vip} does not answer on a bridge through an open gate");
            gate.close(0).unwrap();
            assert!(!ask(), "{vip} answers on a bridge through a closed gate, br_netfilter {filtered}");
        }
    }
    let Some((owner, client, mut gate)) = world(1) else { return };
    owner.run("ip link add mv0 link eth0 type macvlan mode bridge");
    for line in [
        "ip link set mv0 up",
        "ip addr del 10.9.0.100/32 dev eth0",
        "ip addr add 10.9.0.100/32 dev mv0",
        "ip addr del fd09:0::100/128 dev eth0",
        "ip addr add fd09:0::100/128 dev mv0 nodad",
    ] {
        owner.run(line);
    }
    for vip in [VIP4, "fd09:0::100"] {
        gate.open(0, now() + LONG).unwrap();
        assert!(soon(|| answers(&client, vip, 200)), "{vip} on a macvlan");
        gate.close(0).unwrap();
        assert!(!answers(&client, vip, 300) && !lladdr(&client, vip), "{vip} on a macvlan");
    }
}

#[test]
fn questions_to_the_unicast_address_and_for_a_proxied_one_go_unanswered() {
    let Some((owner, client, mut gate)) = world(1) else { return };
    let at = mac(&owner, "eth0");
    // A neighbour that knows the entry asks by unicast whether it still holds.
    let confirmed = |vip: &str| {
        client.run(&format!("ip neigh replace {vip} lladdr {at} dev eth0 nud probe"));
        std::thread::sleep(Duration::from_millis(400));
        let state = client.run(&format!("ip neigh show {vip} dev eth0"));
        client.run(&format!("ip neigh del {vip} dev eth0"));
        state.contains("REACHABLE")
    };
    for vip in [VIP4, "fd09:0::100"] {
        gate.open(0, now() + LONG).unwrap();
        assert!(soon(|| confirmed(vip)), "{vip} is not confirmed through an open gate");
        gate.close(0).unwrap();
        assert!(!confirmed(vip), "{vip} is confirmed through a closed gate");
    }
    // The VIP behind another interface, and this node answers for what is there.
    let _behind = guest(&owner, None);
    for line in [
        "ip addr del 10.9.0.100/32 dev eth0",
        "ip addr del fd09:0::100/128 dev eth0",
        "sysctl -qw net.ipv4.conf.eth0.proxy_arp=1",
        "sysctl -qw net.ipv6.conf.eth0.proxy_ndp=1",
        "ip -6 neigh add proxy fd09:0::100 dev eth0",
        "ip route add 10.9.0.100/32 via 172.30.0.2",
        "ip route add fd09:0::100/128 via fd30::2",
    ] {
        owner.run(line);
    }
    let resolved = |vip: &str| {
        let _ = answers(&client, vip, 1200);
        lladdr(&client, vip)
    };
    gate.open(0, now() + LONG).unwrap();
    for vip in [VIP4, VIP6] {
        assert!(soon(|| resolved(vip)), "{vip}: what keeps the proxy silent is the gate");
    }
    gate.close(0).unwrap();
    for vip in [VIP4, VIP6] {
        assert!(!resolved(vip), "{vip}: proxied through a closed gate");
    }
}

#[test]
fn whatever_a_foreign_hand_takes_or_adds_is_made_again() {
    let Some((owner, client, gate)) = world(1) else { return };
    let (thread, _watch, events) = thread(&owner, gate);
    let next = |what: &str| events.recv_timeout(Duration::from_secs(10)).unwrap_or_else(|_| panic!("no event: {what}"));
    let orders = thread.orders();
    let mut generation = 0;
    let mut order = |order| {
        generation += 1;
        orders.order(GroupId(0), generation, order);
        generation
    };
    let hands = [
        "flush ruleset",
        "flush table inet T",
        "flush table arp T",
        "delete table inet T",
        "delete table arp T",
        "flush set inet T vip4",
        "delete element inet T vip6 { fd09:0::100 }",
        "delete element arp T vip4 { 10.9.0.100 }",
        "flush set inet T open4",
        "flush set inet T open6",
        "flush set arp T open4",
        "flush chain inet T postrouting",
        "flush chain arp T input",
        "insert rule inet T input accept",
        "insert rule arp T output accept",
        "add table inet T { flags dormant; }",
        "delete table inet T; add table inet T; add chain inet T input { type filter hook forward priority 0; }",
        "delete table arp T; add table arp T; add set arp T open4 { type ipv4_addr; }",
    ];
    for hand in hands {
        let opened = order(GateOrder::Open(now() + LONG));
        let report_of = |event| if event == GateEvent::TableGone { next(hand) } else { event };
        assert_eq!(report_of(next(hand)), report(opened, GateReport::Opened), "{hand}");
        nft(&owner, &hand.replace(" T", " twinbeat_t_a").replace("; ", "\n"));
        assert_eq!(next(hand), GateEvent::TableGone, "{hand}");
        let rebuilt = order(GateOrder::Rebuild(now() + LONG));
        // What is seen of one hand may be several events.
        let seen: Vec<GateEvent> =
            std::iter::repeat_with(|| next(hand)).take_while(|event| *event == GateEvent::TableGone).collect();
        assert!(seen.len() < 3, "{hand}: {seen:?}");
        let whole = order(GateOrder::Renew(now() + LONG));
        let mut last = next(hand);
        while last == GateEvent::TableGone {
            last = next(hand);
        }
        assert!(
            last == report(whole, GateReport::Renewed) || last == report(whole, GateReport::Opened),
            "{hand}: {rebuilt} {last:?}"
        );
        assert!(answers(&client, VIP4, 500) && answers(&client, VIP6, 500), "{hand}: not open again");
        let closed = order(GateOrder::Close);
        let mut last = next(hand);
        while last == GateEvent::TableGone {
            last = next(hand);
        }
        assert_eq!(last, report(closed, GateReport::Closed), "{hand}");
        assert!(
            !answers(&client, VIP4, 60) && !answers(&client, VIP6, 60),
            "{hand}: not whole again\n{}",
            owner.run("nft list ruleset")
        );
    }
    // Closed: made again without an order, and closed.
    for hand in [
        "flush ruleset",
        "add element inet T open4 { 10.9.0.100 timeout 1m }",
        "add element arp T open4 { 10.9.0.100 timeout 1m }",
    ] {
        nft(&owner, &hand.replace(" T", " twinbeat_t_a"));
        assert_eq!(next(hand), GateEvent::TableGone, "{hand}");
        assert!(!answers(&client, VIP4, 60), "{hand}");
    }
    // An element that expires is no foreign hand.
    while events.try_recv().is_ok() {}
    let opened = order(GateOrder::Open(now() + Span::millis(100)));
    assert_eq!(next("open"), report(opened, GateReport::Opened));
    assert!(events.recv_timeout(Duration::from_millis(500)).is_err(), "an expiry was taken for a foreign hand");
    thread.stop(true);
}

#[test]
fn an_order_that_is_held_up_before_the_kernel_is_made_anew_and_closes_no_later() {
    let Some((_owner, client, mut gate)) = world(1) else { return };
    gate.open(0, now() + Span::secs(5)).unwrap();
    let until = now() + Span::millis(800);
    let held_up = std::cell::Cell::new(0);
    gate.held_up(0, until, || {
        // Between the look at the clock and the kernel, three times.
        if held_up.replace(held_up.get() + 1) < 3 {
            std::thread::sleep(Duration::from_millis(60));
        }
    })
    .unwrap();
    assert_eq!(held_up.get(), 4, "an order that is too late is refused by the kernel");
    let closes = gate.read(0).unwrap().expect("it is open");
    assert!(closes <= until + KERNEL_SLACK, "{} late", closes.since(until));
    std::thread::sleep(Duration::from_nanos(until.since(now()).0));
    assert!(!answers(&client, VIP4, 100));
}

#[test]
fn the_table_of_an_earlier_version_with_an_open_gate_is_taken_over_without_a_gap() {
    let Some((owner, client, mut gate)) = world(1) else { return };
    gate.remove_all().unwrap();
    let old = "table netdev twinbeat_t_a { set vip4 { type ipv4_addr; elements = { 10.9.0.100 } }
        set vip6 { type ipv6_addr; elements = { fd09:0::100 } }
        set open4 { type ipv4_addr; flags timeout; elements = { 10.9.0.100 timeout 20s } }
        set open6 { type ipv6_addr; flags timeout; elements = { fd09:0::100 timeout 20s } }
        chain ingress { ip daddr @vip4 ip daddr != @open4 drop; }
        chain in-eth0 { type filter hook ingress device eth0 priority -400; jump ingress; } }";
    nft(&owner, old);
    let ends = now() + LONG;
    assert!(answers(&client, VIP4, 500));
    let mut next = owner.inside(|| Gate::new("twinbeat_t_a", vec![vips()]).unwrap());
    let found = next.adopt(&[]).unwrap();
    let until = found[0].expect("the old table's gate is open");
    next.taken_over_again(0, until).unwrap();
    assert!(until <= ends + KERNEL_SLACK && until + Span::secs(1) > ends, "{until} {ends}");
    next.install().unwrap();
    let tables = owner.run("nft list tables");
    assert!(
        !tables.contains("netdev") && tables.contains("table inet twinbeat_t_a") && tables.contains("table arp twinbeat_t_a"),
        "{tables}"
    );
    assert!(answers(&client, VIP4, 500) && answers(&client, VIP6, 500));
    assert_eq!(next.renew(0, now() + Span::secs(3)).unwrap(), Renewal::Renewed);
    // The next life finds it, with one of the two tables gone; one whose file has got an address since finds nothing that it may keep.
    owner.run("nft delete table arp twinbeat_t_a");
    let mut more = vips();
    more.push("10.9.0.101".parse().unwrap());
    let mut asked = owner.inside(|| Gate::new("twinbeat_t_a", vec![more]).unwrap());
    assert_eq!(asked.adopt(&[]).unwrap(), [None], "nobody has asked for the new address");
    let mut next = owner.inside(|| Gate::new("twinbeat_t_a", vec![vips()]).unwrap());
    assert!(next.adopt(&[]).unwrap()[0].is_some() && next.is_whole().unwrap());
    assert!(answers(&client, VIP4, 500));
    std::thread::sleep(Duration::from_secs(3));
    assert!(!answers(&client, VIP4, 100), "it closes at its own instant");
    // A closed one is replaced by a closed one.
    next.remove_all().unwrap();
    nft(&owner, &old.replace(" timeout 20s", " timeout 20ms"));
    std::thread::sleep(Duration::from_millis(60));
    assert_eq!(next.adopt(&[]).unwrap(), [None]);
    next.install().unwrap();
    assert!(!owner.run("nft list tables").contains("netdev"));
    assert!(!answers(&client, VIP4, 100));
}

/// So many addresses of both families.
fn many(count: u16) -> Vec<IpAddr> {
    let [high, low] = count.to_be_bytes();
    assert!(high < 16, "{low}");
    let one = |n: u16| {
        let [high, low] = n.to_be_bytes();
        if n.is_multiple_of(2) {
            IpAddr::V4(Ipv4Addr::new(10, 77, high, low))
        } else {
            IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, n))
        }
    };
    (0..count).map(one).collect()
}

#[test]
fn a_thousand_addresses_are_one_gate() {
    let Some(netns) = Netns::new() else { return };
    let mut gate = netns.inside(|| Gate::new("twinbeat_t_a", vec![many(1000), vips()]).unwrap());
    gate.install().unwrap();
    assert!(gate.is_whole().unwrap());
    gate.open(0, now() + LONG).unwrap();
    gate.open(1, now() + LONG).unwrap();
    assert_eq!(gate.renew(0, now() + LONG).unwrap(), Renewal::Renewed);
    netns.run("nft flush ruleset");
    assert!(!gate.is_whole().unwrap());
    assert_eq!(gate.renew(0, now() + LONG).unwrap(), Renewal::Damaged);
    let start = now();
    gate.rebuild(0, now() + LONG).unwrap();
    println!("1002 addresses: made again in {}", now().since(start));
    assert!(gate.read(0).unwrap().is_some() && gate.read(1).unwrap().is_none() && gate.is_whole().unwrap());
    assert_eq!(gate.renew(0, now() + Span::millis(200)).unwrap(), Renewal::Renewed);
    std::thread::sleep(Duration::from_millis(250));
    assert_eq!(gate.renew(0, now() + LONG).unwrap(), Renewal::Lapsed);
    let next = netns.inside(|| Gate::new("twinbeat_t_a", vec![many(1000), vips()]).unwrap().adopt(&[]).unwrap());
    assert_eq!(next, [None, None]);
}

#[test]
fn interfaces_that_come_go_or_change_their_names_leave_nothing_behind_and_no_hole() {
    let Some((owner, client, mut gate)) = world(1) else { return };
    let rules = || owner.run("nft list ruleset").replace(|c: char| c.is_ascii_digit(), "");
    let before = rules();
    let lines = |n| format!("link add x{n} type veth peer name y{n}\nlink set x{n} name z{n}\nlink del z{n}\n");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), (0..100).map(lines).collect::<String>()).unwrap();
    owner.run(&format!("ip -batch {}", file.path().display()));
    assert_eq!(rules(), before);
    // Renamed, and made again under the old name: never an answer through a closed gate.
    owner.run("ip link set eth0 down");
    owner.run("ip link set eth0 name other");
    owner.run("ip link set other up");
    assert!(!answers(&client, VIP4, 200), "a renamed interface is not guarded");
    owner.run("ip link del other");
    owner.run(&format!("ip link add eth0 type veth peer name eth0 netns {}", client.name));
    for (end, host) in [(&owner, 1), (&client, 2)] {
        end.run(&format!("ip addr add 10.9.0.{host}/24 dev eth0"));
        end.run("ip link set eth0 up");
    }
    owner.run(&format!("ip addr add {VIP4}/32 dev eth0"));
    assert!(!answers(&client, VIP4, 200), "an interface of the same name is not guarded");
    gate.open(0, now() + LONG).unwrap();
    assert!(answers(&client, VIP4, 500));
}

#[test]
#[ignore = "a measurement: run it alone, in release"]
fn measure_size() {
    for interfaces in [0, 2000] {
        let Some(netns) = Netns::new() else { return };
        let file = tempfile::NamedTempFile::new().unwrap();
        let lines: String = (0..interfaces / 2).map(|n| format!("link add x{n} type veth peer name y{n}\n")).collect();
        std::fs::write(file.path(), lines).unwrap();
        netns.run(&format!("ip -batch {}", file.path().display()));
        if interfaces == 0 {
            let mut gate = netns.inside(|| Gate::new("twinbeat_t_a", vec![vips()]).unwrap());
            gate.install().unwrap();
            let before = netns.run("nft list ruleset");
            for round in 0..3 {
                for verb in ["add", "del"] {
                    let end = |n: i32| if verb == "add" { format!(" type veth peer name w{n}") } else { String::new() };
                    let lines: String = (0..500).map(|n| format!("link {verb} v{n}{}\n", end(n))).collect();
                    std::fs::write(file.path(), lines).unwrap();
                    netns.run(&format!("ip -batch {}", file.path().display()));
                }
                println!("{} interfaces came and went", 1000 * (round + 1));
            }
            assert_eq!(netns.run("nft list ruleset"), before);
        }
        for count in [1, 10, 100, 1000] {
            let mut gate = netns.inside(|| Gate::new("twinbeat_t_a", vec![many(count)]).unwrap());
            let start = now();
            gate.install().unwrap();
            let installed = now().since(start);
            gate.open(0, now() + Span::secs(60)).unwrap();
            let mut costs: Vec<u64> = (0..500)
                .map(|_| {
                    let start = now();
                    assert_eq!(gate.renew(0, start + Span::secs(60)).unwrap(), Renewal::Renewed);
                    now().since(start).as_micros()
                })
                .collect();
            costs.sort_unstable();
            netns.run("nft flush ruleset");
            let start = now();
            gate.rebuild(0, now() + Span::secs(60)).unwrap();
            println!(
                "{interfaces} interfaces, {count} VIPs: installed in {installed}, renewal median {} us, p99 {} us, made again after a flush in {}",
                costs[250],
                costs[495],
                now().since(start)
            );
            gate.remove_all().unwrap();
        }
    }
}
