//! What `check` finds about services and hooks: what is missing, what systemd would do beside twinbeat, whether nginx would start, and who has the
//! ports. Each finding says what to type.

use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::finding::{Finding, Level};
use super::nginx;
use super::ocf;
use super::ports::{self, Protocol};
use twinbeat_config::{CheckKind, Config, HookConfig, ServiceConfig, ServiceKind};

pub(super) fn all(config: &Config, me: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    for (group, service) in config.groups.iter().flat_map(|group| group.services.iter().map(move |service| (group, service))) {
        let missing = match &service.kind {
            ServiceKind::Systemd(unit) => systemd_missing(unit),
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
            found.extend(beside_systemd(unit, service.warm));
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

/// What systemd does with the unit by itself: at boot, and at a shutdown.
fn beside_systemd(unit: &str, warm: bool) -> Vec<Finding> {
    if !Path::new("/run/systemd/system").is_dir() {
        return Vec::new();
    }
    let mut found = Vec::new();
    if ask("systemctl", &["is-enabled", unit]).is_some_and(|(_, said)| said.trim() == "enabled") {
        let (level, cost) = match warm {
            true => (Level::Warn, "it runs on a standby that has not asked for it"),
            false => (Level::Fail, "it runs on both nodes after a boot, and must not"),
        };
        let text = format!("systemd starts {unit} at boot too: {cost}. `systemctl disable {unit}`");
        found.push(Finding::new(level, "service", text));
    }
    let shown =
        ask("systemctl", &["show", "-p", "LoadState,After", "twinbeat.service"]).map(|(_, said)| said).unwrap_or_default();
    let value = |key: &str| shown.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    if value("LoadState=") == "loaded" && !value("After=").split_whitespace().any(|name| name == unit) {
        let text = format!(
            "at a reboot systemd stops {unit} beside twinbeat, before the address has moved. `mkdir -p {DROP_IN} && \
             printf '[Unit]\\nAfter={unit}\\n' > {DROP_IN}/{unit}.conf && systemctl daemon-reload`"
        );
        found.push(Finding::new(Level::Warn, "service", text));
    }
    found
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

pub(super) fn systemd_missing(unit: &str) -> Option<String> {
    // An instance `web@1.service` comes from the template `web@.service`.
    let template = match (unit.split_once('@'), unit.rsplit_once('.')) {
        (Some((name, _)), Some((_, suffix))) => format!("{name}@.{suffix}"),
        _ => unit.to_owned(),
    };
    let there = UNIT_DIRS.iter().any(|dir| [unit, &template].iter().any(|name| Path::new(dir).join(name).exists()));
    // A unit may be made from an init script of the same name (systemd-sysv-generator).
    let script = unit.strip_suffix(".service").is_some_and(|name| executable(&Path::new("/etc/init.d").join(name)));
    (!there && !script).then(|| "no such unit here".to_owned())
}

pub(super) fn program_missing(program: &str) -> Option<String> {
    if program.contains('/') {
        return (!executable(Path::new(program))).then(|| "no executable of that name here".to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
    let found = std::env::split_paths(&path).any(|dir| executable(&dir.join(program)));
    (!found).then(|| "not found in PATH".to_owned())
}

pub(super) fn executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Runs a program and waits a little; its exit code and its words. None: it could not be run, or did not end.
fn ask(program: &str, arguments: &[&str]) -> Option<(Option<i32>, String)> {
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().ok()?;
    let began = Instant::now();
    while child.try_wait().ok()?.is_none() {
        if began.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let done = child.wait_with_output().ok()?;
    let said = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    Some((done.status.code(), said))
}

/// How long a program that is asked may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Where an administrator's additions to the unit are.
const DROP_IN: &str = "/etc/systemd/system/twinbeat.service.d";

/// systemd.unit(5), the unit search path of the system manager.
const UNIT_DIRS: [&str; 6] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
