//! Why a frame is refused, how often, and a line in the log that a flood cannot multiply.

use std::fmt;

use twinbeat_core::time::{Mono, Span};

/// At most one line a reason in this time.
pub const LOG_EVERY: Span = Span::secs(10);

macro_rules! rejects {
    ($($(#[$doc:meta])* $name:ident = $key:literal, $text:literal;)*) => {
        /// Why a frame was refused, in the order of the checks.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, thiserror::Error)]
        pub enum Reject {
            $($(#[$doc])* #[error($text)] $name,)*
        }

        impl Reject {
            /// Every reason.
            pub const ALL: &'static [Reject] = &[$(Reject::$name),*];

            /// One word, for counters.
            pub const fn key(self) -> &'static str {
                match self { $(Reject::$name => $key),* }
            }
        }
    };
}

rejects! {
    /// Longer than [`MAX_FRAME`](super::MAX_FRAME).
    TooLong = "too_long", "longer than a frame may be";
    /// No room for a body.
    TooShort = "too_short", "too short to be a frame";
    /// Something else than a heartbeat.
    Magic = "magic", "not a twinbeat frame";
    /// A frame version before this program's: version 1, whose body was JSON.
    Older = "older", "the peer speaks version 1, this node version 2: it is not understood; bring both nodes to one release";
    /// A frame version that this program does not know.
    Newer = "newer", "the peer speaks a version above this node's 2: it is not understood; bring both nodes to one release";
    /// Our own frame, come back.
    Reflected = "reflected", "our own frame came back: a loop in the network, or somebody replays it to us";
    /// The tag is not that of this cluster, sender, receiver, path and content.
    Tag = "tag", "wrong tag: another cluster, another key, another link, or a forgery";
    /// The tag is right and the signature is not.
    Signature = "signature", "wrong signature";
    /// Signed by the peer, and not readable as a heartbeat.
    Body = "body", "signed by the peer, but not readable as a heartbeat";
    /// Signed by the peer, and naming another sender.
    Sender = "sender", "signed by the peer, but naming another sender: do both nodes sort the same two names?";
    /// The very frame was taken before on this path: it can say nothing new.
    Replayed = "replayed", "it came before: doubled by the network, or played back";
    /// Too many frames of late whose verification brought nothing.
    Budget = "budget", "not looked at: too many frames of late that were old or wrongly signed";
}

const REASONS: usize = Reject::ALL.len();

impl Reject {
    /// Its place in a table of all reasons.
    fn of<T>(self, table: &mut [T; REASONS]) -> &mut T {
        #[expect(clippy::indexing_slicing, reason = "as many places as reasons: no value of the type is outside")]
        &mut table[self as usize]
    }
}

/// How many frames were refused, by reason.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Rejects([u64; REASONS]);

impl Rejects {
    /// One more.
    pub(super) fn count(&mut self, reject: Reject) {
        let count = reject.of(&mut self.0);
        *count = count.saturating_add(1);
    }

    /// How many for this reason.
    pub fn of(mut self, reject: Reject) -> u64 {
        *reject.of(&mut self.0)
    }

    /// How many in all.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// Decides when a refused frame is worth a line: at most one a reason in [`LOG_EVERY`], with what was left out meanwhile.
#[derive(Default, Debug)]
pub struct RejectLog {
    last: [Option<Mono>; REASONS],
    unsaid: Rejects,
    total: Rejects,
}

/// A line for the log. It prints as a sentence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RejectLine {
    /// Why.
    pub reject: Reject,
    /// How many since the last such line, this one included.
    pub since_last: u64,
    /// How many since the start.
    pub total: u64,
}

impl RejectLog {
    /// Counts a refused frame at `now`; gives a line when one is due.
    pub fn note(&mut self, now: Mono, reject: Reject) -> Option<RejectLine> {
        self.unsaid.count(reject);
        self.total.count(reject);
        let last = reject.of(&mut self.last);
        if last.is_some_and(|last| now.since(last) < LOG_EVERY) {
            return None;
        }
        *last = Some(now);
        let since_last = std::mem::take(reject.of(&mut self.unsaid.0));
        Some(RejectLine { reject, since_last, total: self.total.of(reject) })
    }

    /// How many there were since the start.
    pub fn total(&self) -> Rejects {
        self.total
    }
}

impl fmt::Display for RejectLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reject, since_last, total } = self;
        write!(f, "refused a heartbeat frame: {reject} ({since_last} since the last such line, {total} in all)")
    }
}
