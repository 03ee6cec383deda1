//! A random story from a seed (swarm testing): each run draws its pair and which kinds of fault exist in it, then each kind draws
//! from a stream of its own how often and when it strikes. So a new kind of fault reshuffles none of the others.

use super::clock::Moment;
use super::pair::Pair;
use super::parts::{NAMES, pair_of, seldom, some_command, some_link, told};
use super::rng::Rng;
use super::script::Scenario;
use super::step::{At, Between, Dur, Entry, Gateway, Names, On, Separate, Step};
use twinbeat_core::time::Span;

/// The first stream of the kinds; the streams below are the world's and the header's.
const STREAMS: u64 = 1000;

macro_rules! kinds {
    ($($name:ident = $number:literal),* $(,)?) => {
        /// A kind of fault; its number names its stream and never changes.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        enum Kind { $($name = $number),* }

        /// All of them.
        const KINDS: &[Kind] = &[$(Kind::$name),*];
    };
}

kinds! {
    Power = 1, Kill = 2, Stop = 3, Hang = 4, Pause = 5, Unplug = 6, Cut = 7, OneWay = 8, Filter = 9, Isolate = 10, Separate = 11,
    Loss = 12, Delay = 13, Duplicate = 14, Gateway = 15, GatewayCut = 16, Forgets = 17, Clock = 18, Standby = 19, Takeover = 20,
    ServiceDies = 21, StartFails = 22, StopFails = 23, DeleteVip = 24, Flush = 25, Forge = 26, PlayBack = 27, Disk = 28,
    Corrupt = 29, Reorder = 30, Flap = 31, Pins = 32, LastHop = 33, Stranger = 34, DiskFails = 35, ServiceTakes = 36, Restart = 37,
    SomeWays = 38, Lease = 39, Commands = 40, GateRefused = 41,
    Names = 42, Obstacle = 43, Maintenance = 44,
}

/// Drawn only where it is asked for: a fault that is known and not mended yet shows at once, and would hide the others.
pub const HELD_BACK: &[(&str, &str)] = &[];

/// Which generator tells the story of a seed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Style {
    /// This one.
    #[default]
    Wild,
    /// [`calm`](super::calm).
    Calm,
    /// Of an even seed the wild one, of an odd one the calm one.
    Both,
}

/// The names of the kinds of fault, of both generators, for those who want to leave some out.
pub fn kinds() -> Vec<String> {
    let mut all: Vec<String> = KINDS.iter().map(|kind| format!("{kind:?}")).collect();
    all.extend(super::calm::kinds().into_iter().filter(|name| !KINDS.iter().any(|kind| format!("{kind:?}") == *name)));
    all
}

/// The wild story of a seed.
pub fn draw(seed: u64) -> Scenario {
    draw_with(seed, &[], None)
}

/// The story of a seed in a style, without some kinds of fault, on this pair or on one that is drawn as well. What is [`HELD_BACK`] is left out of
/// calm stories unless `without` says `+NAME`.
pub fn draw_as(style: Style, seed: u64, without: &[String], fixed: Option<&(String, Pair)>) -> Scenario {
    if style == Style::Wild || (style == Style::Both && seed.is_multiple_of(2)) {
        return draw_with(seed, without, fixed);
    }
    let held = HELD_BACK.iter().map(|(name, _)| (*name).to_string()).filter(|name| !without.contains(&format!("+{name}")));
    let without: Vec<String> = without.iter().cloned().chain(held).collect();
    super::calm::draw(seed, &without, fixed)
}

/// The wild story of a seed when these kinds of fault do not exist, on this pair or on one that is drawn as well.
pub fn draw_with(seed: u64, without: &[String], fixed: Option<&(String, Pair)>) -> Scenario {
    let mut rng = Rng::stream(seed, 9);
    let (config, pair) = pair_of(seed, fixed);
    let timing = pair.timing();
    // How many kinds exist, how often each strikes, how close together: from quiet runs to wild ones.
    let share = rng.pick(&[3, 6, 10, 20, 30, 50, 80]).copied().unwrap_or(20);
    let most = rng.between(1, 5);
    let spread = rng.between(4, 40);
    let begin = Moment::ZERO;
    let first = begin + timing.init_dead + timing.dead * 2;
    let last = first + timing.dead * spread;
    let mut timeline = Vec::new();
    let mut drawer = Drawer { pair: &pair, config: &config, rng, timeline: Vec::new() };
    for node in 0..2 {
        let at = begin + Span(drawer.rng.below(timing.dead.0 * 2));
        drawer.add(at, Step::Start(drawer.name(node)));
    }
    timeline.append(&mut drawer.timeline);
    // A file given by hand has no other beside it with another lease or other names.
    let exists =
        |kind: &Kind| !without.contains(&format!("{kind:?}")) && (fixed.is_none() || !matches!(kind, Kind::Lease | Kind::Names));
    for kind in KINDS.iter().filter(|kind| exists(kind)) {
        let stream = STREAMS + *kind as u64;
        let rng = match kind {
            Kind::Names | Kind::Obstacle | Kind::Maintenance => seldom(seed, stream),
            _ => {
                let mut rng = Rng::stream(seed, stream);
                (rng.below(100) < share).then_some(rng)
            }
        };
        let Some(rng) = rng else { continue };
        let mut drawer = Drawer { pair: &pair, config: &config, rng, timeline: Vec::new() };
        if *kind == Kind::LastHop {
            drawer.add(begin, Step::GatewayLastHop(Gateway::default()));
        }
        for _ in 0..drawer.rng.between(1, most) {
            let at = Moment(drawer.rng.between(first.0, last.0));
            drawer.fault(*kind, at);
        }
        timeline.append(&mut drawer.timeline);
    }
    let heal = last + timing.dead * 3;
    timeline.push(Entry::new(micros(heal), Step::Heal(Separate::default())));
    let until = heal + timing.init_dead + timing.dead * 4 + Span::secs(75);
    timeline.sort_by_key(Entry::at);
    // What would undo the healing comes too late.
    timeline.retain(|entry| entry.at() <= micros(heal));
    // Who was still on its way out is started again.
    let both = Names::Many((0..2).map(|node| pair.node_name(node).to_string()).collect());
    timeline.push(Entry::new(micros(heal + timing.dead * 2 + Span::secs(10)), Step::Start(both)));
    told(seed, config, timeline, Dur(Span(until.0 / 1_000_000 * 1_000_000)))
}

/// Microseconds are fine enough, and readable.
fn micros(at: Moment) -> Dur {
    Dur(Span(at.0 / 1_000 * 1_000))
}

struct Drawer<'a> {
    pair: &'a Pair,
    config: &'a str,
    rng: Rng,
    timeline: Vec<Entry>,
}

impl Drawer<'_> {
    fn add(&mut self, at: Moment, step: Step) {
        self.timeline.push(Entry::new(micros(at), step));
    }

    /// A node's file is another one from now on; its daemon ends, and starts again later.
    fn other_file(&mut self, at: Moment, on: On, name: Names) -> (Step, Option<Step>) {
        self.add(at, Step::Configure(on));
        let end = if self.rng.below(2) == 0 { Step::Kill(name.clone()) } else { Step::Stop(name.clone()) };
        (end, Some(Step::Start(name)))
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
        some_link(&mut self.rng, self.pair)
    }

    fn public(&self) -> String {
        self.pair.settings[0].links[self.pair.public()].name.to_string()
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
                let way = Between { link: Some(self.public()), from, to, ..Between::default() };
                (Step::Cut(way.clone()), Some(Step::Mend(way)))
            }
            Kind::Forgets => (Step::GatewayForgets(Gateway::default()), None),
            Kind::Clock => {
                let rate = self.rng.between(917, 1083) as f64 / 1000.0;
                (Step::ClockRate(On { rate: Some(rate), ..on }), None)
            }
            // What a witness is it has always been: the standby finds it out in good times.
            Kind::LastHop => return,
            Kind::Stranger => (Step::Stranger(On::default()), Some(Step::Stranger(On { on: Some(false), ..On::default() }))),
            Kind::Lease => {
                // From half to four times as long, and the daemon restarted: sometimes within the lease, sometimes after it.
                let lease = self.pair.timing().lease;
                let lease = self.rng.between(lease.as_millis() / 2, lease.as_millis() * 4);
                let config = self.config.replace(".toml", &format!("-lease{lease}.toml"));
                self.other_file(at, On { config: Some(config), ..on }, name)
            }
            Kind::Names => {
                // The other node mostly gets the same file, before or after, or at once.
                let words = self.rng.pick(NAMES).copied().unwrap_or("shop");
                let config = Some(self.config.replace(".toml", &format!("-{words}.toml")));
                if self.rng.below(4) > 0 {
                    let other = 1 - node;
                    let then = at + self.span(self.pair.timing().dead * 2);
                    let (name, on) = (self.name(other), self.on(other));
                    self.add(then, Step::Configure(On { config: config.clone(), ..on.clone() }));
                    let takes = Some(round(Span(self.rng.below(self.pair.timing().lease.0))));
                    if self.rng.below(2) == 0 {
                        self.add(then, Step::Restart(On { takes, ..on }));
                    } else {
                        self.add(then, Step::Stop(name.clone()));
                        let back = then + self.span(self.pair.timing().dead);
                        self.add(back, Step::Start(name));
                    }
                }
                self.other_file(at, On { config, ..on }, name)
            }
            Kind::Obstacle => (Step::ServiceObstacle(on), Some(Step::ServiceObstacle(off))),
            Kind::Maintenance => {
                let lasting = (self.rng.below(3) == 0).then(|| round(self.span(self.pair.timing().dead * 8)));
                if self.rng.below(2) == 0 {
                    let then = at + self.span(self.pair.timing().dead * 4);
                    self.add(then, Step::ServiceDies(on.clone()));
                }
                let place = self.node();
                (Step::PauseGroup(On { r#for: lasting, ..on }), Some(Step::Resume(self.on(place))))
            }
            Kind::Commands => {
                // People give a second command, here or there, before the first one's end or long after it, and end none.
                let mut then = at;
                for _ in 0..self.rng.between(1, 4) {
                    let place = self.node();
                    let on = self.on(place);
                    let step = some_command(&mut self.rng, on);
                    self.add(then, step);
                    then = then + self.span(self.pair.timing().dead * 4);
                }
                (Step::Standby(on), None)
            }
            Kind::Standby => (Step::Standby(on.clone()), Some(Step::Resume(on))),
            Kind::Takeover => (Step::Takeover(on), None),
            Kind::ServiceDies => (Step::ServiceDies(on), None),
            Kind::StartFails => (Step::ServiceStartFails(on), Some(Step::ServiceStartFails(off))),
            Kind::StopFails => (Step::ServiceStopFails(on), Some(Step::ServiceStopFails(off))),
            Kind::DeleteVip => (Step::ForeignDeleteVip(on), None),
            Kind::Flush => (Step::ForeignFlushRuleset(on), None),
            Kind::GateRefused => (Step::GateRefused(on), Some(Step::GateRefused(off))),
            Kind::Forge => (Step::Forge(On::default()), None),
            Kind::PlayBack => (Step::ReplayPackets(On { count: Some(self.rng.between(1, 30) as u32), ..on }), None),
            Kind::Corrupt => {
                let link = (self.rng.below(2) == 0).then(|| self.link());
                let way = Between { link, percent: Some(self.rng.between(1, 60) as f64), ..Between::default() };
                (Step::Corrupt(way.clone()), Some(Step::Corrupt(Between { percent: Some(0.0), ..way })))
            }
            Kind::Reorder => {
                let link = (self.rng.below(2) == 0).then(|| self.link());
                let delay = Some(round(Span(self.rng.below(self.pair.timing().heartbeat.0 * 3))));
                let way = Between { link, delay, percent: Some(self.rng.between(1, 50) as f64), ..Between::default() };
                (Step::Reorder(way.clone()), Some(Step::Reorder(Between { percent: Some(0.0), ..way })))
            }
            Kind::Flap => {
                let place = At { node: from, link: Some(self.link()) };
                let mut then = at;
                for _ in 0..self.rng.between(2, 6) {
                    self.add(then, Step::Unplug(place.clone()));
                    then = then + Span(self.rng.below(self.pair.timing().heartbeat.0 * 4));
                    self.add(then, Step::Plug(place.clone()));
                    then = then + Span(self.rng.below(self.pair.timing().heartbeat.0 * 4));
                }
                (Step::Unplug(place.clone()), Some(Step::Plug(place)))
            }
            Kind::Pins => {
                let witness = Some(self.rng.below(u64::from(self.pair.settings[0].witness.targets)) as u8);
                (
                    Step::GatewayPins(Gateway { witness, on: None, ..Gateway::default() }),
                    Some(Step::GatewayPins(Gateway { witness, on: Some(false), ..Gateway::default() })),
                )
            }
            Kind::DiskFails => (Step::DiskFails(on), Some(Step::DiskFails(off))),
            Kind::ServiceTakes => {
                let slow = On { takes: Some(round(Span(self.rng.below(8_000_000_000)))), ..on.clone() };
                (Step::ServiceTakes(slow), Some(Step::ServiceTakes(On { takes: Some(Dur(Span::millis(30))), ..on })))
            }
            Kind::Restart => {
                let takes = Some(round(Span(self.rng.below(self.pair.timing().lease.0 * 2))));
                (Step::Restart(On { takes, ..on }), None)
            }
            Kind::SomeWays => {
                // Several directions at once: what is sent to everybody reaches some.
                for _ in 0..self.rng.between(1, 4) {
                    let (a, b) = (self.node(), self.node());
                    let to = if a == b { gateway.clone() } else { text(b) };
                    let link = Some(if a == b { self.public() } else { self.link() });
                    let way = Between { link, from: text(a), to, ..Between::default() };
                    self.add(at, Step::Cut(way));
                }
                (Step::GatewayForgets(Gateway::default()), Some(Step::Mend(Between::default())))
            }
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
    fn leaving_out_a_kind_of_fault_leaves_the_others_where_they_were() {
        for seed in 0..200 {
            let all = draw(seed);
            for kind in ["Loss", "Hang", "Takeover"] {
                let fewer = draw_with(seed, &[kind.to_string()], None);
                assert!(fewer.timeline.iter().all(|entry| all.timeline.contains(entry)), "{seed} without {kind}");
            }
        }
    }

    #[test]
    fn each_kind_of_fault_exists_in_some_runs_and_not_in_others() {
        for kind in KINDS {
            let name = format!("{kind:?}");
            let with = (0..400).filter(|seed| draw(*seed) != draw_with(*seed, std::slice::from_ref(&name), None)).count();
            assert!((20..300).contains(&with), "{name} in {with} of 400");
        }
    }
}
