//! What `check` finds about turning the peer off: whether it is there, and whether an agent's device answers. Nothing is turned off.

use std::path::Path;

use super::finding::{Finding, Level};
use super::programs::program_missing;
use twinbeat_config::{Config, FenceBy, FenceConfig};
use twinbeat_core::id::NodeId;
use twinbeat_daemon::fence_spec;

pub(super) fn all(config: &Config, file: &Path, me: NodeId, offline: bool) -> Vec<Finding> {
    let [mine, theirs] = [me, me.other()].map(|node| config.nodes.get(node.index()));
    let (Some(mine), Some(theirs)) = (mine, theirs) else { return Vec::new() };
    let mut found = Vec::new();
    if let Some(fence) = &theirs.fence {
        found.extend(one(config, me, fence, offline));
        found.extend(readable(file, fence));
    }
    if mine.fence.is_none() != theirs.fence.is_none() {
        let (of, by) = if mine.fence.is_none() { (mine, theirs) } else { (theirs, mine) };
        let text = format!(
            "{} cannot be turned off by {}: nothing in the file says how; its claims rest on the challenge alone",
            of.name, by.name
        );
        found.push(Finding::new(Level::Warn, "fence", text));
    }
    found
}

fn one(config: &Config, me: NodeId, fence: &FenceConfig, offline: bool) -> Vec<Finding> {
    let peer = &config.nodes[me.other().index()].name;
    let program = match &fence.by {
        FenceBy::Command(argv) => argv.first(),
        FenceBy::Agent { agent, .. } => Some(agent),
    };
    let Some(program) = program else { return Vec::new() };
    if let Some(why) = program_missing(program) {
        let hint = if matches!(fence.by, FenceBy::Agent { .. }) { " (package fence-agents?)" } else { "" };
        let text = format!("{program}: {why}{hint}: {peer} could not be turned off, and nobody would take over from it");
        return vec![Finding::new(Level::Fail, "fence", text)];
    }
    if Path::new(program).is_absolute()
        && let Ok(Some(who)) = twinbeat_host::dirs::writable_by_others(Path::new(program))
    {
        let text = format!("{who} may change {program}, which runs as the daemon's user: chown root, chmod go-w");
        return vec![Finding::new(Level::Fail, "fence", text)];
    }
    let finding = match ask(config, me, offline) {
        None if offline && matches!(fence.by, FenceBy::Agent { .. }) => {
            Finding::new(Level::Warn, "fence", format!("{program} turns {peer} off; its device was not asked (--offline)"))
        }
        None => {
            Finding::new(Level::Ok, "fence", format!("{program} turns {peer} off (a command cannot be asked beforehand: try it)"))
        }
        Some(Ok(())) => Finding::new(Level::Ok, "fence", format!("{program} turns {peer} off, and its device answers")),
        Some(Err(why)) => {
            let text = format!("{program}: monitor: {why}: {peer} could not be turned off, and nobody would take over from it");
            Finding::new(Level::Fail, "fence", text)
        }
    };
    vec![finding]
}

/// Asks the device by the agent's `monitor`.
fn ask(config: &Config, me: NodeId, offline: bool) -> Option<Result<(), String>> {
    let spec = fence_spec(config, me).filter(|_| !offline)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    runtime.block_on(spec.monitor())
}

/// A password in a file that everybody may read.
fn readable(file: &Path, fence: &FenceConfig) -> Option<Finding> {
    use std::os::unix::fs::PermissionsExt;
    let FenceBy::Agent { parameters, .. } = &fence.by else { return None };
    let secret = parameters
        .keys()
        .find(|name| matches!(name.as_str(), "password" | "passwd" | "snmp_priv_passwd" | "snmp_auth_password"))?;
    let mode = std::fs::metadata(file).ok()?.permissions().mode();
    (mode & 0o004 != 0).then(|| {
        let text = format!("everybody may read {}, which has `{secret}`: chmod o-r, or `password_script`", file.display());
        Finding::new(Level::Warn, "fence", text)
    })
}
