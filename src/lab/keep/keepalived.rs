//! keepalived, as a competent administrator would configure it for this pair.
//!
//! VRRP 3 with 0.3 s between advertisements (3 lost ones and the skew: about a second), unicast. A VRRP instance runs on one network: the LAN, whose loss
//! matters, or the dedicated cable. nginx runs on both nodes; keepalived looks whether it lives, and pings the gateway.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::script::{package_version, service_script, start_service, write_script};
use crate::contender::Plan;
use crate::lab::{BOTH, Cable, GATEWAY, VIP, VIP_PREFIX, node_name};
use crate::node::Site;
use twinbeat_core::id::NodeId;

/// The short names of its processes (parent and VRRP child bear the same).
pub(super) const PROCESSES: &[&str] = &["keepalived"];

/// The choices that an administrator has, none of which is right in every fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Variant {
    /// The one network that VRRP runs on.
    on: Cable,
    /// A node whose gateway answers no more goes into FAULT, and lets go of the address; else its priority falls below the other's.
    fault: bool,
}

impl Variant {
    pub(super) const LAN: Variant = Variant { on: Cable::Lan, fault: false };
    pub(super) const FAULT: Variant = Variant { on: Cable::Lan, fault: true };
    pub(super) const CABLE: Variant = Variant { on: Cable::Heartbeat, fault: false };
}

pub(super) fn version() -> Result<String> {
    package_version("keepalived")
}

pub(super) fn prepare(site: &Site, variant: Variant) -> Result<()> {
    if !site.has_nginx() {
        bail!("the comparison needs nginx");
    }
    for node in BOTH {
        let own = site.node_dir(node);
        fs::write(own.join("keepalived.conf"), configuration(site, node, variant))?;
        fs::write(own.join("standby"), "0\n")?;
        write_script(&own.join("service"), &service_script(site))?;
    }
    Ok(())
}

fn configuration(site: &Site, node: NodeId, variant: Variant) -> String {
    let here = site.here();
    let here = here.display();
    let (me, peer) = (variant.on.address(node), variant.on.address(node.other()));
    let priority = if node == NodeId(0) { 150 } else { 100 };
    let weight = if variant.fault { "" } else { "\n    weight -60" };
    // A direct cable loses its carrier with the peer's power: that must not be this node's fault.
    let track =
        if variant.on == Cable::Lan { "" } else { "\n    dont_track_primary\n    track_interface {\n        eth0\n    }" };
    let interface = variant.on.interface();
    format!(
        "global_defs {{
    router_id {}
    vrrp_version 3
    script_user root
    vrrp_garp_master_refresh 10
}}
track_file standby {{
    file \"{here}/standby\"
}}
vrrp_script gateway {{
    script \"/bin/ping -c 1 -W 1 {GATEWAY}\"
    interval 1
    timeout 1
    fall 2
    rise 2{weight}
}}
vrrp_script nginx {{
    script \"{here}/service status\"
    interval 1
    timeout 1
    fall 1
    rise 1
}}
vrrp_instance web {{
    state BACKUP
    interface {interface}
    virtual_router_id 14
    priority {priority}
    advert_int 0.3
    unicast_src_ip {me}
    unicast_peer {{
        {peer}
    }}
    virtual_ipaddress {{
        {VIP}/{VIP_PREFIX} dev eth0 label eth0:0
    }}{track}
    track_script {{
        gateway
        nginx
    }}
    track_file {{
        standby weight 1
    }}
}}
",
        node_name(node)
    )
}

pub(super) fn command(site: &Site, node: NodeId) -> Result<Command> {
    start_service(site)?;
    let own = site.node_dir(node);
    // A dead daemon's pid file would keep a new one from starting; a package's unit file clears /run at boot.
    for pid in ["keepalived.pid", "vrrp.pid"] {
        let _ = fs::remove_file(own.join(pid));
    }
    let mut command = Command::new("/usr/sbin/keepalived");
    command.args(["--dont-fork", "--log-console", "--log-detail", "--vrrp"]);
    command.arg("--use-file").arg(own.join("keepalived.conf"));
    command.arg("--pid").arg(own.join("keepalived.pid")).arg("--vrrp_pid").arg(own.join("vrrp.pid"));
    Ok(command)
}

/// The administrator's switch is a file whose number is added to the priority: no restart, no lost advertisement.
pub(super) fn plan(site: &Site, node: NodeId, plan: Plan) -> Result<()> {
    let number = if plan == Plan::Standby { "-60\n" } else { "0\n" };
    fs::write(site.node_dir(node).join("standby"), number).context("write the standby file")
}
