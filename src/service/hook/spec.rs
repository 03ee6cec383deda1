//! A hook, as configured.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use super::change::Kind;

/// A hook, as configured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HookSpec {
    /// The program and its arguments.
    pub run: Vec<String>,
    /// What it is told of.
    pub on: BTreeSet<Kind>,
    /// The groups that it is told of.
    pub groups: Vec<String>,
    /// How long it may take.
    pub timeout: Duration,
}

impl HookSpec {
    /// What it is called in the log: the program's file name.
    pub fn name(&self) -> String {
        let program = PathBuf::from(self.run.first().map_or("hook", String::as_str));
        program.file_name().map_or_else(|| "hook".into(), |name| name.to_string_lossy().into_owned())
    }
}
