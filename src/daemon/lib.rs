//! Joins core and host: events in, outputs out. One decision thread; slow work runs elsewhere and reports back.
//!
//! Life cycle: [`run`] reads the file and the key, looks at the kernel (gate, addresses, services), gives the core its
//! [`Start`], sends the first heartbeat, and then turns events into inputs and outputs into orders until the core says [`Output::Exit`].

#![forbid(unsafe_code)]

mod actuators;
mod addresses;
mod beats;
mod bonds;
mod cards;
mod earlier;
mod fault;
mod found;
pub mod log;
mod names;
mod said;
mod setup;
mod starts;
mod state;
mod successor;

use std::path::PathBuf;

use anyhow::Context;
use nix::sys::signal::{SigSet, Signal};
use tokio::sync::{mpsc, oneshot};

use self::actuators::Actuators;
pub use self::fault::{Fault, try_start};
pub use self::names::{host_name, which_node};
pub use self::setup::public_config;
use twinbeat_config::Config;
use twinbeat_control::protocol::Response;
use twinbeat_core::id::LinkId;
use twinbeat_core::io::{Answer, Command, Input};
use twinbeat_core::time::Mono;
use twinbeat_core::view::View;
use twinbeat_host::clock;
use twinbeat_host::interfaces::Told;
use twinbeat_journal::Recorded;

/// What the command line says of a daemon.
#[derive(Clone, Debug)]
pub struct Options {
    /// The configuration file.
    pub config: PathBuf,
    /// This node's name; else the host's.
    pub node: Option<String>,
    /// Control socket and lock.
    pub run_dir: PathBuf,
    /// Record, services' pids.
    pub state_dir: PathBuf,
}

/// Something that happened.
pub enum Event {
    /// A fact for the core.
    Input(Input),
    /// A link's socket is open (again): the next heartbeat should not wait.
    Opened(LinkId),
    /// Interfaces or addresses are different.
    Interfaces(Told),
    /// A person's command, to be answered.
    Command(Command, oneshot::Sender<Answer>),
    /// A person looks.
    View(oneshot::Sender<View>),
    /// A person asks why: where the journal is, and who is to be told.
    Recorded(PathBuf, oneshot::Sender<Response>),
    /// SIGHUP.
    Reopen,
    /// SIGUSR2: "I come back". Gate, VIP and services stay as they are, the gate on fresh grounds.
    ComeBack,
    /// Whether the next life could begin, else why not.
    Successor(Result<(), String>),
    /// It could not, and the peer does not take over: why.
    Stays(String),
}

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// What keeps it from starting: the file, the key, the run directory, the kernel.
pub fn run(options: Options) -> anyhow::Result<()> {
    let began = clock::now();
    // Until there are handlers they would kill: somebody may rotate the log just now.
    let early = SigSet::from_iter([Signal::SIGHUP, Signal::SIGUSR2]);
    early.thread_block().context("signals cannot be held back")?;
    let starts = starts::Starts::count(&options.run_dir);
    let config = fault::read(&options.config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let local = tokio::task::LocalSet::new();
    // As one of the local tasks: what another of them has for it is taken in the same turn, without a look at every socket first.
    let served = local.block_on(&runtime, async { tokio::task::spawn_local(serve(options, config, starts, began)).await });
    served.unwrap_or_else(|lost| match lost.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(cancelled) => Err(cancelled.into()),
    })
}

/// For the fuzz targets alone: starts a life on the state file of a directory.
#[cfg(fuzzing)]
pub fn fuzzed_state(dir: &std::path::Path) -> std::io::Result<twinbeat_core::io::Record> {
    state::StateFile::open(dir, 7, true).map(|file| file.record().clone())
}

async fn serve(options: Options, config: Config, starts: starts::Starts, began: Mono) -> anyhow::Result<()> {
    let (events, mut inbox) = mpsc::unbounded_channel();
    setup::signals(&events)?;
    SigSet::from_iter([Signal::SIGHUP, Signal::SIGUSR2]).thread_unblock().context("signals cannot be let through")?;
    let mut alarm = clock::Alarm::new().context("no timer")?;
    let (mut node, mut act) = setup::all(&options, &config, events.clone(), began).await?;
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    tokio::task::spawn_local(async move {
        tokio::time::sleep(starts::LASTING).await;
        starts.lasted();
    });
    let mut successor = successor::Successor::default();
    let read = config.text_hash();
    loop {
        alarm.set(node.deadline()).context("the timer cannot be set")?;
        let event = tokio::select! {
            biased;
            // What is due is first, and outside of tokio's budget for busy tasks: no flood of frames keeps it waiting.
            done = tokio::task::unconstrained(alarm.wait()) => { done.context("the timer failed")?; Some(Event::Input(Input::Tick)) }
            event = inbox.recv() => event,
            seen = act.public.next() => match act.public_input(seen) {
                Some(input) => Some(Event::Input(input)),
                // Nothing for the decision, and nothing for the recorder.
                None => continue,
            },
        };
        let Some(event) = event else { break };
        match event {
            Event::Input(input) => node.handle(clock::now(), input),
            Event::Opened(_) => node.handle(clock::now(), Input::Tick),
            Event::Interfaces(told) => {
                for input in act.interfaces(told) {
                    node.handle(clock::now(), input);
                    act.carry_out(&mut node);
                }
            }
            Event::Command(command, answer) => {
                if command == Command::Shutdown {
                    act.ending(true);
                }
                let id = act.remember(answer);
                node.handle(clock::now(), Input::Command { id, command });
            }
            Event::View(answer) => {
                let mut view = node.view(clock::now());
                act.bonds.join(&mut view);
                act.labels.put(&mut view);
                view.problems.extend(act.left_out.problem(clock::now()));
                view.problems.extend(successor.problem());
                view.problems.extend(act.cards.problems(clock::now()));
                view.problems.extend(node.trouble());
                let found = found::Found::ask(&act, &options.config, read);
                tokio::task::spawn_local(async move { answer.send(found.join(view).await) });
            }
            Event::Recorded(dir, answer) => {
                node.hurry();
                let _ = answer.send(Response::Journal(dir));
            }
            Event::Reopen => act.reopen_logs(),
            Event::ComeBack => successor.ask(&options, &act.events),
            Event::Successor(Ok(())) => {
                successor.ready();
                let (answer, _) = oneshot::channel();
                let id = act.remember(answer);
                node.handle(clock::now(), Input::Command { id, command: Command::ComeBack });
            }
            Event::Successor(Err(why)) => {
                act.ending(true);
                let (answer, answered) = oneshot::channel();
                tokio::task::spawn_local(successor::follow(answered, why, act.events.clone()));
                let id = act.remember(answer);
                node.handle(clock::now(), Input::Command { id, command: Command::HandOver });
            }
            Event::Stays(why) => {
                act.ending(false);
                successor.stays(why, &options, &act.events);
            }
        }
        act.carry_out(&mut node);
        act.cards.turned(clock::now());
        match act.exit {
            Some(false) => break,
            Some(true) => {
                tracing::info!("SIGUSR2: exits and comes back; gate, addresses and services stay");
                act.leave_behind(node);
            }
            None => {}
        }
    }
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    // Whoever waits for the last answer reads it before the socket closes.
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    act.finish();
    Ok(())
}

impl Actuators {
    /// The services are to be stopped by a daemon that is being stopped itself, or no longer is.
    fn ending(&self, ending: bool) {
        self.services.iter().flatten().for_each(|manager| manager.ending(ending));
    }

    /// Carries out everything that the core wants now.
    fn carry_out(&mut self, node: &mut Recorded) {
        while let Some(output) = node.poll() {
            self.act(output);
        }
    }
}
