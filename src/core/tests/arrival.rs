//! How long a failback waits whose return path did not come; what comes of such moves is tested in the simulator's world (`sim`, pair_tests).

use crate::arrival::failback_wait;
use crate::prelude::*;

#[test]
fn a_failback_that_never_arrives_waits_twice_as_long_each_time_up_to_an_hour() {
    let waits = (0..10).chain([u32::MAX]).map(|count| failback_wait(count).0 / 1_000_000_000);
    assert_eq!(waits.collect::<Vec<_>>(), [30, 30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]);
}
