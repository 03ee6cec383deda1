//! The probe: what clients see, and who answers, each node asked by itself.
//!
//! A client behind the gateway sends a datagram to the VIP every 2 ms and fetches the page every 100 ms; the observer on the LAN asks each
//! node's MAC every 5 ms, by ARP and by datagram, the two nodes half a period apart. Each socket has one thread that sends on time and one that notes
//! when answers come. The records are judged by [`timeline`].

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, Socket, Type};

use super::frames::{self, Answer};
use super::lab::{BOTH, LANCLIENT_MAC, Lab};
use super::responder::{PORT, Responder};
use super::timeline::{self, Asked, At, Run, Silence};
use twinbeat_core::id::{Mac, NodeId};

/// Between two datagrams of the client.
pub const CLIENT_PERIOD: Duration = Duration::from_millis(2);
/// Between two questions to the same node.
pub const LAN_PERIOD: Duration = Duration::from_millis(5);
/// Between two pages fetched.
pub const HTTP_PERIOD: Duration = Duration::from_millis(100);
/// Unanswered questions for this long do not end a node's run.
pub const BRIDGE: Duration = Duration::from_millis(20);

/// Who answered this shortly before a stretch of time is who served at its beginning.
const LOOK_BACK: Duration = Duration::from_millis(100);

/// What was asked and answered, since the probe's start.
#[derive(Clone, Default, Debug)]
pub struct Record {
    /// The client's datagrams.
    pub client: Vec<Asked>,
    /// The questions to each node, by its index.
    pub nodes: [Vec<Asked>; 2],
    /// The pages: when asked, and who served it.
    pub pages: Vec<Asked>,
}

impl Record {
    /// As if one question had gone to this probe's VIP and to the other one's: what the first left open is answered where the other was, asked at that
    /// time. For a group whose guard VIP is another one by another file.
    pub fn or(mut self, other: &Record) -> Record {
        let [first, second] = &mut self.nodes;
        for (mine, theirs, period) in [
            (&mut self.client, &other.client, CLIENT_PERIOD),
            (first, &other.nodes[0], LAN_PERIOD),
            (second, &other.nodes[1], LAN_PERIOD),
        ] {
            for one in mine.iter_mut().filter(|one| one.answer.is_none()) {
                let next = theirs.partition_point(|a| a.sent + period < one.sent);
                let near = theirs[next..].iter().take_while(|a| a.sent <= one.sent + period);
                one.answer = near.filter_map(|a| a.answer).next();
            }
        }
        self
    }
}

/// The answering machines on both nodes; several probes may share them.
#[derive(Debug)]
pub struct Responders {
    _nodes: [Responder; 2],
}

impl Responders {
    /// Starts them.
    pub fn start(lab: &Lab) -> Result<Arc<Responders>> {
        let on = |node: NodeId| Responder::start(lab.node(node), lab.name(node));
        Ok(Arc::new(Responders { _nodes: [on(NodeId(0))?, on(NodeId(1))?] }))
    }
}

/// The running probe of one VIP; dropping it stops it.
#[derive(Debug)]
pub struct Probe {
    /// The VIP.
    pub vip: IpAddr,
    start: Instant,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    _responders: Arc<Responders>,
}

#[derive(Debug)]
struct Shared {
    whom: Whom,
    record: Mutex<Record>,
    stop: AtomicBool,
}

/// Whom the probe asks, and as whom.
#[derive(Debug)]
struct Whom {
    vip: IpAddr,
    page: SocketAddr,
    names: [String; 2],
    macs: [Mac; 2],
    observer: (Mac, IpAddr),
}

impl Whom {
    fn named(&self, name: &str) -> Option<NodeId> {
        BOTH.into_iter().find(|node| self.names[node.index()] == name)
    }

    fn at(&self, mac: Mac) -> Option<NodeId> {
        BOTH.into_iter().find(|node| self.macs[node.index()] == mac)
    }
}

/// What a stretch of time looked like from outside.
#[derive(Clone, PartialEq, Debug)]
pub struct Outcome {
    /// The longest time without an answer for the client behind the gateway; what is not longer than the probe's own lateness is discarded.
    pub gap: Duration,
    /// All such times together.
    pub lost: Duration,
    /// The longest time without a page.
    pub page_gap: Duration,
    /// How long both nodes provably answered for the VIP.
    pub two_owners: Duration,
    /// Who served, and from when on; the first is who served at the beginning.
    pub served: Vec<(At, NodeId)>,
    /// The probe's own greatest lateness.
    pub lateness: Duration,
    /// Silences that were discarded as no longer than the probe's lateness at that moment.
    pub discarded: usize,
}

impl Outcome {
    /// How often the answering node changed.
    pub fn moves(&self) -> usize {
        self.served.len().saturating_sub(1)
    }
}

impl Probe {
    /// Starts the responders on both nodes, the client and the observer; the page is at port 80.
    pub fn start(lab: &Lab, vip: impl Into<IpAddr>) -> Result<Probe> {
        Probe::beside(&Responders::start(lab)?, lab, vip.into(), 80, Instant::now())
    }

    /// One of several probes, with a common beginning of time.
    pub fn beside(responders: &Arc<Responders>, lab: &Lab, vip: IpAddr, page: u16, start: Instant) -> Result<Probe> {
        let plan = &lab.plan;
        let observer = plan.observer(vip.is_ipv4()).context("the observer has no address of the VIP's family")?;
        let whom = Whom {
            vip,
            page: SocketAddr::new(vip, page),
            names: plan.nodes.clone(),
            macs: BOTH.map(|node| plan.end(plan.public, node).mac),
            observer: (LANCLIENT_MAC, observer),
        };
        let shared = Arc::new(Shared { whom, record: Mutex::default(), stop: AtomicBool::new(false) });
        let mut probe = Probe { vip, start, shared, threads: Vec::new(), _responders: Arc::clone(responders) };

        let socket = lab.client.run(|| client_socket(vip))?;
        let (receiver, shared) = (socket.try_clone()?, Arc::clone(&probe.shared));
        probe.threads.push(lab.client.spawn("client-send", move || shared.client_send(&socket, start))?);
        let shared = Arc::clone(&probe.shared);
        probe.threads.push(lab.client.spawn("client-hear", move || shared.client_hear(&receiver, start))?);
        let shared = Arc::clone(&probe.shared);
        probe.threads.push(lab.client.spawn("client-page", move || shared.pages(start))?);

        let socket = lab.lanclient.run(packet_socket)?;
        let (receiver, shared) = (socket.try_clone()?, Arc::clone(&probe.shared));
        probe.threads.push(lab.lanclient.spawn("lan-send", move || shared.lan_send(&socket, start))?);
        let shared = Arc::clone(&probe.shared);
        probe.threads.push(lab.lanclient.spawn("lan-hear", move || shared.lan_hear(&receiver, start))?);
        Ok(probe)
    }

    /// The time since the start: what all records count in.
    pub fn now(&self) -> At {
        self.start.elapsed()
    }

    /// A copy of the record up to now.
    pub fn record(&self) -> Record {
        self.shared.record().clone()
    }

    /// Who answers the observer now: heard within the last 50 ms, each node by itself.
    pub fn serving(&self) -> Vec<NodeId> {
        let since = self.now().saturating_sub(Duration::from_millis(50));
        let record = self.shared.record();
        let heard = |asked: &[Asked]| asked.iter().rev().take_while(|a| a.sent >= since).any(|a| a.answer.is_some());
        BOTH.into_iter().filter(|n| heard(&record.nodes[n.index()])).collect()
    }

    /// Waits until `node` alone has served for 300 ms without a break, the client included; `false` when `limit` passed first or `stop` was raised.
    pub fn wait_for_owner(&self, node: NodeId, limit: Duration, stop: &AtomicBool) -> bool {
        let until = Instant::now() + limit;
        let mut since: Option<Instant> = None;
        while Instant::now() < until && !stop.load(Ordering::Relaxed) {
            if self.serving() == [node] && self.client_sees() == Some(node) {
                if since.get_or_insert_with(Instant::now).elapsed() >= Duration::from_millis(300) {
                    return true;
                }
            } else {
                since = None;
            }
            thread::sleep(Duration::from_millis(20));
        }
        false
    }

    /// Which node answered the client's newest answered datagram of the last 50 ms.
    pub fn client_sees(&self) -> Option<NodeId> {
        let since = self.now().saturating_sub(Duration::from_millis(50));
        let record = self.shared.record();
        record.client.iter().rev().take_while(|a| a.sent >= since).find_map(|a| a.answer.map(|(_, n)| n))
    }

    /// Judges the time from `from` to `to`; waits a moment where the last answers may still be on their way.
    pub fn outcome(&self, from: At, to: At) -> Outcome {
        let settled = to + Duration::from_millis(100);
        if let Some(wait) = settled.checked_sub(self.now()) {
            thread::sleep(wait);
        }
        judge(&self.record(), from, to)
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Judges a record between two times.
pub fn judge(record: &Record, from: At, to: At) -> Outcome {
    let (counting, discarded): (Vec<Silence>, Vec<Silence>) =
        timeline::silences(&record.client, from, to).into_iter().partition(Silence::counts);
    let pages = timeline::silences(&record.pages, from, to);
    let runs = record.nodes.each_ref().map(|asked| timeline::proven(asked, LAN_PERIOD, BRIDGE));
    let in_window = |runs: &[Run]| -> Vec<Run> {
        let within = runs.iter().filter(|r| r.last_received + LOOK_BACK >= from && r.first_sent < to);
        within.map(|r| Run { first_sent: r.first_sent.max(from), ..*r }).collect()
    };
    let whole = |runs: Vec<Run>, asked: &[Asked], period| in_window(&timeline::joined(runs, asked, period));
    let client = whole(timeline::runs(&record.client, BRIDGE), &record.client, Duration::MAX);
    let lan = [0, 1].map(|n| whole(runs[n].clone(), &record.nodes[n], LAN_PERIOD));
    let (by_client, by_lan) = (timeline::servers(&[&client]), timeline::servers(&[&lan[0], &lan[1]]));
    let everything = record.client.iter().chain(&record.nodes[0]).chain(&record.nodes[1]);
    let late = everything.filter(|a| a.sent >= from && a.sent < to).map(|a| a.sent.saturating_sub(a.due)).max();
    let longest = |s: &[Silence]| s.iter().map(Silence::length).max().unwrap_or_default();
    Outcome {
        gap: longest(&counting),
        lost: counting.iter().map(Silence::length).sum(),
        page_gap: longest(&pages),
        two_owners: timeline::two_owners(&runs[0], &runs[1], LAN_PERIOD, from, to),
        served: if by_lan.len() > by_client.len() { by_lan } else { by_client },
        lateness: late.unwrap_or_default(),
        discarded: discarded.len(),
    }
}

impl Shared {
    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn client_send(&self, socket: &UdpSocket, start: Instant) {
        let mut due = start.elapsed();
        let mut number = 0u64;
        while !self.stopped() {
            // The record's entry comes first: an answer may be there before `send` returns.
            self.record().client.push(Asked { sent: start.elapsed(), due, answer: None });
            let _ = socket.send(&number.to_be_bytes());
            number += 1;
            due = sleep_until_next(start, due, CLIENT_PERIOD);
        }
    }

    fn client_hear(&self, socket: &UdpSocket, start: Instant) {
        let mut buffer = [0u8; 64];
        while !self.stopped() {
            let Ok(length) = socket.recv(&mut buffer) else { continue };
            let at = start.elapsed();
            let Some((number, name)) = buffer[..length].split_first_chunk::<8>() else { continue };
            let Some(node) = std::str::from_utf8(name).ok().and_then(|name| self.whom.named(name)) else { continue };
            let number = u64::from_be_bytes(*number);
            if let Some(asked) = self.record().client.get_mut(number as usize) {
                asked.answer.get_or_insert((at, node));
            }
        }
    }

    fn pages(&self, start: Instant) {
        let mut due = start.elapsed();
        while !self.stopped() {
            let sent = start.elapsed();
            let node = fetch(self.whom.page, Duration::from_millis(500)).and_then(|page| self.whom.named(page.trim()));
            let answer = node.map(|n| (start.elapsed(), n));
            self.record().pages.push(Asked { sent, due, answer });
            due = sleep_until_next(start, due, HTTP_PERIOD);
        }
    }

    fn lan_send(&self, socket: &Socket, start: Instant) {
        let mut due = start.elapsed();
        let mut turn = 0usize;
        while !self.stopped() {
            let node = BOTH[turn % 2];
            let Whom { vip, macs, observer: me, .. } = &self.whom;
            let mac = macs[node.index()];
            let questions = [frames::neighbour_question(*me, mac, *vip), frames::udp_question(*me, mac, *vip, (turn / 2) as u64)];
            self.record().nodes[node.index()].push(Asked { sent: start.elapsed(), due, answer: None });
            for frame in questions.iter().flatten() {
                let _ = socket.send(frame);
            }
            turn += 1;
            due = sleep_until_next(start, due, LAN_PERIOD / 2);
        }
    }

    fn lan_hear(&self, socket: &Socket, start: Instant) {
        let mut socket: &Socket = socket;
        let mut buffer = [0u8; 2048];
        while !self.stopped() {
            let Ok(length) = socket.read(&mut buffer) else { continue };
            let at = start.elapsed();
            let Some(answer) = frames::read(&buffer[..length], self.whom.vip) else { continue };
            let (Answer::Neighbour(mac) | Answer::Udp(mac, _)) = answer;
            let Some(node) = self.whom.at(mac) else { continue };
            let asked = &mut self.record().nodes[node.index()];
            // Neighbour answers carry no number: one counts for the oldest question of late that has no answer yet, so that the proof only gets shorter.
            let place = match answer {
                Answer::Neighbour(_) => oldest_unanswered(asked, at),
                Answer::Udp(_, number) => Some(number as usize),
            };
            if let Some(one) = place.and_then(|p| asked.get_mut(p)) {
                one.answer.get_or_insert((at, node));
            }
        }
    }
}

fn oldest_unanswered(asked: &[Asked], at: At) -> Option<usize> {
    let recent = asked.iter().enumerate().rev().take_while(|(_, a)| at.saturating_sub(a.sent) <= BRIDGE);
    recent.filter(|(_, a)| a.answer.is_none()).last().map(|(place, _)| place)
}

/// Sleeps until one period after `due`; periods that were missed are skipped, not caught up. Returns the new due time.
fn sleep_until_next(start: Instant, due: At, period: Duration) -> At {
    let now = start.elapsed();
    let mut next = due + period;
    if next + period < now {
        next = now;
    }
    if let Some(wait) = next.checked_sub(now) {
        thread::sleep(wait);
    }
    next
}

fn client_socket(vip: IpAddr) -> Result<UdpSocket> {
    let any: SocketAddr = if vip.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).context("client's socket")?;
    socket.connect(SocketAddr::new(vip, PORT)).context("client's way to the VIP")?;
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    Ok(socket)
}

/// A packet socket on the observer's `eth0`. The kernel's own answer to foreign frames is harmless: it has none for the VIP.
fn packet_socket() -> Result<Socket> {
    use nix::sys::socket::{SockProtocol, bind};
    use std::os::fd::AsRawFd;
    let all = Protocol::from(SockProtocol::EthAll as i32);
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(all)).context("observer's packet socket")?;
    let interfaces = nix::ifaddrs::getifaddrs().context("observer's interfaces")?;
    let links = interfaces.filter(|i| i.interface_name == "eth0").filter_map(|i| i.address);
    let address = links.filter_map(|a| a.as_link_addr().copied()).next().context("observer's eth0")?;
    bind(socket.as_raw_fd(), &address).context("bind the observer's packet socket")?;
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    Ok(socket)
}

/// Fetches the page at `/`; `None` when anything goes wrong or takes longer than `limit`.
pub fn fetch(from: SocketAddr, limit: Duration) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&from, limit).ok()?;
    stream.set_read_timeout(Some(limit)).ok()?;
    stream.set_write_timeout(Some(limit)).ok()?;
    stream.write_all(format!("GET / HTTP/1.0\r\nHost: {from}\r\nConnection: close\r\n\r\n").as_bytes()).ok()?;
    let mut text = String::new();
    stream.take(64 * 1024).read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    head.split_whitespace().nth(1).is_some_and(|code| code == "200").then(|| body.to_owned())
}
