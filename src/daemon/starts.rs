//! Starts that did not last. The unit starts a daemon that was killed at once, since its lease is running; one that cannot start would
//! be started two hundred times a second. So the daemon itself waits before a start that comes behind several that did not last.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// The count, in the run directory: it ends with the boot. None where no init system starts daemons again and again.
pub struct Starts(Option<PathBuf>);

impl Starts {
    /// Counts this one, and waits first when the last ones did not last.
    pub fn count(run_dir: &Path) -> Starts {
        let supervised = std::env::var_os("NOTIFY_SOCKET").is_some();
        let file = supervised.then(|| run_dir.join(FILE));
        if let Some(file) = &file {
            std::thread::sleep(pause(add(file)));
        }
        Starts(file)
    }

    /// This one lasted.
    pub fn lasted(&self) {
        if let Some(file) = &self.0 {
            let _ = std::fs::remove_file(file);
        }
    }
}

/// Nothing is counted any more.
pub fn forget(run_dir: &Path) {
    let _ = std::fs::remove_file(run_dir.join(FILE));
}

/// One more; how many there were before. Not waited for: the lease may be running, and even this directory may be on a busy disk.
fn add(file: &Path) -> u32 {
    let before = std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0_u32);
    let file = file.to_owned();
    let _ = std::thread::Builder::new().name("starts".into()).spawn(move || {
        let _ = file.parent().map(std::fs::create_dir_all);
        std::fs::write(&file, before.saturating_add(1).to_string())
    });
    before
}

/// How long a start waits behind so many that did not last: the first ones not at all, then twice as long each time.
fn pause(before: u32) -> Duration {
    match before.checked_sub(AT_ONCE) {
        None => Duration::ZERO,
        Some(over) => (FIRST * (1 << over.min(16))).min(MOST),
    }
}

/// In the run directory.
const FILE: &str = "starts";
/// So many starts in a row are at once.
const AT_ONCE: u32 = 4;
/// The first pause.
const FIRST: Duration = Duration::from_millis(50);
/// The longest.
const MOST: Duration = Duration::from_secs(5);
/// A daemon that has run for so long has lasted.
pub const LASTING: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_first_starts_are_at_once_and_later_ones_ever_slower() {
        let all: Vec<u128> = (0..14).map(|before| pause(before).as_millis()).collect();
        assert_eq!(all, [0, 0, 0, 0, 50, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
        assert_eq!(pause(u32::MAX), MOST);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("run/starts");
        for before in 0..3 {
            assert_eq!(add(&file), before);
            let until = std::time::Instant::now() + Duration::from_secs(5);
            while std::fs::read_to_string(&file).ok() != Some((before + 1).to_string()) {
                assert!(std::time::Instant::now() < until);
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Starts(Some(file.clone())).lasted();
        assert_eq!(add(&file), 0);
    }
}
