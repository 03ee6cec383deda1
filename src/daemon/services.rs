//! The services of the file, handed to their managers.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use super::event::Event;
use super::options::Options;
use twinbeat_config::{CheckConfig, CheckKind, Config, GroupConfig, ServiceConfig, ServiceKind};
use twinbeat_core::id::GroupId;
use twinbeat_core::io::Input;
use twinbeat_service::{CheckSpec, GroupServices, HttpProbe, Kind, Probe, ServiceManager, ServiceSpec, Tools};

/// A manager for each group that has any, and what carries their words into the loop.
///
/// # Errors
/// When a manager cannot be started.
pub fn services(
    options: &Options,
    config: &Config,
    me: &str,
    events: &UnboundedSender<Event>,
) -> anyhow::Result<Vec<Option<ServiceManager>>> {
    let (reports, mut inbox) = tokio::sync::mpsc::unbounded_channel();
    let mut all = Vec::new();
    for (id, group) in (0u8..).zip(&config.groups) {
        if group.services.is_empty() {
            all.push(None);
            continue;
        }
        let services = GroupServices {
            group: GroupId(id),
            name: group.name.to_string(),
            node: me.to_string(),
            state_dir: options.state_dir.clone(),
            services: specs(group),
            tools: Tools::default(),
        };
        all.push(Some(ServiceManager::spawn(services, reports.clone())?));
    }
    let events = events.clone();
    tokio::task::spawn_local(async move {
        while let Some(report) = inbox.recv().await {
            let _ = events.send(Event::Input(Input::from(report)));
        }
    });
    Ok(all)
}

fn check(c: &CheckConfig) -> CheckSpec {
    let probe = match &c.kind {
        CheckKind::Tcp(address) => Probe::Tcp(*address),
        CheckKind::Command(argv) => Probe::Command(argv.clone()),
        CheckKind::Http(h) => Probe::Http(HttpProbe {
            address: h.address,
            tls: h.tls,
            name: h.name.clone(),
            path: h.path.clone(),
            status: h.status,
            contains: h.contains.clone(),
        }),
    };
    CheckSpec {
        probe,
        interval: Duration::from_nanos(c.interval.0),
        timeout: Duration::from_nanos(c.timeout.0),
        fall: c.fall,
        rise: c.rise,
        of_the_owner: c.of_the_owner,
    }
}

/// The services of a group, as their manager takes them.
pub fn specs(group: &GroupConfig) -> Vec<ServiceSpec> {
    let spec = |s: &ServiceConfig| ServiceSpec {
        kind: match &s.kind {
            ServiceKind::Systemd(unit) => Kind::Systemd(unit.to_string()),
            ServiceKind::Process(argv) => Kind::Process(argv.clone()),
            ServiceKind::Lsb(path) => Kind::Lsb(path.clone()),
        },
        warm: s.warm,
        start_timeout: Duration::from_nanos(s.start_timeout.0),
        stop_timeout: Duration::from_nanos(s.stop_timeout.0),
        checks: s.checks.iter().map(check).collect(),
        validate: s.validate.clone(),
        restarts: s.restarts,
        restart_window: Duration::from_nanos(s.restart_window.0),
    };
    group.services.iter().map(spec).collect()
}
