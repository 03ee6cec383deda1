//! Reads a body whose signature holds: strictly when it is of our version, by what all versions share when it is not.
//!
//! A heartbeat of another version must still prove that its sender lives (SAFETY R11), and must never make the peer look more
//! harmless than it is. So what cannot be read falls to the side on which nobody claims, releases or counts on anything.
//! Nothing is set aside by what a length says: memory is bounded by the bytes that arrived.

use minicbor::Decoder;

use super::encode::{
    ANSWER, CARRIER, CLAIMS, ELIGIBLE, FENCING, GATE_OPEN, HELD, MOST_PAUSE, REACHABLE, REASONS, UNPROVEN, group_key, key,
};
use super::names::Names;
use twinbeat_core::files::VipSet;
use twinbeat_core::heartbeat::{
    BeatRole, EchoOf, Grant, GroupBeat, Heartbeat, Intent, LinkEcho, Offer, Part, Refused, VERSION, WhyRefused,
};
use twinbeat_core::id::{Attempt, Epoch, Incarnation, NodeId};
use twinbeat_core::pause::PauseBeat;
use twinbeat_core::ready::{Unfit, WhyUnfit};
use twinbeat_core::time::Span;

/// No span of a heartbeat is taken for longer: arithmetic on what the peer says must not overflow.
const LONGEST: Span = Span::secs(24 * 3600);

/// The same in seconds, of what is counted in them.
const LONGEST_LEFT: u64 = 24 * 3600;

/// The heartbeat, or none when the bytes are not one.
pub(super) fn read(body: &[u8], names: &Names) -> Option<Heartbeat> {
    let said = Fields::read(body)?;
    let version = said.number(key::VERSION).ok()??.try_into().ok()?;
    let reader = Reader { strict: version == VERSION, names };
    reader.heartbeat(version, &said)
}

/// A value that is there and cannot be read.
struct Unreadable;

type Read<T> = Result<Option<T>, Unreadable>;

/// A map with numbers for keys: each value as the bytes that it is.
struct Fields<'b>(Vec<(u64, &'b [u8])>);

impl<'b> Fields<'b> {
    /// The whole of `bytes` as one map of definite length; none when it is anything else, or names a key twice.
    fn read(bytes: &'b [u8]) -> Option<Fields<'b>> {
        let mut from = Decoder::new(bytes);
        let mut fields: Vec<(u64, &[u8])> = Vec::new();
        for _ in 0..from.map().ok()?? {
            let key = from.u64().ok()?;
            let value = item(&mut from, bytes)?;
            if fields.iter().any(|(known, _)| *known == key) {
                return None;
            }
            fields.push((key, value));
        }
        (from.position() == bytes.len()).then_some(Fields(fields))
    }

    fn get(&self, key: u64) -> Option<&'b [u8]> {
        self.0.iter().find(|(known, _)| *known == key).map(|(_, value)| *value)
    }

    /// A field; not there, there, or there and unreadable.
    fn field<T>(&self, key: u64, read: impl FnOnce(&'b [u8]) -> Option<T>) -> Read<T> {
        self.get(key).map(|value| read(value).ok_or(Unreadable)).transpose()
    }

    fn number(&self, key: u64) -> Read<u64> {
        self.field(key, number)
    }
}

struct Reader<'n> {
    /// Of our own version: what cannot be read is a fault.
    strict: bool,
    names: &'n Names,
}

impl Reader<'_> {
    /// What is absent or, in another version, unreadable; none when it is a fault.
    fn lax<T>(&self, read: Read<T>) -> Option<Option<T>> {
        match read {
            Ok(value) => Some(value),
            Err(Unreadable) if self.strict => None,
            Err(Unreadable) => Some(None),
        }
    }

    fn must<T>(&self, read: Read<T>) -> Option<T> {
        read.ok().flatten()
    }

    /// Version, sender, life, number, lease, groups and the groups' names are the same in all versions. The rest is taken where
    /// it can be read.
    fn heartbeat(&self, version: u16, said: &Fields<'_>) -> Option<Heartbeat> {
        let from = self.must(said.number(key::FROM))?.try_into().ok().map(NodeId)?;
        let incarnation = self.must(said.number(key::INCARNATION)).map(Incarnation)?;
        let flags = self.lax(said.number(key::FLAGS))?;
        let echo_of = self.lax(said.field(key::OF, echo_of))?;
        // Without its groups a peer would look like one that owns nothing, which is a ground for an owner (SAFETY R2).
        let mine = echo_of.map(|of| of.incarnation);
        let groups = list(said.get(key::GROUPS)?)?.into_iter().map(|group| self.group(group, mine)).collect::<Option<_>>()?;
        let echoes = |value| list(value)?.into_iter().map(|echo| self.link_echo(echo)).collect::<Option<Vec<_>>>();
        let whole = [key::FLAGS, key::DIGEST, key::WITNESSES].iter().all(|key| said.get(*key).is_some());
        if self.strict && !whole {
            return None;
        }
        // "Does not reach" and "no carrier" would help a claim: what is not said counts as reachable.
        let flag = |bit: u64, unsaid: bool| flags.map_or(unsaid, |flags| flags & bit != 0);
        Some(Heartbeat {
            version,
            from,
            incarnation,
            number: self.must(said.number(key::NUMBER))?,
            digest: self.lax(said.number(key::DIGEST))?.unwrap_or_default(),
            lease: self.must(said.field(key::LEASE, span))?,
            witnesses: self.lax(said.field(key::WITNESSES, short))?.unwrap_or_default(),
            echo_of,
            echoes: self.lax(said.field(key::ECHOES, echoes))?.unwrap_or_default(),
            answer: flag(ANSWER, false),
            reachable: flag(REACHABLE, true),
            answered: self.lax(said.field(key::ANSWERED, span))?,
            carrier: flag(CARRIER, true),
            fencing: flag(FENCING, false),
            part: self.lax(said.field(key::PART, part))?.unwrap_or(if said.get(key::PART).is_some() {
                UNKNOWN
            } else {
                Part::WHOLE
            }),
            groups,
        })
    }

    fn link_echo(&self, value: &[u8]) -> Option<LinkEcho> {
        let [link, count, held] = first(list(value)?)?;
        let link = self.names.of(u32::try_from(number(link)?).ok()?);
        Some(LinkEcho { link, number: number(count)?, held: span(held)? })
    }

    /// A group. A role, epoch or gate that cannot be read counts as "may still be serving".
    fn group(&self, value: &[u8], mine: Option<Incarnation>) -> Option<GroupBeat> {
        let said = Fields::read(value)?;
        let name = self.names.of(u32::try_from(self.must(said.number(group_key::NAME))?).ok()?);
        let role = self.lax(said.field(group_key::ROLE, role))?;
        let epoch = self.lax(said.number(group_key::EPOCH))?.map(Epoch);
        let flags = self.lax(said.number(group_key::FLAGS))?;
        let known = role.zip(epoch).zip(flags);
        if self.strict && (known.is_none() || said.get(group_key::VIPS).is_none()) {
            return None;
        }
        let ((role, epoch), flags) = known.unwrap_or(((BeatRole::Leaving, epoch.unwrap_or_default()), GATE_OPEN));
        let grant = |value| list(value).and_then(|parts| grant(&parts, mine));
        Some(GroupBeat {
            name,
            vips: self.lax(said.field(group_key::VIPS, vips))?.unwrap_or_default(),
            role,
            epoch,
            gate_open: flags & GATE_OPEN != 0,
            eligible: flags & ELIGIBLE != 0,
            claims: flags & CLAIMS != 0,
            unfit: said.field(group_key::UNFIT, unfit).ok().flatten(),
            unproven: flags & UNPROVEN != 0,
            standby_held: flags & HELD != 0,
            told: self.lax(said.number(group_key::TOLD))?.unwrap_or_default(),
            pause: self.lax(said.field(group_key::PAUSE, pause))?,
            offer: self.lax(said.field(group_key::OFFER, offer))?,
            intent: self.lax(said.field(group_key::INTENT, intent))?,
            granted: self.lax(said.field(group_key::GRANTED, grant))?,
            released: self.lax(said.field(group_key::RELEASED, grant))?,
            closed_for: self.lax(said.field(group_key::CLOSED_FOR, span))?,
            refused: self.lax(said.field(group_key::REFUSED, |value| self.refused(value, mine)))?,
            challenged: self.lax(said.number(group_key::CHALLENGED))?.unwrap_or_default(),
            challenge_ack: self.lax(said.number(group_key::CHALLENGE_ACK))?.unwrap_or_default(),
        })
    }

    /// A refusal stays one, whatever its reason.
    fn refused(&self, value: &[u8], mine: Option<Incarnation>) -> Option<Refused> {
        let parts = list(value)?;
        let (reason, rest) = parts.split_first()?;
        let why = match number(reason) {
            Some(0) => WhyRefused::NotFit,
            Some(1) => WhyRefused::StaleEpoch,
            Some(2) => WhyRefused::OtherIntent,
            Some(3) => WhyRefused::Other,
            Some(4) => WhyRefused::FilesDiffer,
            Some(5) => WhyRefused::Paused,
            Some(6) => WhyRefused::Fencing,
            _ if self.strict => return None,
            _ => WhyRefused::Other,
        };
        Some(Refused { grant: grant(rest, mine)?, why })
    }
}

fn role(value: &[u8]) -> Option<BeatRole> {
    match number(value)? {
        0 => Some(BeatRole::Standby),
        1 => Some(BeatRole::Owner),
        2 => Some(BeatRole::Leaving),
        _ => None,
    }
}

fn offer(value: &[u8]) -> Option<Offer> {
    match number(value)? {
        0 => Some(Offer::Standby),
        1 => Some(Offer::Shutdown),
        2 => Some(Offer::PublicLost),
        3 => Some(Offer::ServiceFailed),
        4 => Some(Offer::InterfaceMissing),
        5 => Some(Offer::NoReturnPath),
        _ => None,
    }
}

/// For people: a reason that is not known here is none.
fn unfit(value: &[u8]) -> Option<Unfit> {
    let number = number(value)?;
    let why = match number.checked_rem(REASONS)? {
        0 => WhyUnfit::Stopping,
        1 => WhyUnfit::DoesNotStop,
        2 => WhyUnfit::ServiceFailed,
        3 => WhyUnfit::DidNotOpen,
        4 => WhyUnfit::Disk,
        5 => WhyUnfit::Gate,
        6 => WhyUnfit::Shutdown,
        7 => WhyUnfit::Interface,
        8 => WhyUnfit::NoReturnPath,
        9 => WhyUnfit::NotStartable,
        10 => WhyUnfit::Carrier,
        _ => return None,
    };
    Some(Unfit { why, left: Span::secs(number.checked_div(REASONS)?.min(LONGEST_LEFT)) })
}

fn part(value: &[u8]) -> Option<Part> {
    let [index, of] = first(list(value)?)?;
    let part = Part { index: number(index)?.try_into().ok()?, of: number(of)?.try_into().ok()? };
    (part.index < part.of).then_some(part)
}

/// A part of a version that tells parts in another way: the rest of them is never known.
const UNKNOWN: Part = Part { index: 0, of: u8::MAX };

fn echo_of(value: &[u8]) -> Option<EchoOf> {
    let [incarnation, lease, witnesses] = first(list(value)?)?;
    Some(EchoOf { incarnation: Incarnation(number(incarnation)?), lease: span(lease)?, witnesses: short(witnesses)? })
}

fn vips(value: &[u8]) -> Option<VipSet> {
    let [guard, all] = first(list(value)?)?;
    Some(VipSet { guard: short(guard)?, all: short(all)? })
}

/// The number of the word; then, while a pause is in force, its rest.
fn pause(value: &[u8]) -> Option<PauseBeat> {
    let parts = list(value)?;
    let told = number(parts.first()?)?;
    let left = match parts.get(1) {
        Some(left) => Some(number(left)?),
        None => None,
    };
    let seconds = left.and_then(|left| left.checked_sub(1));
    Some(PauseBeat { told, on: left.is_some(), left: seconds.map(|seconds| Span::secs(seconds.min(MOST_PAUSE))) })
}

fn intent(value: &[u8]) -> Option<Intent> {
    let parts = list(value)?;
    let commanded = match parts.get(2) {
        Some(value) => Decoder::new(value).bool().ok()?,
        None => false,
    };
    let [epoch, attempt] = first(parts)?;
    Some(Intent { epoch: Epoch(number(epoch)?), attempt: Attempt(number(attempt)?), commanded })
}

/// Epoch and attempt; then the claimer's life, when it is not the one that the heartbeat answers.
fn grant(parts: &[&[u8]], mine: Option<Incarnation>) -> Option<Grant> {
    let incarnation = match parts.get(2) {
        Some(value) => Incarnation(number(value)?),
        None => mine?,
    };
    Some(Grant { epoch: Epoch(number(parts.first()?)?), attempt: Attempt(number(parts.get(1)?)?), incarnation })
}

/// The next item of any kind, as its bytes.
fn item<'b>(from: &mut Decoder<'b>, bytes: &'b [u8]) -> Option<&'b [u8]> {
    let start = from.position();
    from.skip().ok()?;
    bytes.get(start..from.position())
}

/// A list of definite length, each item as its bytes.
fn list(value: &[u8]) -> Option<Vec<&[u8]>> {
    let mut from = Decoder::new(value);
    let mut items = Vec::new();
    for _ in 0..from.array().ok()?? {
        items.push(item(&mut from, value)?);
    }
    Some(items)
}

/// As many as are wanted; a later version may add more.
fn first<const N: usize>(items: Vec<&[u8]>) -> Option<[&[u8]; N]> {
    items.get(..N)?.try_into().ok()
}

fn number(value: &[u8]) -> Option<u64> {
    Decoder::new(value).u64().ok()
}

fn short(value: &[u8]) -> Option<u32> {
    number(value)?.try_into().ok()
}

fn span(value: &[u8]) -> Option<Span> {
    number(value).map(|ns| Span(ns).min(LONGEST))
}

/// For the fuzz targets alone: a body as the peer itself, gone mad, would have signed it.
#[cfg(fuzzing)]
pub fn fuzzed(body: &[u8], names: &Names) -> Option<twinbeat_core::heartbeat::Verified<twinbeat_core::heartbeat::Heartbeat>> {
    read(body, names).map(twinbeat_core::heartbeat::Verified::vouch)
}
