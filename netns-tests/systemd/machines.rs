//! Machines with a systemd of their own: Debian roots below `target/systemd`, booted by systemd-nspawn in the namespaces of a lab's nodes.
//!
//! Each has its root on an overlay of one base (debootstrap, once), its own cgroup, and the lab's cables as its network. Dropping one ends it by
//! its process id and takes its mounts and cgroups away.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use twinbeat::lab::ns::Namespace;

/// What the machines have beyond a minimal Debian.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,iproute2,nftables,nginx-light,hostname,procps,\
                        libpam-systemd,ifupdown,network-manager,openssh-server,openssh-client";

/// The base of all roots, of the Debian that `TWINBEAT_SUITE` names (`trixie`; else `bookworm`); `None` with a line that says why there is none.
pub fn base() -> Option<PathBuf> {
    let skipped = |why: &str| {
        println!("SKIPPED: two machines with real systemd: {why}");
        None
    };
    if !nix::unistd::Uid::effective().is_root() {
        return skipped("needs root");
    }
    for tool in ["debootstrap", "systemd-nspawn", "nsenter"] {
        if !["/usr/bin", "/usr/sbin", "/bin", "/sbin"].iter().any(|dir| Path::new(dir).join(tool).is_file()) {
            return skipped(&format!("{tool} is missing here (packages debootstrap, systemd-container, util-linux)"));
        }
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("systemd");
    let suite = std::env::var("TWINBEAT_SUITE").unwrap_or_else(|_| "bookworm".to_owned());
    let (base, made) = (target.join(format!("base-{suite}")), target.join(format!("base-{suite}.whole")));
    if fs::read_to_string(&made).ok().as_deref() != Some(PACKAGES) {
        let _ = fs::remove_dir_all(&base);
        if let Err(error) = fs::create_dir_all(&target) {
            return skipped(&error.to_string());
        }
        let mut command = Command::new("debootstrap");
        command.args(["--variant=minbase", "--include", PACKAGES, &suite]).arg(&base).arg("http://deb.debian.org/debian");
        match command.stdin(Stdio::null()).output() {
            Ok(done) if done.status.success() => {}
            Ok(done) => {
                let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
                return skipped(&format!("debootstrap: {}", said.lines().last().unwrap_or_default()));
            }
            Err(error) => return skipped(&format!("debootstrap: {error}")),
        }
        let _ = fs::remove_dir_all(base.join("var/cache/apt"));
        if let Err(error) = fs::write(&made, PACKAGES) {
            return skipped(&error.to_string());
        }
    }
    Some(base)
}

/// One machine.
pub struct Machine {
    name: String,
    dir: PathBuf,
    inside: PathBuf,
    cgroups: Vec<PathBuf>,
    running: Option<Child>,
}

impl Machine {
    /// A new root for a machine of this name, whose network is that namespace.
    pub fn make(base: &Path, name: &str, inside: &Namespace) -> Result<Machine> {
        let dir = base.with_file_name(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&dir)?;
        // Its own mount: an overlay cannot lie on another one, and the machine this runs on may be one.
        mount(Some("tmpfs"), &dir, Some("tmpfs"), MsFlags::empty(), Some("size=1g,mode=755")).context("a tmpfs for the root")?;
        let machine = Machine { name: name.into(), dir, inside: inside.path(), cgroups: cgroups(name)?, running: None };
        for part in ["upper", "work", "root"] {
            fs::create_dir_all(machine.dir.join(part))?;
        }
        let d = machine.dir.display();
        let options = format!("lowerdir={},upperdir={d}/upper,workdir={d}/work", base.display());
        mount(Some("overlay"), &machine.root(), Some("overlay"), MsFlags::empty(), Some(options.as_str()))
            .context("the overlay")?;
        let write = |path: &str, text: String| fs::write(machine.root().join(path), text).with_context(|| path.to_owned());
        write("etc/hostname", format!("{name}\n"))?;
        write("etc/hosts", "127.0.0.1 localhost\n192.168.42.12 master1\n192.168.42.13 master2\n".into())?;
        // One that is there, or the first boot would enable what the distribution thinks best.
        write("etc/machine-id", format!("{:032x}\n", name.bytes().fold(7_u128, |id, b| id * 257 + u128::from(b))))?;
        // A test that wants it unmasks it.
        for unit in ["NetworkManager.service", "NetworkManager-wait-online.service"] {
            std::os::unix::fs::symlink("/dev/null", machine.root().join("etc/systemd/system").join(unit))?;
        }
        let _ = fs::remove_file(machine.root().join("etc/network/interfaces"));
        write("var/www/html/index.html", format!("{name}\n"))?;
        Ok(machine)
    }

    /// Its files, from outside.
    pub fn root(&self) -> PathBuf {
        self.dir.join("root")
    }

    /// Boots it and waits until its systemd has started everything.
    pub fn boot(&mut self) -> Result<()> {
        let enter: Vec<String> = self.cgroups.iter().map(|group| format!("echo $$ > {}/cgroup.procs", group.display())).collect();
        let (root, inside, name) = (self.root(), self.inside.clone(), &self.name);
        let boot = format!(
            "{}; exec systemd-nspawn --quiet --boot --directory={} --machine={name}-{} --hostname={name} --register=no --keep-unit --private-users=no \
             --link-journal=no --resolv-conf=off --network-namespace-path={} --capability=all --console=read-only",
            enter.join("; "),
            root.display(),
            std::process::id(),
            inside.display()
        );
        let console = fs::File::options().create(true).append(true).open(self.dir.join("console"))?;
        let mut command = Command::new("sh");
        command.args(["-c", &boot]).stdin(Stdio::null()).stdout(console.try_clone()?).stderr(console);
        self.running = Some(command.spawn().context("systemd-nspawn")?);
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let state =
                self.run("systemctl is-system-running").map(|done| String::from_utf8_lossy(&done.stdout).trim().to_owned());
            if state.as_ref().is_ok_and(|state| matches!(state.as_str(), "running" | "degraded")) {
                return Ok(());
            }
            let ended = self.running.as_mut().is_none_or(|child| !matches!(child.try_wait(), Ok(None)));
            if ended || Instant::now() > until {
                let console = fs::read_to_string(self.dir.join("console")).unwrap_or_default();
                let last: Vec<&str> = console.lines().rev().take(15).collect();
                bail!("{} does not come up: {state:?}; its console: {last:#?}", self.name);
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// A command line inside it, as root, in `/root`; killed after a minute.
    pub fn run(&self, line: &str) -> Result<Output> {
        let init = self.init().with_context(|| format!("{} is not up", self.name))?;
        let mut command = Command::new("nsenter");
        command.args([
            "-t",
            &init.to_string(),
            "-m",
            "-u",
            "-i",
            "-n",
            "-p",
            "-C",
            "-r",
            "-w",
            "env",
            "-i",
            "HOME=/root",
            "LANG=C.UTF-8",
        ]);
        command.args(["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "timeout", "60", "sh", "-c"]);
        command.arg(format!("cd /root && {line}")).stdin(Stdio::null());
        command.output().with_context(|| line.to_owned())
    }

    /// The same, which has to succeed; what it printed.
    pub fn must(&self, line: &str) -> Result<String> {
        let done = self.run(line)?;
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        ensure!(done.status.success(), "{}: {line}: {}\n{said}{}", self.name, done.status, String::from_utf8_lossy(&done.stderr));
        Ok(said)
    }

    /// `systemctl reboot`, until it is up again.
    pub fn reboot(&mut self) -> Result<()> {
        self.run("systemctl reboot")?;
        self.ended(Duration::from_secs(90)).context("the reboot does not come to its end")?;
        self.boot()
    }

    /// It has rebooted by itself, or does so now.
    pub fn rebooted(&mut self) -> Result<()> {
        self.ended(Duration::from_secs(30)).context("it does not reboot")?;
        self.boot()
    }

    /// The power goes: everything inside is killed at once.
    pub fn power_off(&mut self) -> Result<()> {
        let init = self.init().context("it is off already")?;
        kill(Pid::from_raw(init), Signal::SIGKILL)?;
        self.ended(Duration::from_secs(10))
    }

    fn ended(&mut self, limit: Duration) -> Result<()> {
        let until = Instant::now() + limit;
        let Some(child) = &mut self.running else { return Ok(()) };
        loop {
            if let Some(status) = child.try_wait()? {
                // 133: it wants to be started again.
                ensure!(status.code().is_some() || status.signal().is_some(), "{status}");
                self.running = None;
                return Ok(());
            }
            ensure!(Instant::now() < until, "{} still runs", self.name);
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its init, as a process of this machine.
    fn init(&self) -> Option<i32> {
        let nspawn = self.running.as_ref()?.id();
        let children = fs::read_to_string(format!("/proc/{nspawn}/task/{nspawn}/children")).ok()?;
        let init = children.split_whitespace().find_map(|pid| pid.parse::<i32>().ok())?;
        fs::read_to_string(format!("/proc/{init}/comm")).is_ok_and(|name| name.trim() == "systemd").then_some(init)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.power_off();
        if let Some(mut child) = self.running.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        for mounted in [self.root(), self.dir.clone()] {
            let _ = umount2(&mounted, MntFlags::MNT_DETACH);
        }
        let _ = fs::remove_dir(&self.dir);
        for group in &self.cgroups {
            remove_cgroup(group);
        }
    }
}

/// A cgroup of the machine's own in each tree that systemd uses: two machines in one would take each other's units for their own.
fn cgroups(name: &str) -> Result<Vec<PathBuf>> {
    let trees = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"];
    let groups = trees.iter().filter(|tree| Path::new(tree).join("cgroup.procs").exists());
    let groups: Vec<PathBuf> =
        groups.map(|tree| Path::new(tree).join(format!("twinbeat-{name}-{}", std::process::id()))).collect();
    for group in &groups {
        fs::create_dir_all(group).with_context(|| format!("{}", group.display()))?;
    }
    Ok(groups)
}

/// Those below it first.
fn remove_cgroup(group: &Path) {
    let below = fs::read_dir(group).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    below.filter(|path| path.is_dir()).for_each(|path| remove_cgroup(&path));
    let _ = fs::remove_dir(group);
}
