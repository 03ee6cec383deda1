//! What of a keepalived.conf is VRRP's.

use std::net::IpAddr;

use super::address::{self, Vip};
use super::left_out;
use super::tree::Block;
use crate::finding::{Findings, Kind};
use crate::text::{MOST_OF_A_KIND, Place, Source, Wrong, enough, shown};
use crate::timing::seconds;
use twinbeat_core::time::Span;

/// What one node's file says.
pub(super) struct Conf {
    pub file: String,
    pub router: Option<(String, Place)>,
    pub instances: Vec<Instance>,
    pub syncs: Vec<Sync>,
    /// Name, command line, place.
    pub checks: Vec<(String, String, Place)>,
    pub findings: Findings,
}

/// `vrrp_sync_group`.
pub(super) struct Sync {
    pub name: String,
    pub members: Vec<(String, Place)>,
    pub place: Place,
}

/// `vrrp_instance`.
pub(super) struct Instance {
    pub name: String,
    pub place: Place,
    pub interface: Option<(String, Place)>,
    pub master: Option<(bool, Place)>,
    pub priority: Option<(u8, Place)>,
    pub advert: (Span, Place),
    pub nopreempt: Option<Place>,
    pub delay: Option<(Span, Place)>,
    pub source: Option<(IpAddr, Place)>,
    pub peers: Vec<(IpAddr, Place)>,
    pub vips: Vec<Vip>,
    /// The lines of `virtual_routes`.
    pub routes: Vec<Block>,
    /// Those of `virtual_rules`.
    pub rules: Vec<Block>,
    /// The checks that it follows.
    pub tracks: Vec<(String, Place)>,
    /// The interfaces that it follows, and whether with a weight.
    pub watched: Vec<(String, bool, Place)>,
}

/// Reads the blocks of a file; what is wrong goes into `wrong`.
pub(super) fn read(source: &Source, blocks: &[Block], wrong: &mut Vec<Wrong>) -> Conf {
    let mut conf = Conf {
        file: source.name.clone(),
        router: None,
        instances: Vec::new(),
        syncs: Vec::new(),
        checks: Vec::new(),
        findings: Findings::default(),
    };
    let before = wrong.len();
    let (mut known, mut unknown) = (0_usize, Vec::new());
    let mut default_interface = None;
    for block in blocks {
        // Each instance is compared with all before it.
        if enough(wrong) || conf.instances.len() > MOST_OF_A_KIND {
            break;
        }
        let told = conf.top(block, &mut default_interface, wrong);
        if told {
            known = known.saturating_add(1);
        } else {
            unknown.push(block);
        }
    }
    if known == 0 {
        // Braces that do not match are told already.
        if wrong.len() == before || blocks.is_empty() {
            let words = "not a keepalived.conf: it has no vrrp_instance and nothing else of one";
            wrong.push(Wrong::new(Place::file(&source.name), words));
        }
        return conf;
    }
    for block in unknown.into_iter().take(50) {
        let words = format!("`{}`: the import does not know this; left out", shown(block.word()));
        conf.findings.add(Kind::ByHand, block.place.clone(), words);
    }
    for instance in conf.instances.iter_mut().filter(|instance| instance.interface.is_none()) {
        instance.interface.clone_from(&default_interface);
    }
    if conf.instances.is_empty() && wrong.len() == before {
        let words = "no vrrp_instance: nothing in this file moves between two nodes, so there is nothing to import";
        wrong.push(Wrong::new(Place::file(&source.name), words));
    }
    let instances = conf.instances.iter().map(|one| {
        let lines = one.routes.len().max(one.rules.len());
        one.vips.len().max(one.peers.len()).max(one.tracks.len()).max(lines)
    });
    let syncs = conf.syncs.iter().map(|sync| sync.members.len());
    let most = instances.chain(syncs).max().unwrap_or_default().max(conf.instances.len()).max(conf.syncs.len());
    if most > MOST_OF_A_KIND {
        let words =
            format!("{most} of one kind; no pair has more than {MOST_OF_A_KIND} instances, addresses or checks in one place");
        wrong.push(Wrong::new(Place::file(&source.name), words));
    }
    conf
}

impl Conf {
    /// One block of the outermost level; whether it is known.
    fn top(&mut self, block: &Block, default_interface: &mut Option<(String, Place)>, wrong: &mut Vec<Wrong>) -> bool {
        match block.word() {
            "vrrp_instance" => {
                let Some(name) = block.value() else {
                    wrong.push(Wrong::new(block.place.clone(), "a vrrp_instance without a name"));
                    return true;
                };
                if block.inner.is_none() {
                    wrong.push(Wrong::new(block.place.clone(), format!("vrrp_instance {} without braces", shown(name))));
                    return true;
                }
                if let Some(other) = self.instances.iter().find(|other| other.name == name) {
                    let words = format!("vrrp_instance {} stands at {} already", shown(name), other.place);
                    wrong.push(Wrong::new(block.place.clone(), words));
                    return true;
                }
                let instance = instance(name, block, &mut self.findings, wrong);
                self.instances.push(instance);
            }
            "vrrp_sync_group" => {
                let name = block.value().unwrap_or("sync").to_owned();
                let mut members = Vec::new();
                for inner in block.inner() {
                    match inner.word() {
                        "group" => {
                            let named = inner
                                .inner()
                                .iter()
                                .flat_map(|line| line.words.iter().map(|word| (word.clone(), line.place.clone())));
                            members.extend(named);
                        }
                        _ => left_out::in_instance(&format!("group {}", shown(&name)), inner, &mut self.findings),
                    }
                }
                self.syncs.push(Sync { name, members, place: block.place.clone() });
            }
            "vrrp_script" | "vrrp_track_process" | "track_process" => {
                let name = block.value().unwrap_or_default().to_owned();
                let line = block.inner().iter().find(|inner| matches!(inner.word(), "script" | "process"));
                let words = line.map(|line| line.words.get(1..).unwrap_or_default().join(" ")).unwrap_or_default();
                let command = if block.word() == "vrrp_script" { words } else { format!("pidof {words}") };
                self.checks.push((name, command, block.place.clone()));
            }
            "global_defs" => {
                for inner in block.inner() {
                    match (inner.word(), inner.value()) {
                        ("router_id", Some(name)) => self.router = Some((name.to_owned(), inner.place.clone())),
                        ("default_interface", Some(name)) => *default_interface = Some((name.to_owned(), inner.place.clone())),
                        _ => left_out::global(inner, &mut self.findings),
                    }
                }
            }
            word => return left_out::top(word, block, &mut self.findings),
        }
        true
    }
}

fn instance(name: &str, block: &Block, findings: &mut Findings, wrong: &mut Vec<Wrong>) -> Instance {
    let mut found = Instance {
        name: name.to_owned(),
        place: block.place.clone(),
        interface: None,
        master: None,
        priority: None,
        advert: (Span::secs(1), block.place.clone()),
        nopreempt: None,
        delay: None,
        source: None,
        peers: Vec::new(),
        vips: Vec::new(),
        routes: Vec::new(),
        rules: Vec::new(),
        tracks: Vec::new(),
        watched: Vec::new(),
    };
    for line in block.inner() {
        if let Err(words) = setting(&mut found, line, findings, wrong) {
            wrong.push(Wrong::new(line.place.clone(), words));
        }
    }
    found
}

fn setting(found: &mut Instance, line: &Block, findings: &mut Findings, wrong: &mut Vec<Wrong>) -> Result<(), String> {
    let word = line.word();
    let one = || line.value().ok_or_else(|| format!("`{word}` without a value"));
    let place = || line.place.clone();
    let time = |most: u64| {
        let text = one()?;
        let span = seconds(text).filter(|span| *span <= Span::secs(most));
        span.ok_or_else(|| format!("`{word} {}`: not a time in seconds, 0 to {most}", shown(text)))
    };
    let ip = |text: &str| text.parse::<IpAddr>().map_err(|_| format!("`{word}`: `{}` is no IP address", shown(text)));
    match word {
        "interface" => found.interface = Some((one()?.to_owned(), place())),
        "state" => {
            let state = one()?;
            let master = state.eq_ignore_ascii_case("MASTER");
            if !master && !state.eq_ignore_ascii_case("BACKUP") {
                return Err(format!("`state {}`: allowed: MASTER, BACKUP", shown(state)));
            }
            found.master = Some((master, place()));
        }
        "priority" => {
            let text = one()?;
            let priority = text.parse::<u8>().ok().filter(|priority| *priority > 0);
            found.priority = Some((priority.ok_or_else(|| format!("`priority {}`: not 1 to 255", shown(text)))?, place()));
        }
        "advert_int" => {
            let span = time(255)?;
            if span < Span::millis(10) {
                return Err(format!("`advert_int {}`: not 0.01 to 255", shown(one()?)));
            }
            found.advert = (span, place());
        }
        "nopreempt" => found.nopreempt = Some(place()),
        "preempt" => found.nopreempt = None,
        "preempt_delay" => found.delay = Some((time(1_000)?, place())).filter(|(span, _)| span.0 > 0),
        "unicast_src_ip" | "mcast_src_ip" => found.source = Some((ip(one()?)?, place())),
        "unicast_peer" => {
            for peer in line.inner() {
                match ip(peer.word()) {
                    Ok(address) => found.peers.push((address, peer.place.clone())),
                    Err(words) => wrong.push(Wrong::new(peer.place.clone(), words)),
                }
            }
        }
        "virtual_ipaddress" | "virtual_ipaddress_excluded" => {
            let excluded = word.ends_with("excluded");
            found.vips.extend(line.inner().iter().filter_map(|inner| address::parse(inner, excluded, wrong)));
        }
        "virtual_routes" => found.routes.extend_from_slice(line.inner()),
        "virtual_rules" => found.rules.extend_from_slice(line.inner()),
        "track_script" | "track_process" => {
            found.tracks.extend(line.inner().iter().map(|inner| (inner.word().to_owned(), inner.place.clone())));
        }
        "track_interface" => {
            let one = |inner: &Block| (inner.word().to_owned(), inner.words.len() > 1, inner.place.clone());
            found.watched.extend(line.inner().iter().map(one));
        }
        _ => left_out::in_instance(&shown(&found.name), line, findings),
    }
    Ok(())
}
