//! What may happen next in the small world: the ordinary course, deviations from it, and what mends.

use std::sync::Arc;

use super::small::{Daemon, Item, Small};
use twinbeat_core::io::{Command, Input};

/// What the search may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Move {
    /// The oldest item arrives; when there is none, time passes.
    Next,
    /// The oldest item is lost.
    Lose,
    /// It arrives after time has passed.
    Late,
    /// It arrives behind all others.
    Behind,
    /// It arrives twice.
    Twice,
    /// A daemon hangs.
    Hang(usize),
    /// It goes on.
    Wake(usize),
    /// A daemon is killed.
    Kill(usize),
    /// It is started again.
    Start(usize),
    /// A way from a side is silent: the cable (0), the LAN to the peer (1), the LAN to the gateway (2).
    Cut(usize, usize),
    /// The sides exchange no frame at all.
    Separate,
    /// Nothing of a side passes.
    Isolate(usize),
    /// All ways are whole.
    Mend,
    /// The gateway loses its table.
    Forget,
    /// A person types `takeover` on a side.
    Takeover(usize),
}

impl Small {
    /// Everything that may happen now, the ordinary course first. What mends is free, and may come when nothing is on its way.
    pub fn moves(&self, kinds: &[Move], out: &mut Vec<Move>) {
        out.clear();
        out.push(Move::Next);
        let about = match self.ready.first() {
            None => None,
            Some(Item::Frame(at, _) | Item::Order(at, ..) | Item::Report(at, ..)) => Some(*at),
            Some(Item::Gateway(at, _)) => Some(*at),
            Some(Item::Probe(at)) => Some(1 - at),
        };
        if about.is_none() {
            out.extend((0..2).filter(|at| self.sides[*at].daemon == Daemon::Hangs).map(Move::Wake));
            out.extend((0..2).filter(|at| self.sides[*at].daemon == Daemon::Gone).map(Move::Start));
            if self.cut != [[false; 3]; 2] {
                out.push(Move::Mend);
            }
        }
        if self.left == 0 {
            return;
        }
        let own = matches!(self.ready.first(), Some(Item::Order(..) | Item::Report(..)));
        let frame = about.is_some() && !own;
        out.extend(kinds.iter().copied().filter(|kind| match kind {
            Move::Next | Move::Wake(_) | Move::Start(_) | Move::Mend => false,
            Move::Lose | Move::Twice => frame,
            Move::Behind => frame && self.ready.len() > 1,
            Move::Late => about.is_some(),
            // A hang or a death is told apart only by what of its own it comes before.
            Move::Hang(at) | Move::Kill(at) => self.sides[*at].daemon == Daemon::Runs && about.is_none_or(|about| about == *at),
            Move::Cut(at, way) => about.is_none() && !self.cut[*at][*way],
            Move::Separate | Move::Isolate(_) => about.is_none(),
            Move::Forget => about.is_none() && self.entry.is_some(),
            Move::Takeover(at) => about.is_none() && self.sides[*at].daemon == Daemon::Runs,
        }));
    }

    /// Makes a move.
    pub fn make(&mut self, step: Move) {
        if !matches!(step, Move::Next | Move::Wake(_) | Move::Start(_) | Move::Mend) {
            self.left = self.left.saturating_sub(1);
        }
        match step {
            Move::Next if self.ready.is_empty() => self.pass(),
            Move::Next => {
                let item = self.ready.remove(0);
                self.arrive(item);
            }
            Move::Lose => drop(self.ready.remove(0)),
            Move::Late => self.hold_back(),
            Move::Behind => self.ready.rotate_left(1),
            Move::Twice => {
                let item = self.ready[0].clone();
                self.arrive(item);
            }
            Move::Hang(at) => Arc::make_mut(&mut self.sides[at]).daemon = Daemon::Hangs,
            Move::Wake(at) => {
                let side = Arc::make_mut(&mut self.sides[at]);
                side.daemon = Daemon::Runs;
                let held = std::mem::take(&mut side.held);
                self.ready.extend(held);
            }
            Move::Kill(at) => {
                let side = Arc::make_mut(&mut self.sides[at]);
                (side.daemon, side.newest, side.heard) = (Daemon::Gone, None, [0; 2]);
                side.held.clear();
            }
            Move::Start(at) => {
                if let Some(settings) = self.sides[at].node.as_ref().map(|node| node.settings().clone()) {
                    self.start(at, settings);
                }
            }
            Move::Cut(at, way) => self.cut[at][way] = true,
            Move::Separate => {
                for at in 0..2 {
                    (self.cut[at][0], self.cut[at][1]) = (true, true);
                }
            }
            Move::Isolate(at) => {
                self.cut[at] = [true; 3];
                (self.cut[1 - at][0], self.cut[1 - at][1]) = (true, true);
            }
            Move::Mend => self.cut = [[false; 3]; 2],
            Move::Forget => self.entry = None,
            Move::Takeover(at) => self.tell(at, Input::Command { id: 1, command: Command::Takeover { group: None } }),
        }
        self.look();
    }

    /// The oldest item arrives after time has passed. Orders of one machine stay in their order.
    fn hold_back(&mut self) {
        if let Some(Item::Order(at, ..)) = self.ready.first() {
            let of = *at;
            let mut kept = Vec::with_capacity(self.ready.len());
            for item in self.ready.drain(..) {
                let list = if matches!(item, Item::Order(at, ..) if at == of) { &mut self.late } else { &mut kept };
                list.push(item);
            }
            self.ready = kept;
        } else {
            let item = self.ready.remove(0);
            self.late.push(item);
        }
    }
}
