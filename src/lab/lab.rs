//! The lab: a pair with everything around it, each machine a named network namespace; the recipe's pair, or any [`Plan`].
//!
//! All cables run through bridges in the namespace `switch`, so that carrier and frames are cut there, outside the nodes: what a node does
//! to its own interfaces and rules, and what a daemon does to its gate, never mixes with the drill's faults. All bridges but the public one
//! have two ports only and stand for direct cables: where one end loses carrier, the other does too.

use std::sync::{Mutex, MutexGuard};

use anyhow::{Context, Result, bail};

use super::damage::Damage;
use super::netlink;
use super::ns::{self, Namespace, Prefix};
use super::plan::Plan;
pub use super::recipe::{
    BOTH, CLIENT, Cable, GATEWAY, GATEWAY6, LANCLIENT, LANCLIENT_MAC, NODES, VIP, VIP_PREFIX, VIP6, node_id, node_name,
};
use super::recipe::{OBSERVER_PORT, witness_port};
use twinbeat_core::id::{Mac, NodeId};

/// The namespaces, wired. Dropping it kills what runs inside and removes them all.
#[derive(Debug)]
pub struct Lab {
    /// All bridges; every cable ends here.
    pub switch: Namespace,
    /// The gateway: forwards between the LAN and the client, and is the (first) witness.
    pub gw: Namespace,
    /// Further witnesses.
    pub witnesses: Vec<Namespace>,
    /// An observer on the LAN; no silent cut ever touches its frames.
    pub lanclient: Namespace,
    /// A client behind the gateway.
    pub client: Namespace,
    /// What it was built from.
    pub plan: Plan,
    nodes: [Namespace; 2],
    damage: Mutex<Damage>,
    prefix: Prefix,
}

impl Lab {
    /// The recipe's lab, see [`Lab::build_for`].
    pub fn build() -> Result<Lab> {
        Lab::build_for(Plan::recipe())
    }

    /// Sweeps what dead runs left, then builds a lab of its own. Needs [`ns::privileged`].
    pub fn build_for(plan: Plan) -> Result<Lab> {
        if !ns::privileged() {
            bail!("a lab needs root, or a user namespace (ns::enter_user_namespace)");
        }
        ns::sweep();
        let prefix = Prefix::new()?;
        let make = |what: &str| Namespace::create(&prefix, what);
        let lab = Lab {
            switch: make("switch")?,
            gw: make("gw")?,
            witnesses: (1..plan.witnesses.len()).map(|n| make(&format!("witness{}", n + 1))).collect::<Result<_>>()?,
            lanclient: make("lanclient")?,
            client: make("client")?,
            nodes: [make(&node_file(plan.name(NodeId(0))))?, make(&node_file(plan.name(NodeId(1))))?],
            damage: Mutex::new(Damage::default()),
            plan,
            prefix,
        };
        lab.wire().context("wire the lab")?;
        Ok(lab)
    }

    /// A node's namespace.
    pub fn node(&self, node: NodeId) -> &Namespace {
        &self.nodes[node.index() % 2]
    }

    /// A node's name.
    pub fn name(&self, node: NodeId) -> &str {
        self.plan.name(node)
    }

    /// The namespace of a witness; the first is the gateway.
    pub fn witness(&self, witness: usize) -> &Namespace {
        witness.checked_sub(1).and_then(|n| self.witnesses.get(n)).unwrap_or(&self.gw)
    }

    /// The prefix of all its namespaces' names.
    pub fn prefix(&self) -> &str {
        self.prefix.as_str()
    }

    /// What is broken now.
    pub(super) fn damage(&self) -> MutexGuard<'_, Damage> {
        self.damage.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// One more machine on the LAN, for as long as the namespace lives: `name`, with this MAC on its `eth0`, and without an address.
    pub(super) fn one_more(&self, name: &str, mac: Mac) -> Result<Namespace> {
        let ns = Namespace::create(&self.prefix, name)?;
        netlink::settings(&ns, &HOST_SETTINGS)?;
        netlink::cable(&self.switch, &format!("lan-{name}"), Some(&self.plan.bridge(self.plan.public)), &ns, "eth0", mac)?;
        Ok(ns)
    }

    fn wire(&self) -> Result<()> {
        let plan = &self.plan;
        netlink::settings(&self.switch, &[("ipv6/conf/all/disable_ipv6", "1"), ("ipv6/conf/default/disable_ipv6", "1")])?;
        let hosts: Vec<&Namespace> =
            [&self.gw, &self.lanclient, &self.client].into_iter().chain(&self.nodes).chain(&self.witnesses).collect();
        for ns in &hosts {
            netlink::settings(ns, &HOST_SETTINGS)?;
        }
        netlink::settings(&self.gw, &[("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")])?;
        let bridges: Vec<String> = plan.all().into_iter().map(|id| plan.bridge(id)).collect();
        netlink::bridges(&self.switch, &bridges)?;
        for node in BOTH {
            for id in plan.all() {
                let end = plan.end(id, node);
                let (port, bridge) = (plan.port(id, node), plan.bridge(id));
                netlink::cable(&self.switch, &port, Some(&bridge), self.node(node), &end.interface, end.mac)?;
                netlink::add_addresses(self.node(node), &end.interface, &end.addresses)?;
            }
        }
        let lan = plan.bridge(plan.public);
        for (number, addresses) in plan.witnesses.iter().enumerate() {
            let (ns, mac) = (self.witness(number), Mac([2, 0, 0, 0, 8, 1 + number as u8]));
            netlink::cable(&self.switch, &witness_port(number), Some(&lan), ns, "eth0", mac)?;
            netlink::add_addresses(ns, "eth0", addresses)?;
        }
        netlink::cable(&self.switch, OBSERVER_PORT, Some(&lan), &self.lanclient, "eth0", LANCLIENT_MAC)?;
        netlink::add_addresses(&self.lanclient, "eth0", &plan.observer)?;
        netlink::cable(&self.gw, "eth1", None, &self.client, "eth0", Mac([2, 0, 0, 0, 9, 2]))?;
        for (gateway, client) in &plan.outside {
            netlink::add_addresses(&self.gw, "eth1", &[*gateway])?;
            netlink::add_addresses(&self.client, "eth0", &[*client])?;
        }
        for ns in hosts {
            netlink::link_up(ns, "lo", true)?;
        }
        let gateways: Vec<_> = plan.witnesses.first().into_iter().flatten().map(|(ip, _)| *ip).collect();
        for ns in [&self.lanclient, &self.nodes[0], &self.nodes[1]].into_iter().chain(&self.witnesses) {
            netlink::default_routes(ns, &gateways)?;
        }
        netlink::default_routes(&self.client, &plan.outside.iter().map(|((ip, _), _)| *ip).collect::<Vec<_>>())?;
        for node in BOTH {
            self.know_observer(node)?;
        }
        Ok(())
    }

    /// Pins the observer's own addresses on a node: else its frames would make the node ask for them, with the VIP as the sender of
    /// the question, and that would be an announcement.
    pub(super) fn know_observer(&self, node: NodeId) -> Result<()> {
        let entries: Vec<_> = self.plan.observer.iter().map(|(ip, _)| (*ip, LANCLIENT_MAC)).collect();
        netlink::pin_neighbours(self.node(node), &self.plan.end(self.plan.public, node).interface, &entries)
    }
}

/// The part of a namespace's name that is the node's own; one that another machine of the lab has gets an addition.
fn node_file(name: &str) -> String {
    let taken = ["switch", "gw", "lanclient", "client", "attacker", "stranger"].contains(&name) || name.starts_with("witness");
    if taken { format!("node-{name}") } else { name.to_owned() }
}

/// No duplicate address detection (a lab address must work at once), no router advertisements, no reverse path filter.
const HOST_SETTINGS: [(&str, &str); 8] = [
    ("ipv6/conf/all/accept_dad", "0"),
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/all/accept_ra", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
    ("ipv4/conf/all/rp_filter", "0"),
    ("ipv4/conf/default/rp_filter", "0"),
    ("ipv4/ping_group_range", "0 0"),
    ("ipv4/ip_unprivileged_port_start", "0"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_nodes_are_found_by_name() {
        assert_eq!(Cable::of_link("bond"), Some(Cable::Bond));
        assert_eq!(Cable::of_link("eth7"), None);
        assert_eq!(node_id("master2"), Some(NodeId(1)));
        assert_eq!(node_id("master3"), None);
    }
}
