//! Runs of a drill as chapters of a report: each fault of the catalogue on a pair, each scenario on a pair of its own.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result};

use super::catalogue::Fault;
use super::drill::Verdict;
use super::html::{self, Chapter, Detail, Passed, ms};
use super::judge::{Judgement, judge};
use super::lanes::picture;
use super::live::Live;
use super::pair::Pair;
use super::probe::Outcome;
use super::stage::{self, Script};
use super::telling::closest;
use super::timeline::At;
use twinbeat_config::Config;
use twinbeat_core::id::NodeId;
use twinbeat_picture::Verdict as Line;
use twinbeat_sim::files::{Files, find};
use twinbeat_sim::pair::{Pair as Settings, Pairs};
use twinbeat_sim::script::{ConfigRef, Story};
use twinbeat_sim::step::Step;

/// Both nodes' settings out of a configuration that was read already, whatever a scenario names.
struct Given<'a>(&'a Config);

impl Pairs for Given<'_> {
    fn pair(&self, _: &Path, _: &str) -> Result<Settings, String> {
        let of = |node: usize| self.0.settings(&self.0.nodes[node].name).map_err(|error| error.to_string());
        Ok(Settings::new([of(0)?, of(1)?], self.0.nodes.each_ref().map(|node| node.public_key.to_bytes())))
    }
}

/// One fault of the catalogue on a pair that serves.
///
/// # Errors
/// A step that cannot be done; and when `stop` was raised.
pub fn fault(pair: &mut Pair, fault: &Fault, live: &mut Live, stop: &AtomicBool) -> Result<(Chapter, Verdict)> {
    // The catalogue speaks of the recipe's pair.
    let public = &pair.lab.plan.cable(pair.lab.plan.public).link;
    let about =
        if pair.recipe { fault.about.to_owned() } else { fault.about.replace("eth0", public).replace("master1", "the owner") };
    live.begin(&format!("{}: {about}", fault.name), pair, None);
    let verdict = pair.drill(fault, stop, &mut |pair| live.look(pair))?;
    let passed = verdict.failures.is_empty();
    let lines: Vec<Line> = match passed {
        true => vec![Line { good: true, text: "as it shall be; at no time did two nodes answer".to_owned() }],
        false => verdict.failures.iter().map(|text| Line { good: false, text: text.clone() }).collect(),
    };
    let (from, to) = verdict.window;
    let lead = from.min(Duration::from_secs(1));
    let picture = picture(fault.name, &about, pair, (from - lead, to), lines);
    let heal = format!("from the heal on: gap {}, moves {}", ms(verdict.heal.gap), verdict.heal.moves());
    let mut notes = vec![heal, lateness(&verdict.fault, &verdict.heal)];
    for (group, during, after) in &verdict.others {
        let name = &pair.lab.plan.groups[*group].name;
        notes.push(format!(
            "{name}: gap {}, moves {}; from the heal on gap {}, moves {}",
            ms(during.gap),
            during.moves(),
            ms(after.gap),
            after.moves()
        ));
    }
    let mut details = vec![Detail::new("figures beside the table", notes)];
    if !passed {
        details.push(Detail::new("not as it shall be", verdict.failures.clone()));
        let times =
            |outcome: &Outcome| outcome.served.iter().map(|(at, n)| who(pair, *at, *n, from)).collect::<Vec<_>>().join(", ");
        let lines = vec![format!("while held: {}", times(&verdict.fault)), format!("from the heal on: {}", times(&verdict.heal))];
        details.push(Detail::new("who answered", lines));
        details.extend(html::logs(pair, 40));
    }
    let two = verdict.fault.two_owners + verdict.heal.two_owners;
    let result = if passed { Passed::Yes } else { Passed::No };
    let chapter =
        Chapter { name: fault.name.to_owned(), result, figures: figures(&verdict.fault, two), details, picture: Some(picture) };
    Ok((chapter, verdict))
}

/// A scenario read from its file; `own` takes the place of the configuration that it names.
///
/// # Errors
/// A scenario or a configuration that cannot be read, with file, line and what is allowed.
pub fn read(path: &Path, own: Option<&Config>) -> Result<Script> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| name.clone())?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let story = match own {
        Some(config) => Story::read(&text, &name, folder, &Given(config)),
        None => Story::read(&text, &name, folder, &Files),
    };
    let story = story.map_err(anyhow::Error::msg)?;
    let config = |node: usize| -> Result<Config> {
        match (own, &story.scenario.config) {
            (Some(config), _) => Ok(config.clone()),
            (None, ConfigRef::Both(file)) => Ok(Config::read(&find(folder, file))?),
            (None, ConfigRef::Each(files)) => {
                let of = &**story.pair.node_name(node);
                Ok(Config::read(&find(folder, files.get(of).with_context(|| format!("{name}: no configuration for {of}"))?))?)
            }
        }
    };
    let configs = [config(0)?, config(1)?];
    let written = |config: &Config| std::fs::read_to_string(config.file()).with_context(|| config.file().display().to_string());
    let texts = [written(&configs[0])?, written(&configs[1])?];
    let steps = own.is_none().then(|| story.entries()).into_iter().flatten();
    let named = steps.filter_map(|step| if let Step::Configure(on) = step { on.config.as_ref() } else { None });
    let later = named.map(|file| Config::read(&find(folder, file))).collect::<Result<Vec<_>, _>>()?;
    Ok(Script { story, configs, texts, later, folder: own.is_none().then(|| folder.to_owned()) })
}

/// One scenario on the real kernel, weighed against virtual time.
///
/// # Errors
/// When the lab cannot be built or a step cannot be done; and when `stop` was raised.
pub fn scenario(
    binary: &Path,
    path: &Path,
    own: Option<&Config>,
    live: &mut Live,
    stop: &AtomicBool,
    keep: bool,
) -> Result<(Chapter, Option<Judgement>)> {
    let script = read(path, own)?;
    let story = &script.story;
    let name = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let missing = stage::impossible(story);
    if !missing.is_empty() {
        let figures = vec!["-".to_owned(); html::COLUMNS.len()];
        let details = vec![Detail::new("not on the real kernel, and so not counted as passed", missing)];
        return Ok((Chapter { name, result: Passed::NotHere, figures, details, picture: None }, None));
    }
    let length = Duration::from_nanos(story.scenario.until.0.0);
    let title = format!("{name}: {}", story.scenario.title);
    let mut begun = false;
    let played = stage::play(binary, &script, stop, &mut |pair| {
        if !std::mem::replace(&mut begun, true) {
            live.begin(&title, pair, Some(length));
        }
        live.look(pair);
    })?;
    let (told, telling) = closest(story, &played);
    let mut judgement = judge(story, &told, &played);
    if telling > 0 {
        judgement
            .notes
            .push(format!("virtual time is the story's telling {telling}: one thing is done a moment after the other"));
    }
    let passed = judgement.failures.is_empty();
    let mut lines: Vec<Line> = judgement.failures.iter().map(|text| Line { good: false, text: text.clone() }).collect();
    if passed {
        let text =
            format!("as expected, and the same owners and refusals as in virtual time, to within {:?}", judgement.tolerance);
        lines.push(Line { good: true, text });
    }
    let mut pair = played.pair;
    pair.site.keep = keep;
    let picture = picture(&story.scenario.title, &story.scenario.about, &pair, (played.from, played.to), lines);
    let mut notes = vec![format!("the probe itself was late by {} at the most", ms(judgement.lateness))];
    notes.extend(judgement.notes.clone());
    notes.extend(pair.answered().into_iter().map(|a| {
        let word = if a.done { "" } else { "refused: " };
        format!("{}: {word}{}", pair.lab.name(a.node), a.text)
    }));
    let mut details = vec![Detail::new("owners", html::courses(&judgement, &pair)), Detail::new("beside that", notes)];
    if !passed {
        details.push(Detail::new("not as expected", judgement.failures.clone()));
        details.extend(html::logs(&pair, 60));
    }
    let figures = match judgement.courses.first() {
        Some(course) => figures(&course.outcome, course.outcome.two_owners),
        None => vec!["-".to_owned(); html::COLUMNS.len()],
    };
    let result = if passed { Passed::Yes } else { Passed::No };
    Ok((Chapter { name, result, figures, details, picture: Some(picture) }, Some(judgement)))
}

fn who(pair: &Pair, at: At, node: NodeId, from: At) -> String {
    format!("{} from {:.3} s", pair.lab.name(node), at.as_secs_f64() - from.as_secs_f64())
}

fn figures(outcome: &Outcome, two_owners: Duration) -> Vec<String> {
    vec![ms(outcome.gap), ms(outcome.lost), ms(outcome.page_gap), outcome.moves().to_string(), ms(two_owners)]
}

fn lateness(during: &Outcome, after: &Outcome) -> String {
    let late = during.lateness.max(after.lateness);
    let discarded = during.discarded + after.discarded;
    format!(
        "the probe itself was late by {} at the most; {discarded} silences no longer than its lateness were discarded",
        ms(late)
    )
}
