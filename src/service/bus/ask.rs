//! What the task that holds the connection is asked, what it answers, and what it knows.

use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::sync::oneshot::Sender;

/// Why systemd could not be asked, or what it refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// The bus, or systemd on it, does not answer. It may be reached another way.
    Away(String),
    /// systemd's own no, in its words.
    Refused(String),
}

/// What a job is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    /// StartUnit.
    Start,
    /// StopUnit; without a wait for what it is ordered after, when the daemon's own end is waited for.
    Stop {
        /// Job mode `ignore-dependencies`.
        unordered: bool,
    },
}

/// A program that a unit is made of.
#[derive(Debug)]
pub struct Program {
    /// The unit's description.
    pub title: String,
    /// Where the program is.
    pub path: String,
    /// Its arguments, its own name first; systemd puts variables in the place of `$` signs, and one in the place of two.
    pub argv: Vec<String>,
    /// `KEY=value`.
    pub environment: Vec<String>,
    /// It is done when it ends; what it leaves behind stays in the unit.
    pub ends: bool,
    /// It is to run while the daemon itself is being stopped, perhaps by a shutdown: it waits for nobody, and nobody for it.
    pub last: bool,
    /// How long its start may take.
    pub start_limit: Duration,
    /// How long its stop may take before it is killed.
    pub stop_limit: Duration,
    /// Where its output goes; none: into systemd's own journal.
    pub output: Option<OwnedFd>,
}

/// How a job ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JobEnd {
    /// systemd's word: `done`, `failed`, `timeout`, …
    pub result: String,
    /// The unit's state behind it.
    pub active: String,
}

/// The one who asked.
pub type Answer<T> = Sender<Result<T, Trouble>>;

/// A question about the unit at a place of the list.
#[derive(Debug)]
pub enum Ask {
    /// Its state now.
    Look(usize, Answer<String>),
    /// A job, to its end. Who does not want to wait any more drops the answer.
    Job(usize, Verb, Answer<JobEnd>),
    /// A unit of this program, to the end of its start.
    Run(usize, Box<Program>, Answer<JobEnd>),
    /// That it failed was seen.
    Forgive(usize, Answer<()>),
    /// SIGKILL to all of it.
    Kill(usize, Answer<()>),
    /// A property of the interface behind the dot that is one word.
    Word(usize, &'static str, &'static str, Answer<String>),
}

/// What is known of one unit: its ActiveState, or why that is not known.
pub type Known = Result<String, String>;

/// What is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Board {
    /// The first connection is being made.
    Unsettled,
    /// There is none, and why; another is tried for.
    Down(String),
    /// Signals are heard: what stands here is true.
    Up(Vec<Known>),
}
