//! `Recorded`: the daemon's `Node`, with each input written down before it is acted on.

use std::path::PathBuf;
use std::time::Duration;

use super::file::{Begins, Head};
use super::line::Coder;
use super::queue::{Queue, ROOM, Taken};
use super::writer;
use twinbeat_core::event::Level;
use twinbeat_core::io::{Input, Output};
use twinbeat_core::node::Node;
use twinbeat_core::settings::GroupSettings;
use twinbeat_core::time::Mono;
use twinbeat_core::view::View;

/// How long the end of the process waits for the last lines.
const LAST: Duration = Duration::from_secs(1);
/// The same for one that panicked: its peer is about to take over.
const PANIC: Duration = Duration::from_millis(200);

/// A node and its recorder. The same calls as [`Node`].
pub struct Recorded {
    node: Node,
    recorder: Recorder,
}

struct Recorder {
    queue: Queue,
    coder: Coder,
    /// On its way into the queue.
    bytes: Vec<u8>,
    lines: u64,
    /// A line of outputs has been begun.
    open: bool,
    /// A person will want to read it.
    notable: bool,
    wants_file: bool,
    /// Nothing is recorded until a new file has begun.
    blind: Option<Begins>,
    lost: u64,
}

impl Recorded {
    /// Starts a journal in `dir` that keeps so many bytes, for a node to which nothing was said yet.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn start(node: Node, now: Mono, dir: PathBuf, keep: u64) -> std::io::Result<Recorded> {
        let queue = Queue::default();
        let recorded = Recorded::with(node, now, queue.clone());
        writer::start(dir, keep, queue)?;
        Ok(recorded)
    }

    /// The same with a queue that nobody empties yet.
    pub(super) fn with(node: Node, now: Mono, queue: Queue) -> Recorded {
        let begun = queue.begin(|| Box::new(Head::new(&node, now, Begins::Start, 0)));
        let recorder = Recorder {
            queue,
            coder: Coder::default(),
            bytes: Vec::new(),
            lines: 0,
            open: false,
            notable: false,
            wants_file: false,
            blind: (!begun).then_some(Begins::Gap),
            lost: 0,
        };
        Recorded { node, recorder }
    }

    /// As [`Node::handle`].
    pub fn handle(&mut self, now: Mono, input: Input) {
        self.recorder.before(&self.node, now, &input);
        self.node.handle(now, input);
    }

    /// The end of a life that comes back: waits at most this long for the last lines, and for nothing else.
    pub fn leave(mut self, most: Duration) {
        self.recorder.after();
        self.recorder.queue.end(&mut self.recorder.bytes, &mut self.recorder.lines);
        self.recorder.queue.flush(most);
        std::mem::forget(self);
    }

    /// As [`Node::poll`].
    pub fn poll(&mut self) -> Option<Output> {
        let output = self.node.poll();
        match &output {
            Some(output) => self.recorder.output(output),
            None => self.recorder.after(),
        }
        output
    }

    /// As [`Node::deadline`].
    pub fn deadline(&self) -> Option<Mono> {
        self.node.deadline()
    }

    /// As [`Node::peer_has`].
    pub fn peer_has(&self, group: &GroupSettings, now: Mono) -> Option<bool> {
        self.node.peer_has(group, now)
    }

    /// As [`Node::view`].
    pub fn view(&self, now: Mono) -> View {
        self.node.view(now)
    }

    /// Has a panic of any thread write out what waits, before the process ends: the input that it is about is there.
    pub fn survive_panics(&self) {
        let queue = self.recorder.queue.clone();
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            before(panic);
            queue.try_flush(PANIC);
        }));
    }

    /// Waits until all that was recorded is written.
    #[cfg(test)]
    pub fn wait(&mut self) {
        self.recorder.queue.hand_over(&mut self.recorder.bytes, &mut self.recorder.lines);
        self.recorder.queue.flush(LAST * 60);
    }

    /// How many lines were lost since the last file began.
    #[cfg(test)]
    pub fn lost(&self) -> u64 {
        self.recorder.lost
    }

    /// Why what is decided now is not on the disk, in words; none when it is.
    pub fn trouble(&self) -> Option<String> {
        let behind = || {
            let lost = self.recorder.lost;
            let words = || format!("{} its disk as fast as it is told: {lost} lines are lost so far", writer::CANNOT);
            (lost > 0 && self.recorder.blind.is_some()).then(words)
        };
        self.recorder.queue.trouble().or_else(behind)
    }

    /// What waits will be written in a moment: somebody is about to read.
    pub fn hurry(&self) {
        self.recorder.queue.hurry();
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        self.recorder.after();
        self.recorder.queue.end(&mut self.recorder.bytes, &mut self.recorder.lines);
        self.recorder.queue.flush(LAST);
    }
}

impl Recorder {
    fn before(&mut self, node: &Node, now: Mono, input: &Input) {
        self.after();
        if self.wants_file && self.blind.is_none() && self.bytes.is_empty() {
            self.blind = Some(Begins::Rotation);
        }
        if let Some(begins) = self.blind {
            let lost = self.lost;
            let ready = begins != Begins::Gap || self.queue.has_room();
            if !ready || !self.queue.begin(|| Box::new(Head::new(node, now, begins, lost))) {
                // A rotation can wait for the next input; nothing else can.
                if begins != Begins::Rotation {
                    (self.lost, self.blind) = (self.lost.saturating_add(1), Some(Begins::Gap));
                    return;
                }
            } else {
                self.coder = Coder::default();
                self.lost = 0;
                self.wants_file = false;
            }
            self.blind = None;
        }
        self.coder.input(&mut self.bytes, now, input);
        self.lines = self.lines.saturating_add(1);
        self.push();
    }

    fn output(&mut self, output: &Output) {
        if self.blind.is_some() {
            return;
        }
        if !std::mem::replace(&mut self.open, true) {
            Coder::begin_outputs(&mut self.bytes);
        }
        self.coder.output(&mut self.bytes, output);
        self.notable |= matches!(output, Output::Note(event) if event.level >= Level::Info);
    }

    /// All outputs of an input are known.
    fn after(&mut self) {
        if std::mem::take(&mut self.open) {
            Coder::end_outputs(&mut self.bytes);
            self.lines = self.lines.saturating_add(1);
        }
        if !self.bytes.is_empty() {
            self.push();
        }
        if std::mem::take(&mut self.notable) {
            self.queue.hurry();
        }
    }

    fn push(&mut self) {
        match self.queue.push(&mut self.bytes, &mut self.lines) {
            Taken::Yes(wants_file) => self.wants_file = wants_file,
            Taken::Later if self.bytes.len() < ROOM => {}
            Taken::Later | Taken::Full => {
                self.lost = self.lost.saturating_add(std::mem::take(&mut self.lines));
                self.bytes.clear();
                self.open = false;
                self.blind = Some(Begins::Gap);
            }
        }
    }
}
