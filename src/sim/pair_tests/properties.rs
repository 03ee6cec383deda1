//! What holds for every pattern of faults.

use proptest::prelude::*;

use super::bench::{A, B, Bench, fast};
use twinbeat_core::io::{Command, Input, Output};
use twinbeat_core::node::Node;
use twinbeat_core::time::{Mono, Span};

#[derive(Clone, Copy, Debug)]
enum Fault {
    Cut(usize, usize, bool),
    GatewayCut(usize, bool),
    Gateway(bool),
    Carrier(usize, bool),
    Kill(usize),
    PowerOff(usize),
    Start(usize),
    Hang(usize),
    Wake(usize),
    Standby(usize),
    Takeover(usize),
    Resume(usize),
    Flush(usize),
    DeleteAddress(usize),
}

fn fault() -> impl Strategy<Value = Fault> {
    let node = 0..2_usize;
    prop_oneof![
        4 => (0..2_usize, node.clone(), any::<bool>()).prop_map(|(l, n, on)| Fault::Cut(l, n, on)),
        2 => (node.clone(), any::<bool>()).prop_map(|(n, on)| Fault::GatewayCut(n, on)),
        1 => any::<bool>().prop_map(Fault::Gateway),
        1 => (node.clone(), any::<bool>()).prop_map(|(n, up)| Fault::Carrier(n, up)),
        1 => node.clone().prop_map(Fault::Kill),
        1 => node.clone().prop_map(Fault::PowerOff),
        3 => node.clone().prop_map(Fault::Start),
        2 => node.clone().prop_map(Fault::Hang),
        3 => node.clone().prop_map(Fault::Wake),
        1 => node.clone().prop_map(Fault::Standby),
        1 => node.clone().prop_map(Fault::Takeover),
        1 => node.clone().prop_map(Fault::Resume),
        1 => node.clone().prop_map(Fault::Flush),
        1 => node.prop_map(Fault::DeleteAddress),
    ]
}

fn apply(w: &mut Bench, f: Fault) {
    match f {
        Fault::Cut(link, from, on) => w.cut(link, from, on),
        Fault::GatewayCut(n, on) => w.cut_gateway(n, on),
        Fault::Gateway(up) => w.gateway(up),
        Fault::Carrier(n, up) => w.set_carrier(n, up),
        Fault::Kill(n) => w.kill(n),
        Fault::PowerOff(n) => w.power_off(n),
        Fault::Start(n) if w.is_gone(n) => w.start(n),
        Fault::Start(_) => {}
        Fault::Hang(n) => w.hang(n),
        Fault::Wake(n) => w.wake(n),
        Fault::Standby(n) => w.command(n, Command::Standby { group: None, lasting: Some(Span::secs(1)), reason: None }),
        Fault::Takeover(n) => w.command(n, Command::Takeover { group: None }),
        Fault::Resume(n) => w.command(n, Command::Resume),
        // Beside a daemon that hangs or is gone nobody makes the gate again: SAFETY's limit (e), and `limit-flush`.
        Fault::Flush(n) if w.tends(n) => w.flush(n),
        Fault::Flush(_) => {}
        Fault::DeleteAddress(n) => w.delete_address(n),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn lost_heartbeats_shorter_than_dead_move_nothing_while_the_witness_answers(
        losses in prop::collection::vec((1_u64..500, 1_u64..700, any::<[bool; 4]>()), 1..20),
    ) {
        let mut w = Bench::settled();
        let since = w.now();
        for (lost, between, which) in losses {
            for (way, on) in which.into_iter().enumerate() {
                w.cut(way / 2, way % 2, on);
            }
            w.run(Span::millis(lost));
            w.cut_all(false);
            w.run(Span::millis(between));
        }
        w.steady_since(since, A);
    }

    #[test]
    fn no_sequence_of_faults_makes_two_owners_and_when_all_is_well_again_one_serves(
        faults in prop::collection::vec((1_u64..2500, fault()), 10..25),
    ) {
        let mut w = Bench::settled();
        for (wait, f) in faults {
            apply(&mut w, f);
            w.run(Span::millis(wait));
            w.never_two();
        }
        w.heal();
        w.run(fast().init_dead * 3 + Span::secs(10));
        w.never_two();
        prop_assert!(w.answers(A) ^ w.answers(B), "{}", w.log());
    }

    #[test]
    fn an_early_tick_orders_nothing(steps in prop::collection::vec((1_u64..400, 0..2_usize, 1_u64..1000), 1..40)) {
        let mut w = Bench::settled();
        for (wait, i, part) in steps {
            w.run(Span::millis(wait));
            let (now, Some(due)) = w.clock(i) else { continue };
            if due <= now {
                continue;
            }
            let at = Mono(now.0 + (due.0 - now.0) * part / 1001);
            // The world's own clock follows, so that nothing seems to come from the past.
            let out = w.early_tick(i, at);
            prop_assert!(out.is_empty(), "at {at:?}, due {due:?}: {:?}", out.iter().map(kind).collect::<Vec<_>>());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() })]

    /// Of a copy that is stepped up to its deadline and one that rests: the first says nothing before, and both the same then, word for word.
    #[test]
    fn steps_up_to_a_deadline_order_nothing_and_miss_nothing(
        alone in any::<bool>(),
        faults in prop::collection::vec((1_u64..400, fault(), 1_u64..60), 3..10),
    ) {
        let mut w = Bench::settled();
        if alone {
            w.isolate(A, true);
        }
        for (wait, f, steps) in faults {
            for _ in 0..wait / 3 {
                w.run(Span::millis(3));
                for i in [A, B] {
                    let (now, Some(due)) = w.clock(i) else { continue };
                    let (Some(mut rests), Some(mut stepped)) = (w.copy(i), w.copy(i)) else { continue };
                    let why = rests.next_timer();
                    let step = Span(due.since(now).0 / steps).max(Span::micros(50)).min(Span::millis(1));
                    let mut at = now + step;
                    while at < due {
                        let out = said(&mut stepped, at);
                        prop_assert!(out.is_empty(), "at {at:?}, due {why:?}: {out:?}");
                        at = at + step;
                    }
                    prop_assert_eq!(said(&mut rests, due), said(&mut stepped, due), "due {:?}", why);
                }
            }
            apply(&mut w, f);
        }
    }
}

/// Gives one tick; all that comes of it.
fn said(node: &mut Node, at: Mono) -> Vec<Output> {
    node.handle(at, Input::Tick);
    std::iter::from_fn(|| node.poll()).collect()
}

fn kind(output: &Output) -> String {
    format!("{output:?}").chars().take(60).collect()
}
