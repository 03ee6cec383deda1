//! What services print, line by line into the log.
//!
//! A pipe would tie the service's life to the daemon's (a write to a pipe that nobody reads kills or blocks it), so children write
//! to a file, opened for appending, and the daemon follows it. The file is emptied once it is large and read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The children's end of a service's output file.
#[derive(Debug)]
pub(super) struct Writer(PathBuf);

impl Writer {
    /// For the file at `path`.
    pub fn new(path: &Path) -> Writer {
        Writer(path.to_owned())
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The file, for a unit that writes to it; none when it cannot be opened.
    pub fn file(&self) -> Option<OwnedFd> {
        let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.0);
        opened
            .inspect_err(|error| tracing::warn!(target: "service", "{}: {error}; the output is lost", self.0.display()))
            .ok()
            .map(OwnedFd::from)
    }

    /// As a child's standard output or error; nowhere, when the file cannot be opened: a full disk must not stop a service.
    pub fn stdio(&self) -> Stdio {
        self.file().map_or_else(Stdio::null, Stdio::from)
    }

    /// How long the file is now.
    pub fn mark(&self) -> u64 {
        fs::metadata(&self.0).map(|meta| meta.len()).unwrap_or_default()
    }

    /// The newest line with `word` in it that was written behind `mark`; none where there is none, or where the file was emptied since.
    pub fn since(&self, mark: u64, word: &str) -> Option<String> {
        let mut file = File::open(&self.0).ok()?;
        let begin = mark.max(file.metadata().ok()?.len().saturating_sub(CHUNK));
        file.seek(SeekFrom::Start(begin)).ok()?;
        let mut bytes = Vec::new();
        file.take(CHUNK).read_to_end(&mut bytes).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        let line = text.lines().rev().find(|line| line.contains(word))?;
        Some(line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LINE).collect())
    }
}

/// Follows a service's output file.
#[derive(Debug)]
pub(super) struct Follower {
    path: PathBuf,
    file: Option<File>,
    at: u64,
    rest: Vec<u8>,
}

impl Follower {
    /// From the file's present end on.
    pub fn new(path: &Path) -> Follower {
        let at = fs::metadata(path).map(|meta| meta.len()).unwrap_or_default();
        Follower { path: path.to_owned(), file: None, at, rest: Vec::new() }
    }

    /// Follows for ever, each line into the log. As long as nothing is written nothing wakes up.
    pub async fn follow(mut self, group: String, service: String) {
        let changes = self.path.parent().and_then(|dir| Changes::below(dir).ok());
        let mut quiet = true;
        let (mut dropped, mut all, mut told) = (0_u64, 0_u64, None::<Instant>);
        loop {
            match &changes {
                Some(changes) if quiet && changes.next().await.is_ok() => {}
                _ => tokio::time::sleep(PERIOD).await,
            }
            let before = self.at;
            let lines = self.lines();
            quiet = self.at == before && dropped == 0;
            match lines {
                Ok((lines, skipped)) => {
                    for line in lines {
                        tracing::info!(target: "service", "{group}/{service}: {line}");
                    }
                    dropped = dropped.saturating_add(skipped);
                    all = all.saturating_add(skipped);
                    if dropped > 0 && told.is_none_or(|at| at.elapsed() >= TELL_AGAIN) {
                        tracing::warn!(target: "service", "{group}/{service}: {dropped} bytes of output left out, {all} in all: too fast");
                        (dropped, told) = (0, Some(Instant::now()));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => tracing::debug!(target: "service", "{}: {error}", self.path.display()),
            }
        }
    }

    /// The lines written since the last call, and how many bytes were passed over because there were too many.
    pub fn lines(&mut self) -> io::Result<(Vec<String>, u64)> {
        if self.file.is_none() {
            self.file = Some(OpenOptions::new().read(true).append(true).open(&self.path)?);
        }
        let Some(file) = &mut self.file else { return Ok((Vec::new(), 0)) };
        let length = file.metadata()?.len();
        if length < self.at {
            self.at = 0;
        }
        let behind = length.saturating_sub(self.at);
        // Too fast to be followed, or for ever a little behind: the file is emptied whatever is in it.
        if behind > LARGE || length > MOST {
            file.set_len(0)?;
            self.at = 0;
            self.rest.clear();
            return Ok((Vec::new(), behind));
        }
        file.seek(SeekFrom::Start(self.at))?;
        let mut fresh = Vec::new();
        self.at += file.take(CHUNK).read_to_end(&mut fresh)? as u64;
        if self.at >= LARGE && file.metadata()?.len() == self.at {
            file.set_len(0)?;
            self.at = 0;
        }
        Ok((self.split(&fresh), 0))
    }

    /// Whole lines; what has no end yet waits, but not beyond a line's bound.
    fn split(&mut self, fresh: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for &byte in fresh {
            if byte != b'\n' {
                self.rest.push(byte);
            }
            if byte == b'\n' || self.rest.len() >= LINE {
                let line: String =
                    String::from_utf8_lossy(&self.rest).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
                self.rest.clear();
                if !line.trim().is_empty() {
                    lines.push(line.trim_end().to_owned());
                }
            }
        }
        lines
    }
}

/// Says that a file in a directory was made or written to (inotify(7)).
#[derive(Debug)]
struct Changes(AsyncFd<OwnedFd>);

impl Changes {
    fn below(dir: &Path) -> io::Result<Changes> {
        let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        inotify::add_watch(&fd, dir, WatchFlags::MODIFY | WatchFlags::CREATE)?;
        #[expect(deprecated, reason = "an OwnedFd stays the same open descriptor; the replacement is unsafe to call")]
        AsyncFd::with_interest(fd, Interest::READABLE).map(Changes)
    }

    /// Waits for the next one since the last call. Which file it was is not told: looking is cheap.
    async fn next(&self) -> io::Result<()> {
        let mut ready = self.0.readable().await?;
        let mut said = [0; 4096];
        loop {
            match rustix::io::read(self.0.get_ref(), &mut said) {
                Ok(1..) | Err(Errno::INTR) => {}
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(error.into()),
            }
        }
        ready.clear_ready();
        Ok(())
    }
}

/// Between two looks at the file while something is written to it.
const PERIOD: Duration = Duration::from_millis(250);
/// The most that one look reads: 256 KiB/s for each service.
const CHUNK: u64 = 64 * 1024;
/// A file of this size is emptied once it is read; a backlog of this size is left out.
const LARGE: u64 = 1024 * 1024;
/// A file of this size is emptied, read or not: with what is written between two looks that is all that it takes from the disk.
const MOST: u64 = 4 * LARGE;
/// Output that was left out is told of at most this often.
const TELL_AGAIN: Duration = Duration::from_secs(10);
/// The longest line; longer ones are broken.
const LINE: usize = 4096;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write;

    use super::*;

    #[test]
    fn lines_come_once_and_whole_and_a_large_file_is_emptied() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        fs::write(&path, "before\n").unwrap();
        let mut follower = Follower::new(&path);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"one\ntw").unwrap();
        assert_eq!(follower.lines().unwrap(), (vec!["one".to_owned()], 0));
        file.write_all(b"o\n\n\x1b[31mred\n").unwrap();
        assert_eq!(follower.lines().unwrap().0, ["two", " [31mred"]);
        file.write_all(&vec![b'x'; 3 * 1024 * 1024]).unwrap();
        let mut skipped = 0;
        while fs::metadata(&path).unwrap().len() > 0 {
            let (lines, more) = follower.lines().unwrap();
            assert!(lines.iter().all(|line| line.len() <= LINE));
            skipped += more;
        }
        assert!(skipped > 1024 * 1024, "a flood is not followed to the end: {skipped}");
        file.write_all(b"\nafter\n").unwrap();
        assert_eq!(follower.lines().unwrap().0.last().unwrap(), "after");
    }

    /// A little faster than it is read, for a long time, and much faster: the file stays small, and nothing is lost uncounted.
    #[test]
    fn a_child_that_talks_never_fills_the_disk_and_what_is_left_out_is_counted() {
        for burst in [80 * 1024, 3 * 1024 * 1024] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("out");
            fs::write(&path, "").unwrap();
            let mut follower = Follower::new(&path);
            let mut file = OpenOptions::new().append(true).open(&path).unwrap();
            let (mut written, mut read, mut left_out, mut largest) = (0, 0, 0, 0);
            let line = [&[b'x'; 1023][..], b"\n"].concat();
            for _ in 0..600 {
                file.write_all(&line.repeat(burst / line.len())).unwrap();
                written += burst as u64;
                largest = largest.max(fs::metadata(&path).unwrap().len());
                let (lines, more) = follower.lines().unwrap();
                read += lines.iter().map(|line| line.len() as u64 + 1).sum::<u64>();
                left_out += more;
            }
            assert!(largest <= MOST + burst as u64, "{burst}: {largest}");
            let known = read + left_out;
            assert!(known.abs_diff(written) <= 2 * LARGE, "{burst}: {written} written, {read} read, {left_out} left out");
            assert!(left_out > 0);
        }
    }
}
