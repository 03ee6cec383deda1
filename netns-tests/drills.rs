//! `twinbeat drill` as a person uses it: scenarios on the real kernel beside virtual time, an own configuration, and nothing left behind.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use twinbeat::lab::chapters;
use twinbeat::lab::html::Passed;
use twinbeat::lab::live::Live;
use twinbeat::lab::ns;
use twinbeat::lab::process::{self, Running};
use twinbeat::sim::golden::scenarios;

const TWINBEAT: &str = env!("CARGO_BIN_EXE_twinbeat");

/// One pair at a time: gaps of milliseconds are measured, and two cores are few.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// A scenario on the real kernel: the owners and refusals of virtual time, and what its file expects.
fn play(name: &str) {
    if !common::ready() {
        return;
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let all = scenarios(&Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")).unwrap();
    let path = all.into_iter().find(|path| path.file_stem().is_some_and(|stem| stem == name)).expect("a scenario of this name");
    let never = AtomicBool::new(false);
    let (chapter, judgement) = chapters::scenario(Path::new(TWINBEAT), &path, None, &mut Live::on(false), &never, false).unwrap();
    let judgement = judgement.expect("all of its steps exist on the real kernel");
    // A machine that stood still for longer than half a lease bears tells nothing about times: said, and judged no further. Two owners
    // are a failure on any machine.
    if judgement.lateness > Duration::from_millis(350) && !judgement.failures.is_empty() {
        println!("{name}: NOT JUDGED, the machine itself stood still for {:?}: {:?}", judgement.lateness, judgement.failures);
        assert!(!judgement.failures.iter().any(|f| f.contains("two nodes answered")), "{:#?}", judgement.failures);
        return;
    }
    assert!(
        judgement.failures.is_empty() && chapter.result == Passed::Yes,
        "{name}: {:#?}\n{:#?}",
        judgement.failures,
        chapter.details
    );
}

#[test]
fn power_off_has_the_same_owners_as_in_virtual_time() {
    play("recipe-power-off");
}

#[test]
fn a_third_machine_with_the_address_is_refused_as_in_virtual_time() {
    play("lesson-third-machine");
}

#[test]
fn replayed_heartbeats_change_nothing_as_in_virtual_time() {
    play("attack-replay");
}

#[test]
fn edited_files_and_restarts_change_nothing_as_in_virtual_time() {
    play("config-longer-lease-rolling");
}

#[test]
fn a_lost_state_directory_is_survived_as_in_virtual_time() {
    play("state-lost-owner");
}

#[test]
fn a_scenario_with_a_step_that_only_virtual_time_knows_is_said_and_not_passed() {
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/limit/limit-pause.json");
    if !common::ready() {
        return;
    }
    let done = Command::new(TWINBEAT).arg("drill").arg(&scenario).output().unwrap();
    let text = String::from_utf8_lossy(&done.stdout);
    assert_eq!(done.status.code(), Some(1), "{text}");
    assert!(text.contains("NOT HERE") && text.contains("cannot stand still"), "{text}");
}

/// What this run left: namespaces and files. Those of an earlier process with its pid, kept for somebody, are not its.
fn left((pid, start): (u32, u64)) -> Vec<String> {
    let ours = |name: &str| name.starts_with(&format!("tbd{pid}-{start}-"));
    let names = |dir: &Path| -> Vec<String> {
        let entries = fs::read_dir(dir).map(|all| all.filter_map(|e| e.ok()?.file_name().into_string().ok()).collect::<Vec<_>>());
        entries.unwrap_or_default().into_iter().filter(|name| ours(name)).collect()
    };
    [names(Path::new(ns::DIR)), names(&std::env::temp_dir())].concat()
}

/// Starts a drill and waits until its pair serves and the fault is held, for so many seconds.
fn start(hold: &str, environment: &[(&str, &str)]) -> (Child, (u32, u64), BTreeSet<Running>) {
    let mut command = Command::new(TWINBEAT);
    command.envs(environment.iter().copied());
    command.args(["drill", "hb1_down", "--hold", hold]).stdout(Stdio::piped()).stderr(Stdio::null());
    let child = command.spawn().unwrap();
    let maker = (child.id(), process::start_time(child.id()).unwrap());
    let until = Instant::now() + Duration::from_secs(60);
    let mut inside: BTreeSet<Running> = BTreeSet::new();
    while Instant::now() < until && inside.len() < 3 {
        for name in left(maker) {
            if let Ok(meta) = fs::metadata(Path::new(ns::DIR).join(name)) {
                use std::os::unix::fs::MetadataExt;
                let drill = child.id();
                let pids = process::in_namespace((meta.dev(), meta.ino())).into_iter().filter(|pid| *pid != drill);
                inside.extend(pids.filter_map(Running::of));
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(inside.len() >= 3, "two daemons and the owner's service run: {inside:?}");
    (child, maker, inside)
}

#[test]
fn an_interrupted_drill_leaves_nothing_behind() {
    if !common::ready() {
        return;
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut child, maker, inside) = start("60", &[]);
    assert!(!left(maker).is_empty());
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(1));
    assert_eq!(left(maker), Vec::<String>::new());
    assert!(inside.iter().all(|process| !process.alive()), "what ran inside is gone");
}

/// A release build aborts on a panic, and no guard runs: the panic itself has to clean up. In every build it does so and ends the process.
#[test]
fn a_drill_that_panics_leaves_nothing_behind() {
    if !common::ready() {
        return;
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut child, maker, inside) = start("1", &[("TWINBEAT_TEST_PANIC", "1")]);
    assert!(!left(maker).is_empty());
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(101), "it panicked");
    assert_eq!(left(maker), Vec::<String>::new());
    assert!(inside.iter().all(|process| !process.alive()), "what ran inside is gone");
}

#[test]
fn what_a_killed_drill_left_is_swept_by_the_next() {
    if !common::ready() {
        return;
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut child, maker, inside) = start("60", &[]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(left(maker).len() >= 6, "nobody could clean up: {:?}", left(maker));
    // The next one, whatever it is.
    let next = Command::new(TWINBEAT).args(["drill", "hb1_down", "--hold", "1"]).output().unwrap();
    assert!(next.status.success(), "{}", String::from_utf8_lossy(&next.stdout));
    assert_eq!(left(maker), Vec::<String>::new());
    assert!(inside.iter().all(|process| !process.alive()), "what ran inside is gone");
}

/// Two groups, each at home on another node, IPv6 alone, odd interface names; and things that reach outside.
const OWN: &str = r#"
cluster = "shop"
port = 7694
[nodes.north]
public_key = "ed25519:EmRIap77Ag0r371OXcjG4jmcrMWKlG7lFCaYnqoYXcw="
[nodes.north.links]
cross = { interface = "enp3s0", address = "fd11::1" }
office = { interface = "enp1s0f0", address = "fd42::12" }
[nodes.south]
public_key = "ed25519:h9RH5Ftx7hugvdnKqw7gEHpsJKAEkjSTJlbjlRPSKDA="
[nodes.south.links]
cross = { interface = "eno2", address = "fd11::2" }
office = { interface = "eno1", address = "fd42::13" }
[witness]
link = "office"
targets = ["fd42::1"]
[timing]
heartbeat = "100ms"
warn = "300ms"
lease = "320ms"
dead = "1s"
init_dead = "5s"
delivery = "50ms"
[log]
file = "/nowhere/twinbeat.log"
[[groups]]
name = "web"
preferred = "north"
vips = [{ address = "fd42::14/64", link = "office" }, { address = "fd42::15/64", link = "office" }]
services = [{ systemd = "nginx", warm = true }]
[[groups]]
name = "mail"
preferred = "south"
vips = [{ address = "fd42::24/64", link = "office" }]
services = [{ lsb = "postfix", warm = true }]
"#;

#[test]
fn an_own_pair_of_two_groups_and_ipv6_is_rehearsed() {
    if !common::ready() {
        return;
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let (file, report) = (dir.path().join("twinbeat.toml"), dir.path().join("report.html"));
    fs::write(&file, OWN).unwrap();
    let mut command = Command::new(TWINBEAT);
    command.arg("drill").arg("--config").arg(&file).args(["standby", "power_off", "--hold", "4"]).arg("--report").arg(&report);
    let done = command.output().unwrap();
    let (text, errors) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{text}\n{errors}");
    for said in
        ["[log] is left out", "systemd nginx of group web is replaced", "lsb postfix of group mail is replaced", "fd42::14"]
    {
        assert!(text.contains(said), "{said}: {text}");
    }
    let html = fs::read_to_string(&report).unwrap();
    assert!(html.contains("<svg") && html.contains("hears over cross") && html.contains("mail: role"), "{html}");
}

#[test]
fn an_ordinary_user_drills_in_a_user_namespace() {
    if !nix::unistd::geteuid().is_root() {
        return; // then every other test here is this one
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let binary: PathBuf = dir.path().join("twinbeat");
    fs::copy(TWINBEAT, &binary).unwrap();
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]).arg(&binary);
    command.args(["drill", "hb1_down", "--hold", "2"]).env("TMPDIR", dir.path()).current_dir(dir.path());
    let done = command.output().unwrap();
    let (text, errors) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    if errors.contains("lets ordinary users make user namespaces") {
        println!("SKIPPED: {errors}");
        return;
    }
    assert!(done.status.success() && text.contains("PASS"), "{text}\n{errors}");
}
