//! `routes` and `rules` of a group: what the kernel's routing gets while this node has the group's addresses.

use std::net::IpAddr;

use toml::Spanned;

use super::error::{ConfigError, Found, Problem};
use super::network::{network, same_network};
use super::parts::{NodeConfig, VipConfig};
use super::place::At;
use super::raw_route::{RawRoute, RawRule};
use super::route::{Network, RouteConfig, RouteDevice, RuleConfig};
use super::source::Source;
use super::value::{family, interface, link_id, unicast, whole};

/// A group's surroundings, as far as they could be read.
pub(super) struct Around<'a> {
    pub source: &'a Source,
    /// The group's own VIPs, by the text alone.
    pub addresses: &'a [IpAddr],
    /// The same with their links; some may be missing.
    pub vips: &'a [VipConfig],
    pub nodes: Option<&'a [NodeConfig; 2]>,
}

impl Around<'_> {
    /// One route, where nodes and VIPs are known; and what it is to the kernel's table.
    pub fn route(&self, spanned: &Spanned<RawRoute>) -> Result<Option<RouteConfig>, ConfigError> {
        let raw = spanned.get_ref();
        let mut found = Found::default();
        let via = raw.via.as_ref().and_then(|text| found.keep(self.gateway(text)));
        let source = raw.source.as_ref().and_then(|text| found.keep(self.vip(text)));
        let v4 = via.or(source).or(self.addresses.first().copied()).is_none_or(|address| address.is_ipv4());
        let to = found.keep(self.network(&raw.to, v4));
        if let Some(to) = to {
            for (text, address) in [(&raw.via, via), (&raw.source, source)] {
                if let (Some(text), Some(address)) = (text, address)
                    && address.is_ipv4() != to.address.is_ipv4()
                {
                    found.add(self.bad(text, format!("{to} is {}", family(to.address.is_ipv4()))));
                }
            }
            if let Some(error) = self.own_way(raw, &to) {
                found.add(error);
            }
        }
        if raw.via.is_none() && raw.onlink {
            found.add(self.bad(&raw.to, "`onlink` is about a gateway, and there is no `via`"));
        }
        let table = match &raw.table {
            Some(number) => found.keep(self.table(number)),
            None => Some(MAIN),
        };
        let metric = raw.metric.as_ref().map(|number| whole(self.source, number, 0, u32::MAX.into()));
        let metric = metric.map(|number| number.map(|number| u32::try_from(number).unwrap_or_default()));
        let metric = metric.map_or(Some(None), |number| found.keep(number).map(Some));
        let device = match (&raw.link, &raw.interface) {
            (Some(_), Some(other)) => {
                found.add(self.bad(other, "beside `link`; allowed: one of the two"));
                None
            }
            (None, Some(name)) => found.keep(interface(self.source, name)).map(RouteDevice::Interface),
            (Some(link), None) => {
                self.nodes.and_then(|nodes| found.keep(link_id(self.source, link, nodes))).map(RouteDevice::Link)
            }
            (None, None) => {
                let vip = self.vips.iter().find(|vip| Some(vip.address) == source).or(self.vips.first());
                vip.map(|vip| RouteDevice::Link(vip.link))
            }
        };
        let whole = || {
            let to = to?;
            // 0 is 1024 to IPv6 (net/ipv6/route.c, IP6_RT_PRIO_USER).
            let usual = if to.address.is_ipv4() { 0 } else { 1024 };
            let metric = metric?.filter(|metric| *metric > 0).unwrap_or(usual);
            Some(RouteConfig { to, via, device: device?, source, table: table?, metric, onlink: raw.onlink })
        };
        let route = whole();
        found.done(Some(route))
    }

    /// One rule.
    pub fn rule(&self, spanned: &Spanned<RawRule>) -> Result<RuleConfig, ConfigError> {
        let raw = spanned.get_ref();
        let mut found = Found::default();
        if raw.from.is_none() && raw.to.is_none() && raw.fwmark.is_none() {
            let why = "it is about every packet; allowed: at least one of `from`, `to`, `fwmark`";
            return Err(self.source.error(spanned.span(), Problem::BadRoute(why.to_owned())));
        }
        let v4 = self.addresses.first().is_none_or(|address| address.is_ipv4());
        let [from, to] = [&raw.from, &raw.to].map(|text| text.as_ref().and_then(|text| found.keep(self.network(text, v4))));
        if let (Some(from), Some(to), Some(text)) = (from, to, &raw.to)
            && from.address.is_ipv4() != to.address.is_ipv4()
        {
            found.add(self.bad(text, format!("`from` is {}", family(from.address.is_ipv4()))));
        }
        let v4 = from.or(to).map_or(v4, |network| network.address.is_ipv4());
        let mut mark = |number: &Option<Spanned<i64>>, least| {
            let number = found.keep(whole(self.source, number.as_ref()?, least, u32::MAX.into()))?;
            u32::try_from(number).ok()
        };
        let (fwmark, fwmask) = (mark(&raw.fwmark, 0), mark(&raw.fwmask, 1));
        match (&raw.fwmark, &raw.fwmask) {
            (None, Some(mask)) => found.add(self.bad(mask, "without `fwmark`")),
            // Without a mask 0 is no mark to the kernel.
            (Some(mark), None) if fwmark == Some(0) => {
                found.add(self.bad(mark, "0 without `fwmask`, which is about every packet"))
            }
            _ => {}
        }
        let table = found.keep(self.table(&raw.table));
        let priority = found.keep(whole(self.source, &raw.priority, 1, u32::MAX.into()));
        let everything = |network: &Network| network.prefix == 0;
        let whole = || {
            Some(RuleConfig {
                v4,
                from: from.filter(|network| !everything(network)),
                to: to.filter(|network| !everything(network)),
                fwmark: fwmark.map(|mark| (mark, fwmask.unwrap_or(u32::MAX))),
                table: table?,
                priority: u32::try_from(priority?).ok()?,
            })
        };
        let rule = whole();
        found.done(rule)
    }

    fn bad<T>(&self, at: &Spanned<T>, why: impl Into<String>) -> ConfigError {
        self.source.error(at.span(), Problem::BadRoute(why.into()))
    }

    /// A network with its prefix, a single address, or `default` of the family that the rest is of.
    fn network(&self, text: &Spanned<String>, v4: bool) -> Result<Network, ConfigError> {
        let words = text.get_ref().as_str();
        if words == "default" {
            let address = if v4 { IpAddr::from([0, 0, 0, 0]) } else { IpAddr::from([0_u16; 8]) };
            return Ok(Network { address, prefix: 0 });
        }
        let allowed = "allowed: \"default\", a network as in \"10.9.0.0/16\", or an address";
        let (address, prefix) = words.split_once('/').map_or((words, None), |(address, prefix)| (address, Some(prefix)));
        let address = address.parse::<IpAddr>().map_err(|_| self.bad(text, format!("no network; {allowed}")))?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let digits = |prefix: &&str| !prefix.is_empty() && prefix.bytes().all(|b| b.is_ascii_digit());
        let prefix = match prefix {
            None => most,
            Some(prefix) => {
                let prefix = Some(prefix).filter(digits).and_then(|prefix| prefix.parse::<u8>().ok());
                prefix.filter(|prefix| *prefix <= most).ok_or_else(|| self.bad(text, format!("the prefix is not 0 to {most}")))?
            }
        };
        if matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
            return Err(self.bad(text, "an IPv4 address in IPv6 clothes; write it as IPv4"));
        }
        let whole = network(address, prefix);
        if whole != format!("{address}/{prefix}") {
            return Err(self.bad(text, format!("it has bits beyond its prefix; the network is {whole}")));
        }
        Ok(Network { address, prefix })
    }

    fn gateway(&self, text: &Spanned<String>) -> Result<IpAddr, ConfigError> {
        let address = super::value::address(self.source, text)?;
        if self.addresses.contains(&address) {
            return Err(
                self.bad(text, "a VIP of this group, which this node has itself then; allowed: another machine's address")
            );
        }
        Ok(address)
    }

    fn vip(&self, text: &Spanned<String>) -> Result<IpAddr, ConfigError> {
        let address = text.get_ref().parse::<IpAddr>().ok().and_then(|address| unicast(address).ok());
        address.filter(|address| self.addresses.contains(address)).ok_or_else(|| {
            let all = self.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            self.bad(text, format!("no VIP of this group; allowed: {all}"))
        })
    }

    fn table(&self, number: &Spanned<i64>) -> Result<u32, ConfigError> {
        let table = u32::try_from(whole(self.source, number, 1, u32::MAX.into())?).unwrap_or_default();
        if table == LOCAL {
            return Err(self.bad(number, "the table of this machine's own addresses; allowed: any other, 254 is `main`"));
        }
        Ok(table)
    }

    /// A route that would lead this node's heartbeats away.
    fn own_way(&self, raw: &RawRoute, to: &Network) -> Option<ConfigError> {
        let all = if to.address.is_ipv4() { 32 } else { 128 };
        let mut nodes = self.nodes?.iter().flat_map(|node| node.links.iter().map(move |link| (node, link)));
        let (node, link) = nodes.find(|(_, link)| to.prefix == all && same_network(link.address, to.address, all))?;
        let why = format!("the address of {} on link `{}`: a route there would lead heartbeats away", node.name, link.name);
        Some(self.bad(&raw.to, why))
    }
}

/// Where a route stands whose table the file does not name.
const MAIN: u32 = 254;
/// The kernel's own.
const LOCAL: u32 = 255;

/// All of one kind of a group; what is there already of the file goes into `taken`.
pub(super) fn each<R, T, K: PartialEq>(
    source: &Source,
    raw: &[Spanned<R>],
    found: &mut Found,
    taken: &mut Vec<(K, At)>,
    read: impl Fn(&Spanned<R>) -> Result<Option<T>, ConfigError>,
    key: impl Fn(&T) -> K,
    words: impl Fn(&T) -> String,
) -> Vec<T> {
    let mut all = Vec::new();
    for raw in raw {
        let Some(one) = found.keep(read(raw)).flatten() else { continue };
        let (place, key) = (raw.span(), key(&one));
        match taken.iter().find(|(other, _)| *other == key) {
            Some((_, other)) => {
                found.add(source.error(place, Problem::Duplicate { what: words(&one), other: source.place(other) }));
            }
            None => {
                taken.push((key, place));
                all.push(one);
            }
        }
    }
    all
}
