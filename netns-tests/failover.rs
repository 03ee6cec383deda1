//! Real daemons under the baseline's faults, judged from outside: never two nodes that answer, gaps and moves as the catalogue says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use twinbeat::core::id::NodeId;
use twinbeat::lab::catalogue::{self, CATALOGUE};
use twinbeat::lab::pair::Pair;

/// A quarter of the lab's lease.
const STALL: Duration = Duration::from_millis(80);

/// One pair at a time: gaps of milliseconds are measured, and two cores are few.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn drill(name: &str) {
    if !common::ready() {
        return;
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let never = AtomicBool::new(false);
    let fault = catalogue::find(name).unwrap();
    let mut pair = Pair::start(Path::new(env!("CARGO_BIN_EXE_twinbeat"))).unwrap();
    pair.wait_for(NodeId(0), Duration::from_secs(30), &never).unwrap();
    let verdict = pair.drill(fault, &never, &mut |_| {}).unwrap();
    // A machine that stood still for longer than a lease bears tells nothing about gaps and moves: said, and judged no further.
    // Two owners, and a pair that does not come back, are failures on any machine.
    let stall = verdict.fault.lateness.max(verdict.heal.lateness);
    if stall > STALL && !verdict.failures.is_empty() {
        println!("{name}: NOT JUDGED, the machine itself stood still for {stall:?}: {:?}", verdict.failures);
        assert_eq!(verdict.fault.two_owners + verdict.heal.two_owners, Duration::ZERO, "{verdict:#?}");
        assert!(!verdict.failures.iter().any(|f| f.contains("does not serve alone")), "{verdict:#?}\n{}", pair.logs());
        return;
    }
    assert!(verdict.failures.is_empty(), "{name}: {:#?}\n{verdict:#?}\n{}", verdict.failures, pair.logs());
}

macro_rules! faults {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            drill(stringify!($name));
        })*

        #[test]
        fn every_fault_of_the_catalogue_has_a_test() {
            let tested = [$(stringify!($name)),*];
            assert!(CATALOGUE.iter().map(|f| f.name).eq(tested));
        }
    };
}

faults! {
    power_off graceful_stop daemon_sigkill daemon_sigstop hb1_down hb_all_down public_down public_blackhole gw_down isolate_silent
    oneway_a_to_b oneway_b_to_a cut_all_but_gw hb_loss30 hb_loss60 power_off_loss30 nginx_killed standby public_flap peer_power_off both_power_cycle boot_alone separate_no_relay foreign_flush_ruleset
    foreign_delete_vip restart sigkill_supervised
}
