//! Finds out what gate this machine can have: by trying, in its own network namespace, and leaving nothing behind.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::family::Family;
use super::kernel::Gate;
use super::ruleset::Ruleset;
use crate::clock::now;
use twinbeat_core::time::Span;

/// What this machine can do in this network namespace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GateSupport {
    /// nftables' `arp` and `inet` hooks with set timeouts.
    Inet,
    /// Only address lifetimes: whole seconds, up to half a second late (SAFETY limit f).
    Weak {
        /// What is missing.
        reason: String,
    },
    /// Not even that: the daemon lacks a capability.
    None {
        /// Which.
        reason: String,
    },
}

/// Tries everything that the gate is made of, one after the other, for addresses that no machine has (RFC 5737, RFC 3849).
pub fn probe() -> GateSupport {
    let table = format!("twinbeat_probe_{}", std::process::id());
    let vips = vec![IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];
    let mut gate = match Gate::new(&table, vec![vips]) {
        Ok(gate) => gate,
        Err(error) => return GateSupport::Weak { reason: format!("no netfilter netlink socket: {error}") },
    };
    let tried = try_all(&mut gate, &table);
    let _ = gate.remove_all();
    match tried {
        Ok(()) => GateSupport::Inet,
        Err((_, error)) if error.raw_os_error() == Some(libc::EPERM) => {
            GateSupport::None { reason: "the capability CAP_NET_ADMIN is missing".to_owned() }
        }
        Err((what, error)) => GateSupport::Weak { reason: format!("this kernel refuses {what}: {error}") },
    }
}

fn try_all(gate: &mut Gate, table: &str) -> Result<(), (&'static str, io::Error)> {
    let rules = Ruleset { table };
    for (family, name) in [(Family::Arp, "an nftables table of family arp"), (Family::Inet, "an nftables table of family inet")] {
        gate.send(vec![rules.make_table(family)]).map_err(|error| (name, error))?;
        gate.send(rules.sets(family)).map_err(|error| ("nftables sets with timeouts", error))?;
    }
    gate.install().map_err(|error| ("nftables hooks and rules in the families arp and inet, with fib", error))?;
    gate.open(0, now() + Span::secs(1)).map_err(|error| ("an nftables element with a timeout", error))?;
    match gate.read(0) {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(("an nftables element with a timeout", io::Error::other("it was not there"))),
        Err(error) => Err(("reading an nftables element", error)),
    }
}
