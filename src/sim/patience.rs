//! Who could serve, as anybody outside could see it, and how long nobody may then.

use super::check::Met;
use super::clock::Moment;
use super::machine::{Power, Process};
use super::network::station;
use super::world::World;
use twinbeat_core::settings::{PROBE_GAP, PROBES, Timing};
use twinbeat_core::time::Span;

/// A write to disk and an order to a service may take this long in a world that is called healthy.
const LOCAL: Span = Span::millis(500);
/// An intent that nobody answers is withdrawn after this at the least.
const ASK: Span = Span::millis(500);
/// A node that met a third machine with the address asks again after this.
const STRANGER: Span = Span::secs(6);
/// A fence that failed just before its device was mended, and the next one.
const FENCE: Span = Span::secs(35);
/// How long a challenge that met the peer keeps it from being turned off for another group's sake.
const MET: Span = Span::secs(120);
/// The longest stand-down after a broken challenge.
const STAND_DOWN: Span = Span::secs(60);

impl World {
    /// A node that could serve a group: it runs, reaches a majority of good witnesses without loss worth the name, and its
    /// services start. What the rules forbid is not counted: a peer that is heard, is deaf and says that it reaches the witness
    /// keeps the node from claiming (SAFETY R4.1).
    pub fn could_serve(&self, node: usize, group: usize) -> bool {
        let machine = &self.machines[node];
        let majority = machine.in_force.witness.majority();
        let good = (0..self.targets()).filter(|witness| self.good_way(node, *witness)).count();
        machine.power == Power::On
            && machine.in_force.groups.get(group).is_some_and(|of| of.vip_links.iter().all(|link| !machine.missing[usize::from(link.0)]))
            && machine.process == Process::Running
            && !machine.stopping
            && !self.network.guarded[node]
            && machine.disk.fails.is_none()
            && !machine.kernel.refuses
            && machine.disk_latency <= LOCAL
            && !machine.services[group].start_fails
            && !self.cannot_fence(node)
            // Where a service must not run twice, the other node's has to have stopped.
            && !self.machines.iter().any(|machine| {
                let service = &machine.services[group];
                service.stop_fails || service.latency > LOCAL || service.slow(LOCAL)
            })
            // What the files forbid until they agree (R11).
            && !machine.brain.as_ref().is_some_and(|brain| brain.file_forbids(group))
            && self.estranged[group].is_none_or(|at| self.now.since(at) > STRANGER)
            && good >= majority
    }

    /// It would have to turn its peer off, and cannot.
    fn cannot_fence(&self, node: usize) -> bool {
        self.machines[node]
            .in_force
            .fencing
            .is_some_and(|fencing| self.fences[node].fails || self.fences[node].most() > fencing.takes)
    }

    /// A witness that runs and does as a plain gateway does, and the way there and back.
    fn good_way(&self, node: usize, witness: usize) -> bool {
        let (public, there) = (self.pair.public(), station(witness));
        let patience = self.machines[node].in_force.timing.delivery / 4;
        let ways = [self.network.path(public, node, there), self.network.path(public, there, node)];
        let gateway = &self.witnesses[witness];
        let whole = ways
            .iter()
            .all(|way| way.loss <= 10_000 && way.corrupt <= 10_000 && way.reorder == 0 && way.delay + way.jitter < patience);
        // One that pinned its entries or answered the sender a while ago is not counted again before enough negative controls stayed away.
        let counts = self.machines[node].brain.as_ref().is_none_or(|brain| brain.counts(witness)) || gateway.turned.is_none();
        gateway.up && !gateway.pins && !gateway.last_hop && counts && self.reaches(node, witness) && whole
    }

    /// Frames of one node reach the other over some link, and it takes them.
    fn hears(&self, node: usize, from: usize) -> bool {
        let heard = |link: usize| {
            let path = self.network.path(link, from, node);
            !self.pair.settings[node].links[link].relay
                && self.machines[node].carrier[link]
                && self.machines[from].carrier[link]
                && !path.cut
                && !path.no_heartbeats
        };
        self.machines[node].knows(&self.machines[from]) && (0..self.network.links()).any(heard)
    }

    /// The peer keeps this node from claiming by the letter of R4.1: it is heard, does not hear, and is no owner itself.
    fn kept_from_claiming(&self, node: usize) -> bool {
        let peer = &self.machines[1 - node];
        peer.runs() && self.hears(node, 1 - node) && !self.hears(1 - node, node)
    }

    /// The peer, which this node would have to turn off, serves another group of this node's file: it is not turned off for this one (SAFETY R4b).
    fn spares_its_peer(&self, node: usize, group: usize) -> bool {
        let settings = &self.machines[node].in_force;
        let others = (0..settings.groups.len()).filter(|other| *other != group);
        settings.fencing.is_some() && others.into_iter().any(|other| self.machines[1 - node].answers(self.now, other))
    }

    /// How long until a change of the world has had its consequences for a node, by its timing: the sum of what a claim takes
    /// (silence, own reachability, probes, a challenge) or an agreement (patience, a refused intent, another one), and what is
    /// left of a stand-down.
    pub(super) fn settle(&self, node: usize) -> Span {
        let settings = &self.machines[node].in_force;
        let t = &settings.timing;
        let silence = match self.check.met[node] {
            Met::Proven => t.dead,
            Met::Never => t.init_dead,
            // Words that may be old ones break a silence once, perhaps just before its end (R12).
            Met::Unproven => t.init_dead * 2,
        };
        let reach = settings.witness.interval * u64::from(settings.witness.rise) + settings.witness.witness_time(t.delivery);
        // With the longest lease that the peer has ever announced, whatever this node's own is (R11).
        let challenge = t.outrun(t.lease.max(self.check.longest_lease())) + t.slack();
        let claim = silence.max(reach) + PROBES + PROBE_GAP * 2 + challenge + t.delivery * 2 + t.echo_period() * 2;
        // Both have a part in it, and what the one was granted the other leaves to it for a while by its own file.
        let agreement =
            |t: &Timing| t.warn + t.dead + t.dead * 2 + ASK.max(t.heartbeat * 3) + t.heartbeat * 10 + PROBES + PROBE_GAP * 2;
        let agree = self.machines.iter().map(|machine| agreement(&machine.in_force.timing)).max().unwrap_or_default() + reach;
        let tries = self.check.stood_down[node].iter().copied().max().unwrap_or(0);
        // The longest stand-down, what the second node adds to it, and the challenge after it.
        let wait = if tries == 0 { Span::ZERO } else { (challenge * (1 << tries.min(10))).min(STAND_DOWN) + challenge * 3 };
        // A try that failed is made again after half a minute.
        let fence = settings.fencing.map_or(Span::ZERO, |fencing| fencing.delay + FENCE + self.fences[node].most());
        // Two that have no name for each other break each other's challenges, and what one group met keeps the other's order back for a while.
        let estranged = settings.fencing.is_some() && settings.groups.len() > 1 && !self.machines[0].knows(&self.machines[1]);
        let fence = fence + if estranged { MET + challenge } else { Span::ZERO };
        claim.max(agree) + wait + fence + LOCAL * 2
    }

    /// How long a healthy owner may be overlooked by the gateway: its echoes stay away, it announces; or the gateway, without an
    /// entry, asks everybody again.
    fn overlooked(&self, node: usize) -> Span {
        let settings = &self.machines[node].in_force;
        settings.witness.witness_time(settings.timing.delivery) + settings.timing.heartbeat + super::gateway::RETRY * 2
    }

    pub(super) fn audit(&mut self) {
        self.review_need();
        for group in (0..self.stranger.len()).filter(|group| self.stranger[*group]) {
            self.estranged[group] = Some(self.now);
        }
        for group in 0..self.stranger.len() {
            let owner = (0..2).find(|node| self.machines[*node].answers(self.now, group));
            let may = |node: usize| !self.kept_from_claiming(node) && !self.spares_its_peer(node, group);
            let could = (0..2).filter(|node| self.could_serve(*node, group) && may(*node));
            let could = could.map(|node| (node, self.settle(node))).min_by_key(|(_, bound)| *bound);
            // A service that just failed makes a node unfit for a while.
            let unfit = self.machines.iter().any(|machine| machine.services[group].failed.is_some_and(|at| self.lately(at)));
            self.check.idle(self.now, group, could.filter(|_| owner.is_none() && !unfit));

            let by = owner.filter(|node| {
                let service = &self.machines[*node].services[group];
                let ready = self.could_serve(*node, group) && (service.running || !service.exists());
                // One that found its gate open announces nothing before it has a ground of its own, and may get none: then the gate closes.
                let lease = self.pair.timing().outrun(self.check.longest_lease());
                let settled = self.now.since(self.machines[*node].started) > lease;
                ready && settled && self.good_way(*node, 0) && self.served(group).is_none()
            });
            self.check.unserved(self.now, group, by.map(|node| (node, self.overlooked(node))));
        }
    }

    fn lately(&self, at: Moment) -> bool {
        self.now.since(at) <= Span::secs(32)
    }
}
