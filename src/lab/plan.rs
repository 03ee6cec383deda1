//! What a lab is built from: the nodes, their cables, the machines on the public network and every address. Either the recipe's pair
//! ([`Plan::recipe`]) or any checked configuration ([`Plan::of`]).
//!
//! A configuration names its nodes' addresses, the VIPs and the witnesses; the lab needs a few more (the gateway where the witness is of
//! another family, an observer, a client behind the gateway, the lengths of prefixes). Those are chosen here so that they meet none
//! of the configuration's, and [`Plan::assumed`] says which.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result, bail};

use super::netlink::Address;
use super::recipe::{self, BOTH, Cable, TIMING};
use twinbeat_config::Config;
use twinbeat_core::id::{LinkId, Mac, NodeId};
use twinbeat_core::settings::Timing;
use twinbeat_core::time::Span;

/// A cable by its place in the plan: the number of its link in the configuration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct CableId(pub u8);

/// All that a lab is built from.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The nodes' names, by [`NodeId`].
    pub nodes: [String; 2],
    /// One for each link, in the order of the links.
    pub cables: Vec<CablePlan>,
    /// The public network.
    pub public: CableId,
    /// The third machines on the public network, each with its addresses there; the first is the gateway too.
    pub witnesses: Vec<Vec<Address>>,
    /// The observer's addresses on the public network.
    pub observer: Vec<Address>,
    /// Behind the gateway: its own address there, and the client's.
    pub outside: Vec<(Address, Address)>,
    /// What moves.
    pub groups: Vec<GroupPlan>,
    /// UDP port of the heartbeats.
    pub port: u16,
    /// The timing in force.
    pub timing: Timing,
    /// How long own echoes must stay away before the witness counts as unreachable.
    pub witness_time: Span,
    /// What the configuration does not say and was chosen here, for a person.
    pub assumed: Vec<String>,
}

/// One cable: for every link but the public one it joins the two nodes alone.
#[derive(Clone, Debug)]
pub struct CablePlan {
    /// The link's name.
    pub link: String,
    /// Each node's end.
    pub ends: [End; 2],
}

/// A node's end of a cable.
#[derive(Clone, Debug)]
pub struct End {
    /// The interface.
    pub interface: String,
    /// Its MAC.
    pub mac: Mac,
    /// The node's own addresses there.
    pub addresses: Vec<Address>,
}

/// A group.
#[derive(Clone, Debug)]
pub struct GroupPlan {
    /// Its name.
    pub name: String,
    /// Where it should be.
    pub preferred: Option<NodeId>,
    /// Whether it goes back there by itself.
    pub returns: bool,
    /// Whether its services may run on both nodes (or there are none): a planned move does not wait for them.
    pub warm: bool,
    /// Its addresses with the cable each is on, the guard VIP first.
    pub vips: Vec<(Address, CableId)>,
    /// Those of them that are the guard VIP by another file of the story.
    pub other_guards: Vec<IpAddr>,
}

/// A configuration's groups.
fn groups(config: &Config) -> Vec<GroupPlan> {
    let group = |group: &twinbeat_config::GroupConfig| GroupPlan {
        name: group.name.to_string(),
        preferred: group.preferred,
        returns: group.failback != twinbeat_core::settings::Failback::Manual,
        warm: group.services.iter().all(|service| service.warm),
        // Interfaces without heartbeats are no cables of the lab's.
        vips: (group.vips.iter().filter(|vip| config.link(NodeId(0), vip.link).is_some()))
            .map(|vip| ((vip.address, vip.prefix), CableId(vip.link.0)))
            .collect(),
        other_guards: Vec::new(),
    };
    config.groups.iter().map(group).collect()
}

/// Names cables: by their place, or by their part in the recipe.
pub trait Select {
    /// The places meant; none where the plan has no such cable.
    fn select(&self, plan: &Plan) -> Vec<CableId>;
}

impl Select for CableId {
    fn select(&self, _: &Plan) -> Vec<CableId> {
        vec![*self]
    }
}

/// The public network; the first dedicated cable; every further one.
impl Select for Cable {
    fn select(&self, plan: &Plan) -> Vec<CableId> {
        let direct = plan.all().into_iter().filter(|id| *id != plan.public);
        match self {
            Cable::Lan => vec![plan.public],
            Cable::Heartbeat => direct.take(1).collect(),
            Cable::Bond => direct.skip(1).collect(),
        }
    }
}

impl Plan {
    /// The recipe's pair, dual-stack; its groups are the caller's to say.
    pub fn recipe() -> Plan {
        let v6 = |high: u16, low: u16| IpAddr::V6(Ipv6Addr::new(high, 0, 0, 0, 0, 0, 0, low));
        let end = |cable: Cable, node: NodeId| End {
            interface: cable.interface().into(),
            mac: cable.mac(node),
            addresses: vec![(cable.address(node).into(), cable.prefix()), (cable.address6(node).into(), 64)],
        };
        let cables = Cable::ALL.map(|c| CablePlan { link: c.link().into(), ends: BOTH.map(|node| end(c, node)) });
        let vip = ((recipe::VIP.into(), recipe::VIP_PREFIX), CableId(2));
        let group = GroupPlan {
            name: "web".into(),
            preferred: Some(NodeId(0)),
            returns: true,
            warm: true,
            vips: vec![vip],
            other_guards: Vec::new(),
        };
        let v4 = |a, b, c, d| IpAddr::V4(Ipv4Addr::new(a, b, c, d));
        Plan {
            nodes: recipe::NODES.map(str::to_owned),
            cables: cables.to_vec(),
            public: CableId(2),
            witnesses: vec![vec![(recipe::GATEWAY.into(), recipe::VIP_PREFIX), (recipe::GATEWAY6.into(), 64)]],
            observer: vec![(recipe::LANCLIENT.into(), recipe::VIP_PREFIX), (v6(0xfd42, 0x50), 64)],
            outside: vec![((v4(10, 9, 9, 1), 24), (recipe::CLIENT.into(), 24)), ((v6(0xfd99, 1), 64), (v6(0xfd99, 2), 64))],
            groups: vec![group],
            port: 694,
            timing: TIMING,
            witness_time: TIMING.heartbeat * 3 + TIMING.delivery,
            assumed: Vec::new(),
        }
    }

    /// The pair of a configuration.
    ///
    /// # Errors
    /// A public network without room for the lab's own machines; no free network for the client.
    pub fn of(config: &Config) -> Result<Plan> {
        Plan::of_all([config])
    }

    /// The pair of several configurations, for a story about files that differ or change: its machines and cables are the first one's; it has the groups,
    /// the VIPs and the witnesses of all.
    ///
    /// # Errors
    /// As [`Plan::of`]; when there is no configuration at all.
    pub fn of_all<'a>(configs: impl IntoIterator<Item = &'a Config>) -> Result<Plan> {
        let mut configs = configs.into_iter();
        let config = configs.next().context("no configuration")?;
        let public = config.witness.link;
        let place = |link: usize| if link == usize::from(public.0) { 0 } else { link as u8 + 1 };
        let mac = |link: usize, node: NodeId| Mac([2, 0, 0, 0, place(link), 0x12 + node.0]);
        let mut cables: Vec<CablePlan> = Vec::new();
        for (link, of) in config.nodes[0].links.iter().enumerate() {
            let id = LinkId(link as u8);
            let ends = BOTH.map(|node| config.link(node, id));
            let [Some(one), Some(two)] = ends else { bail!("link {}: it has one end only", of.name) };
            let length = tightest(&[one.address, two.address]);
            let end = |node: NodeId, end: &twinbeat_config::LinkConfig| End {
                interface: end.interface.to_string(),
                mac: mac(link, node),
                addresses: vec![(end.address, length)],
            };
            cables.push(CablePlan { link: of.name.to_string(), ends: [end(NodeId(0), one), end(NodeId(1), two)] });
        }
        let mut plan = Plan {
            nodes: config.nodes.each_ref().map(|node| node.name.to_string()),
            cables,
            public: CableId(public.0),
            witnesses: config.witness.targets.iter().map(|target| vec![(*target, 0)]).collect(),
            observer: Vec::new(),
            outside: Vec::new(),
            groups: groups(config),
            port: config.port,
            timing: config.timing,
            witness_time: config.witness.interval * u64::from(config.witness.fall) + config.timing.delivery,
            assumed: Vec::new(),
        };
        configs.for_each(|other| plan.know(other));
        for v4 in [true, false] {
            plan.settle_public(v4)?;
        }
        plan.settle_outside()?;
        plan.settle_other_cables();
        Ok(plan)
    }

    /// What another configuration of the same pair has more than those before it.
    fn know(&mut self, other: &Config) {
        for theirs in groups(other) {
            let Some(ours) = self.groups.iter_mut().find(|ours| ours.name == theirs.name) else {
                self.groups.push(theirs);
                continue;
            };
            let guard = theirs.vips.first().filter(|vip| Some(*vip) != ours.vips.first()).map(|(vip, _)| vip.0);
            ours.other_guards.extend(guard.filter(|vip| !ours.other_guards.contains(vip)));
            let more: Vec<_> = theirs.vips.into_iter().filter(|vip| !ours.vips.contains(vip)).collect();
            ours.vips.extend(more);
        }
        for target in &other.witness.targets {
            if !self.witnesses.iter().flatten().any(|(ip, _)| ip == target) {
                self.witnesses.push(vec![(*target, 0)]);
            }
        }
    }

    /// All cables.
    pub fn all(&self) -> Vec<CableId> {
        (0..self.cables.len() as u8).map(CableId).collect()
    }

    /// A cable.
    pub fn cable(&self, id: CableId) -> &CablePlan {
        &self.cables[usize::from(id.0) % self.cables.len().max(1)]
    }

    /// A node's end of a cable.
    pub fn end(&self, id: CableId, node: NodeId) -> &End {
        &self.cable(id).ends[node.index() % 2]
    }

    /// A node's name.
    pub fn name(&self, node: NodeId) -> &str {
        &self.nodes[node.index() % 2]
    }

    /// A node by its name.
    pub fn node(&self, name: &str) -> Option<NodeId> {
        BOTH.into_iter().find(|node| self.name(*node) == name)
    }

    /// The name of the switch's port to a node; the kernel takes 15 letters.
    pub fn port(&self, id: CableId, node: NodeId) -> String {
        let name = format!("{}-{}", self.end(id, node).interface, self.name(node));
        if name.len() <= 15 { name } else { format!("link{}-node{}", id.0, node.0) }
    }

    /// The name of the switch's bridge for a cable.
    pub fn bridge(&self, id: CableId) -> String {
        let name = format!("br-{}", self.end(id, NodeId(0)).interface);
        if name.len() <= 15 { name } else { format!("br-link{}", id.0) }
    }

    /// The observer's address of one family.
    pub fn observer(&self, v4: bool) -> Option<IpAddr> {
        self.observer.iter().map(|(ip, _)| *ip).find(|ip| ip.is_ipv4() == v4)
    }

    /// Every own address of a node.
    pub fn own(&self, node: NodeId) -> Vec<IpAddr> {
        self.all().into_iter().flat_map(|id| self.end(id, node).addresses.iter().map(|(ip, _)| *ip)).collect()
    }

    /// One family of the public network: its prefix, the nodes' and the gateway's addresses where the file names none, and the observer.
    fn settle_public(&mut self, v4: bool) -> Result<()> {
        let of_family = |ip: &IpAddr| ip.is_ipv4() == v4;
        let vips: Vec<Address> = self.vips_on(self.public).into_iter().filter(|(ip, _)| of_family(ip)).collect();
        let known: Vec<IpAddr> = self.known().into_iter().filter(of_family).collect();
        let machines: Vec<IpAddr> = {
            let ends = self.cable(self.public).ends.iter().flat_map(|end| end.addresses.iter().map(|(ip, _)| *ip));
            let witnesses = self.witnesses.iter().flatten().map(|(ip, _)| *ip);
            ends.chain(witnesses).filter(of_family).collect()
        };
        if vips.is_empty() && machines.is_empty() {
            return Ok(());
        }
        // The file's own prefix where a VIP has one; else the tightest network that holds every machine and one to spare.
        let everybody: Vec<IpAddr> = machines.iter().copied().chain(vips.iter().map(|(ip, _)| *ip)).collect();
        let spacious = if v4 { 28 } else { 64 };
        let length = vips.iter().map(|(_, prefix)| *prefix).min().unwrap_or(spacious).min(tightest(&everybody));
        let Some(base) = everybody.first().copied() else { return Ok(()) };
        let mut used = known;
        let mut pick = |what: &str, assumed: &mut Vec<String>| -> Result<IpAddr> {
            let ip = free(base, length, &used)
                .with_context(|| format!("no free address for {what} in the network of {base}/{length}"))?;
            used.push(ip);
            assumed.push(format!("{what} has {ip}/{length}"));
            Ok(ip)
        };
        let mut assumed = Vec::new();
        let public = self.public;
        for node in BOTH {
            let name = format!("{} on {}", self.name(node), self.cable(public).link);
            let place = usize::from(public.0);
            let Some(end) = self.cables.get_mut(place).map(|cable| &mut cable.ends[node.index()]) else { continue };
            end.addresses.iter_mut().filter(|(ip, _)| of_family(ip)).for_each(|(_, prefix)| *prefix = length);
            if !end.addresses.iter().any(|(ip, _)| of_family(ip)) {
                end.addresses.push((pick(&name, &mut assumed)?, length));
            }
        }
        for witness in &mut self.witnesses {
            witness.iter_mut().filter(|(ip, _)| of_family(ip)).for_each(|(_, prefix)| *prefix = length);
        }
        if let Some(gateway) = self.witnesses.first_mut()
            && !gateway.iter().any(|(ip, _)| of_family(ip))
        {
            gateway.push((pick("the gateway", &mut assumed)?, length));
        }
        let observer = pick("the observer", &mut assumed)?;
        self.observer.push((observer, length));
        self.assumed.append(&mut assumed);
        Ok(())
    }

    /// The network behind the gateway: one that meets none of the configuration's.
    fn settle_outside(&mut self) -> Result<()> {
        let known = self.known();
        for v4 in self.observer.iter().map(|(ip, _)| ip.is_ipv4()).collect::<Vec<_>>() {
            let candidates: Vec<(IpAddr, IpAddr, u8)> = if v4 {
                let near = [[10, 9, 9], [198, 18, 9], [203, 0, 113], [172, 31, 99], [192, 168, 199]];
                near.map(|[a, b, c]| (Ipv4Addr::new(a, b, c, 1).into(), Ipv4Addr::new(a, b, c, 2).into(), 24)).to_vec()
            } else {
                let near = [0xfd99, 0xfd98, 0xfd97, 0xfd96];
                let at = |high, low| IpAddr::V6(Ipv6Addr::new(high, 0, 0, 0, 0, 0, 0, low));
                near.map(|high| (at(high, 1), at(high, 2), 64)).to_vec()
            };
            let apart = |base: IpAddr| known.iter().all(|ip| !same_network(*ip, base, if v4 { 16 } else { 32 }));
            let (gateway, client, length) = candidates
                .into_iter()
                .find(|(base, ..)| apart(*base))
                .context("no network is free for the client behind the gateway")?;
            self.outside.push(((gateway, length), (client, length)));
        }
        Ok(())
    }

    /// A VIP beside the public network brings its own prefix.
    fn settle_other_cables(&mut self) {
        for id in self.all().into_iter().filter(|id| *id != self.public) {
            for ((vip, prefix), _) in
                self.groups.iter().flat_map(|g| &g.vips).filter(|(_, cable)| *cable == id).copied().collect::<Vec<_>>()
            {
                let Some(cable) = self.cables.get_mut(usize::from(id.0)) else { continue };
                for (ip, length) in cable.ends.iter_mut().flat_map(|end| &mut end.addresses) {
                    if ip.is_ipv4() == vip.is_ipv4() {
                        *length = (*length).min(prefix);
                    }
                }
            }
        }
    }

    /// The VIPs on one cable.
    pub fn vips_on(&self, id: CableId) -> Vec<Address> {
        self.groups.iter().flat_map(|group| &group.vips).filter(|(_, cable)| *cable == id).map(|(vip, _)| *vip).collect()
    }

    /// Every address that the configuration names.
    fn known(&self) -> Vec<IpAddr> {
        let ends = self.cables.iter().flat_map(|cable| &cable.ends).flat_map(|end| &end.addresses);
        let all = ends.chain(self.witnesses.iter().flatten()).map(|(ip, _)| *ip);
        all.chain(self.groups.iter().flat_map(|group| &group.vips).map(|((ip, _), _)| *ip)).collect()
    }
}

/// The longest prefix whose network holds all of them, none of them being its own or its broadcast address; at most /30 and /64.
fn tightest(all: &[IpAddr]) -> u8 {
    let Some(first) = all.first() else { return 0 };
    let (most, width) = if first.is_ipv4() { (30, 32) } else { (64, 128) };
    let bits = |ip: &IpAddr| match ip {
        IpAddr::V4(v4) => u128::from(u32::from(*v4)),
        IpAddr::V6(v6) => u128::from(*v6),
    };
    let fits = |length: u8| {
        let host = (1_u128 << (width - u32::from(length))).wrapping_sub(1);
        let edge = |ip: &IpAddr| first.is_ipv4() && (bits(ip) & host == 0 || bits(ip) & host == host);
        all.iter().all(|ip| same_network(*first, *ip, length) && !edge(ip))
    };
    (1..=most).rev().find(|length| fits(*length)).unwrap_or(1)
}

/// An address of a network that is not used yet, from the 50th on and then from the first.
fn free(base: IpAddr, length: u8, used: &[IpAddr]) -> Option<IpAddr> {
    let width = if base.is_ipv4() { 32 } else { 128 };
    let room = 1_u128.checked_shl(width - u32::from(length)).unwrap_or(u128::MAX).min(1 << 16);
    let at = |host: u128| match base {
        IpAddr::V4(v4) => {
            let mask = (room - 1) as u32;
            IpAddr::V4(Ipv4Addr::from(u32::from(v4) & !mask | host as u32 & mask))
        }
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6) & !(room - 1) | host)),
    };
    let last = room.saturating_sub(1);
    (50..last).chain(1..last.min(50)).map(at).find(|ip| !used.contains(ip))
}

fn same_network(one: IpAddr, two: IpAddr, length: u8) -> bool {
    match (one, two) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            (u32::from(a) ^ u32::from(b)).checked_shr(32 - u32::from(length.min(32))).unwrap_or(0) == 0
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            (u128::from(a) ^ u128::from(b)).checked_shr(128 - u32::from(length.min(128))).unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
