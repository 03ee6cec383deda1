//! The sending half: one signature a beat, one tag a path.

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};

use super::encode;
use super::keys::{Direction, Directions, KeyError, Pair};
use super::{FRAME_VERSION, HEADER, MAGIC, MAX_FRAME, OVERHEAD, Path, SIGNATURE};
use twinbeat_core::heartbeat::Heartbeat;
use twinbeat_core::id::NodeId;

/// The header of every frame that this version makes.
pub(super) const HEADER_BYTES: [u8; HEADER] = [MAGIC[0], MAGIC[1], MAGIC[2], FRAME_VERSION];

/// Signs this node's heartbeats for its peer.
pub struct Signer {
    key: SigningKey,
    me: NodeId,
    directions: Directions,
    /// By the peer's second key, while it changes its key.
    next: Option<Directions>,
    /// The second one is used.
    toward_next: bool,
}

/// A heartbeat with its signature: ready for any path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedBody(Vec<u8>);

/// Why a heartbeat cannot be signed. Neither happens to a heartbeat of our own core with a sane configuration.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// It names another sender.
    #[error("the heartbeat says that it comes from node {}, but this is node {}", said.0, me.0)]
    NotMine {
        /// The sender that it names.
        said: NodeId,
        /// This node.
        me: NodeId,
    },
    /// It does not fit into a frame.
    #[error("the heartbeat makes a frame of {0} bytes; a frame has at most {MAX_FRAME}")]
    TooLong(usize),
}

impl Signer {
    /// For the node `pair.me` with its own key, towards a peer with this public key.
    pub fn new(pair: &Pair<'_>, key: &SigningKey, peer: &VerifyingKey) -> Result<Signer, KeyError> {
        let directions = Directions::derive(pair, key, peer)?;
        Ok(Signer { directions, next: None, toward_next: false, key: key.clone(), me: pair.me })
    }

    /// The same towards a peer with a second public key as well, where there is one: while it changes its key.
    pub fn of(pair: &Pair<'_>, key: &SigningKey, peer: &VerifyingKey, next: Option<&VerifyingKey>) -> Result<Signer, KeyError> {
        let next = next.map(|next| Directions::derive(pair, key, next)).transpose()?;
        Ok(Signer { next, ..Signer::new(pair, key, peer)? })
    }

    /// From now on for the peer's key of this place, in the order in which they were named: the one that it uses.
    pub fn toward(&mut self, place: usize) {
        self.toward_next = place == 1;
    }

    fn to_peer(&self) -> &Direction {
        match &self.next {
            Some(next) if self.toward_next => &next.to_peer,
            _ => &self.directions.to_peer,
        }
    }

    /// Signs a heartbeat: once a beat, whatever the number of paths.
    pub fn sign(&self, beat: &Heartbeat) -> Result<SignedBody, SignError> {
        if beat.from != self.me {
            return Err(SignError::NotMine { said: beat.from, me: self.me });
        }
        self.sign_body(&encode::body(beat))
    }

    /// Signs any bytes as if they were a heartbeat's body.
    pub(super) fn sign_body(&self, body: &[u8]) -> Result<SignedBody, SignError> {
        let frame = body.len().saturating_add(OVERHEAD);
        if frame > MAX_FRAME {
            return Err(SignError::TooLong(frame));
        }
        let signature = self.key.sign(&self.to_peer().signed_message(body));
        Ok(SignedBody([&signature.to_bytes()[..], body].concat()))
    }

    /// The frame for one path.
    pub fn seal(&self, signed: &SignedBody, path: &Path) -> Vec<u8> {
        let tag = self.to_peer().tag(path, &HEADER_BYTES, &signed.0);
        [&HEADER_BYTES[..], &tag[..], signed.0.as_slice()].concat()
    }
}

impl SignedBody {
    /// The heartbeat's bytes.
    pub fn body(&self) -> &[u8] {
        self.0.get(SIGNATURE..).unwrap_or_default()
    }

    /// How long its frames are.
    pub fn frame_len(&self) -> usize {
        self.0.len().saturating_add(OVERHEAD - SIGNATURE)
    }
}
