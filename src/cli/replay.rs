//! `twinbeat replay`: scenario scripts in virtual time.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::picture::svg;
use crate::sim::lanes::picture;
use crate::sim::machine::real;
use crate::sim::pair::{Builtin, Pairs};
use crate::sim::script::{Outcome, Story};

/// Runs scenario scripts in virtual time and compares each with its golden trace.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Scenarios (.json), or folders of them.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Write the golden traces anew.
    #[arg(long)]
    bless: bool,
    /// Print the trace.
    #[arg(long)]
    trace: bool,
    /// Draw the run as swim lanes (one scenario).
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

fn scenarios(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for path in paths {
        if path.is_dir() {
            let entries = std::fs::read_dir(path).with_context(|| format!("{}", path.display()))?;
            let mut found: Vec<PathBuf> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
            found.retain(|path| path.extension().is_some_and(|end| end == "json"));
            found.sort();
            all.extend(found);
        } else {
            all.push(path.clone());
        }
    }
    if all.is_empty() {
        bail!("no scenario (.json) there");
    }
    Ok(all)
}

/// Reads and runs one scenario.
///
/// # Errors
/// A file that cannot be read, with file, line and what is allowed.
pub fn play(path: &Path, pairs: &dyn Pairs) -> anyhow::Result<(Story, Outcome)> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| name.clone())?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let story = Story::read(&text, &name, folder, pairs).map_err(anyhow::Error::msg)?;
    let outcome = story.run(real, true);
    Ok((story, outcome))
}

fn first_difference(golden: &str, now: &str) -> Option<String> {
    let mut lines = (1..).zip(golden.lines().map(Some).chain(std::iter::repeat(None)).zip(now.lines().map(Some).chain([None])));
    let (number, (was, is)) = lines.find(|(_, (was, is))| was != is)?;
    Some(format!("line {number}\n    was: {}\n    is:  {}", was.unwrap_or("(the end)"), is.unwrap_or("(the end)")))
}

/// Runs it.
///
/// # Errors
/// A file that cannot be read or written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let paths = scenarios(&args.paths)?;
    let mut failed = 0;
    for path in &paths {
        let (story, outcome) = play(path, &Builtin)?;
        let trace = outcome.record.lines.as_deref().unwrap_or_default().join("\n") + "\n";
        let golden = path.with_extension("trace");
        let mut wrong = outcome.failures.clone();
        wrong.extend(outcome.violations.iter().map(|v| format!("{:?} at {}: {}", v.promise, v.at.to_string().trim(), v.text)));
        if args.trace {
            print!("{trace}");
        }
        if args.bless {
            std::fs::write(&golden, &trace).with_context(|| format!("{}", golden.display()))?;
        } else if let Ok(before) = std::fs::read_to_string(&golden) {
            wrong.extend(first_difference(&before, &trace).map(|what| format!("the trace is another one (--bless?): {what}")));
        }
        if let Some(file) = &args.svg {
            std::fs::write(file, svg::draw(&picture(&story, &outcome))).with_context(|| format!("{}", file.display()))?;
        }
        println!("{}  {}  {}", if wrong.is_empty() { "ok  " } else { "FAIL" }, path.display(), story.scenario.title);
        wrong.iter().for_each(|what| println!("      {what}"));
        failed += usize::from(!wrong.is_empty());
    }
    println!("{} scenarios, {failed} failed", paths.len());
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
