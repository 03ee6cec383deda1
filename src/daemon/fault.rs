//! Why a daemon cannot start, as its exit code says it to the init system: what only a person mends is not tried again at once.

use std::path::Path;

use anyhow::Context;

use super::{Options, state};
use crate::which_node;
use twinbeat_config::Config;
use twinbeat_host::dirs::writable_by_others;

/// What keeps a daemon from starting until somebody mends it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    /// The file, this node's name in it, its key, a log file.
    #[error("the configuration cannot be used")]
    Config,
    /// The state directory.
    #[error("the state directory cannot be written")]
    State,
}

impl Fault {
    /// sysexits.h: EX_CONFIG and EX_CANTCREAT. The unit's `RestartPreventExitStatus` names the first.
    pub const fn code(self) -> u8 {
        match self {
            Fault::Config => 78,
            Fault::State => 73,
        }
    }

    /// The exit code for what ended a daemon: 1, unless it is one of these.
    pub fn code_of(error: &anyhow::Error) -> u8 {
        error.downcast_ref::<Fault>().map_or(1, |fault| fault.code())
    }
}

/// The file as a daemon reads it.
///
/// # Errors
/// [`Fault::Config`], with what is wrong: the file cannot be read or used, or others may change it.
pub fn read(file: &Path) -> anyhow::Result<Config> {
    let config = Config::read(file).context(Fault::Config)?;
    match writable_by_others(file).context("the configuration").context(Fault::Config)? {
        None => Ok(config),
        Some(who) => Err(anyhow::anyhow!(
            "{}: {who} may change it, and it names commands that run as this user; chown root, chmod go-w",
            file.display()
        )
        .context(Fault::Config)),
    }
}

/// All that a start needs of the disk: whether the next life of this daemon could begin. Nothing but empty files is made.
///
/// # Errors
/// A [`Fault`], with what is wrong.
pub fn try_start(options: &Options) -> anyhow::Result<()> {
    let config = read(&options.config)?;
    let usable = || -> anyhow::Result<()> {
        let me = which_node(&config, options.node.as_deref())?;
        config.private_key(me)?;
        config.settings(&config.nodes[me.index()].name)?;
        for file in [&config.log.file, &config.log.debug_file].into_iter().flatten() {
            crate::log::open(file).with_context(|| format!("the log file {} cannot be opened", file.display()))?;
        }
        Ok(())
    };
    usable().context(Fault::Config)?;
    state::writable(&options.state_dir)
}
