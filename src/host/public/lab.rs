//! A small LAN for tests: a switch, a gateway and two nodes, each in a network namespace of its own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says so by dying")]

use std::fs::File;
use std::net::IpAddr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::{PublicConfig, PublicEvent, PublicSide};
use twinbeat_core::id::{GroupId, Mac, NodeId, WitnessId};

pub const G: GroupId = GroupId(0);
pub const W: WitnessId = WitnessId(0);

/// The namespaces; removed when dropped.
pub struct Lan {
    prefix: String,
}

/// The addresses of one family on the LAN.
#[derive(Clone, Copy)]
pub struct Family {
    pub name: &'static str,
    pub gateway: &'static str,
    pub own: [&'static str; 2],
    pub vip: &'static str,
    pub length: u8,
}

pub const V4: Family =
    Family { name: "IPv4", gateway: "10.9.0.1", own: ["10.9.0.11", "10.9.0.12"], vip: "10.9.0.100", length: 24 };
pub const V6: Family = Family { name: "IPv6", gateway: "fd09::1", own: ["fd09::11", "fd09::12"], vip: "fd09::100", length: 64 };

/// None, with a line that says so, where namespaces cannot be made.
pub fn lan() -> Option<Lan> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: not root, no network namespaces");
        return None;
    }
    let lan = Lan { prefix: format!("tbp{}x{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)) };
    lan.build();
    Some(lan)
}

impl Lan {
    fn build(&self) {
        for ns in ["sw", "gw", "a", "b"] {
            run("ip", &["netns", "add", &self.ns(ns)]);
            self.ip(ns, "link set lo up");
        }
        self.ip("sw", "link add br0 type bridge mcast_snooping 0");
        self.ip("sw", "link set br0 up");
        for (ns, mac) in [("gw", "02:00:00:00:00:01"), ("a", "02:00:00:00:00:0a"), ("b", "02:00:00:00:00:0b")] {
            self.plug(ns, mac);
        }
        self.sh("gw", "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
        for family in [V4, V6] {
            for (ns, address) in [("gw", family.gateway), ("a", family.own[0]), ("b", family.own[1])] {
                self.ip(ns, &format!("addr add {address}/{} dev eth0{}", family.length, nodad(family)));
            }
        }
    }

    /// Puts a cable between a namespace and the switch.
    pub fn plug(&self, ns: &str, mac: &str) {
        self.ip("sw", &format!("link add p{ns} type veth peer name eth0 address {mac} netns {}", self.ns(ns)));
        self.ip("sw", &format!("link set p{ns} master br0 up"));
        self.ip(ns, "link set eth0 up");
    }

    pub fn ns(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub fn ip(&self, ns: &str, words: &str) -> String {
        let ns = self.ns(ns);
        let mut all = vec!["-n", &ns];
        all.extend(words.split(' ').filter(|word| !word.is_empty()));
        run("ip", &all)
    }

    pub fn sh(&self, ns: &str, script: &str) -> String {
        run("ip", &["netns", "exec", &self.ns(ns), "sh", "-c", script])
    }

    /// The nodes exchange no frame any more; both still reach the gateway.
    pub fn part_the_nodes(&self) {
        self.sh(
            "sw",
            "nft 'table bridge t { chain f { type filter hook forward priority 0; iifname pa oifname pb drop; iifname pb oifname pa drop; }; }'",
        );
    }

    /// Has a namespace's kernel ask for an address, in order to send it a datagram.
    pub fn knock(&self, ns: &str, address: &str) {
        run("ip", &["netns", "exec", &self.ns(ns), "bash", "-c", &format!("echo > /dev/udp/{address}/9 || true")]);
    }

    /// Whom the gateway's table names.
    pub fn entry(&self, address: &str) -> Option<Mac> {
        let line = self.ip("gw", &format!("neigh show to {address} dev eth0"));
        let words: Vec<&str> = line.split_whitespace().collect();
        let mac = words.iter().position(|word| *word == "lladdr").and_then(|at| words.get(at + 1))?;
        let bytes: Vec<u8> = mac.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
        Some(Mac(bytes.try_into().unwrap()))
    }

    pub fn forget(&self, address: &str) {
        self.ip("gw", &format!("neigh flush to {address} dev eth0"));
    }

    /// The public side of a node, on a thread in its namespace; waits until it knows the witness.
    pub fn node(&self, index: usize, family: Family) -> Node {
        let node = Node::start(&self.ns(["a", "b"][index]), config(index, family));
        node.until(|side| side.witness_mac(W).is_some());
        node
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for ns in ["a", "b", "gw", "sw"] {
            let _ = Command::new("ip").args(["netns", "del", &self.ns(ns)]).output();
        }
    }
}

pub fn config(index: usize, family: Family) -> PublicConfig {
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    PublicConfig {
        node: NodeId(index as u8),
        interface: "eth0".into(),
        own: vec![address(family.own[index])],
        peer: vec![address(family.own[1 - index])],
        witnesses: vec![address(family.gateway)],
        groups: vec![vec![(address(family.vip), "eth0".into())]],
    }
}

pub fn nodad(family: Family) -> &'static str {
    if family.name == "IPv6" { " nodad" } else { "" }
}

type Job = Box<dyn FnOnce(&mut PublicSide) + Send>;

/// One node's public side, driven from the test's thread.
pub struct Node {
    jobs: Option<UnboundedSender<Job>>,
    events: Receiver<PublicEvent>,
    thread: Option<JoinHandle<()>>,
}

impl Node {
    pub fn start(ns: &str, config: PublicConfig) -> Node {
        let (jobs, mut inbox) = unbounded_channel::<Job>();
        let (told, events) = channel();
        let thread = in_ns(ns, async move {
            let mut side = PublicSide::new(config).unwrap();
            loop {
                tokio::select! {
                    event = side.next() => { let _ = told.send(event); }
                    job = inbox.recv() => match job { Some(job) => job(&mut side), None => return },
                }
            }
        });
        Node { jobs: Some(jobs), events, thread: Some(thread) }
    }

    pub fn call<R: Send + 'static>(&self, job: impl FnOnce(&mut PublicSide) -> R + Send + 'static) -> R {
        let (answer, result): (Sender<R>, _) = channel();
        let job: Job = Box::new(move |side| {
            let _ = answer.send(job(side));
        });
        assert!(self.jobs.as_ref().unwrap().send(job).is_ok(), "the node's thread lives");
        result.recv_timeout(Duration::from_secs(5)).unwrap()
    }

    /// Waits for something to become true.
    pub fn until(&self, what: impl Fn(&mut PublicSide) -> bool + Send + Copy + 'static) {
        let end = Instant::now() + Duration::from_secs(5);
        loop {
            if self.call(what) {
                return;
            }
            if Instant::now() >= end {
                let missing = self.call(|side| format!("{:?} {:?}", side.rebuild(), side.witnesses));
                panic!("it did not become true; missing: {missing}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The next event that is wanted, within a while.
    pub fn expect(&self, millis: u64, wanted: impl Fn(&PublicEvent) -> bool) -> Option<PublicEvent> {
        let end = Instant::now() + Duration::from_millis(millis);
        loop {
            match self.events.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(event) if wanted(&event) => return Some(event),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return None,
                Err(RecvTimeoutError::Disconnected) => panic!("the node's thread died"),
            }
        }
    }

    /// Everything seen within a while, the sockets' coming and going left out.
    pub fn drain(&self, millis: u64) -> Vec<PublicEvent> {
        let mut all = Vec::new();
        let end = Instant::now() + Duration::from_millis(millis);
        while let Ok(event) = self.events.recv_timeout(end.saturating_duration_since(Instant::now())) {
            if !matches!(event, PublicEvent::SocketOpened { .. } | PublicEvent::SocketLost { .. }) {
                all.push(event);
            }
        }
        all
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let died = thread.join().is_err();
            assert!(!died || std::thread::panicking(), "the node's thread panicked");
        }
    }
}

/// Runs a future on a thread of its own inside a network namespace.
pub fn in_ns<T: Send + 'static>(ns: &str, work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    let file = File::open(format!("/run/netns/{ns}")).unwrap();
    std::thread::spawn(move || {
        setns(file, CloneFlags::CLONE_NEWNET).unwrap();
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    })
}

fn run(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output().unwrap();
    assert!(output.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
