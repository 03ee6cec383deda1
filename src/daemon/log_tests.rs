#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;

#[test]
fn files_are_written_by_level_and_reopened_after_a_rotation() {
    let dir = tempfile::tempdir().unwrap();
    let (file, debug) = (dir.path().join("log"), dir.path().join("debug"));
    let settings = LogSettings {
        file: Some(file.clone()),
        debug_file: Some(debug.clone()),
        level: LevelFilter::INFO,
        ..LogSettings::default()
    };
    let (layer, handle) = layer(&settings).unwrap();
    let _guard = registry().with(layer).set_default();
    tracing::info!(target: "service", answer = 42, "one\ntwo");
    tracing::debug!(target: "service", "for those who look closely");
    tracing::info!(target: "some_library", "chatter");
    handle.flush(Duration::from_secs(5));
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.ends_with("INFO  service: one two answer=42\n") && text.lines().count() == 1, "{text}");
    assert_eq!(std::fs::read_to_string(&debug).unwrap().lines().count(), 2);
    std::fs::rename(&file, dir.path().join("log.1")).unwrap();
    handle.reopen();
    tracing::warn!(target: "service", "after");
    handle.flush(Duration::from_secs(5));
    assert!(std::fs::read_to_string(&file).unwrap().ends_with("WARN  service: after\n"));
    let group: Option<&str> = Some("web");
    tracing::warn!(target: log_line::REFUSED, group, event = "refused", "no claim: it answers");
    handle.flush(Duration::from_secs(5));
    let text = std::fs::read_to_string(&file).unwrap();
    let read = log_line::read(text.lines().last().unwrap()).unwrap();
    assert_eq!((read.refused, read.group.as_deref(), &*read.text), (true, Some("web"), "no claim: it answers"));
    assert_eq!(handle.dropped(), 0);
}

#[test]
fn the_journal_gets_priority_group_and_event_and_no_time_of_its_own() {
    let (queue, lines) = sync_channel(4);
    let layer = Lines { queue, dropped: Arc::default(), most: LevelFilter::TRACE };
    let _guard = registry().with(layer).set_default();
    let group: Option<&str> = Some("web");
    tracing::warn!(target: "twinbeat::daemon::actuators", group, event = "owner", "a\nb");
    tracing::debug!(target: "twinbeat_daemon", event = "link", "c");
    let entry = || match lines.try_recv() {
        Ok(Message::Line(line)) => String::from_utf8(line.entry()).unwrap(),
        other => panic!("{other:?}"),
    };
    let first = "PRIORITY=4\nSYSLOG_IDENTIFIER=twinbeat\nMESSAGE=a b group=\"web\"\nTWINBEAT_GROUP=web\nTWINBEAT_EVENT=owner\n";
    assert_eq!(entry(), first);
    assert_eq!(entry(), "PRIORITY=7\nSYSLOG_IDENTIFIER=twinbeat\nMESSAGE=twinbeat::daemon: c\nTWINBEAT_EVENT=link\n");
}

#[test]
fn a_writer_that_hangs_costs_lines_and_no_time() {
    let (queue, _lines) = sync_channel(2);
    let dropped = Arc::new(AtomicU64::new(0));
    let layer = Lines { queue, dropped: Arc::clone(&dropped), most: LevelFilter::INFO };
    let _guard = registry().with(layer).set_default();
    for _ in 0..10 {
        tracing::info!(target: "service", "line");
    }
    assert_eq!(dropped.load(Ordering::Relaxed), 8);
}

#[test]
fn a_flood_of_one_kind_is_one_line_a_period() {
    let mut limited = Limited::new(Span::secs(10));
    let at = Mono::ZERO;
    assert_eq!(limited.pass(at, "replay"), Some(0));
    assert_eq!((limited.pass(at, "replay"), limited.pass(at + Span::secs(9), "replay")), (None, None));
    assert_eq!(limited.pass(at, "tag"), Some(0));
    assert_eq!(limited.pass(at + Span::secs(10), "replay"), Some(2));
    assert_eq!(limited.pass(at + Span::secs(20), "replay"), Some(0));
}

#[test]
fn facilities_have_their_usual_names() {
    assert!(facility("local0").is_ok() && facility("daemon").is_ok());
    assert!(facility("local9").unwrap_err().to_string().contains("local0 to local7"));
}
