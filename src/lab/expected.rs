//! Whether what a scenario's file expects held on the real kernel: asked of the probes' record, of the daemons' logs and answers, and of what they showed
//! of themselves at given moments.

use std::time::Duration;

use super::pair::Pair;
use super::probe::{BRIDGE, Record};
use super::timeline::{self, Asked, At, History, Silence};
use super::watch::Said;
use twinbeat_core::id::NodeId;
use twinbeat_say::log_line::LogLine;
use twinbeat_sim::expect::{Expect, Words};
use twinbeat_sim::step::Dur;

/// What is looked at.
pub struct Evidence<'a> {
    /// The pair as it was in the end.
    pub pair: &'a Pair,
    /// Each group's record; none where nobody watched.
    pub groups: Vec<Option<(Record, History)>>,
    /// Each node's log: when, counted from the scenario's beginning, and what.
    pub logs: [Vec<(Duration, LogLine)>; 2],
    /// The scenario's beginning, in the probes' time.
    pub from: At,
    /// Its end.
    pub to: At,
    /// By how much times may differ.
    pub tolerance: Duration,
}

impl Evidence<'_> {
    /// Why it did not hold, if it did not.
    pub fn unmet(&self, expect: &Expect) -> Option<String> {
        let at = |dur: &Dur| self.from + span(*dur);
        match expect {
            Expect::Owner { group, node, from, to } => {
                let (record, _) = self.group(group)?;
                let asked = &record.nodes[self.node(node)?.index() % 2];
                let (from, to) = (at(from) + self.tolerance, at(to).min(self.to).saturating_sub(self.tolerance));
                let silence = longest(timeline::silences(asked, from, to));
                (silence > BRIDGE).then(|| format!("it did not answer for {silence:.1?}"))
            }
            Expect::Nobody { group, from, to } => {
                let (record, _) = self.group(group)?;
                let (from, to) = (at(from) + self.tolerance, at(to).min(self.to).saturating_sub(self.tolerance));
                let answers =
                    |asked: &[Asked]| asked.iter().filter(|a| a.sent >= from && a.sent < to && a.answer.is_some()).count();
                let count: usize = record.nodes.iter().map(|asked| answers(asked)).sum();
                (count > 0).then(|| format!("{count} answers came"))
            }
            Expect::Moves { group, exactly, at_most, from } => {
                let (_, history) = self.group(group)?;
                let from = from.map_or(Duration::ZERO, span);
                let count = history.iter().filter(|(at, _)| *at >= from).count();
                let fine = exactly.is_none_or(|n| n == count) && at_most.is_none_or(|n| count <= n);
                (!fine).then(|| format!("there were {count}"))
            }
            Expect::Silence { group, from, to, at_most, .. } => {
                let (record, _) = self.group(group)?;
                let to = to.as_ref().map_or(self.to, at).min(self.to);
                let silences = timeline::silences(&record.client, at(from), to);
                let sum: Duration = silences.iter().filter(|s| s.counts()).map(Silence::length).sum();
                (sum > span(*at_most) + super::catalogue::SLACK).then(|| format!("together they were {sum:.1?}"))
            }
            Expect::SaysTimes { node, text, from, to, exactly, at_least, at_most } => {
                let words = Words { node: node.clone(), text: text.clone(), from: *from, to: *to };
                let count = self.lines(&words).count();
                let fine = exactly.is_none_or(|n| n == count)
                    && at_least.is_none_or(|n| count >= n)
                    && at_most.is_none_or(|n| count <= n);
                (!fine).then(|| format!("it did {count} times"))
            }
            // A race of boots may use up epochs that virtual time does not: said by `impossible`, and never played.
            Expect::Epoch { .. } => None,
            Expect::Gap { group, from, to, at_most, .. } => {
                let (record, _) = self.group(group)?;
                let to = to.as_ref().map_or(self.to, at).min(self.to);
                let gap = longest(timeline::silences(&record.client, at(from), to));
                let allowed = span(*at_most);
                let slack = if allowed.is_zero() { Duration::ZERO } else { super::catalogue::SLACK };
                (gap > allowed + slack).then(|| format!("the longest was {gap:.1?}"))
            }
            Expect::ServedWithin { group, after, at_most, node } => {
                let (record, _) = self.group(group)?;
                let node = node.as_ref().and_then(|node| self.node(node));
                let after = at(after);
                let good = |a: &&Asked| a.sent >= after && a.answer.is_some_and(|(_, who)| node.is_none_or(|node| node == who));
                let Some(first) = record.client.iter().find(good) else { return Some("never".to_owned()) };
                let took = first.sent - after;
                (took > span(*at_most) + self.tolerance).then(|| format!("it took {took:.1?}"))
            }
            Expect::Refused(words) => self.answered(words, false),
            Expect::Done(words) => self.answered(words, true),
            Expect::Says(words) => self.said(words).is_none().then(|| "no such line".to_owned()),
            Expect::NeverSays(words) => self.said(words).map(|line| format!("it said: {line}")),
            Expect::Link { node, link, state, at } => self.shown(node, *at, |said| {
                let is = said.links.iter().find(|(name, _)| name == link).map(|(_, state)| state.word());
                if is == Some(state.as_str()) { None } else { Some(format!("it was {is:?}")) }
            }),
            Expect::TakeoverReady { node, group, ready, because, at } => self.shown(node, *at, |said| {
                let place = self.pair.lab.plan.groups.iter().position(|g| g.name == *group)?;
                let reasons = said.not_ready.get(place)?;
                let fits = because.as_ref().is_none_or(|text| reasons.as_ref().is_some_and(|r| r.contains(text.as_str())));
                (reasons.is_none() != *ready || !fits).then(|| match reasons {
                    None => "it was ready".to_owned(),
                    Some(reasons) => format!("it was not ready: {reasons}"),
                })
            }),
            Expect::Service { node, group, running, at } => {
                let place = self.pair.lab.plan.groups.iter().position(|g| g.name == *group)?;
                let (node, at) = (self.node(node)?, self.from + span(*at));
                let all = &self.pair.living()[node.index() % 2];
                let near = all.iter().filter(|(t, _)| t.abs_diff(at) <= self.tolerance).filter_map(|(_, of)| *of.get(place)?);
                let near: Vec<bool> = near.collect();
                (!near.contains(running)).then(|| format!("it {} run", if *running { "did not" } else { "did" }))
            }
        }
    }

    fn group(&self, name: &str) -> Option<&(Record, History)> {
        let place = self.pair.lab.plan.groups.iter().position(|group| group.name == name)?;
        self.groups.get(place)?.as_ref()
    }

    fn node(&self, name: &str) -> Option<NodeId> {
        self.pair.lab.plan.node(name)
    }

    fn within(&self, words: &Words, at: Duration) -> bool {
        let from = words.from.map_or(Duration::ZERO, span);
        let to = words.to.map_or(Duration::MAX, |to| span(to) + self.tolerance);
        at >= from && at <= to
    }

    /// The first line of a node's log that fits.
    fn said(&self, words: &Words) -> Option<String> {
        self.lines(words).next()
    }

    /// The lines of a node's log that fit, with the group in front as in a trace.
    fn lines<'a>(&'a self, words: &'a Words) -> impl Iterator<Item = String> + 'a {
        let log = self.node(&words.node).map(|node| self.logs[node.index() % 2].as_slice()).unwrap_or_default();
        let fits = |line: &str| words.text.as_ref().is_none_or(|text| line.contains(text.as_str()));
        let within = log.iter().filter(|(at, _)| self.within(words, *at));
        let told = within.map(|(_, line)| match &line.group {
            Some(group) => format!("{group}: {}", line.text),
            None => line.text.clone(),
        });
        told.filter(move |line| fits(line))
    }

    fn answered(&self, words: &Words, done: bool) -> Option<String> {
        let node = self.node(&words.node)?;
        let answers = self.pair.answered();
        let mine = answers.iter().filter(|a| a.node == node && self.within(words, a.at.saturating_sub(self.from)));
        let mine: Vec<_> = mine.collect();
        let fits = |text: &str| words.text.as_ref().is_none_or(|part| text.contains(part.as_str()));
        if mine.iter().any(|a| a.done == done && fits(&a.text)) {
            return None;
        }
        Some(mine.first().map_or_else(|| "no command was answered".to_owned(), |a| format!("the answer was: {}", a.text)))
    }

    /// What a daemon showed of itself at a moment, or as soon as it was asked again.
    fn shown(&self, node: &str, at: Dur, wrong: impl Fn(&Said) -> Option<String>) -> Option<String> {
        let node = self.node(node)?;
        let at = self.from + span(at);
        let all = &self.pair.said()[node.index() % 2];
        let near: Vec<&Said> =
            all.iter().filter(|(t, _)| t.abs_diff(at) <= self.tolerance).filter_map(|(_, said)| said.as_ref()).collect();
        if near.iter().any(|said| wrong(said).is_none()) {
            return None;
        }
        near.first().map_or_else(|| Some("no daemon ran that could tell".to_owned()), |said| wrong(said))
    }
}

fn longest(silences: Vec<Silence>) -> Duration {
    silences.into_iter().filter(Silence::counts).map(|s| s.length()).max().unwrap_or_default()
}

fn span(dur: Dur) -> Duration {
    Duration::from_nanos(dur.0.0)
}
