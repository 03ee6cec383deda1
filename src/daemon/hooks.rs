//! The hooks of the configuration.

use std::time::Duration;

use anyhow::Context;

use super::changes::Changes;
use super::options::Options;
use twinbeat_config::{Config, HookConfig, HookEvent};
use twinbeat_core::id::NodeId;
use twinbeat_service::hook::{HookSpec, Hooks, Kind, Sender};

/// Starts them; none where none are configured. Nobody waits for the disk.
///
/// # Errors
/// When no thread can be made.
pub fn start(options: &Options, config: &Config, me: NodeId) -> anyhow::Result<Option<Changes<Hooks>>> {
    if config.hooks.is_empty() {
        return Ok(None);
    }
    let groups = || config.groups.iter().map(|group| group.name.to_string());
    let all: Vec<String> = groups().collect();
    let [node, peer] = [me, me.other()].map(|node| config.nodes[node.index()].name.to_string());
    let from = Sender { cluster: config.cluster.to_string(), node, peer };
    let hooks = config.hooks.iter().map(|hook| spec(hook, &all)).collect();
    let hooks = Hooks::start(hooks, from, &options.state_dir).context("no thread for the hooks")?;
    Ok(Some(Changes::new(hooks, groups())))
}

fn spec(hook: &HookConfig, all: &[String]) -> HookSpec {
    let kind = |event: &HookEvent| match event {
        HookEvent::Role => Kind::Role,
        HookEvent::Health => Kind::Health,
        HookEvent::Readiness => Kind::Readiness,
        HookEvent::Reaffirmed => Kind::Reaffirmed,
    };
    let named = hook.groups.as_ref().map(|names| names.iter().map(|name| name.to_string()).collect());
    HookSpec {
        run: hook.run.clone(),
        on: hook.on.iter().map(kind).collect(),
        groups: named.unwrap_or_else(|| all.to_vec()),
        timeout: Duration::from_nanos(hook.timeout.0),
    }
}
