//! The checks of one running service: each on a task of its own, beside the manager, which hears of a fall alone.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::attempt::Env;
use super::check::CheckSpec;
use super::tally::{Change, Tally};

/// A service fell.
#[derive(Debug)]
pub(super) struct Fallen {
    /// Its place in the group.
    pub index: usize,
    /// The watch that saw it: one that was ended since says nothing any more.
    pub watch: u64,
    /// Which check, and what it said.
    pub why: String,
}

/// The newest word of a check, for people.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Word {
    text: String,
    well: bool,
}

/// The checks of one service.
#[derive(Debug)]
pub(super) struct Monitor {
    index: usize,
    checks: Vec<CheckSpec>,
    words: Arc<Mutex<Vec<Option<Word>>>>,
    tasks: Vec<AbortHandle>,
    watch: u64,
    fallen: UnboundedSender<Fallen>,
    /// How long the newest start took until all checks were well.
    took: Option<Duration>,
}

impl Monitor {
    /// Asks nothing yet.
    pub fn new(index: usize, checks: Vec<CheckSpec>, fallen: UnboundedSender<Fallen>) -> Monitor {
        let words = Arc::new(Mutex::new(vec![None; checks.len()]));
        Monitor { index, checks, words, tasks: Vec::new(), watch: 0, fallen, took: None }
    }

    /// The checks' tasks begin.
    pub fn begin(&mut self, env: &Env) {
        self.rest();
        for (place, check) in self.checks.iter().enumerate() {
            let (check, env, words) = (check.clone(), env.clone(), Arc::clone(&self.words));
            let (index, watch, fallen) = (self.index, self.watch, self.fallen.clone());
            let task = async move {
                let why = falls(&check, &env, |word| put(&words, place, word)).await;
                let _ = fallen.send(Fallen { index, watch, why });
            };
            self.tasks.push(tokio::spawn(task).abort_handle());
        }
    }

    /// They end; what they have found and not yet told counts no more.
    pub fn rest(&mut self) {
        self.tasks.drain(..).for_each(|task| task.abort());
        self.watch = self.watch.saturating_add(1);
        self.words.lock().unwrap_or_else(PoisonError::into_inner).fill(None);
    }

    /// Whether a fall is of the watch that is kept now.
    pub fn is_of_now(&self, fallen: &Fallen) -> bool {
        fallen.watch == self.watch
    }

    /// Waits until each check was well so many times in a row as `rise` says, at most for `most`; says what is wrong otherwise. Checks of an
    /// address that moves are left out where this node is not to have it. In a `restart` each has twice as long as the last start took, and as
    /// long as its fall takes at the least: what a restart does not mend is not waited for.
    pub async fn rises(&self, env: &Env, owner: bool, restart: bool, most: Duration) -> Result<(), String> {
        let begun = Instant::now();
        let each =
            self.checks.iter().enumerate().filter(|(_, check)| owner || !check.of_the_owner).map(async |(place, check)| {
                let limit = self.took.filter(|_| restart).map_or(most, |took| took.saturating_mul(2).max(fall(check)).min(most));
                let mut row = 0_u32;
                loop {
                    let answer = check.probe.ask(check.timeout, env).await;
                    put(&self.words, place, word(&answer));
                    row = if answer.is_ok() { row.saturating_add(1) } else { 0 };
                    match answer {
                        Ok(_) if row >= check.rise => return Ok(()),
                        Err(why) if begun.elapsed() >= limit => return Err(format!("check {}: {why}", check.probe)),
                        _ => sleep(check.interval.div_f32(HURRY).max(SHORTEST)).await,
                    }
                }
            });
        try_join_all(each).await.map(|_| ())
    }

    /// A start took so long until all was well.
    pub fn started_in(&mut self, took: Duration) {
        self.took = Some(took);
    }

    /// Whether there is anything to ask.
    pub fn is_empty(&self) -> bool {
        self.checks.is_empty()
    }

    /// The newest words of the checks, in the order of the file; none when none was asked.
    pub fn words(&self) -> Option<(String, bool)> {
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        let words: Vec<&Word> = words.iter().flatten().collect();
        let text = words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join("; ");
        (!words.is_empty()).then(|| (text, words.iter().all(|word| word.well)))
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.rest();
    }
}

fn put(words: &Mutex<Vec<Option<Word>>>, place: usize, word: Word) {
    if let Some(place) = words.lock().unwrap_or_else(PoisonError::into_inner).get_mut(place) {
        *place = Some(word);
    }
}

fn word(answer: &Result<String, String>) -> Word {
    match answer {
        Ok(text) => Word { text: text.clone(), well: true },
        Err(why) => Word { text: why.clone(), well: false },
    }
}

/// How long it takes from the first failure to a fall.
fn fall(check: &CheckSpec) -> Duration {
    check.interval.saturating_mul(check.fall).saturating_add(check.timeout)
}

/// Asks at its interval until the service has fallen, and says what the check said then.
async fn falls(check: &CheckSpec, env: &Env, put: impl Fn(Word)) -> String {
    let mut tally = Tally::new(check.fall, check.rise);
    let mut ticks = interval(check.interval.max(SHORTEST));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let answer = check.probe.ask(check.timeout, env).await;
        let change = tally.take(answer.is_ok());
        let mut said = word(&answer);
        if let Some((row, fall)) = tally.failing() {
            said.text = format!("{} ({row} of {fall})", said.text);
            if row == 1 {
                tracing::info!(target: "service", "{}: check {}: {}", env.group, check.probe, said.text);
            }
        }
        put(said);
        if let (Err(why), Some(Change::Fell)) = (answer, change) {
            return format!("check {}: {why}, {} times in a row", check.probe, check.fall);
        }
    }
}

/// While a start is waited for it is asked so many times as often.
const HURRY: f32 = 5.0;
/// Nothing is asked more often.
const SHORTEST: Duration = Duration::from_millis(50);
