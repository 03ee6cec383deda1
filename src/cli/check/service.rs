//! What `check` finds about services and hooks: what is missing, whether nginx would start, and who has the ports; of units, see `systemd.rs`.
//! Each finding says what to type.

use std::net::IpAddr;
use std::path::Path;

use super::finding::{Finding, Level};
use super::nginx;
use super::ocf;
use super::ports::{self, Protocol};
use super::programs::{ask, executable, program_missing};
use super::systemd;
use twinbeat_config::{CheckKind, Config, HookConfig, ServiceConfig, ServiceKind};

pub(super) fn all(config: &Config, me: &str) -> Vec<Finding> {
    let mut found = systemd::reached(config);
    for (group, service) in config.groups.iter().flat_map(|group| group.services.iter().map(move |service| (group, service))) {
        let missing = match &service.kind {
            ServiceKind::Systemd(unit) => systemd::missing(unit),
            ServiceKind::Process(argv) => argv.first().and_then(|program| program_missing(program)),
            ServiceKind::Lsb(lsb) if !executable(&lsb.script) => Some("no executable init script of that name here".to_owned()),
            ServiceKind::Lsb(_) => None,
            ServiceKind::Ocf(agent) => {
                found.extend(ocf::all(&group.name, me, service, agent));
                None
            }
        };
        if let Some(why) = missing {
            found.push(Finding::new(Level::Warn, "service", format!("group `{}`: {}: {why}", group.name, service.kind)));
            continue;
        }
        if let ServiceKind::Systemd(unit) = &service.kind {
            found.extend(systemd::all(&group.name, unit, service.warm));
        }
        if service.warm {
            found.extend(nginx_needs_the_vip(config, service));
        }
        found.extend(nginx_would_start(service));
        found.extend(programs_missing(&group.name, service));
    }
    found.dedup();
    found
}

/// The programs of `check` and `validate` that are not here: each would count as a failure of the service.
fn programs_missing(group: &str, service: &ServiceConfig) -> Vec<Finding> {
    let checks = service.checks.iter().filter_map(|check| match &check.kind {
        CheckKind::Command(argv) => Some(("check", argv)),
        CheckKind::Http(_) | CheckKind::Tcp(_) => None,
    });
    let all = checks.chain(service.validate.as_ref().map(|argv| ("validate", argv)));
    let missing = all.filter_map(|(key, argv)| Some((key, argv.first()?, program_missing(argv.first()?)?)));
    missing
        .map(|(key, program, why)| {
            let text = format!("group `{group}`: {}: `{key}` runs {program}: {why}", service.kind);
            Finding::new(Level::Fail, "service", text)
        })
        .collect()
}

/// Whether each hook can be run, and by whose words.
pub(super) fn hooks(config: &Config) -> Vec<Finding> {
    let one = |hook: &HookConfig| {
        let program = hook.run.first()?;
        if let Some(why) = program_missing(program) {
            let text = format!("{program}: {why}: nobody is told of {}", told_of(hook));
            return Some(Finding::new(Level::Warn, "hook", text));
        }
        let others = Path::new(program).is_absolute().then(|| twinbeat_host::dirs::writable_by_others(Path::new(program)));
        Some(match others {
            Some(Ok(Some(who))) => {
                let text = format!("{who} may change {program}, which runs as the daemon's user: chown root, chmod go-w");
                Finding::new(Level::Fail, "hook", text)
            }
            _ => Finding::new(Level::Ok, "hook", format!("{program} is told of {}", told_of(hook))),
        })
    };
    config.hooks.iter().filter_map(one).collect()
}

fn told_of(hook: &HookConfig) -> String {
    let events = hook.on.iter().map(|event| event.word()).collect::<Vec<_>>().join(", ");
    match &hook.groups {
        Some(groups) => format!("{events} ({})", groups.iter().map(|name| name.to_string()).collect::<Vec<_>>().join(", ")),
        None => events,
    }
}

/// Whether an nginx among the services would start: its own test of its files, and its ports.
fn nginx_would_start(service: &ServiceConfig) -> Vec<Finding> {
    let plain = |program: &str| vec![program.to_owned()];
    let argv = match &service.kind {
        ServiceKind::Systemd(unit) if unit.starts_with("nginx") => plain("nginx"),
        ServiceKind::Lsb(lsb) if lsb.script.ends_with("nginx") => plain("nginx"),
        ServiceKind::Process(argv) if argv.first().is_some_and(|program| program.ends_with("nginx")) => argv.clone(),
        _ => return Vec::new(),
    };
    let Some((program, rest)) = argv.split_first() else { return Vec::new() };
    let arguments: Vec<&str> = rest.iter().map(String::as_str).chain(["-t", "-q"]).collect();
    let mut found = Vec::new();
    let file = nginx::file_of(&argv);
    match ask(program, &arguments).filter(|_| file.exists()) {
        Some((Some(0), _)) | None => {}
        Some((_, said)) => {
            let first = said.lines().find(|line| line.contains("emerg")).or(said.lines().next()).unwrap_or_default();
            let text = format!("nginx would not start here: {}. Mend it, then `{program} {}`", first.trim(), arguments.join(" "));
            found.push(Finding::new(Level::Fail, "service", text));
        }
    }
    for port in nginx::ports(&file).unwrap_or_default() {
        let others = ports::holders(Protocol::Tcp, port).into_iter().filter(|holder| !holder.name.starts_with("nginx"));
        found.extend(others.map(|holder| {
            let text = format!("port {port}, which nginx listens on, is taken by {holder}: `ss -ltnp 'sport = :{port}'`");
            Finding::new(Level::Fail, "service", text)
        }));
    }
    found
}

/// A warm nginx starts while the VIP is still elsewhere: a `listen` on the VIP itself needs the kernel's leave.
pub(super) fn nginx_needs_the_vip(config: &Config, service: &ServiceConfig) -> Vec<Finding> {
    let file = match &service.kind {
        ServiceKind::Systemd(unit) if unit.starts_with("nginx") => nginx::file_of(&[]),
        ServiceKind::Process(argv) if argv.first().is_some_and(|program| program.ends_with("nginx")) => nginx::file_of(argv),
        ServiceKind::Lsb(lsb) if lsb.script.ends_with("nginx") => nginx::file_of(&[]),
        _ => return Vec::new(),
    };
    let listens = match nginx::listens(&file) {
        Ok(listens) => listens,
        Err(why) => {
            let text = format!("{}: whether it listens on the VIP itself cannot be read ({why})", service.kind);
            return vec![Finding::new(Level::Warn, "service", text)];
        }
    };
    let vips: Vec<IpAddr> = config.groups.iter().flat_map(|group| &group.vips).map(|vip| vip.address).collect();
    let on_vip: Vec<_> = listens.iter().filter(|listen| vips.contains(&listen.address)).collect();
    if on_vip.is_empty() {
        let text = format!("{}: {} listens on no VIP itself, it can start before the VIP is here", service.kind, file.display());
        return vec![Finding::new(Level::Ok, "service", text)];
    }
    let allowed = |v4: bool| {
        let sysctl = nonlocal_bind(v4);
        std::fs::read_to_string(format!("/proc/sys/{}", sysctl.replace('.', "/"))).is_ok_and(|value| value.trim() != "0")
    };
    on_vip
        .into_iter()
        .filter(|listen| !allowed(listen.address.is_ipv4()))
        .map(|listen| {
            let sysctl = nonlocal_bind(listen.address.is_ipv4());
            let text = format!(
                "{}:{}: `listen {}` needs the VIP here, and a warm nginx starts before it comes: each takeover would wait for a second start, or \
                 fail. Set {sysctl} = 1 (sysctl -w {sysctl}=1, and in /etc/sysctl.d), or listen on all addresses",
                listen.file.display(),
                listen.line,
                listen.address
            );
            Finding::new(Level::Fail, "service", text)
        })
        .collect()
}

fn nonlocal_bind(v4: bool) -> &'static str {
    if v4 { "net.ipv4.ip_nonlocal_bind" } else { "net.ipv6.ip_nonlocal_bind" }
}
