#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, error::TryRecvError, unbounded_channel};
use tokio::time::{sleep, timeout};

use super::record::Record;
use super::*;
use twinbeat_core::id::Epoch;
use twinbeat_core::io::ServiceOrder::{self, Start, Stop, StopCold, Warm};

/// One group with its directory; its processes are killed at the end.
pub(super) struct Bench {
    pub(super) dir: TempDir,
    group: GroupServices,
    pub(super) manager: Option<ServiceManager>,
    pub(super) reports: UnboundedReceiver<Report>,
}

impl Bench {
    pub(super) fn new(services: Vec<ServiceSpec>) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        Bench::within(dir, services)
    }

    pub(super) fn within(dir: TempDir, services: Vec<ServiceSpec>) -> Bench {
        Bench::living(dir, services, false)
    }

    /// The same in a sandbox, or out of it.
    pub(super) fn living(dir: TempDir, services: Vec<ServiceSpec>, sandboxed: bool) -> Bench {
        let bus = format!("unix:path={}", dir.path().join("bus").display());
        let tools = Tools { bus, systemctl: dir.path().join("systemctl"), init_dir: dir.path().to_owned(), sandboxed };
        let state_dir = dir.path().to_owned();
        let group = GroupServices { group: GroupId(0), name: "web".into(), node: "master1".into(), state_dir, services, tools };
        let (sender, reports) = unbounded_channel();
        let manager = Some(ServiceManager::spawn(group.clone(), sender).unwrap());
        Bench { dir, group, manager, reports }
    }

    pub(super) fn order(&self, attempt: u64, order: ServiceOrder) {
        self.manager.as_ref().unwrap().order(Attempt(attempt), order);
    }

    pub(super) async fn report(&mut self) -> (u64, ServiceReport) {
        let report = timeout(Duration::from_secs(20), self.reports.recv()).await.unwrap().unwrap();
        match report {
            Report::Done { attempt, report, .. } => (attempt.0, report),
            other @ Report::Startable { .. } => panic!("{other:?}"),
        }
    }

    /// A new daemon's manager over the same directory.
    pub(super) fn restart(&mut self) {
        self.manager = None;
        let (sender, reports) = unbounded_channel();
        self.reports = reports;
        self.manager = Some(ServiceManager::spawn(self.group.clone(), sender).unwrap());
    }

    /// A new daemon's manager over the same directory, with another file.
    pub(super) fn restart_with(&mut self, services: Vec<ServiceSpec>) {
        self.group.services = services;
        self.restart();
    }

    /// A new daemon's manager in a sandbox, or out of it.
    pub(super) fn restart_living(&mut self, sandboxed: bool) {
        self.group.tools.sandboxed = sandboxed;
        self.restart();
    }

    pub(super) fn record(&self, name: &str) -> Option<Record> {
        Record::read(&self.dir.path().join(format!("services/web={name}.json")))
    }

    pub(super) async fn running(&self) -> bool {
        self.manager.as_ref().unwrap().running().await
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // a manager that lives on would start again what is killed here
        self.manager = None;
        std::thread::sleep(Duration::from_millis(100));
        for entry in fs::read_dir(self.dir.path().join("services")).unwrap() {
            for pid in Record::read(&entry.unwrap().path()).iter().flat_map(Record::family) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }
}

pub(super) fn spec(kind: Kind) -> ServiceSpec {
    ServiceSpec {
        kind,
        warm: false,
        start_timeout: Duration::from_secs(5),
        stop_timeout: Duration::from_secs(5),
        checks: Vec::new(),
        validate: None,
        restarts: ServiceSpec::RESTARTS,
        restart_window: ServiceSpec::RESTART_WINDOW,
    }
}

pub(super) fn lsb(script: &str) -> Kind {
    Kind::Lsb { script: script.into(), arguments: Vec::new() }
}

pub(super) fn process(argv: &[&str]) -> ServiceSpec {
    spec(Kind::Process(argv.iter().map(|word| (*word).to_owned()).collect()))
}

pub(super) fn script(dir: &Path, name: &str, body: &str) {
    let path = dir.join(name);
    fs::write(&path, format!("#!/bin/sh\ncd {}\n{body}", dir.display())).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

pub(super) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(10), "never: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_process_starts_with_its_environment_and_stops_whole() {
    let mut bench = Bench::new(vec![process(&["sh", "-c", "sleep 1000 & env; wait"])]);
    assert!(!bench.running().await);
    bench.order(1, Start(Epoch(8)));
    assert_eq!(bench.report().await, (1, ServiceReport::Started));
    assert!(bench.running().await);
    let log = bench.path("services/web=sh.log");
    until("its output", || fs::read_to_string(&log).unwrap().contains("TWINBEAT_EPOCH=8")).await;
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.contains("TWINBEAT_GROUP=web") && text.contains("TWINBEAT_NODE=master1"), "{text}");
    let record = bench.record("sh").unwrap();
    assert_eq!(record.family().len(), 2);
    bench.order(2, Stop);
    assert_eq!(bench.report().await, (2, ServiceReport::Stopped));
    assert!(record.family().is_empty() && bench.record("sh").is_none());
}

#[tokio::test]
async fn a_process_that_ignores_sigterm_is_killed_when_its_time_is_over() {
    let mut stubborn = process(&["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]);
    stubborn.stop_timeout = Duration::from_millis(300);
    let mut bench = Bench::new(vec![stubborn]);
    bench.order(1, Start(Epoch(2)));
    assert_eq!(bench.report().await, (1, ServiceReport::Started));
    let (record, begun) = (bench.record("sh").unwrap(), Instant::now());
    bench.order(2, Stop);
    assert_eq!(bench.report().await, (2, ServiceReport::Stopped));
    assert!(begun.elapsed() >= Duration::from_millis(300) && record.family().is_empty());
}

#[tokio::test]
async fn a_process_survives_the_manager_and_the_next_one_adopts_watches_and_stops_it() {
    let mut bench = Bench::new(vec![process(&["sleep", "1000"])]);
    bench.order(1, Start(Epoch(2)));
    assert_eq!(bench.report().await, (1, ServiceReport::Started));
    let record = bench.record("sleep").unwrap();
    bench.restart();
    assert!(bench.running().await, "found by its record");
    bench.order(1, Start(Epoch(2)));
    assert_eq!(bench.report().await, (1, ServiceReport::Started));
    assert_eq!(bench.record("sleep").unwrap(), record, "the same process, not a second one");
    kill(Pid::from_raw(record.pid), Signal::SIGKILL).unwrap();
    until("restarted on the spot", || bench.record("sleep").is_some_and(|new| new.pid != record.pid && new.alive())).await;
    bench.restart();
    bench.order(3, Stop);
    assert_eq!(bench.report().await, (3, ServiceReport::Stopped));
    assert!(!bench.running().await);
}

#[tokio::test]
async fn a_record_of_another_process_is_nobody_to_stop() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::within(dir, vec![process(&["sleep", "1000"])]);
    let me = i32::try_from(std::process::id()).unwrap();
    let mut record = Record::of(me, &["sleep".into(), "1000".into()]).unwrap();
    record.start += 1;
    record.write(&bench.path("services/web=sleep.json")).unwrap();
    assert!(!bench.running().await);
    bench.order(1, Stop);
    assert_eq!(bench.report().await, (1, ServiceReport::Stopped));
}

#[tokio::test]
async fn a_death_is_mended_once_in_silence_and_reported_the_second_time() {
    let mut bench = Bench::new(vec![process(&["sleep", "1000"])]);
    bench.order(7, Start(Epoch(2)));
    assert_eq!(bench.report().await, (7, ServiceReport::Started));
    let first = bench.record("sleep").unwrap();
    kill(Pid::from_raw(first.pid), Signal::SIGKILL).unwrap();
    until("a restart", || bench.record("sleep").is_some_and(|now| now.pid != first.pid)).await;
    sleep(Duration::from_millis(300)).await;
    assert_eq!(bench.reports.try_recv(), Err(TryRecvError::Empty));
    kill(Pid::from_raw(bench.record("sleep").unwrap().pid), Signal::SIGKILL).unwrap();
    let (attempt, ServiceReport::Died { service, reason }) = bench.report().await else { panic!("not dead") };
    assert_eq!((attempt, service.as_str()), (7, "sleep"));
    assert!(reason.contains("signal: 9"), "{reason}");
}

#[tokio::test]
async fn a_program_that_is_not_there_or_ends_at_once_is_a_failed_start() {
    let mut bench = Bench::new(vec![process(&["/nonexistent/nginx"])]);
    bench.order(1, Start(Epoch(2)));
    let (1, ServiceReport::StartFailed { service, reason }) = bench.report().await else { panic!("started") };
    assert_eq!(service, "nginx");
    assert!(reason.contains("No such file"), "{reason}");
    let mut bench = Bench::new(vec![process(&["sh", "-c", "exit 3"])]);
    bench.order(1, Start(Epoch(2)));
    let (1, ServiceReport::StartFailed { reason, .. }) = bench.report().await else { panic!("started") };
    assert!(reason.contains("exit status: 3"), "{reason}");
}

/// An init script whose daemon is a file; `slow` is what its start and stop do first.
fn init_script(dir: &Path, slow_start: &str, slow_stop: &str) {
    let body = format!(
        "case $1 in\nstart) {slow_start}\n echo started >>calls; touch up;;\nstop) {slow_stop}\n echo stopped >>calls; rm -f up;;\n\
         status) test -e up || exit 3;;\nesac\n"
    );
    script(dir, "web", &body);
}

#[tokio::test]
async fn an_init_script_is_started_watched_restarted_and_stopped() {
    let mut bench = Bench::new(vec![spec(lsb("web"))]);
    init_script(bench.dir.path(), "", "");
    bench.order(1, Start(Epoch(2)));
    assert_eq!(bench.report().await, (1, ServiceReport::Started));
    let up = bench.path("up");
    fs::remove_file(&up).unwrap();
    until("restarted", || up.exists()).await;
    fs::remove_file(&up).unwrap();
    assert!(matches!(bench.report().await, (1, ServiceReport::Died { .. })));
    bench.order(2, Start(Epoch(4)));
    assert_eq!(bench.report().await, (2, ServiceReport::Started));
    bench.order(3, Stop);
    assert_eq!(bench.report().await, (3, ServiceReport::Stopped));
    assert!(!up.exists() && !bench.running().await);
}

#[tokio::test]
async fn an_init_scripts_arguments_stand_before_its_action() {
    let arguments = vec!["r0".to_owned(), "a b".to_owned()];
    let mut bench = Bench::new(vec![spec(Kind::Lsb { script: "web".into(), arguments })]);
    let body = "[ $# = 3 ] && [ \"$1-$2\" = 'r0-a b' ] || exit 2\ncase $3 in start) touch up ;; stop) rm -f up ;; status) [ -e up ] || exit 3 ;; esac";
    script(bench.dir.path(), "web", body);
    bench.order(1, Start(Epoch(2)));
    assert_eq!(bench.report().await, (1, ServiceReport::Started));
    assert!(bench.path("up").exists());
    bench.order(2, Stop);
    assert_eq!(bench.report().await, (2, ServiceReport::Stopped));
    assert!(!bench.path("up").exists());
}

#[tokio::test]
async fn a_start_that_hangs_is_killed_at_its_limit() {
    let mut slow = spec(lsb("web"));
    slow.start_timeout = Duration::from_millis(300);
    let mut bench = Bench::new(vec![slow]);
    init_script(bench.dir.path(), "sleep 1000", "");
    let begun = Instant::now();
    bench.order(1, Start(Epoch(2)));
    let (1, ServiceReport::StartFailed { reason, .. }) = bench.report().await else { panic!("started") };
    assert!(reason.contains("300ms") && begun.elapsed() < Duration::from_secs(3), "{reason}");
}

#[tokio::test]
async fn a_stop_breaks_off_a_running_start_and_no_old_start_overtakes_it() {
    let mut bench = Bench::new(vec![spec(lsb("web"))]);
    init_script(bench.dir.path(), "touch begun; sleep 4", "");
    bench.order(1, Start(Epoch(2)));
    let begun = bench.path("begun");
    until("the start runs", || begun.exists()).await;
    let at = Instant::now();
    bench.order(2, Stop);
    assert_eq!(bench.report().await, (2, ServiceReport::Stopped), "and nothing of attempt 1");
    assert!(at.elapsed() < Duration::from_secs(3));
    sleep(Duration::from_secs(5)).await;
    assert!(!bench.path("up").exists(), "the old start did not go on");
    assert_eq!(bench.reports.try_recv(), Err(TryRecvError::Empty));
}

#[tokio::test]
async fn a_start_waits_for_the_stop_that_runs() {
    let mut bench = Bench::new(vec![spec(lsb("web"))]);
    init_script(bench.dir.path(), "", "touch stopping; sleep 1");
    bench.order(1, Start(Epoch(2)));
    assert_eq!(bench.report().await, (1, ServiceReport::Started));
    bench.order(2, Stop);
    let stopping = bench.path("stopping");
    until("the stop runs", || stopping.exists()).await;
    bench.order(3, Start(Epoch(4)));
    assert_eq!(bench.report().await, (3, ServiceReport::Started));
    assert_eq!(fs::read_to_string(bench.path("calls")).unwrap(), "started\nstopped\nstarted\n");
    assert!(bench.path("up").exists());
}

#[tokio::test]
async fn an_init_script_that_does_not_stop_is_reported_and_the_others_are_stopped() {
    let mut bench = Bench::new(vec![process(&["sleep", "1000"]), spec(lsb("web"))]);
    script(bench.dir.path(), "web", "case $1 in stop) exit 1;; esac; exit 0");
    bench.order(1, Start(Epoch(2)));
    assert_eq!(bench.report().await, (1, ServiceReport::Started));
    bench.order(2, Stop);
    let (2, ServiceReport::StopFailed { service, reason }) = bench.report().await else { panic!("stopped") };
    assert_eq!(service, "web");
    assert!(reason.contains("generic error") && reason.contains("still runs"), "{reason}");
    assert!(bench.record("sleep").is_none(), "the process before it was stopped all the same");
}

#[tokio::test]
async fn a_service_that_could_not_be_stopped_is_watched_to_its_end() {
    let mut bench = Bench::new(vec![spec(lsb("web"))]);
    let up = bench.path("up");
    fs::write(&up, "").unwrap();
    script(
        bench.dir.path(),
        "web",
        &format!("case $1 in stop) exit 1;; status) [ -e {} ] || exit 3;; esac; exit 0", up.display()),
    );
    bench.order(1, Stop);
    let (1, ServiceReport::StopFailed { .. }) = bench.report().await else { panic!("stopped") };
    fs::remove_file(&up).unwrap();
    let (1, ServiceReport::Died { service, .. }) = bench.report().await else { panic!("it ended, and nobody said so") };
    assert_eq!(service, "web");
}

#[tokio::test]
async fn a_state_that_cannot_be_found_out_is_not_stopped() {
    let mut bench = Bench::new(vec![spec(lsb("missing"))]);
    assert!(bench.running().await);
    bench.order(1, Stop);
    let (1, ServiceReport::StopFailed { reason, .. }) = bench.report().await else { panic!("stopped") };
    assert!(reason.contains("cannot be run"), "{reason}");
}

const SYSTEMCTL: &str = "echo $* >>calls
case $1 in
is-active) cat active 2>/dev/null || { echo inactive; exit 3; };;
start) test $2 = nginx || { echo \"Failed to start $2: Unit $2.service not found.\" >&2; exit 5; }; echo active >active;;
stop) test -e stubborn && sleep 1000; rm -f active;;
kill) rm -f active;;
esac\n";

#[tokio::test]
async fn a_unit_is_started_and_killed_when_it_does_not_stop() {
    let mut unit = spec(Kind::Systemd("nginx".into()));
    unit.stop_timeout = Duration::from_millis(300);
    let mut bench = Bench::new(vec![unit]);
    script(bench.dir.path(), "systemctl", SYSTEMCTL);
    bench.order(1, Start(Epoch(2)));
    assert_eq!(bench.report().await, (1, ServiceReport::Started));
    fs::write(bench.path("stubborn"), "").unwrap();
    bench.order(2, Stop);
    assert_eq!(bench.report().await, (2, ServiceReport::Stopped));
    let calls = fs::read_to_string(bench.path("calls")).unwrap();
    assert!(calls.contains("kill -s SIGKILL nginx"), "{calls}");
}

#[tokio::test]
async fn a_unit_that_is_not_there_says_so_in_systemds_words() {
    let mut bench = Bench::new(vec![spec(Kind::Systemd("ngnix".into()))]);
    script(bench.dir.path(), "systemctl", SYSTEMCTL);
    bench.order(1, Start(Epoch(2)));
    let (1, ServiceReport::StartFailed { reason, .. }) = bench.report().await else { panic!("started") };
    assert!(reason.contains("Unit ngnix.service not found"), "{reason}");
}

#[tokio::test]
async fn warm_services_run_on_a_standby_and_cold_ones_do_not() {
    let mut warm = process(&["sleep", "1001"]);
    warm.warm = true;
    let mut bench = Bench::new(vec![process(&["sleep", "1002"]), warm]);
    bench.order(1, Warm);
    assert_eq!(bench.report().await, (1, ServiceReport::Warmed));
    assert!(bench.record("sleep").is_none() && bench.record("sleep-2").unwrap().alive());
    bench.order(2, Start(Epoch(2)));
    assert_eq!(bench.report().await, (2, ServiceReport::Started));
    assert!(bench.record("sleep").unwrap().alive());
    bench.order(3, StopCold);
    assert_eq!(bench.report().await, (3, ServiceReport::Stopped));
    assert!(bench.record("sleep").is_none() && bench.record("sleep-2").unwrap().alive());
}
