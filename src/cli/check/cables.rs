//! Are cables crossed? The peer's heartbeats name the link that they were sent on by their addresses: those of one link that arrive on the
//! interface of another one, and on no other, came through the wrong cable.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};

use super::answers::std_of;
use super::finding::{Finding, Level};
use twinbeat_config::{Config, LinkConfig, RELAY};
use twinbeat_core::id::NodeId;
use twinbeat_core::view::View;
use twinbeat_core::words::LinkCondition;
use twinbeat_host::packet::PacketSocket;

/// Of each interface at the most.
const MOST_FRAMES: usize = 20_000;
/// A slow heartbeat is not waited for any longer.
const LONGEST: Duration = Duration::from_secs(5);

/// Listens for the peer's heartbeats on every link's interface, unless all links work; a finding for each link whose own arrive elsewhere.
pub(super) fn crossed(config: &Config, me: NodeId, view: Option<&View>) -> Vec<Finding> {
    if view.is_some_and(|view| view.links.iter().all(|link| link.name == RELAY || link.state == LinkCondition::Ok)) {
        return Vec::new();
    }
    let (Some(mine), Some(theirs)) = (config.nodes.get(me.index()), config.nodes.get(me.other().index())) else {
        return Vec::new();
    };
    let wires: Vec<(&LinkConfig, IpAddr)> = mine.links.iter().zip(&theirs.links).map(|(own, peer)| (own, peer.address)).collect();
    let time = (std_of(config.timing.heartbeat) * 2 + std_of(config.timing.delivery)).min(LONGEST);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let seen = runtime.map(|runtime| {
        runtime.block_on(async {
            let until = Instant::now() + time;
            let on = |at: usize, interface: &str| {
                let (wires, socket) = (&wires, PacketSocket::open_for_all(interface));
                async move {
                    let Ok(socket) = socket else { return BTreeSet::new() };
                    listen(&socket, config.port, wires, until).await.into_iter().map(|link| (link, at)).collect()
                }
            };
            join_all(wires.iter().enumerate().map(|(at, (own, _))| on(at, &own.interface))).await
        })
    });
    // (of which link, on whose interface)
    let seen: BTreeSet<(usize, usize)> = seen.unwrap_or_default().into_iter().flatten().collect();
    let wrong = seen.iter().filter(|(link, at)| link != at && !seen.contains(&(*link, *link)));
    let line = |(link, at): &(usize, usize)| {
        let ((own, _), (other, _)) = (wires.get(*link)?, wires.get(*at)?);
        let text = format!(
            "{}'s heartbeats of this link arrive on {} (link {}) and not on {}: cables are crossed at one end; exchange them, or the interfaces in the file",
            theirs.name, other.interface, other.name, own.interface
        );
        Some(Finding::new(Level::Fail, format!("link {}", own.name), text))
    };
    wrong.filter_map(line).collect()
}

/// The links whose heartbeats arrive here.
async fn listen(socket: &PacketSocket, port: u16, wires: &[(&LinkConfig, IpAddr)], until: Instant) -> BTreeSet<usize> {
    let (mut found, mut buffer) = (BTreeSet::new(), [0; 2048]);
    for _ in 0..MOST_FRAMES {
        let Ok(Ok(length)) = timeout_at(until, socket.recv(&mut buffer)).await else { break };
        let Some((source, target)) = buffer.get(..length).and_then(|frame| datagram(frame, port)) else { continue };
        found.extend(wires.iter().position(|(own, peer)| own.address == target && *peer == source));
    }
    found
}

/// Source and destination of a UDP datagram for a port (RFC 791, RFC 8200 without extension headers, RFC 768).
fn datagram(frame: &[u8], port: u16) -> Option<(IpAddr, IpAddr)> {
    let kind = frame.get(12..14)?;
    let packet = frame.get(14..)?;
    let (source, target, udp): (IpAddr, IpAddr, &[u8]) = match kind {
        [0x08, 0x00] if packet.get(9) == Some(&17) => {
            let address = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(at..at.saturating_add(4))?).ok()?));
            let header = usize::from(packet.first()? & 0x0f).saturating_mul(4);
            (address(12)?.into(), address(16)?.into(), packet.get(header..)?)
        }
        [0x86, 0xdd] if packet.get(6) == Some(&17) => {
            let address = |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(packet.get(at..at.saturating_add(16))?).ok()?));
            (address(8)?.into(), address(24)?.into(), packet.get(40..)?)
        }
        _ => return None,
    };
    (udp.get(2..4)? == port.to_be_bytes()).then_some((source, target))
}

#[cfg(all(test, feature = "lab"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use twinbeat_core::id::Mac;
    use twinbeat_lab::flood::datagram as made;

    #[test]
    fn a_datagram_says_from_where_to_where_it_goes_and_nothing_else_does() {
        let (from, to) = (Ipv4Addr::new(10, 1, 1, 2), Ipv4Addr::new(10, 1, 1, 1));
        let mac = Mac([2, 0, 0, 0, 0, 1]);
        let frame = made((mac, from), (mac, to), 694, b"beat").unwrap();
        assert_eq!(datagram(&frame, 694), Some((from.into(), to.into())));
        assert_eq!(datagram(&frame, 695), None);
        for length in 0..38 {
            assert_eq!(datagram(&frame[..length], 694), None, "{length}");
        }
        let mut v6 = vec![0; 14 + 40];
        (v6[12], v6[13], v6[14], v6[20], v6[14 + 23], v6[14 + 39]) = (0x86, 0xdd, 0x60, 17, 1, 2);
        v6.extend([0, 1, 0x02, 0xb6, 0, 8, 0, 0]);
        let [one, two] = [1, 2].map(|n| IpAddr::from(Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, n)));
        assert_eq!(datagram(&v6, 694), Some((one, two)));
    }
}
