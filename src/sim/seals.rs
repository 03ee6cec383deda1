//! Real signatures in the simulator: every heartbeat is signed, sealed for its path and opened as the daemon does it.
//!
//! Modelled ones are the default, for speed. With real ones a damaged and a forged frame are made as well, and must be refused.

use ed25519_dalek::SigningKey;

use super::event::Beat;
use super::pair::Pair;
use twinbeat_core::heartbeat::Heartbeat;
use twinbeat_core::id::{Name, NodeId};
use twinbeat_core::settings::Settings;
use twinbeat_wire::{Names, Opener, Path, SignedBody, Signer};

/// Both nodes' keys, and an attacker's.
pub struct Seals {
    pub(super) signers: [Signer; 2],
    openers: [Opener; 2],
    /// Somebody without a node's key who knows all the names, towards each node.
    pub(super) forgers: [Signer; 2],
    /// Each node's newest heartbeat, each part in its place.
    signed: [Vec<SignedBody>; 2],
    pub(super) links: Vec<Name>,
    pub(super) groups: Vec<Name>,
    /// Of links and of every group that any file of the story has.
    names: Names,
    /// What was accepted though it must not be.
    pub(super) accepted: Option<String>,
    flips: usize,
}

/// What a node seals and opens with, and who wants to be its peer.
struct Ends {
    signer: Signer,
    opener: Opener,
    forger: Signer,
}

impl Ends {
    fn of(node: usize, settings: &Settings, names: Names) -> Option<Ends> {
        let keys = [1, 2, 3].map(|n| SigningKey::from_bytes(&[n; 32]));
        let of =
            |me: NodeId| twinbeat_wire::Pair { cluster: &settings.cluster, nodes: [&settings.nodes[0], &settings.nodes[1]], me };
        let (me, peer) = (settings.me, settings.me.other());
        let [own, theirs] = [&keys[node], &keys[1 - node]].map(SigningKey::verifying_key);
        Some(Ends {
            signer: Signer::new(&of(me), &keys[node], &theirs).ok()?,
            opener: Opener::new(&of(me), &keys[node], &theirs, names).ok()?,
            forger: Signer::new(&of(peer), &keys[2], &own).ok()?,
        })
    }
}

impl Seals {
    /// Keys for a pair; none when its names allow none.
    pub fn new(pair: &Pair) -> Option<Seals> {
        let settings = &pair.settings[0];
        let names = settings.links.iter().map(|l| l.name.clone()).chain(settings.groups.iter().map(|g| g.name.clone()));
        let names = Names::new(names);
        let of = |node: usize| Ends::of(node, &pair.settings[node], names.clone());
        let [one, two] = [of(0)?, of(1)?];
        Some(Seals {
            signers: [one.signer, two.signer],
            openers: [one.opener, two.opener],
            forgers: [one.forger, two.forger],
            signed: [Vec::new(), Vec::new()],
            links: settings.links.iter().map(|link| link.name.clone()).collect(),
            groups: settings.groups.iter().map(|group| group.name.clone()).collect(),
            names,
            accepted: None,
            flips: 0,
        })
    }

    /// A node's daemon begins with this file: other names are other keys.
    pub(super) fn begins(&mut self, node: usize, settings: &Settings) {
        if let Some(Ends { signer, opener, forger }) = Ends::of(node, settings, self.names.clone()) {
            (self.signers[node], self.openers[node], self.forgers[node]) = (signer, opener, forger);
            self.signed[node].clear();
        }
    }

    /// A node's new heartbeat, or a part of it, is signed, once for all paths.
    pub(super) fn sign(&mut self, node: usize, beat: &Heartbeat) {
        let signed = &mut self.signed[node];
        signed.truncate(usize::from(beat.part.index));
        signed.extend(self.signers[node].sign(beat).ok());
    }

    /// This part of the newest heartbeat of a node as the other one opens it; a damaged copy must be refused.
    pub(super) fn pass(&mut self, node: usize, part: usize, path: &Path) -> Option<Beat> {
        let mut frame = self.signers[node].seal(self.signed[node].get(part)?, path);
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
