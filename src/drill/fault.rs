//! Faults: what can go wrong around two healthy daemons.
//!
//! Silent ones are drop rules in the switch (nftables, family bridge), loud ones take the carrier away at the switch's end of the cable. [`Faults`]
//! says what is broken now; the kernel's state is made from it as a whole, so healing one fault never heals another. The observer's
//! frames pass all silent cuts: it must be able to ask an isolated node whether it still answers. A loss in percent also spares the probes
//! of the client behind the gateway, so that they count moves and not the dice.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::lab::{BOTH, Lab, OBSERVER_PORT, witness_port};
use super::netlink;
use super::ns::Namespace;
use super::plan::{CableId, Plan, Select};
use super::responder::PORT as PROBE_PORT;
use crate::core::id::{Mac, NodeId};

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
pub(super) struct Faults {
    drops: Vec<Drop>,
    ways: BTreeMap<Way, Condition>,
    unplugged: BTreeSet<(NodeId, CableId)>,
    off: [bool; 2],
    relay_blocked: bool,
    /// Witnesses that are off.
    dark: BTreeSet<usize>,
    /// Ports that are down.
    down: BTreeSet<String>,
}

/// Frames that the switch drops.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Drop {
    from: Option<String>,
    to: Option<String>,
    /// Every frame, or this many in a hundred.
    percent: u8,
}

impl Drop {
    fn all(from: Option<String>, to: Option<String>) -> Drop {
        Drop { from, to, percent: 100 }
    }
}

impl Lab {
    /// Takes the carrier from a node's end of a cable; the other end of a direct cable loses it too.
    pub fn unplug(&self, node: NodeId, cable: impl Select) -> Result<()> {
        self.faults().unplugged.extend(cable.select(&self.plan).into_iter().map(|id| (node, id)));
        self.apply_carrier()
    }

    /// Plugs it in again.
    pub fn plug(&self, node: NodeId, cable: impl Select) -> Result<()> {
        let cables = cable.select(&self.plan);
        self.faults().unplugged.retain(|(n, id)| *n != node || !cables.contains(id));
        self.apply_carrier()
    }

    /// Drops silently all frames between the nodes on one cable, in one direction.
    pub fn cut_one_way(&self, from: NodeId, cable: impl Select) -> Result<()> {
        self.add_drops(self.between(from, cable))
    }

    /// Ends [`Lab::cut_one_way`].
    pub fn mend_one_way(&self, from: NodeId, cable: impl Select) -> Result<()> {
        self.remove_drops(&self.between(from, cable))
    }

    /// Drops silently all frames between the nodes on one cable, in both directions.
    pub fn cut(&self, cable: impl Select + Copy) -> Result<()> {
        self.add_drops(BOTH.iter().flat_map(|node| self.between(*node, cable)))
    }

    /// Ends [`Lab::cut`].
    pub fn mend(&self, cable: impl Select + Copy) -> Result<()> {
        self.remove_drops(&BOTH.map(|node| self.between(node, cable)).concat())
    }

    /// Drops silently everything on one cable of a node, to and from everybody; the carrier stays.
    pub fn blackhole(&self, node: NodeId, cable: impl Select) -> Result<()> {
        self.add_drops(self.around(node, cable))
    }

    /// Ends [`Lab::blackhole`].
    pub fn unblackhole(&self, node: NodeId, cable: impl Select) -> Result<()> {
        self.remove_drops(&self.around(node, cable))
    }

    /// Drops silently everything on every cable of a node; carriers stay.
    pub fn isolate(&self, node: NodeId) -> Result<()> {
        self.add_drops(self.plan.all().into_iter().flat_map(|cable| self.around(node, cable)))
    }

    /// Ends [`Lab::isolate`].
    pub fn rejoin(&self, node: NodeId) -> Result<()> {
        let all: Vec<Drop> = self.plan.all().into_iter().flat_map(|cable| self.around(node, cable)).collect();
        self.remove_drops(&all)
    }

    /// No frame at all passes between the two nodes; both still reach the gateway.
    pub fn separate(&self) -> Result<()> {
        self.add_drops(self.apart())
    }

    /// Ends [`Lab::separate`].
    pub fn unite(&self) -> Result<()> {
        self.remove_drops(&self.apart())
    }

    /// Drops this many in a hundred frames, each way, on every cable of a node; 0 ends it.
    pub fn loss(&self, node: NodeId, percent: u8) -> Result<()> {
        let ours: Vec<Drop> = self.plan.all().into_iter().flat_map(|cable| self.around(node, cable)).collect();
        {
            let mut faults = self.faults();
            faults.drops.retain(|d| d.percent == 100 || !ours.iter().any(|o| (&o.from, &o.to) == (&d.from, &d.to)));
            if percent > 0 {
                faults.drops.extend(ours.into_iter().map(|d| Drop { percent: percent.min(99), ..d }));
            }
        }
        self.apply_drops()
    }

    /// Changes what becomes of frames in these directions; what a change does not touch stays.
    pub fn change_ways(&self, ways: &[Way], change: impl Fn(&mut Condition)) -> Result<()> {
        {
            let mut faults = self.faults();
            for way in ways {
                change(faults.ways.entry(*way).or_default());
            }
            faults.ways.retain(|_, condition| *condition != Condition::default());
        }
        self.apply_drops()
    }

    /// The network lets no node send in the other's name (source guard): the witness carries no heartbeats.
    pub fn block_relay(&self, blocked: bool) -> Result<()> {
        self.faults().relay_blocked = blocked;
        self.apply_drops()
    }

    /// The gateway answers no ping any more, to anybody; it forwards as before.
    pub fn gateway_down(&self) -> Result<()> {
        nft(
            &self.gw,
            "table inet drill_faults\ndelete table inet drill_faults\ntable inet drill_faults {\n chain deaf {\n  \
             type filter hook input priority -300; policy accept;\n  icmp type echo-request drop\n  icmpv6 type echo-request drop\n }\n}\n",
        )
    }

    /// Ends [`Lab::gateway_down`].
    pub fn gateway_up(&self) -> Result<()> {
        nft(&self.gw, "table inet drill_faults\ndelete table inet drill_faults\n")
    }

    /// A witness is off: nothing reaches it and nothing leaves it. When it is on again, it has forgotten its neighbours.
    pub fn witness_off(&self, witness: usize, off: bool) -> Result<()> {
        let changed = if off { self.faults().dark.insert(witness) } else { self.faults().dark.remove(&witness) };
        if changed && !off {
            self.witness_forgets(witness)?;
        }
        self.apply_drops()
    }

    /// A witness loses its neighbour table.
    pub fn witness_forgets(&self, witness: usize) -> Result<()> {
        netlink::forget_neighbours(self.witness(witness), |_| true)
    }

    /// A witness ignores announcements: its entries for the VIPs stay as they are now.
    pub fn witness_pins(&self, witness: usize, on: bool) -> Result<()> {
        let vips: Vec<IpAddr> = self.plan.vips_on(self.plan.public).into_iter().map(|(ip, _)| ip).collect();
        if !on {
            return netlink::forget_neighbours(self.witness(witness), |ip| vips.contains(&ip));
        }
        let known = netlink::neighbours(self.witness(witness), "eth0")?;
        let entries: Vec<(IpAddr, Mac)> = known.into_iter().filter(|(ip, _)| vips.contains(ip)).collect();
        netlink::pin_neighbours(self.witness(witness), "eth0", &entries)
    }

    /// The gateway's entries for the VIPs are pinned to a MAC: announcements do nothing.
    pub fn gateway_pins(&self, mac: Mac) -> Result<()> {
        let vips = self.plan.vips_on(self.plan.public);
        netlink::pin_neighbours(&self.gw, "eth0", &vips.into_iter().map(|(ip, _)| (ip, mac)).collect::<Vec<_>>())
    }

    /// Ends [`Lab::gateway_pins`].
    pub fn gateway_unpins(&self) -> Result<()> {
        self.witness_pins(0, false)
    }

    /// The power goes: no frame leaves any more, every process of the node dies at once, its carriers fall, and what its kernel
    /// knew (rules, foreign addresses, neighbours) is forgotten.
    pub fn power_off(&self, node: NodeId) -> Result<()> {
        self.isolate(node)?;
        super::process::kill_all_in(self.node(node).inode());
        self.faults().off[node.index() % 2] = true;
        self.apply_carrier()?;
        self.rejoin(node)?;
        let own = self.plan.own(node);
        netlink::delete_addresses(self.node(node), move |ip| !own.contains(&ip))?;
        netlink::forget_neighbours(self.node(node), |_| true)?;
        self.know_observer(node)?;
        self.foreign_flush_ruleset(node)
    }

    /// The power is back: carriers rise. Nothing is started.
    pub fn power_on(&self, node: NodeId) -> Result<()> {
        self.faults().off[node.index() % 2] = false;
        self.apply_carrier()
    }

    /// Somebody reloads the firewall on a node: `nft flush ruleset`.
    pub fn foreign_flush_ruleset(&self, node: NodeId) -> Result<()> {
        nft(self.node(node), "flush ruleset\n")
    }

    /// Somebody deletes the VIPs on a node; returns how many addresses that were.
    pub fn foreign_delete_vip(&self, node: NodeId) -> Result<usize> {
        let all: Vec<IpAddr> = self.plan.groups.iter().flat_map(|g| &g.vips).map(|((ip, _), _)| *ip).collect();
        netlink::delete_addresses(self.node(node), move |ip| all.contains(&ip))
    }

    /// The same for one group.
    pub fn foreign_delete_group(&self, node: NodeId, group: usize) -> Result<usize> {
        let all: Vec<IpAddr> = self.plan.groups.get(group).into_iter().flat_map(|g| &g.vips).map(|((ip, _), _)| *ip).collect();
        netlink::delete_addresses(self.node(node), move |ip| all.contains(&ip))
    }

    /// Heals every fault of the network; machines that are off stay off.
    pub fn heal(&self) -> Result<()> {
        let dark = {
            let mut faults = self.faults();
            faults.drops.clear();
            faults.ways.clear();
            faults.unplugged.clear();
            faults.relay_blocked = false;
            faults.dark.clone()
        };
        for witness in dark {
            self.witness_off(witness, false)?;
        }
        self.apply_drops()?;
        self.apply_carrier()?;
        self.gateway_up()?;
        Ok(())
    }

    /// What is broken now, for a person.
    pub fn broken(&self) -> Vec<String> {
        self.faults().words(&self.plan)
    }

    fn between(&self, from: NodeId, cable: impl Select) -> Vec<Drop> {
        between(&self.plan, from, cable)
    }

    fn around(&self, node: NodeId, cable: impl Select) -> Vec<Drop> {
        around(&self.plan, node, cable)
    }

    fn apart(&self) -> Vec<Drop> {
        self.plan.all().into_iter().flat_map(|cable| BOTH.map(|node| self.between(node, cable)).concat()).collect()
    }

    fn add_drops(&self, drops: impl IntoIterator<Item = Drop>) -> Result<()> {
        self.faults().drops.extend(drops);
        self.apply_drops()
    }

    fn remove_drops(&self, drops: &[Drop]) -> Result<()> {
        {
            let mut faults = self.faults();
            for drop in drops {
                if let Some(at) = faults.drops.iter().position(|d| d == drop) {
                    faults.drops.remove(at);
                }
            }
        }
        self.apply_drops()
    }

    fn apply_drops(&self) -> Result<()> {
        let script = self.faults().script(&self.plan);
        nft(&self.switch, &script)
    }

    fn apply_carrier(&self) -> Result<()> {
        let (fall, rise) = {
            let mut faults = self.faults();
            let wanted = faults.wanted_down(&self.plan);
            let fall: Vec<String> = wanted.difference(&faults.down).cloned().collect();
            let rise: Vec<String> = faults.down.difference(&wanted).cloned().collect();
            faults.down = wanted;
            (fall, rise)
        };
        netlink::links_up(&self.switch, &fall, false)?;
        netlink::links_up(&self.switch, &rise, true)
    }
}

impl Faults {
    /// The ports that must be down.
    fn wanted_down(&self, plan: &Plan) -> BTreeSet<String> {
        let dark = |node: NodeId, cable| self.off[node.index() % 2] || self.unplugged.contains(&(node, cable));
        let ports = BOTH.into_iter().flat_map(|node| plan.all().into_iter().map(move |cable| (node, cable)));
        ports
            .filter(|(node, cable)| dark(*node, *cable) || (*cable != plan.public && dark(node.other(), *cable)))
            .map(|(node, cable)| plan.port(cable, node))
            .collect()
    }

    /// The whole table, replaced in one transaction.
    fn script(&self, plan: &Plan) -> String {
        let mut text = String::from("table bridge drill_faults\ndelete table bridge drill_faults\n");
        if self.drops.is_empty() && self.ways.is_empty() && self.dark.is_empty() && !self.relay_blocked {
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
                let _ = writeln!(text, "  {matches}numgen random mod 1000000 < {} drop", condition.loss.min(1_000_000));
            }
            if condition.corrupt > 0 {
                // Into the heartbeat's body: its tag no longer fits.
                let odds = condition.corrupt.min(1_000_000);
                let _ = writeln!(
                    text,
                    "  {matches}udp dport {} numgen random mod 1000000 < {odds} @th,192,32 set 0xdeadbeef",
                    plan.port
                );
            }
        }
        text.push_str(" }\n}\n");
        text
    }

    fn words(&self, plan: &Plan) -> Vec<String> {
        let off = BOTH.into_iter().filter(|n| self.off[n.index() % 2]).map(|n| format!("{} is off", plan.name(n)));
        let dark = self.dark.iter().map(|w| format!("{} is off", station(plan, w + 2)));
        let unplugged = self.unplugged.iter().map(|(n, c)| format!("{} of {} unplugged", plan.cable(*c).link, plan.name(*n)));
        let any = |side: &Option<String>| side.clone().unwrap_or_else(|| "all".to_owned());
        let drops = self.drops.iter().map(|d| format!("{} -> {} drops {} %", any(&d.from), any(&d.to), d.percent));
        let relay = self.relay_blocked.then(|| "no relay".to_owned());
        off.chain(dark).chain(unplugged).chain(drops).chain(relay).chain(self.way_words(plan)).collect()
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

impl Drop {
    fn matches(&self) -> String {
        let from = self.from.iter().map(|port| format!("iifname \"{port}\" "));
        from.chain(self.to.iter().map(|port| format!("oifname \"{port}\" "))).collect()
    }
}

/// All frames on cables from one node to the other.
fn between(plan: &Plan, from: NodeId, cable: impl Select) -> Vec<Drop> {
    cable.select(plan).into_iter().map(|id| Drop::all(Some(plan.port(id, from)), Some(plan.port(id, from.other())))).collect()
}

/// All frames on cables from a node and to it.
fn around(plan: &Plan, node: NodeId, cable: impl Select) -> Vec<Drop> {
    let ports = cable.select(plan).into_iter().map(|id| plan.port(id, node));
    ports.flat_map(|port| [Drop::all(Some(port.clone()), None), Drop::all(None, Some(port))]).collect()
}

/// Gives nftables a script inside a namespace: all of it, or an error and nothing.
fn nft(ns: &Namespace, script: &str) -> Result<()> {
    ns.run(|| {
        let mut command = Command::new("nft");
        command.args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().context("start nft (Debian package nftables)")?;
        child.stdin.take().context("nft's input")?.write_all(script.as_bytes())?;
        let done = child.wait_with_output()?;
        if !done.status.success() {
            bail!("nft refused: {}\n{script}", String::from_utf8_lossy(&done.stderr).trim());
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::lab::Cable;

    #[test]
    fn a_direct_cable_has_carrier_at_both_ends_or_at_neither() {
        let plan = Plan::recipe();
        let mut faults = Faults::default();
        faults.unplugged.insert((NodeId(0), CableId(0)));
        assert_eq!(Vec::from_iter(faults.wanted_down(&plan)), ["eth1-master1", "eth1-master2"]);
        faults.unplugged.insert((NodeId(0), plan.public));
        assert!(!faults.wanted_down(&plan).contains("eth0-master2"), "the LAN has a switch in between");
    }

    #[test]
    fn the_observer_passes_every_silent_cut() {
        let plan = Plan::recipe();
        let faults = Faults { drops: around(&plan, NodeId(0), Cable::Lan), ..Faults::default() };
        let script = faults.script(&plan);
        let (observer, cut) = (script.find("eth0-lanclient").unwrap(), script.find("eth0-master1").unwrap());
        assert!(observer < cut, "{script}");
    }

    #[test]
    fn loss_spares_the_clients_probes_and_a_cut_does_not() {
        let plan = Plan::recipe();
        let mut drops = between(&plan, NodeId(0), Cable::Bond);
        drops.extend(between(&plan, NodeId(0), Cable::Lan).into_iter().map(|d| Drop { percent: 30, ..d }));
        let script = Faults { drops, ..Faults::default() }.script(&plan);
        let at = |text: &str| script.find(text).unwrap();
        assert!(at("eth2-master1") < at("udp dport") && at("udp dport") < at("numgen"), "{script}");
    }

    #[test]
    fn what_is_broken_is_said_in_the_configurations_words() {
        let plan = Plan::recipe();
        let mut faults = Faults::default();
        let cut = Condition { cut: true, ..Condition::default() };
        faults.ways.insert((plan.public, 0, 2), cut);
        faults.ways.insert((CableId(0), 0, 1), cut);
        faults.ways.insert((CableId(0), 1, 0), cut);
        assert_eq!(faults.words(&plan), ["heartbeat: master1 <-> master2 cut", "lan: master1 -> gateway cut"]);
    }
}
