//! `twinbeat why`: each decision with the evidence that it rested on, from the flight recorder.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Daemon;
use twinbeat_control::client::ask_blocking;
use twinbeat_control::protocol::{PATIENCE, Request, Response};
use twinbeat_host::realtime;
use twinbeat_journal::replay::Trouble;
use twinbeat_journal::{DIR, file, past, why};
use twinbeat_say::{Stamp, say_on};
use twinbeat_sim::files::Files;
use twinbeat_sim::script::Story;
use twinbeat_whatif::tape::journals;

/// The daemon's recorder writes within this time when it is asked to.
pub(super) const WRITTEN: Duration = Duration::from_millis(300);

/// Of the last hour no further file is begun after this.
const LONGEST: Duration = Duration::from_secs(3);

/// Each decision with the evidence that it rested on: what was known, what was missing. Of a daemon, of a state directory, or of a
/// scenario's run in virtual time, whose times count from its start
#[derive(clap::Args, Clone, Debug)]
pub struct WhyArgs {
    /// A scenario (.json): it is run, and both nodes' decisions are told
    pub scenario: Option<PathBuf>,
    /// How many decisions
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub last: u32,
    /// The last hour for programs, as one JSON object: who served, links, witness and problems as stretches of time, and all events, decisions
    /// with their evidence
    #[arg(long, conflicts_with_all = ["scenario", "last"])]
    pub json: bool,
    /// Where the daemon is
    #[command(flatten)]
    pub daemon: Daemon,
    /// Read the journal below this state directory instead of asking a daemon: for one that does not run
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

/// Runs it; the exit code.
pub fn run(args: &WhyArgs) -> u8 {
    let told = match &args.scenario {
        Some(scenario) => of_scenario(scenario, args.last),
        None if args.json => journal(args).map(|dir| hour(&dir)),
        None => journal(args).and_then(|dir| tell(&dir, args.last)),
    };
    match told {
        Ok(text) => {
            say_on!("{text}");
            0
        }
        Err(why) => {
            eprintln!("{why}");
            1
        }
    }
}

/// What both nodes of a scenario decided, and why.
fn of_scenario(scenario: &Path, last: u32) -> Result<String, String> {
    let name = scenario.display().to_string();
    let text = std::fs::read_to_string(scenario).map_err(|wrong| format!("{name}: {wrong}"))?;
    let story = Story::read(&text, &name, scenario.parent().unwrap_or(Path::new(".")), &Files)?;
    if let Some(step) = story.not_here.first() {
        return Err(format!("{name}: the step `{step}` does not exist in virtual time yet"));
    }
    let folder = Scratch::new().map_err(|wrong| format!("no room for the journals: {wrong}"))?;
    let nodes = journals(&story, &folder.0).map_err(|wrong| format!("no room for the journals: {wrong}"))?;
    let told = nodes.iter().map(|(node, dir)| Ok(format!("==== {node}\n\n{}\n", tell(dir, last)?)));
    told.collect::<Result<Vec<String>, String>>().map(|all| all.concat())
}

/// A folder that goes with its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> std::io::Result<Scratch> {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
        let folder = std::env::temp_dir().join(format!("twinbeat-why-{:016x}", u64::from_le_bytes(bytes)));
        std::fs::create_dir(&folder)?;
        Ok(Scratch(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Where the journal is. The explaining is done here, not in the daemon: nothing that a person asks may cost it time.
fn journal(args: &WhyArgs) -> Result<PathBuf, String> {
    if let Some(dir) = &args.state_dir {
        return Ok(dir.clone());
    }
    match ask_blocking(&args.daemon.run_dir, &Request::Why { last: args.last }, PATIENCE) {
        Ok(Response::Journal(dir)) => {
            std::thread::sleep(WRITTEN);
            Ok(dir)
        }
        Ok(Response::Refused(why)) => Err(format!("refused: {why}")),
        Ok(_) => Err("the daemon answered something else than was asked".into()),
        Err(error) => Err(format!("{error}\nof a daemon that does not run: twinbeat why --state-dir /var/lib/twinbeat")),
    }
}

/// The last hour. Behind everybody else: the machine may be an owner's, and nobody waits for this as for its heartbeats.
fn hour(dir: &Path) -> String {
    let _ = realtime::behind_others();
    let now = Stamp::now().nanos() / 1_000_000;
    past::look(dir, now, Duration::from_secs(3600), LONGEST).json() + "\n"
}

fn tell(dir: &std::path::Path, last: u32) -> Result<String, String> {
    let files = file::named(&[dir.to_owned()]).map_err(|fault| fault.to_string())?;
    let story = why::explain(&files, last as usize).map_err(|trouble| match trouble {
        Trouble::Fault(fault) => fault.to_string(),
        Trouble::Difference(difference) => {
            format!("the journal does not replay, so nothing can be explained from it\n{difference}")
        }
    })?;
    let mut text = String::new();
    for decision in &story.decisions {
        text += decision;
        text.push('\n');
    }
    if story.decisions.is_empty() {
        text += &format!("no decision in {} files of {}\n\n", files.len(), dir.join(DIR).display());
    }
    text += &story.now;
    story.remarks.iter().for_each(|remark| text += &format!("note: {remark}\n"));
    Ok(text)
}
