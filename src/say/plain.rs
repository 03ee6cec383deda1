//! What readers of JSON say of a wrong value, in words of the file and not of the program: names of types mean nothing to who wrote it.

/// serde's message in plain words.
pub fn plain(message: &str) -> String {
    let message = message.replace(" as i128", "").replace(" as u128", "");
    let message = message.replace("unknown variant", "unknown name").replace("unknown field", "unknown key");
    let message = message.replace("missing field", "missing key").replace("duplicate field", "twice the key");
    match message.split_once(", expected ") {
        Some((found, wanted)) => format!("{}, expected {}", found_plainly(found), wanted_plainly(wanted)),
        None => found_plainly(&message),
    }
}

/// What was found.
fn found_plainly(found: &str) -> String {
    let found = found.replace("unit value", "nothing").replace("Option value", "a value");
    let found = found.replace("newtype variant", "a value").replace("unit variant", "a name");
    let found = found
        .replace("floating point", "number")
        .replace("type: map", "type: an object")
        .replace("type: sequence", "type: a list");
    found.replace("type: null", "type: null (leave the key out instead)")
}

/// Where it says how many elements a type has.
fn elements(wanted: &str) -> Option<usize> {
    wanted.find(" with ").filter(|_| wanted.ends_with("elements") || wanted.ends_with("element"))
}

/// What was wanted: serde's name of a type, and what may stand behind it.
fn wanted_plainly(wanted: &str) -> String {
    let (name, behind) = match wanted.find(" at line ").or_else(|| elements(wanted)) {
        Some(end) => wanted.split_at(end),
        None => (wanted, ""),
    };
    let behind = if behind.starts_with(" with") { "" } else { behind };
    let plain = match name {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "an object",
        "unit" => "nothing",
        name if name.starts_with("struct ") || name.starts_with("struct variant ") => "an object",
        name if name.starts_with("tuple ") => "a list",
        name if ["enum ", "unit variant ", "newtype variant "].iter().any(|front| name.starts_with(front)) => "one of its names",
        name if name.starts_with("variant ") || name == "variant identifier" || name == "field identifier" => "a name",
        name => name,
    };
    format!("{plain}{behind}")
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn names_of_types_do_not_reach_a_person() {
        for (said, says) in [
            ("invalid type: string \"x\", expected u32", "invalid type: string \"x\", expected a whole number, 0 or more"),
            ("invalid type: sequence, expected struct On at line 3", "invalid type: a list, expected an object at line 3"),
            ("invalid length 1, expected struct Words with 4 elements", "invalid length 1, expected an object"),
            ("unknown variant `x`, expected one of `a`, `b`", "unknown name `x`, expected one of `a`, `b`"),
            ("invalid type: null, expected f64", "invalid type: null (leave the key out instead), expected a number"),
        ] {
            assert_eq!(plain(said), says);
        }
    }
}
