//! Whatever is given: no panic, and what is written is judged like any other file.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::heartbeat::Dir;

fn source(name: &str, text: &str) -> Source {
    Source { name: name.to_owned(), text: text.to_owned() }
}

fn both(ha_cf: &str, resources: &str, keys: &str, conf: &str, id: Option<String>) {
    let dir = Dir {
        name: "d".to_owned(),
        ha_cf: Some(source("ha.cf", ha_cf)),
        haresources: Some(source("haresources", resources)),
        authkeys: Some(source("authkeys", keys)),
    };
    for dirs in [vec![dir.clone()], vec![dir.clone(), dir]] {
        if let Ok(import) = heartbeat::import(&dirs, &Options::default()) {
            judge(&import);
        }
    }
    let file = source("k.conf", conf);
    let ids: Vec<String> = id.into_iter().collect();
    let mut open = |_: &str, _: &str| Ok(vec![source("i", conf)]);
    for files in [vec![file.clone()], vec![file.clone(), file]] {
        if let Ok(import) = keepalived::import(&files, &ids, &mut open, &Options::default()) {
            judge(&import);
        }
    }
}

#[test]
fn files_of_the_greatest_size_are_answered_at_once() {
    let many = |line: &str| line.repeat(MOST_BYTES / 2 / line.len());
    let numbered = |front: &str, back: &str| -> String { (0..40_000).map(|n| format!("{front}{n}{back}\n")).collect() };
    for (ha_cf, resources) in [
        (many("bcast a\n"), many("a 10.0.0.1/24/eth0 x\n")),
        (format!("node a b\n{}", numbered("bcast e", "")), many("a\n")),
        (many("x\n"), numbered("a 10.0.0.1/24 s", "")),
        (numbered("node n", ""), format!("a {}", numbered("10.0.0.1/24/e", " \\"))),
        (many("ping h\n"), many("x::y ")),
        (many("\n"), many("a \\\n")),
    ] {
        let begun = worked();
        both(&ha_cf, &resources, &many("1\n"), "", None);
        at_once(begun, &format!("{ha_cf:.20} / {resources:.20}"));
    }
    for conf in [
        many("{"),
        many("}"),
        many("a {\n"),
        many("vrrp_instance V {\n}\n"),
        numbered("vrrp_instance V", " { virtual_ipaddress { 10.0.0.1/24 } }"),
        format!("vrrp_instance V {{ interface eth0\nvirtual_ipaddress {{\n{}}}\n}}\n", many("10.0.0.1/24\n")),
        format!("vrrp_instance V {{ interface eth0\n{}}}\n", many("notify_master x\n")),
        numbered("$A", "=x"),
        many("@a x\n"),
        many("include x\n"),
        many("\"x\n"),
        many("\\\n"),
    ] {
        let begun = worked();
        both("node a b\n", "", "", &conf, Some("a".to_owned()));
        at_once(begun, &format!("{conf:.20}"));
    }
}

/// Not in the square of its length: that would be minutes. The thread's own work counts, however busy the machine is.
fn at_once(begun: Duration, what: &str) {
    let took = worked() - begun;
    assert!(took.as_secs() < 10, "{took:?}: {what}");
}

/// How long this thread has run (/proc/thread-self/schedstat).
fn worked() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

/// A text with some of its pieces cut out, doubled, swapped or overwritten.
fn mutated(text: &str, changes: &[(u16, u16, u8)]) -> String {
    let mut words: Vec<String> = text.split_inclusive([' ', '\n']).map(str::to_owned).collect();
    for (at, other, how) in changes {
        if words.is_empty() {
            break;
        }
        let (at, other) = (usize::from(*at) % words.len(), usize::from(*other) % words.len());
        match how % 6 {
            0 => drop(words.remove(at)),
            1 => words.insert(other, words[at].clone()),
            2 => words.swap(at, other),
            3 => words[at].push(['{', '}', '"', '\\', '@', '$', ':', '/'][other % 8]),
            4 => words[at] = String::from_utf8_lossy(&[*how, b' ', 0xff, b'\n']).into_owned(),
            _ => {
                words[at] =
                    ["0 ", "-1 ", "99999999999999999999 ", "::\n", "//// ", "1.2.3.4/0 ", "relay ", "\n"][other % 8].to_owned()
            }
        }
    }
    words.concat()
}

fn changes() -> impl Strategy<Value = Vec<(u16, u16, u8)>> {
    proptest::collection::vec(any::<(u16, u16, u8)>(), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(text) = Source::of_bytes("x", &bytes) {
            both(&text.text, &text.text, &text.text, &text.text, None);
        }
    }

    #[test]
    fn no_words_make_it_panic(text in "[ \n\t{}\"'\\\\#!@$=:/.0-9a-f-]{0,200}") {
        both(&format!("node a b\n{text}"), &format!("a {text}"), &text, &format!("vrrp_instance V {{\n{text}\n}}\n"), Some("a".to_owned()));
    }

    #[test]
    fn no_change_of_a_sample_makes_it_panic(heartbeat in 0_usize..5, keepalived in 0_usize..6, one in changes(), two in changes(), three in changes()) {
        let name = ["recipe/master1", "crosswise", "storage", "hasty", "small"][heartbeat];
        let file = |file: &str| input(&format!("heartbeat/{name}/{file}")).map(|source| source.text).unwrap_or_default();
        let conf = ["classic", "unicast1", "unicast2", "shared", "two-masters", "vmac"][keepalived];
        let conf = input(&format!("keepalived/{conf}.conf")).unwrap().text;
        both(&mutated(&file("ha.cf"), &one), &mutated(&file("haresources"), &two), &mutated(&file("authkeys"), &one), &mutated(&conf, &three), Some("node-a".to_owned()));
    }
}
