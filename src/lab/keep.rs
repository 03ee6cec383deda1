//! How a pair is kept, by twinbeat's daemons or by those that it is compared with, from the distribution's packages.
//!
//! All of them run as foreground processes in a node's namespace, with a mount namespace and a host name of their own, under the same faults and the
//! same probe. A contender says how its configuration is written, what is started, which processes are the daemon (as opposed to the
//! service), and how an administrator plans a move. Detection is set to about a second for each, as for twinbeat's pair.

mod heartbeat;
mod keepalived;
mod script;

use std::process::Command;

use anyhow::{Result, bail};

pub(super) use self::script::revive_service;
use super::contender::{Contender, Plan};
use super::node::Site;
use super::process;
use twinbeat_core::id::NodeId;

impl Contender {
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
}
