//! The model check: every run of the real core's pair in a small world, with at most so many deviations from the ordinary course.
//!
//! A scope names where a search begins, what may deviate, how often and for how long. docs/SCENARIOS.md says what that covers
//! and what it leaves out. The search is our own: a general checker keeps whole states by 64-bit names and brings a web server
//! along; here a state is named by 128 bits of a form that only this core's meaning of numbers and instants allows.

pub mod canon;
pub mod moves;
mod naming;
pub mod search;
pub mod small;

use std::time::Duration;

use self::moves::Move;
use self::search::Scope;
use self::small::Small;
use super::pair::{Builder, profile};
use twinbeat_core::settings::{Services, Settings};
use twinbeat_core::time::Span;

/// The pair that is searched: the profile "fast", one cable, the LAN, one gateway, no services.
pub fn settings() -> [Settings; 2] {
    let defaults = Builder::default();
    let timing = profile("fast").unwrap_or(defaults.timing);
    Builder { links: vec!["cable"], relay: false, timing, services: Services::None, ..defaults }.build().settings
}

/// Both nodes have run for a while and the first serves.
pub fn settled(rates: [u64; 2]) -> Small {
    let mut small = Small::new(&settings(), rates);
    let end = small.now + Span::secs(3);
    while small.now < end || !small.quiet() {
        small.make(Move::Next);
    }
    small
}

/// What happens to frames, orders and reports.
pub const TRAFFIC: &[Move] = &[Move::Lose, Move::Late, Move::Behind, Move::Twice];
/// What happens to the daemons.
pub const DAEMONS: &[Move] = &[Move::Hang(0), Move::Hang(1), Move::Kill(0), Move::Kill(1)];
/// What happens to the network.
pub const NETWORK: &[Move] = &[
    Move::Cut(0, 0),
    Move::Cut(0, 1),
    Move::Cut(0, 2),
    Move::Cut(1, 0),
    Move::Cut(1, 1),
    Move::Cut(1, 2),
    Move::Separate,
    Move::Isolate(0),
    Move::Isolate(1),
    Move::Forget,
];

/// A planned move: `takeover` on the standby has just been typed.
pub fn handover(deviations: u8) -> Scope {
    let mut root = settled([1_000_000; 2]);
    root.make(Move::Takeover(1));
    let kinds = [TRAFFIC, DAEMONS].concat();
    Scope { name: "hand-over", root, kinds, deviations, horizon: Span::millis(300), ..limits() }
}

/// Silence: hangs, deaths and cuts in a settled pair whose standby's clock is the faster one, by the whole rate bound.
pub fn silence(deviations: u8) -> Scope {
    let root = settled([1_000_000, 1_200_000]);
    let kinds = [DAEMONS, NETWORK].concat();
    Scope { name: "silence", root, kinds, deviations, horizon: Span::millis(1_200), ..limits() }
}

/// Everything at once, for a shorter while.
pub fn all(deviations: u8) -> Scope {
    let root = settled([1_000_000; 2]);
    let kinds = [TRAFFIC, DAEMONS, NETWORK, &[Move::Takeover(0), Move::Takeover(1)]].concat();
    Scope { name: "all", root, kinds, deviations, horizon: Span::millis(800), ..limits() }
}

fn limits() -> Scope {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    Scope {
        name: "",
        root: Small::new(&settings(), [1_000_000; 2]),
        kinds: Vec::new(),
        deviations: 0,
        horizon: Span::ZERO,
        most: 4_000_000,
        time: None::<Duration>,
        threads,
    }
}

#[cfg(test)]
mod tests;
