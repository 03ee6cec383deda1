//! Where marks' words and gaps' lengths stand, and what a picture cannot be broken by.

use std::time::Duration;

use super::*;

fn mark(at: u64, text: &str) -> Mark {
    Mark { at: Duration::from_secs(at), text: text.into(), kind: MarkKind::Fault }
}

fn sheet() -> Sheet {
    let picture = Picture { length: Duration::from_secs(100), ..Picture::default() };
    Sheet { axis: Axis::of(&picture), y: 0.0, body: String::new(), above: String::new() }
}

#[test]
fn words_of_marks_at_one_time_stand_above_each_other() {
    let flags = Flags::place(&sheet(), &[mark(10, "one thing"), mark(10, "another"), mark(80, "far away")]);
    let places: Vec<_> = flags.all.iter().map(|flag| (flag.row, flag.left)).collect();
    assert_eq!(places, [(0, false), (1, false), (0, false)]);
}

#[test]
fn words_that_would_leave_the_sheet_stand_left_of_their_mark() {
    let flags = Flags::place(&sheet(), &[mark(99, "the cable of master1 is cut")]);
    assert_eq!(flags.all.iter().map(|flag| (flag.row, flag.left)).collect::<Vec<_>>(), [(0, true)]);
}

#[test]
fn a_crowd_of_marks_is_numbered_and_its_words_stand_below() {
    let crowd: Vec<Mark> = (30..70).map(|n| mark(n, "something that takes many words to be said")).collect();
    let text = draw(&Picture { length: Duration::from_secs(100), marks: crowd, ..Picture::default() });
    assert!(text.contains("40.  69.000 s  something"), "{text}");
    assert!((1..=40).all(|n| text.contains(&format!(">{n}<title>"))), "{text}");
}

#[test]
fn marks_that_lie_seconds_apart_in_ten_minutes_keep_a_number_each_and_a_hundred_in_one_instant_share_one() {
    let seconds: Vec<Mark> = (0..30).map(|n| mark(300 + n * 3, "something that takes many words to be said")).collect();
    let text = draw(&Picture { length: Duration::from_secs(600), marks: seconds, ..Picture::default() });
    assert!((1..=30).all(|n| text.contains(&format!(">{n}<title>"))), "{text}");
    let at_once: Vec<Mark> = (0..100).map(|_| mark(50, "something that takes many words to be said")).collect();
    let text = draw(&Picture { length: Duration::from_secs(100), marks: at_once, ..Picture::default() });
    assert!(text.contains(">1 to 100<title>"), "{text}");
}

#[test]
fn gaps_close_to_each_other_all_say_their_length() {
    let bars = (0..12_u64).map(|n| Bar {
        from: Duration::from_millis(30_000 + n * 1_000),
        to: Duration::from_millis(30_000 + n * 1_000 + 100 + n),
        what: "nobody".into(),
        tone: Tone::Bad,
    });
    let lane = Lane { name: "served by".into(), rest: Tone::First, main: true, bars: bars.collect() };
    let section = Section { heading: "clients".into(), tone: Tone::Faint, lanes: vec![lane] };
    let text = draw(&Picture { length: Duration::from_secs(60), sections: vec![section], ..Picture::default() });
    assert!((0..12).all(|n| text.contains(&format!("{} ms</text>", 100 + n))), "{text}");
}

#[test]
fn what_a_file_says_cannot_break_the_picture() {
    let text = draw(&Picture { title: "<script>\"&".into(), length: Duration::from_secs(1), ..Picture::default() });
    assert!(text.contains("&lt;script&gt;&quot;&amp;") && !text.contains("<script>"));
}

#[test]
fn a_gap_of_a_millisecond_in_a_minute_is_seen_and_says_its_length() {
    let bar = |from: u64, to: u64, tone| Bar {
        from: Duration::from_millis(from),
        to: Duration::from_millis(to),
        what: "x".into(),
        tone,
    };
    let lane = Lane {
        name: "served by".into(),
        rest: Tone::Faint,
        main: true,
        bars: vec![bar(0, 30_000, Tone::First), bar(30_000, 30_001, Tone::Bad), bar(30_001, 60_000, Tone::Second)],
    };
    let section = Section { heading: "clients".into(), tone: Tone::Faint, lanes: vec![lane] };
    let text = draw(&Picture { length: Duration::from_secs(60), sections: vec![section], ..Picture::default() });
    assert!(text.contains("width=\"2.0\"") && text.contains(">x 1.0 ms</text>"), "{text}");
}
