//! twinbeat: two Linux machines, one virtual IP, never two owners.
//!
//! The map of the house. Imports go one way: `cli -> daemon, drill -> control, host, service, sim, journal -> wire, config -> core`.
//!
//! - [`core`] the decision. Pure: no IO, no clock, no randomness.
//! - [`config`] the one file for both nodes, checked once.
//! - [`wire`] the heartbeat's bytes: tag, signature, body.
//! - [`host`] everything that touches the kernel.
//! - [`service`] start, stop and watch services, never on the decision thread.
//! - [`journal`] the flight recorder.
//! - [`sim`] the world in virtual time.
//! - [`control`] the socket that the commands talk to.
//! - [`daemon`] joins core and host.
//! - [`drill`] the same stories on the real kernel.
//! - [`picture`] swim lanes: plain data, and its drawing as SVG.
//! - [`plain`] serde's messages in words of the file.
//! - [`log`] where the log goes, without ever making the decision wait.
//! - [`cli`] one file a verb.

pub mod cli;
pub mod config;
pub mod control;
pub mod core;
pub mod daemon;
pub mod drill;
pub mod host;
pub mod journal;
pub mod log;
pub mod picture;
pub mod plain;
pub mod service;
pub mod sim;
pub mod wire;
