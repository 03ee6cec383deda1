//! Writes a heartbeat's body: CBOR (RFC 8949) with numbers for keys, in the shortest form. docs/PROTOCOL.md has the keys.

use minicbor::Encoder;

use super::OVERHEAD;
use super::names::short;
use twinbeat_core::files::VipSet;
use twinbeat_core::heartbeat::{
    BeatRole, EchoOf, Grant, GroupBeat, Heartbeat, Intent, LinkEcho, Offer, Part, Refused, VERSION, WhyRefused,
};
use twinbeat_core::id::{Attempt, Epoch, Incarnation, Name, NodeId};
use twinbeat_core::pause::PauseBeat;
use twinbeat_core::ready::{Unfit, WhyUnfit};
use twinbeat_core::time::Span;

/// The smallest MTU for which a heartbeat is made: what IPv6 demands of every link (RFC 8200 5).
pub const MTU: usize = 1280;
/// The longest frame that fits into an echo within [`MTU`]: what is left beside the headers of IPv6 and ICMPv6 and the echo's own tag.
pub const MOST_IN_ECHO: usize = MTU - 40 - 8 - 24;

/// Keys of a heartbeat.
pub(super) mod key {
    pub const VERSION: u64 = 0;
    pub const FROM: u64 = 1;
    pub const INCARNATION: u64 = 2;
    pub const NUMBER: u64 = 3;
    pub const LEASE: u64 = 4;
    pub const GROUPS: u64 = 5;
    pub const DIGEST: u64 = 6;
    pub const FLAGS: u64 = 7;
    pub const OF: u64 = 8;
    pub const ECHOES: u64 = 9;
    pub const ANSWERED: u64 = 10;
    pub const WITNESSES: u64 = 11;
    pub const PART: u64 = 12;
}

/// Keys of a group.
pub(super) mod group_key {
    pub const NAME: u64 = 0;
    pub const ROLE: u64 = 1;
    pub const EPOCH: u64 = 2;
    pub const FLAGS: u64 = 3;
    pub const TOLD: u64 = 4;
    pub const OFFER: u64 = 5;
    pub const INTENT: u64 = 6;
    pub const GRANTED: u64 = 7;
    pub const RELEASED: u64 = 8;
    pub const CLOSED_FOR: u64 = 9;
    pub const REFUSED: u64 = 10;
    pub const CHALLENGED: u64 = 11;
    pub const CHALLENGE_ACK: u64 = 12;
    pub const VIPS: u64 = 13;
    pub const UNFIT: u64 = 14;
    pub const PAUSE: u64 = 15;
}

/// Bits of a heartbeat's flags.
pub(super) const ANSWER: u64 = 1;
pub(super) const REACHABLE: u64 = 2;
pub(super) const CARRIER: u64 = 4;
pub(super) const FENCING: u64 = 8;
/// Bits of a group's flags.
pub(super) const GATE_OPEN: u64 = 1;
pub(super) const ELIGIBLE: u64 = 2;
pub(super) const HELD: u64 = 4;
pub(super) const CLAIMS: u64 = 8;
pub(super) const UNPROVEN: u64 = 16;
/// The longest rest of a pause that is told, in seconds: a year. It goes with one added; zero is a pause that ends by command alone, or later.
pub(super) const MOST_PAUSE: u64 = 366 * 24 * 3600;
/// Reasons for not being fit in one number: the reason, then the seconds that are left.
pub(super) const REASONS: u64 = 16;
/// The longest that is told, in seconds: what is longer is told as this long.
const MOST_LEFT: u64 = 4000;

/// How long this heartbeat's frames are, in bytes.
pub fn frame_len(beat: &Heartbeat) -> usize {
    OVERHEAD.saturating_add(body(beat).len())
}

/// How a node with so many links (the relay is one) and groups tells them, so that each frame fits into an echo.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Room {
    /// So many groups go into one frame; [`usize::MAX`]: all of them.
    pub groups: usize,
    /// The longest frame, in bytes.
    pub bytes: usize,
}

impl Room {
    /// None where not even one group fits.
    pub fn of(links: usize, groups: usize) -> Option<Room> {
        let fits = |room: &Room| room.bytes <= MOST_IN_ECHO;
        let whole = Room { groups: usize::MAX, bytes: longest_frame(links, groups) };
        let parts = || (1..groups).rev().map(|groups| Room { groups, bytes: longest_part(links, groups, false) });
        Some(whole).filter(fits).or_else(|| parts().find(fits))
    }
}

/// The longest frame of a node with so many links (the relay is one) and groups, in bytes: every link heard, every group with all that
/// it can say at once, each number as wide as the life of a machine makes it (below 2^32; the count of people's commands below 2^16; spans as wide as they come).
///
/// A number may grow beyond that in decades, and a peer may say anything: what does not fit then is not sent in an echo, and said so.
pub fn longest_frame(links: usize, groups: usize) -> usize {
    longest_part(links, groups, true)
}

/// The same of a heartbeat, or of one of its parts.
fn longest_part(links: usize, groups: usize, is_whole: bool) -> usize {
    let (wide, commands) = (u64::from(u32::MAX), u64::from(u16::MAX));
    let grant = Grant { epoch: Epoch(wide), attempt: Attempt(wide), incarnation: Incarnation(wide) };
    let group = GroupBeat {
        name: Name::from("g"),
        vips: VipSet { guard: u32::MAX, all: u32::MAX },
        role: BeatRole::Owner,
        epoch: Epoch(wide),
        gate_open: true,
        eligible: true,
        claims: true,
        unfit: Some(Unfit { why: WhyUnfit::Interface, left: Span(u64::MAX) }),
        unproven: true,
        standby_held: true,
        told: commands,
        pause: Some(PauseBeat { told: commands, on: true, left: Some(Span::secs(MOST_PAUSE)) }),
        // Who offers has no intent, which is the longer of the two.
        offer: None,
        intent: Some(Intent { epoch: Epoch(wide), attempt: Attempt(wide), commanded: true }),
        // `granted` and `released` are never said at once.
        granted: None,
        released: Some(grant),
        closed_for: Some(Span(u64::MAX)),
        refused: Some(Refused { grant, why: WhyRefused::Other }),
        challenged: wide,
        challenge_ack: wide,
    };
    let echo = LinkEcho { link: Name::from("l"), number: wide, held: Span(u64::MAX) };
    frame_len(&Heartbeat {
        version: VERSION,
        from: NodeId(1),
        incarnation: Incarnation(wide),
        number: wide,
        digest: u64::MAX,
        lease: Span(u64::MAX),
        witnesses: u32::MAX,
        echo_of: Some(EchoOf { incarnation: Incarnation(wide), lease: Span(u64::MAX), witnesses: u32::MAX }),
        echoes: vec![echo; links],
        answer: true,
        reachable: true,
        answered: Some(Span(u64::MAX)),
        carrier: true,
        fencing: true,
        part: if is_whole { Part::WHOLE } else { Part { index: u8::MAX, of: u8::MAX } },
        groups: vec![group; groups],
    })
}

/// The bytes.
pub(super) fn body(beat: &Heartbeat) -> Vec<u8> {
    let mut to = Encoder::new(Vec::with_capacity(256));
    // A vector takes whatever it is given.
    let _ = heartbeat(&mut to, beat);
    to.into_writer()
}

type Out = Encoder<Vec<u8>>;
type Done = Result<(), minicbor::encode::Error<std::convert::Infallible>>;

fn heartbeat(to: &mut Out, beat: &Heartbeat) -> Done {
    let Heartbeat {
        version,
        from,
        incarnation,
        number,
        digest,
        lease,
        witnesses,
        echo_of,
        echoes,
        answer,
        reachable,
        answered,
        carrier,
        fencing,
        part,
        groups,
    } = beat;
    let optional = [echo_of.is_some(), !echoes.is_empty(), answered.is_some(), !part.is_whole()];
    to.map(count(&optional).saturating_add(9))?;
    to.u64(key::VERSION)?.u16(*version)?;
    to.u64(key::FROM)?.u8(from.0)?;
    to.u64(key::INCARNATION)?.u64(incarnation.0)?;
    to.u64(key::NUMBER)?.u64(*number)?;
    to.u64(key::LEASE)?.u64(lease.0)?;
    to.u64(key::GROUPS)?.array(groups.len() as u64)?;
    let mine = echo_of.map(|of| of.incarnation);
    groups.iter().try_for_each(|beat| group(to, beat, mine))?;
    to.u64(key::DIGEST)?.u64(*digest)?;
    to.u64(key::FLAGS)?.u64(bits(&[(*answer, ANSWER), (*reachable, REACHABLE), (*carrier, CARRIER), (*fencing, FENCING)]))?;
    to.u64(key::WITNESSES)?.u32(*witnesses)?;
    if let Some(EchoOf { incarnation, lease, witnesses }) = echo_of {
        to.u64(key::OF)?.array(3)?.u64(incarnation.0)?.u64(lease.0)?.u32(*witnesses)?;
    }
    if !echoes.is_empty() {
        to.u64(key::ECHOES)?.array(echoes.len() as u64)?;
        for echo in echoes {
            to.array(3)?.u32(short(&echo.link))?.u64(echo.number)?.u64(echo.held.0)?;
        }
    }
    if let Some(answered) = answered {
        to.u64(key::ANSWERED)?.u64(answered.0)?;
    }
    if !part.is_whole() {
        to.u64(key::PART)?.array(2)?.u8(part.index)?.u8(part.of)?;
    }
    Ok(())
}

fn group(to: &mut Out, beat: &GroupBeat, mine: Option<Incarnation>) -> Done {
    let GroupBeat {
        name,
        vips,
        role,
        epoch,
        gate_open,
        eligible,
        claims,
        unfit,
        unproven,
        standby_held,
        told,
        pause,
        offer,
        intent,
        granted,
        released,
        closed_for,
        refused,
        challenged,
        challenge_ack,
    } = beat;
    let optional = [
        unfit.is_some(),
        *told > 0,
        pause.is_some(),
        offer.is_some(),
        intent.is_some(),
        granted.is_some(),
        released.is_some(),
        closed_for.is_some(),
        refused.is_some(),
        *challenged > 0,
        *challenge_ack > 0,
    ];
    to.map(count(&optional).saturating_add(5))?;
    to.u64(group_key::NAME)?.u32(short(name))?;
    to.u64(group_key::ROLE)?.u8(role_number(*role))?;
    to.u64(group_key::EPOCH)?.u64(epoch.0)?;
    to.u64(group_key::FLAGS)?.u64(bits(&[
        (*gate_open, GATE_OPEN),
        (*eligible, ELIGIBLE),
        (*standby_held, HELD),
        (*claims, CLAIMS),
        (*unproven, UNPROVEN),
    ]))?;
    to.u64(group_key::VIPS)?.array(2)?.u32(vips.guard)?.u32(vips.all)?;
    if let Some(unfit) = unfit {
        let left = unfit.left.0.div_ceil(SECOND).min(MOST_LEFT);
        to.u64(group_key::UNFIT)?.u64(left.saturating_mul(REASONS).saturating_add(unfit_number(unfit.why)))?;
    }
    if *told > 0 {
        to.u64(group_key::TOLD)?.u64(*told)?;
    }
    if let Some(pause) = pause {
        // The number alone says that it is over.
        to.u64(group_key::PAUSE)?.array(if pause.on { 2 } else { 1 })?.u64(pause.told)?;
        if pause.on {
            let left = pause.left.map(|left| left.0.div_ceil(SECOND)).filter(|left| *left <= MOST_PAUSE);
            to.u64(left.map_or(0, |left| left.saturating_add(1)))?;
        }
    }
    if let Some(offer) = offer {
        to.u64(group_key::OFFER)?.u8(offer_number(*offer))?;
    }
    if let Some(intent) = intent {
        to.u64(group_key::INTENT)?.array(if intent.commanded { 3 } else { 2 })?.u64(intent.epoch.0)?.u64(intent.attempt.0)?;
        if intent.commanded {
            to.bool(true)?;
        }
    }
    for (key, grant) in [(group_key::GRANTED, granted), (group_key::RELEASED, released)] {
        if let Some(grant) = grant {
            to.u64(key)?.array(grant_len(grant, mine))?;
            put_grant(to, grant, mine)?;
        }
    }
    if let Some(span) = closed_for {
        to.u64(group_key::CLOSED_FOR)?.u64(span.0)?;
    }
    if let Some(refused) = refused {
        to.u64(group_key::REFUSED)?.array(grant_len(&refused.grant, mine).saturating_add(1))?.u8(why_number(refused.why))?;
        put_grant(to, &refused.grant, mine)?;
    }
    for (key, n) in [(group_key::CHALLENGED, challenged), (group_key::CHALLENGE_ACK, challenge_ack)] {
        if *n > 0 {
            to.u64(key)?.u64(*n)?;
        }
    }
    Ok(())
}

/// A grant nearly always names the receiver's life, which the heartbeat names already.
fn grant_len(grant: &Grant, mine: Option<Incarnation>) -> u64 {
    if Some(grant.incarnation) == mine { 2 } else { 3 }
}

fn put_grant(to: &mut Out, grant: &Grant, mine: Option<Incarnation>) -> Done {
    to.u64(grant.epoch.0)?.u64(grant.attempt.0)?;
    if Some(grant.incarnation) != mine {
        to.u64(grant.incarnation.0)?;
    }
    Ok(())
}

fn count(there: &[bool]) -> u64 {
    there.iter().filter(|there| **there).count() as u64
}

fn bits(flags: &[(bool, u64)]) -> u64 {
    flags.iter().filter(|(set, _)| *set).map(|(_, bit)| bit).sum()
}

fn role_number(role: BeatRole) -> u8 {
    match role {
        BeatRole::Standby => 0,
        BeatRole::Owner => 1,
        BeatRole::Leaving => 2,
    }
}

fn offer_number(offer: Offer) -> u8 {
    match offer {
        Offer::Standby => 0,
        Offer::Shutdown => 1,
        Offer::PublicLost => 2,
        Offer::ServiceFailed => 3,
        Offer::InterfaceMissing => 4,
        Offer::NoReturnPath => 5,
    }
}

fn unfit_number(why: WhyUnfit) -> u64 {
    match why {
        WhyUnfit::Stopping => 0,
        WhyUnfit::DoesNotStop => 1,
        WhyUnfit::ServiceFailed => 2,
        WhyUnfit::DidNotOpen => 3,
        WhyUnfit::Disk => 4,
        WhyUnfit::Gate => 5,
        WhyUnfit::Shutdown => 6,
        WhyUnfit::Interface => 7,
        WhyUnfit::NoReturnPath => 8,
        WhyUnfit::NotStartable => 9,
        WhyUnfit::Carrier => 10,
    }
}

/// In nanoseconds.
const SECOND: u64 = 1_000_000_000;

fn why_number(why: WhyRefused) -> u8 {
    match why {
        WhyRefused::NotFit => 0,
        WhyRefused::StaleEpoch => 1,
        WhyRefused::OtherIntent => 2,
        WhyRefused::Other => 3,
        WhyRefused::FilesDiffer => 4,
        WhyRefused::Paused => 5,
        WhyRefused::Fencing => 6,
    }
}
