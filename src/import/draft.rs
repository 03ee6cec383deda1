//! What was read, before it is written: each value is known, with where it came from, or is to be filled in.

use std::net::IpAddr;

use crate::finding::Findings;

/// A value, or what a person must put there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value<T> {
    /// Known.
    Known(T),
    /// Not in the files; what is to be filled in.
    FillIn(String),
}

impl<T> Value<T> {
    pub fn known(&self) -> Option<&T> {
        match self {
            Value::Known(value) => Some(value),
            Value::FillIn(_) => None,
        }
    }

    pub fn fill_in(hint: impl Into<String>) -> Value<T> {
        Value::FillIn(hint.into())
    }
}

/// A value with where it came from.
#[derive(Clone, Debug)]
pub(crate) struct Set<T> {
    pub value: Value<T>,
    pub from: String,
}

impl<T> Set<T> {
    pub fn known(value: T, from: impl ToString) -> Set<T> {
        Set { value: Value::Known(value), from: from.to_string() }
    }

    pub fn fill_in(hint: impl Into<String>, from: impl ToString) -> Set<T> {
        Set { value: Value::fill_in(hint), from: from.to_string() }
    }
}

/// One node's end of a link.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub interface: Set<String>,
    pub address: Set<IpAddr>,
}

/// A link, with the ends of both nodes.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub name: String,
    pub ends: [End; 2],
    /// Addresses that are said of its ends, even where it is open whose they are.
    pub seen: Vec<IpAddr>,
}

/// A virtual address.
#[derive(Clone, Debug)]
pub(crate) struct Vip {
    pub address: Value<IpAddr>,
    pub prefix: Option<u8>,
    /// Its place among the links.
    pub link: usize,
    pub label: Option<String>,
    pub from: String,
}

/// A service.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    /// `lsb`, `systemd` or `ocf`.
    pub kind: &'static str,
    pub name: String,
    /// Further keys with their values, as they stand in the file.
    pub more: Vec<(&'static str, String)>,
    pub from: String,
}

/// A route or a rule: its keys with their values, as they stand in the file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Table {
    pub keys: Vec<(&'static str, String)>,
    pub from: String,
}

/// What moves together.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub name: String,
    pub from: String,
    /// The place of the preferred node, and where that is said.
    pub preferred: Option<(usize, String)>,
    /// As it stands in the file, and where that is said.
    pub failback: (String, String),
    pub vips: Vec<Vip>,
    pub routes: Vec<Table>,
    pub rules: Vec<Table>,
    pub services: Vec<Service>,
    /// Interfaces that it tracks, and where that is said.
    pub track: Vec<(String, String)>,
    /// Comments at its end.
    pub notes: Vec<String>,
}

/// The whole file.
#[derive(Debug)]
pub(crate) struct Draft {
    /// What the files are: the first line.
    pub head: String,
    pub cluster: (String, String),
    pub port: Option<(u16, String)>,
    /// The names, and where from.
    pub nodes: [Set<String>; 2],
    /// Their public keys, where they are known.
    pub keys: [Option<String>; 2],
    pub links: Vec<Link>,
    /// The place of the public link.
    pub witness: usize,
    pub targets: Vec<Set<IpAddr>>,
    /// Key, value as in the file, where from.
    pub timing: Vec<(&'static str, String, String)>,
    pub groups: Vec<Group>,
    pub log: Vec<(&'static str, String, String)>,
    pub findings: Findings,
}

impl Draft {
    /// The link of that interface on both nodes, if there is one.
    pub fn link_on(&self, interface: &str) -> Option<usize> {
        let on = |end: &End| end.interface.value.known().is_some_and(|name| name == interface);
        self.links.iter().position(|link| link.ends.iter().any(on))
    }

    /// What stands for a node in a sentence.
    pub fn node_words(&self, node: usize) -> String {
        match self.nodes.get(node).and_then(|node| node.value.known()) {
            Some(name) => name.clone(),
            None => format!("node {}", node.saturating_add(1)),
        }
    }

    /// A link's name that no link has yet; never `relay`.
    pub fn free_link_name(&self, wish: &str) -> String {
        let wish = crate::text::as_name(&wish.replace('.', "-"), "link");
        let taken = |name: &str| name == "relay" || self.links.iter().any(|link| link.name == name);
        free(&wish, taken)
    }

    /// A group's name that no group has yet.
    pub fn free_group_name(&self, wish: &str) -> String {
        let taken = |name: &str| self.groups.iter().any(|group| group.name == name);
        free(&crate::text::as_name(wish, "group"), taken)
    }

    /// The second link that each pair needs, where the files name only one.
    pub fn second_link(&mut self, hint: &str) {
        let mut count = self.links.len();
        while count < 2 {
            let end = |words: String| End {
                interface: Set::fill_in(format!("interface {hint}"), &words),
                address: Set::fill_in("its own address there", &words),
            };
            let words = "twinbeat needs two links at the least, each on an interface of its own".to_owned();
            let name = self.free_link_name("second");
            self.links.push(Link { name, ends: [end(words.clone()), end(words)], seen: Vec::new() });
            count = count.saturating_add(1);
        }
    }

    /// Puts a VIP first that the witness can answer to, where a group has one: the first is its guard.
    pub fn guards_first(&mut self) {
        let v4 = self.targets_are_v4();
        let link = self.witness;
        for group in &mut self.groups {
            let fits = |vip: &Vip| vip.link == link && vip.address.known().is_none_or(|address| address.is_ipv4() == v4);
            let place = group.vips.iter().position(fits);
            if let Some(vips) = place.and_then(|place| group.vips.get_mut(..=place)) {
                vips.rotate_right(1);
            }
        }
    }

    /// The family of the witness's targets: as they are, else as the nodes' own addresses on that link, else as its VIPs, IPv4 first.
    pub fn targets_are_v4(&self) -> bool {
        let known = self.targets.iter().find_map(|target| target.value.known());
        let vips = || self.groups.iter().flat_map(|group| &group.vips).filter(|vip| vip.link == self.witness);
        let vip = || {
            let known = || vips().filter_map(|vip| vip.address.known());
            known().find(|address| address.is_ipv4()).or_else(|| known().next())
        };
        let own = || self.links.get(self.witness)?.ends.iter().find_map(|end| end.address.value.known());
        known.or_else(own).or_else(vip).is_none_or(IpAddr::is_ipv4)
    }
}

/// `wish`, or with a number behind it.
fn free(wish: &str, taken: impl Fn(&str) -> bool) -> String {
    let short: String = wish.chars().take(26).collect();
    let numbered = (2..10_000).map(|n| format!("{short}-{n}"));
    std::iter::once(wish.to_owned()).chain(numbered).find(|name| !taken(name)).unwrap_or(short)
}
