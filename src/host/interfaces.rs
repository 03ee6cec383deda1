//! Interfaces: existence, index, MAC, carrier, addresses; followed by events, on a thread of its own.
//!
//! A question about any of them waits for the kernel's one lock of network configuration. A machine that removes some hundreds of
//! interfaces holds it for seconds, and the decision's thread must not stand still for so long: it is told what was seen, and when.
//! Events only say *when* to look; what is true is read from the kernel each time, so that a lost or late event changes nothing for
//! long. It decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use netlink_packet_core::NetlinkMessage;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{AfSpecInet6, AfSpecUnspec, LinkAttribute, LinkFlags, LinkMessage};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::addresses::{self, Ear};
use super::clock;
use super::netlink::{Channel, Heard};
use twinbeat_core::id::Mac;
use twinbeat_core::io::InterfaceState;
use twinbeat_core::time::{Mono, Span};

/// An interface. Made anew under the same name it has another index, and nothing that is bound to the old one works on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Card {
    /// The kernel's number.
    pub index: u32,
    /// Its Ethernet address; none where it is no Ethernet.
    pub mac: Option<Mac>,
    /// Up, and with carrier.
    pub carrier: bool,
    /// It can have IPv6 addresses.
    pub ipv6: bool,
}

/// All interfaces and their addresses, as the kernel told them at one time.
#[derive(Clone, Debug)]
pub struct Seen {
    /// When the kernel was asked.
    pub at: Mono,
    cards: BTreeMap<String, Card>,
    addresses: BTreeSet<(u32, IpAddr)>,
}

impl PartialEq for Seen {
    fn eq(&self, other: &Seen) -> bool {
        self.cards == other.cards && self.addresses == other.addresses
    }
}

impl Seen {
    /// Asks the kernel now. Waits for its lock.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn now() -> io::Result<Seen> {
        look(&mut Channel::open(netlink_sys::protocols::NETLINK_ROUTE)?)
    }

    /// The interface of that name.
    pub fn card(&self, name: &str) -> Option<Card> {
        self.cards.get(name).copied()
    }

    /// Whether the interface of that name has the address.
    pub fn has(&self, name: &str, address: IpAddr) -> bool {
        self.card(name).is_some_and(|card| self.addresses.contains(&(card.index, address)))
    }

    /// Whether any interface has the address.
    pub fn anywhere(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|(_, there)| *there == address)
    }

    /// What an interface is to a link with that address.
    pub fn state(&self, name: &str, address: IpAddr) -> InterfaceState {
        match self.card(name) {
            None => InterfaceState::Missing,
            Some(card) if !card.carrier => InterfaceState::NoCarrier,
            Some(_) if self.has(name, address) => InterfaceState::Up,
            Some(_) => InterfaceState::NoAddress,
        }
    }

    /// What an interface is that needs no address of this node's.
    pub fn bare(&self, name: &str) -> InterfaceState {
        match self.card(name) {
            None => InterfaceState::Missing,
            Some(card) if !card.carrier => InterfaceState::NoCarrier,
            Some(_) => InterfaceState::Up,
        }
    }

    /// Whether an interface is there and can have no IPv6 address.
    pub fn ipv6_off(&self, name: &str) -> bool {
        self.card(name).is_some_and(|card| !card.ipv6)
    }

    /// The Ethernet addresses of all interfaces: Linux answers ARP for any local address on any of them.
    pub fn macs(&self) -> Vec<Mac> {
        let macs: BTreeSet<Mac> = self.cards.values().filter_map(|card| card.mac).filter(|mac| mac.0 != [0; 6]).collect();
        macs.into_iter().collect()
    }

    /// Whether an event says what is not known yet. A refreshed lifetime, a counter, a neighbour's state do not.
    fn news(&self, event: &RouteNetlinkMessage) -> bool {
        match event {
            RouteNetlinkMessage::NewLink(link) => card(link).is_none_or(|(name, new)| self.card(&name) != Some(new)),
            RouteNetlinkMessage::NewAddress(message) => addresses(message).any(|address| !self.addresses.contains(&address)),
            _ => true,
        }
    }
}

/// What the watcher tells.
#[derive(Clone, Debug)]
pub enum Told {
    /// Something is different.
    Seen(Arc<Seen>),
    /// The interface whose carrier is asked for lost it. The kernel's event may come up to 0.7 s later.
    NoCarrier,
}

/// Watches all interfaces of the network namespace in which it was started; ends when it is dropped.
pub struct Watcher {
    bell: Arc<Bell>,
    _ear: Ear,
    /// Since when the kernel owes an answer; 0 when it owes none.
    waits: Arc<AtomicU64>,
}

/// Wakes the watcher's thread; which ends when nobody has it any more.
struct Bell {
    wake: PipeWriter,
    woken: Arc<AtomicBool>,
}

impl Bell {
    /// Never waits: at most one byte is in the pipe.
    fn ring(&self) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            let _ = (&self.wake).write(&[0]);
        }
    }
}

impl Watcher {
    /// Starts to watch. What is now is returned; `report` is called on the thread, with what changes from there on. `carrier` names
    /// the interface whose carrier is asked for with each [`look`](Self::look).
    ///
    /// # Errors
    /// When there is no netlink socket or no thread.
    pub fn start(carrier: &str, mut report: impl FnMut(Told) + Send + 'static) -> io::Result<(Watcher, Arc<Seen>)> {
        let groups = [RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR];
        let events = Channel::listen(netlink_sys::protocols::NETLINK_ROUTE, &groups)?;
        let (read, wake) = io::pipe()?;
        let (woken, waits) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut ask = Channel::open(netlink_sys::protocols::NETLINK_ROUTE)?;
        let bell = Arc::new(Bell { wake, woken: Arc::clone(&woken) });
        let (say, addresses) = channel();
        let ring = Arc::downgrade(&bell);
        let ear = addresses::listen(move |address, there| {
            let _ = say.send((address, there));
            ring.upgrade().iter().for_each(|bell| bell.ring());
        })?;
        let seen = Arc::new(look(&mut ask)?);
        let mut thread = Thread {
            events,
            ask,
            addresses,
            read,
            woken,
            waits: Arc::clone(&waits),
            reader: Carrier::new()?,
            interface: carrier.to_owned(),
            carrier: seen.card(carrier).map(|card| card.carrier),
            seen: Arc::clone(&seen),
            stale: false,
        };
        let work = move || {
            while let Ok(true) = thread.wait() {
                thread.turn(&mut report);
            }
        };
        std::thread::Builder::new().name("interfaces".into()).spawn(work)?;
        Ok((Watcher { bell, _ear: ear, waits }, seen))
    }

    /// Has the watcher look at the carrier. Never waits.
    pub fn look(&self) {
        self.bell.ring();
    }

    /// For how long the kernel has owed an answer: so old may be what was told last.
    pub fn waits(&self, now: Mono) -> Span {
        match self.waits.load(Ordering::Acquire) {
            0 => Span::ZERO,
            since => now.since(Mono(since)),
        }
    }
}

struct Thread {
    events: Channel,
    ask: Channel,
    /// What if-watch heard: an address, and whether it is there now.
    addresses: Receiver<(IpAddr, bool)>,
    read: PipeReader,
    woken: Arc<AtomicBool>,
    waits: Arc<AtomicU64>,
    reader: Carrier,
    interface: String,
    carrier: Option<bool>,
    seen: Arc<Seen>,
    /// A look failed: the next one is not left to events.
    stale: bool,
}

impl Thread {
    /// Until there is something to do; false when nobody wants it any more.
    fn wait(&mut self) -> io::Result<bool> {
        let timeout = if self.stale { PollTimeout::from(AGAIN) } else { PollTimeout::NONE };
        let mut fds = [PollFd::new(self.events.as_fd(), PollFlags::POLLIN), PollFd::new(self.read.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, timeout) {
            Err(nix::errno::Errno::EINTR) => return Ok(true),
            other => other?,
        };
        let [_, asked] = fds;
        if asked.any() == Some(true) {
            let mut bytes = [0; 8];
            if self.read.read(&mut bytes)? == 0 {
                return Ok(false);
            }
            self.woken.store(false, Ordering::Release);
        }
        Ok(true)
    }

    fn turn(&mut self, report: &mut impl FnMut(Told)) {
        let began = clock::now();
        self.waits.store(began.0, Ordering::Release);
        let carrier = self.reader.read(&self.interface);
        let turned = std::mem::replace(&mut self.carrier, carrier) != carrier;
        if turned && carrier == Some(false) {
            report(Told::NoCarrier);
        }
        // IPv6 is switched on and off without an event of its own.
        if self.heard() || turned || self.stale || began.since(self.seen.at) >= NOW_AND_THEN {
            match look(&mut self.ask) {
                Ok(seen) => {
                    self.stale = false;
                    // A loss was told without it, so its end must be.
                    let news = seen != *self.seen || turned;
                    self.seen = Arc::new(seen);
                    if news {
                        report(Told::Seen(Arc::clone(&self.seen)));
                    }
                }
                Err(error) => {
                    tracing::warn!("the interfaces cannot be looked at: {error}");
                    self.stale = true;
                }
            }
        }
        self.waits.store(0, Ordering::Release);
        // Others want the kernel's lock as well: never more than half of the time.
        let took = Duration::from_nanos(clock::now().since(began).0);
        if took > SHORT {
            std::thread::sleep(took.min(MOST_REST));
        }
    }

    /// Takes what events there are; whether one of them says something new.
    fn heard(&mut self) -> bool {
        let mut news = self.addresses.try_iter().fold(false, |news, (ip, there)| news | (self.seen.anywhere(ip) != there));
        loop {
            match self.events.hear_now::<RouteNetlinkMessage>() {
                Ok(Heard::Messages(messages)) => news |= messages.iter().any(|(_, event)| self.seen.news(event)),
                Ok(Heard::Lost) => news = true,
                Ok(Heard::Nothing | Heard::Ended) => return news,
                Err(_) => {
                    self.stale = true;
                    return true;
                }
            }
        }
    }
}

/// The kernel's number of an interface. Neither its lock nor a search for a driver of that name is waited for, as if_nametoindex(3)
/// may.
///
/// # Errors
/// No such interface, or no right to bind to one.
pub fn index_of(interface: &str) -> io::Result<u32> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
    socket.bind_device(Some(interface.as_bytes()))?;
    match socket.device_index_v4() {
        Ok(Some(index)) => Ok(index.get()),
        // Before Linux 5.1.
        _ => Ok(nix::net::if_::if_nametoindex(interface)?),
    }
}

/// Reads carrier cheaply: one ioctl on a kept socket, so that it works in any network namespace and mount.
pub struct Carrier {
    socket: OwnedFd,
}

impl Carrier {
    /// Opens the socket.
    pub fn new() -> io::Result<Carrier> {
        Ok(Carrier { socket: socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?.into() })
    }

    /// Whether the interface is up and has carrier (ETHTOOL_GLINK); none when it does not exist or cannot say.
    pub fn read(&self, interface: &str) -> Option<bool> {
        let mut value = EthtoolValue { cmd: ETHTOOL_GLINK, data: 0 };
        let mut request = EthtoolRequest { name: [0; 16], value: &raw mut value, padding: [0; 16] };
        let name = interface.as_bytes();
        request.name.get_mut(..name.len()).filter(|_| name.len() < 16)?.copy_from_slice(name);
        #[expect(unsafe_code, reason = "an ioctl: both structures outlive the call and have the kernel's layout")]
        let result = unsafe { libc::ioctl(self.socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) };
        (result == 0).then_some(value.data != 0)
    }
}

/// The MTUs of all interfaces, by name.
///
/// # Errors
/// When the kernel cannot be asked.
pub fn mtus() -> io::Result<BTreeMap<String, u32>> {
    let mut mtus = BTreeMap::new();
    let mut ask = Channel::open(netlink_sys::protocols::NETLINK_ROUTE)?;
    for answer in ask.dump(NetlinkMessage::from(RouteNetlinkMessage::GetLink(LinkMessage::default())))? {
        let RouteNetlinkMessage::NewLink(link) = answer else { continue };
        let (mut name, mut mtu) = (None, None);
        for attribute in link.attributes {
            match attribute {
                LinkAttribute::IfName(text) => name = Some(text),
                LinkAttribute::Mtu(bytes) => mtu = Some(bytes),
                _ => {}
            }
        }
        mtus.extend(name.zip(mtu));
    }
    Ok(mtus)
}

/// `struct ethtool_value` (include/uapi/linux/ethtool.h).
#[repr(C)]
struct EthtoolValue {
    cmd: u32,
    data: u32,
}

/// `struct ifreq` with `ifr_data` (include/uapi/linux/if.h): 16 bytes of name, a union of 24.
#[repr(C)]
struct EthtoolRequest {
    name: [u8; 16],
    value: *mut EthtoolValue,
    padding: [u8; 16],
}

fn look(ask: &mut Channel) -> io::Result<Seen> {
    let at = clock::now();
    let mut cards = BTreeMap::new();
    for answer in ask.dump(NetlinkMessage::from(RouteNetlinkMessage::GetLink(LinkMessage::default())))? {
        if let RouteNetlinkMessage::NewLink(link) = answer {
            cards.extend(card(&link));
        }
    }
    let mut all = BTreeSet::new();
    for answer in ask.dump(NetlinkMessage::from(RouteNetlinkMessage::GetAddress(AddressMessage::default())))? {
        if let RouteNetlinkMessage::NewAddress(message) = answer {
            all.extend(addresses(&message));
        }
    }
    Ok(Seen { at, cards, addresses: all })
}

/// Its name, and the rest; none where it has no name.
pub(crate) fn card(link: &LinkMessage) -> Option<(String, Card)> {
    let (mut name, mut mac, mut ipv6) = (None, None, false);
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name = Some(text.clone()),
            LinkAttribute::AfSpecUnspec(families) => ipv6 = families.iter().any(has_ipv6),
            LinkAttribute::Address(bytes) => mac = bytes.as_slice().try_into().ok().map(Mac),
            _ => {}
        }
    }
    let carrier = link.header.flags.contains(LinkFlags::Up | LinkFlags::LowerUp);
    Some((name?, Card { index: link.header.index, mac, carrier, ipv6 }))
}

/// An interface without IPv6 says nothing of it (ipv6.disable, an MTU below 1280), or that it is switched off (disable_ipv6).
fn has_ipv6(family: &AfSpecUnspec) -> bool {
    let AfSpecUnspec::Inet6(parts) = family else { return false };
    parts.iter().any(|part| matches!(part, AfSpecInet6::DevConf(settings) if settings.disable_ipv6 == 0))
}

/// Each with its interface's index.
pub(crate) fn addresses(message: &AddressMessage) -> impl Iterator<Item = (u32, IpAddr)> {
    message.attributes.iter().filter_map(|a| match a {
        AddressAttribute::Address(ip) | AddressAttribute::Local(ip) => Some((message.header.index, *ip)),
        _ => None,
    })
}

const RTNLGRP_LINK: u32 = 1;
const RTNLGRP_IPV4_IFADDR: u32 = 5;
const RTNLGRP_IPV6_IFADDR: u32 = 9;
const ETHTOOL_GLINK: u32 = 0x0000_000a;
const SIOCETHTOOL: libc::Ioctl = 0x8946;
/// What makes no event is seen within this.
const NOW_AND_THEN: Span = Span::secs(5);
/// After a look that failed, in milliseconds.
const AGAIN: u16 = 1000;
/// A look at a machine with few interfaces takes less.
const SHORT: Duration = Duration::from_millis(2);
const MOST_REST: Duration = Duration::from_millis(50);

#[cfg(test)]
#[path = "interfaces_tests.rs"]
mod tests;
