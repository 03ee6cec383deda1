//! What is told of a file that is no TOML: the mistake at its place, what else is wrong, and nothing that only follows.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use proptest::prelude::*;

use super::super::{Config, ConfigError};

const FAST: &str = include_str!("../../scenarios/pairs/fast.toml");

fn refused(text: &str) -> Vec<ConfigError> {
    match Config::load(Path::new("t.toml"), text) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(error) => error.split(),
    }
}

/// The line that begins so, counted from 1.
fn line(text: &str, words: &str) -> usize {
    text.lines().position(|line| line.starts_with(words)).unwrap_or_else(|| panic!("no {words} in\n{text}")) + 1
}

/// The file with one more mistake far below, and one above that is no TOML: both are told, and nothing else.
fn both(from: &str, to: &str, at: &str, words: &str) {
    let text = FAST.replacen(from, to, 1);
    assert_ne!(text, FAST, "{from}");
    for (below, key) in
        [("", None), ("\n[journal]\nkeep = \"5\"\n", Some("journal.keep")), ("\n[log]\nlevl = \"info\"\n", Some("log.levl"))]
    {
        let text = format!("{text}{below}");
        let found = refused(&text);
        let all: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), 1 + usize::from(key.is_some()), "{all:#?}");
        assert!(found[0].line == line(&text, at) && all[0].contains(words), "line {}: {all:#?}", line(&text, at));
        assert!(
            all[0].contains("not valid TOML") && all[0].ends_with("; the rest was judged without it, as far as it can be"),
            "{all:#?}"
        );
        assert_eq!(found.get(1).map(|error| error.key.as_str()), key, "{all:#?}");
    }
}

#[test]
fn what_is_wrong_beside_a_place_that_is_no_toml_is_told_with_it_and_nothing_that_follows_from_it() {
    let cluster = FAST.lines().find(|line| line.starts_with("cluster")).unwrap();
    both(cluster, "cluster = \"web", "cluster", "");
    both(cluster, "cluster \"web\"", "cluster", "");
    both(cluster, "cluster = = \"web\"", "cluster", "");
    both(cluster, "cluster = web", "cluster", "");
    both(cluster, &format!("{cluster}\ncluster = \"web2\""), "cluster = \"web2\"", "`cluster`: the first one is in line");
    both("[witness]", "[witness", "[witness", "");
    both("[witness]", "witness]", "witness]", "");
    both("[[groups]]", "[[groups]", "[[groups]", "");
    both("targets = [\"192.168.42.1\"]", "targets = [\"192.168.42.1\"", "targets", "this bracket is not closed");
    both("vips = [{", "vips = [", "vips", "");
    both("label = \"0\" }]", "label = \"0\" ]", "vips", "");
    both("label = \"0\" }]", "label = \"0\" }", "vips", "this bracket is not closed");
    both(
        "address = \"10.1.1.2\" }",
        "address = \"10.1.1.2\"",
        "heartbeat = { interface = \"eth1\", address = \"10.1.1.2\"",
        "this bracket is not closed",
    );
    both(
        "interface = \"eth2\", address = \"10.1.2.2\"",
        "interface = \"eth2\" address = \"10.1.2.2\"",
        "bond = { interface = \"eth2\" address",
        "",
    );
    both(
        "address = \"10.1.1.1\" }",
        "address = \"10.1.1.1 }",
        "heartbeat = { interface = \"eth1\", address = \"10.1.1.1 }",
        "this quote is not closed",
    );
    both("lease = \"320ms\"", "lease = 320ms", "lease", "");
    both("dead = \"1s\"", "dead = \"1s", "dead", "");
    // A word that is near to a key is no such key.
    both("dead = \"1s\"", "dead = \"1s\"\ndeaf 30", "deaf", "");
}

#[test]
fn where_reading_on_would_mean_guessing_the_mistake_is_told_alone_and_says_so() {
    let alone = |text: &str, at: usize, words: &str| {
        let found = refused(text);
        let all: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(found.len() == 1 && found[0].line == at && all[0].contains(words), "{all:#?}");
        assert!(all[0].ends_with("; the rest could not be judged"), "{all:#?}");
    };
    // No header to be mended; a text over many lines; no TOML at all.
    alone(&FAST.replace("[witness]", "[wit ness]"), line(FAST, "[witness]"), "");
    let ha = "# a = b\nkeepalive 2\ndeadtime 30\nucast eth0 10.0.0.1\nnode a b\napiauth ipfail uid=hacluster\n";
    alone(ha, 1, "this is an ha.cf of heartbeat");
    let shell = "set -e\nif true; then\n  echo hello\nfi\nexport A B\nrm x\ncp a b\nmv a b\n";
    alone(shell, 1, "");
}

#[test]
fn a_node_that_was_copied_and_not_renamed_is_one_mistake_and_the_nodes_are_not_counted() {
    let text = FAST.replace("[nodes.master2", "[nodes.master1");
    let found = refused(&text);
    let all: Vec<String> = found.iter().map(ToString::to_string).collect();
    let second = text.lines().enumerate().filter(|(_, line)| *line == "[nodes.master1]").nth(1).unwrap().0 + 1;
    assert!(
        found[0].line == second && all[0].contains(&format!("the first one is in line {}", line(&text, "[nodes.master1]"))),
        "{all:#?}"
    );
    assert!(all.iter().all(|error| error.contains("not valid TOML")), "{all:#?}");
}

#[test]
fn several_places_that_are_no_toml_are_told_each() {
    let text =
        FAST.replace("lease = \"320ms\"", "lease = 320ms").replace("[witness]", "[witness").replace("\"eth2\"", "\"et/h2\"");
    let lines: Vec<usize> = refused(&text).iter().map(|error| error.line).collect();
    let bonds = text.lines().enumerate().filter(|(_, line)| line.starts_with("bond")).map(|(at, _)| at + 1);
    let expected: Vec<usize> = bonds.chain([line(&text, "[witness"), line(&text, "lease")]).collect();
    assert_eq!(lines, expected, "{:#?}", refused(&text).iter().map(ToString::to_string).collect::<Vec<_>>());
}

#[test]
fn a_table_over_several_lines_is_no_open_bracket() {
    let text = FAST.replacen(
        "lan = { interface = \"eth0\", address = \"192.168.42.12\" }",
        "lan = {\n  interface = \"eth0\",\n  address = \"192.168.42.12\",\n}",
        1,
    );
    Config::load(Path::new("t.toml"), &text).unwrap();
    let text = text.replace("warn = \"300ms\"", "warn = \"300ms");
    let found = refused(&text);
    assert!(found.len() == 1 && found[0].line == line(&text, "warn") && !found[0].to_string().contains("bracket"), "{found:#?}");
}

proptest! {
    /// A file from which one character is gone, or in which one stands that does not belong there, makes few mistakes, all of them near.
    #[test]
    fn one_character_makes_no_mistake_elsewhere(at in 0usize..1_000, put in prop::option::of(prop::sample::select(vec!['[', ']', '{', '}', '"', '=', ',', '#', 'x', '\n']))) {
        let mut text = FAST.to_owned();
        let at = at.min(text.len() - 1);
        match put {
            Some(c) => text.insert(at, c),
            None => drop(text.remove(at)),
        }
        if let Err(error) = Config::load(Path::new("t.toml"), &text) {
            let all = error.split();
            let torn = all.iter().any(|error| error.to_string().contains("not valid TOML"));
            prop_assert!(!torn || all.len() <= 2, "{:#?}\n{text}", all.iter().map(ToString::to_string).collect::<Vec<_>>());
        }
    }
}
