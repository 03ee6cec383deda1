//! The public side as the file describes it.

use std::net::IpAddr;

use anyhow::Context;

use twinbeat_config::Config;
use twinbeat_core::id::{LinkId, NodeId};
use twinbeat_host::public::{PublicConfig, PublicSide};

/// The interface of the witness's link on `node`, and the node's own address there.
///
/// # Errors
/// When a node lacks that link.
pub fn public_link(config: &Config, node: NodeId) -> anyhow::Result<(String, IpAddr)> {
    let link = config.link(node, config.witness.link).context("the witness's link is not configured")?;
    Ok((link.interface.to_string(), link.address))
}

/// The sockets of node `me`.
///
/// # Errors
/// As [`public_config`], and what the kernel says.
pub fn public_side(config: &Config, me: NodeId) -> anyhow::Result<PublicSide> {
    PublicSide::new(public_config(config, me)?).context("the public side cannot be set up")
}

/// What the public side of node `me` must know.
///
/// # Errors
/// When a node lacks the witness's link.
pub fn public_config(config: &Config, me: NodeId) -> anyhow::Result<PublicConfig> {
    let (interface, own) = public_link(config, me)?;
    let (_, peer) = public_link(config, me.other())?;
    let on = |link: LinkId| config.interface(me, link).map_or_else(String::new, ToString::to_string);
    let groups = config.groups.iter().map(|g| g.vips.iter().map(|v| (v.address, on(v.link))).collect()).collect();
    let witnesses = config.witness.targets.clone();
    Ok(PublicConfig { node: me, interface, own: vec![own], peer: vec![peer], witnesses, groups })
}
