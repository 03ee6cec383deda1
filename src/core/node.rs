//! `Node`: handle(now, input), poll() -> output, deadline(). One step looks at everything; nothing hides in a timer.

use alloc::sync::Arc;

use serde::{Deserialize, Serialize};

use super::bite::{self, Clause};
use super::command::Commands;
use super::event::{Kind, Level};
use super::files::PeerFile;
use super::group::Group;
use super::heartbeat::{Heartbeat, VERSION, Verified};
use super::id::{Epoch, GroupId, LinkId};
use super::io::{EchoKind, GroupRecord, Input, Output, Record, Start};
use super::link::{LinkState, link_words};
use super::meaning;
use super::peer::{Guard, News};
use super::settings::Settings;
use super::shared::Shared;
use super::time::{Mono, Span};
use super::timer::Timer;
use crate::prelude::*;

/// A record on its way to the disk.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Writing {
    ticket: u64,
    /// What it reserves for each group.
    epochs: Vec<Epoch>,
    /// The peer's lease in it.
    peer_lease: Span,
    /// What the peer said of its file.
    #[serde(default)]
    peer_file: Option<PeerFile>,
}

/// A record that could not be written is tried again after this.
const DISK_AGAIN: Span = Span::secs(1);
/// The decision of one node. How it is driven: the example of the [crate].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Node {
    pub(super) cx: Shared,
    pub(super) groups: Vec<Group>,
    pub(super) commands: Commands,
    pub(super) started: bool,
    /// The last instant that was handled.
    pub(super) last: Mono,
    /// When the next heartbeat is due.
    pub(super) next_beat: Mono,
    /// When the last one went out.
    pub(super) last_beat: Option<Mono>,
    /// The peer asked for an answer.
    pub(super) answer: bool,
    /// When this node last asked for one.
    #[serde(default)]
    pub(super) asked: Option<Mono>,
    /// The record on its way to the disk.
    #[serde(serialize_with = "meaning::own")]
    pub(super) writing: Option<Writing>,
    /// When to try the disk again.
    pub(super) disk_again: Mono,
    pub(super) next_control: Mono,
    /// Since when there has been somebody to ask a negative control about.
    #[serde(default)]
    pub(super) controls_since: Option<Mono>,
    pub(super) mismatch: Option<String>,
    pub(super) suspected: bool,
    /// What was derived when the last step was over: it is asked for more often than the state changes.
    #[serde(skip)]
    pub(super) due: Option<(Mono, Timer)>,
}

impl Node {
    /// A node that knows nothing yet; give it [`Input::Start`] first.
    pub fn new(settings: Settings, now: Mono) -> Node {
        Node {
            cx: Shared::new(settings, now),
            groups: Vec::new(),
            commands: Commands::default(),
            started: false,
            last: now,
            next_beat: now,
            last_beat: None,
            answer: false,
            asked: None,
            writing: None,
            disk_again: now,
            next_control: now,
            controls_since: None,
            mismatch: None,
            suspected: false,
            due: None,
        }
    }

    /// Takes one fact. Drain [`poll`](Node::poll) before giving the next one. Before [`Input::Start`] nothing is taken.
    pub fn handle(&mut self, now: Mono, input: Input) {
        let now = now.max(self.last);
        if self.started {
            self.notice_gap(now);
        }
        self.last = now;
        match input {
            Input::Start(start) if !self.started => self.start(start, now),
            _ if !self.started => return,
            input => self.take(input, now),
        }
        self.step(now);
    }

    /// The next thing that the world is to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.cx.out.pop_front()
    }

    pub(super) fn is_started(&self) -> bool {
        self.started
    }

    /// The settings that it was made with.
    pub fn settings(&self) -> &Settings {
        &self.cx.settings
    }

    pub(super) fn mismatch(&self) -> Option<&str> {
        self.mismatch.as_deref()
    }

    /// The loop did not run for longer than it should: what is known is void until new evidence arrives (SAFETY R10).
    fn notice_gap(&mut self, now: Mono) {
        let Some(due) = self.deadline() else { return };
        let late = now.since(due);
        if late <= self.cx.settings.timing.heartbeat || bite::off(Clause::GapUnnoticed) {
            return;
        }
        let text = format!("the decision loop came {late} late: old evidence is void");
        self.cx.note(Level::Warn, None, Kind::Stall, text);
        self.cx.peer.floor = now;
        self.cx.witness.void(now);
        for group in &mut self.groups {
            group.void(&mut self.cx, now);
        }
    }

    fn start(&mut self, start: Start, now: Mono) {
        (self.started, self.cx.incarnation, self.cx.born) = (true, start.incarnation, now);
        self.cx.peer.floor = now;
        (self.cx.fence.done, self.cx.fence.left) = (start.record.fenced.filter(|at| *at <= now), start.record.fencing);
        self.cx.peer.file.clone_from(&start.record.peer_file);
        self.cx.peer.durable_file = start.record.peer_file;
        self.cx.note_files();
        let names: Vec<_> = self.cx.settings.groups.iter().map(|g| g.name.clone()).collect();
        for (i, name) in names.into_iter().enumerate() {
            let record = start.record.groups.iter().find(|r| r.name == name);
            if let Some(r) = record {
                self.cx.peer.lease = self.cx.peer.lease.max(r.peer_lease);
                self.cx.peer.durable_lease = self.cx.peer.lease;
                self.cx.acked_lease = self.cx.acked_lease.max(r.acked_lease);
            }
            let at = |v: &[bool]| v.get(i).copied().unwrap_or(false);
            let gate = start.gates.get(i).copied().flatten();
            let id = GroupId(i as u8);
            let group = Group::start(id, record, gate, at(&start.addresses), at(&start.running), &mut self.cx, now);
            self.groups.push(group);
        }
        for (i, w) in (0u8..).zip(&mut self.cx.witness.targets) {
            w.register &= !start.record.no_register.contains(&i);
        }
        self.cx.dirty = true;
        self.cx.urgent = true;
        self.cx.ask = true;
        self.next_beat = now + self.cx.settings.timing.heartbeat;
        self.cx.witness.next = now;
        self.next_control = now;
    }

    fn take(&mut self, input: Input, now: Mono) {
        let cx = &mut self.cx;
        match input {
            Input::Start(_) | Input::Tick => {}
            Input::Heard { link, beat } => self.heard(link, &beat, now),
            Input::HeardByTable { beat, .. } => {
                if cx.peer.guard(beat.get(), cx.peer.newest, cx.incarnation, &cx.sent, now, cx.settings.timing.lease)
                    == Guard::New
                {
                    self.accept(&beat, true, now);
                }
            }
            Input::Link { link, state } => self.interfaces_change(|node| node.interface(link, state, now)),
            Input::Ipv6Off { link, off } => self.interfaces_change(|node| {
                if let Some(link) = node.cx.links.get_mut(usize::from(link.0)) {
                    link.set_ipv6_off(now, off);
                }
            }),
            Input::EchoReply { witness, kind, number } => {
                let target = usize::from(witness.0);
                match kind {
                    EchoKind::Own => {
                        let settings = cx.settings.witness.clone();
                        cx.witness.answered(now, target, number, &settings, cx.settings.timing.delivery);
                    }
                    EchoKind::Inquiry if bite::off(Clause::NoInquiry) => {}
                    EchoKind::Inquiry => {
                        if let Some(t) = cx.witness.targets.get_mut(target) {
                            t.inquiries.anew();
                        }
                        self.groups.iter_mut().for_each(|g| g.inquiry_back(target, cx, now));
                    }
                    EchoKind::Vip(g) | EchoKind::Challenge(g) | EchoKind::Control(g) => {
                        if let Some(group) = self.groups.get_mut(usize::from(g.0)) {
                            group.echo_reply(target, kind, number, cx, now);
                        }
                    }
                }
            }
            Input::Answered { group, by } => self.with(group, |g, cx| g.answered(by, cx, now)),
            Input::Announced { group, by } => self.with(group, |g, cx| g.announced(by, cx, now)),
            Input::Startable { group, obstacle } => self.with(group, |g, cx| g.data.startable(obstacle, cx)),
            Input::WitnessAsks { group } => self.with(group, |g, cx| g.witness_asks(cx, now)),
            Input::Gate { group, generation, report } => self.with(group, |g, cx| g.gate(generation, report, cx, now)),
            Input::GateTableGone => {
                for group in &mut self.groups {
                    group.gate_table_gone(cx, now);
                }
            }
            Input::Address { group, attempt, report } => self.with(group, |g, cx| g.address(attempt, report, cx, now)),
            Input::AddressGone { group } => self.with(group, |g, cx| g.address_gone(cx, now)),
            Input::Services { group, attempt, report } => self.with(group, |g, cx| g.service_report(attempt, report, cx, now)),
            Input::Fenced { attempt, failed } => cx.fence_report(attempt, failed, now),
            Input::Persisted { ticket } => self.persisted(ticket),
            Input::PersistFailed { ticket, reason } => self.persist_failed(ticket, reason, now),
            Input::Command { id, command } => self.commands.take(id, command, &mut self.groups, &mut self.cx, now),
        }
    }

    fn with(&mut self, group: GroupId, f: impl FnOnce(&mut Group, &mut Shared)) {
        if let Some(g) = self.groups.get_mut(usize::from(group.0)) {
            f(g, &mut self.cx);
        }
    }

    fn heard(&mut self, link: LinkId, beat: &Arc<Verified<Heartbeat>>, now: Mono) {
        let cx = &mut self.cx;
        let Some(l) = cx.links.get_mut(usize::from(link.0)) else { return };
        let said = beat.get();
        if bite::off(Clause::MismatchIsSilence) && said.digest != cx.settings.digest {
            return;
        }
        let guard = cx.peer.guard(said, l.number, cx.incarnation, &cx.sent, now, cx.settings.timing.lease);
        if guard == Guard::Stale {
            return;
        }
        if guard == Guard::New {
            self.accept(beat, false, now);
        }
        let cx = &mut self.cx;
        let Some(l) = cx.links.get_mut(usize::from(link.0)) else { return };
        l.hear(now, said.number);
        if said.echo_of.is_some_and(|of| of.incarnation == cx.incarnation) {
            for echo in &said.echoes {
                let Some(l) = cx.links.iter_mut().find(|l| l.name == echo.link) else { continue };
                let Some(at) = cx.sent.when(echo.number) else { continue };
                if l.arrived.is_none_or(|a| at > a) {
                    l.arrived = Some(at);
                    if guard == Guard::New {
                        l.rtt = Some(now.since(at).less(echo.held));
                    }
                }
            }
        }
    }

    fn accept(&mut self, beat: &Arc<Verified<Heartbeat>>, by_table: bool, now: Mono) {
        let cx = &mut self.cx;
        let lease = cx.peer.lease;
        cx.apart &= by_table;
        cx.dirty |= cx.fence.heard();
        cx.hear_fencing(beat.get(), now);
        let News { restarted, file } = cx.peer.accept(now, beat, cx.incarnation, &cx.sent);
        if restarted {
            cx.links.iter_mut().for_each(|link| link.forget_numbers(now));
            // Its count of challenges begins anew.
            self.groups.iter_mut().for_each(|g| g.data.table.challenge_ack = 0);
            cx.note(Level::Info, None, Kind::Peer, format!("heard {} (incarnation {})", cx.peer_name(), beat.get().incarnation));
            self.answer = true;
        }
        if let Some(lease) = cx.peer.echoed_lease.filter(|lease| *lease > Span::ZERO) {
            // Lengthened only after the peer has echoed it (R11).
            let acked = lease.max(if restarted { Span::ZERO } else { cx.acked_lease });
            cx.dirty |= acked != cx.acked_lease;
            cx.acked_lease = acked;
        }
        if file {
            cx.note_files();
        }
        cx.dirty |= file || cx.peer.lease != lease;
        self.answer |= beat.get().answer;
        let said = beat.get();
        let mismatch = if said.version != VERSION {
            Some(format!("{} speaks version {}, this node {VERSION}", cx.peer_name(), said.version))
        } else if said.digest != cx.settings.digest {
            let what = cx.files_words().map(|what| format!(": {what}")).unwrap_or_default();
            Some(format!("the configuration of {} differs from this node's{what}", cx.peer_name()))
        } else {
            None
        };
        if mismatch != self.mismatch {
            let text = mismatch.clone().unwrap_or_else(|| "the configurations agree again".into());
            let level = if mismatch.is_some() { Level::Warn } else { Level::Info };
            cx.note(level, None, Kind::Mismatch, text);
            self.mismatch = mismatch;
        }
        self.each_group(|group, cx| group.heard(beat, by_table, cx, now));
    }

    fn persisted(&mut self, ticket: u64) {
        let Some(written) = self.writing.take_if(|w| w.ticket == ticket) else { return };
        for (group, epoch) in self.groups.iter_mut().zip(written.epochs) {
            group.data.epochs.durable = epoch;
        }
        if written.peer_lease > self.cx.peer.durable_lease {
            self.cx.peer.durable_lease = written.peer_lease;
        }
        self.cx.peer.durable_file = written.peer_file;
        if self.cx.disk_failed.take().is_some() {
            self.cx.note(Level::Info, None, Kind::Host, "the state directory can be written again");
        }
    }

    fn persist_failed(&mut self, ticket: u64, reason: String, now: Mono) {
        if self.writing.take_if(|w| w.ticket == ticket).is_none() {
            return;
        }
        self.disk_again = now + DISK_AGAIN;
        self.cx.dirty = true;
        if self.cx.disk_failed.is_none() {
            self.cx.note(
                Level::Error,
                None,
                Kind::Host,
                format!("the state directory cannot be written: {reason}; this node could not take over"),
            );
        }
        self.cx.disk_failed = Some(reason);
    }

    /// One look at everything.
    fn step(&mut self, now: Mono) {
        self.cx.begin_step();
        let owner = self.groups.iter().any(Group::owns);
        let goes_out = now >= self.next_beat || self.answers_at().is_some_and(|at| now >= at);
        self.cx.together = goes_out && !(owner && self.cx.settings.timing.tight());
        let timing = self.cx.settings.timing;
        let settings = self.cx.settings.witness.clone();
        if self.cx.witness.review(now, &settings, timing.delivery) {
            self.cx.urgent = true;
            let (level, text) = if self.cx.witness.reachable {
                (Level::Info, "the witness is reachable".to_string())
            } else if self.cx.witness.carrier {
                (Level::Warn, "the witness is unreachable".to_string())
            } else {
                (Level::Warn, "the public side lost its carrier or address".to_string())
            };
            self.cx.note(level, None, Kind::Witness, text);
        }
        let shown = self.cx.witness.shown();
        self.step_groups(now);
        self.commands.step(&mut self.groups, &mut self.cx, now);
        self.cx.fast = self.groups.iter().any(|g| g.hurries(&self.cx, now));
        self.cx.inquire = self.groups.iter().filter_map(|g| g.inquires(&self.cx, now)).min();
        self.review_peer(now);
        self.review_links(now);
        self.own_echoes(now);
        self.controls(now);
        self.inquiries(now);
        if self.cx.witness.shown() != shown {
            // A claim may rest on it, in this instant and not in the next one that something else wakes for.
            self.step_groups(now);
        }
        self.persist(now);
        self.beat(now);
        self.due = Some(self.derived());
    }

    fn review_peer(&mut self, now: Mono) {
        let cx = &mut self.cx;
        let t = cx.settings.timing;
        let Some(heard) = cx.peer.heard else { return };
        let suspected = now.since(heard) > t.warn;
        if suspected != self.suspected {
            self.suspected = suspected;
            if suspected {
                cx.note(Level::Warn, None, Kind::Peer, format!("{} was not heard on any link for {}", cx.peer_name(), t.warn));
            } else {
                cx.note(Level::Info, None, Kind::Peer, format!("{} is heard again", cx.peer_name()));
            }
        }
    }

    fn review_links(&mut self, now: Mono) {
        let timing = self.cx.settings.timing;
        for i in 0..self.cx.links.len() {
            let Some(link) = self.cx.links.get_mut(i) else { continue };
            let former = link.review(now, &timing);
            let link = (link.name.clone(), link.state);
            let (Some(former), (name, state)) = (former, link) else { continue };
            // What is merely not there yet at a start, of this daemon or of the peer's, is no warning.
            let early = now.since(self.cx.born) < timing.heartbeat
                || (state == LinkState::OneWay && now.since(self.cx.peer.met) < timing.heartbeat * 2);
            let level = if state == LinkState::Healthy || early { Level::Info } else { Level::Warn };
            let text = link_words(&[name], state, former);
            self.cx.note(level, None, Kind::Link(LinkId(i as u8)), text);
        }
    }

    fn persist(&mut self, now: Mono) {
        let cx = &mut self.cx;
        if self.writing.is_some() {
            return;
        }
        // Behind everything that may have used an epoch in this step; what is on its way may reserve the next one already.
        cx.dirty |= self.groups.iter().any(|g| g.data.epochs.durable < cx.next_epoch(g.data.epochs.seen));
        if !cx.dirty || now < self.disk_again {
            return;
        }
        cx.dirty = false;
        let groups: Vec<GroupRecord> = self.groups.iter().map(|g| g.record(cx, now)).collect();
        let ticket = cx.number();
        self.writing = Some(Writing {
            ticket,
            epochs: groups.iter().map(|g| g.epoch).collect(),
            peer_lease: cx.peer.lease,
            peer_file: cx.peer.file.clone(),
        });
        cx.out.push_back(Output::Persist {
            ticket,
            record: Record {
                groups,
                no_register: cx.struck_off(),
                peer_file: cx.peer.file.clone(),
                fenced: cx.fence.done,
                fencing: cx.fencing_until(),
            },
        });
    }
}
