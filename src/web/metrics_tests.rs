//! Both formats, line by line, by their own rules: the text format of Prometheus 0.0.4, and OpenMetrics 1.0.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use prometheus_client::encoding::{prometheus_text, text};

use crate::crafted::seen;
use crate::registry::registry;

fn open_metrics() -> String {
    let mut out = String::new();
    text::encode(&mut out, &registry(Arc::new(seen()))).unwrap();
    out
}

fn prometheus() -> String {
    let mut out = String::new();
    prometheus_text::encode(&mut out, &registry(Arc::new(seen()))).unwrap();
    out
}

#[derive(Default, Debug)]
struct Family {
    help: Option<String>,
    kind: Option<String>,
    unit: Option<String>,
    samples: Vec<(String, BTreeMap<String, String>, f64)>,
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_lowercase())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// `{a="b",c="d"}` and what comes behind it.
fn labels(text: &str) -> (BTreeMap<String, String>, &str) {
    let mut all = BTreeMap::new();
    let Some(mut rest) = text.strip_prefix('{') else { return (all, text) };
    assert!(!rest.starts_with('}'), "no empty braces: {text}");
    loop {
        let (name, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("{text}"));
        assert!(is_name(name), "{text}");
        let (mut value, mut chars) = (String::new(), after.char_indices());
        let end = loop {
            match chars.next().unwrap_or_else(|| panic!("a label without its end: {text}")) {
                (at, '"') => break at,
                (_, '\\') => match chars.next().unwrap().1 {
                    'n' => value.push('\n'),
                    same @ ('"' | '\\') => value.push(same),
                    odd => panic!("escaped {odd}: {text}"),
                },
                (_, other) => value.push(other),
            }
        };
        assert!(all.insert(name.to_owned(), value).is_none(), "{name} twice: {text}");
        rest = &after[end + 1..];
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => return (all, rest.strip_prefix('}').unwrap_or_else(|| panic!("{text}"))),
        }
    }
}

/// The name of the family that a sample belongs to.
fn family_of<'a>(sample: &'a str, families: &BTreeMap<String, Family>) -> &'a str {
    let suffixes = ["_total", "_info", "_bucket", "_count", "_sum", ""];
    let bases = suffixes.iter().filter_map(|suffix| sample.strip_suffix(suffix));
    bases
        .filter(|base| families.contains_key(*base))
        .max_by_key(|base| base.len())
        .unwrap_or_else(|| panic!("{sample} has no TYPE before it"))
}

fn read(text: &str, open: bool) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let (mut current, mut series) = (String::new(), BTreeSet::new());
    assert!(text.ends_with('\n'));
    let body = if open { text.strip_suffix("# EOF\n").expect("an end") } else { text };
    assert!(!body.contains("# EOF"));
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# ") {
            let mut words = rest.splitn(3, ' ');
            let (what, name, said) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap_or_default());
            assert!(is_name(name) && name.starts_with("twinbeat_"), "{line}");
            if name != current {
                assert!(!families.contains_key(name), "the family {name} stands in two places");
                current = name.to_owned();
            }
            let family = families.entry(name.to_owned()).or_default();
            assert!(family.samples.is_empty(), "{line} behind its samples");
            let place = match what {
                "HELP" => &mut family.help,
                "TYPE" => &mut family.kind,
                "UNIT" if open => &mut family.unit,
                _ => panic!("{line}"),
            };
            assert!(place.replace(said.to_owned()).is_none(), "{line} twice");
            continue;
        }
        let end = line.find(['{', ' ']).unwrap();
        let (labels, rest) = labels(&line[end..]);
        let value: f64 = rest.strip_prefix(' ').unwrap().parse().unwrap_or_else(|_| panic!("{line}"));
        let sample = &line[..end];
        assert_eq!(family_of(sample, &families), current, "{line} is not with its family");
        assert!(series.insert((sample.to_owned(), labels.clone())), "{line} twice");
        families.get_mut(&current).unwrap().samples.push((sample.to_owned(), labels, value));
    }
    families
}

/// What holds in both formats.
fn well_formed(families: &BTreeMap<String, Family>) {
    assert!(families.len() > 50, "{}", families.len());
    for (name, family) in families {
        let help = family.help.as_deref().unwrap_or_default();
        assert!(help.ends_with('.') && help.len() > 8 && !help.contains('\\'), "{name}: {help:?}");
        assert!(!family.samples.is_empty(), "{name} has no sample");
        // Base units, and nothing that a label is for.
        for odd in ["_ms", "_us", "milli", "micro", "percent", "_seconds_seconds", "_total_total"] {
            assert!(!name.contains(odd), "{name}");
        }
        if family.kind.as_deref() == Some("histogram") {
            histogram(name, family);
        }
    }
}

fn histogram(name: &str, family: &Family) {
    let mut buckets: BTreeMap<_, Vec<(f64, f64)>> = BTreeMap::new();
    let mut counts = BTreeMap::new();
    for (sample, labels, value) in &family.samples {
        let mut labels = labels.clone();
        match labels.remove("le") {
            Some(bound) => buckets.entry(labels).or_default().push((bound.parse().unwrap(), *value)),
            None if *sample == format!("{name}_count") => drop(counts.insert(labels, *value)),
            None => assert_eq!(*sample, format!("{name}_sum")),
        }
    }
    assert_eq!(buckets.keys().collect::<Vec<_>>(), counts.keys().collect::<Vec<_>>());
    for (labels, rows) in buckets {
        assert!(rows.windows(2).all(|two| two[0].0 < two[1].0 && two[0].1 <= two[1].1), "{name} {labels:?} {rows:?}");
        assert_eq!(rows.last().copied(), Some((f64::INFINITY, counts[&labels])), "{name}");
    }
}

#[test]
fn openmetrics_is_what_its_specification_says() {
    let families = read(&open_metrics(), true);
    well_formed(&families);
    for (name, family) in &families {
        let kind = family.kind.as_deref().unwrap();
        assert_eq!(family.unit.as_deref(), name.ends_with("_seconds").then_some("seconds"), "{name}");
        for (sample, labels, value) in &family.samples {
            let suffix = &sample[name.len()..];
            match kind {
                "gauge" => assert_eq!(suffix, ""),
                "counter" => assert!(suffix == "_total" && *value >= 0.0, "{sample}"),
                "info" => assert!(suffix == "_info" && *value == 1.0 && !labels.is_empty(), "{sample}"),
                "histogram" => assert!(["_bucket", "_count", "_sum"].contains(&suffix), "{sample}"),
                odd => panic!("{name}: {odd}"),
            }
        }
    }
}

#[test]
fn prometheus_text_names_the_type_of_each_sample_by_its_own_name() {
    let families = read(&prometheus(), false);
    well_formed(&families);
    for (name, family) in &families {
        match family.kind.as_deref().unwrap() {
            "histogram" => continue,
            "counter" => assert!(name.ends_with("_total"), "{name}"),
            "gauge" => assert!(!name.ends_with("_total"), "{name}"),
            odd => panic!("{name}: {odd} is no type of this format"),
        }
        assert!(family.samples.iter().all(|(sample, ..)| sample == name), "{name}");
    }
    let same = |families: &BTreeMap<String, Family>| {
        let rows = families.values().flat_map(|family| &family.samples);
        rows.map(|(name, labels, value)| format!("{name} {labels:?} {value}")).collect::<BTreeSet<_>>()
    };
    assert_eq!(same(&families), same(&read(&open_metrics(), true)), "the same figures in both");
}

#[test]
fn what_status_shows_is_told_in_base_units_and_one_series_a_state() {
    let families = read(&open_metrics(), true);
    let value = |sample: &str, wanted: &[(&str, &str)]| {
        let all = families.values().flat_map(|family| &family.samples);
        let hit: Vec<_> = all
            .filter(|(name, labels, _)| name == sample && wanted.iter().all(|(k, v)| labels.get(*k).is_some_and(|is| is == v)))
            .collect();
        assert_eq!(hit.len(), 1, "{sample} {wanted:?}: {hit:?}");
        hit[0].2
    };
    for (sample, labels, is) in [
        ("twinbeat_uptime_seconds", &[][..], 86_400.5),
        ("twinbeat_node_info", &[("node", "master1"), ("peer", "master2"), ("cluster", "web"), ("digest", "00ff")], 1.0),
        ("twinbeat_health", &[("state", "degraded")], 1.0),
        ("twinbeat_health", &[("state", "healthy")], 0.0),
        ("twinbeat_problems", &[], 1.0),
        ("twinbeat_group_owner", &[("group", "web"), ("node", "master1")], 1.0),
        ("twinbeat_group_owner", &[("group", "web"), ("node", "master2")], 0.0),
        ("twinbeat_group_owner", &[("group", "mail"), ("node", "master2")], 1.0),
        ("twinbeat_group_serving", &[("group", "web")], 1.0),
        ("twinbeat_group_serving", &[("group", "mail")], 0.0),
        ("twinbeat_group_role", &[("group", "mail"), ("role", "standby")], 1.0),
        ("twinbeat_group_role", &[("group", "mail"), ("role", "owner")], 0.0),
        ("twinbeat_group_epoch", &[("group", "web")], 8.0),
        ("twinbeat_group_takeover_ready", &[("group", "web"), ("kind", "crash")], 0.0),
        ("twinbeat_group_takeover_ready", &[("group", "web"), ("kind", "planned")], 1.0),
        ("twinbeat_group_lease_left_seconds", &[], 0.64),
        ("twinbeat_group_ground", &[("group", "web"), ("ground", "return path")], 1.0),
        ("twinbeat_group_ground", &[("group", "mail"), ("ground", "peer")], 0.0),
        ("twinbeat_group_return_path_round_trip_seconds", &[("group", "web")], 0.000_412),
        ("twinbeat_group_service_state", &[("group", "mail"), ("state", "failed")], 1.0),
        (
            "twinbeat_service_state",
            &[("group", "web"), ("service", "nginx.service"), ("state", "running"), ("warm", "true")],
            1.0,
        ),
        ("twinbeat_group_last_change_gap_seconds", &[("group", "web")], 0.003_1),
        ("twinbeat_group_standby_left_seconds", &[("group", "web")], 1_800.0),
        ("twinbeat_link_state", &[("link", "relay"), ("state", "blocked")], 1.0),
        ("twinbeat_link_round_trip_seconds", &[("link", "bond")], 0.000_21),
        ("twinbeat_link_loss_ratio", &[("link", "bond")], 0.25),
        ("twinbeat_bond_info", &[("link", "bond"), ("bond", "bond0"), ("mode", "active-backup")], 1.0),
        ("twinbeat_bond_slaves_up", &[("bond", "bond0")], 1.0),
        ("twinbeat_bond_slave_failures_total", &[("slave", "eth3")], 2.0),
        ("twinbeat_witness_reachable", &[], 1.0),
        ("twinbeat_witness_peer_reachable", &[], 0.0),
        ("twinbeat_witness_target_register", &[("address", "fe80::1"), ("by", "arp")], 0.0),
        ("twinbeat_frames_refused_total", &[("reason", "tag")], 3.0),
        ("twinbeat_events_total", &[("kind", "stall")], 0.0),
        ("twinbeat_link_heartbeat_lateness_seconds_bucket", &[("link", "bond"), ("le", "0.01")], 3.0),
        ("twinbeat_link_heartbeat_lateness_seconds_count", &[("link", "bond")], 6.0),
        ("twinbeat_link_round_trips_seconds_count", &[("link", "bond")], 6.0),
        ("twinbeat_loop_turn_seconds_sum", &[], 1.056),
    ] {
        let found = value(sample, labels);
        assert!((found - is).abs() < 1e-9, "{sample} {labels:?}: {found}, not {is}");
    }
    // Of the states of one thing exactly one is.
    let mut sums: BTreeMap<String, f64> = BTreeMap::new();
    for (name, labels, value) in families.values().flat_map(|family| &family.samples) {
        let state = ["state", "role", "guard"].iter().any(|key| labels.contains_key(*key));
        if state {
            let rest: Vec<_> = labels.iter().filter(|(key, _)| !["state", "role", "guard"].contains(&key.as_str())).collect();
            *sums.entry(format!("{name} {rest:?}")).or_default() += value;
        }
    }
    assert!(sums.len() > 10 && sums.values().all(|sum| *sum == 1.0), "{sums:?}");
}

#[test]
fn the_table_of_the_documentation_is_all_that_there_is() {
    let told = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/METRICS.md")).unwrap();
    let told: BTreeSet<&str> = told.lines().filter_map(|line| line.strip_prefix("| `twinbeat_")?.split('`').next()).collect();
    let text = prometheus();
    let there: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE twinbeat_")?.split(' ').next()).collect();
    assert_eq!(told, there);
}

/// Each `twinbeat_…` of a text.
fn named(text: &str) -> BTreeSet<&str> {
    let part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let starts = text.match_indices("twinbeat_").filter(|(at, _)| !text[..*at].ends_with(part));
    starts.map(|(at, _)| &text[at..text[at..].find(|c| !part(c)).map_or(text.len(), |end| at + end)]).collect()
}

#[test]
fn alerts_and_dashboard_ask_for_what_there_is() {
    let families = read(&prometheus(), false);
    let samples: BTreeSet<&str> = families.values().flat_map(|family| &family.samples).map(|(name, ..)| name.as_str()).collect();
    for file in ["prometheus/twinbeat.rules.yml", "prometheus/twinbeat.rules.test.yml", "grafana/twinbeat.json"] {
        let path = format!("{}/../../dist/{file}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let named = named(&text);
        assert!(named.len() > 5, "{file}");
        assert!(named.is_subset(&samples), "{file}: {:?}", named.difference(&samples).collect::<Vec<_>>());
    }
}

/// By Prometheus' own tool, where it is installed.
#[test]
fn the_alerts_do_what_their_tests_say() {
    let dist = concat!(env!("CARGO_MANIFEST_DIR"), "/../../dist/prometheus");
    for args in [["check", "rules", "twinbeat.rules.yml"], ["test", "rules", "twinbeat.rules.test.yml"]] {
        let Ok(done) = std::process::Command::new("promtool").args(args).current_dir(dist).output() else {
            eprintln!("SKIPPED: promtool is not installed (Debian's package prometheus)");
            return;
        };
        let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{args:?}: {said}");
    }
}
