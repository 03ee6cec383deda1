//! Why the owner may go on owning: the lease, counted from each ground's own time (SAFETY R2, R3), and the defence of the
//! VIP's entry in the witness's table (R5).

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::broken::{Broken, broken};
use super::settings::Timing;
use super::time::{Mono, Span};

/// The reasons to own, each with its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Grounds {
    /// The send time of my newest heartbeat that the peer echoed while standing by for my epoch.
    pub peer: Option<Mono>,
    /// The send time of the newest VIP-sourced echo that a majority of witnesses answered.
    pub path: Option<Mono>,
    /// The administrator's own word: `island = "hold"`.
    pub island: Option<Mono>,
}

impl Grounds {
    /// The newest.
    pub fn newest(&self) -> Option<Mono> {
        self.peer.max(self.path).max(self.island)
    }

    /// Nothing is known any more (SAFETY R10).
    pub fn void(&mut self) {
        *self = Grounds::default();
    }

    /// Which of them hold now, in words.
    pub fn words(&self, now: Mono, lease: Span) -> Vec<String> {
        [("peer", self.peer), ("return path", self.path), ("island", self.island)]
            .into_iter()
            .filter(|(_, at)| at.is_some_and(|at| at + lease > now))
            .map(|(word, _)| word.to_string())
            .collect()
    }
}

/// Announcements at once that a defence may spend, and how fast they come back: bounded, and never used up for good.
const TOKENS: u32 = 20;
/// One announcement is refilled in this time.
const REFILL: Span = Span::millis(50);
/// A VIP whose entry was overwritten this often within one lease has met another owner, not a challenger: it leaves (R5 †).
const OVERWRITTEN: usize = 3;
/// VIP echoes missing in a row, while own echoes pass, that make an owner defend. A defence too many harms nobody.
const DEFEND_AFTER: u32 = 2;
/// The same that count as overwritten: as for a challenge, fewer would be found by mere loss.
const BROKEN_AFTER: u32 = 8;

/// The owner's defence.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Defence {
    tokens: u32,
    refilled: Mono,
    /// When the entry was found overwritten.
    overwritten: VecDeque<Mono>,
    /// The present break was counted already.
    counted: bool,
    /// When announced last.
    last: Option<Mono>,
}

/// What to do about the witness's table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Defend {
    /// Nothing.
    Rest,
    /// Announce.
    Announce,
    /// Leave: somebody else serves.
    Leave,
}

impl Defence {
    /// At the beginning of an ownership.
    pub fn new(now: Mono) -> Defence {
        Defence { tokens: TOKENS, refilled: now, overwritten: VecDeque::new(), counted: false, last: None }
    }

    /// Another machine announced itself.
    pub fn announced(&mut self, now: Mono, timing: &Timing) -> Defend {
        self.count(now, timing)
    }

    /// VIP echoes to some witness have been missing, `missed` in a row, `proven` of them while an own echo passed.
    pub fn missing(&mut self, now: Mono, missed: u32, proven: u32, timing: &Timing) -> Defend {
        if proven >= BROKEN_AFTER && !self.counted {
            self.counted = true;
            return self.count(now, timing);
        }
        if missed < DEFEND_AFTER || self.last.is_some_and(|at| now.since(at) < timing.echo_period()) {
            return Defend::Rest;
        }
        self.spend(now)
    }

    /// The return path is whole.
    pub fn whole(&mut self) {
        self.counted = false;
    }

    fn count(&mut self, now: Mono, timing: &Timing) -> Defend {
        while self.overwritten.front().is_some_and(|at| now.since(*at) > timing.lease) {
            self.overwritten.pop_front();
        }
        // One challenger's repeated writes before its first echo are one event.
        if self.overwritten.back().is_none_or(|at| now.since(*at) >= timing.delivery.min(timing.lease / 8)) {
            self.overwritten.push_back(now);
        }
        if self.overwritten.len() >= OVERWRITTEN && !broken(Broken::OverwrittenStays) { Defend::Leave } else { self.spend(now) }
    }

    fn spend(&mut self, now: Mono) -> Defend {
        let refill = if broken(Broken::DefenceUsedUp) { 0 } else { now.since(self.refilled).0 / REFILL.0 };
        if refill > 0 {
            self.tokens = self.tokens.saturating_add(refill.min(u64::from(TOKENS)) as u32).min(TOKENS);
            self.refilled = now;
        }
        let Some(left) = self.tokens.checked_sub(1) else { return Defend::Rest };
        self.tokens = left;
        self.last = Some(now);
        Defend::Announce
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing() -> Timing {
        Timing::SECOND
    }

    #[test]
    fn an_owner_overwritten_three_times_within_one_lease_leaves() {
        let mut d = Defence::new(Mono::ZERO);
        let at = |ms| Mono::ZERO + Span::millis(ms);
        assert_eq!(d.announced(at(0), &timing()), Defend::Announce);
        assert_eq!(d.announced(at(100), &timing()), Defend::Announce);
        assert_eq!(d.announced(at(200), &timing()), Defend::Leave);
    }

    #[test]
    fn an_owner_that_is_challenged_now_and_then_stays() {
        let mut d = Defence::new(Mono::ZERO);
        for n in 0..50 {
            assert_eq!(d.announced(Mono::ZERO + Span::millis(400 * n), &timing()), Defend::Announce);
        }
    }

    #[test]
    fn a_defence_is_bounded_and_never_used_up() {
        let mut d = Defence::new(Mono::ZERO);
        let spent = (0..100).filter(|_| d.spend(Mono::ZERO) == Defend::Announce).count();
        assert_eq!(spent, TOKENS as usize);
        assert_eq!(d.spend(Mono::ZERO + Span::secs(1)), Defend::Announce);
    }

    #[test]
    fn the_newest_ground_counts() {
        let at = |ms| Some(Mono::ZERO + Span::millis(ms));
        assert_eq!(Grounds { peer: at(5), path: at(9), island: None }.newest(), at(9));
        assert_eq!(Grounds::default().newest(), None);
    }
}
