//! Whether a node that was read, not made, holds together: a journal's head may come from anybody.

use super::id::{GroupId, LinkId, WitnessId};
use super::io::{EchoKind, Input};
use super::node::Node;
use super::role::Role;
use super::settings::Settings;
use super::time::Mono;
use crate::prelude::*;

/// Numbers given out so far are below this in anything that a daemon wrote: at a million a second it lasts 280,000 years.
const MOST: u64 = 1 << 63;
/// As many targets as [`WitnessSettings::arp_only`](super::settings::WitnessSettings::arp_only) has bits for.
const MOST_TARGETS: u8 = 16;

impl Settings {
    /// Whether what an input names is there.
    ///
    /// # Errors
    /// What is not.
    pub fn knows(&self, input: &Input) -> Result<(), String> {
        let link = |id: &LinkId| missing("link", id.0, self.links.len());
        let group = |id: &GroupId| missing("group", id.0, self.groups.len());
        let witness = |id: &WitnessId| missing("witness", id.0, usize::from(self.witness.targets));
        match input {
            Input::Heard { link: id, .. } | Input::Link { link: id, .. } | Input::Ipv6Off { link: id, .. } => link(id),
            Input::HeardByTable { group: id, .. }
            | Input::Answered { group: id, .. }
            | Input::Announced { group: id, .. }
            | Input::WitnessAsks { group: id }
            | Input::Startable { group: id, .. }
            | Input::Gate { group: id, .. }
            | Input::Address { group: id, .. }
            | Input::AddressGone { group: id }
            | Input::Services { group: id, .. } => group(id),
            Input::EchoReply { witness: id, kind, .. } => witness(id).and_then(|()| match kind {
                EchoKind::Own | EchoKind::Inquiry => Ok(()),
                EchoKind::Vip(id) | EchoKind::Challenge(id) | EchoKind::Control(id) => group(id),
            }),
            Input::Start(_)
            | Input::Tick
            | Input::GateTableGone
            | Input::Fenced { .. }
            | Input::Persisted { .. }
            | Input::PersistFailed { .. }
            | Input::Command { .. } => Ok(()),
        }
    }
}

fn missing(what: &str, id: u8, all: usize) -> Result<(), String> {
    if usize::from(id) < all { Ok(()) } else { Err(format!("{what} {id} of {all}")) }
}

impl Node {
    /// Whether the state is one that a node can come to, as far as it is counted and indexed, and was in at `at`.
    ///
    /// # Errors
    /// What does not fit together.
    pub fn sound(&self, at: Mono) -> Result<(), String> {
        let Node { cx, groups, last, .. } = self;
        if *last > at {
            return Err(format!("a state of {} ns after the boot, taken at {}", last.0, at.0));
        }
        let s = &cx.settings;
        let same = |what: &str, is: usize, wanted: usize| {
            if is == wanted { Ok(()) } else { Err(format!("{is} {what} in the state, {wanted} in the settings")) }
        };
        let targets = usize::from(s.witness.targets);
        if s.witness.targets > MOST_TARGETS {
            return Err(format!("{targets} witnesses; allowed: at most {MOST_TARGETS}"));
        }
        missing("the witness's link", s.witness.link.0, s.links.len())?;
        same("links", cx.links.len(), s.links.len())?;
        same("witnesses", cx.witness.targets.len(), targets)?;
        same("groups", groups.len(), if self.is_started() { s.groups.len() } else { 0 })?;
        if s.groups.len() > usize::from(u8::MAX) || s.links.len() > usize::from(u8::MAX) {
            return Err("more links or groups than are counted".into());
        }
        if cx.given() >= MOST || cx.sent.last >= MOST {
            return Err("numbers that no daemon comes to".into());
        }
        for (place, group) in groups.iter().enumerate() {
            if usize::from(group.data.id.0) != place {
                return Err(format!("group {} at the place of group {place}", group.data.id));
            }
            match &group.role {
                Role::Owner(owner) => same("return paths", owner.paths.len(), targets)?,
                Role::Standby(standby) => {
                    if let Some(challenge) = standby.claim.as_ref().and_then(|c| c.challenge.as_ref()) {
                        same("challenged registers", challenge.registers.len(), targets)?;
                    }
                }
                Role::Opening(_) | Role::Leaving(_) => {}
            }
        }
        Ok(())
    }
}
