//! Places in a text, and texts of one line.

use std::ops::Range;

/// A byte range of the file.
pub type At = Range<usize>;

/// The line of a place, counted from 1.
pub(super) fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|b| **b == b'\n').count().saturating_add(1)
}

/// A message without line breaks.
pub(super) fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}
