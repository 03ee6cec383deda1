//! One or two nodes' files, put together.

use super::address;
use super::conf::{Conf, Instance};
use super::routes;
use super::watched;
use crate::Options;
use crate::draft::{Draft, End, Group, Link, Set, Value, Vip};
use crate::finding::{Findings, Kind};
use crate::text::{Place, Wrong, as_name, is_name, quoted, shown};
use crate::timing::written;
use twinbeat_core::time::Span;

/// The draft; none where the files cannot be those of a pair, and then `wrong` says why.
pub(super) fn draft(read: &[Conf], options: &Options, wrong: &mut Vec<Wrong>) -> Option<Draft> {
    let first = read.first()?;
    for instance in read.iter().flat_map(|conf| &conf.instances) {
        if let Some((address, place)) = instance.peers.get(1) {
            let words = format!("{address} is a third node; twinbeat is for exactly two");
            wrong.push(Wrong::new(place.clone(), words));
        }
    }
    let mut findings = Findings::default();
    let nodes = names(read, options, &mut findings, wrong);
    let mut files: Vec<&str> = read.iter().map(|conf| conf.file.as_str()).collect();
    files.dedup();
    let known: Vec<&str> =
        nodes.iter().filter_map(|node| node.value.known()).map(|name| name.split('.').next().unwrap_or(name)).collect();
    let joined = known.join("-");
    let (cluster, from) = match &options.cluster {
        Some(name) => (name.clone(), "--cluster"),
        None if known.len() == 2 && is_name(&joined) => (joined, "keepalived has none: any name will do"),
        None => ("pair".to_owned(), "keepalived has none: any name will do"),
    };
    let mut draft = Draft {
        head: format!("twinbeat.toml, made by `twinbeat import keepalived` of {}", files.join(" and ")),
        cluster: (cluster, from.to_owned()),
        port: None,
        nodes,
        keys: [None, None],
        links: Vec::new(),
        witness: 0,
        targets: Vec::new(),
        timing: timing(read, &mut findings),
        groups: Vec::new(),
        log: Vec::new(),
        findings,
    };
    for instance in &first.instances {
        link(&mut draft, instance, other(read, instance));
    }
    groups(&mut draft, read);
    if draft.groups.is_empty() {
        wrong.push(Wrong::new(Place::file(&first.file), "no vrrp_instance has a virtual address: nothing in this file moves"));
        return None;
    }
    draft.witness = draft.groups.iter().flat_map(|group| &group.vips).map(|vip| vip.link).next().unwrap_or_default();
    let hint = if draft.targets_are_v4() { "the gateway's address" } else { "the gateway's IPv6 address" };
    draft.targets.push(Set::fill_in(hint, "keepalived asks nobody; three hosts of the public network are better than one"));
    draft.second_link("of another path between the nodes: a cable of its own is best");
    for conf in read {
        for finding in &conf.findings.0 {
            draft.findings.add(finding.kind, finding.place.clone(), &finding.text);
        }
    }
    Some(draft)
}

/// The other node's instance of that name.
fn other<'a>(read: &'a [Conf], instance: &Instance) -> Option<&'a Instance> {
    read.get(1)?.instances.iter().find(|other| other.name == instance.name)
}

/// keepalived has no names of nodes: as they are given, else as `router_id` says on two nodes.
fn names(read: &[Conf], options: &Options, findings: &mut Findings, wrong: &mut Vec<Wrong>) -> [Set<String>; 2] {
    let routers: Vec<&str> = read.iter().filter_map(|conf| conf.router.as_ref()).map(|(name, _)| name.as_str()).collect();
    let [one, two] = [0, 1].map(|n| {
        if let Some(name) = options.nodes.get(n) {
            if !is_name(name) {
                let words = format!("--node {}: no name: 1 to 32 letters, digits, `-`, `_` and `.`", shown(name));
                wrong.push(Wrong::new(Place::file("the command line"), words));
            }
            return Set::known(name.clone(), "--node");
        }
        let router = read.get(n).and_then(|conf| conf.router.as_ref()).filter(|(name, _)| is_name(name));
        match router.filter(|(name, _)| routers.iter().filter(|other| *other == name).count() == 1 && options.nodes.is_empty()) {
            Some((name, place)) => {
                let words =
                    format!("router_id {name}: taken as the node's name, which must be its host name (--node says another)");
                findings.add(Kind::Assumed, place.clone(), words);
                Set::known(name.clone(), place)
            }
            None => Set::fill_in("its host name", "keepalived.conf does not name nodes (--node, once for each, does)"),
        }
    });
    if let Some(name) = one.value.known().filter(|name| two.value.known() == Some(*name)) {
        wrong.push(Wrong::new(Place::file("the command line"), format!("both nodes are called {}", shown(name))));
    }
    [one, two]
}

/// The profile that is not slower than VRRP was: a backup waits for three advertisements and a skew of up to one more.
fn timing(read: &[Conf], findings: &mut Findings) -> Vec<(&'static str, String, String)> {
    let all = || read.iter().flat_map(|conf| &conf.instances).map(|instance| &instance.advert);
    let Some((span, place)) = all().min_by_key(|(span, _)| *span) else { return Vec::new() };
    if let Some((longest, other)) = all().max_by_key(|(span, _)| *span).filter(|(longest, _)| longest > span) {
        let words = format!("advert_int {longest} and {span} ({place}): a pair has one timing; the shorter one was taken");
        findings.add(Kind::Assumed, other.clone(), words);
    }
    let wait = *span * 3;
    let (profile, dead) = match wait {
        wait if wait >= Span::secs(30) => ("classic", Span::secs(30)),
        wait if wait >= Span::secs(2) => ("default", Span::secs(2)),
        _ => ("fast", Span::millis(500)),
    };
    if wait < dead {
        let words = format!(
            "advert_int {span}: VRRP notices a dead master after {wait}; profile \"fast\" takes {dead}. Less is possible with shorter heartbeats and a \
             shorter lease: docs/CONFIGURATION.md, [timing]"
        );
        findings.add(Kind::Assumed, place.clone(), words);
    }
    let from = format!("{place}: advert_int {span}: VRRP waits {wait} and a little; this profile {dead}");
    vec![("profile", quoted(profile), from)]
}

/// The link of an instance's interface, with what is known of its ends.
fn link(draft: &mut Draft, instance: &Instance, theirs: Option<&Instance>) {
    let Some((interface, place)) = &instance.interface else { return };
    let far = theirs.and_then(|theirs| theirs.interface.as_ref());
    let existing = draft.link_on(interface);
    let at = existing.unwrap_or_else(|| {
        let name = draft.free_link_name(interface);
        let second = match far {
            Some((far, place)) => Set::known(far.clone(), place),
            None => {
                let words = format!("{}: {interface} taken as the interface of the other node too", shown(&instance.name));
                draft.findings.add(Kind::Assumed, place.clone(), words);
                Set::known(interface.clone(), place)
            }
        };
        let open = |from: &Place| Set::fill_in("its own address there", from);
        let ends = [
            End { interface: Set::known(interface.clone(), place), address: open(place) },
            End { address: Set::fill_in("its own address there", &second.from), interface: second },
        ];
        draft.links.push(Link { name, ends, seen: Vec::new() });
        draft.links.len().saturating_sub(1)
    });
    let peer = |instance: Option<&Instance>| instance.and_then(|instance| instance.peers.first()).cloned();
    let known =
        [[instance.source.clone(), peer(theirs)], [theirs.and_then(|theirs| theirs.source.clone()), peer(Some(instance))]];
    for (node, both) in known.into_iter().enumerate() {
        let mut both = both.into_iter().flatten();
        let Some((address, place)) = both.next() else { continue };
        for (other, elsewhere) in both.filter(|(other, _)| *other != address) {
            let words = format!(
                "{other} is that node's address here, and {address} at {place}: the latter was taken; one of them is wrong"
            );
            draft.findings.add(Kind::ByHand, elsewhere, words);
        }
        let end = draft.links.get_mut(at).and_then(|link| link.ends.get_mut(node));
        if let Some(end) = end.filter(|end| end.address.value.known().is_none()) {
            end.address = Set::known(address, place);
        }
    }
}

/// Each sync group is one group; so is each instance that is in none.
fn groups(draft: &mut Draft, read: &[Conf]) {
    let Some(first) = read.first() else { return };
    let mut grouped: Vec<&str> = Vec::new();
    for sync in &first.syncs {
        let mut members = Vec::new();
        for (name, place) in &sync.members {
            match first.instances.iter().find(|instance| instance.name == *name && !grouped.contains(&name.as_str())) {
                Some(instance) => {
                    grouped.push(name);
                    members.push(instance);
                }
                None => draft.findings.add(
                    Kind::ByHand,
                    place.clone(),
                    format!("{}: no such vrrp_instance, or in two groups", shown(name)),
                ),
            }
        }
        group(draft, read, &sync.name, &sync.place, &members);
    }
    for instance in first.instances.iter().filter(|instance| !grouped.contains(&instance.name.as_str())) {
        group(draft, read, &instance.name, &instance.place, &[instance]);
    }
    for theirs in read.get(1).map(|conf| conf.instances.as_slice()).unwrap_or_default() {
        if !first.instances.iter().any(|instance| instance.name == theirs.name) {
            let words = format!("vrrp_instance {} is only on this node: left out", shown(&theirs.name));
            draft.findings.add(Kind::ByHand, theirs.place.clone(), words);
        }
    }
}

fn group(draft: &mut Draft, read: &[Conf], name: &str, place: &Place, members: &[&Instance]) {
    let mut vips: Vec<Vip> = Vec::new();
    let mut notes = Vec::new();
    let mut ways: Vec<Option<usize>> = Vec::new();
    let mut preferred = None;
    let (mut routes, mut rules) = (Vec::new(), Vec::new());
    let mut track = Vec::new();
    for instance in members {
        let theirs = other(read, instance);
        if read.len() == 2 && theirs.is_none() {
            let words = format!("vrrp_instance {} is not in the other node's file: compare them", shown(&instance.name));
            draft.findings.add(Kind::ByHand, instance.place.clone(), words);
        }
        let addresses = |instance: &Instance| {
            let mut all: Vec<_> = instance.vips.iter().map(|vip| (vip.address, vip.prefix)).collect();
            all.sort();
            all
        };
        if let Some(theirs) = theirs.filter(|theirs| addresses(theirs) != addresses(instance)) {
            let words = format!(
                "vrrp_instance {} has other virtual addresses than on the other node: the first file's were taken",
                shown(&instance.name)
            );
            draft.findings.add(Kind::ByHand, theirs.place.clone(), words);
        }
        for vip in &instance.vips {
            self::vip(draft, &mut vips, instance, vip);
        }
        routes::take(draft, instance, theirs, &mut routes, &mut rules);
        let way = which(draft, instance, theirs);
        ways.push(way.as_ref().map(|(node, _)| *node));
        preferred = preferred.or(way);
        notes.extend(checks(draft, read, instance));
        watched(draft, instance, &mut track);
    }
    notes.dedup();
    ways.dedup();
    if ways.len() > 1 {
        let words = format!("{}: its instances prefer different nodes: that of the first one was taken", shown(name));
        draft.findings.add(Kind::Assumed, place.clone(), words);
    }
    if vips.is_empty() {
        let words = format!("{}: no virtual address; a group has at least one", shown(name));
        draft.findings.add(Kind::LeftOut, place.clone(), words);
        return;
    }
    let free = draft.free_group_name(&as_name(name, "group"));
    let failback = failback(read, members);
    draft.groups.push(Group {
        name: free,
        from: place.to_string(),
        preferred,
        failback,
        vips,
        routes,
        rules,
        services: Vec::new(),
        track,
        notes,
    });
}

/// The interfaces that an instance follows.
fn watched(draft: &mut Draft, instance: &Instance, track: &mut Vec<(String, String)>) {
    let name = shown(&instance.name);
    for (interface, weight, place) in &instance.watched {
        if instance.interface.as_ref().is_some_and(|(own, _)| own == interface) {
            let words = format!("{name}: track_interface {}: the public link is watched by itself", shown(interface));
            draft.findings.add(Kind::LeftOut, place.clone(), words);
            continue;
        }
        if *weight {
            let words = format!(
                "{name}: track_interface {}: no weights: a node on which it has no carrier is less fit",
                shown(interface)
            );
            draft.findings.add(Kind::Assumed, place.clone(), words);
        }
        if !track.iter().any(|(known, _)| known == interface) {
            track.push((interface.clone(), place.to_string()));
        }
    }
}

fn vip(draft: &mut Draft, vips: &mut Vec<Vip>, instance: &Instance, vip: &address::Vip) {
    let place = &vip.place;
    let address = vip.address;
    if let Some(first) = vips.iter_mut().find(|other| other.address.known() == Some(&address)) {
        draft.findings.add(Kind::LeftOut, place.clone(), format!("{address} a second time in its group"));
        first.label = first.label.clone().or_else(|| label(vip, None));
        return;
    }
    for rest in &vip.rest {
        draft.findings.add(
            Kind::LeftOut,
            place.clone(),
            format!("{address}: {rest}: the address is set with the kernel's usual way"),
        );
    }
    if vip.excluded {
        let words =
            format!("{address}: was not in the advertisements, which are too short for many; here it is an address as any other");
        draft.findings.add(Kind::Assumed, place.clone(), words);
    }
    let device = vip.device.clone().or_else(|| instance.interface.as_ref().map(|(name, _)| name.clone()));
    let link = match &device {
        Some(device) => draft.link_on(device),
        None => draft
            .links
            .iter()
            .position(|link| link.name == "lan" && link.ends.iter().all(|end| end.interface.value.known().is_none())),
    };
    let link = link.unwrap_or_else(|| {
        let name = draft.free_link_name(device.as_deref().unwrap_or("lan"));
        let end = || End {
            interface: match &device {
                Some(device) => Set::known(device.clone(), place),
                None => Set::fill_in("the public interface", format!("{}: no `interface`", instance.place)),
            },
            address: Set::fill_in("its own address there", place),
        };
        draft.links.push(Link { name, ends: [end(), end()], seen: Vec::new() });
        draft.links.len().saturating_sub(1)
    });
    if vip.label.is_some() && label(vip, device.as_deref()).is_none() {
        let words =
            format!("{address}: the label {}: only INTERFACE:NAME, of IPv4", shown(vip.label.as_deref().unwrap_or_default()));
        draft.findings.add(Kind::LeftOut, place.clone(), words);
    }
    let label = label(vip, device.as_deref());
    let from = match vip.prefix {
        Some(_) => place.to_string(),
        None => format!("{place}: no prefix there, which is /32 to keepalived; here it is that of the network"),
    };
    vips.push(Vip { address: Value::Known(address), prefix: vip.prefix, link, label, from });
}

/// The part of the label behind the colon, where the part before it is the interface.
fn label(vip: &address::Vip, device: Option<&str>) -> Option<String> {
    let (front, behind) = vip.label.as_deref()?.split_once(':')?;
    let fits = device.is_none_or(|device| device == front) && !behind.is_empty();
    (fits && vip.address.is_ipv4()).then(|| behind.to_owned())
}

/// Which node is to be preferred, and what says so.
fn which(draft: &mut Draft, instance: &Instance, theirs: Option<&Instance>) -> Option<(usize, String)> {
    let priority = |instance: &Instance| instance.priority.as_ref().map_or(100, |(priority, _)| *priority);
    let said =
        |instance: &Instance| instance.priority.as_ref().map_or_else(|| instance.place.clone(), |(_, place)| place.clone());
    let master = |instance: &Instance| instance.master.as_ref().is_some_and(|(master, _)| *master);
    let name = shown(&instance.name);
    if let Some(theirs) = theirs {
        let (mine, other) = (priority(instance), priority(theirs));
        if mine != other {
            return Some((
                usize::from(mine < other),
                format!("priority {mine} ({}) and {other} ({})", said(instance), said(theirs)),
            ));
        }
        let words = format!(
            "{name}: priority {mine} on both nodes: which one is preferred, keepalived decides by address; here none is: it stays where it is"
        );
        draft.findings.add(Kind::Assumed, said(theirs), words);
        return None;
    }
    let Some((is_master, place)) = &instance.master else {
        let words = format!(
            "{name}: which node is preferred? Priority {} here, and the other node's file is not at hand: none for now",
            priority(instance)
        );
        draft.findings.add(Kind::ByHand, instance.place.clone(), words);
        return None;
    };
    if !master(instance) && instance.nopreempt.is_some() {
        let words = format!(
            "{name}: which node is preferred? With nopreempt both are BACKUP, and the other node's priority is not at hand: none for now"
        );
        draft.findings.add(Kind::ByHand, place.clone(), words);
        return None;
    }
    let state = if *is_master { "MASTER" } else { "BACKUP" };
    let node = usize::from(!is_master);
    let words = format!(
        "{name}: state {state}: {} taken as the preferred one (the other node's priority says it)",
        draft.node_words(node)
    );
    draft.findings.add(Kind::Assumed, place.clone(), words);
    Some((node, place.to_string()))
}

fn failback(read: &[Conf], members: &[&Instance]) -> (String, String) {
    let both = || members.iter().flat_map(|instance| [Some(*instance), other(read, instance)]).flatten();
    if let Some(place) = both().find_map(|instance| instance.nopreempt.as_ref()) {
        return (quoted("manual"), format!("{place}: nopreempt"));
    }
    match both().find_map(|instance| instance.delay.as_ref()) {
        Some((span, place)) => (format!("{{ after = {} }}", written(*span)), format!("{place}: preempt_delay")),
        None => (quoted("auto"), "keepalived's own default: the higher priority takes it back".to_owned()),
    }
}

/// What an instance follows: programs that it asks after become a proposal for `services`.
fn checks(draft: &mut Draft, read: &[Conf], instance: &Instance) -> Vec<String> {
    let mut notes = Vec::new();
    for (name, place) in &instance.tracks {
        let check = read.first().and_then(|conf| conf.checks.iter().find(|(other, _, _)| other == name));
        let command = check.map_or("", |(_, command, _)| command.as_str());
        let words = match watched::program(command) {
            Some(program) => {
                let at = check.map(|(_, _, place)| place.to_string()).unwrap_or_default();
                notes.push(format!(
                    "services = [{{ systemd = {}, warm = true }}]    # a proposal: {at} asks after it",
                    quoted(&program)
                ));
                format!(
                    "{}: asks after {program}, which runs on both nodes there. twinbeat watches what it runs itself, on the owner: where {program} is a \
                     unit and belongs to the address, take the proposal in the group, and let nobody else start it (systemctl disable)",
                    shown(name)
                )
            }
            None => format!(
                "{}: {}: checks of one's own are not built yet; twinbeat watches the services that it runs (`services` of the group)",
                shown(name),
                // Its arguments may hold a password.
                command
                    .split_whitespace()
                    .next()
                    .map_or_else(|| "not in this file".to_owned(), |program| format!("runs {}", shown(program)))
            ),
        };
        draft.findings.add(Kind::ByHand, place.clone(), words);
    }
    notes
}
