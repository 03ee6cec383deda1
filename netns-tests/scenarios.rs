//! Every scenario of `scenarios/` in virtual time: what its file expects holds, never two nodes answer, and it goes as its golden trace says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use serde_json::Value;
use twinbeat::sim::expect;
use twinbeat::sim::files::Files;
use twinbeat::sim::golden::{Judged, judge, scenarios};
use twinbeat::sim::schema;
use twinbeat::sim::step::{self, Dur};

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

#[test]
fn every_scenario_is_valid_by_the_published_schema() {
    let schema = schema::schema();
    for path in scenarios(&folder()).unwrap() {
        let story: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        valid(&schema, &schema, &story).unwrap_or_else(|wrong| panic!("{}: {wrong}", path.display()));
        let mut odd = story.clone();
        odd["timeline"][0]["colour"] = Value::from("red");
        assert!(valid(&schema, &schema, &odd).is_err(), "a step of an unknown name is refused");
    }
}

/// The part of JSON Schema that the published one uses; a keyword that is not among it is a failure of this test.
fn valid(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    for (keyword, means) in schema.as_object().unwrap() {
        let good = match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" | "properties" => true,
            "$ref" => {
                valid(root, root.pointer(means.as_str().unwrap().trim_start_matches('#')).unwrap(), value)?;
                true
            }
            "anyOf" => means.as_array().unwrap().iter().any(|one| valid(root, one, value).is_ok()),
            "type" => match means.as_str().unwrap() {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "integer" => value.is_u64(),
                "number" => value.is_number(),
                other => panic!("type {other}"),
            },
            "required" => means.as_array().unwrap().iter().all(|name| value.get(name.as_str().unwrap()).is_some()),
            "minProperties" => value.as_object().is_none_or(|o| o.len() as u64 >= means.as_u64().unwrap()),
            "maxProperties" => value.as_object().is_none_or(|o| o.len() as u64 <= means.as_u64().unwrap()),
            "minimum" => value.as_f64().is_none_or(|n| n >= means.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|n| n <= means.as_f64().unwrap()),
            "enum" => means.as_array().unwrap().contains(value),
            "const" => means == value,
            // The only pattern is that of a length of time.
            "pattern" => value.as_str().is_none_or(|text| Dur::parse(text).is_ok()),
            "items" => {
                value.as_array().into_iter().flatten().try_for_each(|item| valid(root, means, item))?;
                true
            }
            "additionalProperties" => {
                let known = schema.get("properties").and_then(Value::as_object);
                for (name, value) in value.as_object().into_iter().flatten() {
                    match (known.and_then(|known| known.get(name)), means) {
                        (Some(one), _) | (None, one @ Value::Object(_)) => valid(root, one, value)?,
                        (None, _) => return Err(format!("unknown {name:?}")),
                    }
                }
                true
            }
            other => panic!("the schema uses {other:?}, which this test does not know"),
        };
        if !good {
            return Err(format!("{keyword} {means} does not hold for {value}"));
        }
    }
    Ok(())
}

#[test]
fn the_manual_names_every_scenario_step_and_expectation() {
    let manual = std::fs::read_to_string(folder().join("../docs/SCENARIOS.md")).unwrap();
    let stories = scenarios(&folder()).unwrap();
    let stories = stories.iter().map(|path| path.file_stem().unwrap().to_string_lossy().into_owned());
    let steps = step::TABLE.iter().chain(expect::TABLE).map(|(name, ..)| name.to_string());
    let missing: Vec<String> = stories.chain(steps).filter(|name| !manual.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "not in docs/SCENARIOS.md: {missing:?}");
}
