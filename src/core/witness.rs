//! Own reachability, and the answers of each witness to each kind of echo.

use alloc::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::bite::{self, Clause};
use super::meaning;
use super::pace::{Before, NEEDED, OVERDUE, Pace};
use super::proof::Away;
use super::settings::WitnessSettings;
use super::time::{Mono, Span};
use crate::prelude::*;

/// So many answered echoes are remembered, to be set against missing ones of another kind.
const PASSED_KEPT: usize = 32;
/// Negative controls that must stay away in a row: at 30 % loss fewer would not tell a register from bad luck.
pub const AWAY_ENOUGH: u32 = 8;
/// The same for a witness that was seen to answer to the sender: it is believed again only by what 60 % loss does not bring about.
pub const AWAY_AGAIN: u32 = 64;
/// So many negative controls may still come back late.
const CONTROLS_KEPT: usize = 16;

/// Echoes of one kind to one witness: which are on their way, which was answered last.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Series {
    #[serde(serialize_with = "meaning::own")]
    pending: VecDeque<(u64, Mono)>,
    /// The send time of the newest echo that was answered in time.
    pub answered: Option<Mono>,
    /// When that answer came.
    pub answered_at: Option<Mono>,
    /// Echoes in a row that stayed unanswered since then.
    pub missed: u32,
    /// The send time of the first of those.
    pub missed_since: Option<Mono>,
    /// The last round trip.
    #[serde(serialize_with = "meaning::nothing")]
    pub rtt: Option<Span>,
    /// The send times of the newest echoes that were answered in time.
    passed: VecDeque<Mono>,
    /// When the last one went out.
    pub last: Option<Mono>,
    /// The send time of the first one after which none stayed away.
    unbroken: Option<Mono>,
    /// How many came back in time.
    #[serde(default)]
    came: u64,
    /// How many stayed away.
    #[serde(default)]
    lost: u64,
    /// How often one came back after one that was sent before it, and behind the last answered one, had stayed away.
    #[serde(default)]
    returned: u64,
    /// One that was sent behind the last answered one stayed away.
    #[serde(default)]
    gap: bool,
}

impl Series {
    /// An echo went out.
    pub fn send(&mut self, now: Mono, number: u64) {
        self.pending.push_back((number, now));
        self.last = Some(now);
        self.unbroken.get_or_insert(now);
    }

    /// The last one, as of now; `period` is that of the fast rate.
    pub fn before(&self, now: Mono, period: Span) -> Before {
        let overdue = self.missed > 0 || self.pending.front().is_some_and(|(_, sent)| now >= *sent + period * OVERDUE);
        let needed = self.answered.is_some_and(|at| now.since(at) >= period * NEEDED);
        Before { last: self.last, overdue, needed }
    }

    /// How many came back in time, how many stayed away, and how often one came back after some had stayed away, in all.
    pub fn counted(&self) -> [u64; 3] {
        [self.came, self.lost, self.returned]
    }

    /// Since when none has stayed away.
    pub fn unbroken_since(&self) -> Option<Mono> {
        self.unbroken
    }

    /// Counts those that can no longer be answered in time.
    pub fn expire(&mut self, now: Mono, delivery: Span) {
        let delivery = if bite::off(Clause::LateAnswersCount) { delivery * 20 } else { delivery };
        while let Some((_, sent)) = self.pending.front()
            && now.since(*sent) > delivery
        {
            self.missed = self.missed.saturating_add(1);
            self.lost = self.lost.saturating_add(1);
            self.gap |= self.answered.is_some_and(|at| *sent > at);
            self.missed_since.get_or_insert(*sent);
            self.unbroken = None;
            self.pending.pop_front();
        }
    }

    /// An answer came. Returns the echo's send time when it was in time.
    pub fn answer(&mut self, now: Mono, number: u64, delivery: Span) -> Option<Mono> {
        self.expire(now, delivery);
        let index = self.pending.iter().position(|(n, _)| *n == number)?;
        let (_, sent) = self.pending.remove(index)?;
        let (before, older) = (self.answered.unwrap_or_default(), |(_, at): &(u64, Mono)| *at < sent);
        self.gap |= self.pending.iter().any(|other| older(other) && other.1 > before);
        if self.answered.is_none_or(|a| sent > a) {
            self.answered = Some(sent);
            self.answered_at = Some(now);
        }
        self.returned = self.returned.saturating_add(u64::from(core::mem::take(&mut self.gap)));
        self.missed = 0;
        self.came = self.came.saturating_add(1);
        self.missed_since = None;
        self.rtt = Some(now.since(sent));
        if self.passed.len() == PASSED_KEPT {
            self.passed.pop_front();
        }
        self.passed.push_back(sent);
        Some(sent)
    }

    /// How often running this kind of echo stayed away while `own` echoes passed (SAFETY R4.4, R5). Each missing echo is set
    /// against one that passed: where the dice of a lossy network take most of both kinds, missing ones alone prove nothing.
    pub fn missed_against(&self, own: &Series) -> u32 {
        let Some(since) = self.missed_since else { return 0 };
        let passed = own.passed.iter().filter(|sent| **sent >= since).count();
        self.missed.min(u32::try_from(passed).unwrap_or(u32::MAX))
    }

    /// Forgets what is on its way: after a gap nothing of it counts.
    pub fn void(&mut self) {
        self.pending.clear();
        self.unbroken = None;
        self.missed = 0;
        self.missed_since = None;
    }

    /// When the oldest on its way will count as missed.
    pub fn deadline(&self, delivery: Span) -> Option<Mono> {
        self.pending.front().map(|(_, sent)| *sent + delivery + Span(1))
    }
}

/// The newest time that a majority has reached: the majority-th newest of the witnesses' own.
pub fn majority_time(times: impl Iterator<Item = Option<Mono>>, majority: usize) -> Option<Mono> {
    let mut all: Vec<Mono> = times.flatten().collect();
    all.sort_unstable_by(|a, b| b.cmp(a));
    all.get(majority.checked_sub(1)?).copied()
}

/// One witness.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Target {
    /// Echoes from the node's own address.
    pub own: Series,
    /// Answers in a row.
    #[serde(serialize_with = "meaning::row")]
    pub streak: u32,
    /// The judgement, with hysteresis.
    pub reachable: bool,
    /// Its last way back, at the fast rate, broke off: the next one is tried at the slow rate, which may be all that it bears.
    slowly: bool,
    /// Its neighbour table is a register: VIP-sourced echoes come back to the one whom it names (SAFETY R2, negative control).
    pub register: bool,
    /// Whether it bears the fast rate.
    pub pace: Pace,
    /// The newest negative controls that did not come back, with their send times.
    controls: VecDeque<(u64, Mono)>,
    /// Negative controls in a row that stayed away while an echo from the own address passed.
    pub away: u32,
    /// Echoes in the peer's own name: none may come back, whatever the table says of the VIP.
    #[serde(default)]
    pub inquiries: Away,
}

impl Target {
    /// So many negative controls stayed away that its table is known to be a register.
    fn proven_register(&self) -> bool {
        self.away >= if self.register { AWAY_ENOUGH } else { AWAY_AGAIN }
    }
}

/// The witnesses, and the own public side.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Witness {
    /// Each target.
    pub targets: Vec<Target>,
    /// The public carrier.
    pub carrier: bool,
    /// A majority is reachable, and there is carrier. With hysteresis.
    pub reachable: bool,
    /// When the next own echoes go out.
    pub next: Mono,
    /// They were put off by half an echo period.
    pub put_off: bool,
    /// Losses of the public side not long ago: each lengthens the time of stability before a failback (SAFETY R9).
    pub losses: VecDeque<Mono>,
    /// Silence of a witness is not counted from before this: a gap of my own (SAFETY R10).
    pub floor: Mono,
    /// When the interface lost its carrier or the majority went away.
    pub lost_at: Option<Mono>,
}

impl Witness {
    /// What controls and trials have shown of the targets: two bits each, whether its table is a register and whether it is asked slowly alone.
    pub fn shown(&self) -> u64 {
        let bits = |t: &Target| u64::from(t.register) | u64::from(t.pace.slow_only()) << 1;
        self.targets.iter().fold(0, |all, t| all << 2 | bits(t))
    }

    /// Nothing known yet.
    pub fn new(settings: &WitnessSettings, now: Mono) -> Witness {
        let target = |target| Target {
            own: Series::default(),
            streak: 0,
            reachable: false,
            slowly: false,
            register: settings.is_register(target),
            pace: Pace::default(),
            controls: VecDeque::new(),
            away: 0,
            inquiries: Away::default(),
        };
        Witness {
            targets: (0..usize::from(settings.targets)).map(target).collect(),
            carrier: false,
            reachable: false,
            next: now,
            put_off: false,
            losses: VecDeque::new(),
            floor: now,
            lost_at: None,
        }
    }

    /// A negative control goes out. One that does not come back may have been lost: only several in a row, each while an echo
    /// from the own address passed, say that the table is a register. Returns which witnesses count again.
    pub fn control_sent(&mut self, now: Mono, number: u64, settings: &WitnessSettings) -> Vec<usize> {
        let mut news = Vec::new();
        for (target, t) in self.targets.iter_mut().enumerate().filter(|(target, _)| settings.is_register(*target)) {
            if t.controls.back().is_some_and(|(_, sent)| t.own.answered.is_some_and(|at| at >= *sent)) {
                t.away = t.away.saturating_add(1);
                if t.proven_register() && !core::mem::replace(&mut t.register, true) {
                    news.push(target);
                }
            }
            if t.controls.len() == CONTROLS_KEPT {
                t.controls.pop_front();
            }
            t.controls.push_back((number, now));
        }
        news
    }

    /// So many negative controls stayed away from every witness that they may be rare.
    pub fn controlled(&self, settings: &WitnessSettings) -> bool {
        self.targets.iter().enumerate().all(|(target, t)| t.proven_register() || !settings.is_register(target))
    }

    /// The table may name this node from now on: negative controls on their way prove nothing.
    pub fn controls_end(&mut self) {
        self.targets.iter_mut().for_each(|t| t.controls.clear());
    }

    /// A negative control came back, however late: until many have stayed away, this witness proves nothing. Returns whether
    /// that is news.
    pub fn control_back(&mut self, target: usize, number: u64) -> bool {
        let Some(t) = self.targets.get_mut(target) else { return false };
        let Some(index) = t.controls.iter().position(|(n, _)| *n == number) else { return false };
        t.controls.remove(index);
        t.away = 0;
        core::mem::replace(&mut t.register, false)
    }

    /// After a gap of my own: what is on its way no longer counts, and neither does the silence so far.
    pub fn void(&mut self, now: Mono) {
        self.floor = now;
        self.next = now;
        for target in &mut self.targets {
            target.own.void();
        }
    }

    /// An echo from the own address was answered.
    pub fn answered(&mut self, now: Mono, target: usize, number: u64, settings: &WitnessSettings, delivery: Span) {
        let Some(t) = self.targets.get_mut(target) else { return };
        if !t.pace.answered(now, number, delivery) && t.own.answer(now, number, delivery).is_some() {
            t.streak = t.streak.saturating_add(1);
            if t.streak >= settings.rise || bite::off(Clause::NoHysteresis) {
                t.reachable = true;
            }
        }
    }

    /// Judges again; returns whether the judgement of the whole changed.
    pub fn review(&mut self, now: Mono, settings: &WitnessSettings, delivery: Span) -> bool {
        let limit = if bite::off(Clause::NoHysteresis) { settings.interval + delivery } else { settings.witness_time(delivery) };
        for t in &mut self.targets {
            t.own.expire(now, delivery);
            t.inquiries.review(now, &t.own, delivery);
            if t.own.missed > 0 {
                t.slowly ^= t.streak > 0 && !t.reachable;
                t.streak = 0;
            }
            if t.reachable && now.since(t.own.answered.unwrap_or_default().max(self.floor)) > limit {
                t.reachable = false;
            }
        }
        let count = self.targets.iter().filter(|t| t.reachable).count();
        let reachable = self.carrier && count >= settings.majority();
        if reachable == self.reachable {
            return false;
        }
        self.reachable = reachable;
        if reachable {
            self.lost_at = None;
        } else {
            self.lost_at = Some(now);
            self.note_loss(now);
        }
        true
    }

    fn note_loss(&mut self, now: Mono) {
        self.losses.push_back(now);
        if self.losses.len() > 8 {
            self.losses.pop_front();
        }
    }

    /// The interface lost or got its carrier. Lost carrier counts at once.
    pub fn set_carrier(&mut self, up: bool, now: Mono) {
        let lost = core::mem::replace(&mut self.carrier, up) && !up;
        if lost && !self.reachable {
            // A cable that flaps faster than a witness comes back is no better than one that flaps slowly.
            self.note_loss(now);
        }
        if !up {
            for t in &mut self.targets {
                t.reachable = false;
                t.streak = 0;
                t.own.void();
            }
        }
    }

    /// The newest echo from the own address that a majority answered.
    pub fn own_time(&self, settings: &WitnessSettings) -> Option<Mono> {
        majority_time(self.targets.iter().map(|t| t.own.answered), settings.majority())
    }

    /// Something is in doubt: a judged-reachable target misses, or one is on its way back.
    pub fn doubt(&self) -> bool {
        let doubtful = |t: &Target| if t.reachable { t.own.missed > 0 } else { t.streak > 0 && !t.slowly };
        self.targets.iter().any(doubtful)
    }

    /// When the judgement may change by itself.
    pub fn deadline(&self, settings: &WitnessSettings, delivery: Span) -> Option<Mono> {
        let limit = settings.witness_time(delivery);
        let lapse = self
            .targets
            .iter()
            .filter(|t| t.reachable)
            .map(|t| t.own.answered.unwrap_or_default().max(self.floor) + limit + Span(1));
        let miss = self.targets.iter().filter_map(|t| t.own.deadline(delivery));
        lapse.chain(miss).min()
    }
}
