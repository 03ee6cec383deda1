//! Opens and closes packet sockets, and looks at the machine, on a thread of its own: memberships of network cards, dumps of addresses and
//! of the neighbour table wait for the kernel's one lock of network configuration, and a packet socket that closes waits for the kernel's
//! readers. Whoever decides waits for none of them.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::mpsc;
use std::task::{Context, Poll};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::witness::Witness;
use super::{PublicEvent, PublicSide};
use crate::interfaces::Seen;
use crate::neighbour_table;
use crate::packet::{PacketError, Prepared};
use twinbeat_core::id::Mac;

/// A socket that is wanted: the interface, whom its filter takes, and whose word as the sender it takes.
pub(super) struct Wanted {
    /// The link's place.
    pub(super) link: usize,
    pub(super) interface: String,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) own: Vec<IpAddr>,
}

/// What the machine is like.
pub(super) struct Machine {
    pub(super) seen: Seen,
    /// The permanent neighbour entries of the public interface: the administrator's own word on who is where.
    pub(super) pinned: Vec<(IpAddr, Mac)>,
}

impl Machine {
    /// Asks the kernel. Waits for its lock.
    pub(super) fn now(interface: &str) -> io::Result<Machine> {
        Ok(Machine { seen: Seen::now()?, pinned: neighbour_table::permanent(interface).unwrap_or_default() })
    }
}

/// An answer.
pub(super) struct Kept {
    pub(super) opened: Vec<(usize, Result<Prepared, PacketError>)>,
    /// None when the kernel could not be asked.
    pub(super) machine: Option<Machine>,
}

enum Job {
    Look(Vec<Wanted>),
    Close(OwnedFd),
}

/// The thread; it ends when this is dropped.
pub(super) struct Keeper {
    jobs: mpsc::Sender<Job>,
    kept: UnboundedReceiver<Kept>,
    /// A look is on its way.
    busy: bool,
}

impl Keeper {
    /// Starts it in the caller's network namespace.
    pub(super) fn start(interface: &str) -> io::Result<Keeper> {
        let (jobs, inbox) = mpsc::channel();
        let (answers, kept) = unbounded_channel();
        let interface = interface.to_owned();
        let work = move || {
            for job in inbox {
                let wanted = match job {
                    Job::Look(wanted) => wanted,
                    Job::Close(socket) => {
                        drop(socket);
                        continue;
                    }
                };
                let open = |w: Wanted| (w.link, Prepared::make(&w.interface, &w.addresses, &w.own));
                let opened = wanted.into_iter().map(open).collect();
                if answers.send(Kept { opened, machine: Machine::now(&interface).ok() }).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("packet-sockets".into()).spawn(work)?;
        Ok(Keeper { jobs, kept, busy: false })
    }

    /// Whether a look is on its way already.
    pub(super) fn is_busy(&self) -> bool {
        self.busy
    }

    /// Has the sockets opened and the machine looked at.
    pub(super) fn look(&mut self, wanted: Vec<Wanted>) {
        self.busy = self.jobs.send(Job::Look(wanted)).is_ok();
    }

    /// Closes a socket.
    pub(super) fn close(&self, socket: OwnedFd) {
        let _ = self.jobs.send(Job::Close(socket));
    }

    /// The next answer.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Kept> {
        match self.kept.poll_recv(cx) {
            Poll::Ready(Some(kept)) => {
                self.busy = false;
                Poll::Ready(kept)
            }
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

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
