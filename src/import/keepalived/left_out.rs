//! What of keepalived has no counterpart, and why.

use super::tree::Block;
use crate::finding::{Findings, Kind};
use crate::text::shown;

/// The outermost level; whether the word is known.
pub(super) fn top(word: &str, block: &Block, findings: &mut Findings) -> bool {
    let why = match word {
        "virtual_server" | "real_server" | "sorry_server" => {
            "IPVS and its checkers: twinbeat balances nothing. keepalived can go on with this part alone (its option --check), on both nodes"
        }
        "virtual_server_group" | "local_address_group" | "SSL" => {
            "belongs to virtual_server, which stays keepalived's (option --check)"
        }
        "static_ipaddress" | "static_routes" | "static_rules" | "static_track_group" => {
            "does not move: put it into the network configuration of each node"
        }
        "vrrp_track_file" | "track_file" | "bfd_instance" | "vrrp_track_bfd" | "track_group" => {
            "no priority that checks change: twinbeat moves when a node is silent, its public side is lost or a service of the group fails"
        }
        "garp_group" | "linkbeat_interfaces" | "interface_up_down_delays" | "process_names" | "garp_interval" => {
            "twinbeat announces and watches links in its own way"
        }
        "net_namespace" | "net_namespace_ipvs" | "namespace_with_ipsets" | "instance" => {
            "no namespaces in the file: run twinbeat inside one (ip netns exec), with --run-dir and --state-dir of its own"
        }
        "use_pid_dir"
        | "random_seed"
        | "include_check"
        | "config_copy_directory"
        | "nftables"
        | "tmp_config_directory"
        | "reload_file" => "nothing of the kind",
        _ => return false,
    };
    findings.add(Kind::LeftOut, block.place.clone(), format!("{}: {why}", first_two(block)));
    true
}

/// In `global_defs`.
pub(super) fn global(block: &Block, findings: &mut Findings) {
    let word = block.word();
    let why = match word {
        _ if word.starts_with("notification_email") || word.starts_with("smtp_") => {
            "no mail by itself: [[hooks]] with dist/hooks/mail sends one at each change (docs/OPERATIONS.md, \"Hooks\")"
        }
        "vrrp_notify_fifo"
        | "vrrp_notify_fifo_script"
        | "notify_fifo"
        | "notify_fifo_script"
        | "startup_script"
        | "shutdown_script" => {
            "nothing of the kind; [[hooks]] runs a program at each change of role (docs/OPERATIONS.md, \"Hooks\")"
        }
        _ if word.starts_with("lvs_") || word.starts_with("checker_") => "belongs to virtual_server, which stays keepalived's",
        _ if word.contains("garp") || word.contains("gna") => {
            "twinbeat announces an address at each move and again, and asks the gateway whether it follows"
        }
        "enable_script_security" | "script_user" => "twinbeat runs no scripts of others; its services run as they say themselves",
        "vrrp_strict" | "vrrp_version" | "vrrp_skip_check_adv_addr" | "vrrp_check_unicast_src" => {
            "no VRRP: heartbeats are signed and sent to the other node alone"
        }
        "vrrp_iptables" | "vrrp_ipsets" | "nftables" => "twinbeat's gate is an nftables table of its own",
        _ if word.contains("mcast") => "heartbeats go to the other node's address, never to a multicast group",
        _ if word.contains("rt_priority")
            || word.contains("rlimit")
            || word.contains("no_swap")
            || word.contains("priority")
            || word.contains("cpu_affinity") =>
        {
            "see [realtime] in docs/CONFIGURATION.md: the default is mostly the better one"
        }
        _ => "nothing stands for it",
    };
    findings.add(Kind::LeftOut, block.place.clone(), format!("{}: {why}", shown(word)));
}

/// In an instance or a group of instances; secrets are not shown.
pub(super) fn in_instance(name: &str, block: &Block, findings: &mut Findings) {
    let word = block.word();
    let why = match word {
        _ if word.starts_with("notify") => {
            // Arguments may hold a password.
            let program = block.value().and_then(|line| line.split_whitespace().next()).unwrap_or_default();
            let what = format!("{} {}", shown(word), shown(program));
            let words = format!(
                "{name}: {what}: not taken over. What it starts and stops belongs into `services` of the group; what it tells people into \
                 [[hooks]], whose programs are told otherwise than keepalived's (docs/OPERATIONS.md, \"Hooks\")"
            );
            findings.add(Kind::ByHand, block.place.clone(), words);
            return;
        }
        "authentication" => "the password is not taken over (nor shown): each node has a key pair, made by `twinbeat keygen`",
        "virtual_router_id" => "a pair is known by its cluster name and its keys, not by a number",
        "track_file" | "track_bfd" | "weight" => "no priority that checks change",
        "smtp_alert" => "no mail by itself: [[hooks]] with dist/hooks/mail sends one at each change",
        "use_vmac" | "use_ipvlan" | "vmac_xmit_base" | "vmac_addr" => {
            "the address keeps no MAC address of its own: each move is announced, and the gateway is asked whether it follows"
        }
        "lvs_sync_daemon_interface" | "lvs_sync_daemon" => "belongs to virtual_server, which stays keepalived's",
        "dont_track_primary" => "the public link is always watched: an owner without it serves nobody",
        _ if word.starts_with("garp_") => "twinbeat announces an address at each move and again by itself",
        "version"
        | "native_ipv6"
        | "accept"
        | "no_accept"
        | "strict_mode"
        | "skip_check_adv_addr"
        | "check_unicast_src"
        | "old_unicast_checksum" => "no VRRP: heartbeats are signed and sent to the other node alone",
        "promote_secondaries"
        | "debug"
        | "linkbeat_use_polling"
        | "kernel_rx_buf_size"
        | "higher_prio_send_advert"
        | "lower_prio_no_advert" => "nothing stands for it",
        "mcast_dst_ip"
        | "ttl"
        | "unicast_ttl"
        | "unicast_fault_no_peer"
        | "global_tracking"
        | "sync_group_tracking_weight"
        | "track_src_ip" => "nothing stands for it",
        _ => {
            let words = format!("{name}: `{}`: the import does not know this; left out", shown(word));
            findings.add(Kind::ByHand, block.place.clone(), words);
            return;
        }
    };
    findings.add(Kind::LeftOut, block.place.clone(), format!("{name}: {}: {why}", shown(word)));
}

fn first_two(block: &Block) -> String {
    match block.value() {
        Some(value) => format!("{} {}", shown(block.word()), shown(value)),
        None => shown(block.word()),
    }
}
