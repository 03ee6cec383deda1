//! What the daemons say of themselves, asked several times a second: for the lanes of a report and the live view. Never evidence of who serves. And, beside
//! that, which services' processes live, whatever a daemon says or whether there is one.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::process;
use super::timeline::At;
use twinbeat_control::client::ask_blocking;
use twinbeat_control::protocol::{Request, Response};
use twinbeat_core::id::{Epoch, NodeId};
use twinbeat_core::sentence;
use twinbeat_core::view::View;
use twinbeat_core::words::{GroupRole, LinkCondition, ServiceState};

/// What a daemon said, in short.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Said {
    /// Its role in each group.
    pub roles: Vec<GroupRole>,
    /// The epoch of each group, as it knows it.
    pub epochs: Vec<Epoch>,
    /// How long each owned group's lease lasts, in milliseconds.
    pub lease: Vec<Option<u64>>,
    /// It reaches a majority of witnesses.
    pub witness: bool,
    /// Each group's service.
    pub services: Vec<ServiceState>,
    /// For each group why a takeover would not work; none when it would.
    pub not_ready: Vec<Option<String>>,
    /// Each link's name and state.
    pub links: Vec<(String, LinkCondition)>,
}

/// All that one daemon said; nothing where it did not answer.
pub type Sayings = Vec<(At, Option<Said>)>;

/// At each look, for each group whether all of its services' processes live on a node; none where it has none.
pub type Living = Vec<(At, Vec<Option<bool>>)>;

/// What is looked at on one node.
#[derive(Clone, Debug)]
pub struct Place {
    /// The daemon's run directory.
    pub run_dir: PathBuf,
    /// For each group the files that name its services' processes.
    pub services: Vec<Vec<PathBuf>>,
}

/// Asks both daemons until it is dropped.
#[derive(Debug)]
pub struct Watch {
    said: Arc<Mutex<[Sayings; 2]>>,
    living: Arc<Mutex<[Living; 2]>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Watch {
    /// Starts to ask the daemons of these places; times count from `start`.
    pub fn start(places: [Place; 2], start: Instant) -> Result<Watch> {
        let mut watch = Watch { said: Arc::default(), living: Arc::default(), stop: Arc::default(), threads: Vec::new() };
        for (node, place) in places.into_iter().enumerate() {
            let (said, living, stop) = (Arc::clone(&watch.said), Arc::clone(&watch.living), Arc::clone(&watch.stop));
            let ask = move || {
                while !stop.load(Ordering::Relaxed) {
                    let at = start.elapsed();
                    let lives = |file: &PathBuf| process::named_by(file).is_some();
                    let of = |files: &Vec<PathBuf>| (!files.is_empty()).then(|| files.iter().all(lives));
                    let now = place.services.iter().map(of).collect();
                    living.lock().unwrap_or_else(PoisonError::into_inner)[node].push((at, now));
                    let now = look(&place.run_dir).as_ref().map(Said::of);
                    said.lock().unwrap_or_else(PoisonError::into_inner)[node].push((at, now));
                    thread::sleep(PERIOD);
                }
            };
            watch.threads.push(thread::Builder::new().name("watch".into()).spawn(ask)?);
        }
        Ok(watch)
    }

    /// The newest of a node's sayings.
    pub fn last(&self, node: NodeId) -> Option<Said> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said[node.index() % 2].last().and_then(|(_, said)| said.clone())
    }

    /// Which services' processes lived.
    pub fn living(&self) -> [Living; 2] {
        self.living.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All of them.
    pub fn all(&self) -> [Sayings; 2] {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Said {
    fn of(view: &View) -> Said {
        Said {
            roles: view.groups.iter().map(|group| group.role).collect(),
            epochs: view.groups.iter().map(|group| Epoch(group.epoch)).collect(),
            lease: view.groups.iter().map(|group| group.lease_ms_left).collect(),
            witness: view.witness.reachable,
            services: view.groups.iter().map(|group| group.service.clone()).collect(),
            not_ready: view
                .groups
                .iter()
                .map(|group| (!group.takeover_ready.ready).then(|| sentence::joined(&group.takeover_ready.reasons)))
                .collect(),
            links: view.links.iter().map(|link| (link.name.clone(), link.state)).collect(),
        }
    }
}

/// Between two questions to the same daemon.
pub const PERIOD: Duration = Duration::from_millis(100);

/// What the daemon of a run directory says of itself, if it answers at once.
pub(super) fn look(run_dir: &Path) -> Option<View> {
    match ask_blocking(run_dir, &Request::Status {}, Duration::from_millis(150)) {
        Ok(Response::View(view)) => Some(*view),
        _ => None,
    }
}
