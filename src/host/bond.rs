//! Bonds: which slaves a bond has, which of them carries, and how often each failed; followed by events.
//!
//! As with [`interfaces`](super::interfaces), an event only says when to look. What is read informs a person and nothing else: MII monitoring is
//! blind to a silent cut, and with the ARP monitor a dead peer takes the bond down here. Only received heartbeats are health.
//! Source: Documentation/networking/bonding.rst and `IFLA_BOND_*`, `IFLA_BOND_SLAVE_*` in include/uapi/linux/if_link.h.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::time::Duration;

use netlink_packet_core::NetlinkMessage;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    BondMode, BondPortState, BondPrimaryReselect, InfoBond, InfoBondPort, InfoData, InfoPortData, LinkAttribute, LinkFlags,
    LinkInfo, LinkMessage, MiiStatus,
};
use tokio::io::unix::AsyncFd;

use super::netlink::{Channel, Heard};

/// A bond as the kernel describes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bond {
    /// Its interface's name.
    pub name: String,
    /// `active-backup`, `802.3ad`, … as the kernel names them.
    pub mode: String,
    /// In active-backup: the slave in use; none when there is none, or in another mode.
    pub active: Option<String>,
    /// The slave to be preferred, where one is named.
    pub primary: Option<String>,
    /// When the primary is taken again: `always`, `better`, `failure`.
    pub reselect: String,
    /// Milliseconds between two looks at the slaves' carrier (`miimon`); 0: it never looks.
    pub mii_interval: u32,
    /// Milliseconds between two ARP probes (`arp_interval`); 0: none.
    pub arp_interval: u32,
    /// Its slaves, by name.
    pub slaves: Vec<Slave>,
}

/// One interface of a bond.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Slave {
    /// Its name.
    pub name: String,
    /// How the bond sees its link: `up`, `going_down`, `down`, `going_back`.
    pub mii: String,
    /// Whether the bond sends over it.
    pub active: bool,
    /// How often its link failed since it joined.
    pub failures: u32,
}

impl Slave {
    /// Whether the bond holds its link for good.
    pub fn up(&self) -> bool {
        self.mii == UP
    }
}

impl Bond {
    /// How many slaves are up.
    pub fn up(&self) -> usize {
        self.slaves.iter().filter(|slave| slave.up()).count()
    }

    /// Whether it has all its slaves, and more than one.
    pub fn whole(&self) -> bool {
        self.slaves.len() > 1 && self.up() == self.slaves.len()
    }

    /// What stands out, in one sentence; none when it is whole.
    pub fn trouble(&self) -> Option<String> {
        if self.whole() {
            return None;
        }
        let failed = |slave: &Slave| format!("{} {} ({} failures)", slave.name, slave.mii.replace('_', " "), slave.failures);
        let down: Vec<String> = self.slaves.iter().filter(|slave| !slave.up()).map(failed).collect();
        Some(match self.slaves.as_slice() {
            [] => format!("{} has no slaves", self.name),
            [only] if down.is_empty() => format!("{} has one slave only: {}", self.name, only.name),
            all => format!("{} has {} of {} slaves: {}", self.name, self.up(), all.len(), down.join(", ")),
        })
    }
}

impl fmt::Display for Bond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}) {}/{} slaves", self.name, self.mode, self.up(), self.slaves.len())?;
        self.active.iter().try_for_each(|active| write!(f, ", {active} in use"))
    }
}

/// The bonds under some interfaces: for each the bond that it is, or that it is a VLAN of; none where there is none.
///
/// # Errors
/// When the kernel cannot be asked.
pub fn look(interfaces: &[String]) -> io::Result<Vec<Option<Bond>>> {
    Ok(read(&links(&mut Channel::open(netlink_sys::protocols::NETLINK_ROUTE)?)?, interfaces))
}

/// Watches the bonds under some interfaces.
pub struct Bonds {
    interfaces: Vec<String>,
    now: Vec<Option<Bond>>,
    ask: Channel,
    events: AsyncFd<Channel>,
}

impl Bonds {
    /// Starts to watch; needs a tokio runtime with IO.
    ///
    /// # Errors
    /// When there is no netlink socket.
    pub fn new(interfaces: Vec<String>) -> io::Result<Bonds> {
        let events = Channel::listen(netlink_sys::protocols::NETLINK_ROUTE, &[RTNLGRP_LINK])?;
        #[expect(unsafe_code, reason = "the channel owns its descriptor and names the same one for as long as it lives")]
        let events = unsafe { AsyncFd::register(events) }?;
        let mut ask = Channel::open(netlink_sys::protocols::NETLINK_ROUTE)?;
        let now = read(&links(&mut ask)?, &interfaces);
        Ok(Bonds { interfaces, now, ask, events })
    }

    /// What was read last, in the order of the interfaces.
    pub fn now(&self) -> &[Option<Bond>] {
        &self.now
    }

    /// Waits until something is different: what was there before is returned. Cancel-safe.
    ///
    /// # Errors
    /// When the kernel cannot be heard or asked.
    pub async fn changed(&mut self) -> io::Result<Vec<Option<Bond>>> {
        loop {
            self.wait().await?;
            let now = read(&links(&mut self.ask)?, &self.interfaces);
            if now != self.now {
                return Ok(std::mem::replace(&mut self.now, now));
            }
        }
    }

    /// Until the next link event; where there are bonds, also every [`LOOK_AGAIN`]: not each of their changes is an event on every kernel.
    async fn wait(&mut self) -> io::Result<()> {
        let bonds = self.now.iter().any(Option::is_some);
        let again = async {
            match bonds {
                true => tokio::time::sleep(LOOK_AGAIN).await,
                false => std::future::pending().await,
            }
        };
        tokio::select! {
            ready = self.events.readable() => ready?.retain_ready(),
            () = again => return Ok(()),
        }
        // Events come in flocks (a container starts, a switch reboots), and each look reads every interface of the machine.
        tokio::time::sleep(FLOCK).await;
        let mut ready = self.events.readable_mut().await?;
        while !matches!(ready.get_inner_mut().hear_now::<RouteNetlinkMessage>()?, Heard::Nothing) {}
        ready.clear_ready();
        Ok(())
    }
}

fn links(ask: &mut Channel) -> io::Result<Vec<LinkMessage>> {
    let answers = ask.dump(NetlinkMessage::from(RouteNetlinkMessage::GetLink(LinkMessage::default())))?;
    Ok(answers.into_iter().filter_map(|a| if let RouteNetlinkMessage::NewLink(link) = a { Some(link) } else { None }).collect())
}

/// Pure: what all interfaces together say of the bonds under the wanted ones.
pub(crate) fn read(links: &[LinkMessage], wanted: &[String]) -> Vec<Option<Bond>> {
    let names: BTreeMap<u32, &str> = links.iter().filter_map(|link| Some((link.header.index, name(link)?))).collect();
    let by_index = |index: u32| links.iter().find(|link| link.header.index == index);
    let bond_of = |wanted: &String| {
        let link = links.iter().find(|link| name(link) == Some(wanted.as_str()))?;
        match bond_data(link) {
            Some(data) => Some(bond(link, data, links, &names)),
            // a VLAN of a bond names it as the interface below
            None => {
                let below = link.attributes.iter().find_map(|a| if let LinkAttribute::Link(i) = a { Some(*i) } else { None })?;
                let below = by_index(below)?;
                Some(bond(below, bond_data(below)?, links, &names))
            }
        }
    };
    wanted.iter().map(bond_of).collect()
}

fn bond(link: &LinkMessage, data: &[InfoBond], links: &[LinkMessage], names: &BTreeMap<u32, &str>) -> Bond {
    let index = link.header.index;
    let named = |index: u32| names.get(&index).map(|name| (*name).to_owned());
    let mut bond = Bond {
        name: named(index).unwrap_or_default(),
        mode: BondMode::default().to_string(),
        active: None,
        primary: None,
        reselect: BondPrimaryReselect::default().to_string(),
        mii_interval: 0,
        arp_interval: 0,
        slaves: Vec::new(),
    };
    for part in data {
        match part {
            InfoBond::Mode(mode) => bond.mode = mode.to_string(),
            InfoBond::ActivePort(index) => bond.active = named(*index),
            InfoBond::Primary(index) => bond.primary = named(*index),
            InfoBond::PrimaryReselect(reselect) => bond.reselect = reselect.to_string(),
            InfoBond::MiiMon(ms) => bond.mii_interval = *ms,
            InfoBond::ArpInterval(ms) => bond.arp_interval = *ms,
            _ => {}
        }
    }
    bond.slaves = links.iter().filter(|l| l.attributes.contains(&LinkAttribute::Controller(index))).filter_map(slave).collect();
    bond.slaves.sort_by(|a, b| a.name.cmp(&b.name));
    bond
}

/// A slave that says nothing of itself counts by its carrier.
fn slave(link: &LinkMessage) -> Option<Slave> {
    let carrier = link.header.flags.contains(LinkFlags::Up | LinkFlags::LowerUp);
    let (mut mii, mut active, mut failures) = (None, false, 0);
    for part in port_data(link) {
        match part {
            InfoBondPort::MiiStatus(status) => mii = Some(*status),
            InfoBondPort::BondPortState(state) => active = *state == BondPortState::Active,
            InfoBondPort::LinkFailureCount(count) => failures = *count,
            _ => {}
        }
    }
    let mii = mii.unwrap_or(if carrier { MiiStatus::Up } else { MiiStatus::Down });
    Some(Slave { name: name(link)?.to_owned(), mii: mii.to_string(), active, failures })
}

fn name(link: &LinkMessage) -> Option<&str> {
    link.attributes.iter().find_map(|a| if let LinkAttribute::IfName(name) = a { Some(name.as_str()) } else { None })
}

fn infos(link: &LinkMessage) -> impl Iterator<Item = &LinkInfo> {
    link.attributes.iter().filter_map(|a| if let LinkAttribute::LinkInfo(infos) = a { Some(infos) } else { None }).flatten()
}

fn bond_data(link: &LinkMessage) -> Option<&[InfoBond]> {
    infos(link).find_map(|info| if let LinkInfo::Data(InfoData::Bond(data)) = info { Some(data.as_slice()) } else { None })
}

fn port_data(link: &LinkMessage) -> &[InfoBondPort] {
    let data = infos(link).find_map(|info| match info {
        LinkInfo::PortData(InfoPortData::BondPort(data)) => Some(data.as_slice()),
        _ => None,
    });
    data.unwrap_or_default()
}

/// How [`MiiStatus::Up`] prints.
const UP: &str = "up";
const LOOK_AGAIN: Duration = Duration::from_secs(10);
const FLOCK: Duration = Duration::from_millis(50);
const RTNLGRP_LINK: u32 = 1;

#[cfg(test)]
#[path = "bond_tests.rs"]
mod tests;
