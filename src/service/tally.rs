//! What comes of many answers: a service falls after so many failures in a row, and rises after so many good answers.

/// The row of one check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Tally {
    fall: u32,
    rise: u32,
    well: bool,
    row: u32,
}

/// The service is another than it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    /// It fell.
    Fell,
    /// It rose.
    Rose,
}

impl Tally {
    /// Of a service that was well when it was last asked. `fall` and `rise` count as 1 at the least.
    pub fn new(fall: u32, rise: u32) -> Tally {
        Tally { fall: fall.max(1), rise: rise.max(1), well: true, row: 0 }
    }

    /// One more answer.
    pub fn take(&mut self, well: bool) -> Option<Change> {
        if well == self.well {
            self.row = 0;
            return None;
        }
        self.row = self.row.saturating_add(1);
        let (needed, change) = if well { (self.rise, Change::Rose) } else { (self.fall, Change::Fell) };
        if self.row < needed {
            return None;
        }
        (self.well, self.row) = (well, 0);
        Some(change)
    }

    /// Failures in a row while it counts as well, of how many.
    pub fn failing(&self) -> Option<(u32, u32)> {
        (self.well && self.row > 0).then_some((self.row, self.fall))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_falls_after_so_many_in_a_row_and_rises_after_so_many() {
        let mut tally = Tally::new(3, 2);
        let mut play = |answers: &str| -> Vec<Option<Change>> { answers.chars().map(|c| tally.take(c == '+')).collect() };
        assert_eq!(play("--+--"), [None; 5], "never three in a row");
        assert_eq!(play("-"), [Some(Change::Fell)]);
        assert_eq!(play("--+-+"), [None; 5], "never two in a row");
        assert_eq!(play("+"), [Some(Change::Rose)]);
        assert_eq!(play("+--"), [None; 3]);
        assert_eq!(tally.failing(), Some((2, 3)));
    }

    #[test]
    fn nothing_is_needed_of_nobody() {
        assert_eq!(Tally::new(0, 0).take(false), Some(Change::Fell));
    }
}
