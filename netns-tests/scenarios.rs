//! Every scenario of `scenarios/` in virtual time: what its file expects holds, never two nodes answer, and it goes as its golden trace says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "common/schema.rs"]
mod json_schema;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;
use twinbeat::sim::expect;
use twinbeat::sim::files::Files;
use twinbeat::sim::golden::{Judged, judge, scenarios};
use twinbeat::sim::machine::real;
use twinbeat::sim::schema;
use twinbeat::sim::script::Story;
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
                let golden = path.with_extension("trace");
                all.extend(played.wrong(&golden).iter().map(|w| format!("{name}: {w}")));
                if !golden.exists() {
                    all.push(format!("{name}: no golden trace; twinbeat replay --bless writes it"));
                }
            }
            Ok(Judged::NotHere(why)) => all.push(format!("{name}: {why}: it does not belong here yet")),
            Err(wrong) => all.push(wrong),
        }
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn no_golden_trace_is_left_without_its_scenario() {
    let kinds = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let files = kinds.flat_map(|kind| std::fs::read_dir(kind).unwrap().map(|entry| entry.unwrap().path()));
    let traces: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "trace")).collect();
    assert!(traces.len() >= 60, "the traces are there");
    for trace in traces {
        assert!(trace.with_extension("json").exists(), "{}", trace.display());
    }
}

/// Documents, tests and drills call a scenario by its file's name alone.
#[test]
fn each_scenario_lies_in_the_folder_of_its_kind_and_no_two_have_one_name() {
    let mut names = BTreeSet::new();
    for path in scenarios(&folder()).unwrap() {
        assert_eq!(path.parent().unwrap().parent().unwrap(), folder(), "{}: scenarios/KIND/NAME.json", path.display());
        assert!(names.insert(path.file_name().unwrap().to_owned()), "{}: a second one of this name", path.display());
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

/// Whether the schema of scenarios, or a part of it, takes a value.
fn valid(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    json_schema::valid(root, schema, value, false, |text| Dur::parse(text).is_ok())
}

/// Values of every sort; which of them a parameter takes is what schema and reader must agree on.
fn values() -> Vec<Value> {
    let text = r#"["master1", "lan", "web", "gateway", "heartbeats", "ok", "2s", "1500ms", "1.5s", "2", "", "s", "pairs/recipe.toml", 0, 1, 2, 7, -1, 1.5,
        100, 101, 1000, 1001, 10000, 10001, 4294967295, 4294967296, true, false, null, [], ["master1"], ["master1", 2], [1], {}, {"master1": "2s"},
        {"for": "1s", "from": "0s", "to": "2s"}, {"node": "master1", "does": "leaves"}, {"node": "master1", "does": "says"},
        {"node": "master1", "does": "says", "text": "x"}, {"node": "master1", "does": "leaves", "text": "x"}, {"node": "master1", "does": "sleeps"}]"#;
    serde_json::from_str(text).unwrap()
}

/// Names that a reader knows and a schema cannot: whether they fit the pair is not what is compared.
const NAMES: &[&str] = &["node", "link", "group", "from", "to", "config", "witness", "NODES"];

/// A story, with this entry among others that make sense of it, and this expectation.
fn story_with(entry: Option<Value>, expect: Option<Value>) -> Value {
    let mut timeline = serde_json::from_str::<Vec<Value>>(
        r#"[{"at": "0s", "start": ["master1", "master2"]}, {"at": "0s", "hang": "master1"}, {"at": "0s", "pause": "master1"},
            {"at": "0s", "unplug": {"node": "master1", "link": "lan"}}, {"at": "0s", "interface_gone": {"node": "master1", "link": "lan"}}, {"at": "0s", "gateway_down": {}}]"#,
    )
    .unwrap();
    timeline.extend(entry);
    let expect: Vec<Value> = expect.into_iter().collect();
    serde_json::json!({"title": "t", "config": "pairs/recipe.toml", "until": "20s", "timeline": timeline, "expect": expect})
}

/// A value that the parameter takes.
fn good(name: &str, of: &str) -> Value {
    match (name, of) {
        ("node" | "NODES", _) => "master1".into(),
        ("link", _) => "lan".into(),
        ("group", _) => "web".into(),
        ("from", "expect") => "1s".into(),
        ("to", "expect") => "9s".into(),
        ("from" | "to", _) => "master1".into(),
        ("config", _) => "pairs/recipe.toml".into(),
        ("only", _) => "heartbeats".into(),
        ("state", _) => "ok".into(),
        ("client", _) => "lan".into(),
        ("text" | "reason" | "because", _) => "x".into(),
        ("on" | "relay" | "ready" | "running", _) => true.into(),
        ("percent" | "burst" | "per_second" | "count" | "rate" | "exactly" | "at_least" | "witness", _) => 1.into(),
        _ => "2s".into(),
    }
}

#[test]
fn what_the_schema_takes_the_reader_takes_and_nothing_else_whatever_stands_in_any_parameter() {
    let schema = schema::schema();
    let (mut tried, mut wrong) = (0, Vec::new());
    let mut compare = |story: &Value, what: String| {
        let text = serde_json::to_string(story).unwrap();
        let read = Story::read(&text, "a.json", &folder(), &Files);
        let by_schema = valid(&schema, &schema, story);
        tried += 1;
        if read.is_ok() != by_schema.is_ok() {
            wrong.push(format!("{what}: reader {:?}, schema {by_schema:?}", read.as_ref().err()));
        }
        // Nor does anybody who wrote a file read names of types.
        let said = read.err().unwrap_or_default();
        for odd in [
            "struct",
            "enum ",
            "variant",
            "u32",
            "u64",
            "usize",
            "f64",
            "Option",
            "::",
            "newtype",
            "expected a sequence",
            "a map",
        ] {
            assert!(!said.contains(odd), "{what}: {said}");
        }
    };
    let steps = step::TABLE.iter().map(|row| (row, false));
    for ((name, takes, _), expectation) in steps.chain(expect::TABLE.iter().map(|row| (row, true))) {
        let of = if expectation { "expect" } else { name };
        let names: Vec<&str> = takes.split_whitespace().map(|name| name.trim_end_matches('?')).collect();
        let needs = |param: &str| takes.split_whitespace().any(|known| known == param);
        let wrap = |value: Value| match expectation {
            true => story_with(None, Some(serde_json::json!({ *name: value }))),
            false => story_with(Some(serde_json::json!({"at": "1s", *name: value})), None),
        };
        if *takes == "NODES" {
            for value in values() {
                // Whether a name fits the pair is not what is compared.
                let odd = |v: &Value| v.as_str().is_some_and(|text| text != "master1");
                if !odd(&value) {
                    compare(&wrap(value.clone()), format!("{name} = {value}"));
                }
            }
            continue;
        }
        let mut all: serde_json::Map<String, Value> =
            names.iter().filter(|param| needs(param)).map(|param| (param.to_string(), good(param, of))).collect();
        if ["moves", "says_times", "epoch"].contains(name) {
            all.insert("exactly".into(), 1.into()); // one of the counts is needed, which the schema leaves to the reader
        }
        if *name == "moves" || *name == "says_times" || *name == "epoch" {
            all.insert("at_most".into(), 1.into());
        }
        compare(&wrap(Value::Object(all.clone())), format!("{name}, plain"));
        for param in &names {
            let mut less = all.clone();
            if less.remove(*param).is_some() && needs(param) {
                compare(&wrap(Value::Object(less)), format!("{name} without {param}"));
            }
            for value in values() {
                let mut other = all.clone();
                let named = NAMES.contains(param) && !(expectation && ["from", "to"].contains(param));
                // Numbers of witnesses and orders of times are the pair's and the story's.
                let relation = (named && (value.is_string() || *param == "witness"))
                    || (["from", "to"].contains(param) && expectation && value.is_string());
                other.insert(param.to_string(), value.clone());
                if !relation {
                    compare(&wrap(Value::Object(other)), format!("{name}.{param} = {value}"));
                }
            }
        }
        for value in values() {
            if !value.as_object().is_some_and(serde_json::Map::is_empty) {
                compare(&wrap(value.clone()), format!("{name} = {value}"));
            }
        }
    }
    for time in ["at", "when", "after", "within"] {
        for value in values() {
            for beside in
                [None, Some(("at", Value::from("1s"))), Some(("when", serde_json::json!({"node": "master1", "does": "leaves"})))]
            {
                let mut entry = serde_json::json!({"restart": {"node": "master1"}});
                beside.iter().for_each(|(name, value)| entry[*name] = value.clone());
                entry[time] = value.clone();
                compare(&story_with(Some(entry), None), format!("{time} = {value} beside {beside:?}"));
            }
        }
    }
    for key in ["$schema", "title", "about", "seed", "until", "allow", "expect"] {
        for value in values() {
            let mut story = story_with(None, None);
            story[key] = value.clone();
            compare(&story, format!("{key} = {value}"));
        }
    }
    for key in ["two_owners", "limits", "nobody"] {
        for value in values() {
            let mut story = story_with(None, None);
            story["allow"] = serde_json::json!({ key: value });
            compare(&story, format!("allow.{key} = {value}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(tried > 5_000, "{tried}");
}

#[test]
fn the_manual_names_every_scenario_step_and_expectation() {
    let manual = std::fs::read_to_string(folder().join("../docs/SCENARIOS.md")).unwrap();
    let stories = scenarios(&folder()).unwrap();
    let stories = stories.iter().map(|path| {
        let inside = path.strip_prefix(folder()).unwrap().display();
        format!("[`{}`](../scenarios/{inside})", path.file_stem().unwrap().to_string_lossy())
    });
    let steps = step::TABLE.iter().chain(expect::TABLE).map(|(name, ..)| format!("`{name}`"));
    let missing: Vec<String> = stories.chain(steps).filter(|words| !manual.contains(words)).collect();
    assert!(missing.is_empty(), "not in docs/SCENARIOS.md: {missing:?}");
}

/// Owners ask for an answer with each heartbeat: where each node owns a group that must not go on for ever between them.
#[test]
fn a_pair_in_which_each_node_owns_a_group_sends_hardly_more_than_one_with_a_single_owner() {
    let pair = folder().join("pairs/fast-mail.toml");
    let events = |steps: &str| {
        let text = format!(
            r#"{{"title": "t", "config": "{}", "timeline": [{{"at": "0s", "start": ["master1", "master2"]}}{steps}], "until": "60s"}}"#,
            pair.display()
        );
        let story = Story::read(&text, "t.json", &folder(), &Files).unwrap();
        story.run(real, false).events
    };
    let (one, both) = (events(""), events(r#", {"at": "8s", "takeover": {"node": "master2", "group": "mail"}}"#));
    assert!(both < one * 3 / 2, "{one} events with one owner, {both} with two");
}
