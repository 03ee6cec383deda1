//! A group takes in facts: the kernel's and the services' words, echoes, frames seen on the LAN.

use super::bite::{self, Clause};
use super::claim::Verdict;
use super::data::Data;
use super::event::{Kind, Level};
use super::fitness::UNFIT;
use super::grounds::Defence;
use super::group::Group;
use super::heartbeat::BeatRole;
use super::id::{Attempt, Mac};
use super::io::{AddressOrder, AddressReport, EchoKind, GateOrder, GateReport, Output, ServiceReport};
use super::leaving::Left;
use super::owner::lifetime;
use super::role::{Owner, Role, Running, Standby};
use super::settings::{Services, StopFailure};
use super::shared::Shared;
use super::time::{Mono, Span};
use super::turn::{Next, Turn};
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

    /// A negative control that no claim sent came back.
    fn control_back(&mut self, witness: usize, number: u64) {
        if self.witness.control_back(witness, number) {
            self.answers_to_the_sender(witness);
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
        self.take(cx, now, |role, turn| match role {
            Role::Opening(opening) => opening.gate(generation, &report, turn),
            Role::Leaving(leaving) => leaving.gate(generation, &report, turn),
            Role::Owner(owner) => owner.gate(&report, turn),
            Role::Standby(_) => Next::Stay,
        });
    }

    /// The ruleset was flushed by a foreign hand (SAFETY R1).
    pub fn gate_table_gone(&mut self, cx: &mut Shared, now: Mono) {
        let generation = cx.number();
        if bite::off(Clause::FlushIgnored) {
            return;
        }
        self.take(cx, now, |role, turn| match role {
            Role::Owner(owner) => owner.table_gone(generation, turn),
            Role::Opening(opening) => opening.failed("the ruleset was flushed while the gate was being opened".into(), turn),
            Role::Standby(_) => {
                let Turn { cx, data, .. } = turn;
                let attempt = cx.attempt();
                cx.out.push_back(Output::Address { group: data.id, attempt, order: AddressOrder::Remove });
                cx.out.push_back(Output::Gate { group: data.id, generation, order: GateOrder::Close });
                Next::Stay
            }
            Role::Leaving(leaving) => leaving.table_gone(),
        });
    }

    /// The kernel's word on an address order.
    pub fn address(&mut self, attempt: Attempt, report: AddressReport, cx: &mut Shared, now: Mono) {
        self.take(cx, now, |role, turn| match role {
            Role::Opening(opening) => opening.address(attempt, &report, turn),
            Role::Leaving(leaving) => leaving.address(attempt, &report, turn),
            Role::Owner(owner) => owner.address(report, turn),
            Role::Standby(_) => {
                turn.data.address_failed(&report, turn.cx);
                Next::Stay
            }
        });
    }

    /// A foreign hand deleted an address (SAFETY R10): restored while there is a ground.
    pub fn address_gone(&mut self, cx: &mut Shared, now: Mono) {
        if let Role::Owner(owner) = &mut self.role {
            owner.address_gone(&mut Turn { cx, data: &mut self.data, now });
        }
    }

    /// Word from the services.
    pub fn service_report(&mut self, attempt: Attempt, report: ServiceReport, cx: &mut Shared, now: Mono) {
        let Group { role, data } = self;
        if attempt != data.service.attempt {
            return;
        }
        let kind = Kind::Service(data.id);
        match report {
            ServiceReport::Warmed | ServiceReport::Started => {
                let warm = report == ServiceReport::Warmed;
                data.service.running = if warm { Running::Warm } else { Running::Running };
                // A cold service that was "warmed" was not started at all.
                let runs = !warm || cx.services(data.id) == Services::Warm;
                if let Some(f) = data.service.failure.as_mut().filter(|_| runs) {
                    f.runs_again = true;
                }
                if let Some(since) = data.service.away.take_if(|_| !warm) {
                    let gap = now.since(since);
                    cx.note(Level::Info, Some(&data.name), kind, format!("the services run; clients saw {gap}"));
                    if let Some(change) = &mut data.people.last_change {
                        change.gap = Some(gap);
                    }
                }
            }
            ServiceReport::Stopped => data.service.running = Running::Stopped,
            ServiceReport::StopFailed { service, reason } => {
                let text = format!("{service} does not stop: {reason}; this node is not eligible until it has");
                cx.note(Level::Error, Some(&data.name), kind, text);
                data.service.running = Running::Stuck(format!("{service}: {reason}"));
                data.service.stop_again = Some(now + STOP_AGAIN);
                if cx.settings.group(data.id).is_some_and(|group| group.stop_failure == StopFailure::Reboot) {
                    let text = format!("{service} does not stop: this machine reboots, as the file says");
                    cx.note(Level::Error, Some(&data.name), Kind::Fence, text);
                    cx.out.push_back(Output::Reboot);
                }
            }
            ServiceReport::LeftAlone { service, reason } => data.left_alone(format!("{service}: {reason}"), cx),
            ServiceReport::StartFailed { service, reason } | ServiceReport::Died { service, reason }
                if !matches!(role, Role::Owner(_) | Role::Opening(_))
                    && matches!(data.service.running, Running::Stopping | Running::Stuck(_)) =>
            {
                // It was to stop, and is gone. Others of the group may still run: only a stop that is through says that none does.
                cx.note(Level::Warn, Some(&data.name), kind, format!("{service}, which was being stopped: {reason}"));
                data.service.running = Running::Stuck(format!("{service}: {reason}"));
                data.service.stop_again = Some(now);
            }
            ServiceReport::StartFailed { service, reason } | ServiceReport::Died { service, reason } => {
                cx.note(Level::Error, Some(&data.name), kind, format!("{service} does not run: {reason}"));
                data.service.running = Running::Failed(format!("{service}: {reason}"), now + UNFIT);
                data.service.failed(now);
                if let Role::Standby(s) = role
                    && let Some(w) = s.wish.take()
                {
                    data.epochs.never_again(w.epoch);
                    // Who asked for it is told at once, and why.
                    data.commanded.takeover = false;
                    data.people.last_refusal = Some(format!("{service} does not run on {}: {reason}", cx.me()));
                }
            }
        }
        cx.urgent = true;
    }

    /// A witness answered an echo of this group.
    pub fn echo_reply(&mut self, witness: usize, kind: EchoKind, number: u64, cx: &mut Shared, now: Mono) {
        let turn = &mut Turn { cx, data: &mut self.data, now };
        match (&mut self.role, kind) {
            (Role::Owner(owner), EchoKind::Vip(_)) => owner.echo_back(witness, number, turn),
            (Role::Standby(standby), EchoKind::Challenge(_)) => standby.challenge_back(witness, number, turn),
            (Role::Standby(standby), EchoKind::Control(_)) => standby.control_back(witness, number, turn),
            (_, EchoKind::Control(_)) => turn.cx.control_back(witness, number),
            _ => {}
        }
    }

    /// An echo in the peer's name came back: the witness answers to the sender, and no claim rests on it.
    pub(super) fn inquiry_back(&mut self, witness: usize, cx: &mut Shared, now: Mono) {
        if let Role::Standby(standby) = &mut self.role {
            standby.inquiry_back(witness, &mut Turn { cx, data: &mut self.data, now });
        }
    }

    /// Somebody answered a probe.
    pub fn answered(&mut self, by: Mac, cx: &mut Shared, now: Mono) {
        let turn = &mut Turn { cx, data: &mut self.data, now };
        match &mut self.role {
            Role::Owner(owner) => owner.answered(by, turn),
            Role::Standby(standby) => standby.answered(by, turn),
            Role::Opening(_) | Role::Leaving(_) => {}
        }
    }

    /// Another machine announced itself as the VIP's.
    pub fn announced(&mut self, by: Mac, cx: &mut Shared, now: Mono) {
        self.take(cx, now, |role, turn| match role {
            Role::Owner(owner) => owner.announced(by, turn),
            Role::Standby(standby) => standby.announced(by, turn),
            Role::Opening(_) | Role::Leaving(_) => Next::Stay,
        });
    }

    /// The witness asks everybody for the VIP: its entry is gone, a stand-down ends (SAFETY R5): at once where the peer was the owner when it
    /// was last heard. Where it was none, the same question ends its own stand-down in the same instant: the second node leaves the first one
    /// the time of two challenges.
    pub fn witness_asks(&mut self, cx: &Shared, now: Mono) {
        if bite::off(Clause::QuestionEndsNothing) {
            return;
        }
        let head_start = self.data.head_start(cx);
        let second = head_start > Span::ZERO;
        self.data.stand_down.until = self.data.stand_down.until.filter(|_| second).map(|until| until.min(now + head_start));
    }

    /// All that was known is void after a gap (SAFETY R10).
    pub fn void(&mut self, cx: &mut Shared, now: Mono) {
        let turn = &mut Turn { cx, data: &mut self.data, now };
        match &mut self.role {
            Role::Owner(owner) => owner.void(turn),
            Role::Standby(standby) => standby.void(turn),
            Role::Opening(_) | Role::Leaving(_) => {}
        }
    }
}

impl Owner {
    fn gate(&mut self, report: &GateReport, turn: &mut Turn) -> Next {
        match report {
            GateReport::Lapsed if bite::off(Clause::LapseIgnored) => {}
            GateReport::Lapsed => {
                return turn.leave(self.epoch, Left::Driven("the gate had closed by itself before it was renewed".into()));
            }
            GateReport::Failed(reason) => {
                turn.cx.note(Level::Error, Some(&turn.data.name), Kind::Host, format!("the gate cannot be renewed: {reason}"));
            }
            GateReport::Opened | GateReport::Renewed | GateReport::Closed | GateReport::Unguarded(_) => {}
        }
        Next::Stay
    }

    fn table_gone(&mut self, generation: u64, turn: &mut Turn) -> Next {
        if bite::off(Clause::FlushIsLapse) {
            return turn.leave(self.epoch, Left::Driven("the gate had closed by itself".into()));
        }
        let until = if bite::off(Clause::FlushRevives) {
            turn.now + turn.cx.lease()
        } else if self.armed > turn.now {
            let text = "a foreign hand flushed the ruleset: the gate is made again";
            turn.cx.note(Level::Warn, Some(&turn.data.name), Kind::Host, text);
            self.armed
        } else {
            return turn.leave(self.epoch, Left::Driven("the ruleset was flushed, and there was no ground left".into()));
        };
        turn.cx.out.push_back(Output::Gate { group: turn.data.id, generation, order: GateOrder::Rebuild(until) });
        Next::Stay
    }

    fn address(&mut self, report: AddressReport, turn: &mut Turn) -> Next {
        let Turn { cx, data, now } = turn;
        match report {
            AddressReport::Partly(gone) => {
                self.lacking.get_or_insert_default();
                let known = core::mem::replace(&mut self.missing, true);
                if !known {
                    cx.note(Level::Warn, Some(&data.name), Kind::Host, format!("not served, {gone}"));
                }
            }
            AddressReport::Failed(reason) => {
                let again = core::mem::replace(&mut self.missing, true);
                // A refresh that came late has taken it away: it is put back at once, and what fails then at each refresh.
                if !again {
                    self.refresh = *now;
                }
                let known = again && self.lacking.is_some();
                // Each refresh tries again, and fails again.
                if !known && self.failed.is_none_or(|at| *now >= at + SAY_EVERY) {
                    self.failed = Some(*now);
                    cx.note(Level::Warn, Some(&data.name), Kind::Host, format!("address: {reason}"));
                }
            }
            AddressReport::Added if self.missing => {
                (self.missing, self.failed) = (false, None);
                self.announce_now(*now);
            }
            AddressReport::Added | AddressReport::Removed => {}
        }
        Next::Stay
    }

    fn address_gone(&mut self, turn: &mut Turn) {
        let Turn { cx, data, now } = turn;
        let (now, lease) = (*now, cx.lease());
        if self.armed <= now || self.grounds.newest().is_none_or(|g| g + lease <= now) {
            // Put back as soon as there is a ground again.
            self.missing = true;
            self.refresh = now;
            return;
        }
        if self.lacking.is_some() {
            self.missing = true;
            return;
        }
        let attempt = cx.attempt();
        cx.out.push_back(Output::Address { group: data.id, attempt, order: AddressOrder::Add(lifetime(lease)) });
        self.announce_now(now);
        cx.note(Level::Warn, Some(&data.name), Kind::Host, "a foreign hand deleted the address: put back");
    }

    fn echo_back(&mut self, witness: usize, number: u64, turn: &mut Turn) {
        if let Some(p) = self.paths.get_mut(witness) {
            p.answer(turn.now, number, turn.cx.settings.timing.delivery);
        }
        self.defence.came_back(number);
        self.path_answered(turn.cx);
        turn.data.people.table_proved = turn.data.people.table_proved.max(self.grounds.path);
    }

    fn answered(&mut self, by: Mac, turn: &mut Turn) {
        let Some(probes) = &mut self.lacking else { return };
        if probes.answered.is_none() {
            let text = format!("not added: {by} answers for an address whose interface is back");
            turn.cx.note(Level::Warn, Some(&turn.data.name), Kind::Host, text);
        }
        probes.answer(turn.now, by);
    }

    fn void(&mut self, turn: &mut Turn) {
        self.grounds.void();
        self.paths.iter_mut().for_each(Series::void);
        self.defence = Defence::new(turn.now);
        self.echoed = None;
        turn.cx.ask = true;
        turn.cx.urgent = true;
    }
}

impl Standby {
    fn challenge_back(&mut self, witness: usize, number: u64, turn: &mut Turn) {
        let Some(c) = self.claim.as_mut().and_then(|c| c.challenge.as_mut()) else { return };
        let needed = c.needed;
        if let Some(r) = c.registers.get_mut(witness) {
            r.answered(turn.now, number, needed, &turn.cx.settings.timing);
        }
    }

    fn control_back(&mut self, witness: usize, number: u64, turn: &mut Turn) {
        if self.claim.as_ref().is_some_and(|c| c.challenge.is_some() && c.proof.knows(witness, number)) {
            let text = "a negative control came back late: the witness may answer to the sender";
            self.stood_down(text.into(), turn);
        } else if !self.claim.as_mut().is_some_and(|c| c.proof.came_back(witness, number)) {
            turn.cx.control_back(witness, number);
        }
    }

    fn inquiry_back(&mut self, witness: usize, turn: &mut Turn) {
        let Some(claim) = self.claim.as_mut() else { return };
        claim.proof.refuse(witness);
        let Some(c) = claim.challenge.as_mut() else { return };
        let Some(r) = c.registers.get_mut(witness) else { return };
        r.never_took = true;
        if c.verdict(turn.cx.settings.witness.register_majority()) == Verdict::NeverTook {
            self.stood_down("the witness answers to the sender, and not to its table".into(), turn);
        }
    }

    fn answered(&mut self, by: Mac, turn: &mut Turn) {
        let now = turn.now;
        turn.data.owner_seen(by, turn.cx, now);
        // The peer answers for what it owns; who else answers is somebody to be found.
        let peers = turn.cx.peer.group(&turn.data.name).is_some_and(|g| g.role != BeatRole::Standby);
        if turn.cx.in_touch(now) && !peers {
            turn.data.people.stranger = Some((by, now));
        }
        if let Some(w) = &mut self.wish {
            w.probes.answer(now, by);
        }
        let Some(claim) = &mut self.claim else { return };
        claim.probes.answer(now, by);
        if claim.challenge.is_some() {
            self.stood_down(format!("{by} answers for the address"), turn);
        }
    }

    fn announced(&mut self, by: Mac, turn: &mut Turn) -> Next {
        turn.data.owner_seen(by, turn.cx, turn.now);
        if self.claim.as_ref().is_some_and(|c| c.challenge.is_some()) {
            self.stood_down(format!("{by} announced the address"), turn);
        }
        Next::Stay
    }

    fn void(&mut self, turn: &mut Turn) {
        if self.claim.take().is_some_and(|c| c.challenge.is_some()) {
            turn.cx.out.push_back(Output::AnswerUnicast { group: turn.data.id, on: false });
        }
        if let Some(w) = self.wish.take() {
            turn.data.epochs.never_again(w.epoch);
        }
    }
}

impl Data {
    /// A standby keeps who spoke for the address while the peer says that it serves.
    fn owner_seen(&mut self, by: Mac, cx: &Shared, now: Mono) {
        if cx.in_touch(now) && cx.peer.group(&self.name).is_some_and(|g| g.gate_open) {
            self.table.owner_mac = Some(by);
        }
    }
}
