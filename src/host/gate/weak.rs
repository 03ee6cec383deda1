//! The weak gate, for kernels without the nftables families that the strong one needs: only the addresses' own lifetimes guard (SAFETY limit f).

use super::kernel::Renewal;
use crate::clock::now;
use twinbeat_core::time::Mono;

/// Remembers until when each group may be open. It guards nothing by itself: `vip` gives the addresses the lifetime.
pub struct WeakGate {
    until: Vec<Option<Mono>>,
}

impl WeakGate {
    /// All closed.
    pub fn new(groups: usize) -> WeakGate {
        WeakGate { until: vec![None; groups] }
    }

    /// Open until this instant; false when it has passed or the group is unknown.
    pub fn open(&mut self, group: usize, until: Mono) -> bool {
        let Some(place) = self.until.get_mut(group) else { return false };
        *place = (until > now()).then_some(until);
        place.is_some()
    }

    /// Open until this instant, if it is still open.
    pub fn renew(&mut self, group: usize, until: Mono) -> Renewal {
        if self.read(group).is_some() && self.open(group, until) { Renewal::Renewed } else { Renewal::Lapsed }
    }

    /// Closed. The addresses must be removed for that to be true in the kernel.
    pub fn close(&mut self, group: usize) {
        if let Some(place) = self.until.get_mut(group) {
            *place = None;
        }
    }

    /// Until when it is open.
    pub fn read(&self, group: usize) -> Option<Mono> {
        self.until.get(group).copied().flatten().filter(|until| *until > now())
    }
}
