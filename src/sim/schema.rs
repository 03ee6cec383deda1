//! The JSON schema of scenarios, for editors: made from the same tables that the reader goes by.

use serde_json::{Map, Value, json};

use super::cue::Does;
use super::expect::{self, link_states};
use super::step;
use twinbeat_config::duration::PATTERN;

/// The schema (JSON Schema, draft 2020-12).
pub fn schema() -> Value {
    let steps: Vec<Value> = step::TABLE.iter().map(|(name, takes, doc)| entry(name, takes, doc)).collect();
    let expects: Vec<Value> =
        expect::TABLE.iter().map(|(name, takes, doc)| only(name, parameters(takes, Some(name)), doc.trim())).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A twinbeat scenario",
        "description": "A story about a pair: what happens when, and what must hold. See docs/SCENARIOS.md.",
        "type": "object",
        "additionalProperties": false,
        "required": ["title", "config", "timeline", "until"],
        "properties": {
            "$schema": { "type": "string" },
            "title": { "type": "string", "description": "One line: what happens." },
            "about": { "type": "string", "description": "The story, for a person." },
            "config": {
                "description": "The configuration file, relative to the scenario's folder or the one above it; or one for each node, by its name.",
                "anyOf": [
                    { "type": "string" },
                    { "type": "object", "additionalProperties": { "type": "string" }, "minProperties": 2, "maxProperties": 2 }
                ]
            },
            "groups_in_beat": { "type": "integer", "minimum": 1, "maximum": 64, "description": "So many groups go into one heartbeat, and more are told in parts; as many as fit where nothing is said. In virtual time alone." },
            "seed": { "type": "integer", "minimum": 0, "description": "Of the random part (jitter, loss); 1 where nothing is said." },
            "timeline": { "type": "array", "description": "What happens.", "items": { "anyOf": steps } },
            "until": { "$ref": "#/$defs/time", "description": "When it ends." },
            "expect": { "type": "array", "description": "What must hold.", "items": { "anyOf": expects } },
            "allow": {
                "type": "object",
                "description": "What a limit of SAFETY.md excuses.",
                "additionalProperties": false,
                "properties": {
                    "two_owners": {
                        "description": "Two nodes may answer at once for so long; or only within a time of the story.",
                        "anyOf": [{ "$ref": "#/$defs/time" }, {
                            "type": "object",
                            "additionalProperties": false,
                            "required": ["for", "from", "to"],
                            "properties": { "for": { "$ref": "#/$defs/time" }, "from": { "$ref": "#/$defs/time" }, "to": { "$ref": "#/$defs/time" } }
                        }]
                    },
                    "limits": { "type": "boolean", "description": "Limits (a), (e) and (l) are excused for as long as they last." },
                    "nobody": { "type": "boolean", "description": "Nobody need serve although somebody could." }
                }
            }
        },
        "$defs": {
            "time": { "type": "string", "pattern": PATTERN, "description": "A length of time, as in 150ms or 1.5s." },
            "nodes": { "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" }, "minItems": 1 }] },
            "when": when()
        }
    })
}

/// The schema as it is published.
pub fn text() -> String {
    serde_json::to_string_pretty(&schema()).unwrap_or_default() + "\n"
}

fn only(name: &str, value: Value, doc: &str) -> Value {
    json!({ "type": "object", "description": doc, "additionalProperties": false, "required": [name], "properties": { name: value } })
}

fn entry(name: &str, takes: &str, doc: &str) -> Value {
    let value = if takes == "NODES" { json!({ "$ref": "#/$defs/nodes" }) } else { parameters(takes, None) };
    json!({
        "type": "object",
        "description": doc.trim(),
        "additionalProperties": false,
        "required": [name],
        "anyOf": [{ "required": ["at"] }, { "required": ["when"] }, { "required": ["after"] }],
        "dependentRequired": { "within": ["when"] },
        "properties": {
            "at": { "$ref": "#/$defs/time", "description": "Not before this." },
            "when": { "$ref": "#/$defs/when" },
            "after": { "$ref": "#/$defs/time", "description": "So long after that; without \"when\" after the entry before it." },
            "within": { "$ref": "#/$defs/time", "description": "It happens within this time." },
            name: value
        }
    })
}

/// What a step can wait for: the line of a log with its text, everything else without.
fn when() -> Value {
    let words = |says: bool| {
        let words: Vec<&str> = Does::ALL.iter().filter(|does| (**does == Does::Says) == says).map(|does| does.word()).collect();
        let mut of = json!({ "node": { "type": "string" }, "does": { "enum": words }, "group": { "type": "string" } });
        if says {
            of["text"] = json!({ "type": "string" });
        }
        let required = if says { vec!["node", "does", "text"] } else { vec!["node", "does"] };
        json!({ "type": "object", "additionalProperties": false, "required": required, "properties": of })
    };
    json!({ "description": "When this happens, counted from when the entry before was made.", "anyOf": [words(false), words(true)] })
}

fn parameters(takes: &str, of: Option<&str>) -> Value {
    let required: Vec<&str> = takes.split_whitespace().filter(|name| !name.ends_with('?')).collect();
    let names = takes.split_whitespace().map(|name| name.trim_end_matches('?'));
    let properties: Map<String, Value> = names.map(|name| (name.to_string(), parameter(name, of))).collect();
    json!({ "type": "object", "additionalProperties": false, "required": required, "properties": properties })
}

/// A parameter of a step, or of this expectation.
fn parameter(name: &str, of: Option<&str>) -> Value {
    match name {
        // Of gaps and the like a time, of everything else a number.
        "at_most" if matches!(of, Some("gap" | "silence" | "served_within")) => json!({ "$ref": "#/$defs/time" }),
        "exactly" | "at_least" | "at_most" => json!({ "type": "integer", "minimum": 0 }),
        "client" => json!({ "const": "lan" }),
        "from" | "to" if of.is_none() => {
            json!({ "type": "string", "description": "A node, gateway, witness0 and so on, or client: the one on the LAN." })
        }
        "from" | "to" | "after" | "at" | "for" | "takes" | "delay" | "jitter" => json!({ "$ref": "#/$defs/time" }),
        "percent" => json!({ "type": "number", "minimum": 0, "maximum": 100 }),
        "burst" => json!({ "type": "integer", "minimum": 1, "maximum": u32::MAX }),
        "per_second" => json!({ "type": "integer", "minimum": 0, "maximum": 10000 }),
        "count" => json!({ "type": "integer", "minimum": 1, "maximum": 1000 }),
        "witness" => json!({ "type": "integer", "minimum": 0, "maximum": 8 }),
        "rate" => json!({ "type": "number", "minimum": 0.5, "maximum": 2 }),
        "on" | "relay" | "ready" | "running" => json!({ "type": "boolean" }),
        "only" => json!({ "const": "heartbeats" }),
        "state" => json!({ "enum": link_states().collect::<Vec<_>>() }),
        _ => json!({ "type": "string" }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::expect::Expect;
    use super::super::step::Entry;
    use super::*;

    /// A value that the schema of a parameter allows.
    fn sample(name: &str, value: &Value) -> Value {
        if value.get("$ref").is_some() {
            return json!("2s");
        }
        if name == "text" {
            return json!("a line");
        }
        match value.get("type").and_then(Value::as_str) {
            Some("integer" | "number") => json!(1),
            Some("boolean") => json!(true),
            _ if value.get("const").is_some() => value["const"].clone(),
            _ if value.get("enum").is_some() => value["enum"][0].clone(),
            _ => json!("master1"),
        }
    }

    fn samples(takes: &str, of: Option<&str>, all: bool) -> Map<String, Value> {
        let names = takes.split_whitespace().filter(|name| all || !name.ends_with('?')).map(|name| name.trim_end_matches('?'));
        names.map(|name| (name.to_string(), sample(name, &parameter(name, of)))).collect()
    }

    #[test]
    fn the_reader_takes_what_the_schema_allows_and_nothing_else() {
        for (name, takes, _) in step::TABLE.iter().filter(|(_, takes, _)| *takes != "NODES") {
            for all in [true, false] {
                let good = samples(takes, None, all);
                let read = |value: &Map<String, Value>| serde_json::from_value::<Entry>(json!({ "at": "1s", *name: value }));
                read(&good).unwrap_or_else(|wrong| panic!("{name}: {wrong}"));
                let mut odd = good.clone();
                odd.insert("colour".into(), json!("red"));
                assert!(read(&odd).is_err(), "{name} takes a colour");
                for missing in takes.split_whitespace().filter(|name| !name.ends_with('?')) {
                    let mut less = good.clone();
                    less.remove(missing);
                    assert!(read(&less).is_err(), "{name} does without {missing}");
                }
            }
        }
        for (name, takes, _) in expect::TABLE {
            for all in [true, false] {
                let good = samples(takes, Some(name), all);
                let read = |value: &Map<String, Value>| serde_json::from_value::<Expect>(json!({ *name: value }));
                read(&good).unwrap_or_else(|wrong| panic!("{name}: {wrong}"));
                let mut odd = good.clone();
                odd.insert("colour".into(), json!("red"));
                assert!(read(&odd).is_err(), "{name} takes a colour");
            }
        }
    }

    #[test]
    fn every_expectation_of_the_code_is_in_the_table() {
        let wrong = serde_json::from_value::<Expect>(json!({ "colour": {} })).unwrap_err().to_string();
        let known: Vec<&str> = wrong.split('`').skip(3).step_by(2).collect();
        let listed: Vec<&str> = expect::TABLE.iter().map(|(name, ..)| *name).collect();
        assert_eq!(known, listed);
    }
}
