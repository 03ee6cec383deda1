//! What `check` asks of this machine itself: capabilities, the gate, links, who else manages its addresses. Nothing is changed
//! but a scratch table on `lo` that is made and removed.

use std::net::IpAddr;
use std::path::Path;

use super::finding::{Finding, Level};
use twinbeat_config::Scheduling;
use twinbeat_config::{Config, GroupConfig};
use twinbeat_core::id::{LinkId, Name, NodeId};
use twinbeat_core::io::InterfaceState;
use twinbeat_host::gate::{self, GateSupport};
use twinbeat_host::interfaces::{self, Seen};
use twinbeat_host::packet::PacketSocket;
use twinbeat_host::realtime::this_thread;
use twinbeat_wire::MTU;

/// A capability that the daemon uses: its bit in `linux/capability.h`, its name, and what its lack costs.
struct Capability {
    bit: u8,
    name: &'static str,
    level: Level,
    cost: &'static str,
}

const CAPABILITIES: [Capability; 5] = [
    Capability {
        bit: 12,
        name: "CAP_NET_ADMIN",
        level: Level::Fail,
        cost: "neither the gate nor an address can be set: the daemon does not start",
    },
    Capability {
        bit: 13,
        name: "CAP_NET_RAW",
        level: Level::Fail,
        cost: "no echo, no address probe, no challenge, no relay: this node could never take over from a dead peer",
    },
    Capability {
        bit: 23,
        name: "CAP_SYS_NICE",
        level: Level::Warn,
        cost: "no better scheduling than others have ([realtime]): on a busy machine the decision may come late, and a lease may end for it",
    },
    Capability {
        bit: 14,
        name: "CAP_IPC_LOCK",
        level: Level::Warn,
        cost: "memory is not locked: after swapping the decision may come seconds late, and the lease ends meanwhile",
    },
    Capability { bit: 5, name: "CAP_KILL", level: Level::Warn, cost: "services under other users cannot be stopped by force" },
];

/// CAP_NET_BIND_SERVICE; only for ports below `net.ipv4.ip_unprivileged_port_start`.
const BIND_SERVICE: u8 = 10;

/// What this process may do. The daemon under another user or in a stricter unit may have less.
pub(super) fn capabilities(config: &Config) -> Vec<Finding> {
    let Some(held) = std::fs::read_to_string("/proc/self/status").ok().as_deref().and_then(effective) else {
        return vec![Finding::new(Level::Warn, "capabilities", "/proc/self/status does not tell them; is /proc mounted?")];
    };
    let lowest = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").ok();
    let lowest = lowest.and_then(|text| text.trim().parse::<u16>().ok()).unwrap_or(1024);
    let mut found = missing(held, config.port, lowest);
    if found.is_empty() {
        let names: Vec<&str> = CAPABILITIES.iter().map(|one| one.name).collect();
        found.push(Finding::new(Level::Ok, "capabilities", names.join(", ")));
    }
    if held & 1 << 23 != 0
        && let Some(why) = scheduling_refused(&config.realtime.scheduling)
    {
        let wanted = &config.realtime.scheduling;
        let cpus = wanted.cpus.as_ref().map(|cpus| format!(" on the CPUs {cpus:?}")).unwrap_or_default();
        let text = format!(
            "CAP_SYS_NICE is there, and the kernel still refuses {}{cpus}: {why} (realtime group scheduling? CPUs that are not there?)",
            wanted.policy
        );
        found.push(Finding::new(Level::Warn, "realtime", text));
    }
    found
}

/// The bits of the line `CapEff` of proc_pid_status(5).
fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

fn missing(held: u64, port: u16, lowest: u16) -> Vec<Finding> {
    let has = |bit: u8| held & 1 << bit != 0;
    let mut found: Vec<Finding> = CAPABILITIES
        .iter()
        .filter(|one| !has(one.bit))
        .map(|one| Finding::new(one.level, "capabilities", format!("{} is missing here: {}", one.name, one.cost)))
        .collect();
    if port < lowest && !has(BIND_SERVICE) {
        let text =
            format!("CAP_NET_BIND_SERVICE is missing here: port {port} is below {lowest}, no heartbeat socket can be opened");
        found.push(Finding::new(Level::Fail, "capabilities", text));
    }
    found
}

/// Tries on a thread of its own, whose scheduling ends with it.
fn scheduling_refused(wanted: &Scheduling) -> Option<std::io::Error> {
    let wanted = wanted.clone();
    std::thread::spawn(move || this_thread(&wanted).err()).join().unwrap_or(None)
}

pub(super) fn gate_works(config: &Config) -> Vec<Finding> {
    vec![match gate::probe() {
        GateSupport::Inet => Finding::new(
            Level::Ok,
            "gate",
            "inet: nftables hooks of the families arp and inet with timeouts: closes by itself, to the millisecond",
        ),
        GateSupport::Weak { reason } => match config.require_weak_gate_timing() {
            Ok(timing) => Finding::new(
                Level::Warn,
                "gate",
                format!("WEAK GATE: {reason}. {WEAK}; fit for it: {}", twinbeat_config::timing_margin(&timing)),
            ),
            Err(error) => {
                Finding::new(Level::Fail, "gate", format!("WEAK GATE: {reason}. {WEAK}. This file does not fit: {error}"))
            }
        },
        GateSupport::None { reason } => {
            Finding::new(Level::Fail, "gate", format!("none can be made: {reason}; the daemon does not start"))
        }
    }]
}

/// Tables that a renamed cluster or node left, and that go on closing what this file opens.
pub(super) fn old_tables(config: &Config, me: NodeId) -> Vec<Finding> {
    let Some(node) = config.nodes.get(me.index()) else { return Vec::new() };
    let vips: Vec<IpAddr> = config.groups.iter().flat_map(|group| group.vips.iter().map(|vip| vip.address)).collect();
    let found = gate::foreign(&gate::table_name(&config.cluster, &node.name), &vips).unwrap_or_default();
    let line = |old: gate::Foreign| {
        let vips = old.vips.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let text = format!(
            "the table {} of an earlier name of this cluster or node closes {vips}: clients reach nobody there; the daemon removes it when it starts",
            old.table
        );
        Finding::new(Level::Fail, "gate", text)
    };
    found.into_iter().map(line).collect()
}

/// SAFETY, limit (f).
const WEAK: &str = "Address lifetimes alone guard: a hung daemon's address stays up to half a second longer than the lease, rounded up \
                    to whole seconds, and a stopped process may bring a lapsed one back; so lease is 2 s at least (docs/SAFETY.md, limit f)";

pub(super) fn links_are_there(config: &Config, me: NodeId) -> Vec<Finding> {
    let Some(node) = config.nodes.get(me.index()) else { return Vec::new() };
    let states = match Seen::now() {
        Ok(seen) => node.links.iter().map(|link| seen.state(&link.interface, link.address)).collect::<Vec<_>>(),
        Err(error) => return vec![Finding::new(Level::Fail, "link", format!("the interfaces cannot be read: {error}"))],
    };
    let words = |state| match state {
        InterfaceState::Up => (Level::Ok, "is up and has"),
        InterfaceState::NoCarrier => (Level::Warn, "has no carrier (cable? switch port?); its address"),
        InterfaceState::NoAddress => (Level::Fail, "does not have the address"),
        InterfaceState::Missing => (Level::Fail, "does not exist here; it would have"),
    };
    let mtus = interfaces::mtus().unwrap_or_default();
    let mut found: Vec<Finding> = node
        .links
        .iter()
        .zip(states)
        .map(|(link, state)| {
            let (level, text) = words(state);
            let subject = format!("link {}", link.name);
            match mtus.get(&*link.interface) {
                Some(mtu) if (*mtu as usize) < MTU => Finding::new(Level::Fail, subject, narrow(&link.interface, *mtu)),
                _ => Finding::new(level, subject, format!("{} {text} {}", link.interface, link.address)),
            }
        })
        .collect();
    found.extend(config.interfaces.iter().filter_map(|names| names.get(me.index())).map(|name| further(config, name, me)));
    found
}

/// An interface without heartbeats, and whose it is.
fn further(config: &Config, name: &Name, me: NodeId) -> Finding {
    let here = |link: &LinkId| config.interface(me, *link) == Some(name);
    let whose = |group: &&GroupConfig| group.vips.iter().any(|vip| here(&vip.link)) || group.track.iter().any(here);
    let groups = config.groups.iter().filter(whose).map(|group| format!("`{}`", group.name)).collect::<Vec<_>>().join(", ");
    let (level, text) = match Seen::now().map(|seen| seen.bare(name)) {
        Ok(InterfaceState::Missing) => (Level::Fail, format!("does not exist here, and group {groups} needs it")),
        Ok(InterfaceState::NoCarrier) => {
            (Level::Warn, format!("has no carrier: this node is less fit for group {groups} than one that has"))
        }
        Ok(_) => (Level::Ok, format!("is up, for group {groups}")),
        Err(error) => (Level::Fail, format!("cannot be read: {error}")),
    };
    Finding::new(level, "interface", format!("{name} {text}"))
}

fn narrow(interface: &str, mtu: u32) -> String {
    format!("{interface} has an MTU of {mtu}; heartbeats are made for {MTU} at the least: raise it")
}

pub(super) fn frames_can_be_sent(config: &Config, me: NodeId) -> Vec<Finding> {
    let Some(link) = config.link(me, config.witness.link) else { return Vec::new() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let opened = runtime.map_err(|e| e.to_string()).and_then(|r| {
        r.block_on(async { PacketSocket::open(&link.interface, &[link.address]).map(drop).map_err(|e| e.to_string()) })
    });
    match opened {
        Ok(()) => Vec::new(),
        Err(why) => {
            vec![Finding::new(Level::Fail, "frames", format!("{why}; address probes, challenge and relay need raw frames"))]
        }
    }
}

/// Programs that take addresses away which they did not configure (systemd/systemd#12050, keepalived #836, #1385).
pub(super) fn managers(config: &Config, me: NodeId) -> Vec<Finding> {
    let mut interfaces: Vec<&str> =
        config.groups.iter().flat_map(|g| &g.vips).filter_map(|vip| config.interface(me, vip.link)).map(|name| &**name).collect();
    interfaces.sort_unstable();
    interfaces.dedup();
    interfaces
        .into_iter()
        .filter_map(|interface| {
            let index = nix::net::if_::if_nametoindex(interface).ok()?;
            managed(Path::new("/run"), interface, index)
        })
        .collect()
}

/// Reads what systemd-networkd (`netif/links`) and NetworkManager (`devices`) say under `run` of one interface.
fn managed(run: &Path, interface: &str, index: u32) -> Option<Finding> {
    let read = |path: &str| std::fs::read_to_string(run.join(path).join(index.to_string())).ok();
    let value =
        |text: &str, key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=').map(str::to_owned));
    if let Some(link) =
        read("systemd/netif/links").filter(|link| value(link, "ADMIN_STATE").is_some_and(|state| state != "unmanaged"))
    {
        let file = value(&link, "NETWORK_FILE").unwrap_or_default();
        let kept = std::fs::read_to_string(&file).is_ok_and(|text| {
            text.lines().filter_map(|line| line.trim().strip_prefix("KeepConfiguration=")).any(|v| matches!(v, "yes" | "static"))
        });
        let text = if kept {
            return Some(Finding::new(
                Level::Ok,
                "vip",
                format!(
                    "{interface} is systemd-networkd's, and {file} says KeepConfiguration; `networkctl reconfigure` takes the VIP away all \
                     the same: `twinbeat standby` before"
                ),
            ));
        } else {
            format!(
                "systemd-networkd manages {interface}; some versions delete addresses that they did not set when they restart: the VIP \
                 would be put back, with a gap. Put KeepConfiguration=static under [Network] of {} (`networkctl reconfigure` deletes it \
                 all the same: `twinbeat standby` before)",
                if file.is_empty() { "its .network file" } else { &file }
            )
        };
        return Some(Finding::new(Level::Warn, "vip", text));
    }
    let device = read("NetworkManager/devices")?;
    let claimed =
        value(&device, "managed").is_some_and(|v| v == "true" || v == "1") || value(&device, "connection-uuid").is_some();
    claimed.then(|| {
        let text = format!(
            "NetworkManager manages {interface} and deletes addresses that it did not set when the connection is activated anew: the VIP \
             would be put back, with a gap. Set it unmanaged ([keyfile] unmanaged-devices=interface-name:{interface}), or do not touch \
             that connection while the pair serves"
        );
        Finding::new(Level::Warn, "vip", text)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_missing_capability_is_named_with_what_it_costs() {
        let all = 1 << 12 | 1 << 13 | 1 << 23 | 1 << 14 | 1 << 5;
        assert_eq!(missing(all, 694, 0), []);
        let one = missing(all, 694, 1024);
        assert!(one.len() == 1 && one[0].level == Level::Fail && one[0].text.contains("port 694 is below 1024"), "{one:?}");
        let none = missing(0, 5694, 1024);
        let levels: Vec<_> = none.iter().map(|f| f.level).collect();
        assert_eq!(levels, [Level::Fail, Level::Fail, Level::Warn, Level::Warn, Level::Warn]);
        assert!(none.iter().zip(CAPABILITIES).all(|(f, c)| f.text.contains(c.name) && f.text.contains(c.cost)), "{none:?}");
    }

    #[test]
    fn capabilities_are_read_from_what_the_kernel_says() {
        assert_eq!(effective("Name:\tx\nCapInh:\t0000000000000000\nCapEff:\t0000000000003000\n"), Some(0x3000));
        assert_eq!(effective("CapEff: zz\n"), None);
        assert!(std::fs::read_to_string("/proc/self/status").ok().as_deref().and_then(effective).is_some());
    }

    #[test]
    fn a_manager_that_would_delete_the_vip_is_warned_of() {
        let run = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = run.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let file = run.path().join("20-lan.network");
        assert_eq!(managed(run.path(), "eth0", 3), None);
        put("NetworkManager/devices/3", "[device]\nmanaged=unmanaged\n");
        assert_eq!(managed(run.path(), "eth0", 3), None);
        put("NetworkManager/devices/3", "[device]\nconnection-uuid=5f\nmanaged=true\n");
        let nm = managed(run.path(), "eth0", 3).unwrap();
        assert!(nm.level == Level::Warn && nm.text.contains("unmanaged-devices=interface-name:eth0"), "{nm:?}");
        put("systemd/netif/links/3", &format!("ADMIN_STATE=configured\nNETWORK_FILE={}\n", file.display()));
        std::fs::write(&file, "[Network]\nAddress=192.168.42.12/25\n").unwrap();
        let networkd = managed(run.path(), "eth0", 3).unwrap();
        assert!(networkd.level == Level::Warn && networkd.text.contains("KeepConfiguration=static"), "{networkd:?}");
        std::fs::write(&file, "[Network]\nKeepConfiguration=static\n").unwrap();
        assert_eq!(managed(run.path(), "eth0", 3).unwrap().level, Level::Ok);
        put("systemd/netif/links/3", "ADMIN_STATE=unmanaged\n");
        put("NetworkManager/devices/3", "[device]\nmanaged=unmanaged\n");
        assert_eq!(managed(run.path(), "eth0", 3), None);
    }
}
