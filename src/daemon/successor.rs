//! Before a daemon exits for a restart: could the next one begin? It is asked by starting it, from the path that this one was started
//! from, since an upgrade may have put another program there.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use super::event::Event;
use super::options::Options;
use super::trial;
use twinbeat_core::io::Answer;

/// A restart that somebody asked for.
#[derive(Default)]
pub struct Successor {
    /// Why this daemon goes on although it was told to come back; none when nobody told it to.
    waits: Option<String>,
    /// The question is under way, or will be asked again.
    asked: bool,
}

impl Successor {
    /// SIGUSR2: the answer comes back as an event. Asked already, it is not asked again.
    pub fn ask(&mut self, options: &Options, events: &UnboundedSender<Event>) {
        if !std::mem::replace(&mut self.asked, true) {
            ask(options.clone(), events.clone(), Duration::ZERO);
        }
    }

    /// The next life could begin.
    pub fn ready(&mut self) {
        *self = Successor::default();
    }

    /// It could not, and the peer does not take over either: asked again in a while, for as long as it takes. systemd, which waits for the
    /// end of this process, is told to wait on.
    pub fn stays(&mut self, why: String, options: &Options, events: &UnboundedSender<Event>) {
        if self.waits.as_ref() != Some(&why) {
            tracing::error!("the restart waits, this daemon goes on with what it has read before: {why}");
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Status(&format!("the restart waits: {why}"))]);
            self.waits = Some(why);
        }
        let more = sd_notify::NotifyState::ExtendTimeoutUsec(u32::try_from(WAITS.as_micros()).unwrap_or(u32::MAX));
        let _ = sd_notify::notify(&[more]);
        ask(options.clone(), events.clone(), AGAIN);
    }

    /// The problem's words, while a restart waits.
    pub fn problem(&self) -> Option<String> {
        self.waits.as_ref().map(|why| format!("the restart waits: {why}"))
    }
}

/// What becomes of the answer to a hand-over that began because `why`.
pub async fn follow(answer: tokio::sync::oneshot::Receiver<Answer>, why: String, events: UnboundedSender<Event>) {
    if let Ok(Answer::Refused(refusal)) = answer.await {
        let _ = events.send(Event::Stays(format!("{why}; {refusal}")));
    }
}

fn ask(options: Options, events: UnboundedSender<Event>, pause: Duration) {
    let asked = events.clone();
    let begun = std::thread::Builder::new().name("successor".into()).spawn(move || {
        std::thread::sleep(pause);
        let _ = asked.send(Event::Successor(could_begin(&options)));
    });
    if begun.is_err() {
        // Without a thread nothing is known; what was asked for is done.
        let _ = events.send(Event::Successor(Ok(())));
    }
}

/// Whether the program at this one's path would start with these options, else its words.
pub fn could_begin(options: &Options) -> Result<(), String> {
    let Some(program) = program() else { return by_this_one(options) };
    let mut command = Command::new(&program);
    command.args(["run", "--try", "--config"]).arg(&options.config).arg("--state-dir").arg(&options.state_dir);
    command.args(options.node.iter().flat_map(|node| ["--node", node.as_str()])).env_remove("NOTIFY_SOCKET");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let cannot = |error: &dyn std::fmt::Display| format!("{} cannot be run: {error}", program.display());
    let mut child = command.spawn().map_err(|error| cannot(&error))?;
    let began = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if began.elapsed() < PATIENCE => std::thread::sleep(LOOK),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(cannot(&format!("no answer within {PATIENCE:?}")));
            }
            Err(error) => return Err(cannot(&error)),
        }
    };
    match status.code() {
        Some(0) => Ok(()),
        // Another version, which does not know the question.
        Some(2) => by_this_one(options),
        _ => {
            let mut said = String::new();
            let _ = child.stderr.take().map(|stderr| stderr.take(MOST_WORDS).read_to_string(&mut said));
            let said = said.trim().trim_start_matches("twinbeat: ").replace('\n', "; ");
            Err(if said.is_empty() { cannot(&status) } else { said })
        }
    }
}

fn by_this_one(options: &Options) -> Result<(), String> {
    trial::try_start(options).map_err(|error| format!("{error:#}"))
}

/// Where the next one comes from; none where this one was found by a search along PATH.
fn program() -> Option<PathBuf> {
    std::env::args_os().next().map(PathBuf::from).filter(|path| path.components().count() > 1)
}

/// Between two questions while a restart waits.
const AGAIN: Duration = Duration::from_secs(1);
/// What systemd is asked to wait from each question on.
const WAITS: Duration = Duration::from_secs(60);
/// How long the next one may take to read its file.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two looks whether it has ended.
const LOOK: Duration = Duration::from_millis(1);
/// The most bytes of its words.
const MOST_WORDS: u64 = 4096;
