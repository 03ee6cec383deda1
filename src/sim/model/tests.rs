use super::search::search;
use super::small::Daemon;
use super::*;
use twinbeat_core::time::Mono;

#[test]
fn in_the_ordinary_course_one_serves_and_a_takeover_moves_it() {
    let mut small = settled([1_000_000; 2]);
    assert!(small.answers(0) && !small.answers(1));
    small.make(Move::Takeover(1));
    run(&mut small, Span::millis(300));
    assert!(!small.answers(0) && small.answers(1));
    assert_eq!(small.wrong, None);
}

#[test]
fn a_hung_owner_is_replaced_within_the_horizon_of_the_silence_scope() {
    let mut small = settled([1_000_000, 1_200_000]);
    small.make(Move::Hang(0));
    run(&mut small, silence(1).horizon);
    assert!(!small.answers(0) && small.answers(1));
    assert_eq!((small.wrong, small.sides[0].daemon), (None, Daemon::Hangs));
}

#[test]
fn a_state_has_the_same_name_whenever_it_is_reached() {
    let mut one = settled([1_000_000; 2]);
    let mut two = one.clone();
    for small in [&mut one, &mut two] {
        small.left = 2;
    }
    let mut bytes = Vec::new();
    while !one.quiet() {
        one.make(Move::Next);
        two.make(Move::Next);
    }
    one.make(Move::Hang(0));
    assert_ne!(one.name(&mut bytes), two.name(&mut bytes));
    one.make(Move::Cut(1, 0));
    two.make(Move::Cut(1, 0));
    two.make(Move::Hang(0));
    assert_eq!(one.name(&mut bytes), two.name(&mut bytes), "whichever came first");
    one.now = one.now + Span(1);
    assert_ne!(one.name(&mut bytes), two.name(&mut bytes), "deadlines are nearer");
}

#[test]
fn one_deviation_in_a_hand_over_never_makes_two_owners() {
    let coverage = search(&Scope { threads: 1, ..handover(1) });
    assert!(coverage.whole && coverage.states > 1_000, "{coverage:?}");
    assert_eq!(coverage.wrong, None);
}

#[test]
fn a_kernel_that_acknowledges_too_early_is_found_out() {
    let mut scope = Scope { threads: 1, ..handover(1) };
    scope.root.acknowledges_early = true;
    let coverage = search(&scope);
    let (moves, text) = coverage.wrong.expect("two owners, or released while it answers");
    assert!(text.contains("answer"), "{text}");
    // The same moves lead there again.
    let mut again = scope.root.clone();
    again.left = 1;
    moves.iter().for_each(|step| again.make(*step));
    assert_eq!(again.wrong, Some(text));
}

fn run(small: &mut Small, span: Span) {
    let end: Mono = small.now + span;
    while small.now < end || !small.quiet() {
        small.make(Move::Next);
    }
}
