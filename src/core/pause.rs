//! Pause by command: for a service's sake nothing is done on either node while people work on it (SAFETY R15).
//!
//! Each word, that it begins or that it ends, has a number above all that either node has said of the group's pauses; heartbeats carry the
//! newest one, and whoever hears of a later one takes it over. Of two words with one number the end counts.

use serde::{Deserialize, Serialize};

use super::data::Data;
use super::event::{Kind, Level};
use super::heartbeat::GroupBeat;
use super::io::{Output, PauseRecord};
use super::settings::Services;
use super::shared::Shared;
use super::time::{Mono, Span};
use crate::prelude::*;

/// The newest word.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Pause {
    /// Its number; zero when there never was one.
    pub told: u64,
    /// A pause is in force.
    pub on: bool,
    /// When it ends by itself.
    pub until: Option<Mono>,
    /// Why, in the administrator's words, or whose it is.
    pub reason: Option<String>,
    /// The service that fell meanwhile, and how: for people.
    pub left_alone: Option<String>,
}

/// The same in a heartbeat.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PauseBeat {
    /// The number of the newest word.
    #[serde(rename = "n")]
    pub told: u64,
    /// It says that a pause is in force.
    pub on: bool,
    /// How much of it is left; none when it ends by `resume` alone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub left: Option<Span>,
}

impl Pause {
    /// As the record of an earlier life has it.
    pub(super) fn of(record: Option<&PauseRecord>, now: Mono) -> Pause {
        record.map_or_else(Pause::default, |r| Pause {
            told: r.told,
            on: r.on,
            until: r.left.map(|left| now + left),
            reason: r.reason.clone(),
            left_alone: None,
        })
    }

    /// What is to be on disk; none where there never was a pause.
    pub(super) fn record(&self, now: Mono) -> Option<PauseRecord> {
        let left = self.until.filter(|_| self.on).map(|until| until.since(now));
        (self.told > 0).then(|| PauseRecord {
            told: self.told,
            on: self.on,
            left,
            reason: self.reason.clone().filter(|_| self.on),
        })
    }

    /// What the peer is told; none where there never was a pause.
    pub(super) fn beat(&self, now: Mono) -> Option<PauseBeat> {
        let left = self.until.filter(|_| self.on).map(|until| until.since(now));
        (self.told > 0).then_some(PauseBeat { told: self.told, on: self.on, left })
    }
}

impl Data {
    /// Whether nothing is to be done here for a service's sake.
    pub fn paused(&self) -> bool {
        self.commanded.pause.on
    }

    /// The pause in words, for a refusal; none when there is none.
    pub(super) fn pause_words(&self) -> Option<String> {
        let reason = self.commanded.pause.reason.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
        self.paused().then(|| format!("{} is paused{reason}; `twinbeat resume` ends that", self.name))
    }

    /// A person pauses the group.
    pub(super) fn pause(&mut self, lasting: Option<Span>, reason: Option<String>, cx: &mut Shared, now: Mono) {
        let told = self.next_pause_number(cx);
        let until = lasting.map(|lasting| now + lasting);
        let for_long = lasting.map(|lasting| format!(" for {lasting}")).unwrap_or_default();
        let why = reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let text = format!("paused by command{for_long}{why}: nothing is restarted or moved for a service's sake");
        self.set_pause(Pause { told, on: true, until, reason, left_alone: None }, text, cx);
    }

    /// A person ends the pause; whether there was one.
    pub(super) fn end_pause(&mut self, cx: &mut Shared) -> bool {
        let was = self.paused();
        if was {
            let told = self.next_pause_number(cx);
            self.set_pause(Pause { told, ..Pause::default() }, "the pause ended by command".into(), cx);
        }
        was
    }

    /// It ends by itself.
    pub(super) fn pause_over(&mut self, cx: &mut Shared, now: Mono) {
        if self.paused() && self.commanded.pause.until.is_some_and(|at| now >= at) {
            let told = self.commanded.pause.told;
            self.set_pause(Pause { told, ..Pause::default() }, "the pause ended by itself, as it was told to".into(), cx);
        }
    }

    /// The peer has a later word.
    pub(super) fn hear_pause(&mut self, g: &GroupBeat, cx: &mut Shared, now: Mono) {
        let Some(said) = g.pause else { return };
        let mine = &self.commanded.pause;
        if (said.told, !said.on) <= (mine.told, !mine.on) {
            return;
        }
        let peer = cx.peer_name();
        let text = if said.on { format!("paused by command on {peer}") } else { format!("the pause ended on {peer}") };
        let pause = Pause {
            told: said.told,
            on: said.on,
            until: said.left.map(|left| now + left),
            reason: said.on.then(|| format!("by command on {peer}")),
            left_alone: None,
        };
        self.set_pause(pause, text, cx);
    }

    /// Whether the peer knows the newest word.
    pub(super) fn peer_knows_pause(&self, cx: &Shared) -> bool {
        let mine = &self.commanded.pause;
        cx.peer.group(&self.name).and_then(|g| g.pause).is_some_and(|p| (p.told, !p.on) >= (mine.told, !mine.on))
    }

    /// A service fell in the pause, and is left as it is.
    pub(super) fn left_alone(&mut self, what: String, cx: &mut Shared) {
        cx.note(Level::Warn, Some(&self.name), Kind::Service(self.id), format!("{what}; left alone in the pause"));
        self.commanded.pause.left_alone = Some(what);
    }

    /// The services are told whether to do anything by themselves.
    pub(super) fn tell_pause(&self, cx: &mut Shared) {
        if cx.services(self.id) != Services::None {
            cx.out.push_back(Output::HandsOff { group: self.id, on: self.paused() });
        }
    }

    fn next_pause_number(&self, cx: &Shared) -> u64 {
        let peers = cx.peer.group(&self.name).and_then(|g| g.pause).map_or(0, |p| p.told);
        self.commanded.pause.told.max(peers).saturating_add(1)
    }

    fn set_pause(&mut self, mut pause: Pause, text: String, cx: &mut Shared) {
        let changed = pause.on != self.paused();
        if !changed {
            pause.left_alone = self.commanded.pause.left_alone.take();
        }
        self.commanded.pause = pause;
        if changed {
            cx.note(Level::Info, Some(&self.name), Kind::Service(self.id), text);
            self.tell_pause(cx);
        }
        cx.dirty = true;
        cx.urgent = true;
    }
}
