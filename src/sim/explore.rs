//! Many random stories on all cores: stops at the first broken promise and makes the story small.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::check::{Promise, Violation};
use super::clock::Moment;
use super::files::{SHIPPED, find};
use super::machine::Maker;
use super::pair::{Builtin, Pair, Pairs};
use super::pair_file;
use super::retold::Corpus;
use super::schedule::{Style, draw_as};
use super::script::{ConfigRef, Scenario, Story};
use super::step::{Dur, Entry, Step};
use twinbeat_core::time::Span;

/// A story in which a promise was broken.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Its seed.
    pub seed: u64,
    /// What was broken.
    pub violation: Violation,
    /// The story.
    pub scenario: Scenario,
}

/// How far an exploration is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Runs finished.
    pub runs: u64,
    /// Faults, commands and their ends in them.
    pub steps: u64,
    /// Time simulated.
    pub simulated: Span,
    /// Time that it took.
    pub took: Duration,
    /// Threads at work.
    pub threads: usize,
}

impl Progress {
    /// Simulated time over real time, for one core.
    pub fn ratio(&self) -> f64 {
        self.simulated.0 as f64 / 1e9 / self.took.as_secs_f64().max(1e-9) / self.threads.max(1) as f64
    }
}

/// What to explore.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The first seed.
    pub from: u64,
    /// One after the last.
    pub to: u64,
    /// How many threads.
    pub threads: usize,
    /// Stop after this long.
    pub time: Option<Duration>,
    /// Go on after a finding, up to this many.
    pub findings: usize,
    /// Which generator draws the stories.
    pub style: Style,
    /// Kinds of fault that do not exist.
    pub without: Vec<String>,
    /// One pair for all runs, and what scenarios call it; otherwise each run draws its own.
    pub pair: Option<(String, Pair)>,
    /// Known stories told anew, in the place of drawn ones.
    pub corpus: Option<Corpus>,
    /// Sign and open every heartbeat.
    pub real_signatures: bool,
}

impl Plan {
    /// These seeds on all cores, until something is found.
    pub fn seeds(from: u64, to: u64) -> Plan {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Plan {
            from,
            to,
            threads,
            time: None,
            findings: 1,
            style: Style::Wild,
            without: Vec::new(),
            pair: None,
            corpus: None,
            real_signatures: false,
        }
    }
}

impl Pairs for Plan {
    fn pair(&self, folder: &Path, reference: &str) -> Result<Pair, String> {
        match (&self.pair, &self.corpus) {
            (Some((name, pair)), _) if name == reference => Ok(pair.clone()),
            (_, Some(corpus)) => corpus.pair(folder, reference),
            _ => Builtin.pair(folder, reference),
        }
    }
}

/// Runs one story; the gravest broken promise, if any, and how long the story was.
pub fn run(scenario: &Scenario, plan: &Plan, maker: Maker) -> (Option<Violation>, Span) {
    let mut story = match Story::of(scenario.clone(), Path::new(""), plan) {
        Ok(story) => story,
        Err((_, text)) => {
            return (Some(Violation { at: Moment::ZERO, promise: Promise::Playable, text }), Span::ZERO);
        }
    };
    story.real_signatures = plan.real_signatures;
    let outcome = story.run(maker, false);
    let simulated = outcome.simulated();
    (outcome.violations.into_iter().min_by_key(|violation| (violation.promise, violation.at)), simulated)
}

/// Explores; `report` is called now and then with how far it is.
pub fn explore(plan: &Plan, maker: Maker, report: &(dyn Fn(Progress) + Sync)) -> (Vec<Finding>, Progress) {
    let next = AtomicU64::new(plan.from);
    let (runs, steps, simulated) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let findings = Mutex::new(Vec::<Finding>::new());
    let begin = Instant::now();
    let progress = || Progress {
        runs: runs.load(Ordering::Relaxed),
        steps: steps.load(Ordering::Relaxed),
        simulated: Span(simulated.load(Ordering::Relaxed)),
        took: begin.elapsed(),
        threads: plan.threads,
    };
    let found = || findings.lock().map_or(0, |findings| findings.len());
    std::thread::scope(|scope| {
        for thread in 0..plan.threads {
            let (next, findings) = (&next, &findings);
            let (runs, steps, simulated, progress, found) = (&runs, &steps, &simulated, &progress, &found);
            scope.spawn(move || {
                let mut told = Instant::now();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let late = plan.time.is_some_and(|time| begin.elapsed() > time);
                    if seed >= plan.to || late || found() >= plan.findings.max(1) {
                        return;
                    }
                    let scenario = match &plan.corpus {
                        Some(corpus) => corpus.retell(seed),
                        None => draw_as(plan.style, seed, &plan.without, plan.pair.as_ref()),
                    };
                    let (violation, span) = run(&scenario, plan, maker);
                    // What is told anew need not fit its pair.
                    if plan.corpus.is_some() && violation.as_ref().is_some_and(|wrong| wrong.promise == Promise::Playable) {
                        continue;
                    }
                    runs.fetch_add(1, Ordering::Relaxed);
                    steps.fetch_add(scenario.timeline.len().saturating_sub(3) as u64, Ordering::Relaxed);
                    simulated.fetch_add(span.0, Ordering::Relaxed);
                    if let (Some(violation), Ok(mut findings)) = (violation, findings.lock()) {
                        findings.push(Finding { seed, violation, scenario });
                    }
                    if thread == 0 && told.elapsed() > Duration::from_secs(1) {
                        told = Instant::now();
                        report(progress());
                    }
                }
            });
        }
    });
    let mut findings = findings.into_inner().unwrap_or_default();
    findings.sort_by_key(|finding| finding.seed);
    (findings, progress())
}

/// Makes a story small: as long as the same promise breaks, leaves out steps, ends earlier, rounds times.
pub fn shrink(finding: &Finding, plan: &Plan, maker: Maker) -> Finding {
    let mut best = finding.clone();
    let promise = finding.violation.promise;
    let try_it = |best: &mut Finding, scenario: Scenario| -> bool {
        match run(&scenario, plan, maker).0.filter(|violation| violation.promise == promise) {
            Some(violation) => {
                *best = Finding { seed: best.seed, violation, scenario };
                true
            }
            None => false,
        }
    };
    if promise != Promise::Heals {
        let mut earlier = best.scenario.clone();
        let until = best.violation.at.0 + 20_000_000_000;
        earlier.until = Dur(Span(until / 1_000_000_000 * 1_000_000_000));
        earlier.timeline.retain(|entry| entry.at() < earlier.until && !matches!(entry.step, Step::Heal(_)));
        try_it(&mut best, earlier);
    }
    // Whoever was on its way out is started again after the healing: without that, nobody serving would be no wonder.
    let kept = if promise == Promise::Heals { 2 } else { 0 };
    let mut chunk = best.scenario.timeline.len().div_ceil(2);
    while chunk > 0 {
        let mut place = 0;
        let mut smaller = false;
        while place + kept < best.scenario.timeline.len() {
            let mut scenario = best.scenario.clone();
            let end = (place + chunk).min(scenario.timeline.len() - kept);
            scenario.timeline.drain(place..end);
            if try_it(&mut best, scenario) {
                smaller = true;
            } else {
                place += chunk;
            }
        }
        chunk = if chunk == 1 && smaller { 1 } else { chunk / 2 };
    }
    for unit in [1_000_000_000, 100_000_000, 10_000_000, 1_000_000] {
        for place in 0..best.scenario.timeline.len() {
            let mut scenario = best.scenario.clone();
            let Some(at) = &mut scenario.timeline[place].time.at else { continue };
            let before = std::mem::replace(at, Dur(Span(at.0.0 / unit * unit)));
            if *at != before {
                scenario.timeline.sort_by_key(Entry::at);
                try_it(&mut best, scenario);
            }
        }
    }
    best.scenario.title = format!("Seed {}: {:?}", best.seed, promise);
    best.scenario.about = best.violation.text.clone();
    best
}

/// Writes a finding's scenario into a folder, and the pair that it names beside it, where `replay` looks for it.
///
/// # Errors
/// A file that cannot be written.
pub fn write(finding: &Finding, plan: &Plan, folder: &Path) -> std::io::Result<PathBuf> {
    let path = folder.join(format!("seed-{}.json", finding.seed));
    let text = serde_json::to_string_pretty(&finding.scenario).map_err(std::io::Error::other)?;
    std::fs::write(&path, text + "\n")?;
    let named: Vec<&String> = match &finding.scenario.config {
        ConfigRef::Both(reference) if plan.pair.is_none() => vec![reference],
        ConfigRef::Each(references) => references.values().collect(),
        ConfigRef::Both(_) => Vec::new(),
    };
    let later = finding.scenario.timeline.iter().filter_map(|entry| match &entry.step {
        Step::Configure(on) => on.config.as_ref(),
        _ => None,
    });
    for reference in named.into_iter().chain(later) {
        let file = folder.join(reference);
        if !file.exists() {
            file.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            if let Some(corpus) = &plan.corpus {
                std::fs::copy(find(corpus.folder(), reference), &file)?;
                continue;
            }
            let shipped = SHIPPED.iter().find(|(name, _)| *reference == format!("pairs/{name}.toml"));
            let text = shipped.map_or_else(|| pair_file::text(reference), |(_, text)| Ok((*text).to_string()));
            std::fs::write(&file, text.map_err(std::io::Error::other)?)?;
        }
    }
    Ok(path)
}
