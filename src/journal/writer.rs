//! The writer: a thread of its own, files that are bounded in size, the oldest dropped. It may wait for a disk; nobody waits for it.
//!
//! Nothing is synced: a killed daemon loses what was in the queue, a machine that loses power what its kernel had not written.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::file::{Begins, Head, list, name};
use super::line::Coder;
use super::queue::{Chunk, Queue, ROOM};

/// Routine is written this often.
const PAUSE: Duration = Duration::from_secs(1);
/// A disk that refused is tried again after this.
const AGAIN: Duration = Duration::from_secs(10);
/// The largest single file: what a command that explains has to read at once.
const LARGEST: u64 = 8 * 1024 * 1024;

/// What the words for a recorder that is lost begin with.
pub const CANNOT: &str = "the flight recorder cannot write to";

/// The files.
struct Files {
    dir: PathBuf,
    keep: u64,
    /// The open one, and how much is in it; none while the disk refuses, or before the first head.
    open: Option<(fs::File, u64)>,
    /// Lines that did not get onto the disk since the last head.
    lost: u64,
    asked: bool,
    refused: Option<Instant>,
    queue: Queue,
}

/// Starts the thread. Nothing on the disk is touched before the first head comes.
///
/// # Errors
/// When no thread can be made.
pub fn start(dir: PathBuf, keep: u64, queue: Queue) -> io::Result<()> {
    let mut files = Files { dir, keep, open: None, lost: 0, asked: false, refused: None, queue: queue.clone() };
    std::thread::Builder::new().name("flight-recorder".into()).stack_size(256 * 1024).spawn(move || {
        loop {
            let work = queue.take(PAUSE);
            work.chunks.into_iter().for_each(|chunk| files.write(chunk));
            if work.end {
                // Tells those who wait for the last line.
                queue.take(Duration::ZERO);
                return;
            }
            if files.wants_file() {
                queue.ask_for_file();
            }
        }
    })?;
    Ok(())
}

impl Files {
    fn write(&mut self, chunk: Chunk) {
        if let Some(head) = chunk.head {
            self.asked = false;
            match self.begin(*head) {
                Ok(()) => {
                    if self.refused.take().is_some() {
                        self.queue.tell(None);
                        tracing::info!("the flight recorder writes again");
                    }
                }
                Err(error) => self.refuse(&error),
            }
        }
        let Some((file, size)) = &mut self.open else {
            self.lost = self.lost.saturating_add(chunk.lines);
            return;
        };
        // What is written into a file without a name is lost as well.
        let there = file
            .metadata()
            .and_then(|meta| if meta.nlink() > 0 { Ok(()) } else { Err(io::Error::other("its file was removed")) });
        match there.and_then(|()| file.write_all(&chunk.bytes)) {
            Ok(()) => *size = size.saturating_add(chunk.bytes.len() as u64),
            Err(error) => {
                self.lost = self.lost.saturating_add(chunk.lines);
                self.refuse(&error);
            }
        }
    }

    /// A full file is followed by another one; a disk that refused is tried again, a little later.
    fn wants_file(&mut self) -> bool {
        let wants = match &self.open {
            Some((_, size)) => *size >= self.largest(),
            None => self.refused.is_some_and(|at| at.elapsed() >= AGAIN),
        };
        wants && !std::mem::replace(&mut self.asked, wants)
    }

    fn largest(&self) -> u64 {
        (self.keep / 16).min(LARGEST)
    }

    fn begin(&mut self, mut head: Head) -> io::Result<()> {
        head.lost = head.lost.saturating_add(std::mem::take(&mut self.lost));
        if head.lost > 0 {
            head.begins = Begins::Gap;
            tracing::warn!("the flight recorder lost {} lines", head.lost);
            if let Some((file, _)) = &mut self.open {
                let mut line = Vec::new();
                Coder::gap(&mut line, head.lost);
                let _ = file.write_all(&line);
            }
        }
        self.open = None;
        // Should it fail, the next head says how many are missing.
        self.lost = head.lost;
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        let mut line = serde_json::to_vec(&head)?;
        line.push(b'\n');
        let old = list(&self.dir)?;
        let number = old.last().map_or(1, |(number, ..)| number.saturating_add(1));
        let mut room = self.keep.saturating_sub(self.largest().saturating_add(ROOM as u64).saturating_add(line.len() as u64));
        let mut full = false;
        for (_, path, size) in old.iter().rev() {
            full |= *size > room;
            if full {
                fs::remove_file(path)?;
            } else {
                room = room.saturating_sub(*size);
            }
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.dir.join(name(number)))?;
        file.write_all(&line)?;
        self.open = Some((file, line.len() as u64));
        self.lost = 0;
        Ok(())
    }

    fn refuse(&mut self, error: &io::Error) {
        let words = format!("{CANNOT} {}: {error}", self.dir.display());
        if self.refused.replace(Instant::now()).is_none() {
            tracing::warn!("{words}; decisions go on, their record does not");
        }
        self.queue.tell(Some(words));
        self.open = None;
    }
}
