//! Whether a move arrives, by table: who has the address after a move to B, what the person who asked is told, and what is remembered of it.

use super::bench::{A, B, Bench, fast};
use crate::clock::Moment;
use crate::expect::Said;
use twinbeat_core::io::Command;
use twinbeat_core::settings::Failback;
use twinbeat_core::time::Span;

const NEVER: &str = "the answer of the witness to the address never came";
/// From the move until it is found out that nothing comes (two seconds, `core::arrival`), and the way back.
const FOUND_OUT: Span = Span::millis(3_500);

fn standby() -> Command {
    Command::Standby { group: None, lasting: None, reason: None }
}

/// What a person is told of a command.
enum Told {
    Done,
    Refused(&'static str),
}

/// One world, and one move of the address from A to B in it.
struct Case {
    name: &'static str,
    /// Whose frames in the address's name the switch drops: A's, B's.
    guarded: [bool; 2],
    /// The witness answers the sender: no register.
    answers_sender: bool,
    /// The witness answers nobody.
    dark: bool,
    command: (usize, Command),
    /// Who has it in the end.
    owner: usize,
    told: Told,
    /// Whether B is known afterwards as a node to which no return path came.
    marked: bool,
}

#[test]
fn a_move_is_done_when_its_return_path_came_and_is_taken_back_when_it_would_have_shown() {
    let plain = || Case {
        name: "the path comes",
        guarded: [false; 2],
        answers_sender: false,
        dark: false,
        command: (A, standby()),
        owner: B,
        told: Told::Done,
        marked: false,
    };
    let cases = [
        plain(),
        Case { name: "the path comes, asked for on the new owner", command: (B, Command::Takeover { group: None }), ..plain() },
        Case { name: "it does not come", guarded: [false, true], owner: A, told: Told::Refused(NEVER), marked: true, ..plain() },
        Case {
            name: "it does not come, asked for on the new owner",
            guarded: [false, true],
            command: (B, Command::Takeover { group: None }),
            owner: A,
            told: Told::Refused(NEVER),
            marked: true,
            ..plain()
        },
        // Nothing can show it.
        Case { name: "no register, and it does not come", guarded: [false, true], answers_sender: true, ..plain() },
        Case { name: "the witness is dark, and it does not come", guarded: [false, true], dark: true, ..plain() },
        // The old owner's own path is lost while it owns: it had one, and gets the address back.
        Case { name: "to neither", guarded: [true, true], owner: A, told: Told::Refused(NEVER), marked: true, ..plain() },
    ];
    for case in cases {
        let name = case.name;
        let mut w = Bench::dark(Failback::Manual);
        w.answers_sender(case.answers_sender);
        w.start(A);
        w.start(B);
        w.run(Span::secs(12));
        w.only(A);
        w.guard(case.guarded);
        w.gateway(!case.dark);
        w.run(Span::secs(if case.dark { 5 } else { 0 }));
        let (at, command) = case.command;
        w.command(at, command);
        let took = w.until_serves(B, Span::secs(5));
        assert!(took < Span::millis(300), "{name}: {took}\n{}", w.log());
        w.run(FOUND_OUT);
        w.only(case.owner);
        let replies = w.replies(at);
        match (case.told, replies.first()) {
            (Told::Done, Some((Said::Done, _))) => {}
            (Told::Refused(words), Some((Said::Refused, text))) if text.contains(words) => {}
            (_, other) => panic!("{name}: {other:?}\n{}", w.log()),
        }
        let unready = |i: usize| w.view(i).groups[0].takeover_ready.planned.clone();
        let marked = |i: usize| format!("{:?}", unready(i)).contains("no return path");
        assert_eq!([marked(A), marked(B)], [case.marked; 2], "{name}: {:#?}\n{}", unready(A), w.log());
        // Whatever came of it stays so, and the standby that came with the move ends with it.
        let since = w.now();
        w.run(Span::secs(60));
        w.steady_since(since, case.owner);
        assert_eq!(w.view(A).groups[0].standby_held.is_none(), case.owner == A, "{name}\n{}", w.log());
    }
}

/// A world in which the address's frames pass for B alone, A is preferred, and B serves since A came back.
fn failing_back() -> Bench {
    let mut w = Bench::settled();
    w.power_off(A);
    w.until_serves(B, Span::secs(5));
    w.guard([true, false]);
    w.start(A);
    w
}

#[test]
fn a_failback_that_never_arrives_waits_twice_as_long_each_time_up_to_an_hour() {
    let mut w = failing_back();
    let from = w.now();
    w.run(Span::secs(1100));
    w.only(B);
    let tries = w.began(A, from);
    let pauses: Vec<u64> = tries.windows(2).map(|two| two[1].since(two[0]).0 / 1_000_000_000).collect();
    assert_eq!(pauses.len(), 5, "{pauses:?}\n{}", w.log());
    for (pause, expected) in pauses.iter().zip([30, 60, 120, 240, 480]) {
        assert!((expected..expected + 8).contains(pause), "{pauses:?}\n{}", w.log());
    }
}

#[test]
fn a_path_that_comes_ends_the_mark_and_its_doubling() {
    let mut w = failing_back();
    let from = w.now();
    w.run(Span::secs(110));
    let tries = w.began(A, from).len();
    assert!(tries >= 3, "{tries}\n{}", w.log());
    w.guard([false; 2]);
    w.run(Span::secs(400));
    w.only(A);
    assert!(w.view(B).groups[0].takeover_ready.ready, "{:#?}", w.view(B).groups[0].takeover_ready);
    // The network is as bad as before: the row begins anew.
    w.command(A, standby());
    w.until_serves(B, Span::secs(5));
    w.guard([true, false]);
    w.command(A, Command::Resume);
    let from = w.now();
    w.run(Span::secs(60));
    let tries = w.began(A, from);
    assert!(tries.len() >= 2 && tries[1].since(tries[0]) < Span::secs(38), "{tries:?}\n{}", w.log());
}

/// What a restart forgets costs one try, after the hold-down of every failback, and the new life learns the same of it.
#[test]
fn a_restart_forgets_the_mark_and_costs_one_try_that_is_taken_back_too() {
    let mut w = failing_back();
    w.run(Span::secs(400));
    w.only(B);
    assert!(format!("{:?}", w.view(B).groups[0].takeover_ready.planned).contains("no return path"));
    w.kill(A);
    w.run(Span::secs(1));
    let from = w.now();
    w.start(A);
    w.run(Span::secs(25));
    w.only(B);
    let tries: Vec<Moment> = w.began(A, from);
    assert_eq!(tries.len(), 1, "{tries:?}\n{}", w.log());
    assert!(tries[0].since(from) >= fast().dead.max(fast().heartbeat * 10), "{tries:?}");
    assert!(format!("{:?}", w.view(B).groups[0].takeover_ready.planned).contains("no return path"));
}
