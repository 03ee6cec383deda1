//! Heartbeats on their way: signed once and sealed for each path; opened in the task that received them, so that what is
//! refused never reaches the decision.

use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

use super::event::Event;
use twinbeat_core::heartbeat::{Heartbeat, Verified};
use twinbeat_core::id::{Incarnation, LinkId, Name};
use twinbeat_core::io::Input;
use twinbeat_host::clock;
use twinbeat_host::sockets::{BUFFER, LinkSocket, RecvEvent, Sent};
use twinbeat_wire::{HEADER, Opener, Path, Reject, RejectLog, Rejects, SignedBody, Signer, TAG, Tally, Vain};

/// While an interface is not usable it is tried this often.
const RETRY: Duration = Duration::from_millis(200);

/// So many frames are known again when they come once more: some minutes of heartbeats.
const REMEMBERED: usize = 4096;

/// Opens frames and counts what is refused.
pub struct Inbox {
    opener: Opener,
    refused: RejectLog,
    /// The tags of the frames that were verified last, to know replays at sight; a tag names path and content.
    taken: HashSet<[u8; TAG]>,
    order: VecDeque<[u8; TAG]>,
    /// What each path may still cost.
    vain: Vec<(Path, Vain)>,
    /// The newest heartbeat's life and number.
    newest: (Incarnation, u64),
}

impl Inbox {
    /// With the pair's keys.
    pub fn new(opener: Opener) -> Inbox {
        let (taken, order) = (HashSet::with_capacity(REMEMBERED), VecDeque::with_capacity(REMEMBERED));
        let newest = (Incarnation(0), 0);
        Inbox { opener, refused: RejectLog::default(), taken, order, vain: Vec::new(), newest }
    }

    /// The heartbeat in a frame, if it is the peer's and did not come over this path before.
    pub fn open(&mut self, path: &Path, frame: &[u8]) -> Option<Arc<Verified<Heartbeat>>> {
        match self.judge(path, frame) {
            Ok(beat) => Some(beat),
            Err(reject) => {
                self.refuse(path, reject);
                None
            }
        }
    }

    /// Which of its keys the peer used last.
    pub fn current(&self) -> usize {
        self.opener.current()
    }

    /// What was done with frames, and all that were refused.
    pub fn tally(&self) -> (&Tally, Rejects) {
        (self.opener.tally(), self.refused.total())
    }

    fn judge(&mut self, path: &Path, frame: &[u8]) -> Result<Arc<Verified<Heartbeat>>, Reject> {
        let tag = frame.get(HEADER..).and_then(|rest| rest.first_chunk::<TAG>()).copied();
        if tag.is_some_and(|tag| self.taken.contains(&tag)) {
            return Err(Reject::Replayed);
        }
        let now = clock::now();
        if !self.vain.iter().any(|(known, _)| known == path) {
            self.vain.push((path.clone(), Vain::new(now)));
        }
        let Some((_, vain)) = self.vain.iter_mut().find(|(known, _)| known == path) else { return Err(Reject::Replayed) };
        let verified = self.opener.tally().verifications;
        let opened = self.opener.open_within(path, frame, vain.is_left(now));
        let age = opened.as_ref().ok().map(|beat| (beat.get().incarnation, beat.get().number));
        let parts = opened.as_ref().is_ok_and(|beat| !beat.get().part.is_whole());
        let is_news = age.is_some_and(|age| age > self.newest || (parts && age == self.newest));
        if self.opener.tally().verifications > verified && !is_news {
            vain.spend();
        }
        if let (Some(age), Some(tag)) = (age, tag) {
            self.newest = self.newest.max(age);
            if self.order.len() == REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.taken.remove(&oldest);
            }
            self.taken.insert(tag);
            self.order.push_back(tag);
        }
        opened
    }

    fn refuse(&mut self, path: &Path, reject: Reject) {
        if let Some(line) = self.refused.note(clock::now(), reject) {
            tracing::warn!("{path}: {line}");
        }
    }
}

/// One link's socket, there or not.
#[derive(Default)]
pub struct Slot {
    socket: RefCell<Option<Rc<LinkSocket>>>,
    /// Interfaces or addresses are different, or a frame could not be sent: the socket may be bound to what is no more.
    pub renew: Notify,
}

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
pub fn open(wiring: &Wiring) -> Rc<Slot> {
    let socket = LinkSocket::open(&wiring.interface, wiring.local, wiring.peer);
    Rc::new(Slot { socket: RefCell::new(socket.ok().map(Rc::new)), renew: Notify::new() })
}

/// Keeps a link's socket open and hands on what it receives. Runs until the daemon ends.
pub async fn tend(wiring: Wiring, slot: Rc<Slot>, inbox: Rc<RefCell<Inbox>>, events: UnboundedSender<Event>) {
    let path = Path::Link(wiring.name.clone());
    let mut buffer = vec![0; BUFFER];
    let mut told = String::new();
    loop {
        let there = slot.socket.borrow().clone();
        let opened = there.map_or_else(|| LinkSocket::open(&wiring.interface, wiring.local, wiring.peer).map(Rc::new), Ok);
        let socket = match opened {
            Ok(socket) => socket,
            Err(error) => {
                let text = error.to_string();
                if text != told {
                    tracing::warn!("link {}: {text}; waiting for it", wiring.name);
                    told = text;
                }
                // The address comes after its interface, and the word of either at once.
                let _ = tokio::time::timeout(RETRY, slot.renew.notified()).await;
                continue;
            }
        };
        told.clear();
        *slot.socket.borrow_mut() = Some(Rc::clone(&socket));
        let (mut gone, mut failed) = (false, false);
        let mut looked = Instant::now();
        while !gone {
            let mut down = false;
            let received = socket.receive(&mut buffer, |event, frame| match event {
                RecvEvent::Frame(_) => {
                    if let Some(beat) = inbox.borrow_mut().open(&path, frame) {
                        let _ = events.send(Event::Input(Input::Heard { link: wiring.link, beat }));
                    }
                }
                // Hints, which anybody can send as fast as he likes, and no evidence.
                RecvEvent::PortRefused | RecvEvent::Unreachable => {}
                RecvEvent::Down => down = true,
                RecvEvent::Gone => gone = true,
            });
            let renew = tokio::select! {
                received = received => {
                    failed = received.is_err();
                    gone |= failed;
                    false
                }
                // Nothing comes over an interface that is no more, and no error either.
                () = slot.renew.notified() => true,
            };
            if down {
                let _ = tokio::time::timeout(RETRY, slot.renew.notified()).await;
            }
            if renew || down || looked.elapsed() > RETRY {
                looked = Instant::now();
                gone |= socket.is_stale();
            }
        }
        *slot.socket.borrow_mut() = None;
        if failed {
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// Signs and seals.
pub struct Outbox {
    signer: Signer,
    /// The newest heartbeat, each part in its place.
    last: Vec<SignedBody>,
    /// The part that was signed last.
    now: usize,
}

impl Outbox {
    /// With the pair's keys.
    pub fn new(signer: Signer) -> Outbox {
        Outbox { signer, last: Vec::new(), now: 0 }
    }

    /// Signs a heartbeat, or a part of one: once, whatever the number of links; for the key of this place, which the peer uses
    /// ([`Inbox::current`]).
    pub fn sign(&mut self, beat: &Heartbeat, toward: usize) {
        self.signer.toward(toward);
        match self.signer.sign(beat) {
            Ok(signed) => {
                // Parts are signed in their order, from the first.
                self.now = usize::from(beat.part.index).min(self.last.len());
                match self.last.get_mut(self.now) {
                    Some(last) => *last = signed,
                    None => self.last.push(signed),
                }
            }
            Err(error) => tracing::error!("a heartbeat was not signed: {error}"),
        }
    }

    /// What was signed last, as a frame for one path.
    pub fn seal(&self, path: &Path) -> Option<Vec<u8>> {
        self.last.get(self.now).map(|signed| self.signer.seal(signed, path))
    }

    /// A part of the newest heartbeat, as a frame for one path.
    pub fn seal_part(&self, part: u8, path: &Path) -> Option<Vec<u8>> {
        self.last.get(usize::from(part)).map(|signed| self.signer.seal(signed, path))
    }

    /// Sends the newest heartbeat over a link's socket, if it is there.
    pub fn send(&self, slot: &Slot, path: &Path) {
        let socket = slot.socket.borrow();
        let (Some(socket), Some(frame)) = (socket.as_ref(), self.seal(path)) else { return };
        if matches!(socket.try_send(&frame), Sent::Gone) {
            slot.renew.notify_one();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;
    use twinbeat_core::heartbeat::VERSION;
    use twinbeat_core::id::NodeId;
    use twinbeat_core::time::Span;
    use twinbeat_wire::Pair;

    fn beat(incarnation: u64, number: u64) -> Heartbeat {
        Heartbeat {
            version: VERSION,
            from: NodeId(0),
            incarnation: Incarnation(incarnation),
            number,
            digest: 1,
            lease: Span::millis(320),
            witnesses: 0,
            echo_of: None,
            echoes: Vec::new(),
            answer: false,
            reachable: true,
            answered: None,
            carrier: true,
            fencing: false,
            part: twinbeat_core::heartbeat::Part::WHOLE,
            groups: Vec::new(),
        }
    }

    /// The peer's signer, and this node's inbox.
    fn ends() -> (Signer, Inbox) {
        let keys = [SigningKey::from_bytes(&[7; 32]), SigningKey::from_bytes(&[8; 32])];
        let pair = |me| Pair { cluster: "c", nodes: ["a", "b"], me: NodeId(me) };
        let signer = Signer::new(&pair(0), &keys[0], &keys[1].verifying_key()).unwrap();
        (signer, Inbox::new(Opener::new(&pair(1), &keys[1], &keys[0].verifying_key(), twinbeat_wire::Names::default()).unwrap()))
    }

    #[test]
    fn a_frame_counts_once_on_each_path_and_costs_nothing_when_it_is_played_back() {
        let (signer, mut inbox) = ends();
        let paths = [Path::Link("lan".into()), Path::Link("relay".into())];
        let frames: Vec<_> = (1..=200).map(|n| signer.sign(&beat(5, n)).unwrap()).collect();
        for signed in &frames {
            for path in &paths {
                assert!(inbox.open(path, &signer.seal(signed, path)).is_some());
            }
        }
        let spent = inbox.opener.tally().verifications;
        for signed in &frames {
            assert_eq!(inbox.judge(&paths[0], &signer.seal(signed, &paths[0])).err(), Some(Reject::Replayed));
        }
        assert_eq!(inbox.opener.tally().verifications, spent);
    }

    #[test]
    fn old_frames_that_are_not_known_any_more_cost_a_bounded_effort_and_the_other_paths_go_on() {
        let (signer, mut inbox) = ends();
        let (lan, cable) = (Path::Link("lan".into()), Path::Link("cable".into()));
        let newest = signer.sign(&beat(6, 1)).unwrap();
        assert!(inbox.open(&cable, &signer.seal(&newest, &cable)).is_some());
        let before = inbox.opener.tally().verifications;
        let began = clock::now();
        for number in 1..=1000 {
            let old = signer.sign(&beat(5, number)).unwrap();
            inbox.open(&lan, &signer.seal(&old, &lan));
        }
        let refill = clock::now().since(began).0 / twinbeat_wire::VAIN_EVERY.0 + 1;
        let spent = inbox.opener.tally().verifications - before;
        assert!(spent <= u64::from(twinbeat_wire::VAIN_BURST) + refill, "{spent} in {refill} refills");
        let next = signer.sign(&beat(6, 2)).unwrap();
        assert!(inbox.open(&cable, &signer.seal(&next, &cable)).is_some());
    }
}
