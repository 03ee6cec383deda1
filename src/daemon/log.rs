//! Where the log goes: stderr, the journal, files, syslog.
//!
//! All of them are written by a thread of their own behind a bounded queue: a full disk or a hung syslogd costs lines (they
//! are counted, and the count is logged), never a decision.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use anyhow::{Context, anyhow};
use syslog::{Facility, Formatter3164, Logger, LoggerBackend};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context as LayerContext, Layer, SubscriberExt};
use tracing_subscriber::registry;
use tracing_subscriber::util::SubscriberInitExt;

use twinbeat_core::time::{Mono, Span};
use twinbeat_say::{Stamp, log_line};

/// The `[log]` table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogSettings {
    /// What is logged everywhere but in the debug file.
    pub level: LevelFilter,
    /// A log file.
    pub file: Option<PathBuf>,
    /// A file with everything, debug messages included.
    pub debug_file: Option<PathBuf>,
    /// A syslog facility by name: `daemon`, `user`, `local0` to `local7`, ...
    pub syslog: Option<String>,
    /// To the systemd journal instead of stderr.
    pub journald: bool,
}

impl Default for LogSettings {
    fn default() -> Self {
        LogSettings { level: LevelFilter::INFO, file: None, debug_file: None, syslog: None, journald: false }
    }
}

/// Reopens the log files: for SIGHUP, after a rotation.
#[derive(Clone, Debug)]
pub struct ReopenHandle {
    queue: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
}

impl ReopenHandle {
    /// Asks the writer to open its files anew. Does not wait.
    pub fn reopen(&self) {
        // behind a full queue the request would be lost: a thread waits for room, the caller does not
        if let Err(TrySendError::Full(message)) = self.queue.try_send(Message::Reopen) {
            let queue = self.queue.clone();
            let _ = std::thread::Builder::new().name("log-reopen".into()).spawn(move || queue.send(message));
        }
    }

    /// Waits until all lines so far are written, at most for `limit`; for the end of the process.
    pub fn flush(&self, limit: Duration) {
        let (done, flushed) = sync_channel(1);
        if self.queue.try_send(Message::Flush(done)).is_ok() {
            let _ = flushed.recv_timeout(limit);
        }
    }

    /// How many lines were dropped because the writer could not keep up.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// Installs the log for the whole process. Fails when a file cannot be opened, the facility is unknown, or a log is installed already.
/// A journal that cannot be reached is no reason not to serve: then the log goes to stderr, and says why.
pub fn init(settings: &LogSettings) -> anyhow::Result<ReopenHandle> {
    let missing = settings.journald.then(|| journal().err()).flatten();
    let (layer, handle) = layer(&LogSettings { journald: settings.journald && missing.is_none(), ..settings.clone() })?;
    registry().with(layer).try_init().context("a log is installed already")?;
    if let Some(error) = missing {
        tracing::warn!("the systemd journal cannot be reached ({error}): the log goes to stderr");
    }
    Ok(handle)
}

/// The layer that feeds the writer thread, and the handle to that.
fn layer(settings: &LogSettings) -> anyhow::Result<(Lines, ReopenHandle)> {
    let facility = settings.syslog.as_deref().map(facility).transpose()?;
    let mut outlets = Vec::new();
    for (path, level) in [(&settings.file, settings.level), (&settings.debug_file, LevelFilter::TRACE)] {
        if let Some(path) = path {
            let file = open(path).with_context(|| format!("the log file {} cannot be opened", path.display()))?;
            outlets.push(Outlet { level, to: Sink::File(path.clone(), Some(file)) });
        }
    }
    if let Some(facility) = facility {
        outlets.push(Outlet { level: settings.level, to: Sink::Syslog(facility, None) });
    }
    let to = if settings.journald { Sink::Journal(None) } else { Sink::Stderr };
    outlets.push(Outlet { level: settings.level, to });
    let most = outlets.iter().map(|outlet| outlet.level).max().unwrap_or(LevelFilter::OFF);
    let (queue, lines) = sync_channel(QUEUE);
    let dropped = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&dropped);
    std::thread::Builder::new().name("log".into()).spawn(move || write_all(&lines, outlets, &counter))?;
    Ok((Lines { queue: queue.clone(), dropped: Arc::clone(&dropped), most }, ReopenHandle { queue, dropped }))
}

#[derive(Debug)]
enum Message {
    Line(Line),
    Reopen,
    Flush(SyncSender<()>),
}

#[derive(Debug)]
struct Line {
    at: Stamp,
    level: Level,
    target: &'static str,
    text: String,
    /// The group that it is about, and what kind of thing happened: fields of their own in the journal.
    group: Option<String>,
    event: Option<String>,
}

/// Turns events into lines and hands them to the writer.
struct Lines {
    queue: SyncSender<Message>,
    dropped: Arc<AtomicU64>,
    most: LevelFilter,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: LayerContext<'_, S>) {
        let meta = event.metadata();
        let ours = meta.target().starts_with("twinbeat") || OURS.contains(&meta.target());
        // other libraries' chatter is nobody's evidence
        // (a full netlink buffer of if-watch's included: the watcher of interfaces has a socket of its own, which says what it lost)
        let most = if meta.target().starts_with("netlink_proto") { Level::ERROR } else { Level::WARN };
        if *meta.level() > self.most || (!ours && *meta.level() > most) {
            return;
        }
        let mut text = Text::default();
        event.record(&mut text);
        let Text { text, group, event } = text;
        let line = Line { at: Stamp::now(), level: *meta.level(), target: meta.target(), text, group, event };
        if self.queue.try_send(Message::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.most)
    }
}

/// An event's message, then its fields; always one line.
#[derive(Default)]
struct Text {
    text: String,
    group: Option<String>,
    event: Option<String>,
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "group" => self.group = Some(value.to_owned()),
            // Of the journal alone: the words say it to a person.
            "event" => {
                self.event = Some(value.to_owned());
                return;
            }
            _ => {}
        }
        self.record_debug(field, &value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}").replace(['\n', '\r'], " ");
        let _ = match field.name() {
            "message" => write!(self.text, "{text}"),
            // What only the old interface of another library carries: its place on the machine that built this.
            name if name.starts_with("log.") => Ok(()),
            name => {
                self.text.push_str(&log_line::field(name, &text));
                Ok(())
            }
        };
    }
}

struct Outlet {
    level: LevelFilter,
    to: Sink,
}

enum Sink {
    Stderr,
    File(PathBuf, Option<File>),
    Syslog(Facility, Option<Logger<LoggerBackend, Formatter3164>>),
    Journal(Option<UnixDatagram>),
}

impl Outlet {
    fn write(&mut self, line: &Line) {
        if line.level > self.level {
            return;
        }
        let text = log_line::write(line.at, line.level.as_str(), &line.place(), &line.text);
        match &mut self.to {
            Sink::Stderr => drop(io::stderr().write_all(text.as_bytes())),
            Sink::File(path, file) => {
                if file.is_none() {
                    *file = open(path).ok();
                }
                // a full disk is no reason to stop; the next line is tried again
                if let Some(file) = file {
                    let _ = file.write_all(text.as_bytes());
                }
            }
            Sink::Journal(socket) => {
                if socket.is_none() {
                    *socket = journal().ok();
                }
                let sent = socket.as_ref().map(|socket| socket.send(&line.entry()));
                if !matches!(sent, Some(Ok(_))) {
                    // It was restarted, or is full: a new socket for the next line, and this one is not lost.
                    *socket = None;
                    drop(io::stderr().write_all(format!("{}{}\n", line.place(), line.text).as_bytes()));
                }
            }
            Sink::Syslog(facility, logger) => {
                if logger.is_none() {
                    *logger = syslogger(*facility);
                }
                let words = &line.text;
                let sent = logger.as_mut().map(|logger| match line.level {
                    Level::ERROR => logger.err(words),
                    Level::WARN => logger.warning(words),
                    Level::INFO => logger.info(words),
                    _ => logger.debug(words),
                });
                if matches!(sent, Some(Err(_))) {
                    *logger = None; // syslogd was restarted: a new socket for the next line
                }
            }
        }
    }
}

impl Line {
    /// Where in the program it was said: module paths are for those who look closely, short names for everybody.
    fn place(&self) -> String {
        // Rooms are crates; for readers the program is one: `twinbeat::daemon::setup`.
        let target = self.target.replacen("twinbeat_", "twinbeat::", 1);
        let told = self.level > Level::INFO || !target.contains("::");
        if told && target != "twinbeat" { log_line::place(&target) } else { String::new() }
    }

    /// As the journal takes it (systemd's native protocol, JOURNAL_NATIVE_PROTOCOL): a field a line. It has the time itself.
    fn entry(&self) -> Vec<u8> {
        let priority = match self.level {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            _ => 7,
        };
        let mut entry = format!("PRIORITY={priority}\nSYSLOG_IDENTIFIER=twinbeat\nMESSAGE={}{}\n", self.place(), self.text);
        for (key, value) in [("GROUP", &self.group), ("EVENT", &self.event)] {
            if let Some(value) = value {
                let _ = writeln!(entry, "TWINBEAT_{key}={}", value.replace('\n', " "));
            }
        }
        entry.into_bytes()
    }
}

fn journal() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(JOURNAL)?;
    Ok(socket)
}

/// Whether stderr is the journal's: an init system that started this connected it (systemd.exec(5), JOURNAL_STREAM).
pub fn stderr_is_the_journal() -> bool {
    let Ok(meta) = nix::sys::stat::fstat(io::stderr()) else { return false };
    std::env::var("JOURNAL_STREAM").is_ok_and(|stream| stream == format!("{}:{}", meta.st_dev, meta.st_ino))
}

fn syslogger(facility: Facility) -> Option<Logger<LoggerBackend, Formatter3164>> {
    syslog::unix(Formatter3164 { facility, hostname: None, process: "twinbeat".into(), pid: std::process::id() }).ok()
}

/// The writer thread: until every sender is gone.
fn write_all(lines: &Receiver<Message>, mut outlets: Vec<Outlet>, dropped: &AtomicU64) {
    let mut told = 0;
    loop {
        match lines.recv_timeout(Duration::from_secs(60)) {
            Ok(Message::Line(line)) => outlets.iter_mut().for_each(|outlet| outlet.write(&line)),
            Ok(Message::Reopen) => {
                for outlet in &mut outlets {
                    if let Sink::File(_, file) = &mut outlet.to {
                        *file = None;
                    }
                    if let Sink::File(path, file) = &mut outlet.to {
                        *file = open(path).ok();
                    }
                }
            }
            Ok(Message::Flush(done)) => drop(done.send(())),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let now = dropped.load(Ordering::Relaxed);
        if now > told {
            let text = format!("{} lines of log were dropped: the writer could not keep up", now - told);
            let (at, target) = (Stamp::now(), "twinbeat::log");
            let line = Line { at, level: Level::WARN, target, text, group: None, event: None };
            outlets.iter_mut().for_each(|outlet| outlet.write(&line));
            told = now;
        }
    }
}

/// A log file, to be written at its end.
///
/// # Errors
/// As open(2).
pub fn open(path: &std::path::Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

/// A syslog facility by its name; the error lists what is allowed.
pub fn facility(name: &str) -> anyhow::Result<Facility> {
    Facility::from_str(name)
        .map_err(|()| anyhow!("`{name}` is no syslog facility: daemon, user, auth, cron, ..., local0 to local7 are"))
}

/// One line a period for each key, with the count of those that were left out.
#[derive(Debug)]
pub struct Limited<K> {
    period: Span,
    keys: HashMap<K, (Mono, u64)>,
}

impl<K: std::hash::Hash + Eq> Limited<K> {
    /// At most one line each `period`.
    pub fn new(period: Span) -> Limited<K> {
        Limited { period, keys: HashMap::new() }
    }

    /// Whether to log now: if so, how many were left out since the last line. Keys are bounded: when there are too many, all are
    /// forgotten but this one.
    pub fn pass(&mut self, now: Mono, key: K) -> Option<u64> {
        if self.keys.len() >= KEYS && !self.keys.contains_key(&key) {
            self.keys.clear();
        }
        match self.keys.get_mut(&key) {
            Some((last, left_out)) if now.since(*last) < self.period => {
                *left_out += 1;
                None
            }
            Some(entry) => Some(std::mem::replace(entry, (now, 0)).1),
            None => {
                self.keys.insert(key, (now, 0));
                Some(0)
            }
        }
    }
}

/// Where the journal listens.
const JOURNAL: &str = "/run/systemd/journal/socket";
/// How many lines wait for the writer at the most.
const QUEUE: usize = 4096;
/// How many keys a [`Limited`] remembers.
const KEYS: usize = 1024;
/// Targets of this crate that are not module paths.
const OURS: [&str; 4] = ["service", "hook", "control", "twinbeat"];

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
