//! One line of `virtual_ipaddress`: an address with what ip(8) takes behind it.

use std::net::IpAddr;

use super::tree::Block;
use crate::text::{Place, Wrong, shown};

/// A virtual address.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Vip {
    pub address: IpAddr,
    pub prefix: Option<u8>,
    pub device: Option<String>,
    pub label: Option<String>,
    /// Stands in `virtual_ipaddress_excluded`.
    pub excluded: bool,
    /// What is behind it and has no counterpart.
    pub rest: Vec<String>,
    pub place: Place,
}

/// Reads a line; none where it is no address, and `wrong` says so.
pub(super) fn parse(block: &Block, excluded: bool, wrong: &mut Vec<Wrong>) -> Option<Vip> {
    let mut bad = |words: String| {
        wrong.push(Wrong::new(block.place.clone(), words));
        None
    };
    let text = block.word();
    let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let Ok(address) = address.parse::<IpAddr>() else {
        return bad(format!("`{}` is no IP address", shown(text)));
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix.map(|prefix| prefix.parse::<u8>().ok().filter(|prefix| (1..=most).contains(prefix))) {
        Some(None) => return bad(format!("`{}`: the prefix is not 1 to {most}", shown(text))),
        Some(prefix) => prefix,
        None => None,
    };
    let mut vip = Vip { address, prefix, device: None, label: None, excluded, rest: Vec::new(), place: block.place.clone() };
    let mut words = block.words.iter().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "dev" => vip.device = words.next().cloned(),
            "label" => vip.label = words.next().cloned(),
            "brd" | "broadcast" | "peer" | "track_group" | "preferred_lft" => {
                let value = words.next().map_or("", String::as_str);
                vip.rest.push(format!("{word} {}", shown(value)));
            }
            "scope" => {
                vip.rest.extend(words.next().filter(|scope| *scope != "global").map(|scope| format!("scope {}", shown(scope))))
            }
            other => vip.rest.push(shown(other)),
        }
    }
    Some(vip)
}
