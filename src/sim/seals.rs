//! Real signatures in the simulator: every heartbeat is signed, sealed for its path and opened as the daemon does it.
//!
//! Modelled ones are the default, for speed. With real ones a damaged and a forged frame are made as well, and must be refused.

use ed25519_dalek::SigningKey;

use super::pair::Pair;
use super::promise::Promise;
use super::world::{Beat, World};
use twinbeat_core::heartbeat::Heartbeat;
use twinbeat_core::id::{GroupId, Name, NodeId};
use twinbeat_wire::{Names, Opener, Path, SignedBody, Signer};

/// Both nodes' keys, and an attacker's.
pub struct Seals {
    signers: [Signer; 2],
    openers: [Opener; 2],
    /// Somebody without a node's key who knows all the names, towards each node.
    forgers: [Signer; 2],
    signed: [Option<SignedBody>; 2],
    links: Vec<Name>,
    groups: Vec<Name>,
    /// What was accepted though it must not be.
    accepted: Option<String>,
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
    fn sign(&mut self, node: usize, beat: &Heartbeat) {
        self.signed[node] = self.signers[node].sign(beat).ok();
    }

    /// The newest heartbeat of a node as the other one opens it; a damaged copy must be refused.
    fn pass(&mut self, node: usize, path: &Path) -> Option<Beat> {
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
    fn forge(&mut self, node: usize, said: &Heartbeat) {
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

impl World {
    /// From now on signatures are real.
    pub fn seal(&mut self) {
        self.seals = Seals::new(&self.pair).map(Box::new);
    }

    pub(super) fn sign(&mut self, node: usize, beat: &Heartbeat) {
        if let Some(seals) = &mut self.seals {
            seals.sign(node, beat);
        }
    }

    /// A node's newest heartbeat over a link, as it comes out at the other end.
    pub(super) fn over_link(&mut self, node: usize, link: usize, modelled: &Beat) -> Option<Beat> {
        let Some(seals) = &mut self.seals else { return Some(Beat::clone(modelled)) };
        let path = Path::Link(seals.links[link].clone());
        let beat = seals.pass(node, &path);
        self.opened(beat.is_some()).then_some(beat).flatten()
    }

    /// The same inside an echo from a group's guard VIP.
    pub(super) fn over_table(&mut self, node: usize, group: GroupId) -> Option<Beat> {
        let modelled = self.machines[node].newest.clone()?;
        let Some(seals) = &mut self.seals else { return Some(modelled) };
        let path = Path::Vip(seals.groups[usize::from(group.0)].clone());
        let beat = seals.pass(node, &path);
        self.opened(beat.is_some()).then_some(beat).flatten()
    }

    /// An attacker forges heartbeats to a node.
    pub(super) fn forge_frames(&mut self, node: usize) {
        let Some(said) = self.machines[1 - node].newest.clone() else { return };
        if let Some(seals) = &mut self.seals {
            seals.forge(node, said.get());
            self.opened(true);
        }
    }

    /// Reports what was accepted and must not be, and what was refused though it was right.
    fn opened(&mut self, right: bool) -> bool {
        let accepted = self.seals.as_mut().and_then(|seals| seals.accepted.take());
        let wrong = accepted.or_else(|| (!right).then(|| "a heartbeat with a right signature was refused".to_string()));
        if let Some(text) = wrong {
            self.check.report(self.now, Promise::Signatures, text);
        }
        right
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::machine::real;
    use super::super::pair::{Builder, Builtin};
    use super::super::schedule::draw;
    use super::super::script::Story;
    use super::super::world::World;
    use super::*;

    #[test]
    fn real_and_modelled_signatures_tell_the_same_story() {
        for seed in [3, 11] {
            let mut story = Story::of(draw(seed), Path::new(""), &Builtin).unwrap();
            let modelled = story.run(real, true);
            story.real_signatures = true;
            let signed = story.run(real, true);
            assert_eq!(signed.violations, []);
            assert_eq!(modelled.record.lines, signed.record.lines);
        }
    }

    #[test]
    fn an_attacker_who_has_the_key_of_a_node_is_seen() {
        let mut world = World::new(Builder::default().build(), 1, real);
        world.seal();
        world.apply(&super::super::act::Act::Start(0));
        world.apply(&super::super::act::Act::Start(1));
        world.run_until(super::super::clock::Moment(2_000_000_000));
        world.apply(&super::super::act::Act::Forge(0));
        assert_eq!(world.check.violations, [], "a key of his own does not do");
        let seals = world.seals.as_mut().unwrap();
        let [_, second] = Seals::new(&world.pair).unwrap().signers;
        seals.forgers[0] = second;
        world.apply(&super::super::act::Act::Forge(0));
        assert_eq!(world.check.violations[0].promise, Promise::Signatures);
    }
}
