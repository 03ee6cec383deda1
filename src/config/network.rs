//! Networks of addresses.

use std::net::IpAddr;

/// Whether two addresses of one family share the first `prefix` bits.
pub fn same_network(one: IpAddr, two: IpAddr, prefix: u8) -> bool {
    match (one, two) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u32::from(a) ^ u32::from(b)) & mask_v4(prefix) == 0,
        (IpAddr::V6(a), IpAddr::V6(b)) => (u128::from(a) ^ u128::from(b)) & mask_v6(prefix) == 0,
        _ => false,
    }
}

/// The network of an address, as it is written.
pub fn network(address: IpAddr, prefix: u8) -> String {
    match address {
        IpAddr::V4(v4) => format!("{}/{prefix}", std::net::Ipv4Addr::from(u32::from(v4) & mask_v4(prefix))),
        IpAddr::V6(v6) => format!("{}/{prefix}", std::net::Ipv6Addr::from(u128::from(v6) & mask_v6(prefix))),
    }
}

/// The bits of an IPv4 prefix.
pub fn mask_v4(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32u32.saturating_sub(prefix.into())).unwrap_or(0)
}

/// The bits of an IPv6 prefix.
fn mask_v6(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128u32.saturating_sub(prefix.into())).unwrap_or(0)
}
