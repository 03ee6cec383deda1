//! Whether a move has arrived: the answer of the witness to the address reaches the new owner (SAFETY R6).
//!
//! A network that lets the address's frames pass for one node alone (port security, allowed address pairs) shows in nothing else: gate and
//! address are there, the peer stands by, and no client is answered. Where no register is to be had (the witness is dark, or answers to the
//! sender), nothing can be shown, and a move is done with the gate.

use super::bite::{self, Clause};
use super::data::Data;
use super::event::{Kind, Level};
use super::fitness::{Failure, MOST_UNFIT, UNFIT};
use super::group::Group;
use super::heartbeat::Offer;
use super::ready::WhyUnfit;
use super::role::{Owner, Role, Why};
use super::shared::Shared;
use super::time::{Mono, Span};
use super::turn::Turn;
use super::witness::{AWAY_ENOUGH, majority_time};
use crate::prelude::*;

/// A gateway may keep an entry for a second whatever is announced; the announcement after that is given its time too.
pub(super) const LEAST: Span = Span::secs(2);
/// An automatic failback to a node whose return path never came waits for twice as long each time, up to this: each try leaves clients
/// without an answer for as long as it takes to find out.
const MOST: Span = Span::secs(3600);
/// Echoes that must stay away where the witness bears the slow rate only.
const AWAY_SLOWLY: u32 = 3;

impl Shared {
    /// Whether the answer of a witness to an address would be shown: this node reaches it, and its table is a register.
    pub(super) fn path_tells(&self) -> bool {
        self.witness.reachable && self.path_counts() && self.registers()
    }
}

impl Failure {
    /// One more in a row.
    pub(super) fn again(before: Option<Failure>, now: Mono) -> Failure {
        let before = before.filter(|f| now.since(f.at) < MOST * 2);
        Failure { at: now, count: before.map_or(1, |f| f.count.saturating_add(1)), runs_again: false, elsewhere: false }
    }
}

impl Group {
    /// An owner whose return path has not come yet although it would show.
    pub(super) fn unproven(&self, cx: &Shared) -> bool {
        matches!(&self.role, Role::Owner(o) if !o.proven) && cx.path_tells() && !bite::off(Clause::MoveUnproven)
    }
}

impl Owner {
    /// It never came: found out, and not to be waited for any longer.
    pub(super) fn never_arrived(&self, data: &Data) -> bool {
        !self.proven && data.fitness.no_return.is_some_and(|f| f.at >= self.since)
    }

    /// An owner looks whether its return path came, and marks itself when it does not.
    pub(super) fn arrival(&mut self, turn: &mut Turn) {
        let Turn { cx, data, now } = turn;
        let now = *now;
        if self.proven || bite::off(Clause::MoveUnproven) {
            return;
        }
        if self.grounds.path.is_some_and(|at| at >= self.since) {
            self.proven = true;
            data.fitness.no_return = None;
            // A person on the other node waits for this word.
            cx.urgent |= self.awaited;
            return;
        }
        if self.arrives_by(cx).is_some_and(|until| now < until) {
            return;
        }
        let away = self.paths.iter().zip(&cx.witness.targets).map(|(path, w)| {
            let enough = if w.pace.slow_only() { AWAY_SLOWLY } else { AWAY_ENOUGH };
            (w.register && path.missed_against(&w.own) >= enough).then_some(now)
        });
        let shown = majority_time(away, cx.settings.witness.register_majority()).is_some();
        if !shown || !cx.path_tells() || self.never_arrived(data) {
            return;
        }
        let failure = Failure::again(data.fitness.no_return, now);
        data.fitness.no_return = Some(failure);
        cx.dirty = true;
        cx.urgent = true;
        let text = format!(
            "the answer of the witness to the address never came since {} took it {} ago, while {} itself is answered: the network may let the address's frames pass for {} alone (port security, allowed address pairs)",
            cx.me(),
            now.since(self.since),
            cx.me(),
            cx.peer_name()
        );
        cx.note(Level::Error, Some(&data.name), Kind::Refused(data.id), text.clone());
        data.people.last_refusal = Some(text);
    }

    /// A return path that has not come by then does not come; none when it came, or is not asked for.
    pub(super) fn arrives_by(&self, cx: &Shared) -> Option<Mono> {
        let patience = (cx.settings.timing.dead + cx.settings.witness.interval * 3).max(LEAST);
        (!self.proven && !bite::off(Clause::MoveUnproven)).then(|| self.since + patience)
    }

    /// Whether the peer may have the address back because it never arrived here. One that had no return path either is no better off.
    pub(super) fn gives_back(&self, data: &Data, cx: &Shared) -> bool {
        let same = |g: &super::heartbeat::GroupBeat| g.unfit.is_some_and(|u| u.why == WhyUnfit::NoReturnPath);
        self.never_arrived(data) && cx.path_tells() && !cx.peer.group(&data.name).is_some_and(same)
    }
}

impl Data {
    /// The peer gave back what it took a moment ago. What the move brought with it ends.
    pub(super) fn taken_back(&mut self, cx: &mut Shared, now: Mono) {
        let text = format!("{} gave it back: the answer of the witness to the address never came there", cx.peer_name());
        self.people.last_refusal = Some(text);
        self.agreement.given_back = Some(now);
        if core::mem::take(&mut self.commanded.by_move) {
            self.commanded.hold = None;
        }
        cx.dirty = true;
    }

    /// How long clients were without an answer when an address that was given away comes back unused.
    pub(super) fn back_after(&self, why: Why, now: Mono) -> Option<Span> {
        let change = self.people.last_change.as_ref().filter(|_| why == Why::Offered(Offer::NoReturnPath))?;
        Some(now.since(change.at) + change.gap.unwrap_or_default())
    }

    /// Before this no move to this node is taken by itself from a living peer; none when its return path is no reason.
    pub(super) fn no_return_until(&self) -> Option<Mono> {
        self.fitness.no_return.map(|f| f.at + f.patience())
    }

    /// Before this the preferred node does not ask for the address by itself.
    pub(super) fn no_failback_until(&self) -> Option<Mono> {
        self.fitness.no_return.map(|f| f.at + failback_wait(f.count))
    }
}

/// How long an automatic failback waits after so many moves in a row that never arrived.
pub(super) fn failback_wait(count: u32) -> Span {
    (UNFIT * (1 << count.clamp(1, 8).saturating_sub(1))).min(MOST)
}

const _: () = assert!(MOST_UNFIT.0 < MOST.0);
