//! What manages the network of a machine beside twinbeat: systemd-networkd, ifupdown, NetworkManager. Each takes the public interface of the
//! standby and of the owner in hand, with a plain file and with the setting that docs/OPERATIONS.md names.

use std::thread;
use std::time::{Duration, Instant};

use twinbeat::core::id::NodeId;
use twinbeat::lab::lab::{Cable, GATEWAY, LANCLIENT, LANCLIENT_MAC, VIP, VIP_PREFIX};

use super::{A, B, Pair};

/// One manager with one configuration of it.
struct Manager {
    name: &'static str,
    /// Makes it the interface's manager.
    begin: String,
    /// What people and upgrades do with it, and whether that leaves the address where it is, on the owner too.
    acts: &'static [(&'static str, bool)],
    /// Takes it away again; the interface keeps its addresses.
    end: &'static str,
    /// Looked at on the owner alone.
    owner_only: bool,
}

/// A file inside the machine, made by its shell.
fn file(path: &str, text: &str) -> String {
    format!("mkdir -p $(dirname {path}) && cat > {path} << 'END'\n{text}\nEND\nchmod 600 {path}\n")
}

fn networkd(node: NodeId, more: &str) -> String {
    let own = Cable::Lan.address(node);
    let text = format!(
        "[Match]\nName=eth0\n[Network]\nAddress={own}/{VIP_PREFIX}\nGateway={GATEWAY}\nIPv6AcceptRA=no\n{more}\n\
         [Neighbor]\nAddress={LANCLIENT}\nLinkLayerAddress={LANCLIENT_MAC}"
    );
    let begin = "chmod 644 /etc/systemd/network/10-lan.network && systemctl start systemd-networkd && networkctl reload";
    file("/etc/systemd/network/10-lan.network", &text) + begin
}

fn ifupdown(node: NodeId) -> String {
    let own = Cable::Lan.address(node);
    let text = format!("auto eth0\niface eth0 inet static\n  address {own}/{VIP_PREFIX}\n  gateway {GATEWAY}");
    file("/etc/network/interfaces", &text) + "mkdir -p /run/network && ip -4 addr flush dev eth0 && ifup eth0"
}

fn network_manager(node: NodeId, managed: bool) -> String {
    let own = Cable::Lan.address(node);
    let connection = format!(
        "[connection]\nid=lan\nuuid=6a3a5f6e-0d0c-4b55-8a2e-3f5d2c1b0a99\ntype=ethernet\ninterface-name=eth0\n\
         [ipv4]\nmethod=manual\naddress1={own}/{VIP_PREFIX},{GATEWAY}\n[ipv6]\nmethod=ignore"
    );
    let conf = match managed {
        true => {
            "[keyfile]\nunmanaged-devices=except:interface-name:eth0\n[device-lan]\nmatch-device=interface-name:eth0\nmanaged=1"
        }
        false => "[keyfile]\nunmanaged-devices=interface-name:eth*",
    };
    file("/etc/NetworkManager/system-connections/lan.nmconnection", &connection)
        + &file("/etc/NetworkManager/conf.d/lan.conf", conf)
        + "systemctl unmask NetworkManager && systemctl start NetworkManager && nm-online -s -q -t 10; nmcli -t device"
}

fn managers(node: NodeId) -> [Manager; 5] {
    let networkd_acts =
        &[("networkctl reload", true), ("networkctl reconfigure eth0", false), ("systemctl restart systemd-networkd", true)];
    let networkd_end =
        "rm /etc/systemd/network/10-lan.network && systemctl stop systemd-networkd.socket systemd-networkd 2> /dev/null || true";
    let nm_end =
        "systemctl stop NetworkManager && rm /etc/NetworkManager/system-connections/* /etc/NetworkManager/conf.d/lan.conf";
    [
        Manager {
            name: "systemd-networkd",
            begin: networkd(node, ""),
            acts: networkd_acts,
            end: networkd_end,
            owner_only: false,
        },
        Manager {
            name: "systemd-networkd with KeepConfiguration=static",
            begin: networkd(node, "KeepConfiguration=static"),
            acts: networkd_acts,
            end: networkd_end,
            owner_only: true,
        },
        Manager {
            name: "ifupdown",
            begin: ifupdown(node),
            acts: &[("ifdown eth0; sleep 0.5; ifup eth0", false)],
            end: "rm /etc/network/interfaces",
            owner_only: false,
        },
        Manager {
            name: "NetworkManager",
            begin: network_manager(node, true),
            acts: &[
                ("nmcli -w 20 device reapply eth0", false),
                ("nmcli -w 20 connection up lan", false),
                ("systemctl restart NetworkManager", false),
            ],
            end: nm_end,
            owner_only: false,
        },
        Manager {
            name: "NetworkManager, eth* unmanaged",
            begin: network_manager(node, false),
            acts: &[("systemctl restart NetworkManager", true)],
            end: nm_end,
            owner_only: true,
        },
    ]
}

/// Each of them on the standby, then on the owner. Nothing makes two owners; what is served is served again by itself.
pub fn try_all(pair: &Pair) {
    for node in [B, A] {
        for manager in managers(node).into_iter().filter(|manager| node == A || !manager.owner_only) {
            let begun = Instant::now();
            let role = if node == A { "owner" } else { "standby" };
            let name = format!("{} on the {role}", manager.name);
            act(pair, node, &format!("{name}: begins"), &manager.begin, None);
            for (line, leaves_it) in manager.acts {
                act(pair, node, &format!("{name}: {line}"), line, Some(*leaves_it || node == B));
            }
            act(pair, node, &format!("{name}: ends"), manager.end, None);
            println!("{name}: {:?}", begun.elapsed());
        }
    }
}

/// One command, and the pair after it. `still`: clients are to notice nothing of it.
fn act(pair: &Pair, node: NodeId, what: &str, line: &str, still: Option<bool>) {
    let from = pair.probe.now();
    let said = pair.on(node).run(line).unwrap();
    let text = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    println!("{what}: {} {}", said.status, text.trim().replace('\n', " | "));
    // The lab's observer answers no questions; a manager that flushes the table forgets it.
    let observer = format!("ip neigh replace {LANCLIENT} lladdr {LANCLIENT_MAC} nud permanent dev eth0");
    pair.on(node).must(&observer).unwrap();
    thread::sleep(Duration::from_secs(1));
    pair.healthy();
    let seen = pair.seen(what, from);
    // It comes back by itself, here or on the peer.
    assert!(seen.gap < super::PLANNED, "{what}: {seen:#?}\n{}", pair.logs());
    if still == Some(true) {
        assert!(seen.moves() == 0, "{what}: {seen:#?}\n{}", pair.logs());
    }
    if pair.probe.serving() != [A] {
        pair.on(A).must("twinbeat takeover").unwrap();
        pair.serves(A);
    }
    let addresses = pair.on(A).must("ip -4 addr show dev eth0").unwrap();
    assert!(addresses.contains(&VIP.to_string()), "{what}: {addresses}\n{}", pair.logs());
}
