//! What happens on the public link: probes, writes, echoes and the relay, as a plain gateway does them (LAB 2).

use super::event::{Beat, Event, Frame, mac};
use super::gateway::FOREIGN;
use super::machine::{Power, Process};
use super::network::station;
use super::pair::group_id;
use super::world::World;
use twinbeat_core::id::LinkId;
use twinbeat_core::io::{EchoKind, Input};
use twinbeat_core::time::Span;

impl World {
    /// An ARP probe reaches a node; its kernel answers or does not.
    pub(super) fn probed(&mut self, asker: usize, node: usize, group: usize) {
        let public = self.pair.public();
        let machine = &self.machines[node];
        if !machine.carrier[public] || self.network.guarded[node] || !machine.answers(self.now, group) {
            return;
        }
        for at in self.network.send(self.now, public, node, asker).into_iter().flatten() {
            let input = Input::Answered { group: group_id(group), by: mac(node) };
            self.queue.push(at, Event::Deliver(asker, Some(public), input));
        }
    }

    /// A frame reaches a witness.
    pub(super) fn at_witness(&mut self, witness: usize, from: usize, frame: Frame) {
        if !self.witnesses[witness].up {
            return;
        }
        match frame {
            Frame::Write(group) => self.named(witness, usize::from(group.0), from, false),
            Frame::Answer(group) => self.named(witness, usize::from(group.0), from, true),
            Frame::GiveBack(group, node) => self.named(witness, usize::from(group.0), node, false),
            Frame::Lie(group) => self.named(witness, usize::from(group.0), FOREIGN, false),
            Frame::Relay(link, beat) => {
                if self.network.relay_blocked {
                    return;
                }
                if self.witnesses[witness].last_hop {
                    let input = Input::EchoReply { witness: Self::witness_id(witness), kind: EchoKind::Inquiry, number: 0 };
                    return self.reply_of(witness, from, None, input);
                }
                let place = usize::from(link.0);
                let way = self.network.path(place, from, 1 - from);
                if way.is_plain() {
                    return self.pass(witness, from, link, beat);
                }
                if way.no_heartbeats {
                    return;
                }
                for at in self.network.send(self.now, place, from, 1 - from).into_iter().flatten() {
                    self.queue.push(at, Event::AtWitness(witness, from, Frame::Passed(link, beat.clone())));
                }
            }
            Frame::Passed(link, beat) => self.pass(witness, from, link, beat),
            Frame::Echo(..) if !self.witnesses[witness].may_answer(self.now) => {}
            Frame::Echo(kind, number, beat) => {
                let reply = Input::EchoReply { witness: Self::witness_id(witness), kind, number };
                let group = match kind {
                    EchoKind::Own => return self.reply_of(witness, from, None, reply),
                    // From a register it goes to the peer, which takes no notice.
                    EchoKind::Inquiry if self.witnesses[witness].last_hop && !self.network.relay_blocked => {
                        return self.reply_of(witness, from, None, reply);
                    }
                    EchoKind::Inquiry => return,
                    EchoKind::Vip(group) | EchoKind::Challenge(group) | EchoKind::Control(group) => group,
                };
                if self.witnesses[witness].last_hop {
                    return self.reply_of(witness, from, None, reply);
                }
                match self.witnesses[witness].names(usize::from(group.0)) {
                    Some(node) if node == from => self.reply_of(witness, from, None, reply),
                    Some(FOREIGN) => {}
                    Some(node) => {
                        if let Some(beat) = beat {
                            self.reply_of(witness, node, None, Input::HeardByTable { group, beat });
                        } else {
                            // Sent all the same, and of no use to whom it reaches.
                            self.network.send(self.now, self.pair.public(), station(witness), node);
                        }
                    }
                    None => self.ask_all(witness, usize::from(group.0)),
                }
            }
        }
    }

    /// A witness passes a heartbeat on.
    fn pass(&mut self, witness: usize, from: usize, link: LinkId, beat: Beat) {
        self.reply_of(witness, 1 - from, Some(usize::from(link.0)), Input::Heard { link, beat });
    }

    /// A frame of a witness to a node's daemon.
    fn reply_of(&mut self, witness: usize, node: usize, link: Option<usize>, input: Input) {
        let public = self.pair.public();
        let link = link.unwrap_or(public);
        let [first, second] = self.network.send(self.now, public, station(witness), node);
        if let Some(at) = second {
            self.queue.push(at, Event::Deliver(node, Some(link), input.clone()));
        }
        if let Some(at) = first {
            self.queue.push(at, Event::Deliver(node, Some(link), input));
        }
    }

    /// A witness asks everybody who has the VIP, at most once a second.
    pub(super) fn ask_all(&mut self, witness: usize, group: usize) {
        let asked = &mut self.witnesses[witness].asked[group];
        if self.now.since(*asked) < Span::millis(900) {
            return;
        }
        *asked = self.now;
        for node in 0..2 {
            self.ask(witness, node, group, true);
        }
    }

    /// A witness asks one node who has the VIP.
    pub(super) fn ask(&mut self, witness: usize, node: usize, group: usize, broadcast: bool) {
        let public = self.pair.public();
        if let [Some(at), _] = self.network.send(self.now, public, station(witness), node) {
            self.queue.push(at, Event::AskedBy(witness, node, group, broadcast));
        }
    }

    /// The question arrives.
    pub(super) fn asked_by(&mut self, witness: usize, node: usize, group: usize, broadcast: bool) {
        if self.waits(node, false) {
            self.machines[node].keep(Event::AskedBy(witness, node, group, broadcast));
            return;
        }
        let machine = &self.machines[node];
        if machine.power != Power::On || !machine.carrier[self.pair.public()] {
            return;
        }
        let challenger = !broadcast && machine.process == Process::Running && machine.answers_unicast[group];
        if machine.answers(self.now, group) || challenger {
            self.toward_witness(node, witness, Frame::Answer(group_id(group)));
        }
        // A client's question is no witness's.
        if broadcast && witness < self.targets() {
            let event = Event::Deliver(node, Some(self.pair.public()), Input::WitnessAsks { group: group_id(group) });
            self.queue.push(self.now, event);
        }
    }
}
