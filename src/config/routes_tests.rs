//! What is read and refused of a group's `routes` and `rules`.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use super::*;
use twinbeat_core::id::LinkId;

const FAST: &str = include_str!("../../scenarios/pairs/fast.toml");
const VIPS: &str = r#"vips = [{ address = "192.168.42.14/25", link = "lan", label = "0" }]"#;

/// The fast pair with more in its group.
fn with(more: &str) -> Result<Config, ConfigError> {
    let vips = r#"vips = [{ address = "192.168.42.14/25", link = "lan" }, { address = "10.1.1.14/24", link = "heartbeat" }, { address = "2001:db8::14/64", link = "lan" }]"#;
    assert!(FAST.contains(VIPS));
    Config::load(Path::new("t.toml"), &FAST.replacen(VIPS, &format!("{vips}\n{more}"), 1))
}

fn route(words: &str) -> RouteConfig {
    let config = with(&format!("routes = [{{ {words} }}]")).unwrap_or_else(|error| panic!("{words}: {error}"));
    config.groups[0].routes[0].clone()
}

fn rule(words: &str) -> RuleConfig {
    let config = with(&format!("rules = [{{ {words} }}]")).unwrap_or_else(|error| panic!("{words}: {error}"));
    config.groups[0].rules[0].clone()
}

fn link(name: &str) -> RouteDevice {
    let place = ["bond", "heartbeat", "lan"].iter().position(|link| *link == name).unwrap();
    RouteDevice::Link(LinkId(place as u8))
}

#[test]
fn a_route_is_read_with_its_defaults() {
    let whole = route(
        r#"to = "10.9.0.0/16", via = "192.168.42.1", interface = "eth4.120", source = "192.168.42.14", table = 100, metric = 10, onlink = true"#,
    );
    let network = |text: &str, prefix| Network { address: text.parse().unwrap(), prefix };
    let expected = RouteConfig {
        to: network("10.9.0.0", 16),
        via: "192.168.42.1".parse().ok(),
        device: RouteDevice::Interface("eth4.120".into()),
        source: "192.168.42.14".parse().ok(),
        table: 100,
        metric: 10,
        onlink: true,
    };
    assert_eq!(whole, expected);
    let plain = route(r#"to = "default", via = "192.168.42.1""#);
    assert_eq!((plain.to, plain.table, plain.metric), (network("0.0.0.0", 0), 254, 0));
    assert_eq!(plain.device, link("lan"), "the first VIP's");
    assert_eq!(route(r#"to = "default", source = "10.1.1.14""#).device, link("heartbeat"), "that of the VIP that is its source");
    assert_eq!(route(r#"to = "10.9.0.0/16", link = "bond""#).device, link("bond"));
    // The family of `default` is that of what stands beside it.
    let six = route(r#"to = "default", via = "fe80::1""#);
    assert_eq!((six.to, six.metric), (network("::", 0), 1024), "1024 is the kernel's own for IPv6");
    assert_eq!(route(r#"to = "::/0", source = "2001:db8::14""#).to, network("::", 0));
    assert_eq!(route(r#"to = "10.9.9.9""#).to, network("10.9.9.9", 32), "an address alone");
}

#[test]
fn a_rule_is_read_with_its_defaults() {
    let network = |text: &str, prefix| Network { address: text.parse().unwrap(), prefix };
    let whole = rule(r#"from = "192.168.42.14", to = "10.9.0.0/16", fwmark = 0x10, fwmask = 0xff, table = 100, priority = 1000"#);
    let expected = RuleConfig {
        v4: true,
        from: Some(network("192.168.42.14", 32)),
        to: Some(network("10.9.0.0", 16)),
        fwmark: Some((0x10, 0xff)),
        table: 100,
        priority: 1000,
    };
    assert_eq!(whole, expected);
    let marked = rule("fwmark = 7, table = 100, priority = 1");
    assert_eq!((marked.v4, marked.from, marked.fwmark), (true, None, Some((7, u32::MAX))), "of the first VIP's family");
    let six = rule(r#"from = "::/0", fwmark = 7, table = 100, priority = 1"#);
    assert_eq!((six.v4, six.from), (false, None), "everything of IPv6");
}

#[test]
fn a_route_that_makes_no_sense_is_refused_with_its_place() {
    for (words, key, text) in [
        (r#"via = "192.168.42.1""#, "routes[0]", "`to` is missing"),
        (r#"to = "default", vai = "192.168.42.1""#, "routes[0].vai", "did you mean `via`"),
        (r#"to = "10.9.0.1/16""#, "routes[0].to", "the network is 10.9.0.0/16"),
        (r#"to = "10.9.0.0/33""#, "routes[0].to", "not 0 to 32"),
        (r#"to = "10.9.0.0/+8""#, "routes[0].to", "not 0 to 32"),
        (r#"to = "somewhere""#, "routes[0].to", "no network"),
        (r#"to = "10.9.0.0/16", via = "fe80::1""#, "routes[0].via", "10.9.0.0/16 is IPv4"),
        (r#"to = "2001:db8:9::/48", source = "192.168.42.14""#, "routes[0].source", "2001:db8:9::/48 is IPv6"),
        (r#"to = "default", source = "192.168.42.15""#, "routes[0].source", "allowed: 192.168.42.14, 10.1.1.14, 2001:db8::14"),
        (r#"to = "default", via = "192.168.42.14""#, "routes[0].via", "a VIP of this group"),
        (r#"to = "default", via = "192.168.42.1/25""#, "routes[0].via", "with a prefix"),
        (r#"to = "default", link = "wan""#, "routes[0].link", "no such link"),
        (r#"to = "default", link = "lan", interface = "eth4""#, "routes[0].interface", "one of the two"),
        (r#"to = "default", interface = "eth/4""#, "routes[0].interface", "not an interface name"),
        (r#"to = "10.9.0.0/16", onlink = true"#, "routes[0].to", "no `via`"),
        (r#"to = "default", table = 255"#, "routes[0].table", "254 is `main`"),
        (r#"to = "default", table = 0"#, "routes[0].table", "from 1 to"),
        (r#"to = "default", metric = -1"#, "routes[0].metric", "from 0 to"),
        (r#"to = "192.168.42.13", via = "192.168.42.1""#, "routes[0].to", "lead heartbeats away"),
    ] {
        let Err(error) = with(&format!("routes = [{{ {words} }}]")) else { panic!("accepted: {words}") };
        assert!(error.key.contains(key) && error.to_string().contains(text), "{words}: {error}");
    }
}

#[test]
fn a_rule_that_makes_no_sense_is_refused_with_its_place() {
    for (words, key, text) in [
        (r#"from = "192.168.42.14", priority = 1"#, "rules[0]", "`table` is missing"),
        (r#"from = "192.168.42.14", table = 100"#, "rules[0]", "`priority` is missing"),
        (r#"table = 100, priority = 1"#, "rules[0]", "about every packet"),
        (r#"from = "192.168.42.14", to = "::/0", table = 100, priority = 1"#, "rules[0].to", "`from` is IPv4"),
        (r#"from = "192.168.42.14/25", table = 100, priority = 1"#, "rules[0].from", "the network is 192.168.42.0/25"),
        (r#"fwmark = 0, table = 100, priority = 1"#, "rules[0].fwmark", "without `fwmask`"),
        (r#"from = "192.168.42.14", fwmask = 1, table = 100, priority = 1"#, "rules[0].fwmask", "without `fwmark`"),
        (r#"from = "192.168.42.14", table = 100, priority = 0"#, "rules[0].priority", "from 1 to"),
        (r#"from = "192.168.42.14", table = 100, priority = 1, prio = 2"#, "rules[0].prio", "unknown"),
    ] {
        let Err(error) = with(&format!("rules = [{{ {words} }}]")) else { panic!("accepted: {words}") };
        assert!(error.key.contains(key) && error.to_string().contains(text), "{words}: {error}");
    }
}

#[test]
fn nothing_is_there_twice_and_what_differs_is_said_by_its_name() {
    let two = |one: &str, other: &str| with(&format!("routes = [{{ {one} }}, {{ {other} }}]"));
    let error = two(r#"to = "default", via = "192.168.42.1""#, r#"to = "0.0.0.0/0", via = "192.168.42.2""#).unwrap_err();
    assert!(error.to_string().contains("the route to 0.0.0.0/0 (table 254, metric 0)"), "{error}");
    two(r#"to = "default", via = "192.168.42.1""#, r#"to = "default", via = "192.168.42.2", metric = 5"#).unwrap();
    let same = r#"{ from = "192.168.42.14", table = 100, priority = 1 }"#;
    let error = with(&format!("rules = [{same}, {same}]")).unwrap_err();
    assert!(error.to_string().contains("the rule of priority 1"), "{error}");
    let many = r#"{ to = "10.9.0.0/16" },"#.repeat(65);
    assert!(with(&format!("routes = [{many}]")).unwrap_err().to_string().contains("64"));

    let plain = with("").unwrap();
    let via = |gateway: &str| with(&format!("routes = [{{ to = \"default\", via = \"{gateway}\" }}]")).unwrap();
    let said = |was: &Config, is: &Config| was.differences(is).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        said(&via("192.168.42.1"), &via("192.168.42.2")),
        ["groups.web.routes.default.via: \"192.168.42.1\" -> \"192.168.42.2\""]
    );
    assert_eq!(
        said(&plain, &via("192.168.42.1")),
        ["groups.web.routes.default: new: { to = \"default\", via = \"192.168.42.1\" }"]
    );
    // Both nodes have to have the same: what one of them sets up the other one has to set up after a move.
    assert_ne!(plain.digest, via("192.168.42.1").digest);
    assert_ne!(via("192.168.42.2").digest, via("192.168.42.1").digest);
}
