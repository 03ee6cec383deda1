//! Attacks on a running pair: floods that the kernel's filters let through. No address moves, no client waits, and no heartbeat comes
//! later than `warn` (SAFETY R12).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use twinbeat::core::id::{Mac, NodeId};
use twinbeat::host::neighbour::{Arp, BROADCAST};
use twinbeat::host::raw_echo::{Purpose, Route, Tag, request};
use twinbeat::lab::flood::{Tap, datagram, pour};
use twinbeat::lab::lab::{BOTH, Cable, GATEWAY, VIP};
use twinbeat::lab::node::TIMING;
use twinbeat::lab::ns::Namespace;
use twinbeat::lab::pair::Pair;
use twinbeat::lab::plan::Select;
use twinbeat::lab::probe::Outcome;
use twinbeat::wire::{FRAME_VERSION, MAGIC, MAX_FRAME};

/// Frames a second, to one node, as far as the machine can send them: the output says what was reached.
const RATE: u64 = 100_000;
const TIME: Duration = Duration::from_secs(3);
/// A quarter of the lab's lease: a machine that stood still for longer says nothing about gaps.
const STALL: Duration = Duration::from_millis(80);
const PORT: u16 = 694;
const ATTACKER: Mac = Mac([2, 0, 0, 0, 0, 0x66]);
const WITNESS: Mac = Mac([2, 0, 0, 0, 0, 1]);

/// Bytes that look like nothing in particular, the same in every run.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

/// What the attacker sends to `node`, in the peer's name where there is a name. `old`: true frames that went to `node`.
fn floods(node: NodeId, old: &[Vec<u8>]) -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let lan = |n: NodeId| (Cable::Lan.mac(n), Cable::Lan.address(n));
    let (me, peer) = (lan(node), (ATTACKER, lan(node.other()).1));
    let udp = |payload: &[u8]| datagram(peer, me, PORT, payload).unwrap();
    let shaped = |seed| [&MAGIC[..], &[FRAME_VERSION], &noise(500, seed)].concat();
    // Ethernet, IPv4 and UDP headers.
    let body = |frame: &Vec<u8>| frame[42..].to_vec();
    let cut = |i: usize| {
        let whole = body(&old[i % old.len()]);
        udp(&whole[..i * 37 % whole.len()])
    };
    let long = |i: u64| {
        let whole = body(&old[i as usize % old.len()]);
        udp(&[&whole[..], &noise(1400 - whole.len().min(1400), i)].concat())
    };
    let reply = |i: u64| {
        // The witness's answer to a relayed heartbeat, with a true frame of another time inside, or with noise.
        let tag = Tag { purpose: Purpose::Relay, sender: node.other(), life: i, number: i };
        let route = Route { from: WITNESS, to: me.0, source: GATEWAY.into(), witness: me.1.into() };
        let inside = if i.is_multiple_of(2) { body(&old[i as usize % old.len()]) } else { noise(400, i) };
        as_reply(request(&route, &tag, &inside).unwrap())
    };
    let asks = |i: u8| {
        let nobody = Mac([0; 6]);
        let sender = (ATTACKER, Ipv4Addr::new(192, 168, 42, 66));
        Arp {
            from: ATTACKER,
            to: if i.is_multiple_of(2) { BROADCAST } else { me.0 },
            request: true,
            sender,
            target: (nobody, VIP),
        }
        .frame()
    };
    let replayed = old.iter().map(|frame| udp(&body(frame))).collect();
    vec![
        ("garbage", (0..64).map(|i| udp(&noise(20 + i as usize * 20, i))).collect()),
        ("the right shape and a wrong tag", (0..64).map(|i| udp(&shaped(i))).collect()),
        ("replays of true frames", replayed),
        ("truncated frames", (0..64).map(cut).collect()),
        ("true frames with a tail, and the longest datagrams", (0..64).map(long).collect()),
        ("the witness's answers", (0..64).map(reply).collect()),
        ("questions for the address", (0..2).map(asks).collect()),
    ]
}

/// Turns an echo request into its reply (RFC 792): the type, and the checksum put right (RFC 1624).
fn as_reply(mut frame: Vec<u8>) -> Vec<u8> {
    frame[34] = 0;
    let sum = u32::from(u16::from_be_bytes([frame[36], frame[37]])) + 0x0800;
    let sum = ((sum & 0xffff) + (sum >> 16)) as u16;
    frame[36..38].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// The switch's port to a node's end of a cable.
fn port(pair: &Pair, cable: Cable, node: NodeId) -> String {
    let plan = &pair.lab.plan;
    plan.port(cable.select(plan)[0], node)
}

/// How often both logs say that the peer was not heard for `warn`, or that evidence was void.
fn complaints(pair: &Pair) -> usize {
    let logs = BOTH.map(|n| pair.site.log_tail(n, usize::MAX)).concat();
    logs.lines().filter(|l| l.contains("was not heard on any link") || l.contains("evidence is void")).count()
}

#[test]
fn no_flood_moves_an_address_or_delays_a_heartbeat_beyond_warn() {
    if !common::ready() {
        return;
    }
    let pair = common::serving(Path::new(env!("CARGO_BIN_EXE_twinbeat")));
    let cable = Tap::start(&pair.lab.switch, &port(&pair, Cable::Heartbeat, NodeId(1)), PORT).unwrap();
    let mut failures = Vec::new();
    for node in BOTH {
        let port = port(&pair, Cable::Lan, node);
        let tap = Tap::start(&pair.lab.switch, &port, PORT).unwrap();
        thread::sleep(Duration::from_secs(1));
        let old: Vec<_> = tap.seen().into_iter().map(|s| s.frame).filter(|f| f[..6] == Cable::Lan.mac(node).0).collect();
        drop(tap);
        assert!(old.len() >= 5 && old.iter().all(|f| f.len() <= MAX_FRAME), "{} true frames", old.len());
        for (what, frames) in floods(node, &old) {
            thread::sleep(Duration::from_millis(500));
            let (before, from, begin) = (complaints(&pair), pair.probes.first().now(), Instant::now());
            let poured = pour(&pair.lab.switch, &port, &frames, RATE, TIME).unwrap();
            let (to, end) = (pair.probes.first().now(), Instant::now());
            let seen = pair.probes.first().outcome(from, to);
            let silences = BOTH.map(|n| cable.longest_silence(Cable::Heartbeat.mac(n), begin, end));
            let more = complaints(&pair) - before;
            println!(
                "to {node}: {what}: {:.0} frames/s; gap {:?}, moves {}, two owners {:?}, lateness {:?}; longest silence on the cable {silences:?}; {more} complaints",
                poured.rate(),
                seen.gap,
                seen.moves(),
                seen.two_owners,
                seen.lateness
            );
            let warn = Duration::from_nanos(TIMING.warn.0);
            let mut fail = |found: bool, text: String| {
                if found {
                    failures.push(format!("to {node}: {what}: {text}"));
                }
            };
            fail(!seen.two_owners.is_zero(), format!("two nodes answered for {:?}", seen.two_owners));
            fail(pair.probes.first().serving() != [NodeId(0)], format!("answering now: {:?}", pair.probes.first().serving()));
            if seen.lateness <= STALL {
                fail(seen.moves() > 0, format!("{} moves", seen.moves()));
                fail(!seen.gap.is_zero(), format!("gap {:?}", seen.gap));
                fail(silences.iter().any(|s| *s > warn), format!("heartbeats {silences:?} apart"));
                fail(more > 0, format!("{more} complaints in the logs"));
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}\n{}", pair.logs());
}

/// Frames at a slow rate while the pair is watched: what clients saw. `frames` are for each node's port.
fn talked_to(pair: &Pair, rate: u64, time: Duration, frames: impl Fn(NodeId) -> Vec<Vec<u8>> + Sync) -> Outcome {
    let from = pair.probes.first().now();
    thread::scope(|scope| {
        for node in BOTH {
            let (port, frames) = (port(pair, Cable::Lan, node), frames(node));
            let switch = &pair.lab.switch;
            scope.spawn(move || pour(switch, &port, &frames, rate, time).unwrap());
        }
    });
    thread::sleep(Duration::from_secs(1));
    pair.probes.first().outcome(from, pair.probes.first().now())
}

/// An ARP message to a node itself, so that nobody else hears it.
fn said_to(node: NodeId, request: bool, sender: Ipv4Addr) -> Vec<u8> {
    let (to, own) = (Cable::Lan.mac(node), Cable::Lan.address(node));
    let target = if request { (Mac([0; 6]), sender) } else { (to, own) };
    Arp { from: ATTACKER, to, request, sender: (ATTACKER, sender), target }.frame()
}

#[test]
fn whoever_speaks_for_the_address_or_the_gateway_moves_nothing() {
    if !common::ready() {
        return;
    }
    let mut pair = common::serving(Path::new(env!("CARGO_BIN_EXE_twinbeat")));
    let mut failures = Vec::new();
    let mut weigh = |what: &str, seen: Outcome, serving: &[NodeId]| {
        println!(
            "{what}: gap {:?}, moves {}, two owners {:?}, lateness {:?}",
            seen.gap,
            seen.moves(),
            seen.two_owners,
            seen.lateness
        );
        if !seen.two_owners.is_zero()
            || serving != [NodeId(0)]
            || (seen.lateness <= STALL && (seen.moves() > 0 || !seen.gap.is_zero()))
        {
            failures.push(format!("{what}: {seen:?}, serving {serving:?}"));
        }
    };
    let address = |node| vec![said_to(node, true, VIP), said_to(node, false, VIP)];
    let gateway = |node| vec![said_to(node, false, GATEWAY)];
    for (what, rate) in [("the address, 40 a second", 40), ("the address, 20,000 a second", 20_000)] {
        let seen = talked_to(&pair, rate, TIME, address);
        weigh(what, seen, &pair.probes.first().serving());
    }
    // The kernel's own entry is the kernel's to mend: what is asked here is who owns.
    let seen = talked_to(&pair, 2, TIME * 2, gateway);
    weigh("the gateway, to both", Outcome { gap: Duration::ZERO, ..seen }, &pair.probes.first().serving());
    let warned = pair.site.log_tail(NodeId(0), usize::MAX).matches(&format!("{ATTACKER} says that it has the address")).count();
    assert!((1..10).contains(&warned), "the attacker is named, and not at each frame: {warned}");
    // Alone: nothing but the return path keeps the owner.
    pair.power_off(NodeId(1)).unwrap();
    thread::sleep(Duration::from_secs(3));
    let seen = talked_to(&pair, 40, TIME, address);
    weigh("the address, to a lone owner", seen, &pair.probes.first().serving());
    let seen = talked_to(&pair, 1, TIME * 3, gateway);
    weigh("the gateway, to a lone owner", Outcome { gap: Duration::ZERO, ..seen }, &pair.probes.first().serving());
    // With the gateway pinned by the administrator not even a client notices.
    let said = |namespace: &Namespace, command: String| {
        let output = namespace.run(|| Ok(Command::new("sh").args(["-c", &command]).output()?)).unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let way = |to: Ipv4Addr| format!("ip -o route get {to} | sed 's/.* dev \\([^ ]*\\).*/\\1/'");
    let mac =
        said(pair.lab.witness(0), format!("ip -br link show $({}) | awk '{{print $3}}'", way(Cable::Lan.address(NodeId(0)))));
    let pin = format!("ip neigh replace {GATEWAY} lladdr {mac} nud permanent dev $({})", way(GATEWAY));
    said(pair.lab.node(NodeId(0)), pin);
    thread::sleep(Duration::from_secs(6));
    let seen = talked_to(&pair, 2, TIME, gateway);
    weigh("the gateway, pinned, to a lone owner", seen, &pair.probes.first().serving());
    assert!(!pair.site.log_tail(NodeId(0), usize::MAX).contains("LEAVES"), "{}", pair.logs());
    assert!(failures.is_empty(), "{failures:#?}\n{}", pair.logs());
}

/// An ICMP error of this type and code about a heartbeat of `node`'s, from the peer or from a router.
fn icmp_error(node: NodeId, kind: u8, code: u8, from: Ipv4Addr) -> Vec<u8> {
    let lan = |n: NodeId| (Cable::Lan.mac(n), Cable::Lan.address(n));
    let about = datagram(lan(node), lan(node.other()), PORT, b"a heartbeat").unwrap();
    // The frame of another datagram, whose UDP becomes ICMP: type, code, checksum, unused, then header and 8 bytes of the one that it is about.
    let mut frame = datagram((ATTACKER, from), lan(node), PORT, &about[14..14 + 28]).unwrap();
    frame[23] = 1;
    frame[34..42].copy_from_slice(&[kind, code, 0, 0, 0, 0, 0, 0]);
    let sum = |bytes: &[u8]| {
        let sum: u32 = bytes.chunks(2).map(|b| u32::from(u16::from_be_bytes([b[0], *b.get(1).unwrap_or(&0)]))).sum();
        let sum = (sum & 0xffff) + (sum >> 16);
        !((sum & 0xffff) + (sum >> 16)) as u16
    };
    frame[24..26].fill(0);
    let header = sum(&frame[14..34]);
    frame[24..26].copy_from_slice(&header.to_be_bytes());
    let message = sum(&frame[34..]);
    frame[36..38].copy_from_slice(&message.to_be_bytes());
    frame
}

#[test]
fn no_icmp_error_closes_a_link() {
    if !common::ready() {
        return;
    }
    let pair = common::serving(Path::new(env!("CARGO_BIN_EXE_twinbeat")));
    thread::sleep(Duration::from_secs(2));
    let changes = |pair: &Pair| BOTH.map(|n| pair.site.log_tail(n, usize::MAX).matches("link lan:").count());
    let before = changes(&pair);
    let errors = |node: NodeId| {
        let peer = Cable::Lan.address(node.other());
        let all = (0..16).map(|code| (3, code)).chain([(11, 0), (12, 0), (4, 0), (5, 1)]);
        all.flat_map(|(kind, code)| [peer, GATEWAY].map(|from| icmp_error(node, kind, code, from))).collect::<Vec<_>>()
    };
    for rate in [20, 2000] {
        let seen = talked_to(&pair, rate, TIME * 2, errors);
        println!(
            "ICMP errors, {rate} a second: gap {:?}, moves {}, lateness {:?}; link lan changed {:?}",
            seen.gap,
            seen.moves(),
            seen.lateness,
            changes(&pair)
        );
        assert!(seen.moves() == 0 && seen.two_owners.is_zero(), "{}", pair.logs());
        if seen.lateness <= STALL {
            assert_eq!(changes(&pair), before, "a link's state changed\n{}", pair.logs());
        }
    }
}

#[test]
fn a_second_daemon_of_the_same_node_does_not_start_wherever_it_keeps_its_files() {
    if !common::ready() {
        return;
    }
    let binary = Path::new(env!("CARGO_BIN_EXE_twinbeat"));
    let pair = common::serving(binary);
    let from = pair.probes.first().now();
    let own = pair.site.node_dir(NodeId(1));
    for (run, state, said) in [("run-2", "state-2", "in this network namespace"), ("run-2", "state", "state directory")] {
        let (run, state) = (own.join(run), own.join(state));
        let output = pair.lab.node(NodeId(1)).run(|| {
            let mut second = Command::new("timeout");
            second.arg("10").arg(binary).arg("run").arg("--config").arg(pair.site.config(NodeId(1)));
            second.args(["--node", pair.site.name(NodeId(1))]).arg("--run-dir").arg(&run).arg("--state-dir").arg(&state);
            Ok(second.output()?)
        });
        let output = output.unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.code() != Some(124) && !output.status.success() && text.contains(said),
            "{:?} {text}",
            output.status
        );
    }
    thread::sleep(Duration::from_secs(2));
    let seen = pair.probes.first().outcome(from, pair.probes.first().now());
    assert!(seen.moves() == 0 && seen.two_owners.is_zero(), "{seen:?}\n{}", pair.logs());
}

/// The processes of this test's pair that carry `mark` in their environment: those of the program, and the others.
fn marked(mark: &str) -> (Vec<u32>, Vec<u32>) {
    let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let carries = |pid: &u32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|pair| pair == mark.as_bytes())
    };
    let own = |pid: &u32| std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.ends_with("twinbeat"));
    all.filter(carries).partition(own)
}

#[test]
fn services_inherit_neither_the_init_systems_sockets_nor_the_daemons_scheduling() {
    if !common::ready() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mark = format!("TWINBEAT_TEST_MARK={}", std::process::id());
    let (program, binary) = (dir.path().join("started-as-by-an-init-system"), env!("CARGO_BIN_EXE_twinbeat"));
    let script = format!(
        "#!/bin/sh\nexport {mark} NOTIFY_SOCKET=/nowhere LISTEN_FDS=1 LISTEN_PID=$$ WATCHDOG_USEC=9000000\n\
         echo 300 > /proc/self/oom_score_adj\nexec {binary} \"$@\"\n"
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let _pair = common::serving(&program);
    let (daemons, services) = marked(&mark);
    assert!(daemons.len() == 2 && !services.is_empty(), "{daemons:?} {services:?}");
    let read = |pid: u32, what: &str| std::fs::read_to_string(format!("/proc/{pid}/{what}")).unwrap();
    let nice = |pid: u32| read(pid, "stat").rsplit(')').next().unwrap().split(' ').nth(17).unwrap().to_owned();
    for pid in daemons {
        assert_eq!(read(pid, "oom_score_adj").trim(), "300", "the program that this test is about");
        assert!(nice(pid) == "-20" || !nix::unistd::geteuid().is_root(), "{}", nice(pid));
    }
    for pid in services {
        let environment = read(pid, "environ");
        for name in ["NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "WATCHDOG_USEC"] {
            assert!(!environment.contains(name), "{}: {environment}", read(pid, "comm"));
        }
        assert_eq!((read(pid, "oom_score_adj").trim(), nice(pid).as_str()), ("0", "0"), "{}", read(pid, "comm"));
    }
}

#[test]
fn a_signal_that_comes_before_its_handler_ends_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("twinbeat.toml");
    // Long to read, and refused at its end: a daemon that goes no further.
    std::fs::write(&config, format!("{}\nno = configuration\n", "# a line that says nothing\n".repeat(35_000))).unwrap();
    let mut held = 0;
    for signal in [nix::sys::signal::Signal::SIGHUP, nix::sys::signal::Signal::SIGUSR2].repeat(5) {
        let mut daemon = Command::new(env!("CARGO_BIN_EXE_twinbeat"));
        daemon.args(["run", "--node", "a", "--config"]).arg(&config);
        daemon.arg("--run-dir").arg(dir.path().join("run")).arg("--state-dir").arg(dir.path().join("state"));
        let mut daemon = daemon.stderr(std::process::Stdio::null()).spawn().unwrap();
        let status = format!("/proc/{}/status", daemon.id());
        let blocked = |text: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix("SigBlk:")).map(str::trim);
            u64::from_str_radix(line.unwrap_or("0"), 16).unwrap() >> (signal as i32 - 1) & 1 == 1
        };
        while daemon.try_wait().unwrap().is_none() {
            if std::fs::read_to_string(&status).is_ok_and(|text| blocked(&text)) {
                held += usize::from(nix::sys::signal::kill(nix::unistd::Pid::from_raw(daemon.id() as i32), signal).is_ok());
                break;
            }
        }
        let ended = daemon.wait().unwrap();
        assert!(ended.code().is_some(), "{signal}: {ended}");
    }
    assert!(held > 0, "no signal met a daemon that held it back");
}

#[test]
fn a_long_kernel_section_beside_a_pair_moves_nothing() {
    if !common::ready() {
        return;
    }
    let pair = common::serving(Path::new(env!("CARGO_BIN_EXE_twinbeat")));
    let file = pair.site.dir().join("long.nft");
    let elements: Vec<String> = (0..400_000).map(|n| format!("10.{}.{}.{}", n >> 16 & 255, n >> 8 & 255, n & 255)).collect();
    let set =
        format!("flush ruleset\ntable ip t {{\nset s {{\ntype ipv4_addr\nelements = {{ {} }}\n}}\n}}\n", elements.join(","));
    std::fs::write(&file, set).unwrap();
    let from = pair.probes.first().now();
    for _ in 0..2 {
        // In the clients' own namespace, which has no gate: what is shared with the pair are the CPUs.
        let load = || Ok(Command::new("nft").arg("-f").arg(&file).output()?);
        let loaded = pair.lab.client.run(load).unwrap();
        assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr).chars().take(300).collect::<String>());
    }
    pair.lab.client.run(|| Ok(Command::new("nft").args(["flush", "ruleset"]).status()?)).unwrap();
    let seen = pair.probes.first().outcome(from, pair.probes.first().now());
    println!("gap {:?}, moves {}, two owners {:?}, lateness {:?}", seen.gap, seen.moves(), seen.two_owners, seen.lateness);
    assert!(seen.two_owners.is_zero(), "{}", pair.logs());
    // What stands still for longer than a lease is the machine.
    if seen.lateness < Duration::from_nanos(TIMING.lease.0) {
        assert_eq!(seen.moves(), 0, "{}", pair.logs());
    }
}
