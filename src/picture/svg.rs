//! Swim lanes as SVG: one file, no script, no font and no picture from elsewhere, so that it also stands inside an HTML report.

use std::fmt::Write;

use super::axis::Axis;
use super::{At, Bar, Lane, Mark, MarkKind, Picture, Section, Tone, words};

const LEFT: f64 = 178.0;
const WIDTH: f64 = 1000.0;
const RIGHT: f64 = 34.0;
const ROW: f64 = 20.0;
/// A main lane without what stands under it.
const MAIN_ROW: f64 = 32.0;
/// A row of lengths under a main lane, and the most of them.
const LENGTH: f64 = 12.0;
const MOST_LENGTHS: usize = 5;
const FLAG: f64 = 16.0;
/// A character's width at the size of flags and bars, on the safe side.
const CHAR: f64 = 6.1;
/// More rows of flags than this, and they carry numbers, with the words below the lanes.
const MOST_FLAGS: usize = 9;

/// Marks nearer than this share a number, where numbers would still need too many rows without.
const NEAR: [f64; 5] = [0.0, 2.0, 5.0, 10.0, 18.0];
/// Letters that stay readable on whatever lies under them.
const HALO: &str = "paint-order=\"stroke\" stroke=\"white\" stroke-width=\"4\"";

const INK: &str = "#1a202c";
const SOFT: &str = "#4a5568";

/// Draws it.
pub fn draw(picture: &Picture) -> String {
    let mut sheet = Sheet { axis: Axis::of(picture), y: 0.0, body: String::new(), above: String::new() };
    sheet.head(picture);
    sheet.legend(picture);
    let flags = Flags::place(&sheet, &picture.marks);
    let first_flag = sheet.y + 6.0;
    sheet.y = first_flag + flags.rows as f64 * FLAG + 4.0;
    sheet.axis_labels(true);
    let top = sheet.y;
    // The grid lies under the lanes, the marks' lines above them: so the lanes are drawn aside first.
    let outer = std::mem::take(&mut sheet.body);
    for section in &picture.sections {
        sheet.section(section);
    }
    let bottom = sheet.y + 6.0;
    let lanes = std::mem::replace(&mut sheet.body, outer);
    sheet.grid(top, bottom);
    sheet.body.push_str(&lanes);
    sheet.cuts(top, bottom);
    sheet.flags(&picture.marks, &flags, first_flag, top, bottom);
    sheet.y = bottom;
    sheet.axis_labels(false);
    if flags.numbered {
        sheet.list(&picture.marks);
    }
    let (width, height) = (LEFT + WIDTH + RIGHT, sheet.y + 14.0);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height:.0}\" width=\"{width}\" height=\"{height:.0}\" \
         font-family=\"DejaVu Sans, Verdana, sans-serif\" font-size=\"12\" fill=\"{INK}\">\n\
         <defs><pattern id=\"broken\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\
         <rect width=\"6\" height=\"6\" fill=\"#c53030\"/><rect width=\"2\" height=\"6\" fill=\"#e57373\"/></pattern></defs>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{}</svg>\n",
        sheet.body + &sheet.above
    )
}

struct Sheet {
    axis: Axis,
    /// How far down it is drawn.
    y: f64,
    body: String,
    /// What stands above everything else.
    above: String,
}

/// Where the marks' words stand.
struct Flags {
    all: Vec<Flag>,
    rows: usize,
    /// Too many words: numbers, of neighbours together.
    numbered: bool,
}

#[derive(PartialEq, Debug)]
struct Flag {
    /// The marks that it stands for.
    first: usize,
    last: usize,
    text: String,
    /// Counted from the lanes upwards.
    row: usize,
    /// The words stand left of their mark.
    left: bool,
}

impl Sheet {
    fn x(&self, at: At) -> f64 {
        LEFT + WIDTH * self.axis.place(at)
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        let _ = self.body.write_fmt(text);
        self.body.push('\n');
    }

    /// Title, story, how it went.
    fn head(&mut self, picture: &Picture) {
        self.put(format_args!("<text x=\"12\" y=\"28\" font-size=\"19\" font-weight=\"bold\">{}</text>", escape(&picture.title)));
        self.y = 34.0;
        for line in wrap(&picture.about, 165) {
            self.y += 17.0;
            let y = self.y;
            self.put(format_args!("<text x=\"12\" y=\"{y}\" fill=\"{SOFT}\">{}</text>", escape(&line)));
        }
        for verdict in &picture.verdict {
            let (sign, colour) = if verdict.good { ("\u{2713}", "#276749") } else { ("\u{2717}", "#c53030") };
            for (place, line) in wrap(&verdict.text, 150).iter().enumerate() {
                self.y += 18.0;
                let (y, sign) = (self.y, if place == 0 { sign } else { "\u{2003}" });
                self.put(format_args!(
                    "<text x=\"12\" y=\"{y}\" fill=\"{colour}\" font-weight=\"bold\">{sign} {}</text>",
                    escape(line)
                ));
            }
        }
        self.y += 12.0;
    }

    /// What the colours mean: only those that occur.
    fn legend(&mut self, picture: &Picture) {
        let used = |tone: Tone| {
            let lanes = || picture.sections.iter().flat_map(|section| &section.lanes);
            lanes().any(|lane| lane.rest == tone || lane.bars.iter().any(|bar| bar.tone == tone))
        };
        let of_node = |node: usize| format!("{} owns and serves", picture.nodes[node]);
        let entries = [
            (Tone::First, of_node(0)),
            (Tone::Second, of_node(1)),
            (Tone::Passing, "on its way".to_string()),
            (Tone::Good, "fine".to_string()),
            (Tone::Bad, "broken: not served, not heard, not reached".to_string()),
            (Tone::Off, "not there: off, dead, hanging".to_string()),
        ];
        let (mut x, y) = (12.0, self.y);
        for (tone, text) in entries.iter().filter(|(tone, _)| used(*tone)) {
            self.put(format_args!("<rect x=\"{x:.0}\" y=\"{y}\" width=\"22\" height=\"12\" rx=\"2\" fill=\"{}\"/>", fill(*tone)));
            let after = x + 27.0;
            self.put(format_args!(
                "<text x=\"{after:.0}\" y=\"{}\" font-size=\"11\" fill=\"{SOFT}\">{}</text>",
                y + 10.0,
                escape(text)
            ));
            x = after + 7.0 * text.chars().count() as f64 + 18.0;
        }
        self.y += 18.0;
    }

    fn axis_labels(&mut self, cuts: bool) {
        self.y += 13.0;
        let y = self.y;
        let mut labels: Vec<(f64, String)> = self.axis.ticks(12.5).into_iter().map(|at| (self.x(at), clock(at))).collect();
        if cuts {
            let middle = |(from, to): (At, At)| {
                ((self.x(from) + self.x(to)) / 2.0, format!("\u{2026} {} \u{2026}", words(to.saturating_sub(from))))
            };
            labels.extend(self.axis.cuts().map(middle));
        }
        for (x, text) in labels {
            let _ = writeln!(
                self.above,
                "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\" font-size=\"11\" fill=\"{SOFT}\" {HALO}>{text}</text>"
            );
        }
        self.y += 11.0;
    }

    fn grid(&mut self, top: f64, bottom: f64) {
        for tick in self.axis.ticks(12.5) {
            let x = self.x(tick);
            self.put(format_args!("<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top}\" y2=\"{bottom}\" stroke=\"#cbd5e0\"/>"));
        }
    }

    /// Time in which nothing happens and which was cut short: paler, between two torn edges.
    fn cuts(&mut self, top: f64, bottom: f64) {
        let cuts: Vec<(f64, f64)> = self.axis.cuts().map(|(from, to)| (self.x(from), self.x(to))).collect();
        for (from, to) in cuts {
            let (from, wide) = (from + 4.0, to - from - 8.0);
            self.put(format_args!(
                "<rect x=\"{from:.1}\" y=\"{top}\" width=\"{wide:.1}\" height=\"{:.1}\" fill=\"white\" fill-opacity=\"0.6\"/>",
                bottom - top
            ));
            for edge in [from, from + wide] {
                let _ = write!(self.body, "<path fill=\"none\" stroke=\"white\" stroke-width=\"3\" d=\"M{edge:.1} {top}");
                let steps = ((bottom - top) / 6.0) as usize;
                (0..steps).for_each(|n| self.body.push_str(if n % 2 == 0 { " l4 6" } else { " l-4 6" }));
                self.body.push_str("\"/>\n");
            }
        }
    }

    fn section(&mut self, section: &Section) {
        self.y += 6.0;
        let (y, colour) = (self.y + 14.0, heading(section.tone));
        self.put(format_args!(
            "<text x=\"12\" y=\"{y}\" font-size=\"13\" font-weight=\"bold\" fill=\"{colour}\">{}</text>",
            escape(&section.heading)
        ));
        // A main lane stands beside the heading, the others under it.
        if !section.lanes.first().is_some_and(|lane| lane.main) {
            self.y += 20.0;
        }
        section.lanes.iter().for_each(|lane| self.lane(lane));
    }

    fn lane(&mut self, lane: &Lane) {
        let (top, height) = if lane.main { (self.y + 2.0, 22.0) } else { (self.y + 3.0, 14.0) };
        let base = top + height / 2.0 + 4.0;
        if !lane.name.is_empty() {
            self.put(format_args!(
                "<text x=\"{}\" y=\"{base}\" text-anchor=\"end\" font-size=\"11\">{}</text>",
                LEFT - 8.0,
                escape(&lane.name)
            ));
        }
        self.put(format_args!(
            "<rect x=\"{LEFT}\" y=\"{top}\" width=\"{WIDTH}\" height=\"{height}\" rx=\"2\" fill=\"{}\"/>",
            fill(lane.rest)
        ));
        // In each row under the lane: from where on there is room.
        let mut free: Vec<f64> = Vec::new();
        for bar in &lane.bars {
            self.bar(bar, top, height, base);
            if lane.main && bar.tone == Tone::Bad {
                self.length(bar, top + height + LENGTH, &mut free);
            }
        }
        self.y += if lane.main { MAIN_ROW + LENGTH * free.len().max(1) as f64 } else { ROW };
    }

    fn bar(&mut self, bar: &Bar, top: f64, height: f64, base: f64) {
        let (x, end) = (self.x(bar.from), self.x(bar.to));
        // However short: it must be seen.
        let wide = (end - x).max(2.0);
        let title = format!(
            "{}: {:.6} s to {:.6} s ({})",
            bar.what,
            bar.from.as_secs_f64(),
            bar.to.as_secs_f64(),
            words(bar.to.saturating_sub(bar.from))
        );
        self.put(format_args!(
            "<rect x=\"{x:.1}\" y=\"{top}\" width=\"{wide:.1}\" height=\"{height}\" rx=\"{}\" fill=\"{}\"><title>{}</title></rect>",
            if wide > 6.0 { 2 } else { 0 },
            fill(bar.tone),
            escape(&title)
        ));
        if !bar.what.is_empty() && wide > CHAR * bar.what.chars().count() as f64 + 8.0 {
            let ink = if matches!(bar.tone, Tone::Good | Tone::Faint) { SOFT } else { "white" };
            let halo = if bar.tone == Tone::Bad { " paint-order=\"stroke\" stroke=\"#9b2c2c\" stroke-width=\"2.5\"" } else { "" };
            self.put(format_args!(
                "<text x=\"{:.1}\" y=\"{base}\" fill=\"{ink}\"{halo} font-size=\"10\">{}</text>",
                x + 5.0,
                escape(&bar.what)
            ));
        }
    }

    /// Under a broken bar how long it was, in the first row with room; where many stand close together, without words.
    fn length(&mut self, bar: &Bar, y: f64, free: &mut Vec<f64>) {
        let middle = (self.x(bar.from) + self.x(bar.to)) / 2.0;
        let length = words(bar.to.saturating_sub(bar.from));
        let texts = [(format!("{} {length}", bar.what), MOST_LENGTHS / 2), (length, MOST_LENGTHS)];
        for (text, most) in texts {
            let wide = CHAR * text.chars().count() as f64;
            let x = (middle - wide / 2.0).clamp(LEFT, LEFT + WIDTH - wide);
            let row = free.iter().position(|free| x >= *free).unwrap_or(free.len());
            if row >= most {
                continue;
            }
            if row == free.len() {
                free.push(LEFT);
            }
            free[row] = x + wide + 8.0;
            let y = y + row as f64 * LENGTH;
            let _ = writeln!(
                self.above,
                "<text x=\"{x:.1}\" y=\"{y}\" fill=\"#c53030\" font-size=\"10\" font-weight=\"bold\" {HALO}>{}</text>",
                escape(&text)
            );
            return;
        }
    }

    fn flags(&mut self, marks: &[Mark], flags: &Flags, first: f64, top: f64, bottom: f64) {
        for flag in &flags.all {
            let Some(mark) = marks.get(flag.first) else { continue };
            let (x, colour) = (self.x(mark.at), ink(mark.kind));
            let y = first + (flags.rows - flag.row) as f64 * FLAG - 4.0;
            self.put(format_args!(
                "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{top}\" stroke=\"{colour}\" stroke-opacity=\"0.75\" stroke-dasharray=\"3 3\"/>",
                y - 9.0
            ));
            let (at, anchor) = if flag.left { (x - 4.0, "end") } else { (x + 4.0, "start") };
            let _ = writeln!(
                self.above,
                "<text x=\"{at:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"11\" fill=\"{colour}\" {HALO}>{}<title>{:.3} s: {}</title></text>",
                escape(&flag.text),
                mark.at.as_secs_f64(),
                escape(&mark.text)
            );
            // Many at once must not hide the lanes behind them.
            let strength = if flag.last - flag.first > 2 { 0.3 } else { 0.75 };
            for mark in &marks[flag.first..=flag.last] {
                let (x, colour) = (self.x(mark.at), ink(mark.kind));
                self.put(format_args!(
                    "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top}\" y2=\"{bottom}\" stroke=\"{colour}\" stroke-opacity=\"{strength}\" stroke-dasharray=\"3 3\"/>"
                ));
                self.put(format_args!("<path d=\"M{:.1} {:.1} h8 l-4 6 z\" fill=\"{colour}\"/>", x - 4.0, top - 6.0));
            }
        }
    }

    /// The marks' words, in two columns.
    fn list(&mut self, marks: &[Mark]) {
        self.y += 10.0;
        let top = self.y;
        let rows = marks.len().div_ceil(2);
        for (place, mark) in marks.iter().enumerate() {
            let x = if place < rows { 12.0 } else { 12.0 + (LEFT + WIDTH) / 2.0 };
            let y = top + (place % rows.max(1) + 1) as f64 * 16.0;
            let text = format!("{}.  {:.3} s  {}", place + 1, mark.at.as_secs_f64(), mark.text);
            let colour = ink(mark.kind);
            self.put(format_args!("<text x=\"{x}\" y=\"{y}\" font-size=\"11\" fill=\"{colour}\">{}</text>", escape(&text)));
        }
        self.y = top + rows as f64 * 16.0 + 4.0;
    }
}

impl Flags {
    fn place(sheet: &Sheet, marks: &[Mark]) -> Flags {
        let words = marks.iter().enumerate().map(|(n, mark)| (n, n, mark.text.clone()));
        let flags = Flags::stack(sheet, marks, words.collect());
        if flags.rows <= MOST_FLAGS {
            return flags;
        }
        let mut flags = flags;
        for near in NEAR {
            flags = Flags { numbered: true, ..Flags::stack(sheet, marks, Flags::numbers(sheet, marks, near)) };
            if flags.rows <= MOST_FLAGS {
                break;
            }
        }
        flags
    }

    /// A number for each mark, or for those together that stand nearer than this.
    fn numbers(sheet: &Sheet, marks: &[Mark], near: f64) -> Vec<(usize, usize, String)> {
        let mut together: Vec<(usize, usize)> = Vec::new();
        for (n, mark) in marks.iter().enumerate() {
            match together.last_mut() {
                Some((_, last)) if sheet.x(mark.at) - sheet.x(marks[*last].at) < near => *last = n,
                _ => together.push((n, n)),
            }
        }
        let text = |(first, last): (usize, usize)| match last - first {
            0 => format!("{}", first + 1),
            _ => format!("{} to {}", first + 1, last + 1),
        };
        together.into_iter().map(|range| (range.0, range.1, text(range))).collect()
    }

    /// Above each other where they would not fit beside each other.
    fn stack(sheet: &Sheet, marks: &[Mark], texts: Vec<(usize, usize, String)>) -> Flags {
        let mut flags = Flags { all: Vec::new(), rows: 0, numbered: false };
        let mut taken: Vec<Vec<(f64, f64)>> = Vec::new();
        for (first, last, text) in texts {
            let x = sheet.x(marks[first].at);
            let wide = CHAR * 1.1 * text.chars().count() as f64 + 10.0;
            let left = x + wide > LEFT + WIDTH + RIGHT;
            let (from, to) = if left { (x - wide, x) } else { (x, x + wide) };
            let fits = |row: &Vec<(f64, f64)>| row.iter().all(|(f, t)| to <= *f || from >= *t);
            let row = taken.iter().position(fits).unwrap_or(taken.len());
            if row == taken.len() {
                taken.push(Vec::new());
            }
            taken[row].push((from, to));
            flags.all.push(Flag { first, last, text, row, left });
        }
        flags.rows = taken.len();
        flags
    }
}

/// A time of the axis: seconds, or from ten minutes on as on a clock.
fn clock(at: At) -> String {
    let ms = (at.as_secs_f64() * 1000.0).round() as u64;
    let (s, part) = (ms / 1000, ms % 1000);
    match (s, part) {
        (600.., _) => format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60),
        (_, 0) => format!("{s} s"),
        _ => format!("{} s", ms as f64 / 1000.0),
    }
}

fn fill(tone: Tone) -> &'static str {
    match tone {
        Tone::First => "#2b6cb0",
        Tone::Second => "#c05621",
        Tone::Good => "#c6f0d0",
        Tone::Faint => "#edf2f7",
        Tone::Passing => "#d69e2e",
        Tone::Bad => "url(#broken)",
        Tone::Off => "#718096",
    }
}

fn heading(tone: Tone) -> &'static str {
    match tone {
        Tone::First | Tone::Second => fill(tone),
        _ => INK,
    }
}

fn ink(kind: MarkKind) -> &'static str {
    match kind {
        MarkKind::Fault => "#c53030",
        MarkKind::Repair => "#276749",
        MarkKind::Command => "#44337a",
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Lines of at most `most` characters, broken between words.
fn wrap(text: &str, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= most => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_string()),
        }
    }
    lines
}

#[cfg(test)]
#[path = "svg_tests.rs"]
mod tests;
