//! The file's text with an index of its keys, so that every error can say where it is: line, key and value.

use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Problem};
use super::place::{At, line_of};
use super::syntax;

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
                let (at, words) = syntax::explain(text, error.span().unwrap_or(0..0), error.message());
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

    /// The narrowest entry that covers `at`; of a list and its only item the item.
    fn entry_at(&self, at: &At) -> Option<&Entry> {
        let covers = |range: &At| range.start <= at.start && at.end <= range.end && !range.is_empty();
        self.entries
            .iter()
            .filter_map(|entry| {
                [&entry.key, &entry.value].into_iter().filter(|r| covers(r)).map(Range::len).min().map(|len| (len, entry))
            })
            .min_by_key(|(len, entry)| (*len, std::cmp::Reverse(entry.path.len())))
            .map(|(_, entry)| entry)
    }

    /// The line of a place, counted from 1.
    pub fn line(&self, offset: usize) -> usize {
        line_of(&self.text, offset)
    }

    fn line_text(&self, offset: usize) -> &str {
        self.text.lines().nth(self.line(offset).saturating_sub(1)).unwrap_or_default()
    }
}

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
