//! Why the owner may go on owning: the lease, counted from each ground's own time (SAFETY R2, R3), and the defence of the
//! VIP's entry in the witness's table (R5).

use alloc::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::bite::{self, Clause};
use super::heartbeat::{BeatRole, GroupBeat};
use super::id::{Epoch, Mac};
use super::settings::Timing;
use super::time::{Mono, Span};
use super::words::Ground;
use crate::prelude::*;

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

    /// A heartbeat of the peer, which says `said` of the group; `echoed` is when the newest of mine that it echoes was sent. A ground
    /// comes of it while the peer stands by for the epoch that is `mine`; who does not know the group does not own it (SAFETY R2, R11).
    pub(super) fn hear_peer(&mut self, said: Option<&GroupBeat>, mine: Epoch, echoed: Option<Mono>, now: Mono) {
        let Some(said) = said else {
            self.peer = self.peer.max(echoed);
            return;
        };
        self.island = None;
        let stands_by = said.role == BeatRole::Standby && said.epoch <= mine;
        if stands_by || bite::off(Clause::PeerGroundWithoutStandby) {
            let at = if bite::off(Clause::PeerGroundFromHearing) { Some(now) } else { echoed };
            self.peer = self.peer.max(at);
        }
    }

    /// Nothing is known any more (SAFETY R10).
    pub fn void(&mut self) {
        *self = Grounds::default();
    }

    /// Which of them hold now.
    pub fn holding(&self, now: Mono, lease: Span) -> Vec<Ground> {
        [(Ground::Peer, self.peer), (Ground::ReturnPath, self.path), (Ground::Island, self.island)]
            .into_iter()
            .filter(|(_, at)| at.is_some_and(|at| at + lease > now))
            .map(|(ground, _)| ground)
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

/// An entry that was taken and won back this often in a row has met another owner as well, one that defends itself like this node: two
/// that hear each other by no way, not even the table, would share it for ever (R5 †). A challenger writes once, and waits ever longer.
const WON_BACK: u32 = 4;

/// The same machine that speaks for the address is named again after this,
const TELL_AGAIN: Span = Span::secs(60);
/// another one after this: an attacker invents as many as it likes.
const TELL_ANOTHER: Span = Span::secs(5);

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
    /// The entry is taken at present: when the first echo left that stayed away.
    #[serde(default)]
    taken: Option<Mono>,
    /// How often in a row it was won back, and when the last time.
    #[serde(default)]
    won_back: Option<(u32, Mono)>,
    /// Another machine spoke for the address, and the table was asked before this node answered.
    #[serde(default)]
    spoken: Option<Spoken>,
    /// Of whom a person was told, and when.
    #[serde(default)]
    told: Option<(Mac, Mono)>,
}

/// What the table is asked when another machine speaks for the address.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Spoken {
    /// The echo that left before this node announced: it comes back when the table still named this node.
    number: u64,
    at: Mono,
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
        Defence {
            tokens: TOKENS,
            refilled: now,
            overwritten: VecDeque::new(),
            counted: false,
            last: None,
            taken: None,
            won_back: None,
            spoken: None,
            told: None,
        }
    }

    /// Another machine announced itself, and nobody can be asked whether it wrote anything.
    pub fn announced(&mut self, now: Mono, timing: &Timing) -> Defend {
        self.count(now, timing)
    }

    /// Another machine announced itself, and echo `number` asks the table: what is said on the wire is answered, and does not count
    /// unless the table says so too.
    pub fn asked(&mut self, now: Mono, number: u64) -> Defend {
        self.spoken = Some(Spoken { number, at: now });
        self.spend(now)
    }

    /// The table is being asked: what is said meanwhile is the same event.
    pub fn is_asking(&self) -> bool {
        self.spoken.is_some()
    }

    /// Another machine announced itself, and that is no reason to leave.
    pub fn answer(&mut self, now: Mono) -> Defend {
        self.spend(now)
    }

    /// An echo came back.
    pub fn came_back(&mut self, number: u64) {
        if self.spoken.is_some_and(|s| s.number == number) {
            self.spoken = None;
        }
    }

    /// The echo that asked the table stayed away; `passed` is the send time of the newest own echo that was answered. Where own echoes
    /// stay away as well, nothing is proven.
    pub fn review(&mut self, now: Mono, passed: Option<Mono>, timing: &Timing) -> Defend {
        let Some(Spoken { at, .. }) = self.spoken.filter(|s| now > s.at + timing.delivery) else { return Defend::Rest };
        if passed.is_some_and(|sent| sent >= at) {
            self.spoken = None;
            return self.count(now, timing);
        }
        if now > at + timing.delivery * 3 {
            self.spoken = None;
        }
        Defend::Rest
    }

    /// When [`review`](Self::review) is due.
    pub fn deadline(&self, now: Mono, timing: &Timing) -> Option<Mono> {
        let at = self.spoken?.at;
        [at + timing.delivery + Span(1), at + timing.delivery * 3 + Span(1)].into_iter().find(|due| *due > now)
    }

    /// When a return path that stays away is defended again.
    pub fn again(&self, timing: &Timing) -> Option<Mono> {
        let refilled = if self.tokens == 0 { self.refilled + REFILL } else { Mono::ZERO };
        self.last.map(|at| refilled.max(at + timing.echo_period()))
    }

    /// Whether a person is to be told of this machine: once, and again after a while.
    pub fn is_news(&mut self, by: Mac, now: Mono) -> bool {
        let wait = |mac: Mac| if mac == by { TELL_AGAIN } else { TELL_ANOTHER };
        let news = self.told.is_none_or(|(mac, at)| now.since(at) >= wait(mac));
        if news {
            self.told = Some((by, now));
        }
        news
    }

    /// VIP echoes to some witness have been missing, `missed` in a row, the first of them sent at `since`, `proven` of them while an own
    /// echo passed.
    pub fn missing(&mut self, now: Mono, (since, missed, proven): (Mono, u32, u32), timing: &Timing) -> Defend {
        if proven >= BROKEN_AFTER && !self.counted {
            self.counted = true;
            return self.count(now, timing);
        }
        if missed >= DEFEND_AFTER && proven >= DEFEND_AFTER {
            self.taken.get_or_insert(since);
        }
        if missed < DEFEND_AFTER || self.last.is_some_and(|at| now.since(at) < timing.echo_period()) {
            return Defend::Rest;
        }
        self.spend(now)
    }

    /// The return path is whole; `lossy` when own echoes stay away at times. Another owner needs its delivery to find out that this
    /// node has won the entry back, and `pause` at the most; a challenger that writes before its first echo has come back takes it again
    /// at once. The node that goes `first` wins it back once more, so that not both leave.
    pub fn whole(&mut self, now: Mono, lossy: bool, pause: Span, first: bool, timing: &Timing) -> Defend {
        self.counted = false;
        if lossy {
            (self.taken, self.won_back) = (None, None);
        }
        let Some(taken) = self.taken.take() else { return Defend::Rest };
        let times = match self.won_back {
            Some((times, won)) if taken.since(won) < timing.delivery => times,
            Some((times, won)) if taken.since(won) <= pause => times.saturating_add(1),
            _ => 1,
        };
        self.won_back = Some((times, now));
        if times >= WON_BACK.saturating_add(u32::from(first)) && !bite::off(Clause::EntrySharedForEver) {
            Defend::Leave
        } else {
            Defend::Rest
        }
    }

    /// Whether the entry changes hands again and again.
    pub fn is_shared(&self) -> bool {
        self.won_back.is_some_and(|(times, _)| times >= WON_BACK)
    }

    fn count(&mut self, now: Mono, timing: &Timing) -> Defend {
        while self.overwritten.front().is_some_and(|at| now.since(*at) > timing.lease) {
            self.overwritten.pop_front();
        }
        // One challenger's repeated writes before its first echo are one event.
        if self.overwritten.back().is_none_or(|at| now.since(*at) >= timing.delivery.min(timing.lease / 8)) {
            self.overwritten.push_back(now);
        }
        if self.overwritten.len() >= OVERWRITTEN && !bite::off(Clause::OverwrittenStays) {
            Defend::Leave
        } else {
            self.spend(now)
        }
    }

    fn spend(&mut self, now: Mono) -> Defend {
        let refill = if bite::off(Clause::DefenceUsedUp) { 0 } else { now.since(self.refilled).0 / REFILL.0 };
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

    /// An owner whose entry is taken, won back and taken again, each time so long after.
    fn shares(taken_after: u64, first: bool, lossy_at: Option<u32>) -> Option<u32> {
        let (t, pause) = (timing(), Span::millis(1_000));
        let mut d = Defence::new(Mono::ZERO);
        let mut now = 0;
        (1..=20_u32).find(|n| {
            let since = Mono::ZERO + Span::millis(now + taken_after);
            now += taken_after + 100;
            d.missing(Mono::ZERO + Span::millis(now), (since, 2, 2), &t);
            d.whole(Mono::ZERO + Span::millis(now + 10), lossy_at == Some(*n), pause, first, &t) == Defend::Leave
        })
    }

    #[test]
    fn an_entry_that_is_won_back_again_and_again_is_another_owners_as_well() {
        assert_eq!((shares(200, false, None), shares(200, true, None)), (Some(4), Some(5)));
        assert_eq!(shares(200, false, Some(3)), Some(7), "own echoes that stay away prove nothing of what was before");
        assert_eq!(shares(20, false, None), None, "taken within delivery: a challenger that writes on");
        assert_eq!(shares(2_000, false, None), None, "now and then");
    }

    #[test]
    fn what_is_said_on_the_wire_counts_only_when_the_table_says_so_too() {
        let at = |ms| Mono::ZERO + Span::millis(ms);
        let (mut lies, mut deaf, mut rival) = (Defence::new(at(0)), Defence::new(at(0)), Defence::new(at(0)));
        for n in 0..20_u64 {
            let (said, judged) = (at(n * 60), at(n * 60 + 51));
            for d in [&mut lies, &mut deaf, &mut rival] {
                assert!(d.is_asking() || d.asked(said, n) != Defend::Leave, "{n}");
            }
            lies.came_back(n);
            assert_ne!(lies.review(judged, Some(said), &timing()), Defend::Leave, "the echo came back");
            assert_ne!(deaf.review(judged, None, &timing()), Defend::Leave, "own echoes stay away as well");
            if rival.review(judged, Some(said), &timing()) == Defend::Leave {
                assert!(n >= 2, "three times");
                return;
            }
        }
        panic!("a table that names another machine again and again ends the ownership");
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
