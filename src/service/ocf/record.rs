//! What a service was started with, so that it can be stopped with the same when its parameters have been changed since.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::spec::AgentSpec;

/// As `STATE_DIR/services/GROUP=NAME.ocf` keeps it. Parameters may be secrets: the file is the daemon's user's alone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    /// OCF_RESOURCE_INSTANCE.
    pub instance: String,
    /// The agent and what it was given.
    pub agent: AgentSpec,
}

impl Record {
    /// Reads a record; none when there is none or it makes no sense.
    pub fn read(path: &Path) -> Option<Record> {
        let mut bytes = Vec::new();
        fs::File::open(path).ok()?.take(MOST_BYTES).read_to_end(&mut bytes).ok()?;
        let record: Record = serde_json::from_slice(&bytes).ok()?;
        record.sound().then_some(record)
    }

    /// A variable's name or value that the kernel would refuse keeps no service from being stopped: such a record counts for nothing.
    fn sound(&self) -> bool {
        let AgentSpec { root, program, provider, agent, parameters, promoted: _ } = &self.agent;
        let paths = [root, program].map(|path| path.to_string_lossy().into_owned());
        let texts = paths.iter().chain([&self.instance, provider, agent]).chain(parameters.keys()).chain(parameters.values());
        program.is_absolute()
            && !parameters.keys().any(|name| name.contains('='))
            && !texts.into_iter().any(|text| text.contains('\0'))
    }

    /// Writes it, whole or not at all.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let fresh = path.with_extension("ocf.new");
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_data()?;
        fs::rename(fresh, path)
    }
}

/// Puts the records of a group's agents where their services have them now: names have numbers, and a file in which services came, went or changed
/// places must not have one stopped for another. `all` is where each service's record is, and what it is now.
pub(crate) fn sort(all: &[(PathBuf, AgentSpec)]) {
    let was: Vec<Option<Record>> = all.iter().map(|(path, _)| Record::read(path)).collect();
    let mut pool = was.clone();
    let mut is: Vec<Option<Record>> = vec![None; all.len()];
    // First what is of the very service, where it is and elsewhere; then what was in its place.
    let fits = |record: &Option<Record>, agent: &AgentSpec| record.as_ref().is_some_and(|record| record.agent == *agent);
    for (place, (_, agent)) in all.iter().enumerate() {
        let own = pool.get_mut(place).filter(|record| fits(record, agent)).map(std::mem::take);
        let other = || pool.iter_mut().find(|record| fits(record, agent)).map(std::mem::take);
        if let Some(slot) = is.get_mut(place) {
            *slot = own.or_else(other).flatten();
        }
    }
    for (slot, left) in is.iter_mut().zip(&mut pool).filter(|(slot, _)| slot.is_none()) {
        *slot = left.take();
    }
    let mut left = pool.into_iter().flatten();
    for slot in is.iter_mut().filter(|slot| slot.is_none()) {
        *slot = left.next();
    }
    for (((path, _), was), is) in all.iter().zip(was).zip(is).filter(|((_, was), is)| was != is) {
        let done = match &is {
            Some(record) => record.write(path),
            None => fs::remove_file(path),
        };
        if let Err(error) = done {
            tracing::warn!(target: "service", "{}: {error}; was {:?}", path.display(), was.map(|record| record.instance));
        }
    }
}

/// More than a record ever has: 200 parameters of 4 KiB, each byte escaped.
const MOST_BYTES: u64 = 8 * 1024 * 1024;
