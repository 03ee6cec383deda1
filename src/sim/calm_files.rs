//! Files that change in a calm story, and the restarts that bring them into force.

use super::calm::{Teller, micros};
use super::parts::NAMES;
use super::step::{Between, On, Separate, Step};
use twinbeat_core::time::Span;

impl Teller<'_> {
    /// The story's own file with these words more.
    fn file(&mut self, words: &str) -> Option<String> {
        Some(self.config.replace(".toml", &format!("-{words}.toml")))
    }

    /// From half to four times as long; by a restart that keeps the address, or by one that does not.
    pub(super) fn lease(&mut self, node: usize) {
        let lease = self.pair.timing().lease.as_millis();
        let lease = self.rng.between(lease / 2, lease * 4);
        let config = self.file(&format!("lease{lease}"));
        self.changed(node, config);
    }

    /// Failback or services are others, on one node or on both.
    pub(super) fn other_file(&mut self, node: usize) {
        let words = ["manual", "equal", "after30", "plain", "cold"];
        let words = self.rng.pick(&words).copied().unwrap_or("manual");
        let config = self.file(words);
        self.changed(node, config.clone());
        if self.rng.below(2) == 0 {
            self.pause();
            self.changed(1 - node, config);
        }
    }

    /// One node's file is another one, and mostly, some time later, the other's too.
    pub(super) fn rolling(&mut self, first: usize, words: &str) {
        let config = self.file(words);
        self.changed(first, config.clone());
        if self.rng.below(4) > 0 {
            self.pause();
            self.changed(1 - first, config);
        }
    }

    /// A cluster or a node gets another name: with both daemons down, as the manual says, or node after node, apart from each other or not, and
    /// sometimes back again.
    pub(super) fn names(&mut self, first: usize) {
        let words = self.rng.pick(NAMES).copied().unwrap_or("shop");
        if self.rng.below(4) == 0 {
            let config = self.file(words);
            let both = [first, 1 - first];
            for node in both {
                let stop = if self.rng.below(3) == 0 { Step::Kill(self.name(node)) } else { Step::Stop(self.name(node)) };
                self.then(stop);
                self.pause();
            }
            for node in both {
                let on = self.on(node);
                self.now(Step::Configure(On { config: config.clone(), ..on }));
                let name = self.name(node);
                self.now(Step::Start(name));
                self.pause();
            }
            return;
        }
        let apart = self.rng.below(3) == 0;
        self.rolling(first, words);
        if apart {
            let relay = Some(self.rng.below(3) == 0);
            self.pause();
            self.then(Step::Separate(Separate { relay }));
        }
        if self.rng.below(3) == 0 {
            self.pause();
            let (node, back) = (self.node(), Some(self.config.to_string()));
            self.changed(node, back);
        }
        if apart {
            self.over(Step::Mend(Between::default()));
        }
    }

    /// A node's file is another one, and its daemon starts anew.
    fn changed(&mut self, node: usize, config: Option<String>) {
        let (name, on) = (self.name(node), self.on(node));
        self.now(Step::Configure(On { config, ..on.clone() }));
        match self.rng.below(3) {
            0 => {
                self.then(Step::Kill(name.clone()));
                self.pause();
                self.now(Step::Start(name));
            }
            _ => {
                let takes = Some(micros(Span(self.rng.below(self.pair.timing().lease.0))));
                self.then(Step::Restart(On { takes, ..on }));
            }
        }
    }
}
