//! How things look: with the sixteen colours that every terminal has, or with none; with block characters, or with ASCII alone.

use ratatui::style::{Color, Modifier, Style};

use twinbeat_journal::lanes::{Of, Tone};

use super::super::render::Good;

/// What the terminal can show.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Look {
    /// Colours.
    pub colors: bool,
    /// More characters than ASCII's.
    pub blocks: bool,
}

impl Look {
    /// By `NO_COLOR` (no-color.org: set and not empty) and the locale.
    pub fn of_environment() -> Look {
        let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default();
        let blocks = ["utf-8", "utf8"].iter().any(|word| locale.to_ascii_lowercase().ends_with(word));
        Look { colors: set("NO_COLOR").is_none(), blocks }
    }

    fn color(self, color: Color) -> Style {
        if self.colors { Style::new().fg(color) } else { Style::new() }
    }

    pub(super) fn soft(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub(super) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub(super) fn bar(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    pub(super) fn good(self, good: Good) -> Style {
        match good {
            Good::Yes => self.color(Color::Green),
            Good::Odd => self.color(Color::Yellow),
            Good::No => self.color(Color::Red).add_modifier(Modifier::BOLD),
            Good::Unknown => Style::new(),
        }
    }

    pub(super) fn tone(self, tone: Tone) -> Style {
        match tone {
            Tone::Good => self.color(Color::Green),
            Tone::First => self.color(Color::Cyan),
            Tone::Second => self.color(Color::Magenta),
            Tone::Odd => self.color(Color::Yellow),
            Tone::Bad => self.color(Color::Red).add_modifier(Modifier::BOLD),
        }
    }

    /// A line of news: what is as it should be has no colour.
    pub(super) fn line(self, tone: Tone) -> Style {
        if tone == Tone::Good { Style::new() } else { self.tone(tone) }
    }

    /// A name within a bar.
    pub(super) fn name(self, tone: Tone) -> Style {
        if self.colors { self.tone(tone).add_modifier(Modifier::REVERSED) } else { self.strong() }
    }

    pub(super) fn glyph(self, of: Of, tone: Tone) -> &'static str {
        let (block, ascii) = match (of, tone) {
            (_, Tone::First) => ("█", "#"),
            (_, Tone::Second) => ("▒", "="),
            (Of::Problems, Tone::Good) => ("·", "."),
            (Of::Problems, _) => ("▲", "^"),
            (_, Tone::Good) => ("─", "-"),
            (_, Tone::Odd) => ("~", "~"),
            (_, Tone::Bad) => ("x", "x"),
        };
        if self.blocks { block } else { ascii }
    }

    pub(super) fn mark(self) -> &'static str {
        if self.blocks { "▼" } else { "v" }
    }
}
