//! Journals that no daemon wrote: each is refused with a reason or played, and none ends the program.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;

use super::file::{Begins, File, Head};
use super::line::{Coder, Line};
use super::replay::{Nobody, play};
use super::tests::lives;
use twinbeat_core::io::Output;
use twinbeat_core::node::Node;
use twinbeat_core::time::Span;
use twinbeat_sim::act::Act;
use twinbeat_sim::clock::Moment;
use twinbeat_sim::rng::Rng;
use twinbeat_whatif::what_if;

fn inputs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../netns-tests/inputs/journal")
}

#[test]
fn what_fuzzing_found_is_refused_with_file_and_line() {
    for (name, said) in [("indices.jsonl", ":1:"), ("nodes.jsonl", ":1:")] {
        let file = [inputs().join(name)];
        let trouble = play(&file, &mut Nobody).unwrap_err().to_string();
        assert!(trouble.contains(name) && trouble.contains(said), "{trouble}");
        let trouble = what_if(&file, &["timing.dead=5s".into()]).unwrap_err().to_string();
        assert!(trouble.contains(said), "{trouble}");
    }
}

/// One place of a value becomes another number, nothing, twice as much, or something that stands elsewhere.
fn mutate(value: &mut Value, rng: &mut Rng) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            let place = rng.below(map.len() as u64) as usize;
            if let Some((_, inner)) = map.iter_mut().nth(place) {
                mutate(inner, rng);
            }
        }
        Value::Array(list) if !list.is_empty() => {
            let place = rng.below(list.len() as u64) as usize;
            match rng.below(8) {
                0 => drop(list.remove(place)),
                1 => list.push(list[place].clone()),
                2 => list.clear(),
                _ => mutate(&mut list[place], rng),
            }
        }
        Value::Number(_) => {
            let odd = [0, 1, 2, 3, 7, 15, 16, 17, 64, 255, 256, 65_535, 1 << 32, 1 << 62, u64::MAX - 1, u64::MAX];
            *value = odd[rng.below(odd.len() as u64) as usize].into();
        }
        Value::Bool(was) => *was = !*was,
        _ => *value = if rng.below(2) == 0 { Value::Null } else { Value::from(rng.below(300)) },
    }
}

/// The journal that the mutated node would have written: its outputs are its own, so that it is played to its end.
fn forged(path: &Path) -> Option<String> {
    let file = File::read(path).ok()??;
    let mut node = file.head.state.clone();
    let mut text = serde_json::to_vec(&file.head).ok()?;
    text.push(b'\n');
    let (mut reader, mut writer) = (Coder::default(), Coder::default());
    for (_, line) in file.lines() {
        let Ok(Line::Input(at, input)) = reader.read(line) else { continue };
        writer.input(&mut text, at, &input);
        node.handle(at, input);
        let outputs: Vec<Output> = std::iter::from_fn(|| node.poll()).collect();
        writer.outputs(&mut text, &outputs);
    }
    String::from_utf8(text).ok()
}

/// The journal of a standby that claims, from its start, and the same begun shortly before the peer fell silent.
fn true_ones() -> Vec<Vec<String>> {
    let lives = lives(Span::secs(9), |world| {
        world.apply(&Act::Start(0));
        world.apply(&Act::Start(1));
        world.run_until(Moment(Span::secs(6).0));
        world.apply(&Act::PowerOff(0));
    });
    let mut all = Vec::new();
    for (settings, at, tape) in lives {
        for skipped in [0, tape.len() / 2] {
            let mut node = Node::new(settings.clone(), at);
            let mut text = Vec::new();
            let mut writer = Coder::default();
            for (place, (at, input)) in tape.iter().enumerate() {
                if place == skipped {
                    let begins = if place == 0 { Begins::Start } else { Begins::Gap };
                    text = serde_json::to_vec(&Head::new(&node, *at, begins, 0)).unwrap();
                    text.push(b'\n');
                    writer = Coder::default();
                }
                writer.input(&mut text, *at, input);
                node.handle(*at, input.clone());
                let outputs: Vec<Output> = std::iter::from_fn(|| node.poll()).collect();
                writer.outputs(&mut text, &outputs);
            }
            all.push(String::from_utf8(text).unwrap().lines().map(str::to_owned).collect());
        }
    }
    all
}

/// Power may go at any byte of the last writes: what was whole before is played, and the rest is left out and said so.
#[test]
fn a_journal_that_is_cut_off_at_any_byte_is_played_up_to_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("0000000001.jsonl");
    for lines in true_ones() {
        let text = lines.join("\n") + "\n";
        let head = lines[0].len() + 1;
        let cuts =
            (0..head).step_by(397).chain(head.saturating_sub(3)..head + 120).chain(text.len().saturating_sub(300)..=text.len());
        for cut in cuts {
            std::fs::write(&path, &text.as_bytes()[..cut]).unwrap();
            let played = play(std::slice::from_ref(&path), &mut Nobody).unwrap_or_else(|trouble| panic!("{cut}: {trouble}"));
            let whole = text.as_bytes()[..cut].last() == Some(&b'\n');
            assert!(whole || !played.remarks.is_empty(), "{cut}: what is left out is said");
        }
    }
}

/// Played as it is, and, as the mutated node would have written it, asked what would have been.
fn played_and_asked(lines: &[String]) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("0000000001.jsonl");
    std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    let _ = play(std::slice::from_ref(&path), &mut Nobody);
    if let Some(text) = forged(&path) {
        std::fs::write(&path, text).unwrap();
        let _ = what_if(&[path], &["timing.dead=5s".into(), "timing.lease=900ms".into()]);
    }
}

/// Whether it ends within a minute; a whole run takes a third of a second. What it panics with goes on.
fn ends(work: impl FnOnce() + Send + 'static) -> bool {
    let (done, waits) = std::sync::mpsc::channel();
    let worker = std::thread::spawn(move || {
        work();
        let _ = done.send(());
    });
    match waits.recv_timeout(Duration::from_secs(60)) {
        Err(RecvTimeoutError::Timeout) => false,
        Ok(()) | Err(RecvTimeoutError::Disconnected) => worker.join().is_ok(),
    }
}

/// Found by chance: at the end of time whatever lies ahead is due at once, and an owner that opens its gate there loses it there.
#[test]
fn a_time_that_no_machine_comes_to_and_one_that_goes_back_are_refused() {
    let lines = true_ones().swap_remove(2);
    let (place, when) = (lines.len() / 2, |line: &str| line[1..].split(',').next().unwrap().parse::<u64>().unwrap());
    let place = (place..).find(|place| lines[*place].contains(r#","e","#) && !lines[*place].starts_with("[\"o")).unwrap();
    let now = when(&lines[place]);
    for (other, said) in
        [(u64::MAX, "none that a machine comes to"), (1 << 62, "none that a machine comes to"), (now / 2, "lies before")]
    {
        let mut lines = lines.clone();
        lines[place] = lines[place].replacen(&now.to_string(), &other.to_string(), 1);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0000000001.jsonl");
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
        let trouble = play(std::slice::from_ref(&path), &mut Nobody).unwrap_err().to_string();
        assert!(trouble.contains(&format!(":{}: ", place + 1)) && trouble.contains(said), "{trouble}");
        assert!(ends(move || played_and_asked(&lines)));
    }
    let mut lines = lines;
    let mut head: Value = serde_json::from_str(&lines[0]).unwrap();
    head["state"]["last"] = u64::MAX.into();
    lines[0] = head.to_string();
    assert!(ends(move || played_and_asked(&lines)), "a node that was in use after its head was written");
}

thread_local! {
    static TRUE: Vec<Vec<String>> = true_ones();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(150), max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn any_mutated_journal_is_refused_or_played(seed: u64, times in 1..4_u32) {
        let mut rng = Rng::new(seed);
        let mut lines = TRUE.with(|all| rng.pick(all).unwrap().clone());
        for _ in 0..times {
            // The head is one line of many, and holds the most.
            let place = if rng.below(2) == 0 { 0 } else { rng.below(lines.len() as u64) as usize };
            let mut value: Value = serde_json::from_str(&lines[place]).unwrap();
            mutate(&mut value, &mut rng);
            lines[place] = value.to_string();
        }
        prop_assert!(ends(move || played_and_asked(&lines)), "it does not end: seed {seed}, {times} times");
    }
}
