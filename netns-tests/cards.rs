//! Cards that are made anew, machines under the wrong name and a kernel that is busy with its network configuration: real daemons on the
//! real kernel, judged from outside and by what `status` says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io::Write;
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;
use twinbeat::core::id::NodeId;
use twinbeat::lab::daemon::Daemon;
use twinbeat::lab::flood::packet_socket;
use twinbeat::lab::frames;
use twinbeat::lab::lab::{BOTH, Cable, GATEWAY, LANCLIENT, LANCLIENT_MAC, Lab, VIP};
use twinbeat::lab::node::{Site, TIMING};
use twinbeat::lab::ns::Namespace;
use twinbeat::lab::plan::Select;
use twinbeat::lab::probe::Probe;

const A: NodeId = NodeId(0);
const B: NodeId = NodeId(1);
/// For a client's period, a probe's lateness and a machine with two busy cores.
const SLACK: Duration = Duration::from_millis(40);
/// A quarter of the lab's lease: a machine that stood still for longer says nothing about gaps.
const STALL: Duration = Duration::from_millis(80);

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A pair with a configuration of its own.
struct Rig {
    probe: Probe,
    daemons: [Option<Daemon>; 2],
    lab: Lab,
    site: Site,
    _alone: MutexGuard<'static, ()>,
}

impl Rig {
    /// Starts both daemons with the recipe's configuration as `change` leaves it; waits until master1 serves.
    fn start(change: impl Fn(String) -> String) -> Option<Rig> {
        let rig = Rig::prepare(change)?;
        let daemons = BOTH.map(|node| Some(Daemon::start(&rig.lab, &rig.site, node).unwrap()));
        let rig = Rig { daemons, ..rig };
        rig.serves(A);
        Some(rig)
    }

    fn prepare(change: impl Fn(String) -> String) -> Option<Rig> {
        if !common::ready() {
            return None;
        }
        let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let (lab, site) = common::changed_files(change);
        let probe = Probe::start(&lab, VIP).unwrap();
        Some(Rig { probe, daemons: [None, None], lab, site, _alone })
    }

    fn serves(&self, node: NodeId) {
        let never = AtomicBool::new(false);
        assert!(self.probe.wait_for_owner(node, Duration::from_secs(30), &never), "{node} does not serve\n{}", self.logs());
    }

    fn logs(&self) -> String {
        BOTH.map(|n| self.site.log_tail(n, 40)).join("\n---\n")
    }

    fn view(&self, node: NodeId) -> Value {
        let done = self.site.ask(&self.lab, node, &["status", "--json"]).unwrap();
        serde_json::from_slice(&done.stdout).unwrap_or_default()
    }

    /// Waits until a node's status is so.
    fn until(&self, node: NodeId, within: Duration, what: &str, so: impl Fn(&Value) -> bool) -> Duration {
        let from = Instant::now();
        loop {
            let view = self.view(node);
            if so(&view) {
                return from.elapsed();
            }
            assert!(from.elapsed() < within, "{node}: not {what} after {within:?}: {view:#}\n{}", self.logs());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Never two owners since `from`.
    fn one_owner(&self, what: &str, from: Duration) {
        let seen = self.probe.outcome(from, self.probe.now());
        println!("{what}: gap {:?}, moves {}, lateness {:?}", seen.gap, seen.moves(), seen.lateness);
        assert_eq!(seen.two_owners, Duration::ZERO, "{what}: {seen:#?}\n{}", self.logs());
    }

    /// Never two owners since `from`; and no move and no gap, unless the machine or a daemon was not let run for a while: the probe knows
    /// of the one, the daemon's own log tells of the other.
    fn nothing_moved(&self, what: &str, from: Duration) {
        let seen = self.probe.outcome(from, self.probe.now());
        println!("{what}: gap {:?}, moves {}, lateness {:?}", seen.gap, seen.moves(), seen.lateness);
        assert_eq!(seen.two_owners, Duration::ZERO, "{what}: {seen:#?}\n{}", self.logs());
        let held_up = seen.lateness > STALL || BOTH.iter().any(|n| self.site.log_tail(*n, 10).contains("the decision loop came"));
        if (seen.moves() > 0 || seen.gap > SLACK) && held_up {
            println!("{what}: NOT JUDGED further, the machine itself stood still");
            return;
        }
        assert!(seen.moves() == 0 && seen.gap <= SLACK, "{what}: {seen:#?}\n{}", self.logs());
    }

    /// Deletes a node's card and makes it again, with the same name, MAC and addresses: in one go, between two looks of whoever watches.
    fn make_anew(&self, node: NodeId, cable: Cable) {
        let plan = &self.lab.plan;
        let id = cable.select(plan)[0];
        let (port, bridge, name) = (plan.port(id, node), plan.bridge(id), cable.interface());
        let mut script = format!(
            "link del {name}\nlink add {name} address {} type veth peer name {port} netns {}\n",
            cable.mac(node),
            self.lab.switch.name()
        );
        for (address, prefix) in &plan.end(id, node).addresses {
            let nodad = if address.is_ipv6() { " nodad" } else { "" };
            script += &format!("addr add {address}/{prefix} dev {name}{nodad}\n");
        }
        script += &format!("link set {name} up\n");
        if cable == Cable::Lan {
            script += &format!(
                "route add default via {GATEWAY}\nneigh replace {LANCLIENT} lladdr {LANCLIENT_MAC} nud permanent dev {name}\n"
            );
        }
        batch(self.lab.node(node), &script);
        batch(&self.lab.switch, &format!("link set {port} master {bridge} up\n"));
    }
}

/// `ip -batch` inside a namespace.
fn batch(inside: &Namespace, script: &str) {
    let run = || {
        let mut ip = Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn()?;
        ip.stdin.take().unwrap().write_all(script.as_bytes())?;
        Ok(ip.wait()?)
    };
    assert!(inside.run(run).unwrap().success(), "{script}");
}

/// Every link of a node is heard, its witness answers, and what needs packet sockets works.
fn whole(view: &Value) -> bool {
    let links = view["links"].as_array().is_some_and(|links| {
        links.len() == 4
            && links.iter().all(|link| link["state"] == "ok" && (link["peer_state"] == "ok" || link["peer_state"].is_null()))
    });
    links && view["witness"]["reachable"] == true && view["witness"]["targets"][0]["reachable"] == true
}

fn owner_by_both(view: &Value) -> bool {
    let grounds = &view["groups"][0]["grounds"];
    whole(view) && grounds.as_array().is_some_and(|all| all.len() == 2)
}

const MENDED: Duration = Duration::from_secs(10);

#[test]
fn whatever_is_bound_to_a_card_is_renewed_when_the_card_is_made_anew() {
    let Some(mut rig) = Rig::start(|text| text) else { return };
    for node in BOTH {
        rig.until(node, MENDED, "whole", whole);
    }
    let from = rig.probe.now();
    for cable in Cable::ALL {
        rig.make_anew(B, cable);
        let took = rig.until(B, MENDED, "whole again", whole);
        println!("{cable:?} of the standby made anew: whole after {took:?}");
    }
    rig.until(A, MENDED, "whole", owner_by_both);
    rig.nothing_moved("cards of the standby made anew", from);
    // The standby asks, challenges and announces over the new card, and nobody helps it.
    let from = rig.probe.now();
    assert!(rig.daemons[A.index()].as_mut().unwrap().signal(Signal::SIGKILL));
    rig.serves(B);
    rig.until(B, MENDED, "the owner by its return path", |view| view["groups"][0]["grounds"].to_string().contains("return path"));
    rig.daemons[A.index()] = Some(Daemon::start(&rig.lab, &rig.site, A).unwrap());
    rig.serves(A);
    rig.one_owner("a claim over a card made anew", from);
    // Under the owner: with the public one its address goes.
    rig.until(A, MENDED, "whole", owner_by_both);
    let from = rig.probe.now();
    for cable in Cable::ALL {
        rig.make_anew(A, cable);
        let took = rig.until(A, Duration::from_secs(25), "whole again", owner_by_both);
        println!("{cable:?} of the owner made anew: serves again, whole, after {took:?}");
    }
    rig.serves(A);
    rig.one_owner("cards of the owner made anew", from);
    // The carrier of the new card is heard of as that of the old one was.
    thread::sleep(Duration::from_secs(1));
    let from = rig.probe.now();
    rig.lab.unplug(A, Cable::Lan.select(&rig.lab.plan)[0]).unwrap();
    rig.serves(B);
    let seen = rig.probe.outcome(from, rig.probe.now());
    println!("unplugged: gap {:?}", seen.gap);
    assert!(seen.lateness > STALL || seen.gap < Duration::from_nanos(TIMING.dead.0) + SLACK, "{seen:#?}\n{}", rig.logs());
}

/// Ends a daemon that was started under a wrong name.
struct Wrong(std::process::Child);

impl Drop for Wrong {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_daemon_under_its_peers_name_says_nothing_in_the_peers_name_and_says_why() {
    let Some(mut rig) = Rig::start(|text| text) else { return };
    rig.until(A, MENDED, "whole", owner_by_both);
    assert!(rig.daemons[B.index()].as_mut().unwrap().signal(Signal::SIGTERM));
    thread::sleep(Duration::from_secs(1));
    let from = rig.probe.now();
    let dirs = rig.site.dir().join("wrong");
    std::fs::create_dir(&dirs).unwrap();
    let log = dirs.join("log");
    let run = || {
        let out = std::fs::File::create(&log)?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_twinbeat"));
        command.args(["run", "--node", "master1", "--config"]).arg(rig.site.config(A));
        command.arg("--run-dir").arg(dirs.join("run")).arg("--state-dir").arg(dirs.join("state"));
        Ok(command.stderr(out.try_clone()?).stdout(out).spawn()?)
    };
    let wrong = Wrong(rig.lab.node(B).run(run).unwrap());
    // Whoever asks the gateway who this is must never be told of the other machine.
    let (own, theirs) = (Cable::Lan.address(A).to_string(), Cable::Lan.mac(B).to_string());
    let until = Instant::now() + Duration::from_secs(5);
    let mut asked = 0;
    while Instant::now() < until {
        let entry = || Ok(Command::new("ip").args(["neigh", "show", "to", &own]).output()?.stdout);
        let entry = String::from_utf8_lossy(&rig.lab.gw.run(entry).unwrap()).into_owned();
        assert!(!entry.contains(&theirs), "the gateway was told that {own} is at {theirs}: {entry}");
        asked += 1;
        thread::sleep(Duration::from_millis(10));
    }
    let said = std::fs::read_to_string(&log).unwrap();
    println!("{asked} looks at the gateway's table; it said:\n{said}");
    let words = "this machine has addresses of master2 and none of master1";
    assert_eq!(said.matches(words).count(), 1, "{said}");
    let ask = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_twinbeat"));
        Ok(command.args(["status", "--json", "--run-dir"]).arg(dirs.join("run")).output()?.stdout)
    };
    let view: Value = serde_json::from_slice(&rig.lab.node(B).run(ask).unwrap()).unwrap();
    assert!(view["problems"].to_string().contains(words), "{view:#}");
    assert_eq!(view["groups"][0]["role"], "standby", "{view:#}");
    drop(wrong);
    rig.nothing_moved("a daemon under its peer's name", from);
    // A copy of this machine, or its address given twice: whoever speaks in its name is named, once, and moves nothing.
    let from = rig.probe.now();
    let mut socket = packet_socket(&rig.lab.lanclient, "eth0").unwrap();
    let name = (LANCLIENT_MAC, IpAddr::from(Cable::Lan.address(A)));
    for _ in 0..20 {
        socket.write_all(&frames::neighbour_question(name, Cable::Lan.mac(A), VIP.into()).unwrap()).unwrap();
        thread::sleep(Duration::from_millis(20));
    }
    let words = format!("another machine, {LANCLIENT_MAC}, uses {own}, the own address of master1");
    assert!(rig.view(A)["problems"].to_string().contains(&words), "{:#}", rig.view(A));
    assert_eq!(rig.site.log_tail(A, 10_000).matches(&words).count(), 1, "{}", rig.logs());
    rig.nothing_moved("another machine in the owner's name", from);
}

/// A namespace beside the lab, of this process's own.
struct Beside(String);

impl Beside {
    fn new(what: &str) -> Beside {
        let name = format!("tbk{}{what}", std::process::id());
        assert!(Command::new("ip").args(["netns", "add", &name]).status().unwrap().success());
        Beside(name)
    }

    fn ip(&self, args: &[&str], script: &str) {
        let mut ip = Command::new("ip").args(["-n", &self.0]).args(args).stdin(Stdio::piped()).spawn().unwrap();
        ip.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        assert!(ip.wait().unwrap().success());
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

/// Routes of the namespace whose interfaces are removed: the kernel looks through all of them for each interface.
const ROUTES: usize = 100_000;

#[test]
fn a_kernel_that_is_busy_with_other_interfaces_moves_nothing() {
    let Some(rig) = Rig::start(|text| text) else { return };
    // The kernel has one lock for the network configuration of all namespaces, and removes the interfaces of a group in one go.
    let (busy, other) = (Beside::new("busy"), Beside::new("ask"));
    let host = |n: usize, net: u8| format!("{net}.{}.{}.{}", n >> 16 & 255, n >> 8 & 255, n & 255);
    let routes: String = (0..ROUTES).map(|n| format!("route add blackhole {}/32\n", host(n, 10))).collect();
    busy.ip(&["-batch", "-"], &routes);
    let enough = Duration::from_nanos(TIMING.lease.0) * 3;
    let (mut longest, mut many) = (Duration::ZERO, 200);
    let mut from = rig.probe.now();
    while longest < enough && many <= 1_600 {
        let made: String = (0..many)
            .map(|n| {
                let address = host(n * 256 + 1, 11);
                format!(
                    "link add v{n} group 7 type veth peer name w{n}\nlink set v{n} up\nlink set w{n} up\naddr add {address}/24 dev v{n}\n"
                )
            })
            .collect();
        busy.ip(&["-batch", "-"], &made);
        rig.until(A, MENDED, "whole", owner_by_both);
        from = rig.probe.now();
        let asking = AtomicBool::new(true);
        longest = thread::scope(|scope| {
            let asker = scope.spawn(|| {
                let mut longest = Duration::ZERO;
                while asking.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    other.ip(&["link", "set", "lo", "up"], "");
                    longest = longest.max(began.elapsed());
                    thread::sleep(Duration::from_millis(5));
                }
                longest
            });
            thread::sleep(Duration::from_millis(100));
            busy.ip(&["link", "del", "group", "7"], "");
            asking.store(false, Ordering::Relaxed);
            asker.join().unwrap()
        });
        println!("{many} interfaces removed, {ROUTES} routes: a question to the kernel waited for {longest:?}");
        many *= 2;
    }
    // What was held up in the daemons comes now.
    thread::sleep(Duration::from_secs(1));
    if longest < enough {
        println!("NOT JUDGED: this kernel cannot be kept busy for {enough:?}");
        return;
    }
    let seen = rig.probe.outcome(from, rig.probe.now());
    println!("gap {:?}, moves {}, lateness {:?}", seen.gap, seen.moves(), seen.lateness);
    assert_eq!(seen.two_owners, Duration::ZERO, "{seen:#?}\n{}", rig.logs());
    // The probe asks the kernel nothing: it is late when the machine itself stands still, and a pause of a lease ends any ownership.
    if seen.lateness > Duration::from_nanos(TIMING.lease.0) {
        println!("NOT JUDGED further, the machine itself stood still for {:?}", seen.lateness);
        return;
    }
    let said = BOTH.map(|n| rig.site.log_tail(n, 10_000)).concat();
    assert!(seen.moves() == 0 && !said.contains("LEAVES"), "{seen:#?}\n{}", rig.logs());
    // An address whose refresh waited for longer than its lifetime is removed and put back (SAFETY, limit k): so it is said.
    let late = said.contains("the refresh came too late");
    assert!(!late || longest > REFRESHED, "{longest:?}\n{}", rig.logs());
    assert!(seen.gap <= seen.lateness + if late { PUT_BACK } else { SLACK }, "{seen:#?}\n{}", rig.logs());
}

/// How often an address is refreshed at the lab's lease, less a look at the interfaces; and what it costs to put one back.
const REFRESHED: Duration = Duration::from_millis(800);
const PUT_BACK: Duration = Duration::from_millis(100);

const LAST_VIP: &str = "label = \"0\"\nlink = \"lan\"\n";
const WITH_IPV6: &str = "label = \"0\"\nlink = \"lan\"\n\n[[groups.vips]]\naddress = \"fd42::14/64\"\nlink = \"lan\"\n";

fn run(inside: &Namespace, command: &str) -> String {
    let words: Vec<&str> = command.split(' ').collect();
    let done = inside.run(|| Ok(Command::new(words[0]).args(&words[1..]).output()?)).unwrap();
    String::from_utf8_lossy(&done.stdout).into_owned()
}

fn switch_ipv6(rig: &Rig, node: NodeId, off: bool) {
    let value = if off { "1" } else { "0" };
    rig.lab.node(node).run(|| Ok(std::fs::write("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", value)?)).unwrap();
}

#[test]
fn an_ipv6_address_is_no_source_and_a_node_without_ipv6_says_so_and_serves_the_rest() {
    let Some(mut rig) = Rig::start(|text| text.replace(LAST_VIP, WITH_IPV6)) else { return };
    rig.until(A, MENDED, "whole", owner_by_both);
    // Its own connections into the address's own network, now and when the lifetime was refreshed.
    for _ in 0..8 {
        let addresses = run(rig.lab.node(A), "ip -6 addr show dev eth0");
        assert!(addresses.contains("fd42::14/128"), "{addresses}");
        let route = run(rig.lab.node(A), "ip -6 route get fd42::1");
        assert!(route.contains("src fd42::12"), "{route}{addresses}");
        let line = addresses.lines().find(|line| line.contains("fd42::14/128")).unwrap();
        assert!(line.contains("deprecated"), "{addresses}");
        thread::sleep(Duration::from_millis(500));
    }
    // Switched off on the standby.
    let from = rig.probe.now();
    switch_ipv6(&rig, B, true);
    let ready = |view: &Value| view["groups"][0]["takeover_ready"].clone();
    rig.until(B, MENDED, "not ready", |view| {
        ready(view)["ready"] == false && view["problems"].to_string().contains("IPv6 is switched off")
    });
    rig.until(A, MENDED, "not ready", |view| ready(view)["ready"] == false && ready(view).to_string().contains("IPv6"));
    // Alone it serves the rest, and says once what it does not.
    assert!(rig.daemons[A.index()].as_mut().unwrap().signal(Signal::SIGKILL));
    rig.serves(B);
    thread::sleep(Duration::from_secs(4));
    let said = rig.site.log_tail(B, 10_000);
    assert_eq!(said.matches("not served, IPv6 is switched off on its interface: fd42::14").count(), 1, "{said}");
    assert!(said.matches("address: ").count() <= 1, "{said}");
    assert!(run(rig.lab.node(B), "ip addr show dev eth0").contains("192.168.42.14/32"));
    // And with IPv6 all of it.
    switch_ipv6(&rig, B, false);
    let until = Instant::now() + Duration::from_secs(20);
    while !run(rig.lab.node(B), "ip -6 addr show dev eth0").contains("fd42::14/128") {
        assert!(Instant::now() < until, "{}", rig.logs());
        thread::sleep(Duration::from_millis(100));
    }
    // Off under the owner, and on the other node as well: it keeps what it can.
    switch_ipv6(&rig, A, true);
    switch_ipv6(&rig, B, true);
    rig.daemons[A.index()] = Some(Daemon::start(&rig.lab, &rig.site, A).unwrap());
    for node in BOTH {
        rig.until(node, MENDED, "not ready", |view| ready(view)["ready"] == false && ready(view).to_string().contains("IPv6"));
    }
    let before = rig.site.log_tail(B, 10_000).lines().count();
    thread::sleep(Duration::from_secs(3));
    let more = rig.site.log_tail(B, 10_000).lines().count() - before;
    assert!(more <= 6, "{more} lines in three seconds\n{}", rig.logs());
    rig.one_owner("IPv6 switched off", from);
}

#[test]
fn an_owner_whose_address_the_network_does_not_let_through_is_not_healthy() {
    let Some(rig) = Rig::start(|text| text) else { return };
    rig.until(A, MENDED, "whole", owner_by_both);
    // Port security: from now on the switch drops the address's frames of the owner.
    rig.lab.guard_port(A, true).unwrap();
    let words = "the answer of the witness to the address has stayed away";
    let took = rig.until(A, MENDED, "named", |view| view["problems"].to_string().contains(words));
    println!("named after {took:?}");
    let status = rig.site.ask(&rig.lab, A, &["status"]).unwrap();
    assert_eq!(status.status.code(), Some(10), "{}", String::from_utf8_lossy(&status.stdout));
    // The network is mended, and with it the word.
    rig.lab.guard_port(A, false).unwrap();
    rig.until(A, MENDED, "silent again", |view| {
        !view["problems"].to_string().contains("the answer of the witness to the address")
    });
}

#[test]
fn a_move_whose_return_path_does_not_come_is_taken_back_and_says_why() {
    let Some(rig) = Rig::start(|text| text) else { return };
    rig.until(A, MENDED, "whole", owner_by_both);
    // Port security: the switch lets the address's frames pass for the first node alone.
    rig.lab.guard_port(B, true).unwrap();
    let ask = |node: NodeId, verb: &str| {
        let begun = Instant::now();
        let done = rig.site.ask(&rig.lab, node, &[verb]).unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        println!("{verb} on {node}: {:?} after {:?}: {text}", done.status.code(), begun.elapsed());
        (done.status.success(), text)
    };
    let from = rig.probe.now();
    let (moved, why) = ask(A, "standby");
    assert!(!moved && why.contains("the answer of the witness to the address never came"), "{why}\n{}", rig.logs());
    rig.serves(A);
    // All is as it was: no standby in force, and the witness, whose entry had named A all the while, is a register for it.
    rig.until(A, MENDED, "whole again", |view| owner_by_both(view) && view["groups"][0]["standby_held"].is_null());
    let register = &rig.view(A)["witness"]["targets"][0]["register"];
    assert_ne!(register, false, "{}", rig.logs());
    for node in BOTH {
        let ready = rig.view(node)["groups"][0]["takeover_ready"]["planned"].clone();
        assert!(ready["ready"] == false && ready.to_string().contains("no return path"), "{node}: {ready:#}");
    }
    // Asked again it is refused before anything moves.
    let epoch = rig.view(A)["groups"][0]["epoch"].clone();
    let (moved, why) = ask(A, "standby");
    assert!(!moved && why.contains("no return path"), "{why}");
    assert_eq!(rig.view(A)["groups"][0]["epoch"], epoch, "{}", rig.logs());
    // Who asks on the other node has a reason to: it is tried, and told the same.
    let (moved, why) = ask(B, "takeover");
    assert!(!moved && why.contains("never came since"), "{why}\n{}", rig.logs());
    rig.serves(A);
    rig.lab.guard_port(B, false).unwrap();
    rig.until(A, MENDED, "whole once more", owner_by_both);
    let (moved, why) = ask(B, "takeover");
    assert!(moved, "{why}\n{}", rig.logs());
    rig.until(B, MENDED, "healthy", |view| owner_by_both(view) && view["problems"] == Value::Array(Vec::new()));
    rig.one_owner("port security", from);
}
