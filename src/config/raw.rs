//! The file as written: its shape and types, nothing of its meaning. Unknown keys are refused here.

use std::collections::BTreeMap;
use std::fmt;

use super::raw_check::RawChecks;
use super::raw_duration::RawDuration;
use super::raw_interface::RawInterface;
use super::raw_parameter::RawParameter;
use super::raw_route::{RawRoute, RawRule};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use toml::Spanned;

use super::error::{ConfigError, Problem};
use super::place::{At, one_line};
use super::source::Source;

/// The whole file.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawConfig {
    /// See `docs/CONFIGURATION.md` for each key.
    pub cluster: Spanned<String>,
    /// UDP port of the heartbeats.
    pub port: Option<Spanned<i64>>,
    /// `[nodes.NAME]`.
    pub nodes: BTreeMap<Spanned<String>, Spanned<RawNode>>,
    /// `[witness]`.
    pub witness: Spanned<RawWitness>,
    /// `[timing]`.
    pub timing: Option<RawTiming>,
    /// `[[groups]]`.
    #[serde(default)]
    pub groups: Vec<Spanned<RawGroup>>,
    /// `[log]`.
    pub log: Option<RawLog>,
    /// `[journal]`.
    pub journal: Option<RawJournal>,
    /// `[realtime]`.
    pub realtime: Option<RawRealtime>,
    /// `[metrics]`.
    pub metrics: Option<RawMetrics>,
    /// `[[hooks]]`.
    #[serde(default)]
    pub hooks: Vec<Spanned<RawHook>>,
}

/// `[nodes.NAME]`.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawNode {
    /// The node's public key.
    pub public_key: Spanned<String>,
    /// A second one, while the key is changed.
    pub next_public_key: Option<Spanned<String>>,
    /// How the other node turns it off.
    pub fence: Option<Spanned<RawFence>>,
    /// Its end of each link.
    #[serde(default)]
    pub links: BTreeMap<Spanned<String>, Spanned<RawLink>>,
}

/// `[nodes.NAME.fence]`.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawFence {
    /// A program with its arguments.
    pub command: Option<Spanned<Vec<String>>>,
    /// An agent of the fence-agents package.
    pub agent: Option<Spanned<String>>,
    /// What it reads from standard input.
    #[serde(default)]
    pub parameters: BTreeMap<Spanned<String>, Spanned<RawParameter>>,
    /// How long one try may take.
    pub timeout: Option<Spanned<RawDuration>>,
    /// How often it is tried again at once.
    pub retries: Option<Spanned<i64>>,
    /// How much longer the second node waits.
    pub delay: Option<Spanned<RawDuration>>,
}

/// One end of a link.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawLink {
    /// The interface.
    pub interface: Spanned<String>,
    /// The node's own address there.
    pub address: Spanned<String>,
}

/// `[witness]`.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawWitness {
    /// The public side.
    pub link: Spanned<String>,
    /// The third machines.
    pub targets: Spanned<Vec<Spanned<RawTarget>>>,
    /// Heartbeats through the witness.
    pub relay: Option<bool>,
    /// Between two echoes.
    pub interval: Option<Spanned<RawDuration>>,
    /// Losses before unreachable.
    pub fall: Option<Spanned<i64>>,
    /// Answers before reachable.
    pub rise: Option<Spanned<i64>>,
    /// `release` or `hold`.
    pub island: Option<Spanned<String>>,
}

/// `[timing]`.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawTiming {
    /// `default`, `fast` or `classic`.
    pub profile: Option<Spanned<String>>,
    /// Between two heartbeats.
    pub heartbeat: Option<Spanned<RawDuration>>,
    /// Until a link is late and the peer suspected.
    pub warn: Option<Spanned<RawDuration>>,
    /// How long a ground lasts.
    pub lease: Option<Spanned<RawDuration>>,
    /// Until the peer is silent.
    pub dead: Option<Spanned<RawDuration>>,
    /// The same after a start.
    pub init_dead: Option<Spanned<RawDuration>>,
    /// The longest that an answer may travel.
    pub delivery: Option<Spanned<RawDuration>>,
    /// By how much one clock may outrun the other.
    pub rate_bound: Option<Spanned<f64>>,
    /// Whether lost carriers count for more than silence.
    pub early_claim: Option<Spanned<bool>>,
}

/// `[[groups]]`.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawGroup {
    /// Its name.
    pub name: Spanned<String>,
    /// Where it should be.
    pub preferred: Option<Spanned<String>>,
    /// Whether it goes back.
    pub failback: Option<Spanned<RawFailback>>,
    /// The addresses.
    #[serde(default)]
    pub vips: Vec<Spanned<RawVip>>,
    /// Routes that come and go with them.
    #[serde(default)]
    pub routes: Vec<Spanned<RawRoute>>,
    /// Rules that do.
    #[serde(default)]
    pub rules: Vec<Spanned<RawRule>>,
    /// What runs with them.
    #[serde(default)]
    pub services: Vec<Spanned<RawService>>,
    /// What becomes of a node on which one does not stop.
    pub stop_failure: Option<Spanned<String>>,
    /// Interfaces whose carrier counts for the group.
    #[serde(default)]
    pub track: Vec<Spanned<RawInterface>>,
}

/// One address that moves.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawVip {
    /// With its prefix.
    pub address: Spanned<String>,
    /// The link on whose interface it is.
    pub link: Option<Spanned<String>>,
    /// An interface without heartbeats on which it is.
    pub interface: Option<Spanned<RawInterface>>,
    /// The part of the label behind the colon.
    pub label: Option<Spanned<String>>,
}

/// One service: exactly one of the kinds.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawService {
    /// A unit.
    pub systemd: Option<Spanned<String>>,
    /// A program and its arguments, kept running by the daemon.
    pub process: Option<Spanned<Vec<String>>>,
    /// An init script.
    pub lsb: Option<Spanned<String>>,
    /// What stands before the action of an init script.
    pub arguments: Option<Spanned<Vec<String>>>,
    /// An OCF resource agent.
    pub ocf: Option<Spanned<String>>,
    /// What the agent is given.
    pub parameters: Option<Spanned<BTreeMap<Spanned<String>, Spanned<RawParameter>>>>,
    /// `promoted`.
    pub role: Option<Spanned<String>>,
    /// Between two monitors of an agent.
    pub monitor_interval: Option<Spanned<RawDuration>>,
    /// May it run on both nodes during a move?
    #[serde(default)]
    pub warm: bool,
    /// How long its start may take.
    pub start_timeout: Option<Spanned<RawDuration>>,
    /// How long its stop may take.
    pub stop_timeout: Option<Spanned<RawDuration>>,
    /// How its clients see it.
    pub check: Option<Spanned<RawChecks>>,
    /// What says whether it could start.
    pub validate: Option<Spanned<Vec<String>>>,
    /// Restarts on the spot.
    pub restarts: Option<Spanned<i64>>,
    /// When one is forgotten.
    pub restart_window: Option<Spanned<RawDuration>>,
}

/// `[log]`.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawLog {
    /// The least that is logged.
    pub level: Option<Spanned<String>>,
    /// A log file.
    pub file: Option<Spanned<String>>,
    /// A second one, with everything.
    pub debug_file: Option<Spanned<String>>,
    /// The syslog facility.
    pub syslog: Option<Spanned<String>>,
    /// Structured messages to journald.
    pub journald: Option<bool>,
}

/// `[journal]`.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawJournal {
    /// How much is kept, with its unit.
    pub keep: Option<Spanned<String>>,
}

/// `[metrics]`.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawMetrics {
    /// `ADDRESS:PORT`, or `unix:/PATH`.
    pub listen: Option<Spanned<String>>,
}

/// A target: an address, or `{ address = "…", by = "arp" }`.
#[derive(Debug)]
pub struct RawTarget {
    /// The address.
    pub address: String,
    /// `echo` or `arp`.
    pub by: Option<Spanned<String>>,
}

/// `failback`: a word, or `{ after = "30s" }`.
#[derive(Debug)]
pub enum RawFailback {
    /// `auto` or `manual`.
    Word(String),
    /// A time of stability.
    After(Spanned<RawDuration>),
}

/// `[realtime]` as written.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawRealtime {
    /// `other`, `rr` or `fifo`.
    pub policy: Option<Spanned<String>>,
    /// For `rr` and `fifo`.
    pub priority: Option<Spanned<i64>>,
    /// For `other`.
    pub nice: Option<Spanned<i64>>,
    /// Whether memory is locked.
    pub lock_memory: Option<bool>,
    /// Where the threads may run.
    pub cpus: Option<Spanned<Vec<Spanned<i64>>>>,
}

/// `[[hooks]]`.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawHook {
    /// The program and its arguments.
    pub run: Spanned<Vec<String>>,
    /// What it is told of.
    pub on: Option<Spanned<Vec<Spanned<String>>>>,
    /// The groups that it is told of.
    pub groups: Option<Spanned<Vec<Spanned<String>>>>,
    /// How long it may take.
    pub timeout: Option<Spanned<RawDuration>>,
}

impl RawConfig {
    /// Reads the text's shape; with the first mistake comes where it is.
    pub fn parse(source: &Source) -> Result<RawConfig, Box<(ConfigError, At)>> {
        toml::from_str(source.text()).map_err(|error| {
            let at = error.span().unwrap_or(0..0);
            let (problem, missing) = explain(error.message());
            let error = match missing {
                Some(key) if at.is_empty() || at.len() >= source.text().trim_end().len() => source.missing(&key, problem),
                _ => source.error(at.clone(), problem),
            };
            Box::new((error, at))
        })
    }
}

/// The allowed key, of serde's list of them, that somebody may have meant.
fn nearest(key: &str, allowed: &str) -> Option<String> {
    let names = allowed.split('`').skip(1).step_by(2);
    let near = names.map(|name| (strsim::damerau_levenshtein(key, name), name)).min();
    near.filter(|(distance, name)| *distance <= 2 && *distance < name.chars().count()).map(|(_, name)| name.to_owned())
}

/// serde's message as a problem; and the key, when one is missing.
fn explain(message: &str) -> (Problem, Option<String>) {
    let message = one_line(message);
    let quoted = |rest: &str| rest.split('`').next().unwrap_or_default().to_owned();
    if let Some(rest) = message.strip_prefix("unknown field `") {
        let allowed = match rest.split_once(", expected ") {
            Some((_, allowed)) => allowed.trim_start_matches("one of ").to_owned(),
            None => "nothing".to_owned(),
        };
        let key = quoted(rest);
        let meant = nearest(&key, &allowed);
        return (Problem::UnknownKey { key, allowed, meant }, None);
    }
    if let Some(rest) = message.strip_prefix("missing field `") {
        let key = quoted(rest);
        return (Problem::Missing(key.clone()), Some(key));
    }
    let kind = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    match kind.and_then(|rest| rest.split_once(", expected ")) {
        Some((found, wanted)) => {
            let found = found.replace(" as i128", "").replace(" as u128", "");
            (Problem::Type { what: format!("{found}; allowed: {}", plainly(wanted)), text: wanted == STRING }, None)
        }
        None => (Problem::Type { what: message, text: false }, None),
    }
}

/// serde's name of a text.
const STRING: &str = "a string";

/// serde's name of a type, in the words of the file.
fn plainly(wanted: &str) -> &str {
    match wanted {
        "i8" | "i16" | "i32" | "i64" | "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number",
        "f64" => "a number",
        "a boolean" => "true or false",
        STRING => "a text in quotes",
        "a sequence" => "a list in [ ]",
        "a map" => "a table",
        wanted if wanted.starts_with("struct ") || wanted.starts_with("enum ") => "a table",
        wanted => wanted,
    }
}

impl<'de> Deserialize<'de> for RawTarget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            address: String,
            by: Option<Spanned<String>>,
        }
        struct AddressOrTable;
        impl<'de> Visitor<'de> for AddressOrTable {
            type Value = RawTarget;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address, or { address = \"192.168.42.1\", by = \"arp\" }")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<RawTarget, E> {
                Ok(RawTarget { address: text.to_owned(), by: None })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawTarget, A::Error> {
                let Table { address, by } = Table::deserialize(MapAccessDeserializer::new(map))?;
                Ok(RawTarget { address, by })
            }
        }
        deserializer.deserialize_any(AddressOrTable)
    }
}

impl<'de> Deserialize<'de> for RawFailback {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct After {
            after: Spanned<RawDuration>,
        }
        struct WordOrTable;
        impl<'de> Visitor<'de> for WordOrTable {
            type Value = RawFailback;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"auto\", \"manual\" or { after = \"30s\" }")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<RawFailback, E> {
                Ok(RawFailback::Word(text.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawFailback, A::Error> {
                After::deserialize(MapAccessDeserializer::new(map)).map(|table| RawFailback::After(table.after))
            }
        }
        deserializer.deserialize_any(WordOrTable)
    }
}
