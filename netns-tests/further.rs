//! Addresses on an interface that carries no heartbeats, and interfaces that a group tracks, on the real kernel: who answers on both
//! sides when a cable is pulled there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
#[path = "gates/rig.rs"]
mod rig;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::time::{Duration, Instant};

use twinbeat::core::id::NodeId;
use twinbeat::lab::lab::{BOTH, Lab, VIP};
use twinbeat::lab::node::TIMING;
use twinbeat::lab::ns::Namespace;

use rig::{A, B, Rig, SETTLED, SLACK, pause, who};

const FURTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 7, 0, 14));
const ADDED: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 7, 0, 15));

fn ip(at: &Namespace, words: &str) {
    let done = at.run(|| Ok(Command::new("ip").args(words.split_whitespace()).output()?)).unwrap();
    assert!(done.status.success(), "ip {words}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A segment with its own switch, on which an observer lives too; and on each node an interface that the group tracks.
fn cabled(lab: &Lab) {
    ip(&lab.switch, "link add seg type bridge");
    ip(&lab.switch, "link set seg up");
    ip(&lab.switch, "addr add 10.7.0.1/24 dev seg");
    for (node, port) in BOTH.into_iter().zip(["seg1", "seg2"]) {
        let path = lab.node(node).path();
        ip(
            &lab.switch,
            &format!("link add {port} type veth peer name eth7 netns {}", path.file_name().unwrap().to_string_lossy()),
        );
        ip(&lab.switch, &format!("link set {port} master seg"));
        ip(&lab.switch, &format!("link set {port} up"));
        ip(lab.node(node), "link set eth7 up");
        ip(lab.node(node), "link add eth8 type veth peer name far8");
        ip(lab.node(node), "link set eth8 up");
        ip(lab.node(node), "link set far8 up");
    }
}

fn with_interfaces(text: String) -> String {
    let vip =
        format!("\n[[groups.vips]]\naddress = \"{FURTHER}/24\"\ninterface = {{ master1 = \"eth7\", master2 = \"eth7\" }}\n");
    let text = text.replacen("[[groups]]\n", "[[groups]]\ntrack = [\"eth8\"]\n", 1);
    // Behind the first one, which stays the guard.
    let guard = text.find("[[groups.vips]]").unwrap();
    let end = text[guard + 1..].find("\n[").map_or(text.len(), |end| guard + 1 + end);
    format!("{}{vip}{}", &text[..end], &text[end..])
}

/// Until both addresses are answered by this node, each on its own side.
fn both_at(rig: &Rig, node: NodeId) {
    let until = Instant::now() + Duration::from_secs(20);
    let now = || [who(&rig.lab.client, VIP.into()), who(&rig.lab.switch, FURTHER)];
    while now() != [Some(node), Some(node)] {
        assert!(Instant::now() < until, "{:?}, not {node}\n{}", now(), rig.logs());
    }
}

#[test]
fn a_cable_pulled_on_an_interface_without_heartbeats_moves_the_group_where_it_is_no_loss_of_both() {
    if !common::ready() {
        return;
    }
    let mut rig = Rig::start_in(VIP.into(), with_interfaces, cabled);
    both_at(&rig, A);
    pause(SETTLED);
    // An address more there, by a reload of both.
    let from = rig.probe.now();
    for file in BTreeSet::from(BOTH.map(|node| rig.site.config(node))) {
        let text = std::fs::read_to_string(&file).unwrap();
        let more = format!("[[groups.vips]]\naddress = \"{ADDED}/24\"\ninterface = \"eth7\"\n\n");
        let further = format!("[[groups.vips]]\naddress = \"{FURTHER}/24\"");
        assert!(text.contains(&further), "{text}");
        std::fs::write(&file, text.replacen(&further, &format!("{more}{further}"), 1)).unwrap();
    }
    rig.ask(B, &["reload"]);
    rig.ask(A, &["reload"]);
    let until = Instant::now() + Duration::from_secs(10);
    while who(&rig.lab.switch, ADDED) != Some(A) {
        assert!(Instant::now() < until, "{ADDED} is not answered for\n{}", rig.logs());
    }
    pause(SETTLED);
    rig.judge("an address more by a reload", from, 0, Duration::from_nanos(TIMING.lease.0));
    let move_time = Duration::from_nanos((TIMING.warn + TIMING.heartbeat).0);
    for (what, side, down, up) in [
        ("its cable is pulled", None, "link set seg1 down", "link set seg1 up"),
        ("a tracked one's is", Some(A), "link set far8 down", "link set far8 up"),
    ] {
        let run = |rig: &Rig, words: &str| match side {
            None => ip(&rig.lab.switch, words),
            Some(node) => ip(rig.lab.node(node), words),
        };
        let from = rig.probe.now();
        let began = Instant::now();
        run(&rig, down);
        both_at(&rig, B);
        println!("{what}: both addresses at the other node within {:?} (at the least {move_time:?})", began.elapsed());
        let status = rig.site.ask(&rig.lab, A, &["status", "--json"]).unwrap();
        let told = String::from_utf8_lossy(&status.stdout).into_owned();
        assert!(told.contains("has no carrier on master1"), "{told}");
        run(&rig, up);
        both_at(&rig, A);
        pause(SETTLED);
        rig.judge(what, from, 2, SLACK);
    }
    // A switch that both nodes hang on.
    let from = rig.probe.now();
    BOTH.into_iter().for_each(|node| ip(rig.lab.node(node), "link set far8 down"));
    pause(Duration::from_secs(2));
    BOTH.into_iter().for_each(|node| ip(rig.lab.node(node), "link set far8 up"));
    pause(SETTLED);
    rig.judge("both nodes lose a tracked one", from, 0, SLACK);
    // Alone, a node serves whatever it lacks.
    let from = rig.probe.now();
    ip(rig.lab.node(B), "link set far8 down");
    rig.lab.power_off(A).unwrap();
    rig.daemons[A.index()] = None;
    both_at(&rig, B);
    pause(SETTLED);
    rig.judge("the peer dies", from, 1, Duration::from_nanos((TIMING.dead + TIMING.heartbeat * 2).0) + SLACK);
}
