//! Fencing with real daemons: the owner's daemon hangs with a service that must not run twice, and the peer turns the machine off before it starts its
//! own; by a command, by an agent of Debian's fence-agents package, and by a person's word where the device fails.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "common/bench.rs"]
mod bench;
mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use bench::{A, B, Bench};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use toml::{Table, Value};
use twinbeat::core::id::NodeId;
use twinbeat::lab::lab::BOTH;

/// Where `run.sh` unpacks the package.
const AGENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/ocf");

/// What stands for a power switch: kills the processes whose numbers are in a file, says when, and answers as ipmitool does. While there is a file
/// `broken` it answers nothing.
fn switch(bench: &Bench) -> PathBuf {
    let dir = bench.site.dir();
    let script = dir.join("switch.sh");
    let text = format!(
        "#!/bin/sh\ncd {}\necho \"$@\" >> calls\n[ -e broken ] && {{ echo 'no answer from the board' >&2; exit 1; }}\ncase \"$*\" in\n\
         *status*) cat power ;;\n*) for pid in $(cat pids); do kill -KILL \"$pid\" 2> /dev/null; done\necho 'Chassis Power is off' > power\n\
         date +%s%N > off ;;\nesac\n",
        dir.display()
    );
    executable(&script, &text);
    fs::write(dir.join("power"), "Chassis Power is on\n").unwrap();
    script
}

fn executable(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The agent as the package has it, unpacked and not installed.
fn agent(bench: &Bench) -> Option<PathBuf> {
    let (agent, library) = (format!("{AGENTS}/usr/sbin/fence_ipmilan"), format!("{AGENTS}/usr/share/fence"));
    let works = std::process::Command::new("/usr/bin/python3")
        .args(["-W", "ignore", &agent, "--help"])
        .env("PYTHONPATH", &library)
        .output();
    if !works.is_ok_and(|done| done.status.success()) {
        println!(
            "SKIPPED: fence-agents, python3-pexpect and python3-pycurl are not there (netns-tests/run.sh fetches them): a command instead"
        );
        return None;
    }
    let wrapper = bench.site.dir().join("fence_ipmilan");
    executable(&wrapper, &format!("#!/bin/sh\nPYTHONPATH={library} exec /usr/bin/python3 -W ignore {agent} \"$@\"\n"));
    Some(wrapper)
}

/// A service that must not run twice: it says since when it has run, and where, every 20 ms.
fn database(bench: &Bench, node: NodeId) -> String {
    let script = bench.site.node_dir(node).join("database.sh");
    let ran = bench.site.dir().join(format!("ran-{}", ["master1", "master2"][node.index()]));
    executable(&script, &format!("#!/bin/sh\nwhile :; do date +%s%N >> {}; sleep 0.02; done\n", ran.display()));
    script.display().to_string()
}

fn times(bench: &Bench, name: &str) -> Vec<u128> {
    let text = fs::read_to_string(bench.site.dir().join(name)).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Every process of a node: its daemon's, and its service's.
fn pids(bench: &Bench, node: NodeId) -> Vec<i32> {
    let dir = bench.site.node_dir(node).join("state/services");
    let records = fs::read_dir(dir).into_iter().flatten().flatten().filter_map(|entry| fs::read(entry.path()).ok());
    let records = records.filter_map(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
    let mut pids: Vec<i32> = records.filter_map(|record| Some(-i32::try_from(record["pid"].as_i64()?).unwrap())).collect();
    pids.push(i32::try_from(bench.daemons[node.index()].as_ref().unwrap().pid()).unwrap());
    pids
}

fn until(bench: &Bench, what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < end, "never {what}\n{}", bench.logs());
        thread::sleep(Duration::from_millis(20));
    }
}

trait With: Sized {
    fn with(self, key: &str, value: &str) -> Self;
    fn with_list(self, key: &str, value: &[&str]) -> Self;
    fn within(self, table: &str, key: &str, value: &str) -> Self;
}

impl With for Table {
    fn with(mut self, key: &str, value: &str) -> Table {
        self.insert(key.into(), value.into());
        self
    }

    fn with_list(mut self, key: &str, value: &[&str]) -> Table {
        self.insert(key.into(), Value::Array(value.iter().map(|word| Value::from(*word)).collect()));
        self
    }

    fn within(mut self, table: &str, key: &str, value: &str) -> Table {
        self[table].as_table_mut().unwrap().insert(key.into(), value.into());
        self
    }
}

#[test]
fn a_hung_owner_is_turned_off_before_its_service_starts_on_the_peer_and_nobody_takes_over_while_that_fails() {
    let Some(mut bench) = Bench::new() else { return };
    let switch = switch(&bench);
    let (device, here) = (switch.display().to_string(), agent(&bench));
    let fence = match &here {
        Some(agent) => toml::toml! {
            timeout = "10s"
            retries = 0
            parameters = { ip = "10.9.9.9", username = "u", password = "p", power_wait = 0, power_timeout = 5 }
        }
        .with("agent", &agent.display().to_string())
        .within("parameters", "ipmitool_path", &device),
        None => toml::toml! {
            timeout = "10s"
            retries = 0
        }
        .with_list("command", &[&device, "off"]),
    };
    for node in BOTH {
        let mut config: Table = fs::read_to_string(bench.site.config(node)).unwrap().parse().unwrap();
        config["nodes"]["master1"].as_table_mut().unwrap().insert("fence".into(), fence.clone().into());
        let database = Table::new().with_list("process", &[&database(&bench, node)]);
        config["groups"][0].as_table_mut().unwrap().insert("services".into(), Value::Array(vec![database.into()]));
        fs::write(bench.site.config(node), config.to_string()).unwrap();
    }
    BOTH.iter().for_each(|node| bench.start(*node));
    bench.serves(A);
    until(&bench, "the database runs", || times(&bench, "ran-master1").len() > 5);
    let tell = |node: NodeId, words: &[&str]| {
        let said = bench.site.ask(&bench.lab, node, words).unwrap();
        (said.status.success(), String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned())
    };
    let (done, said) = tell(B, &["fenced", "master1"]);
    assert!(!done && said.contains("master1 is heard: it is not off"), "{said}");
    let (done, said) = tell(B, &["fenced", "gateway"]);
    assert!(!done && said.contains("is not the peer's name, which is master1"), "{said}");
    assert_eq!(bench.view(B)["fencing"], "master1 can be fenced");
    assert!(bench.view(A)["fencing"].is_null(), "nobody said how master2 is turned off");

    // The device does not answer: nobody takes over, and it is said.
    let broken = bench.site.dir().join("broken");
    fs::write(&broken, "").unwrap();
    let write_pids = |bench: &Bench| {
        let all = pids(bench, A).iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        fs::write(bench.site.dir().join("pids"), all).unwrap();
    };
    write_pids(&bench);
    let daemon = Pid::from_raw(pids(&bench, A).pop().unwrap());
    kill(daemon, Signal::SIGSTOP).unwrap();
    bench.says(B, "master1 is being fenced: silent for");
    bench.says(B, "fencing of master1 failed");
    let view = bench.view(B);
    assert!(view["problems"].to_string().contains("fencing of master1 failed"), "{view:#}");
    assert!(view["groups"][0]["claim_open"].to_string().contains("the peer is not known to be off"), "{view:#}");
    thread::sleep(Duration::from_secs(2));
    assert!(bench.view(B)["groups"][0]["owner"].is_null(), "{}", bench.logs());
    assert!(times(&bench, "ran-master2").is_empty(), "the other database runs on");
    // It answers the next time.
    fs::remove_file(&broken).unwrap();
    // It is tried every half minute.
    until(&bench, "master2 serves", || bench.view(B)["groups"][0]["owner"] == "master2");
    until(&bench, "the database runs", || !times(&bench, "ran-master2").is_empty());
    let (off, last, first) =
        (times(&bench, "off")[0], *times(&bench, "ran-master1").last().unwrap(), times(&bench, "ran-master2")[0]);
    assert!(last <= off + 50_000_000 && off < first, "master1 ran until {last}, was off at {off}, master2 ran from {first}");
    bench.says(B, "and the peer is off");
    assert!(bench.view(B)["fencing"].as_str().unwrap().starts_with("master1 was fenced"));

    // It boots, takes part as ever, and what was shown is over.
    let _ = kill(daemon, Signal::SIGCONT);
    bench.start(A);
    bench.serves(A);
    until(&bench, "forgotten", || bench.view(B)["fencing"] == "master1 can be fenced");
    fs::write(&broken, "").unwrap();
    write_pids(&bench);
    let daemon = Pid::from_raw(pids(&bench, A).pop().unwrap());
    kill(daemon, Signal::SIGSTOP).unwrap();
    until(&bench, "failed again", || bench.view(B)["fencing"].as_str().is_some_and(|how| how.contains("failed")));
    // A person has pulled the plug.
    for pid in pids(&bench, A) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    let said = bench.site.ask(&bench.lab, B, &["fenced", "master1"]).unwrap();
    assert!(said.status.success(), "{said:?}");
    bench.serves(B);
    bench.one_owner("fencing");
}
