//! `init`: two machines' facts and a few answers.

use std::net::IpAddr;
use std::path::Path;

use twinbeat_config::{Config, keys};

use crate::first::{Answers, Facts, Own, first};

fn own(interface: &str, text: &str) -> Own {
    let (address, prefix) = text.split_once('/').unwrap();
    Own { interface: Some(interface.to_owned()), address: address.parse().unwrap(), prefix: Some(prefix.parse().unwrap()) }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A node with a public network, a cable, a bridge for guests and a disk's network of its own.
fn node(number: u8) -> Facts {
    let key = ed25519_dalek::SigningKey::from_bytes(&[number; 32]).verifying_key();
    Facts {
        host: format!("master{number}"),
        addresses: vec![
            own("virbr0", "192.168.122.1/24"),
            own("eth1", &format!("10.1.1.{number}/24")),
            own("eth0", &format!("192.168.42.{}/25", 11 + number)),
            own("eth9", &format!("172.31.{number}.1/24")),
            own("eth0", "fd42::1/64"),
        ],
        gateways: vec![ip("192.168.42.1")],
        key: Some(keys::public_text(&key)),
    }
}

fn answers() -> Answers {
    Answers { vips: vec![(ip("192.168.42.14"), None)], services: vec!["nginx.service".to_owned()], ..Answers::default() }
}

#[test]
fn a_pair_of_two_machines_is_a_file_that_is_fit_as_it_stands_and_says_where_all_of_it_came_from() {
    let made = first([&node(1), &node(2)], &answers()).unwrap();
    let config = Config::load(Path::new("t.toml"), &made.text).unwrap_or_else(|error| panic!("{error}\n{}", made.text));
    assert_eq!(made.findings, []);
    let links: Vec<(&str, &str)> = config.nodes[1].links.iter().map(|link| (&*link.name, &*link.interface)).collect();
    assert_eq!(links, [("eth1", "eth1"), ("lan", "eth0")]);
    assert_eq!(config.witness.targets, [ip("192.168.42.1")]);
    assert_eq!(config.groups[0].vips[0].to_string(), "192.168.42.14/25");
    assert_eq!(config.groups[0].services.len(), 1);
    assert!(made.text.contains("the default gateway") && made.text.contains("an interface of master2"), "{}", made.text);
}

#[test]
fn what_nobody_said_is_to_be_filled_in_and_refused_until_it_is() {
    let (mut one, mut two) = (node(1), node(2));
    one.gateways.clear();
    one.addresses.remove(1);
    two.key = None;
    for own in &mut two.addresses {
        own.interface = None;
    }
    let made = first([&one, &two], &answers()).unwrap();
    for words in [
        "what `twinbeat keygen` prints on master2",
        "a third machine",
        "the interface of 192.168.42.13 on master2",
        "a cable of its own",
    ] {
        assert!(made.text.contains(words), "{words}\n{}", made.text);
    }
    Config::load(Path::new("t.toml"), &made.text).unwrap_err();
    Config::load(Path::new("t.toml"), &made.filled).unwrap_or_else(|error| panic!("{error}\n{}", made.filled));
}

#[test]
fn two_machines_that_are_no_pair_are_told_why() {
    let said = |one: &Facts, two: &Facts, answers: &Answers| first([one, two], answers).unwrap_err().join("\n");
    assert!(said(&node(1), &node(1), &answers()).contains("both machines are called master1"));
    assert!(said(&node(1), &node(2), &Answers::default()).contains("--vip"));
    let far = Answers { vips: vec![(ip("203.0.113.9"), None)], ..Answers::default() };
    let text = said(&node(1), &node(2), &far);
    assert!(
        text.contains("203.0.113.9") && text.contains("192.168.42.12/25 on eth0") && text.contains("192.168.42.13/25"),
        "{text}"
    );
    let wrong = Answers { preferred: Some("master3".to_owned()), ..answers() };
    assert!(said(&node(1), &node(2), &wrong).contains("allowed: master1, master2"));
}

#[test]
fn answers_go_before_facts_and_gateways_that_differ_are_told() {
    let mut two = node(2);
    two.gateways = vec![ip("192.168.42.2")];
    let made = first([&node(1), &two], &answers()).unwrap();
    assert!(made.findings.iter().any(|finding| finding.text.contains("192.168.42.2")), "{:?}", made.findings);
    let more = Answers {
        cluster: Some("shop".to_owned()),
        group: Some("front".to_owned()),
        targets: vec![ip("192.168.42.5"), ip("192.168.42.6"), ip("192.168.42.7")],
        preferred: Some("master2".to_owned()),
        profile: Some("fast".to_owned()),
        vips: vec![(ip("192.168.42.14"), Some(25)), (ip("10.1.1.99"), None)],
        ..answers()
    };
    let made = first([&node(1), &two], &more).unwrap();
    let config = Config::load(Path::new("t.toml"), &made.text).unwrap_or_else(|error| panic!("{error}\n{}", made.text));
    assert_eq!((&*config.cluster, &*config.groups[0].name, config.witness.targets.len()), ("shop", "front", 3));
    assert_eq!(config.groups[0].vips.iter().map(ToString::to_string).collect::<Vec<_>>(), ["192.168.42.14/25", "10.1.1.99/24"]);
    assert!(config.groups[0].preferred.is_some());
}
