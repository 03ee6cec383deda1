//! What the witnesses' answers mean, in a line each.

use std::net::IpAddr;
use std::time::Duration;

use super::finding::{Finding, Level};
use crate::cli::render::ago;
use twinbeat_config::{Config, RELAY};
use twinbeat_core::claim::BROKEN_AFTER;
use twinbeat_core::id::{GroupId, Mac, NodeId};
use twinbeat_core::time::Span;
use twinbeat_core::view::View;
use twinbeat_core::words::{LinkCondition, PeerState};
use twinbeat_wire::{MOST_IN_ECHO, MTU};

/// Echoes of one kind to one target.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub(super) struct Tally {
    pub(super) sent: u32,
    pub(super) answered: u32,
    /// The longest row of unanswered ones.
    pub(super) run: u32,
    pub(super) worst: Duration,
}

/// What became of one target.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Target {
    pub(super) address: IpAddr,
    pub(super) arp_only: bool,
    pub(super) mac: Option<Mac>,
    pub(super) slow: Tally,
    /// As slowly, and as long as an echo with a heartbeat.
    pub(super) long: Tally,
    /// None: not asked so fast.
    pub(super) fast: Option<Tally>,
    pub(super) follows_sender: bool,
}

/// What became of the guard VIP of a group at one target, with `--probe-witness`.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Probed {
    /// Nobody may write: somebody has the address.
    Taken(Mac),
    /// Echoes from the VIP came back after the write.
    Took(Duration),
    /// They did not.
    Pinned,
    /// The frames could not be sent.
    Failed(String),
}

/// All that was found out.
pub(super) struct Answers {
    pub(super) targets: Vec<Target>,
    /// The peer's verified heartbeats that came through the witness, and how long was listened.
    pub(super) relayed: (u32, Duration),
    /// Whether they were asked fast at all.
    pub(super) asked_fast: bool,
    /// How late this process's timers were at worst, over how many.
    pub(super) late: (Duration, u32),
    pub(super) probed: Vec<(GroupId, usize, Probed)>,
    /// Who answers for an address that the peer is not known to serve.
    pub(super) held: Vec<(GroupId, Mac)>,
    /// The peer's hardware address on the public link, and whether its daemon may run.
    pub(super) peer: Option<(Option<Mac>, bool)>,
}

/// All the lines. `wanted`: `--probe-witness` was given.
pub(super) fn findings(config: &Config, me: NodeId, daemon: Option<&View>, answers: &Answers, wanted: bool) -> Vec<Finding> {
    let mut found: Vec<Finding> = answers.targets.iter().map(|target| said(config, target, answers.asked_fast)).collect();
    match majority(config, &answers.targets) {
        Some(finding) => found.push(finding),
        // The others make the majority without it.
        None if answers.targets.len() > 1 => found.iter_mut().for_each(|finding| finding.level = finding.level.min(Level::Warn)),
        None => {}
    }
    found.extend(answers.targets.iter().filter_map(shared_address));
    found.extend(answers.held.iter().filter_map(|(group, by)| held(config, me, daemon, answers.peer, *group, *by)));
    found.push(timers(config, answers.late));
    found.push(relay(config, me, daemon, answers));
    if wanted && daemon.is_none() {
        let told = |(group, target, probed): &(GroupId, usize, Probed)| {
            answers.targets.get(*target).map(|target| told(config, *group, target, probed))
        };
        found.extend(answers.probed.iter().filter_map(told));
    } else {
        found.extend(table(config, daemon, wanted));
    }
    found
}

/// Somebody answers for an address: the peer, which may serve it where no daemon of this node knows, or has it by hand; or a third machine.
fn held(
    config: &Config,
    me: NodeId,
    daemon: Option<&View>,
    peer: Option<(Option<Mac>, bool)>,
    group: GroupId,
    by: Mac,
) -> Option<Finding> {
    let group = config.groups.get(usize::from(group.0))?;
    let (vip, name) = (group.vips.first()?, &config.nodes.get(me.other().index())?.name);
    let is_peer = peer.is_some_and(|(mac, _)| mac == Some(by));
    let runs = peer.is_some_and(|(_, runs)| runs);
    Some(match (is_peer, daemon.is_some() || !runs) {
        (true, true) => {
            let why = if runs { "and does not serve it" } else { "and no daemon runs there" };
            let text = format!(
                "group `{}`: {name} answers for {} ({by}) {why}: it is configured there by another hand; there: `ip addr | grep {}`, `ip addr del`, and take it out of \
                 the network configuration",
                group.name, vip.address, vip.address
            );
            Finding::new(Level::Fail, "vip", text)
        }
        (true, false) => {
            Finding::new(Level::Ok, "vip", format!("group `{}`: {name} answers for {} ({by})", group.name, vip.address))
        }
        (false, _) => {
            let text = format!(
                "group `{}`: {by} answers for {}, a third machine: find it (the switch's table of addresses, `arping`) and take the address from it",
                group.name, vip.address
            );
            Finding::new(Level::Fail, "vip", text)
        }
    })
}

/// How fast a witness is asked in earnest: from the own address, and from the VIP of each group.
pub(super) fn fast_period(config: &Config) -> Duration {
    std_of(config.timing.echo_period() / (1 + config.groups.len() as u64)).max(Duration::from_millis(1))
}

/// The fewest echoes a second that a witness must answer, both nodes together.
pub(super) fn least_a_second(config: &Config) -> u64 {
    twinbeat_core::settings::least_a_second(config.witness.interval, config.groups.len())
}

/// How many of the fast echoes were answered, by the second.
fn per_second(fast: &Tally, apart: Duration) -> u64 {
    let took = apart * fast.sent.max(1);
    (f64::from(fast.answered) / took.as_secs_f64().max(0.001)).round() as u64
}

/// One target's line.
fn said(config: &Config, target: &Target, asked_fast: bool) -> Finding {
    let subject = format!("witness {}", target.address);
    let Target { slow, mac, .. } = target;
    let level = |level, text: String| Finding::new(level, subject.clone(), text);
    let slowly = Span::millis(std_of(config.witness.interval).min(SLOW_AT_MOST).as_millis() as u64);
    let (quickly, least) = (fast_period(config), least_a_second(config));
    if target.arp_only {
        return match mac {
            Some(mac) => level(Level::Ok, format!("answers ARP ({mac}); {ARP_ONLY}")),
            None => level(Level::Warn, format!("does not answer ARP; {ARP_ONLY}")),
        };
    }
    let Some(mac) = mac else {
        return level(Level::Fail, "does not answer ARP or neighbour discovery: is it on this network, and up?".to_owned());
    };
    if slow.answered == 0 {
        let text = format!(
            "answers ARP ({mac}) and none of {} echoes: it may be told to ignore them. It proves nothing then; allow ICMP echo from \
             both nodes, name another host, or say {{ address = \"{}\", by = \"arp\" }}",
            slow.sent, target.address
        );
        return level(Level::Fail, text);
    }
    if target.long.answered == 0 {
        let text = format!(
            "answers short echoes and none of {} of {} bytes, which carry heartbeats: the return path and the relay would not work. Allow \
             packets of {MTU} bytes there (MTU of the network, a limit on the length of ICMP)",
            target.long.sent,
            config.longest_frame() + MTU - MOST_IN_ECHO
        );
        return level(Level::Fail, text);
    }
    if target.follows_sender {
        let text = "answers to the SENDER's MAC instead of its neighbour table (auto-last-hop, MAC-based forwarding): it proves no ownership \
                    and is not counted as a register; turn that off there for this network, or name other hosts";
        let fenced = config.nodes.iter().all(|node| node.fence.is_some());
        return if fenced {
            level(Level::Warn, format!("{text}. A claim goes by fencing alone"))
        } else {
            level(Level::Fail, text.to_owned())
        };
    }
    let lost = |tally: &Tally| format!("{} of {}", tally.sent - tally.answered, tally.sent);
    match &target.fast {
        Some(fast) if fast.run >= BROKEN_AFTER && slow.answered == slow.sent => level(
            Level::Fail,
            format!(
                "answers the SLOW rate only: all {} echoes {slowly} apart, but {} of {} at {quickly:?} apart (asked no further). A limit on \
                 ICMP? A pair with this file needs {least} a second, both nodes together: with less nobody may serve once the nodes are \
                 separated. Lift the limit for both nodes, lengthen witness.interval, or name other hosts",
                slow.sent, fast.answered, fast.sent
            ),
        ),
        Some(fast) if slow.answered == slow.sent && per_second(fast, quickly) < least => level(
            Level::Fail,
            format!(
                "answers all {} echoes {slowly} apart and {} of {} at {quickly:?} apart: about {} a second. A limit on ICMP? A pair with this \
                 file needs {least} a second, both nodes together: with less nobody may serve once the nodes are separated. Lift the \
                 limit for both nodes, lengthen witness.interval, or name other hosts",
                slow.sent,
                fast.answered,
                fast.sent,
                per_second(fast, quickly)
            ),
        ),
        Some(fast) if slow.answered < slow.sent || fast.answered < fast.sent => level(
            Level::Warn,
            format!(
                "loses echoes: {} at {slowly} apart, {} at {quickly:?} apart, {} in a row at most (bears {})",
                lost(slow),
                lost(fast),
                fast.run,
                BROKEN_AFTER - 1
            ),
        ),
        Some(fast) => level(
            Level::Ok,
            format!(
                "{mac} answers {} echoes {slowly} apart and {} at {quickly:?} apart, within {:.1} ms (delivery {}), and not to the sender",
                slow.sent,
                fast.sent,
                slow.worst.max(fast.worst).as_secs_f64() * 1e3,
                config.timing.delivery
            ),
        ),
        None if slow.answered < slow.sent => level(Level::Warn, format!("loses echoes: {} at {slowly} apart", lost(slow))),
        None => {
            let why = if asked_fast { "" } else { "; not asked fast: an owner lives by its answers now" };
            level(Level::Ok, format!("{mac} answers {} echoes {slowly} apart{why}", slow.sent))
        }
    }
}

/// Whether enough targets can be relied on for a claim.
fn majority(config: &Config, targets: &[Target]) -> Option<Finding> {
    let registers: Vec<&Target> = targets.iter().filter(|t| !t.arp_only).collect();
    let needed = registers.len() / 2 + 1;
    let good = |t: &&&Target| {
        t.slow.answered > 0
            && !t.follows_sender
            && t.fast.is_none_or(|fast| fast.run < BROKEN_AFTER || t.slow.answered < t.slow.sent)
    };
    let count = registers.iter().filter(good).count();
    (targets.len() > 1 && count < needed).then(|| {
        let text = format!(
            "{count} of {} targets can prove an ownership, {needed} must: {} could not take over",
            registers.len(),
            config.cluster
        );
        Finding::new(Level::Fail, "witness", text)
    })
}

/// A MAC that several routers share (SAFETY, limit c).
fn shared_address(target: &Target) -> Option<Finding> {
    let mac = target.mac?;
    let protocol = shared_by(mac)?;
    let text = format!(
        "{mac} is a {protocol} address: several routers share it, and where the network splits each half may have one of them. Name further \
         single hosts on this network as targets (three in all are better than one)"
    );
    Some(Finding::new(Level::Warn, format!("witness {}", target.address), text))
}

/// Prefixes of redundant gateways' MACs.
fn shared_by(mac: Mac) -> Option<&'static str> {
    match mac.0 {
        [0x00, 0x00, 0x5e, 0x00, 0x01, _] => Some("VRRP (or CARP)"), // RFC 9568 7.3
        [0x00, 0x00, 0x5e, 0x00, 0x02, _] => Some("VRRP for IPv6"),
        [0x00, 0x00, 0x0c, 0x07, 0xac, _] => Some("HSRP"), // RFC 2281 5.1
        [0x00, 0x00, 0x0c, 0x9f, 0xf0..=0xff, _] => Some("HSRP version 2"),
        [0x00, 0x05, 0x73, 0xa0, 0x00..=0x0f, _] => Some("HSRP for IPv6"),
        [0x00, 0x07, 0xb4, 0x00, _, _] => Some("GLBP"),
        _ => None,
    }
}

/// How late timers are here, against what `dead` leaves.
fn timers(config: &Config, (late, ticks): (Duration, u32)) -> Finding {
    let timing = &config.timing;
    let margin = std_of(timing.dead.less(timing.least_dead()));
    let text = format!(
        "timers were up to {:.1} ms late in {ticks} ticks; a decision that is more than a heartbeat ({}) late voids its evidence, `dead` \
         has {margin:?} to spare",
        late.as_secs_f64() * 1e3,
        timing.heartbeat
    );
    let level = if late > std_of(timing.heartbeat) { Level::Warn } else { Level::Ok };
    Finding::new(level, "clock", text)
}

fn relay(config: &Config, me: NodeId, daemon: Option<&View>, answers: &Answers) -> Finding {
    let peer = &config.nodes[me.other().index()].name;
    let line = |level, text: String| Finding::new(level, "relay", text);
    if !config.witness.relay {
        return line(Level::Ok, "off by `relay = false`: nodes that can exchange no frame have the challenge alone".to_owned());
    }
    let blocked = "source guard, reverse path filter or anti-spoofing on the way, or a witness that ignores echoes of others";
    if let Some(view) = daemon {
        let state = view.links.iter().find(|link| link.name == RELAY).map_or(LinkCondition::Missing, |link| link.state);
        let both_reach = view.witness.reachable && view.witness.peer_reachable == Some(true);
        return match state {
            LinkCondition::Ok => line(Level::Ok, format!("works: this node and {peer} hear each other through the witness")),
            LinkCondition::OneWay => line(
                Level::Warn,
                format!(
                    "BLOCKED from here: {peer}'s heartbeats come through the witness, this node's do not arrive there ({blocked})"
                ),
            ),
            _ if view.peer_state == PeerState::Heard && both_reach => line(
                Level::Warn,
                format!(
                    "BLOCKED: both nodes reach the witness, and no heartbeat comes through it ({blocked}). Allow it, or set relay = false"
                ),
            ),
            state => line(Level::Warn, format!("unproven: {state}; {peer} is {}", view.peer_state)),
        };
    }
    match answers.relayed {
        (0, time) => line(
            Level::Warn,
            format!("unproven until both daemons run: nothing of {peer} came through the witness in {:.1} s", time.as_secs_f64()),
        ),
        (count, time) => line(
            Level::Ok,
            format!(
                "{count} heartbeats of {peer} came through the witness in {:.1} s; the other direction is proven when this node's daemon runs",
                time.as_secs_f64()
            ),
        ),
    }
}

fn told(config: &Config, group: GroupId, target: &Target, probed: &Probed) -> Finding {
    let vip = config.groups[usize::from(group.0)].vips.first().map(ToString::to_string).unwrap_or_default();
    let (level, text) = match probed {
        Probed::Taken(mac) => {
            (Level::Warn, format!("not probed: {mac} answers for {vip}; its table is not written while somebody serves"))
        }
        Probed::Took(time) => (
            Level::Ok,
            format!(
                "its table took this node's entry for {vip}, and an echo from there came back in {:.1} ms; the entry ages out by itself",
                time.as_secs_f64() * 1e3
            ),
        ),
        Probed::Pinned => (
            Level::Fail,
            format!(
                "its table does NOT take this node's entry for {vip} (pinned, or source guard on the way): this node could not take over \
                 from a dead peer, and clients behind it would not find the address here either"
            ),
        ),
        Probed::Failed(why) => (Level::Fail, format!("could not be probed with {vip}: {why}")),
    };
    Finding::new(level, format!("table {}", target.address), text)
}

/// Without a probe: the last time that a move proved it.
fn table(config: &Config, daemon: Option<&View>, wanted: bool) -> Vec<Finding> {
    let mut found = Vec::new();
    let Some(view) = daemon else {
        let text = "unproven whether the witness's table follows this node: `check --probe-witness` writes it (only when nobody serves), and \
                    so does each move";
        return vec![Finding::new(Level::Warn, "table", text)];
    };
    if wanted {
        let text = "not probed: the daemon runs here, and beside its own writes a foreign one could break its evidence";
        found.push(Finding::new(Level::Warn, "table", text));
    }
    for group in &view.groups {
        let name = if config.groups.len() > 1 { format!("{}: ", group.name) } else { String::new() };
        let change = group.last_change.as_ref().map(|c| format!("; last move: {}", c.text)).unwrap_or_default();
        found.push(match group.table_proved_ms {
            Some(ms) => Finding::new(
                Level::Ok,
                "table",
                format!("{name}proved {} ago: echoes from the VIP came back to this node{change}", ago(ms)),
            ),
            None => Finding::new(
                Level::Warn,
                "table",
                format!(
                    "{name}unproven: this daemon has not served since it started{change}; a takeover here and back proves it"
                ),
            ),
        });
    }
    found
}

pub(super) fn std_of(span: Span) -> Duration {
    Duration::from_nanos(span.0)
}

const ARP_ONLY: &str = "it counts for reachability alone: no claim and no ownership can rest on it (by = \"arp\")";
pub(super) const SLOW_AT_MOST: Duration = Duration::from_millis(500);

#[cfg(test)]
#[path = "answers_tests.rs"]
mod tests;
