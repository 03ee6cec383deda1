#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::shown::json;
use twinbeat_core::view::View;
use twinbeat_core::words::{FoundState, ServiceState};

#[path = "../../netns-tests/common/schema.rs"]
mod json_schema;

const DOCUMENT: &str = include_str!("../../docs/OPERATIONS.md");

fn takes(part: &str, field: &str, value: Value) -> bool {
    let schema = schema();
    let one = &schema["$defs"][part]["properties"][field];
    json_schema::valid(&schema, one, &value, true, |_| false).is_ok()
}

#[test]
fn the_published_schema_is_the_one_that_the_program_prints() {
    assert!(
        include_str!("../../docs/status.schema.json") == text(),
        "write it anew: twinbeat status --schema > docs/status.schema.json"
    );
}

#[test]
fn every_field_has_a_description_and_stands_in_the_document() {
    for (name, part) in schema()["$defs"].as_object().unwrap() {
        assert!(part["description"].as_str().is_some_and(|text| text.len() > 10), "{name}");
        for (field, value) in part["properties"].as_object().unwrap() {
            assert!(value["description"].as_str().is_some_and(|text| text.len() > 2 && text.ends_with('.')), "{name}.{field}");
            assert!(DOCUMENT.contains(&format!("`{field}`")), "{name}.{field} is not in docs/OPERATIONS.md");
        }
    }
}

#[test]
fn every_word_of_a_service_is_taken_and_no_other_one() {
    let why = || "nginx: exit 1: see its log".to_owned();
    for state in [
        ServiceState::None,
        ServiceState::Stopped,
        ServiceState::Warm,
        ServiceState::Starting,
        ServiceState::Running,
        ServiceState::Stopping,
        ServiceState::Failed(why()),
        ServiceState::DoesNotStop(why()),
        ServiceState::ByAnotherHand(why()),
    ] {
        assert!(takes("group", "service", json!(state)), "{state}");
    }
    for state in [FoundState::Running, FoundState::Stopped, FoundState::Unknown(why())] {
        assert!(takes("service", "state", json!(state)), "{state}");
    }
    for odd in [json!("failed"), json!("up"), json!("failed:x"), json!(null), json!(1)] {
        assert!(!takes("group", "service", odd.clone()) && !takes("service", "state", odd.clone()), "{odd}");
    }
    assert!(takes("link", "peer_state", json!(null)) && !takes("link", "peer_state", json!("fine")));
}

#[test]
fn what_json_prints_is_valid_and_what_is_missing_or_more_is_not() {
    let view: View = serde_json::from_value(json!({
        "node": "a", "peer": "b", "cluster": "web", "digest": "00", "up_ms": 1, "groups": [], "links": [],
        "witness": { "reachable": true, "peer_reachable": null, "targets": [] }, "peer_state": "never heard", "mismatch": null,
        "gate": "inet", "problems": [], "notices": [],
    }))
    .unwrap();
    let schema = schema();
    let good: Value = serde_json::from_str(&json(&view)).unwrap();
    json_schema::status(&schema, &good).unwrap();
    json_schema::status(&schema, &json!({ "health": "unreachable", "error": "no daemon" })).unwrap();
    for field in good.as_object().unwrap().keys() {
        let mut less = good.clone();
        less.as_object_mut().unwrap().remove(field);
        assert!(json_schema::status(&schema, &less).is_err(), "{field} may be missing");
    }
    let mut more = good.clone();
    more["colour"] = json!("red");
    assert!(json_schema::status(&schema, &more).is_err());
    // The published one leaves room for later versions.
    json_schema::valid(&schema, &schema, &more, false, |_| false).unwrap();
}
