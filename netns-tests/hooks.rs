//! Hooks of real daemons: which changes they are told of, in which order, over a move, a restart, a crash and an end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "common/bench.rs"]
mod bench;
mod common;

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use bench::{A, B, Bench};
use nix::sys::signal::Signal;
use serde_json::Value;
use twinbeat::core::id::NodeId;
use twinbeat::lab::lab::BOTH;

impl Bench {
    fn file(&self, node: NodeId, name: &str) -> PathBuf {
        self.site.node_dir(node).join(name)
    }

    /// A hook on both nodes that writes each document behind the others; while there is a file `hold` it first waits until that is gone.
    fn hooks(&self) {
        for node in BOTH {
            let [script, out, hold] = ["hook.sh", "told", "hold"].map(|name| self.file(node, name).display().to_string());
            let text = format!("cat >> {out}\nwhile [ -e {hold} ]; do sleep 0.05; done\necho heard $TWINBEAT_EVENT\n");
            std::fs::write(&script, text).unwrap();
            let config = std::fs::read_to_string(self.site.config(node)).unwrap();
            std::fs::write(
                self.site.config(node),
                format!("{config}\n[[hooks]]\nrun = [\"/bin/sh\", \"{script}\"]\ntimeout = \"60s\"\n"),
            )
            .unwrap();
        }
    }

    fn told(&self, node: NodeId) -> Vec<Value> {
        let text = std::fs::read_to_string(self.file(node, "told")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The roles that a node's hook was told, each once in a row: the same change may be told twice.
    fn roles(&self, node: NodeId) -> Vec<String> {
        let told = self.told(node);
        let mut roles: Vec<String> = told
            .iter()
            .filter(|document| document["event"] == "role")
            .map(|document| format!("{} -> {}", document["was"].as_str().unwrap_or("start"), document["role"].as_str().unwrap()))
            .collect();
        roles.dedup();
        roles
    }

    fn until(&self, what: &str, holds: impl Fn(&Bench) -> bool) {
        let until = Instant::now() + Duration::from_secs(20);
        while !holds(self) {
            assert!(Instant::now() < until, "{what}\n{:#?}\n{:#?}\n{}", self.told(A), self.told(B), self.logs());
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn signal(&mut self, node: NodeId, signal: Signal) {
        assert!(self.daemons[node.index()].as_mut().unwrap().signal(signal));
        let until = Instant::now() + Duration::from_secs(10);
        while self.daemons[node.index()].as_mut().unwrap().running() {
            assert!(Instant::now() < until, "{node} does not end\n{}", self.logs());
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn epoch(&self, node: NodeId, role: &str) -> u64 {
        let told = self.told(node);
        told.iter().rev().find(|document| document["role"] == role).and_then(|document| document["epoch"].as_u64()).unwrap()
    }
}

#[test]
fn both_nodes_hooks_are_told_a_move_in_order_with_growing_epochs_and_the_end_of_a_daemon() {
    let Some(mut bench) = Bench::new() else { return };
    bench.hooks();
    BOTH.iter().for_each(|node| bench.start(*node));
    bench.serves(A);
    bench.until("the first owner is told", |bench| bench.roles(A).contains(&"claiming -> owner".into()));
    let settled = |kind: &'static str, field: &'static str, value: Value| {
        move |bench: &Bench| {
            BOTH.iter().all(|node| bench.told(*node).iter().rev().find(|d| d["event"] == kind).is_some_and(|d| d[field] == value))
        }
    };
    bench.until("a takeover would work", settled("readiness", "ready", true.into()));
    bench.says(A, "web/sh: heard role");

    let done = bench.site.ask(&bench.lab, A, &["standby"]).unwrap();
    assert!(done.status.success(), "{done:?}\n{}", bench.logs());
    bench.until("the move is told", |bench| {
        bench.roles(A).last().is_some_and(|role| role == "leaving -> standby")
            && bench.roles(B).last().is_some_and(|role| role == "claiming -> owner")
    });
    assert_eq!(
        bench.roles(A),
        ["start -> standby", "standby -> claiming", "claiming -> owner", "owner -> leaving", "leaving -> standby"]
    );
    assert_eq!(bench.roles(B), ["start -> standby", "standby -> claiming", "claiming -> owner"]);
    assert!(bench.epoch(B, "owner") > bench.epoch(A, "owner"), "the fencing token grows");
    let last = bench.told(B).into_iter().rev().find(|document| document["event"] == "role").unwrap();
    assert_eq!((&last["group"], &last["node"], &last["peer"]), (&"web".into(), &"master2".into(), &"master1".into()));
    assert!(last["reason"].as_str().unwrap().contains("master2 SERVES"), "{last}");

    // A restart that finds its gate open says that it owns, and that it goes on.
    bench.signal(B, Signal::SIGUSR2);
    bench.start(B);
    bench.until("the restart is told", |bench| bench.told(B).iter().any(|document| document["event"] == "reaffirmed"));

    // What happens while it ends is told before it has ended.
    bench.signal(B, Signal::SIGTERM);
    assert_eq!(bench.roles(B)[3..], ["start -> owner", "owner -> leaving", "leaving -> standby"]);
    bench.one_owner("with hooks");
}

#[test]
fn a_hook_that_hangs_delays_no_takeover_and_what_it_was_not_told_is_told_behind_a_crash_and_a_restart() {
    let Some(mut bench) = Bench::new() else { return };
    bench.hooks();
    BOTH.iter().for_each(|node| bench.start(*node));
    bench.serves(A);
    bench.until("the first owner is told", |bench| bench.roles(A).contains(&"claiming -> owner".into()));
    thread::sleep(Duration::from_millis(1500));
    // Both hooks hang from now on.
    BOTH.iter().for_each(|node| std::fs::write(bench.file(*node, "hold"), "").unwrap());
    let from = bench.probe.now();
    let done = bench.site.ask(&bench.lab, A, &["standby"]).unwrap();
    assert!(done.status.success(), "{done:?}\n{}", bench.logs());
    bench.serves(B);
    let seen = bench.probe.outcome(from, bench.probe.now());
    assert!(seen.gap < Duration::from_millis(500) && seen.two_owners == Duration::ZERO, "{seen:#?}\n{}", bench.logs());
    bench
        .until("the hook of the new owner runs", |bench| bench.roles(B).last().is_some_and(|role| role == "standby -> claiming"));
    let stored = bench.file(B, "state").join("hooks.json");
    bench.until("what it waits for is on the disk", |_| std::fs::read_to_string(&stored).unwrap().contains("\"role\":\"owner\""));
    let attempts = |bench: &Bench| {
        bench.told(B).iter().filter(|d| d["role"] == "claiming").map(|d| d["attempt"].clone()).collect::<Vec<_>>()
    };
    // One crash in time for its lease; then a restart in order.
    bench.signal(B, Signal::SIGKILL);
    bench.start(B);
    bench.until("the unfinished one is run again", |bench| attempts(bench) == [1, 2]);
    bench.signal(B, Signal::SIGUSR2);
    bench.start(B);
    bench.until("and again", |bench| attempts(bench) == [1, 2, 3]);
    BOTH.iter().for_each(|node| std::fs::remove_file(bench.file(*node, "hold")).unwrap());
    // The crash may have outlasted the lease on a busy machine; each life says what it found.
    bench.until("then the rest is told", |bench| {
        let lives = bench.told(B).iter().filter(|document| document["event"] == "role" && document["reason"] == "start").count();
        lives >= 3 && bench.roles(B).last().is_some_and(|role| role.ends_with("-> owner"))
    });
    let roles = bench.roles(B);
    assert_eq!(roles[..3], ["start -> standby", "standby -> claiming", "claiming -> owner"], "{}", bench.logs());
    bench.one_owner("with hooks that hang");
}
