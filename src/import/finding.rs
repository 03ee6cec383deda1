//! What a person must know about an import, beside the file that came of it.

use std::fmt;

use crate::text::{Place, clean};

/// What sort of finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The old files do not say it; a placeholder stands in its place, or something must be done beside the file.
    ByHand,
    /// twinbeat refuses it as it stands.
    Refused,
    /// Taken so, because something else speaks for it; to be looked at.
    Assumed,
    /// Nothing stands for it in twinbeat, and why.
    LeftOut,
}

impl Kind {
    /// The heading in the file and on the terminal.
    pub fn heading(self) -> &'static str {
        match self {
            Kind::ByHand => "To be done by hand",
            Kind::Refused => "Refused by twinbeat as it stands",
            Kind::Assumed => "Taken so; look at it",
            Kind::LeftOut => "Without a counterpart, and why",
        }
    }

    /// In this order they are told.
    pub const ALL: [Kind; 4] = [Kind::ByHand, Kind::Refused, Kind::Assumed, Kind::LeftOut];
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What sort.
    pub kind: Kind,
    /// Where in the old files, if there.
    pub place: Option<Place>,
    /// What, and what to do.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

/// The findings so far.
#[derive(Default, Debug)]
pub(crate) struct Findings(pub Vec<Finding>);

impl Findings {
    /// One more, unless it is told already.
    pub fn add(&mut self, kind: Kind, place: impl Into<Option<Place>>, text: impl AsRef<str>) {
        let finding = Finding { kind, place: place.into(), text: clean(text.as_ref()) };
        if self.0.len() < MOST && !self.0.contains(&finding) {
            self.0.push(finding);
        }
    }
}

/// The most that are told; a file of nothing else would fill the disk.
const MOST: usize = 5_000;
