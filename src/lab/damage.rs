//! What is broken now, and what the switch's kernel must be told so that it is.
//!
//! The kernel's state is made from this as a whole, so healing one fault never heals another. The observer's frames pass all silent cuts: it must be
//! able to ask an isolated node whether it still answers. Random losses also spare the clients' probes, so that they count moves and not the dice.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::plan::{CableId, Plan, Select};
use super::recipe::{BOTH, OBSERVER_PORT, witness_port};
use super::responder::PORT as PROBE_PORT;
use twinbeat_core::id::NodeId;

/// A direction on a cable between two stations: 0 and 1 are the nodes, 2 and up the witnesses (on the public cable only), as in the simulator.
pub type Way = (CableId, usize, usize);

/// What becomes of the frames of one direction.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Condition {
    /// None passes.
    pub cut: bool,
    /// Heartbeats are filtered, everything else passes.
    pub no_heartbeats: bool,
    /// Lost, in millionths.
    pub loss: u32,
    /// Heartbeats that arrive damaged, in millionths.
    pub corrupt: u32,
}

/// What is broken now.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Damage {
    pub drops: Vec<Drop>,
    pub ways: BTreeMap<Way, Condition>,
    pub unplugged: BTreeSet<(NodeId, CableId)>,
    pub off: [bool; 2],
    pub relay_blocked: bool,
    /// Nodes whose frames from the VIPs are dropped.
    pub guarded: [bool; 2],
    /// Witnesses that are off.
    pub dark: BTreeSet<usize>,
    /// Ports that are down.
    pub down: BTreeSet<String>,
}

/// Frames that the switch drops.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Drop {
    pub from: Option<String>,
    pub to: Option<String>,
    /// Every frame, or this many in a hundred.
    pub percent: u8,
}

impl Drop {
    fn all(from: Option<String>, to: Option<String>) -> Drop {
        Drop { from, to, percent: 100 }
    }
}

impl Damage {
    /// The ports that must be down.
    pub fn wanted_down(&self, plan: &Plan) -> BTreeSet<String> {
        let dark = |node: NodeId, cable| self.off[node.index() % 2] || self.unplugged.contains(&(node, cable));
        let ports = BOTH.into_iter().flat_map(|node| plan.all().into_iter().map(move |cable| (node, cable)));
        ports
            .filter(|(node, cable)| dark(*node, *cable) || (*cable != plan.public && dark(node.other(), *cable)))
            .map(|(node, cable)| plan.port(cable, node))
            .collect()
    }

    /// The whole table, replaced in one transaction.
    pub fn script(&self, plan: &Plan) -> String {
        let mut text = String::from("table bridge drill_faults\ndelete table bridge drill_faults\n");
        if self.drops.is_empty()
            && self.ways.is_empty()
            && self.dark.is_empty()
            && !self.relay_blocked
            && self.guarded == [false; 2]
        {
            return text;
        }
        text.push_str("table bridge drill_faults {\n chain cut {\n  type filter hook forward priority -300; policy accept;\n");
        let _ = writeln!(text, "  iifname \"{OBSERVER_PORT}\" accept\n  oifname \"{OBSERVER_PORT}\" accept");
        for port in self.dark.iter().map(|witness| witness_port(*witness)) {
            let _ = writeln!(text, "  iifname \"{port}\" drop\n  oifname \"{port}\" drop");
        }
        if self.relay_blocked {
            text.push_str(&guard(plan));
        }
        for node in BOTH.into_iter().filter(|node| self.guarded[node.index() % 2]) {
            text.push_str(&port_security(plan, node));
        }
        let (certain, random): (Vec<&Drop>, Vec<&Drop>) = self.drops.iter().partition(|d| d.percent >= 100);
        for drop in certain {
            let _ = writeln!(text, "  {}drop", drop.matches());
        }
        for (way, condition) in &self.ways {
            let matches = matches(plan, *way);
            if condition.cut {
                let _ = writeln!(text, "  {matches}drop");
            }
            if condition.no_heartbeats {
                let _ = writeln!(text, "  {matches}udp dport {} drop", plan.port);
            }
        }
        let odds: Vec<(&Way, &Condition)> = self.ways.iter().filter(|(_, c)| c.loss > 0 || c.corrupt > 0).collect();
        if !random.is_empty() || !odds.is_empty() {
            let _ = writeln!(text, "  udp sport {PROBE_PORT} accept\n  udp dport {PROBE_PORT} accept");
            let _ = writeln!(text, "  tcp sport 1-65535 accept");
        }
        for drop in random {
            let _ = writeln!(text, "  {}numgen random mod 100 < {} drop", drop.matches(), drop.percent);
        }
        for (way, condition) in odds {
            let matches = matches(plan, *way);
            if condition.loss > 0 {
                let _ = writeln!(text, "  {matches}{}drop", odds_of(condition.loss));
            }
            if condition.corrupt > 0 {
                // Into the heartbeat's body: its tag no longer fits.
                let odds = odds_of(condition.corrupt);
                let _ = writeln!(text, "  {matches}udp dport {} {odds}@th,192,32 set 0xdeadbeef", plan.port);
            }
        }
        text.push_str(" }\n}\n");
        text
    }

    pub fn words(&self, plan: &Plan) -> Vec<String> {
        let off = BOTH.into_iter().filter(|n| self.off[n.index() % 2]).map(|n| format!("{} is off", plan.name(n)));
        let dark = self.dark.iter().map(|w| format!("{} is off", station(plan, w + 2)));
        let unplugged = self.unplugged.iter().map(|(n, c)| format!("{} of {} unplugged", plan.cable(*c).link, plan.name(*n)));
        let any = |side: &Option<String>| side.clone().unwrap_or_else(|| "all".to_owned());
        let drops = self.drops.iter().map(|d| format!("{} -> {} drops {} %", any(&d.from), any(&d.to), d.percent));
        let relay = self.relay_blocked.then(|| "no relay".to_owned());
        let guarded = BOTH.into_iter().filter(|n| self.guarded[n.index() % 2]);
        let guarded = guarded.map(|n| format!("no frame of the address's from {}", plan.name(n)));
        off.chain(dark).chain(unplugged).chain(drops).chain(relay).chain(guarded).chain(self.way_words(plan)).collect()
    }

    /// Directions that suffer alike on the same cable are told together.
    fn way_words(&self, plan: &Plan) -> Vec<String> {
        let what = |c: &Condition| {
            let percent = |ppm: u32| f64::from(ppm) / 10_000.0;
            let mut words = Vec::new();
            words.extend(c.cut.then(|| "cut".to_owned()));
            words.extend(c.no_heartbeats.then(|| "no heartbeats".to_owned()));
            words.extend((c.loss > 0).then(|| format!("{} % lost", percent(c.loss))));
            words.extend((c.corrupt > 0).then(|| format!("{} % damaged", percent(c.corrupt))));
            words.join(", ")
        };
        let both = |(cable, from, to): &Way, c: &Condition| self.ways.get(&(*cable, *to, *from)) == Some(c);
        let mut words = Vec::new();
        for (way @ (cable, from, to), condition) in &self.ways {
            let arrow = match both(way, condition) {
                true if from > to => continue,
                true => "<->",
                false => "->",
            };
            let (from, to) = (station(plan, *from), station(plan, *to));
            words.push(format!("{}: {from} {arrow} {to} {}", plan.cable(*cable).link, what(condition)));
        }
        words
    }
}

/// So many in a million; nftables knows no certainty by chance.
fn odds_of(ppm: u32) -> String {
    if ppm >= 1_000_000 { String::new() } else { format!("numgen random mod 1000000 < {ppm} ") }
}

/// What a station is called.
fn station(plan: &Plan, station: usize) -> String {
    match station {
        0 | 1 => plan.name(NodeId(station as u8)).to_owned(),
        2 => "gateway".to_owned(),
        more => format!("witness {}", more - 1),
    }
}

/// The switch's port to a station.
fn port(plan: &Plan, cable: CableId, station: usize) -> String {
    if station < 2 { plan.port(cable, NodeId(station as u8)) } else { witness_port(station - 2) }
}

fn matches(plan: &Plan, (cable, from, to): Way) -> String {
    format!("iifname \"{}\" oifname \"{}\" ", port(plan, cable, from), port(plan, cable, to))
}

/// Echo requests from a node in the other's name.
fn guard(plan: &Plan) -> String {
    let mut text = String::new();
    for node in BOTH {
        for (ip, _) in &plan.end(plan.public, node.other()).addresses {
            let port = plan.port(plan.public, node);
            let (family, echo) = if ip.is_ipv4() { ("ip", "icmp type") } else { ("ip6", "icmpv6 type") };
            let _ = writeln!(text, "  iifname \"{port}\" {family} saddr {ip} {echo} echo-request drop");
        }
    }
    text
}

/// What a node sends from the VIPs, and what it says in their name.
fn port_security(plan: &Plan, node: NodeId) -> String {
    let mut text = String::new();
    let port = plan.port(plan.public, node);
    for ip in plan.groups.iter().flat_map(|group| &group.vips).map(|((ip, _), _)| ip) {
        let from = format!("  iifname \"{port}\"");
        let _ = match ip.is_ipv4() {
            true => writeln!(text, "{from} ip saddr {ip} drop\n{from} arp saddr ip {ip} drop"),
            false => writeln!(text, "{from} ip6 saddr {ip} drop\n{from} icmpv6 type nd-neighbor-advert icmpv6 taddr {ip} drop"),
        };
    }
    text
}

impl Drop {
    fn matches(&self) -> String {
        let from = self.from.iter().map(|port| format!("iifname \"{port}\" "));
        from.chain(self.to.iter().map(|port| format!("oifname \"{port}\" "))).collect()
    }
}

/// All frames on cables from one node to the other.
pub(super) fn between(plan: &Plan, from: NodeId, cable: impl Select) -> Vec<Drop> {
    cable.select(plan).into_iter().map(|id| Drop::all(Some(plan.port(id, from)), Some(plan.port(id, from.other())))).collect()
}

/// All frames on cables from a node and to it.
pub(super) fn around(plan: &Plan, node: NodeId, cable: impl Select) -> Vec<Drop> {
    let ports = cable.select(plan).into_iter().map(|id| plan.port(id, node));
    ports.flat_map(|port| [Drop::all(Some(port.clone()), None), Drop::all(None, Some(port))]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Cable;

    #[test]
    fn a_direct_cable_has_carrier_at_both_ends_or_at_neither() {
        let plan = Plan::recipe();
        let mut damage = Damage::default();
        damage.unplugged.insert((NodeId(0), CableId(0)));
        assert_eq!(Vec::from_iter(damage.wanted_down(&plan)), ["eth1-master1", "eth1-master2"]);
        damage.unplugged.insert((NodeId(0), plan.public));
        assert!(!damage.wanted_down(&plan).contains("eth0-master2"), "the LAN has a switch in between");
    }

    #[test]
    fn the_observer_passes_every_silent_cut() {
        let plan = Plan::recipe();
        let damage = Damage { drops: around(&plan, NodeId(0), Cable::Lan), ..Damage::default() };
        let script = damage.script(&plan);
        let (observer, cut) = (script.find("eth0-lanclient").unwrap(), script.find("eth0-master1").unwrap());
        assert!(observer < cut, "{script}");
    }

    #[test]
    fn loss_spares_the_clients_probes_and_a_cut_does_not() {
        let plan = Plan::recipe();
        let mut drops = between(&plan, NodeId(0), Cable::Bond);
        drops.extend(between(&plan, NodeId(0), Cable::Lan).into_iter().map(|d| Drop { percent: 30, ..d }));
        let script = Damage { drops, ..Damage::default() }.script(&plan);
        let at = |text: &str| script.find(text).unwrap();
        assert!(at("eth2-master1") < at("udp dport") && at("udp dport") < at("numgen"), "{script}");
    }

    #[test]
    fn what_is_broken_is_said_in_the_configurations_words() {
        let plan = Plan::recipe();
        let mut damage = Damage::default();
        let cut = Condition { cut: true, ..Condition::default() };
        damage.ways.insert((plan.public, 0, 2), cut);
        damage.ways.insert((CableId(0), 0, 1), cut);
        damage.ways.insert((CableId(0), 1, 0), cut);
        assert_eq!(damage.words(&plan), ["heartbeat: master1 <-> master2 cut", "lan: master1 -> gateway cut"]);
    }
}
