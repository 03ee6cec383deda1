//! What systemd does with a unit of `Type=notify-reload`, as far as a reload needs it: a socket that the daemon tells of itself, and the rule by which
//! a reload that was asked for at an instant is over (systemd.service(5), sd_notify(3)).

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use tempfile::TempDir;

/// The sockets of both nodes, and a program that starts the daemon as a service manager does.
pub struct Manager {
    dir: TempDir,
    sockets: [UnixDatagram; 2],
}

/// What a daemon said in one datagram.
pub type Said = Vec<String>;

impl Manager {
    pub fn new(names: [&str; 2]) -> Manager {
        let dir = tempfile::tempdir().unwrap();
        let sockets = names.map(|name| UnixDatagram::bind(dir.path().join(name)).unwrap());
        for socket in &sockets {
            socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        }
        // Where it can be had, a boot time that is far from the monotonic time, as after a long suspension.
        let (binary, apart) = (env!("CARGO_BIN_EXE_twinbeat"), "unshare --time --boottime 100000");
        let script = format!(
            "#!/bin/sh\nexport NOTIFY_SOCKET={}/$(hostname)\nif [ \"$1\" = run ] && {apart} true 2> /dev/null; then\n\
             exec {apart} {binary} \"$@\"\nfi\nexec {binary} \"$@\"\n",
            dir.path().display()
        );
        let manager = Manager { dir, sockets };
        std::fs::write(manager.program(), script).unwrap();
        std::fs::set_permissions(manager.program(), std::fs::Permissions::from_mode(0o755)).unwrap();
        manager
    }

    pub fn program(&self) -> PathBuf {
        self.dir.path().join("started-by-a-manager")
    }

    /// Now, as `MONOTONIC_USEC=` counts it.
    pub fn now() -> u64 {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap();
        (now.tv_sec() * 1_000_000 + now.tv_nsec() / 1_000).try_into().unwrap()
    }

    /// The next that a node says; none within a moment.
    fn next(&self, node: usize) -> Option<Said> {
        let mut bytes = [0; 4096];
        let length = self.sockets[node].recv(&mut bytes).ok()?;
        Some(String::from_utf8(bytes[..length].to_vec()).unwrap().lines().map(str::to_owned).collect())
    }

    /// All that it has said and nobody has read.
    pub fn rest(&self, node: usize) -> Vec<Said> {
        std::iter::from_fn(|| self.next(node)).collect()
    }

    /// Waits for the end of a reload that was asked for at `since`: `RELOADING=1` with a time of its own that is no earlier, and then `READY=1`. All that
    /// was said until then.
    pub fn over(&self, node: usize, since: u64) -> Vec<Said> {
        let (until, mut all, mut answered) = (Instant::now() + Duration::from_secs(20), Vec::new(), false);
        while Instant::now() < until {
            let Some(said) = self.next(node) else { continue };
            all.push(said.clone());
            if said.iter().any(|line| line == "RELOADING=1") {
                let at = said.iter().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
                let at: u64 = at.expect("a time with it").parse().unwrap();
                assert!(at <= Manager::now(), "{at} is yet to come: {said:?}");
                answered |= at >= since;
            }
            if answered && said.iter().any(|line| line == "READY=1") {
                return all;
            }
        }
        panic!("a reload that was asked for at {since} never ended: {all:#?}");
    }
}
