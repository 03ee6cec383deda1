#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use super::*;
use twinbeat_core::event::Level;
use twinbeat_core::heartbeat::{EchoOf, LinkEcho};
use twinbeat_core::id::{Epoch, GroupId, Incarnation, LinkId};
use twinbeat_core::io::{Record, Start};
use twinbeat_core::node::Node;
use twinbeat_core::view::Change;

fn at(ms: u64) -> Mono {
    Mono(ms * 1_000_000)
}

fn config() -> Config {
    Config::read(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../dist/twinbeat.toml"))).unwrap()
}

/// What is measured now.
fn of(meters: &Meters) -> Measured {
    meters.measured(&Tally::default(), Rejects::default())
}

#[test]
fn a_renewal_tells_what_was_left_of_the_lease_and_an_opening_or_a_close_does_not() {
    let mut meters = Meters::new(&config());
    let mut gate = |now, order| meters.goes(at(now), &Output::Gate { group: GroupId(0), generation: 1, order });
    gate(0, GateOrder::Renew(at(500)));
    gate(10, GateOrder::Close);
    gate(20, GateOrder::Renew(at(700)));
    gate(30, GateOrder::Open(at(700)));
    gate(230, GateOrder::Renew(at(930)));
    gate(1_000, GateOrder::Renew(at(1_700)));
    let renewals = &of(&meters).groups[0].renewals;
    // The first two had no lease before them, and that of the last was over.
    assert_eq!(renewals.count(), 2);
    assert!((renewals.sum() - 0.47).abs() < 1e-9, "{}", renewals.sum());
}

#[test]
fn an_echo_is_timed_once_and_by_what_it_was_sent_from() {
    let mut meters = Meters::new(&config());
    let (witness, group) = (WitnessId(0), GroupId(0));
    for (number, kind) in [(1, EchoKind::Own), (1, EchoKind::Vip(group)), (2, EchoKind::Own), (3, EchoKind::Inquiry)] {
        meters.goes(at(number), &Output::Echo { witness, kind, number });
    }
    for (number, kind) in
        [(1, EchoKind::Own), (1, EchoKind::Own), (1, EchoKind::Vip(group)), (3, EchoKind::Inquiry), (9, EchoKind::Own)]
    {
        meters.came(at(11), &Input::EchoReply { witness, kind, number });
    }
    let measured = of(&meters);
    assert_eq!((measured.echoes_own.count(), measured.echoes_vip.count()), (1, 1));
    assert!((measured.echoes_own.sum() - 0.010).abs() < 1e-9);
    // What is never answered does not pile up.
    for number in 0..10_000 {
        meters.goes(at(number), &Output::Echo { witness, kind: EchoKind::Own, number });
    }
    assert_eq!(meters.echoes.len(), MOST_ECHOES);
}

/// This node's heartbeat of that number and life, as the daemon sends it.
fn sent(number: u64, life: u64) -> Output {
    thread_local!(static BEAT: Heartbeat = beat());
    let mut beat = BEAT.with(Clone::clone);
    (beat.number, beat.incarnation) = (number, Incarnation(life));
    Output::Send { beat: beat.into(), links: vec![LinkId(0)] }
}

/// The peer's, with what it has heard: a link, a number, how long ago in milliseconds.
fn heard(life: u64, echoes: &[(&str, u64, u64)]) -> Heartbeat {
    let mut beat = beat();
    beat.echo_of = Some(EchoOf { incarnation: Incarnation(life), lease: Span::ZERO, witnesses: 0 });
    let echo =
        |(link, number, held): &(&str, u64, u64)| LinkEcho { link: (*link).into(), number: *number, held: Span::millis(*held) };
    beat.echoes = echoes.iter().map(echo).collect();
    beat
}

fn beat() -> Heartbeat {
    let config = config();
    let name = &config.nodes[0].name;
    let mut node = Node::new(config.settings(name).unwrap(), at(0));
    let (gates, addresses, running) = (vec![None], vec![false], vec![false]);
    node.handle(at(0), Input::Start(Start { incarnation: Incarnation(1), record: Record::default(), gates, addresses, running }));
    let sent = std::iter::from_fn(|| node.poll()).find_map(|output| match output {
        Output::Send { beat, .. } => Some((*beat).clone()),
        _ => None,
    });
    sent.unwrap()
}

#[test]
fn a_round_trip_is_timed_once_on_each_link_without_the_time_at_the_peer() {
    let config = config();
    let names: Vec<String> = config.nodes[0].links.iter().map(|link| link.name.to_string()).collect();
    let (one, two) = (names[0].as_str(), names[1].as_str());
    let mut meters = Meters::new(&config);
    meters.goes(at(100), &sent(1, 5));
    meters.goes(at(200), &sent(2, 5));
    // Sent at 100, 30 ms at the peer, back at 150: 20 ms. What is of another life, or was never sent, is nobody's.
    meters.echoed(at(150), &heard(5, &[(one, 1, 30), ("elsewhere", 1, 0), (two, 77, 0)]));
    meters.echoed(at(160), &heard(4, &[(one, 2, 0)]));
    // A copy over another link, and one that is played back.
    meters.echoed(at(155), &heard(5, &[(one, 1, 30)]));
    meters.echoed(at(210), &heard(5, &[(one, 2, 0), (two, 2, 4)]));
    meters.echoed(at(900), &heard(5, &[(one, 1, 0), (two, 1, 0)]));
    // The peer's clock says more than there was.
    meters.goes(at(1_000), &sent(3, 5));
    meters.echoed(at(1_001), &heard(5, &[(two, 3, 5_000)]));
    let measured = of(&meters);
    let trips = |place: usize| (measured.links[place].round_trips.count(), measured.links[place].round_trips.sum());
    assert_eq!(trips(0).0, 2);
    assert!((trips(0).1 - 0.030).abs() < 1e-9, "{}", trips(0).1);
    assert_eq!(trips(1).0, 2);
    assert!((trips(1).1 - 0.006).abs() < 1e-9, "{}", trips(1).1);
    // What is never echoed does not pile up.
    (4..10_000).for_each(|number| meters.goes(at(number), &sent(number, 5)));
    assert_eq!(meters.sent.len(), MOST_SENT);
}

#[test]
fn each_kind_of_event_is_there_from_the_start_and_counted() {
    let mut meters = Meters::new(&config());
    let (group, epoch) = (GroupId(0), Epoch::default());
    let kinds = [
        Kind::Owner(group, epoch),
        Kind::Reaffirmed(group, epoch),
        Kind::Left(group, epoch),
        Kind::Refused(group),
        Kind::Link(LinkId(0)),
        Kind::Witness,
        Kind::Peer,
        Kind::Challenge(group),
        Kind::Service(group),
        Kind::Move(group),
        Kind::Mismatch,
        Kind::Stall,
        Kind::Host,
    ];
    let words = |measured: &Measured| measured.events.iter().map(|(word, _)| *word).collect::<Vec<_>>();
    let before = words(&of(&meters));
    assert!(of(&meters).events.iter().all(|(_, count)| *count == 0));
    for kind in kinds {
        let note = Event { level: Level::Info, group: None, kind, text: String::new() };
        meters.goes(at(1), &Output::Note(note));
    }
    let after = of(&meters);
    assert_eq!(words(&after), before, "none that was not told of before");
    assert!(after.events.iter().all(|(_, count)| *count == 1), "{:?}", after.events);
}

#[test]
fn a_gap_is_counted_once_and_that_of_an_earlier_life_is_not() {
    let config = config();
    let mut meters = Meters::new(&config);
    let node = &config.nodes[0].name;
    let mut node = Node::new(config.settings(node).unwrap(), at(0));
    let (gates, addresses, running) = (vec![None], vec![false], vec![false]);
    node.handle(at(0), Input::Start(Start { incarnation: Incarnation(1), record: Record::default(), gates, addresses, running }));
    let mut view = node.view(at(10_000));
    let mut look = |ago_ms, gap_us: Option<u64>| {
        view.up_ms = 10_000;
        view.groups[0].last_change = Some(Change { ago_ms, text: String::new(), gap_us, gap_told: false });
        meters.look(&view);
        of(&meters).groups[0].gaps.count()
    };
    assert_eq!(look(20_000, Some(900)), 0, "of an earlier life");
    assert_eq!(look(100, None), 0);
    assert_eq!(look(200, Some(1_900)), 1, "known later: a service was started");
    assert_eq!(look(300, Some(1_900)), 1);
    assert_eq!(look(50, Some(1_900)), 1, "the peer's next change is told with it");
    assert_eq!(look(10, Some(2_100)), 2);
    assert_eq!(look(10, None), 2);

    let note = |kind| Output::Note(Event { level: Level::Info, group: None, kind, text: String::new() });
    assert!(!meters.look_due(at(5_000)));
    meters.goes(at(5_000), &note(Kind::Owner(GroupId(0), Epoch::default())));
    assert!(!meters.look_due(at(5_999)), "not in the middle of a move");
    assert!(meters.look_due(at(6_000)) && !meters.look_due(at(7_000)), "once");
}

#[test]
fn a_start_and_an_unknown_link_or_group_are_nothing_to_count() {
    let mut meters = Meters::new(&config());
    let before = of(&meters);
    meters.goes(at(1), &Output::Gate { group: GroupId(200), generation: 1, order: GateOrder::Renew(at(5)) });
    meters.came(at(1), &Input::Tick);
    assert_eq!(of(&meters), before);
}
