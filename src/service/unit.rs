//! One service of a group, whatever its kind: what the manager drives.

use std::path::Path;
use std::time::Duration;

use super::attempt::{Env, Failure};
use super::lsb::Lsb;
use super::output::{Follower, Writer};
use super::process::Process;
use super::record::Record;
use super::runner::Cancel;
use super::systemd::Systemd;
use super::{GroupServices, Kind, ServiceSpec, State};

/// One service.
#[derive(Debug)]
pub(super) struct Unit {
    /// Its name in reports, unique in its group.
    pub name: String,
    /// As configured.
    pub spec: ServiceSpec,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Lsb(Lsb),
    Systemd(Systemd),
    Process(Process),
}

impl Unit {
    /// The units of a group, each with a name of its own, and what follows their output.
    pub fn all(group: &GroupServices, dir: &Path) -> Vec<(Unit, Follower)> {
        let mut units: Vec<(Unit, Follower)> = Vec::new();
        for spec in &group.services {
            let plain = spec.name();
            let taken = units.iter().filter(|(unit, _)| unit.spec.name() == plain).count();
            let name = if taken == 0 { plain } else { format!("{plain}-{}", taken + 1) };
            // A sign between them that no name has: with `-`, `db` and `main-proxy` would share a file with `db-main` and `proxy`.
            let stem = dir.join(format!("{}={}", file_name(&group.name), file_name(&name)));
            let former = dir.join(format!("{}-{}", file_name(&group.name), file_name(&name)));
            take_over(&append(&former, "json"), &append(&stem, "json"), &spec.kind);
            let output = append(&stem, "log");
            let body = match &spec.kind {
                Kind::Lsb(path) => Body::Lsb(Lsb { script: group.tools.init_dir.join(path), output: Writer::new(&output) }),
                Kind::Systemd(unit) => Body::Systemd(Systemd { systemctl: group.tools.systemctl.clone(), unit: unit.clone() }),
                Kind::Process(argv) => Body::Process(Process::new(argv.clone(), append(&stem, "json"), Writer::new(&output))),
            };
            units.push((Unit { name, spec: spec.clone(), body }, Follower::new(&output)));
        }
        units
    }

    /// Asks for its state.
    pub async fn state(&mut self, env: &Env) -> State {
        match &mut self.body {
            Body::Lsb(lsb) => lsb.state(env).await,
            Body::Systemd(systemd) => systemd.state().await,
            Body::Process(process) => process.state(),
        }
    }

    /// Starts it unless it runs.
    pub async fn start(&mut self, env: &Env, cancel: &mut Cancel) -> Result<(), Failure> {
        let limit = self.spec.start_timeout;
        match &mut self.body {
            Body::Process(process) => process.start(env, self.spec.stop_timeout, cancel).await,
            Body::Lsb(lsb) if lsb.state(env).await != State::Running => lsb.start(env, limit, cancel).await,
            Body::Systemd(systemd) if systemd.state().await != State::Running => systemd.start(limit, cancel).await,
            Body::Lsb(_) | Body::Systemd(_) => Ok(()),
        }
    }

    /// Stops it, by force when its time is over; an error when it may still run.
    pub async fn stop(&mut self, env: &Env) -> Result<(), String> {
        let limit = self.spec.stop_timeout;
        match &mut self.body {
            Body::Lsb(lsb) if lsb.state(env).await != State::Stopped => lsb.stop(env, limit).await,
            Body::Systemd(systemd) if systemd.state().await != State::Stopped => systemd.stop(limit, env.ending).await,
            Body::Process(process) => process.stop(limit).await,
            Body::Lsb(_) | Body::Systemd(_) => Ok(()),
        }
    }

    /// Waits until it has died and says how. Dropping the future gives the watch up.
    pub async fn died(&mut self, env: &Env) -> String {
        if let Body::Process(process) = &mut self.body {
            return process.died().await;
        }
        let mut silent = 0_u32;
        loop {
            tokio::time::sleep(WATCH).await;
            match self.state(env).await {
                State::Running => silent = 0,
                State::Stopped => return "its status says that it no longer runs".into(),
                State::Unknown(why) => {
                    // an init system that does not answer is no proof that the service died
                    if silent % 60 == 2 {
                        tracing::warn!(target: "service", "{}/{}: state unknown: {why}", env.group, self.name);
                    }
                    silent = silent.saturating_add(1);
                }
            }
        }
    }
}

/// The record that an earlier version kept under another name, when it is this service's: the names could be another's as well.
fn take_over(former: &Path, record: &Path, kind: &Kind) {
    let Kind::Process(argv) = kind else { return };
    if record.exists() || Record::read(former).is_none_or(|known| known.argv != *argv) {
        return;
    }
    if let Err(error) = std::fs::rename(former, record) {
        tracing::warn!(target: "service", "{}: {error}", former.display());
    }
}

/// `stem` with one more ending; names with dots keep theirs.
fn append(stem: &Path, ending: &str) -> std::path::PathBuf {
    let mut name = stem.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

/// A name as part of a file name.
fn file_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "._@-".contains(c) { c } else { '_' }).collect()
}

/// Between two looks at a service that somebody else runs.
const WATCH: Duration = Duration::from_secs(1);
