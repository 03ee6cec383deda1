//! What came of a scenario on the real kernel, weighed against its file and against the same scenario in virtual time.
//!
//! The same owners must follow one another, and the same refusals must have been said. Times may differ by [`tolerance`]. A difference is a failure: of the
//! simulator, or of what runs on the kernel.

use std::collections::BTreeSet;
use std::time::Duration;

use super::expected::Evidence;
use super::lab::BOTH;
use super::pair::Pair;
use super::probe::{BRIDGE, LAN_PERIOD, Outcome, Probe};
use super::stage::Played;
pub use super::timeline::History;
use super::timeline::{self, Asked, At, Run};
use twinbeat_core::id::NodeId;
use twinbeat_say::log_line::LogLine;
use twinbeat_sim::act::Act;
use twinbeat_sim::machine;
use twinbeat_sim::script::{Outcome as Virtual, Story};

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
pub struct Judgement {
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
pub fn tolerance(pair: &Pair) -> Duration {
    // The death of a service behind an init script is found out by asking for its status, once a second, twice.
    let scripts = pair.site.services.iter().any(|service| service.init);
    let heartbeat = Duration::from_nanos(pair.lab.plan.timing.heartbeat.0);
    heartbeat * 2 + Duration::from_millis(500) + if scripts { Duration::from_secs(3) } else { Duration::ZERO }
}

/// Weighs.
pub fn judge(story: &Story, virtually: &Virtual, played: &Played) -> Judgement {
    let (pair, from, to) = (&played.pair, played.from, played.to);
    let tolerance = tolerance(pair);
    let mut judgement =
        Judgement { courses: Vec::new(), failures: Vec::new(), notes: Vec::new(), tolerance, lateness: Duration::ZERO };
    let itself = virtually.failures.iter().map(ToString::to_string).chain(virtually.violations.iter().map(|v| v.text.clone()));
    judgement.failures.extend(itself.map(|text| format!("virtual time itself fails: {text}")));
    let plain = story.run(machine::real, false);
    let mut groups = Vec::new();
    for (group, of) in pair.lab.plan.groups.iter().enumerate() {
        let record = pair.probes.record(group, &of.other_guards);
        let (Some(outcome), Some(record)) = (pair.probes.outcome(group, from, to), record) else {
            judgement.notes.push(format!("{}: nobody watches it", of.name));
            groups.push(None);
            continue;
        };
        let real = history(pair, group, from, to);
        let virtual_time = moves(story, virtually, group, Duration::ZERO);
        judgement.failures.extend(differences(story, virtually, (group, &of.name), &pair.lab.plan.nodes, &real, tolerance));
        let boots = boots(story, &real).saturating_sub(boots(story, &moves(story, &plain, group, Duration::ZERO)));
        if boots > 0 {
            judgement.notes.push(format!(
                "{}: {boots} changes of owner before the first fault, as the nodes did not boot at the same instant",
                of.name
            ));
        }
        let allowed = story
            .scenario
            .allow
            .and_then(|a| a.two_owners)
            .map_or(Duration::ZERO, |two| Duration::from_nanos(two.window().0.0.0));
        if outcome.two_owners > allowed {
            judgement.failures.push(format!("{}: two nodes answered for {:?}", of.name, outcome.two_owners));
        }
        judgement.lateness = judgement.lateness.max(outcome.lateness);
        if outcome.discarded > 0 {
            let (count, late) = (outcome.discarded, outcome.lateness);
            judgement.notes.push(format!(
                "{}: {count} silences no longer than the probe's own lateness (at most {late:.1?}) were discarded",
                of.name
            ));
        }
        groups.push(Some((record, real[boots.min(real.len())..].to_vec())));
        judgement.courses.push(Course { name: of.name.clone(), real, virtual_time, outcome });
    }
    let logs = BOTH.map(|node| played.log(node));
    refusals(virtually, played, &logs, &mut judgement);
    let evidence = Evidence { pair, groups, logs, from, to, tolerance };
    for expect in &story.scenario.expect {
        if let Some(why) = evidence.unmet(expect) {
            judgement.failures.push(format!("{}: {why}", serde_json::to_string(expect).unwrap_or_default()));
        }
    }
    judgement
}

/// A group's owners one after the other, as the observer saw them: each node asked by itself, for every VIP that is watched (the nodes' files may name
/// different ones).
pub fn history(pair: &Pair, group: usize, from: At, to: At) -> History {
    let mut runs: [Vec<Run>; 2] = [Vec::new(), Vec::new()];
    for record in pair.probes.of(group).map(Probe::record) {
        for (runs, asked) in runs.iter_mut().zip(&record.nodes) {
            let within: Vec<Asked> = asked.iter().filter(|a| a.sent >= from && a.sent < to).copied().collect();
            runs.extend(timeline::joined(timeline::proven(&within, LAN_PERIOD, BRIDGE), &within, LAN_PERIOD));
        }
    }
    runs.iter_mut().for_each(|runs| runs.sort_by_key(|run| run.first_sent));
    timeline::alone(&runs).into_iter().map(|(at, node)| (at.saturating_sub(from), node)).collect()
}

/// A group's owners in virtual time, as an observer on the LAN would see them: a node whose own cable is unplugged there answers nobody. Who
/// begins no longer than `margin` before that is not noticed either.
pub fn moves(story: &Story, virtually: &Virtual, group: usize, margin: Duration) -> History {
    let moves = virtually.record.moves.get(group).map(Vec::as_slice).unwrap_or_default();
    let dark = [0, 1].map(|node| unplugged(story, node));
    let all: History = moves.iter().map(|(at, node)| (Duration::from_nanos(at.0), NodeId(*node as u8))).collect();
    seen(&all, &dark, margin)
}

/// When a node's public cable was unplugged, by the story.
fn unplugged(story: &Story, node: usize) -> Vec<(At, At)> {
    let (public, mut since, mut found) = (story.pair.public(), None, Vec::new());
    for (at, act) in story.acts.iter().flat_map(|(at, _, acts)| acts.iter().map(|act| (Duration::from_nanos(at.0), act))) {
        match act {
            Act::Carrier(of, link, up) if (*of, *link) == (node, public) => match (up, since) {
                (false, None) => since = Some(at),
                (true, Some(from)) => {
                    found.push((from, at));
                    since = None;
                }
                _ => {}
            },
            Act::Heal => found.extend(since.take().map(|from| (from, at))),
            _ => {}
        }
    }
    found.extend(since.map(|from| (from, Duration::MAX)));
    found
}

/// Each owner from when on it can be seen; not at all, if there is another one by then.
fn seen(moves: &History, dark: &[Vec<(At, At)>; 2], margin: Duration) -> History {
    let mut found: History = Vec::new();
    for (place, (at, node)) in moves.iter().enumerate() {
        let hidden = dark[node.index() % 2].iter().find(|(from, to)| *at + margin >= *from && *at < *to);
        let from = hidden.map_or(*at, |(_, to)| *to);
        let over = moves.get(place + 1).is_some_and(|(next, _)| hidden.is_some() && *next <= from) || from == Duration::MAX;
        if !over && found.last().is_none_or(|(_, last)| last != node) {
            found.push((from, *node));
        }
    }
    found
}

/// The owners without those that were too short to be noticed and were not.
fn noticed(virtual_time: &History, real: &History, tolerance: Duration) -> History {
    let mut found: History = Vec::new();
    for (place, (at, node)) in virtual_time.iter().enumerate() {
        let short = virtual_time.get(place + 1).is_some_and(|(next, _)| next.saturating_sub(*at) <= UNSEEN);
        let here = real.iter().any(|(when, who)| who == node && when.abs_diff(*at) <= tolerance);
        if (here || !short) && found.last().is_none_or(|(_, last)| last != node) {
            found.push((*at, *node));
        }
    }
    found
}

/// An owner that answers no longer than this may be missed: each node is asked every 5 ms, and a busy machine answers late.
const UNSEEN: Duration = Duration::from_millis(30);

/// Where a group's course differs from virtual time's, whether or not an owner was noticed in the last moment before its cable fell.
pub fn differences(
    story: &Story,
    virtually: &Virtual,
    (group, name): (usize, &str),
    nodes: &[String; 2],
    real: &History,
    tolerance: Duration,
) -> Vec<String> {
    let of = |margin| compare(story, name, nodes, (real, &moves(story, virtually, group, margin)), tolerance);
    let noticed = of(Duration::ZERO);
    if noticed.is_empty() || of(UNSEEN).is_empty() { Vec::new() } else { noticed }
}

/// Where a group's two courses differ; what the race of the boots cost is not the story's.
fn compare(
    story: &Story,
    group: &str,
    nodes: &[String; 2],
    (real, virtual_time): (&History, &History),
    tolerance: Duration,
) -> Vec<String> {
    let settled = first_disturbance(story);
    let virtual_time = &noticed(virtual_time, real, tolerance);
    let raced = boots(story, real) != boots(story, virtual_time);
    courses_differ(group, nodes, &settle(real, settled), &settle(virtual_time, settled), (tolerance, raced))
}

/// How many owners there were before the one that the story begins with.
fn boots(story: &Story, history: &History) -> usize {
    history.len() - settle(history, first_disturbance(story)).len()
}

/// When the story first does something to a pair that was started: until then the daemons of two machines race to boot, which virtual time does not
/// know, and only who owns at last counts.
pub fn first_disturbance(story: &Story) -> Duration {
    let start = |acts: &[Act]| acts.iter().all(|act| matches!(act, Act::Start(_) | Act::PowerOn(_)));
    let first = story.acts.iter().find(|(_, _, acts)| !start(acts)).map(|(at, ..)| Duration::from_nanos(at.0));
    // An answer may count for a question that was asked up to so much earlier.
    first.map(|at| at.saturating_sub(BRIDGE)).unwrap_or_else(|| Duration::from_nanos(story.scenario.until.0.0))
}

/// Of the owners before `until`, only the last.
fn settle(history: &History, until: Duration) -> History {
    let before = history.iter().take_while(|(at, _)| *at < until).count();
    history[before.saturating_sub(1).min(history.len())..].to_vec()
}

fn courses_differ(
    group: &str,
    nodes: &[String; 2],
    real: &History,
    virtual_time: &History,
    (tolerance, raced): (Duration, bool),
) -> Vec<String> {
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
    // After a race of boots it says nothing when the first one came.
    real.iter().zip(virtual_time).skip(usize::from(raced)).filter_map(late).collect()
}

/// The refusals, numbers and MACs apart: how often one is repeated is a matter of time.
fn refusals(virtually: &Virtual, played: &Played, logs: &[Vec<(Duration, LogLine)>; 2], judgement: &mut Judgement) {
    for node in BOTH {
        let name = played.pair.lab.name(node);
        let refused = logs[node.index()].iter().filter(|(_, line)| line.refused);
        let real: BTreeSet<String> = refused.map(|(_, line)| general(&line.text)).collect();
        let refused = virtually.record.refusals.iter().filter(|(by, _)| *by == node.index());
        let wanted: BTreeSet<String> = refused.map(|(_, text)| general(text)).collect();
        judgement
            .failures
            .extend(wanted.difference(&real).map(|text| format!("{name} refused in virtual time and not here: {text}")));
        judgement
            .failures
            .extend(real.difference(&wanted).map(|text| format!("{name} refused here and not in virtual time: {text}")));
    }
}

/// A refusal without its numbers.
fn general(text: &str) -> String {
    let word = |word: &str| {
        let figures = word.chars().any(|c| c.is_ascii_digit());
        if figures { "#".to_owned() } else { word.to_owned() }
    };
    text.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
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
        let differ = |real: &History, wanted: &History| courses_differ("web", &nodes, real, wanted, (s(7), false));
        let wanted = vec![(s(2), NodeId(0)), (s(220), NodeId(1))];
        assert!(differ(&vec![(s(6), NodeId(0)), (s(222), NodeId(1))], &wanted).is_empty());
        assert_eq!(differ(&vec![(s(6), NodeId(0)), (s(235), NodeId(1))], &wanted).len(), 1);
        let missing = differ(&vec![(s(6), NodeId(0))], &wanted);
        assert!(missing[0].contains("[a at 0.60 s], in virtual time [a at 0.20 s, b at 22.00 s]"), "{missing:?}");
    }

    #[test]
    fn an_owner_whose_cable_is_unplugged_is_seen_when_it_is_plugged_in() {
        let (one, two) = (NodeId(0), NodeId(1));
        let dark = [vec![(s(0), s(400))], vec![(s(200), s(500))]];
        assert_eq!(seen(&vec![(s(20), one)], &dark, UNSEEN), [(s(400), one)]);
        assert_eq!(seen(&vec![(s(20), one), (s(100), two)], &dark, UNSEEN), [(s(100), two)], "never seen");
        assert_eq!(seen(&vec![(s(450), one), (s(600), two)], &dark, UNSEEN), [(s(450), one), (s(600), two)]);
        assert_eq!(seen(&vec![(s(20), one)], &[vec![(s(0), Duration::MAX)], vec![]], UNSEEN), []);
    }

    #[test]
    fn an_owner_of_a_few_milliseconds_may_be_missed_and_a_longer_one_may_not() {
        let (one, two) = (NodeId(0), NodeId(1));
        let short = |at: Duration| at + Duration::from_millis(20);
        let wanted = vec![(s(0), one), (s(300), two), (short(s(300)), one), (s(600), two), (short(s(600)), one)];
        let real = vec![(s(0), one), (s(300), two), (short(s(300)), one)];
        assert_eq!(noticed(&wanted, &real, s(7)), real);
        assert_eq!(noticed(&wanted, &wanted, s(7)), wanted);
        let long = vec![(s(0), one), (s(300), two), (s(302), one)];
        assert_eq!(noticed(&long, &vec![(s(0), one)], s(7)), long);
    }

    #[test]
    fn the_race_of_the_boots_is_no_difference() {
        let real = vec![(s(2), NodeId(1)), (s(22), NodeId(0)), (s(200), NodeId(1))];
        assert_eq!(settle(&real, s(200)), real[1..]);
        assert_eq!(settle(&real, s(1)), real);
        assert_eq!(settle(&Vec::new(), s(1)), Vec::new());
    }

    #[test]
    fn refusals_are_the_same_whatever_their_numbers() {
        let real = general("no first claim: 02:00:00:00:00:99 answers for the address");
        assert_eq!(real, general("no first claim: 02:aa:00:00:00:01 answers for the address"));
        assert_ne!(real, general("no first claim: the witness does not answer"));
    }
}
