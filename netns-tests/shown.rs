//! What `status`, `check` and the log say is what is: services that another hand started, a recorder and a record that are lost, a first claim that is
//! no hand-over, a peer's restart.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "common/bench.rs"]
mod bench;
mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use bench::{A, B, Bench};
use nix::sys::signal::Signal;
use serde_json::Value;
use twinbeat::core::id::NodeId;
use twinbeat::lab::lab::{BOTH, node_name};

/// An init script whose service runs while there is a file; each node has its own.
fn script(dir: &Path) -> PathBuf {
    let path = dir.join("hand");
    let text = "#!/bin/sh\ncase $1 in start) touch \"$0.runs\";; stop) rm -f \"$0.runs\";; status) test -e \"$0.runs\" || exit 3;; esac\n";
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn by_hand(script: &Path, action: &str) {
    assert!(Command::new(script).arg(action).status().unwrap().success());
}

/// Asks until it is so.
fn until(bench: &Bench, node: NodeId, what: &str, so: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let seen = bench.view(node);
        if so(&seen) {
            return seen;
        }
        assert!(Instant::now() < end, "{what}: {seen:#}\n{}", bench.logs());
        thread::sleep(Duration::from_millis(50));
    }
}

fn problem(view: &Value, words: &str) -> bool {
    view["problems"].as_array().unwrap().iter().any(|problem| problem.as_str().unwrap().contains(words))
}

fn check(bench: &Bench, node: NodeId) -> String {
    let file = bench.site.config(node).display().to_string();
    let args = ["check", "--config", &file, "--node", node_name(node), "--offline"];
    String::from_utf8_lossy(&bench.site.ask(&bench.lab, node, &args).unwrap().stdout).into_owned()
}

#[test]
fn what_runs_on_a_standby_is_asked_and_what_is_lost_on_the_disk_is_named() {
    let Some(mut bench) = Bench::new() else { return };
    let scripts = BOTH.map(|node| script(&bench.site.node_dir(node)));
    for node in BOTH {
        let file = bench.site.config(node);
        let text = std::fs::read_to_string(&file).unwrap();
        let (before, after) = text.split_once("[[groups.services]]").expect("a service");
        let service = format!("[[groups.services]]\nlsb = \"{}\"\n\n", scripts[node.index()].display());
        std::fs::write(&file, format!("{before}{service}[[groups.services]]{after}")).unwrap();
        bench.start(node);
    }
    bench.serves(A);
    until(&bench, A, "both serve and stand by", |view| {
        view["groups"][0]["service"] == "running" && view["peer_state"] == "heard"
    });
    until(&bench, B, "nothing runs on the standby", |view| view["groups"][0]["service"] == "stopped");

    // Nobody had served: no hand-over. Nothing ran: nothing was stopped.
    let logs = bench.logs();
    assert!(!logs.contains("handed over") && !logs.contains("although this node does not own"), "{logs}");

    // Another hand starts it on the standby, and stops it again.
    by_hand(&scripts[B.index()], "start");
    let view = until(&bench, B, "it is seen", |view| problem(view, "hand runs here although this node does not own"));
    assert_eq!(view["groups"][0]["service"], "running by another hand: hand", "{view:#}");
    let here = view["groups"][0]["services_here"].as_array().unwrap();
    assert!(here.iter().any(|one| one["name"] == "hand" && one["state"] == "running" && one["warm"] == false), "{view:#}");
    by_hand(&scripts[B.index()], "stop");
    until(&bench, B, "it is gone", |view| !problem(view, "although this node does not own"));

    // The next life finds it, stops it, and says so.
    by_hand(&scripts[B.index()], "start");
    bench.daemons[B.index()].as_mut().unwrap().signal(Signal::SIGKILL);
    bench.start(B);
    bench.says(B, "hand ran although this node does not own: stopped");
    assert!(!scripts[B.index()].with_extension("runs").exists());

    // The peer's restart is one loss of touch and one return, not a line a link.
    let log = bench.site.log_tail(A, 1000);
    assert!(!log.contains("one-way"), "{log}");

    // The recorder's directory goes, and something else is in its place; the record goes as well.
    let state = bench.site.node_dir(A).join("state");
    std::fs::remove_dir_all(state.join("journal")).unwrap();
    std::fs::write(state.join("journal"), "in its place").unwrap();
    std::fs::remove_file(state.join("state.json")).unwrap();
    until(&bench, A, "the recorder is lost", |view| problem(view, "the flight recorder cannot write to"));
    let said = check(&bench, A);
    assert!(
        said.lines().any(|line| line.starts_with("WARN  journal") && line.contains("the flight recorder cannot write")),
        "{said}"
    );
    std::fs::remove_file(state.join("journal")).unwrap();
    bench.says(A, "the flight recorder writes again");
    assert!(!problem(&bench.view(A), "the flight recorder"));

    // The file is newer than the daemon, and the same in meaning.
    let file = bench.site.config(A);
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}# a word more\n")).unwrap();
    let notices = |view: &Value| view["notices"].to_string().contains("was changed since this daemon read it");
    assert!(notices(&bench.view(A)) && !notices(&bench.view(B)));
    std::fs::write(&file, text).unwrap();

    // A cold service: what clients saw ends with its start. The record is there again.
    let done = bench.site.ask(&bench.lab, A, &["standby"]).unwrap();
    assert!(done.status.success(), "{done:?}");
    bench.serves(B);
    bench.says(B, "the services run; clients saw");
    let log = bench.site.log_tail(B, 1000);
    let served = log.lines().find(|line| line.contains("SERVES") && line.contains("standby by command")).unwrap();
    assert!(served.contains("the address was away for") && !served.contains("clients saw"), "{served}");
    bench.says(A, "was removed by another hand: it is written anew");
    assert!(state.join("state.json").exists());
    bench.one_owner("all of it");
}
