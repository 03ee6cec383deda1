//! Heartbeats in parts: what a node makes of them when the part about one group never comes.

use std::collections::VecDeque;
use std::path::Path;

use super::machine::{Brain, Maker};
use super::pair::Builtin;
use super::script::{Outcome, Story};
use twinbeat_core::io::{Input, Output};
use twinbeat_core::node::Node;
use twinbeat_core::settings::Settings;
use twinbeat_core::time::{Mono, Span};

/// The real decision; from a moment on the second part of what it says goes nowhere.
struct Halved {
    node: Node,
    out: VecDeque<Output>,
    from: Mono,
}

impl Brain for Halved {
    fn handle(&mut self, now: Mono, input: Input) {
        self.node.handle(now, input);
        while let Some(mut output) = self.node.poll() {
            if let Output::Send { beat, links } = &mut output
                && beat.part.index == 1
                && now >= self.from
            {
                links.clear();
            }
            self.out.push_back(output);
        }
    }
    fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }
    fn deadline(&self) -> Option<Mono> {
        self.node.deadline()
    }
}

/// `node` is halved, from so long after its start.
fn halved<const NODE: u8, const SECONDS: u64>(settings: Settings, begin: Mono) -> Box<dyn Brain> {
    let from = if settings.me.0 == NODE { begin + Span::secs(SECONDS) } else { Mono(u64::MAX) };
    Box::new(Halved { node: Node::new(settings, begin), out: VecDeque::new(), from })
}

fn run(config: &str, steps: &str, expect: &str, maker: Maker) -> Outcome {
    let text = format!(
        r#"{{"title": "t", "config": {config}, "groups_in_beat": 1, "timeline": [{{"at": "0s", "start": ["master1", "master2"]}}{steps}], "until": "40s",
            "expect": [{expect}], "allow": {{"limits": true}}}}"#
    );
    Story::read(&text, "a.json", Path::new(""), &Builtin).unwrap().run(maker, false)
}

fn failures(outcome: &Outcome) -> Vec<String> {
    let violations = outcome.violations.iter().map(|violation| format!("{:?}: {}", violation.promise, violation.text));
    // A part that gets lost for ever, and no other frame, is not of the judge's world.
    outcome
        .failures
        .iter()
        .map(ToString::to_string)
        .chain(violations)
        .filter(|text| !text.starts_with("SomebodyServes"))
        .collect()
}

const TWO: &str = r#""pairs/recipe-fast-norelay-two.toml""#;

#[test]
fn what_is_said_of_one_group_is_no_ground_for_the_owner_of_another() {
    // Nobody answers by the table any more: the peer's word is all that a group lives by.
    let steps = r#", {"at": "20s", "gateway_down": {}}"#;
    let expect = r#"{"owner": {"group": "web", "node": "master1", "from": "2s", "to": "40s"}},
                    {"owner": {"group": "web2", "node": "master1", "from": "2s", "to": "20s"}}, {"nobody": {"group": "web2", "from": "21s", "to": "40s"}}"#;
    assert_eq!(failures(&run(TWO, steps, expect, halved::<1, 10>)), Vec::<String>::new());
}

#[test]
fn a_part_that_never_came_keeps_nobody_from_serving_when_the_peer_is_dead() {
    let steps = r#", {"at": "20s", "power_off": "master1"}"#;
    let both = |group: &str| format!(r#"{{"owner": {{"group": "{group}", "node": "master2", "from": "23s", "to": "40s"}}}}"#);
    let expect = [both("web"), both("web2")].join(", ");
    assert_eq!(failures(&run(TWO, steps, &expect, halved::<0, 0>)), Vec::<String>::new());
}

#[test]
fn what_is_known_in_parts_of_a_file_that_differs_forbids_what_it_could() {
    let files = r#"{"master1": "pairs/recipe-fast-norelay-two-more.toml", "master2": "pairs/recipe-fast-norelay-two.toml"}"#;
    let steps = r#", {"at": "20s", "power_off": "master1"}"#;
    let words = "the file of master1 differs, and not all of it was heard yet";
    let expect = format!(
        r#"{{"nobody": {{"group": "web", "from": "21s", "to": "40s"}}}}, {{"says": {{"node": "master2", "text": "{words}"}}}}"#
    );
    assert_eq!(failures(&run(files, steps, &expect, halved::<0, 0>)), Vec::<String>::new());
    // Once all of it was heard, an address more in the first group alone is no reason.
    let expect = r#"{"owner": {"group": "web", "node": "master2", "from": "23s", "to": "40s"}}"#;
    assert_eq!(failures(&run(files, steps, expect, halved::<0, 10>)), Vec::<String>::new());
}
