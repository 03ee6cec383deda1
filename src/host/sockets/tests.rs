//! On a real wire: two network namespaces and a veth between them. Needs root; says so and does nothing without it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use std::fs::File;
use std::future::Future;
use std::net::UdpSocket as StdSocket;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use socket2::SockRef;
use tokio::time::timeout;

use super::*;

const SOON: Duration = Duration::from_secs(2);
const NOTHING: Duration = Duration::from_millis(60);

/// Two machines with one cable. `.1` and `::1` here, `.2` and `::2` there.
struct Lab {
    here: String,
    there: String,
}

fn ip(args: &str) -> bool {
    let out = Command::new("ip").args(args.split_whitespace()).output();
    out.is_ok_and(|out| {
        if !out.status.success() {
            eprintln!("ip {args}: {}", String::from_utf8_lossy(&out.stderr).trim());
        }
        out.status.success()
    })
}

impl Lab {
    /// None, and a line that says why, where no namespace can be made.
    fn new() -> Option<Lab> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("tbw-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let lab = Lab { here: format!("{name}a"), there: format!("{name}b") };
        if !nix::unistd::geteuid().is_root() || !ip(&format!("netns add {}", lab.here)) {
            println!("skipped: network namespaces need root and iproute2");
            return None;
        }
        assert!(ip(&format!("netns add {}", lab.there)));
        lab.plug();
        Some(lab)
    }

    fn plug(&self) {
        let Lab { here, there } = self;
        assert!(ip(&format!("-n {here} link add x0 type veth peer name x0 netns {there}")));
        for (netns, host) in [(here, 1), (there, 2)] {
            assert!(ip(&format!("-n {netns} addr add 10.9.9.{host}/24 dev x0")));
            assert!(ip(&format!("-n {netns} addr add fd09::{host}/64 dev x0 nodad")));
            assert!(ip(&format!("-n {netns} link set x0 up")));
            assert!(ip(&format!("-n {netns} link set lo up")));
        }
    }

    /// Runs with this thread in the first namespace.
    fn run<T: Send + 'static, F: Future<Output = T>>(&self, story: impl FnOnce() -> F + Send + 'static) -> T {
        let netns = self.here.clone();
        std::thread::spawn(move || {
            enter(&netns);
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(story())
        })
        .join()
        .unwrap()
    }

    /// A plain socket of the other machine.
    fn there(&self, local: &str) -> StdSocket {
        let (netns, local) = (self.there.clone(), local.to_owned());
        std::thread::spawn(move || {
            enter(&netns);
            StdSocket::bind(local).unwrap()
        })
        .join()
        .unwrap()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        ip(&format!("netns del {}", self.here));
        ip(&format!("netns del {}", self.there));
    }
}

fn enter(netns: &str) {
    setns(File::open(format!("/run/netns/{netns}")).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
}

fn ours(v6: bool) -> (SocketAddr, SocketAddr) {
    let (local, peer) = if v6 { ("[fd09::1]:4700", "[fd09::2]:4700") } else { ("10.9.9.1:4700", "10.9.9.2:4700") };
    (local.parse().unwrap(), peer.parse().unwrap())
}

fn hops(socket: &StdSocket, n: u32) {
    let socket = SockRef::from(socket);
    if socket.local_addr().unwrap().is_ipv4() { socket.set_ttl_v4(n) } else { socket.set_unicast_hops_v6(n) }.unwrap();
}

/// Frames pass in one direction alone: the kernel's questions for the peer's MAC stay without an answer.
#[test]
fn heartbeats_go_on_though_the_peer_answers_no_neighbour_question() {
    let Some(lab) = Lab::new() else { return };
    for family in ["ipv4", "ipv6"] {
        // Impatient, so that the test is not: an entry that nobody confirms is gone after about 1.6 s.
        for (setting, value) in [
            ("base_reachable_time_ms", 500),
            ("delay_first_probe_time", 1),
            ("ucast_solicit", 1),
            ("mcast_solicit", 1),
            ("retrans_time_ms", 100),
        ] {
            assert!(ip(&format!("netns exec {} sysctl -qw net.{family}.neigh.x0.{setting}={value}", lab.here)));
        }
    }
    for v6 in [false, true] {
        let (local, peer) = ours(v6);
        let there = lab.there(&peer.to_string());
        there.set_read_timeout(Some(SOON)).unwrap();
        let deaf = format!("ip -n {} link set x0 multicast off arp off", lab.there);
        lab.run(move || async move {
            let link = LinkSocket::open("x0", local, peer).unwrap();
            let mut buf = [0; BUFFER];
            assert!(matches!(link.try_send(b"first"), Sent::Yes));
            there.recv(&mut buf).unwrap();
            assert!(Command::new("sh").args(["-c", &deaf]).status().unwrap().success());
            for number in 0..40u8 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                assert!(matches!(link.try_send(&[number]), Sent::Yes), "number {number}");
                assert_eq!((there.recv(&mut buf).unwrap(), buf[0]), (1, number));
            }
        });
        assert!(ip(&format!("-n {} link set x0 multicast on arp on", lab.there)));
    }
}

#[test]
fn only_the_peer_and_only_from_this_wire_is_heard() {
    let Some(lab) = Lab::new() else { return };
    assert!(ip(&format!("-n {} addr add 10.9.9.3/24 dev x0", lab.there)));
    assert!(ip(&format!("-n {} addr add fd09::3/64 dev x0 nodad", lab.there)));
    for v6 in [false, true] {
        let (local, peer) = ours(v6);
        let there = lab.there(&peer.to_string());
        let other_port = lab.there(&SocketAddr::new(peer.ip(), 4701).to_string());
        let stranger = lab.there(if v6 { "[fd09::3]:4700" } else { "10.9.9.3:4700" });
        lab.run(move || async move {
            let link = LinkSocket::open("x0", local, peer).unwrap();
            let mut buf = [0; BUFFER];
            for foreign in [&other_port, &stranger] {
                hops(foreign, 255);
                foreign.send_to(b"foreign", local).unwrap();
            }
            for n in [1, 64, 254] {
                hops(&there, n);
                there.send_to(b"through a router", local).unwrap();
            }
            assert!(timeout(NOTHING, link.recv(&mut buf)).await.is_err(), "v6 {v6}: heard {:?}", &buf[..16]);
            hops(&there, 255);
            there.send_to(b"beat", local).unwrap();
            let event = timeout(SOON, link.recv(&mut buf)).await.unwrap().unwrap();
            assert_eq!((event, &buf[..4]), (RecvEvent::Frame(4), &b"beat"[..]));
            there.send_to(&vec![7; MAX_FRAME + 500], local).unwrap();
            let event = timeout(SOON, link.recv(&mut buf)).await.unwrap().unwrap();
            assert_eq!(event, RecvEvent::Frame(BUFFER), "a datagram that is too long shows as such");

            assert!(matches!(link.try_send(b"hello"), Sent::Yes));
            there.set_read_timeout(Some(SOON)).unwrap();
            let (len, from) = there.recv_from(&mut buf).unwrap();
            assert_eq!((&buf[..len], from), (&b"hello"[..], local));
        });
    }
}

#[test]
fn what_we_send_is_heard_by_our_own_kind() {
    let Some(lab) = Lab::new() else { return };
    for v6 in [false, true] {
        let (local, peer) = ours(v6);
        let netns = lab.there.clone();
        let other = std::thread::spawn(move || {
            enter(&netns);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let link = LinkSocket::open("x0", peer, local).unwrap();
                let mut buf = [0; BUFFER];
                let mut frames = 0;
                while frames < 200 {
                    let wake = link.receive(&mut buf, |event, frame| {
                        assert_eq!((event, frame.len()), (RecvEvent::Frame(300), 300));
                        frames += 1;
                    });
                    timeout(SOON, wake).await.unwrap().unwrap();
                }
            });
        });
        lab.run(move || async move {
            let link = LinkSocket::open("x0", local, peer).unwrap();
            let mut refused = 0;
            // Until the other one is there, and then until it has heard enough.
            while !other.is_finished() {
                refused += u32::from(matches!(link.try_send(&[1; 300]), Sent::YesAfterRefusal));
                tokio::time::sleep(Duration::from_micros(500)).await;
            }
            println!("v6 {v6}: {refused} refused before the other socket was open");
            other.join().unwrap();
        });
    }
}

#[test]
fn a_refused_port_is_told_and_costs_no_heartbeat() {
    let Some(lab) = Lab::new() else { return };
    let (local, peer) = ours(false);
    let watcher = lab.there("10.9.9.2:4999"); // keeps nothing at 4700
    let there = lab.there.clone();
    lab.run(move || async move {
        let link = LinkSocket::open("x0", local, peer).unwrap();
        let mut buf = [0; BUFFER];
        assert!(matches!(link.try_send(b"1"), Sent::Yes));
        assert_eq!(timeout(SOON, link.recv(&mut buf)).await.unwrap().unwrap(), RecvEvent::PortRefused);
        assert!(timeout(NOTHING, link.recv(&mut buf)).await.is_err(), "told once");
        drop(watcher);

        // Nobody read the refusal before the next send: that send must not be lost to it. (One refusal a second: ICMP's limit.)
        tokio::time::sleep(Duration::from_millis(1100)).await;
        assert!(matches!(link.try_send(b"2"), Sent::Yes));
        std::thread::sleep(Duration::from_millis(50));
        let socket = std::thread::spawn(move || {
            enter(&there);
            StdSocket::bind("10.9.9.2:4700").unwrap()
        });
        let socket = socket.join().unwrap();
        assert!(matches!(link.try_send(b"3"), Sent::YesAfterRefusal));
        socket.set_read_timeout(Some(SOON)).unwrap();
        let (len, _) = socket.recv_from(&mut buf).unwrap();
        assert_eq!(&buf[..len], b"3");
    });
}

#[test]
fn one_wake_up_takes_no_more_than_its_budget() {
    let Some(lab) = Lab::new() else { return };
    let (local, peer) = ours(false);
    let there = lab.there(&peer.to_string());
    lab.run(move || async move {
        let link = LinkSocket::open("x0", local, peer).unwrap();
        hops(&there, 255);
        for _ in 0..twinbeat_wire::FRAMES_PER_WAKE + 3 {
            there.send_to(b"beat", local).unwrap();
        }
        let mut buf = [0; BUFFER];
        for wanted in [twinbeat_wire::FRAMES_PER_WAKE, 3] {
            let mut frames = 0;
            timeout(SOON, link.receive(&mut buf, |_, _| frames += 1)).await.unwrap().unwrap();
            assert_eq!(frames, wanted);
        }
    });
}

#[test]
fn what_is_missing_is_named_so_that_one_can_wait_for_it() {
    let Some(lab) = Lab::new() else { return };
    let (local, peer) = ours(false);
    lab.run(move || async move {
        let open = |interface: &str, local: &str| LinkSocket::open(interface, local.parse().unwrap(), peer).unwrap_err();
        assert!(matches!(open("x9", "10.9.9.1:4700"), OpenError::NoInterface(name) if name == "x9"));
        assert!(matches!(open("x0", "10.9.9.77:4700"), OpenError::NoAddress(_)));
        assert!(matches!(open("x0", "[fd09::1]:4700"), OpenError::Family { .. }));
        let first = LinkSocket::open("x0", local, peer).unwrap();
        let taken = open("x0", "10.9.9.1:4700");
        assert!(matches!(taken, OpenError::PortTaken(_)) && taken.may_pass(), "{taken}");
        drop(first);
        LinkSocket::open("x0", local, peer).unwrap();
    });
}

#[test]
fn an_interface_that_came_back_needs_a_new_socket_and_a_lost_address_does_not() {
    let Some(lab) = Lab::new() else { return };
    let (local, peer) = ours(false);
    let (here, there) = (lab.here.clone(), lab.there.clone());
    lab.run(move || async move {
        let link = LinkSocket::open("x0", local, peer).unwrap();
        assert!(matches!(link.try_send(b"1"), Sent::Yes) && !link.is_stale());

        assert!(ip(&format!("-n {here} addr del 10.9.9.1/24 dev x0")));
        let sent = link.try_send(b"2");
        println!("without the address: {sent:?}");
        assert!(matches!(sent, Sent::Unreachable), "{sent:?}");
        assert!(ip(&format!("-n {here} addr add 10.9.9.1/24 dev x0")));
        let sent = link.try_send(b"3");
        assert!(matches!(sent, Sent::Yes | Sent::YesAfterRefusal) && !link.is_stale(), "{sent:?}");

        assert!(ip(&format!("-n {here} link set x0 down")));
        let sent = link.try_send(b"4");
        println!("with the interface down: {sent:?}");
        assert!(!matches!(sent, Sent::Yes | Sent::YesAfterRefusal | Sent::Failed(_)), "{sent:?}");
        assert!(matches!(LinkSocket::open("x0", local, peer), Err(error) if error.may_pass()));
        assert!(ip(&format!("-n {here} link set x0 up")));
        let sent = link.try_send(b"5");
        assert!(matches!(sent, Sent::Yes | Sent::YesAfterRefusal), "{sent:?}");

        assert!(ip(&format!("-n {here} link del x0")));
        let sent = link.try_send(b"6");
        println!("without the interface: {sent:?}");
        assert!(link.is_stale() && matches!(sent, Sent::Gone), "{sent:?}");
        Lab { here, there }.replug();
        assert!(link.is_stale() && matches!(link.try_send(b"7"), Sent::Gone), "the name is the same, the interface is not");
        drop(link);
        LinkSocket::open("x0", local, peer).unwrap();
    });
}

impl Lab {
    /// Plugs the cable in again, without becoming the one who clears up.
    fn replug(self) {
        std::mem::ManuallyDrop::new(self).plug();
    }
}
