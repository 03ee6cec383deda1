//! A decision that is woken too often: between any two inputs it gets ticks that nobody needs, and must not show it.
//!
//! What is said and ordered at such a tick was due before, and its deadline is missing; what is said or ordered otherwise because of one makes the
//! story another one. A story that goes the same way with it has no deadline too few, and no step that does anything but look.

use twinbeat_core::io::{Input, Output};
use twinbeat_core::node::Node;
use twinbeat_core::settings::Settings;
use twinbeat_core::time::{Mono, Span};
use twinbeat_core::view::View;

use super::machine::{Brain, real};
use super::rng::Rng;

/// Between two ticks, at the most.
const PATIENCE: Span = Span::millis(1);

struct Impatient {
    node: Box<dyn Brain>,
    last: Mono,
    rng: Rng,
}

/// Makes one: a tick at least once a millisecond, at random instants, up to each deadline.
pub fn impatient(settings: Settings, now: Mono) -> Box<dyn Brain> {
    let rng = Rng::stream(now.0, u64::from(settings.me.0));
    Box::new(Impatient { node: real(settings, now), last: now, rng })
}

impl Brain for Impatient {
    /// # Panics
    /// A tick before the deadline led to an output.
    fn handle(&mut self, now: Mono, input: Input) {
        let due = self.node.deadline().unwrap_or_default();
        loop {
            self.last = self.last + Span(self.rng.between(1, PATIENCE.0));
            if self.last >= due.min(now) {
                break;
            }
            self.node.handle(self.last, Input::Tick);
            let output = self.node.poll();
            assert!(output.is_none(), "a tick at {}, before {due}, led to {output:?}", self.last);
        }
        self.last = now;
        self.node.handle(now, input);
    }
    fn poll(&mut self) -> Option<Output> {
        self.node.poll()
    }
    fn deadline(&self) -> Option<Mono> {
        self.node.deadline()
    }
    fn view(&self, now: Mono) -> Option<View> {
        self.node.view(now)
    }
    fn copy(&self) -> Option<Node> {
        self.node.copy()
    }
    fn held(&self, group: usize) -> bool {
        self.node.held(group)
    }
    fn counts(&self, witness: usize) -> bool {
        self.node.counts(witness)
    }
    fn file_forbids(&self, group: usize) -> bool {
        self.node.file_forbids(group)
    }
}
