#![allow(clippy::unwrap_used)]
use std::cell::RefCell;

use super::*;
use twinbeat_core::event::Level;
use twinbeat_core::id::{Epoch, GroupId};
use twinbeat_core::words::About;

impl Tell for RefCell<Vec<Change>> {
    fn tell(&self, change: Change) {
        self.borrow_mut().push(change);
    }
}

/// A group's role, epoch and what stands in the way of a takeover; and problems.
fn view(role: GroupRole, epoch: u64, reasons: &[&str], problems: &[&str]) -> View {
    let lasting = |texts: &[&str]| texts.iter().map(|text| Sentence::lasting(About::Other, *text)).collect();
    said(role, epoch, lasting(reasons), lasting(problems))
}

/// The same of sentences.
fn said(role: GroupRole, epoch: u64, reasons: Vec<Sentence>, problems: Vec<Sentence>) -> View {
    let ready = serde_json::to_value(TakeoverReady::of(reasons, vec![])).unwrap();
    let group = serde_json::json!({
        "name": "web", "owner": null, "role": role, "epoch": epoch, "vips": [], "takeover_ready": ready, "lease_ms_left": null, "grounds": [],
        "return_path_us": null, "two_owners": false, "table_proved_ms": null, "service": "none", "services": [], "standby_held": null,
        "standby_left_ms": null, "failback": null, "last_change": null, "claim_open": [],
    });
    let mut view: View = serde_json::from_value(serde_json::json!({
        "node": "master1", "peer": "master2", "cluster": "c", "digest": "", "up_ms": 0, "groups": [group], "links": [],
        "witness": { "reachable": true, "peer_reachable": null, "targets": [] }, "peer_state": "heard", "mismatch": null, "gate": "inet",
        "problems": [], "notices": [],
    }))
    .unwrap();
    view.problems = problems;
    view
}

struct Bench(Changes<RefCell<Vec<Change>>>);

impl Bench {
    fn new() -> Bench {
        Bench(Changes::new(RefCell::default(), ["web".to_owned()].into_iter()))
    }

    fn note(&mut self, kind: Kind, text: &str) {
        self.0.output(&Output::Note(Event { level: Level::Info, group: Some("web".into()), kind, text: text.into() }));
    }

    /// Looks so many milliseconds after the start.
    fn look(&mut self, ms: u64, view: &View) {
        self.0.look(Mono::ZERO + Span::millis(ms), view);
    }

    /// What was told since the last call, in words.
    fn told(&self) -> Vec<String> {
        let words = |change: Change| match change.what {
            What::Role { role, was, epoch } => {
                format!("{} -> {role} {epoch}: {}", was.map_or("none", GroupRole::word), change.reason)
            }
            What::Health { health, was, problems } => format!("{was:?} -> {health:?} {problems:?}: {}", change.reason),
            What::Readiness { ready, was, crash_ready, planned_ready, .. } => {
                format!("{was:?} -> {ready} (crash {crash_ready}, planned {planned_ready}): {}", change.reason)
            }
            What::Reaffirmed { epoch, .. } => format!("reaffirmed {epoch}: {}", change.reason),
        };
        self.0.tell.take().into_iter().map(words).collect()
    }
}

#[test]
fn each_role_is_told_in_order_with_its_epoch_and_why() {
    let mut bench = Bench::new();
    let (web, epoch) = (GroupId(0), Epoch(7));
    bench.look(0, &view(GroupRole::Leaving, 6, &[], &[]));
    assert!(bench.told().is_empty() && bench.0.due(Mono::ZERO), "what an earlier life left is taken away first");
    bench.look(0, &view(GroupRole::Standby, 6, &[], &[]));
    assert_eq!(bench.told(), ["none -> standby 6: start"]);
    assert!(!bench.0.due(Mono::ZERO + Span::millis(999)) && bench.0.due(Mono::ZERO + Span::millis(1000)));
    bench.0.output(&Output::Gate { group: web, generation: 1, order: GateOrder::Open(Mono::ZERO) });
    assert!(bench.0.due(Mono::ZERO), "a gate is opened");
    bench.look(10, &view(GroupRole::Claiming, 7, &[], &[]));
    assert!(bench.0.due(Mono::ZERO + Span::millis(10)), "what passes is watched");
    bench.note(Kind::Owner(web, epoch), "master1 SERVES, epoch 7: the peer is dead");
    bench.note(Kind::Left(web, epoch), "master1 LEAVES, epoch 7: no ground");
    bench.look(20, &view(GroupRole::Leaving, 7, &[], &[]));
    bench.look(30, &view(GroupRole::Standby, 7, &[], &[]));
    assert_eq!(
        bench.told(),
        [
            "standby -> claiming 7: gate and address are being made",
            "claiming -> owner 7: master1 SERVES, epoch 7: the peer is dead",
            "owner -> leaving 7: master1 LEAVES, epoch 7: no ground",
            "leaving -> standby 7: gate and address are gone",
        ]
    );
}

#[test]
fn an_owner_that_finds_its_gate_open_says_that_it_owns_and_that_it_goes_on() {
    let mut bench = Bench::new();
    bench.note(Kind::Reaffirmed(GroupId(0), Epoch(3)), "found its gate open");
    bench.look(0, &view(GroupRole::Owner, 3, &[], &[]));
    bench.note(Kind::Reaffirmed(GroupId(0), Epoch(5)), "stays the owner");
    bench.note(Kind::Reaffirmed(GroupId(9), Epoch(5)), "no such group");
    assert_eq!(bench.told(), ["none -> owner 3: start", "reaffirmed 3: found its gate open", "reaffirmed 5: stays the owner"]);
}

#[test]
fn health_and_readiness_are_told_when_they_have_settled_and_a_time_that_passes_is_no_change() {
    let mut bench = Bench::new();
    let standby = |reasons: &[&str], problems: &[&str]| view(GroupRole::Standby, 1, reasons, problems);
    bench.look(0, &standby(&["not heard for 1 s"], &["nobody serves"]));
    bench.told();
    bench.look(1_000, &standby(&[], &[]));
    bench.look(2_999, &standby(&[], &[]));
    assert!(bench.told().is_empty(), "not yet");
    bench.look(3_000, &standby(&[], &[]));
    assert_eq!(bench.told(), ["None -> true (crash true, planned true): start", "None -> Ok []: start"]);
    // A moment of trouble is none.
    bench.look(4_000, &standby(&["late"], &["late"]));
    bench.look(5_000, &standby(&[], &[]));
    bench.look(9_000, &standby(&[], &[]));
    assert!(bench.told().is_empty());
    for s in 10..20 {
        let words = Sentence::passing(About::ReturnPath, "web", format!("has stayed away for {s} s"));
        bench.look(s * 1_000, &said(GroupRole::Standby, 1, vec![words.clone()], vec![words]));
    }
    assert_eq!(
        bench.told(),
        [
            "Some(true) -> false (crash false, planned true): a takeover would not work: has stayed away for 12 s",
            "Some(Ok) -> Problems [\"has stayed away for 12 s\"]: has stayed away for 12 s",
        ]
    );
    // What never settles is told in the end.
    for s in 20..=30 {
        let away = Sentence::passing(About::ReturnPath, "web", format!("has stayed away for {s} s"));
        let link = Sentence::lasting(About::Link, format!("link {s}: lost"));
        bench.look(s * 1_000, &said(GroupRole::Standby, 1, vec![away], vec![link]));
    }
    assert_eq!(bench.told(), ["Some(Problems) -> Problems [\"link 30: lost\"]: link 30: lost"]);
    bench.look(31_000, &standby(&[], &[]));
    bench.look(33_000, &standby(&[], &[]));
    assert_eq!(
        bench.told(),
        ["Some(false) -> true (crash true, planned true): a takeover would work", "Some(Problems) -> Ok []: all is well"]
    );
}

#[test]
fn a_document_is_bounded_whatever_is_wrong() {
    let long = "ä".repeat(10_000);
    let problems = vec![long.as_str(); 1_000];
    let mut bench = Bench::new();
    bench.look(0, &view(GroupRole::Standby, 1, &problems, &problems));
    bench.look(5_000, &view(GroupRole::Standby, 1, &problems, &problems));
    for change in bench.0.tell.take() {
        assert!(serde_json::to_string(&change).unwrap().len() < 200_000, "two lists of 50 with 500 characters each");
    }
}
