//! Faults: what can go wrong around two healthy daemons.
//!
//! Silent ones are drop rules in the switch (nftables, family bridge), loud ones take the carrier away at the switch's end of the cable. [`Faults`]
//! says what is broken now; the kernel's state is made from it as a whole, so healing one fault never heals another. The observer's
//! frames pass all silent cuts: it must be able to ask an isolated node whether it still answers. A loss in percent also spares the probes
//! of the client behind the gateway, so that they count moves and not the dice.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::lab::{BOTH, Cable, Lab, OBSERVER_PORT, VIP, VIP6};
use super::netlink;
use super::ns::Namespace;
use super::responder::PORT as PROBE_PORT;
use crate::core::id::{Mac, NodeId};

/// What is broken now.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Faults {
    drops: Vec<Drop>,
    unplugged: BTreeSet<(NodeId, Cable)>,
    off: [bool; 2],
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
    pub fn unplug(&self, node: NodeId, cable: Cable) -> Result<()> {
        self.faults().unplugged.insert((node, cable));
        self.apply_carrier()
    }

    /// Plugs it in again.
    pub fn plug(&self, node: NodeId, cable: Cable) -> Result<()> {
        self.faults().unplugged.remove(&(node, cable));
        self.apply_carrier()
    }

    /// Drops silently all frames between the nodes on one cable, in one direction.
    pub fn cut_one_way(&self, from: NodeId, cable: Cable) -> Result<()> {
        self.add_drops([between(from, cable)])
    }

    /// Ends [`Lab::cut_one_way`].
    pub fn mend_one_way(&self, from: NodeId, cable: Cable) -> Result<()> {
        self.remove_drops(&[between(from, cable)])
    }

    /// Drops silently all frames between the nodes on one cable, in both directions.
    pub fn cut(&self, cable: Cable) -> Result<()> {
        self.add_drops(BOTH.map(|node| between(node, cable)))
    }

    /// Ends [`Lab::cut`].
    pub fn mend(&self, cable: Cable) -> Result<()> {
        self.remove_drops(&BOTH.map(|node| between(node, cable)))
    }

    /// Drops silently everything on one cable of a node, to and from everybody; the carrier stays.
    pub fn blackhole(&self, node: NodeId, cable: Cable) -> Result<()> {
        self.add_drops(around(node, cable))
    }

    /// Ends [`Lab::blackhole`].
    pub fn unblackhole(&self, node: NodeId, cable: Cable) -> Result<()> {
        self.remove_drops(&around(node, cable))
    }

    /// Drops silently everything on every cable of a node; carriers stay.
    pub fn isolate(&self, node: NodeId) -> Result<()> {
        self.add_drops(Cable::ALL.into_iter().flat_map(|cable| around(node, cable)))
    }

    /// Ends [`Lab::isolate`].
    pub fn rejoin(&self, node: NodeId) -> Result<()> {
        self.remove_drops(&Cable::ALL.map(|cable| around(node, cable)).concat())
    }

    /// No frame at all passes between the two nodes; both still reach the gateway.
    pub fn separate(&self) -> Result<()> {
        self.add_drops(Cable::ALL.into_iter().flat_map(|cable| BOTH.map(|node| between(node, cable))))
    }

    /// Ends [`Lab::separate`].
    pub fn unite(&self) -> Result<()> {
        self.remove_drops(&Cable::ALL.map(|cable| BOTH.map(|node| between(node, cable))).concat())
    }

    /// Drops this many in a hundred frames, each way, on every cable of a node; 0 ends it.
    pub fn loss(&self, node: NodeId, percent: u8) -> Result<()> {
        let ours: Vec<Drop> = Cable::ALL.into_iter().flat_map(|cable| around(node, cable)).collect();
        {
            let mut faults = self.faults();
            faults.drops.retain(|d| d.percent == 100 || !ours.iter().any(|o| (&o.from, &o.to) == (&d.from, &d.to)));
            if percent > 0 {
                faults.drops.extend(ours.into_iter().map(|d| Drop { percent: percent.min(99), ..d }));
            }
        }
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

    /// The gateway's entry for the VIP is pinned to a MAC: announcements do nothing.
    pub fn gateway_pins(&self, mac: Mac) -> Result<()> {
        netlink::pin_neighbours(&self.gw, "eth0", &[(VIP.into(), mac), (VIP6.into(), mac)])
    }

    /// Ends [`Lab::gateway_pins`].
    pub fn gateway_unpins(&self) -> Result<()> {
        netlink::forget_neighbour(&self.gw, VIP.into())?;
        netlink::forget_neighbour(&self.gw, VIP6.into())
    }

    /// The power goes: no frame leaves any more, every process of the node dies at once, its carriers fall, and what its kernel
    /// knew (rules, foreign addresses, neighbours) is forgotten.
    pub fn power_off(&self, node: NodeId) -> Result<()> {
        self.isolate(node)?;
        super::process::kill_all_in(self.node(node).inode());
        self.faults().off[node.index() % 2] = true;
        self.apply_carrier()?;
        self.rejoin(node)?;
        let own: Vec<IpAddr> = Cable::ALL.iter().flat_map(|c| [c.address(node).into(), c.address6(node).into()]).collect();
        netlink::delete_addresses(self.node(node), move |ip| !own.contains(&ip))?;
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

    /// Somebody deletes the VIP on a node; returns how many addresses that were.
    pub fn foreign_delete_vip(&self, node: NodeId) -> Result<usize> {
        netlink::delete_addresses(self.node(node), |ip| ip == IpAddr::V4(VIP) || ip == IpAddr::V6(VIP6))
    }

    /// Heals every fault of the network; machines that are off stay off.
    pub fn heal(&self) -> Result<()> {
        {
            let mut faults = self.faults();
            faults.drops.clear();
            faults.unplugged.clear();
        }
        self.apply_drops()?;
        self.apply_carrier()?;
        self.gateway_up()?;
        Ok(())
    }

    /// What is broken now, for a person.
    pub fn broken(&self) -> Vec<String> {
        let faults = self.faults();
        let off = BOTH.into_iter().filter(|n| faults.off[n.index() % 2]).map(|n| format!("{} is off", super::lab::node_name(n)));
        let unplugged = faults.unplugged.iter().map(|(n, c)| format!("{} unplugged", c.port(*n)));
        let any = |side: &Option<String>| side.clone().unwrap_or_else(|| "all".to_owned());
        let drops = faults.drops.iter().map(|d| format!("{} -> {} drops {} %", any(&d.from), any(&d.to), d.percent));
        off.chain(unplugged).chain(drops).collect()
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
        let script = self.faults().script();
        nft(&self.switch, &script)
    }

    fn apply_carrier(&self) -> Result<()> {
        let (fall, rise) = {
            let mut faults = self.faults();
            let wanted = faults.wanted_down();
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
    fn wanted_down(&self) -> BTreeSet<String> {
        let dark = |node: NodeId, cable| self.off[node.index() % 2] || self.unplugged.contains(&(node, cable));
        let ports = BOTH.into_iter().flat_map(|node| Cable::ALL.map(|cable| (node, cable)));
        ports
            .filter(|(node, cable)| dark(*node, *cable) || (*cable != Cable::Lan && dark(node.other(), *cable)))
            .map(|(node, cable)| cable.port(node))
            .collect()
    }

    /// The whole table, replaced in one transaction.
    fn script(&self) -> String {
        let mut text = String::from("table bridge drill_faults\ndelete table bridge drill_faults\n");
        if self.drops.is_empty() {
            return text;
        }
        text.push_str("table bridge drill_faults {\n chain cut {\n  type filter hook forward priority -300; policy accept;\n");
        let _ = writeln!(text, "  iifname \"{OBSERVER_PORT}\" accept\n  oifname \"{OBSERVER_PORT}\" accept");
        let (certain, random): (Vec<&Drop>, Vec<&Drop>) = self.drops.iter().partition(|d| d.percent >= 100);
        for drop in certain {
            let _ = writeln!(text, "  {}drop", drop.matches());
        }
        if !random.is_empty() {
            let _ = writeln!(text, "  udp sport {PROBE_PORT} accept\n  udp dport {PROBE_PORT} accept");
            let _ = writeln!(text, "  tcp sport 80 accept\n  tcp dport 80 accept");
        }
        for drop in random {
            let _ = writeln!(text, "  {}numgen random mod 100 < {} drop", drop.matches(), drop.percent);
        }
        text.push_str(" }\n}\n");
        text
    }
}

impl Drop {
    fn matches(&self) -> String {
        let from = self.from.iter().map(|port| format!("iifname \"{port}\" "));
        from.chain(self.to.iter().map(|port| format!("oifname \"{port}\" "))).collect()
    }
}

/// All frames on a cable from one node to the other.
fn between(from: NodeId, cable: Cable) -> Drop {
    Drop::all(Some(cable.port(from)), Some(cable.port(from.other())))
}

/// All frames on a cable from a node and to it.
fn around(node: NodeId, cable: Cable) -> [Drop; 2] {
    [Drop::all(Some(cable.port(node)), None), Drop::all(None, Some(cable.port(node)))]
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

    #[test]
    fn a_direct_cable_has_carrier_at_both_ends_or_at_neither() {
        let mut faults = Faults::default();
        faults.unplugged.insert((NodeId(0), Cable::Heartbeat));
        assert_eq!(Vec::from_iter(faults.wanted_down()), ["eth1-master1", "eth1-master2"]);
        faults.unplugged.insert((NodeId(0), Cable::Lan));
        assert!(!faults.wanted_down().contains("eth0-master2"), "the LAN has a switch in between");
    }

    #[test]
    fn the_observer_passes_every_silent_cut() {
        let faults = Faults { drops: around(NodeId(0), Cable::Lan).to_vec(), ..Faults::default() };
        let script = faults.script();
        let (observer, cut) = (script.find("eth0-lanclient").unwrap(), script.find("eth0-master1").unwrap());
        assert!(observer < cut, "{script}");
    }

    #[test]
    fn loss_spares_the_clients_probes_and_a_cut_does_not() {
        let lossy = Drop { percent: 30, ..between(NodeId(0), Cable::Lan) };
        let script = Faults { drops: vec![lossy, between(NodeId(0), Cable::Bond)], ..Faults::default() }.script();
        let at = |text: &str| script.find(text).unwrap();
        assert!(at("eth2-master1") < at("udp dport") && at("udp dport") < at("numgen"), "{script}");
    }
}
