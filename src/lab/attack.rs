//! An attacker with a port of the switch: forged heartbeats, a lying announcement, and old frames played back.
//!
//! Frames are put on the wire at the switch's end of a cable, by packet sockets: the nodes' own cables carry them, and no cut of the drill is in the way.

use std::collections::VecDeque;
use std::io::Read;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;
use socket2::Socket;

use super::flood::packet_socket;
use super::frames;
use super::lab::{BOTH, Lab};
use super::plan::CableId;
use super::recipe::witness_port;
use twinbeat_core::id::{Mac, NodeId};
use twinbeat_host::neighbour::{Advertisement, Arp, BROADCAST, multicast_mac};

/// The attacker's MAC: nobody's.
pub const ATTACKER_MAC: Mac = Mac([2, 0, 0, 0, 0, 0x66]);
/// The third machine's, which has the address by mistake.
pub const STRANGER_MAC: Mac = Mac([2, 0, 0, 0, 0, 0x99]);

/// Frames and the cables that they came over, oldest first.
type Heard = VecDeque<(CableId, Vec<u8>)>;

/// Listens to the heartbeats on their way to each node, to play them back later. Dropping it ends that.
#[derive(Debug)]
pub struct Tap {
    heard: Arc<Mutex<[Heard; 2]>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Tap {
    /// Starts to listen at every port of the switch that leads to a node.
    pub fn start(lab: &Lab) -> Result<Tap> {
        let mut tap = Tap { heard: Arc::default(), stop: Arc::default(), threads: Vec::new() };
        for node in BOTH {
            for cable in lab.plan.all() {
                let mut socket = packet_socket(&lab.switch, &lab.plan.port(cable, node))?;
                let (mac, port) = (lab.plan.end(cable, node).mac, lab.plan.port);
                let (heard, stop) = (Arc::clone(&tap.heard), Arc::clone(&tap.stop));
                let listen = move || {
                    let mut buffer = [0u8; 2048];
                    while !stop.load(Ordering::Relaxed) {
                        let Ok(length) = socket.read(&mut buffer) else { continue };
                        let frame = &buffer[..length];
                        if frame.starts_with(&mac.0) && frames::udp_port(frame) == Some(port) {
                            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                            let ring = &mut heard[node.index()];
                            ring.push_back((cable, frame.to_vec()));
                            if ring.len() > KEPT {
                                ring.pop_front();
                            }
                        }
                    }
                };
                tap.threads.push(lab.switch.spawn("tap", listen)?);
            }
        }
        Ok(tap)
    }

    /// Plays this many of a node's old heartbeats back to it, spread over all that were heard; how many there were.
    pub fn play_back(&self, lab: &Lab, node: NodeId, count: usize) -> Result<usize> {
        let old: Vec<(CableId, Vec<u8>)> = {
            let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            let ring = &heard[node.index()];
            let step = ring.len().div_ceil(count.max(1)).max(1);
            ring.iter().step_by(step).take(count).cloned().collect()
        };
        for (cable, frame) in &old {
            let socket = packet_socket(&lab.switch, &lab.plan.port(*cable, node))?;
            let _ = socket.send(frame);
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(old.len())
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Forged heartbeats to both nodes on every cable, in the other's name; and to everybody on the LAN the lie that a group's VIPs are the attacker's.
pub fn forge(lab: &Lab, group: usize) -> Result<()> {
    let plan = &lab.plan;
    for node in BOTH {
        for cable in plan.all() {
            let (own, peer) = (plan.end(cable, node), plan.end(cable, node.other()));
            let socket = packet_socket(&lab.switch, &plan.port(cable, node))?;
            for (to, _) in &own.addresses {
                let Some((from, _)) = peer.addresses.iter().find(|(ip, _)| ip.is_ipv4() == to.is_ipv4()) else { continue };
                let frame = frames::datagram((peer.mac, *from), (own.mac, *to), plan.port, &[0x5a; 200])?;
                for _ in 0..FORGED {
                    let _ = socket.send(&frame);
                }
            }
        }
    }
    let vips: Vec<IpAddr> = plan.groups.get(group).into_iter().flat_map(|g| &g.vips).map(|((ip, _), _)| *ip).collect();
    // As a broadcast would: all at once, and the owner cannot answer before the witnesses have heard it.
    let everybody = (0..plan.witnesses.len()).map(witness_port).chain(BOTH.map(|node| plan.port(plan.public, node)));
    let sockets = everybody.map(|port| packet_socket(&lab.switch, &port)).collect::<Result<Vec<Socket>>>()?;
    for vip in &vips {
        let lie = announcement(*vip);
        sockets.iter().for_each(|socket| drop(socket.send(&lie)));
    }
    Ok(())
}

/// "This address is mine", to everybody.
fn announcement(vip: IpAddr) -> Vec<u8> {
    match vip {
        IpAddr::V4(vip) => {
            let nobody = (Mac([0; 6]), vip);
            Arp { from: ATTACKER_MAC, to: BROADCAST, request: true, sender: (ATTACKER_MAC, vip), target: nobody }.frame()
        }
        IpAddr::V6(vip) => {
            let all = std::net::Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
            let lie = Advertisement {
                from: ATTACKER_MAC,
                to: multicast_mac(all),
                source: vip,
                destination: all,
                target: vip,
                link: Some(ATTACKER_MAC),
                solicited: false,
                overriding: true,
            };
            lie.frame()
        }
    }
}

/// How many heartbeats are kept for each node.
const KEPT: usize = 256;
/// How many forged heartbeats a cable sees at once.
const FORGED: usize = 8;
