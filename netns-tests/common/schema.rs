//! The part of JSON Schema (draft 2020-12) that the published schemas use; a keyword that is not among it is a failure of the test that asks.

use serde_json::Value;

/// Whether a value is valid by `schema`, a part of `root`. `closed`: an object with properties that it does not name is not, although the schema
/// leaves room for those of later versions. `time` tells lengths of time, the one pattern that is not `^(word|word): `.
pub fn valid(root: &Value, schema: &Value, value: &Value, closed: bool, time: fn(&str) -> bool) -> Result<(), String> {
    let check = |schema: &Value, value: &Value| valid(root, schema, value, closed, time);
    for (keyword, means) in schema.as_object().unwrap() {
        let good = match keyword.as_str() {
            "$schema" | "$defs" | "title" | "description" | "format" => true,
            "properties" => {
                for (name, inner) in value.as_object().into_iter().flatten() {
                    match means.get(name) {
                        Some(one) => check(one, inner).map_err(|wrong| format!("{name}: {wrong}"))?,
                        None if closed => return Err(format!("the schema does not know {name:?}")),
                        None => {}
                    }
                }
                true
            }
            "$ref" => {
                check(root.pointer(means.as_str().unwrap().trim_start_matches('#')).unwrap(), value)?;
                true
            }
            "anyOf" => {
                let all: Vec<String> = means.as_array().unwrap().iter().filter_map(|one| check(one, value).err()).collect();
                if all.len() == means.as_array().unwrap().len() {
                    return Err(format!("none of: {}", all.join(" | ")));
                }
                true
            }
            "type" => match means.as_str().unwrap() {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "integer" => value.is_u64(),
                "number" => value.is_number(),
                "null" => value.is_null(),
                other => panic!("type {other}"),
            },
            "minItems" => value.as_array().is_none_or(|items| items.len() as u64 >= means.as_u64().unwrap()),
            "dependentRequired" => means.as_object().unwrap().iter().all(|(name, needs)| {
                let there = |name: &str| value.get(name).is_some();
                !there(name) || needs.as_array().unwrap().iter().all(|need| there(need.as_str().unwrap()))
            }),
            "required" => {
                let missing = means.as_array().unwrap().iter().find(|name| value.get(name.as_str().unwrap()).is_none());
                if let Some(name) = missing {
                    return Err(format!("{name} is missing"));
                }
                true
            }
            "minProperties" => value.as_object().is_none_or(|o| o.len() as u64 >= means.as_u64().unwrap()),
            "maxProperties" => value.as_object().is_none_or(|o| o.len() as u64 <= means.as_u64().unwrap()),
            "minimum" => value.as_f64().is_none_or(|n| n >= means.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|n| n <= means.as_f64().unwrap()),
            "enum" => means.as_array().unwrap().contains(value),
            "const" => means == value,
            "pattern" => value.as_str().is_none_or(|text| {
                let words = means.as_str().unwrap().strip_prefix("^(").and_then(|rest| rest.strip_suffix("): "));
                match words {
                    Some(words) => {
                        words.split('|').any(|word| text.strip_prefix(word).is_some_and(|rest| rest.starts_with(": ")))
                    }
                    None => time(text),
                }
            }),
            "items" => {
                value.as_array().into_iter().flatten().try_for_each(|item| check(means, item))?;
                true
            }
            "additionalProperties" => {
                let known = schema.get("properties").and_then(Value::as_object);
                for (name, value) in value.as_object().into_iter().flatten() {
                    match (known.and_then(|known| known.get(name)), means) {
                        (Some(_), _) => {}
                        (None, one @ Value::Object(_)) => check(one, value)?,
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

/// Whether it is what the schema of `status --json` says, to the last field.
#[allow(dead_code, reason = "each test takes what it needs")]
pub fn status(schema: &Value, value: &Value) -> Result<(), String> {
    valid(schema, schema, value, true, |_| panic!("there is no length of time in it"))
}
