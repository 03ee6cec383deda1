//! `twinbeat reload` on the real kernel: what is taken up in place moves nothing and no client notices; what cannot be is refused with the
//! way that can; keys are rolled while both nodes hear each other.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "common/bench.rs"]
mod bench;
mod common;
#[path = "reload/manager.rs"]
mod manager;

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use bench::{A, B, Bench};
use manager::Manager;
use nix::sys::signal::Signal;
use twinbeat::config::keys;
use twinbeat::core::id::NodeId;
use twinbeat::lab::lab::{BOTH, node_name};

/// The lab's lease, and what the probe may miss of an answer while a daemon begins on a busy machine: less than a renewal's third.
const LEASE: Duration = Duration::from_millis(320);

const LAST_VIP: &str = "label = \"0\"\nlink = \"lan\"\n";
const ADDED: &str = "label = \"0\"\nlink = \"lan\"\n\n[[groups.vips]]\naddress = \"192.168.42.20/25\"\nlink = \"lan\"\n";

impl Bench {
    fn pair(&mut self) {
        BOTH.iter().for_each(|node| self.start(*node));
        self.serves(A);
        self.healthy();
    }

    /// Both nodes would take over, and nothing is wrong.
    fn healthy(&self) {
        let until = Instant::now() + Duration::from_secs(20);
        while !BOTH.iter().all(|node| self.view(*node)["health"] == "healthy") {
            assert!(Instant::now() < until, "{:#}\n{:#}\n{}", self.view(A), self.view(B), self.logs());
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// The exit code and all that is said.
    fn reload(&self, node: NodeId, more: &[&str]) -> (i32, String) {
        let done = self.site.ask(&self.lab, node, &[&["reload"], more].concat()).unwrap();
        let said = [done.stdout, done.stderr].concat();
        (done.status.code().unwrap(), String::from_utf8_lossy(&said).into_owned())
    }

    fn taken_up(&self, node: NodeId) -> String {
        let (code, said) = self.reload(node, &[]);
        assert!(code == 0 && said.contains("taken up"), "{code}: {said}\n{}", self.logs());
        said
    }

    fn refused(&self, node: NodeId, words: &[&str]) {
        let lives = self.view(node)["incarnation"].clone();
        for more in [&["--plan"][..], &[]] {
            let (code, said) = self.reload(node, more);
            assert_eq!(code, 3, "{said}");
            assert!(words.iter().all(|word| said.contains(word)), "{said}");
        }
        assert_eq!(self.view(node)["incarnation"], lives);
    }

    fn unmoved(&self, from: Duration) {
        let seen = self.probe.outcome(from, self.probe.now());
        assert_eq!((seen.moves(), seen.two_owners), (0, Duration::ZERO), "{seen:#?}\n{}", self.logs());
        assert!(seen.gap < LEASE, "{seen:#?}\n{}", self.logs());
    }

    fn pid(&self, node: NodeId) -> u32 {
        self.daemons[node.index()].as_ref().unwrap().pid()
    }

    fn children(&self, node: NodeId) -> Vec<(u32, char)> {
        let pid = self.pid(node);
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let of = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        let all: String = threads.map(|thread| of(thread.unwrap()) + " ").collect();
        let state = |pid: &str| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            Some((pid.parse().ok()?, stat.rsplit(')').next()?.trim().chars().next()?))
        };
        all.split_whitespace().filter_map(state).collect()
    }

    fn open_files(&self, node: NodeId) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid(node))).unwrap().count()
    }
}

#[test]
fn a_changed_file_is_taken_up_by_both_nodes_in_place_and_nothing_moves() {
    let Some(mut bench) = Bench::new() else { return };
    bench.pair();
    let from = bench.probe.now();
    let pids = BOTH.map(|node| bench.pid(node));
    let served: Vec<u32> = bench.children(A).into_iter().map(|(pid, _)| pid).collect();
    assert!(!served.is_empty(), "the lab's service is a child of the daemon");

    // Nothing differs: nothing is done.
    let life = bench.view(A)["incarnation"].as_u64().unwrap();
    let (code, said) = bench.reload(A, &[]);
    assert!(code == 0 && said.contains("nothing differs"), "{code}: {said}");
    assert_eq!(bench.view(A)["incarnation"].as_u64(), Some(life));

    // An address more, a longer lease: the standby first.
    for node in BOTH {
        bench.rewrite(node, LAST_VIP, ADDED);
        bench.rewrite(node, "lease = \"320ms\"", "lease = \"400ms\"");
        bench.rewrite(node, "dead = \"1s\"", "dead = \"1500ms\"");
    }
    let (code, said) = bench.reload(B, &["--plan"]);
    assert!(code == 0 && said.contains("timing.lease: \"320ms\" -> \"400ms\""), "{code}: {said}");
    assert!(said.contains("groups.web.vips.192.168.42.20/25: new"), "{said}");
    bench.taken_up(B);
    let until = Instant::now() + Duration::from_secs(10);
    while bench.reload(A, &["--plan"]).0 != 0 {
        assert!(Instant::now() < until, "{:?}\n{}", bench.reload(A, &["--plan"]), bench.logs());
        thread::sleep(Duration::from_millis(50));
    }
    bench.taken_up(A);
    bench.healthy();
    bench.unmoved(from);
    assert!(bench.view(A)["incarnation"].as_u64().unwrap() > life);
    let open = bench.run(bench.lab.node(A), "nft list ruleset");
    assert!(open.contains("192.168.42.20 timeout"), "{open}");
    // Seen from outside: the responder on every address of a node answers with the node's name.
    let answer = bench.lab.lanclient.run(|| Ok(answer_of("192.168.42.20:7007"))).unwrap();
    assert!(answer.contains(bench.lab.name(A)), "{answer:?}");

    // An address less, and many reloads: the same process, the same service, nothing left over.
    let files = bench.open_files(A);
    for node in [B, A] {
        bench.rewrite(node, ADDED, LAST_VIP);
        bench.taken_up(node);
    }
    for level in ["debug", "info", "debug"] {
        let old = if level == "debug" { "info" } else { "debug" };
        let text = std::fs::read_to_string(bench.site.config(A)).unwrap();
        let text = if text.contains("[log]") {
            text.replace(&format!("level = \"{old}\""), &format!("level = \"{level}\""))
        } else {
            format!("{text}\n[log]\nlevel = \"{level}\"\n")
        };
        std::fs::write(bench.site.config(A), text).unwrap();
        let (code, said) = bench.reload(A, &[]);
        assert!(code == 0, "{said}\n{}", bench.logs());
    }
    bench.healthy();
    bench.unmoved(from);
    assert!(!bench.run(bench.lab.node(A), "ip addr").contains("192.168.42.20"), "{}", bench.logs());
    assert_eq!(BOTH.map(|node| bench.pid(node)), pids);
    let now = bench.children(A);
    assert!(served.iter().all(|pid| now.iter().any(|(other, state)| other == pid && *state != 'Z')), "{served:?} {now:?}");
    assert!(bench.open_files(A) <= files, "{} files were open, {} are now", files, bench.open_files(A));

    // A service that ends after a reload is noticed, started again, and leaves no zombie.
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(served[0].cast_signed()), Signal::SIGKILL).unwrap();
    bench.says(A, "runs again");
    assert!(bench.children(A).iter().all(|(_, state)| *state != 'Z'), "{:?}", bench.children(A));
    bench.one_owner("reloads");
}

#[test]
fn what_cannot_be_taken_up_in_place_is_refused_with_the_way_that_can_and_nothing_changes() {
    let Some(mut bench) = Bench::new() else { return };
    bench.pair();
    let from = bench.probe.now();
    let whole = BOTH.map(|node| std::fs::read_to_string(bench.site.config(node)).unwrap());
    let restore = |bench: &Bench, node: NodeId| std::fs::write(bench.site.config(node), &whole[node.index()]).unwrap();

    bench.rewrite(A, "cluster = \"drill\"", "cluster = \"other\"");
    bench.refused(A, &["the cluster's name", "both daemons down, then up"]);
    restore(&bench, A);

    // The owner first: its peer's file may have the address in another group.
    bench.rewrite(A, LAST_VIP, ADDED);
    bench.refused(A, &["192.168.42.20 of group web", "reload master2 first"]);

    // A third machine has it.
    bench.rewrite(B, LAST_VIP, ADDED);
    bench.run(&bench.lab.lanclient, "ip addr add 192.168.42.20/25 dev eth0");
    bench.taken_up(B);
    thread::sleep(Duration::from_millis(500));
    let (code, said) = bench.reload(A, &[]);
    assert!(code == 3 && said.contains("answers for 192.168.42.20"), "{code}: {said}\n{}", bench.logs());
    bench.run(&bench.lab.lanclient, "ip addr del 192.168.42.20/25 dev eth0");
    bench.taken_up(A);

    // The file cannot be used: by the command, and by the signal, whose answer nobody reads.
    bench.rewrite(A, "dead = ", "deed = ");
    let (code, said) = bench.reload(A, &[]);
    assert!(code == 1 && said.contains("deed") && said.contains("master1.toml"), "{code}: {said}");
    assert!(bench.daemons[A.index()].as_mut().unwrap().signal(Signal::SIGHUP));
    bench.says(A, "the changed configuration is not in force");
    let problems = bench.view(A)["problems"].to_string();
    assert!(problems.contains("the changed configuration is not in force") && problems.contains("deed"), "{problems}");
    // Mended, the signal takes up what differs, and the problem is over.
    bench.rewrite(A, "deed = ", "dead = ");
    let life = bench.view(A)["incarnation"].as_u64().unwrap();
    let text = std::fs::read_to_string(bench.site.config(A)).unwrap();
    std::fs::write(bench.site.config(A), format!("{text}\n[journal]\nkeep = \"8MiB\"\n")).unwrap();
    assert!(bench.daemons[A.index()].as_mut().unwrap().signal(Signal::SIGHUP));
    let until = Instant::now() + Duration::from_secs(10);
    while bench.view(A)["incarnation"].as_u64().is_none_or(|now| now <= life) {
        assert!(Instant::now() < until, "{}", bench.logs());
        thread::sleep(Duration::from_millis(50));
    }
    bench.healthy();
    // The log files alone.
    assert!(bench.daemons[A.index()].as_mut().unwrap().signal(Signal::SIGUSR1));
    thread::sleep(Duration::from_millis(200));
    assert!(bench.daemons[A.index()].as_mut().unwrap().running(), "{}", bench.logs());
    bench.unmoved(from);

    // Without its peer an owner is given no address more.
    bench.daemons[B.index()] = None;
    bench.rewrite(A, "192.168.42.20/25", "192.168.42.21/25");
    thread::sleep(Duration::from_millis(1500));
    bench.refused(A, &["192.168.42.21 of group web", "master2 is not heard"]);
    bench.one_owner("refused reloads");
}

#[test]
fn keys_are_rolled_while_both_nodes_hear_each_other() {
    let Some(mut bench) = Bench::new() else { return };
    bench.pair();
    let from = bench.probe.now();
    let reloads = |bench: &Bench| {
        for node in [B, A] {
            bench.taken_up(node);
        }
        bench.healthy();
    };
    for rolled in BOTH {
        let file = bench.site.config(rolled).with_file_name(format!("{}.key", node_name(rolled)));
        let next = file.with_extension("next");
        let new = keys::public_text(&keys::generate(&next).unwrap());
        let line = format!("public_key = \"{}\"\n", public_line(&bench.site.config(rolled), node_name(rolled)));
        // Taken away too early it would not be known.
        for node in BOTH {
            bench.rewrite(node, &line, &format!("public_key = \"{new}\"\n"));
        }
        let other = if rolled == A { B } else { A };
        bench.refused(other, &["the key of", "next_public_key first"]);
        for node in BOTH {
            bench.rewrite(node, &format!("public_key = \"{new}\"\n"), &format!("{line}next_public_key = \"{new}\"\n"));
        }
        reloads(&bench);
        std::fs::rename(&next, &file).unwrap();
        let said = bench.taken_up(rolled);
        assert!(said.contains("private key: another one"), "{said}");
        bench.healthy();
        for node in BOTH {
            bench.rewrite(node, &format!("{line}next_public_key = \"{new}\"\n"), &format!("public_key = \"{new}\"\n"));
        }
        reloads(&bench);
    }
    for node in BOTH {
        let log = bench.site.log_tail(node, 4000);
        assert!(!log.contains("suspected") && !log.contains("is silent"), "{log}");
    }
    bench.unmoved(from);
    bench.one_owner("keys");
}

#[test]
fn a_service_manager_is_told_when_a_reload_was_taken_and_when_it_is_over_however_it_ends() {
    let manager = Manager::new(BOTH.map(node_name));
    let Some(mut bench) = Bench::of(&manager.program()) else { return };
    bench.pair();
    let from = bench.probe.now();
    let a = A.index();
    let has = |all: &[Vec<String>], word: &str| all.iter().flatten().any(|line| line.starts_with(word));
    // A start ends as a reload does: nothing is left under way.
    let start = manager.rest(a);
    let last = start.iter().rev().find(|said| has(&[said.to_vec()], "READY") || has(&[said.to_vec()], "RELOADING"));
    assert!(last.is_some_and(|said| said.contains(&"READY=1".to_owned())), "{start:?}");
    let life = |bench: &Bench| bench.view(A)["incarnation"].as_u64().unwrap();
    let hang_up = |bench: &mut Bench| {
        let asked = Manager::now();
        assert!(bench.daemons[A.index()].as_mut().unwrap().signal(Signal::SIGHUP));
        asked
    };

    // A plan is no reload.
    let text = std::fs::read_to_string(bench.site.config(A)).unwrap();
    std::fs::write(bench.site.config(A), format!("{text}\n[journal]\nkeep = \"8MiB\"\n")).unwrap();
    assert_eq!(bench.reload(A, &["--plan"]).0, 0);
    let said = manager.rest(a);
    assert!(!has(&said, "RELOADING") && !has(&said, "READY"), "{said:?}");

    // By the signal: when it is over, the changed file is in force.
    let before = life(&bench);
    let asked = hang_up(&mut bench);
    manager.over(a, asked);
    assert!(life(&bench) > before);
    // Nothing differs; by the signal and by the command.
    let asked = hang_up(&mut bench);
    let said = manager.over(a, asked);
    assert!(!has(&said, "STATUS=the reload was refused"), "{said:?}");
    let asked = Manager::now();
    assert_eq!(bench.reload(A, &[]).0, 0);
    manager.over(a, asked);
    // By the command, taken up.
    bench.rewrite(A, "\"8MiB\"", "\"9MiB\"");
    let asked = Manager::now();
    bench.taken_up(A);
    manager.over(a, asked);

    // A file that cannot be used, and one that cannot be taken up in place: over all the same, and why is said.
    let whole = std::fs::read_to_string(bench.site.config(A)).unwrap();
    for (wrong, word) in
        [(whole.replace("dead = ", "deed = "), "deed"), (whole.replace("\"drill\"", "\"other\""), "the cluster's name")]
    {
        std::fs::write(bench.site.config(A), wrong).unwrap();
        let before = life(&bench);
        let asked = hang_up(&mut bench);
        let said = manager.over(a, asked);
        let status = said.iter().flatten().find_map(|line| line.strip_prefix("STATUS=the reload was refused: "));
        assert!(status.is_some_and(|status| status.contains(word)), "{said:?}");
        assert!(bench.view(A)["problems"].to_string().contains(word), "{}", bench.view(A)["problems"]);
        let asked = Manager::now();
        assert_ne!(bench.reload(A, &[]).0, 0);
        manager.over(a, asked);
        assert_eq!(life(&bench), before);
    }
    std::fs::write(bench.site.config(A), &whole).unwrap();

    // Changed once more while a reload is under way, and asked again: what was written last is in force when the last one is over; also where what was
    // written before it is refused.
    for round in 0..6 {
        let mut asked = 0;
        for keep in [20 + round, 30 + round, 40 + round] {
            let text = whole.replace("\"9MiB\"", &format!("\"{keep}MiB\""));
            let text = if round % 2 == 1 && keep < 40 { text.replace("\"drill\"", "\"other\"") } else { text };
            std::fs::write(bench.site.config(A), text).unwrap();
            asked = hang_up(&mut bench);
            thread::sleep(Duration::from_millis(3 * round));
        }
        manager.over(a, asked);
        let (code, said) = bench.reload(A, &["--plan"]);
        assert!(code == 0 && said.contains("nothing differs"), "round {round}: {code}: {said}\n{}", bench.logs());
        manager.rest(a);
    }
    std::fs::copy(bench.site.config(A), bench.site.config(B)).unwrap();
    bench.taken_up(B);
    bench.healthy();
    bench.unmoved(from);
    bench.one_owner("reloads that a manager waits for");
}

/// What a client of that address is answered.
fn answer_of(address: &str) -> String {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut answer = [0; 512];
    for _ in 0..25 {
        let _ = socket.send_to(&[0; 16], address);
        if let Ok(length) = socket.recv(&mut answer) {
            return String::from_utf8_lossy(&answer[..length]).into_owned();
        }
    }
    String::new()
}

/// What stands behind `public_key` in the node's table.
fn public_line(file: &Path, node: &str) -> String {
    let text: toml::Table = std::fs::read_to_string(file).unwrap().parse().unwrap();
    text["nodes"][node]["public_key"].as_str().unwrap().to_owned()
}
