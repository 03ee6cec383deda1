//! Files that differ, names that changed and addresses that were added, on the real kernel: what `src/core/files.rs` and the start
//! of the daemon promise.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "common/bench.rs"]
mod bench;
mod common;

use std::thread;
use std::time::{Duration, Instant};

use bench::{A, B, Bench};
use nix::sys::signal::Signal;
use twinbeat::lab::lab::{BOTH, GATEWAY, LANCLIENT, node_name};

#[test]
fn two_nodes_that_ask_different_witnesses_never_both_own_and_say_why_nobody_claims() {
    let Some(mut bench) = Bench::new() else { return };
    bench.rewrite(B, &format!("targets = [\"{GATEWAY}\"]"), &format!("targets = [\"{LANCLIENT}\"]"));
    BOTH.iter().for_each(|node| bench.start(*node));
    bench.serves(A);
    bench.says(B, "the witnesses (no claim by either node)");
    let view = bench.view(A);
    assert_eq!(view["groups"][0]["takeover_ready"]["ready"], false, "{view:#}");
    // Each reaches its own witness, and nothing joins them: the owner lives by its witness's table, the other one must not by its.
    bench.lab.block_relay(true).unwrap();
    bench.lab.separate().unwrap();
    bench.says(B, "no claim: the witnesses differ");
    thread::sleep(Duration::from_secs(4));
    bench.one_owner("separated");
    assert_eq!(bench.view(B)["groups"][0]["role"], "standby");
    assert_eq!(bench.view(A)["groups"][0]["role"], "owner", "{}", bench.logs());
    // What the peer said is on disk: the next life does not claim either.
    bench.daemons[B.index()].as_mut().unwrap().signal(Signal::SIGKILL);
    bench.start(B);
    thread::sleep(Duration::from_secs(7));
    bench.one_owner("and after a restart of the standby");
    assert_eq!(bench.view(B)["groups"][0]["role"], "standby");
}

#[test]
fn the_table_of_an_earlier_name_is_named_by_check_and_removed_at_the_start() {
    let Some(mut bench) = Bench::new() else { return };
    bench.start(A);
    bench.serves(A);
    // A daemon that was killed leaves its table; then the cluster gets another name.
    bench.daemons[A.index()].as_mut().unwrap().signal(Signal::SIGKILL);
    thread::sleep(Duration::from_millis(800));
    for node in BOTH {
        bench.rewrite(node, "cluster = \"drill\"", "cluster = \"renamed\"");
    }
    let old = "twinbeat_drill_master1";
    assert!(bench.run(bench.lab.node(A), "nft list tables").contains(old));
    let file = bench.site.config(A).display().to_string();
    let args = ["check", "--config", &file, "--node", node_name(A), "--offline"];
    let said = String::from_utf8_lossy(&bench.site.ask(&bench.lab, A, &args).unwrap().stdout).into_owned();
    assert!(said.lines().any(|line| line.starts_with("FAIL") && line.contains(old) && line.contains("192.168.42.14")), "{said}");
    bench.start(A);
    bench.says(A, "of an earlier name of this cluster or node guarded 192.168.42.14: removed");
    bench.serves(A);
    let tables = bench.run(bench.lab.node(A), "nft list tables");
    assert!(!tables.contains(old) && tables.contains("twinbeat_renamed_master1"), "{tables}");
}

const LAST_VIP: &str = "label = \"0\"\nlink = \"lan\"\n";
const ADDED: &str = "label = \"0\"\nlink = \"lan\"\n\n[[groups.vips]]\naddress = \"192.168.42.20/25\"\nlink = \"lan\"\n";

#[test]
fn an_address_that_a_restart_adds_is_not_opened_while_a_third_machine_has_it() {
    let Some(mut bench) = Bench::new() else { return };
    BOTH.iter().for_each(|node| bench.start(*node));
    bench.serves(A);
    thread::sleep(Duration::from_secs(1));
    bench.run(&bench.lab.lanclient, "ip addr add 192.168.42.20/25 dev eth0");
    bench.rewrite(A, LAST_VIP, ADDED);
    // "I come back", with another file.
    let daemon = bench.daemons[A.index()].as_mut().unwrap();
    assert!(daemon.signal(Signal::SIGUSR2));
    thread::sleep(Duration::from_millis(60));
    bench.start(A);
    bench.says(A, "answers for the address");
    // The node whose file has nothing that is taken serves.
    bench.serves(B);
    bench.one_owner("an added address that is taken");
    let open = bench.run(bench.lab.node(A), "nft list ruleset");
    assert!(!open.contains("192.168.42.20 timeout"), "{open}");
    assert!(!bench.run(bench.lab.node(A), "ip addr").contains("192.168.42.20"), "{}", bench.logs());
    // The third machine lets go: the whole group comes back.
    bench.run(&bench.lab.lanclient, "ip addr del 192.168.42.20/25 dev eth0");
    bench.rewrite(B, LAST_VIP, ADDED);
    bench.serves(A);
    bench.one_owner("and when it is free");
    assert!(bench.run(bench.lab.node(A), "ip addr").contains("192.168.42.20"), "{}", bench.logs());
}

/// A second address on the cable's network, whose interface one node can lack.
const SECOND: &str = "label = \"0\"\nlink = \"lan\"\n\n[[groups.vips]]\naddress = \"10.1.1.14/24\"\nlink = \"heartbeat\"\n";

#[test]
fn a_node_without_the_interface_of_an_address_is_given_nothing_and_serves_what_it_can_when_it_is_alone() {
    let Some(mut bench) = Bench::new() else { return };
    for node in BOTH {
        bench.rewrite(node, LAST_VIP, SECOND);
    }
    // Not the cable that is cut: the interface under another name, as after a change of hardware.
    bench.run(bench.lab.node(A), "ip link set eth1 down");
    bench.run(bench.lab.node(A), "ip link set eth1 name other1");
    BOTH.iter().for_each(|node| bench.start(*node));
    bench.serves(B);
    let from = bench.probe.now();
    thread::sleep(Duration::from_secs(8));
    let seen = bench.probe.outcome(from, bench.probe.now());
    assert_eq!((seen.moves(), seen.two_owners), (0, Duration::ZERO), "{seen:#?}\n{}", bench.logs());
    let view = bench.view(B);
    assert_eq!(view["groups"][0]["takeover_ready"]["ready"], false, "{view:#}");
    let said = bench.view(A)["groups"][0]["takeover_ready"]["reasons"].to_string();
    assert!(said.contains("the interface of link heartbeat is missing on master1, so 10.1.1.14"), "{said}");
    // The whole node is lost: the other one serves what it can.
    bench.daemons[B.index()].as_mut().unwrap().signal(Signal::SIGKILL);
    bench.serves(A);
    bench.says(A, "not served, its interface is missing: 10.1.1.14");
    let addresses = bench.run(bench.lab.node(A), "ip addr");
    assert!(addresses.contains("192.168.42.14/32") && !addresses.contains("10.1.1.14"), "{addresses}");
    // And with the interface the rest.
    bench.run(bench.lab.node(A), "ip link set other1 name eth1");
    bench.run(bench.lab.node(A), "ip link set eth1 up");
    let until = Instant::now() + Duration::from_secs(10);
    while !bench.run(bench.lab.node(A), "ip addr").contains("10.1.1.14") {
        assert!(Instant::now() < until, "{}", bench.logs());
        thread::sleep(Duration::from_millis(100));
    }
    bench.one_owner("an interface that is missing");
}
