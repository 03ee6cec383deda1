//! Reads a body whose signature holds: strictly when it is of our version, by what all versions share when it is not.
//!
//! A heartbeat of another version must still prove that its sender lives (SAFETY R11), and must never make the peer look more
//! harmless than it is. So what cannot be read falls to the side on which nobody claims, releases or counts on anything.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::core::heartbeat::{BeatRole, GroupBeat, Heartbeat, Refused, VERSION, WhyRefused};
use crate::core::id::Name;
use crate::core::time::Span;

/// No span of a heartbeat is taken for longer: arithmetic on what the peer says must not overflow.
const LONGEST: Span = Span::secs(24 * 3600);

/// The heartbeat, or none when the bytes are not one.
pub(super) fn read(body: &[u8]) -> Option<Heartbeat> {
    let mut beat = match serde_json::from_slice::<Heartbeat>(body) {
        Ok(beat) => beat,
        Err(_) => read_other_version(body)?,
    };
    beat.lease = beat.lease.min(LONGEST);
    if let Some(of) = &mut beat.echo_of {
        of.lease = of.lease.min(LONGEST);
    }
    for echo in &mut beat.echoes {
        echo.held = echo.held.min(LONGEST);
    }
    Some(beat)
}

/// `v`, `from`, `inc`, `n`, `lease`, `g` and the groups' names are the same in all versions. The rest is taken where it can be read.
fn read_other_version(body: &[u8]) -> Option<Heartbeat> {
    let Value::Object(said) = serde_json::from_slice(body).ok()? else { return None };
    let version: u16 = field(&said, "v")?;
    if version == VERSION {
        return None; // of our own version, and broken
    }
    // Without its groups a peer would look like one that owns nothing, which is a ground for an owner (SAFETY R2).
    let groups = said.get("g")?.as_array()?.iter().map(read_group).collect::<Option<_>>()?;
    Some(Heartbeat {
        version,
        from: field(&said, "from")?,
        incarnation: field(&said, "inc")?,
        number: field(&said, "n")?,
        digest: field(&said, "cfg").unwrap_or_default(),
        lease: field(&said, "lease")?,
        echo_of: field(&said, "of"),
        echoes: field(&said, "echo").unwrap_or_default(),
        answer: field(&said, "ask").unwrap_or_default(),
        // "Does not reach" and "no carrier" would help a claim: what is not said counts as reachable.
        reachable: field(&said, "reach").unwrap_or(true),
        answered: field(&said, "ans"),
        carrier: field(&said, "car").unwrap_or(true),
        groups,
    })
}

/// A group of another version. A role or gate that cannot be read counts as "may still be serving".
fn read_group(said: &Value) -> Option<GroupBeat> {
    let said = said.as_object()?;
    let name: Name = field(said, "name")?;
    let known = field::<BeatRole>(said, "role").zip(field(said, "e"));
    let gate_open = match said.get("gate") {
        None => known.is_none(),
        Some(value) => value.as_bool().unwrap_or(true),
    };
    let (role, epoch) = known.unwrap_or((BeatRole::Leaving, field(said, "e").unwrap_or_default()));
    Some(GroupBeat {
        name,
        role,
        epoch,
        gate_open,
        eligible: known.is_some() && field(said, "ok").unwrap_or_default(),
        standby_held: field(said, "hold").unwrap_or_default(),
        told: field(said, "told").unwrap_or_default(),
        offer: field(said, "offer"),
        intent: field(said, "intent"),
        granted: field(said, "granted"),
        released: field(said, "released"),
        closed_for: field(said, "shut"),
        refused: said.get("refused").and_then(read_refused),
        challenged: field(said, "ch").unwrap_or_default(),
        challenge_ack: field(said, "chk").unwrap_or_default(),
    })
}

/// A refusal stays one, whatever its reason.
fn read_refused(said: &Value) -> Option<Refused> {
    let said = said.as_object()?;
    Some(Refused { grant: field(said, "grant")?, why: field(said, "why").unwrap_or(WhyRefused::Busy) })
}

fn field<T: DeserializeOwned>(said: &Map<String, Value>, name: &str) -> Option<T> {
    said.get(name).and_then(|value| T::deserialize(value).ok())
}
