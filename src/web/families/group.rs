//! The groups: who serves, would a takeover work, what runs.

use std::fmt;

use twinbeat_core::view::{Change, GroupView, Ready, ServiceView, TakeoverReady};
use twinbeat_core::words::{FoundState, Ground, GroupRole};

use super::series::{label, micro, seconds, words};
use crate::health::not_serving;
use crate::metrics::{Families, Labels};

/// What is told of all groups, family by family: the series of one family stand together.
#[derive(Default)]
struct Rows {
    vips: Vec<Labels>,
    owner: Vec<(Labels, i64)>,
    serves: Vec<(Labels, i64)>,
    role: Vec<(Labels, GroupRole)>,
    epoch: Vec<(Labels, i64)>,
    ready: Vec<(Labels, i64)>,
    ready_reasons: Vec<(Labels, i64)>,
    lease: Vec<(Labels, f64)>,
    grounds: Vec<(Labels, i64)>,
    return_path: Vec<(Labels, f64)>,
    two_owners: Vec<(Labels, i64)>,
    table_proved: Vec<(Labels, f64)>,
    service: Vec<(Labels, &'static str)>,
    services: Vec<Labels>,
    found: Vec<(Labels, &'static str)>,
    checks: Vec<(Labels, i64)>,
    held: Vec<(Labels, i64)>,
    held_left: Vec<(Labels, f64)>,
    paused: Vec<(Labels, i64)>,
    pause_left: Vec<(Labels, f64)>,
    left_alone: Vec<(Labels, i64)>,
    failback: Vec<(Labels, i64)>,
    change_age: Vec<(Labels, f64)>,
    change_gap: Vec<(Labels, f64)>,
    claim_open: Vec<(Labels, i64)>,
    stranger: Vec<(Labels, i64)>,
}

pub(super) fn write(groups: &[GroupView], nodes: [&String; 2], out: &mut Families) -> fmt::Result {
    let mut rows = Rows::default();
    groups.iter().for_each(|group| rows.add(group, nodes));
    rows.write(out)
}

impl Rows {
    fn add(&mut self, group: &GroupView, nodes: [&String; 2]) {
        let GroupView {
            name,
            owner,
            role,
            epoch,
            vips,
            takeover_ready,
            lease_ms_left,
            grounds,
            return_path_us,
            two_owners,
            table_proved_ms,
            service,
            services,
            services_here,
            standby_held,
            standby_left_ms,
            paused,
            pause_left_ms,
            left_alone,
            failback,
            last_change,
            claim_open,
            stranger,
        } = group;
        let of = || label("group", name);
        let with = |key, value: &str| vec![("group", name.clone()), (key, value.to_owned())];
        let is = |value: bool| (of(), i64::from(value));

        self.vips.extend(vips.iter().map(|vip| with("vip", vip)));
        self.owner.extend(nodes.map(|node| (with("node", node), i64::from(owner.as_ref() == Some(node)))));
        self.serves.push(is(not_serving(group, nodes[0], 0).is_none()));
        self.role.push((of(), *role));
        self.epoch.push((of(), i64::try_from(*epoch).unwrap_or(i64::MAX)));
        // Both together are `ready`, and all their reasons `reasons`.
        let TakeoverReady { ready: _, reasons: _, crash, planned } = takeover_ready;
        for (kind, Ready { ready, reasons }) in [("crash", crash), ("planned", planned)] {
            self.ready.push((with("kind", kind), i64::from(*ready)));
            self.ready_reasons.push((with("kind", kind), count(reasons.len())));
        }
        self.lease.extend(lease_ms_left.map(|ms| (of(), seconds(ms))));
        let held = |ground: &Ground| (with("ground", ground.word()), i64::from(grounds.contains(ground)));
        self.grounds.extend(Ground::ALL.iter().map(held));
        self.return_path.extend(return_path_us.map(|us| (of(), micro(us))));
        self.two_owners.push(is(*two_owners));
        self.table_proved.extend(table_proved_ms.map(|ms| (of(), seconds(ms))));
        self.service.push((of(), service.parts().0));
        self.services.extend(services.iter().map(|service| with("service", service)));
        for ServiceView { name, warm, state, check } in services_here {
            // What it said is for people: `/status.json`.
            self.checks.extend(check.as_ref().map(|check| (with("service", name), i64::from(check.well))));
            let mut labels = with("service", name);
            labels.push(("warm", warm.to_string()));
            self.found.push((labels, found(state)));
        }
        self.held.push(is(standby_held.is_some()));
        self.held_left.extend(standby_left_ms.map(|ms| (of(), seconds(ms))));
        self.paused.push(is(paused.is_some()));
        self.pause_left.extend(pause_left_ms.map(|ms| (of(), seconds(ms))));
        self.left_alone.push(is(left_alone.is_some()));
        self.failback.push(is(failback.is_some()));
        if let Some(Change { ago_ms, text: _, gap_us, gap_told: _ }) = last_change {
            self.change_age.push((of(), seconds(*ago_ms)));
            self.change_gap.extend(gap_us.map(|us| (of(), micro(us))));
        }
        self.claim_open.push((of(), count(claim_open.len())));
        self.stranger.push(is(stranger.is_some()));
    }

    fn write(self, out: &mut Families) -> fmt::Result {
        out.infos("group_vip", "A group's VIPs.", self.vips)?;
        out.counts(
            "group_owner",
            "The node that serves the group, as far as this node knows: one series a node, all 0 when nobody does.",
            self.owner,
        )?;
        out.counts("group_serving", "This node owns the group and its gate is open, as /health says it.", self.serves)?;
        out.states("group_role", "This node's part in the group.", "role", words!(GroupRole), self.role)?;
        out.counts(
            "group_epoch",
            "The owner's epoch, or the highest one known: it rises by one or more at each change of owner.",
            self.epoch,
        )?;
        out.counts(
            "group_takeover_ready",
            "Whether a takeover would work now: when the owner crashes, and as a planned move.",
            self.ready,
        )?;
        out.counts("group_takeover_obstacles", "How many things stand in the way of a takeover.", self.ready_reasons)?;
        out.seconds(
            "group_lease_left",
            "On the owner: until the gate closes by itself unless the lease is renewed.",
            self.lease,
        )?;
        out.counts("group_ground", "On the owner: the reasons that it has to go on.", self.grounds)?;
        out.seconds(
            "group_return_path_round_trip",
            "On the owner: the last round trip of an echo from the VIP.",
            self.return_path,
        )?;
        out.counts(
            "group_two_owners",
            "This node owns, and the peer says that it does too, with its gate open.",
            self.two_owners,
        )?;
        out.seconds(
            "group_table_proved_age",
            "Since an echo from the VIP last came back here from a majority of the witnesses.",
            self.table_proved,
        )?;
        out.states(
            "group_service_state",
            "What the group's services do on this node, all of them together.",
            "state",
            &SERVICE,
            self.service,
        )?;
        out.infos("service", "A group's services.", self.services)?;
        out.states(
            "service_state",
            "Each service as it was found on this node when it was asked for this scrape.",
            "state",
            &FOUND,
            self.found,
        )?;
        out.counts("service_check", "The checks of the service that run here: 1 while all are well.", self.checks)?;
        out.counts("group_standby_held", "This node stands by by command.", self.held)?;
        out.seconds("group_standby_left", "Until the standby by command ends by itself.", self.held_left)?;
        out.counts("group_paused", "The group is paused: nothing is restarted or moved for a service's sake.", self.paused)?;
        out.seconds("group_pause_left", "Until the pause ends by itself.", self.pause_left)?;
        out.counts("group_left_alone", "A service of the group fell here in the pause, and is left as it is.", self.left_alone)?;
        out.counts("group_failback_pending", "This node is the preferred one and waits for a failback.", self.failback)?;
        out.seconds("group_last_change_age", "Since the newest change of owner.", self.change_age)?;
        out.seconds(
            "group_last_change_gap",
            "The gap that clients saw in that change, where it was a planned one and this node measured it.",
            self.change_gap,
        )?;
        out.counts(
            "group_claim_obstacles",
            "On a standby: how many points are open before a claim. 1 in good times: the peer lives.",
            self.claim_open,
        )?;
        out.counts("group_stranger", "A third machine says that it has the address.", self.stranger)
    }
}

fn count(of: usize) -> i64 {
    i64::try_from(of).unwrap_or(i64::MAX)
}

const fn found(state: &FoundState) -> &'static str {
    match state {
        FoundState::Running => "running",
        FoundState::Stopped => "stopped",
        FoundState::Unknown(_) => "unknown",
    }
}

/// The words of [`FoundState`].
const FOUND: [(&str, &str); 3] = [("running", "running"), ("stopped", "stopped"), ("unknown", "unknown")];
/// Those of [`ServiceState`].
const SERVICE: [(&str, &str); 9] = [
    ("none", "none"),
    ("stopped", "stopped"),
    ("warm", "warm"),
    ("starting", "starting"),
    ("running", "running"),
    ("stopping", "stopping"),
    ("failed", "failed"),
    ("does not stop", "does not stop"),
    ("running by another hand", "running by another hand"),
];

#[cfg(test)]
mod tests {
    use twinbeat_core::words::ServiceState;

    use super::SERVICE;

    #[test]
    fn each_state_of_services_has_a_series() {
        let why = String::new;
        let all = [
            ServiceState::None,
            ServiceState::Stopped,
            ServiceState::Warm,
            ServiceState::Starting,
            ServiceState::Running,
            ServiceState::Stopping,
            ServiceState::Failed(why()),
            ServiceState::DoesNotStop(why()),
            ServiceState::ByAnotherHand(why()),
        ];
        for state in &all {
            // A new one does not build here until it is in the list above, and then not without a word below.
            match state {
                ServiceState::None | ServiceState::Stopped | ServiceState::Warm | ServiceState::Starting => {}
                ServiceState::Running | ServiceState::Stopping | ServiceState::Failed(_) => {}
                ServiceState::DoesNotStop(_) | ServiceState::ByAnotherHand(_) => {}
            }
            assert!(SERVICE.contains(&(state.parts().0, state.parts().0)), "{state}");
        }
        assert_eq!(SERVICE.len(), all.len());
    }
}
