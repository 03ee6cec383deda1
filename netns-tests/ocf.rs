//! OCF agents of Debian's package resource-agents, on the real kernel: each by itself in namespaces of its own, and a pair that carries two of them.
//! netns-tests/run.sh unpacks the package below target/ocf; an installed one is taken as well.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "ocf/alone.rs"]
mod alone;
#[path = "common/bench.rs"]
mod bench;
mod common;
#[path = "ocf/pair.rs"]
mod pair;

use std::path::{Path, PathBuf};

/// OCF_ROOT with Debian's agents; `None` with a line that says so.
fn root() -> Option<PathBuf> {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/ocf/usr/lib/ocf");
    let found =
        [unpacked, PathBuf::from("/usr/lib/ocf")].into_iter().find(|root| root.join("resource.d/heartbeat/Dummy").exists());
    if found.is_none() {
        println!("SKIPPED: no OCF agents below target/ocf (netns-tests/run.sh unpacks them) or in /usr/lib/ocf");
    }
    found
}
