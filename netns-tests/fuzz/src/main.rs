//! Coverage-guided fuzzing of whatever reads bytes from outside. `netns-tests/fuzz/run.sh` builds and runs it; TWINBEAT_FUZZ_TARGET says
//! which reader gets the bytes. Nothing here asserts more than that each input is taken or refused with words: a panic, an overflow or a hang is the finding.

#![no_main]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use twinbeat::config::{Config, keys};
use twinbeat::control::protocol::Request;
use twinbeat::core::id::{Incarnation, LinkId};
use twinbeat::core::io::{Input, Start};
use twinbeat::core::node::Node;
use twinbeat::core::time::{Mono, Span};
use twinbeat::host::neighbour::Neighbour;
use twinbeat::host::raw_echo::parse_reply;
use twinbeat::journal::replay::{Nobody, play};
use twinbeat::sim::files::Files;
use twinbeat::sim::script::Story;
use twinbeat::whatif::what_if;
use twinbeat::wire::{self, Opener, Pair};

type Take = fn(&[u8]);

static TARGETS: [(&str, Take); 9] = [
    ("frame", frame),
    ("body", body),
    ("public", public),
    ("config", config),
    ("request", request),
    ("journal", journal),
    ("scenario", scenario),
    ("state", state),
    ("netlink", netlink),
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
        let key = keys::load(&KEYS.0, "a", &mine).unwrap();
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

fn request(data: &[u8]) {
    let _ = serde_json::from_slice::<Request>(data);
}

fn journal(data: &[u8]) {
    let file = [FOLDER.join("0000000001.jsonl")];
    fs::write(&file[0], data).unwrap();
    let _ = play(&file, &mut Nobody);
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
    twinbeat::host::fuzzed_netlink(data);
}
