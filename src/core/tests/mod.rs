//! What is looked at here is private to the room. Every state of the decision with every input, and what two nodes do against each other, are
//! tested where there is a world to do it in (`sim`, table_tests and pair_tests).
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used)]

mod arrival;
