//! What is said over the socket: answers, refusals, and who waits for whom.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use twinbeat_config::Listen;
use twinbeat_core::view::View;
use twinbeat_core::words::GroupRole;

use crate::answer::Sources;
use crate::ask::{Asker, Depth, Question};
use crate::crafted::{seen, view};
use crate::history::History;
use crate::listen::Listener;
use crate::seats::MOST;
use crate::server::{self, serve};

#[path = "../../netns-tests/common/schema.rs"]
mod json_schema;

/// A server at a port of its own, whose daemon answers with this view; and how often that one was asked, quick and whole.
async fn served(view: View) -> (std::net::SocketAddr, Arc<[AtomicUsize; 2]>) {
    let asked = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let counts = Arc::clone(&asked);
    let ask = move |Question { depth, answer }| {
        counts[usize::from(depth == Depth::Whole)].fetch_add(1, Ordering::SeqCst);
        let mut seen = seen();
        seen.view = view.clone();
        let _ = answer.send(seen);
    };
    (listen(ask).await, asked)
}

async fn listen(ask: impl Fn(Question) + Send + Sync + 'static) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let sources = Arc::new(Sources { asker: Asker::new(ask), history: History::new(["echo", "{}"].map(Into::into).into()) });
    tokio::spawn(async move { serve(Listener::Tcp(listener), &sources).await });
    address
}

/// Sends these bytes and reads to the end.
async fn say(address: std::net::SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    read(&mut stream).await
}

async fn read(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    // What was not read of a refused request makes the kernel reset the connection behind the answer.
    let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut text)).await.expect("an answer or an end");
    String::from_utf8_lossy(&text).into_owned()
}

async fn get(address: std::net::SocketAddr, path: &str) -> (u16, String, String) {
    let answer = say(address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    split(&answer)
}

/// Status, head and body.
fn split(answer: &str) -> (u16, String, String) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    let status = head.strip_prefix("HTTP/1.1 ").or(head.strip_prefix("HTTP/1.0 ")).and_then(|rest| rest.get(..3)).unwrap();
    (status.parse().unwrap(), head.to_ascii_lowercase(), body.to_owned())
}

#[tokio::test]
async fn health_is_200_only_while_this_node_owns_with_its_gate_open() {
    let mut one = view();
    one.groups.truncate(1);
    for (role, lease, owner, status, words) in [
        (GroupRole::Owner, Some(60_000), Some("master1"), 200, "web: master1 serves, epoch 8\n"),
        (GroupRole::Owner, Some(0), Some("master1"), 503, "the gate is closed"),
        (GroupRole::Owner, None, Some("master1"), 503, "the gate is closed"),
        (GroupRole::Claiming, Some(60_000), None, 503, "master1 is claiming"),
        (GroupRole::Leaving, Some(60_000), Some("master1"), 503, "master1 is leaving"),
        (GroupRole::Standby, None, Some("master2"), 503, "master1 stands by; master2 serves"),
        (GroupRole::Standby, None, None, 503, "nobody serves"),
    ] {
        let mut view = one.clone();
        (view.groups[0].role, view.groups[0].lease_ms_left, view.groups[0].owner) = (role, lease, owner.map(str::to_owned));
        let (address, _) = served(view).await;
        for path in ["/health", "/health/web"] {
            let (code, head, body) = get(address, path).await;
            assert_eq!(code, status, "{role} {lease:?}: {body}");
            assert!(body.contains(words), "{body}");
            assert!(head.contains("content-type: text/plain") && head.contains("cache-control: no-store"), "{head}");
        }
        let (code, _, body) = get(address, "/health/mail").await;
        assert_eq!((code, body.as_str()), (404, "there is no group of that name\n"));
    }
}

#[tokio::test]
async fn of_several_groups_health_asks_for_all_and_each_has_its_own() {
    let mut view = view();
    view.groups[0].lease_ms_left = Some(60_000);
    let (address, _) = served(view).await;
    assert_eq!(get(address, "/health/web").await.0, 200);
    assert_eq!(get(address, "/health/mail").await.0, 503);
    let (code, _, body) = get(address, "/health").await;
    assert_eq!((code, body.as_str()), (503, "web: master1 serves, epoch 8\nmail: master1 stands by; master2 serves\n"));
}

#[tokio::test]
async fn a_lease_that_is_over_by_the_time_of_the_answer_is_not_served() {
    let ask = |Question { answer, .. }: Question| {
        tokio::spawn(async move {
            let mut seen = seen();
            seen.view.groups.truncate(1);
            seen.view.groups[0].lease_ms_left = Some(30);
            tokio::time::sleep(Duration::from_millis(50)).await;
            let _ = answer.send(seen);
        });
    };
    let address = listen(ask).await;
    let (code, _, body) = get(address, "/health").await;
    assert_eq!(code, 503, "{body}");
}

#[tokio::test]
async fn a_daemon_that_does_not_answer_is_not_healthy() {
    let kept = Mutex::new(Vec::new());
    let address = listen(move |question: Question| kept.lock().unwrap().push(question)).await;
    let began = Instant::now();
    for path in ["/health", "/metrics", "/status.json"] {
        let (code, _, body) = get(address, path).await;
        assert_eq!(code, 503);
        assert!(body.contains("did not answer within"), "{body}");
    }
    // All who come meanwhile wait together.
    let waiting: Vec<_> = (0..10).map(|_| tokio::spawn(async move { get(address, "/health").await.0 })).collect();
    for one in waiting {
        assert_eq!(one.await.unwrap(), 503);
    }
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    let gone = listen(drop).await;
    let (code, _, body) = get(gone, "/health").await;
    assert_eq!((code, body.as_str()), (503, "the daemon is ending\n"));
}

#[tokio::test]
async fn each_path_has_its_kind_of_answer_and_a_head_has_no_body() {
    let (address, _) = served(view()).await;
    let (code, head, body) = get(address, "/metrics").await;
    assert_eq!(code, 200);
    assert!(head.contains("content-type: text/plain; version=0.0.4") && !body.contains("# EOF"), "{head}");
    let accept = "GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text;version=1.0.0,*/*;q=0.1\r\n\r\n";
    let (code, head, body) = split(&say(address, accept).await);
    assert!(code == 200 && head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(body.ends_with("\n# EOF\n"), "{body}");

    let (code, head, body) = get(address, "/status.json").await;
    assert!(code == 200 && head.contains("content-type: application/json"), "{head}");
    let status: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status["health"], "degraded");
    let schema = twinbeat_control::schema::schema();
    json_schema::status(&schema, &status).unwrap_or_else(|wrong| panic!("{wrong}\n{body}"));
    assert_eq!(status["groups"][0]["standby_held"], "a \"quoted\" word,\nand a \\ line");

    let (code, head, body) = get(address, "/history.json").await;
    assert!(code == 200 && head.contains("content-type: application/json") && body == "{}\n", "{head}{body}");

    let (code, head, body) = get(address, "/?x=1").await;
    assert!(code == 200 && head.contains("text/html") && head.contains("content-security-policy: default-src 'none'"), "{head}");
    // Nothing from elsewhere, and no word of the node as markup.
    for odd in ["http://", "https://", "//cdn", "innerHTML", "insertAdjacentHTML", "document.write", "src=", "@import", "eval("] {
        assert!(!body.contains(odd), "{odd}");
    }
    assert!(body.ends_with("</html>\n"));

    for path in ["/", "/metrics", "/status.json", "/history.json", "/health/web", "/nowhere"] {
        let answer = say(address, &format!("HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        let (_, head, body) = split(&answer);
        assert!(body.is_empty() && !head.contains("content-length: 0"), "{path}: {answer}");
    }
    for path in ["/nowhere", "/health/", "/health/web/x", "/metrics/", "//metrics", "/%6Detrics", "/status", "/../metrics"] {
        let (code, _, body) = get(address, path).await;
        assert_eq!(code, 404, "{path}: {body}");
    }
}

#[tokio::test]
async fn what_is_no_request_for_a_page_is_refused_in_words() {
    let (address, asked) = served(view()).await;
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(20_000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(100));
    for (request, codes) in [
        ("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", &[405][..]),
        ("DELETE / HTTP/1.1\r\nHost: x\r\n\r\n", &[405]),
        ("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", &[405]),
        ("CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", &[405]),
        ("GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde", &[413]),
        ("GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", &[413]),
        ("GET /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n", &[413]),
        ("GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", &[400]),
        ("GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", &[400]),
        ("GET /metrics\r\n\r\n", &[400]),
        ("GET  /metrics HTTP/1.1\r\n\r\n", &[400]),
        ("GET /\u{0} HTTP/1.1\r\n\r\n", &[400]),
        ("\u{16}\u{3}\u{1} a TLS hello\r\n\r\n", &[400]),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[400, 405, 505]),
        (long.as_str(), &[414, 431]),
        (many.as_str(), &[431]),
    ] {
        let answer = say(address, request).await;
        let shown = &request[..request.len().min(60)];
        // A version that is not known may be hung up on.
        if answer.is_empty() && request.starts_with("PRI") {
            continue;
        }
        let (code, head, _) = split(&answer);
        assert!(codes.contains(&code), "{shown:?}: {answer}");
        assert!(code != 405 || head.contains("allow: get, head"), "{shown:?}: {answer}");
    }
    assert_eq!(asked[1].load(Ordering::SeqCst), 0, "none of them reached the daemon");
    assert_eq!(get(address, "/health/web").await.0, 200);
}

/// Bytes of a true request changed, cut, doubled and swapped: whatever comes of it there is an answer or an end, and no panic.
#[tokio::test]
async fn damaged_requests_end_nothing_but_themselves() {
    let (address, _) = served(view()).await;
    let truth: &[u8] = b"GET /health/web HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text;version=1.0.0;q=0.6\r\n\r\n";
    let mut seed: u64 = 7;
    let mut draw = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    for round in 0..500 {
        let mut bytes = truth.to_vec();
        for _ in 0..=draw(4) {
            let place = draw(bytes.len());
            match draw(5) {
                0 => bytes[place] = draw(256) as u8,
                1 => bytes.truncate(place.max(1)),
                2 => bytes.extend_from_within(place..),
                3 => bytes.insert(place, [b'\r', b'\n', 0, b' ', b'%', 0xff][draw(6)]),
                _ => drop(bytes.remove(place.min(bytes.len() - 1))),
            }
            if bytes.is_empty() {
                bytes.push(b'G');
            }
        }
        let mut stream = TcpStream::connect(address).await.unwrap();
        let _ = stream.write_all(&bytes).await;
        // What has no end yet is not waited for.
        let _ = stream.shutdown().await;
        let answer = read(&mut stream).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1."), "{round}: {bytes:?}: {answer}");
    }
    assert!([200, 503].contains(&get(address, "/health/web").await.0));
}

#[tokio::test]
async fn a_flood_of_scrapes_asks_the_daemon_once_in_a_while() {
    let (address, asked) = served(view()).await;
    let began = Instant::now();
    for _ in 0..100 {
        for path in ["/metrics", "/status.json", "/health"] {
            get(address, path).await;
        }
    }
    let took = began.elapsed();
    let [quick, whole] = [&asked[0], &asked[1]].map(|count| count.load(Ordering::SeqCst) as u128);
    assert!(quick <= took.as_millis() / 100 + 1, "{quick} quick ones in {took:?}");
    assert!(whole <= took.as_millis() / 1000 + 1, "{whole} whole ones in {took:?}");
    // And it is no old story: what is asked after the sharing is over reaches the daemon.
    tokio::time::sleep(crate::ask::SHARED).await;
    get(address, "/health").await;
    assert_eq!(asked[0].load(Ordering::SeqCst) as u128, quick + 1);
}

#[tokio::test]
async fn slow_clients_do_not_keep_others_out_and_are_sent_away() {
    let (address, _) = served(view()).await;
    let mut slow = Vec::new();
    for _ in 0..MOST * 3 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nX-Slow: ").await.unwrap();
        slow.push(stream);
    }
    let began = Instant::now();
    for _ in 0..20 {
        assert_eq!(get(address, "/metrics").await.0, 200);
        // Each of them goes on, a byte at a time, and new ones come.
        for stream in &mut slow {
            let _ = stream.write_all(b"x").await;
        }
        slow.push(TcpStream::connect(address).await.unwrap());
    }
    assert!(began.elapsed() < Duration::from_secs(4), "nobody waited for the slow: {:?}", began.elapsed());
    // At the end of their time all of them are gone.
    for mut stream in slow {
        read(&mut stream).await;
    }
}

#[tokio::test]
async fn no_more_than_so_many_sit_at_a_time_and_none_longer_than_a_head_may_take() {
    let (address, _) = served(view()).await;
    let began = Instant::now();
    let mut silent = Vec::new();
    for _ in 0..MOST + 4 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let mut last = silent.split_off(4);
    for mut first in silent {
        assert_eq!(read(&mut first).await, "", "the first ones went for the others");
    }
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    let mut newest = last.pop().unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(200), newest.read_u8()).await.is_err(), "it still sits");
    read(&mut newest).await;
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_sent_away_in_its_time() {
    let (address, _) = served(view()).await;
    let mut streams = Vec::new();
    for _ in 0..MOST {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(2048).unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        streams.push(stream);
    }
    let until = Instant::now() + Duration::from_secs(12);
    loop {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /health/web HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        if read(&mut stream).await.starts_with("HTTP/1.1 200") {
            break;
        }
        assert!(Instant::now() < until, "kept out for longer than a client may take");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn unanswered() -> impl Fn(Question) + Send + Sync + 'static {
    |Question { answer, .. }| drop(answer.send(seen()))
}

/// Waits for a word of the server's thread.
fn hear(words: &std::sync::mpsc::Receiver<Option<String>>) -> Option<String> {
    words.recv_timeout(Duration::from_secs(10)).expect("a word")
}

#[tokio::test]
async fn an_address_that_cannot_be_bound_is_a_problem_until_it_can() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let (tell, words) = std::sync::mpsc::channel();
    let _web = server::start(Listen::Tcp(address), vec![], unanswered(), move |problem| drop(tell.send(problem))).unwrap();
    let problem = hear(&words).expect("a problem");
    assert!(problem.contains(&format!("[metrics] listen = \"{address}\": ")) && problem.contains("in use"), "{problem}");
    drop(taken);
    assert_eq!(hear(&words), None, "it is over");
    assert_eq!(get(address, "/health/web").await.0, 200);
}

#[tokio::test]
async fn a_unix_socket_is_not_everybodys_and_a_stale_one_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("metrics.sock");
    // What a daemon that was killed leaves behind.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let web = server::start(Listen::Unix(path.clone()), vec![], unanswered(), |problem| panic!("{problem:?}")).unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    let mut stream = loop {
        match UnixStream::connect(&path).await {
            Ok(stream) => break stream,
            Err(error) => assert!(Instant::now() < until, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    stream.write_all(b"GET /health/web HTTP/1.0\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.0 200"), "{text}");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert!([0o600, 0o660].contains(&mode), "{mode:o}");
    drop(web);
    assert!(!path.exists());

    // What is no socket, or has a listener, is left alone.
    for busy in [false, true] {
        let _listener = busy.then(|| std::os::unix::net::UnixListener::bind(&path).unwrap());
        if !busy {
            std::fs::write(&path, "dear").unwrap();
        }
        let (tell, words) = std::sync::mpsc::channel();
        let web =
            server::start(Listen::Unix(path.clone()), vec![], unanswered(), move |problem| drop(tell.send(problem))).unwrap();
        assert!(hear(&words).expect("a problem").contains("in use"));
        drop(web);
        assert!(path.exists());
        std::fs::remove_file(&path).unwrap();
        // Its place is free now.
        assert_eq!(hear(&words), None);
        let _ = std::fs::remove_file(&path);
    }
}
