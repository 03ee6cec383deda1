//! The strong gate: orders to the kernel, each one batch, and the clock read on both sides of it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_netfilter::NetfilterMessageInner;
use netlink_packet_netfilter::nftables::{ListAttribute, NfTablesMessage, SetElementAttribute, SetElementList};

use super::ruleset::{Message, Ruleset, batch};
use super::{KERNEL_SLACK, SHORTEST, now};
use crate::core::time::Mono;
use crate::host::netlink::Channel;

/// What became of a renewal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Renewal {
    /// It was open and is so until the instant named.
    Renewed,
    /// It had closed by itself: ownership is over.
    Lapsed,
    /// The table is missing: a foreign hand flushed the ruleset. Not a lapse.
    TableGone,
}

/// What this machine can do in this network namespace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GateSupport {
    /// netdev ingress and egress with set timeouts.
    Netdev,
    /// Only address lifetimes: whole seconds, up to half a second late (SAFETY limit f).
    Weak {
        /// What is missing.
        reason: String,
    },
    /// Not even that: the daemon lacks a capability.
    None {
        /// Which.
        reason: String,
    },
}

/// One daemon's gates, one a group, in one table.
pub struct Gate {
    table: String,
    groups: Vec<Vec<IpAddr>>,
    interfaces: Vec<String>,
    channel: Channel,
}

impl Gate {
    /// Opens the socket; nothing is in the kernel yet. The guard VIP of a group is its first.
    pub fn new(table: &str, groups: Vec<Vec<IpAddr>>) -> io::Result<Gate> {
        let channel = Channel::open(netlink_sys::protocols::NETLINK_NETFILTER)?;
        Ok(Gate { table: table.to_owned(), groups, interfaces: Vec::new(), channel })
    }

    /// The table's name.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The netlink port of the gate's socket: what it does itself is told apart from a foreign hand by it.
    pub fn port(&self) -> u32 {
        self.channel.port()
    }

    /// Makes the table with a hook on every one of these interfaces (`lo` is left out). What is closed stays closed;
    /// what a life before left open stays open until its own instant. Repairs whatever is missing.
    pub fn install(&mut self, interfaces: &[String]) -> io::Result<()> {
        self.interfaces = hooked(interfaces);
        self.build(&[], None)
    }

    /// Follows the node's interfaces: new ones get their hooks; those that left took theirs with them.
    pub fn set_interfaces(&mut self, interfaces: &[String]) -> io::Result<()> {
        let wanted = hooked(interfaces);
        let known: Vec<String> = self.interfaces.drain(..).filter(|name| wanted.contains(name)).collect();
        let new: Vec<String> = wanted.into_iter().filter(|name| !known.contains(name)).collect();
        self.interfaces = known;
        let mut first_error = None;
        for name in new {
            let messages = Ruleset { table: &self.table }.hooks(&name);
            match self.send(messages) {
                Ok(()) => self.interfaces.push(name),
                Err(_) if !exists(&name) => {} // it left again in the meantime
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    /// Opens a group's gate, whatever it was, until this instant; an instant too near or past is an error.
    pub fn open(&mut self, group: usize, until: Mono) -> io::Result<()> {
        let vips = self.vips(group)?;
        let before = now();
        let millis = millis(before, until).ok_or_else(|| too_late(until))?;
        let rules = Ruleset { table: &self.table };
        let mut messages = rules.open(&vips, millis);
        messages.extend(rules.shut(&vips));
        messages.extend(rules.open(&vips, millis));
        self.send(messages)?;
        if self.in_time(group, before, until)? || self.renew(group, until)? == Renewal::Renewed {
            return Ok(());
        }
        Err(too_late(until))
    }

    /// Keeps a group's gate open until this instant, if and only if it is still open. Where the process stood still
    /// between clock and kernel it is sent again at once with the time that is left; a third time the gate is closed.
    pub fn renew(&mut self, group: usize, until: Mono) -> io::Result<Renewal> {
        let vips = self.vips(group)?;
        for _ in 0..3 {
            let before = now();
            let Some(millis) = millis(before, until) else { break };
            let rules = Ruleset { table: &self.table };
            let mut messages = rules.shut(&vips);
            messages.extend(rules.open(&vips, millis));
            match self.send(messages) {
                Ok(()) if self.in_time(group, before, until)? => return Ok(Renewal::Renewed),
                Ok(()) => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                    if !self.table_exists()? {
                        return Ok(Renewal::TableGone);
                    }
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        self.close(group)?; // elements made in one batch may expire a tick apart
        Ok(Renewal::Lapsed)
    }

    /// Closes a group's gate. Where the table is missing there is nothing to close: an error.
    pub fn close(&mut self, group: usize) -> io::Result<()> {
        let vips = self.vips(group)?;
        let rules = Ruleset { table: &self.table };
        let mut messages = rules.open(&vips, CLOSING_MILLIS); // an expired element could not be deleted
        messages.extend(rules.shut(&vips));
        self.send(messages)
    }

    /// Makes everything again in one batch, with this group's gate open until this instant. When the instant is too
    /// near or past, the table is made with the gate closed, and that is an error.
    pub fn rebuild(&mut self, group: usize, until: Mono) -> io::Result<()> {
        let vips = self.vips(group)?;
        let before = now();
        self.build(&vips, Some(until))?;
        if millis(before, until).is_none() {
            self.close(group)?;
            return Err(too_late(until));
        }
        if self.in_time(group, before, until)? || self.renew(group, until)? == Renewal::Renewed {
            return Ok(());
        }
        Err(too_late(until))
    }

    /// Makes everything again that a foreign hand removed; what is closed or was removed stays closed.
    pub fn repair(&mut self) -> io::Result<()> {
        self.build(&[], None)
    }

    /// Until when a group's gate is open, as the kernel says of the guard VIP; none when it is closed.
    pub fn read(&mut self, group: usize) -> io::Result<Option<Mono>> {
        let guard = self.vips(group)?[0];
        self.expiry(guard)
    }

    fn expiry(&mut self, vip: IpAddr) -> io::Result<Option<Mono>> {
        let message = Ruleset { table: &self.table }.get_element(vip);
        let before = now();
        let replies = self.channel.exchange(vec![message], 0)?;
        if let Some((_, errno)) = replies.errors.first() {
            let error = io::Error::from_raw_os_error(*errno);
            return if *errno == libc::ENOENT { Ok(None) } else { Err(error) };
        }
        for reply in replies.data {
            let NetfilterMessageInner::NfTables(NfTablesMessage::NewSetElement(reply)) = reply.inner else { continue };
            let elements = reply.attributes.into_iter().filter_map(|attribute| match attribute {
                SetElementList::Elements(elements) => Some(elements),
                _ => None,
            });
            for element in elements.flatten() {
                let ListAttribute::Element(attributes) = element else { continue };
                for attribute in attributes {
                    if let SetElementAttribute::Expiration(millis) = attribute {
                        return Ok(Some(before + crate::core::time::Span::millis(millis)));
                    }
                }
            }
        }
        Err(io::Error::other("the gate's element has no expiry"))
    }

    /// Until when a life before left a group's gate open; none when it is closed, or when one of its addresses was not open: what the
    /// configuration has got since was not probed by anybody, and a group is owned as a whole or not at all (SAFETY R10).
    pub fn adopt(&mut self, group: usize) -> io::Result<Option<Mono>> {
        let mut until: Option<Mono> = None;
        for vip in self.vips(group)? {
            let Some(expiry) = self.expiry(vip)? else { return Ok(None) };
            until = Some(until.map_or(expiry, |other| other.min(expiry)));
        }
        Ok(until)
    }

    /// Whether the table is there.
    pub fn table_exists(&mut self) -> io::Result<bool> {
        let message = Ruleset { table: &self.table }.get_table();
        match self.channel.exchange(vec![message], 0)?.errors.first() {
            None => Ok(true),
            Some((_, libc::ENOENT)) => Ok(false),
            Some((_, errno)) => Err(io::Error::from_raw_os_error(*errno)),
        }
    }

    /// Removes the table, if it is there. Afterwards nothing guards the VIPs: they must be gone before.
    pub fn remove_all(&mut self) -> io::Result<()> {
        let rules = Ruleset { table: &self.table };
        let messages = vec![rules.table(), rules.delete_table()];
        self.send(messages)
    }

    fn vips(&self, group: usize) -> io::Result<Vec<IpAddr>> {
        let vips = self.groups.get(group).filter(|vips| !vips.is_empty());
        vips.cloned().ok_or_else(|| io::Error::other(format!("the gate knows no group {group} with an address")))
    }

    /// One batch for everything; an interface that left in the middle of it is forgotten and the batch sent again.
    fn build(&mut self, opened: &[IpAddr], until: Option<Mono>) -> io::Result<()> {
        let vips: Vec<IpAddr> = self.groups.iter().flatten().copied().collect();
        let mut last = io::Error::other("interfaces keep leaving");
        for _ in 0..3 {
            self.interfaces.retain(|name| exists(name));
            let rules = Ruleset { table: &self.table };
            let mut messages = rules.everything(&vips, &self.interfaces);
            if let Some(millis) = until.and_then(|until| millis(now(), until)) {
                messages.extend(rules.open(opened, millis));
                messages.extend(rules.shut(opened));
                messages.extend(rules.open(opened, millis));
            }
            match self.send(messages) {
                Ok(()) => return Ok(()),
                Err(error) => last = error,
            }
            if self.interfaces.iter().all(|name| exists(name)) {
                break;
            }
        }
        Err(last)
    }

    /// Whether the gate closes by `until`, though the process may have stood still between clock and kernel: timeouts are
    /// relative (SAFETY limit 0). When it did, the kernel is asked.
    fn in_time(&mut self, group: usize, before: Mono, until: Mono) -> io::Result<bool> {
        if now().since(before) <= KERNEL_SLACK {
            return Ok(true);
        }
        for _ in 0..3 {
            let asked = now();
            let Some(expiry) = self.read(group)? else { return Ok(false) };
            let latest = expiry + now().since(asked);
            if latest <= until + KERNEL_SLACK {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn send(&mut self, messages: Vec<Message>) -> io::Result<()> {
        let last = messages.len(); // the place of the last order, behind the batch's begin
        self.channel.exchange(batch(messages), last)?.into_result().map(drop)
    }
}

/// Finds out by trying, on the loopback of this network namespace, and leaves nothing behind.
pub fn probe() -> GateSupport {
    let table = format!("twinbeat_probe_{}", std::process::id());
    let vips = vec![IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];
    let mut gate = match Gate::new(&table, vec![vips]) {
        Ok(gate) => gate,
        Err(error) => return GateSupport::Weak { reason: format!("no netfilter netlink socket: {error}") },
    };
    let tried = (|| {
        let table = Ruleset { table: &gate.table }.table();
        gate.send(vec![table]).map_err(|error| ("an nftables table of family netdev", error))?;
        gate.build(&[], None).map_err(|error| ("nftables sets with timeouts in a netdev table", error))?;
        gate.interfaces = vec!["lo".to_owned()];
        gate.build(&[], None).map_err(|error| ("nftables netdev ingress and egress hooks (Linux 5.16)", error))?;
        gate.open(0, now() + crate::core::time::Span::secs(1)).map_err(|error| ("an nftables element with a timeout", error))?;
        match gate.read(0) {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(("an nftables element with a timeout", io::Error::other("it was not there"))),
            Err(error) => Err(("reading an nftables element", error)),
        }
    })();
    let _ = gate.remove_all();
    match tried {
        Ok(()) => GateSupport::Netdev,
        Err((_, error)) if error.raw_os_error() == Some(libc::EPERM) => {
            GateSupport::None { reason: "the capability CAP_NET_ADMIN is missing".to_owned() }
        }
        Err((what, error)) => GateSupport::Weak { reason: format!("this kernel refuses {what}: {error}") },
    }
}

/// The table's name for one daemon. Where a name had to be changed, or could be read in two ways, a short hash keeps two
/// daemons apart.
pub fn table_name(cluster: &str, node: &str) -> String {
    let tame =
        |name: &str| -> String { name.chars().take(60).map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect() };
    let (c, n) = (tame(cluster), tame(node));
    if c == cluster && n == node && !c.contains('_') && !n.contains('_') {
        return format!("twinbeat_{c}_{n}");
    }
    let hash = blake3::hash(format!("{cluster}\0{node}").as_bytes()).to_hex();
    format!("twinbeat_{c}_{n}_{}", &hash.as_str()[..8])
}

fn millis(now: Mono, until: Mono) -> Option<u64> {
    let left = until.since(now);
    (left >= SHORTEST).then(|| left.as_millis())
}

fn too_late(until: Mono) -> io::Error {
    io::Error::other(format!("too late to be open until {until}: it is closed"))
}

fn hooked(interfaces: &[String]) -> Vec<String> {
    interfaces.iter().filter(|name| *name != "lo").cloned().collect()
}

fn exists(interface: &str) -> bool {
    nix::net::if_::if_nametoindex(interface).is_ok()
}

/// Any time will do: the element is removed in the same batch.
const CLOSING_MILLIS: u64 = 1000;
