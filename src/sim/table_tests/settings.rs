//! The settings of the node that the table is about: two links, one witness, one group, the profile "fast".

use twinbeat_core::id::{LinkId, NodeId};
use twinbeat_core::settings::{Failback, GroupSettings, LinkSettings, Services, Settings, StopFailure, Timing, WitnessSettings};
use twinbeat_core::time::Span;

/// The dedicated cable.
pub const CABLE: usize = 0;
/// The public side.
pub const LAN: usize = 1;

/// The profile "fast".
pub fn fast() -> Timing {
    Timing {
        heartbeat: Span::millis(50),
        warn: Span::millis(150),
        lease: Span::millis(155),
        dead: Span::millis(500),
        init_dead: Span::secs(5),
        delivery: Span::millis(25),
        rate: 1200,
        weak_gate: false,
        early_claim: true,
    }
}

/// The settings of one of the two nodes.
pub fn settings(me: usize, failback: Failback) -> Settings {
    Settings {
        cluster: "pair".into(),
        me: NodeId(me as u8),
        nodes: ["a".into(), "b".into()],
        digest: 7,
        links: vec![
            LinkSettings { name: "cable".into(), relay: false, silent: false },
            LinkSettings { name: "lan".into(), relay: false, silent: false },
        ],
        witness: WitnessSettings {
            link: LinkId(LAN as u8),
            targets: 1,
            arp_only: 0,
            names: 0,
            interval: Span::millis(100),
            fall: 3,
            rise: 3,
            island_hold: false,
        },
        timing: fast(),
        groups: vec![GroupSettings {
            name: "web".into(),
            preferred: Some(NodeId(0)),
            failback,
            vips: vec!["192.0.2.10".into(), "198.51.100.10".into()],
            vip_links: vec![LinkId(LAN as u8), LinkId(CABLE as u8)],
            services: Services::Warm,
            stop_failure: StopFailure::Block,
            track: Vec::new(),
        }],
        groups_in_beat: usize::MAX,
        fencing: None,
    }
}
