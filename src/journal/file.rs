//! A file of the journal: its head, its name, and reading it. What is wrong with it is said with file and line.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::FORMAT;
use super::line::LATEST;
use twinbeat_core::id::Name;
use twinbeat_core::node::Node;
use twinbeat_core::settings::Settings;
use twinbeat_core::time::Mono;
use twinbeat_say::Stamp;
use twinbeat_say::plain;

/// The first line: all that is needed to replay the others.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Head {
    /// The version of the program that wrote it.
    pub twinbeat: String,
    /// The version of the format.
    pub format: u32,
    /// Whose it is.
    pub node: Name,
    /// The wall clock at `at`, in nanoseconds since 1970: for people only.
    pub wall: u64,
    /// The node's clock when the state was taken.
    pub at: Mono,
    /// Why the file begins.
    pub begins: Begins,
    /// How many lines are missing before it.
    pub lost: u64,
    /// The configuration, as far as the decision depends on it.
    pub settings: Settings,
    /// The node at that instant.
    pub state: Node,
}

/// Why a file begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Begins {
    /// The daemon starts.
    Start,
    /// The file before it was full: this one goes on where that one ends.
    Rotation,
    /// Lines are missing before it.
    Gap,
}

impl Head {
    /// A head for the node as it is.
    pub fn new(node: &Node, now: Mono, begins: Begins, lost: u64) -> Head {
        let settings = node.settings().clone();
        Head {
            twinbeat: env!("CARGO_PKG_VERSION").into(),
            format: FORMAT,
            node: settings.name_of(settings.me).clone(),
            wall: Stamp::now().nanos(),
            at: now,
            begins,
            lost,
            settings,
            state: node.clone(),
        }
    }

    /// Whether settings and state belong together: a file may come from anybody.
    fn sound(&self) -> Result<(), String> {
        self.state.sound(self.at)?;
        if self.at >= LATEST {
            return Err(format!("its time, {} ns after a boot, is none that a machine comes to", self.at.0));
        }
        if self.settings != *self.state.settings() {
            return Err("its settings are not those of its state".into());
        }
        Ok(())
    }

    /// The wall clock at an instant of the node's, for people.
    pub fn wall(&self, at: Mono) -> Stamp {
        Stamp::of_nanos(self.wall.saturating_add(at.0).saturating_sub(self.at.0))
    }
}

/// What is wrong with a journal, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1; 0 where it is the file as a whole.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file.display(), self.what),
            line => write!(f, "{}:{line}: {}", self.file.display(), self.what),
        }
    }
}

impl std::error::Error for Fault {}

/// A file that was read. Its lines are understood one by one.
#[derive(Debug)]
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// Its first line.
    pub head: Head,
    /// Its last line is not whole: power or the daemon went while it was written. It is left out.
    pub cut: bool,
    text: String,
    body: usize,
}

impl File {
    /// Reads a file and its head; none when not even the head is whole.
    ///
    /// # Errors
    /// A file that cannot be read, or is no journal of this format.
    pub fn read(path: &Path) -> Result<Option<File>, Fault> {
        let fault = |line, what| Fault { file: path.to_owned(), line, what };
        let mut bytes = fs::read(path).map_err(|error| fault(0, error.to_string()))?;
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |last| last.saturating_add(1));
        let cut = whole < bytes.len();
        bytes.truncate(whole);
        let text = String::from_utf8(bytes).map_err(|wrong| {
            let before = wrong.utf8_error().valid_up_to();
            let line = wrong.as_bytes().iter().take(before).filter(|b| **b == b'\n').count().saturating_add(1);
            fault(line, "not a line of a journal: not UTF-8".into())
        })?;
        let Some((first, rest)) = text.split_once('\n') else { return Ok(None) };
        #[derive(Deserialize)]
        struct Version {
            twinbeat: String,
            format: u32,
        }
        let version: Version = serde_json::from_str(first)
            .map_err(|wrong| fault(1, format!("not the head of a journal: {}", plain(&wrong.to_string()))))?;
        if version.format != FORMAT {
            let what = format!(
                "written by twinbeat {} in format {}; this is {}, which reads format {FORMAT}",
                version.twinbeat,
                version.format,
                env!("CARGO_PKG_VERSION")
            );
            return Err(fault(1, what));
        }
        let head: Head = serde_json::from_str(first).map_err(|wrong| {
            fault(
                1,
                format!(
                    "the head, by twinbeat {}, cannot be understood by {}: {}",
                    version.twinbeat,
                    env!("CARGO_PKG_VERSION"),
                    plain(&wrong.to_string())
                ),
            )
        })?;
        head.sound().map_err(|what| fault(1, format!("the head is not one that a node wrote: {what}")))?;
        let body = text.len().saturating_sub(rest.len());
        Ok(Some(File { path: path.to_owned(), head, cut, body, text }))
    }

    /// The lines behind the head, numbered as an editor does.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (2..).zip(self.text.get(self.body..).unwrap_or_default().lines())
    }

    /// A fault at one of its lines.
    pub fn fault(&self, line: usize, what: impl Into<String>) -> Fault {
        Fault { file: self.path.clone(), line, what: what.into() }
    }
}

/// The name of the file with this number.
pub fn name(number: u64) -> String {
    format!("{number:010}.jsonl")
}

/// The journal's files in a directory, oldest first, with number and size.
///
/// # Errors
/// A directory that cannot be read.
pub fn list(dir: &Path) -> io::Result<Vec<(u64, PathBuf, u64)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|n| n.to_str()) else { continue };
        let Some(Ok(number)) = name.strip_suffix(".jsonl").map(str::parse::<u64>) else { continue };
        // One that was dropped meanwhile is no longer there.
        if let Ok(meta) = fs::metadata(&path) {
            found.push((number, path, meta.len()));
        }
    }
    found.sort();
    Ok(found)
}

/// The files that arguments name: files as they are, of directories all that are in them, or in their `journal`.
///
/// # Errors
/// A directory without any, or that cannot be read.
pub fn named(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Fault> {
    let mut all = Vec::new();
    for path in paths {
        if !path.is_dir() {
            all.push(path.clone());
            continue;
        }
        let fault = |what| Fault { file: path.clone(), line: 0, what };
        let mut found = list(path).map_err(|e| fault(e.to_string()))?;
        let below = path.join(super::DIR);
        if found.is_empty() && below.is_dir() {
            found = list(&below).map_err(|e| fault(e.to_string()))?;
        }
        if found.is_empty() {
            return Err(fault("no journal (*.jsonl) there".into()));
        }
        all.extend(found.into_iter().map(|(_, path, _)| path));
    }
    Ok(all)
}
