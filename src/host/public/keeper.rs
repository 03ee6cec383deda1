//! Opens and closes packet sockets, and looks at the machine, on a thread of its own: memberships of network cards, dumps of addresses and
//! of the neighbour table wait for the kernel's one lock of network configuration, and a packet socket that closes waits for the kernel's
//! readers. Whoever decides waits for none of them.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::mpsc;
use std::task::{Context, Poll};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

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
