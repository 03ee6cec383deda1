//! Realtime priority and locked memory: a loaded machine must not stall the decision. Never fatal: without the right to it
//! (EPERM; a kernel that limits realtime) the daemon runs on as an ordinary process.
//!
//! The priority is the calling thread's alone and is not inherited (SCHED_RESET_ON_FORK, sched(7)): services and their
//! helpers run as ordinary processes.

use nix::sys::mman::{MlockAllFlags, mlockall};

/// The lowest realtime priority: above everything ordinary, below the kernel's own threads.
const PRIORITY: libc::c_int = 1;

/// Gives the calling thread realtime priority (SCHED_RR). Returns why not.
///
/// # Errors
/// The kernel's refusal; nothing has changed then.
pub fn this_thread() -> std::io::Result<()> {
    // SAFETY for the expectation below: the structure lives on this stack, and 0 names the calling thread.
    let parameters = libc::sched_param { sched_priority: PRIORITY };
    #[expect(unsafe_code, reason = "sched_setscheduler(2) has no safe wrapper")]
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_RR | libc::SCHED_RESET_ON_FORK, &raw const parameters) };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Keeps in memory what was once touched (mlockall(2), MCL_ONFAULT): a page-in from a busy disk takes seconds.
///
/// # Errors
/// The kernel's refusal.
pub fn lock_memory() -> std::io::Result<()> {
    let flags = MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE | MlockAllFlags::from_bits_retain(libc::MCL_ONFAULT);
    mlockall(flags).map_err(std::io::Error::from)
}
