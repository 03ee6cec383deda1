//! Who the two nodes are, and the keys that follow from it.

use ed25519_dalek::{SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use super::{HEADER, Path, TAG};
use twinbeat_core::id::NodeId;

/// What [`blake3::derive_key`] separates our keys from everybody else's by.
const TAG_CONTEXT: &str = "twinbeat 2026 heartbeat tag v1";
/// What a signature over a heartbeat begins with, so that it can never be one over something else.
const SIGNATURE_CONTEXT: &[u8] = b"twinbeat heartbeat signature v1\0";

/// The two nodes of one cluster, and which of them this one is.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// The cluster's name.
    pub cluster: &'a str,
    /// The nodes' names, in the order of their [`NodeId`]s.
    pub nodes: [&'a str; 2],
    /// This node.
    pub me: NodeId,
}

impl<'a> Pair<'a> {
    /// My name and my peer's; none when `me` is not one of two.
    fn names(&self) -> Option<(&'a str, &'a str)> {
        let [first, second] = self.nodes;
        match self.me {
            NodeId(0) => Some((first, second)),
            NodeId(1) => Some((second, first)),
            NodeId(_) => None,
        }
    }
}

/// Why no frame can be made or opened with these keys and names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KeyError {
    /// Both nodes would be the same one.
    #[error("this node and its peer have the same name or the same key: each node needs its own")]
    SamePeer,
    /// A key for which anybody could forge signatures.
    #[error("the peer's public key is a weak one (small order): make a new key pair on the peer")]
    WeakPeer,
    /// `me` must be 0 or 1.
    #[error("a pair has the nodes 0 and 1")]
    NotOfPair,
}

/// What one direction, from a sender to a receiver, is bound to.
pub(super) struct Direction {
    tag_key: Zeroizing<[u8; 32]>,
    /// What precedes the body under the signature.
    signed_prefix: Vec<u8>,
}

/// The direction to the peer and the one from it.
pub(super) struct Directions {
    /// From me.
    pub(super) to_peer: Direction,
    /// To me.
    pub(super) from_peer: Direction,
}

impl Directions {
    /// Derives both from the identities: X25519 between the two Ed25519 keys, then BLAKE3 (docs/PROTOCOL.md, "Keys").
    pub(super) fn derive(pair: &Pair<'_>, key: &SigningKey, peer: &VerifyingKey) -> Result<Directions, KeyError> {
        let (mine, theirs) = pair.names().ok_or(KeyError::NotOfPair)?;
        let public = key.verifying_key();
        if mine == theirs || public == *peer {
            return Err(KeyError::SamePeer);
        }
        if peer.is_weak() {
            return Err(KeyError::WeakPeer);
        }
        let scalar = Zeroizing::new(key.to_scalar_bytes());
        let shared = Zeroizing::new(peer.to_montgomery().mul_clamped(*scalar).to_bytes());
        let direction = |sender: (&str, &VerifyingKey), receiver: (&str, &VerifyingKey)| {
            let mut material = Zeroizing::new(Vec::with_capacity(32 + 2 * 32 + 3 * 4 + 128));
            material.extend_from_slice(&*shared);
            push_counted(&mut material, pair.cluster);
            push_counted(&mut material, sender.0);
            material.extend_from_slice(sender.1.as_bytes());
            push_counted(&mut material, receiver.0);
            material.extend_from_slice(receiver.1.as_bytes());

            let mut signed_prefix = SIGNATURE_CONTEXT.to_vec();
            push_counted(&mut signed_prefix, pair.cluster);
            push_counted(&mut signed_prefix, sender.0);
            push_counted(&mut signed_prefix, receiver.0);
            Direction { tag_key: Zeroizing::new(blake3::derive_key(TAG_CONTEXT, &material)), signed_prefix }
        };
        let (me, other) = ((mine, &public), (theirs, peer));
        Ok(Directions { to_peer: direction(me, other), from_peer: direction(other, me) })
    }
}

impl Direction {
    /// The whole hash whose first 16 bytes are the tag of `header` and `signed` (signature and body) on a path.
    fn hash(&self, path: &Path, header: &[u8; HEADER], signed: &[u8]) -> blake3::Hash {
        let (kind, name) = path.parts();
        let mut hasher = blake3::Hasher::new_keyed(&self.tag_key);
        hasher.update(header);
        hasher.update(&counted(kind.len().saturating_add(name.len())));
        hasher.update(kind.as_bytes());
        hasher.update(name.as_bytes());
        hasher.update(signed);
        hasher.finalize()
    }

    /// The tag.
    pub(super) fn tag(&self, path: &Path, header: &[u8; HEADER], signed: &[u8]) -> [u8; TAG] {
        let mut tag = [0; TAG];
        tag.copy_from_slice(&self.hash(path, header, signed).as_bytes()[..TAG]);
        tag
    }

    /// Whether `tag` is the tag, in constant time.
    pub(super) fn tag_is_right(&self, tag: &[u8; TAG], path: &Path, header: &[u8; HEADER], signed: &[u8]) -> bool {
        let right = self.hash(path, header, signed);
        let mut candidate = *right.as_bytes();
        candidate[..TAG].copy_from_slice(tag);
        right == candidate // blake3 compares in constant time
    }

    /// What the signature is over.
    pub(super) fn signed_message(&self, body: &[u8]) -> Vec<u8> {
        [self.signed_prefix.as_slice(), body].concat()
    }
}

/// A length as four bytes, high one first.
fn counted(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes()
}

/// The text with its length before it, so that no two lists of texts look alike.
fn push_counted(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&counted(text.len()));
    out.extend_from_slice(text.as_bytes());
}
