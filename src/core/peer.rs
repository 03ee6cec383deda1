//! What all links together say of the peer: alive or silent, which of my heartbeats it heard, what it said last.
//!
//! The replay guard lives here: by incarnation and growing number, fresh by echo (SAFETY R12).

use alloc::collections::VecDeque;
use alloc::sync::Arc;

use serde::{Deserialize, Serialize};

use super::bite::{self, Clause};
use super::files::PeerFile;
use super::heartbeat::{GroupBeat, Heartbeat, VERSION, Verified};
use super::id::Incarnation;
use super::meaning;
use super::time::{Mono, Span};

/// A number this far behind the newest may still prove that a slower link works.
const LINK_WINDOW: u64 = 64;
/// How many of my own heartbeats' send times are kept.
const SENT_KEPT: usize = 512;

/// What the replay guard says of a heartbeat.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Guard {
    /// Newer than all: its words count.
    New,
    /// The newest, or nearly, once more over another link: it counts for that link alone.
    Link,
    /// Seen before, or of an earlier life: it counts for nothing.
    Stale,
}

/// The send times of my own heartbeats, by number.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Sent {
    #[serde(serialize_with = "meaning::sent")]
    numbers: VecDeque<(u64, Mono)>,
    /// The number of the last one.
    #[serde(serialize_with = "meaning::nothing")]
    pub last: u64,
}

impl Sent {
    /// Takes the next number.
    pub fn next(&mut self, now: Mono) -> u64 {
        self.last = self.last.saturating_add(1);
        if self.numbers.len() == SENT_KEPT {
            self.numbers.pop_front();
        }
        self.numbers.push_back((self.last, now));
        self.last
    }

    /// When number `n` was sent; none when it was not, or too long ago.
    pub fn when(&self, n: u64) -> Option<Mono> {
        let first = self.numbers.front()?.0;
        let index = usize::try_from(n.checked_sub(first)?).ok()?;
        self.numbers.get(index).map(|(_, at)| *at)
    }
}

/// What is known of the peer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Peer {
    /// The life of its daemon that was heard last.
    pub incarnation: Option<Incarnation>,
    /// Its newest number.
    #[serde(serialize_with = "meaning::peer_beat")]
    pub newest: u64,
    /// When its newest heartbeat arrived, over any link.
    pub heard: Option<Mono>,
    /// The send time of my newest heartbeat that it has echoed.
    pub hears_me: Option<Mono>,
    /// When this life of it was heard first.
    pub met: Mono,
    /// Since when it has said, without a break, that it reaches the witness.
    pub reaches_since: Option<Mono>,
    /// The longest lease that it has announced.
    pub lease: Span,
    /// As much of `lease` as is on disk: no more is echoed, since no more outlives a loss of power (SAFETY R11).
    #[serde(default)]
    pub durable_lease: Span,
    /// The lease of mine that it echoed last.
    pub echoed_lease: Option<Span>,
    /// What it said last of its file, in whichever life of mine.
    #[serde(default)]
    pub file: Option<PeerFile>,
    /// As much of `file` as is on disk here.
    #[serde(default)]
    pub durable_file: Option<PeerFile>,
    /// The witnesses that it has on disk as mine, by its newest heartbeat.
    #[serde(default)]
    pub echoed_witnesses: Option<u32>,
    /// Its newest heartbeat.
    pub beat: Option<Arc<Verified<Heartbeat>>>,
    /// Silence is not counted from before this: a start, or a gap of my own (SAFETY R10).
    pub floor: Mono,
}

impl Peer {
    /// Judges a heartbeat; `link_number` is the newest number that its link carried.
    pub fn guard(&self, beat: &Heartbeat, link_number: u64, me: Incarnation, sent: &Sent, now: Mono, lease: Span) -> Guard {
        let Some(known) = self.incarnation else { return Guard::New };
        if bite::off(Clause::ReplayCounts) {
            return Guard::New;
        }
        if beat.incarnation > known {
            return Guard::New;
        }
        if beat.incarnation < known {
            if bite::off(Clause::GhostBelieved) {
                return Guard::New;
            }
            let fresh = echoed(beat, me, sent).is_some_and(|at| now.since(at) <= lease);
            return if fresh && !self.echoes_mine_now(now, lease) { Guard::New } else { Guard::Stale };
        }
        if beat.number > self.newest {
            Guard::New
        } else if beat.number > link_number && beat.number.saturating_add(LINK_WINDOW) > self.newest {
            Guard::Link
        } else {
            Guard::Stale
        }
    }

    /// The known incarnation itself is proven fresh: then a lower one is an attacker's, or a ghost.
    fn echoes_mine_now(&self, now: Mono, lease: Span) -> bool {
        self.hears_me.is_some_and(|at| now.since(at) <= lease)
    }

    /// Takes in a heartbeat that the guard called new. Returns whether the peer's daemon is another life than before.
    pub fn accept(&mut self, now: Mono, beat: &Arc<Verified<Heartbeat>>, me: Incarnation, sent: &Sent) -> bool {
        let said = beat.get();
        let restarted = self.incarnation != Some(said.incarnation);
        if restarted {
            self.met = now;
            self.hears_me = None;
            self.echoed_lease = None;
            self.echoed_witnesses = None;
        }
        self.reaches_since = if said.reachable && !restarted { self.reaches_since.or(Some(now)) } else { None };
        self.incarnation = Some(said.incarnation);
        self.newest = said.number;
        self.heard = Some(now);
        if let Some(at) = echoed(said, me, sent) {
            self.hears_me = self.hears_me.max(Some(at));
        }
        if let Some(of) = &said.echo_of
            && of.incarnation == me
        {
            self.echoed_lease = Some(of.lease);
            self.echoed_witnesses = Some(of.witnesses);
        }
        self.lease = self.lease.max(said.lease);
        self.file = PeerFile::of(said).or_else(|| self.file.take());
        self.beat = Some(beat.clone());
        restarted
    }

    /// What it said last of a group.
    pub fn group(&self, name: &str) -> Option<&GroupBeat> {
        self.beat.as_ref()?.get().groups.iter().find(|g| &*g.name == name)
    }

    /// Its newest heartbeat.
    pub fn said(&self) -> Option<&Heartbeat> {
        self.beat.as_ref().map(|b| b.get())
    }

    /// Since when it has been silent, as far as that may be counted.
    pub fn silent_since(&self) -> Mono {
        self.heard.unwrap_or(self.floor).max(self.floor)
    }

    /// This life of it has never shown that it heard this life of mine: an earlier life's words, played back, look the same. Then
    /// silence is counted from when it was heard first (SAFETY R12).
    pub fn unproven_since(&self) -> Option<Mono> {
        (self.heard.is_some() && self.hears_me.is_none() && !bite::off(Clause::UnprovenBreaksSilence))
            .then(|| self.met.max(self.floor))
    }

    /// It says that it cannot serve (it reaches no witness, is not fit, or its file does not have the
    /// group), and its words do not show that it hears me: condition 1,
    /// second form (SAFETY R4.1). Then silence is counted from the send time of my last heartbeat that it heard.
    pub fn deaf_and_unable_since(&self, group: &str) -> Option<Mono> {
        if bite::off(Clause::DeafCounts) {
            return None;
        }
        let said = self.said()?;
        let cannot = match self.group(group) {
            Some(g) => {
                g.role == super::heartbeat::BeatRole::Standby
                    && !g.gate_open
                    && (!said.reachable || (!g.eligible && !bite::off(Clause::UnfitBlocks)))
            }
            None => said.version == VERSION,
        };
        cannot.then(|| self.hears_me.unwrap_or(self.met).max(self.floor))
    }

    /// Heard within this span, in words that echo this life of mine.
    pub fn fresh(&self, now: Mono, within: Span) -> bool {
        self.heard.is_some_and(|at| now.since(at) <= within)
    }
}

/// The send time of my newest heartbeat that `beat` echoes.
fn echoed(beat: &Heartbeat, me: Incarnation, sent: &Sent) -> Option<Mono> {
    let of = beat.echo_of.as_ref()?;
    if of.incarnation != me {
        return None;
    }
    beat.echoes.iter().map(|e| e.number).max().and_then(|n| sent.when(n))
}
