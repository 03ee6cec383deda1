//! Real bonds: two machines in QEMU, each with a bond of two cards into the LAN, a VLAN over it that carries the VIP, and a bond of two direct cables for the
//! heartbeats; a third machine is the gateway. Cables are pulled from outside, delays come from netem, and a machine stands still without its
//! clock noticing (docs/SAFETY.md, limit a).
//!
//! Seen from outside by an observer at the LAN's switch, which asks each node for the VIP by ARP, in frames with the VLAN's tag.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
mod qemu;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use qemu::{Kernel, Machine};
use serde_json::Value;
use twinbeat::core::id::Mac;
use twinbeat::lab::flood::packet_socket;
use twinbeat::lab::frames::{self, Answer};
use twinbeat::lab::netlink;
use twinbeat::lab::ns::{self, Namespace, Prefix};

const NODES: [&str; 2] = ["master1", "master2"];
const VIP: Ipv4Addr = Ipv4Addr::new(192, 168, 42, 14);
const VLAN: u16 = 42;
/// Of the configuration, as emulated machines on a busy host can keep them.
const LEASE: Duration = Duration::from_secs(3);
const DEAD: Duration = Duration::from_secs(9);
/// For answers that were under way, and for late processes.
const SLACK: Duration = Duration::from_millis(500);
/// Between netem's shortest and longest delay, and as much for a busy host; once for each of two moves.
const JITTER: Duration = Duration::from_millis(80);
/// netem's delay there and back with its jitter, and as much for an answer that waits behind others.
const DELAYED: Duration = Duration::from_millis(250);

/// The cards of a node.
const LAN: [usize; 2] = [0, 1];
const CABLES: [usize; 2] = [2, 3];

/// Dropped in this order: the observer, the machines, the namespace and whatever still runs in it, the files.
struct Pair {
    observer: Observer,
    machines: [Machine; 2],
    _gateway: Machine,
    switch: Namespace,
    _files: tempfile::TempDir,
}

#[test]
fn bonds_vlans_delays_pulled_cables_and_a_pause_that_no_clock_sees() {
    if !root_with_taps() || !common::ready() {
        return;
    }
    let Some(kernel) = Kernel::find("6.1.").or_else(|| Kernel::find("6.")) else { return };
    let began = Instant::now();
    let mut pair = Pair::start(&kernel);
    println!("three machines after {:.1} s", began.elapsed().as_secs_f64());
    let calm = |a: &Seen, b: &Seen| {
        a.link("bond") == "ok"
            && b.link("bond") == "ok"
            && a.link("lan") == "ok"
            && a.slaves() == "2/2"
            && b.slaves() == "2/2"
            && a.owner() == "master1"
            && a.ready()
    };
    let begin = pair.wait("a calm pair", calm);
    let since = Instant::now();
    let epoch = begin[0].epoch();
    assert_eq!(begin[0].json["gate"].as_str(), Some("inet"), "{}", begin[0].screen);
    assert_eq!(pair.check(), None, "a bond with `primary` and `primary_reselect always` is not warned of");

    // The spare slave loses its carrier: shown, logged, nothing else.
    pair.machines[0].cable(3, false).unwrap();
    let seen = pair.wait("DEGRADED", |a, _| a.slaves() == "1/2");
    assert_eq!((seen[0].link("bond"), seen[0].active()), ("ok".to_owned(), "eth2".to_owned()));
    assert!(seen[0].screen.contains("DEGRADED 1/2 slaves"), "{}", seen[0].screen);
    assert!(pair.log(0).contains("link bond: DEGRADED: bond1 has 1 of 2 slaves: eth3 down (1 failures)"), "{}", pair.log(0));
    pair.machines[0].cable(3, true).unwrap();
    pair.wait("whole again", |a, _| a.slaves() == "2/2");
    assert!(pair.log(0).contains("link bond: whole again: bond1 (active-backup) 2/2 slaves, eth2 in use"), "{}", pair.log(0));

    // The active cable is pulled, as a direct cable at both ends: the bond uses the other one, and nothing moves.
    pair.cables(&[2], false);
    let seen = pair.wait("the spare cable", |a, b| {
        a.active() == "eth3" && b.active() == "eth3" && a.link("bond") == "ok" && b.link("bond") == "ok" && a.slaves() == "1/2"
    });
    assert!(seen[1].screen.contains("DEGRADED 1/2 slaves"), "{}", seen[1].screen);
    // Both: the link is gone, the LAN carries on.
    pair.cables(&[3], false);
    let seen = pair.wait("no slave", |a, b| a.slaves() == "0/2" && a.link("bond") != "ok" && b.link("bond") != "ok");
    assert_eq!((seen[0].link("lan"), seen[1].link("lan")), ("ok".to_owned(), "ok".to_owned()));
    pair.cables(&CABLES, true);
    pair.wait("back on the primary", |a, b| a.active() == "eth2" && b.active() == "eth2" && calm(a, b));

    // A silent cut of the active cable: MII monitoring sees nothing, the bond is whole, and the link is lost all the same.
    pair.switch("link set t12 nomaster");
    let seen = pair.wait("a whole bond that is lost", |a, b| a.link("bond") == "lost" && b.link("bond") == "lost");
    assert_eq!((seen[0].slaves(), seen[1].slaves()), ("2/2".to_owned(), "2/2".to_owned()));
    pair.switch("link set t12 master cable1");
    pair.wait("heard again", |a, b| a.link("bond") == "ok" && b.link("bond") == "ok");

    // The setting that lets both ends end up on different cables is found.
    pair.machines[0].run("ip link set bond1 type bond primary_reselect failure").unwrap();
    let warned = pair.check().expect("a warning");
    assert!(warned.contains("primary_reselect always"), "{warned}");
    pair.machines[0].run("ip link set bond1 type bond primary_reselect always").unwrap();

    // Through all of it: one owner, one ownership.
    let end = pair.look();
    assert_eq!((end[0].owner(), end[1].owner(), end[0].epoch()), ("master1".to_owned(), "master1".to_owned(), epoch));
    assert!(pair.observer.runs(1).iter().all(|run| run.1 < since), "master2 answered");

    // The VIP's own bond, below its VLAN: one cable is nothing, both are a failover, and their return brings the address back.
    let from = Instant::now();
    pair.machines[0].cable(0, false).unwrap();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(pair.observer.serving(), [true, false], "one slave of the VIP's bond");
    pair.machines[0].cable(1, false).unwrap();
    let pulled = Instant::now();
    pair.served_by(1, "both cables of the VIP's bond pulled");
    println!("both cables of the VIP's bond: master2 answers after {:.2} s", pulled.elapsed().as_secs_f64());
    for n in LAN {
        pair.machines[0].cable(n, true).unwrap();
    }
    pair.served_by(0, "and plugged in again");
    pair.wait("calm again", calm);
    pair.never_two(from, "the VIP's bond");

    // Delay, jitter and loss on all that leaves by the LAN: nothing moves by itself, a planned move works.
    for node in 0..2 {
        pair.machines[node].run("tc qdisc add dev bond0 root netem delay 40ms 20ms loss 1%").unwrap();
    }
    let from = Instant::now();
    std::thread::sleep(Duration::from_secs(5));
    let seen = pair.look();
    assert_eq!((seen[0].owner(), seen[1].owner()), ("master1".to_owned(), "master1".to_owned()), "{}", seen[0].screen);
    pair.machines[0].run("twinbeat standby --run-dir /run/twinbeat").unwrap();
    pair.served_by(1, "a planned move with 40 ms of delay");
    pair.machines[0].run("twinbeat resume --run-dir /run/twinbeat").unwrap();
    pair.served_by(0, "and back");
    pair.wait("calm again", calm);
    // The old owner's last answers may be under way for longer than the new one's first ones.
    let both = pair.observer.both(from);
    assert!(both <= JITTER * 2, "delay and jitter: two owners for {both:?}\n{}", [pair.log(0), pair.log(1)].join("\n---\n"));

    // The owner's machine stands still, and its clock with it, until the other one has taken over; then it goes on with the rest of its lease.
    let from = Instant::now();
    pair.machines[0].pause().unwrap();
    pair.served_by(1, "a paused machine");
    println!("paused: master2 answers after {:.2} s", from.elapsed().as_secs_f64());
    pair.never_two(from, "while it is paused");
    std::thread::sleep(Duration::from_secs(1));
    let resumed = Instant::now();
    pair.machines[0].resume().unwrap();
    std::thread::sleep(LEASE + Duration::from_secs(1));
    let both = pair.observer.both(resumed);
    println!("resumed: two answered for {both:?}");
    assert!(both <= LEASE + SLACK, "two nodes answered for {both:?}: longer than the rest of a lease");
    pair.served_by(0, "failback after the pause");
    pair.wait("calm at the end", calm);
    pair.never_two(resumed + LEASE + SLACK, "after the pause");
    println!("all of it after {:.1} s", began.elapsed().as_secs_f64());
}

/// One node's `status`.
struct Seen {
    json: Value,
    screen: String,
}

impl Seen {
    fn of(&self, link: &str) -> &Value {
        let links = self.json["links"].as_array().unwrap();
        links.iter().find(|l| l["name"] == link).unwrap()
    }

    fn link(&self, link: &str) -> String {
        self.of(link)["state"].as_str().unwrap().to_owned()
    }

    fn slaves(&self) -> String {
        let bond = &self.of("bond")["bond"];
        format!("{}/{}", bond["slaves_up"], bond["slaves"].as_array().map_or(0, Vec::len))
    }

    fn active(&self) -> String {
        self.of("bond")["bond"]["active"].as_str().unwrap_or_default().to_owned()
    }

    fn owner(&self) -> String {
        self.json["groups"][0]["owner"].as_str().unwrap_or_default().to_owned()
    }

    fn epoch(&self) -> u64 {
        self.json["groups"][0]["epoch"].as_u64().unwrap()
    }

    fn ready(&self) -> bool {
        self.json["groups"][0]["takeover_ready"]["ready"] == true
    }
}

impl Pair {
    fn start(kernel: &Kernel) -> Pair {
        ns::sweep();
        let switch = Namespace::create(&Prefix::new().unwrap(), "switch").unwrap();
        let files = tempfile::tempdir().unwrap();
        netlink::bridges(&switch, &["lan", "cable1", "cable2"].map(str::to_owned)).unwrap();
        let binary = Path::new(env!("CARGO_BIN_EXE_twinbeat"));
        let (initramfs, gateway) = (files.path().join("initramfs"), files.path().join("gateway"));
        let names = ["twinbeat.toml", "master1.key", "master2.key"];
        configure(binary, files.path());
        let paths = names.map(|name| (format!("host/{name}"), files.path().join(name)));
        let shared = paths.each_ref().map(|(name, path)| (name.as_str(), path.as_path()));
        let modules = ["bonding max_bonds=0", "8021q", "sch_netem", "nf_tables", "softdog"];
        kernel.initramfs(&initramfs, &["ip", "tc"], &[("twinbeat", binary)], &shared, &modules).unwrap();
        kernel.initramfs(&gateway, &["ip"], &[], &[], &["8021q"]).unwrap();

        let tap = |name: &str, bridge: &str| {
            ip(&switch, &format!("tuntap add {name} mode tap"));
            ip(&switch, &format!("link set {name} master {bridge} up"));
        };
        tap("gw", "lan");
        let mut gateway =
            kernel.start(&switch, "gateway", &gateway, 192, &[("gw".to_owned(), "02:00:00:00:09:00".to_owned())]).unwrap();
        let mut machines = [0, 1].map(|node| {
            let taps = [0, 1, 2, 3].map(|card| (format!("t{}{card}", node + 1), format!("02:00:00:00:{node:02x}:{card:02x}")));
            for ((name, _), bridge) in taps.iter().zip(["lan", "lan", "cable1", "cable2"]) {
                tap(name, bridge);
            }
            kernel.start(&switch, NODES[node], &initramfs, 256, &taps).unwrap()
        });
        gateway.up().unwrap();
        for line in [
            "ip link set eth0 up".to_owned(),
            format!("ip link add lan link eth0 type vlan id {VLAN}"),
            "ip addr add 192.168.42.1/25 dev lan".to_owned(),
            "ip link set lan up".to_owned(),
        ] {
            gateway.run(&line).unwrap();
        }
        for (node, machine) in machines.iter_mut().enumerate() {
            machine.up().unwrap();
            for line in wiring(node) {
                machine.run(&line).unwrap();
            }
        }
        let observer = Observer::start(&switch);
        Pair { observer, machines, _gateway: gateway, switch, _files: files }
    }

    fn look(&mut self) -> [Seen; 2] {
        self.machines.each_mut().map(|machine| {
            let ask = "twinbeat status --run-dir /run/twinbeat";
            let (text, _) = machine.try_run(&format!("{ask} --json")).unwrap();
            let json = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
            Seen { json, screen: machine.try_run(ask).unwrap().0 }
        })
    }

    /// Looks until both nodes are as they should be.
    fn wait(&mut self, what: &str, holds: impl Fn(&Seen, &Seen) -> bool) -> [Seen; 2] {
        let begin = Instant::now();
        let until = begin + Duration::from_secs(90);
        loop {
            let seen = self.look();
            if holds(&seen[0], &seen[1]) {
                println!("{what}: after {:.1} s", begin.elapsed().as_secs_f64());
                return seen;
            }
            if Instant::now() > until {
                let screens = format!("{}\n{}", seen[0].screen, seen[1].screen);
                panic!("never {what}:\n{screens}\n{}\n{}", self.log(0), self.log(1));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Pulls direct cables at both ends, or plugs them in.
    fn cables(&mut self, cables: &[usize], plugged: bool) {
        for machine in &mut self.machines {
            cables.iter().for_each(|n| machine.cable(*n, plugged).unwrap());
        }
    }

    /// Waits until this node, and it alone, answers for the VIP.
    fn served_by(&mut self, node: usize, what: &str) {
        let until = Instant::now() + DEAD * 15;
        let wanted = [node == 0, node == 1];
        while self.observer.serving() != wanted {
            if Instant::now() > until {
                let screens = self.look().map(|seen| seen.screen).join("\n");
                panic!("{what}: {:?} answer\n{screens}\n{}", self.observer.serving(), [self.log(0), self.log(1)].join("\n---\n"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// No moment since then in which both answered.
    fn never_two(&mut self, from: Instant, what: &str) {
        let both = self.observer.both(from);
        assert_eq!(both, Duration::ZERO, "{what}: two owners\n{}", [self.log(0), self.log(1)].join("\n---\n"));
    }

    /// What `check` says of the bond that is no praise.
    fn check(&mut self) -> Option<String> {
        // The machine's console is a terminal, for which check paints and wraps.
        let (text, _) = self.machines[0].try_run("twinbeat check --config /host/twinbeat.toml --node master1 | cat").unwrap();
        assert!(text.contains("bond"), "{text}");
        text.lines().find(|line| line.starts_with("WARN") && line.contains("bond1")).map(str::to_owned)
    }

    fn log(&mut self, node: usize) -> String {
        self.machines[node].run("cat /run/daemon.log").unwrap()
    }

    fn switch(&self, line: &str) {
        ip(&self.switch, line);
    }
}

/// Asks each node for the VIP every 20 ms, by ARP to its own hardware address, and notes when which one answers.
struct Observer {
    stop: Arc<AtomicBool>,
    answers: Arc<Mutex<[Vec<Instant>; 2]>>,
    threads: Vec<JoinHandle<()>>,
}

impl Observer {
    fn start(switch: &Namespace) -> Observer {
        const ME: Mac = Mac([2, 0, 0, 0, 9, 9]);
        // A bond has the hardware address of its first slave.
        let macs = [0, 1].map(|node| Mac([2, 0, 0, 0, node, 0]));
        let at: IpAddr = Ipv4Addr::new(192, 168, 42, 99).into();
        let questions = macs.map(|mac| tagged(&frames::neighbour_question((ME, at), mac, VIP.into()).unwrap()));
        ip(switch, "link add probe type veth peer name observer");
        ip(switch, "link set probe master lan up");
        ip(switch, "link set observer up");
        let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new([Vec::new(), Vec::new()])));
        let mut asks = packet_socket(switch, "observer").unwrap();
        let mut hears = asks.try_clone().unwrap();
        let (asking, hearing, noted) = (Arc::clone(&stop), Arc::clone(&stop), Arc::clone(&answers));
        let ask = move || {
            while !asking.load(Ordering::Relaxed) {
                questions.iter().for_each(|question| drop(asks.write(question)));
                std::thread::sleep(STEP);
            }
        };
        let hear = move || {
            let mut buffer = [0_u8; 2048];
            while !hearing.load(Ordering::Relaxed) {
                let Ok(length) = hears.read(&mut buffer) else { continue };
                // The kernel has taken the tag off.
                let Some(Answer::Neighbour(mac)) = frames::read(&buffer[..length], VIP.into()) else { continue };
                if let Some(node) = macs.iter().position(|known| *known == mac) {
                    noted.lock().unwrap()[node].push(Instant::now());
                }
            }
        };
        let threads = vec![switch.spawn("asks", ask).unwrap(), switch.spawn("hears", hear).unwrap()];
        Observer { stop, answers, threads }
    }

    /// Who has answered just now.
    fn serving(&self) -> [bool; 2] {
        let answers = self.answers.lock().unwrap();
        answers.each_ref().map(|all| all.last().is_some_and(|last| last.elapsed() < DELAYED))
    }

    /// The stretches in which a node answered, from the first answer to the last.
    fn runs(&self, node: usize) -> Vec<(Instant, Instant)> {
        let answers = self.answers.lock().unwrap();
        let mut runs: Vec<(Instant, Instant)> = Vec::new();
        for at in &answers[node] {
            match runs.last_mut() {
                Some(last) if at.duration_since(last.1) < DELAYED => last.1 = *at,
                _ => runs.push((*at, *at)),
            }
        }
        runs
    }

    /// For how long since then both nodes answered.
    fn both(&self, from: Instant) -> Duration {
        let [a, b] = [self.runs(0), self.runs(1)];
        let common =
            |a: &(Instant, Instant), b: &(Instant, Instant)| a.1.min(b.1).saturating_duration_since(a.0.max(b.0).max(from));
        a.iter().flat_map(|a| b.iter().map(move |b| common(a, b))).sum()
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Between two rounds of questions.
const STEP: Duration = Duration::from_millis(20);

/// The frame with the VLAN's tag (IEEE 802.1Q).
fn tagged(frame: &[u8]) -> Vec<u8> {
    let (addresses, rest) = frame.split_at(12);
    [addresses, &[0x81, 0x00], &VLAN.to_be_bytes(), rest].concat()
}

/// Makes keys and the configuration, which both machines get.
fn configure(binary: &Path, dir: &Path) {
    let mut text = "cluster = \"bonds\"\nport = 694\n".to_owned();
    for (node, name) in NODES.iter().enumerate() {
        let done = Command::new(binary).args(["keygen", "--out"]).arg(dir.join(format!("{name}.key"))).output().unwrap();
        let key = String::from_utf8(done.stdout).unwrap();
        let host = node + 1;
        text += &format!(
            "[nodes.{name}]\n{}\n[nodes.{name}.links]\nbond = {{ interface = \"bond1\", address = \"10.1.2.{host}\" }}\n\
             lan = {{ interface = \"lan\", address = \"192.168.42.1{}\" }}\n",
            key.trim(),
            host + 1
        );
    }
    text += &format!(
        "[witness]\nlink = \"lan\"\ntargets = [\"192.168.42.1\"]\nrelay = true\n[timing]\n\
         heartbeat = \"300ms\"\nwarn = \"1500ms\"\nlease = \"{}s\"\ndead = \"{}s\"\ninit_dead = \"9s\"\ndelivery = \"100ms\"\nrate_bound = 0.20\n\
         [[groups]]\nname = \"web\"\npreferred = \"master1\"\nfailback = {{ after = \"1s\" }}\nvips = [{{ address = \"{VIP}/25\", link = \"lan\" }}]\n",
        LEASE.as_secs(),
        DEAD.as_secs()
    );
    std::fs::write(dir.join("twinbeat.toml"), text).unwrap();
}

/// A machine's own configuration, up to the running daemon.
fn wiring(node: usize) -> Vec<String> {
    let (name, host) = (NODES[node], node + 1);
    let mut lines = vec![format!("hostname {name}"), "ip link set lo up".to_owned()];
    for (bond, [first, second]) in [("bond0", LAN), ("bond1", CABLES)] {
        lines.push(format!("ip link add {bond} type bond mode active-backup miimon 50"));
        for card in [first, second] {
            lines.push(format!("ip link set eth{card} down; ip link set eth{card} master {bond}"));
        }
        lines.push(format!("ip link set {bond} type bond primary eth{first} primary_reselect always"));
        lines.push(format!("ip link set {bond} up"));
    }
    lines.extend([
        format!("ip link add lan link bond0 type vlan id {VLAN}"),
        format!("ip addr add 192.168.42.1{}/25 dev lan", host + 1),
        "ip link set lan up".to_owned(),
        format!("ip addr add 10.1.2.{host}/24 dev bond1"),
        "ip route add default via 192.168.42.1".to_owned(),
        format!(
            "twinbeat run --config /host/twinbeat.toml --node {name} --run-dir /run/twinbeat --state-dir /run/state < /dev/null > /run/daemon.log 2>&1 &"
        ),
        // Until the control socket is there, for a slow machine's sake.
        "n=0; while [ ! -S /run/twinbeat/control.sock ] && [ $n -lt 100 ]; do n=$((n+1)); sleep 0.1; done; [ -S /run/twinbeat/control.sock ] || cat /run/daemon.log".to_owned(),
    ]);
    lines
}

fn ip(ns: &Namespace, line: &str) {
    let out = ns.run(|| Ok(Command::new("ip").args(line.split_whitespace()).output()?)).unwrap();
    assert!(out.status.success(), "ip {line}: {}", String::from_utf8_lossy(&out.stderr));
}

fn root_with_taps() -> bool {
    let root = nix::unistd::geteuid().is_root() && Path::new("/dev/net/tun").exists();
    if !root {
        eprintln!("SKIPPED: machines with cards of their own need root and /dev/net/tun");
    }
    root
}
