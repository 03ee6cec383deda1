//! The gate's own thread: one ordered queue, so that nothing overtakes a close (SAFETY R1).
//!
//! An order whose generation is not above the last one carried out for its group is dropped without a report, and so is
//! a renewal that has a later close, opening or rebuilding of its group waiting behind it. A renewal that comes after a
//! close is never sent to the kernel: it reports `Lapsed`. An opening of a damaged table makes the table again.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use super::{Damage, Gate, Renewal, WeakGate};
use crate::core::id::GroupId;
use crate::core::io::{GateOrder, GateReport};
use crate::core::time::Mono;

/// Whichever gate this machine has.
pub enum AnyGate {
    /// The kernel's own.
    Netdev(Gate),
    /// Address lifetimes alone.
    Weak(WeakGate),
}

/// What the thread says.
#[derive(Clone, PartialEq, Debug)]
pub enum GateEvent {
    /// An order was carried out, or not.
    Report {
        /// The group.
        group: GroupId,
        /// The order's.
        generation: u64,
        /// What the kernel said.
        report: GateReport,
    },
    /// The table is gone or damaged: the gate guards nothing until `Rebuild`.
    TableGone,
    /// The hooks could not follow the interfaces.
    InterfacesFailed(String),
}

enum Work {
    Order(GroupId, u64, GateOrder),
    Interfaces(Vec<String>),
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

    /// Queues the node's interfaces, all of them.
    pub fn interfaces(&self, names: Vec<String>) {
        let _ = self.0.send(Work::Interfaces(names));
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
    pub fn start(gate: AnyGate, groups: usize, report: impl FnMut(GateEvent) + Send + 'static) -> io::Result<GateThread> {
        let (sender, receiver) = channel();
        let mut worker = Worker { gate, groups: vec![Done::default(); groups], damaged: false, report };
        let thread = std::thread::Builder::new().name("gate".to_owned()).spawn(move || {
            let _ = crate::host::realtime::this_thread();
            worker.run(&receiver);
        })?;
        Ok(GateThread { orders: Orders(sender), thread })
    }

    /// The sending end of the queue.
    pub fn orders(&self) -> Orders {
        self.orders.clone()
    }

    /// Carries out what is queued and ends. `remove` takes the table away too: only when no VIP is left.
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
    /// The last order ended open.
    open: bool,
}

struct Worker<R> {
    gate: AnyGate,
    groups: Vec<Done>,
    damaged: bool,
    report: R,
}

impl<R: FnMut(GateEvent)> Worker<R> {
    fn run(&mut self, receiver: &Receiver<Work>) {
        let mut queue = VecDeque::new();
        while let Ok(work) = receiver.recv() {
            queue.push_back(work);
            while let Some(work) = queue.pop_front() {
                queue.extend(receiver.try_iter());
                match work {
                    Work::Order(group, generation, order) => {
                        if !superseded(group, order, &queue) {
                            self.order(group, generation, order);
                        }
                    }
                    Work::Interfaces(names) => self.interfaces(&names),
                    Work::Damage(damage) => self.damage(damage),
                    Work::Read(answer) => {
                        let _ = answer.send(self.read());
                    }
                    Work::Stop { remove } => {
                        if let (true, AnyGate::Netdev(gate)) = (remove, &mut self.gate) {
                            let _ = gate.remove_all();
                        }
                        return;
                    }
                }
            }
        }
    }

    fn order(&mut self, group: GroupId, generation: u64, order: GateOrder) {
        let Some(done) = self.groups.get_mut(usize::from(group.0)) else {
            let report = GateReport::Failed(format!("the gate knows no group {group}"));
            return (self.report)(GateEvent::Report { group, generation, report });
        };
        if done.generation.is_some_and(|last| generation <= last) {
            return;
        }
        done.generation = Some(generation);
        let order = match order {
            GateOrder::Open(until) if self.damaged => GateOrder::Rebuild(until),
            order => order,
        };
        let behind_close = done.closed && matches!(order, GateOrder::Renew(_));
        let report = if behind_close { Ok(GateReport::Lapsed) } else { self.gate.carry_out(group, order) };
        // A gate that is to be closed must not keep a lost table from being made again: without it nothing can be closed, for ever.
        done.open &= order != GateOrder::Close;
        let report = report.unwrap_or_else(|error| {
            self.damage(Damage::Unknown);
            GateReport::Failed(error.to_string())
        });
        if matches!((&report, order), (GateReport::Opened, GateOrder::Rebuild(_))) {
            self.damaged = false;
        }
        if let Some(done) = self.groups.get_mut(usize::from(group.0)) {
            done.closed = matches!(report, GateReport::Closed | GateReport::Lapsed);
            done.open = matches!(report, GateReport::Opened | GateReport::Renewed);
        }
        (self.report)(GateEvent::Report { group, generation, report });
    }

    fn interfaces(&mut self, names: &[String]) {
        if let AnyGate::Netdev(gate) = &mut self.gate
            && let Err(error) = gate.set_interfaces(names)
        {
            (self.report)(GateEvent::InterfacesFailed(error.to_string()));
        }
    }

    /// Says it once. As soon as no gate is to be open, the closed gate is made again at once; until then that is the decision's to order.
    fn damage(&mut self, damage: Damage) {
        let AnyGate::Netdev(gate) = &mut self.gate else { return };
        let gone = match damage {
            Damage::Table | Damage::Unknown => !matches!(gate.table_exists(), Ok(true)),
            Damage::Rules => true,
        };
        if !gone {
            return;
        }
        let known = std::mem::replace(&mut self.damaged, self.groups.iter().any(|group| group.open) || gate.repair().is_err());
        if !known {
            (self.report)(GateEvent::TableGone);
        }
    }

    fn read(&mut self) -> Vec<Option<Mono>> {
        let groups = 0..self.groups.len();
        match &mut self.gate {
            AnyGate::Netdev(gate) => groups.map(|group| gate.read(group).ok().flatten()).collect(),
            AnyGate::Weak(gate) => groups.map(|group| gate.read(group)).collect(),
        }
    }
}

impl AnyGate {
    fn carry_out(&mut self, group: GroupId, order: GateOrder) -> io::Result<GateReport> {
        let group = usize::from(group.0);
        match (self, order) {
            (AnyGate::Netdev(gate), GateOrder::Open(until)) => gate.open(group, until).map(|()| GateReport::Opened),
            (AnyGate::Netdev(gate), GateOrder::Rebuild(until)) => gate.rebuild(group, until).map(|()| GateReport::Opened),
            (AnyGate::Netdev(gate), GateOrder::Close) => gate.close(group).map(|()| GateReport::Closed),
            (AnyGate::Netdev(gate), GateOrder::Renew(until)) => match gate.renew(group, until)? {
                Renewal::Renewed => Ok(GateReport::Renewed),
                Renewal::Lapsed => Ok(GateReport::Lapsed),
                Renewal::TableGone => Err(io::Error::other("the gate's table is gone")),
            },
            (AnyGate::Weak(gate), GateOrder::Open(until) | GateOrder::Rebuild(until)) => {
                let open = gate.open(group, until);
                if open { Ok(GateReport::Opened) } else { Err(io::Error::other(format!("too late to be open until {until}"))) }
            }
            (AnyGate::Weak(gate), GateOrder::Renew(until)) => match gate.renew(group, until) {
                Renewal::Renewed => Ok(GateReport::Renewed),
                Renewal::Lapsed | Renewal::TableGone => Ok(GateReport::Lapsed),
            },
            (AnyGate::Weak(gate), GateOrder::Close) => {
                gate.close(group);
                Ok(GateReport::Closed)
            }
        }
    }
}

fn superseded(group: GroupId, order: GateOrder, queue: &VecDeque<Work>) -> bool {
    matches!(order, GateOrder::Renew(_))
        && queue
            .iter()
            .any(|work| matches!(work, Work::Order(other, _, later) if *other == group && !matches!(later, GateOrder::Renew(_))))
}
