//! Reads on behind a mistake in the file's shape, so that a person hears of all of them at once: what is wrong is told, mended in a copy as it may
//! have been meant, and what only follows from that is not told.

use std::path::Path;
use std::sync::Arc;

use super::error::{ConfigError, Found, Problem};
use super::place::At;
use super::raw::RawConfig;
use super::source::Source;
use super::torn;

/// The shape of the file, perhaps of a mended copy of it.
pub(super) struct Read {
    /// What the raw values' places refer to.
    pub source: Arc<Source>,
    /// The shape.
    pub raw: RawConfig,
    /// The keys that were left out or given another value.
    changed: Vec<String>,
    /// Whether a part of the file is no TOML, so that what the rest lacks may stand there.
    torn: bool,
}

impl Read {
    /// Whether a mistake is told already, or may be one only because something was left out.
    pub fn follows(&self, error: &ConfigError) -> bool {
        let relation = matches!(*error.problem, Problem::Relation { .. } | Problem::DeadTooShort { .. });
        let lacks = matches!(*error.problem, Problem::NoVips | Problem::TooFewLinks { .. } | Problem::BadService(_));
        let parent = |path: &'_ str| path.rsplit_once('.').map(|(parent, _)| parent.to_owned());
        (self.torn && !error.problem.stands_alone())
            || self.changed.iter().any(|path| {
                within(&error.key, path)
                    || (lacks && (within(path, &error.key) || parent(path) == parent(&error.key)))
                    || (relation && path.starts_with("timing."))
            })
    }
}

/// Whether a key is another one or lies in it.
fn within(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// Reads the shape. Each mistake goes into `found`; nothing comes back where reading on would mean guessing.
pub(super) fn read(file: &Path, text: &str, found: &mut Found) -> Option<Read> {
    let (mut source, gone) = torn::read(file, text, found)?;
    let torn = gone.torn;
    let mut changed: Vec<String> =
        source.paths().filter(|(_, at)| gone.has(source.line(at.start))).map(|(path, _)| path.to_owned()).collect();
    for _ in 0..MOST {
        let (error, at) = match RawConfig::parse(&source) {
            Ok(raw) => return Some(Read { source, raw, changed, torn }),
            Err(mistake) => *mistake,
        };
        if let Problem::Missing(key) = &*error.problem {
            // What is missing may stand in the part that is no TOML.
            if torn {
                return None;
            }
            let text = with_missing(&source, &at, key, &mut changed);
            let file = source.file().to_owned();
            // What was left out is missing, and told already.
            if text.as_ref().is_none_or(|(_, news)| *news) {
                found.add(error);
            }
            source = Arc::new(Source::parse(&file, &text?.0).ok()?);
            continue;
        }
        let stands_in = torn && changed.iter().any(|path| within(&error.key, path));
        let mended = match source.entry(&at).filter(|_| stands_in) {
            Some((_, key, value, table)) => without(source.text(), &key, &value, table),
            None => mended(&source, &at, &error, &mut changed),
        };
        let file = source.file().to_owned();
        if !stands_in {
            found.add(error);
        }
        source = Arc::new(Source::parse(&file, &mended?).ok()?);
    }
    None
}

/// The text without this mistake; line breaks stay where they are.
fn mended(source: &Source, at: &At, error: &ConfigError, changed: &mut Vec<String>) -> Option<String> {
    let (path, key, value, table) = source.entry(at)?;
    let text = source.text();
    match &*error.problem {
        Problem::UnknownKey { meant, .. } => {
            let parent = path.rsplit_once('.').map_or("", |(parent, _)| parent);
            let meant =
                meant.as_ref().map(|meant| (meant, if parent.is_empty() { meant.clone() } else { format!("{parent}.{meant}") }));
            match meant.filter(|(_, path)| source.find(path).is_none()) {
                Some((meant, _)) => replaced(text, &key, meant),
                None => without(text, &key, &value, table),
            }
        }
        Problem::Type { text: true, .. } if !table => {
            changed.push(path.to_owned());
            replaced(text, &value, "\"?\"")
        }
        Problem::Type { .. } => {
            changed.push(path.to_owned());
            without(text, &key, &value, table)
        }
        _ => None,
    }
}

/// The text with something in the place of a key that is missing, where a line is free or the table stands in one line; and whether that is news.
fn with_missing(source: &Source, at: &At, key: &str, changed: &mut Vec<String>) -> Option<(String, bool)> {
    let text = source.text();
    let stand_in = match key {
        "witness" => "{ link = \"?\", targets = [] }",
        "nodes" | "links" => "{}",
        "targets" | "vips" | "services" | "run" => "[]",
        _ => "\"?\"",
    };
    let whole = at.is_empty() || at.len() >= text.trim_end().len();
    let (path, value) = match source.entry(at).filter(|_| !whole) {
        Some((path, _, value, _)) => (format!("{path}.{key}"), value),
        None => (key.to_owned(), 0..0),
    };
    let news = !changed.contains(&path);
    if let Some(inside) = text.get(value.clone()).and_then(|value| value.strip_prefix('{')) {
        let comma = if inside.trim_start().starts_with('}') { "" } else { "," };
        changed.push(path);
        return Some((
            format!("{}{{ {key} = {stand_in}{comma}{inside}{}", text.get(..value.start)?, text.get(value.end..)?),
            news,
        ));
    }
    // Behind the table's header, before the next one.
    let mut begin = if whole { 0 } else { text.get(..at.start)?.rfind('\n').map_or(0, |at| at.saturating_add(1)) };
    for (n, line) in text.get(begin..)?.split_inclusive('\n').enumerate() {
        let words = line.trim();
        if words.starts_with('[') && (n > 0 || whole) {
            return None;
        }
        if words.is_empty() || words.starts_with('#') {
            let end = begin.saturating_add(line.trim_end_matches(['\r', '\n']).len());
            changed.push(path);
            return Some((format!("{}{key} = {stand_in}{}", text.get(..begin)?, text.get(end..)?), news));
        }
        begin = begin.saturating_add(line.len());
    }
    None
}

/// The text with another word at one place.
fn replaced(text: &str, at: &At, word: &str) -> Option<String> {
    let breaks = text.get(at.clone())?.matches('\n').count();
    Some(format!("{}{word}{}{}", text.get(..at.start)?, "\n".repeat(breaks), text.get(at.end..)?))
}

/// The text without an entry: a key and its value, an item of a list, or a table with its header.
fn without(text: &str, key: &At, value: &At, table: bool) -> Option<String> {
    let line = text.get(..key.start)?.rfind('\n').map_or(0, |at| at.saturating_add(1));
    if text.get(line..)?.trim_start().starts_with('[') {
        let name = text.get(key.clone())?;
        let mut end = line;
        for (n, next) in text.get(line..)?.split_inclusive('\n').enumerate() {
            let header = next.trim_start().trim_start_matches('[').trim_start();
            if n > 0 && next.trim_start().starts_with('[') && !header.starts_with(name) {
                break;
            }
            end = end.saturating_add(next.len());
        }
        return table.then(|| blank(text, &(line..end)))?;
    }
    let end = value.end.max(key.end);
    let behind = text.get(end..)?;
    let comma =
        behind.trim_start().starts_with(',').then(|| end.saturating_add(behind.find(',').unwrap_or_default()).saturating_add(1));
    let before = text.get(..key.start)?.trim_end();
    let start = match comma {
        None if before.ends_with(',') => before.len().saturating_sub(1),
        _ => key.start,
    };
    blank(text, &(start..comma.unwrap_or(end)))
}

/// Spaces in the place of everything but line breaks.
fn blank(text: &str, at: &At) -> Option<String> {
    let gone: String = text.get(at.clone())?.chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
    Some(format!("{}{gone}{}", text.get(..at.start)?, text.get(at.end..)?))
}

/// More than anybody reads.
const MOST: usize = 50;

#[cfg(test)]
#[path = "mend_tests.rs"]
mod tests;
