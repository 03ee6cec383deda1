//! A filtered packet socket: one interface, both directions, only the frames that the daemon can have an opinion on.
//!
//! Life cycle: [`PacketSocket::open`] makes a socket that receives nothing, gives it the filter, the mark and the multicast
//! memberships, and only then binds it, so that no foreign frame ever waits in it. It survives its interface going down and up;
//! when the interface is deleted it is dead ([`PacketSocket::is_current`]) and a new one must be opened.
//!
//! It takes and makes whole frames, which go round the hooks of the closed gate in both directions (SAFETY R1): an ARP that the gate
//! drops is still seen. A filter of the administrator's own on an interface can tell its frames by [`DAEMON_MARK`].
//! It refuses to be promiscuous.

use std::future::poll_fn;
use std::io::{self, Read};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::os::fd::{AsRawFd, OwnedFd};
use std::task::{Context, Poll, ready};

use socket2::{Domain, Protocol, SockAddr, SockFilter, Socket, Type};
use thiserror::Error;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::interfaces::index_of;
use twinbeat_core::id::Mac;

/// The mark (`SO_MARK`) on every frame that the daemon itself makes ("tb"): the gate of an earlier version let only such frames out.
pub const DAEMON_MARK: u32 = 0x7462;

/// The first four bytes of the daemon's own echo payloads. The filter takes no other echo reply.
pub const ECHO_MAGIC: [u8; 4] = *b"tbe1";

/// Why a packet socket could not be had.
#[derive(Debug, Error)]
pub enum PacketError {
    /// The interface does not exist (yet); to be tried again.
    #[error("interface {interface} does not exist")]
    Missing {
        /// Its name.
        interface: String,
    },
    /// It exists and is no Ethernet: there is no neighbour table to speak of.
    #[error("interface {interface} has no Ethernet address")]
    NotEthernet {
        /// Its name.
        interface: String,
    },
    /// The kernel refused a step.
    #[error("packet socket on {interface}: {step}: {source}")]
    Refused {
        /// The interface's name.
        interface: String,
        /// What was being done.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

impl PacketError {
    /// Whether it is only the interface that is not there yet.
    pub fn may_pass(&self) -> bool {
        matches!(self, PacketError::Missing { .. })
    }
}

/// A filtered packet socket (packet(7)) on one interface.
#[derive(Debug)]
pub struct PacketSocket {
    fd: AsyncFd<Socket>,
    interface: String,
    index: u32,
    mac: Mac,
}

/// A socket that is ready and not watched yet: made on another thread, since memberships wait for the kernel's lock.
#[derive(Debug)]
pub struct Prepared {
    socket: Socket,
    interface: String,
    index: u32,
    mac: Mac,
}

impl Prepared {
    /// Makes one; see [`PacketSocket::open`]. It also takes what is said in the name of the addresses `own`.
    ///
    /// # Errors
    /// As there.
    pub fn make(interface: &str, addresses: &[IpAddr], own: &[IpAddr]) -> Result<Prepared, PacketError> {
        let refused =
            |step: &'static str| move |source: io::Error| PacketError::Refused { interface: interface.to_owned(), step, source };
        let index = index_of(interface).map_err(|error| match error.raw_os_error() {
            Some(libc::ENODEV | libc::EINVAL) => PacketError::Missing { interface: interface.to_owned() },
            _ => refused("interface")(error),
        })?;
        // Protocol 0: nothing is received before the bind below names one.
        let socket =
            Socket::new(Domain::PACKET, Type::RAW.nonblocking().cloexec(), Some(Protocol::from(0))).map_err(refused("socket"))?;
        socket.set_mark(DAEMON_MARK).map_err(refused("mark"))?;
        socket.attach_filter(&filter(addresses, own)).map_err(refused("filter"))?;
        // Since Linux 4.20; before that the filter's look at the packet type does the same, later.
        let _ = set_packet_option(&socket, libc::PACKET_IGNORE_OUTGOING, &1_i32);
        for address in addresses {
            if let IpAddr::V6(address) = address {
                join(&socket, index, super::neighbour::multicast_mac(super::neighbour::solicited_node(*address)))
                    .map_err(refused("membership"))?;
            }
        }
        bind(&socket, index).map_err(refused("bind"))?;
        // Changes nothing for a packet socket, but the kernel can then be asked what the interface of that number is called.
        let _ = socket.bind_device_by_index_v4(NonZeroU32::new(index)); // since Linux 5.1
        let mac = mac_of(&socket).ok_or_else(|| PacketError::NotEthernet { interface: interface.to_owned() })?;
        Ok(Prepared { socket, interface: interface.to_owned(), index, mac })
    }

    /// Has it watched. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`PacketError::Refused`].
    pub fn register(self) -> Result<PacketSocket, PacketError> {
        let Prepared { socket, interface, index, mac } = self;
        match register(socket) {
            Ok(fd) => Ok(PacketSocket { fd, interface, index, mac }),
            Err(source) => Err(PacketError::Refused { interface, step: "register", source }),
        }
    }
}

impl PacketSocket {
    /// Opens one that takes ARP and neighbour discovery about `addresses` and echo replies with [`ECHO_MAGIC`].
    ///
    /// IPv6 addresses among them have their solicited-node groups (RFC 4291 2.7.1) joined on the network card, so that the
    /// questions for an address that this node does not have are heard. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`PacketError`]; [`PacketError::Missing`] is to be retried when the interface appears.
    pub fn open(interface: &str, addresses: &[IpAddr]) -> Result<Self, PacketError> {
        Prepared::make(interface, addresses, &[])?.register()
    }

    /// No longer watched, to be closed where one may wait: the kernel lets its last readers finish first.
    pub fn into_closing(self) -> OwnedFd {
        self.fd.into_inner().into()
    }

    /// Opens one that takes every frame which arrives: for a look of a moment, not for a daemon. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_for_all(interface: &str) -> Result<Self, PacketError> {
        let refused =
            |step: &'static str| move |source: io::Error| PacketError::Refused { interface: interface.to_owned(), step, source };
        let index = index_of(interface).map_err(refused("interface"))?;
        let socket =
            Socket::new(Domain::PACKET, Type::RAW.nonblocking().cloexec(), Some(Protocol::from(0))).map_err(refused("socket"))?;
        let _ = set_packet_option(&socket, libc::PACKET_IGNORE_OUTGOING, &1_i32);
        bind(&socket, index).map_err(refused("bind"))?;
        let mac = mac_of(&socket).ok_or_else(|| PacketError::NotEthernet { interface: interface.to_owned() })?;
        let fd = register(socket).map_err(refused("register"))?;
        Ok(Self { fd, interface: interface.to_owned(), index, mac })
    }

    /// The interface's name.
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// The interface's own Ethernet address, as it was at [`open`](Self::open).
    pub fn mac(&self) -> Mac {
        self.mac
    }

    /// Whether the interface of that name is still the one that the socket is bound to, with the same Ethernet address.
    pub fn is_current(&self) -> bool {
        let named = match self.fd.get_ref().device() {
            Ok(Some(name)) => name == self.interface.as_bytes(),
            _ => index_of(&self.interface).ok() == Some(self.index),
        };
        named && mac_of(self.fd.get_ref()) == Some(self.mac)
    }

    /// Sends one whole Ethernet frame. Never blocks.
    ///
    /// # Errors
    /// What the kernel said: `ENETDOWN` while the interface is down, `ENXIO` when it is gone, `ENOBUFS` or `EAGAIN` when its
    /// queue is full.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        let socket = self.fd.get_ref();
        let sent = match socket.send(frame) {
            // The note of an earlier going down waits in the socket and is handed to whoever comes first: ask again.
            Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => socket.send(frame)?,
            sent => sent?,
        };
        if sent == frame.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// Takes the next frame; cut off at the buffer's length.
    ///
    /// # Errors
    /// `ENETDOWN` once when the interface went down or away; see [`is_current`](Self::is_current).
    pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.poll_recv(cx, buffer)).await
    }

    /// [`recv`](Self::recv) for hand-written futures; only the latest task to ask is woken.
    pub fn poll_recv(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.fd.poll_read_ready(cx))?;
            match ready.try_io(|fd| fd.get_ref().read(buffer)) {
                Ok(done) => return Poll::Ready(done),
                Err(_would_block) => {}
            }
        }
    }
}

#[expect(unsafe_code, reason = "tokio's only way to watch a foreign file descriptor")]
fn register(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    // SAFETY: a Socket owns its descriptor, names the same one for all its life, and is given away nowhere: it stays open
    // until the AsyncFd that owns it from here on is dropped.
    Ok(unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?)
}

/// The address of the interface that the socket is bound to; the kernel reads it anew on each call.
#[expect(unsafe_code, reason = "nix refuses a sockaddr_ll that is as short as the kernel's (18 bytes), socket2 knows none")]
fn mac_of(socket: &Socket) -> Option<Mac> {
    let name = socket.local_addr().ok()?;
    if i32::from(name.family()) != libc::AF_PACKET {
        return None;
    }
    // SAFETY: the storage is as large and as aligned as any sockaddr, zeroed before the kernel wrote a sockaddr_ll into it
    // (its family says so), and all the fields of that are plain integers.
    let ll = unsafe { name.as_ptr().cast::<libc::sockaddr_ll>().read() };
    let [a, b, c, d, e, f, ..] = ll.sll_addr;
    (ll.sll_hatype == libc::ARPHRD_ETHER && ll.sll_halen == 6).then_some(Mac([a, b, c, d, e, f]))
}

/// Binds to one interface and all protocols.
#[expect(unsafe_code, reason = "neither socket2 nor nix can make a sockaddr_ll")]
fn bind(socket: &Socket, index: u32) -> io::Result<()> {
    let index = i32::try_from(index).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the storage that socket2 hands out is zeroed, aligned for and larger than any sockaddr, so that writing a
    // sockaddr_ll into it is sound; all its fields are plain integers and the length set is its own.
    let ((), address) = unsafe {
        SockAddr::try_init(|storage, length| {
            let ll = storage.cast::<libc::sockaddr_ll>();
            (*ll).sll_family = libc::AF_PACKET as u16;
            (*ll).sll_protocol = (libc::ETH_P_ALL as u16).to_be();
            (*ll).sll_ifindex = index;
            *length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            Ok(())
        })
    }?;
    socket.bind(&address)
}

/// Has the network card take a multicast address (packet(7), `PACKET_MR_MULTICAST`).
fn join(socket: &Socket, index: u32, group: Mac) -> io::Result<()> {
    let mut address = [0; 8];
    address[..6].copy_from_slice(&group.0);
    let request = libc::packet_mreq {
        mr_ifindex: i32::try_from(index).map_err(|_| io::ErrorKind::InvalidInput)?,
        mr_type: libc::PACKET_MR_MULTICAST as u16,
        mr_alen: 6,
        mr_address: address,
    };
    set_packet_option(socket, libc::PACKET_ADD_MEMBERSHIP, &request)
}

#[expect(unsafe_code, reason = "socket2 and nix do not know the options of packet sockets")]
fn set_packet_option<T: Copy>(socket: &Socket, option: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: the pointer and the length describe one living, initialised T; the kernel only reads it.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            option,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The classic BPF program: what of the interface's traffic reaches the daemon at all.
///
/// - nothing outgoing, nothing of another VLAN (its tag is beside the frame by now, so the frame itself would look like ours);
/// - ARP whose sender or target is one of the addresses, or whose sender is an own one;
/// - neighbour solicitations and advertisements whose target or source ends like one of them, or whose source ends like an own one;
/// - ICMP and ICMPv6 echo replies, unfragmented, whose payload begins with [`ECHO_MAGIC`].
fn filter(addresses: &[IpAddr], own: &[IpAddr]) -> Vec<SockFilter> {
    let magic = u32::from_be_bytes(ECHO_MAGIC);
    let tail = |address: &IpAddr| match address {
        IpAddr::V4(v4) => u32::from(*v4),
        IpAddr::V6(v6) => (u128::from(*v6) & 0xffff_ffff) as u32,
    };
    let tails: Vec<u32> = addresses.iter().map(tail).take(FILTER_ADDRESSES_MAX).collect();
    let own: Vec<u32> = own.iter().map(tail).take(FILTER_ADDRESSES_MAX).collect();
    let one_of = |offset: u32, own: &[u32], program: &mut Vec<SockFilter>| {
        program.push(op(LD_W, 0, 0, offset));
        if addresses.len() > FILTER_ADDRESSES_MAX {
            program.push(op(RET, 0, 0, WHOLE));
        }
        program.extend(tails.iter().chain(own).flat_map(|tail| [op(JEQ, 0, 1, *tail), op(RET, 0, 0, WHOLE)]));
    };

    let mut arp = Vec::new();
    one_of(28, &own, &mut arp); // the sender's protocol address
    one_of(38, &[], &mut arp); // the target's
    arp.push(op(RET, 0, 0, 0));

    let v4 = vec![
        op(LD_B, 0, 0, 23),
        op(JEQ, 1, 0, 1), // ICMP
        op(RET, 0, 0, 0),
        op(LD_H, 0, 0, 20),
        op(JSET, 0, 1, 0x3fff), // a fragment
        op(RET, 0, 0, 0),
        op(LDX_IHL, 0, 0, 14),
        op(LD_B_IND, 0, 0, 14),
        op(JEQ, 1, 0, 0), // echo reply
        op(RET, 0, 0, 0),
        op(LD_W_IND, 0, 0, 22),
        op(JEQ, 0, 1, magic),
        op(RET, 0, 0, WHOLE),
        op(RET, 0, 0, 0),
    ];

    let mut v6 = vec![
        op(LD_B, 0, 0, 20),
        op(JEQ, 1, 0, 58), // ICMPv6, without extension headers before it
        op(RET, 0, 0, 0),
        op(LD_B, 0, 0, 54),
        op(JEQ, 0, 4, 129), // echo reply
        op(LD_W, 0, 0, 62),
        op(JEQ, 0, 1, magic),
        op(RET, 0, 0, WHOLE),
        op(RET, 0, 0, 0),
        op(JEQ, 2, 0, 135),
        op(JEQ, 1, 0, 136),
        op(RET, 0, 0, 0),
    ];
    one_of(74, &[], &mut v6); // the end of the target
    one_of(34, &own, &mut v6); // the end of the source
    v6.push(op(RET, 0, 0, 0));

    let mut program = vec![
        op(LD_B, 0, 0, AD_OFF + AD_PKTTYPE),
        op(JEQ, 0, 1, u32::from(libc::PACKET_OUTGOING)),
        op(RET, 0, 0, 0),
        op(LD_B, 0, 0, AD_OFF + AD_VLAN_TAG_PRESENT),
        op(JEQ, 3, 0, 0),
        op(LD_H, 0, 0, AD_OFF + AD_VLAN_TAG),
        op(JSET, 0, 1, 0x0fff), // VLAN 0 is a priority tag, not a VLAN (802.1Q 9.6)
        op(RET, 0, 0, 0),
        op(LD_H, 0, 0, 12),
    ];
    for (ethertype, block) in [(0x0806, arp), (0x0800, v4), (0x86dd, v6)] {
        program.push(op(JEQ, 1, 0, ethertype));
        program.push(op(JA, 0, 0, block.len() as u32));
        program.extend(block);
    }
    program.push(op(RET, 0, 0, 0));
    program
}

const fn op(code: u16, yes: u8, no: u8, k: u32) -> SockFilter {
    SockFilter::new(code, yes, no, k)
}

/// With more addresses than this the filter takes all ARP and neighbour discovery (a program has at most 4096 steps).
const FILTER_ADDRESSES_MAX: usize = 200;
const WHOLE: u32 = 0xffff;

// linux/bpf_common.h and linux/filter.h
const LD_W: u16 = 0x20;
const LD_H: u16 = 0x28;
const LD_B: u16 = 0x30;
const LD_W_IND: u16 = 0x40;
const LD_B_IND: u16 = 0x50;
const LDX_IHL: u16 = 0xb1;
const JA: u16 = 0x05;
const JEQ: u16 = 0x15;
const JSET: u16 = 0x45;
const RET: u16 = 0x06;
const AD_OFF: u32 = 0xffff_f000;
const AD_PKTTYPE: u32 = 4;
const AD_VLAN_TAG: u32 = 44;
const AD_VLAN_TAG_PRESENT: u32 = 48;
