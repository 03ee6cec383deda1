//! Every state with every input, and in a sentence what must happen.
//!
//! A node is driven into each state; then each input is given to a copy of it. The sentence is made from the outputs and the state after:
//! a change of behaviour shows as a changed line, to be judged by whoever reads it.

use std::fmt::Write as _;
use std::sync::Arc;

use super::files::{CABLE, LAN, fast, settings};
use crate::files::VipSet;
use crate::heartbeat::{BeatRole, EchoOf, Grant, GroupBeat, Heartbeat, Intent, LinkEcho, Offer, VERSION, Verified};
use crate::id::{Attempt, Epoch, GroupId, Incarnation, LinkId, Mac, NodeId};
use crate::io::{
    AddressOrder, AddressReport, Answer, Command, EchoKind, GateOrder, GateReport, Input, InterfaceState, Output, Record,
    ServiceOrder, ServiceReport, Start,
};
use crate::node::Node;
use crate::prelude::*;
use crate::role::{Role, Running, Stage};
use crate::settings::Failback;
use crate::time::{Mono, Span};

const GROUP: GroupId = GroupId(0);
const ME: Incarnation = Incarnation(7);
const PEER: Incarnation = Incarnation(9);

/// A node and its time, and the peer's next number.
#[derive(Clone)]
struct Bench {
    node: Node,
    now: Mono,
    number: u64,
    /// The newest numbers of my heartbeats and of each kind of echo, and the newest orders.
    beat: u64,
    vip_echo: u64,
    challenge: u64,
    gate: u64,
    address: Attempt,
    services: Attempt,
    ticket: u64,
    intent: Option<Intent>,
}

impl Bench {
    fn new() -> Bench {
        let now = Mono::ZERO + Span::secs(100);
        let node = Node::new(settings(0, Failback::Manual), now);
        let mut bench = Bench {
            node,
            now,
            number: 0,
            beat: 0,
            vip_echo: 0,
            challenge: 0,
            gate: 0,
            address: Attempt(0),
            services: Attempt(0),
            ticket: 0,
            intent: None,
        };
        let start =
            Start { incarnation: ME, record: Record::default(), gates: vec![None], addresses: vec![false], running: vec![false] };
        bench.give(Input::Start(start));
        for link in [CABLE, LAN] {
            bench.give(Input::Link { link: LinkId(link as u8), state: InterfaceState::Up });
        }
        bench
    }

    /// Gives an input; the kernel, the disk, the witness and the services do what they are told, unless they are to be slow.
    fn give(&mut self, input: Input) -> Vec<Output> {
        let mut all = self.raw(input);
        let mut next = 0;
        while next < all.len() {
            let reply = match &all[next] {
                Output::Persist { ticket, .. } => Some(Input::Persisted { ticket: *ticket }),
                Output::Echo { witness, kind: EchoKind::Own, number } => {
                    Some(Input::EchoReply { witness: *witness, kind: EchoKind::Own, number: *number })
                }
                Output::Gate { group, generation, order: GateOrder::Close } => {
                    Some(Input::Gate { group: *group, generation: *generation, report: GateReport::Closed })
                }
                Output::Address { group, attempt, order: AddressOrder::Remove } => {
                    Some(Input::Address { group: *group, attempt: *attempt, report: AddressReport::Removed })
                }
                Output::Services { group, attempt, order } => {
                    let report = match order {
                        ServiceOrder::Warm => ServiceReport::Warmed,
                        ServiceOrder::Start(_) => ServiceReport::Started,
                        ServiceOrder::Stop | ServiceOrder::StopCold => ServiceReport::Stopped,
                    };
                    Some(Input::Services { group: *group, attempt: *attempt, report })
                }
                _ => None,
            };
            next += 1;
            if let Some(reply) = reply {
                all.extend(self.raw(reply));
            }
        }
        all
    }

    /// Gives an input and nothing else.
    fn raw(&mut self, input: Input) -> Vec<Output> {
        self.node.handle(self.now, input);
        let all: Vec<Output> = std::iter::from_fn(|| self.node.poll()).collect();
        for output in &all {
            match output {
                Output::Send { beat, .. } => {
                    self.beat = beat.number;
                    self.intent = beat.groups[0].intent;
                }
                Output::Echo { kind: EchoKind::Vip(_), number, .. } => self.vip_echo = *number,
                Output::Echo { kind: EchoKind::Challenge(_), number, .. } => self.challenge = *number,
                Output::Gate { generation, .. } => self.gate = *generation,
                Output::Address { attempt, .. } => self.address = *attempt,
                Output::Services { attempt, .. } => self.services = *attempt,
                Output::Persist { ticket, .. } => self.ticket = *ticket,
                _ => {}
            }
        }
        all
    }

    /// Lets time pass, tick by tick.
    fn run(&mut self, span: Span) {
        let end = self.now + span;
        while let Some(due) = self.node.deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.give(Input::Tick);
        }
        self.now = end;
    }

    /// The peer's next heartbeat.
    fn said(&mut self, role: BeatRole, epoch: u64, change: impl FnOnce(&mut GroupBeat)) -> Input {
        self.number += 1;
        let mut group = GroupBeat {
            claims: true,
            unfit: None,
            name: "web".into(),
            vips: VipSet::of(&settings(0, Failback::Auto).groups[0]),
            role,
            epoch: Epoch(epoch),
            gate_open: role == BeatRole::Owner,
            eligible: true,
            unproven: false,
            standby_held: false,
            told: 0,
            offer: None,
            intent: None,
            granted: None,
            released: None,
            closed_for: None,
            refused: None,
            challenged: 0,
            challenge_ack: 0,
        };
        change(&mut group);
        let echo = |link: &str| LinkEcho { link: link.into(), number: self.beat, held: Span::ZERO };
        let beat = Heartbeat {
            version: VERSION,
            from: NodeId(1),
            incarnation: PEER,
            number: self.number,
            digest: 7,
            lease: fast().lease,
            witnesses: 0,
            echo_of: Some(EchoOf { incarnation: ME, lease: fast().lease, witnesses: 0 }),
            echoes: vec![echo("cable"), echo("lan")],
            answer: false,
            reachable: true,
            answered: Some(Span::ZERO),
            carrier: true,
            groups: vec![group],
        };
        Input::Heard { link: LinkId(CABLE as u8), beat: Arc::new(Verified::vouch(beat)) }
    }

    fn hear(&mut self, role: BeatRole, epoch: u64, change: impl FnOnce(&mut GroupBeat)) {
        let beat = self.said(role, epoch, change);
        self.give(beat);
    }

    fn mine(&self) -> Grant {
        let intent = self.intent.expect("an intent");
        Grant { epoch: intent.epoch, attempt: intent.attempt, incarnation: ME }
    }

    fn state(&self) -> &'static str {
        match &self.node.groups[0].role {
            Role::Standby(s) => match (&s.wish, &s.claim) {
                (Some(w), _) if w.stage == Stage::Ask => "standby, intent told",
                (Some(_), _) => "standby, wish",
                (None, Some(c)) if c.challenge.is_some() => "standby, challenging",
                (None, Some(_)) => "standby, probing",
                (None, None) => "standby",
            },
            Role::Opening(_) => "opening",
            Role::Owner(o) if o.offer.is_some() => "owner, offering",
            Role::Owner(_) => "owner",
            Role::Leaving(l) if l.to.is_some() => "leaving, granted",
            Role::Leaving(_) => "leaving",
        }
    }
}

/// A node in each state.
fn states() -> Vec<Bench> {
    let mut standby = Bench::new();
    for _ in 0..8 {
        standby.hear(BeatRole::Owner, 1, |_| {});
        standby.run(Span::millis(50));
    }
    standby.hear(BeatRole::Owner, 1, |_| {});

    let mut probing = standby.clone();
    probing.run(fast().warn + Span::millis(12));
    let mut challenging = probing.clone();
    challenging.run(Span::millis(80));

    let mut told = standby.clone();
    told.hear(BeatRole::Owner, 1, |g| g.offer = Some(Offer::Standby));
    let mut opening = told.clone();
    let mine = opening.mine();
    opening.hear(BeatRole::Standby, mine.epoch.0, |g| g.released = Some(mine));

    let mut owner = opening.clone();
    let (generation, attempt) = (owner.gate, owner.address);
    owner.give(Input::Gate { group: GROUP, generation, report: GateReport::Opened });
    owner.give(Input::Address { group: GROUP, attempt, report: AddressReport::Added });
    for _ in 0..4 {
        owner.run(Span::millis(30));
        owner.hear(BeatRole::Standby, 2, |_| {});
    }

    let mut offering = owner.clone();
    offering.give(Input::Command { id: 1, command: Command::Standby { group: None, lasting: None, reason: None } });

    let (mut granted, mut leaving) = (owner.clone(), owner.clone());
    let beat = granted.said(BeatRole::Standby, 2, |g| {
        g.intent = Some(Intent { epoch: Epoch(3), attempt: Attempt(5), commanded: true });
    });
    granted.raw(beat);
    let generation = leaving.gate;
    leaving.raw(Input::Gate { group: GROUP, generation, report: GateReport::Lapsed });
    vec![standby, probing, challenging, told, opening, owner, offering, granted, leaving]
}

/// Every input, by name. Reports are about the newest order.
fn inputs(b: &Bench) -> Vec<(&'static str, Bench, Input)> {
    let mut all: Vec<(&'static str, Bench, Input)> = Vec::new();
    let mut add = |name, input| all.push((name, b.clone(), input));
    let by = Mac([2, 0, 0, 0, 0, 9]);
    add("tick", Input::Tick);
    add("cable unplugged", Input::Link { link: LinkId(CABLE as u8), state: InterfaceState::NoCarrier });
    add("public side unplugged", Input::Link { link: LinkId(LAN as u8), state: InterfaceState::NoCarrier });
    add("echo of the VIP back", Input::EchoReply { witness: Default::default(), kind: EchoKind::Vip(GROUP), number: b.vip_echo });
    let kind = EchoKind::Challenge(GROUP);
    add("echo of the challenge back", Input::EchoReply { witness: Default::default(), kind, number: b.challenge });
    add("probe answered", Input::Answered { group: GROUP, by });
    add("announced by another", Input::Announced { group: GROUP, by });
    add("the witness asks", Input::WitnessAsks { group: GROUP });
    add("could not start", Input::Startable { group: GROUP, obstacle: Some("nginx -t: exit code 1".into()) });
    let (generation, attempt) = (b.gate, b.address);
    for (name, report) in [
        ("gate: opened", GateReport::Opened),
        ("gate: renewed", GateReport::Renewed),
        ("gate: closed", GateReport::Closed),
        ("gate: lapsed", GateReport::Lapsed),
        ("gate: failed", GateReport::Failed("no".into())),
        ("gate: refused by the kernel", GateReport::Unguarded("no".into())),
    ] {
        add(name, Input::Gate { group: GROUP, generation, report });
    }
    add("gate: old report", Input::Gate { group: GROUP, generation: generation - 1, report: GateReport::Opened });
    add("ruleset flushed", Input::GateTableGone);
    for (name, report) in [
        ("address: added", AddressReport::Added),
        ("address: removed", AddressReport::Removed),
        ("address: failed", AddressReport::Failed("no".into())),
    ] {
        add(name, Input::Address { group: GROUP, attempt, report });
    }
    add("address deleted", Input::AddressGone { group: GROUP });
    let (service, reason) = (|| "nginx".to_string(), || "no".to_string());
    for (name, report) in [
        ("services: warmed", ServiceReport::Warmed),
        ("services: started", ServiceReport::Started),
        ("services: stopped", ServiceReport::Stopped),
        ("services: start failed", ServiceReport::StartFailed { service: service(), reason: reason() }),
        ("services: stop failed", ServiceReport::StopFailed { service: service(), reason: reason() }),
        ("services: died", ServiceReport::Died { service: service(), reason: reason() }),
    ] {
        add(name, Input::Services { group: GROUP, attempt: b.services, report });
    }
    add("disk: written", Input::Persisted { ticket: b.ticket });
    add("disk: failed", Input::PersistFailed { ticket: b.ticket, reason: reason() });
    for (name, command) in [
        ("command: standby", Command::Standby { group: None, lasting: None, reason: None }),
        ("command: takeover", Command::Takeover { group: None }),
        ("command: resume", Command::Resume),
        ("command: shutdown", Command::Shutdown),
        ("command: come back", Command::ComeBack),
    ] {
        add(name, Input::Command { id: 1, command });
    }
    let mut beat = |name, role, epoch, change: fn(&mut GroupBeat)| {
        let mut b = b.clone();
        let input = b.said(role, epoch, change);
        all.push((name, b, input));
    };
    beat("peer: stands by", BeatRole::Standby, 2, |_| {});
    beat("peer: owns, epoch 1", BeatRole::Owner, 1, |_| {});
    beat("peer: owns, epoch 9", BeatRole::Owner, 9, |_| {});
    beat("peer: leaves", BeatRole::Leaving, 1, |_| {});
    beat("peer: offers", BeatRole::Owner, 1, |g| g.offer = Some(Offer::Shutdown));
    beat("peer: stands by for epoch 9", BeatRole::Standby, 9, |_| {});
    beat("peer: intends epoch 3", BeatRole::Standby, 2, |g| {
        g.intent = Some(Intent { epoch: Epoch(3), attempt: Attempt(5), commanded: true });
    });
    beat("peer: intends epoch 1", BeatRole::Standby, 0, |g| {
        g.intent = Some(Intent { epoch: Epoch(1), attempt: Attempt(5), commanded: true });
    });
    all
}

/// What the outputs say, in the order of their first appearance; heartbeats, echoes and notes are not acts.
fn words(outputs: &[Output]) -> Vec<&'static str> {
    let word = |output: &Output| match output {
        Output::Send { .. } | Output::Echo { .. } | Output::Note(_) => None,
        Output::Probe { .. } => Some("probes"),
        Output::Write { .. } => Some("writes the register"),
        Output::GiveBack { .. } => Some("gives the register back"),
        Output::AnswerUnicast { on: true, .. } => Some("answers as a challenger"),
        Output::AnswerUnicast { on: false, .. } => Some("answers no more"),
        Output::Announce { .. } => Some("announces"),
        Output::Gate { order, .. } => Some(match order {
            GateOrder::Open(_) => "opens the gate",
            GateOrder::Renew(_) => "renews the gate",
            GateOrder::Close => "closes the gate",
            GateOrder::Rebuild(_) => "makes the gate again",
        }),
        Output::Address { order, .. } => Some(match order {
            AddressOrder::Add(_) => "adds the address",
            AddressOrder::Refresh(_) => "refreshes the address",
            AddressOrder::Remove => "removes the address",
        }),
        Output::Services { order, .. } => Some(match order {
            ServiceOrder::Warm => "warms services",
            ServiceOrder::Start(_) => "starts services",
            ServiceOrder::Stop => "stops services",
            ServiceOrder::StopCold => "stops cold services",
        }),
        Output::Persist { .. } => Some("writes the record"),
        Output::Reply { answer: Answer::Done(_), .. } => Some("answers done"),
        Output::Reply { answer: Answer::Refused(_), .. } => Some("refuses"),
        Output::Exit { stays: false } => Some("exits"),
        Output::Exit { stays: true } => Some("exits and leaves all as it is"),
    };
    let mut all = Vec::new();
    for word in outputs.iter().filter_map(word) {
        if !all.contains(&word) {
            all.push(word);
        }
    }
    all
}

fn table() -> String {
    let mut text = String::new();
    for bench in states() {
        let before = bench.state();
        let _ = writeln!(text, "{before}:");
        for (name, mut bench, input) in inputs(&bench) {
            bench.now = bench.now + Span(1);
            let outputs = bench.raw(input);
            let after = bench.state();
            let mut said = words(&outputs);
            let running = &bench.node.groups[0].data.service.running;
            if matches!(running, Running::Failed(..) | Running::Stuck(_)) {
                said.push("is not fit for a while");
            }
            let does = if said.is_empty() { "nothing".to_string() } else { said.join(", ") };
            let state = if after == before { String::new() } else { format!(" -> {after}") };
            let _ = writeln!(text, "  {name}: {does}{state}");
        }
    }
    text
}

#[test]
fn every_state_with_every_input_does_what_the_table_says() {
    let (found, table) = (table(), include_str!("table.txt"));
    let mut wrong = String::new();
    for (found, wanted) in found.lines().zip(table.lines()) {
        if found != wanted {
            let _ = writeln!(wrong, "is:       {found}\nshall be: {wanted}");
        }
    }
    assert!(wrong.is_empty() && found.lines().count() == table.lines().count(), "{wrong}\nthe whole table:\n{found}");
}
