//! Which of the two this machine is.

use twinbeat_config::Config;
use twinbeat_core::id::NodeId;

/// Which node this machine is: the name given, else the host name.
pub fn which_node(config: &Config, given: Option<&str>) -> anyhow::Result<NodeId> {
    match given {
        Some(name) => Ok(config.node(name)?),
        None => Ok(config.node(&host_name()?)?),
    }
}

/// This machine's host name, as the kernel has it.
pub fn host_name() -> anyhow::Result<String> {
    let name = nix::unistd::gethostname()?;
    name.into_string().map_err(|name| anyhow::anyhow!("the host name {name:?} is not UTF-8; name the node with --node"))
}
