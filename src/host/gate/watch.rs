//! Tells when a foreign hand removes or changes anything of the gate's tables: `nft flush ruleset`, `nft delete table`, `nft flush table`,
//! `nft flush set`, a single rule or element.

use std::io::{self, PipeWriter};
use std::thread::JoinHandle;

use netlink_packet_netfilter::nftables::{
    ChainAttribute, NfTablesMessage, RuleAttribute, SetAttribute, SetElementList, TableAttribute,
};
use netlink_packet_netfilter::{NetfilterMessage, NetfilterMessageInner};

use super::family::Family;
use crate::netlink::{Channel, Heard};

/// What was seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Damage {
    /// A table, chain, rule, set or guarded address of it was removed: it may guard nothing.
    Removed,
    /// Something of it was added or changed, or an open address closed.
    Changed,
    /// Events were lost: ask.
    Unknown,
}

/// The watching thread; it ends when this is dropped.
pub struct Watch {
    /// Closed, it ends the thread.
    alive: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

/// Watches both tables of a name from a thread of its own. `own` is the port of the gate's socket ([`super::Gate::port`]).
pub fn watch(table: &str, own: u32, mut report: impl FnMut(Damage) + Send + 'static) -> io::Result<Watch> {
    let mut channel = Channel::listen(netlink_sys::protocols::NETLINK_NETFILTER, &[NFNLGRP_NFTABLES])?;
    channel.deaf_to(own)?;
    let (end, alive) = io::pipe()?;
    let table = table.to_owned();
    let thread = std::thread::Builder::new().name("gate-watch".to_owned()).spawn(move || {
        loop {
            match channel.hear::<NetfilterMessage>(&end) {
                Ok(Heard::Nothing) => {}
                Ok(Heard::Ended) => return,
                Ok(Heard::Lost) => report(Damage::Unknown),
                Ok(Heard::Messages(messages)) => {
                    let damages = messages.iter().filter(|(header, _)| header.port_number != own);
                    let mut seen: Vec<Damage> = damages.filter_map(|(_, message)| damage(&table, message)).collect();
                    seen.dedup();
                    seen.into_iter().for_each(&mut report);
                }
                Err(_) => return report(Damage::Unknown),
            }
        }
    })?;
    Ok(Watch { alive: Some(alive), thread: Some(thread) })
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.alive = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Everything of the tables counts: an added rule or element may let through what a removed one kept out. An element that expires
/// makes no event.
fn damage(name: &str, message: &NetfilterMessage) -> Option<Damage> {
    use NfTablesMessage as M;
    if !Family::BOTH.iter().any(|family| message.header.family == family.proto()) {
        return None;
    }
    let NetfilterMessageInner::NfTables(inner) = &message.inner else { return None };
    let ours = match inner {
        M::NewTable(m) | M::DeleteTable(m) => m.attributes.iter().any(|a| matches!(a, TableAttribute::Name(n) if n == name)),
        M::NewChain(m) | M::DeleteChain(m) => m.attributes.iter().any(|a| matches!(a, ChainAttribute::Table(n) if n == name)),
        M::NewRule(m) | M::DeleteRule(m) => m.attributes.iter().any(|a| matches!(a, RuleAttribute::Table(n) if n == name)),
        M::NewSet(m) | M::DeleteSet(m) => m.attributes.iter().any(|a| matches!(a, SetAttribute::Table(n) if n == name)),
        M::NewSetElement(m) | M::DeleteSetElement(m) => {
            m.attributes.iter().any(|a| matches!(a, SetElementList::Table(n) if n == name))
        }
        _ => false,
    };
    let removed = match inner {
        M::DeleteTable(_) | M::DeleteChain(_) | M::DeleteRule(_) | M::DeleteSet(_) => true,
        // The list of guarded addresses is counted; which addresses are open is not.
        M::DeleteSetElement(m) => m.attributes.iter().any(|a| matches!(a, SetElementList::Set(set) if set.starts_with("vip"))),
        _ => false,
    };
    ours.then_some(if removed { Damage::Removed } else { Damage::Changed })
}

/// include/uapi/linux/netfilter/nfnetlink.h
const NFNLGRP_NFTABLES: u32 = 7;
