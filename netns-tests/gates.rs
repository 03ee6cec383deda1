//! The gate and the address under foreign hands, on every card of a node, for several groups, and for a pair that speaks IPv6 alone:
//! real daemons on the real kernel, judged from outside.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
#[path = "gates/rig.rs"]
mod rig;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use twinbeat::core::id::{Mac, NodeId};
use twinbeat::host::neighbour::Advertisement;
use twinbeat::lab::daemon::Daemon;
use twinbeat::lab::flood::{packet_socket, pour};
use twinbeat::lab::frames::{self, Answer};
use twinbeat::lab::lab::{BOTH, Cable, GATEWAY, GATEWAY6, LANCLIENT, LANCLIENT_MAC, VIP, VIP6};
use twinbeat::lab::node::TIMING;
use twinbeat::lab::plan::Select;

use rig::{A, B, Rig, SETTLED, SLACK, pause, soon_at};

/// `nft list ruleset` of a node.
fn ruleset(rig: &Rig, node: NodeId) -> String {
    let list = || Ok(Command::new("nft").args(["list", "ruleset"]).output()?);
    String::from_utf8_lossy(&rig.lab.node(node).run(list).unwrap().stdout).into_owned()
}

fn ready() -> bool {
    common::ready()
}

#[test]
fn a_ruleset_flushed_under_a_running_pair_is_made_again_at_once_and_nothing_moves() {
    if !ready() {
        return;
    }
    let mut rig = Rig::start(VIP.into(), |text| text);
    let from = rig.probe.now();
    let mut repaired = Vec::new();
    for node in [A, B, A, A, B] {
        rig.lab.foreign_flush_ruleset(node).unwrap();
        let flushed = Instant::now();
        while !ruleset(&rig, node).contains("open4") {
            assert!(flushed.elapsed() < Duration::from_secs(2), "not made again\n{}", rig.logs());
        }
        repaired.push(flushed.elapsed());
        pause(Duration::from_millis(700));
    }
    println!("seen whole again by `nft list ruleset` after {repaired:?}");
    rig.judge("foreign_flush_ruleset", from, 0, Duration::ZERO);
    assert!(rig.site.log_tail(A, 1000).contains("a foreign hand flushed the ruleset"), "{}", rig.logs());
    // And the gate that was made again closes by itself.
    let from = rig.probe.now();
    rig.lab.foreign_flush_ruleset(A).unwrap();
    pause(Duration::from_millis(150));
    rig.signal(A, Signal::SIGSTOP);
    rig.wait_for(B);
    let dead = Duration::from_nanos((TIMING.dead + TIMING.heartbeat).0);
    rig.judge("a hang after a flush", from, 1, dead + SLACK);
    rig.signal(A, Signal::SIGCONT);
    rig.wait_for(A);
    rig.judge("and its end", from, 2, dead + SLACK);
}

/// What the tables consist of: the times of their elements left out, and the order, which chains that are made again change.
fn contents(rules: &str) -> Vec<&str> {
    let words: Vec<&str> = rules.split_whitespace().collect();
    let time = |at: usize| at.checked_sub(1).is_some_and(|before| matches!(words[before], "timeout" | "expires"));
    let mut kept: Vec<&str> = words.iter().enumerate().filter(|(at, _)| !time(*at)).map(|(_, word)| *word).collect();
    kept.sort_unstable();
    kept
}

#[test]
fn whatever_a_foreign_hand_does_inside_the_tables_is_seen_and_made_again_under_a_running_pair() {
    if !ready() {
        return;
    }
    let rig = Rig::start(VIP.into(), |text| text);
    pause(SETTLED);
    let from = rig.probe.now();
    let nft = |node: NodeId, order: &str| {
        let run = || Ok(Command::new("nft").arg("-a").arg(order).output()?);
        let done = rig.lab.node(node).run(run).unwrap();
        (done.status.success(), String::from_utf8_lossy(&done.stdout).into_owned())
    };
    let mut slowest = Duration::ZERO;
    for node in BOTH {
        let before = ruleset(&rig, node);
        let whole = contents(&before);
        let table = before.split_whitespace().find(|word| word.starts_with("twinbeat_")).unwrap().to_owned();
        // A rule that is made again has another number.
        let first_drop = || {
            let chain = nft(node, &format!("list chain inet {table} input")).1;
            let rule = chain.lines().find(|line| line.contains("drop") && line.contains("# handle ")).unwrap();
            rule.split("# handle ").nth(1).unwrap().trim().to_owned()
        };
        let mut hands = vec![
            format!("flush set inet {table} vip4"),
            format!("delete element arp {table} vip4 {{ {VIP} }}"),
            format!("flush chain inet {table} output"),
            format!("delete rule inet {table} input handle HANDLE"),
            format!("insert rule inet {table} input accept"),
            format!("delete chain arp {table} input"),
            format!("flush table inet {table}"),
            format!("add table inet {table} {{ flags dormant; }}"),
        ];
        if node == A {
            hands.push(format!("flush set inet {table} open4"));
            hands.push(format!("delete element arp {table} open4 {{ {VIP} }}"));
        } else {
            hands.push(format!("add element inet {table} open4 {{ {VIP} timeout 1h }}"));
        }
        for hand in hands {
            let hand = if hand.contains("HANDLE") { hand.replace("HANDLE", &first_drop()) } else { hand };
            assert!(nft(node, &hand).0, "{hand}: {}", ruleset(&rig, node));
            let done = Instant::now();
            while contents(&ruleset(&rig, node)) != whole {
                assert!(
                    done.elapsed() < Duration::from_secs(2),
                    "not made again after `{hand}`: {}\n{}",
                    ruleset(&rig, node),
                    rig.logs()
                );
            }
            slowest = slowest.max(done.elapsed());
            pause(Duration::from_millis(250));
        }
        let said = rig.site.log_tail(node, 10_000);
        assert!(said.contains("foreign hand"), "{said}");
    }
    println!("seen whole again by `nft list ruleset` after {slowest:?} at the most");
    rig.judge("foreign hands inside the tables", from, 0, SLACK);
}

#[test]
fn a_node_whose_kernel_makes_no_gate_says_so_hands_over_and_comes_back() {
    if !ready() {
        return;
    }
    let rig = Rig::start(VIP.into(), |text| text);
    let rules = ruleset(&rig, A);
    let table = rules.split_whitespace().find(|word| word.starts_with("twinbeat_")).unwrap().to_owned();
    let from = rig.probe.now();
    // A table that another process owns: the kernel refuses every change to it while that process lives.
    let nft = || Ok(Command::new("nft").arg("-i").stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?);
    let mut nft = rig.lab.node(A).run(nft).unwrap();
    let mut hand = nft.stdin.take().unwrap();
    writeln!(hand, "delete table inet {table}; add table inet {table} {{ flags owner; }}").unwrap();
    rig.wait_for(B);
    pause(Duration::from_secs(4));
    // Unprepared: services are not started before the address moves.
    let unprepared = Duration::from_nanos(TIMING.heartbeat.0) + SLACK;
    rig.judge("a kernel that makes no gate", from, 1, unprepared);
    let status = rig.site.ask(&rig.lab, A, &["status", "--json"]).unwrap();
    let view: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(view["gate"], "weak", "{view}");
    assert!(view["problems"].to_string().contains("the kernel does not make the gate"), "{view}");
    let other = rig.site.ask(&rig.lab, B, &["status", "--json"]).unwrap();
    let other: serde_json::Value = serde_json::from_slice(&other.stdout).unwrap();
    assert_eq!((&other["gate"], &other["groups"][0]["takeover_ready"]["ready"]), (&"inet".into(), &false.into()), "{other}");
    let said = rig.site.log_tail(A, 10_000).matches("the kernel does not make the gate").count();
    assert_eq!(said, 1, "{}", rig.logs());
    // The other process ends, and its table with it.
    drop(hand);
    assert!(nft.wait().unwrap().success());
    rig.wait_for(A);
    rig.judge("and makes it again", from, 2, unprepared);
    assert!(ruleset(&rig, A).contains(&format!("table inet {table}")));
}

#[test]
fn an_address_deleted_by_a_foreign_hand_is_put_back_at_once() {
    if !ready() {
        return;
    }
    let rig = Rig::start(VIP.into(), |text| text);
    for _ in 0..5 {
        let from = rig.probe.now();
        assert_eq!(rig.lab.foreign_delete_vip(A).unwrap(), 1);
        pause(Duration::from_millis(600));
        rig.judge("foreign_delete_vip", from, 0, SLACK);
        assert_eq!(rig.probe.serving(), [A]);
    }
}

/// Asks a card of a node for the VIP, by ARP and by datagram, from the observer; whether anything came back within 30 ms.
fn answers(rig: &Rig, cable: Cable, node: NodeId) -> bool {
    // A new one each time: nothing of the probe's own traffic waits in it.
    let mut socket = packet_socket(&rig.lab.lanclient, "eth0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    let (me, mac) = ((LANCLIENT_MAC, IpAddr::from(LANCLIENT)), cable.mac(node));
    socket.send(&frames::neighbour_question(me, mac, VIP.into()).unwrap()).unwrap();
    socket.send(&frames::udp_question(me, mac, VIP.into(), u64::MAX).unwrap()).unwrap();
    let until = Instant::now() + Duration::from_millis(30);
    let mut buffer = [0_u8; 2048];
    while Instant::now() < until {
        let Ok(length) = socket.read(&mut buffer) else { continue };
        let answer = frames::read(&buffer[..length], VIP.into());
        // An answer to a datagram may leave by another card than the one that was asked: its number tells it from the probe's own.
        let ours = match answer {
            Some(Answer::Neighbour(by)) => by == mac && cable != Cable::Lan,
            Some(Answer::Udp(by, number)) => number == u64::MAX && Cable::ALL.iter().any(|c| c.mac(node) == by),
            None => false,
        };
        if ours {
            return true;
        }
    }
    false
}

#[test]
fn with_two_cards_in_one_segment_a_closed_gate_answers_on_neither() {
    if !ready() {
        return;
    }
    let mut rig = Rig::start(VIP.into(), |text| text);
    // Both ends of the heartbeat cable are plugged into the LAN's switch.
    let plan = &rig.lab.plan;
    let (cable, lan) = (Cable::Heartbeat.select(plan)[0], plan.bridge(plan.public));
    for node in BOTH {
        let port = plan.port(cable, node);
        let moved = || Ok(Command::new("ip").args(["link", "set", &port, "master", &lan]).status()?);
        assert!(rig.lab.switch.run(moved).unwrap().success());
    }
    pause(Duration::from_secs(2));
    assert_eq!(rig.probe.serving(), [A], "{}", rig.logs());
    let both = [Cable::Lan, Cable::Heartbeat];
    for card in both {
        assert!(answers(&rig, card, A), "an open gate answers on {card:?}: what follows proves nothing without it");
        assert!(!answers(&rig, card, B), "the standby answers on {card:?}");
    }
    // The daemon hangs: the address stays for two seconds and more, the gate for a lease.
    let from = rig.probe.now();
    rig.signal(A, Signal::SIGSTOP);
    let hung = Instant::now();
    pause(Duration::from_nanos(TIMING.lease.0) + Duration::from_millis(15));
    let mut asked = 0;
    while hung.elapsed() < Duration::from_millis(1900) {
        for card in both {
            assert!(!answers(&rig, card, A), "answered on {card:?} {:?} after the hang\n{}", hung.elapsed(), rig.logs());
            asked += 1;
        }
    }
    println!("{asked} questions to the two cards of a hung node, no answer");
    assert!(asked >= 20);
    rig.wait_for(B);
    let dead = Duration::from_nanos((TIMING.dead + TIMING.heartbeat).0);
    rig.judge("a hang with two cards in one segment", from, 1, dead + SLACK);
    rig.signal(A, Signal::SIGCONT);
    rig.wait_for(A);
    rig.judge("and its end", from, 2, dead + SLACK);
}

#[test]
fn two_groups_of_both_families_have_gates_of_their_own() {
    if !ready() {
        return;
    }
    let (second, sixth) = (Ipv4Addr::new(192, 168, 42, 15), Ipv6Addr::new(0xfd42, 0, 0, 0, 0, 0, 0, 0x15));
    let mail = format!(
        "\n[[groups]]\nname = \"mail\"\npreferred = \"master2\"\nfailback = \"auto\"\nvips = [{{ address = \"{second}/25\", link = \"lan\" }}, {{ address = \"{sixth}/64\", link = \"lan\" }}]\n"
    );
    let mut rig = Rig::start(VIP.into(), |text| text + &mail);
    let places = |rig: &Rig, web: NodeId, mail: NodeId| {
        for (at, node) in [(VIP.into(), web), (second.into(), mail), (sixth.into(), mail)] {
            soon_at(rig, at, node);
        }
    };
    places(&rig, A, B);
    pause(SETTLED);
    let open = |rig: &Rig, node: NodeId, address: &str| {
        let all = ruleset(rig, node);
        let sets: Vec<&str> = all.split("set ").filter(|s| s.starts_with("open")).map(|s| s.split('}').next().unwrap()).collect();
        assert_eq!(sets.len(), 3, "IPv4 in the arp and the inet table, IPv6 in the latter: {all}");
        all.split("set open").skip(1).any(|s| s.split("set vip").next().unwrap().contains(&format!("{address} timeout")))
    };
    for (address, owner) in [(VIP.to_string(), A), (second.to_string(), B), (sixth.to_string(), B)] {
        assert!(open(&rig, owner, &address), "{address} on {owner}: {}\n{}", ruleset(&rig, owner), rig.logs());
        assert!(!open(&rig, owner.other(), &address), "{address} on {}: {}", owner.other(), rig.logs());
    }
    // One group moves, the other stays.
    rig.ask(A, &["standby", "web"]);
    places(&rig, B, B);
    rig.ask(A, &["resume"]);
    places(&rig, A, B);
    // One node hangs: its group's gate closes, the other group's on the other node does not.
    pause(SETTLED);
    let from = rig.probe.now();
    rig.signal(A, Signal::SIGSTOP);
    places(&rig, B, B);
    rig.judge("a hang of one group's owner", from, 1, Duration::from_nanos((TIMING.dead + TIMING.heartbeat).0) + SLACK);
    rig.signal(A, Signal::SIGCONT);
    places(&rig, A, B);
    // A foreign flush on the node that owns one of the two.
    pause(SETTLED);
    rig.lab.foreign_flush_ruleset(A).unwrap();
    rig.lab.foreign_flush_ruleset(B).unwrap();
    pause(Duration::from_millis(500));
    places(&rig, A, B);
    for (address, owner) in [(VIP.to_string(), A), (second.to_string(), B), (sixth.to_string(), B)] {
        assert!(open(&rig, owner, &address) && !open(&rig, owner.other(), &address), "{address} after a flush\n{}", rig.logs());
    }
}

/// Eight groups, and names as long as a name may be.
fn crowded(text: String) -> String {
    let long = |name: &str| format!("{name:x<32}");
    let mut text = text;
    for cable in Cable::ALL.iter().filter(|cable| cable.link() != "lan") {
        text = text.replace(&format!(".links.{}]", cable.link()), &format!(".links.{}]", long(cable.link())));
    }
    let group = |n: u8| {
        let name = long(&format!("group-{n}-"));
        format!(
            "\n[[groups]]\nname = \"{name}\"\npreferred = \"master1\"\nvips = [{{ address = \"192.168.42.{}/25\", link = \"lan\" }}]\n",
            30 + n
        )
    };
    text + &(1..8).map(group).collect::<String>()
}

#[test]
fn eight_groups_with_long_names_stay_and_move_where_nothing_joins_the_nodes_but_the_gateway() {
    if !ready() {
        return;
    }
    let mut rig = Rig::start(VIP.into(), crowded);
    let all = |rig: &Rig, node: NodeId| {
        for last in [14, 31, 37] {
            soon_at(rig, Ipv4Addr::new(192, 168, 42, last).into(), node);
        }
    };
    all(&rig, A);
    pause(SETTLED);
    let from = rig.probe.now();
    rig.lab.separate().unwrap();
    pause(Duration::from_secs(4));
    rig.judge("eight groups, joined by the relay alone", from, 0, SLACK);
    // A move says the most of each group, all at once.
    let from = rig.probe.now();
    rig.ask(A, &["standby"]);
    all(&rig, B);
    rig.ask(A, &["resume"]);
    all(&rig, A);
    pause(SETTLED);
    rig.judge("eight groups move and come back through the relay", from, 2, SLACK);
    let status = rig.site.ask(&rig.lab, B, &["status", "--json"]).unwrap();
    assert!(!String::from_utf8_lossy(&status.stdout).contains("do not fit"), "{}", rig.logs());

    // An interface that takes no packet as long as that: the echoes go without heartbeats, the owner stays, and it is said.
    let from = rig.probe.now();
    let narrow = || {
        let done = Command::new("ip").args(["link", "set", "eth0", "mtu", "250"]).status()?;
        assert!(done.success());
        Ok(())
    };
    rig.lab.node(A).run(narrow).unwrap();
    pause(Duration::from_secs(4));
    rig.judge("eight groups, and an interface that is too narrow for their heartbeats", from, 0, Duration::from_millis(250));
    let status = rig.site.ask(&rig.lab, A, &["status", "--json"]).unwrap();
    let text = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(text.contains("do not fit into an echo"), "{text}\n{}", rig.logs());
    rig.signal(A, Signal::SIGKILL);
    all(&rig, B);
}

/// Every address of the recipe by its IPv6 counterpart.
fn in_ipv6(text: String) -> String {
    let mut text = text
        .replace(&format!("\"{VIP}/25\""), &format!("\"{VIP6}/64\""))
        .replace("label = \"0\", ", "")
        .replace(", label = \"0\"", "")
        .replace("label = \"0\"\n", "");
    text = text.replace(&format!("\"{GATEWAY}\""), &format!("\"{GATEWAY6}\""));
    for node in BOTH {
        for cable in Cable::ALL {
            text = text.replace(&format!("\"{}\"", cable.address(node)), &format!("\"{}\"", cable.address6(node)));
        }
    }
    text
}

#[test]
fn a_pair_that_speaks_ipv6_alone_moves_and_fails_over_and_stays_apart() {
    if !ready() {
        return;
    }
    let mut rig = Rig::start(VIP6.into(), in_ipv6);
    let dead = Duration::from_nanos((TIMING.dead + TIMING.heartbeat).0) + SLACK;
    // The relay carries heartbeats in ICMPv6.
    let status = rig.site.ask(&rig.lab, B, &["status", "--json"]).unwrap();
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    let view: serde_json::Value = serde_json::from_str(&status).unwrap();
    let relay = view["links"].as_array().unwrap().iter().find(|l| l["name"] == "relay").unwrap().clone();
    assert_eq!(relay["state"], "ok", "{status}");

    let from = rig.probe.now();
    rig.ask(A, &["standby"]);
    rig.wait_for(B);
    rig.judge("IPv6: standby", from, 1, SLACK);
    rig.ask(A, &["resume"]);
    rig.wait_for(A);

    let from = rig.probe.now();
    rig.lab.block_relay(true).unwrap();
    rig.lab.separate().unwrap();
    pause(Duration::from_secs(8));
    // A challenge takes the gateway's entry until the owner's echoes tell it so and it defends: that much its clients wait.
    let defence = Duration::from_nanos((TIMING.heartbeat + TIMING.delivery + TIMING.echo_period() * 2).0) + SLACK;
    rig.judge("IPv6: separated, without a relay", from, 0, defence);
    assert!(rig.site.log_tail(B, 1000).contains("no claim:"), "the challenge was never tried\n{}", rig.logs());
    rig.lab.heal().unwrap();
    pause(Duration::from_secs(3));
    rig.judge("IPv6: and together again", from, 0, defence);

    let from = rig.probe.now();
    rig.lab.power_off(A).unwrap();
    rig.daemons[A.index()] = None;
    rig.wait_for(B);
    rig.judge("IPv6: power off", from, 1, dead);
    rig.lab.power_on(A).unwrap();
    rig.daemons[A.index()] = Some(Daemon::start(&rig.lab, &rig.site, A).unwrap());
    rig.wait_for(A);
    rig.judge("IPv6: and on again", from, 2, dead);
}

/// An advertisement to a node itself that `address` is the attacker's.
fn advertised(node: NodeId, address: Ipv6Addr, solicited: bool) -> Vec<u8> {
    const ATTACKER: Mac = Mac([2, 0, 0, 0, 0, 0x66]);
    let (to, destination) = (Cable::Lan.mac(node), Cable::Lan.address6(node));
    Advertisement {
        from: ATTACKER,
        to,
        source: address,
        destination,
        target: address,
        link: Some(ATTACKER),
        solicited,
        overriding: true,
    }
    .frame()
}

/// Advertisements to both nodes that `address` is the attacker's, so many a second for three seconds.
fn advertise(rig: &Rig, address: Ipv6Addr, rate: u64) {
    thread::scope(|scope| {
        for node in BOTH {
            let plan = &rig.lab.plan;
            let port = plan.port(Cable::Lan.select(plan)[0], node);
            let frames = [false, true].map(|solicited| advertised(node, address, solicited));
            scope.spawn(move || pour(&rig.lab.switch, &port, &frames, rate, Duration::from_secs(3)).unwrap());
        }
    });
    pause(Duration::from_secs(1));
}

#[test]
fn whoever_speaks_for_an_ipv6_address_or_its_gateway_moves_nothing() {
    if !ready() {
        return;
    }
    let mut rig = Rig::start(VIP6.into(), in_ipv6);
    // The kernel's own entry for the gateway is the kernel's to mend: what is asked there is who owns.
    let any = Duration::MAX;
    for (what, address, rate, gap) in [
        ("the address, 40 a second", VIP6, 40, SLACK),
        ("the address, 5,000 a second", VIP6, 5_000, SLACK),
        ("the gateway, 2 a second", GATEWAY6, 2, any),
    ] {
        let from = rig.probe.now();
        advertise(&rig, address, rate);
        rig.judge(&format!("IPv6: {what}"), from, 0, gap);
    }
    let told = rig.site.log_tail(A, usize::MAX);
    assert!(told.contains("02:00:00:00:00:66 says that it has the address"), "{told}");
    rig.lab.power_off(B).unwrap();
    rig.daemons[B.index()] = None;
    pause(Duration::from_secs(2));
    for (what, address, rate, gap) in [("the address", VIP6, 40, SLACK), ("the gateway", GATEWAY6, 1, any)] {
        let from = rig.probe.now();
        advertise(&rig, address, rate);
        rig.judge(&format!("IPv6: {what}, to a lone owner"), from, 0, gap);
        assert!(rig.probe.serving() == [A], "{what}\n{}", rig.logs());
    }
    assert!(!rig.site.log_tail(A, usize::MAX).contains("LEAVES"), "{}", rig.logs());
}
