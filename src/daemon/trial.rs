//! Whether a daemon could start: what it reads of the disk, without doing anything.

use std::path::Path;

use anyhow::Context;

use super::fault::Fault;
use super::names::which_node;
use super::options::Options;
use super::{log, state};
use twinbeat_config::Config;
use twinbeat_host::dirs::writable_by_others;

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
            log::open(file).with_context(|| format!("the log file {} cannot be opened", file.display()))?;
        }
        Ok(())
    };
    usable().context(Fault::Config)?;
    state::writable(&options.state_dir)
}
