//! OCF resource agents, by the OCF Resource Agent API 1.1 as Debian's package resource-agents has them: `start`, `stop`, `monitor`,
//! `validate-all`, `meta-data`, and where the role is `promoted` `promote` and `demote`.
//!
//! `spec.rs` what is configured, `codes.rs` what an exit code means, `environment.rs` what an agent finds, `record.rs` what a service was started
//! with, `run.rs` one action, `watching.rs` its monitors, `agent.rs` its life; `metadata.rs` reads what an agent says of itself, `ask.rs` has it say so, `judge.rs` compares a configuration with it.
//!
//! What it refuses: it is no cluster manager. Nothing answers where an agent asks for one (crm_attribute, crm_master, attrd_updater), no
//! notifications are sent, nothing is cloned or migrated.

mod agent;
mod ask;
mod codes;
mod environment;
mod judge;
mod metadata;
mod record;
mod run;
mod spec;
mod watching;

#[cfg(test)]
mod life_tests;
#[cfg(test)]
mod tests;

pub(super) use self::agent::Ocf;
pub use self::ask::{MOST_BYTES, could_start, meta_data};
pub use self::judge::{Remark, Times, judge};
pub use self::metadata::{Action, Content, MetaData, Parameter};
pub(super) use self::record::sort as sort_records;
pub(super) use self::run::validate;
pub use self::spec::{AgentSpec, OcfSpec};
pub(super) use self::watching::Watched;
