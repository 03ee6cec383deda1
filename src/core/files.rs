//! What the two files must agree on for the rules to hold, and what is forbidden while they do not (SAFETY R11).
//!
//! Heartbeats carry short digests: of each group's VIPs, the guard's by itself, and of the witnesses. What the peer said last is
//! kept on disk, so that it still forbids in the next life.

use alloc::sync::Arc;

use serde::{Deserialize, Serialize};

use super::bite::{self, Clause};
use super::claim::Probes;
use super::group::Group;
use super::heartbeat::{BeatRole, GroupBeat, VERSION};
use super::id::{GroupId, Mac, Name};
use super::io::Output;
use super::settings::{GroupSettings, PROBE_GAP};
use super::shared::Shared;
use super::time::Mono;
use crate::prelude::*;

/// A group's VIPs, as far as it must be known whether they are the same.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct VipSet {
    /// Of the first one, on which evidence rests.
    pub guard: u32,
    /// Of all, in whatever order.
    pub all: u32,
}

impl VipSet {
    /// Of a group's VIPs, whose prefixes do not matter.
    pub fn of(group: &GroupSettings) -> VipSet {
        let mut all: Vec<&str> = group.vips.iter().map(|vip| vip.split('/').next().unwrap_or_default()).collect();
        let guard = digest(all.first().copied());
        all.sort_unstable();
        VipSet { guard, all: digest(all) }
    }
}

/// What the peer said last of its file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PeerFile {
    /// Its witnesses.
    pub witnesses: u32,
    /// Its groups.
    pub groups: Vec<(Name, VipSet)>,
}

impl PeerFile {
    fn vips(&self, name: &str) -> Option<VipSet> {
        self.groups.iter().find(|(known, _)| **known == *name).map(|(_, vips)| *vips)
    }
}

/// A short hash of words (FNV-1a, folded): told apart are files that people wrote, not an attacker's.
pub fn digest<'a>(words: impl IntoIterator<Item = &'a str>) -> u32 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for word in words {
        for byte in word.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    (hash ^ (hash >> 32)) as u32
}

/// Most steps change none of them.
fn note<'g>(names: &mut Vec<Name>, groups: impl Iterator<Item = &'g Group> + Clone) {
    let mut known = names.iter();
    let same = groups.clone().all(|g| known.next().is_some_and(|name| Arc::ptr_eq(name, &g.data.name))) && known.next().is_none();
    if !same {
        *names = groups.map(|g| g.data.name.clone()).collect();
    }
}

/// Whether addresses that the old owner did not have are anybody's.
pub(super) enum Added {
    /// Nobody's, or there are none.
    Free,
    /// Not known yet.
    Asking,
    /// This machine's.
    Taken(Mac),
}

impl Shared {
    /// Asks for them, once the old owner has released the group and nobody answers for any of its addresses (SAFETY R6).
    pub(super) fn ask_for_added(&mut self, name: &Name, group: GroupId, probes: &mut Probes, now: Mono) -> Added {
        if !self.vips_differ(name) || probes.unanswered(now) || bite::off(Clause::AddedUnprobed) {
            return Added::Free;
        }
        if let Some((by, _)) = probes.answered {
            return Added::Taken(by);
        }
        if now >= probes.next(PROBE_GAP) {
            probes.send(now);
            self.out.push_back(Output::Probe { group });
        }
        Added::Asking
    }

    /// Whether the VIPs of a group of either node differ between the files; not while nothing is known of the peer's.
    pub fn vips_differ(&self, name: &str) -> bool {
        if self.vips_agree && !self.is_file_unknown() {
            return false;
        }
        let theirs = self.peer.file.as_ref().map(|file| file.vips(name));
        self.is_file_unknown() || theirs.is_some_and(|theirs| theirs != self.my_vips(name))
    }

    /// To be called when what is known of the peer's file is another thing than before.
    pub(super) fn note_files(&mut self) {
        let theirs = self.peer.file.as_ref().map(|file| &file.groups);
        self.vips_agree = theirs.is_some_and(|theirs| {
            let mut pairs = [theirs.clone(), self.vips.clone()];
            pairs.iter_mut().for_each(|groups| groups.sort_unstable_by(|one, other| one.0.cmp(&other.0)));
            pairs[0] == pairs[1]
        });
    }

    /// The peer says its file in parts, it is another one than this node's, and not all of it was heard yet: whatever can differ may.
    fn is_file_unknown(&self) -> bool {
        self.peer.is_file_unknown(self.settings.digest)
    }

    /// Whether the peer's file has this group with the same addresses, by its newest heartbeat; none while it is not heard.
    pub(super) fn peer_has(&self, group: &GroupSettings, now: Mono) -> Option<bool> {
        self.peer.said().filter(|said| said.version == VERSION && self.in_touch(now))?;
        let said = self.peer.group(&group.name);
        said.map(|said| said.vips == VipSet::of(group)).or_else(|| self.peer.lacks(&group.name).then_some(false))
    }

    fn my_vips(&self, name: &str) -> Option<VipSet> {
        self.vips.iter().find(|(known, _)| **known == *name).map(|(_, vips)| *vips)
    }

    /// Both have the group, and its evidence rests on another address.
    fn guard_differs(&self, name: &str) -> bool {
        let theirs = self.peer.file.as_ref().and_then(|file| file.vips(name));
        theirs.zip(self.my_vips(name)).is_some_and(|(theirs, mine)| theirs.guard != mine.guard)
    }

    /// The groups whose VIPs differ, those that one node alone has included.
    pub fn differing(&self) -> Vec<Name> {
        let theirs = self.peer.file.iter().flat_map(|file| &file.groups);
        let mut names: Vec<Name> = self.vips.iter().chain(theirs).map(|(name, _)| name.clone()).collect();
        names.sort_unstable();
        names.dedup();
        names.retain(|name| self.vips_differ(name));
        names
    }

    /// One of the group's VIPs may be in another group of the other node's: only when one that differs is in both files or in the
    /// other one, since no file has an address twice.
    fn crosswise(&self, name: &str) -> bool {
        let theirs = |name: &str| self.peer.file.as_ref().is_some_and(|file| file.vips(name).is_some());
        let mine = |name: &str| self.my_vips(name).is_some();
        let may_have = |other: &str| match (mine(name), theirs(name)) {
            (true, false) => theirs(other),
            (false, true) => mine(other),
            _ => true,
        };
        self.is_file_unknown()
            || self.vips_differ(name) && self.differing().iter().any(|other| **other != *name && may_have(other))
    }

    /// Both files name the same witnesses, as far as is known.
    pub fn witnesses_agree(&self) -> bool {
        self.peer.file.as_ref().is_none_or(|file| file.witnesses == self.settings.witness.names)
    }

    /// Echoes that the witnesses answer may keep this node's gate open: the peer asks the same witnesses, or holds on disk that this
    /// node asks others, and claims nothing.
    pub fn path_counts(&self) -> bool {
        self.witnesses_agree()
            || self.peer.echoed_witnesses == Some(self.settings.witness.names)
            || bite::off(Clause::OtherWitnessCounts)
    }

    /// Why a silent peer's group may not be claimed; none when the files are no reason.
    pub fn claim_forbidden(&self, name: &Name) -> Option<String> {
        if bite::off(Clause::OtherFileClaims) {
            return None;
        }
        let what = if self.is_file_unknown() {
            return Some(self.unknown_words());
        } else if !self.witnesses_agree() {
            "the witnesses".to_string()
        } else if self.guard_differs(name) {
            format!("the first VIP of group {name}")
        } else if self.crosswise(name) {
            format!("the VIPs of the groups {}", self.differing().join(", "))
        } else {
            return None;
        };
        Some(format!("{what} differ in the file of {}, which may live by it: put the same file on both nodes", self.peer_name()))
    }

    /// Why this node may not take the group by agreement; none when the files are no reason. Where groups differ crosswise only a node
    /// may take whose peer holds none of them: the first one, or the second one while it owns another of them, which keeps the first
    /// one from taking any.
    pub fn move_forbidden(&self, name: &Name) -> Option<String> {
        if !self.crosswise(name) || bite::off(Clause::OtherFileMoves) {
            return None;
        }
        if self.is_file_unknown() {
            return Some(self.unknown_words());
        }
        let differing = self.differing();
        let holds = |g: &GroupBeat| g.role != BeatRole::Standby || g.gate_open || g.intent.is_some();
        let idle = self.peer.says_now().is_some_and(|mut said| !said.any(|g| differing.contains(&g.name) && holds(g)));
        let owns = self.owning.iter().any(|held| held != name && differing.contains(held));
        if idle && (self.settings.me.index() == 0 || owns) {
            return None;
        }
        Some(self.crosswise_words())
    }

    /// Whether the peer may not be given the group: this node holds another one whose VIPs differ as well.
    pub fn grant_forbidden(&self, name: &Name) -> bool {
        self.crosswise(name)
            && !bite::off(Clause::OtherFileMoves)
            && self.holding.iter().any(|held| held != name && self.vips_differ(held))
    }

    fn unknown_words(&self) -> String {
        format!("the file of {} differs, and not all of it was heard yet", self.peer_name())
    }

    fn crosswise_words(&self) -> String {
        if self.is_file_unknown() {
            return self.unknown_words();
        }
        let names = self.differing().join(", ");
        format!("the VIPs of the groups {names} differ in the file of {}: put the same file on both nodes", self.peer_name())
    }

    /// What differs between the files, in words; none when only what no rule rests on does.
    pub fn files_words(&self) -> Option<String> {
        let groups = self.differing();
        let mut what = Vec::new();
        if !self.witnesses_agree() {
            what.push("the witnesses (no claim by either node)".to_string());
        }
        if !groups.is_empty() {
            let names = groups.join(", ");
            let cost = if groups.iter().any(|name| self.crosswise(name)) {
                " (no claim and no move of these)"
            } else if groups.iter().any(|name| self.guard_differs(name)) {
                " (no claim of it)"
            } else if groups.iter().any(|name| self.my_vips(name).is_some() && self.peer_lacks(name)) {
                " (in this file alone: this node alone serves it)"
            } else if groups.iter().all(|name| self.my_vips(name).is_none()) {
                " (in that file alone: that node alone serves it)"
            } else {
                ""
            };
            what.push(format!("the VIPs of {names}{cost}"));
        }
        (!what.is_empty()).then(|| what.join(", "))
    }

    /// Which groups this node holds, or is about to, at this moment.
    pub fn note_holding(&mut self, groups: &[Group]) {
        note(&mut self.holding, groups.iter().filter(|g| g.holds()));
        note(&mut self.owning, groups.iter().filter(|g| g.owns()));
    }

    /// Why the group does not move between the nodes; none when the files are no reason.
    pub fn files_hold(&self, name: &Name) -> Option<String> {
        (self.crosswise(name) && !bite::off(Clause::OtherFileMoves)).then(|| self.crosswise_words())
    }
}
