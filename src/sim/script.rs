//! A scenario: a story, a pair, a timeline and what must hold.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::act::Act;
pub use super::allow::Allow;
use super::check::{Promise, Violation};
use super::clock::Moment;
use super::cue::{Wait, undone};
pub use super::expect::Expect;
use super::machine::Maker;
use super::pair::{InParts, Pair, Pairs};
use super::place;
use super::record::Recorder;
use super::resolve::resolve;
use super::rng::Rng;
use super::shape::Shape;
use super::step::{Dur, Entry, On, Step};
use super::world::World;
use twinbeat_core::id::Epoch;
use twinbeat_core::time::Span;
use twinbeat_say::plain;

/// The file.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a scenario: an object")]
pub struct Scenario {
    /// Where an editor finds the schema; nothing else looks at it.
    #[serde(rename = "$schema", default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// One line.
    pub title: String,
    /// The story.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// The configuration, relative to the scenario's folder.
    pub config: ConfigRef,
    /// So many groups go into one heartbeat, and more are told in parts; as many as fit where nothing is said. In virtual time alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups_in_beat: Option<u64>,
    /// Of the random part (jitter, loss); 1 where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// What happens.
    pub timeline: Vec<Entry>,
    /// When it ends.
    pub until: Dur,
    /// What must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<Expect>,
    /// What a limit of SAFETY.md excuses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Allow>,
}

/// One configuration for both nodes, or a file for each.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(untagged)]
pub enum ConfigRef {
    /// The same file on both nodes, as it should be.
    Both(String),
    /// Node by node: the story is about files that differ.
    Each(BTreeMap<String, String>),
}

impl From<String> for ConfigRef {
    fn from(file: String) -> ConfigRef {
        ConfigRef::Both(file)
    }
}

impl<'de> Deserialize<'de> for ConfigRef {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = ConfigRef;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a configuration file, or a file for each node by its name")
            }
            fn visit_str<E: de::Error>(self, file: &str) -> Result<ConfigRef, E> {
                Ok(ConfigRef::Both(file.to_string()))
            }
            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<ConfigRef, M::Error> {
                BTreeMap::deserialize(de::value::MapAccessDeserializer::new(map)).map(ConfigRef::Each)
            }
        }
        input.deserialize_any(Reader)
    }
}

/// A scenario that fits its pair.
#[derive(Clone, Debug)]
pub struct Story {
    /// The file.
    pub scenario: Scenario,
    /// The pair.
    pub pair: Pair,
    /// What each entry does, by time.
    pub acts: Vec<(Moment, String, Vec<Act>)>,
    /// For each of these what it waits for, where that is no given time.
    pub waits: Vec<Option<Wait>>,
    /// Steps that do not exist in virtual time yet: the story cannot be told here.
    pub not_here: Vec<&'static str>,
    /// Heartbeats are really signed and opened.
    pub real_signatures: bool,
}

/// What did not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The expectation, as its file has it; or the step that came late, in words.
    pub what: String,
    /// What was instead of what was expected.
    pub otherwise: Option<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.otherwise {
            Some(otherwise) => write!(f, "{}: {otherwise}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// How a run went.
pub struct Outcome {
    /// What did not hold; empty when all is well.
    pub failures: Vec<Failure>,
    /// Broken promises.
    pub violations: Vec<Violation>,
    /// The longest time that two kernels answered for one VIP.
    pub two_owners: Span,
    /// What happened.
    pub record: Recorder,
    /// How many events there were.
    pub events: u64,
}

impl Story {
    /// Reads a scenario's text; `folder` is where it lies, `name` what errors call it.
    ///
    /// # Errors
    /// File, line and what is allowed.
    pub fn read(text: &str, name: &str, folder: &Path, pairs: &dyn Pairs) -> Result<Story, String> {
        let wrong = |wrong: serde_json::Error| {
            // As compilers write it, so that editors find the place.
            let (line, what) = (wrong.line(), wrong.to_string());
            let what = plain(what.split(" at line ").next().unwrap_or_default());
            format!("{name}:{line}: {what}")
        };
        serde_json::from_str::<Shape>(text).map_err(wrong)?;
        let scenario: Scenario = serde_json::from_str(text).map_err(wrong)?;
        Story::of(scenario, folder, pairs).map_err(|(place, wrong)| {
            let line = match place {
                Place::Whole => None,
                Place::Entry(entry) => place::line(text, "timeline", entry),
                Place::Expect(expect) => place::line(text, "expect", expect),
            };
            line.map_or_else(|| format!("{name}: {wrong}"), |line| format!("{name}:{line}: {wrong}"))
        })
    }

    /// Fits a scenario to its pair.
    ///
    /// # Errors
    /// The place in the file, and what is wrong there.
    pub fn of(scenario: Scenario, folder: &Path, pairs: &dyn Pairs) -> Result<Story, (Place, String)> {
        let whole = |wrong: String| (Place::Whole, wrong);
        if let Some(wrong) = scenario.groups_in_beat.filter(|groups| !(1..=64).contains(groups)) {
            return Err(whole(format!("groups_in_beat {wrong}: allowed: 1 to 64")));
        }
        let parted = scenario.groups_in_beat.map(|groups| InParts { pairs, groups: groups as usize });
        let pairs = parted.as_ref().map_or(pairs, |parted| parted);
        let mut pair = match &scenario.config {
            ConfigRef::Both(file) => pairs.pair(folder, file).map_err(whole)?,
            ConfigRef::Each(files) => each(files, folder, pairs).map_err(whole)?,
        };
        if scenario.until.0 > LONGEST {
            return Err(whole(format!("until {}: allowed: up to {}", scenario.until, Dur(LONGEST))));
        }
        for on in scenario.timeline.iter().filter_map(|entry| if let Step::Configure(on) = &entry.step { Some(on) } else { None })
        {
            // What is wrong with it is said where it stands.
            if let Ok(other) = pairs.pair(folder, on.config.as_deref().unwrap_or_default()) {
                pair.widen(&other.files[0]);
            }
        }
        let (mut acts, mut not_here) = (Vec::new(), Vec::new());
        let relative = scenario.timeline.iter().any(|entry| entry.time.is_relative());
        let lan = scenario.expect.iter().any(Expect::is_of_the_lan);
        let mut last = Dur::default();
        for (place, entry) in scenario.timeline.iter().enumerate() {
            let name = entry.step.name();
            let wrong = |wrong: String| (Place::Entry(place), format!("{name}: {wrong}"));
            let at = entry.time.at.unwrap_or(last);
            if at > scenario.until {
                return Err(wrong(format!("at {at}: allowed: up to `until`, {}", scenario.until)));
            }
            if relative && at < last {
                return Err(wrong(format!("at {at}: the entry before it is at {last}; where one waits, they stand in order")));
            }
            last = at;
            let wait = Wait::of(&entry.time, &pair).map_err(wrong)?;
            let todo = match &entry.step {
                Step::Reload(_) => {
                    not_here.push(name);
                    Vec::new()
                }
                Step::Configure(on) => configure(on, &pair, folder, pairs).map_err(wrong)?,
                step => resolve(step, &pair, lan).map_err(wrong)?,
            };
            let text = format!("{name} {}", entry.step.parameters());
            acts.push((place, (Moment(at.0.0), text.trim_end().to_string(), todo), wait));
        }
        acts.sort_by_key(|(_, (at, ..), _)| *at);
        let mut before: Vec<Act> = Vec::new();
        for (place, (.., todo), _) in &acts {
            if let Some(wrong) = todo.iter().find_map(|act| undone(act, &before)) {
                let name = scenario.timeline.get(*place).map_or("", |entry| entry.step.name());
                return Err((Place::Entry(*place), format!("{name}: {wrong}")));
            }
            before.extend(todo.iter().cloned());
        }
        if not_here.is_empty() && !before.iter().any(|act| matches!(act, Act::Start(_) | Act::PowerOn(_) | Act::Heal)) {
            return Err(whole("timeline: no daemon ever starts; allowed: with a `start` or a `power_on`".into()));
        }
        let (acts, waits) = acts.into_iter().map(|(_, act, wait)| (act, wait)).unzip();
        for (place, expect) in scenario.expect.iter().enumerate() {
            let wrong = |wrong: String| (Place::Expect(place), format!("expect: {wrong}"));
            expect.check(&pair).map_err(wrong)?;
            if let Some(at) = expect.latest().filter(|at| *at > scenario.until) {
                return Err(wrong(format!("{at} lies behind the end; allowed: up to `until`, {}", scenario.until)));
            }
        }
        Ok(Story { scenario, pair, acts, waits, not_here, real_signatures: false })
    }

    /// The steps in the order in which they are made.
    pub fn entries(&self) -> impl Iterator<Item = &Step> {
        let mut order: Vec<&Entry> = self.scenario.timeline.iter().collect();
        if !order.iter().any(|entry| entry.time.at.is_none()) {
            order.sort_by_key(|entry| entry.at());
        }
        order.into_iter().map(|entry| &entry.step)
    }

    /// Runs it; `trace` keeps the lines.
    pub fn run(&self, maker: Maker, trace: bool) -> Outcome {
        self.tell(&Told::default(), maker, trace)
    }

    /// The same, told in one of many ways.
    pub fn tell(&self, told: &Told, maker: Maker, trace: bool) -> Outcome {
        let seed = self.scenario.seed.unwrap_or(1);
        let mut world = World::new(self.pair.clone(), seed.wrapping_add(told.number), maker);
        let mut pauses = Rng::stream(seed.wrapping_add(told.number), PAUSES);
        let longest = if told.number == 0 { Span::ZERO } else { LONGEST_PAUSE };
        world.machines.iter_mut().for_each(|machine| machine.has_seen(&told.seen));
        let allow = self.scenario.allow.unwrap_or_default();
        if let Some((most, from, to)) = allow.two_owners.map(|two| two.window()) {
            world.check.allowed = (most.0, Moment(from.0.0), to.map_or(Moment::NEVER, |to| Moment(to.0.0)));
        }
        if self.scenario.expect.iter().any(Expect::is_of_the_lan) {
            world.add_client();
        }
        world.check.limits = allow.limits;
        if self.real_signatures {
            world.seal();
        }
        world.record.lines = trace.then(Vec::new);
        world.record.said = (!self.scenario.expect.is_empty()).then(Vec::new);
        let mut healed = false;
        let mut unmet: Vec<Option<String>> = vec![None; self.scenario.expect.len()];
        let mut questions: Vec<(Moment, usize)> =
            (0..).zip(&self.scenario.expect).filter_map(|(place, expect)| Some((expect.asked_at()?, place))).collect();
        questions.sort_unstable();
        let mut questions = questions.into_iter().peekable();
        let mut ask_until = |world: &mut World, until: Moment| {
            while let Some((at, place)) = questions.peek().copied().filter(|(at, _)| *at <= until) {
                world.run_until(at);
                if world.now() < at {
                    return; // what a step waits for came first
                }
                questions.next();
                unmet[place] = self.scenario.expect[place].ask(&self.pair, world);
            }
        };
        let last = Moment(self.scenario.until.0.0);
        let (mut late, mut waited) = (Vec::new(), false);
        for ((at, text, acts), wait) in self.acts.iter().zip(&self.waits) {
            if waited && wait.is_none() && world.now() > *at {
                let when = world.now().to_string();
                late.push(format!("the step `{text}` came late: what stood before it waited until {}", when.trim()));
            }
            ask_until(&mut world, *at);
            world.run_until(world.now().max(*at));
            if let Some(wait) = wait {
                waited = true;
                let until = last.max(world.now()).min(wait.within.map_or(Moment::NEVER, |within| world.now() + within));
                if let Some(awaited) = &wait.awaited
                    && !world.run_until_it(awaited, until, &mut ask_until)
                {
                    let after = until.to_string();
                    late.push(format!("the step `{text}` waited for: {}; it had not happened by {}", wait.text, after.trim()));
                }
                let then = world.now() + wait.after;
                ask_until(&mut world, then);
                world.run_until(then.max(world.now()));
            }
            world.record.step(world.now(), text);
            for act in acts {
                if longest > Span::ZERO {
                    world.run_until(world.now() + Span(pauses.between(0, longest.0)));
                }
                healed |= *act == Act::Heal;
                match act {
                    Act::Start(node) if told.number > 0 => world.start_after(*node, Span(pauses.between(0, LONGEST_START.0))),
                    Act::PowerOn(node) if told.number > 0 => {
                        world.power_on(*node);
                        world.start_after(*node, Span(pauses.between(0, LONGEST_START.0)));
                    }
                    act => world.apply(act),
                }
            }
        }
        let end = world.now().max(Moment(self.scenario.until.0.0));
        ask_until(&mut world, end);
        world.run_until(end);
        world.check.end(world.now());
        if healed {
            world.demand_health();
        }
        world.record.end(world.now());
        let mut violations = std::mem::take(&mut world.check.violations);
        if allow.nobody {
            violations.retain(|violation| violation.promise != Promise::SomebodyServes);
        }
        let expects = self.scenario.expect.iter().zip(unmet);
        let failures = expects.filter_map(|(expect, asked)| {
            let otherwise = asked.or_else(|| expect.unmet(&self.pair, &world.record))?;
            Some(Failure { what: serde_json::to_string(expect).unwrap_or_default(), otherwise: Some(otherwise) })
        });
        let late = late.into_iter().map(|what| Failure { what, otherwise: None });
        let failures = late.chain(failures).collect();
        Outcome { failures, violations, two_owners: world.check.longest, events: world.events, record: world.record }
    }
}

/// One way of telling a story.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Told {
    /// 0: as the file says. Any other: with latencies of its own, with a pause of a few milliseconds before each thing that is done, and with daemons that
    /// take some time to begin.
    pub number: u64,
    /// The epochs that the pair has seen before, group by group; none where it is a new one.
    pub seen: Vec<Epoch>,
}

/// The pauses' stream of random numbers.
const PAUSES: u64 = 40;
/// The longest of them.
const LONGEST_PAUSE: Span = Span::millis(12);
/// The longest that a daemon takes to begin.
const LONGEST_START: Span = Span::millis(40);

/// Where in the file something is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// The file as a whole.
    Whole,
    /// An entry of the timeline.
    Entry(usize),
    /// An expectation.
    Expect(usize),
}

/// The longest story.
const LONGEST: Span = Span::secs(30 * 86_400);

/// The pair whose nodes have a file each.
fn each(files: &BTreeMap<String, String>, folder: &Path, pairs: &dyn Pairs) -> Result<Pair, String> {
    let mut found = Vec::new();
    for (node, file) in files {
        let pair = pairs.pair(folder, file)?;
        let place = pair
            .node(node)
            .ok_or_else(|| format!("config: {file} has no node {node:?}: {}", pair.settings[0].nodes.join(", ")))?;
        found.push((place, pair));
    }
    found.sort_by_key(|(place, _)| *place);
    match <[_; 2]>::try_from(found) {
        Ok([(0, first), (1, second)]) => Pair::joined(first, second).map_err(|wrong| format!("config: {wrong}")),
        _ => Err("config: allowed: one file, or one for each of the two nodes by its name".into()),
    }
}

/// A node's file is another one from its next start on.
fn configure(on: &On, pair: &Pair, folder: &Path, pairs: &dyn Pairs) -> Result<Vec<Act>, String> {
    let name = on.node.clone().unwrap_or_default();
    let node = pair.node(&name).ok_or_else(|| format!("node {name:?}: allowed: {}", pair.settings[0].nodes.join(", ")))?;
    let other = pairs.pair(folder, on.config.as_deref().unwrap_or_default())?;
    Ok(vec![Act::Configure(node, Box::new(pair.from_file(node, &other)?))])
}

impl Outcome {
    /// All is well.
    pub fn passed(&self) -> bool {
        self.failures.is_empty() && self.violations.is_empty()
    }

    /// How long the run was.
    pub fn simulated(&self) -> Span {
        Span(self.record.ended().0)
    }
}
