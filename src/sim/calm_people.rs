//! People who work on a service in a calm story.

use super::calm::Teller;
use super::step::{Dur, On, Step};
use twinbeat_core::time::Span;

impl Teller<'_> {
    /// The devices that turn a node off are slow, or do not work.
    pub(super) fn devices(&mut self, node: usize) {
        if self.pair.settings[0].fencing.is_none() {
            return;
        }
        if self.rng.below(3) == 0 {
            self.then(Step::FenceFails(self.on(node)));
            self.over(Step::FenceFails(On { on: Some(false), ..self.on(node) }));
            return;
        }
        for node in 0..2 {
            let takes = Some(Dur(Span::millis(self.rng.between(1_000, 6_000))));
            self.now(Step::FenceTakes(On { takes, ..self.on(node) }));
        }
    }

    /// They pause, work on the service, and end it here or there, or let it end by itself.
    pub(super) fn maintenance(&mut self, node: usize) {
        let most = self.pair.timing().dead.as_millis() * 8;
        let lasting = (self.rng.below(3) == 0).then(|| Dur(Span::millis(self.rng.between(1, most))));
        self.then(Step::PauseGroup(On { r#for: lasting, ..self.on(node) }));
        self.pause();
        if self.rng.below(2) == 0 {
            self.now(Step::ServiceDies(self.on(node)));
            self.pause();
        }
        if self.rng.below(3) > 0 {
            let end = self.node();
            self.now(Step::Resume(self.on(end)));
        }
    }
}
