//! `twinbeat check` and `twinbeat status` against real gateways that behave and misbehave, and what a witness by ARP is worth.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;
use twinbeat::core::id::NodeId;
use twinbeat::lab::daemon::Daemon;
use twinbeat::lab::lab::{Cable, LANCLIENT, Lab, VIP, node_name};
use twinbeat::lab::node::Site;
use twinbeat::lab::ns::Namespace;
use twinbeat::lab::plan::Select;

const A: NodeId = NodeId(0);
const B: NodeId = NodeId(1);

struct Bench {
    site: Site,
    lab: Lab,
}

impl Bench {
    /// A lab with both nodes' files and no daemon.
    fn new() -> Option<Bench> {
        common::ready().then(|| {
            let (lab, site) = common::files();
            Bench { site, lab }
        })
    }

    fn check(&self, node: NodeId, more: &[&str]) -> (i32, String) {
        check(&self.lab, &self.site, node, more)
    }

    fn gateway(&self, words: &str) {
        run(&self.lab.gw, words);
    }

    /// The text of the configuration, changed.
    fn rewrite(&self, from: &str, to: &str) {
        for node in [A, B] {
            let file = self.site.config(node);
            let text = std::fs::read_to_string(&file).unwrap();
            assert!(text.contains(from) || text.contains(to), "{text}");
            std::fs::write(&file, text.replace(from, to)).unwrap();
        }
    }
}

fn check(lab: &Lab, site: &Site, node: NodeId, more: &[&str]) -> (i32, String) {
    let mut args = vec!["check", "--config"];
    let file = site.config(node).display().to_string();
    args.extend([file.as_str(), "--node", node_name(node)]);
    args.extend(more);
    let done = site.ask(lab, node, &args).unwrap();
    let text = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    println!("$ twinbeat check {}   (on {}) -> {:?}\n{text}", more.join(" "), node_name(node), done.status.code());
    (done.status.code().unwrap(), text)
}

/// One command inside a namespace.
fn run(ns: &Namespace, words: &str) {
    let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
    ns.run(|| {
        let done = Command::new(&words[0]).args(&words[1..]).stdin(Stdio::null()).output()?;
        assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
        Ok(())
    })
    .unwrap();
}

/// The line about a subject.
fn line<'a>(text: &'a str, subject: &str) -> &'a str {
    let about = |line: &&str| line.get(6..).is_some_and(|rest| rest.starts_with(subject));
    text.lines().find(about).unwrap_or_else(|| panic!("no line about {subject}:\n{text}"))
}

#[test]
fn a_good_machine_is_fit_and_what_is_unproven_is_said() {
    let Some(bench) = Bench::new() else { return };
    let (code, text) = bench.check(A, &[]);
    assert_eq!(code, 0, "{text}");
    assert!(line(&text, "gate").starts_with("ok"), "{text}");
    assert!(line(&text, "witness 192.168.42.1").starts_with("ok"), "{text}");
    assert!(line(&text, "relay").starts_with("WARN") && text.contains("unproven until both daemons run"), "{text}");
    assert!(line(&text, "table").starts_with("WARN") && text.contains("--probe-witness"), "{text}");
    assert!(text.lines().last().unwrap().starts_with("FIT, with"), "{text}");
}

#[test]
fn what_is_out_of_place_on_the_machine_is_named_with_what_to_type() {
    let Some(bench) = Bench::new() else { return };
    let node = bench.lab.node(A);
    run(node, &format!("ip addr add {VIP}/32 dev lo"));
    run(node, "ip addr del 10.1.1.1/24 dev eth1");
    run(node, "ip addr add 10.1.1.1/24 dev eth2");
    let port = node.run(|| Ok(std::net::UdpSocket::bind("0.0.0.0:694")?)).unwrap();
    let dir = bench.site.node_dir(A);
    let conf = dir.join("nginx.conf");
    std::fs::write(&conf, "events {}\nhttp { server { listen 80; root /nonexistent }\n").unwrap();
    std::fs::write(dir.join("state-file"), "a file in its place").unwrap();
    let text = std::fs::read_to_string(bench.site.config(A)).unwrap();
    let (before, rest) = text.split_once("process = [").unwrap();
    let (_, after) = rest.split_once(']').unwrap();
    std::fs::write(bench.site.config(A), format!("{before}process = [\"nginx\", \"-c\", \"{}\"]{after}", conf.display()))
        .unwrap();
    let (code, text) = bench.check(A, &["--state-dir", dir.join("state-file").to_str().unwrap(), "--offline"]);
    assert_eq!(code, 1, "{text}");
    let fails = |words: &[&str]| {
        let found = text.lines().any(|line| line.starts_with("FAIL") && words.iter().all(|word| line.contains(word)));
        assert!(found, "{words:?} of\n{text}");
    };
    fails(&["vip", "192.168.42.14 is configured on lo", "ip addr del"]);
    fails(&["link heartbeat", "10.1.1.1 is on eth2 and not on eth1"]);
    fails(&["port", "UDP port 694", &format!("(process {})", std::process::id()), "ss -lunp"]);
    fails(&["state", "is no directory"]);
    if bench.site.has_nginx() {
        fails(&["service", "nginx would not start here", "nginx.conf:2", "-t"]);
    }
    drop(port);
}

#[test]
fn the_probe_writes_the_table_only_when_nobody_answers_and_finds_a_pinned_one() {
    let Some(bench) = Bench::new() else { return };
    let (code, text) = bench.check(A, &["--probe-witness"]);
    assert_eq!(code, 0, "{text}");
    assert!(line(&text, "table 192.168.42.1").contains("took this node's entry"), "{text}");

    bench.gateway(&format!("ip neigh replace {VIP} lladdr 02:00:00:00:00:99 dev eth0 nud permanent"));
    let (code, text) = bench.check(A, &["--probe-witness"]);
    assert_eq!(code, 1, "{text}");
    assert!(line(&text, "table 192.168.42.1").contains("does NOT take this node's entry"), "{text}");

    bench.gateway(&format!("ip neigh del {VIP} dev eth0"));
    run(bench.lab.node(B), &format!("ip addr add {VIP}/32 dev eth0"));
    let (_, text) = bench.check(A, &["--probe-witness"]);
    assert!(line(&text, "table 192.168.42.1").contains("not probed: 02:00:00:00:00:13 answers"), "{text}");
}

#[test]
fn crossed_cables_and_the_address_on_another_machine_are_named() {
    let Some(bench) = Bench::new() else { return };
    // On the second node, where no daemon runs; then on a third machine.
    run(bench.lab.node(B), &format!("ip addr add {VIP}/32 dev eth0"));
    let (code, text) = bench.check(A, &[]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("master2 answers for 192.168.42.14 (02:00:00:00:00:13) and no daemon runs there"), "{text}");
    run(bench.lab.node(B), &format!("ip addr del {VIP}/32 dev eth0"));
    run(&bench.lab.lanclient, &format!("ip addr add {VIP}/32 dev eth0"));

    // One end's cables are exchanged: the first node's port of one link is on the other link's wire.
    let switch = &bench.lab.switch;
    let plan = &bench.lab.plan;
    let [heartbeat, bond] = [Cable::Heartbeat, Cable::Bond].map(|cable| cable.select(plan)[0]);
    run(switch, &format!("ip link set {} master {}", plan.port(heartbeat, A), plan.bridge(bond)));
    run(switch, &format!("ip link set {} master {}", plan.port(bond, A), plan.bridge(heartbeat)));
    let _peer = Daemon::start(&bench.lab, &bench.site, B).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let (code, text) = bench.check(A, &[]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("a third machine: find it"), "{text}");
    for (link, other) in [("heartbeat", "eth2"), ("bond", "eth1")] {
        let crossed = |line: &str| {
            line.starts_with("FAIL") && line.contains(&format!("link {link}")) && line.contains("cables are crossed")
        };
        assert!(text.lines().any(|line| crossed(line) && line.contains(&format!("arrive on {other}"))), "{link}: {text}");
    }
}

#[test]
fn a_gateway_with_a_limit_or_without_echoes_is_named() {
    let Some(bench) = Bench::new() else { return };
    bench.gateway("nft add table ip t");
    bench.gateway("nft add chain ip t in { type filter hook input priority 0 ; }");
    bench.gateway("nft add rule ip t in icmp type echo-request limit rate 12/second burst 3 packets accept");
    bench.gateway("nft add rule ip t in icmp type echo-request drop");
    let (code, text) = bench.check(A, &[]);
    assert_eq!(code, 1, "{text}");
    assert!(line(&text, "witness 192.168.42.1").contains("answers the SLOW rate only"), "{text}");

    bench.gateway("nft flush chain ip t in");
    bench.gateway("nft add rule ip t in icmp type echo-request drop");
    let (code, text) = bench.check(A, &[]);
    assert_eq!(code, 1, "{text}");
    assert!(line(&text, "witness 192.168.42.1").contains("by = \"arp\""), "{text}");

    run(&bench.lab.gw, "ip link set eth0 arp off");
    let (code, text) = bench.check(A, &[]);
    assert_eq!(code, 1, "{text}");
    assert!(line(&text, "witness 192.168.42.1").contains("does not answer ARP"), "{text}");
}

#[test]
fn a_gateway_that_answers_short_echoes_alone_and_an_interface_that_takes_none_are_named() {
    let Some(bench) = Bench::new() else { return };
    bench.gateway("nft add table ip t");
    bench.gateway("nft add chain ip t in { type filter hook input priority 0 ; }");
    bench.gateway("nft add rule ip t in icmp type echo-request ip length > 200 drop");
    let (code, text) = bench.check(A, &[]);
    assert_eq!(code, 1, "{text}");
    assert!(line(&text, "witness 192.168.42.1").contains("answers short echoes and none of 5 of"), "{text}");

    bench.gateway("nft flush chain ip t in");
    run(bench.lab.node(A), "ip link set eth0 mtu 1000");
    let (code, text) = bench.check(A, &[]);
    assert_eq!(code, 1, "{text}");
    assert!(line(&text, "link lan").contains("has an MTU of 1000"), "{text}");
}

#[test]
fn a_gateway_with_a_shared_mac_is_warned_of() {
    let Some(bench) = Bench::new() else { return };
    bench.gateway("ip link set eth0 address 00:00:5e:00:01:2a");
    let (code, text) = bench.check(A, &[]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("is a VRRP (or CARP) address") && text.contains("further single hosts"), "{text}");
}

/// Replies go back to the MAC that the request came from, whatever the table says: a bridge program that swaps them would be
/// the hardware's way; here the switch sends the peer's replies to this node as well.
#[test]
fn a_witness_that_answers_to_the_sender_is_named() {
    let Some(bench) = Bench::new() else { return };
    // The gateway's table names this node's MAC for the peer's own address: its replies come back to the sender.
    bench.gateway("ip neigh replace 192.168.42.13 lladdr 02:00:00:00:00:12 dev eth0 nud permanent");
    let (code, text) = bench.check(A, &[]);
    assert_eq!(code, 1, "{text}");
    assert!(line(&text, "witness 192.168.42.1").contains("answers to the SENDER"), "{text}");
}

/// Asks until it is so; the last answer, or a failure with the log.
fn until(bench: &Bench, node: NodeId, so: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let done = bench.site.ask(&bench.lab, node, &["status", "--json"]).unwrap();
        let seen: Value = serde_json::from_slice(&done.stdout).unwrap_or_default();
        if so(&seen) {
            return seen;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{seen:#}\n{}", bench.site.log_tail(node, 30));
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn owner(view: &Value) -> &str {
    view.pointer("/groups/0/owner").and_then(Value::as_str).unwrap_or_default()
}

fn screen(bench: &Bench, node: NodeId) -> (Option<i32>, String) {
    let done = bench.site.ask(&bench.lab, node, &["status"]).unwrap();
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    println!("$ twinbeat status   (on {}) -> {:?}\n{text}", node_name(node), done.status.code());
    (done.status.code(), text)
}

#[test]
fn a_gateway_by_arp_counts_for_reachability_and_the_claim_rests_on_a_host_that_answers_echoes() {
    let Some(bench) = Bench::new() else { return };
    bench.gateway("nft add table ip t");
    bench.gateway("nft add chain ip t in { type filter hook input priority 0 ; }");
    bench.gateway("nft add rule ip t in icmp type echo-request drop");
    let by_arp = format!("targets = [{{ address = \"192.168.42.1\", by = \"arp\" }}, \"{LANCLIENT}\"]");
    bench.rewrite("targets = [\"192.168.42.1\"]", &by_arp);
    let mut first = Daemon::start(&bench.lab, &bench.site, A).unwrap();
    let _second = Daemon::start(&bench.lab, &bench.site, B).unwrap();
    let view = until(&bench, A, |view| {
        owner(view) == "master1" && view["witness"]["reachable"] == true && view["witness"]["peer_reachable"] == true
    });
    assert_eq!(
        (&view["witness"]["targets"][0]["by"], &view["witness"]["targets"][0]["reachable"]),
        (&"arp".into(), &true.into())
    );
    screen(&bench, A);
    check(&bench.lab, &bench.site, B, &[]);
    // The daemon is killed, its kernel lives on: the claim needs the whole checklist.
    assert!(first.signal(Signal::SIGKILL));
    until(&bench, B, |view| owner(view) == "master2");
    // The gateway falls silent at ARP as well: half of two targets is no majority.
    run(&bench.lab.gw, "ip link set eth0 arp off");
    until(&bench, B, |view| view["witness"]["reachable"] == false);
    screen(&bench, B);
}

#[test]
fn a_relay_that_the_network_blocks_is_named_by_check_and_status() {
    let Some(bench) = Bench::new() else { return };
    let guard = |words: &str| run(&bench.lab.switch, words);
    guard("nft add table bridge t");
    guard("nft add chain bridge t f { type filter hook forward priority 0 ; }");
    // A source guard: no port may send from another node's own address.
    guard("nft add rule bridge t f iifname eth0-master1 ip saddr 192.168.42.13 drop");
    guard("nft add rule bridge t f iifname eth0-master2 ip saddr 192.168.42.12 drop");
    let _daemons = [A, B].map(|node| Daemon::start(&bench.lab, &bench.site, node).unwrap());
    let relay = |view: &Value| {
        view["links"].as_array().and_then(|links| links.iter().find(|l| l["name"] == "relay")).map(|l| l["state"].clone())
    };
    until(&bench, A, |view| owner(view) == "master1" && relay(view) == Some("blocked".into()));
    let (code, text) = screen(&bench, A);
    assert_eq!(code, Some(10));
    assert!(text.contains("relay         BLOCKED") && text.contains("set `relay = false`"), "{text}");
    let (code, text) = check(&bench.lab, &bench.site, A, &[]);
    assert_eq!(code, 0, "a pair can do without it");
    assert!(line(&text, "relay").starts_with("WARN") && text.contains("BLOCKED"), "{text}");
}

/// A command; its exit code and what it said.
fn ask(bench: &Bench, node: NodeId, args: &[&str]) -> (i32, String) {
    let done = bench.site.ask(&bench.lab, node, args).unwrap();
    let text = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    println!("$ twinbeat {}   (on {}) -> {:?}\n{text}", args.join(" "), node_name(node), done.status.code());
    (done.status.code().unwrap(), text)
}

#[test]
fn standby_takeover_and_resume_work_from_either_node_and_say_what_they_did() {
    let Some(bench) = Bench::new() else { return };
    for verb in ["status", "standby", "takeover", "resume"] {
        let (code, text) = ask(&bench, A, &[verb]);
        let lines: Vec<&str> = text.lines().collect();
        let [what, how] = lines[..] else { panic!("{text}") };
        assert!(
            code == 1 && what.contains("no daemon answers at") && how.contains("start it: `systemctl start twinbeat`"),
            "{text}"
        );
    }
    let mut daemons = [A, B].map(|node| Daemon::start(&bench.lab, &bench.site, node).unwrap());
    let settled = |node, name: &'static str| {
        until(&bench, node, move |view| {
            owner(view) == name
                && view["groups"][0]["takeover_ready"]["ready"] == true
                && view["groups"][0]["service"] != "starting"
        })
    };
    settled(A, "master1");
    let mode = std::fs::metadata(bench.site.node_dir(A).join("run/control.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (code, text) = ask(&bench, A, &["standby", "mail"]);
    assert!(code == 1 && text.contains("there is no group mail; there is: web"), "{text}");
    let (code, text) = ask(&bench, A, &["standby", "--for", "30"]);
    assert!(code == 2 && text.contains("a number and a unit"), "{text}");

    // From the owner; with its reason, and until it runs out by itself.
    let (code, text) = ask(&bench, A, &["standby", "--for", "4s", "--reason", "kernel update"]);
    assert!(code == 0 && text.contains("clients saw"), "{text}");
    let view = settled(B, "master2");
    assert_eq!(view["groups"][0]["role"], "owner");
    let (_, text) = screen(&bench, A);
    assert!(text.contains("master1 is in standby by command: kernel update"), "{text}");
    until(&bench, A, |view| owner(view) == "master1" && view["groups"][0]["standby_held"].is_null());

    // From the standby: the preferred node goes into standby, and resume brings it back.
    settled(A, "master1");
    let (code, text) = ask(&bench, B, &["takeover", "web"]);
    assert!(code == 0 && text.contains("clients saw"), "{text}");
    let view = settled(A, "master2");
    assert!(view["groups"][0]["standby_held"].is_string(), "{view:#}");
    let (code, _) = ask(&bench, A, &["resume"]);
    assert_eq!(code, 0);
    settled(A, "master1");

    // A peer that cannot serve is not handed anything.
    assert!(daemons[1].signal(Signal::SIGKILL));
    until(&bench, A, |view| view["peer_state"] == "silent");
    let (code, text) = ask(&bench, A, &["standby"]);
    assert!(code == 1 && text.contains("refused"), "{text}");
    let (code, text) = ask(&bench, A, &["status"]);
    assert!(code == 10 && text.contains("takeover ready: NO, master2 is not heard"), "{text}");
}

#[test]
fn a_standby_without_its_public_cable_is_seen_in_both_columns() {
    let Some(bench) = Bench::new() else { return };
    let _daemons = [A, B].map(|node| Daemon::start(&bench.lab, &bench.site, node).unwrap());
    until(&bench, A, |view| owner(view) == "master1" && view["groups"][0]["takeover_ready"]["ready"] == true);
    let (code, text) = screen(&bench, A);
    assert!(code == Some(0) && text.contains("takeover ready: yes") && text.contains("nothing to do"), "{text}");
    bench.lab.unplug(B, Cable::Lan).unwrap();
    until(&bench, A, |view| view["groups"][0]["takeover_ready"]["ready"] == false && view["links"][2]["state"] == "lost");
    let (code, text) = screen(&bench, A);
    assert_eq!(code, Some(10));
    assert!(
        text.contains("NO CARRIER") && text.contains("<- blocks takeover") && text.contains("master2 has no carrier"),
        "{text}"
    );
    let (code, text) = screen(&bench, B);
    assert_eq!(code, Some(10));
    assert!(text.contains("takeover ready: NO, master2 has no carrier on its public side"), "{text}");
}

#[test]
fn a_unit_on_a_machine_without_systemd_is_named() {
    let Some(bench) = Bench::new() else { return };
    let service = "[[groups.services]]\nsystemd = \"nobody-has-this\"\n\n[[groups.vips]]";
    bench.rewrite("[[groups.vips]]", service);
    let (_, text) = bench.check(A, &["--offline"]);
    if !Path::new("/run/systemd/system").is_dir() {
        assert!(text.contains("no systemd runs here") && text.contains("nobody can start nobody-has-this.service"), "{text}");
    }
    assert!(text.contains("systemd nobody-has-this.service: no such unit here"), "{text}");
}

#[test]
fn while_the_pair_serves_check_names_the_relay_and_the_last_move() {
    if !common::ready() {
        return;
    }
    let pair = common::serving(Path::new(env!("CARGO_BIN_EXE_twinbeat")));
    std::thread::sleep(Duration::from_secs(3));
    let (code, text) = check(&pair.lab, &pair.site, A, &["--probe-witness"]);
    assert_eq!(code, 0, "{text}");
    assert!(line(&text, "relay").starts_with("ok"), "{text}");
    assert!(text.contains("not probed: the daemon runs here"), "{text}");
    assert!(text.contains("proved") && text.contains("last move: master1 SERVES"), "{text}");
    let (code, text) = check(&pair.lab, &pair.site, B, &[]);
    assert_eq!(code, 0, "{text}");
    assert!(line(&text, "daemon").contains("web served by master1"), "{text}");
}
