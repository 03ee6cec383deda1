//! The status snapshot, made from the node: who serves, would a takeover work, what is wrong.

use super::claim::Open;
use super::data::{Data, LastChange};
use super::group::Group;
use super::heartbeat::BeatRole;
use super::id::{GroupId, LinkId};
use super::io::InterfaceState;
use super::link::{Link, LinkState};
use super::node::Node;
use super::role::{Role, Running, Stage, Standby};
use super::sentence::Sentence;
use super::settings::{GroupSettings, Services};
use super::shared::Shared;
use super::time::Mono;
use super::view::{Change, GroupView, LinkView, TargetView, View, WitnessView};
use super::words::{About, AskedBy, GroupRole, Guard, LinkCondition, PeerState, ServiceState};
use crate::prelude::*;

/// The problem's words for a gate that the kernel does not make.
const UNGUARDED: &str = "the kernel does not make the gate, the address's lifetime guards alone";

/// The problem's words for a witness that does not answer.
const WITNESS_DARK: &str = "the witness does not answer this node";

/// What a node does in a group: its role, and how far it has come in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Doing {
    /// It stands by.
    StandsBy,
    /// It gathers evidence against a silent peer (SAFETY R4), before the challenge.
    Probes,
    /// It challenges.
    Challenges,
    /// It is about to ask for the group (SAFETY R6).
    Wishes,
    /// It asks for it.
    Asks,
    /// It may own; gate and address are being made.
    Opens,
    /// It owns.
    Owns,
    /// It owns, and asks the peer to take over.
    Offers,
    /// It gives the group up.
    Leaves,
    /// It gives it up to the peer, by agreement.
    Grants,
}

impl Node {
    /// What this node does in a group; none where there is no such group.
    pub fn doing(&self, group: GroupId) -> Option<Doing> {
        let group = self.groups.get(usize::from(group.0))?;
        Some(match &group.role {
            Role::Standby(s) => match (&s.wish, &s.claim) {
                (Some(w), _) if w.stage == Stage::Ask => Doing::Asks,
                (Some(_), _) => Doing::Wishes,
                (None, Some(c)) if c.challenge.is_some() => Doing::Challenges,
                (None, Some(_)) => Doing::Probes,
                (None, None) => Doing::StandsBy,
            },
            Role::Opening(_) => Doing::Opens,
            Role::Owner(o) if o.offer.is_some() => Doing::Offers,
            Role::Owner(_) => Doing::Owns,
            Role::Leaving(l) if l.to.is_some() => Doing::Grants,
            Role::Leaving(_) => Doing::Leaves,
        })
    }

    /// Whether standby by command is in force here for a group (SAFETY R14).
    pub fn held(&self, group: usize) -> bool {
        self.groups.get(group).is_some_and(|g| g.data.commanded.hold.is_some())
    }

    /// Whether the negative controls let this witness's table count as a register (SAFETY R2).
    pub fn counts(&self, witness: usize) -> bool {
        self.cx.witness.targets.get(witness).is_some_and(|w| w.register)
    }

    /// Whether what the peer said of its file forbids the group to this node (SAFETY R11).
    pub fn file_forbids(&self, group: usize) -> bool {
        let name = self.cx.settings.groups.get(group).map(|g| &g.name);
        name.is_some_and(|name| self.cx.claim_forbidden(name).is_some() || self.cx.files_hold(name).is_some())
    }

    /// Each point of the claim's checklist that is open in a group (SAFETY R4); none where this node does not stand by.
    pub fn claim_open(&self, group: GroupId, now: Mono) -> Vec<Open> {
        self.groups.get(usize::from(group.0)).map(|g| g.claim_open(&self.cx, now)).unwrap_or_default()
    }

    /// How each link is, as it was last told.
    pub fn links(&self) -> impl Iterator<Item = LinkState> {
        self.cx.links.iter().map(|link| link.state)
    }

    /// Whether the peer's file has this group with the same addresses, by its newest heartbeat; none while the peer is not heard, or
    /// speaks another version. What a group may get without leaving this node (SAFETY R10).
    pub fn peer_has(&self, group: &GroupSettings, now: Mono) -> Option<bool> {
        self.cx.peer_has(group, now)
    }

    /// What there is to see.
    pub fn view(&self, now: Mono) -> View {
        let cx = &self.cx;
        let t = &cx.settings.timing;
        let since = |at: Option<Mono>| at.map(|at| now.since(at).as_millis());
        let peer_state = match cx.peer.heard {
            None => PeerState::NeverHeard,
            Some(at) if now.since(at) <= t.warn => PeerState::Heard,
            Some(at) if now.since(at) <= t.dead => PeerState::Suspected,
            Some(_) => PeerState::Silent,
        };
        let links: Vec<LinkView> = (0u8..)
            .zip(&cx.links)
            .filter(|(_, l)| !l.silent)
            .map(|(id, l)| LinkView {
                name: l.name.to_string(),
                state: if cx.relay_blocked(l, now) { LinkCondition::Blocked } else { l.state.into() },
                rtt_us: l.rtt.map(|r| r.as_micros()),
                loss: if l.heard.is_some() { l.loss(cx.peer.newest) } else { 1.0 },
                carrier: !matches!(l.interface, InterfaceState::NoCarrier | InterfaceState::Missing),
                heard_ms: since(l.heard),
                bond: None,
                peer_state: cx.peer_hears(LinkId(id), l, now),
            })
            .collect();
        let witness = WitnessView {
            reachable: cx.witness.reachable,
            peer_reachable: cx.peer.said().filter(|_| cx.peer.fresh(now, t.warn)).map(|b| b.reachable),
            targets: (0u8..)
                .zip(&cx.witness.targets)
                .map(|(index, w)| TargetView {
                    index,
                    address: String::new(),
                    by: if cx.settings.witness.is_register(usize::from(index)) { AskedBy::Echo } else { AskedBy::Arp },
                    reachable: w.reachable,
                    answered_ms: since(w.own.answered_at),
                    rtt_us: w.own.rtt.map(|r| r.as_micros()),
                    register: w.register,
                    slow_only: w.pace.slow_only(),
                })
                .collect(),
        };
        let groups: Vec<GroupView> = self.groups.iter().map(|g| g.view(cx, now)).collect();
        let mut problems = Vec::new();
        let lacking = self.groups.iter().filter(|g| !matches!(g.role, Role::Standby(_)));
        problems.extend(lacking.filter_map(|g| {
            let words = g.data.missing(cx).map(|(words, _)| words).or_else(|| g.data.cut(cx))?;
            Some(Sentence::lasting(About::Interface, format!("{}: {words}", g.data.name)))
        }));
        for g in &groups {
            problems.extend(g.contested());
            problems.extend(g.unserved());
            problems.extend(g.failing());
            problems.extend(g.left_as_it_is());
            problems.extend(g.not_ready());
        }
        if !cx.witness.reachable {
            problems.push(Sentence::lasting(About::Witness, WITNESS_DARK));
        }
        problems.extend(links.iter().filter_map(LinkView::trouble));
        problems.extend(witness.targets.iter().filter_map(TargetView::problem));
        problems.extend(self.groups.iter().filter_map(|g| g.data.stranger_said(now)));
        problems.extend(self.groups.iter().filter_map(|g| g.pathless(cx, now)));
        problems.extend(self.mismatch().map(|words| Sentence::lasting(About::Files, words)));
        let state_trouble = cx.disk_failed.as_ref().map(|r| format!("the state directory cannot be written: {r}"));
        problems.extend(state_trouble.clone().map(|words| Sentence::lasting(About::State, words)));
        problems.extend(cx.fence_problem(now));
        problems.extend(cx.unguarded.as_ref().map(|(r, _)| Sentence::lasting(About::Gate, format!("{UNGUARDED}: {r}"))));
        View {
            node: cx.me().to_string(),
            peer: cx.peer_name().to_string(),
            cluster: cx.settings.cluster.to_string(),
            digest: format!("{:016x}", cx.settings.digest),
            up_ms: now.since(cx.born).as_millis(),
            incarnation: cx.incarnation.0,
            groups,
            links,
            witness,
            peer_state,
            mismatch: self.mismatch().map(str::to_string),
            fencing: cx.fence_words(now),
            gate: if t.weak_gate || cx.unguarded.is_some() { Guard::Weak } else { Guard::Inet },
            problems,
            state_trouble,
            recorder_trouble: None,
            notices: cx.notices(),
        }
    }
}

impl Shared {
    fn notices(&self) -> Vec<String> {
        let weak = self.settings.timing.weak_gate;
        let weak =
            weak.then_some("weak gate: address lifetimes alone guard this node (no nftables gate here; docs/SAFETY.md, limit f)");
        let island = self.settings.witness.island_hold;
        let island = island
            .then_some("island = \"hold\": an owner cut off from peer and witness serves on, and the peer may serve as well");
        weak.into_iter().chain(island).map(str::to_string).collect()
    }

    /// The relay does not work although the witness answers both nodes and they hear each other on other ways: the network
    /// drops frames that carry another machine's address as their source (SAFETY R4a).
    fn relay_blocked(&self, link: &Link, now: Mono) -> bool {
        let t = &self.settings.timing;
        let settled = self.peer.reaches_since.is_some_and(|at| now.since(at) > t.dead) && now.since(self.peer.met) > t.dead;
        link.relay
            && matches!(link.state, LinkState::Unheard | LinkState::Lost | LinkState::OneWay)
            && self.in_touch(now)
            && self.witness.reachable
            && settled
    }

    /// How the peer hears a link, by the newest heartbeat of mine that it says arrived over it.
    fn peer_hears(&self, id: LinkId, link: &Link, now: Mono) -> Option<LinkCondition> {
        let t = &self.settings.timing;
        let said = self.peer.said().filter(|_| self.peer.fresh(now, t.warn))?;
        let public = link.relay || self.settings.witness.link == id;
        if public && !said.carrier {
            return Some(LinkCondition::NoCarrier);
        }
        let age = now.since(link.arrived?);
        Some(if age <= t.warn + t.heartbeat {
            LinkCondition::Ok
        } else if age <= t.dead {
            LinkCondition::Late
        } else {
            LinkCondition::Lost
        })
    }
}

impl Group {
    /// This node's kernel answers for the VIP, as far as the core knows.
    pub fn owns(&self) -> bool {
        matches!(self.role, Role::Owner(_))
    }

    /// Standby with nothing under way.
    pub fn quiet_standby(&self) -> bool {
        matches!(self.role, Role::Standby(Standby { claim: None, wish: None })) && self.data.agreement.released.is_none()
    }

    fn claim_open(&self, cx: &Shared, now: Mono) -> Vec<Open> {
        match &self.role {
            Role::Owner(_) | Role::Opening(_) | Role::Leaving(_) => Vec::new(),
            Role::Standby(s) => s.open_points(&self.data, cx, now),
        }
    }

    fn view(&self, cx: &Shared, now: Mono) -> GroupView {
        let peer = cx.peer.group(&self.data.name).filter(|_| cx.peer.fresh(now, cx.settings.timing.dead));
        let peer_owns = peer.is_some_and(|g| g.role == BeatRole::Owner && g.gate_open);
        let owner = match &self.role {
            Role::Owner(o) if o.armed > now => Some(cx.me()),
            _ if peer_owns => Some(cx.peer_name()),
            _ => None,
        };
        let (role, epoch, grounds, left, path) = match &self.role {
            Role::Standby(_) => (GroupRole::Standby, self.data.epochs.seen, vec![], None, None),
            Role::Opening(o) => (GroupRole::Claiming, o.epoch, vec![], None, None),
            Role::Leaving(l) => (GroupRole::Leaving, l.epoch, vec![], None, None),
            Role::Owner(o) => {
                let path = o.paths.iter().filter_map(|p| p.rtt).min().map(|r| r.as_micros());
                let holding = o.grounds.holding(now, cx.lease());
                (GroupRole::Owner, o.epoch, holding, Some(o.armed.since(now).as_millis()), path)
            }
        };
        let epoch = if owner.is_some() && !self.owns() { peer.map_or(epoch, |g| g.epoch) } else { epoch };
        let service = match (&self.data.service.running, cx.services(self.data.id)) {
            (_, Services::None) => ServiceState::None,
            (Running::Stopped, _) => ServiceState::Stopped,
            (Running::Warm, _) => ServiceState::Warm,
            (Running::Starting, _) => ServiceState::Starting,
            (Running::Running, _) => ServiceState::Running,
            (Running::Stopping, _) => ServiceState::Stopping,
            (Running::Failed(why, _), _) => ServiceState::Failed(why.clone()),
            (Running::Stuck(why), _) => ServiceState::DoesNotStop(why.clone()),
        };
        let pause = &self.data.commanded.pause;
        GroupView {
            name: self.data.name.to_string(),
            owner: owner.map(|o| o.to_string()),
            role,
            epoch: epoch.0,
            vips: cx.settings.group(self.data.id).into_iter().flat_map(|g| &g.vips).map(ToString::to_string).collect(),
            takeover_ready: self.readiness(cx, now),
            lease_ms_left: left,
            grounds,
            return_path_us: path,
            two_owners: self.owns() && peer_owns && cx.peer.fresh(now, cx.settings.timing.warn),
            table_proved_ms: self.data.people.table_proved.map(|at| now.since(at).as_millis()),
            service,
            services: Vec::new(),
            services_here: Vec::new(),
            standby_held: self.data.commanded.hold.as_ref().map(|h| h.reason.clone().unwrap_or_else(|| "by command".into())),
            standby_left_ms: self.data.commanded.hold.as_ref().and_then(|h| h.until).map(|until| until.since(now).as_millis()),
            paused: pause.on.then(|| pause.reason.clone().unwrap_or_else(|| "by command".into())),
            pause_left_ms: pause.until.filter(|_| pause.on).map(|until| until.since(now).as_millis()),
            left_alone: pause.left_alone.clone(),
            failback: self.data.failback_waits(cx, peer_owns, now),
            last_change: self.data.newest_change(cx, peer_owns).map(|c| Change {
                ago_ms: now.since(c.at).as_millis(),
                text: c.text,
                gap_us: c.gap.map(|g| g.as_micros()),
                gap_told: c.told,
            }),
            claim_open: self.claim_open(cx, now).iter().map(ToString::to_string).collect(),
            stranger: self.data.stranger_said(now).map(|said| said.text),
        }
    }
}

impl Data {
    /// No service runs, or none is being stopped.
    pub fn stopped(&self) -> bool {
        matches!(self.service.running, Running::Stopped | Running::Stuck(_) | Running::Failed(..))
    }

    /// Why the peer could not serve this group now; none when it could.
    pub fn peer_cannot_serve(&self, cx: &Shared, now: Mono) -> Option<String> {
        if !cx.in_touch(now) {
            return Some("it is not heard".into());
        }
        let said = cx.peer.said()?;
        let Some(g) = cx.peer.group(&self.name) else { return Some("its file does not have the group".into()) };
        if let Some(why) = cx.files_hold(&self.name) {
            return Some(why);
        }
        if !g.eligible {
            Some(g.unfit.map_or_else(|| "it says that it is not fit".into(), |unfit| format!("it {}", unfit.words())))
        } else if !said.carrier {
            Some("it has no carrier on its public side".into())
        } else if !said.reachable && cx.witness.reachable {
            Some("the witness does not answer it".into())
        } else {
            None
        }
    }

    /// What this node did last, or what it saw the peer do since.
    fn newest_change(&self, cx: &Shared, peer_owns: bool) -> Option<LastChange> {
        let seen =
            self.people.peer_serves.filter(|(_, at)| peer_owns && self.people.last_change.as_ref().is_none_or(|c| *at >= c.at));
        let told =
            |(epoch, at)| LastChange { at, text: format!("{} SERVES, epoch {epoch}", cx.peer_name()), gap: None, told: false };
        match (seen.map(told), &self.people.last_change) {
            (Some(peer), Some(own)) => Some(LastChange {
                text: format!("{}; before that: {}", peer.text, own.text),
                gap: own.gap,
                told: own.told,
                ..peer
            }),
            (Some(peer), None) => Some(peer),
            (None, own) => own.clone(),
        }
    }
}
