//! What comes of configurations as people write them. Each file that is written is read again by `twinbeat-config`.

use std::path::Path;

use twinbeat_config::{Config, LsbConfig, ServiceKind};

use super::*;

mod anything;
mod first;
mod heartbeat_files;
mod keepalived_files;

/// A file of the tests' own.
fn input(name: &str) -> Option<Source> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("inputs").join(name);
    let bytes = std::fs::read(path).ok()?;
    Some(Source::of_bytes(name, &bytes).unwrap())
}

/// The words of every finding of a kind.
fn told(import: &Import, kind: Kind) -> Vec<String> {
    import.findings.iter().filter(|finding| finding.kind == kind).map(ToString::to_string).collect()
}

/// A finding of that kind with these words.
#[track_caller]
fn tells(import: &Import, kind: Kind, words: &str) {
    let all = told(import, kind);
    assert!(all.iter().any(|text| text.contains(words)), "no {kind:?} `{words}` in {all:#?}");
}

#[track_caller]
fn has_line(import: &Import, line: &str) {
    assert!(import.text.lines().any(|other| other == line), "no line `{line}` in\n{}", import.text);
}

/// What holds for whatever is written: each setting says where from, each refusal is at a placeholder or told, each finding stands in the file.
#[track_caller]
fn judge(import: &Import) {
    let (text, gaps) = (&import.text, placeholders(&import.text));
    let refused = told(import, Kind::Refused);
    match Config::load(Path::new("twinbeat.toml"), text) {
        Ok(_) => assert!(gaps.is_empty() && refused.is_empty(), "accepted with {gaps:?} {refused:#?}\n{text}"),
        Err(error) => {
            for error in error.split() {
                let listed = refused.iter().any(|words| words.contains(&format!("line {}: ", error.line)));
                assert!(gaps.contains(&error.line) || listed, "{error}\n{refused:#?}\n{text}");
            }
        }
    }
    match Config::load(Path::new("twinbeat.toml"), &import.filled) {
        Ok(_) => assert!(refused.iter().all(|words| !words.starts_with("line ")), "{refused:#?}"),
        Err(error) => {
            for error in error.split() {
                let words = format!("line {}: {}", error.line, error.key);
                assert!(refused.iter().any(|refused| refused.starts_with(&words)), "{error}\n{refused:#?}\n{}", import.filled);
            }
        }
    }
    for line in text.lines().filter(|line| line.contains('=') && !line.starts_with('#') && !line.ends_with('[')) {
        assert!(line.contains("    # "), "it does not say where from: {line}");
    }
    for finding in &import.findings {
        assert!(text.lines().any(|line| line == format!("# - {finding}")), "not in the file: {finding}");
    }
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'));
}

/// The file once a person has filled in each of these (what stands there, what comes there).
#[track_caller]
fn by_hand(import: &Import, fills: &[(&str, &str)]) -> Config {
    let mut text = import.text.clone();
    for (gap, value) in fills {
        assert!(text.contains(gap), "no `{gap}` in\n{text}");
        text = text.replacen(gap, value, 1);
    }
    assert_eq!(placeholders(&text), Vec::<usize>::new(), "{text}");
    Config::load(Path::new("twinbeat.toml"), &text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

const KEYS: [&str; 2] =
    ["ed25519:EmRIap77Ag0r371OXcjG4jmcrMWKlG7lFCaYnqoYXcw=", "ed25519:h9RH5Ftx7hugvdnKqw7gEHpsJKAEkjSTJlbjlRPSKDA="];

/// A file that is not ours, from an unpacked package; a clear line where it is not there.
fn foreign(path: &str) -> Option<Source> {
    let found = std::env::var_os("TWINBEAT_SAMPLES").map(std::path::PathBuf::from);
    let root = found.unwrap_or_else(|| "/".into());
    let whole = root.join(path);
    match std::fs::read(&whole) {
        Ok(bytes) => Some(Source::of_bytes(path, &bytes).unwrap()),
        Err(error) => {
            eprintln!(
                "SKIPPED {}: {error} (a package's own sample; TWINBEAT_SAMPLES names where it is unpacked)",
                whole.display()
            );
            None
        }
    }
}

#[test]
fn a_file_that_is_too_long_or_no_text_is_refused() {
    let long = vec![b'#'; MOST_BYTES + 1];
    assert!(Source::of_bytes("x", &long).unwrap_err().to_string().contains("1 MiB"));
    assert!(Source::of_bytes("x", &long[1..]).is_ok());
    assert!(Source::of_bytes("x", b"keepalive\0").unwrap_err().to_string().contains("not a text"));
    assert!(Source::of_bytes("x", b"# caf\xe9\nkeepalive 2").is_ok(), "an old comment in Latin-1");
}
