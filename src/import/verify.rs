//! The file judged as any other one, by `twinbeat-config`: what is refused even where every gap is filled is told beside the file.

use std::net::IpAddr;
use std::path::Path;

use twinbeat_config::Config;

use crate::Import;
use crate::draft::Draft;
use crate::finding::{Finding, Findings, Kind};
use crate::write::{Line, MARK, lines, notes};

/// The draft as a file, with all that is to be said of it.
pub(crate) fn finish(mut draft: Draft) -> Import {
    draft.guards_first();
    let written = lines(&draft, false);
    let filled = lines(&draft, true);
    let refusals = refusals(&filled, &written);
    let gaps: Vec<Finding> = written.iter().enumerate().filter_map(|(n, line)| gap(n, line)).collect();
    let mut all = Findings::default();
    for finding in gaps.into_iter().chain(refusals).chain(draft.findings.0) {
        all.add(finding.kind, finding.place, finding.text);
    }
    let mut findings = all.0;
    findings.sort_by_key(|finding| finding.kind);
    Import {
        text: text(&written) + &notes(&findings),
        findings,
        #[cfg(test)]
        filled: text(&filled),
    }
}

fn text(lines: &[Line]) -> String {
    lines.iter().map(|line| format!("{}\n", line.text)).collect()
}

/// What a placeholder asks for.
fn gap(n: usize, line: &Line) -> Option<Finding> {
    // The name of a node is told where its table begins.
    let told = line.text.starts_with("[nodes.") && line.text.contains(".links]");
    if told || line.text.starts_with('#') || !line.text.contains(MARK) {
        return None;
    }
    let what = line.text.split("    # ").next().unwrap_or_default().trim().trim_end_matches(',');
    let why = if line.from.is_empty() { String::new() } else { format!(" ({})", line.from) };
    Some(Finding { kind: Kind::ByHand, place: None, text: format!("line {}: {what}{why}", n.saturating_add(1)) })
}

/// What twinbeat says of the file once its gaps are filled.
fn refusals(filled: &[Line], written: &[Line]) -> Vec<Finding> {
    let Err(error) = Config::load(Path::new("twinbeat.toml"), &text(filled)) else { return Vec::new() };
    let gaps = filled.iter().zip(written).filter(|(_, written)| written.text.contains(MARK));
    let strings = gaps.flat_map(|(line, _)| line.text.split('"').skip(1).step_by(2));
    let examples: Vec<&str> = strings.filter(|text| text.parse::<IpAddr>().is_ok()).collect();
    let mut all = Vec::new();
    for error in error.split() {
        let line = error.line.checked_sub(1).and_then(|n| written.get(n));
        let from = line.map(|line| line.from.as_str()).filter(|from| !from.is_empty());
        let from = from.map(|from| format!(" ({from})")).unwrap_or_default();
        let mut words = format!("line {}: {}", error.line, error.key);
        if !error.value.is_empty() {
            words = format!("{words} = {}", error.value);
        }
        // A known value can be judged by an example too: an address by the network of another one.
        let said = format!(" {} ", error.problem);
        let sample = line.is_some_and(|line| line.text.contains(MARK))
            || examples.iter().any(|example| said.contains(&format!(" {example}")));
        let sample = if sample { " [judged with an example where something is to be filled in]" } else { "" };
        all.push(Finding { kind: Kind::Refused, place: None, text: format!("{words}: {}{from}{sample}", error.problem) });
    }
    all
}
