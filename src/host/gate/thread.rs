//! The gate's own thread: one ordered queue, so that nothing overtakes a close (SAFETY R1).
//!
//! An order whose generation is not above the last one carried out for its group is dropped without a report, and so is
//! a renewal that has a later close, opening or rebuilding of its group waiting behind it. A renewal that comes after a
//! close is never sent to the kernel: it reports `Lapsed`. An opening of damaged tables makes the tables again, and so does a
//! renewal while the instant in force has not passed; a kernel that refuses is reported as `Unguarded`.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::kernel::{Gate, Renewal};
use super::watch::Damage;
use super::weak::WeakGate;
use crate::clock::now;
use crate::realtime::this_thread;
use twinbeat_config::Scheduling;
use twinbeat_core::id::GroupId;
use twinbeat_core::io::{GateOrder, GateReport};
use twinbeat_core::time::{Mono, Span};

/// Whichever gate this machine has.
pub enum AnyGate {
    /// The kernel's own.
    Inet(Gate),
    /// Address lifetimes alone.
    Weak(WeakGate),
}

/// What the thread says.
#[derive(Clone, PartialEq, Debug)]
pub enum GateEvent {
    /// An order was carried out, or not. Without an order, when the tables could be made again at last: `Closed`, with the number of
    /// the group's last order.
    Report {
        /// The group.
        group: GroupId,
        /// The order's.
        generation: u64,
        /// What the kernel said.
        report: GateReport,
    },
    /// The tables are gone or damaged: the gate guards nothing until `Rebuild`.
    TableGone,
}

enum Work {
    Order(GroupId, u64, GateOrder),
    Damage(Damage),
    Read(Sender<Vec<Option<Mono>>>),
    Stop { remove: bool },
}

/// The sending end of the queue; cheap to clone.
#[derive(Clone)]
pub struct Orders(Sender<Work>);

impl Orders {
    /// Queues an order.
    pub fn order(&self, group: GroupId, generation: u64, order: GateOrder) {
        let _ = self.0.send(Work::Order(group, generation, order));
    }

    /// Queues what the watcher saw; the kernel is asked before anything is said.
    pub fn damage(&self, damage: Damage) {
        let _ = self.0.send(Work::Damage(damage));
    }

    /// Until when each group is open, behind all that is queued. Blocks.
    pub fn read(&self) -> Vec<Option<Mono>> {
        let (answer, receiver) = channel();
        let _ = self.0.send(Work::Read(answer));
        receiver.recv().unwrap_or_default()
    }
}

/// The thread.
pub struct GateThread {
    orders: Orders,
    thread: JoinHandle<()>,
}

impl GateThread {
    /// Starts it with an installed gate. `report` is called on the thread.
    pub fn start(
        gate: AnyGate,
        groups: usize,
        scheduling: Scheduling,
        report: impl FnMut(GateEvent) + Send + 'static,
    ) -> io::Result<GateThread> {
        let (sender, receiver) = channel();
        let mut worker = Worker { gate, groups: vec![Done::default(); groups], damaged: false, said: None, report };
        let thread = std::thread::Builder::new().name("gate".to_owned()).spawn(move || {
            let _ = this_thread(&scheduling);
            worker.run(&receiver);
        })?;
        Ok(GateThread { orders: Orders(sender), thread })
    }

    /// The sending end of the queue.
    pub fn orders(&self) -> Orders {
        self.orders.clone()
    }

    /// Carries out what is queued and ends. `remove` takes the tables away too: only when no VIP is left.
    pub fn stop(self, remove: bool) {
        let _ = self.orders.0.send(Work::Stop { remove });
        let _ = self.thread.join();
    }
}

#[derive(Clone, Copy, Default)]
struct Done {
    generation: Option<u64>,
    /// The last order ended closed.
    closed: bool,
    /// The last order ended open until then, or would have if the kernel made a gate.
    until: Option<Mono>,
}

struct Worker<R> {
    gate: AnyGate,
    groups: Vec<Done>,
    damaged: bool,
    /// When it was last said that closed tables were made again.
    said: Option<Mono>,
    report: R,
}

impl<R: FnMut(GateEvent)> Worker<R> {
    fn run(&mut self, receiver: &Receiver<Work>) {
        let mut queue = VecDeque::new();
        loop {
            // Tables that could not be made are tried again, order or none.
            let waited = if self.damaged { receiver.recv_timeout(AGAIN) } else { receiver.recv().map_err(Into::into) };
            match waited {
                Ok(work) => queue.push_back(work),
                Err(RecvTimeoutError::Timeout) => self.try_again(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
            while let Some(work) = queue.pop_front() {
                queue.extend(receiver.try_iter());
                match work {
                    Work::Order(group, generation, order) => {
                        if !superseded(group, order, &queue) {
                            self.order(group, generation, order);
                        }
                    }
                    Work::Damage(damage) => self.damage(damage),
                    Work::Read(answer) => {
                        let _ = answer.send(self.read());
                    }
                    Work::Stop { remove } => {
                        if let (true, AnyGate::Inet(gate)) = (remove, &mut self.gate) {
                            let _ = gate.remove_all();
                        }
                        return;
                    }
                }
            }
        }
    }

    fn order(&mut self, group: GroupId, generation: u64, order: GateOrder) {
        let place = usize::from(group.0);
        let Some(done) = self.groups.get_mut(place) else {
            let report = GateReport::Failed(format!("the gate knows no group {group}"));
            return (self.report)(GateEvent::Report { group, generation, report });
        };
        if done.generation.is_some_and(|last| generation <= last) {
            return;
        }
        done.generation = Some(generation);
        let Done { closed, until, .. } = *done;
        let behind_close = closed && matches!(order, GateOrder::Renew(_));
        let report = if behind_close { Ok(GateReport::Lapsed) } else { self.carry_out(place, order, until) };
        let (report, refused) = match report {
            Ok(report) => (report, false),
            // Not an order that came too late: the kernel does not make or keep a gate.
            Err(error) if error.raw_os_error().is_some() => (GateReport::Unguarded(error.to_string()), true),
            Err(error) => (GateReport::Failed(error.to_string()), false),
        };
        if let Some(done) = self.groups.get_mut(place) {
            done.closed = matches!(report, GateReport::Closed | GateReport::Lapsed);
            done.until = match (order, &report) {
                (GateOrder::Open(until), GateReport::Opened) => Some(until),
                (GateOrder::Renew(until) | GateOrder::Rebuild(until), GateReport::Opened | GateReport::Renewed) => Some(until),
                (GateOrder::Renew(_) | GateOrder::Rebuild(_), GateReport::Failed(_)) if self.damaged => until,
                // The address's lifetime guards alone, as if there were only the weak gate.
                (GateOrder::Renew(until) | GateOrder::Rebuild(until), GateReport::Unguarded(_)) => Some(until),
                _ => None,
            };
        }
        if refused {
            self.damaged(false);
        }
        (self.report)(GateEvent::Report { group, generation, report });
    }

    /// What is damaged is made again by any order that needs it whole.
    fn carry_out(&mut self, group: usize, order: GateOrder, in_force: Option<Mono>) -> io::Result<GateReport> {
        let gate = match &mut self.gate {
            AnyGate::Inet(gate) => gate,
            AnyGate::Weak(gate) => return weak(gate, group, order),
        };
        match order {
            GateOrder::Open(until) if !self.damaged => gate.open(group, until).map(|()| GateReport::Opened),
            GateOrder::Close if self.damaged => {
                gate.install()?;
                gate.close(group)?;
                // Other gates that are to be open are not yet.
                self.damaged = self.groups.iter().enumerate().any(|(other, done)| other != group && done.until.is_some());
                Ok(GateReport::Closed)
            }
            GateOrder::Close => gate.close(group).map(|()| GateReport::Closed),
            GateOrder::Renew(until) if !self.damaged => match gate.renew(group, until)? {
                Renewal::Renewed => Ok(GateReport::Renewed),
                Renewal::Lapsed => Ok(GateReport::Lapsed),
                Renewal::Damaged => {
                    self.damaged(false);
                    self.carry_out(group, order, in_force)
                }
            },
            // No element tells whether it was open: the instant that was in force does.
            GateOrder::Renew(_) if in_force.is_none_or(|until| now() >= until) => Ok(GateReport::Lapsed),
            GateOrder::Open(until) | GateOrder::Renew(until) | GateOrder::Rebuild(until) => {
                let made = gate.rebuild(group, until);
                // Too late to be open, the tables may be there nevertheless, closed: the next renewal is a lapse then.
                self.damaged = made.is_err() && !matches!(gate.is_whole(), Ok(true));
                made.map(|()| GateReport::Opened)
            }
        }
    }

    fn damage(&mut self, damage: Damage) {
        let AnyGate::Inet(gate) = &mut self.gate else { return };
        if damage == Damage::Changed || !matches!(gate.is_whole(), Ok(true)) {
            self.damaged(true);
        }
    }

    /// Says it once. As soon as no gate is to be open, the closed gate is made again at once; until then that is the decision's to order.
    fn damaged(&mut self, repair: bool) {
        let known = std::mem::replace(&mut self.damaged, true);
        if repair && !self.groups.iter().any(|group| group.until.is_some()) {
            self.repair();
            // Of an open gate the decision says it.
            if !self.damaged && self.said.is_none_or(|at| now().since(at) >= SAY_EVERY) {
                self.said = Some(now());
                tracing::warn!("a foreign hand changed the gate's tables: made again, closed");
            }
        }
        if !known {
            (self.report)(GateEvent::TableGone);
        }
    }

    fn repair(&mut self) {
        if let AnyGate::Inet(gate) = &mut self.gate {
            self.damaged = gate.repair().is_err();
        }
    }

    /// With a gate that is to be open, its next renewal tries.
    fn try_again(&mut self) {
        if self.groups.iter().any(|group| group.until.is_some_and(|until| now() < until)) {
            return;
        }
        self.repair();
        if !self.damaged {
            for (group, done) in (0..).map(GroupId).zip(&self.groups) {
                let (generation, report) = (done.generation.unwrap_or(0), GateReport::Closed);
                (self.report)(GateEvent::Report { group, generation, report });
            }
        }
    }

    fn read(&mut self) -> Vec<Option<Mono>> {
        let groups = 0..self.groups.len();
        match &mut self.gate {
            AnyGate::Inet(gate) => groups.map(|group| gate.read(group).ok().flatten()).collect(),
            AnyGate::Weak(gate) => groups.map(|group| gate.read(group)).collect(),
        }
    }
}

fn weak(gate: &mut WeakGate, group: usize, order: GateOrder) -> io::Result<GateReport> {
    match order {
        GateOrder::Open(until) | GateOrder::Rebuild(until) if gate.open(group, until) => Ok(GateReport::Opened),
        GateOrder::Open(until) | GateOrder::Rebuild(until) => Err(io::Error::other(format!("too late to be open until {until}"))),
        GateOrder::Renew(until) if gate.renew(group, until) == Renewal::Renewed => Ok(GateReport::Renewed),
        GateOrder::Renew(_) => Ok(GateReport::Lapsed),
        GateOrder::Close => {
            gate.close(group);
            Ok(GateReport::Closed)
        }
    }
}

fn superseded(group: GroupId, order: GateOrder, queue: &VecDeque<Work>) -> bool {
    matches!(order, GateOrder::Renew(_))
        && queue
            .iter()
            .any(|work| matches!(work, Work::Order(other, _, later) if *other == group && !matches!(later, GateOrder::Renew(_))))
}

/// The shortest time between two lines about a foreign hand at closed tables.
const SAY_EVERY: Span = Span::secs(60);
/// Between two attempts to make tables that could not be made.
const AGAIN: Duration = Duration::from_secs(1);
