//! Whether a witness bears the fast echo rate. Some answer a few echoes a second and no more (a limit on ICMP): at the slow rate
//! all is well, and under suspicion, when it matters, most answers would stay away. So each one is tried beforehand, now and then
//! while all is well: a short row of echoes at the fast rate. One that does not bear it is asked at the slow rate only.

use serde::{Deserialize, Serialize};

use super::settings::WitnessSettings;
use super::time::{Mono, Span};
use super::witness::Series;

/// Echoes of a trial, two in an echo period: under suspicion those from the own address and those from the VIP go out.
const ECHOES: u32 = 24;
/// Fewer answers than this in the hundred, while the slow rate is answered whole, mean that only the slow rate is borne.
const ENOUGH: u32 = 70;
/// From so many in the hundred on the fast rate is used again.
const ENOUGH_AGAIN: u32 = 90;
/// So many echoes of the slow rate before a trial must have been answered without a gap: a lossy network shows nothing.
const SLOW_ONES: u64 = 8;
/// So many echoes of the slow rate after a bad trial must be answered without a gap too: a network that began to lose while the
/// trial ran looks like a limit.
const SLOW_ONES_AFTER: u64 = 6;
/// Between two trials, while the fast rate is borne.
const AGAIN: Span = Span::secs(600);
/// The same for a witness that does not bear it, or whose last trial was given up.
const AGAIN_SOON: Span = Span::secs(60);

/// Own echoes of the fast rate that are looked at together.
const ROW: u64 = 12;
/// So many at the most, where they came and stayed away too seldom to tell a limit from an outage that begins or ends.
const ROW_AT_MOST: u64 = 36;
/// Of a row one must have come back so often after others had stayed away: a limit takes some all the time, an outage takes all of them once.
const RETURNED: u64 = 2;
/// Fewer answers than this in the hundred of a row: it is asked slowly.
const FEW: u64 = 75;

/// Echo periods after which an answer is overdue where it is asked slowly. What is asked again then takes the place of an echo that the limit
/// took; and a network that only loses echoes, which looks like a limit, is asked often enough for a lease: with 49 % of the echoes answered,
/// twelve go out in one of 320 ms, where two periods would leave eight.
pub const OVERDUE: u64 = 1;
/// Echo periods without an answer after which one is needed soon, or what rests on it ends: nothing is spared any more.
pub const NEEDED: u64 = 15;

/// The last echo of a kind, when the next one is considered.
#[derive(Clone, Copy, Default, Debug)]
pub struct Before {
    /// When it went out.
    pub last: Option<Mono>,
    /// Its answer should have been here.
    pub overdue: bool,
    /// None has been answered for [`NEEDED`] echo periods.
    pub needed: bool,
}

/// What is known of one witness's pace.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Pace {
    slow_only: bool,
    trial: Option<Trial>,
    next: Mono,
    /// A trial ended then, and too few of its echoes came back: to be held against the slow rate after it.
    #[serde(default)]
    poor: Option<Mono>,
    /// At the fast rate most of the own echoes stayed away: asked slowly.
    #[serde(default)]
    eased: bool,
    /// What had come and what had stayed away of the own echoes, and how often one had come back, when the present row began.
    #[serde(default)]
    row: Option<[u64; 3]>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Trial {
    echoes: Series,
    sent: u32,
    back: u32,
    due: Mono,
}

impl Pace {
    /// It was found to answer the slow rate and not the fast one.
    pub fn slow_only(&self) -> bool {
        self.slow_only
    }

    /// It is asked slowly: it was found to answer no more, or seems to while the nodes are separated.
    pub fn slowly(&self) -> bool {
        self.slow_only || self.eased
    }

    /// While the peer is not heard both nodes ask fast and together, which no trial of one node shows. Where few of a row of the own
    /// echoes come back, and some do, it is asked slowly until the nodes hear each other over a link, with what is overdue asked again: that
    /// costs little where the network loses frames, and is all that a limit leaves. Says whether that begins.
    pub fn ease(&mut self, own: &Series, fast: bool, apart: bool) -> bool {
        self.eased &= apart && !self.slow_only;
        if !fast || !apart || self.slow_only || self.eased {
            self.row = None;
            return false;
        }
        let counted = own.counted();
        let row = *self.row.get_or_insert(counted);
        let mut since = row.into_iter().zip(counted).map(|(before, now)| now.saturating_sub(before));
        let (came, lost, returned) = (since.next().unwrap_or(0), since.next().unwrap_or(0), since.next().unwrap_or(0));
        let asked = came.saturating_add(lost);
        let few = came.saturating_mul(100) < FEW.saturating_mul(asked);
        if asked < ROW || (few && returned < RETURNED && asked < ROW_AT_MOST) {
            return false;
        }
        self.eased = few && returned >= RETURNED;
        self.row = (!self.eased).then_some(counted);
        self.eased
    }

    /// Whether an echo may go out now: a witness that bears the slow rate only is asked once an interval.
    pub fn bears(&self, before: Before, now: Mono, period: Span, settings: &WitnessSettings) -> bool {
        let due = |wait| before.last.is_none_or(|at| now >= at + wait);
        !self.slowly() || (self.eased && before.needed) || due(settings.interval) || (before.overdue && due(period * OVERDUE))
    }

    /// From when on an echo is borne whose answer is not overdue, `last` being the one before.
    pub fn bears_from(&self, last: Option<Mono>, settings: &WitnessSettings) -> Mono {
        last.filter(|_| self.slowly()).map_or(Mono::ZERO, |at| at + settings.interval)
    }

    /// Begins a trial when it is time for one and the slow rate has been answered without a gap for long enough; `turn` keeps the
    /// trials of two nodes that started together apart.
    pub fn begin(&mut self, own: &Series, turn: u64, now: Mono, settings: &WitnessSettings) {
        if self.begins(own, turn, settings).is_some_and(|at| now >= at) {
            self.trial = Some(Trial { due: now, ..Trial::default() });
        }
    }

    /// When the next one begins, while all goes on as it does.
    pub fn begins(&self, own: &Series, turn: u64, settings: &WitnessSettings) -> Option<Mono> {
        let enough = settings.interval * SLOW_ONES.saturating_mul(turn.saturating_add(1));
        let steady = own.unbroken_since().filter(|_| self.trial.is_none() && self.poor.is_none());
        steady.map(|at| self.next.max(at + enough))
    }

    /// Gives up a trial: times are no longer good.
    pub fn abandon(&mut self, now: Mono) {
        if self.trial.take().is_some() | self.poor.take().is_some() {
            self.next = now + AGAIN_SOON;
        }
    }

    /// When something is due.
    pub fn deadline(&self, delivery: Span, settings: &WitnessSettings) -> Option<Mono> {
        let trial = self.trial.as_ref().map(|t| if t.sent < ECHOES { t.due } else { t.due + delivery + Span(1) });
        trial.or(self.poor.map(|at| Self::believed(at, delivery, settings)))
    }

    /// When a poor trial that ended at `at` is believed, if nothing of the slow rate stayed away.
    fn believed(at: Mono, delivery: Span, settings: &WitnessSettings) -> Mono {
        at + settings.interval * (SLOW_ONES_AFTER + 1) + delivery + Span(1)
    }

    /// Whether an echo of the trial is due.
    pub fn due(&self, now: Mono) -> bool {
        self.trial.as_ref().is_some_and(|t| t.sent < ECHOES && now >= t.due)
    }

    /// One went out.
    pub fn sent(&mut self, now: Mono, number: u64, period: Span) {
        if let Some(t) = &mut self.trial {
            t.echoes.send(now, number);
            t.sent = t.sent.saturating_add(1);
            t.due = now + period / 2;
        }
    }

    /// An answer came; says whether it belongs to the trial.
    pub fn answered(&mut self, now: Mono, number: u64, delivery: Span) -> bool {
        let Some(t) = &mut self.trial else { return false };
        let mine = t.echoes.answer(now, number, delivery).is_some();
        t.back = t.back.saturating_add(u32::from(mine));
        mine
    }

    /// A trial is under way: what the slow rate loses meanwhile is its doing.
    pub fn tries(&self) -> bool {
        self.trial.is_some()
    }

    /// Judges a trial whose echoes have all had their time; `own` are the echoes of the slow rate, due every interval. Says whether
    /// the judgement is another one than before.
    pub fn judge(&mut self, own: &Series, now: Mono, delivery: Span, settings: &WitnessSettings) -> bool {
        if let Some(at) = self.poor.filter(|at| now >= Self::believed(*at, delivery, settings)) {
            self.poor = None;
            // The first echo after the trial may still have suffered from it.
            let whole = own.unbroken_since().is_some_and(|since| since <= at + settings.interval * 2);
            // Not whole: loss, or the peer's own trial. The next one has its own row of slow echoes to wait for.
            self.next = if whole { now + AGAIN_SOON } else { now };
            return whole && !core::mem::replace(&mut self.slow_only, true);
        }
        let over = |t: &Trial| t.sent == ECHOES && now.since(t.due) > delivery;
        let Some(t) = self.trial.take_if(|t| over(t)) else { return false };
        let share = t.back.saturating_mul(100) / ECHOES;
        let poor = share < if self.slow_only { ENOUGH_AGAIN } else { ENOUGH };
        self.next = now + if poor { AGAIN_SOON } else { AGAIN };
        if poor && !self.slow_only {
            self.poor = Some(now);
        }
        !poor && core::mem::replace(&mut self.slow_only, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELIVERY: Span = Span::millis(50);

    fn at(ms: u64) -> Mono {
        Mono::ZERO + Span::millis(ms)
    }

    fn settings() -> WitnessSettings {
        WitnessSettings {
            link: crate::id::LinkId(0),
            targets: 1,
            arp_only: 0,
            names: 0,
            interval: Span::millis(100),
            fall: 3,
            rise: 5,
            island_hold: false,
        }
    }

    /// A trial in which every `every`-th echo is answered, and then a second of the slow rate, of which the echo number `lost` is
    /// not. Says whether the judgement changed.
    fn trial(pace: &mut Pace, begin: u64, every: u32, lost: Option<u64>) -> bool {
        pace.trial = Some(Trial { due: at(begin), ..Trial::default() });
        for n in 0..ECHOES {
            let now = at(begin + 5 * u64::from(n));
            assert!(pace.due(now));
            pace.sent(now, u64::from(n), Span::millis(10));
            if n % every == 0 {
                assert!(pace.answered(now, u64::from(n), DELIVERY));
            }
        }
        let end = begin + 5 * u64::from(ECHOES) + 51;
        assert!(!pace.due(at(end)));
        let mut own = Series::default();
        let mut news = pace.judge(&own, at(end), DELIVERY, &settings());
        for n in 0..10 {
            own.send(at(end + 90 + 100 * n), n);
            if lost != Some(n) {
                own.answer(at(end + 91 + 100 * n), n, DELIVERY);
            }
            own.expire(at(end + 180 + 100 * n), DELIVERY);
            news |= pace.judge(&own, at(end + 180 + 100 * n), DELIVERY, &settings());
        }
        news
    }

    #[test]
    fn a_witness_that_answers_every_second_fast_echo_is_asked_slowly_until_a_trial_is_whole() {
        let mut pace = Pace::default();
        assert!(!trial(&mut pace, 0, 1, None) && !pace.slow_only());
        assert!(trial(&mut pace, 2_000, 2, None) && pace.slow_only());
        assert!(!trial(&mut pace, 4_000, 2, None) && pace.slow_only());
        assert!(trial(&mut pace, 6_000, 1, None) && !pace.slow_only());
    }

    #[test]
    fn a_network_that_begins_to_lose_while_a_trial_runs_is_not_taken_for_a_limit() {
        for lost in 1..6 {
            let mut pace = Pace::default();
            assert!(!trial(&mut pace, 0, 2, Some(lost)) && !pace.slow_only(), "the slow echo {lost} was lost");
        }
    }

    #[test]
    fn no_trial_begins_on_a_network_that_loses_slow_echoes() {
        let settings = settings();
        for (lost, first) in [(None, 8), (Some(5), 14)] {
            let (mut pace, mut own) = (Pace::default(), Series::default());
            let begun = (0..40).find(|n| {
                let now = 100 * *n;
                pace.begin(&own, 0, at(now), &settings);
                own.send(at(now), *n);
                if lost != Some(*n) {
                    own.answer(at(now + 1), *n, DELIVERY);
                }
                own.expire(at(now + 60), DELIVERY);
                pace.tries()
            });
            assert_eq!(begun, Some(first), "lost: {lost:?}");
        }
    }

    #[test]
    fn an_answer_of_another_kind_is_not_taken() {
        let mut pace = Pace::default();
        assert!(!pace.answered(at(0), 7, DELIVERY));
        pace.trial = Some(Trial::default());
        pace.sent(at(0), 7, Span::millis(10));
        assert!(!pace.answered(at(1), 8, DELIVERY));
    }

    /// Own echoes each 20 ms, answered where `answered` says so; says after which one they are asked slowly.
    fn eased_after(answered: impl Fn(u64) -> bool, apart: impl Fn(u64) -> bool) -> Option<u64> {
        let (mut pace, mut own) = (Pace::default(), Series::default());
        (0..200).find(|n| {
            own.send(at(20 * *n), *n);
            if answered(*n) {
                own.answer(at(20 * *n + 1), *n, DELIVERY);
            }
            own.expire(at(20 * *n + 19), DELIVERY);
            pace.ease(&own, true, apart(*n))
        })
    }

    #[test]
    fn a_limit_that_both_nodes_reach_is_met_slowly_and_an_outage_is_not() {
        for every in 2..8 {
            let eased = eased_after(|n| n % every == 0, |_| true);
            assert!(eased.is_some_and(|n| n < 40), "one in {every}: {eased:?}");
        }
        assert_eq!(eased_after(|_| true, |_| true), None);
        assert_eq!(eased_after(|n| n % 5 != 0, |_| true), None, "most come back");
        assert_eq!(eased_after(|n| n >= 50, |_| true), None, "an outage that ends");
        assert_eq!(eased_after(|n| n < 50, |_| true), None, "an outage that begins");
        assert_eq!(eased_after(|n| n % 3 == 0, |_| false), None, "the peer is heard");
    }

    #[test]
    fn what_is_overdue_is_asked_again_where_it_is_asked_slowly() {
        let (pace, period) = (Pace { slow_only: true, ..Pace::default() }, Span::millis(10));
        let mut own = Series::default();
        own.send(at(0), 0);
        let bears = |own: &Series, ms| pace.bears(own.before(at(ms), period), at(ms), period, &settings());
        assert!(!bears(&own, 9) && bears(&own, 10), "a period");
        own.answer(at(9), 0, DELIVERY);
        assert!(!bears(&own, 99) && bears(&own, 100), "an interval");
    }

    #[test]
    fn where_loss_looks_like_a_limit_nothing_is_spared_once_an_answer_is_needed() {
        let (eased, period) = (Pace { eased: true, ..Pace::default() }, Span::millis(10));
        let slow = Pace { slow_only: true, ..Pace::default() };
        let mut own = Series::default();
        own.send(at(0), 0);
        own.answer(at(1), 0, DELIVERY);
        own.send(at(100), 1);
        own.send(at(149), 2);
        let bears = |pace: &Pace, ms| pace.bears(own.before(at(ms), period), at(ms), period, &settings());
        assert!(!bears(&eased, 149) && bears(&eased, 150), "fifteen echo periods");
        assert!(!bears(&slow, 150), "one that was found to bear no more");
    }
}
