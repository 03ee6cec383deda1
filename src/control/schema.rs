//! The JSON schema of `status --json`, for programs: `twinbeat status --schema`, docs/status.schema.json.
//!
//! Written here field by field, with what docs/OPERATIONS.md says of each; the words of a set come from its type. What keeps it true are tests:
//! each field that a view has must be in it and each field in it must be there, so that a field without a description does not pass.

use serde_json::{Map, Value, json};

use twinbeat_core::words::{About, AskedBy, Ground, GroupRole, Guard, LinkCondition, PeerState};

use super::shown::Health;

/// The schema (JSON Schema, draft 2020-12). It leaves room for the fields of later versions; those that it names are always there.
pub fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "twinbeat status --json",
        "description": "How a pair is, as one node sees it. Fields are added, never renamed; words that are listed are all, and they stay. See docs/OPERATIONS.md.",
        "anyOf": [{ "$ref": "#/$defs/status" }, { "$ref": "#/$defs/unreachable" }],
        "$defs": {
            "status": status(),
            "unreachable": object("What `status --json` prints where the daemon cannot be reached.", &[
                ("health", json!({ "const": "unreachable" }), "The daemon cannot be reached."),
                ("error", string(), "Why not."),
            ]),
            "group": group(),
            "service": object("A service as it was found when it was asked for this answer.", &[
                ("name", string(), "Its name."),
                ("warm", boolean(), "It may run on a standby."),
                ("state", worded(&["running", "stopped"], &["unknown"]), "What it does; `unknown: ` is followed by why that cannot be told."),
                ("check", or_null(reference("check")), "The newest word of its checks; null while none is asked."),
            ]),
            "check": object("What the checks of a service said last.", &[
                ("well", boolean(), "All were well."),
                ("text", string(), "What they said, in the order of the file."),
            ]),
            "change": change("A change of owner.", &[]),
            "newest_change": change("The newest change of owner of all groups.", &[
                ("time", json!({ "type": "string", "format": "date-time" }), "When; RFC 3339, UTC."),
                ("reason", string(), "The same as `text`."),
            ]),
            "takeover": takeover("Would a takeover work now, and what stands in its way?", &[
                ("crash", reference("ready"), "When the owner crashes or loses power: the standby has to claim alone."),
                ("planned", reference("ready"), "`standby`, `takeover`, a failback, a stop in order."),
            ]),
            "ready": takeover("Could the standby take over in this way?", &[]),
            "matter": object("What a sentence is about, for programs.", &[
                ("about", words(About::ALL.iter().map(|about| about.word())), "The kind of thing."),
                ("which", or_null(string()), "Which of its kind, where figures in the sentence pass; null: the sentence itself says it."),
            ]),
            "link": link(),
            "bond": object("This node's bond below a link.", &[
                ("name", string(), "Its interface."),
                ("mode", string(), "`active-backup`, `802.3ad`, … (the kernel's names)."),
                ("active", or_null(string()), "In active-backup the slave in use; null when there is none."),
                ("slaves_up", count(), "How many slaves are up."),
                ("slaves", list(reference("slave")), "Each slave."),
            ]),
            "slave": object("One interface of a bond.", &[
                ("name", string(), "Its name."),
                ("up", boolean(), "The bond holds its link for up."),
                ("mii", string(), "`up`, `going_down`, `down`, `going_back` (the kernel's names)."),
                ("active", boolean(), "The bond sends over it."),
                ("failures", count(), "How often its link failed since it joined the bond."),
            ]),
            "witness": object("The third party, usually the gateway.", &[
                ("reachable", boolean(), "A majority answers this node."),
                ("peer_reachable", or_null(boolean()), "The peer says that a majority answers it; null while it says nothing."),
                ("targets", list(reference("target")), "Each of them."),
            ]),
            "target": object("One of the witnesses.", &[
                ("index", count(), "Its place in the configuration, from 0."),
                ("address", string(), "Its address."),
                ("by", words(AskedBy::ALL.iter().map(|by| by.word())), "How it is asked: `arp` counts for reachability alone."),
                ("reachable", boolean(), "It answers."),
                ("answered_ms", or_null(count()), "Milliseconds since its last answer."),
                ("rtt_us", or_null(count()), "The last round trip, in microseconds."),
                ("register", boolean(), "Its neighbour table can be trusted; false: it answers to the sender, and no claim may rest on it."),
                ("slow_only", boolean(), "It answers the slow echo rate and not the fast one."),
            ]),
        }
    })
}

/// The schema as it is published.
pub fn text() -> String {
    serde_json::to_string_pretty(&schema()).unwrap_or_default() + "\n"
}

fn status() -> Value {
    object(
        "How things are with the pair, as this node sees it.",
        &[
            ("node", string(), "This node's name."),
            ("peer", string(), "The peer's name."),
            ("cluster", string(), "The cluster's name."),
            ("digest", string(), "Of the configuration that this daemon has read, as `check` prints it of the file."),
            (
                "health",
                words(Health::ALL.iter().map(|health| health.word())),
                "In one word; the exit code of `status` says the same.",
            ),
            ("up_ms", count(), "Milliseconds since the daemon's start."),
            ("incarnation", count(), "The number of this daemon's life; grows with each start and reload."),
            ("groups", list(reference("group")), "Each group."),
            ("links", list(reference("link")), "Each link; the last one is `relay`, where it is configured."),
            ("witness", reference("witness"), "The third party."),
            (
                "peer_state",
                words(PeerState::ALL.iter().map(|state| state.word())),
                "What this node knows of the peer: `suspected` is silent for longer than `warn`, `silent` for longer than `dead`.",
            ),
            (
                "fencing",
                or_null(string()),
                "How it stands with turning the peer off: it can be, is being, was, or could not be and why; null where nothing is configured.",
            ),
            ("mismatch", or_null(string()), "How the peer's version or configuration differs."),
            ("gate", words(Guard::ALL.iter().map(|guard| guard.word())), "What guards the VIPs in the kernel."),
            ("problems", list(string()), "All that is wrong, most important first, in words."),
            (
                "problem_matters",
                list(reference("matter")),
                "For each of `problems`, in the same order, what a program may go by.",
            ),
            ("state_trouble", or_null(string()), "The problem of a state directory that cannot be written."),
            ("recorder_trouble", or_null(string()), "The problem of a flight recorder that cannot be written."),
            ("notices", list(string()), "What the file or the machine makes weaker than it could be."),
            ("lease_ms_left", or_null(count()), "The least of the groups'."),
            ("last_change", or_null(reference("newest_change")), "The newest of the groups'."),
        ],
    )
}

fn group() -> Value {
    let states = worded(
        &["none", "stopped", "starting", "running", "stopping", "warm"],
        &["failed", "does not stop", "running by another hand"],
    );
    object(
        "A group: addresses, and the services that go with them.",
        &[
            ("name", string(), "Its name."),
            ("owner", or_null(string()), "The node that serves, as far as this node knows; null when nobody does."),
            (
                "role",
                words(GroupRole::ALL.iter().map(|role| role.word())),
                "This node's part: `claiming` makes gate and address, `leaving` takes them down.",
            ),
            ("epoch", count(), "The owner's; on a standby without an owner the highest one known."),
            ("vips", list(string()), "The addresses, as configured."),
            ("takeover_ready", reference("takeover"), "Would a takeover work now? The same on both nodes."),
            ("lease_ms_left", or_null(count()), "On the owner: milliseconds until the gate closes by itself."),
            (
                "grounds",
                list(words(Ground::ALL.iter().map(|ground| ground.word()))),
                "On the owner: the evidence that it may go on.",
            ),
            ("return_path_us", or_null(count()), "On the owner: the last round trip of an echo from the VIP, in microseconds."),
            ("two_owners", boolean(), "This node owns, and so says the peer, with its gate open."),
            (
                "table_proved_ms",
                or_null(count()),
                "Milliseconds since an echo from the VIP last came back here from a majority of the witnesses; null when this daemon has not served.",
            ),
            ("service", states, "What its services do on this node, all together; behind `: ` stands which one, and why."),
            ("services", list(string()), "Their names, in the order in which they start."),
            (
                "services_here",
                list(reference("service")),
                "Each service as it was found when it was asked for this answer; empty while an order to them is being carried out, or where they do not answer within 0.8 s.",
            ),
            ("standby_held", or_null(string()), "Standby by command on this node: its reason."),
            (
                "standby_left_ms",
                or_null(count()),
                "Milliseconds until it ends by itself; null when it does not, or none is in force.",
            ),
            ("paused", or_null(string()), "A pause by command: its reason, or on which node it was said."),
            (
                "pause_left_ms",
                or_null(count()),
                "Milliseconds until it ends by itself; null when it does not, or none is in force.",
            ),
            ("left_alone", or_null(string()), "The service that fell on this node in the pause, and how; it is left as it is."),
            (
                "failback",
                or_null(string()),
                "On the preferred node while the other one serves: when a failback comes, what it waits for, and why so long.",
            ),
            ("last_change", or_null(reference("change")), "The newest change of owner."),
            ("claim_open", list(string()), "On a standby: what is still open before a claim, each with its reason."),
            ("stranger", or_null(string()), "The problem of a third machine that says that it has the address."),
        ],
    )
}

fn link() -> Value {
    let states = || LinkCondition::ALL.iter().map(|state| state.word());
    object(
        "A link between the nodes.",
        &[
            ("name", string(), "Its name."),
            ("state", words(states()), "How this node hears it; `blocked` is of the relay alone."),
            ("rtt_us", or_null(count()), "The last round trip, in microseconds."),
            (
                "loss",
                json!({ "type": "number", "minimum": 0, "maximum": 1 }),
                "The part of the peer's last 32 heartbeats that did not arrive over it.",
            ),
            ("carrier", boolean(), "Its interface has carrier."),
            ("heard_ms", or_null(count()), "Milliseconds since the last heartbeat over it."),
            (
                "peer_state",
                or_null(words(states())),
                "The same link as the peer hears it; null while the peer is not heard or has not said.",
            ),
            ("bond", or_null(reference("bond")), "The bond that its interface is, or is a VLAN of."),
        ],
    )
}

fn change(about: &str, more: &[Field]) -> Value {
    let fields: [Field; 4] = [
        ("ago_ms", count(), "Milliseconds ago."),
        ("text", string(), "One line with the evidence."),
        (
            "gap_us",
            or_null(count()),
            "What clients saw in a planned move, in microseconds, as far as this node measured it; with services that start after it, known once they run.",
        ),
        ("gap_told", boolean(), "`text` says it already."),
    ];
    object(about, &[more, &fields[..]].concat())
}

fn takeover(about: &str, more: &[Field]) -> Value {
    let fields: [Field; 3] = [
        ("ready", boolean(), if more.is_empty() { "It could." } else { "It would, in both ways." }),
        ("reasons", list(string()), "Why not, and until when."),
        ("reason_matters", list(reference("matter")), "For each of `reasons`, in the same order, what a program may go by."),
    ];
    object(about, &[&fields[..], more].concat())
}

/// A field: its name, what it may be, what it is.
type Field = (&'static str, Value, &'static str);

fn object(about: &str, fields: &[Field]) -> Value {
    let mut properties = Map::new();
    for (name, value, text) in fields {
        // Beside `$ref` a description may stand since draft 2019-09.
        let mut value = value.clone();
        if let Some(value) = value.as_object_mut() {
            value.insert("description".to_owned(), json!(text));
        }
        properties.insert((*name).to_owned(), value);
    }
    let required: Vec<&str> = fields.iter().map(|(name, ..)| *name).collect();
    json!({ "type": "object", "description": about, "required": required, "properties": properties })
}

fn string() -> Value {
    json!({ "type": "string" })
}

fn boolean() -> Value {
    json!({ "type": "boolean" })
}

fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn list(of: Value) -> Value {
    json!({ "type": "array", "items": of })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

fn or_null(value: Value) -> Value {
    json!({ "anyOf": [value, { "type": "null" }] })
}

fn words<'a>(all: impl Iterator<Item = &'a str>) -> Value {
    json!({ "enum": all.collect::<Vec<_>>() })
}

/// One of these words, or one of the others with a text behind it.
fn worded(alone: &[&str], with_text: &[&str]) -> Value {
    json!({ "anyOf": [{ "enum": alone }, { "type": "string", "pattern": format!("^({}): ", with_text.join("|")) }] })
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
