//! The one conversion from the file's shape to its meaning.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ed25519_dalek::VerifyingKey;
use serde::Serialize;
use toml::Spanned;

use super::checked::Config;
use super::error::{ConfigError, Found, Problem};
use super::parts::{GroupConfig, Island, JournalConfig, LinkConfig, LogConfig, NodeConfig, RELAY, VipConfig, WitnessConfig};
use super::place::At;
use super::raw::{RawConfig, RawJournal, RawLink, RawLog, RawNode, RawWitness};
use super::source::Source;
use super::value::{address, duration, family, interface, link_id, name, parse_address, whole};
use super::{fence, groups, hooks, keys, metrics, realtime, size, timing};
use twinbeat_core::id::Name;
use twinbeat_core::settings::Timing;
use twinbeat_core::time::Span;
use twinbeat_wire as wire;

/// The port of the heartbeats when the file names none.
pub const DEFAULT_PORT: u16 = 694;
/// The most links, the relay aside: each costs room in every heartbeat.
pub const MOST_LINKS: usize = 8;
/// The most witness targets.
pub const MOST_TARGETS: usize = 9;

/// Converts the whole file.
pub(super) fn convert(source: Arc<Source>, raw: &RawConfig) -> Result<Config, ConfigError> {
    let mut found = Found::default();
    let cluster = found.keep(name(&source, "cluster", &raw.cluster));
    let port = found.keep(raw.port.as_ref().map_or(Ok(DEFAULT_PORT.into()), |port| whole(&source, port, 1, 65_535)));
    let nodes = nodes(&source, &raw.nodes, &mut found);
    let timing = found.keep(timing::convert(&source, raw.timing.as_ref()));
    let witness = found.keep(witness(&source, &raw.witness, nodes.as_ref(), timing.as_ref()));
    let groups = found.keep(groups::convert(&source, &raw.groups, nodes.as_ref(), witness.as_ref()));
    let (groups, interfaces) = groups.unzip();
    let log = found.keep(log(&source, raw.log.as_ref()));
    let journal = found.keep(journal(&source, raw.journal.as_ref()));
    let realtime = found.keep(realtime::convert(&source, raw.realtime.as_ref()));
    let metrics = found.keep(metrics::convert(&source, raw.metrics.as_ref()));
    let hooks = found.keep(hooks::convert(&source, &raw.hooks, groups.as_deref()));
    if let (Some(nodes), Some(witness), Some(groups)) = (&nodes, &witness, &groups) {
        found.keep(targets_against_vips(&source, &raw.witness, witness, (nodes, groups)));
        found.keep(names_in_a_heartbeat(&source, nodes, groups));
    }
    let whole = || {
        let (cluster, port, nodes, witness, timing) = (cluster?, port? as u16, nodes?, witness?, timing?);
        let (groups, interfaces) = (groups?, interfaces?);
        let digest = digest(&cluster, port, &nodes, &witness, &timing, (&groups, &interfaces))?;
        let (log, journal, realtime, metrics, hooks) = (log?, journal?, realtime?, metrics?, hooks?);
        Some(Config {
            cluster,
            port,
            nodes,
            witness,
            timing,
            groups,
            interfaces,
            log,
            journal,
            realtime,
            metrics,
            hooks,
            digest,
            source,
        })
    };
    let config = whole();
    found.done(config)
}

/// Every name can be told from every other in a heartbeat, which carries them shortened.
fn names_in_a_heartbeat(source: &Source, nodes: &[NodeConfig; 2], groups: &[GroupConfig]) -> Result<(), ConfigError> {
    let mut seen: BTreeMap<u32, &str> = BTreeMap::new();
    let names = nodes[0].links.iter().map(|link| &*link.name).chain([RELAY]).chain(groups.iter().map(|group| &*group.name));
    for name in names {
        if let Some(other) = seen.insert(wire::short(name), name).filter(|other| *other != name) {
            let problem = Problem::NamesAlike { one: other.to_owned(), other: name.to_owned() };
            return Err(source.missing("groups", problem));
        }
    }
    Ok(())
}

/// `[nodes]`: exactly two, with the same links. What is wrong goes into `found`; nothing comes back where the rest of the file cannot be judged by
/// them. A node whose public key alone is wrong has another one in its place.
fn nodes(source: &Source, raw: &BTreeMap<Spanned<String>, Spanned<RawNode>>, found: &mut Found) -> Option<[NodeConfig; 2]> {
    let all: Vec<_> = raw.iter().collect();
    let &[(first, one), (second, two)] = all.as_slice() else {
        let names = raw.keys().map(|name| name.get_ref().as_str()).collect::<Vec<_>>().join(", ");
        let problem = Problem::NotTwoNodes { found: raw.len(), names };
        // The one too many in the file's order, or the only one.
        let mut places: Vec<At> = raw.keys().map(Spanned::span).collect();
        places.sort_by_key(|at| at.start);
        found.add(match places.get(2).or(places.last()) {
            Some(at) => source.error(at.clone(), problem),
            None => source.missing("nodes", problem),
        });
        return None;
    };
    let mut public = |key: &Spanned<String>| {
        found.keep(keys::parse_public(key.get_ref()).map_err(|why| source.error(key.span(), Problem::BadPublicKey(why))))
    };
    let keys = [one, two].map(|raw| public(&raw.get_ref().public_key));
    let next = [one, two].map(|raw| raw.get_ref().next_public_key.as_ref().and_then(&mut public));
    different_keys(source, &[(first, one, [keys[0], next[0]]), (second, two, [keys[1], next[1]])], found);
    let nodes = [(first, one, keys[0], next[0]), (second, two, keys[1], next[1])]
        .map(|(name, raw, key, next)| found.keep(node(source, name, raw.get_ref(), key.unwrap_or_else(nobodys_key), next)));
    let [Some(mine), Some(theirs)] = nodes else { return None };
    let nodes = [mine, theirs];
    found.keep(links_agree(source, &nodes, [&one.get_ref().links, &two.get_ref().links]))?;
    Some(nodes)
}

/// A node with its keys: the one, and the next one.
type Keys<'a> = (&'a Spanned<String>, &'a Spanned<RawNode>, [Option<VerifyingKey>; 2]);

/// No key twice.
fn different_keys(source: &Source, nodes: &[Keys<'_>; 2], found: &mut Found) {
    let mut known: Vec<(&Spanned<String>, VerifyingKey)> = Vec::new();
    for (name, raw, keys) in nodes {
        let raw = raw.get_ref();
        for (key, text) in keys.iter().zip([Some(&raw.public_key), raw.next_public_key.as_ref()]) {
            let (Some(key), Some(text)) = (key, text) else { continue };
            if let Some((other, _)) = known.iter().find(|(_, other)| other == key) {
                found.add(source.error(text.span(), Problem::SameKey(other.get_ref().clone())));
            }
            known.push((name, *key));
        }
    }
}

/// Stands for one that is wrong, which the file is refused for.
fn nobodys_key() -> VerifyingKey {
    ed25519_dalek::SigningKey::from_bytes(&[1; 32]).verifying_key()
}

/// The same links on both nodes, no address twice, one family for a link.
fn links_agree(
    source: &Source,
    nodes: &[NodeConfig; 2],
    links: [&BTreeMap<Spanned<String>, Spanned<RawLink>>; 2],
) -> Result<(), ConfigError> {
    for (mine, (other, theirs)) in [(links[0], (&nodes[1], links[1])), (links[1], (&nodes[0], links[0]))] {
        if let Some(link) = mine.keys().find(|link| !theirs.contains_key(*link)) {
            let has = theirs.keys().map(|l| l.get_ref().as_str()).collect::<Vec<_>>().join(", ");
            let problem = Problem::LinksDiffer { node: other.name.to_string(), link: link.get_ref().clone(), has };
            return Err(source.error(link.span(), problem));
        }
    }
    addresses(source, nodes, links)
}

fn node(
    source: &Source,
    key: &Spanned<String>,
    raw: &RawNode,
    public_key: VerifyingKey,
    next_public_key: Option<VerifyingKey>,
) -> Result<NodeConfig, ConfigError> {
    let mut found = Found::default();
    let node_name = found.keep(name(source, "node", key));
    if raw.links.len() < 2 {
        return Err(source.error(key.span(), Problem::TooFewLinks { found: raw.links.len() }));
    }
    if raw.links.len() > MOST_LINKS {
        return Err(source.error(key.span(), Problem::TooMany { what: "links", found: raw.links.len(), most: MOST_LINKS }));
    }
    let mut links: Vec<LinkConfig> = Vec::new();
    for (key, raw) in &raw.links {
        let Some(link) = found.keep(link(source, key, raw.get_ref())) else { continue };
        if let Some(other) = links.iter().find(|other| other.interface == link.interface) {
            let problem = Problem::SharedInterface { other: other.name.to_string() };
            found.add(source.error(raw.get_ref().interface.span(), problem));
        }
        links.push(link);
    }
    let fence = match &raw.fence {
        Some(raw) => found.keep(fence::convert(source, raw)).map(Some),
        None => Some(None),
    };
    let node = node_name.zip(fence).map(|(name, fence)| NodeConfig { name, public_key, next_public_key, fence, links });
    found.done(node)
}

fn link(source: &Source, key: &Spanned<String>, raw: &RawLink) -> Result<LinkConfig, ConfigError> {
    let mut found = Found::default();
    let name = found.keep(name(source, "link", key));
    if name.as_deref() == Some(RELAY) {
        found.add(source.error(key.span(), Problem::ReservedLink));
    }
    let interface = found.keep(interface(source, &raw.interface));
    let address = found.keep(address(source, &raw.address));
    let whole = || Some(LinkConfig { name: name?, interface: interface?, address: address? });
    let link = whole();
    found.done(link)
}

/// No address twice, and one family for a link.
fn addresses(
    source: &Source,
    nodes: &[NodeConfig; 2],
    raw: [&BTreeMap<Spanned<String>, Spanned<RawLink>>; 2],
) -> Result<(), ConfigError> {
    let mut found = Found::default();
    let mut seen: Vec<(IpAddr, String)> = Vec::new();
    for (node, raw) in nodes.iter().zip(raw) {
        for (link, raw) in node.links.iter().zip(raw.values()) {
            let at = raw.get_ref().address.span();
            if let Some((_, other)) = seen.iter().find(|(address, _)| *address == link.address) {
                found.add(source.error(at, Problem::DuplicateAddress { other: other.clone() }));
                continue;
            }
            seen.push((link.address, format!("link `{}` of {} ({})", link.name, node.name, source.place(&at))));
        }
    }
    for ((one, two), raw) in nodes[0].links.iter().zip(&nodes[1].links).zip(raw[1].values()) {
        if one.address.is_ipv4() != two.address.is_ipv4() {
            let problem = Problem::MixedFamily {
                link: one.name.to_string(),
                node: nodes[0].name.to_string(),
                other: one.address.to_string(),
            };
            found.add(source.error(raw.get_ref().address.span(), problem));
        }
    }
    found.done(Some(()))
}

/// `[witness]`; what depends on nodes that are not known is not judged.
fn witness(
    source: &Source,
    raw: &Spanned<RawWitness>,
    nodes: Option<&[NodeConfig; 2]>,
    timing: Option<&Timing>,
) -> Result<WitnessConfig, ConfigError> {
    let raw = raw.get_ref();
    let mut found = Found::default();
    let link = nodes.and_then(|nodes| found.keep(link_id(source, &raw.link, nodes)));
    let nodes = nodes.map_or(&[][..], |nodes| nodes);
    let ends = link.map(|link| nodes.iter().filter_map(move |node| node.links.get(usize::from(link.0))));
    let wants_v4 = ends.map(|mut ends| ends.any(|end| end.address.is_ipv4()));
    let listed = raw.targets.get_ref();
    if listed.is_empty() {
        found.add(source.error(raw.targets.span(), Problem::NoTargets));
    }
    if listed.len() > MOST_TARGETS {
        let problem = Problem::TooMany { what: "targets", found: listed.len(), most: MOST_TARGETS };
        found.add(source.error(raw.targets.span(), problem));
    }
    let mut targets = Vec::new();
    let mut arp_only: u16 = 0;
    for (place, text) in listed.iter().enumerate().take(MOST_TARGETS) {
        let target = parse_address(&text.get_ref().address).map_err(|why| source.error(text.span(), Problem::BadAddress(why)));
        match text.get_ref().by.as_ref().map(|by| (by.get_ref().as_str(), by.span())) {
            None | Some(("echo", _)) => {}
            Some(("arp", _)) => arp_only |= 1 << place,
            Some((_, at)) => found.add(source.error(at, Problem::Allowed("\"echo\", \"arp\"".to_owned()))),
        }
        let Some(target) = found.keep(target) else { continue };
        if let Some(v4) = wants_v4.filter(|v4| target.is_ipv4() != *v4) {
            let problem = Problem::TargetFamily { link: raw.link.get_ref().clone(), family: family(v4) };
            found.add(source.error(text.span(), problem));
        }
        let own = nodes.iter().flat_map(|node| node.links.iter().map(move |link| (node, link)));
        if let Some((node, link)) = own.into_iter().find(|(_, link)| link.address == target) {
            let problem = Problem::TargetIsOurs(format!("the address of {} on link `{}`", node.name, link.name));
            found.add(source.error(text.span(), problem));
        }
        if targets.contains(&target) {
            let problem = Problem::Duplicate { what: format!("target {target}"), other: source.place(&raw.targets.span()) };
            found.add(source.error(text.span(), problem));
        }
        targets.push(target);
    }
    if !listed.is_empty() && arp_only.count_ones() as usize == listed.len() {
        found.add(source.error(raw.targets.span(), Problem::NoRegister));
    }
    let interval = match &raw.interval {
        Some(value) => found.keep(duration(source, value, Span::millis(10), Span::secs(60))),
        None => timing.map(|timing| timing.heartbeat),
    };
    let mut count = |value: &Option<Spanned<i64>>, default: u32| match value {
        Some(value) => found.keep(whole(source, value, 1, 100).map(|n| n as u32)),
        None => Some(default),
    };
    let (fall, rise) = (count(&raw.fall, 3), count(&raw.rise, 5));
    let island = match raw.island.as_ref().map(|word| (word.get_ref().as_str(), word.span())) {
        None | Some(("release", _)) => Island::Release,
        Some(("hold", _)) => Island::Hold,
        Some((_, at)) => {
            found.add(source.error(at, Problem::Allowed("\"release\", \"hold\"".to_owned())));
            Island::Release
        }
    };
    let relay = raw.relay.unwrap_or(true);
    let whole =
        || Some(WitnessConfig { link: link?, targets, arp_only, relay, interval: interval?, fall: fall?, rise: rise?, island });
    let witness = whole();
    found.done(witness)
}

/// A witness is a third machine, and holds a neighbour entry for each guard VIP.
fn targets_against_vips(
    source: &Source,
    raw: &Spanned<RawWitness>,
    witness: &WitnessConfig,
    (nodes, groups): (&[NodeConfig; 2], &[GroupConfig]),
) -> Result<(), ConfigError> {
    // Where the nodes have no address in the VIP's network, the file does not say which one they share with the witness.
    let homed =
        |guard: &VipConfig| nodes[0].links.get(usize::from(guard.link.0)).is_some_and(|own| guard.network_holds(own.address));
    for (target, text) in witness.targets.iter().zip(raw.get_ref().targets.get_ref()) {
        for group in groups {
            if let Some(vip) = group.vips.iter().find(|vip| vip.address == *target) {
                let problem = Problem::TargetIsOurs(format!("the VIP {vip} of group `{}`", group.name));
                return Err(source.error(text.span(), problem));
            }
            // A router's link-local address is on every one of its links.
            let everywhere = matches!(target, IpAddr::V6(v6) if v6.is_unicast_link_local());
            if let Some(guard) = group.vips.first().filter(|guard| !everywhere && homed(guard) && !guard.network_holds(*target)) {
                return Err(source.error(text.span(), Problem::TargetOffLink { vip: guard.to_string() }));
            }
        }
    }
    Ok(())
}

/// `[log]`.
fn log(source: &Source, raw: Option<&RawLog>) -> Result<LogConfig, ConfigError> {
    let none = RawLog::default();
    let raw = raw.unwrap_or(&none);
    let mut found = Found::default();
    let level = match raw.level.as_ref().map(|word| (word.get_ref().as_str(), word.span())) {
        None | Some(("info", _)) => tracing::Level::INFO,
        Some(("error", _)) => tracing::Level::ERROR,
        Some(("warn", _)) => tracing::Level::WARN,
        Some(("debug", _)) => tracing::Level::DEBUG,
        Some(("trace", _)) => tracing::Level::TRACE,
        Some((_, at)) => {
            let allowed = "\"error\", \"warn\", \"info\", \"debug\", \"trace\"".to_owned();
            found.add(source.error(at, Problem::Allowed(allowed)));
            tracing::Level::INFO
        }
    };
    let path = |value: &Option<Spanned<String>>| match value {
        None => Ok(None),
        Some(value) if value.get_ref().starts_with('/') && !value.get_ref().contains('\0') => Ok(Some(value.get_ref().into())),
        Some(value) => Err(source.error(value.span(), Problem::Allowed("an absolute path".to_owned()))),
    };
    let syslog = match &raw.syslog {
        None => None,
        Some(word) => match FACILITIES.into_iter().find(|facility| facility == word.get_ref()) {
            Some(facility) => Some(facility),
            None => {
                found.add(source.error(word.span(), Problem::Allowed(FACILITIES.join(", "))));
                None
            }
        },
    };
    let (file, debug_file) = (found.keep(path(&raw.file)), found.keep(path(&raw.debug_file)));
    let log = file.zip(debug_file);
    found.done(log.map(|(file, debug_file)| LogConfig { level, file, debug_file, syslog, journald: raw.journald }))
}

/// `[journal]`.
fn journal(source: &Source, raw: Option<&RawJournal>) -> Result<JournalConfig, ConfigError> {
    let Some(value) = raw.and_then(|raw| raw.keep.as_ref()) else { return Ok(JournalConfig { keep: size::DEFAULT_KEEP }) };
    match size::parse(value.get_ref()).filter(|keep| (size::LEAST_KEEP..=size::MOST_KEEP).contains(keep)) {
        Some(keep) => Ok(JournalConfig { keep }),
        None => Err(source.error(value.span(), Problem::Allowed(size::ALLOWED.to_owned()))),
    }
}

/// blake3 over a canonical form (JSON, fields in the order written here), first eight bytes.
fn digest(
    cluster: &Name,
    port: u16,
    nodes: &[NodeConfig; 2],
    witness: &WitnessConfig,
    timing: &Timing,
    (groups, interfaces): (&[GroupConfig], &[[Name; 2]]),
) -> Option<u64> {
    #[derive(Serialize)]
    struct Canonical<'a> {
        format: &'static str,
        cluster: &'a Name,
        port: u16,
        nodes: Vec<(&'a Name, [u8; 32], &'a [LinkConfig])>,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        next_keys: Vec<(&'a Name, [u8; 32])>,
        witness: &'a WitnessConfig,
        timing: &'a Timing,
        groups: &'a [GroupConfig],
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        interfaces: &'a [[Name; 2]],
    }
    let next_keys = nodes.iter().filter_map(|node| Some((&node.name, node.next_public_key?.to_bytes()))).collect();
    let nodes = nodes.iter().map(|node| (&node.name, node.public_key.to_bytes(), node.links.as_slice())).collect();
    let canonical =
        Canonical { format: "twinbeat configuration 1", cluster, port, nodes, next_keys, witness, timing, groups, interfaces };
    let bytes = serde_json::to_vec(&canonical).ok()?;
    let hash = blake3::hash(&bytes);
    Some(hash.as_bytes().iter().take(8).fold(0, |digest, byte| digest << 8 | u64::from(*byte)))
}

/// syslog(3)'s facilities.
const FACILITIES: [&str; 17] = [
    "auth", "authpriv", "cron", "daemon", "ftp", "lpr", "mail", "news", "user", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];
