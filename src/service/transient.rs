//! A program that systemd runs for the daemon, in a unit of the daemon's own making (`StartTransientUnit`): where the daemon lives in a
//! sandbox, its children would live there too.
//!
//! A file beside the records of processes says what the unit was started with, so that the next life finds it, in the sandbox or out of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::State;
use super::attempt::{Failure, Start};
use super::bus::{Program, Trouble, of_job};
use super::output::Writer;
use super::runner::Cancel;
use super::systemd::{Systemd, well};

/// Such a unit of a service.
#[derive(Debug)]
pub(super) struct Transient {
    /// systemd's side of it.
    pub systemd: Systemd,
    /// What it was started with.
    pub record: PathBuf,
    /// Its output.
    pub output: Writer,
    /// What is started from now on is started in it.
    pub wanted: bool,
    /// When it is looked at again where no signal can be heard.
    pub due: Option<tokio::time::Instant>,
}

impl Transient {
    /// What it was started with; none where it was not.
    pub fn started(&self) -> Option<Vec<String>> {
        serde_json::from_slice(&fs::read(&self.record).ok()?).ok()
    }

    /// Its state; stopped where it was never started.
    pub async fn state(&self) -> State {
        if self.started().is_none() { State::Stopped } else { self.systemd.state().await }
    }

    /// Starts it, and waits for the job: until the program was executed, or is done.
    pub async fn start(&self, what: Start<'_>, cancel: &mut Cancel) -> Result<(), Failure> {
        let (unit, begun) = (&self.systemd.unit, Instant::now());
        let failed = |why: &str| Err(Failure::Failed(format!("systemd, start of {unit}: {why}")));
        let Some((name, arguments)) = what.argv.split_first() else { return failed("no program is configured") };
        let Some(path) = found(name) else { return failed(&format!("{name}: no such program")) };
        if let Err(error) = self.remember(&what.argv) {
            // Without it the next life would start a second one beside it.
            return failed(&format!("{}: {error}", self.record.display()));
        }
        // Nothing is put in the place of a `$`, as for a child (systemd.service(5), "Command lines").
        let plain = |word: &String| word.replace('$', "$$");
        let program = Program {
            title: what.title.clone(),
            path: path.to_string_lossy().into_owned(),
            argv: std::iter::once(name).chain(arguments).map(plain).collect(),
            environment: what.env.variables(),
            ends: what.ends,
            last: what.last,
            start_limit: what.start_limit,
            stop_limit: what.stop_limit,
            output: self.output.file(),
        };
        // One that failed before stays loaded until it is told that this was seen.
        let _ = self.systemd.units.forgive(self.systemd.at).await;
        let end = tokio::select! {
            end = self.systemd.units.run(self.systemd.at, program) => end,
            () = sleep(what.start_limit) => return failed(&format!("not done after {:?}", what.start_limit)),
            () = cancel.wait() => return Err(Failure::Cancelled),
        };
        let left = what.start_limit.saturating_sub(begun.elapsed());
        match end {
            Ok(end) if well(&end) => Ok(()),
            Ok(end) => {
                let result = self.systemd.units.result(self.systemd.at).await;
                let code = self.systemd.units.exit_status(self.systemd.at).await;
                let code = code.map(|code| format!(", exit status {code}")).unwrap_or_default();
                failed(&format!("{}{code}; see its output in the log", of_job(&end.result, result.as_deref())))
            }
            Err(Trouble::Refused(why)) => failed(&why),
            Err(Trouble::Away(_)) => self.systemd.systemctl.run(&what, &path, self.output.path(), left, cancel).await,
        }
    }

    /// Stops it, with all that it left behind, by force when the limit is over.
    pub async fn stop(&self, limit: Duration, ending: bool) -> Result<(), String> {
        if self.state().await != State::Stopped {
            self.systemd.stop(limit, ending).await?;
        }
        let _ = self.systemd.units.forgive(self.systemd.at).await;
        match fs::remove_file(&self.record) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(target: "service", "{}: {error}", self.record.display());
            }
            _ => {}
        }
        Ok(())
    }

    /// Waits for its end, and says how it ended.
    pub async fn died(&mut self) -> String {
        loop {
            let due = *self.due.get_or_insert_with(|| tokio::time::Instant::now() + WATCH);
            self.systemd.worth_asking(due).await;
            let state = self.systemd.state().await;
            self.due = None;
            if state == State::Stopped {
                return self.systemd.epitaph().await;
            }
        }
    }

    /// Whether a program that was just started ends at once; how, if it does.
    pub async fn ends_within(&mut self, time: Duration) -> Option<String> {
        let begun = Instant::now();
        let ended = tokio::time::timeout(time, self.died()).await.ok();
        // Signals tell at once; where they are not heard the state says it.
        match ended {
            Some(how) => Some(how),
            None if self.systemd.state().await == State::Stopped => Some(format!("it ended within {:?}", begun.elapsed())),
            None => None,
        }
    }

    fn remember(&self, argv: &[String]) -> std::io::Result<()> {
        let fresh = self.record.with_extension("unit.new");
        fs::write(&fresh, serde_json::to_vec(argv)?)?;
        fs::rename(fresh, &self.record)
    }
}

/// Where a program is: systemd wants the whole path, and looks it up by its own PATH.
fn found(name: &str) -> Option<PathBuf> {
    let program = Path::new(name);
    if program.is_absolute() {
        return Some(program.to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into());
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|place| place.is_absolute() && place.is_file())
}

/// The unit of a service: `twinbeat-GROUP:NAME.service`. Two daemons on one machine have two state directories, and units of their own.
pub(super) fn unit_name(state_dir: &Path, group: &str, name: &str, what: &str) -> String {
    let plain = |word: &str| -> String {
        word.chars().take(LONGEST).map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect()
    };
    let whole = blake3::hash(format!("{}\n{group}\n{name}", state_dir.display()).as_bytes()).to_hex();
    let usual = state_dir == Path::new("/var/lib/twinbeat") && plain(group) == group && plain(name) == name;
    let mark = if usual { String::new() } else { whole.chars().take(8).fold(String::from("."), |mark, c| mark + &c.to_string()) };
    format!("twinbeat-{}:{}{mark}{what}.service", plain(group), plain(name))
}

/// Of each part of a unit's name; systemd takes 255 in all.
const LONGEST: usize = 80;
/// Between two looks where no signal is heard.
const WATCH: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_different_services_and_daemons_have_different_names_that_systemd_takes() {
        let usual = Path::new("/var/lib/twinbeat");
        assert_eq!(unit_name(usual, "web", "nginx", ""), "twinbeat-web:nginx.service");
        assert_eq!(unit_name(usual, "web", "nginx", ".stop"), "twinbeat-web:nginx.stop.service");
        let odd = [
            unit_name(usual, "web", "ng@nx", ""),
            unit_name(usual, "web", "ng_nx", ""),
            unit_name(usual, "wéb", "nginx", ""),
            unit_name(Path::new("/tmp/other"), "web", "nginx", ""),
            unit_name(usual, &"g".repeat(300), &"n".repeat(300), ".stop"),
            unit_name(usual, &"g".repeat(300), &"n".repeat(301), ".stop"),
        ];
        for (at, name) in odd.iter().enumerate() {
            assert!(name.len() < 250 && !odd[..at].contains(name), "{name}");
            assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || "._-:".contains(c)), "{name}");
        }
    }

    #[test]
    fn a_program_is_found_as_a_shell_would() {
        assert_eq!(found("/no/such"), Some("/no/such".into()));
        assert!(found("sh").is_some_and(|path| path.is_absolute()));
        assert_eq!(found("no-such-program-anywhere"), None);
    }
}
