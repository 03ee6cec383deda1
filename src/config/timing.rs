//! `[timing]`: profiles, overrides, and the relations without which two nodes could own at once (SAFETY, Timing).

use toml::Spanned;

use super::error::{ConfigError, Found, Problem};
use super::place::At;
use super::raw::RawTiming;
use super::raw_duration::RawDuration;
use super::source::Source;
use super::value::duration;
use twinbeat_core::settings::{PROBES, Timing};
use twinbeat_core::time::Span;

/// The least lease where the address lifetime is the only gate (SAFETY, limit f).
pub const LEAST_WEAK_LEASE: Span = Span::secs(2);
/// The longest `delivery` that is taken when the file names none.
pub const LONGEST_DEFAULT_DELIVERY: Span = Span::millis(100);
/// The names of the profiles, for messages.
pub const PROFILES: &str = "\"default\", \"fast\", \"classic\"";

/// heartbeat, warn, lease, dead, init_dead.
fn profile(name: &str) -> Option<[Span; 5]> {
    Some(match name {
        "fast" => [50, 150, 155, 500, 5_000].map(Span::millis),
        "default" => [200, 600, 700, 2_000, 10_000].map(Span::millis),
        "classic" => [2_000, 10_000, 11_500, 30_000, 60_000].map(Span::millis),
        _ => return None,
    })
}

/// The table's meaning.
pub(super) fn convert(source: &Source, raw: Option<&RawTiming>) -> Result<Timing, ConfigError> {
    let none = RawTiming::default();
    let raw = raw.unwrap_or(&none);
    let name = raw.profile.as_ref().map_or("default", |p| p.get_ref());
    let Some([heartbeat, warn, lease, dead, init_dead]) = profile(name) else {
        let at = raw.profile.as_ref().map_or(0..0, Spanned::span);
        return Err(source.error(at, Problem::Allowed(PROFILES.to_owned())));
    };
    let take = |value: &Option<Spanned<RawDuration>>, default: Span| match value {
        Some(value) => duration(source, value, Span::millis(1), super::duration::LONGEST),
        None => Ok(default),
    };
    let mut found = Found::default();
    let heartbeat = match &raw.heartbeat {
        Some(value) => found.keep(duration(source, value, Span::millis(10), Span::secs(60))),
        None => Some(heartbeat),
    };
    let mut take = |value, default| found.keep(take(value, default));
    let (warn, lease, dead) = (take(&raw.warn, warn), take(&raw.lease, lease), take(&raw.dead, dead));
    let init_dead = take(&raw.init_dead, init_dead);
    let delivery = take(&raw.delivery, (heartbeat.unwrap_or_default() / 2).min(LONGEST_DEFAULT_DELIVERY));
    let rate = found.keep(rate(source, raw.rate_bound.as_ref()));
    let early_claim = raw.early_claim.as_ref().is_none_or(|value| *value.get_ref());
    let whole = || {
        let (heartbeat, warn, lease, dead, init_dead) = (heartbeat?, warn?, lease?, dead?, init_dead?);
        Some(Timing { heartbeat, warn, lease, dead, init_dead, delivery: delivery?, rate: rate?, weak_gate: false, early_claim })
    };
    let timing = whole();
    if let Some(timing) = &timing {
        found.keep(check(source, timing));
    }
    found.done(timing)
}

/// 1000 x (1 + rate bound), rounded up to the safe side.
fn rate(source: &Source, bound: Option<&Spanned<f64>>) -> Result<u64, ConfigError> {
    let Some(bound) = bound else { return Ok(1_200) };
    let value = *bound.get_ref();
    if !(0.0..=1.0).contains(&value) {
        return Err(
            source.error(bound.span(), Problem::Allowed("0.0 to 1.0; 0.20 covers clocks that are being slewed".to_owned()))
        );
    }
    // The millionth below a thousandth keeps 0.07 from becoming 71 thousandths; the cast is exact below 2^53.
    Ok(1_000_u64.saturating_add((value * 1_000.0 - 1e-6).ceil() as u64))
}

/// The relations of SAFETY's Timing section.
fn check(source: &Source, timing: &Timing) -> Result<(), ConfigError> {
    let Timing { heartbeat, warn, lease, dead, init_dead, delivery, .. } = *timing;
    let broken = |key, relation, left, right, hint: &str| {
        Err(at_key(source, key, Problem::Relation { relation, left, right, hint: hint.to_owned() }))
    };
    if heartbeat >= warn {
        return broken("warn", "heartbeat < warn", heartbeat, warn, "as a rule warn is three heartbeats");
    }
    if heartbeat >= lease {
        return broken("lease", "heartbeat < lease", heartbeat, lease, "as a rule lease is three heartbeats and a little");
    }
    if delivery >= lease {
        return broken("delivery", "delivery < lease", delivery, lease, "an answer that old could renew nothing");
    }
    if dead < timing.least_dead() {
        return Err(at_key(source, "dead", dead_too_short(timing)));
    }
    if init_dead < dead {
        return broken(
            "init_dead",
            "init_dead >= dead",
            init_dead,
            dead,
            "after a start the peer gets at least as long as later",
        );
    }
    Ok(())
}

/// What the timing would have to be where the address lifetime is the only gate; refuses when it is not so (SAFETY, limit f).
pub(super) fn weak(source: &Source, timing: &Timing) -> Result<Timing, ConfigError> {
    let timing = Timing { weak_gate: true, ..*timing };
    if timing.lease < LEAST_WEAK_LEASE {
        let problem = Problem::WeakGateLease { lease: timing.lease, least: LEAST_WEAK_LEASE };
        return Err(at_key(source, "lease", problem));
    }
    if timing.dead < timing.least_dead() {
        return Err(at_key(source, "dead", dead_too_short(&timing)));
    }
    Ok(timing)
}

/// How far `dead` is above the least, and how the least comes about: for `check`.
pub fn margin(timing: &Timing) -> String {
    let least = timing.least_dead();
    format!("dead {} is {} above the least ({}): {}", timing.dead, timing.dead.less(least), whole_millis(least), sum(timing))
}

fn dead_too_short(timing: &Timing) -> Problem {
    Problem::DeadTooShort { dead: timing.dead, least: whole_millis(timing.least_dead()), sum: sum(timing) }
}

fn sum(timing: &Timing) -> String {
    let lease = timing.outrun(timing.lease);
    format!(
        "max({}, {lease}) + {PROBES} + {lease} + 2 x {} + {} + {}",
        timing.warn,
        timing.delivery,
        timing.echo_period(),
        timing.kernel_slack()
    )
}

/// Rounded up, so that the figure in the message is itself allowed.
fn whole_millis(span: Span) -> Span {
    Span::millis(span.0.div_ceil(1_000_000))
}

/// An error at `timing.KEY`, or at the profile that set it, or at the table.
fn at_key(source: &Source, key: &str, problem: Problem) -> ConfigError {
    let path = format!("timing.{key}");
    let found: Option<At> = source.find(&path);
    match found {
        Some(at) => source.error(at, problem),
        None => source.missing(&path, problem),
    }
}
