//! The steps of a scenario by name: what stands in its timeline.

use std::fmt;

use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::cue::{TIMES, Time};
pub use super::dur::Dur;

/// One name or several.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(untagged)]
pub enum Names {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Names;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a node's name, or a list of them")
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<Names, E> {
                Ok(Names::One(name.to_string()))
            }
            fn visit_seq<S: de::SeqAccess<'de>>(self, names: S) -> Result<Names, S::Error> {
                let names: Vec<String> = Vec::deserialize(de::value::SeqAccessDeserializer::new(names))?;
                if names.is_empty() {
                    Err(de::Error::custom("no name; allowed: one node, or more"))
                } else {
                    Ok(Names::Many(names))
                }
            }
        }
        input.deserialize_any(Reader)
    }
}

impl Names {
    /// All of them.
    pub fn all(&self) -> &[String] {
        match self {
            Names::One(name) => std::slice::from_ref(name),
            Names::Many(names) => names,
        }
    }
}

/// What a step takes: names, or parameters of which each step allows some.
trait Parameters {
    /// The parameters that are there.
    fn given(&self) -> Vec<&'static str>;
}

impl Parameters for Names {
    fn given(&self) -> Vec<&'static str> {
        Vec::new()
    }
}

macro_rules! parameters {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default, expecting = "an object with the step's parameters")]
        pub struct $name { $($(#[$field_doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $field: Option<$kind>,)* }

        impl Parameters for $name {
            fn given(&self) -> Vec<&'static str> {
                let all = [$((stringify!($field), self.$field.is_some()),)*];
                all.iter().filter(|(_, there)| *there).map(|(name, _)| name.trim_start_matches("r#")).collect()
            }
        }
    };
}

parameters!(/// A link of a node.
    At { /** The node. */ node: String, /** The link. */ link: String });
parameters!(/// Directions on links: every link, both ways between the nodes, where nothing is said.
Between {
    /** Only this link. */ link: String,
    /** Only frames from this node, or from `gateway`. */ from: String,
    /** Only frames to this node, or to `gateway`. */ to: String,
    /** `heartbeats`: only they are filtered. */ only: String,
    /** In the hundred. */ percent: f64,
    /** So many frames at once. */ burst: u32,
    /** How long a frame travels at the least. */ delay: Dur,
    /** How much longer at the most. */ jitter: Dur,
});
parameters!(/// No frame between the two nodes.
    Separate { /** Whether the witness still passes heartbeats on (default true). */ relay: bool });
parameters!(/// A witness; the gateway where nothing is said.
    Gateway { /** Its place among the targets. */ witness: u8, /** Whether from now on (default), or no longer. */ on: bool, /** Echoes that it answers each second; 0: all. */ per_second: u32 });
parameters!(/// A node, and what is done to it.
On {
    /** The node. */ node: String,
    /** The group; every one where nothing is said. */ group: String,
    /** Whether from now on (default), or no longer. */ on: bool,
    /** For how long. */ r#for: Dur,
    /** Why. */ reason: String,
    /** The clock's rate; 1 is right. */ rate: f64,
    /** How long it takes. */ takes: Dur,
    /** How many. */ count: u32,
    /** A configuration file, relative to the scenario's folder. */ config: String,
});

macro_rules! steps {
    ($(#[doc = $doc:literal] $name:ident($kind:ty) = $text:literal [$takes:literal]),* $(,)?) => {
        /// One step.
        #[derive(Clone, PartialEq, Debug)]
        pub enum Step { $(#[doc = $doc] $name($kind),)* }

        /// What may stand in an entry of a timeline.
        pub const STEPS: &[&str] = &["at", "when", "after", "within", $($text),*];

        /// Every step: its name, its parameters (`?` after those that may be left out; `NODES` for names alone), and what it does.
        pub const TABLE: &[(&str, &str, &str)] = &[$(($text, $takes, $doc)),*];

        impl Step {
            fn read<'de, M: MapAccess<'de>>(key: &str, map: &mut M) -> Result<Step, M::Error> {
                match key {
                    $($text => {
                        let value: $kind = map.next_value()?;
                        allowed($takes, &value).map_err(|wrong| de::Error::custom(format!("{}: {wrong}", $text)))?;
                        Ok(Step::$name(value))
                    })*
                    other => Err(de::Error::unknown_field(other, STEPS)),
                }
            }

            /// Its name.
            pub fn name(&self) -> &'static str {
                match self { $(Step::$name(_) => $text,)* }
            }

            fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
                match self { $(Step::$name(value) => map.serialize_entry($text, value),)* }
            }

            /// Its parameters as one line.
            pub fn parameters(&self) -> String {
                let json = match self { $(Step::$name(value) => serde_json::to_string(value),)* };
                json.unwrap_or_default().replace(['"', '{', '}', '[', ']'], "").replace(',', ", ").replace(':', " ")
            }
        }
    };
}

steps! {
    /// The daemon starts.
    Start(Names) = "start" ["NODES"],
    /// The daemon is asked to leave (SIGTERM): it hands over first.
    Stop(Names) = "stop" ["NODES"],
    /// The machine loses power.
    PowerOff(Names) = "power_off" ["NODES"],
    /// The machine boots and starts its daemon.
    PowerOn(Names) = "power_on" ["NODES"],
    /// The daemon is killed (SIGKILL); the kernel and the services live on.
    Kill(Names) = "kill" ["NODES"],
    /// The daemon stands still (SIGSTOP); the kernel lives on.
    Hang(Names) = "hang" ["NODES"],
    /// The daemon stands still in the middle of its next renewal: the gate's timeout is reckoned, and sent when it goes on.
    Stall(Names) = "stall" ["NODES"],
    /// The daemon goes on (SIGCONT).
    Wake(Names) = "wake" ["NODES"],
    /// The whole machine stands still, its clock included.
    Pause(Names) = "pause" ["NODES"],
    /// The machine goes on as if nothing had been.
    Unpause(Names) = "unpause" ["NODES"],
    /// A node's link loses carrier, and with it the other end of a direct cable.
    Unplug(At) = "unplug" ["node link"],
    /// It has carrier again.
    Plug(At) = "plug" ["node link"],
    /// A node's link loses its interface, and with the public one the addresses on it.
    InterfaceGone(At) = "interface_gone" ["node link"],
    /// The interface is there again.
    InterfaceBack(At) = "interface_back" ["node link"],
    /// Frames vanish silently: both ways between the nodes on every link, where nothing else is said; `only` "heartbeats" filters nothing but them.
    Cut(Between) = "cut" ["link? from? to? only?"],
    /// No longer cut; everything where nothing is said.
    Mend(Between) = "mend" ["link? from? to?"],
    /// So many in the hundred get lost, `burst` at once.
    Loss(Between) = "loss" ["link? from? to? percent burst?"],
    /// Frames travel for `delay`, and up to `jitter` longer.
    Delay(Between) = "delay" ["link? from? to? delay jitter?"],
    /// So many in the hundred arrive damaged.
    Corrupt(Between) = "corrupt" ["link? from? to? percent"],
    /// So many in the hundred arrive twice.
    Duplicate(Between) = "duplicate" ["link? from? to? percent"],
    /// So many in the hundred are overtaken: they travel for `delay` longer.
    Reorder(Between) = "reorder" ["link? from? to? percent delay"],
    /// Every link of a node is silent, both ways.
    Isolate(Names) = "isolate" ["NODES"],
    /// No frame passes between the nodes, both reach the gateway; `relay` false: it carries no heartbeats either.
    Separate(Separate) = "separate" ["relay?"],
    /// A witness does not run; the gateway where no number is given.
    GatewayDown(Gateway) = "gateway_down" ["witness?"],
    /// It runs again, with an empty table.
    GatewayUp(Gateway) = "gateway_up" ["witness?"],
    /// It ignores announcements: what its table says stays.
    GatewayPins(Gateway) = "gateway_pins" ["witness? on?"],
    /// It answers the sender of an echo and not its table.
    GatewayLastHop(Gateway) = "gateway_last_hop" ["witness? on?"],
    /// It answers so many echoes a second and no more, each of them one that comes when it may answer again; 0 ends that.
    GatewayLimits(Gateway) = "gateway_limits" ["witness? per_second"],
    /// It loses its table.
    GatewayForgets(Gateway) = "gateway_forgets" ["witness?"],
    /// The switch drops what a node sends from the VIPs, or says in their name (port security, allowed address pairs).
    PortSecurity(On) = "port_security" ["node on?"],
    /// A third machine answers for the VIP.
    Stranger(On) = "stranger" ["group? on?"],
    /// An attacker sends forged frames and a lying announcement.
    Forge(On) = "forge" ["group?"],
    /// An attacker plays old heartbeats to the node.
    ReplayPackets(On) = "replay_packets" ["node count?"],
    /// A service dies.
    ServiceDies(On) = "service_dies" ["node group?"],
    /// Stopping the service fails from now on.
    ServiceStopFails(On) = "service_stop_fails" ["node group? on?"],
    /// Starting the service fails from now on.
    ServiceStartFails(On) = "service_start_fails" ["node group? on?"],
    /// The service's own test of its files fails from now on: it could not start.
    ServiceObstacle(On) = "service_obstacle" ["node group? on?"],
    /// The device with which the node turns the other one off does not work from now on.
    FenceFails(On) = "fence_fails" ["node on?"],
    /// From now on it takes so long.
    FenceTakes(On) = "fence_takes" ["node takes"],
    /// The command `twinbeat fenced`: a person says that the other node is off.
    Fenced(On) = "fenced" ["node"],
    /// Starting and stopping services takes up to so long.
    ServiceTakes(On) = "service_takes" ["node takes"],
    /// A write to the state directory takes up to so long.
    DiskTakes(On) = "disk_takes" ["node takes"],
    /// The disk is full.
    DiskFails(On) = "disk_fails" ["node on?"],
    /// The clock runs so many times as fast as it should.
    ClockRate(On) = "clock_rate" ["node rate"],
    /// The command `twinbeat standby`.
    Standby(On) = "standby" ["node group? for? reason?"],
    /// The command `twinbeat takeover`.
    Takeover(On) = "takeover" ["node group?"],
    /// The command `twinbeat pause`: services and addresses stay as they are, on both nodes. (`pause` is a machine that stands still.)
    PauseGroup(On) = "pause_group" ["node group? for? reason?"],
    /// The command `twinbeat resume`.
    Resume(On) = "resume" ["node group?"],
    /// The command `twinbeat reload`.
    Reload(On) = "reload" ["node"],
    /// Somebody else deletes the addresses.
    ForeignDeleteVip(On) = "foreign_delete_vip" ["node group?"],
    /// Somebody else flushes the ruleset.
    ForeignFlushRuleset(On) = "foreign_flush_ruleset" ["node"],
    /// The kernel removes the gate and makes none any more; `on` false: it makes them again.
    GateRefused(On) = "gate_refused" ["node on?"],
    /// The daemon leaves to come back (SIGUSR2), and its supervisor starts it again after so long (50ms where nothing is said).
    Restart(On) = "restart" ["node takes?"],
    /// Somebody edits the configuration file of a node; it counts from the daemon's next start.
    Configure(On) = "configure" ["node config"],
    /// The state directory is lost; a daemon finds it empty at its next start.
    LoseState(On) = "lose_state" ["node"],
    /// Everything is mended, everything that stands still goes on; a witness answers by its table again.
    Heal(Separate) = "heal" [""],
}

/// A step takes what its row of the table says, and all that it needs.
fn allowed(takes: &str, value: &impl Parameters) -> Result<(), String> {
    if takes == "NODES" {
        return Ok(());
    }
    let given = value.given();
    let known: Vec<&str> = takes.split_whitespace().map(|name| name.trim_end_matches('?')).collect();
    let all = || if known.is_empty() { "nothing".to_string() } else { known.join(", ") };
    if let Some(odd) = given.iter().find(|name| !known.contains(name)) {
        return Err(format!("takes no {odd:?}; allowed: {}", all()));
    }
    match takes.split_whitespace().find(|name| !name.ends_with('?') && !given.contains(name)) {
        Some(missing) => Err(format!("{missing:?} is needed; allowed: {}", all())),
        None => Ok(()),
    }
}

/// A step and its time.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// When.
    pub time: Time,
    /// What.
    pub step: Step,
}

impl Entry {
    /// A step at a given time.
    pub fn new(at: Dur, step: Step) -> Entry {
        Entry { time: Time::at(at), step }
    }

    /// Not before this.
    pub fn at(&self) -> Dur {
        self.time.at.unwrap_or_default()
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Entry;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an entry of the timeline: a time and one step")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Entry, M::Error> {
                let (mut time, mut step) = (Time::default(), None);
                while let Some(key) = map.next_key::<String>()? {
                    if TIMES.contains(&key.as_str()) {
                        time.take(&key, &mut map)?;
                    } else if let Some(earlier) = step.replace(Step::read(&key, &mut map)?) {
                        let earlier: Step = earlier;
                        return Err(de::Error::custom(format!("one step an entry: {:?} and {key:?}", earlier.name())));
                    }
                }
                let steps = || STEPS[TIMES.len()..].join(", ");
                let step: Step = step.ok_or_else(|| de::Error::custom(format!("no step; allowed: {}", steps())))?;
                time.check().map_err(|wrong| de::Error::custom(format!("{}: {wrong}", step.name())))?;
                Ok(Entry { time, step })
            }
        }
        input.deserialize_map(Reader)
    }
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut map = out.serialize_map(None)?;
        let Time { at, when, after, within } = &self.time;
        for (name, time) in [("at", at), ("after", after), ("within", within)] {
            time.iter().try_for_each(|time| map.serialize_entry(name, time))?;
        }
        when.iter().try_for_each(|when| map.serialize_entry("when", when))?;
        self.step.write(&mut map)?;
        map.end()
    }
}
