//! With real programs: scripts in a directory of the test's own.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;

use super::super::record::Record;
use super::*;
use twinbeat_core::words::GroupRole;

/// A directory with scripts, and what they wrote into its `out`.
pub(super) struct Bench {
    pub dir: TempDir,
    pub hooks: Option<Hooks>,
    specs: Vec<HookSpec>,
}

/// Long enough for a machine that does something else.
const LONG: Duration = Duration::from_secs(20);
/// So that a failing hook is tried again at once.
const QUICK: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(10)];
/// So that a test ends before a failing hook is tried again.
const SLOW: [Duration; 1] = [Duration::from_secs(3600)];

impl Bench {
    pub fn new() -> Bench {
        Bench { dir: tempfile::tempdir().unwrap(), hooks: None, specs: Vec::new() }
    }

    /// A hook with a script, read by a shell that goes by the hook's name; `$OUT` is the file that the test reads.
    pub fn hook(&mut self, name: &str, script: &str) -> &mut HookSpec {
        let [shell, path, out] = [name, &format!("{name}.sh"), "out"].map(|name| self.path(name));
        symlink("/bin/sh", &shell).unwrap();
        fs::write(&path, format!("OUT={}\nD={}\n{script}\n", out.display(), self.dir.path().display())).unwrap();
        self.add([shell, path].map(|path| path.display().to_string()).to_vec())
    }

    pub fn add(&mut self, run: Vec<String>) -> &mut HookSpec {
        let on = BTreeSet::from([Kind::Role, Kind::Health, Kind::Readiness, Kind::Reaffirmed]);
        self.specs.push(HookSpec { run, on, groups: vec!["web".into(), "db".into()], timeout: LONG });
        self.specs.last_mut().unwrap()
    }

    pub fn start(&mut self, pauses: &'static [Duration]) {
        let from = Sender { cluster: "c".into(), node: "master1".into(), peer: "master2".into() };
        self.hooks = Some(Hooks::with(self.specs.clone(), from, self.dir.path(), pauses).unwrap());
    }

    pub fn tell(&self, change: Change) {
        self.hooks.as_ref().unwrap().tell(change);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn lines(&self) -> Vec<String> {
        self.read("out").lines().map(str::to_owned).collect()
    }

    pub fn until(&self, what: &str, mut holds: impl FnMut(&Bench) -> bool) {
        let began = Instant::now();
        while !holds(self) {
            assert!(began.elapsed() < LONG, "{what}: {}", self.read("out"));
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn stored(&self) -> Value {
        serde_json::from_str(&self.read("hooks.json")).unwrap_or_default()
    }

    /// How many changes wait on the disk.
    fn waiting(&self) -> usize {
        self.stored()["lanes"].as_array().map_or(0, |lanes| lanes.iter().map(|lane| lane["jobs"].as_array().unwrap().len()).sum())
    }
}

pub(super) fn owner(group: &str, epoch: u64) -> Change {
    let what = What::Role { role: GroupRole::Owner, was: Some(GroupRole::Claiming), epoch };
    Change { what, group: Some(group.into()), at: "2026-01-02T03:04:05.678Z".into(), reason: "the peer is dead".into() }
}

fn health(problems: &[&str]) -> Change {
    let health = if problems.is_empty() { Health::Ok } else { Health::Problems };
    let problems = problems.iter().map(ToString::to_string).collect();
    Change { what: What::Health { health, was: None, problems }, group: None, ..owner("web", 0) }
}

#[test]
fn the_document_is_on_standard_input_and_in_the_environment() {
    let mut bench = Bench::new();
    bench.hook("hook", "cat > $OUT; env | grep ^TWINBEAT_ | sort > $D/env; touch $D/done");
    bench.start(&QUICK);
    bench.tell(owner("web", 12));
    bench.until("it is run", |bench| bench.path("done").exists());
    let document: Value = serde_json::from_str(&bench.read("out")).unwrap();
    let expected = serde_json::json!({
        "version": 1, "event": "role", "group": "web", "cluster": "c", "node": "master1", "peer": "master2",
        "role": "owner", "was": "claiming", "epoch": 12, "at": "2026-01-02T03:04:05.678Z", "reason": "the peer is dead",
        "attempt": 1, "skipped": 0,
    });
    assert_eq!(document, expected);
    let env = bench.read("env");
    for (name, value) in expected.as_object().unwrap() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        assert!(env.contains(&format!("TWINBEAT_{}={value}\n", name.to_uppercase())), "{name} in {env}");
    }
}

#[test]
fn a_group_is_told_in_order_one_at_a_time_while_others_are_told_beside_it() {
    let mut bench = Bench::new();
    bench.hook(
        "hook",
        "mkdir $D/busy-$TWINBEAT_GROUP || echo both >> $OUT\n\
         if [ $TWINBEAT_GROUP$TWINBEAT_EPOCH = web1 ]; then while ! [ -e $D/go ]; do sleep 0.01; done; fi\n\
         echo $TWINBEAT_GROUP $TWINBEAT_EPOCH >> $OUT; rmdir $D/busy-$TWINBEAT_GROUP",
    );
    bench.start(&QUICK);
    for epoch in 1..=10 {
        bench.tell(owner("web", epoch));
    }
    bench.tell(owner("db", 1));
    bench.until("the other group is not kept waiting", |bench| bench.lines() == ["db 1"]);
    fs::write(bench.path("go"), "").unwrap();
    bench.until("all are told", |bench| bench.lines().len() == 11);
    let web: Vec<String> = (1..=10).map(|epoch| format!("web {epoch}")).collect();
    assert_eq!(bench.lines()[1..], web);
    bench.until("and nothing waits", |bench| bench.waiting() == 0);
}

#[test]
fn a_hook_hears_of_its_groups_and_its_kinds_alone_and_health_is_of_the_node() {
    let mut bench = Bench::new();
    let script = "echo $0 $TWINBEAT_EVENT ${TWINBEAT_GROUP:-node} | sed 's,.*/,,; s,[.]sh,,' >> $OUT";
    bench.hook("one", script).on = BTreeSet::from([Kind::Health]);
    bench.hook("two", script).groups = vec!["db".into()];
    bench.start(&QUICK);
    bench.tell(owner("web", 1));
    bench.tell(owner("db", 2));
    bench.tell(health(&["a", "b"]));
    bench.until("three are told", |bench| bench.lines().len() >= 3);
    bench.hooks.take().unwrap().end(LONG);
    let mut lines = bench.lines();
    lines.sort();
    assert_eq!(lines, ["one health node", "two health node", "two role db"]);
}

#[test]
fn what_was_not_finished_is_told_again_behind_a_restart_and_what_was_is_not() {
    let mut bench = Bench::new();
    bench.hook(
        "hook",
        "echo $TWINBEAT_EPOCH.$TWINBEAT_ATTEMPT >> $OUT\nif [ $TWINBEAT_EPOCH = 2 ] && ! [ -e $D/go ]; then sleep 1000; fi",
    );
    bench.start(&QUICK);
    (1..=3).for_each(|epoch| bench.tell(owner("web", epoch)));
    bench.until("the second one hangs", |bench| bench.lines() == ["1.1", "2.1"]);
    bench.until("and that is on the disk", |bench| bench.waiting() == 2 && bench.stored()["lanes"][0]["running"]["pid"].is_i64());
    let record: Record = serde_json::from_value(bench.stored()["lanes"][0]["running"].clone()).unwrap();
    assert!(record.alive());
    // The file as a daemon leaves it that is killed: nobody was told of the end. The threads of the first life stay; they begin nothing any more.
    let left = bench.read("hooks.json");
    bench.hooks.as_ref().unwrap().0.send(Letter::Gone).unwrap();
    let copy = bench.path("next");
    fs::create_dir(&copy).unwrap();
    fs::write(copy.join("hooks.json"), left).unwrap();
    fs::write(bench.path("go"), "").unwrap();
    let from = Sender { cluster: "c".into(), node: "master1".into(), peer: "master2".into() };
    let _next = Hooks::with(bench.specs.clone(), from, &copy, &QUICK).unwrap();
    bench.until("the next life tells on", |bench| bench.lines().len() >= 4);
    assert_eq!(bench.lines(), ["1.1", "2.1", "2.2", "3.1"]);
    assert!(record.family().is_empty(), "the one that was left running is gone: never two at a time");
}

#[test]
fn an_end_waits_for_a_moment_kills_what_still_runs_and_the_next_life_runs_it_again() {
    let mut bench = Bench::new();
    bench.hook(
        "hook",
        "echo $TWINBEAT_EPOCH.$TWINBEAT_ATTEMPT >> $OUT\nif [ $TWINBEAT_EPOCH = 2 ] && ! [ -e $D/go ]; then sleep 1000; fi",
    );
    bench.start(&QUICK);
    bench.tell(owner("web", 1));
    bench.tell(owner("web", 2));
    let began = Instant::now();
    bench.until("the second one hangs", |bench| bench.lines() == ["1.1", "2.1"]);
    bench.until("and that is on the disk", |bench| bench.stored()["lanes"][0]["running"]["pid"].is_i64());
    let record: Record = serde_json::from_value(bench.stored()["lanes"][0]["running"].clone()).unwrap();
    bench.hooks.take().unwrap().end(Duration::from_millis(100));
    assert!(began.elapsed() < LONG);
    bench.until("it is gone", |_| record.family().is_empty());
    fs::write(bench.path("go"), "").unwrap();
    bench.start(&QUICK);
    bench.until("it is run again", |bench| bench.lines() == ["1.1", "2.1", "2.2"]);
    bench.hooks.take().unwrap().end(LONG);
    assert_eq!(bench.waiting(), 0);
}

#[test]
fn an_end_tells_what_is_under_way_first() {
    let mut bench = Bench::new();
    bench.hook("hook", "sleep 0.2; echo $TWINBEAT_EPOCH >> $OUT");
    bench.start(&QUICK);
    bench.tell(owner("web", 1));
    bench.tell(owner("web", 2));
    bench.hooks.take().unwrap().end(LONG);
    assert_eq!(bench.lines(), ["1", "2"]);
    assert_eq!(bench.waiting(), 0);
}

#[test]
fn a_hook_that_hangs_is_killed_with_all_that_it_started_and_others_are_told_meanwhile() {
    // What it started does not go with a SIGTERM; in one case it does so itself.
    for trap in ["trap '' TERM", ""] {
        let mut bench = Bench::new();
        let child = "sh -c 'trap \"\" TERM; echo $$ > '$D'/child; while :; do sleep 0.1; done' &";
        let hangs = bench.hook("hangs", &format!("{trap}\n{child}\nwhile :; do sleep 0.1; done"));
        hangs.timeout = Duration::from_millis(1500);
        bench.hook("quick", "echo $TWINBEAT_EPOCH >> $OUT");
        bench.start(&[]);
        bench.tell(owner("web", 1));
        bench.until("the other hook is told", |bench| bench.lines() == ["1"]);
        bench.until("the first one has a child", |bench| bench.read("child").ends_with('\n'));
        let child: i32 = bench.read("child").trim().parse().unwrap();
        let lives = |pid: i32| Record::of(pid, &[]).is_some_and(|record| record.alive());
        bench.until("the child is killed as well", |_| !lives(child));
        bench.until("and it is given up", |bench| bench.waiting() == 0);
    }
}

#[test]
fn a_hook_that_fails_is_tried_again_a_few_times_and_then_the_next_change_is_told() {
    let mut bench = Bench::new();
    bench.hook("hook", "echo $TWINBEAT_EPOCH.$TWINBEAT_ATTEMPT >> $OUT\n[ $TWINBEAT_EPOCH.$TWINBEAT_ATTEMPT != 1.2 ] && [ $TWINBEAT_EPOCH != 3 ] && exit 7\nexit 0");
    bench.add(vec![bench.path("nothing").display().to_string()]);
    bench.start(&QUICK);
    (1..=3).for_each(|epoch| bench.tell(owner("web", epoch)));
    bench.until("all are told or given up", |bench| bench.lines().len() >= 6 && bench.waiting() == 0);
    assert_eq!(bench.lines(), ["1.1", "1.2", "2.1", "2.2", "2.3", "3.1"]);
}

#[test]
fn what_failed_is_kept_over_a_restart_until_its_time_comes() {
    let mut bench = Bench::new();
    bench.hook("hook", "echo $TWINBEAT_ATTEMPT >> $OUT; [ -e $D/go ]");
    bench.start(&SLOW);
    bench.tell(owner("web", 1));
    bench.until("it failed", |bench| bench.lines() == ["1"]);
    let began = Instant::now();
    bench.until("and that is on the disk", |bench| bench.stored()["lanes"][0]["running"].is_null() && bench.waiting() == 1);
    bench.hooks.take().unwrap().end(LONG);
    assert!(began.elapsed() < LONG / 2, "one that pauses is not waited for");
    fs::write(bench.path("go"), "").unwrap();
    bench.start(&SLOW);
    bench.until("it is run again", |bench| bench.lines() == ["1", "2"]);
    bench.until("and is done", |bench| bench.waiting() == 0);
}

#[test]
fn where_too_many_wait_the_middle_is_left_out_and_the_document_says_how_many() {
    let mut bench = Bench::new();
    bench.hook("hook", "echo $TWINBEAT_EPOCH $TWINBEAT_SKIPPED >> $OUT\nwhile ! [ -e $D/go ]; do sleep 0.01; done");
    bench.start(&QUICK);
    bench.tell(owner("web", 0));
    bench.until("the first one runs", |bench| bench.lines().len() == 1);
    (1..=1000).for_each(|epoch| bench.tell(owner("web", epoch)));
    bench.until("the file is bounded", |bench| bench.read("hooks.json").contains("\"epoch\":1000"));
    assert_eq!(bench.waiting(), queue::MOST);
    fs::write(bench.path("go"), "").unwrap();
    bench.until("the newest one is told", |bench| bench.lines().last().is_some_and(|line| line == "1000 0"));
    let told = bench.lines();
    assert_eq!(told[..2], ["0 0".to_owned(), "986 985".to_owned()]);
    assert_eq!(told.len(), queue::MOST, "{told:?}");
}

#[test]
fn a_file_that_makes_no_sense_is_kept_aside_and_hooks_are_told_all_the_same() {
    let good = serde_json::to_string(&owner("web", 1)).unwrap();
    let lanes = |jobs: &str| {
        format!("{{\"version\":1,\"lanes\":[{{\"run\":[\"x\"],\"group\":\"web\",\"jobs\":{jobs},\"running\":null}}]}}")
    };
    for (text, understood) in [
        ("", false),
        ("{\"version\":1,\"lanes\":[", false),
        ("{\"version\":2,\"lanes\":[]}", false),
        (lanes("7").as_str(), false),
        (lanes("[{\"change\":{\"event\":\"role\",\"role\":\"king\"},\"attempts\":0,\"skipped\":0}]").as_str(), false),
        (lanes(&format!("[{{\"change\":{good},\"attempts\":-1,\"skipped\":0}}]")).as_str(), false),
        // A hook that is configured no more.
        (lanes(&format!("[{{\"change\":{good},\"attempts\":1,\"skipped\":0}}]")).as_str(), true),
    ] {
        let mut bench = Bench::new();
        fs::write(bench.path("hooks.json"), text).unwrap();
        bench.hook("hook", "echo $TWINBEAT_EPOCH >> $OUT");
        bench.start(&QUICK);
        bench.tell(owner("web", 5));
        bench.until("it is told", |bench| bench.lines() == ["5"]);
        assert_eq!(bench.path("hooks.json.unreadable").exists(), !understood, "{text}");
        bench.until("the new file is good", |bench| bench.stored()["lanes"] == serde_json::json!([]));
    }
}

#[test]
fn a_program_that_reads_nothing_closes_all_or_leaves_something_behind_is_no_trouble() {
    let mut bench = Bench::new();
    bench.hook("deaf", "exec <&- >&- 2>&-; echo deaf >> $OUT");
    bench.hook("leaves", "sleep 1000 & echo $! >> $D/left; echo leaves >> $OUT");
    bench.start(&QUICK);
    // More than a pipe holds.
    let words = "x".repeat(90_000);
    bench.tell(health(&[&words]));
    bench.tell(health(&[]));
    bench.until("both are told of both", |bench| bench.lines().len() == 4);
    bench.until("and done", |bench| bench.waiting() == 0);
    // What a hook leaves in the background on purpose is its own affair.
    for left in bench.read("left").lines() {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(left.parse().unwrap()), Signal::SIGKILL).unwrap();
    }
}

/// Everything that is logged in this process, with its level.
struct Heard;
static LINES: std::sync::Mutex<Vec<String>> = std::sync::Mutex::new(Vec::new());

impl tracing::Subscriber for Heard {
    fn enabled(&self, meta: &tracing::Metadata<'_>) -> bool {
        meta.target() == "hook"
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        struct Words(String);
        impl tracing::field::Visit for Words {
            fn record_debug(&mut self, _: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                self.0 = format!("{value:?}");
            }
        }
        let mut words = Words(String::new());
        event.record(&mut words);
        LINES.lock().unwrap().push(format!("{} {}", event.metadata().level(), words.0));
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn what_a_hook_says_is_in_the_log_line_by_line_and_bounded_and_how_it_failed_too() {
    tracing::subscriber::set_global_default(Heard).unwrap();
    let mut bench = Bench::new();
    bench.hook("talks", "echo one; echo two >&2; printf 'a\\033[31mb'; exit 3");
    bench.hook("shouts", "i=0; while [ $i -lt 3000 ]; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; i=$((i+1)); done");
    bench.add(vec!["/nonexistent/program".into()]);
    bench.start(&QUICK[..1]);
    bench.tell(owner("web", 1));
    bench.until("all is over", |bench| bench.stored()["lanes"] == serde_json::json!([]));
    let lines =
        |name: &str| -> Vec<String> { LINES.lock().unwrap().iter().filter(|line| line.contains(name)).cloned().collect() };
    let talks = lines("web/talks: ");
    for wanted in ["one", "two", "a [31mb"] {
        assert!(talks.contains(&format!("INFO web/talks: {wanted}")), "{talks:#?}");
    }
    assert!(talks.contains(&"WARN web/talks: exit code 3 (role owner, epoch 1); tried again in 10ms".into()), "{talks:#?}");
    assert!(
        talks.contains(&"ERROR web/talks: exit code 3 (role owner, epoch 1); given up after 2 attempts".into()),
        "{talks:#?}"
    );
    let shouts = lines("web/shouts: x");
    assert!((400..600).contains(&shouts.len()), "16 KiB of lines of 32 bytes: {}", shouts.len());
    assert!(lines("web/shouts: ").iter().any(|line| line.contains("bytes of output left out")), "{:#?}", lines("left out"));
    assert!(lines("web/program: ").iter().any(|line| line.contains("cannot be run: No such file")), "{:#?}", lines("program"));
}
