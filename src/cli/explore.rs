//! `twinbeat explore`: random fault schedules in virtual time, and the model check.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use twinbeat_say::say;
use twinbeat_sim::explore::{Plan, Progress, explore, shrink, write};
use twinbeat_sim::files::Files;
use twinbeat_sim::machine::real;
use twinbeat_sim::model::{self, search};
use twinbeat_sim::pair::Pairs;
use twinbeat_sim::retold::Corpus;
use twinbeat_sim::schedule::{HELD_BACK, Style, kinds};
use twinbeat_sim::step::Dur;

/// Random fault schedules; stops at a broken promise and writes a small scenario that `replay` reproduces.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Seeds A..B, B not included; or `fresh`: a million that were never tried, from the kernel's randomness.
    #[arg(long, value_name = "A..B", value_parser = seeds, default_value = "0..10000")]
    seeds: Seeds,
    /// Threads; all cores where nothing is said.
    #[arg(long)]
    threads: Option<usize>,
    /// Stop after this long, as in 3m.
    #[arg(long, value_parser = Dur::parse)]
    time: Option<Dur>,
    /// Go on after a finding, up to this many.
    #[arg(long, default_value_t = 1)]
    findings: usize,
    /// Which stories: wild (many faults at any instant), calm (few, right behind state changes), or both in turn
    #[arg(long, value_name = "STYLE", value_parser = style, default_value = "both")]
    style: Style,
    /// Known stories told anew: those of this folder (scenarios), with steps moved, left out and doubled, nodes exchanged, pieces of others in them
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["style", "config", "without"])]
    retold: Option<PathBuf>,
    /// Kinds of fault to leave out, as in Flush,Pause; with a plus one that is held back is drawn
    #[arg(long, value_delimiter = ',', value_name = "KINDS", value_parser = kind)]
    without: Vec<String>,
    /// Explore the pair of this configuration file, and not one that each run draws.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Sign and open every heartbeat, forged and damaged ones included; otherwise signatures are modelled, for speed.
    #[arg(long)]
    real_signatures: bool,
    /// Where small scenarios are written.
    #[arg(long, default_value = ".")]
    out: PathBuf,
    /// Not random: every run of a small world with up to so many deviations from the ordinary course (docs/SCENARIOS.md).
    #[arg(long, value_name = "DEVIATIONS", conflicts_with_all = ["config", "without", "real_signatures", "findings"])]
    model: Option<u8>,
}

/// Which runs.
#[derive(Clone, Copy, Debug)]
struct Seeds(u64, u64);

/// So many seeds are called fresh at once.
const FRESH: u64 = 1_000_000;

fn seeds(text: &str) -> Result<Seeds, String> {
    if text == "fresh" {
        let mut bytes = [0; 4];
        getrandom::fill(&mut bytes).map_err(|wrong| format!("no fresh seeds: {wrong}"))?;
        // Far from those that people type.
        let from = (u64::from(u32::from_le_bytes(bytes)) + 1) * FRESH;
        return Ok(Seeds(from, from + FRESH));
    }
    let wrong = || format!("{text:?}: allowed: A..B with A below B, as in 0..10000, or fresh");
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let (from, to) = (from.parse().map_err(|_| wrong())?, to.parse().map_err(|_| wrong())?);
    if from < to { Ok(Seeds(from, to)) } else { Err(wrong()) }
}

fn style(text: &str) -> Result<Style, String> {
    match text {
        "wild" => Ok(Style::Wild),
        "calm" => Ok(Style::Calm),
        "both" => Ok(Style::Both),
        _ => Err("allowed: wild, calm, both".into()),
    }
}

fn kind(text: &str) -> Result<String, String> {
    let kinds = kinds();
    if let Some(name) = text.strip_prefix('+') {
        let held: Vec<&str> = HELD_BACK.iter().map(|(name, _)| *name).collect();
        return match held.is_empty() {
            _ if held.contains(&name) => Ok(text.to_string()),
            true => Err("nothing is held back".into()),
            false => Err(format!("held back: {}", held.join(", "))),
        };
    }
    if kinds.iter().any(|kind| kind == text) { Ok(text.to_string()) } else { Err(format!("allowed: {}", kinds.join(", "))) }
}

fn line(progress: &Progress) -> String {
    format!(
        "{} runs, {} faults and mendings, {:.1} h simulated in {:.1} s: {:.0} times real time per core",
        progress.runs,
        progress.steps,
        progress.simulated.0 as f64 / 3.6e12,
        progress.took.as_secs_f64(),
        progress.ratio()
    )
}

/// Runs it.
///
/// # Errors
/// A configuration that is wrong, or a small scenario that cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    // Before hours of runs: can what they find be written?
    let probe = args.out.join(format!(".twinbeat-{}", std::process::id()));
    std::fs::write(&probe, "").with_context(|| format!("--out {}", args.out.display()))?;
    let _ = std::fs::remove_file(&probe);
    let threads = args.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1);
    let time = args.time.map(|Dur(span)| Duration::from_nanos(span.0));
    if let Some(deviations) = args.model {
        return Ok(check(deviations, threads, time));
    }
    let Seeds(from, to) = args.seeds;
    let pair = args.config.as_deref().map(pair_of).transpose()?;
    let (without, real_signatures) = (args.without.clone(), args.real_signatures);
    let style = args.style;
    let corpus = args.retold.as_deref().map(Corpus::read).transpose().map_err(anyhow::Error::msg)?;
    let plan =
        Plan { style, threads, time, findings: args.findings, without, pair, corpus, real_signatures, ..Plan::seeds(from, to) };
    say!("seeds {from}..{to} on {threads} threads");
    let live = std::io::stderr().is_terminal();
    let (findings, progress) = explore(&plan, real, &|progress| {
        if live {
            eprint!("\r{}   ", line(&progress));
            let _ = std::io::stderr().flush();
        }
    });
    if live {
        eprintln!();
    }
    say!("{}", line(&progress));
    for finding in &findings {
        let violation = &finding.violation;
        say!("seed {}: {:?} at {}: {}", finding.seed, violation.promise, violation.at.to_string().trim(), violation.text);
        std::fs::create_dir_all(&args.out).with_context(|| format!("{}", args.out.display()))?;
        // As it was drawn first: whoever does not wait for the small one has that.
        let path = write(finding, &plan, &args.out).with_context(|| format!("{}", args.out.display()))?;
        say!("  as drawn: {} ({} steps)", path.display(), finding.scenario.timeline.len());
        let small = shrink(finding, &plan, real);
        let path = write(&small, &plan, &args.out).with_context(|| format!("{}", args.out.display()))?;
        say!("  small: {} ({} steps): {}", path.display(), small.scenario.timeline.len(), small.violation.text);
    }
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

/// The pair of a configuration file; scenarios name it by its whole path.
fn pair_of(file: &Path) -> anyhow::Result<(String, twinbeat_sim::pair::Pair)> {
    let whole = std::fs::canonicalize(file).with_context(|| format!("{}", file.display()))?;
    let name = whole.to_string_lossy().into_owned();
    let pair = Files.pair(Path::new(""), &name).map_err(anyhow::Error::msg)?;
    Ok((name, pair))
}

/// The model check: each scope with so many deviations, in the time that is left.
fn check(deviations: u8, threads: usize, time: Option<Duration>) -> ExitCode {
    let scopes = [model::handover(deviations), model::silence(deviations), model::all(deviations)];
    let share = time.map(|time| time / scopes.len() as u32);
    let mut found = false;
    for scope in scopes {
        let scope = search::Scope { threads, time: share, ..scope };
        let coverage = search::search(&scope);
        let how = if coverage.whole { "all runs" } else { "all runs up to this depth" };
        say!(
            "{}: {} states, {} moves, depth {}, {how} of {} with up to {deviations} deviations, in {:.1} s",
            scope.name,
            coverage.states,
            coverage.moves,
            coverage.depth,
            scope.horizon,
            coverage.took.as_secs_f64()
        );
        if let Some((moves, text)) = coverage.wrong {
            found = true;
            say!("  wrong: {text}; after {} moves, the deviations among them:", moves.len());
            let odd = |(_, step): &(usize, model::moves::Move)| *step != model::moves::Move::Next;
            (1..).zip(moves).filter(odd).for_each(|(place, step)| say!("  {place}: {step:?}"));
        }
    }
    if found { ExitCode::from(1) } else { ExitCode::SUCCESS }
}
