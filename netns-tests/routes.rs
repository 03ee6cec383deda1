//! Routes and rules that come and go with a group, and addresses in networks in which the nodes have none, on the real kernel: what is
//! there behind each way in which a group leaves a node, and who answers a client behind the gateway.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "common/bench.rs"]
mod bench;
mod common;

use std::net::Ipv4Addr;
use std::sync::MutexGuard;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use bench::{A, B, Bench};
use nix::sys::signal::Signal;
use serde_json::Value;
use twinbeat::core::id::NodeId;
use twinbeat::lab::daemon::Daemon;
use twinbeat::lab::lab::{BOTH, GATEWAY, Lab, VIP};
use twinbeat::lab::node::Site;
use twinbeat::lab::probe::Probe;

/// Answers of the VIP go by a table of their own; a network beside it stands in the main table.
fn source_routing() -> String {
    format!(
        r#"
[[groups.routes]]
to = "default"
via = "{GATEWAY}"
source = "{VIP}"
table = 100
[[groups.routes]]
to = "10.77.0.0/16"
via = "{GATEWAY}"
source = "{VIP}"
metric = 5
[[groups.routes]]
to = "10.70.0.0/16"
via = "{GATEWAY}"
[[groups.rules]]
from = "{VIP}/32"
table = 100
priority = 1000
"#
    )
}

/// A route or a rule: what tells it from others.
type Seen = (&'static str, String);

/// What carries our mark on a node, as `ip -j` tells it, sorted.
fn marked(lab: &Lab, node: NodeId) -> Vec<Seen> {
    let ask = |words: &[&str]| -> Vec<Value> {
        let done = lab.node(node).run(|| Ok(std::process::Command::new("ip").args(words).output()?)).unwrap();
        serde_json::from_slice(&done.stdout).unwrap_or_default()
    };
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let mut all = Vec::new();
    for route in ask(&["-j", "-N", "route", "show", "table", "all", "proto", "117"]) {
        all.push(("route", format!("{} {} {}", text(&route, "dst"), text(&route, "gateway"), text(&route, "table"))));
    }
    for rule in ask(&["-j", "-N", "-d", "rule", "show"]).iter().filter(|rule| text(rule, "protocol") == "117") {
        all.push(("rule", format!("{} {} {}", text(rule, "src"), text(rule, "table"), rule["priority"])));
    }
    all.sort();
    all
}

/// What stays where a daemon neither ends nor goes on: all but the route of the main table whose source is the address.
fn left() -> Vec<Seen> {
    whole().into_iter().filter(|(_, text)| !text.contains("10.77")).collect()
}

fn whole() -> Vec<Seen> {
    vec![
        ("route", format!("10.70.0.0/16 {GATEWAY} ")),
        ("route", format!("10.77.0.0/16 {GATEWAY} ")),
        ("route", format!("default {GATEWAY} 100")),
        ("rule", format!("{VIP} 100 1000")),
    ]
}

/// Waits until exactly this is there.
fn becomes(lab: &Lab, site: &Site, node: NodeId, wanted: &[Seen]) {
    let until = Instant::now() + Duration::from_secs(15);
    while marked(lab, node) != wanted {
        let logs = BOTH.map(|n| site.log_tail(n, 60)).join("\n---\n");
        assert!(Instant::now() < until, "{node} has {:?}, and should have {wanted:?}\n{logs}", marked(lab, node));
        thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until the client behind the gateway is answered by that node.
fn answers(lab: &Lab, site: &Site, node: NodeId, address: &str) {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = lab.client.run(|| Ok(answer_of(&format!("{address}:7007")))).unwrap();
        if answer.contains(lab.name(node)) {
            return;
        }
        let logs = BOTH.map(|n| site.log_tail(n, 60)).join("\n---\n");
        assert!(Instant::now() < until, "the client is answered {answer:?} and not by {node}\n{logs}");
    }
}

/// What a client of that address is answered.
fn answer_of(address: &str) -> String {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut answer = [0; 512];
    for _ in 0..5 {
        let _ = socket.send_to(&[0; 16], address);
        if let Ok(length) = socket.recv(&mut answer) {
            return String::from_utf8_lossy(&answer[..length]).into_owned();
        }
    }
    String::new()
}

impl Bench {
    /// Both nodes with that in their group, and without any other way to the client.
    fn with(&mut self, more: &str) {
        for node in BOTH {
            let file = self.site.config(node);
            let text = std::fs::read_to_string(&file).unwrap();
            // A next life must be there within the lease: with the lab's own a busy machine would be what is tested.
            let slower = [
                ("failback = \"auto\"", "failback = \"manual\""),
                ("lease = \"320ms\"", "lease = \"700ms\""),
                ("dead = \"1s\"", "dead = \"2s\""),
            ];
            let text = slower.iter().fold(text, |text, (from, to)| {
                assert!(text.contains(from), "{text}");
                text.replace(from, to)
            });
            std::fs::write(&file, text + more).unwrap();
            self.run(self.lab.node(node), "ip route del default");
        }
        BOTH.iter().for_each(|node| self.start(*node));
        self.serves(A);
        self.ready();
    }

    /// Both nodes are well.
    fn ready(&self) {
        let until = Instant::now() + Duration::from_secs(20);
        while !BOTH.iter().all(|node| self.view(*node)["health"] == "healthy") {
            assert!(Instant::now() < until, "{:#}\n{:#}\n{}", self.view(A), self.view(B), self.logs());
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn signal(&mut self, node: NodeId, signal: Signal) {
        assert!(self.daemons[node.index()].as_mut().unwrap().signal(signal), "{}", self.logs());
    }

    fn ends(&mut self, node: NodeId) {
        let until = Instant::now() + Duration::from_secs(10);
        while self.daemons[node.index()].as_mut().unwrap().running() {
            assert!(Instant::now() < until, "{node} does not end\n{}", self.logs());
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn has(&self, node: NodeId, wanted: &[Seen]) {
        becomes(&self.lab, &self.site, node, wanted);
    }

    /// That node alone serves, with all that is the group's, and answers behind the gateway.
    fn all_is_on(&self, node: NodeId) {
        self.serves(node);
        self.has(node, &whole());
        answers(&self.lab, &self.site, node, &VIP.to_string());
    }

    /// The lines of a node's log about routes and rules, from a byte on.
    fn told(&self, node: NodeId, from: usize) -> Vec<String> {
        let (text, _) = self.site.log_since(node, from);
        let about = |line: &&str| ["set: ", "taken away: "].iter().any(|word| line.contains(word));
        text.lines().filter(about).map(str::to_owned).collect()
    }

    fn end_of_log(&self, node: NodeId) -> usize {
        self.site.log_since(node, 0).1
    }

    fn reloads(&self, node: NodeId, more: &[&str]) -> String {
        let done = self.site.ask(&self.lab, node, &[&["reload"], more].concat()).unwrap();
        let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
        assert!(done.status.success(), "{said}\n{}", self.logs());
        said
    }
}

#[test]
fn routes_and_rules_are_where_the_group_is_whatever_happens_to_the_daemon() {
    let Some(mut bench) = Bench::new() else { return };
    // What an earlier life left, and what is another hand's.
    for words in [
        "ip route add 10.88.0.0/16 via 192.168.42.1 proto 117",
        "ip rule add from 10.88.0.1 lookup 88 priority 88 protocol 117",
        "ip route add 10.99.0.0/16 via 192.168.42.1 proto static",
    ] {
        bench.run(bench.lab.node(B), words);
    }
    bench.with(&source_routing());
    bench.all_is_on(A);
    bench.has(B, &[]);
    let order = bench.told(A, 0);
    let places = ["default via", "10.77.0.0/16", "rule 1000"].map(|word| order.iter().position(|line| line.contains(word)));
    assert!(places.is_sorted() && places[0].is_some(), "not in the file's order: {order:#?}");

    // A planned move.
    assert!(bench.site.ask(&bench.lab, A, &["standby"]).unwrap().status.success());
    bench.all_is_on(B);
    bench.has(A, &[]);
    let gone: Vec<String> = bench.told(A, 0).into_iter().filter(|line| line.contains("taken away")).collect();
    assert!(gone.first().unwrap().contains("rule 1000"), "not in reverse: {gone:#?}");
    assert!(bench.site.ask(&bench.lab, A, &["resume"]).unwrap().status.success());

    // The owner's daemon is killed: the kernel takes one with the address; the others stay until the next start, and hurt nobody.
    bench.signal(B, Signal::SIGKILL);
    bench.all_is_on(A);
    bench.has(B, &left());
    answers(&bench.lab, &bench.site, A, &VIP.to_string());
    bench.start(B);
    bench.has(B, &[]);
    bench.ready();
    bench.all_is_on(A);

    // It hangs: the same; and when it goes on it clears up behind itself.
    bench.signal(A, Signal::SIGSTOP);
    bench.all_is_on(B);
    bench.has(A, &left());
    answers(&bench.lab, &bench.site, B, &VIP.to_string());
    bench.signal(A, Signal::SIGCONT);
    bench.has(A, &[]);
    bench.ready();

    // A restart: nothing goes, nothing comes twice.
    let from = bench.end_of_log(B);
    bench.signal(B, Signal::SIGUSR2);
    bench.ends(B);
    assert_eq!(marked(&bench.lab, B), whole(), "they stay between the lives");
    bench.start(B);
    bench.ready();
    bench.all_is_on(B);
    assert_eq!(bench.told(B, from), Vec::<String>::new(), "the next life knows them again");

    // The end of a daemon leaves nothing.
    bench.signal(B, Signal::SIGTERM);
    bench.ends(B);
    assert_eq!(marked(&bench.lab, B), []);
    bench.all_is_on(A);
    assert!(bench.run(bench.lab.node(B), "ip route show").contains("10.99.0.0/16"), "another hand's");
    bench.one_owner("routes");
}

#[test]
fn a_changed_file_is_taken_up_in_place_and_what_cannot_be_set_is_a_problem_until_it_can() {
    let Some(mut bench) = Bench::new() else { return };
    bench.with(&source_routing());
    bench.all_is_on(A);
    let (from, began) = (bench.end_of_log(A), bench.probe.now());
    let life = bench.view(A)["incarnation"].clone();
    for node in BOTH {
        bench.rewrite(node, "to = \"10.77.0.0/16\"", "to = \"10.78.0.0/16\"");
    }
    let said = bench.reloads(B, &["--plan"]);
    assert!(said.contains("groups.web.routes.10.78.0.0/16: new"), "{said}");
    for node in [B, A] {
        bench.reloads(node, &[]);
    }
    let mut changed = whole();
    changed[1].1 = changed[1].1.replace("77", "78");
    bench.has(A, &changed);
    bench.has(B, &[]);
    bench.ready();
    assert_ne!(bench.view(A)["incarnation"], life);
    answers(&bench.lab, &bench.site, A, &VIP.to_string());
    let told = bench.told(A, from);
    assert!(
        told.len() == 2 && told[0].contains("taken away") && told[0].contains("10.77") && told[1].contains("10.78"),
        "{told:#?}"
    );
    let seen = bench.probe.outcome(began, bench.probe.now());
    assert_eq!((seen.moves(), seen.two_owners), (0, Duration::ZERO), "{seen:#?}");

    // Another hand takes one away: it comes back.
    bench.run(bench.lab.node(A), "ip route flush table 100");
    bench.has(A, &changed);
    answers(&bench.lab, &bench.site, A, &VIP.to_string());

    // `check` knows beforehand what the standby could not set.
    bench.run(bench.lab.node(B), "ip route add 10.70.0.0/16 via 192.168.42.1");
    let (file, state) = (bench.site.config(B), bench.site.node_dir(B).join("state"));
    let args =
        ["check", "--offline", "--config", file.to_str().unwrap(), "--node", "master2", "--state-dir", state.to_str().unwrap()];
    let check = |bench: &Bench| String::from_utf8_lossy(&bench.site.ask(&bench.lab, B, &args).unwrap().stdout).into_owned();
    assert!(
        check(&bench).contains("10.70.0.0/16 via 192.168.42.1 dev eth0 table 254: there is such a route"),
        "{}",
        check(&bench)
    );
    bench.run(bench.lab.node(B), "ip route del 10.70.0.0/16 via 192.168.42.1");
    assert!(!check(&bench).contains("there is such a route"), "{}", check(&bench));

    // An interface that is not there: all else is set, the address is served, and it is told.
    for node in BOTH {
        bench.rewrite(node, "to = \"10.78.0.0/16\"\n", "to = \"10.78.0.0/16\"\ninterface = \"uplink\"\nonlink = true\n");
    }
    for node in [B, A] {
        bench.reloads(node, &[]);
    }
    assert!(check(&bench).contains("there is no interface uplink"), "{}", check(&bench));
    let without: Vec<Seen> = changed.iter().filter(|(_, text)| !text.contains("10.78")).cloned().collect();
    bench.has(A, &without);
    let until = Instant::now() + Duration::from_secs(10);
    let problem = |bench: &Bench| bench.view(A)["problems"].to_string();
    while !problem(&bench).contains("there is no interface uplink") {
        assert!(Instant::now() < until, "{}\n{}", problem(&bench), bench.logs());
        thread::sleep(Duration::from_millis(50));
    }
    assert!(problem(&bench).contains("group web: route 10.78.0.0/16"), "{}", problem(&bench));
    answers(&bench.lab, &bench.site, A, &VIP.to_string());
    bench.run(bench.lab.node(A), "ip link add uplink type veth peer name far");
    bench.run(bench.lab.node(A), "ip link set far up");
    bench.run(bench.lab.node(A), "ip link set uplink up");
    bench.has(A, &changed);
    bench.ready();
    // It goes and comes, and the kernel takes the route with it.
    bench.run(bench.lab.node(A), "ip link set uplink down");
    bench.has(A, &without);
    bench.run(bench.lab.node(A), "ip link set uplink up");
    bench.has(A, &changed);
    bench.one_owner("reloads");
}

/// A pair that serves an address in another network.
struct Elsewhere {
    daemons: [Option<Daemon>; 2],
    probe: Probe,
    lab: Lab,
    site: Site,
    _alone: MutexGuard<'static, ()>,
}

/// The address.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(10, 20, 0, 14);

impl Elsewhere {
    fn new(prefix: u8) -> Option<Elsewhere> {
        common::ready().then(|| {
            let _alone = bench::alone();
            let vip = format!("{ELSEWHERE}/{prefix}");
            let change = |text: String| text.replace("192.168.42.14/25", &vip).replace("label = \"0\"\n", "");
            let (lab, site) = common::changed_files(change);
            let probe = Probe::start(&lab, ELSEWHERE).unwrap();
            Elsewhere { daemons: [None, None], probe, lab, site, _alone }
        })
    }

    fn start(&mut self, node: NodeId) {
        self.daemons[node.index()] = Some(Daemon::start(&self.lab, &self.site, node).unwrap());
    }

    fn gateway(&self, words: &str) {
        let words: Vec<&str> = words.split(' ').collect();
        let done = self.lab.gw.run(|| Ok(std::process::Command::new("ip").args(&words).output()?)).unwrap();
        assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    fn check(&self, node: NodeId, more: &[&str]) -> String {
        let (file, state) = (self.site.config(node), self.site.node_dir(node).join("state"));
        let args =
            ["check", "--config", file.to_str().unwrap(), "--node", self.lab.name(node), "--state-dir", state.to_str().unwrap()];
        let done = self.site.ask(&self.lab, node, &[&args[..], more].concat()).unwrap();
        String::from_utf8_lossy(&done.stdout).into_owned()
    }

    fn serves(&self, node: NodeId) {
        let logs = || BOTH.map(|n| self.site.log_tail(n, 60)).join("\n---\n");
        let never = AtomicBool::new(false);
        assert!(self.probe.wait_for_owner(node, Duration::from_secs(30), &never), "{node} does not serve\n{}", logs());
        let view = || -> Value {
            let done = self.site.ask(&self.lab, node, &["status", "--json"]).unwrap();
            serde_json::from_slice(&done.stdout).unwrap_or_default()
        };
        // The return path is a ground: echoes from the address come back to the node.
        let until = Instant::now() + Duration::from_secs(10);
        while view()["groups"][0]["table_proved_ms"].as_u64().is_none() {
            assert!(Instant::now() < until, "{:#}\n{}", view(), logs());
            thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn an_address_in_another_network_is_served_and_moves_where_the_gateway_has_a_way_to_it() {
    for prefix in [32, 24] {
        let Some(mut pair) = Elsewhere::new(prefix) else { return };
        // Without a way back nobody could take it over, and `check` says so.
        let said = pair.check(A, &["--probe-witness"]);
        assert!(said.contains("does NOT take this node's entry for 10.20.0.14"), "{said}");
        assert!(said.contains(&format!("ip route add {ELSEWHERE}/32 dev")), "{said}");
        pair.gateway("route add 10.20.0.14/32 dev eth0");
        let said = pair.check(A, &["--probe-witness"]);
        assert!(said.contains("its table took this node's entry for 10.20.0.14"), "{said}");

        BOTH.iter().for_each(|node| pair.start(*node));
        pair.serves(A);
        thread::sleep(Duration::from_millis(1500));
        assert!(pair.site.ask(&pair.lab, A, &["standby"]).unwrap().status.success());
        pair.serves(B);
        assert!(pair.site.ask(&pair.lab, A, &["resume"]).unwrap().status.success());
        pair.serves(A);
        thread::sleep(Duration::from_millis(1500));
        // The owner's machine is gone: a claim has to prove itself at the witness by the address in question.
        pair.lab.power_off(A).unwrap();
        pair.daemons[A.index()] = None;
        pair.serves(B);
        let seen = pair.probe.outcome(Duration::ZERO, pair.probe.now());
        assert_eq!(seen.two_owners, Duration::ZERO, "{seen:#?}");
    }
}

#[test]
fn without_a_way_on_the_gateway_a_dead_owner_is_not_replaced_and_with_one_it_is() {
    let Some(mut pair) = Elsewhere::new(32) else { return };
    BOTH.iter().for_each(|node| pair.start(*node));
    let never = AtomicBool::new(false);
    let on = |pair: &Elsewhere, node| pair.probe.wait_for_owner(node, Duration::from_secs(30), &never);
    // The client behind the gateway sees nothing of it: who answers is asked on the link.
    let here = |pair: &Elsewhere, node: NodeId| {
        let done = pair.site.ask(&pair.lab, node, &["status", "--json"]).unwrap();
        let view: Value = serde_json::from_slice(&done.stdout).unwrap_or_default();
        view["groups"][0]["role"] == "owner"
    };
    let becomes = |pair: &Elsewhere, node: NodeId, patience: u64| {
        let until = Instant::now() + Duration::from_secs(patience);
        while !here(pair, node) && Instant::now() < until {
            thread::sleep(Duration::from_millis(50));
        }
        here(pair, node)
    };
    let logs = |pair: &Elsewhere| BOTH.map(|n| pair.site.log_tail(n, 60)).join("\n---\n");
    assert!(becomes(&pair, A, 30), "{}", logs(&pair));
    thread::sleep(Duration::from_millis(1500));
    // A planned move is taken back: the new owner's echoes are not answered.
    let done = pair.site.ask(&pair.lab, A, &["standby"]).unwrap();
    let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    let until = Instant::now() + Duration::from_secs(10);
    while !pair.site.log_tail(B, 400).contains("the answer of the witness to the address never") {
        assert!(Instant::now() < until, "{said}\n{}", logs(&pair));
        thread::sleep(Duration::from_millis(50));
    }
    assert!(becomes(&pair, A, 10), "{}", logs(&pair));
    // Nor is a dead owner replaced, until the gateway has a way.
    pair.lab.power_off(A).unwrap();
    pair.daemons[A.index()] = None;
    assert!(!becomes(&pair, B, 6), "it took the address without a proof: {}", logs(&pair));
    pair.gateway("route add 10.20.0.14/32 dev eth0");
    assert!(on(&pair, B), "{}", logs(&pair));
}
