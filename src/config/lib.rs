//! The configuration file: one text, the same on both nodes, checked once.
//!
//! The file becomes a `RawConfig` (its shape, `raw.rs`) and that becomes a [`Config`] by one conversion (`convert.rs`), each of whose errors
//! names file, line, key, value and what is allowed. Nothing else in the program validates configuration: what a [`Config`]
//! holds is in range, its relations hold, and its names exist.

#![forbid(unsafe_code)]
// Bytes, journals and states from outside: nothing indexes or overflows unchecked.
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod checked;
mod checks;
mod convert;
mod differences;
pub mod duration;
mod error;
mod fence;
mod groups;
mod hooks;
mod interfaces;
pub mod keys;
mod load;
mod mend;
mod metrics;
mod network;
mod ocf;
mod parts;
mod place;
mod raw;
mod raw_check;
mod raw_duration;
mod raw_interface;
mod raw_parameter;
mod raw_route;
mod realtime;
mod route;
mod routes;
mod scheduling;
mod size;
mod source;
mod syntax;
mod timing;
mod torn;
mod value;

#[cfg(test)]
mod check_tests;
#[cfg(test)]
mod interfaces_tests;
#[cfg(test)]
mod routes_tests;
#[cfg(test)]
mod tests;

pub use checked::Config;
pub use differences::Difference;
pub use error::{ConfigError, Problem};
pub use hooks::{HookConfig, HookEvent};
pub use load::{DEFAULT_FILE, MOST_BYTES};
pub use metrics::{Listen, MetricsConfig};
pub use parts::{
    CheckConfig, CheckKind, FenceBy, FenceConfig, GroupConfig, HttpCheck, Island, JournalConfig, LinkConfig, LogConfig,
    LsbConfig, NodeConfig, OCF_ROOT, OcfConfig, RELAY, ServiceConfig, ServiceKind, VipConfig, WitnessConfig,
};
pub use realtime::RealtimeConfig;
pub use route::{Network, RouteConfig, RouteDevice, RuleConfig};
pub use scheduling::{MOST_CPU, Policy, Scheduling};
pub use timing::margin as timing_margin;
