//! When a group is to be looked at again, as far as its own data say it: derived from the state after each step, so that none is forgotten.
//!
//! Each field is named. A new one breaks the build here, and whoever adds it says what it waits for, or that it waits for nothing. What a step
//! finds out on its way (a probe's answer, the pace of echoes) it says itself, by [`Shared::wake`].

use super::bite::{self, Clause};
use super::claim::Challenge;
use super::data::{Commanded, Data, Fitness, Service};
use super::fitness::UNFIT;
use super::role::{Leaving, Opening, Owner, Role, Running, Standby};
use super::settings::{PROBE_GAP, PROBES};
use super::shared::Shared;
use super::time::{Mono, Span};
use super::timer::Timer;

impl Role {
    /// Of the role.
    pub(super) fn deadlines(&self, data: &Data, cx: &mut Shared, now: Mono) {
        match self {
            Role::Standby(standby) => standby.deadlines(data, cx, now),
            Role::Opening(opening) => opening.deadlines(cx),
            Role::Owner(owner) => owner.deadlines(data, cx, now),
            Role::Leaving(leaving) => leaving.deadlines(cx),
        }
    }
}

impl Data {
    /// Whatever the role.
    pub(super) fn deadlines(&self, cx: &mut Shared) {
        let Data { commanded, service, fitness, id: _, name: _, epochs: _, agreement: _, stand_down: _, table: _, people: _ } =
            self;
        let Commanded { hold, told: _, by_move: _, takeover: _ } = commanded;
        if let Some(at) = hold.as_ref().and_then(|h| h.until) {
            cx.wake(at, Timer::StandbyEnds);
        }
        let Service { running, stop_again, failure, attempt: _, away: _, obstacle: _ } = service;
        if let (Running::Stuck(_), Some(at)) = (running, stop_again) {
            cx.wake(*at, Timer::ServiceAgain);
        }
        for f in failure.iter().filter(|f| !f.runs_again) {
            cx.wake(f.at + UNFIT, Timer::FitAgain);
            cx.wake(f.at + f.patience(), Timer::FitAgain);
        }
        if let Running::Failed(_, until) = running {
            cx.wake(*until, Timer::FitAgain);
        }
        // A failback waits for `since` and `driven_out`, and says so where it knows for how long.
        let Fitness { unfit_until, no_return: _, since: _, driven_out: _ } = fitness;
        for at in [*unfit_until, self.no_return_until()].into_iter().flatten() {
            cx.wake(at, Timer::FitAgain);
        }
    }
}

impl Standby {
    fn deadlines(&self, data: &Data, cx: &mut Shared, now: Mono) {
        // A wish waits for what the peer says and for what its stage finds.
        let Standby { claim, wish: _ } = self;
        let (since, warn, dead) = data.silence(cx);
        cx.wake(since + warn, Timer::PeerSuspected);
        let Some(claim) = claim else { return };
        match data.stand_down.until.filter(|until| now < *until && !bite::off(Clause::NoStandDown)) {
            Some(until) => cx.wake(until, Timer::StandDown),
            None => {
                cx.wake(since + dead, Timer::PeerDead);
                cx.wake((since + dead).back(PROBES + PROBE_GAP), Timer::Probe);
            }
        }
        if let Some(Challenge { next, registers: _, needed: _, since: _ }) = &claim.challenge {
            cx.wake(*next, Timer::Challenge);
        }
    }
}

impl Opening {
    fn deadlines(&self, cx: &mut Shared) {
        let Opening {
            armed,
            // What the kernel says is waited for, and that is an input.
            gate: _,
            address: _,
            attempt: _,
            generation: _,
            epoch: _,
            why: _,
            grounds: _,
            since: _,
            closed_for: _,
            evidence: _,
        } = self;
        cx.wake(*armed, Timer::LeaseEnds);
    }
}

impl Owner {
    fn deadlines(&self, data: &Data, cx: &mut Shared, now: Mono) {
        let Owner {
            armed,
            grounds,
            defence,
            announce,
            refresh,
            // Asked by `unhurried` and `arrives_by`.
            hot: _,
            since: _,
            proven: _,
            // Said by the step, which knows the pace of the echoes and what is due at once.
            paths: _,
            echoed: _,
            asked: _,
            lacking: _,
            // Wait for nothing but an input.
            epoch: _,
            burst: _,
            missing: _,
            failed: _,
            offer: _,
            raising: _,
            rival: _,
            awaited: _,
            former: _,
        } = self;
        let lease = cx.lease();
        cx.wake(*armed, Timer::LeaseEnds);
        if let Some(at) = self.unhurried(cx, now) {
            cx.wake(at, Timer::Renewal);
        }
        if let Some(at) = grounds.island {
            cx.wake(at + lease / 3, Timer::Renewal);
        }
        if let Some(at) = grounds.newest() {
            cx.wake(at + lease / 3 + Span(1), Timer::GroundOld);
        }
        let timing = cx.settings.timing;
        if let Some(at) = defence.deadline(now, &timing) {
            cx.wake(at, Timer::Defence);
        }
        cx.wake(*announce, Timer::Announcement);
        cx.wake(*refresh, Timer::AddressLifetime);
        if let Some(at) = self.arrives_by(cx) {
            cx.wake(at, Timer::Arrival);
        }
        for at in self.starts_again(data, cx).into_iter().flatten() {
            cx.wake(at, Timer::ServiceAgain);
        }
    }
}

impl Leaving {
    fn deadlines(&self, cx: &mut Shared) {
        let Leaving {
            ordered,
            // What the kernel and the services say is waited for, and that is an input.
            gate_closed: _,
            address_gone: _,
            cold: _,
            attempt: _,
            generation: _,
            epoch: _,
            to: _,
            since: _,
        } = self;
        cx.wake(*ordered + super::leaving::AGAIN, Timer::OrderAgain);
    }
}
