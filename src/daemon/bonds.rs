//! Bonds under the links: logged at a change, and joined to what `status` shows.
//!
//! Nothing of this reaches the core: a bond's word is no evidence, only received heartbeats are (docs/SAFETY.md, R4). So a journal replays the same with
//! and without bonds.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use twinbeat_core::sentence::Sentence;
use twinbeat_core::view::{BondView, SlaveView, View};
use twinbeat_core::words::About;
use twinbeat_host::bond::{Bond, Bonds};

/// What the bonds were last seen to be, by link; empty where they cannot be watched.
#[derive(Clone, Default, Debug)]
pub struct BondBoard(Arc<Mutex<Vec<Option<Bond>>>>);

impl BondBoard {
    /// Begins to watch the bonds under these links (name, interface), on a thread of its own: each look waits for the kernel's lock of all
    /// interfaces. Without netlink nothing is shown, and that is said.
    pub fn watch(links: Vec<(String, String)>) -> BondBoard {
        let board = BondBoard::default();
        let seen = board.clone();
        let work = move || {
            let run = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if let Err(error) = run.and_then(|runtime| runtime.block_on(seen.follow(&links))) {
                tracing::warn!("bonds cannot be watched: {error}");
            }
        };
        if let Err(error) = std::thread::Builder::new().name("bonds".into()).spawn(work) {
            tracing::warn!("bonds cannot be watched: {error}");
        }
        board
    }

    async fn follow(&self, links: &[(String, String)]) -> std::io::Result<()> {
        let mut bonds = Bonds::new(links.iter().map(|(_, interface)| interface.clone()).collect())?;
        self.note(links, &vec![None; links.len()], bonds.now());
        loop {
            match bonds.changed().await {
                Ok(before) => self.note(links, &before, bonds.now()),
                Err(error) => {
                    tracing::warn!("bonds: {error}");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    fn note(&self, links: &[(String, String)], before: &[Option<Bond>], now: &[Option<Bond>]) {
        for (((link, _), before), now) in links.iter().zip(before).zip(now) {
            match line(before.as_ref(), now.as_ref()) {
                Some((true, text)) => tracing::warn!("link {link}: {text}"),
                Some((false, text)) => tracing::info!("link {link}: {text}"),
                None => {}
            }
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = now.to_vec();
    }

    /// Adds each link's bond, and what is wrong with it to the problems. What the core says of links, groups and readiness stays as it is.
    pub fn join(&self, view: &mut View) {
        for (link, bond) in view.links.iter_mut().zip(self.0.lock().unwrap_or_else(PoisonError::into_inner).iter()) {
            let Some(bond) = bond else { continue };
            link.bond = Some(shown(bond));
            view.problems
                .extend(bond.trouble().map(|trouble| Sentence::lasting(About::Bond, format!("link {}: {trouble}", link.name))));
        }
    }
}

fn shown(bond: &Bond) -> BondView {
    let slave = |s: &twinbeat_host::bond::Slave| SlaveView {
        name: s.name.clone(),
        up: s.up(),
        mii: s.mii.clone(),
        active: s.active,
        failures: s.failures,
    };
    BondView {
        name: bond.name.clone(),
        mode: bond.mode.clone(),
        active: bond.active.clone(),
        slaves_up: bond.up(),
        slaves: bond.slaves.iter().map(slave).collect(),
    }
}

/// The line for a change, and whether it is a warning; none when nothing that matters is different.
fn line(before: Option<&Bond>, now: Option<&Bond>) -> Option<(bool, String)> {
    match (before, now) {
        (None, None) => None,
        (Some(before), None) => Some((true, format!("{} is no bond any more, or gone", before.name))),
        (None, Some(now)) => match now.trouble() {
            Some(trouble) => Some((true, format!("DEGRADED: {trouble}"))),
            None => Some((false, now.to_string())),
        },
        (Some(before), Some(now)) => match (before.trouble(), now.trouble()) {
            (old, Some(trouble)) if old.as_ref() != Some(&trouble) => {
                let in_use = now.active.as_ref().map(|active| format!("; {active} in use")).unwrap_or_default();
                Some((true, format!("DEGRADED: {trouble}{in_use}")))
            }
            (Some(_), None) => Some((false, format!("whole again: {now}"))),
            _ if before.active != now.active => {
                let name = |active: &Option<String>| active.clone().unwrap_or_else(|| "none".to_owned());
                Some((false, format!("{} uses {} (was {})", now.name, name(&now.active), name(&before.active))))
            }
            _ => None,
        },
    }
}

#[cfg(test)]
#[path = "bonds_tests.rs"]
mod tests;
