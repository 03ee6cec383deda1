//! The file's text with an index of its keys, so that every error can say where it is: line, key and value.

use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Problem};

/// A byte range of the file.
pub type At = Range<usize>;

/// The file that a configuration came from.
#[derive(Debug, PartialEq)]
pub struct Source {
    file: PathBuf,
    text: String,
    entries: Vec<Entry>,
}

#[derive(Debug, PartialEq)]
struct Entry {
    path: String,
    key: At,
    value: At,
    table: bool,
}

impl Source {
    /// Reads the text's structure; refuses what is not TOML.
    pub fn parse(file: &Path, text: &str) -> Result<Source, ConfigError> {
        let mut source = Source { file: file.to_owned(), text: text.to_owned(), entries: Vec::new() };
        match DeTable::parse(text) {
            Ok(root) => {
                index_table("", root.get_ref(), &mut source.entries);
                Ok(source)
            }
            Err(error) => {
                let (at, words) = syntax(text, error.span().unwrap_or(0..0), one_line(error.message()));
                Err(source.error(at, Problem::Syntax(words)))
            }
        }
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The file's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Where the key `path` stands, if it does: `timing.dead`, `groups[0].vips[1].address`.
    pub fn find(&self, path: &str) -> Option<At> {
        self.entries.iter().find(|entry| entry.path == path).map(|entry| entry.key.clone())
    }

    /// The path of every key in the file.
    pub fn paths(&self) -> impl Iterator<Item = (&str, At)> {
        self.entries.iter().map(|entry| (entry.path.as_str(), entry.key.clone()))
    }

    /// An error about the value or key at `at`.
    pub fn error(&self, at: At, problem: Problem) -> ConfigError {
        let entry = self.entry_at(&at);
        let line = self.line_text(at.start);
        let (key, value) = match entry {
            Some(entry) => {
                let value = self.text.get(entry.value.clone()).unwrap_or_default();
                // A table under a header has no value to show; an inline one has.
                let shown = !entry.table || value.starts_with('{');
                (entry.path.clone(), if shown { value } else { "" })
            }
            None => match line.split_once('=') {
                Some((key, value)) => (key.trim().to_owned(), value.trim()),
                None => (String::new(), line.trim()),
            },
        };
        ConfigError {
            file: self.file.clone(),
            line: self.line(at.start),
            key: shown(&key),
            value: shown(value),
            problem: Box::new(problem),
            others: Vec::new(),
        }
    }

    /// An error about something that the file does not hold at all, or that concerns it as a whole.
    pub fn missing(&self, path: &str, problem: Problem) -> ConfigError {
        ConfigError {
            file: self.file.clone(),
            line: self.find_nearest(path),
            key: path.to_owned(),
            value: String::new(),
            problem: Box::new(problem),
            others: Vec::new(),
        }
    }

    /// Where `at` is, in words.
    pub fn place(&self, at: &At) -> String {
        format!("line {}", self.line(at.start))
    }

    /// An error about something that the file does not hold, and that would stand at its end.
    pub fn at_end(&self, path: &str, problem: Problem) -> ConfigError {
        ConfigError { line: self.text.lines().count().max(1), ..self.missing(path, problem) }
    }

    /// The path, the key and the value of the narrowest entry around `at`; and whether it is a table.
    pub fn entry(&self, at: &At) -> Option<(&str, At, At, bool)> {
        self.entry_at(at).map(|entry| (entry.path.as_str(), entry.key.clone(), entry.value.clone(), entry.table))
    }

    /// The line of `path`, or of the closest table around it.
    fn find_nearest(&self, path: &str) -> usize {
        if let Some(at) = self.find(path) {
            return self.line(at.start);
        }
        let mut path = path;
        while let Some((parent, _)) = path.rsplit_once('.') {
            if let Some(at) = self.find(parent) {
                return self.line(at.start);
            }
            path = parent;
        }
        1
    }

    /// The narrowest entry that covers `at`.
    fn entry_at(&self, at: &At) -> Option<&Entry> {
        let covers = |range: &At| range.start <= at.start && at.end <= range.end && !range.is_empty();
        self.entries
            .iter()
            .filter_map(|entry| {
                [&entry.key, &entry.value].into_iter().filter(|r| covers(r)).map(Range::len).min().map(|len| (len, entry))
            })
            .min_by_key(|(len, _)| *len)
            .map(|(_, entry)| entry)
    }

    fn line(&self, offset: usize) -> usize {
        self.text.as_bytes().iter().take(offset).filter(|b| **b == b'\n').count().saturating_add(1)
    }

    fn line_text(&self, offset: usize) -> &str {
        self.text.lines().nth(self.line(offset).saturating_sub(1)).unwrap_or_default()
    }
}

/// Where a mistake is, and what: the parser says where it noticed.
fn syntax(text: &str, at: At, message: String) -> (At, String) {
    let words: Vec<&str> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
    if HA_CF.iter().filter(|word| words.contains(word)).count() >= 2 && !text.contains('=') {
        let words =
            "this is an ha.cf of heartbeat; its import is not built yet: begin with dist/twinbeat.toml, docs/CONFIGURATION.md";
        return (0..0, words.to_owned());
    }
    if message.contains("duplicate key") {
        let key = text.get(at.clone()).unwrap_or_default().trim_matches(['[', ']', ' ']);
        let is = |line: &str| {
            line.trim_start()
                .trim_start_matches('[')
                .trim_start()
                .strip_prefix(key)
                .is_some_and(|rest| rest.trim_start().starts_with(['=', ']']))
        };
        let first = text.lines().position(is).filter(|_| !key.is_empty()).map(|line| line.saturating_add(1));
        let first = first.map(|line| format!(" `{key}`: the first one is in line {line}")).unwrap_or_default();
        return (at, format!("{message}{first}"));
    }
    match unclosed(text) {
        Some(open) => (open..open.saturating_add(1), format!("this bracket is not closed ({message})")),
        None => (at, message),
    }
}

/// The bracket of a value that is still open where a line begins the next key or table.
fn unclosed(text: &str) -> Option<usize> {
    let mut open: Vec<usize> = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim_start();
        let header = trimmed.starts_with('[') && trimmed.contains(']') && !trimmed.contains(',') && open.is_empty();
        let key = trimmed
            .split_once('=')
            .is_some_and(|(key, _)| !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || "_-. ".contains(c)));
        let table = trimmed.starts_with('[')
            && trimmed.trim_end().ends_with(']')
            && trimmed.chars().all(|c| c.is_alphanumeric() || "[]_-.\n\r ".contains(c));
        if (key || table)
            && let Some(first) = open.first()
        {
            return Some(*first);
        }
        let (mut quote, mut escaped) = (None, false);
        for (at, c) in line.char_indices().filter(|_| !header) {
            match (quote, c) {
                (Some('"'), '\\') if !escaped => {
                    escaped = true;
                    continue;
                }
                (Some(q), c) if c == q && !escaped => quote = None,
                (Some(_), _) => {}
                (None, '#') => break,
                (None, '"' | '\'') => quote = Some(c),
                (None, '[' | '{') => open.push(start_of(start, at)),
                (None, ']' | '}') => drop(open.pop()),
                _ => {}
            }
            escaped = false;
        }
        start = start_of(start, line.len());
    }
    open.first().copied()
}

fn start_of(line: usize, at: usize) -> usize {
    line.saturating_add(at)
}

/// Directives that stand alone in each ha.cf.
const HA_CF: [&str; 8] = ["keepalive", "deadtime", "warntime", "initdead", "ucast", "bcast", "node", "auto_failback"];

fn index_table(path: &str, table: &DeTable<'_>, entries: &mut Vec<Entry>) {
    for (key, value) in table.iter() {
        let dot = if path.is_empty() { "" } else { "." };
        let path = format!("{path}{dot}{}", key.get_ref());
        entries.push(Entry { path: path.clone(), key: key.span(), value: value.span(), table: value.get_ref().is_table() });
        index_value(&path, value.get_ref(), entries);
    }
}

fn index_value(path: &str, value: &DeValue<'_>, entries: &mut Vec<Entry>) {
    match value {
        DeValue::Table(table) => index_table(path, table, entries),
        DeValue::Array(array) => {
            for (i, item) in array.iter().enumerate() {
                let path = format!("{path}[{i}]");
                entries.push(Entry {
                    path: path.clone(),
                    key: item.span(),
                    value: item.span(),
                    table: item.get_ref().is_table(),
                });
                index_value(&path, item.get_ref(), entries);
            }
        }
        _ => {}
    }
}

/// A message without line breaks.
pub(super) fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

/// What of a value may stand in a message: one line, not too long, and never a private key.
fn shown(text: &str) -> String {
    if text.contains(super::keys::SECRET_PREFIX) {
        return format!("\"{}(not shown)\"", super::keys::SECRET_PREFIX);
    }
    let line: String = text.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(MOST_SHOWN + 1).collect();
    if line.chars().count() > MOST_SHOWN || text.lines().nth(1).is_some() {
        format!("{}…", line.chars().take(MOST_SHOWN).collect::<String>())
    } else {
        line
    }
}

/// The most characters of a value that a message shows.
const MOST_SHOWN: usize = 80;
