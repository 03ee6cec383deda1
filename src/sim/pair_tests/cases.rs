//! One sentence each: who answers, after what.

use super::bench::{A, B, Bench, CABLE, LAN, fast};
use crate::expect::Said;
use twinbeat_core::io::Command;
use twinbeat_core::sentence;
use twinbeat_core::settings::Failback;
use twinbeat_core::time::Span;

const TAKEN: Span = Span::millis(600);

fn standby() -> Command {
    Command::Standby { group: None, lasting: None, reason: None }
}

fn bound() -> Span {
    fast().dead + fast().heartbeat
}

#[test]
fn at_the_first_start_the_preferred_node_serves_and_the_other_does_not() {
    Bench::settled().only(A);
}

#[test]
fn an_owner_without_power_is_replaced_within_dead_and_one_heartbeat_and_gets_it_back_later() {
    let mut w = Bench::settled();
    w.power_off(A);
    let took = w.until_serves(B, Span::secs(5));
    assert!(took <= bound(), "{took}\n{}", w.log());
    w.start(A);
    w.run(Span::secs(30));
    w.only(A);
}

#[test]
fn a_daemon_that_is_stopped_in_order_hands_over_at_once() {
    let mut w = Bench::settled();
    w.command(A, Command::Shutdown);
    let took = w.until_serves(B, Span::secs(5));
    assert!(took < Span::millis(100), "{took}\n{}", w.log());
    w.run(Span::secs(10));
    w.only(B);
}

#[test]
fn standby_hands_over_and_resume_brings_it_back() {
    let mut w = Bench::settled();
    w.command(A, standby());
    w.run(Span::secs(20));
    w.only(B);
    assert!(matches!(w.replies(A).first(), Some((Said::Done, _))), "{}", w.log());
    w.command(A, Command::Resume);
    w.run(Span::secs(20));
    w.only(A);
}

#[test]
fn takeover_brings_it_here_and_it_stays() {
    let mut w = Bench::settled();
    w.command(B, Command::Takeover { group: None });
    w.run(Span::secs(30));
    w.only(B);
    assert!(matches!(w.replies(B).first(), Some((Said::Done, _))), "{}", w.log());
}

#[test]
fn with_manual_failback_it_stays_where_it_is() {
    let mut w = Bench::settled_with(Failback::Manual);
    w.power_off(A);
    w.run(Span::secs(5));
    w.start(A);
    w.run(Span::secs(60));
    w.only(B);
}

#[test]
fn a_killed_daemon_never_leaves_two_owners() {
    let mut w = Bench::settled();
    w.kill(A);
    let took = w.until_serves(B, Span::secs(5));
    assert!(took <= bound(), "{took}\n{}", w.log());
    w.run(Span::secs(5));
    w.only(B);
}

#[test]
fn a_daemon_that_hangs_and_wakes_never_makes_two_owners() {
    for ms in [100, 140, 160, 300, 480, 500, 520, 600, 3000] {
        let mut w = Bench::settled();
        w.hang(A);
        w.run(Span::millis(ms));
        w.wake(A);
        w.run(Span::secs(40));
        w.only(A);
    }
}

#[test]
fn a_cut_heartbeat_cable_moves_nothing() {
    let mut w = Bench::settled();
    let since = w.now();
    w.cut(CABLE, A, true);
    w.cut(CABLE, B, true);
    w.run(Span::secs(20));
    w.steady_since(since, A);
}

#[test]
fn all_links_cut_between_nodes_that_reach_the_gateway_move_nothing() {
    let mut w = Bench::settled();
    let since = w.now();
    w.cut_all(true);
    w.run(Span::secs(60));
    w.steady_since(since, A);
}

#[test]
fn an_isolated_owner_leaves_before_the_other_comes() {
    let mut w = Bench::settled();
    w.isolate(A, true);
    let took = w.until_serves(B, Span::secs(5));
    assert!(took <= bound(), "{took}\n{}", w.log());
    w.run(Span::secs(20));
    w.only(B);
    w.isolate(A, false);
    w.run(Span::secs(30));
    w.only(A);
}

#[test]
fn a_lost_public_side_is_handed_over_in_milliseconds() {
    let mut w = Bench::settled();
    w.set_carrier(A, false);
    let took = w.until_serves(B, Span::secs(5));
    assert!(took < Span::millis(50), "{took}\n{}", w.log());
    w.run(Span::secs(10));
    w.only(B);
}

#[test]
fn a_gateway_that_is_down_for_both_moves_nothing() {
    let mut w = Bench::settled();
    let since = w.now();
    w.gateway(false);
    w.run(Span::secs(20));
    w.gateway(true);
    w.run(Span::secs(20));
    w.steady_since(since, A);
}

#[test]
fn two_nodes_alone_without_a_witness_do_not_serve() {
    let mut w = Bench::settled();
    w.gateway(false);
    w.cut_all(true);
    w.run(Span::secs(20));
    w.nobody();
    w.heal();
    w.run(Span::secs(25));
    w.only(A);
}

#[test]
fn links_cut_in_one_direction_move_nothing() {
    for from in [A, B] {
        let mut w = Bench::settled();
        let since = w.now();
        w.cut(CABLE, from, true);
        w.cut(LAN, from, true);
        w.run(Span::secs(30));
        w.steady_since(since, A);
    }
}

#[test]
fn a_node_that_boots_alone_serves_after_init_dead() {
    let mut w = Bench::dark(Failback::Auto);
    w.start(B);
    let took = w.until_serves(B, Span::secs(30));
    assert!(took >= fast().init_dead && took <= fast().init_dead + TAKEN, "{took}\n{}", w.log());
}

#[test]
fn an_owner_whose_gate_closed_by_itself_leaves_and_does_not_open_it_again() {
    let mut w = Bench::settled();
    w.lapse(A);
    // Longer than a renewal, shorter than the probes of a new claim by agreement.
    for _ in 0..50 {
        w.run(Span::millis(1));
        assert!(!w.answers(A), "{}", w.log());
    }
    w.run(Span::secs(40));
    w.only(A);
}

#[test]
fn an_address_deleted_by_a_foreign_hand_is_put_back() {
    let mut w = Bench::settled();
    w.delete_address(A);
    w.run(Span::millis(10));
    w.only(A);
}

#[test]
fn a_gate_flushed_by_a_foreign_hand_is_made_again() {
    let mut w = Bench::settled();
    w.flush(A);
    w.run(Span::millis(10));
    w.only(A);
    assert!(w.gate_left(A).is_some(), "{}", w.log());
    w.kill(A);
    w.run(Span::secs(5));
    w.only(B);
}

#[test]
fn a_daemon_that_comes_back_within_its_lease_keeps_the_address_and_leaves_it_nearly_the_whole_lease() {
    for phase in 0..50 {
        let mut w = Bench::settled();
        w.run(Span::millis(phase));
        let since = w.now();
        w.command(A, Command::ComeBack);
        while !w.is_gone(A) {
            w.run(Span::micros(100));
        }
        assert!(w.now().since(since) < Span::millis(5), "left after {}\n{}", w.now().since(since), w.log());
        let left = w.gate_left(A).unwrap();
        assert!(left + fast().lease / 16 + Span::millis(5) >= fast().lease, "{left} are left\n{}", w.log());
        w.run(Span::millis(120));
        w.start(A);
        w.run(Span::secs(10));
        w.steady_since(since, A);
    }
}

#[test]
fn a_killed_daemon_that_is_started_again_within_its_lease_keeps_the_address() {
    for phase in 0..50 {
        let mut w = Bench::settled();
        w.run(Span::millis(phase));
        let since = w.now();
        w.kill(A);
        w.run(Span::millis(90));
        w.start(A);
        w.run(Span::secs(10));
        w.steady_since(since, A);
    }
}

#[test]
fn a_daemon_that_comes_back_too_late_serves_again_only_by_agreement() {
    for down in [160, 300, 499, 550, 2000] {
        let mut w = Bench::settled();
        w.command(A, Command::ComeBack);
        w.run(Span::millis(down));
        w.start(A);
        w.run(Span::millis(20));
        assert!(!w.answers(A), "after {down} ms\n{}", w.log());
        w.run(Span::secs(40));
        w.only(A);
    }
}

#[test]
fn a_daemon_without_any_evidence_left_comes_back_without_waiting_for_it() {
    let mut w = Bench::settled();
    w.isolate(A, true);
    let since = w.now();
    w.command(A, Command::ComeBack);
    while !w.is_gone(A) {
        w.run(Span::millis(1));
    }
    assert!(w.now().since(since) <= fast().delivery + Span::millis(2), "{}\n{}", w.now().since(since), w.log());
    w.start(A);
    w.run(Span::secs(5));
    w.only(B);
}

#[test]
fn a_daemon_that_is_being_stopped_does_not_come_back() {
    let mut w = Bench::settled();
    w.command(A, Command::Shutdown);
    w.command(A, Command::ComeBack);
    w.run(Span::secs(10));
    w.only(B);
    assert!(w.replies(A).iter().any(|(kind, text)| *kind == Said::Refused && text.contains("being stopped")), "{}", w.log());
}

#[test]
fn a_standby_that_comes_back_moves_nothing() {
    let mut w = Bench::settled();
    let since = w.now();
    for down in [5, 100, 400] {
        w.command(B, Command::ComeBack);
        w.run(Span::millis(down));
        assert!(w.is_gone(B), "{}", w.log());
        w.start(B);
        w.run(Span::secs(3));
    }
    w.steady_since(since, A);
}

#[test]
fn an_address_that_went_while_no_daemon_ran_is_put_back_under_the_open_gate() {
    let mut w = Bench::settled();
    w.kill(A);
    w.delete_address(A);
    w.run(Span::millis(50));
    w.start(A);
    w.run(Span::millis(2));
    w.only(A);
    w.run(Span::secs(10));
    w.only(A);
}

#[test]
fn a_challenger_that_is_told_off_through_the_table_asks_ever_more_seldom() {
    let mut w = Bench::settled();
    let since = w.now();
    w.cut_all(true);
    w.run(Span::secs(60));
    w.steady_since(since, A);
    let asked = w.log().matches("asks again in").count();
    assert!((3..=12).contains(&asked), "{asked} challenges in a minute\n{}", w.log());
    assert!(w.log().matches("a is heard again").count() <= asked, "{}", w.log());
}

/// The second address is on the cable's interface.
#[test]
fn a_node_without_the_interface_of_an_address_is_given_nothing_and_serves_what_it_can_when_it_is_alone() {
    let mut w = Bench::dark(Failback::Auto);
    w.set_missing(A, true);
    w.start(A);
    w.start(B);
    w.run(Span::secs(60));
    // A is preferred, and not fit: B serves, and nothing went back and forth.
    w.only(B);
    assert_eq!(w.moves(), 1, "{}", w.log());
    let problems = sentence::joined(&w.view(A).groups[0].takeover_ready.reasons);
    assert!(
        problems.contains("the interface of link cable is missing on master1, so 10.1.1.40/24 cannot be served there"),
        "{problems}"
    );
    w.power_off(B);
    let took = w.until_serves(A, Span::secs(5));
    assert!(took <= bound(), "{took}\n{}", w.log());
    assert!(w.view(A).problems.iter().any(|p| p.text.starts_with("web: the interface of link cable is missing")));
    // It gives the group to the whole node, and takes it back when it is whole itself.
    w.start(B);
    w.run(Span::secs(30));
    w.only(B);
    w.set_missing(A, false);
    w.run(Span::secs(30));
    w.only(A);
}

#[test]
fn an_interface_that_is_made_anew_moves_nothing_and_one_that_stays_away_moves_the_group() {
    let mut w = Bench::settled();
    w.set_missing(A, true);
    w.run(fast().dead / 2);
    w.set_missing(A, false);
    w.run(Span::secs(5));
    assert_eq!(w.moves(), 1, "{}", w.log());
    w.set_missing(A, true);
    w.run(Span::secs(5));
    w.only(B);
}

#[test]
fn an_address_whose_interface_comes_back_is_asked_for_before_it_is_added() {
    let mut w = Bench::settled();
    // Its machine stays on: without it the cable has no carrier, and nothing is asked there.
    w.kill(B);
    w.run(Span::secs(5));
    w.set_missing(A, true);
    w.run(Span::secs(20));
    let adds = w.adds(A);
    w.set_missing(A, false);
    // The sockets on it are made, and the first question is out.
    w.run(Span::millis(1010));
    w.stranger_answers(A);
    w.run(Span::secs(4));
    assert!(w.log().contains("not added: "), "{}", w.log());
    assert_eq!(w.adds(A), adds, "{}", w.log());
    // Asked again, and nobody answers any more.
    w.run(Span::secs(3));
    assert_eq!(w.adds(A), adds + 1, "{}", w.log());
    w.only(A);
}

#[test]
fn two_nodes_without_the_interface_serve_what_they_can() {
    let mut w = Bench::dark(Failback::Auto);
    w.set_missing(A, true);
    w.set_missing(B, true);
    w.start(A);
    w.start(B);
    w.run(Span::secs(20));
    w.only(A);
    assert_eq!(w.moves(), 1, "{}", w.log());
}

/// The old owner's entry for the old guard VIP stands as long as it likes: it says nothing of the gateway.
#[test]
fn a_gateway_is_not_struck_off_for_the_entry_of_a_guard_vip_that_the_owners_file_no_longer_names() {
    let mut w = Bench::settled();
    w.edit(B);
    w.kill(B);
    w.start(B);
    w.run(Span::secs(2));
    w.command(A, standby());
    w.run(Span::secs(30));
    w.only(B);
    assert!(!w.log().contains("answers to the sender"), "{}", w.log());
    w.edit(A);
    w.kill(A);
    w.start(A);
    w.run(Span::secs(30));
    w.power_off(B);
    let took = w.until_serves(A, Span::secs(5));
    assert!(took <= bound(), "{took}\n{}", w.log());
}

/// Each time before the witness counts as reachable again: five losses all the same, and 2^5 times as long before the failback.
#[test]
fn a_cable_that_flaps_faster_than_the_witness_comes_back_makes_the_failback_wait_for_each_flap() {
    let mut w = Bench::settled();
    for _ in 0..5 {
        w.set_carrier(A, false);
        w.run(Span::millis(100));
        w.set_carrier(A, true);
        w.run(Span::millis(4));
    }
    w.run(Span::secs(12));
    w.only(B);
    w.run(Span::secs(10));
    w.only(A);
}

#[test]
fn an_address_whose_refresh_came_too_late_is_put_back_at_once() {
    let mut w = Bench::settled();
    w.refresh_late(A);
    w.until_silent(A, Span::secs(5));
    let took = w.until_serves(A, Span::secs(2));
    assert!(took <= Span::millis(2), "{took}\n{}", w.log());
    w.run(Span::secs(5));
    w.only(A);
    assert_eq!(w.moves(), 1, "{}", w.log());
}
