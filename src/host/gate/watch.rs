//! Tells when a foreign hand removes or changes the gate's table: `nft flush ruleset`, `nft delete table`, `nft flush table`.

use std::io::{self, PipeWriter};
use std::thread::JoinHandle;

use netlink_packet_netfilter::nftables::{ChainAttribute, NfTablesMessage, RuleAttribute, SetAttribute, TableAttribute};
use netlink_packet_netfilter::{NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily};

use crate::host::netlink::{Channel, Heard};

/// What was seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Damage {
    /// The table was deleted.
    Table,
    /// Rules, chains or sets of it were deleted, or its flags changed: it may guard nothing.
    Rules,
    /// Events were lost: ask.
    Unknown,
}

/// The watching thread; it ends when this is dropped.
pub struct Watch {
    /// Closed, it ends the thread.
    alive: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

/// Watches a table from a thread of its own. `own` is the port of the gate's socket ([`super::Gate::port`]).
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
                    let mut seen: Vec<Damage> =
                        damages.filter_map(|(header, message)| damage(&table, message, header.port_number == 0)).collect();
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

/// The kernel itself (port 0) deletes the chains of an interface that leaves: no damage.
fn damage(table: &str, message: &NetfilterMessage, by_kernel: bool) -> Option<Damage> {
    if message.header.family != NetfilterProtoFamily::NetDev {
        return None;
    }
    let NetfilterMessageInner::NfTables(inner) = &message.inner else { return None };
    let (hit, damage) = match inner {
        NfTablesMessage::DeleteTable(m) => {
            (m.attributes.iter().any(|a| matches!(a, TableAttribute::Name(name) if name == table)), Damage::Table)
        }
        NfTablesMessage::NewTable(m) => {
            (m.attributes.iter().any(|a| matches!(a, TableAttribute::Name(name) if name == table)), Damage::Rules)
        }
        NfTablesMessage::DeleteChain(m) if !by_kernel => {
            (m.attributes.iter().any(|a| matches!(a, ChainAttribute::Table(name) if name == table)), Damage::Rules)
        }
        NfTablesMessage::DeleteRule(m) if !by_kernel => {
            (m.attributes.iter().any(|a| matches!(a, RuleAttribute::Table(name) if name == table)), Damage::Rules)
        }
        NfTablesMessage::DeleteSet(m) if !by_kernel => {
            (m.attributes.iter().any(|a| matches!(a, SetAttribute::Table(name) if name == table)), Damage::Rules)
        }
        _ => return None,
    };
    hit.then_some(damage)
}

/// include/uapi/linux/netfilter/nfnetlink.h
const NFNLGRP_NFTABLES: u32 = 7;
