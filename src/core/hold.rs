//! Standby by command: whose turn it is when both nodes were told (SAFETY R14).
//!
//! Each word gets a number above all that either node has said of the group, and heartbeats carry it. The node that was told last is the one in
//! standby; the other one's ends when it hears of it. So at most one of two nodes that hear each other is held, whatever the order, a restart
//! or a lost heartbeat; of two words that crossed with one number that of the second node counts.

use serde::{Deserialize, Serialize};

use super::bite::{self, Clause};
use super::data::Data;
use super::event::{Kind, Level};
use super::heartbeat::{GroupBeat, Intent, Offer};
use super::role::Owner;
use super::shared::Shared;
use super::time::{Mono, Span};
use crate::prelude::*;

/// An administrator's standby, with its end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Hold {
    /// When it ends by itself.
    pub until: Option<Mono>,
    /// Why, in the administrator's words.
    pub reason: Option<String>,
    /// Its number: of two nodes in standby the one with the higher number was told last.
    #[serde(default)]
    pub told: u64,
}

impl Data {
    /// A person puts this node in standby.
    pub(super) fn put_in_standby(&mut self, lasting: Option<Span>, reason: Option<String>, cx: &mut Shared, now: Mono) {
        let peers = cx.peer.group(&self.name).map_or(0, |g| g.told);
        let told = self.commanded.told.max(peers).saturating_add(1);
        self.commanded.told = told;
        self.commanded.hold = Some(Hold { until: lasting.map(|l| now + l), reason, told });
        self.commanded.by_move = false;
        cx.dirty = true;
        cx.urgent = true;
    }

    /// A takeover by command on the other node puts a preferred node in standby, or it would fail back at once.
    pub(super) fn take_hold(&mut self, intent: Intent, cx: &mut Shared, now: Mono) {
        if intent.commanded && cx.preferred(self.id) && self.commanded.hold.is_none() {
            let reason = format!("takeover by command on {}", cx.peer_name());
            self.put_in_standby(None, Some(reason), cx, now);
            self.commanded.by_move = true;
        }
    }

    /// The address goes back to where it came from: so does the standby by command that a takeover ended.
    pub(super) fn held_as_before(&mut self, o: &Owner) {
        if o.offer == Some(Offer::NoReturnPath) && self.commanded.hold.is_none() {
            self.commanded.hold = o.former.clone();
        }
    }

    /// The peer was put in standby after this node: the last word counts, and this node's standby ends.
    pub(super) fn yield_hold(&mut self, g: &GroupBeat, cx: &mut Shared) {
        self.commanded.told = self.commanded.told.max(g.told);
        let me = cx.settings.me;
        let later = |h: &mut Hold| g.standby_held && (g.told, me.other()) > (h.told, me) && !bite::off(Clause::BothHeld);
        if self.commanded.hold.take_if(later).is_some() {
            let text = format!("standby ended: {} was put in standby later", cx.peer_name());
            cx.note(Level::Info, Some(&self.name), Kind::Move(self.id), text);
            cx.dirty = true;
            cx.urgent = true;
        }
    }
}
