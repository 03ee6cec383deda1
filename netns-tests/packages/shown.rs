//! Man pages and completions against the command line that the program has.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command as Process;

use clap::{Command, CommandFactory};
use twinbeat::cli::line::CommandLine;

use crate::pages;

const SHELLS: [&str; 3] = ["completions/bash/twinbeat", "completions/zsh/_twinbeat", "completions/fish/twinbeat.fish"];

fn texts() -> BTreeMap<PathBuf, String> {
    pages::all("twinbeat").unwrap().into_iter().map(|(path, text)| (path, String::from_utf8(text).unwrap())).collect()
}

/// Calls with each verb that help shows (and `false`), each that it does not (and `true`), and their names from the first: `import-heartbeat`.
fn verbs(command: &Command, before: &str, hidden: bool, each: &mut impl FnMut(&str, &Command, bool)) {
    for verb in command.get_subcommands() {
        let name = format!("{before}-{}", verb.get_name());
        let hidden = hidden || verb.is_hide_set();
        each(&name, verb, hidden);
        verbs(verb, &name, hidden, each);
    }
}

#[test]
fn every_verb_and_option_is_in_a_man_page_and_in_each_completion_and_what_is_hidden_is_in_none() {
    let texts = texts();
    let page = |name: &str| texts.get(&PathBuf::from(format!("man/{name}.1"))).cloned();
    let main = page("twinbeat").expect("the program's own page");
    let (mut pages, mut options) = (1, 0);
    verbs(&CommandLine::command(), "twinbeat", false, &mut |name, verb, hidden| {
        let Some(text) = page(name) else {
            assert!(hidden, "{name} has no page");
            for shell in SHELLS {
                let mut words = texts[&PathBuf::from(shell)].split(|c: char| !c.is_alphanumeric() && c != '-');
                assert!(words.all(|word| word != verb.get_name()), "{shell} offers {name}");
            }
            return;
        };
        assert!(!hidden, "{name} has a page");
        pages += 1;
        let before = name.strip_suffix(&format!("-{}", verb.get_name())).unwrap();
        let above = if before == "twinbeat" { main.clone() } else { page(before).unwrap() };
        assert!(above.contains(&format!("{}(1)", name.replace('-', "\\-"))), "{name} is not named by {before}");
        for option in verb.get_arguments() {
            let Some(long) = option.get_long() else { continue };
            options += 1;
            let there = |text: &str, word: &str| text.contains(word) != option.is_hide_set();
            assert!(there(&text, &format!("\\-\\-{}", long.replace('-', "\\-"))), "{name} --{long}: in its page");
            // What is hidden of one verb may be shown of another.
            if !option.is_hide_set() {
                let [bash, zsh, fish] = SHELLS.map(|shell| &texts[&PathBuf::from(shell)]);
                assert!(bash.contains(&format!("--{long}")) && zsh.contains(&format!("--{long}")), "{name} --{long}");
                assert!(fish.contains(&format!("-l {long} ")) || fish.contains(&format!("-l {long}\n")), "{name} --{long}");
            }
        }
    });
    assert_eq!(texts.len(), pages + SHELLS.len(), "no page of something else: {:?}", texts.keys());
    assert!(pages > 12 && options > 40, "{pages} pages, {options} options");
}

#[test]
fn bash_completes_verbs_and_options() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), &texts()[&PathBuf::from(SHELLS[0])]).unwrap();
    let complete = |words: &str| {
        let script = format!(
            "source {}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _twinbeat twinbeat \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"; echo \"${{COMPREPLY[@]}}\"",
            file.path().display()
        );
        let done = Process::new("bash").args(["-c", &script]).output().unwrap();
        assert!(done.status.success() && done.stderr.is_empty(), "{done:?}");
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(complete("twinbeat st"), "status standby");
    assert_eq!(complete("twinbeat status --j"), "--json");
    assert_eq!(complete("twinbeat import k"), "keepalived");
    assert_eq!(complete("twinbeat lab-e"), "");
}

#[test]
fn man_shows_the_pages_without_a_complaint() {
    if Process::new("man").arg("--version").output().is_err() {
        println!("SKIPPED: man is not installed here (package man-db): how it takes the pages");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in texts().iter().filter(|(path, _)| path.starts_with("man")) {
        let file = dir.path().join(path.file_name().unwrap());
        fs::write(&file, text).unwrap();
        let done = Process::new("man")
            .args(["--warnings", "-l"])
            .arg(&file)
            .env("MANWIDTH", "80")
            .env("LC_ALL", "C.UTF-8")
            .output()
            .unwrap();
        let shown = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success() && done.stderr.is_empty(), "{}: {}", path.display(), String::from_utf8_lossy(&done.stderr));
        assert!(["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "SEE ALSO"].iter().all(|head| shown.contains(head)), "{shown}");
    }
}
