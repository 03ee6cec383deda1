#![allow(clippy::unwrap_used)]

use super::super::status::json;
use super::*;
use crate::core::view::{BondView, Change, Ready, SlaveView, TargetView, WitnessView};

fn link(name: &str, state: &str, rtt_us: Option<u64>) -> LinkView {
    let ok = state == "ok";
    LinkView {
        name: name.into(),
        state: state.into(),
        rtt_us,
        loss: if ok { 0.0 } else { 1.0 },
        carrier: state != "no carrier",
        heard_ms: Some(if ok { 40 } else { 725_000 }),
        bond: None,
    }
}

fn healthy() -> View {
    View {
        node: "master1".into(),
        peer: "master2".into(),
        cluster: "web".into(),
        up_ms: 86_400_000,
        groups: vec![GroupView {
            name: "web".into(),
            owner: Some("master1".into()),
            role: "owner".into(),
            epoch: 8,
            vips: vec!["192.168.42.14".into()],
            takeover_ready: Ready { ready: true, reasons: vec![] },
            lease_ms_left: Some(640),
            grounds: vec!["peer".into(), "return path".into()],
            return_path_us: Some(412),
            service: "running".into(),
            standby_held: None,
            last_change: Some(Change {
                ago_ms: 1_000,
                text: "master2 -> master1: failback; handed over".into(),
                gap_us: Some(3_100),
            }),
            claim_open: vec![],
        }],
        links: vec![link("heartbeat", "ok", Some(210)), link("bond", "ok", Some(185)), link("lan", "ok", Some(12_400))],
        witness: WitnessView {
            reachable: true,
            peer_reachable: Some(true),
            targets: vec![TargetView { index: 0, reachable: true, answered_ms: Some(90), rtt_us: Some(402), register: true }],
        },
        peer_state: "heard".into(),
        mismatch: None,
        problems: vec![],
    }
}

fn degraded() -> View {
    let mut view = healthy();
    let why = "master2 has no carrier on lan".to_owned();
    view.groups[0].takeover_ready = Ready { ready: false, reasons: vec![why.clone(), "master2 reaches no witness".into()] };
    view.links[2] = link("lan", "lost", None);
    view.witness.peer_reachable = Some(false);
    view.problems = vec![why];
    view
}

fn nobody() -> View {
    let mut view = healthy();
    let group = &mut view.groups[0];
    (group.owner, group.role, group.service) = (None, "standby".into(), "stopped".into());
    (group.lease_ms_left, group.return_path_us) = (None, None);
    group.grounds.clear();
    group.takeover_ready = Ready { ready: false, reasons: vec!["this node reaches no witness".into()] };
    group.claim_open = vec!["own reachability: gateway silent for 9 s".into(), "nobody answers: not asked yet".into()];
    group.last_change = Some(Change { ago_ms: 9_000, text: "master1 left: no ground for 0.7 s".into(), gap_us: None });
    view.links = vec![link("heartbeat", "lost", None), link("bond", "no carrier", None), link("lan", "one-way", None)];
    view.witness.reachable = false;
    view.witness.peer_reachable = None;
    view.witness.targets[0].reachable = false;
    view.peer_state = "silent".into();
    view.problems = vec!["gateway unreachable and peer silent".into()];
    view
}

fn plain(view: &View) -> String {
    render(view, |ago| format!("02:11:{:02}", 59 - ago / 1000), Paint::Plain)
}

#[test]
fn a_healthy_pair_says_so_in_one_look() {
    let view = healthy();
    assert_eq!(plain(&view), HEALTHY);
    assert_eq!(Health::of(&view).code(), 0);
}

#[test]
fn a_degraded_standby_is_named_with_what_to_mend() {
    let view = degraded();
    assert_eq!(plain(&view), DEGRADED);
    assert_eq!(Health::of(&view).code(), 10);
}

#[test]
fn when_nobody_serves_the_screen_says_what_is_waited_for() {
    let view = nobody();
    assert_eq!(plain(&view), NOBODY);
    assert_eq!(Health::of(&view).code(), 11);
}

#[test]
fn two_owners_are_the_worst() {
    let mut view = nobody();
    view.mismatch = Some("two owners of web were seen".into());
    assert_eq!(Health::of(&view).code(), 12);
}

#[test]
fn colors_change_no_word() {
    for view in [healthy(), degraded(), nobody()] {
        let mut text = render(&view, |ago| format!("02:11:{:02}", 59 - ago / 1000), Paint::Colors);
        assert!(text.contains("\x1b[32m") || text.contains("\x1b[1;31m"));
        for code in ["\x1b[32m", "\x1b[33m", "\x1b[1;31m", "\x1b[0m"] {
            text = text.replace(code, "");
        }
        let trimmed = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        assert_eq!(trimmed(&text), trimmed(&plain(&view)));
    }
}

#[test]
fn json_has_the_fields_that_scripts_rely_on() {
    let object: serde_json::Value = serde_json::from_str(&json(&degraded())).unwrap();
    for path in [
        "/node",
        "/cluster",
        "/health",
        "/lease_ms_left",
        "/last_change/text",
        "/last_change/ago_ms",
        "/groups/0/name",
        "/groups/0/owner",
        "/groups/0/role",
        "/groups/0/epoch",
        "/groups/0/vips/0",
        "/groups/0/takeover_ready/ready",
        "/groups/0/takeover_ready/reasons/0",
        "/links/0/name",
        "/links/0/state",
        "/links/0/rtt_us",
        "/links/0/loss",
        "/links/0/carrier",
        "/witness/reachable",
        "/witness/targets/0/reachable",
    ] {
        assert!(object.pointer(path).is_some_and(|value| !value.is_null()), "{path}");
    }
}

const HEALTHY: &str = "\
cluster web   master1 SERVES since 02:11:58     takeover ready: yes
web           192.168.42.14   service running   epoch 8   lease 0.6 s left   return path ok 0.4 ms
heartbeat     ok           0.2 ms
bond          ok           0.2 ms
lan           ok            12 ms
witness       master1 ok 0.4 ms   master2 ok
peer          master2 heard
last          02:11:58 web: master2 -> master1: failback; handed over; clients saw 3.1 ms
next          nothing to do
";
const DEGRADED: &str = "\
cluster web   master1 SERVES since 02:11:58     takeover ready: NO, master2 has no carrier on lan
web           192.168.42.14   service running   epoch 8   lease 0.6 s left   return path ok 0.4 ms
              also master2 reaches no witness
heartbeat     ok           0.2 ms
bond          ok           0.2 ms
lan           LOST                  loss 100 %   last heard 12 min ago
witness       master1 ok 0.4 ms   master2 UNREACHABLE
peer          master2 heard
last          02:11:58 web: master2 -> master1: failback; handed over; clients saw 3.1 ms
next          mend: master2 has no carrier on lan; nothing will move then
";
const NOBODY: &str = "\
cluster web   NOBODY SERVES since 02:11:50     takeover ready: NO, this node reaches no witness
web           192.168.42.14   service stopped   epoch 8
waits for     own reachability: gateway silent for 9 s; nobody answers: not asked yet
heartbeat     LOST                  loss 100 %   last heard 12 min ago
bond          NO CARRIER            loss 100 %   last heard 12 min ago
lan           ONE-WAY               loss 100 %   last heard 12 min ago
witness       master1 UNREACHABLE   master2 unknown
peer          master2 SILENT
problem       gateway unreachable and peer silent
last          02:11:50 web: master1 left: no ground for 0.7 s
next          mend: gateway unreachable and peer silent; a node claims by itself when it can
";

#[test]
fn a_bond_is_shown_beside_its_link() {
    let with = |up: usize| {
        let mut view = healthy();
        let slave = |n: usize| SlaveView { name: format!("eth{n}"), up: n <= up, mii: "up".into(), active: n == 1, failures: 0 };
        let (name, mode) = ("bond0".into(), "active-backup".into());
        view.links[1].bond = Some(BondView { name, mode, active: None, slaves_up: up, slaves: vec![slave(1), slave(2)] });
        plain(&view)
    };
    assert!(with(2).contains("bond          ok           0.2 ms   (2/2 slaves)\n"), "{}", with(2));
    assert!(with(1).contains("ok           0.2 ms   DEGRADED 1/2 slaves\n"), "{}", with(1));
    assert!(with(0).contains("DOWN 0/2 slaves\n"), "{}", with(0));
}
