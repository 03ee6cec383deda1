//! A drill as swim lanes: what was done, who served the clients, and for each node its machine, role, lease, kernel, witness and links.
//!
//! Who served and whose kernel answered is the probes'; role, lease, witness and links are what the daemons said of themselves.

use std::time::Duration;

use super::lab::BOTH;
use super::pair::{Down, Pair};
use super::probe::{BRIDGE, CLIENT_PERIOD, LAN_PERIOD};
use super::timeline::{self, Asked, At, Run, Silence};
use super::watch::{PERIOD, Said, Sayings};
use twinbeat_core::id::NodeId;
use twinbeat_core::words::{GroupRole, LinkCondition};
use twinbeat_picture::{Bar, Lane, Mark, Picture, Section, Tone, Verdict};

/// The picture of a pair's time between two moments.
pub fn picture(title: &str, about: &str, pair: &Pair, (from, to): (At, At), verdict: Vec<Verdict>) -> Picture {
    let plan = &pair.lab.plan;
    let view = View { from, to };
    let mut clients = Section { heading: "clients".into(), tone: Tone::Faint, lanes: Vec::new() };
    for (group, of) in plan.groups.iter().enumerate() {
        let Some(probe) = pair.probes.guard(group) else { continue };
        let name = if plan.groups.len() == 1 { "served by".to_owned() } else { format!("{} served by", of.name) };
        clients.lanes.push(Lane { name, rest: Tone::Faint, main: true, bars: view.clients(&probe.record().client, &plan.nodes) });
    }
    let sayings = pair.said();
    let mut sections = vec![clients];
    sections.extend(BOTH.map(|node| section(pair, &view, node, &sayings[node.index()])));
    let within = pair.marks.iter().filter(|(at, ..)| *at >= from && *at <= to);
    let marks = within.map(|(at, text, kind)| Mark { at: *at - from, text: text.clone(), kind: *kind }).collect();
    Picture {
        title: title.to_owned(),
        about: about.to_owned(),
        length: to.saturating_sub(from),
        nodes: plan.nodes.clone(),
        marks,
        sections,
        verdict,
    }
}

fn section(pair: &Pair, view: &View, node: NodeId, said: &Sayings) -> Section {
    let plan = &pair.lab.plan;
    let own = Tone::of_node(node.index());
    let lane = |name: String, rest: Tone, bars: Vec<Bar>| Lane { name, rest, main: false, bars };
    let down = view.machine(&pair.machines[node.index()]);
    let mute: Vec<Bar> = down.iter().map(|bar| Bar { what: String::new(), ..bar.clone() }).collect();
    let mut lanes = vec![lane("machine, daemon".into(), Tone::Good, down)];
    let several = plan.groups.len() > 1;
    for (group, of) in plan.groups.iter().enumerate() {
        let name = |text: &str| if several { format!("{}: {text}", of.name) } else { text.to_owned() };
        let role = view.said(
            said,
            |s| s.roles.get(group).copied().filter(|role| *role != GroupRole::Standby),
            |role| (role.to_string(), if *role == GroupRole::Owner { own } else { Tone::Passing }),
        );
        lanes.push(lane(name("role"), Tone::Faint, role).without(&mute));
        let third = plan.timing.lease.0 / 3_000_000;
        let lease = view.said(
            said,
            |s| s.lease.get(group).copied().flatten().map(|left| left > third),
            |full| match full {
                true => ("renewed".to_owned(), own),
                false => ("less than a third left".to_owned(), Tone::Passing),
            },
        );
        lanes.push(lane(name("lease"), Tone::Faint, lease).without(&mute));
        let asked = pair.probes.guard(group).map(|probe| probe.record().nodes[node.index()].clone()).unwrap_or_default();
        let asked = view.cut(&asked);
        let runs = timeline::joined(timeline::proven(&asked, LAN_PERIOD, BRIDGE), &asked, LAN_PERIOD);
        let open = runs.iter().map(|run| view.bar(run.first_sent, run.last_received, "answers for the VIP".to_owned(), own));
        lanes.push(lane(name("kernel"), Tone::Faint, open.collect()));
    }
    let dark = view.said(said, |s| (!s.witness).then_some(()), |()| ("out of reach".to_owned(), Tone::Bad));
    let reaches = if plan.witnesses.len() == 1 { "reaches the gateway" } else { "reaches the witnesses" };
    lanes.push(lane(reaches.into(), Tone::Good, dark).without(&mute));
    let mut links: Vec<&String> =
        said.iter().filter_map(|(_, s)| s.as_ref()).flat_map(|s| s.links.iter().map(|(name, _)| name)).collect();
    links.sort();
    links.dedup();
    for link in links {
        let state =
            |s: &Said| s.links.iter().find(|(name, state)| name == link && *state != LinkCondition::Ok).map(|(_, state)| *state);
        let ill = view.said(said, state, |state| {
            (state.to_string(), if *state == LinkCondition::Late { Tone::Passing } else { Tone::Bad })
        });
        lanes.push(lane(format!("hears over {link}"), Tone::Good, ill).without(&mute));
    }
    Section { heading: pair.lab.name(node).to_owned(), tone: own, lanes }
}

/// The stretch of time that is drawn.
struct View {
    from: At,
    to: At,
}

impl View {
    fn bar(&self, from: At, to: At, what: String, tone: Tone) -> Bar {
        let within = |at: At| at.clamp(self.from, self.to) - self.from;
        Bar { from: within(from), to: within(to), what, tone }
    }

    fn cut(&self, asked: &[Asked]) -> Vec<Asked> {
        asked.iter().filter(|a| a.sent >= self.from && a.sent < self.to).copied().collect()
    }

    /// Who served, and each silence that counts.
    fn clients(&self, asked: &[Asked], names: &[String; 2]) -> Vec<Bar> {
        let runs = timeline::runs(&self.cut(asked), CLIENT_PERIOD * 2);
        let mut bars: Vec<Bar> = Vec::new();
        let first = runs.first().map_or(self.to, |run: &Run| run.first_sent);
        if first > self.from {
            bars.push(self.bar(self.from, first, "nobody yet".to_owned(), Tone::Faint));
        }
        for run in timeline::joined(runs, &self.cut(asked), Duration::MAX) {
            let (name, tone) = (names[run.node.index() % 2].clone(), Tone::of_node(run.node.index()));
            bars.push(self.bar(run.first_sent, run.last_received, name, tone));
        }
        for silence in timeline::silences(asked, first.max(self.from), self.to).iter().filter(|s| Silence::counts(s)) {
            bars.push(self.bar(silence.from, silence.to, "nobody".to_owned(), Tone::Bad));
        }
        bars.sort_by_key(|bar| bar.from);
        bars
    }

    /// What was not as it should be with the machine.
    fn machine(&self, changes: &[(At, Option<Down>)]) -> Vec<Bar> {
        let ends = changes.iter().skip(1).map(|(at, _)| *at).chain([self.to]);
        let all = changes.iter().zip(ends).filter(|((from, _), to)| *to > self.from && *from < self.to);
        all.filter_map(|((from, what), to)| Some(self.bar(*from, to, (*what)?.word().to_owned(), Tone::Off))).collect()
    }

    /// What a daemon said, as long as it said the same.
    fn said<T: PartialEq>(
        &self,
        said: &Sayings,
        pick: impl Fn(&Said) -> Option<T>,
        show: impl Fn(&T) -> (String, Tone),
    ) -> Vec<Bar> {
        let mut bars: Vec<(At, At, T)> = Vec::new();
        for (at, one) in said.iter().filter(|(at, _)| *at >= self.from && *at < self.to) {
            let Some(now) = one.as_ref().and_then(&pick) else { continue };
            match bars.last_mut() {
                Some((_, to, before)) if *before == now && at.saturating_sub(*to) <= PERIOD * 2 => *to = *at + PERIOD,
                _ => bars.push((*at, *at + PERIOD, now)),
            }
        }
        let shown = bars.into_iter().map(|(from, to, what)| {
            let (text, tone) = show(&what);
            self.bar(from, to, text, tone)
        });
        shown.collect()
    }
}
