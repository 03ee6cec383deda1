//! The screen, as a pure function of what is known into a buffer of any size.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use twinbeat_core::words::PeerState;
use twinbeat_journal::lanes::{Lane, Of};
use twinbeat_say::Stamp;

use super::super::render::{
    Cell, Good, Paint, Row, ago, details, link_row, next, readiness, serving, untold, witness_rows, words_of,
};
use super::cells::Axis;
use super::look::Look;
use super::state::{State, ZOOMS};

/// Draws all of it. What has no room is left out: news first, then what stands lowest.
pub fn draw(state: &State, look: Look, area: Rect, buffer: &mut Buffer) {
    let mut sheet = Sheet { state, look, area, buffer, y: area.y };
    let keys = area.bottom().saturating_sub(1);
    sheet.title();
    sheet.trouble();
    sheet.groups(keys);
    sheet.lanes(keys);
    sheet.words(keys);
    sheet.news(keys);
    sheet.y = keys;
    sheet.keys();
    if !look.blocks {
        for cell in buffer.content.iter_mut().filter(|cell| !cell.symbol().is_ascii()) {
            cell.set_symbol(if cell.symbol() == "…" { "." } else { "?" });
        }
    }
}

struct Sheet<'a> {
    state: &'a State,
    look: Look,
    area: Rect,
    buffer: &'a mut Buffer,
    y: u16,
}

/// The columns of the lanes' part.
struct Columns {
    name: u16,
    lane: u16,
    here: u16,
    there: u16,
}

impl Sheet<'_> {
    fn put(&mut self, spans: Vec<Span<'_>>) {
        if self.y < self.area.bottom() {
            self.buffer.set_line(self.area.x, self.y, &Line::from(spans), self.area.width);
        }
        self.y = self.y.saturating_add(1);
    }

    /// A label and its text, in further lines where it is long and there is room.
    fn labelled(&mut self, label: &str, text: &str, good: Good, end: u16) {
        let width = usize::from(self.area.width).saturating_sub(LABEL + 1).max(10);
        for (n, line) in wrapped(text, width).into_iter().take(3).enumerate() {
            if self.y >= end {
                return;
            }
            let label = if n == 0 { label } else { "" };
            self.put(vec![Span::styled(format!("{label:<LABEL$} "), self.look.soft()), Span::styled(line, self.look.good(good))]);
        }
    }

    fn title(&mut self) {
        let state = self.state;
        let left = match &state.view {
            Some(view) => format!("twinbeat  cluster {}, as {} sees it", view.cluster, view.node),
            None => "twinbeat".to_owned(),
        };
        let clock = match state.frozen {
            Some(at) => format!("FROZEN at {}Z ", time(at)),
            None => format!("{}Z ", time(state.now)),
        };
        let width = usize::from(self.area.width);
        let room = width.saturating_sub(clock.chars().count() + 1);
        let left = cut(&left, room);
        self.put(vec![Span::styled(format!("{left:<room$} {clock}"), self.look.bar())]);
    }

    fn trouble(&mut self) {
        let Some((since, why)) = &self.state.trouble else {
            if self.state.view.is_none() {
                self.put(vec![Span::raw("asking the daemon …")]);
            }
            return;
        };
        let first = why.lines().next().unwrap_or_default();
        let text = format!("NO ANSWER since {}Z: {first}", time(*since));
        for line in wrapped(&text, usize::from(self.area.width)).into_iter().take(3) {
            self.put(vec![Span::styled(line, self.look.good(Good::No))]);
        }
        if self.state.view.is_some() {
            let old = format!("what stands below was so at {}Z", time(self.state.seen));
            self.put(vec![Span::styled(old, self.look.good(Good::Odd))]);
        } else {
            let more: Vec<String> = why.lines().skip(1).map(|line| line.trim().to_owned()).collect();
            more.into_iter().for_each(|line| self.put(vec![Span::raw(line)]));
        }
    }

    fn groups(&mut self, keys: u16) {
        let Some(view) = &self.state.view else { return };
        let seen = self.state.seen;
        let clock = |ms: u64| match seen.saturating_sub(ms) {
            then if ms < 43_200_000 => format!("{}Z", time(then)),
            then => Stamp::of_nanos(then.saturating_mul(1_000_000)).to_string().get(..10).unwrap_or_default().to_owned(),
        };
        for group in &view.groups {
            if self.y >= keys {
                return;
            }
            let (serves, ready) = (serving(group, &clock), readiness(group));
            let name = Span::styled(format!("{} ", pad(&group.name, LABEL)), self.look.strong());
            let (serves, gap) = (self.cell(&serves), Span::raw("   "));
            let used = name.width() + serves.width() + gap.width();
            if used + ready.text.chars().count() <= usize::from(self.area.width) {
                let ready = self.cell(&ready);
                self.put(vec![name, serves, gap, ready]);
            } else {
                self.put(vec![name, serves]);
                self.labelled("", &ready.text, ready.good, keys);
            }
            self.labelled("", &details(group, Paint::Plain), Good::Unknown, keys);
            for reason in group.takeover_ready.reasons.iter().skip(1) {
                self.labelled("", &format!("also {}", reason.text), Good::Odd, keys);
            }
            for (label, text, good) in words_of(view, group) {
                self.labelled(label, &text, good, keys);
            }
        }
    }

    /// The lanes, with what each is now beside it.
    fn lanes(&mut self, keys: u16) {
        let state = self.state;
        let rows: Vec<Row> = match &state.view {
            Some(view) => {
                view.links.iter().map(|link| link_row(view, link)).chain(witness_rows(view).into_iter().take(1)).collect()
            }
            None => Vec::new(),
        };
        let columns = self.columns(&rows);
        if columns.lane < 10 || self.y.saturating_add(4) > keys {
            return;
        }
        // The axis ends at the newest answer, so that no cell is empty only because the next one is not there yet.
        let end = if state.trouble.is_none() && state.seen > 0 { state.seen } else { state.now };
        let axis = Axis::new(end, ZOOMS[state.zoom].0, columns.lane);
        if self.y.saturating_add(2 + u16::try_from(state.lanes.0.len()).unwrap_or(u16::MAX)) < keys {
            self.y += 1;
        }
        self.head(&axis, &columns);
        for lane in &state.lanes.0 {
            if self.y.saturating_add(1) >= keys {
                break;
            }
            let row = rows.iter().find(|row| matches!(lane.of, Of::Link | Of::Witness) && row.label == lane.name);
            self.lane(lane, row, &axis, &columns);
        }
        let y = self.y;
        let left = self.area.x + columns.name + 1;
        for (cell, text) in axis.ticks() {
            let wide = u16::try_from(text.chars().count()).unwrap_or(0);
            if cell.saturating_add(wide) < columns.lane.saturating_sub(4) {
                self.buffer.set_stringn(left + cell, y, text, usize::from(wide), self.look.soft());
            }
        }
        let end = if state.frozen.is_some() { "then" } else { "now" };
        self.buffer.set_stringn(left + columns.lane - end.len() as u16, y, end, end.len(), self.look.soft());
        self.y += 1;
    }

    fn columns(&self, rows: &[Row]) -> Columns {
        let width = |text: &str| u16::try_from(text.chars().count()).unwrap_or(u16::MAX);
        let lanes = self.state.lanes.0.iter().map(|lane| width(&lane.name));
        let name = lanes.max().unwrap_or(0).clamp(LABEL as u16, 16);
        let nodes = self.state.view.as_ref().map(|view| (width(&view.node), width(&view.peer))).unwrap_or_default();
        let here = rows.iter().map(|row| width(&row.here.text)).max().unwrap_or(0).max(nodes.0);
        let there = rows.iter().map(|row| width(&row.there.text)).max().unwrap_or(0).max(nodes.1);
        let most = self.area.width / 4;
        let (here, there) = (here.min(most), there.min(most));
        let used = name + here + there + 4;
        if self.area.width < 60 {
            return Columns { name, lane: self.area.width.saturating_sub(name + 1), here: 0, there: 0 };
        }
        Columns { name, lane: self.area.width.saturating_sub(used), here, there }
    }

    /// The words above the lanes: how much time it is, marks where something was decided, whose columns these are.
    fn head(&mut self, axis: &Axis, columns: &Columns) {
        let (y, left) = (self.y, self.area.x + columns.name + 1);
        let (_, words) = ZOOMS[self.state.zoom];
        self.buffer.set_stringn(self.area.x, y, words, usize::from(columns.name), self.look.soft());
        for news in self.state.news.iter().filter(|news| news.marked) {
            if let Some(cell) = axis.cell(news.at) {
                self.buffer.set_stringn(left + cell, y, self.look.mark(), 1, self.look.tone(news.tone));
            }
        }
        if let Some(view) = self.state.view.as_ref().filter(|_| columns.here > 0) {
            let right = left + columns.lane;
            let (here, there) = (usize::from(columns.here), usize::from(columns.there));
            self.buffer.set_stringn(right + 1, y, cut(&view.node, here), here, self.look.soft());
            self.buffer.set_stringn(right + columns.here + 3, y, cut(&view.peer, there), there, self.look.soft());
        }
        self.y += 1;
    }

    fn lane(&mut self, lane: &Lane, row: Option<&Row>, axis: &Axis, columns: &Columns) {
        let (y, left) = (self.y, self.area.x + columns.name + 1);
        self.buffer.set_stringn(
            self.area.x,
            y,
            cut(&lane.name, usize::from(columns.name)),
            usize::from(columns.name),
            self.look.strong(),
        );
        let cells = axis.cells(lane);
        for (x, cell) in (left..).zip(&cells) {
            if let Some(cell) = cell {
                self.buffer.set_stringn(x, y, self.look.glyph(lane.of, cell.tone), 1, self.look.tone(cell.tone));
            }
        }
        if lane.of == Of::Group {
            self.names(&cells, left, y);
        }
        let Some(row) = row.filter(|_| columns.here > 0) else {
            self.y += 1;
            return;
        };
        let right = left + columns.lane;
        let (here, there) = (cut(&row.here.text, usize::from(columns.here)), cut(&row.there.text, usize::from(columns.there)));
        self.buffer.set_stringn(right + 1, y, here, usize::from(columns.here), self.look.good(row.here.good));
        self.buffer.set_stringn(right + columns.here + 3, y, there, usize::from(columns.there), self.look.good(row.there.good));
        self.y += 1;
    }

    /// Who served, within the bar where it is long enough.
    fn names(&mut self, cells: &[Option<super::cells::Cell<'_>>], left: u16, y: u16) {
        let mut from = 0;
        while from < cells.len() {
            let run = cells[from..].iter().take_while(|cell| **cell == cells[from]).count();
            if let Some(cell) = cells[from] {
                let wide = cell.is.chars().count() + 2;
                // Without colours the bar on both sides says whose it is.
                if wide + if self.look.colors { 0 } else { 2 } <= run {
                    let x = left + u16::try_from(from + (run - wide) / 2).unwrap_or(u16::MAX);
                    self.buffer.set_stringn(x, y, format!(" {} ", cell.is), wide, self.look.name(cell.tone));
                }
            }
            from += run;
        }
    }

    /// What is wrong and was not said above; what to do.
    fn words(&mut self, keys: u16) {
        let Some(view) = &self.state.view else { return };
        if self.y.saturating_add(3) < keys {
            self.y += 1;
        }
        if view.peer_state != PeerState::Heard {
            let heard =
                view.links.iter().filter_map(|link| link.heard_ms).min().map(|ms| format!(", last heard {} ago", ago(ms)));
            let text = format!("{} is {}{}", view.peer, view.peer_state.word().to_uppercase(), heard.unwrap_or_default());
            self.labelled("peer", &text, Good::No, keys);
        }
        if let Some(fencing) = &view.fencing {
            self.labelled("fencing", fencing, Good::Unknown, keys);
        }
        let untold: Vec<String> = untold(view).map(|problem| problem.text.clone()).collect();
        untold.iter().for_each(|problem| self.labelled("problem", problem, Good::No, keys));
        view.notices.iter().for_each(|notice| self.labelled("notice", notice, Good::Odd, keys));
        if self.state.trouble.is_none() {
            self.labelled("next", &next(view), Good::Unknown, keys);
        }
    }

    /// What happened, newest first.
    fn news(&mut self, keys: u16) {
        if self.y.saturating_add(2) > keys {
            return;
        }
        if self.y.saturating_add(4) < keys {
            self.y += 1;
        }
        let now = self.state.frozen.unwrap_or(self.state.now);
        let width = usize::from(self.area.width).saturating_sub(LABEL + 1).max(10);
        for news in self.state.news.iter().rev() {
            let old = now.saturating_sub(news.at) >= 43_200_000;
            let stamp = Stamp::of_nanos(news.at.saturating_mul(1_000_000)).to_string();
            let clock = if old { stamp.get(..10).unwrap_or_default().to_owned() } else { format!("{}Z", time(news.at)) };
            for (n, line) in wrapped(&news.text, width).into_iter().take(3).enumerate() {
                if self.y >= keys {
                    return;
                }
                let clock = if n == 0 { clock.as_str() } else { "" };
                self.put(vec![
                    Span::styled(format!("{clock:<LABEL$} "), self.look.soft()),
                    Span::styled(line, self.look.line(news.tone)),
                ]);
            }
        }
        if let Some(Err(why)) = &self.state.before
            && self.y < keys
        {
            self.labelled(
                "",
                &format!("what was before is not known: {}", why.lines().next().unwrap_or_default()),
                Good::Unknown,
                keys,
            );
        }
    }

    fn keys(&mut self) {
        let text = if self.area.width < 60 {
            "q leave  +/- time  p freeze".to_owned()
        } else {
            let words: Vec<&str> = ZOOMS.iter().map(|(_, words)| *words).collect();
            format!(
                "q leave   +/- or arrows: {}   p {}",
                words.join(", "),
                if self.state.frozen.is_some() { "go on" } else { "freeze" }
            )
        };
        self.put(vec![Span::styled(text, self.look.soft())]);
    }

    fn cell(&self, cell: &Cell) -> Span<'static> {
        Span::styled(cell.text.clone(), self.look.good(cell.good))
    }
}

fn time(ms: u64) -> String {
    Stamp::of_nanos(ms.saturating_mul(1_000_000)).time_of_day()
}

/// At most so many characters; what is missing is said by `…`.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).take(most).collect()
}

fn pad(text: &str, width: usize) -> String {
    format!("{:<width$}", cut(text, width.max(16)))
}

/// Lines of at most `most` characters: broken between things, which three spaces part, and within a thing that is too long between words.
fn wrapped(text: &str, most: usize) -> Vec<String> {
    let wide = |text: &str| text.chars().count();
    let mut lines = vec![String::new()];
    for thing in text.split("   ") {
        let (mut between, words) = match lines.last() {
            Some(line) if line.is_empty() => ("", thing),
            Some(line) if wide(line) + 3 + wide(thing) <= most => ("   ", thing),
            _ => {
                lines.push(String::new());
                ("", thing)
            }
        };
        for word in words.split_whitespace() {
            match lines.last_mut() {
                Some(line) if line.is_empty() => line.push_str(&cut(word, most)),
                Some(line) if wide(line) + wide(between) + wide(word) <= most => {
                    line.push_str(between);
                    line.push_str(word);
                }
                _ => lines.push(cut(word, most)),
            }
            between = " ";
        }
    }
    lines
}

/// The width of labels and times.
const LABEL: usize = 10;

#[cfg(test)]
#[path = "draw_tests.rs"]
mod tests;
