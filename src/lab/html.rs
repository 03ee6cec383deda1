//! The report: one HTML file with a table and swim lanes, readable in a browser without a network.

use std::fmt::Write as _;
use std::time::Duration;

use super::judge::Judgement;
use super::lab::BOTH;
use super::pair::Pair;
use twinbeat_picture::{self as picture, Picture};

/// Lines under a heading.
#[derive(Clone, Debug)]
pub struct Detail {
    /// The heading.
    pub heading: String,
    /// The lines; without any it is left out.
    pub lines: Vec<String>,
    /// Lines of a log, shown on demand and as they are.
    pub log: bool,
}

impl Detail {
    /// A list.
    pub fn new(heading: &str, lines: Vec<String>) -> Detail {
        Detail { heading: heading.to_owned(), lines, log: false }
    }
}

/// One run in the report.
#[derive(Clone, Debug)]
pub struct Chapter {
    /// The fault's or the scenario's name.
    pub name: String,
    /// `passed`, `failed`, or `not on the real kernel`.
    pub result: Passed,
    /// The table's cells: gap, lost, page gap, moves, two owners.
    pub figures: Vec<String>,
    /// Tables and lines below the picture: heading and rows.
    pub details: Vec<Detail>,
    /// The swim lanes; none where nothing was played.
    pub picture: Option<Picture>,
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Passed {
    /// As it should be.
    Yes,
    /// Not so.
    No,
    /// A step only exists in virtual time: it was not played, and does not count as passed.
    NotHere,
}

impl Passed {
    /// For a table.
    pub fn word(self) -> &'static str {
        match self {
            Passed::Yes => "PASS",
            Passed::No => "FAIL",
            Passed::NotHere => "NOT HERE",
        }
    }
}

/// The heads of the figures' columns.
pub const COLUMNS: [&str; 5] = ["gap", "lost", "page gap", "moves", "two owners"];

/// A report.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What was drilled: the recipe's pair, a configuration, scenarios.
    pub subject: String,
    /// Machine, versions, date.
    pub setting: Vec<String>,
    /// What was replaced or assumed.
    pub notes: Vec<String>,
    /// The runs.
    pub chapters: Vec<Chapter>,
}

/// The owners, real beside virtual, as lines.
pub fn courses(judgement: &Judgement, pair: &Pair) -> Vec<String> {
    let mut lines = Vec::new();
    for course in &judgement.courses {
        let most = course.real.len().max(course.virtual_time.len());
        for place in 0..most {
            let one = |history: &super::judge::History| {
                let found = history.get(place).map(|(at, node)| format!("{} at {:.2} s", pair.lab.name(*node), at.as_secs_f64()));
                found.unwrap_or_else(|| "nobody".to_owned())
            };
            lines.push(format!("{}: {}; in virtual time {}", course.name, one(&course.real), one(&course.virtual_time)));
        }
    }
    lines
}

/// The ends of the logs.
pub fn logs(pair: &Pair, lines: usize) -> [Detail; 2] {
    let tail = |node| pair.site.log_tail(node, lines).lines().map(str::to_owned).collect();
    BOTH.map(|node| Detail {
        heading: format!("log of {}, last {lines} lines", pair.lab.name(node)),
        lines: tail(node),
        log: true,
    })
}

impl Report {
    /// The file's text.
    pub fn html(&self) -> String {
        let mut body = format!("<h1>twinbeat drill</h1>\n<p class=\"subject\">{}</p>\n", escape(&self.subject));
        let _ = writeln!(
            body,
            "<p class=\"soft\">{}</p>",
            self.setting.iter().map(|s| escape(s)).collect::<Vec<_>>().join(" &middot; ")
        );
        let failed = self.chapters.iter().filter(|c| c.result != Passed::Yes).count();
        let (class, sum) = match failed {
            0 => (
                "good",
                if self.chapters.len() == 1 { "passed".to_owned() } else { format!("all {} passed", self.chapters.len()) },
            ),
            n => ("bad", format!("{n} of {} did not pass", self.chapters.len())),
        };
        let _ = writeln!(
            body,
            "<p class=\"sum {class}\">{sum}</p>\n<table>\n<tr><th>run</th><th>result</th>{}</tr>",
            cells("th", COLUMNS)
        );
        for (number, chapter) in self.chapters.iter().enumerate() {
            let class = if chapter.result == Passed::Yes { "good" } else { "bad" };
            let name = escape(&chapter.name);
            let word = chapter.result.word();
            let figures = cells("td", chapter.figures.iter().map(String::as_str));
            let _ =
                writeln!(body, "<tr><td><a href=\"#run{number}\">{name}</a></td><td class=\"{class}\">{word}</td>{figures}</tr>");
        }
        body.push_str("</table>\n");
        if !self.notes.is_empty() {
            body.push_str(&list("What of the configuration was replaced, left out or chosen for the lab", &self.notes, false));
        }
        body.push_str(LEGEND);
        for (number, chapter) in self.chapters.iter().enumerate() {
            let _ = writeln!(body, "<section id=\"run{number}\">");
            match &chapter.picture {
                Some(picture) => body.push_str(&picture::svg::draw(picture)),
                None => {
                    let _ = writeln!(body, "<h2>{}</h2>", escape(&chapter.name));
                }
            }
            for Detail { heading, lines, log } in chapter.details.iter().filter(|detail| !detail.lines.is_empty()) {
                body.push_str(&list(heading, lines, *log));
            }
            body.push_str("</section>\n");
        }
        format!(
            "{HEAD}<title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n",
            escape(&self.subject)
        )
    }
}

fn cells<'a>(tag: &str, texts: impl IntoIterator<Item = &'a str>) -> String {
    texts.into_iter().map(|text| format!("<{tag}>{}</{tag}>", escape(text))).collect()
}

fn list(heading: &str, lines: &[String], log: bool) -> String {
    let heading = escape(heading);
    if log {
        let text = lines.iter().map(|line| escape(line)).collect::<Vec<_>>().join("\n");
        return format!("<details><summary>{heading}</summary>\n<pre>{text}</pre></details>\n");
    }
    let items: String = lines.iter().map(|line| format!("<li>{}</li>\n", escape(line))).collect();
    format!("<details open><summary>{heading}</summary>\n<ul>\n{items}</ul></details>\n")
}

/// Milliseconds for people.
pub fn ms(time: Duration) -> String {
    match time.as_millis() {
        0 => "0".to_owned(),
        n if n < 10_000 => format!("{n} ms"),
        n => format!("{:.1} s", n as f64 / 1000.0),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
                    <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";
const STYLE: &str = "body{font:15px/1.45 'DejaVu Sans',Verdana,sans-serif;color:#1a202c;margin:24px auto;max-width:1240px;padding:0 14px}\
h1{font-size:24px;margin:0}.subject{font-size:17px;margin:4px 0}.soft{color:#4a5568;margin:4px 0;font-size:13px}\
.sum{font-weight:bold;font-size:17px}.good{color:#276749}.bad{color:#c53030}\
table{border-collapse:collapse;margin:10px 0 18px}th,td{text-align:right;padding:5px 14px;border-bottom:1px solid #e2e8f0}\
th{color:#4a5568;font-weight:normal}th:first-child,td:first-child{text-align:left}td:nth-child(2){font-weight:bold;text-align:left}\
th:nth-child(2){text-align:left}a{color:#2b6cb0}section{border-top:2px solid #e2e8f0;margin-top:26px;padding-top:8px}\
svg{max-width:100%;height:auto}details{margin:6px 0 6px 12px;font-size:13px}summary{cursor:pointer;font-weight:bold}\
ul{margin:4px 0 4px 20px;padding:0}pre{overflow-x:auto;background:#f7fafc;padding:8px;font-size:12px}";
const LEGEND: &str = "<p class=\"soft\">gap: the longest silence for a client behind the gateway; lost: all silences together; page gap: the same for a page \
fetched ten times a second; two owners: how long both nodes provably answered, each asked by itself from the LAN.</p>\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_needs_nothing_from_elsewhere_and_shows_what_did_not_pass() {
        let chapter = Chapter {
            name: "a <b>".into(),
            result: Passed::NotHere,
            figures: vec!["-".into(); COLUMNS.len()],
            details: vec![Detail::new("why", vec!["pause & unpause".into()])],
            picture: Some(Picture { length: Duration::from_secs(1), ..Picture::default() }),
        };
        let report = Report { subject: "s".into(), chapters: vec![chapter], ..Report::default() };
        let html = report.html();
        assert!(html.contains("1 of 1 did not pass") && html.contains("NOT HERE") && html.contains("a &lt;b&gt;"));
        assert!(html.contains("pause &amp; unpause") && html.contains("<svg"));
        let without_names = html.replace("http://www.w3.org/2000/svg", "");
        for foreign in ["http:", "https:", "<script", "@import", "url(http"] {
            assert!(!without_names.contains(foreign), "{foreign}");
        }
    }
}
