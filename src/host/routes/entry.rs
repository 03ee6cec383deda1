//! A route and a rule: plain data.

use std::fmt;
use std::net::IpAddr;

/// A network: address and prefix.
pub type Network = (IpAddr, u8);

/// One route.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route {
    /// Where it leads; prefix 0 is everything.
    pub to: Network,
    /// The gateway, of the same family.
    pub via: Option<IpAddr>,
    /// What it goes out on.
    pub interface: String,
    /// The source of this machine's own packets (RTA_PREFSRC); one of its addresses.
    pub source: Option<IpAddr>,
    /// The routing table.
    pub table: u32,
    /// RTA_PRIORITY.
    pub metric: u32,
    /// RTNH_F_ONLINK.
    pub onlink: bool,
}

/// One rule that names a table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Whether it is about IPv4.
    pub v4: bool,
    /// From this network; none: from all.
    pub from: Option<Network>,
    /// To this network; none: to all.
    pub to: Option<Network>,
    /// The mark and its mask.
    pub fwmark: Option<(u32, u32)>,
    /// The routing table.
    pub table: u32,
    /// FRA_PRIORITY.
    pub priority: u32,
}

/// Either.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Entry {
    /// A route.
    Route(Route),
    /// A rule.
    Rule(Rule),
}

impl fmt::Display for Entry {
    /// As ip(8) writes them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Entry::Route(route) => write!(f, "route {route}"),
            Entry::Rule(rule) => write!(f, "rule {rule}"),
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to {
            (_, 0) => f.write_str("default")?,
            (address, prefix) => write!(f, "{address}/{prefix}")?,
        }
        if let Some(via) = self.via {
            write!(f, " via {via}")?;
        }
        write!(f, " dev {} table {}", self.interface, self.table)?;
        if let Some(source) = self.source {
            write!(f, " src {source}")?;
        }
        if self.metric > 0 { write!(f, " metric {}", self.metric) } else { Ok(()) }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let network =
            |network: Option<Network>| network.map_or("all".to_owned(), |(address, prefix)| format!("{address}/{prefix}"));
        write!(f, "{} from {}", self.priority, network(self.from))?;
        if self.to.is_some() {
            write!(f, " to {}", network(self.to))?;
        }
        if let Some((mark, mask)) = self.fwmark {
            write!(f, " fwmark {mark:#x}/{mask:#x}")?;
        }
        write!(f, " lookup {}", self.table)
    }
}
