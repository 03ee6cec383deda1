//! The recorded world around a node with other settings: what was heard stays, what answers its own deeds is modelled.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::facts::{Asks, Decision, Stretch, nearest, took};
use twinbeat_core::event::Event;
use twinbeat_core::heartbeat::{Heartbeat, Verified};
use twinbeat_core::id::{Attempt, GroupId, LinkId, Mac, WitnessId};
use twinbeat_core::io::{AddressOrder, Answer, EchoKind, GateOrder, Input, Record, ServiceOrder, ServiceReport};
use twinbeat_core::node::Node;
use twinbeat_core::settings::Settings;
use twinbeat_core::time::{Mono, Span};
use twinbeat_core::words::{GroupRole, PeerState, ServiceState};
use twinbeat_effect::{Disk, Handler, Kernel, completion};
use twinbeat_sim::rng::Rng;
use twinbeat_sim::services::ServiceModel;

/// A kernel answers after this.
const KERNEL: Span = Span::micros(100);
/// A disk.
const DISK: Span = Span::millis(4);
/// A neighbour that answers a probe.
const NEIGHBOUR: Span = Span::millis(1);
/// A timer is never exact.
const TIMER: Span = Span::micros(20);

/// How near the peer's silence came to a claim that was not made.
#[derive(Clone, Debug)]
pub struct CloseCall {
    /// When the peer was heard again.
    pub at: Mono,
    /// After how long.
    pub silence: Span,
    /// What was missing.
    pub missing: Vec<String>,
}

/// What had to be assumed, counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Assumed {
    /// Echoes that asked a table as the recorded node did not at that time: the model's table answered.
    pub table: u64,
    /// Echoes at a time without any recorded: taken as unanswered.
    pub reach: u64,
    /// Probes at a time when the recorded node did not probe: taken as unanswered.
    pub probes: u64,
}

/// How it went.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What was decided.
    pub decisions: Vec<Decision>,
    /// Silences that ended.
    pub close_calls: Vec<CloseCall>,
    /// What was assumed.
    pub assumed: Assumed,
}

enum What {
    Input(Input),
    ServiceDone(usize, u32),
}

/// The run.
pub struct World<'a> {
    stretch: &'a Stretch,
    old: &'a Settings,
    node: Node,
    now: Mono,
    kernel: Kernel,
    services: Vec<ServiceModel>,
    queue: BTreeMap<(Mono, u64), What>,
    queued: u64,
    rng: Rng,
    sent: Vec<(u64, Mono)>,
    /// The newest heartbeat.
    newest: Option<Arc<Heartbeat>>,
    /// For each group, whether the witnesses' tables name this node, as far as the model knows.
    named: Vec<bool>,
    disk: Disk,
    ended: bool,
    outcome: Outcome,
}

impl<'a> World<'a> {
    /// The stretch's beginning, with other settings.
    ///
    /// # Errors
    /// When the recorded state cannot be given them.
    pub fn new(stretch: &'a Stretch, settings: &Settings) -> Result<World<'a>, String> {
        let old = &stretch.head.settings;
        let mut state = serde_json::to_value(&stretch.head.state).map_err(|e| e.to_string())?;
        let shared = state.get_mut("cx").and_then(|cx| cx.as_object_mut()).ok_or("the recorded state has no settings")?;
        let json = |value: &Settings| serde_json::to_value(value).map_err(|e| e.to_string());
        shared.insert("settings".into(), json(settings)?);
        // What the peer has acknowledged of the old lease it would have of the new one.
        let acked = shared.get("acked_lease").and_then(serde_json::Value::as_u64);
        if acked == Some(old.timing.lease.0) {
            shared.insert("acked_lease".into(), settings.timing.lease.0.into());
        }
        let node: Node = serde_json::from_value(state).map_err(|e| e.to_string())?;
        let groups = settings.groups.len();
        let now = stretch.head.at;
        let mut kernel = Kernel::new(groups);
        kernel.adopt(now);
        let mut services: Vec<ServiceModel> = settings.groups.iter().map(|g| ServiceModel::new(g.services)).collect();
        let mut named = vec![false; groups];
        if node.deadline().is_some() {
            let seen = node.view(now).groups;
            for (((seen, named), kernel), service) in seen.iter().zip(&mut named).zip(&mut kernel.groups).zip(&mut services) {
                *named = seen.role == GroupRole::Owner;
                kernel.gate = seen.lease_ms_left.map(|left| now + Span::millis(left));
                kernel.address = named.then_some(now + Span::secs(2));
                service.running = matches!(seen.service, ServiceState::Running | ServiceState::Warm);
            }
        }
        Ok(World {
            stretch,
            old,
            node,
            now,
            kernel,
            services,
            queue: BTreeMap::new(),
            queued: 0,
            rng: Rng::new(1),
            sent: Vec::new(),
            newest: None,
            named,
            disk: Disk::default(),
            ended: false,
            outcome: Outcome::default(),
        })
    }

    /// Runs to the end of the stretch.
    pub fn run(mut self) -> Outcome {
        let mut next = 0;
        while let (Some((at, input)), false) = (self.stretch.inputs.get(next), self.ended) {
            let queued = self.queue.first_key_value().map(|((at, _), _)| *at);
            let due = self.node.deadline().map(|due| self.awake(due.max(self.now + TIMER)));
            if let Some(first) = queued.filter(|q| q <= at && due.is_none_or(|due| *q <= due)) {
                self.now = self.now.max(first);
                if let Some((_, what)) = self.queue.pop_first() {
                    self.happen(what);
                }
            } else if let Some(due) = due.filter(|due| due < at) {
                self.now = due;
                self.give(Input::Tick);
            } else {
                self.now = self.now.max(*at);
                next = next.saturating_add(1);
                self.recorded(input);
            }
        }
        self.outcome
    }

    /// A loop that did not run then would not have run now.
    fn awake(&self, due: Mono) -> Mono {
        let place = self.stretch.stalls.partition_point(|(_, to)| *to < due);
        self.stretch.stalls.get(place).filter(|(from, _)| *from <= due).map_or(due, |(_, to)| due.max(*to))
    }

    fn later(&mut self, after: Span, what: What) {
        self.queued = self.queued.saturating_add(1);
        self.queue.insert((self.now + after, self.queued), what);
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Input(input) => self.give(input),
            What::ServiceDone(group, token) => {
                if let Some((attempt, report)) = self.services.get_mut(group).and_then(|service| service.finish(token)) {
                    self.give(Input::Services { group: GroupId(group as u8), attempt, report });
                }
            }
        }
    }

    /// A recorded input: a fact of the world is given, an answer to the recorded node's own deeds is not.
    fn recorded(&mut self, input: &Input) {
        if self.node.settings().knows(input).is_err() {
            return; // of a link, group or witness that is not there: the node passes it over as well
        }
        match input {
            Input::Tick | Input::EchoReply { .. } | Input::Fenced { .. } | Input::Gate { .. } | Input::Address { .. } => {}
            Input::Persisted { .. } => self.disk.fails = None,
            Input::PersistFailed { .. } => self.disk.fails = Some("as recorded"),
            Input::Heard { link, beat } => {
                self.close_call();
                let beat = self.rewritten(beat.get());
                self.give(Input::Heard { link: *link, beat });
            }
            Input::HeardByTable { group, beat } => {
                let beat = self.rewritten(beat.get());
                self.give(Input::HeardByTable { group: *group, beat });
            }
            Input::Services { group, report: report @ ServiceReport::Died { .. }, .. } => {
                let Some(service) = self.services.get_mut(usize::from(group.0)) else { return };
                if service.die() {
                    let attempt = service.attempt;
                    self.give(Input::Services { group: *group, attempt, report: report.clone() });
                }
            }
            Input::Services { group, report: ServiceReport::LeftAlone { reason, .. }, .. } => {
                let Some(service) = self.services.get_mut(usize::from(group.0)) else { return };
                if service.die() {
                    let (attempt, report) = (service.attempt, service.falls(reason));
                    self.give(Input::Services { group: *group, attempt, report });
                }
            }
            Input::Services { .. } => {}
            Input::Start(start) => {
                for (g, (group, service)) in self.kernel.groups.iter_mut().zip(&mut self.services).enumerate() {
                    group.gate = start.gates.get(g).copied().flatten();
                    group.address = start.addresses.get(g).copied().unwrap_or(false).then_some(self.now + Span::secs(2));
                    service.running = start.running.get(g).copied().unwrap_or(false);
                }
                self.give(input.clone());
            }
            Input::Announced { group, .. } => {
                self.name(*group, false);
                self.give(input.clone());
            }
            Input::AddressGone { group } => {
                // One that ran out by itself does so here by the model.
                if self.kernel.delete_address(self.now, usize::from(group.0)) {
                    self.give(input.clone());
                }
            }
            Input::GateTableGone => {
                self.kernel.flush();
                self.give(input.clone());
            }
            other => self.give(other.clone()),
        }
    }

    /// The witnesses' tables name this node from now on, or do not.
    fn name(&mut self, group: GroupId, this: bool) {
        if let Some(named) = self.named.get_mut(usize::from(group.0)) {
            *named = this;
        }
    }

    /// The peer is heard: was it silent?
    fn close_call(&mut self) {
        if self.node.deadline().is_none() {
            return;
        }
        let view = self.node.view(self.now);
        if !matches!(view.peer_state, PeerState::Suspected | PeerState::Silent) {
            return;
        }
        let silence = view.links.iter().filter_map(|l| l.heard_ms).min().map(Span::millis).unwrap_or_default();
        let missing: Vec<String> =
            view.groups.iter().filter(|g| g.role == GroupRole::Standby).flat_map(|g| g.claim_open.clone()).collect();
        // A silence that led to a claim has nothing missing: this node owns.
        if missing.is_empty() {
            return;
        }
        self.outcome.close_calls.push(CloseCall { at: self.now, silence, missing });
    }

    /// The peer's heartbeat as it would have been: it answers the numbers of this node's heartbeats instead of the recorded
    /// ones, knows the lease that both are configured with, and what it granted, released or refused for an epoch is meant for
    /// this node's intent with that epoch.
    fn rewritten(&self, beat: &Heartbeat) -> Arc<Verified<Heartbeat>> {
        let mut beat = beat.clone();
        let (was, is) = (self.old.timing.lease, self.node.settings().timing.lease);
        let lease = |span: Span| if span == was { is } else { span };
        beat.lease = lease(beat.lease);
        if let Some(of) = &mut beat.echo_of {
            of.lease = lease(of.lease);
        }
        let intents = self.newest.iter().flat_map(|newest| &newest.groups);
        let intents: Vec<_> = intents.filter_map(|group| Some((&group.name, group.intent?))).collect();
        for group in &mut beat.groups {
            let Some((_, intent)) = intents.iter().find(|(name, _)| **name == group.name) else { continue };
            let refused = group.refused.as_mut().map(|refused| &mut refused.grant);
            for grant in [group.granted.as_mut(), group.released.as_mut(), refused].into_iter().flatten() {
                if grant.epoch == intent.epoch {
                    grant.attempt = intent.attempt;
                }
            }
        }
        for echo in &mut beat.echoes {
            let recorded = self.stretch.sent.binary_search_by_key(&echo.number, |(number, _)| *number);
            if let Some((_, at)) = recorded.ok().and_then(|place| self.stretch.sent.get(place)) {
                // The newest that was on its way when the recorded one was sent.
                let mine = self.sent.partition_point(|(_, sent)| sent <= at);
                let before = self.stretch.sent.first().map_or(0, |(first, _)| first.saturating_sub(1));
                echo.number = mine.checked_sub(1).and_then(|place| self.sent.get(place)).map_or(before, |(number, _)| *number);
            }
        }
        Arc::new(Verified::vouch(beat))
    }

    fn give(&mut self, input: Input) {
        self.node.handle(self.now, input);
        while let Some(output) = self.node.poll() {
            self.carry_out(0, output);
        }
    }

    /// How long the answer to an echo takes, if there is one: as the nearest recorded one of its kind fared.
    fn answer(&mut self, witness: WitnessId, kind: EchoKind) -> Option<Span> {
        let asks = Asks::of(kind)?;
        let interval = self.old.witness.interval.max(self.node.settings().witness.interval);
        let reach = (interval * 3).max(Span::millis(500));
        let near = |asks| {
            let all = self.stretch.soundings.get(&(witness.0, asks))?;
            nearest(all, self.now, |(at, _)| *at, reach).copied()
        };
        let Some((_, answered)) = near(Asks::Reach) else {
            self.outcome.assumed.reach = self.outcome.assumed.reach.saturating_add(1);
            return None;
        };
        let Asks::Table(group) = asks else { return answered };
        match near(asks) {
            Some((_, answered)) => answered,
            None => {
                self.outcome.assumed.table = self.outcome.assumed.table.saturating_add(1);
                answered.filter(|_| self.named.get(usize::from(group)).copied().unwrap_or(false))
            }
        }
    }
}

/// The one node is number 0. Nobody waits for a reply, and no entry ages.
impl Handler for World<'_> {
    fn send(&mut self, _: usize, beat: Arc<Heartbeat>, _: Vec<LinkId>) {
        self.sent.push((beat.number, self.now));
        self.newest = Some(beat);
    }

    fn echo(&mut self, _: usize, witness: WitnessId, kind: EchoKind, number: u64) {
        if let Some(after) = self.answer(witness, kind) {
            self.later(after, What::Input(Input::EchoReply { witness, kind, number }));
        }
    }

    fn probe(&mut self, _: usize, group: GroupId) {
        let reach = Span::secs(1);
        let of_group = |input: &Input| matches!(input, Input::Answered { group: g, .. } if *g == group);
        let answer = nearest(&self.stretch.answers, self.now, |(at, _)| *at, reach).map(|(_, input)| input.clone());
        if let Some(input) = answer.filter(of_group) {
            self.later(NEIGHBOUR, What::Input(input));
        } else if nearest(&self.stretch.probes, self.now, |at| *at, reach).is_none() {
            self.outcome.assumed.probes = self.outcome.assumed.probes.saturating_add(1);
        }
    }

    fn write(&mut self, _: usize, group: GroupId, _: WitnessId) {
        self.name(group, true);
    }

    fn give_back(&mut self, _: usize, group: GroupId, _: WitnessId, _: Mac) {
        self.name(group, false);
    }

    fn answer_unicast(&mut self, _: usize, _: GroupId, _: bool) {}

    fn announce(&mut self, _: usize, group: GroupId) {
        self.name(group, true);
    }

    fn gate(&mut self, _: usize, group: GroupId, generation: u64, order: GateOrder) {
        let report = self.kernel.gate(self.now, Span::ZERO, usize::from(group.0), order);
        if let Some(input) = completion::of_gate(group, generation, report) {
            self.later(KERNEL, What::Input(input));
        }
    }

    fn address(&mut self, _: usize, group: GroupId, attempt: Attempt, order: AddressOrder) {
        let report = self.kernel.address(self.now, Span::ZERO, usize::from(group.0), order);
        self.later(KERNEL, What::Input(Input::Address { group, attempt, report }));
    }

    fn services(&mut self, _: usize, group: GroupId, attempt: Attempt, order: ServiceOrder) {
        let g = usize::from(group.0);
        // What the recorded service said next it would have said here.
        let later = self.stretch.services.iter().skip_while(|(at, ..)| *at < self.now);
        let next = later.filter(|(_, other, _)| *other == group.0).map(|(.., report)| report).next();
        let Some(service) = self.services.get_mut(g) else { return };
        service.start_fails = matches!(next, Some(ServiceReport::StartFailed { .. }));
        service.stop_fails = matches!(next, Some(ServiceReport::StopFailed { .. }));
        let (time, token) = service.take(attempt, order, &mut self.rng);
        let recorded = self.stretch.orders.get(&group.0).and_then(|orders| took(orders, self.now));
        self.later(recorded.unwrap_or(time), What::ServiceDone(g, token));
    }

    fn fence(&mut self, _: usize, attempt: Attempt) {
        // What the device said next it would have said here; one that was not asked says nothing.
        let said = |(at, input): &(Mono, Input)| match input {
            Input::Fenced { failed, .. } if *at >= self.now => Some((*at, failed.clone())),
            _ => None,
        };
        if let Some((at, failed)) = self.stretch.inputs.iter().find_map(said) {
            self.later(at.since(self.now), What::Input(Input::Fenced { attempt, failed }));
        }
    }

    fn reboot(&mut self, _: usize) {}

    fn hands_off(&mut self, _: usize, group: GroupId, on: bool) {
        let Some(service) = self.services.get_mut(usize::from(group.0)) else { return };
        if let Some(report) = service.hands_off(on) {
            let attempt = service.attempt;
            self.later(KERNEL, What::Input(Input::Services { group, attempt, report }));
        }
    }

    fn persist(&mut self, _: usize, ticket: u64, record: Record) {
        let input = self.disk.write(ticket, record);
        let after = took(&self.stretch.writes, self.now).unwrap_or(DISK);
        self.later(after, What::Input(input));
    }

    fn reply(&mut self, _: usize, _: u64, _: Answer) {}

    fn exit(&mut self, _: usize, _: bool) {
        self.ended = true;
    }

    fn note(&mut self, _: usize, event: Event) {
        self.outcome.decisions.extend(Decision::of(self.now, &event));
    }
}
