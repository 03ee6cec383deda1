//! Echoes from the own address, on the real kernel.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says so by dying")]

use tokio::sync::mpsc;

use super::*;
use crate::public::lab::{Family, V4, V6, in_ns, lan};

fn config(family: Family, witnesses: &[&str]) -> EchoConfig {
    EchoConfig {
        interface: "eth0".into(),
        own: vec![family.own[0].parse().unwrap()],
        witnesses: witnesses.iter().map(|witness| witness.parse().unwrap()).collect(),
        timeout: Duration::from_millis(300),
    }
}

fn into(replies: mpsc::Sender<EchoReply>) -> impl Fn(EchoReply) + Send + Sync {
    move |reply| {
        let _ = replies.try_send(reply);
    }
}

fn cpu() -> Duration {
    nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID.now().unwrap().into()
}

#[test]
fn only_a_witness_that_answers_is_heard() {
    let Some(lan) = lan() else { return };
    // The gateway says "unreachable" for the one, nobody has the other.
    lan.ip("gw", "route add unreachable 10.77.0.0/16");
    lan.ip("gw", "-6 route add unreachable fd77::/64");
    lan.ip("a", &format!("route add default via {}", V4.gateway));
    lan.ip("a", &format!("-6 route add default via {}", V6.gateway));
    for (family, absent, unreachable) in [(V4, "10.9.0.77", "10.77.0.1"), (V6, "fd09::77", "fd77::1")] {
        let config = config(family, &[family.gateway, absent, unreachable]);
        let heard = in_ns(&lan.ns("a"), async move {
            let (replies, mut inbox) = mpsc::channel(64);
            let mut echoes = Echoes::new(config, into(replies));
            assert!(matches!(echoes.send(WitnessId(0), 0), Err(EchoError::Closed(_))));
            echoes.open().unwrap();
            assert!(echoes.is_open(WitnessId(0)) && echoes.is_current());
            assert!(matches!(echoes.send(WitnessId(9), 0), Err(EchoError::Unknown(_))));
            for number in 0..30 {
                for witness in 0..3 {
                    echoes.send(WitnessId(witness), (1 << 40) + number).unwrap();
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            tokio::time::sleep(Duration::from_millis(400)).await;
            assert_eq!(echoes.in_flight.available_permits(), IN_FLIGHT_MAX, "nothing waits for ever");
            let mut heard = Vec::new();
            while let Ok(reply) = inbox.try_recv() {
                heard.push((reply.witness, reply.number));
            }
            heard
        })
        .join()
        .unwrap();
        let all: Vec<_> = (0..30).map(|number| (WitnessId(0), (1 << 40) + number)).collect();
        assert_eq!(heard, all, "{}", family.name);
    }
}

#[test]
fn an_interface_that_comes_later_is_a_typed_error_and_then_works() {
    let Some(lan) = lan() else { return };
    lan.ip("sw", "link del pa");
    let (again, mut plugged) = mpsc::channel::<()>(1);
    let (step, steps) = std::sync::mpsc::channel::<bool>();
    let config = config(V4, &[V4.gateway]);
    let thread = in_ns(&lan.ns("a"), async move {
        let (replies, mut inbox) = mpsc::channel(64);
        let mut echoes = Echoes::new(config, into(replies));
        step.send(matches!(echoes.open(), Err(EchoError::Unavailable { .. }))).unwrap();
        for number in 0..2 {
            plugged.recv().await;
            step.send(!echoes.is_current() && echoes.open().is_ok()).unwrap();
            echoes.send(WitnessId(0), number).unwrap();
            let reply = tokio::time::timeout(Duration::from_secs(1), inbox.recv()).await;
            step.send(matches!(reply, Ok(Some(reply)) if reply.number == number)).unwrap();
        }
    });
    assert!(steps.recv().unwrap(), "missing");
    for _ in 0..2 {
        lan.plug("a", "02:00:00:00:00:0a");
        lan.ip("a", &format!("addr add {}/24 dev eth0", V4.own[0]));
        again.blocking_send(()).unwrap();
        assert!(steps.recv().unwrap(), "opened");
        assert!(steps.recv().unwrap(), "answered");
        lan.ip("sw", "link del pa");
    }
    thread.join().unwrap();
}

/// Figures rather than a judgement.
#[test]
fn echoes_are_cheap() {
    let Some(lan) = lan() else { return };
    let config = config(V4, &[V4.gateway]);
    let (idle, busy, took) = in_ns(&lan.ns("a"), async move {
        let (replies, mut inbox) = mpsc::channel(1024);
        let mut echoes = Echoes::new(config, into(replies));
        echoes.open().unwrap();
        let mut spent = Vec::new();
        let before = cpu();
        for _ in 0..30 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        println!("a bare wake-up ten times a second: {:?} CPU each", (cpu() - before) / 30);
        for (count, period) in [(30_u64, 100), (400, 5)] {
            let before = cpu();
            for number in 0..count {
                echoes.send(WitnessId(0), number).unwrap();
                tokio::time::sleep(Duration::from_millis(period)).await;
            }
            spent.push((cpu() - before) / count as u32);
        }
        let mut took = Vec::new();
        while let Ok(reply) = inbox.try_recv() {
            took.push(reply.took);
        }
        took.sort();
        assert_eq!(took.len(), 430);
        (spent[0], spent[1], took[215])
    })
    .join()
    .unwrap();
    println!("own echoes: {idle:?} CPU each at 10/s, {busy:?} each at 200/s; median round trip {took:?}");
    assert!(idle < Duration::from_millis(1));
}

/// ICMP messages of the gateway's about the first thirty echoes: replies without the payload, and errors that quote them.
fn forged(own: std::net::Ipv4Addr, gateway: std::net::Ipv4Addr) -> Vec<Vec<u8>> {
    let sealed = |mut message: Vec<u8>| {
        let sum = pnet::util::checksum(&message, 1);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        message
    };
    let identifier = (std::process::id() as u16).to_be_bytes();
    let mut all = Vec::new();
    for number in 0..30_u16 {
        let echo = |kind: u8| [&[kind, 0, 0, 0][..], &identifier, &number.to_be_bytes()].concat();
        all.push(sealed([echo(0), vec![0; 8]].concat()));
        let mut header = [&[0x45, 0, 0, 36, 0, 0, 0, 0, 64, 1, 0, 0][..], &own.octets(), &gateway.octets()].concat();
        let sum = pnet::util::checksum(&header, 5);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        all.push(sealed([vec![3, 1, 0, 0, 0, 0, 0, 0], header, echo(8)].concat()));
    }
    all
}

#[test]
fn nobody_who_does_not_see_the_echoes_answers_for_a_witness_or_ends_one() {
    let Some(lan) = lan() else { return };
    let config = config(V4, &[V4.gateway]);
    let (own, gateway): (std::net::Ipv4Addr, std::net::Ipv4Addr) = (V4.own[0].parse().unwrap(), V4.gateway.parse().unwrap());
    let over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (stop, sent) = (Arc::clone(&over), Arc::new(std::sync::atomic::AtomicU64::new(0)));
    let count = Arc::clone(&sent);
    // From the gateway itself: nothing but the payload tells its words from its kernel's.
    let forger = in_ns(&lan.ns("gw"), async move {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, Type::RAW, Some(socket2::Protocol::ICMPV4)).unwrap();
        let to = socket2::SockAddr::from(SocketAddr::from((own, 0)));
        let messages = forged(own, gateway);
        while !stop.load(std::sync::atomic::Ordering::Relaxed) {
            for message in &messages {
                let _ = socket.send_to(message, &to);
                count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        }
    });
    let quiet = |on: u8| lan.sh("gw", &format!("sysctl -qw net.ipv4.icmp_echo_ignore_all={on}"));
    let mut heard = Vec::new();
    for (dark, wanted) in [(1, 0), (0, 30)] {
        quiet(dark);
        let config = config.clone();
        let came = in_ns(&lan.ns("a"), async move {
            let (replies, mut inbox) = mpsc::channel(256);
            let mut echoes = Echoes::new(config, into(replies));
            echoes.open().unwrap();
            for number in 0..30 {
                echoes.send(WitnessId(0), number).unwrap();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            tokio::time::sleep(Duration::from_millis(400)).await;
            let mut came = 0;
            while inbox.try_recv().is_ok() {
                came += 1;
            }
            came
        });
        heard.push((came.join().unwrap(), wanted));
    }
    over.store(true, std::sync::atomic::Ordering::Relaxed);
    forger.join().unwrap();
    println!("{} forged messages", sent.load(std::sync::atomic::Ordering::Relaxed));
    assert!(heard.iter().all(|(came, wanted)| came == wanted), "heard and wanted, dark and not: {heard:?}");
}
