//! `twinbeat reload` and SIGHUP: a changed file is read, compared and tried by this life, and taken up by the next one, which begins in
//! the same process and goes on from the open gate as after a restart (SAFETY R10).
//!
//! Nothing is given up for it: where the file cannot be used, or not in place, this life goes on with what it has read before.
//!
//! One is under way at a time. A signal that comes meanwhile is not lost: the file may have been changed since it was read, so it is read once more.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use super::actuators::Actuators;
use super::announce;
use super::asking::{self, Free};
use super::event::Event;
use super::next::Next;
use super::options::Options;
use super::plan::{Facts, Plan};
use super::public::public_config;
use super::step::{Asker, Read, Step};
use super::{successor, trial};
use twinbeat_config::Config;
use twinbeat_control::protocol::{Reload as Answer, Response};
use twinbeat_core::id::NodeId;
use twinbeat_core::io::{self, Command};
use twinbeat_core::words::{GroupRole, Guard};
use twinbeat_host::clock;
use twinbeat_journal::Recorded;

/// The reload that is under way, if one is.
pub struct Reload {
    options: Options,
    me: NodeId,
    /// What this life has read.
    config: Config,
    key: [u8; 32],
    events: UnboundedSender<Event>,
    busy: bool,
    /// A signal asked while one was under way.
    again: bool,
    /// systemd was told that one is under way.
    announced: bool,
    /// What the next life is told; set as soon as this one only takes its last evidence.
    next: Option<Next>,
    /// The problem's words while the changed file was refused.
    trouble: Option<String>,
}

impl Reload {
    /// For a daemon that has read this file and this key.
    pub fn new(options: &Options, me: NodeId, config: &Config, key: [u8; 32], events: UnboundedSender<Event>) -> Reload {
        Reload {
            options: options.clone(),
            me,
            config: config.clone(),
            key,
            events,
            busy: false,
            again: false,
            announced: false,
            next: None,
            trouble: None,
        }
    }

    /// What becomes of the process once the core has finished: a next life, or its end.
    pub fn next(&self) -> Option<&Next> {
        self.next.as_ref()
    }

    /// A restart, or an end, goes before a reload.
    pub fn give_way(&mut self) {
        self.next = None;
        self.again = false;
        self.over(None);
    }

    /// The problem's words, where a signal asked for a file that was refused.
    pub fn problem(&self) -> Option<String> {
        self.trouble.as_ref().map(|why| format!("the changed configuration is not in force: {why}"))
    }

    /// Takes a step; the core is told to come back when all is ready.
    pub fn step(&mut self, step: Step, node: &mut Recorded, act: &mut Actuators) {
        match step {
            Step::Ask { plan, asker } => {
                // Also of one that has to wait: systemd goes by when its own signal was taken.
                if !plan && (!self.busy || asker.is_none()) {
                    announce::reloading();
                    self.announced = true;
                }
                if self.busy {
                    self.again |= asker.is_none();
                    tell(asker, Response::Refused("a reload is under way already".into()));
                    return;
                }
                self.busy = true;
                read(&self.options, self.me, plan, asker, &act.events);
            }
            Step::Read { plan, asker, read } => match *read {
                Err(why) => self.refuse(asker, why),
                Ok(read) => self.judge(plan, asker, Box::new(read), node, act),
            },
            // A restart came between.
            Step::Asked { asker, .. } if !self.busy => tell(asker, Response::Refused("the daemon restarts or ends".into())),
            Step::Asked { asker, read, free } => self.begin(asker, &read, free, node, act),
            Step::Go => self.go(node, act),
            Step::Refused(why) => {
                tracing::warn!("reload: {why}");
                self.next = None;
                self.over(Some(&why));
            }
        }
    }

    /// What there is to say of the file that was read, at this moment.
    fn plan(&self, read: &Read, node: &Recorded, act: &Actuators) -> (Answer, Plan) {
        let facts = self.facts(read, node, act);
        let mut differences: Vec<String> = self.config.differences(&read.config).iter().map(ToString::to_string).collect();
        if read.key != self.key {
            differences.push("this node's private key: another one".into());
        }
        let differences = bounded(differences);
        let plan = Plan::of(&self.config, &read.config, &facts);
        let answer = Answer {
            notes: plan.notes.clone(),
            hindrances: plan.hindrances.clone(),
            begun: false,
            incarnation: node.view(clock::now()).incarnation,
            held: facts.held.iter().map(ToString::to_string).collect(),
            differences,
        };
        (answer, plan)
    }

    fn judge(&mut self, plan_only: bool, asker: Asker, read: Box<Read>, node: &Recorded, act: &Actuators) {
        let (answer, plan) = self.plan(&read, node, act);
        if answer.differences.is_empty() || plan_only {
            if answer.differences.is_empty() {
                self.trouble = None;
            }
            self.over(None);
            tell(asker, Response::Reload(answer));
            return;
        }
        if !answer.hindrances.is_empty() {
            self.hindered(asker, answer);
            return;
        }
        let delivery = Duration::from_nanos(read.config.timing.delivery.0);
        let public = public_config(&read.config, self.me).map_err(|error| error.to_string());
        let (events, me) = (act.events.clone(), self.me);
        tokio::task::spawn_local(async move {
            let free = match public {
                Ok(public) => asking::ask(me, public, plan.ask_for, delivery).await,
                Err(why) => Err(why),
            };
            let _ = events.send(Event::Reload(Step::Asked { asker, read, free }));
        });
    }

    fn facts(&self, read: &Read, node: &Recorded, act: &Actuators) -> Facts {
        let now = clock::now();
        let view = node.view(now);
        let theirs = self.config.nodes.get(self.me.other().index());
        let used = theirs.and_then(|node| node.public_keys().nth(act.inbox.borrow().current()));
        let which = |wanted: fn(GroupRole) -> bool| {
            let groups = self.config.groups.iter().zip(&view.groups);
            groups.filter(|(_, seen)| wanted(seen.role)).map(|(group, _)| group.name.clone()).collect()
        };
        Facts {
            me: self.me,
            held: which(|role| role != GroupRole::Standby),
            moving: which(|role| matches!(role, GroupRole::Claiming | GroupRole::Leaving)),
            peer_has: read.config.groups.iter().map(|group| node.peer_has(&group.settings(), now)).collect(),
            gate_stays: view.gate == Guard::Inet,
            my_key: read.key,
            peer_key: used.map_or([0; 32], |key| key.to_bytes()),
        }
    }

    /// Looks once more, since asking took its time; then the answer goes on its way.
    fn begin(&mut self, asker: Asker, read: &Read, free: Result<Vec<Free>, String>, node: &Recorded, act: &Actuators) {
        let (mut answer, plan) = self.plan(read, node, act);
        let free = match free {
            Ok(free) => {
                if plan.ask_for.iter().any(|(address, _)| !free.iter().any(|(known, _)| known == address)) {
                    answer.hindrances.push("a group moved here meanwhile: once more".into());
                }
                free
            }
            Err(taken) => {
                answer.hindrances.push(taken);
                Vec::new()
            }
        };
        if !answer.hindrances.is_empty() {
            self.hindered(asker, answer);
            return;
        }
        self.trouble = None;
        for line in answer.differences.iter().chain(&answer.notes) {
            tracing::info!("reload: {line}");
        }
        tell(asker, Response::Reload(Answer { begun: true, ..answer }));
        self.next = Some(Next::new(&self.options, free));
        let events = act.events.clone();
        tokio::task::spawn_local(async move {
            tokio::time::sleep(TOLD).await;
            let _ = events.send(Event::Reload(Step::Go));
        });
    }

    /// The last evidence is taken; then this life ends.
    fn go(&mut self, node: &mut Recorded, act: &mut Actuators) {
        if self.next.is_none() {
            return;
        }
        let events = act.events.clone();
        let (told, outcome) = oneshot::channel();
        tokio::task::spawn_local(async move {
            if let Ok(io::Answer::Refused(why)) = outcome.await {
                let _ = events.send(Event::Reload(Step::Refused(why)));
            }
        });
        let id = act.remember(told);
        node.handle(clock::now(), io::Input::Command { id, command: Command::ComeBack });
    }

    /// This life goes on; systemd is told, unless the file is read once more.
    fn over(&mut self, refused: Option<&str>) {
        self.busy = false;
        if std::mem::take(&mut self.again) && self.events.send(Event::Reload(Step::Ask { plan: false, asker: None })).is_ok() {
            return;
        }
        if std::mem::take(&mut self.announced) {
            announce::goes_on(refused);
        }
    }

    fn refuse(&mut self, asker: Asker, why: String) {
        self.over(Some(&why));
        if asker.is_none() {
            self.complain(why.clone());
        }
        tell(asker, Response::Refused(why));
    }

    fn hindered(&mut self, asker: Asker, answer: Answer) {
        let why = answer.hindrances.join("; ");
        self.over(Some(&why));
        if asker.is_none() {
            self.complain(why);
        }
        tell(asker, Response::Reload(answer));
    }

    /// Nobody reads an answer: the log and `status` say it.
    fn complain(&mut self, why: String) {
        tracing::error!(
            "reload: the changed configuration is not in force, this daemon goes on with what it has read before: {why}"
        );
        self.trouble = Some(why);
    }
}

/// Reads the file and the key, and tries the next life, on a thread: the disk may hang.
fn read(options: &Options, me: NodeId, plan: bool, asker: Asker, events: &UnboundedSender<Event>) {
    let (options, events) = (options.clone(), events.clone());
    // In a place of its own, so that it is answered where there is no thread, too.
    let asker = std::sync::Arc::new(std::sync::Mutex::new(asker));
    let (mine, told) = (asker.clone(), events.clone());
    let take = |asker: &std::sync::Mutex<Asker>| asker.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    let begun = std::thread::Builder::new().name("reload".into()).spawn(move || {
        let read = Box::new(look(&options, me));
        let _ = told.send(Event::Reload(Step::Read { plan, asker: take(&mine), read }));
    });
    if let Err(error) = begun {
        let read = Box::new(Err(format!("no thread: {error}")));
        let _ = events.send(Event::Reload(Step::Read { plan, asker: take(&asker), read }));
    }
}

fn look(options: &Options, me: NodeId) -> Result<Read, String> {
    let words = |error: anyhow::Error| format!("{error:#}");
    let config = trial::read(&options.config).map_err(words)?;
    let key = config.private_key(me).map_err(|error| error.to_string());
    // The words of the next life about its start are better than those about a node that is not in the file.
    successor::could_begin(options)?;
    Ok(Read { key: key?.verifying_key().to_bytes(), config })
}

/// Files of a megabyte that have nothing in common are told as far as an answer holds them.
fn bounded(mut lines: Vec<String>) -> Vec<String> {
    let more = lines.len().saturating_sub(MOST_LINES);
    lines.truncate(MOST_LINES);
    for line in &mut lines {
        if let Some((at, _)) = line.char_indices().nth(LONGEST_LINE) {
            line.truncate(at);
            line.push('…');
        }
    }
    lines.extend((more > 0).then(|| format!("and {more} more")));
    lines
}

fn tell(asker: Asker, response: Response) {
    if let Some(asker) = asker {
        let _ = asker.send(response);
    }
}

/// So long the answer has to reach the socket.
const TOLD: Duration = Duration::from_millis(10);
/// The most lines about what differs.
const MOST_LINES: usize = 500;
/// In characters.
const LONGEST_LINE: usize = 400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_bounded_and_says_how_much_is_left_out() {
        let few = vec!["a".to_owned(), "é".repeat(LONGEST_LINE)];
        assert_eq!(bounded(few.clone()), few);
        let long = bounded(vec!["é".repeat(LONGEST_LINE + 1); MOST_LINES + 7]);
        assert_eq!((long.len(), long.last().map(String::as_str)), (MOST_LINES + 1, Some("and 7 more")));
        assert!(long.iter().all(|line| line.chars().count() <= LONGEST_LINE + 1));
    }
}
