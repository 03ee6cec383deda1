#![allow(clippy::unwrap_used, clippy::panic)]

use super::super::file::name;
use super::super::lanes::{Of, Tone};
use super::super::tests::{lives, record, story};
use super::*;
use twinbeat_core::time::Span as Length;
use twinbeat_sim::act::Act;
use twinbeat_sim::clock::Moment;

/// More than the longest story here, so that its beginning is told too.
const LONG: Duration = Duration::from_secs(4000);

/// The standby's journal of a story in which its peer loses power at 150 s and is back at 180 s; and when it begins, in milliseconds since 1970.
fn recorded(until: Length) -> (tempfile::TempDir, u64) {
    let dir = tempfile::tempdir().unwrap();
    // Of so few bytes an hour takes several files.
    record(&dir.path().join(DIR), 16 << 20, &lives(until, story)[1]);
    // Each file was begun a moment after the one before it; of a daemon that ran so long the wall clock went with the node's.
    let files = list(&dir.path().join(DIR)).unwrap();
    let heads: Vec<Head> = files.iter().map(|(_, path, _)| File::read(path).unwrap().unwrap().head).collect();
    for ((_, path, _), head) in files.iter().zip(&heads) {
        let wall = heads[0].wall + (head.at.0 - heads[0].at.0);
        let text = std::fs::read_to_string(path).unwrap();
        let (was, is) = (format!("\"wall\":{}", head.wall), format!("\"wall\":{wall}"));
        std::fs::write(path, text.replacen(&was, &is, 1)).unwrap();
    }
    (dir, heads[0].wall / 1_000_000)
}

fn lane(past: &Past, of: Of, name: &str) -> Vec<(u64, String, Tone)> {
    let lane = past.lanes.0.iter().find(|lane| lane.of == of && lane.name == name).unwrap();
    let whole = lane.spans.first().unwrap().from;
    lane.spans.iter().map(|span| ((span.from - whole) / 1000, span.is.clone(), span.tone)).collect()
}

#[test]
fn a_failover_and_the_failback_are_in_the_lanes_with_the_evidence_of_each_decision() {
    let (dir, begin) = recorded(Length::secs(240));
    let past = look(dir.path(), begin + 241_000, LONG, LONG);
    assert_eq!(past.remarks, Vec::<String>::new());
    assert!(past.known.unwrap().abs_diff(begin) < 1_000, "{past:?}");
    let served: Vec<_> = lane(&past, Of::Group, "web").into_iter().map(|(at, is, tone)| (at / 10, is, tone)).collect();
    let is = |at, name: &str, tone| (at, name.to_owned(), tone);
    let expected = [
        is(0, "nobody", Tone::Bad),
        is(0, "master1", Tone::First),
        is(15, "nobody", Tone::Bad),
        is(15, "master2", Tone::Second),
        is(18, "nobody", Tone::Bad),
        is(18, "master1", Tone::First),
    ];
    assert_eq!(served, expected);
    let link = lane(&past, Of::Link, "heartbeat");
    assert!(link.iter().any(|(at, is, tone)| (150..155).contains(at) && is == "no carrier" && *tone == Tone::Bad), "{link:?}");
    assert_eq!(link.last().unwrap().1, "ok");

    let owner = past.events.iter().find(|event| event.kind == "owner").unwrap();
    assert_eq!(owner.group.as_deref(), Some("web"));
    assert!((begin + 150_000..begin + 158_000).contains(&owner.at), "{} after {begin}", owner.at);
    let why = owner.why.as_deref().unwrap();
    assert!(why.contains("known    peer       master1 silent") && why.contains("\n    missing  "), "{why}");
    let left = past.events.iter().find(|event| event.kind == "left").unwrap();
    assert!(left.why.as_deref().unwrap().contains("then"), "{left:?}");
    assert!(past.events.iter().all(|event| event.level != "debug"));
    assert!(past.events.is_sorted_by_key(|event| event.at));
}

#[test]
fn a_window_ends_where_it_ends_and_a_young_journal_says_from_when_on_it_knows() {
    let (dir, begin) = recorded(Length::secs(240));
    let now = begin + 241_000;
    let past = look(dir.path(), now, Duration::from_secs(120), LONG);
    assert_eq!((past.since, past.known), (now - 120_000, Some(now - 120_000)));
    assert_eq!(
        look(&dir.path().join(DIR), now, Duration::from_secs(120), LONG),
        past,
        "the journal's own directory is named as well"
    );
    assert!(past.events.iter().all(|event| event.at >= past.since) && past.events.iter().any(|event| event.kind == "owner"));
    let late = look(dir.path(), begin + 10 * 3_600_000, LONG, LONG);
    assert_eq!((late.known, late.lanes, late.events), (None, Lanes::default(), vec![]));
}

#[test]
fn while_a_daemon_hangs_nobody_looks_and_the_lanes_have_a_hole_to_its_very_ends() {
    let dir = tempfile::tempdir().unwrap();
    let lives = lives(Length::secs(100), |world| {
        world.apply(&Act::Start(0));
        world.apply(&Act::Start(1));
        world.run_until(Moment(Length::millis(40_700).0));
        world.apply(&Act::Hang(0));
        world.run_until(Moment(Length::secs(70).0));
        world.apply(&Act::Wake(0));
    });
    record(&dir.path().join(DIR), 64 << 20, &lives[0]);
    let (_, path, _) = list(&dir.path().join(DIR)).unwrap().remove(0);
    let head = File::read(&path).unwrap().unwrap().head;
    let begin = head.wall / 1_000_000;
    let past = look(dir.path(), begin + 100_000, LONG, LONG);
    let spans = &past.lanes.0.iter().find(|lane| lane.of == Of::Witness).unwrap().spans;
    let holes: Vec<(u64, u64)> =
        spans.windows(2).filter(|two| two[0].to < two[1].from).map(|two| (two[0].to, two[1].from)).collect();
    let [(from, to)] = holes[..] else { panic!("{spans:?}") };
    // The last input before it came with the last heartbeat or echo, a fifth of a second ago at the most.
    assert!(
        (40_500..=40_700).contains(&(from - begin)) && (70_000..70_100).contains(&(to - begin)),
        "{} to {}",
        from - begin,
        to - begin
    );
    let stall = past.events.iter().find(|event| event.kind == "stall").unwrap();
    assert!(stall.at.abs_diff(to) < 10 && stall.why.is_some(), "{stall:?}");
}

#[test]
fn no_journal_and_a_broken_one_are_said_and_lose_nothing_of_the_others() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(look(dir.path(), 1_000, LONG, LONG), Past::default());
    let past = look(&dir.path().join("nowhere"), 1_000, LONG, LONG);
    assert!(past.remarks[0].starts_with("the flight recorder's files cannot be read: "), "{past:?}");
    let (dir, begin) = recorded(Length::secs(240));
    let folder = dir.path().join(DIR);
    std::fs::write(folder.join(name(2)), "{}\n").unwrap();
    std::fs::write(folder.join(name(3)), "{\"tw").unwrap();
    let past = look(dir.path(), begin + 241_000, LONG, LONG);
    assert_eq!(past.remarks.len(), 2, "{:?}", past.remarks);
    assert!(past.remarks.iter().any(|remark| remark.starts_with("0000000002.jsonl: not the head of a journal")));
    assert!(past.events.iter().any(|event| event.kind == "owner"));
    // One that was changed tells what it told until then.
    let file = folder.join(name(1));
    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let cut = [&lines[..lines.len() / 2], &["[1,2,3]"]].concat().join("\n") + "\n";
    std::fs::write(&file, cut).unwrap();
    let past = look(dir.path(), begin + 241_000, LONG, LONG);
    assert!(past.remarks.iter().any(|remark| remark.starts_with("0000000001.jsonl:")), "{:?}", past.remarks);
    assert!(!past.lanes.0.is_empty());
}

#[test]
fn an_hour_over_several_files_is_one_story_and_what_there_was_no_time_for_is_said() {
    let (dir, begin) = recorded(Length::secs(3600));
    let now = begin + 3_601_000;
    let first = Instant::now();
    let past = look(dir.path(), now, LONG, LONG);
    let files = list(&dir.path().join(DIR)).unwrap().len();
    println!("an hour: {:?}, {files} files, {} bytes of JSON", first.elapsed(), past.json().len());
    assert!(files > 3);
    assert_eq!(past.remarks, Vec::<String>::new());
    assert_eq!(lane(&past, Of::Group, "web").len(), 6, "{:?}", lane(&past, Of::Group, "web"));
    let part = look(dir.path(), now, LONG, Duration::ZERO);
    assert!(part.known > past.known && part.remarks.len() == 1, "{:?}", part.remarks);
    let json: serde_json::Value = serde_json::from_str(&past.json()).unwrap();
    assert_eq!(json["lanes"][0]["spans"][1]["is"], "master1");
    let link = json["events"].as_array().unwrap().iter().find(|event| event["kind"] == "link").unwrap();
    assert_eq!(link["why"], serde_json::Value::Null);
}
