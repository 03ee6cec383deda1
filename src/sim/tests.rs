use std::collections::VecDeque;
use std::path::Path;

use super::check::Promise;
use super::clock::Moment;
use super::explore;
use super::impatient::impatient;
use super::machine::{Brain, real};
use super::pair::{Builder, Builtin};
use super::schedule::{Style, draw, draw_as};
use super::script::Story;
use super::world::World;
use twinbeat_core::id::{Attempt, GroupId};
use twinbeat_core::io::{AddressOrder, GateOrder, Input, Output};
use twinbeat_core::settings::Settings;
use twinbeat_core::time::{Mono, Span};

/// Takes the address as soon as it starts, for one second, whoever else has it.
struct Grabber(VecDeque<Output>);

impl Brain for Grabber {
    fn handle(&mut self, now: Mono, input: Input) {
        if matches!(input, Input::Start(_)) {
            let (group, attempt) = (GroupId(0), Attempt(1));
            self.0.push_back(Output::Address { group, attempt, order: AddressOrder::Add(Span::secs(5)) });
            self.0.push_back(Output::Gate { group, generation: 1, order: GateOrder::Open(now + Span::secs(1)) });
            self.0.push_back(Output::Announce { group });
        }
    }
    fn poll(&mut self) -> Option<Output> {
        self.0.pop_front()
    }
    fn deadline(&self) -> Option<Mono> {
        None
    }
}

fn grabber(_: Settings, _: Mono) -> Box<dyn Brain> {
    Box::new(Grabber(VecDeque::new()))
}

fn text(steps: &str) -> String {
    format!(r#"{{"title": "t", "config": "pairs/recipe.toml", "timeline": [{steps}], "until": "20s"}}"#)
}

fn read(steps: &str) -> Result<Story, String> {
    Story::read(&text(steps), "a.json", Path::new(""), &Builtin)
}

#[test]
fn two_kernels_that_answer_are_seen_whatever_the_nodes_believe() {
    let story = read(r#"{"at": "1s", "start": ["master1", "master2"]}"#).unwrap();
    let outcome = story.run(grabber, true);
    assert_eq!(outcome.violations.first().map(|v| v.promise), Some(Promise::OneOwner));
}

/// Never rests, and asks for the address each time.
struct Restless(u32);

impl Brain for Restless {
    fn handle(&mut self, _: Mono, _: Input) {
        self.0 = 10;
    }
    fn poll(&mut self) -> Option<Output> {
        self.0 = self.0.checked_sub(1)?;
        Some(Output::Probe { group: GroupId(0) })
    }
    fn deadline(&self) -> Option<Mono> {
        Some(Mono::ZERO)
    }
}

#[test]
fn a_world_that_does_not_get_on_is_a_broken_promise_and_no_run_without_end() {
    let story = read(r#"{"at": "1s", "start": ["master1", "master2"]}"#).unwrap();
    let outcome = story.run(|_, _| Box::new(Restless(0)), false);
    assert!(outcome.violations.iter().any(|v| v.promise == Promise::GetsOn), "{:?}", outcome.violations);
    assert!(outcome.events < 5_000_000, "{}", outcome.events);
}

#[test]
fn the_gate_of_a_killed_daemon_closes_by_itself_on_its_own_clock() {
    let mut world = World::new(Builder::default().build(), 1, grabber);
    world.apply(&super::act::Act::ClockRate(0, 500_000));
    world.apply(&super::act::Act::Start(0));
    world.run_until(Moment(1_000_000));
    world.apply(&super::act::Act::Kill(0));
    world.run_until(Moment(1_990_000_000));
    assert!(world.machines[0].answers(world.now(), 0), "one second of its own is two of the world's");
    world.run_until(Moment(2_010_000_000));
    assert!(!world.machines[0].answers(world.now(), 0));
}

#[test]
fn the_same_seed_gives_the_same_trace_byte_for_byte() {
    for seed in [3, 4, 5] {
        let story = Story::of(draw(seed), Path::new(""), &Builtin).unwrap();
        let (one, two) = (story.run(real, true), story.run(real, true));
        assert_eq!(one.record.lines, two.record.lines);
        assert_eq!(one.events, two.events);
    }
}

#[test]
fn a_drawn_story_survives_its_own_file() {
    for seed in 0..50 {
        let scenario = draw(seed);
        let text = serde_json::to_string_pretty(&scenario).unwrap();
        assert_eq!(serde_json::from_str::<super::script::Scenario>(&text).unwrap(), scenario);
        let plan = explore::Plan::seeds(seed, seed + 1);
        assert_eq!(explore::run(&scenario, &plan, grabber).0, explore::run(&scenario, &plan, grabber).0);
    }
}

#[test]
fn errors_name_file_and_line_and_what_is_allowed() {
    for (steps, says) in [
        (r#"{"at": "1s", "unplgu": {}}"#, "unknown key `unplgu`, expected one of `at`, `when`, `after`, `within`, `start`"),
        (r#"{"at": "1s", "start": "master3"}"#, "node \"master3\": allowed: master1, master2"),
        (r#"{"at": "1", "start": "master1"}"#, "is not a duration"),
        (r#"{"at": "99999999999999999999h", "start": "master1"}"#, "is not a duration"),
        (r#"{"at": "21s", "start": "master1"}"#, "allowed: up to `until`, 20s"),
        (r#"{"at": "1s", "loss": {"percent": 101}}"#, "allowed: a number from 0 to 100"),
        (r#"{"at": "1s", "loss": {}}"#, "\"percent\" is needed; allowed: link, from, to, percent, burst"),
        (r#"{"at": "1s", "kill": {"node": "master1"}}"#, "expected a node's name, or a list of them"),
        (r#"{"at": "1s", "resume": {"node": "master1", "rate": 2}}"#, "takes no \"rate\"; allowed: node"),
        (r#"{"at": "1s", "cut": {"link": "bond", "to": "gateway"}}"#, "only the public link reaches the gateway"),
        (r#"{"at": "1s", "wake": "master1"}"#, "nothing to undo: there is no `hang` or `stall` of this node before it"),
        (r#"{"at": "1s", "unpause": "master1"}"#, "no `pause` of this node"),
        (r#"{"at": "1s", "plug": {"node": "master1", "link": "lan"}}"#, "no `unplug` of this link of this node"),
        (r#"{"at": "1s", "gateway_up": {}}"#, "no `gateway_down` of this witness"),
        (r#"{"at": "1s", "takeover": {"node": "master1"}}"#, "no daemon was started on this node"),
        (r#"{"at": "1s", "unplug": {"node": "master1", "link": "relay"}}"#, "the relay has no cable of its own"),
        (r#"{"at": "1s", "start": []}"#, "no name; allowed: one node, or more"),
        (r#"{"at": "1s", "restart": {"node": null}}"#, "null (leave the key out instead)"),
        (r#"{"at": "1s", "restart": "master1"}"#, "expected an object with the step's parameters"),
        (r#"{"at": "1s", "loss": {"percent": "2"}}"#, "expected a number"),
        (r#"{"start": "master1"}"#, "a time is needed: \"at\", or \"when\" or \"after\""),
        (r#"{"at": "1s", "within": "2s", "start": "master1"}"#, "within: only beside \"when\""),
        (
            r#"{"when": {"node": "master1", "does": "sleeps"}, "start": "master1"}"#,
            "does \"sleeps\": allowed: answers, gate_closed",
        ),
        (r#"{"when": {"node": "master3", "does": "leaves"}, "start": "master1"}"#, "node \"master3\": allowed"),
        (r#"{"at": "1s", "cut": {"to": "witness3"}}"#, "allowed: master1, master2, gateway, witness0"),
        (r#"{"at": "1s", "replay_packets": {"node": "master1", "count": 4000000000}}"#, "count: allowed: 1 to 1000"),
        (r#"{"at": "1s", "configure": {"node": "master1", "config": "pairs/nonsense.toml"}}"#, "unknown word \"nonsense\""),
        (
            r#"{"at": "1s", "configure": {"node": "master1", "config": "pairs/recipe-three.toml"}}"#,
            "the number of witnesses differ",
        ),
    ] {
        let text = format!(
            "{{\"title\": \"t\", \"config\": \"pairs/recipe.toml\", \"until\": \"20s\",\n\"timeline\": [\n\n{steps}\n]}}"
        );
        let wrong = Story::read(&text, "a.json", Path::new(""), &Builtin).err().unwrap_or_default();
        assert!(wrong.starts_with("a.json:4: ") && wrong.contains(says), "{wrong}");
    }
    for (expect, says) in [
        (r#"{"owner": {"group": "mail", "node": "master1", "from": "1s", "to": "2s"}}"#, "group \"mail\": allowed: web"),
        (r#"{"owner": {"group": "web", "node": "master1", "from": "3s", "to": "2s"}}"#, "allowed: from before to"),
        (r#"{"owner": {"group": "web", "node": "master1", "from": "3s", "to": "30s"}}"#, "30s lies behind the end"),
        (r#"{"moves": {"group": "web"}}"#, "\"exactly\" or \"at_most\" is needed"),
        (r#"{"link": {"node": "master1", "link": "lan", "state": "broken", "at": "3s"}}"#, "allowed: ok, late, lost, one-way"),
        (r#"{"colour": {}}"#, "unknown name `colour`, expected one of `owner`"),
    ] {
        let text = format!(
            "{{\"title\": \"t\", \"config\": \"pairs/recipe.toml\", \"until\": \"20s\", \"timeline\": [{{\"at\": \"0s\", \"start\": \"master1\"}}], \"expect\": [\n{expect}]}}"
        );
        let wrong = Story::read(&text, "a.json", Path::new(""), &Builtin).err().unwrap_or_default();
        assert!(wrong.starts_with("a.json:2: ") && wrong.contains(says), "{wrong}");
    }
}

#[test]
fn a_step_that_does_not_exist_here_is_named_and_the_story_not_told() {
    assert_eq!(read(r#"{"at": "1s", "reload": {"node": "master1"}}"#).unwrap().not_here, ["reload"]);
}

#[test]
fn an_expectation_that_does_not_hold_says_what_was_otherwise() {
    let lan_down = r#"{"at": "0s", "start": ["master1", "master2"]}, {"at": "9s", "unplug": {"node": "master2", "link": "lan"}},
        {"at": "10s", "standby": {"node": "master1"}}"#;
    let cases = [
        (r#"{"refused": {"node": "master1", "text": "cannot serve"}}"#, None),
        (r#"{"done": {"node": "master1"}}"#, Some("the answer was: master2 cannot serve")),
        (r#"{"refused": {"node": "master2"}}"#, Some("no command was answered")),
        (r#"{"says": {"node": "master2", "text": "no carrier", "from": "9s"}}"#, None),
        (r#"{"never_says": {"node": "master2", "text": "no carrier"}}"#, Some("it said: ")),
        (r#"{"says": {"node": "master2", "text": "no carrier", "to": "8s"}}"#, Some("no such line")),
        (r#"{"link": {"node": "master2", "link": "lan", "state": "no carrier", "at": "12s"}}"#, None),
        (r#"{"link": {"node": "master2", "link": "lan", "state": "no carrier", "at": "8s"}}"#, Some("it was \"ok\"")),
        (r#"{"takeover_ready": {"node": "master1", "group": "web", "ready": false, "because": "carrier", "at": "12s"}}"#, None),
        (r#"{"takeover_ready": {"node": "master1", "group": "web", "ready": false, "at": "8s"}}"#, Some("it was ready")),
        (
            r#"{"takeover_ready": {"node": "master1", "group": "web", "ready": true, "at": "12s"}}"#,
            Some("it was not ready: master2"),
        ),
        (r#"{"service": {"node": "master1", "group": "web", "running": true, "at": "12s"}}"#, None),
        (r#"{"service": {"node": "master2", "group": "web", "running": true, "at": "12s"}}"#, Some("it did not run")),
        (r#"{"nobody": {"group": "web", "from": "5s", "to": "20s"}}"#, Some("master1 answered")),
        (r#"{"gap": {"group": "web", "from": "0s", "at_most": "1us"}}"#, Some("the longest was")),
    ];
    for (expect, says) in cases {
        let story = text(lan_down).replace("\"until\"", &format!("\"expect\": [{expect}], \"until\""));
        let story = Story::read(&story, "a.json", Path::new(""), &Builtin).unwrap();
        let failures = story.run(real, false).failures;
        match says {
            None => assert!(failures.is_empty(), "{expect}: {failures:?}"),
            Some(says) => assert!(failures.len() == 1 && failures[0].to_string().contains(says), "{expect}: {failures:?}"),
        }
    }
}

/// A story with a bit of everything in it.
const STORY: &str =
    r#"{"at": "1s", "start": ["master1", "master2"]}, {"at": "12s", "kill": "master1"}, {"at": "15s", "start": ["master1"]}"#;

proptest::proptest! {
    #[test]
    fn any_bytes_are_no_story_and_say_why(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        let read = Story::read(&String::from_utf8_lossy(&bytes), "a.json", Path::new(""), &Builtin);
        proptest::prop_assert!(read.is_err_and(|why| !why.is_empty()));
    }

    #[test]
    fn a_mutated_story_is_a_story_or_refused_with_a_reason(
        edits in proptest::collection::vec((proptest::prelude::any::<proptest::sample::Index>(), 0usize..12, "[\\[\\]{}\":,./0-9a-z_ \u{e4}-]{0,10}"), 1..6),
    ) {
        let mut text: Vec<char> = text(STORY).chars().collect();
        for (at, cut, put) in edits {
            let at = at.index(text.len() + 1);
            let end = (at + cut).min(text.len());
            text.splice(at..end, put.chars());
        }
        let text: String = text.into_iter().collect();
        if let Err(why) = Story::read(&text, "a.json", Path::new(""), &Builtin) {
            proptest::prop_assert!(why.contains("a.json"), "{}", why);
        }
    }
}

#[test]
fn what_explore_finds_is_shrunk_to_a_file_that_reproduces_it() {
    let plan = explore::Plan { threads: 1, ..explore::Plan::seeds(0, 50) };
    let (findings, progress) = explore::explore(&plan, grabber, &|_| {});
    assert_eq!((findings.len(), progress.runs), (1, 1), "it stops at the first violation");
    let plan = explore::Plan { findings: 50, ..plan };
    let (findings, _) = explore::explore(&plan, grabber, &|_| {});
    let two = findings.iter().find(|finding| finding.violation.promise == Promise::OneOwner).unwrap();
    let small = explore::shrink(two, &plan, grabber);
    assert_eq!(small.violation.promise, Promise::OneOwner);
    assert!(small.scenario.timeline.len() <= 2, "two starts are enough: {:?}", small.scenario.timeline);
    // What is written beside each other: the scenario, and the pair that it names.
    let folder = tempfile::tempdir().unwrap();
    let file = explore::write(&small, &plan, folder.path()).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    let story = Story::read(&text, "found.json", folder.path(), &super::files::Files).unwrap();
    let again = story.run(grabber, false).violations;
    assert_eq!(again.first(), Some(&small.violation));
}

/// Owners, standbys, claims, moves, commands, several groups and both families of profiles, as the two generators draw them.
#[test]
fn a_random_story_goes_the_same_way_however_often_the_decision_is_woken() {
    for seed in 0..2 {
        let scenario = draw_as(Style::Both, seed, &[], None);
        let story = Story::of(scenario, Path::new(""), &Builtin).unwrap_or_else(|_| panic!("{seed} cannot be played"));
        let [rests, woken] = [real, impatient].map(|maker| story.run(maker, true).record.lines.unwrap_or_default());
        assert!(rests.len() > 20 && rests == woken, "seed {seed}: {:?}", rests.iter().zip(&woken).find(|(a, b)| a != b));
    }
}
