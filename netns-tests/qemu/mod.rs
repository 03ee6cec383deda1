//! Machines with a kernel of their own: QEMU without hardware virtualisation (`-accel tcg`), so that every processor and every host will do, and the
//! kernels of Debian's packages.
//!
//! A machine boots into a shell that reads commands line by line from its serial console and prints `@@RC n` after each. Its disk is an initramfs that is
//! written here, its cards are taps of a lab's namespace. Over QEMU's own protocol (QMP) a cable is pulled, and the machine stands still without
//! its clock noticing. Dropping it kills it.

// Each test program uses its own part of this.
#![allow(dead_code)]

mod initramfs;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use initramfs::Cpio;
use twinbeat::lab::ns::Namespace;

/// A kernel, and what runs it.
#[derive(Debug)]
pub struct Kernel {
    /// As `uname -r` says.
    pub version: String,
    root: PathBuf,
    qemu: PathBuf,
}

impl Kernel {
    /// The kernel whose version begins with that, as `netns-tests/run.sh` unpacked it below `target/qemu`; `None` with a line that says so.
    pub fn find(version: &str) -> Option<Kernel> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/qemu");
        let qemu = [root.join("usr/bin/qemu-system-x86_64"), PathBuf::from("/usr/bin/qemu-system-x86_64")];
        let qemu = qemu.into_iter().find(|path| path.is_file());
        let versions = fs::read_dir(root.join("lib/modules")).into_iter().flatten().flatten();
        let mut versions = versions.filter_map(|entry| entry.file_name().into_string().ok());
        let found =
            versions.find(|name| name.starts_with(version) && root.join("boot").join(format!("vmlinuz-{name}")).is_file());
        if let (Some(qemu), Some(version), true) = (qemu, found, root.join("bin/busybox").is_file()) {
            return Some(Kernel { version, root, qemu });
        }
        eprintln!(
            "SKIPPED: a machine with Linux {version} needs Debian's packages of QEMU and of that kernel (netns-tests/run.sh fetches them)"
        );
        None
    }

    /// Writes an initramfs with `tools` (found where root's are), `programs` in `/program`, `files` by their names, and the modules of the network; those
    /// of `modules` are loaded in this order, the others when the kernel asks for them.
    pub fn initramfs(
        &self,
        to: &Path,
        tools: &[&str],
        programs: &[(&str, &Path)],
        files: &[(&str, &Path)],
        modules: &[&str],
    ) -> Result<()> {
        let scratch = tempfile::tempdir()?;
        let mut archive = Cpio::default();
        for dir in ["bin", "sbin", "proc", "sys", "dev", "run", "tmp", "etc", "var", "usr/bin", "usr/sbin"] {
            archive.directory(dir);
        }
        archive.file("bin/busybox", &self.root.join("bin/busybox"))?;
        for tool in tools {
            archive.program(&format!("host-bin/{tool}"), &which(tool)?, scratch.path())?;
        }
        for (name, program) in programs {
            archive.program(&format!("program/{name}"), program, scratch.path())?;
        }
        for (name, file) in files {
            archive.file(name, file)?;
        }
        let (from, to_dir) = (self.root.join("lib/modules").join(&self.version), format!("lib/modules/{}", self.version));
        for list in ["modules.dep", "modules.alias", "modules.symbols", "modules.builtin"] {
            archive.file(&format!("{to_dir}/{list}"), &from.join(list))?;
        }
        for part in MODULES {
            let path = from.join("kernel").join(part);
            if path.is_dir() {
                archive.tree(&format!("{to_dir}/kernel/{part}"), &path)?;
            } else if path.is_file() {
                archive.file(&format!("{to_dir}/kernel/{part}"), &path)?;
            }
        }
        let load: String = modules.iter().map(|module| format!("modprobe {module}\n")).collect();
        archive.bytes("init", INIT.replace("LOAD\n", &load).as_bytes(), 0o100_755);
        fs::write(to, archive.finish()).with_context(|| format!("write {}", to.display()))
    }

    /// Boots a machine in `inside`, with a network card (`eth0`, `eth1`, …) for each tap there, and waits until its shell answers.
    pub fn boot(
        &self,
        inside: &Namespace,
        name: &str,
        initramfs: &Path,
        megabytes: u32,
        taps: &[(String, String)],
    ) -> Result<Machine> {
        let mut machine = self.start(inside, name, initramfs, megabytes, taps)?;
        machine.up()?;
        Ok(machine)
    }

    /// The same without waiting.
    pub fn start(
        &self,
        inside: &Namespace,
        name: &str,
        initramfs: &Path,
        megabytes: u32,
        taps: &[(String, String)],
    ) -> Result<Machine> {
        let control = initramfs.with_file_name(format!("{name}.qmp"));
        let share = |dir: &str| self.root.join("usr/share").join(dir).display().to_string();
        let mut command = Command::new(&self.qemu);
        if self.qemu.starts_with(&self.root) {
            let libraries =
                ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"].map(|dir| self.root.join(dir).display().to_string());
            command.env("LD_LIBRARY_PATH", libraries.join(":")).args(["-L", &share("qemu"), "-L", &share("seabios")]);
        }
        command
            .args([
                "-accel",
                "tcg",
                "-cpu",
                "max",
                "-M",
                "q35",
                "-nodefaults",
                "-display",
                "none",
                "-no-reboot",
                "-serial",
                "stdio",
            ])
            .args(["-m", &megabytes.to_string(), "-append", "console=ttyS0 quiet loglevel=0 panic=-1"])
            .arg("-kernel")
            .arg(self.root.join("boot").join(format!("vmlinuz-{}", self.version)))
            .arg("-initrd")
            .arg(initramfs)
            .arg("-qmp")
            .arg(format!("unix:{},server=on,wait=off", control.display()));
        for (n, (tap, mac)) in taps.iter().enumerate() {
            command.arg("-netdev").arg(format!("tap,id=cable{n},ifname={tap},script=no,downscript=no"));
            command.arg("-device").arg(format!("virtio-net-pci,netdev=cable{n},mac={mac},id=card{n}"));
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = inside.run(|| command.spawn().context("start QEMU"))?;
        let (input, output) = (child.stdin.take().context("console")?, child.stdout.take().context("console")?);
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                if tell.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                    return;
                }
            }
        });
        Ok(Machine { name: name.to_owned(), child, input, lines, control, qmp: None })
    }
}

/// A running machine.
#[derive(Debug)]
pub struct Machine {
    name: String,
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
    control: PathBuf,
    qmp: Option<BufReader<UnixStream>>,
}

impl Machine {
    /// Waits until its shell answers.
    pub fn up(&mut self) -> Result<()> {
        self.read_until("@@UP", BOOT).with_context(|| format!("{}'s boot", self.name)).map(drop)
    }

    /// Runs one line in the machine's shell: its output and exit code.
    pub fn try_run(&mut self, line: &str) -> Result<(String, i32)> {
        self.run_for(line, PATIENCE)
    }

    /// The same, for as long as that.
    pub fn run_for(&mut self, line: &str, limit: Duration) -> Result<(String, i32)> {
        writeln!(self.input, "{line}").with_context(|| format!("{}'s console", self.name))?;
        let (text, end) = self.read_until("@@RC ", limit).with_context(|| format!("{}: {line}", self.name))?;
        let code = end.strip_prefix("@@RC ").and_then(|n| n.parse().ok()).with_context(|| format!("`{end}` is no exit code"))?;
        Ok((text, code))
    }

    /// Runs one line, and an error unless it ends with 0.
    pub fn run(&mut self, line: &str) -> Result<String> {
        match self.try_run(line)? {
            (text, 0) => Ok(text),
            (text, code) => bail!("{}: `{line}` ended with {code}: {text}", self.name),
        }
    }

    /// Pulls the cable of `ethN`, or plugs it in: its driver sees the carrier go.
    pub fn cable(&mut self, n: usize, plugged: bool) -> Result<()> {
        self.command(&format!(r#"{{"execute":"set_link","arguments":{{"name":"cable{n}","up":{plugged}}}}}"#))
    }

    /// Stands still; its clocks stand still with it.
    pub fn pause(&mut self) -> Result<()> {
        self.command(r#"{"execute":"stop"}"#)
    }

    /// Goes on as if nothing had been.
    pub fn resume(&mut self) -> Result<()> {
        self.command(r#"{"execute":"cont"}"#)
    }

    fn command(&mut self, json: &str) -> Result<()> {
        if self.qmp.is_none() {
            let stream = UnixStream::connect(&self.control).context("QMP")?;
            stream.set_read_timeout(Some(PATIENCE))?;
            self.qmp = Some(BufReader::new(stream));
            self.command(r#"{"execute":"qmp_capabilities"}"#)?;
        }
        let qmp = self.qmp.as_mut().context("QMP")?;
        writeln!(qmp.get_mut(), "{json}")?;
        let mut line = String::new();
        // A greeting or an event may come before the answer.
        while !line.contains("\"return\"") {
            if line.contains("\"error\"") {
                bail!("{}: {json}: {line}", self.name);
            }
            line.clear();
            if qmp.read_line(&mut line)? == 0 {
                bail!("{} is gone", self.name);
            }
        }
        Ok(())
    }

    fn read_until(&mut self, mark: &str, limit: Duration) -> Result<(String, String)> {
        let until = Instant::now() + limit;
        let mut text = String::new();
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) if line.starts_with(mark) => return Ok((text, line)),
                Ok(line) => text = text + &line + "\n",
                Err(RecvTimeoutError::Timeout) => bail!("no answer within {limit:?}; so far: {text}"),
                Err(RecvTimeoutError::Disconnected) => bail!("the machine is gone; its last words: {text}"),
            }
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn which(program: &str) -> Result<PathBuf> {
    let dirs = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];
    let mut paths = dirs.iter().map(|dir| Path::new(dir).join(program));
    paths.find(|path| path.is_file()).with_context(|| format!("no {program} on this machine"))
}

/// busybox prefers its own `ip` and `tc` whatever the path says, and those know no bonds and no netem: functions go before them.
const INIT: &str = "#!/bin/busybox sh
/bin/busybox --install -s /bin
ln -s /bin/busybox /sbin/modprobe
export PATH=/program:/host-bin:/bin:/sbin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /run
mount -t tmpfs tmp /tmp
stty -echo
modprobe virtio_pci
modprobe virtio_net
LOAD
ip() { /host-bin/ip \"$@\"; }
tc() { /host-bin/tc \"$@\"; }
echo @@UP
while read -r line; do eval \"$line\"; echo \"@@RC $?\"; done
poweroff -f
";

/// What of a kernel's modules a machine gets: directories and files.
const MODULES: &[&str] = &[
    "lib",
    "crypto",
    "drivers/virtio",
    "drivers/watchdog",
    "drivers/net/bonding",
    "drivers/net/dummy.ko",
    "drivers/net/macvlan.ko",
    "drivers/net/net_failover.ko",
    "drivers/net/veth.ko",
    "drivers/net/virtio_net.ko",
    "drivers/net/vrf.ko",
    "net/802",
    "net/8021q",
    "net/bridge",
    "net/core",
    "net/ipv4/netfilter",
    "net/ipv6/netfilter",
    "net/llc",
    "net/netfilter",
    "net/packet",
    "net/sched/sch_netem.ko",
    "net/tls",
];

/// A machine's boot takes 5 to 9 s, on a busy host several times that.
const BOOT: Duration = Duration::from_secs(180);
const PATIENCE: Duration = Duration::from_secs(120);
