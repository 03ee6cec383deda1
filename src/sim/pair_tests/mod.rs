//! The decision of two nodes against each other, in virtual time: never two kernels that answer.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used)]

mod arrival;
mod bench;
mod cases;
mod properties;
