//! A child in a session of its own: a signal to the daemon's group or terminal does not reach it.

use std::io;

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use tokio::process::Command;

/// What the init system said to the daemon is nobody else's: a service that answered for it, or took its sockets, would be believed.
pub fn not_inherited(command: &mut Command) {
    for name in INIT_SYSTEMS {
        command.env_remove(name);
    }
}

/// sd_notify(3), sd_listen_fds(3), sd_watchdog_enabled(3)
const INIT_SYSTEMS: [&str; 8] = [
    "NOTIFY_SOCKET",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
];

/// Makes the command's child the leader of a new session and process group (setsid(2)), so that the whole family of a
/// service can be signalled, and outlives the daemon.
pub fn own_session(command: &mut Command) {
    let lead = || {
        // Whoever is killed first for want of memory: not what this daemon was spared for.
        if let Ok(file) = nix::fcntl::open(c"/proc/self/oom_score_adj", OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty()) {
            let _ = nix::unistd::write(&file, b"0");
        }
        nix::unistd::setsid().map(drop).map_err(io::Error::from)
    };
    #[expect(
        unsafe_code,
        reason = "between fork and exec only open, write, close and setsid are called, which are async-signal-safe"
    )]
    // SAFETY: the closure allocates nothing, takes no lock and makes async-signal-safe system calls alone.
    unsafe {
        command.pre_exec(lead);
    }
}
