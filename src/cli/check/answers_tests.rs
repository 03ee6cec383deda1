#![allow(clippy::unwrap_used)]

use std::path::Path;

use super::*;

fn config() -> Config {
    let text = include_str!("../../../scenarios/pairs/fast.toml");
    Config::load(Path::new("t.toml"), text).unwrap()
}

fn tally(sent: u32, answered: u32, run: u32) -> Tally {
    Tally { sent, answered, run, worst: Duration::from_micros(400) }
}

fn target() -> Target {
    Target {
        address: "192.168.42.1".parse().unwrap(),
        arp_only: false,
        mac: Some(Mac([2, 0, 0, 0, 0, 1])),
        slow: tally(5, 5, 0),
        long: tally(5, 5, 0),
        fast: Some(tally(200, 200, 0)),
        follows_sender: false,
    }
}

fn line(target: &Target) -> (Level, String) {
    let finding = said(&config(), target, true);
    (finding.level, finding.text)
}

#[test]
fn each_state_of_a_witness_has_its_own_words() {
    let slow_only = Target { fast: Some(tally(40, 12, 9)), ..target() };
    let limited = Target { fast: Some(tally(200, 50, 4)), ..target() };
    let lossy_fast = Target { fast: Some(tally(200, 120, 7)), ..target() };
    let lossy = Target { slow: tally(5, 4, 1), fast: Some(tally(200, 120, 9)), ..target() };
    let silent = Target { slow: tally(5, 0, 5), fast: Some(tally(200, 0, 200)), ..target() };
    let gone = Target { mac: None, ..silent.clone() };
    let follows = Target { follows_sender: true, ..target() };
    let short_only = Target { long: tally(5, 0, 5), ..target() };
    let arp = Target { arp_only: true, ..silent.clone() };
    for (target, level, words) in [
        (target(), Level::Ok, "answers 5 echoes 100ms apart and 200 at 5ms apart"),
        (slow_only, Level::Fail, "answers the SLOW rate only"),
        (limited, Level::Fail, "about 50 a second. A limit on ICMP? A pair with this file needs 90 a second"),
        (lossy_fast, Level::Warn, "loses echoes: 0 of 5 at 100ms apart, 80 of 200"),
        (lossy, Level::Warn, "loses echoes: 1 of 5 at 100ms apart, 80 of 200"),
        (silent, Level::Fail, "none of 5 echoes"),
        (gone, Level::Fail, "does not answer ARP"),
        (short_only, Level::Fail, "bytes, which carry heartbeats"),
        (follows, Level::Fail, "answers to the SENDER"),
        (arp, Level::Ok, "no claim and no ownership can rest on it"),
    ] {
        let (found, text) = line(&target);
        assert!(found == level && text.contains(words), "{found:?}: {text}");
    }
}

#[test]
fn a_majority_that_can_prove_an_ownership_is_asked_for() {
    let bad = Target { follows_sender: true, ..target() };
    let arp = Target { arp_only: true, slow: tally(5, 0, 5), ..target() };
    assert_eq!(majority(&config(), &[target(), target(), bad.clone()]), None);
    assert_eq!(majority(&config(), &[target(), arp]), None, "those by ARP are not counted");
    assert!(majority(&config(), &[target(), bad.clone(), bad]).unwrap().text.contains("1 of 3"));
}

#[test]
fn macs_of_redundant_gateways_are_known() {
    for (mac, name) in [
        ([0x00, 0x00, 0x5e, 0x00, 0x01, 0x07], Some("VRRP (or CARP)")),
        ([0x00, 0x00, 0x5e, 0x00, 0x02, 0x07], Some("VRRP for IPv6")),
        ([0x00, 0x00, 0x5e, 0x00, 0x53, 0x07], None),
        ([0x00, 0x00, 0x0c, 0x07, 0xac, 0x01], Some("HSRP")),
        ([0x00, 0x00, 0x0c, 0x9f, 0xf3, 0x01], Some("HSRP version 2")),
        ([0x00, 0x00, 0x0c, 0x9f, 0xe3, 0x01], None),
        ([0x00, 0x05, 0x73, 0xa0, 0x01, 0x01], Some("HSRP for IPv6")),
        ([0x00, 0x07, 0xb4, 0x00, 0x01, 0x02], Some("GLBP")),
        ([0x02, 0x00, 0x00, 0x00, 0x00, 0x01], None),
    ] {
        assert_eq!(shared_by(Mac(mac)), name);
    }
}
