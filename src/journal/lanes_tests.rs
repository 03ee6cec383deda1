#![allow(clippy::unwrap_used)]

use super::*;

fn lane(spans: &[(u64, u64, &str)]) -> Lanes {
    let spans = spans.iter().map(|(from, to, is)| Span { from: *from, to: *to, is: (*is).into(), tone: Tone::Good }).collect();
    Lanes(vec![Lane { of: Of::Link, name: "lan".into(), spans }])
}

#[test]
fn an_earlier_reader_fills_what_lies_before_and_nothing_else() {
    let mut now = lane(&[(100, 200, "ok"), (200, 250, "lost")]);
    now.follow(lane(&[(10, 50, "lost"), (50, 120, "ok"), (120, 300, "late")]), 0);
    assert_eq!(now, lane(&[(10, 50, "lost"), (50, 200, "ok"), (200, 250, "lost")]));
    // A hole stays one.
    now.follow(lane(&[(1, 5, "lost")]), 4);
    assert_eq!(now, lane(&[(1, 5, "lost"), (10, 50, "lost"), (50, 200, "ok"), (200, 250, "lost")]));
    let mut bridged = now.clone();
    bridged.0[0].spans.remove(0);
    bridged.follow(lane(&[(1, 5, "lost")]), 5);
    assert_eq!(bridged, lane(&[(1, 50, "lost"), (50, 200, "ok"), (200, 250, "lost")]));
    let mut empty = Lanes::default();
    empty.follow(lane(&[(1, 5, "lost")]), 1_000);
    assert_eq!(empty, lane(&[(1, 5, "lost")]));
    assert_eq!(now.extent(), Some((1, 250)));
    now.cut(60);
    assert_eq!(now, lane(&[(60, 200, "ok"), (200, 250, "lost")]));
    now.cut(1_000);
    assert_eq!((now.extent(), now), (None, Lanes::default()));
}

#[test]
fn lanes_stand_in_their_order_and_have_an_end() {
    let mut lanes = Lanes::default();
    for (of, name) in [(Of::Witness, "witness"), (Of::Group, "web"), (Of::Link, "lan"), (Of::Group, "mail"), (Of::Link, "bond")] {
        lanes.lane(of, name, |_| {});
    }
    let names: Vec<&str> = lanes.0.iter().map(|lane| lane.name.as_str()).collect();
    assert_eq!(names, ["web", "mail", "lan", "bond", "witness"]);
    for n in 0..2_000 {
        lanes.lane(Of::Link, "lan", |lane| lane.look(n * 10, 0, n.to_string(), Tone::Bad));
    }
    let lane = lanes.0.iter().find(|lane| lane.name == "lan").unwrap();
    assert_eq!((lane.spans.len(), lane.spans.last().unwrap().from), (MOST, 19_990));
}

#[test]
fn a_look_that_is_late_leaves_a_hole_and_a_clock_that_was_set_back_no_two_words_for_one_time() {
    let mut lanes = Lanes::default();
    for (at, is) in [(100, "ok"), (200, "ok"), (300, "lost"), (2_000, "lost"), (2_100, "ok"), (250, "ok"), (350, "ok")] {
        lanes.lane(Of::Link, "lan", |lane| lane.look(at, 150, is.into(), Tone::Good));
    }
    // Back at 250 what was seen later goes.
    assert_eq!(lanes, lane(&[(100, 350, "ok")]));
    for (at, is) in [(360, "lost"), (2_000, "lost"), (2_100, "lost")] {
        lanes.lane(Of::Link, "lan", |lane| lane.look(at, 150, is.into(), Tone::Good));
    }
    assert_eq!(lanes, lane(&[(100, 360, "ok"), (360, 360, "lost"), (2_000, 2_100, "lost")]));
}
