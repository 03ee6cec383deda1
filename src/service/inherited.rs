//! Children of the life before this one: a reload begins the next life in the same process (execve(2)), and the kernel keeps whose
//! children they are. One that ends stays a zombie until its parent asks; nobody else knows of it.

use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use super::process::pidfd;

/// Takes the end of each child that this process has at this moment, whenever it comes. To be called before any is started here; needs a
/// tokio runtime. Where the kernel does not name children (`CONFIG_PROC_CHILDREN`) or has no pidfd, zombies stay until the daemon ends.
pub fn reap() {
    take(children());
}

fn take(children: Vec<i32>) {
    for pid in children {
        let Some(pidfd) = pidfd(pid) else { continue };
        tokio::spawn(async move {
            let _ = pidfd.readable().await;
            let _ = waitid(Id::Pid(Pid::from_raw(pid)), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG);
        });
    }
}

/// proc(5), `/proc/pid/task/tid/children`.
fn children() -> Vec<i32> {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return Vec::new() };
    let of = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("children")).ok();
    let lists = threads.filter_map(|thread| of(thread.ok()?));
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<i32>>()).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::{Duration, Instant};

    use super::*;

    #[tokio::test]
    async fn a_child_that_nobody_here_started_leaves_no_zombie() {
        let child = std::process::Command::new("sleep").arg("0.2").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        // Its handle is lost, as by execve.
        std::mem::forget(child);
        assert!(children().contains(&pid), "{:?}", children());
        // This one alone: the others are other tests', which wait for them.
        take(vec![pid]);
        let until = Instant::now() + Duration::from_secs(10);
        while std::path::Path::new(&format!("/proc/{pid}")).exists() {
            assert!(Instant::now() < until, "{:?}", std::fs::read_to_string(format!("/proc/{pid}/stat")));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
