//! The second generator of random stories, made otherwise than [`schedule`](super::schedule): long calm, few things that happen, each right
//! behind a state change of a node rather than at a random instant, and in the end often the test on which safety rests: the nodes are
//! separated and the owner stands still, so that the other one has nothing but what it believes.

use super::cue::{Does, Time, When};
use super::pair::Pair;
use super::parts::{pair_of, seldom, some_command, some_link, told};
use super::rng::Rng;
use super::script::Scenario;
use super::step::{At, Between, Dur, Entry, Gateway, Names, On, Separate, Step};
use twinbeat_core::settings::least_a_second;
use twinbeat_core::time::Span;

/// The stream of this generator; the wild one's begin at 1000.
const STREAM: u64 = 5000;

macro_rules! acts {
    ($($name:ident = $weight:literal),* $(,)?) => {
        /// What can happen.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        enum Act { $($name),* }

        /// All of it, and how often in proportion.
        const ACTS: &[(Act, u64, &str)] = &[$((Act::$name, $weight, stringify!($name))),*];
    };
}

acts! {
    Power = 6, Kill = 2, Hang = 4, Stall = 1, Pause = 1, Restart = 2, Stop = 2, Unplug = 2, Interface = 2, Groups = 3, Vips = 2, Witnesses = 1, Deaf = 4, Filter = 2, Isolate = 2, Separate = 4,
    Gateway = 2, Forgets = 1, LastHop = 2, Pins = 1, Limits = 1, Stranger = 1, SlowDisk = 3, FullDisk = 3, LoseState = 1, Commands = 4,
    Lease = 5, File = 2, Ghosts = 2, Forge = 1, ServiceDies = 1, StartFails = 1, StopFails = 1, Clock = 1, DeleteVip = 1, Flush = 1, Relay = 1, Guard = 1,
    Names = 0, Obstacle = 0, Maintenance = 0, Devices = 0,
}

/// What came later, and is told in a few stories among the rest: each with the stream that says in which, and how.
const SELDOM: [(Act, u64); 4] = [(Act::Names, 5001), (Act::Obstacle, 5002), (Act::Maintenance, 5003), (Act::Devices, 5004)];

/// The names of what can happen, for those who want to leave some out.
pub fn kinds() -> Vec<String> {
    ACTS.iter().map(|(_, _, name)| (*name).to_string()).collect()
}

/// The calm story of a seed when these do not happen, on this pair or on one that is drawn as well.
pub fn draw(seed: u64, without: &[String], fixed: Option<&(String, Pair)>) -> Scenario {
    let (config, pair) = pair_of(seed, fixed);
    // With another lease in the file a lost state directory is limit (h) of SAFETY.md: one or the other.
    let mut rng = Rng::stream(seed, STREAM);
    let other = if rng.below(2) == 0 { Act::LoseState } else { Act::Lease };
    let exists = |act: Act, name: &str| {
        !without.iter().any(|left_out| left_out == name)
            && act != other
            && (fixed.is_none() || !matches!(act, Act::Lease | Act::File | Act::Groups | Act::Vips | Act::Witnesses | Act::Names))
    };
    let later = SELDOM.iter().filter(|(act, _)| exists(*act, &format!("{act:?}")));
    let mut later: Vec<(Act, Rng)> = later.filter_map(|(act, stream)| Some((*act, seldom(seed, *stream)?))).collect();
    let acts: Vec<Act> = ACTS
        .iter()
        .filter(|(act, _, name)| exists(*act, name))
        .flat_map(|(act, weight, _)| std::iter::repeat_n(*act, *weight as usize))
        .collect();
    let timing = pair.timing();
    let now = timing.init_dead + timing.dead * 2;
    let mut teller = Teller { pair: &pair, config: &config, rng, now: Span::ZERO, timeline: Vec::new() };
    for node in 0..2 {
        let at = Span(teller.rng.below(timing.dead.0));
        teller.timeline.push(Entry::new(micros(at), Step::Start(teller.name(node))));
    }
    teller.timeline.sort_by_key(Entry::at);
    teller.now = now;
    // Long enough for the negative controls, at times.
    let calm = teller.pick(&[1, 5, 20, 20, 120]);
    teller.wait(Span::secs(calm));
    for _ in 0..teller.rng.between(1, 4) {
        later.retain_mut(|(act, rng)| !teller.aside(*act, rng));
        if let Some(act) = teller.rng.pick(&acts).copied() {
            teller.act(act);
        }
        teller.pause();
    }
    later.iter_mut().for_each(|(act, rng)| teller.tell_by(*act, rng));
    if teller.rng.below(2) == 0 {
        teller.test();
    }
    teller.wait(timing.dead * 3 + timing.init_dead);
    let until = teller.end();
    let timeline = teller.timeline;
    told(seed, config, timeline, until)
}

pub(super) fn micros(at: Span) -> Dur {
    Dur(Span(at.0 / 1_000 * 1_000))
}

pub(super) struct Teller<'a> {
    pub(super) pair: &'a Pair,
    pub(super) config: &'a str,
    pub(super) rng: Rng,
    /// Up to where the story is told.
    now: Span,
    timeline: Vec<Entry>,
}

impl Teller<'_> {
    fn pick(&mut self, items: &[u64]) -> u64 {
        self.rng.pick(items).copied().unwrap_or(1)
    }

    pub(super) fn node(&mut self) -> usize {
        self.rng.below(2) as usize
    }

    fn text(&self, node: usize) -> String {
        self.pair.node_name(node).to_string()
    }

    pub(super) fn name(&self, node: usize) -> Names {
        Names::One(self.text(node))
    }

    pub(super) fn on(&self, node: usize) -> On {
        On { node: Some(self.text(node)), ..On::default() }
    }

    fn link(&mut self) -> String {
        some_link(&mut self.rng, self.pair)
    }

    fn witness(&mut self) -> Gateway {
        let targets = u64::from(self.pair.settings[0].witness.targets);
        Gateway { witness: Some(self.rng.below(targets) as u8), ..Gateway::default() }
    }

    fn wait(&mut self, span: Span) {
        self.now = self.now + span;
    }

    /// From no time to long: each order of magnitude as likely as the other.
    pub(super) fn pause(&mut self) {
        let t = self.pair.timing();
        let [least, little, most] = [1, 20, 30_000].map(Span::millis);
        let spans = [least, little, t.heartbeat, t.warn, t.lease, t.lease * 2, t.dead, t.dead * 2, t.dead * 5, most];
        let most = self.rng.pick(&spans).copied().unwrap_or_default();
        let span = Span(self.rng.below(most.0));
        self.wait(span);
    }

    /// Does this now; half of the time right behind the next state change of some node.
    pub(super) fn then(&mut self, step: Step) {
        let at = Some(micros(self.now));
        let time = if self.rng.below(2) == 0 { Time { at, ..Time::default() } } else { self.cue(at) };
        self.timeline.push(Entry { time, step });
    }

    /// Does this now.
    pub(super) fn now(&mut self, step: Step) {
        self.timeline.push(Entry::new(micros(self.now), step));
    }

    fn cue(&mut self, at: Option<Dur>) -> Time {
        let does: Vec<Does> = Does::ALL.iter().copied().filter(|does| *does != Does::Says).collect();
        let does = self.rng.pick(&does).copied().unwrap_or(Does::Renews);
        let node = self.node();
        let t = self.pair.timing();
        let spans = [Span::ZERO, Span::micros(20), Span::micros(300), Span::millis(5), Span::millis(50), t.heartbeat, t.lease];
        let most = self.rng.pick(&spans).copied().unwrap_or_default();
        let after = Some(micros(Span(self.rng.below(most.0 + 1))));
        // What does not happen is waited for no longer than things go on by themselves.
        let within = t.dead * 2;
        self.wait(within);
        Time { at, when: Some(When { node: self.text(node), does, group: None, text: None }), after, within: Some(Dur(within)) }
    }

    /// The end of something, unless it lasts until everything is mended.
    pub(super) fn over(&mut self, step: Step) {
        if self.rng.below(4) > 0 {
            self.pause();
            self.then(step);
        }
    }

    /// Someone between whom and whom: any way there is, one direction.
    fn way(&mut self) -> Between {
        let public = self.pair.settings[0].links[self.pair.public()].name.to_string();
        let (node, targets) = (self.node(), u64::from(self.pair.settings[0].witness.targets));
        let witness = format!("witness{}", self.rng.below(targets));
        let (one, other) = (self.text(node), self.text(1 - node));
        let (link, from, to) = match self.rng.below(6) {
            0 => (Some(public), Some(one), Some(witness)),
            1 => (Some(public), Some(witness), Some(one)),
            2 => (Some(public), Some(one), None),
            3 => (Some(public), None, Some(one)),
            4 => (None, Some(one), Some(other)),
            _ => (Some(self.link()), Some(one), Some(other)),
        };
        Between { link, from, to, ..Between::default() }
    }

    /// Tells this now, by other dice, or leaves it for later; whether it was told.
    fn aside(&mut self, act: Act, rng: &mut Rng) -> bool {
        let now = rng.below(2) == 0;
        if now {
            self.tell_by(act, rng);
        }
        now
    }

    fn tell_by(&mut self, act: Act, rng: &mut Rng) {
        std::mem::swap(&mut self.rng, rng);
        self.act(act);
        self.pause();
        std::mem::swap(&mut self.rng, rng);
    }

    fn act(&mut self, act: Act) {
        let node = self.node();
        let (name, on) = (self.name(node), self.on(node));
        let off = On { on: Some(false), ..on.clone() };
        let t = self.pair.timing();
        match act {
            Act::Power => {
                self.then(Step::PowerOff(name.clone()));
                self.over(Step::PowerOn(name));
            }
            Act::Kill => {
                self.then(Step::Kill(name.clone()));
                self.over(Step::Start(name));
            }
            Act::Stop => {
                self.then(Step::Stop(name.clone()));
                self.over(Step::Start(name));
            }
            Act::Hang => {
                self.then(Step::Hang(name.clone()));
                self.over(Step::Wake(name));
            }
            Act::Stall => {
                self.then(Step::Stall(name.clone()));
                self.over(Step::Wake(name));
            }
            Act::Pause => {
                self.then(Step::Pause(name.clone()));
                self.over(Step::Unpause(name));
            }
            Act::Restart => {
                let takes = Some(micros(Span(self.rng.below(t.lease.0 * 2))));
                self.then(Step::Restart(On { takes, ..on }));
            }
            Act::Unplug => {
                let place = At { node: Some(self.text(node)), link: Some(self.link()) };
                self.then(Step::Unplug(place.clone()));
                self.over(Step::Plug(place));
            }
            Act::Interface => {
                let place = At { node: Some(self.text(node)), link: Some(self.link()) };
                self.then(Step::InterfaceGone(place.clone()));
                self.over(Step::InterfaceBack(place));
            }
            Act::Groups => {
                // A second group comes with a rolling restart, or goes.
                let words = match self.pair.settings[0].groups.len() {
                    1 => "two",
                    2 => "one",
                    _ => "two",
                };
                self.rolling(node, words);
            }
            Act::Vips => {
                // An address more, and in another group then.
                self.rolling(node, "more");
                if self.pair.settings[0].groups.len() > 1 && self.rng.below(2) == 0 {
                    self.pause();
                    let first = self.node();
                    self.rolling(first, "moved");
                }
            }
            Act::Witnesses => self.rolling(node, "other"),
            Act::Deaf => {
                let way = self.way();
                self.then(Step::Cut(way.clone()));
                self.over(Step::Mend(way));
            }
            Act::Filter => {
                let way = Between { from: Some(self.text(node)), to: Some(self.text(1 - node)), ..Between::default() };
                let way = if self.rng.below(2) == 0 { way } else { Between::default() };
                self.then(Step::Cut(Between { only: Some("heartbeats".into()), ..way.clone() }));
                self.over(Step::Mend(way));
            }
            Act::Relay if self.pair.settings[0].links.iter().any(|link| link.relay) => {
                let way = Between { link: Some("relay".into()), from: Some(self.text(node)), ..Between::default() };
                let percent = Some(self.rng.between(20, 100) as f64);
                self.then(Step::Loss(Between { percent, ..way.clone() }));
                self.over(Step::Loss(Between { percent: Some(0.0), ..way }));
            }
            Act::Relay => {}
            Act::Isolate => {
                self.then(Step::Isolate(name));
                self.over(Step::Mend(Between::default()));
            }
            Act::Separate => {
                let relay = Some(self.rng.below(3) == 0);
                self.then(Step::Separate(Separate { relay }));
                self.over(Step::Mend(Between::default()));
            }
            Act::Gateway => {
                let witness = self.witness();
                self.then(Step::GatewayDown(witness.clone()));
                self.over(Step::GatewayUp(witness));
            }
            Act::Forgets => {
                let witness = self.witness();
                self.then(Step::GatewayForgets(witness));
            }
            Act::LastHop => {
                let witness = self.witness();
                self.then(Step::GatewayLastHop(witness.clone()));
                self.over(Step::GatewayLastHop(Gateway { on: Some(false), ..witness }));
            }
            Act::Pins => {
                let witness = self.witness();
                self.then(Step::GatewayPins(witness.clone()));
                self.over(Step::GatewayPins(Gateway { on: Some(false), ..witness }));
            }
            Act::Limits => {
                let witness = self.witness();
                let settings = &self.pair.settings[0];
                let rate = least_a_second(settings.witness.interval, settings.groups.len()) * self.pick(&[10, 13, 20, 40]) / 10;
                self.then(Step::GatewayLimits(Gateway { per_second: Some(rate.min(10_000) as u32), ..witness.clone() }));
                self.over(Step::GatewayLimits(Gateway { per_second: Some(0), ..witness }));
            }
            Act::Guard => {
                self.then(Step::PortSecurity(on.clone()));
                self.over(Step::PortSecurity(On { on: Some(false), ..on }));
            }
            Act::Stranger => {
                self.then(Step::Stranger(On::default()));
                self.over(Step::Stranger(On { on: Some(false), ..On::default() }));
            }
            Act::SlowDisk => {
                let takes = Some(micros(Span(self.rng.below(t.dead.0 * 2))));
                self.then(Step::DiskTakes(On { takes, ..on.clone() }));
                self.over(Step::DiskTakes(On { takes: Some(Dur(Span::millis(4))), ..on }));
            }
            Act::FullDisk => {
                self.then(Step::DiskFails(on));
                // Nobody notices before something is to be written.
                if self.rng.below(2) == 0 {
                    self.then(Step::Resume(self.on(node)));
                }
                self.over(Step::DiskFails(off));
            }
            Act::LoseState if self.rng.below(3) == 0 => self.then(Step::LoseState(on)),
            Act::LoseState => {
                self.then(Step::PowerOff(name.clone()));
                self.now(Step::LoseState(on));
                self.pause();
                self.now(Step::PowerOn(name));
            }
            Act::Commands => {
                for _ in 0..self.rng.between(1, 3) {
                    let place = self.node();
                    let on = self.on(place);
                    let step = some_command(&mut self.rng, on);
                    self.then(step);
                    self.pause();
                }
            }
            Act::Lease => self.lease(node),
            Act::File => self.other_file(node),
            Act::Ghosts => {
                // An attacker plays an earlier life back to a machine that has just booted, again and again.
                self.now(Step::PowerOff(Names::Many(vec![self.text(node), self.text(1 - node)])));
                self.pause();
                self.now(Step::PowerOn(name));
                let (gap, times) = (t.init_dead / 8, self.rng.between(4, 40));
                for _ in 0..times {
                    self.wait(gap);
                    let on = self.on(node);
                    self.now(Step::ReplayPackets(On { count: Some(1), ..on }));
                }
            }
            Act::Names => self.names(node),
            Act::Obstacle => {
                self.then(Step::ServiceObstacle(on));
                self.over(Step::ServiceObstacle(off));
            }
            Act::Maintenance => self.maintenance(node),
            Act::Devices => self.devices(node),
            Act::Forge => self.then(Step::Forge(On::default())),
            Act::ServiceDies => self.then(Step::ServiceDies(on)),
            Act::StartFails => {
                self.then(Step::ServiceStartFails(on));
                self.over(Step::ServiceStartFails(off));
            }
            Act::StopFails => {
                self.then(Step::ServiceStopFails(on));
                self.over(Step::ServiceStopFails(off));
            }
            Act::Clock => {
                let rate = self.rng.between(917, 1083) as f64 / 1000.0;
                self.now(Step::ClockRate(On { rate: Some(rate), ..on }));
            }
            Act::DeleteVip => self.then(Step::ForeignDeleteVip(on)),
            Act::Flush => self.then(Step::ForeignFlushRuleset(on)),
        }
    }

    /// What safety rests on: the nodes are separated, one of them may begin anew, and the other one stands still or goes away.
    fn test(&mut self) {
        let node = self.node();
        let (still, other) = (self.name(node), self.name(1 - node));
        let reborn = self.rng.below(2) == 0;
        let power = self.rng.below(2) == 0;
        if reborn {
            self.then(if power { Step::PowerOff(other.clone()) } else { Step::Kill(other.clone()) });
            self.short();
        }
        self.now(Step::Separate(Separate { relay: Some(false) }));
        self.short();
        if reborn {
            self.now(if power { Step::PowerOn(other) } else { Step::Start(other) });
        }
        self.pause();
        let end = match self.rng.below(4) {
            0 => Step::PowerOff(still),
            1 => Step::Isolate(still),
            _ => Step::Hang(still),
        };
        self.then(end);
        self.wait(self.pair.timing().init_dead);
    }

    fn short(&mut self) {
        let span = Span(self.rng.below(self.pair.timing().heartbeat.0));
        self.wait(span);
    }

    /// Everything is mended, and whoever was on its way out is started again.
    fn end(&mut self) -> Dur {
        let [start, well] = healing(self.pair);
        self.now(Step::Heal(Separate::default()));
        self.wait(start);
        let both = Names::Many(vec![self.text(0), self.text(1)]);
        self.now(Step::Start(both));
        self.wait(well);
        Dur(Span(self.now.0 / 1_000_000 * 1_000_000))
    }
}

/// So long after everything was mended whoever was on its way out is started again, and so long after that all is well.
pub(super) fn healing(pair: &Pair) -> [Span; 2] {
    let timing = pair.timing();
    [timing.dead * 2 + Span::secs(10), timing.init_dead + timing.dead * 2 + Span::secs(75)]
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::parts::NAMES;
    use super::super::script::Story;
    use super::*;
    use crate::pair::Builtin;

    #[test]
    fn every_calm_story_fits_its_pair_and_its_file() {
        for seed in 0..600 {
            let scenario = draw(seed, &[], None);
            let text = serde_json::to_string_pretty(&scenario).unwrap();
            assert_eq!(serde_json::from_str::<Scenario>(&text).unwrap(), scenario);
            Story::of(scenario, Path::new(""), &Builtin).unwrap_or_else(|(_, wrong)| panic!("{seed}: {wrong}\n{text}"));
        }
    }

    #[test]
    fn what_came_later_is_told_in_a_few_stories_and_leaves_the_others_as_they_were() {
        let later = SELDOM.map(|(act, _)| format!("{act:?}"));
        let (mut names, mut obstacles) = (0, 0);
        for seed in 0..400 {
            let (with, before) = (draw(seed, &[], None), draw(seed, &later, None));
            let count = |what: fn(&Step) -> bool| usize::from(with.timeline.iter().any(|entry| what(&entry.step)));
            names += count(
                |step| matches!(step, Step::Configure(on) if NAMES.iter().any(|words| on.config.as_ref().unwrap().contains(words))),
            );
            obstacles += count(|step| matches!(step, Step::ServiceObstacle(_)));
            let told = SELDOM.iter().any(|(_, stream)| seldom(seed, *stream).is_some());
            assert_eq!(told, with != before, "{seed}");
        }
        assert!((30..80).contains(&names) && (30..80).contains(&obstacles), "{names} {obstacles}");
    }

    #[test]
    fn leaving_something_out_leaves_it_out() {
        for seed in 0..300 {
            let scenario =
                draw(seed, &["Lease", "File", "Groups", "Vips", "Witnesses", "Names", "LastHop"].map(String::from), None);
            let odd = |step: &Step| matches!(step, Step::Configure(_) | Step::GatewayLastHop(_));
            assert!(!scenario.timeline.iter().any(|entry| odd(&entry.step)), "{seed}");
        }
    }
}
