//! What `check` reports, and what its parts hand to each other.

use std::net::IpAddr;

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, but somebody should know.
    Warn,
    /// It does not work: `check` ends with 1.
    Fail,
}

/// One line of the report.
#[derive(Clone, PartialEq, Debug)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What it is about: `timing`, `key`, `witness`, …
    pub subject: String,
    /// What was found, and what to do about it.
    pub text: String,
}

impl Finding {
    /// A finding.
    pub fn new(level: Level, subject: impl Into<String>, text: impl Into<String>) -> Finding {
        Finding { level, subject: subject.into(), text: text.into() }
    }
}

/// An address of this machine: interface, address.
pub type OwnAddress = (String, IpAddr);
