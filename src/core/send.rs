//! What this node says to its peer, and when: one heartbeat for all groups (SAFETY R1, R12).

use alloc::sync::Arc;

use super::bite::{self, Clause};
use super::group::Group;
use super::heartbeat::{EchoOf, GroupBeat, Heartbeat, LinkEcho, MOST_AGE, Part, VERSION};
use super::io::Output;
use super::node::Node;
use super::time::{Mono, Span};
use crate::prelude::*;

impl Node {
    /// Sends the next heartbeat when it is due, when the peer asked for one, and when something has changed.
    pub(super) fn beat(&mut self, now: Mono) {
        let timing = self.cx.settings.timing;
        let answer_due = self.answers_at().is_some_and(|at| now >= at);
        let due = now >= self.next_beat;
        if !(due || self.cx.urgent || answer_due) {
            return;
        }
        let owner = self.groups.iter().any(Group::owns);
        // Where each node owns a group, an answer that asks for one as well would be answered for ever.
        let merely = !due && !self.cx.urgent;
        let asked = self.asked.is_some_and(|at| now.since(at) < timing.heartbeat / 2);
        // What was lost is made good at once, and a peer whose file has it speak seldom speaks as often as this one listens.
        let missed = due && self.cx.peer.heard.is_some_and(|at| now.since(at) > timing.heartbeat + timing.heartbeat / 2);
        let asks = self.cx.ask || missed || (owner && !(merely && asked));
        if asks {
            self.asked = Some(now);
        }
        let number = self.cx.sent.next(now);
        let cx = &mut self.cx;
        // A challenge lasts for the own file's lease at least: no longer one needs the record.
        let durable = if bite::off(Clause::LeaseEchoedEarly) { cx.peer.lease } else { cx.peer.durable_lease.max(timing.lease) };
        let lease = cx.peer.said().map_or(Span::ZERO, |b| b.lease).min(durable);
        let known = cx.peer.durable_file.as_ref().map_or(0, |file| file.witnesses);
        let echo_of = cx.peer.incarnation.map(|incarnation| EchoOf { incarnation, lease, witnesses: known });
        let newest = cx.links.iter().filter(|l| l.number > 0);
        let echoes = newest
            .filter_map(|l| Some(LinkEcho { link: l.name.clone(), number: l.number, held: now.since(l.heard?).min(MOST_AGE) }))
            .collect();
        let groups: Vec<GroupBeat> = self.groups.iter().map(|g| g.beat(cx, now)).collect();
        let whole = Heartbeat {
            version: VERSION,
            from: cx.settings.me,
            incarnation: cx.incarnation,
            number,
            digest: cx.settings.digest,
            lease: if bite::off(Clause::LeaseUnderstated) { timing.lease / 2 } else { timing.lease },
            witnesses: cx.settings.witness.names,
            echo_of,
            echoes,
            answer: asks,
            reachable: cx.witness.reachable,
            answered: cx.witness.own_time(&cx.settings.witness).map(|at| now.since(at).min(MOST_AGE)),
            carrier: cx.witness.carrier,
            fencing: cx.fence.is_told(&timing, now),
            part: Part::WHOLE,
            groups: Vec::new(),
        };
        let links = cx.usable_links();
        // First of all: nothing that is ordered in the same step may delay it.
        for beat in in_parts(whole, groups, cx.settings.groups_in_beat).into_iter().rev() {
            cx.out.push_front(Output::Send { beat: Arc::new(beat), links: links.clone() });
        }
        // Who answers an owner's heartbeats waits a little longer for the next one, so that one beat a period goes each way.
        let pause = if answer_due && !owner { timing.heartbeat + timing.heartbeat / 8 } else { timing.heartbeat };
        self.next_beat = now + pause;
        self.last_beat = Some(now);
        self.answer = false;
        cx.urgent = false;
        cx.ask = false;
    }
}

/// One heartbeat for each `most` groups, all with the same number; at least one.
fn in_parts(whole: Heartbeat, groups: Vec<GroupBeat>, most: usize) -> Vec<Heartbeat> {
    if groups.len() <= most {
        return vec![Heartbeat { groups, ..whole }];
    }
    let parts: Vec<&[GroupBeat]> = groups.chunks(most.max(1)).collect();
    let of = u8::try_from(parts.len()).unwrap_or(u8::MAX);
    let each =
        |(index, groups): (u8, &&[GroupBeat])| Heartbeat { part: Part { index, of }, groups: groups.to_vec(), ..whole.clone() };
    (0..of).zip(&parts).map(each).collect()
}
