//! A run as swim lanes: what was done, who served the clients, and for each node its machine, role, gate, witness and links.

use std::fmt::Write;

use super::clock::Moment;
use super::record::Lane;
use super::script::{Outcome, Story};

const LEFT: f64 = 190.0;
const WIDTH: f64 = 1000.0;
const ROW: f64 = 22.0;
const BAR: f64 = 14.0;
const COLOURS: [&str; 2] = ["#2b6cb0", "#c05621"];

struct Sheet {
    end: f64,
    y: f64,
    body: String,
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

impl Sheet {
    fn x(&self, at: Moment) -> f64 {
        LEFT + WIDTH * (at.0 as f64 / self.end).clamp(0.0, 1.0)
    }

    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        let _ = self.body.write_fmt(text);
        self.body.push('\n');
    }

    fn heading(&mut self, text: &str, colour: &str) {
        self.y += 10.0;
        let y = self.y + 12.0;
        self.put(format_args!("<text x=\"12\" y=\"{y}\" font-weight=\"bold\" fill=\"{colour}\">{}</text>", escape(text)));
        self.y += 20.0;
    }

    fn lane(&mut self, name: &str, ground: &str, bars: &[(Moment, Moment, String, String)]) {
        let (y, bar) = (self.y, self.y + (ROW - BAR) / 2.0);
        self.put(format_args!("<text x=\"24\" y=\"{}\">{}</text>", y + 15.0, escape(name)));
        self.put(format_args!("<rect x=\"{LEFT}\" y=\"{bar}\" width=\"{WIDTH}\" height=\"{BAR}\" fill=\"{ground}\"/>"));
        for (from, to, what, colour) in bars {
            let (x, end) = (self.x(*from), self.x(*to));
            let wide = (end - x).max(2.0);
            let title = format!("{what}: {} to {} s", from.to_string().trim(), to.to_string().trim());
            self.put(format_args!(
                "<rect x=\"{x:.1}\" y=\"{bar}\" width=\"{wide:.1}\" height=\"{BAR}\" fill=\"{colour}\"><title>{}</title></rect>",
                escape(&title)
            ));
            if wide > 7.0 * what.len() as f64 {
                self.put(format_args!(
                    "<text x=\"{:.1}\" y=\"{}\" fill=\"white\" font-size=\"10\">{}</text>",
                    x + 4.0,
                    y + 15.0,
                    escape(what)
                ));
            }
        }
        self.y += ROW;
    }
}

/// Draws a finished run.
pub fn draw(story: &Story, outcome: &Outcome) -> String {
    let record = &outcome.record;
    let end = record.ended().0.max(1);
    let mut sheet = Sheet { end: end as f64, y: 64.0, body: String::new() };
    let settings = &story.pair.settings[0];
    // The steps: numbered marks, the words below the picture.
    let marks = sheet.y;
    sheet.y += 22.0;
    let top = sheet.y;
    for (group, of) in settings.groups.iter().enumerate() {
        let changes = &record.clients[group];
        let ends = changes.iter().skip(1).map(|(at, _)| *at).chain([Moment(end)]);
        let bars: Vec<_> = changes
            .iter()
            .zip(ends)
            .filter_map(|((from, who), to)| {
                let node = (*who)?;
                Some((*from, to, format!("by {}", story.pair.node_name(node)), COLOURS[node].to_string()))
            })
            .collect();
        sheet.lane(&format!("clients of {} served", of.name), "#f4b4b4", &bars);
    }
    for (node, own) in COLOURS.iter().enumerate() {
        sheet.heading(story.pair.node_name(node), own);
        let stretches = |lane: Lane, colour: &dyn Fn(&str) -> String| -> Vec<_> {
            record.lane(lane).iter().map(|s| (s.from, s.to, s.what.to_string(), colour(s.what))).collect()
        };
        let grey = |_: &str| "#4a5568".to_string();
        let red = |_: &str| "#c53030".to_string();
        sheet.lane("machine and daemon", "#e2e8f0", &stretches(Lane::Machine(node), &grey));
        for (group, of) in settings.groups.iter().enumerate() {
            let role = |what: &str| match what {
                "owner" => own.to_string(),
                _ => "#d69e2e".to_string(),
            };
            sheet.lane(&format!("role in {}", of.name), "#e2e8f0", &stretches(Lane::Role(group, node), &role));
            let answers = |_: &str| "#2f855a".to_string();
            sheet.lane(&format!("kernel answers ({})", of.name), "#e2e8f0", &stretches(Lane::Answers(group, node), &answers));
        }
        sheet.lane("witness", "#c6f6d5", &stretches(Lane::Witness(node), &red));
        for (link, of) in settings.links.iter().enumerate() {
            sheet.lane(&format!("hears over {}", of.name), "#c6f6d5", &stretches(Lane::Link(link, node), &red));
        }
    }
    let bottom = sheet.y + 4.0;
    for tick in 0..=10_u64 {
        let at = Moment(end / 10 * tick);
        let (x, label) = (sheet.x(at), at.0 as f64 / 1e9);
        sheet.put(format_args!("<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top}\" y2=\"{bottom}\" stroke=\"#00000018\"/>"));
        sheet.put(format_args!("<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{label:.1}s</text>", bottom + 14.0));
    }
    sheet.y = bottom + 36.0;
    for (number, (at, text)) in (1..).zip(&record.marks) {
        let x = sheet.x(*at);
        sheet.put(format_args!(
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{}\" y2=\"{bottom}\" stroke=\"#c53030\" stroke-dasharray=\"3 3\"/>",
            marks + 16.0
        ));
        // Marks close together take turns in height.
        let y = marks + if number % 2 == 0 { 12.0 } else { 1.0 };
        sheet.put(format_args!("<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\" fill=\"#c53030\">{number}</text>"));
        let words = format!("{number}.  {} s  {text}", at.to_string().trim());
        let y = sheet.y;
        sheet.put(format_args!("<text x=\"24\" y=\"{y}\">{}</text>", escape(&words)));
        sheet.y += 17.0;
    }
    for wrong in outcome.failures.iter().chain(outcome.violations.iter().map(|v| &v.text)) {
        let y = sheet.y + 6.0;
        sheet.put(format_args!("<text x=\"24\" y=\"{y}\" fill=\"#c53030\" font-weight=\"bold\">{}</text>", escape(wrong)));
        sheet.y += 17.0;
    }
    let (width, height) = (LEFT + WIDTH + 40.0, sheet.y + 16.0);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"12\" y=\"24\" font-size=\"18\" font-weight=\"bold\">{}</text>\n<text x=\"12\" y=\"44\" fill=\"#4a5568\">{}</text>\n{}</svg>\n",
        escape(&story.scenario.title),
        escape(&story.scenario.about),
        sheet.body
    )
}
