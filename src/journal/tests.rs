#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::file;
use super::line::{Coder, Line};
use super::queue::{Queue, ROOM};
use super::recorded::Recorded;
use super::replay::{Difference, Nobody, Played, Trouble, play};
use twinbeat_core::io::{Input, Output};
use twinbeat_core::node::Node;
use twinbeat_core::settings::Settings;
use twinbeat_core::time::{Mono, Span};
use twinbeat_sim::clock::Moment;
use twinbeat_sim::machine::Brain;
use twinbeat_sim::pair::Builder;
use twinbeat_sim::world::World;

/// What the daemon of a simulated machine writes: all of its inputs and settings, to be recorded afterwards as the daemon would.
type Tape = Vec<(Mono, Input)>;

/// A tape that is still being written.
type Running = (Settings, Mono, Arc<Mutex<Tape>>);

thread_local! {
    /// The tapes of the daemons of this thread's world, in the order in which they started.
    static TAPES: std::cell::RefCell<Vec<Running>> = const { std::cell::RefCell::new(Vec::new()) };
}

struct Taped(Node, Arc<Mutex<Tape>>);

impl Brain for Taped {
    fn handle(&mut self, now: Mono, input: Input) {
        self.1.lock().unwrap().push((now, input.clone()));
        self.0.handle(now, input);
    }
    fn poll(&mut self) -> Option<Output> {
        self.0.poll()
    }
    fn deadline(&self) -> Option<Mono> {
        self.0.deadline()
    }
}

fn taped(settings: Settings, now: Mono) -> Box<dyn Brain> {
    let tape = Arc::new(Mutex::new(Vec::new()));
    TAPES.with_borrow_mut(|all| all.push((settings.clone(), now, Arc::clone(&tape))));
    Box::new(Taped(Node::new(settings, now), tape))
}

/// Runs a world in which things happen; the tape of each daemon's life.
pub fn lives(until: Span, act: impl FnOnce(&mut World)) -> Vec<(Settings, Mono, Tape)> {
    TAPES.with_borrow_mut(Vec::clear);
    // What is told here is a wait for `dead`.
    let mut pair = Builder::default();
    pair.timing.early_claim = false;
    let mut world = World::new(pair.build(), 7, taped);
    act(&mut world);
    world.run_until(Moment(until.0));
    let take = |(settings, at, tape): Running| (settings, at, std::mem::take(&mut *tape.lock().unwrap()));
    TAPES.with_borrow_mut(std::mem::take).into_iter().map(take).collect()
}

/// A start of both, then master1 loses power for a while in the third minute.
pub fn story(world: &mut World) {
    use twinbeat_sim::act::Act;
    world.apply(&Act::Start(0));
    world.apply(&Act::Start(1));
    world.run_until(Moment(Span::secs(150).0));
    world.apply(&Act::PowerOff(0));
    world.run_until(Moment(Span::secs(180).0));
    world.apply(&Act::PowerOn(0));
    world.apply(&Act::Start(0));
}

/// Records a tape as the daemon does, into files of that directory.
pub fn record(dir: &Path, keep: u64, life: &(Settings, Mono, Tape)) {
    let (settings, at, tape) = life;
    let mut recorded = Recorded::start(Node::new(settings.clone(), *at), *at, dir.to_owned(), keep).unwrap();
    for (place, (now, input)) in tape.iter().enumerate() {
        recorded.handle(*now, input.clone());
        while recorded.poll().is_some() {}
        if place % 200 == 0 {
            recorded.wait();
        }
    }
    recorded.wait();
}

fn files(dir: &Path) -> Vec<PathBuf> {
    file::named(&[dir.to_owned()]).unwrap()
}

#[test]
fn an_hour_of_life_replays_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let lives = lives(Span::secs(3600), story);
    assert_eq!(lives.len(), 3, "master1 lives twice");
    for life in &lives {
        record(dir.path(), 64 << 20, life);
    }
    let inputs: usize = lives.iter().map(|(_, _, tape)| tape.len()).sum();
    assert!(inputs > 100_000, "{inputs}");
    let played = play(&files(dir.path()), &mut Nobody).unwrap_or_else(|trouble| panic!("{trouble}"));
    assert_eq!((played.inputs, played.starts, played.remarks), (inputs as u64, 3, vec![]));
    let bytes: u64 = file::list(dir.path()).unwrap().iter().map(|(.., size)| size).sum();
    println!("{inputs} inputs in {bytes} bytes, {} files", played.files);
    assert!(played.files > 3, "it went over several files");
}

/// A short life in one file, and its text.
fn short() -> (tempfile::TempDir, PathBuf, String) {
    let dir = tempfile::tempdir().unwrap();
    let lives = lives(Span::secs(60), story);
    record(dir.path(), 64 << 20, &lives[0]);
    let file = dir.path().join(file::name(1));
    let text = std::fs::read_to_string(&file).unwrap();
    (dir, file, text)
}

fn replay(file: &Path) -> Result<Played, Trouble> {
    play(&[file.to_owned()], &mut Nobody)
}

fn differs(result: Result<Played, Trouble>) -> Box<Difference> {
    match result {
        Err(Trouble::Difference(difference)) => difference,
        other => panic!("{other:?}"),
    }
}

fn faulty(result: Result<Played, Trouble>) -> String {
    match result {
        Err(Trouble::Fault(fault)) => fault.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_refused_port_in_an_old_journal_is_time_that_has_passed() {
    let (_dir, file, text) = short();
    let as_it_is = replay(&file).unwrap_or_else(|trouble| panic!("{trouble}"));
    let ticks = text.matches(",\".\"]\n").count();
    assert!(ticks > 100, "{ticks}");
    std::fs::write(&file, text.replace(",\".\"]\n", ",\"i\",{\"PortRefused\":{\"link\":0}}]\n")).unwrap();
    assert_eq!(replay(&file).unwrap_or_else(|trouble| panic!("{trouble}")), as_it_is);
}

#[test]
fn a_changed_output_fails_and_the_difference_is_named() {
    let (_dir, file, text) = short();
    let line = text.lines().position(|l| l.contains("SERVES, epoch 2")).unwrap();
    std::fs::write(&file, text.replacen("SERVES, epoch 2", "SERVES, epoch 4", 1)).unwrap();
    let difference = differs(replay(&file));
    assert_eq!(difference.line, line, "the input's line, one before the outputs', counted from 1");
    assert!(difference.recorded.contains("SERVES, epoch 4") && difference.replayed.contains("SERVES, epoch 2"), "{difference}");
    assert!(difference.part.contains(".text: recorded"), "{difference}");
}

#[test]
fn a_changed_input_fails_where_its_outputs_part() {
    let (_dir, file, text) = short();
    // The first answer of the witness comes back as another one.
    let line = text.lines().find(|l| l.contains(r#","e",0,"o","#)).unwrap();
    std::fs::write(&file, text.replacen(line, &line.replace(r#""o","#, r#""o",9"#), 1)).unwrap();
    let difference = differs(replay(&file));
    assert!(difference.part.starts_with("outputs"), "{difference}");
    assert!(difference.to_string().contains("replayed"), "{difference}");
}

#[test]
fn a_missing_line_of_outputs_fails() {
    let (_dir, file, text) = short();
    let gone = text.lines().find(|l| l.starts_with(r#"["o""#)).unwrap();
    std::fs::write(&file, text.replacen(&format!("{gone}\n"), "", 1)).unwrap();
    assert_eq!(differs(replay(&file)).recorded, "nothing");
}

#[test]
fn a_cut_last_line_is_left_out_and_said() {
    let (_dir, file, text) = short();
    let whole = replay(&file).unwrap();
    for cut in (1..20).chain((20..400).step_by(19)) {
        std::fs::write(&file, &text[..text.len() - cut]).unwrap();
        let played = replay(&file).unwrap_or_else(|trouble| panic!("cut {cut}: {trouble}"));
        assert!(played.inputs <= whole.inputs);
        let at_a_line = text.as_bytes()[text.len() - cut - 1] == b'\n';
        assert_eq!(played.remarks.iter().any(|r| r.contains("not whole")), !at_a_line, "cut {cut}: {:?}", played.remarks);
    }
    std::fs::write(&file, format!("{text}\0\0\0\0")).unwrap();
    assert!(replay(&file).unwrap().remarks[0].contains("not whole"));
    std::fs::write(&file, &text[..100]).unwrap();
    let played = replay(&file).unwrap();
    assert!(played.remarks[0].contains("not even its head"), "{:?}", played.remarks);
}

#[test]
fn garbage_gets_file_and_line() {
    let (_dir, file, text) = short();
    let with = |line: &str| {
        let mut lines: Vec<&str> = text.lines().collect();
        // In front of an input whose predecessor is complete with its outputs.
        let place = (10..).find(|n| !lines[*n].starts_with(r#"["o""#) && lines[n - 1].starts_with(r#"["o""#)).unwrap();
        lines.insert(place, line);
        std::fs::write(&file, lines.join("\n") + "\n").unwrap();
        let said = faulty(replay(&file));
        assert!(said.contains(&format!("0000000001.jsonl:{}: ", place + 1)), "{said}");
        said
    };
    assert!(with("rubbish").contains("not a line of a journal"));
    assert!(with("[]").contains("something is missing"));
    assert!(with("[12,\"z\"]").contains("allowed: \".\""));
    assert!(with("[\"x\"]").contains("allowed: a time"));
    assert!(with("[12,\"e\",0,\"w\",3]").contains("an echo of the kind"));
    assert!(with("[12,\"i\",{\"Foo\":1}]").contains("Foo"));
    assert!(with("[-1,\".\"]").contains("nanoseconds"));
    let said = with("[\"o\",{\"Announce\":{\"group\":0}}]");
    assert!(said.contains("outputs without an input"), "{said}");
    std::fs::write(&file, "{\"hello\":1}\n").unwrap();
    assert!(faulty(replay(&file)).contains("not the head of a journal"));
    std::fs::write(&file, text.replacen("\"format\":2", "\"format\":1", 1)).unwrap();
    assert!(faulty(replay(&file)).contains("reads format 2"));
    std::fs::write(&file, b"\xff\xfe\n").unwrap();
    assert!(faulty(replay(&file)).contains("UTF-8"));
}

#[test]
fn what_is_kept_is_bounded_and_the_oldest_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let keep = 2 << 20;
    let lives = lives(Span::secs(1500), story);
    record(dir.path(), keep, &lives[1]);
    let kept = file::list(dir.path()).unwrap();
    let bytes: u64 = kept.iter().map(|(.., size)| size).sum();
    assert!(bytes <= keep && bytes > keep / 2, "{bytes}");
    assert!(kept[0].0 > 1, "the oldest are gone");
    for (_, path, _) in &kept {
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let played = play(&files(dir.path()), &mut Nobody).unwrap_or_else(|trouble| panic!("{trouble}"));
    assert!(played.inputs > 10_000 && played.remarks.is_empty(), "{played:?}");
    // One missing in the middle is said, and each of the others is whole by itself.
    std::fs::remove_file(&kept[kept.len() / 2].1).unwrap();
    let played = play(&files(dir.path()), &mut Nobody).unwrap_or_else(|trouble| panic!("{trouble}"));
    assert_eq!(played.remarks.len(), 1, "{played:?}");
}

#[test]
fn a_full_queue_drops_counts_and_begins_anew_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let (settings, at, tape) = lives(Span::secs(600), story).swap_remove(1);
    let queue = Queue::default();
    let mut recorded = Recorded::with(Node::new(settings, at), at, queue.clone());
    let mut given = tape.iter();
    let mut give = |recorded: &mut Recorded, most: usize| {
        for (now, input) in given.by_ref().take(most) {
            recorded.handle(*now, input.clone());
            while recorded.poll().is_some() {}
        }
    };
    // Nobody empties it: the decision goes on all the same.
    give(&mut recorded, 15_000);
    assert!(recorded.lost() > 1000, "{}", recorded.lost());
    assert!(queue.waiting() <= ROOM);
    super::writer::start(dir.path().to_owned(), 64 << 20, queue).unwrap();
    recorded.wait();
    give(&mut recorded, 2_000);
    recorded.wait();
    drop(recorded);
    let played = play(&files(dir.path()), &mut Nobody).unwrap_or_else(|trouble| panic!("{trouble}"));
    assert_eq!(played.files, 2);
    assert!(played.remarks.iter().any(|r| r.contains("were lost here")), "{:?}", played.remarks);
    assert!(played.remarks.iter().any(|r| r.contains("are missing before it; begins anew")), "{:?}", played.remarks);
}

#[test]
fn a_disk_that_cannot_be_written_never_stops_the_node() {
    let dir = tempfile::tempdir().unwrap();
    let inside = dir.path().join("file");
    std::fs::write(&inside, "").unwrap();
    let lives = lives(Span::secs(60), story);
    record(&inside.join("journal"), 64 << 20, &lives[0]);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn why_tells_a_claim_with_its_evidence_and_what_was_missing_on_the_way() {
    let dir = tempfile::tempdir().unwrap();
    let lives = lives(Span::secs(240), |world| {
        story(world);
        let takeover = twinbeat_core::io::Command::Takeover { group: None };
        world.apply(&twinbeat_sim::act::Act::Command(1, takeover));
    });
    record(dir.path(), 64 << 20, &lives[1]);
    let told = super::why::explain(&files(dir.path()), 50).unwrap_or_else(|trouble| panic!("{trouble}"));
    println!("{}\n{}", told.decisions.join("\n"), told.now);
    let claim = told.decisions.iter().find(|d| d.contains("master2 SERVES") && d.contains("the peer is lost")).unwrap();
    for part in [
        "was not heard on any link for 600ms",
        "open: the witness's table was not challenged yet",
        "closed: the peer is silent, but not yet long enough",
        "links      bond no carrier (2s ago)",
        "lan lost (2s ago)",
        "answers this node",
        "nothing: it may own",
    ] {
        assert!(claim.contains(part), "{part}: {claim}");
    }
    assert!(told.decisions.iter().any(|d| d.contains("master2 LEAVES")), "the failback");
    assert!(told.now.contains("the journal's newest line"), "{}", told.now);
    let one = super::why::explain(&files(dir.path()), 1).unwrap_or_else(|trouble| panic!("{trouble}"));
    assert_eq!(one.decisions.as_slice(), &told.decisions[told.decisions.len() - 1..]);
}

/// What would have been, for the standby of the story.
fn what_if(dir: &Path, set: &str) -> String {
    let told = twinbeat_whatif::what_if(&files(dir), &[set.to_string()]).unwrap_or_else(|error| panic!("{error}"));
    println!("{told}");
    told
}

#[test]
fn the_same_settings_lead_to_the_same_decisions() {
    for life in lives(Span::secs(240), story) {
        let dir = tempfile::tempdir().unwrap();
        record(dir.path(), 64 << 20, &life);
        let told = what_if(dir.path(), "timing.dead=2s");
        assert!(told.contains(" 0 at another time, 0 not at all; 0 more"), "{told}");
        assert!(!told.contains("recorded  "), "{told}");
    }
}

#[test]
fn a_longer_dead_claims_later_and_one_longer_than_the_silence_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path(), 64 << 20, &lives(Span::secs(240), story)[1]);
    let later = what_if(dir.path(), "timing.dead=5s");
    assert!(later.contains("silent for 5s on all links") && later.contains("s later"), "{later}");
    assert!(!later.contains("the longest silence"), "it led to a claim: {later}");
    let never = what_if(dir.path(), "timing.dead=40s");
    let not = "what if     not at all\n              the peer was heard again at";
    assert!(never.contains(not) && never.contains("30.0"), "{never}");
    assert!(never.contains("- the peer is silent, but not yet long enough"), "{never}");
    assert!(never.contains("not known   what the peer would have said after"), "{never}");
    // Outside what a daemon would take: said, and tried all the same.
    assert!(what_if(dir.path(), "timing.dead=1s").contains("a daemon refuses this timing; broken: dead >= "));
}

mod any {
    //! Any inputs at all, in any order.
    use proptest::prelude::*;

    use super::*;
    use twinbeat_core::heartbeat::*;
    use twinbeat_core::id::*;
    use twinbeat_core::io::*;

    fn span() -> impl Strategy<Value = Span> {
        (0u64..u64::MAX).prop_map(Span)
    }

    fn beat() -> impl Strategy<Value = Arc<Verified<Heartbeat>>> {
        let echoes = proptest::collection::vec((0u8..4, any::<u64>(), span()), 0..4);
        let role = prop_oneof![Just(BeatRole::Standby), Just(BeatRole::Owner), Just(BeatRole::Leaving)];
        let group =
            (role, 0u64..20, any::<[bool; 4]>(), proptest::option::of(span()), 0u64..3).prop_map(|(role, epoch, b, shut, n)| {
                let grant = Grant { epoch: Epoch(epoch + 1), attempt: Attempt(n), incarnation: Incarnation(n) };
                GroupBeat {
                    name: "web".into(),
                    vips: Default::default(),
                    role,
                    epoch: Epoch(epoch),
                    gate_open: b[0],
                    eligible: b[1],
                    claims: b[2],
                    unfit: None,
                    unproven: false,
                    standby_held: b[2],
                    told: n,
                    pause: b[2].then_some(twinbeat_core::pause::PauseBeat { told: n, on: b[1], left: None }),
                    offer: b[3].then_some(Offer::PublicLost),
                    intent: (n == 1).then_some(Intent { epoch: Epoch(epoch + 1), attempt: Attempt(n), commanded: b[0] }),
                    granted: (n == 2).then_some(grant),
                    released: b[3].then_some(grant),
                    closed_for: shut,
                    refused: b[2].then_some(Refused { grant, why: WhyRefused::Other }),
                    challenged: n,
                    challenge_ack: epoch,
                }
            });
        (1u64..4, 0u64..200, echoes, any::<[bool; 4]>(), proptest::option::of(span()), proptest::collection::vec(group, 0..2))
            .prop_map(|(life, number, echoes, b, answered, groups)| {
                let name = |l: u8| Name::from(["heartbeat", "bond", "lan", "relay"][usize::from(l)]);
                let echoes = echoes.into_iter().map(|(l, number, held)| LinkEcho { link: name(l), number, held }).collect();
                let echo_of = b[0].then_some(EchoOf { incarnation: Incarnation(1), lease: Span::millis(700), witnesses: 0 });
                Arc::new(Verified::vouch(Heartbeat {
                    version: 1 + u16::from(b[3]),
                    from: NodeId(1),
                    incarnation: Incarnation(life),
                    number,
                    digest: 1,
                    lease: Span::millis(700),
                    witnesses: 0,
                    echo_of,
                    echoes,
                    answer: b[1],
                    reachable: b[2],
                    answered,
                    carrier: b[3],
                    fencing: b[2],
                    part: if b[1] { Part::WHOLE } else { Part { index: (number % 3) as u8, of: 3 } },
                    groups,
                }))
            })
    }

    fn kind() -> impl Strategy<Value = EchoKind> {
        let g = GroupId(0);
        prop_oneof![
            Just(EchoKind::Own),
            Just(EchoKind::Inquiry),
            Just(EchoKind::Vip(g)),
            Just(EchoKind::Challenge(g)),
            Just(EchoKind::Control(g))
        ]
    }

    fn input() -> impl Strategy<Value = Input> {
        let group = GroupId(0);
        let gate = prop_oneof![
            Just(GateReport::Opened),
            Just(GateReport::Renewed),
            Just(GateReport::Closed),
            Just(GateReport::Lapsed),
            ".*".prop_map(GateReport::Failed),
            ".*".prop_map(GateReport::Unguarded)
        ];
        let address = prop_oneof![Just(AddressReport::Added), Just(AddressReport::Removed), ".*".prop_map(AddressReport::Failed)];
        let service = prop_oneof![
            Just(ServiceReport::Warmed),
            Just(ServiceReport::Started),
            Just(ServiceReport::Stopped),
            (".*", ".*").prop_map(|(service, reason)| ServiceReport::StartFailed { service, reason }),
            (".*", ".*").prop_map(|(service, reason)| ServiceReport::Died { service, reason }),
            (".*", ".*").prop_map(|(service, reason)| ServiceReport::LeftAlone { service, reason }),
        ];
        let state = prop_oneof![
            Just(InterfaceState::Up),
            Just(InterfaceState::NoCarrier),
            Just(InterfaceState::NoAddress),
            Just(InterfaceState::Missing)
        ];
        let reason = proptest::option::of(".*");
        let command = prop_oneof![
            (proptest::option::of(span()), reason).prop_map(move |(lasting, reason)| Command::Standby {
                group: Some(group),
                lasting,
                reason
            }),
            proptest::option::of(span()).prop_map(|lasting| Command::Pause { group: None, lasting, reason: None }),
            Just(Command::Takeover { group: None }),
            Just(Command::Resume),
            Just(Command::Shutdown),
        ];
        prop_oneof![
            8 => Just(Input::Tick),
            8 => (0u8..5, beat()).prop_map(|(l, beat)| Input::Heard { link: LinkId(l), beat }),
            2 => beat().prop_map(move |beat| Input::HeardByTable { group, beat }),
            4 => (0u8..2, kind(), 0u64..300).prop_map(|(w, kind, number)| Input::EchoReply { witness: WitnessId(w), kind, number }),
            2 => (0u8..5, state).prop_map(|(l, state)| Input::Link { link: LinkId(l), state }),
            2 => (0u64..60, gate).prop_map(move |(generation, report)| Input::Gate { group, generation, report }),
            2 => (0u64..60, address).prop_map(move |(n, report)| Input::Address { group, attempt: Attempt(n), report }),
            2 => (0u64..60, service).prop_map(move |(n, report)| Input::Services { group, attempt: Attempt(n), report }),
            1 => (0u64..60).prop_map(|ticket| Input::Persisted { ticket }),
            1 => (0u64..60, ".*").prop_map(|(ticket, reason)| Input::PersistFailed { ticket, reason }),
            1 => (any::<u64>(), command).prop_map(|(id, command)| Input::Command { id, command }),
            1 => any::<[u8; 6]>().prop_map(move |mac| Input::Answered { group, by: Mac(mac) }),
            1 => any::<[u8; 6]>().prop_map(move |mac| Input::Announced { group, by: Mac(mac) }),
            1 => Just(Input::WitnessAsks { group }),
            1 => Just(Input::AddressGone { group }),
            1 => Just(Input::GateTableGone),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_inputs_survive_the_file_and_replay(inputs in proptest::collection::vec((0u64..400_000_000, input()), 1..150), cut in 0usize..150) {
            let settings = Builder::default().build().settings[0].clone();
            let start = Start {
                incarnation: Incarnation(1), record: Record::default(), gates: vec![None], addresses: vec![false], running: vec![false],
            };
            let mut now = Mono(5_000_000_000);
            let mut tape = vec![(now, Input::Start(start))];
            for (later, input) in inputs {
                now = Mono(now.0 + later);
                tape.push((now, input));
            }
            // Each line is read as what was written, and a file may begin at any instant.
            let mut node = Node::new(settings, tape[0].0);
            let (mut to, mut from) = (Coder::default(), Coder::default());
            for (place, (now, input)) in tape.iter().enumerate() {
                if place == cut {
                    let json = serde_json::to_string(&node).unwrap();
                    node = serde_json::from_str(&json).unwrap();
                    prop_assert_eq!(serde_json::to_string(&node).unwrap(), json);
                    (to, from) = Default::default();
                }
                let mut line = Vec::new();
                to.input(&mut line, *now, input);
                prop_assert_eq!(from.read(std::str::from_utf8(&line).unwrap()), Ok(Line::Input(*now, input.clone())));
                node.handle(*now, input.clone());
                let outputs: Vec<Output> = std::iter::from_fn(|| node.poll()).collect();
                let mut line = Vec::new();
                to.outputs(&mut line, &outputs);
                if !outputs.is_empty() {
                    prop_assert_eq!(from.read(std::str::from_utf8(&line).unwrap()), Ok(Line::Outputs(outputs)));
                }
            }
            let dir = tempfile::tempdir().unwrap();
            let count = tape.len() as u64;
            let life = (node.settings().clone(), tape[0].0, tape);
            record(dir.path(), 64 << 20, &life);
            let played = play(&files(dir.path()), &mut Nobody).map_err(|trouble| TestCaseError::fail(trouble.to_string()))?;
            prop_assert_eq!((played.inputs, played.remarks), (count, vec![]));
        }
    }
}

proptest::proptest! {
    #[test]
    fn any_line_is_read_or_refused_with_a_reason(text in "\\PC{0,200}", head in 0usize..4) {
        let line = format!("{}{text}", ["", "{\"i\":", "[", "{\"n\":1,"][head]);
        let mut coder = Coder::default();
        if let Err(why) = coder.read(&line) {
            proptest::prop_assert!(!why.is_empty());
        }
    }
}
