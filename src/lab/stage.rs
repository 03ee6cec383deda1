//! A scenario on the real kernel: the file's own acts, one after the other on the wall clock.
//!
//! The acts are those that the simulator does ([`Act`]): both run what [`resolve`](twinbeat_sim::resolve) made of the file. What only virtual time can do is
//! found out beforehand by [`impossible`], and then nothing is played.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use super::attack::{self, STRANGER_MAC, Tap};
use super::damage::Way;
use super::lab::BOTH;
use super::netlink;
use super::node::Misbehaviour;
use super::ns::Namespace;
use super::pair::{Answered, Down, Pair};
use super::plan::{CableId, Plan};
use super::process;
use super::timeline::At;
use twinbeat_config::Config;
use twinbeat_control::client::ask_blocking;
use twinbeat_control::protocol::{Request, Response};
use twinbeat_core::id::{GroupId, NodeId};
use twinbeat_core::io::Command;
use twinbeat_say::log_line::{self, LogLine};
use twinbeat_sim::act::{Act, Quality};
use twinbeat_sim::files::find;
use twinbeat_sim::script::Story;
use twinbeat_sim::step::Step;

/// A scenario as it was read: its story, and each node's configuration.
#[derive(Clone, Debug)]
pub struct Script {
    /// The story.
    pub story: Story,
    /// Each node's configuration.
    pub configs: [Config; 2],
    /// Each node's configuration as it was written.
    pub texts: [String; 2],
    /// The configurations that steps put in their place, in the order of the story.
    pub later: Vec<Config>,
    /// Where further configurations are that its steps name; none: those of the caller take the place of all.
    pub folder: Option<PathBuf>,
}

/// A scenario that was played.
#[derive(Debug)]
pub struct Played {
    /// The pair, as it was in the end.
    pub pair: Pair,
    /// The scenario's beginning, in the probes' time.
    pub from: At,
    /// Its end.
    pub to: At,
    /// The time of day (UTC) of its beginning.
    wall: Duration,
}

impl Played {
    /// A node's log: when, counted from the scenario's beginning, and what.
    pub fn log(&self, node: NodeId) -> Vec<(Duration, LogLine)> {
        let (text, _) = self.pair.site.log_since(node, 0);
        // What was said after the end, while the pair was looked at, is no part of the story.
        text.lines().filter_map(|line| logged(line, self.wall)).filter(|(at, _)| *at <= self.to - self.from).collect()
    }
}

/// A line of a log, and its time of day (UTC) against the scenario's.
fn logged(line: &str, began: Duration) -> Option<(Duration, LogLine)> {
    const DAY: Duration = Duration::from_secs(86_400);
    let line = log_line::read(line)?;
    let at = line.of_day.checked_sub(began).unwrap_or_else(|| (line.of_day + DAY).saturating_sub(began));
    // A line from a moment before the beginning is no line of tomorrow.
    Some((if at > DAY / 2 { Duration::ZERO } else { at }, line))
}

/// The steps that only exist in virtual time, each with the reason; empty: all of it can be played.
pub fn impossible(story: &Story) -> Vec<String> {
    let mut found: Vec<String> = story.not_here.iter().map(|step| format!("{step}: not built yet")).collect();
    for ((_, text, _), _) in story.acts.iter().zip(&story.waits).filter(|(_, wait)| wait.is_some()) {
        found.push(format!("{text}: waits for what happens before it; on the real kernel steps have given times (\"at\") alone"));
    }
    if story.scenario.expect.iter().any(twinbeat_sim::expect::Expect::is_of_the_lan) {
        found.push("expect: a client on the LAN with a table of its own; the lab has none there".to_owned());
    }
    if story.scenario.expect.iter().any(|expect| matches!(expect, twinbeat_sim::expect::Expect::Epoch { .. })) {
        found
            .push("expect: epochs; machines that do not boot at one instant may use up others than virtual time does".to_owned());
    }
    if story.pair.settings.iter().any(|settings| settings.fencing.is_some()) {
        found.push(format!("fence: {NO_DEVICE}"));
    }
    let reboots =
        |settings: &twinbeat_core::settings::Settings| settings.groups.iter().any(|group| !group.stop_failure.is_block());
    if story.pair.settings.iter().any(reboots) {
        found.push("stop_failure: the lab turns no machine off and reboots none".to_owned());
    }
    for (_, text, acts) in &story.acts {
        for why in acts.iter().filter_map(|act| not_here(act, story)) {
            let line = format!("{text}: {why}");
            if !found.contains(&line) {
                found.push(line);
            }
        }
    }
    found
}

/// Why fencing is not played (it is tried by `netns-tests/fence.rs`).
const NO_DEVICE: &str = "the lab has no device that turns a machine off";

fn not_here(act: &Act, story: &Story) -> Option<&'static str> {
    let relay = |link: usize| story.pair.settings[0].links.get(link).is_some_and(|l| l.relay);
    let silent = |link: usize| story.pair.settings[0].links.get(link).is_some_and(|l| l.silent);
    match act {
        Act::Pause(_) | Act::Unpause(_) => Some("a namespace has the machine's own clock, which cannot stand still"),
        Act::ClockRate(..) => Some("a namespace has the machine's own clock, which cannot run faster"),
        Act::Stall(_) => Some("a process cannot be stopped between two given system calls from outside"),
        Act::Interface(..) => Some("the lab's interfaces stay; a cable can be unplugged"),
        Act::FenceFails(..) | Act::FenceTime(..) | Act::Command(_, Command::Fenced) => Some(NO_DEVICE),
        Act::Obstacle(..) => Some("the lab's services have no test of their files"),
        Act::GateRefused(..) => Some("a namespace's kernel makes every gate"),
        Act::Configure(_, file) if file.nodes != story.pair.files[0].nodes => Some("the lab's machines keep their names"),
        Act::LastHop(..) => Some("a Linux gateway answers by its table"),
        Act::Limits(..) => Some("the lab's gateway answers every echo"),
        Act::ServiceTime(..) => Some("the lab's services take the time that they take"),
        Act::DiskTime(..) | Act::DiskFails(..) => Some("the disk is the machine's own"),
        Act::Ways(_, Quality::Delay(..)) => Some("nftables cannot hold frames back"),
        Act::Ways(_, Quality::Duplicate(_)) => Some("nftables cannot send a frame twice through a bridge"),
        Act::Ways(_, Quality::Loss(_, burst)) if *burst > 1 => Some("nftables loses frame by frame, not in bursts"),
        Act::Ways(ways, _) if ways.iter().any(|(link, ..)| relay(*link)) => {
            Some("the relay is the gateway's own forwarding: it can be cut both ways, and no more")
        }
        Act::Carrier(_, link, _) if relay(*link) => Some("the relay has no cable of its own"),
        Act::Carrier(_, link, _) if silent(*link) => Some("the lab has no interfaces without heartbeats"),
        Act::Ways(ways, _) if ways.iter().any(|(link, ..)| silent(*link)) => Some("the lab has no interfaces without heartbeats"),
        _ => None,
    }
}

/// Builds the pair of the scenario's configuration, and plays the timeline to its end. `seen` is called about every 100 ms.
///
/// # Errors
/// When the lab cannot be built or a step cannot be done; and when `stop` was raised.
pub fn play(binary: &Path, script: &Script, stop: &AtomicBool, seen: &mut dyn FnMut(&Pair)) -> Result<Played> {
    let Script { story, configs, texts, later, folder } = script;
    let acts = || story.acts.iter().flat_map(|(_, _, acts)| acts);
    let stubborn: BTreeSet<usize> =
        acts().filter_map(|act| if let Act::StopFails(_, g, _) = act { Some(*g) } else { None }).collect();
    let plan = Plan::of_all(configs.iter().chain(later))?;
    let mut pair = Pair::build(binary, plan, texts.each_ref().map(String::as_str), &stubborn)?;
    pair.observe()?;
    let tap = if acts().any(|act| matches!(act, Act::PlayBack(..))) { Some(Tap::start(&pair.lab)?) } else { None };
    let mut stage = Stage { pair, tap, stranger: None };
    // The probes' first questions go out before the first act.
    thread::sleep(Duration::from_millis(200));
    let from = stage.pair.probes.now();
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let wall = Duration::new(since_epoch.as_secs() % 86_400, since_epoch.subsec_nanos());
    for ((at, _, acts), step) in story.acts.iter().zip(story.entries()) {
        let (words, kind) = (step.words(), step.kind());
        stage.wait_until(from + Duration::from_nanos(at.0), stop, seen)?;
        let now = stage.pair.probes.now();
        stage.pair.marks.push((now, words.clone(), kind));
        for act in acts {
            stage.apply(act).with_context(|| format!("{words} at {:.1} s", (now - from).as_secs_f64()))?;
        }
        if let (Step::Configure(on), Some(folder)) = (step, folder) {
            let (file, node) = (on.config.as_deref().unwrap_or_default(), on.node.as_deref().unwrap_or_default());
            let text = fs::read_to_string(find(folder, file)).with_context(|| file.to_owned())?;
            let node = stage.pair.lab.plan.node(node).context("no such node")?;
            stage.pair.site.configure(node, &text)?;
        }
        seen(&stage.pair);
    }
    let to = from + Duration::from_nanos(story.scenario.until.0.0);
    stage.wait_until(to, stop, seen)?;
    let Stage { pair, tap, stranger } = stage;
    drop((tap, stranger));
    Ok(Played { pair, from, to, wall })
}

/// The pair and what else stands around it.
struct Stage {
    pair: Pair,
    tap: Option<Tap>,
    stranger: Option<Namespace>,
}

impl Stage {
    fn wait_until(&self, at: At, stop: &AtomicBool, seen: &mut dyn FnMut(&Pair)) -> Result<()> {
        while let Some(left) = at.checked_sub(self.pair.probes.now()).filter(|left| !left.is_zero()) {
            if stop.load(Ordering::Relaxed) {
                bail!("interrupted");
            }
            thread::sleep(left.min(Duration::from_millis(100)));
            seen(&self.pair);
        }
        Ok(())
    }

    /// Does one act. As in virtual time, what makes no sense at the moment (to hang a daemon that does not run) does nothing.
    fn apply(&mut self, act: &Act) -> Result<()> {
        let id = |node: &usize| NodeId(*node as u8);
        let pair = &mut self.pair;
        match act {
            Act::Start(node) if pair.state(id(node)) == Some(Down::NoDaemon) => pair.boot(id(node))?,
            Act::Stop(node) if pair.runs(id(node)) => {
                pair.unsupervise(id(node));
                pair.stop(id(node))?;
            }
            Act::Kill(node) if pair.runs(id(node)) => {
                pair.unsupervise(id(node));
                pair.kill(id(node))?;
            }
            Act::Restart(node, after) if pair.state(id(node)).is_none() => {
                pair.restart(id(node), Duration::from_nanos(after.0))?;
            }
            Act::Hang(node) if pair.runs(id(node)) => pair.hang(id(node), true)?,
            Act::Wake(node) if pair.state(id(node)) == Some(Down::Hung) => pair.hang(id(node), false)?,
            Act::Start(_) | Act::Stop(_) | Act::Kill(_) | Act::Restart(..) | Act::Hang(_) | Act::Wake(_) => {}
            Act::LoseState(node) => {
                let state = pair.site.node_dir(id(node)).join("state");
                fs::remove_dir_all(&state)?;
                fs::create_dir(&state)?;
            }
            Act::PowerOff(node) => pair.power_off(id(node))?,
            Act::PowerOn(node) => match pair.state(id(node)) {
                Some(Down::Off) => pair.power_on(id(node))?,
                Some(Down::NoDaemon) => pair.boot(id(node))?,
                _ => {}
            },
            Act::Carrier(node, link, true) => pair.lab.plug(id(node), CableId(*link as u8))?,
            Act::Carrier(node, link, false) => pair.lab.unplug(id(node), CableId(*link as u8))?,
            Act::Ways(ways, quality) => {
                let ways: Vec<Way> = ways.iter().map(|(link, from, to)| (CableId(*link as u8), *from, *to)).collect();
                pair.lab.change_ways(&ways, |condition| match quality {
                    Quality::Cut(on) => condition.cut = *on,
                    Quality::NoHeartbeats(on) => condition.no_heartbeats = *on,
                    Quality::Loss(ppm, _) => condition.loss = *ppm,
                    Quality::Corrupt(ppm) => condition.corrupt = *ppm,
                    Quality::Delay(..) | Quality::Duplicate(_) | Quality::Reorder(..) => {}
                })?;
            }
            Act::PortSecurity(node, on) => pair.lab.guard_port(id(node), *on)?,
            Act::RelayBlocked(on) => pair.lab.block_relay(*on)?,
            Act::WitnessUp(witness, up) => pair.lab.witness_off(*witness, !up)?,
            Act::Pins(witness, on) => pair.lab.witness_pins(*witness, *on)?,
            Act::Forgets(witness) => pair.lab.witness_forgets(*witness)?,
            Act::Stranger(group, on) => self.stranger(*group, *on)?,
            Act::ServiceDies(node, group) => self.service_dies(id(node), *group),
            Act::StartFails(node, group, on) => self.misbehave(id(node), *group, Misbehaviour::StartFails, *on)?,
            Act::StopFails(node, group, on) => self.misbehave(id(node), *group, Misbehaviour::StopFails, *on)?,
            Act::Command(node, command) => self.command(id(node), command),
            Act::DeleteVip(node, group) => drop(pair.lab.foreign_delete_group(id(node), *group)?),
            Act::FlushRuleset(node) => pair.lab.foreign_flush_ruleset(id(node))?,
            Act::FalseAnnouncement(group) => attack::forge(&pair.lab, *group)?,
            Act::PlayBack(node, count) => {
                if let Some(tap) = &self.tap {
                    tap.play_back(&pair.lab, id(node), *count as usize)?;
                }
            }
            Act::Heal => self.heal()?,
            // Said by `impossible`, or (forged frames alone) part of the false announcement.
            _ => {}
        }
        Ok(())
    }

    /// Everything that is broken is mended, everything that stands still goes on.
    fn heal(&mut self) -> Result<()> {
        self.pair.lab.heal()?;
        for witness in 0..self.pair.lab.plan.witnesses.len() {
            self.pair.lab.witness_pins(witness, false)?;
        }
        self.stranger = None;
        for node in BOTH {
            for group in 0..self.pair.lab.plan.groups.len() {
                self.misbehave(node, group, Misbehaviour::StartFails, false)?;
                self.misbehave(node, group, Misbehaviour::StopFails, false)?;
            }
            let place = node.index();
            for act in [Act::Wake(place), Act::PowerOn(place), Act::Command(place, Command::Resume)] {
                self.apply(&act)?;
            }
        }
        Ok(())
    }

    fn misbehave(&self, node: NodeId, group: usize, what: Misbehaviour, on: bool) -> Result<()> {
        let name = self.pair.lab.plan.groups.get(group).map_or("", |g| g.name.as_str());
        self.pair.site.misbehave(node, name, what, on)
    }

    /// A machine on the LAN has a group's addresses, or no longer.
    fn stranger(&mut self, group: usize, on: bool) -> Result<()> {
        let stranger = match self.stranger.take() {
            Some(stranger) => stranger,
            None if !on => return Ok(()),
            None => self.pair.lab.one_more("stranger", STRANGER_MAC)?,
        };
        let vips = self.pair.lab.plan.groups.get(group).map(|g| g.vips.clone()).unwrap_or_default();
        let vips: Vec<_> = vips.into_iter().map(|(vip, _)| vip).collect();
        if on {
            netlink::add_addresses(&stranger, "eth0", &vips)?;
        } else {
            netlink::delete_addresses(&stranger, |ip| vips.iter().any(|(vip, _)| *vip == ip))?;
        }
        self.stranger = Some(stranger);
        Ok(())
    }

    /// A group's first service dies for good: what its manager starts again on the spot dies once more, so that the decision has to be made, as in
    /// virtual time.
    fn service_dies(&self, node: NodeId, group: usize) {
        let Some(service) = self.pair.site.services.iter().find(|service| service.group == group) else { return };
        let file = self.pair.site.node_dir(node).join(format!("{}.pid", service.name));
        // An init script is asked for its status until it says that the service runs: it must have the time to say so.
        let pause = if service.init { Duration::from_millis(300) } else { Duration::ZERO };
        thread::spawn(move || {
            let until = Instant::now() + Duration::from_secs(4);
            let mut killed = Vec::new();
            while killed.len() < 2 && Instant::now() < until {
                match process::named_by(&file).filter(|pid| !killed.contains(pid)) {
                    Some(pid) => {
                        thread::sleep(if killed.is_empty() { Duration::ZERO } else { pause });
                        process::signal(pid, Signal::SIGKILL);
                        killed.push(pid);
                    }
                    None => thread::sleep(Duration::from_millis(2)),
                }
            }
        });
    }

    /// A person's command; it may take as long as the move, and nobody waits for it.
    fn command(&self, node: NodeId, command: &Command) {
        let name =
            |group: &Option<GroupId>| group.and_then(|g| Some(self.pair.lab.plan.groups.get(usize::from(g.0))?.name.clone()));
        let request = match command {
            Command::Standby { group, lasting, reason } => {
                Request::Standby { group: name(group), lasting: *lasting, reason: reason.clone() }
            }
            Command::Pause { group, lasting, reason } => {
                Request::Pause { group: name(group), lasting: *lasting, reason: reason.clone() }
            }
            Command::Takeover { group } => Request::Takeover { group: name(group) },
            Command::Resume => Request::Resume { group: None },
            Command::ResumeGroup { group } => Request::Resume { group: name(&Some(*group)) },
            _ => return,
        };
        let run_dir = self.pair.site.node_dir(node).join("run");
        let (answers, began) = (Arc::clone(&self.pair.answers), self.pair.probes.began());
        thread::spawn(move || {
            let (done, text) = match ask_blocking(&run_dir, &request, Duration::from_secs(120)) {
                Ok(Response::Done(text)) => (true, text),
                Ok(Response::Refused(why)) => (false, why),
                Ok(_) => return,
                Err(error) => (false, error.to_string()),
            };
            let answer = Answered { at: began.elapsed(), node, done, text };
            answers.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_log_tells_when_it_was_said_and_of_which_group() {
        let began = Duration::from_secs(12 * 3600);
        let (at, line) = logged("2026-01-02T12:00:01.500Z INFO  master1 SERVES, epoch 2: alone group=\"web\"", began).unwrap();
        assert_eq!(
            (at, line.group.as_deref(), &*line.text),
            (Duration::from_millis(1500), Some("web"), "master1 SERVES, epoch 2: alone")
        );
        let (_, line) = logged("2026-01-02T12:00:01.500Z WARN  refused: no first claim: 02:00 answers group=web", began).unwrap();
        assert_eq!((line.refused, line.group.as_deref(), &*line.text), (true, Some("web"), "no first claim: 02:00 answers"));
        let (at, _) = logged("2026-01-03T00:00:01.000Z INFO  x: y", Duration::from_secs(86_399)).unwrap();
        assert_eq!(at, Duration::from_secs(2), "midnight is no wall");
        assert_eq!(logged("2026-01-02T11:59:59.000Z INFO  x: y", began).unwrap().0, Duration::ZERO);
        assert_eq!(logged("thread 'main' panicked", began), None);
    }
}
