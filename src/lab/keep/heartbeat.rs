//! heartbeat 3 with ipfail: the recipe's `ha.cf` and `haresources`, with both cables, and times for a detection within about a second.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::mount::{MsFlags, mount};

use super::script::{package_version, service_script, write_script};
use crate::contender::Plan;
use crate::lab::{BOTH, Cable, GATEWAY, NODES, VIP, VIP_PREFIX};
use crate::node::Site;
use twinbeat_core::id::NodeId;

/// The short names of its processes.
pub(super) const PROCESSES: &[&str] = &["heartbeat", "ipfail"];

const PROGRAM: &str = "/usr/libexec/heartbeat/heartbeat";
const IPFAIL: &str = "/usr/libexec/heartbeat/ipfail";
const STANDBY: &str = "/usr/share/heartbeat/hb_standby";
const TAKEOVER: &str = "/usr/share/heartbeat/hb_takeover";

pub(super) fn version() -> Result<String> {
    package_version("heartbeat")
}

pub(super) fn prepare(site: &Site) -> Result<()> {
    if !site.has_nginx() {
        bail!("the comparison needs nginx");
    }
    for node in BOTH {
        let own = site.node_dir(node);
        copy("/etc/ha.d", &own.join("ha.d"))?;
        copy("/var/lib/heartbeat", &own.join("ha-lib"))?;
        let etc = own.join("ha.d");
        fs::write(etc.join("ha.cf"), ha_cf(site, node))?;
        fs::write(etc.join("haresources"), format!("{} IPaddr2::{VIP}/{VIP_PREFIX}/eth0 nginx\n", NODES[0]))?;
        fs::write(etc.join("authkeys"), "auth 1\n1 sha1 drill\n")?;
        fs::set_permissions(etc.join("authkeys"), fs::Permissions::from_mode(0o600))?;
        write_script(&etc.join("resource.d/nginx"), &service_script(site))?;
        write_script(&own.join("service"), &service_script(site))?;
    }
    Ok(())
}

fn ha_cf(site: &Site, node: NodeId) -> String {
    let here = site.here();
    let mut text = format!(
        "debug 0\nlogfile {}/ha.log\nlogfacility none\nkeepalive 200ms\nwarntime 500ms\ndeadtime 1000ms\ninitdead 5\nudpport 694\nauto_failback on\n",
        here.display()
    );
    for cable in Cable::DIRECT {
        text += &format!("ucast {} {}\n", cable.interface(), cable.address(node.other()));
    }
    text += &format!(
        "node {}\nnode {}\nping {GATEWAY}\ndeadping 1000ms\nrespawn hacluster {IPFAIL}\napiauth ipfail uid=hacluster\n",
        NODES[0], NODES[1]
    );
    text
}

/// Its paths are compiled in: the node's own files are mounted there, and an empty `/run` as after a boot.
pub(super) fn command(site: &Site, node: NodeId) -> Result<Command> {
    let own = site.node_dir(node);
    let bind = |from: &str, to: &str| {
        let done = mount(Some(&own.join(from)), to, None::<&str>, MsFlags::MS_BIND, None::<&str>);
        done.with_context(|| format!("mount the node's {from} on {to}"))
    };
    bind("ha.d", "/etc/ha.d")?;
    bind("ha-lib", "/var/lib/heartbeat")?;
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), Some("mode=755")).context("mount a tmpfs on /run")?;
    for dir in
        ["/run/heartbeat", "/run/heartbeat/ccm", "/run/heartbeat/crm", "/run/heartbeat/dopd", "/run/resource-agents", "/run/lock"]
    {
        fs::create_dir(dir).with_context(|| format!("create {dir}"))?;
    }
    let owner = nix::unistd::User::from_name("hacluster")?.context("no user hacluster")?;
    nix::unistd::chown("/run/heartbeat", Some(owner.uid), Some(owner.gid))?;
    let mut command = Command::new(PROGRAM);
    command.arg("-f");
    Ok(command)
}

/// `hb_standby` and `hb_takeover`, inside the daemon's mounts.
pub(super) fn plan(main: u32, plan: Plan) -> Result<()> {
    let script = if plan == Plan::Standby { STANDBY } else { TAKEOVER };
    let mut command = Command::new("nsenter");
    command.args(["--target", &main.to_string(), "--mount", "--uts", "--net", "--", script]).stdin(Stdio::null());
    let done = command.output().with_context(|| format!("run {script}"))?;
    if !done.status.success() {
        bail!("{script}: {}", String::from_utf8_lossy(&done.stderr).trim());
    }
    Ok(())
}

/// A copy of a directory with its owners and modes.
fn copy(from: &str, to: &Path) -> Result<()> {
    let done = Command::new("cp").args(["-a", from]).arg(to).output().with_context(|| format!("copy {from}"))?;
    if !done.status.success() {
        bail!("copy {from}: {}", String::from_utf8_lossy(&done.stderr).trim());
    }
    Ok(())
}
