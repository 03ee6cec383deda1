//! The axis of time: straight, but for long stretches in which nothing at all happens, which are cut short and marked.

use super::{At, Picture};

/// From times to places between 0 and 1.
#[derive(Clone, Debug)]
pub struct Axis {
    pieces: Vec<Piece>,
    shown: f64,
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    from: f64,
    to: f64,
    /// How much of the axis it takes, in seconds of an axis that is not cut.
    shown: f64,
    cut: bool,
}

impl Axis {
    /// The axis of a picture.
    pub fn of(picture: &Picture) -> Axis {
        let bars = picture.sections.iter().flat_map(|section| &section.lanes).flat_map(|lane| &lane.bars);
        let times = bars.flat_map(|bar| [bar.from, bar.to]).chain(picture.marks.iter().map(|mark| mark.at));
        Axis::new(picture.length, times)
    }

    fn new(length: At, times: impl Iterator<Item = At>) -> Axis {
        let end = length.as_secs_f64().max(1e-9);
        let mut times: Vec<f64> = times.map(|at| at.as_secs_f64().min(end)).chain([0.0, end]).collect();
        times.sort_by(f64::total_cmp);
        let mut pieces: Vec<Piece> = times
            .windows(2)
            .map(|w| Piece { from: w[0], to: w[1], shown: w[1] - w[0], cut: false })
            .filter(|p| p.shown > 0.0)
            .collect();
        let total = |pieces: &[Piece]| pieces.iter().map(|piece| piece.shown).sum::<f64>();
        // Where one stretch is longer than all the rest of the story, the rest is what is looked at.
        loop {
            let all = total(&pieces);
            let Some(longest) = pieces.iter_mut().filter(|piece| !piece.cut).max_by(|a, b| a.shown.total_cmp(&b.shown)) else {
                break;
            };
            let rest = all - longest.shown;
            if longest.shown < all * LONG || rest <= 0.0 {
                break;
            }
            (longest.shown, longest.cut) = (rest / 5.0, true);
        }
        let shown = total(&pieces).max(1e-9);
        Axis { pieces, shown }
    }

    /// Where a time is.
    pub fn place(&self, at: At) -> f64 {
        let at = at.as_secs_f64();
        let mut before = 0.0;
        for piece in &self.pieces {
            if at <= piece.to {
                let part = ((at - piece.from) / (piece.to - piece.from)).clamp(0.0, 1.0);
                return (before + piece.shown * part) / self.shown;
            }
            before += piece.shown;
        }
        1.0
    }

    /// The stretches that were cut short: from, to.
    pub fn cuts(&self) -> impl Iterator<Item = (At, At)> {
        self.pieces.iter().filter(|piece| piece.cut).map(|piece| (At::from_secs_f64(piece.from), At::from_secs_f64(piece.to)))
    }

    /// Round times for labels: at most about `most`, none of them within a cut.
    pub fn ticks(&self, most: f64) -> Vec<At> {
        let step = STEPS.iter().copied().find(|step| self.shown / step <= most).unwrap_or(86_400.0);
        let mut ticks = Vec::new();
        for piece in self.pieces.iter().filter(|piece| !piece.cut) {
            let first = (piece.from / step - 1e-9).ceil().max(0.0) as u64;
            ticks.extend((first..).map(|n| n as f64 * step).take_while(|at| *at <= piece.to + step * 1e-9));
        }
        ticks.dedup_by(|a, b| (*a - *b).abs() < step * 0.5);
        ticks.into_iter().map(At::from_secs_f64).collect()
    }
}

/// The share of the axis from which on a stretch without anything in it is cut.
const LONG: f64 = 0.55;
const STEPS: &[f64] = &[
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0,
    3600.0,
];

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn axis(length: u64, times: &[u64]) -> Axis {
        Axis::new(Duration::from_secs(length), times.iter().map(|at| Duration::from_secs(*at)))
    }

    #[test]
    fn an_even_story_has_a_straight_axis() {
        let axis = axis(100, &[20, 40, 60, 80]);
        assert!((axis.place(Duration::from_secs(30)) - 0.3).abs() < 1e-9);
        assert_eq!(axis.cuts().count(), 0);
        assert_eq!(axis.ticks(10.0).len(), 11);
    }

    #[test]
    fn a_night_without_events_is_cut_short_and_has_no_ticks() {
        let axis = axis(28_840, &[20, 22, 28_820, 28_824]);
        let cuts: Vec<_> = axis.cuts().collect();
        assert_eq!(cuts, [(Duration::from_secs(22), Duration::from_secs(28_820))]);
        let (from, to) = (axis.place(cuts[0].0), axis.place(cuts[0].1));
        assert!(to - from < 0.2, "{from} {to}");
        assert!(axis.ticks(12.0).iter().all(|at| *at <= cuts[0].0 || *at >= cuts[0].1));
        assert_eq!(axis.place(Duration::from_secs(28_840)), 1.0);
    }
}
