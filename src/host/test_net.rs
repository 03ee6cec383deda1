//! Network namespaces for tests: named after this process, removed by a guard.
#![allow(clippy::unwrap_used)]

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A network namespace of the test's own.
pub(crate) struct Netns {
    /// Its name under /run/netns.
    pub name: String,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

impl Netns {
    /// Makes one with `lo` up; none, with a line that says so, where this user may not.
    pub fn new() -> Option<Netns> {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: a network namespace needs root");
            return None;
        }
        let name = format!("tbn{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        run(&format!("ip netns add {name}"));
        let netns = Netns { name };
        netns.run("ip link set lo up");
        Some(netns)
    }

    /// Runs one command inside; panics when it fails. One only: what follows a shell operator would run outside.
    pub fn run(&self, command: &str) -> String {
        assert!(!command.contains(['|', ';', '&', '`', '$', '\n']), "it would leave the namespace: {command}");
        run(&format!("ip netns exec {} {command}", self.name))
    }

    /// Runs this on a thread of its own inside.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    let file = std::fs::File::open(format!("/run/netns/{}", self.name)).unwrap();
                    nix::sched::setns(file, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
                    work()
                })
                .join()
                .unwrap()
        })
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

/// Two namespaces joined by veth pairs `eth0`, `eth1`, ...: 10.9.N.1 and .2, fd09:N::1 and ::2.
pub(crate) fn pair(cables: usize) -> Option<(Netns, Netns)> {
    let (a, b) = (Netns::new()?, Netns::new()?);
    for n in 0..cables {
        a.run(&format!("ip link add eth{n} type veth peer name eth{n} netns {}", b.name));
        for (end, host) in [(&a, 1), (&b, 2)] {
            end.run(&format!("ip addr add 10.9.{n}.{host}/24 dev eth{n}"));
            end.run(&format!("ip addr add fd09:{n}::{host}/64 dev eth{n} nodad"));
            end.run(&format!("ip link set eth{n} up"));
        }
    }
    Some((a, b))
}

fn run(command: &str) -> String {
    let out = Command::new("env").args(command.split_whitespace()).output().unwrap();
    assert!(out.status.success(), "{command}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}
