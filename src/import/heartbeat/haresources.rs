//! haresources: one logical line a group, first the node, then what moves, in the order in which it starts.

use std::net::{IpAddr, Ipv4Addr};

use crate::network::prefix_of_mask;
use crate::text::{MOST_OF_A_KIND, Place, Source, Wrong, enough, shown};

/// A line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    pub node: String,
    pub resources: Vec<Resource>,
    pub place: Place,
}

/// What moves with it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Resource {
    Address(Address),
    /// A script that takes no arguments.
    Script(String),
    /// A script of `/etc/ha.d/resource.d`, with what stands before its action.
    WithArguments(String, Vec<String>),
    /// A script of heartbeat that calls an OCF agent: the agent, and the parameter that the argument is.
    Agent(String, &'static str, String),
    /// Without a counterpart, as written, and why.
    Other(String, &'static str),
}

/// `IPaddr::ADDRESS/PREFIX/INTERFACE:LABEL/BROADCAST`, with whatever of it is there.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Address {
    pub address: IpAddr,
    pub prefix: Option<u8>,
    pub device: Option<String>,
    pub label: Option<String>,
    pub broadcast: bool,
}

/// Reads it; what is wrong goes into `wrong`.
pub(crate) fn parse(source: &Source, wrong: &mut Vec<Wrong>) -> Vec<Line> {
    let (mut all, mut whole, mut begun) = (Vec::new(), String::new(), 0);
    let last = source.text.lines().count();
    for (n, line) in (1..).zip(source.text.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim_end();
        if whole.is_empty() {
            begun = n;
        }
        match line.strip_suffix('\\') {
            Some(part) if n < last => {
                whole.push_str(part);
                whole.push(' ');
                continue;
            }
            part => whole.push_str(part.unwrap_or(line)),
        }
        let text = std::mem::take(&mut whole);
        let mut words = text.split_whitespace();
        let Some(node) = words.next() else { continue };
        let place = source.at(begun);
        if enough(wrong) || all.len() >= MOST_OF_A_KIND || words.clone().count() > MOST_OF_A_KIND {
            wrong.push(Wrong::new(place, "not read on: too much of it"));
            break;
        }
        let mut resources = Vec::new();
        for word in words {
            match resource(word) {
                Ok(one) => resources.push(one),
                Err(why) => wrong.push(Wrong::new(place.clone(), format!("`{}`: {why}", shown(word)))),
            }
        }
        if resources.is_empty() && !wrong.iter().any(|wrong| wrong.place == place) {
            let words = format!(
                "`{}` alone: a line is a node and what moves, as in `master1 IPaddr::192.168.42.14/25/eth0 nginx`",
                shown(node)
            );
            wrong.push(Wrong::new(place.clone(), words));
        }
        all.push(Line { node: node.to_owned(), resources, place });
    }
    all
}

fn resource(word: &str) -> Result<Resource, String> {
    let bare = |text: &str| text.split('/').next().is_some_and(|text| text.parse::<IpAddr>().is_ok());
    if bare(word) {
        return address(word).map(Resource::Address);
    }
    // An IPv6 address may have a `::` of its own.
    if let Some((_, rest)) = word.split_once("::").filter(|(name, _)| matches!(*name, "IPaddr" | "IPaddr2" | "IPv6addr")) {
        return address(rest).map(Resource::Address);
    }
    let mut parts = word.split("::");
    let name = parts.next().unwrap_or_default();
    let arguments: Vec<&str> = parts.collect();
    if matches!(name, "IPaddr" | "IPaddr2" | "IPv6addr") {
        return Err("an address is missing behind `::`".to_owned());
    }
    // A dotted number that is no address is a mistake and no script.
    if name.contains('.') && name.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'/') {
        return address(name).map(Resource::Address);
    }
    if let (Some((_, parameter)), [value]) = (AGENTS.iter().find(|(agent, _)| *agent == name), arguments.as_slice()) {
        return Ok(Resource::Agent(name.to_owned(), parameter, (*value).to_owned()));
    }
    let left = LEFT_OUT.iter().find(|(names, _)| names.contains(&name)).map(|(_, why)| *why);
    match left {
        Some(why) => Ok(Resource::Other(word.to_owned(), why)),
        None if name.is_empty() => Err("no resource".to_owned()),
        None if !arguments.is_empty() && (name.contains('/') || name.starts_with(['.', '-'])) => {
            Err("not the name of a script of resource.d".to_owned())
        }
        None if !arguments.is_empty() => {
            Ok(Resource::WithArguments(name.to_owned(), arguments.iter().map(|word| (*word).to_owned()).collect()))
        }
        None => Ok(Resource::Script(name.to_owned())),
    }
}

fn address(text: &str) -> Result<Address, String> {
    let mut parts = text.split('/');
    let first = parts.next().unwrap_or_default();
    let address: IpAddr = first.parse().map_err(|_| format!("`{}` is no IP address", shown(first)))?;
    let mut found = Address { address, prefix: None, device: None, label: None, broadcast: false };
    let most = if address.is_ipv4() { 32 } else { 128 };
    for (place, part) in parts.enumerate() {
        let mask = part.parse::<Ipv4Addr>().ok();
        match (place, part.parse::<u8>().ok().filter(|prefix| (1..=most).contains(prefix)), mask) {
            (_, _, _) if part.is_empty() => {}
            (0, Some(prefix), _) => found.prefix = Some(prefix),
            (0, None, Some(mask)) if address.is_ipv4() => {
                found.prefix = Some(prefix_of_mask(mask).ok_or_else(|| format!("`{mask}` is no netmask"))?);
            }
            (_, _, Some(_)) => found.broadcast = true,
            (0, None, None) if part.bytes().all(|b| b.is_ascii_digit()) => return Err(format!("the prefix is not 1 to {most}")),
            (_, None, None) if found.device.is_none() => {
                let (device, label) = part.split_once(':').map_or((part, None), |(device, label)| (device, Some(label)));
                found.device = Some(device.to_owned());
                found.label = label.filter(|label| !label.is_empty()).map(str::to_owned);
            }
            _ => return Err(format!("`{}` is neither prefix, interface nor broadcast address", shown(part))),
        }
    }
    Ok(found)
}

/// Scripts of heartbeat's that call the OCF agent of their own name, and the parameter that their one argument is (resource.d/NAME).
const AGENTS: [(&str, &str); 4] = [("apache", "configfile"), ("Xinetd", "service"), ("db2", "instance"), ("WAS", "config")];

/// Resource scripts that come with heartbeat and are no services.
const LEFT_OUT: [(&[&str], &str); 8] = [
    (
        &["drbddisk", "drbdupper"],
        "promotes a DRBD device, which must not happen on both nodes: by hand, with { ocf = \"ocf:linbit:drbd\", role = \"promoted\", … } and how each node is turned off (docs/SERVICES.md, \"Fencing\")",
    ),
    (
        &["Filesystem", "LVM", "Raid1", "ServeRAID", "LinuxSCSI", "ids", "ICP"],
        "a disk that moves: by hand, with { ocf = \"ocf:heartbeat:Filesystem\", parameters = { … } } and how each node is turned off (docs/SERVICES.md, \
         \"Fencing\"). Where two mounts at once do no harm, a mount unit in `services` does it ({ systemd = \"srv-data.mount\" })",
    ),
    (
        &["MailTo", "AudibleAlarm", "WinPopup"],
        "tells people of a move: [[hooks]] does, with dist/hooks/mail for a mail (docs/OPERATIONS.md, \"Hooks\")",
    ),
    (&["SendArp"], "twinbeat announces each address by itself"),
    (
        &["IPsrcaddr"],
        "no source address for what this machine sends: a systemd unit may set the route (ip route replace default … src …)",
    ),
    (&["portblock"], "ports are not blocked; a standby's gate answers for no address"),
    (&["Delay"], "no waiting between services: a unit's own start says when it is ready"),
    (
        &["OCF", "Xinetd", "WAS", "WAS6", "db2", "hto-mapfuncs"],
        "an OCF agent, whose parameters are not in haresources: { ocf = \"ocf:heartbeat:NAME\", parameters = { … } } in `services` (docs/SERVICES.md)",
    ),
];
