//! Every scenario of `scenarios/` in virtual time: what its file expects holds, never two nodes answer, and it goes as its golden trace says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use twinbeat::sim::files::Files;
use twinbeat::sim::golden::{Judged, judge, scenarios};
use twinbeat::sim::schema;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

#[test]
fn every_scenario_holds_and_goes_as_its_golden_trace_says() {
    let stories = scenarios(&folder()).unwrap();
    assert!(stories.len() >= 60, "the scenarios are there");
    let mut all = Vec::new();
    for path in &stories {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        match judge(path, &Files) {
            Ok(Judged::Played(played)) => {
                all.extend(played.wrong(&path.with_extension("trace")).iter().map(|w| format!("{name}: {w}")))
            }
            Ok(Judged::NotHere(why)) => all.push(format!("{name}: {why}: it does not belong here yet")),
            Err(wrong) => all.push(wrong),
        }
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn no_golden_trace_is_left_without_its_scenario() {
    let traces = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    for trace in traces.filter(|path| path.extension().is_some_and(|end| end == "trace")) {
        assert!(trace.with_extension("json").exists(), "{}", trace.display());
    }
}

#[test]
fn the_published_schema_is_the_one_that_the_code_goes_by() {
    let published = std::fs::read_to_string(folder().join("scenario.schema.json")).unwrap();
    assert!(published == schema::text(), "write it anew: twinbeat replay --schema > scenarios/scenario.schema.json");
}
