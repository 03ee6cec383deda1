//! A scenario: a story, a pair, a timeline and what must hold.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::act::Act;
use super::check::{Promise, Violation};
use super::clock::Moment;
use super::machine::Maker;
use super::pair::{Pair, Pairs};
use super::record::{Lane, Recorder};
use super::resolve::resolve;
use super::step::{Dur, Entry, Step};
use super::world::World;
use crate::core::time::Span;

/// The file.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// One line.
    pub title: String,
    /// The story.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// The configuration, relative to the scenario's folder.
    pub config: String,
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

/// What is excused.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Allow {
    /// Two nodes may answer for so long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub two_owners: Option<Dur>,
    /// What SAFETY.md names as limits (a) and (e), as long as they last.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub limits: bool,
    /// Nobody need serve although somebody could: the story is about something that forbids it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub nobody: bool,
}

/// What must hold.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Expect {
    /// This node's kernel answers, all the time.
    Owner {
        /// The group.
        group: String,
        /// The node.
        node: String,
        /// From when.
        from: Dur,
        /// Until when.
        to: Dur,
    },
    /// So many changes of owner.
    Moves {
        /// The group.
        group: String,
        /// This many.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exactly: Option<usize>,
        /// At the most.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_most: Option<usize>,
        /// From when.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<Dur>,
    },
    /// Clients behind the gateway wait no longer than this.
    Gap {
        /// The group.
        group: String,
        /// From when.
        from: Dur,
        /// Until when.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<Dur>,
        /// At the most.
        at_most: Dur,
    },
    /// No kernel answers, all the time.
    Nobody {
        /// The group.
        group: String,
        /// From when.
        from: Dur,
        /// Until when.
        to: Dur,
    },
    /// After this moment clients are served before long (by that node, if one is named).
    ServedWithin {
        /// The group.
        group: String,
        /// The moment.
        after: Dur,
        /// At the most.
        at_most: Dur,
        /// The node.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        node: Option<String>,
    },
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
}

/// How a run went.
pub struct Outcome {
    /// What did not hold; empty when all is well.
    pub failures: Vec<String>,
    /// Broken promises.
    pub violations: Vec<Violation>,
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
        let scenario: Scenario = serde_json::from_str(text).map_err(|wrong| format!("{name}: {wrong}"))?;
        Story::of(scenario, folder, pairs).map_err(|(entry, wrong)| {
            let line = entry.and_then(|entry| line_of(text, entry));
            line.map_or_else(|| format!("{name}: {wrong}"), |line| format!("{name}: {wrong} at line {line}"))
        })
    }

    /// Fits a scenario to its pair.
    ///
    /// # Errors
    /// The entry of the timeline, if it is one, and what is wrong with it.
    pub fn of(scenario: Scenario, folder: &Path, pairs: &dyn Pairs) -> Result<Story, (Option<usize>, String)> {
        let pair = pairs.pair(folder, &scenario.config).map_err(|wrong| (None, wrong))?;
        let mut acts = Vec::new();
        for (place, entry) in scenario.timeline.iter().enumerate() {
            let todo = resolve(&entry.step, &pair).map_err(|wrong| (Some(place), format!("{}: {wrong}", entry.step.name())))?;
            let text = format!("{} {}", entry.step.name(), entry.step.parameters());
            acts.push((Moment(entry.at.0.0), text.trim_end().to_string(), todo));
        }
        acts.sort_by_key(|(at, ..)| *at);
        let story = Story { scenario, pair, acts };
        for expect in &story.scenario.expect {
            story.names(expect).map_err(|wrong| (None, wrong))?;
        }
        Ok(story)
    }

    fn names(&self, expect: &Expect) -> Result<(usize, Option<usize>), String> {
        let (group, node) = match expect {
            Expect::Owner { group, node, .. } => (group, Some(node)),
            Expect::ServedWithin { group, node, .. } => (group, node.as_ref()),
            Expect::Moves { group, .. } | Expect::Gap { group, .. } | Expect::Nobody { group, .. } => (group, None),
        };
        let group = self.pair.group(group).ok_or_else(|| format!("expect: no group {group:?}"))?;
        let node = node.map(|name| self.pair.node(name).ok_or_else(|| format!("expect: no node {name:?}"))).transpose()?;
        Ok((group, node))
    }

    /// The steps in the order in which they are made.
    pub fn entries(&self) -> impl Iterator<Item = &Step> {
        let mut order: Vec<&Entry> = self.scenario.timeline.iter().collect();
        order.sort_by_key(|entry| entry.at);
        order.into_iter().map(|entry| &entry.step)
    }

    /// Runs it; `trace` keeps the lines.
    pub fn run(&self, maker: Maker, trace: bool) -> Outcome {
        let mut world = World::new(self.pair.clone(), self.scenario.seed.unwrap_or(1), maker);
        let allow = self.scenario.allow.unwrap_or_default();
        world.check.allowed = allow.two_owners.unwrap_or_default().0;
        world.check.limits = allow.limits;
        world.record.lines = trace.then(Vec::new);
        let mut healed = false;
        for (at, text, acts) in &self.acts {
            world.run_until(*at);
            world.record.step(*at, text);
            for act in acts {
                healed |= *act == Act::Heal;
                world.apply(act);
            }
        }
        world.run_until(Moment(self.scenario.until.0.0));
        world.check.end(world.now());
        if healed {
            world.demand_health();
        }
        world.record.end(world.now());
        let mut violations = std::mem::take(&mut world.check.violations);
        if allow.nobody {
            violations.retain(|violation| violation.promise != Promise::SomebodyServes);
        }
        let failures = self.scenario.expect.iter().filter_map(|expect| self.unmet(expect, &world.record)).collect();
        Outcome { failures, violations, events: world.events, record: world.record }
    }

    fn unmet(&self, expect: &Expect, record: &Recorder) -> Option<String> {
        let (group, node) = self.names(expect).ok()?;
        let at = |dur: &Dur| Moment(dur.0.0);
        let sentence = match expect {
            Expect::Owner { from, to, .. } => {
                let lane = record.lane(Lane::Answers(group, node?));
                if lane.iter().any(|s| s.from <= at(from) && s.to >= at(to)) {
                    return None;
                }
                let times: Vec<String> =
                    lane.iter().map(|s| format!("{}-{}", s.from.to_string().trim(), s.to.to_string().trim())).collect();
                format!("it answered only: {}", times.join(", "))
            }
            Expect::Nobody { from, to, .. } => {
                let meets = |s: &super::record::Stretch| s.from < at(to) && s.to > at(from);
                let who = (0..2).find(|node| record.lane(Lane::Answers(group, *node)).iter().any(meets))?;
                format!("{} answered", self.pair.node_name(who))
            }
            Expect::Moves { exactly, at_most, from, .. } => {
                let from = from.map_or(Moment::ZERO, |from| at(&from));
                let count = record.moves[group].iter().filter(|(when, _)| *when >= from).count();
                if exactly.is_none_or(|n| n == count) && at_most.is_none_or(|n| count <= n) {
                    return None;
                }
                format!("there were {count}")
            }
            Expect::Gap { from, to, at_most, .. } => {
                let to = to.map_or(Moment(self.scenario.until.0.0), |to| at(&to));
                let (gap, when) = record.longest_gap(group, at(from), to);
                if gap <= at_most.0 {
                    return None;
                }
                format!("the longest was {gap}, at {}", when.to_string().trim())
            }
            Expect::ServedWithin { after, at_most, .. } => match record.served_after(group, at(after), node) {
                Some(span) if span <= at_most.0 => return None,
                Some(span) => format!("it took {span}"),
                None => "never".to_string(),
            },
        };
        let said = serde_json::to_string(expect).unwrap_or_default();
        Some(format!("{said}: {sentence}"))
    }
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

/// The line of the timeline's entry with this number.
fn line_of(text: &str, entry: usize) -> Option<usize> {
    let start = text.find("\"timeline\"")?;
    let (place, _) = text[start..].match_indices("\"at\"").nth(entry)?;
    Some(text[..start + place].lines().count().max(1))
}
