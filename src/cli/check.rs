//! `twinbeat check`: is this configuration, and is this machine, fit? Nothing is changed.
//!
//! Here is the part that the file and a look at this machine's disk and addresses can answer. Checks that need more (gate,
//! witness, relay, capabilities) are given to [`run`] as a list.

use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::config::{Config, DEFAULT_FILE, ServiceKind, keys, timing_margin};
use crate::core::id::NodeId;

/// Is this configuration and this machine fit? Nothing is changed on this machine.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
    pub config: PathBuf,
    /// Which node this machine is; else the host name
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
}

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, but somebody should know.
    Warn,
    /// It does not work: `check` ends with 1.
    Fail,
}

/// One line of the report.
#[derive(Clone, PartialEq, Debug)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What it is about: `timing`, `key`, `witness`, …
    pub subject: String,
    /// What was found, and what to do about it.
    pub text: String,
}

impl Finding {
    /// A finding.
    pub fn new(level: Level, subject: impl Into<String>, text: impl Into<String>) -> Finding {
        Finding { level, subject: subject.into(), text: text.into() }
    }
}

/// One more check of this machine: looks, changes nothing, and says what it found.
pub type Check<'a> = Box<dyn Fn(&Config, NodeId) -> Vec<Finding> + 'a>;

/// Checks file and machine and prints the findings; 1 when one of them is a failure.
pub fn run(args: &Args, more: &[Check<'_>]) -> anyhow::Result<ExitCode> {
    let findings = findings(args, more);
    print(&mut std::io::stdout().lock(), &findings)?;
    let failed = findings.iter().any(|finding| finding.level == Level::Fail);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Everything that `check` found, in the order of the report.
pub fn findings(args: &Args, more: &[Check<'_>]) -> Vec<Finding> {
    let config = match Config::read(&args.config) {
        Ok(config) => config,
        Err(error) => return vec![Finding::new(Level::Fail, "file", error.to_string())],
    };
    let mut found = vec![Finding::new(
        Level::Ok,
        "file",
        format!(
            "{} is valid; cluster {}, digest {:016x} (the same on both nodes)",
            args.config.display(),
            config.cluster,
            config.digest
        ),
    )];
    found.extend(timing(&config));
    found.extend(witness(&config));
    let me = match which_node(&config, args.node.as_deref()) {
        Ok(me) => me,
        Err(error) => {
            found.push(Finding::new(Level::Fail, "node", error.to_string()));
            return found;
        }
    };
    found.push(Finding::new(Level::Ok, "node", format!("this machine is {}", config.nodes[me.index()].name)));
    found.push(match config.private_key(me) {
        Ok(_) => Finding::new(Level::Ok, "key", format!("{} belongs to the public key", key_file(&config, me).display())),
        Err(error) => Finding::new(Level::Fail, "key", error.to_string()),
    });
    found.extend(addresses(&config, me, &own_addresses()));
    found.extend(services(&config));
    found.extend(more.iter().flat_map(|check| check(&config, me)));
    found
}

/// Prints the findings, aligned.
pub fn print(out: &mut impl Write, findings: &[Finding]) -> std::io::Result<()> {
    let width = findings.iter().map(|finding| finding.subject.chars().count()).max().unwrap_or(0);
    for Finding { level, subject, text } in findings {
        let level = match level {
            Level::Ok => "ok",
            Level::Warn => "WARN",
            Level::Fail => "FAIL",
        };
        writeln!(out, "{level:<4}  {subject:<width$}  {text}")?;
    }
    Ok(())
}

/// Which node this machine is: the name given, else the host name.
pub fn which_node(config: &Config, given: Option<&str>) -> anyhow::Result<NodeId> {
    match given {
        Some(name) => Ok(config.node(name)?),
        None => Ok(config.node(&host_name()?)?),
    }
}

/// This machine's host name, as the kernel has it.
pub fn host_name() -> anyhow::Result<String> {
    let name = nix::unistd::gethostname()?;
    name.into_string().map_err(|name| anyhow::anyhow!("the host name {name:?} is not UTF-8; name the node with --node"))
}

fn key_file(config: &Config, me: NodeId) -> PathBuf {
    keys::key_path(config.file(), &config.nodes[me.index()].name)
}

fn timing(config: &Config) -> Vec<Finding> {
    let timing = &config.timing;
    let mut found = vec![Finding::new(Level::Ok, "timing", timing_margin(timing))];
    if timing.lease < timing.heartbeat + timing.delivery {
        let text = format!(
            "lease {} is below heartbeat + delivery ({}): one late answer lets the gate close",
            timing.lease,
            timing.heartbeat + timing.delivery
        );
        found.push(Finding::new(Level::Warn, "timing", text));
    }
    if timing.rate < LEAST_SANE_RATE {
        let text = "rate_bound is below 0.19: two clocks that are slewed against each other may differ by more";
        found.push(Finding::new(Level::Warn, "timing", text));
    }
    if let Err(error) = config.require_weak_gate_timing() {
        let text = format!("fit for the nftables gate only; without it: {error}");
        found.push(Finding::new(Level::Ok, "timing", text));
    }
    found
}

fn witness(config: &Config) -> Vec<Finding> {
    let mut found = Vec::new();
    match config.witness.targets.len() {
        1 => found.push(Finding::new(
            Level::Warn,
            "witness",
            "one witness only: when it is down, nobody can claim; three are better than one",
        )),
        n if n % 2 == 0 => found.push(Finding::new(
            Level::Warn,
            "witness",
            format!("{n} witnesses bear no more losses than {}: a majority must answer", n - 1),
        )),
        n => found.push(Finding::new(Level::Ok, "witness", format!("{n} targets, {} may be lost", (n - 1) / 2))),
    }
    if config.witness.island == crate::config::Island::Hold {
        let text = "island = \"hold\": an owner cut off from peer and witness serves on, and the peer may serve at the same time";
        found.push(Finding::new(Level::Warn, "witness", text));
    }
    found
}

/// An address of this machine: interface, address.
type OwnAddress = (String, IpAddr);

fn own_addresses() -> Vec<OwnAddress> {
    let Ok(all) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    all.filter_map(|entry| {
        let address = entry.address?;
        let ip = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
            (Some(v4), _) => IpAddr::V4(v4.ip()),
            (_, Some(v6)) => IpAddr::V6(v6.ip()),
            _ => return None,
        };
        // A labelled address is listed under its label.
        let interface = entry.interface_name.split(':').next().unwrap_or_default().to_owned();
        Some((interface, ip))
    })
    .collect()
}

fn addresses(config: &Config, me: NodeId, own: &[OwnAddress]) -> Vec<Finding> {
    let mut found = Vec::new();
    for link in &config.nodes[me.index()].links {
        if !own.iter().any(|(interface, ip)| *interface == *link.interface && *ip == link.address) {
            let text = format!("{} has no address {} (link `{}`)", link.interface, link.address, link.name);
            found.push(Finding::new(Level::Fail, "link", text));
        }
    }
    for (group, vip) in config.groups.iter().flat_map(|group| group.vips.iter().map(move |vip| (group, vip))) {
        let Some(link) = config.link(me, vip.link) else { continue };
        let near = |(interface, ip): &&OwnAddress| *interface == *link.interface && *ip != vip.address && vip.network_holds(*ip);
        if own.iter().find(near).is_none() {
            let text = format!("group `{}`: {} has no address of its own in the network of {vip}", group.name, link.interface);
            found.push(Finding::new(Level::Warn, "vip", text));
        }
    }
    found
}

fn services(config: &Config) -> Vec<Finding> {
    let mut found = Vec::new();
    for (group, service) in config.groups.iter().flat_map(|group| group.services.iter().map(move |service| (group, service))) {
        let missing = match &service.kind {
            ServiceKind::Systemd(unit) => systemd_missing(unit),
            ServiceKind::Process(argv) => argv.first().and_then(|program| program_missing(program)),
            ServiceKind::Lsb(script) if !executable(script) => Some("no executable init script of that name here".to_owned()),
            ServiceKind::Lsb(_) => None,
        };
        if let Some(why) = missing {
            found.push(Finding::new(Level::Warn, "service", format!("group `{}`: {}: {why}", group.name, service.kind)));
        }
        if service.warm && service.kind.to_string().contains("nginx") {
            found.extend(nonlocal_bind(config));
        }
    }
    found.dedup();
    found
}

/// A warm service starts while the VIP is still elsewhere: a socket bound to the VIP itself needs the kernel's leave.
fn nonlocal_bind(config: &Config) -> Vec<Finding> {
    let vips = || config.groups.iter().flat_map(|group| &group.vips);
    [("net.ipv4.ip_nonlocal_bind", true), ("net.ipv6.ip_nonlocal_bind", false)]
        .into_iter()
        .filter(|(_, v4)| vips().any(|vip| vip.address.is_ipv4() == *v4))
        .filter_map(|(sysctl, _)| {
            let value = std::fs::read_to_string(format!("/proc/sys/{}", sysctl.replace('.', "/"))).ok()?;
            let text = format!(
                "a warm nginx starts before the VIP is here: `listen` on the VIP itself needs {sysctl} = 1 (sysctl -w {sysctl}=1); \
                 a listen on all addresses does not"
            );
            (value.trim() == "0").then(|| Finding::new(Level::Warn, "service", text))
        })
        .collect()
}

fn systemd_missing(unit: &str) -> Option<String> {
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

fn program_missing(program: &str) -> Option<String> {
    if program.contains('/') {
        return (!executable(Path::new(program))).then(|| "no executable of that name here".to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
    let found = std::env::split_paths(&path).any(|dir| executable(&dir.join(program)));
    (!found).then(|| "not found in PATH".to_owned())
}

fn executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// 1000 x (1 + 0.19): two clocks at 0.083 each, one fast and one slow, differ by 1.083 / 0.917.
const LEAST_SANE_RATE: u64 = 1_190;

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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The sample configuration with fresh keys, on disk.
    fn pair() -> (tempfile::TempDir, Args) {
        let dir = tempfile::tempdir().unwrap();
        let mut text = include_str!("../../scenarios/pairs/fast.toml").to_owned();
        let old: Vec<String> = text.lines().filter(|line| line.starts_with("public_key")).map(str::to_owned).collect();
        for (line, node) in old.iter().zip(["master1", "master2"]) {
            let public = keys::generate(&dir.path().join(format!("{node}.key"))).unwrap();
            text = text.replace(line, &format!("public_key = \"{}\"", keys::public_text(&public)));
        }
        let config = dir.path().join("twinbeat.toml");
        std::fs::write(&config, text).unwrap();
        (dir, Args { config, node: Some("master1".to_owned()) })
    }

    fn has(findings: &[Finding], level: Level, text: &str) -> bool {
        findings.iter().any(|finding| finding.level == level && finding.text.contains(text))
    }

    #[test]
    fn a_good_file_and_key_pass_and_one_witness_is_warned_of() {
        let (_dir, args) = pair();
        let found = findings(&args, &[]);
        assert!(has(&found, Level::Ok, "this machine is master1"), "{found:?}");
        assert!(has(&found, Level::Ok, "belongs to the public key"), "{found:?}");
        assert!(has(&found, Level::Warn, "three are better than one"), "{found:?}");
        assert!(has(&found, Level::Ok, "dead 1s is 57ms above the least (943ms)"), "{found:?}");
    }

    #[test]
    fn a_wrong_node_or_a_missing_key_fails() {
        let (dir, mut args) = pair();
        args.node = Some("master3".to_owned());
        assert!(has(&findings(&args, &[]), Level::Fail, "master1, master2"));
        args.node = Some("master2".to_owned());
        std::fs::remove_file(dir.path().join("master2.key")).unwrap();
        assert!(has(&findings(&args, &[]), Level::Fail, "twinbeat keygen --out"));
    }

    #[test]
    fn a_file_that_cannot_be_read_fails() {
        let args = Args { config: "/nonexistent/twinbeat.toml".into(), node: None };
        assert!(has(&findings(&args, &[]), Level::Fail, "/nonexistent/twinbeat.toml: cannot be read"));
    }

    #[test]
    fn the_checks_of_others_are_asked_and_their_failure_counts() {
        let (_dir, args) = pair();
        let more: Check<'_> = Box::new(|config, me| vec![Finding::new(Level::Fail, "gate", format!("{} {me}", config.cluster))]);
        assert!(has(&findings(&args, &[more]), Level::Fail, "web 0"));
    }

    #[test]
    fn addresses_that_this_machine_lacks_are_named() {
        let (_dir, args) = pair();
        let config = Config::read(&args.config).unwrap();
        let own = |name: &str, ip: &str| (name.to_owned(), ip.parse().unwrap());
        let mut all = vec![own("eth1", "10.1.1.1"), own("eth2", "10.1.2.1"), own("eth0", "192.168.42.12")];
        assert_eq!(addresses(&config, NodeId(0), &all), []);
        all.pop();
        let found = addresses(&config, NodeId(0), &all);
        assert!(has(&found, Level::Fail, "eth0 has no address 192.168.42.12"), "{found:?}");
        assert!(has(&found, Level::Warn, "no address of its own in the network of 192.168.42.14/25"), "{found:?}");
    }

    #[test]
    fn the_report_is_aligned() {
        let mut out = Vec::new();
        let findings = [Finding::new(Level::Ok, "file", "a"), Finding::new(Level::Fail, "timing", "b")];
        print(&mut out, &findings).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "ok    file    a\nFAIL  timing  b\n");
    }

    #[test]
    fn programs_are_looked_for_where_they_would_be_started_from() {
        assert_eq!(program_missing("/bin/sh"), None);
        assert_eq!(program_missing("sh"), None);
        assert!(program_missing("no-such-program-here").is_some());
        assert!(program_missing("/etc/passwd").is_some());
        assert!(systemd_missing("no-such-unit.service").is_some());
    }
}
