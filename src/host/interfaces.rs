//! Interfaces: existence, carrier, addresses; followed by events, and asked directly when something is suspected.
//!
//! Events only say *when* to look (link events of rtnetlink(7), address events of if-watch); what is true is read from
//! the kernel each time, so that a lost or late event changes nothing for long. It decides nothing.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use futures_util::StreamExt;
use netlink_packet_core::NetlinkMessage;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use tokio::io::unix::AsyncFd;

use super::netlink::{Channel, Heard};
use crate::core::io::InterfaceState;

/// What has changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// One of the watched interfaces.
    State {
        /// Its place in the list given.
        index: usize,
        /// What it is now.
        state: InterfaceState,
    },
}

/// Watches interfaces, and the addresses that they should have.
pub struct Interfaces {
    wanted: Vec<(String, IpAddr)>,
    states: Vec<InterfaceState>,
    ask: Channel,
    links: AsyncFd<Channel>,
    addresses: Option<if_watch::tokio::IfWatcher>,
    pending: std::collections::VecDeque<Change>,
}

impl Interfaces {
    /// Starts to watch; needs a tokio runtime with IO. What is now is in [`states`](Self::states);
    /// [`next`](Self::next) tells changes from there on.
    pub fn new(wanted: Vec<(String, IpAddr)>) -> io::Result<Interfaces> {
        let links = Channel::listen(netlink_sys::protocols::NETLINK_ROUTE, &[RTNLGRP_LINK])?;
        #[expect(unsafe_code, reason = "the channel owns its descriptor and names the same one for as long as it lives")]
        let links = unsafe { AsyncFd::register(links) }?;
        let addresses = Some(if_watch::tokio::IfWatcher::new()?);
        let mut ask = Channel::open(netlink_sys::protocols::NETLINK_ROUTE)?;
        let states = look(&mut ask, &wanted)?;
        Ok(Interfaces { wanted, states, ask, links, addresses, pending: std::collections::VecDeque::new() })
    }

    /// The state of each interface watched, as last told.
    pub fn states(&self) -> &[InterfaceState] {
        &self.states
    }

    /// The next change. Cancel-safe.
    pub async fn next(&mut self) -> io::Result<Change> {
        loop {
            if let Some(change) = self.pending.pop_front() {
                return Ok(change);
            }
            self.wait().await?;
            self.refresh()?;
        }
    }

    /// Looks now, without waiting for an event (SAFETY R10); what has changed comes out of [`next`](Self::next).
    pub fn refresh(&mut self) -> io::Result<()> {
        let states = look(&mut self.ask, &self.wanted)?;
        let changed = states.iter().zip(&self.states).enumerate().filter(|(_, (new, old))| new != old);
        self.pending.extend(changed.map(|(index, (state, _))| Change::State { index, state: *state }));
        self.states = states;
        Ok(())
    }

    async fn wait(&mut self) -> io::Result<()> {
        let links = &mut self.links;
        let addresses = async {
            match &mut self.addresses {
                Some(watcher) => watcher.next().await.is_none_or(|event| event.is_err()),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ready = links.readable_mut() => {
                let mut ready = ready?;
                while !matches!(ready.get_inner_mut().hear_now::<RouteNetlinkMessage>()?, Heard::Nothing) {}
                ready.clear_ready();
            }
            ended = addresses => if ended {
                self.addresses = None; // link events and refresh() go on; the loop must not spin
            },
        }
        Ok(())
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

fn look(ask: &mut Channel, wanted: &[(String, IpAddr)]) -> io::Result<Vec<InterfaceState>> {
    let mut links = BTreeMap::new();
    for answer in ask.dump(NetlinkMessage::from(RouteNetlinkMessage::GetLink(LinkMessage::default())))? {
        let RouteNetlinkMessage::NewLink(link) = answer else { continue };
        let name =
            link.attributes.iter().find_map(|a| if let LinkAttribute::IfName(name) = a { Some(name.clone()) } else { None });
        let carrier = link.header.flags.contains(LinkFlags::Up | LinkFlags::LowerUp);
        if let Some(name) = name {
            links.insert(name, (link.header.index, carrier));
        }
    }
    let mut addresses = Vec::new();
    for answer in ask.dump(NetlinkMessage::from(RouteNetlinkMessage::GetAddress(AddressMessage::default())))? {
        let RouteNetlinkMessage::NewAddress(address) = answer else { continue };
        addresses.extend(address.attributes.iter().filter_map(|a| match a {
            AddressAttribute::Address(ip) | AddressAttribute::Local(ip) => Some((address.header.index, *ip)),
            _ => None,
        }));
    }
    let state = |(name, address): &(String, IpAddr)| match links.get(name) {
        None => InterfaceState::Missing,
        Some((_, false)) => InterfaceState::NoCarrier,
        Some((index, true)) if addresses.contains(&(*index, *address)) => InterfaceState::Up,
        Some(_) => InterfaceState::NoAddress,
    };
    Ok(wanted.iter().map(state).collect())
}

const RTNLGRP_LINK: u32 = 1;
const ETHTOOL_GLINK: u32 = 0x0000_000a;
const SIOCETHTOOL: libc::Ioctl = 0x8946;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use std::time::{Duration, Instant};

    use super::*;
    use crate::host::test_net::{Netns, pair};

    async fn settle(watch: &mut Interfaces, index: usize, wanted: InterfaceState) {
        let reached = async {
            while watch.states()[index] != wanted {
                watch.next().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(3), reached).await.unwrap_or_else(|_| panic!("never {wanted:?}"));
    }

    #[test]
    fn an_interface_that_leaves_loses_carrier_or_its_address_is_told() {
        let Some((netns, peer)) = pair(1) else { return };
        netns.inside(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let own = ("eth0".to_owned(), "10.9.0.1".parse().unwrap());
                let late = ("late0".to_owned(), "10.9.7.1".parse().unwrap());
                let mut watch = Interfaces::new(vec![own, late]).unwrap();
                settle(&mut watch, 0, InterfaceState::Up).await;
                assert_eq!(watch.states()[1], InterfaceState::Missing);
                peer.run("ip link set eth0 down");
                settle(&mut watch, 0, InterfaceState::NoCarrier).await;
                peer.run("ip link set eth0 up");
                settle(&mut watch, 0, InterfaceState::Up).await;
                netns.run("ip addr del 10.9.0.1/24 dev eth0");
                settle(&mut watch, 0, InterfaceState::NoAddress).await;
                netns.run("ip addr add 10.9.0.1/24 dev eth0");
                settle(&mut watch, 0, InterfaceState::Up).await;
                netns.run("ip link add late0 type veth peer name late1");
                settle(&mut watch, 1, InterfaceState::NoCarrier).await;
                netns.run("ip link del late0");
                settle(&mut watch, 1, InterfaceState::Missing).await;
            });
        });
    }

    #[test]
    fn carrier_is_read_in_the_namespace_of_the_socket() {
        let Some((netns, peer)) = pair(1) else { return };
        let carrier: Carrier = netns.inside(|| Carrier::new().unwrap());
        assert_eq!(carrier.read("eth0"), Some(true));
        peer.run("ip link set eth0 down");
        assert_eq!(carrier.read("eth0"), Some(false));
        assert_eq!(carrier.read("none0"), None);
        assert_eq!(carrier.read("a-name-that-is-too-long"), None);
    }

    #[test]
    #[ignore = "a measurement: run it alone, in release"]
    fn measure_carrier() {
        let Some((netns, _peer)): Option<(Netns, Netns)> = pair(1) else { return };
        let carrier = netns.inside(|| Carrier::new().unwrap());
        let start = Instant::now();
        for _ in 0..100_000 {
            assert_eq!(carrier.read("eth0"), Some(true));
        }
        println!("carrier: {} ns a call", start.elapsed().as_nanos() / 100_000);
        let mut ask = netns.inside(|| Channel::open(netlink_sys::protocols::NETLINK_ROUTE).unwrap());
        let start = Instant::now();
        for _ in 0..1000 {
            look(&mut ask, &[]).unwrap();
        }
        println!("look at everything: {} us a call", start.elapsed().as_micros() / 1000);
    }
}
