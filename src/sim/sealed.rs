//! Real signatures on the world's ways.

use super::event::Beat;
use super::promise::Promise;
use super::seals::Seals;
use super::world::World;
use twinbeat_core::heartbeat::Heartbeat;
use twinbeat_core::id::GroupId;
use twinbeat_wire::Path;

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
        self.passed(node, &path, modelled)
    }

    /// The same inside an echo from a group's guard VIP.
    pub(super) fn over_table(&mut self, node: usize, group: GroupId) -> Option<Beat> {
        let machine = &self.machines[node];
        let (modelled, _) = machine.newest.get(usize::from(machine.part_of(usize::from(group.0))))?;
        let modelled = Beat::clone(modelled);
        let Some(seals) = &mut self.seals else { return Some(modelled) };
        let path = Path::Vip(seals.groups[usize::from(group.0)].clone());
        self.passed(node, &path, &modelled)
    }

    /// Sealed, and opened by the other node as its daemon is called now; what it refuses for its names the world refuses where it arrives.
    fn passed(&mut self, node: usize, path: &Path, modelled: &Beat) -> Option<Beat> {
        let knows = self.machines[1 - node].knows(&self.machines[node]);
        let part = usize::from(modelled.get().part.index);
        let beat = self.seals.as_mut()?.pass(node, part, path);
        if knows {
            return self.opened(beat.is_some()).then_some(beat).flatten();
        }
        if beat.is_some() {
            self.check.report(self.now, Promise::Signatures, format!("a heartbeat of other names was accepted over {path}"));
        }
        self.opened(true).then(|| Beat::clone(modelled))
    }

    /// An attacker forges heartbeats to a node.
    pub(super) fn forge_frames(&mut self, node: usize) {
        let Some((said, _)) = self.machines[1 - node].newest.first().cloned() else { return };
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

    use super::*;
    use crate::machine::real;
    use crate::pair::{Builder, Builtin};
    use crate::record::Lane;
    use crate::schedule::draw;
    use crate::script::Story;

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
    fn names_that_change_are_refused_by_real_frames_as_by_modelled_ones() {
        let config = |node: &str, file: &str| format!(r#"{{"node": "{node}", "config": "pairs/recipe-fast-{file}.toml"}}"#);
        for words in ["shop", "alpha", "omega", "crossed"] {
            let text = format!(
                r#"{{"title": "names", "config": "pairs/recipe-fast.toml", "until": "60s", "timeline": [
                    {{"at": "0s", "start": ["master1", "master2"]}},
                    {{"at": "20s", "configure": {}}}, {{"at": "20s", "restart": {{"node": "master2"}}}},
                    {{"at": "30s", "forge": {{}}}}, {{"at": "30s", "replay_packets": {{"node": "master2"}}}},
                    {{"at": "40s", "configure": {}}}, {{"at": "40s", "restart": {{"node": "master1"}}}}]}}"#,
                config("master2", words),
                config("master1", words)
            );
            let mut story = Story::read(&text, words, Path::new(""), &Builtin).unwrap();
            let modelled = story.run(real, true);
            story.real_signatures = true;
            let signed = story.run(real, true);
            assert_eq!(signed.violations, [], "{words}");
            assert_eq!(modelled.record.lines, signed.record.lines, "{words}");
            // Deaf to each other until both have the same names.
            let silent = |node: usize, from: u64, to: u64| {
                modelled.record.lane(Lane::Link(0, node)).iter().any(|s| s.from.0 < from && s.to.0 > to)
            };
            assert!((0..2).all(|node| silent(node, 25_000_000_000, 39_000_000_000)), "{words}");
            assert!((0..2).all(|node| !silent(node, 50_000_000_000, 50_000_000_001)), "{words}");
        }
    }

    #[test]
    fn an_attacker_who_has_the_key_of_a_node_is_seen() {
        let mut world = World::new(Builder::default().build(), 1, real);
        world.seal();
        world.apply(&crate::act::Act::Start(0));
        world.apply(&crate::act::Act::Start(1));
        world.run_until(crate::clock::Moment(2_000_000_000));
        world.apply(&crate::act::Act::Forge(0));
        assert_eq!(world.check.violations, [], "a key of his own does not do");
        let seals = world.seals.as_mut().unwrap();
        let [_, second] = Seals::new(&world.pair).unwrap().signers;
        seals.forgers[0] = second;
        world.apply(&crate::act::Act::Forge(0));
        assert_eq!(world.check.violations[0].promise, Promise::Signatures);
    }
}
