//! The side itself: what is told of frames, and the frames that are sent.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::keeper::{Keeper, Kept};
use super::paced::Paced;
use super::types::{PublicConfig, PublicEvent, SendError};
use super::watch::{self, Verdict, View, Vip};
use super::witness::{Named, Witness};
use crate::neighbour::{self, Neighbour};
use crate::packet::PacketSocket;
use crate::raw_echo::{self, Purpose, Route, Tag, parse_reply, same_family};
use twinbeat_core::id::{GroupId, Mac, WitnessId};
use twinbeat_core::io::EchoKind;

/// The packet sockets of the VIPs' interfaces and what is known about the witnesses.
pub struct PublicSide {
    pub(super) config: PublicConfig,
    pub(super) life: u64,
    pub(super) relay_number: u64,
    /// The public interface's first, then the other VIPs'.
    pub(super) links: Vec<Link>,
    pub(super) vips: Vec<Vip>,
    pub(super) witnesses: Vec<Witness>,
    /// The MACs of all of this node's interfaces: a frame from one of them is no stranger's.
    pub(super) mine: Vec<Mac>,
    /// The public interface has the own addresses.
    pub(super) own_here: bool,
    pub(super) keeper: Keeper,
    /// Something was told while the keeper was looking.
    pub(super) again: bool,
    pub(super) buffer: Vec<u8>,
    pub(super) seen: VecDeque<PublicEvent>,
    pub(super) paced: Paced,
    pub(super) ticker: Option<Interval>,
    pub(super) ticks: u64,
    pub(super) turn: usize,
}

pub(super) struct Link {
    pub(super) interface: String,
    /// What its filter takes.
    pub(super) addresses: Vec<IpAddr>,
    pub(super) socket: Option<PacketSocket>,
}

enum Woke {
    Tick,
    Pace,
    Judge,
    Frame(usize, usize),
    Failed(usize),
    Kept(Kept),
}

impl PublicSide {
    /// Opens the sockets of the interfaces that are there. Needs a tokio runtime with IO and time.
    ///
    /// # Errors
    /// Only when the system has no random numbers or no thread.
    pub fn new(config: PublicConfig) -> io::Result<Self> {
        let life = getrandom::u64().map_err(io::Error::other)?;
        let mut links = vec![Link { interface: config.interface.clone(), addresses: config.witnesses.clone(), socket: None }];
        let mut vips = Vec::new();
        for (group, (address, interface)) in
            (0..).zip(&config.groups).flat_map(|(group, vips)| vips.iter().map(move |v| (group, v)))
        {
            let link = links.iter().position(|link| link.interface == *interface).unwrap_or_else(|| {
                links.push(Link { interface: interface.clone(), addresses: Vec::new(), socket: None });
                links.len().saturating_sub(1)
            });
            if let Some(link) = links.get_mut(link) {
                link.addresses.push(*address);
            }
            vips.push(Vip { address: *address, group: GroupId(group), link, answering: false, probed: None });
        }
        let witnesses = config.witnesses.iter().map(|address| Witness::new(*address)).collect();
        let keeper = Keeper::start(&config.interface)?;
        let mut side = Self {
            config,
            life,
            relay_number: 0,
            links,
            vips,
            witnesses,
            mine: Vec::new(),
            own_here: false,
            keeper,
            again: false,
            buffer: vec![0; BUFFER],
            seen: VecDeque::new(),
            paced: Paced::default(),
            ticker: None,
            ticks: 0,
            turn: 0,
        };
        let _ = side.rebuild();
        Ok(side)
    }

    /// The witness's MAC, learnt from its answer to our own ARP request or solicitation.
    pub fn witness_mac(&self, witness: WitnessId) -> Option<Mac> {
        self.witnesses.get(usize::from(witness.0))?.mac
    }

    /// Whether the socket on the public interface is open.
    pub fn is_open(&self) -> bool {
        self.links.first().is_some_and(|link| link.socket.is_some())
    }

    /// Asks the link once who has each of the group's VIPs; writes nothing (SAFETY R4.3).
    ///
    /// # Errors
    /// The first that was met; the other VIPs were asked for all the same.
    pub fn probe(&mut self, group: GroupId) -> Result<(), SendError> {
        let now = Instant::now();
        let mut done = Ok(());
        for vip in self.vips.iter_mut().filter(|vip| vip.group == group) {
            vip.probed = Some(now);
            done = done.and(send_on(&self.links, vip.link, |mine| Some(neighbour::probe(mine, vip.address))));
        }
        done
    }

    /// Writes "guard VIP -> my MAC" into one witness's table, heard by nobody else (SAFETY R4.4).
    ///
    /// # Errors
    /// [`SendError::Unresolved`] until the witness has answered our own ARP: a broadcast would divert the LAN.
    pub fn write(&mut self, group: GroupId, witness: WitnessId) -> Result<(), SendError> {
        self.may_speak()?;
        let (vip, address, to) = self.guard(group, witness)?;
        send_on(&self.links, 0, |mine| neighbour::write(mine, vip, address, Some(to)))
    }

    /// Writes "guard VIP -> the owner's MAC" into one witness's table, heard by nobody else (SAFETY R4.4 †).
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn give_back(&mut self, group: GroupId, witness: WitnessId, owner: Mac) -> Result<(), SendError> {
        let (vip, address, to) = self.guard(group, witness)?;
        send_on(&self.links, 0, |mine| neighbour::write_for(mine, owner, vip, address, Some(to)))
    }

    /// Answers, or no longer answers, a witness's questions for the group's VIPs that were addressed to my own MAC, as a
    /// challenger whose kernel does not have the address.
    pub fn answer_unicast(&mut self, group: GroupId, on: bool) {
        for vip in self.vips.iter_mut().filter(|vip| vip.group == group && vip.link == 0) {
            vip.answering = on;
        }
    }

    /// Sends an echo from the guard VIP to a witness, with a heartbeat frame in it. It writes nothing: where the answer goes
    /// is what is being asked. A frame that does not fit stays behind, and the echo goes all the same. Returns whether it went along.
    ///
    /// # Errors
    /// [`SendError`]; [`SendError::Impossible`] for [`EchoKind::Own`].
    pub fn vip_echo(
        &mut self,
        group: GroupId,
        witness: WitnessId,
        kind: EchoKind,
        number: u64,
        frame: &[u8],
    ) -> Result<bool, SendError> {
        // An owner's kernel has the VIP itself.
        if !matches!(kind, EchoKind::Vip(_)) {
            self.may_speak()?;
        }
        let (source, address, to) = self.guard(group, witness)?;
        let purpose = Purpose::of(kind).ok_or(SendError::Impossible)?;
        let tag = Tag { purpose, sender: self.config.node, life: self.life, number };
        let send = |frame: &[u8]| {
            send_on(&self.links, 0, |from| raw_echo::request(&Route { from, to, source, witness: address }, &tag, frame))
        };
        let mut whole = frame.len() <= raw_echo::FRAME_MAX;
        if whole {
            match send(frame) {
                // The interface's MTU is below the smallest that heartbeats are made for.
                Err(SendError::Io(error)) if error.raw_os_error() == Some(libc::EMSGSIZE) => whole = false,
                sent => sent?,
            }
        }
        if !whole {
            send(&[])?;
        }
        let now = Instant::now();
        if matches!(kind, EchoKind::Vip(_))
            && let Some(known) = self.witnesses.get_mut(usize::from(witness.0))
            && known.sounded()
            && known.may_ask_at_once(now)
        {
            known.mistrust();
            self.ask_for_witnesses();
        }
        Ok(whole)
    }

    /// Has a witness carry a heartbeat frame to the peer (SAFETY R4a): the first one that answered lately and shares a
    /// family with the peer.
    ///
    /// # Errors
    /// [`SendError::NoWitness`] when none is known, [`SendError::TooLong`] when it does not fit.
    pub fn relay(&mut self, frame: &[u8]) -> Result<WitnessId, SendError> {
        self.may_speak()?;
        let now = Instant::now();
        let mut known: Vec<_> = (0..)
            .zip(&self.witnesses)
            .filter_map(|(id, witness)| {
                let source = *self.config.peer.iter().find(|peer| same_family(peer, &witness.address))?;
                Some((!witness.is_fresh(now), WitnessId(id), witness.address, witness.mac?, source))
            })
            .collect();
        known.sort_by_key(|(stale, id, ..)| (*stale, *id));
        let (_, id, witness, to, source) = known.first().copied().ok_or(SendError::NoWitness)?;
        self.relay_number = self.relay_number.wrapping_add(1);
        let tag = Tag { purpose: Purpose::Relay, sender: self.config.node, life: self.life, number: self.relay_number };
        if frame.len() > raw_echo::FRAME_MAX {
            return Err(SendError::TooLong);
        }
        match send_on(&self.links, 0, |from| raw_echo::request(&Route { from, to, source, witness }, &tag, frame)) {
            Err(SendError::Io(error)) if error.raw_os_error() == Some(libc::EMSGSIZE) => Err(SendError::TooLong),
            sent => sent.map(|()| id),
        }
    }

    /// Sends a witness an echo whose reply belongs to the peer, for `check`: when it comes back here
    /// ([`PublicEvent::FollowsSender`]) the witness answers to the sender. It is as long as one with a heartbeat of so many bytes,
    /// writes nothing, and the peer ignores what it gets.
    ///
    /// # Errors
    /// [`SendError`]; [`SendError::NoWitness`] when the peer has no address of the witness's family.
    pub fn inquire(&mut self, id: WitnessId, size: usize) -> Result<(), SendError> {
        self.may_speak()?;
        let witness = self.witnesses.get(usize::from(id.0)).ok_or(SendError::NoWitness)?;
        let to = witness.mac.ok_or(SendError::Unresolved(id))?;
        let address = witness.address;
        let source = *self.config.peer.iter().find(|peer| same_family(peer, &address)).ok_or(SendError::NoWitness)?;
        self.relay_number = self.relay_number.wrapping_add(1);
        let tag = Tag { purpose: Purpose::Inquiry, sender: self.config.node, life: self.life, number: self.relay_number };
        let filling = vec![0; size.min(raw_echo::FRAME_MAX)];
        send_on(&self.links, 0, |from| raw_echo::request(&Route { from, to, source, witness: address }, &tag, &filling))
    }

    /// Asks a witness that answers no echoes for its MAC, from the own address: its answer comes as the reply to the echo of that
    /// number, unless it takes longer than `patience`.
    ///
    /// # Errors
    /// [`SendError`]; [`SendError::NoWitness`] when this node has no address of the witness's family.
    pub fn ask(&mut self, id: WitnessId, number: u64, patience: Duration) -> Result<(), SendError> {
        self.may_speak()?;
        let witness = self.witnesses.get_mut(usize::from(id.0)).ok_or(SendError::NoWitness)?;
        let own = *self.config.own.iter().find(|own| same_family(own, &witness.address)).ok_or(SendError::NoWitness)?;
        witness.number(number, Instant::now(), patience);
        let (address, to) = (witness.address, witness.mac);
        send_on(&self.links, 0, |mine| neighbour::write(mine, own, address, to))
    }

    /// Waits for the next thing seen. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> PublicEvent {
        loop {
            if let Some(event) = self.seen.pop_front() {
                return event;
            }
            match self.woken().await {
                Woke::Tick => {
                    self.ticks = self.ticks.wrapping_add(1);
                    let wanted = self.wanted();
                    if !self.keeper.is_busy() && (!wanted.is_empty() || self.ticks.is_multiple_of(LOOK_EVERY)) {
                        self.keeper.look(wanted);
                    }
                    self.ask_for_witnesses();
                }
                Woke::Judge => {
                    let now = Instant::now();
                    let interface = &self.config.interface;
                    for witness in &mut self.witnesses {
                        let before = witness.mac;
                        if let Some(mac) = witness.judge(now) {
                            let was = before.map_or_else(|| "nowhere".into(), |mac| mac.to_string());
                            tracing::info!(target: "witness", "{} is at {mac} on {interface} now, no longer at {was}", witness.address);
                        }
                    }
                }
                Woke::Pace => self.pace(),
                // Down (the socket works again when it is up) or deleted.
                Woke::Failed(link) => self.close_unless_current(link),
                Woke::Kept(kept) => {
                    let _ = self.keep(kept);
                    let wanted = if std::mem::take(&mut self.again) { self.wanted() } else { Vec::new() };
                    if !wanted.is_empty() {
                        self.keeper.look(wanted);
                    }
                }
                Woke::Frame(link, length) => {
                    if let Some(event) = self.read(link, length) {
                        return event;
                    }
                }
            }
        }
    }

    async fn woken(&mut self) -> Woke {
        let Self { links, buffer, ticker, turn, witnesses, keeper, paced, .. } = self;
        let ticker = ticker.get_or_insert_with(|| {
            let mut ticker = interval(TICK);
            ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticker
        });
        *turn = turn.wrapping_add(1);
        let judge = witnesses.iter().filter_map(Witness::deadline).min().map(|at| (at, Woke::Judge));
        let pace = paced.due().map(|at| (at, Woke::Pace));
        let first = judge.into_iter().chain(pace).min_by_key(|(at, _)| *at);
        let woken = poll_fn(|cx| {
            if ticker.poll_tick(cx).is_ready() {
                return Poll::Ready(Woke::Tick);
            }
            if let Poll::Ready(kept) = keeper.poll(cx) {
                return Poll::Ready(Woke::Kept(kept));
            }
            // A flood on one interface does not keep the others waiting.
            for step in 0..links.len() {
                let at = turn.wrapping_add(step).checked_rem(links.len()).unwrap_or(0);
                if let Some(socket) = links.get(at).and_then(|link| link.socket.as_ref()) {
                    match socket.poll_recv(cx, buffer) {
                        Poll::Ready(Ok(length)) => return Poll::Ready(Woke::Frame(at, length)),
                        Poll::Ready(Err(_)) => return Poll::Ready(Woke::Failed(at)),
                        Poll::Pending => {}
                    }
                }
            }
            Poll::Pending
        });
        match first {
            Some((at, then)) => tokio::time::timeout_at(at, woken).await.unwrap_or(then),
            None => woken.await,
        }
    }

    /// What one frame says; acts on what concerns only this side.
    fn read(&mut self, link: usize, length: usize) -> Option<PublicEvent> {
        let now = Instant::now();
        let frame = self.buffer.get(..length)?;
        let my = self.links.get(link)?.socket.as_ref()?.mac();
        let view = View { vips: &self.vips, witnesses: &self.witnesses, own: &self.config.own, mine: &self.mine, link, my };
        let verdict = match parse_reply(frame) {
            Some(reply) => view.judge_reply(&reply, self.config.node, self.life),
            None => view.judge(&Neighbour::parse(frame)?, now),
        };
        match verdict? {
            Verdict::Seen(event) => {
                if let PublicEvent::EchoReply { witness, kind: EchoKind::Vip(_), .. } = event {
                    self.witnesses.get_mut(usize::from(witness.0))?.heard();
                }
                Some(event)
            }
            Verdict::Vouched(index, number) => {
                self.witnesses.get_mut(index)?.vouched(number);
                None
            }
            Verdict::Answer(frame) => {
                self.may_speak().ok()?;
                let _ = send_on(&self.links, link, |_| Some(frame));
                None
            }
            Verdict::WitnessIs(index, mac) => {
                let witness = self.witnesses.get_mut(index)?;
                match witness.named(mac, now) {
                    Named::Nothing => return None,
                    Named::Known => {}
                    Named::Ask(both) => {
                        self.ask_both(index, both);
                        return None;
                    }
                }
                let number = witness.numbered()?;
                Some(PublicEvent::EchoReply { witness: WitnessId(u8::try_from(index).ok()?), kind: EchoKind::Own, number })
            }
            Verdict::WitnessMoved(witness) => {
                let witness = self.witnesses.get_mut(witness)?;
                if witness.may_ask_at_once(now) {
                    witness.mistrust();
                    self.ask_for_witnesses();
                }
                None
            }
        }
    }

    /// Two MACs are said to be a witness's: each is asked, by a question and by an echo, both from the own address.
    fn ask_both(&self, index: usize, both: [(Mac, u64); 2]) {
        if self.may_speak().is_err() {
            return;
        }
        let Some(witness) = self.witnesses.get(index).map(|witness| witness.address) else { return };
        let Some(source) = self.config.own.iter().copied().find(|own| same_family(own, &witness)) else { return };
        for (to, number) in both {
            let tag = Tag { purpose: Purpose::Verify, sender: self.config.node, life: self.life, number };
            let _ = send_on(&self.links, 0, |mine| neighbour::write(mine, source, witness, Some(to)));
            let _ = send_on(&self.links, 0, |from| raw_echo::request(&Route { from, to, source, witness }, &tag, &[]));
        }
    }

    /// Asks, from the own address, for the MACs that are unknown or due to be asked for again.
    pub(super) fn ask_for_witnesses(&mut self) {
        if self.may_speak().is_err() {
            return;
        }
        let now = Instant::now();
        for witness in &mut self.witnesses {
            let Some(own) = self.config.own.iter().find(|own| same_family(own, &witness.address)) else { continue };
            if let Some(to) = witness.due(now) {
                let _ = send_on(&self.links, 0, |mine| neighbour::write(mine, *own, witness.address, to));
            }
        }
    }

    /// Nothing is said in the name of an address that is not there.
    fn may_speak(&self) -> Result<(), SendError> {
        if self.own_here { Ok(()) } else { Err(SendError::NotMine(self.config.interface.clone())) }
    }

    /// The guard VIP for a witness, the witness's address and its MAC.
    fn guard(&self, group: GroupId, id: WitnessId) -> Result<(IpAddr, IpAddr, Mac), SendError> {
        let witness = self.witnesses.get(usize::from(id.0)).ok_or(SendError::NoWitness)?;
        let vip = watch::guard(&self.vips, group, &witness.address).ok_or(SendError::NoGuard(group, id))?;
        Ok((vip, witness.address, witness.mac.ok_or(SendError::Unresolved(id))?))
    }
}

pub(super) fn send_on(links: &[Link], link: usize, make: impl FnOnce(Mac) -> Option<Vec<u8>>) -> Result<(), SendError> {
    let link = links.get(link).ok_or(SendError::Impossible)?;
    let socket = link.socket.as_ref().ok_or_else(|| SendError::NoSocket(link.interface.clone()))?;
    let frame = make(socket.mac()).ok_or(SendError::Impossible)?;
    Ok(socket.send(&frame)?)
}

const BUFFER: usize = 2048;
const TICK: Duration = Duration::from_millis(500);
/// In ticks: how often the machine is looked at again.
const LOOK_EVERY: u64 = 10;

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
