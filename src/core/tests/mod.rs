//! Every state of the decision with every input. What two nodes do against each other is tested in the simulator's world (`sim`, pair_tests).
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used)]

mod arrival;
mod files;
mod table;
