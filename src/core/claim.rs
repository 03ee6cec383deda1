//! What must hold before a silent peer's group is claimed, as a checklist with reasons (SAFETY R4).
//!
//! Gathered while the peer is only suspected, so that at `dead` the claim is immediate. Nothing here claims by time alone.

use core::fmt;

use serde::{Deserialize, Serialize};

use super::bite::{self, Clause};
use super::id::Mac;
use super::settings::{PROBE_COUNT, PROBE_GAP, Timing};
use super::time::{Mono, Span};
use super::witness::{Series, majority_time};
use crate::prelude::*;

/// Pairs of echoes, own answered and VIP not, that break a challenge: at 30 % loss fewer would break true ones.
pub const BROKEN_AFTER: u32 = 8;
/// Echoes without any coming back after as many writes: the entry is pinned, or the write is filtered.
const NEVER_TOOK_AFTER: u32 = 32;
/// The longest stand-down.
const STAND_DOWN_MAX: Span = Span::secs(60);

/// A point of the checklist that is open.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Open {
    /// The peer was heard a moment ago.
    PeerAlive(Span),
    /// It is silent, not yet long enough: so much is missing.
    NotSilentLongEnough(Span),
    /// No public carrier here.
    NoCarrier,
    /// The witness does not answer this node.
    WitnessDark,
    /// Somebody answers for the address.
    AddressAnswered(Mac),
    /// The address is still being probed.
    Probing,
    /// The challenge has not begun.
    NotChallenged,
    /// It runs.
    ChallengeRunning,
    /// It was broken: the owner lives. Waiting before the next one.
    StandingDown(Span),
    /// The witness's table did not take the write.
    NeverTook,
    /// The epoch is not yet on disk.
    EpochNotDurable,
    /// Something is still being stopped here.
    StillStopping,
    /// The services did not start here a moment ago.
    NotEligible,
    /// The peer's file differs in what the claim would rest on.
    FilesDiffer(String),
    /// The peer is not turned off yet: how that stands, in words.
    NotFenced(String),
    /// This node lets the other one turn its peer off first.
    FenceWaits(Span),
    /// A challenge of another group met the peer.
    PeerServes,
    /// It has never heard its peer, and turns off nobody.
    FenceUnmet,
}

impl fmt::Display for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Open::PeerAlive(ago) => write!(f, "the peer lives, heard {ago} ago"),
            Open::NotSilentLongEnough(left) => write!(f, "the peer is silent, but not yet long enough: {left} missing"),
            Open::NoCarrier => f.write_str("no carrier on the public side here"),
            Open::WitnessDark => f.write_str("the witness does not answer this node"),
            Open::AddressAnswered(mac) => write!(f, "{mac} answers for the address"),
            Open::Probing => f.write_str("the address is being probed"),
            Open::NotChallenged => f.write_str("the witness's table was not challenged yet"),
            Open::ChallengeRunning => f.write_str("the challenge in the witness's table has not stood long enough"),
            Open::StandingDown(left) => write!(f, "a challenge was broken, the owner lives: next one in {left}"),
            Open::NeverTook => f.write_str("the witness's table does not take this node's entry: fencing would be needed"),
            Open::EpochNotDurable => f.write_str("the next epoch is not on disk"),
            Open::StillStopping => f.write_str("a service is still being stopped here"),
            Open::NotEligible => f.write_str("the services did not start here"),
            Open::FilesDiffer(what) => f.write_str(what),
            Open::NotFenced(how) => write!(f, "the peer is not known to be off: {how}"),
            Open::FenceWaits(left) => write!(f, "the other node goes first in turning its peer off: {left} left"),
            Open::PeerServes => f.write_str("the peer lives and serves another group: it is not turned off for this one"),
            Open::FenceUnmet => f.write_str(
                "the peer was never heard since this daemon's start, so it is not turned off: make sure that it is off, then `twinbeat fenced`",
            ),
        }
    }
}

/// Probing the LAN for the address: 3 of them, 20 ms apart, unanswered.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Probes {
    /// When the last ones in a row without an answer went out, newest last.
    quiet: Vec<Mono>,
    /// When the last one went out.
    last: Option<Mono>,
    /// Who answered, and when.
    pub answered: Option<(Mac, Mono)>,
}

impl Probes {
    /// One goes out.
    pub fn send(&mut self, now: Mono) {
        self.last = Some(now);
        // One more than is needed: the newest may still be answered.
        if self.quiet.len() > PROBE_COUNT as usize {
            self.quiet.remove(0);
        }
        self.quiet.push(now);
    }

    /// Somebody answered: the row begins anew. Before the first question it was an answer to somebody else's, or to one that was asked
    /// for another reason while the owner had every right to answer; three questions are to come.
    pub fn answer(&mut self, now: Mono, by: Mac) {
        if self.last.is_none() {
            return;
        }
        self.answered = Some((by, now));
        self.quiet.clear();
    }

    /// The third newest of those that had their time to be answered.
    fn third(&self, now: Mono) -> Option<Mono> {
        let timely: Vec<Mono> = self.quiet.iter().copied().filter(|at| now.since(*at) >= PROBE_GAP).collect();
        timely.len().checked_sub(PROBE_COUNT as usize).and_then(|i| timely.get(i).copied())
    }

    /// Three in a row went unanswered, the last of them at least one gap ago.
    pub fn unanswered(&self, now: Mono) -> bool {
        self.third(now).is_some()
    }

    /// As [`unanswered`](Self::unanswered), and all of them within the last moments.
    pub fn unanswered_lately(&self, now: Mono) -> bool {
        self.third(now).is_some_and(|at| now.since(at) <= PROBE_GAP * 6)
    }

    /// When the next one may go out.
    pub fn next(&self, gap: Span) -> Mono {
        self.last.map_or(Mono::ZERO, |at| at + gap)
    }
}

/// A challenge at one witness.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Register {
    /// VIP-sourced echoes to it.
    pub echoes: Series,
    /// When its table was written last.
    pub written: Option<Mono>,
    /// From when the standing counts: the receipt of the first echo, at the earliest `delivery` after the last write.
    pub start: Option<Mono>,
    /// The send time of the newest echo that came back after long enough.
    pub stood: Option<Mono>,
    /// The same of the first one.
    #[serde(default)]
    pub stood_first: Option<Mono>,
    /// An echo in the peer's name that was sent after that stayed away: the table was a register all the while.
    #[serde(default)]
    pub shown: bool,
    /// The entry was taken back: the owner lives.
    pub broken: bool,
    /// No write was ever taken.
    pub never_took: bool,
}

impl Register {
    /// An echo of the challenge came back.
    pub fn answered(&mut self, now: Mono, number: u64, needed: Span, timing: &Timing) {
        let Some(sent) = self.echoes.answer(now, number, timing.delivery) else { return };
        match self.start {
            None if bite::off(Clause::ChallengeCountsEarly) => self.start = Some(now),
            None => self.start = Some(now.max(self.written.map_or(now, |at| at + timing.delivery))),
            Some(start) if sent >= start + needed => {
                self.stood_first.get_or_insert(sent);
                self.stood = self.stood.max(Some(sent));
            }
            Some(_) => {}
        }
    }

    /// Compares with the echoes from the own address; `away` is the send time of the newest one in the peer's name that stayed away.
    pub fn review(&mut self, now: Mono, own: &Series, away: Option<Mono>, timing: &Timing) {
        self.shown |= self.stood_first.is_some_and(|at| away >= Some(at)) || bite::off(Clause::NoInquiry);
        self.echoes.expire(now, timing.delivery);
        let pairs = self.echoes.missed_against(own);
        if self.start.is_some() {
            let enough = if bite::off(Clause::ChallengeBrokenByOne) { 1 } else { BROKEN_AFTER };
            self.broken |= pairs >= enough && !bite::off(Clause::ChallengeNeverBroken);
        } else {
            self.never_took |= pairs >= NEVER_TOOK_AFTER;
        }
    }
}

/// Writing VIP -> my MAC into the witnesses' tables without serving, to see whether anybody objects.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Challenge {
    /// Each witness has its own start.
    pub registers: Vec<Register>,
    /// How long it must stand: the longest lease the peer announced, x r, + slack.
    pub needed: Span,
    /// When the next echoes go out.
    pub next: Mono,
    /// When it began.
    #[serde(default)]
    pub since: Mono,
}

/// How a challenge goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It runs.
    Running,
    /// It stood; the value is the time of the ground that it gives.
    Stood(Mono),
    /// The owner lives.
    Broken,
    /// No witness took the write.
    NeverTook,
}

impl Challenge {
    /// Begins one at the witnesses whose tables were shown to be registers.
    pub fn new(now: Mono, shown: &[bool], needed: Span) -> Challenge {
        let registers = shown.iter().map(|good| Register { never_took: !good, ..Register::default() }).collect();
        Challenge { registers, needed, next: now, since: now }
    }

    /// How long it may run without a verdict: four times what it must stand, and at the slow rate as many echoes as a verdict takes.
    pub fn limit(&self, interval: Span) -> Span {
        self.needed * 4 + interval * u64::from(NEVER_TOOK_AFTER.saturating_add(BROKEN_AFTER))
    }

    /// Something was written already.
    pub fn written(&self) -> bool {
        self.registers.iter().any(|r| r.written.is_some())
    }

    /// A majority stood, though it is not yet shown that all of them were registers to the end.
    pub fn stands(&self, majority: usize) -> bool {
        majority_time(self.registers.iter().map(|r| if r.broken || r.never_took { None } else { r.stood }), majority).is_some()
    }

    /// Whether a majority stood, or no majority can any more.
    pub fn verdict(&self, majority: usize) -> Verdict {
        let majority = if bite::off(Clause::ChallengeWithoutMajority) { 1 } else { majority };
        if bite::off(Clause::ClaimUnchallenged) {
            return Verdict::Stood(self.next);
        }
        if let Some(at) =
            majority_time(self.registers.iter().map(|r| r.stood.filter(|_| r.shown && !r.broken && !r.never_took)), majority)
        {
            return Verdict::Stood(at);
        }
        let taken_back = self.registers.iter().filter(|r| r.broken).count();
        let dull = self.registers.iter().filter(|r| r.never_took).count();
        if self.registers.len().saturating_sub(taken_back.saturating_add(dull)) >= majority {
            Verdict::Running
        } else if taken_back > 0 {
            Verdict::Broken
        } else if bite::off(Clause::NeverTookClaims) {
            Verdict::Stood(self.next)
        } else {
            Verdict::NeverTook
        }
    }
}

/// Who waits, and what its wait is drawn from.
#[derive(Clone, Copy, Debug)]
pub struct Waiter {
    /// The node's number.
    pub node: u8,
    /// The group's highest epoch.
    pub epoch: u64,
    /// It is the node that goes first.
    pub first: bool,
}

/// The wait after a broken challenge: at least as long as a challenge, doubling up to half the longest, with a share drawn from node,
/// epoch, attempt and this machine's clock; that of the node that goes first is shorter (SAFETY R5).
///
/// Two machines that both take themselves for the same node differ by their clocks alone, and two whose waits have grown to the
/// longest by that share alone.
pub fn stand_down(base: Span, tries: u32, by: Waiter, now: Mono) -> Span {
    let mut h = 0x9e37_79b9_7f4a_7c15_u64 ^ (u64::from(by.node) << 56) ^ by.epoch.rotate_left(20) ^ u64::from(tries);
    for word in [0, now.0] {
        h ^= word;
        h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        h ^= h >> 31;
    }
    let doubled = (base * (1 << tries.min(10))).min((STAND_DOWN_MAX / 2).max(base));
    let share = doubled / 1000 * (h % 500);
    let extra = if by.first { share } else { doubled / 2 + share };
    doubled + extra
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing() -> Timing {
        Timing::SECOND
    }

    fn at(ms: u64) -> Mono {
        Mono::ZERO + Span::millis(ms)
    }

    #[test]
    fn a_challenge_counts_from_delivery_after_its_last_write() {
        let mut r = Register { written: Some(at(100)), ..Register::default() };
        r.echoes.send(at(101), 1);
        r.answered(at(102), 1, Span::millis(400), &timing());
        assert_eq!(r.start, Some(at(150)));
        r.echoes.send(at(549), 2);
        r.answered(at(549), 2, Span::millis(400), &timing());
        assert_eq!(r.stood, None, "sent one millisecond too early");
        r.echoes.send(at(550), 3);
        r.answered(at(551), 3, Span::millis(400), &timing());
        assert_eq!(r.stood, Some(at(550)));
    }

    #[test]
    fn eight_echoes_missing_while_own_ones_pass_break_a_challenge_and_seven_do_not() {
        for (missing, broken) in [(7, false), (8, true)] {
            let mut r = Register { start: Some(at(0)), ..Register::default() };
            let mut own = Series::default();
            for n in 0..missing {
                r.echoes.send(at(10 * n), n);
                own.send(at(10 * n), n);
                own.answer(at(10 * n + 1), n, timing().delivery);
            }
            r.review(at(1000), &own, None, &timing());
            assert_eq!(r.broken, broken, "{missing} missing");
        }
    }

    #[test]
    fn missing_echoes_are_set_against_as_many_own_ones_that_passed() {
        let mut r = Register { start: Some(at(0)), ..Register::default() };
        let mut own = Series::default();
        for n in 0..40 {
            r.echoes.send(at(10 * n), n);
            own.send(at(10 * n), n);
            if n % 6 == 0 {
                own.answer(at(10 * n + 1), n, timing().delivery);
            }
        }
        r.review(at(400), &own, None, &timing());
        assert!(!r.broken, "seven own ones passed: the network loses most of both kinds");
        own.send(at(420), 42);
        own.answer(at(421), 42, timing().delivery);
        r.review(at(421), &own, None, &timing());
        assert!(r.broken, "eight passed");
    }

    #[test]
    fn missing_echoes_prove_nothing_while_own_ones_are_missing_too() {
        let mut r = Register { start: Some(at(0)), ..Register::default() };
        for n in 0..20 {
            r.echoes.send(at(10 * n), n);
        }
        r.review(at(1000), &Series::default(), None, &timing());
        assert!(!r.broken);
    }

    #[test]
    fn probes_must_be_three_in_a_row_and_recent() {
        let mut p = Probes::default();
        for n in 0..3 {
            assert!(!p.unanswered(at(20 * n)));
            p.send(at(20 * n));
        }
        assert!(!p.unanswered(at(50)), "the last one needs its time");
        assert!(p.unanswered(at(60)) && p.unanswered_lately(at(60)));
        assert!(!p.unanswered_lately(at(200)));
        p.answer(at(61), Mac::default());
        assert!(!p.unanswered(at(100)));
        let mut unasked = Probes::default();
        unasked.answer(at(61), Mac::default());
        assert_eq!(unasked.answered, None);
    }

    #[test]
    fn the_stand_down_grows_is_capped_and_the_preferred_waits_less() {
        let base = Span::millis(449);
        let (one, two) = (Waiter { node: 0, epoch: 7, first: true }, Waiter { node: 1, epoch: 7, first: false });
        let mut last = Span::ZERO;
        for tries in 0..6 {
            let (p, o) = (stand_down(base, tries, one, at(9)), stand_down(base, tries, two, at(9)));
            assert!(p >= base && o >= base && p <= o, "{p} {o}");
            assert!(o > last);
            last = o;
        }
        for ms in 0..100 {
            let (p, o) = (stand_down(base, 30, one, at(ms)), stand_down(base, 30, two, at(ms)));
            assert!(p <= STAND_DOWN_MAX / 4 * 3 && STAND_DOWN_MAX / 4 * 3 <= o && o <= STAND_DOWN_MAX, "{p} {o}");
        }
        let long = Span::secs(70);
        assert!(stand_down(long, 3, one, at(9)) >= long, "never shorter than a challenge");
    }

    #[test]
    fn two_machines_that_bear_one_name_do_not_wait_in_step() {
        let both = Waiter { node: 0, epoch: 7, first: true };
        let apart = |ms: u64| {
            let (a, b) = (stand_down(Span::millis(449), 20, both, at(ms)), stand_down(Span::millis(449), 20, both, at(ms + 1)));
            a.less(b).max(b.less(a)) > Span::secs(1)
        };
        assert!((0..100).filter(|ms| apart(*ms)).count() > 70);
    }
}
