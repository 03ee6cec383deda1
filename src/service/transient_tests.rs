#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;

use crate::bus::fake::{AT_ONCE, Fake, Plan};
use crate::tests::{Bench, lsb, script, spec, until};
use crate::{Kind, ServiceSpec};
use twinbeat_core::id::Epoch;
use twinbeat_core::io::ServiceOrder::{Start, Stop};
use twinbeat_core::io::ServiceReport;

fn sleeps(seconds: &str) -> ServiceSpec {
    spec(Kind::Process(vec!["sleep".into(), seconds.into()]))
}

/// A group in the sandbox, and the bus; no `systemctl`.
fn bench(service: ServiceSpec) -> (Bench, Fake) {
    let dir = tempfile::tempdir().unwrap();
    let fake = Fake::serve(&dir.path().join("bus"));
    (Bench::living(dir, vec![service], true), fake)
}

async fn started(bench: &mut Bench) {
    bench.order(1, Start(Epoch(2)));
    assert_eq!(bench.report().await, (1, ServiceReport::Started));
}

/// The unit that was started so last, and with what.
fn made(fake: &Fake) -> (String, String) {
    let calls = fake.calls();
    let call = calls.iter().rev().find_map(|call| call.strip_prefix("StartTransientUnit ")).unwrap();
    let (unit, with) = call.split_once(' ').unwrap();
    (unit.to_owned(), with.to_owned())
}

#[tokio::test]
async fn a_process_of_a_daemon_in_a_sandbox_is_a_unit_and_is_found_again() {
    let (mut bench, fake) = bench(sleeps("100"));
    assert!(!bench.running().await);
    started(&mut bench).await;
    let (unit, with) = made(&fake);
    assert!(unit.starts_with("twinbeat-web:sleep.") && unit.ends_with(".service"), "{unit}");
    assert!(with.contains("exec") && with.contains("/sleep") && with.contains("twinbeat.service"), "{with}");
    assert!(bench.running().await && bench.record("sleep").is_none(), "and no child of the daemon's");

    bench.restart();
    started(&mut bench).await;
    assert_eq!(fake.count("StartTransientUnit"), 1, "it runs as configured");

    bench.restart_with(vec![sleeps("200")]);
    started(&mut bench).await;
    assert_eq!((fake.count("StartTransientUnit"), fake.count(&format!("StopUnit {unit}"))), (2, 1), "with other arguments");

    bench.order(2, Stop);
    assert_eq!(bench.report().await, (2, ServiceReport::Stopped));
    assert_eq!(fake.count(&format!("StopUnit {unit}")), 2);
    assert!(!bench.running().await);
}

#[tokio::test]
async fn a_process_that_dies_in_its_unit_is_seen_at_once_and_started_again() {
    let (mut bench, fake) = bench(sleeps("100"));
    started(&mut bench).await;
    fake.set(|world| world.result = "signal");
    let begun = std::time::Instant::now();
    fake.becomes(&made(&fake).0, "failed").await;
    until("it is started again", || fake.count("StartTransientUnit") == 2).await;
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_process_that_cannot_be_started_as_a_unit_is_no_child_either_and_says_why() {
    let (mut bench, fake) = bench(sleeps("100"));
    fake.set(|world| (world.start, world.result) = (Plan::Ends("failed", "failed"), "exit-code"));
    bench.order(1, Start(Epoch(2)));
    let (1, ServiceReport::StartFailed { reason, .. }) = bench.report().await else { panic!("started") };
    assert!(reason.contains("a process of it ended with an error") && reason.contains("exit status 3"), "{reason}");
    assert!(bench.record("sleep").is_none());

    // It ends at once although systemd has started it.
    let (mut bench, fake) = self::bench(sleeps("100"));
    fake.set(|world| world.start = Plan::Ends("done", "inactive"));
    bench.order(1, Start(Epoch(2)));
    let (1, ServiceReport::StartFailed { reason, .. }) = bench.report().await else { panic!("started") };
    assert!(reason.contains("at once"), "{reason}");

    // No bus, and neither systemctl nor systemd-run.
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::living(dir, vec![sleeps("100")], true);
    bench.order(1, Start(Epoch(2)));
    let (1, ServiceReport::StartFailed { reason, .. }) = bench.report().await else { panic!("started") };
    assert!(reason.contains("systemd-run") && bench.record("sleep").is_none(), "{reason}");
}

#[tokio::test]
async fn what_the_bus_does_not_answer_is_started_by_systemd_run() {
    let dir = tempfile::tempdir().unwrap();
    script(dir.path(), "systemctl", "[ $1 = is-active ] && cat active 2>/dev/null || echo inactive");
    script(dir.path(), "systemd-run", "printf '%s\\n' \"$@\" >run && echo active >active");
    let argv = ["sleep", "100", "${HOME} $HOME"].map(String::from).to_vec();
    let mut bench = Bench::living(dir, vec![spec(Kind::Process(argv))], true);
    started(&mut bench).await;
    let with = fs::read_to_string(bench.path("run")).unwrap();
    let lines: Vec<&str> = with.lines().collect();
    assert!(lines.contains(&"--service-type=exec") && lines.contains(&"--setenv=TWINBEAT_EPOCH=2"), "{with}");
    assert!(lines.ends_with(&["100", "$${HOME} $$HOME"]) && lines.contains(&"--property=Before=twinbeat.service"), "{with}");
    assert!(bench.record("sleep").is_none() && bench.running().await);
}

#[tokio::test]
async fn a_daemon_that_leaves_or_enters_the_sandbox_starts_no_second_process_beside_the_first() {
    let (mut bench, fake) = bench(sleeps("100"));
    started(&mut bench).await;
    bench.restart_living(false);
    started(&mut bench).await;
    assert!(fake.count("StartTransientUnit") == 1 && bench.record("sleep").is_none(), "the unit runs on");
    bench.order(2, Stop);
    assert_eq!(bench.report().await, (2, ServiceReport::Stopped));
    started(&mut bench).await;
    assert!(fake.count("StartTransientUnit") == 1 && bench.record("sleep").is_some(), "from now on a child");

    bench.restart_living(true);
    started(&mut bench).await;
    assert!(fake.count("StartTransientUnit") == 1 && bench.record("sleep").is_some(), "the child runs on");
    bench.order(3, Stop);
    assert_eq!(bench.report().await, (3, ServiceReport::Stopped));
    started(&mut bench).await;
    assert!(fake.count("StartTransientUnit") == 2 && bench.record("sleep").is_none(), "from now on a unit");
}

#[tokio::test]
async fn an_init_script_starts_and_stops_in_units_of_its_own() {
    let (mut bench, fake) = bench(spec(lsb("third")));
    // What it starts and stops is in the hands of a systemd that executes nothing here: its status follows what was asked of that.
    script(bench.dir.path(), "third", "[ -e there ] || exit 3");
    fs::write(bench.path("there"), "").unwrap();
    bench.restart();
    fs::remove_file(bench.path("there")).unwrap();
    bench.order(1, Start(Epoch(2)));
    until("it is started in a unit", || fake.count("StartTransientUnit") == 1).await;
    fs::write(bench.path("there"), "").unwrap();
    assert_eq!(bench.report().await, (1, ServiceReport::Started));
    let (home, with) = made(&fake);
    assert!(with.contains("oneshot") && with.contains("start") && !home.contains(".stop."), "{home} {with}");

    bench.order(2, Stop);
    until("it is stopped in another one", || fake.count("StartTransientUnit") == 2).await;
    fs::remove_file(bench.path("there")).unwrap();
    assert_eq!(bench.report().await, (2, ServiceReport::Stopped));
    let (last, with) = made(&fake);
    assert!(last.contains(".stop.") && with.contains("stop") && !with.contains("twinbeat.service"), "{last} {with}");
    assert_eq!(fake.count(&format!("StopUnit {home}")), 1, "with whatever was left in it");
}
