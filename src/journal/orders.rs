//! How long the kernel took for the gate's orders, for `why`: each is in the journal with its time, and so is the kernel's word on it.

use std::collections::BTreeMap;

use twinbeat_core::id::GroupId;
use twinbeat_core::io::{GateOrder, Input, Output};
use twinbeat_core::time::{Mono, Span};

/// An order takes a millisecond or two, and tens of them on a busy machine.
const LONG: Span = Span::millis(100);
/// One that is this old when something is decided explains nothing.
const MEMORY: Span = Span::secs(60);

/// The orders under way, and the newest one of each group that took long.
#[derive(Debug, Default)]
pub(super) struct Orders {
    open: BTreeMap<(GroupId, u64), Order>,
    long: BTreeMap<GroupId, (Mono, Span)>,
}

/// An order under way.
#[derive(Clone, Copy, Debug)]
struct Order {
    at: Mono,
    /// Of a renewal that is carried out nothing is heard: it may have been carried out long ago.
    renews: bool,
}

impl Orders {
    /// An order goes out.
    pub fn ordered(&mut self, at: Mono, output: &Output) {
        let Output::Gate { group, generation, order } = output else { return };
        self.open.retain(|_, order| !order.renews || at.since(order.at) <= MEMORY);
        let renews = matches!(order, GateOrder::Renew(_));
        self.open.insert((*group, *generation), Order { at, renews });
    }

    /// The kernel's word on one. Those before it were overtaken, and get none.
    pub fn reported(&mut self, at: Mono, input: &Input) {
        let Input::Gate { group, generation, .. } = input else { return };
        if let Some(ordered) = self.open.remove(&(*group, *generation)) {
            self.took(*group, ordered.at, at);
        }
        self.open.retain(|(of, number), _| of != group || number > generation);
    }

    fn took(&mut self, group: GroupId, ordered: Mono, at: Mono) {
        if at.since(ordered) >= LONG {
            self.long.insert(group, (at, at.since(ordered)));
        }
    }

    /// What is to be said of a group at `at`; none when its orders were carried out as they should.
    pub fn words(&self, group: GroupId, at: Mono) -> Option<String> {
        let waits = self.open.iter().filter(|((of, _), order)| *of == group && !order.renews);
        let waits = waits.map(|(_, order)| at.since(order.at)).max();
        if let Some(waits) = waits.filter(|waits| *waits >= LONG) {
            return Some(format!("the kernel has had an order for {waits} and not carried it out; {CAUSE}"));
        }
        let (_, took) = self.long.get(&group).filter(|(when, _)| at.since(*when) <= MEMORY)?;
        Some(format!("the kernel took {took} to carry out an order; {CAUSE}"))
    }
}

/// What holds orders up.
const CAUSE: &str = "another nftables transaction was under way (`nft monitor` shows whose), or the machine stood still";

#[cfg(test)]
mod tests {
    use super::*;
    use twinbeat_core::io::GateReport;

    const WEB: GroupId = GroupId(0);

    fn at(ms: u64) -> Mono {
        Mono::ZERO + Span::millis(ms)
    }

    fn order(generation: u64) -> Output {
        Output::Gate { group: WEB, generation, order: GateOrder::Renew(at(9_000)) }
    }

    fn close(generation: u64) -> Output {
        Output::Gate { group: WEB, generation, order: GateOrder::Close }
    }

    fn word(generation: u64, report: GateReport) -> Input {
        Input::Gate { group: WEB, generation, report }
    }

    #[test]
    fn an_order_that_the_kernel_holds_up_is_named_with_its_time_and_a_quick_one_is_not() {
        let mut orders = Orders::default();
        orders.ordered(at(0), &order(1));
        orders.reported(at(2), &word(1, GateReport::Renewed));
        assert_eq!(orders.words(WEB, at(3)), None);
        orders.ordered(at(100), &close(2));
        orders.ordered(at(200), &order(3));
        let text = orders.words(WEB, at(1_100)).unwrap();
        assert!(text.starts_with("the kernel has had an order for 1s and not carried it out"), "{text}");
        // The one before it was overtaken in the queue.
        orders.reported(at(1_700), &word(3, GateReport::Lapsed));
        let text = orders.words(WEB, at(1_700)).unwrap();
        assert!(text.starts_with("the kernel took 1.5s to carry out an order; another nftables transaction"), "{text}");
        assert_eq!(orders.words(GroupId(1), at(1_700)), None);
        assert_eq!(orders.words(WEB, at(90_000)), None);
    }
    #[test]
    fn renewals_of_which_nothing_was_heard_were_carried_out() {
        let mut orders = Orders::default();
        for number in 1..1_000 {
            orders.ordered(at(number * 100), &order(number));
        }
        assert_eq!(orders.words(WEB, at(100_000)), None);
        // One that was refused in the end was held up.
        orders.reported(at(101_000), &word(998, GateReport::Lapsed));
        let text = orders.words(WEB, at(101_000)).unwrap();
        assert!(text.starts_with("the kernel took 1.2s to carry out an order"), "{text}");
        assert!(orders.open.len() <= 601, "{}", orders.open.len());
    }
}
