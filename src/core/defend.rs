//! The owner's defence of the address's entry in the witness's table (SAFETY R5).

use super::bite::{self, Clause};
use super::claim::stand_down;
use super::event::{Kind, Level};
use super::grounds::Defend;
use super::id::Mac;
use super::io::Output;
use super::leaving::Left;
use super::role::Owner;
use super::shared::Shared;
use super::time::{Mono, Span};
use super::turn::{Next, Turn};
use crate::prelude::*;

/// An ownership that was lost to another machine counts for this long against the next claim.
const DRIVEN_OUT_MEMORY: Span = Span::secs(600);

impl Owner {
    /// What the table says, and what to do about it: only with a ground, only with an open gate.
    pub(super) fn defend_entry(&mut self, ground: Option<Mono>, turn: &mut Turn) -> Option<Next> {
        let (now, t) = (turn.now, turn.cx.settings.timing);
        let passed = turn.cx.witness.targets.iter().filter_map(|w| w.own.answered).max();
        let spoken = self.defence.review(now, passed, &t);
        if let Some(next) = self.defend(spoken, turn) {
            return Some(next);
        }
        if (ground.is_none() && !bite::off(Clause::DefenceWithoutGate)) || bite::off(Clause::NoDefence) {
            return None;
        }
        let taken = self.paths.iter().zip(&turn.cx.witness.targets).filter_map(|(p, w)| {
            let proven = p.missed_against(&w.own);
            (proven > 0).then_some((proven, p.missed, p.missed_since.unwrap_or(now)))
        });
        match taken.max() {
            Some((proven, missed, since)) => {
                let defend = self.defence.missing(now, (since, missed, proven), &t);
                self.defend(defend, turn)
            }
            None if self.path_missing() => None,
            None => {
                let witness = &turn.cx.settings.witness;
                let pause = witness.interval * 4 + (t.delivery + t.echo_period()) * 4;
                let lossy = turn.cx.witness.targets.iter().any(|w| w.own.missed > 0);
                let shared = self.defence.whole(now, lossy, pause, turn.cx.first(turn.data.id), &t);
                self.defend(shared, turn)
            }
        }
    }

    /// Another machine announced itself as the address's.
    pub(super) fn announced(&mut self, by: Mac, turn: &mut Turn) -> Next {
        let open = self.armed > turn.now && self.grounds.newest().is_some();
        if bite::off(Clause::NoDefence) || !(open || bite::off(Clause::DefenceWithoutGate)) {
            return Next::Stay;
        }
        let defend = self.spoken_for(by, turn);
        self.defend(defend, turn).unwrap_or(Next::Stay)
    }

    /// Another machine speaks for the address of an owner. What the witness's table says counts for more than what somebody says on
    /// the wire (SAFETY R5): the table is asked before the answer goes out, since afterwards it names this node whatever was in it.
    fn spoken_for(&mut self, by: Mac, turn: &mut Turn) -> Defend {
        let (now, t) = (turn.now, turn.cx.settings.timing);
        let stood_by = self.stood_by(turn.cx, now);
        if stood_by {
            turn.data.people.stranger = Some((by, now));
        }
        if self.defence.is_news(by, now) {
            let rest = if stood_by { "the peer stands by: this node stays" } else { "the witness's table decides" };
            let text = format!("{by} says that it has the address: announced again; {rest}");
            turn.cx.note(Level::Warn, Some(&turn.data.name), Kind::Challenge(turn.data.id), text);
        }
        if bite::off(Clause::WireBelieved) {
            return self.defence.announced(now, &t);
        }
        if stood_by || self.defence.is_asking() {
            return self.defence.answer(now);
        }
        let Some(number) = self.echo(turn) else { return self.defence.announced(now, &t) };
        self.echoed = Some(now);
        self.defence.asked(now, number)
    }

    /// The peer is heard and has lately said that it stands by for this ownership: nobody else can be the owner.
    fn stood_by(&self, cx: &Shared, now: Mono) -> bool {
        cx.peer.fresh(now, cx.settings.timing.warn) && self.grounds.peer.is_some_and(|at| at + cx.lease() > now)
    }

    fn defend(&mut self, defend: Defend, turn: &mut Turn) -> Option<Next> {
        match defend {
            Defend::Rest => None,
            Defend::Announce => {
                let Turn { cx, data, now } = turn;
                cx.out.push_back(Output::Announce { group: data.id });
                self.announce = self.announce.max(*now + cx.settings.timing.echo_period());
                let text = "another node wrote the witness's entry: announced again";
                cx.note(Level::Debug, Some(&data.name), Kind::Challenge(data.id), text);
                None
            }
            // Nobody but the peer could be another owner.
            Defend::Leave if self.stood_by(turn.cx, turn.now) && !bite::off(Clause::WireBelieved) => None,
            Defend::Leave => {
                let how = if self.defence.is_shared() {
                    "taken and won back again and again"
                } else {
                    "overwritten three times within one lease"
                };
                let text = format!("the witness's entry was {how}: somebody else serves");
                let next = turn.leave(self.epoch, Left::Driven(text));
                // Who drove this node out may do so again: the next claim waits, ever longer.
                let Turn { cx, data, now } = turn;
                let before = data.fitness.driven_out.iter().filter(|at| now.since(**at) < DRIVEN_OUT_MEMORY).count();
                let tries = u32::try_from(before).unwrap_or(u32::MAX);
                let wait = stand_down(cx.challenge_time(), tries, data.waiter(cx), *now);
                data.stand_down.until = Some(*now + wait);
                Some(next)
            }
        }
    }
}
