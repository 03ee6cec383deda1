//! The pair: lab, probe and two real daemons, and the steps that a fault is made of.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use super::catalogue::{Fault, Step};
use super::connection::{Connection, Kept};
use super::contender::{Contender, Plan};
use super::daemon::Daemon;
use super::lab::{BOTH, Cable, Lab, VIP, node_name};
use super::node::Site;
use super::probe::{Outcome, Probe};
use super::process;
use crate::core::id::NodeId;

/// A running pair. Dropped in the order of its fields: probe, daemons, namespaces, files.
#[derive(Debug)]
pub struct Pair {
    /// Who answers, and what the client sees.
    pub probe: Probe,
    daemons: [Option<Daemon>; 2],
    /// The machines and their faults.
    pub lab: Lab,
    /// The files.
    pub site: Site,
}

/// What a fault did.
#[derive(Clone, PartialEq, Debug)]
pub struct Verdict {
    /// While it was held, the fault itself included.
    pub fault: Outcome,
    /// From the heal on.
    pub heal: Outcome,
    /// What was not as it shall be; empty: passed.
    pub failures: Vec<String>,
}

impl Pair {
    /// Builds the lab and starts both daemons of `binary`; waits for nobody.
    pub fn start(binary: &Path) -> Result<Pair> {
        Pair::start_as(binary, Contender::Twinbeat)
    }

    /// The same with somebody else's daemons.
    pub fn start_as(binary: &Path, contender: Contender) -> Result<Pair> {
        let lab = Lab::build()?;
        let mut site = Site::prepare(&lab, binary, "\"auto\"")?;
        site.give_to(contender)?;
        let probe = Probe::start(&lab, VIP)?;
        let mut pair = Pair { probe, daemons: [None, None], lab, site };
        for node in BOTH {
            pair.boot(node)?;
        }
        Ok(pair)
    }

    /// Waits until master1 serves, as after any calm start; an error carries the ends of both logs.
    pub fn wait_for(&mut self, node: NodeId, limit: Duration, stop: &AtomicBool) -> Result<()> {
        if self.probe.wait_for_owner(node, limit, stop) {
            return Ok(());
        }
        if stop.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        let serving: Vec<&str> = self.probe.serving().into_iter().map(node_name).collect();
        bail!(
            "{} does not serve after {limit:?}; answering: {serving:?}; broken: {:?}\n{}",
            node_name(node),
            self.lab.broken(),
            self.logs()
        )
    }

    /// The ends of both logs.
    pub fn logs(&self) -> String {
        BOTH.map(|n| format!("--- {}:\n{}", node_name(n), self.site.log_tail(n, 25))).join("\n")
    }

    /// Does one step. The time that it took is the kernel's and `nft`'s, not the daemons'.
    pub fn step(&mut self, step: Step) -> Result<()> {
        match step {
            Step::PowerOff(node) => {
                self.lab.power_off(node)?;
                self.daemons[node.index()] = None;
            }
            Step::PowerOn(node) => {
                self.lab.power_on(node)?;
                self.boot(node)?;
            }
            Step::Stop(node) => self.signal(node, Signal::SIGTERM)?,
            Step::Start(node) => self.boot(node)?,
            Step::Kill(node) => self.signal(node, Signal::SIGKILL)?,
            Step::ComeBack(node) => self.signal(node, Signal::SIGUSR2)?,
            Step::Supervise(node, pause) => {
                let daemon = self.daemons[node.index()].as_mut().context("no daemon to supervise")?;
                daemon.supervise(&self.lab, &self.site, node, pause)?;
            }
            Step::Unsupervise(node) => {
                if let Some(daemon) = &mut self.daemons[node.index()] {
                    daemon.unsupervise();
                }
            }
            Step::Hang(node) => self.signal(node, Signal::SIGSTOP)?,
            Step::Wake(node) => self.signal(node, Signal::SIGCONT)?,
            Step::Unplug(node, cable) => self.lab.unplug(node, cable)?,
            Step::Plug(node, cable) => self.lab.plug(node, cable)?,
            Step::Blackhole(node, cable) => self.lab.blackhole(node, cable)?,
            Step::OneWay(from) => {
                for cable in Cable::ALL {
                    self.lab.cut_one_way(from, cable)?;
                }
            }
            Step::Isolate(node) => self.lab.isolate(node)?,
            Step::Separate => self.lab.separate()?,
            Step::GatewayDown => self.lab.gateway_down()?,
            Step::Loss(percent) => self.lab.loss(NodeId(0), percent)?,
            Step::KillService(node) => self.kill_service(node)?,
            Step::Standby(node) => self.plan(node, Plan::Standby)?,
            Step::Resume(node) => self.plan(node, Plan::Resume)?,
            Step::Wait(time) => thread::sleep(time),
            Step::Heal => self.lab.heal()?,
        }
        Ok(())
    }

    /// Applies a fault, holds it, heals it, waits until master1 serves again, and judges. `seen` is called about every 100 ms meanwhile.
    pub fn suffer(&mut self, fault: &Fault, stop: &AtomicBool, seen: &mut dyn FnMut(&Pair)) -> Result<Verdict> {
        let kept = fault.keeps.then(|| self.kept()).transpose()?;
        let from = self.probe.now();
        for step in fault.apply {
            self.step(*step).with_context(|| format!("{step:?}"))?;
            seen(self);
        }
        self.watch(fault.hold, stop, seen);
        let healed = self.probe.now();
        for step in fault.heal {
            self.step(*step).with_context(|| format!("{step:?}"))?;
            seen(self);
        }
        let until = Instant::now() + HEAL_LIMIT;
        while Instant::now() < until && !stop.load(Ordering::Relaxed) {
            if self.probe.wait_for_owner(NodeId(0), Duration::from_millis(400), stop) {
                break;
            }
            seen(self);
        }
        let back = self.probe.serving() == [NodeId(0)];
        self.watch(Duration::from_secs(2), stop, seen);
        if stop.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        let (during, after) = (self.probe.outcome(from, healed), self.probe.outcome(healed, self.probe.now()));
        let mut failures = failures(fault, &during, &after);
        if let Some((services, connection)) = kept {
            let lives = fault.apply.iter().filter(|s| matches!(s, Step::ComeBack(_) | Step::Kill(_))).count();
            failures.extend(self.lost(&services, lives, &connection.kept()));
        }
        if !back {
            failures.push(format!("master1 does not serve alone {HEAL_LIMIT:?} after the heal"));
        }
        Ok(Verdict { fault: during, heal: after, failures })
    }

    /// Lets time pass, with a look about every 100 ms.
    pub fn watch(&self, time: Duration, stop: &AtomicBool, seen: &mut dyn FnMut(&Pair)) {
        let until = Instant::now() + time;
        while Instant::now() < until && !stop.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(100).min(until.saturating_duration_since(Instant::now())));
            seen(self);
        }
    }

    fn boot(&mut self, node: NodeId) -> Result<()> {
        self.daemons[node.index()] = None;
        self.daemons[node.index()] = Some(Daemon::start(&self.lab, &self.site, node)?);
        Ok(())
    }

    fn signal(&mut self, node: NodeId, signal: Signal) -> Result<()> {
        let sent = self.daemons[node.index()].as_mut().is_some_and(|daemon| daemon.signal(signal));
        if !sent {
            bail!("the daemon of {} does not run\n{}", node_name(node), self.logs());
        }
        Ok(())
    }

    /// Everything in the node that is not the daemon: its services.
    pub fn services(&self, node: NodeId) -> Vec<u32> {
        let daemon = self.daemons[node.index()].as_ref();
        let mut services: Vec<u32> =
            self.lab.node(node).pids().into_iter().filter(|pid| !daemon.is_some_and(|d| d.owns(*pid))).collect();
        services.sort_unstable();
        services
    }

    /// How often a node's supervisor has started its daemon again.
    pub fn starts(&self, node: NodeId) -> usize {
        self.daemons[node.index()].as_ref().map_or(0, Daemon::starts)
    }

    /// What a fault must leave as it is on master1: the service's processes, and a client's open connection.
    fn kept(&self) -> Result<(Vec<u32>, Connection)> {
        let services = self.services(NodeId(0));
        if services.is_empty() {
            bail!("no service runs on master1");
        }
        Ok((services, Connection::open(&self.lab, VIP.into())?))
    }

    /// What of that was lost.
    fn lost(&self, services: &[u32], lives: usize, connection: &Kept) -> Vec<String> {
        let mut found = Vec::new();
        let starts = self.starts(NodeId(0));
        if starts != lives {
            found.push(format!("the daemon was started again {starts} times, shall be {lives}"));
        }
        let now = self.services(NodeId(0));
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

    /// SIGKILL to everything in the node that is not the daemon: its services.
    fn kill_service(&mut self, node: NodeId) -> Result<()> {
        let services = self.services(node);
        if services.is_empty() {
            bail!("no service runs on {}", node_name(node));
        }
        for pid in services {
            process::signal(pid, Signal::SIGKILL);
        }
        Ok(())
    }

    /// Starts a node's page server again by hand, for daemons that leave it dead.
    pub(super) fn revive_service(&self, node: NodeId) -> Result<()> {
        let daemon = self.daemons[node.index()].as_ref().with_context(|| format!("no daemon on {}", node_name(node)))?;
        super::contender::revive_service(daemon.pid(), &self.site)
    }

    fn plan(&self, node: NodeId, plan: Plan) -> Result<()> {
        if self.site.contender() != Contender::Twinbeat {
            let daemon = self.daemons[node.index()].as_ref().with_context(|| format!("no daemon on {}", node_name(node)))?;
            return daemon.plan(&self.site, node, plan);
        }
        self.ask(node, if plan == Plan::Standby { "standby" } else { "resume" })
    }

    fn ask(&self, node: NodeId, verb: &str) -> Result<()> {
        let done = self.site.ask(&self.lab, node, &[verb])?;
        if !done.status.success() {
            bail!("twinbeat {verb} on {}: {}", node_name(node), String::from_utf8_lossy(&done.stderr).trim());
        }
        Ok(())
    }
}

/// What is not as the catalogue says it shall be.
fn failures(fault: &Fault, during: &Outcome, after: &Outcome) -> Vec<String> {
    let mut found = Vec::new();
    for (when, outcome) in [("while held", during), ("after the heal", after)] {
        if !outcome.two_owners.is_zero() {
            found.push(format!("two nodes answered for {:?} {when}", outcome.two_owners));
        }
    }
    if let Some(bound) = fault.gap_bound(&super::node::TIMING)
        && during.gap > bound
    {
        found.push(format!("gap {:?}, shall be at most {bound:?}", during.gap));
    }
    let (least, most) = fault.moves;
    if !(least..=most).contains(&during.moves()) {
        found.push(format!("{} moves, shall be {least} to {most}", during.moves()));
    }
    if after.moves() > 1 {
        found.push(format!("{} moves after the heal, shall be one at most", after.moves()));
    }
    found
}

/// How long after the heal master1 may take to serve again: init_dead, hold-downs and a stand-down.
const HEAL_LIMIT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::catalogue;

    fn outcome(gap: u64, two: u64, moves: usize) -> Outcome {
        let served = (0..=moves).map(|i| (Duration::ZERO, NodeId((i % 2) as u8))).collect();
        let ms = Duration::from_millis;
        Outcome { gap: ms(gap), lost: ms(gap), page_gap: ms(0), two_owners: ms(two), served, lateness: ms(0), discarded: 0 }
    }

    #[test]
    fn a_verdict_names_each_thing_that_is_not_as_it_shall_be() {
        let fault = catalogue::find("power_off").unwrap();
        let fine = failures(fault, &outcome(1050, 0, 1), &outcome(0, 0, 1));
        assert!(fine.is_empty(), "{fine:?}");
        assert_eq!(failures(fault, &outcome(3000, 5, 2), &outcome(0, 5, 3)).len(), 5);
        let calm = catalogue::find("hb1_down").unwrap();
        assert_eq!(failures(calm, &outcome(2, 0, 0), &outcome(0, 0, 0)).len(), 1);
    }
}
