//! Looks for stories: what random faults or a moved step do to a build without some clauses. Nothing here runs by itself.
//!
//! `CLAUSES=ReleasedUnnamed,... WHAT cargo test --features bite --test bite -- --ignored --nocapture hunt`, WHAT being one of
//!
//! - `SEEDS=0..500`: explores with all of the clauses taken out, and makes the first findings small;
//! - `FIRST=500`: for each clause by itself the first seed that finds it; `STYLE=both`: like the one above with the stories of both generators;
//! - `TOGETHER=0..9000`: the first seeds of all clauses in one walk over the stories of both generators, a few runs a story instead of one a clause;
//! - `ANEW=0..9000`: like the one above with known stories told anew, those left out that bite one of the clauses;
//! - `RETOLD=5000`: for each clause, with what stands in for it, the first known story told anew that finds it, the one that bites it left out;
//! - `STORY=a.json`: plays it with and without the clauses; `TRACE=1` prints what happened; `SHIFT=2:0ms..300ms:5ms` plays it with entry 2 and all
//!   behind it moved by each of these, several joined by `;`, and prints those that bite; `DICE=1..2000` plays it with these seeds.

use std::env::var;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use twinbeat::core::bite::{Clause, without};
use twinbeat::core::time::Span;
use twinbeat::sim::check::Promise;
use twinbeat::sim::explore::{self, Finding, Plan, shrink};
use twinbeat::sim::files::Files;
use twinbeat::sim::machine::real;
use twinbeat::sim::pair::{Builtin, Pairs};
use twinbeat::sim::retold::Corpus;
use twinbeat::sim::schedule::{Style, draw, draw_as};
use twinbeat::sim::script::{Outcome, Scenario, Story};
use twinbeat::sim::step::Dur;

/// Findings that are made small.
const SHOWN: usize = 3;

#[test]
#[ignore = "a tool: see its head"]
fn hunt() {
    let clauses: Vec<Clause> = list("CLAUSES", ',').iter().map(|name| clause(name)).collect();
    if let Ok(file) = var("STORY") {
        story(&file, &clauses);
    } else if let Ok(seeds) = var("SEEDS") {
        let (from, to) = seeds.split_once("..").expect("SEEDS=0..500");
        seeds_that_find(&clauses, from.parse().unwrap(), to.parse().unwrap());
    } else if let Ok(most) = var("RETOLD") {
        retold(&clauses, most.parse().unwrap());
    } else if let Ok(most) = var("FIRST") {
        let all = if clauses.is_empty() { Clause::ALL } else { &clauses };
        for clause in all {
            let story = |seed| if both() { draw_as(Style::Both, seed, &[], None) } else { draw(seed) };
            let first = first_story(*clause, most.parse().unwrap(), story);
            println!("{clause:?} {}", first.map_or("-".into(), |seed| seed.to_string()));
        }
    } else if let Ok(seeds) = var("TOGETHER").or(var("ANEW")) {
        let (from, to) = seeds.split_once("..").expect("0..9000");
        let hunted = if clauses.is_empty() { Clause::ALL.to_vec() } else { clauses };
        together(hunted, from.parse().unwrap()..to.parse().unwrap(), var("ANEW").is_ok());
    } else {
        panic!("STORY, SEEDS, FIRST, TOGETHER, ANEW or RETOLD");
    }
}

/// Each core takes one clause after the other.
fn retold(clauses: &[Clause], most: u64) {
    let corpus = Corpus::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")).unwrap();
    let rows = || super::ROWS.iter().filter(|(clause, ..)| clauses.is_empty() || clauses.contains(clause));
    let next = AtomicU64::new(0);
    let one = |(clause, beside, story): &(Clause, &[Clause], &str)| {
        let out: Vec<Clause> = std::iter::once(clause).chain(*beside).copied().collect();
        let plan = Plan { corpus: Some(corpus.clone().without(story)), ..Plan::seeds(0, 1) };
        let stories = plan.corpus.as_ref().unwrap();
        let breaks = |seed: u64, out: &[Clause]| {
            let scenario = stories.retell(seed);
            without(out, || explore::run(&scenario, &plan, real).0).is_some_and(|wrong| wrong.promise != Promise::Playable)
        };
        let first = (0..most).find(|seed| breaks(*seed, &out) && !breaks(*seed, &[]));
        println!("{clause:?} {}", first.map_or("-".into(), |seed| seed.to_string()));
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(row) = rows().nth(next.fetch_add(1, Ordering::Relaxed) as usize) {
                    one(row);
                }
            });
        }
    });
}

/// Many at once, on all cores: the clauses are in a few pools, and each story is played once a pool, with all of the pool out. Where one that breaks is
/// still broken by a single clause, that one is found, and put back. Where it takes several together they hide each other: one of them goes into
/// another pool, and the story is played again.
fn together(hunted: Vec<Clause>, seeds: std::ops::Range<u64>, anew: bool) {
    let began = std::time::Instant::now();
    let told = || Corpus::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")).unwrap();
    let biting = super::ROWS.iter().filter(|(clause, ..)| hunted.contains(clause));
    let corpus = anew.then(|| biting.fold(told(), |corpus, (.., story)| corpus.without(story)));
    let plan = Plan { corpus, ..Plan::seeds(0, 1) };
    let (pools, next, last) = (Mutex::new(vec![hunted]), AtomicU64::new(seeds.start), seeds.end);
    let broken = |scenario: &Scenario, out: &[Clause]| {
        without(out, || explore::run(scenario, &plan, real).0).is_some_and(|wrong| !anew || wrong.promise != Promise::Playable)
    };
    // A story told anew may break a promise with all of the rules.
    let breaks = |scenario: &Scenario, out: &[Clause]| broken(scenario, out) && !(anew && broken(scenario, &[]));
    let fewest = |scenario: &Scenario, mut few: Vec<Clause>| {
        for clause in few.clone() {
            let fewer: Vec<Clause> = few.iter().copied().filter(|other| *other != clause).collect();
            if breaks(scenario, &fewer) {
                few = fewer;
            }
        }
        few
    };
    let walk = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= last || pools.lock().unwrap().iter().all(Vec::is_empty) {
                return;
            }
            let scenario =
                plan.corpus.as_ref().map_or_else(|| draw_as(Style::Both, seed, &[], None), |stories| stories.retell(seed));
            let mut place = 0;
            loop {
                // A statement of its own: the lock is not held while stories are played.
                let pool = pools.lock().unwrap().get(place).cloned();
                let Some(pool) = pool else { break };
                if pool.is_empty() || !breaks(&scenario, &pool) {
                    place += 1;
                    continue;
                }
                let few = fewest(&scenario, pool);
                let mut pools = pools.lock().unwrap();
                // Another core may have found or moved one meanwhile.
                let Some(clause) = few.last().copied().filter(|_| few.iter().all(|clause| pools[place].contains(clause))) else {
                    continue;
                };
                pools[place].retain(|other| *other != clause);
                if few.len() > 1 {
                    if pools.len() == place + 1 {
                        pools.push(Vec::new());
                    }
                    pools[place + 1].push(clause);
                    continue;
                }
                let left: usize = pools.iter().map(Vec::len).sum();
                println!("{clause:?} {seed} after {:.0?}; {left} left in {} pools", began.elapsed(), pools.len());
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(walk);
        }
    });
    println!("not found up to {}: {:?}", next.into_inner().min(last), pools.into_inner().unwrap().concat());
}

/// The stories of both generators, not of the wild one alone.
fn both() -> bool {
    var("STYLE").is_ok_and(|style| style == "both")
}

/// The first seed whose story, of both generators in turn, breaks a promise without this clause.
pub fn first_seed(clause: Clause, most: u64) -> Option<u64> {
    first_story(clause, most, |seed| draw_as(Style::Both, seed, &[], None))
}

fn first_story(clause: Clause, most: u64, story: impl Fn(u64) -> Scenario) -> Option<u64> {
    let plan = Plan::seeds(0, 1);
    without(&[clause], || (0..most).find(|seed| explore::run(&story(*seed), &plan, real).0.is_some()))
}

fn list(name: &str, by: char) -> Vec<String> {
    var(name).unwrap_or_default().split(by).filter(|part| !part.is_empty()).map(str::to_string).collect()
}

fn clause(name: &str) -> Clause {
    *Clause::ALL.iter().find(|clause| format!("{clause:?}") == name).expect(name)
}

fn seeds_that_find(clauses: &[Clause], from: u64, to: u64) {
    let plan = Plan::seeds(0, 1);
    let mut found = 0;
    for seed in from..to {
        let scenario = if both() { draw_as(Style::Both, seed, &[], None) } else { draw(seed) };
        let Some(violation) = without(clauses, || explore::run(&scenario, &plan, real).0) else { continue };
        found += 1;
        println!("seed {seed}: {:?}: {}", violation.promise, violation.text);
        if found > SHOWN {
            return;
        }
        let small = without(clauses, || shrink(&Finding { seed, violation, scenario }, &plan, real));
        println!("{}\n{}", small.violation.text, serde_json::to_string(&small.scenario).unwrap());
    }
}

fn story(file: &str, clauses: &[Clause]) {
    let text = std::fs::read_to_string(file).unwrap();
    let scenario: Scenario = serde_json::from_str(&text).unwrap_or_else(|wrong| panic!("{file}: {wrong}"));
    if let Ok(seeds) = var("DICE") {
        let (from, to) = seeds.split_once("..").expect("DICE=1..2000");
        for seed in from.parse().unwrap()..to.parse().unwrap() {
            let scenario = Scenario { seed: Some(seed), ..scenario.clone() };
            let outcome = play(&scenario, file, clauses, false);
            if !outcome.passed() {
                let right = play(&scenario, file, &[], false).passed();
                let why =
                    outcome.violations.first().map(|v| v.text.clone()).or(outcome.failures.first().map(ToString::to_string));
                println!(
                    "seed {seed}: {} {}",
                    if right { "bites:" } else { "breaks with the right rules too:" },
                    why.unwrap_or_default()
                );
            }
        }
        return;
    }
    let shifts: Vec<(usize, Span, Span, Span)> = list("SHIFT", ';').iter().map(|text| shift(text)).collect();
    if shifts.is_empty() {
        for (name, clauses) in [("with all", &[][..]), ("without", clauses)] {
            let outcome = play(&scenario, file, clauses, var("TRACE").is_ok());
            println!("{name}: {}", if outcome.passed() { "holds" } else { "BREAKS" });
            outcome.failures.iter().for_each(|text| println!("  {text}"));
            outcome.violations.iter().for_each(|v| println!("  {:?} at {}: {}", v.promise, v.at, v.text));
            outcome.record.lines.iter().flatten().for_each(|line| println!("    {line}"));
        }
        return;
    }
    let (mut tried, mut bites) = (0, 0);
    moved(&scenario, &shifts, &mut |by, scenario| {
        tried += 1;
        let outcome = play(scenario, file, clauses, false);
        if outcome.passed() {
            return;
        }
        let right = play(scenario, file, &[], false);
        bites += usize::from(right.passed());
        if bites <= 40 {
            let why = outcome
                .violations
                .first()
                .map(|v| v.text.clone())
                .or(outcome.failures.first().map(ToString::to_string))
                .unwrap_or_default();
            println!("{by:?}: {} {why}", if right.passed() { "bites:" } else { "breaks with the right rules too:" });
        }
    });
    println!("{bites} of {tried} bite");
}

fn play(scenario: &Scenario, file: &str, clauses: &[Clause], trace: bool) -> Outcome {
    let folder = Path::new(file).parent().unwrap();
    let pairs: &dyn Pairs = if folder.join("pairs").exists() { &Files } else { &Builtin };
    let story = Story::of(scenario.clone(), folder, pairs).unwrap_or_else(|(_, wrong)| panic!("{file}: {wrong}"));
    without(clauses, || story.run(real, trace))
}

/// `2:0ms..300ms:5ms`: entry 2 and all behind it, by all of these.
fn shift(text: &str) -> (usize, Span, Span, Span) {
    let [entry, range, step] = text.split(':').collect::<Vec<_>>()[..] else { panic!("{text}") };
    let (from, to) = range.split_once("..").expect(text);
    let span = |text: &str| Dur::parse(text).unwrap().0;
    (entry.parse().unwrap(), span(from), span(to), span(step))
}

fn moved(scenario: &Scenario, shifts: &[(usize, Span, Span, Span)], each: &mut dyn FnMut(Vec<Span>, &Scenario)) {
    let mut by = vec![Span::ZERO; shifts.len()];
    shifts.iter().zip(&mut by).for_each(|(shift, by)| *by = shift.1);
    loop {
        let mut now = scenario.clone();
        for ((entry, ..), by) in shifts.iter().zip(&by) {
            now.timeline.iter_mut().skip(*entry).for_each(|entry| entry.time.at = Some(Dur(entry.at().0 + *by)));
        }
        each(by.clone(), &now);
        let mut place = 0;
        loop {
            let Some((_, from, to, step)) = shifts.get(place) else { return };
            by[place] = by[place] + *step;
            if by[place] < *to {
                break;
            }
            by[place] = *from;
            place += 1;
        }
    }
}
