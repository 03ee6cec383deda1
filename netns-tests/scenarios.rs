//! Every scenario of `scenarios/` in virtual time: what its file expects holds, and never two nodes answer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;

use twinbeat::cli::replay::play;
use twinbeat::sim::pair::Builtin;

#[test]
fn every_scenario_holds_in_virtual_time() {
    let mut stories: Vec<_> = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .collect();
    stories.sort();
    assert!(stories.len() >= 30, "the scenarios are there");
    for path in stories {
        let (_, outcome) = play(&path, &Builtin).unwrap();
        let violations: Vec<_> = outcome.violations.iter().map(|v| &v.text).collect();
        assert!(
            outcome.failures.is_empty() && violations.is_empty(),
            "{}: {:?} {violations:?}",
            path.display(),
            outcome.failures
        );
    }
}
