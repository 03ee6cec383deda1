//! Has an agent say what it is: `AGENT meta-data`, within a time and a number of bytes.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Command;

use super::environment::{Action, DEFAULT_PATH, variables};
use super::metadata::MetaData;
use super::run::validate;
use super::spec::AgentSpec;
use crate::attempt::Env;
use crate::runner::break_off;
use twinbeat_host::session::own_session;

/// Asks an agent what it is. It needs a tokio runtime, takes `limit` at the most, and starts nothing else.
///
/// # Errors
/// An agent that cannot be run, does not end in time, fails, says too much, or describes no agent.
pub async fn meta_data(spec: &AgentSpec, limit: Duration) -> Result<MetaData, String> {
    let env = Env { group: String::new(), node: String::new(), epoch: None, ending: false };
    let action = Action { name: "meta-data", timeout: limit, interval: Duration::ZERO };
    let mut command = Command::new(&spec.program);
    command.arg(action.name).envs(variables(spec, &spec.agent, &action, &env));
    if std::env::var_os("PATH").is_none() {
        command.env("PATH", DEFAULT_PATH);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    own_session(&mut command);
    let mut child = command.spawn().map_err(|error| format!("{} cannot be run: {error}", spec.program.display()))?;
    let group = child.id().and_then(|id| i32::try_from(id).ok());
    let Some(out) = child.stdout.take() else { return Err("it has no output".to_owned()) };
    let mut text = Vec::new();
    let reading = async {
        let read = out.take(MOST_BYTES.saturating_add(1)).read_to_end(&mut text).await;
        if read.as_ref().is_ok_and(|read| *read as u64 > MOST_BYTES) {
            return Err(format!("meta-data: more than {MOST_BYTES} bytes"));
        }
        read.map_err(|error| format!("meta-data: {error}"))?;
        let status = child.wait().await.map_err(|error| format!("meta-data: {error}"))?;
        if status.success() { Ok(()) } else { Err(format!("meta-data: {status}")) }
    };
    let done = tokio::time::timeout(limit, reading).await;
    let done = done.unwrap_or_else(|_| Err(format!("meta-data: not done after {limit:?}, killed")));
    if done.is_err() {
        break_off(&mut child, group).await;
    }
    done?;
    MetaData::read(&String::from_utf8_lossy(&text)).map_err(|why| format!("meta-data: {why}"))
}

/// Asks an agent, as a daemon does every 30 s, whether the service could start here: its `validate-all`. `instance` is made of `group` and `service`.
/// It needs a tokio runtime, takes `limit` and a little at the most, and starts nothing else.
///
/// # Errors
/// What the agent has against it, in its own words.
pub async fn could_start(spec: &AgentSpec, group: &str, node: &str, limit: Duration) -> Result<(), String> {
    let env = Env { group: group.to_owned(), node: node.to_owned(), epoch: None, ending: false };
    validate(spec, &format!("{group}.{}", spec.agent), limit, &env).await
}

/// The longest description of Debian's agents has 13 KB.
pub const MOST_BYTES: u64 = 256 * 1024;
