//! Before the first input: the file, the key, the locks, and what the kernel already has.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use tokio::sync::mpsc::UnboundedSender;

use super::actuators::{Actuators, Labels, LeftOut, Way};
use super::addresses::AddressOrders;
use super::beats::{self, Inbox, Outbox, Wiring, tend};
use super::bonds::BondBoard;
use super::cards::Cards;
use super::earlier::{record_here, remove_old_tables};
use super::event::Event;
use super::fault::Fault;
use super::fence;
use super::meters::Meters;
use super::names::which_node;
use super::next::still_free;
use super::options::Options;
use super::public::{public_link, public_side};
use super::reload::Reload;
use super::routes::{self, Routes};
use super::said::Said;
use super::services::{services, specs};
use super::state::{self, StateFile};
use super::state_writer;
use super::step::Step;
use super::web;
use crate::{hooks, log};
use twinbeat_config::{Config, ServiceKind};
use twinbeat_control as control;
use twinbeat_control::protocol::{Request, Response};
use twinbeat_core::id::{GroupId, LinkId, Name, NodeId};
use twinbeat_core::io::{Answer, Command, Input, InterfaceState, Start};
use twinbeat_core::node::Node;
use twinbeat_core::time::Mono;
use twinbeat_effect::completion;
use twinbeat_host::clock;
use twinbeat_host::echo::{EchoConfig, EchoReply, Echoes};
use twinbeat_host::gate::{self, AnyGate, Gate, GateEvent, GateSupport, GateThread, WeakGate};
use twinbeat_host::interfaces::{Told, Watcher};
use twinbeat_host::realtime;
use twinbeat_host::vip;
use twinbeat_journal::{self as journal, Recorded};
use twinbeat_service::ServiceSpec;
use twinbeat_wire::{Opener, Pair, Path, Signer};

/// Makes the node and everything that acts for it, gives the node its start and carries out what it says to that: the first
/// heartbeat goes out here. Where an earlier life left a gate open its lease is running, and nothing is waited for that can
/// be done later.
pub async fn all(
    options: &Options,
    config: &Config,
    events: UnboundedSender<Event>,
    began: Mono,
) -> anyhow::Result<(Recorded, Actuators, Reload)> {
    let me = which_node(config, options.node.as_deref()).context(Fault::Config)?;
    let name = config.nodes[me.index()].name.to_string();
    let logs = log::init(&log_settings(config)).context("the log cannot be set up").context(Fault::Config)?;
    let key = config.private_key(me).context(Fault::Config)?;
    twinbeat_service::reap_inherited();
    let lock = control::server::RunLock::take(&options.run_dir)?;
    state::writable(&options.state_dir)?;
    let table = gate::table_name(&config.cluster, &name);
    // To the very end of the process: not before the gate's table and the services are done with.
    std::mem::forget(control::only::Only::take(&table, &options.state_dir)?);
    let mut settings = config.settings(&name)?;
    let mut keep: Vec<Box<dyn std::any::Any>> = Vec::new();

    let node_config = &config.nodes[me.index()];
    let (public_name, _) = public_link(config, me)?;
    let told = events.clone();
    let tell = move |what| drop(told.send(Event::Interfaces(what)));
    let (watcher, seen) = Watcher::start(&public_name, tell).context("interfaces cannot be watched")?;

    let scheduling = config.realtime.scheduling.clone();
    realtime::take_up(&scheduling, config.realtime.lock_memory);

    // The gate first: while it is not known, nothing else may be believed.
    let vips: Vec<Vec<IpAddr>> = config.groups.iter().map(|g| g.vips.iter().map(|v| v.address).collect()).collect();
    let table = gate::table_name(&config.cluster, &name);
    let mut found = Gate::new(&table, vips.clone());
    let (gates, support) = found_gates(&mut found, vips.len(), &still_free(&options.asked));
    let hot = gates.iter().any(Option::is_some);
    let (any_gate, watch) = match support {
        GateSupport::Inet => {
            let mut kernel = found.context("no netlink socket for the gate")?;
            kernel.install().context("the gate's tables cannot be installed")?;
            remove_old_tables(&table, &vips);
            let port = kernel.port();
            tracing::info!("gate: inet (nftables hooks of the families arp and inet)");
            (AnyGate::Inet(kernel), Some((table, port)))
        }
        GateSupport::Weak { reason } => {
            settings.timing = config.require_weak_gate_timing().with_context(|| format!("weak gate: {reason}"))?;
            tracing::warn!(
                "gate: weak, address lifetimes alone: {reason}. It costs: the address may answer up to half a second beyond the lease, in whole seconds, and a daemon that was stopped may bring it back (docs/SAFETY.md, limit f)"
            );
            (AnyGate::Weak(WeakGate::new(vips.len())), None)
        }
        GateSupport::None { reason } => bail!("no gate can be made: {reason}"),
    };
    let gate_events = events.clone();
    let report = move |event| {
        let input = match event {
            GateEvent::Report { group, generation, report } => completion::of_gate(group, generation, report),
            GateEvent::TableGone => Some(Input::GateTableGone),
        };
        if let Some(input) = input {
            let _ = gate_events.send(Event::Input(input));
        }
    };
    let thread = GateThread::start(any_gate, vips.len(), scheduling.clone(), report).context("no thread for the gate")?;
    let orders = thread.orders();
    if let Some((table, port)) = watch {
        let damage = orders.clone();
        keep.push(Box::new(gate::watch(&table, port, move |seen| damage.damage(seen)).context("the gate cannot be watched")?));
    }

    let file = StateFile::open(&options.state_dir, wall_seconds(), hot)
        .with_context(|| format!("the state directory {}", options.state_dir.display()))
        .context(Fault::State)?;
    let services = services(options, config, &name, &events)?;
    let mut running = Vec::new();
    for ((manager, group), gate) in services.iter().zip(&config.groups).zip(&gates) {
        // An owner's are started anyway, which leaves alone what runs. While another group's lease is running no command is
        // waited for: what was not asked counts as running, and is stopped.
        let at_once = group.services.iter().all(|s| matches!(s.kind, ServiceKind::Process(_)));
        running.push(match manager {
            Some(manager) if gate.is_none() && (!hot || at_once) => manager.running().await,
            Some(_) => gate.is_none(),
            None => false,
        });
    }
    let here = gates.iter().map(Option::is_some).collect();
    let routes = Routes::start(routes::wanted(config, me), here).context("no netlink socket for routes")?;
    let (vip_events, teller) = (events.clone(), routes.teller());
    let vips = AddressOrders::start(vip_groups(config, me), scheduling, move |event| {
        teller.hear(&event);
        let _ = vip_events.send(Event::Input(event));
    })
    .context("no netlink socket for the addresses")?;
    let start = Start {
        incarnation: file.incarnation(),
        record: record_here(config, file.record()),
        gates,
        addresses: vips.present(),
        running,
    };
    let state_events = events.clone();
    let state = state_writer::writer(file, move |input| {
        let _ = state_events.send(Event::Input(input));
    })?;

    let names = [config.nodes[0].name.as_ref(), config.nodes[1].name.as_ref()];
    let pair = Pair { cluster: &config.cluster, nodes: names, me };
    let peer = &config.nodes[me.other().index()];
    let inbox = Rc::new(RefCell::new(Inbox::new(Opener::of(&pair, &key, peer.public_keys(), config.names())?)));
    let outbox = Outbox::new(Signer::of(&pair, &key, &peer.public_key, peer.next_public_key.as_ref())?);
    let links = links(config, me, &inbox, &events);

    let mut public = public_side(config, me)?;
    for missing in public.rebuild().err().into_iter().flatten() {
        if missing.may_pass() {
            tracing::warn!("{missing}; waiting for it");
        } else {
            tracing::error!(
                "{missing}. It costs: no announcement, no return path as a ground, no relay and no claim here until this is mended (CAP_NET_RAW, an Ethernet interface)"
            );
        }
    }
    let echoes = echoes(config, me, &events);
    let cards = cards(config, me, watcher, &links);
    let recorded = std::path::absolute(options.state_dir.join(journal::DIR)).context("the state directory")?;
    serve_control(lock, config, me, recorded.clone(), &events)?;

    let now = clock::now();
    let node = Node::new(settings, now);
    let mut node = Recorded::start(node, now, recorded, config.journal.keep).context("no thread for the flight recorder")?;
    node.survive_panics();
    let vip_paths = config.groups.iter().map(|g| Path::Vip(g.name.clone())).collect();
    let labels = Labels {
        targets: config.witness.targets.iter().map(ToString::to_string).collect(),
        services: config.groups.iter().map(|group| specs(group).iter().map(ServiceSpec::name).collect()).collect(),
    };
    let mut act = Actuators {
        links,
        vip_paths,
        groups_in_beat: config.groups_in_beat(),
        outbox,
        inbox,
        public,
        relay: config.relay_link(),
        echoes,
        gate: orders,
        gate_thread: Some(thread),
        vips,
        routes,
        services,
        fencer: fence::start(config, me, &events)?,
        state,
        asked: BTreeMap::new(),
        left_out: LeftOut::default(),
        changes: hooks::start(options, config, me)?,
        last_command: 0,
        events,
        logs: Some(logs),
        exit: None,
        cards,
        bonds: BondBoard::watch(node_config.links.iter().map(|l| (l.name.to_string(), l.interface.to_string())).collect()),
        arp_only: config.witness.arp_only,
        delivery: Duration::from_nanos(config.timing.delivery.0),
        labels,
        keep,
        said: Said::default(),
        meters: config.metrics.listen.is_some().then(|| Meters::new(config)),
        unheard: None,
    };
    node.handle(clock::now(), Input::Start(start));
    act.carry_out(&mut node);
    if let Some(web) = web::begin(config, &options.state_dir, &act.events) {
        act.keep.push(Box::new(web));
    }
    for own in &node_config.links {
        let state = seen.state(&own.interface, own.address);
        if state != InterfaceState::Up {
            tracing::warn!("link {}: {} {}; waiting for it", own.name, own.interface, state.words());
        }
    }
    for input in act.interfaces(Told::Seen(seen)) {
        node.handle(clock::now(), input);
        act.carry_out(&mut node);
    }
    let (version, took) = (env!("CARGO_PKG_VERSION"), clock::now().since(began));
    tracing::info!("twinbeat {version} begins as {name} of cluster {}; first heartbeat {took} after its start", config.cluster);
    let reload = Reload::new(options, me, config, key.verifying_key().to_bytes(), act.events.clone());
    Ok((node, act, reload))
}

/// What an earlier life left open, and what the kernel can do: an open gate answers that question, too, and is not kept
/// waiting for a trial.
fn found_gates(found: &mut std::io::Result<Gate>, groups: usize, free: &[IpAddr]) -> (Vec<Option<Mono>>, GateSupport) {
    let adopted = found.as_mut().map_err(|error| error.to_string()).and_then(|gate| gate.adopt(free).map_err(|e| e.to_string()));
    let gates = adopted.unwrap_or_else(|error| {
        tracing::debug!("no gate of an earlier life: {error}");
        vec![None; groups]
    });
    let support = if gates.iter().any(Option::is_some) { GateSupport::Inet } else { gate::probe() };
    (gates, support)
}

fn log_settings(config: &Config) -> log::LogSettings {
    log::LogSettings {
        level: tracing_subscriber::filter::LevelFilter::from_level(config.log.level),
        file: config.log.file.clone(),
        debug_file: config.log.debug_file.clone(),
        syslog: config.log.syslog.map(str::to_string),
        journald: config.log.journald.unwrap_or_else(log::stderr_is_the_journal),
    }
}

/// The control socket: each call becomes a command for the core, and its answer goes back.
fn serve_control(
    lock: control::server::RunLock,
    config: &Config,
    me: NodeId,
    journal: std::path::PathBuf,
    events: &UnboundedSender<Event>,
) -> anyhow::Result<()> {
    let server = control::server::Server::bind(lock)?;
    let (calls, mut inbox) = tokio::sync::mpsc::channel::<control::server::Call>(control::protocol::CLIENTS);
    tokio::task::spawn_local(server.serve(calls));
    let names: Vec<Name> = config.groups.iter().map(|g| g.name.clone()).collect();
    let peer = config.nodes[me.other().index()].name.clone();
    let events = events.clone();
    tokio::task::spawn_local(async move {
        while let Some(call) = inbox.recv().await {
            let events = events.clone();
            match call.request {
                Request::Why { .. } => {
                    let _ = events.send(Event::Recorded(journal.clone(), call.answer));
                    continue;
                }
                Request::Reload { plan } => {
                    let _ = events.send(Event::Reload(Step::Ask { plan, asker: Some(call.answer) }));
                    continue;
                }
                _ => {}
            }
            let command = command(call.request, &names, &peer);
            tokio::task::spawn_local(async move {
                let response = match command {
                    Err(refusal) => Response::Refused(refusal),
                    Ok(None) => {
                        let (answer, view) = tokio::sync::oneshot::channel();
                        let _ = events.send(Event::View(answer));
                        view.await
                            .map_or_else(|_| Response::Refused("the daemon is ending".into()), |v| Response::View(Box::new(v)))
                    }
                    Ok(Some(command)) => {
                        let (answer, done) = tokio::sync::oneshot::channel();
                        let _ = events.send(Event::Command(command, answer));
                        match done.await {
                            Ok(Answer::Done(text)) => Response::Done(text),
                            Ok(Answer::Refused(why)) => Response::Refused(why),
                            Err(_) => Response::Refused("the daemon is ending".into()),
                        }
                    }
                };
                let _ = call.answer.send(response);
            });
        }
    });
    Ok(())
}

/// The longest reason for a standby or a pause, in characters: each group's record holds one.
const MOST_WORDS: usize = 200;

/// The core's command for a request; none for a look.
fn command(request: Request, names: &[Name], peer: &str) -> Result<Option<Command>, String> {
    let group = |name: Option<String>| -> Result<Option<GroupId>, String> {
        let Some(name) = name else { return Ok(None) };
        let place = names.iter().position(|n| **n == *name);
        let known = || names.iter().map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
        place.map(|i| Some(GroupId(i as u8))).ok_or_else(|| format!("there is no group {name}; there is: {}", known()))
    };
    match request {
        Request::Status {} => Ok(None),
        Request::Standby { reason: Some(words), .. } | Request::Pause { reason: Some(words), .. }
            if words.chars().count() > MOST_WORDS =>
        {
            Err(format!("the reason has {} characters; allowed: at most {MOST_WORDS}", words.chars().count()))
        }
        Request::Standby { group: name, lasting, reason } => Ok(Some(Command::Standby { group: group(name)?, lasting, reason })),
        Request::Pause { group: name, lasting, reason } => Ok(Some(Command::Pause { group: group(name)?, lasting, reason })),
        Request::Fenced { node } if *node != *peer => Err(format!("{node} is not the peer's name, which is {peer}")),
        Request::Fenced { .. } => Ok(Some(Command::Fenced)),
        Request::Takeover { group: name } => Ok(Some(Command::Takeover { group: group(name)? })),
        Request::Resume { group: name } => Ok(Some(group(name)?.map_or(Command::Resume, |group| Command::ResumeGroup { group }))),
        Request::Why { .. } | Request::Reload { .. } => Err("no command of the decision's".into()),
    }
}

fn wall_seconds() -> u64 {
    // A life's number only has to grow; nothing is timed by it.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

fn vip_groups(config: &Config, me: NodeId) -> Vec<Vec<vip::Vip>> {
    let one = |v: &twinbeat_config::VipConfig| {
        let interface = config.interface(me, v.link).map_or_else(String::new, ToString::to_string);
        vip::Vip { address: v.address, prefix: v.prefix, label: v.label_on(&interface), interface }
    };
    config.groups.iter().map(|g| g.vips.iter().map(one).collect()).collect()
}

fn links(config: &Config, me: NodeId, inbox: &Rc<RefCell<Inbox>>, events: &UnboundedSender<Event>) -> Vec<(Path, Way)> {
    let (mine, theirs) = (&config.nodes[me.index()], &config.nodes[me.other().index()]);
    let mut all = Vec::new();
    for (id, (own, peer)) in (0u8..).zip(mine.links.iter().zip(&theirs.links)) {
        let wiring = Wiring {
            link: LinkId(id),
            name: own.name.clone(),
            interface: own.interface.to_string(),
            local: SocketAddr::new(own.address, config.port),
            peer: SocketAddr::new(peer.address, config.port),
        };
        let slot = beats::open(&wiring);
        tokio::task::spawn_local(tend(wiring, Rc::clone(&slot), Rc::clone(inbox), events.clone()));
        all.push((Path::Link(own.name.clone()), Way::Socket(slot)));
    }
    if config.relay_link().is_some() {
        all.push((Path::Link(Name::from(twinbeat_config::RELAY)), Way::Relay));
    }
    all
}

fn cards(config: &Config, me: NodeId, watcher: Watcher, ways: &[(Path, Way)]) -> Cards {
    let (mine, theirs) = (&config.nodes[me.index()], &config.nodes[me.other().index()]);
    let links = mine.links.iter().map(|l| (l.interface.to_string(), l.address)).collect();
    let slot = |(_, way): &(Path, Way)| match way {
        Way::Socket(slot) => Some(Rc::clone(slot)),
        Way::Relay => None,
    };
    let names = [theirs.name.to_string(), mine.name.to_string()];
    let addresses = theirs.links.iter().map(|l| l.address).collect();
    let further = config.interfaces.iter().filter_map(|names| names.get(me.index())).map(ToString::to_string).collect();
    let slots = ways.iter().filter_map(slot).collect();
    Cards::new(watcher, links, config.witness.link, names, addresses, slots).with(config.first_interface() as u8, further)
}

fn echoes(config: &Config, me: NodeId, events: &UnboundedSender<Event>) -> Echoes {
    let (interface, own) = public_link(config, me).unwrap_or_else(|_| (String::new(), IpAddr::from([0, 0, 0, 0])));
    let timeout = Duration::from_nanos(config.timing.delivery.0).max(Duration::from_millis(20)) * 2;
    let events = events.clone();
    let reply = move |reply: EchoReply| {
        let kind = twinbeat_core::io::EchoKind::Own;
        let _ = events.send(Event::Input(Input::EchoReply { witness: reply.witness, kind, number: reply.number }));
    };
    let mut echoes =
        Echoes::new(EchoConfig { interface, own: vec![own], witnesses: config.witness.targets.clone(), timeout }, reply);
    if let Err(error) = echoes.open() {
        tracing::warn!("{error}; waiting for it");
    }
    echoes
}

pub(super) fn signals(events: &UnboundedSender<Event>) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut rotated = signal(SignalKind::user_defined1())?;
    let mut come_back = signal(SignalKind::user_defined2())?;
    let events = events.clone();
    tokio::task::spawn_local(async move {
        loop {
            let all = tokio::select! {
                _ = terminate.recv() => vec![shutdown()],
                _ = interrupt.recv() => vec![shutdown()],
                _ = rotated.recv() => vec![Event::Reopen],
                _ = hangup.recv() => vec![Event::Reopen, Event::Reload(Step::Ask { plan: false, asker: None })],
                _ = come_back.recv() => vec![Event::ComeBack],
            };
            for event in all {
                if events.send(event).is_err() {
                    return;
                }
            }
        }
    });
    Ok(())
}

fn shutdown() -> Event {
    let (answer, _) = tokio::sync::oneshot::channel();
    Event::Command(twinbeat_core::io::Command::Shutdown, answer)
}
