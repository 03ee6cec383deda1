#![allow(clippy::unwrap_used)]

use super::super::status::{Health, json};
use super::*;
use twinbeat_core::sentence::Sentence;
use twinbeat_core::view::{BondView, Change, SlaveView, TakeoverReady, TargetView, WitnessView};
use twinbeat_core::words::{About, Guard};

fn link(name: &str, state: LinkCondition, rtt_us: Option<u64>) -> LinkView {
    let ok = state == LinkCondition::Ok;
    LinkView {
        name: name.into(),
        state,
        rtt_us,
        loss: if ok { 0.0 } else { 1.0 },
        carrier: state != LinkCondition::NoCarrier,
        heard_ms: Some(if ok { 40 } else { 725_000 }),
        peer_state: Some(LinkCondition::Ok),
        bond: None,
    }
}

pub fn healthy() -> View {
    View {
        digest: String::new(),
        node: "master1".into(),
        peer: "master2".into(),
        cluster: "web".into(),
        up_ms: 86_400_000,
        incarnation: 1,
        groups: vec![GroupView {
            name: "web".into(),
            owner: Some("master1".into()),
            role: GroupRole::Owner,
            epoch: 8,
            vips: vec!["192.168.42.14".into()],
            takeover_ready: TakeoverReady::of(vec![], vec![]),
            failback: None,
            standby_left_ms: None,
            paused: None,
            pause_left_ms: None,
            left_alone: None,
            lease_ms_left: Some(640),
            grounds: vec![Ground::Peer, Ground::ReturnPath],
            return_path_us: Some(412),
            two_owners: false,
            table_proved_ms: Some(80),
            service: ServiceState::Running,
            services: vec!["nginx".into()],
            services_here: vec![],
            standby_held: None,
            last_change: Some(Change {
                ago_ms: 1_000,
                text: "master2 -> master1: failback; handed over".into(),
                gap_us: Some(3_100),
                gap_told: false,
            }),
            claim_open: vec![],
            stranger: None,
        }],
        links: vec![
            link("heartbeat", LinkCondition::Ok, Some(210)),
            link("bond", LinkCondition::Ok, Some(185)),
            link("lan", LinkCondition::Ok, Some(12_400)),
        ],
        witness: WitnessView { reachable: true, peer_reachable: Some(true), targets: vec![target(0, "192.168.42.1")] },
        peer_state: PeerState::Heard,
        mismatch: None,
        gate: Guard::Inet,
        fencing: None,
        problems: vec![],
        state_trouble: None,
        recorder_trouble: None,
        notices: vec![],
    }
}

fn target(index: u8, address: &str) -> TargetView {
    TargetView {
        index,
        address: address.into(),
        by: AskedBy::Echo,
        reachable: true,
        answered_ms: Some(90),
        rtt_us: Some(402),
        register: true,
        slow_only: false,
    }
}

/// As the core puts its problems together.
fn with_problems(mut view: View) -> View {
    let groups = view.groups.iter().flat_map(|g| [g.unserved(), g.failing(), g.not_ready()]);
    let links = view.links.iter().map(LinkView::trouble);
    let targets = view.witness.targets.iter().map(TargetView::problem);
    let dark = (!view.witness.reachable).then(|| Sentence::lasting(About::Witness, "the witness does not answer this node"));
    let own = std::mem::take(&mut view.problems);
    view.problems = groups.chain([dark]).chain(links).chain(targets).flatten().chain(own).collect();
    view
}

/// The owner's screen after the standby's public cable was pulled.
pub fn degraded() -> View {
    let mut view = healthy();
    let why = Sentence::lasting(About::Carrier, "master2 has no carrier on its public side");
    view.groups[0].takeover_ready = TakeoverReady::of(vec![why.clone()], vec![why]);
    view.links[2] = link("lan", LinkCondition::Lost, None);
    view.links[2].peer_state = Some(LinkCondition::NoCarrier);
    view.witness.peer_reachable = Some(false);
    with_problems(view)
}

pub fn nobody() -> View {
    let mut view = healthy();
    let group = &mut view.groups[0];
    (group.owner, group.role, group.service) = (None, GroupRole::Standby, ServiceState::Stopped);
    (group.lease_ms_left, group.return_path_us) = (None, None);
    group.grounds.clear();
    let dark = vec![Sentence::lasting(About::Witness, "the witness does not answer master1")];
    group.takeover_ready = TakeoverReady::of(dark.clone(), dark);
    group.claim_open = vec!["the witness does not answer this node".into(), "the address is being probed".into()];
    group.last_change = Some(Change {
        ago_ms: 9_000,
        text: "master1 LEAVES, epoch 8: no ground for 700ms".into(),
        gap_us: None,
        gap_told: false,
    });
    view.links = vec![
        link("heartbeat", LinkCondition::Lost, None),
        link("bond", LinkCondition::NoCarrier, None),
        link("lan", LinkCondition::OneWay, None),
    ];
    view.links.iter_mut().for_each(|link| link.peer_state = None);
    view.witness.reachable = false;
    view.witness.peer_reachable = None;
    view.witness.targets[0].reachable = false;
    view.peer_state = PeerState::Silent;
    with_problems(view)
}

/// A pair with all that can be odd and still serve.
pub fn odd() -> View {
    let mut view = healthy();
    view.node = "master2".into();
    view.peer = "master1".into();
    let group = &mut view.groups[0];
    (group.role, group.service) = (GroupRole::Standby, ServiceState::Failed("nginx: exit 1".into()));
    (group.lease_ms_left, group.return_path_us) = (None, None);
    group.grounds.clear();
    let mut second = group.clone();
    (second.name, second.vips, second.services) = ("mail".into(), vec!["192.168.42.15/25".into()], vec![]);
    (second.service, second.standby_held, second.last_change) = (ServiceState::None, Some("kernel update".into()), None);
    view.groups.push(second);
    view.links.push(link("relay", LinkCondition::Blocked, None));
    view.links[3].peer_state = Some(LinkCondition::Lost);
    view.witness.targets = vec![target(0, "192.168.42.1"), target(1, "192.168.42.2"), target(2, "192.168.42.3")];
    view.witness.targets[0].by = AskedBy::Arp;
    view.witness.targets[1].slow_only = true;
    (view.witness.targets[2].register, view.witness.targets[2].reachable) = (false, false);
    view.gate = Guard::Weak;
    view.notices = vec!["weak gate: address lifetimes alone guard this node".into()];
    view.problems = vec![Sentence::lasting(About::State, "the state directory cannot be written: ENOSPC")];
    with_problems(view)
}

pub fn two_owners() -> View {
    let mut view = healthy();
    view.groups[0].two_owners = true;
    view.problems = vec![Sentence::lasting(About::TwoOwners, "web: two owners")];
    with_problems(view)
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
fn a_crash_and_a_planned_move_are_told_apart_and_waits_say_how_long() {
    let mut view = healthy();
    let group = &mut view.groups[0];
    group.takeover_ready =
        TakeoverReady::of(vec![Sentence::lasting(About::Witness, "the witness does not answer master2")], vec![]);
    group.standby_held = Some("new disk".into());
    group.standby_left_ms = Some(1_740_000);
    group.failback = Some("in 9 s: master1 has to be fit for 10s".into());
    let screen = plain(&view);
    let ready = "takeover ready: NO after a crash of the owner, the witness does not answer master2; a planned move: yes";
    assert!(screen.lines().next().unwrap().ends_with(ready), "{screen}");
    assert!(screen.contains("master1 is in standby by command: new disk; ends by itself in 29 min"), "{screen}");
    assert!(screen.contains("failback      in 9 s: master1 has to be fit for 10s"), "{screen}");
    view.groups[0].takeover_ready = TakeoverReady::of(vec![], vec![Sentence::lasting(About::Files, "the VIPs differ")]);
    assert!(plain(&view).contains("takeover ready: NO for a planned move, the VIPs differ; after a crash of the owner: yes"));
    assert_eq!(Health::of(&view).code(), 10);
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
fn what_is_odd_is_named_beside_what_it_concerns_and_nothing_twice() {
    let view = odd();
    assert_eq!(plain(&view), ODD);
    assert_eq!(Health::of(&view).code(), 10);
}

#[test]
fn two_owners_are_the_worst() {
    let view = two_owners();
    assert_eq!(plain(&view), TWO_OWNERS);
    assert_eq!(Health::of(&view).code(), 12);
}

#[test]
fn colors_change_no_word() {
    for view in [healthy(), degraded(), nobody(), odd(), two_owners()] {
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
web           192.168.42.14   nginx running   epoch 8   lease 0.6 s left   return path ok 0.4 ms
              master1       master2
heartbeat     ok   0.2 ms   ok
bond          ok   0.2 ms   ok
lan           ok   12 ms    ok
witness       ok   0.4 ms   ok        192.168.42.1
last          02:11:58 master2 -> master1: failback; handed over; clients saw 3.1 ms
next          nothing to do
";
const DEGRADED: &str = "\
cluster web   master1 SERVES since 02:11:58     takeover ready: NO, master2 has no carrier on its public side
web           192.168.42.14   nginx running   epoch 8   lease 0.6 s left   return path ok 0.4 ms
              master1       master2
heartbeat     ok   0.2 ms   ok
bond          ok   0.2 ms   ok
lan           LOST          NO CARRIER    <- blocks takeover   loss 100 %   last heard 12 min ago
witness       ok   0.4 ms   UNREACHABLE   192.168.42.1
last          02:11:58 master2 -> master1: failback; handed over; clients saw 3.1 ms
next          mend: master2 has no carrier on its public side; nothing will move then
";
const NOBODY: &str = "\
cluster web   NOBODY SERVES since 02:11:50     takeover ready: NO, the witness does not answer master1
web           192.168.42.14   nginx stopped   epoch 8
waits for     the witness does not answer this node; the address is being probed
              master1       master2
heartbeat     LOST          ?         loss 100 %   last heard 12 min ago
bond          NO CARRIER    ?         loss 100 %   last heard 12 min ago
lan           ONE-WAY       ?         loss 100 %   last heard 12 min ago
witness       UNREACHABLE   ?         192.168.42.1
peer          master2 is SILENT, last heard 12 min ago
last          02:11:50 master1 LEAVES, epoch 8: no ground for 700ms
next          mend the way to the witness; a node takes it by itself then
";
const ODD: &str = "\
cluster web   2 groups
group web   master1 SERVES since 02:11:58     takeover ready: yes
                192.168.42.14   nginx FAILED: nginx: exit 1   epoch 8
group mail   master1 SERVES     takeover ready: yes
                192.168.42.15/25   no service   epoch 8
standby         master2 is in standby by command: kernel update
                master1   master2
heartbeat       ok        ok   0.2 ms
bond            ok        ok   0.2 ms
lan             ok        ok   12 ms
relay           LOST      BLOCKED                both reach the witness, nothing comes through it
witness         ok        ok   2 of 3
  192.168.42.1            ok   0.4 ms   by ARP
  192.168.42.2            ok   0.4 ms            answers the slow echo rate and not the fast one: it is asked slowly, a claim takes up to two intervals longer
  192.168.42.3            UNREACHABLE            answers to the sender, not by its table: it proves no ownership and is not counted
problem         the state directory cannot be written: ENOSPC
notice          weak gate: address lifetimes alone guard this node
last            02:11:58 web: master2 -> master1: failback; handed over; clients saw 3.1 ms
next            mend nginx on master2 (its output is in the log); then `twinbeat status` again
";
const TWO_OWNERS: &str = "\
cluster web   TWO OWNERS     takeover ready: yes
web           192.168.42.14   nginx running   epoch 8   lease 0.6 s left   return path ok 0.4 ms
              master1       master2
heartbeat     ok   0.2 ms   ok
bond          ok   0.2 ms   ok
lan           ok   12 ms    ok
witness       ok   0.4 ms   ok        192.168.42.1
last          02:11:58 master2 -> master1: failback; handed over; clients saw 3.1 ms
next          the lower epoch leaves by itself; if this lasts: `systemctl stop twinbeat` on one node, then `twinbeat why` on both
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
    assert!(with(2).contains("bond          ok   0.2 ms   (2/2 slaves)   ok\n"), "{}", with(2));
    assert!(with(1).contains("bond          ok   0.2 ms   DEGRADED 1/2 slaves   ok\n"), "{}", with(1));
    assert!(with(0).contains("DOWN 0/2 slaves"), "{}", with(0));
}
