//! The world in virtual time: the same decision that runs in production, in a world made of memory.
//!
//! Deterministic from a seed, byte for byte: one queue, own random numbers, nothing that iterates over a hash.

#![forbid(unsafe_code)]
#![allow(
    clippy::wrong_self_convention,
    clippy::should_implement_trait,
    clippy::needless_range_loop,
    reason = "frames go from and to; a stream of numbers is no iterator; nodes are counted, 0 and 1"
)]

pub mod act;
pub mod allow;
mod apply;
pub mod called;
pub mod calm;
mod calm_files;
mod calm_people;
pub mod check;
mod client;
pub mod clock;
pub mod cue;
mod device;
mod dur;
pub mod event;
pub mod expect;
mod expectations;
pub mod explore;
mod fencing;
pub mod files;
pub mod gateway;
pub mod golden;
pub mod impatient;
mod judge;
mod lan;
pub mod lanes;
pub mod machine;
pub mod model;
mod need;
pub mod network;
mod notice;
pub mod pair;
pub mod pair_file;
mod parts;
mod patience;
mod place;
mod promise;
mod quality;
pub mod queue;
pub mod record;
pub mod resolve;
pub mod retold;
pub mod rng;
pub mod schedule;
pub mod schema;
pub mod script;
mod sealed;
mod seals;
pub mod services;
mod shape;
mod shell;
pub mod step;
mod words;
pub mod world;

#[cfg(test)]
mod check_tests;
#[cfg(test)]
mod pair_tests;
#[cfg(test)]
mod part_tests;
#[cfg(test)]
mod table_tests;
#[cfg(test)]
mod tests;
