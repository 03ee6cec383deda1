//! Machines with a kernel of their own: User Mode Linux (Debian packages user-mode-linux and busybox-static), each a process inside a lab's namespace.
//!
//! A machine boots into a shell that reads commands line by line from its console and prints `@@RC n` after each. Its disk is an initramfs that is written
//! here; what it shall share with this machine is mounted by hostfs. Dropping it kills it; the namespace's guard kills what is left of it.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use twinbeat::drill::ns::Namespace;

/// Where the packages' files are.
#[derive(Debug)]
pub struct Packages {
    kernel: PathBuf,
    modules: PathBuf,
    busybox: PathBuf,
}

impl Packages {
    /// Installed, or unpacked below `target/uml` as `netns-tests/run.sh` does; `None` with a line that says so.
    pub fn find() -> Option<Packages> {
        let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/uml");
        for root in [unpacked.as_path(), Path::new("/")] {
            let kernel = root.join("usr/bin/linux.uml");
            let busybox = root.join("bin/busybox");
            let modules = fs::read_dir(root.join("usr/lib/uml/modules")).ok().and_then(|mut d| Some(d.next()?.ok()?.path()));
            if let (true, true, Some(modules)) = (kernel.is_file(), busybox.is_file(), modules) {
                return Some(Packages { kernel, modules, busybox });
            }
        }
        eprintln!(
            "SKIPPED: real bonds need the Debian packages user-mode-linux and busybox-static (netns-tests/run.sh fetches them)"
        );
        None
    }

    /// Writes an initramfs with `tools` in `/host-bin`, the libraries of these and of `programs` (too big to be copied: mount them by hostfs), and
    /// kernel modules, to be loaded in this order.
    pub fn initramfs(&self, to: &Path, tools: &[&Path], programs: &[&Path], modules: &[&str]) -> Result<()> {
        let mut archive = Cpio::default();
        for dir in ["bin", "sbin", "proc", "sys", "dev", "run", "tmp", "etc", "host", "program", "mod", "usr/bin", "usr/sbin"] {
            archive.directory(dir);
        }
        archive.file("bin/busybox", &self.busybox)?;
        for tool in tools {
            let name = tool.file_name().and_then(|n| n.to_str()).context("a tool's name")?;
            archive.file(&format!("host-bin/{name}"), tool)?;
        }
        for program in tools.iter().chain(programs) {
            for library in libraries(program)? {
                archive.file(library.strip_prefix('/').unwrap_or(&library), Path::new(&library))?;
            }
        }
        let mut load = String::new();
        for module in modules {
            let (module, arguments) = module.split_once(' ').unwrap_or((module, ""));
            let name = Path::new(module).file_name().and_then(|n| n.to_str()).context("a module's name")?;
            archive.file(&format!("mod/{name}"), &self.modules.join("kernel").join(module))?;
            load += &format!("insmod /mod/{name} {arguments}\n");
        }
        archive.bytes("init", INIT.replace("LOAD\n", &load).as_bytes(), 0o100_755);
        fs::write(to, archive.finish()).with_context(|| format!("write {}", to.display()))
    }

    /// Whether this machine's processor and kernel let User Mode Linux boot at all: a bare machine, with nothing of the product in it. Where they do
    /// not (on processors with AMX its buffer for the registers is too small), a line says so, with the kernel's last words.
    pub fn boots(&self, inside: &Namespace, dir: &Path) -> bool {
        let bare = dir.join("bare");
        let tried = self.initramfs(&bare, &[], &[], &[]).and_then(|()| self.boot(inside, "bare", &bare, &[]));
        if let Err(error) = &tried {
            let words = format!("{error:#}");
            let last = words.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
            eprintln!("SKIPPED: real bonds need a User Mode Linux that boots, and here a bare one does not: {last}");
        }
        tried.is_ok()
    }

    /// Boots a machine in `inside`, with one network card (`vec0`, `vec1`, …) for each tap there, and waits until its shell answers.
    pub fn boot(&self, inside: &Namespace, name: &str, initramfs: &Path, taps: &[(String, String)]) -> Result<Machine> {
        let dir = initramfs.parent().context("the initramfs has a directory")?;
        let mut command = Command::new(&self.kernel);
        command.args(["mem=192M", "root=/dev/ram0", "rdinit=/init", "con=null", "ssl=null", "con0=fd:0,fd:1", "quiet"]);
        command
            .arg(format!("initrd={}", initramfs.display()))
            .arg(format!("umid={name}"))
            .arg(format!("uml_dir={}", dir.display()));
        for (n, (tap, mac)) in taps.iter().enumerate() {
            command.arg(format!("vec{n}:transport=tap,ifname={tap},depth=64,gro=0,mac={mac}"));
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = inside.run(|| command.spawn().context("start the User Mode Linux kernel"))?;
        let (input, output) = (child.stdin.take().context("console")?, child.stdout.take().context("console")?);
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                if tell.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                    return;
                }
            }
        });
        let mut machine = Machine { name: name.to_owned(), child, input, lines };
        machine.read_until("@@UP", Duration::from_secs(30)).context("boot")?;
        Ok(machine)
    }
}

/// A running machine.
#[derive(Debug)]
pub struct Machine {
    name: String,
    child: Child,
    input: ChildStdin,
    lines: Receiver<String>,
}

impl Machine {
    /// Runs one line in the machine's shell: its output and exit code.
    pub fn try_run(&mut self, line: &str) -> Result<(String, i32)> {
        writeln!(self.input, "{line}").with_context(|| format!("{}'s console", self.name))?;
        let (text, end) = self.read_until("@@RC ", PATIENCE).with_context(|| format!("{}: {line}", self.name))?;
        let code = end.strip_prefix("@@RC ").and_then(|n| n.parse().ok()).with_context(|| format!("`{end}` is no exit code"))?;
        Ok((text, code))
    }

    /// The same, and an error unless it ends with 0.
    pub fn run(&mut self, line: &str) -> Result<String> {
        match self.try_run(line)? {
            (text, 0) => Ok(text),
            (text, code) => bail!("{}: `{line}` ended with {code}: {text}", self.name),
        }
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

/// What `ldd` lists for a program.
fn libraries(program: &Path) -> Result<Vec<String>> {
    let done = Command::new("ldd").arg(program).output().context("ldd")?;
    let text = String::from_utf8_lossy(&done.stdout);
    Ok(text.split_whitespace().filter(|word| word.starts_with('/')).map(str::to_owned).collect())
}

/// An archive in cpio's "newc" format (Documentation/driver-api/early-userspace/buffer-format.rst).
#[derive(Default)]
struct Cpio {
    data: Vec<u8>,
    made: BTreeSet<String>,
}

impl Cpio {
    fn directory(&mut self, name: &str) {
        if let Some((above, _)) = name.rsplit_once('/') {
            self.directory(above);
        }
        self.bytes(name, &[], 0o040_755);
    }

    fn file(&mut self, name: &str, from: &Path) -> Result<()> {
        if let Some((above, _)) = name.rsplit_once('/') {
            self.directory(above);
        }
        let data = fs::read(from).with_context(|| format!("read {}", from.display()))?;
        let mode = fs::metadata(from)?.permissions().mode() & 0o777;
        self.bytes(name, &data, 0o100_000 | mode);
        Ok(())
    }

    fn bytes(&mut self, name: &str, data: &[u8], mode: u32) {
        if !self.made.insert(name.to_owned()) {
            return;
        }
        let number = self.made.len();
        let header = format!(
            "070701{number:08x}{mode:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}",
            0,
            0,
            1,
            0,
            data.len(),
            0,
            0,
            0,
            0,
            name.len() + 1,
            0
        );
        self.data.extend(header.as_bytes());
        self.data.extend(name.as_bytes());
        self.data.push(0);
        self.pad();
        self.data.extend(data);
        self.pad();
    }

    fn pad(&mut self) {
        self.data.resize(self.data.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        self.bytes("TRAILER!!!", &[], 0);
        self.data
    }
}

/// busybox prefers its own `ip` whatever the path says, and that one knows no bonds: a function goes before it.
const INIT: &str = "#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/program:/host-bin:/bin:/sbin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /run
stty -echo
LOAD
ip() { /host-bin/ip \"$@\"; }
echo @@UP
while read -r line; do eval \"$line\"; echo \"@@RC $?\"; done
poweroff -f
";

const PATIENCE: Duration = Duration::from_secs(30);
