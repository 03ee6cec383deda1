//! Restarts and stops on the real kernel: what the next life could not use, what the peer is still stopping, and numbers that do not run
//! away.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "common/bench.rs"]
mod bench;
mod common;

use std::thread;
use std::time::{Duration, Instant};

use bench::{A, B, Bench};
use nix::sys::signal::Signal;
use twinbeat::core::id::NodeId;
use twinbeat::lab::lab::{BOTH, node_name};

/// The lab's `dead`: a peer that is not asked but waited for costs it.
const DEAD: Duration = Duration::from_secs(1);

impl Bench {
    fn ends(&mut self, node: NodeId) {
        let until = Instant::now() + Duration::from_secs(10);
        while self.daemons[node.index()].as_mut().unwrap().running() {
            assert!(Instant::now() < until, "{node} does not end\n{}", self.logs());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// What a start says, and how it ends.
    fn try_again(&self, node: NodeId) -> (Option<i32>, String) {
        let (file, state) = (self.site.config(node), self.site.node_dir(node).join("state"));
        let args = ["run", "--config", file.to_str().unwrap(), "--node", node_name(node), "--state-dir", state.to_str().unwrap()];
        let done = self.site.ask(&self.lab, node, &args).unwrap();
        (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
    }

    fn both_serve(&mut self) {
        BOTH.iter().for_each(|node| self.start(*node));
        self.serves(A);
        thread::sleep(Duration::from_millis(1500));
    }

    fn signal(&mut self, node: NodeId, signal: Signal) {
        assert!(self.daemons[node.index()].as_mut().unwrap().signal(signal));
    }

    /// The owner is told to restart and cannot: the peer serves at once, and it ends. What the next start says and exits with.
    fn hands_over_in_place_of_a_restart(&mut self, from: Duration) -> (Option<i32>, String) {
        self.signal(A, Signal::SIGUSR2);
        self.serves(B);
        self.ends(A);
        let seen = self.probe.outcome(from, self.probe.now());
        assert!(seen.gap < DEAD && seen.two_owners == Duration::ZERO, "{seen:#?}\n{}", self.logs());
        self.try_again(A)
    }
}

#[test]
fn a_restart_that_could_not_begin_hands_over_at_once_and_the_start_says_so_by_its_exit_code() {
    let Some(mut bench) = Bench::new() else { return };
    bench.both_serve();
    let from = bench.probe.now();
    let whole = std::fs::read_to_string(bench.site.config(A)).unwrap();
    bench.rewrite(A, "[witness]", "[witness");
    let (code, said) = bench.hands_over_in_place_of_a_restart(from);
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("the configuration cannot be used") && said.contains("master1.toml"), "{said}");

    // Mended, it comes back; then its state directory is one that nothing can be written to.
    std::fs::write(bench.site.config(A), whole).unwrap();
    bench.start(A);
    bench.serves(A);
    thread::sleep(Duration::from_millis(1500));
    let state = bench.site.node_dir(A).join("state");
    std::fs::rename(&state, state.with_extension("aside")).unwrap();
    std::fs::write(&state, "a file").unwrap();
    let from = bench.probe.now();
    let (code, said) = bench.hands_over_in_place_of_a_restart(from);
    assert_eq!(code, Some(73), "{said}");
    assert!(said.contains("the state directory cannot be written"), "{said}");
}

#[test]
fn where_the_peer_cannot_serve_a_restart_waits_says_why_and_goes_on_when_the_file_is_mended() {
    let Some(mut bench) = Bench::new() else { return };
    bench.start(A);
    bench.serves(A);
    let whole = std::fs::read_to_string(bench.site.config(A)).unwrap();
    bench.rewrite(A, "dead = ", "deed = ");
    let from = bench.probe.now();
    bench.signal(A, Signal::SIGUSR2);
    bench.says(A, "the restart waits");
    thread::sleep(Duration::from_millis(2500));
    let problems = bench.view(A)["problems"].to_string();
    assert!(problems.contains("the restart waits") && problems.contains("deed") && problems.contains("master2"), "{problems}");
    assert!(bench.daemons[A.index()].as_mut().unwrap().running(), "{}", bench.logs());
    std::fs::write(bench.site.config(A), whole).unwrap();
    bench.ends(A);
    bench.start(A);
    bench.says(A, "goes on as the owner of epoch");
    thread::sleep(Duration::from_millis(500));
    let seen = bench.probe.outcome(from, bench.probe.now());
    assert!(seen.gap < DEAD && seen.moves() == 0, "{seen:#?}\n{}", bench.logs());
}

#[test]
fn restarts_of_the_owner_use_up_no_epochs_and_the_next_move_is_not_refused() {
    let Some(mut bench) = Bench::new() else { return };
    bench.both_serve();
    let epoch = bench.view(A)["groups"][0]["epoch"].clone();
    for _ in 0..3 {
        bench.signal(A, Signal::SIGUSR2);
        bench.ends(A);
        bench.start(A);
        thread::sleep(Duration::from_millis(700));
        assert_eq!(bench.view(A)["groups"][0]["role"], "owner", "{}", bench.logs());
    }
    assert_eq!(bench.view(A)["groups"][0]["epoch"], epoch, "{}", bench.logs());
    let asked = Instant::now();
    let done = bench.site.ask(&bench.lab, A, &["standby"]).unwrap();
    let took = asked.elapsed();
    assert!(done.status.success(), "{done:?}\n{}", bench.logs());
    assert!(!bench.logs().contains("it knows of a higher epoch"), "{}", bench.logs());
    // A refused intent is asked again after ten heartbeats, which are as long.
    assert!(took < DEAD, "{took:?}\n{}", bench.logs());
}

#[test]
fn an_owner_that_is_stopped_while_its_peer_stops_a_warm_service_hands_over_and_nobody_waits() {
    let Some(mut bench) = Bench::new() else { return };
    // A service that takes its time to stop.
    let slow = "[\"sh\", \"-c\", \"trap 'sleep 1.5; exit' TERM; while :; do sleep 0.05; done\"]";
    for node in BOTH {
        let text = std::fs::read_to_string(bench.site.config(node)).unwrap();
        let (before, rest) = text.split_once("process = ").unwrap();
        let (_, after) = rest.split_once(']').unwrap();
        std::fs::write(bench.site.config(node), format!("{before}process = {slow}{after}")).unwrap();
    }
    bench.both_serve();
    let done = bench.site.ask(&bench.lab, A, &["standby"]).unwrap();
    assert!(done.status.success(), "{done:?}\n{}", bench.logs());
    bench.serves(B);
    assert_eq!(bench.view(A)["groups"][0]["service"], "stopping", "{}", bench.logs());
    let from = bench.probe.now();
    bench.signal(B, Signal::SIGTERM);
    bench.serves(A);
    bench.ends(B);
    let seen = bench.probe.outcome(from, bench.probe.now());
    assert!(seen.gap < DEAD / 2 && seen.two_owners == Duration::ZERO, "{seen:#?}\n{}", bench.logs());
    assert!(!bench.logs().contains("the peer cannot take over"), "{}", bench.logs());
}
