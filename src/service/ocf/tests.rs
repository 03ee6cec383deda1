//! What an agent says of itself, what its exit codes mean, what it finds in its environment.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::codes::{Health, reason, told};
use super::environment::{Action, variables};
use super::record::Record;
use super::{AgentSpec, Content, MetaData, Remark, Times, judge};
use crate::attempt::Env;
use crate::runner::Ended;

const TEXT: &str = include_str!("../../../netns-tests/inputs/agent/db.xml");

fn meta() -> MetaData {
    MetaData::read(TEXT).unwrap()
}

fn agent(parameters: &[(&str, &str)]) -> AgentSpec {
    AgentSpec {
        root: "/usr/lib/ocf".into(),
        program: "/usr/lib/ocf/resource.d/heartbeat/db".into(),
        provider: "heartbeat".into(),
        agent: "db".into(),
        parameters: parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        promoted: false,
    }
}

#[test]
fn what_an_agent_says_of_itself_is_read() {
    let meta = meta();
    assert_eq!(meta.name, "db");
    let parameters: Vec<_> =
        meta.parameters.iter().map(|p| (p.name.as_str(), p.required, p.deprecated, p.content.clone())).collect();
    assert_eq!(
        parameters,
        [
            ("dir", true, false, Content::Text),
            ("port", false, false, Content::Integer),
            ("force", false, false, Content::Boolean),
            ("old", false, true, Content::Text),
            ("older", false, true, Content::Text),
            ("mode", false, false, Content::OneOf(vec!["rw".into(), "ro".into()])),
        ]
    );
    let times = |name: &str, promoted| meta.action(name, promoted).map(|action| (action.timeout, action.interval));
    let secs = |n| Some(Duration::from_secs(n));
    assert_eq!(times("start", false), Some((secs(120), None)));
    assert_eq!(times("stop", false), Some((secs(60), None)));
    assert_eq!(times("demote", true), Some((secs(120), None)));
    assert_eq!(times("monitor", true), Some((secs(30), secs(9))));
    assert_eq!(times("monitor", false), Some((secs(20), secs(10))));
    assert_eq!(times("reload", false), None);
}

#[test]
fn what_is_no_description_is_an_error_in_words() {
    let cases = [
        ("", "describes no resource agent"),
        ("sh: no such thing", "describes no resource agent"),
        ("<html></html>", "describes no resource agent"),
        ("<resource-agent><parameters>", "it ends within a tag"),
        ("<resource-agent></parameters>", "no XML at byte"),
        ("<resource-agent name=x/>", "no XML at byte"),
    ];
    for (text, why) in cases {
        let said = MetaData::read(text).unwrap_err();
        assert!(said.contains(why), "{text}: {said}");
    }
    let deep = "<resource-agent>".repeat(1000);
    assert!(MetaData::read(&deep).unwrap_err().contains("without end"));
    let long = format!("<resource-agent>{}</resource-agent>", "<x/>".repeat(200_000));
    assert!(MetaData::read(&long).unwrap_err().contains("more in it"));
    // No entity is opened, so that none grows.
    let laugh = format!(
        "<!DOCTYPE r [<!ENTITY a \"{0}\"><!ENTITY b \"{1}\">]><resource-agent name=\"&b;\"/>",
        "ha".repeat(100),
        "&a;".repeat(100)
    );
    assert!(MetaData::read(&laugh).unwrap().name.len() < 10);
}

proptest! {
    #[test]
    fn any_text_is_a_description_or_an_error(text in "\\PC{0,300}", bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = (MetaData::read(&text), MetaData::read(&String::from_utf8_lossy(&bytes)));
    }

    #[test]
    fn a_mutated_description_never_ends_anything(at in 0..TEXT.len(), cut in 0..40_usize, with in "[<>/&;\"'a-z= ]{0,8}") {
        let at = (0..=at).rev().find(|at| TEXT.is_char_boundary(*at)).unwrap();
        let end = (at + cut).min(TEXT.len());
        let text = format!("{}{with}{}", &TEXT[..at], &TEXT[end..]);
        if let Ok(meta) = MetaData::read(&text) {
            judge(&agent(&[("dir", "")]), Times { start: Duration::ZERO, stop: Duration::MAX }, &meta);
        }
    }

    #[test]
    fn any_record_is_sound_or_none(text in "\\PC{0,200}", odd in "\\PC{0,20}") {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web=db.ocf");
        std::fs::write(&path, text).unwrap();
        assert_eq!(Record::read(&path), None);
        let record = Record { instance: odd.clone(), agent: agent(&[("dir", &odd)]) };
        record.write(&path).unwrap();
        assert_eq!(Record::read(&path), Some(record));
    }
}

#[test]
fn a_record_that_no_process_could_have_had_counts_for_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("web=db.ocf");
    for (name, value) in [("a=b", "c"), ("a", "b\0c"), ("a\0", "b")] {
        Record { instance: "web.db".into(), agent: agent(&[(name, value)]) }.write(&path).unwrap();
        assert_eq!(Record::read(&path), None, "{name:?} {value:?}");
    }
    let relative = AgentSpec { program: "db".into(), ..agent(&[]) };
    Record { instance: "web.db".into(), agent: relative }.write(&path).unwrap();
    assert_eq!(Record::read(&path), None);
}

#[test]
fn what_cannot_work_is_wrong_and_what_could_be_better_a_note() {
    let times = |start, stop| Times { start: Duration::from_secs(start), stop: Duration::from_secs(stop) };
    let long = times(120, 60);
    let said = |parameters: &[(&str, &str)], times| -> Vec<String> {
        let word = |remark| match remark {
            Remark::Wrong(text) => format!("WRONG {text}"),
            Remark::Note(text) => format!("note {text}"),
        };
        judge(&agent(parameters), times, &meta()).into_iter().map(word).collect()
    };
    assert_eq!(
        said(&[("dir", "/srv"), ("port", "80"), ("force", "Yes"), ("mode", "rw"), ("trace_ra", "1")], long),
        Vec::<String>::new()
    );
    assert_eq!(said(&[], long), ["WRONG parameter `dir` is missing, and the agent needs it"]);
    assert_eq!(
        said(
            &[
                ("dir", ""),
                ("prot", "80"),
                ("elsewhere", "1"),
                ("port", "eighty"),
                ("force", "perhaps"),
                ("mode", "rx"),
                ("old", "1")
            ],
            times(30, 20)
        ),
        [
            "WRONG parameter `dir` is empty, and the agent needs it",
            "WRONG `elsewhere` is no parameter of this agent",
            "WRONG parameter force = \"perhaps\": allowed: true or false",
            "WRONG parameter mode = \"rx\": allowed: rw, ro",
            "note parameter `old` is deprecated by the agent",
            "WRONG parameter port = \"eighty\": allowed: a whole number",
            "WRONG `prot` is no parameter of this agent (did you mean `port`?)",
            "note start_timeout is 30s, and the agent advises 120s at the least",
            "note stop_timeout is 20s, and the agent advises 60s at the least",
        ]
    );
    let mut plain = meta();
    plain.actions.retain(|action| action.name != "demote");
    let promoted = AgentSpec { promoted: true, ..agent(&[("dir", "/srv")]) };
    assert_eq!(judge(&promoted, long, &plain), [Remark::Wrong("the agent has no action `demote`; leave `role` out".into())]);
    assert_eq!(judge(&promoted, long, &meta()), []);
}

#[test]
fn an_exit_code_means_what_the_api_says() {
    let of = |code| Health::of("ocf:heartbeat:db", &Ended::Exit(code, String::new()));
    let runs = |promoted, degraded| Health::Running { promoted, degraded };
    assert_eq!([0, 8, 190, 191].map(of), [runs(false, false), runs(true, false), runs(false, true), runs(true, true)]);
    assert_eq!(of(7), Health::Stopped);
    for (code, word) in [
        (1, "OCF_ERR_GENERIC"),
        (2, "OCF_ERR_ARGS"),
        (3, "OCF_ERR_UNIMPLEMENTED"),
        (4, "OCF_ERR_PERM"),
        (5, "OCF_ERR_INSTALLED"),
        (6, "OCF_ERR_CONFIGURED"),
        (9, "OCF_FAILED_PROMOTED"),
    ] {
        assert!(matches!(of(code), Health::Failed(why) if why.contains(word)), "{code}");
    }
    for code in [10, 126, 127, 189, 192, 255, -1] {
        assert!(matches!(of(code), Health::Unclear(_)), "{code}");
    }
    let other = |ended| Health::of("x", &ended);
    assert!(matches!(other(Ended::TimedOut(Duration::from_secs(20))), Health::Failed(_)));
    assert!(matches!(other(Ended::Signal(9)), Health::Unclear(_)));
    assert!(matches!(other(Ended::NotRun("no such file".into())), Health::Unclear(_)));
}

#[test]
fn of_what_an_agent_says_its_own_reason_is_told() {
    let said = "INFO: looking / ocf-exit-reason:No process state file found / db(web.db)[7]: ERROR: No process state file found";
    assert_eq!(reason(said), "No process state file found");
    assert_eq!(reason("plain words"), "plain words");
    let ended = Ended::Exit(5, said.to_owned());
    let text = told("ocf:heartbeat:db", "start", &ended);
    assert!(
        text.starts_with("ocf:heartbeat:db start: exit code 5 (OCF_ERR_INSTALLED")
            && text.ends_with("): No process state file found"),
        "{text}"
    );
}

#[test]
fn an_agent_finds_what_the_api_and_debians_shell_functions_read() {
    let env = Env { group: "web".into(), node: "master1".into(), epoch: Some(8), ending: false };
    let action = |name, interval| Action { name, timeout: Duration::from_secs(30), interval: Duration::from_millis(interval) };
    let of = |spec: &AgentSpec, action: &Action| -> BTreeMap<String, String> {
        variables(spec, "web.db", action, &env).into_iter().collect()
    };
    let start = of(&agent(&[("dir", "/srv"), ("port", "80")]), &action("start", 0));
    for (name, value) in [
        ("OCF_ROOT", "/usr/lib/ocf"),
        ("OCF_RA_VERSION_MAJOR", "1"),
        ("OCF_RA_VERSION_MINOR", "1"),
        ("OCF_RESOURCE_INSTANCE", "web.db"),
        ("OCF_RESOURCE_PROVIDER", "heartbeat"),
        ("OCF_RESOURCE_TYPE", "db"),
        ("OCF_RESKEY_dir", "/srv"),
        ("OCF_RESKEY_port", "80"),
        ("OCF_RESKEY_CRM_meta_name", "start"),
        ("OCF_RESKEY_CRM_meta_timeout", "30000"),
        ("OCF_RESKEY_CRM_meta_interval", "0"),
        ("OCF_RESKEY_CRM_meta_role", "Started"),
        ("TWINBEAT_GROUP", "web"),
        ("TWINBEAT_EPOCH", "8"),
    ] {
        assert_eq!(start.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(!start.contains_key("OCF_CHECK_LEVEL") && !start.contains_key("OCF_RESKEY_CRM_meta_promotable"));
    let monitor = of(&AgentSpec { promoted: true, ..agent(&[]) }, &action("monitor", 10_000));
    let has = |name: &str, value: &str| assert_eq!(monitor.get(name).map(String::as_str), Some(value), "{name}");
    has("OCF_CHECK_LEVEL", "0");
    has("OCF_RESKEY_CRM_meta_interval", "10000");
    has("OCF_RESKEY_CRM_meta_promotable", "true");
    has("OCF_RESKEY_CRM_meta_master_max", "1");
}
