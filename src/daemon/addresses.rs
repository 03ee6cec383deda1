//! The address orders' queue: a thread carries them out one behind the other, another hears of deletions by foreign hands.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use twinbeat_config::Scheduling;
use twinbeat_core::id::{Attempt, GroupId};
use twinbeat_core::io::{AddressOrder, Input};
use twinbeat_host::realtime::this_thread;
use twinbeat_host::vip::{Vip, VipWatch, Vips};

/// The queue.
pub struct AddressOrders {
    orders: mpsc::Sender<(GroupId, Attempt, AddressOrder)>,
    present: Vec<bool>,
}

impl AddressOrders {
    /// Starts the threads. `report` gets the results and the deletions by foreign hands.
    ///
    /// # Errors
    /// When no netlink socket or thread can be made.
    pub fn start(
        groups: Vec<Vec<Vip>>,
        scheduling: Scheduling,
        report: impl Fn(Input) + Send + Clone + 'static,
    ) -> io::Result<AddressOrders> {
        let mut vips = Vips::new(groups.clone())?;
        for gone in vips.sweep()? {
            tracing::warn!("{gone} was left by an earlier life and is in no group: removed");
        }
        let present = (0..groups.len()).map(|g| vips.present(g).map(|all| !all.is_empty())).collect::<io::Result<_>>()?;
        // Which groups' addresses should be there: what goes then was taken by a foreign hand, or ran out.
        let held: Arc<[AtomicBool]> = groups.iter().map(|_| AtomicBool::new(false)).collect();
        let mut watch = VipWatch::new(&groups, vips.port())?;
        let (expected, foreign) = (Arc::clone(&held), report.clone());
        let (end, alive) = io::pipe()?;
        std::thread::Builder::new().name("vip-watch".into()).spawn(move || {
            // Ends with the thread below, and that with the daemon.
            while let Some(groups) = watch.wait(&end).unwrap_or(Some(Vec::new())) {
                for group in groups {
                    if expected.get(group).is_some_and(|h| h.load(Ordering::SeqCst)) {
                        foreign(Input::AddressGone { group: GroupId(group as u8) });
                    }
                }
            }
        })?;
        let (orders, inbox) = mpsc::channel::<(GroupId, Attempt, AddressOrder)>();
        std::thread::Builder::new().name("vip".into()).spawn(move || {
            let _ = this_thread(&scheduling);
            let _alive = alive;
            for (group, attempt, order) in inbox {
                let place = usize::from(group.0);
                if let Some(held) = held.get(place) {
                    match order {
                        AddressOrder::Add(_) | AddressOrder::Refresh(_) => held.store(true, Ordering::SeqCst),
                        AddressOrder::Remove => held.store(false, Ordering::SeqCst),
                    }
                }
                let result = vips.carry_out(place, order);
                report(Input::Address { group, attempt, report: result });
            }
        })?;
        Ok(AddressOrders { orders, present })
    }

    /// Queues an order.
    pub fn order(&self, group: GroupId, attempt: Attempt, order: AddressOrder) {
        let _ = self.orders.send((group, attempt, order));
    }

    /// For each group, whether any of its addresses was there at the start.
    pub fn present(&self) -> Vec<bool> {
        self.present.clone()
    }
}
