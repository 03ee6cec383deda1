//! A machine of the lab as somebody at its shell sees it: its network, its name, and an `/etc`, `/run`, `/var/lib`, `/tmp` and home of its own, with the
//! program installed. There is no systemd. `ssh` and `scp` go to the other machine's shell.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tempfile::TempDir;
use twinbeat::lab::ns::Namespace;

/// Makes the machine inside a mount namespace that is there for as long as this runs. `$1` its name, `$2` what is put into its PATH.
const KEEPER: &str = r#"
hostname "$1"
mount -t tmpfs tmpfs /mnt
cd /mnt
for dir in etc var/lib; do
    mkdir -p "upper/$dir" "work/$dir"
    mount -t overlay overlay -o "lowerdir=/$dir,upperdir=upper/$dir,workdir=work/$dir" "/$dir"
done
cd /
mkdir /mnt/bin
for program in "$2"/*; do
    touch "/mnt/bin/${program##*/}"
    mount --bind "$(readlink -f "$program")" "/mnt/bin/${program##*/}"
done
for dir in /run /tmp /root; do mount -t tmpfs tmpfs "$dir"; done
mount -t sysfs sysfs /sys
echo ready
exec sleep 1000000
"#;

/// What stands for ssh: the last `@` begins the host, the rest is for the shell there.
const SSH: &str = r#"#!/bin/sh
[ "$1" = -- ] && shift
pid=$(cat "/mnt/hosts/${1##*@}") || exit 255
shift
exec nsenter -t "$pid" -m -u -n env PATH="$PATH" HOME=/root sh -c "cd; $*"
"#;

/// And for scp, from there to here.
const SCP: &str = r#"#!/bin/sh
[ "$1" = -r ] && shift
host=${1%%:*} from=${1#*:}
if [ -e "$from" ] && [ "$from" = "$1" ]; then host=${2%%:*}; exec ssh "$host" cp "/proc/$$/root$1" "${2#*:}"; fi
exec cp -r "/proc/$(cat "/mnt/hosts/$host")/root$from" "$2"
"#;

/// Dropping it ends its daemon and all that it has mounted.
pub struct Machine {
    keeper: Child,
    daemon: Option<Child>,
    _programs: TempDir,
}

impl Machine {
    pub fn make(name: &str, inside: &Namespace) -> Result<Machine> {
        let programs = tempfile::tempdir()?;
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_twinbeat"), programs.path().join("twinbeat"))?;
        for (name, text) in [("ssh", SSH), ("scp", SCP)] {
            let path = programs.path().join(name);
            fs::write(&path, text)?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        }
        let mut keeper = inside.run(|| {
            let mut command = Command::new("unshare");
            command
                .args(["--mount", "--uts", "--propagation", "private", "sh", "-ec", KEEPER, "keeper", name])
                .arg(programs.path());
            Ok(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?)
        })?;
        let mut line = String::new();
        BufReader::new(keeper.stdout.take().context("its output")?).read_line(&mut line)?;
        let machine = Machine { keeper, daemon: None, _programs: programs };
        ensure!(line.trim() == "ready", "{name} was not made");
        Ok(machine)
    }

    /// From now on `ssh` and `scp` find that machine by these names.
    pub fn knows(&self, names: &[&str], other: &Machine) {
        let dir = self.path("/mnt/hosts");
        fs::create_dir_all(&dir).unwrap();
        for name in names {
            fs::write(Path::new(&dir).join(name), other.keeper.id().to_string()).unwrap();
        }
    }

    /// A path of the machine, as it is seen from outside.
    pub fn path(&self, path: &str) -> String {
        format!("/proc/{}/root{path}", self.keeper.id())
    }

    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub fn write(&self, path: &str, text: &str) {
        fs::write(self.path(path), text).unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    /// `from` becomes `to` in the configuration.
    pub fn edit(&self, from: &str, to: &str) {
        let text = self.read("/etc/twinbeat/twinbeat.toml");
        assert!(text.contains(from), "{from}: {text}");
        self.write("/etc/twinbeat/twinbeat.toml", &text.replace(from, to));
    }

    fn shell(&self, line: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.keeper.id().to_string(), "-m", "-u", "-n"]);
        command.args([
            "env",
            "-u",
            "NOTIFY_SOCKET",
            "HOME=/root",
            "PATH=/mnt/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "sh",
            "-c",
            &format!("cd; {line}"),
        ]);
        // Its home is its own: one that is said to nsenter would be this machine's.
        command.stdin(Stdio::null()).current_dir("/");
        command
    }

    /// What somebody types there.
    pub fn types(&self, line: &str) -> Output {
        self.shell(line).output().unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    /// The daemon in the foreground, as the unit has it.
    pub fn start(&mut self, line: &str) {
        let log = File::options().create(true).append(true).open(self.path("/run/daemon.log")).unwrap();
        let mut command = self.shell(&format!("exec {line}"));
        self.daemon = Some(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
    }

    pub fn log(&self) -> String {
        let text = fs::read_to_string(self.path("/run/daemon.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// The daemon's end by that signal; its exit code.
    pub fn stop(&mut self, signal: Signal) -> Option<i32> {
        let mut daemon = self.daemon.take().expect("a daemon");
        nix::sys::signal::kill(Pid::from_raw(daemon.id().cast_signed()), signal).unwrap();
        daemon.wait().unwrap().code()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for child in self.daemon.iter_mut().chain([&mut self.keeper]) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
