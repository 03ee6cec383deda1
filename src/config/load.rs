//! From a file to a checked configuration.

use std::path::Path;

use super::checked::Config;
use super::convert::convert;
use super::error::{ConfigError, Found, Problem};
use super::mend;

/// The file that is read when none is named.
pub const DEFAULT_FILE: &str = "/etc/twinbeat/twinbeat.toml";
/// The most bytes that a configuration file may have.
pub const MOST_BYTES: u64 = 1024 * 1024;

impl Config {
    /// Makes a configuration of a file's text; `path` is for messages only. The error has all that is wrong, as far as it can be told.
    pub fn load(path: &Path, text: &str) -> Result<Config, ConfigError> {
        let mut found = Found::default();
        let Some(read) = mend::read(path, text, &mut found) else { return found.done(None) };
        let mut meaning = Found::default();
        let config = meaning.keep(convert(read.source.clone(), &read.raw));
        meaning.only(|error| !read.follows(error));
        found.append(meaning);
        found.done(config)
    }

    /// Reads and loads a file.
    pub fn read(path: &Path) -> Result<Config, ConfigError> {
        use std::io::Read;
        use std::os::unix::fs::OpenOptionsExt;
        let unreadable = |why: String| ConfigError {
            file: path.to_owned(),
            line: 0,
            key: String::new(),
            value: String::new(),
            problem: Box::new(Problem::Unreadable(why)),
            others: Vec::new(),
        };
        // Not blocking, so that a fifo in the place of the file does not hang the start.
        let mut options = std::fs::OpenOptions::new();
        let file = options.read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(|e| unreadable(e.to_string()))?;
        if !file.metadata().map_err(|e| unreadable(e.to_string()))?.is_file() {
            return Err(unreadable("not a regular file; allowed: one TOML file".to_owned()));
        }
        let mut text = Vec::new();
        file.take(MOST_BYTES + 1).read_to_end(&mut text).map_err(|e| unreadable(e.to_string()))?;
        if text.len() as u64 > MOST_BYTES {
            return Err(unreadable(format!("more than {MOST_BYTES} bytes; no configuration is that long")));
        }
        let text = String::from_utf8(text).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            unreadable(format!("byte {} is not UTF-8; allowed: one TOML file, which is UTF-8 text", at.saturating_add(1)))
        })?;
        Config::load(path, &text)
    }
}
