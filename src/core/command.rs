//! People's commands: taken, followed, answered when the move is finished or refused.

use serde::{Deserialize, Serialize};

use super::bite::{self, Clause};
use super::deadlines::Due;
use super::group::Group;
use super::heartbeat::{BeatRole, GroupBeat};
use super::id::GroupId;
use super::io::{Answer, Command, Output, ServiceOrder};
use super::leaving::Left;
use super::role::{Role, Running};
use super::settings::Services;
use super::shared::Shared;
use super::time::{Mono, Span};
use super::timer::Timer;
use crate::prelude::*;

/// A command that is not finished by then is answered with what is missing.
const LIMIT: Span = Span::secs(60);
/// A daemon that is being stopped waits this long for its peer to take over, then for its services to stop.
const SHUTDOWN_LIMIT: Span = Span::secs(5);
/// Why a daemon that ends takes no word about ending any more.
const STOPPING: &str = "the daemon is being stopped";

/// The commands under way.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Commands {
    pending: Vec<Pending>,
    shutdown: Option<Shutdown>,
    /// Since when this life wants to end and come back.
    come_back: Option<(u64, Mono)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Pending {
    id: u64,
    want: Want,
    groups: Vec<GroupId>,
    since: Mono,
}

#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
enum Want {
    Standby,
    Takeover,
    Pause,
}

impl Want {
    /// It is done when a move is.
    fn moves(self) -> bool {
        matches!(self, Want::Standby | Want::Takeover)
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Shutdown {
    id: u64,
    since: Mono,
    gone: bool,
    /// Nobody is left without an owner for it: where the peer does not take over, this node goes on.
    #[serde(default)]
    gently: bool,
}

impl Commands {
    /// Takes a command; refusals are answered at once.
    pub(super) fn take(&mut self, id: u64, command: Command, groups: &mut [Group], cx: &mut Shared, now: Mono) {
        let chosen = |group: Option<GroupId>| -> Vec<GroupId> {
            groups.iter().map(|g| g.data.id).filter(|id| group.is_none_or(|g| g == *id)).collect()
        };
        match command {
            Command::Standby { group, lasting, reason } => {
                let chosen = chosen(group);
                if let Some(why) = groups.iter().filter(|g| chosen.contains(&g.data.id)).find_map(|g| g.data.pause_words()) {
                    reply(cx, id, Answer::Refused(why));
                    return;
                }
                // R14: refused when the peer cannot serve.
                let cannot =
                    groups.iter().filter(|g| chosen.contains(&g.data.id)).find_map(|g| g.data.peer_cannot_serve(cx, now));
                if let Some(why) = cannot.filter(|_| !bite::off(Clause::StandbyNotRefused)) {
                    reply(cx, id, Answer::Refused(format!("{} cannot serve: {why}", cx.peer_name())));
                    return;
                }
                for g in groups.iter_mut().filter(|g| chosen.contains(&g.data.id)) {
                    g.data.put_in_standby(lasting, reason.clone(), cx, now);
                    (g.data.commanded.takeover, g.data.people.last_refusal) = (false, None);
                }
                self.pending.push(Pending { id, want: Want::Standby, groups: chosen, since: now });
            }
            Command::Takeover { group } => {
                let chosen = chosen(group);
                // Looked at as a whole before anything changes: what is refused leaves all as it was, and no group goes alone.
                let cannot = groups.iter().filter(|g| chosen.contains(&g.data.id)).find_map(|g| g.no_takeover(cx, now));
                if let Some(why) = cannot {
                    reply(cx, id, Answer::Refused(why));
                    return;
                }
                for g in groups.iter_mut().filter(|g| chosen.contains(&g.data.id)) {
                    if matches!(g.role, Role::Owner(_) | Role::Opening(_)) {
                        g.data.commanded.hold = None;
                    } else {
                        // A standby by command ends with the move, not before.
                        g.data.commanded.takeover = true;
                        g.data.agreement.wish_after = None;
                        g.data.people.last_refusal = None;
                    }
                }
                cx.dirty = true;
                self.pending.push(Pending { id, want: Want::Takeover, groups: chosen, since: now });
            }
            Command::Pause { group, lasting, reason } => {
                let chosen = chosen(group);
                if let Some(p) = self.pending.iter().find(|p| p.want.moves() && p.groups.iter().any(|g| chosen.contains(g))) {
                    let what = if p.want == Want::Standby { "standby" } else { "takeover" };
                    reply(cx, id, Answer::Refused(format!("a `{what}` is not finished yet: try again when it is")));
                    return;
                }
                for g in groups.iter_mut().filter(|g| chosen.contains(&g.data.id)) {
                    g.data.pause(lasting, reason.clone(), cx, now);
                }
                self.pending.push(Pending { id, want: Want::Pause, groups: chosen, since: now });
            }
            Command::Fenced => match cx.fenced_by_hand(now) {
                Ok(text) => {
                    groups.iter_mut().for_each(|g| g.data.forget_stand_down());
                    reply(cx, id, Answer::Done(text));
                }
                Err(why) => reply(cx, id, Answer::Refused(why)),
            },
            Command::Resume | Command::ResumeGroup { .. } => {
                let only = if let Command::ResumeGroup { group } = command { Some(group) } else { None };
                let (mut held, mut paused) = (false, false);
                for g in groups.iter_mut().filter(|g| only.is_none_or(|only| g.data.id == only)) {
                    held |= g.data.commanded.hold.take().is_some();
                    paused |= g.data.end_pause(cx);
                }
                cx.dirty = true;
                cx.urgent = true;
                let text = match (held, paused) {
                    (false, false) => "no standby and no pause was in force",
                    (true, false) => "standby ended",
                    (false, true) => "pause ended",
                    (true, true) => "standby and pause ended",
                };
                reply(cx, id, Answer::Done(text.into()));
            }
            Command::Shutdown => self.begin_shutdown(id, false, cx, now),
            Command::HandOver if cx.shutdown => reply(cx, id, Answer::Refused(STOPPING.into())),
            Command::HandOver => {
                let serves = |g: &&Group| !matches!(g.role, Role::Standby(_));
                let cannot = groups.iter().filter(serves).find_map(|g| g.data.peer_cannot_serve(cx, now));
                match cannot {
                    Some(why) => reply(cx, id, Answer::Refused(format!("{} cannot serve: {why}", cx.peer_name()))),
                    None => self.begin_shutdown(id, true, cx, now),
                }
            }
            Command::ComeBack if cx.shutdown => {
                reply(cx, id, Answer::Refused(STOPPING.into()));
            }
            Command::ComeBack => {
                // The next life has what is left of the lease: it shall be all of it.
                cx.urgent = true;
                cx.ask = true;
                for g in groups.iter_mut() {
                    // An owner's echoes go out at once, whatever their turn.
                    if let Role::Owner(o) = &mut g.role {
                        o.echoed = None;
                    }
                }
                cx.come_back = true;
                self.come_back = Some((id, now));
            }
        }
    }

    fn begin_shutdown(&mut self, id: u64, gently: bool, cx: &mut Shared, now: Mono) {
        cx.shutdown = true;
        cx.urgent = true;
        self.come_back = None;
        cx.come_back = false;
        self.shutdown = Some(Shutdown { id, since: now, gone: false, gently });
    }

    /// Looks at what is under way.
    pub(super) fn step(&mut self, groups: &mut [Group], cx: &mut Shared, now: Mono) {
        let mut done = Vec::new();
        self.pending.retain(|p| {
            let mine: Vec<&Group> = groups.iter().filter(|g| p.groups.contains(&g.data.id)).collect();
            let answer = match p.want {
                Want::Standby => standby_answer(&mine, p, cx, now),
                Want::Takeover => takeover_answer(&mine, p, cx, now),
                Want::Pause => pause_answer(&mine, p, cx, now),
            };
            if let Some(answer) = answer {
                done.push((p.id, p.want, p.groups.clone(), p.since, answer));
                return false;
            }
            true
        });
        for (id, want, ids, since, answer) in done {
            if matches!(answer, Answer::Refused(_)) {
                for g in groups.iter_mut().filter(|g| ids.contains(&g.data.id)) {
                    match want {
                        Want::Takeover => g.data.commanded.takeover = false,
                        // What came back stays: else it would be offered again as soon as the peer takes anything.
                        Want::Standby if g.data.agreement.given_back.is_some_and(|at| at >= since) => {
                            g.data.commanded.hold = None
                        }
                        Want::Standby | Want::Pause => {}
                    }
                }
                cx.dirty = true;
            }
            reply(cx, id, answer);
        }
        self.step_shutdown(groups, cx, now);
        self.step_come_back(groups, cx, now);
    }

    /// What is waited for.
    pub(super) fn deadlines(&self, cx: &Shared, due: &mut Due) {
        let Commands { pending, shutdown, come_back } = self;
        for Pending { since, want, id: _, groups: _ } in pending {
            due.at(*since + if *want == Want::Pause { cx.settings.timing.dead * 3 } else { LIMIT }, Timer::Command);
        }
        if let Some(Shutdown { since, id: _, gone: _, gently: _ }) = shutdown {
            due.at(*since + SHUTDOWN_LIMIT, Timer::Shutdown);
            due.at(*since + SHUTDOWN_LIMIT * 6, Timer::Shutdown);
            if cx.in_touch(due.last) {
                due.at(*since + cx.settings.timing.dead, Timer::Shutdown);
            }
        }
        if let Some((_, since)) = come_back {
            due.at(*since + cx.settings.timing.delivery, Timer::Command);
            due.at(*since + cx.lease(), Timer::Command);
        }
    }

    /// Leaves as soon as every gate rests on evidence from after the command and nothing is half done, or when waiting
    /// longer would cost the next life more than it brings.
    fn step_come_back(&mut self, groups: &[Group], cx: &mut Shared, now: Mono) {
        let Some((id, since)) = self.come_back else { return };
        let (evidence, half_done) = (since + cx.settings.timing.delivery, since + cx.lease());
        let ready = |g: &Group| match &g.role {
            Role::Standby(_) => true,
            Role::Owner(o) => now >= evidence || o.grounds.newest().is_some_and(|at| at >= since && !o.renewable(at, cx.lease())),
            Role::Opening(_) | Role::Leaving(_) => now >= half_done,
        };
        if groups.iter().all(ready) {
            self.come_back = None;
            reply(cx, id, Answer::Done("exits and comes back".into()));
            cx.out.push_back(Output::Exit { stays: true });
        }
    }

    fn step_shutdown(&mut self, groups: &mut [Group], cx: &mut Shared, now: Mono) {
        let Some(s) = &mut self.shutdown else { return };
        let over = now >= s.since + SHUTDOWN_LIMIT;
        // A peer that is heard and not fit at this moment (it is just stopping what it handed over) may be so in the next one.
        let patience = s.since + cx.settings.timing.dead;
        let soon = cx.in_touch(now) && now < patience;
        let untaken = |g: &Group| match &g.role {
            Role::Owner(o) if (o.offer.is_none() && !soon) || over => Some(o.epoch),
            // What was granted a moment ago is taken, and offered back.
            Role::Opening(o) if over => Some(o.epoch),
            _ => None,
        };
        if s.gently && groups.iter().any(|g| untaken(g).is_some()) {
            let (id, peer) = (s.id, cx.peer_name());
            self.shutdown = None;
            cx.shutdown = false;
            cx.urgent = true;
            reply(cx, id, Answer::Refused(format!("{peer} did not take over")));
            return;
        }
        for g in groups.iter_mut() {
            // Handed over, and never taken: nobody will say that the services here are not needed any more.
            let unused = matches!(g.role, Role::Standby(_)) && over;
            if unused && matches!(g.data.service.running, Running::Running | Running::Warm | Running::Starting) {
                g.data.services(ServiceOrder::Stop, Running::Stopping, cx);
            }
            let Some(epoch) = untaken(g) else { continue };
            // Nobody there to hand over to: leave in order.
            let why = "the daemon is being stopped and the peer cannot take over";
            g.take(cx, now, |_, turn| turn.leave(epoch, Left::Driven(why.into())));
        }
        let handed = |g: &Group| match &g.role {
            // An intent that was told may have been granted by now: not before the peer has said so or refused it.
            Role::Standby(standby) => {
                ((g.data.agreement.released.is_none() && standby.wish.is_none()) || over)
                    && (g.data.stopped() || now >= s.since + SHUTDOWN_LIMIT * 6)
            }
            _ => false,
        };
        if !s.gone && groups.iter().all(handed) {
            s.gone = true;
            cx.urgent = true;
            let id = s.id;
            reply(cx, id, Answer::Done("everything is handed over or stopped".into()));
            cx.out.push_back(Output::Exit { stays: false });
        }
    }
}

impl Group {
    /// Why a takeover of this group cannot begin; none when it can, or when there is nothing to take.
    fn no_takeover(&self, cx: &Shared, now: Mono) -> Option<String> {
        if matches!(self.role, Role::Owner(_) | Role::Opening(_)) {
            None
        } else if let Some(why) = self.data.pause_words() {
            Some(why)
        } else if !cx.in_touch(now) {
            Some(format!("{} is not heard; a claim has its own conditions, see status", cx.peer_name()))
        } else if let Some(why) = cx.move_forbidden(&self.data.name) {
            Some(format!("{}: {why}", self.data.name))
        } else if !self.data.eligible(cx, now) {
            let why = self.data.unfit(cx, now).map_or_else(|| "is not fit".into(), super::ready::Unfit::words);
            Some(format!("{}: {} {why}", self.data.name, cx.me()))
        } else {
            let obstacle =
                self.data.obstacle_words(cx).filter(|_| !cx.peer.group(&self.data.name).is_some_and(GroupBeat::cannot_serve));
            obstacle.map(|why| format!("{}: {why}", self.data.name))
        }
    }
}

fn standby_answer(groups: &[&Group], p: &Pending, cx: &Shared, now: Mono) -> Option<Answer> {
    let there = |g: &&Group| {
        matches!(g.role, Role::Standby(_))
            && g.data.agreement.released.is_none()
            && cx.peer.group(&g.data.name).is_some_and(|b| b.role == BeatRole::Owner && b.gate_open && !b.unproven)
    };
    if groups.iter().all(there) {
        // Whether what starts only there runs yet is for the new owner to say.
        let cold = groups.iter().any(|g| cx.services(g.data.id) == Services::Cold);
        let what = if cold { "has the address, and starts what must not run twice" } else { "serves" };
        return Some(Answer::Done(words(groups, p.since, &format!("{} {what}", cx.peer_name()))));
    }
    if groups.iter().any(|g| g.data.agreement.given_back.is_some_and(|at| at >= p.since)) {
        return Some(Answer::Refused(refusals(groups)));
    }
    if let Some(g) = groups.iter().find(|g| g.data.commanded.hold.is_none()) {
        return Some(Answer::Refused(format!("{}: the standby ended before the move was finished", g.data.name)));
    }
    (now >= p.since + LIMIT)
        .then(|| Answer::Refused(format!("not finished after {LIMIT}; the standby stays in force. {}", refusals(groups))))
}

fn pause_answer(groups: &[&Group], p: &Pending, cx: &Shared, now: Mono) -> Option<Answer> {
    let peer = cx.peer_name();
    let what = if groups.iter().all(|g| g.data.peer_knows_pause(cx)) {
        format!("paused here and on {peer}")
    } else if !cx.in_touch(now) {
        format!("paused here; {peer} is not heard, and pauses when it hears of it")
    } else if now >= p.since + cx.settings.timing.dead * 3 {
        format!("paused here; {peer} does not say that it knows (is its version an older one?)")
    } else {
        return None;
    };
    Some(Answer::Done(groups.iter().map(|g| format!("{}: {what}", g.data.name)).collect::<Vec<_>>().join("\n")))
}

fn takeover_answer(groups: &[&Group], p: &Pending, cx: &Shared, now: Mono) -> Option<Answer> {
    let over = now >= p.since + LIMIT;
    if groups.iter().all(|g| matches!(g.role, Role::Owner(_)) && !g.unproven(cx)) {
        // Clients are refused until the services run, and a person is told how long that was.
        let starting = |g: &&Group| g.data.service.away.is_some() && g.data.service.running == Running::Starting;
        match groups.iter().find(|g| starting(g)) {
            Some(_) if !over => return None,
            Some(_) => {
                return Some(Answer::Done(words(groups, p.since, "this node has the address, and its services still start")));
            }
            None => {}
        }
        let failed = groups.iter().filter(|g| g.data.service.away.is_some()).find_map(|g| match &g.data.service.running {
            Running::Failed(why, _) => Some(format!("{}: this node has the address, and {why}", g.data.name)),
            _ => None,
        });
        return Some(failed.map_or_else(|| Answer::Done(words(groups, p.since, "this node serves")), Answer::Refused));
    }
    let stopped = groups.iter().any(|g| match &g.role {
        Role::Standby(_) => !g.data.commanded.takeover,
        // Nobody to give it back to.
        Role::Owner(o) => o.never_arrived(&g.data) && o.offer.is_none(),
        Role::Opening(_) | Role::Leaving(_) => false,
    });
    (stopped || over).then(|| Answer::Refused(refusals(groups)))
}

fn refusals(groups: &[&Group]) -> String {
    let all: Vec<String> =
        groups.iter().filter_map(|g| g.data.people.last_refusal.as_ref().map(|r| format!("{}: {r}", g.data.name))).collect();
    if all.is_empty() { "the peer did not agree".into() } else { all.join("; ") }
}

fn words(groups: &[&Group], since: Mono, what: &str) -> String {
    let each: Vec<String> = groups
        .iter()
        .map(|g| match &g.data.people.last_change {
            Some(c) if c.at >= since => match c.gap {
                Some(gap) => format!("{}: {what}; clients saw {gap}", g.data.name),
                None => format!("{}: {what}", g.data.name),
            },
            _ => format!("{}: {what} already", g.data.name),
        })
        .collect();
    each.join("\n")
}

fn reply(cx: &mut Shared, id: u64, answer: Answer) {
    cx.out.push_back(Output::Reply { id, answer });
}
