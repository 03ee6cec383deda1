//! The probes of all VIPs of a pair: one clock, one pair of answering machines, and each group's outcome.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::lab::Lab;
use super::probe::{Outcome, Probe, Record, Responders};
use super::timeline::At;
use twinbeat_core::id::NodeId;

/// One probe for each watched VIP; a group's guard VIP comes first.
#[derive(Debug)]
pub struct PairProbes {
    start: Instant,
    /// The guard VIP of the first group.
    first: Probe,
    others: Vec<(usize, Probe)>,
    groups: usize,
    /// VIPs that nobody watches, and why.
    pub unwatched: Vec<String>,
}

impl PairProbes {
    /// Starts them; `page` says where a group's page is.
    pub fn start(lab: &Lab, page: impl Fn(usize) -> Option<u16>) -> Result<PairProbes> {
        let start = Instant::now();
        let responders = Responders::start(lab)?;
        let mut all: Vec<(usize, Probe)> = Vec::new();
        let mut unwatched = Vec::new();
        // The guard VIPs first: whatever is left out, every group is watched.
        let ranked = lab.plan.groups.iter().enumerate();
        let mut vips: Vec<(usize, usize, _)> =
            ranked.flat_map(|(group, of)| of.vips.iter().enumerate().map(move |(rank, vip)| (rank, group, *vip))).collect();
        vips.sort_by_key(|(rank, group, _)| (*rank, *group));
        for (rank, group, ((vip, _), cable)) in vips {
            if cable != lab.plan.public {
                unwatched.push(format!("{vip} is not on the public network"));
            } else if rank > 0 && all.len() >= MOST {
                unwatched.push(format!("{vip}: {MOST} probes are enough for one machine"));
            } else {
                all.push((group, Probe::beside(&responders, lab, vip, page(group).unwrap_or(80), start)?));
            }
        }
        if all.is_empty() {
            bail!("no VIP is on the public network: nobody could watch");
        }
        let (_, first) = all.remove(0);
        Ok(PairProbes { start, first, others: all, groups: lab.plan.groups.len(), unwatched })
    }

    /// When the probes' time began.
    pub fn began(&self) -> Instant {
        self.start
    }

    /// The probe of the first group's guard VIP.
    pub fn first(&self) -> &Probe {
        &self.first
    }

    /// The time since the start: what all records count in.
    pub fn now(&self) -> At {
        self.start.elapsed()
    }

    /// The probe of a group's guard VIP.
    pub fn guard(&self, group: usize) -> Option<&Probe> {
        self.of(group).next()
    }

    /// What was asked of a group's guard VIP and answered, by whichever of the files it is that.
    pub fn record(&self, group: usize, other_guards: &[IpAddr]) -> Option<Record> {
        let others = self.of(group).filter(|probe| other_guards.contains(&probe.vip));
        Some(others.fold(self.guard(group)?.record(), |record, other| record.or(&other.record())))
    }

    /// All probes of a group.
    pub fn of(&self, group: usize) -> impl Iterator<Item = &Probe> {
        let first = std::iter::once((0, &self.first));
        let all = first.chain(self.others.iter().map(|(group, probe)| (*group, probe)));
        all.filter(move |(g, _)| *g == group).map(|(_, probe)| probe)
    }

    /// Who answers the observer for any VIP of a group now, each node asked by itself.
    pub fn serving(&self, group: usize) -> Vec<NodeId> {
        let mut all: Vec<NodeId> = self.of(group).flat_map(Probe::serving).collect();
        all.sort();
        all.dedup();
        all
    }

    /// Which node answers a group's client now.
    pub fn client_sees(&self, group: usize) -> Option<NodeId> {
        self.guard(group)?.client_sees()
    }

    /// Judges a group's time: the guard VIP's figures, and the longest time with two owners of any of its VIPs.
    pub fn outcome(&self, group: usize, from: At, to: At) -> Option<Outcome> {
        let all: Vec<Outcome> = self.of(group).map(|probe| probe.outcome(from, to)).collect();
        let two_owners = all.iter().map(|o| o.two_owners).max()?;
        all.into_iter().next().map(|guard| Outcome { two_owners, ..guard })
    }

    /// Waits until each group is served by exactly the node that `wanted` names for it (or by any one), client included, for 300 ms without
    /// a break; `false` when `limit` passed first or `stop` was raised.
    pub fn wait_for(&self, wanted: impl Fn(usize) -> Option<NodeId>, limit: Duration, stop: &AtomicBool) -> bool {
        let until = Instant::now() + limit;
        let mut since: Option<(Instant, Vec<Vec<NodeId>>)> = None;
        while Instant::now() < until && !stop.load(Ordering::Relaxed) {
            let serving: Vec<Vec<NodeId>> = (0..self.groups).map(|group| self.serving(group)).collect();
            let fine = |(group, who): (usize, &Vec<NodeId>)| {
                let right = wanted(group).is_none_or(|node| who.as_slice() == [node]);
                who.len() == 1 && right && self.client_sees(group) == who.first().copied()
            };
            if !serving.iter().enumerate().all(fine) {
                since = None;
            } else {
                match &since {
                    Some((at, who)) if *who == serving => {
                        if at.elapsed() >= Duration::from_millis(300) {
                            return true;
                        }
                    }
                    _ => since = Some((Instant::now(), serving)),
                }
            }
            thread::sleep(Duration::from_millis(20));
        }
        false
    }
}

/// Each probe sends 900 questions a second.
const MOST: usize = 6;
