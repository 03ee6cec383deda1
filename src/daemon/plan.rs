//! What a changed file means for the running daemon: what can be taken up in place, that is without a move and without a gap, and what
//! cannot, with the way that can. Pure: the two files and a few facts in, words out.

use std::collections::BTreeSet;
use std::net::IpAddr;

use twinbeat_config::{Config, GroupConfig, LinkConfig, NodeConfig, ServiceKind, VipConfig};
use twinbeat_core::id::{Name, NodeId};

/// What the running daemon knows beside the two files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// Which node this is.
    pub me: NodeId,
    /// The groups of the old file that are this node's, or on their way to it or from it.
    pub held: Vec<Name>,
    /// The groups of the old file that are just being taken or given up.
    pub moving: Vec<Name>,
    /// For each group of the new file: the peer's file has it with the same addresses; none while it is not heard.
    pub peer_has: Vec<Option<bool>>,
    /// The kernel makes a gate that outlives the daemon.
    pub gate_stays: bool,
    /// What this node's private key, as it is on the disk now, belongs to.
    pub my_key: [u8; 32],
    /// The key that the peer signs with.
    pub peer_key: [u8; 32],
}

/// What there is to do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// What follows from a change, where it is not plain.
    pub notes: Vec<String>,
    /// What keeps the file from being taken up in place, each with the way that can.
    pub hindrances: Vec<String>,
    /// Addresses that groups held here get, and their interfaces: nobody may have them.
    pub ask_for: Vec<(IpAddr, String)>,
}

impl Plan {
    /// What becomes of the old file's daemon with the new file.
    pub fn of(old: &Config, new: &Config, facts: &Facts) -> Plan {
        let mut plan = Plan::default();
        plan.names(old, new);
        if !plan.hindrances.is_empty() {
            return plan;
        }
        // What was asked for would be long ago by the time that it is over.
        if !facts.moving.is_empty() {
            plan.hindrances
                .push(format!("{} is just being taken or given up: once more in a moment", names(facts.moving.iter())));
        }
        plan.wires(old, new);
        plan.keys(old, new, facts);
        let held: Vec<&GroupConfig> = old.groups.iter().filter(|group| facts.held.contains(&group.name)).collect();
        if !facts.gate_stays && !held.is_empty() {
            plan.hindrances.push(format!(
                "the gate of this kernel is weak and does not outlive the daemon, which serves {}: {BY_HAND}",
                names(held.iter().map(|group| &group.name))
            ));
        }
        for was in &held {
            match new.groups.iter().zip(&facts.peer_has).find(|(group, _)| group.name == was.name) {
                Some((is, peer_has)) => plan.group(was, is, *peer_has, (old, new, facts.me)),
                None => plan.gone(was),
            }
        }
        // Its gate would be found open for a group that this node does not own.
        for is in new.groups.iter().filter(|group| !facts.held.contains(&group.name)) {
            let from = |vip: &VipConfig| held.iter().find(|was| was.vips.iter().any(|before| before.address == vip.address));
            for (vip, was) in is.vips.iter().filter_map(|vip| Some((vip, from(vip)?))) {
                plan.hindrances.push(format!(
                    "{vip} goes from group {}, which this node holds, to group {}, which it does not: both on one node first; a group under another name: {BY_HAND}",
                    was.name, is.name
                ));
            }
        }
        if new.timing.lease > old.timing.lease {
            plan.notes.push(format!(
                "the lease of {} is in force once {} has confirmed it",
                new.timing.lease,
                peer(new, facts.me)
            ));
        }
        plan
    }

    fn names(&mut self, old: &Config, new: &Config) {
        let both = |config: &Config| config.nodes.iter().map(|node| node.name.clone()).collect::<Vec<_>>();
        for (what, differs) in [
            ("the cluster's name", old.cluster != new.cluster),
            ("a node's name", both(old) != both(new)),
            ("port", old.port != new.port),
        ] {
            if differs {
                self.hindrances.push(format!("{what}: nodes that differ in it do not hear each other: {TOGETHER}"));
            }
        }
    }

    /// Some link must be the same at both ends until the peer has the new file, too.
    fn wires(&mut self, old: &Config, new: &Config) {
        let ends = |config: &Config, link: &LinkConfig| -> Vec<IpAddr> {
            let all = config.nodes.iter().flat_map(|node| &node.links);
            all.filter(|end| end.name == link.name).map(|end| end.address).collect()
        };
        let links = |config: &Config| -> BTreeSet<Name> {
            config.nodes.iter().flat_map(|node| &node.links).map(|link| link.name.clone()).collect()
        };
        let (known, wanted) = (links(old), links(new));
        let first = old.nodes.first().map_or(&[][..], |node| &node.links);
        let stays = |link: &&LinkConfig| wanted.contains(&link.name) && ends(old, link) == ends(new, link);
        let changed: Vec<&Name> = first.iter().filter(|link| !stays(link)).map(|link| &link.name).collect();
        let unheard: Vec<&Name> = changed.iter().copied().chain(wanted.difference(&known)).collect();
        if unheard.is_empty() {
            return;
        }
        if changed.len() == first.len() && !(old.witness.relay && new.witness.relay) {
            self.hindrances
                .push(format!("no link is the same in both files, so the nodes would not hear each other: {TOGETHER}"));
        } else {
            self.notes.push(format!("the peer is not heard on {} until it has the same file", names(unheard.iter())));
        }
    }

    /// Each node must go on knowing what the other one signs with.
    fn keys(&mut self, old: &Config, new: &Config, facts: &Facts) {
        let known = |node: Option<&NodeConfig>, key: [u8; 32]| {
            node.is_some_and(|node| node.public_keys().any(|other| other.to_bytes() == key))
        };
        let (me, peer) = (facts.me.index(), facts.me.other().index());
        for (node, knows) in [
            (new.nodes.get(me), known(old.nodes.get(me), facts.my_key)),
            (new.nodes.get(peer), known(new.nodes.get(peer), facts.peer_key)),
        ] {
            if let (Some(node), false) = (node, knows) {
                self.hindrances.push(format!(
                    "the key of {}: the other node would not know it: both files need it as next_public_key first (docs/OPERATIONS.md, Keys); or {TOGETHER}",
                    node.name
                ));
            }
        }
    }

    /// A group that is held here, before and after.
    fn group(&mut self, was: &GroupConfig, is: &GroupConfig, peer_has: Option<bool>, (old, new, me): (&Config, &Config, NodeId)) {
        let group = &is.name;
        let interface = |config: &Config, vip: &VipConfig| config.interface(me, vip.link).map(ToString::to_string);
        let mut added = Vec::new();
        for vip in &is.vips {
            let Some(before) = was.vips.iter().find(|before| before.address == vip.address) else {
                added.push((vip.address, interface(new, vip).unwrap_or_default()));
                continue;
            };
            if (before.prefix, &before.label, interface(old, before)) != (vip.prefix, &vip.label, interface(new, vip)) {
                self.hindrances.push(format!("{vip} of group {group} would be another address to the kernel: {BY_HAND}"));
            }
        }
        let what = names(added.iter().map(|(address, _)| address));
        match peer_has {
            _ if added.is_empty() => {}
            Some(true) => self.ask_for.extend(added),
            Some(false) => self.hindrances.push(format!(
                "{what} of group {group}: the peer's file has not the same addresses there, so it may have them in another group: reload {} first",
                peer(new, me)
            )),
            None => self.hindrances.push(format!(
                "{what} of group {group}: {} is not heard, so nobody knows what its file has: `systemctl restart twinbeat` takes the whole group anew, as a claim",
                peer(new, me)
            )),
        }
        for service in &was.services {
            let key = |kind: &ServiceKind| kind.to_string();
            if !is.services.iter().any(|other| key(&other.kind) == key(&service.kind)) {
                self.notes.push(left_alone(&service.kind, group));
            }
        }
    }

    fn gone(&mut self, was: &GroupConfig) {
        self.notes.push(format!("group {} is in this file no more: its addresses go", was.name));
        self.notes.extend(was.services.iter().map(|service| left_alone(&service.kind, &was.name)));
    }
}

fn left_alone(kind: &ServiceKind, group: &Name) -> String {
    format!("{kind} of group {group} is not twinbeat's any more and goes on: stop it yourself where it is not wanted")
}

fn peer(config: &Config, me: NodeId) -> &Name {
    let [first, second] = &config.nodes;
    if me == NodeId(0) { &second.name } else { &first.name }
}

fn names(all: impl Iterator<Item = impl ToString>) -> String {
    all.map(|name| name.to_string()).collect::<Vec<_>>().join(", ")
}

/// For what both nodes have to have at the same time.
const TOGETHER: &str = "both daemons down, then up (docs/OPERATIONS.md, Changing the file)";
/// For what needs the group elsewhere while it is changed.
const BY_HAND: &str = "`twinbeat standby`, `systemctl restart twinbeat`, `twinbeat resume`";

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
