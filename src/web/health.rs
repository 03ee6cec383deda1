//! `/health`: whether clients are served from here, as a load balancer asks it.

use std::fmt::Write;

use twinbeat_core::view::{GroupView, View};
use twinbeat_core::words::GroupRole;

/// A verdict, and the words for a person.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Health {
    /// Whether it is.
    pub serves: bool,
    /// A line a group.
    pub text: String,
}

/// Of one group or of all, from a view that is `age_ms` old; none where there is no group of that name. Of several groups each must be
/// served from here.
pub(super) fn of(view: &View, name: Option<&str>, age_ms: u64) -> Option<Health> {
    let asked: Vec<&GroupView> = view.groups.iter().filter(|group| name.is_none_or(|name| group.name == name)).collect();
    if asked.is_empty() && name.is_some() {
        return None;
    }
    let mut health = Health { serves: !asked.is_empty(), text: String::new() };
    for group in asked {
        let told = match not_serving(group, &view.node, age_ms) {
            None => format!("{}: {} serves, epoch {}", group.name, view.node, group.epoch),
            Some(why) => {
                health.serves = false;
                format!("{}: {why}", group.name)
            }
        };
        let _ = writeln!(health.text, "{told}");
    }
    Some(health)
}

/// Why clients of the group are not served from here; none when they are: this node owns, and its gate is open. The gate closes by itself
/// when the lease is over, which may have come since the view was made.
pub(super) fn not_serving(group: &GroupView, node: &str, age_ms: u64) -> Option<String> {
    match group.role {
        GroupRole::Owner if group.lease_ms_left.is_some_and(|left| left > age_ms) => None,
        GroupRole::Owner => Some(format!("{node} owns, and the lease is over: the gate is closed")),
        GroupRole::Claiming => Some(format!("{node} is claiming: gate and address are being opened")),
        GroupRole::Leaving => Some(format!("{node} is leaving")),
        GroupRole::Standby => Some(match &group.owner {
            Some(owner) => format!("{node} stands by; {owner} serves"),
            None => format!("{node} stands by; nobody serves"),
        }),
    }
}
