//! What `check` asks of this machine: the gate, the packet sockets, the links. Nothing is changed but a scratch table that is
//! made and removed.

use std::net::IpAddr;

use super::check::{Check, Finding, Level};
use crate::config::Config;
use crate::core::id::NodeId;
use crate::core::io::InterfaceState;
use crate::host::gate::{self, GateSupport};
use crate::host::interfaces::Interfaces;
use crate::host::packet::PacketSocket;

/// All of them.
pub fn checks<'a>() -> Vec<Check<'a>> {
    vec![Box::new(gate_works), Box::new(links_are_there), Box::new(frames_can_be_sent)]
}

fn gate_works(config: &Config, _me: NodeId) -> Vec<Finding> {
    vec![match gate::probe() {
        GateSupport::Netdev => {
            Finding::new(Level::Ok, "gate", "nftables netdev with timeouts: closes by itself to the millisecond")
        }
        GateSupport::Weak { reason } => match config.require_weak_gate_timing() {
            Ok(_) => Finding::new(Level::Warn, "gate", format!("weak gate, address lifetimes alone: {reason}")),
            Err(error) => Finding::new(Level::Fail, "gate", format!("only a weak gate is possible ({reason}), and {error}")),
        },
        GateSupport::None { reason } => Finding::new(Level::Fail, "gate", format!("none can be made: {reason}")),
    }]
}

fn links_are_there(config: &Config, me: NodeId) -> Vec<Finding> {
    let Some(node) = config.nodes.get(me.index()) else { return Vec::new() };
    let wanted: Vec<(String, IpAddr)> = node.links.iter().map(|l| (l.interface.to_string(), l.address)).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let states = runtime.and_then(|r| r.block_on(async { Interfaces::new(wanted).map(|i| i.states().to_vec()) }));
    let states = match states {
        Ok(states) => states,
        Err(error) => return vec![Finding::new(Level::Fail, "links", format!("the interfaces cannot be read: {error}"))],
    };
    let words = |state| match state {
        InterfaceState::Up => (Level::Ok, "is there, with its address and carrier"),
        InterfaceState::NoCarrier => (Level::Warn, "has no carrier"),
        InterfaceState::NoAddress => (Level::Warn, "does not have its address"),
        InterfaceState::Missing => (Level::Warn, "does not exist (yet)"),
    };
    node.links
        .iter()
        .zip(states)
        .map(|(link, state)| {
            let (level, text) = words(state);
            Finding::new(level, format!("link {}", link.name), format!("{} {text} ({})", link.interface, link.address))
        })
        .collect()
}

fn frames_can_be_sent(config: &Config, me: NodeId) -> Vec<Finding> {
    let Some(link) = config.link(me, config.witness.link) else { return Vec::new() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let opened = runtime.map_err(|e| e.to_string()).and_then(|r| {
        r.block_on(async { PacketSocket::open(&link.interface, &[link.address]).map(drop).map_err(|e| e.to_string()) })
    });
    vec![match opened {
        Ok(()) => Finding::new(Level::Ok, "frames", format!("raw frames can be sent on {} (CAP_NET_RAW)", link.interface)),
        Err(why) => Finding::new(
            Level::Fail,
            "frames",
            format!("no raw frames on {}: {why}; probes, challenge and relay need them", link.interface),
        ),
    }]
}
