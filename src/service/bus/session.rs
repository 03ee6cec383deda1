//! One connection, from its first question until it is lost: what was asked and is not answered, the jobs that run, the state of each unit.
//!
//! Answers and signals are taken in the order in which they come, by one loop, so that an old state never comes after a newer one.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep_until, timeout};
use zbus::message::Type;
use zbus::zvariant::OwnedObjectPath;
use zbus::{Connection, Message, MessageStream};

use super::ask::{Answer, Ask, JobEnd, Known, Trouble};
use super::message::{self, Made, Refusal, Signal};

/// Why it is over.
#[derive(Debug)]
pub enum Over {
    /// Nobody asks any more.
    Unwanted,
    /// It is lost, and why.
    Lost(String),
}

/// What an answer that is waited for is an answer to.
#[derive(Debug)]
enum Asked {
    Owner,
    Match,
    Subscription,
    Path(usize),
    State(usize, After),
    Job(usize, Answer<JobEnd>),
    Kill(Answer<()>),
    Word(Answer<String>),
}

/// Who is told when the state of a unit is there.
#[derive(Debug)]
enum After {
    Nobody,
    Look(Answer<String>),
    Job(String, Answer<JobEnd>),
}

#[derive(Debug)]
struct Pending {
    asked: Asked,
    until: Instant,
}

/// One unit.
#[derive(Debug)]
struct Followed {
    name: String,
    path: Option<OwnedObjectPath>,
    known: Option<Known>,
}

pub struct Session {
    connection: Connection,
    messages: MessageStream,
    /// systemd's unique name.
    systemd: Option<String>,
    subscribed: bool,
    units: Vec<Followed>,
    pending: HashMap<NonZeroU32, Pending>,
    jobs: HashMap<OwnedObjectPath, (usize, Answer<JobEnd>)>,
    /// When the states are asked for although no signal came.
    look: Instant,
}

type Step = Result<(), Over>;

fn lost(why: impl std::fmt::Display) -> Over {
    Over::Lost(why.to_string())
}

impl Session {
    pub fn new(connection: Connection, names: &[String]) -> Session {
        let unit = |name: &String| Followed { name: name.clone(), path: None, known: None };
        Session {
            messages: MessageStream::from(&connection),
            connection,
            systemd: None,
            subscribed: false,
            units: names.iter().map(unit).collect(),
            pending: HashMap::new(),
            jobs: HashMap::new(),
            look: Instant::now() + LOOK,
        }
    }

    /// Until it is lost or unwanted; `publish` is given what is known whenever that changes, from the first time that all is known.
    pub async fn live(&mut self, asks: &mut UnboundedReceiver<Ask>, mut publish: impl FnMut(Vec<Known>)) -> Over {
        match self.turns(asks, &mut publish).await {
            Ok(()) => Over::Unwanted,
            Err(over) => over,
        }
    }

    async fn turns(&mut self, asks: &mut UnboundedReceiver<Ask>, publish: &mut impl FnMut(Vec<Known>)) -> Step {
        for rule in message::general_rules() {
            self.send(message::add_match(&rule), Asked::Match).await?;
        }
        self.send(message::name_owner(), Asked::Owner).await?;
        loop {
            let due = self.pending.values().map(|pending| pending.until).min();
            tokio::select! {
                message = self.messages.next() => match message {
                    Some(Ok(message)) => self.take(message).await?,
                    Some(Err(error)) => return Err(lost(error)),
                    None => return Err(lost("closed by the other side")),
                },
                ask = asks.recv() => match ask {
                    Some(ask) => self.ask(ask).await?,
                    None => return Ok(()),
                },
                () = sleep_until(due.unwrap_or(self.look)), if due.is_some() => {
                    return Err(lost(format!("no answer within {CALL:?}")));
                }
                () = sleep_until(self.look) => self.look_at_all().await?,
            }
            if let Some(known) = self.all_known() {
                publish(known);
            }
        }
    }

    /// What is known, when all of it is.
    fn all_known(&self) -> Option<Vec<Known>> {
        self.units.iter().map(|unit| unit.known.clone()).collect::<Option<Vec<_>>>().filter(|_| self.subscribed)
    }

    async fn send(&mut self, message: Made, asked: Asked) -> Step {
        let message = message.map_err(lost)?;
        let until = Instant::now() + CALL;
        self.pending.insert(message.primary_header().serial_num(), Pending { asked, until });
        match timeout(CALL, self.connection.send(&message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(lost(error)),
            Err(_) => Err(lost(format!("it takes nothing for {CALL:?}"))),
        }
    }

    /// Sends a question about a unit, or says why it cannot be asked.
    async fn ask(&mut self, ask: Ask) -> Step {
        let Some(systemd) = self.systemd.clone() else { return Ok(()) };
        let name = |units: &[Followed], at: usize| units.get(at).map(|unit| unit.name.clone()).unwrap_or_default();
        match ask {
            Ask::Look(at, answer) => match self.path_of(at) {
                Ok(path) => self.send(message::active_state(&systemd, &path), Asked::State(at, After::Look(answer))).await,
                Err(trouble) => {
                    let _ = answer.send(Err(trouble));
                    Ok(())
                }
            },
            Ask::Word(at, interface, property, answer) => match self.path_of(at) {
                Ok(path) => self.send(message::property(&systemd, &path, interface, property), Asked::Word(answer)).await,
                Err(trouble) => {
                    let _ = answer.send(Err(trouble));
                    Ok(())
                }
            },
            Ask::Job(at, verb, answer) => {
                self.send(message::job(&systemd, &name(&self.units, at), verb), Asked::Job(at, answer)).await
            }
            Ask::Run(at, program, answer) => {
                self.send(message::run(&systemd, &name(&self.units, at), *program), Asked::Job(at, answer)).await
            }
            Ask::Forgive(at, answer) => self.send(message::forgive(&systemd, &name(&self.units, at)), Asked::Kill(answer)).await,
            Ask::Kill(at, answer) => self.send(message::kill(&systemd, &name(&self.units, at)), Asked::Kill(answer)).await,
        }
    }

    fn path_of(&self, at: usize) -> Result<OwnedObjectPath, Trouble> {
        let unit = self.units.get(at);
        let why = || match unit.and_then(|unit| unit.known.clone()) {
            Some(Err(why)) => Trouble::Refused(why),
            _ => Trouble::Away("it is not loaded yet".into()),
        };
        unit.and_then(|unit| unit.path.clone()).ok_or_else(why)
    }

    async fn look_at_all(&mut self) -> Step {
        self.look = Instant::now() + LOOK;
        self.jobs.retain(|_, (_, answer)| !answer.is_closed());
        for at in 0..self.units.len() {
            match self.path_of(at) {
                Ok(_) => self.look_at(at, After::Nobody).await?,
                Err(_) => self.load(at).await?,
            }
        }
        Ok(())
    }

    async fn look_at(&mut self, at: usize, after: After) -> Step {
        match (self.systemd.clone(), self.path_of(at)) {
            (Some(systemd), Ok(path)) => self.send(message::active_state(&systemd, &path), Asked::State(at, after)).await,
            _ => Ok(()),
        }
    }

    async fn load(&mut self, at: usize) -> Step {
        match (self.systemd.clone(), self.units.get(at).map(|unit| unit.name.clone())) {
            (Some(systemd), Some(name)) => self.send(message::load(&systemd, &name), Asked::Path(at)).await,
            _ => Ok(()),
        }
    }

    /// Everything that comes.
    async fn take(&mut self, message: Message) -> Step {
        match message.message_type() {
            Type::MethodReturn | Type::Error => {
                let serial = message.header().reply_serial();
                let Some(pending) = serial.and_then(|serial| self.pending.remove(&serial)) else { return Ok(()) };
                match message.message_type() {
                    Type::Error => self.refused(pending.asked, message::refusal(&message)),
                    _ => self.answered(pending.asked, &message).await,
                }
            }
            Type::Signal => match message::signal(&message, self.systemd.as_deref()) {
                Some(signal) => self.signalled(signal).await,
                None => Ok(()),
            },
            Type::MethodCall => Ok(()),
        }
    }

    async fn answered(&mut self, asked: Asked, answer: &Message) -> Step {
        let word = || message::word_of(answer).ok_or_else(|| lost(NONSENSE));
        match asked {
            Asked::Owner => {
                let systemd = word()?;
                self.systemd = Some(systemd.clone());
                self.send(message::subscribe(&systemd), Asked::Subscription).await?;
                for at in 0..self.units.len() {
                    self.load(at).await?;
                }
            }
            Asked::Match => {}
            Asked::Subscription => self.subscribed = true,
            Asked::Path(at) => {
                let path = message::path_of(answer).ok_or_else(|| lost(NONSENSE))?;
                if self.units.get(at).is_some_and(|unit| unit.path.as_ref() != Some(&path)) {
                    for rule in message::unit_rules(&path) {
                        self.send(message::add_match(&rule), Asked::Match).await?;
                    }
                }
                if let Some(unit) = self.units.get_mut(at) {
                    unit.path = Some(path);
                }
                self.look_at(at, After::Nobody).await?;
            }
            Asked::State(at, after) => {
                let active = word()?;
                self.learn(at, Ok(active.clone()));
                match after {
                    After::Nobody => {}
                    After::Look(who) => drop(who.send(Ok(active))),
                    After::Job(result, who) => drop(who.send(Ok(JobEnd { result, active }))),
                }
            }
            Asked::Job(at, who) => {
                let job = message::path_of(answer).ok_or_else(|| lost(NONSENSE))?;
                self.jobs.insert(job, (at, who));
            }
            Asked::Kill(who) => drop(who.send(Ok(()))),
            Asked::Word(who) => drop(who.send(Ok(word()?))),
        }
        Ok(())
    }

    fn refused(&mut self, asked: Asked, refusal: Refusal) -> Step {
        // What the bus forbids systemctl may do, which needs no bus.
        let trouble = match refusal.name.ends_with(".AccessDenied") {
            true => Trouble::Away(refusal.text.clone()),
            false => Trouble::Refused(refusal.text.clone()),
        };
        match asked {
            Asked::Owner => return Err(lost(format!("systemd is not on it: {}", refusal.text))),
            Asked::Match => return Err(lost(format!("it passes no signals on: {}", refusal.text))),
            // By the life of this connection before files were read anew.
            Asked::Subscription if refusal.name.ends_with(".AlreadySubscribed") => self.subscribed = true,
            Asked::Subscription => return Err(lost(format!("systemd sends no signals: {}", refusal.text))),
            Asked::Path(at) => self.learn(at, Err(refusal.text)),
            Asked::State(at, after) => {
                self.learn(at, Err(refusal.text));
                match after {
                    After::Nobody => {}
                    After::Look(who) => drop(who.send(Err(trouble))),
                    After::Job(_, who) => drop(who.send(Err(trouble))),
                }
            }
            Asked::Job(_, who) => drop(who.send(Err(trouble))),
            Asked::Kill(who) => drop(who.send(Err(trouble))),
            Asked::Word(who) => drop(who.send(Err(trouble))),
        }
        Ok(())
    }

    fn learn(&mut self, at: usize, known: Known) {
        if let Some(unit) = self.units.get_mut(at) {
            unit.known = Some(known);
        }
    }

    async fn signalled(&mut self, signal: Signal) -> Step {
        let at = |path: &OwnedObjectPath| self.units.iter().position(|unit| unit.path.as_ref() == Some(path));
        match signal {
            Signal::OwnerChanged => return Err(lost("systemd left it")),
            Signal::Changed(path, state) => match (at(&path), state) {
                (Some(at), Some(active)) => self.learn(at, Ok(active)),
                (Some(at), None) => self.look_at(at, After::Nobody).await?,
                (None, _) => {}
            },
            Signal::New(path) => {
                if let Some(at) = at(&path) {
                    self.look_at(at, After::Nobody).await?;
                }
            }
            Signal::JobRemoved(path, result) => {
                if let Some((at, who)) = self.jobs.remove(&path) {
                    match self.path_of(at) {
                        Ok(_) => self.look_at(at, After::Job(result, who)).await?,
                        Err(trouble) => drop(who.send(Err(trouble))),
                    }
                }
            }
            Signal::Reloaded => {
                // Some versions forget who listens when they read the files, and a name may mean another unit now.
                if let Some(systemd) = self.systemd.clone() {
                    self.send(message::subscribe(&systemd), Asked::Subscription).await?;
                }
                for at in 0..self.units.len() {
                    self.load(at).await?;
                }
            }
        }
        Ok(())
    }
}

const NONSENSE: &str = "an answer that makes no sense";
/// How long an answer may take.
pub const CALL: Duration = Duration::from_secs(2);
/// What signals say is compared with systemd's own word so often; a connection that is dead is found out by it, too.
const LOOK: Duration = Duration::from_secs(5);
