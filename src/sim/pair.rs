//! The pair that a scenario runs on: both nodes' settings, and the names that its steps use.

use std::path::Path;
use std::sync::Arc;

use twinbeat_core::files::digest;
use twinbeat_core::id::{GroupId, LinkId, Name, NodeId};
use twinbeat_core::settings::{
    Failback, FencingSettings, GroupSettings, LinkSettings, Services, Settings, StopFailure, Timing, WitnessSettings,
};
use twinbeat_core::time::Span;

/// Both nodes' settings.
#[derive(Clone, Debug)]
pub struct Pair {
    /// Each node's, with every group that any file of the story names: what the world is made for.
    pub settings: [Settings; 2],
    /// Each node's as its file has them.
    pub files: [Settings; 2],
    /// Each machine's public key: it stays, whatever a file calls the node.
    pub keys: [Key; 2],
}

/// A public key's bytes.
pub type Key = [u8; 32];

/// Where the pairs that scenarios name come from.
pub trait Pairs: Sync {
    /// The pair of a reference as it stands in a scenario, relative to the scenario's folder.
    ///
    /// # Errors
    /// What is wrong with it, in one line that names the file.
    fn pair(&self, folder: &Path, reference: &str) -> Result<Pair, String>;
}

/// Pairs whose nodes tell so many groups in one heartbeat, and more in parts.
pub struct InParts<'p> {
    /// The pairs.
    pub pairs: &'p dyn Pairs,
    /// At least 1.
    pub groups: usize,
}

impl Pairs for InParts<'_> {
    fn pair(&self, folder: &Path, reference: &str) -> Result<Pair, String> {
        let mut pair = self.pairs.pair(folder, reference)?;
        for settings in pair.settings.iter_mut().chain(&mut pair.files) {
            settings.groups_in_beat = self.groups.max(1);
        }
        Ok(pair)
    }
}

impl Pair {
    /// The pair of these files, and the nodes' keys.
    pub fn new(files: [Settings; 2], keys: [Key; 2]) -> Pair {
        let mut pair = Pair { settings: files.clone(), files, keys };
        let [one, other] = pair.files.clone();
        pair.widen(&one);
        pair.widen(&other);
        pair
    }

    /// There will be the groups of this file as well.
    pub fn widen(&mut self, file: &Settings) {
        for settings in &mut self.settings {
            let more = file.groups.iter().skip(settings.groups.len());
            settings.groups.extend(more.cloned());
        }
    }

    /// A node's number by its name.
    pub fn node(&self, name: &str) -> Option<usize> {
        self.settings[0].nodes.iter().position(|node| **node == *name)
    }

    /// A link's number by its name.
    pub fn link(&self, name: &str) -> Option<usize> {
        self.settings[0].links.iter().position(|link| *link.name == *name)
    }

    /// A group's number by its name.
    pub fn group(&self, name: &str) -> Option<usize> {
        self.settings[0].groups.iter().position(|group| *group.name == *name)
    }

    /// The name of a node.
    pub fn node_name(&self, node: usize) -> &Name {
        &self.settings[0].nodes[node]
    }

    /// The public link's number.
    pub fn public(&self) -> usize {
        usize::from(self.settings[0].witness.link.0)
    }

    /// A pair whose nodes were given different files.
    ///
    /// # Errors
    /// The world has one set of cables, gateways and addresses: what the files say of those must agree, whatever else differs.
    pub fn joined(first: Pair, second: Pair) -> Result<Pair, String> {
        let ([one, _], [_, other]) = (first.files, second.files);
        if one.nodes != other.nodes {
            return Err("the nodes differ between the two files; in virtual time `configure` renames one".into());
        }
        one_world(&one, &other)?;
        Ok(Pair::new([one, other], first.keys))
    }

    /// What another file says to a node, which is known by its key, whatever that file calls it.
    ///
    /// # Errors
    /// As [`Pair::joined`]; or the file has other keys.
    pub fn from_file(&self, node: usize, file: &Pair) -> Result<Settings, String> {
        let place = file.keys.iter().position(|key| *key == self.keys[node]);
        let (Some(place), true) = (place, self.keys.iter().all(|key| file.keys.contains(key))) else {
            return Err("the public keys differ between the two files; in virtual time names and everything else may".into());
        };
        let settings = &file.files[place];
        one_world(settings, &self.files[1 - node])?;
        Ok(settings.clone())
    }

    /// The timing (the same on both nodes unless a scenario is about that).
    pub fn timing(&self) -> Timing {
        self.settings[0].timing
    }
}

/// Whether two files can be of one world.
fn one_world(one: &Settings, other: &Settings) -> Result<(), String> {
    // Groups may come and go at the end of the file: by their place they are the same on both nodes.
    let mut groups = one.groups.iter().zip(&other.groups);
    let same = [
        ("the links", one.links == other.links),
        ("the witness link", one.witness.link == other.witness.link),
        ("the number of witnesses", one.witness.targets == other.witness.targets),
        ("the groups' names", groups.all(|(one, other)| one.name == other.name)),
    ];
    match same.iter().find(|(_, same)| !same) {
        Some((what, _)) => Err(format!("{what} differ between the two files; in virtual time everything else may")),
        None => Ok(()),
    }
}

/// The profiles of SAFETY's table.
pub fn profile(name: &str) -> Option<Timing> {
    let (heartbeat, warn, lease, dead, init_dead, delivery) = match name {
        "fast" => (50, 150, 155, 500, 5_000, 25),
        "default" => (200, 600, 700, 2_000, 10_000, 100),
        "classic" => (2_000, 10_000, 11_500, 30_000, 60_000, 100),
        _ => return None,
    };
    let ms = Span::millis;
    Some(Timing {
        heartbeat: ms(heartbeat),
        warn: ms(warn),
        lease: ms(lease),
        dead: ms(dead),
        init_dead: ms(init_dead),
        delivery: ms(delivery),
        rate: 1200,
        weak_gate: false,
        early_claim: true,
    })
}

/// The recipe's pair without a file: a builder for tests and for `explore`.
#[derive(Clone, Debug)]
pub struct Builder {
    /// The cluster's name.
    pub cluster: &'static str,
    /// Both machines' names, in the order of their keys.
    pub nodes: [&'static str; 2],
    /// Links beside the public one, which comes last (before the relay).
    pub links: Vec<&'static str>,
    /// The witness carries heartbeats.
    pub relay: bool,
    /// How many witnesses.
    pub targets: u8,
    /// The timing.
    pub timing: Timing,
    /// The preferred machine.
    pub preferred: Option<u8>,
    /// Failback.
    pub failback: Failback,
    /// Services.
    pub services: Services,
    /// How many groups; the first is `web`, the others `web2` and so on.
    pub groups: u8,
    /// The groups have the longest names that are allowed.
    pub long: bool,
    /// One more address: in the first group, or in the last.
    pub added: Option<Added>,
    /// That address is on the first link and not on the public one.
    pub second: bool,
    /// That address is on an interface without heartbeats, `eth7`.
    pub further: bool,
    /// The witnesses have other addresses.
    pub other: bool,
    /// Island.
    pub island_hold: bool,
    /// Each node can turn the other one off.
    pub fenced: bool,
}

/// Which group has the additional address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Added {
    /// The first.
    First,
    /// The last.
    Last,
}

impl Default for Builder {
    fn default() -> Self {
        Builder {
            cluster: "web",
            nodes: ["master1", "master2"],
            links: vec!["bond", "heartbeat"],
            relay: true,
            targets: 1,
            timing: profile("default").unwrap_or_else(|| unreachable!("a profile of the table")),
            preferred: Some(0),
            failback: Failback::Auto,
            services: Services::Warm,
            groups: 1,
            long: false,
            added: None,
            second: false,
            further: false,
            other: false,
            island_hold: false,
            fenced: false,
        }
    }
}

impl Builder {
    /// The name of a group.
    pub fn group_name(&self, n: u8) -> String {
        let name = if n == 0 { "web".to_string() } else { format!("web{}", n + 1) };
        if self.long { format!("{name:-<LONGEST$}") } else { name }
    }

    /// Its addresses.
    pub fn vips(&self, n: u8) -> Vec<String> {
        let added = match self.added {
            Some(Added::First) => n == 0,
            Some(Added::Last) => n + 1 == self.groups,
            None => false,
        };
        let more = match (self.second, self.further) {
            (_, true) => "10.7.0.40/24",
            (true, _) => "10.1.1.40/24",
            _ => "192.168.42.40/25",
        };
        let more = added.then(|| more.to_string());
        std::iter::once(format!("192.168.42.{}/25", 14 + n)).chain(more).collect()
    }

    /// The address of a witness, counted from 1.
    pub fn witness(&self, n: u8) -> String {
        format!("192.168.42.{}", if self.other { n + 100 } else { n })
    }

    /// The machines in the order of their names, which numbers the nodes.
    fn by_name(&self) -> [u8; 2] {
        let [first, second] = self.nodes;
        if first <= second { [0, 1] } else { [1, 0] }
    }

    /// Of what both files must agree on.
    fn digest(&self, groups: &[GroupSettings]) -> u64 {
        let witnesses: Vec<String> = (1..=self.targets).map(|n| self.witness(n)).collect();
        let of = |group: &GroupSettings| std::iter::once(&group.name).chain(&group.vips).cloned().collect::<Vec<_>>();
        let groups: Vec<Name> = groups.iter().flat_map(of).collect();
        let words = groups.iter().map(|name| &**name).chain(witnesses.iter().map(String::as_str));
        u64::from(digest(words)) << 32 ^ self.timing.lease.0
    }

    /// The pair.
    pub fn build(&self) -> Pair {
        let name = |text: &str| -> Name { Arc::from(text) };
        let machines = self.by_name();
        let number = |machine: u8| NodeId(u8::from(machines[1] == machine));
        let mut links: Vec<LinkSettings> =
            self.links.iter().map(|link| LinkSettings { name: name(link), relay: false, silent: false }).collect();
        let public = LinkId(links.len() as u8);
        links.push(LinkSettings { name: name("lan"), relay: false, silent: false });
        if self.relay {
            links.push(LinkSettings { name: name("relay"), relay: true, silent: false });
        }
        let further = LinkId(links.len() as u8);
        if self.further {
            links.push(LinkSettings { name: name("eth7"), relay: false, silent: true });
        }
        let place = |vip: usize| match vip {
            0 => public,
            _ if self.further => further,
            _ if self.second => LinkId(0),
            _ => public,
        };
        let groups: Vec<GroupSettings> = (0..self.groups)
            .map(|n| GroupSettings {
                name: name(&self.group_name(n)),
                preferred: self.preferred.map(number),
                failback: self.failback,
                vips: self.vips(n).iter().map(|vip| name(vip)).collect(),
                vip_links: (0..self.vips(n).len()).map(place).collect(),
                services: self.services,
                stop_failure: StopFailure::Block,
                track: Vec::new(),
            })
            .collect();
        let of = |me: u8| Settings {
            cluster: name(self.cluster),
            me: NodeId(me),
            nodes: machines.map(|machine| name(self.nodes[usize::from(machine)])),
            digest: self.digest(&groups),
            links: links.clone(),
            witness: WitnessSettings {
                link: public,
                targets: self.targets,
                arp_only: 0,
                names: WitnessSettings::names_of((1..=self.targets).map(|n| (self.witness(n), false))),
                interval: self.timing.heartbeat,
                fall: 3,
                rise: 5,
                island_hold: self.island_hold,
            },
            timing: self.timing,
            groups: Vec::clone(&groups),
            groups_in_beat: usize::MAX,
            fencing: self.fenced.then_some(FencingSettings { delay: Span::secs(5), takes: Span::secs(5) }),
        };
        Pair::new([of(0), of(1)], machines.map(|machine| [machine; 32]))
    }
}

/// Pairs by the name of their file alone, for `explore`, which makes thousands: what the file of that name in `scenarios/pairs/` says.
pub struct Builtin;

impl Pairs for Builtin {
    fn pair(&self, _: &Path, reference: &str) -> Result<Pair, String> {
        named(reference).map(|builder| builder.build())
    }
}

/// The pair whose name's words say what it is like.
///
/// # Errors
/// An unknown word, with what is allowed.
pub fn named(reference: &str) -> Result<Builder, String> {
    let stem = reference.strip_prefix("pairs/").and_then(|rest| rest.strip_suffix(".toml")).unwrap_or(reference);
    let mut builder = Builder::default();
    for word in stem.split('-') {
        match word {
            "recipe" => {}
            "fast" | "default" | "classic" => builder.timing = profile(word).unwrap_or(builder.timing),
            "norelay" => builder.relay = false,
            "bare" => (builder.links, builder.relay) = (vec!["heartbeat"], false),
            "cold" => builder.services = Services::Cold,
            "plain" => builder.services = Services::None,
            "manual" => builder.failback = Failback::Manual,
            "after30" => builder.failback = Failback::After(Span::secs(30)),
            "patient" => builder.timing.early_claim = false,
            "equal" => builder.preferred = None,
            "three" => builder.targets = 3,
            "one" => builder.groups = 1,
            "two" => builder.groups = 2,
            "eight" => builder.groups = 8,
            "long" => builder.long = true,
            "more" => builder.added = Some(Added::First),
            "moved" => builder.added = Some(Added::Last),
            "second" => (builder.added, builder.second) = (Some(Added::First), true),
            "further" => (builder.added, builder.further) = (Some(Added::First), true),
            "other" => builder.other = true,
            "hold" => builder.island_hold = true,
            "fenced" => builder.fenced = true,
            "shop" => builder.cluster = "shop",
            "alpha" => builder.nodes[0] = "alpha",
            "omega" => builder.nodes[0] = "omega",
            "crossed" => builder.nodes.reverse(),
            other if millis("lease", other).or(millis("delivery", other)).is_some() => {
                let timing = &mut builder.timing;
                timing.lease = millis("lease", other).unwrap_or(timing.lease);
                timing.delivery = millis("delivery", other).unwrap_or(timing.delivery);
                timing.dead = timing.dead.max(timing.least_dead());
                timing.init_dead = timing.init_dead.max(timing.dead);
            }
            other => {
                return Err(format!(
                    "{reference}: unknown word {other:?}; allowed, joined by '-': recipe, fast, default, classic, norelay, bare, \
                     cold, plain, manual, patient, after30, equal, three, one, two, eight, long, more, moved, second, further, other, hold, fenced, shop, alpha, omega, crossed, leaseMILLISECONDS, deliveryMILLISECONDS"
                ));
            }
        }
    }
    Ok(builder)
}

/// Letters of the longest name of a group.
const LONGEST: usize = 20;

/// The milliseconds of a word like `lease1500`.
fn millis(what: &str, word: &str) -> Option<Span> {
    word.strip_prefix(what)?.parse().ok().filter(|ms| (1..=60_000).contains(ms)).map(Span::millis)
}

/// A group's number as the core's.
pub fn group_id(group: usize) -> GroupId {
    GroupId(group as u8)
}
