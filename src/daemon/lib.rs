//! Joins core and host: events in, outputs out. One decision thread; slow work runs elsewhere and reports back.
//!
//! Life cycle: [`run`] reads the file and the key, looks at the kernel (gate, addresses, services), gives the core its
//! [`Start`](twinbeat_core::io::Start), sends the first heartbeat, and then turns events into inputs and outputs into orders until the core says
//! [`Output::Exit`](twinbeat_core::io::Output::Exit).

#![forbid(unsafe_code)]

mod actuators;
mod addresses;
mod announce;
mod asking;
mod beats;
mod bonds;
mod cards;
mod changes;
mod earlier;
mod event;
mod fault;
mod fence;
mod found;
mod hooks;
pub mod log;
mod meters;
mod names;
mod next;
mod options;
mod plan;
mod public;
mod reboot;
mod reload;
pub mod routes;
mod said;
mod serve;
mod services;
mod setup;
mod starts;
mod state;
mod state_writer;
mod step;
mod successor;
mod trial;
mod watchdog;
mod web;

pub use self::asking::Free;
pub use self::fault::Fault;
pub use self::fence::spec as fence_spec;
pub use self::names::{host_name, which_node};
pub use self::next::asked;
pub use self::options::Options;
pub use self::public::public_config;
pub use self::serve::run;
pub use self::services::agent;
#[cfg(fuzzing)]
pub use self::state::fuzzed as fuzzed_state;
pub use self::trial::try_start;
