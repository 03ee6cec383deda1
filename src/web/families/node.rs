//! This node, and what is wrong with it.

use std::fmt;

use twinbeat_control::shown::Health;
use twinbeat_core::view::View;
use twinbeat_core::words::{Guard, PeerState};

use super::series::{seconds, words};
use crate::metrics::{Families, Labels};

pub(super) fn write(view: &View, out: &mut Families) -> fmt::Result {
    let View {
        node,
        peer,
        cluster,
        digest,
        up_ms,
        incarnation,
        groups: _,
        links: _,
        witness: _,
        peer_state,
        mismatch,
        gate,
        fencing: _,
        problems,
        state_trouble,
        recorder_trouble,
        notices,
    } = view;
    let none = Labels::new;
    let one = |value: bool| vec![(none(), i64::from(value))];
    let many = |count: usize| vec![(none(), i64::try_from(count).unwrap_or(i64::MAX))];
    out.infos("build", "The program.", vec![vec![("version", env!("CARGO_PKG_VERSION").to_owned())]])?;
    out.infos(
        "node",
        "Who this node is, and the digest of the configuration that it has read.",
        vec![vec![("cluster", cluster.clone()), ("node", node.clone()), ("peer", peer.clone()), ("digest", digest.clone())]],
    )?;
    out.seconds("uptime", "Since this daemon's start.", vec![(none(), seconds(*up_ms))])?;
    let life = i64::try_from(*incarnation).unwrap_or(i64::MAX);
    out.counts("incarnation", "The number of this daemon's life: it grows with each start and reload.", vec![(none(), life)])?;
    let healths = Health::ALL.map(|health| (health, health.word()));
    out.states("health", "As the exit code of `twinbeat status` says it.", "state", &healths, vec![(none(), Health::of(view))])?;
    out.states("peer_state", "What this node knows of its peer.", "state", words!(PeerState), vec![(none(), *peer_state)])?;
    out.states("gate", "What guards the VIPs in the kernel.", "guard", words!(Guard), vec![(none(), *gate)])?;
    out.counts("mismatch", "The peer's configuration or version differs.", one(mismatch.is_some()))?;
    out.counts("problems", "How many things are wrong: `twinbeat status` says which.", many(problems.len()))?;
    out.counts("notices", "How many things make the pair weaker than it could be.", many(notices.len()))?;
    out.counts("state_trouble", "The state directory cannot be written.", one(state_trouble.is_some()))?;
    out.counts("recorder_trouble", "The flight recorder cannot be written.", one(recorder_trouble.is_some()))
}
