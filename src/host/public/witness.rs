//! A witness, and what is believed of its MAC (SAFETY R12).
//!
//! An answer counts only while a question of ours is open. One that names another MAC than the known one is a candidate: both
//! are asked, by unicast ARP (or solicitation) and by an echo from the own address, and the known one is given up only when it
//! no longer answers and the candidate does. A permanent entry of the kernel's is the administrator's word and is believed.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use twinbeat_core::id::Mac;

/// A witness, and what we know of its MAC.
#[derive(Debug)]
pub(super) struct Witness {
    pub(super) address: IpAddr,
    /// As it last answered; kept when it no longer answers.
    pub(super) mac: Option<Mac>,
    /// The MAC is the administrator's: a permanent entry.
    pinned: bool,
    asked: Option<Instant>,
    answered: Option<Instant>,
    /// Questions since the last answer.
    unanswered: u32,
    /// Questions that stand for echoes, oldest first: their numbers, and when they went out.
    numbered: VecDeque<(u64, Instant)>,
    /// Echoes from a VIP since one came back.
    unheard: u32,
    /// It has answered echoes: then one that does not is not it.
    sounds: bool,
    trial: Option<Trial>,
    trials: u64,
}

/// Two MACs that are both said to be the witness's.
#[derive(Debug)]
struct Trial {
    candidate: Mac,
    number: u64,
    began: Instant,
    /// The known one answered the question or the echo.
    known: bool,
    /// The candidate answered the question,
    answered: bool,
    /// and the echo.
    vouched: bool,
}

/// What follows from an answer that names a MAC.
#[derive(Debug, PartialEq)]
pub(super) enum Named {
    /// Nobody asked, or it is not believed.
    Nothing,
    /// It is the known one, or the first.
    Known,
    /// Another one: both are to be asked, by question and by an echo of their number.
    Ask([(Mac, u64); 2]),
}

impl Witness {
    pub(super) fn new(address: IpAddr) -> Self {
        Self {
            address,
            mac: None,
            pinned: false,
            asked: None,
            answered: None,
            unanswered: 0,
            numbered: VecDeque::new(),
            unheard: 0,
            sounds: false,
            trial: None,
            trials: 0,
        }
    }

    /// The known MAC answered.
    pub(super) fn answered(&mut self, mac: Mac, now: Instant) {
        (self.mac, self.answered, self.unanswered) = (Some(mac), Some(now), 0);
    }

    /// Somebody answers that the witness is at `mac`.
    pub(super) fn named(&mut self, mac: Mac, now: Instant) -> Named {
        let open = self.asked.is_some_and(|at| now.duration_since(at) < ANSWER);
        if !(open || self.trial.is_some() || !self.numbered.is_empty()) {
            return Named::Nothing;
        }
        if let Some(trial) = &mut self.trial {
            trial.known |= self.mac == Some(mac);
            trial.answered |= trial.candidate == mac;
        }
        let Some(known) = self.mac.filter(|known| *known != mac) else {
            self.answered(mac, now);
            return Named::Known;
        };
        if self.pinned || self.trial.is_some() {
            return Named::Nothing;
        }
        self.trials = self.trials.wrapping_add(2);
        let spoke = self.answered.is_some_and(|at| now.duration_since(at) < TRIAL);
        self.trial =
            Some(Trial { candidate: mac, number: self.trials, began: now, known: spoke, answered: false, vouched: false });
        Named::Ask([(known, self.trials), (mac, self.trials.wrapping_add(1))])
    }

    /// An echo that asked one of the two came back.
    pub(super) fn vouched(&mut self, number: u64) {
        if let Some(trial) = &mut self.trial {
            trial.known |= number == trial.number;
            trial.vouched |= number == trial.number.wrapping_add(1);
            self.sounds |= trial.known || trial.vouched;
        }
    }

    /// When a trial is to be judged.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.trial.as_ref().and_then(|trial| trial.began.checked_add(TRIAL))
    }

    /// Judges a trial whose time is over; the MAC that was taken, if one was.
    pub(super) fn judge(&mut self, now: Instant) -> Option<Mac> {
        let trial = self.trial.take_if(|trial| now.duration_since(trial.began) >= TRIAL)?;
        // One that answers no echoes (a witness by ARP) vouches by its answer alone.
        let taken = !trial.known && !self.pinned && (trial.vouched || (trial.answered && !self.sounds));
        taken.then(|| {
            self.answered(trial.candidate, now);
            trial.candidate
        })
    }

    /// What the kernel's permanent entry says; none when there is none.
    pub(super) fn pin(&mut self, mac: Option<Mac>) {
        self.pinned = mac.is_some();
        self.mac = mac.or(self.mac);
    }

    /// An echo from a VIP went out. When several have stayed away the witness may be elsewhere: says whether to ask at once.
    pub(super) fn sounded(&mut self) -> bool {
        self.unheard = self.unheard.saturating_add(1);
        self.unheard == UNHEARD
    }

    /// One came back.
    pub(super) fn heard(&mut self) {
        (self.unheard, self.sounds) = (0, true);
        if let Some(trial) = &mut self.trial {
            trial.known = true;
        }
    }

    /// A numbered question went out now; those older than `patience` are given up.
    pub(super) fn number(&mut self, number: u64, now: Instant, patience: Duration) {
        self.numbered.retain(|(_, at)| now.duration_since(*at) <= patience);
        self.numbered.push_back((number, now));
    }

    /// Which numbered question an answer belongs to. It does not say: so to the oldest, which makes no evidence newer than it is.
    pub(super) fn numbered(&mut self) -> Option<u64> {
        self.numbered.pop_front().map(|(number, _)| number)
    }

    /// It answered within the last rounds of questions.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        self.answered.is_some_and(|at| now.duration_since(at) < ASK_AGAIN.saturating_mul(2))
    }

    /// The socket is new: ask at once.
    pub(super) fn forget_asking(&mut self) {
        (self.asked, self.answered) = (None, None);
    }

    /// Something speaks for another MAC: ask everybody.
    pub(super) fn mistrust(&mut self) {
        (self.asked, self.answered, self.unanswered) = (None, None, BROADCAST_AFTER);
    }

    /// A forged announcement must not make us ask without end.
    pub(super) fn may_ask_at_once(&self, now: Instant) -> bool {
        !self.pinned && self.asked.is_none_or(|at| now.duration_since(at) >= ASK_AT_MOST)
    }

    /// Whether to ask now, and whom: the known MAC, or (inner None) everybody.
    pub(super) fn due(&mut self, now: Instant) -> Option<Option<Mac>> {
        let wait = if self.answered.is_some() && self.unanswered == 0 { ASK_AGAIN } else { ASK_MISSING };
        if self.asked.is_some_and(|at| now.duration_since(at) < wait) {
            return None;
        }
        self.asked = Some(now);
        self.unanswered = self.unanswered.saturating_add(1);
        Some(self.mac.filter(|_| self.unanswered <= BROADCAST_AFTER))
    }
}

/// An answer belongs to a question that is no older.
const ANSWER: Duration = Duration::from_secs(1);
/// So long the known MAC and a candidate have for their answers.
const TRIAL: Duration = Duration::from_millis(100);
/// So many VIP echoes without one coming back: the witness may be elsewhere.
const UNHEARD: u32 = 3;
/// A witness that answers is asked again after so long,
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// one that does not after so long (in whole ticks of the caller),
const ASK_MISSING: Duration = Duration::from_millis(400);
/// and on a hint at most so often.
const ASK_AT_MOST: Duration = Duration::from_millis(100);
/// After so many questions to the known MAC everybody is asked.
const BROADCAST_AFTER: u32 = 2;

#[cfg(test)]
#[path = "witness_tests.rs"]
mod tests;
