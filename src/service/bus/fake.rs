//! A bus with a systemd behind it, for tests: each connection is served by itself, in one loop, and does what the test has planned.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::net::UnixListener;
use tokio::task::AbortHandle;
use zbus::connection::Builder;
use zbus::message::Type;
use zbus::zvariant::{ObjectPath, OwnedObjectPath, Value};
use zbus::{Connection, Guid, Message, MessageStream};

/// Its name on the bus, and somebody else's.
const SYSTEMD: &str = ":1.0";
pub const SOMEBODY: &str = ":1.66";

/// What becomes of a job.
#[derive(Clone, Copy, Debug)]
pub enum Plan {
    /// It ends so, and leaves the unit in this state.
    Ends(&'static str, &'static str),
    /// It is queued, and the unit is in this state for good.
    Never(&'static str),
    /// It is refused, in these words.
    Refused(&'static str, &'static str),
}

/// What it does.
#[derive(Debug)]
pub struct World {
    pub states: HashMap<String, String>,
    pub start: Plan,
    pub stop: Plan,
    /// The unit's `Result`.
    pub result: &'static str,
    /// Nothing is answered any more.
    pub mute: bool,
    /// States are numbers.
    pub nonsense: bool,
    /// Each call that came, with its first words.
    pub calls: Vec<String>,
    connections: Vec<Connection>,
    jobs: u32,
}

/// The bus.
pub struct Fake {
    pub world: Arc<Mutex<World>>,
    accepting: AbortHandle,
}

impl Fake {
    /// One whose units start and stop.
    pub fn serve(socket: &Path) -> Fake {
        let world = World {
            states: HashMap::new(),
            start: Plan::Ends("done", "active"),
            stop: Plan::Ends("done", "inactive"),
            result: "success",
            mute: false,
            nonsense: false,
            calls: Vec::new(),
            connections: Vec::new(),
            jobs: 0,
        };
        let world = Arc::new(Mutex::new(world));
        Fake { accepting: accept(socket, &world), world }
    }

    pub fn set(&self, change: impl FnOnce(&mut World)) {
        change(&mut self.world.lock().unwrap());
    }

    /// How many calls there were whose words begin so.
    pub fn count(&self, words: &str) -> usize {
        self.world.lock().unwrap().calls.iter().filter(|call| call.starts_with(words)).count()
    }

    pub fn calls(&self) -> Vec<String> {
        self.world.lock().unwrap().calls.clone()
    }

    /// The unit is in another state, and everybody hears of it.
    pub async fn becomes(&self, unit: &str, active: &str) {
        self.set(|world| drop(world.states.insert(unit.into(), active.into())));
        self.say_by(SYSTEMD, unit, active).await;
    }

    /// A signal that says so; nothing is so.
    pub async fn say_by(&self, sender: &str, unit: &str, active: &str) {
        let connections = self.world.lock().unwrap().connections.clone();
        for connection in connections {
            let _ = connection.send(&changed(sender, unit, active)).await;
        }
    }

    /// The bus goes away with all its connections.
    pub async fn leave(&self, socket: &Path) {
        self.accepting.abort();
        let _ = std::fs::remove_file(socket);
        let connections = std::mem::take(&mut self.world.lock().unwrap().connections);
        for connection in connections {
            let _ = connection.close().await;
        }
    }

    /// It is there again.
    pub fn come_back(&mut self, socket: &Path) {
        self.accepting = accept(socket, &self.world);
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn accept(socket: &Path, world: &Arc<Mutex<World>>) -> AbortHandle {
    let (listener, world) = (UnixListener::bind(socket).unwrap(), Arc::clone(world));
    let accepting = async move {
        while let Ok((stream, _)) = listener.accept().await {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                let built = Builder::unix_stream(stream).server(Guid::generate()).unwrap().p2p().max_queued(1000).build();
                let Ok(connection) = built.await else { return };
                let mut messages = MessageStream::from(&connection);
                world.lock().unwrap().connections.push(connection.clone());
                while let Some(Ok(message)) = messages.next().await {
                    if message.message_type() == Type::MethodCall {
                        for answer in answers(&message, &world) {
                            let _ = connection.send(&answer).await;
                        }
                    }
                }
            });
        }
    };
    tokio::spawn(accepting).abort_handle()
}

fn path(unit: &str) -> OwnedObjectPath {
    let escaped: String =
        unit.bytes().map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("_{b:02x}") }).collect();
    ObjectPath::try_from(format!("/org/freedesktop/systemd1/unit/{escaped}")).unwrap().into()
}

fn changed(sender: &str, unit: &str, active: &str) -> Message {
    let values: HashMap<&str, Value<'_>> = [("ActiveState", Value::from(active)), ("SubState", Value::from("odd"))].into();
    let signal = Message::signal(path(unit), "org.freedesktop.DBus.Properties", "PropertiesChanged").unwrap();
    let nothing: Vec<&str> = Vec::new();
    signal.sender(sender).unwrap().build(&("org.freedesktop.systemd1.Unit", values, nothing)).unwrap()
}

fn job_removed(job: u32, at: &OwnedObjectPath, unit: &str, result: &str) -> Message {
    let signal = Message::signal("/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", "JobRemoved").unwrap();
    signal.sender(SYSTEMD).unwrap().build(&(job, at, unit, result)).unwrap()
}

/// What is sent back, in order.
fn answers(call: &Message, world: &Mutex<World>) -> Vec<Message> {
    let mut world = world.lock().unwrap();
    let header = call.header();
    let member = header.member().unwrap().to_string();
    let body = call.body();
    let (first, second) = match body.deserialize::<(&str, &str)>() {
        Ok((first, second)) => (first.to_owned(), second.to_owned()),
        Err(_) => (body.deserialize::<&str>().unwrap_or_default().to_owned(), String::new()),
    };
    let (first, second) = match member.as_str() {
        // What it is made of, as far as a test asks for it.
        "StartTransientUnit" => {
            type Properties<'a> = Vec<(&'a str, Value<'a>)>;
            let (unit, _, properties, _) =
                body.deserialize::<(&str, &str, Properties<'_>, Vec<(&str, Properties<'_>)>)>().unwrap();
            let words = properties.iter().filter(|(name, _)| ["Type", "ExecStart", "Before"].contains(name));
            (unit.to_owned(), words.map(|(name, value)| format!("{name}={value:?} ")).collect())
        }
        _ => (first, second),
    };
    world.calls.push(format!("{member} {first} {second}").trim_end().to_owned());
    if world.mute {
        return Vec::new();
    }
    let reply = || Message::method_return(&header).unwrap();
    let error = |name: &str, text: &str| vec![Message::error(&header, name).unwrap().build(&text).unwrap()];
    match member.as_str() {
        "Hello" => vec![reply().build(&":1.7").unwrap()],
        "GetNameOwner" => vec![reply().build(&SYSTEMD).unwrap()],
        "LoadUnit" => vec![reply().build(&path(&first)).unwrap()],
        "Get" if second == "Result" => vec![reply().build(&Value::from(world.result)).unwrap()],
        "Get" if second == "ExecMainStatus" => vec![reply().build(&Value::from(3_i32)).unwrap()],
        "Get" if world.nonsense => vec![reply().build(&Value::from(7_u32)).unwrap()],
        "Get" => {
            let at = header.path().unwrap().to_owned();
            let state = world.states.iter().find(|(unit, _)| path(unit).as_str() == at.as_str());
            let state = state.map_or_else(|| "inactive".to_owned(), |(_, state)| state.clone());
            vec![reply().build(&Value::from(state)).unwrap()]
        }
        "StartUnit" | "StopUnit" | "StartTransientUnit" => {
            let plan = if member == "StopUnit" || first.contains(".stop.") { world.stop } else { world.start };
            let (end, active) = match plan {
                Plan::Refused(name, text) => return error(name, text),
                Plan::Never(active) => (None, active),
                Plan::Ends(result, active) => (Some(result), active),
            };
            world.jobs += 1;
            let number = world.jobs;
            let job: OwnedObjectPath = ObjectPath::try_from(format!("/org/freedesktop/systemd1/job/{number}")).unwrap().into();
            world.states.insert(first.clone(), active.into());
            let mut all = vec![reply().build(&job).unwrap(), changed(SYSTEMD, &first, active)];
            all.extend(end.map(|result| job_removed(number, &job, &first, result)));
            all
        }
        "KillUnit" => {
            let (unit, _, _) = body.deserialize::<(&str, &str, i32)>().unwrap();
            world.states.insert(unit.to_owned(), "failed".into());
            vec![reply().build(&()).unwrap(), changed(SYSTEMD, unit, "failed")]
        }
        _ => vec![reply().build(&()).unwrap()],
    }
}

/// Long for a signal, also on a busy machine, and short for who only compares every 5 s; there is no `systemctl` in these tests that could see it.
pub const AT_ONCE: Duration = Duration::from_secs(2);
