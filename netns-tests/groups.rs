//! Many groups on real wires: heartbeats in parts, and a kernel with as many gates.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
#[path = "gates/rig.rs"]
mod rig;

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use twinbeat::core::id::NodeId;
use twinbeat::lab::lab::VIP;
use twinbeat::lab::node::TIMING;

use rig::{A, B, Rig, SETTLED, SLACK, pause, soon_at};

/// As many groups as a file may have: every other one has its home on the second node.
fn sixty_four(text: String) -> String {
    let group = |n: u8| {
        let (name, home) = (format!("group-{n}"), if n.is_multiple_of(2) { "master1" } else { "master2" });
        format!(
            "\n[[groups]]\nname = \"{name}\"\npreferred = \"{home}\"\nvips = [{{ address = \"192.168.42.{}/25\", link = \"lan\" }}]\n",
            61 + n
        )
    };
    text + &(1..64).map(group).collect::<String>()
}

/// How a heartbeat in parts does on real wires, and the kernel with as many gates.
#[test]
fn sixty_four_groups_live_at_home_move_and_fail_over() {
    if !common::ready() {
        return;
    }
    let mut rig = Rig::start(VIP.into(), sixty_four);
    let address = |n: u8| IpAddr::from(Ipv4Addr::new(192, 168, 42, if n == 0 { 14 } else { 61 + n }));
    let all = |rig: &Rig, home: &dyn Fn(u8) -> NodeId| (0..64).for_each(|n| soon_at(rig, address(n), home(n)));
    let at_home = |n: u8| if n.is_multiple_of(2) { A } else { B };
    all(&rig, &at_home);
    pause(SETTLED);
    let from = rig.probe.now();
    pause(Duration::from_secs(3));
    rig.judge("64 groups, and nothing happens", from, 0, SLACK);
    let from = rig.probe.now();
    let began = Instant::now();
    rig.ask(A, &["standby"]);
    all(&rig, &|_| B);
    println!("32 groups moved within {:?}", began.elapsed());
    pause(SETTLED);
    let began = Instant::now();
    rig.ask(A, &["resume"]);
    all(&rig, &at_home);
    println!("and back within {:?}", began.elapsed());
    pause(SETTLED);
    let lease = Duration::from_nanos(TIMING.lease.0);
    rig.judge("32 of 64 groups move and come back", from, 2, lease);
    let from = rig.probe.now();
    let began = Instant::now();
    rig.signal(A, Signal::SIGKILL);
    all(&rig, &|_| B);
    println!("claimed within {:?}", began.elapsed());
    let dead = Duration::from_nanos((TIMING.dead + TIMING.heartbeat * 2).0);
    rig.judge("the owner of 32 of 64 groups is killed", from, 1, dead + SLACK);
    let status = rig.site.ask(&rig.lab, B, &["status", "--json"]).unwrap();
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    let groups = status["groups"].as_array().unwrap();
    assert!(groups.len() == 64 && groups.iter().all(|group| group["owner"] == "master2"), "{status:#}");
}
