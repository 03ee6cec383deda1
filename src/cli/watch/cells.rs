//! A lane as cells: each tells the worst that was in its stretch of time, so that a gap of a second is seen in an hour.

use twinbeat_journal::lanes::{Lane, Of, Tone};
use twinbeat_say::Stamp;

/// The lanes' axis: which stretch of time is which cell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Axis {
    /// The left edge, in milliseconds since 1970.
    pub from: u64,
    /// How many milliseconds a cell is.
    pub step: u64,
    /// How many cells there are.
    pub cells: u16,
}

/// What one cell shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cell<'a> {
    /// The worst word in it.
    pub is: &'a str,
    /// Its colour.
    pub tone: Tone,
}

impl Axis {
    /// One that ends at `now` and is `span` milliseconds long. Its cells begin at whole multiples of their length: what is drawn stands still
    /// while nothing happens.
    pub fn new(now: u64, span: u64, cells: u16) -> Axis {
        let step = span.div_ceil(u64::from(cells.max(1))).max(1);
        let end = now.div_ceil(step).saturating_mul(step);
        Axis { from: end.saturating_sub(step.saturating_mul(u64::from(cells))), step, cells }
    }

    /// The cell of an instant; none when it lies outside.
    pub fn cell(&self, at: u64) -> Option<u16> {
        let place = at.checked_sub(self.from)? / self.step;
        u16::try_from(place).ok().filter(|place| *place < self.cells)
    }

    /// Times to be written below, each with its cell: whole minutes, or parts of one.
    pub fn ticks(&self) -> Vec<(u16, String)> {
        let span = self.step.saturating_mul(u64::from(self.cells));
        // A label and its distance from the next need some room.
        let room = |every: u64| self.step.saturating_mul(if every.is_multiple_of(60_000) { 9 } else { 12 });
        let every = TICKS.iter().copied().find(|every| *every >= room(*every) && span / every <= 8).unwrap_or(span.max(1));
        let first = self.from.div_ceil(every).saturating_mul(every);
        let all = (0..8).map(|n| first.saturating_add(every.saturating_mul(n)));
        let text = |at: u64| {
            let text = Stamp::of_nanos(at.saturating_mul(1_000_000)).time_of_day();
            if every.is_multiple_of(60_000) { text.get(..5).unwrap_or_default().to_owned() } else { text }
        };
        all.filter_map(|at| Some((self.cell(at)?, text(at)))).collect()
    }

    /// What each cell of a lane shows; none where nobody looked.
    pub fn cells<'a>(&self, lane: &'a Lane) -> Vec<Option<Cell<'a>>> {
        let mut cells: Vec<Option<Cell>> = vec![None; usize::from(self.cells)];
        let end = self.from.saturating_add(self.step.saturating_mul(u64::from(self.cells)));
        for span in lane.spans.iter().filter(|span| span.to >= self.from && span.from < end) {
            let first = self.cell(span.from.max(self.from)).unwrap_or(0);
            // One that ends where a cell begins is not in that cell.
            let last = span.to.saturating_sub(1).max(span.from).max(self.from).min(end.saturating_sub(1));
            let last = self.cell(last).unwrap_or(first);
            for cell in cells.iter_mut().take(usize::from(last).saturating_add(1)).skip(usize::from(first)) {
                let new = Cell { is: &span.is, tone: span.tone };
                // Of two owners in a cell the later one is seen: the bar's end is where it ended.
                let worse = |old: Cell| {
                    if lane.of == Of::Group && new.tone < Tone::Odd { old.tone < Tone::Odd } else { new.tone >= old.tone }
                };
                if cell.is_none_or(worse) {
                    *cell = Some(new);
                }
            }
        }
        cells
    }
}

/// Distances between the times below, in milliseconds.
const TICKS: [u64; 9] = [5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 900_000];

#[cfg(test)]
mod tests {
    use super::*;
    use twinbeat_journal::lanes::Span;

    fn lane(spans: &[(u64, u64, Tone)]) -> Lane {
        let spans =
            spans.iter().map(|(from, to, tone)| Span { from: *from, to: *to, is: format!("{tone:?}"), tone: *tone }).collect();
        Lane { of: Of::Group, name: "web".into(), spans }
    }

    #[test]
    fn a_gap_of_a_second_is_seen_in_an_hour_and_a_hole_is_one() {
        let now = 10_000_000;
        let axis = Axis::new(now, 3_600_000, 60);
        assert_eq!((axis.step, axis.from), (60_000, 6_420_000));
        let lane = lane(&[
            (6_000_000, 8_000_000, Tone::First),
            (8_000_000, 8_001_000, Tone::Bad),
            (8_001_000, 8_400_000, Tone::Second),
            (9_000_000, now, Tone::Second),
        ]);
        let tones: Vec<Option<Tone>> = axis.cells(&lane).into_iter().map(|cell| cell.map(|cell| cell.tone)).collect();
        let expected = |place: u64| match place {
            0..26 => Some(Tone::First),
            26 => Some(Tone::Bad),
            27..33 => Some(Tone::Second),
            33..43 => None,
            _ => Some(Tone::Second),
        };
        assert_eq!(tones, (0..60).map(expected).collect::<Vec<_>>());
    }

    #[test]
    fn nothing_from_outside_is_too_long_too_late_or_upside_down() {
        for (now, span, cells) in
            [(0, 0, 0), (u64::MAX, 60_000, 80), (5, u64::MAX, 1), (u64::MAX, u64::MAX, u16::MAX), (7, 60_000, 200)]
        {
            let axis = Axis::new(now, span, cells);
            assert_eq!(
                axis.cells(&lane(&[(0, u64::MAX, Tone::Bad), (9, 3, Tone::Odd), (u64::MAX, u64::MAX, Tone::First)])).len(),
                usize::from(cells)
            );
            assert!(axis.ticks().len() <= 8);
        }
    }

    #[test]
    fn cells_stand_still_while_time_passes_and_times_are_whole() {
        let one = Axis::new(1_000_000_100, 300_000, 60);
        assert_eq!(one, Axis::new(1_000_004_900, 300_000, 60));
        assert_eq!(
            one.ticks().iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(),
            ["13:42", "13:43", "13:44", "13:45", "13:46"]
        );
        let minute = Axis::new(1_000_000_100, 60_000, 60);
        assert_eq!(minute.ticks()[0].1, "13:45:45");
    }
}
