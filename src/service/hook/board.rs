//! What all threads of the hooks share: each lane's queue, and what is to be written down of them.

use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::change::{Change, Kind};
use super::queue::{Job, Queue};
use super::spec::HookSpec;
use super::store::{Store, StoredLane};
use crate::record::Record;

/// One hook and one group, or the node: what is told there is told in order, one at a time.
#[derive(Debug)]
pub(super) struct Lane {
    /// The hook.
    pub hook: HookSpec,
    /// The group; none: the node.
    pub group: Option<String>,
    queue: Queue,
    running: Option<Record>,
    /// It failed and waits for its next attempt.
    pauses: bool,
    wake: Arc<Notify>,
}

#[derive(Debug)]
struct Inner {
    lanes: Vec<Lane>,
    /// Grows with each change; the number that is on the disk.
    turn: u64,
    written: u64,
    /// Nothing is begun any more.
    ended: bool,
}

/// The lanes.
#[derive(Clone, Debug)]
pub(super) struct Board {
    inner: Arc<Mutex<Inner>>,
    /// A lane has nothing to do any more, or something was written.
    calmer: Arc<Condvar>,
    dirty: SyncSender<()>,
}

impl Lane {
    /// Nothing waits for this hook of this group.
    pub fn new(hook: HookSpec, group: Option<String>) -> Lane {
        Lane { hook, group, queue: Queue::default(), running: None, pauses: false, wake: Arc::new(Notify::new()) }
    }

    fn wants(&self, kind: Kind, group: &Option<String>) -> bool {
        self.group == *group && self.hook.on.contains(&kind)
    }
}

impl Board {
    /// These lanes with what the last life left for them, and the thread that writes. What nobody asks for any more is told to the log and gone.
    pub fn start(mut lanes: Vec<Lane>, store: Store) -> std::io::Result<Board> {
        for left in store.read() {
            let Some(lane) = lanes.iter_mut().find(|lane| lane.hook.run == left.run && lane.group == left.group) else {
                let (group, count) = (left.group.unwrap_or_else(|| "the node".into()), left.jobs.len());
                tracing::warn!(target: "hook", "{} is no hook of {group} any more: {count} changes that it was not told of are dropped", left.run.join(" "));
                continue;
            };
            left.jobs.into_iter().for_each(|job| lane.queue.put(job));
            lane.running = left.running;
        }
        let (dirty, wanted) = mpsc::sync_channel(1);
        let inner = Inner { lanes, turn: 0, written: 0, ended: false };
        let board = Board { inner: Arc::new(Mutex::new(inner)), calmer: Arc::new(Condvar::new()), dirty };
        let writes = board.clone();
        std::thread::Builder::new().name("hooks-file".into()).spawn(move || {
            let mut trouble = None;
            for () in wanted {
                writes.write(&store, &mut trouble);
            }
        })?;
        Ok(board)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, store: &Store, trouble: &mut Option<String>) {
        let (lanes, turn) = {
            let inner = self.inner();
            let stored = |lane: &Lane| StoredLane {
                run: lane.hook.run.clone(),
                group: lane.group.clone(),
                jobs: lane.queue.jobs().cloned().collect(),
                running: lane.running.clone(),
            };
            let lanes = inner.lanes.iter().filter(|lane| !lane.queue.is_empty()).map(stored).collect();
            (lanes, inner.turn)
        };
        let done = store.write(lanes).map_err(|error| error.to_string()).err();
        if let Some(why) = done.as_ref().filter(|why| trouble.as_ref() != Some(*why)) {
            tracing::error!(target: "hook", "{}: {why}; what hooks are not told of before this daemon ends is lost", store.path().display());
        }
        *trouble = done;
        let mut inner = self.inner();
        inner.written = inner.written.max(turn);
        self.calmer.notify_all();
    }

    /// Does something to the lanes, and has it written down.
    fn change<T>(&self, what: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = self.inner();
        inner.turn = inner.turn.saturating_add(1);
        let given = what(&mut inner);
        drop(inner);
        // Full: it is about to look anyway.
        let _ = self.dirty.try_send(());
        self.calmer.notify_all();
        given
    }

    /// Puts a change into the queue of each hook that asks for it.
    pub fn push(&self, change: &Change) {
        self.change(|inner| {
            for lane in inner.lanes.iter_mut().filter(|lane| lane.wants(change.kind(), &change.group)) {
                lane.queue.push(change.clone());
                lane.wake.notify_one();
            }
        });
    }

    /// What a lane's task must know: the hook, the group in words, and what wakes it.
    pub fn lane(&self, place: usize) -> Option<(HookSpec, String, Arc<Notify>)> {
        let inner = self.inner();
        let lane = inner.lanes.get(place)?;
        Some((lane.hook.clone(), lane.group.clone().unwrap_or_else(|| "node".into()), Arc::clone(&lane.wake)))
    }

    /// The process that an earlier life left in a lane.
    pub fn left_running(&self, place: usize) -> Option<Record> {
        self.inner().lanes.get(place)?.running.clone()
    }

    /// Gives out the first change of a lane for one more attempt; none where there is none, and behind the end.
    pub fn begin(&self, place: usize) -> Option<Job> {
        {
            let mut inner = self.inner();
            let ended = inner.ended;
            let lane = inner.lanes.get_mut(place).filter(|lane| !ended && !lane.queue.is_empty());
            lane?.pauses = false;
        }
        self.change(|inner| inner.lanes.get_mut(place)?.queue.begin())
    }

    /// The process that runs in a lane.
    pub fn runs(&self, place: usize, record: Option<Record>) {
        self.change(|inner| inner.lanes.get_mut(place).map(|lane| lane.running = record));
    }

    /// The attempt is over. `done`: with the change; else it is tried again behind a pause. Behind the end it stays as it is.
    pub fn over(&self, place: usize, done: bool) {
        self.change(|inner| {
            let Some(lane) = inner.lanes.get_mut(place) else { return };
            lane.running = None;
            lane.pauses = !done;
            if done {
                lane.queue.done();
            }
        });
    }

    /// Waits until nothing is to be run now, at most for `patience`. Lanes that failed and pause are not waited for.
    pub fn calm(&self, patience: Duration) {
        self.wait(patience, |inner| inner.lanes.iter().all(|lane| lane.queue.is_empty() || lane.pauses));
    }

    /// Nothing is begun any more; what runs is given back, to be killed: it stays in the file.
    pub fn end(&self) -> Vec<Record> {
        let mut inner = self.inner();
        inner.ended = true;
        inner.lanes.iter().filter_map(|lane| lane.running.clone()).collect()
    }

    /// Whether [`Board::end`] was called: what fails from then on is not the hook's fault.
    pub fn ended(&self) -> bool {
        self.inner().ended
    }

    /// Waits until all is written, at most for `patience`.
    pub fn written(&self, patience: Duration) {
        self.wait(patience, |inner| inner.written == inner.turn);
    }

    fn wait(&self, patience: Duration, until: impl Fn(&Inner) -> bool) {
        let end = Instant::now().checked_add(patience);
        let mut inner = self.inner();
        while !until(&inner) {
            let Some(left) = end.and_then(|end| end.checked_duration_since(Instant::now())).filter(|left| !left.is_zero()) else {
                return;
            };
            inner = self.calmer.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
