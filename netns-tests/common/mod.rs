//! What the tests in namespaces share: a lab, or a clear line why there is none.

use std::os::unix::process::CommandExt;
use std::process::Command;

use twinbeat::drill::ns;

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
