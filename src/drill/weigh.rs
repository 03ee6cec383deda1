//! What came of a scenario on the real kernel, weighed against its file and against the same scenario in virtual time.
//!
//! The same owners must follow one another, and the same refusals must have been said. Times may differ by [`tolerance`]. A difference is a failure: of the
//! simulator, or of what runs on the kernel.

use std::collections::BTreeSet;
use std::time::Duration;

use super::lab::BOTH;
use super::probe::{BRIDGE, Outcome, Record};
use super::stage::Played;
use super::timeline::{self, Asked, At, Silence};
use crate::core::id::NodeId;
use crate::core::settings::Timing;
use crate::sim::script::{Expect, Outcome as Virtual, Story};
use crate::sim::step::Dur;

/// Who owned a group from when on, counted from the scenario's beginning.
pub type History = Vec<(At, NodeId)>;

/// A group's course, real and virtual.
#[derive(Clone, Debug)]
pub struct Course {
    /// The group.
    pub name: String,
    /// As the kernels answered.
    pub real: History,
    /// As the simulator had it.
    pub virtual_time: History,
    /// What the clients saw.
    pub outcome: Outcome,
}

/// The judgement.
#[derive(Clone, Debug)]
pub struct Weighed {
    /// Each group.
    pub courses: Vec<Course>,
    /// What was not as it should be; empty: passed.
    pub failures: Vec<String>,
    /// What is worth a line all the same.
    pub notes: Vec<String>,
    /// By how much times may differ.
    pub tolerance: Duration,
    /// The probe's own greatest lateness.
    pub lateness: Duration,
}

/// By how much a time on the real kernel may differ from virtual time: two heartbeats, and half a second for a daemon, its services and `nft` to start.
pub fn tolerance(timing: &Timing) -> Duration {
    Duration::from_nanos(timing.heartbeat.0) * 2 + Duration::from_millis(500)
}

/// Weighs.
pub fn weigh(story: &Story, virtually: &Virtual, played: &Played) -> Weighed {
    let (pair, from, to) = (&played.pair, played.from, played.to);
    let tolerance = tolerance(&pair.lab.plan.timing);
    let mut weighed =
        Weighed { courses: Vec::new(), failures: Vec::new(), notes: Vec::new(), tolerance, lateness: Duration::ZERO };
    for (group, of) in pair.lab.plan.groups.iter().enumerate() {
        let (Some(outcome), Some(record)) = (pair.probes.outcome(group, from, to), pair.probes.guard(group).map(|p| p.record()))
        else {
            weighed.notes.push(format!("{}: nobody watches it", of.name));
            continue;
        };
        let real = history(&record, from, to);
        let moves = virtually.record.moves.get(group).map(Vec::as_slice).unwrap_or_default();
        let virtual_time: History = moves.iter().map(|(at, node)| (Duration::from_nanos(at.0), NodeId(*node as u8))).collect();
        weighed.failures.extend(courses_differ(&of.name, &pair.lab.plan.nodes, &real, &virtual_time, tolerance));
        let allowed = story.scenario.allow.and_then(|a| a.two_owners).map_or(Duration::ZERO, span);
        if outcome.two_owners > allowed {
            weighed.failures.push(format!("{}: two nodes answered for {:?}", of.name, outcome.two_owners));
        }
        weighed.lateness = weighed.lateness.max(outcome.lateness);
        if outcome.discarded > 0 {
            let (count, late) = (outcome.discarded, outcome.lateness);
            weighed.notes.push(format!(
                "{}: {count} silences no longer than the probe's own lateness (at most {late:.1?}) were discarded",
                of.name
            ));
        }
        let expected = Expected { record: &record, real: &real, from, to, tolerance };
        for expect in story.scenario.expect.iter().filter(|expect| group_of(expect) == of.name) {
            let node = node_of(expect).and_then(|name| pair.lab.plan.node(name));
            if let Some(why) = expected.unmet(expect, node) {
                weighed.failures.push(format!("{}: {why}", serde_json::to_string(expect).unwrap_or_default()));
            }
        }
        weighed.courses.push(Course { name: of.name.clone(), real, virtual_time, outcome });
    }
    refusals(virtually, played, &mut weighed);
    weighed
}

/// The owners one after the other, as the observer saw them: each node asked by itself.
pub fn history(record: &Record, from: At, to: At) -> History {
    let runs = record.nodes.each_ref().map(|asked| {
        let within: Vec<Asked> = asked.iter().filter(|a| a.sent >= from && a.sent < to).copied().collect();
        timeline::runs(&within, BRIDGE)
    });
    timeline::servers(&[&runs[0], &runs[1]]).into_iter().map(|(at, node)| (at.saturating_sub(from), node)).collect()
}

fn courses_differ(group: &str, nodes: &[String; 2], real: &History, virtual_time: &History, tolerance: Duration) -> Vec<String> {
    let name = |node: &NodeId| nodes[node.index() % 2].clone();
    let order = |history: &History| {
        history.iter().map(|(at, n)| format!("{} at {:.2} s", name(n), at.as_secs_f64())).collect::<Vec<_>>().join(", ")
    };
    if !real.iter().map(|(_, n)| n).eq(virtual_time.iter().map(|(_, n)| n)) {
        return vec![format!("{group}: the owners were [{}], in virtual time [{}]", order(real), order(virtual_time))];
    }
    let late = |((real, node), (wanted, _)): (&(At, NodeId), &(At, NodeId))| {
        (real.abs_diff(*wanted) > tolerance).then(|| {
            let (real, wanted) = (real.as_secs_f64(), wanted.as_secs_f64());
            format!(
                "{group}: {} became the owner at {real:.2} s, in virtual time at {wanted:.2} s (allowed: {tolerance:?} apart)",
                name(node)
            )
        })
    };
    real.iter().zip(virtual_time).filter_map(late).collect()
}

/// The refusals, numbers and MACs apart: how often one is repeated is a matter of time.
fn refusals(virtually: &Virtual, played: &Played, weighed: &mut Weighed) {
    for node in BOTH {
        let name = played.pair.lab.name(node);
        let (log, _) = played.pair.site.log_since(node, 0);
        let real: BTreeSet<String> = log.lines().filter_map(|line| Some(general(line.split_once(" refused: ")?.1))).collect();
        let lines = virtually.record.lines.as_deref().unwrap_or_default();
        let said = lines.iter().filter_map(|line| {
            let (_, rest) = line.trim_start().split_once(' ')?;
            let rest = rest.trim_start().strip_prefix(name)?.trim_start().strip_prefix("refused")?;
            // "web: why": the group stands elsewhere in the log.
            Some(general(rest.trim_start().split_once(": ")?.1))
        });
        let wanted: BTreeSet<String> = said.collect();
        for (missing, whose, other) in
            [(wanted.difference(&real), "virtual time", "here"), (real.difference(&wanted), "here", "virtual time")]
        {
            let place = if other == "here" { "not here" } else { "not in virtual time" };
            weighed
                .failures
                .extend(missing.map(|text| format!("{name} refused in {whose}, {place}: {text}").replace("in here", "here")));
        }
    }
}

/// A refusal without its numbers.
fn general(text: &str) -> String {
    let text = text.split(" group=").next().unwrap_or(text);
    let word = |word: &str| {
        let figures = word.chars().any(|c| c.is_ascii_digit());
        if figures { "#".to_owned() } else { word.to_owned() }
    };
    text.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

/// What is looked at to see whether an expectation holds.
struct Expected<'a> {
    record: &'a Record,
    real: &'a History,
    from: At,
    to: At,
    tolerance: Duration,
}

impl Expected<'_> {
    /// Why it does not hold, if it does not.
    fn unmet(&self, expect: &Expect, node: Option<NodeId>) -> Option<String> {
        let at = |dur: &Dur| self.from + span(*dur);
        let longest =
            |silences: Vec<Silence>| silences.into_iter().filter(Silence::counts).map(|s| s.length()).max().unwrap_or_default();
        match expect {
            Expect::Owner { from, to, .. } => {
                let asked = &self.record.nodes[node?.index() % 2];
                let silence = longest(timeline::silences(asked, at(from) + self.tolerance, at(to).min(self.to) - self.tolerance));
                (silence > BRIDGE).then(|| format!("it did not answer for {silence:.1?}"))
            }
            Expect::Nobody { from, to, .. } => {
                let (from, to) = (at(from) + self.tolerance, at(to).min(self.to) - self.tolerance);
                let answers =
                    |asked: &[Asked]| asked.iter().filter(|a| a.sent >= from && a.sent < to && a.answer.is_some()).count();
                let count: usize = self.record.nodes.iter().map(|asked| answers(asked)).sum();
                (count > 0).then(|| format!("{count} answers came"))
            }
            Expect::Moves { exactly, at_most, from, .. } => {
                let from = from.map_or(Duration::ZERO, span);
                let count = self.real.iter().filter(|(at, _)| *at >= from).count();
                let fine = exactly.is_none_or(|n| n == count) && at_most.is_none_or(|n| count <= n);
                (!fine).then(|| format!("there were {count}"))
            }
            Expect::Gap { from, to, at_most, .. } => {
                let to = to.as_ref().map_or(self.to, at).min(self.to);
                let gap = longest(timeline::silences(&self.record.client, at(from), to));
                let allowed = span(*at_most);
                let slack = if allowed.is_zero() { Duration::ZERO } else { super::catalogue::SLACK };
                (gap > allowed + slack).then(|| format!("the longest was {gap:.1?}"))
            }
            Expect::ServedWithin { after, at_most, .. } => {
                let after = at(after);
                let good = |a: &&Asked| a.sent >= after && a.answer.is_some_and(|(_, who)| node.is_none_or(|node| node == who));
                match self.record.client.iter().find(good) {
                    None => Some("never".to_owned()),
                    Some(first) => {
                        let took = first.sent - after;
                        (took > span(*at_most) + self.tolerance).then(|| format!("it took {took:.1?}"))
                    }
                }
            }
            #[allow(unreachable_patterns, reason = "an expectation that virtual time learns first must not pass unnoticed here")]
            _ => Some("is not known on the real kernel".to_owned()),
        }
    }
}

fn group_of(expect: &Expect) -> &str {
    match expect {
        Expect::Owner { group, .. }
        | Expect::Moves { group, .. }
        | Expect::Gap { group, .. }
        | Expect::Nobody { group, .. }
        | Expect::ServedWithin { group, .. } => group,
    }
}

fn node_of(expect: &Expect) -> Option<&str> {
    match expect {
        Expect::Owner { node, .. } => Some(node),
        Expect::ServedWithin { node, .. } => node.as_deref(),
        _ => None,
    }
}

fn span(dur: Dur) -> Duration {
    Duration::from_nanos(dur.0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(tenths: u64) -> Duration {
        Duration::from_millis(tenths * 100)
    }

    #[test]
    fn another_order_of_owners_is_a_difference_and_a_small_delay_is_none() {
        let nodes = ["a".to_owned(), "b".to_owned()];
        let differ = |real: &History, wanted: &History| courses_differ("web", &nodes, real, wanted, s(7));
        let wanted = vec![(s(2), NodeId(0)), (s(220), NodeId(1))];
        assert!(differ(&vec![(s(6), NodeId(0)), (s(222), NodeId(1))], &wanted).is_empty());
        assert_eq!(differ(&vec![(s(6), NodeId(0)), (s(235), NodeId(1))], &wanted).len(), 1);
        let missing = differ(&vec![(s(6), NodeId(0))], &wanted);
        assert!(missing[0].contains("[a at 0.60 s], in virtual time [a at 0.20 s, b at 22.00 s]"), "{missing:?}");
    }

    #[test]
    fn refusals_are_the_same_whatever_their_numbers() {
        let real = general("no first claim: 02:00:00:00:00:99 answers for the address group=web");
        assert_eq!(real, general("no first claim: 02:aa:00:00:00:01 answers for the address"));
        assert_ne!(real, general("no first claim: the witness does not answer"));
    }
}
