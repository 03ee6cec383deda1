//! `twinbeat replay`: scenario scripts in virtual time; journals are `recorded`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};

use twinbeat_picture::svg;
use twinbeat_say::{say, say_on};
use twinbeat_sim::files::Files;
use twinbeat_sim::golden::{Judged, judge, scenarios};
use twinbeat_sim::lanes::picture;
use twinbeat_sim::machine::real;
use twinbeat_sim::schema;
use twinbeat_sim::script::{Story, Told};

/// Runs scenario scripts in virtual time and compares each with its golden trace; gives a recorded node its inputs again and
/// compares its outputs, byte for byte
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Scenarios (.json), or folders of them and of such folders; journals (.jsonl), or a daemon's journal or state directory.
    #[arg(required_unless_present = "schema")]
    paths: Vec<PathBuf>,
    /// Write the golden traces anew; not of a scenario that does not hold what it expects.
    #[arg(long)]
    bless: bool,
    /// Print the trace; with --tellings that of the first telling that does not hold.
    #[arg(long)]
    trace: bool,
    /// Draw the run as swim lanes: a file for one scenario, a folder for several.
    #[arg(long, value_name = "FILE|FOLDER")]
    svg: Option<PathBuf>,
    /// What if a setting had been another one (journals): timing.dead=5s, and so on; again for each.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Tell each scenario so many times, with other latencies and with a pause of a few milliseconds before each thing that is done: what holds in
    /// its file's own telling alone rests on luck. Traces are not compared.
    #[arg(long, value_name = "TIMES")]
    tellings: Option<u64>,
    /// Print the JSON schema of scenarios, for editors, and do nothing else.
    #[arg(long)]
    schema: bool,
}

fn files(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for path in paths {
        if path.is_dir() {
            all.extend(scenarios(path).with_context(|| format!("{}", path.display()))?);
        } else {
            all.push(path.clone());
        }
    }
    if all.is_empty() {
        bail!("no scenario (.json) there");
    }
    Ok(all)
}

/// What did not hold in some telling, without its figures, and in how many; and the first such telling.
fn tellings(story: &Story, times: u64) -> (BTreeMap<String, usize>, Option<u64>) {
    let mut wrong: BTreeMap<String, usize> = BTreeMap::new();
    let mut first = None;
    for number in 0..times {
        let told = story.tell(&Told { number, ..Told::default() }, real, false);
        let expected = told.failures.iter().map(|failure| failure.what.clone());
        let promised = told.violations.iter().map(|violation| format!("{:?}", violation.promise));
        let all: BTreeSet<String> = expected.chain(promised).collect();
        if !all.is_empty() {
            first.get_or_insert(number);
        }
        all.into_iter().for_each(|what| *wrong.entry(what).or_default() += 1);
    }
    (wrong, first)
}

/// The trace of one telling.
fn telling(story: &Story, number: u64) -> String {
    let told = story.tell(&Told { number, ..Told::default() }, real, true);
    told.record.lines.as_deref().unwrap_or_default().join("\n")
}

/// Runs it.
///
/// # Errors
/// No scenario there, or a picture or trace that cannot be written. A scenario that cannot be read counts as failed.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.schema {
        say_on!("{}", schema::text());
        return Ok(ExitCode::SUCCESS);
    }
    if args.paths.iter().any(|path| super::recorded::is_journal(path)) {
        return super::recorded::run(&args.paths, &args.set);
    }
    if let Some(set) = args.set.first() {
        bail!("--set {set}: of a journal (.jsonl) alone; a scenario has its own configuration");
    }
    let paths = files(&args.paths)?;
    let folder = args.svg.as_ref().is_some_and(|svg| svg.is_dir());
    if args.svg.is_some() && !folder && paths.len() > 1 {
        bail!("--svg: {} scenarios; allowed: a folder that exists, or one scenario", paths.len());
    }
    let (mut passed, mut failed, mut not_here) = (0, 0, 0);
    for path in &paths {
        let played = match judge(path, &Files) {
            Ok(Judged::Played(played)) => played,
            Ok(Judged::NotHere(why)) => {
                say!("----  {}  not run, not passed: {why}", path.display());
                not_here += 1;
                continue;
            }
            Err(wrong) => {
                say!("FAIL  {wrong}");
                failed += 1;
                continue;
            }
        };
        if let Some(times) = args.tellings {
            let (wrong, first) = tellings(&played.story, times);
            if let Some(number) = first.filter(|_| args.trace) {
                say!("{}", telling(&played.story, number));
                say!("      telling {number}, the first that does not hold");
            }
            let mark = if wrong.is_empty() { "ok  " } else { "FAIL" };
            say!("{mark}  {}  {}", path.display(), played.story.scenario.title);
            wrong.iter().for_each(|(what, count)| say!("      in {count} of {times}: {what}"));
            passed += usize::from(wrong.is_empty());
            failed += usize::from(!wrong.is_empty());
            continue;
        }
        if args.trace {
            say_on!("{}", played.trace);
        }
        let golden = path.with_extension("trace");
        let mut wrong = played.wrong_in_itself();
        if args.bless && wrong.is_empty() {
            std::fs::write(&golden, &played.trace).with_context(|| format!("{}", golden.display()))?;
        } else {
            wrong = played.wrong(&golden);
        }
        if let Some(svg) = &args.svg {
            let file = if folder { svg.join(path.with_extension("svg").file_name().unwrap_or_default()) } else { svg.clone() };
            std::fs::write(&file, svg::draw(&picture(&played.story, &played.outcome)))
                .with_context(|| format!("{}", file.display()))?;
        }
        let mark = if wrong.is_empty() { "ok  " } else { "FAIL" };
        say!("{mark}  {}  {}", path.display(), played.story.scenario.title);
        wrong.iter().for_each(|what| say!("      {what}"));
        if !golden.exists() {
            say!("      no golden trace yet; --bless writes it");
        }
        passed += usize::from(wrong.is_empty());
        failed += usize::from(!wrong.is_empty());
    }
    let others = if not_here == 0 { String::new() } else { format!(", {not_here} not run here") };
    say!("{} scenarios: {passed} passed, {failed} failed{others}", paths.len());
    Ok(if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
