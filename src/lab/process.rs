//! Processes by pid: which run inside a namespace, since when, and signals to them. Never by name alone.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// When a process started, in clock ticks since boot (proc_pid_stat(5), field 22). `None`: no such process.
pub fn start_time(pid: u32) -> Option<u64> {
    stat_fields(pid)?.get(19)?.parse().ok()
}

/// Whether the process exists and is not just waiting to be reaped.
pub fn alive(pid: u32) -> bool {
    stat_fields(pid).is_some_and(|fields| fields.first().is_some_and(|state| state != "Z" && state != "X"))
}

/// The process's short name.
pub fn name(pid: u32) -> Option<String> {
    Some(fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim_end().to_owned())
}

/// The fields after the command's closing parenthesis: the first is the state.
fn stat_fields(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

/// The processes whose network namespace is the one with this device and inode; our own process never among them.
pub fn in_namespace(inode: (u64, u64)) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| *pid != std::process::id())
        .filter(|pid| fs::metadata(format!("/proc/{pid}/ns/net")).is_ok_and(|m| (m.dev(), m.ino()) == inode))
        .collect()
}

/// Sends a signal; `false` when there is no such process or we may not.
pub fn signal(pid: u32, signal: Signal) -> bool {
    i32::try_from(pid).is_ok_and(|pid| pid > 0 && kill(Pid::from_raw(pid), signal).is_ok())
}

/// A process by pid and start, which no later one has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Running {
    /// As the kernel counts them; a later process may have the same.
    pub pid: u32,
    start: u64,
}

impl Running {
    /// `None`: no such process.
    pub fn of(pid: u32) -> Option<Self> {
        Some(Self { pid, start: start_time(pid)? })
    }

    /// Whether this very process exists and is not just waiting to be reaped.
    pub fn alive(self) -> bool {
        start_time(self.pid) == Some(self.start) && alive(self.pid)
    }
}

/// SIGKILL to everything in a namespace, again while something new appears, at most for a second, and returns when all of it has ended:
/// a process leaves its namespace (`exit_task_namespaces`) before it ends, and is in no list from then on.
pub fn kill_all_in(inode: (u64, u64)) {
    let until = Instant::now() + Duration::from_secs(1);
    let mut killed = BTreeSet::new();
    loop {
        killed.extend(in_namespace(inode).into_iter().filter_map(Running::of));
        killed.retain(|process| process.alive());
        if killed.is_empty() || Instant::now() > until {
            return;
        }
        for process in &killed {
            signal(process.pid, Signal::SIGKILL);
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// A living process that a file names.
pub fn named_by(file: &Path) -> Option<u32> {
    fs::read_to_string(file).ok()?.trim().parse().ok().filter(|pid| alive(*pid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_pid_and_start() {
        let me = std::process::id();
        assert!(start_time(me).is_some_and(|ticks| ticks > 0));
        assert!(alive(me));
        assert_eq!(start_time(u32::MAX), None);
        assert!(!signal(0, Signal::SIGCONT), "pid 0 would be our whole group");
    }

    #[test]
    fn our_own_process_is_never_listed_for_killing() {
        let meta = fs::metadata("/proc/self/ns/net").unwrap();
        assert!(!in_namespace((meta.dev(), meta.ino())).contains(&std::process::id()));
    }
}
