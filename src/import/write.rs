//! A draft as twinbeat.toml: every setting with where it came from, every gap with a mark that no daemon accepts.

use std::net::IpAddr;

use crate::draft::{Draft, Group, Set, Value, Vip};
use crate::finding::{Finding, Kind};
use crate::network;
use crate::text::{clean, key, quoted};

/// What begins each placeholder.
pub const MARK: &str = "FILL IN";

/// The lines of a written file that hold a placeholder, counted from 1.
pub fn placeholders(text: &str) -> Vec<usize> {
    let holds = |line: &str| !line.starts_with('#') && line.contains(MARK);
    (1..).zip(text.lines()).filter(|(_, line)| holds(line)).map(|(n, _)| n).collect()
}

/// One line of the file, and where what it says came from.
pub(crate) struct Line {
    pub text: String,
    pub from: String,
}

/// A file in the making.
struct Page<'a> {
    draft: &'a Draft,
    /// Placeholders are filled with what could stand there, so that everything else can be judged.
    filled: Option<Sample>,
    lines: Vec<Line>,
}

/// The file's lines, with placeholders or with samples in their place; the lines are the same otherwise.
pub(crate) fn lines(draft: &Draft, filled: bool) -> Vec<Line> {
    let mut page = Page { draft, filled: filled.then(|| Sample::of(draft)), lines: Vec::new() };
    page.head();
    for node in 0..2 {
        page.node(node);
    }
    page.witness();
    page.table("timing", &draft.timing);
    for (place, group) in draft.groups.iter().enumerate() {
        page.group(place, group);
    }
    page.table("log", &draft.log);
    page.lines
}

/// The findings as comments.
pub(crate) fn notes(findings: &[Finding]) -> String {
    let mut all = String::new();
    for kind in Kind::ALL {
        let mut these = findings.iter().filter(|finding| finding.kind == kind).peekable();
        if these.peek().is_some() {
            all.push_str(&format!("\n# {}:\n", kind.heading()));
        }
        for finding in these {
            all.push_str(&format!("# - {finding}\n"));
        }
    }
    all
}

impl Page<'_> {
    fn say(&mut self, text: impl Into<String>) {
        self.lines.push(Line { text: text.into(), from: String::new() });
    }

    fn set(&mut self, text: String, from: &str) {
        let from = clean(from);
        let comment = if from.is_empty() { String::new() } else { format!("    # {from}") };
        self.lines.push(Line { text: format!("{text}{comment}"), from });
    }

    fn head(&mut self) {
        let draft = self.draft;
        self.say(format!("# {}", clean(&draft.head)));
        self.say(format!("# Each setting says where it came from. What begins with \"{MARK}\" is to be filled in; `twinbeat check` refuses it until then."));
        self.say("# What has no counterpart is listed at the end. Every key: docs/CONFIGURATION.md.");
        self.say("");
        self.set(format!("cluster = {}", quoted(&draft.cluster.0)), &draft.cluster.1);
        if let Some((port, from)) = &draft.port {
            self.set(format!("port = {port}"), from);
        }
    }

    /// A node's name.
    fn name_of(&self, node: usize) -> String {
        match self.draft.nodes.get(node).map(|node| &node.value) {
            Some(Value::Known(name)) => name.clone(),
            _ if self.filled.is_some() => format!("node{}", node.saturating_add(1)),
            _ => format!("{MARK} the host name of node {}", node.saturating_add(1)),
        }
    }

    fn node(&mut self, node: usize) {
        let name = self.name_of(node);
        let Some(set) = self.draft.nodes.get(node) else { return };
        self.say("");
        self.set(format!("[nodes.{}]", key(&name)), &set.from);
        let sample = SAMPLE_KEYS.get(node).copied().unwrap_or_default();
        let hint = format!("{MARK}: what `twinbeat keygen` prints on {}", self.draft.node_words(node));
        let known = self.draft.keys.get(node).and_then(Option::as_deref);
        let public = known.unwrap_or(if self.filled.is_some() { sample } else { &hint });
        self.set(format!("public_key = {}", quoted(public)), "a key pair for each node; the private key never leaves it");
        self.set(format!("[nodes.{}.links]", key(&name)), "every path between the nodes, two at the least");
        for (place, link) in self.draft.links.iter().enumerate() {
            let Some(end) = link.ends.get(node) else { continue };
            let interface = match (&end.interface.value, &self.filled) {
                (Value::Known(name), _) => quoted(name),
                (Value::FillIn(_), Some(_)) => quoted(&format!("example{place}")),
                (Value::FillIn(hint), None) => quoted(&format!("{MARK}: {hint}")),
            };
            let sample = self.filled.as_ref().and_then(|sample| sample.ends.get(place)?.get(node).copied());
            let address = address(&end.address, sample);
            let line = format!("{} = {{ interface = {interface}, address = {address} }}", key(&link.name));
            let mut from = end.interface.from.clone();
            if end.address.from != from && !end.address.from.is_empty() {
                from = format!("{from}; {}", end.address.from);
            }
            self.set(line, &from);
        }
    }

    fn witness(&mut self) {
        let draft = self.draft;
        self.say("");
        self.say("[witness]");
        let link = draft.links.get(draft.witness).map(|link| link.name.clone()).unwrap_or_default();
        self.set(format!("link = {}", quoted(&link)), "the public side: where the first VIP is");
        self.say("targets = [");
        for (place, target) in draft.targets.iter().enumerate() {
            let sample = self.filled.as_ref().and_then(|sample| sample.targets.get(place).copied());
            self.set(format!("    {},", address(target, sample)), &target.from);
        }
        self.say("]");
    }

    fn table(&mut self, name: &str, keys: &[(&'static str, String, String)]) {
        if keys.is_empty() {
            return;
        }
        self.say("");
        self.say(format!("[{name}]"));
        for (key, value, from) in keys {
            self.set(format!("{key} = {value}"), from);
        }
    }

    fn group(&mut self, place: usize, group: &Group) {
        self.say("");
        self.say("[[groups]]");
        self.set(format!("name = {}", quoted(&group.name)), &group.from);
        if let Some((node, from)) = &group.preferred {
            let name = self.name_of(*node);
            self.set(format!("preferred = {}", quoted(&name)), from);
        }
        self.set(format!("failback = {}", group.failback.0), &group.failback.1);
        self.say("vips = [");
        for (n, vip) in group.vips.iter().enumerate() {
            let link = self.draft.links.get(vip.link).map(|link| link.name.clone()).unwrap_or_default();
            let label = vip.label.as_ref().map(|label| format!(", label = {}", quoted(label))).unwrap_or_default();
            let address = self.vip(place, n, vip);
            self.set(format!("    {{ address = {address}, link = {}{label} }},", quoted(&link)), &vip.from);
        }
        self.say("]");
        for (name, tables) in [("routes", &group.routes), ("rules", &group.rules)] {
            if tables.is_empty() {
                continue;
            }
            self.say(format!("{name} = ["));
            for table in tables {
                let keys: Vec<String> = table.keys.iter().map(|(key, value)| format!("{key} = {value}")).collect();
                self.set(format!("    {{ {} }},", keys.join(", ")), &table.from);
            }
            self.say("]");
        }
        if !group.track.is_empty() {
            self.say("track = [");
            for (interface, from) in &group.track {
                self.set(format!("    {},", quoted(interface)), from);
            }
            self.say("]");
        }
        if !group.services.is_empty() {
            self.say("services = [");
            for service in &group.services {
                let more: String = service.more.iter().map(|(key, value)| format!(", {key} = {value}")).collect();
                self.set(format!("    {{ {} = {}{more} }},", service.kind, quoted(&service.name)), &service.from);
            }
            self.say("]");
        }
        for note in &group.notes {
            self.say(format!("# {}", clean(note)));
        }
    }

    fn vip(&self, group: usize, n: usize, vip: &Vip) -> String {
        let sample = self.filled.as_ref();
        match (&vip.address, vip.prefix, sample) {
            (Value::Known(address), Some(prefix), _) => quoted(&format!("{address}/{prefix}")),
            (Value::Known(address), None, Some(_)) => quoted(&format!("{address}/{}", usual_prefix(*address))),
            (Value::Known(address), None, None) => quoted(&format!("{address}/{MARK} the network's prefix")),
            (Value::FillIn(_), _, Some(_)) => {
                let wide = |n: usize| u32::try_from(n).unwrap_or_default();
                let number = 100_u32.saturating_add(wide(group)).saturating_add(wide(n));
                quoted(&format!("{}/24", network::host(IpAddr::from([10, 254, 200, 0]), 24, number)))
            }
            (Value::FillIn(hint), _, None) => quoted(&format!("{MARK}: {hint}")),
        }
    }
}

fn address(set: &Set<IpAddr>, sample: Option<IpAddr>) -> String {
    match (&set.value, sample) {
        (Value::Known(address), _) => quoted(&address.to_string()),
        (Value::FillIn(_), Some(address)) => quoted(&address.to_string()),
        (Value::FillIn(hint), None) => quoted(&format!("{MARK}: {hint}")),
    }
}

/// What could stand in the place of what is not known.
struct Sample {
    ends: Vec<[IpAddr; 2]>,
    targets: Vec<IpAddr>,
}

impl Sample {
    fn of(draft: &Draft) -> Sample {
        let known = |set: &Set<IpAddr>| set.value.known().copied();
        let mut used: Vec<IpAddr> =
            draft.links.iter().flat_map(|link| &link.ends).filter_map(|end| known(&end.address)).collect();
        used.extend(draft.groups.iter().flat_map(|group| &group.vips).filter_map(|vip| vip.address.known().copied()));
        used.extend(draft.targets.iter().filter_map(known));
        let mut ends = Vec::new();
        for place in 0..draft.links.len() {
            ends.push([0, 1].map(|node| {
                let end = draft.links.get(place).and_then(|link| link.ends.get(node));
                end.and_then(|end| known(&end.address)).unwrap_or_else(|| free(net_of(draft, place), &mut used))
            }));
        }
        let guard = || {
            let vips = draft.groups.iter().filter_map(|group| group.vips.first()).filter(|vip| vip.link == draft.witness);
            let net = vips.filter_map(|vip| Some((vip.address.known().copied()?, vip.prefix)));
            let mut net = net.filter(|(address, _)| address.is_ipv4() == draft.targets_are_v4());
            net.next().map(|(address, prefix)| (address, prefix.unwrap_or_else(|| usual_prefix(address))))
        };
        let targets = draft
            .targets
            .iter()
            .map(|set| known(set).unwrap_or_else(|| free(guard().unwrap_or_else(|| net_of(draft, draft.witness)), &mut used)));
        Sample { targets: targets.collect(), ends }
    }
}

/// A network in which the addresses of a link can be.
fn net_of(draft: &Draft, link: usize) -> (IpAddr, u8) {
    let vips = draft.groups.iter().flat_map(|group| &group.vips).filter(|vip| vip.link == link);
    let known: Vec<_> = vips.filter_map(|vip| Some((vip.address.known().copied()?, vip.prefix))).collect();
    let wanted = draft.links.get(link).and_then(|link| link.ends.iter().find_map(|end| end.address.value.known().copied()));
    let v4 = wanted.map(|address| address.is_ipv4()).or((link == draft.witness).then(|| draft.targets_are_v4()));
    let fits = known.iter().find(|(address, _)| v4.is_none_or(|v4| address.is_ipv4() == v4));
    let or_usual = |(address, prefix): &(IpAddr, Option<u8>)| (*address, prefix.unwrap_or_else(|| usual_prefix(*address)));
    let other = wanted.map(|address| (address, usual_prefix(address)));
    let third = if known.is_empty() && wanted.is_none() && link == draft.witness { 200 } else { u8::try_from(link).unwrap_or(0) };
    fits.map(or_usual).or(other).unwrap_or((IpAddr::from([10, 254, third, 0]), 24))
}

fn usual_prefix(address: IpAddr) -> u8 {
    if address.is_ipv4() { 24 } else { 64 }
}

/// An address of the network that is not used; where it has none, any of it.
fn free((address, prefix): (IpAddr, u8), used: &mut Vec<IpAddr>) -> IpAddr {
    let last = if address.is_ipv4() { network::host(address, prefix, u32::MAX) } else { address };
    let mut all = (1..2_000_u32).map(|n| network::host(address, prefix, n));
    let found = all.find(|one| !used.contains(one) && *one != last && *one != network::host(address, prefix, 0));
    let found = found.unwrap_or(address);
    used.push(found);
    found
}

/// Two public keys that nobody has the private halves of (those of dist/twinbeat.toml).
const SAMPLE_KEYS: [&str; 2] =
    ["ed25519:EmRIap77Ag0r371OXcjG4jmcrMWKlG7lFCaYnqoYXcw=", "ed25519:h9RH5Ftx7hugvdnKqw7gEHpsJKAEkjSTJlbjlRPSKDA="];
