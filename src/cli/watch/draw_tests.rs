//! The screen in a few states and sizes, compared with the pictures in `shown/`. `TWINBEAT_BLESS=1 cargo test --lib watch` writes them anew; look
//! at the difference before it is committed.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;

use super::*;
use crate::cli::render::tests::{degraded, healthy, nobody, odd, two_owners};
use twinbeat_core::sentence::Sentence;
use twinbeat_core::view::{Change, TakeoverReady, View};
use twinbeat_core::words::{About, GroupRole, LinkCondition, ServiceState};
use twinbeat_journal::lanes::{Lanes, Tone};
use twinbeat_journal::past::{Happened, Past};

/// 2026-03-01 02:11:00 UTC.
const BEGIN: u64 = 1_772_331_060_000;
const PLAIN: Look = Look { colors: false, blocks: true };
const COLORS: Look = Look { colors: true, blocks: true };

fn screen(state: &State, look: Look, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(state, look, frame.area(), frame.buffer_mut())).unwrap();
    terminal.backend().buffer().clone()
}

fn text(buffer: &Buffer) -> String {
    let lines = buffer.content.chunks(usize::from(buffer.area.width));
    lines.map(|line| line.iter().map(|cell| cell.symbol()).collect::<String>().trim_end().to_owned() + "\n").collect()
}

/// Compares with the picture of that name, or writes it.
fn is(name: &str, state: &State, width: u16, height: u16) {
    let shown = text(&screen(state, PLAIN, width, height));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/cli/watch/shown/{name}-{width}x{height}.txt"));
    if std::env::var_os("TWINBEAT_BLESS").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &shown).unwrap();
    }
    let wanted = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(shown == wanted, "{}:\n{wanted}\nit is now:\n{shown}", file.display());
}

/// A look a second at what a function says of it.
fn watched(seconds: u64, at: impl Fn(u64) -> Result<View, String>) -> State {
    let mut state = State::new(BEGIN);
    for second in 0..=seconds {
        let now = BEGIN + second * 1000;
        match at(second) {
            Ok(mut view) => {
                view.up_ms += second * 1000;
                view.groups
                    .iter_mut()
                    .filter_map(|group| group.last_change.as_mut())
                    .for_each(|change| change.ago_ms = change.ago_ms.wrapping_add(second * 1000));
                state.saw(now, view);
            }
            Err(why) => state.missed(now, why),
        }
    }
    state
}

/// master1 loses power at second 120; master2, whose screen this is, serves two seconds later; from 200 on master1 is back, and serves at 205.
fn failover(second: u64) -> View {
    let mut view = healthy();
    (view.node, view.peer) = ("master2".into(), "master1".into());
    let silent = (120..200).contains(&second);
    let group = &mut view.groups[0];
    let mut change = |since: u64, text: &str, gap_us| {
        // `watched` adds the second to it.
        let text = text.to_owned();
        group.last_change = Some(Change { ago_ms: 0_u64.wrapping_sub(since * 1000), text, gap_us, gap_told: true });
    };
    match second {
        0..122 => {
            group.last_change = Some(Change {
                ago_ms: 864_000,
                text: "master1 SERVES, epoch 8: it was preferred".into(),
                gap_us: None,
                gap_told: true,
            })
        }
        122..205 => change(
            122,
            "master2 SERVES, epoch 9: the peer is lost: master1 silent for 1s on all links; the witness answers this node; nobody answers for the address; the challenge stood",
            None,
        ),
        _ => change(205, "master2 -> master1, epoch 10: handed over; clients saw 1.9ms at the most", Some(1_900)),
    }
    let owns = (122..205).contains(&second);
    (group.role, group.service) =
        if owns { (GroupRole::Owner, ServiceState::Running) } else { (GroupRole::Standby, ServiceState::Warm) };
    group.owner = match second {
        120 | 121 => None,
        _ if owns => Some("master2".into()),
        _ => Some("master1".into()),
    };
    if !owns {
        (group.lease_ms_left, group.return_path_us) = (None, None);
        group.grounds.clear();
    }
    if silent {
        let lost = vec![Sentence::lasting(About::Peer, "master1 is not heard")];
        group.takeover_ready = TakeoverReady::of(lost.clone(), lost);
        view.peer_state = twinbeat_core::words::PeerState::Silent;
        view.witness.peer_reachable = None;
        for link in &mut view.links {
            (link.state, link.peer_state, link.rtt_us, link.heard_ms) =
                (LinkCondition::Lost, None, None, Some((second - 120) * 1000 + 900));
        }
        view.problems = vec![Sentence::lasting(About::Peer, "master1 is silent")];
    }
    view
}

/// Two groups with long names, many links, on the node that owns one of them.
fn long() -> View {
    let mut view = odd();
    view.node = "database-primary-rack12.example.org".into();
    view.groups[0].name = "customers-and-orders-production".into();
    view.groups[1].owner = Some(view.node.clone());
    view.links[0].name = "heartbeat-over-the-crossover-cable".into();
    view
}

#[test]
fn a_healthy_pair() {
    let state = watched(200, |_| Ok(healthy()));
    is("healthy", &state, 80, 24);
    is("healthy", &state, 160, 40);
    is("healthy", &state, 40, 12);
}

#[test]
fn a_failover_and_a_failback_in_the_lanes() {
    let state = watched(280, |second| Ok(failover(second)));
    is("failover", &state, 80, 24);
    let document = include_str!("../../../docs/OPERATIONS.md");
    assert!(document.contains(&text(&screen(&state, PLAIN, 80, 24))), "docs/OPERATIONS.md shows another screen");
    let mut hour = state.clone();
    hour.widen(true);
    hour.widen(true);
    hour.widen(true);
    is("failover-hour", &hour, 100, 24);
    is("failover-while-it-lasts", &watched(140, |second| Ok(failover(second))), 80, 24);
}

#[test]
fn two_groups_of_which_much_is_to_be_said_and_long_names() {
    is("odd", &watched(100, |_| Ok(odd())), 120, 40);
    is("long", &watched(100, |_| Ok(long())), 80, 24);
}

#[test]
fn nobody_serves_and_two_do() {
    is("nobody", &watched(100, |second| Ok(if second < 60 { healthy() } else { nobody() })), 80, 24);
    is("two", &watched(100, |second| Ok(if second < 60 { healthy() } else { two_owners() })), 80, 24);
    is("degraded", &watched(100, |second| Ok(if second < 60 { healthy() } else { degraded() })), 80, 24);
}

#[test]
fn a_daemon_that_cannot_be_reached_is_said_and_leaves_a_hole() {
    let gone = || {
        "no daemon answers at /run/twinbeat/control.sock: No such file or directory (os error 2)\n  start it: `systemctl start twinbeat`".to_owned()
    };
    is("never", &watched(3, |_| Err(gone())), 80, 24);
    let restarted = |second| match second {
        100..160 => Err(gone()),
        160.. => {
            let mut view = healthy();
            (view.incarnation, view.up_ms) = (2, 1_000);
            Ok(view)
        }
        _ => Ok(healthy()),
    };
    is("gone", &watched(120, restarted), 80, 24);
    is("back", &watched(200, restarted), 80, 24);
}

#[test]
fn what_the_flight_recorder_tells_stands_before_the_first_look() {
    let mut state = watched(20, |_| Ok(healthy()));
    let mut lanes = Lanes::default();
    for second in 0..=120 {
        let view = match second {
            0..60 => healthy(),
            60..63 => nobody(),
            _ => failover(150),
        };
        lanes.look(BEGIN - 121_000 + second * 1000, 3_000, &view);
    }
    let event = |second: u64, kind, text: &str| Happened {
        at: BEGIN - 121_000 + second * 1000,
        level: "info",
        kind,
        group: Some("web".into()),
        text: text.into(),
        why: None,
    };
    let events = vec![event(60, "left", "master1 LEAVES, epoch 8"), event(63, "move", "master2 took it, epoch 9")];
    state.remember(Ok(Past { since: 0, known: Some(BEGIN - 121_000), lanes, events, remarks: vec![] }));
    is("remembered", &state, 80, 24);
    let mut young = watched(20, |_| Ok(healthy()));
    young.remember(Err("user 1000 may look (`twinbeat status`) and not command this daemon: be root".into()));
    is("forgotten", &young, 80, 24);
}

#[test]
fn the_span_and_a_frozen_screen() {
    let mut state = watched(280, |second| Ok(failover(second)));
    let mut still = state.still();
    state.saw(BEGIN + 300_000, nobody());
    assert!(text(&screen(&still, PLAIN, 80, 24)).contains("FROZEN at 02:15:40Z"));
    assert!(!text(&screen(&still, PLAIN, 80, 24)).contains("NOBODY"));
    assert!(text(&screen(&state, PLAIN, 80, 24)).contains("NOBODY SERVES"));
    let first = |state: &State| {
        text(&screen(state, PLAIN, 80, 24))
            .lines()
            .find(|line| line.contains("minute") && !line.starts_with('q'))
            .unwrap()
            .to_owned()
    };
    assert!(first(&still).starts_with("5 minutes"));
    still.widen(false);
    assert!(first(&still).starts_with("1 minute "));
    still.widen(false);
    assert!(first(&still).starts_with("1 minute "));
    (0..9).for_each(|_| still.widen(true));
    assert!(text(&screen(&still, PLAIN, 80, 24)).contains("1 hour "));
}

#[test]
fn every_size_can_be_drawn_and_says_first_who_serves() {
    let states = [
        watched(100, |second| Ok(failover(second))),
        watched(10, |_| Ok(odd())),
        watched(10, |_| Ok(nobody())),
        watched(1, |_| Err("no".into())),
        watched(9, |_| Ok(long())),
    ];
    for width in [1, 5, 12, 20, 39, 59, 60, 80, 132, 300] {
        for height in [1, 2, 3, 5, 8, 13, 24, 60] {
            for state in &states {
                let shown = text(&screen(state, COLORS, width, height));
                assert!(
                    width < 30 || height < 4 || state.view.is_none() || shown.contains("SERVES"),
                    "{width}x{height}\n{shown}"
                );
            }
        }
    }
}

#[test]
fn without_colours_no_word_is_missing_and_without_blocks_all_is_ascii() {
    for state in [watched(280, |second| Ok(failover(second))), watched(100, |_| Ok(nobody())), watched(30, |_| Ok(long()))] {
        let (plain, colored) = (screen(&state, PLAIN, 100, 30), screen(&state, COLORS, 100, 30));
        assert_eq!(text(&plain), text(&colored));
        assert!(plain.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
        let known = [Color::Reset, Color::Red, Color::Green, Color::Yellow, Color::Magenta, Color::Cyan];
        assert!(colored.content.iter().all(|cell| known.contains(&cell.fg) && cell.bg == Color::Reset));
        assert!(colored.content.iter().any(|cell| cell.fg != Color::Reset));
        let ascii = text(&screen(&state, Look { colors: false, blocks: false }, 100, 30));
        assert!(ascii.is_ascii());
    }
    let ascii = text(&screen(&watched(280, |second| Ok(failover(second))), Look { colors: false, blocks: false }, 80, 24));
    assert!(ascii.lines().any(|line| line.starts_with("web ") && line.contains('#') && line.contains("==")), "{ascii}");
}

/// What came from a daemon may have anything in it.
#[test]
fn control_characters_do_not_reach_the_terminal() {
    let mut view = healthy();
    view.groups[0].standby_held = Some("\x1b[2J\x07 new\ndisk\t\u{202e}".into());
    let state = watched(5, |_| Ok(view.clone()));
    let buffer = screen(&state, COLORS, 100, 30);
    assert!(buffer.content.iter().all(|cell| !cell.symbol().contains(char::is_control)));
    assert!(state.news.iter().all(|news| news.tone != Tone::Bad));
}
