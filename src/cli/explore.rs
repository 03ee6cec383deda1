//! `twinbeat explore`: random fault schedules in virtual time.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crate::sim::explore::{Plan, Progress, explore, shrink};
use crate::sim::files::SHIPPED;
use crate::sim::machine::real;
use crate::sim::schedule::kinds;
use crate::sim::script::ConfigRef;
use crate::sim::step::Dur;

/// Random fault schedules; stops at a broken promise and writes a small scenario that `replay` reproduces.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Seeds A..B, B not included.
    #[arg(long, value_name = "A..B", value_parser = seeds, default_value = "0..10000")]
    seeds: (u64, u64),
    /// Threads; all cores where nothing is said.
    #[arg(long)]
    threads: Option<usize>,
    /// Stop after this long, as in 3m.
    #[arg(long, value_parser = Dur::parse)]
    time: Option<Dur>,
    /// Go on after a finding, up to this many.
    #[arg(long, default_value_t = 1)]
    findings: usize,
    /// Kinds of fault to leave out, as in Flush,Pause
    #[arg(long, value_delimiter = ',', value_name = "KINDS", value_parser = kind)]
    without: Vec<String>,
    /// Where small scenarios are written.
    #[arg(long, default_value = ".")]
    out: PathBuf,
}

fn seeds(text: &str) -> Result<(u64, u64), String> {
    let wrong = || format!("{text:?}: allowed: A..B with A below B, as in 0..10000");
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let (from, to) = (from.parse().map_err(|_| wrong())?, to.parse().map_err(|_| wrong())?);
    if from < to { Ok((from, to)) } else { Err(wrong()) }
}

fn kind(text: &str) -> Result<String, String> {
    let kinds = kinds();
    if kinds.iter().any(|kind| kind == text) { Ok(text.to_string()) } else { Err(format!("allowed: {}", kinds.join(", "))) }
}

/// Puts the configuration of a finding beside it, where `replay` looks for it, unless it is there.
fn beside(out: &Path, config: &ConfigRef) -> anyhow::Result<()> {
    let ConfigRef::Both(reference) = config else { return Ok(()) };
    let shipped = SHIPPED.iter().find(|(name, _)| *reference == format!("pairs/{name}.toml"));
    let file = out.join(reference);
    if let Some((_, text)) = shipped.filter(|_| !file.exists()) {
        std::fs::create_dir_all(out.join("pairs"))?;
        std::fs::write(&file, text)?;
    }
    Ok(())
}

fn line(progress: &Progress) -> String {
    format!(
        "{} runs, {} steps, {:.1} h simulated in {:.1} s: {:.0} times real time per core",
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
/// When a small scenario cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let threads = args.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1);
    let time = args.time.map(|Dur(span)| Duration::from_nanos(span.0));
    let (from, to) = args.seeds;
    let plan = Plan { from, to, threads, time, findings: args.findings, without: args.without.clone() };
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
    println!("{}", line(&progress));
    for finding in &findings {
        println!(
            "seed {}: {:?} at {}: {}",
            finding.seed, finding.violation.promise, finding.violation.at, finding.violation.text
        );
        let small = shrink(finding, real);
        let path = args.out.join(format!("seed-{}.json", finding.seed));
        std::fs::write(&path, serde_json::to_string_pretty(&small.scenario)? + "\n")?;
        beside(&args.out, &small.scenario.config)?;
        println!("  small: {} ({} steps): {}", path.display(), small.scenario.timeline.len(), small.violation.text);
    }
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
