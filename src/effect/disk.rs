//! The disk as far as the rules use it: one record, written whole or not at all.

use twinbeat_core::io::{Input, Record};

/// The state directory. It lives on when the daemon and the machine do not.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Disk {
    /// The record that was written last; default before the first.
    pub record: Record,
    /// Why writes fail; none while they do not.
    pub fails: Option<&'static str>,
}

impl Disk {
    /// Writes a record, and says what the decision hears of it.
    pub fn write(&mut self, ticket: u64, record: Record) -> Input {
        if let Some(reason) = self.fails {
            return Input::PersistFailed { ticket, reason: reason.into() };
        }
        self.record = record;
        Input::Persisted { ticket }
    }
}
