//! Who carries out what a decision wants.

use std::sync::Arc;

use twinbeat_core::event::Event;
use twinbeat_core::heartbeat::Heartbeat;
use twinbeat_core::id::{Attempt, GroupId, LinkId, Mac, WitnessId};
use twinbeat_core::io::{AddressOrder, Answer, EchoKind, GateOrder, Output, Record, ServiceOrder};

/// A world that carries out what the decisions in it want. Each method is one kind of [`Output`], which says what it means; `at` is the
/// node, by its number in the world, whose decision wants it.
pub trait Handler {
    /// [`Output::Send`].
    fn send(&mut self, at: usize, beat: Arc<Heartbeat>, links: Vec<LinkId>);
    /// [`Output::Echo`].
    fn echo(&mut self, at: usize, witness: WitnessId, kind: EchoKind, number: u64);
    /// [`Output::Probe`].
    fn probe(&mut self, at: usize, group: GroupId);
    /// [`Output::Write`].
    fn write(&mut self, at: usize, group: GroupId, witness: WitnessId);
    /// [`Output::GiveBack`].
    fn give_back(&mut self, at: usize, group: GroupId, witness: WitnessId, to: Mac);
    /// [`Output::AnswerUnicast`].
    fn answer_unicast(&mut self, at: usize, group: GroupId, on: bool);
    /// [`Output::Announce`].
    fn announce(&mut self, at: usize, group: GroupId);
    /// [`Output::Gate`].
    fn gate(&mut self, at: usize, group: GroupId, generation: u64, order: GateOrder);
    /// [`Output::Address`].
    fn address(&mut self, at: usize, group: GroupId, attempt: Attempt, order: AddressOrder);
    /// [`Output::Services`].
    fn services(&mut self, at: usize, group: GroupId, attempt: Attempt, order: ServiceOrder);
    /// [`Output::HandsOff`].
    fn hands_off(&mut self, at: usize, group: GroupId, on: bool);
    /// [`Output::Fence`].
    fn fence(&mut self, at: usize, attempt: Attempt);
    /// [`Output::Reboot`].
    fn reboot(&mut self, at: usize);
    /// [`Output::Persist`].
    fn persist(&mut self, at: usize, ticket: u64, record: Record);
    /// [`Output::Reply`].
    fn reply(&mut self, at: usize, id: u64, answer: Answer);
    /// [`Output::Exit`].
    fn exit(&mut self, at: usize, stays: bool);
    /// [`Output::Note`].
    fn note(&mut self, at: usize, event: Event);

    /// Carries out one output.
    fn carry_out(&mut self, at: usize, output: Output) {
        match output {
            Output::Send { beat, links } => self.send(at, beat, links),
            Output::Echo { witness, kind, number } => self.echo(at, witness, kind, number),
            Output::Probe { group } => self.probe(at, group),
            Output::Write { group, witness } => self.write(at, group, witness),
            Output::GiveBack { group, witness, to } => self.give_back(at, group, witness, to),
            Output::AnswerUnicast { group, on } => self.answer_unicast(at, group, on),
            Output::Announce { group } => self.announce(at, group),
            Output::Gate { group, generation, order } => self.gate(at, group, generation, order),
            Output::Address { group, attempt, order } => self.address(at, group, attempt, order),
            Output::Services { group, attempt, order } => self.services(at, group, attempt, order),
            Output::HandsOff { group, on } => self.hands_off(at, group, on),
            Output::Fence { attempt } => self.fence(at, attempt),
            Output::Reboot => self.reboot(at),
            Output::Persist { ticket, record } => self.persist(at, ticket, record),
            Output::Reply { id, answer } => self.reply(at, id, answer),
            Output::Exit { stays } => self.exit(at, stays),
            Output::Note(event) => self.note(at, event),
        }
    }
}
