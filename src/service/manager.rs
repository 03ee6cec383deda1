//! The manager of one group's services: takes the core's orders, one at a time, newest last, and reports.
//!
//! It lives on a thread of its own with its own runtime: even fork and exec wait for a slow disk, and the decision must not.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::time::Instant;

use futures_util::future::select_all;
use tokio::sync::{mpsc, oneshot};

use super::attempt::{Env, Failure};
use super::letter::Letter;
use super::monitor::{Fallen, Monitor};
use super::ocf::Watched;
use super::runner::Cancel;
use super::startable::Startable;
use super::unit::Unit;
use super::{GroupServices, NamedState, Report, State};
use twinbeat_core::id::{Attempt, GroupId};
use twinbeat_core::io::{ServiceOrder, ServiceReport};

/// The handle to a group's services. Dropping it ends the manager, never a service.
#[derive(Debug)]
pub struct ServiceManager {
    letters: mpsc::UnboundedSender<Letter>,
}

impl ServiceManager {
    /// Starts the manager's thread. Nothing is started or stopped before the first order. Fails when the state directory cannot be
    /// made or the thread not be started.
    pub fn spawn(group: GroupServices, reports: mpsc::UnboundedSender<Report>) -> io::Result<ServiceManager> {
        let dir = group.state_dir.join("services");
        twinbeat_host::dirs::closed(&dir)?;
        let (letters, inbox) = mpsc::unbounded_channel();
        let weak = letters.downgrade();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name(format!("svc-{}", group.name)).spawn(move || {
            runtime.block_on(async move {
                let (units, followers): (Vec<_>, Vec<_>) = Unit::all(&group, &dir).into_iter().unzip();
                for (unit, follower) in units.iter().zip(followers) {
                    tokio::spawn(follower.follow(group.name.clone(), unit.name.clone()));
                }
                if let Some(startable) = Startable::of(&group, weak, reports.clone()) {
                    tokio::spawn(startable.live());
                }
                let env = Env { group: group.name, node: group.node, epoch: None, ending: false };
                let (tell, fallen) = mpsc::unbounded_channel();
                let watch =
                    |(index, unit): (usize, &Unit)| Watch::new(Monitor::new(index, unit.spec.checks.clone(), tell.clone()));
                let watched = units.iter().enumerate().map(watch).collect();
                let inbox = Inbox { letters: inbox, waiting: VecDeque::new() };
                Manager {
                    group: group.group,
                    units,
                    watched,
                    env,
                    hands_off: false,
                    inbox,
                    reports,
                    attempt: Attempt(0),
                    fallen,
                }
                .live()
                .await;
            });
            runtime.shutdown_background();
        })?;
        Ok(ServiceManager { letters })
    }

    /// Gives an order; it takes the place of any earlier one, which is then not reported.
    pub fn order(&self, attempt: Attempt, order: ServiceOrder) {
        let _ = self.letters.send(Letter::Order(attempt, order));
    }

    /// The daemon is being stopped, or goes on after all; for the orders that come behind this.
    pub fn ending(&self, ending: bool) {
        let _ = self.letters.send(Letter::Ending(ending));
    }

    /// A pause begins or ends (SAFETY R15); for the orders that come behind this.
    pub fn hands_off(&self, on: bool) {
        let _ = self.letters.send(Letter::HandsOff(on));
    }

    /// Asks for the state of each service now; it is told behind the orders that were given before.
    pub fn ask(&self) -> oneshot::Receiver<Vec<NamedState>> {
        let (answer, states) = oneshot::channel();
        let _ = self.letters.send(Letter::State(answer));
        states
    }

    /// The state of each service now; empty when the manager is gone.
    pub async fn state(&self) -> Vec<NamedState> {
        self.ask().await.unwrap_or_default()
    }

    /// What asks the manager and does not keep it alive.
    #[cfg(test)]
    pub(super) fn weak(&self) -> mpsc::WeakUnboundedSender<Letter> {
        self.letters.downgrade()
    }

    /// For [`Start::running`](twinbeat_core::io::Start::running): whether any service of the group runs. What cannot be found out
    /// counts as running, so that the core has it stopped before it relies on it.
    pub async fn running(&self) -> bool {
        let states = self.state().await;
        for named in &states {
            if let State::Unknown(why) = &named.state {
                tracing::warn!(target: "service", "{}: state unknown: {why}", named.name);
            }
        }
        states.iter().any(|named| named.state != State::Stopped)
    }
}

/// The manager is gone: the daemon dropped its handle.
pub(super) struct Gone;

/// What has arrived and is not done.
struct Inbox {
    letters: mpsc::UnboundedReceiver<Letter>,
    waiting: VecDeque<Letter>,
}

impl Inbox {
    async fn arrive(&mut self) -> Result<(), Gone> {
        self.waiting.push_back(self.letters.recv().await.ok_or(Gone)?);
        Ok(())
    }

    /// Takes letters in until one of them is an order.
    async fn order(&mut self) -> Result<(), Gone> {
        while self.newest().is_none() {
            self.arrive().await?;
        }
        Ok(())
    }

    /// The newest order that waits.
    fn newest(&self) -> Option<ServiceOrder> {
        self.waiting.iter().rev().find_map(|letter| match letter {
            Letter::Order(_, order) => Some(*order),
            Letter::State(_) | Letter::Ending(_) | Letter::HandsOff(_) => None,
        })
    }

    /// Runs one step to its end while letters are taken in; `on_order` sees each order that arrives.
    async fn during<T>(&mut self, step: impl Future<Output = T>, mut on_order: impl FnMut(ServiceOrder)) -> Result<T, Gone> {
        let mut step = std::pin::pin!(step);
        loop {
            tokio::select! {
                done = &mut step => return Ok(done),
                arrived = self.arrive() => {
                    arrived?;
                    if let Some(order) = self.newest() {
                        on_order(order);
                    }
                }
            }
        }
    }
}

/// Whether a service is watched, and its restarts on the spot.
#[derive(Debug)]
pub(super) struct Watch {
    pub on: bool,
    /// It could not be stopped: its end is news, and no reason to start it again.
    stuck: bool,
    /// It runs, and its checks say that it is not well: the next start begins with a stop.
    pub ailing: bool,
    /// How it fell in a pause; it is left as it is.
    pub left_alone: Option<String>,
    /// The restarts that count, the newest last.
    restarted: Vec<Instant>,
    pub monitor: Monitor,
}

impl Watch {
    fn new(monitor: Monitor) -> Watch {
        Watch { on: false, stuck: false, ailing: false, left_alone: None, restarted: Vec::new(), monitor }
    }
}

pub(super) struct Manager {
    group: GroupId,
    pub units: Vec<Unit>,
    pub watched: Vec<Watch>,
    pub env: Env,
    /// A pause is in force.
    pub hands_off: bool,
    inbox: Inbox,
    reports: mpsc::UnboundedSender<Report>,
    attempt: Attempt,
    fallen: mpsc::UnboundedReceiver<Fallen>,
}

/// Something that nobody ordered.
enum Event {
    Letter,
    Died(usize, Watched),
    Fell(Fallen),
}

impl Manager {
    async fn live(mut self) {
        while self.turn().await.is_ok() {}
    }

    /// One letter, one death, or one fall.
    async fn turn(&mut self) -> Result<(), Gone> {
        if self.inbox.waiting.is_empty() {
            let event = tokio::select! {
                biased;
                arrived = self.inbox.arrive() => { arrived?; Event::Letter }
                (index, how) = next_death(&mut self.units, &self.watched, &self.env) => Event::Died(index, how),
                Some(fallen) = self.fallen.recv() => Event::Fell(fallen),
            };
            match event {
                Event::Letter => {}
                Event::Died(index, how) => return self.mourn(index, how).await,
                Event::Fell(fallen) => return self.ail(fallen).await,
            }
        }
        match self.inbox.waiting.pop_front() {
            Some(Letter::State(answer)) => self.tell(answer).await,
            Some(Letter::HandsOff(on)) => self.set_hands_off(on).await,
            Some(Letter::Ending(ending)) => {
                self.env.ending = ending;
                Ok(())
            }
            // replaced before it was begun
            Some(Letter::Order(..)) if self.inbox.newest().is_some() => Ok(()),
            Some(Letter::Order(attempt, order)) => self.carry_out(attempt, order).await,
            None => Ok(()),
        }
    }

    async fn tell(&mut self, answer: oneshot::Sender<Vec<NamedState>>) -> Result<(), Gone> {
        let Manager { units, watched, env, inbox, .. } = self;
        let asked = async {
            let mut states = Vec::new();
            for (unit, watch) in units.iter_mut().zip(&*watched) {
                let state = unit.glance(env).await;
                let check = watch.monitor.words();
                states.push(NamedState { name: unit.name.clone(), warm: unit.spec.warm, state, watched: watch.on, check });
            }
            states
        };
        // An order does not wait for the answer of somebody who only looks.
        let states = tokio::select! {
            states = asked => states,
            gone = inbox.order() => {
                gone?;
                Vec::new()
            }
        };
        let _ = answer.send(states);
        Ok(())
    }

    async fn carry_out(&mut self, attempt: Attempt, order: ServiceOrder) -> Result<(), Gone> {
        self.attempt = attempt;
        let report = match order {
            ServiceOrder::Warm => self.start(order).await?.map(|()| ServiceReport::Warmed),
            ServiceOrder::Start(epoch) => {
                self.env.epoch = Some(epoch.0);
                self.start(order).await?.map(|()| ServiceReport::Started)
            }
            ServiceOrder::Adopt(epoch) => {
                self.env.epoch = Some(epoch.0);
                self.adopt().await?;
                Ok(ServiceReport::Started)
            }
            ServiceOrder::Stop | ServiceOrder::StopCold => self.stop(order).await?.map(|()| ServiceReport::Stopped),
        };
        match report {
            Ok(report) | Err(Some(report)) => self.report(report),
            Err(None) => {} // replaced: the newer order is reported instead
        }
        Ok(())
    }

    /// Starts what the order means, in order. `Err(None)`: replaced by a newer order.
    async fn start(&mut self, order: ServiceOrder) -> Result<Result<(), Option<ServiceReport>>, Gone> {
        if matches!(order, ServiceOrder::Warm) {
            self.env.epoch = None;
        }
        for index in 0..self.units.len() {
            if wish(order, self.units[index].spec.warm) != Wish::Run {
                continue;
            }
            if self.inbox.newest().is_some() {
                return Ok(Err(None));
            }
            self.watched[index].stuck = false;
            let owner = matches!(order, ServiceOrder::Start(_));
            match self.start_well(index, owner, false).await? {
                Ok(()) => self.watch(index, owner),
                Err(Failure::Cancelled) => return Ok(Err(None)),
                Err(Failure::Failed(_)) if self.inbox.newest().is_some() => return Ok(Err(None)),
                Err(Failure::Failed(reason)) => {
                    let service = self.units[index].name.clone();
                    return Ok(Err(Some(ServiceReport::StartFailed { service, reason })));
                }
            }
        }
        Ok(if self.inbox.newest().is_some() { Err(None) } else { Ok(()) })
    }

    pub(super) fn watch(&mut self, index: usize, on: bool) {
        let watch = &mut self.watched[index];
        watch.on = on;
        watch.left_alone = None;
        if on { watch.monitor.begin(&self.env) } else { watch.monitor.rest() }
    }

    /// Starts one, and waits until its checks are well; breaks off when an order arrives that wants it stopped.
    async fn start_well(&mut self, index: usize, owner: bool, restart: bool) -> Result<Result<(), Failure>, Gone> {
        let Manager { units, watched, env, inbox, .. } = self;
        let (unit, watch) = (&mut units[index], &mut watched[index]);
        watch.monitor.rest();
        let warm = unit.spec.warm;
        let (switch, mut cancel) = Cancel::pair();
        let notice = |newer| {
            let _ = switch.send(wish(newer, warm) == Wish::Rest);
        };
        let step = async {
            if std::mem::take(&mut watch.ailing) {
                unit.stop(env).await.map_err(Failure::Failed)?;
            }
            let begun = Instant::now();
            unit.start(env, &mut cancel).await?;
            if watch.monitor.is_empty() {
                return Ok(());
            }
            tokio::select! {
                () = cancel.wait() => Err(Failure::Cancelled),
                rises = watch.monitor.rises(env, owner, restart, unit.spec.start_timeout) => rises.map_err(Failure::Failed),
            }?;
            if owner {
                watch.monitor.started_in(begun.elapsed());
            }
            Ok(())
        };
        let started = inbox.during(step, notice).await?;
        // What runs and is not well is made anew by the next start.
        watch.ailing = matches!(started, Err(Failure::Failed(_))) && !watch.monitor.is_empty();
        Ok(started)
    }

    /// Stops what the order means, in reverse order; one that cannot be stopped does not keep the others.
    async fn stop(&mut self, order: ServiceOrder) -> Result<Result<(), Option<ServiceReport>>, Gone> {
        for (unit, watch) in self.units.iter().zip(&mut self.watched) {
            if wish(order, unit.spec.warm) == Wish::Rest {
                watch.on = false;
                watch.left_alone = None;
                watch.ailing = false;
                watch.monitor.rest();
            }
        }
        let mut failed = None;
        for index in (0..self.units.len()).rev() {
            if wish(order, self.units[index].spec.warm) != Wish::Rest {
                continue;
            }
            if self.inbox.newest().is_some() {
                return Ok(Err(None));
            }
            let Manager { units, env, inbox, .. } = &mut *self;
            let unit = &mut units[index];
            // Only a sweep asks: what is stopped otherwise ran for a reason.
            let ran = order == ServiceOrder::StopCold && inbox.during(unit.state(env), |_| {}).await? == State::Running;
            let stopped = inbox.during(unit.stop(env), |_| {}).await?;
            if ran && stopped.is_ok() {
                tracing::warn!(target: "service", "{}/{} ran although this node does not own: stopped", env.group, unit.name);
            }
            self.watched[index].stuck = stopped.is_err();
            if let Err(reason) = stopped {
                let (env, unit) = (&self.env, &self.units[index]);
                tracing::error!(target: "service", "{}/{} could not be stopped: {reason}", env.group, unit.name);
                failed.get_or_insert(ServiceReport::StopFailed { service: unit.name.clone(), reason });
            }
        }
        Ok(match failed {
            _ if self.inbox.newest().is_some() => Err(None),
            Some(report) => Err(Some(report)),
            None => Ok(()),
        })
    }

    /// A service that should run has died. One that could not be stopped has ended: told at once.
    async fn mourn(&mut self, index: usize, end: Watched) -> Result<(), Gone> {
        let how = match end {
            Watched::Gone(how) => how,
            // Its end is waited for, and this is none.
            Watched::Ill(_) if self.watched[index].stuck => return Ok(()),
            Watched::Ill(why) => {
                self.watched[index].ailing = true;
                return self.again(index, format!("is not well: {why}"), why).await;
            }
        };
        if std::mem::take(&mut self.watched[index].stuck) {
            self.report(ServiceReport::Died { service: self.units[index].name.clone(), reason: how });
            return Ok(());
        }
        if self.hands_off {
            return self.leave_alone(index, format!("died: {how}"), how);
        }
        self.again(index, format!("died: {how}"), how).await
    }

    /// A service that runs is not well.
    async fn ail(&mut self, fallen: Fallen) -> Result<(), Gone> {
        let counts = |watch: &&mut Watch| (watch.on || watch.left_alone.is_some()) && watch.monitor.is_of_now(&fallen);
        let Some(watch) = self.watched.get_mut(fallen.index).filter(counts) else {
            return Ok(());
        };
        if self.hands_off {
            return self.leave_alone(fallen.index, format!("is not well: {}", fallen.why), fallen.why);
        }
        watch.ailing = true;
        self.again(fallen.index, format!("is not well: {}", fallen.why), fallen.why).await
    }

    /// Started again on the spot, as often as the file says; then the core decides.
    pub(super) async fn again(&mut self, index: usize, what: String, how: String) -> Result<(), Gone> {
        let (group, name, spec) = (self.env.group.clone(), self.units[index].name.clone(), self.units[index].spec.clone());
        let watch = &mut self.watched[index];
        watch.monitor.rest();
        watch.restarted.retain(|at| at.elapsed() < spec.restart_window);
        let before = watch.restarted.len();
        let reason = if before >= spec.restarts as usize {
            match before {
                0 => how,
                1 => format!("{how}; again, within {:?} of its restart", spec.restart_window),
                _ => format!("{how}; again, within {:?} of {before} restarts", spec.restart_window),
            }
        } else {
            tracing::warn!(target: "service", "{group}/{name} {what}; restarting it here");
            watch.restarted.push(Instant::now());
            match self.start_well(index, true, true).await? {
                Ok(()) => {
                    tracing::warn!(target: "service", "{group}/{name} runs again");
                    self.watch(index, true);
                    return Ok(());
                }
                Err(Failure::Cancelled) => return Ok(()),
                Err(Failure::Failed(why)) => format!("{how}; a restart failed: {why}"),
            }
        };
        self.watched[index].on = false;
        self.report(ServiceReport::Died { service: name, reason });
        Ok(())
    }

    pub(super) fn report(&self, report: ServiceReport) {
        let _ = self.reports.send(Report::Done { group: self.group, attempt: self.attempt, report });
    }
}

/// What an order wants of a service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wish {
    Run,
    Rest,
    AsItIs,
}

fn wish(order: ServiceOrder, warm: bool) -> Wish {
    match (order, warm) {
        (ServiceOrder::Start(_) | ServiceOrder::Adopt(_), _) | (ServiceOrder::Warm, true) => Wish::Run,
        (ServiceOrder::Stop, _) | (ServiceOrder::StopCold, false) => Wish::Rest,
        (ServiceOrder::Warm, false) | (ServiceOrder::StopCold, true) => Wish::AsItIs,
    }
}

/// The next watched service that dies, and how; never, when none is watched.
async fn next_death(units: &mut [Unit], watched: &[Watch], env: &Env) -> (usize, Watched) {
    type Death<'a> = Pin<Box<dyn Future<Output = (usize, Watched)> + Send + 'a>>;
    let watches: Vec<Death<'_>> = units
        .iter_mut()
        .zip(watched)
        .enumerate()
        .filter(|(_, (_, watch))| watch.on || watch.stuck)
        .map(|(index, (unit, _))| Box::pin(async move { (index, unit.died(env).await) }) as Death<'_>)
        .collect();
    if watches.is_empty() { std::future::pending().await } else { select_all(watches).await.0 }
}
