//! Texts with their names, places in them, and what is wrong there.

use std::fmt;

use crate::MOST_BYTES;

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its path as the caller gave it, for messages.
    pub name: String,
    /// What is in it.
    pub text: String,
}

impl Source {
    /// A file of these bytes; bytes that are no UTF-8 (an old comment in Latin-1) are replaced.
    ///
    /// # Errors
    /// Too long, or not a text at all.
    pub fn of_bytes(name: &str, bytes: &[u8]) -> Result<Source, Wrong> {
        let wrong = |words: &str| Err(Wrong::new(Place::file(name), words));
        if bytes.len() > MOST_BYTES {
            return wrong("more than 1 MiB: no configuration is that long");
        }
        if bytes.contains(&0) {
            return wrong("not a text: it holds a zero byte");
        }
        Ok(Source { name: name.to_owned(), text: String::from_utf8_lossy(bytes).into_owned() })
    }

    /// A line of it, counted from 1.
    pub fn at(&self, line: usize) -> Place {
        Place { file: clean(&self.name), line }
    }
}

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file.
    pub file: String,
    /// The line, counted from 1; 0 for the file as a whole.
    pub line: usize,
}

impl Place {
    /// A file as a whole.
    pub fn file(name: &str) -> Place {
        Place { file: clean(name), line: 0 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 { write!(f, ":{}", self.line) } else { Ok(()) }
    }
}

/// Something in the old files that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Where.
    pub place: Place,
    /// What.
    pub words: String,
}

impl Wrong {
    /// Something wrong.
    pub fn new(place: Place, words: impl AsRef<str>) -> Wrong {
        Wrong { place, words: clean(words.as_ref()) }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.words)
    }
}

impl std::error::Error for Wrong {}

/// The most of anything that is read (paths, addresses, groups); no pair has as many, and twinbeat takes fewer.
pub(crate) const MOST_OF_A_KIND: usize = 256;

/// Whether so much is wrong that reading on tells nobody more.
pub(crate) fn enough(wrong: &[Wrong]) -> bool {
    wrong.len() >= 50
}

/// One line that a comment and a terminal may hold: no control character, and not without end.
pub(crate) fn clean(text: &str) -> String {
    const MOST: usize = 600;
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST).collect();
    if text.chars().nth(MOST).is_some() {
        line.push('…');
    }
    line
}

/// A word in a message: short.
pub(crate) fn shown(text: &str) -> String {
    const MOST: usize = 80;
    let line: String = clean(text).chars().take(MOST).collect();
    if text.chars().nth(MOST).is_some() { format!("{line}…") } else { line }
}

/// As a TOML string.
pub(crate) fn quoted(text: &str) -> String {
    let mut all = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => all.extend(['\\', c]),
            c if c.is_control() => all.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => all.push(c),
        }
    }
    all.push('"');
    all
}

/// As a TOML key.
pub(crate) fn key(text: &str) -> String {
    let bare = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if bare { text.to_owned() } else { quoted(text) }
}

/// Whether twinbeat takes it as a name (docs/CONFIGURATION.md).
pub(crate) fn is_name(text: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    text.len() <= 32 && text.bytes().all(good) && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
}

/// The nearest name that twinbeat takes; `other` where nothing is left.
pub(crate) fn as_name(text: &str, other: &str) -> String {
    let kept: String = text.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect();
    let kept: String = kept.trim_start_matches(['-', '_', '.']).chars().take(32).collect();
    if is_name(&kept) { kept } else { other.to_owned() }
}
