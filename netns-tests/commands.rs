//! The commands that stand in the README and in the pages for administrators, run one after the other as those pages tell of a pair: set up, planned
//! work, changes, keys, the night, the way from other daemons. On two machines in network namespaces, with real daemons; who serves is seen from outside.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
#[path = "common/documents.rs"]
mod documents;
#[path = "commands/elsewhere.rs"]
mod elsewhere;
#[path = "commands/ledger.rs"]
mod ledger;
#[path = "commands/machine.rs"]
mod machine;

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use ledger::Ledger;
use machine::Machine;
use nix::sys::signal::Signal;
use serde_json::Value;
use twinbeat::core::id::NodeId;
use twinbeat::lab::lab::{BOTH, Lab, VIP, node_name};
use twinbeat::lab::probe::{Outcome, Probe};

const A: NodeId = NodeId(0);
const B: NodeId = NodeId(1);
/// More than a move by agreement costs clients on a busy machine; `dead` of the profile is 2 s.
const PLANNED: Duration = Duration::from_millis(500);
/// What `init` calls it.
const GROUP: &str = "web";
/// What stands for its service: systemd is in netns-tests/systemd.rs.
const SERVICE: &str = "{ process = [\"/bin/sleep\", \"1000000\"], warm = true }";

/// What somebody was answered.
struct Said {
    code: i32,
    text: String,
}

struct Story {
    machines: [Machine; 2],
    probe: Probe,
    ledger: Ledger,
    _lab: Lab,
}

impl Story {
    fn on(&mut self, node: NodeId) -> &mut Machine {
        &mut self.machines[node.index()]
    }

    /// Types a command of the pages on a node: what stands for a value there has one.
    fn types(&self, node: NodeId, command: &str) -> Said {
        let mut line = self.ledger.take(command).replace("[GROUP]", GROUP);
        line = line.replace(" PEER", &format!(" {}", node_name(node.other())));
        self.answer(node, &line)
    }

    /// Any other.
    fn answer(&self, node: NodeId, line: &str) -> Said {
        let began = Instant::now();
        let done = self.machines[node.index()].types(line);
        let text = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
        println!("{} $ {line}   [{:?}, {:.2?}]", node_name(node), done.status.code(), began.elapsed());
        Said { code: done.status.code().unwrap_or(-1), text }
    }

    fn must(&self, node: NodeId, command: &str) -> String {
        let said = self.types(node, command);
        assert_eq!(said.code, 0, "{command}: {}\n{}", said.text, self.logs());
        said.text
    }

    /// Refused: exit code 1, and why.
    fn refused(&self, node: NodeId, command: &str, why: &str) {
        let said = self.types(node, command);
        assert!(said.code == 1 && said.text.contains(why), "{command}: {}: {}\n{}", said.code, said.text, self.logs());
    }

    fn view(&self, node: NodeId) -> Value {
        let said = self.machines[node.index()].types("twinbeat status --json");
        serde_json::from_slice(&said.stdout).unwrap_or_else(|error| panic!("{error}\n{}", self.logs()))
    }

    /// Until `twinbeat status` ends with 0 on both.
    fn healthy(&self) {
        let until = Instant::now() + Duration::from_secs(60);
        for node in BOTH {
            while self.machines[node.index()].types("twinbeat status").status.code() != Some(0) {
                assert!(Instant::now() < until, "{:#}\n{}", self.view(node), self.logs());
                thread::sleep(Duration::from_millis(100));
            }
            assert_eq!(self.types(node, "twinbeat status").code, 0, "{}", self.logs());
        }
    }

    fn serves(&self, node: NodeId) {
        let never = AtomicBool::new(false);
        let seen = self.probe.wait_for_owner(node, Duration::from_secs(40), &never);
        assert!(seen, "{} does not serve\n{}", node_name(node), self.logs());
    }

    /// What a client saw from `from` until now: so many moves, no more missed than these cost, never two owners.
    fn moved(&self, what: &str, from: Duration, moves: usize) -> Outcome {
        let seen = self.probe.outcome(from, self.probe.now());
        println!("{what}: {} moves, gap {:?}", seen.moves(), seen.gap);
        assert_eq!((seen.moves(), seen.two_owners), (moves, Duration::ZERO), "{what}: {seen:#?}\n{}", self.logs());
        assert!(seen.gap < PLANNED, "{what}: {seen:#?}\n{}", self.logs());
        seen
    }

    fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(30);
        while !holds() {
            assert!(Instant::now() < end, "never {what}\n{}", self.logs());
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn logs(&self) -> String {
        BOTH.map(|node| self.machines[node.index()].log()).join("\n---\n")
    }

    /// The pid of the group's process.
    fn service(&self, node: NodeId) -> Option<i32> {
        let record = self.machines[node.index()].types("cat /var/lib/twinbeat/services/*.json").stdout;
        i32::try_from(serde_json::from_slice::<Value>(&record).ok()?["pid"].as_i64()?).ok()
    }
}

#[test]
fn every_command_of_the_pages_does_what_they_say_of_it() {
    if !common::ready() {
        return;
    }
    // Groups and users are made on the machines: nobody's but root's.
    if !fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| map.split_whitespace().eq(["0", "0", "4294967295"])) {
        println!("SKIPPED: the machines whose commands these are need root");
        return;
    }
    let lab = Lab::build().unwrap();
    let machines = BOTH.map(|node| Machine::make(node_name(node), lab.node(node)).unwrap());
    let mut story = Story { machines, probe: Probe::start(&lab, VIP).unwrap(), ledger: Ledger::of_the_pages(), _lab: lab };
    for node in BOTH {
        let other = &story.machines[node.other().index()];
        let names = [node_name(node.other()), if node == A { "lb2" } else { "lb1" }];
        story.machines[node.index()].knows(&names, other);
    }
    // What is typed is done there and not here.
    for node in BOTH {
        assert_eq!(story.answer(node, "stat -f -c %T .").text, "tmpfs\n");
    }
    others_files(&mut story);
    set_up(&mut story);
    planned_work(&mut story);
    work_on_a_service(&mut story);
    changes(&mut story);
    keys(&mut story);
    told(&mut story);
    night(&mut story);
    recorded(&mut story);
    story.ledger.settle(&elsewhere::ELSEWHERE, &elsewhere::NEVER);
}

/// Files of other daemons (MIGRATING-FROM-HEARTBEAT, MIGRATING-FROM-KEEPALIVED): written, refused until they are filled in, and nothing else touched.
fn others_files(story: &mut Story) {
    let inputs = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/import/inputs");
    for (node, file) in [(A, "unicast1.conf"), (B, "unicast2.conf")] {
        let machine = story.on(node);
        for dir in ["/etc/ha.d", "/etc/keepalived"] {
            fs::create_dir_all(machine.path(dir)).unwrap();
        }
        for file in ["ha.cf", "haresources", "authkeys"] {
            fs::copy(
                inputs.join("heartbeat/recipe").join(node_name(node)).join(file),
                machine.path(&format!("/etc/ha.d/{file}")),
            )
            .unwrap();
        }
        fs::copy(inputs.join("keepalived").join(file), machine.path("/etc/keepalived/keepalived.conf")).unwrap();
    }
    let written = |story: &Story, copy: &str, import: &str| {
        story.must(A, copy);
        let said = story.must(A, import);
        assert!(said.contains("written") && said.contains("FILL IN"), "{said}");
        // Never written over, and refused until then.
        let again = story.types(A, import);
        assert!(again.code == 1 && again.text.contains("nothing is written"), "{}", again.text);
        let check = story.types(A, "twinbeat check --config twinbeat.toml");
        assert!(check.code == 1 && check.text.contains("FILL IN"), "{}", check.text);
        assert_eq!(story.answer(A, "mv twinbeat.toml imported.toml").code, 0);
    };
    written(
        story,
        "scp -r master2:/etc/ha.d /tmp/ha.d-master2",
        "twinbeat import heartbeat /etc/ha.d --node master1 --other /tmp/ha.d-master2 --out twinbeat.toml",
    );
    written(
        story,
        "scp lb2:/etc/keepalived/keepalived.conf /tmp/lb2.conf",
        "twinbeat import keepalived /etc/keepalived/keepalived.conf /tmp/lb2.conf --node lb1 --node lb2 --out twinbeat.toml",
    );
    // To the standard output; what stands for a file there has a name.
    assert!(story.must(A, "twinbeat import heartbeat /etc/ha.d").contains("[nodes.master2.links]"));
    for (command, with) in
        [("twinbeat import heartbeat DIR", "/etc/ha.d"), ("twinbeat import keepalived FILE", "/etc/keepalived/keepalived.conf")]
    {
        let line = story.ledger.take(command).replace("DIR", with).replace("FILE", with);
        let said = story.answer(A, &line);
        assert!(said.code == 0 && said.text.contains("[[groups]]"), "{}", said.text);
    }
    // Named without what they need they say so.
    for command in ["twinbeat import", "twinbeat import heartbeat", "twinbeat import keepalived"] {
        assert_eq!(story.types(A, command).code, 2);
    }
    assert_eq!(story.answer(A, "ls /etc/twinbeat").code, 2, "an import has touched something");
}

/// "A production pair" by `init`: both nodes get the same file, each its own key, and what is there is never overwritten.
fn set_up(story: &mut Story) {
    let key = story.must(A, "install -d /etc/twinbeat && twinbeat keygen --out /etc/twinbeat/$(hostname).key");
    let key = key.lines().find(|line| line.starts_with("public_key = ")).expect(&key).to_owned();
    assert_eq!(story.types(A, "twinbeat keygen").code, 2);
    let line = story.ledger.take("twinbeat keygen --out FILE").replace("FILE", "another.key");
    let modes = story.answer(A, &format!("{line} && stat -c %a another.key"));
    assert!(modes.code == 0 && modes.text.ends_with("600\n"), "{}", modes.text);
    assert_eq!(story.answer(A, &line).code, 1, "never overwritten");
    story.refused(A, "twinbeat init", "of the other node nothing is known");
    let init = "twinbeat init --peer root@master2 --vip 192.168.42.14 --service nginx";
    let said = story.must(A, init);
    assert!(said.contains("master2, `twinbeat check`") && !said.contains("FAIL"), "{said}");
    story.refused(A, init, "never overwritten");
    let file = "/etc/twinbeat/twinbeat.toml";
    let text = story.on(A).read(file);
    assert_eq!(text, story.on(B).read(file));
    assert!(text.contains(&key), "the key that was there already: {text}");
    for node in BOTH {
        let [own, other] = [node, node.other()].map(|node| format!("/etc/twinbeat/{}.key", node_name(node)));
        let machine = story.on(node);
        assert!(Path::new(&machine.path(&own)).exists() && !Path::new(&machine.path(&other)).exists());
        machine.edit("{ systemd = \"nginx\" }", SERVICE);
        let line = text.lines().find(|line| line.starts_with("name = ")).expect(&text);
        machine.edit(line, "name = \"web\"");
    }
    for node in BOTH {
        let said = story.must(node, "twinbeat check");
        assert!(!said.contains("FAIL"), "{said}");
        assert!(story.must(node, "twinbeat check --probe-witness").contains("table"), "{said}");
        let offline = story.answer(node, "twinbeat check --offline");
        assert_eq!(offline.code, 0, "{}", offline.text);
    }
    // Who may look, and nothing else: the group is there before the daemon.
    story.must(B, "groupadd --system twinbeat");
    assert_eq!(story.answer(B, "useradd --system zabbix").code, 0);
    story.must(B, "usermod -aG twinbeat zabbix");

    let run = story.ledger.take("twinbeat run");
    story.on(A).start(run);
    story.serves(A);
    story.on(B).start(run);
    story.healthy();
    let said = story.must(A, "twinbeat status");
    assert!(said.contains("master1 SERVES") && said.contains("takeover ready: yes"), "{said}");
    assert!(story.answer(A, "ip address show").text.contains("192.168.42.14/32"));
    let look = story.answer(B, "runuser -u zabbix -- twinbeat status");
    assert_eq!(look.code, 0, "{}", look.text);
    let order = story.answer(B, "runuser -u zabbix -- twinbeat takeover");
    assert!(order.code == 1 && order.text.contains("be root"), "{}", order.text);
}

/// `standby`, `takeover`, `resume`, of one group and of all.
fn planned_work(story: &mut Story) {
    for (standby, resume, takeover) in [
        ("twinbeat standby [GROUP]", "twinbeat resume [GROUP]", "twinbeat takeover [GROUP]"),
        ("twinbeat standby", "twinbeat resume", "twinbeat takeover [GROUP]"),
    ] {
        let from = story.probe.now();
        let said = story.must(A, standby);
        assert!(said.contains("clients saw"), "{said}");
        story.serves(B);
        assert!(!story.view(A)["groups"][0]["standby_held"].is_null());
        // It stays there: no failback, until the standby ends.
        thread::sleep(Duration::from_secs(1));
        assert_eq!(story.probe.serving(), [B]);
        story.must(A, resume);
        assert!(story.view(A)["groups"][0]["standby_held"].is_null());
        story.healthy();
        story.must(A, takeover);
        story.serves(A);
        story.healthy();
        story.moved(standby, from, 2);
    }
    // Where the address is already nothing is done.
    assert_eq!(story.types(A, "twinbeat takeover [GROUP]").code, 0);
    assert_eq!(story.probe.serving(), [A]);
}

/// "Work on a service": what falls in the pause is left alone, nothing moves, and both nodes know of it; after it the service runs again.
fn work_on_a_service(story: &mut Story) {
    let from = story.probe.now();
    for (pause, resume) in [
        ("twinbeat pause web --for 1h --reason certificates", "twinbeat resume"),
        ("twinbeat pause [GROUP]", "twinbeat resume [GROUP]"),
        ("twinbeat pause", "twinbeat resume"),
    ] {
        story.must(B, pause);
        for node in BOTH {
            story.until("paused on both", || !story.view(node)["groups"][0]["paused"].is_null());
        }
        story.refused(A, "twinbeat standby [GROUP]", "paused");
        story.refused(B, "twinbeat takeover [GROUP]", "paused");
        // It falls once alone: a second time within a minute it would move when the pause is over.
        let fell = pause.contains("certificates").then(|| {
            let pid = story.service(A).expect("the service");
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL).unwrap();
            story.until("left alone", || !story.view(A)["groups"][0]["left_alone"].is_null());
            assert_eq!(story.service(A), Some(pid), "it was started again in the pause");
            pid
        });
        story.must(A, resume);
        if let Some(pid) = fell {
            story.until("runs again", || story.service(A).is_some_and(|now| now != pid));
        }
        for node in BOTH {
            story.until("resumed on both", || story.view(node)["groups"][0]["paused"].is_null());
        }
        story.healthy();
    }
    story.moved("work on a service", from, 0);
}

/// "Changing the file": the plan changes nothing, the standby first, then the owner; what cannot be in place is refused and changes nothing.
fn changes(story: &mut Story) {
    let from = story.probe.now();
    for node in BOTH {
        story.on(node).edit("[[groups]]", "[timing]\nwarn = \"500ms\"\n\n[[groups]]");
    }
    for node in [B, A] {
        let life = story.view(node)["incarnation"].as_u64().unwrap();
        let said = story.must(node, "twinbeat reload --plan");
        assert!(said.contains("warn = \"500ms\"") && story.view(node)["incarnation"].as_u64() == Some(life), "{said}");
        let said = story.must(node, "twinbeat reload");
        assert!(said.contains("taken up") && story.view(node)["incarnation"].as_u64() > Some(life), "{said}");
        assert!(story.must(node, "twinbeat reload").contains("nothing differs"));
    }
    story.healthy();
    let whole = story.on(A).read("/etc/twinbeat/twinbeat.toml");
    let cluster = whole.lines().find(|line| line.starts_with("cluster = ")).unwrap().to_owned();
    story.on(A).edit(&cluster, "cluster = \"another\"");
    for command in ["twinbeat reload --plan", "twinbeat reload"] {
        let said = story.types(A, command);
        assert!(said.code == 3 && said.text.contains("both daemons down, then up"), "{}: {}", said.code, said.text);
    }
    story.on(A).write("/etc/twinbeat/twinbeat.toml", &whole.replace("[witness]", "[witness"));
    assert_eq!(story.types(A, "twinbeat reload").code, 1);
    story.on(A).write("/etc/twinbeat/twinbeat.toml", &whole);
    story.healthy();
    story.moved("changes", from, 0);
}

/// "Keys": the block as it stands, with what its comments say between the lines.
fn keys(story: &mut Story) {
    let from = story.probe.now();
    let said = story.must(A, "twinbeat keygen --out /etc/twinbeat/master1.next");
    let new = said.lines().find(|line| line.starts_with("public_key = ")).unwrap().to_owned();
    let text = story.on(A).read("/etc/twinbeat/twinbeat.toml");
    let old =
        text.split("[nodes.master1]").nth(1).unwrap().lines().find(|line| line.starts_with("public_key = ")).unwrap().to_owned();
    for node in BOTH {
        story.on(node).edit(&old, &format!("{old}\nnext_{new}"));
    }
    for node in BOTH {
        story.must(node, "twinbeat reload");
    }
    story.healthy();
    let said = story.must(A, "mv /etc/twinbeat/master1.next /etc/twinbeat/master1.key && twinbeat reload");
    assert!(said.contains("private key: another one"), "{said}");
    story.healthy();
    for node in BOTH {
        story.on(node).edit(&format!("{old}\nnext_{new}"), &new);
    }
    for node in BOTH {
        story.must(node, "twinbeat reload");
    }
    story.healthy();
    story.moved("keys", from, 0);
}

/// What the nodes tell of themselves.
fn told(story: &mut Story) {
    // What the pair's file asks for, and this one has neither routes nor rules.
    assert_eq!(story.must(A, "ip route show table all proto 117"), "");
    assert!(!story.must(A, "ip rule show").contains("proto 117"));
    let said = story.must(A, "twinbeat why");
    assert!(said.contains("stays the owner") && said.contains("known ") && said.contains("next "), "{said}");
    let hour: Value = serde_json::from_str(&story.must(A, "twinbeat why --json")).unwrap();
    assert!(hour["lanes"].as_array().is_some_and(|lanes| !lanes.is_empty()) && hour["since"].is_number(), "{hour}");
    let schema: Value = serde_json::from_str(&story.must(A, "twinbeat status --schema")).unwrap();
    let documented = include_str!("../docs/status.schema.json");
    assert_eq!(schema, serde_json::from_str::<Value>(documented).unwrap());
    // The gate of the one that serves, and the time that is left.
    let rules = story.must(A, "nft list ruleset");
    assert!(rules.contains("twinbeat_") && rules.contains("expires"), "{rules}");
    assert!(story.must(A, "nft list tables").contains("twinbeat_"));
    // The laboratory, beside a pair that runs.
    assert!(story.must(A, "twinbeat drill --list").contains("power_off"));
}

/// The owner's machine loses power; the peer serves, says so, and a word about a peer that is heard is refused (one that is true, and what comes of it:
/// netns-tests/fence.rs).
fn night(story: &mut Story) {
    story.refused(B, "twinbeat fenced master1", "master1 is heard");
    story.refused(A, "twinbeat fenced PEER", "master2 is heard");
    let from = story.probe.now();
    story.on(A).stop(Signal::SIGKILL);
    for interface in ["eth0", "eth1", "eth2"] {
        story.answer(A, &format!("ip link set {interface} down"));
    }
    story.serves(B);
    let seen = story.probe.outcome(from, story.probe.now());
    assert!(seen.two_owners.is_zero() && seen.gap < Duration::from_secs(2) + PLANNED, "{seen:#?}\n{}", story.logs());
    let said = story.types(B, "twinbeat status");
    assert!(said.code == 10 && said.text.contains("master2 SERVES") && said.text.contains("takeover ready: NO"), "{}", said.text);
    assert!(story.must(B, "twinbeat why").contains("master2 SERVES"));
    // Nothing answers on the other one.
    assert_eq!(story.types(A, "twinbeat status").code, 1);
}

/// The flight recorder of a node whose daemon does not run; then the way back, and a new beginning.
fn recorded(story: &mut Story) {
    assert_eq!(story.types(A, "twinbeat replay").code, 2);
    let said = story.must(A, "twinbeat why --state-dir /var/lib/twinbeat");
    assert!(said.contains("stays the owner"), "{said}");
    let said = story.must(A, "twinbeat replay /var/lib/twinbeat");
    assert!(!said.contains("first difference"), "{said}");
    let said = story.must(B, "twinbeat replay /var/lib/twinbeat --set timing.dead=5s");
    assert!(said.contains("timing.dead"), "{said}");
    // The whole pair off: the address and the gate are gone with the last daemon.
    assert_eq!(story.on(B).stop(Signal::SIGTERM), Some(0));
    let addresses = story.must(B, "ip address show");
    assert!(!addresses.contains("192.168.42.14"), "{addresses}");
    assert!(!story.must(B, "nft list tables").contains("twinbeat_"));
    story.must(A, "rm -r /var/lib/twinbeat");
    story.must(A, "rm -r /etc/twinbeat");
}
