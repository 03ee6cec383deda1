//! The packages: what their scripts do on a machine, whether man pages and completions have every verb and option, and whether the metadata in
//! Cargo.toml names what is there. `dist/release` builds them; with `TWINBEAT_DEB=FILE` the built one is installed, upgraded and removed on two
//! machines with systemd.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
#[path = "packages/installed.rs"]
mod installed;
#[allow(dead_code, reason = "a reboot is looked at in netns-tests/systemd.rs")]
#[path = "systemd/machines.rs"]
mod machines;
#[path = "packages/metadata.rs"]
mod metadata;
#[path = "../dist/packages/pages/pages.rs"]
mod pages;
#[path = "systemd/pair.rs"]
mod pair;
#[path = "packages/scripts.rs"]
mod scripts;
#[path = "packages/shown.rs"]
mod shown;
