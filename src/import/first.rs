//! A first twinbeat.toml of what two machines say of themselves and what a person answers. Pure, like all of this room.

use std::net::IpAddr;

use crate::Import;
use crate::draft::{Draft, End, Group, Link, Service, Set, Value, Vip};
use crate::finding::{Findings, Kind};
use crate::network::same;
use crate::text::as_name;
use crate::verify::finish;

/// What a machine says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// Its host name.
    pub host: String,
    /// The addresses of its interfaces that are up, loopback and link-local ones left out, in the kernel's order.
    pub addresses: Vec<Own>,
    /// Its default gateways.
    pub gateways: Vec<IpAddr>,
    /// Its public key, as `twinbeat keygen` prints it; none while there is none.
    pub key: Option<String>,
}

/// An address of a machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Own {
    /// The interface; none where the answers name the address alone.
    pub interface: Option<String>,
    /// The address.
    pub address: IpAddr,
    /// Its network's prefix; none where it is not known.
    pub prefix: Option<u8>,
}

/// What a person says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Answers {
    /// The cluster's name.
    pub cluster: Option<String>,
    /// The group's name.
    pub group: Option<String>,
    /// The addresses that move, the guard first, each with its prefix where it is said.
    pub vips: Vec<(IpAddr, Option<u8>)>,
    /// systemd units that move with them, in the order in which they start.
    pub services: Vec<String>,
    /// The third machines; none: the default gateway.
    pub targets: Vec<IpAddr>,
    /// The node that serves while both can.
    pub preferred: Option<String>,
    /// `default`, `fast` or `classic`.
    pub profile: Option<String>,
}

/// The file for two machines; the first one is where this is asked.
///
/// # Errors
/// What keeps two such machines from being a pair, in words.
pub fn first(nodes: [&Facts; 2], answers: &Answers) -> Result<Import, Vec<String>> {
    let mut wrong = Vec::new();
    let [mine, theirs] = nodes;
    if mine.host == theirs.host {
        wrong.push(format!(
            "both machines are called {}: each node needs a name of its own (hostnamectl set-hostname)",
            mine.host
        ));
    }
    let Some((guard, _)) = answers.vips.first() else {
        wrong.push("no address that moves: --vip ADDRESS".to_owned());
        return Err(wrong);
    };
    let of = |node: &Facts| format!("an interface of {} with an address in a network that both nodes have", node.host);
    let mut draft = Draft {
        head: "twinbeat.toml, made by `twinbeat init`".to_owned(),
        cluster: match &answers.cluster {
            Some(name) => (name.clone(), "--cluster".to_owned()),
            None => ("pair".to_owned(), "--cluster says another one".to_owned()),
        },
        port: None,
        nodes: nodes.map(|node| Set::known(node.host.clone(), "its host name")),
        keys: nodes.map(|node| node.key.clone()),
        links: Vec::new(),
        witness: 0,
        targets: Vec::new(),
        timing: answers.profile.iter().map(|word| ("profile", format!("{word:?}"), "--profile".to_owned())).collect(),
        groups: Vec::new(),
        log: Vec::new(),
        findings: Findings::default(),
    };
    let vips: Vec<IpAddr> = answers.vips.iter().map(|(address, _)| *address).collect();
    let common = common(nodes, &vips);
    // The public side first, so that it is called so.
    let public = common.iter().position(|(own, _)| own.prefix.is_some_and(|prefix| same(own.address, *guard, prefix)));
    let Some(public) = public else {
        let has = |node: &Facts| format!("{} has {}", node.host, listed(&node.addresses));
        wrong.push(format!(
            "{guard} lies in no network that both machines have: {}; {}. The address that moves belongs into the network of the nodes' own ones",
            has(mine),
            has(theirs)
        ));
        return Err(wrong);
    };
    for (place, (own, other)) in common.iter().enumerate() {
        let wish = match (&own.interface, &other.interface) {
            _ if place == public => "lan".to_owned(),
            (Some(one), Some(two)) if one == two => one.clone(),
            _ => "link".to_owned(),
        };
        let end = |own: &Own, node: &Facts| End {
            interface: match &own.interface {
                Some(name) => Set::known(name.clone(), of(node)),
                None => Set::fill_in(format!("the interface of {} on {}", own.address, node.host), "--peer-address"),
            },
            address: Set::known(own.address, of(node)),
        };
        let link = Link {
            name: draft.free_link_name(&wish),
            ends: [end(own, mine), end(other, theirs)],
            seen: vec![own.address, other.address],
        };
        draft.links.push(link);
    }
    draft.witness = public;
    let network = common.get(public).map(|(own, _)| own.clone());
    draft.targets = targets(nodes, answers, network.as_ref(), &mut draft.findings);
    let group = group(nodes, answers, &draft, &common, &mut wrong);
    draft.groups.push(group);
    draft.second_link("of another path between the nodes: a cable of its own is best");
    if wrong.is_empty() { Ok(finish(draft)) } else { Err(wrong) }
}

/// The networks that both have, an interface of each node once. One and the same address on both is no path between them: a bridge for guests.
fn common(nodes: [&Facts; 2], vips: &[IpAddr]) -> Vec<(Own, Own)> {
    let mut all: Vec<(Own, Own)> = Vec::new();
    let moves = |own: &&Own| !vips.contains(&own.address);
    for own in nodes[0].addresses.iter().filter(moves) {
        let Some(prefix) = own.prefix.filter(|prefix| *prefix < if own.address.is_ipv4() { 31 } else { 127 }) else { continue };
        let near = |other: &&Own| other.address != own.address && same(other.address, own.address, prefix);
        let free = |other: &&Own| {
            let taken = |one: &Option<String>, two: &Option<String>| one.is_some() && one == two;
            !all.iter().any(|(mine, theirs)| {
                taken(&mine.interface, &own.interface)
                    || taken(&theirs.interface, &other.interface)
                    || theirs.address == other.address
            })
        };
        let found = nodes[1].addresses.iter().filter(moves).find(|other| near(other) && free(other)).cloned();
        all.extend(found.map(|other| (own.clone(), other)));
    }
    all
}

fn targets(nodes: [&Facts; 2], answers: &Answers, network: Option<&Own>, findings: &mut Findings) -> Vec<Set<IpAddr>> {
    if !answers.targets.is_empty() {
        return answers.targets.iter().map(|target| Set::known(*target, "--witness")).collect();
    }
    let within = |gateway: &IpAddr| {
        let link_local = matches!(gateway, IpAddr::V6(v6) if v6.is_unicast_link_local());
        network.is_some_and(|own| {
            own.address.is_ipv4() == gateway.is_ipv4()
                && (link_local || own.prefix.is_some_and(|p| same(own.address, *gateway, p)))
        })
    };
    let [mine, theirs] = nodes.map(|node| node.gateways.iter().copied().find(&within));
    let Some(gateway) = mine else {
        let hint = "a third machine in the network of the address that moves; it answers pings, as a rule the gateway";
        return vec![Set::fill_in(hint, format!("{} has no default gateway there; --witness", nodes[0].host))];
    };
    if let Some(other) = theirs.filter(|other| *other != gateway) {
        let text = format!(
            "the witness is {gateway}, the default gateway of {}; {} has {other}: --witness says another one",
            nodes[0].host, nodes[1].host
        );
        findings.add(Kind::Assumed, None, text);
    }
    vec![Set::known(gateway, "the default gateway; three hosts are better than one: a majority must answer")]
}

fn group(nodes: [&Facts; 2], answers: &Answers, draft: &Draft, common: &[(Own, Own)], wrong: &mut Vec<String>) -> Group {
    let mut vips = Vec::new();
    for (address, said) in &answers.vips {
        let on = common.iter().position(|(own, _)| own.prefix.is_some_and(|prefix| same(own.address, *address, prefix)));
        let Some((place, (own, _))) = on.and_then(|place| Some((place, common.get(place)?))) else {
            wrong.push(format!("{address} lies in no network that both machines have"));
            continue;
        };
        let from = if said.is_some() { "--vip".to_owned() } else { format!("--vip; the prefix of {}", own.address) };
        vips.push(Vip { address: Value::Known(*address), prefix: said.or(own.prefix), link: place, label: None, from });
    }
    let preferred = answers.preferred.as_ref().and_then(|name| {
        let place = nodes.iter().position(|node| node.host == *name);
        if place.is_none() {
            wrong.push(format!("--preferred {name}: allowed: {}, {}", nodes[0].host, nodes[1].host));
        }
        Some((place?, "--preferred".to_owned()))
    });
    let service = |unit: &String| Service { kind: "systemd", name: unit.clone(), more: Vec::new(), from: "--service".to_owned() };
    let mut notes = Vec::new();
    if answers.services.is_empty() {
        notes.push("No service moves with it: --service UNIT, or docs/SERVICES.md.".to_owned());
    } else {
        notes.push("Warm services run on both nodes and make a move quicker (warm = true); checks of what clients see: docs/SERVICES.md.".to_owned());
    }
    Group {
        name: draft.free_group_name(&as_name(answers.group.as_deref().unwrap_or("main"), "group")),
        from: if answers.group.is_some() { "--group".to_owned() } else { "--group says another one".to_owned() },
        preferred,
        failback: ("\"auto\"".to_owned(), "where a preferred node is named".to_owned()),
        vips,
        routes: Vec::new(),
        rules: Vec::new(),
        services: answers.services.iter().map(service).collect(),
        track: Vec::new(),
        notes,
    }
}

fn listed(addresses: &[Own]) -> String {
    let one = |own: &Own| match (&own.interface, own.prefix) {
        (Some(interface), Some(prefix)) => format!("{}/{prefix} on {interface}", own.address),
        _ => own.address.to_string(),
    };
    if addresses.is_empty() { "no address".to_owned() } else { addresses.iter().map(one).collect::<Vec<_>>().join(", ") }
}
