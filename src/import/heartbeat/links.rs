//! Whose files they are, and the links that their media make.

use std::net::IpAddr;

use super::ha_cf::Medium;
use super::read::Read;
use crate::Options;
use crate::draft::{End, Link, Set};
use crate::finding::{Findings, Kind};
use crate::text::{Place, Wrong, shown};

/// Which node each directory is of, if that can be told.
pub(super) fn owners(
    read: &[Read],
    names: &[Option<&str>],
    options: &Options,
    findings: &mut Findings,
    wrong: &mut Vec<Wrong>,
) -> Option<Vec<Option<usize>>> {
    let node = |name: &str| names.iter().position(|known| *known == Some(name));
    let mut owners: Vec<Option<usize>> = Vec::new();
    for (n, dir) in read.iter().enumerate() {
        let place = Place::file(&dir.file);
        let last = dir.name.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        if let Some(name) = options.nodes.get(n) {
            let owner = node(name);
            if owner.is_none() {
                let known = names.iter().flatten().copied().collect::<Vec<_>>().join(", ");
                wrong.push(Wrong::new(place, format!("--node {}: ha.cf has no such node; it has: {known}", shown(name))));
            }
            owners.push(owner);
        } else if let Some(owner) = node(last) {
            findings.add(
                Kind::Assumed,
                place,
                format!("taken as {last}'s files, since the directory is called so (--node says it)"),
            );
            owners.push(Some(owner));
        } else if let Some((owner, host)) =
            options.host.as_deref().filter(|_| n == 0).and_then(|host| Some((node(host).or_else(|| node(short(host)))?, host)))
        {
            findings.add(
                Kind::Assumed,
                place,
                format!("taken as {host}'s files, since this machine is called so (--node says it)"),
            );
            owners.push(Some(owner));
        } else {
            owners.push(None);
        }
    }
    if let [one, other] = owners.as_mut_slice() {
        match (*one, *other) {
            (Some(one), Some(other)) if one == other => {
                let place = Place::file(read.get(1).map_or("", |read| &read.file));
                wrong.push(Wrong::new(place, "both directories are of one node; --node NAME, once for each, says which"));
            }
            (Some(known), None) => *other = Some(1_usize.saturating_sub(known)),
            (None, Some(known)) => *one = Some(1_usize.saturating_sub(known)),
            _ => {}
        }
    }
    wrong.is_empty().then_some(owners)
}

/// The links that the media of both files are.
pub(super) fn links(read: &[Read], owners: &[Option<usize>], findings: &mut Findings) -> Vec<Link> {
    let devices = |read: &Read| {
        let mut all: Vec<String> = Vec::new();
        for medium in &read.cf.media {
            if !all.contains(&medium.device) {
                all.push(medium.device.clone());
            }
        }
        all
    };
    let Some(first) = read.first() else { return Vec::new() };
    let mut pairs: Vec<(String, Option<String>)> = devices(first).into_iter().map(|device| (device, None)).collect();
    match read.get(1) {
        None => {}
        Some(other) => {
            let mut rest = devices(other);
            for (device, theirs) in &mut pairs {
                if let Some(place) = rest.iter().position(|other| other == device) {
                    *theirs = Some(rest.remove(place));
                }
            }
            for (device, theirs) in pairs.iter_mut().filter(|(_, theirs)| theirs.is_none()) {
                if !rest.is_empty() {
                    let other = rest.remove(0);
                    let words = format!("{device} there and {other} here taken as the two ends of one link");
                    findings.add(Kind::Assumed, Place::file(&read.get(1).map_or(String::new(), |read| read.file.clone())), words);
                    *theirs = Some(other);
                }
            }
        }
    }
    let mut links: Vec<Link> = Vec::new();
    for (device, theirs) in pairs {
        let media = |n: usize, device: &str| -> Vec<&Medium> {
            read.get(n).map(|read| read.cf.media.iter().filter(|medium| medium.device == device).collect()).unwrap_or_default()
        };
        let mine = media(0, &device);
        let other = theirs.as_deref().map(|device| media(1, device)).unwrap_or_default();
        let name =
            if device == "relay" { "relay-link".to_owned() } else { crate::text::as_name(&device.replace('.', "-"), "link") };
        let ends = [0, 1].map(|node| End {
            interface: interface(node, (&device, &mine), (theirs.as_deref(), &other), owners, read.len(), findings),
            address: address(node, &mine, &other, owners),
        });
        let taken = links.iter().any(|link| link.name == name);
        let name = if taken { crate::text::as_name(&format!("{name}-{}", links.len()), "link") } else { name };
        let seen = mine.iter().chain(&other).filter_map(|medium| medium.peer).collect();
        links.push(Link { name, ends, seen });
    }
    links
}

fn interface(
    node: usize,
    (mine, media): (&str, &[&Medium]),
    (theirs, other): (Option<&str>, &[&Medium]),
    owners: &[Option<usize>],
    files: usize,
    findings: &mut Findings,
) -> Set<String> {
    let place = media.first().map(|medium| medium.place.clone());
    let from = place.clone().map(|place| place.to_string()).unwrap_or_default();
    if theirs == Some(mine) {
        return Set::known(mine.to_owned(), from);
    }
    let owner = owners.first().copied().flatten();
    match (theirs, owner) {
        (Some(theirs), Some(owner)) if owner != node => {
            Set::known(theirs.to_owned(), other.first().map(|medium| medium.place.to_string()).unwrap_or_default())
        }
        (_, Some(owner)) if owner == node => Set::known(mine.to_owned(), from),
        (Some(theirs), _) => Set::fill_in(format!("{mine} or {theirs}"), from),
        (None, _) if files == 1 => {
            if node == 1 || owner.is_some() {
                findings.add(Kind::Assumed, place, format!("{mine}: taken as the interface of that link on both nodes"));
            }
            Set::known(mine.to_owned(), from)
        }
        (None, _) => Set::fill_in(format!("its end of {mine}"), format!("{from}: the other node's ha.cf has no such path")),
    }
}

/// `ucast` names the other node's address, so a file gives the address of the node whose file it is not. A line for the own address is ignored
/// by heartbeat, so files that are equal on both nodes have both.
fn address(node: usize, mine: &[&Medium], theirs: &[&Medium], owners: &[Option<usize>]) -> Set<IpAddr> {
    let mut known: Vec<(IpAddr, Place)> = Vec::new();
    let mut any: Vec<(IpAddr, Place)> = Vec::new();
    for (n, media) in [mine, theirs].into_iter().enumerate() {
        let mut peers: Vec<(IpAddr, Place)> = Vec::new();
        for medium in media {
            if let Some(peer) = medium.peer.filter(|peer| !peers.iter().any(|(other, _)| other == peer)) {
                peers.push((peer, medium.place.clone()));
            }
        }
        let other_owns = owners.get(n).copied().flatten().is_some_and(|owner| owner != node);
        if let ([one], true) = (peers.as_slice(), other_owns) {
            known.push(one.clone());
        }
        any.extend(peers);
    }
    if let Some((address, place)) = known.into_iter().next() {
        return Set::known(address, place);
    }
    let from = mine.first().or(theirs.first()).map(|medium| medium.place.to_string()).unwrap_or_default();
    any.sort();
    any.dedup_by_key(|(address, _)| *address);
    let unknown = owners.first().copied().flatten().is_none();
    match any.as_slice() {
        [] => Set::fill_in("its own address there", from),
        [(one, _)] if unknown => Set::fill_in(format!("its own address; {one} is one of the two"), from),
        [_] => Set::fill_in("its own address there", from),
        all => {
            let all: Vec<String> = all.iter().map(|(address, _)| address.to_string()).collect();
            Set::fill_in(format!("its own address: one of {}", all.join(", ")), from)
        }
    }
}

/// Without its domain.
pub(super) fn short(host: &str) -> &str {
    host.split('.').next().unwrap_or(host)
}
