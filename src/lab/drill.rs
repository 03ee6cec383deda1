//! A fault of the catalogue on a pair: applied, held, healed, and judged from outside.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::catalogue::{Fault, Gap, SLACK, Step};
use super::connection::{Connection, Kept};
use super::lab::BOTH;
use super::pair::Pair;
use super::probe::Outcome;
use super::timeline::At;
use twinbeat_core::id::NodeId;
use twinbeat_core::view::View;
use twinbeat_core::words::GroupRole;

/// What a fault did.
#[derive(Clone, PartialEq, Debug)]
pub struct Verdict {
    /// While it was held, the fault itself included: the first group that the owner served.
    pub fault: Outcome,
    /// From the heal on.
    pub heal: Outcome,
    /// The other groups, by their place: while it was held, and from the heal on.
    pub others: Vec<(usize, Outcome, Outcome)>,
    /// What was not as it shall be; empty: passed.
    pub failures: Vec<String>,
    /// From the fault to the end.
    pub window: (At, At),
}

/// For `netns-tests/drills.rs`, and in a debug build only: a defect of the drill, as it would show while a fault is held.
#[allow(clippy::panic)]
fn panic_if_asked() {
    if cfg!(debug_assertions) && std::env::var_os("TWINBEAT_TEST_PANIC").is_some() {
        panic!("asked to by TWINBEAT_TEST_PANIC");
    }
}

impl Pair {
    /// Applies a fault to the owner of the first group, holds it, heals it, waits until all is where it should be, and judges. `seen` is called about
    /// every 100 ms meanwhile.
    pub fn drill(&mut self, fault: &Fault, stop: &AtomicBool, seen: &mut dyn FnMut(&Pair)) -> Result<Verdict> {
        self.owner = self.probes.serving(0).first().copied().unwrap_or(NodeId(0));
        let groups = self.lab.plan.groups.len();
        let judged: Vec<usize> = (0..groups).filter(|group| self.probes.serving(*group) == [self.owner]).collect();
        let kept = fault.keeps.then(|| self.kept()).transpose()?;
        let from = self.probes.now();
        for step in fault.apply {
            self.step(*step).with_context(|| format!("{step:?}"))?;
            seen(self);
        }
        // What takes `dead` must have the time for it.
        let dead = Duration::from_nanos(self.lab.plan.timing.dead.0);
        self.watch(fault.hold.max(dead + dead / 2), stop, seen);
        panic_if_asked();
        let healed = self.probes.now();
        for step in fault.heal {
            self.step(*step).with_context(|| format!("{step:?}"))?;
            seen(self);
        }
        let limit = self.patience().max(HEAL_LIMIT);
        let until = Instant::now() + limit;
        let mut back = false;
        while Instant::now() < until && !stop.load(Ordering::Relaxed) && !back {
            back = self.wait_for(None, Duration::from_millis(400), stop).is_ok();
            seen(self);
        }
        // The next fault needs a standby that could take over; a little while, not a demand.
        let ready = Instant::now() + Duration::from_secs(10);
        self.watch(Duration::from_secs(2), stop, seen);
        while Instant::now() < ready && !self.takeover_ready() && !stop.load(Ordering::Relaxed) {
            self.watch(Duration::from_millis(200), stop, seen);
        }
        if stop.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        let to = self.probes.now();
        let both = |group: usize| Some((self.probes.outcome(group, from, healed)?, self.probes.outcome(group, healed, to)?));
        let first = judged.first().copied().unwrap_or(0);
        let (during, after) = both(first).context("nobody watches the first group")?;
        let others: Vec<_> = (0..groups).filter(|g| *g != first).filter_map(|g| both(g).map(|(d, a)| (g, d, a))).collect();
        let mut failures = self.failures(fault, first, &during, &after, true);
        for (group, during, after) in &others {
            let more = self.failures(fault, *group, during, after, judged.contains(group));
            failures.extend(more.into_iter().map(|text| format!("{}: {text}", self.lab.plan.groups[*group].name)));
        }
        if let Some((services, connection)) = kept {
            let lives = fault.apply.iter().filter(|s| matches!(s, Step::ComeBack(_) | Step::Kill(_))).count();
            failures.extend(self.lost(&services, lives, &connection.kept()));
        }
        if !back {
            failures.push(format!("not every group is served alone, where it should be, {limit:?} after the heal"));
        }
        Ok(Verdict { fault: during, heal: after, others, failures, window: (from, to) })
    }

    /// Every owner says that the other node could take over.
    fn takeover_ready(&self) -> bool {
        let views = BOTH.map(|node| self.view(node));
        let ready = |group: usize| {
            let owns = |view: &View| view.groups.get(group).is_some_and(|g| g.role == GroupRole::Owner && g.takeover_ready.ready);
            views.iter().flatten().any(owns)
        };
        (0..self.lab.plan.groups.len()).all(ready)
    }

    /// The longest gap that a group's clients may see.
    fn bound(&self, fault: &Fault, group: usize) -> Option<Duration> {
        let plan = &self.lab.plan;
        let bound = match fault.gap {
            Gap::Witness => Duration::from_nanos(plan.witness_time.0) + Duration::from_millis(5) + SLACK,
            _ => fault.gap_bound(&plan.timing)?,
        };
        // What must not run twice is stopped here before it is started there.
        let cold = plan.groups.get(group).is_some_and(|g| !g.warm) && !bound.is_zero();
        Some(if cold { bound + COLD } else { bound })
    }

    /// What is not as the catalogue says it shall be; a group that the owner did not serve is judged by its owners alone.
    fn failures(&self, fault: &Fault, group: usize, during: &Outcome, after: &Outcome, judged: bool) -> Vec<String> {
        let bound = self.bound(fault, group).filter(|_| judged);
        let moves = judged.then_some(fault.moves);
        failures(bound, moves, during, after)
    }

    /// What a fault must leave as it is on the owner: the service's processes, and a client's open connection.
    fn kept(&self) -> Result<(Vec<u32>, Connection)> {
        let services = self.services(self.owner);
        if services.is_empty() {
            bail!("no service runs on the owner");
        }
        Ok((services, Connection::open(&self.lab, self.probes.first().vip, self.site.page(0).unwrap_or(80))?))
    }

    /// What of that was lost.
    fn lost(&self, services: &[u32], lives: usize, connection: &Kept) -> Vec<String> {
        let mut found = Vec::new();
        let starts = self.starts(self.owner);
        if starts != lives {
            found.push(format!("the daemon was started again {starts} times, shall be {lives}"));
        }
        let now = self.services(self.owner);
        if now != services {
            found.push(format!("the service's processes were {services:?} and are {now:?}"));
        }
        if let Some(how) = &connection.broken {
            found.push(format!("a client's open connection broke {how}"));
        }
        if connection.answers == 0 {
            found.push("a client's open connection brought no answer".into());
        }
        found
    }
}

/// What is not as it shall be.
fn failures(bound: Option<Duration>, moves: Option<(usize, usize)>, during: &Outcome, after: &Outcome) -> Vec<String> {
    let mut found = Vec::new();
    for (when, outcome) in [("while held", during), ("after the heal", after)] {
        if !outcome.two_owners.is_zero() {
            found.push(format!("two nodes answered for {:?} {when}", outcome.two_owners));
        }
    }
    if let Some(bound) = bound
        && during.gap > bound
    {
        found.push(format!("gap {:?}, shall be at most {bound:?}", during.gap));
    }
    if let Some((least, most)) = moves {
        if !(least..=most).contains(&during.moves()) {
            found.push(format!("{} moves, shall be {least} to {most}", during.moves()));
        }
        if after.moves() > 1 {
            found.push(format!("{} moves after the heal, shall be one at most", after.moves()));
        }
    }
    found
}

/// How long after the heal the pair may take at the least until all is where it should be: init_dead, hold-downs and a stand-down.
const HEAL_LIMIT: Duration = Duration::from_secs(30);
/// For stopping and starting the lab's small services one after the other.
const COLD: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue;

    fn outcome(gap: u64, two: u64, moves: usize) -> Outcome {
        let served = (0..=moves).map(|i| (Duration::ZERO, NodeId((i % 2) as u8))).collect();
        let ms = Duration::from_millis;
        Outcome { gap: ms(gap), lost: ms(gap), page_gap: ms(0), two_owners: ms(two), served, lateness: ms(0), discarded: 0 }
    }

    #[test]
    fn a_verdict_names_each_thing_that_is_not_as_it_shall_be() {
        let fault = catalogue::find("power_off").unwrap();
        let bound = |fault: &Fault| fault.gap_bound(&crate::node::TIMING);
        let fine = failures(bound(fault), Some(fault.moves), &outcome(1050, 0, 1), &outcome(0, 0, 1));
        assert!(fine.is_empty(), "{fine:?}");
        assert_eq!(failures(bound(fault), Some(fault.moves), &outcome(3000, 5, 2), &outcome(0, 5, 3)).len(), 5);
        let calm = catalogue::find("hb1_down").unwrap();
        assert_eq!(failures(bound(calm), Some(calm.moves), &outcome(2, 0, 0), &outcome(0, 0, 0)).len(), 1);
    }
}
