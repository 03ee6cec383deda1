//! From a step's names to what it does: every error says what is allowed.

use super::act::{Act, Quality, Ways};
use super::network::station;
use super::pair::{Pair, group_id};
use super::step::{At, Between, Dur, Gateway, On, Step};
use twinbeat_core::io::Command;
use twinbeat_core::time::Span;

type Acts = Result<Vec<Act>, String>;

/// What a step does, on this pair; `lan`: a client with a table of its own is on the LAN.
///
/// # Errors
/// An unknown name or a missing parameter, with what is allowed.
pub fn resolve(step: &Step, pair: &Pair, lan: bool) -> Acts {
    let r = Resolver { pair, lan };
    match step {
        Step::Start(names) => r.nodes(names.all(), Act::Start),
        Step::Stop(names) => r.nodes(names.all(), Act::Stop),
        Step::PowerOff(names) => r.nodes(names.all(), Act::PowerOff),
        Step::PowerOn(names) => r.nodes(names.all(), Act::PowerOn),
        Step::Kill(names) => r.nodes(names.all(), Act::Kill),
        Step::Hang(names) => r.nodes(names.all(), Act::Hang),
        Step::Stall(names) => r.nodes(names.all(), Act::Stall),
        Step::Wake(names) => r.nodes(names.all(), Act::Wake),
        Step::Pause(names) => r.nodes(names.all(), Act::Pause),
        Step::Unpause(names) => r.nodes(names.all(), Act::Unpause),
        Step::Unplug(at) => r.carrier(at, false),
        Step::Plug(at) => r.carrier(at, true),
        Step::InterfaceGone(at) => r.end_of(at).map(|(node, link)| vec![Act::Interface(node, link, false)]),
        Step::InterfaceBack(at) => r.end_of(at).map(|(node, link)| vec![Act::Interface(node, link, true)]),
        Step::Cut(b) if b.only.as_deref() == Some("heartbeats") => r.ways(b, Quality::NoHeartbeats(true)),
        Step::Cut(b) if b.only.is_some() => Err("only: allowed: \"heartbeats\"".into()),
        Step::Cut(b) => r.ways(b, Quality::Cut(true)),
        Step::Mend(b) => r.mend(b),
        Step::Loss(b) if b.burst == Some(0) => Err("burst: allowed: 1 or more".into()),
        Step::Loss(b) => r.ways(b, Quality::Loss(percent(b)?, b.burst.unwrap_or(1))),
        Step::Corrupt(b) => r.ways(b, Quality::Corrupt(percent(b)?)),
        Step::Duplicate(b) => r.ways(b, Quality::Duplicate(percent(b)?)),
        Step::Reorder(b) => {
            let delay = b.delay.ok_or("delay: a delay is needed, as in \"delay\": \"80ms\"")?;
            r.ways(b, Quality::Reorder(percent(b)?, delay.0))
        }
        Step::Delay(b) => {
            let delay = b.delay.ok_or("delay: a delay is needed, as in \"delay\": \"80ms\"")?;
            r.ways(b, Quality::Delay(delay.0, b.jitter.unwrap_or_default().0))
        }
        Step::Isolate(names) => {
            let mut acts = Vec::new();
            for name in names.all() {
                let node = r.node(name)?;
                let ways = r.everywhere().into_iter().filter(|(_, from, to)| *from == node || *to == node).collect();
                acts.push(Act::Ways(ways, Quality::Cut(true)));
            }
            Ok(acts)
        }
        Step::Separate(s) => {
            let ways = r.everywhere().into_iter().filter(|(_, from, to)| from + to == 1).collect();
            Ok(vec![Act::Ways(ways, Quality::Cut(true)), Act::RelayBlocked(!s.relay.unwrap_or(true))])
        }
        Step::GatewayDown(g) => r.witness(g).map(|w| vec![Act::WitnessUp(w, false)]),
        Step::GatewayUp(g) => r.witness(g).map(|w| vec![Act::WitnessUp(w, true)]),
        Step::GatewayPins(g) => r.witness(g).map(|w| vec![Act::Pins(w, g.on.unwrap_or(true))]),
        Step::GatewayLastHop(g) => r.witness(g).map(|w| vec![Act::LastHop(w, g.on.unwrap_or(true))]),
        Step::GatewayLimits(g) => {
            let rate = g.per_second.ok_or("per_second is missing; allowed: 0 (no limit) to 10000")?;
            if rate > 10_000 {
                return Err(format!("per_second = {rate}: allowed: 0 (no limit) to 10000"));
            }
            r.witness(g).map(|w| vec![Act::Limits(w, rate)])
        }
        Step::GatewayForgets(g) => r.witness(g).map(|w| vec![Act::Forgets(w)]),
        Step::PortSecurity(on) => r.one(on, |n| Act::PortSecurity(n, on.on.unwrap_or(true))),
        Step::Stranger(on) => r.groups(on).map(|gs| gs.map(|g| Act::Stranger(g, on.on.unwrap_or(true))).collect()),
        Step::Forge(on) => {
            let groups = r.groups(on)?;
            Ok(groups.map(Act::FalseAnnouncement).chain([Act::Forge(0), Act::Forge(1)]).collect())
        }
        Step::ReplayPackets(on) => {
            let count = on.count.unwrap_or(8);
            if !(1..=1_000).contains(&count) {
                return Err("count: allowed: 1 to 1000".into());
            }
            r.one(on, |n| Act::PlayBack(n, count))
        }
        Step::ServiceDies(on) => r.each_group(on, Act::ServiceDies),
        Step::ServiceStopFails(on) => r.each_group(on, |n, g| Act::StopFails(n, g, on.on.unwrap_or(true))),
        Step::ServiceStartFails(on) => r.each_group(on, |n, g| Act::StartFails(n, g, on.on.unwrap_or(true))),
        Step::ServiceObstacle(on) => r.each_group(on, |n, g| Act::Obstacle(n, g, on.on.unwrap_or(true))),
        Step::FenceFails(on) => r.one(on, |n| Act::FenceFails(n, on.on.unwrap_or(true))),
        Step::FenceTakes(on) => takes(on).and_then(|t| r.one(on, |n| Act::FenceTime(n, t))),
        Step::Fenced(on) => r.one(on, |n| Act::Command(n, Command::Fenced)),
        Step::ServiceTakes(on) => takes(on).and_then(|t| r.one(on, |n| Act::ServiceTime(n, t))),
        Step::DiskTakes(on) => takes(on).and_then(|t| r.one(on, |n| Act::DiskTime(n, t))),
        Step::DiskFails(on) => r.one(on, |n| Act::DiskFails(n, on.on.unwrap_or(true))),
        Step::ClockRate(on) => {
            let rate = on.rate.filter(|rate| (0.5..=2.0).contains(rate));
            let rate = rate.ok_or("rate: allowed: a number from 0.5 to 2, 1 being right")?;
            r.one(on, |n| Act::ClockRate(n, (rate * 1_000_000.0).round() as u64))
        }
        Step::Standby(on) => {
            let (group, lasting) = (r.group(on)?, on.r#for.map(|Dur(span)| span));
            r.one(on, |n| Act::Command(n, Command::Standby { group, lasting, reason: on.reason.clone() }))
        }
        Step::Takeover(on) => {
            let group = r.group(on)?;
            r.one(on, |n| Act::Command(n, Command::Takeover { group }))
        }
        Step::PauseGroup(on) => {
            let (group, lasting) = (r.group(on)?, on.r#for.map(|Dur(span)| span));
            r.one(on, |n| Act::Command(n, Command::Pause { group, lasting, reason: on.reason.clone() }))
        }
        Step::Resume(on) => {
            let command = r.group(on)?.map_or(Command::Resume, |group| Command::ResumeGroup { group });
            r.one(on, |n| Act::Command(n, command.clone()))
        }
        Step::Restart(on) => r.one(on, |n| Act::Restart(n, on.takes.map_or(Span::millis(50), |Dur(span)| span))),
        Step::LoseState(on) => r.one(on, Act::LoseState),
        // The story knows these: one does not exist yet, the other reads a file.
        Step::Reload(_) | Step::Configure(_) => Ok(Vec::new()),
        Step::ForeignDeleteVip(on) => r.each_group(on, Act::DeleteVip),
        Step::ForeignFlushRuleset(on) => r.one(on, Act::FlushRuleset),
        Step::GateRefused(on) => r.one(on, |n| Act::GateRefused(n, on.on.unwrap_or(true))),
        Step::Heal(_) => Ok(vec![Act::Heal]),
    }
}

fn percent(b: &Between) -> Result<u32, String> {
    let percent = b.percent.filter(|percent| (0.0..=100.0).contains(percent));
    percent.map(|percent| (percent * 10_000.0).round() as u32).ok_or("percent: allowed: a number from 0 to 100".into())
}

fn takes(on: &On) -> Result<Span, String> {
    on.takes.map(|Dur(span)| span).ok_or("takes: a length of time is needed, as in \"takes\": \"2s\"".into())
}

struct Resolver<'a> {
    pair: &'a Pair,
    lan: bool,
}

impl Resolver<'_> {
    fn node(&self, name: &str) -> Result<usize, String> {
        let allowed = self.pair.settings[0].nodes.join(", ");
        self.pair.node(name).ok_or_else(|| format!("node {name:?}: allowed: {allowed}"))
    }

    fn link(&self, name: &str) -> Result<usize, String> {
        let links = &self.pair.settings[0].links;
        let allowed: Vec<&str> = links.iter().map(|link| &*link.name).collect();
        self.pair.link(name).ok_or_else(|| format!("link {name:?}: allowed: {}", allowed.join(", ")))
    }

    fn witness(&self, gateway: &Gateway) -> Result<usize, String> {
        let targets = self.pair.settings[0].witness.targets;
        let place = gateway.witness.unwrap_or(0);
        if place < targets { Ok(usize::from(place)) } else { Err(format!("witness {place}: allowed: 0 to {}", targets - 1)) }
    }

    fn group(&self, on: &On) -> Result<Option<twinbeat_core::id::GroupId>, String> {
        let Some(name) = &on.group else { return Ok(None) };
        let groups = &self.pair.settings[0].groups;
        let allowed: Vec<&str> = groups.iter().map(|group| &*group.name).collect();
        let place = self.pair.group(name).ok_or_else(|| format!("group {name:?}: allowed: {}", allowed.join(", ")))?;
        Ok(Some(group_id(place)))
    }

    fn groups(&self, on: &On) -> Result<std::ops::Range<usize>, String> {
        Ok(match self.group(on)? {
            Some(group) => usize::from(group.0)..usize::from(group.0) + 1,
            None => 0..self.pair.settings[0].groups.len(),
        })
    }

    fn nodes(&self, names: &[String], act: fn(usize) -> Act) -> Acts {
        names.iter().map(|name| self.node(name).map(act)).collect()
    }

    fn one(&self, on: &On, act: impl Fn(usize) -> Act) -> Acts {
        let name = on.node.as_ref().ok_or("a node is needed, as in \"node\": \"master1\"")?;
        Ok(vec![act(self.node(name)?)])
    }

    fn each_group(&self, on: &On, act: impl Fn(usize, usize) -> Act) -> Acts {
        let name = on.node.as_ref().ok_or("a node is needed, as in \"node\": \"master1\"")?;
        let node = self.node(name)?;
        Ok(self.groups(on)?.map(|group| act(node, group)).collect())
    }

    fn carrier(&self, at: &At, up: bool) -> Acts {
        self.end_of(at).map(|(node, link)| vec![Act::Carrier(node, link, up)])
    }

    /// A node's end of a link with an interface of its own.
    fn end_of(&self, at: &At) -> Result<(usize, usize), String> {
        let (Some(node), Some(link)) = (&at.node, &at.link) else { return Err("a node and a link are needed".into()) };
        if self.is_relay(&at.link) {
            return Err(format!("link {link:?}: the relay has no cable of its own; allowed: the others"));
        }
        Ok((self.node(node)?, self.link(link)?))
    }

    /// Every direction on every link of its own.
    fn everywhere(&self) -> Ways {
        let mut ways = Vec::new();
        let stations = 2 + usize::from(self.pair.settings[0].witness.targets) + usize::from(self.lan);
        for (link, settings) in self.pair.settings[0].links.iter().enumerate().filter(|(_, l)| !l.relay) {
            let _ = settings;
            let reach = if link == self.pair.public() { stations } else { 2 };
            for from in 0..reach {
                ways.extend((0..reach).filter(|to| *to != from && (from < 2 || *to < 2)).map(|to| (link, from, to)));
            }
        }
        ways
    }

    fn end(&self, name: &Option<String>) -> Result<Option<usize>, String> {
        match name.as_deref() {
            None => Ok(None),
            Some("gateway") => Ok(Some(station(0))),
            Some("client") if self.lan => Ok(Some(station(usize::from(self.pair.settings[0].witness.targets)))),
            Some(name) => {
                let targets = usize::from(self.pair.settings[0].witness.targets);
                let witness = name.strip_prefix("witness").and_then(|place| place.parse().ok()).filter(|place| *place < targets);
                match witness {
                    Some(place) => Ok(Some(station(place))),
                    None => {
                        self.node(name).map(Some).map_err(|wrong| format!("{wrong}, gateway, witness0 to witness{}", targets - 1))
                    }
                }
            }
        }
    }

    fn select(&self, b: &Between, nodes_only: bool) -> Result<Ways, String> {
        let link = b.link.as_ref().map(|name| self.link(name)).transpose()?;
        let (from, to) = (self.end(&b.from)?, self.end(&b.to)?);
        if let Some(link) = link.filter(|_| self.is_relay(&b.link)) {
            // The witness's own passing on, from node to node; what else goes through the witness is the public link's.
            let ways = [(link, 0, 1), (link, 1, 0)].into_iter();
            let ways = ways.filter(|(_, f, t)| from.is_none_or(|x| x == *f) && to.is_none_or(|x| x == *t));
            return Ok(ways.collect());
        }
        // Said nothing of the gateway, nothing is meant of it.
        let nodes_only = nodes_only && from.is_none_or(|f| f < 2) && to.is_none_or(|t| t < 2);
        Ok(self
            .everywhere()
            .into_iter()
            .filter(|(l, f, t)| link.is_none_or(|link| link == *l) && from.is_none_or(|x| x == *f) && to.is_none_or(|x| x == *t))
            .filter(|(_, f, t)| !nodes_only || f + t == 1)
            .collect())
    }

    fn is_relay(&self, link: &Option<String>) -> bool {
        let place = link.as_ref().and_then(|name| self.pair.link(name));
        place.is_some_and(|link| self.pair.settings[0].links[link].relay)
    }

    fn ways(&self, b: &Between, quality: Quality) -> Acts {
        // All of it: that is one rule of the gateway's, on the real kernel too.
        if self.is_relay(&b.link) && b.from.is_none() && b.to.is_none() && matches!(quality, Quality::Cut(true)) {
            return Ok(vec![Act::RelayBlocked(true)]);
        }
        let nodes_only = matches!(quality, Quality::Cut(_) | Quality::NoHeartbeats(_));
        let ways = self.select(b, nodes_only)?;
        if ways.is_empty() {
            return Err("no such way: only the public link reaches the gateway, and the relay joins the nodes".into());
        }
        Ok(vec![Act::Ways(ways, quality)])
    }

    fn mend(&self, b: &Between) -> Acts {
        let ways = self.select(b, false)?;
        let mut acts = vec![Act::Ways(ways.clone(), Quality::Cut(false)), Act::Ways(ways, Quality::NoHeartbeats(false))];
        let both = b.from.is_none() && b.to.is_none();
        if both && self.is_relay(&b.link) {
            return Ok(vec![Act::RelayBlocked(false), acts.remove(0)]);
        }
        if both && b.link.is_none() {
            acts.push(Act::RelayBlocked(false));
        }
        Ok(acts)
    }
}
