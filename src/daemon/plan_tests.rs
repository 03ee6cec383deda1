#![allow(clippy::unwrap_used)]
use std::path::Path;

use twinbeat_config::Config;
use twinbeat_core::id::NodeId;

use super::*;

const FAST: &str = include_str!("../../scenarios/pairs/fast.toml");

fn load(text: &str) -> Config {
    Config::load(Path::new("t.toml"), text).unwrap()
}

fn with(changes: &[(&str, &str)]) -> Config {
    load(&changes.iter().fold(FAST.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    }))
}

/// The owner of everything, whose peer is heard and has the new file.
fn facts(old: &Config, new: &Config) -> Facts {
    let key = |node: usize| old.nodes[node].public_key.to_bytes();
    Facts {
        me: NodeId(0),
        held: old.groups.iter().map(|group| group.name.clone()).collect(),
        moving: Vec::new(),
        peer_has: vec![Some(true); new.groups.len()],
        gate_stays: true,
        my_key: key(0),
        peer_key: key(1),
    }
}

fn plan(changes: &[(&str, &str)], more: impl Fn(&mut Facts)) -> Plan {
    let (old, new) = (load(FAST), with(changes));
    let mut facts = facts(&old, &new);
    more(&mut facts);
    Plan::of(&old, &new, &facts)
}

fn hindered(plan: &Plan, words: &[&str]) {
    let said = plan.hindrances.join("\n");
    assert!(!plan.hindrances.is_empty() && words.iter().all(|word| said.contains(word)), "{plan:#?}");
}

const VIP: &str = "label = \"0\" }]";
const MORE: &str = "label = \"0\" }, { address = \"192.168.42.77/25\", link = \"lan\" }]";

#[test]
fn the_same_file_and_what_each_node_has_for_itself_are_taken_up() {
    assert_eq!(plan(&[], |_| ()), Plan::default());
    let own = with(&[]);
    let text = format!("{FAST}\n[log]\nlevel = \"debug\"\n[journal]\nkeep = \"8MiB\"\n[metrics]\nlisten = \"127.0.0.1:9\"\n");
    let new = load(&text);
    assert_eq!(Plan::of(&own, &new, &facts(&own, &new)), Plan::default());
}

#[test]
fn names_and_the_port_are_for_both_nodes_at_once() {
    for change in [("cluster = \"", "cluster = \"x"), ("port = 694", "port = 700")] {
        hindered(&plan(&[change], |_| ()), &["both daemons down, then up"]);
    }
    let renamed = FAST.replace("master2", "other2");
    let (old, new) = (load(FAST), load(&renamed));
    hindered(&Plan::of(&old, &new, &facts(&old, &new)), &["a node's name"]);
}

#[test]
fn an_address_more_is_asked_for_where_the_peer_has_it_in_the_same_group_and_refused_elsewhere() {
    let added = &[(VIP, MORE)];
    let done = plan(added, |_| ());
    assert_eq!(done.hindrances, Vec::<String>::new());
    assert_eq!(done.ask_for.len(), 1);
    assert_eq!(done.ask_for[0].0.to_string(), "192.168.42.77");
    hindered(&plan(added, |facts| facts.peer_has.fill(Some(false))), &["192.168.42.77", "reload master2 first"]);
    hindered(&plan(added, |facts| facts.peer_has.fill(None)), &["192.168.42.77", "master2 is not heard"]);
    // A standby takes up anything: it opens nothing.
    let standby = plan(added, |facts| {
        facts.held.clear();
        facts.peer_has.fill(None);
    });
    assert_eq!(standby, Plan::default());
}

#[test]
fn nothing_is_taken_up_while_a_group_moves() {
    hindered(&plan(&[], |facts| facts.moving = facts.held.clone()), &["web", "once more in a moment"]);
}

#[test]
fn an_address_that_would_be_another_one_to_the_kernel_moves() {
    let first = load(FAST).groups[0].vips[0].to_string();
    let (address, prefix) = first.split_once('/').unwrap();
    let other: u8 = prefix.parse::<u8>().unwrap() - 1;
    hindered(&plan(&[(first.as_str(), &format!("{address}/{other}"))], |_| ()), &[address, "twinbeat standby"]);
}

#[test]
fn a_weak_gate_does_not_outlive_the_daemon() {
    hindered(&plan(&[], |facts| facts.gate_stays = false), &["weak", "twinbeat standby"]);
    assert_eq!(
        plan(&[], |facts| {
            facts.gate_stays = false;
            facts.held.clear();
        }),
        Plan::default()
    );
}

#[test]
fn a_key_is_taken_up_when_the_other_node_knows_it_and_let_go_when_nobody_uses_it() {
    let key = |node: usize| twinbeat_config::keys::public_text(&load(FAST).nodes[node].public_key);
    let new = ed25519_dalek::SigningKey::from_bytes(&[7; 32]).verifying_key();
    let text = twinbeat_config::keys::public_text(&new);
    let line = |node: usize| format!("public_key = \"{}\"\n", key(node));
    for (node, me) in [(0, true), (1, false)] {
        let (only_old, only_new) = (line(node), format!("public_key = \"{text}\"\n"));
        let both = format!("{only_old}next_public_key = \"{text}\"\n");
        let files = [&only_old, &both, &only_new].map(|lines| with(&[(&only_old, lines)]));
        let uses = |old: usize, new_file: usize, new_key: bool| {
            let mut facts = facts(&files[old], &files[new_file]);
            let used = if new_key { new.to_bytes() } else { load(FAST).nodes[node].public_key.to_bytes() };
            if me {
                facts.my_key = used
            } else {
                facts.peer_key = used
            }
            Plan::of(&files[old], &files[new_file], &facts).hindrances.is_empty()
        };
        assert!(uses(0, 1, false), "the second key is named");
        assert!(uses(1, 1, true), "and used");
        assert!(uses(1, 2, true), "and the first one taken away");
        assert!(!uses(0, 2, me), "at once: {node}");
        // Each node's own file is refused when its own key is not in it; of the peer's the plan knows.
        assert!(me || !uses(1, 2, false), "taken away while it is used");
        assert!(!me || !uses(0, 1, true), "used before the peer can know it");
    }
}

#[test]
fn what_is_left_running_and_where_the_peer_is_not_heard_meanwhile_is_said() {
    let old = load(FAST);
    let link = &old.nodes[0].links[0];
    let plan = plan(&[(&format!("\"{}\"", link.address), "\"10.77.1.1\"")], |_| ());
    assert_eq!(plan.hindrances, Vec::<String>::new());
    assert!(plan.notes.iter().any(|note| note.contains(&*link.name) && note.contains("until it has the same file")), "{plan:#?}");
    let gone = Plan::of(&old, &with(&[("name = \"web\"", "name = \"shop\"")]), &facts(&old, &old));
    hindered(&gone, &["192.168.42.14/25 goes from group web", "to group shop", "twinbeat standby"]);
    assert!(gone.notes.iter().any(|note| note.contains("group web is in this file no more")), "{gone:#?}");
    assert!(gone.notes.iter().any(|note| note.contains("stop it yourself")), "{gone:#?}");
}
