//! The life of a service behind an agent of our own, which writes down how it was called.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::{AgentSpec, OcfSpec};
use crate::tests::{Bench, lsb, script, spec, until};
use crate::{Kind, Report, ServiceSpec};
use twinbeat_core::id::Epoch;
use twinbeat_core::io::ServiceOrder::{Start, Stop, StopCold};
use twinbeat_core::io::ServiceReport;

/// `state` is stopped, started or promoted; a file ACTION-fails has the exit code that the action ends with, ACTION-hangs makes it hang.
const BODY: &str = r#"
say() { echo "ocf-exit-reason:$1" >&2; exit "$2"; }
[ "$1" = monitor ] || echo "$1 dir=$OCF_RESKEY_dir" >> calls
[ "$1" = monitor ] && echo "$OCF_RESKEY_CRM_meta_interval" >> monitors
[ -e "$1-hangs" ] && sleep 60
[ -e "$1-fails" ] && say "told to fail" "$(cat "$1-fails")"
case "$1" in
start) echo started > state ;;
promote) echo promoted > state ;;
demote) echo started > state ;;
stop) rm -f state ;;
monitor)
    case "$(cat state 2> /dev/null)" in
    promoted) exit 8 ;;
    started) exit 0 ;;
    '') say "no state" 7 ;;
    esac
    exit 1 ;;
meta-data) echo '<resource-agent name="db"><actions><action name="monitor" timeout="3s"/></actions></resource-agent>' ;;
validate-all) ;;
*) exit 3 ;;
esac
exit 0
"#;

fn service(dir: &Path, value: &str, promoted: bool) -> ServiceSpec {
    let agent = AgentSpec {
        root: dir.to_owned(),
        program: dir.join("db"),
        provider: "own".into(),
        agent: "db".into(),
        parameters: [("dir".to_owned(), value.to_owned())].into(),
        promoted,
    };
    let mut spec = spec(Kind::Ocf(OcfSpec { agent, monitor_interval: Duration::from_millis(200) }));
    spec.stop_timeout = Duration::from_secs(2);
    // What it could be asked beforehand is a test of its own.
    spec.validate = Some(vec!["true".into()]);
    spec
}

fn bench(promoted: bool) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    script(dir.path(), "db", BODY);
    let services = vec![service(dir.path(), "/one", promoted)];
    Bench::within(dir, services)
}

fn calls(bench: &Bench) -> Vec<String> {
    let text = fs::read_to_string(bench.path("calls")).unwrap_or_default();
    text.lines().filter(|line| !line.starts_with("meta-data") && !line.starts_with("validate-all")).map(str::to_owned).collect()
}

fn set(bench: &Bench, name: &str, text: &str) {
    fs::write(bench.path(name), text).unwrap();
}

fn unset(bench: &Bench, name: &str) {
    fs::remove_file(bench.path(name)).unwrap();
}

fn failed(report: &ServiceReport) -> String {
    match report {
        ServiceReport::StartFailed { reason, .. }
        | ServiceReport::StopFailed { reason, .. }
        | ServiceReport::Died { reason, .. } => reason.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn it_starts_is_watched_at_its_interval_and_stops() {
    let mut bench = bench(false);
    assert!(!bench.running().await);
    bench.order(1, Start(Epoch(2)));
    assert_eq!(bench.report().await, (1, ServiceReport::Started));
    assert!(bench.running().await && bench.path("services/web=db.ocf").exists());
    until("two monitors of the watch", || fs::read_to_string(bench.path("monitors")).unwrap().matches("200\n").count() >= 2)
        .await;
    bench.order(2, Stop);
    assert_eq!(bench.report().await, (2, ServiceReport::Stopped));
    assert_eq!(calls(&bench), ["start dir=/one", "stop dir=/one"]);
    assert!(!bench.running().await && !bench.path("services/web=db.ocf").exists());
    // What does not run is not stopped again.
    bench.order(3, StopCold);
    assert_eq!(bench.report().await, (3, ServiceReport::Stopped));
    assert_eq!(calls(&bench).len(), 2);
}

#[tokio::test]
async fn what_runs_already_is_left_alone() {
    let mut bench = bench(false);
    set(&bench, "state", "started");
    bench.order(1, Start(Epoch(2)));
    assert_eq!(bench.report().await, (1, ServiceReport::Started));
    assert_eq!(calls(&bench), Vec::<String>::new());
}

#[tokio::test]
async fn a_start_that_fails_says_the_agents_own_reason() {
    let mut bench = bench(false);
    set(&bench, "start-fails", "5");
    bench.order(1, Start(Epoch(2)));
    let (_, report) = bench.report().await;
    let why = failed(&report);
    assert!(why.contains("ocf:own:db start: exit code 5 (OCF_ERR_INSTALLED") && why.ends_with("told to fail"), "{why}");
}

#[tokio::test]
async fn one_in_the_promoted_role_is_promoted_behind_its_start_and_demoted_before_its_stop() {
    let mut bench = bench(true);
    bench.order(1, Start(Epoch(2)));
    assert_eq!(bench.report().await, (1, ServiceReport::Started));
    bench.order(2, Stop);
    assert_eq!(bench.report().await, (2, ServiceReport::Stopped));
    assert_eq!(calls(&bench), ["start dir=/one", "promote dir=/one", "demote dir=/one", "stop dir=/one"]);
}

#[tokio::test]
async fn what_is_started_and_not_promoted_is_promoted_and_a_promotion_that_fails_is_a_start_that_fails() {
    let mut bench = bench(true);
    set(&bench, "state", "started");
    set(&bench, "promote-fails", "1");
    bench.order(1, Start(Epoch(2)));
    assert!(failed(&bench.report().await.1).contains("promote: exit code 1"));
    unset(&bench, "promote-fails");
    bench.order(2, Start(Epoch(2)));
    assert_eq!(bench.report().await, (2, ServiceReport::Started));
    assert_eq!(calls(&bench), ["promote dir=/one", "promote dir=/one"]);
}

#[tokio::test]
async fn a_demote_that_fails_or_hangs_is_followed_by_the_stop() {
    for how in ["demote-fails", "demote-hangs"] {
        let mut bench = bench(true);
        bench.order(1, Start(Epoch(2)));
        assert_eq!(bench.report().await, (1, ServiceReport::Started));
        set(&bench, how, "1");
        bench.order(2, Stop);
        assert_eq!(bench.report().await, (2, ServiceReport::Stopped), "{how}");
        assert_eq!(calls(&bench).last().unwrap(), "stop dir=/one");
    }
}

#[tokio::test]
async fn one_that_is_not_promoted_any_more_is_made_anew_on_the_spot() {
    let mut bench = bench(true);
    bench.order(1, Start(Epoch(2)));
    assert_eq!(bench.report().await, (1, ServiceReport::Started));
    set(&bench, "state", "started");
    until("promoted again", || {
        calls(&bench).len() >= 5 && fs::read_to_string(bench.path("state")).is_ok_and(|s| s.trim() == "promoted")
    })
    .await;
    assert_eq!(calls(&bench)[2..], ["stop dir=/one", "start dir=/one", "promote dir=/one"]);
}

#[tokio::test]
async fn one_that_ends_is_started_again_and_then_told_of() {
    let mut bench = bench(false);
    bench.order(1, Start(Epoch(2)));
    assert_eq!(bench.report().await, (1, ServiceReport::Started));
    unset(&bench, "state");
    // The start itself ends with a monitor of its own: then come those of a service that runs.
    until("started again", || bench.path("state").exists()).await;
    let monitors = || fs::read_to_string(bench.path("monitors")).unwrap_or_default().lines().count();
    let before = monitors();
    until("watched again", || monitors() >= before + 3).await;
    unset(&bench, "state");
    let (attempt, report) = bench.report().await;
    assert!(attempt == 1 && failed(&report).contains("no longer runs; again"), "{report:?}");
}

#[tokio::test]
async fn a_monitor_that_fails_once_is_nothing_and_twice_in_a_row_a_fall() {
    let mut bench = bench(false);
    bench.order(1, Start(Epoch(2)));
    assert_eq!(bench.report().await, (1, ServiceReport::Started));
    set(&bench, "state", "unwell");
    until("made anew", || calls(&bench).len() >= 3).await;
    assert_eq!(calls(&bench), ["start dir=/one", "stop dir=/one", "start dir=/one"]);
    // The second one within the window is told.
    set(&bench, "monitor-hangs", "");
    let why = failed(&bench.report().await.1);
    assert!(why.contains("not done after 3s") && why.contains("twice in a row"), "the agent's own limit: {why}");
}

#[tokio::test]
async fn a_stop_that_fails_is_told_and_its_end_as_well() {
    let mut bench = bench(false);
    bench.order(1, Start(Epoch(2)));
    assert_eq!(bench.report().await, (1, ServiceReport::Started));
    for how in ["stop-fails", "stop-hangs"] {
        set(&bench, how, "1");
        bench.order(2, Stop);
        let (_, report) = bench.report().await;
        assert!(matches!(report, ServiceReport::StopFailed { .. }), "{how}: {report:?}");
        assert!(failed(&report).contains("it still runs") && failed(&report).contains("stop: "), "{report:?}");
        assert!(bench.path("services/web=db.ocf").exists());
        unset(&bench, how);
    }
    unset(&bench, "state");
    assert!(matches!(bench.report().await.1, ServiceReport::Died { .. }));
}

#[tokio::test]
async fn what_was_started_with_other_parameters_is_stopped_with_those() {
    let mut bench = bench(false);
    bench.order(1, Start(Epoch(2)));
    assert_eq!(bench.report().await, (1, ServiceReport::Started));
    let services = vec![service(bench.dir.path(), "/two", false)];
    bench.restart_with(services);
    bench.order(2, Start(Epoch(2)));
    assert_eq!(bench.report().await, (2, ServiceReport::Started));
    assert_eq!(calls(&bench), ["start dir=/one", "stop dir=/one", "start dir=/two"]);
}

/// Two of one agent change places in the file: each is stopped and started as itself, and none for the other.
#[tokio::test]
async fn services_of_one_agent_that_change_places_are_not_taken_for_each_other() {
    let dir = tempfile::tempdir().unwrap();
    // Each has a state of its own, by what it is given.
    script(
        dir.path(),
        "db",
        &BODY
            .replace("> state", "> state-$(basename $OCF_RESKEY_dir)")
            .replace("rm -f state", "rm -f state-$(basename $OCF_RESKEY_dir)")
            .replace("cat state", "cat state-$(basename $OCF_RESKEY_dir)"),
    );
    let [one, two] = ["/one", "/two"].map(|value| service(dir.path(), value, false));
    let mut bench = Bench::within(dir, vec![one.clone(), two.clone()]);
    bench.order(1, Start(Epoch(2)));
    assert_eq!(bench.report().await, (1, ServiceReport::Started));
    bench.restart_with(vec![two.clone(), one]);
    bench.order(2, Start(Epoch(2)));
    assert_eq!(bench.report().await, (2, ServiceReport::Started));
    assert!(bench.path("state-one").exists() && bench.path("state-two").exists(), "{:?}", calls(&bench));
    // One of them goes from the file: the other one stays as it is.
    let before = calls(&bench).len();
    bench.restart_with(vec![two]);
    bench.order(3, Start(Epoch(2)));
    assert_eq!(bench.report().await, (3, ServiceReport::Started));
    assert!(bench.path("state-two").exists());
    bench.order(4, Stop);
    assert_eq!(bench.report().await, (4, ServiceReport::Stopped));
    assert!(!bench.path("state-two").exists());
    assert_eq!(calls(&bench)[before..].iter().filter(|call| *call == "stop dir=/two").count(), 1, "{:?}", calls(&bench));
}

/// Each question to the manager calls away who waits for the next look.
#[tokio::test]
async fn who_asks_for_the_state_again_and_again_keeps_nobody_from_seeing_an_end() {
    let dir = tempfile::tempdir().unwrap();
    script(dir.path(), "db", BODY);
    script(dir.path(), "web", "case $1 in start) touch up ;; stop) rm -f up ;; status) [ -e up ] || exit 3 ;; esac; exit 0");
    let mut services = vec![service(dir.path(), "/one", false), spec(lsb("web"))];
    services.iter_mut().for_each(|service| service.restarts = 0);
    let mut bench = Bench::within(dir, services);
    bench.order(1, Start(Epoch(2)));
    assert_eq!(bench.report().await, (1, ServiceReport::Started));
    for (file, name) in [("state", "db"), ("up", "web")] {
        unset(&bench, file);
        let until = Instant::now() + Duration::from_secs(10);
        let died = loop {
            bench.manager.as_ref().unwrap().state().await;
            if let Ok(Some(Report::Done { report, .. })) = timeout(Duration::from_millis(50), bench.reports.recv()).await {
                break report;
            }
            assert!(Instant::now() < until, "{name} is never seen");
        };
        assert!(matches!(&died, ServiceReport::Died { service, .. } if service == name), "{died:?}");
    }
}

#[tokio::test]
async fn an_order_does_not_wait_for_a_monitor_that_hangs() {
    let mut bench = bench(false);
    set(&bench, "monitor-hangs", "");
    let asked = bench.manager.as_ref().unwrap().ask();
    sleep(Duration::from_millis(300)).await;
    unset(&bench, "monitor-hangs");
    bench.order(1, Start(Epoch(2)));
    let begun = Instant::now();
    assert_eq!(bench.report().await, (1, ServiceReport::Started));
    assert!(begun.elapsed() < Duration::from_secs(3), "a question's limit is 5 s: {:?}", begun.elapsed());
    assert!(asked.await.unwrap().is_empty());
}

#[tokio::test]
async fn what_its_agent_has_against_a_start_is_an_obstacle_and_an_unknown_question_is_none() {
    let dir = tempfile::tempdir().unwrap();
    script(dir.path(), "db", BODY);
    fs::write(dir.path().join("validate-all-fails"), "6").unwrap();
    let service = ServiceSpec { validate: None, ..service(dir.path(), "/one", false) };
    let Kind::Ocf(ocf) = &service.kind else { panic!() };
    let env = crate::attempt::Env { group: "web".into(), node: "master1".into(), epoch: None, ending: false };
    let limit = Duration::from_secs(5);
    fs::write(dir.path().join("validate-all-fails"), "3").unwrap();
    assert_eq!(super::validate(&ocf.agent, "web.db", limit, &env).await, Ok(()));
    fs::write(dir.path().join("validate-all-fails"), "6").unwrap();
    let mut bench = Bench::within(dir, vec![service]);
    let told = timeout(Duration::from_secs(10), bench.reports.recv()).await.unwrap().unwrap();
    let Report::Startable { obstacle: Some(why), .. } = told else { panic!("{told:?}") };
    assert!(
        why.contains("db: ocf:own:db validate-all: exit code 6 (OCF_ERR_CONFIGURED") && why.ends_with("told to fail"),
        "{why}"
    );
}

#[tokio::test]
async fn an_agent_says_what_it_is_in_time_and_within_bounds_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    script(dir.path(), "db", BODY);
    let service = service(dir.path(), "/one", false);
    let Kind::Ocf(ocf) = &service.kind else { panic!() };
    let limit = Duration::from_millis(500);
    assert_eq!(super::meta_data(&ocf.agent, Duration::from_secs(5)).await.unwrap().name, "db");
    for (body, why) in [
        ("sleep 60", "not done after 500ms"),
        ("cat /dev/zero", "more than"),
        ("exit 3", "exit status: 3"),
        ("echo '<x>'", "it ends within a tag"),
    ] {
        script(dir.path(), "db", body);
        let said = super::meta_data(&ocf.agent, limit).await.unwrap_err();
        assert!(said.contains(why), "{body}: {said}");
    }
    fs::remove_file(dir.path().join("db")).unwrap();
    assert!(super::meta_data(&ocf.agent, limit).await.unwrap_err().contains("cannot be run"));
}
