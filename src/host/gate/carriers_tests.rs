//! The gate where the VIP's interface is a VRF's, changes or goes elsewhere under load, and where connections are offloaded.
//! What this machine's kernel lacks is tried on other kernels (netns-tests/kernels.rs).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::{IpAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use super::paths_tests::{LONG, connect, guest, nft, serve, soon, still_answers};
use super::tests::*;
use super::*;
use crate::clock::now;
use crate::test_net::Netns;
use twinbeat_core::time::Span;

/// Whether a namespace's kernel has that; if not, a line says what is not tried.
fn has(netns: &Netns, what: &str, command: &str) -> bool {
    let out = std::process::Command::new("ip").args(["netns", "exec", &netns.name]).args(command.split_whitespace()).output();
    let has = out.is_ok_and(|out| out.status.success());
    if !has {
        eprintln!("not tried: this kernel has no {what}");
    }
    has
}

#[test]
fn a_vip_in_a_vrf_is_guarded() {
    let Some((owner, client, mut gate)) = world(1) else { return };
    if !has(&owner, "VRF", "ip link add red type vrf table 10") {
        return;
    }
    for line in [
        "ip link set red up",
        "ip link set eth0 master red",
        // Enslaved, it has lost its addresses of IPv6.
        "ip addr replace fd09:0::1/64 dev eth0 nodad",
        "ip addr replace fd09:0::100/128 dev eth0 nodad",
    ] {
        owner.run(line);
    }
    owner.inside(|| vips().into_iter().for_each(|vip| serve_at(vip, Some(b"red"))));
    for vip in [VIP4, VIP6] {
        gate.open(0, now() + LONG).unwrap();
        assert!(soon(|| answers(&client, vip, 300)), "{vip} in a VRF does not answer through an open gate");
        let kept = connect(&client, vip);
        assert!(soon(|| still_answers(&kept)));
        gate.close(0).unwrap();
        assert!(!still_answers(&kept), "{vip}: an established connection goes on");
        assert!(!answers(&client, vip, 300) && !lladdr(&client, vip), "{vip} in a VRF answers through a closed gate");
        gate.open(0, now() + Span::secs(3)).unwrap();
        std::thread::sleep(Duration::from_millis(3020));
        assert!(!answers(&client, vip, 300) && !lladdr(&client, vip), "{vip} in a VRF answers after the expiry");
    }
}

/// A container that is published on the VIP, with its connections in a flowtable, except where `but` keeps them out.
fn offloaded(owner: &Netns, but: &str) {
    let rules = "table inet n {
        flowtable f { hook ingress priority 0; devices = { eth0, guest }; }
        chain p { type nat hook prerouting priority -100; ip daddr 10.9.0.100 udp dport 7 dnat ip to 172.30.0.2; }
        chain f {
            type filter hook forward priority 0;
            BUT
            ct state established flow add @f
        }
    }";
    nft(owner, &rules.replace("BUT", but));
}

/// The limit that docs/GATE.md names, and the rule that avoids it.
#[test]
fn what_is_offloaded_goes_round_the_gate_and_one_rule_keeps_the_vip_out_of_it() {
    for (but, goes_on) in [("", true), ("ct original ip daddr 10.9.0.100 accept", false)] {
        let Some((owner, client, mut gate)) = world(1) else { return };
        owner.run("nft add table ip probe");
        if !has(&owner, "flowtables", "nft add flowtable ip probe f { hook ingress priority 0 ; devices = { lo } ; }") {
            return;
        }
        let inside = guest(&owner, None);
        serve(&inside, &["172.30.0.2"]);
        offloaded(&owner, but);
        gate.open(0, now() + LONG).unwrap();
        assert!(answers(&client, "10.9.0.1", 500), "neighbours are known");
        let kept = connect(&client, VIP4);
        // Established in both directions, and in the table.
        assert!(soon(|| still_answers(&kept) && still_answers(&kept) && still_answers(&kept)));
        gate.close(0).unwrap();
        assert_eq!(still_answers(&kept), goes_on, "with `{but}`");
        assert!(!answers(&client, VIP4, 150), "a new connection");
    }
}

/// Asks the VIPs from the client every millisecond until told to stop: how many questions, and how many without an answer within 200 ms.
fn stream(client: &Netns, vip: IpAddr, stop: &AtomicBool, asked: &AtomicU32) -> u32 {
    client.inside(|| {
        let socket = UdpSocket::bind(if vip.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let mut lost = 0;
        while !stop.load(Ordering::Relaxed) {
            let number = (asked.fetch_add(1, Ordering::Relaxed) + 1).to_be_bytes();
            let mut answer = [0; 4];
            let _ = socket.send_to(&number, (vip, 7));
            // Late answers to earlier questions may come first.
            while socket.recv(&mut answer).is_ok() && answer != number {}
            lost += u32::from(answer != number);
            std::thread::sleep(Duration::from_millis(1));
        }
        lost
    })
}

/// The same to both VIPs while `work` runs: questions asked, and lost.
fn under_load(client: &Netns, work: impl FnOnce()) -> (u32, u32) {
    let (stop, asked) = (AtomicBool::new(false), AtomicU32::new(0));
    let lost = std::thread::scope(|scope| {
        let streams = vips().into_iter().map(|vip| {
            scope.spawn({
                let (stop, asked) = (&stop, &asked);
                move || stream(client, vip, stop, asked)
            })
        });
        let streams: Vec<_> = streams.collect();
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        stop.store(true, Ordering::Relaxed);
        assert!(done.is_ok(), "see above");
        streams.into_iter().map(|stream| stream.join().unwrap()).sum()
    });
    (asked.load(Ordering::Relaxed), lost)
}

fn batch(netns: &Netns, lines: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), lines).unwrap();
    netns.run(&format!("ip -batch {}", file.path().display()));
}

#[test]
fn under_load_interfaces_come_go_are_renamed_and_moved_and_no_answer_is_lost_or_slips_through() {
    let Some((owner, client, mut gate)) = world(1) else { return };
    let Some(elsewhere) = Netns::new() else { return };
    let churn = |owner: &Netns| {
        for round in 0..2 {
            let lines = |line: &dyn Fn(u32) -> String| (0..20).map(|n| line(n) + "\n").collect::<String>();
            batch(owner, &lines(&|n| format!("link add x{n} type veth peer name y{n}")));
            batch(owner, &lines(&|n| format!("link set x{n} name z{n}")));
            batch(owner, &lines(&|n| format!("link set y{n} netns {}", elsewhere.name)));
            batch(owner, &lines(&|n| format!("link del z{n}")));
            batch(owner, &format!("link add eth9 type veth peer name other{round}\nlink set eth9 up\nlink del eth9\n"));
        }
    };
    // Open, and renewed all the while.
    gate.open(0, now() + LONG).unwrap();
    assert!(answers(&client, VIP4, 500) && answers(&client, VIP6, 500));
    let (stop, gate_cell) = (AtomicBool::new(false), std::sync::Mutex::new(&mut gate));
    let (asked, lost) = under_load(&client, || {
        std::thread::scope(|scope| {
            let renews = scope.spawn(|| {
                let mut gate = gate_cell.lock().unwrap();
                let mut renewed = 0;
                while !stop.load(Ordering::Relaxed) {
                    assert_eq!(gate.renew(0, now() + LONG).unwrap(), Renewal::Renewed);
                    renewed += 1;
                    std::thread::sleep(Duration::from_millis(2));
                }
                renewed
            });
            churn(&owner);
            stop.store(true, Ordering::Relaxed);
            println!("open: {} renewals", renews.join().unwrap());
        });
    });
    println!("open: {asked} questions, {lost} lost");
    assert!(asked > 20 && lost == 0, "{lost} of {asked} lost through an open gate");
    // Closed: the VIP's own interface is renamed, made again with its name, and moved away and back.
    gate.close(0).unwrap();
    let addresses = |end: &Netns, host: u8| {
        end.run(&format!("ip addr replace 10.9.0.{host}/24 dev eth0"));
        end.run(&format!("ip addr replace fd09:0::{host}/64 dev eth0 nodad"));
        end.run("ip link set eth0 up");
    };
    let vips_again = || {
        owner.run(&format!("ip addr replace {VIP4}/32 dev eth0"));
        owner.run("ip addr replace fd09:0::100/128 dev eth0 nodad");
    };
    let (asked, lost) = under_load(&client, || {
        owner.run("ip link set eth0 down");
        owner.run("ip link set eth0 name other");
        owner.run("ip link set other up");
        owner.run("ip link set other down");
        owner.run("ip link set other name eth0");
        addresses(&owner, 1);
        vips_again();
        owner.run("ip link del eth0");
        owner.run(&format!("ip link add eth0 type veth peer name eth0 netns {}", client.name));
        addresses(&client, 2);
        addresses(&owner, 1);
        vips_again();
        owner.run(&format!("ip link set eth0 netns {}", elsewhere.name));
        elsewhere.run(&format!("ip link set eth0 netns {}", owner.name));
        addresses(&owner, 1);
        vips_again();
        churn(&owner);
    });
    println!("closed: {asked} questions, {} answered", asked - lost);
    assert!(asked > 5 && lost == asked, "{} of {asked} answered through a closed gate", asked - lost);
    gate.open(0, now() + LONG).unwrap();
    for vip in [VIP4, VIP6] {
        assert!(soon(|| answers(&client, vip, 300)), "{vip}: what kept it silent is the gate");
    }
}
