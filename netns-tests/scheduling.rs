//! What `[realtime]` does for a pair whose machine is busy: the longest silence that either node heard of the other one, stalls of the decision, moves.
//! A measurement, of the machine that it runs on: the table in docs/PERFORMANCE.md, "A pair on a busy machine".

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::process::{Child, Command};
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use serde_json::Value;
use twinbeat::core::id::NodeId;
use twinbeat::lab::daemon::Daemon;
use twinbeat::lab::lab::{BOTH, Lab, VIP};
use twinbeat::lab::node::Site;
use twinbeat::lab::probe::Probe;

/// Each `[realtime]` of both nodes.
const SETTINGS: [(&str, &str); 4] = [
    ("nice 0", "nice = 0"),
    ("nice -20, the default", ""),
    ("nice -20, memory not locked", "lock_memory = false"),
    ("fifo 1", "policy = \"fifo\""),
];
const BUSY: usize = 8;
const RUNS: usize = 3;

/// Ends them, whatever becomes of the test.
struct Load(Vec<Child>);

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Nanoseconds since boot, as the flight recorder has them.
fn now() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).unwrap();
    (now.tv_sec() * 1_000_000_000 + now.tv_nsec()).try_into().unwrap()
}

/// The times between two heartbeats, of whichever links, that a node's flight recorder has between two instants, longest first.
fn silences(site: &Site, node: NodeId, from: u64, to: u64) -> Vec<Duration> {
    let files = std::fs::read_dir(site.node_dir(node).join("state/journal")).unwrap().map(|entry| entry.unwrap().path());
    let mut heard = BTreeSet::new();
    for file in files {
        let text = String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        heard
            .extend(lines.filter(|line| line[1] == "h").filter_map(|line| line[0].as_u64()).filter(|at| (from..to).contains(at)));
    }
    let all: Vec<u64> = heard.into_iter().collect();
    let mut between: Vec<Duration> = all.windows(2).map(|two| Duration::from_nanos(two[1] - two[0])).collect();
    between.sort_unstable();
    between.reverse();
    between
}

fn healthy(lab: &Lab, site: &Site) {
    let until = Instant::now() + Duration::from_secs(60);
    for node in BOTH {
        while site.ask(lab, node, &["status"]).unwrap().status.code() != Some(0) {
            assert!(Instant::now() < until, "{}", site.log_tail(node, 40));
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// `cargo test --test scheduling -- --ignored --nocapture`; `TWINBEAT_SECONDS=5` for a look whether it works.
#[test]
#[ignore = "a measurement of a quarter of an hour"]
fn what_realtime_does_for_a_pair_on_a_busy_machine() {
    if !common::ready() {
        return;
    }
    let seconds = std::env::var("TWINBEAT_SECONDS").ok().and_then(|word| word.parse().ok()).unwrap_or(60);
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    println!("kernel {}, load before {}", read("/proc/sys/kernel/osrelease"), read("/proc/loadavg"));
    for (name, realtime) in SETTINGS {
        let (lab, site) = common::changed_files(|text| format!("{text}\n[realtime]\n{realtime}\n"));
        let probe = Probe::start(&lab, VIP).unwrap();
        let daemons = BOTH.map(|node| Daemon::start(&lab, &site, node).unwrap());
        assert!(probe.wait_for_owner(NodeId(0), Duration::from_secs(60), &AtomicBool::new(false)));
        healthy(&lab, &site);
        let spin = || Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("sh");
        let load = Load((0..BUSY).map(|_| spin()).collect());
        thread::sleep(Duration::from_secs(2));
        for run in 1..=RUNS {
            let stalls =
                || BOTH.map(|node| site.log_tail(node, 100_000).matches("old evidence is void").count()).iter().sum::<usize>();
            let (from, began, before) = (now(), probe.now(), stalls());
            thread::sleep(Duration::from_secs(seconds));
            let (to, seen) = (now(), probe.outcome(began, probe.now()));
            // What its queue still holds is written about once a second.
            thread::sleep(Duration::from_millis(1500));
            let worst: Vec<Vec<Duration>> = BOTH.map(|node| silences(&site, node, from, to)).into();
            let longest = worst.iter().filter_map(|all| all.first()).max().copied().unwrap_or_default();
            let tenth = worst.iter().filter_map(|all| all.get(9)).max().copied().unwrap_or_default();
            println!(
                "{name}, run {run}: longest silence {longest:.1?}, tenth longest {tenth:.1?}, {} stalls, {} moves, gap {:.1?}, two owners {:?}, probe late by {:.1?}, load {}",
                stalls() - before,
                seen.moves(),
                seen.gap,
                seen.two_owners,
                seen.lateness,
                read("/proc/loadavg")
            );
            assert!(seen.two_owners.is_zero(), "{seen:#?}");
        }
        drop(load);
        drop(daemons);
    }
}
