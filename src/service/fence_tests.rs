#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::unbounded_channel;

use super::fence::{FenceHow, FenceSpec, Fencer};
use twinbeat_core::id::Attempt;
use twinbeat_core::io::Input;

fn agent(dir: &Path, body: &str) -> String {
    let path = dir.join("agent");
    fs::write(&path, format!("#!/bin/sh\ncd {}\n{body}", dir.display())).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

fn spec(how: FenceHow) -> FenceSpec {
    FenceSpec { how, timeout: Duration::from_secs(10), retries: 0, nodes: ["a".into(), "b".into()] }
}

async fn told(spec: FenceSpec) -> Option<String> {
    let (tell, mut inbox) = unbounded_channel();
    let fencer = Fencer::start(spec, move |input| drop(tell.send(input))).unwrap();
    fencer.order(Attempt(7));
    match inbox.recv().await.unwrap() {
        Input::Fenced { attempt: Attempt(7), failed } => failed,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_agent_reads_its_parameters_and_the_action_and_ends_with_nothing_when_the_node_is_off() {
    let dir = tempfile::tempdir().unwrap();
    let program = agent(dir.path(), "sort > said; env | grep TWINBEAT_ | sort >> said\n");
    let parameters = [("ip", "10.0.0.1"), ("plug", "3 left")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(told(spec(FenceHow::Agent { program: program.clone(), parameters: parameters.to_vec() })).await, None);
    let said = fs::read_to_string(dir.path().join("said")).unwrap();
    assert_eq!(said, "action=off\nip=10.0.0.1\nplug=3 left\nTWINBEAT_NODE=a\nTWINBEAT_PEER=b\n");
    // Another action of the file's; asked whether it works it is not turned off.
    let parameters = vec![("action".to_owned(), "reboot".to_owned())];
    let other = spec(FenceHow::Agent { program, parameters });
    assert_eq!(told(other.clone()).await, None);
    assert!(fs::read_to_string(dir.path().join("said")).unwrap().starts_with("action=reboot\n"));
    other.monitor().await.unwrap().unwrap();
    assert!(fs::read_to_string(dir.path().join("said")).unwrap().starts_with("action=monitor\nTWIN"));
}

#[tokio::test]
async fn what_fails_hangs_or_is_not_there_is_told_with_its_words_and_tried_again_as_often_as_the_file_says() {
    let dir = tempfile::tempdir().unwrap();
    let program = agent(dir.path(), "echo x >> tries; cat > /dev/null; echo 'no answer\nfrom the board' >&2; exit 1\n");
    let failing = FenceSpec { retries: 2, ..spec(FenceHow::Command(vec![program.clone()])) };
    assert_eq!(told(failing).await.unwrap(), format!("{program}: exit code 1: no answer from the board"));
    assert_eq!(fs::read_to_string(dir.path().join("tries")).unwrap(), "x\nx\nx\n");
    let missing = spec(FenceHow::Command(vec!["/nonexistent/off".into()]));
    assert!(told(missing).await.unwrap().contains("cannot be run"));
    let hanging = agent(dir.path(), "trap '' TERM; sleep 1000 & wait; wait\n");
    let begun = Instant::now();
    let spec = FenceSpec { timeout: Duration::from_millis(300), ..spec(FenceHow::Command(vec![hanging])) };
    assert!(told(spec).await.unwrap().contains("not done after 300ms, killed"));
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn the_second_try_counts_when_it_works() {
    let dir = tempfile::tempdir().unwrap();
    let program = agent(dir.path(), "[ -e once ] && exit 0; touch once; exit 1\n");
    assert_eq!(told(FenceSpec { retries: 1, ..spec(FenceHow::Command(vec![program])) }).await, None);
}
