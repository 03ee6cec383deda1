//! Coverage-guided fuzzing of whatever reads bytes from outside. `netns-tests/fuzz/run.sh` builds and runs it; TWINBEAT_FUZZ_TARGET says
//! which reader gets the bytes. Nothing here asserts more than that each input is taken or refused with words: a panic, an overflow or a hang is the finding.
//!
//! What is read from outside and has no target, since others read it: packets by the sockets' filters (the kernel), ICMP by surge-ping behind
//! such a filter, the command line (clap), /proc and sysctls but for a process's name (the kernel).

#![no_main]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// A file of the program alone; it uses the standard library only.
#[allow(dead_code)]
#[path = "../../../src/cli/check/nginx.rs"]
mod nginx;

use libfuzzer_sys::fuzz_target;
use twinbeat::config::{Config, keys};
use twinbeat::control::protocol::{Request, Response};
use twinbeat::core::id::{Incarnation, LinkId};
use twinbeat::core::io::{Input, Start};
use twinbeat::core::node::Node;
use twinbeat::core::time::{Mono, Span};
use twinbeat::host::neighbour::Neighbour;
use twinbeat::host::raw_echo::parse_reply;
use twinbeat::import::heartbeat::{self, Dir};
use twinbeat::import::{Import, Options, Source, Wrong, keepalived};
use twinbeat::journal::replay::{Nobody, play};
use twinbeat::journal::why::explain;
use twinbeat::service::AgentSpec;
use twinbeat::service::ocf::{MetaData, Times, judge as compare};
use twinbeat::sim::files::Files;
use twinbeat::sim::script::Story;
use twinbeat::whatif::what_if;
use twinbeat::wire::{self, Opener, Pair};

type Take = fn(&[u8]);

static TARGETS: [(&str, Take); 15] = [
    ("agent", agent),
    ("body", body),
    ("config", config),
    ("control", control),
    ("frame", frame),
    ("heartbeat", heartbeat_files),
    ("journal", journal),
    ("keepalived", keepalived_files),
    ("key", key),
    ("netlink", netlink),
    ("nginx", nginx),
    ("public", public),
    ("record", record),
    ("scenario", scenario),
    ("state", state),
];

static TAKE: LazyLock<Take> = LazyLock::new(|| {
    let wanted = std::env::var("TWINBEAT_FUZZ_TARGET").unwrap_or_default();
    TARGETS.iter().find(|(name, _)| *name == wanted).expect("TWINBEAT_FUZZ_TARGET names none of the targets").1
});

fuzz_target!(|data: &[u8]| TAKE(data));

/// A folder in memory for what is read from a file.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| tempfile::tempdir_in("/dev/shm").unwrap().keep());

static PAIR: LazyLock<Config> = LazyLock::new(|| {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/pairs/recipe.toml");
    Config::read(&file).unwrap()
});

fn frame(data: &[u8]) {
    static KEYS: LazyLock<(PathBuf, [String; 2])> = LazyLock::new(|| {
        let own = |n: usize| keys::generate(&FOLDER.join(format!("{n}.key"))).map(|key| keys::public_text(&key)).unwrap();
        (FOLDER.join("0.key"), [own(0), own(1)])
    });
    thread_local!(static OPENER: std::cell::RefCell<Opener> = {
        let [mine, theirs] = KEYS.1.each_ref().map(|text| keys::parse_public(text).unwrap());
        let key = keys::load(&KEYS.0, "a", [mine]).unwrap();
        let pair = Pair { cluster: &PAIR.cluster, nodes: ["a", "b"], me: twinbeat::core::id::NodeId(0) };
        std::cell::RefCell::new(Opener::new(&pair, &key, &theirs, PAIR.names()).unwrap())
    });
    let path = wire::Path::Link("lan".into());
    let whole = [&wire::MAGIC[..], &[wire::FRAME_VERSION], data].concat();
    OPENER.with_borrow_mut(|opener| {
        assert!(opener.open(&path, data).is_err() && opener.open(&path, &whole).is_err(), "nobody signed this");
    });
}

/// Bodies one behind the other, each with its length before it, into a node with time going by.
fn body(data: &[u8]) {
    let mut now = Mono::ZERO + Span::secs(100);
    let mut node = Node::new(PAIR.settings(&PAIR.nodes[0].name).unwrap(), now);
    let groups = PAIR.groups.len();
    let start = Start {
        incarnation: Incarnation(7),
        record: Default::default(),
        gates: vec![None; groups],
        addresses: vec![false; groups],
        running: vec![false; groups],
    };
    node.handle(now, Input::Start(start));
    let mut rest = data;
    while let [length, link, after @ ..] = rest {
        let (one, others) = after.split_at(after.len().min(usize::from(*length)));
        rest = others;
        if let Some(beat) = wire::fuzzed_body(one, &PAIR.names()) {
            node.handle(now, Input::Heard { link: LinkId(link % 4), beat: Arc::new(beat) });
        }
        now = now + Span::millis(u64::from(*link));
        node.handle(now, Input::Tick);
        while node.poll().is_some() {}
    }
}

/// What an OCF agent says of itself, against a configuration of it.
fn agent(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match MetaData::read(text) {
        Ok(meta) => {
            let (root, program) = ("/usr/lib/ocf".into(), "/usr/lib/ocf/resource.d/heartbeat/db".into());
            let parameters = [("dir", "/srv"), ("prot", "1"), ("port", "x")].map(|(name, value)| (name.into(), value.into())).into();
            let spec = AgentSpec { root, program, provider: "heartbeat".into(), agent: "db".into(), parameters, promoted: true };
            let _ = (compare(&spec, Times { start: Duration::ZERO, stop: Duration::MAX }, &meta), meta.action("monitor", true));
        }
        Err(why) => assert!(!why.is_empty()),
    }
}

fn public(data: &[u8]) {
    let _ = (Neighbour::parse(data), parse_reply(data));
}

fn config(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && let Err(error) = Config::load(Path::new("fuzzed.toml"), text)
    {
        assert!(!error.to_string().is_empty());
    }
}

fn control(data: &[u8]) {
    let _ = (serde_json::from_slice::<Request>(data), serde_json::from_slice::<Response>(data));
}

/// A public key as it stands in a file, and a private key's file.
fn key(data: &[u8]) {
    static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
        let file = FOLDER.join("fuzzed.key");
        keys::generate(&file).unwrap();
        file
    });
    fs::write(&*FILE, data).unwrap();
    let _ = keys::read(&FILE);
    let _ = std::str::from_utf8(data).map(keys::parse_public);
}

/// Several files in one input, by lines of `%%`.
fn files(data: &[u8]) -> Vec<Source> {
    let Ok(text) = std::str::from_utf8(data) else { return Vec::new() };
    text.split("%%\n").filter_map(|part| Source::of_bytes("fuzzed", part.as_bytes()).ok()).collect()
}

fn judge(import: Result<Import, Vec<Wrong>>) {
    match import {
        Ok(import) => assert!(!import.text.is_empty()),
        Err(wrong) => assert!(!wrong.is_empty()),
    }
}

/// ha.cf, haresources and authkeys of one node, and of the other.
fn heartbeat_files(data: &[u8]) {
    let dir = |files: &[Source]| Dir {
        name: "fuzzed".into(),
        ha_cf: files.first().cloned(),
        haresources: files.get(1).cloned(),
        authkeys: files.get(2).cloned(),
    };
    let dirs: Vec<Dir> = files(data).chunks(3).map(dir).collect();
    if !dirs.is_empty() {
        judge(heartbeat::import(&dirs, &Options::default()));
    }
}

/// keepalived.conf of one node and of the other; the first one is also what each `include` finds.
fn keepalived_files(data: &[u8]) {
    let files = files(data);
    let Some(included) = files.first().cloned() else { return };
    for ids in [vec![], vec!["a".to_owned()], vec!["a".to_owned(), "b".to_owned()]] {
        let mut open = |_: &str, _: &str| Ok(vec![included.clone()]);
        judge(keepalived::import(&files, &ids, &mut open, &Options::default()));
    }
}

fn nginx(data: &[u8]) {
    let file = FOLDER.join("nginx.conf");
    fs::write(&file, data).unwrap();
    let _ = (nginx::listens(&file), nginx::ports(&file));
}

/// What is remembered of a service's process, and what /proc says of one: its name is foreign.
fn record(data: &[u8]) {
    let file = FOLDER.join("record.json");
    fs::write(&file, data).unwrap();
    twinbeat::service::fuzzed_record(&file, &String::from_utf8_lossy(data));
}

fn journal(data: &[u8]) {
    let file = [FOLDER.join("0000000001.jsonl")];
    fs::write(&file[0], data).unwrap();
    let _ = play(&file, &mut Nobody);
    let _ = explain(&file, 5);
    let _ = what_if(&file, &["timing.dead=5s".into()]);
}

fn scenario(data: &[u8]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    if let Ok(text) = std::str::from_utf8(data)
        && let Err(why) = Story::read(text, "fuzzed.json", &folder, &Files)
    {
        assert!(why.contains("fuzzed.json"), "{why}");
    }
}

fn state(data: &[u8]) {
    fs::write(FOLDER.join("state.json"), data).unwrap();
    let _ = twinbeat::daemon::fuzzed_state(&FOLDER);
}

fn netlink(data: &[u8]) {
    twinbeat::host::fuzzed::netlink(data);
}
