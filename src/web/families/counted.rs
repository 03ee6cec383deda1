//! What the daemon has counted and timed since its start.

use std::fmt;

use super::series::label;
use crate::measured::{GroupMeasured, LinkMeasured, Measured};
use crate::metrics::{Families, Labels};

pub(super) fn write(measured: &Measured, out: &mut Families) -> fmt::Result {
    let Measured {
        beats_sent,
        frames_accepted,
        frames_copied,
        verifications,
        refused,
        events,
        links,
        groups,
        echoes_own,
        echoes_vip,
        loop_lateness,
        loop_turns,
    } = measured;
    let one = |count: u64| vec![(Labels::new(), count)];
    let each = |key: &'static str, counts: &[(&'static str, u64)]| {
        counts.iter().map(|(word, count)| (label(key, word), *count)).collect::<Vec<_>>()
    };
    out.totals("heartbeats_sent", "Heartbeats sent; one that goes over several links counts once.", one(*beats_sent))?;
    out.totals(
        "frames_accepted",
        "Frames that were the peer's heartbeats, copies over other links included.",
        one(*frames_accepted),
    )?;
    out.totals("frames_copied", "Of these, copies of a heartbeat that was verified before.", one(*frames_copied))?;
    out.totals("signatures_verified", "Signatures that were verified, good or bad.", one(*verifications))?;
    out.totals("frames_refused", "Frames that were refused (docs/PROTOCOL.md has the reasons).", each("reason", refused))?;
    out.totals("events", "What the log says of decisions and of what they rest on, by kind.", each("kind", events))?;
    let (mut lateness, mut round_trips) = (Vec::new(), Vec::new());
    for LinkMeasured { name, lateness: late, round_trips: trips } in links {
        lateness.push((label("link", name), late));
        round_trips.push((label("link", name), trips));
    }
    out.times(
        "link_heartbeat_lateness",
        "By how much each of the peer's heartbeats came later than one heartbeat's time behind the one before it on the link.",
        lateness,
    )?;
    out.times(
        "link_round_trips",
        "Round trips of heartbeats: out over the link, and back in whichever of the peer's came first.",
        round_trips,
    )?;
    let (mut renewals, mut gaps) = (Vec::new(), Vec::new());
    for GroupMeasured { name, renewals: left, gaps: seen } in groups {
        renewals.push((label("group", name), left));
        gaps.push((label("group", name), seen));
    }
    out.times("group_renewal_lease_left", "How much of the lease was left when it was renewed.", renewals)?;
    out.times("group_move_gap", "The gaps that clients saw in planned moves, as this node measured them.", gaps)?;
    let echoes = vec![(label("from", "own"), echoes_own), (label("from", "vip"), echoes_vip)];
    out.times("echo_round_trip", "Round trips of echoes to the witnesses, from the node's own address and from a VIP.", echoes)?;
    out.times("loop_lateness", "How late the deciding thread came to what was due.", vec![(Labels::new(), loop_lateness)])?;
    out.times(
        "loop_turn",
        "How long the deciding thread took for one event and what followed from it.",
        vec![(Labels::new(), loop_turns)],
    )
}
