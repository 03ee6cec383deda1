//! A file that is not TOML everywhere: what is wrong is told, and the rest can be judged.

use std::path::Path;
use std::sync::Arc;

use super::error::{ConfigError, Found, Problem};
use super::source::Source;
use super::syntax::{Lines, without};

/// The structure of the text, or of what is left of it without the places that are not TOML: those go into `found`. Each kept line has its number.
pub(super) fn read(file: &Path, text: &str, found: &mut Found) -> Option<(Arc<Source>, Gone)> {
    let (mut text, mut gone, mut told) = (text.to_owned(), Gone::default(), Vec::new());
    while told.len() < MOST_BROKEN {
        let error = match Source::parse(file, &text) {
            Ok(source) => {
                told.into_iter().for_each(|error| found.add(error));
                return Some((Arc::new(source), gone));
            }
            Err(error) => error,
        };
        let Some((rest, lines)) = without(&text) else {
            // What was told behind the first one may only follow from it.
            told.push(error);
            told.truncate(1);
            told = told.into_iter().map(|error| also(error, ALONE)).collect();
            break;
        };
        told.push(also(error, if told.is_empty() { WITHOUT } else { "" }));
        gone.lines.extend(lines);
        gone.torn = true;
        text = rest;
    }
    // So many that it is another kind of file: what else it says means nothing.
    if told.len() >= MOST_BROKEN {
        told.truncate(1);
        told = told.into_iter().map(|error| also(error, ALONE)).collect();
    }
    told.into_iter().for_each(|error| found.add(error));
    None
}

/// What the text that is read on with lacks.
#[derive(Debug, Default)]
pub(super) struct Gone {
    /// Whether it is not the file's own text.
    pub torn: bool,
    /// The lines whose words are gone, or others.
    lines: Vec<Lines>,
}

impl Gone {
    /// Whether the words of this line are gone.
    pub fn has(&self, line: usize) -> bool {
        self.lines.iter().any(|lines| lines.contains(&line))
    }
}

fn also(mut error: ConfigError, words: &str) -> ConfigError {
    if let Problem::Syntax(what) = &mut *error.problem {
        *what = format!("{}{words}", what.trim_end_matches(WITHOUT));
    }
    error
}

const WITHOUT: &str = "; the rest was judged without it, as far as it can be";
const ALONE: &str = "; the rest could not be judged";
/// With so many it is no TOML file at all.
const MOST_BROKEN: usize = 6;
