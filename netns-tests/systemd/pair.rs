//! Two machines with systemd in the lab, and the drills' probe beside them: what the tests on them ask of the pair.

use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use twinbeat::core::id::NodeId;
use twinbeat::lab::lab::{BOTH, Lab, node_name};
use twinbeat::lab::probe::{Outcome, Probe};

use crate::machines::Machine;

pub const A: NodeId = NodeId(0);
pub const B: NodeId = NodeId(1);
/// A connection is refused or lost for longer than this only when something was stopped before the address had moved.
pub const PLANNED: Duration = Duration::from_millis(500);
/// A page that was under way when the address moved is given up after this (the probe's own patience).
pub const PAGE: Duration = Duration::from_millis(500);

/// Machines before the lab: they end first.
pub struct Pair {
    pub machines: [Machine; 2],
    pub probe: Probe,
    pub _lab: Lab,
}

impl Pair {
    pub fn on(&self, node: NodeId) -> &Machine {
        &self.machines[node.index()]
    }

    pub fn serves(&self, node: NodeId) {
        let never = AtomicBool::new(false);
        assert!(
            self.probe.wait_for_owner(node, Duration::from_secs(45), &never),
            "{} does not serve\n{}",
            node_name(node),
            self.logs()
        );
    }

    /// All is well on both nodes.
    pub fn healthy(&self) {
        let until = Instant::now() + Duration::from_secs(45);
        for node in BOTH {
            while self.on(node).run("twinbeat status").map(|done| done.status.code()).unwrap() != Some(0) {
                let status = || self.on(node).run("twinbeat status").unwrap();
                assert!(Instant::now() < until, "{}\n{}", String::from_utf8_lossy(&status().stdout), self.logs());
                thread::sleep(Duration::from_millis(200));
            }
        }
    }

    /// What was seen from `from` until now; never two owners.
    pub fn seen(&self, what: &str, from: Duration) -> Outcome {
        let seen = self.probe.outcome(from, self.probe.now());
        println!(
            "{what}: gap {:?}, page gap {:?}, {} moves, lateness {:?}",
            seen.gap,
            seen.page_gap,
            seen.moves(),
            seen.lateness
        );
        assert_eq!(seen.two_owners, Duration::ZERO, "{what}: {seen:#?}\n{}", self.logs());
        seen
    }

    pub fn logs(&self) -> String {
        let log = |node| {
            self.on(node)
                .run("journalctl -u twinbeat --no-pager -n 60")
                .map(|done| String::from_utf8_lossy(&done.stdout).into_owned())
        };
        BOTH.map(|node| log(node).unwrap_or_else(|error| error.to_string())).join("\n---\n")
    }
}
