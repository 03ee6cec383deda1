//! What the sources and manifests themselves must keep, beside what the compiler does: rooms in one direction, who may vouch, `unsafe` in one
//! place, no laboratory in production, a map that is true, short files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;
use std::process::Command;

use toml::{Table, Value};

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

/// The rooms in the order in which they build on each other: each uses only what stands before it.
const ROOMS: [&str; 16] = [
    "core", "say", "picture", "wire", "config", "effect", "import", "host", "service", "control", "journal", "web", "sim",
    "whatif", "daemon", "lab",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A room's `Cargo.toml`.
fn manifest(room: &str) -> Table {
    fs::read_to_string(root().join("src").join(room).join("Cargo.toml")).unwrap().parse().unwrap()
}

/// What a room depends on, with the features that it turns on; tests may use more.
fn uses(room: &str) -> Vec<(String, Vec<String>)> {
    let manifest = manifest(room);
    let Some(dependencies) = manifest.get("dependencies").and_then(Value::as_table) else { return Vec::new() };
    let features = |value: &Value| {
        let list = value.get("features").and_then(Value::as_array).cloned().unwrap_or_default();
        list.iter().map(|feature| feature.as_str().unwrap().to_owned()).collect()
    };
    dependencies.iter().map(|(name, value)| (name.clone(), features(value))).collect()
}

/// The rooms among them.
fn rooms_of(room: &str) -> Vec<String> {
    uses(room).into_iter().filter_map(|(name, _)| name.strip_prefix("twinbeat-").map(str::to_owned)).collect()
}

fn text_of(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn the_core_has_no_standard_library_and_uses_serde_alone() {
    // No IO, clock, thread, environment, randomness or hash order: the compiler sees to it, as long as this holds.
    let names: Vec<String> = uses("core").into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["serde"]);
    assert!(uses("core")[0].1.is_empty(), "serde as the workspace has it, without the standard library");
    let workspace: Table = text_of("Cargo.toml").parse().unwrap();
    assert_eq!(workspace["workspace"]["dependencies"]["serde"]["default-features"].as_bool(), Some(false));
    let head = text_of("src/core/lib.rs");
    assert!(head.contains("\n#![no_std]\n") && head.contains("\n#![forbid(unsafe_code)]\n"));
    let std = find(&["std"], |n| n.starts_with("core/") && !n.starts_with("core/tests/"));
    assert_eq!(std.len(), 2, "for tests and for the switch of the bite build alone: {std:#?}");
    assert!(head.contains("#[cfg(any(test, feature = \"bite\"))]\nextern crate std;"));
    assert!(text_of("src/core/bite.rs").contains("#[cfg(feature = \"bite\")]\nstd::thread_local! {"));
}

#[test]
fn rooms_build_on_each_other_in_one_direction_as_the_map_says() {
    let map = text_of("docs/ARCHITECTURE.md");
    for (place, room) in ROOMS.iter().enumerate() {
        let mut used = rooms_of(room);
        for other in &used {
            assert!(ROOMS[..place].contains(&other.as_str()), "{room} uses {other}, which does not stand before it");
        }
        used.sort();
        let row = map
            .lines()
            .find(|line| line.starts_with(&format!("| `{room}` |")))
            .unwrap_or_else(|| panic!("{room} is not on the map"));
        let told = row.split('|').nth(3).unwrap();
        let mut told: Vec<&str> =
            told.split(',').map(|name| name.trim().trim_matches('`')).filter(|name| *name != "none").collect();
        told.sort_unstable();
        assert_eq!(told, used, "{room} on the map");
    }
    let mut there: Vec<String> = fs::read_dir(root().join("src"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("Cargo.toml").exists())
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    there.sort();
    let mut all: Vec<String> = ROOMS.iter().map(|room| (*room).to_owned()).collect();
    all.sort();
    assert_eq!(there, all);
    let workspace: Table = text_of("Cargo.toml").parse().unwrap();
    let default = workspace["workspace"]["default-members"].as_array().unwrap();
    for room in ROOMS {
        assert!(default.iter().any(|member| member.as_str() == Some(&format!("src/{room}"))), "{room} is tested with the others");
    }
}

#[test]
fn a_program_without_the_laboratory_is_built_without_it() {
    let tree = |more: &[&str]| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["tree", "--offline", "--package=twinbeat", "--edges=normal", "--prefix=none"]).args(more).current_dir(root());
        let done = cargo.output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    assert!(tree(&[]).contains("twinbeat-lab "), "from a fresh clone it is there");
    let production = tree(&["--no-default-features"]);
    assert!(production.contains("twinbeat-daemon ") && !production.contains("twinbeat-lab "), "{production}");
    for room in ROOMS.iter().filter(|room| **room != "lab") {
        assert!(!rooms_of(room).contains(&"lab".to_owned()), "{room}");
    }
}

/// The rows of the table in docs/ARCHITECTURE.md: a rule, a file, a function.
#[test]
fn every_rule_of_safety_is_where_the_map_says() {
    let (map, safety) = (text_of("docs/ARCHITECTURE.md"), text_of("docs/SAFETY.md"));
    let mut rules: Vec<String> = Vec::new();
    for line in map.lines().filter(|line| line.starts_with("| R")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        rules.push(cells[1].split(' ').next().unwrap().to_owned());
        let mut quoted = cells[2].split('`').skip(1).step_by(2).peekable();
        assert!(quoted.peek().is_some(), "{line}");
        let mut file = String::new();
        for word in quoted {
            if word.contains('/') {
                file = text_of(word);
            } else {
                let name = word.rsplit("::").next().unwrap();
                assert!(
                    file.contains(&format!("fn {name}(")) || file.contains(&format!("fn {name}<")),
                    "{word} is not there: {line}"
                );
            }
        }
    }
    let all: Vec<String> = safety
        .lines()
        .filter_map(|line| line.strip_prefix("### R"))
        .map(|rest| format!("R{}", rest.split(' ').next().unwrap()))
        .collect();
    assert!(all.len() > 14);
    assert_eq!(rules, all, "one row for each rule, in order");
}

#[test]
fn only_those_who_checked_a_signature_or_model_one_vouch() {
    // A feature of the core that only they turn on; cargo adds features up, so the words are looked at too.
    let on =
        |room: &&str| uses(room).iter().any(|(name, features)| name == "twinbeat-core" && features.iter().any(|f| f == "vouch"));
    assert_eq!(ROOMS.iter().filter(|room| on(room)).collect::<Vec<_>>(), [&"wire", &"journal", &"sim", &"whatif"]);
    let program: Table = text_of("Cargo.toml").parse().unwrap();
    for dependencies in [&program["dependencies"], &program["workspace"]["dependencies"]] {
        assert!(dependencies["twinbeat-core"].get("features").is_none());
    }
    let may = ["wire/", "sim/", "journal/", "whatif/", "core/tests/"];
    let found = find(&["vouch"], |n| n != "core/heartbeat.rs" && !may.iter().any(|m| n.starts_with(m)));
    assert!(found.is_empty(), "{found:#?}");
    let definition = text_of("src/core/heartbeat.rs");
    assert_eq!(definition.matches("fn vouch").count(), 1);
    assert!(definition.contains("#[cfg(any(test, feature = \"vouch\"))]\n    pub fn vouch("));
}

/// A file's code in front of its own tests, with `a::{b, c}` written out as `a::b`, `a::c`.
fn written_out(text: &str) -> String {
    let lines: Vec<&str> = code(text).map(|(_, line)| line).collect();
    let mut text = lines.join("\n").split("#[cfg(test)]\nmod tests {").next().unwrap_or_default().to_owned();
    let innermost = |text: &str| {
        text.match_indices("::{").find_map(|(at, _)| {
            let end = at + 3 + text[at + 3..].find(['{', '}'])?;
            text[end..].starts_with('}').then_some((at, end))
        })
    };
    while let Some((at, end)) = innermost(&text) {
        let begin = text[..at].rfind(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').map_or(0, |place| place + 1);
        let all: Vec<String> = text[at + 3..end].split(',').map(|one| format!("{}::{}", &text[begin..at], one.trim())).collect();
        text.replace_range(begin..=end, &all.join(", "));
    }
    text
}

/// The files of a room, as modules, and for each those that it names.
fn graph(room: &str) -> Vec<(Vec<String>, Vec<Vec<String>>)> {
    let mut files = Vec::new();
    for (name, text) in sources() {
        let Some(rest) = name.strip_prefix(&format!("{room}/")).and_then(|rest| rest.strip_suffix(".rs")) else { continue };
        let mut module: Vec<String> = rest.split('/').map(str::to_owned).collect();
        module.pop_if(|last| last == "mod");
        if module != ["lib"] && !rest.contains("tests") && !rest.contains("crafted") {
            files.push((module, written_out(&text)));
        }
    }
    let all: Vec<Vec<String>> = files.iter().map(|(module, _)| module.clone()).collect();
    let path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let edges = |(module, text): (Vec<String>, String)| {
        let mut named: Vec<Vec<String>> = Vec::new();
        for word in text.split(|c: char| !path(c)).filter(|word| word.contains("::")) {
            let (mut at, mut parts) = (module.clone(), word.split("::").peekable());
            match parts.peek() {
                Some(&"crate") => at.clear(),
                Some(&"self" | &"super") => {}
                // A file of the folder that is this one's.
                Some(part) if all.contains(&[&module[..], &[(*part).to_owned()]].concat()) => {}
                _ => continue,
            }
            while let Some(part) = parts.next_if(|part| ["crate", "self", "super"].contains(part)) {
                at.truncate(at.len().saturating_sub(usize::from(part == "super")));
            }
            let mut found = all.contains(&at).then(|| at.clone());
            for part in parts {
                at.push(part.to_owned());
                found = if all.contains(&at) { Some(at.clone()) } else { break };
            }
            named.extend(found.filter(|found| *found != module));
        }
        (module, named)
    };
    files.into_iter().map(edges).collect()
}

#[test]
fn files_of_a_room_use_each_other_in_one_direction() {
    for room in ROOMS.iter().filter(|room| **room != "core") {
        let graph = graph(room);
        let named = |module: &Vec<String>| graph.iter().find(|(one, _)| one == module).map_or(&[][..], |(_, named)| &named[..]);
        for (module, _) in &graph {
            let (mut seen, mut open) = (Vec::new(), named(module).to_vec());
            while let Some(next) = open.pop() {
                if !seen.contains(&next) {
                    open.extend_from_slice(named(&next));
                    seen.push(next);
                }
            }
            assert!(!seen.contains(module), "{room}: {} uses itself by way of some of {seen:?}", module.join("/"));
        }
    }
    // It would see one.
    assert_eq!(written_out("use super::{a::{b, c}, d}; // x::{y}"), "use super::a::b, super::a::c, super::d; ");
    let turn =
        |(module, named): &(Vec<String>, Vec<Vec<String>>)| module == &["group"] && named.contains(&vec!["role".to_owned()]);
    assert!(graph("core").iter().any(turn));
}

#[test]
fn every_room_but_host_forbids_unsafe_code() {
    let heads = ROOMS.iter().filter(|room| **room != "host").map(|room| format!("src/{room}/lib.rs"));
    for head in heads.chain(["src/lib.rs".to_owned(), "src/main.rs".to_owned()]) {
        assert!(text_of(&head).contains("\n#![forbid(unsafe_code)]\n"), "{head}");
    }
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
