//! What the checks ask of the world: whether a move was needed, which limits of SAFETY.md cover what is seen, whether all is well again.

use super::clock::Moment;
use super::machine::Machine;
use super::promise::Promise;
use super::world::World;
use twinbeat_core::settings::Failback;
use twinbeat_core::time::Span;

/// In a calm world nothing moves more often than this after the last thing that happened: to the other node and back, twice.
const MOST_MOVES: u32 = 4;

/// A command may take this long to be carried out.
const COMMAND: Span = Span::secs(60);
/// After a service failed, a node is not eligible for half a minute of its own clock.
const UNFIT: Span = Span::secs(35);

impl World {
    /// Looks again at which nodes could serve.
    pub(super) fn review_need(&mut self) {
        for group in 0..self.stranger.len() {
            for node in 0..2 {
                let service = &self.machines[node].services[group];
                let sound = service.failed.is_none_or(|at| self.now.since(at) > UNFIT);
                let good = sound && self.could_serve(node, group) && !self.is_cut(node, group);
                // To whom it goes back: what nobody can know beforehand (a service that will not start) does not count.
                let fit = self.machines[node].runs() && self.machines[node].carrier[self.pair.public()];
                let need = &mut self.check.need;
                let since = &mut need.good[node][group];
                if since.is_some() || fit {
                    need.was_fit[node][group] = Some(self.now);
                }
                *since = if good { since.or(Some(self.now)) } else { None };
            }
        }
    }

    /// An interface of the group that is no link, or one that it tracks, has no carrier on this node.
    fn is_cut(&self, node: usize, group: usize) -> bool {
        let machine = &self.machines[node];
        let Some(of) = machine.in_force.groups.get(group) else { return false };
        let silent = of.vip_links.iter().filter(|link| machine.in_force.links[usize::from(link.0)].silent);
        silent.chain(&of.track).any(|link| !machine.carrier[usize::from(link.0)])
    }

    /// A group went from one node to another: was there need?
    pub(super) fn judge_move(&mut self, group: usize, from: usize, to: usize) {
        self.review_need();
        let need = &mut self.check.need;
        need.moved[group] += 1;
        if need.calm && need.moved[group] > MOST_MOVES {
            let (times, name) = (need.moved[group], &self.pair.settings[0].groups[group].name);
            let text = format!("{name} has moved {times} times since anything happened");
            self.check.report(self.now, Promise::NoNeedlessMove, text);
        }
        // What either was told: the files may differ, and number the nodes otherwise.
        let prefers = |node: usize| {
            let settings = &self.machines[node].in_force;
            let number = if node == to { settings.me } else { settings.me.other() };
            let of = settings.groups.get(group);
            of.is_some_and(|of| of.preferred == Some(number) && of.failback != Failback::Manual)
        };
        let preferred = prefers(0) || prefers(1);
        let timing = self.pair.timing();
        // What came before has had its consequences by then.
        let window = self.settle(from);
        let need = &self.check.need;
        let left = need.left[from][group];
        let lately = |at: Option<Moment>, window: Span| at.is_some_and(|at| left.since(at) <= window);
        let healthy = need.good[from][group].is_some_and(|since| left.since(since) > window);
        let lease = timing.outrun(timing.lease) + timing.slack();
        let lied_to = need.lies.len() == 3 && need.lies.iter().all(|at| left.since(*at) <= lease);
        // Standby by command, where somebody ever gave such a command.
        let held = |node: usize| {
            let brain = self.machines[node].brain.as_ref();
            need.commanded[group].is_some() && brain.is_some_and(|brain| brain.held(group))
        };
        let asked = held(from) || lately(need.commanded[group], COMMAND + window);
        let wanted = preferred && !held(to) && lately(need.was_fit[to][group], window);
        if healthy && !asked && !wanted && !lied_to && !lately(need.shaken, window) {
            let (a, b) = (self.pair.node_name(from), self.pair.node_name(to));
            let name = &self.pair.settings[0].groups[group].name;
            let since = left.since(need.good[from][group].unwrap_or_default());
            let text = format!(
                "{name} went from {a} to {b}, though {a} had been healthy and reachable for {since} and nobody had asked for it"
            );
            self.check.report(self.now, Promise::NoNeedlessMove, text);
        }
    }

    /// For how long a limit of SAFETY.md covers that both answer: (a) a machine was paused: until its gate closes by itself, which
    /// an answer that waited in its buffers may put off once; (e) a ruleset was flushed, until the address's lifetime ends; (l) a
    /// witness began to answer the sender where nothing shows it, in the time of a challenge.
    pub(super) fn excuse(&self, group: usize) -> Span {
        let timing = self.check.timing;
        let lease = timing.outrun(timing.lease);
        let (recent, paused) = (lease + timing.slack(), lease * 2 + Span::secs(1));
        // Twice the lease and two seconds at the least, in whole seconds, and up to half a second late (LAB 1).
        let lifetime = (timing.lease * 2).max(Span::secs(2));
        let lifetime = timing.outrun(Span::secs(lifetime.0.div_ceil(1_000_000_000)) + Span::millis(500));
        let covers = |machine: &Machine| {
            let unpaused = machine.unpaused.is_some_and(|at| self.now.since(at) <= recent);
            let mono = machine.clock.read(self.now);
            let ungated = !machine.kernel.table && machine.kernel.has_address(mono, group);
            (if unpaused { paused } else { Span::ZERO }).max(if ungated { lifetime } else { Span::ZERO })
        };
        let challenge = lease * 2 + timing.slack() * 2 + Span::secs(2);
        if self.network.turned_unseen.is_some_and(|at| self.now.since(at) <= challenge) {
            return Span(u64::MAX);
        }
        covers(&self.machines[0]).max(covers(&self.machines[1]))
    }

    /// After everything healed: exactly one kernel answers for each group, and its clients are served.
    pub fn demand_health(&mut self) {
        for group in 0..self.stranger.len() {
            let answering = (0..2).filter(|node| self.machines[*node].answers(self.now, group)).count();
            let name = self.pair.settings[0].groups[group].name.clone();
            let known = self.machines.iter().all(|machine| group < machine.in_force.groups.len());
            // Nodes of different names are apart for good: where no witness can be used as a register yet, neither may claim (R4).
            let apart = !self.machines[0].knows(&self.machines[1]);
            let stuck = apart && (0..2).all(|node| !self.could_serve(node, group));
            // With fencing they take longer to find out who may than a story waits: that has its own bound.
            let stuck = stuck || (apart && self.machines.iter().any(|machine| machine.in_force.fencing.is_some()));
            let text = match (answering, self.served(group)) {
                (1, Some(_)) => continue,
                (0 | 1, _) if !known => continue,
                (0, _) if stuck => continue,
                (1, None) => format!("everything healed, one node answers for {name}, yet its clients are not served"),
                (n, _) => format!("everything healed, yet {n} nodes answer for {name}"),
            };
            self.check.report(self.now, Promise::Heals, text);
        }
    }
}
