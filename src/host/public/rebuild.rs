//! Opens the sockets that are missing, by its own thread or, at the start, at once.

use super::keeper::{Kept, Machine, Wanted};
use super::side::PublicSide;
use super::types::PublicEvent;
use super::witness::Witness;
use crate::interfaces::Seen;
use crate::packet::{PacketError, Prepared};

impl PublicSide {
    /// Opens what is missing and what is no longer the interface that it was, and asks for the witnesses' MACs. Waits for the kernel: for
    /// the start. Afterwards there is [`renew`](Self::renew).
    ///
    /// # Errors
    /// Why the sockets that are still missing are missing; the others work.
    pub fn rebuild(&mut self) -> Result<(), Vec<PacketError>> {
        let opened = self.wanted().into_iter().map(|w| (w.link, Prepared::make(&w.interface, &w.addresses, &w.own))).collect();
        self.keep(Kept { opened, machine: Machine::now(&self.config.interface).ok() })
    }

    /// To be called when interfaces or addresses are different: has opened anew what is bound to an interface that is no more. Does not
    /// wait; [`next`](Self::next) takes what comes of it.
    pub fn renew(&mut self, seen: &Seen) {
        self.look_at(seen);
        self.again = self.keeper.is_busy();
        if !self.again {
            let wanted = self.wanted();
            self.keeper.look(wanted);
        }
    }

    fn look_at(&mut self, seen: &Seen) {
        self.mine = seen.macs();
        self.own_here = self.config.own.iter().all(|own| seen.has(&self.config.interface, *own));
    }

    /// What is no longer what it was is closed; what is to be opened.
    pub(super) fn wanted(&mut self) -> Vec<Wanted> {
        for place in 0..self.links.len() {
            self.close_unless_current(place);
        }
        let missing = self.links.iter().enumerate().filter(|(_, link)| link.socket.is_none());
        let wanted = missing.map(|(place, link)| Wanted {
            link: place,
            interface: link.interface.clone(),
            addresses: link.addresses.clone(),
            own: if place == 0 { self.config.own.clone() } else { Vec::new() },
        });
        wanted.collect()
    }

    pub(super) fn close_unless_current(&mut self, place: usize) {
        if let Some(link) = self.links.get_mut(place)
            && let Some(socket) = link.socket.take_if(|socket| !socket.is_current())
        {
            self.keeper.close(socket.into_closing());
            self.seen.push_back(PublicEvent::SocketLost { interface: link.interface.clone() });
        }
    }

    pub(super) fn keep(&mut self, kept: Kept) -> Result<(), Vec<PacketError>> {
        let (mut missing, mut opened) = (Vec::new(), false);
        for (place, socket) in kept.opened {
            let Some(link) = self.links.get_mut(place).filter(|link| link.socket.is_none()) else { continue };
            match socket.and_then(Prepared::register) {
                Ok(socket) => {
                    link.socket = Some(socket);
                    opened = true;
                    self.seen.push_back(PublicEvent::SocketOpened { interface: link.interface.clone() });
                }
                Err(why) => missing.push(why),
            }
        }
        if let Some(machine) = kept.machine {
            self.look_at(&machine.seen);
            for witness in &mut self.witnesses {
                let pinned = machine.pinned.iter().find(|(address, _)| *address == witness.address);
                witness.pin(pinned.map(|(_, mac)| *mac));
            }
        }
        if opened {
            self.witnesses.iter_mut().for_each(Witness::forget_asking);
        }
        self.ask_for_witnesses();
        if missing.is_empty() { Ok(()) } else { Err(missing) }
    }
}
