#![allow(clippy::unwrap_used, clippy::panic)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::client::{Unreachable, ask};
use super::protocol::{Request, Response};
use super::server::{Call, RunLock, Server};
use twinbeat_core::time::Span;

/// A daemon that answers each request with its own words.
fn daemon(dir: &Path) {
    let server = Server::bind(RunLock::take(dir).unwrap()).unwrap();
    let (sender, mut calls) = mpsc::channel::<Call>(4);
    tokio::spawn(server.serve(sender));
    tokio::spawn(async move {
        while let Some(Call { request, answer }) = calls.recv().await {
            let _ = answer.send(Response::Done(format!("{request:?}")));
        }
    });
}

async fn raw(dir: &Path, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(dir.join("control.sock")).await.unwrap();
    let _ = stream.write_all(bytes).await;
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    answer
}

#[tokio::test]
async fn a_request_reaches_the_daemon_and_its_answer_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    daemon(dir.path());
    let request = Request::Standby {
        group: Some("web".into()),
        lasting: Some(Span::secs(1800)),
        reason: Some("kernel\n\"update\"".into()),
    };
    let answer = ask(dir.path(), &request, Duration::from_secs(5)).await.unwrap();
    assert_eq!(answer, Response::Done(format!("{request:?}")));
    let mode = std::fs::metadata(dir.path().join("control.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn rubbish_and_what_is_too_long_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    daemon(dir.path());
    assert!(raw(dir.path(), b"{\"takeover\":{\"grop\":1}}\n").await.contains("grop"));
    assert!(raw(dir.path(), &[b'x'; 70_000]).await.contains("longer than 65536"));
}

#[tokio::test]
async fn a_client_that_says_nothing_is_sent_away() {
    let dir = tempfile::tempdir().unwrap();
    daemon(dir.path());
    assert!(raw(dir.path(), b"").await.contains("no request within"));
}

#[tokio::test]
async fn a_second_daemon_is_refused_and_a_stale_socket_is_not_in_the_way() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("control.sock"), "").unwrap();
    daemon(dir.path());
    let refused = RunLock::take(dir.path()).unwrap_err().to_string();
    assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
}

#[tokio::test]
async fn without_a_daemon_the_client_says_where_it_looked() {
    let dir = tempfile::tempdir().unwrap();
    let error = ask(dir.path(), &Request::Resume { group: None }, Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(error, Unreachable::NoDaemon { .. }));
    assert!(error.to_string().contains("--run-dir"), "{error}");
}

proptest::proptest! {
    #[test]
    fn any_line_is_a_request_or_refused(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        if let Ok(request) = serde_json::from_slice::<Request>(&bytes) {
            let again = serde_json::to_vec(&request).unwrap();
            proptest::prop_assert_eq!(serde_json::from_slice::<Request>(&again).ok(), Some(request));
        }
    }

    #[test]
    fn a_mutated_request_is_a_request_or_refused_with_a_reason(
        which in 0usize..4,
        edits in proptest::collection::vec((proptest::prelude::any::<proptest::sample::Index>(), 0usize..6, "[\\[\\]{}\":,0-9a-z_ \u{e4}-]{0,8}"), 1..5),
    ) {
        let texts = [
            r#"{"standby":{"group":"web","lasting":1800000000000,"reason":"kernel"}}"#,
            r#"{"takeover":{"group":null}}"#,
            r#"{"status":{}}"#,
            r#"{"why":{"last":5}}"#,
        ];
        let mut text: Vec<char> = texts[which].chars().collect();
        for (at, cut, put) in edits {
            let at = at.index(text.len() + 1);
            let end = (at + cut).min(text.len());
            text.splice(at..end, put.chars());
        }
        let text: String = text.into_iter().collect();
        match serde_json::from_str::<Request>(&text) {
            Ok(request) => proptest::prop_assert_eq!(serde_json::from_str::<Request>(&serde_json::to_string(&request).unwrap()).ok(), Some(request)),
            Err(error) => proptest::prop_assert!(!error.to_string().is_empty()),
        }
    }
}
