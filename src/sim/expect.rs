//! What a scenario says must hold: asked of the world's record, and at given moments of the nodes themselves, as `status` would show it.

use serde::{Deserialize, Serialize};

use super::clock::Moment;
use super::dur::Dur;
pub use super::expectations::TABLE;
use super::pair::Pair;
pub use super::record::Said;
use super::record::{Lane, Recorder, Stretch};
use super::world::World;
use twinbeat_core::sentence;
use twinbeat_core::words::LinkCondition;

/// What must hold.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields, expecting = "one expectation: an object with its name and parameters")]
pub enum Expect {
    /// This node's kernel answers, all the time.
    Owner {
        /// The group.
        group: String,
        /// The node.
        node: String,
        /// From when.
        from: Dur,
        /// Until when.
        to: Dur,
    },
    /// So many changes of owner, the first claim included.
    Moves {
        /// The group.
        group: String,
        /// This many.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exactly: Option<usize>,
        /// At the most.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_most: Option<usize>,
        /// From when.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<Dur>,
    },
    /// Clients behind the gateway wait no longer than this.
    Gap {
        /// The group.
        group: String,
        /// From when.
        from: Dur,
        /// Until when.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<Dur>,
        /// At the most.
        at_most: Dur,
        /// Which client.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client: Option<Client>,
    },
    /// All the times in which clients wait, together.
    Silence {
        /// The group.
        group: String,
        /// From when.
        from: Dur,
        /// Until when.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<Dur>,
        /// At the most.
        at_most: Dur,
        /// Which client.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client: Option<Client>,
    },
    /// No kernel answers, all the time.
    Nobody {
        /// The group.
        group: String,
        /// From when.
        from: Dur,
        /// Until when.
        to: Dur,
    },
    /// After this moment clients are served before long (by that node, if one is named).
    ServedWithin {
        /// The group.
        group: String,
        /// The moment.
        after: Dur,
        /// At the most.
        at_most: Dur,
        /// The node.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        node: Option<String>,
    },
    /// A command to this node is refused.
    Refused(Words),
    /// A command to this node is done.
    Done(Words),
    /// This node writes a line into its log.
    Says(Words),
    /// It does not.
    NeverSays(Words),
    /// It does, so often.
    SaysTimes {
        /// The node.
        node: String,
        /// A part of the line.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        /// From when.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<Dur>,
        /// Until when.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<Dur>,
        /// This often.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exactly: Option<usize>,
        /// At the least.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_least: Option<usize>,
        /// At the most.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_most: Option<usize>,
    },
    /// The epoch that a node knows of a group.
    Epoch {
        /// The node that is asked.
        node: String,
        /// The group.
        group: String,
        /// This one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exactly: Option<u64>,
        /// At the least.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_least: Option<u64>,
        /// At the most.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_most: Option<u64>,
        /// When.
        at: Dur,
    },
    /// What `status` shows of a link.
    Link {
        /// The node.
        node: String,
        /// The link.
        link: String,
        /// The state's word: `ok`, `late`, `lost`, `one-way`, `no carrier`.
        state: String,
        /// When.
        at: Dur,
    },
    /// What `status` answers to: would a takeover work right now?
    TakeoverReady {
        /// The node that is asked.
        node: String,
        /// The group.
        group: String,
        /// The answer.
        ready: bool,
        /// A part of a reason.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        because: Option<String>,
        /// When.
        at: Dur,
    },
    /// The group's service runs on this machine, or does not.
    Service {
        /// The node.
        node: String,
        /// The group.
        group: String,
        /// Which.
        running: bool,
        /// When.
        at: Dur,
    },
}

/// Whose silence is meant, where it is not that of those behind the gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", expecting = "\"lan\"")]
pub enum Client {
    /// A client on the LAN itself, with a neighbour table of its own.
    Lan,
}

/// Words of a node, to its log or to an administrator.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a node and its words, as in {\"node\": \"master1\", \"text\": \"...\"}")]
pub struct Words {
    /// The node.
    pub node: String,
    /// A part of the line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// From when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Dur>,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Dur>,
}

impl Expect {
    /// It is about a client on the LAN itself.
    pub fn is_of_the_lan(&self) -> bool {
        matches!(self, Expect::Gap { client: Some(_), .. } | Expect::Silence { client: Some(_), .. })
    }

    /// When the nodes must be asked for it, if they must: the record of the world does not tell.
    pub fn asked_at(&self) -> Option<Moment> {
        match self {
            Expect::Link { at, .. }
            | Expect::TakeoverReady { at, .. }
            | Expect::Service { at, .. }
            | Expect::Epoch { at, .. } => Some(moment(at)),
            _ => None,
        }
    }

    /// The latest time that it names.
    pub fn latest(&self) -> Option<Dur> {
        match self {
            Expect::Owner { to, .. } | Expect::Nobody { to, .. } => Some(*to),
            Expect::Moves { from, .. } => *from,
            Expect::Gap { from, to, .. } | Expect::Silence { from, to, .. } => Some(to.unwrap_or(*from)),
            Expect::SaysTimes { from, to, .. } => to.or(*from),
            Expect::ServedWithin { after, .. } => Some(*after),
            Expect::Refused(words) | Expect::Done(words) | Expect::Says(words) | Expect::NeverSays(words) => {
                words.to.or(words.from)
            }
            Expect::Link { at, .. }
            | Expect::TakeoverReady { at, .. }
            | Expect::Service { at, .. }
            | Expect::Epoch { at, .. } => Some(*at),
        }
    }

    /// Whether its names fit the pair and its times each other.
    ///
    /// # Errors
    /// What does not, and what is allowed.
    pub fn check(&self, pair: &Pair) -> Result<(), String> {
        let ordered =
            |from: &Dur, to: &Dur| if from < to { Ok(()) } else { Err(format!("from {from} to {to}: allowed: from before to")) };
        let words = |words: &Words| {
            node(pair, &words.node)?;
            words.from.zip(words.to).map_or(Ok(()), |(from, to)| ordered(&from, &to))
        };
        match self {
            Expect::Owner { group: g, node: n, from, to } => {
                group(pair, g)?;
                node(pair, n)?;
                ordered(from, to)
            }
            Expect::Nobody { group: g, from, to } => {
                group(pair, g)?;
                ordered(from, to)
            }
            Expect::Moves { group: g, exactly, at_most, .. } => {
                group(pair, g)?;
                if exactly.is_none() && at_most.is_none() { Err("\"exactly\" or \"at_most\" is needed".into()) } else { Ok(()) }
            }
            Expect::SaysTimes { node: n, from, to, exactly, at_least, at_most, .. } => {
                node(pair, n)?;
                counted([exactly.is_some(), at_least.is_some(), at_most.is_some()])?;
                from.zip(*to).map_or(Ok(()), |(from, to)| ordered(&from, &to))
            }
            Expect::Epoch { node: n, group: g, exactly, at_least, at_most, .. } => {
                node(pair, n)?;
                group(pair, g)?;
                counted([exactly.is_some(), at_least.is_some(), at_most.is_some()])
            }
            Expect::Gap { group: g, from, to, .. } | Expect::Silence { group: g, from, to, .. } => {
                group(pair, g)?;
                to.as_ref().map_or(Ok(()), |to| ordered(from, to))
            }
            Expect::ServedWithin { group: g, node: n, .. } => {
                group(pair, g)?;
                n.as_ref().map_or(Ok(()), |n| node(pair, n).map(|_| ()))
            }
            Expect::Refused(w) | Expect::Done(w) | Expect::Says(w) | Expect::NeverSays(w) => words(w),
            Expect::Link { node: n, link, state, .. } => {
                node(pair, n)?;
                let links: Vec<&str> = pair.settings[0].links.iter().map(|link| &*link.name).collect();
                pair.link(link).ok_or_else(|| format!("link {link:?}: allowed: {}", links.join(", ")))?;
                if link_states().any(|known| known == state) {
                    Ok(())
                } else {
                    Err(format!("state {state:?}: allowed: {}", link_states().collect::<Vec<_>>().join(", ")))
                }
            }
            Expect::TakeoverReady { node: n, group: g, .. } | Expect::Service { node: n, group: g, .. } => {
                group(pair, g)?;
                node(pair, n)?;
                Ok(())
            }
        }
    }

    /// Asks the nodes, now. The answer is a sentence that says what is otherwise.
    pub fn ask(&self, pair: &Pair, world: &World) -> Option<String> {
        match self {
            Expect::Link { node: n, link, state, .. } => {
                let view = world.view(node(pair, n).ok()?);
                let links = view.as_ref().map(|view| view.links.as_slice()).unwrap_or_default();
                match links.iter().find(|l| l.name == *link) {
                    Some(is) if is.state.word() == state => None,
                    Some(is) => Some(format!("it was {:?}", is.state.word())),
                    None => Some("no daemon ran that could tell".into()),
                }
            }
            Expect::TakeoverReady { node: n, group: g, ready, because, .. } => {
                let view = world.view(node(pair, n).ok()?);
                let groups = view.as_ref().map(|view| view.groups.as_slice()).unwrap_or_default();
                let Some(is) = groups.iter().find(|group| group.name == *g) else {
                    return Some("no daemon ran that could tell".into());
                };
                let reasons = sentence::joined(&is.takeover_ready.reasons);
                let reason = because.as_ref().is_none_or(|text| reasons.contains(text));
                if is.takeover_ready.ready == *ready && reason {
                    return None;
                }
                Some(if reasons.is_empty() { "it was ready".to_string() } else { format!("it was not ready: {reasons}") })
            }
            Expect::Epoch { node: n, group: g, exactly, at_least, at_most, .. } => {
                let view = world.view(node(pair, n).ok()?);
                let groups = view.as_ref().map(|view| view.groups.as_slice()).unwrap_or_default();
                let Some(is) = groups.iter().find(|group| group.name == *g).map(|group| group.epoch) else {
                    return Some("no daemon ran that could tell".into());
                };
                (!within(is, *exactly, *at_least, *at_most)).then(|| format!("it was {is}"))
            }
            Expect::Service { node: n, group: g, running, .. } => {
                let is = world.machines[node(pair, n).ok()?].services[group(pair, g).ok()?].running;
                (is != *running).then(|| if is { "it ran".to_string() } else { "it did not run".to_string() })
            }
            _ => None,
        }
    }

    /// Looks into the record of a finished run. The answer is a sentence that says what is otherwise.
    pub fn unmet(&self, pair: &Pair, record: &Recorder) -> Option<String> {
        match self {
            Expect::Owner { group: g, node: n, from, to } => {
                let lane = record.lane(Lane::Answers(group(pair, g).ok()?, node(pair, n).ok()?));
                if lane.iter().any(|s| s.from <= moment(from) && s.to >= moment(to)) {
                    return None;
                }
                let times: Vec<String> = lane.iter().map(|s| format!("{}-{}", short(s.from), short(s.to))).collect();
                Some(if times.is_empty() {
                    "it never answered".into()
                } else {
                    format!("it answered only: {}", times.join(", "))
                })
            }
            Expect::Nobody { group: g, from, to } => {
                let group = group(pair, g).ok()?;
                let meets = |s: &Stretch| s.from < moment(to) && s.to > moment(from);
                let who = (0..2).find(|node| record.lane(Lane::Answers(group, *node)).iter().any(meets))?;
                Some(format!("{} answered", pair.node_name(who)))
            }
            Expect::Moves { group: g, exactly, at_most, from } => {
                let from = from.map_or(Moment::ZERO, |from| moment(&from));
                let count = record.moves[group(pair, g).ok()?].iter().filter(|(when, _)| *when >= from).count();
                if exactly.is_none_or(|n| n == count) && at_most.is_none_or(|n| count <= n) {
                    return None;
                }
                Some(format!("there were {count}"))
            }
            Expect::SaysTimes { node, text, from, to, exactly, at_least, at_most } => {
                let words = Words { node: node.clone(), text: text.clone(), from: *from, to: *to };
                let count = words.all(pair, record, Said::Log).count();
                (!within(count, *exactly, *at_least, *at_most)).then(|| format!("it did {count} times"))
            }
            Expect::Silence { group: g, from, to, at_most, client } => {
                let to = to.map_or(record.ended(), |to| moment(&to));
                let sum = record.unserved(group(pair, g).ok()?, client.is_some(), moment(from), to);
                (sum > at_most.0).then(|| format!("together they were {sum}"))
            }
            Expect::Gap { group: g, from, to, at_most, client } => {
                let to = to.map_or(record.ended(), |to| moment(&to));
                let (gap, when) = record.longest_gap(group(pair, g).ok()?, client.is_some(), moment(from), to);
                (gap > at_most.0).then(|| format!("the longest was {gap}, at {}", short(when)))
            }
            Expect::ServedWithin { group: g, after, at_most, node: n } => {
                let node = n.as_ref().and_then(|n| node(pair, n).ok());
                match record.served_after(group(pair, g).ok()?, moment(after), node) {
                    Some(span) if span <= at_most.0 => None,
                    Some(span) => Some(format!("it took {span}")),
                    None => Some("never".to_string()),
                }
            }
            Expect::Refused(w) => w.unmet(pair, record, Said::Refused),
            Expect::Done(w) => w.unmet(pair, record, Said::Done),
            Expect::Says(w) => w.unmet(pair, record, Said::Log),
            Expect::NeverSays(w) => w.find(pair, record, Said::Log).map(|(at, line)| format!("at {} it said: {line}", short(at))),
            Expect::Link { .. } | Expect::TakeoverReady { .. } | Expect::Service { .. } | Expect::Epoch { .. } => None,
        }
    }
}

impl Words {
    fn find<'a>(&self, pair: &Pair, record: &'a Recorder, said: Said) -> Option<(Moment, &'a str)> {
        self.all(pair, record, said).next()
    }

    fn all<'a>(&self, pair: &Pair, record: &'a Recorder, said: Said) -> impl Iterator<Item = (Moment, &'a str)> {
        let node = pair.node(&self.node);
        let (from, to) = (self.from.map_or(Moment::ZERO, |d| moment(&d)), self.to.map_or(Moment::NEVER, |d| moment(&d)));
        let part = self.text.clone();
        let fits = move |text: &str| part.as_ref().is_none_or(|part| text.contains(part.as_str()));
        let lines = record.said.as_deref().unwrap_or_default().iter();
        let mine = lines.filter(move |(at, who, kind, _)| Some(*who) == node && *kind == said && *at >= from && *at <= to);
        mine.map(|(at, _, _, text)| (*at, text.as_str())).filter(move |(_, text)| fits(text))
    }

    fn unmet(&self, pair: &Pair, record: &Recorder, said: Said) -> Option<String> {
        if self.find(pair, record, said).is_some() {
            return None;
        }
        let other = match said {
            Said::Log => return Some("no such line".into()),
            Said::Refused => Said::Done,
            Said::Done => Said::Refused,
        };
        let any = Words { text: None, ..self.clone() };
        let answer = any.find(pair, record, said).or_else(|| any.find(pair, record, other));
        Some(answer.map_or("no command was answered".to_string(), |(_, text)| format!("the answer was: {text}")))
    }
}

/// A count or a number is within what is expected of it.
fn within<N: PartialOrd>(is: N, exactly: Option<N>, at_least: Option<N>, at_most: Option<N>) -> bool {
    exactly.is_none_or(|n| n == is) && at_least.is_none_or(|n| is >= n) && at_most.is_none_or(|n| is <= n)
}

/// Some count is expected.
fn counted(any: [bool; 3]) -> Result<(), String> {
    if any.contains(&true) { Ok(()) } else { Err("\"exactly\", \"at_least\" or \"at_most\" is needed".into()) }
}

fn moment(dur: &Dur) -> Moment {
    Moment(dur.0.0)
}

fn short(at: Moment) -> String {
    at.to_string().trim().to_string()
}

fn group(pair: &Pair, name: &str) -> Result<usize, String> {
    let groups: Vec<&str> = pair.settings[0].groups.iter().map(|group| &*group.name).collect();
    pair.group(name).ok_or_else(|| format!("group {name:?}: allowed: {}", groups.join(", ")))
}

fn node(pair: &Pair, name: &str) -> Result<usize, String> {
    pair.node(name).ok_or_else(|| format!("node {name:?}: allowed: {}", pair.settings[0].nodes.join(", ")))
}

/// The words for a link's state in `status`.
pub fn link_states() -> impl Iterator<Item = &'static str> {
    LinkCondition::ALL.iter().filter(|state| **state != LinkCondition::Blocked).map(|state| state.word())
}
