//! What all links together say of the peer: alive or silent, which of my heartbeats it heard, what it said last.
//!
//! The replay guard lives here: by incarnation and growing number, fresh by echo (SAFETY R12).

use alloc::collections::VecDeque;
use alloc::sync::Arc;

use serde::{Deserialize, Serialize};

use super::bite::{self, Clause};
use super::files::PeerFile;
use super::heartbeat::{GroupBeat, Heartbeat, VERSION, Verified};
use super::id::{Incarnation, Name};
use super::meaning;
use super::time::{Mono, Span};
use crate::prelude::*;

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

/// What a heartbeat brought.
#[derive(Clone, Copy, Debug)]
pub struct News {
    /// The peer's daemon is another life than before.
    pub restarted: bool,
    /// So is what is known of its file.
    pub file: bool,
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
    /// The newest of each part, where this life of it says what it says in parts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Arc<Verified<Heartbeat>>>,
    /// Where each group stands in them: part and place.
    #[serde(skip)]
    pub index: Vec<(Name, usize, usize)>,
    /// The life whose file that is, when it is this life of mine that heard of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_of: Option<Incarnation>,
    /// The digest of the file that `file` is: a later life may begin to tell of another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole_file: Option<u64>,
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
        if beat.number > self.newest || (beat.number == self.newest && self.lacks_part(beat)) {
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

    /// Takes in a heartbeat that the guard called new.
    pub fn accept(&mut self, now: Mono, beat: &Arc<Verified<Heartbeat>>, me: Incarnation, sent: &Sent) -> News {
        let said = beat.get();
        let restarted = self.incarnation != Some(said.incarnation);
        if restarted {
            self.met = now;
            self.hears_me = None;
            self.echoed_lease = None;
            self.echoed_witnesses = None;
            self.parts.clear();
            self.index.clear();
            self.file_of = None;
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
        self.keep_part(beat);
        self.beat = Some(beat.clone());
        News { restarted, file: self.note_file() }
    }

    /// This part is kept in the place of the one before it.
    fn keep_part(&mut self, beat: &Arc<Verified<Heartbeat>>) {
        let part = beat.get().part;
        if part.is_whole() {
            self.parts.clear();
            self.index.clear();
            return;
        }
        if self.parts.iter().any(|kept| kept.get().part.of != part.of) {
            self.parts.clear();
            self.index.clear();
        }
        let names = |beat: &Verified<Heartbeat>| beat.get().groups.iter().map(|g| g.name.clone()).collect::<Vec<Name>>();
        match self.parts.iter_mut().find(|kept| kept.get().part.index == part.index) {
            Some(kept) => {
                let same = kept.get().groups.iter().map(|g| &g.name).eq(beat.get().groups.iter().map(|g| &g.name));
                *kept = beat.clone();
                if same && !self.index.is_empty() {
                    return;
                }
            }
            None => self.parts.push(beat.clone()),
        }
        let places = self
            .parts
            .iter()
            .enumerate()
            .flat_map(|(part, beat)| names(beat).into_iter().enumerate().map(move |(n, name)| (name, part, n)));
        self.index = places.collect();
        self.index.sort_unstable();
    }

    /// A part that was not heard yet of what it says under this number.
    fn lacks_part(&self, beat: &Heartbeat) -> bool {
        let heard = |kept: &Heartbeat| kept.number == beat.number && kept.part.index == beat.part.index;
        !beat.part.is_whole() && !self.parts.iter().any(|kept| heard(kept.get()))
    }

    /// Its file, as soon as it has said all of it: one life has one. Returns whether it is another one than before.
    fn note_file(&mut self) -> bool {
        let Some(said) = self.said().filter(|said| said.version == VERSION) else { return false };
        let (digest, witnesses) = (said.digest, said.witnesses);
        if self.file_of == self.incarnation || !self.says_all() {
            return false;
        }
        let groups = self.groups().map(|g| (g.name.clone(), g.vips)).collect();
        (self.file_of, self.whole_file) = (self.incarnation, Some(digest));
        let file = Some(PeerFile { witnesses, groups });
        let other = file != self.file;
        self.file = file;
        other
    }

    /// This life of it has said of each of its groups what it is to it.
    fn says_all(&self) -> bool {
        let all = |said: &Heartbeat| said.part.is_whole() || self.parts.len() == usize::from(said.part.of);
        self.said().is_some_and(|said| all(said) || bite::off(Clause::PartIsAll))
    }

    /// All that it said last of its groups, where no part is older than the heartbeat before the newest; else none.
    pub fn says_now(&self) -> Option<impl Iterator<Item = &GroupBeat>> {
        let now = self.parts.iter().all(|part| part.get().number.saturating_add(1) >= self.newest);
        (self.says_all() && now).then(|| self.groups())
    }

    fn groups(&self) -> impl Iterator<Item = &GroupBeat> {
        let whole = self.beat.as_ref().filter(|_| self.parts.is_empty());
        self.parts.iter().chain(whole).flat_map(|beat| &beat.get().groups)
    }

    /// What it said last of a group.
    pub fn group(&self, name: &str) -> Option<&GroupBeat> {
        if self.index.is_empty() {
            return self.groups().find(|g| &*g.name == name);
        }
        let at = self.index.binary_search_by(|(known, ..)| (**known).cmp(name)).ok()?;
        let (_, part, place) = self.index.get(at)?;
        self.parts.get(*part)?.get().groups.get(*place)
    }

    /// Its present life says, in words that this version reads whole, that its file does not have the group.
    pub fn lacks(&self, name: &str) -> bool {
        self.said().is_some_and(|said| said.version == VERSION) && self.says_all() && self.group(name).is_none()
    }

    /// It has begun to tell of a file that is not `mine`, and not all of it was heard yet.
    pub fn is_file_unknown(&self, mine: u64) -> bool {
        let other = self.said().filter(|said| said.version == VERSION && said.digest != mine);
        other.is_some_and(|said| self.whole_file != Some(said.digest))
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
            None => self.lacks(group),
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
