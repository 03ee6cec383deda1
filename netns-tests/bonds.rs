//! Real bonds: two User Mode Linux machines, each with a bond of two cards, twinbeat inside, heartbeats over the bond and over the LAN.
//!
//! Kernels of containers and small machines have no bonding, so it needs a kernel of its own. That kernel has no nftables families `arp` and `inet`: the weak
//! gate is in force, and the timing is one that it allows (docs/SAFETY.md, limit f).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
mod uml;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use twinbeat::drill::ns::{self, Namespace, Prefix};
use twinbeat::drill::{netlink, probe};
use uml::{Machine, Packages};

const NODES: [&str; 2] = ["master1", "master2"];
const VIP: &str = "192.168.42.14";

/// Two machines, a bridge for each cable of the bond and one for the LAN, whose own address is the gateway: the witness, and the client.
/// Dropped in this order: the client, the machines, the namespace and whatever still runs in it, the files.
struct Pair {
    client: Client,
    machines: [Machine; 2],
    switch: Namespace,
    _files: tempfile::TempDir,
}

#[test]
fn a_bond_is_shown_and_logged_and_only_received_heartbeats_count() {
    if !root_with_taps() || !common::ready() {
        return;
    }
    let Some(packages) = Packages::find() else { return };
    let Some(mut pair) = Pair::start(&packages) else { return };
    let begin = pair.wait("a calm pair", |a, b| {
        a.link("bond") == "ok"
            && b.link("bond") == "ok"
            && a.link("lan") == "ok"
            && a.slaves() == "2/2"
            && b.slaves() == "2/2"
            && a.owner() == "master1"
            && a.ready()
    });
    let epoch = begin[0].epoch();
    assert_eq!(pair.check(), None, "a bond with `primary` and `primary_reselect always` is not warned of");

    // The spare slave loses its carrier: shown, logged, nothing else.
    pair.carrier("p2", false, 0);
    let seen = pair.wait("DEGRADED", |a, _| a.slaves() == "1/2");
    assert_eq!((seen[0].link("bond"), seen[0].active()), ("ok".to_owned(), "eth1".to_owned()));
    assert!(seen[0].screen.contains("DEGRADED 1/2 slaves"), "{}", seen[0].screen);
    assert!(pair.log(0).contains("link bond: DEGRADED: bond0 has 1 of 2 slaves: eth2 down (1 failures)"), "{}", pair.log(0));
    pair.carrier("p2", true, 0);
    pair.wait("whole again", |a, _| a.slaves() == "2/2");
    assert!(pair.log(0).contains("link bond: whole again: bond0 (active-backup) 2/2 slaves, eth1 in use"), "{}", pair.log(0));

    // The active cable is pulled, as a direct cable at both ends: the bond uses the other one, and nothing moves.
    pair.carrier("p1", false, 0);
    pair.carrier("p1", false, 1);
    let seen = pair.wait("the spare cable", |a, b| {
        a.active() == "eth2" && b.active() == "eth2" && a.link("bond") == "ok" && b.link("bond") == "ok" && a.slaves() == "1/2"
    });
    assert!(seen[1].screen.contains("DEGRADED 1/2 slaves"), "{}", seen[1].screen);
    pair.carrier("p1", true, 0);
    pair.carrier("p1", true, 1);
    pair.wait("back on the primary", |a, b| a.active() == "eth1" && b.active() == "eth1" && a.link("bond") == "ok");

    // Both slaves: the link is gone, the LAN carries on.
    pair.carrier("p1", false, 0);
    pair.carrier("p2", false, 0);
    let seen = pair.wait("no slave", |a, b| a.slaves() == "0/2" && a.link("bond") != "ok" && b.link("bond") != "ok");
    assert_eq!((seen[0].link("lan"), seen[1].link("lan")), ("ok".to_owned(), "ok".to_owned()));
    pair.carrier("p1", true, 0);
    pair.carrier("p2", true, 0);
    pair.wait("healed", |a, b| a.slaves() == "2/2" && a.link("bond") == "ok" && b.link("bond") == "ok");

    // A silent cut of the active cable: MII monitoring sees nothing, the bond is whole, and the link is lost all the same.
    pair.switch("link set t11 nomaster");
    let seen = pair.wait("a whole bond that is lost", |a, b| a.link("bond") == "lost" && b.link("bond") == "lost");
    assert_eq!((seen[0].slaves(), seen[1].slaves()), ("2/2".to_owned(), "2/2".to_owned()));
    pair.switch("link set t11 master cable1");
    pair.wait("heard again", |a, b| a.link("bond") == "ok" && b.link("bond") == "ok");

    // The setting that lets both ends end up on different cables is found.
    pair.machines[0].run("ip link set bond0 type bond primary_reselect failure").unwrap();
    let warned = pair.check().expect("a warning");
    assert!(warned.contains("primary_reselect always"), "{warned}");

    // Through all of it: one owner, one ownership, every page from it.
    let end = pair.look();
    assert_eq!((end[0].owner(), end[1].owner(), end[0].epoch()), ("master1".to_owned(), "master1".to_owned(), epoch));
    let (pages, others) = pair.client.served();
    assert!(others.is_empty(), "pages not from master1: {others:?}");
    assert!(pages > 20, "{pages} pages only");
    println!("{pages} pages, all from master1");
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
    /// `None` where no machine of this kind can be had.
    fn start(packages: &Packages) -> Option<Pair> {
        ns::sweep();
        let switch = Namespace::create(&Prefix::new().unwrap(), "uml").unwrap();
        let files = tempfile::tempdir().unwrap();
        if !packages.boots(&switch, files.path()) {
            return None;
        }
        netlink::link_up(&switch, "lo", true).unwrap();
        netlink::bridges(&switch, &["lan", "cable1", "cable2"].map(str::to_owned)).unwrap();
        netlink::add_addresses(&switch, "lan", &[("192.168.42.1".parse().unwrap(), 25)]).unwrap();
        let binary = Path::new(env!("CARGO_BIN_EXE_twinbeat"));
        let initramfs = files.path().join("initramfs");
        let modules = [
            "lib/crc-ccitt.ko",
            "net/ipv6/ipv6.ko",
            "net/llc/llc.ko",
            "net/802/stp.ko",
            "net/bridge/bridge.ko",
            "drivers/net/veth.ko",
            "drivers/net/bonding/bonding.ko max_bonds=0",
        ];
        packages.initramfs(&initramfs, &[&which("ip")], &[binary], &modules).unwrap();
        configure(binary, files.path());

        let machines = [0, 1].map(|node| {
            let taps = [0, 1, 2].map(|card| (format!("t{}{card}", node + 1), format!("02:00:00:00:{node:02x}:{card:02x}")));
            for ((tap, _), bridge) in taps.iter().zip(["lan", "cable1", "cable2"]) {
                ip(&switch, &format!("tuntap add {tap} mode tap"));
                ip(&switch, &format!("link set {tap} master {bridge} up"));
            }
            let mut machine = packages.boot(&switch, NODES[node], &initramfs, &taps).unwrap();
            for line in wiring(node, files.path(), binary) {
                machine.run(&line).unwrap();
            }
            machine
        });
        let client = Client::start(&switch);
        Some(Pair { client, machines, switch, _files: files })
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
        let until = begin + Duration::from_secs(40);
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

    /// Takes or gives the carrier of a slave: `p1` is the other end of `eth1`.
    fn carrier(&mut self, end: &str, up: bool, node: usize) {
        self.machines[node].run(&format!("ip link set {end} {}", if up { "up" } else { "down" })).unwrap();
    }

    /// What `check` says of the bond that is no praise.
    fn check(&mut self) -> Option<String> {
        // The machine's console is a terminal, for which check paints and wraps.
        let (text, _) = self.machines[0].try_run("twinbeat check --config /host/twinbeat.toml --node master1 | cat").unwrap();
        assert!(text.contains("bond"), "{text}");
        text.lines().find(|line| line.starts_with("WARN") && line.contains("bond0")).map(str::to_owned)
    }

    fn log(&mut self, node: usize) -> String {
        self.machines[node].run("cat /run/daemon.log").unwrap()
    }

    fn switch(&self, line: &str) {
        ip(&self.switch, line);
    }
}

/// Fetches the page of the VIP again and again, as a client on the gateway would.
struct Client {
    stop: Arc<AtomicBool>,
    pages: Arc<Mutex<Vec<Option<String>>>>,
    thread: Option<JoinHandle<()>>,
}

impl Client {
    fn start(switch: &Namespace) -> Client {
        let (stop, pages) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let (stopped, kept) = (Arc::clone(&stop), Arc::clone(&pages));
        let thread = switch.spawn("client", move || {
            while !stopped.load(Ordering::Relaxed) {
                let page = probe::fetch(SocketAddr::new(VIP.parse().unwrap(), 80), Duration::from_secs(2));
                kept.lock().unwrap().push(page.map(|p| p.trim().to_owned()));
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        Client { stop, pages, thread: Some(thread.unwrap()) }
    }

    /// How many pages came since the first one, and what came instead of master1's.
    fn served(&self) -> (usize, Vec<Option<String>>) {
        let pages = self.pages.lock().unwrap();
        let first = pages.iter().position(Option::is_some).unwrap_or(pages.len());
        let others = pages[first..].iter().filter(|p| p.as_deref() != Some("master1")).cloned().collect();
        (pages.len() - first, others)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Makes keys and the configuration in a directory that both machines mount.
fn configure(binary: &Path, dir: &Path) {
    let mut text = "cluster = \"bonds\"\nport = 694\n".to_owned();
    for (node, name) in NODES.iter().enumerate() {
        let done = Command::new(binary).args(["keygen", "--out"]).arg(dir.join(format!("{name}.key"))).output().unwrap();
        let key = String::from_utf8(done.stdout).unwrap();
        let host = node + 1;
        text += &format!(
            "[nodes.{name}]\n{}\n[nodes.{name}.links]\nbond = {{ interface = \"bond0\", address = \"10.1.2.{host}\" }}\n\
             lan = {{ interface = \"eth0\", address = \"192.168.42.1{}\" }}\n",
            key.trim(),
            host + 1
        );
    }
    text += "[witness]\nlink = \"lan\"\ntargets = [\"192.168.42.1\"]\nrelay = true\n[timing]\n\
             heartbeat = \"200ms\"\nwarn = \"600ms\"\nlease = \"2s\"\ndead = \"6s\"\ninit_dead = \"6s\"\ndelivery = \"100ms\"\nrate_bound = 0.20\n\
             [[groups]]\nname = \"web\"\npreferred = \"master1\"\nfailback = \"auto\"\nvips = [{ address = \"192.168.42.14/25\", link = \"lan\" }]\n\
             services = [{ process = [\"twinbeat\", \"page-server\", \"--listen\", \"0.0.0.0:80\"], warm = true }]\n";
    std::fs::write(dir.join("twinbeat.toml"), text).unwrap();
}

/// A machine's own configuration, up to the running daemon. Between each card and its slave is a veth pair on a bridge: so a slave can lose its carrier.
fn wiring(node: usize, share: &Path, program: &Path) -> Vec<String> {
    let (name, host) = (NODES[node], node + 1);
    let mut lines = vec![
        format!("hostname {name}"),
        format!("mount -t hostfs -o {} host /host", share.display()),
        format!("mount -t hostfs -o {} program /program", program.parent().unwrap().display()),
        "ip link set lo up".to_owned(),
        "ip link set vec0 name eth0".to_owned(),
        format!("ip addr add 192.168.42.1{}/25 dev eth0", host + 1),
        "ip link set eth0 up".to_owned(),
        "ip link add bond0 type bond mode active-backup miimon 50".to_owned(),
    ];
    for n in [1, 2] {
        lines.extend([
            format!("ip link add br{n} type bridge forward_delay 0"),
            format!("ip link add eth{n} type veth peer name p{n}"),
            format!("ip link set vec{n} master br{n} up"),
            format!("ip link set p{n} master br{n} up"),
            // Not the bridge: Linux answers for any of its addresses on any interface, and what came in there never reaches the bond.
            format!("ip link set br{n} arp off up"),
            format!("ip link set eth{n} master bond0"),
        ]);
    }
    lines.extend([
        "ip link set bond0 type bond primary eth1 primary_reselect always".to_owned(),
        "ip link set bond0 up".to_owned(),
        format!("ip addr add 10.1.2.{host}/24 dev bond0"),
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

fn which(program: &str) -> std::path::PathBuf {
    let dirs = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];
    dirs.iter().map(|dir| Path::new(dir).join(program)).find(|path| path.is_file()).unwrap()
}

fn root_with_taps() -> bool {
    let root = nix::unistd::geteuid().is_root() && Path::new("/dev/net/tun").exists();
    if !root {
        eprintln!("SKIPPED: real bonds need root and /dev/net/tun");
    }
    root
}
