//! What is believed of a witness's MAC.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says so by dying")]

use super::*;

const KNOWN: Mac = Mac([2, 0, 0, 0, 0, 1]);
const OTHER: Mac = Mac([2, 0, 0, 0, 0, 0x66]);

/// A witness that is known, and asked again a while later.
fn asked() -> (Witness, Instant) {
    let start = Instant::now();
    let mut witness = Witness::new("192.0.2.1".parse().unwrap());
    witness.due(start);
    assert_eq!(witness.named(KNOWN, start), Named::Known);
    let later = start + ASK_AGAIN;
    assert!(witness.due(later).is_some());
    (witness, later)
}

#[test]
fn an_answer_that_nobody_asked_for_says_nothing() {
    let (mut witness, now) = asked();
    assert_eq!(witness.named(OTHER, now + ANSWER), Named::Nothing);
    assert_eq!(witness.mac, Some(KNOWN));
}

#[test]
fn a_known_witness_that_still_answers_is_not_given_up() {
    for by_echo in [true, false] {
        let (mut witness, now) = asked();
        let Named::Ask([(known, number), (candidate, other)]) = witness.named(OTHER, now) else { panic!() };
        assert_eq!((known, candidate), (KNOWN, OTHER));
        witness.vouched(other); // whoever lies answers echoes as well, or forwards them
        match by_echo {
            true => witness.vouched(number),
            false => assert_eq!(witness.named(KNOWN, now), Named::Known),
        }
        assert_eq!(witness.judge(now + TRIAL), None);
        assert_eq!(witness.mac, Some(KNOWN));
    }
}

#[test]
fn a_witness_that_moved_is_found_within_a_trial() {
    let (mut witness, now) = asked();
    let Named::Ask([_, (_, number)]) = witness.named(OTHER, now) else { panic!() };
    witness.vouched(number);
    assert_eq!(witness.judge(now), None, "not before its time");
    assert_eq!(witness.judge(witness.deadline().unwrap()), Some(OTHER));
    assert_eq!(witness.mac, Some(OTHER));
}

#[test]
fn a_candidate_that_answers_no_echo_is_not_believed_where_the_witness_did() {
    let (mut witness, now) = asked();
    witness.sounded();
    witness.heard();
    assert!(matches!(witness.named(OTHER, now), Named::Ask(_)));
    witness.named(OTHER, now);
    assert_eq!(witness.judge(now + TRIAL), None);
}

#[test]
fn the_administrators_word_is_believed() {
    let (mut witness, now) = asked();
    witness.pin(Some(OTHER));
    assert_eq!(witness.mac, Some(OTHER));
    assert_eq!(witness.named(KNOWN, now), Named::Nothing);
    assert!(!witness.may_ask_at_once(now));
    witness.pin(None);
    assert!(matches!(witness.named(KNOWN, now), Named::Ask(_)));
}

#[test]
fn echoes_that_stay_away_are_asked_about_once() {
    let (mut witness, _) = asked();
    let asked: Vec<bool> = (0..6).map(|_| witness.sounded()).collect();
    assert_eq!(asked, [false, false, true, false, false, false]);
    witness.heard();
    assert!(!witness.sounded());
}
