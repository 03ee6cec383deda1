#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::{sleep, timeout};

use super::attempt::Env;
use super::startable::Startable;
use super::tests::{Bench, process, until};
use super::*;
use twinbeat_core::id::Epoch;
use twinbeat_core::io::ServiceOrder::{Start, Stop, Warm};

const MILLIS_200: Duration = Duration::from_millis(200);

fn env() -> Env {
    Env { group: "web".into(), node: "master1".into(), epoch: None, ending: false }
}

/// Answers each connection with these bytes, and closes it only where `close` says so.
async fn server(answer: &'static str, close: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
                if !close {
                    std::future::pending::<()>().await;
                }
            });
        }
    });
    address
}

fn get(address: SocketAddr) -> HttpProbe {
    let name = address.to_string();
    HttpProbe { address, tls: false, name, path: "/health".into(), status: (200, 399), contains: None }
}

async fn ask(probe: HttpProbe) -> Result<String, String> {
    Probe::Http(probe).ask(MILLIS_200, &env()).await
}

#[tokio::test]
async fn an_http_answer_is_judged_by_status_and_body_and_one_that_never_ends_is_none() {
    let good = server("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nalive", false).await;
    assert!(ask(get(good)).await.unwrap().starts_with("HTTP 200 in "));
    assert!(ask(HttpProbe { contains: Some("live".into()), ..get(good) }).await.is_ok());
    let why = ask(HttpProbe { contains: Some("dead".into()), ..get(good) }).await.unwrap_err();
    assert_eq!(why, "HTTP 200, and its body does not contain \"dead\"");
    assert_eq!(ask(HttpProbe { status: (204, 204), ..get(good) }).await.unwrap_err(), "HTTP 200 OK");
    let ended_by_close = server("HTTP/1.0 302 Found\r\nlocation: /x\r\n\r\nto", true).await;
    assert!(ask(get(ended_by_close)).await.is_ok());
    let ill = server("HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n", true).await;
    assert_eq!(ask(get(ill)).await.unwrap_err(), "HTTP 500 Internal Server Error");
    for (silent, why) in
        [("", "no answer within 200ms"), ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", "no answer within 200ms")]
    {
        assert_eq!(ask(get(server(silent, false).await)).await.unwrap_err(), why);
    }
    for odd in ["SSH-2.0-OpenSSH\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", "\0\0\0\0", ""] {
        assert!(ask(get(server(odd, true).await)).await.is_err(), "{odd:?}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert!(ask(get(nobody)).await.unwrap_err().contains("refused"));
    assert!(Probe::Tcp(nobody).ask(MILLIS_200, &env()).await.unwrap_err().contains("refused"));
    assert!(Probe::Tcp(good).ask(MILLIS_200, &env()).await.is_ok());
    let why = ask(HttpProbe { tls: true, name: "127.0.0.1".into(), ..get(good) }).await.unwrap_err();
    assert!(why.starts_with("TLS: "), "{why}");
}

#[tokio::test]
async fn a_body_without_end_is_looked_at_as_far_as_its_first_part() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    });
    let why = ask(HttpProbe { contains: Some("end".into()), ..get(address) }).await.unwrap_err();
    assert!(why.contains("does not contain"), "{why}");
}

#[tokio::test]
async fn a_command_has_its_exit_code_its_words_and_its_limit() {
    let ask = async |argv: &[&str], limit: Duration| {
        let probe = Probe::Command(argv.iter().map(|word| (*word).to_owned()).collect());
        probe.ask(limit, &env()).await
    };
    let long = Duration::from_secs(30);
    assert!(ask(&["sh", "-c", "test $TWINBEAT_GROUP = web"], long).await.unwrap().starts_with("exit code 0 in "));
    assert_eq!(ask(&["sh", "-c", "echo lagging; exit 3"], long).await.unwrap_err(), "sh: exit code 3: lagging");
    assert!(ask(&["sleep", "60"], MILLIS_200).await.unwrap_err().contains("not done after 200ms"));
    assert!(ask(&["/nonexistent/check"], long).await.unwrap_err().contains("No such file"));
}

/// A check that is well while a file is there.
fn while_there(bench_file: &str, of_the_owner: bool) -> CheckSpec {
    CheckSpec {
        probe: Probe::Command(vec!["test".into(), "-e".into(), bench_file.into()]),
        interval: Duration::from_millis(100),
        timeout: Duration::from_secs(2),
        fall: 2,
        rise: 1,
        of_the_owner,
    }
}

/// A process with such a check, and the file.
fn checked(of_the_owner: bool) -> (ServiceSpec, tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("well");
    let spec = ServiceSpec { checks: vec![while_there(file.to_str().unwrap(), of_the_owner)], ..process(&["sleep", "1000"]) };
    (spec, dir, file)
}

#[tokio::test]
async fn it_has_started_when_its_check_is_well_and_failed_when_it_never_is() {
    let (mut spec, _dir, file) = checked(false);
    spec.start_timeout = Duration::from_secs(3);
    let mut bench = Bench::new(vec![spec]);
    bench.order(1, Start(Epoch(2)));
    until("the process", || bench.record("sleep").is_some()).await;
    sleep(Duration::from_millis(400)).await;
    assert!(bench.reports.try_recv().is_err(), "not before its check is well");
    fs::write(&file, "").unwrap();
    assert_eq!(bench.report().await, (1, ServiceReport::Started));
    bench.order(2, Stop);
    assert_eq!(bench.report().await, (2, ServiceReport::Stopped));
    fs::remove_file(&file).unwrap();
    bench.order(3, Start(Epoch(3)));
    let (3, ServiceReport::StartFailed { reason, .. }) = bench.report().await else { panic!("started") };
    assert!(reason.contains("check command test: test: exit code 1"), "{reason}");
    // A newer order does not wait for a check.
    bench.order(4, Start(Epoch(4)));
    sleep(Duration::from_millis(300)).await;
    let begun = Instant::now();
    bench.order(5, Stop);
    assert_eq!(bench.report().await, (5, ServiceReport::Stopped));
    assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_fall_is_a_restart_on_the_spot_as_often_as_the_file_says_and_then_reported() {
    let (mut spec, _dir, file) = checked(true);
    spec.restarts = 2;
    fs::write(&file, "").unwrap();
    let mut bench = Bench::new(vec![spec]);
    bench.order(1, Start(Epoch(2)));
    assert_eq!(bench.report().await, (1, ServiceReport::Started));
    let pid = |bench: &Bench| bench.record("sleep").map(|record| record.pid);
    for _ in 0..2 {
        let before = pid(&bench);
        fs::remove_file(&file).unwrap();
        until("another process", || pid(&bench).is_some_and(|now| Some(now) != before)).await;
        fs::write(&file, "").unwrap();
        // What is watched again has been well.
        let words = async || bench.manager.as_ref().unwrap().state().await.remove(0);
        let begun = Instant::now();
        while !matches!(words().await.check, Some((_, true))) {
            assert!(begun.elapsed() < Duration::from_secs(10), "never well again");
            sleep(Duration::from_millis(20)).await;
        }
        assert!(bench.reports.try_recv().is_err(), "mended here");
    }
    fs::remove_file(&file).unwrap();
    let (1, ServiceReport::Died { reason, .. }) = bench.report().await else { panic!("not reported") };
    assert!(reason.contains("2 times in a row; again, within 60s of 2 restarts"), "{reason}");
    // The next order to start it begins with a stop.
    let before = pid(&bench);
    fs::write(&file, "").unwrap();
    bench.order(2, Start(Epoch(3)));
    assert_eq!(bench.report().await, (2, ServiceReport::Started));
    assert_ne!(pid(&bench), before);
}

#[tokio::test]
async fn what_hangs_is_made_anew_although_it_stands_still() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let body = format!(
        "import socketserver as s\nclass H(s.StreamRequestHandler):\n def handle(self):\n  self.wfile.write(b'HTTP/1.0 200 OK\\r\\n\\r\\nhi')\ns.TCPServer.allow_reuse_address=True\ns.TCPServer(('127.0.0.1',{port}),H).serve_forever()"
    );
    let mut spec = process(&["python3", "-c", &body]);
    let check = while_there("", false);
    spec.checks =
        vec![CheckSpec { probe: Probe::Http(get(SocketAddr::from(([127, 0, 0, 1], port)))), timeout: MILLIS_200, ..check }];
    (spec.start_timeout, spec.stop_timeout) = (Duration::from_secs(15), Duration::from_secs(60));
    let mut bench = Bench::new(vec![spec]);
    bench.order(1, Start(Epoch(2)));
    assert_eq!(bench.report().await, (1, ServiceReport::Started));
    let first = bench.record("python3").unwrap();
    kill(Pid::from_raw(first.pid), Signal::SIGSTOP).unwrap();
    until("another one", || bench.record("python3").is_some_and(|now| now.pid != first.pid)).await;
    assert!(!first.alive(), "SIGTERM reaches what stands still");
}

#[tokio::test]
async fn checks_of_an_address_that_moves_are_the_owners() {
    let (mut spec, _dir, file) = checked(true);
    spec.warm = true;
    let mut bench = Bench::new(vec![spec]);
    bench.order(1, Warm);
    assert_eq!(bench.report().await, (1, ServiceReport::Warmed), "the address is elsewhere");
    fs::write(&file, "").unwrap();
    bench.order(2, Start(Epoch(2)));
    assert_eq!(bench.report().await, (2, ServiceReport::Started));
}

#[tokio::test]
async fn whether_it_could_start_is_asked_without_a_start_and_told_when_it_is_another_answer() {
    let dir = tempfile::tempdir().unwrap();
    let (good, well) = (dir.path().join("good"), dir.path().join("well"));
    fs::write(&well, "").unwrap();
    let validate = Some(vec!["test".into(), "-e".into(), good.to_str().unwrap().into()]);
    let checks = vec![while_there(well.to_str().unwrap(), false)];
    let spec = ServiceSpec { validate, checks, warm: true, ..process(&["sleep", "1000"]) };
    // The manager's own questions come too seldom for a test.
    let bench = Bench::new(vec![ServiceSpec { validate: None, checks: Vec::new(), ..spec.clone() }]);
    let group = GroupServices {
        group: GroupId(3),
        name: "web".into(),
        node: "master1".into(),
        state_dir: dir.path().into(),
        services: vec![spec],
        tools: Tools::default(),
    };
    let (sender, mut reports) = unbounded_channel();
    let letters = bench.manager.as_ref().unwrap().weak();
    let mut startable = Startable::of(&group, letters, sender).unwrap();
    startable.pause = Duration::from_millis(50);
    tokio::spawn(startable.live());
    let mut next = async || match timeout(Duration::from_secs(15), reports.recv()).await.unwrap().unwrap() {
        Report::Startable { group: GroupId(3), obstacle } => obstacle,
        other => panic!("{other:?}"),
    };
    assert_eq!(next().await.unwrap(), "sleep: test: exit code 1");
    fs::write(&good, "").unwrap();
    assert_eq!(next().await, None);
    // A warm one that nobody ordered here, and that is not well.
    bench.order(1, Warm);
    until("the process", || bench.record("sleep").is_some()).await;
    fs::remove_file(&well).unwrap();
    let obstacle = next().await.unwrap();
    assert!(obstacle.contains("sleep runs here, and check command test"), "{obstacle}");
}
