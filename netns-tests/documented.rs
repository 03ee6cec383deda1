//! The commands that stand in the documents: each is one that the program takes, and each verb and option of the program stands there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "common/documents.rs"]
mod documents;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use documents::{commands, documents};
use twinbeat::config::Config;

fn twinbeat(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_twinbeat")).args(words).output().unwrap()
}

fn printed(words: &[&str]) -> String {
    String::from_utf8(twinbeat(words).stdout).unwrap()
}

/// As somebody types it: what stands for a value has one.
fn typed(command: &str) -> Vec<String> {
    let word = |word: &str| match word {
        "[GROUP]" => "web".to_owned(),
        "A..B" => "0..1".to_owned(),
        "N" => "1".to_owned(),
        _ => word.to_owned(),
    };
    command.split_whitespace().skip(1).filter(|word| !word.starts_with("[FAULT")).map(word).collect()
}

/// The verbs of the program's own help.
fn verbs() -> Vec<String> {
    let help = printed(&["--help"]);
    let list = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap().to_owned();
    let verbs = list.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next().map(str::to_owned));
    verbs.filter(|verb| verb != "help").collect()
}

#[test]
fn every_command_in_the_documents_is_one_that_the_program_takes() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (path, text) in documents() {
        for command in commands(&text) {
            seen += 1;
            let mut words = typed(&command);
            // A verb of verbs is told of by itself, too.
            words.push("--help".to_owned());
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let done = twinbeat(&words);
            if !done.status.success() {
                wrong.push(format!("{}: `{command}`: {}", path.display(), String::from_utf8_lossy(&done.stderr).trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 60, "only {seen} commands were found");
}

#[test]
fn every_verb_and_every_option_stands_in_the_documents() {
    let all: String =
        documents().into_iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "md")).map(|(_, text)| text).collect();
    let mut missing = BTreeMap::new();
    for verb in verbs() {
        if !all.contains(&format!("`twinbeat {verb}")) {
            missing.entry(verb.clone()).or_insert_with(Vec::new).push("the verb itself".to_owned());
        }
        let mut help = printed(&[&verb, "--help"]);
        if help.contains("\nCommands:\n") {
            help += &printed(&[&verb, "heartbeat", "--help"]);
            help += &printed(&[&verb, "keepalived", "--help"]);
        }
        let options = help.lines().filter_map(|line| {
            let line = line.trim_start();
            line.starts_with('-').then(|| line.split_whitespace().find(|word| word.starts_with("--")))?
        });
        for option in options.map(|option| option.trim_end_matches(',')).filter(|option| *option != "--help") {
            if !all.contains(option) {
                missing.entry(verb.clone()).or_insert_with(Vec::new).push(option.to_owned());
            }
        }
    }
    assert!(missing.is_empty(), "the documents lack {missing:#?}");
}

/// Blocks of TOML that stand for the groups of the file that is shipped are read in their place.
#[test]
fn the_examples_of_groups_are_files_that_a_daemon_reads() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shipped = std::fs::read_to_string(root.join("dist/twinbeat.toml")).unwrap();
    let (head, _) = shipped.split_once("\n[[groups]]").unwrap();
    let mut seen = 0;
    for (path, text) in documents() {
        let blocks = text.split("```toml\n").skip(1).filter_map(|rest| rest.split_once("\n```")).map(|(block, _)| block);
        for block in blocks.filter(|block| block.lines().any(|line| line == "[[groups]]")) {
            seen += 1;
            let file = format!("{head}\n{block}\n");
            if let Err(error) = Config::load(Path::new("example.toml"), &file) {
                panic!("{}: {error}\n{block}", path.display());
            }
        }
    }
    assert!(seen >= 6, "only {seen} examples were found");
}
