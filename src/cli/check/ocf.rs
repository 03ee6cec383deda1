//! What `check` finds about a service that is an OCF agent: whether it is here, and what it says of its parameters and times.

use std::path::Path;
use std::time::Duration;

use super::finding::{Finding, Level};
use twinbeat_config::{OcfConfig, ServiceConfig};
use twinbeat_service::ocf::{Remark, Times, could_start, judge, meta_data};

/// All about one of a group, on the node `me`.
pub(super) fn all(group: &str, me: &str, service: &ServiceConfig, ocf: &OcfConfig) -> Vec<Finding> {
    let finding = |level, text: &str| Finding::new(level, "service", format!("group `{group}`: {ocf}: {text}"));
    if let Some(why) = missing(ocf) {
        return vec![finding(Level::Fail, &why)];
    }
    match twinbeat_host::dirs::writable_by_others(&ocf.program) {
        Ok(Some(who)) => {
            let text =
                format!("{who} may change {}, which runs as the daemon's user: chown root, chmod go-w", ocf.program.display());
            return vec![finding(Level::Fail, &text)];
        }
        Ok(None) => {}
        Err(error) => return vec![finding(Level::Warn, &error.to_string())],
    }
    let meta = match wait(meta_data(&twinbeat_daemon::agent(ocf), PATIENCE)) {
        Ok(meta) => meta,
        Err(why) => {
            return vec![finding(Level::Warn, &format!("it does not say what it is, so nobody knows its parameters: {why}"))];
        }
    };
    let times =
        Times { start: Duration::from_nanos(service.start_timeout.0), stop: Duration::from_nanos(service.stop_timeout.0) };
    let remarks = judge(&twinbeat_daemon::agent(ocf), times, &meta);
    let mut found: Vec<Finding> = remarks
        .iter()
        .map(|remark| match remark {
            Remark::Wrong(text) => finding(Level::Fail, text),
            Remark::Note(text) => finding(Level::Warn, text),
        })
        .collect();
    // What cannot work so is refused by it as well.
    let wrong = remarks.iter().any(|remark| matches!(remark, Remark::Wrong(_)));
    let spec = twinbeat_daemon::agent(ocf);
    if service.validate.is_none()
        && !wrong
        && let Err(why) = wait(could_start(&spec, group, me, PATIENCE))
    {
        let text = format!(
            "its own test says that it could not start here: {why}. Mend it, or give the service a `validate` of your own"
        );
        found.push(finding(Level::Warn, &text));
    }
    if found.is_empty() { vec![finding(Level::Ok, "its agent takes these parameters")] } else { found }
}

/// On a runtime of its own.
fn wait<T>(asked: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    let answer = runtime.block_on(asked);
    runtime.shutdown_background();
    answer
}

/// Why it cannot be run, and what to type.
fn missing(ocf: &OcfConfig) -> Option<String> {
    let program = ocf.program.display();
    if super::programs::executable(&ocf.program) {
        return None;
    }
    if ocf.program.exists() {
        return Some(format!("{program} is no executable file: `chmod 755 {program}`"));
    }
    // Where Debian has the agents of these providers.
    let package = match ocf.provider.as_str() {
        "heartbeat" => Some("resource-agents"),
        "pacemaker" => Some("pacemaker-resource-agents"),
        "linbit" => Some("drbd-utils"),
        _ => None,
    };
    let by_name = !ocf.name.starts_with('/');
    Some(match package.filter(|_| by_name) {
        Some(package) if ocf.provider == "heartbeat" && Path::new(&ocf.root).join("resource.d/heartbeat").is_dir() => {
            format!(
                "no agent {program} here, though other agents of the package {package} are: is its name right, with its capitals?"
            )
        }
        Some(package) => format!("no agent {program} here: `apt-get install {package}`"),
        None => format!("no agent {program} here"),
    })
}

/// An agent may take so long to answer.
const PATIENCE: Duration = Duration::from_secs(5);
