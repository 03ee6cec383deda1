//! A configuration against what the agent says of itself.

use std::time::Duration;

use super::metadata::{Content, MetaData, truth};
use super::spec::AgentSpec;

/// The times of the file that an agent gives advice about.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// `start_timeout`.
    pub start: Duration,
    /// `stop_timeout`.
    pub stop: Duration,
}

/// Something to say about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Remark {
    /// It cannot work so.
    Wrong(String),
    /// It works, and somebody should know.
    Note(String),
}

/// What is wrong, and what is worth knowing.
pub fn judge(spec: &AgentSpec, times: Times, meta: &MetaData) -> Vec<Remark> {
    let mut said = Vec::new();
    for (name, value) in &spec.parameters {
        let Some(parameter) = meta.parameters.iter().find(|parameter| parameter.name == *name) else {
            if !OF_ALL.contains(&name.as_str()) {
                said.push(Remark::Wrong(format!("`{name}` is no parameter of this agent{}", nearest(name, meta))));
            }
            continue;
        };
        if let Some(allowed) = misfit(value, &parameter.content) {
            said.push(Remark::Wrong(format!("parameter {name} = \"{value}\": {allowed}")));
        }
        if parameter.required && value.is_empty() {
            said.push(Remark::Wrong(format!("parameter `{name}` is empty, and the agent needs it")));
        }
        if parameter.deprecated {
            said.push(Remark::Note(format!("parameter `{name}` is deprecated by the agent")));
        }
    }
    for parameter in meta.parameters.iter().filter(|parameter| parameter.required) {
        if !spec.parameters.contains_key(&parameter.name) {
            said.push(Remark::Wrong(format!("parameter `{}` is missing, and the agent needs it", parameter.name)));
        }
    }
    for action in ["start", "stop", "monitor"].into_iter().chain(["promote", "demote"].into_iter().filter(|_| spec.promoted)) {
        if !meta.actions.iter().any(|known| known.name == action) {
            let of_the_role = if matches!(action, "promote" | "demote") { "; leave `role` out" } else { "" };
            said.push(Remark::Wrong(format!("the agent has no action `{action}`{of_the_role}")));
        }
    }
    for (action, key, given) in [("start", "start_timeout", times.start), ("stop", "stop_timeout", times.stop)] {
        if let Some(advised) =
            meta.action(action, spec.promoted).and_then(|action| action.timeout).filter(|advised| *advised > given)
        {
            said.push(Remark::Note(format!("{key} is {given:?}, and the agent advises {advised:?} at the least")));
        }
    }
    said
}

/// What a value would have to be.
fn misfit(value: &str, content: &Content) -> Option<String> {
    match content {
        Content::Text => None,
        Content::Integer => value.trim().parse::<i64>().is_err().then(|| "allowed: a whole number".to_owned()),
        Content::Boolean => truth(value).is_none().then(|| "allowed: true or false".to_owned()),
        Content::OneOf(all) => {
            (!all.is_empty() && !all.iter().any(|one| one == value)).then(|| format!("allowed: {}", all.join(", ")))
        }
    }
}

/// The name that may have been meant.
fn nearest(name: &str, meta: &MetaData) -> String {
    let near = meta.parameters.iter().map(|known| (strsim::damerau_levenshtein(name, &known.name), known.name.as_str())).min();
    match near.filter(|(distance, known)| *distance <= 3 && *distance < known.chars().count()) {
        Some((_, known)) => format!(" (did you mean `{known}`?)"),
        None => String::new(),
    }
}

/// What ocf-shellfuncs takes of every agent.
const OF_ALL: [&str; 3] = ["trace_ra", "trace_file", "trace_dir"];
