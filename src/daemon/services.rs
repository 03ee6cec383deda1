//! The services of the file, handed to their managers.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use super::event::Event;
use super::options::Options;
use twinbeat_config::{CheckConfig, CheckKind, Config, GroupConfig, OcfConfig, ServiceConfig, ServiceKind};
use twinbeat_core::id::GroupId;
use twinbeat_core::io::Input;
use twinbeat_service::{
    AgentSpec, CheckSpec, GroupServices, HttpProbe, Kind, OcfSpec, Probe, ServiceManager, ServiceSpec, Tools,
};

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

/// An agent, as the room of services has it.
pub fn agent(ocf: &OcfConfig) -> AgentSpec {
    AgentSpec {
        root: ocf.root.clone(),
        program: ocf.program.clone(),
        provider: ocf.provider.clone(),
        agent: ocf.agent.clone(),
        parameters: ocf.parameters.clone(),
        promoted: ocf.promoted,
    }
}

/// The services of a group, as their manager takes them.
pub fn specs(group: &GroupConfig) -> Vec<ServiceSpec> {
    let spec = |s: &ServiceConfig| ServiceSpec {
        kind: match &s.kind {
            ServiceKind::Systemd(unit) => Kind::Systemd(unit.to_string()),
            ServiceKind::Process(argv) => Kind::Process(argv.clone()),
            ServiceKind::Lsb(lsb) => Kind::Lsb { script: lsb.script.clone(), arguments: lsb.arguments.clone() },
            ServiceKind::Ocf(ocf) => {
                Kind::Ocf(OcfSpec { agent: agent(ocf), monitor_interval: Duration::from_nanos(ocf.monitor_interval.0) })
            }
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
