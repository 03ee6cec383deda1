//! A group takes in facts: the kernel's and the services' words, echoes, frames seen on the LAN.

use alloc::sync::Arc;

use super::bite::{self, Clause};
use super::claim::Verdict;
use super::event::{Kind, Level};
use super::fitness::UNFIT;
use super::grounds::Defence;
use super::group::{Group, Next};
use super::heartbeat::{BeatRole, Heartbeat, Verified};
use super::id::{Attempt, Epoch, Mac};
use super::io::{AddressOrder, AddressReport, EchoKind, GateOrder, GateReport, Output, ServiceReport};
use super::owner::lifetime;
use super::role::{Role, Running, Standby};
use super::settings::Services;
use super::shared::Shared;
use super::time::{Mono, Span};
use super::witness::Series;
use crate::prelude::*;

/// A service that did not stop is told again after this.
const STOP_AGAIN: Span = Span::secs(10);

/// While the kernel does not make the gate that is said again after this.
const UNGUARDED_AGAIN: Span = Span::secs(60);
/// So often it is said that an address cannot be put or kept there.
const SAY_EVERY: Span = Span::secs(60);

impl Shared {
    /// Whether the kernel makes the gate, by its newest word (SAFETY R1).
    fn guarded(&mut self, report: &GateReport, now: Mono) {
        let told = self.unguarded.take();
        match report {
            GateReport::Unguarded(reason) => {
                let told = told.map(|(_, at)| at).filter(|at| now.since(*at) < UNGUARDED_AGAIN);
                if told.is_none() {
                    let text = format!(
                        "the kernel does not make the gate: {reason}. The address's lifetime guards alone; this node could not take over"
                    );
                    self.note(Level::Error, None, Kind::Host, text);
                }
                self.urgent = true;
                self.unguarded = Some((reason.clone(), told.unwrap_or(now)));
            }
            GateReport::Failed(_) | GateReport::Lapsed => self.unguarded = told,
            GateReport::Opened | GateReport::Renewed | GateReport::Closed => {
                if told.is_some() {
                    self.note(Level::Info, None, Kind::Host, "the kernel makes the gate again");
                    self.urgent = true;
                }
            }
        }
    }

    /// Only the address's lifetime guards.
    pub(super) fn is_unguarded(&self) -> bool {
        self.unguarded.is_some() && !bite::off(Clause::UnguardedFit)
    }
}

impl Group {
    /// The kernel's word on a gate order.
    pub fn gate(&mut self, generation: u64, report: GateReport, cx: &mut Shared, now: Mono) {
        cx.guarded(&report, now);
        match &mut self.role {
            Role::Opening(o) if o.generation == generation => match report {
                GateReport::Opened | GateReport::Renewed => o.gate = true,
                other => {
                    // As soon as the kernel makes gates again this node is as fit as before.
                    let ends = matches!(other, GateReport::Unguarded(_)).then_some(self.unfit_until);
                    self.opening_failed(format!("the gate does not open: {other:?}"), cx, now);
                    self.unfit_until = ends.unwrap_or(self.unfit_until);
                }
            },
            Role::Leaving(l) if l.generation == generation => match report {
                GateReport::Failed(reason) => {
                    cx.note(
                        Level::Error,
                        Some(&self.name),
                        Kind::Host,
                        format!("the gate does not close: {reason}; it closes by itself"),
                    );
                }
                // Where the kernel makes no gate there is none to close: that the address goes is what counts.
                _ => l.gate_closed = true,
            },
            Role::Owner(o) => match report {
                GateReport::Lapsed if bite::off(Clause::LapseIgnored) => {}
                GateReport::Lapsed => {
                    let epoch = o.epoch;
                    self.leave_now(epoch, "the gate had closed by itself before it was renewed", cx, now);
                }
                GateReport::Failed(reason) => {
                    cx.note(Level::Error, Some(&self.name), Kind::Host, format!("the gate cannot be renewed: {reason}"));
                }
                GateReport::Opened | GateReport::Renewed | GateReport::Closed | GateReport::Unguarded(_) => {}
            },
            _ => {}
        }
    }

    /// Leaves in answer to an input, without a grant.
    pub(super) fn leave_now(&mut self, epoch: Epoch, why: &str, cx: &mut Shared, now: Mono) {
        let (Next::Change(role) | Next::Stay(role)) = self.leave(epoch, None, Level::Error, why.to_string(), cx, now);
        self.role = role;
        cx.urgent = true;
    }

    fn opening_failed(&mut self, why: String, cx: &mut Shared, now: Mono) {
        let Role::Opening(o) = &self.role else { return };
        let epoch = o.epoch;
        self.unfit_until = Some(now + UNFIT);
        self.leave_now(epoch, &why, cx, now);
    }

    /// The ruleset was flushed by a foreign hand (SAFETY R1).
    pub fn gate_table_gone(&mut self, cx: &mut Shared, now: Mono) {
        let generation = cx.number();
        if bite::off(Clause::FlushIgnored) {
            return;
        }
        match &mut self.role {
            Role::Owner(o) if bite::off(Clause::FlushIsLapse) => {
                let epoch = o.epoch;
                self.leave_now(epoch, "the gate had closed by itself", cx, now);
            }
            Role::Owner(_) if bite::off(Clause::FlushRevives) => {
                let until = now + cx.lease();
                cx.out.push_back(Output::Gate { group: self.id, generation, order: GateOrder::Rebuild(until) });
            }
            Role::Owner(o) if o.armed > now => {
                let text = "a foreign hand flushed the ruleset: the gate is made again";
                cx.note(Level::Warn, Some(&self.name), Kind::Host, text);
                cx.out.push_back(Output::Gate { group: self.id, generation, order: GateOrder::Rebuild(o.armed) });
            }
            Role::Owner(o) => {
                let epoch = o.epoch;
                self.leave_now(epoch, "the ruleset was flushed, and there was no ground left", cx, now);
            }
            Role::Opening(_) => self.opening_failed("the ruleset was flushed while the gate was being opened".into(), cx, now),
            Role::Standby(_) => {
                let attempt = cx.attempt();
                cx.out.push_back(Output::Address { group: self.id, attempt, order: AddressOrder::Remove });
                cx.out.push_back(Output::Gate { group: self.id, generation, order: GateOrder::Close });
            }
            Role::Leaving(l) => {
                l.ordered = Mono::ZERO;
                l.gate_closed = false;
            }
        }
    }

    /// The kernel's word on an address order.
    pub fn address(&mut self, attempt: Attempt, report: AddressReport, cx: &mut Shared, now: Mono) {
        match &mut self.role {
            Role::Opening(o) if o.attempt == attempt => match report {
                AddressReport::Added => o.address = true,
                AddressReport::Partly(gone) => {
                    o.address = true;
                    cx.note(Level::Warn, Some(&self.name), Kind::Host, format!("not served, {gone}"));
                }
                other => self.opening_failed(format!("the address cannot be added: {other:?}"), cx, now),
            },
            Role::Leaving(l) if l.attempt == attempt => match report {
                AddressReport::Removed => l.address_gone = true,
                other => {
                    let text = format!("the address cannot be removed: {other:?}; the gate is closed");
                    cx.note(Level::Error, Some(&self.name), Kind::Host, text);
                }
            },
            role => match (role, report) {
                (Role::Owner(o), AddressReport::Partly(gone)) => {
                    o.lacking.get_or_insert_default();
                    let known = core::mem::replace(&mut o.missing, true);
                    if !known {
                        cx.note(Level::Warn, Some(&self.name), Kind::Host, format!("not served, {gone}"));
                    }
                }
                (Role::Owner(o), AddressReport::Failed(reason)) => {
                    let again = core::mem::replace(&mut o.missing, true);
                    // A refresh that came late has taken it away: it is put back at once, and what fails then at each refresh.
                    if !again {
                        o.refresh = now;
                    }
                    let known = again && o.lacking.is_some();
                    // Each refresh tries again, and fails again.
                    if known || o.failed.is_some_and(|at| now < at + SAY_EVERY) {
                        return;
                    }
                    o.failed = Some(now);
                    cx.note(Level::Warn, Some(&self.name), Kind::Host, format!("address: {reason}"));
                }
                (_, AddressReport::Failed(reason)) => {
                    cx.note(Level::Warn, Some(&self.name), Kind::Host, format!("address: {reason}"));
                }
                (Role::Owner(o), AddressReport::Added) if o.missing => {
                    (o.missing, o.failed) = (false, None);
                    o.announce_now(now);
                }
                _ => {}
            },
        }
    }

    /// A foreign hand deleted an address (SAFETY R10): restored while there is a ground.
    pub fn address_gone(&mut self, cx: &mut Shared, now: Mono) {
        let lease = cx.lease();
        let Role::Owner(o) = &mut self.role else { return };
        if o.armed <= now || o.grounds.newest().is_none_or(|g| g + lease <= now) {
            // Put back as soon as there is a ground again.
            o.missing = true;
            o.refresh = now;
            return;
        }
        if o.lacking.is_some() {
            o.missing = true;
            return;
        }
        let attempt = cx.attempt();
        cx.out.push_back(Output::Address { group: self.id, attempt, order: AddressOrder::Add(lifetime(lease)) });
        o.announce_now(now);
        cx.note(Level::Warn, Some(&self.name), Kind::Host, "a foreign hand deleted the address: put back");
    }

    /// Word from the services.
    pub fn service_report(&mut self, attempt: Attempt, report: ServiceReport, cx: &mut Shared, now: Mono) {
        if attempt != self.service_attempt {
            return;
        }
        let kind = Kind::Service(self.id);
        match report {
            ServiceReport::Warmed | ServiceReport::Started => {
                let warm = report == ServiceReport::Warmed;
                self.running = if warm { Running::Warm } else { Running::Running };
                // A cold service that was "warmed" was not started at all.
                let runs = !warm || cx.services(self.id) == Services::Warm;
                if let Some(f) = self.failure.as_mut().filter(|_| runs) {
                    f.runs_again = true;
                }
                if let Some(since) = self.away.take_if(|_| !warm) {
                    let gap = now.since(since);
                    cx.note(Level::Info, Some(&self.name), kind, format!("the services run; clients saw {gap}"));
                    if let Some(change) = &mut self.last_change {
                        change.gap = Some(gap);
                    }
                }
            }
            ServiceReport::Stopped => self.running = Running::Stopped,
            ServiceReport::StopFailed { service, reason } => {
                let text = format!("{service} does not stop: {reason}; this node is not eligible until it has");
                cx.note(Level::Error, Some(&self.name), kind, text);
                self.running = Running::Stuck(format!("{service}: {reason}"));
                self.stop_again = Some(now + STOP_AGAIN);
            }
            ServiceReport::StartFailed { service, reason } | ServiceReport::Died { service, reason }
                if !matches!(self.role, Role::Owner(_) | Role::Opening(_))
                    && matches!(self.running, Running::Stopping | Running::Stuck(_)) =>
            {
                // It was to stop, and is gone. Others of the group may still run: only a stop that is through says that none does.
                cx.note(Level::Warn, Some(&self.name), kind, format!("{service}, which was being stopped: {reason}"));
                self.running = Running::Stuck(format!("{service}: {reason}"));
                self.stop_again = Some(now);
            }
            ServiceReport::StartFailed { service, reason } | ServiceReport::Died { service, reason } => {
                cx.note(Level::Error, Some(&self.name), kind, format!("{service} does not run: {reason}"));
                self.running = Running::Failed(format!("{service}: {reason}"), now + UNFIT);
                self.service_failed(now);
                if let Role::Standby(s) = &mut self.role
                    && let Some(w) = s.wish.take()
                {
                    self.never_again(w.epoch);
                    // Who asked for it is told at once, and why.
                    self.takeover = false;
                    self.last_refusal = Some(format!("{service} does not run on {}: {reason}", cx.me()));
                }
            }
        }
        cx.urgent = true;
    }

    /// A witness answered an echo of this group.
    pub fn echo_reply(&mut self, witness: usize, kind: EchoKind, number: u64, cx: &mut Shared, now: Mono) {
        let timing = cx.settings.timing;
        match (&mut self.role, kind) {
            (Role::Owner(_), EchoKind::Vip(_)) => {
                let role = core::mem::replace(&mut self.role, Role::Standby(Standby::default()));
                if let Role::Owner(mut o) = role {
                    if let Some(p) = o.paths.get_mut(witness) {
                        p.answer(now, number, timing.delivery);
                    }
                    o.defence.came_back(number);
                    self.path_answered(&mut o, cx);
                    self.table_proved = self.table_proved.max(o.grounds.path);
                    self.role = Role::Owner(o);
                }
            }
            (Role::Standby(s), EchoKind::Challenge(_)) => {
                if let Some(c) = s.claim.as_mut().and_then(|c| c.challenge.as_mut()) {
                    let needed = c.needed;
                    if let Some(r) = c.registers.get_mut(witness) {
                        r.answered(now, number, needed, &timing);
                    }
                }
            }
            (role, EchoKind::Control(_)) => {
                let claim = if let Role::Standby(s) = role { s.claim.as_mut() } else { None };
                if claim.as_ref().is_some_and(|c| c.challenge.is_some() && c.proof.knows(witness, number)) {
                    let text = "a negative control came back late: the witness may answer to the sender";
                    return self.challenge_broken(text.into(), cx, now);
                }
                if !claim.is_some_and(|c| c.proof.came_back(witness, number)) && cx.witness.control_back(witness, number) {
                    cx.answers_to_the_sender(witness);
                }
            }
            _ => {}
        }
    }

    /// An echo in the peer's name came back: the witness answers to the sender, and no claim rests on it.
    pub(super) fn inquiry_back(&mut self, witness: usize, cx: &mut Shared, now: Mono) {
        let Role::Standby(s) = &mut self.role else { return };
        let Some(claim) = s.claim.as_mut() else { return };
        claim.proof.refuse(witness);
        let Some(c) = claim.challenge.as_mut() else { return };
        let Some(r) = c.registers.get_mut(witness) else { return };
        r.never_took = true;
        if c.verdict(cx.settings.witness.register_majority()) == Verdict::NeverTook {
            self.challenge_broken("the witness answers to the sender, and not to its table".into(), cx, now);
        }
    }

    /// Keeps who spoke for the address while the peer says that it serves.
    fn owner_seen(&mut self, by: Mac, cx: &Shared, now: Mono) {
        if matches!(self.role, Role::Standby(_)) && cx.in_touch(now) && cx.peer.group(&self.name).is_some_and(|g| g.gate_open) {
            self.owner_mac = Some(by);
        }
    }

    /// Somebody answered a probe.
    pub fn answered(&mut self, by: Mac, cx: &mut Shared, now: Mono) {
        self.owner_seen(by, cx, now);
        let in_touch = cx.in_touch(now);
        if let Role::Owner(o) = &mut self.role
            && let Some(probes) = &mut o.lacking
        {
            if probes.answered.is_none() {
                let text = format!("not added: {by} answers for an address whose interface is back");
                cx.note(Level::Warn, Some(&self.name), Kind::Host, text);
            }
            probes.answer(now, by);
        }
        let Role::Standby(s) = &mut self.role else { return };
        // The peer answers for what it owns; who else answers is somebody to be found.
        let peers = cx.peer.group(&self.name).is_some_and(|g| g.role != BeatRole::Standby);
        if in_touch && !peers {
            self.stranger = Some((by, now));
        }
        if let Some(w) = &mut s.wish {
            w.probes.answer(now, by);
        }
        if let Some(claim) = &mut s.claim {
            claim.probes.answer(now, by);
            if claim.challenge.is_some() {
                self.challenge_broken(format!("{by} answers for the address"), cx, now);
            }
        }
    }

    /// Another machine announced itself as the VIP's.
    pub fn announced(&mut self, by: Mac, cx: &mut Shared, now: Mono) {
        self.owner_seen(by, cx, now);
        match core::mem::replace(&mut self.role, Role::Standby(Standby::default())) {
            Role::Owner(o) if bite::off(Clause::NoDefence) => self.role = Role::Owner(o),
            Role::Owner(mut o) if (o.armed > now && o.grounds.newest().is_some()) || bite::off(Clause::DefenceWithoutGate) => {
                let defend = self.spoken_for(by, &mut o, cx, now);
                match self.defend(defend, &mut o, cx, now) {
                    Some(Next::Change(role) | Next::Stay(role)) => {
                        self.role = role;
                        cx.urgent = true;
                    }
                    None => self.role = Role::Owner(o),
                }
            }
            role => {
                self.role = role;
                if matches!(&self.role, Role::Standby(s) if s.claim.as_ref().is_some_and(|c| c.challenge.is_some())) {
                    self.challenge_broken(format!("{by} announced the address"), cx, now);
                }
            }
        }
    }

    /// The witness asks everybody for the VIP: its entry is gone, a stand-down ends at once (SAFETY R5).
    pub fn witness_asks(&mut self) {
        if !bite::off(Clause::QuestionEndsNothing) {
            self.stand_down = None;
        }
    }

    /// All that was known is void after a gap (SAFETY R10).
    pub fn void(&mut self, cx: &mut Shared, now: Mono) {
        match &mut self.role {
            Role::Owner(o) => {
                o.grounds.void();
                o.paths.iter_mut().for_each(Series::void);
                o.defence = Defence::new(now);
                cx.ask = true;
                cx.urgent = true;
                o.echoed = None;
            }
            Role::Standby(s) => {
                if s.claim.take().is_some_and(|c| c.challenge.is_some()) {
                    cx.out.push_back(Output::AnswerUnicast { group: self.id, on: false });
                }
                if let Some(w) = s.wish.take() {
                    self.never_again(w.epoch);
                }
            }
            Role::Opening(_) | Role::Leaving(_) => {}
        }
    }

    /// A new heartbeat of the peer, over a link or by the witness's table.
    pub fn heard(&mut self, beat: &Arc<Verified<Heartbeat>>, by_table: bool, cx: &mut Shared, now: Mono) {
        let serves = beat.get().groups.iter().find(|g| g.name == self.name && g.role == BeatRole::Owner && g.gate_open);
        if let Some(g) = serves
            && self.peer_serves.is_none_or(|(epoch, _)| epoch != g.epoch)
        {
            self.peer_serves = Some((g.epoch, now));
        }
        self.hear(beat.get(), by_table, cx, now);
    }
}
