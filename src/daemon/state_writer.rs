//! The thread that writes the state directory's record, and the one that has it look when the file loses its name (SAFETY R13).

use std::io;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use super::state::StateFile;
use twinbeat_core::io::{Input, Record};
use twinbeat_host::name_watch::NameWatch;

/// What the thread that writes is told.
enum Word {
    /// To write this record.
    Write(u64, Box<Record>),
    /// To look whether the file still has its name.
    Look,
}

/// The thread that writes records.
#[derive(Clone)]
pub struct Writer(mpsc::Sender<Word>);

impl Writer {
    /// Has a record written; whether the thread is there.
    pub fn write(&self, ticket: u64, record: Record) -> bool {
        self.0.send(Word::Write(ticket, Box::new(record))).is_ok()
    }
}

/// A file whose name was lost is made anew, and watched anew, at most so often.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// One that could not be made anew is tried again after this.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Starts the thread that writes records; each result comes back as an input. A record whose file is removed under the daemon is written
/// anew at once: else the next life would know of nothing that was promised since.
///
/// # Errors
/// When no thread can be made.
pub fn writer(mut file: StateFile, report: impl Fn(Input) + Send + 'static) -> io::Result<Writer> {
    let (sender, receiver) = mpsc::channel();
    watch(file.path().to_path_buf(), sender.clone())?;
    std::thread::Builder::new().name("state".into()).spawn(move || {
        let mut nameless = false;
        loop {
            let word = if nameless {
                match receiver.recv_timeout(TRY_AGAIN) {
                    Err(mpsc::RecvTimeoutError::Disconnected) => return,
                    word => word.unwrap_or(Word::Look),
                }
            } else {
                let Ok(word) = receiver.recv() else { return };
                word
            };
            match word {
                Word::Write(ticket, record) => report(match file.write(*record) {
                    Ok(()) => Input::Persisted { ticket },
                    Err(error) => Input::PersistFailed { ticket, reason: error.to_string() },
                }),
                Word::Look if !file.is_nameless() => {}
                Word::Look => {
                    if !nameless {
                        file.say_nameless();
                    }
                    if let Err(error) = file.write_anew()
                        && !nameless
                    {
                        tracing::error!("{}: {error}", file.path().display());
                    }
                }
            }
            nameless = file.is_nameless();
        }
    })?;
    Ok(Writer(sender))
}

/// Has the thread that writes look at the file whenever something happened to its name.
fn watch(path: PathBuf, to: mpsc::Sender<Word>) -> io::Result<()> {
    std::thread::Builder::new().name("state-watch".into()).spawn(move || {
        loop {
            let watch = NameWatch::new(&path);
            // Watched first, looked at then: nothing is missed in between.
            if to.send(Word::Look).is_err() {
                return;
            }
            match watch.and_then(NameWatch::changed) {
                Ok(()) => std::thread::sleep(LOOK_AGAIN),
                // Not there yet, or no more watches for this user.
                Err(_) => std::thread::sleep(TRY_AGAIN),
            }
        }
    })?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Instant;

    use super::*;
    use twinbeat_core::id::Epoch;
    use twinbeat_core::io::GroupRecord;

    fn until(what: impl Fn() -> bool) {
        let begun = Instant::now();
        while !what() {
            assert!(begun.elapsed() < Duration::from_secs(20), "it never came");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn a_record_that_is_taken_away_is_there_again_before_anything_else_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let file = StateFile::open(&state, 7, false).unwrap();
        let (tell, told) = mpsc::channel();
        let writer = writer(file, move |input| tell.send(input).unwrap()).unwrap();
        let group: GroupRecord = serde_json::from_str("{\"name\":\"web\",\"epoch\":8}").unwrap();
        assert!(writer.write(1, Record { groups: vec![group], ..Record::default() }));
        assert!(matches!(told.recv().unwrap(), Input::Persisted { ticket: 1 }));
        let knows = || {
            let read = std::fs::read_to_string(state.join("state.json")).unwrap_or_default();
            read.contains("\"epoch\":8")
        };
        assert!(knows());
        std::fs::remove_file(state.join("state.json")).unwrap();
        until(knows);
        std::fs::remove_dir_all(&state).unwrap();
        until(knows);
        std::fs::rename(&state, dir.path().join("away")).unwrap();
        until(knows);
        std::fs::write(dir.path().join("other"), "{}").unwrap();
        std::fs::rename(dir.path().join("other"), state.join("state.json")).unwrap();
        until(knows);
        assert_eq!(std::fs::read_to_string(state.join("state.json.replaced")).unwrap(), "{}");
        // The next life knows it too.
        let next = StateFile::open(&state, 7, false).unwrap();
        assert_eq!(next.record().groups.first().unwrap().epoch, Epoch(8));
    }
}
