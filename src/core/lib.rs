//! The decision: who owns, on what grounds, and what must hold before that changes.
//!
//! Pure: inputs and time go in, outputs come out. Nothing here does IO, reads a clock, draws a random number or knows tokio;
//! the daemon and the simulator drive the very same [`Node`](node::Node). The rules are SAFETY.md's, by number.
//!
//! ```
//! use twinbeat_core::id::{Incarnation, LinkId, NodeId};
//! use twinbeat_core::io::{Input, Output, Record, Start};
//! use twinbeat_core::node::Node;
//! use twinbeat_core::settings::{LinkSettings, Settings, Timing, WitnessSettings};
//! use twinbeat_core::time::{Mono, Span};
//!
//! let interval = Span::millis(100);
//! let witness = WitnessSettings { link: LinkId(0), targets: 1, arp_only: 0, names: 0, interval, fall: 3, rise: 5, island_hold: false };
//! let (nodes, links) = (["a".into(), "b".into()], vec![LinkSettings { name: "lan".into(), relay: false, silent: false }]);
//! let timing = Timing::SECOND;
//! let (groups, groups_in_beat) = (Vec::new(), usize::MAX);
//! let settings = Settings { cluster: "web".into(), me: NodeId(0), nodes, digest: 1, links, witness, timing, groups, groups_in_beat, fencing: None };
//!
//! // Time is the caller's, and never goes back. The first input tells what the disk and the kernel say.
//! let mut now = Mono(1_000_000_000);
//! let mut node = Node::new(settings, now);
//! let start = Start { incarnation: Incarnation(1), record: Record::default(), gates: vec![], addresses: vec![], running: vec![] };
//! node.handle(now, Input::Start(start));
//!
//! let mut beats = 0;
//! for _ in 0..100 {
//!     // After each input all outputs are taken, in their order, and carried out.
//!     while let Some(output) = node.poll() {
//!         beats += u32::from(matches!(output, Output::Send { .. }));
//!     }
//!     // Then nothing happens before the deadline, unless there is another input. Early ticks do nothing.
//!     let due = node.deadline().expect("it was started");
//!     assert!(due > now);
//!     node.handle(now, Input::Tick);
//!     assert_eq!((node.poll(), node.deadline()), (None, Some(due)));
//!     now = due;
//!     node.handle(now, Input::Tick);
//! }
//! assert!(beats > 5);
//! ```

// Bytes, journals and states from outside: nothing indexes or overflows unchecked.
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::arithmetic_side_effects))]
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
// For tests, and for the switch of a test build (bite.rs), which is one a thread.
#[cfg(any(test, feature = "bite"))]
extern crate std;

mod alone;
mod arrival;
pub mod bite;
pub mod claim;
pub mod command;
mod conflict;
pub mod data;
mod deadlines;
mod defend;
mod echoes;
pub mod event;
mod facts;
pub mod fence;
pub mod files;
pub mod fitness;
pub mod grounds;
pub mod group;
mod handover;
mod hear;
pub mod heartbeat;
pub mod hold;
pub mod id;
pub mod io;
mod leaving;
pub mod link;
pub mod meaning;
pub mod node;
mod opening;
mod owner;
pub mod pace;
pub mod pause;
pub mod peer;
mod prelude;
pub mod proof;
pub mod ready;
pub mod record;
pub mod report;
pub mod role;
mod said;
mod send;
pub mod sentence;
pub mod settings;
pub mod shared;
mod silence;
mod sound;
mod standby;
pub mod time;
pub mod timer;
mod turn;
pub mod view;
mod waits;
mod way;
mod wish;
pub mod witness;
pub mod words;

#[cfg(test)]
mod tests;
