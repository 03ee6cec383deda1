//! The loop: events in, inputs for the core, its outputs carried out.

use anyhow::Context;
use tokio::sync::{mpsc, oneshot};

use super::actuators::Actuators;
use super::event::Event;
use super::found::Found;
use super::options::Options;
use super::reload::Reload;
use super::starts::{self, Starts};
use super::successor::{Successor, follow};
use super::watchdog::Watchdog;
use super::{announce, next, setup, trial};
use twinbeat_config::Config;
use twinbeat_control::protocol::Response;
use twinbeat_core::io::{Command, Input};
use twinbeat_core::sentence::Sentence;
use twinbeat_core::time::Mono;
use twinbeat_core::view::View;
use twinbeat_core::words::About;
use twinbeat_host::clock;
use twinbeat_journal::Recorded;
use twinbeat_web::{Depth, Question, Seen};

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// What keeps it from starting: the file, the key, the run directory, the kernel.
pub fn run(options: Options) -> anyhow::Result<()> {
    let began = clock::now();
    // Until there are handlers they would kill: somebody may rotate the log just now.
    next::held_back().thread_block().context("signals cannot be held back")?;
    let starts = Starts::count(&options.run_dir);
    announce::reloading();
    let config = trial::read(&options.config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let local = tokio::task::LocalSet::new();
    // As one of the local tasks: what another of them has for it is taken in the same turn, without a look at every socket first.
    let served = local.block_on(&runtime, async { tokio::task::spawn_local(serve(options, config, starts, began)).await });
    served.unwrap_or_else(|lost| match lost.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(cancelled) => Err(cancelled.into()),
    })
}

async fn serve(options: Options, config: Config, starts: Starts, began: Mono) -> anyhow::Result<()> {
    let (events, mut inbox) = mpsc::unbounded_channel();
    setup::signals(&events)?;
    next::held_back().thread_unblock().context("signals cannot be let through")?;
    let mut alarm = clock::Alarm::new().context("no timer")?;
    let (mut node, mut act, mut reload) = setup::all(&options, &config, events.clone(), began).await?;
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    tokio::task::spawn_local(async move {
        tokio::time::sleep(starts::LASTING).await;
        starts.lasted();
    });
    let mut successor = Successor::default();
    let mut watchdog = Watchdog::of_the_unit();
    let read = config.text_hash();
    loop {
        watchdog.turned(clock::now());
        let due = node.deadline();
        alarm.set(watchdog.before(due)).context("the timer cannot be set")?;
        let event = tokio::select! {
            biased;
            // What is due is first, and outside of tokio's budget for busy tasks: no flood of frames keeps it waiting.
            done = tokio::task::unconstrained(alarm.wait()) => {
                done.context("the timer failed")?;
                if due.is_none_or(|due| clock::now() < due) {
                    continue;
                }
                Some(Event::Input(Input::Tick))
            }
            event = inbox.recv() => event,
            seen = act.public.next() => match act.public_input(seen) {
                Some(input) => Some(Event::Input(input)),
                // Nothing for the decision, and nothing for the recorder.
                None => continue,
            },
        };
        let Some(event) = event else { break };
        let began = clock::now();
        match event {
            Event::Input(input) => {
                if let Some(meters) = &mut act.meters {
                    meters.came(began, &input);
                    if let (Input::Tick, Some(due)) = (&input, due.filter(|due| *due <= began)) {
                        meters.late(began.since(due));
                    }
                }
                node.handle(began, input);
            }
            Event::Interfaces(told) => {
                for input in act.interfaces(told) {
                    node.handle(clock::now(), input);
                    act.carry_out(&mut node);
                }
            }
            Event::Command(command, answer) => {
                if command == Command::Shutdown {
                    reload.give_way();
                    act.ending(true);
                }
                let id = act.remember(answer);
                node.handle(clock::now(), Input::Command { id, command });
            }
            Event::View(answer) => {
                let view = shown(&node, &act, &successor, &reload);
                let found = Found::ask(&act, &options.config, read);
                tokio::task::spawn_local(async move { answer.send(found.join(view).await) });
            }
            Event::Look(Question { depth, answer }) => {
                let Some(meters) = &act.meters else { continue };
                let inbox = act.inbox.borrow();
                let (tally, refused) = inbox.tally();
                let measured = meters.measured(tally, refused);
                let view = shown(&node, &act, &successor, &reload);
                let found = (depth == Depth::Whole).then(|| Found::ask(&act, &options.config, read));
                tokio::task::spawn_local(async move {
                    let view = match found {
                        Some(found) => found.join(view).await,
                        None => view,
                    };
                    answer.send(Seen { view, measured })
                });
            }
            Event::Listens(problem) => act.unheard = problem,
            Event::Recorded(dir, answer) => {
                node.hurry();
                let _ = answer.send(Response::Journal(dir));
            }
            Event::Reopen => act.reopen_logs(),
            Event::Reload(step) => reload.step(step, &mut node, &mut act),
            Event::ComeBack => {
                reload.give_way();
                successor.ask(&options, &act.events);
            }
            Event::Successor(Ok(())) => {
                successor.ready();
                let (answer, _) = oneshot::channel();
                let id = act.remember(answer);
                node.handle(clock::now(), Input::Command { id, command: Command::ComeBack });
            }
            Event::Successor(Err(why)) => {
                act.ending(true);
                let (answer, answered) = oneshot::channel();
                tokio::task::spawn_local(follow(answered, why, act.events.clone()));
                let id = act.remember(answer);
                node.handle(clock::now(), Input::Command { id, command: Command::HandOver });
            }
            Event::Stays(why) => {
                act.ending(false);
                successor.stays(why, &options, &act.events);
            }
        }
        act.carry_out(&mut node);
        let now = clock::now();
        act.cards.turned(now);
        if let Some(meters) = &mut act.meters {
            meters.turned(now.since(began));
            if meters.look_due(now) {
                meters.look(&node.view(now));
            }
        }
        if act.changes.as_ref().is_some_and(|changes| changes.due(now)) {
            let view = shown(&node, &act, &successor, &reload);
            if let Some(changes) = &mut act.changes {
                changes.look(now, &view);
            }
        }
        match act.exit {
            Some(false) => break,
            Some(true) => {
                match reload.next() {
                    None => tracing::info!("SIGUSR2: exits and comes back; gate, addresses and services stay"),
                    Some(_) => tracing::info!("reload: the next life begins; gate, addresses and services stay"),
                }
                act.leave_behind(node, reload.next());
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

/// What a person sees, but for the services, which are asked elsewhere.
fn shown(node: &Recorded, act: &Actuators, successor: &Successor, reload: &Reload) -> View {
    let now = clock::now();
    let mut view = node.view(now);
    act.bonds.join(&mut view);
    act.labels.put(&mut view);
    view.problems.extend(act.left_out.problem(now));
    view.problems.extend(successor.problem().or(reload.problem()).map(|text| Sentence::lasting(About::Restart, text)));
    view.problems.extend(act.cards.problems(now));
    view.problems.extend(act.routes.problems());
    view.problems.extend(act.unheard.clone().map(|text| Sentence::lasting(About::Metrics, text)));
    view.recorder_trouble = node.trouble();
    // How many lines are lost goes on.
    view.problems.extend(view.recorder_trouble.clone().map(|text| Sentence::passing(About::Recorder, "journal", text)));
    view
}
