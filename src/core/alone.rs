//! A group that the living peer's file does not name (SAFETY R11): the peer swept it at its start and cannot hold it, so there is
//! nobody to agree with. The address is asked for as before any first claim.

use super::bite::{self, Clause};
use super::data::Data;
use super::grounds::Grounds;
use super::io::Output;
use super::opening::Evidence;
use super::role::{Opening, Stage, Standby, Why, Wish};
use super::settings::PROBE_GAP;
use super::shared::Shared;
use super::time::{Mono, Span};
use super::timer::Timer;
use super::turn::{Next, Turn};
use crate::prelude::*;

/// After somebody answered for the address.
const TAKEN: Span = Span::secs(5);

impl Shared {
    /// The peer's present life says, in words that this version reads whole, that its file does not have the group.
    pub fn peer_lacks(&self, name: &str) -> bool {
        self.peer.lacks(name)
    }
}

impl Standby {
    /// A standby in touch with a peer that does not know the group.
    pub(super) fn step_alone(&mut self, turn: &mut Turn) -> Next {
        let Turn { cx, data, now } = turn;
        let now = *now;
        let may = data.may_serve_alone(cx, now);
        // An intent that the peer was told goes with the peer's knowledge of the group.
        if let Some(told) = self.wish.take_if(|wish| !may || matches!(wish.stage, Stage::Ask | Stage::Warm(_))) {
            data.epochs.never_again(told.epoch);
            cx.dirty = true;
        }
        if !may {
            return Next::Stay;
        }
        if data.agreement.wish_after.is_none_or(|at| now >= at) {
            data.agreement.ownerless.get_or_insert(now);
        }
        if data.waits_alone(cx, now).is_some() {
            return Next::Stay;
        }
        let wish = self.wish.get_or_insert_with(|| {
            cx.dirty = true;
            let (epoch, attempt) = (cx.next_epoch(data.epochs.seen), cx.attempt());
            Wish { epoch, attempt, why: Why::First, stage: Stage::Reserve, probes: Default::default(), since: now, told: now }
        });
        if !wish.is_durable(data) {
            return Next::Stay;
        }
        wish.stage = Stage::Probe;
        if let Some((by, _)) = wish.probes.answered {
            return self.withdraw(format!("no first claim: {by} answers for the address"), TAKEN, turn);
        }
        if !wish.probes.unanswered(now) && !bite::off(Clause::FirstClaimUnprobed) {
            if now >= wish.probes.next(PROBE_GAP) {
                wish.probes.send(now);
                cx.out.push_back(Output::Probe { group: data.id });
            }
            return Next::Stay;
        }
        let Some(ground) = cx.peer_ground(now) else {
            wish.tell(cx, now);
            return Next::Stay;
        };
        let epoch = wish.epoch;
        let words = format!("; the file of {} does not have the group", cx.peer_name());
        let grounds = Grounds { peer: Some(ground), ..Grounds::default() };
        Opening::begin(epoch, Evidence { why: Why::First, grounds, closed_for: None, words }, turn)
    }
}

impl Data {
    /// Whether this node alone can serve the group: the living peer's file does not have it.
    pub(super) fn may_serve_alone(&self, cx: &Shared, now: Mono) -> bool {
        // What was granted to a life of the peer that is over can be nobody's any more; to the present one it may be.
        let lives = |granted| cx.peer.incarnation.is_none_or(|life| life <= granted);
        let given = self.agreement.released.is_some_and(|(grant, ..)| lives(grant.incarnation));
        let may = cx.in_touch(now) && cx.peer_lacks(&self.name) && !given && cx.move_forbidden(&self.name).is_none();
        may && self.eligible(cx, now)
    }

    /// What it waits for before it wants to, and until when.
    pub(super) fn waits_alone(&self, cx: &Shared, now: Mono) -> Option<(Mono, Timer)> {
        let wish = self.agreement.wish_after.map(|at| (at, Timer::Wish));
        let patience = || {
            let since = self.agreement.ownerless.filter(|_| !cx.witness.reachable)?;
            Some((since + cx.settings.timing.dead * 2, Timer::FirstClaim))
        };
        let ahead = |(at, _): &(Mono, Timer)| now < *at;
        wish.filter(ahead).or_else(|| patience().filter(ahead))
    }
}
