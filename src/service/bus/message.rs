//! The messages themselves: what is asked of the bus and of systemd, and what of an answer or a signal is understood.

use std::collections::HashMap;
use std::time::Duration;

use zbus::Message;
use zbus::message::Type;
use zbus::zvariant::{Fd, OwnedObjectPath, OwnedValue, Value};

use super::ask::{Program, Verb};

/// The bus itself.
pub const BUS: &str = "org.freedesktop.DBus";
/// The name of PID 1.
pub const SYSTEMD: &str = "org.freedesktop.systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const BUS_PATH: &str = "/org/freedesktop/DBus";
/// The daemon's own unit.
pub const DAEMON: &str = "twinbeat.service";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";

/// Something that cannot be put into a message.
pub type Made = zbus::Result<Message>;

fn call<B: serde::Serialize + zbus::zvariant::DynamicType>(
    (to, path, interface): (&str, &str, &str),
    member: &str,
    body: &B,
) -> Made {
    Message::method_call(path, member)?.destination(to)?.interface(interface)?.build(body)
}

/// Who owns systemd's name.
pub fn name_owner() -> Made {
    call((BUS, BUS_PATH, BUS), "GetNameOwner", &SYSTEMD)
}

/// What the bus is to pass on whatever the units are: systemd's end, jobs' ends, and that files of units were read anew.
pub fn general_rules() -> [String; 3] {
    [
        format!("type='signal',sender='{BUS}',path='{BUS_PATH}',interface='{BUS}',member='NameOwnerChanged',arg0='{SYSTEMD}'"),
        format!("type='signal',sender='{SYSTEMD}',path='{MANAGER_PATH}',interface='{MANAGER}',member='JobRemoved'"),
        format!("type='signal',sender='{SYSTEMD}',path='{MANAGER_PATH}',interface='{MANAGER}',member='Reloading'"),
    ]
}

/// What it is to pass on of one unit. One that is loaded anew is told as new, and its first change is not told.
pub fn unit_rules(path: &OwnedObjectPath) -> [String; 2] {
    [
        format!(
            "type='signal',sender='{SYSTEMD}',path='{path}',interface='{PROPERTIES}',member='PropertiesChanged',arg0='{UNIT}'"
        ),
        format!(
            "type='signal',sender='{SYSTEMD}',path='{MANAGER_PATH}',interface='{MANAGER}',member='UnitNew',arg1path='{path}'"
        ),
    ]
}

/// Has the bus pass it on.
pub fn add_match(rule: &str) -> Made {
    call((BUS, BUS_PATH, BUS), "AddMatch", &rule)
}

/// Has systemd send signals at all.
pub fn subscribe(systemd: &str) -> Made {
    call((systemd, MANAGER_PATH, MANAGER), "Subscribe", &())
}

/// The unit's path, whether it was loaded or not.
pub fn load(systemd: &str, unit: &str) -> Made {
    call((systemd, MANAGER_PATH, MANAGER), "LoadUnit", &unit)
}

/// Queues a job.
pub fn job(systemd: &str, unit: &str, verb: Verb) -> Made {
    let (member, mode) = match verb {
        Verb::Start => ("StartUnit", "replace"),
        Verb::Stop { unordered: false } => ("StopUnit", "replace"),
        Verb::Stop { unordered: true } => ("StopUnit", "ignore-dependencies"),
    };
    call((systemd, MANAGER_PATH, MANAGER), member, &(unit, mode))
}

/// Queues the start of a unit that is made of a program (`StartTransientUnit`, org.freedesktop.systemd1(5)).
pub fn run(systemd: &str, unit: &str, program: Program) -> Made {
    let micros = |limit: Duration| u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
    let Program { title, path, argv, environment, ends, last, start_limit, stop_limit, output } = program;
    let mut properties: Vec<(&str, Value<'_>)> = vec![
        ("Description", title.into()),
        // Started when the program has been executed, or when it is done.
        ("Type", if ends { "oneshot" } else { "exec" }.into()),
        ("RemainAfterExit", ends.into()),
        ("ExecStart", vec![(path, argv, false)].into()),
        ("Environment", environment.into()),
        ("TimeoutStartUSec", micros(start_limit).into()),
        ("TimeoutStopUSec", micros(stop_limit).into()),
    ];
    if last {
        // Else systemd would start it behind the daemon's end, which waits for it, and in a shutdown not at all.
        properties.push(("DefaultDependencies", false.into()));
    } else {
        // What is stopped in the reverse order at a shutdown is the daemon first, which hands over.
        properties.push(("Before", vec![DAEMON].into()));
    }
    if let Some(output) = output {
        let second = output.try_clone().map_err(zbus::Error::from)?;
        properties.push(("StandardOutputFileDescriptor", Value::Fd(Fd::from(output))));
        properties.push(("StandardErrorFileDescriptor", Value::Fd(Fd::from(second))));
    }
    let none: [(&str, Vec<(&str, Value<'_>)>); 0] = [];
    call((systemd, MANAGER_PATH, MANAGER), "StartTransientUnit", &(unit, "replace", properties, none.as_slice()))
}

/// That a unit failed was seen.
pub fn forgive(systemd: &str, unit: &str) -> Made {
    call((systemd, MANAGER_PATH, MANAGER), "ResetFailedUnit", &unit)
}

/// SIGKILL to all processes of the unit.
pub fn kill(systemd: &str, unit: &str) -> Made {
    call((systemd, MANAGER_PATH, MANAGER), "KillUnit", &(unit, "all", nix::sys::signal::Signal::SIGKILL as i32))
}

/// One property; the interface is the word behind systemd's name.
pub fn property(systemd: &str, path: &OwnedObjectPath, interface: &str, name: &str) -> Made {
    call((systemd, path.as_str(), PROPERTIES), "Get", &(format!("{SYSTEMD}.{interface}"), name))
}

/// The unit's state.
pub fn active_state(systemd: &str, path: &OwnedObjectPath) -> Made {
    property(systemd, path, "Unit", "ActiveState")
}

/// An answer that is one word, alone or as a property, or a whole number as one.
pub fn word_of(answer: &Message) -> Option<String> {
    let body = answer.body();
    if let Ok(word) = body.deserialize::<&str>() {
        return Some(word.to_owned());
    }
    match &*body.deserialize::<OwnedValue>().ok()? {
        Value::Str(word) => Some(word.to_string()),
        Value::I32(number) => Some(number.to_string()),
        _ => None,
    }
}

/// An answer that is a path.
pub fn path_of(answer: &Message) -> Option<OwnedObjectPath> {
    answer.body().deserialize().ok()
}

/// What an error says, with its name where it says nothing.
pub fn refusal(error: &Message) -> Refusal {
    let name = error.header().error_name().map(ToString::to_string).unwrap_or_default();
    let body = error.body();
    let said = body.deserialize::<&str>().unwrap_or_default();
    let text = if said.is_empty() { name.clone() } else { said.to_owned() };
    Refusal { name, text }
}

/// An error that was answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// What programs go by.
    pub name: String,
    /// What people read.
    pub text: String,
}

/// A signal that concerns us.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Signal {
    /// Another systemd has the name, or none.
    OwnerChanged,
    /// A unit has changed; its new state where the signal has it.
    Changed(OwnedObjectPath, Option<String>),
    /// A unit was loaded.
    New(OwnedObjectPath),
    /// A job ended so.
    JobRemoved(OwnedObjectPath, String),
    /// Files were read anew.
    Reloaded,
}

/// What a signal means, when it is of the bus or of `systemd`, by its unique name. The bus writes down who sent it; nobody can say he is another.
pub fn signal(message: &Message, systemd: Option<&str>) -> Option<Signal> {
    if message.message_type() != Type::Signal {
        return None;
    }
    let header = message.header();
    let (sender, member, interface) = (header.sender()?.as_str(), header.member()?.as_str(), header.interface()?.as_str());
    let body = message.body();
    if sender == BUS {
        let (name, _, new) = body.deserialize::<(&str, &str, &str)>().ok().filter(|_| member == "NameOwnerChanged")?;
        return (name == SYSTEMD && systemd.is_some_and(|known| known != new)).then_some(Signal::OwnerChanged);
    }
    if Some(sender) != systemd {
        return None;
    }
    match (interface, member) {
        (PROPERTIES, "PropertiesChanged") => {
            let path = OwnedObjectPath::from(header.path()?.to_owned());
            let changed = body.deserialize::<(&str, HashMap<&str, Value<'_>>, Vec<&str>)>();
            let state = changed.ok().filter(|(of, ..)| *of == UNIT).and_then(|(_, values, _)| match values.get("ActiveState") {
                Some(Value::Str(word)) => Some(word.to_string()),
                _ => None,
            });
            Some(Signal::Changed(path, state))
        }
        (MANAGER, "UnitNew") => Some(Signal::New(body.deserialize::<(&str, OwnedObjectPath)>().ok()?.1)),
        (MANAGER, "JobRemoved") => {
            let (_, path, _, result) = body.deserialize::<(u32, OwnedObjectPath, &str, &str)>().ok()?;
            Some(Signal::JobRemoved(path, result.to_owned()))
        }
        (MANAGER, "Reloading") => body.deserialize::<bool>().ok().filter(|begins| !begins).map(|_| Signal::Reloaded),
        _ => None,
    }
}
