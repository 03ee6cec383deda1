//! A random story from a seed: each run draws first which kinds of fault exist in it, then what happens when (swarm testing).

use super::clock::Moment;
use super::pair::{Builtin, Pair, Pairs};
use super::rng::Rng;
use super::script::{Allow, Scenario};
use super::step::{At, Between, Dur, Entry, Gateway, Names, On, Separate, Step};
use crate::core::time::Span;

/// The pairs that runs are drawn from; the common ones more than once.
const PAIRS: &[&str] = &[
    "recipe",
    "recipe",
    "recipe-fast",
    "recipe-fast",
    "recipe-fast-norelay",
    "recipe-norelay",
    "recipe-bare",
    "recipe-fast-cold",
    "recipe-equal",
    "recipe-fast-manual",
    "recipe-three",
    "recipe-fast-two",
    "recipe-classic",
];

/// The kinds of fault.
const KINDS: &[Kind] = &[
    Kind::Power,
    Kind::Kill,
    Kind::Stop,
    Kind::Hang,
    Kind::Pause,
    Kind::Unplug,
    Kind::Cut,
    Kind::OneWay,
    Kind::Filter,
    Kind::Isolate,
    Kind::Separate,
    Kind::Loss,
    Kind::Delay,
    Kind::Duplicate,
    Kind::Gateway,
    Kind::GatewayCut,
    Kind::Forgets,
    Kind::Pins,
    Kind::LastHop,
    Kind::Stranger,
    Kind::Clock,
    Kind::Lease,
    Kind::Standby,
    Kind::Takeover,
    Kind::ServiceDies,
    Kind::StartFails,
    Kind::StopFails,
    Kind::DeleteVip,
    Kind::Flush,
    Kind::Forge,
    Kind::PlayBack,
    Kind::Disk,
    Kind::DiskFull,
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Power,
    Kill,
    Stop,
    Hang,
    Pause,
    Unplug,
    Cut,
    OneWay,
    Filter,
    Isolate,
    Separate,
    Loss,
    Delay,
    Duplicate,
    Gateway,
    GatewayCut,
    Forgets,
    Pins,
    LastHop,
    Stranger,
    Clock,
    Lease,
    Standby,
    Takeover,
    ServiceDies,
    StartFails,
    StopFails,
    DeleteVip,
    Flush,
    Forge,
    PlayBack,
    Disk,
    DiskFull,
}

/// The names of the kinds of fault, for those who want to leave some out.
pub fn kinds() -> Vec<String> {
    KINDS.iter().map(|kind| format!("{kind:?}")).collect()
}

/// The story of a seed.
pub fn draw(seed: u64) -> Scenario {
    draw_without(seed, &[])
}

/// The story of a seed when these kinds of fault do not exist.
pub fn draw_without(seed: u64, without: &[String]) -> Scenario {
    let mut rng = Rng::stream(seed, 9);
    let config = rng.pick(PAIRS).copied().unwrap_or("recipe");
    let config = format!("pairs/{config}.toml");
    let pair = Builtin.pair(std::path::Path::new(""), &config).unwrap_or_else(|_| super::pair::Builder::default().build());
    let share = rng.between(1, 9);
    let mut kinds: Vec<Kind> = KINDS.iter().copied().filter(|_| rng.below(10) < share).collect();
    kinds.retain(|kind| !without.contains(&format!("{kind:?}")));
    // What a witness is it has always been: the standby finds it out in good times.
    let last_hop = kinds.contains(&Kind::LastHop);
    kinds.retain(|kind| *kind != Kind::LastHop);
    if kinds.is_empty() {
        kinds.push(Kind::Cut);
    }
    let timing = pair.timing();
    let mut drawer = Drawer { pair: &pair, config: &config, rng, timeline: Vec::new() };
    let begin = Moment::ZERO;
    if last_hop {
        drawer.add(begin, Step::GatewayLastHop(Gateway::default()));
    }
    for node in 0..2 {
        let at = begin + Span(drawer.rng.below(timing.dead.0 * 2));
        drawer.add(at, Step::Start(drawer.name(node)));
    }
    let mut now = begin + timing.init_dead + timing.dead * 2;
    for _ in 0..drawer.rng.between(3, 24) {
        if let Some(kind) = drawer.rng.pick(&kinds).copied() {
            drawer.fault(kind, now);
        }
        now = now + drawer.span(timing.dead);
    }
    now = now + timing.dead * 3;
    drawer.add(now, Step::Heal(Separate::default()));
    let until = now + timing.init_dead + timing.dead * 4 + Span::secs(75);
    let mut timeline = drawer.timeline;
    timeline.sort_by_key(|entry| entry.at);
    // What would undo the healing comes too late.
    timeline.retain(|entry| entry.at.0.0 <= now.0);
    // Who was still on its way out is started again.
    let again = Dur(Span((now + timing.dead * 2 + Span::secs(10)).0 / 1_000 * 1_000));
    timeline.push(Entry { at: again, step: Step::Start(Names::Many((0..2).map(|n| pair.node_name(n).to_string()).collect())) });
    Scenario {
        schema: None,
        title: format!("Seed {seed}"),
        about: String::new(),
        config: config.clone().into(),
        seed: Some(seed),
        timeline,
        until: Dur(Span(until.0 / 1_000_000 * 1_000_000)),
        expect: Vec::new(),
        allow: Some(Allow { limits: true, ..Allow::default() }),
    }
}

struct Drawer<'a> {
    pair: &'a Pair,
    config: &'a str,
    rng: Rng,
    timeline: Vec<Entry>,
}

impl Drawer<'_> {
    fn add(&mut self, at: Moment, step: Step) {
        // Microseconds are fine enough, and readable.
        let at = Dur(Span(at.0 / 1_000 * 1_000));
        self.timeline.push(Entry { at, step });
    }

    fn name(&self, node: usize) -> Names {
        Names::One(self.pair.node_name(node).to_string())
    }

    fn node(&mut self) -> usize {
        self.rng.below(2) as usize
    }

    /// From very short to a few times `unit`, each order of magnitude as likely as the other.
    fn span(&mut self, unit: Span) -> Span {
        let scale = [1, 5, 20, 60, 100, 150, 400, 800];
        let percent = self.rng.pick(&scale).copied().unwrap_or(100);
        Span(self.rng.below(unit.0 * percent / 50 + 1))
    }

    fn link(&mut self) -> String {
        let links: Vec<String> =
            self.pair.settings[0].links.iter().filter(|link| !link.relay).map(|link| link.name.to_string()).collect();
        self.rng.pick(&links).cloned().unwrap_or_default()
    }

    fn on(&self, node: usize) -> On {
        On { node: Some(self.pair.node_name(node).to_string()), ..On::default() }
    }

    fn fault(&mut self, kind: Kind, at: Moment) {
        let node = self.node();
        let end = at + self.span(self.pair.timing().dead);
        let (name, on) = (self.name(node), self.on(node));
        let text = |node: usize| Some(self.pair.node_name(node).to_string());
        let (from, to) = (text(node), text(1 - node));
        let gateway = Some("gateway".to_string());
        let off = On { on: Some(false), ..on.clone() };
        let (begin, over) = match kind {
            Kind::Power => (Step::PowerOff(name.clone()), Some(Step::PowerOn(name))),
            Kind::Kill => (Step::Kill(name.clone()), Some(Step::Start(name))),
            Kind::Stop => (Step::Stop(name.clone()), Some(Step::Start(name))),
            Kind::Hang => (Step::Hang(name.clone()), Some(Step::Wake(name))),
            Kind::Pause => (Step::Pause(name.clone()), Some(Step::Unpause(name))),
            Kind::Unplug => {
                let place = At { node: from, link: Some(self.link()) };
                (Step::Unplug(place.clone()), Some(Step::Plug(place)))
            }
            Kind::Cut => {
                let way = Between { link: Some(self.link()), ..Between::default() };
                (Step::Cut(way.clone()), Some(Step::Mend(way)))
            }
            Kind::OneWay => {
                let link = (self.rng.below(3) > 0).then(|| self.link());
                let way = Between { link, from, to, ..Between::default() };
                (Step::Cut(way.clone()), Some(Step::Mend(way)))
            }
            Kind::Filter => {
                let way = Between { only: Some("heartbeats".into()), ..Between::default() };
                (Step::Cut(way), Some(Step::Mend(Between::default())))
            }
            Kind::Isolate => (Step::Isolate(name), Some(Step::Mend(Between::default()))),
            Kind::Separate => {
                let relay = Some(self.rng.below(2) == 0);
                (Step::Separate(Separate { relay }), Some(Step::Mend(Between::default())))
            }
            Kind::Loss => {
                let percent = Some(self.rng.between(1, 70) as f64);
                let link = (self.rng.below(2) == 0).then(|| self.link());
                let burst = Some(self.rng.between(1, 6) as u32);
                let way = Between { link, percent, burst, ..Between::default() };
                (Step::Loss(way.clone()), Some(Step::Loss(Between { percent: Some(0.0), ..way })))
            }
            Kind::Delay => {
                let most = self.pair.timing().delivery.0;
                let (delay, jitter) = (Span(self.rng.below(most * 2)), Span(self.rng.below(most)));
                let link = (self.rng.below(2) == 0).then(|| self.link());
                let way = Between { link, delay: Some(round(delay)), jitter: Some(round(jitter)), ..Between::default() };
                let normal = Between { delay: Some(Dur(Span::micros(80))), jitter: Some(Dur(Span::micros(60))), ..way.clone() };
                (Step::Delay(way), Some(Step::Delay(normal)))
            }
            Kind::Duplicate => {
                let way = Between { percent: Some(30.0), ..Between::default() };
                (Step::Duplicate(way.clone()), Some(Step::Duplicate(Between { percent: Some(0.0), ..way })))
            }
            Kind::Gateway => (Step::GatewayDown(Gateway::default()), Some(Step::GatewayUp(Gateway::default()))),
            Kind::GatewayCut => {
                let (from, to) = match self.rng.below(3) {
                    0 => (from, gateway),
                    1 => (gateway, from),
                    _ => (None, gateway),
                };
                let way = Between { link: Some("lan".into()), from, to, ..Between::default() };
                (Step::Cut(way.clone()), Some(Step::Mend(way)))
            }
            Kind::Forgets => (Step::GatewayForgets(Gateway::default()), None),
            Kind::Clock => {
                let rate = self.rng.between(917, 1083) as f64 / 1000.0;
                (Step::ClockRate(On { rate: Some(rate), ..on }), None)
            }
            Kind::Pins => {
                let off = Gateway { on: Some(false), ..Gateway::default() };
                (Step::GatewayPins(Gateway::default()), Some(Step::GatewayPins(off)))
            }
            // At the beginning, or never.
            Kind::LastHop => return,
            Kind::Stranger => (Step::Stranger(On::default()), Some(Step::Stranger(On { on: Some(false), ..On::default() }))),
            Kind::Lease => {
                // From half to four times as long, and the daemon restarted: sometimes within the lease, sometimes after it.
                let lease = self.pair.timing().lease;
                let lease = self.rng.between(lease.as_millis() / 2, lease.as_millis() * 4);
                let config = self.config.replace(".toml", &format!("-lease{lease}.toml"));
                self.add(at, Step::Configure(On { config: Some(config), ..on }));
                let kill = self.rng.below(2) == 0;
                (if kill { Step::Kill(name.clone()) } else { Step::Stop(name.clone()) }, Some(Step::Start(name)))
            }
            Kind::DiskFull => (Step::DiskFails(on), Some(Step::DiskFails(off))),
            Kind::Standby => (Step::Standby(on.clone()), Some(Step::Resume(on))),
            Kind::Takeover => (Step::Takeover(on), None),
            Kind::ServiceDies => (Step::ServiceDies(on), None),
            Kind::StartFails => (Step::ServiceStartFails(on), Some(Step::ServiceStartFails(off))),
            Kind::StopFails => (Step::ServiceStopFails(on), Some(Step::ServiceStopFails(off))),
            Kind::DeleteVip => (Step::ForeignDeleteVip(on), None),
            Kind::Flush => (Step::ForeignFlushRuleset(on), None),
            Kind::Forge => (Step::Forge(On::default()), None),
            Kind::PlayBack => (Step::ReplayPackets(On { count: Some(self.rng.between(1, 30) as u32), ..on }), None),
            Kind::Disk => {
                let slow = On { takes: Some(round(Span(self.rng.below(5_000_000_000)))), ..on.clone() };
                (Step::DiskTakes(slow), Some(Step::DiskTakes(On { takes: Some(Dur(Span::millis(4))), ..on })))
            }
        };
        self.add(at, begin);
        if let Some(over) = over {
            self.add(end, over);
        }
    }
}

fn round(span: Span) -> Dur {
    Dur(Span(span.0 / 1_000 * 1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_that_is_drawn_from_is_shipped_as_a_file() {
        let shipped: Vec<&str> = super::super::files::SHIPPED.iter().map(|(name, _)| *name).collect();
        assert!(PAIRS.iter().all(|pair| shipped.contains(pair)));
    }
}
