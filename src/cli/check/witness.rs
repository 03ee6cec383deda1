//! What `check` asks of the witnesses: do they answer, at the slow rate and at the fast one? Do they answer to whom their table
//! names, or to the sender? Does the relay pass? With `--probe-witness`: does the table take this node's entry?
//!
//! Without that option nothing is sent that an ordinary ping would not write: echoes from this node's own address, and echoes
//! whose source is the peer's. The fast test ends at the first sign that it is too fast: an owner may live by the same
//! witness's answers.

use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::Instant;

use super::answers::{self, Answers, Probed, SLOW_AT_MOST, Tally, Target, fast_period, std_of};
use super::finding::{Finding, Level};
use twinbeat_config::{Config, RELAY};
use twinbeat_core::claim::BROKEN_AFTER;
use twinbeat_core::id::{GroupId, Mac, Name, NodeId, WitnessId};
use twinbeat_core::io::EchoKind;
use twinbeat_core::view::View;
use twinbeat_core::words::{Ground, GroupRole, PeerState};
use twinbeat_daemon::public_config;
use twinbeat_host::echo::{EchoConfig, EchoReply, Echoes};
use twinbeat_host::neighbour_table::known;
use twinbeat_host::public::{PublicEvent, PublicSide};
use twinbeat_host::raw_echo::PAYLOAD_BESIDE;
use twinbeat_wire::{Opener, Pair, Path};

/// Asks, and says what was found.
pub(super) fn ask(config: &Config, me: NodeId, daemon: Option<&View>, probe: bool) -> Vec<Finding> {
    // Who may answer for an address: the peer, where this node's daemon says that it serves.
    let others = (0u8..).zip(&config.groups).filter(|(_, group)| {
        let owner = daemon.and_then(|view| view.groups.iter().find(|g| g.name == *group.name)).and_then(|g| g.owner.as_deref());
        owner.is_none_or(|owner| daemon.is_some_and(|view| view.node == owner))
    });
    let asked: Vec<GroupId> = others.map(|(id, _)| GroupId(id)).collect();
    let fast = daemon.is_none_or(|view| !lives_by_the_witness(view));
    let probe_now = probe && daemon.is_none();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let answers = runtime.map_err(anyhow::Error::from).and_then(|r| r.block_on(inquire(config, me, fast, probe_now, &asked)));
    let answers = match answers {
        Ok(answers) => answers,
        Err(error) => return vec![Finding::new(Level::Fail, "witness", format!("cannot be asked: {error:#}"))],
    };
    answers::findings(config, me, daemon, &answers, probe)
}

/// This node owns a group, and only the witness's answers let it: then nothing may take their place.
fn lives_by_the_witness(view: &View) -> bool {
    view.peer_state != PeerState::Heard
        || view.groups.iter().any(|g| g.role == GroupRole::Owner && !g.grounds.contains(&Ground::Peer))
}

async fn inquire(config: &Config, me: NodeId, fast: bool, probe: bool, asked: &[GroupId]) -> anyhow::Result<Answers> {
    let public = public_config(config, me)?;
    let timing = &config.timing;
    let delivery = std_of(timing.delivery);
    let (replies, inbox) = channel(1024);
    let timeout = delivery.max(Duration::from_millis(20)) * 2;
    let echoes =
        EchoConfig { interface: public.interface.clone(), own: public.own.clone(), witnesses: public.witnesses.clone(), timeout };
    let mut echoes = Echoes::new(echoes, move |reply| {
        let _ = replies.try_send(reply);
    });
    echoes.open()?;
    let side = PublicSide::new(public)?;
    let frame = config.longest_frame();
    let mut look =
        Look { side, echoes, inbox, seen: Vec::new(), number: 0, late: Duration::ZERO, ticks: 0, delivery, frame, filling: 0 };
    let begun = Instant::now();

    let targets = config.witness.targets.len();
    let all_known = |side: &PublicSide| (0..targets).all(|w| side.witness_mac(id(w)).is_some());
    while !all_known(&look.side) && begun.elapsed() < RESOLVED_WITHIN {
        look.listen(Duration::from_millis(10)).await;
    }
    let slow = look.burst(targets, SLOW_ECHOES, std_of(config.witness.interval).min(SLOW_AT_MOST), false).await;
    look.filling = PAYLOAD_BESIDE + frame;
    let long = look.burst(targets, SLOW_ECHOES, std_of(config.witness.interval).min(SLOW_AT_MOST), false).await;
    look.filling = 0;
    let period = fast_period(config);
    let count = fast_count(config, period);
    let quick = if fast { Some(look.burst(targets, count, period, true).await) } else { None };
    for _ in 0..3 {
        for w in 0..targets {
            let _ = look.side.inquire(id(w), frame);
        }
        look.listen(Duration::from_millis(20)).await;
    }
    look.listen(delivery).await;
    let enough = (std_of(timing.heartbeat) * 3 + delivery).min(RELAY_AT_MOST);
    look.listen(enough.saturating_sub(begun.elapsed())).await;

    let follows =
        |w: usize| look.seen.iter().any(|e| matches!(e, PublicEvent::FollowsSender { witness } if witness.0 as usize == w));
    let listed = (0..targets).map(|w| Target {
        address: config.witness.targets[w],
        arp_only: config.witness.arp_only(w),
        mac: look.side.witness_mac(id(w)),
        slow: slow[w],
        long: long[w],
        fast: quick.as_ref().map(|all| all[w]),
        follows_sender: follows(w),
    });
    let listed = listed.collect();
    let relayed = (relayed(config, me, &look.seen), begun.elapsed());
    let peer = Peer::call(config, me);
    let held = look.held(asked).await;
    let peer = peer.map(|peer| (peer.mac(config, me), peer.runs()));
    let probed = if probe { look.probe_all(config, targets).await } else { Vec::new() };
    Ok(Answers { targets: listed, asked_fast: fast, relayed, late: (look.late, look.ticks), probed, held, peer })
}

/// The peer's heartbeats among what came through the witness.
fn relayed(config: &Config, me: NodeId, seen: &[PublicEvent]) -> u32 {
    let names = [config.nodes[0].name.as_ref(), config.nodes[1].name.as_ref()];
    let pair = Pair { cluster: &config.cluster, nodes: names, me };
    let peer = &config.nodes[me.other().index()];
    let opener = config.private_key(me).ok().and_then(|key| Opener::of(&pair, &key, peer.public_keys(), config.names()).ok());
    let Some(mut opener) = opener else { return 0 };
    let path = Path::Link(Name::from(RELAY));
    let frames = seen.iter().filter_map(|event| match event {
        PublicEvent::Relayed { frame } => Some(frame),
        _ => None,
    });
    frames.filter(|frame| opener.open(&path, frame).is_ok()).count() as u32
}

/// The public side and the echoes, with what was seen so far.
struct Look {
    side: PublicSide,
    echoes: Echoes,
    inbox: Receiver<EchoReply>,
    seen: Vec<PublicEvent>,
    number: u64,
    late: Duration,
    ticks: u32,
    delivery: Duration,
    /// The longest heartbeat's frame: what goes out from the VIP is as long in earnest.
    frame: usize,
    /// The payload of own echoes.
    filling: usize,
}

impl Look {
    /// Takes in what comes for so long.
    async fn listen(&mut self, time: Duration) {
        let until = Instant::now() + time;
        self.listen_until(until).await;
    }

    async fn listen_until(&mut self, until: Instant) {
        loop {
            tokio::select! {
                event = self.side.next() => if self.seen.len() < MOST_SEEN { self.seen.push(event) },
                () = tokio::time::sleep_until(until) => return,
            }
        }
    }

    /// Echoes to every target, `period` apart. With `careful` it ends when a target has missed so many in a row that the
    /// rate itself may be why.
    async fn burst(&mut self, targets: usize, count: u32, period: Duration, careful: bool) -> Vec<Tally> {
        let mut sent: Vec<(u64, Instant)> = Vec::new();
        let mut answered: Vec<Vec<(u64, Duration)>> = vec![Vec::new(); targets];
        let mut due = Instant::now();
        for _ in 0..count {
            self.number += 1;
            sent.push((self.number, Instant::now()));
            for w in 0..targets {
                let _ = self.echoes.send_filled(id(w), self.number, self.filling);
            }
            due += period;
            self.listen_until(due).await;
            let late = due.elapsed();
            self.late = self.late.max(late);
            self.ticks += 1;
            self.take(&mut answered);
            let settled = || sent.iter().filter(|(_, at)| at.elapsed() > self.delivery).map(|(n, _)| *n);
            let lately = |w: usize| settled().rev().take_while(|n| !answered[w].iter().any(|(m, _)| m == n)).count() as u32;
            if careful && (0..targets).any(|w| lately(w) >= BROKEN_AFTER && !answered[w].is_empty()) {
                break;
            }
        }
        self.listen(self.delivery + Duration::from_millis(5)).await;
        self.take(&mut answered);
        answered.iter().map(|one| tally(&sent, one)).collect()
    }

    fn take(&mut self, answered: &mut [Vec<(u64, Duration)>]) {
        while let Ok(EchoReply { witness, number, took }) = self.inbox.try_recv() {
            if took <= self.delivery
                && let Some(one) = answered.get_mut(usize::from(witness.0))
            {
                one.push((number, took));
            }
        }
    }

    /// Writes each group's guard VIP into each register, where nobody has it.
    async fn probe_all(&mut self, config: &Config, targets: usize) -> Vec<(GroupId, usize, Probed)> {
        let mut all = Vec::new();
        for group in (0..config.groups.len() as u8).map(GroupId) {
            let taken = self.taken(group).await;
            for w in (0..targets).filter(|w| !config.witness.arp_only(*w)) {
                let probed = match taken {
                    Some(mac) => Probed::Taken(mac),
                    None => self.probe(group, w).await,
                };
                all.push((group, w, probed));
            }
        }
        all
    }

    /// Who answers for, or speaks as, one of these groups' VIPs.
    async fn held(&mut self, groups: &[GroupId]) -> Vec<(GroupId, Mac)> {
        self.seen.clear();
        for _ in 0..3 {
            for group in groups {
                let _ = self.side.probe(*group);
            }
            self.listen(Duration::from_millis(20)).await;
        }
        self.listen(self.delivery.max(Duration::from_millis(200))).await;
        let said = self.seen.iter().filter_map(|event| match event {
            PublicEvent::Answered { group, by } | PublicEvent::Announced { group, by } => Some((*group, *by)),
            _ => None,
        });
        let all: std::collections::BTreeSet<_> = said.filter(|(group, _)| groups.contains(group)).collect();
        all.into_iter().collect()
    }

    /// Who answers for, or speaks as, one of the group's VIPs.
    async fn taken(&mut self, group: GroupId) -> Option<Mac> {
        self.seen.clear();
        for _ in 0..3 {
            if self.side.probe(group).is_err() {
                break;
            }
            self.listen(Duration::from_millis(20)).await;
        }
        self.listen(self.delivery.max(Duration::from_millis(200))).await;
        self.seen.iter().find_map(|event| match event {
            PublicEvent::Answered { group: g, by } | PublicEvent::Announced { group: g, by } if *g == group => Some(*by),
            _ => None,
        })
    }

    async fn probe(&mut self, group: GroupId, w: usize) -> Probed {
        let filling = vec![0; self.frame];
        for _ in 0..PROBE_TRIES {
            self.number += 1;
            let number = self.number;
            let asked = self.side.write(group, id(w));
            let asked = asked.and_then(|()| self.side.vip_echo(group, id(w), EchoKind::Challenge(group), number, &filling));
            if let Err(error) = asked {
                return Probed::Failed(error.to_string());
            }
            let sent = Instant::now();
            while sent.elapsed() < self.delivery {
                self.listen(Duration::from_millis(1)).await;
                let back = self.seen.iter().any(|event| {
                    matches!(event, PublicEvent::EchoReply { kind: EchoKind::Challenge(g), number: n, .. } if *g == group && *n == number)
                });
                if back {
                    return Probed::Took(sent.elapsed());
                }
            }
        }
        Probed::Pinned
    }
}

/// The peer's end of the public link: asked for its hardware address, and whether its daemon listens.
struct Peer {
    address: IpAddr,
    socket: UdpSocket,
}

impl Peer {
    /// An empty datagram, for which the kernel needs the hardware address; a daemon's socket takes none from this port.
    fn call(config: &Config, me: NodeId) -> Option<Peer> {
        let (own, peer) = (config.link(me, config.witness.link)?, config.link(me.other(), config.witness.link)?);
        let socket = UdpSocket::bind((own.address, 0)).ok()?;
        socket.connect((peer.address, config.port)).ok()?;
        socket.set_nonblocking(true).ok()?;
        let _ = socket.send(&[]);
        Some(Peer { address: peer.address, socket })
    }

    fn mac(&self, config: &Config, me: NodeId) -> Option<Mac> {
        let known = known(&config.link(me, config.witness.link)?.interface).unwrap_or_default();
        known.into_iter().find(|(address, _)| *address == self.address).map(|(_, mac)| mac)
    }

    /// Its kernel has not said that nobody listens there.
    fn runs(&self) -> bool {
        !matches!(self.socket.take_error(), Ok(Some(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused)
    }
}

fn tally(sent: &[(u64, Instant)], answered: &[(u64, Duration)]) -> Tally {
    let (mut run, mut longest) = (0, 0);
    for (number, _) in sent {
        run = if answered.iter().any(|(n, _)| n == number) { 0 } else { run + 1 };
        longest = longest.max(run);
    }
    let worst = answered.iter().map(|(_, took)| *took).max().unwrap_or_default();
    Tally { sent: sent.len() as u32, answered: answered.len() as u32, run: longest, worst }
}

/// As long as a challenge lasts, and never without end.
fn fast_count(config: &Config, period: Duration) -> u32 {
    let timing = &config.timing;
    let time = std_of(timing.outrun(timing.lease) + timing.slack()).clamp(Duration::from_secs(1), Duration::from_secs(5));
    (time.as_millis() / period.as_millis().max(1)) as u32
}

fn id(w: usize) -> WitnessId {
    WitnessId(w as u8)
}

const SLOW_ECHOES: u32 = 5;
const RESOLVED_WITHIN: Duration = Duration::from_millis(1500);
const RELAY_AT_MOST: Duration = Duration::from_secs(7);
const PROBE_TRIES: u32 = 5;
/// A flood during a check must not fill the memory.
const MOST_SEEN: usize = 10_000;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_test_is_as_fast_as_in_earnest_and_bounded() {
        let text = include_str!("../../../scenarios/pairs/fast.toml");
        let config = Config::load(std::path::Path::new("t.toml"), text).unwrap();
        assert_eq!(fast_period(&config), Duration::from_millis(5), "heartbeat / 10, for the own address and one group");
        let count = fast_count(&config, fast_period(&config));
        assert!((100..=1000).contains(&count), "{count}");
    }

    #[test]
    fn rows_of_losses_are_counted_in_the_order_of_sending() {
        let now = Instant::now();
        let sent: Vec<_> = (1..=6).map(|n| (n, now)).collect();
        let answered = [(1, Duration::from_millis(1)), (5, Duration::from_millis(2))];
        let all = tally(&sent, &answered);
        assert_eq!(all, Tally { sent: 6, answered: 2, run: 3, worst: Duration::from_millis(2) });
    }
}
