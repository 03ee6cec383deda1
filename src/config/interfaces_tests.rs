//! What is read and refused of interfaces that are no link's.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use super::*;
use twinbeat_core::id::{LinkId, NodeId};

const FAST: &str = include_str!("../../scenarios/pairs/fast.toml");
const VIPS: &str = r#"vips = [{ address = "192.168.42.14/25", link = "lan", label = "0" }]"#;

/// The fast pair with one more address in its group, and more of that.
fn with(vip: &str, more: &str) -> Result<Config, ConfigError> {
    let vips = format!("vips = [{{ address = \"192.168.42.14/25\", link = \"lan\" }}, {{ {vip} }}]\n{more}");
    assert!(FAST.contains(VIPS));
    Config::load(Path::new("t.toml"), &FAST.replacen(VIPS, &vips, 1))
}

const BOTH: &str = r#"address = "10.7.0.14/24", interface = "eth4.120""#;
const EACH: &str = r#"address = "10.7.0.14/24", interface = { master1 = "eth4.120", master2 = "eth5.120" }, label = "7""#;

#[test]
fn an_interface_is_the_same_on_both_nodes_or_named_for_each() {
    // Three links and the relay come first.
    let config = with(BOTH, "").unwrap();
    assert_eq!(config.groups[0].vips[1].link, LinkId(4));
    for node in [NodeId(0), NodeId(1)] {
        assert_eq!(config.interface(node, LinkId(4)).unwrap().to_string(), "eth4.120");
        assert_eq!(config.link(node, LinkId(4)), None);
    }
    let config = with(EACH, r#"track = ["eth9", { master2 = "eth5.120", master1 = "eth4.120" }, "eth9"]"#).unwrap();
    assert_eq!(config.groups[0].track, [LinkId(5), LinkId(4)]);
    assert_eq!(config.interface(NodeId(1), LinkId(4)).unwrap().to_string(), "eth5.120");
    let settings = config.settings("master2").unwrap();
    let silent = |place: usize| (settings.links[place].name.to_string(), settings.links[place].silent);
    assert_eq!((silent(3), silent(4), silent(5)), (("relay".into(), false), ("eth5.120".into(), true), ("eth9".into(), true)));
    assert_eq!(settings.groups[0].vip_links, [LinkId(2), LinkId(4)]);
}

#[test]
fn a_links_interface_is_that_link_and_files_without_others_are_what_they_were() {
    let config = with(r#"address = "10.7.0.14/24", interface = "eth1""#, r#"track = ["eth2"]"#).unwrap();
    let named = |place: u8| config.link(NodeId(0), LinkId(place)).unwrap().interface.to_string();
    assert_eq!((named(config.groups[0].vips[1].link.0), named(config.groups[0].track[0].0)), ("eth1".into(), "eth2".into()));
    assert!(config.interfaces.is_empty());
    let (one, other) = (with(BOTH, "").unwrap(), with(EACH, "").unwrap());
    assert_ne!(one.digest, other.digest, "both nodes must agree on them");
}

#[test]
fn what_is_no_place_is_refused_where_it_stands() {
    for (vip, more, words) in [
        (r#"address = "10.7.0.14/24""#, "", "either `link`, or `interface`"),
        (r#"address = "10.7.0.14/24", link = "lan", interface = "eth7""#, "", "either `link`, or `interface`"),
        (r#"address = "10.7.0.14/24", interface = "eth 7""#, "", "not an interface name"),
        (r#"address = "10.7.0.14/24", interface = { master1 = "eth7" }"#, "", "master1 and master2, each once"),
        (r#"address = "10.7.0.14/24", interface = { master1 = "eth7", slave = "eth7" }"#, "", "master1 and master2, each once"),
        (r#"address = "10.7.0.14/24", interface = 7"#, "", "an interface's name, or a table with one for each node"),
        (r#"address = "10.7.0.14/24", interface = "eth4.120", label = "123456789""#, "", "has 18 bytes"),
        (BOTH, r#"track = [""]"#, "not an interface name"),
    ] {
        let error = with(vip, more).unwrap_err().to_string();
        assert!(error.contains(words), "{vip} {more}: {error}");
    }
    let guard = FAST.replacen(r#"link = "lan", label = "0""#, r#"interface = "eth7""#, 1);
    let error = Config::load(Path::new("t.toml"), &guard).unwrap_err().to_string();
    assert!(error.contains("the first VIP of a group is its guard"), "{error}");
}

#[test]
fn an_interface_without_heartbeats_takes_any_network_and_a_single_address() {
    for address in ["10.7.0.14/32", "192.168.42.20/32", "192.168.42.20/25", "2001:db8::14/128", "2001:db8::14/64"] {
        let config = with(&format!(r#"address = "{address}", interface = "br-lan""#), "").unwrap();
        let vip = &config.groups[0].vips[1];
        assert_eq!((vip.to_string().as_str(), vip.link), (address, LinkId(4)));
    }
    for (address, words) in [
        ("10.7.0.14", "it has no prefix"),
        ("10.7.0.14/33", "the prefix is not 1 to 32"),
        ("10.7.0.255/24", "broadcast address"),
        ("192.168.42.13/25", "a node's own address"),
        ("192.168.42.14/32", "the VIP 192.168.42.14"),
    ] {
        let error = with(&format!(r#"address = "{address}", interface = "br-lan""#), "").unwrap_err().to_string();
        assert!(error.contains(words), "{address}: {error}");
    }
}
