//! A child in a session of its own: a signal to the daemon's group or terminal does not reach it.

use std::io;

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use tokio::process::Command;

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
/// service can be signalled, and outlives the daemon. It has nothing of what is the daemon's alone: the init system's words (a service that
/// answered for the daemon, or took its sockets, would be believed), its place before the out-of-memory killer, its CPUs.
pub fn own_session(command: &mut Command) {
    for name in INIT_SYSTEMS {
        command.env_remove(name);
    }
    let lead = || {
        // Whoever is killed first for want of memory: not what this daemon was spared for.
        if let Ok(file) = nix::fcntl::open(c"/proc/self/oom_score_adj", OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty()) {
            let _ = nix::unistd::write(&file, b"0");
        }
        super::realtime::give_cpus_back();
        nix::unistd::setsid().map(drop).map_err(io::Error::from)
    };
    #[expect(
        unsafe_code,
        reason = "between fork and exec only open, write, close, sched_setaffinity and setsid are called, which are async-signal-safe"
    )]
    // SAFETY: the closure allocates nothing, takes no lock and makes async-signal-safe system calls alone.
    unsafe {
        command.pre_exec(lead);
    }
}

/// Whether this process can gain no privileges by whatever it executes, and systemd is there to run for it what needs more: its children
/// inherit that, and with it the sandbox of a unit (prctl(2), PR_SET_NO_NEW_PRIVS; proc_pid_status(5); sd_booted(3)).
pub fn sandboxed() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let none = status.lines().any(|line| line.strip_prefix("NoNewPrivs:").is_some_and(|value| value.trim() == "1"));
    none && std::path::Path::new("/run/systemd/system").is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::realtime::this_thread;
    use twinbeat_config::{Policy, Scheduling};

    #[test]
    fn a_child_has_nothing_of_what_is_the_daemons_alone() {
        // A thread of its own, whose scheduling ends with it.
        let said = std::thread::spawn(|| {
            let cpus = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let _ = this_thread(&Scheduling { policy: Policy::Other { nice: -20 }, cpus: Some(vec![0]) });
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let mut command = Command::new("sh");
            command.args(["-c", "env; cat /proc/self/status /proc/self/oom_score_adj; cut -d' ' -f19 /proc/self/stat"]);
            for name in INIT_SYSTEMS {
                command.env(name, "1");
            }
            own_session(&mut command);
            let output = runtime.block_on(async { command.output().await }).unwrap();
            (cpus, String::from_utf8(output.stdout).unwrap())
        });
        let (before, said) = said.join().unwrap();
        let cpus = |text: &str| text.lines().find(|line| line.starts_with("Cpus_allowed_list")).unwrap().to_owned();
        assert_eq!(cpus(&said), cpus(&before), "{said}");
        assert!(INIT_SYSTEMS.iter().all(|name| !said.contains(&format!("{name}="))), "{said}");
        assert!(said.ends_with("\n0\n0\n"), "OOM score and nice value: {said}");
    }
}
