//! A finished run as a picture: who served the clients, and for each node its machine, role, gate, witness and links.

use std::time::Duration;

use super::clock::Moment;
use super::record::{Lane as Track, Recorder, Stretch};
use super::script::{Outcome, Story};
use twinbeat_core::time::Span;
use twinbeat_picture::{At, Bar, Lane, Mark, Picture, Section, Tone, Verdict};

/// The picture of a finished run.
pub fn picture(story: &Story, outcome: &Outcome) -> Picture {
    let record = &outcome.record;
    let settings = &story.pair.settings[0];
    let nodes = [0, 1].map(|node| story.pair.node_name(node).to_string());
    let mut sections = vec![Section { heading: "clients".into(), tone: Tone::Faint, lanes: Vec::new() }];
    for (group, of) in settings.groups.iter().enumerate() {
        let name = if settings.groups.len() == 1 { "served by".to_string() } else { format!("{} served by", of.name) };
        sections[0].lanes.push(Lane { name, rest: Tone::Faint, main: true, bars: clients(record, group, &nodes) });
    }
    for (group, of) in settings.groups.iter().enumerate() {
        let both = both(record, group);
        if !both.is_empty() {
            let name = if settings.groups.len() == 1 { "two answer".to_string() } else { format!("{}: two answer", of.name) };
            sections[0].lanes.push(Lane { name, rest: Tone::Faint, main: true, bars: both });
        }
    }
    sections.extend((0..2).map(|node| section(story, record, node)));
    let steps = story.entries().zip(&record.marks);
    let marks = steps.map(|(step, (at, _))| Mark { at: since_start(*at), text: step.words(), kind: step.kind() }).collect();
    Picture {
        title: story.scenario.title.clone(),
        about: story.scenario.about.clone(),
        length: since_start(record.ended()),
        nodes,
        marks,
        sections,
        verdict: verdict(outcome),
    }
}

/// How long after its start a daemon may go without the witness's first answer.
const FRESH: Duration = Duration::from_millis(500);

fn since_start(at: Moment) -> At {
    Duration::from_nanos(at.0)
}

fn bar(stretch: &Stretch, what: &str, tone: Tone) -> Bar {
    Bar { from: since_start(stretch.from), to: since_start(stretch.to), what: what.to_string(), tone }
}

/// Who served; before the first time, nobody is missed yet.
fn clients(record: &Recorder, group: usize, nodes: &[String; 2]) -> Vec<Bar> {
    let changes = &record.clients[group];
    let ends = changes.iter().skip(1).map(|(at, _)| *at).chain([record.ended()]);
    let mut before = true;
    let mut bars = Vec::new();
    for ((from, who), to) in changes.iter().zip(ends) {
        before &= who.is_none();
        if to <= *from {
            continue;
        }
        let (what, tone) = match who {
            Some(node) => (nodes[*node].clone(), Tone::of_node(*node)),
            None if before => ("nobody yet".to_string(), Tone::Faint),
            None => ("nobody".to_string(), Tone::Bad),
        };
        bars.push(Bar { from: since_start(*from), to: since_start(to), what, tone });
    }
    bars
}

/// When two kernels answered at once.
fn both(record: &Recorder, group: usize) -> Vec<Bar> {
    let [one, other] = [0, 1].map(|node| record.lane(Track::Answers(group, node)));
    let pairs = one.iter().flat_map(|a| other.iter().map(move |b| (a.from.max(b.from), a.to.min(b.to))));
    let meet = pairs.filter(|(from, to)| from < to);
    meet.map(|(from, to)| bar(&Stretch { from, to, what: "two answer" }, "two answer", Tone::Bad)).collect()
}

fn section(story: &Story, record: &Recorder, node: usize) -> Section {
    let settings = &story.pair.settings[node];
    let stretches = |lane: Track| record.lane(lane).iter();
    let down: Vec<Bar> = stretches(Track::Machine(node)).map(|s| bar(s, s.what, Tone::Off)).collect();
    // What the other lanes cannot know meanwhile is said once, in the first one.
    let mute: Vec<Bar> = down.iter().map(|bar| Bar { what: String::new(), ..bar.clone() }).collect();
    let lane = |name: String, rest: Tone, bars: Vec<Bar>| Lane { name, rest, main: false, bars };
    let mut lanes = vec![lane("machine, daemon".into(), Tone::Good, down.clone())];
    let several = settings.groups.len() > 1;
    for (group, of) in settings.groups.iter().enumerate() {
        let name = |text: &str| if several { format!("{}: {text}", of.name) } else { text.to_string() };
        let role = |s: &Stretch| match s.what {
            "owner" => bar(s, "owner", Tone::of_node(node)),
            other => bar(s, other, Tone::Passing),
        };
        lanes.push(lane(name("role"), Tone::Faint, stretches(Track::Role(group, node)).map(role).collect()).without(&mute));
        let open = stretches(Track::Answers(group, node)).map(|s| bar(s, "gate open: answers for the VIP", Tone::of_node(node)));
        lanes.push(lane(name("kernel"), Tone::Faint, open.collect()));
    }
    // A daemon that has just started has not been answered yet.
    let starts: Vec<At> = std::iter::once(At::ZERO).chain(down.iter().map(|off| off.to)).collect();
    let fresh = |s: &Stretch| starts.iter().any(|at| since_start(s.from) >= *at && since_start(s.to) < *at + FRESH);
    let unreached = stretches(Track::Witness(node))
        .map(|s| if fresh(s) { bar(s, "asks", Tone::Passing) } else { bar(s, "out of reach", Tone::Bad) });
    let reaches = if settings.witness.targets == 1 { "reaches the gateway" } else { "reaches the witnesses" };
    lanes.push(lane(reaches.into(), Tone::Good, unreached.collect()).without(&mute));
    for (link, of) in settings.links.iter().enumerate() {
        let silent = stretches(Track::Link(link, node)).map(|s| bar(s, "silent", Tone::Bad));
        lanes.push(lane(format!("hears over {}", of.name), Tone::Good, silent.collect()).without(&mute));
    }
    Section { heading: story.pair.node_name(node).to_string(), tone: Tone::of_node(node), lanes }
}

fn verdict(outcome: &Outcome) -> Vec<Verdict> {
    let wrong =
        outcome.failures.iter().map(ToString::to_string).chain(outcome.violations.iter().map(|violation| violation.text.clone()));
    let mut lines: Vec<Verdict> = wrong.map(|text| Verdict { good: false, text }).collect();
    if lines.is_empty() {
        let text = match outcome.two_owners {
            Span::ZERO => "as expected; at no time did two nodes answer".to_string(),
            both => format!("as expected; two nodes answered at once for {both}, within what SAFETY.md names as a limit"),
        };
        lines.push(Verdict { good: true, text });
    }
    lines
}
