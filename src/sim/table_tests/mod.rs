//! Every state with every input, and in a sentence what must happen.
//!
//! A node is driven into each state; then each input is given to a copy of it. The sentence is made from the outputs and the state after:
//! a change of behaviour shows as a changed line, to be judged by whoever reads it.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used)]

mod bench;
mod settings;

use std::fmt::Write as _;

use self::bench::{Bench, GROUP};
use self::settings::{CABLE, LAN, fast};
use twinbeat_core::heartbeat::{BeatRole, GroupBeat, Intent, Offer};
use twinbeat_core::id::{Attempt, Epoch, LinkId, Mac};
use twinbeat_core::io::{
    AddressOrder, AddressReport, Answer, Command, EchoKind, GateOrder, GateReport, Input, InterfaceState, Output, ServiceOrder,
    ServiceReport,
};
use twinbeat_core::time::Span;

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
    owner.catch_up();
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
    let generation = leaving.newest.gate;
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
    add(
        "echo of the VIP back",
        Input::EchoReply { witness: Default::default(), kind: EchoKind::Vip(GROUP), number: b.newest.vip_echo },
    );
    let kind = EchoKind::Challenge(GROUP);
    add("echo of the challenge back", Input::EchoReply { witness: Default::default(), kind, number: b.newest.challenge });
    add("probe answered", Input::Answered { group: GROUP, by });
    add("announced by another", Input::Announced { group: GROUP, by });
    add("the witness asks", Input::WitnessAsks { group: GROUP });
    add("could not start", Input::Startable { group: GROUP, obstacle: Some("nginx -t: exit code 1".into()) });
    let (generation, attempt) = (b.newest.gate, b.newest.address);
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
        ("services: left alone", ServiceReport::LeftAlone { service: service(), reason: reason() }),
    ] {
        add(name, Input::Services { group: GROUP, attempt: b.newest.services, report });
    }
    add("disk: written", Input::Persisted { ticket: b.newest.ticket });
    add("disk: failed", Input::PersistFailed { ticket: b.newest.ticket, reason: reason() });
    for (name, command) in [
        ("command: standby", Command::Standby { group: None, lasting: None, reason: None }),
        ("command: takeover", Command::Takeover { group: None }),
        ("command: pause", Command::Pause { group: None, lasting: None, reason: None }),
        ("command: fenced", Command::Fenced),
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
            ServiceOrder::Adopt(_) => "takes up services",
            ServiceOrder::Stop => "stops services",
            ServiceOrder::StopCold => "stops cold services",
        }),
        Output::HandsOff { on: true, .. } => Some("leaves services alone"),
        Output::HandsOff { on: false, .. } => Some("cares for services again"),
        Output::Fence { .. } => Some("turns the peer off"),
        Output::Reboot => Some("reboots"),
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
            if bench.service_is_bad() {
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
