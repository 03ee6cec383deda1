//! All mistakes of a file at once, and no more than there are.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;

use proptest::prelude::*;

use super::super::{Config, ConfigError};

const FAST: &str = include_str!("../../scenarios/pairs/fast.toml");

fn refused(text: &str) -> Vec<ConfigError> {
    match Config::load(Path::new("t.toml"), text) {
        Ok(_) => panic!("accepted"),
        Err(error) => error.split(),
    }
}

fn places(text: &str) -> Vec<(usize, String)> {
    refused(text).into_iter().map(|error| (error.line, error.key)).collect()
}

/// Mistakes of every kind, in every table.
const WRONG: &str = r#"cluster = "web"
prot = 694

[nodes.master1]
public_key = "ed25519:xx"
links.bond = { interface = "bond0", address = "10.2.2.1" }
links.heartbeat = { interface = "eth1", adress = "10.1.1.01" }
links.lan = { interface = "eth0", address = "192.168.42.012" }

[nodes.master2]
public_key = 5
links.bond = { interface = "bond0", address = "10.2.2.2" }
links.heartbeat = { interface = "eth1", address = "10.1.1.2%eth1" }
links.lan = { interface = "eth0", address = "192.168.42.13" }

[witness]
link = "lan"
targets = ["192.168.42.1", "gw"]
fall = 0

[timing]
heartbeat = 100
warn = "300 ms"
lease = "320x"
dead = "1h"
init_dead = "2d"

[[groups]]
name = "web"
prefered = "master1"
failback = "sometimes"
vips = [{ address = "192.168.42.14", link = "lan" }]
services = [{ systemd = "nginx", warm = "yes" }, { }]

[log]
level = "loud"
file = "x"
"#;

#[test]
fn every_mistake_is_told_once_at_its_line_and_nothing_that_only_follows() {
    let expected = [
        (2, "prot"),
        (5, "nodes.master1.public_key"),
        (7, "nodes.master1.links.heartbeat.adress"),
        (7, "nodes.master1.links.heartbeat.address"),
        (8, "nodes.master1.links.lan.address"),
        (11, "nodes.master2.public_key"),
        (13, "nodes.master2.links.heartbeat.address"),
        (18, "witness.targets[1]"),
        (19, "witness.fall"),
        (22, "timing.heartbeat"),
        (24, "timing.lease"),
        (26, "timing.init_dead"),
        (30, "groups[0].prefered"),
        (31, "groups[0].failback"),
        (32, "groups[0].vips[0].address"),
        (33, "groups[0].services[0].warm"),
        (33, "groups[0].services[1]"),
        (36, "log.level"),
        (37, "log.file"),
    ];
    let found = places(WRONG);
    let found: Vec<(usize, &str)> = found.iter().map(|(line, key)| (*line, key.as_str())).collect();
    assert_eq!(found, expected, "{:#?}", refused(WRONG).iter().map(ToString::to_string).collect::<Vec<_>>());
    let told = Config::load(Path::new("t.toml"), WRONG).err().map(|error| error.to_string()).unwrap_or_default();
    assert_eq!(told.lines().count(), expected.len(), "{told}");
}

#[test]
fn a_table_that_is_not_built_and_one_that_does_not_exist_keep_nothing_from_being_told() {
    let text = format!("{FAST}\n[metrics]\nlisten = 1\n\n[colours]\nred = 2\n\n[journal]\nkeep = \"5\"\n");
    let keys: Vec<String> = places(&text).into_iter().map(|(_, key)| key).collect();
    assert_eq!(keys, ["metrics.listen", "colours", "journal.keep"]);
}

#[test]
fn what_is_missing_hides_nothing_that_stands_behind_it() {
    let wrong = FAST.replace("failback = \"auto\"", "failback = \"autoo\"");
    assert_ne!(wrong, FAST);
    let behind = |text: &str| places(text).into_iter().map(|(_, key)| key).collect::<Vec<_>>();
    let cases = [
        ("cluster = \"web\"\n", "\n", "cluster"),
        ("targets = [\"192.168.42.1\"]\n", "\n", "witness"),
        ("address = \"10.1.1.2\"", "", "nodes.master2.links.heartbeat"),
    ];
    for (what, with, told) in cases {
        let text = wrong.replacen(what, with, 1).replace(", }", " }");
        assert_ne!(text, wrong, "{what}");
        assert_eq!(behind(&text), [told, "groups[0].failback"], "{what}");
    }
    let start = wrong.find("[witness]").unwrap();
    let end = start + wrong[start..].find("\n[").unwrap();
    assert_eq!(behind(&format!("{}{}", &wrong[..start], &wrong[end..])), ["witness", "groups[0].failback"]);
}

#[test]
fn counts_and_a_host_name_are_told_where_they_stand() {
    let third = FAST.replacen("[witness]", "[nodes.master3]\npublic_key = \"ed25519:AAAA\"\n\n[witness]", 1);
    let line = |text: &str, words: &str| text.lines().position(|line| line.starts_with(words)).unwrap() + 1;
    let found = refused(&third);
    assert_eq!((found.len(), found[0].line), (1, line(&third, "[nodes.master3]")), "{found:#?}");
    let (before, _) = FAST.split_once("[[groups]]").unwrap();
    let found = refused(before);
    assert_eq!((found.len(), found[0].line), (1, before.lines().count()), "{found:#?}");
    let error = Config::load(Path::new("t.toml"), FAST).unwrap().node("elsewhere").unwrap_err();
    assert_eq!(error.line, line(FAST, "[nodes.master1]"), "{error}");
}

proptest! {
    /// One key of the file made wrong in some way is one mistake, whichever it is, or the few that it really makes; and reading on never panics.
    #[test]
    fn a_file_with_lines_made_wrong_is_refused_and_never_more_than_it_has_lines(places in prop::collection::vec((0usize..60, 0usize..4), 1..6)) {
        let mut lines: Vec<String> = FAST.lines().map(str::to_owned).collect();
        for (at, how) in places {
            let count = lines.len();
            let line = &mut lines[at % count];
            if let Some((key, value)) = line.clone().split_once(" = ") {
                *line = match how {
                    0 => format!("{key}x = {value}"),
                    1 => format!("{key} = true"),
                    2 => format!("{key} = [[{value}]]"),
                    _ => format!("{key} = \"?\""),
                };
            }
        }
        let text = lines.join("\n");
        if let Err(error) = Config::load(Path::new("t.toml"), &text) {
            let all = error.split();
            prop_assert!(all.iter().all(|one| one.line <= lines.len() && one.others.is_empty()), "{all:#?}");
        }
    }
}
