//! Heartbeats on their way: signed once and sealed for each path; opened in the task that received them, so that what is
//! refused never reaches the decision.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use super::Event;
use crate::core::heartbeat::{Heartbeat, Verified};
use crate::core::id::{LinkId, Name};
use crate::core::io::Input;
use crate::host::clock;
use crate::host::sockets::{BUFFER, LinkSocket, RecvEvent, Sent};
use crate::wire::{Opener, Path, Reject, RejectLog, SignedBody, Signer};

/// While an interface is not usable it is tried this often.
const RETRY: Duration = Duration::from_millis(200);

/// Opens frames and counts what is refused.
pub struct Inbox {
    opener: Opener,
    refused: RejectLog,
}

impl Inbox {
    /// With the pair's keys.
    pub fn new(opener: Opener) -> Inbox {
        Inbox { opener, refused: RejectLog::default() }
    }

    /// The heartbeat in a frame, if it is the peer's.
    pub fn open(&mut self, path: &Path, frame: &[u8]) -> Option<Arc<Verified<Heartbeat>>> {
        match self.opener.open(path, frame) {
            Ok(beat) => Some(beat),
            Err(reject) => {
                self.refuse(path, reject);
                None
            }
        }
    }

    fn refuse(&mut self, path: &Path, reject: Reject) {
        if let Some(line) = self.refused.note(clock::now(), reject) {
            tracing::warn!("{path}: {line}");
        }
    }
}

/// One link's socket, there or not.
pub type Slot = Rc<RefCell<Option<Rc<LinkSocket>>>>;

/// Where a link goes.
#[derive(Clone)]
pub struct Wiring {
    /// Which link.
    pub link: LinkId,
    /// Its name.
    pub name: Name,
    /// The interface.
    pub interface: String,
    /// This node's address.
    pub local: SocketAddr,
    /// The peer's.
    pub peer: SocketAddr,
}

/// Opens a link's socket, if it can be opened now: the first heartbeat shall not wait for a task to be run.
pub fn open(wiring: &Wiring) -> Slot {
    let socket = LinkSocket::open(&wiring.interface, wiring.local, wiring.peer);
    Rc::new(RefCell::new(socket.ok().map(Rc::new)))
}

/// Keeps a link's socket open and hands on what it receives. Runs until the daemon ends.
pub async fn tend(wiring: Wiring, slot: Slot, inbox: Rc<RefCell<Inbox>>, events: UnboundedSender<Event>) {
    let path = Path::Link(wiring.name.clone());
    let mut buffer = vec![0; BUFFER];
    let mut told = String::new();
    loop {
        let there = slot.borrow().clone();
        let opened = there.map_or_else(|| LinkSocket::open(&wiring.interface, wiring.local, wiring.peer).map(Rc::new), Ok);
        let socket = match opened {
            Ok(socket) => socket,
            Err(error) => {
                let text = error.to_string();
                if text != told {
                    tracing::warn!("link {}: {text}; waiting for it", wiring.name);
                    told = text;
                }
                tokio::time::sleep(RETRY).await;
                continue;
            }
        };
        told.clear();
        *slot.borrow_mut() = Some(Rc::clone(&socket));
        let _ = events.send(Event::Opened(wiring.link));
        let mut gone = false;
        let mut looked = Instant::now();
        while !gone {
            let mut down = false;
            let received = socket.receive(&mut buffer, |event, frame| match event {
                RecvEvent::Frame(_) => {
                    if let Some(beat) = inbox.borrow_mut().open(&path, frame) {
                        let _ = events.send(Event::Input(Input::Heard { link: wiring.link, beat }));
                    }
                }
                RecvEvent::PortRefused => {
                    let _ = events.send(Event::Input(Input::PortRefused { link: wiring.link }));
                }
                RecvEvent::Unreachable => {}
                RecvEvent::Down => down = true,
                RecvEvent::Gone => gone = true,
            });
            if received.await.is_err() {
                gone = true;
            }
            if down {
                tokio::time::sleep(RETRY).await;
            }
            // A renamed or replaced interface is told by an error or a failed send; this look is for what neither tells.
            if down || looked.elapsed() > RETRY {
                looked = Instant::now();
                gone |= socket.is_stale();
            }
        }
        *slot.borrow_mut() = None;
        tokio::time::sleep(RETRY).await;
    }
}

/// Signs and seals.
pub struct Outbox {
    signer: Signer,
    last: Option<SignedBody>,
}

impl Outbox {
    /// With the pair's keys.
    pub fn new(signer: Signer) -> Outbox {
        Outbox { signer, last: None }
    }

    /// Signs a heartbeat: once, whatever the number of links.
    pub fn sign(&mut self, beat: &Heartbeat) {
        match self.signer.sign(beat) {
            Ok(signed) => self.last = Some(signed),
            Err(error) => tracing::error!("a heartbeat was not signed: {error}"),
        }
    }

    /// The newest heartbeat, as a frame for one path.
    pub fn seal(&self, path: &Path) -> Option<Vec<u8>> {
        self.last.as_ref().map(|signed| self.signer.seal(signed, path))
    }

    /// Sends the newest heartbeat over a link's socket, if it is there. Returns whether the peer's port had refused one.
    pub fn send(&self, slot: &Slot, path: &Path) -> bool {
        let socket = slot.borrow();
        let (Some(socket), Some(frame)) = (socket.as_ref(), self.seal(path)) else { return false };
        matches!(socket.try_send(&frame), Sent::YesAfterRefusal)
    }
}
