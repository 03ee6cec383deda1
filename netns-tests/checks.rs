//! Checks of the service as clients see it, on the real kernel with a real nginx: dead, hung, answering 500, behind a firewall; and whether it
//! could start on the standby.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "common/bench.rs"]
mod bench;
mod common;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use bench::{A, B, Bench};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use twinbeat::core::id::NodeId;
use twinbeat::lab::lab::{BOTH, VIP};
use twinbeat::lab::probe::fetch;

const INTERVAL: Duration = Duration::from_millis(100);
const TIMEOUT: Duration = Duration::from_millis(200);
const FALL: u32 = 3;
/// What the issue of a fall may take until the page is back.
const MENDED: Duration = Duration::from_secs(1);
/// These machines are noisy.
const SLACK: Duration = Duration::from_millis(800);

/// A node's nginx.conf as it is on the disk.
fn conf(bench: &Bench, node: NodeId) -> PathBuf {
    let dir = bench.site.node_dir(node);
    let mut files = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path());
    files.find(|path| path.extension().is_some_and(|ending| ending == "conf")).expect("an nginx.conf")
}

fn change(bench: &Bench, node: NodeId, from: &str, to: &str) {
    let file = conf(bench, node);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(&file, text.replace(from, to)).unwrap();
}

/// nginx's master on a node: its process group is its own.
fn master(bench: &Bench, node: NodeId) -> i32 {
    let dir = bench.site.node_dir(node).join("state/services");
    let file = std::fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|e| e == "json"));
    let record: serde_json::Value = serde_json::from_slice(&std::fs::read(file.expect("a record")).unwrap()).unwrap();
    i32::try_from(record["pid"].as_i64().unwrap()).unwrap()
}

fn workers(master: i32) -> Vec<i32> {
    let text = std::fs::read_to_string(format!("/proc/{master}/task/{master}/children")).unwrap();
    text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

fn page(bench: &Bench) -> Option<String> {
    let from = SocketAddr::from((VIP, 80));
    bench.lab.client.run(|| Ok(fetch(from, Duration::from_millis(150)))).unwrap().map(|page| page.trim().to_owned())
}

/// How long the page is away from now on: it has to go first, unless it is back before that is seen; and whose it is then.
fn page_back(bench: &Bench, what: &str, went: bool) -> (Duration, String) {
    let begun = Instant::now();
    let mut gone = !went;
    let mut row = 0;
    let mut back = Duration::ZERO;
    loop {
        match page(bench) {
            Some(of) if gone => {
                if row == 0 {
                    back = begun.elapsed();
                }
                row += 1;
                if row == 3 {
                    println!("{what}: the page is back after {back:?}, from {of}");
                    return (back, of);
                }
            }
            Some(_) => {}
            None => (gone, row) = (true, 0),
        }
        assert!(begun.elapsed() < Duration::from_secs(40), "{what}: the page stays away\n{}", bench.logs());
        thread::sleep(Duration::from_millis(10));
    }
}

fn ready(bench: &Bench, node: NodeId) -> (bool, String) {
    let view = bench.view(node);
    let ready = &view["groups"][0]["takeover_ready"];
    (ready["ready"].as_bool().unwrap(), ready["reasons"].to_string())
}

fn becomes(what: &str, limit: Duration, mut holds: impl FnMut() -> Result<(), String>) {
    let until = Instant::now() + limit;
    while let Err(is) = holds() {
        assert!(Instant::now() < until, "never {what}: {is}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Somebody pauses the group on the other node and works on nginx: nothing is restarted or moved until the pause ends, here or there; a new life
/// of the daemon knows of it.
fn paused(bench: &Bench) {
    let tell = |node: NodeId, words: &[&str]| {
        let said = bench.site.ask(&bench.lab, node, words).unwrap();
        (said.status.success(), String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned())
    };
    thread::sleep(Duration::from_millis(1500));
    let begun = bench.probe.now();
    let (done, said) = tell(B, &["pause", "--reason", "new certificates"]);
    assert!(done && said.contains("paused here and on master1"), "{said}");
    let (done, said) = tell(B, &["takeover"]);
    assert!(!done && said.contains("is paused (new certificates)"), "{said}");
    killpg(Pid::from_raw(master(bench, A)), Signal::SIGKILL).unwrap();
    bench.says(A, "left alone in the pause");
    let (done, said) = tell(A, &["reload"]);
    assert!(done, "{said}");
    let life = bench.view(A)["incarnation"].as_u64();
    becomes("known to the next life", Duration::from_secs(10), || match bench.view(A)["groups"][0].clone() {
        group
            if group["left_alone"].is_string()
                && group["paused"].is_string()
                && bench.view(A)["incarnation"].as_u64() >= life =>
        {
            Ok(())
        }
        group => Err(group.to_string()),
    });
    thread::sleep(Duration::from_secs(2));
    assert_eq!(page(bench), None, "nobody has started it");
    let view = bench.view(A);
    assert!(view["problems"].to_string().contains("left alone in the pause, until `twinbeat resume`"), "{view}");
    assert_eq!(view["groups"][0]["owner"], "master1");
    let (done, said) = tell(B, &["resume"]);
    assert!(done && said.contains("pause ended"), "{said}");
    let (_, of) = page_back(bench, "after a pause", false);
    assert_eq!(of, "master1", "started again on the spot, as a service that falls now");
    assert_eq!(bench.probe.outcome(begun, bench.probe.now()).moves(), 0, "{}", bench.logs());
    assert!(bench.view(A)["groups"][0]["paused"].is_null() && bench.view(A)["groups"][0]["left_alone"].is_null());
}

#[test]
fn a_service_that_does_not_serve_is_made_anew_or_moved_and_one_that_could_not_start_is_known_beforehand() {
    let Some(mut bench) = Bench::new() else { return };
    if !bench.site.has_nginx() {
        println!("SKIPPED: nginx is not installed");
        return;
    }
    let tls = concat!(env!("CARGO_MANIFEST_DIR"), "/netns-tests/inputs/tls");
    let port = 8443;
    for node in BOTH {
        change(&bench, node, "master_process off;", "worker_processes 2;");
        let secure = format!(
            "listen {port} ssl;\n    ssl_certificate {tls}/cert.pem;\n    ssl_certificate_key {tls}/key.pem;\n    location /"
        );
        change(&bench, node, "location /", &secure);
        let here = bench.site.dir().join("here");
        let file = here.join(conf(&bench, node).file_name().unwrap());
        let test = format!("\"nginx\", \"-t\", \"-q\", \"-c\", \"{}\", \"-p\", \"{}\"", file.display(), here.display());
        let every = "interval = \"100ms\", timeout = \"200ms\", fall = 3";
        let more = format!(
            "warm = true\nvalidate = [{test}]\nrestart_window = \"1s\"\ncheck = [{{ http = \"http://{VIP}/\", status = 200, contains = \
             \"master\", {every} }}, {{ http = \"https://127.0.0.1:{port}/\", name = \"www.example.org\", {every} }}, {{ tcp = \"localhost:{port}\" }}]"
        );
        bench.rewrite(node, "warm = true", &more);
    }

    // The standby's nginx.conf is broken: known on both nodes before anybody needs it.
    change(&bench, B, "worker_processes 2;", "worker_processes two;");
    BOTH.iter().for_each(|node| bench.start(*node));
    bench.serves(A);
    becomes("not ready", Duration::from_secs(15), || match BOTH.map(|node| ready(&bench, node)) {
        [(false, a), (false, b)]
            if a.contains("master2 has a service that could not start") && b.contains("worker_processes") =>
        {
            Ok(())
        }
        other => Err(format!("{other:?}")),
    });
    let refused = bench.site.ask(&bench.lab, B, &["takeover"]).unwrap();
    assert!(!refused.status.success(), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("worker_processes"), "{refused:?}");
    change(&bench, B, "worker_processes two;", "worker_processes 2;");
    bench.start(B);
    becomes("ready", Duration::from_secs(15), || match ready(&bench, A) {
        (true, _) => Ok(()),
        (false, why) => Err(why),
    });
    let check = bench.view(A)["groups"][0]["services_here"][0]["check"].clone();
    assert_eq!(check["well"], true, "{check}");
    assert!(check["text"].as_str().unwrap().matches("HTTP 200").count() == 2, "{check}");

    let asked = INTERVAL.max(TIMEOUT);
    let fallen = asked * FALL + INTERVAL;
    let begun = bench.probe.now();
    let pid = master(&bench, A);
    for pid in workers(pid) {
        kill(Pid::from_raw(pid), Signal::SIGSTOP).unwrap();
    }
    let (away, of) = page_back(&bench, "workers hung", true);
    assert_eq!(of, "master1");
    assert!(away < fallen + MENDED + SLACK, "{away:?}");
    bench.says(A, "is not well: check http");

    thread::sleep(Duration::from_millis(1500));
    killpg(Pid::from_raw(master(&bench, A)), Signal::SIGSTOP).unwrap();
    let (away, of) = page_back(&bench, "master and workers hung", true);
    assert_eq!(of, "master1");
    assert!(away < fallen + MENDED + SLACK, "{away:?}");

    thread::sleep(Duration::from_millis(1500));
    killpg(Pid::from_raw(master(&bench, A)), Signal::SIGKILL).unwrap();
    let (away, of) = page_back(&bench, "killed", false);
    assert_eq!(of, "master1");
    assert!(away < fallen + MENDED + SLACK, "{away:?}");
    assert_eq!(bench.probe.outcome(begun, bench.probe.now()).moves(), 0, "restarts on the spot move nothing\n{}", bench.logs());

    paused(&bench);

    // What a restart does not mend is moved.
    thread::sleep(Duration::from_millis(1500));
    change(&bench, A, "return 200", "return 500");
    let pid = master(&bench, A);
    kill(Pid::from_raw(pid), Signal::SIGHUP).unwrap();
    let (away, of) = page_back(&bench, "answers 500", true);
    assert_eq!(of, "master2");
    // A fall, and behind the restart as long as another one takes.
    assert!(away < fallen * 2 + MENDED + SLACK, "{away:?}");
    bench.says(A, "HTTP 500 Internal Server Error");
    change(&bench, A, "return 500", "return 200");
    // A failure that is over counts for half a minute, that it does not go back and forth.
    becomes("fit again", Duration::from_secs(60), || {
        match bench.view(B)["groups"][0]["takeover_ready"]["planned"]["ready"].as_bool() {
            Some(true) => Ok(()),
            _ => Err(ready(&bench, B).1),
        }
    });
    let still = bench.site.ask(&bench.lab, A, &["takeover"]).unwrap();
    assert!(still.status.success(), "{still:?}\n{}", bench.logs());
    bench.serves(A);
    thread::sleep(Duration::from_millis(1500));
    let text = "table inet firewall { chain in { type filter hook input priority -10; tcp dport 80 drop; }; }";
    let file = bench.site.dir().join("firewall.nft");
    std::fs::write(&file, text).unwrap();
    bench.run(bench.lab.node(A), &format!("nft -f {}", file.display()));
    let (away, of) = page_back(&bench, "its port firewalled", true);
    assert_eq!(of, "master2");
    assert!(away < fallen * 2 + MENDED + SLACK, "{away:?}");
    bench.one_owner("checks");
    let why = bench.site.ask(&bench.lab, A, &["why"]).unwrap();
    assert!(String::from_utf8_lossy(&why.stdout).contains("no answer within 200ms"), "{}", String::from_utf8_lossy(&why.stdout));
}
