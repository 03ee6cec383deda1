//! The steps of a scenario by name: what stands in its timeline.

use std::fmt;

use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::core::time::Span;

/// A length of time as a person writes it: `150ms`, `2s`, `1.5s`, `30m`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Dur(pub Span);

impl Dur {
    /// Reads one.
    ///
    /// # Errors
    /// What is allowed.
    pub fn parse(text: &str) -> Result<Dur, String> {
        let wrong = || format!("{text:?} is not a length of time; allowed: a number with us, ms, s, m or h, as in \"150ms\"");
        let unit = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, unit) = text.split_at(unit);
        let scale: u64 = match unit {
            "us" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(wrong()),
        };
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let whole: u64 = whole.parse().map_err(|_| wrong())?;
        let mut ns = whole.checked_mul(scale).ok_or_else(wrong)?;
        let mut place = scale;
        for digit in part.chars() {
            place /= 10;
            ns += place * u64::from(digit.to_digit(10).ok_or_else(wrong)?);
        }
        Ok(Dur(Span(ns)))
    }
}

impl<'de> Deserialize<'de> for Dur {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(input)?;
        Dur::parse(&text).map_err(de::Error::custom)
    }
}

impl Serialize for Dur {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(self)
    }
}

impl fmt::Display for Dur {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0.0;
        match () {
            () if ns.is_multiple_of(1_000_000_000) => write!(f, "{}s", ns / 1_000_000_000),
            () if ns.is_multiple_of(1_000_000) => write!(f, "{}ms", ns / 1_000_000),
            () => write!(f, "{}us", ns / 1_000),
        }
    }
}

/// One name or several.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Names {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
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

macro_rules! parameters {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name { $($(#[$field_doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $field: Option<$kind>,)* }
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
    Gateway { /** Its place among the targets. */ witness: u8, /** Whether from now on (default), or no longer. */ on: bool });
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
});

macro_rules! steps {
    ($($(#[$doc:meta])* $name:ident($kind:ty) = $text:literal),* $(,)?) => {
        /// One step.
        #[derive(Clone, PartialEq, Debug)]
        pub enum Step { $($(#[$doc])* $name($kind),)* }

        /// What may stand in an entry of a timeline.
        pub const STEPS: &[&str] = &["at", $($text),*];

        impl Step {
            fn read<'de, M: MapAccess<'de>>(key: &str, map: &mut M) -> Result<Step, M::Error> {
                match key {
                    $($text => Ok(Step::$name(map.next_value()?)),)*
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
    Start(Names) = "start",
    /// SIGTERM.
    Stop(Names) = "stop",
    /// No power.
    PowerOff(Names) = "power_off",
    /// Power, and the daemon.
    PowerOn(Names) = "power_on",
    /// SIGKILL.
    Kill(Names) = "kill",
    /// SIGSTOP.
    Hang(Names) = "hang",
    /// SIGCONT.
    Wake(Names) = "wake",
    /// The whole machine stands still.
    Pause(Names) = "pause",
    /// It goes on.
    Unpause(Names) = "unpause",
    /// No carrier.
    Unplug(At) = "unplug",
    /// Carrier.
    Plug(At) = "plug",
    /// Silent.
    Cut(Between) = "cut",
    /// No longer cut; everything where nothing is said.
    Mend(Between) = "mend",
    /// Frames get lost.
    Loss(Between) = "loss",
    /// Frames are slow.
    Delay(Between) = "delay",
    /// Frames are damaged.
    Corrupt(Between) = "corrupt",
    /// Frames come twice.
    Duplicate(Between) = "duplicate",
    /// Every link of a node is silent.
    Isolate(Names) = "isolate",
    /// No frame between the nodes.
    Separate(Separate) = "separate",
    /// A witness does not run.
    GatewayDown(Gateway) = "gateway_down",
    /// It runs again.
    GatewayUp(Gateway) = "gateway_up",
    /// It ignores announcements.
    GatewayPins(Gateway) = "gateway_pins",
    /// It answers the sender and not its table.
    GatewayLastHop(Gateway) = "gateway_last_hop",
    /// It loses its table.
    GatewayForgets(Gateway) = "gateway_forgets",
    /// A third machine has the address.
    Stranger(On) = "stranger",
    /// Forged frames and a lying announcement.
    Forge(On) = "forge",
    /// Old frames again.
    ReplayPackets(On) = "replay_packets",
    /// A service dies.
    ServiceDies(On) = "service_dies",
    /// It cannot be stopped.
    ServiceStopFails(On) = "service_stop_fails",
    /// It cannot be started.
    ServiceStartFails(On) = "service_start_fails",
    /// It is slow.
    ServiceTakes(On) = "service_takes",
    /// The disk is slow.
    DiskTakes(On) = "disk_takes",
    /// The disk is full.
    DiskFails(On) = "disk_fails",
    /// The clock runs at another rate.
    ClockRate(On) = "clock_rate",
    /// The command.
    Standby(On) = "standby",
    /// The command.
    Takeover(On) = "takeover",
    /// The command.
    Resume(On) = "resume",
    /// Another configuration.
    Reload(On) = "reload",
    /// A foreign hand deletes the addresses.
    ForeignDeleteVip(On) = "foreign_delete_vip",
    /// A foreign hand flushes the ruleset.
    ForeignFlushRuleset(On) = "foreign_flush_ruleset",
    /// Everything is mended.
    Heal(Separate) = "heal",
}

/// A step and its time.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// When.
    pub at: Dur,
    /// What.
    pub step: Step,
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Entry;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an entry of the timeline: \"at\" and one step")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Entry, M::Error> {
                let (mut at, mut step) = (None, None);
                while let Some(key) = map.next_key::<String>()? {
                    if key == "at" {
                        at = Some(map.next_value()?);
                    } else if let Some(earlier) = step.replace(Step::read(&key, &mut map)?) {
                        let earlier: Step = earlier;
                        return Err(de::Error::custom(format!("one step an entry: {:?} and {key:?}", earlier.name())));
                    }
                }
                let at = at.ok_or_else(|| de::Error::missing_field("at"))?;
                let step = step.ok_or_else(|| de::Error::custom(format!("no step; allowed: {}", STEPS[1..].join(", "))))?;
                Ok(Entry { at, step })
            }
        }
        input.deserialize_map(Reader)
    }
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut map = out.serialize_map(Some(2))?;
        map.serialize_entry("at", &self.at)?;
        self.step.write(&mut map)?;
        map.end()
    }
}
