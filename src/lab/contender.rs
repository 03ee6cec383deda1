//! Whose daemons keep the pair: twinbeat's, or those that it is compared with, from the distribution's packages.
//!
//! All of them run as foreground processes in a node's namespace, with a mount namespace and a host name of their own, under the same faults and the
//! same probe. A contender says how its configuration is written, what is started, which processes are the daemon (as opposed to the
//! service), and how an administrator plans a move. Detection is set to about a second for each, as for twinbeat's pair.

mod heartbeat;
mod keepalived;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::catalogue::{Fault, Step};
use super::node::Site;
use super::process;
use twinbeat_core::id::NodeId;

/// Whose daemons.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub enum Contender {
    /// The program under test.
    #[default]
    Twinbeat,
    /// keepalived, unicast VRRP on the LAN; a lost gateway lowers the node's priority.
    Keepalived,
    /// The same, but a lost gateway puts the node into FAULT: it gives up the address whatever the other node does.
    KeepalivedFault,
    /// keepalived with its VRRP on the dedicated cable instead, and eth0 tracked.
    KeepalivedCable,
    /// heartbeat 3 with ipfail, over both dedicated cables.
    Heartbeat,
}

impl Contender {
    /// All of them.
    pub const ALL: [Contender; 5] = [
        Contender::Twinbeat,
        Contender::Keepalived,
        Contender::KeepalivedFault,
        Contender::KeepalivedCable,
        Contender::Heartbeat,
    ];

    /// Its name in tables and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Contender::Twinbeat => "twinbeat",
            Contender::Keepalived => "keepalived",
            Contender::KeepalivedFault => "keepalived-fault",
            Contender::KeepalivedCable => "keepalived-cable",
            Contender::Heartbeat => "heartbeat",
        }
    }

    /// By its name.
    pub fn find(name: &str) -> Option<Contender> {
        Contender::ALL.into_iter().find(|c| c.name() == name)
    }

    /// The version of what is installed, as the package manager or the program says it.
    ///
    /// # Errors
    /// When it is not installed.
    pub fn version(self) -> Result<String> {
        match self {
            Contender::Twinbeat => Ok(env!("CARGO_PKG_VERSION").to_owned()),
            Contender::Keepalived | Contender::KeepalivedFault | Contender::KeepalivedCable => keepalived::version(),
            Contender::Heartbeat => heartbeat::version(),
        }
    }

    /// Whether the fault is one that these daemons know: a restart by SIGUSR2 and the drill's supervisor are twinbeat's own.
    pub fn knows(self, fault: &Fault) -> bool {
        self == Contender::Twinbeat || !fault.apply.iter().any(|step| matches!(step, Step::ComeBack(_) | Step::Supervise(..)))
    }

    /// Writes what both nodes need, once.
    pub(super) fn prepare(self, site: &Site) -> Result<()> {
        match self {
            Contender::Twinbeat => Ok(()),
            Contender::Keepalived => keepalived::prepare(site, keepalived::Variant::LAN),
            Contender::KeepalivedFault => keepalived::prepare(site, keepalived::Variant::FAULT),
            Contender::KeepalivedCable => keepalived::prepare(site, keepalived::Variant::CABLE),
            Contender::Heartbeat => heartbeat::prepare(site),
        }
    }

    /// The daemon's command line. Called on a thread that is already inside the node: network, mounts, host name; it may mount more.
    pub(super) fn command(self, site: &Site, node: NodeId) -> Result<Command> {
        match self {
            Contender::Twinbeat => Ok(site.daemon_command(node)),
            Contender::Keepalived | Contender::KeepalivedFault | Contender::KeepalivedCable => keepalived::command(site, node),
            Contender::Heartbeat => heartbeat::command(site, node),
        }
    }

    /// Whether a process of the node belongs to the daemon: the others are services. For those that are one process the pid says it.
    pub(super) fn is_daemon(self, pid: u32, main: u32) -> bool {
        let named = |names: &[&str]| process::name(pid).is_some_and(|name| names.contains(&name.as_str()));
        pid == main
            || match self {
                Contender::Twinbeat => false,
                Contender::Keepalived | Contender::KeepalivedFault | Contender::KeepalivedCable => named(keepalived::PROCESSES),
                Contender::Heartbeat => named(heartbeat::PROCESSES),
            }
    }

    /// A planned move away from the node, and its end; `main` is the daemon's pid.
    pub(super) fn plan(self, site: &Site, node: NodeId, main: u32, plan: Plan) -> Result<()> {
        match self {
            Contender::Twinbeat => bail!("twinbeat is asked over its control socket"),
            Contender::Keepalived | Contender::KeepalivedFault | Contender::KeepalivedCable => keepalived::plan(site, node, plan),
            Contender::Heartbeat => heartbeat::plan(main, plan),
        }
    }

    /// Whether the page server has to be started again by hand after it died: twinbeat supervises it itself.
    pub(super) const fn leaves_the_service_dead(self) -> bool {
        !matches!(self, Contender::Twinbeat)
    }
}

/// What an administrator wants of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Plan {
    /// The other node shall serve.
    Standby,
    /// As before.
    Resume,
}

/// The installed version of a Debian package.
fn package_version(package: &str) -> Result<String> {
    let done = Command::new("dpkg-query").args(["-W", "-f", "${db:Status-Status} ${Version}", package]).output();
    let text = done.map(|d| String::from_utf8_lossy(&d.stdout).into_owned()).unwrap_or_default();
    match text.strip_prefix("installed ") {
        Some(version) => Ok(version.to_owned()),
        None => bail!("{package} is not installed (netns-tests/compare.sh installs it)"),
    }
}

/// An executable shell script.
fn write_script(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

/// A script that starts, stops and looks at the page server of the node that it runs on, as a distribution's init script would. A zombie that nobody has
/// reaped yet (it has no `exe`) does not live.
fn service_script(site: &Site) -> String {
    let here = site.here();
    let here = here.display();
    let words: Vec<String> = site.service().iter().map(|word| format!("'{word}'")).collect();
    format!(
        "#!/bin/sh\n\
         lives() {{ read -r pid < {here}/service.pid && [ \"$(cat /proc/$pid/comm)\" = nginx ] && [ -e /proc/$pid/exe ]; }} 2> /dev/null\n\
         case $1 in\n\
         start)\n\
         lives && exit 0\n\
         setsid sh -c 'echo $$ > {here}/service.pid; exec \"$@\"' sh {} < /dev/null >> {here}/service.log 2>&1 &\n\
         n=0; until lives || [ $n -ge 50 ]; do sleep 0.02; n=$((n+1)); done; lives ;;\n\
         stop) if lives; then kill $pid; rm -f {here}/service.pid; fi ;;\n\
         status) if lives; then echo running; else echo stopped; exit 3; fi ;;\n\
         esac\n",
        words.join(" ")
    )
}

/// Starts the page server of a node where none runs, as at boot. Called inside the node.
fn start_service(site: &Site) -> Result<()> {
    let mut command = Command::new(site.here().join("service"));
    run_quietly(command.arg("start"))
}

/// The same from outside, in the mounts of the node's daemon.
pub(super) fn revive_service(main: u32, site: &Site) -> Result<()> {
    let mut command = Command::new("nsenter");
    command.args(["--target", &main.to_string(), "--mount", "--uts", "--net", "--"]).arg(site.here().join("service"));
    run_quietly(command.arg("start"))
}

/// Waits for a script that leaves something running: so none of our pipes.
fn run_quietly(command: &mut Command) -> Result<()> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if !command.status().with_context(|| format!("run {:?}", command.get_program()))?.success() {
        bail!("{command:?} failed");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contenders_are_found_by_the_name_in_the_table() {
        for contender in Contender::ALL {
            assert_eq!(Contender::find(contender.name()), Some(contender));
        }
        assert_eq!(Contender::find("pacemaker"), None);
    }

    #[test]
    fn a_package_that_is_absent_is_named() {
        let error = package_version("no-such-package-here").unwrap_err().to_string();
        assert!(error.contains("no-such-package-here is not installed"), "{error}");
    }
}
