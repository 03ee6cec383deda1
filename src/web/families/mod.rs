//! Which metrics there are. Each part of the view is taken apart here to its last field: one that is added to it does not build until
//! somebody has said what becomes of it (docs/OPERATIONS.md has the table).

mod counted;
mod group;
mod link;
mod node;
mod series;
mod witness;

use std::fmt;

use twinbeat_core::view::View;

use super::ask::Seen;
use super::metrics::Families;

/// Writes all.
pub(super) fn all(seen: &Seen, out: &mut Families) -> fmt::Result {
    let Seen { view, measured } = seen;
    node::write(view, out)?;
    let View { groups, links, witness, node, peer, .. } = view;
    group::write(groups, [node, peer], out)?;
    link::write(links, out)?;
    witness::write(witness, out)?;
    counted::write(measured, out)
}
