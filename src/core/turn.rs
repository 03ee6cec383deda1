//! One look at a role: what it may use, and what comes next.

use super::data::Data;
use super::role::Role;
use super::shared::Shared;
use super::time::Mono;

/// What a role has for one step, or for taking in one fact.
pub(super) struct Turn<'a> {
    /// What all groups share.
    pub cx: &'a mut Shared,
    /// What this node knows of the group whatever its role.
    pub data: &'a mut Data,
    /// The instant.
    pub now: Mono,
}

/// What a step or a fact leads to.
#[expect(clippy::large_enum_variant, reason = "it is matched where it is returned, and kept nowhere")]
pub(super) enum Next {
    /// The role stays, perhaps with other data.
    Stay,
    /// Another role, which takes the place of this one: to be stepped at once.
    Change(Role),
}
