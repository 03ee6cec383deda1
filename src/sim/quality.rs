//! What becomes of a direction on a link.

use super::network::Path;
use twinbeat_core::time::Span;

/// What becomes of a direction.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Quality {
    /// Silent.
    Cut(bool),
    /// Heartbeats are filtered, everything else passes.
    NoHeartbeats(bool),
    /// Millionths lost, so many at once.
    Loss(u32, u32),
    /// At least, and at the most how much longer.
    Delay(Span, Span),
    /// Millionths damaged.
    Corrupt(u32),
    /// Millionths doubled.
    Duplicate(u32),
    /// Millionths overtaken, and for how much longer those travel.
    Reorder(u32, Span),
}

/// Makes it so.
pub(super) fn change(path: &mut Path, quality: Quality) {
    match quality {
        Quality::Cut(cut) => path.cut = cut,
        Quality::NoHeartbeats(filtered) => path.no_heartbeats = filtered,
        Quality::Loss(ppm, burst) => (path.loss, path.burst) = (ppm, burst.max(1)),
        Quality::Delay(delay, jitter) => (path.delay, path.jitter) = (delay, jitter),
        Quality::Corrupt(ppm) => path.corrupt = ppm,
        Quality::Duplicate(ppm) => path.duplicate = ppm,
        Quality::Reorder(ppm, longer) => (path.reorder, path.overtaken) = (ppm, longer),
    }
}
