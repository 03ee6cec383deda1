//! Known stories told anew: with steps moved, left out or doubled, the nodes exchanged, another pair, or a piece of another story among its own.
//!
//! What went wrong once went wrong in a place where more goes wrong: what is drawn freely comes near such a place seldom.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::calm::healing;
use super::files::Files;
use super::golden::scenarios;
use super::pair::{Pair, Pairs};
use super::rng::Rng;
use super::script::{Allow, Scenario, Story};
use super::step::{Dur, Entry, Names, Separate, Step};
use twinbeat_core::time::Span;

/// The stories of a folder that are told anew.
#[derive(Clone, Debug)]
pub struct Corpus {
    folder: PathBuf,
    stories: Vec<Known>,
}

/// One of them.
#[derive(Clone, Debug)]
struct Known {
    name: String,
    scenario: Scenario,
    nodes: [String; 2],
    /// Everything is mended, and this long after it whoever was on its way out is started again; this long after that all is well.
    healing: [Span; 2],
}

impl Corpus {
    /// Reads all stories below a folder (`scenarios/`, with the pairs beside them) but those that a limit excuses, that cannot be told in
    /// virtual time or that take longer than half an hour of it.
    ///
    /// # Errors
    /// A file that cannot be read, or no story.
    pub fn read(folder: &Path) -> Result<Corpus, String> {
        let mut stories = Vec::new();
        for path in scenarios(folder).map_err(|wrong| format!("{}: {wrong}", folder.display()))? {
            let name = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
            let text = std::fs::read_to_string(&path).map_err(|wrong| format!("{}: {wrong}", path.display()))?;
            // The pairs are named from the folder itself, so that a piece of one story may stand in another one.
            let story = Story::read(&text, &name, folder, &Files)?;
            // A gateway that answers too few echoes for the pair is one of the limits.
            let limited = |entry: &Entry| matches!(entry.step, Step::GatewayLimits(_));
            let hold = story.pair.settings.iter().any(|settings| settings.witness.island_hold);
            let excused = hold || story.scenario.allow.is_some() || story.scenario.timeline.iter().any(limited);
            if excused || !story.not_here.is_empty() || story.scenario.until.0 > LONGEST {
                continue;
            }
            let (nodes, healing) = (names(&story.pair), healing(&story.pair));
            stories.push(Known { name, scenario: story.scenario, nodes, healing });
        }
        if stories.is_empty() {
            Err(format!("{}: no story", folder.display()))
        } else {
            Ok(Corpus { folder: folder.into(), stories })
        }
    }

    /// Without one of them: what finds that story's fault has found it by itself.
    pub fn without(mut self, name: &str) -> Corpus {
        self.stories.retain(|story| story.name != name);
        self
    }

    /// Where its pairs lie.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The story of a seed. It need not make sense: what does not fit its pair is not told.
    pub fn retell(&self, seed: u64) -> Scenario {
        let mut rng = Rng::stream(seed, STREAM);
        let place = rng.below(self.stories.len() as u64) as usize;
        let Known { name, scenario, nodes, healing } = &self.stories[place];
        let mut scenario = scenario.clone();
        scenario.expect.clear();
        scenario.schema = None;
        (scenario.title, scenario.about) = (format!("{name}, told anew"), String::new());
        scenario.seed = Some(seed);
        scenario.allow = Some(Allow { limits: true, ..Allow::default() });
        // What has but one group is told as before.
        scenario.groups_in_beat = scenario.groups_in_beat.or_else(|| (Rng::stream(seed, PARTS).below(4) == 0).then_some(1));
        for _ in 0..rng.between(1, MOST_CHANGES) {
            match rng.below(12) {
                0..=2 => shift(&mut scenario, &mut rng),
                3 | 4 => one_moves(&mut scenario, &mut rng),
                5 => left_out(&mut scenario, &mut rng),
                6 => doubled(&mut scenario, &mut rng),
                7 => exchanged(&mut scenario, nodes, &mut rng),
                8 => self.other_pair(&mut scenario, nodes, &mut rng),
                _ => self.piece(&mut scenario, nodes, &mut rng),
            }
        }
        in_order(&mut scenario);
        let [start, well] = *healing;
        let end = scenario.until.0 + waits(&mut scenario);
        scenario.timeline.push(Entry::new(Dur(end), Step::Heal(Separate::default())));
        scenario.timeline.push(Entry::new(Dur(end + start), Step::Start(Names::Many(nodes.to_vec()))));
        scenario.until = Dur(end + start + well);
        scenario
    }

    /// Another pair of the same two nodes.
    fn other_pair(&self, scenario: &mut Scenario, nodes: &[String; 2], rng: &mut Rng) {
        if let Some(other) = self.of_the_same(nodes, rng) {
            scenario.config = other.scenario.config.clone();
        }
    }

    /// Some steps of another story in a row, as far apart as there.
    fn piece(&self, scenario: &mut Scenario, nodes: &[String; 2], rng: &mut Rng) {
        let Some(other) = self.of_the_same(nodes, rng) else { return };
        let from = rng.below(other.scenario.timeline.len() as u64) as usize;
        let some = rng.between(1, 4) as usize;
        let row: Vec<Entry> = other.scenario.timeline.iter().skip(from).take(some).cloned().collect();
        let Some(begin) = row.first().map(Entry::at) else { return };
        let here = Span(rng.below(scenario.until.0.0.max(1)) / GRAIN * GRAIN);
        let place = scenario.timeline.iter().position(|entry| entry.at().0 > here).unwrap_or(scenario.timeline.len());
        for (n, mut entry) in row.into_iter().enumerate() {
            if let Some(at) = &mut entry.time.at {
                *at = Dur(Span(here.0.saturating_add(at.0.0.saturating_sub(begin.0.0))));
            }
            scenario.timeline.insert(place + n, entry);
        }
    }

    fn of_the_same(&self, nodes: &[String; 2], rng: &mut Rng) -> Option<&Known> {
        let place = rng.below(self.stories.len() as u64) as usize;
        self.stories.get(place).filter(|story| story.nodes == *nodes)
    }
}

impl Pairs for Corpus {
    fn pair(&self, _: &Path, reference: &str) -> Result<Pair, String> {
        Files.pair(&self.folder, reference)
    }
}

fn names(pair: &Pair) -> [String; 2] {
    [0, 1].map(|node| pair.node_name(node).to_string())
}

/// From a millisecond to ten seconds, each power of ten as often.
fn some_time(rng: &mut Rng) -> u64 {
    let unit = rng.pick(&[1_000_000, 10_000_000, 100_000_000, 1_000_000_000]).copied().unwrap_or(GRAIN);
    rng.between(1, 10).saturating_mul(unit)
}

/// That much later or earlier.
fn moved(at: Dur, by: u64, later: bool) -> Dur {
    Dur(Span(if later { at.0.0.saturating_add(by) } else { at.0.0.saturating_sub(by) }))
}

/// One step and all behind it.
fn shift(scenario: &mut Scenario, rng: &mut Rng) {
    let (from, by, later) = (rng.below(scenario.timeline.len().max(1) as u64) as usize, some_time(rng), rng.below(2) == 0);
    for entry in scenario.timeline.iter_mut().skip(from) {
        entry.time.at = entry.time.at.map(|at| moved(at, by, later));
        entry.time.after = entry.time.after.map(|after| moved(after, by.min(GRAIN * 100), later));
    }
    scenario.until = moved(scenario.until, by, true);
}

fn one_moves(scenario: &mut Scenario, rng: &mut Rng) {
    let (by, later) = (some_time(rng), rng.below(2) == 0);
    let place = rng.below(scenario.timeline.len().max(1) as u64) as usize;
    if let Some(entry) = scenario.timeline.get_mut(place) {
        entry.time.at = entry.time.at.map(|at| moved(at, by, later));
    }
}

/// Not the first one: it starts the daemons.
fn left_out(scenario: &mut Scenario, rng: &mut Rng) {
    let place = rng.below(scenario.timeline.len().max(1) as u64) as usize;
    if place > 0 && place < scenario.timeline.len() {
        scenario.timeline.remove(place);
    }
}

fn doubled(scenario: &mut Scenario, rng: &mut Rng) {
    let place = rng.below(scenario.timeline.len().max(1) as u64) as usize;
    let Some(mut again) = scenario.timeline.get(place).cloned() else { return };
    again.time.at = again.time.at.map(|at| moved(at, some_time(rng), true));
    scenario.timeline.insert(place + 1, again);
}

/// From some step on each node does what the other one did.
fn exchanged(scenario: &mut Scenario, nodes: &[String; 2], rng: &mut Rng) {
    let from = rng.below(scenario.timeline.len().max(1) as u64) as usize;
    for entry in scenario.timeline.iter_mut().skip(from) {
        let Ok(mut value) = serde_json::to_value(&*entry) else { continue };
        exchange(&mut value, nodes);
        if let Ok(other) = serde_json::from_value(value) {
            *entry = other;
        }
    }
}

fn exchange(value: &mut Value, nodes: &[String; 2]) {
    let [one, other] = nodes;
    match value {
        Value::String(text) if text == one => text.clone_from(other),
        Value::String(text) if text == other => text.clone_from(one),
        Value::Array(values) => values.iter_mut().for_each(|value| exchange(value, nodes)),
        Value::Object(fields) => fields.values_mut().for_each(|value| exchange(value, nodes)),
        _ => {}
    }
}

/// Each step no earlier than the one before it, and none behind the end.
fn in_order(scenario: &mut Scenario) {
    if !scenario.timeline.iter().any(|entry| entry.time.is_relative()) {
        scenario.timeline.sort_by_key(Entry::at);
    }
    let mut last = Dur::default();
    for at in scenario.timeline.iter_mut().filter_map(|entry| entry.time.at.as_mut()) {
        last = last.max(*at);
        *at = last;
    }
    scenario.until = scenario.until.max(last);
}

/// What a step waits for may not come in another story: it waits for so long at the most. Says how long all of them may.
fn waits(scenario: &mut Scenario) -> Span {
    let mut all = Span::ZERO;
    for entry in scenario.timeline.iter_mut().filter(|entry| entry.time.is_relative()) {
        let within = entry.time.within.map_or(WAIT, |within| within.0.min(WAIT));
        if entry.time.when.is_some() {
            entry.time.within = Some(Dur(within));
        }
        all = all + within + entry.time.after.map_or(Span::ZERO, |after| after.0);
    }
    all
}

/// Of random numbers, for what is told anew.
const STREAM: u64 = 6001;
const PARTS: u64 = 6002;
/// Changes of one story.
const MOST_CHANGES: u64 = 4;
/// For something that may never come.
const WAIT: Span = Span::secs(30);
/// The longest story.
const LONGEST: Span = Span::secs(1800);
/// Times are rounded to it.
const GRAIN: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::super::script::ConfigRef;
    use super::*;

    fn corpus() -> Corpus {
        Corpus::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios")).unwrap()
    }

    #[test]
    fn most_of_what_is_told_anew_fits_its_pair_and_a_seed_tells_the_same_again() {
        let corpus = corpus();
        assert!(corpus.stories.len() > 150, "{}", corpus.stories.len());
        let fits = |seed: &u64| {
            let scenario = corpus.retell(*seed);
            assert_eq!(scenario, corpus.retell(*seed));
            let text = serde_json::to_string(&scenario).unwrap();
            assert_eq!(serde_json::from_str::<Scenario>(&text).unwrap(), scenario);
            Story::of(scenario, Path::new(""), &corpus).is_ok()
        };
        let fitting = (0..400).filter(fits).count();
        assert!(fitting > 200, "{fitting} of 400");
    }

    #[test]
    fn one_story_can_be_left_out() {
        let all = corpus();
        let before = all.stories.len();
        assert_eq!(all.without("power-lost-patient").stories.len(), before - 1);
    }

    #[test]
    fn what_is_exchanged_twice_is_what_it_was() {
        let corpus = corpus();
        for story in &corpus.stories {
            for entry in &story.scenario.timeline {
                let value = serde_json::to_value(entry).unwrap();
                let mut twice = value.clone();
                exchange(&mut twice, &story.nodes);
                exchange(&mut twice, &story.nodes);
                assert_eq!(value, twice);
            }
        }
    }

    /// A story that names its files node by node keeps them.
    #[test]
    fn files_of_each_node_are_known() {
        let each = |story: &&Known| matches!(story.scenario.config, ConfigRef::Each(_));
        assert!(corpus().stories.iter().filter(each).count() > 0);
    }
}
