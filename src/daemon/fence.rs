//! How the peer is turned off, as the configuration says.

use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc::UnboundedSender;

use super::event::Event;
use twinbeat_config::{Config, FenceBy};
use twinbeat_core::id::NodeId;
use twinbeat_service::{FenceHow, FenceSpec, Fencer};

/// What turns the peer of `me` off; none where the file has nothing.
pub fn spec(config: &Config, me: NodeId) -> Option<FenceSpec> {
    let [node, peer] = [me, me.other()].map(|node| config.nodes.get(node.index()));
    let fence = peer?.fence.as_ref()?;
    let how = match &fence.by {
        FenceBy::Command(argv) => FenceHow::Command(argv.clone()),
        FenceBy::Agent { agent, parameters } => {
            FenceHow::Agent { program: agent.clone(), parameters: parameters.clone().into_iter().collect() }
        }
    };
    let nodes = [node?.name.to_string(), peer?.name.to_string()];
    Some(FenceSpec { how, timeout: Duration::from_nanos(fence.timeout.0), retries: fence.retries, nodes })
}

/// Starts it; none where nothing is configured.
///
/// # Errors
/// When no thread can be made.
pub fn start(config: &Config, me: NodeId, events: &UnboundedSender<Event>) -> anyhow::Result<Option<Fencer>> {
    let Some(spec) = spec(config, me) else { return Ok(None) };
    let events = events.clone();
    let tell = move |input| drop(events.send(Event::Input(input)));
    Fencer::start(spec, tell).context("no thread for fencing").map(Some)
}
