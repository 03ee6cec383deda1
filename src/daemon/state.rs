//! The state directory: the record that survives a restart. Its file is allocated at start and overwritten in place, on a
//! thread of its own (SAFETY R13); the number of this life grows with each start.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use serde::{Deserialize, Serialize};

use crate::core::id::Incarnation;
use crate::core::io::{Input, Record};

/// The file's fixed size: written whole each time, so that no block has to be allocated when it matters.
const SIZE: usize = 16 * 1024;

/// What is in the file.
#[derive(Default, Serialize, Deserialize)]
struct Stored {
    incarnation: u64,
    #[serde(default)]
    record: Record,
}

/// The open file.
pub struct StateFile {
    path: PathBuf,
    file: File,
    stored: Stored,
}

impl StateFile {
    /// Opens or makes it, and begins a new life: one more than the last, at least the wall clock's seconds, so that a lost
    /// file does not lead below an earlier life.
    ///
    /// # Errors
    /// When the directory cannot be made or the file not be written or read. A file that cannot be understood is kept
    /// beside under another name, and said so.
    ///
    /// With `hot` the new life is not waited for until it is on the disk: what the page cache holds outlives the process, and
    /// the first record, which the core orders at once, takes it to the disk. A gate that is open cannot wait for a busy disk.
    pub fn open(dir: &Path, wall_seconds: u64, hot: bool) -> io::Result<StateFile> {
        std::fs::create_dir_all(dir)?;
        let path = dir.join("state.json");
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        let mut text = Vec::new();
        (&mut file).take(SIZE as u64).read_to_end(&mut text)?;
        let trimmed: &[u8] = text.split(|b| *b == 0).next().unwrap_or_default();
        let stored = if trimmed.iter().all(u8::is_ascii_whitespace) {
            Stored::default()
        } else {
            match serde_json::from_slice(trimmed) {
                Ok(stored) => stored,
                Err(error) => {
                    let aside = dir.join("state.json.unreadable");
                    std::fs::write(&aside, trimmed)?;
                    tracing::error!(
                        "{} cannot be understood ({error}): kept as {}, begins anew",
                        path.display(),
                        aside.display()
                    );
                    Stored::default()
                }
            }
        };
        let mut this = StateFile { path, file, stored };
        this.stored.incarnation = this.stored.incarnation.saturating_add(1).max(wall_seconds);
        this.overwrite()?;
        if !hot {
            this.file.sync_data()?;
        }
        Ok(this)
    }

    /// This life.
    pub fn incarnation(&self) -> Incarnation {
        Incarnation(self.stored.incarnation)
    }

    /// What the last life left.
    pub fn record(&self) -> &Record {
        &self.stored.record
    }

    /// Overwrites it in place, durably.
    ///
    /// # Errors
    /// As the disk says; or that the record has grown beyond the file's size.
    pub fn write(&mut self, record: Record) -> io::Result<()> {
        self.stored.record = record;
        self.overwrite()?;
        self.file.sync_data()
    }

    fn overwrite(&mut self) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(&self.stored)?;
        if bytes.len() > SIZE {
            return Err(io::Error::other(format!(
                "the record has {} bytes, {} has room for {SIZE}",
                bytes.len(),
                self.path.display()
            )));
        }
        bytes.resize(SIZE, 0);
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&bytes)
    }
}

/// Starts the thread that writes records; each result comes back as an input.
///
/// # Errors
/// When no thread can be made.
pub fn writer(mut file: StateFile, report: impl Fn(Input) + Send + 'static) -> io::Result<mpsc::Sender<(u64, Record)>> {
    let (sender, receiver) = mpsc::channel::<(u64, Record)>();
    std::thread::Builder::new().name("state".into()).spawn(move || {
        for (ticket, record) in receiver {
            report(match file.write(record) {
                Ok(()) => Input::Persisted { ticket },
                Err(error) => Input::PersistFailed { ticket, reason: error.to_string() },
            });
        }
    })?;
    Ok(sender)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::core::id::Epoch;
    use crate::core::io::GroupRecord;
    use crate::core::time::Span;

    fn record() -> Record {
        let group = GroupRecord {
            name: "web".into(),
            epoch: Epoch(8),
            owned: Some(Epoch(8)),
            peer_lease: Span::millis(320),
            acked_lease: Span::ZERO,
            standby: None,
        };
        Record { groups: vec![group], ..Record::default() }
    }

    #[test]
    fn a_record_survives_and_each_life_is_a_higher_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = StateFile::open(dir.path(), 100, false).unwrap();
        assert_eq!(first.incarnation(), Incarnation(100));
        first.write(record()).unwrap();
        let second = StateFile::open(dir.path(), 5, true).unwrap();
        assert_eq!((second.incarnation(), second.record()), (Incarnation(101), &record()));
    }

    #[test]
    fn a_record_of_another_version_is_read_as_far_as_it_is_understood() {
        let dir = tempfile::tempdir().unwrap();
        let newer = br#"{"incarnation":41,"tomorrow":{"a":[1]},"record":{"groups":[{"name":"web","epoch":8,"owned":6,"peer_lease":320000000,
            "acked_lease":0,"standby":{"left":null,"reason":"r","by":"somebody"},"weight":3}],"more":true}}"#;
        std::fs::write(dir.path().join("state.json"), newer).unwrap();
        let read = StateFile::open(dir.path(), 7, true).unwrap();
        let group = &read.record().groups[0];
        assert_eq!((read.incarnation(), group.epoch, group.owned), (Incarnation(42), Epoch(8), Some(Epoch(6))));
        assert_eq!(group.standby.as_ref().and_then(|s| s.reason.as_deref()), Some("r"));

        let older = br#"{"incarnation":41,"record":{"groups":[{"name":"web","epoch":8}]}}"#;
        std::fs::write(dir.path().join("state.json"), older).unwrap();
        let read = StateFile::open(dir.path(), 7, false).unwrap();
        assert_eq!((read.record().groups[0].epoch, read.record().groups[0].owned), (Epoch(8), None));
        assert!(!dir.path().join("state.json.unreadable").exists());
    }

    #[test]
    fn garbage_is_kept_aside_and_does_not_stop_the_daemon() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("state.json"), b"{ not json").unwrap();
        assert_eq!(StateFile::open(dir.path(), 7, false).unwrap().record(), &Record::default());
        assert!(dir.path().join("state.json.unreadable").exists());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_in_the_state_file_start_a_daemon_and_are_not_lost(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..600)) {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("state.json"), &bytes).unwrap();
            let read = StateFile::open(dir.path(), 7, true).unwrap();
            proptest::prop_assert!(read.incarnation() >= Incarnation(7));
            let begin = bytes.split(|b| *b == 0).next().unwrap_or_default();
            let aside = std::fs::read(dir.path().join("state.json.unreadable")).ok();
            proptest::prop_assert!(begin.iter().all(u8::is_ascii_whitespace) || aside.as_deref() == Some(begin));
        }

        #[test]
        fn a_mutated_record_is_read_or_kept_aside(edits in proptest::collection::vec((proptest::prelude::any::<proptest::sample::Index>(), 0x20u8..0x7f), 1..6)) {
            let dir = tempfile::tempdir().unwrap();
            let mut text = serde_json::to_vec(&Stored { incarnation: 41, record: record() }).unwrap();
            for (at, byte) in edits {
                let at = at.index(text.len());
                text[at] = byte;
            }
            std::fs::write(dir.path().join("state.json"), &text).unwrap();
            let read = StateFile::open(dir.path(), 7, true).unwrap();
            let aside = std::fs::read(dir.path().join("state.json.unreadable")).ok();
            match serde_json::from_slice::<Stored>(&text) {
                Ok(stored) => {
                    proptest::prop_assert_eq!(read.record(), &stored.record);
                    proptest::prop_assert!(read.incarnation() > Incarnation(stored.incarnation) || stored.incarnation == u64::MAX);
                }
                Err(_) => proptest::prop_assert_eq!(aside, Some(text)),
            }
        }
    }
}
