//! A run as a picture: swim lanes over one axis of time, with what was done as marks above them.
//!
//! Plain data: whoever recorded a run (the simulator, a drill on the real kernel) fills a [`Picture`]; [`svg::draw`] knows nothing of either.
//! All times count from the picture's left edge.

#![forbid(unsafe_code)]

mod axis;
pub mod svg;

use std::time::Duration;

/// A time since the picture's left edge.
pub type At = Duration;

/// Everything that is drawn.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Picture {
    /// One line: what happened.
    pub title: String,
    /// The story, for a person who sees such a picture for the first time.
    pub about: String,
    /// How long the axis of time is.
    pub length: At,
    /// Both nodes' names, for the legend: they own the colours [`Tone::First`] and [`Tone::Second`].
    pub nodes: [String; 2],
    /// What was done, and when.
    pub marks: Vec<Mark>,
    /// The lanes, from top to bottom.
    pub sections: Vec<Section>,
    /// How it went: one line each.
    pub verdict: Vec<Verdict>,
}

/// One line under the story: what held, or did not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// It is as it should be.
    pub good: bool,
    /// The line.
    pub text: String,
}

/// Something done from outside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark {
    /// When.
    pub at: At,
    /// In a few words.
    pub text: String,
    /// What sort of thing.
    pub kind: MarkKind,
}

/// What sort of thing was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MarkKind {
    /// Something was broken.
    Fault,
    /// Something was mended.
    Repair,
    /// A person's command, or an ordinary start.
    Command,
}

/// Lanes that belong together, under one heading.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Section {
    /// The heading: `clients`, or a node's name.
    pub heading: String,
    /// The heading's colour.
    pub tone: Tone,
    /// The lanes.
    pub lanes: Vec<Lane>,
}

/// One line of states over time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lane {
    /// What it shows.
    pub name: String,
    /// What holds where no bar is.
    pub rest: Tone,
    /// A lane that the eye should find first: taller, and each [`Tone::Bad`] bar says its length.
    pub main: bool,
    /// The states, in order of time.
    pub bars: Vec<Bar>,
}

/// A state for a while.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bar {
    /// From when.
    pub from: At,
    /// Until when.
    pub to: At,
    /// In a word or two; shown where there is room, and when the mouse rests on it.
    pub what: String,
    /// Its colour.
    pub tone: Tone,
}

/// A colour by its meaning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tone {
    /// The first node owns, serves or answers.
    First,
    /// The second node does.
    Second,
    /// As it should be.
    Good,
    /// Nothing to tell: a standby's role, a lane at rest.
    Faint,
    /// On its way from one state to another.
    Passing,
    /// Broken: clients are not served, nothing is heard, the gateway is out of reach.
    Bad,
    /// There is nothing that could tell: the machine is off, the daemon is gone or hangs.
    Off,
}

impl Tone {
    /// A node's own colour: 0 is the first.
    pub fn of_node(node: usize) -> Tone {
        if node == 0 { Tone::First } else { Tone::Second }
    }
}

impl Lane {
    /// Shows `what` in [`Tone::Off`] while `down` lasts, instead of whatever was recorded then: who is not there hears nothing, and that is no news.
    pub fn without(mut self, down: &[Bar]) -> Lane {
        for off in down {
            let mut left = Vec::with_capacity(self.bars.len() + 1);
            for bar in self.bars.drain(..) {
                if bar.to <= off.from || bar.from >= off.to {
                    left.push(bar);
                    continue;
                }
                if bar.from < off.from {
                    left.push(Bar { to: off.from, ..bar.clone() });
                }
                if bar.to > off.to {
                    left.push(Bar { from: off.to, ..bar });
                }
            }
            left.push(Bar { what: off.what.clone(), tone: Tone::Off, ..*off });
            self.bars = left;
        }
        self.bars.sort_by_key(|bar| bar.from);
        self
    }
}

/// A length of time in few characters, as a person says it: `850 us`, `12 ms`, `2.1 s`, `3 min 20 s`.
pub fn words(length: Duration) -> String {
    let us = length.as_micros();
    match us {
        0..1_000 => format!("{us} us"),
        1_000..10_000 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        10_000..1_000_000 => format!("{} ms", us / 1_000),
        1_000_000..120_000_000 => format!("{}.{} s", us / 1_000_000, us % 1_000_000 / 100_000),
        120_000_000..7_200_000_000 => format!("{} min {} s", us / 60_000_000, us % 60_000_000 / 1_000_000),
        _ => format!("{} h {} min", us / 3_600_000_000, us % 3_600_000_000 / 60_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(from: u64, to: u64, tone: Tone) -> Bar {
        Bar { from: Duration::from_secs(from), to: Duration::from_secs(to), what: String::new(), tone }
    }

    #[test]
    fn what_is_down_hides_what_it_cannot_know() {
        let lane =
            Lane { name: String::new(), rest: Tone::Good, main: false, bars: vec![bar(1, 5, Tone::Bad), bar(7, 9, Tone::Bad)] };
        let shown = lane.without(&[bar(2, 3, Tone::Off), bar(8, 12, Tone::Off)]);
        let expected =
            [bar(1, 2, Tone::Bad), bar(2, 3, Tone::Off), bar(3, 5, Tone::Bad), bar(7, 8, Tone::Bad), bar(8, 12, Tone::Off)];
        assert_eq!(shown.bars, expected);
    }

    #[test]
    fn lengths_read_as_a_person_says_them() {
        for (us, says) in [
            (850, "850 us"),
            (3_210, "3.2 ms"),
            (45_000, "45 ms"),
            (2_120_000, "2.1 s"),
            (200_000_000, "3 min 20 s"),
            (28_740_000_000, "7 h 59 min"),
        ] {
            assert_eq!(words(Duration::from_micros(us)), says);
        }
    }
}
