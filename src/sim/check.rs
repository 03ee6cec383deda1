//! What must never happen, looked for in the world and not in what the nodes believe.

use super::clock::Moment;
use super::need::Need;
use super::pair::Pair;
pub use super::promise::{Promise, Violation};
use twinbeat_core::event::{Event, Kind, Level};
use twinbeat_core::heartbeat::{BeatRole, Grant, Heartbeat, Intent};
use twinbeat_core::id::{Epoch, Incarnation, NodeId};
use twinbeat_core::settings::Timing;
use twinbeat_core::time::Span;

/// Watches the promises.
#[derive(Clone, Debug)]
pub struct Checker {
    /// What was broken.
    pub violations: Vec<Violation>,
    /// Two kernels may answer for so long, from when and until when (a scenario about a limit of SAFETY.md).
    pub allowed: (Span, Moment, Moment),
    /// What SAFETY.md names as limits (a), (e) and (l) is allowed as long as it lasts.
    pub limits: bool,
    /// The longest time that two kernels answered.
    pub longest: Span,
    names: [String; 2],
    group_names: Vec<String>,
    /// With the longest lease that a node may come to run on.
    pub(super) timing: Timing,
    both: Vec<Option<(Moment, Span)>>,
    owned: [Vec<Epoch>; 2],
    seen: [Vec<Epoch>; 2],
    lives: [Incarnation; 2],
    /// Each node's number in the file that its daemon started with: names that change may exchange them.
    numbers: [NodeId; 2],
    /// For each node the life that its daemon began last.
    began: [Incarnation; 2],
    /// For each node the newest life of its peer that it heard, and its newest number: what is older is refused as a replay.
    heard: [(Incarnation, u64); 2],
    idle: Vec<Option<(Moment, Span)>>,
    unserved: Vec<Option<Moment>>,
    /// For each node and group the newest epochs that it granted, and to which intent.
    granted: [Vec<Vec<Grant>>; 2],
    /// For each node and group the newest intent that it told, and in which life.
    asked: [Vec<Option<(Intent, Incarnation)>>; 2],
    /// For each node and group how many of its challenges in a row met an owner.
    pub(super) stood_down: [Vec<u32>; 2],
    /// For each node what this life of its daemon knows of the peer.
    pub(super) met: [Met; 2],
    /// What can make a move necessary.
    pub(super) need: Need,
}

/// What a daemon's life knows of its peer: how long a silence must be (SAFETY R4.1, R12).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Met {
    /// It has not heard it yet.
    Never,
    /// It has heard it, in words that do not show that they are no old ones.
    Unproven,
    /// It has heard it in words that echo this life's own.
    Proven,
}

/// How many grants are remembered for each node and group.
const GRANTS: usize = 16;

impl Checker {
    /// Nothing seen yet.
    pub fn new(pair: &Pair) -> Checker {
        let groups = pair.settings[0].groups.len();
        let none = || vec![Epoch(0); groups];
        Checker {
            violations: Vec::new(),
            allowed: (Span::ZERO, Moment::ZERO, Moment::NEVER),
            limits: false,
            longest: Span::ZERO,
            names: [pair.node_name(0).to_string(), pair.node_name(1).to_string()],
            group_names: pair.settings[0].groups.iter().map(|group| group.name.to_string()).collect(),
            timing: Timing { lease: pair.settings.iter().map(|s| s.timing.lease).max().unwrap_or_default(), ..pair.timing() },
            both: vec![None; groups],
            owned: [none(), none()],
            seen: [none(), none()],
            lives: [Incarnation(0); 2],
            numbers: [pair.files[0].me, pair.files[1].me],
            began: [Incarnation(0); 2],
            heard: [(Incarnation(0), 0); 2],
            idle: vec![None; groups],
            unserved: vec![None; groups],
            granted: [vec![Vec::new(); groups], vec![Vec::new(); groups]],
            asked: [vec![None; groups], vec![None; groups]],
            stood_down: [vec![0; groups], vec![0; groups]],
            met: [Met::Never; 2],
            need: Need::new(pair),
        }
    }

    fn broken(&mut self, at: Moment, promise: Promise, text: String) {
        // One of a kind is enough: the first is the one to look at.
        if self.violations.iter().filter(|v| v.promise == promise).count() < 4 {
            self.violations.push(Violation { at, promise, text });
        }
    }

    /// The longest lease that a node may come to run on.
    pub fn longest_lease(&self) -> Span {
        self.timing.lease
    }

    /// A node may come to run on this lease: limits last as long.
    pub fn reckon_with(&mut self, lease: Span) {
        self.timing.lease = self.timing.lease.max(lease);
    }

    /// Who answers for a group now; `excuse`: for how long a limit of SAFETY.md covers that both do.
    pub fn answering(&mut self, now: Moment, group: usize, answers: [bool; 2], excuse: Span) {
        self.need.answering(now, group, answers);
        match (answers == [true, true], self.both[group]) {
            (true, None) => self.both[group] = Some((now, excuse)),
            (true, Some((since, excused))) => self.both[group] = Some((since, excused.max(excuse))),
            (false, Some((since, excused))) => {
                self.both[group] = None;
                self.two(now, group, since, excused);
            }
            (false, None) => {}
        }
    }

    fn two(&mut self, now: Moment, group: usize, since: Moment, excused: Span) {
        let lasted = now.since(since);
        self.longest = self.longest.max(lasted);
        let covered = self.limits && lasted <= excused;
        let (most, from, to) = self.allowed;
        let allowed = lasted <= most && (lasted == Span::ZERO || (since >= from && now <= to));
        if !allowed && !covered {
            let text = format!(
                "both {} and {} answered for {} for {lasted}, from {}",
                self.names[0], self.names[1], self.group_names[group], since
            );
            self.broken(since, Promise::OneOwner, text);
        }
    }

    /// A heartbeat reached a node; one that came by a witness's table never ends a stand-down (SAFETY R2).
    pub fn heard(&mut self, node: usize, (beat, first): (&Heartbeat, usize), by_table: bool) {
        if beat.from == self.numbers[node] {
            return;
        }
        let name = (beat.incarnation, beat.number);
        if name < self.heard[node] {
            return;
        }
        let proven = !beat.echoes.is_empty() && beat.echo_of.as_ref().is_some_and(|of| of.incarnation == self.began[node]);
        let new = beat.incarnation != self.heard[node].0;
        self.met[node] = if proven || (!new && self.met[node] == Met::Proven) { Met::Proven } else { Met::Unproven };
        self.heard[node] = name;
        for (group, said) in (first..self.idle.len()).zip(&beat.groups) {
            if said.role == BeatRole::Owner {
                let seen = &mut self.seen[node][group];
                *seen = (*seen).max(said.epoch);
            }
            if beat.reachable && !by_table {
                self.stood_down[node][group] = 0;
            }
        }
    }

    /// A daemon begins a new life, as the node of this number. What it had heard and not yet written died with the last one: only what is on disk, `durable`, is
    /// known to it (SAFETY R13 asks for the disk before a gate opens, not before a heartbeat is believed).
    pub fn began(&mut self, node: usize, life: Incarnation, number: NodeId, durable: impl Fn(usize) -> Epoch) {
        self.began[node] = life;
        self.numbers[node] = number;
        for (group, seen) in self.seen[node].iter_mut().enumerate() {
            *seen = (*seen).min(durable(group));
            // What a disk that failed or hung did not take in time (SAFETY R13).
            self.granted[node][group].retain(|grant| grant.epoch <= durable(group));
        }
        self.met[node] = Met::Never;
        self.heard[node] = (Incarnation(0), 0);
        self.stood_down[node].iter_mut().for_each(|count| *count = 0);
    }

    /// A node sent a heartbeat; `answers`: for each group whether its kernel answers; `durable`: up to which epoch each group's grants are on
    /// its disk, where that works.
    pub fn sent(
        &mut self,
        now: Moment,
        node: usize,
        (beat, first): (&Heartbeat, usize),
        answers: impl Fn(usize) -> bool,
        durable: Option<&dyn Fn(usize) -> Epoch>,
    ) {
        self.lives[node] = beat.incarnation;
        for (group, said) in (first..self.idle.len()).zip(&beat.groups) {
            if let Some(grant) = said.released
                && answers(group)
            {
                let (name, what) = (&self.names[node], &self.group_names[group]);
                let text = format!("{name} says that it has released {what} for epoch {}, and its kernel answers", grant.epoch);
                self.broken(now, Promise::Grants, text);
            }
            for grant in [said.granted, said.released].into_iter().flatten() {
                self.grants(now, node, group, grant, durable.map(|of| of(group)));
            }
            if let Some(intent) = said.intent {
                self.asks(now, node, group, intent, beat.incarnation);
            }
        }
    }

    /// A withdrawn epoch is never used again: each intent asks for a higher one than the last.
    fn asks(&mut self, now: Moment, node: usize, group: usize, intent: Intent, life: Incarnation) {
        let last = self.asked[node][group].replace((intent, life));
        let Some((last, of)) = last.filter(|(last, of)| (last.attempt, *of) != (intent.attempt, life)) else { return };
        if intent.epoch <= last.epoch {
            let text = format!(
                "{} asks for epoch {} of {} with attempt {} (incarnation {life}), after attempt {} (incarnation {of}) had asked for {}",
                self.names[node], intent.epoch, self.group_names[group], intent.attempt, last.attempt, last.epoch
            );
            self.broken(now, Promise::Epochs, text);
        }
    }

    fn grants(&mut self, now: Moment, node: usize, group: usize, grant: Grant, durable: Option<Epoch>) {
        let known = &mut self.granted[node][group];
        match known.iter().find(|other| other.epoch == grant.epoch) {
            Some(other) if *other == grant => {}
            Some(other) => {
                let text = format!(
                    "{} granted epoch {} of {} to attempt {} (incarnation {}) and to attempt {} (incarnation {})",
                    self.names[node],
                    grant.epoch,
                    self.group_names[group],
                    other.attempt,
                    other.incarnation,
                    grant.attempt,
                    grant.incarnation
                );
                self.broken(now, Promise::Grants, text);
            }
            None => {
                if known.len() == GRANTS {
                    known.remove(0);
                }
                known.push(grant);
                if let Some(durable) = durable.filter(|durable| grant.epoch > *durable) {
                    let (name, what) = (&self.names[node], &self.group_names[group]);
                    let text = format!("{name} grants epoch {} of {what}, and has {durable} on disk", grant.epoch);
                    self.broken(now, Promise::Grants, text);
                }
                let before = self.owned[node][group].max(self.seen[node][group]);
                if grant.epoch <= before {
                    let (name, what) = (&self.names[node], &self.group_names[group]);
                    let text = format!("{name} grants epoch {} of {what}, and had owned with or heard of {before}", grant.epoch);
                    self.broken(now, Promise::Grants, text);
                }
            }
        }
    }

    /// A state directory was lost: with it goes what the node knew of its own numbers (SAFETY R13).
    pub fn forgot(&mut self, node: usize) {
        self.forgot_groups(node, 0);
    }

    /// A node's file no longer names the groups from this one on, and with them its record goes.
    pub fn forgot_groups(&mut self, node: usize, from: usize) {
        for group in from..self.idle.len() {
            self.owned[node][group] = Epoch(0);
            self.seen[node][group] = Epoch(0);
            self.granted[node][group].clear();
            self.asked[node][group] = None;
        }
    }

    /// A node noted something; `durable`: up to which epoch each group's are on its disk.
    pub fn noted(&mut self, now: Moment, node: usize, event: &Event, durable: impl Fn(usize) -> Epoch) {
        if let Kind::Challenge(group) = event.kind
            && event.level == Level::Warn
        {
            self.stood_down[node][usize::from(group.0)] += 1;
        }
        let Kind::Owner(group, epoch) = event.kind else { return };
        let group = usize::from(group.0);
        self.stood_down[node][group] = 0;
        let (owned, seen) = (self.owned[node][group], self.seen[node][group]);
        let name = (&self.names[node], &self.group_names[group]);
        let wrong = if epoch.0 % 2 != u64::from(self.numbers[node].0) {
            Some(format!("{} owns {} with epoch {epoch}, which is not one of its numbers", name.0, name.1))
        } else if epoch == owned {
            Some(format!("{} owns {} with epoch {epoch} a second time", name.0, name.1))
        } else if epoch < owned {
            Some(format!("{} owns {} with epoch {epoch} after it had owned with {owned}", name.0, name.1))
        } else if epoch <= seen {
            Some(format!("{} owns {} with epoch {epoch} though it had heard of {seen}", name.0, name.1))
        } else if durable(group) < epoch {
            Some(format!("{} owns {} with epoch {epoch}, and its disk knows of {} only", name.0, name.1, durable(group)))
        } else {
            None
        };
        self.owned[node][group] = epoch.max(owned);
        if let Some(text) = wrong {
            self.broken(now, Promise::Epochs, text);
        }
    }

    /// Nobody answers for a group although somebody could, for longer than this; or not.
    pub fn idle(&mut self, now: Moment, group: usize, could: Option<(usize, Span)>) {
        let Some((node, bound)) = could else {
            self.idle[group] = None;
            return;
        };
        // The longest of them: what was waited for by a rule that has lost its reason meanwhile (a peer that was heard again) counts.
        let (since, longest) = self.idle[group].unwrap_or((now, bound));
        let bound = bound.max(longest);
        self.idle[group] = Some((since, bound));
        if now.since(since) > bound {
            self.idle[group] = None;
            let (name, who) = (&self.group_names[group], &self.names[node]);
            let text = format!("nobody answered for {name} for {} though {who} could; the bound is {bound}", now.since(since));
            self.broken(now, Promise::SomebodyServes, text);
        }
    }

    /// A healthy owner answers and runs its service, yet its clients are not served, for longer than this; or not.
    pub fn unserved(&mut self, now: Moment, group: usize, by: Option<(usize, Span)>) {
        let Some((node, bound)) = by else {
            self.unserved[group] = None;
            return;
        };
        let since = *self.unserved[group].get_or_insert(now);
        if now.since(since) > bound {
            self.unserved[group] = None;
            let (name, who) = (&self.group_names[group], &self.names[node]);
            let lasted = now.since(since);
            let text = format!(
                "{who} answers for {name}, yet the gateway did not send it the clients for {lasted}; the bound is {bound}"
            );
            self.broken(now, Promise::SomebodyServes, text);
        }
    }

    /// A fault came or went: patience begins anew.
    pub fn disturbed(&mut self) {
        self.idle.iter_mut().for_each(|idle| *idle = None);
        self.unserved.iter_mut().for_each(|since| *since = None);
    }

    /// The run is over.
    pub fn end(&mut self, now: Moment) {
        for group in 0..self.both.len() {
            if let Some((since, excused)) = self.both[group].take() {
                self.two(now, group, since, excused);
            }
        }
    }

    /// Something else that must not be.
    pub fn report(&mut self, at: Moment, promise: Promise, text: String) {
        self.broken(at, promise, text);
    }
}
