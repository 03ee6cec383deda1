//! The pair: lab, probes and two real daemons, and the steps that a fault is made of.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use super::catalogue::Step;
use super::contender::{Contender, Plan as Move};
use super::daemon::Daemon;
use super::lab::{BOTH, Cable, Lab};
use super::node::Site;
use super::pair_probes::PairProbes;
use super::plan::{Plan, Select};
use super::process;
use super::timeline::At;
use super::watch::{Living, Place, Said, Sayings, Watch, look};
use twinbeat_core::id::NodeId;
use twinbeat_core::view::View;
use twinbeat_picture::MarkKind;

/// What is not as it should be with a machine or its daemon.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Down {
    /// The machine has no power.
    Off,
    /// No daemon runs.
    NoDaemon,
    /// The daemon is stopped by a signal.
    Hung,
}

impl Down {
    /// The word for it on the screen and in the report.
    pub fn word(self) -> &'static str {
        match self {
            Down::Off => "off",
            Down::NoDaemon => "no daemon",
            Down::Hung => "hung",
        }
    }
}

/// A running pair. Dropped in the order of its fields: probes, daemons, namespaces, files.
#[derive(Debug)]
pub struct Pair {
    /// Who answers, and what the clients see.
    pub probes: PairProbes,
    daemons: [Option<Daemon>; 2],
    /// The machines and their faults.
    pub lab: Lab,
    /// The files.
    pub site: Site,
    /// What was not as it should be with each machine, and from when on.
    pub machines: [Vec<(At, Option<Down>)>; 2],
    /// What was done, and when, for a person.
    pub marks: Vec<(At, String, MarkKind)>,
    /// It is the recipe's own pair.
    pub recipe: bool,
    /// What commands that nobody waits for have answered.
    pub(super) answers: Arc<Mutex<Vec<Answered>>>,
    /// Which node plays the catalogue's owner.
    pub(super) owner: NodeId,
    /// What the daemons say of themselves, once somebody looks.
    watch: Option<Watch>,
}

/// What a command has answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answered {
    /// When.
    pub at: At,
    /// Which node's daemon.
    pub node: NodeId,
    /// Done, or refused.
    pub done: bool,
    /// The answer.
    pub text: String,
}

impl Pair {
    /// Builds the recipe's lab and starts both daemons of `binary`; waits for nobody.
    pub fn start(binary: &Path) -> Result<Pair> {
        Pair::start_as(binary, Contender::Twinbeat)
    }

    /// The same with somebody else's daemons.
    pub fn start_as(binary: &Path, contender: Contender) -> Result<Pair> {
        let lab = Lab::build()?;
        let mut site = Site::prepare(&lab, binary, "\"auto\"")?;
        site.give_to(contender)?;
        contender.prepare(&site)?;
        let mut pair = Pair::new(lab, site)?;
        pair.recipe = true;
        pair.boot_both()?;
        Ok(pair)
    }

    /// Builds a plan's lab with each node's configuration (rewritten for the lab); starts no daemon. The groups of `init` get init scripts.
    pub fn build(binary: &Path, plan: Plan, texts: [&str; 2], init: &BTreeSet<usize>) -> Result<Pair> {
        let lab = Lab::build_for(plan)?;
        let site = Site::prepare_for(&lab, binary, texts, init)?;
        Pair::new(lab, site)
    }

    fn new(lab: Lab, site: Site) -> Result<Pair> {
        let probes = PairProbes::start(&lab, |group| site.page(group))?;
        let machines = [vec![(At::ZERO, Some(Down::NoDaemon))], vec![(At::ZERO, Some(Down::NoDaemon))]];
        Ok(Pair {
            probes,
            daemons: [None, None],
            lab,
            site,
            machines,
            marks: Vec::new(),
            recipe: false,
            answers: Arc::default(),
            owner: NodeId(0),
            watch: None,
        })
    }

    /// Starts both daemons.
    pub fn boot_both(&mut self) -> Result<()> {
        BOTH.into_iter().try_for_each(|node| self.boot(node))
    }

    /// From now on asks the daemons what they say of themselves, for a live view and a report.
    pub fn observe(&mut self) -> Result<()> {
        let places = BOTH.map(|node| {
            let own = self.site.node_dir(node);
            let of = |group: usize| self.site.services.iter().filter(move |service| service.group == group);
            let files = |group: usize| of(group).map(|service| own.join(format!("{}.pid", service.name))).collect();
            Place { run_dir: own.join("run"), services: (0..self.lab.plan.groups.len()).map(files).collect() }
        });
        self.watch = Some(Watch::start(places, self.probes.began())?);
        Ok(())
    }

    /// What a node's daemon said last.
    pub fn says(&self, node: NodeId) -> Option<Said> {
        self.watch.as_ref()?.last(node)
    }

    /// All that the daemons said.
    pub fn said(&self) -> [Sayings; 2] {
        self.watch.as_ref().map(Watch::all).unwrap_or_default()
    }

    /// Which services' processes lived, on each node.
    pub fn living(&self) -> [Living; 2] {
        self.watch.as_ref().map(Watch::living).unwrap_or_default()
    }

    /// What commands that nobody waits for have answered.
    pub fn answered(&self) -> Vec<Answered> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until every group is served alone where it should be (`node` for all of them, else each where it is preferred), as after any calm
    /// start; an error carries the ends of both logs.
    pub fn wait_for(&mut self, node: impl Into<Option<NodeId>>, limit: Duration, stop: &AtomicBool) -> Result<()> {
        let node = node.into();
        let home =
            |group: usize| node.or_else(|| self.lab.plan.groups.get(group).and_then(|g| g.preferred.filter(|_| g.returns)));
        if self.probes.wait_for(home, limit, stop) {
            return Ok(());
        }
        if stop.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        let who = |group: usize| self.probes.serving(group).into_iter().map(|n| self.lab.name(n).to_owned()).collect::<Vec<_>>();
        let serving: Vec<Vec<String>> = (0..self.lab.plan.groups.len()).map(who).collect();
        bail!(
            "not every group is served where it should be after {limit:?}; answering: {serving:?}; broken: {:?}\n{}",
            self.lab.broken(),
            self.logs()
        )
    }

    /// How long a calm start may take.
    pub fn patience(&self) -> Duration {
        let timing = &self.lab.plan.timing;
        Duration::from_nanos((timing.init_dead * 2 + timing.dead * 2).0) + Duration::from_secs(20)
    }

    /// What a node's daemon says of itself now; `None` when it does not answer at once.
    pub fn view(&self, node: NodeId) -> Option<View> {
        look(&self.site.node_dir(node).join("run"))
    }

    /// The ends of both logs.
    pub fn logs(&self) -> String {
        BOTH.map(|n| format!("--- {}:\n{}", self.lab.name(n), self.site.log_tail(n, 25))).join("\n")
    }

    /// Does one step of the catalogue: its master1 is the owner, whichever node that is. The time that it took is the kernel's and `nft`'s, not the
    /// daemons'.
    pub fn step(&mut self, step: Step) -> Result<()> {
        let owner = self.owner;
        let who = |node: NodeId| if node == NodeId(0) { owner } else { owner.other() };
        self.mark(step);
        match step {
            Step::PowerOff(node) => self.power_off(who(node))?,
            Step::PowerOn(node) => self.power_on(who(node))?,
            Step::Stop(node) => self.stop(who(node))?,
            Step::Start(node) => self.boot(who(node))?,
            Step::Kill(node) => self.kill(who(node))?,
            Step::ComeBack(node) => self.signal(who(node), Signal::SIGUSR2)?,
            Step::Supervise(node, pause) => {
                let node = who(node);
                let daemon = self.daemons[node.index()].as_mut().context("no daemon to supervise")?;
                daemon.supervise(&self.lab, &self.site, node, pause)?;
            }
            Step::Unsupervise(node) => self.unsupervise(who(node)),
            Step::Hang(node) => self.hang(who(node), true)?,
            Step::Wake(node) => self.hang(who(node), false)?,
            Step::Unplug(node, cable) => self.lab.unplug(who(node), cable)?,
            Step::Plug(node, cable) => self.lab.plug(who(node), cable)?,
            Step::Blackhole(node, cable) => self.lab.blackhole(who(node), cable)?,
            Step::OneWay(from) => {
                for cable in Cable::ALL {
                    self.lab.cut_one_way(who(from), cable)?;
                }
            }
            Step::Isolate(node) => self.lab.isolate(who(node))?,
            Step::Separate => self.lab.separate()?,
            Step::BlockRelay => self.lab.block_relay(true)?,
            Step::FlushRuleset(node) => self.lab.foreign_flush_ruleset(who(node))?,
            Step::DeleteVip(node) => {
                self.lab.foreign_delete_vip(who(node))?;
            }
            Step::GatewayDown => self.lab.gateway_down()?,
            Step::Loss(percent) => self.lab.loss(owner, percent)?,
            Step::LossEverywhere(percent) => self.lab.loss_everywhere(percent)?,
            Step::KillService(node) => self.kill_service(who(node))?,
            Step::Standby(node) => self.plan(who(node), Move::Standby)?,
            Step::Resume(node) => self.plan(who(node), Move::Resume)?,
            Step::Wait(time) => thread::sleep(time),
            Step::Heal => self.lab.heal()?,
        }
        Ok(())
    }

    /// The machine loses its power.
    pub fn power_off(&mut self, node: NodeId) -> Result<()> {
        self.lab.power_off(node)?;
        self.daemons[node.index()] = None;
        self.became(node, Some(Down::Off));
        Ok(())
    }

    /// The power is back, and the daemon starts.
    pub fn power_on(&mut self, node: NodeId) -> Result<()> {
        self.lab.power_on(node)?;
        self.boot(node)
    }

    /// SIGTERM to the daemon.
    pub fn stop(&mut self, node: NodeId) -> Result<()> {
        self.signal(node, Signal::SIGTERM)?;
        self.became(node, Some(Down::NoDaemon));
        Ok(())
    }

    /// SIGKILL to the daemon; kernel and services live.
    pub fn kill(&mut self, node: NodeId) -> Result<()> {
        self.signal(node, Signal::SIGKILL)?;
        let supervised = self.daemons[node.index()].as_ref().is_some_and(Daemon::supervised);
        self.became(node, Some(Down::NoDaemon).filter(|_| !supervised));
        Ok(())
    }

    /// SIGUSR2 to the daemon, and something that starts it again so long after its exit.
    pub fn restart(&mut self, node: NodeId, pause: Duration) -> Result<()> {
        let daemon = self.daemons[node.index()].as_mut().context("no daemon to restart")?;
        daemon.supervise(&self.lab, &self.site, node, pause)?;
        self.signal(node, Signal::SIGUSR2)
    }

    /// Nobody starts a daemon again.
    pub fn unsupervise(&mut self, node: NodeId) {
        if let Some(daemon) = &mut self.daemons[node.index()] {
            daemon.unsupervise();
        }
    }

    /// SIGSTOP, or SIGCONT.
    pub fn hang(&mut self, node: NodeId, on: bool) -> Result<()> {
        self.signal(node, if on { Signal::SIGSTOP } else { Signal::SIGCONT })?;
        self.became(node, on.then_some(Down::Hung));
        Ok(())
    }

    /// The daemon starts.
    pub fn boot(&mut self, node: NodeId) -> Result<()> {
        self.daemons[node.index()] = None;
        self.daemons[node.index()] = Some(Daemon::start(&self.lab, &self.site, node)?);
        self.became(node, None);
        Ok(())
    }

    /// Whether the daemon runs (hung or not).
    pub fn runs(&mut self, node: NodeId) -> bool {
        self.daemons[node.index()].as_mut().is_some_and(Daemon::running)
    }

    /// What is not as it should be with a machine or its daemon now.
    pub fn state(&self, node: NodeId) -> Option<Down> {
        self.machines[node.index()].last().and_then(|(_, what)| *what)
    }

    fn became(&mut self, node: NodeId, what: Option<Down>) {
        let now = self.probes.now();
        self.machines[node.index()].push((now, what));
    }

    /// Lets time pass, with a look about every 100 ms.
    pub fn watch(&self, time: Duration, stop: &AtomicBool, seen: &mut dyn FnMut(&Pair)) {
        let until = Instant::now() + time;
        while Instant::now() < until && !stop.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(100).min(until.saturating_duration_since(Instant::now())));
            seen(self);
        }
    }

    fn signal(&mut self, node: NodeId, signal: Signal) -> Result<()> {
        let sent = self.daemons[node.index()].as_mut().is_some_and(|daemon| daemon.signal(signal));
        if !sent {
            bail!("the daemon of {} does not run\n{}", self.lab.name(node), self.logs());
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

    /// SIGKILL to everything in the node that is not the daemon: its services.
    fn kill_service(&mut self, node: NodeId) -> Result<()> {
        let services = self.services(node);
        if services.is_empty() {
            bail!("no service runs on {}", self.lab.name(node));
        }
        for pid in services {
            process::signal(pid, Signal::SIGKILL);
        }
        Ok(())
    }

    /// Starts a node's page server again by hand, for daemons that leave it dead.
    pub(super) fn revive_service(&self, node: NodeId) -> Result<()> {
        let daemon = self.daemons[node.index()].as_ref().with_context(|| format!("no daemon on {}", self.lab.name(node)))?;
        super::keep::revive_service(daemon.pid(), &self.site)
    }

    fn plan(&self, node: NodeId, plan: Move) -> Result<()> {
        if self.site.contender() != Contender::Twinbeat {
            let daemon = self.daemons[node.index()].as_ref().with_context(|| format!("no daemon on {}", self.lab.name(node)))?;
            return daemon.plan(&self.site, node, plan);
        }
        self.ask(node, if plan == Move::Standby { "standby" } else { "resume" })
    }

    fn ask(&self, node: NodeId, verb: &str) -> Result<()> {
        let done = self.site.ask(&self.lab, node, &[verb])?;
        if !done.status.success() {
            bail!("twinbeat {verb} on {}: {}", self.lab.name(node), String::from_utf8_lossy(&done.stderr).trim());
        }
        Ok(())
    }

    /// Notes a step for a person.
    fn mark(&mut self, step: Step) {
        let name = |node: NodeId| self.lab.name(if node == NodeId(0) { self.owner } else { self.owner.other() });
        let link = |cable: Cable| {
            let all: Vec<&str> = cable.select(&self.lab.plan).iter().map(|id| self.lab.plan.cable(*id).link.as_str()).collect();
            all.join(" and ")
        };
        if let Step::Unplug(_, cable) | Step::Plug(_, cable) | Step::Blackhole(_, cable) = step
            && cable.select(&self.lab.plan).is_empty()
        {
            return; // a pair with one direct cable has no second
        }
        let (text, kind) = match step {
            Step::PowerOff(n) => (format!("{} loses power", name(n)), MarkKind::Fault),
            Step::PowerOn(n) => (format!("{} has power again", name(n)), MarkKind::Repair),
            Step::Stop(n) => (format!("{} stopped gracefully", name(n)), MarkKind::Command),
            Step::Start(n) => (format!("{} started", name(n)), MarkKind::Command),
            Step::Kill(n) => (format!("daemon of {} killed", name(n)), MarkKind::Fault),
            Step::ComeBack(n) => (format!("daemon of {} told to come back", name(n)), MarkKind::Command),
            Step::Supervise(n, _) => (format!("daemon of {} under a supervisor", name(n)), MarkKind::Command),
            Step::Unsupervise(n) => (format!("daemon of {} alone again", name(n)), MarkKind::Command),
            Step::Hang(n) => (format!("daemon of {} hangs", name(n)), MarkKind::Fault),
            Step::Wake(n) => (format!("daemon of {} goes on", name(n)), MarkKind::Repair),
            Step::Unplug(n, c) => (format!("{} of {} unplugged", link(c), name(n)), MarkKind::Fault),
            Step::Plug(n, c) => (format!("{} of {} plugged in", link(c), name(n)), MarkKind::Repair),
            Step::Blackhole(n, c) => (format!("{} of {} drops everything", link(c), name(n)), MarkKind::Fault),
            Step::OneWay(n) => (format!("everything from {} to {} dropped", name(n), name(n.other())), MarkKind::Fault),
            Step::Isolate(n) => (format!("{} isolated", name(n)), MarkKind::Fault),
            Step::Separate => ("no frame between the nodes".to_owned(), MarkKind::Fault),
            Step::BlockRelay => ("no heartbeat passes through the gateway".to_owned(), MarkKind::Fault),
            Step::FlushRuleset(n) => (format!("ruleset of {} flushed", name(n)), MarkKind::Fault),
            Step::DeleteVip(n) => (format!("address deleted on {}", name(n)), MarkKind::Fault),
            Step::GatewayDown => ("no witness answers".to_owned(), MarkKind::Fault),
            Step::Loss(percent) | Step::LossEverywhere(percent) => (format!("{percent} % loss on all links"), MarkKind::Fault),
            Step::KillService(n) => (format!("service dies on {}", name(n)), MarkKind::Fault),
            Step::Standby(n) => (format!("`standby` on {}", name(n)), MarkKind::Command),
            Step::Resume(n) => (format!("`resume` on {}", name(n)), MarkKind::Command),
            Step::Heal => ("everything mended".to_owned(), MarkKind::Repair),
            Step::Wait(_) => return,
        };
        self.marks.push((self.probes.now(), text, kind));
    }
}
