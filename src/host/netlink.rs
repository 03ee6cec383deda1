//! A blocking netlink socket: orders in one datagram, dumps, and multicast events (netlink(7)).
//!
//! The kernel carries out what a datagram says before `send` returns, and its answers are then already waiting: so an
//! exchange never blocks, and the clock can be read right after it. It refuses nothing; it only reports what was refused.

mod nested;

use std::io::{self, PipeReader};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    NetlinkSerializable,
};
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{SockFilter, SockRef};

/// A netlink socket of one protocol.
pub(super) struct Channel {
    socket: Socket,
    port: u32,
    sequence: u32,
    out: Vec<u8>,
    buffer: Vec<u8>,
}

/// What the kernel answered to one datagram.
pub(super) struct Replies<I> {
    /// The errors: which message (its place in the datagram), and the errno.
    pub errors: Vec<(usize, i32)>,
    /// Messages that carry data.
    pub data: Vec<I>,
    /// Whether the last message was acknowledged.
    pub acknowledged: bool,
}

impl<I> Replies<I> {
    /// The data, or the first error.
    pub fn into_result(self) -> io::Result<Vec<I>> {
        match self.errors.first() {
            Some((_, errno)) => Err(io::Error::from_raw_os_error(*errno)),
            None if !self.acknowledged => Err(io::Error::other("the kernel did not answer the order")),
            None => Ok(self.data),
        }
    }
}

/// What an event socket has to say.
pub(super) enum Heard<I> {
    /// Messages, with their headers: the port number there is the originator's (0: the kernel itself).
    Messages(Vec<(NetlinkHeader, I)>),
    /// Messages were lost (the socket's buffer overflowed): ask for the whole state.
    Lost,
    /// Nothing waits.
    Nothing,
    /// Nothing waits, and nothing is to be waited for any more.
    Ended,
}

impl Channel {
    /// Opens and binds a socket.
    pub fn open(protocol: isize) -> io::Result<Channel> {
        let mut socket = Socket::new(protocol)?;
        let port = socket.bind_auto()?.port_number();
        // Without the echoed request, acknowledgements stay small; an old kernel that does not know it is no harm.
        let _ = socket.set_cap_ack(true);
        Ok(Channel { socket, port, sequence: 0, out: Vec::new(), buffer: Vec::with_capacity(BUFFER) })
    }

    /// Opens a socket that hears these multicast groups, with a roomy buffer.
    pub fn listen(protocol: isize, groups: &[u32]) -> io::Result<Channel> {
        let channel = Channel::open(protocol)?;
        channel.socket.set_rx_buf_sz(1_i32 << 20)?;
        for group in groups {
            channel.socket.add_membership(*group)?;
        }
        Ok(channel)
    }

    /// Has dumps answered with what their question names alone (NETLINK_GET_STRICT_CHK, Linux 4.20); an older kernel answers with all.
    pub fn filter_dumps(&self) {
        let _ = self.socket.set_netlink_get_strict_chk(true);
    }

    /// Lets datagrams of up to so many bytes be sent (CAP_NET_ADMIN); without the right to, the kernel's default stays.
    pub fn send_up_to(&self, bytes: usize) {
        let _ = nix::sys::socket::setsockopt(self, nix::sys::socket::sockopt::SndBufForce, &bytes);
    }

    /// Leaves out events that the socket with this port caused: a renewal must not wake its own watcher. The first message of a
    /// datagram tells, since one datagram holds the events of one transaction (net/netfilter/nf_tables_api.c, nft_commit_notify).
    pub fn deaf_to(&self, port: u32) -> io::Result<()> {
        let program = [
            SockFilter::new(LD_W_ABS, 0, 0, NLMSG_PID),
            SockFilter::new(JEQ_K, 0, 1, port.to_be()),
            SockFilter::new(RET_K, 0, 0, 0),
            SockFilter::new(RET_K, 0, 0, u32::MAX),
        ];
        SockRef::from(self).attach_filter(&program)
    }

    /// The socket's own port number: events that it caused carry it.
    pub fn port(&self) -> u32 {
        self.port
    }

    /// Sends all orders in one datagram, each with these flags, and collects what the kernel says to them; the last one is acknowledged.
    pub fn order<I>(&mut self, orders: &[I], flags: u16) -> io::Result<Replies<I>>
    where
        I: NetlinkSerializable + NetlinkDeserializable + Clone,
        NetlinkMessage<I>: From<I>,
    {
        let message = |order: &I| {
            let mut message = NetlinkMessage::from(order.clone());
            message.header.flags = flags;
            message
        };
        self.exchange(orders.iter().map(message).collect(), orders.len().saturating_sub(1))
    }

    /// Sends all messages in one datagram and collects what the kernel says to them. `acknowledge` is the place of the
    /// one to be acknowledged: the last, or in a batch the one before its end. Errors come for any of them.
    pub fn exchange<I>(&mut self, mut messages: Vec<NetlinkMessage<I>>, acknowledge: usize) -> io::Result<Replies<I>>
    where
        I: NetlinkSerializable + NetlinkDeserializable,
    {
        let first = self.sequence.wrapping_add(1);
        self.out.clear();
        for (index, message) in messages.iter_mut().enumerate() {
            self.sequence = self.sequence.wrapping_add(1);
            message.header.sequence_number = self.sequence;
            message.header.flags |= NLM_F_REQUEST;
            if index == acknowledge {
                message.header.flags |= NLM_F_ACK;
            }
            message.finalize();
            let start = self.out.len();
            self.out.resize(start.saturating_add(message.buffer_len().next_multiple_of(4)), 0);
            message.serialize(self.out.split_at_mut(start).1);
        }
        self.socket.send_to(&self.out, &SocketAddr::new(0, 0), 0)?;
        let mut replies = Replies { errors: Vec::new(), data: Vec::new(), acknowledged: false };
        // The answer to the last one comes last (netlink_rcv_skb, nfnl_err_deliver): behind it nothing is waited for.
        let mut last = false;
        while !last && let Some(parts) = self.receive::<I>(libc::MSG_DONTWAIT)? {
            for part in parts {
                let index = part.header.sequence_number.wrapping_sub(first) as usize;
                if index >= messages.len() {
                    continue; // of an earlier exchange
                }
                match part.payload {
                    NetlinkPayload::Error(error) => {
                        last |= index == acknowledge;
                        match error.code {
                            Some(code) => replies.errors.push((index, code.get().saturating_abs())),
                            None => replies.acknowledged |= index == acknowledge,
                        }
                    }
                    NetlinkPayload::InnerMessage(inner) => replies.data.push(inner),
                    _ => {}
                }
            }
        }
        Ok(replies)
    }

    /// Asks for everything of a kind; again when something of it was changed meanwhile, since such an answer may lack what is there or
    /// name what is not (`NLM_F_DUMP_INTR`). Where it changes all the time the last answer is taken.
    pub fn dump<I>(&mut self, mut message: NetlinkMessage<I>) -> io::Result<Vec<I>>
    where
        I: NetlinkSerializable + NetlinkDeserializable,
    {
        let mut data = Vec::new();
        for _ in 0..MOST_DUMPS {
            data.clear();
            let mut torn = false;
            self.begin_dump(&mut message)?;
            while !self.dumped(&mut data, &mut torn)? {}
            if !torn {
                break;
            }
        }
        Ok(data)
    }

    fn begin_dump<I>(&mut self, message: &mut NetlinkMessage<I>) -> io::Result<()>
    where
        I: NetlinkSerializable + NetlinkDeserializable,
    {
        while self.receive::<I>(libc::MSG_DONTWAIT)?.is_some() {}
        self.sequence = self.sequence.wrapping_add(1);
        message.header.sequence_number = self.sequence;
        message.header.flags |= NLM_F_REQUEST | NLM_F_DUMP;
        message.finalize();
        self.out.clear();
        self.out.resize(message.buffer_len(), 0);
        message.serialize(&mut self.out);
        self.socket.send_to(&self.out, &SocketAddr::new(0, 0), 0)?;
        Ok(())
    }

    /// Takes the next datagram of a dump; whether it was the last one. `torn` is set when the kernel says that the dump is none of
    /// one instant.
    fn dumped<I: NetlinkDeserializable>(&mut self, data: &mut Vec<I>, torn: &mut bool) -> io::Result<bool> {
        for part in self.receive::<I>(0)?.unwrap_or_default() {
            *torn |= part.header.flags & NLM_F_DUMP_INTR != 0;
            match part.payload {
                NetlinkPayload::InnerMessage(inner) => data.push(inner),
                NetlinkPayload::Done(_) => return Ok(true),
                NetlinkPayload::Error(error) => {
                    let errno = error.code.map_or(0, |code| code.get().saturating_abs());
                    return Err(io::Error::from_raw_os_error(errno));
                }
                _ => {}
            }
        }
        Ok(false)
    }

    /// Waits for events; no longer than until the other end of this pipe is closed.
    pub fn hear<I: NetlinkDeserializable>(&mut self, end: &PipeReader) -> io::Result<Heard<I>> {
        let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN), PollFd::new(end.as_fd(), PollFlags::POLLIN)];
        while let Err(errno) = poll(&mut fds, PollTimeout::NONE) {
            if errno != Errno::EINTR {
                return Err(errno.into());
            }
        }
        if fds[0].any() == Some(false) { Ok(Heard::Ended) } else { self.hear_now() }
    }

    /// The events that wait, without waiting.
    pub fn hear_now<I: NetlinkDeserializable>(&mut self) -> io::Result<Heard<I>> {
        match self.receive::<I>(libc::MSG_DONTWAIT) {
            Ok(None) => Ok(Heard::Nothing),
            Ok(Some(parts)) => Ok(Heard::Messages(
                parts
                    .into_iter()
                    .filter_map(|part| match part.payload {
                        NetlinkPayload::InnerMessage(inner) => Some((part.header, inner)),
                        _ => None,
                    })
                    .collect(),
            )),
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Ok(Heard::Lost),
            Err(error) => Err(error),
        }
    }

    /// One datagram's messages; none when nothing waits. A message that does not parse is left out.
    fn receive<I: NetlinkDeserializable>(&mut self, flags: i32) -> io::Result<Option<Vec<NetlinkMessage<I>>>> {
        self.buffer.clear();
        match self.socket.recv_from(&mut self.buffer, flags) {
            // The kernel's port is 0: what another process sends here is nobody's answer.
            Ok((_, from)) if from.port_number() != 0 => return Ok(Some(Vec::new())),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Some(Vec::new())),
            Err(error) => return Err(error),
        }
        Ok(Some(split(&self.buffer)))
    }
}

/// One datagram's messages. One that does not parse is left out; a length that does not fit ends the reading.
pub(crate) fn split<I: NetlinkDeserializable>(datagram: &[u8]) -> Vec<NetlinkMessage<I>> {
    let mut parts = Vec::new();
    let mut rest = datagram;
    while let Some(length) = rest.first_chunk::<4>().map(|bytes| u32::from_ne_bytes(*bytes) as usize) {
        let Some(whole) = rest.get(..length).filter(|whole| whole.len() >= HEADER) else { break };
        let kind = whole.get(4..6).and_then(|kind| kind.try_into().ok()).map_or(0, u16::from_ne_bytes);
        if nested::whole(kind, whole.get(HEADER..).unwrap_or_default()) {
            parts.extend(NetlinkMessage::<I>::deserialize(whole));
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    parts
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Channel {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// The kernel makes dump parts of up to 32 KiB when the reader offers as much.
const BUFFER: usize = 32 << 10;
/// So often a dump that something was changed under is asked for.
const MOST_DUMPS: usize = 8;
/// The length of a message's header (netlink(7)).
const HEADER: usize = 16;
/// Where nlmsg_pid stands in a message's header (include/uapi/linux/netlink.h).
const NLMSG_PID: u32 = 12;
// include/uapi/linux/bpf_common.h
const LD_W_ABS: u16 = 0x20;
const JEQ_K: u16 = 0x15;
const RET_K: u16 = 0x06;

#[cfg(test)]
#[path = "netlink_tests.rs"]
mod tests;
