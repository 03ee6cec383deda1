//! One service of a group, whatever its kind: what the manager drives.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::attempt::{Env, Failure};
use super::bus::Units;
use super::lsb::Lsb;
use super::ocf::{Ocf, Watched, sort_records};
use super::output::{Follower, Writer};
use super::process::Process;
use super::record::Record;
use super::runner::Cancel;
use super::systemctl::Systemctl;
use super::systemd::Systemd;
use super::transient::{Transient, unit_name};
use super::{GroupServices, Kind, ServiceSpec, State};

/// One service.
#[derive(Debug)]
pub(super) struct Unit {
    /// Its name in reports, unique in its group.
    pub name: String,
    /// As configured.
    pub spec: ServiceSpec,
    body: Body,
    /// When one that somebody else runs is looked at again: each letter to the manager calls who waits away, and the time must not begin anew.
    due: Option<tokio::time::Instant>,
}

#[derive(Debug)]
enum Body {
    Lsb(Lsb),
    Ocf(Ocf),
    Systemd(Systemd),
    Process(Process),
}

impl Unit {
    /// The units of a group, each with a name of its own, and what follows their output.
    pub fn all(group: &GroupServices, dir: &Path) -> Vec<(Unit, Follower)> {
        let mut units: Vec<(Unit, Follower)> = Vec::new();
        let mut agents = Vec::new();
        let places = places(group, dir);
        let names = places.iter().flat_map(|place| place.units.iter().cloned()).collect();
        let followed = Units::follow(group.tools.bus.clone(), group.name.clone(), names);
        let mut at = 0..;
        let mut systemd = |unit: &String| Systemd {
            unit: unit.clone(),
            at: at.next().unwrap_or_default(),
            units: followed.clone(),
            systemctl: Systemctl { program: group.tools.systemctl.clone(), unit: unit.clone() },
        };
        for (spec, Place { name, stem, units: own }) in group.services.iter().zip(places) {
            let former = dir.join(format!("{}-{}", file_name(&group.name), file_name(&name)));
            take_over(&append(&former, "json"), &append(&stem, "json"), &spec.kind);
            let output = append(&stem, "log");
            let own: &[String] = if matches!(spec.kind, Kind::Systemd(_)) { &[] } else { &own };
            let mut made = own.iter().map(|unit| {
                let record = append(&stem, if own.first() == Some(unit) { "unit" } else { "stop.unit" });
                let (systemd, output) = (systemd(unit), Writer::new(&output));
                Transient { systemd, record, output, wanted: group.tools.sandboxed, due: None }
            });
            let body = match &spec.kind {
                Kind::Lsb { script, arguments } => Body::Lsb(Lsb {
                    script: group.tools.init_dir.join(script),
                    arguments: arguments.clone(),
                    output: Writer::new(&output),
                    units: made.next().zip(made.next()).map(|(home, last)| [home, last]),
                }),
                Kind::Ocf(ocf) => {
                    agents.push((append(&stem, "ocf"), ocf.agent.clone()));
                    Body::Ocf(Ocf::new(
                        ocf.clone(),
                        name.clone(),
                        instance(&group.name, &name),
                        append(&stem, "ocf"),
                        Writer::new(&output),
                    ))
                }
                Kind::Systemd(unit) => Body::Systemd(systemd(unit)),
                Kind::Process(argv) => {
                    Body::Process(Process::new(argv.clone(), append(&stem, "json"), Writer::new(&output), made.next()))
                }
            };
            units.push((Unit { name, spec: spec.clone(), body, due: None }, Follower::new(&output)));
        }
        sort_records(&agents);
        units
    }

    /// Asks for its state.
    pub async fn state(&mut self, env: &Env) -> State {
        match &mut self.body {
            Body::Lsb(lsb) => lsb.state(env).await,
            Body::Ocf(ocf) => ocf.state(env).await,
            Body::Systemd(systemd) => systemd.state().await,
            Body::Process(process) => process.state().await,
        }
    }

    /// The same for somebody who only looks: where asking is dear, what was found out a moment ago or has been told since.
    pub async fn glance(&mut self, env: &Env) -> State {
        match &mut self.body {
            Body::Ocf(ocf) => ocf.glance(env).await,
            Body::Systemd(systemd) => systemd.glance().await,
            Body::Process(process) => process.glance().await,
            _ => self.state(env).await,
        }
    }

    /// Starts it unless it runs.
    pub async fn start(&mut self, env: &Env, cancel: &mut Cancel) -> Result<(), Failure> {
        let limit = self.spec.start_timeout;
        let limits = [limit, self.spec.stop_timeout];
        match &mut self.body {
            Body::Process(process) => process.start(env, limits, cancel).await,
            Body::Ocf(ocf) => ocf.start(env, limit, self.spec.stop_timeout, cancel).await,
            Body::Lsb(lsb) if lsb.state(env).await != State::Running => lsb.start(env, limits, cancel).await,
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
            Body::Process(process) => process.stop(limit, env.ending).await,
            Body::Ocf(ocf) => ocf.stop(env, limit).await,
            Body::Lsb(_) | Body::Systemd(_) => Ok(()),
        }
    }

    /// Waits until it has died, or its kind says that it is not well. Dropping the future gives the watch up.
    pub async fn died(&mut self, env: &Env) -> Watched {
        match &mut self.body {
            Body::Process(process) => return Watched::Gone(process.died().await),
            Body::Ocf(ocf) => return ocf.watch(env).await,
            Body::Lsb(_) | Body::Systemd(_) => {}
        }
        let mut silent = 0_u32;
        loop {
            let due = *self.due.get_or_insert_with(|| tokio::time::Instant::now() + WATCH);
            match &self.body {
                Body::Systemd(systemd) => systemd.worth_asking(due).await,
                _ => tokio::time::sleep_until(due).await,
            }
            let state = self.state(env).await;
            self.due = None;
            match (state, &self.body) {
                (State::Running, _) => silent = 0,
                (State::Stopped, Body::Systemd(systemd)) => return Watched::Gone(systemd.epitaph().await),
                (State::Stopped, _) => return Watched::Gone("its status says that it no longer runs".into()),
                (State::Unknown(why), _) => {
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

/// Where a service is kept.
struct Place {
    /// Its name in reports.
    name: String,
    /// Its files, without their endings.
    stem: PathBuf,
    /// The units of systemd that it is, or may live in.
    units: Vec<String>,
}

/// The places of a group's services, in their order. Where nothing is run in units of the daemon's making, those of an earlier life count.
fn places(group: &GroupServices, dir: &Path) -> Vec<Place> {
    let mut places: Vec<Place> = Vec::new();
    for (nth, spec) in group.services.iter().enumerate() {
        let plain = spec.name();
        let taken = group.services.iter().take(nth).filter(|other| other.name() == plain).count();
        let name = if taken == 0 { plain } else { format!("{plain}-{}", taken.saturating_add(1)) };
        // A sign between them that no name has: with `-`, `db` and `main-proxy` would share a file with `db-main` and `proxy`.
        let stem = dir.join(format!("{}={}", file_name(&group.name), file_name(&name)));
        let own = |what: &str| unit_name(&group.state_dir, &group.name, &name, what);
        let lives = group.tools.sandboxed || append(&stem, "unit").exists();
        let units = match &spec.kind {
            Kind::Systemd(unit) => vec![unit.clone()],
            Kind::Process(_) if lives => vec![own("")],
            Kind::Lsb { .. } if lives => vec![own(""), own(".stop")],
            Kind::Process(_) | Kind::Lsb { .. } | Kind::Ocf(_) => Vec::new(),
        };
        places.push(Place { name, stem, units });
    }
    places
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

/// What an agent's instance is called: names of files, and of processes' arguments, are made of it.
pub(super) fn instance(group: &str, name: &str) -> String {
    format!("{}.{}", file_name(group), file_name(name))
}

/// `stem` with one more ending; names with dots keep theirs.
fn append(stem: &Path, ending: &str) -> PathBuf {
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
