//! A pair of real daemons with a configuration of its own, and who answers for its addresses, seen from outside.

#![allow(dead_code, reason = "each test program takes what it needs")]

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use twinbeat::core::id::NodeId;
use twinbeat::lab::daemon::Daemon;
use twinbeat::lab::lab::{BOTH, Lab, node_id};
use twinbeat::lab::node::Site;
use twinbeat::lab::ns::Namespace;
use twinbeat::lab::probe::{Outcome, Probe};
use twinbeat::lab::responder::PORT;

use super::common;

pub const A: NodeId = NodeId(0);
pub const B: NodeId = NodeId(1);
/// A quarter of the lab's lease: a machine that stood still for longer says nothing about gaps.
pub const STALL: Duration = Duration::from_millis(80);
/// For a client's period, a probe's lateness and a machine with two busy cores.
pub const SLACK: Duration = Duration::from_millis(40);

/// A move is over for everybody after this: the probe looks back, and the other group may follow.
pub const SETTLED: Duration = Duration::from_millis(1500);

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A pair with a configuration of its own.
pub struct Rig {
    pub probe: Probe,
    pub daemons: [Option<Daemon>; 2],
    pub lab: Lab,
    pub site: Site,
    _alone: MutexGuard<'static, ()>,
}

impl Rig {
    /// Starts both daemons with the recipe's configuration as `change` leaves it; waits until master1 serves `vip`.
    pub fn start(vip: IpAddr, change: impl Fn(String) -> String) -> Rig {
        Rig::start_in(vip, change, |_| {})
    }

    /// The same in a laboratory that is made ready first.
    pub fn start_in(vip: IpAddr, change: impl Fn(String) -> String, ready: impl Fn(&Lab)) -> Rig {
        let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let (lab, site) = common::changed_files(change);
        ready(&lab);
        let probe = Probe::start(&lab, vip).unwrap();
        let daemons = BOTH.map(|node| Some(Daemon::start(&lab, &site, node).unwrap()));
        let rig = Rig { probe, daemons, lab, site, _alone };
        rig.wait_for(A);
        rig
    }

    pub fn wait_for(&self, node: NodeId) {
        let never = AtomicBool::new(false);
        assert!(self.probe.wait_for_owner(node, Duration::from_secs(30), &never), "{node} does not serve\n{}", self.logs());
    }

    pub fn logs(&self) -> String {
        BOTH.map(|n| self.site.log_tail(n, 40)).join("\n---\n")
    }

    pub fn signal(&mut self, node: NodeId, signal: Signal) {
        assert!(self.daemons[node.index()].as_mut().unwrap().signal(signal));
    }

    pub fn ask(&self, node: NodeId, args: &[&str]) {
        let done = self.site.ask(&self.lab, node, args).unwrap();
        assert!(done.status.success(), "{args:?}: {}\n{}", String::from_utf8_lossy(&done.stderr), self.logs());
    }

    /// What was seen since `from`: never two owners; and, unless the machine itself stood still, so many moves and a gap of at most so much.
    pub fn judge(&self, what: &str, from: Duration, moves: usize, gap: Duration) -> Outcome {
        let seen = self.probe.outcome(from, self.probe.now());
        println!(
            "{what}: gap {:?}, moves {}, two owners {:?}, lateness {:?}",
            seen.gap,
            seen.moves(),
            seen.two_owners,
            seen.lateness
        );
        assert_eq!(seen.two_owners, Duration::ZERO, "{what}: {seen:#?}\n{}", self.logs());
        if seen.lateness > STALL {
            println!("{what}: NOT JUDGED further, the machine itself stood still for {:?}", seen.lateness);
        } else {
            assert_eq!(seen.moves(), moves, "{what}: {seen:#?}\n{}", self.logs());
            assert!(seen.gap <= gap, "{what}: {seen:#?}\n{}", self.logs());
        }
        seen
    }
}

pub fn pause(time: Duration) {
    thread::sleep(time);
}

/// The node whose responder answers at an address, from behind the gateway; none within 300 ms.
pub fn who(from: &Namespace, at: IpAddr) -> Option<NodeId> {
    from.run(|| {
        let any: SocketAddr = if at.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse()?;
        let socket = UdpSocket::bind(any)?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let mut buffer = [0_u8; 64];
        for _ in 0..3 {
            let _ = socket.send_to(&[0; 8], (at, PORT));
            if let Ok(length) = socket.recv(&mut buffer) {
                return Ok(std::str::from_utf8(&buffer[8..length]).ok().and_then(node_id));
            }
        }
        Ok(None)
    })
    .unwrap()
}

pub fn soon_at(rig: &Rig, at: IpAddr, node: NodeId) {
    let until = Instant::now() + Duration::from_secs(20);
    while who(&rig.lab.client, at) != Some(node) {
        assert!(Instant::now() < until, "{at}: {:?}, not {node}\n{}", who(&rig.lab.client, at), rig.logs());
    }
}
