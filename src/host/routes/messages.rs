//! Routes and rules as messages, and back: what is compared is what the kernel would be told.

use std::fmt;
use std::io;
use std::net::IpAddr;

use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::entry::{Entry, Network, Route, Rule};

/// A route or rule with its interface's index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Shape {
    Route { to: Network, via: Option<IpAddr>, index: u32, source: Option<IpAddr>, table: u32, metric: u32, onlink: bool },
    Rule(Rule),
}

/// One that carries our mark.
pub(super) struct Found {
    pub shape: Shape,
    message: RouteNetlinkMessage,
}

/// What tells all routes that there are, whoever set them.
pub(super) fn all_routes() -> Vec<RouteNetlinkMessage> {
    let of = |family| {
        let mut route = RouteMessage::default();
        route.header.address_family = family;
        RouteNetlinkMessage::GetRoute(route)
    };
    [AddressFamily::Inet, AddressFamily::Inet6].map(of).into()
}

/// A route of another hand.
pub(super) fn foreign(answer: &RouteNetlinkMessage) -> Option<Shape> {
    let RouteNetlinkMessage::NewRoute(message) = answer else { return None };
    (message.header.protocol != RouteProtocol::Other(PROTOCOL)).then(|| route_of(message))?
}

/// What tells all that carries our mark, of both families.
pub(super) fn questions() -> Vec<RouteNetlinkMessage> {
    let mut all = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut route = RouteMessage::default();
        route.header.address_family = family;
        // A router's whole table is not told where the kernel knows this filter (Linux 4.20).
        route.header.protocol = RouteProtocol::Other(PROTOCOL);
        let mut rule = RuleMessage::default();
        rule.header.family = family;
        all.extend([RouteNetlinkMessage::GetRoute(route), RouteNetlinkMessage::GetRule(rule)]);
    }
    all
}

impl Shape {
    /// As it is to be, on this machine now.
    pub fn of(entry: &Entry) -> io::Result<Shape> {
        match entry {
            Entry::Rule(rule) => Ok(Shape::Rule(rule.clone())),
            Entry::Route(Route { to, via, interface, source, table, metric, onlink }) => {
                let index = nix::net::if_::if_nametoindex(interface.as_str())
                    .map_err(|_| io::Error::other(format!("there is no interface {interface}")))?;
                let (to, via, source, table, metric, onlink) = (*to, *via, *source, *table, *metric, *onlink);
                Ok(Shape::Route { to, via, index, source, table, metric, onlink })
            }
        }
    }

    /// What sets it.
    pub fn addition(&self) -> RouteNetlinkMessage {
        match self {
            Shape::Rule(rule) => RouteNetlinkMessage::NewRule(rule_message(rule)),
            Shape::Route { to, via, index, source, table, metric, onlink } => {
                let mut message = RouteMessage::default();
                message.header.address_family = family(to.0);
                message.header.destination_prefix_length = to.1;
                message.header.table = RouteHeader::RT_TABLE_UNSPEC;
                message.header.protocol = RouteProtocol::Other(PROTOCOL);
                let on_the_wire = via.is_none() && to.0.is_ipv4();
                message.header.scope = if on_the_wire { RouteScope::Link } else { RouteScope::Universe };
                message.header.kind = RouteType::Unicast;
                if *onlink {
                    message.header.flags = RouteFlags::Onlink;
                }
                message.attributes =
                    vec![RouteAttribute::Table(*table), RouteAttribute::Priority(*metric), RouteAttribute::Oif(*index)];
                if to.1 > 0 {
                    message.attributes.push(RouteAttribute::Destination(address(to.0)));
                }
                message.attributes.extend(via.map(|via| RouteAttribute::Gateway(address(via))));
                message.attributes.extend(source.map(|source| RouteAttribute::PrefSource(address(source))));
                RouteNetlinkMessage::NewRoute(message)
            }
        }
    }
}

impl Found {
    /// One that an answer of a dump tells of, where it carries our mark.
    pub fn of(answer: &RouteNetlinkMessage) -> Option<Found> {
        let shape = match answer {
            RouteNetlinkMessage::NewRoute(message) if message.header.protocol == RouteProtocol::Other(PROTOCOL) => {
                route_of(message)?
            }
            RouteNetlinkMessage::NewRule(message) => Shape::Rule(rule_of(message)?),
            _ => return None,
        };
        Some(Found { shape, message: answer.clone() })
    }

    /// Whether it is a rule.
    pub fn rule(&self) -> bool {
        matches!(self.shape, Shape::Rule(_))
    }

    /// What takes this very one away: it names all that the kernel compares, the mark among it.
    pub fn deletion(&self) -> RouteNetlinkMessage {
        match (&self.shape, &self.message) {
            (Shape::Rule(rule), _) => RouteNetlinkMessage::DelRule(rule_message(rule)),
            // As it is told, since IPv4 compares its scope as well.
            (_, RouteNetlinkMessage::NewRoute(message)) => {
                let mut message = message.clone();
                message.header.flags = RouteFlags::empty();
                message.header.table = RouteHeader::RT_TABLE_UNSPEC;
                message.attributes.retain(|attribute| {
                    use RouteAttribute::{Destination, Gateway, Oif, PrefSource, Priority, Table};
                    matches!(attribute, Destination(_) | Gateway(_) | Oif(_) | PrefSource(_) | Priority(_) | Table(_))
                });
                RouteNetlinkMessage::DelRoute(message)
            }
            (_, other) => other.clone(),
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entry = match &self.shape {
            Shape::Rule(rule) => Entry::Rule(rule.clone()),
            Shape::Route { to, via, index, source, table, metric, onlink } => {
                let name = nix::net::if_::if_indextoname(*index).ok().and_then(|name| name.into_string().ok());
                let interface = name.unwrap_or_else(|| index.to_string());
                let (to, via, source, table, metric, onlink) = (*to, *via, *source, *table, *metric, *onlink);
                Entry::Route(Route { to, via, interface, source, table, metric, onlink })
            }
        };
        entry.fmt(f)
    }
}

fn route_of(message: &RouteMessage) -> Option<Shape> {
    let header = &message.header;
    if header.flags.contains(RouteFlags::Cloned) {
        return None;
    }
    let everything = any(header.address_family)?;
    let (mut to, mut via, mut index, mut source, mut metric) = (everything, None, 0, None, 0);
    let mut table = u32::from(header.table);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => to = ip(address)?,
            RouteAttribute::Gateway(address) => via = ip(address),
            RouteAttribute::Oif(number) => index = *number,
            RouteAttribute::PrefSource(address) => source = ip(address),
            RouteAttribute::Priority(number) => metric = *number,
            RouteAttribute::Table(number) => table = *number,
            _ => {}
        }
    }
    let onlink = header.flags.contains(RouteFlags::Onlink);
    Some(Shape::Route { to: (to, header.destination_prefix_length), via, index, source, table, metric, onlink })
}

fn rule_message(rule: &Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    message.header.family = if rule.v4 { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.header.src_len = rule.from.map_or(0, |(_, prefix)| prefix);
    message.header.dst_len = rule.to.map_or(0, |(_, prefix)| prefix);
    message.header.action = RuleAction::ToTable;
    message.attributes = vec![
        RuleAttribute::Priority(rule.priority),
        RuleAttribute::Table(rule.table),
        RuleAttribute::Protocol(RouteProtocol::Other(PROTOCOL)),
    ];
    message.attributes.extend(rule.from.map(|(address, _)| RuleAttribute::Source(address)));
    message.attributes.extend(rule.to.map(|(address, _)| RuleAttribute::Destination(address)));
    if let Some((mark, mask)) = rule.fwmark {
        message.attributes.extend([RuleAttribute::FwMark(mark), RuleAttribute::FwMask(mask)]);
    }
    message
}

fn rule_of(message: &RuleMessage) -> Option<Rule> {
    let header = &message.header;
    let (mut from, mut to, mut mark, mut mask, mut table, mut priority) = (None, None, None, None, u32::from(header.table), 0);
    let mut ours = false;
    for attribute in &message.attributes {
        match attribute {
            RuleAttribute::Source(address) => from = Some((*address, header.src_len)),
            RuleAttribute::Destination(address) => to = Some((*address, header.dst_len)),
            RuleAttribute::FwMark(number) => mark = Some(*number),
            RuleAttribute::FwMask(number) => mask = Some(*number),
            RuleAttribute::Table(number) => table = *number,
            RuleAttribute::Priority(number) => priority = *number,
            RuleAttribute::Protocol(protocol) => ours = *protocol == RouteProtocol::Other(PROTOCOL),
            _ => {}
        }
    }
    // A mark of 0 with a mask is told by the mask alone, and no mark as neither.
    let fwmark = if mark.is_none() && mask.is_none() { None } else { Some((mark.unwrap_or(0), mask.unwrap_or(u32::MAX))) };
    let v4 = header.family == AddressFamily::Inet;
    ours.then_some(Rule { v4, from, to, fwmark, table, priority })
}

fn any(family: AddressFamily) -> Option<IpAddr> {
    match family {
        AddressFamily::Inet => Some(IpAddr::from([0, 0, 0, 0])),
        AddressFamily::Inet6 => Some(IpAddr::from([0_u16; 8])),
        _ => None,
    }
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some(IpAddr::V4(*v4)),
        RouteAddress::Inet6(v6) => Some(IpAddr::V6(*v6)),
        _ => None,
    }
}

fn address(address: IpAddr) -> RouteAddress {
    match address {
        IpAddr::V4(v4) => RouteAddress::Inet(v4),
        IpAddr::V6(v6) => RouteAddress::Inet6(v6),
    }
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

/// Marks the routes and rules of groups (RTM protocol, FRA_PROTOCOL), one behind that of the addresses and their networks: `u`, 117. None of
/// /etc/iproute2/rt_protos is it.
pub(super) const PROTOCOL: u8 = 0x75;
