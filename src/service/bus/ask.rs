//! What the task that holds the connection is asked, what it answers, and what it knows.

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
