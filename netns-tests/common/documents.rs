//! The documents, and the commands that stand in them.

#![allow(dead_code, reason = "each test program uses its part of it")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Each page with its text.
pub fn documents() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let in_folder = |folder: &str| std::fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let all = ["README.md", "CONTRIBUTING.md", "SECURITY.md"].map(|name| root.join(name)).into_iter();
    let mut all: Vec<PathBuf> = all.chain(in_folder("docs")).chain(in_folder("dist")).filter(|path| path.is_file()).collect();
    all.sort();
    all.into_iter().filter_map(|path| Some((path.clone(), std::fs::read_to_string(path).ok()?))).collect()
}

/// What begins with `twinbeat` in a text: code within a line, and lines of blocks up to a comment or an explanation in the next column.
pub fn commands(text: &str) -> BTreeSet<String> {
    let spans = text.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).filter(|span| span.starts_with("twinbeat "));
    let lines = text.lines().map(str::trim).filter(|line| line.starts_with("twinbeat ") && !line.contains('`'));
    let short = |line: &str| {
        let end = ["  ", " #", " && ", " | ", "; ", " > ", " …"].into_iter().filter_map(|end| line.find(end)).min();
        line.get(..end.unwrap_or(line.len())).unwrap_or(line).trim().to_owned()
    };
    spans.chain(lines).map(short).collect()
}

/// What somebody is to type into a shell: each line of a block, and code within a line, that begins with one of these programs and has a word more.
pub fn shell(text: &str, programs: &[&str]) -> BTreeSet<String> {
    let (mut all, mut block) = (BTreeSet::new(), false);
    for line in text.lines() {
        if line.starts_with("```") {
            block = !block;
            continue;
        }
        let spans: Vec<&str> = if block {
            let end = ["  ", " #"].into_iter().filter_map(|end| line.find(end)).min();
            vec![line.get(..end.unwrap_or(line.len())).unwrap_or(line).trim()]
        } else {
            line.split('`').skip(1).step_by(2).collect()
        };
        let first = |span: &str| span.split_once(' ').map(|(first, _)| first.to_owned()).or(block.then(|| span.to_owned()));
        // A screen begins with the program's name alone.
        let typed = spans
            .into_iter()
            .filter(|span| *span != "twinbeat" && first(span).is_some_and(|one| programs.contains(&one.as_str())));
        all.extend(typed.map(str::to_owned));
    }
    all
}
