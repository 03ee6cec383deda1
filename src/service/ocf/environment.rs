//! What an agent finds in its environment: OCF Resource Agent API 1.1, "Environment variables", and what ocf-shellfuncs and agents of Debian's
//! package resource-agents read beside it.

use std::time::Duration;

use super::spec::AgentSpec;
use crate::attempt::Env;

/// One action of an agent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Action {
    /// Its name: `start`.
    pub name: &'static str,
    /// How long it may take; agents divide it up among what they wait for.
    pub timeout: Duration,
    /// Between two of them; zero for a question out of turn, which agents call a probe.
    pub interval: Duration,
}

/// All variables but PATH.
pub(super) fn variables(spec: &AgentSpec, instance: &str, action: &Action, env: &Env) -> Vec<(String, String)> {
    let fixed = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut all: Vec<(String, String)> =
        spec.parameters.iter().map(|(name, value)| (format!("OCF_RESKEY_{name}"), value.clone())).collect();
    all.extend(env.pairs().into_iter().map(|(name, value)| (name.to_owned(), value)));
    all.extend([
        fixed("OCF_ROOT", &spec.root.display().to_string()),
        fixed("OCF_RA_VERSION_MAJOR", "1"),
        fixed("OCF_RA_VERSION_MINOR", "1"),
        fixed("OCF_RESOURCE_INSTANCE", instance),
        fixed("OCF_RESOURCE_PROVIDER", &spec.provider),
        fixed("OCF_RESOURCE_TYPE", &spec.agent),
    ]);
    let meta = |name: &str, value: String| (format!("OCF_RESKEY_CRM_meta_{name}"), value);
    all.extend([
        meta("name", action.name.to_owned()),
        meta("timeout", action.timeout.as_millis().to_string()),
        meta("interval", action.interval.as_millis().to_string()),
        meta("on_node", env.node.clone()),
        meta("on_node_uuid", env.node.clone()),
    ]);
    if action.name == "monitor" {
        all.push(fixed("OCF_CHECK_LEVEL", "0"));
    }
    if spec.promoted {
        // As of a clone of which one instance is promoted: ocf_is_ms of ocf-shellfuncs.
        let of_a_clone =
            [("clone_max", "1"), ("clone_node_max", "1"), ("notify", "false"), ("promotable", "true"), ("role", "Promoted")];
        let most = ["master_max", "master_node_max", "promoted_max", "promoted_node_max"].map(|name| (name, "1"));
        all.extend(of_a_clone.into_iter().chain(most).map(|(name, value)| meta(name, value.to_owned())));
    } else {
        all.push(meta("role", "Started".to_owned()));
    }
    all
}

/// For where the daemon itself has none.
pub(super) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
