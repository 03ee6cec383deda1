//! Damage: what can go wrong around two healthy daemons.
//!
//! Silent ones are drop rules in the switch (nftables, family bridge), loud ones take the carrier away at the switch's end of the cable; `Damage`
//! says what is broken now.

use std::io::Write as _;
use std::net::IpAddr;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::damage::{Condition, Drop, Way, around, between};
use super::lab::{BOTH, Lab};
use super::netlink;
use super::ns::Namespace;
use super::plan::Select;
use twinbeat_core::id::{Mac, NodeId};

impl Lab {
    /// Takes the carrier from a node's end of a cable; the other end of a direct cable loses it too.
    pub fn unplug(&self, node: NodeId, cable: impl Select) -> Result<()> {
        self.damage().unplugged.extend(cable.select(&self.plan).into_iter().map(|id| (node, id)));
        self.apply_carrier()
    }

    /// Plugs it in again.
    pub fn plug(&self, node: NodeId, cable: impl Select) -> Result<()> {
        let cables = cable.select(&self.plan);
        self.damage().unplugged.retain(|(n, id)| *n != node || !cables.contains(id));
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
            let mut damage = self.damage();
            damage.drops.retain(|d| d.percent == 100 || !ours.iter().any(|o| (&o.from, &o.to) == (&d.from, &d.to)));
            if percent > 0 {
                damage.drops.extend(ours.into_iter().map(|d| Drop { percent: percent.min(99), ..d }));
            }
        }
        self.apply_drops()
    }

    /// Drops this many in a hundred frames in every direction between the nodes and between nodes and witnesses; 0 ends it.
    pub fn loss_everywhere(&self, percent: u8) -> Result<()> {
        let between = self.plan.all().into_iter().flat_map(|cable| [(cable, 0, 1), (cable, 1, 0)]);
        let witnesses = (0..2).flat_map(|node| (0..self.plan.witnesses.len()).map(move |witness| (node, witness + 2)));
        let to_witnesses = witnesses.flat_map(|(node, there)| [(self.plan.public, node, there), (self.plan.public, there, node)]);
        let ways: Vec<Way> = between.chain(to_witnesses).collect();
        self.change_ways(&ways, |condition| condition.loss = u32::from(percent) * 10_000)
    }

    /// Changes what becomes of frames in these directions; what a change does not touch stays.
    pub fn change_ways(&self, ways: &[Way], change: impl Fn(&mut Condition)) -> Result<()> {
        {
            let mut damage = self.damage();
            for way in ways {
                change(damage.ways.entry(*way).or_default());
            }
            damage.ways.retain(|_, condition| *condition != Condition::default());
        }
        self.apply_drops()
    }

    /// The network lets no node send in the other's name (source guard): the witness carries no heartbeats.
    pub fn block_relay(&self, blocked: bool) -> Result<()> {
        self.damage().relay_blocked = blocked;
        self.apply_drops()
    }

    /// The network drops what a node sends from the VIPs, or says in their name (port security, allowed address pairs).
    ///
    /// # Errors
    /// When the switch's rules cannot be set.
    pub fn guard_port(&self, node: NodeId, on: bool) -> Result<()> {
        if let Some(guarded) = self.damage().guarded.get_mut(node.index()) {
            *guarded = on;
        }
        self.apply_drops()
    }

    /// The gateway answers no ping any more, to anybody, and no other witness does: one that still answered would be no shared failure. The gateway
    /// forwards as before.
    pub fn gateway_down(&self) -> Result<()> {
        self.each_witness(
            "table inet drill_faults\ndelete table inet drill_faults\ntable inet drill_faults {\n chain deaf {\n  \
             type filter hook input priority -300; policy accept;\n  icmp type echo-request drop\n  icmpv6 type echo-request drop\n }\n}\n",
        )
    }

    /// Ends [`Lab::gateway_down`].
    pub fn gateway_up(&self) -> Result<()> {
        self.each_witness("table inet drill_faults\ndelete table inet drill_faults\n")
    }

    fn each_witness(&self, script: &str) -> Result<()> {
        std::iter::once(&self.gw).chain(&self.witnesses).try_for_each(|witness| nft(witness, script))
    }

    /// A witness is off: nothing reaches it and nothing leaves it. When it is on again, it has forgotten its neighbours.
    pub fn witness_off(&self, witness: usize, off: bool) -> Result<()> {
        let changed = if off { self.damage().dark.insert(witness) } else { self.damage().dark.remove(&witness) };
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
        self.damage().off[node.index() % 2] = true;
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
        self.damage().off[node.index() % 2] = false;
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
            let mut damage = self.damage();
            damage.drops.clear();
            damage.ways.clear();
            damage.unplugged.clear();
            damage.relay_blocked = false;
            damage.guarded = [false; 2];
            damage.dark.clone()
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
        self.damage().words(&self.plan)
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
        self.damage().drops.extend(drops);
        self.apply_drops()
    }

    fn remove_drops(&self, drops: &[Drop]) -> Result<()> {
        {
            let mut damage = self.damage();
            for drop in drops {
                if let Some(at) = damage.drops.iter().position(|d| d == drop) {
                    damage.drops.remove(at);
                }
            }
        }
        self.apply_drops()
    }

    fn apply_drops(&self) -> Result<()> {
        let script = self.damage().script(&self.plan);
        nft(&self.switch, &script)
    }

    fn apply_carrier(&self) -> Result<()> {
        let (fall, rise) = {
            let mut damage = self.damage();
            let wanted = damage.wanted_down(&self.plan);
            let fall: Vec<String> = wanted.difference(&damage.down).cloned().collect();
            let rise: Vec<String> = damage.down.difference(&wanted).cloned().collect();
            damage.down = wanted;
            (fall, rise)
        };
        netlink::links_up(&self.switch, &fall, false)?;
        netlink::links_up(&self.switch, &rise, true)
    }
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
