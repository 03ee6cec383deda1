//! What is remembered of a supervised process, so that the next daemon finds it again; and what /proc says of a process.
//!
//! A process id alone is no identity: it is used again. A record names the boot, the id and the start time (proc_pid_stat(5),
//! field 22), and only all three together are the process.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// A supervised process, as `STATE_DIR/services/GROUP=NAME.json` keeps it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    /// Its process id, which is also its session and its process group.
    pub pid: i32,
    /// Its start in clock ticks since boot.
    pub start: u64,
    /// The boot that it belongs to.
    pub boot: String,
    /// What was started.
    pub argv: Vec<String>,
}

impl Record {
    /// The record of a process that runs now; none when it is gone already.
    pub fn of(pid: i32, argv: &[String]) -> Option<Record> {
        Some(Record { pid, start: Stat::of(pid)?.start, boot: boot(), argv: argv.to_vec() })
    }

    /// Reads a record; none when there is none or it makes no sense.
    pub fn read(path: &Path) -> Option<Record> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    /// Writes it, whole or not at all.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let fresh = path.with_extension("json.new");
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_data()?;
        fs::rename(fresh, path)
    }

    /// Whether this very process runs (a zombie does not).
    pub fn alive(&self) -> bool {
        self.boot == boot() && Stat::of(self.pid).is_some_and(|stat| stat.start == self.start && stat.lives())
    }

    /// The living processes of its session or group, itself included. Empty when the id belongs to another process by now: an id
    /// is not used again while a group or session of that number has members.
    pub fn family(&self) -> Vec<i32> {
        if self.boot != boot() || Stat::of(self.pid).is_some_and(|stat| stat.start != self.start) {
            return Vec::new();
        }
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(|pid| Some((pid, Stat::of(pid)?)))
            .filter(|(_, stat)| stat.lives() && stat.start >= self.start && (stat.group == self.pid || stat.session == self.pid))
            .map(|(pid, _)| pid)
            .collect()
    }
}

/// What /proc/PID/stat says, as far as it matters here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stat {
    state: char,
    group: i32,
    session: i32,
    start: u64,
}

impl Stat {
    fn of(pid: i32) -> Option<Stat> {
        Stat::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The name in parentheses may hold anything, blanks and parentheses too: the fields begin after the last one.
    fn parse(text: &str) -> Option<Stat> {
        let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let group = fields.nth(1)?.parse().ok()?;
        let session = fields.next()?.parse().ok()?;
        let start = fields.nth(15)?.parse().ok()?;
        Some(Stat { state, group, session, start })
    }

    fn lives(&self) -> bool {
        !matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// This boot's name; empty where the kernel does not say.
fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// For the fuzz targets alone: reads a record, and a text as /proc/PID/stat.
#[cfg(fuzzing)]
pub fn fuzzed(path: &Path, text: &str) {
    let _ = (Record::read(path), Stat::parse(text));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_process_name_with_blanks_and_parentheses_does_not_shift_the_fields() {
        let text = "7 (a) S (b) R 1 70 71 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 4711 1000 10 18446744073709551615";
        assert_eq!(Stat::parse(text), Some(Stat { state: 'R', group: 70, session: 71, start: 4711 }));
    }

    #[test]
    fn a_record_is_this_process_only_with_the_same_start_and_boot() {
        let me = i32::try_from(std::process::id()).unwrap();
        let record = Record::of(me, &["test".into()]).unwrap();
        assert!(record.alive());
        assert!(!Record { start: record.start + 1, ..record.clone() }.alive());
        assert!(!Record { boot: "another".into(), ..record.clone() }.alive());
        assert!(Record { start: record.start + 1, ..record }.family().is_empty());
    }

    #[test]
    fn a_record_survives_the_disk_and_rubbish_is_no_record() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web-nginx.json");
        let record = Record { pid: 1, start: 2, boot: "b".into(), argv: vec!["nginx".into()] };
        record.write(&path).unwrap();
        assert_eq!(Record::read(&path), Some(record));
        fs::write(&path, "{").unwrap();
        assert_eq!(Record::read(&path), None);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_record_or_none_and_any_stat_is_read_or_none(text in "\\PC{0,200}", numbers in proptest::collection::vec(proptest::prelude::any::<u64>(), 0..30)) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("r.json");
            fs::write(&path, &text).unwrap();
            let _ = Record::read(&path);
            let numbers: Vec<String> = numbers.iter().map(u64::to_string).collect();
            let _ = Stat::parse(&text);
            let _ = Stat::parse(&format!("1 ({text}) S {}", numbers.join(" ")));
        }
    }
}
