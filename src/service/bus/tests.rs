#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::error::TryRecvError;
use tokio::time::sleep;
use zbus::zvariant::Value;

use super::fake::{AT_ONCE, Fake, Plan, SOMEBODY};
use super::message;
use crate::tests::{Bench, script, spec, until};
use crate::{Kind, ServiceSpec, State};
use twinbeat_core::id::Epoch;
use twinbeat_core::io::ServiceOrder::{Start, Stop};
use twinbeat_core::io::ServiceReport;

const UNIT: &str = "nginx.service";

fn unit() -> ServiceSpec {
    spec(Kind::Systemd(UNIT.into()))
}

/// A group with one unit, and the bus; no `systemctl`.
fn bench(unit: ServiceSpec) -> (Bench, Fake, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("bus");
    let fake = Fake::serve(&socket);
    (Bench::within(dir, vec![unit]), fake, socket)
}

async fn state(bench: &Bench) -> State {
    let states = bench.manager.as_ref().unwrap().state().await;
    states.into_iter().next().unwrap().state
}

async fn until_state(bench: &Bench, what: &str, is: impl Fn(&State) -> bool) {
    let begun = Instant::now();
    loop {
        let now = state(bench).await;
        if is(&now) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "never {what}: {now:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

async fn started(bench: &mut Bench) {
    bench.order(1, Start(Epoch(2)));
    assert_eq!(bench.report().await, (1, ServiceReport::Started));
}

#[tokio::test]
async fn a_unit_is_started_and_stopped_by_jobs() {
    let (mut bench, fake, _) = bench(unit());
    assert!(!bench.running().await);
    started(&mut bench).await;
    assert_eq!(state(&bench).await, State::Running);
    bench.order(2, Stop);
    assert_eq!(bench.report().await, (2, ServiceReport::Stopped));
    let jobs: Vec<String> = fake.calls().into_iter().filter(|call| call.starts_with('S') && call.contains(UNIT)).collect();
    assert_eq!(jobs, ["StartUnit nginx.service replace", "StopUnit nginx.service replace"]);
}

#[tokio::test]
async fn a_stop_while_the_daemon_ends_does_not_wait_for_its_own_end() {
    let (mut bench, fake, _) = bench(unit());
    started(&mut bench).await;
    bench.manager.as_ref().unwrap().ending(true);
    bench.order(2, Stop);
    assert_eq!(bench.report().await, (2, ServiceReport::Stopped));
    assert_eq!(fake.count("StopUnit nginx.service ignore-dependencies"), 1);
}

#[tokio::test]
async fn a_start_that_fails_says_why_in_words() {
    for (end, result, words) in [
        ("failed", "exit-code", "a process of it ended with an error (exit-code)"),
        ("failed", "timeout", "not ready in the time that its unit allows"),
        ("dependency", "success", "a unit that it needs failed (dependency)"),
        ("odd", "success", "the job ended as `odd`"),
    ] {
        let (mut bench, fake, _) = bench(unit());
        fake.set(|world| (world.start, world.result) = (Plan::Ends(end, "failed"), result));
        bench.order(1, Start(Epoch(2)));
        let (1, ServiceReport::StartFailed { reason, .. }) = bench.report().await else { panic!("started") };
        assert!(reason.contains(words), "{reason}");
    }
}

#[tokio::test]
async fn a_unit_that_is_not_there_or_masked_says_so_in_systemds_words() {
    for (name, text) in [
        ("org.freedesktop.systemd1.NoSuchUnit", "Unit nginx.service not found."),
        ("org.freedesktop.systemd1.UnitMasked", "Unit nginx.service is masked."),
    ] {
        let (mut bench, fake, _) = bench(unit());
        fake.set(|world| world.start = Plan::Refused(name, text));
        bench.order(1, Start(Epoch(2)));
        let (1, ServiceReport::StartFailed { reason, .. }) = bench.report().await else { panic!("started") };
        assert!(reason.contains(text), "{reason}");
    }
}

#[tokio::test]
async fn what_the_bus_forbids_is_done_by_systemctl() {
    let (mut bench, fake, _) = bench(unit());
    fake.set(|world| world.start = Plan::Refused("org.freedesktop.DBus.Error.AccessDenied", "Rejected send message"));
    script(bench.dir.path(), "systemctl", "echo $* >>calls");
    started(&mut bench).await;
    assert_eq!(fs::read_to_string(bench.path("calls")).unwrap(), "start nginx.service\n");
}

#[tokio::test]
async fn a_job_that_never_ends_is_given_up_at_its_limit_and_for_a_stop() {
    let mut slow = unit();
    slow.start_timeout = Duration::from_millis(300);
    let (mut bench, fake, _) = bench(slow);
    fake.set(|world| world.start = Plan::Never("activating"));
    let begun = Instant::now();
    bench.order(1, Start(Epoch(2)));
    let (1, ServiceReport::StartFailed { reason, .. }) = bench.report().await else { panic!("started") };
    assert!(reason.contains("not done after 300ms") && begun.elapsed() < Duration::from_secs(2), "{reason}");

    let (mut bench, fake, _) = self::bench(unit());
    fake.set(|world| world.start = Plan::Never("activating"));
    bench.order(1, Start(Epoch(2)));
    until("the job is queued", || fake.count("StartUnit") == 1).await;
    let begun = Instant::now();
    bench.order(2, Stop);
    assert_eq!(bench.report().await, (2, ServiceReport::Stopped), "and nothing of attempt 1");
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_unit_that_does_not_stop_in_time_is_killed() {
    let mut slow = unit();
    slow.stop_timeout = Duration::from_millis(300);
    let (mut bench, fake, _) = bench(slow);
    started(&mut bench).await;
    fake.set(|world| world.stop = Plan::Never("deactivating"));
    bench.order(2, Stop);
    assert_eq!(bench.report().await, (2, ServiceReport::Stopped));
    assert_eq!(fake.count("KillUnit"), 1);
}

#[tokio::test]
async fn a_unit_that_dies_is_noticed_at_once_and_who_looks_costs_no_call() {
    let (mut bench, fake, _) = bench(unit());
    started(&mut bench).await;
    fake.set(|world| world.result = "signal");
    let calls = fake.calls().len();
    for _ in 0..50 {
        assert_eq!(state(&bench).await, State::Running);
    }
    assert!(fake.calls().len() <= calls + 1, "{:?}", fake.calls());
    let begun = Instant::now();
    fake.becomes(UNIT, "failed").await;
    until("a restart on the spot", || fake.count("StartUnit") == 2).await;
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    until_state(&bench, "up again", |state| *state == State::Running).await;
    fake.becomes(UNIT, "failed").await;
    let (1, ServiceReport::Died { reason, .. }) = bench.report().await else { panic!("not dead") };
    assert!(reason.contains("failed: a process of it was killed by a signal (signal)"), "{reason}");
}

#[tokio::test]
async fn what_somebody_else_on_the_bus_says_of_a_unit_is_nothing() {
    let (mut bench, fake, _) = bench(unit());
    started(&mut bench).await;
    let calls = fake.calls().len();
    for _ in 0..20 {
        fake.say_by(SOMEBODY, UNIT, "inactive").await;
        sleep(Duration::from_millis(20)).await;
        assert_eq!(state(&bench).await, State::Running);
    }
    assert!(fake.calls().len() <= calls + 1, "nor is systemd asked for it: {:?}", fake.calls());
    // And what systemd itself has said for a moment is asked for once more before anything is done.
    fake.say_by(":1.0", UNIT, "inactive").await;
    sleep(Duration::from_millis(500)).await;
    assert_eq!((fake.count("StartUnit"), state(&bench).await), (1, State::Running));
    assert_eq!(bench.reports.try_recv(), Err(TryRecvError::Empty));
}

#[tokio::test]
async fn a_bus_that_goes_leaves_the_state_unknown_until_it_comes_back() {
    let (mut bench, mut fake, socket) = bench(unit());
    started(&mut bench).await;
    fake.leave(&socket).await;
    until_state(&bench, "unknown", |state| matches!(state, State::Unknown(_))).await;
    let State::Unknown(why) = state(&bench).await else { panic!("known") };
    assert!(why.contains("bus") && why.contains("systemctl") && why.contains("cannot be run"), "{why}");
    sleep(Duration::from_millis(1500)).await;
    fake.come_back(&socket);
    until_state(&bench, "known again", |state| *state == State::Running).await;
    assert_eq!((fake.count("StartUnit"), bench.reports.try_recv()), (1, Err(TryRecvError::Empty)), "it was no death");
    let begun = Instant::now();
    fake.becomes(UNIT, "inactive").await;
    until("the death is seen", || fake.count("StartUnit") == 2).await;
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn answers_that_make_no_sense_are_no_state() {
    let (mut bench, fake, _) = bench(unit());
    started(&mut bench).await;
    fake.becomes(UNIT, "sleeping").await;
    until_state(&bench, "a word that nobody knows", |state| matches!(state, State::Unknown(why) if why.contains("sleeping")))
        .await;
    fake.set(|world| world.nonsense = true);
    bench.order(2, Stop);
    let (2, ServiceReport::StopFailed { reason, .. }) = bench.report().await else { panic!("stopped") };
    assert!(reason.contains("makes no sense"), "{reason}");
    fake.set(|world| {
        world.nonsense = false;
        world.states.clear();
    });
    until_state(&bench, "known again", |state| *state == State::Stopped).await;
}

#[test]
fn a_signal_that_makes_no_sense_is_no_state() {
    let path = "/org/freedesktop/systemd1/unit/nginx_2eservice";
    let signal = |interface: &str, member: &str| {
        zbus::Message::signal(path, interface.to_owned(), member.to_owned()).unwrap().sender(":1.0").unwrap()
    };
    let properties = || signal("org.freedesktop.DBus.Properties", "PropertiesChanged");
    let values: HashMap<&str, Value<'_>> = [("ActiveState", Value::from(7_u32))].into();
    let none: Vec<&str> = Vec::new();
    for odd in [
        properties().build(&()).unwrap(),
        properties().build(&("inactive", 3_u32)).unwrap(),
        properties().build(&("org.freedesktop.systemd1.Unit", values, none)).unwrap(),
    ] {
        // Systemd is asked, then.
        assert!(matches!(message::signal(&odd, Some(":1.0")), Some(message::Signal::Changed(_, None))), "{odd:?}");
        assert_eq!(message::signal(&odd, Some(":1.1")), None);
        assert_eq!(message::signal(&odd, None), None);
    }
    for member in ["JobRemoved", "UnitNew", "Reloading", "Unheard"] {
        let odd = signal("org.freedesktop.systemd1.Manager", member).build(&(vec![1_u8; 9], "x")).unwrap();
        assert_eq!(message::signal(&odd, Some(":1.0")), None);
    }
}

#[tokio::test]
async fn a_bus_that_answers_nothing_keeps_nobody_longer_than_systemctl_did() {
    let (mut bench, fake, _) = bench(unit());
    started(&mut bench).await;
    // Its state is found out by `systemctl` meanwhile, and that stops it.
    let body = "echo $* >>calls\ncase $1 in is-active) test -e gone && { echo inactive; exit 3; }; echo active;; stop) touch gone;; esac";
    script(bench.dir.path(), "systemctl", body);
    fake.set(|world| world.mute = true);
    let begun = Instant::now();
    bench.order(2, Stop);
    assert_eq!(bench.report().await, (2, ServiceReport::Stopped));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(fs::read_to_string(bench.path("calls")).unwrap().contains("stop nginx.service"));

    let (bench, fake, _) = self::bench(unit());
    fake.set(|world| world.mute = true);
    let begun = Instant::now();
    let State::Unknown(why) = state(&bench).await else { panic!("known") };
    assert!(begun.elapsed() < Duration::from_secs(5) && why.contains("no answer within"), "{why}");
}
