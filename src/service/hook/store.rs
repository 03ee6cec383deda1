//! What is still to be told, on the disk: `STATE_DIR/hooks.json`, written whole by a thread of its own, so that a disk that hangs holds up no hook.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::record::Record;
use super::queue::Job;

/// One hook and one group, or the node.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct StoredLane {
    /// The hook's program and arguments: by these it is known in the next life.
    pub run: Vec<String>,
    /// The group; none: the node.
    pub group: Option<String>,
    /// What is still to be told, in order.
    pub jobs: Vec<Job>,
    /// The hook that runs for the first of them.
    pub running: Option<Record>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    lanes: Vec<StoredLane>,
}

/// The file's path, and its place for what cannot be read.
#[derive(Clone, Debug)]
pub(super) struct Store {
    path: PathBuf,
}

impl Store {
    pub fn new(state_dir: &Path) -> Store {
        Store { path: state_dir.join("hooks.json") }
    }

    /// What the last life left. A file that cannot be understood is kept beside under another name, and said so; the hooks are told the present
    /// state in any case.
    pub fn read(&self) -> Vec<StoredLane> {
        let read = File::open(&self.path).and_then(|file| {
            let mut bytes = Vec::new();
            file.take(MOST_BYTES.saturating_add(1)).read_to_end(&mut bytes).map(|_| bytes)
        });
        let why = match read {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => error.to_string(),
            Ok(bytes) if bytes.len() as u64 > MOST_BYTES => format!("more than {MOST_BYTES} bytes"),
            Ok(bytes) => match serde_json::from_slice::<Stored>(&bytes) {
                Ok(Stored { version: FORM, lanes }) => return lanes,
                Ok(Stored { version, .. }) => format!("version {version}, this daemon writes {FORM}"),
                Err(error) => error.to_string(),
            },
        };
        let aside = self.path.with_extension("json.unreadable");
        let kept = match fs::rename(&self.path, &aside) {
            Ok(()) => format!("kept as {}", aside.display()),
            Err(error) => format!("and cannot be kept aside: {error}"),
        };
        tracing::error!(target: "hook", "{} cannot be understood ({why}): {kept}; what hooks were not told of before this start is lost", self.path.display());
        Vec::new()
    }

    /// Writes it, whole or not at all.
    pub fn write(&self, lanes: Vec<StoredLane>) -> io::Result<()> {
        let fresh = self.path.with_extension("json.new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(&serde_json::to_vec(&Stored { version: FORM, lanes })?)?;
        file.sync_data()?;
        fs::rename(fresh, &self.path)
    }

    /// For messages.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The form of the file.
const FORM: u32 = 1;
/// More than 16 hooks of 16 groups ever leave.
const MOST_BYTES: u64 = 32 * 1024 * 1024;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    proptest::proptest! {
        #[test]
        fn a_file_that_something_was_done_to_is_read_or_kept_aside_and_the_next_one_is_written(
            at in 0usize..400, put in "[\\[\\]{}\":,0-9a-z\\\\\u{e4}]{0,6}", cut in 0usize..40,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::new(dir.path());
            let change = super::super::tests::owner("web", 7);
            let lane = StoredLane { run: vec!["x".into()], group: Some("web".into()), jobs: vec![Job { change, attempts: 1, skipped: 2 }], running: None };
            store.write(vec![lane.clone()]).unwrap();
            assert_eq!(store.read(), [lane]);
            let mut text: Vec<char> = fs::read_to_string(store.path()).unwrap().chars().collect();
            let at = at.min(text.len());
            let end = (at + cut).min(text.len());
            text.splice(at..end, put.chars());
            fs::write(store.path(), text.iter().collect::<String>()).unwrap();
            let lanes = store.read();
            assert!(store.path().exists() != dir.path().join("hooks.json.unreadable").exists());
            store.write(lanes).unwrap();
        }
    }
}
