//! The links, and the bonds below them.

use std::fmt;

use twinbeat_core::view::{BondView, LinkView, SlaveView};
use twinbeat_core::words::LinkCondition;

use super::series::{label, micro, seconds, words};
use crate::metrics::{Families, Labels};

#[derive(Default)]
struct Rows {
    state: Vec<(Labels, LinkCondition)>,
    peer_state: Vec<(Labels, LinkCondition)>,
    rtt: Vec<(Labels, f64)>,
    loss: Vec<(Labels, f64)>,
    carrier: Vec<(Labels, i64)>,
    heard: Vec<(Labels, f64)>,
    bond: Vec<Labels>,
    slaves: Vec<(Labels, i64)>,
    slaves_up: Vec<(Labels, i64)>,
    slave_up: Vec<(Labels, i64)>,
    slave_mii: Vec<Labels>,
    slave_active: Vec<(Labels, i64)>,
    slave_failures: Vec<(Labels, u64)>,
}

pub(super) fn write(links: &[LinkView], out: &mut Families) -> fmt::Result {
    let mut rows = Rows::default();
    links.iter().for_each(|link| rows.add(link));
    rows.write(out)
}

impl Rows {
    fn add(&mut self, link: &LinkView) {
        let LinkView { name, state, rtt_us, loss, carrier, heard_ms, peer_state, bond } = link;
        let of = || label("link", name);
        self.state.push((of(), *state));
        self.peer_state.extend(peer_state.map(|state| (of(), state)));
        self.rtt.extend(rtt_us.map(|us| (of(), micro(us))));
        self.loss.push((of(), *loss));
        self.carrier.push((of(), i64::from(*carrier)));
        self.heard.extend(heard_ms.map(|ms| (of(), seconds(ms))));
        if let Some(bond) = bond {
            self.add_bond(name, bond);
        }
    }

    fn add_bond(&mut self, link: &str, bond: &BondView) {
        // The slave in use is told slave by slave.
        let BondView { name, mode, active: _, slaves_up, slaves } = bond;
        let of = || vec![("link", link.to_owned()), ("bond", name.clone())];
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.bond.push([of(), label("mode", mode)].concat());
        self.slaves.push((of(), count(slaves.len())));
        self.slaves_up.push((of(), count(*slaves_up)));
        for SlaveView { name, up, mii, active, failures } in slaves {
            let slave = || [of(), label("slave", name)].concat();
            self.slave_up.push((slave(), i64::from(*up)));
            self.slave_mii.push([slave(), label("mii", mii)].concat());
            self.slave_active.push((slave(), i64::from(*active)));
            self.slave_failures.push((slave(), u64::from(*failures)));
        }
    }

    fn write(self, out: &mut Families) -> fmt::Result {
        let words = words!(LinkCondition);
        out.states("link_state", "How this node hears the link.", "state", words, self.state)?;
        out.states("link_peer_state", "How the peer hears the link.", "state", words, self.peer_state)?;
        out.seconds("link_round_trip", "The last round trip of a heartbeat.", self.rtt)?;
        out.ratios("link_loss_ratio", "The part of the peer's last heartbeats that did not arrive, 0 to 1.", self.loss)?;
        out.counts("link_carrier", "The interface has carrier.", self.carrier)?;
        out.seconds("link_heard_age", "Since the last heartbeat.", self.heard)?;
        out.infos("bond", "A bond below a link.", self.bond)?;
        out.counts("bond_slaves", "How many interfaces the bond has.", self.slaves)?;
        out.counts("bond_slaves_up", "How many of them are up.", self.slaves_up)?;
        out.counts("bond_slave_up", "The bond holds the interface's link for up.", self.slave_up)?;
        out.infos("bond_slave_mii", "What the bond says of the interface's link.", self.slave_mii)?;
        out.counts("bond_slave_active", "The bond sends over this interface.", self.slave_active)?;
        out.totals("bond_slave_failures", "How often the interface's link failed since it joined the bond.", self.slave_failures)
    }
}
