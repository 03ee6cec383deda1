//! Fencing: the peer is turned off before a claim that no challenge can carry, or that shall not rest on one alone (SAFETY R4b).
//!
//! One order at a time, whatever the groups; what it showed holds for all of them until the peer is heard.

use serde::{Deserialize, Serialize};

use super::bite::{self, Clause};
use super::data::Data;
use super::deadlines::Due;
use super::event::{Kind, Level};
use super::heartbeat::{BeatRole, GroupBeat, Heartbeat};
use super::id::{Attempt, Name};
use super::io::Output;
use super::ready::WhyUnfit;
use super::sentence::Sentence;
use super::settings::{StopFailure, Timing};
use super::shared::Shared;
use super::time::{Mono, Span};
use super::timer::Timer;
use super::words::About;
use crate::prelude::*;

/// A fence that failed is tried again after this; within it the agent's own retries are over.
const AGAIN: Span = Span::secs(30);

/// An order is said to the peer for so many echoes and their delivery before it is given.
const TOLD_ECHOES: u64 = 3;
/// What was said and not done within so many times of that is over, and said anew.
const TOLD_AT_MOST: u64 = 4;

/// How long that is.
fn told_for(timing: &Timing) -> Span {
    timing.delivery + timing.echo_period() * TOLD_ECHOES
}

/// What is known of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Fence {
    /// The order under way, and when it was given.
    pub running: Option<(Attempt, Mono)>,
    /// When the peer began to be told of an order that is to be given.
    #[serde(default)]
    pub told: Option<Mono>,
    /// Until when an order that an earlier life of this node gave may still be carried out.
    #[serde(default)]
    pub left: Option<Mono>,
    /// Until when the peer, which said that it turns this node off, is left to it.
    #[serde(default)]
    pub lets: Option<Mono>,
    /// When the order was given that turned the peer off, or when a person said that it is; none once the peer is heard.
    pub done: Option<Mono>,
    /// It was a person's word.
    pub by_hand: bool,
    /// The order under way was given at the peer's own wish, which is heard until it is off.
    #[serde(default)]
    pub wished: bool,
    /// A challenge of some group met the peer: it lives, and serves.
    #[serde(default)]
    pub met: bool,
    /// The newest of failures in a row: when it was told, and why.
    pub failed: Option<(Mono, String)>,
}

impl Fence {
    /// The peer lives: what was shown, or tried in vain, is over. Whether the record has to forget it.
    pub(super) fn heard(&mut self) -> bool {
        self.failed = None;
        if bite::off(Clause::FencedForEver) {
            return false;
        }
        self.by_hand = false;
        self.done.take().is_some()
    }

    /// Whether the peer may be turned off at any moment by an order that was given.
    pub(super) fn is_under_way(&self, now: Mono) -> bool {
        self.running.is_some() || self.left.is_some_and(|until| now < until)
    }

    /// Since when the peer has been told of an order that is to be given.
    fn told(&self, timing: &Timing, now: Mono) -> Option<Mono> {
        self.told.filter(|at| now.since(*at) < told_for(timing) * TOLD_AT_MOST)
    }

    /// An order is under way, and the peer is told so by whatever goes out.
    pub(super) fn tells(&self, now: Mono) -> bool {
        self.is_under_way(now) && !bite::off(Clause::FencesUntold)
    }

    /// Whether the peer is told that it is being turned off, or is about to be.
    pub(super) fn is_told(&self, timing: &Timing, now: Mono) -> bool {
        self.tells(now) || (self.told(timing, now).is_some() && !bite::off(Clause::FencesUntold))
    }

    /// When a failed one is tried again.
    fn again(&self) -> Option<Mono> {
        self.failed.as_ref().map(|(at, _)| *at + AGAIN)
    }

    pub(super) fn deadlines(&self, timing: &Timing, due: &mut Due) {
        // What an order says is waited for, and that is an input.
        let Fence { running: _, told, left, lets, done: _, by_hand: _, wished: _, met: _, failed: _ } = self;
        due.at(told.map(|at| at + told_for(timing)), Timer::Fence);
        due.at(told.map(|at| at + told_for(timing) * TOLD_AT_MOST), Timer::Fence);
        due.at(*left, Timer::Fence);
        due.at(*lets, Timer::Fence);
        due.at(self.again(), Timer::Fence);
    }
}

impl Shared {
    /// Whether a claim goes by fencing: a device is configured, or a person has said that the peer is off.
    pub fn fences(&self) -> bool {
        self.settings.fencing.is_some() || self.fence.done.is_some()
    }

    /// The peer was turned off after `since`, and has not been heard.
    pub fn fenced_since(&self, since: Mono) -> bool {
        self.fence.done.is_some_and(|at| at >= since || bite::off(Clause::FencedForEver))
            || (bite::off(Clause::FenceUnawaited) && self.fence.failed.is_some())
    }

    /// Whether it is done in this silence, under way, or failed a moment ago. What an earlier life did, or what was done before a gap of
    /// this one's own, is a ground alone: a claim needs an order of its own.
    fn no_order(&self, since: Mono, now: Mono) -> bool {
        let waits = self.fence.again().is_some_and(|at| now < at);
        let lets = self.fence.lets.is_some_and(|until| now < until);
        self.settings.fencing.is_none() || self.fenced_since(since) || self.fence.running.is_some() || waits || lets
    }

    /// Orders it for a group, unless it is done, under way, or failed a moment ago, once the peer was told for long enough.
    pub(super) fn tell_and_turn_peer_off(&mut self, group: &Name, since: Mono, why: &str, now: Mono) {
        if self.no_order(since, now) {
            return;
        }
        let timing = &self.settings.timing;
        let told = self.fence.told(timing, now);
        if told.is_some_and(|at| now >= at + told_for(timing)) || bite::off(Clause::FencesUntold) {
            self.turn_peer_off(group, why, now);
        } else if told.is_none() {
            // A peer that is at the same hears it by the table that it writes, if by no other way.
            self.fence.told = Some(now);
            self.urgent = true;
        }
    }

    /// Orders it at once.
    fn turn_peer_off(&mut self, group: &Name, why: &str, now: Mono) {
        self.fence.told = None;
        let attempt = self.attempt();
        (self.fence.running, self.fence.wished) = (Some((attempt, now)), false);
        // The next life has to know.
        self.dirty = true;
        self.out.push_back(Output::Fence { attempt });
        let text = format!("{} is being fenced: {why}", self.peer_name());
        self.note(Level::Warn, Some(group), Kind::Fence, text);
    }

    /// The peer said whether it is about to turn this node off. One that was first at it goes on, and the first one of two that begin
    /// at the same time. What was heard once counts for as long as its device may take: after that word the table that brought it may
    /// bring no other, and another group's challenge stands.
    pub(super) fn hear_fencing(&mut self, beat: &Heartbeat, now: Mono) {
        let lets = self.lets_itself_be_fenced(beat, now);
        if lets {
            self.fence.told = None;
        }
        self.fence.lets = self.settings.fencing.filter(|_| lets).map(|fencing| now + fencing.takes);
    }

    /// Whether this node goes on with turning its peer off although that one says the same.
    fn goes_on(&self, now: Mono) -> bool {
        let told = self.fence.is_told(&self.settings.timing, now);
        self.fence.is_under_way(now) || (told && self.settings.me.0 == 0)
    }

    /// Whether the peer, which says that it turns this node off, is to be let: a challenge of this node's ends.
    pub(super) fn lets_itself_be_fenced(&self, beat: &Heartbeat, now: Mono) -> bool {
        beat.fencing && !self.goes_on(now)
    }

    /// A peer that is heard, and on which a service does not stop, is turned off where both files say so.
    pub(super) fn turn_off_stuck(&mut self, data: &Data, g: &GroupBeat, now: Mono) {
        let fence = self.settings.group(data.id).is_some_and(|group| group.stop_failure == StopFailure::Fence);
        let stuck = g.role != BeatRole::Owner && g.unfit.is_some_and(|unfit| unfit.why == WhyUnfit::DoesNotStop);
        if fence && stuck && self.witness.reachable && data.eligible(self, now) && !self.no_order(Mono::ZERO, now) {
            self.turn_peer_off(&data.name, "a service that must not run twice does not stop there", now);
            self.fence.wished = true;
        }
    }

    /// Until when an order may still be carried out, for the record.
    pub(super) fn fencing_until(&self) -> Option<Mono> {
        let running = self.fence.running.zip(self.settings.fencing).map(|((_, at), fencing)| at + fencing.takes);
        running.max(self.fence.left)
    }

    /// What became of an order.
    pub(super) fn fence_report(&mut self, attempt: Attempt, failed: Option<String>, now: Mono) {
        let Some((_, ordered)) = self.fence.running.take_if(|(of, _)| *of == attempt) else { return };
        self.dirty = true;
        let peer = self.peer_name();
        // A peer that was heard since was not off when it said that, and is heard if it is not now.
        let heard = self.peer.heard.is_some_and(|at| at > ordered);
        match failed {
            None if self.fence.wished => {
                (self.fence.done, self.fence.by_hand, self.fence.failed) = (Some(now), false, None);
                self.note(Level::Info, None, Kind::Fence, format!("{peer} is fenced, {} after the order", now.since(ordered)));
                self.dirty = true;
            }
            None if heard => {
                let text = format!("{peer} was fenced, though it was heard meanwhile: that counts for nothing");
                self.note(Level::Warn, None, Kind::Fence, text);
            }
            None => {
                (self.fence.done, self.fence.by_hand, self.fence.failed) = (Some(ordered), false, None);
                self.note(Level::Info, None, Kind::Fence, format!("{peer} is fenced, {} after the order", now.since(ordered)));
                self.dirty = true;
            }
            Some(why) => {
                self.note(Level::Error, None, Kind::Fence, format!("fencing of {peer} failed: {why}; again in {AGAIN}"));
                self.fence.failed = Some((now, why));
            }
        }
    }

    /// A person has made sure that the peer is off.
    pub(super) fn fenced_by_hand(&mut self, now: Mono) -> Result<String, String> {
        let peer = self.peer_name();
        if self.peer.fresh(now, self.settings.timing.dead) {
            return Err(format!("{peer} is heard: it is not off"));
        }
        (self.fence.done, self.fence.by_hand, self.fence.failed) = (Some(now), true, None);
        self.dirty = true;
        let text = format!("{peer} counts as fenced: a person has said that it is off");
        self.note(Level::Warn, None, Kind::Fence, text.clone());
        Ok(text)
    }

    /// The problem of a peer that could not be turned off.
    pub fn fence_problem(&self, now: Mono) -> Option<Sentence> {
        let (_, why) = self.fence.failed.as_ref()?;
        let lasting = format!("fencing of {} failed: {why}", self.peer_name());
        Some(Sentence::passing(About::Fence, lasting, self.fence_words(now)?))
    }

    /// How it stands, in words; none where nothing is to be said.
    pub fn fence_words(&self, now: Mono) -> Option<String> {
        let peer = self.peer_name();
        let Fence { running, told: _, left: _, lets: _, done, by_hand, wished: _, met: _, failed } = &self.fence;
        let ago = |at: Mono| now.since(at).as_millis().div_euclid(1000);
        Some(match (running, done, failed) {
            (Some((_, at)), ..) => format!("{peer} is being fenced, for {} s", ago(*at)),
            (None, Some(at), _) if *by_hand => format!("{peer} is off by a person's word, {} s ago", ago(*at)),
            (None, Some(at), _) => format!("{peer} was fenced {} s ago", ago(*at)),
            (None, None, Some((at, why))) => format!("fencing of {peer} failed {} s ago: {why}", ago(*at)),
            (None, None, None) => return self.settings.fencing.map(|_| format!("{peer} can be fenced")),
        })
    }
}
