//! A group that the living peer's file does not name (SAFETY R11): the peer swept it at its start and cannot hold it, so there is
//! nobody to agree with. The address is asked for as before any first claim.

use super::bite::{self, Clause};
use super::grounds::Grounds;
use super::heartbeat::VERSION;
use super::io::Output;
use super::opening::Evidence;
use super::role::{Opening, Stage, Standby, Why, Wish};
use super::settings::PROBE_GAP;
use super::shared::Shared;
use super::time::Span;
use super::timer::Timer;
use super::turn::{Next, Turn};
use crate::prelude::*;

/// After somebody answered for the address.
const TAKEN: Span = Span::secs(5);

impl Shared {
    /// The peer's present life says, in words that this version reads whole, that its file does not have the group.
    pub fn peer_lacks(&self, name: &str) -> bool {
        let said = self.peer.said().filter(|beat| beat.version == VERSION);
        said.is_some_and(|beat| beat.groups.iter().all(|group| *group.name != *name))
    }
}

impl Standby {
    /// A standby in touch with a peer that does not know the group.
    pub(super) fn step_alone(&mut self, turn: &mut Turn) -> Next {
        let Turn { cx, data, now } = turn;
        let now = *now;
        // What was granted to a life of the peer that is over can be nobody's any more; to the present one it may be.
        let lives = |granted| cx.peer.incarnation.is_none_or(|life| life <= granted);
        let given = data.agreement.released.is_some_and(|(grant, ..)| lives(grant.incarnation));
        let may = cx.in_touch(now) && cx.peer_lacks(&data.name) && !given && cx.move_forbidden(&data.name).is_none();
        let may = may && data.eligible(cx, now);
        // An intent that the peer was told goes with the peer's knowledge of the group.
        if let Some(told) = self.wish.take_if(|wish| !may || matches!(wish.stage, Stage::Ask | Stage::Warm(_))) {
            data.epochs.never_again(told.epoch);
            cx.dirty = true;
        }
        if !may {
            return Next::Stay;
        }
        if let Some(at) = data.agreement.wish_after.filter(|at| now < *at) {
            cx.wake(at, Timer::Wish);
            return Next::Stay;
        }
        let since = *data.agreement.ownerless.get_or_insert(now);
        let patience = since + cx.settings.timing.dead * 2;
        if !cx.witness.reachable && now < patience {
            cx.wake(patience, Timer::FirstClaim);
            return Next::Stay;
        }
        let wish = self.wish.get_or_insert_with(|| {
            cx.dirty = true;
            let (epoch, attempt) = (cx.next_epoch(data.epochs.seen), cx.attempt());
            Wish { epoch, attempt, why: Why::First, stage: Stage::Reserve, probes: Default::default(), since: now, told: now }
        });
        if data.epochs.durable < wish.epoch && !bite::off(Clause::EpochNotDurable) {
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
            cx.wake(wish.probes.next(PROBE_GAP), Timer::Probe);
            return Next::Stay;
        }
        let Some(ground) = cx.peer.hears_me.filter(|at| *at + cx.lease() > now) else {
            cx.ask = true;
            cx.urgent = true;
            cx.wake(now + cx.settings.timing.echo_period(), Timer::Ask);
            return Next::Stay;
        };
        let epoch = wish.epoch;
        let words = format!("; the file of {} does not have the group", cx.peer_name());
        let grounds = Grounds { peer: Some(ground), ..Grounds::default() };
        Opening::begin(epoch, Evidence { why: Why::First, grounds, closed_for: None, words }, turn)
    }
}
