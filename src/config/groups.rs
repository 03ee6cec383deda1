//! `[[groups]]`: the VIPs and services that move together.

use std::net::IpAddr;
use std::path::PathBuf;

use toml::Spanned;

use super::error::{ConfigError, Found, Problem};
use super::interfaces::Interfaces;
use super::network::{mask_v4, network, same_network};
use super::ocf;
use super::parts::{GroupConfig, LinkConfig, LsbConfig, NodeConfig, ServiceConfig, ServiceKind, VipConfig, WitnessConfig};
use super::place::At;
use super::raw::{RawFailback, RawGroup, RawService, RawVip};
use super::raw_duration::RawDuration;
use super::route::{Place, RuleConfig};
use super::routes::{self, Around};
use super::source::Source;
use super::value::{duration, duration_or, family, link_id, name, program, unicast, whole};
use twinbeat_core::id::{LinkId, Name, NodeId};
use twinbeat_core::settings::{Failback, StopFailure};
use twinbeat_core::time::Span;

/// The most groups: more than a pair has been tried with.
pub const MOST_GROUPS: usize = 64;
/// The most VIPs of a group, and the most services.
pub const MOST_EACH: usize = 64;
/// How long a start may take when the file does not say.
pub const START_TIMEOUT: Span = Span::secs(30);
/// How long a stop may take when the file does not say.
pub const STOP_TIMEOUT: Span = Span::secs(20);

/// The shortest and the longest of both.
const TIMEOUTS: (Span, Span) = (Span::millis(100), Span::secs(3_600));
/// Restarts on the spot when the file does not say.
pub const RESTARTS: u32 = 1;
/// When a restart is forgotten when the file does not say.
pub const RESTART_WINDOW: Span = Span::secs(60);
/// The shortest and the longest.
const WINDOWS: (Span, Span) = (Span::secs(1), super::duration::LONGEST);

/// What stands in some group already, and where: nothing may be in two.
#[derive(Default)]
struct Taken {
    names: Vec<(Name, At)>,
    vips: Vec<(IpAddr, At)>,
    services: Vec<(ServiceKind, At)>,
    routes: Vec<(Place, At)>,
    rules: Vec<(RuleConfig, At)>,
}

/// All groups. Where nodes or witness are not known, what depends on them is not judged, and no group comes of it.
pub(super) fn convert(
    source: &Source,
    raw: &[Spanned<RawGroup>],
    nodes: Option<&[NodeConfig; 2]>,
    witness: Option<&WitnessConfig>,
) -> Result<(Vec<GroupConfig>, Vec<[Name; 2]>), ConfigError> {
    if raw.is_empty() {
        return Err(source.at_end("groups", Problem::NoGroups));
    }
    let (mut taken, mut found) = (Taken::default(), Found::default());
    if let Some(over) = raw.get(MOST_GROUPS) {
        let problem = Problem::TooMany { what: "groups", found: raw.len(), most: MOST_GROUPS };
        return Err(source.error(over.get_ref().name.span(), problem));
    }
    // What is wrong with one is said where it stands.
    let vips: Vec<IpAddr> = raw.iter().flat_map(|group| addresses(group.get_ref())).collect();
    let first =
        |nodes: &[NodeConfig; 2], witness: &WitnessConfig| nodes[0].links.len().saturating_add(usize::from(witness.relay));
    let mut interfaces =
        nodes.zip(witness).map(|(nodes, witness)| Interfaces { nodes, first: first(nodes, witness), all: Vec::new() });
    let mut one = |raw: &Spanned<RawGroup>| {
        let around = (&mut taken, &*vips, interfaces.as_mut());
        found.keep(group(source, raw.get_ref(), nodes, witness, around))?
    };
    let groups: Vec<_> = raw.iter().filter_map(&mut one).collect();
    found.done(Some((groups, interfaces.map(|all| all.all).unwrap_or_default())))
}

fn group(
    source: &Source,
    raw: &RawGroup,
    nodes: Option<&[NodeConfig; 2]>,
    witness: Option<&WitnessConfig>,
    (taken, all_vips, mut interfaces): (&mut Taken, &[IpAddr], Option<&mut Interfaces<'_>>),
) -> Result<Option<GroupConfig>, ConfigError> {
    let mut found = Found::default();
    let at = raw.name.span();
    let name = found.keep(name(source, "group", &raw.name));
    if let Some(name) = &name {
        found.keep(take(source, &mut taken.names, name.clone(), at.clone(), || format!("group `{name}`")));
    }
    for (what, number) in
        [("vips", raw.vips.len()), ("services", raw.services.len()), ("routes", raw.routes.len()), ("rules", raw.rules.len())]
    {
        if number > MOST_EACH {
            found.add(source.error(at.clone(), Problem::TooMany { what, found: number, most: MOST_EACH }));
            return found.done(None);
        }
    }
    if raw.vips.is_empty() {
        found.add(source.error(at, Problem::NoVips));
    }
    let mut vips = Vec::new();
    for (place, raw) in raw.vips.iter().enumerate() {
        let Some(vip) = found.keep(vip(source, raw.get_ref(), interfaces.as_deref_mut())).flatten() else { continue };
        let at = raw.get_ref().address.span();
        found.keep(take(source, &mut taken.vips, vip.address, at.clone(), || format!("the VIP {}", vip.address)));
        if let (0, Some(nodes), Some(witness)) = (place, nodes, witness) {
            found.keep(guard(source, &vip, at, nodes, witness));
        }
        vips.push(vip);
    }
    let own = addresses(raw);
    let around = Around { source, addresses: &own, vips: &vips, nodes };
    let routes = routes::each(
        source,
        &raw.routes,
        &mut found,
        &mut taken.routes,
        |raw| around.route(raw),
        |route| route.place(),
        |route| format!("the route to {} (table {}, metric {})", route.to, route.table, route.metric),
    );
    let rules = routes::each(
        source,
        &raw.rules,
        &mut found,
        &mut taken.rules,
        |raw| around.rule(raw).map(Some),
        RuleConfig::clone,
        |rule| format!("the rule of priority {}", rule.priority),
    );
    let mut services = Vec::new();
    for raw in &raw.services {
        let Some(service) = found.keep(service(source, raw, all_vips)) else { continue };
        found.keep(take(source, &mut taken.services, service.kind.clone(), raw.span(), || {
            format!("the service {}", service.kind)
        }));
        services.push(service);
    }
    let preferred = nodes.and_then(|nodes| found.keep(preferred(source, raw.preferred.as_ref(), nodes)));
    let failback = found.keep(failback(source, raw.failback.as_ref()));
    let stop_failure = found.keep(stop_failure(source, raw, nodes));
    let mut track = Vec::new();
    for raw in &raw.track {
        let id = interfaces.as_deref_mut().and_then(|interfaces| found.keep(interfaces.id(source, raw)));
        track.extend(id.filter(|id| !track.contains(id)));
    }
    let whole = || {
        let (name, preferred, failback, stop_failure) = (name?, preferred?, failback?, stop_failure?);
        Some(GroupConfig { name, preferred, failback, vips, routes, rules, services, stop_failure, track })
    };
    let group = whole();
    found.done(Some(group))
}

/// A group's VIPs by the text alone.
fn addresses(raw: &RawGroup) -> Vec<IpAddr> {
    raw.vips.iter().filter_map(|vip| vip.get_ref().address.get_ref().split_once('/')?.0.parse().ok()).collect()
}

/// Notes something that may stand in the file once, or says where it stands already.
fn take<T: PartialEq>(
    source: &Source,
    taken: &mut Vec<(T, At)>,
    thing: T,
    at: At,
    what: impl Fn() -> String,
) -> Result<(), ConfigError> {
    if let Some((_, other)) = taken.iter().find(|(other, _)| *other == thing) {
        return Err(source.error(at, Problem::Duplicate { what: what(), other: source.place(other) }));
    }
    taken.push((thing, at));
    Ok(())
}

fn preferred(source: &Source, raw: Option<&Spanned<String>>, nodes: &[NodeConfig; 2]) -> Result<Option<NodeId>, ConfigError> {
    let Some(raw) = raw else { return Ok(None) };
    match (0u8..).zip(nodes).find(|(_, node)| &*node.name == raw.get_ref().as_str()) {
        Some((id, _)) => Ok(Some(NodeId(id))),
        None => {
            let names = format!("{}, {} (or no `preferred`: stay where you are)", nodes[0].name, nodes[1].name);
            Err(source.error(raw.span(), Problem::UnknownNode(names)))
        }
    }
}

/// Of services that must not run twice; the peer turns a node off only where the file says how.
fn stop_failure(source: &Source, raw: &RawGroup, nodes: Option<&[NodeConfig; 2]>) -> Result<StopFailure, ConfigError> {
    let Some(word) = &raw.stop_failure else { return Ok(StopFailure::Block) };
    let bad = |what: &str| Err(source.error(word.span(), Problem::Allowed(what.to_owned())));
    let value = match word.get_ref().as_str() {
        "block" => StopFailure::Block,
        "fence" => StopFailure::Fence,
        "reboot" => StopFailure::Reboot,
        _ => return bad("\"block\", \"fence\", \"reboot\""),
    };
    if value != StopFailure::Block && raw.services.iter().all(|service| service.get_ref().warm) {
        return bad("no other than \"block\" where no service is one that must not run twice");
    }
    if value == StopFailure::Fence && nodes.is_some_and(|nodes| nodes.iter().any(|node| node.fence.is_none())) {
        return bad("\"fence\" only where the file says of both nodes how they are turned off (nodes.NAME.fence)");
    }
    Ok(value)
}

fn failback(source: &Source, raw: Option<&Spanned<RawFailback>>) -> Result<Failback, ConfigError> {
    let Some(raw) = raw else { return Ok(Failback::Auto) };
    match raw.get_ref() {
        RawFailback::Word(word) if word == "auto" => Ok(Failback::Auto),
        RawFailback::Word(word) if word == "manual" => Ok(Failback::Manual),
        RawFailback::Word(_) => {
            let allowed = "\"auto\", \"manual\" or { after = \"30s\" }".to_owned();
            Err(source.error(raw.span(), Problem::Allowed(allowed)))
        }
        RawFailback::After(span) => duration(source, span, Span::millis(1), super::duration::LONGEST).map(Failback::After),
    }
}

/// A VIP's prefix is always written, so its network is known. In the link's own family the network holds the address of both nodes there, or of
/// neither; in the other family, and on an interface that is no link's, the file knows no address of theirs, and the written prefix is taken.
/// `None` while the nodes are not known.
fn vip(source: &Source, raw: &RawVip, interfaces: Option<&mut Interfaces<'_>>) -> Result<Option<VipConfig>, ConfigError> {
    let at = raw.address.span();
    let bad = |why| source.error(at.clone(), Problem::BadVip(why));
    let (address, prefix) = raw.address.get_ref().split_once('/').ok_or_else(|| bad("it has no prefix"))?;
    let address =
        address.parse::<IpAddr>().map_err(|_| bad(super::value::no_address(address))).and_then(|a| unicast(a).map_err(bad))?;
    if address.is_loopback() {
        return Err(bad("a loopback address"));
    }
    let most = if address.is_ipv4() { 32 } else { 128 };
    let digits = !prefix.is_empty() && prefix.bytes().all(|b| b.is_ascii_digit());
    let prefix = prefix.parse::<u8>().ok().filter(|p| digits && (1..=most).contains(p));
    let prefix =
        prefix.ok_or_else(|| bad(if most == 32 { "the prefix is not 1 to 32" } else { "the prefix is not 1 to 128" }))?;
    let Some(interfaces) = interfaces else { return Ok(None) };
    let nodes = interfaces.nodes;
    let link = match (&raw.link, &raw.interface) {
        (Some(link), None) => link_id(source, link, nodes)?,
        (None, Some(interface)) => interfaces.id(source, interface)?,
        _ => return Err(bad("it has no place; allowed: either `link`, or `interface` for one without heartbeats")),
    };
    if nodes.iter().flat_map(|node| &node.links).any(|own| own.address == address) {
        return Err(bad("a node's own address, which cannot move"));
    }
    // A network of neither node is somebody's intention; one that holds half of the pair is a slip.
    let ends: Vec<_> = nodes.iter().filter_map(|node| Some((node, node.links.get(usize::from(link.0))?))).collect();
    let outside = |own: &LinkConfig| own.address.is_ipv4() == address.is_ipv4() && !same_network(address, own.address, prefix);
    if let Some((node, own)) = ends.iter().find(|(_, own)| outside(own))
        && !ends.iter().all(|(_, own)| outside(own))
    {
        let problem = Problem::VipOutside {
            network: network(address, prefix),
            address: own.address.to_string(),
            node: node.name.to_string(),
            link: own.name.to_string(),
        };
        return Err(source.error(at.clone(), problem));
    }
    if let IpAddr::V4(v4) = address {
        let host = u32::from(v4) & !mask_v4(prefix);
        if prefix < 31 && (host == 0 || host == !mask_v4(prefix)) {
            return Err(bad("the network's own or its broadcast address"));
        }
    }
    let label = raw.label.as_ref().map(|label| self::label(source, label, address, link, interfaces)).transpose()?;
    Ok(Some(VipConfig { address, prefix, link, label }))
}

/// `0` means `eth0:0` where the link's interface is `eth0`; the kernel takes 15 bytes in all (IFNAMSIZ less its zero).
fn label(
    source: &Source,
    raw: &Spanned<String>,
    address: IpAddr,
    link: LinkId,
    interfaces: &Interfaces<'_>,
) -> Result<Name, ConfigError> {
    let text = raw.get_ref();
    let bad = |why: String| Err(source.error(raw.span(), Problem::BadLabel(why)));
    if address.is_ipv6() {
        return bad("the kernel labels IPv4 addresses only".to_owned());
    }
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
        return bad("it is empty or has other characters".to_owned());
    }
    for (index, node) in interfaces.nodes.iter().enumerate() {
        let Some(interface) = interfaces.name(link, index) else { continue };
        let whole = format!("{interface}:{text}");
        if whole.len() > 15 {
            return bad(format!("`{whole}` on {} has {} bytes", node.name, whole.len()));
        }
    }
    Ok(text.as_str().into())
}

/// The first VIP carries the grounds: the witness must be able to answer it (SAFETY R2).
fn guard(source: &Source, vip: &VipConfig, at: At, nodes: &[NodeConfig; 2], witness: &WitnessConfig) -> Result<(), ConfigError> {
    let v4 = witness.targets.iter().any(IpAddr::is_ipv4);
    if vip.link == witness.link && vip.address.is_ipv4() == v4 {
        return Ok(());
    }
    let link = nodes[0].links.get(usize::from(witness.link.0)).map(|link| link.name.to_string()).unwrap_or_default();
    Err(source.error(at, Problem::BadGuard { link, family: family(v4) }))
}

fn service(source: &Source, spanned: &Spanned<RawService>, file_vips: &[IpAddr]) -> Result<ServiceConfig, ConfigError> {
    let raw = spanned.get_ref();
    let bad = |at: At, why: &str| Err(source.error(at, Problem::BadService(why.to_owned())));
    let kind = match (&raw.systemd, &raw.process, &raw.lsb, &raw.ocf) {
        (Some(unit), None, None, None) => match systemd_unit(unit.get_ref()) {
            Some(unit) => ServiceKind::Systemd(unit),
            None => return bad(unit.span(), "not a unit's name"),
        },
        (None, Some(argv), None, None) => match argv.get_ref().first() {
            None => return bad(argv.span(), "no program"),
            Some(program) if program.is_empty() || argv.get_ref().iter().any(|arg| arg.contains('\0')) => {
                return bad(argv.span(), "an empty program name, or a zero byte");
            }
            Some(_) => ServiceKind::Process(argv.get_ref().clone()),
        },
        (None, None, Some(script), None) => match lsb_script(script.get_ref()) {
            Some(path) => ServiceKind::Lsb(LsbConfig { script: path, arguments: arguments(source, raw.arguments.as_ref())? }),
            None => return bad(script.span(), "not an init script's name or absolute path"),
        },
        (None, None, None, Some(name)) => ServiceKind::Ocf(ocf::convert(source, raw, name)?),
        (None, None, None, None) => return bad(spanned.span(), "no kind of service"),
        _ => return bad(spanned.span(), "more than one kind of service"),
    };
    let allowed = |at: At, what: &str| Err(source.error(at, Problem::Allowed(what.to_owned())));
    if let Some((at, what)) = ocf::odd_keys(raw).filter(|_| raw.ocf.is_none()) {
        return allowed(at, what);
    }
    if let (Some(arguments), None) = (&raw.arguments, &raw.lsb) {
        return allowed(arguments.span(), "`arguments` only beside `lsb`");
    }
    let timeout = |value: &Option<Spanned<RawDuration>>, default| duration_or(source, value.as_ref(), TIMEOUTS, default);
    Ok(ServiceConfig {
        kind,
        warm: raw.warm,
        start_timeout: timeout(&raw.start_timeout, START_TIMEOUT)?,
        stop_timeout: timeout(&raw.stop_timeout, STOP_TIMEOUT)?,
        checks: super::checks::convert(source, raw.check.as_ref(), file_vips)?,
        validate: raw.validate.as_ref().map(|argv| program(source, argv)).transpose()?,
        restarts: match &raw.restarts {
            Some(number) => whole(source, number, 0, 100)?.try_into().unwrap_or_default(),
            None => RESTARTS,
        },
        restart_window: duration_or(source, raw.restart_window.as_ref(), WINDOWS, RESTART_WINDOW)?,
    })
}

/// With its suffix, so that `nginx` and `nginx.service` are the same.
fn systemd_unit(text: &str) -> Option<Name> {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'@' | b':' | b'\\');
    if text.is_empty() || text.len() > 255 || text.starts_with(['-', '.']) || !text.bytes().all(good) {
        return None;
    }
    const SUFFIXES: [&str; 4] = [".service", ".target", ".socket", ".mount"];
    let whole = SUFFIXES.iter().any(|suffix| text.ends_with(suffix));
    Some(if whole { text.into() } else { format!("{text}.service").into() })
}

/// What heartbeat 1 put before the action: `SCRIPT ARGUMENT ARGUMENT start`.
fn arguments(source: &Source, raw: Option<&Spanned<Vec<String>>>) -> Result<Vec<String>, ConfigError> {
    let Some(raw) = raw else { return Ok(Vec::new()) };
    let words = raw.get_ref();
    if words.len() > MOST_EACH || words.iter().any(|word| word.contains('\0')) {
        let what = format!("at most {MOST_EACH} arguments, without zero bytes");
        return Err(source.error(raw.span(), Problem::Allowed(what)));
    }
    Ok(words.clone())
}

fn lsb_script(text: &str) -> Option<PathBuf> {
    if text.contains('\0') || text.is_empty() {
        return None;
    }
    if text.starts_with('/') {
        return Some(PathBuf::from(text));
    }
    (!text.contains('/') && !text.starts_with(['.', '-'])).then(|| PathBuf::from("/etc/init.d").join(text))
}
