//! What real daemons recorded through a power loss replays with the same binary, byte for byte, and holds no secret.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use twinbeat::core::id::NodeId;
use twinbeat::lab::catalogue::Step;
use twinbeat::lab::pair::Pair;

#[test]
fn a_failover_replays_byte_for_byte_and_is_explained() {
    if !common::ready() {
        return;
    }
    let binary = Path::new(env!("CARGO_BIN_EXE_twinbeat"));
    let never = AtomicBool::new(false);
    let mut pair = Pair::start(binary).unwrap();
    let limit = Duration::from_secs(30);
    pair.wait_for(NodeId(0), limit, &never).unwrap();
    pair.step(Step::PowerOff(NodeId(0))).unwrap();
    pair.wait_for(NodeId(1), limit, &never).unwrap();

    // The running daemon is asked, and the one that lost power is read.
    let asked = pair.site.ask(&pair.lab, NodeId(1), &["why"]).unwrap();
    let told = String::from_utf8_lossy(&asked.stdout);
    println!("{told}");
    assert!(
        told.contains("master2 SERVES") && told.contains("the peer is lost"),
        "{told}{}",
        String::from_utf8_lossy(&asked.stderr)
    );
    let dead = pair.site.node_dir(NodeId(0)).join("state");
    let read = Command::new(binary).arg("why").arg("--state-dir").arg(&dead).output().unwrap();
    let told = String::from_utf8_lossy(&read.stdout);
    assert!(told.contains("master1 SERVES"), "{told}{}", String::from_utf8_lossy(&read.stderr));

    pair.step(Step::PowerOn(NodeId(0))).unwrap();
    pair.wait_for(NodeId(0), limit, &never).unwrap();
    pair.step(Step::Stop(NodeId(1))).unwrap();
    std::thread::sleep(Duration::from_secs(1));

    let mut secrets = Vec::new();
    for (node, name) in [(NodeId(0), "master1"), (NodeId(1), "master2")] {
        let key = std::fs::read_to_string(pair.site.config(node).with_file_name(format!("{name}.key"))).unwrap();
        let secret = key.lines().find(|line| !line.trim().is_empty() && !line.starts_with('#')).unwrap().trim().to_owned();
        secrets.push(secret.rsplit([':', ' ', '"', '=']).find(|part| part.len() > 20).unwrap_or(&secret).to_owned());
    }
    for node in [NodeId(0), NodeId(1)] {
        let journal = pair.site.node_dir(node).join("state/journal");
        let played = Command::new(binary).arg("replay").arg(&journal).output().unwrap();
        let told = String::from_utf8_lossy(&played.stdout);
        println!("{told}");
        assert!(played.status.success() && told.contains("byte for byte"), "{told}{}", String::from_utf8_lossy(&played.stderr));
        for file in std::fs::read_dir(&journal).unwrap() {
            let file = file.unwrap().path();
            assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
            let text = std::fs::read_to_string(&file).unwrap();
            assert!(secrets.iter().all(|secret| secret.len() > 20 && !text.contains(secret.as_str())), "a private key");
            // What the services are started with is none of its business either.
            assert!(!text.contains("nginx.conf") && !text.contains("page-server"), "a service's command line");
        }
    }
}

/// What a command prints into a pipe whose reader has gone, or onto a full disk.
#[test]
fn a_reader_that_has_gone_ends_a_command_quietly_and_a_full_disk_is_an_error() {
    use std::process::Stdio;

    let twinbeat = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_twinbeat"));
        command.args(["drill", "--list"]).stderr(Stdio::piped());
        command
    };
    let mut child = twinbeat().stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success() && out.stderr.is_empty(), "{out:?}");

    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let out = twinbeat().stdout(full).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(1) && said.contains("standard output: No space left on device"), "{said}");
}
