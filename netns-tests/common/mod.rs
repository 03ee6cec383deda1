//! What the tests in namespaces share: a lab, or a clear line why there is none.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use twinbeat::core::id::NodeId;
use twinbeat::lab::lab::{BOTH, Lab};
use twinbeat::lab::node::Site;
use twinbeat::lab::ns;
use twinbeat::lab::pair::Pair;

/// Set in a process that has already tried to become root of a user namespace.
const ENTERED: &str = "TWINBEAT_LAB_ENTERED";

/// Whether tests in namespaces can run. An ordinary user's test process replaces itself by one inside a user namespace, once.
pub fn ready() -> bool {
    if ns::privileged() {
        return true;
    }
    if std::env::var_os(ENTERED).is_none()
        && let Ok(own) = std::env::current_exe()
    {
        let mut again = Command::new(env!("CARGO_BIN_EXE_twinbeat"));
        again.args(["lab-enter", "--"]).arg(own).args(std::env::args_os().skip(1)).env(ENTERED, "1");
        eprintln!("cannot enter a user namespace: {}", again.exec());
    }
    eprintln!("SKIPPED: needs root, or a kernel that lets ordinary users make user namespaces");
    false
}

/// The recipe's lab with both nodes' files, and no daemon.
#[allow(dead_code, reason = "each test takes what it needs")]
pub fn files() -> (Lab, Site) {
    let lab = Lab::build().expect("a lab");
    let site = Site::prepare(&lab, Path::new(env!("CARGO_BIN_EXE_twinbeat")), "\"auto\"").expect("its files");
    (lab, site)
}

/// The same, each file as `change` leaves it.
#[allow(dead_code, reason = "each test takes what it needs")]
pub fn changed_files(change: impl Fn(String) -> String) -> (Lab, Site) {
    let (lab, site) = files();
    for file in BTreeSet::from(BOTH.map(|node| site.config(node))) {
        let text = std::fs::read_to_string(&file).expect("a file");
        std::fs::write(&file, change(text)).expect("written");
    }
    (lab, site)
}

/// The recipe's pair with daemons of this program, the first node serving.
#[allow(dead_code, reason = "each test takes what it needs")]
pub fn serving(program: &Path) -> Pair {
    let mut pair = Pair::start(program).expect("a pair");
    pair.wait_for(NodeId(0), Duration::from_secs(30), &AtomicBool::new(false)).expect("the first node serves");
    pair
}
