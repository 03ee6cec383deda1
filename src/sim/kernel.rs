//! A machine's kernel as far as the rules use it: a gate and addresses for each group. It lives on while the daemon hangs.

use crate::core::broken::{Broken, broken};
use crate::core::io::{AddressOrder, AddressReport, GateOrder, GateReport};
use crate::core::time::{Mono, Span};

/// One group's gate and addresses.
#[derive(Clone, Copy, Debug, Default)]
pub struct GroupKernel {
    /// Until when the gate lets the VIP work; an instant in the past is a gate that closed by itself.
    pub gate: Option<Mono>,
    /// Until when the addresses live.
    pub address: Option<Mono>,
}

/// The whole kernel.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// The gate's table exists. While it does not, nothing gates.
    pub table: bool,
    /// Each group.
    pub groups: Vec<GroupKernel>,
}

/// Who asked for something that cannot be done hears this.
const NO_TABLE: &str = "the gate's table is missing";

impl Kernel {
    /// A kernel just booted: nothing configured.
    pub fn new(groups: usize) -> Kernel {
        Kernel { table: false, groups: vec![GroupKernel::default(); groups] }
    }

    /// The gate lets the VIP work.
    pub fn gate_open(&self, now: Mono, group: usize) -> bool {
        self.groups[group].gate.is_some_and(|until| now < until || broken(Broken::GateStaysOpen))
    }

    /// An address of the group is there.
    pub fn has_address(&self, now: Mono, group: usize) -> bool {
        self.groups[group].address.is_some_and(|until| now < until)
    }

    /// This kernel answers for the group's VIPs.
    pub fn answers(&self, now: Mono, group: usize) -> bool {
        self.has_address(now, group) && (!self.table || self.gate_open(now, group))
    }

    /// The next instant after `now` at which something ends by itself.
    pub fn next_expiry(&self, now: Mono, group: usize) -> Option<Mono> {
        let GroupKernel { gate, address } = self.groups[group];
        [gate, address].into_iter().flatten().filter(|until| *until > now).min()
    }

    /// The daemon starts: the table is made when it is missing, and says which gates are open.
    pub fn adopt(&mut self, now: Mono) -> Vec<Option<Mono>> {
        if !self.table {
            self.table = true;
            self.groups.iter_mut().for_each(|group| group.gate = None);
        }
        self.groups.iter().map(|group| group.gate.filter(|until| now < *until)).collect()
    }

    /// A foreign hand flushes the ruleset.
    pub fn flush(&mut self) {
        self.table = false;
        self.groups.iter_mut().for_each(|group| group.gate = None);
    }

    /// A foreign hand deletes the addresses; says whether there were any.
    pub fn delete_address(&mut self, now: Mono, group: usize) -> bool {
        let had = self.has_address(now, group);
        self.groups[group].address = None;
        had
    }

    /// Carries out a gate order at `now`; `lag` is how long after the actuator's look at the clock the kernel acted (timeouts are relative).
    pub fn gate(&mut self, now: Mono, lag: Span, group: usize, order: GateOrder) -> GateReport {
        let live = self.gate_open(now, group);
        let element = &mut self.groups[group].gate;
        match order {
            GateOrder::Close => {
                *element = None;
                // As the host does it: an order that met a missing table has it repaired, and is given again.
                if std::mem::replace(&mut self.table, true) { GateReport::Closed } else { GateReport::Failed(NO_TABLE.into()) }
            }
            // As the host does it: an opening makes a missing table again, a renewal does not.
            GateOrder::Open(until) if !self.table => self.gate(now, lag, group, GateOrder::Rebuild(until)),
            GateOrder::Renew(_) if !self.table => GateReport::Failed(NO_TABLE.into()),
            GateOrder::Open(until) if until <= now => {
                *element = None;
                GateReport::Failed("the instant has passed".into())
            }
            GateOrder::Open(until) => {
                *element = Some(until + lag);
                GateReport::Opened
            }
            GateOrder::Renew(until) if (live || broken(Broken::RenewalRevives)) && until > now => {
                *element = Some(until + lag);
                GateReport::Renewed
            }
            GateOrder::Renew(_) => {
                *element = None;
                GateReport::Lapsed
            }
            GateOrder::Rebuild(until) => {
                self.table = true;
                let element = &mut self.groups[group].gate;
                *element = Some(until + lag).filter(|_| until > now);
                if until > now { GateReport::Opened } else { GateReport::Closed }
            }
        }
    }

    /// Carries out an address order; `late` is how much later than ordered the kernel will notice the lifetime's end.
    pub fn address(&mut self, now: Mono, late: Span, group: usize, order: AddressOrder) -> AddressReport {
        let there = self.has_address(now, group);
        let address = &mut self.groups[group].address;
        match order {
            AddressOrder::Remove => {
                *address = None;
                AddressReport::Removed
            }
            AddressOrder::Add(life) => {
                *address = Some(now + whole_seconds(life) + late);
                AddressReport::Added
            }
            AddressOrder::Refresh(life) if there => {
                *address = Some(now + whole_seconds(life) + late);
                AddressReport::Added
            }
            AddressOrder::Refresh(_) => {
                *address = None;
                AddressReport::Failed("gone".into())
            }
        }
    }
}

fn whole_seconds(life: Span) -> Span {
    Span::secs(life.0.div_ceil(1_000_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(until: u64) -> Kernel {
        let mut kernel = Kernel::new(1);
        kernel.adopt(Mono(0));
        kernel.address(Mono(0), Span::ZERO, 0, AddressOrder::Add(Span::secs(2)));
        kernel.gate(Mono(0), Span::ZERO, 0, GateOrder::Open(Mono(until)));
        kernel
    }

    #[test]
    fn a_gate_closes_by_itself_and_a_renewal_after_that_is_a_lapse() {
        let mut kernel = open(100);
        assert!(kernel.answers(Mono(99), 0) && !kernel.answers(Mono(100), 0));
        assert_eq!(kernel.gate(Mono(100), Span::ZERO, 0, GateOrder::Renew(Mono(200))), GateReport::Lapsed);
        assert!(!kernel.answers(Mono(100), 0));
    }

    #[test]
    fn without_the_table_only_the_lifetime_guards() {
        let mut kernel = open(100);
        kernel.flush();
        assert!(kernel.answers(Mono(500), 0));
        assert!(matches!(kernel.gate(Mono(50), Span::ZERO, 0, GateOrder::Renew(Mono(90))), GateReport::Failed(_)));
        assert_eq!(kernel.gate(Mono(50), Span::ZERO, 0, GateOrder::Rebuild(Mono(90))), GateReport::Opened);
        assert!(kernel.answers(Mono(89), 0) && !kernel.answers(Mono(90), 0));
    }

    #[test]
    fn a_refresh_brings_no_address_back() {
        let mut kernel = open(100);
        kernel.delete_address(Mono(1), 0);
        let report = kernel.address(Mono(2), Span::ZERO, 0, AddressOrder::Refresh(Span::secs(1)));
        assert_eq!(report, AddressReport::Failed("gone".into()));
        assert!(!kernel.has_address(Mono(3), 0));
    }
}
