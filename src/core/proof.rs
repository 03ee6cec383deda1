//! What shows that a witness's table is a register, before a challenge writes into it (SAFETY R4.4 †): negative controls of the
//! claim's own, and echoes in the peer's own name.
//!
//! An unwritten VIP-sourced echo comes back from a register only when its entry names this node, and from a witness that answers
//! to the sender always. To tell the two apart the entry is given to another MAC, and the control repeated. An echo in the peer's
//! name comes back from no register; where the network lets none pass it shows nothing.

use alloc::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::bite::{self, Clause};
use super::deadlines::Due;
use super::id::{GroupId, Mac, WitnessId};
use super::io::{EchoKind, Output};
use super::node::Node;
use super::pace::Before;
use super::shared::Shared;
use super::time::{Mono, Span};
use super::timer::Timer;
use super::witness::{AWAY_AGAIN, AWAY_ENOUGH, Series, Target};
use crate::prelude::*;

/// Where a limit on echoes rules, a row without a gap is no luck: fewer are enough.
const AWAY_SLOWLY: u32 = 3;
/// The entry is given back so often: a frame may be lost.
const GIVE_BACKS: u32 = 4;
/// So far apart: a witness that is slow to take it has its time. (Linux takes a question to itself at once.)
const GIVE_BACK_GAP: Span = Span::millis(350);
/// What a control has shown is good for so long.
const AGE: Span = Span::secs(1);
/// So many on their way are remembered.
const KEPT: usize = 64;
/// Between two controls once the peer has been silent for long.
const SELDOM: Span = Span::millis(500);
/// Nobody's MAC, locally administered: where the entry goes when nobody is known to be the owner.
const NOBODY: Mac = Mac([0x02, 0x74, 0x62, 0, 0, 0x01]);

/// Echoes to one witness that must not come back.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Away {
    pending: VecDeque<(u64, Mono)>,
    /// The first and the last number of this row.
    row: Option<(u64, u64)>,
    /// When the last one went out.
    last: Option<Mono>,
    /// Number and send time of the newest one that stayed away.
    counted: Option<(u64, Mono)>,
    /// So many in a row have stayed away, each while an echo from the own address passed.
    pub count: u32,
}

impl Away {
    /// One goes out. After a pause of more than `pause` the row begins anew.
    pub fn send(&mut self, now: Mono, number: u64, pause: Span) {
        if self.last.is_none_or(|at| now.since(at) > pause) {
            self.anew();
        }
        if self.pending.len() == KEPT {
            self.pending.pop_front();
        }
        self.pending.push_back((number, now));
        self.row = Some((self.row.map_or(number, |(first, _)| first), number));
        self.last = Some(now);
    }

    /// Counts those that had their time, and by whose time an echo from the own address passed.
    pub fn review(&mut self, now: Mono, own: &Series, delivery: Span) {
        while let Some((_, sent)) = self.pending.front()
            && now.since(*sent) > delivery
            && own.answered.is_some_and(|at| at >= *sent)
        {
            self.counted = self.pending.pop_front();
            self.count = self.count.saturating_add(1);
        }
    }

    /// Whether one that came back belongs to this row, however late it is.
    pub fn knows(&self, number: u64) -> bool {
        self.row.is_some_and(|(first, last)| (first..=last).contains(&number))
    }

    /// How many of this row went out.
    fn asked(&self) -> usize {
        self.pending.len().saturating_add(self.count as usize)
    }

    /// When the last one went out.
    pub fn last(&self) -> Option<Mono> {
        self.last
    }

    /// The send time of the newest one that stayed away.
    pub fn newest(&self) -> Option<Mono> {
        self.counted.map(|(_, sent)| sent)
    }

    /// Something is written: those on their way may be overtaken by the write and come back.
    pub fn end(&mut self) {
        self.pending.clear();
        self.row = self.row.zip(self.counted).map(|((first, _), (last, _))| (first, last));
    }

    /// The row begins anew: what is still on its way belongs to none.
    pub fn anew(&mut self) {
        *self = Away { last: self.last, ..Away::default() };
    }

    /// When the oldest on its way will have had its time.
    pub fn deadline(&self, delivery: Span) -> Option<Mono> {
        self.pending.front().map(|(_, sent)| *sent + delivery + Span(1))
    }
}

/// The controls of one claim to one witness.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Asked {
    away: Away,
    /// One came back, and the entry was not yet given back for it.
    back: bool,
    gave_back: u32,
    /// When it was given back last.
    #[serde(default)]
    given: Option<Mono>,
    /// They come back although the entry was given back, or echoes in the peer's name do.
    refused: bool,
}

/// The proof of one claim.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Proof {
    asked: Vec<Asked>,
    next: Mono,
    /// When the first control went out.
    since: Option<Mono>,
}

/// How far it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Proven {
    /// Not yet.
    NotYet,
    /// These witnesses' tables are registers, and they are a majority.
    Registers(Vec<bool>),
    /// No majority can be shown.
    Never,
}

impl Proof {
    /// Sends what is due and counts what stayed away; `seldom` when the peer has been silent for long; `owner` is where the entry
    /// belongs, if that is known.
    pub fn step(&mut self, group: GroupId, owner: Option<Mac>, seldom: bool, cx: &mut Shared, now: Mono) {
        let delivery = cx.settings.timing.delivery;
        self.asked.resize_with(cx.witness.targets.len(), Asked::default);
        if !cx.witness.reachable {
            return;
        }
        let period = self.period(seldom, cx);
        if now >= self.next {
            let lasts: Vec<Option<Mono>> = self.asked.iter().map(|a| a.away.last).collect();
            let (number, asked) = cx.echo_all(
                EchoKind::Control(group),
                |target| Before { last: lasts.get(target).copied().flatten(), ..Before::default() },
                now,
            );
            for (_, a) in self.asked.iter_mut().enumerate().filter(|(target, _)| asked.contains(target)) {
                a.away.send(now, number, AGE + cx.settings.witness.interval);
            }
            cx.echoed = true;
            self.since.get_or_insert(now);
            self.next = now + cx.dithered(EchoKind::Control(group), now, period);
        }
        for ((i, a), w) in (0u8..).zip(&mut self.asked).zip(&cx.witness.targets) {
            a.away.review(now, &w.own, delivery);
            // The entry is taken from nobody where echoes in the peer's name come back: they have their time first.
            let next = a.given.map_or(Mono::ZERO, |at| at + GIVE_BACK_GAP);
            if a.back && now >= next && w.inquiries.count >= enough(w) {
                a.back = false;
                a.given = Some(now);
                a.gave_back = a.gave_back.saturating_add(1);
                a.away.anew();
                cx.out.push_back(Output::GiveBack { group, witness: WitnessId(i), to: owner.unwrap_or(NOBODY) });
            }
        }
        self.believe_again(cx);
    }

    /// Between two controls. The first ones are close together: where the owner's gate has just closed the challenge waits for them.
    pub(super) fn period(&self, seldom: bool, cx: &Shared) -> Span {
        let period = cx.settings.timing.echo_period();
        let young = || self.asked.iter().any(|a| !a.refused && a.away.asked() < AWAY_ENOUGH as usize);
        match seldom {
            true => SELDOM,
            false if young() => period / 2,
            false => period,
        }
    }

    /// When something is due: a control, one that has had its time, the entry that is given back again.
    pub(super) fn deadlines(&self, cx: &Shared, due: &mut Due) {
        let Proof { asked, next, since } = self;
        due.at(since.map(|at| at + patience(cx) + Span(1)), Timer::Control);
        if !cx.witness.reachable {
            return;
        }
        due.at(*next, Timer::Control);
        for Asked { away, back, given, gave_back: _, refused: _ } in asked {
            due.at(away.deadline(cx.settings.timing.delivery), Timer::Control);
            due.at(given.filter(|_| *back).map(|at| at + GIVE_BACK_GAP), Timer::Control);
        }
    }

    /// A witness that was struck off counts again when so many stay away as no loss of a network explains.
    fn believe_again(&self, cx: &mut Shared) {
        for (i, _) in self.asked.iter().enumerate().filter(|(_, a)| !a.refused && a.away.count >= AWAY_AGAIN) {
            let register = cx.settings.witness.is_register(i);
            if cx.witness.targets.get_mut(i).is_some_and(|w| register && !core::mem::replace(&mut w.register, true)) {
                cx.counts_again(i);
            }
        }
    }

    /// A control came back. Says whether it was one of these.
    pub fn came_back(&mut self, target: usize, number: u64) -> bool {
        let Some(a) = self.asked.get_mut(target).filter(|a| a.away.knows(number)) else { return false };
        a.away.anew();
        a.back = true;
        a.refused |= a.gave_back >= GIVE_BACKS;
        true
    }

    /// An echo in the peer's name came back: this witness answers to the sender.
    pub fn refuse(&mut self, target: usize) {
        if let Some(a) = self.asked.get_mut(target) {
            a.refused = true;
        }
    }

    /// A challenge begins: no more controls.
    pub fn end(&mut self) {
        self.asked.iter_mut().for_each(|a| a.away.end());
    }

    /// Whether a control that came back belongs to it.
    pub fn knows(&self, target: usize, number: u64) -> bool {
        self.asked.get(target).is_some_and(|a| a.away.knows(number))
    }

    /// How far it is.
    pub fn proven(&self, cx: &Shared, now: Mono) -> Proven {
        let settings = &cx.settings.witness;
        if bite::off(Clause::WriteUnproven) {
            return Proven::Registers(vec![true; cx.witness.targets.len()]);
        }
        let (mut good, mut open) = (vec![false; cx.witness.targets.len()], 0_usize);
        for (i, (g, w)) in good.iter_mut().zip(&cx.witness.targets).enumerate().filter(|(i, _)| settings.is_register(*i)) {
            let Some(a) = self.asked.get(i).filter(|a| !a.refused && w.register) else { continue };
            let fresh = a.away.last.is_some_and(|at| now.since(at) <= AGE + settings.interval);
            if fresh && a.away.count >= enough(w) && !a.back {
                *g = true;
            } else if w.reachable {
                open = open.saturating_add(1);
            }
        }
        let waited = self.since.is_some_and(|at| now.since(at) > patience(cx));
        let count = good.iter().filter(|g| **g).count();
        if count >= settings.register_majority() && (open == 0 || waited) {
            Proven::Registers(good)
        } else if self.asked.iter().any(|a| a.refused) && count.saturating_add(open) < settings.register_majority() {
            Proven::Never
        } else {
            Proven::NotYet
        }
    }
}

/// So long a proof waits for witnesses that are no part of the majority.
fn patience(cx: &Shared) -> Span {
    (cx.settings.timing.echo_period() * u64::from(AWAY_ENOUGH) + cx.settings.timing.delivery) * 2
}

/// So many in a row show something.
fn enough(witness: &Target) -> u32 {
    if witness.pace.slow_only() { AWAY_SLOWLY } else { AWAY_ENOUGH }
}

impl Shared {
    /// When the next echo in the peer's name goes out: not before a witness bears it. None while none are wanted, or there is no register.
    fn next_inquiry(&self) -> Option<Mono> {
        let (period, settings) = (self.inquire.filter(|_| self.witness.carrier)?, &self.settings.witness);
        let registers = || self.witness.targets.iter().enumerate().filter(|(i, _)| settings.is_register(*i)).map(|(_, t)| t);
        let last = registers().filter_map(|t| t.inquiries.last).max();
        let next = last.map_or(Mono::ZERO, |at| at + self.dithered(EchoKind::Inquiry, at, period));
        registers().map(|t| t.pace.bears_from(t.inquiries.last, settings)).min().map(|borne| borne.max(next))
    }

    /// What is waited for there.
    pub(super) fn inquiry_deadlines(&self, due: &mut Due) {
        due.at(self.next_inquiry(), Timer::Inquiry);
        for t in &self.witness.targets {
            due.at(t.inquiries.deadline(self.settings.timing.delivery), Timer::Inquiry);
        }
    }
}

impl Node {
    /// Echoes in the peer's own name, as often as a claim wants them: from a witness that answers to the sender they come back,
    /// whoever asks and whomever its table names (SAFETY R4.4 †).
    pub(super) fn inquiries(&mut self, now: Mono) {
        let cx = &mut self.cx;
        if cx.next_inquiry().is_some_and(|at| now >= at) {
            let lasts: Vec<Option<Mono>> = cx.witness.targets.iter().map(|t| t.inquiries.last).collect();
            let (number, asked) = cx.echo_all(
                EchoKind::Inquiry,
                |target| Before { last: lasts.get(target).copied().flatten(), ..Before::default() },
                now,
            );
            for (_, t) in cx.witness.targets.iter_mut().enumerate().filter(|(target, _)| asked.contains(target)) {
                t.inquiries.send(now, number, AGE + cx.settings.witness.interval);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELIVERY: Span = Span::millis(50);

    fn at(ms: u64) -> Mono {
        Mono::ZERO + Span::millis(ms)
    }

    #[test]
    fn only_what_an_own_echo_outlived_has_stayed_away() {
        let (mut away, mut own) = (Away::default(), Series::default());
        for n in 0..4 {
            away.send(at(10 * n), n, AGE);
        }
        away.review(at(200), &own, DELIVERY);
        assert_eq!(away.count, 0, "the witness answers nothing at all");
        own.send(at(15), 0);
        own.answer(at(16), 0, DELIVERY);
        away.review(at(60), &own, DELIVERY);
        assert_eq!(away.count, 1, "the second one has its time until 60 ms and a moment");
        away.review(at(200), &own, DELIVERY);
        assert_eq!(away.count, 2, "two were sent before the own echo that passed");
    }

    #[test]
    fn a_row_knows_its_own_however_late_and_none_from_before_a_pause() {
        let mut away = Away::default();
        away.send(at(0), 7, AGE);
        away.send(at(10), 9, AGE);
        assert!(away.knows(7) && away.knows(9) && !away.knows(10));
        away.send(at(2_000), 12, AGE);
        assert!(!away.knows(9) && away.knows(12));
        away.anew();
        assert!(!away.knows(12));
    }
}
