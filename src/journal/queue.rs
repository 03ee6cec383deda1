//! Between the decision and the writer: bytes in order, bounded, and never a wait for the decision.
//!
//! The decision only ever tries the lock; what it finds taken it keeps and hands over with the next line. The writer holds
//! it for as long as it takes to move a few pointers.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use super::file::Head;

/// The most bytes that may wait.
pub const ROOM: usize = 512 * 1024;
/// From here on the writer is woken.
const PLENTY: usize = 64 * 1024;

/// What waits: lines, each stretch of them perhaps with the head of a new file before it.
#[derive(Default)]
pub struct Chunk {
    /// A new file begins here.
    pub head: Option<Box<Head>>,
    /// Lines.
    pub bytes: Vec<u8>,
    /// How many.
    pub lines: u64,
}

#[derive(Default)]
struct State {
    chunks: Vec<Chunk>,
    waiting: usize,
    /// The writer wants a new file: the present one is full, or cannot be written.
    begin: bool,
    hurry: bool,
    busy: bool,
    end: bool,
}

/// The queue; cheap to clone.
#[derive(Clone, Default)]
pub struct Queue {
    shared: Arc<(Mutex<State>, Condvar, Condvar)>,
    /// Why the disk does not take anything; for people.
    trouble: Arc<Mutex<Option<String>>>,
}

/// How a line was taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// It is in the queue. True: the writer wants a new file.
    Yes(bool),
    /// The queue is full: it is lost.
    Full,
    /// The writer had the lock: try again with the next one.
    Later,
}

/// What the writer is given.
pub struct Work {
    /// In order.
    pub chunks: Vec<Chunk>,
    /// The last.
    pub end: bool,
}

impl Queue {
    /// Appends lines without waiting, and takes them out of `bytes`.
    pub fn push(&self, bytes: &mut Vec<u8>, lines: &mut u64) -> Taken {
        self.attempt().map_or(Taken::Later, |state| self.append(state, bytes, lines))
    }

    fn append(&self, mut state: MutexGuard<'_, State>, bytes: &mut Vec<u8>, lines: &mut u64) -> Taken {
        if state.waiting.saturating_add(bytes.len()) > ROOM {
            return Taken::Full;
        }
        state.waiting = state.waiting.saturating_add(bytes.len());
        if state.chunks.is_empty() {
            state.chunks.push(Chunk::default());
        }
        if let Some(chunk) = state.chunks.last_mut() {
            chunk.bytes.append(bytes);
            chunk.lines = chunk.lines.saturating_add(*lines);
        }
        *lines = 0;
        if state.waiting > PLENTY && !state.hurry {
            state.hurry = true;
            self.shared.1.notify_one();
        }
        Taken::Yes(state.begin)
    }

    /// Whether there is room again after the queue was full.
    pub fn has_room(&self) -> bool {
        self.attempt().is_some_and(|state| state.waiting < ROOM / 2)
    }

    /// Begins a new file, if the lock is free.
    pub fn begin(&self, head: impl FnOnce() -> Box<Head>) -> bool {
        let Some(mut state) = self.attempt() else { return false };
        state.begin = false;
        state.chunks.push(Chunk { head: Some(head()), ..Chunk::default() });
        true
    }

    /// Wakes the writer: a person will want to read this.
    pub fn hurry(&self) {
        if let Some(mut state) = self.attempt()
            && !state.hurry
        {
            state.hurry = true;
            self.shared.1.notify_one();
        }
    }

    /// As [`flush`](Queue::flush), and gives up at once when the lock is taken: a panic may have come while it was held.
    pub fn try_flush(&self, most: Duration) {
        if self.attempt().is_some() {
            self.flush(most);
        }
    }

    /// Waits until all that was handed over is written, at most this long.
    pub fn flush(&self, most: Duration) {
        let mut state = self.lock();
        state.hurry = true;
        self.shared.1.notify_one();
        let done = |state: &mut State| !state.chunks.is_empty() || state.busy;
        let _ = self.shared.2.wait_timeout_while(state, most, done).map_err(PoisonError::into_inner);
    }

    /// As [`push`](Queue::push), and waits for the lock: nothing is decided any more.
    pub fn hand_over(&self, bytes: &mut Vec<u8>, lines: &mut u64) {
        if !bytes.is_empty() {
            self.append(self.lock(), bytes, lines);
        }
    }

    /// These are the last lines.
    pub fn end(&self, bytes: &mut Vec<u8>, lines: &mut u64) {
        self.hand_over(bytes, lines);
        self.lock().end = true;
        self.shared.1.notify_one();
    }

    /// The writer's side: waits until something is urgent, plenty, or `pause` has passed, and takes all there is.
    pub fn take(&self, pause: Duration) -> Work {
        let mut state = self.lock();
        state.busy = false;
        if state.chunks.is_empty() {
            self.shared.2.notify_all();
        }
        let idle = |state: &mut State| !state.hurry && !state.end;
        let (mut state, _) = self.shared.1.wait_timeout_while(state, pause, idle).unwrap_or_else(PoisonError::into_inner);
        state.hurry = false;
        state.waiting = 0;
        state.busy = !state.chunks.is_empty();
        if !state.busy {
            self.shared.2.notify_all();
        }
        Work { chunks: std::mem::take(&mut state.chunks), end: state.end }
    }

    /// The writer says why nothing is written, or that it is again.
    pub fn tell(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// Why nothing is written.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The writer asks for a new file.
    pub fn ask_for_file(&self) {
        self.lock().begin = true;
    }

    /// How many bytes wait.
    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.lock().waiting
    }

    fn attempt(&self) -> Option<MutexGuard<'_, State>> {
        match self.shared.0.try_lock() {
            Ok(state) => Some(state),
            Err(TryLockError::Poisoned(state)) => Some(state.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
