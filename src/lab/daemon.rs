//! A real daemon in a node's namespace, alone or under a supervisor.
//!
//! The supervisor is what an init system is to a daemon: it waits for its end, waits a moment, and starts it again. It sees no more of it than that.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use super::contender::{Contender, Plan};
use super::lab::Lab;
use super::node::Site;
use super::process;
use twinbeat_core::id::NodeId;

/// A running daemon. Dropping it kills it, and nobody starts it again.
#[derive(Debug)]
pub struct Daemon {
    child: Arc<Mutex<Child>>,
    supervisor: Option<Supervisor>,
    contender: Contender,
    inode: (u64, u64),
}

#[derive(Debug)]
struct Supervisor {
    over: Arc<AtomicBool>,
    starts: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl Daemon {
    /// Starts the daemon of that node, as `ip netns exec` would, with a host name of its own. Its output is appended to `daemon.log`.
    pub fn start(lab: &Lab, site: &Site, node: NodeId) -> Result<Daemon> {
        let place = Place::of(site, node);
        let child = lab.node(node).run(|| {
            place.enter()?;
            place.spawn(site.contender().command(site, node)?)
        })?;
        let inode = lab.node(node).inode();
        Ok(Daemon { child: Arc::new(Mutex::new(child)), supervisor: None, contender: site.contender(), inode })
    }

    /// Puts it under a supervisor, which starts it again `pause` after each end of it, however it ended.
    pub fn supervise(&mut self, lab: &Lab, site: &Site, node: NodeId, pause: Duration) -> Result<()> {
        self.unsupervise();
        if self.contender != Contender::Twinbeat {
            bail!("only twinbeat's daemon is put under a supervisor");
        }
        let (place, command) = (Place::of(site, node), site.daemon_command(node));
        let (over, starts) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (child, ended, started) = (Arc::clone(&self.child), Arc::clone(&over), Arc::clone(&starts));
        let thread = lab.node(node).spawn("supervisor", move || {
            if place.enter().is_ok() {
                tend(&child, || place.spawn(again(&command)), pause, &ended, &started);
            }
        })?;
        self.supervisor = Some(Supervisor { over, starts, thread });
        Ok(())
    }

    /// The supervisor goes; the daemon stays.
    pub fn unsupervise(&mut self) {
        if let Some(supervisor) = &self.supervisor {
            supervisor.over.store(true, Ordering::SeqCst);
        }
    }

    /// Whether somebody starts it again when it ends.
    pub fn supervised(&self) -> bool {
        self.supervisor.as_ref().is_some_and(|s| !s.over.load(Ordering::SeqCst))
    }

    /// How often the supervisor has started it again.
    pub fn starts(&self) -> usize {
        self.supervisor.as_ref().map_or(0, |s| s.starts.load(Ordering::SeqCst))
    }

    /// Its pid; under a supervisor that of the life that was started last.
    pub fn pid(&self) -> u32 {
        lock(&self.child).id()
    }

    /// Whether it still runs.
    pub fn running(&mut self) -> bool {
        matches!(lock(&self.child).try_wait(), Ok(None))
    }

    /// Sends it a signal; `false` when it is gone. What asks goes to its main process; what the kernel does to a daemon (SIGKILL, SIGSTOP, SIGCONT), to
    /// all of its processes.
    pub fn signal(&mut self, signal: Signal) -> bool {
        // Not reaped while this is held: the number is nobody else's.
        let mut child = lock(&self.child);
        if !matches!(child.try_wait(), Ok(None)) {
            return false;
        }
        if !matches!(signal, Signal::SIGKILL | Signal::SIGSTOP | Signal::SIGCONT) {
            return process::signal(child.id(), signal);
        }
        // Stopped first: a parent that saw its child die might start another, or clean up.
        let owned = |pid: &u32| self.contender.is_daemon(*pid, child.id());
        let all: Vec<u32> = process::in_namespace(self.inode).into_iter().filter(owned).collect();
        if signal == Signal::SIGKILL {
            for pid in &all {
                process::signal(*pid, Signal::SIGSTOP);
            }
        }
        all.iter().filter(|pid| process::signal(**pid, signal)).count() == all.len()
    }

    /// Whether a process of its node is the daemon's own, and no service.
    pub fn owns(&self, pid: u32) -> bool {
        self.contender.is_daemon(pid, self.pid())
    }

    /// A planned move, for daemons other than twinbeat.
    pub(super) fn plan(&self, site: &Site, node: NodeId, plan: Plan) -> Result<()> {
        self.contender.plan(site, node, self.pid(), plan)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.unsupervise();
        self.signal(Signal::SIGKILL);
        {
            let mut child = lock(&self.child);
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Some(supervisor) = self.supervisor.take() {
            let _ = supervisor.thread.join();
        }
    }
}

/// Starts it again, and again.
fn tend(child: &Mutex<Child>, spawn: impl Fn() -> Result<Child>, pause: Duration, over: &AtomicBool, starts: &AtomicUsize) {
    loop {
        let pid = Pid::from_raw(i32::try_from(lock(child).id()).unwrap_or(i32::MAX));
        // Left to be reaped under the lock, so that nobody signals a number that is somebody else's by then.
        let _ = waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
        if over.load(Ordering::SeqCst) {
            return;
        }
        let _ = lock(child).wait();
        thread::sleep(pause);
        let mut child = lock(child);
        if over.load(Ordering::SeqCst) {
            return;
        }
        match spawn() {
            Ok(new) => *child = new,
            Err(_) => return,
        }
        starts.fetch_add(1, Ordering::SeqCst);
    }
}

fn lock(child: &Mutex<Child>) -> MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same command once more.
fn again(command: &Command) -> Command {
    let mut new = Command::new(command.get_program());
    new.args(command.get_args());
    new
}

/// Where a node's daemon runs, for a thread that is inside the node's network namespace.
#[derive(Clone, Debug)]
struct Place {
    here: PathBuf,
    own: PathBuf,
    name: String,
}

impl Place {
    fn of(site: &Site, node: NodeId) -> Place {
        Place { here: site.here(), own: site.node_dir(node), name: site.name(node).to_owned() }
    }

    /// Gives the calling thread, and what it starts, the node's own mounts and host name.
    fn enter(&self) -> Result<()> {
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS).context("own mounts and host name")?;
        mount(None::<&str>, "/", None::<&str>, MsFlags::MS_SLAVE | MsFlags::MS_REC, None::<&str>).context("slave mounts")?;
        // The node's own view of its interfaces; a container may refuse it, and then nothing reads it.
        let _ = mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), None::<&str>);
        mount(Some(&self.own), &self.here, None::<&str>, MsFlags::MS_BIND, None::<&str>).context("bind the node's own part")?;
        nix::unistd::sethostname(&self.name).context("host name")
    }

    fn spawn(&self, mut command: Command) -> Result<Child> {
        let log = File::options().create(true).append(true).open(self.own.join("daemon.log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command.spawn().with_context(|| format!("start {:?}", command.get_program()))
    }
}
