//! Each check of the world can fail: a brain or a world that is broken on purpose is seen, and by the right name.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use super::check::Promise;
use super::machine::{Brain, Maker, real};
use super::pair::Builtin;
use super::script::{Outcome, Story};
use twinbeat_core::heartbeat::{BeatRole, Grant};
use twinbeat_core::id::{Attempt, Epoch, Incarnation};
use twinbeat_core::io::{Command, Input, Output};
use twinbeat_core::node::Node;
use twinbeat_core::settings::Settings;
use twinbeat_core::time::{Mono, Span};

fn run(steps: &str, until: &str, maker: Maker) -> Outcome {
    let text = format!(
        r#"{{"title": "t", "config": "pairs/recipe-fast.toml", "timeline": [{{"at": "0s", "start": ["master1", "master2"]}}{steps}], "until": "{until}"}}"#
    );
    Story::read(&text, "a.json", Path::new(""), &Builtin).unwrap().run(maker, false)
}

fn broken(outcome: &Outcome) -> Vec<Promise> {
    outcome.violations.iter().map(|violation| violation.promise).collect()
}

/// The real decision, and a hand that twists what goes in and out.
struct Twisted {
    node: Node,
    extra: VecDeque<Output>,
    begin: Mono,
    done: bool,
    into: fn(&mut Input),
    out: fn(&mut Output),
    /// After so long it is told this once, by nobody's command.
    told: Option<(Span, Input)>,
}

impl Brain for Twisted {
    fn handle(&mut self, now: Mono, mut input: Input) {
        (self.into)(&mut input);
        self.node.handle(now, input);
        while let Some(mut output) = self.node.poll() {
            (self.out)(&mut output);
            self.extra.push_back(output);
        }
        if let Some((after, input)) = &self.told
            && !self.done
            && now.since(self.begin) > *after
        {
            self.done = true;
            let input = input.clone();
            self.handle(now, input);
        }
    }
    fn poll(&mut self) -> Option<Output> {
        self.extra.pop_front()
    }
    fn deadline(&self) -> Option<Mono> {
        self.node.deadline()
    }
}

fn twisted(settings: Settings, begin: Mono) -> Twisted {
    let node = Node::new(settings, begin);
    Twisted { node, extra: VecDeque::new(), begin, done: false, into: |_| {}, out: |_| {}, told: None }
}

#[test]
fn an_unbroken_pair_breaks_no_promise() {
    let steps = r#", {"at": "20s", "power_off": "master1"}, {"at": "40s", "power_on": "master1"}, {"at": "60s", "takeover": {"node": "master2"}}, {"at": "80s", "heal": {}}"#;
    assert_eq!(broken(&run(steps, "120s", real)), []);
}

#[test]
fn nobody_serving_though_a_node_could_is_seen_within_the_bound_of_the_timing() {
    struct Idle;
    impl Brain for Idle {
        fn handle(&mut self, _: Mono, _: Input) {}
        fn poll(&mut self) -> Option<Output> {
            None
        }
        fn deadline(&self) -> Option<Mono> {
            None
        }
    }
    let outcome = run(r#", {"at": "11s", "heal": {}}"#, "11s", |_, _| Box::new(Idle));
    assert_eq!(broken(&outcome), [Promise::SomebodyServes, Promise::Heals]);
    // init_dead is 5 s; what the claim takes after it is well below two more.
    assert!(outcome.violations[0].at.0 < 8_000_000_000, "{:?}", outcome.violations);
}

#[test]
fn an_owner_that_the_gateway_does_not_know_of_is_seen() {
    fn mute(settings: Settings, begin: Mono) -> Box<dyn Brain> {
        // It never writes itself into a table again once it serves.
        let out = |output: &mut Output| {
            match output {
                Output::Announce { group } => *output = Output::AnswerUnicast { group: *group, on: false },
                // Nor does it give the address back.
                Output::Send { beat, .. } => std::sync::Arc::make_mut(beat).groups.iter_mut().for_each(|g| g.offer = None),
                _ => {}
            }
        };
        Box::new(Twisted { out, ..twisted(settings, begin) })
    }
    let outcome = run(r#", {"at": "20s", "takeover": {"node": "master2"}}"#, "30s", mute);
    assert!(broken(&outcome).contains(&Promise::SomebodyServes), "{:?}", outcome.violations);
}

#[test]
fn a_move_that_nobody_asked_for_is_seen() {
    fn restless(settings: Settings, begin: Mono) -> Box<dyn Brain> {
        let command = Input::Command { id: 99, command: Command::Takeover { group: None } };
        let told = (settings.me.0 == 1).then_some((Span::secs(30), command));
        Box::new(Twisted { told, ..twisted(settings, begin) })
    }
    let outcome = run("", "60s", restless);
    assert_eq!(broken(&outcome), [Promise::NoNeedlessMove]);
}

#[test]
fn a_fault_of_the_peer_is_no_need_to_move_and_one_of_the_owner_is() {
    let unplugged = r#", {"at": "30s", "unplug": {"node": "master1", "link": "lan"}}"#;
    let outcome = run(unplugged, "60s", real);
    assert_eq!((broken(&outcome), outcome.record.moves[0].len()), (vec![], 2));
}

#[test]
fn an_epoch_that_is_used_twice_is_seen() {
    fn forgetful(settings: Settings, begin: Mono) -> Box<dyn Brain> {
        // Each life finds an empty state directory, and says that it wrote to it.
        let into = |input: &mut Input| {
            if let Input::Start(start) = input {
                start.record = Default::default();
            }
        };
        Box::new(Twisted { into, ..twisted(settings, begin) })
    }
    let steps = r#", {"at": "20s", "power_off": ["master1", "master2"]}, {"at": "30s", "power_on": ["master1", "master2"]}"#;
    let outcome = run(steps, "60s", forgetful);
    assert!(broken(&outcome).contains(&Promise::Epochs), "{:?}", outcome.violations);
}

#[test]
fn an_epoch_that_is_not_on_disk_is_seen() {
    fn unwritten(settings: Settings, begin: Mono) -> Box<dyn Brain> {
        let out = |output: &mut Output| {
            if let Output::Persist { record, .. } = output {
                record.groups.iter_mut().for_each(|group| group.epoch = Epoch(0));
            }
        };
        Box::new(Twisted { out, ..twisted(settings, begin) })
    }
    // Nor is what it grants.
    assert_eq!(broken(&run("", "20s", unwritten)), [Promise::Grants, Promise::Epochs]);
}

#[test]
fn an_epoch_that_is_granted_twice_is_seen() {
    fn generous(settings: Settings, begin: Mono) -> Box<dyn Brain> {
        let out = |output: &mut Output| {
            let Output::Send { beat, .. } = output else { return };
            let number = beat.number;
            for group in &mut Arc::make_mut(beat).groups {
                let grant = Grant { epoch: Epoch(7), attempt: Attempt(number % 2), incarnation: Incarnation(1) };
                group.refused = None;
                group.granted = Some(grant);
            }
        };
        Box::new(Twisted { out, ..twisted(settings, begin) })
    }
    assert!(broken(&run("", "3s", generous)).contains(&Promise::Grants));
}

#[test]
fn a_release_before_the_kernels_word_is_seen() {
    fn hasty(settings: Settings, begin: Mono) -> Box<dyn Brain> {
        let out = |output: &mut Output| {
            let Output::Send { beat, .. } = output else { return };
            for group in &mut Arc::make_mut(beat).groups {
                group.released = group.granted.take().or(group.released);
            }
        };
        Box::new(Twisted { out, ..twisted(settings, begin) })
    }
    let outcome = run(r#", {"at": "20s", "takeover": {"node": "master2"}}"#, "30s", hasty);
    assert!(broken(&outcome).contains(&Promise::Grants), "{:?}", outcome.violations);
}

#[test]
fn a_grant_below_what_the_granter_had_owned_with_is_seen() {
    fn careless(settings: Settings, begin: Mono) -> Box<dyn Brain> {
        let out = |output: &mut Output| {
            let Output::Send { beat, .. } = output else { return };
            for group in &mut Arc::make_mut(beat).groups {
                let grant = Grant { epoch: Epoch(1), attempt: Attempt(1), incarnation: Incarnation(1) };
                // Not the sweep at the start, which ends no epoch.
                let leaves = group.role == BeatRole::Leaving && group.epoch > Epoch(0);
                group.granted = Some(grant).filter(|_| leaves);
            }
        };
        Box::new(Twisted { out, ..twisted(settings, begin) })
    }
    let outcome = run(r#", {"at": "20s", "takeover": {"node": "master2"}}"#, "30s", careless);
    assert!(broken(&outcome).contains(&Promise::Grants), "{:?}", outcome.violations);
}

#[test]
fn an_epoch_that_is_asked_for_twice_is_seen() {
    fn forgetful(settings: Settings, begin: Mono) -> Box<dyn Brain> {
        let out = |output: &mut Output| {
            let Output::Send { beat, .. } = output else { return };
            let number = beat.number;
            for group in &mut Arc::make_mut(beat).groups {
                if let Some(intent) = &mut group.intent {
                    intent.attempt = Attempt(number);
                }
            }
        };
        Box::new(Twisted { out, ..twisted(settings, begin) })
    }
    assert!(broken(&run("", "3s", forgetful)).contains(&Promise::Epochs));
}
