//! Named network namespaces, visible to `ip netns exec`, that go away whatever happens.
//!
//! A name is `tbd<pid>-<start>-<n>-<what>`: the process that made it, when that process started (in clock ticks since boot, from
//! `/proc/PID/stat`, so that a reused pid is told apart), which lab of that process, and what it is. [`Namespace`] removes its own on drop;
//! [`sweep`] removes those whose process is gone. A living run also holds a lock on each, so that a sweep from another pid
//! namespace, which cannot see the process, leaves it alone.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow, bail};
use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

use super::process;

/// Where named namespaces are (ip-netns(8)).
pub const DIR: &str = "/run/netns";

/// The prefix of one lab's namespaces.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Prefix(String);

impl Prefix {
    /// A new one for this process: never given twice.
    pub fn new() -> Result<Prefix> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let pid = std::process::id();
        let start = process::start_time(pid).context("this process's own start time")?;
        Ok(Prefix(format!("tbd{pid}-{start}-{}-", NEXT.fetch_add(1, Ordering::Relaxed))))
    }

    /// As text, with the dash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The process that a namespace's name names: pid and start time. `None`: not one of ours.
    pub fn maker(name: &str) -> Option<(u32, u64)> {
        let mut parts = name.strip_prefix("tbd")?.splitn(4, '-');
        let (pid, start) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        parts.next()?.parse::<u32>().ok()?;
        parts.next().map(|_| (pid, start))
    }
}

/// One named network namespace; dropping it kills what still runs inside and removes the name.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    /// Holds the lock that says: in use.
    file: Option<Flock<File>>,
    inode: (u64, u64),
}

impl Namespace {
    /// Makes a namespace named `<prefix><what>`, with its loopback still down.
    pub fn create(prefix: &Prefix, what: &str) -> Result<Namespace> {
        prepare_dir()?;
        let name = format!("{}{what}", prefix.as_str());
        let path = path_of(&name);
        File::create_new(&path).with_context(|| format!("create {}", path.display()))?;
        let made = thread::scope(|scope| {
            let work = || -> Result<()> {
                unshare(CloneFlags::CLONE_NEWNET).context("unshare(CLONE_NEWNET)")?;
                let own = format!("/proc/self/task/{}/ns/net", nix::unistd::gettid());
                mount(Some(own.as_str()), &path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
                    .with_context(|| format!("bind {own} on {}", path.display()))
            };
            scope.spawn(work).join().unwrap_or_else(|_| Err(anyhow!("the thread that makes {name} panicked")))
        });
        if let Err(e) = made {
            let _ = fs::remove_file(&path);
            return Err(e);
        }
        match Namespace::open(&name, &path) {
            Ok(ns) => Ok(ns),
            Err(e) => {
                remove(&name);
                Err(e)
            }
        }
    }

    fn open(name: &str, path: &Path) -> Result<Namespace> {
        let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
        let meta = file.metadata()?;
        let file = Flock::lock(file, FlockArg::LockSharedNonblock).map_err(|(_, e)| e).context("lock the namespace")?;
        Ok(Namespace { name: name.to_owned(), file: Some(file), inode: (meta.dev(), meta.ino()) })
    }

    /// Its full name, for `ip netns exec NAME`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its file under [`DIR`].
    pub fn path(&self) -> PathBuf {
        path_of(&self.name)
    }

    /// An own handle to it.
    pub fn handle(&self) -> io::Result<File> {
        File::open(self.path())
    }

    /// Runs `work` inside, on a thread of its own, and waits for it. Children started inside stay inside.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let file = self.handle().with_context(|| format!("open namespace {}", self.name))?;
        thread::scope(|scope| {
            let inside = move || -> Result<T> {
                setns(file.as_fd(), CloneFlags::CLONE_NEWNET).context("setns")?;
                work()
            };
            scope.spawn(inside).join().unwrap_or_else(|_| Err(anyhow!("work inside {} panicked", self.name)))
        })
    }

    /// Starts a thread inside and returns once it is there.
    pub fn spawn(&self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
        let file = self.handle().with_context(|| format!("open namespace {}", self.name))?;
        let (tell, told) = std::sync::mpsc::channel();
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            let entered = setns(file.as_fd(), CloneFlags::CLONE_NEWNET);
            drop(file);
            let ok = entered.is_ok();
            let _ = tell.send(entered);
            if ok {
                work();
            }
        })?;
        told.recv().context("the new thread ended early")?.with_context(|| format!("enter {}", self.name))?;
        Ok(thread)
    }

    /// The device and inode of the namespace itself.
    pub fn inode(&self) -> (u64, u64) {
        self.inode
    }

    /// The pids of the processes inside (by their main thread), our own never among them.
    pub fn pids(&self) -> Vec<u32> {
        process::in_namespace(self.inode)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        process::kill_all_in(self.inode);
        self.file = None;
        remove(&self.name);
    }
}

/// Removes what earlier runs left behind that are no longer alive; returns the names. Safe to call at any time.
pub fn sweep() -> Vec<String> {
    let Ok(entries) = fs::read_dir(DIR) else { return Vec::new() };
    let names = entries.filter_map(|e| e.ok()?.file_name().into_string().ok());
    let mut swept: Vec<String> = names.filter(|name| is_left_over(name)).collect();
    swept.sort();
    for name in &swept {
        if let Ok(meta) = fs::metadata(path_of(name)) {
            process::kill_all_in((meta.dev(), meta.ino()));
        }
        remove(name);
    }
    swept
}

/// From now on a panic of any thread ends the process. No guard would run where a panic aborts (a release build), so the panic itself removes this
/// process's namespaces, ends what runs inside, and calls `leave` for whatever else there is.
pub fn clean_up_on_panic(leave: impl Fn() + Send + Sync + 'static) {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        before(info);
        remove_own();
        leave();
        std::process::exit(PANICKED);
    }));
}

/// Removes every namespace of this process, and ends what runs inside.
pub fn remove_own() {
    let pid = std::process::id();
    let me = process::start_time(pid).map(|start| (pid, start));
    let Ok(entries) = fs::read_dir(DIR) else { return };
    for name in entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
        if me.is_some() && Prefix::maker(&name) == me {
            if let Ok(meta) = fs::metadata(path_of(&name)) {
                process::kill_all_in((meta.dev(), meta.ino()));
            }
            remove(&name);
        }
    }
}

/// The exit code of a program that panicked, as the standard library has it.
const PANICKED: i32 = 101;

/// Whether the namespace is ours, its maker is gone, and nobody holds its lock.
fn is_left_over(name: &str) -> bool {
    let Some((pid, start)) = Prefix::maker(name) else { return false };
    if process::start_time(pid) == Some(start) {
        return false;
    }
    match File::open(path_of(name)) {
        Ok(file) => Flock::lock(file, FlockArg::LockExclusiveNonblock).is_ok(),
        Err(_) => false,
    }
}

fn path_of(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

fn remove(name: &str) {
    let path = path_of(name);
    let _ = umount2(&path, MntFlags::MNT_DETACH);
    let _ = fs::remove_file(&path);
}

/// As `ip netns add` prepares it: a shared mount of its own, so that a removal reaches copies in other mount namespaces.
fn prepare_dir() -> Result<()> {
    fs::create_dir_all(DIR).with_context(|| format!("create {DIR}"))?;
    let shared = || mount(None::<&str>, DIR, None::<&str>, MsFlags::MS_SHARED | MsFlags::MS_REC, None::<&str>);
    if shared().is_err() {
        mount(Some(DIR), DIR, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)
            .with_context(|| format!("bind {DIR} onto itself"))?;
        shared().with_context(|| format!("make {DIR} shared"))?;
    }
    Ok(())
}

/// Whether this process may build a lab as it is: may make network namespaces and mount.
pub fn privileged() -> bool {
    let probe = thread::spawn(|| unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).is_ok());
    nix::unistd::geteuid().is_root() && probe.join().unwrap_or(false)
}

/// Makes an ordinary user root of a user namespace of their own, with a network, a mount table and an empty `/run` of its own.
/// The caller must be the process's only thread (user_namespaces(7)). Nothing inside is visible to the rest of the machine.
pub fn enter_user_namespace() -> Result<()> {
    let (uid, gid) = (nix::unistd::getuid(), nix::unistd::getgid());
    if let Err(e) = unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET) {
        bail!(
            "the drill needs root, or a kernel that lets ordinary users make user namespaces, and this one refused ({e}). \
             Run it as root, or allow it: sysctl kernel.unprivileged_userns_clone=1 (Debian), \
             sysctl kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu), sysctl user.max_user_namespaces=1000"
        );
    }
    fs::write("/proc/self/setgroups", "deny").context("write /proc/self/setgroups")?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1")).context("write /proc/self/uid_map")?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1")).context("write /proc/self/gid_map")?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_SLAVE | MsFlags::MS_REC, None::<&str>).context("make / a slave mount")?;
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), Some("mode=755")).context("mount a tmpfs on /run")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_who_made_it() {
        assert_eq!(Prefix::maker("tbd12-3456-0-master1"), Some((12, 3456)));
        for foreign in ["master1", "tbd", "tbd12", "tbd12-x-0-a", "tbd12-3-a", "cni-12-3-0-a"] {
            assert_eq!(Prefix::maker(foreign), None, "{foreign} is not ours");
        }
    }

    #[test]
    fn two_labs_of_one_process_never_share_a_prefix() {
        let (a, b) = (Prefix::new().unwrap(), Prefix::new().unwrap());
        assert_ne!(a, b);
        let maker = Prefix::maker(&format!("{}gw", a.as_str())).unwrap();
        assert_eq!(maker.0, std::process::id());
        assert_eq!(Some(maker.1), process::start_time(maker.0));
    }
}
