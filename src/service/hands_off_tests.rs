#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::time::sleep;

use super::tests::{Bench, process};
use super::*;
use twinbeat_core::id::Epoch;
use twinbeat_core::io::ServiceOrder::{Adopt, Start, Stop};

fn left_alone(report: ServiceReport) -> String {
    match report {
        ServiceReport::LeftAlone { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < Duration::from_secs(10), "never");
        sleep(Duration::from_millis(20)).await;
    }
}

impl Bench {
    fn hands_off(&self, on: bool) {
        self.manager.as_ref().unwrap().hands_off(on);
    }

    fn kill(&self, name: &str) {
        kill(Pid::from_raw(self.record(name).unwrap().pid), Signal::SIGKILL).unwrap();
    }
}

#[tokio::test]
async fn a_service_that_dies_in_a_pause_is_left_alone_and_started_again_when_the_pause_ends() {
    let mut bench = Bench::new(vec![process(&["sleep", "1000"])]);
    bench.order(1, Start(Epoch(2)));
    assert_eq!(bench.report().await, (1, ServiceReport::Started));
    bench.hands_off(true);
    bench.kill("sleep");
    let (attempt, report) = bench.report().await;
    assert!(attempt == 1 && left_alone(report).contains("SIGKILL"));
    sleep(Duration::from_millis(500)).await;
    assert!(!bench.running().await, "nobody has started it");
    bench.hands_off(false);
    until(async || bench.running().await).await;
    assert_eq!(bench.reports.try_recv(), Err(TryRecvError::Empty), "once is what the file allows on the spot");
    // That one counts: the next death is the decision's affair.
    bench.kill("sleep");
    let (_, report) = bench.report().await;
    assert!(matches!(report, ServiceReport::Died { .. }), "{report:?}");
}

#[tokio::test]
async fn what_somebody_started_in_the_pause_is_watched_again_behind_it() {
    let mut bench = Bench::new(vec![process(&["sleep", "1000"]), ServiceSpec { restarts: 0, ..process(&["sleep", "2000"]) }]);
    bench.order(1, Start(Epoch(2)));
    assert_eq!(bench.report().await, (1, ServiceReport::Started));
    bench.hands_off(true);
    bench.hands_off(false);
    assert!(bench.running().await);
    assert_eq!(bench.reports.try_recv(), Err(TryRecvError::Empty), "nothing fell");
    bench.hands_off(true);
    bench.kill("sleep-2");
    left_alone(bench.report().await.1);
    // An order counts in a pause as ever.
    bench.order(2, Stop);
    assert_eq!(bench.report().await, (2, ServiceReport::Stopped));
    bench.order(3, Start(Epoch(4)));
    assert_eq!(bench.report().await, (3, ServiceReport::Started));
    bench.hands_off(false);
    bench.kill("sleep-2");
    let (attempt, report) = bench.report().await;
    assert!(attempt == 3 && matches!(report, ServiceReport::Died { .. }), "watched as ever: {report:?}");
}

#[tokio::test]
async fn a_new_life_in_a_pause_takes_up_what_runs_and_starts_nothing() {
    let mut bench = Bench::new(vec![process(&["sleep", "1000"]), process(&["sleep", "2000"])]);
    bench.order(1, Start(Epoch(2)));
    assert_eq!(bench.report().await, (1, ServiceReport::Started));
    bench.restart();
    bench.kill("sleep-2");
    until(async || !bench.record("sleep-2").unwrap().alive()).await;
    bench.hands_off(true);
    bench.order(1, Adopt(Epoch(2)));
    assert_eq!(left_alone(bench.report().await.1), "does not run");
    assert_eq!(bench.report().await, (1, ServiceReport::Started));
    bench.kill("sleep");
    left_alone(bench.report().await.1);
    assert!(!bench.running().await);
    bench.hands_off(false);
    until(async || bench.manager.as_ref().unwrap().state().await.iter().all(|named| named.state == State::Running)).await;
}

#[tokio::test]
async fn checks_go_on_in_a_pause_and_a_fall_is_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let well = dir.path().join("well");
    fs::write(&well, "").unwrap();
    let check = CheckSpec {
        probe: Probe::Command(vec!["test".into(), "-e".into(), well.display().to_string()]),
        interval: Duration::from_millis(50),
        timeout: Duration::from_secs(5),
        fall: 2,
        rise: 1,
        of_the_owner: false,
    };
    let service = ServiceSpec { checks: vec![check], restarts: 0, ..process(&["sleep", "1000"]) };
    let mut bench = Bench::new(vec![service]);
    bench.order(1, Start(Epoch(2)));
    assert_eq!(bench.report().await, (1, ServiceReport::Started));
    bench.hands_off(true);
    fs::remove_file(&well).unwrap();
    left_alone(bench.report().await.1);
    let word = async || bench.manager.as_ref().unwrap().state().await.remove(0).check;
    until(async || word().await.is_some_and(|(_, well)| !well)).await;
    sleep(Duration::from_millis(600)).await;
    assert_eq!(bench.reports.try_recv(), Err(TryRecvError::Empty), "told once");
    fs::write(&well, "").unwrap();
    until(async || word().await.is_some_and(|(_, well)| well)).await;
    bench.hands_off(false);
    sleep(Duration::from_millis(300)).await;
    assert_eq!(bench.reports.try_recv(), Err(TryRecvError::Empty), "it is well again");
    fs::remove_file(&well).unwrap();
    let (_, report) = bench.report().await;
    assert!(matches!(report, ServiceReport::Died { .. }), "a fall behind the pause counts: {report:?}");
}
