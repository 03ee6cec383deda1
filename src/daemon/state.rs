//! The state directory: the record that survives a restart. Its file is allocated at start and overwritten in place, on a
//! thread of its own (SAFETY R13); the number of this life grows with each start.
//!
//! The file has two places, written in turn, each with a checksum: a write that the loss of power cuts off at any byte leaves the
//! other place as it was. A record that is half old and half new could read as one with an epoch that was used long ago.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::fault::Fault;
use twinbeat_core::id::Incarnation;
use twinbeat_core::io::Record;
use twinbeat_host::dirs;

/// The size of each place: written whole each time, so that no block has to be allocated when it matters.
const SIZE: usize = 16 * 1024;
/// The second line of a place: this, then the checksum of the first line (BLAKE3, 16 hexadecimal digits).
const MARK: &str = "b3:";

/// What is in a place.
#[derive(Default, Serialize, Deserialize)]
struct Stored {
    incarnation: u64,
    /// Grows with each write: the higher one is the newer.
    #[serde(default)]
    turn: u64,
    /// Which boot of the machine: times count from there.
    #[serde(default)]
    boot: String,
    #[serde(default)]
    record: Record,
}

/// What a place says.
enum Place {
    /// Nothing was ever written.
    Empty,
    /// A record. Without a checksum it is of an earlier version, which had one place.
    Whole { stored: Box<Stored>, checked: bool },
    /// A write was cut off, or it is something else; why it cannot be read.
    Torn(String),
}

impl Stored {
    fn bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = serde_json::to_vec(self)?;
        let sum = checksum(&bytes);
        bytes.extend_from_slice(format!("\n{MARK}{sum}\n").as_bytes());
        Ok(bytes)
    }
}

impl Place {
    fn read(bytes: &[u8]) -> Place {
        let text = bytes.split(|b| *b == 0).next().unwrap_or_default();
        if text.iter().all(u8::is_ascii_whitespace) {
            return Place::Empty;
        }
        let mark = format!("\n{MARK}");
        let cut = text.windows(mark.len()).rposition(|window| window == mark.as_bytes());
        let (json, sum) = match cut.and_then(|at| text.split_at_checked(at)) {
            Some((json, rest)) => (json, Some(rest)),
            None => (text, None),
        };
        if sum.is_some_and(|sum| sum.trim_ascii() != format!("{MARK}{}", checksum(json)).as_bytes()) {
            return Place::Torn("its checksum is another one".into());
        }
        match serde_json::from_slice(json) {
            Ok(stored) => Place::Whole { stored: Box::new(stored), checked: sum.is_some() },
            Err(error) => Place::Torn(error.to_string()),
        }
    }
}

fn checksum(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().chars().take(16).collect()
}

/// The open file.
pub struct StateFile {
    path: PathBuf,
    file: File,
    stored: Stored,
    /// Which place holds it: 0 or 1.
    place: usize,
}

/// The file, made where there is none.
fn opened(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
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
        let mut file = opened(&path)?;
        let mut bytes = Vec::new();
        (&mut file).take(2 * SIZE as u64).read_to_end(&mut bytes)?;
        let (first, second) = bytes.split_at_checked(SIZE).unwrap_or((&bytes, &[]));
        let places = [Place::read(first), Place::read(second)];
        let torn = places.iter().find_map(|place| if let Place::Torn(why) = place { Some(why.clone()) } else { None });
        let whole = places.into_iter().enumerate().filter_map(|(place, read)| match read {
            Place::Whole { stored, checked } => Some((checked, stored.turn, place, stored)),
            Place::Empty | Place::Torn(_) => None,
        });
        let newest = whole.max_by_key(|(checked, turn, ..)| (*checked, *turn));
        let (place, stored) = match newest {
            Some((_, _, place, stored)) => {
                if let Some(why) = torn {
                    tracing::warn!("{}: a write was cut off ({why}); the one before it counts", path.display());
                }
                (place, *stored)
            }
            None => {
                if let Some(error) = torn {
                    let text = bytes.split(|b| *b == 0).find(|text| !text.is_empty()).unwrap_or_default();
                    let aside = dir.join("state.json.unreadable");
                    std::fs::write(&aside, text)?;
                    tracing::error!(
                        "{} cannot be understood ({error}): kept as {}, begins anew",
                        path.display(),
                        aside.display()
                    );
                }
                (1, Stored::default())
            }
        };
        let mut this = StateFile { path, file, stored, place };
        this.stored.incarnation = this.stored.incarnation.saturating_add(1).max(wall_seconds);
        let boot = boot();
        if boot != this.stored.boot {
            this.stored.boot = boot;
            forget_times(&mut this.stored.record);
        }
        this.overwrite()?;
        if !hot {
            this.settle()?;
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
        if self.is_nameless() {
            self.say_nameless();
            return self.write_anew();
        }
        self.overwrite()?;
        self.settle()
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Says so.
    pub(super) fn say_nameless(&self) {
        tracing::error!("{} was removed by another hand: it is written anew", self.path.display());
    }

    /// The file has lost its name, or another one bears it: it keeps nothing for the next life.
    pub(super) fn is_nameless(&self) -> bool {
        let place = |meta: std::fs::Metadata| (meta.dev(), meta.ino());
        let held = self.file.metadata().map(place);
        std::fs::metadata(&self.path).map(place).ok() != held.ok()
    }

    /// Writes what it holds into a new file of its name; what another hand put there is kept beside.
    ///
    /// # Errors
    /// As the disk says.
    pub(super) fn write_anew(&mut self) -> io::Result<()> {
        let dir = self.path.parent().map(Path::to_path_buf).unwrap_or_default();
        std::fs::create_dir_all(&dir)?;
        match std::fs::rename(&self.path, self.path.with_extension("json.replaced")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.file = opened(&self.path)?;
        self.overwrite()?;
        self.settle()?;
        File::open(dir)?.sync_all()
    }

    /// What was written is on the disk: from now on the other place may be overwritten.
    fn settle(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        self.place = 1_usize.saturating_sub(self.place);
        Ok(())
    }

    fn overwrite(&mut self) -> io::Result<()> {
        self.stored.turn = self.stored.turn.saturating_add(1);
        let mut bytes = self.stored.bytes()?;
        if bytes.len() > SIZE {
            // A person's words must not make a node unfit: they go first.
            for group in &mut self.stored.record.groups {
                group.standby.iter_mut().for_each(|standby| standby.reason = None);
                group.pause.iter_mut().for_each(|pause| pause.reason = None);
            }
            forget_times(&mut self.stored.record);
            bytes = self.stored.bytes()?;
        }
        if bytes.len() > SIZE {
            return Err(io::Error::other(format!(
                "the record has {} bytes, {} has room for {SIZE}",
                bytes.len(),
                self.path.display()
            )));
        }
        bytes.resize(SIZE, 0);
        // The other place: this one is the last whole record until that is written.
        let place = 1_usize.saturating_sub(self.place);
        self.file.seek(SeekFrom::Start(place.saturating_mul(SIZE) as u64))?;
        self.file.write_all(&bytes)
    }
}

/// What is for people only, and means nothing in another boot.
fn forget_times(record: &mut Record) {
    for group in &mut record.groups {
        group.last = None;
        group.peer_serves = None;
    }
    (record.fenced, record.fencing) = (None, None);
}

/// proc_sys_kernel(5), boot_id; empty where it cannot be read.
fn boot() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().into()
}

/// Whether a daemon could keep its record in this directory.
///
/// # Errors
/// [`Fault::State`], with what cannot be made or opened.
pub fn writable(dir: &Path) -> anyhow::Result<()> {
    let services = dir.join("services");
    dirs::private(&services).with_context(|| format!("cannot make {}", services.display())).context(Fault::State)?;
    for file in ["lock", "state.json"].map(|name| dir.join(name)) {
        dirs::open_private(&file).with_context(|| format!("cannot open {}", file.display())).context(Fault::State)?;
    }
    Ok(())
}

/// For the fuzz targets alone: starts a life on the state file of a directory.
#[cfg(fuzzing)]
pub fn fuzzed(dir: &Path) -> io::Result<Record> {
    StateFile::open(dir, 7, true).map(|file| file.record().clone())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use twinbeat_core::id::Epoch;
    use twinbeat_core::io::{GroupRecord, PauseRecord, StandbyHold};
    use twinbeat_core::time::Span;

    fn record() -> Record {
        let group = GroupRecord {
            last: None,
            peer_serves: None,
            name: "web".into(),
            epoch: Epoch(8),
            owned: Some(Epoch(8)),
            peer_lease: Span::millis(320),
            acked_lease: Span::ZERO,
            standby: None,
            pause: None,
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
    fn words_that_are_too_long_are_left_out_before_a_node_becomes_unfit() {
        let dir = tempfile::tempdir().unwrap();
        let mut long = record();
        long.groups[0].standby = Some(StandbyHold { left: None, reason: Some("\u{1}".repeat(SIZE)), told: 3 });
        let reason = Some("\u{1}".repeat(SIZE));
        long.groups[0].pause = Some(PauseRecord { told: 4, on: true, left: None, reason });
        StateFile::open(dir.path(), 100, false).unwrap().write(long).unwrap();
        let read = StateFile::open(dir.path(), 100, false).unwrap();
        let standby = read.record().groups[0].standby.as_ref().unwrap();
        assert_eq!((standby.told, standby.reason.as_deref()), (3, None));
        let pause = read.record().groups[0].pause.as_ref().unwrap();
        assert_eq!((pause.told, pause.on, pause.reason.as_deref()), (4, true, None));
    }

    /// Power may go at any byte of any write: of the first one, of one over an earlier record of the same place, and of the first
    /// over a file of an earlier version. What is read then is the record before or the new one, whole.
    #[test]
    fn a_write_that_is_cut_off_at_any_byte_leaves_the_record_before_it_or_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        let numbered = |epoch: u64| {
            let mut numbered = record();
            numbered.groups[0].epoch = Epoch(epoch);
            let reason = Some("w".repeat(epoch as usize % 7));
            numbered.groups[0].standby = Some(StandbyHold { left: None, reason, told: epoch });
            numbered
        };
        let older = br#"{"incarnation":41,"record":{"groups":[{"name":"web","epoch":8}]}}"#;
        std::fs::write(&path, [&older[..], &[0; SIZE][older.len()..]].concat()).unwrap();
        let mut file = StateFile::open(dir.path(), 7, true).unwrap();
        let mut known = file.record().clone();
        assert_eq!(known.groups[0].epoch, Epoch(8));
        for epoch in [9, 10, 1_000_001, 12, 13] {
            let before = std::fs::read(&path).unwrap();
            file.write(numbered(epoch)).unwrap();
            let after = std::fs::read(&path).unwrap();
            let copy = tempfile::tempdir().unwrap();
            let mut before = before;
            before.resize(after.len(), 0);
            let differ = (0..after.len()).filter(|at| before[*at] != after[*at]);
            let (from, to) = differ.fold((after.len(), 0), |(from, to), at| (from.min(at), to.max(at)));
            for at in from..=to + 1 {
                let torn: Vec<u8> = after[..at].iter().chain(&before[at..]).copied().collect();
                std::fs::write(copy.path().join("state.json"), &torn).unwrap();
                let read = StateFile::open(copy.path(), 7, true).unwrap();
                assert!(*read.record() == known || *read.record() == numbered(epoch), "{epoch} {at}: {:?}", read.record());
                assert!(*read.record() == numbered(epoch) || at <= to, "{epoch} {at}: the whole write is lost");
                // The life of a hot start is not waited for until it is on the disk: after the loss of power the clock makes it a higher one.
                assert!(read.incarnation() > Incarnation(if epoch == 9 { 41 } else { 42 }));
            }
            known = numbered(epoch);
        }
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
            let mut text = serde_json::to_vec(&Stored { incarnation: 41, turn: 0, boot: String::new(), record: record() }).unwrap();
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
