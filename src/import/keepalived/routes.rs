//! A line of `virtual_routes` or `virtual_rules`, in the words of ip(8), as a table of the file.

use std::net::IpAddr;

use super::conf::Instance;
use super::tree::Block;
use crate::draft::{Draft, Table};
use crate::finding::Kind;
use crate::text::{quoted, shown};

/// What an instance has of both, behind what its group has already; what cannot be taken over is told.
pub(super) fn take(
    draft: &mut Draft,
    instance: &Instance,
    theirs: Option<&Instance>,
    routes: &mut Vec<Table>,
    rules: &mut Vec<Table>,
) {
    let words = |lines: &[Block]| lines.iter().map(|line| line.words.clone()).collect::<Vec<_>>();
    if let Some(theirs) =
        theirs.filter(|theirs| words(&theirs.routes) != words(&instance.routes) || words(&theirs.rules) != words(&instance.rules))
    {
        let words = format!(
            "vrrp_instance {} has other virtual_routes or virtual_rules than on the other node: the first file's were taken",
            shown(&instance.name)
        );
        draft.findings.add(Kind::ByHand, theirs.place.clone(), words);
    }
    for line in &instance.routes {
        match route(line) {
            Ok(read) => {
                let device = device(draft, instance, &read, line);
                let keys = read.keys.into_iter().chain(device).collect();
                routes.push(Table { keys, from: line.place.to_string() });
            }
            Err(why) => left(draft, "virtual_routes", line, &why),
        }
    }
    for line in &instance.rules {
        match rule(line) {
            Ok(mut read) => {
                if !read.keys.iter().any(|(key, _)| *key == "priority") {
                    // Before the kernel's own, which ask the main table.
                    let priority = 32_765_usize.saturating_sub(rules.len());
                    let words = format!("a rule without a priority: {priority} taken; rules are asked by ascending priority");
                    draft.findings.add(Kind::Assumed, line.place.clone(), words);
                    read.keys.push(("priority", priority.to_string()));
                }
                rules.push(Table { keys: read.keys, from: line.place.to_string() });
            }
            Err(why) => left(draft, "virtual_rules", line, &why),
        }
    }
}

fn left(draft: &mut Draft, what: &str, line: &Block, why: &str) {
    let words = format!("{what}: {}: not taken over: {why}", shown(&line.words.join(" ")));
    draft.findings.add(Kind::ByHand, line.place.clone(), words);
}

/// The link of its interface, or the interface where it is no link's.
fn device(draft: &mut Draft, instance: &Instance, read: &Read, line: &Block) -> Option<(&'static str, String)> {
    let Some(device) = &read.device else {
        let own = instance.interface.as_ref().map(|(name, _)| name.clone());
        let words = "a route without `dev`: taken as one on the interface of its instance";
        draft.findings.add(Kind::Assumed, line.place.clone(), words);
        return own.and_then(|own| Some(("link", quoted(&draft.links.get(draft.link_on(&own)?)?.name))));
    };
    let link = draft.link_on(device).and_then(|place| draft.links.get(place));
    Some(link.map_or_else(|| ("interface", quoted(device)), |link| ("link", quoted(&link.name))))
}

/// The keys and values of a table, as they stand in the file; a device is still one.
#[derive(Clone, Debug, PartialEq, Default)]
pub(super) struct Read {
    pub keys: Vec<(&'static str, String)>,
    pub device: Option<String>,
}

/// A route.
///
/// # Errors
/// What of it has no counterpart, in words.
pub(super) fn route(line: &Block) -> Result<Read, String> {
    let mut read = Read::default();
    let mut words = line.words.iter().map(String::as_str).peekable();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("`{}` without a value", shown(word)));
        match word {
            "to" => read.put("to", network(value()?)?)?,
            "src" => read.put("source", address(value()?)?)?,
            "via" | "gw" => {
                let gateway = match value()? {
                    "inet" | "inet6" => value()?,
                    gateway => gateway,
                };
                read.put("via", address(gateway)?)?;
            }
            "dev" | "oif" => read.device = Some(value()?.to_owned()),
            "table" => read.put("table", table(value()?)?)?,
            "metric" | "priority" | "preference" => read.put("metric", number(word, value()?)?)?,
            "onlink" => read.put("onlink", "true".to_owned())?,
            // A gateway makes it `global`, none `link`: what the kernel takes by itself.
            "scope" if matches!(words.peek(), Some(&"global" | &"link" | &"universe")) => drop(words.next()),
            // Of one that twinbeat tries to set as long as the group is here.
            "no_track" | "unicast" => {}
            text if read.keys.iter().all(|(key, _)| *key != "to") => read.put("to", network(text)?)?,
            other => return Err(format!("`{}`", shown(other))),
        }
    }
    let to = read.keys.iter().any(|(key, _)| *key == "to");
    if to { Ok(read) } else { Err("it leads nowhere".to_owned()) }
}

/// A rule.
///
/// # Errors
/// What of it has no counterpart, in words.
pub(super) fn rule(line: &Block) -> Result<Read, String> {
    let mut read = Read::default();
    let mut words = line.words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("`{}` without a value", shown(word)));
        match word {
            "from" | "to" => match value()? {
                "all" | "any" | "default" => {}
                text => read.put(if word == "from" { "from" } else { "to" }, network(text)?)?,
            },
            "table" | "lookup" => read.put("table", table(value()?)?)?,
            "priority" | "prio" | "preference" | "pref" | "order" => read.put("priority", number(word, value()?)?)?,
            "fwmark" => {
                let text = value()?;
                let (mark, mask) = text.split_once('/').map_or((text, None), |(mark, mask)| (mark, Some(mask)));
                read.put("fwmark", number(word, mark)?)?;
                if let Some(mask) = mask {
                    read.put("fwmask", number(word, mask)?)?;
                }
            }
            "no_track" | "inet" | "inet6" => {}
            other => return Err(format!("`{}`", shown(other))),
        }
    }
    let has = |wanted: &[&str]| read.keys.iter().any(|(key, _)| wanted.contains(key));
    match (has(&["table"]), has(&["from", "to", "fwmark"])) {
        (true, true) => Ok(read),
        (false, _) => Err("it names no table".to_owned()),
        (true, false) => Err("it is about every packet".to_owned()),
    }
}

impl Read {
    fn put(&mut self, key: &'static str, value: String) -> Result<(), String> {
        if self.keys.iter().any(|(other, _)| *other == key) {
            return Err(format!("`{key}` twice"));
        }
        self.keys.push((key, value));
        Ok(())
    }
}

/// What `twinbeat-config` judges further: bits beyond the prefix, families.
fn network(text: &str) -> Result<String, String> {
    let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let good = address.parse::<IpAddr>().is_ok() && prefix.is_none_or(|prefix| prefix.parse::<u8>().is_ok());
    if text == "default" || good { Ok(quoted(text)) } else { Err(format!("`{}`", shown(text))) }
}

fn address(text: &str) -> Result<String, String> {
    let address = text.split('/').next().unwrap_or_default().parse::<IpAddr>();
    address.map(|address| quoted(&address.to_string())).map_err(|_| format!("`{}` is no IP address", shown(text)))
}

fn table(text: &str) -> Result<String, String> {
    match text {
        "main" => Ok("254".to_owned()),
        "default" => Ok("253".to_owned()),
        _ => number("table", text).map_err(|_| {
            format!("`table {}`, which is a name of /etc/iproute2/rt_tables: twinbeat takes its number", shown(text))
        }),
    }
}

/// As ip(8) reads one: with `0x`, too.
fn number(word: &str, text: &str) -> Result<String, String> {
    let hex = text.strip_prefix("0x").map(|digits| u32::from_str_radix(digits, 16));
    let number = hex.unwrap_or_else(|| text.parse::<u32>());
    number.map(|number| number.to_string()).map_err(|_| format!("`{} {}` is no number", shown(word), shown(text)))
}
