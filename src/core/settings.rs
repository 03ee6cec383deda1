//! What the core is told about its world. Made by `config` from the file, by the simulator from a scenario; checked there, not here.

use serde::{Deserialize, Serialize};

use super::id::{GroupId, LinkId, Name, NodeId};
use super::time::Span;
use crate::prelude::*;

/// ARP probes before a claim: this many, this far apart (SAFETY R4.3).
pub const PROBE_COUNT: u32 = 3;
/// Between two ARP probes.
pub const PROBE_GAP: Span = Span::millis(20);
/// A grant that is not yet on disk waits so long for it, and is then said without (SAFETY R13).
pub const GRANT_WAITS: Span = Span::millis(300);
/// The whole of the probes: "probes" in SAFETY's timing relation.
pub const PROBES: Span = Span::millis(60);
/// How late the kernel may act on a timeout, with the nftables gate.
pub const KERNEL_SLACK: Span = Span::millis(5);
/// The same where the address lifetime is the only gate (limit f).
pub const WEAK_KERNEL_SLACK: Span = Span::millis(500);

/// All that the decision depends on besides its inputs.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// The cluster's name.
    pub cluster: Name,
    /// Which of the two nodes I am.
    pub me: NodeId,
    /// The nodes' names, sorted; a node's place here is its [`NodeId`].
    pub nodes: [Name; 2],
    /// The same on both nodes when their configurations agree (SAFETY R11).
    pub digest: u64,
    /// Every path for heartbeats, the relay included (as the last one, when it is configured).
    pub links: Vec<LinkSettings>,
    /// The third party.
    pub witness: WitnessSettings,
    /// The timing.
    pub timing: Timing,
    /// What moves between the nodes.
    pub groups: Vec<GroupSettings>,
    /// So many groups go into one heartbeat; more are told in parts.
    #[serde(default = "all", skip_serializing_if = "is_all")]
    pub groups_in_beat: usize,
    /// This node can turn the peer off (SAFETY R4b).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fencing: Option<FencingSettings>,
}

/// As many groups as there are.
fn all() -> usize {
    usize::MAX
}

fn is_all(groups: &usize) -> bool {
    *groups == usize::MAX
}

/// How this node goes about fencing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FencingSettings {
    /// Where no challenge is possible the second node waits so much longer, so that two nodes that lost each other do not turn each other off.
    pub delay: Span,
    /// An order is carried out, or has failed, after this at the latest.
    pub takes: Span,
}

impl Settings {
    /// A node's name.
    pub fn name_of(&self, node: NodeId) -> &Name {
        let [first, second] = &self.nodes;
        if node == NodeId(0) { first } else { second }
    }

    /// A group, by its place.
    pub fn group(&self, id: GroupId) -> Option<&GroupSettings> {
        self.groups.get(usize::from(id.0))
    }
}

/// One path for heartbeats.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LinkSettings {
    /// Its name, the same on both nodes.
    pub name: Name,
    /// Heartbeats carried by the witness (SAFETY R4a).
    pub relay: bool,
    /// No path for heartbeats: an interface on which there are addresses, or that a group tracks. Its name is this node's interface.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub silent: bool,
}

/// The witness: the gateway, or several hosts.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct WitnessSettings {
    /// The link that is the public side of each node.
    pub link: LinkId,
    /// How many targets; a majority counts.
    pub targets: u8,
    /// One bit for each target that answers no echoes and is asked by ARP or neighbour discovery: it counts for reachability, and is
    /// no register.
    #[serde(default)]
    pub arp_only: u16,
    /// Digest of the targets and of how each is asked: the same on both nodes, or no claim (SAFETY R11).
    #[serde(default)]
    pub names: u32,
    /// Between two echoes while all is well.
    pub interval: Span,
    /// Echoes missing in a row before the witness counts as unreachable.
    pub fall: u32,
    /// Answers in a row before it counts as reachable again.
    pub rise: u32,
    /// `hold`: serve on with no peer and no witness, by the administrator's own word (SAFETY R8).
    pub island_hold: bool,
}

/// The timing; its relations are checked by `config` (SAFETY, Timing).
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Timing {
    /// Between two heartbeats.
    pub heartbeat: Span,
    /// A link this long without a heartbeat is late; a peer this long without any is suspected.
    pub warn: Span,
    /// How long a ground lasts.
    pub lease: Span,
    /// A peer this long without any heartbeat is silent.
    pub dead: Span,
    /// The same after a start.
    pub init_dead: Span,
    /// The longest that an answer may travel.
    pub delivery: Span,
    /// 1000 x (1 + rate bound): how much one clock may outrun the other.
    pub rate: u64,
    /// No nftables gate here: the address lifetime alone guards (limit f).
    pub weak_gate: bool,
    /// Where links that lose their carrier say more than silence does, evidence against the peer is gathered at once (SAFETY R4.1).
    #[serde(default)]
    pub early_claim: bool,
}

impl Timing {
    /// Detection in about a second, as the drills and the tests use it.
    pub const SECOND: Timing = Timing {
        heartbeat: Span::millis(100),
        warn: Span::millis(300),
        lease: Span::millis(320),
        dead: Span::secs(1),
        init_dead: Span::secs(5),
        delivery: Span::millis(50),
        rate: 1200,
        weak_gate: false,
        early_claim: true,
    };

    /// Between two echoes while something is suspected: heartbeat / 10, at least 5 ms, at most 100 ms.
    pub fn echo_period(&self) -> Span {
        (self.heartbeat / 10).clamp(Span::millis(5), Span::millis(100))
    }

    /// Two grounds a heartbeat apart leave the newest no room below a third of the lease: return path and heartbeat must then
    /// alternate instead of going out together.
    pub fn tight(&self) -> bool {
        self.lease / 3 < self.heartbeat + self.echo_period()
    }

    /// How late the kernel may close a gate.
    pub fn kernel_slack(&self) -> Span {
        if self.weak_gate { WEAK_KERNEL_SLACK } else { KERNEL_SLACK }
    }

    /// echo period + delivery + kernel slack.
    pub fn slack(&self) -> Span {
        self.echo_period() + self.delivery + self.kernel_slack()
    }

    /// `span` on the slower of two clocks, counted on the faster one: span x r.
    pub fn outrun(&self, span: Span) -> Span {
        span.scaled(self.rate)
    }

    /// The least `dead` that lets a hung owner's gate close and a challenge stand before a claim (SAFETY, Timing).
    pub fn least_dead(&self) -> Span {
        let lease = self.outrun(self.lease);
        self.warn.max(lease) + PROBES + lease + self.delivery * 2 + self.echo_period() + self.kernel_slack()
    }
}

/// The fewest echoes a second that a witness must answer, both nodes together, rounded up: while they are separated each asks from its own
/// address, the owner and the challenger from each group's VIP too, and the challenger in the peer's name, once an interval; eight tenths
/// more leave room for what comes at one instant, and for what is asked again.
pub fn least_a_second(interval: Span, groups: usize) -> u64 {
    let kinds = u64::try_from(groups).unwrap_or(u64::MAX).saturating_add(1).saturating_mul(2).saturating_add(1);
    kinds.saturating_mul(1_800_000_000).div_ceil(interval.0.max(1))
}

impl WitnessSettings {
    /// [`WitnessSettings::names`] of these targets; the order does not matter, since a majority counts.
    pub fn names_of(targets: impl Iterator<Item = (String, bool)>) -> u32 {
        let mut all: Vec<String> = targets.map(|(target, arp)| format!("{target} {}", u8::from(arp))).collect();
        all.sort_unstable();
        super::files::digest(all.iter().map(String::as_str))
    }

    /// How long own echoes must stay away before the witness counts as unreachable: fall x interval + delivery.
    pub fn witness_time(&self, delivery: Span) -> Span {
        self.interval * u64::from(self.fall) + delivery
    }

    /// How many targets are a majority.
    pub fn majority(&self) -> usize {
        (usize::from(self.targets) / 2).saturating_add(1)
    }

    /// Whether a target's neighbour table can be read, by echoes: the others are asked by ARP alone.
    pub fn is_register(&self, target: usize) -> bool {
        target < 16 && self.arp_only & 1 << target == 0
    }

    /// How many registers are a majority. Any two majorities of the registers share one: an owner that holds one and a claimant
    /// that holds one would have to be named by the same table at once. So those that are no registers may not be counted here.
    pub fn register_majority(&self) -> usize {
        (0..usize::from(self.targets)).filter(|target| self.is_register(*target)).count().div_euclid(2).saturating_add(1)
    }
}

/// One or more VIPs and services that move together.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct GroupSettings {
    /// Its name.
    pub name: Name,
    /// Where it should be while both nodes can serve.
    pub preferred: Option<NodeId>,
    /// Whether and when it goes back to the preferred node.
    pub failback: Failback,
    /// The VIPs as written, the guard VIP first; for messages only.
    pub vips: Vec<Name>,
    /// The link of each VIP, in the same order.
    #[serde(default)]
    pub vip_links: Vec<LinkId>,
    /// Further interfaces whose carrier makes this node less fit for the group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub track: Vec<LinkId>,
    /// Whether there are services at all, and whether all of them may run on both nodes during a move.
    pub services: Services,
    /// What becomes of a node on which one does not stop that must not run twice.
    #[serde(default, skip_serializing_if = "StopFailure::is_block")]
    pub stop_failure: StopFailure,
}

/// What becomes of a node on which a service does not stop that must not run twice (SAFETY R4b).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub enum StopFailure {
    /// It is told to stop again, and nobody serves until it has.
    #[default]
    Block,
    /// The peer turns the node off.
    Fence,
    /// The node reboots itself.
    Reboot,
}

impl StopFailure {
    /// Whether nothing comes of it.
    pub fn is_block(&self) -> bool {
        *self == StopFailure::Block
    }
}

/// What the core must know of a group's services.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Services {
    /// None.
    None,
    /// All may run on both nodes during a move: started on the new owner before the VIP moves.
    Warm,
    /// At least one must not: it is stopped on the old owner before the new one starts it.
    Cold,
}

/// What happens when the preferred node is back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Failback {
    /// Go back as soon as it is fit and has been so for a little while.
    Auto,
    /// Stay until an administrator moves it.
    Manual,
    /// Go back when the preferred node has been fit for this long.
    After(Span),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rates_of_the_documentation_are_those_of_the_profiles() {
        for (interval, groups, rate) in [(200, 1, 45), (2_000, 1, 5), (50, 1, 180), (200, 8, 171)] {
            assert_eq!(least_a_second(Span::millis(interval), groups), rate);
        }
    }

    #[test]
    fn two_majorities_of_the_registers_always_share_one() {
        for targets in 1..=9_u8 {
            for arp_only in 0..1_u16 << targets {
                let w = WitnessSettings {
                    link: LinkId(0),
                    targets,
                    arp_only,
                    names: 0,
                    interval: Span::millis(100),
                    fall: 3,
                    rise: 5,
                    island_hold: false,
                };
                let registers = (0..usize::from(targets)).filter(|t| w.is_register(*t)).count();
                assert!(2 * w.register_majority() > registers, "{targets} {arp_only:b}");
                assert!(registers == 0 || w.register_majority() <= registers);
            }
        }
    }
}
