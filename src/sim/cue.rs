//! Steps that wait for an event: what a story can wait for. The world notices it in `notice`.

use serde::de::{self, MapAccess};
use serde::{Deserialize, Serialize};

use super::act::Act;
use super::dur::Dur;
use super::pair::Pair;
use twinbeat_core::id::Attempt;
use twinbeat_core::time::Span;

macro_rules! events {
    ($(#[doc = $doc:literal] $name:ident = $text:literal),* $(,)?) => {
        /// What a node does that a step can wait for.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Does { $(#[doc = $doc] $name),* }

        /// Every event: its word, and when it happens.
        pub const EVENTS: &[(&str, &str)] = &[$(($text, $doc)),*];

        impl Does {
            /// All of them.
            pub const ALL: &[Does] = &[$(Does::$name),*];

            /// Its word.
            pub fn word(self) -> &'static str {
                match self { $(Does::$name => $text),* }
            }
        }
    };
}

events! {
    /// Its kernel begins to answer for the group.
    Answers = "answers",
    /// Its kernel no longer answers: the gate has closed, or the address is gone.
    GateClosed = "gate_closed",
    /// It says that it serves: by agreement or by a claim.
    Serves = "serves",
    /// It says that it leaves.
    Leaves = "leaves",
    /// It begins a challenge in the witness's table.
    Challenges = "challenges",
    /// It writes into the witness's table without serving.
    Writes = "writes",
    /// It announces the address to everybody.
    Announces = "announces",
    /// Its gate is renewed.
    Renews = "renews",
    /// It asks for the group with an intent of its own.
    Asks = "asks",
    /// It grants the peer's intent.
    Grants = "grants",
    /// It says that it has released the group.
    Releases = "releases",
    /// A write to its state directory is done.
    Records = "records",
    /// It writes a line into its log that contains `text`.
    Says = "says",
}

impl<'de> Deserialize<'de> for Does {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(input)?;
        let known = Does::ALL.iter().find(|does| does.word() == text);
        let all = || Does::ALL.iter().map(|does| does.word()).collect::<Vec<_>>().join(", ");
        known.copied().ok_or_else(|| de::Error::custom(format!("does {text:?}: allowed: {}", all())))
    }
}

impl Serialize for Does {
    fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(self.word())
    }
}

/// What a step waits for.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a node and what it does, as in {\"node\": \"master1\", \"does\": \"leaves\"}")]
pub struct When {
    /// The node.
    pub node: String,
    /// What it does.
    pub does: Does,
    /// Of this group; of any where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// A part of the line, where it says something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// When an entry of a timeline is made.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Time {
    /// Not before this.
    pub at: Option<Dur>,
    /// When this happens, counted from when the entry before it was made.
    pub when: Option<When>,
    /// So long after what it waits for; without that, after the entry before it.
    pub after: Option<Dur>,
    /// It happens within this time; the whole story where nothing is said.
    pub within: Option<Dur>,
}

/// The names of an entry's times.
pub const TIMES: &[&str] = &["at", "when", "after", "within"];

impl Time {
    /// At a given time of the story.
    pub fn at(at: Dur) -> Time {
        Time { at: Some(at), ..Time::default() }
    }

    /// Takes the value of one of [`TIMES`].
    pub(super) fn take<'de, M: MapAccess<'de>>(&mut self, key: &str, map: &mut M) -> Result<(), M::Error> {
        let twice = || de::Error::custom(format!("duplicate field `{key}`"));
        let times = [("at", &mut self.at), ("after", &mut self.after), ("within", &mut self.within)];
        if let Some((_, place)) = times.into_iter().find(|(name, _)| *name == key) {
            return if place.replace(map.next_value()?).is_some() { Err(twice()) } else { Ok(()) };
        }
        if self.when.replace(map.next_value()?).is_some() { Err(twice()) } else { Ok(()) }
    }

    /// Whether it says anything, and nothing that makes no sense.
    ///
    /// # Errors
    /// What is missing.
    pub fn check(&self) -> Result<(), String> {
        if self.within.is_some() && self.when.is_none() {
            return Err("within: only beside \"when\"".into());
        }
        if self.at.is_none() && self.when.is_none() && self.after.is_none() {
            return Err("a time is needed: \"at\", or \"when\" or \"after\"".into());
        }
        match &self.when {
            Some(When { does: Does::Says, text: None, .. }) => Err("when: \"says\" needs a \"text\"".into()),
            Some(When { does, text: Some(_), .. }) if *does != Does::Says => {
                Err(format!("when: {:?} takes no \"text\"; only \"says\" does", does.word()))
            }
            _ => Ok(()),
        }
    }

    /// It depends on what happened before it.
    pub fn is_relative(&self) -> bool {
        self.when.is_some() || self.after.is_some()
    }
}

/// What the world looks out for.
#[derive(Clone, PartialEq, Debug)]
pub struct Awaited {
    pub(super) node: usize,
    pub(super) does: Does,
    pub(super) group: Option<usize>,
    pub(super) text: Option<String>,
}

/// How an act's time depends on what happens.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Wait {
    /// What it waits for.
    pub awaited: Option<Awaited>,
    /// How long at the most; to the story's end where nothing is said.
    pub within: Option<Span>,
    /// So long after that.
    pub after: Span,
    /// What it waits for, in words.
    pub text: String,
}

impl Wait {
    /// What a time waits for, on this pair; none where it waits for nothing.
    ///
    /// # Errors
    /// An unknown name, with what is allowed.
    pub fn of(time: &Time, pair: &Pair) -> Result<Option<Wait>, String> {
        time.check()?;
        if !time.is_relative() {
            return Ok(None);
        }
        let span = |dur: Option<Dur>| dur.map(|Dur(span)| span);
        let mut wait = Wait { after: span(time.after).unwrap_or_default(), within: span(time.within), ..Wait::default() };
        if let Some(when) = &time.when {
            let names = || pair.settings[0].nodes.join(", ");
            let node = pair.node(&when.node).ok_or_else(|| format!("node {:?}: allowed: {}", when.node, names()))?;
            let groups: Vec<&str> = pair.settings[0].groups.iter().map(|group| &*group.name).collect();
            let group = when
                .group
                .as_ref()
                .map(|name| pair.group(name).ok_or_else(|| format!("group {name:?}: allowed: {}", groups.join(", "))));
            let group = group.transpose()?;
            wait.awaited = Some(Awaited { node, does: when.does, group, text: when.text.clone() });
            let of = when.group.as_ref().map(|group| format!(" ({group})")).unwrap_or_default();
            let text = when.text.as_ref().map(|text| format!(" {text:?}")).unwrap_or_default();
            wait.text = format!("{} {}{text}{of}", when.node, when.does.word());
        }
        Ok(Some(wait))
    }
}

/// What a node's newest heartbeat asked, granted and released, group by group: the changes are events.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Told {
    pub(super) asked: Option<Attempt>,
    pub(super) granted: Option<Attempt>,
    pub(super) released: Option<Attempt>,
}

/// The acts whose first one of another kind must have come before: `wake` without `hang` does nothing, and its author meant something.
pub fn undone(act: &Act, before: &[Act]) -> Option<String> {
    let has = |undoes: &dyn Fn(&Act) -> bool| before.iter().any(undoes);
    let wrong = match act {
        Act::Wake(n) => !has(&|b| matches!(b, Act::Hang(m) | Act::Stall(m) if m == n)),
        Act::Unpause(n) => !has(&|b| matches!(b, Act::Pause(m) if m == n)),
        Act::Carrier(n, link, true) => !has(&|b| matches!(b, Act::Carrier(m, of, false) if m == n && of == link)),
        Act::Interface(n, link, true) => !has(&|b| matches!(b, Act::Interface(m, of, false) if m == n && of == link)),
        Act::WitnessUp(witness, true) => !has(&|b| matches!(b, Act::WitnessUp(of, false) if of == witness)),
        Act::Hang(n) | Act::Stall(n) | Act::Kill(n) | Act::Stop(n) | Act::Restart(n, _) | Act::Command(n, _) => {
            let started = |b: &Act| matches!(b, Act::Start(m) | Act::PowerOn(m) if m == n) || *b == Act::Heal;
            return (!has(&started)).then(|| "no daemon was started on this node before it".into());
        }
        _ => false,
    };
    let needs = match act {
        Act::Wake(_) => "`hang` or `stall` of this node",
        Act::Unpause(_) => "`pause` of this node",
        Act::Carrier(..) => "`unplug` of this link of this node",
        Act::Interface(..) => "`interface_gone` of this link of this node",
        _ => "`gateway_down` of this witness",
    };
    wrong.then(|| format!("nothing to undo: there is no {needs} before it"))
}
