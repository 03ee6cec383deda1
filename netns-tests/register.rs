//! What shows that the gateway's table is a register, on the real kernel and seen from the gateway: the echoes in the peer's name, and
//! the entry that is given back (SAFETY R4.4).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "common/bench.rs"]
mod bench;
mod common;

use std::thread;
use std::time::{Duration, Instant};

use bench::{A, B, Bench};
use nix::sys::signal::Signal;
use twinbeat::core::id::{Mac, NodeId};
use twinbeat::lab::lab::{BOTH, Cable, GATEWAY, VIP};
use twinbeat::lab::netlink;

/// The gateway's own MAC in the lab, as it answers with it.
fn gateway_mac(bench: &Bench) -> Mac {
    netlink::mac(&bench.lab.gw, "eth0").unwrap()
}

/// Counts in the gateway what one node says there; with `answers`, the gateway answers every echo to the MAC that it came from.
fn gateway(bench: &Bench, node: NodeId, answers: bool) -> bool {
    let (mine, theirs) = (Cable::Lan.mac(node), Cable::Lan.mac(node.other()));
    let echo = format!("ip daddr {GATEWAY} icmp type echo-request");
    let back = format!(
        "{echo} ether daddr set ether saddr ether saddr set {} ip daddr set ip saddr ip saddr set {GATEWAY} icmp type set echo-reply fwd to \"eth0\"",
        gateway_mac(bench)
    );
    let text = format!(
        "table netdev seen\ndelete table netdev seen\ntable netdev seen {{\n counter writes {{ }}\n counter inquiries {{ }}\n counter given {{ }}\n \
         chain in {{\n  type filter hook ingress device \"eth0\" priority 0;\n  \
         ether saddr {mine} arp saddr ip {VIP} arp saddr ether {mine} counter name writes\n  \
         ether saddr {mine} arp saddr ip {VIP} arp saddr ether {theirs} counter name given\n  \
         ether saddr {mine} ip saddr {} {echo} counter name inquiries\n  {}\n }}\n}}\n",
        Cable::Lan.address(node.other()),
        if answers { &back } else { "" }
    );
    let file = bench.site.dir().join("seen.nft");
    std::fs::write(&file, text).unwrap();
    let set = || Ok(std::process::Command::new("nft").arg("-f").arg(&file).output()?);
    let done = bench.lab.gw.run(set).unwrap();
    if !done.status.success() {
        println!("SKIPPED: this kernel turns no frame round in a netdev chain: {}", String::from_utf8_lossy(&done.stderr));
    }
    done.status.success()
}

fn counted(bench: &Bench, what: &str) -> u64 {
    let text = bench.run(&bench.lab.gw, &format!("nft list counter netdev seen {what}"));
    let (_, rest) = text.split_once("packets ").expect(&text);
    rest.split_whitespace().next().and_then(|n| n.parse().ok()).expect(&text)
}

/// Whom the gateway's table names for the address.
fn named(bench: &Bench) -> Option<Mac> {
    netlink::neighbours(&bench.lab.gw, "eth0").unwrap().into_iter().find(|(ip, _)| *ip == VIP).map(|(_, mac)| mac)
}

#[test]
fn a_gateway_that_begins_to_answer_the_sender_is_found_before_a_challenge_writes() {
    let Some(mut bench) = Bench::new() else { return };
    BOTH.iter().for_each(|node| bench.start(*node));
    bench.serves(A);
    if !gateway(&bench, B, true) {
        return;
    }
    // Heartbeats that go by the gateway come back to their sender as well: nothing joins the nodes from here on.
    let from = bench.probe.now();
    bench.lab.separate().unwrap();
    bench.says(B, "answers to the sender");
    // Several times `dead`: whoever claims, claims now.
    thread::sleep(Duration::from_secs(4));
    let (writes, inquiries) = (counted(&bench, "writes"), counted(&bench, "inquiries"));
    println!("{inquiries} echoes in the peer's name, {writes} writes");
    assert_eq!(writes, 0, "the standby wrote into the table of a gateway that is none\n{}", bench.logs());
    assert!(inquiries > 0, "nobody asked in the peer's name\n{}", bench.logs());
    bench.one_owner("the gateway answers the sender");
    let seen = bench.probe.outcome(from, bench.probe.now());
    assert_eq!(bench.view(A)["groups"][0]["role"], "owner", "{}", bench.logs());
    assert_eq!(seen.moves(), 0, "{seen:#?}\n{}", bench.logs());
}

#[test]
fn an_entry_that_names_the_challenger_is_given_back_to_the_owner_before_the_challenge() {
    let Some(mut bench) = Bench::new() else { return };
    BOTH.iter().for_each(|node| bench.start(*node));
    bench.serves(A);
    if !gateway(&bench, B, false) {
        return;
    }
    let (ours, theirs) = (Cable::Lan.mac(B), Cable::Lan.mac(A));
    // The challenger stands still meanwhile: on a busy machine what is prepared here takes longer than a suspicion.
    let challenger =
        |bench: &mut Bench, signal| assert!(bench.daemons[B.index()].as_mut().unwrap().signal(signal), "{}", bench.logs());
    challenger(&mut bench, Signal::SIGSTOP);
    bench.lab.power_off(A).unwrap();
    bench.daemons[A.index()] = None;
    // What an earlier challenge may have left: by this entry alone the gateway looks as if it answered the sender.
    bench.run(&bench.lab.gw, &format!("ip neigh replace {VIP} lladdr {ours} dev eth0 nud reachable"));
    challenger(&mut bench, Signal::SIGCONT);
    let (begun, mut names) = (Instant::now(), vec![ours]);
    while !bench.probe.serving().contains(&B) {
        let name = named(&bench).unwrap_or_default();
        if names.last() != Some(&name) {
            names.push(name);
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{names:?}\n{}", bench.logs());
        thread::sleep(Duration::from_millis(5));
    }
    println!("served after {:?}; the table named {names:?}; given back {} times", begun.elapsed(), counted(&bench, "given"));
    assert!(counted(&bench, "given") > 0, "{names:?}\n{}", bench.logs());
    assert!(names.contains(&theirs), "the entry never named the owner again: {names:?}\n{}", bench.logs());
    bench.one_owner("the owner lost its power");
}
