//! `twinbeat check`: is this configuration, and is this machine, fit? Nothing is changed on this machine.
//!
//! Here is what the file and this machine's disk answer; `machine` looks at the kernel and the interfaces, `witness` asks the
//! network, `service` at what the services need (`ocf` where that is an agent, `systemd` a unit), `here` at what is out of place; `nginx` reads what an nginx listens on, `routes` at the groups' routes.

mod answers;
mod bonds;
mod cables;
mod fence;
mod finding;
mod here;
mod machine;
mod nginx;
mod ocf;
mod ports;
mod programs;
mod routes;
mod service;
mod systemd;
mod witness;

use std::io::{IsTerminal, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use self::finding::OwnAddress;
pub use self::finding::{Finding, Level};
use super::Daemon;
use super::render::Paint;
use twinbeat_config::{Config, DEFAULT_FILE, VipConfig, keys, timing_margin};
use twinbeat_control::client::{Unreachable, ask_blocking};
use twinbeat_control::protocol::{PATIENCE, Request, Response};
use twinbeat_core::id::NodeId;
use twinbeat_core::view::View;
use twinbeat_daemon::which_node;

/// Is this configuration and this machine fit? Nothing is changed on this machine.
///
/// Each finding is one line: ok, WARN (it works, and somebody should know) or FAIL (it does not work). The last line sums up.
/// Exit codes: 0 fit (perhaps with warnings), 1 not fit.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
    pub config: PathBuf,
    /// Which node this machine is; else the host name
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// Write the witness's neighbour table as a takeover would, and see whether it follows: only when no daemon runs here and
    /// nobody answers for the VIP
    #[arg(long)]
    pub probe_witness: bool,
    /// Look at the file, the key and this machine only: ask nobody on the network
    #[arg(long, conflicts_with = "probe_witness")]
    pub offline: bool,
    /// The daemon's state directory
    #[arg(long, value_name = "DIR", default_value = "/var/lib/twinbeat")]
    pub state_dir: PathBuf,
    /// Where the daemon is
    #[command(flatten)]
    pub daemon: Daemon,
}

/// Checks file and machine and prints the findings; 1 when one of them is a failure.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    let terminal = out.is_terminal();
    if terminal && !args.offline {
        eprint!("asking the witness, a few seconds ...\r");
    }
    let findings = findings(args);
    if terminal && !args.offline {
        eprint!("{:38}\r", "");
    }
    let paint = if terminal && std::env::var_os("NO_COLOR").is_none() { Paint::Colors } else { Paint::Plain };
    print(&mut out, &findings, paint, if terminal { Some(WRAP) } else { None })?;
    let failed = findings.iter().any(|finding| finding.level == Level::Fail);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Everything that `check` found, in the order of the report.
pub fn findings(args: &Args) -> Vec<Finding> {
    let (config, me, mut found) = on_file(args);
    let (Some(config), Some(me)) = (config, me) else { return found };
    let daemon = daemon(&config, me, &args.daemon.run_dir);
    found.extend(machine::capabilities(&config));
    found.extend(machine::gate_works(&config));
    found.extend(machine::old_tables(&config, me));
    let links = machine::links_are_there(&config, me);
    let public = format!("link {}", config.nodes[me.index()].links[usize::from(config.witness.link.0)].name);
    let reachable = !links.iter().any(|finding| finding.subject == public && finding.level != Level::Ok);
    found.extend(links);
    found.extend(bonds::bonds_are_sound(&config, me));
    found.extend(addresses(&config, me, &own_addresses()));
    found.extend(machine::managers(&config, me));
    let frames = machine::frames_can_be_sent(&config, me);
    found.extend(witness_count(&config));
    if args.offline {
        found.push(Finding::new(Level::Warn, "witness", "not asked (--offline)"));
    } else if reachable && frames.is_empty() {
        found.extend(cables::crossed(&config, me, daemon.view()));
        found.extend(witness::ask(&config, me, daemon.view(), args.probe_witness));
    } else {
        found.push(Finding::new(Level::Fail, "witness", format!("cannot be asked: see {public} and frames")));
    }
    found.extend(frames);
    found.extend(service::all(&config, &config.nodes[me.index()].name));
    found.extend(fence::all(&config, &args.config, me, args.offline));
    found.extend(service::hooks(&config));
    found.extend(here::all(&config, me, &own_addresses(), daemon.view(), &args.state_dir));
    found.extend(routes::all(&config, me));
    found.push(daemon.finding());
    found
}

/// What the file and the key say; the configuration and the node, if they are good.
fn on_file(args: &Args) -> (Option<Config>, Option<NodeId>, Vec<Finding>) {
    let config = match Config::read(&args.config) {
        Ok(config) => config,
        Err(error) => {
            let found = error.split().iter().map(|error| Finding::new(Level::Fail, "file", error.to_string())).collect();
            return (None, None, found);
        }
    };
    let text = format!(
        "{} is valid; cluster {}, digest {:016x} (the same on both nodes)",
        args.config.display(),
        config.cluster,
        config.digest
    );
    let mut found = vec![Finding::new(Level::Ok, "file", text)];
    let me = match which_node(&config, args.node.as_deref()) {
        Ok(me) => me,
        Err(error) => {
            found.push(Finding::new(Level::Fail, "node", error.to_string()));
            found.extend(timing(&config));
            return (Some(config), None, found);
        }
    };
    found.push(Finding::new(Level::Ok, "node", format!("this machine is {}", config.nodes[me.index()].name)));
    if let Ok(Some(who)) = twinbeat_host::dirs::writable_by_others(&args.config) {
        let text = format!(
            "{who} may change {}, which names commands that run as the daemon's user: chown root, chmod go-w",
            args.config.display()
        );
        found.push(Finding::new(Level::Fail, "file", text));
    }
    found.push(match config.private_key(me) {
        Ok(_) => Finding::new(Level::Ok, "key", format!("{} belongs to the public key", key_file(&config, me).display())),
        Err(error) => Finding::new(Level::Fail, "key", error.to_string()),
    });
    found.extend(config.nodes.iter().filter(|node| node.next_public_key.is_some()).map(|node| {
        let text = format!(
            "{} has two keys: when it signs with the next one, make that its public_key, and reload both nodes",
            node.name
        );
        Finding::new(Level::Warn, "key", text)
    }));
    found.extend(timing(&config));
    (Some(config), Some(me), found)
}

/// This node's daemon.
enum Running {
    Yes(Box<View>),
    No,
    Another(String),
    Unknown(String),
}

impl Running {
    fn view(&self) -> Option<&View> {
        match self {
            Running::Yes(view) => Some(view),
            _ => None,
        }
    }

    fn finding(&self) -> Finding {
        let (level, text) = match self {
            Running::Yes(view) => {
                let served = |g: &twinbeat_core::view::GroupView| match &g.owner {
                    Some(owner) => format!("{} served by {owner}", g.name),
                    None => format!("{} served by NOBODY", g.name),
                };
                let groups: Vec<String> = view.groups.iter().map(served).collect();
                (Level::Ok, format!("runs; {}; the rest is told by `twinbeat status`", groups.join(", ")))
            }
            Running::No => (Level::Ok, "does not run here".to_owned()),
            Running::Another(whose) => (Level::Fail, format!("the run directory is used by the daemon of {whose}")),
            Running::Unknown(why) => (Level::Warn, why.clone()),
        };
        Finding::new(level, "daemon", text)
    }
}

fn daemon(config: &Config, me: NodeId, run_dir: &Path) -> Running {
    match ask_blocking(run_dir, &Request::Status {}, PATIENCE) {
        Ok(Response::View(view)) if view.cluster == *config.cluster && view.node == *config.nodes[me.index()].name => {
            Running::Yes(view)
        }
        Ok(Response::View(view)) => Running::Another(format!("{} of cluster {}", view.node, view.cluster)),
        Ok(_) => Running::Unknown("the daemon answered something else than was asked".to_owned()),
        Err(Unreachable::NoDaemon { error, .. })
            if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused) =>
        {
            Running::No
        }
        Err(error) => Running::Unknown(error.to_string()),
    }
}

/// Prints the findings, aligned, and sums up. `wrap`: no line longer than so many characters.
pub fn print(out: &mut impl Write, findings: &[Finding], paint: Paint, wrap: Option<usize>) -> std::io::Result<()> {
    let width = findings.iter().map(|finding| finding.subject.chars().count()).max().unwrap_or(0);
    let indent = LABEL + 2 + width + 2;
    for Finding { level, subject, text } in findings {
        let mut lines = wrapped(text, wrap.map(|all| all.saturating_sub(indent).max(30))).into_iter();
        let first = lines.next().unwrap_or_default();
        writeln!(out, "{}  {subject:<width$}  {first}", label(*level, paint))?;
        for line in lines {
            writeln!(out, "{:indent$}{line}", "")?;
        }
    }
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let (warnings, failures) = (count(Level::Warn), count(Level::Fail));
    let plural = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    match (failures, warnings) {
        (0, 0) => writeln!(out, "{}", paint.good("FIT: all is as it should be")),
        (0, n) => writeln!(out, "{}", paint.odd(&format!("FIT, with {}: read each", plural(n, "warning")))),
        (n, w) => writeln!(out, "{}", paint.bad(&format!("NOT FIT: {}, {}", plural(n, "failure"), plural(w, "warning")))),
    }
}

fn label(level: Level, paint: Paint) -> String {
    match level {
        Level::Ok => paint.good("ok  "),
        Level::Warn => paint.odd("WARN"),
        Level::Fail => paint.bad("FAIL"),
    }
}

/// Broken between words.
fn wrapped(text: &str, most: Option<usize>) -> Vec<String> {
    let Some(most) = most else { return vec![text.split_whitespace().collect::<Vec<_>>().join(" ")] };
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= most {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
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
    found
}

fn witness_count(config: &Config) -> Vec<Finding> {
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
    if config.witness.island == twinbeat_config::Island::Hold {
        let text = "island = \"hold\": an owner cut off from peer and witness serves on, and the peer may serve at the same time";
        found.push(Finding::new(Level::Warn, "witness", text));
    }
    found
}

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
    for (group, vip) in config.groups.iter().flat_map(|group| group.vips.iter().map(move |vip| (group, vip))) {
        let Some(own_interface) = config.interface(me, vip.link) else { continue };
        let near = |(interface, ip): &&OwnAddress| *interface == **own_interface && *ip != vip.address && vip.network_holds(*ip);
        if own.iter().find(near).is_none() {
            found.push(Finding::new(Level::Warn, "vip", no_network(config, &group.name, own_interface, vip)));
        }
    }
    found
}

/// Where it is meant, others need to know the way.
fn no_network(config: &Config, group: &str, interface: &str, vip: &VipConfig) -> String {
    let mut text = format!("group `{group}`: {interface} has no address of its own in the network of {vip}");
    let own = config.nodes.iter().filter_map(|node| node.links.get(usize::from(vip.link.0)));
    let elsewhere = config.link(NodeId(0), vip.link).is_some() && !own.into_iter().any(|own| vip.network_holds(own.address));
    if elsewhere {
        let bits = if vip.address.is_ipv4() { 32 } else { 128 };
        text += &format!(
            "; if that is meant, the gateway and each witness need a way to it on the link itself, not by way of a node: there `ip route add \
             {}/{bits} dev THE INTERFACE`; without it no witness can prove an ownership (`check --probe-witness` tries it while nobody serves)",
            vip.address
        );
    }
    text
}

/// The width of `WARN`.
const LABEL: usize = 4;
/// On a terminal.
const WRAP: usize = 110;

/// 1000 x (1 + 0.19): two clocks at 0.083 each, one fast and one slow, differ by 1.083 / 0.917.
const LEAST_SANE_RATE: u64 = 1_190;

#[cfg(test)]
mod tests;
