//! What one or two directories say, put together: which node each one is of, which addresses follow, what stays open.

use std::net::IpAddr;

use super::ha_cf::HaCf;
use super::haresources::{Address, Line, Resource};
use super::links::{links, owners, short};
use super::read::Read;
use crate::Options;
use crate::draft::{Draft, End, Group, Link, Service, Set, Value, Vip};
use crate::finding::{Findings, Kind};
use crate::network;
use crate::text::{Place, Wrong, clean, is_name, quoted, shown};
use crate::timing::{lease, written};
use twinbeat_core::time::Span;

/// The draft; none where the files cannot be those of a pair, and then `wrong` says why.
pub(super) fn draft(read: &[Read], options: &Options, wrong: &mut Vec<Wrong>) -> Option<Draft> {
    let first = read.first()?;
    let mut findings = Findings::default();
    let nodes = nodes(read, wrong)?;
    let names: Vec<Option<&str>> = nodes.iter().map(|node| node.value.known().map(String::as_str)).collect();
    let owners = owners(read, &names, options, &mut findings, wrong)?;
    let files: Vec<&str> = read.iter().map(|read| read.file.as_str()).collect();
    let mut draft = Draft {
        head: format!("twinbeat.toml, made by `twinbeat import heartbeat` of {}", files.join(" and ")),
        cluster: cluster(&first.cf, options, &names),
        port: Some(
            first
                .cf
                .port
                .as_ref()
                .map_or((694, "heartbeat's own default".to_owned()), |(port, place)| (*port, place.to_string())),
        ),
        nodes,
        keys: [None, None],
        links: links(read, &owners, &mut findings),
        witness: 0,
        targets: Vec::new(),
        timing: timing(&first.cf, &mut findings),
        groups: Vec::new(),
        log: log(&first.cf),
        findings,
    };
    groups(&mut draft, read, options, wrong);
    draft.witness = draft.groups.iter().flat_map(|group| &group.vips).map(|vip| vip.link).next().unwrap_or_default();
    targets(&mut draft, &first.cf);
    if let Some(other) = read.get(1) {
        differences(&mut draft, first, other);
    }
    draft.second_link("of another path between the nodes: a cable of its own is best");
    said(&mut draft, read);
    Some(draft)
}

/// Exactly two; what is missing is open.
fn nodes(read: &[Read], wrong: &mut Vec<Wrong>) -> Option<[Set<String>; 2]> {
    let mut all: Vec<(&str, &Place)> = Vec::new();
    for (name, place) in read.iter().flat_map(|read| &read.cf.nodes) {
        if !all.iter().any(|(other, _)| other == name) {
            all.push((name, place));
        }
    }
    for (name, place) in all.iter().skip(2) {
        wrong.push(Wrong::new((*place).clone(), format!("`{}` is a third node; twinbeat is for exactly two", shown(name))));
    }
    for (name, place) in all.iter().filter(|(name, _)| !is_name(name)) {
        let words = format!("`{}` is no name for a node: 1 to 32 letters, digits, `-`, `_` and `.`", shown(name));
        wrong.push(Wrong::new((*place).clone(), words));
    }
    let set = |n: usize| match all.get(n) {
        Some((name, place)) => Set::known((*name).to_owned(), place),
        None => Set::fill_in("its host name", "no `node` directive names it"),
    };
    wrong.is_empty().then(|| [set(0), set(1)])
}

fn cluster(cf: &HaCf, options: &Options, names: &[Option<&str>]) -> (String, String) {
    if let Some(name) = &options.cluster {
        return (name.clone(), "--cluster".to_owned());
    }
    if let Some((name, place)) = &cf.cluster {
        return (name.clone(), place.to_string());
    }
    let joined = names.iter().flatten().map(|name| short(name)).collect::<Vec<_>>().join("-");
    let name = if is_name(&joined) { joined } else { "pair".to_owned() };
    (name, "heartbeat has none: any name will do".to_owned())
}

fn timing(cf: &HaCf, findings: &mut Findings) -> Vec<(&'static str, String, String)> {
    let or = |set: &Option<(Span, Place)>, default: Span, why: &str| match set {
        Some((span, place)) => (*span, place.to_string()),
        None => (default, why.to_owned()),
    };
    let heartbeat = or(&cf.keepalive, Span::secs(1), "heartbeat's own default");
    let dead = or(&cf.deadtime, Span::secs(30), "heartbeat's own default");
    let three = heartbeat.0 * 3;
    let warn = or(&cf.warntime, three, "ha.cf does not say: three heartbeats");
    // heartbeat/config.c: the same as deadtime, but twice so long below 10 s, and never below 12 s.
    let usual = match dead.0 {
        dead if dead < Span::secs(6) => Span::secs(12),
        dead if dead <= Span::secs(10) => dead * 2,
        dead => dead,
    };
    let init = or(&cf.initdead, usual, "heartbeat's own default");
    let classic = [Span::secs(2), Span::secs(10), Span::secs(30), Span::secs(60)];
    let set = |key, (span, from): (Span, String)| (key, written(span), from);
    let mut all = Vec::new();
    if [heartbeat.0, warn.0, dead.0, init.0] == classic {
        all.push(("profile", quoted("classic"), "the figures of ha.cf are those of this profile; its lease is 11.5s".to_owned()));
    }
    let (span, fits) = lease(heartbeat.0, warn.0, dead.0);
    if !fits {
        let place = cf.deadtime.as_ref().or(cf.keepalive.as_ref()).map(|(_, place)| place.clone());
        let words = "with these figures twinbeat cannot keep its promise of one owner: the line below says the least `dead`. Shorter heartbeats are \
                     the better way: profile \"default\" takes over after 2 s, \"fast\" after 500 ms";
        findings.add(Kind::Refused, place, words);
    }
    let profile = !all.is_empty();
    all.push(set("heartbeat", heartbeat));
    all.push(set("warn", warn));
    if !profile {
        let from = "heartbeat has none: how long the owner may serve on one answer, 3.1 to 3.5 heartbeats";
        all.push(("lease", written(span), from.to_owned()));
    }
    all.push(set("dead", dead));
    all.push(set("init_dead", init));
    all
}

fn log(cf: &HaCf) -> Vec<(&'static str, String, String)> {
    const FACILITIES: &str =
        " auth authpriv cron daemon ftp lpr mail news user local0 local1 local2 local3 local4 local5 local6 local7 ";
    let mut all = Vec::new();
    for (key, set) in [("file", &cf.logfile), ("debug_file", &cf.debugfile)] {
        // A file of heartbeat's own name is written by nobody else afterwards.
        if let Some((path, place)) = set.as_ref().filter(|(path, _)| cf.use_logd.is_none() && path.starts_with('/')) {
            all.push((key, quoted(path), place.to_string()));
        }
    }
    if let Some((facility, place)) = cf.facility.as_ref().filter(|(word, _)| FACILITIES.contains(&format!(" {word} "))) {
        all.push(("syslog", quoted(facility), place.to_string()));
    }
    all
}

fn targets(draft: &mut Draft, cf: &HaCf) {
    for (address, group, place) in &cf.pings {
        if draft.targets.iter().any(|target| target.value.known() == Some(address)) {
            continue;
        }
        draft.targets.push(Set::known(*address, place));
        if *group {
            let words = "ping_group: there one answer of the group is enough; here a majority of all targets must answer";
            draft.findings.add(Kind::Assumed, place.clone(), words);
        }
    }
    if draft.targets.is_empty() {
        let from = "ha.cf has no ping node; three hosts of the public network are better than one";
        draft.targets.push(Set::fill_in("the gateway's address", from));
    }
}

fn groups(draft: &mut Draft, read: &[Read], options: &Options, wrong: &mut Vec<Wrong>) {
    let source = read.iter().find(|read| !read.lines.is_empty());
    let first = read.first();
    for line in source.map(|read| read.lines.as_slice()).unwrap_or_default() {
        let node = draft.nodes.iter().position(|node| node.value.known() == Some(&line.node));
        if node.is_none() && draft.nodes.iter().all(|node| node.value.known().is_some()) {
            let words = format!("`{}` is no node of ha.cf", shown(&line.node));
            wrong.push(Wrong::new(line.place.clone(), words));
            continue;
        }
        group(draft, line, node, first.map(|read| &read.cf), options);
    }
    if draft.groups.is_empty() {
        let place = source.or(first).map(|read| Place::file(read.resources.as_deref().unwrap_or(&read.file)));
        let words = "haresources names no address that moves: the group below is to be filled in";
        draft.findings.add(Kind::ByHand, place, words);
        let link = public_link(draft, None, None, "no address in haresources");
        let vip = Vip {
            address: Value::fill_in("the virtual address with its prefix"),
            prefix: None,
            link,
            label: None,
            from: "haresources does not say".to_owned(),
        };
        draft.groups.push(Group {
            name: "service".to_owned(),
            from: "a name for what moves".to_owned(),
            preferred: None,
            failback: failback(first.map(|read| &read.cf)),
            vips: vec![vip],
            routes: Vec::new(),
            rules: Vec::new(),
            services: Vec::new(),
            track: Vec::new(),
            notes: Vec::new(),
        });
    }
}

fn group(draft: &mut Draft, line: &Line, node: Option<usize>, cf: Option<&HaCf>, options: &Options) {
    let from = line.place.to_string();
    let (mut vips, mut services): (Vec<Vip>, Vec<Service>) = (Vec::new(), Vec::new());
    let has_address = line.resources.iter().any(|resource| matches!(resource, Resource::Address(_)));
    if !has_address {
        let what: Vec<&str> = line.resources.iter().map(words_of).collect();
        let words = format!(
            "{}: moves without an address, which twinbeat does not do; add it to the services of another group",
            what.join(" ")
        );
        draft.findings.add(Kind::LeftOut, line.place.clone(), words);
        return;
    }
    for resource in &line.resources {
        match resource {
            Resource::Address(address) => {
                if vips.iter().any(|vip| vip.address.known() == Some(&address.address)) {
                    let words = format!("{} a second time in its line", address.address);
                    draft.findings.add(Kind::LeftOut, line.place.clone(), words);
                    continue;
                }
                let vip = vip(draft, address, &line.place);
                vips.push(vip);
            }
            Resource::Script(name) => {
                let kind = if options.systemd { "systemd" } else { "lsb" };
                services.push(Service { kind, name: name.clone(), more: Vec::new(), from: from.clone() });
                let words = if options.systemd {
                    format!("{name}: twinbeat starts it: systemctl disable {name}, on both nodes")
                } else {
                    format!(
                        "{name}: an init script, as heartbeat runs it; where it is a unit today (systemctl cat {name}), write \
                         {{ systemd = {} }} (--systemd does). Nobody else may start it: systemctl disable {name}, on both nodes",
                        quoted(name)
                    )
                };
                draft.findings.add(Kind::ByHand, line.place.clone(), words);
            }
            Resource::WithArguments(name, arguments) => {
                let script = format!("{RESOURCE_D}/{name}");
                let list = arguments.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(", ");
                let words = format!(
                    "{name}: called as heartbeat does, `{script} {0} start`. heartbeat reads what its `status` prints (\"running\", \"OK\"), twinbeat \
                     its exit code: 0 where it runs, 3 where it does not. Which this script gives is not in these files: try `{script} {0} status; \
                     echo $?` in both states, and mend it where it is 0 either way",
                    clean(&arguments.join(" "))
                );
                draft.findings.add(Kind::ByHand, line.place.clone(), words);
                let more = vec![("arguments", format!("[{list}]"))];
                services.push(Service { kind: "lsb", name: script, more, from: from.clone() });
            }
            Resource::Agent(agent, parameter, value) => {
                let words = format!(
                    "{agent}: heartbeat's script called the OCF agent of the package resource-agents, and so does twinbeat"
                );
                draft.findings.add(Kind::Assumed, line.place.clone(), words);
                let more = vec![("parameters", format!("{{ {parameter} = {} }}", quoted(value)))];
                services.push(Service { kind: "ocf", name: format!("ocf:heartbeat:{agent}"), more, from: from.clone() });
            }
            Resource::Other(word, why) => {
                draft.findings.add(Kind::LeftOut, line.place.clone(), format!("{}: {why}", shown(word)));
            }
        }
    }
    let wish = services.first().and_then(|service| service.name.rsplit(['/', ':']).next()).unwrap_or("service");
    let name = draft.free_group_name(wish);
    let preferred = node.map(|node| (node, from.clone()));
    if preferred.is_none() {
        let words = format!("`{}` is preferred there; ha.cf does not name both nodes", shown(&line.node));
        draft.findings.add(Kind::ByHand, line.place.clone(), words);
    }
    let (failback, routes, rules, notes) = (failback(cf), Vec::new(), Vec::new(), Vec::new());
    draft.groups.push(Group { name, from, preferred, failback, vips, routes, rules, services, track: Vec::new(), notes });
}

fn words_of(resource: &Resource) -> &str {
    match resource {
        Resource::Address(_) => "an address",
        Resource::Script(name) | Resource::WithArguments(name, _) | Resource::Agent(name, ..) => name,
        Resource::Other(word, _) => word,
    }
}

fn failback(cf: Option<&HaCf>) -> (String, String) {
    match cf.and_then(|cf| cf.failback.as_ref()) {
        Some((word, place)) if word == "off" => (quoted("manual"), place.to_string()),
        Some((_, place)) => (quoted("auto"), place.to_string()),
        None => (quoted("auto"), "ha.cf does not say: heartbeat's own default, legacy".to_owned()),
    }
}

fn vip(draft: &mut Draft, address: &Address, place: &Place) -> Vip {
    if address.broadcast {
        let words = format!("{}: the broadcast address: the kernel takes the network's own", address.address);
        draft.findings.add(Kind::LeftOut, place.clone(), words);
    }
    let net = address.prefix.map(|prefix| (address.address, prefix));
    let link = public_link(draft, address.device.as_deref(), net, &place.to_string());
    let label = address.label.clone().filter(|_| address.address.is_ipv4());
    Vip { address: Value::Known(address.address), prefix: address.prefix, link, label, from: place.to_string() }
}

/// The link of an address: on its interface, else where a node's address is in its network, else a new one that is open.
fn public_link(draft: &mut Draft, device: Option<&str>, net: Option<(IpAddr, u8)>, from: &str) -> usize {
    if let Some(device) = device {
        if let Some(place) = draft.link_on(device) {
            return place;
        }
    } else {
        let holds = |link: &Link| net.is_some_and(|(vip, prefix)| link.seen.iter().any(|own| network::same(vip, *own, prefix)));
        if let Some(place) = draft.links.iter().position(holds) {
            let name = draft.links.get(place).map(|link| link.name.clone()).unwrap_or_default();
            let words = format!("{from}: no interface: taken as on link {name}, whose addresses are in that network");
            draft.findings.add(Kind::Assumed, None, words);
            return place;
        }
        if let Some(place) = draft
            .links
            .iter()
            .position(|link| link.name == "lan" && link.ends.iter().all(|end| end.interface.value.known().is_none()))
        {
            return place;
        }
    }
    let name = draft.free_link_name(device.unwrap_or("lan"));
    let why = match device {
        Some(_) => from.to_owned(),
        None => format!(
            "{from}: no interface there, heartbeat looks for the route; where it is one of the others, take this link out"
        ),
    };
    let end = || End {
        interface: match device {
            Some(device) => Set::known(device.to_owned(), &why),
            None => Set::fill_in("the public interface", &why),
        },
        address: Set::fill_in("its own address there", &why),
    };
    draft.links.push(Link { name, ends: [end(), end()], seen: Vec::new() });
    draft.links.len().saturating_sub(1)
}

/// What must be the same on both nodes and is not: the first one's stands.
fn differences(draft: &mut Draft, first: &Read, other: &Read) {
    let plain = |lines: &[Line]| lines.iter().map(|line| (line.node.clone(), line.resources.clone())).collect::<Vec<_>>();
    if !first.lines.is_empty() && !other.lines.is_empty() && plain(&first.lines) != plain(&other.lines) {
        let words = "another haresources than on the other node, which heartbeat forbids: the first one was taken; compare them";
        draft.findings.add(Kind::ByHand, other.resources.as_deref().map(Place::file), words);
    }
    let spans = [
        ("keepalive", &first.cf.keepalive, &other.cf.keepalive),
        ("warntime", &first.cf.warntime, &other.cf.warntime),
        ("deadtime", &first.cf.deadtime, &other.cf.deadtime),
        ("initdead", &first.cf.initdead, &other.cf.initdead),
    ];
    for (name, one, two) in spans {
        if one.as_ref().map(|(span, _)| span) != two.as_ref().map(|(span, _)| span) {
            let place = two.as_ref().map_or_else(|| Place::file(&other.file), |(_, place)| place.clone());
            draft.findings.add(Kind::ByHand, place, format!("{name} differs between the nodes: the first file's was taken"));
        }
    }
    let word = |cf: &HaCf| cf.failback.as_ref().map(|(word, _)| word == "off");
    let port = |cf: &HaCf| cf.port.as_ref().map(|(port, _)| *port);
    let pings = |cf: &HaCf| cf.pings.iter().map(|(address, _, _)| *address).collect::<Vec<_>>();
    let differ = [
        ("auto_failback", word(&first.cf) != word(&other.cf)),
        ("udpport", port(&first.cf) != port(&other.cf)),
        ("ping", pings(&first.cf) != pings(&other.cf)),
    ];
    for (name, _) in differ.iter().filter(|(_, differ)| *differ) {
        let words = format!("{name} differs between the nodes: the first file's was taken; twinbeat has one file for both");
        draft.findings.add(Kind::ByHand, Place::file(&other.file), words);
    }
}

/// What else the files say.
fn said(draft: &mut Draft, read: &[Read]) {
    for read in read {
        for (place, words) in &read.cf.left_out {
            draft.findings.add(Kind::LeftOut, place.clone(), words);
        }
        for (place, words) in &read.cf.by_hand {
            draft.findings.add(Kind::ByHand, place.clone(), words);
        }
        if let Some(auth) = &read.auth {
            let words = format!(
                "{}: the shared secret is not taken over (nor shown): each node has a key pair, made by `twinbeat keygen`",
                auth.method
            );
            draft.findings.add(Kind::LeftOut, auth.place.clone(), words);
        }
        if let Some(place) = &read.cf.use_logd {
            draft.findings.add(
                Kind::LeftOut,
                place.clone(),
                "use_logd: the log goes to the systemd journal; [log] sets files and syslog",
            );
        }
        let facility =
            read.cf.facility.as_ref().filter(|(word, _)| !draft.log.iter().any(|(_, value, _)| *value == quoted(word)));
        if let Some((word, place)) = facility {
            let words = format!("logfacility {}: no facility that twinbeat takes; see log.syslog", shown(word));
            draft.findings.add(Kind::LeftOut, place.clone(), words);
        }
    }
}

/// Where heartbeat looks for a script first.
const RESOURCE_D: &str = "/etc/ha.d/resource.d";
