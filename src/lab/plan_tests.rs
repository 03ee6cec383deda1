//! What a plan makes of configurations.

use std::path::Path;

use super::*;

const KEYS: [&str; 2] =
    ["ed25519:EmRIap77Ag0r371OXcjG4jmcrMWKlG7lFCaYnqoYXcw=", "ed25519:h9RH5Ftx7hugvdnKqw7gEHpsJKAEkjSTJlbjlRPSKDA="];

fn plan(links: [&str; 2], witness: &str, groups: &str) -> Plan {
    let [one, two] = KEYS;
    let text = format!(
        "cluster = \"c\"\n[nodes.alpha]\npublic_key = \"{one}\"\n[nodes.alpha.links]\n{}\n[nodes.beta]\npublic_key = \"{two}\"\n\
         [nodes.beta.links]\n{}\n[witness]\nlink = \"lan\"\ntargets = {witness}\n{groups}",
        links[0], links[1]
    );
    Plan::of(&Config::load(Path::new("test.toml"), &text).unwrap()).unwrap()
}

#[test]
fn a_configuration_of_ipv4_gives_every_machine_an_address_of_its_own() {
    let plan = plan(
        [
            "lan = { interface = \"ens3\", address = \"10.9.9.10\" }\nx = { interface = \"ens4\", address = \"172.16.0.1\" }",
            "lan = { interface = \"ens3\", address = \"10.9.9.11\" }\nx = { interface = \"ens5\", address = \"172.16.0.2\" }",
        ],
        "[\"10.9.9.1\", \"10.9.9.2\", \"10.9.9.3\"]",
        "[[groups]]\nname = \"a\"\nvips = [{ address = \"10.9.9.20/24\", link = \"lan\" }, { address = \"fd00::20/64\", link = \"lan\" }]",
    );
    assert_eq!(plan.witnesses.len(), 3);
    assert_eq!(plan.end(plan.public, NodeId(0)).addresses.len(), 2, "an IPv6 address of its own beside the file's");
    assert_eq!(plan.observer.len(), 2);
    assert_eq!(plan.outside[0].1.0, "198.18.9.2".parse::<IpAddr>().unwrap(), "10.9 is the user's");
    let mut all: Vec<IpAddr> = plan.known();
    all.extend(plan.observer.iter().map(|(ip, _)| *ip));
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count, "no address twice: {all:?}");
    assert_eq!(plan.port(CableId(1), NodeId(1)), "ens5-beta");
}

#[test]
fn a_configuration_of_ipv6_alone_needs_no_ipv4() {
    let plan = plan(
        [
            "lan = { interface = \"a\", address = \"fd42::12\" }\nx = { interface = \"b\", address = \"fd11::1\" }",
            "lan = { interface = \"a\", address = \"fd42::13\" }\nx = { interface = \"b\", address = \"fd11::2\" }",
        ],
        "[\"fd42::1\"]",
        "[[groups]]\nname = \"a\"\nvips = [{ address = \"fd42::14/64\", link = \"lan\" }]",
    );
    assert!(plan.observer(true).is_none() && plan.observer(false).is_some());
    assert_eq!(plan.outside.len(), 1);
    assert_eq!(plan.witnesses, [vec![("fd42::1".parse().unwrap(), 64)]]);
}

#[test]
fn prefixes_hold_their_machines_and_no_network_address() {
    let ips = |all: &[&str]| all.iter().map(|ip| ip.parse().unwrap()).collect::<Vec<IpAddr>>();
    assert_eq!(tightest(&ips(&["10.1.1.1", "10.1.1.2"])), 30);
    assert_eq!(tightest(&ips(&["10.1.1.3", "10.1.1.4"])), 29);
    assert_eq!(tightest(&ips(&["10.1.1.1", "192.168.0.1"])), 1);
    assert_eq!(tightest(&ips(&["fd00::1", "fd00::2"])), 64);
    assert_eq!(free("10.0.0.1".parse().unwrap(), 30, &ips(&["10.0.0.1", "10.0.0.2"])), None);
}

#[test]
fn parts_of_the_recipe_are_found_in_any_plan() {
    let plan = Plan::recipe();
    assert_eq!(Cable::Lan.select(&plan), [CableId(2)]);
    assert_eq!(Cable::Heartbeat.select(&plan), [CableId(0)]);
    assert_eq!(Cable::Bond.select(&plan), [CableId(1)]);
}

#[test]
fn port_names_fit_the_kernels_fifteen_letters() {
    let mut plan = Plan::recipe();
    plan.nodes[0] = "a-very-long-name-of-a-node".into();
    for id in plan.all() {
        for node in BOTH {
            assert!(plan.port(id, node).len() <= 15, "{}", plan.port(id, node));
        }
    }
}
