//! twinbeat: two Linux machines, one virtual IP, never two owners.
//!
//! The program's package: [`cli`], one file a verb. Everything else lives in rooms of its own, each a crate whose `Cargo.toml` is the list of what it
//! may use; docs/ARCHITECTURE.md has the map and the graph. They are named here for the tests in `netns-tests`.
//!
//! - [`core`] the decision. Pure: no IO, no clock, no randomness, no standard library.
//! - [`wire`] the heartbeat's bytes: tag, signature, body.
//! - [`config`] the one file for both nodes, checked once; [`import`] makes one of heartbeat's and keepalived's files.
//! - [`say`] words, times and printing that rooms share; [`picture`] swim lanes and their drawing.
//! - [`effect`] what becomes of the decision's outputs, and the model of a machine that carries them out.
//! - [`host`] everything that touches the kernel.
//! - [`service`] start, stop and watch services, never on the decision thread.
//! - [`control`] the socket that the commands talk to.
//! - [`journal`] the flight recorder; [`web`] metrics, health and a page over HTTP.
//! - [`sim`] the world in virtual time; [`whatif`] a recorded world under other settings.
//! - [`daemon`] joins core and host.
//! - `lab` the same stories on the real kernel; the feature `lab`, which packages are built without.

#![forbid(unsafe_code)]

pub mod cli;

pub use twinbeat_config as config;
pub use twinbeat_control as control;
pub use twinbeat_core as core;
pub use twinbeat_daemon as daemon;
pub use twinbeat_effect as effect;
pub use twinbeat_host as host;
pub use twinbeat_import as import;
pub use twinbeat_journal as journal;
#[cfg(feature = "lab")]
pub use twinbeat_lab as lab;
pub use twinbeat_picture as picture;
pub use twinbeat_say as say;
pub use twinbeat_service as service;
pub use twinbeat_sim as sim;
pub use twinbeat_web as web;
pub use twinbeat_whatif as whatif;
pub use twinbeat_wire as wire;
