//! The strong gate: orders to the kernel, each one batch over both tables, and none carried out late.

use std::io;
use std::net::IpAddr;

use netlink_packet_netfilter::NetfilterMessageInner;
use netlink_packet_netfilter::nftables::{ListAttribute, NfTablesMessage, SetElementAttribute, SetElementList};

use super::family::Family;
use super::figures::{EARLY, KERNEL_SLACK, MARGIN, SHORTEST};
use super::rules::{Chain, chains};
use super::ruleset::{Message, Ruleset, batch};
use crate::clock::now;
use crate::netlink::Channel;
use twinbeat_core::time::{Mono, Span};

/// What became of a renewal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Renewal {
    /// It was open and is so until the instant named.
    Renewed,
    /// It had closed by itself: ownership is over.
    Lapsed,
    /// A table is missing, or an element that cannot have expired: a foreign hand was there. Not a lapse.
    Damaged,
}

/// One daemon's gates, one a group, in two tables of one name.
pub struct Gate {
    table: String,
    groups: Vec<Group>,
    channel: Channel,
    /// The number of the last ticket.
    tickets: u32,
    /// The kernel can tell an interface's kind.
    kinds: bool,
}

/// Addresses that are to be open, and until when.
type Opened = [(Vec<IpAddr>, Mono)];

struct Group {
    vips: Vec<IpAddr>,
    /// No element that this life made ends before; none when it closed the gate or made none.
    lasts: Option<Mono>,
}

impl Gate {
    /// Opens the socket; nothing is in the kernel yet. The guard VIP of a group is its first.
    pub fn new(table: &str, groups: Vec<Vec<IpAddr>>) -> io::Result<Gate> {
        let channel = Channel::open(netlink_sys::protocols::NETLINK_NETFILTER)?;
        channel.send_up_to(LONGEST_BATCH);
        let groups = groups.into_iter().map(|vips| Group { vips, lasts: None }).collect();
        Ok(Gate { table: table.to_owned(), groups, channel, tickets: 0, kinds: true })
    }

    /// The tables' name.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The netlink port of the gate's socket: what it does itself is told apart from a foreign hand by it.
    pub fn port(&self) -> u32 {
        self.channel.port()
    }

    /// Makes the tables, and removes that of an earlier version. What is closed stays closed; what a life before left open stays
    /// open until its own instant. Repairs whatever is missing.
    pub fn install(&mut self) -> io::Result<()> {
        self.build(&[]).map(drop)
    }

    /// Opens a group's gate, whatever it was, until this instant; an instant too near or past is an error.
    pub fn open(&mut self, group: usize, until: Mono) -> io::Result<()> {
        let vips = self.vips(group)?;
        let rules = |table: &str, millis| opening(&Ruleset { table }, &vips, millis);
        let early = self.timed(vips[0], until, &[], rules)?;
        self.groups[group].lasts = Some(until.back(early));
        Ok(())
    }

    /// Keeps a group's gate open until this instant, if and only if it is still open.
    pub fn renew(&mut self, group: usize, until: Mono) -> io::Result<Renewal> {
        let vips = self.vips(group)?;
        let rules = |table: &str, millis| {
            let rules = Ruleset { table };
            [rules.shut(&vips), rules.open(&vips, millis)].concat()
        };
        match self.timed(vips[0], until, &[], rules) {
            Ok(early) => {
                self.groups[group].lasts = Some(until.back(early));
                Ok(Renewal::Renewed)
            }
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                // What this life made cannot have expired yet when this long is left of it even now.
                let expired = self.groups[group].lasts.is_none_or(|lasts| lasts.since(now()) < EXPIRES_BEFORE);
                if !expired || !self.tables_exist()? {
                    return Ok(Renewal::Damaged);
                }
                self.close(group)?; // elements made in one batch may expire a tick apart
                Ok(Renewal::Lapsed)
            }
            Err(error) if is_too_late(&error) => {
                self.close(group)?;
                Ok(Renewal::Lapsed)
            }
            Err(error) => Err(error),
        }
    }

    /// Closes a group's gate. Where a table is missing there is nothing to close: an error.
    pub fn close(&mut self, group: usize) -> io::Result<()> {
        let vips = self.vips(group)?;
        self.groups[group].lasts = None;
        let messages = closing(&Ruleset { table: &self.table }, &vips);
        self.send(messages)
    }

    /// Makes everything again in one batch, with this group's gate open until this instant. When the instant is too near or past,
    /// the tables are made with the gate closed, and that is an error.
    pub fn rebuild(&mut self, group: usize, until: Mono) -> io::Result<()> {
        let vips = self.vips(group)?;
        match self.build(&[(vips, until)]) {
            Ok(early) => self.groups[group].lasts = Some(until.back(early)),
            Err(error) if is_too_late(&error) => {
                self.build(&[])?;
                self.close(group)?;
                return Err(error);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Makes everything again that a foreign hand removed, with every gate closed.
    pub fn repair(&mut self) -> io::Result<()> {
        self.build(&[])?;
        (0..self.groups.len()).try_for_each(|group| self.close(group))
    }

    /// Opens a group's gate like [`open`](Self::open), and calls this between the look at the clock and the kernel.
    #[cfg(test)]
    pub(super) fn held_up(&mut self, group: usize, until: Mono, between: impl Fn()) -> io::Result<Span> {
        let vips = self.vips(group)?;
        self.timed(vips[0], until, &[], |table, millis| {
            between();
            opening(&Ruleset { table }, &vips, millis)
        })
    }

    /// Makes everything, with a group open, as a batch is sent anew that took over the table of an earlier version and took too long.
    #[cfg(test)]
    pub(super) fn taken_over_again(&mut self, group: usize, until: Mono) -> io::Result<Span> {
        self.try_build(&[(self.vips(group)?, until)], true, false)
    }

    /// Until when a group's gate is open, as the kernel says of the guard VIP; none when it is closed.
    pub fn read(&mut self, group: usize) -> io::Result<Option<Mono>> {
        let guard = self.vips(group)?[0];
        self.open_until(guard)
    }

    /// Until when a life before left each group's gate open, if need be one of an earlier version, whose table is then replaced; none
    /// where it is closed, or when one of its addresses was not open: what the configuration has got since was not probed by
    /// anybody, and a group is owned as a whole or not at all (SAFETY R10). What was (`free`, by a reload) is opened with the others. The
    /// table of the two that is missing is made until the same instant.
    pub fn adopt(&mut self, free: &[IpAddr]) -> io::Result<Vec<Option<Mono>>> {
        let old = self.table_exists(Family::Netdev)?;
        let mut whole = !old && self.tables_exist()?;
        let mut opened = Vec::new();
        for group in 0..self.groups.len() {
            let vips = self.vips(group)?;
            let mut until: Option<Mono> = None;
            let mut all = true;
            for vip in &vips {
                let mut at = self.expiry(Family::Inet, *vip)?;
                if old && at.is_none() {
                    at = self.expiry(Family::Netdev, *vip)?;
                }
                all &= at.is_some() || free.contains(vip);
                until = at.map(|at| until.map_or(at, |until| until.min(at))).or(until);
            }
            let Some(until) = until.filter(|until| all && millis(now(), until.back(EARLY)).is_some()) else { continue };
            for vip in &vips {
                whole = whole && self.open_until(*vip)?.is_some();
            }
            opened.push((group, vips, until));
        }
        // The old table guards until the new ones are there: one batch does both.
        if !whole && !opened.is_empty() {
            let groups: Vec<_> = opened.iter().map(|(_, vips, until)| (vips.clone(), *until)).collect();
            self.build(&groups)?;
        }
        let mut gates = vec![None; self.groups.len()];
        for (group, _, until) in opened {
            self.groups[group].lasts = Some(until);
            gates[group] = Some(until);
        }
        Ok(gates)
    }

    /// Whether both tables are there.
    pub fn tables_exist(&mut self) -> io::Result<bool> {
        Ok(self.table_exists(Family::Arp)? && self.table_exists(Family::Inet)?)
    }

    /// Whether tables, rules and the list of guarded addresses are there in full number.
    pub fn is_whole(&mut self) -> io::Result<bool> {
        if !self.tables_exist()? {
            return Ok(false);
        }
        let all = self.all_vips();
        for family in Family::BOTH {
            let rules = Ruleset { table: &self.table }.get_rules(family);
            let wanted: usize = self.chains().iter().filter(|chain| chain.family == family).map(|chain| chain.rules.len()).sum();
            if self.channel.dump(rules)?.len() != wanted {
                return Ok(false);
            }
            for (set, v4) in [("vip4", true), ("vip6", false)] {
                let wanted = all.iter().filter(|vip| vip.is_ipv4() == v4 && family.holds(**vip)).count();
                if v4 || family == Family::Inet {
                    let elements = Ruleset { table: &self.table }.get_elements(family, set);
                    let parts = self.channel.dump(elements)?;
                    if parts.into_iter().map(|part| elements_of(part.inner).len()).sum::<usize>() != wanted {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    /// Removes the tables, if they are there. Afterwards nothing guards the VIPs: they must be gone before.
    pub fn remove_all(&mut self) -> io::Result<()> {
        let mut messages = Vec::new();
        for family in [Family::Arp, Family::Inet, Family::Netdev] {
            if self.table_exists(family)? {
                messages.push(Ruleset { table: &self.table }.delete_table(family));
            }
        }
        if messages.is_empty() { Ok(()) } else { self.send(messages) }
    }

    pub(super) fn send(&mut self, messages: Vec<Message>) -> io::Result<()> {
        let last = messages.len(); // the place of the last order, behind the batch's begin
        self.channel.exchange(batch(messages), last)?.into_result().map(drop)
    }

    pub(super) fn chains(&self) -> Vec<Chain> {
        chains(self.kinds)
    }

    pub(super) fn all_vips(&self) -> Vec<IpAddr> {
        self.groups.iter().flat_map(|group| &group.vips).copied().collect()
    }

    /// Sends what opens until `until`, in such a way that the kernel takes it in time or not at all: a timeout is relative, and this
    /// process may stand still between its look at the clock and the kernel. So it first makes a ticket, an element with a short life,
    /// then looks at the clock, and the batch takes the ticket as its last deed: where that has expired, nothing of the batch is done
    /// (SAFETY R1 †). The time ordered is shorter by nearly the ticket's life, so that what is just in time closes in time. A batch that
    /// takes longer, being long or held up, is made anew with twice the room. `before` is what the ticket's set needs to exist.
    /// Says how much earlier than `until` it closes.
    fn timed(
        &mut self,
        guard: IpAddr,
        until: Mono,
        before: &[Message],
        messages: impl Fn(&str, u64) -> Vec<Message>,
    ) -> io::Result<Span> {
        let mut early = EARLY;
        for _ in 0..MOST_TICKETS {
            self.tickets = self.tickets.wrapping_add(1);
            let life = early + MARGIN;
            let rules = Ruleset { table: &self.table };
            let (make, redeem) = (rules.ticket(self.tickets, life), rules.redeem(self.tickets));
            self.send([before, &[make]].concat())?;
            let looked = now();
            let Some(millis) = millis(looked, until.back(early)) else { return Err(too_late(until)) };
            let mut messages = messages(&self.table, millis);
            messages.push(redeem);
            let last = messages.len();
            let replies = self.channel.exchange(batch(messages), last)?;
            let expired = |error: &(usize, i32)| *error == (last, libc::ENOENT);
            match replies.errors.iter().find(|error| !expired(error)) {
                // Held up for so long that what the batch itself had made expired before its end.
                Some((_, libc::ENOENT)) if now() >= until.back(early) => return Err(too_late(until)),
                Some((_, errno)) => return Err(io::Error::from_raw_os_error(*errno)),
                None if !replies.errors.is_empty() => {}
                None => {
                    replies.into_result()?;
                    // A kernel that goes by the batch's begin (Linux 6.8) does not see how long the batch itself takes: it is asked.
                    if now().since(looked) <= life || self.closes_by(guard, until)? {
                        return Ok(early);
                    }
                }
            }
            early = (early * 2).min(EARLIEST);
        }
        Err(io::Error::other("this process is held up each time between clock and kernel"))
    }

    /// Everything, with these gates open; what a hand or a version left in the way is replaced as a whole.
    fn build(&mut self, opened: &Opened) -> io::Result<Span> {
        let old = self.table_exists(Family::Netdev).unwrap_or(false);
        let mut result = self.try_build(opened, old, false);
        if self.kinds && result.as_ref().is_err_and(|e| !is_too_late(e) && e.raw_os_error() != Some(libc::EPERM)) {
            self.kinds = false;
            result = self.try_build(opened, old, false);
            self.kinds = result.is_err();
        }
        match result {
            Err(error) if error.raw_os_error().is_some_and(|errno| errno != libc::EPERM) => {
                let mut opened = opened.to_vec();
                for group in 0..self.groups.len() {
                    let vips = self.vips(group)?;
                    let until = self.read(group).ok().flatten().filter(|until| millis(now(), until.back(EARLY)).is_some());
                    opened.extend(until.filter(|_| opened.iter().all(|(known, _)| *known != vips)).map(|until| (vips, until)));
                }
                self.try_build(&opened, old, true).map_err(|_| error)
            }
            result => result,
        }
    }

    /// `afresh`: tables that are in the way are deleted and made in one batch, so that there is no instant without them. What is
    /// to be open is closed for the moment between two batches.
    fn try_build(&mut self, opened: &Opened, old: bool, afresh: bool) -> io::Result<Span> {
        let (vips, chains) = (self.all_vips(), self.chains());
        let everything = move |table: &str| {
            let rules = Ruleset { table };
            let mut messages = Vec::new();
            if afresh {
                messages.extend(Family::BOTH.into_iter().flat_map(|f| [rules.make_table(f), rules.delete_table(f)]));
            }
            messages.extend(rules.everything(&vips, &chains));
            // Made first where it is gone: a batch that took too long is sent anew, and has deleted it already.
            messages.extend(
                old.then(|| [rules.make_table(Family::Netdev), rules.delete_table(Family::Netdev)]).into_iter().flatten(),
            );
            messages
        };
        let earliest = opened.iter().filter_map(|(vips, until)| Some((*until, *vips.first()?))).min();
        let Some((first, guard)) = earliest else {
            return self.send(everything(&self.table)).map(|()| Span::ZERO);
        };
        let rules = Ruleset { table: &self.table };
        let before = if afresh {
            self.send(everything(&self.table))?;
            Vec::new()
        } else {
            [vec![rules.make_table(Family::Inet)], rules.sets(Family::Inet)].concat()
        };
        self.timed(guard, first, &before, |table, left| {
            let rules = Ruleset { table };
            let opening = opened.iter().flat_map(|(vips, until)| opening(&rules, vips, left + until.since(first).as_millis()));
            let made = if afresh { Vec::new() } else { everything(table) };
            made.into_iter().chain(opening).collect()
        })
    }

    /// Whether an address's gate closes by then, by the kernel's word.
    fn closes_by(&mut self, vip: IpAddr, until: Mono) -> io::Result<bool> {
        let asked = now();
        let closes = self.open_until(vip)?;
        Ok(closes.is_some_and(|at| at + now().since(asked) <= until + KERNEL_SLACK))
    }

    fn vips(&self, group: usize) -> io::Result<Vec<IpAddr>> {
        let vips = self.groups.get(group).map(|group| &group.vips).filter(|vips| !vips.is_empty());
        vips.cloned().ok_or_else(|| io::Error::other(format!("the gate knows no group {group} with an address")))
    }

    /// The earliest end of an address's elements; none when one is missing.
    fn open_until(&mut self, vip: IpAddr) -> io::Result<Option<Mono>> {
        let mut earliest: Option<Mono> = None;
        for family in Family::BOTH {
            if family.holds(vip) {
                let Some(until) = self.expiry(family, vip)? else { return Ok(None) };
                earliest = Some(earliest.map_or(until, |earliest| earliest.min(until)));
            }
        }
        Ok(earliest)
    }

    fn expiry(&mut self, family: Family, vip: IpAddr) -> io::Result<Option<Mono>> {
        let message = Ruleset { table: &self.table }.get_element(family, vip);
        let before = now();
        let replies = self.channel.exchange(vec![message], 0)?;
        if let Some((_, errno)) = replies.errors.first() {
            let error = io::Error::from_raw_os_error(*errno);
            return if *errno == libc::ENOENT { Ok(None) } else { Err(error) };
        }
        for attribute in replies.data.into_iter().flat_map(|reply| elements_of(reply.inner)).flatten() {
            if let SetElementAttribute::Expiration(millis) = attribute {
                return Ok(Some(before + Span::millis(millis)));
            }
        }
        Err(io::Error::other("the gate's element has no expiry"))
    }

    fn table_exists(&mut self, family: Family) -> io::Result<bool> {
        let message = Ruleset { table: &self.table }.get_table(family);
        match self.channel.exchange(vec![message], 0)?.errors.first() {
            None => Ok(true),
            // A kernel without the family answers in its own way.
            Some((_, libc::ENOENT)) => Ok(false),
            Some(_) if family == Family::Netdev => Ok(false),
            Some((_, errno)) => Err(io::Error::from_raw_os_error(*errno)),
        }
    }
}

/// The tables' name for one daemon. Where a name had to be changed, or could be read in two ways, a short hash keeps two
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

/// Open for so long, whatever it was.
fn opening(rules: &Ruleset, vips: &[IpAddr], millis: u64) -> Vec<Message> {
    [rules.open(vips, millis), rules.shut(vips), rules.open(vips, millis)].concat()
}

/// Closed, whatever it was: an expired element could not be deleted.
fn closing(rules: &Ruleset, vips: &[IpAddr]) -> Vec<Message> {
    [rules.open(vips, CLOSING_MILLIS), rules.shut(vips)].concat()
}

fn elements_of(message: NetfilterMessageInner) -> Vec<Vec<SetElementAttribute>> {
    let NetfilterMessageInner::NfTables(NfTablesMessage::NewSetElement(reply)) = message else { return Vec::new() };
    let lists = reply.attributes.into_iter().filter_map(|attribute| match attribute {
        SetElementList::Elements(elements) => Some(elements),
        _ => None,
    });
    let element = |element| match element {
        ListAttribute::Element(attributes) => Some(attributes),
        _ => None,
    };
    lists.flatten().filter_map(element).collect()
}

fn millis(now: Mono, until: Mono) -> Option<u64> {
    let left = until.since(now);
    (left >= SHORTEST).then(|| left.as_millis())
}

fn too_late(until: Mono) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("too late to be open until {until}: it is closed"))
}

fn is_too_late(error: &io::Error) -> bool {
    error.raw_os_error().is_none() && error.kind() == io::ErrorKind::TimedOut
}

/// Any time will do: the element is removed in the same batch.
const CLOSING_MILLIS: u64 = 1000;
/// A ticket is missed when this process stands still; so often in a row it is not the machine's load.
const MOST_TICKETS: usize = 30;
/// The most that a gate closes before the instant ordered, where batches take long.
const EARLIEST: Span = Span::millis(64);
/// How much earlier than its timeout an element may expire: the kernel's clock has ticks of up to 10 ms.
const EXPIRES_BEFORE: Span = Span::millis(30);
/// The longest batch: that of 1000 addresses has 0.4 MB. A datagram above the socket's send buffer is refused (netlink_sendmsg).
const LONGEST_BATCH: usize = 8 << 20;
