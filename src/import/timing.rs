//! Figures of time: how the old files write them, and which lease goes with them.

use twinbeat_config::duration;
use twinbeat_core::settings::Timing;
use twinbeat_core::time::Span;

/// heartbeat's way: a number (fractions too), and perhaps a unit; without one it is seconds.
pub(crate) fn heartbeat_time(text: &str) -> Option<Span> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (text.get(..split)?, text.get(split..)?.trim());
    let nanos: f64 = match unit {
        "" | "s" | "sec" => 1e9,
        "ms" | "msec" => 1e6,
        "us" | "usec" => 1e3,
        "m" | "min" => 60e9,
        "h" | "hr" => 3600e9,
        _ => return None,
    };
    span(number, nanos)
}

/// keepalived's way: seconds, fractions too.
pub(crate) fn seconds(text: &str) -> Option<Span> {
    text.bytes().all(|b| b.is_ascii_digit() || b == b'.').then(|| span(text, 1e9))?
}

/// In whole microseconds; up to ten years.
fn span(number: &str, unit: f64) -> Option<Span> {
    const MOST: f64 = 3.2e17;
    let value = number.parse::<f64>().ok()? * unit;
    // In range, so that the cast is exact enough.
    (0.0..=MOST).contains(&value).then(|| Span(((value / 1e3).round() as u64).saturating_mul(1_000)))
}

/// As twinbeat's file has it.
pub(crate) fn written(span: Span) -> String {
    format!("\"{}\"", duration::write(span))
}

/// The lease for these figures, and whether `dead` leaves room for it: three and a half heartbeats as in the default profile, else the fast
/// profile's proportion.
pub(crate) fn lease(heartbeat: Span, warn: Span, dead: Span) -> (Span, bool) {
    let delivery = Span((heartbeat.0 / 2).min(100_000_000));
    let fits = |lease: &Span| {
        let timing = Timing {
            heartbeat,
            warn,
            lease: *lease,
            dead,
            init_dead: dead,
            delivery,
            rate: 1_200,
            weak_gate: false,
            early_claim: true,
        };
        *lease > delivery && dead >= timing.least_dead()
    };
    let tenths = |n: u64| Span((heartbeat.0.saturating_mul(n) / 10).div_ceil(1_000_000).saturating_mul(1_000_000));
    let leases = [tenths(35), tenths(31)];
    leases.into_iter().find(fits).map_or((tenths(31), false), |lease| (lease, true))
}
