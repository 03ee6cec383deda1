//! A child in a session of its own: a signal to the daemon's group or terminal does not reach it.

use std::io;

use tokio::process::Command;

/// Makes the command's child the leader of a new session and process group (setsid(2)), so that the whole family of a
/// service can be signalled, and outlives the daemon.
pub fn own_session(command: &mut Command) {
    let lead = || nix::unistd::setsid().map(drop).map_err(io::Error::from);
    #[expect(unsafe_code, reason = "between fork and exec only setsid(2) is called, which is async-signal-safe")]
    // SAFETY: the closure allocates nothing, takes no lock and makes one async-signal-safe system call.
    unsafe {
        command.pre_exec(lead);
    }
}
