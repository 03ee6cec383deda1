//! Who is connected: so many, and nobody keeps the others out by being slow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Whether a client has sent its request.
#[derive(Clone, Default, Debug)]
pub(super) struct Asked(Arc<AtomicBool>);

impl Asked {
    /// It has.
    pub fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

struct Seat {
    since: Instant,
    asked: Asked,
    task: JoinHandle<()>,
}

/// The connections.
#[derive(Default)]
pub(super) struct Seats(Vec<Seat>);

impl Seats {
    /// Makes room for one more: where all seats are taken the client goes that has kept one longest without a request, else the one that
    /// takes longest over its answer. No room is made where all have asked just now: then it is others like the new one who are served.
    pub fn room(&mut self) -> bool {
        self.0.retain(|seat| !seat.task.is_finished());
        if self.0.len() < MOST {
            return true;
        }
        let goes = |seat: &Seat| !seat.asked.is() || seat.since.elapsed() > SLOW;
        let oldest = (0..).zip(&self.0).filter(|(_, seat)| goes(seat)).min_by_key(|(_, seat)| (seat.asked.is(), seat.since));
        let Some(place) = oldest.map(|(place, _)| place) else { return false };
        self.0.swap_remove(place).task.abort();
        true
    }

    /// Takes a seat.
    pub fn take(&mut self, asked: Asked, task: JoinHandle<()>) {
        self.0.push(Seat { since: Instant::now(), asked, task });
    }
}

impl Drop for Seats {
    fn drop(&mut self) {
        self.0.iter().for_each(|seat| seat.task.abort());
    }
}

/// The most connections at a time.
pub(super) const MOST: usize = 16;
/// Who has asked and takes so long may be sent away for another.
const SLOW: Duration = Duration::from_secs(3);
