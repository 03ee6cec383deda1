//! How a thread is scheduled, and locked memory: a loaded machine must not stall the decision. Never fatal: without the right to it
//! (EPERM; a kernel that limits realtime) the daemon runs on as an ordinary process.
//!
//! What is chosen is the calling thread's alone and is not inherited (SCHED_RESET_ON_FORK, sched(7)): services and their helpers run as
//! ordinary processes. The CPUs are inherited, and given back in each child ([`give_cpus_back`]).

use std::io;
use std::sync::OnceLock;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::unistd::Pid;
use twinbeat_config::{Policy, Scheduling};

/// Schedules the calling thread so.
///
/// # Errors
/// The kernel's refusal, of the policy or of the CPUs: a refused policy leaves the thread's as it was, and the CPUs are set anyway.
pub fn this_thread(scheduling: &Scheduling) -> io::Result<()> {
    let chosen = match scheduling.policy {
        Policy::Other { nice } => policy(libc::SCHED_OTHER, 0).and_then(|()| {
            // On Linux a nice value is a thread's, and 0 names the calling one (setpriority(2), "C library/kernel differences").
            rustix::process::setpriority_process(None, nice.into()).map_err(io::Error::from)
        }),
        Policy::RoundRobin { priority } => policy(libc::SCHED_RR, priority),
        Policy::Fifo { priority } => policy(libc::SCHED_FIFO, priority),
    };
    let placed = match &scheduling.cpus {
        Some(cpus) => on(cpus.iter().map(|cpu| usize::from(*cpu))),
        None => Ok(()),
    };
    chosen.and(placed)
}

fn policy(policy: libc::c_int, priority: u8) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: priority.into() };
    // SAFETY: the structure lives on this stack, and 0 names the calling thread.
    #[expect(unsafe_code, reason = "sched_setscheduler(2) has no safe wrapper")]
    let result = unsafe { libc::sched_setscheduler(0, policy | libc::SCHED_RESET_ON_FORK, &raw const parameters) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn on(cpus: impl Iterator<Item = usize>) -> io::Result<()> {
    let mut set = CpuSet::new();
    for cpu in cpus {
        set.set(cpu)?;
    }
    if let Ok(before) = sched_getaffinity(Pid::from_raw(0)) {
        BEFORE.get_or_init(|| before);
    }
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

/// Puts the calling thread back on the CPUs that the daemon was started with, when it has left them: for a child, between fork and exec
/// (at most one system call).
pub fn give_cpus_back() {
    if let Some(before) = BEFORE.get() {
        let _ = sched_setaffinity(Pid::from_raw(0), before);
    }
}

/// Schedules this thread, and locks the memory where that is wanted; what is refused is said, and done without.
pub fn take_up(scheduling: &Scheduling, lock: bool) {
    let busy = "on a busy machine the daemon may come late (CAP_SYS_NICE; [realtime])";
    let late = this_thread(scheduling).err().map(|error| (scheduling.policy.to_string(), error, busy));
    let swapped = "what was swapped out may take seconds to come back (CAP_IPC_LOCK)";
    let swapped = lock.then(lock_memory).and_then(Result::err).map(|error| ("locked memory".to_owned(), error, swapped));
    for (what, error, cost) in late.into_iter().chain(swapped) {
        tracing::info!("{what}: {error}; goes on without: {cost}");
    }
}

/// The CPUs before the first thread was put on others.
static BEFORE: OnceLock<CpuSet> = OnceLock::new();

/// Lets the calling thread, and those that it makes later, run when nobody else wants to (the least nice value, setpriority(2)).
///
/// # Errors
/// None that is known: to be nicer is always allowed.
pub fn behind_others() -> io::Result<()> {
    rustix::process::setpriority_process(None, 19).map_err(io::Error::from)
}

/// Keeps in memory what was once touched (mlockall(2), MCL_ONFAULT): a page-in from a busy disk takes seconds.
///
/// # Errors
/// The kernel's refusal.
pub fn lock_memory() -> io::Result<()> {
    let flags = MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE | MlockAllFlags::from_bits_retain(libc::MCL_ONFAULT);
    mlockall(flags).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Policy, nice value and priority as /proc tells them (proc_pid_stat(5), fields 41, 19 and 40), and the CPUs.
    fn seen(stat: &str) -> (u8, i8, u8) {
        let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
        (fields[38].trim().parse().unwrap(), fields[16].parse().unwrap(), fields[37].parse().unwrap())
    }

    #[test]
    fn a_thread_is_scheduled_as_chosen_and_neither_its_threads_nor_its_children_are() {
        if !nix::unistd::geteuid().is_root() {
            return println!("SKIPPED: needs root");
        }
        let policies = [Policy::Other { nice: -20 }, Policy::RoundRobin { priority: 3 }, Policy::Fifo { priority: 4 }];
        for (policy, wanted) in policies.into_iter().zip([(0, -20, 0), (2, 0, 3), (1, 0, 4)]) {
            let own = std::thread::spawn(move || {
                let scheduling = Scheduling { policy, cpus: Some(vec![0]) };
                if let Err(refused) = this_thread(&scheduling) {
                    return println!("SKIPPED: {policy}: {refused}");
                }
                let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
                assert_eq!(seen(&stat), wanted, "{policy}");
                let cpus = |status: &str| status.lines().find(|l| l.starts_with("Cpus_allowed_list")).unwrap().to_owned();
                assert!(cpus(&std::fs::read_to_string("/proc/thread-self/status").unwrap()).ends_with("\t0"));
                let thread = std::thread::spawn(|| std::fs::read_to_string("/proc/thread-self/stat").unwrap()).join().unwrap();
                assert_eq!(seen(&thread), (0, 0, 0), "a thread of its, {policy}");
            });
            own.join().unwrap();
        }
    }
}
