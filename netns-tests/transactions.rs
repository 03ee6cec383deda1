//! Large foreign nftables transactions beside a pair: the kernel works on one at a time in each network namespace, and the gate's renewal waits.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use twinbeat::core::id::NodeId;
use twinbeat::lab::daemon::Daemon;
use twinbeat::lab::lab::{BOTH, Lab, VIP};
use twinbeat::lab::node::Site;
use twinbeat::lab::ns::Namespace;
use twinbeat::lab::probe::{Outcome, Probe};

const A: NodeId = NodeId(0);

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A pair, the first node serving.
struct Rig {
    probe: Probe,
    _daemons: [Daemon; 2],
    lab: Lab,
    site: Site,
    _alone: MutexGuard<'static, ()>,
}

/// What a transaction did to it.
struct Done {
    /// How long `nft -f` ran, and the longest that another small transaction waited meanwhile in the same namespace.
    took: Duration,
    waited: Duration,
    seen: Outcome,
}

impl Rig {
    /// With these lines in `[timing]`.
    fn start(timing: &str) -> Option<Rig> {
        if !common::ready() {
            return None;
        }
        let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let (lab, site) = common::changed_files(|text| {
            let (before, rest) = text.split_once("[timing]").unwrap();
            let after = rest.split_once("\n[").map_or(String::new(), |(_, after)| format!("\n[{after}"));
            if timing.is_empty() { text.clone() } else { format!("{before}[timing]\n{timing}\n{after}") }
        });
        let probe = Probe::start(&lab, VIP).unwrap();
        let _daemons = BOTH.map(|node| Daemon::start(&lab, &site, node).unwrap());
        let rig = Rig { probe, _daemons, lab, site, _alone };
        rig.healthy();
        Some(rig)
    }

    /// The first node serves and both say that all is well.
    fn healthy(&self) {
        let never = AtomicBool::new(false);
        assert!(self.probe.wait_for_owner(A, Duration::from_secs(60), &never), "{}", self.logs());
        let until = Instant::now() + Duration::from_secs(60);
        for node in BOTH {
            while self.site.ask(&self.lab, node, &["status"]).unwrap().status.code() != Some(0) {
                assert!(Instant::now() < until, "{}", self.logs());
                thread::sleep(Duration::from_millis(100));
            }
        }
    }

    fn logs(&self) -> String {
        BOTH.map(|node| self.site.log_tail(node, 40)).join("\n---\n")
    }

    /// A table with so many elements, loaded inside that namespace in pieces of so many, and deleted again; seen until the first node serves again.
    fn load(&self, inside: &Namespace, elements: usize, piece: usize) -> Done {
        let files: Vec<PathBuf> = (0..elements).step_by(piece).map(|from| self.file(from, piece.min(elements - from))).collect();
        let from = self.probe.now();
        let busy = AtomicBool::new(true);
        let (took, waited) = thread::scope(|scope| {
            let small = scope.spawn(|| {
                let mut longest = Duration::ZERO;
                while busy.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    nft(inside, &["add", "table", "ip", "small"]);
                    longest = longest.max(began.elapsed());
                    thread::sleep(Duration::from_millis(5));
                }
                longest
            });
            let began = Instant::now();
            files.iter().for_each(|file| nft(inside, &["-f", file.to_str().unwrap()]));
            let took = began.elapsed();
            busy.store(false, Ordering::Relaxed);
            (took, small.join().unwrap())
        });
        // A claim or a hand-over that was about to begin.
        thread::sleep(Duration::from_secs(4));
        let seen = self.probe.outcome(from, self.probe.now());
        for table in ["big", "small"] {
            nft(inside, &["delete", "table", "ip", table]);
        }
        Done { took, waited, seen }
    }

    fn file(&self, from: usize, elements: usize) -> PathBuf {
        let file = self.site.dir().join(format!("{from}-{elements}.nft"));
        let mut text = "table ip big {\nset s {\ntype ipv4_addr\nelements = { ".to_owned();
        let all = from..from + elements;
        all.for_each(|n| write!(text, "10.{}.{}.{}, ", n >> 16 & 255, n >> 8 & 255, n & 255).unwrap());
        std::fs::write(&file, text + "}\n}\n}\n").unwrap();
        file
    }

    fn why(&self) -> String {
        String::from_utf8_lossy(&self.site.ask(&self.lab, A, &["why"]).unwrap().stdout).into_owned()
    }
}

fn nft(inside: &Namespace, args: &[&str]) {
    let done = inside.run(|| Ok(Command::new("nft").args(args).output()?)).unwrap();
    assert!(
        done.status.success(),
        "nft {args:?}: {}",
        String::from_utf8_lossy(&done.stderr).chars().take(300).collect::<String>()
    );
}

fn kernel() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

/// The words by which a person finds the hand.
const NAMED: &str = "another nftables transaction was under way";

#[test]
fn a_transaction_that_holds_the_gate_up_beyond_its_lease_makes_no_second_owner_and_is_named_by_why() {
    let Some(rig) = Rig::start("") else { return };
    for elements in [100_000, 200_000, 400_000, 800_000] {
        let done = rig.load(rig.lab.node(A), elements, elements);
        let seen = &done.seen;
        println!(
            "{elements} elements: nft ran {:?}, others waited {:?}, gap {:?}, {} moves",
            done.took,
            done.waited,
            seen.gap,
            seen.moves()
        );
        assert!(seen.two_owners.is_zero(), "{seen:#?}\n{}", rig.logs());
        let lapsed = rig.site.log_tail(A, 10_000).contains("LEAVES");
        if lapsed {
            let told = rig.why();
            assert!(told.contains(NAMED), "{told}\n{}", rig.logs());
            rig.healthy();
            return;
        }
        assert!(seen.moves() == 0, "{seen:#?}\n{}", rig.logs());
    }
    println!("NOT JUDGED further: kernel {} carries out 800,000 elements within a lease", kernel());
}

/// `cargo test --release --test transactions -- --ignored --nocapture`: the figures of docs/PERFORMANCE.md, "Foreign nftables transactions".
#[test]
#[ignore = "a measurement of five minutes"]
fn what_large_transactions_cost() {
    println!("kernel {}", kernel());
    for (name, timing) in [("lease 320 ms", ""), ("default", "profile = \"default\"")] {
        let Some(rig) = Rig::start(timing) else { return };
        for (place, inside) in [("the owner's", rig.lab.node(A)), ("another", &rig.lab.client)] {
            for (elements, piece) in [(100_000, 100_000), (400_000, 400_000), (100_000, 2_000)] {
                for _ in 0..2 {
                    rig.healthy();
                    let before = rig.site.log_tail(A, 100_000).matches("LEAVES").count();
                    let done = rig.load(inside, elements, piece);
                    let seen = &done.seen;
                    let lapses = rig.site.log_tail(A, 100_000).matches("LEAVES").count() - before;
                    println!(
                        "{name}, {place} namespace, {elements} in pieces of {piece}: nft {:?}, others waited {:?}; lapses {lapses}, gap {:?}, lost {:?}, moves {}, two owners {:?}, lateness {:?}, named {}",
                        done.took,
                        done.waited,
                        seen.gap,
                        seen.lost,
                        seen.moves(),
                        seen.two_owners,
                        seen.lateness,
                        lapses > 0 && rig.why().contains(NAMED)
                    );
                    let view: Value = serde_json::from_slice(&rig.site.ask(&rig.lab, A, &["status", "--json"]).unwrap().stdout)
                        .unwrap_or_default();
                    println!("    problems: {}", view["problems"]);
                    assert!(seen.two_owners.is_zero(), "{}", rig.logs());
                }
            }
        }
    }
}
