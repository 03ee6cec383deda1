//! Views for the tests of this room, with something in every place.
#![allow(clippy::unwrap_used)]

use twinbeat_core::sentence::Sentence;
use twinbeat_core::view::{
    BondView, Change, CheckView, GroupView, LinkView, ServiceView, SlaveView, TakeoverReady, TargetView, View, WitnessView,
};
use twinbeat_core::words::{About, AskedBy, FoundState, Ground, GroupRole, Guard, LinkCondition, PeerState, ServiceState};

use crate::ask::Seen;
use crate::measured::{GroupMeasured, Histogram, LinkMeasured, Measured};

fn slave(name: &str, up: bool) -> SlaveView {
    SlaveView { name: name.into(), up, mii: if up { "up" } else { "down" }.into(), active: up, failures: 2 }
}

fn link(name: &str, state: LinkCondition) -> LinkView {
    LinkView {
        name: name.into(),
        state,
        rtt_us: Some(210),
        loss: 0.25,
        carrier: true,
        heard_ms: Some(40),
        peer_state: Some(LinkCondition::Ok),
        bond: None,
    }
}

fn target(index: u8, address: &str, by: AskedBy) -> TargetView {
    TargetView {
        index,
        address: address.into(),
        by,
        reachable: true,
        answered_ms: Some(12),
        rtt_us: Some(400),
        register: by == AskedBy::Echo,
        slow_only: false,
    }
}

fn group(name: &str, role: GroupRole) -> GroupView {
    let owns = role == GroupRole::Owner;
    GroupView {
        name: name.into(),
        owner: Some(if owns { "master1" } else { "master2" }.into()),
        role,
        epoch: 8,
        vips: vec![format!("192.168.42.1{}/25", name.len())],
        takeover_ready: TakeoverReady::of(vec![Sentence::lasting(About::Register, "no witness")], vec![]),
        lease_ms_left: owns.then_some(640),
        grounds: if owns { vec![Ground::Peer, Ground::ReturnPath] } else { vec![] },
        return_path_us: owns.then_some(412),
        two_owners: false,
        table_proved_ms: Some(80),
        service: if owns { ServiceState::Running } else { ServiceState::Failed("nginx: exit 1".into()) },
        services: vec!["nginx.service".into()],
        services_here: vec![ServiceView {
            name: "nginx.service".into(),
            warm: true,
            state: FoundState::Running,
            check: Some(CheckView { well: true, text: "HTTP 200 in 2 ms".into() }),
        }],
        standby_held: Some("a \"quoted\" word,\nand a \\ line".into()),
        standby_left_ms: Some(1_800_000),
        paused: Some("new <disk>".into()),
        pause_left_ms: Some(60_000),
        left_alone: Some("nginx: ended with signal: 9 (SIGKILL)".into()),
        failback: Some("in 30 s".into()),
        last_change: Some(Change {
            ago_ms: 1_000,
            text: "master2 -> master1: failback".into(),
            gap_us: Some(3_100),
            gap_told: false,
        }),
        claim_open: if owns { vec![] } else { vec!["the peer lives".into()] },
        stranger: None,
    }
}

/// A view of master1, which owns `web` and stands by for `mail`.
pub fn view() -> View {
    let mut bond = link("bond", LinkCondition::Late);
    bond.bond = Some(BondView {
        name: "bond0".into(),
        mode: "active-backup".into(),
        active: Some("eth2".into()),
        slaves_up: 1,
        slaves: vec![slave("eth2", true), slave("eth3", false)],
    });
    View {
        node: "master1".into(),
        peer: "master2".into(),
        cluster: "web".into(),
        digest: "00ff".into(),
        up_ms: 86_400_500,
        incarnation: 1,
        groups: vec![group("web", GroupRole::Owner), group("mail", GroupRole::Standby)],
        links: vec![link("heartbeat", LinkCondition::Ok), bond, link("relay", LinkCondition::Blocked)],
        witness: WitnessView {
            reachable: true,
            peer_reachable: Some(false),
            targets: vec![target(0, "192.168.42.1", AskedBy::Echo), target(1, "fe80::1", AskedBy::Arp)],
        },
        peer_state: PeerState::Heard,
        mismatch: None,
        gate: Guard::Inet,
        fencing: None,
        problems: vec![Sentence::lasting(About::Link, "link bond: late")],
        state_trouble: None,
        recorder_trouble: None,
        notices: vec![],
    }
}

/// With figures beside it.
pub fn seen() -> Seen {
    let mut times = Histogram::new(&[0.001, 0.01, 0.1]);
    for millis in [0, 1, 5, 50, 500, 500] {
        times.observe(millis * 1_000_000);
    }
    let measured = Measured {
        beats_sent: 7,
        frames_accepted: 20,
        frames_copied: 10,
        verifications: 11,
        refused: vec![("tag", 3), ("replayed", 0)],
        events: vec![("owner", 1), ("stall", 0)],
        links: ["heartbeat", "bond", "relay"]
            .map(|name| LinkMeasured { name: name.into(), lateness: times.clone(), round_trips: times.clone() })
            .into(),
        groups: ["web", "mail"]
            .map(|name| GroupMeasured { name: name.into(), renewals: times.clone(), gaps: Histogram::new(&[0.1]) })
            .into(),
        echoes_own: times.clone(),
        echoes_vip: times.clone(),
        loop_lateness: times.clone(),
        loop_turns: times,
    };
    Seen { view: view(), measured }
}
