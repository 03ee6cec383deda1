//! What the sources themselves must keep: a pure core, one place that vouches, `unsafe` in one place, short files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;

/// Every source file under src/, by its path there, with its text.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut dirs, mut all) = (vec![root.clone()], Vec::new());
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
                all.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(all.len() > 50, "the sources were not found");
    all.sort();
    all
}

/// Lines without their comments, numbered from 1.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(i, l)| (i + 1, l.split("//").next().unwrap_or("")))
}

/// Whether `word` stands in `line` as a word or path of its own.
fn names(line: &str, word: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(i, _)| {
        !part(line[..i].chars().next_back()) && (word.ends_with('{') || !part(line[i + word.len()..].chars().next()))
    })
}

fn find(words: &[&str], file: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for (name, text) in sources().iter().filter(|(n, _)| file(n)) {
        for (n, line) in code(text) {
            found.extend(words.iter().filter(|w| names(line, w)).map(|w| format!("src/{name}:{n}: {w}")));
        }
    }
    found
}

#[test]
fn the_core_is_pure() {
    let impure = [
        "std::net",
        "std::fs",
        "std::process",
        "std::time",
        "tokio",
        "crate::host",
        "crate::wire",
        "crate::daemon",
        "SystemTime",
        "Instant",
        "rand",
        "HashMap",
    ];
    let found = find(&impure, |n| n.starts_with("core/") && !n.starts_with("core/tests/"));
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn only_those_who_checked_a_signature_or_model_one_vouch() {
    let may = ["wire/", "sim/", "journal/", "core/tests/"];
    let found = find(&["vouch"], |n| n != "core/heartbeat.rs" && !may.iter().any(|m| n.starts_with(m)));
    assert!(found.is_empty(), "{found:#?}");
    let in_heartbeat = find(&["vouch"], |n| n == "core/heartbeat.rs");
    assert_eq!(in_heartbeat.len(), 1, "the definition alone: {in_heartbeat:#?}");
}

#[test]
fn unsafe_blocks_appear_only_under_host() {
    let found = find(&["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"], |n| !n.starts_with("host/"));
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn no_file_but_a_test_is_longer_than_five_hundred_lines() {
    let long = sources()
        .iter()
        .map(|(n, t)| (n.clone(), t.lines().count()))
        .filter(|(n, l)| *l > 500 && !n.contains("tests"))
        .collect::<Vec<_>>();
    assert!(long.is_empty(), "{long:?}");
}
