//! How late a thread wakes, by scheduling policy, while the machine is busy and while a CPU sits in a long kernel section. Figures for one
//! machine and kernel, no judgement: run it alone, as root, on a machine that does nothing else.
//!
//! `cargo bench --bench realtime -- [SECONDS] [LOAD]` prints a table: policy by load, the longest and the 99th percentile of the lateness of a wake-up
//! every 10 ms, as the decision thread's, and the same of a second thread beside it. The policies are set from outside by chrt(1), nice(1) and
//! taskset(1); the loads are eight busy loops, and `nft -f` with 400,000 elements in a network namespace of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PERIOD: Duration = Duration::from_millis(10);
const ELEMENTS: usize = 400_000;
/// Each policy: its name, and what the measuring thread is started with.
const POLICIES: [(&str, &[&str]); 9] = [
    ("other", &[]),
    ("other, nice -20", &["nice", "-n", "-20"]),
    ("other, nice -20, own session", &["setsid", "-w", "nice", "-n", "-20"]),
    ("rr 1", &["chrt", "-r", "1"]),
    ("fifo 1", &["chrt", "-f", "1"]),
    ("fifo 50", &["chrt", "-f", "50"]),
    ("rr 1, one CPU", &["taskset", "-c", "0", "chrt", "-r", "1"]),
    ("rr 1, a thread on each CPU", &["chrt", "-r", "1", "each"]),
    ("other, -20, a thread on each", &["nice", "-n", "-20", "each"]),
];

/// Ends its children, whatever becomes of this process's plans.
struct Load(Vec<Child>, Option<String>);

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Some(namespace) = &self.1 {
            let _ = Command::new("ip").args(["netns", "del", namespace]).status();
        }
    }
}

fn busy() -> Load {
    let spin = || Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("sh");
    Load((0..8).map(|_| spin()).collect(), None)
}

/// A set that is loaded again and again, in a namespace where no daemon is.
fn section() -> Option<Load> {
    let namespace = format!("rtbench{}", std::process::id());
    let made = Command::new("ip").args(["netns", "add", &namespace]).status().is_ok_and(|s| s.success());
    let mut load = Load(Vec::new(), made.then(|| namespace.clone()));
    let elements: Vec<String> = (0..ELEMENTS).map(|n| format!("10.{}.{}.{}", n >> 16 & 255, n >> 8 & 255, n & 255)).collect();
    let rules =
        format!("flush ruleset\ntable ip t {{\nset s {{\ntype ipv4_addr\nelements = {{ {} }}\n}}\n}}\n", elements.join(","));
    let file = std::env::temp_dir().join(format!("{namespace}.nft"));
    std::fs::write(&file, rules).ok()?;
    // Whether it is taken, and how long it takes when nothing else runs: without this a refused file would be no load at all.
    let began = Instant::now();
    let loaded = Command::new("ip").args(["netns", "exec", &namespace, "nft", "-f"]).arg(&file).status();
    if !loaded.is_ok_and(|status| status.success()) {
        return None;
    }
    println!("one nft -f takes {:.1?}", began.elapsed());
    let script = format!("while :; do ip netns exec {namespace} nft -f {}; done", file.display());
    load.0.push(Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).spawn().ok()?);
    made.then_some(load)
}

/// In the child: wakes every period and prints how late it was at the worst, and at the 99th percentile, in microseconds.
fn measure(time: Duration) {
    let begin = Instant::now();
    let mut late = Vec::new();
    let mut due = begin;
    while begin.elapsed() < time {
        due += PERIOD;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let now = Instant::now();
        late.push(now.saturating_duration_since(due).as_micros());
        due = due.max(now - PERIOD);
    }
    late.sort_unstable();
    println!("{} {}", late.last().unwrap(), late[late.len() * 99 / 100]);
}

fn run(policy: &[&str], seconds: u64) -> String {
    let own = std::env::current_exe().unwrap();
    let each = policy.last() == Some(&"each");
    let policy = if each { &policy[..policy.len() - 1] } else { policy };
    let start = |pin: Option<usize>| {
        let pin = pin.map(|cpu| vec!["taskset".to_owned(), "-c".to_owned(), cpu.to_string()]).unwrap_or_default();
        let mut words = pin.into_iter().chain(policy.iter().map(|w| (*w).to_owned())).chain([own.display().to_string()]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words).args(["--measure", &seconds.to_string()]).stdout(Stdio::piped());
        command.spawn()
    };
    // Of two threads the sooner one would send the heartbeat: the better figure of the two counts for the pair of them.
    let children: Vec<_> = if each { (0..2).map(|cpu| start(Some(cpu))).collect() } else { vec![start(None)] };
    let said = children.into_iter().map(|child| match child.and_then(Child::wait_with_output) {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        _ => "not permitted".into(),
    });
    said.collect::<Vec<_>>().join(" | ")
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    if let Some(at) = words.iter().position(|word| word == "--measure") {
        return measure(Duration::from_secs(words[at + 1].parse().unwrap()));
    }
    let seconds = words.iter().find_map(|word| word.parse().ok()).unwrap_or(20);
    let only = words.iter().skip(1).find(|word| !word.starts_with('-') && word.parse::<u64>().is_err());
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load before: {}; lateness in us: worst, 99th percentile", load.trim());
    for (what, loops, long) in [
        ("idle", false, false),
        ("8 busy loops", true, false),
        ("nft -f with 400,000 elements", false, true),
        ("nft -f and 8 busy loops", true, true),
    ] {
        if only.as_ref().is_some_and(|only| !what.contains(only.as_str())) {
            continue;
        }
        let _busy = loops.then(busy);
        let _section = if long {
            let Some(load) = section() else {
                println!("{what}: SKIPPED: needs root, ip and nft");
                continue;
            };
            Some(load)
        } else {
            None
        };
        for (policy, words) in POLICIES {
            println!("{what:30} {policy:28} {}", run(words, seconds));
        }
    }
}
