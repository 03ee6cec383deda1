//! What this node is, over HTTP: metrics for Prometheus, health for load balancers, and a page to look at (`[metrics] listen`).
//!
//! [`start`] makes a thread with a runtime of its own; nothing here runs on the thread that decides. That one is asked for a [`Seen`], the
//! view of `status` with what the daemon has counted ([`Measured`]), as a message that it answers when it comes to it: what was asked for a moment
//! ago is shared, so that no flood of requests has it make views without end. What was before is read from the
//! flight recorder by a process of its own (`history`). Nothing can be changed from here: GET and HEAD, no body, a
//! bounded number of connections with a bounded time for each.

#![forbid(unsafe_code)]
// Requests come from anybody: nothing indexes or overflows unchecked.
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod answer;
mod ask;
mod families;
mod health;
mod history;
mod listen;
mod measured;
mod metrics;
mod registry;
mod seats;
mod server;

#[cfg(test)]
mod crafted;
#[cfg(test)]
mod metrics_tests;
#[cfg(test)]
mod server_tests;

pub use ask::{Depth, Question, Seen};
pub use measured::{GroupMeasured, Histogram, LinkMeasured, Measured};
pub use server::{Web, start};
