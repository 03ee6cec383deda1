//! What a hook is told: a change, and the document made of it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use twinbeat_core::words::GroupRole;

/// A kind of change, as `on` names it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// This node's part in a group.
    Role,
    /// Whether anything is wrong, as this node sees it.
    Health,
    /// Whether a takeover of a group would work.
    Readiness,
    /// The owner affirmed its ownership (SAFETY R7).
    Reaffirmed,
}

/// Something that is different from now on.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Change {
    /// What.
    #[serde(flatten)]
    pub what: What,
    /// The group that it is about; none: the node.
    pub group: Option<String>,
    /// When, by the wall clock: RFC 3339, UTC.
    pub at: String,
    /// One line for a person; `start` where a daemon tells what it found at its start.
    pub reason: String,
}

/// A change by its kind, with what it is from now on and what it was.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum What {
    /// [`Kind::Role`].
    Role {
        /// Now.
        role: GroupRole,
        /// Before; none at a start.
        was: Option<GroupRole>,
        /// The epoch owned, or stood by for: the fencing token.
        epoch: u64,
    },
    /// [`Kind::Health`].
    Health {
        /// Now.
        health: Health,
        /// Before; none at a start.
        was: Option<Health>,
        /// What is wrong, most important first.
        problems: Vec<String>,
    },
    /// [`Kind::Readiness`].
    Readiness {
        /// Both would work.
        ready: bool,
        /// What `ready` was; none at a start.
        was: Option<bool>,
        /// A takeover after a crash of the owner would work.
        crash_ready: bool,
        /// What stands in its way.
        crash_reasons: Vec<String>,
        /// A planned move would work.
        planned_ready: bool,
        /// What stands in its way.
        planned_reasons: Vec<String>,
        /// The epoch owned, or stood by for.
        epoch: u64,
    },
    /// [`Kind::Reaffirmed`].
    Reaffirmed {
        /// Always the owner.
        role: GroupRole,
        /// The epoch owned.
        epoch: u64,
    },
}

/// Whether anything is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Nothing.
    Ok,
    /// Something.
    Problems,
}

impl Change {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self.what {
            What::Role { .. } => Kind::Role,
            What::Health { .. } => Kind::Health,
            What::Readiness { .. } => Kind::Readiness,
            What::Reaffirmed { .. } => Kind::Reaffirmed,
        }
    }

    /// Takes the place of an earlier change of its kind that nobody will be told of: what was before that one was before this one.
    pub(super) fn instead_of(&mut self, earlier: &Change) {
        match (&mut self.what, &earlier.what) {
            (What::Role { was, .. }, What::Role { was: before, .. }) => *was = *before,
            (What::Health { was, .. }, What::Health { was: before, .. }) => *was = *before,
            (What::Readiness { was, .. }, What::Readiness { was: before, .. }) => *was = *before,
            _ => {}
        }
    }

    /// In a few words, for the log.
    pub(super) fn words(&self) -> String {
        match &self.what {
            What::Role { role, epoch, .. } => format!("role {role}, epoch {epoch}"),
            What::Health { health: Health::Ok, .. } => "health ok".into(),
            What::Health { problems, .. } => format!("health: {} problems", problems.len()),
            What::Readiness { ready, .. } => format!("readiness {ready}"),
            What::Reaffirmed { epoch, .. } => format!("reaffirmed, epoch {epoch}"),
        }
    }
}

/// Whom a document is from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Sender {
    /// The cluster.
    pub cluster: String,
    /// This node.
    pub node: String,
    /// The other one.
    pub peer: String,
}

/// What stands on a hook's standard input. The field names are documented and stable (docs/OPERATIONS.md).
#[derive(Serialize)]
pub(super) struct Document<'a> {
    /// Of the document's form.
    pub version: u32,
    #[serde(flatten)]
    pub change: &'a Change,
    #[serde(flatten)]
    pub from: &'a Sender,
    /// Counts from 1.
    pub attempt: u32,
    /// How many changes of this kind before it nobody was told of.
    pub skipped: u64,
}

/// The form of [`Document`].
pub(super) const VERSION: u32 = 1;

impl Document<'_> {
    /// As one line of JSON with its end.
    pub fn text(&self) -> serde_json::Result<String> {
        serde_json::to_string(self).map(|text| text + "\n")
    }

    /// The same as variables: each field as `TWINBEAT_FIELD`, a list with one line an item; what is null is not there.
    pub fn variables(&self) -> serde_json::Result<Vec<(String, String)>> {
        let Value::Object(fields) = serde_json::to_value(self)? else { return Ok(Vec::new()) };
        let named = |(name, value): (String, Value)| Some((format!("TWINBEAT_{}", name.to_uppercase()), plain(value)?));
        Ok(fields.into_iter().filter_map(named).collect())
    }
}

/// A value without JSON's marks, and without what an environment cannot hold.
fn plain(value: Value) -> Option<String> {
    let line = |text: &str| text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    match value {
        Value::Null => None,
        Value::String(text) => Some(line(&text)),
        Value::Array(items) => Some(items.into_iter().filter_map(plain).collect::<Vec<_>>().join("\n")),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn variables(change: &Change) -> Vec<(String, String)> {
        let from = Sender { cluster: "web".into(), node: "master1".into(), peer: "master2".into() };
        Document { version: VERSION, change, from: &from, attempt: 2, skipped: 3 }.variables().unwrap()
    }

    #[test]
    fn the_variables_say_what_the_document_says_and_what_is_null_is_not_there() {
        let what = What::Role { role: GroupRole::Owner, was: None, epoch: 12 };
        let change = Change { what, group: Some("web".into()), at: "2026-01-01T00:00:00.000Z".into(), reason: "a\0b\nc".into() };
        let expected = [
            ("AT", "2026-01-01T00:00:00.000Z"),
            ("ATTEMPT", "2"),
            ("CLUSTER", "web"),
            ("EPOCH", "12"),
            ("EVENT", "role"),
            ("GROUP", "web"),
            ("NODE", "master1"),
            ("PEER", "master2"),
            ("REASON", "a b c"),
            ("ROLE", "owner"),
            ("SKIPPED", "3"),
            ("VERSION", "1"),
        ];
        let mut found = variables(&change);
        found.sort();
        assert_eq!(found, expected.map(|(name, value)| (format!("TWINBEAT_{name}"), value.to_owned())));
        let what =
            What::Health { health: Health::Problems, was: Some(Health::Ok), problems: vec!["one\ntwo".into(), "three".into()] };
        let found = variables(&Change { what, group: None, ..change });
        let value = |name: &str| found.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        assert_eq!(value("TWINBEAT_PROBLEMS"), Some("one two\nthree"));
        assert_eq!(
            (value("TWINBEAT_HEALTH"), value("TWINBEAT_WAS"), value("TWINBEAT_GROUP")),
            (Some("problems"), Some("ok"), None)
        );
    }
}
