//! What an agent's exit code means: OCF Resource Agent API 1.1, "Exit status codes"; Pacemaker Administration, "OCF Return Codes".

use crate::runner::Ended;

/// What a monitor's end says of a service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Health {
    /// It runs.
    Running {
        /// As the one that is promoted.
        promoted: bool,
        /// It says of itself that it does less than it should.
        degraded: bool,
    },
    /// Nothing of it runs.
    Stopped,
    /// The agent says that it failed, or did not answer in time: something of it may run.
    Failed(String),
    /// Nothing can be said: the agent cannot be run, or ended in no way that means something.
    Unclear(String),
}

impl Health {
    /// Of a `monitor` of `what`.
    pub fn of(what: &str, ended: &Ended) -> Health {
        let runs = |promoted, degraded| Health::Running { promoted, degraded };
        match ended {
            Ended::Exit(0, _) => runs(false, false),
            Ended::Exit(7, _) => Health::Stopped,
            Ended::Exit(8, _) => runs(true, false),
            Ended::Exit(190, _) => runs(false, true),
            Ended::Exit(191, _) => runs(true, true),
            Ended::Exit(1..=6 | 9, _) | Ended::TimedOut(_) => Health::Failed(told(what, "monitor", ended)),
            _ => Health::Unclear(told(what, "monitor", ended)),
        }
    }
}

/// How an action ended, for people.
pub(super) fn told(what: &str, action: &str, ended: &Ended) -> String {
    match ended {
        Ended::Exit(code, said) => match (name(*code), reason(said)) {
            (Some(name), "") => format!("{what} {action}: exit code {code} ({name})"),
            (Some(name), said) => format!("{what} {action}: exit code {code} ({name}): {said}"),
            (None, _) => format!("{what} {action}: {ended}"),
        },
        _ => format!("{what} {action}: {ended}"),
    }
}

/// The API's name of an exit code, and what it means.
fn name(code: i32) -> Option<&'static str> {
    Some(match code {
        0 => "OCF_SUCCESS",
        1 => "OCF_ERR_GENERIC",
        2 => "OCF_ERR_ARGS: a parameter is wrong here",
        3 => "OCF_ERR_UNIMPLEMENTED: the agent does not know this action",
        4 => "OCF_ERR_PERM: insufficient privilege",
        5 => "OCF_ERR_INSTALLED: something that it needs is not installed here",
        6 => "OCF_ERR_CONFIGURED: a parameter is wrong",
        7 => "OCF_NOT_RUNNING",
        8 => "OCF_RUNNING_PROMOTED",
        9 => "OCF_FAILED_PROMOTED: promoted, and failed",
        190 => "OCF_DEGRADED",
        191 => "OCF_DEGRADED_PROMOTED",
        _ => return None,
    })
}

/// Of what an agent said its own reason, where it gives one: ocf_exit_reason of ocf-shellfuncs writes it for machines to find.
pub(super) fn reason(said: &str) -> &str {
    match said.rsplit_once(COOKIE) {
        Some((_, rest)) => rest.lines().next().unwrap_or_default().split(" / ").next().unwrap_or_default().trim(),
        None => said.trim(),
    }
}

/// Before an agent's own reason.
pub(super) const COOKIE: &str = "ocf-exit-reason:";

/// ERR_UNIMPLEMENTED.
pub(super) const UNIMPLEMENTED: i32 = 3;
