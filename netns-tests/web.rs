//! `[metrics]` of real daemons: who serves is what `/health` says, before and after a move; the figures move with it; and an address that is
//! not there keeps the daemon from nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "common/bench.rs"]
mod bench;
mod common;
#[path = "common/schema.rs"]
mod json_schema;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use bench::{A, B, Bench};
use nix::sys::signal::Signal;
use serde_json::Value;
use twinbeat::core::id::NodeId;

/// Where B listens, and later A.
const AT: &str = "127.0.0.1:9469";

fn listen(bench: &Bench, node: NodeId, at: &str) {
    let file = bench.site.config(node);
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text.split("\n[metrics]").next().unwrap();
    std::fs::write(&file, format!("{text}\n[metrics]\nlisten = \"{at}\"\n")).unwrap();
}

fn socket(bench: &Bench) -> PathBuf {
    bench.site.node_dir(A).join("metrics.sock")
}

/// Status and body; none while nobody listens.
fn get(bench: &Bench, node: NodeId, at: &str, path: &str) -> Option<(u16, String)> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nAccept: text/plain\r\n\r\n");
    let mut answer = String::new();
    match at.strip_prefix("unix:") {
        Some(file) => {
            let mut stream = UnixStream::connect(file).ok()?;
            stream.write_all(request.as_bytes()).ok()?;
            stream.read_to_string(&mut answer).ok()?;
        }
        None => {
            let mut stream = bench.lab.node(node).run(|| Ok(TcpStream::connect(at)?)).ok()?;
            stream.write_all(request.as_bytes()).ok()?;
            stream.read_to_string(&mut answer).ok()?;
        }
    }
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.get(9..12)?.parse().ok()?, body.to_owned()))
}

fn until(bench: &Bench, what: &str, mut so: impl FnMut() -> Option<bool>) {
    let end = Instant::now() + Duration::from_secs(20);
    while so() != Some(true) {
        assert!(Instant::now() < end, "{what}\n{}", bench.logs());
        thread::sleep(Duration::from_millis(20));
    }
}

/// The value of a series, by the beginning of its line.
fn figure(text: &str, series: &str) -> f64 {
    let line = text.lines().find(|line| line.starts_with(series)).unwrap_or_else(|| panic!("no {series} in\n{text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// By Prometheus' own tool, where it is installed.
fn lint(text: &str) {
    let lint = Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut lint) = lint else { return };
    lint.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let done = lint.wait_with_output().unwrap();
    assert!(done.status.success() && done.stderr.is_empty(), "{}\n{text}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn health_follows_the_address_and_metrics_tell_the_move() {
    let Some(mut bench) = Bench::new() else { return };
    let here = format!("unix:{}", socket(&bench).display());
    listen(&bench, A, &here);
    listen(&bench, B, AT);
    bench.start(A);
    bench.start(B);
    bench.serves(A);
    let health = |bench: &Bench, node: NodeId, path: &str| get(bench, node, if node == A { &here } else { AT }, path);
    until(&bench, "A is healthy", || Some(health(&bench, A, "/health")?.0 == 200));
    until(&bench, "B stands by", || {
        let (code, body) = health(&bench, B, "/health/web")?;
        Some(code == 503 && body.contains("stands by; master1 serves"))
    });
    let schema = twinbeat::control::schema::schema();
    until(&bench, "a takeover would work", || {
        let (code, text) = get(&bench, B, AT, "/status.json")?;
        let status: Value = serde_json::from_str(&text).ok()?;
        // Whatever it says while it starts: the published schema knows each field of it.
        json_schema::status(&schema, &status).unwrap_or_else(|wrong| panic!("{wrong}\n{text}"));
        Some(code == 200 && status["groups"][0]["takeover_ready"]["ready"] == true)
    });

    let done = bench.site.ask(&bench.lab, B, &["takeover"]).unwrap();
    assert!(done.status.success(), "{}\n{}", String::from_utf8_lossy(&done.stderr), bench.logs());
    until(&bench, "B is healthy", || Some(health(&bench, B, "/health")?.0 == 200));
    until(&bench, "A is not", || Some(health(&bench, A, "/health/web")?.0 == 503));

    let mut text = String::new();
    until(&bench, "the gap is counted", || {
        text = get(&bench, B, AT, "/metrics")?.1;
        Some(figure(&text, "twinbeat_group_move_gap_seconds_count{group=\"web\"}") == 1.0)
    });
    lint(&text);
    assert_eq!(figure(&text, "twinbeat_group_serving{group=\"web\"}"), 1.0);
    assert_eq!(figure(&text, "twinbeat_group_owner{group=\"web\",node=\"master2\"}"), 1.0);
    assert_eq!(figure(&text, "twinbeat_events_total{kind=\"owner\"}"), 1.0);
    for busy in [
        "twinbeat_heartbeats_sent_total",
        "twinbeat_frames_accepted_total",
        "twinbeat_signatures_verified_total",
        "twinbeat_link_heartbeat_lateness_seconds_count{link=\"heartbeat\"}",
        "twinbeat_link_round_trips_seconds_count{link=\"heartbeat\"}",
        "twinbeat_group_renewal_lease_left_seconds_count{group=\"web\"}",
        "twinbeat_echo_round_trip_seconds_count{from=\"own\"}",
        "twinbeat_echo_round_trip_seconds_count{from=\"vip\"}",
        "twinbeat_loop_lateness_seconds_count",
        "twinbeat_loop_turn_seconds_count",
    ] {
        assert!(figure(&text, busy) > 0.0, "{busy}");
    }
    // In one machine a round trip takes no tenth of a second in the mean, and not less than nothing.
    let (sum, count) =
        ("twinbeat_link_round_trips_seconds_sum{link=\"lan\"}", "twinbeat_link_round_trips_seconds_count{link=\"lan\"}");
    let trip = figure(&text, sum) / figure(&text, count);
    assert!(trip > 0.0 && trip < 0.16, "a round trip of {trip} s, with a lease of 320 ms");
    // A renewal comes long before the lease is over.
    let (sum, count) = ("twinbeat_group_renewal_lease_left_seconds_sum", "twinbeat_group_renewal_lease_left_seconds_count");
    let left = figure(&text, sum) / figure(&text, count);
    assert!(left > 0.0 && left < 0.32, "of a lease of 320 ms {left} s were left");

    bench.one_owner("the move");

    // The last hour by the flight recorder: the move is in the lanes, and the evidence stands beside the decision. Nothing of its reader is left.
    let mut told = String::new();
    until(&bench, "the move is in the last hour", || {
        let (code, text) = get(&bench, B, AT, "/history.json")?;
        assert_eq!(code, 200, "{text}");
        told = text;
        let hour: Value = serde_json::from_str(&told).ok()?;
        assert_eq!(hour["remarks"], serde_json::json!([]), "{told}");
        let web = hour["lanes"].as_array()?.iter().find(|lane| lane["of"] == "group" && lane["name"] == "web")?;
        let served: Vec<&str> = web["spans"].as_array()?.iter().filter_map(|span| span["is"].as_str()).collect();
        let decided = hour["events"].as_array()?.iter().find(|event| event["kind"] == "owner")?;
        Some(served.ends_with(&["master2"]) && served.contains(&"master1") && decided["why"].as_str()?.contains("known    peer"))
    });
    if let Some(dir) = std::env::var_os("TWINBEAT_WEB_DUMP").map(PathBuf::from) {
        std::fs::write(dir.join("history.json"), &told).unwrap();
        std::fs::write(dir.join("status.json"), get(&bench, B, AT, "/status.json").unwrap().1).unwrap();
    }
    let own = bench.site.ask(&bench.lab, B, &["why", "--json"]).unwrap();
    let own: Value = serde_json::from_slice(&own.stdout).unwrap();
    assert_eq!(own["events"][0], serde_json::from_str::<Value>(&told).unwrap()["events"][0]);

    // An address that is not there: the daemon runs on, says so, and listens when it comes.
    listen(&bench, A, "192.0.2.1:9469");
    let old = bench.daemons[A.index()].as_mut().unwrap();
    old.signal(Signal::SIGTERM);
    let end = Instant::now() + Duration::from_secs(20);
    while old.running() {
        assert!(Instant::now() < end, "A does not end");
        thread::sleep(Duration::from_millis(20));
    }
    assert!(!socket(&bench).exists(), "the socket went with its daemon");
    bench.start(A);
    let problem = |bench: &Bench| bench.view(A)["problems"].to_string().contains("[metrics] listen = \\\"192.0.2.1:9469\\\"");
    until(&bench, "a problem", || Some(problem(&bench)));
    bench.run(bench.lab.node(A), "ip addr add 192.0.2.1/32 dev lo");
    until(&bench, "it is reached", || Some(get(&bench, A, "192.0.2.1:9469", "/health")?.0 == 503));
    until(&bench, "no problem", || Some(!problem(&bench)));
}
