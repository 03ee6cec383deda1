//! The responder on each node: answers a datagram to any local address from that very address, with the node's name.
//!
//! Part of the drill, not of the daemon: it stands for "the machine answers". It binds to all addresses, so only the kernel (the address, the
//! gate) decides whether a question for the VIP reaches it and whether its answer leaves.

use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt};
use nix::{cmsg_space, libc};

use super::ns::Namespace;

/// The UDP port of the probe.
pub const PORT: u16 = 7007;

/// A running responder; dropping it stops it.
#[derive(Debug)]
pub struct Responder {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Responder {
    /// Starts answering inside `ns` as `name`: the question's first 8 bytes (its number), then the name.
    pub fn start(ns: &Namespace, name: &str) -> Result<Responder> {
        let mut responder = Responder { stop: Arc::default(), threads: Vec::new() };
        for any in [SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)), SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT))] {
            let socket = ns.run(|| open(any))?;
            let (stop, name) = (Arc::clone(&responder.stop), name.to_owned());
            responder.threads.push(ns.spawn("responder", move || serve(&socket, &name, &stop))?);
        }
        Ok(responder)
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn open(any: SocketAddr) -> Result<UdpSocket> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(any), Type::DGRAM, Some(Protocol::UDP)).context("responder's socket")?;
    if any.is_ipv6() {
        socket.set_only_v6(true)?;
        setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
    } else {
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
    }
    socket.bind(&any.into()).with_context(|| format!("bind {any}"))?;
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    Ok(socket.into())
}

fn serve(socket: &UdpSocket, name: &str, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        answer_one(socket, name);
    }
}

/// Waits for one question, at most the socket's time limit, and answers it from the address it was sent to. Errors are losses: the asker counts them.
fn answer_one(socket: &UdpSocket, name: &str) -> Option<()> {
    let mut question = [0u8; 64];
    let mut control = cmsg_space!(libc::in6_pktinfo);
    let (length, from, to4, to6) = {
        let mut parts = [IoSliceMut::new(&mut question)];
        let got = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty()).ok()?;
        let (mut to4, mut to6) = (None, None);
        for message in got.cmsgs().ok()? {
            match message {
                ControlMessageOwned::Ipv4PacketInfo(info) => to4 = Some(info),
                ControlMessageOwned::Ipv6PacketInfo(info) => to6 = Some(info),
                _ => {}
            }
        }
        (got.bytes, got.address?, to4, to6)
    };
    let answer = [IoSlice::new(&question[..length.min(8)]), IoSlice::new(name.as_bytes())];
    let source4 = to4.map(|to| libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: to.ipi_addr, ipi_addr: to.ipi_addr });
    let source6 = to6.map(|to| libc::in6_pktinfo { ipi6_ifindex: 0, ..to });
    let source: Vec<ControlMessage> =
        source4.iter().map(ControlMessage::Ipv4PacketInfo).chain(source6.iter().map(ControlMessage::Ipv6PacketInfo)).collect();
    sendmsg(socket.as_raw_fd(), &answer, &source, MsgFlags::MSG_DONTWAIT, Some(&from)).ok().map(drop)
}
