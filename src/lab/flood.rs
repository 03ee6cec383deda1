//! A flood: frames poured onto a node's cable at a rate, from the switch's end of it, and what of the pair's own traffic still passes.
//!
//! Bounded in count and time; the frames are made before, so that the rate is the wire's and not the maker's.

use std::io::Read;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::socket::{SockProtocol, bind};
use pnet::packet::MutablePacket;
use pnet::packet::ethernet::{EtherTypes, MutableEthernetPacket};
use pnet::packet::ip::IpNextHeaderProtocols;
use pnet::packet::ipv4::{self, MutableIpv4Packet};
use pnet::packet::udp::{self, MutableUdpPacket};
use pnet::util::MacAddr;
use socket2::{Domain, Protocol, Socket, Type};

use super::ns::Namespace;
use twinbeat_core::id::Mac;

/// What was poured.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Poured {
    /// Frames that the kernel took.
    pub sent: u64,
    /// In this time.
    pub took: Duration,
}

impl Poured {
    /// Frames a second.
    pub fn rate(&self) -> f64 {
        self.sent as f64 / self.took.as_secs_f64().max(1e-9)
    }
}

/// Sends these frames over and over out of a port of the switch, `rate` a second at the most, for `time`.
///
/// # Errors
/// No packet socket there. A frame that the kernel does not take is not counted.
pub fn pour(switch: &Namespace, port: &str, frames: &[Vec<u8>], rate: u64, time: Duration) -> Result<Poured> {
    let socket = packet_socket(switch, port)?;
    let began = Instant::now();
    let (mut sent, mut tried) = (0_u64, 0_u64);
    let mut all = frames.iter().cycle();
    while began.elapsed() < time {
        // Due by now; a machine that stood still does not make up for more than a tenth of a second.
        let due = (began.elapsed().as_nanos() * u128::from(rate) / 1_000_000_000) as u64;
        tried = tried.max(due.saturating_sub((rate / 10).max(1)));
        while tried < due {
            let Some(frame) = all.next() else { return Ok(Poured { sent, took: began.elapsed() }) };
            sent += u64::from(socket.send(frame).is_ok());
            tried += 1;
        }
        thread::sleep(Duration::from_micros(300));
    }
    Ok(Poured { sent, took: began.elapsed() })
}

/// A datagram in an Ethernet frame, with the TTL of a neighbour on the wire.
///
/// # Errors
/// More bytes than a datagram can have.
pub fn datagram(from: (Mac, Ipv4Addr), to: (Mac, Ipv4Addr), port: u16, payload: &[u8]) -> Result<Vec<u8>> {
    let length = u16::try_from(IPV4 + UDP + payload.len()).context("too long for a datagram")?;
    let mut frame = vec![0_u8; ETHERNET + usize::from(length)];
    let mut eth = MutableEthernetPacket::new(&mut frame).context("frame")?;
    eth.set_source(MacAddr::from(from.0.0));
    eth.set_destination(MacAddr::from(to.0.0));
    eth.set_ethertype(EtherTypes::Ipv4);
    let mut ip = MutableIpv4Packet::new(eth.payload_mut()).context("ip")?;
    ip.set_version(4);
    ip.set_header_length(5);
    ip.set_total_length(length);
    ip.set_ttl(255);
    ip.set_next_level_protocol(IpNextHeaderProtocols::Udp);
    ip.set_source(from.1);
    ip.set_destination(to.1);
    let mut udp = MutableUdpPacket::new(ip.payload_mut()).context("udp")?;
    udp.set_source(port);
    udp.set_destination(port);
    udp.set_length(length - IPV4 as u16);
    udp.set_payload(payload);
    let sum = udp::ipv4_checksum(&udp.to_immutable(), &from.1, &to.1);
    udp.set_checksum(sum);
    let sum = ipv4::checksum(&ip.to_immutable());
    ip.set_checksum(sum);
    Ok(frame)
}

/// A frame that was on the wire.
#[derive(Clone, PartialEq, Debug)]
pub struct Seen {
    /// When it was read.
    pub at: Instant,
    /// All of it.
    pub frame: Vec<u8>,
}

/// Reads the datagrams to a UDP port that pass a port of the switch, in both directions. Dropping it ends that.
#[derive(Debug)]
pub struct Tap {
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Tap {
    /// Begins to read.
    ///
    /// # Errors
    /// No packet socket or no thread there.
    pub fn start(switch: &Namespace, port: &str, udp: u16) -> Result<Tap> {
        let mut socket = packet_socket(switch, port)?;
        let (seen, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (list, over) = (Arc::clone(&seen), Arc::clone(&stop));
        let thread = switch.spawn("tap", move || {
            let mut buffer = [0_u8; 2048];
            while !over.load(Ordering::Relaxed) {
                let Ok(length) = socket.read(&mut buffer) else { continue };
                let frame = &buffer[..length];
                if to_port(frame) == Some(udp) {
                    let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
                    list.push(Seen { at: Instant::now(), frame: frame.to_vec() });
                }
            }
        })?;
        Ok(Tap { seen, stop, thread: Some(thread) })
    }

    /// What has passed, the oldest first.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The longest time without a frame from this MAC between two instants.
    pub fn longest_silence(&self, from: Mac, begin: Instant, end: Instant) -> Duration {
        let seen = self.seen();
        let times = seen.iter().filter(|s| s.frame.get(6..12) == Some(&from.0) && s.at > begin && s.at < end).map(|s| s.at);
        let (mut last, mut longest) = (begin, Duration::ZERO);
        for at in times.chain([end]) {
            longest = longest.max(at.saturating_duration_since(last));
            last = at;
        }
        longest
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The destination port of an unfragmented IPv4 datagram without options; such are the pair's.
fn to_port(frame: &[u8]) -> Option<u16> {
    let udp = frame.get(12..15)? == [8, 0, 0x45] && *frame.get(23)? == 17;
    udp.then(|| frame.get(36..38)).flatten().map(|p| u16::from_be_bytes([p[0], p[1]]))
}

/// A packet socket at an interface of a machine: what it sends goes out there, and it hears both directions.
///
/// # Errors
/// No such interface, or no right to it.
pub fn packet_socket(switch: &Namespace, port: &str) -> Result<Socket> {
    switch.run(|| {
        let all = Protocol::from(SockProtocol::EthAll as i32);
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(all)).context("a packet socket")?;
        let interfaces = nix::ifaddrs::getifaddrs().context("the switch's ports")?;
        let mut links = interfaces.filter(|i| i.interface_name == port).filter_map(|i| i.address);
        let address = links.find_map(|a| a.as_link_addr().copied()).with_context(|| format!("no port {port}"))?;
        bind(socket.as_raw_fd(), &address).with_context(|| format!("bind to {port}"))?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        Ok(socket)
    })
}

const ETHERNET: usize = 14;
const IPV4: usize = 20;
const UDP: usize = 8;
