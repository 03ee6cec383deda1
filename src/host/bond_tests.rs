#![allow(clippy::unwrap_used)]

use netlink_packet_route::link::{InfoKind, InfoPortKind};

use super::*;

fn link(index: u32, name: &str, attributes: Vec<LinkAttribute>) -> LinkMessage {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.attributes = [vec![LinkAttribute::IfName(name.to_owned())], attributes].concat();
    link
}

fn bond_link(index: u32, active: Option<u32>) -> LinkMessage {
    let mut data = vec![
        InfoBond::Mode(BondMode::ActiveBackup),
        InfoBond::MiiMon(100),
        InfoBond::Primary(3),
        InfoBond::PrimaryReselect(BondPrimaryReselect::Always),
    ];
    data.extend(active.map(InfoBond::ActivePort));
    link(
        index,
        "bond0",
        vec![LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bond), LinkInfo::Data(InfoData::Bond(data))])],
    )
}

fn slave_link(index: u32, name: &str, mii: MiiStatus, state: BondPortState) -> LinkMessage {
    let data = vec![InfoBondPort::MiiStatus(mii), InfoBondPort::BondPortState(state), InfoBondPort::LinkFailureCount(2)];
    let info = vec![LinkInfo::PortKind(InfoPortKind::Bond), LinkInfo::PortData(InfoPortData::BondPort(data))];
    link(index, name, vec![LinkAttribute::Controller(9), LinkAttribute::LinkInfo(info)])
}

fn of(links: &[LinkMessage], interface: &str) -> Option<Bond> {
    read(links, &[interface.to_owned()]).remove(0)
}

#[test]
fn a_whole_bond_is_read_with_its_slaves() {
    let links = [
        slave_link(4, "eth2", MiiStatus::Up, BondPortState::Backup),
        slave_link(3, "eth1", MiiStatus::Up, BondPortState::Active),
        link(2, "eth0", vec![]),
        bond_link(9, Some(3)),
    ];
    let bond = of(&links, "bond0").unwrap();
    assert_eq!((bond.mode.as_str(), bond.reselect.as_str(), bond.mii_interval), ("active-backup", "always", 100));
    assert_eq!((bond.active.as_deref(), bond.primary.as_deref()), (Some("eth1"), Some("eth1")));
    assert_eq!(bond.slaves.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["eth1", "eth2"]);
    assert!(bond.whole() && bond.slaves[0].active && !bond.slaves[1].active);
    assert_eq!(bond.trouble(), None);
    assert_eq!(bond.to_string(), "bond0 (active-backup) 2/2 slaves, eth1 in use");
    assert_eq!(of(&links, "eth0"), None, "no bond");
    assert_eq!(of(&links, "bond7"), None, "no such interface");
}

#[test]
fn a_bond_on_one_slave_names_the_one_that_is_down() {
    let links = [
        slave_link(3, "eth1", MiiStatus::Down, BondPortState::Backup),
        slave_link(4, "eth2", MiiStatus::Up, BondPortState::Active),
        bond_link(9, Some(4)),
    ];
    let bond = of(&links, "bond0").unwrap();
    assert_eq!(bond.trouble().unwrap(), "bond0 has 1 of 2 slaves: eth1 down (2 failures)");
}

#[test]
fn a_bond_without_slaves_or_with_a_single_one_is_no_whole_bond() {
    let bond = of(&[bond_link(9, None)], "bond0").unwrap();
    assert_eq!((bond.active.as_deref(), bond.trouble().unwrap().as_str()), (None, "bond0 has no slaves"));
    let one = [slave_link(3, "eth1", MiiStatus::Up, BondPortState::Active), bond_link(9, Some(3))];
    assert_eq!(of(&one, "bond0").unwrap().trouble().unwrap(), "bond0 has one slave only: eth1");
}

#[test]
fn a_slave_that_is_going_down_is_not_up() {
    let links = [
        slave_link(3, "eth1", MiiStatus::GoingDown, BondPortState::Active),
        slave_link(4, "eth2", MiiStatus::Up, BondPortState::Backup),
        bond_link(9, Some(3)),
    ];
    assert_eq!(of(&links, "bond0").unwrap().trouble().unwrap(), "bond0 has 1 of 2 slaves: eth1 going down (2 failures)");
}

#[test]
fn the_bond_below_a_vlan_is_found() {
    let links = [
        slave_link(3, "eth1", MiiStatus::Up, BondPortState::Active),
        bond_link(9, Some(3)),
        link(12, "bond0.100", vec![LinkAttribute::Link(9)]),
        link(13, "eth0.100", vec![LinkAttribute::Link(99)]),
    ];
    assert_eq!(of(&links, "bond0.100").unwrap().name, "bond0");
    assert_eq!(of(&links, "eth0.100"), None);
}

#[test]
fn this_machine_can_be_asked_whether_it_has_bonds() {
    assert_eq!(look(&["lo".to_owned()]).unwrap(), [None]);
}
