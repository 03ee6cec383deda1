#![allow(clippy::unwrap_used)]

use super::*;
use twinbeat_core::view::{LinkView, WitnessView};
use twinbeat_core::words::{Guard, LinkCondition, PeerState};
use twinbeat_host::bond::Slave;

fn bond(eth1: &str, eth2: &str, active: &str) -> Bond {
    let slave = |name: &str, mii: &str| Slave {
        name: name.to_owned(),
        mii: mii.to_owned(),
        active: name == active,
        failures: u32::from(mii != "up"),
    };
    Bond {
        name: "bond0".to_owned(),
        mode: "active-backup".to_owned(),
        active: Some(active.to_owned()).filter(|a| !a.is_empty()),
        primary: None,
        reselect: "always".to_owned(),
        mii_interval: 100,
        arp_interval: 0,
        slaves: vec![slave("eth1", eth1), slave("eth2", eth2)],
    }
}

fn view(state: LinkCondition) -> View {
    let link = |name: &str, state: LinkCondition| LinkView {
        name: name.to_owned(),
        state,
        rtt_us: None,
        loss: 0.0,
        carrier: true,
        heard_ms: None,
        peer_state: None,
        bond: None,
    };
    View {
        digest: String::new(),
        node: "master1".into(),
        peer: "master2".into(),
        cluster: "web".into(),
        up_ms: 1,
        incarnation: 1,
        groups: vec![],
        links: vec![link("heartbeat", LinkCondition::Ok), link("bond", state), link("relay", LinkCondition::Ok)],
        witness: WitnessView { reachable: true, peer_reachable: None, targets: vec![] },
        peer_state: PeerState::Heard,
        mismatch: None,
        gate: Guard::Inet,
        notices: vec![],
        fencing: None,
        problems: vec![],
        state_trouble: None,
        recorder_trouble: None,
    }
}

fn joined(state: LinkCondition, bond: Bond) -> View {
    let board = BondBoard(Arc::new(Mutex::new(vec![None, Some(bond)])));
    let mut view = view(state);
    board.join(&mut view);
    view
}

#[test]
fn a_bond_is_shown_with_its_link_and_its_trouble_is_a_problem() {
    let whole = joined(LinkCondition::Ok, bond("up", "up", "eth1"));
    assert_eq!(whole.problems, []);
    let shown = whole.links[1].bond.as_ref().unwrap();
    assert_eq!((shown.slaves_up, shown.slaves.len(), shown.active.as_deref()), (2, 2, Some("eth1")));
    assert!(whole.links[0].bond.is_none() && whole.links[2].bond.is_none());
    let degraded = joined(LinkCondition::Ok, bond("down", "up", "eth2"));
    assert_eq!(
        twinbeat_core::sentence::texts(&degraded.problems),
        ["link bond: bond0 has 1 of 2 slaves: eth1 down (1 failures)"]
    );
}

#[test]
fn a_bonds_state_never_counts_as_the_health_of_its_link() {
    let silent = joined(LinkCondition::Lost, bond("up", "up", "eth1"));
    assert_eq!(silent.links[1].state, LinkCondition::Lost, "a whole bond over which nothing is heard");
    let down = joined(LinkCondition::Ok, bond("down", "down", ""));
    assert_eq!(down.links[1].state, LinkCondition::Ok, "heartbeats arrive, whatever the bond says");
    assert_eq!(down.groups, view(LinkCondition::Ok).groups, "nor does readiness depend on it");
}

#[test]
fn each_change_that_matters_is_logged_once() {
    let line = |before: Option<Bond>, now: Option<Bond>| line(before.as_ref(), now.as_ref());
    let whole = || bond("up", "up", "eth1");
    let (warn, text) = line(Some(whole()), Some(bond("down", "up", "eth2"))).unwrap();
    assert!(warn);
    assert_eq!(text, "DEGRADED: bond0 has 1 of 2 slaves: eth1 down (1 failures); eth2 in use");
    assert_eq!(line(Some(whole()), Some(whole())), None);
    let (warn, text) = line(Some(bond("down", "up", "eth2")), Some(whole())).unwrap();
    assert!(!warn);
    assert_eq!(text, "whole again: bond0 (active-backup) 2/2 slaves, eth1 in use");
    assert_eq!(line(Some(whole()), Some(bond("up", "up", "eth2"))), Some((false, "bond0 uses eth2 (was eth1)".to_owned())));
    assert_eq!(line(None, Some(whole())).unwrap().1, "bond0 (active-backup) 2/2 slaves, eth1 in use");
    assert!(line(None, Some(bond("down", "up", "eth2"))).unwrap().0, "degraded from the start is a warning");
    assert!(line(Some(whole()), None).unwrap().0);
    assert_eq!(line(None, None), None);
}
