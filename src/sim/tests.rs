use std::collections::VecDeque;
use std::path::Path;

use super::check::Promise;
use super::clock::Moment;
use super::explore;
use super::machine::{Brain, real};
use super::pair::{Builder, Builtin};
use super::schedule::draw;
use super::script::Story;
use super::world::World;
use crate::core::id::{Attempt, GroupId};
use crate::core::io::{AddressOrder, GateOrder, Input, Output};
use crate::core::settings::Settings;
use crate::core::time::{Mono, Span};

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
        assert_eq!(explore::run(&scenario, grabber).0, explore::run(&scenario, grabber).0);
    }
}

#[test]
fn errors_name_the_line_and_what_is_allowed() {
    for (steps, says) in [
        (r#"{"at": "1s", "unplgu": {}}"#, "unknown field `unplgu`, expected one of `at`, `start`"),
        (r#"{"at": "1s", "start": "master3"}"#, "node \"master3\": allowed: master1, master2 at line 1"),
        (r#"{"at": "1", "start": "master1"}"#, "is not a length of time"),
        (r#"{"at": "1s", "loss": {"percent": 101}}"#, "allowed: a number from 0 to 100"),
        (r#"{"at": "1s", "cut": {"link": "bond", "to": "gateway"}}"#, "only the public link reaches the gateway"),
        (r#"{"at": "1s", "reload": {}}"#, "not yet built"),
    ] {
        let wrong = read(steps).err().unwrap_or_default();
        assert!(wrong.starts_with("a.json: ") && wrong.contains(says), "{wrong}");
    }
}
