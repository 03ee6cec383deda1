//! The status snapshot, made from the node: who serves, would a takeover work, what is wrong.

use super::group::Group;
use super::heartbeat::BeatRole;
use super::io::InterfaceState;
use super::link::LinkState;
use super::node::Node;
use super::role::{Role, Running, Standby};
use super::settings::Services;
use super::shared::Shared;
use super::time::Mono;
use super::view::{Change, GroupView, LinkView, Ready, TargetView, View, WitnessView};

impl Node {
    /// What there is to see.
    pub fn view(&self, now: Mono) -> View {
        let cx = &self.cx;
        let t = &cx.settings.timing;
        let since = |at: Option<Mono>| at.map(|at| now.since(at).as_millis());
        let peer_state = match cx.peer.heard {
            None => "never heard",
            Some(at) if now.since(at) <= t.warn => "heard",
            Some(at) if now.since(at) <= t.dead => "suspected",
            Some(_) => "silent",
        };
        let links: Vec<LinkView> = cx
            .links
            .iter()
            .map(|l| LinkView {
                name: l.name.to_string(),
                state: l.state.word().into(),
                rtt_us: l.rtt.map(|r| r.as_micros()),
                loss: if l.heard.is_some() { l.loss(cx.peer.newest) } else { 1.0 },
                carrier: !matches!(l.interface, InterfaceState::NoCarrier | InterfaceState::Missing),
                heard_ms: since(l.heard),
                bond: None,
            })
            .collect();
        let witness = WitnessView {
            reachable: cx.witness.reachable,
            peer_reachable: cx.peer.said().filter(|_| cx.peer.fresh(now, t.warn)).map(|b| b.reachable),
            targets: (0u8..)
                .zip(&cx.witness.targets)
                .map(|(index, w)| TargetView {
                    index,
                    reachable: w.reachable,
                    answered_ms: since(w.own.answered_at),
                    rtt_us: w.own.rtt.map(|r| r.as_micros()),
                    register: w.register,
                })
                .collect(),
        };
        let groups: Vec<GroupView> = self.groups.iter().map(|g| g.view(cx, now)).collect();
        let mut problems = Vec::new();
        for g in self.groups.iter().filter(|g| g.owns()) {
            let peer = cx.peer.group(&g.name).filter(|_| cx.peer.fresh(now, t.warn));
            if peer.is_some_and(|b| b.role == BeatRole::Owner && b.gate_open) {
                problems.push(format!("{}: two owners", g.name));
            }
        }
        for g in &groups {
            if g.owner.is_none() {
                problems.push(format!("{}: nobody serves", g.name));
            }
            if !g.takeover_ready.ready {
                problems.push(format!("{}: a takeover would not work: {}", g.name, g.takeover_ready.reasons.join("; ")));
            }
        }
        if !cx.witness.reachable {
            problems.push("the witness does not answer this node".into());
        }
        for l in cx.links.iter().filter(|l| l.state != LinkState::Healthy) {
            problems.push(format!("link {}: {}", l.name, l.state.word()));
        }
        problems.extend(self.mismatch().map(str::to_string));
        problems.extend(cx.disk_failed.as_ref().map(|r| format!("the state directory cannot be written: {r}")));
        View {
            node: cx.me().to_string(),
            peer: cx.peer_name().to_string(),
            cluster: cx.settings.cluster.to_string(),
            up_ms: now.since(cx.born).as_millis(),
            groups,
            links,
            witness,
            peer_state: peer_state.into(),
            mismatch: self.mismatch().map(str::to_string),
            problems,
        }
    }
}

impl Group {
    /// This node's kernel answers for the VIP, as far as the core knows.
    pub fn owns(&self) -> bool {
        matches!(self.role, Role::Owner(_))
    }

    /// Standby with nothing under way.
    pub fn quiet_standby(&self) -> bool {
        matches!(self.role, Role::Standby(Standby { claim: None, wish: None })) && self.released.is_none()
    }

    /// No service runs, or none is being stopped.
    pub fn stopped(&self) -> bool {
        matches!(self.running, Running::Stopped | Running::Stuck(_) | Running::Failed(..))
    }

    /// Why the peer could not serve this group now; none when it could.
    pub fn peer_cannot_serve(&self, cx: &Shared, now: Mono) -> Option<String> {
        if !cx.in_touch(now) {
            return Some("it is not heard".into());
        }
        let said = cx.peer.said()?;
        let Some(g) = cx.peer.group(&self.name) else { return Some("it does not know the group".into()) };
        if !g.eligible {
            Some("it says that it is not fit (a service does not start or stop, its state directory cannot be written, or it is being stopped)".into())
        } else if !said.carrier {
            Some("it has no carrier on its public side".into())
        } else if !said.reachable && cx.witness.reachable {
            Some("the witness does not answer it".into())
        } else {
            None
        }
    }

    fn view(&self, cx: &Shared, now: Mono) -> GroupView {
        let peer = cx.peer.group(&self.name).filter(|_| cx.peer.fresh(now, cx.settings.timing.dead));
        let peer_owns = peer.is_some_and(|g| g.role == BeatRole::Owner && g.gate_open);
        let owner = match &self.role {
            Role::Owner(o) if o.armed > now => Some(cx.me()),
            _ if peer_owns => Some(cx.peer_name()),
            _ => None,
        };
        let mut reasons = Vec::new();
        let open = match &self.role {
            Role::Owner(_) | Role::Opening(_) | Role::Leaving(_) => {
                reasons.extend(self.peer_cannot_serve(cx, now).map(|w| format!("{}: {w}", cx.peer_name())));
                Vec::new()
            }
            Role::Standby(s) => {
                if !cx.witness.carrier {
                    reasons.push(format!("{} has no carrier on its public side", cx.me()));
                } else if !cx.witness.reachable {
                    reasons.push(format!("the witness does not answer {}", cx.me()));
                }
                if !self.eligible(cx, now) {
                    reasons.push(format!("{} is not fit to serve", cx.me()));
                }
                self.open_points(s, cx, now).iter().map(ToString::to_string).collect()
            }
        };
        if cx.witness.targets.iter().all(|t| !t.register) && !cx.witness.targets.is_empty() {
            reasons.push("no witness can be used as a register: a claim would need fencing".into());
        }
        let (role, epoch, grounds, left, path) = match &self.role {
            Role::Standby(_) => ("standby", self.seen, vec![], None, None),
            Role::Opening(o) => ("claiming", o.epoch, vec![], None, None),
            Role::Leaving(l) => ("leaving", l.epoch, vec![], None, None),
            Role::Owner(o) => {
                let path = o.paths.iter().filter_map(|p| p.rtt).min().map(|r| r.as_micros());
                let words = o.grounds.words(now, cx.lease());
                ("owner", o.epoch, words, Some(o.armed.since(now).as_millis()), path)
            }
        };
        let epoch = if owner.is_some() && !self.owns() { peer.map_or(epoch, |g| g.epoch) } else { epoch };
        let settings = &cx.settings.groups[usize::from(self.id.0)];
        let service = match (&self.running, settings.services) {
            (_, Services::None) => "none".into(),
            (Running::Stopped, _) => "stopped".into(),
            (Running::Warm, _) => "warm".into(),
            (Running::Starting, _) => "starting".into(),
            (Running::Running, _) => "running".into(),
            (Running::Stopping, _) => "stopping".into(),
            (Running::Failed(why, _), _) => format!("failed: {why}"),
            (Running::Stuck(why), _) => format!("does not stop: {why}"),
        };
        GroupView {
            name: self.name.to_string(),
            owner: owner.map(|o| o.to_string()),
            role: role.into(),
            epoch: epoch.0,
            vips: settings.vips.iter().map(ToString::to_string).collect(),
            takeover_ready: Ready { ready: reasons.is_empty(), reasons },
            lease_ms_left: left,
            grounds,
            return_path_us: path,
            service,
            standby_held: self.hold.as_ref().map(|h| h.reason.clone().unwrap_or_else(|| "by command".into())),
            last_change: self.last_change.as_ref().map(|c| Change {
                ago_ms: now.since(c.at).as_millis(),
                text: c.text.clone(),
                gap_us: c.gap.map(|g| g.as_micros()),
            }),
            claim_open: open,
        }
    }
}
