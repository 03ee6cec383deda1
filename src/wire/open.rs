//! The receiving half, and the only place outside the simulator and the journal that vouches for a heartbeat.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;

use ed25519_dalek::{Signature, SigningKey, VerifyingKey};

use super::keys::{Direction, Directions, KeyError, Pair};
use super::names::Names;
use super::reject::{Reject, Rejects};
use super::sign::HEADER_BYTES;
use super::{FRAME_VERSION, HEADER, MAGIC, MAX_FRAME, OVERHEAD, Path, SIGNATURE, TAG, body};
use twinbeat_core::heartbeat::{Heartbeat, Verified};
use twinbeat_core::id::NodeId;

/// How many verified heartbeats are remembered, so that copies over slower links cost no second verification.
const REMEMBERED: usize = 32;

/// Opens the peer's frames, for all paths: a copy of what came over one link is recognised on the others.
pub struct Opener {
    /// The peer's keys, with what follows from each: one, and a second one while it is changed.
    peers: Vec<(VerifyingKey, Directions)>,
    /// The place of the key that the peer used last.
    current: usize,
    peer_id: NodeId,
    names: Names,
    /// What was verified last, newest first.
    recent: VecDeque<Known>,
    tally: Tally,
}

/// A signed body that holds, and what it says.
struct Known {
    signed: Box<[u8]>,
    beat: Arc<Verified<Heartbeat>>,
}

/// What was done with frames so far.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    /// Frames accepted, copies included.
    pub accepted: u64,
    /// Of these: copies of a heartbeat that was verified before.
    pub copies: u64,
    /// Signatures verified, good or bad: what a flood would want to drive up.
    pub verifications: u64,
    /// Frames refused, by reason.
    pub rejects: Rejects,
}

/// A frame cut into its parts; nothing in it is trusted.
struct Frame<'a> {
    tag: &'a [u8; TAG],
    /// Signature and body.
    signed: &'a [u8],
    signature: &'a [u8; SIGNATURE],
    body: &'a [u8],
}

impl Opener {
    /// For the node `pair.me` with its own key, for frames of a peer with this public key. `names` are the links' and groups' of this
    /// node's file: heartbeats carry them shortened.
    pub fn new(pair: &Pair<'_>, key: &SigningKey, peer: &VerifyingKey, names: Names) -> Result<Opener, KeyError> {
        Opener::of(pair, key, [*peer], names)
    }

    /// The same for a peer with any of these public keys: two while it changes its key.
    pub fn of(
        pair: &Pair<'_>,
        key: &SigningKey,
        peers: impl IntoIterator<Item = VerifyingKey>,
        names: Names,
    ) -> Result<Opener, KeyError> {
        let with = |peer: VerifyingKey| Ok((peer, Directions::derive(pair, key, &peer)?));
        let peers = peers.into_iter().map(with).collect::<Result<Vec<_>, KeyError>>()?;
        let recent = VecDeque::with_capacity(REMEMBERED);
        Ok(Opener { peers, current: 0, peer_id: pair.me.other(), names, recent, tally: Tally::default() })
    }

    /// Which of its keys the peer used last, in the order in which they were named: what is sent to it goes by that one
    /// ([`Signer::toward`](super::Signer::toward)).
    pub fn current(&self) -> usize {
        self.current
    }

    /// Takes a frame that arrived over `path`. A copy of a remembered heartbeat gives the very same [`Arc`].
    ///
    /// Nothing is parsed before the signature holds.
    pub fn open(&mut self, path: &Path, bytes: &[u8]) -> Result<Arc<Verified<Heartbeat>>, Reject> {
        self.open_within(path, bytes, true)
    }

    /// The same; without `may_verify` what would cost a verification is refused as [`Reject::Budget`].
    pub fn open_within(&mut self, path: &Path, bytes: &[u8], may_verify: bool) -> Result<Arc<Verified<Heartbeat>>, Reject> {
        let opened = self.judge(path, bytes, may_verify);
        match &opened {
            Ok(_) => self.tally.accepted = self.tally.accepted.saturating_add(1),
            Err(reject) => self.tally.rejects.count(*reject),
        }
        opened
    }

    /// What was done with frames so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    fn judge(&mut self, path: &Path, bytes: &[u8], may_verify: bool) -> Result<Arc<Verified<Heartbeat>>, Reject> {
        let frame = Frame::cut(bytes)?;
        let right = |direction: &Direction| direction.tag_is_right(frame.tag, path, &HEADER_BYTES, frame.signed);
        let used = self.peers.iter().enumerate().find(|(_, (_, directions))| right(&directions.from_peer));
        let Some((place, (peer, directions))) = used else {
            let mine = self.peers.iter().any(|(_, directions)| right(&directions.to_peer));
            return Err(if mine { Reject::Reflected } else { Reject::Tag });
        };
        if let Some(known) = self.recent.iter().find(|known| *known.signed == *frame.signed) {
            self.tally.copies = self.tally.copies.saturating_add(1);
            return Ok(Arc::clone(&known.beat));
        }
        if !may_verify {
            return Err(Reject::Budget);
        }
        self.tally.verifications = self.tally.verifications.saturating_add(1);
        let message = directions.from_peer.signed_message(frame.body);
        peer.verify_strict(&message, &Signature::from_bytes(frame.signature)).map_err(|_| Reject::Signature)?;
        let beat = body::read(frame.body, &self.names).ok_or(Reject::Body)?;
        if beat.from != self.peer_id {
            return Err(Reject::Sender);
        }
        let beat = Arc::new(Verified::vouch(beat));
        self.current = place;
        self.recent.truncate(REMEMBERED - 1);
        self.recent.push_front(Known { signed: frame.signed.into(), beat: Arc::clone(&beat) });
        Ok(beat)
    }
}

impl Frame<'_> {
    /// Length, magic and version; then where the parts are.
    fn cut(bytes: &[u8]) -> Result<Frame<'_>, Reject> {
        if bytes.len() > MAX_FRAME {
            return Err(Reject::TooLong);
        }
        if bytes.len() <= OVERHEAD {
            return Err(Reject::TooShort);
        }
        let ([magic @ .., version], rest) = bytes.split_first_chunk::<HEADER>().ok_or(Reject::TooShort)?;
        if *magic != MAGIC {
            return Err(Reject::Magic);
        }
        match version.cmp(&FRAME_VERSION) {
            Ordering::Less => return Err(Reject::Older),
            Ordering::Greater => return Err(Reject::Newer),
            Ordering::Equal => {}
        }
        let (tag, signed) = rest.split_first_chunk::<TAG>().ok_or(Reject::TooShort)?;
        let (signature, body) = signed.split_first_chunk::<SIGNATURE>().ok_or(Reject::TooShort)?;
        Ok(Frame { tag, signed, signature, body })
    }
}
