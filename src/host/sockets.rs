//! Heartbeat sockets: UDP, bound to the interface, connected to the peer, deaf to everything that came through a router.
//!
//! A connected socket drops strangers in the kernel, at about no cost (LAB 7). The TTL of 255 that a socket filter demands says
//! that the frame was sent on this wire: IP_MINTTL acts on TCP alone (LAB 4). Neither is authentication; that is `wire`'s.
//!
//! Each frame confirms the neighbour's entry (MSG_CONFIRM): else the kernel asks for it again every half minute, and where frames pass in this direction
//! alone no answer comes, and heartbeats that the peer could hear are no longer sent. A peer with another card asks for us, which mends the entry.
//!
//! A socket outlives neither its interface nor the interface's return under the same name: see [`LinkSocket::is_stale`].

use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::interfaces::index_of;
use twinbeat_wire::{Budget, MAX_FRAME};

/// A buffer of this size shows whether a datagram is longer than a frame may be.
pub const BUFFER: usize = MAX_FRAME + 1;

/// One link's socket.
#[derive(Debug)]
pub struct LinkSocket {
    socket: UdpSocket,
    interface: String,
    index: u32,
}

/// Why a link's socket cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The interface does not exist (yet).
    #[error("interface {0} does not exist")]
    NoInterface(String),
    /// The interface does not have the local address (yet); a tentative IPv6 address is not one either.
    #[error("no interface has the address {0}")]
    NoAddress(IpAddr),
    /// The interface is down, or has no route to the peer.
    #[error("no route to {0}")]
    NoRoute(IpAddr),
    /// Another program has the port.
    #[error("another program uses {0}")]
    PortTaken(SocketAddr),
    /// The daemon lacks a privilege.
    #[error("not permitted: {0}")]
    Denied(io::Error),
    /// One address is IPv4 and the other IPv6.
    #[error("{local} and {peer} are not of the same family")]
    Family {
        /// The local address.
        local: SocketAddr,
        /// The peer's.
        peer: SocketAddr,
    },
    /// Anything else.
    #[error("{0}")]
    Other(#[from] io::Error),
}

impl OpenError {
    /// Whether time may cure it: wait for the interface, the address or the port, and try again.
    pub const fn may_pass(&self) -> bool {
        !matches!(self, OpenError::Denied(_) | OpenError::Family { .. })
    }
}

/// What came out of a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecvEvent {
    /// A datagram of so many bytes is in the buffer; more than [`MAX_FRAME`] means that it was longer than a frame may be.
    Frame(usize),
    /// The peer's kernel says that nobody listens (ECONNREFUSED): a hint, never a proof.
    PortRefused,
    /// The network says that the peer cannot be reached (ICMP, neighbour resolution): passes by itself.
    Unreachable,
    /// The interface is down; the socket may live on. Ask [`LinkSocket::is_stale`].
    Down,
    /// The interface is gone: close the socket and open a new one.
    Gone,
}

/// What became of a frame.
#[derive(Debug)]
pub enum Sent {
    /// It is on its way.
    Yes,
    /// It is on its way; the peer's kernel had refused an earlier one (ECONNREFUSED).
    YesAfterRefusal,
    /// It is not: the send buffer is full. The next heartbeat says more than this one would have.
    NoRoom,
    /// It is not: no route, no neighbour, no carrier, or the local address is not there (now).
    Unreachable,
    /// It is not: the interface is gone. Close the socket and open a new one.
    Gone,
    /// It is not, for a reason not foreseen here.
    Failed(io::Error),
}

impl LinkSocket {
    /// Opens a socket that sends from `local` to `peer` over `interface` alone and hears nobody else. Needs a running tokio.
    pub fn open(interface: &str, local: SocketAddr, peer: SocketAddr) -> Result<LinkSocket, OpenError> {
        if local.is_ipv4() != peer.is_ipv4() {
            return Err(OpenError::Family { local, peer });
        }
        let index = index_of(interface).map_err(|error| unbound(interface, error))?;
        let socket = Socket::new(Domain::for_address(local), Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))?;
        // Between bind and connect anybody's datagram would be queued: deaf until both are done.
        socket.attach_filter(&[SockFilter::new(BPF_RET, 0, 0, 0)])?;
        socket.bind_device(Some(interface.as_bytes())).map_err(|error| unbound(interface, error))?;
        set_options(&socket, local.is_ipv4())?;
        socket.bind(&local.into()).map_err(|error| match error.raw_os_error() {
            Some(libc::EADDRNOTAVAIL) => OpenError::NoAddress(local.ip()),
            Some(libc::EADDRINUSE) => OpenError::PortTaken(local),
            Some(libc::ENODEV) => OpenError::NoInterface(interface.to_owned()),
            Some(libc::EACCES) => OpenError::Denied(error),
            _ => OpenError::Other(error),
        })?;
        socket.connect(&peer.into()).map_err(|error| match error.raw_os_error() {
            Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENETDOWN) => OpenError::NoRoute(peer.ip()),
            Some(libc::EADDRNOTAVAIL | libc::EINVAL) => OpenError::NoAddress(local.ip()),
            Some(libc::ENODEV) => OpenError::NoInterface(interface.to_owned()),
            _ => OpenError::Other(error),
        })?;
        socket.attach_filter(&only_from_this_wire(local.is_ipv4()))?;
        let socket = UdpSocket::from_std(socket.into())?;
        let opened = LinkSocket { socket, interface: interface.to_owned(), index };
        // Renamed or made anew while we were at it.
        if opened.is_stale() { Err(OpenError::NoInterface(opened.interface)) } else { Ok(opened) }
    }

    /// Waits for the next thing to come; `buf` should have [`BUFFER`] bytes. Nothing is lost when the wait is dropped.
    ///
    /// # Errors
    /// Only what [`RecvEvent`] does not foresee.
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<RecvEvent> {
        loop {
            self.socket.ready(DATA_OR_ERROR).await?;
            if let Some(event) = self.try_recv(buf)? {
                return Ok(event);
            }
        }
    }

    /// Waits for something to come, then hands over what is there, up to one [`Budget`]; then it is somebody else's turn.
    ///
    /// The receive loop calls this again and again. Dropping the wait loses nothing; `take` is never interrupted.
    pub async fn receive(&self, buf: &mut [u8], mut take: impl FnMut(RecvEvent, &[u8])) -> io::Result<()> {
        let mut budget = Budget::default();
        let mut event = Some(self.recv(buf).await?);
        while let Some(got) = event {
            let len = if let RecvEvent::Frame(len) = got { len } else { 0 };
            take(got, buf.get(..len).unwrap_or_default());
            budget.spend(len);
            if budget.is_spent() {
                tokio::task::yield_now().await;
                break;
            }
            event = self.try_recv(buf)?;
        }
        Ok(())
    }

    fn try_recv(&self, buf: &mut [u8]) -> io::Result<Option<RecvEvent>> {
        let socket = socket2::SockRef::from(&self.socket);
        // One interest at a time: tokio 1.54's try_io answers WouldBlock to two, for ever.
        let mut read = |interest| self.socket.try_io(interest, || (&*socket).read(buf));
        let result = match read(Interest::READABLE) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => read(Interest::ERROR),
            other => other,
        };
        match result {
            Ok(len) => Ok(Some(RecvEvent::Frame(len))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => match error.raw_os_error() {
                Some(libc::EINTR) => Ok(None),
                Some(libc::ECONNREFUSED) => Ok(Some(RecvEvent::PortRefused)),
                Some(libc::ENETDOWN) => Ok(Some(RecvEvent::Down)),
                Some(libc::ENODEV | libc::ENXIO) => Ok(Some(RecvEvent::Gone)),
                Some(libc::EBADF | libc::ENOTSOCK | libc::EFAULT | libc::EINVAL | libc::ENOMEM) => Err(error),
                // ICMP errors, of whatever type and code (net/ipv4/icmp.c, icmp_err_convert): anybody can send one, and each is a
                // hint at most.
                _ => Ok(Some(RecvEvent::Unreachable)),
            },
        }
    }

    /// Sends a frame now or not at all.
    ///
    /// An ICMP error about an earlier frame is reported by the next send *instead of* sending: so it is tried once more.
    pub fn try_send(&self, frame: &[u8]) -> Sent {
        match self.send_once(frame) {
            Sent::Failed(error) => match self.send_once(frame) {
                Sent::Yes if error.raw_os_error() == Some(libc::ECONNREFUSED) => Sent::YesAfterRefusal,
                other => other,
            },
            Sent::Unreachable => self.send_once(frame),
            other => other,
        }
    }

    fn send_once(&self, frame: &[u8]) -> Sent {
        // Past tokio's readiness: after a full buffer it would say "full" until the loop has turned.
        match socket2::SockRef::from(&self.socket).send_with_flags(frame, libc::MSG_CONFIRM) {
            Ok(_) => Sent::Yes,
            Err(error) => match error.raw_os_error() {
                Some(libc::EAGAIN | libc::ENOBUFS) => Sent::NoRoom,
                Some(libc::ENODEV | libc::ENXIO) => Sent::Gone,
                Some(
                    libc::EHOSTUNREACH
                    | libc::ENETUNREACH
                    | libc::EHOSTDOWN
                    | libc::ENETDOWN
                    | libc::EADDRNOTAVAIL
                    | libc::EINVAL
                    | libc::EPERM,
                ) => {
                    // With the interface its address goes, and the kernel names whichever it misses first.
                    if self.is_stale() { Sent::Gone } else { Sent::Unreachable }
                }
                _ => Sent::Failed(error),
            },
        }
    }

    /// Whether the interface is gone, or came back as another one under the same name: the socket will never hear again.
    pub fn is_stale(&self) -> bool {
        // The kernel keeps the number of the device and tells its present name (SO_BINDTODEVICE, socket(7)).
        !matches!(socket2::SockRef::from(&self.socket).device(), Ok(Some(name)) if name == self.interface.as_bytes())
    }

    /// The kernel's number of the interface that this socket is bound to.
    pub const fn interface_index(&self) -> u32 {
        self.index
    }
}

fn unbound(interface: &str, error: io::Error) -> OpenError {
    match error.raw_os_error() {
        // A name that is too long is nobody's.
        Some(libc::ENODEV | libc::EINVAL) => OpenError::NoInterface(interface.to_owned()),
        Some(libc::EPERM) => OpenError::Denied(error),
        _ => OpenError::Other(error),
    }
}

/// Everything that needs neither address.
fn set_options(socket: &Socket, ipv4: bool) -> io::Result<()> {
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    if ipv4 {
        socket.set_ttl_v4(HOPS)?;
        socket.set_tos_v4(CLASS)?;
    } else {
        socket.set_only_v6(true)?;
        socket.set_unicast_hops_v6(HOPS)?;
        socket.set_tclass_v6(CLASS)?;
    }
    socket.set_priority(PRIORITY) // after the TOS, which sets a priority of its own
}

/// Accepts what has a TTL (IPv6: hop limit) of 255, as only a neighbour on the wire can send it (RFC 5082).
const fn only_from_this_wire(ipv4: bool) -> [SockFilter; 4] {
    let offset = if ipv4 { 8 } else { 7 };
    [
        SockFilter::new(BPF_LD_BYTE_ABS, 0, 0, SKF_NET_OFF.wrapping_add(offset)),
        SockFilter::new(BPF_JEQ, 0, 1, HOPS),
        SockFilter::new(BPF_RET, 0, 0, u32::MAX),
        SockFilter::new(BPF_RET, 0, 0, 0),
    ]
}

/// A refusal alone makes a socket "in error", not "readable": whoever waits for data only never hears of it.
const DATA_OR_ERROR: Interest = Interest::READABLE.add(Interest::ERROR);
/// The highest TTL: a router would make it less.
const HOPS: u32 = 255;
/// CS6, network control (RFC 4594).
const CLASS: u32 = 0xc0;
/// The highest priority that needs no privilege (socket(7)).
const PRIORITY: u32 = 6;
/// About 100 heartbeats as the kernel counts; more would only be older.
const RECEIVE_BUFFER: usize = 128 * 1024;
/// A few heartbeats: what cannot be sent soon is not worth sending.
const SEND_BUFFER: usize = 64 * 1024;

/// BPF_LD | BPF_B | BPF_ABS (linux/bpf_common.h)
const BPF_LD_BYTE_ABS: u16 = 0x30;
/// BPF_JMP | BPF_JEQ | BPF_K
const BPF_JEQ: u16 = 0x15;
/// BPF_RET | BPF_K
const BPF_RET: u16 = 0x06;
/// Offsets from the network header (linux/filter.h: -0x100000).
const SKF_NET_OFF: u32 = 0xfff0_0000;

#[cfg(test)]
mod tests;
