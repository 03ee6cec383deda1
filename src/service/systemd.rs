//! Services that systemd runs: over D-Bus, and by `systemctl` for what the bus does not answer. A bus that is away decides about no service.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::State;
use super::attempt::Failure;
use super::bus::{JobEnd, Trouble, Units, Verb, of_job};
use super::runner::Cancel;
use super::systemctl::{Systemctl, state_of};

/// A service that systemd runs.
#[derive(Debug)]
pub(super) struct Systemd {
    pub unit: String,
    /// Its place among the units of the group.
    pub at: usize,
    pub units: Units,
    pub systemctl: Systemctl,
}

impl Systemd {
    /// Asks systemd. Signals are not enough for what is decided by it.
    pub async fn state(&self) -> State {
        let begun = Instant::now();
        match self.units.look(self.at).await {
            Ok(active) => self.state_by(&active),
            Err(Trouble::Refused(why)) => State::Unknown(format!("systemd, of {}: {why}", self.unit)),
            Err(Trouble::Away(why)) => match self.systemctl.state(rest(STATUS_LIMIT, begun)).await {
                State::Unknown(other) => State::Unknown(format!("{why}; {other}")),
                state => state,
            },
        }
    }

    /// What signals have said, where they are heard.
    pub async fn glance(&self) -> State {
        match self.units.known(self.at) {
            Some(Ok(active)) => self.state_by(&active),
            Some(Err(_)) | None => self.state().await,
        }
    }

    fn state_by(&self, active: &str) -> State {
        state_of(active).unwrap_or_else(|| State::Unknown(format!("systemd says that {} is `{active}`", self.unit)))
    }

    /// Waits until it is worth while to ask for the state: a signal says that it ended, or no signal can be heard and it is time.
    pub async fn worth_asking(&self, due: tokio::time::Instant) {
        self.units.worth_asking(self.at, due, |active| state_of(active) == Some(State::Stopped)).await;
    }

    /// How it ended, for people.
    pub async fn epitaph(&self) -> String {
        let state = self.units.known(self.at).and_then(Result::ok);
        let result = self.units.result(self.at).await.filter(|result| result != "success");
        match (state, result) {
            (Some(state), Some(result)) => format!("systemd says that it is {state}: {}", of_job("failed", Some(&result))),
            (Some(state), None) => format!("systemd says that it is {state}"),
            (None, _) => "its status says that it no longer runs".into(),
        }
    }

    /// Starts the unit and waits for the job. One that is broken off is systemd's to finish, and the stop that follows takes its place.
    pub async fn start(&self, limit: Duration, cancel: &mut Cancel) -> Result<(), Failure> {
        let begun = Instant::now();
        let failed = |why: &str| Err(Failure::Failed(format!("systemd, start of {}: {why}", self.unit)));
        let end = tokio::select! {
            end = self.units.job(self.at, Verb::Start) => end,
            () = sleep(limit) => return failed(&format!("not done after {limit:?}")),
            () = cancel.wait() => return Err(Failure::Cancelled),
        };
        match end {
            Ok(end) if well(&end) => Ok(()),
            Ok(end) => {
                let result = self.units.result(self.at).await;
                failed(&format!("{}. `journalctl -u {}`", of_job(&end.result, result.as_deref()), self.unit))
            }
            Err(Trouble::Refused(why)) => failed(&why),
            Err(Trouble::Away(_)) => self.systemctl.start(rest(limit, begun), cancel).await,
        }
    }

    /// Stops the unit (systemd drops a start job of it that still runs), and kills it when it does not stop in time.
    ///
    /// While the daemon itself is being stopped (`ending`) the job does not wait for that: the daemon's unit is ordered after those that it
    /// starts, so that a reboot stops it first, and each would wait for the other.
    pub async fn stop(&self, limit: Duration, ending: bool) -> Result<(), String> {
        let stopped = self.stop_job(limit, ending).await;
        if self.state().await == State::Stopped {
            return Ok(());
        }
        tracing::warn!(target: "service", "{}: stop: {stopped}; sending SIGKILL", self.unit);
        let killed = self.kill().await;
        let begun = Instant::now();
        loop {
            match self.state().await {
                State::Stopped => return Ok(()),
                state if begun.elapsed() >= KILL_LIMIT => {
                    return Err(match state {
                        State::Unknown(why) => format!("stop of {}: {stopped}; {why}", self.unit),
                        _ => format!("stop of {}: {stopped}; kill: {killed}; it still runs", self.unit),
                    });
                }
                _ => sleep(POLL).await,
            }
        }
    }

    /// What became of the job, for people.
    async fn stop_job(&self, limit: Duration, unordered: bool) -> String {
        let begun = Instant::now();
        let end = tokio::select! {
            end = self.units.job(self.at, Verb::Stop { unordered }) => end,
            () = sleep(limit) => return format!("not done after {limit:?}"),
        };
        match end {
            Ok(end) if well(&end) => "done".into(),
            Ok(end) => of_job(&end.result, None),
            Err(Trouble::Refused(why)) => why,
            Err(Trouble::Away(_)) => format!("systemctl: {}", self.systemctl.stop(rest(limit, begun), unordered).await),
        }
    }

    async fn kill(&self) -> String {
        match self.units.kill(self.at).await {
            Ok(()) => "done".into(),
            Err(Trouble::Refused(why)) => why,
            Err(Trouble::Away(_)) => format!("systemctl: {}", self.systemctl.kill(STATUS_LIMIT).await),
        }
    }
}

/// `skipped`: there was nothing to do.
pub(super) fn well(end: &JobEnd) -> bool {
    matches!(end.result.as_str(), "done" | "skipped")
}

/// What is left of a limit when the bus has had its part of it.
fn rest(limit: Duration, begun: Instant) -> Duration {
    limit.saturating_sub(begun.elapsed())
}

/// How long a question may take.
const STATUS_LIMIT: Duration = Duration::from_secs(5);
/// How long a killed unit may take to be gone.
const KILL_LIMIT: Duration = Duration::from_secs(3);
/// Between two looks while a unit goes.
const POLL: Duration = Duration::from_millis(100);
