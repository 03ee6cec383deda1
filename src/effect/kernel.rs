//! A machine's kernel as far as the rules use it: a gate and addresses for each group. It lives on while the daemon hangs.

use twinbeat_core::bite::{self, Clause};
use twinbeat_core::io::{AddressOrder, AddressReport, GateOrder, GateReport};
use twinbeat_core::time::{Mono, Span};

/// One group's gate and addresses.
#[derive(Clone, Copy, Debug, Default)]
pub struct GroupKernel {
    /// Until when the gate lets the VIP work; an instant in the past is a gate that closed by itself.
    pub gate: Option<Mono>,
    /// Until when the addresses live.
    pub address: Option<Mono>,
    /// Until when the daemon's gate thread takes the gate for open: all that is left of it when the table is gone.
    pub in_force: Option<Mono>,
}

/// The whole kernel.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// The gate's table exists. While it does not, nothing gates.
    pub table: bool,
    /// It makes no table.
    pub refuses: bool,
    /// Each group.
    pub groups: Vec<GroupKernel>,
}

/// Who asks a kernel that makes no table hears this.
const REFUSED: &str = "no table is made";

impl Kernel {
    /// A kernel just booted: nothing configured.
    pub fn new(groups: usize) -> Kernel {
        Kernel { table: false, refuses: false, groups: vec![GroupKernel::default(); groups] }
    }

    /// The gate lets the VIP work.
    pub fn gate_open(&self, now: Mono, group: usize) -> bool {
        self.groups[group].gate.is_some_and(|until| now < until || bite::off(Clause::GateStaysOpen))
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
        let GroupKernel { gate, address, .. } = self.groups[group];
        [gate, address].into_iter().flatten().filter(|until| *until > now).min()
    }

    /// The daemon starts: the table is made when it is missing, and says which gates are open.
    pub fn adopt(&mut self, now: Mono) -> Vec<Option<Mono>> {
        if !self.table {
            self.table = true;
            self.groups.iter_mut().for_each(|group| group.gate = None);
        }
        self.groups.iter_mut().for_each(|group| group.in_force = group.gate.filter(|until| now < *until));
        self.groups.iter().map(|group| group.in_force).collect()
    }

    /// A daemon of another name starts: the table of its own name stands, closed, before the one of the earlier name is removed with
    /// whatever that had left open.
    pub fn table_of_another_name(&mut self) {
        self.table = true;
        self.groups.iter_mut().for_each(|group| group.gate = None);
    }

    /// It makes no table any more, and the one that was there is gone; or it does again, and what is to be closed is made at once.
    pub fn refuse(&mut self, now: Mono, on: bool) {
        self.refuses = on;
        if on {
            self.flush();
        } else {
            self.table |= self.groups.iter().all(|group| group.in_force.is_none_or(|until| now >= until));
        }
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
        let report = self.carry_out(now, lag, group, order);
        self.groups[group].in_force = match (order, &report) {
            (GateOrder::Close, _) | (_, GateReport::Closed | GateReport::Lapsed | GateReport::Failed(_)) => None,
            (GateOrder::Open(_), GateReport::Unguarded(_)) => None,
            (GateOrder::Open(until) | GateOrder::Renew(until) | GateOrder::Rebuild(until), _) => Some(until),
        };
        report
    }

    fn carry_out(&mut self, now: Mono, lag: Span, group: usize, order: GateOrder) -> GateReport {
        let live = self.gate_open(now, group);
        let GroupKernel { gate: element, in_force, .. } = &mut self.groups[group];
        match order {
            GateOrder::Renew(_) if !self.table && bite::off(Clause::FlushIgnored) => GateReport::Failed(REFUSED.into()),
            // As the host does it: without a table the instant that was in force tells whether the gate had closed.
            GateOrder::Renew(_) if !self.table && in_force.is_none_or(|until| now >= until) => GateReport::Lapsed,
            _ if !self.table && self.refuses => GateReport::Unguarded(REFUSED.into()),
            GateOrder::Close => {
                *element = None;
                self.table = true;
                GateReport::Closed
            }
            // As the host does it: an order makes a missing table again.
            GateOrder::Open(until) | GateOrder::Renew(until) if !self.table => {
                self.carry_out(now, lag, group, GateOrder::Rebuild(until))
            }
            GateOrder::Open(until) if until <= now => {
                *element = None;
                GateReport::Failed("the instant has passed".into())
            }
            GateOrder::Open(until) => {
                *element = Some(until + lag);
                GateReport::Opened
            }
            GateOrder::Renew(until) if (live || bite::off(Clause::RenewalRevives)) && until > now => {
                *element = Some(until + lag);
                GateReport::Renewed
            }
            GateOrder::Renew(_) => {
                *element = None;
                GateReport::Lapsed
            }
            GateOrder::Rebuild(until) => {
                self.table = true;
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
        assert_eq!(kernel.gate(Mono(500), Span::ZERO, 0, GateOrder::Renew(Mono(900))), GateReport::Lapsed);
        let mut kernel = open(100);
        kernel.flush();
        assert_eq!(kernel.gate(Mono(50), Span::ZERO, 0, GateOrder::Renew(Mono(90))), GateReport::Opened);
        assert!(kernel.answers(Mono(89), 0) && !kernel.answers(Mono(90), 0));
    }

    #[test]
    fn what_the_table_of_another_name_left_open_is_closed() {
        let mut kernel = open(100);
        kernel.table_of_another_name();
        assert_eq!(kernel.adopt(Mono(50)), [None]);
        assert!(kernel.has_address(Mono(50), 0) && !kernel.answers(Mono(50), 0));
    }

    #[test]
    fn a_kernel_that_makes_no_table_says_so_until_it_does() {
        let mut kernel = open(100);
        kernel.refuse(Mono(10), true);
        assert!(matches!(kernel.gate(Mono(50), Span::ZERO, 0, GateOrder::Renew(Mono(150))), GateReport::Unguarded(_)));
        assert!(kernel.answers(Mono(120), 0));
        kernel.refuse(Mono(130), false);
        assert_eq!(kernel.gate(Mono(140), Span::ZERO, 0, GateOrder::Renew(Mono(200))), GateReport::Opened);
        assert!(kernel.answers(Mono(199), 0) && !kernel.answers(Mono(200), 0));
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
