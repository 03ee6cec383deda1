//! What `check` finds on this machine beside the services: the heartbeats' port, the state directory, addresses that are where they should not be,
//! interfaces under another name, IPv6 that is switched off; and what the running daemon knows.

use std::net::IpAddr;
use std::path::Path;

use nix::unistd::{AccessFlags, access};

use super::finding::{Finding, Level, OwnAddress};
use super::ports::{self, Protocol};
use twinbeat_config::{Config, Listen, RELAY};
use twinbeat_core::id::NodeId;
use twinbeat_core::view::View;
use twinbeat_core::words::{GroupRole, LinkCondition};

pub(super) fn all(config: &Config, me: NodeId, own: &[OwnAddress], view: Option<&View>, state_dir: &Path) -> Vec<Finding> {
    let mut found = Vec::new();
    if view.is_none() {
        found.extend(ports::holders(Protocol::Udp, config.port).into_iter().map(|holder| {
            let port = config.port;
            let text = format!("UDP port {port}, of the heartbeats, is taken by {holder}: `ss -lunp 'sport = :{port}'`; stop it, or set `port` on both nodes");
            Finding::new(Level::Fail, "port", text)
        }));
    }
    found.extend(state_directory(state_dir));
    found.extend(metrics(config, own, view.is_some()));
    found.extend(vips_out_of_place(config, me, own, view));
    found.extend(links_out_of_place(config, me, own));
    found.extend(ipv6_off(config, me));
    found.extend(view.into_iter().flat_map(|view| known_by(view, config)));
    found
}

/// Whether somebody will be able to ask for metrics and health where the file says. A running daemon has the port itself.
fn metrics(config: &Config, own: &[OwnAddress], runs: bool) -> Option<Finding> {
    let fail =
        |text: String| Some(Finding::new(Level::Fail, "metrics", format!("{text}; nobody could ask for metrics and health")));
    match config.metrics.listen.as_ref()? {
        Listen::Tcp(at) => {
            let ip = at.ip();
            let vip = config.groups.iter().flat_map(|group| &group.vips).any(|vip| vip.address == ip);
            if vip {
                let text = format!(
                    "{ip} moves: metrics and health are there on the node that serves alone; each node needs an address of its own"
                );
                return Some(Finding::new(Level::Warn, "metrics", text));
            }
            let here = ip.is_unspecified() || ip.is_loopback() || own.iter().any(|(_, own)| *own == ip);
            if !here {
                return fail(format!("{ip} is no address of this machine ([metrics] listen)"));
            }
            let holder = ports::holders(Protocol::Tcp, at.port()).into_iter().next().filter(|_| !runs);
            holder.and_then(|holder| fail(format!("TCP port {} of [metrics] listen is taken by {holder}", at.port())))
        }
        Listen::Unix(path) => {
            let folder = path.parent().filter(|folder| !folder.is_dir())?;
            // The run directory is made at the start.
            (!folder.starts_with("/run")).then(|| fail(format!("{} is no directory ([metrics] listen)", folder.display())))?
        }
    }
}

/// Nothing is written: asked of the directory, or of the first one above it that exists.
fn state_directory(dir: &Path) -> Option<Finding> {
    let fail = |text: String| Some(Finding::new(Level::Fail, "state", text));
    let there = dir.ancestors().find(|path| path.exists())?;
    if !there.is_dir() {
        return fail(format!("{} is no directory: epochs cannot be kept, the daemon does not start", there.display()));
    }
    if let Err(error) = access(there, AccessFlags::W_OK | AccessFlags::X_OK) {
        return fail(format!(
            "{} cannot be written ({error}): the daemon does not start. `mount -o remount,rw`, or mend its owner",
            there.display()
        ));
    }
    let free = nix::sys::statvfs::statvfs(there).ok()?;
    let bytes = free.blocks_available().saturating_mul(free.fragment_size());
    (bytes < LEAST_FREE).then(|| {
        let text = format!("{} KiB are free for {}: `df -h {}`", bytes / 1024, dir.display(), there.display());
        Finding::new(Level::Warn, "state", text)
    })
}

/// An address that twinbeat is to bring is there although it has not brought it.
fn vips_out_of_place(config: &Config, me: NodeId, own: &[OwnAddress], view: Option<&View>) -> Vec<Finding> {
    let mut found = Vec::new();
    for (group, vip) in config.groups.iter().flat_map(|group| group.vips.iter().map(move |vip| (group, vip))) {
        let wanted = config.interface(me, vip.link).map(|name| &**name);
        let serves = view.is_some_and(|view| view.groups.iter().any(|g| g.name == *group.name && g.role != GroupRole::Standby));
        for (interface, _) in own.iter().filter(|(_, ip)| *ip == vip.address) {
            if serves && Some(interface.as_str()) == wanted {
                continue;
            }
            let text = format!(
                "{} is configured on {interface} and twinbeat has not put it there: `ip addr del {}/{} dev {interface}` (its prefix: `ip addr`), and take it out of the \
                 network configuration; two nodes that have it both answer",
                vip.address,
                vip.address,
                if vip.address.is_ipv4() { 32 } else { 128 }
            );
            found.push(Finding::new(Level::Fail, "vip", text));
        }
    }
    found
}

/// Each link's own address where it is, and its interface by its real name.
fn links_out_of_place(config: &Config, me: NodeId, own: &[OwnAddress]) -> Vec<Finding> {
    let Some(node) = config.nodes.get(me.index()) else { return Vec::new() };
    let names: Vec<String> = nix::net::if_::if_nameindex()
        .map(|all| all.iter().map(|one| one.name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    let mut found = Vec::new();
    for link in &node.links {
        let subject = format!("link {}", link.name);
        let interface = &*link.interface;
        // The kernel finds an interface by each of its names, and messages name it by one.
        if !names.iter().any(|name| name == interface)
            && let Ok(index) = nix::net::if_::if_nametoindex(interface)
        {
            let real = names.iter().find(|name| nix::net::if_::if_nametoindex(name.as_str()) == Ok(index));
            let real = real.map_or("?", String::as_str);
            let text = format!("{interface} is another name (altname) of {real}: write `interface = \"{real}\"`");
            found.push(Finding::new(Level::Fail, subject, text));
            continue;
        }
        let on: Vec<&str> = own.iter().filter(|(_, ip)| *ip == link.address).map(|(name, _)| name.as_str()).collect();
        if let Some(other) = on.iter().find(|name| **name != interface && !on.contains(&interface)) {
            let text = format!(
                "{} is on {other} and not on {interface}: write `interface = \"{other}\"`, or move the address; are cables crossed?",
                link.address
            );
            found.push(Finding::new(Level::Fail, subject, text));
        }
    }
    found
}

fn ipv6_off(config: &Config, me: NodeId) -> Vec<Finding> {
    let Some(node) = config.nodes.get(me.index()) else { return Vec::new() };
    let links = node.links.iter().filter(|link| link.address.is_ipv6()).map(|link| &*link.interface);
    let vips = config.groups.iter().flat_map(|group| &group.vips).filter(|vip| matches!(vip.address, IpAddr::V6(_)));
    let mut all: Vec<&str> = links.chain(vips.filter_map(|vip| config.interface(me, vip.link)).map(|name| &**name)).collect();
    all.sort_unstable();
    all.dedup();
    let off = |interface: &&str| {
        std::fs::read_to_string(format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6"))
            .is_ok_and(|value| value.trim() == "1")
    };
    let line = |interface: &str| {
        let text = format!(
            "IPv6 is switched off on {interface}, and the file has IPv6 addresses there: `sysctl -w net.ipv6.conf.{interface}.disable_ipv6=0`, and in /etc/sysctl.d"
        );
        Finding::new(Level::Fail, "ipv6", text)
    };
    all.into_iter().filter(off).map(line).collect()
}

/// What only the running daemon knows.
fn known_by(view: &View, config: &Config) -> Vec<Finding> {
    let mut found = Vec::new();
    if view.digest != format!("{:016x}", config.digest) {
        let text = "the running daemon has read another file than this one: `twinbeat reload`, the standby first";
        found.push(Finding::new(Level::Warn, "daemon", text));
    }
    let strangers = view.groups.iter().filter_map(|group| group.stranger.clone());
    found.extend(strangers.map(|words| Finding::new(Level::Fail, "vip", words)));
    let disk = |level, subject, words: &Option<String>| {
        words.as_ref().map(|words| Finding::new(level, subject, format!("{words}: `df -h`, `dmesg`")))
    };
    found.extend(disk(Level::Fail, "state", &view.state_trouble));
    found.extend(disk(Level::Warn, "journal", &view.recorder_trouble));
    let (relay, wires): (Vec<_>, Vec<_>) = view.links.iter().partition(|link| link.name == RELAY);
    let silent = |state: LinkCondition| matches!(state, LinkCondition::Lost | LinkCondition::Unheard | LinkCondition::OneWay);
    if relay.iter().any(|link| link.state == LinkCondition::Ok)
        && !wires.is_empty()
        && wires.iter().all(|link| silent(link.state))
    {
        let port = config.port;
        let text = format!(
            "only the relay carries heartbeats, no link does: a firewall? Let UDP port {port} through on every link, on both nodes (`nft add rule inet filter input udp dport {port} accept`)"
        );
        found.push(Finding::new(Level::Fail, "links", text));
    }
    found
}

/// Below this a state directory gets a warning: the record is a few pages, the flight recorder takes what is left.
const LEAST_FREE: u64 = 8 * 1024 * 1024;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn said(listen: &str, runs: bool) -> Option<(Level, String)> {
        let text =
            include_str!("../../../scenarios/pairs/fast.toml").to_owned() + &format!("\n[metrics]\nlisten = \"{listen}\"\n");
        let config = Config::load(Path::new("t.toml"), &text).unwrap();
        let own = [("eth0".to_owned(), "192.168.42.12".parse().unwrap())];
        metrics(&config, &own, runs).map(|finding| (finding.level, finding.text))
    }

    #[test]
    fn where_metrics_are_asked_for_must_be_here_and_free() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let (level, text) = said(&format!("127.0.0.1:{port}"), false).unwrap();
        assert!(level == Level::Fail && text.contains("is taken by"), "{text}");
        assert_eq!(said(&format!("127.0.0.1:{port}"), true), None, "the daemon's own");
        drop(taken);
        for fine in [
            format!("127.0.0.1:{port}"),
            format!("192.168.42.12:{port}"),
            format!("[::]:{port}"),
            "unix:/run/twinbeat/m.sock".to_owned(),
        ] {
            assert_eq!(said(&fine, false), None, "{fine}");
        }
        for wrong in ["10.9.9.9:9469", "unix:/nowhere/at/all/m.sock"] {
            assert_eq!(said(wrong, false).unwrap().0, Level::Fail, "{wrong}");
        }
        assert_eq!(said("192.168.42.14:9469", false).unwrap().0, Level::Warn);
    }
}
