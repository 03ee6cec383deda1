//! Real signatures in the simulator: every heartbeat is signed, sealed for its path and opened as the daemon does it.
//!
//! Modelled ones are the default, for speed. With real ones a damaged and a forged frame are made as well, and must be refused.

use ed25519_dalek::SigningKey;

use super::event::Beat;
use super::pair::Pair;
use twinbeat_core::heartbeat::Heartbeat;
use twinbeat_core::id::{Name, NodeId};
use twinbeat_wire::{Names, Opener, Path, SignedBody, Signer};

/// Both nodes' keys, and an attacker's.
pub struct Seals {
    pub(super) signers: [Signer; 2],
    openers: [Opener; 2],
    /// Somebody without a node's key who knows all the names, towards each node.
    pub(super) forgers: [Signer; 2],
    signed: [Option<SignedBody>; 2],
    pub(super) links: Vec<Name>,
    pub(super) groups: Vec<Name>,
    /// What was accepted though it must not be.
    pub(super) accepted: Option<String>,
    flips: usize,
}

impl Seals {
    /// Keys for a pair; none when its names allow none.
    pub fn new(pair: &Pair) -> Option<Seals> {
        let settings = &pair.settings[0];
        let keys = [1, 2, 3].map(|n| SigningKey::from_bytes(&[n; 32]));
        let of = |me: usize| twinbeat_wire::Pair {
            cluster: &settings.cluster,
            nodes: [&settings.nodes[0], &settings.nodes[1]],
            me: NodeId(me as u8),
        };
        let public = |n: usize| keys[n].verifying_key();
        let names = |me: usize| {
            let settings: &twinbeat_core::settings::Settings = &pair.settings[me];
            Names::new(settings.links.iter().map(|l| l.name.clone()).chain(settings.groups.iter().map(|g| g.name.clone())))
        };
        let signer = |me: usize, key: usize| Signer::new(&of(me), &keys[key], &public(1 - me)).ok();
        let opener = |me: usize| Opener::new(&of(me), &keys[me], &public(1 - me), names(me)).ok();
        Some(Seals {
            signers: [signer(0, 0)?, signer(1, 1)?],
            openers: [opener(0)?, opener(1)?],
            forgers: [signer(1, 2)?, signer(0, 2)?],
            signed: [None, None],
            links: settings.links.iter().map(|link| link.name.clone()).collect(),
            groups: settings.groups.iter().map(|group| group.name.clone()).collect(),
            accepted: None,
            flips: 0,
        })
    }

    /// A node's new heartbeat is signed, once for all paths.
    pub(super) fn sign(&mut self, node: usize, beat: &Heartbeat) {
        self.signed[node] = self.signers[node].sign(beat).ok();
    }

    /// The newest heartbeat of a node as the other one opens it; a damaged copy must be refused.
    pub(super) fn pass(&mut self, node: usize, path: &Path) -> Option<Beat> {
        let mut frame = self.signers[node].seal(self.signed[node].as_ref()?, path);
        let beat = self.openers[1 - node].open(path, &frame).ok();
        self.flips += 1;
        let place = self.flips.wrapping_mul(7919) % frame.len();
        frame[place] ^= 1 << (self.flips % 8);
        if self.openers[1 - node].open(path, &frame).is_ok() {
            self.accepted = Some(format!("a frame with a bit of byte {place} turned was accepted over {path}"));
        }
        beat
    }

    /// An attacker signs what the peer said last with a key of his own, and sends it over every link.
    pub(super) fn forge(&mut self, node: usize, said: &Heartbeat) {
        let mut lie = said.clone();
        lie.number += 1_000;
        let Ok(signed) = self.forgers[node].sign(&lie) else { return };
        for link in &self.links {
            let path = Path::Link(link.clone());
            let frame = self.forgers[node].seal(&signed, &path);
            if self.openers[node].open(&path, &frame).is_ok() {
                self.accepted = Some(format!("a forged frame was accepted over {path}"));
            }
        }
    }
}
