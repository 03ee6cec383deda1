//! Would a takeover work now? One answer, the same on both nodes: what the standby says of itself, whether it is asked there or here.
//!
//! Two things are meant by it. *A crash of the owner*: the standby has to claim alone, so it needs the witness and its register. *A planned
//! move*: the two agree, so they have to hear each other, and what both have lost is no reason against it (SAFETY R8).

use serde::{Deserialize, Serialize};

use super::data::Data;
use super::fitness::UNFIT;
use super::group::Group;
use super::id::Name;
use super::role::{Role, Running};
use super::sentence::Sentence;
use super::shared::Shared;
use super::time::{Mono, Span};
use super::view::{Ready, TakeoverReady};
use super::words::About;
use crate::prelude::*;

/// Why a node is not fit for a group, or may not be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Unfit {
    /// Why.
    pub why: WhyUnfit,
    /// For how long still, in whole seconds on the wire; zero: until it is mended, or has been tried again.
    pub left: Span,
}

/// The reasons.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum WhyUnfit {
    /// A cold service is being stopped.
    Stopping,
    /// A service does not stop.
    DoesNotStop,
    /// A service did not start, or died; with nothing left it may be tried, and has not run since.
    ServiceFailed,
    /// Gate and address did not come up.
    DidNotOpen,
    /// The state directory cannot be written.
    Disk,
    /// The kernel makes no gate.
    Gate,
    /// The daemon is being stopped.
    Shutdown,
    /// An interface of one of the addresses does not exist.
    Interface,
    /// An interface of one of the addresses, or one that is tracked, has no carrier.
    Carrier,
    /// The answer of the witness to the address never came when this node had it.
    NoReturnPath,
    /// A service could not start, asked without a start, or a warm one that runs there is not well.
    NotStartable,
}

impl Unfit {
    /// What goes on behind the node's name in a sentence: why, and until when.
    pub fn words(self) -> String {
        let what = match self.why {
            WhyUnfit::Stopping => return "is still stopping a service".into(),
            WhyUnfit::Shutdown => return "is being stopped".into(),
            WhyUnfit::ServiceFailed if self.left == Span::ZERO => {
                return "had a service fail that has not run there since (the next takeover would try it again)".into();
            }
            WhyUnfit::NoReturnPath if self.left == Span::ZERO => {
                return "had no return path the last time it had the address (the next takeover would try it again)".into();
            }
            WhyUnfit::NoReturnPath => {
                let seconds = self.left.as_millis().div_ceil(1000);
                return format!(
                    "had no return path the last time it had the address, and takes it again in {seconds} s at the earliest"
                );
            }
            WhyUnfit::ServiceFailed => "had a service fail",
            WhyUnfit::DoesNotStop => "has a service that does not stop",
            WhyUnfit::DidNotOpen => "could not make gate and address",
            WhyUnfit::Disk => "cannot write its state directory",
            WhyUnfit::Gate => "has a kernel that makes no gate",
            WhyUnfit::NotStartable => "has a service that could not start",
            WhyUnfit::Interface => "lacks the interface of one of the addresses, or IPv6 on it",
            WhyUnfit::Carrier => "has no carrier on an interface of the group",
        };
        match self.left.as_millis().div_ceil(1000) {
            0 => format!("{what}, until that is mended"),
            seconds => format!("{what}, and is fit again in {seconds} s at the earliest"),
        }
    }
}

/// What is known of one node in one group.
struct Side {
    name: Name,
    carrier: bool,
    reachable: bool,
    /// It would take the group from a living peer.
    accepts: bool,
    /// It would claim it from a dead one.
    claims: bool,
    unfit: Option<Unfit>,
}

/// Echoes from the address that stay away in a row before a person is told.
const PATH_MISSED: u32 = 3;

impl Data {
    /// Why this node is not fit, or may not be; none when nothing is known against it.
    pub fn unfit(&self, cx: &Shared, now: Mono) -> Option<Unfit> {
        let until_mended = |why| Some(Unfit { why, left: Span::ZERO });
        if cx.shutdown {
            return until_mended(WhyUnfit::Shutdown);
        }
        if cx.disk_failed.is_some() {
            return until_mended(WhyUnfit::Disk);
        }
        if cx.is_unguarded() {
            return until_mended(WhyUnfit::Gate);
        }
        match &self.service.running {
            Running::Stuck(_) => return until_mended(WhyUnfit::DoesNotStop),
            Running::Stopping if self.cold_stopping(cx) => return until_mended(WhyUnfit::Stopping),
            _ => {}
        }
        if let Some(f) = self.service.failure.filter(|f| !f.runs_again) {
            let until = f.at + f.patience().max(UNFIT);
            return Some(Unfit { why: WhyUnfit::ServiceFailed, left: until.since(now) });
        }
        if let Some(at) = self.fitness.unfit_until.filter(|at| now < *at) {
            return Some(Unfit { why: WhyUnfit::DidNotOpen, left: at.since(now) });
        }
        if self.missing(cx).is_some() {
            return until_mended(WhyUnfit::Interface);
        }
        if self.cut_since(cx).is_some() {
            return until_mended(WhyUnfit::Carrier);
        }
        if self.service.obstacle.is_some() {
            return until_mended(WhyUnfit::NotStartable);
        }
        // Until one comes: that time has passed is no proof.
        let left = self.no_return_until()?.since(now);
        Some(Unfit { why: WhyUnfit::NoReturnPath, left })
    }

    /// Why the services could not start here, in words; none when nothing is known against it.
    pub(super) fn obstacle_words(&self, cx: &Shared) -> Option<String> {
        self.service.obstacle.as_ref().map(|why| format!("{} could not start its services: {why}", cx.me()))
    }

    /// A third machine that was heard to have the address, while that is news.
    pub(super) fn stranger_said(&self, now: Mono) -> Option<Sentence> {
        let (by, at) = self.people.stranger.filter(|(_, at)| now.since(*at) < STRANGER)?;
        let seconds = now.since(at).as_millis().div_euclid(1000);
        let text = format!(
            "{}: {by} says that it has the address, {seconds} s ago: find that machine (the switch's table, `ip neigh`)",
            self.name
        );
        Some(Sentence::passing(About::Stranger, format!("{}: {by}", self.name), text))
    }
}

impl Group {
    /// Would a takeover work now, and if not, why not and until when.
    pub(super) fn readiness(&self, cx: &Shared, now: Mono) -> TakeoverReady {
        let me = Side {
            name: cx.me(),
            carrier: cx.witness.carrier,
            reachable: cx.witness.reachable,
            accepts: self.data.accepts(cx, now),
            claims: self.data.eligible(cx, now),
            unfit: self.data.unfit(cx, now),
        };
        let touch = cx.in_touch(now);
        let said = cx.peer.said().zip(cx.peer.group(&self.data.name)).filter(|_| touch);
        let peer = said.map(|(beat, g)| Side {
            name: cx.peer_name(),
            carrier: beat.carrier,
            reachable: beat.reachable,
            accepts: g.eligible,
            claims: g.could_serve(),
            unfit: g.unfit,
        });
        let owns = !matches!(self.role, Role::Standby(_));
        let (standby, owner) = if owns { (peer, Some(me)) } else { (Some(me), peer) };
        let unheard = || {
            let text = match cx.peer.said().filter(|_| touch) {
                None => format!("{} is not heard", cx.peer_name()),
                Some(_) => format!("{} does not know the group", cx.peer_name()),
            };
            Sentence::lasting(About::Peer, text)
        };
        let files = |words| Sentence::lasting(About::Files, words);
        let mut crash = Vec::new();
        let mut planned = Vec::new();
        match &standby {
            None => crash.push(unheard()),
            Some(s) => {
                crash.extend(s.cut_off(true));
                crash.extend(s.not_fit(s.claims, &self.data, cx));
            }
        }
        crash.extend(cx.claim_forbidden(&self.data.name).map(files));
        crash.extend(cx.fence_problem(now));
        if cx.settings.fencing.is_none() && cx.witness.targets.iter().all(|t| !t.register) && !cx.witness.targets.is_empty() {
            let text = "no witness can be used as a register: a claim would need fencing";
            crash.push(Sentence::lasting(About::Register, text));
        }
        match (&standby, &owner) {
            (Some(s), Some(o)) => {
                planned.extend(s.cut_off(o.reachable));
                planned.extend(s.not_fit(s.accepts, &self.data, cx));
            }
            _ => planned.push(unheard()),
        }
        planned.extend(cx.files_hold(&self.data.name).map(files));
        if let Some((by, _)) = self.data.people.stranger.filter(|(_, at)| now.since(*at) < STRANGER) {
            let text = format!("{by} answers for the address as well: find that machine");
            let said = Sentence::lasting(About::Stranger, text);
            crash.push(said.clone());
            planned.push(said);
        }
        TakeoverReady::of(crash, planned)
    }

    /// An owner whose echoes from the address stay away while its own ones are answered, for longer than a move takes: nothing that is
    /// sent to the address may reach it, although the peer's word keeps it the owner.
    pub(super) fn pathless(&self, cx: &Shared, now: Mono) -> Option<Sentence> {
        let Role::Owner(o) = &self.role else { return None };
        let asked = o.paths.iter().any(|path| path.missed >= PATH_MISSED);
        let proven = o.grounds.path.unwrap_or(o.since).max(o.since);
        let long = now.since(proven) > cx.settings.timing.dead + cx.settings.witness.interval * 3;
        (cx.path_tells() && asked && long).then(|| {
            let words = match o.grounds.path {
                None if !o.proven => "never came since it took the address".to_string(),
                None => "stays away".to_string(),
                Some(at) => format!("has stayed away for {} s", now.since(at).as_millis().div_euclid(1000)),
            };
            let text = format!(
                "{}: the answer of the witness to the address {words}, while {} itself is answered: clients may not reach it (does the network let the address's frames pass for the other node alone?); `twinbeat standby` on {} moves it away",
                self.data.name,
                cx.me(),
                cx.me()
            );
            Sentence::passing(About::ReturnPath, self.data.name.to_string(), text)
        })
    }
}

impl Side {
    /// Why it cannot be reached from outside, where that matters.
    fn cut_off(&self, matters: bool) -> Option<Sentence> {
        if !self.carrier {
            Some(Sentence::lasting(About::Carrier, format!("{} has no carrier on its public side", self.name)))
        } else if !self.reachable && matters {
            Some(Sentence::lasting(About::Witness, format!("the witness does not answer {}", self.name)))
        } else {
            None
        }
    }

    /// Why it is not fit although it would have to be, or may not be: what failed and has not run since is no promise.
    fn not_fit(&self, fit: bool, data: &Data, cx: &Shared) -> Option<Sentence> {
        let said = |about: About| move |words: String| Sentence::lasting(about, words);
        match self.unfit {
            Some(unfit) if unfit.why == WhyUnfit::Interface && self.name == cx.me() => {
                data.missing(cx).map(|(words, _)| words).map(said(About::Interface))
            }
            Some(unfit) if unfit.why == WhyUnfit::Carrier && self.name == cx.me() => data.cut(cx).map(said(About::Interface)),
            Some(unfit) if unfit.why == WhyUnfit::NotStartable && self.name == cx.me() => {
                data.obstacle_words(cx).map(said(About::Service))
            }
            Some(unfit)
                if !fit || matches!(unfit.why, WhyUnfit::ServiceFailed | WhyUnfit::NoReturnPath | WhyUnfit::NotStartable) =>
            {
                let until_mended = Unfit { left: Span::ZERO, ..unfit };
                let words = |unfit: Unfit| format!("{} {}", self.name, unfit.words());
                Some(Sentence::passing(About::Fitness, words(until_mended), words(unfit)))
            }
            Some(_) => None,
            None => (!fit).then(|| Sentence::lasting(About::Fitness, format!("{} says that it is not fit", self.name))),
        }
    }
}

impl TakeoverReady {
    /// Of the reasons against each.
    pub fn of(crash: Vec<Sentence>, planned: Vec<Sentence>) -> TakeoverReady {
        let mut reasons = crash.clone();
        reasons.extend(planned.iter().filter(|reason| !crash.contains(reason)).cloned());
        let ready = |reasons: Vec<Sentence>| Ready { ready: reasons.is_empty(), reasons };
        TakeoverReady { ready: reasons.is_empty(), reasons, crash: ready(crash), planned: ready(planned) }
    }
}

/// So long a third machine that had the address stays on the screen.
const STRANGER: Span = Span::secs(60);
