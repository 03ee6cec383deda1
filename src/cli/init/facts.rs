//! What this machine says of itself: its name, its addresses, its default gateways, its public key.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use serde_json::{Value, json};

use nix::net::if_::InterfaceFlags;
use twinbeat_config::keys;
use twinbeat_daemon::host_name;
use twinbeat_import::first::{Facts, Own};

/// This machine's; `file` is where its configuration goes: the key lies beside it.
///
/// # Errors
/// The host name, or a key that is there and cannot be read.
pub fn here(file: &Path) -> anyhow::Result<Facts> {
    let host = host_name()?;
    let host = host.split('.').next().unwrap_or_default().to_owned();
    let key = keys::key_path(file, &host);
    let key = if key.exists() { Some(keys::public_text(&keys::read(&key)?.verifying_key())) } else { None };
    let of = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let gateways = gateways_v4(&of("/proc/net/route")).into_iter().chain(gateways_v6(&of("/proc/net/ipv6_route"))).collect();
    Ok(Facts { host, addresses: addresses(), gateways, key })
}

/// As one line of JSON, for the other machine.
pub fn to_json(facts: &Facts, file_is_there: bool) -> Value {
    let own = |own: &Own| json!({ "interface": own.interface, "address": own.address, "prefix": own.prefix });
    json!({
        "twinbeat": env!("CARGO_PKG_VERSION"), "host": facts.host, "addresses": facts.addresses.iter().map(own).collect::<Vec<_>>(),
        "gateways": facts.gateways, "key": facts.key, "file_is_there": file_is_there,
    })
}

/// What the other machine says, and whether it has the file already; none when it is something else.
pub fn of_json(text: &str) -> Option<(Facts, bool)> {
    let said: Value = serde_json::from_str(text.trim()).ok()?;
    let address = |value: &Value| value.as_str()?.parse::<IpAddr>().ok();
    let own = |value: &Value| {
        let prefix = u8::try_from(value.get("prefix")?.as_u64()?).ok().filter(|prefix| *prefix <= 128)?;
        let interface = value.get("interface")?.as_str()?.to_owned();
        Some(Own { interface: Some(interface), address: address(value.get("address")?)?, prefix: Some(prefix) })
    };
    let list = |name: &str| said.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let facts = Facts {
        host: said.get("host")?.as_str()?.to_owned(),
        addresses: list("addresses").iter().filter_map(own).take(MOST).collect(),
        gateways: list("gateways").iter().filter_map(address).take(MOST).collect(),
        key: said.get("key").and_then(Value::as_str).map(str::to_owned),
    };
    Some((facts, said.get("file_is_there")?.as_bool()?))
}

fn addresses() -> Vec<Own> {
    let Ok(all) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    let usable = |flags: InterfaceFlags| flags.contains(InterfaceFlags::IFF_UP) && !flags.contains(InterfaceFlags::IFF_LOOPBACK);
    let one = |entry: nix::ifaddrs::InterfaceAddress| {
        let (address, mask) = (entry.address?, entry.netmask?);
        let (address, prefix) = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
            (Some(v4), _) => (IpAddr::V4(v4.ip()), mask.as_sockaddr_in()?.ip().to_bits().count_ones()),
            (_, Some(v6)) => (IpAddr::V6(v6.ip()), mask.as_sockaddr_in6()?.ip().to_bits().count_ones()),
            _ => return None,
        };
        let local = match address {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        // A labelled address is listed under its label.
        let interface = entry.interface_name.split(':').next().unwrap_or_default().to_owned();
        let own = Own { interface: Some(interface), address, prefix: u8::try_from(prefix).ok() };
        (usable(entry.flags) && !local).then_some(own)
    };
    all.filter_map(one).collect()
}

/// proc(5), /proc/net/route: destination, gateway and mask in the machine's byte order, by hexadecimal digits.
fn gateways_v4(text: &str) -> Vec<IpAddr> {
    let one = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let hex = |n: usize| u32::from_str_radix(columns.get(n)?, 16).ok();
        let (destination, gateway, mask) = (hex(1)?, hex(2)?, hex(7)?);
        (destination == 0 && mask == 0 && gateway != 0).then(|| IpAddr::V4(Ipv4Addr::from(gateway.to_ne_bytes())))
    };
    text.lines().skip(1).filter_map(one).collect()
}

/// /proc/net/ipv6_route: destination, its prefix's length, source, its prefix's length, next hop, by hexadecimal digits.
fn gateways_v6(text: &str) -> Vec<IpAddr> {
    let one = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let hex = |n: usize| u128::from_str_radix(columns.get(n)?, 16).ok();
        let (destination, length, gateway) = (hex(0)?, hex(1)?, hex(4)?);
        (destination == 0 && length == 0 && gateway != 0).then(|| IpAddr::V6(Ipv6Addr::from(gateway)))
    };
    text.lines().filter_map(one).collect()
}

/// More than a machine has that anybody could want here.
const MOST: usize = 4096;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn gateways_are_those_of_default_routes() {
        let text = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
            eth0\t00000000\t012AA8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\neth0\t002AA8C0\t00000000\t0001\t0\t0\t0\t80FFFFFF\t0\t0\t0\n";
        let expected = if cfg!(target_endian = "little") { "192.168.42.1" } else { "1.42.168.192" };
        assert_eq!(gateways_v4(text), [expected.parse::<IpAddr>().unwrap()]);
        let text = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 1 0 3 eth0\n\
            00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 1 0 200200 lo\n";
        assert_eq!(gateways_v6(text), ["fe80::1".parse::<IpAddr>().unwrap()]);
        for odd in ["", "\n\n", "a b", "x\n00000000 zz"] {
            assert_eq!((gateways_v4(odd), gateways_v6(odd)), (vec![], vec![]));
        }
    }

    #[test]
    fn what_a_machine_says_is_read_as_it_was_meant_and_anything_else_is_none() {
        let own = Own { interface: Some("eth0".into()), address: "192.0.2.1".parse().unwrap(), prefix: Some(24) };
        let facts = Facts {
            host: "m1".into(),
            addresses: vec![own],
            gateways: vec!["192.0.2.9".parse().unwrap()],
            key: Some("k".into()),
        };
        assert_eq!(of_json(&to_json(&facts, true).to_string()), Some((facts, true)));
        for odd in ["", "{}", "[]", "{\"host\":1}", "{\"host\":\"a\"}", "x"] {
            assert_eq!(of_json(odd), None, "{odd}");
        }
        let odd = "{\"host\":\"a\",\"addresses\":[{\"interface\":\"e\",\"address\":\"x\",\"prefix\":1},3],\"gateways\":7,\"file_is_there\":false}";
        assert_eq!(of_json(odd), Some((Facts { host: "a".into(), ..Facts::default() }, false)));
    }
}
