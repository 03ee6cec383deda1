//! Carries out what the core wants. Nothing here decides, and nothing here waits.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use tokio::sync::{mpsc, oneshot};

use super::addresses::AddressOrders;
use super::beats::{Inbox, Outbox, Slot};
use super::bonds::BondBoard;
use super::cards::Cards;
use super::changes::Changes;
use super::event::Event;
use super::meters::Meters;
use super::next::Next;
use super::routes::Routes;
use super::said::Said;
use super::state_writer::Writer;
use crate::log::ReopenHandle;
use twinbeat_core::event::{Event as Noted, Kind, Level};
use twinbeat_core::heartbeat::{Heartbeat, Part};
use twinbeat_core::id::{LinkId, Name};
use twinbeat_core::io::{AddressOrder, Answer, EchoKind, GateOrder, Input, Output, ServiceReport};
use twinbeat_core::sentence::Sentence;
use twinbeat_core::time::{Mono, Span};
use twinbeat_core::view::View;
use twinbeat_core::words::About;
use twinbeat_host::clock;
use twinbeat_host::echo::Echoes;
use twinbeat_host::gate::{GateThread, Orders};
use twinbeat_host::interfaces::Told;
use twinbeat_host::public::{PublicEvent, PublicSide, SendError};
use twinbeat_journal::Recorded;
use twinbeat_say::log_line::REFUSED;
use twinbeat_service::hook::Hooks;
use twinbeat_service::{Fencer, ServiceManager};
use twinbeat_wire::{MOST_IN_ECHO, MTU, Path};

/// How a link is sent on.
pub enum Way {
    /// Through its own socket.
    Socket(Rc<Slot>),
    /// Through the witness.
    Relay,
}

/// Everything that acts.
pub struct Actuators {
    /// Each link: its path in the tag, and its way.
    pub links: Vec<(Path, Way)>,
    /// The paths of heartbeats inside VIP-sourced echoes, by group.
    pub vip_paths: Vec<Path>,
    /// So many groups go into one part of a heartbeat.
    pub groups_in_beat: usize,
    /// Signs.
    pub outbox: Outbox,
    /// Verifies.
    pub inbox: Rc<RefCell<Inbox>>,
    /// Raw frames.
    pub public: PublicSide,
    /// The relay's link, where there is one.
    pub relay: Option<LinkId>,
    /// Echoes from the own address.
    pub echoes: Echoes,
    /// The gate's queue.
    pub gate: Orders,
    /// The gate's thread, to be ended.
    pub gate_thread: Option<GateThread>,
    /// The addresses' queue.
    pub vips: AddressOrders,
    /// The groups' routes and rules.
    pub routes: Routes,
    /// Each group's services; none where there are none.
    pub services: Vec<Option<ServiceManager>>,
    /// What turns the peer off; none where nothing is configured.
    pub fencer: Option<Fencer>,
    /// The record's queue.
    pub state: Writer,
    /// Heartbeats that were too long for an echo.
    pub left_out: LeftOut,
    /// Whom to answer.
    pub asked: BTreeMap<u64, oneshot::Sender<Answer>>,
    /// The last command's number.
    pub last_command: u64,
    /// What hooks are told; none where there are none.
    pub changes: Option<Changes<Hooks>>,
    /// Back to the loop.
    pub events: mpsc::UnboundedSender<Event>,
    /// The log files.
    pub logs: Option<ReopenHandle>,
    /// The core has finished; and whether gate, addresses and services stay.
    pub exit: Option<bool>,
    /// This machine's interfaces.
    pub cards: Cards,
    /// What the bonds below the links look like: for a person only.
    pub bonds: BondBoard,
    /// The witnesses that are asked by ARP, one bit each.
    pub arp_only: u16,
    /// The longest that an answer may travel.
    pub delivery: std::time::Duration,
    /// Names for people.
    pub labels: Labels,
    /// What must live as long as the daemon.
    pub keep: Vec<Box<dyn std::any::Any>>,
    /// What strangers said last.
    pub said: Said,
    /// What is counted, where somebody may ask for it.
    pub meters: Option<Meters>,
    /// The problem's words while nobody can ask over HTTP.
    pub unheard: Option<String>,
}

/// What the core does not know by name: it is put into the view that people read.
pub struct Labels {
    /// The witnesses' addresses.
    pub targets: Vec<String>,
    /// Each group's services.
    pub services: Vec<Vec<String>>,
}

impl Labels {
    /// Puts them in.
    pub fn put(&self, view: &mut View) {
        for target in &mut view.witness.targets {
            target.address = self.targets.get(usize::from(target.index)).cloned().unwrap_or_default();
        }
        for (group, services) in view.groups.iter_mut().zip(&self.services) {
            group.services.clone_from(services);
        }
    }
}

/// Heartbeats that did not go into an echo or through the relay because they were too long. The file is refused when that can be
/// foreseen; what is left is an interface with an MTU below the least, and numbers that nobody foresaw.
#[derive(Default)]
pub struct LeftOut {
    last: Option<(Mono, usize)>,
    told: Option<Mono>,
}

impl LeftOut {
    /// One more, at `now`, whose frame had so many bytes. Logged at most every [`LEFT_OUT_EVERY`].
    pub fn note(&mut self, now: Mono, bytes: usize) {
        self.last = Some((now, bytes));
        if self.told.is_none_or(|told| now.since(told) >= LEFT_OUT_EVERY) {
            self.told = Some(now);
            tracing::error!("{}", Self::words(bytes));
        }
    }

    /// The problem, while it lasts.
    pub fn problem(&self, now: Mono) -> Option<Sentence> {
        let last = self.last.filter(|(at, _)| now.since(*at) < LEFT_OUT_EVERY);
        last.map(|(_, bytes)| Sentence::passing(About::Size, "echo", Self::words(bytes)))
    }

    fn words(bytes: usize) -> String {
        format!(
            "heartbeats of {bytes} bytes do not fit into an echo ({MOST_IN_ECHO} at the most, and the interface's MTU must hold {} more): echoes from the VIP go without them, and the relay does not carry them",
            MTU - MOST_IN_ECHO
        )
    }
}

impl Actuators {
    /// The services are to be stopped by a daemon that is being stopped itself, or no longer is.
    pub fn ending(&self, ending: bool) {
        self.services.iter().flatten().for_each(|manager| manager.ending(ending));
    }

    /// Carries out everything that the core wants now.
    pub fn carry_out(&mut self, node: &mut Recorded) {
        while let Some(output) = node.poll() {
            if let Some(changes) = &mut self.changes {
                changes.output(&output);
            }
            self.act(output);
        }
    }

    /// Carries out one output.
    fn act(&mut self, output: Output) {
        if let Some(meters) = &mut self.meters {
            meters.goes(clock::now(), &output);
        }
        match output {
            Output::Send { beat, links } => self.send(&beat, &links),
            Output::Echo { witness, kind, number } => match kind {
                EchoKind::Own if self.arp_only & 1 << witness.0 != 0 => {
                    quietly("question to a witness", self.public.ask(witness, number, self.delivery));
                }
                EchoKind::Own => {
                    if self.echoes.send(witness, number).is_err() {
                        let _ = self.echoes.open();
                    }
                }
                EchoKind::Inquiry => quietly("echo in the peer's name", self.public.inquire(witness, 0)),
                EchoKind::Control(g) => quietly("negative control", self.public.vip_echo(g, witness, kind, number, &[])),
                EchoKind::Vip(g) | EchoKind::Challenge(g) => {
                    let (place, part) = (usize::from(g.0), Part::of_group(usize::from(g.0), self.groups_in_beat));
                    let frame = self.vip_paths.get(place).and_then(|path| self.outbox.seal_part(part, path)).unwrap_or_default();
                    match self.public.vip_echo(g, witness, kind, number, &frame) {
                        Ok(false) if !frame.is_empty() => self.left_out.note(clock::now(), frame.len()),
                        sent => quietly("VIP-sourced echo", sent),
                    }
                }
            },
            Output::Probe { group } => quietly("address probe", self.public.probe(group)),
            Output::Write { group, witness } => quietly("challenge", self.public.write(group, witness)),
            Output::GiveBack { group, witness, to } => quietly("entry given back", self.public.give_back(group, witness, to)),
            Output::AnswerUnicast { group, on } => self.public.answer_unicast(group, on),
            Output::Announce { group } => quietly("announcement", self.public.announce(group)),
            Output::Gate { group, generation, order } => {
                if order == GateOrder::Close {
                    self.public.hush(group);
                }
                self.gate.order(group, generation, order);
            }
            Output::Address { group, attempt, order } => {
                if order == AddressOrder::Remove {
                    self.routes.teller().here(group, false);
                }
                self.vips.order(group, attempt, order);
            }
            Output::Services { group, attempt, order } => match self.services.get(usize::from(group.0)) {
                Some(Some(manager)) => manager.order(attempt, order),
                _ => {
                    let report = ServiceReport::Stopped;
                    let _ = self.events.send(Event::Input(Input::Services { group, attempt, report }));
                }
            },
            Output::Fence { attempt } => match &self.fencer {
                Some(fencer) => fencer.order(attempt),
                None => {
                    let failed = Some("no way to turn it off is configured".into());
                    let _ = self.events.send(Event::Input(Input::Fenced { attempt, failed }));
                }
            },
            Output::Reboot => super::reboot::soon(),
            Output::HandsOff { group, on } => {
                if let Some(Some(manager)) = self.services.get(usize::from(group.0)) {
                    manager.hands_off(on);
                }
            }
            Output::Persist { ticket, record } => {
                if !self.state.write(ticket, record) {
                    let reason = "the state thread is gone".into();
                    let _ = self.events.send(Event::Input(Input::PersistFailed { ticket, reason }));
                }
            }
            Output::Reply { id, answer } => {
                if let Some(asker) = self.asked.remove(&id) {
                    let _ = asker.send(answer);
                }
            }
            Output::Exit { stays } => self.exit = Some(stays),
            Output::Note(event) => note(&event),
        }
    }

    fn send(&mut self, beat: &Heartbeat, links: &[LinkId]) {
        let toward = self.inbox.borrow().current();
        self.outbox.sign(beat, toward);
        for link in links {
            match self.links.get(usize::from(link.0)) {
                Some((path, Way::Socket(slot))) => self.outbox.send(slot, path),
                None => {}
                Some((path, Way::Relay)) => {
                    let Some(frame) = self.outbox.seal(path) else { continue };
                    match self.public.relay(&frame) {
                        Err(SendError::TooLong) => self.left_out.note(clock::now(), frame.len()),
                        sent => quietly("relayed heartbeat", sent),
                    }
                }
            }
        }
    }

    /// What the public side saw, as an input.
    pub fn public_input(&mut self, seen: PublicEvent) -> Option<Input> {
        match seen {
            PublicEvent::EchoReply { witness, kind, number } => Some(Input::EchoReply { witness, kind, number }),
            PublicEvent::TableDelivered { group, frame } => {
                let path = self.vip_paths.get(usize::from(group.0))?;
                let beat = self.inbox.borrow_mut().open(path, &frame)?;
                Some(Input::HeardByTable { group, beat })
            }
            PublicEvent::Relayed { frame } => {
                let link = self.relay?;
                let (path, _) = self.links.get(usize::from(link.0))?;
                let beat = self.inbox.borrow_mut().open(path, &frame)?;
                Some(Input::Heard { link, beat })
            }
            PublicEvent::Answered { group, by } => self.said.once(Input::Answered { group, by }),
            PublicEvent::Announced { group, by } => self.said.once(Input::Announced { group, by }),
            PublicEvent::WitnessAsks { group } => self.said.once(Input::WitnessAsks { group }),
            // Which of them came back is all one: the tag's secret is of this life.
            PublicEvent::FollowsSender { witness } => Some(Input::EchoReply { witness, kind: EchoKind::Inquiry, number: 0 }),
            PublicEvent::OwnAddress { by } => {
                self.cards.taken(by, clock::now());
                None
            }
            PublicEvent::SocketLost { interface } => {
                tracing::debug!("packet socket on {interface} lost");
                None
            }
            PublicEvent::SocketOpened { interface } => {
                tracing::debug!("packet socket on {interface} open");
                None
            }
        }
    }

    /// What the watcher of interfaces tells: whoever is bound to one renews, and what concerns the core is returned.
    pub fn interfaces(&mut self, told: Told) -> Vec<Input> {
        match told {
            Told::NoCarrier => self.cards.no_carrier().into_iter().collect(),
            Told::Seen(seen) => {
                self.public.renew(&seen);
                self.echoes.renew(&seen);
                self.routes.look();
                self.cards.seen(&seen)
            }
        }
    }

    /// Remembers whom to answer.
    pub fn remember(&mut self, asker: oneshot::Sender<Answer>) -> u64 {
        self.last_command += 1;
        self.asked.insert(self.last_command, asker);
        self.last_command
    }

    /// After a rotation.
    pub fn reopen_logs(&self) {
        if let Some(logs) = &self.logs {
            logs.reopen();
        }
    }

    /// The end of a life that comes back: the gate's last renewal is in the kernel, and nothing else is touched or waited
    /// for. Nothing is dropped either: a dropped handle ends helpers that are just starting a service. The next life is another
    /// process's, or this one's.
    pub fn leave_behind(mut self, node: Recorded, next: Option<&Next>) -> ! {
        if let Some(thread) = self.gate_thread.take() {
            thread.stop(false);
        }
        if let Some(logs) = &self.logs {
            logs.flush(LAST_WORDS);
        }
        node.leave(LAST_WORDS);
        if let Some(next) = next {
            let error = next.begin();
            // The log's thread lives yet. Whoever starts daemons starts one again; else the lease ends, and the peer takes over.
            tracing::error!("reload: {error}");
            if let Some(logs) = &self.logs {
                logs.flush(LAST_WORDS);
            }
            std::process::exit(1);
        }
        std::process::exit(0)
    }

    /// The very end. The gate's table goes too: no address is left.
    pub fn finish(&mut self) {
        self.keep.clear();
        self.routes.end(LAST_ROUTES);
        if let Some(thread) = self.gate_thread.take() {
            thread.stop(true);
        }
        if let Some(changes) = &self.changes {
            changes.told().end(LAST_HOOKS);
        }
        if let Some(logs) = &self.logs {
            logs.flush(std::time::Duration::from_secs(1));
        }
    }
}

fn quietly<T, E: std::fmt::Display>(what: &str, result: Result<T, E>) {
    if let Err(error) = result {
        tracing::trace!("{what}: {error}");
    }
}

/// The shortest time between two lines about heartbeats that are too long; `status` names them for as long.
const LEFT_OUT_EVERY: Span = Span::secs(60);

/// How long the very end waits for routes and rules to go.
const LAST_ROUTES: std::time::Duration = std::time::Duration::from_secs(1);

/// How long the very end waits for hooks: the peer serves already.
const LAST_HOOKS: std::time::Duration = std::time::Duration::from_secs(2);

/// How long a life that comes back waits for its log: the lease is running.
const LAST_WORDS: std::time::Duration = std::time::Duration::from_millis(20);

/// Each change of owner is one line that a person understands, with the evidence.
fn note(event: &Noted) {
    let group: Option<&Name> = event.group.as_ref();
    let group = group.map(|g| g.as_ref());
    if let Kind::Owner(..) | Kind::Left(..) = event.kind {
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Status(&event.text)]);
    }
    let kind = event.kind.word();
    match event.level {
        // Named, so that a decision not to act is found by a word.
        Level::Warn if matches!(event.kind, Kind::Refused(_)) => {
            tracing::warn!(target: REFUSED, group, event = kind, "{}", event.text)
        }
        Level::Error if matches!(event.kind, Kind::Refused(_)) => {
            tracing::error!(target: REFUSED, group, event = kind, "{}", event.text)
        }
        Level::Debug => tracing::debug!(group, event = kind, "{}", event.text),
        Level::Info => tracing::info!(group, event = kind, "{}", event.text),
        Level::Warn => tracing::warn!(group, event = kind, "{}", event.text),
        Level::Error => tracing::error!(group, event = kind, "{}", event.text),
    }
}
