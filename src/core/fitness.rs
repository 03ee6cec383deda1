//! Whether a node is fit to serve a group: nothing cold is still stopping, nothing failed a moment ago, the state can be written, and the
//! kernel makes the gate.

use serde::{Deserialize, Serialize};

use super::bite::{self, Clause};
use super::claim::Probes;
use super::data::Data;
use super::deadlines::Due;
use super::event::{Kind, Level};
use super::id::{LinkId, Name};
use super::io::{InterfaceState, Output};
use super::node::Node;
use super::role::{Owner, Running};
use super::settings::{Failback, PROBE_GAP, Services};
use super::shared::Shared;
use super::time::{Mono, Span};
use super::timer::Timer;
use crate::prelude::*;

/// After a failed start of services, or a failed opening, a node is not eligible for this long.
pub(super) const UNFIT: Span = Span::secs(30);
/// After failures in a row it accepts no move for twice as long each time, up to this: a service that does not run here must not
/// be carried back and forth.
pub(super) const MOST_UNFIT: Span = Span::secs(300);

/// The sockets on an interface that came back are made within this.
const SETTLE: Span = Span::secs(1);
/// After somebody answered for an address that is to be added.
const TAKEN: Span = Span::secs(5);

/// A loss of the public side, or of an ownership, this long ago no longer lengthens the wait before a failback.
pub(super) const LOSS_MEMORY: Span = Span::secs(300);

/// A service that failed.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// When.
    pub at: Mono,
    /// Failures in a row.
    pub count: u32,
    /// It was started since, and runs.
    pub runs_again: bool,
    /// It is not this node's: somebody else has an address of the group. A claim asks for that itself, and need not wait.
    #[serde(default)]
    pub elsewhere: bool,
}

impl Failure {
    /// One after `before`; what is long past begins the row anew.
    pub(super) fn following(before: Option<Failure>, now: Mono) -> Failure {
        let before = before.filter(|f| now.since(f.at) < MOST_UNFIT * 2);
        Failure { at: now, count: before.map_or(1, |f| f.count.saturating_add(1)), runs_again: false, elsewhere: false }
    }

    /// How long it counts where the peer could give or offer the group.
    pub(super) fn patience(&self) -> Span {
        (UNFIT * (1 << self.count.clamp(1, 5).saturating_sub(1))).min(MOST_UNFIT)
    }
}

fn bit(place: u32) -> u64 {
    1u64.checked_shl(place).unwrap_or(0)
}

/// Whether the interfaces that came back have their cables: those of these addresses, of all where that is not known. One that was there all
/// the time keeps nobody from asking.
fn plugged_in(places: impl Iterator<Item = InterfaceState>, absent: u64) -> bool {
    let asked = |place: u32| absent == 0 || absent & bit(place) != 0;
    (0u32..).zip(places).all(|(place, state)| state != InterfaceState::NoCarrier || !asked(place))
}

impl Data {
    /// Nothing cold is still stopping, nothing failed a moment ago, the state can be written, and the kernel makes the gate.
    pub fn eligible(&self, cx: &Shared, now: Mono) -> bool {
        self.sound_but_for(self.service.failure, cx, now)
    }

    /// The same for a claim: when the peer is gone nobody else can serve.
    pub(super) fn may_claim(&self, cx: &Shared, now: Mono) -> bool {
        self.sound_but_for(self.service.failure.filter(|f| !f.elsewhere), cx, now)
    }

    fn sound_but_for(&self, failure: Option<Failure>, cx: &Shared, now: Mono) -> bool {
        let services = match &self.service.running {
            Running::Stopped | Running::Warm | Running::Starting | Running::Running => true,
            Running::Stopping => !self.cold_stopping(cx) || bite::off(Clause::StoppingEligible),
            Running::Stuck(_) => bite::off(Clause::StoppingEligible),
            Running::Failed(_, until) => now >= *until,
        };
        // Whatever became of the service since: on this node it failed a moment ago.
        let services = services && failure.is_none_or(|f| f.runs_again || now >= f.at + UNFIT);
        services
            && cx.disk_failed.is_none()
            && !cx.is_unguarded()
            && !cx.shutdown
            && self.fitness.unfit_until.is_none_or(|at| now >= at)
    }

    /// A service that must not run on both nodes is being stopped here. A warm one that is being stopped may as well run: the order to
    /// start it comes behind the one to stop it, and nobody has to wait for either.
    pub(super) fn cold_stopping(&self, cx: &Shared) -> bool {
        self.service.running == Running::Stopping && cx.services(self.id) != Services::Warm
    }

    /// What cannot be served here because its interface does not exist or has no IPv6, in words, and since when; none when all can.
    pub fn missing(&self, cx: &Shared) -> Option<(String, Mono)> {
        let settings = cx.settings.groups.get(usize::from(self.id.0))?;
        let gone = settings.vip_links.iter().zip(&settings.vips).filter_map(|(link, vip)| {
            let link = cx.links.get(usize::from(link.0)).filter(|link| link.place_for(vip) == InterfaceState::Missing)?;
            Some((link, vip))
        });
        let gone: Vec<_> = gone.collect();
        let (first, _) = gone.first()?;
        let vips = gone.iter().map(|(_, vip)| vip.to_string()).collect::<Vec<_>>().join(", ");
        let why = match first.interface {
            InterfaceState::Missing => format!("the interface of link {} is missing on {}", first.name, cx.me()),
            _ => format!("IPv6 is switched off on the interface of link {} on {}", first.name, cx.me()),
        };
        Some((format!("{why}, so {vips} cannot be served there"), first.interface_since))
    }

    /// An interface without heartbeats on which it has addresses has lost its carrier here, or one that it tracks has, or is not there:
    /// since when. A node is less fit for the group at once; an owner gives it away after `warn`, since a switch that both nodes share takes a
    /// moment to show at both.
    pub(super) fn cut_since<'a>(&self, cx: &'a Shared) -> Option<(&'a Name, InterfaceState, Mono)> {
        let group = cx.settings.group(self.id)?;
        let link = |id: &LinkId| cx.links.get(usize::from(id.0));
        let own = group.vip_links.iter().filter_map(link).filter(|l| l.silent && l.interface == InterfaceState::NoCarrier);
        let tracked = group.track.iter().filter_map(link);
        let tracked = tracked.filter(|l| matches!(l.interface, InterfaceState::NoCarrier | InterfaceState::Missing));
        own.chain(tracked).map(|l| (&l.name, l.interface, l.interface_since)).min_by_key(|(.., since)| *since)
    }

    /// The same in words.
    pub(super) fn cut(&self, cx: &Shared) -> Option<String> {
        let (name, state, _) = self.cut_since(cx)?;
        let what = if state == InterfaceState::Missing { "is missing" } else { "has no carrier" };
        Some(format!("{name} {what} on {}", cx.me()))
    }

    /// Since when something cannot be served here for that reason.
    pub(super) fn missing_since(&self, cx: &Shared) -> Option<Mono> {
        self.places(cx).find(|(state, _)| *state == InterfaceState::Missing).map(|(_, since)| since)
    }

    /// What the interface of each address is to it, and since when.
    fn places<'a>(&self, cx: &'a Shared) -> impl Iterator<Item = (InterfaceState, Mono)> + 'a {
        let vips = cx.settings.group(self.id).into_iter().flat_map(|group| group.vip_links.iter().zip(&group.vips));
        vips.filter_map(|(link, vip)| cx.links.get(usize::from(link.0)).map(|link| (link.place_for(vip), link.interface_since)))
    }

    /// Whether an owner may add what is not there: an interface that was missing came back, and nobody answered for the addresses
    /// meanwhile; or none was missing. No address is opened that was not asked for (SAFETY R6).
    pub(super) fn asked_for(&self, o: &mut Owner, cx: &mut Shared, now: Mono) -> bool {
        let states: Vec<_> = self.places(cx).collect();
        // At the start nothing is known of the interfaces yet: then the kernel's word on the order says what was missing.
        let missing = |(state, since): &(InterfaceState, Mono)| *state == InterfaceState::Missing && (*since > cx.born);
        let absent = (0u32..).zip(&states).filter(|(_, state)| missing(state)).fold(0, |all, (place, _)| all | bit(place));
        if absent != 0 || (o.lacking.is_some() && self.missing(cx).is_some()) {
            o.lacking = Some(Probes::default());
            o.absent |= absent;
            return false;
        }
        let Some(probes) = &mut o.lacking else { return true };
        // A question into a cable that is not plugged in goes unanswered whoever has the address; nor is one heard before the
        // sockets on an interface are made.
        let up = plugged_in(states.iter().map(|(state, _)| *state), o.absent);
        let settled = states.iter().map(|(_, since)| *since + SETTLE).max().unwrap_or_default();
        if !up || now < settled {
            return false;
        }
        if let Some((_, at)) = probes.answered {
            if now < at + TAKEN {
                return false;
            }
            *probes = Probes::default();
        }
        if probes.unanswered(now) || bite::off(Clause::AddedUnprobed) {
            (o.lacking, o.absent, o.missing, o.refresh) = (None, 0, true, now);
            return true;
        }
        if now >= probes.next(PROBE_GAP) {
            probes.send(now);
            cx.out.push_back(Output::Probe { group: self.id });
        }
        false
    }

    /// What an owner waits for that has yet to ask for addresses whose interface is back.
    pub(super) fn asks_again(&self, probes: &Probes, absent: u64, cx: &Shared, due: &mut Due) {
        let settled = self.places(cx).map(|(_, since)| since + SETTLE).max().unwrap_or_default();
        let up = plugged_in(self.places(cx).map(|(state, _)| state), absent);
        if self.missing_since(cx).is_some() {
            return;
        }
        if !up || due.last < settled {
            due.at(settled, Timer::Interface);
            return;
        }
        match probes.answered {
            Some((_, at)) => due.at(at + TAKEN, Timer::Interface),
            None => due.at(probes.next(PROBE_GAP), Timer::Probe),
        }
    }

    /// Whether the peer may offer or give it to this node: failures in a row count longer here than where the peer is lost, and an
    /// interface that is missing counts here alone.
    pub fn accepts(&self, cx: &Shared, now: Mono) -> bool {
        !self.lacks(cx)
            && self.eligible(cx, now)
            && self.service.failure.is_none_or(|f| f.runs_again || now >= f.at + f.patience())
            && self.no_return_until().is_none_or(|at| now >= at)
    }

    /// Whether it may be tried here although it was to wait: a person who asks for it has a reason to.
    pub(super) fn tries(&self, cx: &Shared, now: Mono) -> bool {
        !self.lacks(cx) && self.eligible(cx, now)
    }

    /// Something is known to be wrong here that another node need not have: an interface that is missing or has no carrier, services that
    /// could not start. Nothing is moved here then; where nobody else serves it counts for nothing.
    pub(super) fn lacks(&self, cx: &Shared) -> bool {
        self.missing(cx).is_some() || self.service.obstacle.is_some() || self.cut_since(cx).is_some()
    }

    /// Word of whether the services could start here.
    pub(super) fn startable(&mut self, obstacle: Option<String>, cx: &mut Shared) {
        if self.service.obstacle == obstacle {
            return;
        }
        let (level, text) = match &obstacle {
            Some(why) => (Level::Warn, format!("could not start here: {why}")),
            None => (Level::Info, "could start here again: nothing is known against its services".to_string()),
        };
        cx.note(level, Some(&self.name), Kind::Service(self.id), text);
        self.service.obstacle = obstacle;
        cx.urgent = true;
    }

    fn recent_losses(&self, cx: &Shared, now: Mono) -> usize {
        self.losses(cx).filter(|at| now.since(*at) < LOSS_MEMORY).count()
    }

    /// When the public side, or an ownership against its will, was lost here.
    pub(super) fn losses<'a>(&'a self, cx: &'a Shared) -> impl Iterator<Item = Mono> + 'a {
        cx.witness.losses.iter().chain(&self.fitness.driven_out).copied()
    }

    /// On the preferred node while the peer owns: when a failback comes, and what it waits for.
    pub(super) fn failback_waits(&self, cx: &Shared, peer_owns: bool, now: Mono) -> Option<String> {
        if !peer_owns || !cx.preferred(self.id) || self.commanded.hold.is_some() {
            return None;
        }
        if self.paused() {
            return Some("none while the group is paused".into());
        }
        let seconds = |span: Span| span.as_millis().div_ceil(1000);
        let Some(stable) = self.stable(cx, now) else {
            return Some(format!("manual: `twinbeat takeover` on {} brings it back", cx.me()));
        };
        let Some(fit) = self.fitness.since else { return Some(format!("waits until {} is fit", cx.me())) };
        let due = self.failback_due(fit, stable);
        if let Some(at) = self.agreement.wish_after.filter(|at| now < *at && due <= *at) {
            let why = self.people.last_refusal.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            return Some(format!("asks again in {} s{why}", seconds(at.since(now))));
        }
        let losses = match (self.recent_losses(cx, now), cx.failback(self.id)) {
            _ if self.fitness.no_return.is_some() => {
                ", since the answer of the witness to the address never came here the last time".to_string()
            }
            (0, _) | (_, Failback::After(_)) => String::new(),
            (n, _) => format!(", twice as long for each of {n} losses in the last {} min", seconds(LOSS_MEMORY).div_euclid(60)),
        };
        (now < due).then(|| format!("in {} s: {} has to be fit for {stable}{losses}", seconds(due.since(now)), cx.me()))
    }

    /// When a failback of a node that has been fit since `fit` is due.
    pub(super) fn failback_due(&self, fit: Mono, stable: Span) -> Mono {
        let due = fit.max(self.fitness.driven_out.back().copied().unwrap_or_default()) + stable;
        due.max(self.no_failback_until().unwrap_or_default())
    }

    /// How long this node must have been fit before a failback; none when there is none. Each loss of the public side, and
    /// each ownership lost against its will, not long ago doubles it (SAFETY R9).
    pub(super) fn stable(&self, cx: &Shared, now: Mono) -> Option<Span> {
        let t = &cx.settings.timing;
        if bite::off(Clause::FailbackAtOnce) {
            return Some(Span::ZERO);
        }
        let recent = self.recent_losses(cx, now).min(5) as u32;
        match cx.failback(self.id) {
            Failback::Manual => None,
            Failback::After(span) => Some(span),
            Failback::Auto => Some(t.dead.max(t.heartbeat * 10).min(Span::secs(10)) * (1 << recent)),
        }
    }
}

impl Node {
    /// Takes in a change of an interface. What could not be opened for want of an interface says nothing any more once that is there.
    pub(super) fn interfaces_change(&mut self, change: impl FnOnce(&mut Node)) {
        let lacked: Vec<bool> = self.groups.iter().map(|g| g.data.missing(&self.cx).is_some()).collect();
        change(self);
        for (group, _) in self.groups.iter_mut().zip(lacked).filter(|(_, lacked)| *lacked) {
            if group.data.missing(&self.cx).is_none() {
                group.data.fitness.unfit_until = None;
            }
        }
    }

    pub(super) fn interface(&mut self, link: LinkId, state: InterfaceState, now: Mono) {
        let cx = &mut self.cx;
        let public = cx.settings.witness.link == link;
        for (i, l) in cx.links.iter_mut().enumerate() {
            if i == usize::from(link.0) || (public && l.relay) {
                let news = l.set_interface(now, state);
                cx.urgent |= news && state == InterfaceState::Up;
            }
        }
        if public {
            cx.witness.set_carrier(state == InterfaceState::Up, now);
        }
    }
}
