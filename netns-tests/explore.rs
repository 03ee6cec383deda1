//! What CI explores: a fixed set of seeds, a fresh one, one with real signatures, and the model check.
//!
//! Worth its time only with optimisation: `cargo test --release --test explore -- --nocapture`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Mutex;
use std::time::Duration;

use twinbeat::sim::check::Promise;
use twinbeat::sim::explore::{Plan, Progress, explore, shrink};
use twinbeat::sim::machine::real;
use twinbeat::sim::model::{self, search::Scope, search::search};

/// Each of these takes all cores: one after the other.
static ONE: Mutex<()> = Mutex::new(());

fn explored(plan: &Plan) -> Progress {
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (findings, progress) = explore(plan, real, &|_| {});
    println!(
        "seeds {}..: {} runs, {} faults and mendings, {:.1} h simulated, {:.0} times real time per core",
        plan.from,
        progress.runs,
        progress.steps,
        progress.simulated.0 as f64 / 3.6e12,
        progress.ratio()
    );
    if let Some(finding) = findings.first() {
        let small = shrink(finding, plan, real);
        let text = serde_json::to_string_pretty(&small.scenario).unwrap();
        panic!("seed {}: {:?}: {}\n{text}", finding.seed, finding.violation.promise, finding.violation.text);
    }
    progress
}

#[test]
#[cfg_attr(debug_assertions, ignore = "cargo test --release --test explore")]
fn a_fixed_set_of_seeds_breaks_no_promise() {
    assert_eq!(explored(&Plan::seeds(0, 2500)).runs, 2500);
}

/// A gate must not depend on the dice for what is known to be open (docs/SCENARIOS.md, "Found, and open"): two owners fail here on
/// any seed; what else breaks is printed with its seed, to be made small, understood and mended.
#[test]
#[cfg_attr(debug_assertions, ignore = "cargo test --release --test explore")]
fn a_fresh_set_of_seeds_never_shows_two_owners() {
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).unwrap();
    let from = (u64::from(u32::from_le_bytes(bytes)) + 1) * 1_000_000;
    println!("fresh: twinbeat explore --seeds {from}..{}", from + 1_000_000);
    let style = twinbeat::sim::schedule::Style::Both;
    let plan = Plan { style, time: Some(Duration::from_secs(60)), findings: usize::MAX, ..Plan::seeds(from, from + 1_000_000) };
    let (findings, progress) = explore(&plan, real, &|_| {});
    println!("{} runs, {:.1} h simulated, {} findings", progress.runs, progress.simulated.0 as f64 / 3.6e12, findings.len());
    for finding in &findings {
        println!("seed {}: {:?}: {}", finding.seed, finding.violation.promise, finding.violation.text);
    }
    assert!(progress.runs > 0);
    assert!(findings.iter().all(|finding| finding.violation.promise != Promise::OneOwner), "two owners");
}

#[test]
#[cfg_attr(debug_assertions, ignore = "cargo test --release --test explore")]
fn no_promise_breaks_with_real_signatures_either() {
    let plan = Plan { real_signatures: true, time: Some(Duration::from_secs(15)), ..Plan::seeds(500_000, 600_000) };
    assert!(explored(&plan).runs > 0);
}

#[test]
#[cfg_attr(debug_assertions, ignore = "cargo test --release --test explore")]
fn the_model_check_finds_nothing_wrong() {
    let _one = ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for scope in [model::handover(2), model::silence(1), model::all(1)] {
        let scope = Scope { time: Some(Duration::from_secs(20)), ..scope };
        let coverage = search(&scope);
        println!(
            "{}: {} states, {} moves, depth {}, whole: {}, {:.1} s",
            scope.name,
            coverage.states,
            coverage.moves,
            coverage.depth,
            coverage.whole,
            coverage.took.as_secs_f64()
        );
        assert_eq!(coverage.wrong, None);
        assert!(coverage.states > 1_000);
    }
}
