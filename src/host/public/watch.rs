//! What a frame on the public side means: pure, so that it can be tested without a wire.

use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::types::PublicEvent;
use super::witness::Witness;
use crate::neighbour::{Advertisement, Arp, BROADCAST, Neighbour, Solicitation};
use crate::raw_echo::{Purpose, Reply, same_family};
use twinbeat_core::id::{GroupId, Mac, NodeId, WitnessId};

/// A VIP, and what we are doing about it.
#[derive(Debug)]
pub(super) struct Vip {
    pub(super) address: IpAddr,
    pub(super) group: GroupId,
    /// Its interface's place.
    pub(super) link: usize,
    /// Unicast questions for it are answered.
    pub(super) answering: bool,
    /// When we last asked who has it.
    pub(super) probed: Option<Instant>,
}

/// What follows from a frame.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// To be told.
    Seen(PublicEvent),
    /// This frame is to be sent.
    Answer(Vec<u8>),
    /// A witness said where it is.
    WitnessIs(usize, Mac),
    /// A witness seems to be elsewhere: to be asked.
    WitnessMoved(usize),
    /// An echo that asked a MAC whether it is a witness's came back.
    Vouched(usize, u64),
}

/// What must be known to judge a frame.
pub(super) struct View<'a> {
    pub(super) vips: &'a [Vip],
    pub(super) witnesses: &'a [Witness],
    pub(super) own: &'a [IpAddr],
    /// All of this node's MACs.
    pub(super) mine: &'a [Mac],
    /// The interface on which the frame came.
    pub(super) link: usize,
    /// Its MAC.
    pub(super) my: Mac,
}

/// The address from which a group is asked about at a witness: its first VIP of that family on the public interface.
pub(super) fn guard(vips: &[Vip], group: GroupId, witness: &IpAddr) -> Option<IpAddr> {
    vips.iter().find(|vip| vip.group == group && vip.link == 0 && same_family(&vip.address, witness)).map(|vip| vip.address)
}

impl View<'_> {
    /// An echo reply. Only what the network delivered to this very interface counts.
    pub(super) fn judge_reply(&self, reply: &Reply<'_>, node: NodeId, life: u64) -> Option<Verdict> {
        let witness = self.witness_at(&reply.source)?;
        if reply.to != self.my || !reply.is_first_hand(self.witnesses.get(witness)?.mac) {
            return None;
        }
        let tag = &reply.tag;
        let foreign = tag.sender != node;
        match tag.purpose {
            // One's own, come back: as an inquiry.
            Purpose::Relay if !foreign && tag.life == life && !self.own.contains(&reply.destination) => {
                let witness = WitnessId(u8::try_from(witness).unwrap_or(u8::MAX));
                Some(Verdict::Seen(PublicEvent::FollowsSender { witness }))
            }
            Purpose::Relay => (foreign && self.own.contains(&reply.destination))
                .then(|| Verdict::Seen(PublicEvent::Relayed { frame: reply.frame.to_vec() })),
            Purpose::Inquiry => (!foreign && tag.life == life).then(|| {
                let witness = WitnessId(u8::try_from(witness).unwrap_or(u8::MAX));
                Verdict::Seen(PublicEvent::FollowsSender { witness })
            }),
            Purpose::Verify => {
                let mine = !foreign && tag.life == life && self.own.contains(&reply.destination);
                mine.then_some(Verdict::Vouched(witness, tag.number))
            }
            Purpose::Vip(group) | Purpose::Challenge(group) | Purpose::Control(group) => {
                if guard(self.vips, group, &reply.source) != Some(reply.destination) {
                    return None;
                }
                if foreign {
                    // A control bears no heartbeat, and neither does what one did not fit into.
                    if reply.frame.is_empty() {
                        return None;
                    }
                    return Some(Verdict::Seen(PublicEvent::TableDelivered { group, frame: reply.frame.to_vec() }));
                }
                let kind = tag.purpose.kind().filter(|_| tag.life == life)?;
                let witness = WitnessId(u8::try_from(witness).ok()?);
                Some(Verdict::Seen(PublicEvent::EchoReply { witness, kind, number: tag.number }))
            }
        }
    }

    /// ARP or neighbour discovery.
    pub(super) fn judge(&self, seen: &Neighbour, now: Instant) -> Option<Verdict> {
        let from = match seen {
            Neighbour::Arp(arp) => arp.from,
            Neighbour::Solicitation(ns) => ns.from,
            Neighbour::Advertisement(na) => na.from,
        };
        if self.mine.contains(&from) || from == self.my {
            return None;
        }
        match seen {
            Neighbour::Arp(arp) => self.judge_arp(arp),
            Neighbour::Solicitation(ns) => self.judge_solicitation(ns),
            Neighbour::Advertisement(na) => self.judge_advertisement(na, now),
        }
    }

    /// Another machine uses this node's own address.
    fn in_my_name(&self, sender: &IpAddr, mac: Mac) -> Option<Verdict> {
        let mine = self.link != 0 || !self.own.contains(sender) || self.mine.contains(&mac);
        (!mine).then_some(Verdict::Seen(PublicEvent::OwnAddress { by: mac }))
    }

    fn judge_arp(&self, arp: &Arp) -> Option<Verdict> {
        let (mac, sender) = (arp.sender.0, IpAddr::V4(arp.sender.1));
        let target = IpAddr::V4(arp.target.1);
        if let Some(vip) = self.vip(&sender) {
            if self.mine.contains(&mac) {
                return None;
            }
            // RFC 5227 2.4: any ARP with the address as its sender is a claim to it; even a request that only means to ask
            // for somebody else writes.
            let answer = !arp.request && arp.to == self.my && sender != target;
            return Some(Verdict::Seen(spoken_for(vip.group, mac, answer)));
        }
        if let Some(taken) = self.in_my_name(&sender, mac) {
            return Some(taken);
        }
        if let Some(vip) = self.vip(&target).filter(|_| arp.request) {
            self.witness(&sender, &mac)?;
            return self.asked(vip, arp.to, || arp.answer(self.my).frame());
        }
        let witness = self.witness_at(&sender)?;
        if !arp.request && arp.to == self.my && self.own.contains(&target) {
            return Some(Verdict::WitnessIs(witness, mac));
        }
        self.moved(witness, mac)
    }

    fn judge_solicitation(&self, ns: &Solicitation) -> Option<Verdict> {
        let (source, target) = (IpAddr::V6(ns.source), IpAddr::V6(ns.target));
        let mac = ns.link.unwrap_or(ns.from);
        if let Some(vip) = self.vip(&source) {
            // Without the option it writes nothing, and is still sent by one who uses the address.
            return (!self.mine.contains(&mac)).then(|| Verdict::Seen(spoken_for(vip.group, mac, false)));
        }
        if let Some(taken) = self.in_my_name(&source, mac) {
            return Some(taken);
        }
        let vip = self.vip(&target)?;
        // A probe for the VIP by the peer has no source, and is no question of the witness's.
        self.witness(&source, &ns.from).filter(|_| !ns.source.is_unspecified())?;
        self.asked(vip, ns.to, || ns.answer(self.my).frame())
    }

    fn judge_advertisement(&self, na: &Advertisement, now: Instant) -> Option<Verdict> {
        let target = IpAddr::V6(na.target);
        let mac = na.link.unwrap_or(na.from);
        if let Some(vip) = self.vip(&target) {
            if self.mine.contains(&mac) {
                return None;
            }
            // The answer to a probe, which has no source, goes to all nodes and looks like an announcement (RFC 4861 7.2.4).
            let probed = vip.probed.is_some_and(|at| now.duration_since(at) < PROBE_ANSWER);
            return Some(Verdict::Seen(spoken_for(vip.group, mac, probed || (na.solicited && na.to == self.my))));
        }
        if let Some(taken) = self.in_my_name(&target, mac) {
            return Some(taken);
        }
        let witness = self.witness_at(&target)?;
        if na.solicited && na.to == self.my && self.own.contains(&IpAddr::V6(na.destination)) {
            return Some(Verdict::WitnessIs(witness, mac));
        }
        self.moved(witness, mac)
    }

    /// A witness wants to know who has a VIP. Only its questions are answered: a client that still has us in its table is
    /// not to be kept there.
    fn asked(&self, vip: &Vip, to: Mac, answer: impl FnOnce() -> Vec<u8>) -> Option<Verdict> {
        if to == self.my {
            return vip.answering.then(|| Verdict::Answer(answer()));
        }
        let everybody = to == BROADCAST || matches!(to.0, [0x33, 0x33, ..]);
        everybody.then_some(Verdict::Seen(PublicEvent::WitnessAsks { group: vip.group }))
    }

    fn moved(&self, witness: usize, mac: Mac) -> Option<Verdict> {
        let known = self.witnesses.get(witness)?.mac;
        (known != Some(mac)).then_some(Verdict::WitnessMoved(witness))
    }

    fn vip(&self, address: &IpAddr) -> Option<&Vip> {
        self.vips.iter().find(|vip| vip.link == self.link && vip.address == *address)
    }

    fn witness_at(&self, address: &IpAddr) -> Option<usize> {
        self.witnesses.iter().position(|witness| self.link == 0 && witness.address == *address)
    }

    /// By address or by MAC: a gateway asks from whichever of its addresses it likes, in IPv6 from its link-local one.
    fn witness(&self, address: &IpAddr, mac: &Mac) -> Option<usize> {
        self.witness_at(address).or_else(|| self.witnesses.iter().position(|witness| self.link == 0 && witness.mac == Some(*mac)))
    }
}

fn spoken_for(group: GroupId, by: Mac, answer: bool) -> PublicEvent {
    if answer { PublicEvent::Answered { group, by } } else { PublicEvent::Announced { group, by } }
}

/// An all-nodes advertisement this soon after our probe answers it. Probes are 20 ms apart, answers take microseconds.
const PROBE_ANSWER: Duration = Duration::from_millis(500);

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
