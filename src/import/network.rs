//! Addresses and their networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether two addresses of one family share the first `prefix` bits.
pub fn same(one: IpAddr, two: IpAddr, prefix: u8) -> bool {
    one.is_ipv4() == two.is_ipv4() && bits(one) & mask(one, prefix) == bits(two) & mask(two, prefix)
}

/// The address number `n` of the network of `address`, wrapped to what the network has.
pub fn host(address: IpAddr, prefix: u8, n: u32) -> IpAddr {
    let mask = mask(address, prefix);
    let whole = bits(address) & mask | u128::from(n) & !mask;
    match address {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from(u32::try_from(whole & u128::from(u32::MAX)).unwrap_or_default())),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(whole)),
    }
}

/// A netmask as it is written with dots, as a prefix.
pub fn prefix_of_mask(mask: Ipv4Addr) -> Option<u8> {
    let bits = u32::from(mask);
    (bits.leading_ones().saturating_add(bits.trailing_zeros()) >= 32).then(|| u8::try_from(bits.leading_ones()).ok())?
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

fn mask(address: IpAddr, prefix: u8) -> u128 {
    let width: u32 = if address.is_ipv4() { 32 } else { 128 };
    u128::MAX.checked_shl(width.saturating_sub(u32::from(prefix))).unwrap_or(0)
}
