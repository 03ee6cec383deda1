//! When a node is to be looked at again, and why: all of it derived from the state, so that nothing is forgotten and nothing is stale.
//!
//! Each part says what it waits for: the node here, the roles in `waits.rs`, the rest beside what it is about. Where a part has fields, each is named:
//! a new one breaks the build there, and whoever adds it says what it waits for, or that it waits for nothing.

use super::data::{Commanded, Data, Epochs, Fitness, Service};
use super::fitness::UNFIT;
use super::group::Group;
use super::node::Node;
use super::role::{Role, Running};
use super::settings::GRANT_WAITS;
use super::shared::Shared;
use super::time::{Mono, Span};
use super::timer::Timer;

/// The first instant behind the last step at which something is due.
pub(super) struct Due {
    /// The last step: what was due by then it has looked at.
    pub last: Mono,
    first: (Mono, Timer),
}

impl Due {
    /// Something is due at `at`, if at all.
    pub fn at(&mut self, at: impl Into<Option<Mono>>, why: Timer) {
        if let Some(at) = at.into().filter(|at| *at > self.last && *at < self.first.0) {
            self.first = (at, why);
        }
    }
}

impl Node {
    /// When to call [`handle`](Node::handle) with [`Input::Tick`](super::io::Input::Tick). Early ticks do nothing.
    pub fn deadline(&self) -> Option<Mono> {
        self.next_timer().map(|(at, _)| at)
    }

    /// The same, and what is due then.
    pub fn next_timer(&self) -> Option<(Mono, Timer)> {
        self.is_started().then(|| self.due.unwrap_or_else(|| self.derived()))
    }

    /// What is due first behind the last step.
    pub(super) fn derived(&self) -> (Mono, Timer) {
        let mut due = Due { last: self.last, first: (self.next_beat, Timer::Heartbeat) };
        self.deadlines(&mut due);
        due.first
    }

    /// When a record that is behind is tried again; none while one is on its way.
    fn writes_again(&self) -> Option<Mono> {
        (self.cx.dirty && self.writing.is_none()).then_some(self.disk_again)
    }

    /// When the peer is answered that asked for it; none when it did not.
    pub(super) fn answers_at(&self) -> Option<Mono> {
        let pause = self.cx.settings.timing.echo_period() / 2;
        self.answer.then(|| self.last_beat.map_or(Mono::ZERO, |at| at + pause))
    }

    fn deadlines(&self, due: &mut Due) {
        let Node {
            cx,
            groups,
            commands,
            // Where `due` begins and ends.
            last: _,
            next_beat: _,
            // Asked by `writes_again`, `answers_at` and `controls_at`.
            writing: _,
            disk_again: _,
            answer: _,
            last_beat: _,
            next_control: _,
            controls_since: _,
            // Wait for nothing.
            started: _,
            asked: _,
            mismatch: _,
            suspected: _,
            due: _,
        } = self;
        let (timing, witness) = (&cx.settings.timing, &cx.settings.witness);
        groups.iter().for_each(|group| group.deadlines(cx, due));
        commands.deadlines(cx, due);
        due.at(cx.peer.heard.map(|at| at + timing.warn + Span(1)), Timer::PeerSuspected);
        due.at(cx.peer.hears_me.map(|at| at + timing.dead + Span(1)), Timer::OutOfTouch);
        cx.links.iter().flat_map(|link| link.deadlines(timing)).for_each(|at| due.at(at, Timer::Link));
        due.at(Some(cx.witness.next).filter(|_| cx.witness.carrier), Timer::OwnEcho);
        due.at(cx.witness.deadline(witness, timing.delivery), Timer::Witness);
        for (_, t) in cx.witness.targets.iter().enumerate().filter(|(target, _)| witness.is_register(*target)) {
            due.at(t.pace.deadline(timing.delivery, witness), Timer::Trial);
            if t.reachable && cx.is_calm() {
                due.at(t.pace.begins(&t.own, u64::from(cx.settings.me.0), witness), Timer::Trial);
            }
        }
        cx.fence.deadlines(&cx.settings.timing, due);
        due.at(self.controls_at(), Timer::Control);
        cx.inquiry_deadlines(due);
        due.at(self.writes_again(), Timer::Disk);
        due.at(self.answers_at(), Timer::Answer);
    }
}

impl Group {
    fn deadlines(&self, cx: &Shared, due: &mut Due) {
        let Group { role, data } = self;
        match role {
            Role::Standby(standby) => standby.deadlines(data, cx, due),
            Role::Opening(opening) => opening.deadlines(due),
            Role::Owner(owner) => owner.deadlines(data, cx, due),
            Role::Leaving(leaving) => leaving.deadlines(due),
        }
        data.deadlines(due);
    }
}

impl Data {
    /// Whatever the role.
    fn deadlines(&self, due: &mut Due) {
        let Data { commanded, service, fitness, epochs, id: _, name: _, agreement: _, stand_down: _, table: _, people: _ } = self;
        let Epochs { grant_waits, seen: _, durable: _ } = epochs;
        due.at(grant_waits.map(|(_, since)| since + GRANT_WAITS), Timer::Intent);
        let Commanded { hold, pause, told: _, by_move: _, takeover: _ } = commanded;
        due.at(hold.as_ref().and_then(|h| h.until), Timer::StandbyEnds);
        due.at(pause.until.filter(|_| pause.on), Timer::PauseEnds);
        let Service { running, stop_again, failure, attempt: _, away: _, obstacle: _ } = service;
        if matches!(running, Running::Stuck(_)) {
            due.at(*stop_again, Timer::ServiceAgain);
        }
        for f in failure.iter().filter(|f| !f.runs_again) {
            due.at(f.at + UNFIT, Timer::FitAgain);
            due.at(f.at + f.patience(), Timer::FitAgain);
        }
        if let Running::Failed(_, until) = running {
            due.at(*until, Timer::FitAgain);
        }
        // A failback waits for `since` and `driven_out`: a standby says so.
        let Fitness { unfit_until, no_return: _, since: _, driven_out: _ } = fitness;
        due.at(*unfit_until, Timer::FitAgain);
        due.at(self.no_return_until(), Timer::FitAgain);
    }
}
