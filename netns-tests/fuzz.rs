//! Whatever reads bytes from outside, given inputs that were found by fuzzing, true ones, and both mutated: each is taken or refused with
//! a reason, and none ends the program. The same mutations in every run; `TWINBEAT_FUZZ=100000 cargo test --release --test fuzz` is the long
//! mode. Inputs are kept, small, under `inputs/TARGET/`.
//!
//! What has no public entry is fuzzed beside its code, in the same way: heartbeat frames (`src/wire/attack_tests.rs`), bodies into a node
//! and forged journals (`src/journal/crafted_tests.rs`), netlink (`src/host/netlink_tests.rs`), the state file (`src/daemon/state.rs`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use twinbeat::config::Config;
use twinbeat::control::protocol::Request;
use twinbeat::core::id::{GroupId, Mac, NodeId};
use twinbeat::host::neighbour::{Neighbour, gratuitous, probe, write};
use twinbeat::host::raw_echo::{Purpose, Route, Tag, parse_reply, request};
use twinbeat::journal::replay::{Nobody, play};
use twinbeat::service::ocf::MetaData;
use twinbeat::sim::rng::Rng;
use twinbeat::whatif::what_if;

fn times() -> u64 {
    std::env::var("TWINBEAT_FUZZ").ok().and_then(|n| n.parse().ok()).unwrap_or(100)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The files of a folder with this ending.
fn files(folder: &str, ending: &str) -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == ending));
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// A few bytes are changed, left out, said twice, or taken from another input.
fn mutate(bytes: &mut Vec<u8>, others: &[Vec<u8>], rng: &mut Rng) {
    for _ in 0..rng.between(1, 5) {
        let place = |bytes: &[u8], rng: &mut Rng| rng.below(bytes.len() as u64 + 1) as usize;
        let (a, b) = (place(bytes, rng), place(bytes, rng));
        let (from, to) = (a.min(b), a.max(b).min(a.min(b) + 40));
        match rng.below(6) {
            0 => bytes.truncate(a),
            1 => drop(bytes.drain(from..to)),
            2 => {
                let twice = bytes[from..to].to_vec();
                bytes.splice(to..to, twice);
            }
            3 => {
                let Some(other) = rng.pick(others) else { continue };
                let start = place(other, rng);
                let part = other[start..other.len().min(start + 30)].to_vec();
                bytes.splice(from..to, part);
            }
            4 => {
                // A number becomes another one.
                let digits: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at].is_ascii_digit()).collect();
                let Some(at) = rng.pick(&digits).copied() else { continue };
                let odd: [&[u8]; 6] = [b"0", b"-1", b"256", b"18446744073709551615", b"1e309", b"99999999999999999999"];
                bytes.splice(at..=at, rng.pick(&odd).unwrap().iter().copied());
            }
            _ => {
                if let Some(byte) = bytes.get_mut(a) {
                    *byte = rng.bits() as u8;
                }
            }
        }
    }
}

/// Gives `take` each input as it is, and mutated.
fn each(inputs: &[Vec<u8>], mut take: impl FnMut(&[u8])) {
    assert!(!inputs.is_empty());
    for (place, input) in inputs.iter().enumerate() {
        take(input);
        for time in 0..times().div_ceil(inputs.len() as u64) {
            let mut bytes = input.clone();
            mutate(&mut bytes, inputs, &mut Rng::new(time << 16 | place as u64));
            take(&bytes);
        }
    }
}

#[test]
fn configurations() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("twinbeat.toml");
    let inputs = [files("netns-tests/inputs/config", "toml"), files("scenarios/pairs", "toml"), files("dist", "toml")].concat();
    each(&inputs, |bytes| {
        fs::write(&path, bytes).unwrap();
        match Config::read(&path) {
            Ok(config) => assert!(config.timing.lease.0 > 0),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
}

#[test]
fn journals_and_what_ifs() {
    let dir = tempfile::tempdir().unwrap();
    let path = [dir.path().join("0000000001.jsonl")];
    each(&files("netns-tests/inputs/journal", "jsonl"), |bytes| {
        fs::write(&path[0], bytes).unwrap();
        if let Err(trouble) = play(&path, &mut Nobody) {
            assert!(!trouble.to_string().is_empty());
        }
        let _ = what_if(&path, &["timing.dead=5s".into()]);
    });
}

#[test]
fn descriptions_of_agents() {
    each(&files("netns-tests/inputs/agent", "xml"), |bytes| {
        if let Err(why) = MetaData::read(&String::from_utf8_lossy(bytes)) {
            assert!(!why.is_empty());
        }
    });
}

#[test]
fn requests() {
    let inputs: Vec<Vec<u8>> = [
        &br#"{"status":{}}"#[..],
        br#"{"standby":{"group":"web","lasting":60000000000,"reason":"a kernel"}}"#,
        br#"{"takeover":{"group":null}}"#,
        br#"{"resume":{}}"#,
    ]
    .map(<[u8]>::to_vec)
    .into();
    each(&inputs, |bytes| drop(serde_json::from_slice::<Request>(bytes)));
}

#[test]
fn frames_of_the_public_side() {
    let (mine, peer) = (Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2]));
    let mut inputs = Vec::new();
    for [vip, witness] in [["192.0.2.10", "192.0.2.1"], ["2001:db8::10", "2001:db8::1"]] {
        let [vip, witness]: [IpAddr; 2] = [vip, witness].map(|ip| ip.parse().unwrap());
        inputs.extend([gratuitous(mine, vip), probe(mine, vip)]);
        inputs.extend(write(mine, vip, witness, Some(peer)));
        let tag = Tag { purpose: Purpose::Vip(GroupId(0)), sender: NodeId(1), life: 7, number: 9 };
        let mut echo = request(&Route { from: mine, to: peer, source: vip, witness }, &tag, &[7; 200]).unwrap();
        inputs.push(echo.clone());
        // As its answer: the type that says so.
        let kind = if vip.is_ipv4() { 34 } else { 54 };
        echo[kind] = if vip.is_ipv4() { 0 } else { 129 };
        inputs.push(echo);
    }
    each(&inputs, |bytes| {
        let _ = (Neighbour::parse(bytes), parse_reply(bytes));
    });
}
