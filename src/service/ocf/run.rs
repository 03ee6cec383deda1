//! One action of an agent, run to its end.

use std::path::PathBuf;
use std::time::Duration;

use tokio::process::Command;

use super::codes::{Health, UNIMPLEMENTED, told};
use super::environment::{Action, DEFAULT_PATH, variables};
use super::record::Record;
use super::spec::AgentSpec;
use crate::attempt::Env;
use crate::runner::{Cancel, Ended, Speech, run};

/// Asks an agent how the service is that was started with `current`.
pub(super) async fn monitor(current: &Record, timeout: Duration, interval: Duration, env: &Env) -> Health {
    let action = Action { name: "monitor", timeout: timeout.max(LEAST), interval };
    let ended = run(command(current, &action, env), Speech::Keep, action.timeout, &mut Cancel::never()).await;
    Health::of(&current.agent.to_string(), &ended)
}

/// An action that changes something; what it says goes where `speech` is.
pub(super) async fn act(
    current: &Record,
    name: &'static str,
    timeout: Duration,
    speech: Speech<'_>,
    env: &Env,
    cancel: &mut Cancel,
) -> Ended {
    if name == "start" {
        make_state_directory();
    }
    run(command(current, &Action { name, timeout, interval: Duration::ZERO }, env), speech, timeout, cancel).await
}

/// Whether it could start here, as far as the agent can tell without a start. One that does not know the question has nothing against it.
pub(crate) async fn validate(spec: &AgentSpec, instance: &str, limit: Duration, env: &Env) -> Result<(), String> {
    let record = Record { instance: instance.to_owned(), agent: spec.clone() };
    let action = Action { name: "validate-all", timeout: limit, interval: Duration::ZERO };
    match run(command(&record, &action, env), Speech::Keep, limit, &mut Cancel::never()).await {
        Ended::Exit(0 | UNIMPLEMENTED, _) => Ok(()),
        ended => Err(told(&spec.to_string(), action.name, &ended)),
    }
}

fn command(current: &Record, action: &Action, env: &Env) -> Command {
    let mut command = Command::new(&current.agent.program);
    command.arg(action.name).envs(variables(&current.agent, &current.instance, action, env));
    if std::env::var_os("PATH").is_none() {
        command.env("PATH", DEFAULT_PATH);
    }
    command
}

/// Where agents keep what must not outlive a boot (HA_RSCTMP of ocf-directories). The package has systemd-tmpfiles make it; where that has not
/// run, a start would fail for nothing.
fn make_state_directory() {
    let path = std::env::var_os("HA_RSCTMP").map_or_else(|| PathBuf::from(STATE_DIRECTORY), PathBuf::from);
    if let Err(error) = std::fs::create_dir_all(&path) {
        tracing::debug!(target: "service", "{}: {error}", path.display());
    }
}

/// Nothing is given less.
pub(super) const LEAST: Duration = Duration::from_secs(1);
/// HA_RSCTMP of Debian's ocf-directories.
const STATE_DIRECTORY: &str = "/run/resource-agents";
