//! A lab with both nodes' files and daemons that a test starts one by one.

#![allow(dead_code, reason = "each test program uses its part of it")]

use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use twinbeat::core::id::NodeId;
use twinbeat::lab::daemon::Daemon;
use twinbeat::lab::lab::{BOTH, Lab, VIP};
use twinbeat::lab::node::Site;
use twinbeat::lab::probe::Probe;

use super::common;

pub const A: NodeId = NodeId(0);
pub const B: NodeId = NodeId(1);

/// One pair at a time: what is timed is the daemons' doing.
pub fn alone() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A lab with both nodes' files.
pub struct Bench {
    pub daemons: [Option<Daemon>; 2],
    pub probe: Probe,
    pub site: Site,
    pub lab: Lab,
    _alone: MutexGuard<'static, ()>,
}

impl Bench {
    pub fn new() -> Option<Bench> {
        Bench::of(Path::new(env!("CARGO_BIN_EXE_twinbeat")))
    }

    /// Of that program's daemons.
    pub fn of(program: &Path) -> Option<Bench> {
        common::ready().then(|| {
            let _alone = alone();
            let lab = Lab::build().unwrap();
            let site = Site::prepare(&lab, program, "\"auto\"").unwrap();
            let probe = Probe::start(&lab, VIP).unwrap();
            Bench { daemons: [None, None], probe, site, lab, _alone }
        })
    }

    pub fn rewrite(&self, node: NodeId, from: &str, to: &str) {
        let file = self.site.config(node);
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(&file, text.replace(from, to)).unwrap();
    }

    pub fn start(&mut self, node: NodeId) {
        self.daemons[node.index()] = None;
        self.daemons[node.index()] = Some(Daemon::start(&self.lab, &self.site, node).unwrap());
    }

    pub fn serves(&self, node: NodeId) {
        let never = AtomicBool::new(false);
        assert!(self.probe.wait_for_owner(node, Duration::from_secs(30), &never), "{node} does not serve\n{}", self.logs());
    }

    pub fn logs(&self) -> String {
        BOTH.map(|n| self.site.log_tail(n, 60)).join("\n---\n")
    }

    pub fn says(&self, node: NodeId, words: &str) {
        let until = Instant::now() + Duration::from_secs(15);
        while !self.site.log_tail(node, 1000).contains(words) {
            assert!(Instant::now() < until, "{node} does not say {words:?}\n{}", self.logs());
            thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn view(&self, node: NodeId) -> Value {
        let done = self.site.ask(&self.lab, node, &["status", "--json"]).unwrap();
        serde_json::from_slice(&done.stdout).unwrap()
    }

    pub fn one_owner(&self, what: &str) {
        let seen = self.probe.outcome(Duration::ZERO, self.probe.now());
        assert_eq!(seen.two_owners, Duration::ZERO, "{what}: {seen:#?}\n{}", self.logs());
    }

    pub fn run(&self, ns: &twinbeat::lab::ns::Namespace, words: &str) -> String {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        ns.run(|| {
            let done = Command::new(&words[0]).args(&words[1..]).output()?;
            assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
            Ok(String::from_utf8_lossy(&done.stdout).into_owned())
        })
        .unwrap()
    }
}
