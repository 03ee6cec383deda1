//! Own reachability: echoes from the node's own address to the witnesses, by surge-ping.
//!
//! Life cycle: [`Echoes::open`] binds one socket a family to the own address and the interface; while the interface or the
//! address is missing it says so in a typed error and is to be called again when that changes. [`Echoes::send`] never waits:
//! each echo is a task of its own that ends with an answer or its timeout. Only a true echo reply of the very witness counts:
//! surge-ping also takes ICMP errors for answers (LAB 5), and an answer that nobody asked for. So its socket has a filter that takes echo
//! replies with the payload of this life alone: who sees none of the echoes can neither answer for a dark witness nor, by an error that
//! quotes one, end an echo before its answer comes (SAFETY R12).
//! It judges nothing: how many echoes must come back, and how soon, is the core's to say.

use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockFilter, SockRef, Type};
use surge_ping::{Client, Config, ICMP, IcmpPacket, PingIdentifier, PingSequence, Pinger};
use thiserror::Error;
use tokio::sync::Semaphore;

use super::interfaces::{Seen, index_of};
use twinbeat_core::id::WitnessId;

/// Which echoes to send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EchoConfig {
    /// The public interface.
    pub interface: String,
    /// The node's own addresses on it; the first of a family is the source for that family's witnesses.
    pub own: Vec<IpAddr>,
    /// The witnesses, by [`WitnessId`].
    pub witnesses: Vec<IpAddr>,
    /// After how long an echo is given up. Late answers are the core's to judge: longer than `delivery`, shorter than a
    /// second, so that not too many are in flight.
    pub timeout: Duration,
}

/// A witness answered an echo from this node's own address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EchoReply {
    /// Which witness.
    pub witness: WitnessId,
    /// The number that the echo went out with.
    pub number: u64,
    /// How long it took, as surge-ping measured it.
    pub took: Duration,
}

/// Why an echo could not be sent.
#[derive(Debug, Error)]
pub enum EchoError {
    /// The interface or the own address is not there (yet): open again when it is.
    #[error("echoes from {own} on {interface}: {source}")]
    Unavailable {
        /// The interface's name.
        interface: String,
        /// The address to be bound to.
        own: IpAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel refused the socket for another reason.
    #[error("echoes from {own} on {interface}: {source}")]
    Refused {
        /// The interface's name.
        interface: String,
        /// The address to be bound to.
        own: IpAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// No socket is open for that witness's family.
    #[error("no echo socket is open for witness {0}")]
    Closed(WitnessId),
    /// There is no such witness.
    #[error("there is no witness {0}")]
    Unknown(WitnessId),
    /// [`IN_FLIGHT_MAX`] echoes wait already.
    #[error("too many echoes are in flight")]
    Crowded,
}

/// So many echoes may wait for their answers at once.
pub const IN_FLIGHT_MAX: usize = 1024;

/// The echoes from the own address.
pub struct Echoes {
    config: EchoConfig,
    report: Arc<dyn Fn(EchoReply) + Send + Sync>,
    v4: Option<Client>,
    v6: Option<Client>,
    scope: u32,
    identifier: PingIdentifier,
    /// The payload's beginning, drawn anew in each life.
    secret: [u8; SECRET],
    in_flight: Arc<Semaphore>,
}

impl Echoes {
    /// With no socket yet; `report` is called for each answer, in a task of the runtime.
    pub fn new(config: EchoConfig, report: impl Fn(EchoReply) + Send + Sync + 'static) -> Self {
        let mut secret = [0; SECRET];
        // Without randomness no key could be read either; what is left is guessable, and no worse than no secret.
        let _ = getrandom::fill(&mut secret);
        let identifier = PingIdentifier(std::process::id() as u16);
        let (report, in_flight) = (Arc::new(report), Arc::new(Semaphore::new(IN_FLIGHT_MAX)));
        Self { config, report, v4: None, v6: None, scope: 0, identifier, secret, in_flight }
    }

    /// Opens the sockets anew, for each family that has witnesses. Echoes in flight are given up. Needs a tokio runtime.
    ///
    /// # Errors
    /// The first that was met; sockets of the other family are open all the same.
    pub fn open(&mut self) -> Result<(), EchoError> {
        (self.v4, self.v6) = (None, None);
        self.scope = index_of(&self.config.interface).unwrap_or(0);
        let v4 = self.client(ICMP::V4).map(|client| self.v4 = client);
        let v6 = self.client(ICMP::V6).map(|client| self.v6 = client);
        v4.and(v6)
    }

    /// Closes the sockets: the interface is gone.
    pub fn close(&mut self) {
        (self.v4, self.v6) = (None, None);
    }

    /// Whether echoes to that witness can be sent at all.
    pub fn is_open(&self, witness: WitnessId) -> bool {
        self.config.witnesses.get(usize::from(witness.0)).is_some_and(|address| self.client_for(address).is_some())
    }

    /// Whether the sockets are bound to the interface that has the configured name now.
    pub fn is_current(&self) -> bool {
        index_of(&self.config.interface).is_ok_and(|index| index == self.scope)
    }

    /// To be called when interfaces or addresses are different: opens anew what is bound to an interface that is no more, and what could
    /// not be opened.
    pub fn renew(&mut self, seen: &Seen) {
        let Some(card) = seen.card(&self.config.interface) else { return self.close() };
        let lacks = |address: &IpAddr| self.client_for(address).is_none();
        if (card.index != self.scope || self.config.witnesses.iter().any(lacks))
            && let Err(error) = self.open()
        {
            tracing::debug!("{error}");
        }
    }

    /// Sends one echo and returns at once; the answer, if one comes, is reported. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`EchoError::Closed`], [`EchoError::Unknown`] or [`EchoError::Crowded`]. What the kernel says to the sending itself is
    /// like a lost packet.
    pub fn send(&self, witness: WitnessId, number: u64) -> Result<(), EchoError> {
        self.send_filled(witness, number, 0)
    }

    /// The same with so many bytes of payload (no fewer than the secret has), to see whether echoes of that length are answered.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_filled(&self, witness: WitnessId, number: u64, filling: usize) -> Result<(), EchoError> {
        let address = *self.config.witnesses.get(usize::from(witness.0)).ok_or(EchoError::Unknown(witness))?;
        let client = self.client_for(&address).ok_or(EchoError::Closed(witness))?.clone();
        let permit = Arc::clone(&self.in_flight).try_acquire_owned().map_err(|_| EchoError::Crowded)?;
        let (report, timeout, identifier) = (Arc::clone(&self.report), self.config.timeout, self.identifier);
        let mut payload = self.secret.to_vec();
        payload.resize(filling.max(SECRET), 0);
        let scope = if is_link_local(&address) { self.scope } else { 0 };
        tokio::spawn(async move {
            let mut pinger: Pinger = client.pinger(address, identifier).await;
            pinger.timeout(timeout).scope_id(scope);
            // The number's low half is the sequence: 65,536 echoes later an old one has long timed out.
            let asked = PingSequence(number as u16);
            if let Ok((packet, took)) = pinger.ping(asked, &payload).await
                && is_reply_from(&packet, &address)
            {
                report(EchoReply { witness, number, took });
            }
            drop(permit);
        });
        Ok(())
    }

    fn client_for(&self, witness: &IpAddr) -> Option<&Client> {
        if witness.is_ipv4() { self.v4.as_ref() } else { self.v6.as_ref() }
    }

    /// A socket of one family; none when no witness or no own address is of it.
    fn client(&self, kind: ICMP) -> Result<Option<Client>, EchoError> {
        let of_kind = |address: &&IpAddr| address.is_ipv4() == (kind == ICMP::V4);
        let own = self.config.own.iter().find(of_kind);
        let (Some(own), Some(_)) = (own, self.config.witnesses.iter().find(of_kind)) else { return Ok(None) };
        let bind = match own {
            IpAddr::V6(v6) if is_link_local(own) => SocketAddr::V6(SocketAddrV6::new(*v6, 0, 0, self.scope)),
            own => SocketAddr::new(*own, 0),
        };
        let config = Config::builder().kind(kind).bind(bind).interface(&self.config.interface).sock_type_hint(Type::RAW).build();
        let open = || {
            let client = Client::new(&config)?;
            let socket = client.get_socket();
            // SAFETY: the descriptor is `socket`'s, which lives until the end of this scope.
            #[expect(unsafe_code, reason = "surge-ping lends its descriptor as a bare number")]
            let lent = unsafe { BorrowedFd::borrow_raw(socket.get_native_sock()) };
            let lent = SockRef::from(&lent);
            lent.attach_filter(&own_replies(kind, socket.get_type(), self.secret))?;
            // What came before the filter was there would be taken for the first answers.
            while lent.recv(&mut [MaybeUninit::uninit()]).is_ok() {}
            Ok(client)
        };
        match open() {
            Ok(client) => Ok(Some(client)),
            Err(source) => {
                let source: io::Error = source;
                let (interface, own) = (self.config.interface.clone(), *own);
                Err(match source.raw_os_error() {
                    Some(libc::ENODEV | libc::EADDRNOTAVAIL | libc::ENXIO) => EchoError::Unavailable { interface, own, source },
                    _ => EchoError::Refused { interface, own, source },
                })
            }
        }
    }
}

/// The classic BPF program: an echo reply whose payload begins with the secret. A raw IPv4 socket is given the packet from its IP header on,
/// every other one from the ICMP header on (net/ipv4/raw.c, net/ipv6/raw.c, net/ipv4/ping.c).
fn own_replies(kind: ICMP, socket: Type, secret: [u8; SECRET]) -> [SockFilter; 9] {
    let icmp = match kind {
        ICMP::V4 if socket == Type::RAW => SockFilter::new(LDX_HEADER_LENGTH, 0, 0, 0),
        _ => SockFilter::new(LDX_IMMEDIATE, 0, 0, 0),
    };
    let reply = if kind == ICMP::V4 { 0 } else { 129 };
    let [a, b, c, d, e, f, g, h] = secret;
    [
        icmp,
        SockFilter::new(LD_BYTE_X, 0, 0, 0),
        SockFilter::new(JEQ, 0, 5, reply),
        SockFilter::new(LD_WORD_X, 0, 0, ICMP_HEADER),
        SockFilter::new(JEQ, 0, 3, u32::from_be_bytes([a, b, c, d])),
        SockFilter::new(LD_WORD_X, 0, 0, ICMP_HEADER + 4),
        SockFilter::new(JEQ, 0, 1, u32::from_be_bytes([e, f, g, h])),
        SockFilter::new(RET, 0, 0, u32::MAX),
        SockFilter::new(RET, 0, 0, 0),
    ]
}

/// An echo reply (RFC 792 type 0, RFC 4443 type 129) that the witness itself sent.
fn is_reply_from(packet: &IcmpPacket, witness: &IpAddr) -> bool {
    match packet {
        IcmpPacket::V4(packet) => packet.get_icmp_type().0 == 0 && IpAddr::V4(packet.get_source()) == *witness,
        IcmpPacket::V6(packet) => packet.get_icmpv6_type().0 == 129 && IpAddr::V6(packet.get_source()) == *witness,
    }
}

fn is_link_local(address: &IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local())
}

/// Bytes of the secret.
const SECRET: usize = 8;
const ICMP_HEADER: u32 = 8;
// linux/bpf_common.h
/// BPF_LDX | BPF_B | BPF_MSH: four times the low half of a byte, the length of an IPv4 header.
const LDX_HEADER_LENGTH: u16 = 0xb1;
/// BPF_LDX | BPF_IMM
const LDX_IMMEDIATE: u16 = 0x01;
/// BPF_LD | BPF_B | BPF_IND
const LD_BYTE_X: u16 = 0x50;
/// BPF_LD | BPF_W | BPF_IND
const LD_WORD_X: u16 = 0x40;
/// BPF_JMP | BPF_JEQ | BPF_K
const JEQ: u16 = 0x15;
/// BPF_RET | BPF_K
const RET: u16 = 0x06;

#[cfg(test)]
#[path = "echo_tests.rs"]
mod tests;
